// SPDX-License-Identifier: Apache-2.0
/* The state of memory that a trace leads to. */
#include "cli/trace/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hw/addr.h"
#include "softcvm/kvm_abi.h"

/* How a mapping stands in a range_map. */
#define MAP_THERE      (1u << 0)
#define MAP_LEVEL_SHIFT 1
#define MAP_ACCESS_SHIFT 4
#define MAP_MMIO       (1u << 8)
#define MAP_GMEM       (1u << 9)

/* ---------------------------------------------------------------- arrays */

/* `*array` has `count` elements and gets room for one more; capacities are powers of two. NULL: no memory. */
static void *more(void *array, unsigned int count, size_t size)
{
	if (count & (count - 1) || (!count && array))
		return array;
	return reallocarray(array, count ? 2 * (size_t)count : 1, size);
}

#define ADD(array, count, ...)                                                                                         \
	({                                                                                                             \
		void *more_ = more((array), (count), sizeof((array)[0]));                                              \
		if (more_) {                                                                                           \
			(array) = more_;                                                                               \
			(array)[(count)++] = (__typeof__((array)[0]))__VA_ARGS__;                                      \
		}                                                                                                      \
		more_ ? 0 : -ENOMEM;                                                                                   \
	})

static int set_range(struct range_map *map, u64 start, u64 end, u64 value)
{
	if (start >= end)
		return 0;
	if (range_map_reserve(map))
		return -ENOMEM;
	range_map_set(map, start, end, value);
	return 0;
}

static u64 end_of(u64 start, u64 length)
{
	return length > ~start ? ~(u64)0 : start + length;
}

/* ---------------------------------------------------------------- life */

static void empty_vm(struct replay_vm *vm)
{
	range_map_destroy(&vm->attributes);
	range_map_destroy(&vm->mappings);
	range_map_destroy(&vm->residence);
	range_map_destroy(&vm->owners);
	for (unsigned int i = 0; i < vm->nr_files; i++)
		range_map_destroy(&vm->files[i].pages);
	free(vm->slots);
	free(vm->files);
	free(vm->bindings);
	*vm = (struct replay_vm){ .number = vm->number };
}

void replay_destroy(struct replay *r)
{
	for (unsigned int i = 0; i < r->nr_vms; i++)
		empty_vm(&r->vms[i]);
	free(r->vms);
	*r = (struct replay){ 0 };
}

static struct replay_vm *find_vm(const struct replay *r, u32 number)
{
	for (unsigned int i = 0; i < r->nr_vms; i++)
		if (r->vms[i].number == number)
			return &r->vms[i];
	return NULL;
}

const struct replay_vm *replay_vm(const struct replay *r, u32 number) { return find_vm(r, number); }

static struct replay_vm *get_vm(struct replay *r, u32 number)
{
	struct replay_vm *vm = find_vm(r, number);

	if (vm)
		return vm;
	return ADD(r->vms, r->nr_vms, { .number = number }) ? NULL : &r->vms[r->nr_vms - 1];
}

/* ---------------------------------------------------------------- questions */

const struct replay_slot *replay_find_slot(const struct replay_vm *vm, u32 as_id, u64 gfn)
{
	for (unsigned int i = 0; i < vm->nr_slots; i++)
		if (vm->slots[i].as_id == as_id && gfn >= vm->slots[i].base && gfn - vm->slots[i].base < vm->slots[i].pages)
			return &vm->slots[i];
	return NULL;
}

const struct replay_binding *replay_find_binding(const struct replay_vm *vm, u64 gfn)
{
	for (unsigned int i = 0; i < vm->nr_bindings; i++)
		if (gfn >= vm->bindings[i].gfn && gfn - vm->bindings[i].gfn < vm->bindings[i].pages)
			return &vm->bindings[i];
	return NULL;
}

bool replay_frame_of(const struct replay_vm *vm, u64 file, u64 page, u64 *gfn)
{
	for (unsigned int i = 0; i < vm->nr_bindings; i++) {
		const struct replay_binding *b = &vm->bindings[i];

		if (b->file != file || page < b->page || page - b->page >= b->pages)
			continue;
		*gfn = b->gfn + (page - b->page);
		return true;
	}
	return false;
}

