// SPDX-License-Identifier: Apache-2.0
/*
 * observe: what happened, told to whoever listens.
 *
 * Every room may emit. An event is a number from events.def plus up to eight 64-bit arguments; it is
 * formatted only by a sink that wants text. An event whose bit is clear in `mask` costs one load and
 * one predicted branch. What a text sink prints can be read back (observe_parse_line, observe_read).
 *
 * Each VM has an observer of its own, derived from the one that was configured, so that its records
 * carry its number.
 *
 * Concurrency: an observer may be emitted to from any thread. Sinks are attached before the first
 * vCPU runs and detached after the last has stopped; `mask` may change at any time (relaxed).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum observe_event {
#define OBSERVE_EVENT(id, name, group, nargs, format) OBSERVE_##id,
#include "observe/events.def"
#undef OBSERVE_EVENT
	OBSERVE_EVENT_COUNT
};

/* Rules by which accesses are decided and memory changes: rules.def. */
enum observe_rule {
#define OBSERVE_RULE(id, name, text, source) OBSERVE_RULE_##id,
#include "observe/rules.def"
#undef OBSERVE_RULE
	OBSERVE_RULE_COUNT
};

/* Arguments that print as names, where the room that emits them has no numbers of its own; the others assert that theirs are these. */
enum observe_claim { OBSERVE_CLAIM_NONE, OBSERVE_CLAIM_SHARED, OBSERVE_CLAIM_PRIVATE };
enum observe_walk { OBSERVE_WALK_MAPPED, OBSERVE_WALK_NOT_PRESENT, OBSERVE_WALK_RESERVED, OBSERVE_WALK_DENIED, OBSERVE_WALK_NO_PAGING };
enum observe_stage2 { OBSERVE_STAGE2_MAPPED, OBSERVE_STAGE2_NOT_PRESENT, OBSERVE_STAGE2_DENIED, OBSERVE_STAGE2_MMIO };
enum observe_use { OBSERVE_USE_ACCESS, OBSERVE_USE_TABLE };
enum observe_backing { OBSERVE_BACKING_CLIENT, OBSERVE_BACKING_GMEM, OBSERVE_BACKING_DONATED };
enum observe_page_op { OBSERVE_PAGE_DONATE, OBSERVE_PAGE_SHARE, OBSERVE_PAGE_UNSHARE, OBSERVE_PAGE_RECLAIM, OBSERVE_PAGE_FORCE_RECLAIM };
enum observe_page_state { OBSERVE_PAGE_NOPAGE, OBSERVE_PAGE_OWNED, OBSERVE_PAGE_SHARED_OWNED, OBSERVE_PAGE_POISON };
enum observe_slot_op { OBSERVE_SLOT_CREATE, OBSERVE_SLOT_INVALIDATE, OBSERVE_SLOT_DELETE, OBSERVE_SLOT_MOVE, OBSERVE_SLOT_FLAGS };
enum observe_result { OBSERVE_PF_CONTINUE, OBSERVE_PF_RETRY, OBSERVE_PF_EMULATE, OBSERVE_PF_WRITE_PROTECTED, OBSERVE_PF_INVALID,
		      OBSERVE_PF_FIXED, OBSERVE_PF_SPURIOUS };
enum observe_residence { OBSERVE_ABSENT, OBSERVE_RESIDENT, OBSERVE_UNMAPPED };
/* Of kvm_fault_slot: the slot is being deleted or moved; shared pages too come from the guest_memfd. */
#define OBSERVE_SLOT_FLAG_INVALID   (1u << 16)
#define OBSERVE_SLOT_FLAG_GMEM_ONLY (1u << 17)

#define OBSERVE_MASK_WORDS 2
_Static_assert(OBSERVE_EVENT_COUNT <= 64 * OBSERVE_MASK_WORDS, "every event has a bit");

/* Bit n: event n. */
struct observe_mask {
	uint64_t word[OBSERVE_MASK_WORDS];
};

static inline void observe_mask_add(struct observe_mask *mask, enum observe_event event)
{
	mask->word[event / 64] |= UINT64_C(1) << event % 64;
}

static inline bool observe_mask_has(const struct observe_mask *mask, enum observe_event event)
{
	return mask->word[event / 64] >> event % 64 & 1;
}

struct observe_mask observe_mask_all(void);

#define OBSERVE_MAX_ARGS 8

struct observe_record {
	uint64_t time_ns;	   /* as the observer's clock says (virtual time under --icount) */
	uint32_t event;		   /* enum observe_event */
	int32_t vcpu;		   /* vCPU index, -1 when no vCPU is concerned */
	uint32_t vm;		   /* in order of creation, from 0 */
	uint64_t arg[OBSERVE_MAX_ARGS];
};

