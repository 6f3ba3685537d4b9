// SPDX-License-Identifier: Apache-2.0
/* Which records are about the address, and which of them belong to one access. */
#include "cli/trace/story.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "softcvm/kvm_abi.h"

void story_destroy(struct story *s)
{
	replay_destroy(&s->replay);
	free(s->items);
	free(s->vcpus);
	s->items = NULL;
	s->vcpus = NULL;
}

/* ---------------------------------------------------------------- what is about the address */

static bool is_ours(const struct story *s, u64 gfn)
{
	for (unsigned int i = 0; i < s->nr_frames; i++)
		if (s->frames[i] == gfn)
			return true;
	return false;
}

/* Is one of our frames in [start, end)? */
static bool any_in(const struct story *s, u64 start, u64 end)
{
	for (unsigned int i = 0; i < s->nr_frames; i++)
		if (s->frames[i] >= start && s->frames[i] < end)
			return true;
	return false;
}

static bool any_in_length(const struct story *s, u64 start, u64 pages)
{
	return any_in(s, start, pages > ~start ? ~(u64)0 : start + pages);
}

/* Is one of them backed by [page, page + pages) of the file? */
static bool any_backed(const struct story *s, const struct replay_vm *vm, u64 file, u64 page, u64 pages)
{
	for (unsigned int i = 0; i < s->nr_frames; i++) {
		const struct replay_binding *b = replay_find_binding(vm, s->frames[i]);

		if (b && b->file == file && b->page + (s->frames[i] - b->gfn) - page < pages)
			return true;
	}
	return false;
}

static bool any_mapped(const struct story *s, const struct replay_vm *vm, u64 start, u64 end)
{
	for (unsigned int i = 0; i < s->nr_frames; i++) {
		struct replay_mapping m = replay_mapping(vm, s->frames[i], NULL);
		u64 pages = m.level ? hw_level_size(m.level) >> HW_PAGE_SHIFT : 0, first = s->frames[i] & ~(pages - 1);

		if (pages && start < first + pages && end > first)
			return true;
	}
	return false;
}

static bool slot_change_is_ours(const struct story *s, const struct observe_record *rec)
{
	u64 pages = rec->arg[5] >> HW_PAGE_SHIFT;

	return any_in_length(s, rec->arg[4] >> HW_PAGE_SHIFT, pages) || any_in_length(s, rec->arg[7] >> HW_PAGE_SHIFT, pages);
}

/* A change of memory that is not part of an access; before it is applied. */
static bool change_is_ours(const struct story *s, const struct replay_vm *vm, const struct observe_record *rec)
{
	const u64 *a = rec->arg;

	switch (rec->event) {
	case OBSERVE_KVM_CREATE_VM:
	case OBSERVE_KVM_DESTROY_VM:
	case OBSERVE_KVM_WARN_ONCE:
		return true;
	case OBSERVE_KVM_MEMSLOT:
		return slot_change_is_ours(s, rec);
	case OBSERVE_KVM_SET_ATTRIBUTES:
	case OBSERVE_KVM_PAGE_OWNERSHIP:
		return any_in(s, a[0], a[1]);
	case OBSERVE_KVM_GMEM_BIND:
		return any_in_length(s, a[2], a[5]);
	case OBSERVE_KVM_GMEM_UNBIND:
		return any_in_length(s, a[1], a[2]);
	case OBSERVE_KVM_GMEM_ALLOCATE:
	case OBSERVE_KVM_GMEM_PUNCH:
		return any_backed(s, vm, a[0], a[1], a[2]);
	case OBSERVE_KVM_GMEM_RELEASE:
		return any_backed(s, vm, a[0], 0, ~(u64)0);
	case OBSERVE_KVM_TDP_ZAP:
		return any_mapped(s, vm, a[0], a[1]);
	case OBSERVE_KVM_WRITE_PROTECT:
		for (unsigned int bit = 0; bit < 64; bit++)
			if (a[1] >> bit & 1 && is_ours(s, a[0] + bit))
				return true;
		return false;
	case OBSERVE_KVM_HYPERCALL:
		return a[0] == KVM_HC_MAP_GPA_RANGE && any_in_length(s, a[1] >> HW_PAGE_SHIFT, a[2]);
	case OBSERVE_KVM_HOST_ACCESS:
		return is_ours(s, a[1] >> HW_PAGE_SHIFT);
	case OBSERVE_KVM_PRE_FAULT_STEP:
		return a[1] ? any_in_length(s, a[0], a[1]) : is_ours(s, a[0]);
	case OBSERVE_KVM_TDP_MAP: /* by a fault beside it */
		return a[1] && a[1] < 5 && any_in_length(s, a[0] & ~((hw_level_size(a[1]) >> HW_PAGE_SHIFT) - 1),
							  hw_level_size(a[1]) >> HW_PAGE_SHIFT);
	case OBSERVE_KVM_MMIO_SPTE:
		return is_ours(s, a[0]);
	default:
		return false;
	}
}