/* A number is given out again after its file was released: the newest counts. */
static struct replay_file *file_by_number(const struct replay_vm *vm, u64 number)
{
	for (unsigned int i = vm->nr_files; i-- > 0;)
		if (vm->files[i].number == number)
			return &vm->files[i];
	return NULL;
}

const struct replay_file *replay_find_file(const struct replay_vm *vm, u64 number) { return file_by_number(vm, number); }

static u64 get_range(const struct range_map *map, u64 at, u64 *end)
{
	u64 until, value = range_map_get(map, at, &until);

	if (end)
		*end = until;
	return value;
}

bool replay_is_private(const struct replay_vm *vm, u64 gfn, u64 *end)
{
	return get_range(&vm->attributes, gfn, end) & KVM_MEMORY_ATTRIBUTE_PRIVATE;
}

struct replay_mapping replay_mapping(const struct replay_vm *vm, u64 gfn, u64 *end)
{
	u64 value = get_range(&vm->mappings, gfn, end);

	if (!(value & MAP_THERE))
		return (struct replay_mapping){ 0 };
	return (struct replay_mapping){
		.level = value >> MAP_LEVEL_SHIFT & 7,
		.access = value >> MAP_ACCESS_SHIFT & 7,
		.mmio = value & MAP_MMIO,
		.from_gmem = value & MAP_GMEM,
	};
}

enum replay_page replay_gmem_page(const struct replay_vm *vm, const struct replay_binding *b, u64 gfn, u64 *end)
{
	const struct replay_file *file = file_by_number(vm, b->file);
	u64 until = ~(u64)0, left = b->pages - (gfn - b->gfn), page = b->page + (gfn - b->gfn);
	enum replay_page result = file ? (enum replay_page)get_range(&file->pages, page, &until) : REPLAY_NEVER;

	if (until - page < left)
		left = until - page;
	if (end)
		*end = gfn + left;
	return result;
}

unsigned int replay_owner(const struct replay_vm *vm, u64 gfn, u64 *end)
{
	return (unsigned int)get_range(&vm->owners, gfn, end);
}

unsigned int replay_residence(const struct replay_vm *vm, u64 gfn, u64 *end)
{
	return (unsigned int)get_range(&vm->residence, gfn, end);
}

/* ---------------------------------------------------------------- slots */

static void remove_slot(struct replay_vm *vm, u64 id, u64 as_id)
{
	for (unsigned int i = 0; i < vm->nr_slots; i++) {
		if (vm->slots[i].id != id || vm->slots[i].as_id != as_id)
			continue;
		memmove(&vm->slots[i], &vm->slots[i + 1], (vm->nr_slots - i - 1) * sizeof(vm->slots[0]));
		vm->nr_slots--;
		return;
	}
}

static bool before(const struct replay_slot *a, const struct replay_slot *b)
{
	return a->as_id != b->as_id ? a->as_id < b->as_id : a->base < b->base;
}

static int add_slot(struct replay_vm *vm, const u64 *arg)
{
	const struct replay_slot slot = {
		.id = (u32)arg[1],
		.as_id = (u32)arg[2],
		.flags = (u32)arg[3],
		.base = arg[4] >> HW_PAGE_SHIFT,
		.pages = arg[5] >> HW_PAGE_SHIFT,
		.hva = arg[6],
	};
	unsigned int at;

	if (slot.pages > ~(u64)0 >> HW_PAGE_SHIFT || slot.base + slot.pages < slot.base)
		return -EINVAL;
	if (ADD(vm->slots, vm->nr_slots, slot))
		return -ENOMEM;
	for (at = vm->nr_slots - 1; at && before(&slot, &vm->slots[at - 1]); at--)
		vm->slots[at] = vm->slots[at - 1];
	vm->slots[at] = slot;
	return 0;
}

static int change_slot(struct replay_vm *vm, const struct observe_record *rec)
{
	remove_slot(vm, rec->arg[1], rec->arg[2]);
	return rec->arg[0] == OBSERVE_SLOT_DELETE ? 0 : add_slot(vm, rec->arg);
}

/* ---------------------------------------------------------------- guest_memfd */

