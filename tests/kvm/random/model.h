// SPDX-License-Identifier: Apache-2.0
/* What is known of the VM while one thread operates on it: every answer and every page's contents. */
#pragma once

#include "random.h"

#define SLOTS	     6u
#define FILES	     3u
#define NO_SLOT_HERE SLOTS

/* Does the stage-2 table remember that there was no slot? What zaps and huge pages leave of such entries is not
 * foreseen. */
enum entry { ENTRY_NONE, ENTRY_THERE, ENTRY_MAYBE };

struct page_model {
	bool is_private;
	unsigned char slot; /* NO_SLOT_HERE */
	bool mapped;	    /* perhaps */
	enum entry entry;
	uint64_t entry_generation;
};

struct file_model {
	int fd; /* -1: closed */
	bool can_be_mapped;
	unsigned int pages;
	uint32_t word[PAGES];
};

struct slot_model {
	enum decision_slot kind; /* NONE, U, G, M */
	bool read_only, logged;
	unsigned int first, pages, client_page;
	unsigned int file, file_page; /* file FILES: it was closed */
	uint64_t dirty[PAGES / 64];
};

struct model {
	struct machine *m;
	struct page_model page[PAGES];
	struct slot_model slot[SLOTS];
	struct file_model file[FILES];
	uint32_t client[PAGES];
	uint64_t generation;
};

/* Several answers, where it is not foreseen what is remembered. */
#define ANSWERS 3u
struct expectation {
	enum decision_outcome outcome[ANSWERS];
};
struct expectation model_expect(const struct model *model, unsigned int page, bool claim, bool store);
/* Of KVM_PRE_FAULT_MEMORY, one page. */
enum decision_outcome model_expect_prefault(const struct model *model, unsigned int page);

/* The word that the page has where an access with this outcome goes; NULL: it goes to no memory. */
uint32_t *model_word(struct model *model, unsigned int page, enum decision_outcome outcome);

/* Effects. */
void model_accessed(struct model *model, unsigned int page, enum decision_outcome outcome, bool store);
void model_zapped(struct model *model, unsigned int first, unsigned int pages);
void model_slots_changed(struct model *model);
