// SPDX-License-Identifier: Apache-2.0
/* KVM_SET_USER_MEMORY_REGION and guest memory as kvm itself reads and writes it. */
#include "kvm/memslots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hw/phys/donation.h"
#include "kvm/kvm.h"

/* What was asked for; `file`: the object behind guest_memfd, if it is one of ours. */
struct region_request {
	const struct kvm_userspace_memory_region2 *mem;
	struct kvm_object *file;
};

/* Where its frames came from, when no version of the slot is left. */
static void free_memory(struct kvm *kvm, struct kvm_memslot *slot)
{
	kvm_gmem_unbind(slot->gmem);
	if (kvm->vendor->free_slot)
		kvm->vendor->free_slot(kvm, slot);
}

int kvm_slots_init(struct kvm *kvm)
{
	pthread_rwlock_init(&kvm->slots.rwlock, NULL);
	for (unsigned int as = 0; as < KVM_ADDRESS_SPACES; as++) {
		kvm->slots.as[as] = calloc(1, sizeof(struct kvm_memslots));
		if (!kvm->slots.as[as])
			return -ENOMEM;
	}
	return 0;
}

void kvm_slots_destroy(struct kvm *kvm)
{
	for (unsigned int as = 0; as < KVM_ADDRESS_SPACES; as++) {
		struct kvm_memslots *slots = kvm->slots.as[as];

		for (unsigned int i = 0; slots && i < slots->count; i++) {
			kvm_dirty_bitmap_destroy(slots->slot[i]->dirty);
			free_memory(kvm, slots->slot[i]);
			free(slots->slot[i]);
		}
		free(slots);
	}
	pthread_rwlock_destroy(&kvm->slots.rwlock);
}

void kvm_slots_lock(struct kvm *kvm) { pthread_rwlock_rdlock(&kvm->slots.rwlock); }
void kvm_slots_unlock(struct kvm *kvm) { pthread_rwlock_unlock(&kvm->slots.rwlock); }

