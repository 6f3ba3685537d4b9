// SPDX-License-Identifier: Apache-2.0
/*
 * Timers of a VM, in nanoseconds of machine time (hw_machine_tsc: CLOCK_MONOTONIC, or virtual under icount).
 *
 * Real time: one thread per VM sleeps until the earliest deadline and calls what expired. Virtual time: no thread; the
 * run loop asks kvm_timer_next() before an entry and calls kvm_timers_run() when that time has come.
 *
 * Locking: one leaf lock around the queue. A callback runs with it released, in the timer thread (or in the run loop),
 * and may take any lock, start and cancel any timer, its own included. A timer may be started again or cancelled
 * between the moment it was found expired and the moment its callback takes a lock: the callback checks that it is
 * still wanted. kvm_timer_release() waits for a running callback, so its caller must not hold a lock that the callback
 * takes, and must not be the callback.
 */
#pragma once

#include <stdbool.h>

#include "hw/hw.h"

struct kvm;
struct kvm_timers;

#define KVM_TIMER_NEVER (~0ull)

struct kvm_timer {
	void (*expire)(struct kvm_timer *timer, u64 now);
	/* private to timer.c */
	u64 deadline;
	u64 sequence; /* order of timers with equal deadlines: the order in which they were started */
	size_t slot;  /* position in the heap + 1; 0: not queued */
};

/* At KVM_CREATE_VM, after kvm->machine exists: sets kvm->timers. 0 or -errno. */
int kvm_timers_create(struct kvm *kvm);
void kvm_timers_stop(struct kvm *kvm);	  /* no callback runs any more */
void kvm_timers_destroy(struct kvm *kvm); /* after every timer was released */

/* Reserves room in the queue, so that starting cannot fail. 0 or -ENOMEM. */
int kvm_timer_init(struct kvm *kvm, struct kvm_timer *timer, void (*expire)(struct kvm_timer *timer, u64 now));
void kvm_timer_release(struct kvm *kvm, struct kvm_timer *timer);

/* Any thread. A timer that is queued moves to the new deadline; KVM_TIMER_NEVER cancels it. */
void kvm_timer_start(struct kvm *kvm, struct kvm_timer *timer, u64 deadline);
void kvm_timer_cancel(struct kvm *kvm, struct kvm_timer *timer);

/* Virtual time only: the earliest deadline, KVM_TIMER_NEVER if there is none; and everything that is due by `now`. */
u64 kvm_timer_next(struct kvm *kvm);
void kvm_timers_run(struct kvm *kvm, u64 now);
