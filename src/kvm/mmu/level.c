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

/* The last limit that lowered the level. */
static void lower(unsigned int *level, unsigned int to, enum observe_rule because, enum observe_rule *rule)
{
	if (to < *level)
		*rule = because;
	*level = to;
}

static unsigned int level_by_slot(const struct kvm_memslot *slot, gfn_t f, unsigned int level)
{
	for (; level > HW_LEVEL_4K; level--) {
		const struct huge_page h = huge_page_of(f, level);

		if (slot_allows(slot, &h))
			break;
	}
	return level;
}

/* A huge page has one kind of frames only. */
static unsigned int level_by_attributes(struct kvm *kvm, gfn_t f, unsigned int level)
{
	for (; level > HW_LEVEL_4K; level--) {
		const struct huge_page h = huge_page_of(f, level);

		if (kvm_attributes_uniform(kvm, gfn(h.start), gfn(h.end)))
			break;
	}
	return level;
}

unsigned int kvm_mmu_max_level(struct kvm_vcpu *vcpu, const struct kvm_page_fault *fault)
{
	const struct kvm_vendor *vendor = vcpu->kvm->vendor;
	unsigned int slot_level, attributes_level, level = fault->max_level;
	enum observe_rule rule = OBSERVE_RULE_LEVEL_MAX;

	if (kvm_slot_logged(fault->slot))
		lower(&level, HW_LEVEL_4K, OBSERVE_RULE_LEVEL_LOGGED, &rule);
	slot_level = level_by_slot(fault->slot, fault->gfn, level);
	lower(&level, slot_level, OBSERVE_RULE_LEVEL_SLOT, &rule);
	attributes_level = level_by_attributes(vcpu->kvm, fault->gfn, level);
	lower(&level, attributes_level, OBSERVE_RULE_LEVEL_MIXED, &rule);
	/* guest_memfd gives out single pages. */
	if (fault->from_gmem)
		lower(&level, HW_LEVEL_4K, OBSERVE_RULE_LEVEL_GMEM, &rule);
	if (vendor->max_level)
		lower(&level, limit(level, vendor->max_level(vcpu->kvm, fault->gfn, fault->is_private)), OBSERVE_RULE_LEVEL_VENDOR,
		      &rule);
	observe(vcpu->kvm->obs, OBSERVE_KVM_FAULT_LEVEL, vcpu->index, fault->gfn.v, slot_level, attributes_level, level, rule);
	return level;
}