static int create_file(struct replay_vm *vm, const struct observe_record *rec)
{
	return ADD(vm->files, vm->nr_files, { .number = rec->arg[1], .size = rec->arg[2] });
}

static int bind_file(struct replay_vm *vm, const struct observe_record *rec)
{
	const u64 *a = rec->arg;

	if (a[2] + a[5] < a[2] || a[4] + a[5] < a[4])
		return -EINVAL;
	return ADD(vm->bindings, vm->nr_bindings, { .file = a[3], .gfn = a[2], .page = a[4], .pages = a[5] });
}

static int unbind_file(struct replay_vm *vm, const struct observe_record *rec)
{
	for (unsigned int i = 0; i < vm->nr_bindings; i++) {
		const struct replay_binding *b = &vm->bindings[i];

		if (b->file != rec->arg[0] || b->gfn != rec->arg[1] || b->pages != rec->arg[2])
			continue;
		vm->bindings[i] = vm->bindings[--vm->nr_bindings];
		break;
	}
	return 0;
}

static int set_pages(struct replay_vm *vm, const struct observe_record *rec, enum replay_page value)
{
	struct replay_file *file = file_by_number(vm, rec->arg[0]);

	return file ? set_range(&file->pages, rec->arg[1], end_of(rec->arg[1], rec->arg[2]), value) : 0;
}

static int allocate_pages(struct replay_vm *vm, const struct observe_record *rec) { return set_pages(vm, rec, REPLAY_PRESENT); }
static int punch_pages(struct replay_vm *vm, const struct observe_record *rec) { return set_pages(vm, rec, REPLAY_PUNCHED); }

/* Its slots stay, without it. */
static int release_file(struct replay_vm *vm, const struct observe_record *rec)
{
	struct replay_file *file = file_by_number(vm, rec->arg[0]);

	if (!file)
		return 0;
	file->released = true;
	range_map_destroy(&file->pages);
	file->pages = (struct range_map){ 0 };
	for (unsigned int i = 0; i < vm->nr_bindings;)
		if (vm->bindings[i].file == rec->arg[0])
			vm->bindings[i] = vm->bindings[--vm->nr_bindings];
		else
			i++;
	return 0;
}

/* ---------------------------------------------------------------- the VM, attributes, stage 2 */

static int create_vm(struct replay_vm *vm, const struct observe_record *rec)
{
	empty_vm(vm);
	vm->seen = vm->alive = true;
	vm->type = rec->arg[0];
	vm->platform = rec->arg[1];
	vm->compat = rec->arg[2];
	return 0;
}

static int destroy_vm(struct replay_vm *vm, const struct observe_record *rec)
{
	const struct replay_vm old = *vm;

	empty_vm(vm);
	vm->seen = true;
	vm->type = old.type;
	vm->platform = old.platform;
	vm->compat = old.compat;
	return 0;
}

static int set_attributes(struct replay_vm *vm, const struct observe_record *rec)
{
	return set_range(&vm->attributes, rec->arg[0], rec->arg[1], rec->arg[2]);
}

/* Huge pages go as a whole. */
static int unmap(struct replay_vm *vm, u64 start, u64 end)
{
	if (start >= end)
		return 0;
	for (unsigned int side = 0; side < 2; side++) {
		u64 at = side ? end - 1 : start;
		struct replay_mapping m = replay_mapping(vm, at, NULL);
		u64 pages = m.level ? hw_level_size(m.level) >> HW_PAGE_SHIFT : 1, first = at & ~(pages - 1);

		start = first < start ? first : start;
		end = end_of(first, pages) > end ? end_of(first, pages) : end;
	}
	return set_range(&vm->mappings, start, end, 0);
}

static int unmap_frames(struct replay_vm *vm, const struct observe_record *rec)
{
	return unmap(vm, rec->arg[0], rec->arg[1]);
}

/* What was a part of a larger page takes the rest of it away. */
static int map(struct replay_vm *vm, u64 gfn, unsigned int level, u64 flags)
{
	u64 pages = hw_level_size(level) >> HW_PAGE_SHIFT, first = gfn & ~(pages - 1);
	int error = replay_mapping(vm, gfn, NULL).level > level ? unmap(vm, gfn, end_of(gfn, 1)) : 0;

	return error ? error : set_range(&vm->mappings, first, end_of(first, pages), MAP_THERE | level << MAP_LEVEL_SHIFT | flags);
}

