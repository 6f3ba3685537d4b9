// SPDX-License-Identifier: Apache-2.0
/*
 * What differs between VM types: one constant table of operations each, in a file of its own.
 */
#pragma once

#include <stdbool.h>

#include "hw/addr.h"

struct kvm;
struct kvm_vcpu;
struct kvm_page_fault;

struct kvm_vendor {
	const char *name;
	unsigned int type; /* KVM_X86_*_VM */
	bool has_private_mem;
	bool has_protected_state;
	bool has_readonly_mem;
	unsigned int address_spaces;
	/* The synthetic PRIVATE_ACCESS bit for this fault: what the hardware or the attribute table claims. */
	u64 (*claim)(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code);
};

extern const struct kvm_vendor kvm_vendor_plain;

/* NULL: the type is not offered on this platform (KVM_CREATE_VM: EINVAL). */
const struct kvm_vendor *kvm_vendor_find(unsigned long type);
/* KVM_CAP_VM_TYPES */
unsigned int kvm_vendor_types(void);