/* ---------------------------------------------------------------- keeping */

static int keep(struct story *s, const struct observe_record *rec, u64 chapter)
{
	if (rec->time_ns < s->from_ns || rec->time_ns > s->to_ns)
		return 0;
	if (s->nr_items == s->capacity) {
		unsigned int capacity = s->capacity ? 2 * s->capacity : 64;
		struct story_item *items = capacity > s->capacity ? reallocarray(s->items, capacity, sizeof(*items)) : NULL;

		if (!items)
			return -ENOMEM;
		s->items = items;
		s->capacity = capacity;
	}
	s->items[s->nr_items++] = (struct story_item){ .rec = *rec, .chapter = chapter };
	return 0;
}

static int keep_step(struct story *s, struct story_vcpu *v, const struct observe_record *rec)
{
	unsigned int at = s->nr_items;
	int error;

	if (s->only_vcpu >= 0 && s->only_vcpu != v->vcpu)
		return 0;
	error = keep(s, rec, v->chapter);
	if (error || s->nr_items == at)
		return error;
	if (v->items++)
		s->items[v->last].next = at;
	v->last = at;
	return 0;
}

static int open_chapter(struct story *s, struct story_vcpu *v)
{
	int error = 0;

	v->chapter = ++s->chapters;
	v->items = 0;
	v->stage = STORY_STEPS;
	if (v->has_access)
		error = keep_step(s, v, &v->access);
	if (!error && v->has_walk)
		error = keep_step(s, v, &v->walk);
	v->has_access = v->has_walk = false;
	return error;
}

/* Steps of the same kind, by the same vCPU, as far as they would be told in the same words but for where in the page. */
static bool alike(const struct observe_record *a, const struct observe_record *b)
{
	if (a->event != b->event || a->vcpu != b->vcpu)
		return false;
	return a->event != OBSERVE_HW_ACCESS || a->arg[2] == b->arg[2];
}

/* A chapter without a fault that is like the one before, with nothing in between: only counted. */
static void fold(struct story *s, const struct story_vcpu *v)
{
	unsigned int n = v->items, first = s->nr_items - n;

	if (!n || s->nr_items < 2 * n || s->items[first].chapter != v->chapter || s->items[first - 1].chapter != s->items[first - n].chapter ||
	    (first > n && s->items[first - n - 1].chapter == s->items[first - n].chapter))
		return;
	for (unsigned int i = 0; i < n; i++)
		if (!alike(&s->items[first + i].rec, &s->items[first - n + i].rec))
			return;
	s->items[first - n].more++;
	s->items[first - n].last_ns = s->items[first].rec.time_ns;
	s->nr_items = first;
}

/* ---------------------------------------------------------------- the steps of an access */

static int hear_walk(struct story *s, struct story_vcpu *v, const struct observe_record *rec)
{
	v->walk = *rec;
	v->has_walk = true;
	if (!s->by_gva || rec->arg[0] >> HW_PAGE_SHIFT != s->page)
		return 0;
	/* The second time it is step 4 that has something new to say. */
	if (v->chapter && v->stage == STORY_AGAIN && !v->table)
		return 0;
	v->table = false;
	return open_chapter(s, v);
}

static int hear_claim(struct story *s, struct story_vcpu *v, const struct observe_record *rec)
{
	bool again = v->chapter && v->stage == STORY_AGAIN && !v->table;
	int error;

	if (!is_ours(s, rec->arg[0] >> HW_PAGE_SHIFT) || again)
		return 0;
	if (s->by_gva)
		return v->chapter && !v->table ? keep_step(s, v, rec) : 0;
	error = open_chapter(s, v);
	v->table = false;
	return error ? error : keep_step(s, v, rec);
}