/* How many slots begin at or before the frame. */
static unsigned int slots_up_to(const struct kvm_memslots *slots, gfn_t f)
{
	unsigned int low = 0, high = slots->count;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (slots->slot[mid]->base.v <= f.v)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct kvm_memslot *kvm_find_slot(const struct kvm *kvm, unsigned int as_id, gfn_t f)
{
	const struct kvm_memslots *slots = kvm->slots.as[as_id];
	unsigned int count = slots_up_to(slots, f);

	return count && kvm_slot_contains(slots->slot[count - 1], f) ? slots->slot[count - 1] : NULL;
}

/* slots->count: not there. */
static unsigned int index_of(const struct kvm_memslots *slots, u32 id)
{
	unsigned int i = 0;

	while (i < slots->count && slots->id[i] != id)
		i++;
	return i;
}

const struct kvm_memslot *kvm_slot_by_id(const struct kvm *kvm, unsigned int as_id, u32 id)
{
	const struct kvm_memslots *slots = kvm->slots.as[as_id];
	unsigned int i = index_of(slots, id);

	return i < slots->count ? slots->slot[i] : NULL;
}

/* ---------------------------------------------------------------- new arrays */

static struct kvm_memslot *copy_slot(const struct kvm_memslot *slot)
{
	struct kvm_memslot *copy = malloc(sizeof(*copy));

	if (copy)
		*copy = *slot;
	return copy;
}

/* [from, to) of the old array, but for the one at `without`. */
static void append(struct kvm_memslots *slots, const struct kvm_memslots *old, unsigned int from, unsigned int to,
		   unsigned int without)
{
	unsigned int n = to - from;

	if (from <= without && without < to) {
		append(slots, old, from, without, to);
		append(slots, old, without + 1, to, to);
		return;
	}
	if (!n)
		return;
	memcpy(&slots->slot[slots->count], &old->slot[from], n * sizeof(old->slot[0]));
	memcpy(&slots->id[slots->count], &old->id[from], n * sizeof(old->id[0]));
	slots->count += n;
}

/* The array without slot `id`, and with `add` if it is not NULL. */
static struct kvm_memslots *make_slots(const struct kvm_memslots *old, u32 id, struct kvm_memslot *add)
{
	size_t capacity = old->count + 1;
	struct kvm_memslots *slots = malloc(sizeof(*slots) + capacity * (sizeof(slots->slot[0]) + sizeof(slots->id[0])));
	unsigned int at = add ? slots_up_to(old, add->base) : old->count, without = index_of(old, id);

	if (!slots)
		return NULL;
	slots->count = 0;
	slots->id = (u16 *)&slots->slot[capacity];
	append(slots, old, 0, at, without);
	if (add) {
		slots->id[slots->count] = add->id;
		slots->slot[slots->count++] = add;
	}
	append(slots, old, at, old->count, without);
	return slots;
}

/* Readers of the old array are gone when this returns. */
static void publish(struct kvm *kvm, unsigned int as_id, struct kvm_memslots *slots, bool last)
{
	struct kvm_memslots *old;
	u64 generation = kvm->slots.generation;

	generation = last ? (generation & ~KVM_SLOTS_UPDATING) + 1 : generation | KVM_SLOTS_UPDATING;
	/* What entries have of it comes round: none of the last time may be left. */
	if (last && !(generation & KVM_MMIO_GENERATION_MASK))
		kvm_tdp_forget_mmio(kvm);
	pthread_rwlock_wrlock(&kvm->slots.rwlock);
	old = kvm->slots.as[as_id];
	kvm->slots.as[as_id] = slots;
	slots->generation = generation;
	atomic_store_explicit(&kvm->slots.generation, generation, memory_order_release);
	pthread_rwlock_unlock(&kvm->slots.rwlock);
	free(old);
}

static void tell(const struct kvm *kvm, enum observe_slot_op op, const struct kvm_memslot *slot, gfn_t was)
{
	observe(kvm->obs, OBSERVE_KVM_MEMSLOT, -1, op, slot->id, slot->as_id, slot->flags, gfn_to_gpa(slot->base).v,
		slot->pages << HW_PAGE_SHIFT, slot->hva, gfn_to_gpa(was).v);
}

static void zap_slot(struct kvm *kvm, const struct kvm_memslot *slot, enum observe_rule why)
{
	gfn_t end = gfn(slot->base.v + slot->pages);

	kvm_mmu_invalidate_begin(kvm, slot->base, end);
	kvm_tdp_zap(kvm, slot->base, end, why);
	kvm_mmu_invalidate_end(kvm);
}

/* ---------------------------------------------------------------- the four kinds of change, under slots_lock */

static int create_slot(struct kvm *kvm, const struct kvm_memslot *new)
{
	struct kvm_memslot *slot = copy_slot(new);
	struct kvm_memslots *slots = slot ? make_slots(kvm->slots.as[new->as_id], new->id, slot) : NULL;

	if (!slots) {
		free(slot);
		return -ENOMEM;
	}
	/* Before it can be found: a guest_memfd's binding has told of it already. */
	tell(kvm, OBSERVE_SLOT_CREATE, slot, slot->base);
	publish(kvm, new->as_id, slots, true);
	/* Where the guest was told that there is nothing it would not ask again. */
	if (kvm->vendor->mmio_is_ve)
		zap_slot(kvm, slot, OBSERVE_RULE_ZAP_SLOT_NEW);
	return 0;
}

/* Delete (new NULL) or move: in between, the slot is there but invalid, and faults on it retry. */
static int replace_slot(struct kvm *kvm, struct kvm_memslot *old, const struct kvm_memslot *new)
{
	const struct kvm_memslots *current = kvm->slots.as[old->as_id];
	struct kvm_memslot *invalid = copy_slot(old), *moved = new ? copy_slot(new) : NULL;
	struct kvm_memslots *during = NULL, *after = NULL;

	if (invalid && (moved || !new)) {
		invalid->flags |= KVM_MEMSLOT_INVALID;
		during = make_slots(current, old->id, invalid);
		after = make_slots(current, old->id, moved);
	}
	if (!during || !after) {
		free(during);
		free(after);
		free(invalid);
		free(moved);
		return -ENOMEM;
	}
	tell(kvm, OBSERVE_SLOT_INVALIDATE, invalid, old->base);
	publish(kvm, old->as_id, during, false);
	zap_slot(kvm, invalid, OBSERVE_RULE_ZAP_SLOT);
	tell(kvm, new ? OBSERVE_SLOT_MOVE : OBSERVE_SLOT_DELETE, new ? moved : old, old->base);
	publish(kvm, old->as_id, after, true);
	if (!new || new->dirty != old->dirty)
		kvm_dirty_bitmap_destroy(old->dirty);
	if (!new)
		free_memory(kvm, old);
	free(invalid);
	free(old);
	return 0;
}

static int change_flags(struct kvm *kvm, struct kvm_memslot *old, const struct kvm_memslot *new)
{
	struct kvm_memslot *slot = copy_slot(new);
	struct kvm_memslots *slots = slot ? make_slots(kvm->slots.as[new->as_id], new->id, slot) : NULL;

	if (!slots) {
		free(slot);
		return -ENOMEM;
	}
	tell(kvm, OBSERVE_SLOT_FLAGS, slot, old->base);
	publish(kvm, new->as_id, slots, true);
	/* Logging began: writable and large mappings go. It ended: large ones may come back. */
	zap_slot(kvm, new, OBSERVE_RULE_ZAP_SLOT_FLAGS);
	if (old->dirty != new->dirty)
		kvm_dirty_bitmap_destroy(old->dirty);
	free(old);
	return 0;
}

/* ---------------------------------------------------------------- checks, in the kernel's order */

static int check_flags(const struct kvm *kvm, u32 flags)
{
	u32 valid = KVM_MEM_LOG_DIRTY_PAGES;

	/* Private memory cannot be logged, nor write-protected. */
	if (flags & KVM_MEM_GUEST_MEMFD && kvm_gmem_supported(kvm))
		valid = KVM_MEM_GUEST_MEMFD;
	else if (kvm->vendor->has_readonly_mem)
		valid |= KVM_MEM_READONLY;
	return flags & ~valid ? -EINVAL : 0;
}

static int check_region(const struct kvm *kvm, const struct kvm_userspace_memory_region2 *mem)
{
	if ((mem->slot & 0xffff) >= KVM_USER_MEM_SLOTS || check_flags(kvm, mem->flags))
		return -EINVAL;
	if (mem->memory_size & ~HW_PAGE_MASK || mem->guest_phys_addr & ~HW_PAGE_MASK || mem->userspace_addr & ~HW_PAGE_MASK)
		return -EINVAL;
	if (mem->userspace_addr > KVM_USER_ADDRESS_END || mem->memory_size > KVM_USER_ADDRESS_END - mem->userspace_addr)
		return -EINVAL;
	if (mem->flags & KVM_MEM_GUEST_MEMFD && (mem->guest_memfd_offset & ~HW_PAGE_MASK ||
						 mem->guest_memfd_offset + mem->memory_size < mem->guest_memfd_offset))
		return -EINVAL;
	if (mem->slot >> 16 >= kvm->vendor->address_spaces)
		return -EINVAL;
	if (mem->guest_phys_addr + mem->memory_size < mem->guest_phys_addr)
		return -EINVAL;
	if (mem->memory_size >> HW_PAGE_SHIFT > KVM_MEM_MAX_PAGES)
		return -EINVAL;
	return 0;
}

static bool overlaps(const struct kvm *kvm, const struct kvm_memslot *new)
{
	const struct kvm_memslots *slots = kvm->slots.as[new->as_id];
	unsigned int i = slots_up_to(slots, gfn(new->base.v + new->pages - 1));

	/* From the last that begins in the new one or before, back to one that ends before it; the old version does not count. */
	while (i--) {
		const struct kvm_memslot *s = slots->slot[i];

		if (s->id == new->id)
			continue;
		return new->base.v < s->base.v + s->pages;
	}
	return false;
}

/* The dirty bitmap of the new version: kept, made, or none. */
static int prepare_dirty(const struct kvm *kvm, const struct kvm_memslot *old, struct kvm_memslot *new)
{
	if (!(new->flags & KVM_MEM_LOG_DIRTY_PAGES) || kvm->dirty_ring_size)
		return 0;
	if (old && old->dirty) {
		new->dirty = old->dirty;
		return 0;
	}
	new->dirty = kvm_dirty_bitmap_create(new->pages, kvm->caps.manual_dirty_log & KVM_DIRTY_LOG_INITIALLY_SET);
	return new->dirty ? 0 : -ENOMEM;
}

/* What a slot that appears somewhere needs of the address there. */
static int check_place(const struct kvm *kvm, const struct kvm_memslot *new)
{
	gfn_t last = gfn(new->base.v + new->pages - 1);

	if (last.v >= kvm->mmu.max_gfn)
		return -EINVAL;
	if (gfn_to_gpa(last).v & kvm->gpa_alias && !kvm->compat->slots_may_alias)
		return -EINVAL;
	return 0;
}

static int ask_vendor(struct kvm *kvm, const struct kvm_memslot *old, struct kvm_memslot *new)
{
	return kvm->vendor->prepare_slot ? kvm->vendor->prepare_slot(kvm, old, new) : 0;
}

static int publish_change(struct kvm *kvm, struct kvm_memslot *old, const struct kvm_memslot *new)
{
	if (!old)
		return create_slot(kvm, new);
	return old->base.v != new->base.v ? replace_slot(kvm, old, new) : change_flags(kvm, old, new);
}

static int commit(struct kvm *kvm, struct kvm_memslot *old, struct kvm_memslot *new)
{
	int error = prepare_dirty(kvm, old, new);

	if (error)
		return error;
	if (!old || old->base.v != new->base.v)
		error = check_place(kvm, new);
	error = error ? error : ask_vendor(kvm, old, new);
	error = error ? error : publish_change(kvm, old, new);
	if (error && (!old || old->dirty != new->dirty))
		kvm_dirty_bitmap_destroy(new->dirty);
	return error;
}

/* A new slot: its guest_memfd is looked at after overlaps, and let go if anything fails later. */
static int create(struct kvm *kvm, struct kvm_memslot *new, const struct region_request *request)
{
	int error;

	if (overlaps(kvm, new))
		return -EEXIST;
	if (new->flags & KVM_MEM_GUEST_MEMFD) {
		error = kvm_gmem_bind(kvm, new, request->file, request->mem->guest_memfd, request->mem->guest_memfd_offset);
		if (error)
			return error;
	}
	error = commit(kvm, NULL, new);
	if (error)
		free_memory(kvm, new);
	return error;
}

static int modify(struct kvm *kvm, struct kvm_memslot *old, struct kvm_memslot *new)
{
	/* Slots with a guest_memfd never change. */
	if (new->flags & KVM_MEM_GUEST_MEMFD || new->hva != old->hva || new->pages != old->pages ||
	    (new->flags ^ old->flags) & (KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD))
		return -EINVAL;
	if (new->base.v == old->base.v && new->flags == old->flags)
		return 0;
	if (new->base.v != old->base.v && overlaps(kvm, new))
		return -EEXIST;
	return commit(kvm, old, new);
}

static int delete(struct kvm *kvm, struct kvm_memslot *old)
{
	int error = old ? ask_vendor(kvm, old, NULL) : -EINVAL;

	return error ? error : replace_slot(kvm, old, NULL);
}

static int set_region_locked(struct kvm *kvm, const struct region_request *request)
{
	const struct kvm_userspace_memory_region2 *mem = request->mem;
	const struct kvm_memslots *slots;
	struct kvm_memslot *old;
	unsigned int index;
	struct kvm_memslot new = {
		.id = mem->slot & 0xffff,
		.as_id = mem->slot >> 16,
		.flags = mem->flags,
		.base = gpa_to_gfn(gpa(mem->guest_phys_addr)),
		.pages = mem->memory_size >> HW_PAGE_SHIFT,
		.hva = mem->userspace_addr,
	};
	int error = check_region(kvm, mem);

	if (error)
		return error;
	slots = kvm->slots.as[new.as_id];
	index = index_of(slots, new.id);
	old = index < slots->count ? slots->slot[index] : NULL;
	if (!new.pages)
		return delete(kvm, old);
	return old ? modify(kvm, old, &new) : create(kvm, &new, request);
}

int kvm_set_memory_region(struct kvm *kvm, const struct kvm_userspace_memory_region2 *mem)
{
	bool wants_file = mem->flags & KVM_MEM_GUEST_MEMFD && mem->memory_size;
	const struct region_request request = { mem, wants_file ? kvm_fd_get((int)mem->guest_memfd) : NULL };
	int error;

	pthread_mutex_lock(&kvm->slots_lock);
	error = set_region_locked(kvm, &request);
	pthread_mutex_unlock(&kvm->slots_lock);
	/* Outside slots_lock: the client may have closed it meanwhile, and then this is its end. */
	if (request.file)
		kvm_object_put(request.file);
	return error;
}

/* ---------------------------------------------------------------- guest memory for kvm itself */

static bool guest_owns(struct kvm *kvm, gfn_t f)
{
	return kvm_is_private(kvm, f) || (kvm->vendor->guest_owns && kvm->vendor->guest_owns(kvm, f));
}

/*
 * kvm reads and writes what the client has mapped, as __kvm_read_guest_page() does. It asks no attribute: where the frame is
 * private, the guest does not see what is written here, and where the guest owns the page this fails. The trace says so.
 */
static int access_page(struct kvm *kvm, unsigned int as_id, gpa_t a, void *read_to, const void *write_from, size_t size)
{
	const struct kvm_memslot *slot = kvm_find_slot(kvm, as_id, gpa_to_gfn(a));
	hpa_t at;
	int error;

	if (!slot || slot->flags & KVM_MEMSLOT_INVALID)
		return -EFAULT;
	at = hpa(kvm_slot_hpa(slot, gpa_to_gfn(a)).v + (a.v & ~HW_PAGE_MASK));
	if (observe_wants(kvm->obs, OBSERVE_KVM_HOST_ACCESS) && guest_owns(kvm, gpa_to_gfn(a)))
		observe(kvm->obs, OBSERVE_KVM_HOST_ACCESS, -1, !read_to, a.v, size);
	if (read_to)
		return hw_copy_from_host(read_to, at, size);
	if (slot->flags & KVM_MEM_READONLY)
		return -EFAULT;
	error = hw_copy_to_host(at, write_from, size);
	if (!error) {
		kvm_mark_dirty(kvm_loaded_vcpu(kvm), slot, gpa_to_gfn(a));
		hw_vm_memory_written(kvm->hw, at, size);
	}
	return error;
}

static int access_guest(struct kvm *kvm, unsigned int as_id, gpa_t a, u8 *read_to, const u8 *write_from, size_t size)
{
	int error = 0;

	kvm_slots_lock(kvm);
	while (size && !error) {
		size_t n = HW_PAGE_SIZE - (a.v & ~HW_PAGE_MASK);

		if (n > size)
			n = size;
		error = access_page(kvm, as_id, a, read_to, write_from, n);
		a.v += n;
		size -= n;
		read_to = read_to ? read_to + n : NULL;
		write_from = write_from ? write_from + n : NULL;
	}
	kvm_slots_unlock(kvm);
	return error;
}

int kvm_read_guest(struct kvm *kvm, gpa_t a, void *dst, size_t size)
{
	return access_guest(kvm, 0, a, dst, NULL, size);
}

int kvm_write_guest(struct kvm *kvm, gpa_t a, const void *src, size_t size)
{
	return access_guest(kvm, 0, a, NULL, src, size);
}

int kvm_read_guest_as(struct kvm *kvm, unsigned int as_id, gpa_t a, void *dst, size_t size)
{
	return access_guest(kvm, as_id, a, dst, NULL, size);
}

int kvm_write_guest_as(struct kvm *kvm, unsigned int as_id, gpa_t a, const void *src, size_t size)
{
	return access_guest(kvm, as_id, a, NULL, src, size);
}

int kvm_write_guest_mapped(struct kvm *kvm, gpa_t a, const void *src, size_t size)
{
	gfn_t last = gpa_to_gfn(gpa(a.v + size - 1));

	for (gfn_t f = gpa_to_gfn(a); kvm->vendor->kernel_access && f.v <= last.v; f.v++)
		kvm->vendor->kernel_access(kvm, f);
	return kvm_write_guest(kvm, a, src, size);
}

/* The guest has the slot's memory by another address. */
static void frames_written(struct kvm *kvm, const struct kvm_memslot *slot, u64 start, u64 end)
{
	u64 slot_end = slot->hva + (slot->pages << HW_PAGE_SHIFT);

	start = start > slot->hva ? start : slot->hva;
	end = end < slot_end ? end : slot_end;
	if (start < end)
		hw_vm_memory_written(kvm->hw, hpa(hw_donation_frame(slot->donation, 0).v + start - slot->hva), end - start);
}

void kvm_memory_written(struct kvm *kvm, u64 hva, u64 size)
{
	hw_vm_memory_written(kvm->hw, hpa(hva), size);
	if (!kvm->ownership)
		return;
	kvm_slots_lock(kvm);
	for (unsigned int i = 0; i < kvm->slots.as[0]->count; i++)
		if (kvm->slots.as[0]->slot[i]->donation)
			frames_written(kvm, kvm->slots.as[0]->slot[i], hva, hva + size);
	kvm_slots_unlock(kvm);
}
