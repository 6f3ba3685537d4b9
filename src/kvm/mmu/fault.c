// SPDX-License-Identifier: Apache-2.0
/* The fault path. Each step has one place; they run in the order in which they stand in kvm_handle_page_fault(). */
#include <errno.h>
#include <sched.h>

#include "kvm/kvm.h"

_Static_assert(RET_PF_CONTINUE == (int)OBSERVE_PF_CONTINUE && RET_PF_RETRY == (int)OBSERVE_PF_RETRY &&
		       RET_PF_EMULATE == (int)OBSERVE_PF_EMULATE && RET_PF_WRITE_PROTECTED == (int)OBSERVE_PF_WRITE_PROTECTED &&
		       RET_PF_INVALID == (int)OBSERVE_PF_INVALID && RET_PF_FIXED == (int)OBSERVE_PF_FIXED &&
		       RET_PF_SPURIOUS == (int)OBSERVE_PF_SPURIOUS,
	       "results print as names");
_Static_assert(KVM_MEMSLOT_INVALID == OBSERVE_SLOT_FLAG_INVALID && KVM_MEMSLOT_GMEM_ONLY == OBSERVE_SLOT_FLAG_GMEM_ONLY,
	       "slots are told with these flags");

/* The answer of a step, and the rule behind it. */
static int answer(struct kvm_page_fault *fault, enum observe_rule rule, int result)
{
	fault->rule = rule;
	return result;
}

/* KVM_EXIT_MEMORY_FAULT, the one exit that comes with an error (api.rst). Returns it. */
static int memory_fault_exit(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault, enum observe_rule rule, int error)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MEMORY_FAULT;
	run->memory_fault.flags = fault->is_private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0;
	run->memory_fault.gpa = gfn_to_gpa(fault->gfn).v;
	run->memory_fault.size = HW_PAGE_SIZE;
	observe(vcpu->kvm->obs, OBSERVE_KVM_MEMORY_FAULT, vcpu->index, run->memory_fault.gpa, run->memory_fault.flags,
		error);
	return answer(fault, rule, error);
}

/* ---------------------------------------------------------------- the sequence */

void kvm_mmu_invalidate_begin(struct kvm *kvm, gfn_t start, gfn_t end)
{
	struct kvm_mmu *mmu = &kvm->mmu;

	pthread_mutex_lock(&mmu->lock);
	if (!mmu->in_progress || start.v < mmu->range_start)
		__atomic_store_n(&mmu->range_start, start.v, __ATOMIC_RELAXED);
	if (!mmu->in_progress || end.v > mmu->range_end)
		__atomic_store_n(&mmu->range_end, end.v, __ATOMIC_RELAXED);
	__atomic_store_n(&mmu->in_progress, mmu->in_progress + 1, __ATOMIC_RELEASE);
	observe(kvm->obs, OBSERVE_KVM_INVALIDATE_BEGIN, -1, start.v, end.v, mmu->in_progress);
	pthread_mutex_unlock(&mmu->lock);
}

void kvm_mmu_invalidate_end(struct kvm *kvm)
{
	struct kvm_mmu *mmu = &kvm->mmu;

	pthread_mutex_lock(&mmu->lock);
	__atomic_store_n(&mmu->seq, mmu->seq + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&mmu->in_progress, mmu->in_progress - 1, __ATOMIC_RELEASE);
	observe(kvm->obs, OBSERVE_KVM_INVALIDATE_END, -1, mmu->seq, mmu->in_progress);
	pthread_mutex_unlock(&mmu->lock);
}

/*
 * Did what the fault has read change, or is it changing? Only under mmu.lock a "no" is certain; without it the question spares
 * the search for a frame that would not be mapped.
 */