static int map_frames(struct replay_vm *vm, const struct observe_record *rec)
{
	if (rec->arg[1] < HW_LEVEL_4K || rec->arg[1] > HW_LEVEL_512G)
		return -EINVAL;
	return map(vm, rec->arg[0], rec->arg[1],
		   (rec->arg[2] & 7) << MAP_ACCESS_SHIFT | (rec->arg[3] == OBSERVE_BACKING_GMEM ? MAP_GMEM : 0));
}

static int map_mmio(struct replay_vm *vm, const struct observe_record *rec)
{
	return map(vm, rec->arg[0], HW_LEVEL_4K, MAP_MMIO | 7u << MAP_ACCESS_SHIFT);
}

static int protect_frames(struct replay_vm *vm, const struct observe_record *rec)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		u64 f = rec->arg[0] + bit, value = range_map_get(&vm->mappings, f, NULL);

		if (rec->arg[1] >> bit & 1 && f >= rec->arg[0] && value & MAP_THERE && !(value & MAP_MMIO) &&
		    set_range(&vm->mappings, f, end_of(f, 1), value & ~(2ull << MAP_ACCESS_SHIFT)))
			return -ENOMEM;
	}
	return 0;
}

/* As a snapshot has it: what lies there already is of the same kind. */
static int set_mappings(struct replay_vm *vm, const struct observe_record *rec)
{
	if (rec->arg[2] < HW_LEVEL_4K || rec->arg[2] > HW_LEVEL_512G)
		return -EINVAL;
	return set_range(&vm->mappings, rec->arg[0], rec->arg[1],
			 MAP_THERE | rec->arg[2] << MAP_LEVEL_SHIFT | (rec->arg[3] & 7) << MAP_ACCESS_SHIFT |
				 (rec->arg[4] == OBSERVE_BACKING_GMEM ? MAP_GMEM : 0));
}

static int set_owner(struct replay_vm *vm, const struct observe_record *rec)
{
	return rec->arg[4] ? 0 : set_range(&vm->owners, rec->arg[0], rec->arg[1], rec->arg[3] & 0xff);
}

static int set_residence(struct replay_vm *vm, const struct observe_record *rec)
{
	return set_range(&vm->residence, rec->arg[2], rec->arg[3], (rec->arg[4] & 3) + 1);
}

static int (*const handlers[OBSERVE_EVENT_COUNT])(struct replay_vm *vm, const struct observe_record *rec) = {
	[OBSERVE_KVM_CREATE_VM] = create_vm,
	[OBSERVE_KVM_DESTROY_VM] = destroy_vm,
	[OBSERVE_KVM_MEMSLOT] = change_slot,
	[OBSERVE_KVM_SET_ATTRIBUTES] = set_attributes,
	[OBSERVE_KVM_GMEM_CREATE] = create_file,
	[OBSERVE_KVM_GMEM_BIND] = bind_file,
	[OBSERVE_KVM_GMEM_UNBIND] = unbind_file,
	[OBSERVE_KVM_GMEM_ALLOCATE] = allocate_pages,
	[OBSERVE_KVM_GMEM_PUNCH] = punch_pages,
	[OBSERVE_KVM_GMEM_RELEASE] = release_file,
	[OBSERVE_KVM_TDP_MAP] = map_frames,
	[OBSERVE_KVM_MMIO_SPTE] = map_mmio,
	[OBSERVE_KVM_TDP_ZAP] = unmap_frames,
	[OBSERVE_KVM_WRITE_PROTECT] = protect_frames,
	[OBSERVE_KVM_PAGE_OWNERSHIP] = set_owner,
	[OBSERVE_KVM_MAPPED] = set_mappings,
	[OBSERVE_KVM_CLIENT_MEMORY] = set_residence,
};

int replay_apply(struct replay *r, const struct observe_record *rec)
{
	struct replay_vm *vm = get_vm(r, rec->vm);

	if (!vm)
		return -ENOMEM;
	return handlers[rec->event] ? handlers[rec->event](vm, rec) : 0;
}
