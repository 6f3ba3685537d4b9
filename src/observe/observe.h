// SPDX-License-Identifier: Apache-2.0
/*
 * observe: what happened, told to whoever listens.
 *
 * Every room may emit. An event is a number from events.def plus up to eight 64-bit arguments; it is
 * formatted only by a sink that wants text. An event whose bit is clear in `mask` costs one load and
 * one predicted branch.
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
#define OBSERVE_EVENT(id, name, nargs, format) OBSERVE_##id,
#include "observe/events.def"
#undef OBSERVE_EVENT
	OBSERVE_EVENT_COUNT
};
_Static_assert(OBSERVE_EVENT_COUNT <= 64, "the mask is one word");

struct observe_record {
	uint64_t time_ns;	   /* as the observer's clock says (virtual time under --icount) */
	uint32_t event;		   /* enum observe_event */
	int32_t vcpu;		   /* vCPU index, -1 when no vCPU is concerned */
	uint64_t arg[8];
};

struct observe_sink {
	/* Called with the observer's lock held: must not emit, must not block on a vCPU. */
	void (*record)(struct observe_sink *sink, const struct observe_record *rec);
	/* Flush and free. */
	void (*close)(struct observe_sink *sink);
	struct observe_sink *next;
};

struct observer {
	uint64_t mask; /* bit n: event n is wanted by some sink; read relaxed */
	struct observe_private *priv;
};

/* Never fails but for -ENOMEM. */
int observer_create(struct observer **out);
void observer_destroy(struct observer *obs); /* closes every sink */

/* The clock that stamps records; NULL restores CLOCK_MONOTONIC. */
void observer_set_clock(struct observer *obs, uint64_t (*clock)(void *opaque), void *opaque);

/* `mask` selects events; the sink is owned by the observer from here on. */
void observer_attach(struct observer *obs, struct observe_sink *sink, uint64_t mask);

/* Text in the form of the kernel's trace points, one line a record. 0 or -errno. */
int observe_sink_text(FILE *file, struct observe_sink **out);
/* The last `capacity` records, for a register dump after a crash. */
int observe_sink_ring(size_t capacity, struct observe_sink **out);
void observe_ring_print(struct observe_sink *ring, FILE *file);

/* One line, without newline, into buf; returns the length as snprintf does. */
int observe_format(const struct observe_record *rec, char *buf, size_t size);
const char *observe_event_name(enum observe_event event);
/* "kvm_exit,kvm_mmio" or "all" to a mask; -EINVAL and *bad set to the first unknown name. */
int observe_parse_mask(const char *list, uint64_t *mask, const char **bad);

void observe_emit_slow(struct observer *obs, enum observe_event event, int vcpu, const uint64_t *arg,
		       unsigned int nargs);

static inline bool observe_wants(const struct observer *obs, enum observe_event event)
{
	return obs && (__atomic_load_n(&obs->mask, __ATOMIC_RELAXED) >> event & 1);
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
