// SPDX-License-Identifier: Apache-2.0
/* The dirty log of a slot: api.rst KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm.h"

struct kvm_dirty_bitmap {
	u64 words;
	u64 word[];
};

struct kvm_dirty_bitmap *kvm_dirty_bitmap_create(u64 pages, bool initially_set)
{
	u64 words = (pages + 63) / 64;
	struct kvm_dirty_bitmap *dirty = calloc(1, sizeof(*dirty) + words * sizeof(u64));

	if (!dirty)
		return NULL;
	dirty->words = words;
	if (initially_set) {
		memset(dirty->word, 0xff, words * sizeof(u64));
		if (pages % 64)
			dirty->word[words - 1] = ((u64)1 << pages % 64) - 1;
	}
	return dirty;
}

void kvm_dirty_bitmap_destroy(struct kvm_dirty_bitmap *dirty) { free(dirty); }

void kvm_mark_dirty(struct kvm_vcpu *vcpu, const struct kvm_memslot *slot, gfn_t f)
{
	u64 page = f.v - slot->base.v;

	if (!kvm_slot_logged(slot))
		return;
	if (vcpu && vcpu->dirty_ring)
		kvm_dirty_ring_push(vcpu, slot, f);
	else if (slot->dirty)
		__atomic_fetch_or(&slot->dirty->word[page / 64], (u64)1 << page % 64, __ATOMIC_RELAXED);
}

/* Under slots_lock. */
static int find_logged(struct kvm *kvm, u32 slot, const struct kvm_memslot **out)
{
	if (kvm->dirty_ring_size)
		return -ENXIO;
	if (slot >> 16 >= kvm->vendor->address_spaces || (slot & 0xffff) >= KVM_USER_MEM_SLOTS)
		return -EINVAL;
	*out = kvm_slot_by_id(kvm, slot >> 16, slot & 0xffff);
	return *out && (*out)->dirty ? 0 : -ENOENT;
}

/* Takes `mask` of the word's bits, and the write permission that would hide a later write. */
static u64 take_bits(struct kvm *kvm, const struct kvm_memslot *slot, u64 word, u64 mask)
{
	u64 bits;

	pthread_mutex_lock(&kvm->mmu.lock);
	bits = __atomic_fetch_and(&slot->dirty->word[word], ~mask, __ATOMIC_RELAXED) & mask;
	kvm_tdp_write_protect(kvm, gfn(slot->base.v + word * 64), bits);
	pthread_mutex_unlock(&kvm->mmu.lock);
	return bits;
}

static u64 *read_log(struct kvm *kvm, const struct kvm_memslot *slot)
{
	bool manual = kvm->caps.manual_dirty_log & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	u64 *log = malloc(slot->dirty->words * sizeof(u64));
	bool flush = false;

	for (u64 i = 0; log && i < slot->dirty->words; i++) {
		log[i] = __atomic_load_n(&slot->dirty->word[i], __ATOMIC_RELAXED);
		if (log[i] && !manual) {
			log[i] = take_bits(kvm, slot, i, ~(u64)0);
			flush = true;
		}
	}
	if (flush)
		kvm_tdp_flush(kvm);
	return log;
}

int kvm_get_dirty_log(struct kvm *kvm, const struct kvm_dirty_log *log)
{
	const struct kvm_memslot *slot;
	u64 *bits = NULL;
	int error;

	pthread_mutex_lock(&kvm->slots_lock);
	error = find_logged(kvm, log->slot, &slot);
	if (!error) {
		bits = read_log(kvm, slot);
		error = bits ? hw_copy_to_host(ptr_to_hpa(log->dirty_bitmap), bits, slot->dirty->words * sizeof(u64)) : -ENOMEM;
	}
	pthread_mutex_unlock(&kvm->slots_lock);
	free(bits);
	return error;
}

static int clear_range(struct kvm *kvm, const struct kvm_memslot *slot, const struct kvm_clear_dirty_log *log)
{
	u64 words = (log->num_pages + 63ull) / 64, first = log->first_page / 64;
	bool flush = false;
	u64 *mask;
	int error;

	if (log->first_page & 63 || log->first_page > slot->pages || log->num_pages > slot->pages - log->first_page)
		return -EINVAL;
	if (log->num_pages % 64 && log->first_page + log->num_pages != slot->pages)
		return -EINVAL;
	if (!words)
		return 0;
	mask = malloc(words * sizeof(u64));
	if (!mask)
		return -ENOMEM;
	error = hw_copy_from_host(mask, ptr_to_hpa(log->dirty_bitmap), words * sizeof(u64));
	for (u64 i = 0; !error && i < words; i++)
		if (mask[i] && take_bits(kvm, slot, first + i, mask[i]))
			flush = true;
	free(mask);
	if (flush)
		kvm_tdp_flush(kvm);
	return error;
}

int kvm_clear_dirty_log(struct kvm *kvm, const struct kvm_clear_dirty_log *log)
{
	const struct kvm_memslot *slot;
	int error;

	pthread_mutex_lock(&kvm->slots_lock);
	error = find_logged(kvm, log->slot, &slot);
	/* Before the question whether there is such a slot. */
	if (error == -ENOENT && log->first_page & 63)
		error = -EINVAL;
	if (!error)
		error = clear_range(kvm, slot, log);
	pthread_mutex_unlock(&kvm->slots_lock);
	return error;
}
