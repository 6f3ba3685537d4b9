// SPDX-License-Identifier: Apache-2.0
/*
 * KVM_PRE_FAULT_MEMORY (api.rst): maps what is there, as reads would. It converts nothing, measures nothing, breaks no
 * copy-on-write of the client's mapping, and lets nobody choose a level. Progress is reported in the structure itself.
 */
#include <errno.h>
#include <sys/mman.h>

#include "kvm/ioctl.h"
#include "kvm/x86/x86.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* How much of a guest_memfd is allocated at a time. */
#define GMEM_BATCH_PAGES 512u
/* How much of the client's memory is read between two looks for a signal. */
#define CLIENT_BATCH_PAGES 8192u

struct prefault {
	struct kvm_vcpu *vcpu;
	gfn_t at;
	u64 pages; /* still to do */
	bool page_by_page; /* something of the client's memory is not there: find out which page */
};

/* One frame, until it is decided. */
static int map_one(const struct prefault *p, unsigned int *level)
{
	int result;

	do {
		if (kvm_vcpu_interrupted(p->vcpu))
			return -EINTR;
		if (atomic_load_explicit(&p->vcpu->kvm->dead, memory_order_relaxed))
			return -EIO;
		result = kvm_prefault_page(p->vcpu, p->at, level);
	} while (result == RET_PF_RETRY);
	if (result == RET_PF_FIXED || result == RET_PF_SPURIOUS || result == RET_PF_WRITE_PROTECTED)
		return 0;
	if (result == RET_PF_EMULATE)
		return -ENOENT;
	return result < 0 ? result : -EIO;
}

/* The rest of the huge page, as far as it was asked for; a mapping alone would leave its pages to the guest's first access. */
static bool read_client_pages(const struct prefault *p, u64 pages)
{
	const struct kvm_memslot *slot;
	bool there = false;

	kvm_slots_lock(p->vcpu->kvm);
	slot = kvm_find_slot(p->vcpu->kvm, kvm_vcpu_as(p->vcpu), p->at);
	if (slot && !(slot->flags & KVM_MEMSLOT_INVALID) && pages <= slot->base.v + slot->pages - p->at.v)
		there = !madvise(hpa_to_ptr(kvm_slot_hpa(slot, p->at)), pages << HW_PAGE_SHIFT, MADV_POPULATE_READ);
	kvm_slots_unlock(p->vcpu->kvm);
	return there;
}

/* Pages of a guest_memfd come one by one, but are cheaper by the batch. */
static void allocate_batch(const struct prefault *p)
{
	struct kvm *kvm = p->vcpu->kvm;
	const struct kvm_memslot *slot;
	u64 pages = p->pages < GMEM_BATCH_PAGES ? p->pages : GMEM_BATCH_PAGES;
	gfn_t end;

	kvm_slots_lock(kvm);
	slot = kvm_find_slot(kvm, 0, p->at);
	if (slot && slot->gmem && !(slot->flags & KVM_MEMSLOT_INVALID) && kvm_is_private(kvm, p->at)) {
		kvm_get_attributes(kvm, p->at, &end);
		pages = pages < end.v - p->at.v ? pages : end.v - p->at.v;
		pages = pages < slot->base.v + slot->pages - p->at.v ? pages : slot->base.v + slot->pages - p->at.v;
		kvm_gmem_populate(slot, p->at, pages, p->vcpu->index);
	}
	kvm_slots_unlock(kvm);
}

static int step(struct prefault *p)
{
	unsigned int level = HW_LEVEL_4K;
	u64 size, pages;
	int error;

	if (!__atomic_load_n(&p->vcpu->kvm->pre_fault_allowed, __ATOMIC_ACQUIRE))
		return -EOPNOTSUPP;
	/* One address for each frame: not the one with the shared bit. */
	if (gfn_to_gpa(p->at).v & p->vcpu->kvm->gpa_alias)
		return -EINVAL;
	error = map_one(p, &level);
	if (error) {
		observe(p->vcpu->kvm->obs, OBSERVE_KVM_PRE_FAULT_STEP, p->vcpu->index, p->at.v, 0, level, error);
		return error;
	}
	size = hw_level_size(level) >> HW_PAGE_SHIFT;
	pages = size - (p->at.v & (size - 1));
	pages = pages < p->pages ? pages : p->pages;
	pages = pages < CLIENT_BATCH_PAGES ? pages : CLIENT_BATCH_PAGES;
	if (pages > 1 && !p->page_by_page && !read_client_pages(p, pages))
		p->page_by_page = true;
	if (p->page_by_page)
		pages = 1;
	observe(p->vcpu->kvm->obs, OBSERVE_KVM_PRE_FAULT_STEP, p->vcpu->index, p->at.v, pages, level, 0);
	p->at.v += pages;
	p->pages -= pages;
	return 0;
}

static int prefault(struct kvm_vcpu *vcpu, struct kvm_pre_fault_memory *range)
{
	struct prefault p = { .vcpu = vcpu, .at = gpa_to_gfn(gpa(range->gpa)), .pages = range->size >> HW_PAGE_SHIFT };
	u64 wanted = p.pages;
	int error = 0;

	while (p.pages && !error) {
		if ((wanted - p.pages) % GMEM_BATCH_PAGES == 0)
			allocate_batch(&p);
		error = step(&p);
	}
	range->gpa = gfn_to_gpa(p.at).v;
	range->size = p.pages << HW_PAGE_SHIFT;
	observe(vcpu->kvm->obs, OBSERVE_KVM_PRE_FAULT, vcpu->index, range->gpa, range->size, wanted - p.pages, error);
	return p.pages == wanted ? error : 0;
}

static int check_range(const struct kvm_pre_fault_memory *range)
{
	if (range->flags || range->gpa & ~HW_PAGE_MASK || range->size & ~HW_PAGE_MASK || range->gpa + range->size <= range->gpa)
		return -EINVAL;
	return 0;
}

long kvm_ioctl_pre_fault_memory(struct kvm_call *c)
{
	struct kvm_pre_fault_memory range;
	int result;

	if (hw_copy_from_host(&range, c->user, sizeof(range)))
		return -EFAULT;
	result = check_range(&range);
	if (!result) {
		kvm_vcpu_interruptible(c->vcpu, true);
		result = prefault(c->vcpu, &range);
		kvm_vcpu_interruptible(c->vcpu, false);
	}
	/* Also after a failure: api.rst has the caller go on from what is left. */
	return hw_copy_to_host(c->user, &range, sizeof(range)) ? -EFAULT : result;
}
