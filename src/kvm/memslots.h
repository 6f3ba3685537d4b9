// SPDX-License-Identifier: Apache-2.0
/*
 * Memslots: which client memory stands behind which guest frames (api.rst KVM_SET_USER_MEMORY_REGION).
 *
 * The array of an address space and its slots are immutable: an update makes new ones and publishes them under the rwlock,
 * which also waits for every reader of the old ones. Readers hold the rwlock from lookup to the last use of the slot. Each
 * publication advances the generation; bit 63 is set while an update is in progress, so that nothing learned meanwhile is
 * remembered.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "hw/addr.h"
#include "softcvm/kvm_abi.h"

struct kvm;
struct hw_donation;
struct kvm_vcpu;
struct kvm_gmem_binding;
struct kvm_object;

#define KVM_USER_MEM_SLOTS   32764u
#define KVM_MEM_MAX_PAGES    (((u64)1 << 31) - 1)
#define KVM_MEMSLOT_INVALID  (1u << 16) /* internal flag: is being deleted or moved */
#define KVM_MEMSLOT_GMEM_ONLY (1u << 17) /* its guest_memfd can be mapped: shared frames come from it, too */
#define KVM_SLOTS_UPDATING   ((u64)1 << 63)
#define KVM_ADDRESS_SPACES   2u
#define KVM_USER_ADDRESS_END 0x7ffffffff000ull /* of the client: four levels of paging */

struct kvm_memslot {
	u32 id, flags;
	unsigned int as_id;
	gfn_t base;
	u64 pages;
	u64 hva;
	struct kvm_gmem_binding *gmem;	/* GUEST_MEMFD: where private frames, or all (GMEM_ONLY), come from */
	struct hw_donation *donation;	/* pKVM: the client's memory as far as the guest owns it */
	struct kvm_dirty_bitmap *dirty; /* LOG_DIRTY_PAGES in VMs without dirty rings; shared by successive versions of the slot */
};

struct kvm_memslots {
	u64 generation;
	unsigned int count;
	u16 *id;		    /* of each slot, to be searched */
	struct kvm_memslot *slot[]; /* sorted by base, never overlapping; shared by successive arrays */
};

struct kvm_slots {
	pthread_rwlock_t rwlock;
	struct kvm_memslots *as[KVM_ADDRESS_SPACES];
	_Atomic u64 generation;
};

int kvm_slots_init(struct kvm *kvm);
void kvm_slots_destroy(struct kvm *kvm);

int kvm_set_memory_region(struct kvm *kvm, const struct kvm_userspace_memory_region2 *mem);

static inline u64 kvm_slots_generation(const struct kvm_slots *s)
{
	return atomic_load_explicit(&s->generation, memory_order_acquire);
}

/* Reader side. The slot is valid until kvm_slots_unlock(). */
void kvm_slots_lock(struct kvm *kvm);
void kvm_slots_unlock(struct kvm *kvm);
const struct kvm_memslot *kvm_find_slot(const struct kvm *kvm, unsigned int as_id, gfn_t f);
const struct kvm_memslot *kvm_slot_by_id(const struct kvm *kvm, unsigned int as_id, u32 id);

static inline bool kvm_slot_logged(const struct kvm_memslot *s) { return s->flags & KVM_MEM_LOG_DIRTY_PAGES; }
static inline bool kvm_slot_contains(const struct kvm_memslot *s, gfn_t f)
{
	return f.v >= s->base.v && f.v - s->base.v < s->pages;
}
static inline hpa_t kvm_slot_hpa(const struct kvm_memslot *s, gfn_t f)
{
	return hpa(s->hva + ((f.v - s->base.v) << HW_PAGE_SHIFT));
}

/*
 * Guest memory for kvm itself (kvmclock, hypercalls): through address space 0, any thread, 0 or -EFAULT. Writes mark pages
 * dirty and fail on read-only slots.
 */
int kvm_read_guest(struct kvm *kvm, gpa_t a, void *dst, size_t size);
int kvm_write_guest(struct kvm *kvm, gpa_t a, const void *src, size_t size);
/* Through another one. */
int kvm_read_guest_as(struct kvm *kvm, unsigned int as_id, gpa_t a, void *dst, size_t size);
int kvm_write_guest_as(struct kvm *kvm, unsigned int as_id, gpa_t a, const void *src, size_t size);
/*
 * The same for structures that Linux keeps mapped in the kernel (gfn_to_pfn cache: kvmclock), where no fault is expected. On a VM
 * type whose guests own pages this takes the page from the guest.
 */
int kvm_write_guest_mapped(struct kvm *kvm, gpa_t a, const void *src, size_t size);

/* The client's devices wrote to its memory there: code that was decoded from it is dropped, under whatever frame. */
void kvm_memory_written(struct kvm *kvm, u64 hva, u64 size);

/*
 * dirty.c. A bit is set together with the write permission of the frame, both under mmu.lock, and taken together with it.
 * kvm->slots_lock is held to create, destroy and read out.
 */
struct kvm_dirty_bitmap *kvm_dirty_bitmap_create(u64 pages, bool initially_set);
void kvm_dirty_bitmap_destroy(struct kvm_dirty_bitmap *dirty);
/* vcpu: whose write it is, NULL if nobody's, which no dirty ring can hold. Nothing if the slot is not logged. */
void kvm_mark_dirty(struct kvm_vcpu *vcpu, const struct kvm_memslot *slot, gfn_t f);
int kvm_get_dirty_log(struct kvm *kvm, const struct kvm_dirty_log *log);
int kvm_clear_dirty_log(struct kvm *kvm, const struct kvm_clear_dirty_log *log);
