// SPDX-License-Identifier: Apache-2.0
/* The largest page that may map a frame (kvm_mmu_max_mapping_level()). */
#include "kvm/kvm.h"

struct huge_page {
	u64 start, end; /* frames */
};

static struct huge_page huge_page_of(gfn_t f, unsigned int level)
{
	u64 pages = hw_level_size(level) >> HW_PAGE_SHIFT;
	u64 start = f.v & ~(pages - 1);

	return (struct huge_page){ start, start + pages };
}

/* The whole huge page lies in the slot, and guest and host addresses agree modulo its size. */
static bool slot_allows(const struct kvm_memslot *slot, const struct huge_page *h)
{
	if ((slot->base.v ^ slot->hva >> HW_PAGE_SHIFT) & (h->end - h->start - 1))
		return false;
	return h->start >= slot->base.v && h->end <= slot->base.v + slot->pages;
}

static unsigned int limit(unsigned int level, unsigned int most) { return most && most < level ? most : level; }

unsigned int kvm_mmu_max_level(struct kvm *kvm, const struct kvm_page_fault *fault)
{
	unsigned int slot_level, level = fault->max_level;

	if (fault->slot->dirty)
		level = HW_LEVEL_4K;
	for (; level > HW_LEVEL_4K; level--) {
		const struct huge_page h = huge_page_of(fault->gfn, level);

		if (slot_allows(fault->slot, &h))
			break;
	}
	slot_level = level;
	/* A huge page has one kind of frames only. */
	for (; level > HW_LEVEL_4K; level--) {
		const struct huge_page h = huge_page_of(fault->gfn, level);

		if (kvm_attributes_uniform(kvm, gfn(h.start), gfn(h.end)))
			break;
	}
	observe(kvm->obs, OBSERVE_KVM_FAULT_LEVEL, -1, fault->gfn.v, slot_level, level,
		fault->from_gmem ? HW_LEVEL_4K : level);
	/* guest_memfd gives out single pages. */
	level = limit(level, fault->from_gmem ? HW_LEVEL_4K : 0);
	return limit(level, kvm->vendor->max_level ? kvm->vendor->max_level(kvm, fault->gfn, fault->is_private) : 0);
}
