// SPDX-License-Identifier: Apache-2.0
/* The fault path. Each step has one place; they run in the order in which they stand in kvm_handle_page_fault(). */
#include <errno.h>

#include "kvm/kvm.h"

int kvm_memory_fault_exit(struct kvm_vcpu *vcpu, gfn_t f, bool is_private)
{
	vcpu->run->exit_reason = KVM_EXIT_MEMORY_FAULT;
	vcpu->run->memory_fault.flags = is_private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0;
	vcpu->run->memory_fault.gpa = gfn_to_gpa(f).v;
	vcpu->run->memory_fault.size = HW_PAGE_SIZE;
	return -EFAULT;
}

/* ---------------------------------------------------------------- the sequence */

void kvm_mmu_invalidate_begin(struct kvm *kvm, gfn_t start, gfn_t end)
{
	struct kvm_mmu *mmu = &kvm->mmu;

	pthread_mutex_lock(&mmu->lock);
	if (!mmu->in_progress++) {
		mmu->range_start = start.v;
		mmu->range_end = end.v;
	} else {
		if (start.v < mmu->range_start)
			mmu->range_start = start.v;
		if (end.v > mmu->range_end)
			mmu->range_end = end.v;
	}
	pthread_mutex_unlock(&mmu->lock);
}

void kvm_mmu_invalidate_end(struct kvm *kvm)
{
	struct kvm_mmu *mmu = &kvm->mmu;

	pthread_mutex_lock(&mmu->lock);
	__atomic_store_n(&mmu->seq, mmu->seq + 1, __ATOMIC_RELEASE);
	mmu->in_progress--;
	pthread_mutex_unlock(&mmu->lock);
}

/* Under mmu.lock: did what the fault has read change, or is it changing? */
static bool fault_is_stale(struct kvm_vcpu *vcpu, const struct kvm_page_fault *fault)
{
	const struct kvm_mmu *mmu = &vcpu->kvm->mmu;

	if (mmu->in_progress && fault->gfn.v >= mmu->range_start && fault->gfn.v < mmu->range_end)
		return true;
	return mmu->seq != fault->mmu_seq;
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
static int handle_mmio_entry(struct kvm_vcpu *vcpu, gfn_t f)
{
	u64 generation = kvm_slots_generation(&vcpu->kvm->slots);
	struct kvm_mmu *mmu = &vcpu->kvm->mmu;
	u64 cached;
	bool mmio;

	if (remembered_mmio(vcpu, f, generation))
		return RET_PF_EMULATE;
	pthread_mutex_lock(&mmu->lock);
	mmio = kvm_tdp_lookup_mmio(vcpu->kvm, f, &cached);
	pthread_mutex_unlock(&mmu->lock);
	if (!mmio)
		return RET_PF_RETRY;
	if (generation & KVM_SLOTS_UPDATING || cached != (generation & KVM_MMIO_GENERATION_MASK))
		return RET_PF_INVALID;
	remember_mmio(vcpu, f, generation);
	return RET_PF_EMULATE;
}

static int fault_no_slot(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	u64 generation = kvm_slots_generation(&vcpu->kvm->slots);
	struct kvm_mmu *mmu = &vcpu->kvm->mmu;

	if (fault->is_private)
		return kvm_memory_fault_exit(vcpu, fault->gfn, true);
	if (fault->gfn.v >= mmu->max_gfn || generation & KVM_SLOTS_UPDATING)
		return RET_PF_EMULATE;
	remember_mmio(vcpu, fault->gfn, generation);
	pthread_mutex_lock(&mmu->lock);
	kvm_tdp_map_mmio(vcpu, fault, generation);
	pthread_mutex_unlock(&mmu->lock);
	return RET_PF_EMULATE;
}

/* ---------------------------------------------------------------- memory */

/* The frame behind the gfn. Whether the client's page is there is found out by the access itself (hw: host_fault). */
static int fault_in_frame(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	const struct kvm_memslot *slot = fault->slot;

	if (slot->flags & KVM_MEMSLOT_INVALID)
		return fault->prefetch ? -EAGAIN : RET_PF_RETRY;
	/* A write to ROM is emulated: api.rst KVM_MEM_READONLY. It is not cached as MMIO. */
	if (fault->write && slot->flags & KVM_MEM_READONLY)
		return RET_PF_EMULATE;
	fault->hpa = kvm_slot_hpa(slot, fault->gfn);
	/* A logged page becomes writable only by a write fault, which is what logs it. */
	fault->map_writable = !(slot->flags & KVM_MEM_READONLY) && (fault->write || !slot->dirty);
	return RET_PF_CONTINUE;
}

static int map_frame(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm_mmu *mmu = &vcpu->kvm->mmu;
	int result;

	pthread_mutex_lock(&mmu->lock);
	if (fault_is_stale(vcpu, fault)) {
		observe(vcpu->kvm->obs, OBSERVE_KVM_RETRY, vcpu->index, fault->gfn.v, mmu->seq);
		result = RET_PF_RETRY;
	} else {
		fault->goal_level = kvm_mmu_max_level(fault->slot, fault->gfn, fault->max_level);
		result = kvm_tdp_map(vcpu, fault);
	}
	pthread_mutex_unlock(&mmu->lock);
	return result;
}

static int fault_with_slot(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	int result = fault_in_frame(vcpu, fault);

	return result == RET_PF_CONTINUE ? map_frame(vcpu, fault) : result;
}

static int fault_full_path(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	int result;

	kvm_slots_lock(kvm);
	/* Before anything that the mapping depends on is read. */
	fault->mmu_seq = __atomic_load_n(&kvm->mmu.seq, __ATOMIC_ACQUIRE);
	fault->slot = kvm_find_slot(kvm, 0, fault->gfn);
	result = fault->slot ? fault_with_slot(vcpu, fault) : fault_no_slot(vcpu, fault);
	kvm_slots_unlock(kvm);
	if (fault->flush)
		kvm_tdp_flush(kvm);
	return result;
}

int kvm_handle_page_fault(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code)
{
	error_code &= ~PFERR_SYNTHETIC_MASK;
	error_code |= vcpu->kvm->vendor->claim(vcpu, addr, error_code);

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

	observe(vcpu->kvm->obs, OBSERVE_KVM_PAGE_FAULT, vcpu->index, vcpu->index, hw_cpu_arch(vcpu->cpu)->rip, addr.v,
		error_code);
	if (fault.rsvd) {
		int result = fault.is_private ? -EFAULT : handle_mmio_entry(vcpu, fault.gfn);

		if (result != RET_PF_INVALID)
			return result;
	}
	return fault_full_path(vcpu, &fault);
}
