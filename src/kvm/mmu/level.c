// SPDX-License-Identifier: Apache-2.0
/* The largest page that may map a frame. */
#include "kvm/kvm.h"

/* The whole huge page lies in the slot, and guest and host addresses agree modulo its size. */
static bool slot_allows(const struct kvm_memslot *slot, gfn_t f, unsigned int level)
{
	u64 pages = hw_level_size(level) >> HW_PAGE_SHIFT;
	u64 start = f.v & ~(pages - 1);

	if ((slot->base.v ^ slot->hva >> HW_PAGE_SHIFT) & (pages - 1))
		return false;
	return start >= slot->base.v && start + pages <= slot->base.v + slot->pages;
}

unsigned int kvm_mmu_max_level(const struct kvm_memslot *slot, gfn_t f, unsigned int max_level)
{
	if (slot->dirty)
		return HW_LEVEL_4K;
	while (max_level > HW_LEVEL_4K && !slot_allows(slot, f, max_level))
		max_level--;
	return max_level;
}
