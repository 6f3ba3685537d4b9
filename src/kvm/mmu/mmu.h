// SPDX-License-Identifier: Apache-2.0
/*
 * The stage-2 fault path: one straight line of small functions, an error code in, a KVM exit or resumption out.
 *
 *   kvm_handle_page_fault()   fault.c: hardware's error code, claim, RSVD quick path, attribute, slot, frame, mapping
 *   kvm_mmu_max_level()       level.c: the largest page that may be mapped
 *   kvm_tdp_*()               tdp.c: the tables
 *   kvm_check_invariants()    invariants.c: what must be true of all that
 *   kvm_prefault_page()       the same path without a guest's access, for prefault.c
 *
 * The sequence (reference: KVM's mmu_invalidate_seq). A fault reads the sequence, then attributes, slot and frame, and
 * installs under mmu.lock only if no change of what it read has begun or ended since. Whoever changes what a fault may map
 * wraps the change in kvm_mmu_invalidate_begin() and _end(). Zapping is complete only after hw_vm_flush().
 */
#pragma once

#include <pthread.h>

#include "hw/addr.h"
#include "hw/stage2.h"
#include "kvm/mmu/mirror.h"
#include "observe/observe.h"

struct kvm;
struct kvm_vcpu;
struct kvm_memslot;

struct kvm_mmu {
	pthread_mutex_t lock;
	struct stage2 s2;
	struct stage2 smm;	  /* the second address space's; kept and zapped with the first */
	u64 empty;		  /* an entry where nothing is; 0 but for mmio_is_ve, where 0 is an MMIO entry */
	struct kvm_mirror *mirror; /* NULL: private frames are in s2 like others, or there are none yet */
	u64 seq;		  /* written under lock, read without it */
	unsigned int in_progress;
	u64 range_start, range_end; /* hull of the changes in progress, in frames */
	struct kvm_dead_table {
		u64 *table;
		unsigned int level;
	} *dead; /* detached, may be freed after hw_vm_flush() */
	unsigned int dead_count, dead_capacity;
	unsigned int tables;
	u64 max_gfn;		  /* first frame beyond the guest physical address width */
};

/* Synthetic: bits of an error code that only kvm sets. An implicit access is a supervisor's whatever CPL is (SMAP). */
#define PFERR_IMPLICIT_ACCESS (1ull << 48)
#define PFERR_PRIVATE_ACCESS  (1ull << 49) /* the claim is "private" */
#define PFERR_SYNTHETIC_MASK  (PFERR_PRIVATE_ACCESS | PFERR_IMPLICIT_ACCESS)

/* What a step of the fault path answers. Negative: errno for user space. */
enum ret_pf {
	RET_PF_CONTINUE,  /* go on with the next step; never leaves fault.c */
	RET_PF_RETRY,	  /* resume the guest: it faults again if it must */
	RET_PF_EMULATE,	  /* the access is not memory: give it to the buses and user space */
	RET_PF_WRITE_PROTECTED,
	RET_PF_INVALID,	  /* a cached MMIO entry is stale: take the full path */
	RET_PF_FIXED,	  /* mapped */
	RET_PF_SPURIOUS,  /* was mapped already */
};

struct kvm_page_fault {
	/* inputs */
	const gpa_t addr;
	const u64 error_code;
	const bool exec, write, present, rsvd, is_private;
	const bool prefetch;
	const unsigned int max_level;
	/* derived from the address */
	gfn_t gfn;
	/* derived from the slot, under kvm_slots_lock() */
	const struct kvm_memslot *slot;
	u64 mmu_seq;
	hpa_t hpa; /* of the page */
	u64 from;  /* the page as the trace names it: client address, or byte of the guest_memfd */
	bool map_writable;
	bool from_gmem;
	/* outputs */
	unsigned int goal_level;
	bool flush; /* a mapping was replaced: flush after mmu.lock is dropped */
	enum observe_rule rule; /* what decided it, for the trace */
};

int kvm_mmu_create(struct kvm *kvm);
void kvm_mmu_destroy(struct kvm *kvm);

/* From an EPT violation, EPT misconfiguration or NPF: RET_PF_*, with run->memory_fault filled for a memory-fault exit. */
int kvm_handle_page_fault(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code);

/* A read that nobody makes, its claim taken from the attributes: RET_PF_*; *level: of the mapping. */
int kvm_prefault_page(struct kvm_vcpu *vcpu, gfn_t f, unsigned int *level);

/* Changes of what may be mapped. Begin and end nest and may overlap between threads. */
void kvm_mmu_invalidate_begin(struct kvm *kvm, gfn_t start, gfn_t end);
void kvm_mmu_invalidate_end(struct kvm *kvm);

/* level.c */
unsigned int kvm_mmu_max_level(struct kvm_vcpu *vcpu, const struct kvm_page_fault *fault);

/* invariants.c: 0, or 1 and which rule is violated where. Takes slots_lock. */
int kvm_check_invariants(struct kvm *kvm, char *message, size_t size);

/* tdp.c, all under mmu.lock but kvm_tdp_zap*(), kvm_tdp_flush() and kvm_tdp_forget_mmio(), which take it. */
int kvm_tdp_map(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault);
/* fault->slot is NULL: remember that there is nothing, for this generation of the slots. false: there is no room. */
bool kvm_tdp_map_mmio(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault, u64 generation);
/* The level at which the frame is mapped; 0: it is not. */
unsigned int kvm_tdp_mapped_level(struct kvm_vcpu *vcpu, gfn_t f, bool is_private);
/* The entry of the leaf or hole at the frame; false: it is not an MMIO entry. */
bool kvm_tdp_lookup_mmio(struct kvm *kvm, const struct stage2 *s2, gfn_t f, u64 *generation);
/* Every MMIO entry. */
void kvm_tdp_forget_mmio(struct kvm *kvm);
/* Takes write permission from the frames whose bit is set (64 from `base`); kvm_tdp_flush() is the caller's. */
void kvm_tdp_write_protect(struct kvm *kvm, gfn_t base, u64 mask);
/* Unmaps [start, end) but for what the mirror has, by the rule `why`; complete only behind kvm_tdp_flush(). */
void kvm_tdp_zap_shared(struct kvm *kvm, gfn_t start, gfn_t end, enum observe_rule why);
/* Unmaps [start, end), by the rule `why`; complete only behind kvm_tdp_flush(). */
void kvm_tdp_zap_leafs(struct kvm *kvm, gfn_t start, gfn_t end, enum observe_rule why);
/* Both; complete when it returns. */
void kvm_tdp_zap(struct kvm *kvm, gfn_t start, gfn_t end, enum observe_rule why);
void kvm_tdp_flush(struct kvm *kvm);

/* Every leaf and MMIO entry, with the first frame that it is for. */
void kvm_tdp_for_each(struct kvm *kvm, void (*visit)(void *opaque, gfn_t f, u64 entry, unsigned int level), void *opaque);

#define KVM_MMIO_GENERATION_MASK (((u64)1 << 18) - 1)