static bool fault_is_stale(struct kvm_vcpu *vcpu, const struct kvm_page_fault *fault)
{
	const struct kvm_mmu *mmu = &vcpu->kvm->mmu;
	bool stale = __atomic_load_n(&mmu->seq, __ATOMIC_ACQUIRE) != fault->mmu_seq;

	if (__atomic_load_n(&mmu->in_progress, __ATOMIC_ACQUIRE) &&
	    fault->gfn.v >= __atomic_load_n(&mmu->range_start, __ATOMIC_RELAXED) &&
	    fault->gfn.v < __atomic_load_n(&mmu->range_end, __ATOMIC_RELAXED))
		stale = true;
	if (stale)
		observe(vcpu->kvm->obs, OBSERVE_KVM_RETRY, vcpu->index, fault->gfn.v, fault->mmu_seq,
			__atomic_load_n(&mmu->seq, __ATOMIC_RELAXED), __atomic_load_n(&mmu->in_progress, __ATOMIC_RELAXED));
	return stale;
}

/* ---------------------------------------------------------------- MMIO entries */

static void remember_mmio(struct kvm_vcpu *vcpu, gfn_t f, u64 generation)
{
	vcpu->mmio_gpa = gfn_to_gpa(f).v;
	vcpu->mmio_generation = generation;
}

static bool remembered_mmio(const struct kvm_vcpu *vcpu, gfn_t f, u64 generation)
{
	return vcpu->mmio_gpa == gfn_to_gpa(f).v && vcpu->mmio_generation == generation;
}

/* RSVD: the entry says that there was no slot. It is believed while the slots have not changed. */
static int handle_mmio_entry(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	u64 generation = kvm_slots_generation(&vcpu->kvm->slots);
	struct kvm_mmu *mmu = &vcpu->kvm->mmu;
	gfn_t f = fault->gfn;
	u64 cached;
	bool mmio;

	if (remembered_mmio(vcpu, f, generation))
		return answer(fault, OBSERVE_RULE_FAULT_MMIO_CACHED, RET_PF_EMULATE);
	pthread_mutex_lock(&mmu->lock);
	mmio = kvm_tdp_lookup_mmio(vcpu->kvm, kvm_vcpu_stage2(vcpu), f, &cached);
	pthread_mutex_unlock(&mmu->lock);
	if (!mmio)
		return answer(fault, OBSERVE_RULE_FAULT_MMIO_ZAPPED, RET_PF_RETRY);
	if (generation & KVM_SLOTS_UPDATING || cached != (generation & KVM_MMIO_GENERATION_MASK))
		return RET_PF_INVALID;
	remember_mmio(vcpu, f, generation);
	return answer(fault, OBSERVE_RULE_FAULT_MMIO_CACHED, RET_PF_EMULATE);
}

/* ---------------------------------------------------------------- no slot */

/* Without its entry this guest would fault for ever: make room, by what can be mapped again. */
static void forget_holes(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;

	kvm_tdp_zap_shared(kvm, gfn(0), gfn(kvm->mmu.max_gfn), OBSERVE_RULE_ZAP_HOLES);
	fault->flush = true;
}

static int fault_no_slot(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault, enum observe_rule rule)
{
	u64 generation = kvm_slots_generation(&vcpu->kvm->slots);
	struct kvm_mmu *mmu = &vcpu->kvm->mmu;
	bool mapped;

	if (fault->gfn.v >= mmu->max_gfn || generation & KVM_SLOTS_UPDATING)
		return answer(fault, OBSERVE_RULE_FAULT_MMIO_NOT_CACHED, RET_PF_EMULATE);
	remember_mmio(vcpu, fault->gfn, generation);
	pthread_mutex_lock(&mmu->lock);
	mapped = kvm_tdp_map_mmio(vcpu, fault, generation);
	pthread_mutex_unlock(&mmu->lock);
	if (!mapped && vcpu->kvm->vendor->mmio_is_ve)
		forget_holes(vcpu, fault);
	return answer(fault, rule, RET_PF_EMULATE);
}

/*
 * The variant that was proposed for TDX and SNP and rejected: nothing there is MMIO, whatever was claimed. As merged, emulated
 * MMIO is shared, and a private access to nothing is for user space to decide.
 */
