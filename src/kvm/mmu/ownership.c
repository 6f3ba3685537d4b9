// SPDX-License-Identifier: Apache-2.0
/* Page states of VMs that share memory in place, and what changes them. */
#include "kvm/mmu/ownership.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "hw/phys/donation.h"
#include "kvm/kvm.h"
#include "kvm/range_map.h"

struct kvm_ownership {
	pthread_mutex_t lock;
	struct range_map states; /* by frame: enum kvm_page_state */
	u64 borders, max_borders;
	_Atomic bool started;	 /* set under slots_lock */
};

/* ---------------------------------------------------------------- the table */

enum host_state { HOST_OWNED, HOST_NOPAGE, HOST_SHARED_BORROWED };

static const enum host_state host_states[] = {
	[KVM_PAGE_NOPAGE] = HOST_OWNED,
	[KVM_PAGE_OWNED] = HOST_NOPAGE,
	[KVM_PAGE_SHARED_OWNED] = HOST_SHARED_BORROWED,
	[KVM_PAGE_POISON] = HOST_OWNED,
};
_Static_assert(sizeof(host_states) / sizeof(host_states[0]) == KVM_PAGE_STATES, "one for each");

struct transition {
	int error; /* or 0 and the next state */
	enum kvm_page_state next;
};

/* As pKVM's hypervisor decides (arch/arm64/kvm/hyp/nvhe/mem_protect.c), by the guest's state: it determines the host's. */
static const struct transition transitions[KVM_PAGE_STATES][KVM_PAGE_OPERATIONS] = {
	[KVM_PAGE_NOPAGE] = {
		[KVM_PAGE_DONATE] = { .next = KVM_PAGE_OWNED },
		[KVM_PAGE_SHARE] = { -ENOENT },
		[KVM_PAGE_UNSHARE] = { -ENOENT },
		[KVM_PAGE_RECLAIM] = { -EPERM },
		[KVM_PAGE_FORCE_RECLAIM] = { -EAGAIN },
	},
	[KVM_PAGE_OWNED] = {
		[KVM_PAGE_DONATE] = { -EPERM },
		[KVM_PAGE_SHARE] = { .next = KVM_PAGE_SHARED_OWNED },
		[KVM_PAGE_UNSHARE] = { -EPERM },
		[KVM_PAGE_RECLAIM] = { .next = KVM_PAGE_NOPAGE },
		[KVM_PAGE_FORCE_RECLAIM] = { .next = KVM_PAGE_POISON },
	},
	[KVM_PAGE_SHARED_OWNED] = {
		[KVM_PAGE_DONATE] = { -EPERM },
		[KVM_PAGE_SHARE] = { -EPERM },
		[KVM_PAGE_UNSHARE] = { .next = KVM_PAGE_OWNED },
		[KVM_PAGE_RECLAIM] = { .next = KVM_PAGE_NOPAGE },
		[KVM_PAGE_FORCE_RECLAIM] = { -EAGAIN },
	},
	[KVM_PAGE_POISON] = {
		[KVM_PAGE_DONATE] = { -EPERM },
		[KVM_PAGE_SHARE] = { -EHWPOISON },
		[KVM_PAGE_UNSHARE] = { -EHWPOISON },
		[KVM_PAGE_RECLAIM] = { .next = KVM_PAGE_NOPAGE },
		[KVM_PAGE_FORCE_RECLAIM] = { -EAGAIN },
	},
};

bool kvm_ownership_host_may(enum kvm_page_state state) { return host_states[state] != HOST_NOPAGE; }

/* ---------------------------------------------------------------- life */

int kvm_ownership_create(struct kvm *kvm)
{
	struct kvm_ownership *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	pthread_mutex_init(&o->lock, NULL);
	o->max_borders = hw_donation_max_borders();
	kvm->ownership = o;
	return 0;
}

void kvm_ownership_destroy(struct kvm *kvm)
{
	if (!kvm->ownership)
		return;
	range_map_destroy(&kvm->ownership->states);
	pthread_mutex_destroy(&kvm->ownership->lock);
	free(kvm->ownership);
}

