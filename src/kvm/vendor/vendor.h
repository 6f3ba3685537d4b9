// SPDX-License-Identifier: Apache-2.0
/*
 * What differs between VM types: one constant table of operations each, in a file of its own.
 */
#pragma once

#include <stdbool.h>

#include "hw/addr.h"

struct kvm;
struct kvm_vcpu;
struct kvm_memslot;
struct softcvm_config;

struct kvm_vendor {
	const char *name;
	unsigned int type; /* KVM_X86_*_VM */
	bool test_only;	   /* offered when softcvm_config.test_vm_types is set, and in no capability */
	bool has_private_mem;
	bool has_protected_state;
	bool has_readonly_mem;
	bool pre_fault_allowed; /* from the beginning */
	unsigned int address_spaces;
	/*
	 * The synthetic PRIVATE_ACCESS bit for this fault. Hardware makes the claim (hardware_claim), or it is looked up in the
	 * attributes; without private memory there is none. `addr` is as the hardware gave it.
	 */
	bool hardware_claim;
	u64 (*claim)(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code);
	/* A bit of the guest-physical address that is no part of it. 0: none. */
	u64 gpa_alias;
	/* May be NULL: the processor's controls of a new vCPU. */
	void (*vcpu_init)(struct kvm_vcpu *vcpu);
	/* May be NULL, or answer 0 for no limit: the largest mapping of the frame. */
	unsigned int (*max_level)(struct kvm *kvm, gfn_t f, bool is_private);
};

extern const struct kvm_vendor kvm_vendor_plain;
extern const struct kvm_vendor kvm_vendor_sw_protected;
extern const struct kvm_vendor kvm_vendor_test_claim;

/* NULL: the type is not offered (KVM_CREATE_VM: EINVAL). */
const struct kvm_vendor *kvm_vendor_find(const struct softcvm_config *config, unsigned long type);
/* KVM_CAP_VM_TYPES */
unsigned int kvm_vendor_types(void);