static int hear_stage2(struct story *s, struct story_vcpu *v, const struct observe_record *rec)
{
	bool table = rec->arg[4] == OBSERVE_USE_TABLE;
	int error = 0;

	if (!is_ours(s, rec->arg[0] >> HW_PAGE_SHIFT) || (s->by_gva && (table || !v->chapter)))
		return 0;
	if (table && !(v->chapter && v->stage == STORY_AGAIN && v->table)) {
		v->has_walk = false;
		error = open_chapter(s, v);
		v->table = true;
	}
	if (error || !v->chapter || v->table != table)
		return error;
	error = keep_step(s, v, rec);
	if (rec->arg[3] != OBSERVE_STAGE2_MAPPED) {
		v->stage = STORY_FAULT;
		return error;
	}
	if (v->stage == STORY_STEPS)
		fold(s, v);
	v->chapter = 0;
	return error;
}

static int hear_page_fault(struct story *s, struct story_vcpu *v, const struct observe_record *rec)
{
	bool ours = is_ours(s, rec->arg[2] >> HW_PAGE_SHIFT);

	if (!ours) {
		/* Another address: what was begun is over. */
		if (v->stage != STORY_AGAIN)
			v->chapter = 0;
		return 0;
	}
	if (!v->chapter && s->by_gva)
		return 0;
	if (!v->chapter || (v->stage != STORY_FAULT && !(v->stage == STORY_AGAIN && v->retry))) {
		int error;

		v->has_access = v->has_walk = false;
		error = open_chapter(s, v);
		if (error)
			return error;
	}
	v->stage = STORY_FAULT;
	return keep_step(s, v, rec);
}

/* A step of KVM's fault path that names its frame first. A pre-fault begins here. */
static int hear_fault_step(struct story *s, struct story_vcpu *v, const struct observe_record *rec)
{
	if (!is_ours(s, rec->arg[0]))
		return rec->event == OBSERVE_KVM_TDP_MAP ? 1 : 0;
	if (!v->chapter && (s->by_gva || rec->event != OBSERVE_KVM_FAULT_CLAIM))
		return rec->event == OBSERVE_KVM_TDP_MAP || rec->event == OBSERVE_KVM_MMIO_SPTE ? 1 : 0;
	if (!v->chapter) {
		v->has_access = v->has_walk = false;
		if (open_chapter(s, v))
			return -ENOMEM;
		v->stage = STORY_FAULT;
	}
	if (rec->event == OBSERVE_KVM_FAULT_DONE) {
		v->retry = rec->arg[1] == OBSERVE_PF_RETRY;
		v->stage = rec->arg[1] == OBSERVE_PF_EMULATE || (s64)rec->arg[1] < 0 ? STORY_LEAVING : STORY_AGAIN;
	}
	return keep_step(s, v, rec);
}

static int hear_leaving(struct story *s, struct story_vcpu *v, const struct observe_record *rec)
{
	int error;

	if (!v->chapter || v->stage != STORY_LEAVING)
		return 0;
	error = keep_step(s, v, rec);
	if (rec->event == OBSERVE_KVM_USERSPACE_EXIT)
		v->chapter = 0;
	return error;
}

static struct story_vcpu *get_vcpu(struct story *s, int vcpu)
{
	struct story_vcpu *more;

	for (unsigned int i = 0; i < s->nr_vcpus; i++)
		if (s->vcpus[i].vcpu == vcpu)
			return &s->vcpus[i];
	more = reallocarray(s->vcpus, s->nr_vcpus + 1, sizeof(*more));
	if (!more)
		return NULL;
	s->vcpus = more;
	more[s->nr_vcpus] = (struct story_vcpu){ .vcpu = vcpu };
	return &more[s->nr_vcpus++];
}

