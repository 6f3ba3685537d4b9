// SPDX-License-Identifier: Apache-2.0
/* Requests: what api.c gives to a handler, and the handlers, from the one table in ioctls.def. */
#pragma once

#include "kvm/kvm.h"

struct kvm_call {
	struct kvm_system *system; /* the one of these that the descriptor's kind names; kvm also for a vCPU */
	struct kvm *kvm;
	struct kvm_vcpu *vcpu;
	void *arg;     /* IN, OUT, INOUT: our copy of the structure */
	u64 value;     /* VALUE: the argument itself */
	hpa_t user;    /* RAW, and structures behind the copied one */
};

/* >= 0: the result of ioctl(); < 0: -errno. OUT and INOUT structures are copied back only for >= 0. */
#define IOCTL(request, kind, argument, handler) long handler(struct kvm_call *c);
#include "kvm/ioctls.def"
#undef IOCTL

/* Arrays behind a fixed head, as KVM's msrs, cpuid and routing tables: -E2BIG above max. *out is the caller's to free. */
long kvm_copy_array(struct kvm_call *c, size_t head, u32 count, size_t entry, void **out);
