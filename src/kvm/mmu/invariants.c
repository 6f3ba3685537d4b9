// SPDX-License-Identifier: Apache-2.0
/*
 * The invariants of guest memory, as code: what is mapped is what slots, attributes and guest_memfds say, at any moment at
 * which none of them is changing.
 */
#include <stdio.h>

#include "hw/phys/donation.h"
#include "kvm/kvm.h"

struct check {
	struct kvm *kvm;
	const char *violated; /* the first one */
	gfn_t at;
};

static bool violated(struct check *c, gfn_t f, bool wrong, const char *rule)
{
	if (!wrong || c->violated)
		return wrong;
	c->violated = rule;
	c->at = f;
	return true;
}

/* What the guest may use in place is the frame that it was given, and still has. */
static void check_owned_frame(struct check *c, const struct kvm_memslot *slot, gfn_t f, hpa_t mapped, unsigned int level)
{
	enum kvm_page_state state = kvm_ownership_state(c->kvm, f, NULL);

	violated(c, f, state != KVM_PAGE_OWNED && state != KVM_PAGE_SHARED_OWNED, "a page is mapped only while the guest owns it");
	violated(c, f, mapped.v != hw_donation_frame(slot->donation, f.v - slot->base.v).v,
		 "an owned page is mapped from its own frame");
	violated(c, f, level != HW_LEVEL_4K, "owned pages are mapped one by one");
}

/* A private frame comes from the guest_memfd, at 4K; a shared one from the client, unless the slot has nothing else. */
static void check_frame(struct check *c, const struct kvm_memslot *slot, gfn_t f, hpa_t mapped, unsigned int level)
{
	bool is_private = kvm_is_private(c->kvm, f);
	hpa_t frame;

	if (slot->donation) {
		check_owned_frame(c, slot, f, mapped, level);
		return;
	}
	if (!is_private && !(slot->flags & KVM_MEMSLOT_GMEM_ONLY)) {
		violated(c, f, mapped.v != kvm_slot_hpa(slot, f).v, "a shared frame is mapped from the client's memory of its slot");
		return;
	}
	if (violated(c, f, !kvm_gmem_frame_of(slot, f, &frame), "a private frame is mapped only with a guest_memfd"))
		return;
	violated(c, f, frame.v != mapped.v, "a private frame is mapped from its page of the guest_memfd");
	violated(c, f, level != HW_LEVEL_4K, "a guest_memfd is mapped by single pages");
}

static void check_leaf(struct check *c, gfn_t f, u64 entry, unsigned int level)
{
	u64 pages = hw_level_size(level) >> HW_PAGE_SHIFT;
	const struct kvm_memslot *slot = kvm_find_slot(c->kvm, 0, f);
	enum stage2_format format = c->kvm->mmu.s2.format;
	/* Bit 7 says that the leaf is huge, bit 12 and up are its address. */
	hpa_t mapped = hpa(entry & STAGE2_ADDR_MASK & ~(hw_level_size(level) - 1));

	if (violated(c, f, !slot || slot->flags & KVM_MEMSLOT_INVALID, "what is mapped has a slot"))
		return;
	violated(c, f, f.v + pages > slot->base.v + slot->pages, "a huge page lies in one slot");
	violated(c, f, !kvm_attributes_uniform(c->kvm, f, gfn(f.v + pages)), "a huge page has frames of one kind");
	violated(c, f, slot->flags & KVM_MEM_READONLY && stage2_perms(format, entry) & STAGE2_W,
		 "a read-only slot is not mapped writable");
	check_frame(c, slot, f, mapped, level);
}

static void check_mmio(struct check *c, gfn_t f, u64 generation)
{
	bool current = generation == (kvm_slots_generation(&c->kvm->slots) & KVM_MMIO_GENERATION_MASK);

	violated(c, f, current && kvm_find_slot(c->kvm, 0, f), "an MMIO entry of this generation has no slot");
}

/* The shared tables hold nothing that the mirror's owner maps. */
static void check_shared_side(struct check *c, gfn_t f)
{
	violated(c, f, c->kvm->mmu.mirror && kvm_is_private(c->kvm, f), "a private frame is not mapped in the shared tables");
}

static void check_entry(void *opaque, gfn_t f, u64 entry, unsigned int level)
{
	struct check *c = opaque;
	u64 generation;

	check_shared_side(c, f);
	if (!stage2_is_reserved(c->kvm->mmu.s2.format, entry))
		check_leaf(c, f, entry, level);
	else if (kvm_tdp_lookup_mmio(c->kvm, &c->kvm->mmu.s2, f, &generation))
		check_mmio(c, f, generation);
}

struct visible {
	struct check *c;
	const struct kvm_memslot *slot;
};

/* The client can reach these pages of the slot's frames. */
static void check_visible(void *opaque, u64 page, u64 count)
{
	const struct visible *v = opaque;
	gfn_t f = gfn(v->slot->base.v + page), end = gfn(f.v + count), until;

	for (; f.v < end.v; f = until)
		if (violated(v->c, f, !kvm_ownership_host_may(kvm_ownership_state(v->c->kvm, f, &until)),
			     "what the guest owns is out of the client's reach"))
			return;
}

static void check_ownership(struct check *c)
{
	const struct kvm_memslots *slots = c->kvm->slots.as[0];

	for (unsigned int i = 0; i < slots->count; i++)
		if (slots->slot[i]->donation)
			hw_donation_for_each_visible(slots->slot[i]->donation, check_visible,
						     &(struct visible){ c, slots->slot[i] });
}

/* What another's tables map for the guest is as true as what ours do. */
static void check_mirrored(void *opaque, gfn_t f, hpa_t page)
{
	const struct kvm_memslot *slot = kvm_find_slot(((struct check *)opaque)->kvm, 0, f);
	struct check *c = opaque;

	if (violated(c, f, !slot || slot->flags & KVM_MEMSLOT_INVALID, "what is mapped has a slot"))
		return;
	if (!violated(c, f, !kvm_is_private(c->kvm, f), "only a private frame is mapped privately"))
		check_frame(c, slot, f, page, HW_LEVEL_4K);
}

/* And their owner's own rules hold. */
static void check_private_tables(struct check *c)
{
	const struct kvm_private_ops *ops = c->kvm->vendor->private_ops;
	const char *wrong = ops ? ops->check(c->kvm) : NULL;

	violated(c, gfn(0), wrong, wrong);
}

int kvm_check_invariants(struct kvm *kvm, char *message, size_t size)
{
	struct check c = { .kvm = kvm };

	/* slots_lock keeps slots, attributes and bindings as they are; mmu.lock keeps the tables. */
	pthread_mutex_lock(&kvm->slots_lock);
	kvm_slots_lock(kvm);
	kvm_ownership_lock(kvm);
	pthread_mutex_lock(&kvm->mmu.lock);
	kvm_tdp_for_each(kvm, check_entry, &c);
	kvm_mirror_for_each(kvm, check_mirrored, &c);
	check_private_tables(&c);
	pthread_mutex_unlock(&kvm->mmu.lock);
	check_ownership(&c);
	kvm_ownership_unlock(kvm);
	kvm_slots_unlock(kvm);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (!c.violated)
		return 0;
	snprintf(message, size, "gfn %#llx: %s", (unsigned long long)c.at.v, c.violated);
	return 1;
}