void kvm_ownership_start(struct kvm *kvm)
{
	if (atomic_load(&kvm->ownership->started))
		return;
	pthread_mutex_lock(&kvm->slots_lock);
	atomic_store(&kvm->ownership->started, true);
	pthread_mutex_unlock(&kvm->slots_lock);
}

bool kvm_ownership_started(const struct kvm *kvm) { return atomic_load(&kvm->ownership->started); }

/* ---------------------------------------------------------------- states, under ownership->lock */

static enum kvm_page_state state_of(const struct kvm_ownership *o, u64 f, u64 *end)
{
	return (enum kvm_page_state)range_map_get(&o->states, f, end);
}

enum kvm_page_state kvm_ownership_state(const struct kvm *kvm, gfn_t f, gfn_t *end)
{
	u64 until;
	enum kvm_page_state state = state_of(kvm->ownership, f.v, &until);

	if (end)
		*end = gfn(until);
	return state;
}

void kvm_ownership_lock(struct kvm *kvm)
{
	if (kvm->ownership)
		pthread_mutex_lock(&kvm->ownership->lock);
}

void kvm_ownership_unlock(struct kvm *kvm)
{
	if (kvm->ownership)
		pthread_mutex_unlock(&kvm->ownership->lock);
}

bool kvm_ownership_guest_owns(struct kvm *kvm, gfn_t f)
{
	bool owns;

	kvm_ownership_lock(kvm);
	owns = !kvm_ownership_host_may(kvm_ownership_state(kvm, f, NULL));
	kvm_ownership_unlock(kvm);
	return owns;
}

_Static_assert(KVM_PAGE_DONATE == (int)OBSERVE_PAGE_DONATE && KVM_PAGE_FORCE_RECLAIM == (int)OBSERVE_PAGE_FORCE_RECLAIM &&
		       KVM_PAGE_NOPAGE == (int)OBSERVE_PAGE_NOPAGE && KVM_PAGE_POISON == (int)OBSERVE_PAGE_POISON,
	       "the trace names them");

/* Under ownership->lock. `vcpu`: -1 for none. The state from here on is that of the first page. */
static void report(struct kvm *kvm, int vcpu, gfn_t start, gfn_t end, enum kvm_page_operation operation, int error)
{
	observe(kvm->obs, OBSERVE_KVM_PAGE_OWNERSHIP, vcpu, start.v, end.v, operation, kvm_ownership_state(kvm, start, NULL),
		error);
}

/* What the client has mapped at the page's address: its own memory, or a frame that it can reach or not. */
enum view { VIEW_OWN, VIEW_HIDDEN, VIEW_SHOWN };

static enum view view_of(enum kvm_page_state state)
{
	if (state == KVM_PAGE_NOPAGE)
		return VIEW_OWN;
	return kvm_ownership_host_may(state) ? VIEW_SHOWN : VIEW_HIDDEN;
}

/* By how many borders of the client's mappings there are more when [start, end) becomes `next`. */
static s64 more_borders(const struct kvm_ownership *o, u64 start, u64 end, enum kvm_page_state next)
{
	enum view before = view_of(state_of(o, start, NULL)), after = view_of(next);
	enum view left = start ? view_of(state_of(o, start - 1, NULL)) : VIEW_OWN;
	enum view right = view_of(state_of(o, end, NULL));

	return (left != after) - (left != before) + (right != after) - (right != before);
}

static bool fits(const struct kvm_ownership *o, u64 start, u64 end, enum kvm_page_state next)
{
	s64 more = more_borders(o, start, end, next);

	return more <= 0 || o->borders + (u64)more <= o->max_borders;
}

/* After range_map_reserve(). */
static void set_state(struct kvm_ownership *o, u64 start, u64 end, enum kvm_page_state next)
{
	o->borders += more_borders(o, start, end, next);
	range_map_set(&o->states, start, end, next);
}

/* ---------------------------------------------------------------- donation */

/*
 * A page at a time, so that the client keeps what the guest has not touched. A guest that touches every other page would use up
 * the mappings of the process: from half of what it may have on, the untouched pages behind the page go with it, in 2 MiB, and
 * later in 1 GiB.
 */
