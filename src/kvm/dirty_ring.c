// SPDX-License-Identifier: Apache-2.0
#include "kvm/dirty_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/ioctl.h"
#include "kvm/kvm.h"

/* What is left when the vCPU has to leave the guest: for writes that kvm makes before it does. */
#define RESERVED_ENTRIES 64u

struct kvm_dirty_ring {
	struct kvm_dirty_gfn *entry;
	u32 size; /* entries, a power of two */
	int fd;
	_Atomic u32 dirty_index; /* written by the vCPU's thread */
	_Atomic u32 reset_index; /* written under slots_lock */
};

/* ---------------------------------------------------------------- life */

static int check_size(u32 size)
{
	if (!size || size & (size - 1))
		return -EINVAL;
	if (size < HW_PAGE_SIZE || size < RESERVED_ENTRIES * sizeof(struct kvm_dirty_gfn))
		return -EINVAL;
	return size > KVM_DIRTY_RING_MAX_SIZE ? -E2BIG : 0;
}

/* Once, and before there is a vCPU. Linux looks at 32 bits of the argument. */
int kvm_dirty_ring_enable(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	u32 size = (u32)cap->args[0];
	int error = check_size(size);

	if (error)
		return error;
	if (kvm->dirty_ring_size || kvm_vcpu_count(kvm))
		return -EINVAL;
	kvm->dirty_ring_size = size;
	return 0;
}

int kvm_dirty_ring_create(struct kvm_vcpu *vcpu)
{
	u32 size = vcpu->kvm->dirty_ring_size;
	struct kvm_dirty_ring *ring;
	void *entries;
	int error;

	if (!size)
		return 0;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	ring->fd = kvm_fd_create_carrier("kvm-dirty-ring", size);
	if (ring->fd < 0) {
		error = ring->fd;
		free(ring);
		return error;
	}
	entries = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (entries == MAP_FAILED) {
		close(ring->fd);
		free(ring);
		return -ENOMEM;
	}
	ring->entry = entries;
	ring->size = size / sizeof(struct kvm_dirty_gfn);
	vcpu->dirty_ring = ring;
	return 0;
}

void kvm_dirty_ring_destroy(struct kvm_vcpu *vcpu)
{
	struct kvm_dirty_ring *ring = vcpu->dirty_ring;

	if (!ring)
		return;
	munmap(ring->entry, (size_t)ring->size * sizeof(struct kvm_dirty_gfn));
	close(ring->fd);
	free(ring);
}

int kvm_dirty_ring_fd(const struct kvm_vcpu *vcpu) { return vcpu->dirty_ring ? vcpu->dirty_ring->fd : -1; }

/* ---------------------------------------------------------------- the vCPU's end */

static struct kvm_dirty_gfn *entry_at(const struct kvm_dirty_ring *ring, u32 index)
{
	return &ring->entry[index & (ring->size - 1)];
}

/* The reserve is reached. A client that resets what it never got moves the difference below zero; Linux compares it so, too. */
static bool soft_full(const struct kvm_dirty_ring *ring)
{
	u32 used = atomic_load_explicit(&ring->dirty_index, memory_order_relaxed) -
		   atomic_load_explicit(&ring->reset_index, memory_order_acquire);

	return used >= ring->size - RESERVED_ENTRIES;
}

void kvm_dirty_ring_push(struct kvm_vcpu *vcpu, const struct kvm_memslot *slot, gfn_t f)
{
	struct kvm_dirty_ring *ring = vcpu->dirty_ring;
	u32 index = atomic_load_explicit(&ring->dirty_index, memory_order_relaxed);
	struct kvm_dirty_gfn *entry = entry_at(ring, index);
	u64 offset = f.v - slot->base.v;
	u32 id = slot->as_id << 16 | slot->id;

	__atomic_store_n(&entry->slot, id, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->offset, offset, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_DIRTY, __ATOMIC_RELEASE);
	atomic_store_explicit(&ring->dirty_index, index + 1, memory_order_relaxed);
	observe(vcpu->kvm->obs, OBSERVE_KVM_DIRTY_RING_PUSH, vcpu->index, vcpu->index, index, id, offset);
	if (soft_full(ring))
		kvm_make_request(vcpu, KVM_REQ_DIRTY_RING_SOFT_FULL);
}