/* 1: it is no step of an access that is being told, but may be a change. */
static int hear_step(struct story *s, const struct replay_vm *vm, const struct observe_record *rec)
{
	struct story_vcpu *v = get_vcpu(s, rec->vcpu);

	if (!v)
		return -ENOMEM;
	switch (rec->event) {
	case OBSERVE_HW_ACCESS:
		v->access = *rec;
		v->has_access = true;
		v->has_walk = false;
		return 0;
	case OBSERVE_HW_GUEST_WALK:
		return hear_walk(s, v, rec);
	case OBSERVE_HW_CLAIM:
		return hear_claim(s, v, rec);
	case OBSERVE_HW_STAGE2_WALK:
		return hear_stage2(s, v, rec);
	case OBSERVE_KVM_EXIT:
		return v->chapter && v->stage == STORY_FAULT ? keep_step(s, v, rec) : 0;
	case OBSERVE_KVM_PAGE_FAULT:
		return hear_page_fault(s, v, rec);
	case OBSERVE_KVM_FAULT_CLAIM:
	case OBSERVE_KVM_FAULT_ATTRIBUTE:
	case OBSERVE_KVM_FAULT_SLOT:
	case OBSERVE_KVM_FAULT_LEVEL:
	case OBSERVE_KVM_TDP_MAP:
	case OBSERVE_KVM_MMIO_SPTE:
	case OBSERVE_KVM_RETRY:
	case OBSERVE_KVM_FAULT_DONE:
		return hear_fault_step(s, v, rec);
	case OBSERVE_KVM_GMEM_ALLOCATE:
		if (!v->chapter || !any_backed(s, vm, rec->arg[0], rec->arg[1], rec->arg[2]))
			return 1;
		return keep_step(s, v, rec);
	case OBSERVE_KVM_PAGE_OWNERSHIP:
		return v->chapter && any_in(s, rec->arg[0], rec->arg[1]) ? keep_step(s, v, rec) : 1;
	case OBSERVE_KVM_PRE_FAULT_STEP:
		if (!v->chapter || !change_is_ours(s, vm, rec))
			return 1;
		v->stage = STORY_LEAVING;
		return keep_step(s, v, rec) ? -ENOMEM : (v->chapter = 0, 0);
	case OBSERVE_KVM_MEMORY_FAULT:
		return v->chapter && is_ours(s, rec->arg[0] >> HW_PAGE_SHIFT) ? keep_step(s, v, rec) : 0;
	case OBSERVE_KVM_MMIO:
		return v->chapter && is_ours(s, rec->arg[2] >> HW_PAGE_SHIFT) ? hear_leaving(s, v, rec) : 0;
	case OBSERVE_KVM_USERSPACE_EXIT:
		return hear_leaving(s, v, rec);
	default:
		return 1;
	}
}

/* ---------------------------------------------------------------- the trace */

int story_learn(void *opaque, const struct observe_record *rec)
{
	struct story *s = opaque;
	struct story_vcpu *v;

	if (rec->vm != s->vm || (rec->event != OBSERVE_HW_GUEST_WALK && rec->event != OBSERVE_HW_CLAIM))
		return 0;
	v = get_vcpu(s, rec->vcpu);
	if (!v)
		return -ENOMEM;
	if (rec->event == OBSERVE_HW_GUEST_WALK) {
		bool mapped = rec->arg[3] == OBSERVE_WALK_MAPPED || rec->arg[3] == OBSERVE_WALK_NO_PAGING;

		v->has_walk = mapped && rec->arg[0] >> HW_PAGE_SHIFT == s->page;
		return 0;
	}
	/* The claim's address has no bit of the hardware's any more. */
	if (!v->has_walk || is_ours(s, rec->arg[0] >> HW_PAGE_SHIFT))
		return 0;
	if (s->nr_frames == STORY_MAX_FRAMES)
		s->too_many_frames = true;
	else
		s->frames[s->nr_frames++] = rec->arg[0] >> HW_PAGE_SHIFT;
	return 0;
}

static int hear_ours(struct story *s, const struct observe_record *rec)
{
	const struct replay_vm *vm = replay_vm(&s->replay, rec->vm);
	int result;

	if (!vm) {
		/* Its first event: there is a VM to ask of from here on. */
		result = replay_apply(&s->replay, &(struct observe_record){ .event = OBSERVE_KVM_ENTRY, .vm = rec->vm });
		if (result)
			return result;
		vm = replay_vm(&s->replay, rec->vm);
	}
	result = rec->vcpu < 0 ? 1 : hear_step(s, vm, rec);
	if (result == 1)
		result = change_is_ours(s, vm, rec) ? keep(s, rec, ++s->chapters) : 0;
	return result;
}

int story_hear(void *opaque, const struct observe_record *rec)
{
	struct story *s = opaque;
	int error = rec->vm == s->vm ? hear_ours(s, rec) : 0;

	if (!s->records++)
		s->first_ns = rec->time_ns;
	s->last_ns = rec->time_ns;
	return error ? error : replay_apply(&s->replay, rec);
}