static u64 donation_end(const struct kvm_ownership *o, const struct kvm_memslot *slot, u64 f)
{
	unsigned int level = o->borders < o->max_borders / 2 ? HW_LEVEL_4K :
			     o->borders < o->max_borders / 4 * 3 ? HW_LEVEL_2M : HW_LEVEL_1G;
	u64 end = (f | ((hw_level_size(level) >> HW_PAGE_SHIFT) - 1)) + 1, slot_end = slot->base.v + slot->pages, gap;

	state_of(o, f, &gap);
	end = end < gap ? end : gap;
	return end < slot_end ? end : slot_end;
}

static int donate(struct kvm_vcpu *vcpu, const struct kvm_memslot *slot, u64 f)
{
	struct kvm_ownership *o = vcpu->kvm->ownership;
	u64 end = donation_end(o, slot, f);
	int error;

	if (!fits(o, f, f + 1, KVM_PAGE_OWNED) || range_map_reserve(&o->states))
		return -ENOMEM;
	error = hw_donation_take(slot->donation, f - slot->base.v, end - f);
	/* The client has no memory in the rest. */
	if (error && end > f + 1) {
		end = f + 1;
		error = hw_donation_take(slot->donation, f - slot->base.v, 1);
	}
	if (!error)
		set_state(o, f, end, transitions[KVM_PAGE_NOPAGE][KVM_PAGE_DONATE].next);
	report(vcpu->kvm, vcpu->index, gfn(f), gfn(end), KVM_PAGE_DONATE, error);
	return error;
}

int kvm_ownership_get_frame(struct kvm_vcpu *vcpu, const struct kvm_memslot *slot, gfn_t f, hpa_t *out)
{
	struct kvm_ownership *o = vcpu->kvm->ownership;
	enum kvm_page_state state;
	int error = 0;

	pthread_mutex_lock(&o->lock);
	state = state_of(o, f.v, NULL);
	if (state == KVM_PAGE_POISON)
		error = -EFAULT;
	else if (state == KVM_PAGE_NOPAGE)
		error = donate(vcpu, slot, f.v);
	pthread_mutex_unlock(&o->lock);
	*out = hw_donation_frame(slot->donation, f.v - slot->base.v);
	return error;
}

/* ---------------------------------------------------------------- share, unshare */

/* Every page of the range may make the transition: they have slots, and the same state. */
static int check_conversion(struct kvm *kvm, u64 start, u64 end, enum kvm_page_operation operation)
{
	const struct kvm_ownership *o = kvm->ownership;
	u64 until;

	for (u64 f = start; f < end; f = until) {
		const struct kvm_memslot *slot = kvm_find_slot(kvm, 0, gfn(f));
		enum kvm_page_state state = state_of(o, f, &until);

		if (!slot)
			return -EINVAL;
		if (transitions[state][operation].error)
			return transitions[state][operation].error;
		if (until > slot->base.v + slot->pages)
			until = slot->base.v + slot->pages;
	}
	return 0;
}

static int set_visible(const struct kvm_memslot *slot, u64 f, u64 end, enum kvm_page_operation operation)
{
	int (*set)(struct hw_donation *d, u64 page, u64 count) =
		operation == KVM_PAGE_SHARE ? hw_donation_show : hw_donation_hide;

	return set(slot->donation, f - slot->base.v, end - f);
}

/* Slot by slot, up to the end or the first that fails. Returns how far it came. */
static u64 set_range_visible(struct kvm *kvm, u64 start, u64 end, enum kvm_page_operation operation)
{
	u64 f = start;

	while (f < end) {
		const struct kvm_memslot *slot = kvm_find_slot(kvm, 0, gfn(f));
		u64 until = slot->base.v + slot->pages;

		until = until < end ? until : end;
		if (set_visible(slot, f, until, operation))
			break;
		f = until;
	}
	return f;
}