bool kvm_dirty_ring_exit(struct kvm_vcpu *vcpu)
{
	if (!kvm_check_request(vcpu, KVM_REQ_DIRTY_RING_SOFT_FULL) || !soft_full(vcpu->dirty_ring))
		return false;
	kvm_make_request(vcpu, KVM_REQ_DIRTY_RING_SOFT_FULL);
	vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
	observe(vcpu->kvm->obs, OBSERVE_KVM_DIRTY_RING_EXIT, vcpu->index, vcpu->index);
	return true;
}

/* ---------------------------------------------------------------- KVM_RESET_DIRTY_RINGS, under slots_lock */

/* Frames of one slot that are written next to each other are protected together. */
struct batch {
	u32 slot;
	u64 offset, mask;
};

static void protect(struct kvm *kvm, const struct batch *b)
{
	unsigned int as_id = b->slot >> 16, id = b->slot & 0xffff;
	const struct kvm_memslot *slot;

	if (!b->mask || as_id >= kvm->vendor->address_spaces || id >= KVM_USER_MEM_SLOTS)
		return;
	slot = kvm_slot_by_id(kvm, as_id, id);
	if (!slot || b->offset >= slot->pages || (u64)(63 - __builtin_clzll(b->mask)) >= slot->pages - b->offset)
		return;
	pthread_mutex_lock(&kvm->mmu.lock);
	kvm_tdp_write_protect(kvm, gfn(slot->base.v + b->offset), b->mask);
	pthread_mutex_unlock(&kvm->mmu.lock);
}

static void add_to_batch(struct kvm *kvm, struct batch *b, u32 slot, u64 offset)
{
	if (b->mask && slot == b->slot && offset >= b->offset && offset - b->offset < 64) {
		b->mask |= (u64)1 << (offset - b->offset);
		return;
	}
	protect(kvm, b);
	*b = (struct batch){ slot, offset, 1 };
}

/* How many entries became free. One round at most: whoever marks them again meanwhile waits for the next call. */
static u32 reset_ring(struct kvm_vcpu *vcpu)
{
	struct kvm_dirty_ring *ring = vcpu->dirty_ring;
	struct kvm *kvm = vcpu->kvm;
	u32 index = atomic_load_explicit(&ring->reset_index, memory_order_relaxed), count = 0;
	struct batch b = { .mask = 0 };

	for (; count < ring->size; count++) {
		struct kvm_dirty_gfn *entry = entry_at(ring, index + count);

		if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_RESET))
			break;
		add_to_batch(kvm, &b, __atomic_load_n(&entry->slot, __ATOMIC_RELAXED),
			     __atomic_load_n(&entry->offset, __ATOMIC_RELAXED));
		__atomic_store_n(&entry->flags, 0, __ATOMIC_RELEASE);
	}
	/* Protected before the vCPU may fill the entries again: what it writes afterwards is logged anew. */
	protect(kvm, &b);
	atomic_store_explicit(&ring->reset_index, index + count, memory_order_release);
	observe(kvm->obs, OBSERVE_KVM_DIRTY_RING_RESET, -1, vcpu->index, index + count, count);
	return count;
}

long kvm_ioctl_reset_dirty_rings(struct kvm_call *c)
{
	struct kvm *kvm = c->kvm;
	struct kvm_vcpu *vcpu;
	unsigned int i;
	u64 count = 0;

	if (!kvm->dirty_ring_size)
		return -EINVAL;
	pthread_mutex_lock(&kvm->slots_lock);
	kvm_for_each_vcpu(i, vcpu, kvm)
		count += reset_ring(vcpu);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (count)
		kvm_tdp_flush(kvm);
	return (long)count;
}
