// SPDX-License-Identifier: Apache-2.0
/* What is counted of a vCPU, under the names that Linux has for it (api.rst KVM_GET_STATS_FD). */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "hw/addr.h"

#define KVM_VCPU_STATS(X)                                                                                       \
	X(pf_taken) X(pf_fixed) X(pf_emulate) X(pf_spurious) X(exits) X(io_exits) X(mmio_exits) X(signal_exits)  \
	X(irq_window_exits) X(request_irq_exits) X(halt_exits) X(halt_wakeup) X(hypercalls) X(insn_emulation_fail)

struct kvm_object;

struct kvm_vcpu_stats {
#define X(name) u64 name;
	KVM_VCPU_STATS(X)
#undef X
};

/* The vCPU's own thread counts, any thread reads. */
static inline void kvm_count(u64 *n) { __atomic_store_n(n, *n + 1, __ATOMIC_RELAXED); }

/* read() from the file of KVM_GET_STATS_FD: bytes or -errno. */
long kvm_stats_read(struct kvm_object *file, void *to, size_t size, off_t offset);