static bool no_slot_is_mmio(const struct kvm_vcpu *vcpu, const struct kvm_page_fault *fault)
{
	return !fault->slot && vcpu->kvm->vendor->hardware_claim && vcpu->kvm->system->config.no_slot_is_mmio;
}

/* ---------------------------------------------------------------- memory: the frame behind the gfn */

static int frame_from_gmem(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	int error = kvm_gmem_get_frame(fault->slot, fault->gfn, vcpu->index, &fault->hpa);

	if (error)
		return memory_fault_exit(vcpu, fault,
					 error == -EFAULT ? OBSERVE_RULE_FAULT_NO_GMEM : OBSERVE_RULE_FAULT_GMEM_ERROR, error);
	fault->from = kvm_gmem_offset(fault->slot, fault->gfn);
	fault->from_gmem = true;
	fault->map_writable = true;
	return RET_PF_CONTINUE;
}

/* Whether the client's page is there is found out by the access itself (hw: host_fault), or here if there is none. */
static int frame_from_client(struct kvm_page_fault *fault)
{
	const struct kvm_memslot *slot = fault->slot;
	u64 probe;

	/* A write to ROM is emulated: api.rst KVM_MEM_READONLY. It is not cached as MMIO. */
	if (fault->write && slot->flags & KVM_MEM_READONLY)
		return answer(fault, OBSERVE_RULE_FAULT_READONLY, RET_PF_EMULATE);
	fault->hpa = kvm_slot_hpa(slot, fault->gfn);
	fault->from = fault->hpa.v;
	if (fault->prefetch && hw_load_host(fault->hpa, 1, &probe))
		return answer(fault, OBSERVE_RULE_FAULT_CLIENT_GONE, -EFAULT);
	/* A logged page becomes writable only by a write fault, which is what logs it. */
	fault->map_writable = !(slot->flags & KVM_MEM_READONLY) && (fault->write || !kvm_slot_logged(slot));
	return RET_PF_CONTINUE;
}

/* The guest's own page, and the guest's from now on if it was not. Errors come without exit information. */
static int frame_from_owner(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	int error = kvm_ownership_get_frame(vcpu, fault->slot, fault->gfn, &fault->hpa);

	if (error)
		return answer(fault, OBSERVE_RULE_FAULT_NOT_OWNED, error);
	fault->from = kvm_slot_hpa(fault->slot, fault->gfn).v;
	fault->map_writable = true;
	return RET_PF_CONTINUE;
}

static int fault_in_frame(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	const struct kvm_memslot *slot = fault->slot;

	if (slot->flags & KVM_MEMSLOT_INVALID && fault->prefetch && vcpu->kvm->compat->prefault_invalid_slot)
		return answer(fault, OBSERVE_RULE_FAULT_SLOT_INVALID_PREFAULT, vcpu->kvm->compat->prefault_invalid_slot);
	if (slot->flags & KVM_MEMSLOT_INVALID)
		return answer(fault, OBSERVE_RULE_FAULT_SLOT_INVALID, RET_PF_RETRY);
	if (fault_is_stale(vcpu, fault))
		return answer(fault, OBSERVE_RULE_FAULT_RETRY, RET_PF_RETRY);
	if (slot->donation)
		return frame_from_owner(vcpu, fault);
	if (fault->is_private || slot->flags & KVM_MEMSLOT_GMEM_ONLY)
		return frame_from_gmem(vcpu, fault);
	return frame_from_client(fault);
}

/* ---------------------------------------------------------------- memory: the mapping */

