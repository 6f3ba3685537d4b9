// SPDX-License-Identifier: Apache-2.0
/*
 * Random operations on the memory of a guest, against a model and the invariants.
 *
 * A round is one VM. It begins with one thread, where every answer is known before it is asked for (sequential.c,
 * model.c); then several threads operate at once, and what can still be known is checked (concurrent.c). A round
 * follows from its seed: the lists of operations are the same again, and in the first part their effects too.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvm/mmu/decisions.h"
#include "softcvm/kvm_abi.h"
#include "softcvm/softcvm.h"

#include "report.h"

#define PAGE	   4096ull
#define WINDOW	   0x40000000ull /* guest pages under test, from here */
#define PAGES	   1536u	 /* three of 2 MiB */
#define FEW_PAGES  128u		 /* where an address bit is the claim: below it */
#define HUGE_PAGE  512u
#define CODE_SLOT  0u
#define VCPUS	   3u
#define MMIO_VALUE 0xd15ea5e0u

/* ---------------------------------------------------------------- machine.c */

/* What an access came to. */
enum answer { DONE, MMIO, FAULT_SHARED, FAULT_PRIVATE, NO_MEMORY };

struct vcpu {
	int fd;
	struct kvm_run *run;
	bool started;
};

struct machine {
	const struct decision_column *column;
	bool hardware_claim, has_private;
	unsigned int pages; /* of the window */
	int system, vm;
	unsigned char *code;   /* memory of CODE_SLOT */
	unsigned char *client; /* memory behind the window's slots, `pages` pages */
	struct vcpu vcpu[VCPUS];
};

void machine_create(struct machine *m, const struct decision_column *column, enum softcvm_platform platform);
void machine_destroy(struct machine *m);
int machine_memfd(struct machine *m, unsigned int pages, bool can_be_mapped);
int machine_set_slot(struct machine *m, unsigned int slot, uint32_t flags, unsigned int first, unsigned int pages,
		     unsigned int client_page, int fd, unsigned int file_page);
int machine_set_attributes(struct machine *m, unsigned int first, unsigned int pages, bool is_private);
int machine_punch(int fd, unsigned int first, unsigned int pages);
int machine_allocate(int fd, unsigned int first, unsigned int pages);
/* *first and *pages advance as in the structure. */
int machine_prefault(struct vcpu *v, unsigned int *first, unsigned int *pages);
/* `bits`: PAGES / 64 words */
int machine_dirty_log(struct machine *m, unsigned int slot, uint64_t *bits);
void machine_check(struct machine *m);

/* The guest loads or stores the word of a page. Of a load that is not memory, *value is MMIO_VALUE. */
enum answer guest_load(struct machine *m, struct vcpu *v, unsigned int page, bool claim, uint32_t *value);
enum answer guest_store(struct machine *m, struct vcpu *v, unsigned int page, bool claim, uint32_t value);
/* The word of a page of the client's memory. */
uint32_t *client_word(const struct machine *m, unsigned int page);

/* ---------------------------------------------------------------- the two parts of a round */

/* Each does `count` operations and leaves the VM as it came. */
void run_sequential(struct machine *m, struct rng *r, unsigned long count);
/* Returns how many accesses the guests made meanwhile. */
unsigned long run_concurrent(struct machine *m, struct rng *r, unsigned long count);