/* The frame stays, and so do the guest's mapping and the contents: only the client's access comes and goes. */
static int convert(struct kvm *kvm, u64 start, u64 end, enum kvm_page_operation operation)
{
	enum kvm_page_operation opposite = operation == KVM_PAGE_SHARE ? KVM_PAGE_UNSHARE : KVM_PAGE_SHARE;
	struct kvm_ownership *o = kvm->ownership;
	int error = check_conversion(kvm, start, end, operation);
	enum kvm_page_state next;
	u64 done;

	if (error)
		return error;
	next = transitions[state_of(o, start, NULL)][operation].next;
	if (!fits(o, start, end, next) || range_map_reserve(&o->states))
		return -ENOMEM;
	done = set_range_visible(kvm, start, end, operation);
	if (done < end) {
		set_range_visible(kvm, start, done, opposite);
		return -ENOMEM;
	}
	set_state(o, start, end, next);
	return 0;
}

int kvm_ownership_convert(struct kvm_vcpu *vcpu, gfn_t start, gfn_t end, enum kvm_page_operation operation)
{
	struct kvm *kvm = vcpu->kvm;
	int error;

	kvm_slots_lock(kvm);
	pthread_mutex_lock(&kvm->ownership->lock);
	error = convert(kvm, start.v, end.v, operation);
	report(kvm, vcpu->index, start, end, operation, error);
	pthread_mutex_unlock(&kvm->ownership->lock);
	kvm_slots_unlock(kvm);
	return error;
}

/* ---------------------------------------------------------------- what the host takes back */

/* Zeroed before the client can see it, and no sooner than no vCPU can write to it. */
static void force_reclaim(struct kvm *kvm, const struct kvm_memslot *slot, gfn_t f)
{
	struct kvm_ownership *o = kvm->ownership;
	u64 page = f.v - slot->base.v;

	kvm_mmu_invalidate_begin(kvm, f, gfn(f.v + 1));
	set_state(o, f.v, f.v + 1, transitions[KVM_PAGE_OWNED][KVM_PAGE_FORCE_RECLAIM].next);
	kvm_tdp_zap(kvm, f, gfn(f.v + 1), OBSERVE_RULE_ZAP_RECLAIM);
	hw_donation_wipe(slot->donation, page, 1);
	hw_donation_show(slot->donation, page, 1);
	kvm_mmu_invalidate_end(kvm);
}

void kvm_ownership_kernel_access(struct kvm *kvm, gfn_t f)
{
	struct kvm_ownership *o = kvm->ownership;
	const struct kvm_memslot *slot;
	enum kvm_page_state state;
	int error;

	kvm_slots_lock(kvm);
	slot = kvm_find_slot(kvm, 0, f);
	pthread_mutex_lock(&o->lock);
	kvm_slots_unlock(kvm);
	state = state_of(o, f.v, NULL);
	error = transitions[state][KVM_PAGE_FORCE_RECLAIM].error;
	if (!error && range_map_reserve(&o->states))
		error = -ENOMEM;
	if (!error)
		force_reclaim(kvm, slot, f);
	if (!kvm_ownership_host_may(state))
		report(kvm, -1, f, gfn(f.v + 1), KVM_PAGE_FORCE_RECLAIM, error);
	pthread_mutex_unlock(&o->lock);
}

/* ---------------------------------------------------------------- slots */

int kvm_ownership_add_slot(struct kvm *kvm, struct kvm_memslot *slot)
{
	return hw_donation_create(slot->hva, slot->pages, &slot->donation);
}

/* The states themselves end with the VM: a slot goes alone only before anything is owned. */
static void reclaim(struct kvm *kvm, const struct kvm_memslot *slot)
{
	struct kvm_ownership *o = kvm->ownership;
	u64 slot_end = slot->base.v + slot->pages, end;

	for (u64 f = slot->base.v; f < slot_end; f = end) {
		enum kvm_page_state state = state_of(o, f, &end);

		end = end < slot_end ? end : slot_end;
		if (transitions[state][KVM_PAGE_RECLAIM].error)
			continue;
		if (!kvm_ownership_host_may(state))
			hw_donation_wipe(slot->donation, f - slot->base.v, end - f);
		observe(kvm->obs, OBSERVE_KVM_PAGE_OWNERSHIP, -1, f, end, KVM_PAGE_RECLAIM,
			transitions[state][KVM_PAGE_RECLAIM].next, 0);
	}
}

void kvm_ownership_remove_slot(struct kvm *kvm, struct kvm_memslot *slot)
{
	if (!slot->donation)
		return;
	reclaim(kvm, slot);
	hw_donation_destroy(slot->donation);
}