static int map_frame(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm_mmu *mmu = &vcpu->kvm->mmu;
	unsigned int mapped;
	int result;

	pthread_mutex_lock(&mmu->lock);
	mapped = fault->prefetch ? kvm_tdp_mapped_level(vcpu, fault->gfn, fault->is_private) : 0;
	if (fault_is_stale(vcpu, fault)) {
		result = answer(fault, OBSERVE_RULE_FAULT_RETRY, RET_PF_RETRY);
	} else if (mapped) {
		fault->goal_level = mapped;
		result = answer(fault, OBSERVE_RULE_FAULT_SPURIOUS, RET_PF_SPURIOUS);
	} else {
		fault->goal_level = kvm_mmu_max_level(vcpu, fault);
		result = kvm_tdp_map(vcpu, fault);
		fault->rule = result == RET_PF_FIXED	? OBSERVE_RULE_FAULT_MAPPED :
			      result == RET_PF_SPURIOUS ? OBSERVE_RULE_FAULT_SPURIOUS :
			      result == RET_PF_RETRY	? OBSERVE_RULE_FAULT_RETRY :
							  OBSERVE_RULE_FAULT_NO_TABLE;
	}
	pthread_mutex_unlock(&mmu->lock);
	return result;
}

static int fault_with_slot(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	int result = fault_in_frame(vcpu, fault);

	return result == RET_PF_CONTINUE ? map_frame(vcpu, fault) : result;
}

/* ---------------------------------------------------------------- the decision */

static enum observe_rule who_claims(const struct kvm_vendor *vendor)
{
	if (!vendor->has_private_mem)
		return OBSERVE_RULE_FAULT_NO_PRIVATE;
	return vendor->hardware_claim ? OBSERVE_RULE_FAULT_CLAIM_HARDWARE : OBSERVE_RULE_FAULT_CLAIM_ATTRIBUTES;
}

static void tell_slot(const struct kvm_vcpu *vcpu, const struct kvm_page_fault *fault)
{
	const struct kvm_memslot *s = fault->slot;

	if (s)
		observe(vcpu->kvm->obs, OBSERVE_KVM_FAULT_SLOT, vcpu->index, fault->gfn.v, s->id, s->flags, s->base.v, s->pages);
	else
		observe(vcpu->kvm->obs, OBSERVE_KVM_FAULT_SLOT, vcpu->index, fault->gfn.v, ~0ull, 0, 0, 0);
}

/* Order as in kvm_mmu_faultin_pfn(): that claim and attribute agree comes before any question about the slot. */
static int decide(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	bool attribute = kvm_is_private(vcpu->kvm, fault->gfn);

	observe(vcpu->kvm->obs, OBSERVE_KVM_FAULT_CLAIM, vcpu->index, fault->gfn.v, fault->is_private,
		who_claims(vcpu->kvm->vendor));
	if (no_slot_is_mmio(vcpu, fault)) {
		tell_slot(vcpu, fault);
		return fault_no_slot(vcpu, fault, OBSERVE_RULE_FAULT_NO_SLOT_IS_MMIO);
	}
	observe(vcpu->kvm->obs, OBSERVE_KVM_FAULT_ATTRIBUTE, vcpu->index, fault->gfn.v, attribute, fault->is_private);
	if (fault->is_private != attribute)
		return memory_fault_exit(vcpu, fault, OBSERVE_RULE_FAULT_MISMATCH, -EFAULT);
	tell_slot(vcpu, fault);
	if (fault->slot)
		return fault_with_slot(vcpu, fault);
	if (fault->is_private)
		return memory_fault_exit(vcpu, fault, OBSERVE_RULE_FAULT_NO_SLOT_PRIVATE, -EFAULT);
	return fault_no_slot(vcpu, fault, OBSERVE_RULE_FAULT_NO_SLOT_SHARED);
}

static int fault_full_path(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	int result;

	kvm_slots_lock(kvm);
	/* Before anything that the mapping depends on is read: attribute, slot, frame. */
	fault->mmu_seq = __atomic_load_n(&kvm->mmu.seq, __ATOMIC_ACQUIRE);
	fault->slot = kvm_find_slot(kvm, kvm_vcpu_as(vcpu), fault->gfn);
	result = decide(vcpu, fault);
	observe(kvm->obs, OBSERVE_KVM_FAULT_DONE, vcpu->index, fault->gfn.v, result, fault->rule);
	kvm_slots_unlock(kvm);
	if (fault->flush)
		kvm_tdp_flush(kvm);
	/* Who is changing it may be waiting for this processor. */
	if (result == RET_PF_RETRY)
		sched_yield();
	return result;
}

