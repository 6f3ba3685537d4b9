// SPDX-License-Identifier: Apache-2.0
/* KVM_SET_MEMORY_ATTRIBUTES: the ranges, and the change with its zap and its invalidation. */
#include "kvm/memory_attributes.h"

#include <errno.h>

#include "kvm/ioctl.h"
#include "kvm/kvm.h"

void kvm_attributes_init(struct kvm *kvm) { pthread_rwlock_init(&kvm->attributes.lock, NULL); }

void kvm_attributes_destroy(struct kvm *kvm)
{
	range_map_destroy(&kvm->attributes.map);
	pthread_rwlock_destroy(&kvm->attributes.lock);
}

/* ---------------------------------------------------------------- questions */

u64 kvm_supported_attributes(const struct kvm *kvm)
{
	return !kvm || kvm->vendor->has_private_mem ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
}

u64 kvm_get_attributes(struct kvm *kvm, gfn_t f, gfn_t *end)
{
	u64 value, until;

	pthread_rwlock_rdlock(&kvm->attributes.lock);
	value = range_map_get(&kvm->attributes.map, f.v, &until);
	pthread_rwlock_unlock(&kvm->attributes.lock);
	if (end)
		*end = gfn(until);
	return value;
}

bool kvm_is_private(struct kvm *kvm, gfn_t f)
{
	return kvm->vendor->has_private_mem && kvm_get_attributes(kvm, f, NULL) & KVM_MEMORY_ATTRIBUTE_PRIVATE;
}

bool kvm_attributes_uniform(struct kvm *kvm, gfn_t start, gfn_t end)
{
	gfn_t until;

	if (!kvm->vendor->has_private_mem)
		return true;
	kvm_get_attributes(kvm, start, &until);
	return until.v >= end.v;
}

/* ---------------------------------------------------------------- the frames that must not be mapped meanwhile */

struct span {
	u64 start, end;
};

static void extend(struct span *hull, u64 start, u64 end)
{
	if (hull->start == hull->end) {
		*hull = (struct span){ start, end };
		return;
	}
	hull->start = start < hull->start ? start : hull->start;
	hull->end = end > hull->end ? end : hull->end;
}

/*
 * A huge page that the change will make mixed: a fault beside the change must not map all of it in the meantime. true: it is
 * mixed already, and so is every larger one around it.
 */
static bool extend_by_huge_page(struct kvm *kvm, const struct kvm_memslot *slot, u64 start, u64 pages, struct span *hull)
{
	if (start < slot->base.v || start + pages > slot->base.v + slot->pages)
		return false;
	if (!kvm_attributes_uniform(kvm, gfn(start), gfn(start + pages)))
		return true;
	extend(hull, start, start + pages);
	return false;
}

/* As kvm_arch_pre_set_memory_attributes(): the part of the change in the slot, and the huge pages at its two ends. */
static void extend_by_slot(struct kvm *kvm, const struct kvm_memslot *slot, const struct span *part, struct span *hull)
{
	bool mixed_head = false, mixed_tail = false;

	extend(hull, part->start, part->end);
	for (unsigned int level = HW_LEVEL_2M; level <= HW_LEVEL_1G; level++) {
		u64 pages = hw_level_size(level) >> HW_PAGE_SHIFT;
		u64 head = part->start & ~(pages - 1), tail = (part->end - 1) & ~(pages - 1);

		if (!mixed_head && (head != part->start || head + pages > part->end))
			mixed_head = extend_by_huge_page(kvm, slot, head, pages, hull);
		if (!mixed_tail && tail != head && tail + pages > part->end)
			mixed_tail = extend_by_huge_page(kvm, slot, tail, pages, hull);
	}
}

static bool intersect(const struct kvm_memslot *slot, const struct span *change, struct span *part)
{
	u64 end = slot->base.v + slot->pages;

	part->start = change->start > slot->base.v ? change->start : slot->base.v;
	part->end = change->end < end ? change->end : end;
	return part->start < part->end;
}

/* The hull over all slots that the change touches; empty if there is none. */
static struct span invalidated(struct kvm *kvm, const struct span *change)
{
	struct span hull = { 0, 0 }, part;

	for (unsigned int as = 0; as < kvm->vendor->address_spaces; as++)
		for (unsigned int i = 0; i < kvm->slots.as[as]->count; i++)
			if (intersect(kvm->slots.as[as]->slot[i], change, &part))
				extend_by_slot(kvm, kvm->slots.as[as]->slot[i], &part, &hull);
	return hull;
}

static void zap_slots(struct kvm *kvm, const struct span *change)
{
	struct span part;

	for (unsigned int as = 0; as < kvm->vendor->address_spaces; as++)
		for (unsigned int i = 0; i < kvm->slots.as[as]->count; i++)
			if (intersect(kvm->slots.as[as]->slot[i], change, &part))
				kvm_tdp_zap_leafs(kvm, gfn(part.start), gfn(part.end), OBSERVE_RULE_ZAP_ATTRIBUTES);
	kvm_tdp_flush(kvm);
}

/* ---------------------------------------------------------------- the change, under slots_lock */

/*
 * Faults on what changes retry between begin and end, so that none can map what it read before. Without a slot nothing is
 * mapped, and there is nothing to invalidate.
 */
static void commit(struct kvm *kvm, const struct span *change, u64 attributes)
{
	struct span hull = invalidated(kvm, change);
	bool slots = hull.start != hull.end;

	if (slots) {
		kvm_mmu_invalidate_begin(kvm, gfn(hull.start), gfn(hull.end));
		zap_slots(kvm, change);
	}
	pthread_rwlock_wrlock(&kvm->attributes.lock);
	range_map_set(&kvm->attributes.map, change->start, change->end, attributes);
	/* Inside, so that no fault tells before it that it has read them. */
	observe(kvm->obs, OBSERVE_KVM_SET_ATTRIBUTES, -1, change->start, change->end, attributes);
	pthread_rwlock_unlock(&kvm->attributes.lock);
	if (slots)
		kvm_mmu_invalidate_end(kvm);
}

static int change_locked(struct kvm *kvm, const struct span *change, u64 attributes)
{
	gfn_t until;

	/* What is so already stays as it is: no zap, no retry. */
	if (kvm_get_attributes(kvm, gfn(change->start), &until) == attributes && until.v >= change->end)
		return 0;
	if (range_map_reserve(&kvm->attributes.map))
		return -ENOMEM;
	commit(kvm, change, attributes);
	return 0;
}

int kvm_set_memory_attributes(struct kvm *kvm, const struct kvm_memory_attributes *change)
{
	struct span span = { change->address >> HW_PAGE_SHIFT, (change->address + change->size) >> HW_PAGE_SHIFT };
	int error;

	if (change->flags || change->attributes & ~kvm_supported_attributes(kvm))
		return -EINVAL;
	if (!change->size || change->address + change->size < change->address)
		return -EINVAL;
	if (change->address & ~HW_PAGE_MASK || change->size & ~HW_PAGE_MASK)
		return -EINVAL;
	pthread_mutex_lock(&kvm->slots_lock);
	error = change_locked(kvm, &span, change->attributes);
	pthread_mutex_unlock(&kvm->slots_lock);
	return error;
}

long kvm_ioctl_set_memory_attributes(struct kvm_call *c) { return kvm_set_memory_attributes(c->kvm, c->arg); }
