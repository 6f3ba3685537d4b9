// SPDX-License-Identifier: Apache-2.0
/*
 * What differs between VM types: one constant table of operations each, in a file of its own.
 */
#pragma once

#include <stdbool.h>

#include "hw/addr.h"
#include "hw/stage2.h"

struct kvm;
struct kvm_call;
struct kvm_vcpu;
struct kvm_memslot;
struct softcvm_config;

/*
 * Private frames are mapped by somebody else (mmu/mirror.h keeps what is where). All but track() under mmu.lock, single pages.
 * -EAGAIN: the guest or another call is at it, try again; other errors: the VM cannot go on.
 */
struct kvm_private_ops {
	/* A table for what lies below the entry at `level`: its page is the VM's until the VM ends. */
	int (*link)(struct kvm *kvm, gfn_t f, unsigned int level, hpa_t table);
	int (*map)(struct kvm *kvm, gfn_t f, hpa_t page);
	/* To unmap: block() all, track() once, remove() all. */
	int (*block)(struct kvm *kvm, gfn_t f);
	int (*track)(struct kvm *kvm);
	int (*remove)(struct kvm *kvm, gfn_t f, hpa_t page);
	/* NULL, or a sentence that says what is wrong in the tables. While guests run. */
	const char *(*check)(struct kvm *kvm);
};

#define KVM_ON_INTEL 1u
#define KVM_ON_AMD   2u
/* Types that are not Linux's are offered when softcvm_config asks for them, and in no capability. */
enum kvm_vendor_offer { KVM_OFFER_ALWAYS, KVM_OFFER_TESTS, KVM_OFFER_PKVM };

struct kvm_vendor {
	const char *name;
	unsigned int type; /* KVM_X86_*_VM */
	unsigned int platforms; /* KVM_ON_*: where it is offered */
	enum kvm_vendor_offer offer;
	bool has_private_mem;
	bool has_protected_state;
	bool has_readonly_mem;
	bool in_place; /* private and shared are states of one page: never two backings, so no guest_memfd */
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
	/* NULL: private frames are in the same tables as the others. */
	const struct kvm_private_ops *private_ops;
	/* Where there is no slot the guest is told (#VE) and asks for the access itself; KVM emulates no instruction. */
	bool mmio_is_ve;

	/* Local APICs in the kernel with the other controllers in user space, or nothing: KVM_CREATE_IRQCHIP is ENOTTY. */
	bool only_split_irqchip;
	bool ignores_init; /* vCPUs cannot be reset: INIT and SIPI have no effect */
	bool tsc_protected; /* of a vCPU: neither rate nor offset can be set */
	/* Requests of its descriptors that answer EINVAL; ends with 0. NULL: none. */
	const u32 *refused_requests;

	/*
	 * Life; each may be NULL. vm_create: after all else of it; vm_pre_destroy: vCPUs and guest_memfds are gone, the tables not
	 * yet. vcpu_precreate: may there be one? vcpu_create: all else of it exists.
	 */
	int (*vm_create)(struct kvm *kvm);
	void (*vm_pre_destroy)(struct kvm *kvm);
	int (*vcpu_precreate)(struct kvm *kvm);
	int (*vcpu_create)(struct kvm_vcpu *vcpu);
	void (*vcpu_free)(struct kvm_vcpu *vcpu);
	/* KVM_MEMORY_ENCRYPT_OP. NULL: ENOTTY on the VM, EINVAL on a vCPU. */
	long (*vm_command)(struct kvm_call *c);
	long (*vcpu_command)(struct kvm_call *c);

	/* May be NULL. KVM_RUN, after the last exit was completed: 0, or why the vCPU cannot run. */
	int (*pre_run)(struct kvm_vcpu *vcpu);
	/* One entry and its exit: as an exit handler's answer (x86.h). */
	int (*enter)(struct kvm_vcpu *vcpu);
	/* May be NULL: the processor tells. Would an interrupt be delivered, does one wait in the processor's APIC? */
	bool (*interrupt_allowed)(struct kvm_vcpu *vcpu);
	bool (*has_interrupt)(struct kvm_vcpu *vcpu);
	/* May be NULL. Before KVM looks for an MSR for the guest or user space: KVM_MSR_COMMON to go on, 0 if *data is the answer, or
	 * an error of x86.h. */
	int (*msr)(struct kvm_vcpu *vcpu, u32 msr, bool write, u64 *data);

	/* Capabilities of KVM that the type does not have; ends with 0. NULL: none. */
	const u32 *hidden_caps;

	/* Memory; each may be NULL. */
	/* Under slots_lock, after KVM's own checks: an error refuses the change. `old` NULL: a new slot, which it may add to;
	 * `new` NULL: a deletion. */
	int (*prepare_slot)(struct kvm *kvm, const struct kvm_memslot *old, struct kvm_memslot *new);
	/* What was added goes with the slot. */
	void (*free_slot)(struct kvm *kvm, struct kvm_memslot *slot);
	/* The guest shares the frames, or takes them back, in place: 0 or an error, and nothing has changed. */
	int (*share)(struct kvm_vcpu *vcpu, gfn_t start, gfn_t end);
	int (*unshare)(struct kvm_vcpu *vcpu, gfn_t start, gfn_t end);
	/* The client's memory does not show what the guest has there. */
	bool (*guest_owns)(struct kvm *kvm, gfn_t f);
	/* Without a lock: kvm will access the frame by a mapping of its own, and not as a copy from or to its user. */
	void (*kernel_access)(struct kvm *kvm, gfn_t f);
};

extern const struct kvm_vendor kvm_vendor_plain;
extern const struct kvm_vendor kvm_vendor_sw_protected;
extern const struct kvm_vendor kvm_vendor_tdx;
extern const struct kvm_vendor kvm_vendor_test_claim;
extern const struct kvm_vendor kvm_vendor_pkvm;

/* NULL: the type is not offered (KVM_CREATE_VM: EINVAL). */
const struct kvm_vendor *kvm_vendor_find(const struct softcvm_config *config, unsigned long type);
/* KVM_CAP_VM_TYPES */
unsigned int kvm_vendor_types(const struct softcvm_config *config);