/* ---------------------------------------------------------------- the entries */

/* What hardware cannot have meant is reported once and cleared; the guest goes on. */
static u64 check_hardware_code(struct kvm *kvm, u64 code)
{
	if (code & PFERR_SYNTHETIC_MASK)
		kvm_warn_once(kvm, KVM_WARN_SYNTHETIC_BITS, code);
	code &= ~PFERR_SYNTHETIC_MASK;
	if (code & HW_PFERR_GUEST_ENC && !kvm->vendor->hardware_claim) {
		kvm_warn_once(kvm, KVM_WARN_STRAY_ENCRYPTION, code);
		code &= ~HW_PFERR_GUEST_ENC;
	}
	return code;
}

/* Emulated MMIO is shared: a private access that meets its entry is an error without exit information. */
static int fault_reserved(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	if (!fault->is_private)
		return handle_mmio_entry(vcpu, fault);
	kvm_warn_once(vcpu->kvm, KVM_WARN_PRIVATE_MMIO_ENTRY, fault->error_code);
	return answer(fault, OBSERVE_RULE_FAULT_MMIO_PRIVATE, -EFAULT);
}

static void count_fault(struct kvm_vcpu_stats *stats, int result)
{
	kvm_count(&stats->pf_taken);
	if (result == RET_PF_FIXED)
		kvm_count(&stats->pf_fixed);
	else if (result == RET_PF_EMULATE)
		kvm_count(&stats->pf_emulate);
	else if (result == RET_PF_SPURIOUS)
		kvm_count(&stats->pf_spurious);
}

int kvm_handle_page_fault(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code)
{
	error_code = check_hardware_code(vcpu->kvm, error_code);
	error_code |= vcpu->kvm->vendor->claim(vcpu, addr, error_code);
	addr.v &= ~vcpu->kvm->gpa_alias;

	struct kvm_page_fault fault = {
		.addr = addr,
		.error_code = error_code,
		.exec = error_code & HW_PFERR_FETCH,
		.write = error_code & HW_PFERR_WRITE,
		.present = error_code & HW_PFERR_PRESENT,
		.rsvd = error_code & HW_PFERR_RSVD,
		.is_private = error_code & PFERR_PRIVATE_ACCESS,
		.gfn = gpa_to_gfn(addr),
		.max_level = HW_LEVEL_1G,
	};
	int result = RET_PF_INVALID;

	observe(vcpu->kvm->obs, OBSERVE_KVM_PAGE_FAULT, vcpu->index, vcpu->index, hw_cpu_arch(vcpu->cpu)->rip, addr.v,
		error_code);
	if (fault.rsvd)
		result = fault_reserved(vcpu, &fault);
	if (result == RET_PF_INVALID)
		result = fault_full_path(vcpu, &fault);
	else
		observe(vcpu->kvm->obs, OBSERVE_KVM_FAULT_DONE, vcpu->index, fault.gfn.v, result, fault.rule);
	count_fault(&vcpu->stats, result);
	return result;
}

int kvm_prefault_page(struct kvm_vcpu *vcpu, gfn_t f, unsigned int *level)
{
	u64 claim = kvm_is_private(vcpu->kvm, f) ? PFERR_PRIVATE_ACCESS : 0;
	struct kvm_page_fault fault = {
		.addr = gfn_to_gpa(f),
		.error_code = HW_PFERR_GUEST_FINAL | claim,
		.is_private = claim,
		.prefetch = true,
		.gfn = f,
		.max_level = HW_LEVEL_1G,
	};
	int result = fault_full_path(vcpu, &fault);

	*level = fault.goal_level;
	return result;
}
