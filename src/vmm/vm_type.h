// SPDX-License-Identifier: Apache-2.0
/*
 * The kinds of machine that `softcvm run --vm-type` makes: one constant table each, in a file of its own (type_*.c).
 * What differs between them for the VMM stands there and nowhere else.
 *
 * Operations return 0, or -errno after a message. NULL: nothing to do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "softcvm/softcvm.h"

#define VM_MAX_REGIONS 160u

struct launch_region;
struct vcpu;
struct vm;
struct vmm_config;

struct vm_type {
	const char *name;
	unsigned long kvm_type; /* KVM_CREATE_VM */
	enum softcvm_platform platform; /* the one that has this type; HOST: any */
	unsigned int phys_bits;	/* of such a platform; 0: any */
	bool pkvm;		/* KVM must be told to offer it: softcvm_config.pkvm */

	/* Bits of CPUID 0x40000001 EAX, by number: what KVM may offer and this guest must not use, and what the VMM
	 * itself adds. */
	uint32_t kvm_features_withheld, kvm_features_added;
	/* The guest has no other way to learn the rate of its TSC than by its command line. */
	bool tells_tsc_rate;
	/* Devices see the guest's memory, or what of it the guest shares with them. False: there is no virtio. */
	bool dma;
	bool access_platform; /* and drivers must not take its memory as it is: VIRTIO_F_ACCESS_PLATFORM (Virtio 1.2, 6) */
	bool split_irqchip;   /* KVM has none but the local APICs, whatever is configured */
	/* Processors can start all at once in the first stage, which leaves them in the mailbox of the multiprocessor wake-up structure. */
	bool mailbox;
	bool starts_together; /* there is no other way */
	bool mmio_by_ve;      /* the guest's own code makes MMIO of an access, so KVM does not see where it came from */
	/* hypercall.ret of a conversion that is refused */
	uint64_t conversion_refused;

	/* The VM has just been made: memory slots for vm->memory. */
	int (*add_memory)(struct vm *vm);
	/* All that is no vCPU is there. */
	int (*init_vm)(struct vm *vm);
	/* The vCPU has been made, and its CPUID set. */
	int (*init_vcpu)(struct vcpu *vcpu);
	/* The guest is loaded: what its memory will hold before it runs, in order; how many regions (at most VM_MAX_REGIONS), or
	 * -errno after a message. NULL: nothing is measured. */
	int (*regions)(struct vm *vm, struct launch_region *out);
	/* The guest is loaded, the vCPUs exist: what the first KVM_RUN needs. */
	int (*start)(struct vm *vm);
	/* The guest asks for whole pages to become private or shared (KVM_HC_MAP_GPA_RANGE). -EINVAL without a message:
	 * refused, the guest is told. NULL: there is no such hypercall. Any vCPU thread. */
	int (*convert)(struct vm *vm, uint64_t gpa, uint64_t size, bool to_private);
	/* KVM_EXIT_MEMORY_FAULT: the guest used memory as what it is not. 0: try again; -EINVAL without a message: it
	 * cannot have that. NULL: it never can. Any vCPU thread. */
	int (*memory_fault)(struct vm *vm, uint64_t gpa, uint64_t size, bool is_private);
	/* An exit that no other type has: true if that was one. Any vCPU thread. */
	bool (*exit)(struct vcpu *vcpu);
	/* After add_memory, even if that failed half-way. The VM's and the vCPUs' descriptors are closed. */
	void (*remove_memory)(struct vm *vm);
};

extern const struct vm_type vm_type_default, vm_type_sw_protected, vm_type_pkvm, vm_type_tdx;

/* Features by which KVM writes to the guest's memory, or tells of asynchronous page faults: for guests whose memory it does not
 * reach, if they do not know of it. */
#define FEATURE_BIT(n)	   (1u << (n))
#define FEATURES_IN_MEMORY                                                                                      \
	(FEATURE_BIT(KVM_FEATURE_CLOCKSOURCE) | FEATURE_BIT(KVM_FEATURE_CLOCKSOURCE2) |                            \
	 FEATURE_BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT) | FEATURE_BIT(KVM_FEATURE_ASYNC_PF) |                    \
	 FEATURE_BIT(KVM_FEATURE_ASYNC_PF_VMEXIT) | FEATURE_BIT(KVM_FEATURE_ASYNC_PF_INT) |                       \
	 FEATURE_BIT(KVM_FEATURE_STEAL_TIME) | FEATURE_BIT(KVM_FEATURE_PV_TLB_FLUSH) | FEATURE_BIT(KVM_FEATURE_PV_EOI))

extern const struct vm_type *const vm_types[]; /* up to NULL */
/* NULL: there is none of that name. */
const struct vm_type *vm_type_find(const char *name);
/* Can the configured type do what is asked for? */
int vm_type_check(const struct vmm_config *config);