struct observe_sink {
	/* Called with the observer's lock held: must not emit, must not block on a vCPU. */
	void (*record)(struct observe_sink *sink, const struct observe_record *rec);
	/* Flush and free. */
	void (*close)(struct observe_sink *sink);
	struct observe_sink *next;
};

struct observer {
	struct observe_mask mask; /* what some sink wants; read relaxed */
	uint32_t vm;
	struct observe_private *priv; /* shared with those derived from it */
	struct observer *derived;     /* list, under the lock */
};

/* Never fails but for -ENOMEM. */
int observer_create(struct observer **out);
void observer_destroy(struct observer *obs); /* closes every sink; after those that were derived from it */

/* One for the next VM: what it emits goes to the same sinks. -ENOMEM. */
int observer_derive(struct observer *obs, struct observer **out);
void observer_destroy_derived(struct observer *obs, struct observer *derived);
/* In a child after fork(): nothing is emitted any more by it and those derived from it. Takes no lock. */
void observer_silence(struct observer *obs);

/* The clock that stamps records; NULL restores CLOCK_MONOTONIC. */
void observer_set_clock(struct observer *obs, uint64_t (*clock)(void *opaque), void *opaque);

/* `mask` selects events; the sink is owned by the observer from here on. */
void observer_attach(struct observer *obs, struct observe_sink *sink, const struct observe_mask *mask);

/* Text in the form of the kernel's trace points, one line a record. 0 or -errno. */
int observe_sink_text(FILE *file, struct observe_sink **out);
/* The last `capacity` records, for a register dump after a crash. */
int observe_sink_ring(size_t capacity, struct observe_sink **out);
void observe_ring_print(struct observe_sink *ring, FILE *file);

/* ---------------------------------------------------------------- text, and back */

/* The arguments: one line, without newline, into buf; returns the length as snprintf does. */
int observe_format(const struct observe_record *rec, char *buf, size_t size);
/* All of the record: one line with its newline; at most OBSERVE_LINE_MAX bytes with the terminating zero. */
#define OBSERVE_LINE_MAX 512
int observe_format_line(const struct observe_record *rec, char buf[OBSERVE_LINE_MAX]);
/*
 * The exact inverse: 0 and the record from which observe_format_line() makes this line (`length` without the newline), or
 * -EINVAL and *why. The line may hold any bytes.
 */
int observe_parse_line(const char *line, size_t length, struct observe_record *out, const char **why);

/*
 * Hands every record of a trace to `record`, until it answers other than 0, which is the result then. Otherwise 0; -EINVAL for
 * what is no trace, with *line its number and *why; -EIO. A last line that was cut short (its writer was killed) is left out, and
 * *cut says so.
 */
struct observe_reading {
	unsigned long line;
	const char *why;
	bool cut;
};
int observe_read(FILE *file, int (*record)(void *opaque, const struct observe_record *rec), void *opaque,
		 struct observe_reading *out);

const char *observe_event_name(enum observe_event event);
/* KVM_EXIT_*; NULL if there is none of that number. */
const char *observe_kvm_exit_name(uint64_t reason);
unsigned int observe_event_nargs(enum observe_event event);
/*
 * A list of names of events and of groups (steps, memory, kvm, detail, all), separated by commas, to a mask; -EINVAL and *bad set
 * to the first unknown name.
 */
int observe_parse_mask(const char *list, struct observe_mask *mask, const char **bad);
#define OBSERVE_DEFAULT_EVENTS "memory,kvm" /* of a trace that is asked for without saying more */

/* ---------------------------------------------------------------- rules */

struct observe_rule_text {
	const char *name, *text, *source;
};
const struct observe_rule_text *observe_rule_text(enum observe_rule rule);
/* The rule of an event: one that it names, or by a table of its arguments (rules.c). OBSERVE_RULE_NONE if it follows none. */
enum observe_rule observe_rule_of(const struct observe_record *rec);

/* ---------------------------------------------------------------- emitting */

void observe_emit_slow(struct observer *obs, enum observe_event event, int vcpu, const uint64_t *arg,
		       unsigned int nargs);

static inline bool observe_wants(const struct observer *obs, enum observe_event event)
{
	return obs && (__atomic_load_n(&obs->mask.word[event / 64], __ATOMIC_RELAXED) >> event % 64 & 1);
}

/* observe(obs, OBSERVE_KVM_EXIT, vcpu, reason, rip, ...): arguments are evaluated only when wanted. */
#define observe(obs, event, vcpu, ...)                                                             \
	do {                                                                                       \
		if (__builtin_expect(observe_wants((obs), (event)), 0)) {                          \
			const uint64_t observe_arg_[] = { __VA_ARGS__ };                           \
			observe_emit_slow((obs), (event), (vcpu), observe_arg_,                    \
					  sizeof(observe_arg_) / sizeof(observe_arg_[0]));         \
		}                                                                                  \
	} while (0)
