// SPDX-License-Identifier: Apache-2.0
/*
 * softcvm_map(): slots, attributes, files and mappings of this moment. They are copied as records under the locks, neighbours that
 * are alike as one; the residence of the client's pages, which no lock keeps as it is, is asked afterwards.
 */
#include "kvm/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kvm/kvm.h"

struct snapshot {
	struct kvm *kvm;
	struct observe_record *rec;
	size_t count, capacity;
	bool no_memory;
};

static void add(struct snapshot *s, enum observe_event event, const u64 *arg, unsigned int nargs)
{
	struct observe_record *rec;

	if (s->count == s->capacity) {
		size_t capacity = s->capacity ? 2 * s->capacity : 256;
		struct observe_record *more = reallocarray(s->rec, capacity, sizeof(*more));

		if (!more) {
			s->no_memory = true;
			return;
		}
		s->rec = more;
		s->capacity = capacity;
	}
	rec = &s->rec[s->count++];
	*rec = (struct observe_record){ .event = event, .vcpu = -1 };
	memcpy(rec->arg, arg, nargs * sizeof(*arg));
}

#define ADD(s, event, ...)                                                                                             \
	add((s), (event), (const u64[]){ __VA_ARGS__ }, sizeof((const u64[]){ __VA_ARGS__ }) / sizeof(u64))

/* ---------------------------------------------------------------- under the locks */

static void add_pages(void *opaque, u64 file, u64 page, u64 pages)
{
	ADD((struct snapshot *)opaque, OBSERVE_KVM_GMEM_ALLOCATE, file, page, pages);
}

static void add_gmem(struct snapshot *s, const struct kvm_memslot *slot)
{
	struct kvm_gmem_binding_info info;

	if (!kvm_gmem_describe(slot, &info))
		return;
	/* A file that several slots share is told by each; its pages are told slot by slot. */
	ADD(s, OBSERVE_KVM_GMEM_BIND, slot->id, slot->as_id, slot->base.v, info.file, info.page, info.pages);
	kvm_gmem_for_each_present(slot, add_pages, s);
}

static void add_files(struct snapshot *s)
{
	for (unsigned int i = 0; i < s->kvm->slots.as[0]->count; i++) {
		struct kvm_gmem_binding_info info;
		bool known = false;

		if (!kvm_gmem_describe(s->kvm->slots.as[0]->slot[i], &info))
			continue;
		for (size_t k = 0; k < s->count; k++)
			known |= s->rec[k].event == OBSERVE_KVM_GMEM_CREATE && s->rec[k].arg[1] == info.file;
		if (!known)
			ADD(s, OBSERVE_KVM_GMEM_CREATE, ~(u64)0, info.file, info.size, info.flags);
	}
}

static void add_slots(struct snapshot *s)
{
	for (unsigned int as = 0; as < s->kvm->vendor->address_spaces; as++) {
		for (unsigned int i = 0; i < s->kvm->slots.as[as]->count; i++) {
			const struct kvm_memslot *slot = s->kvm->slots.as[as]->slot[i];
			u64 at = gfn_to_gpa(slot->base).v;

			ADD(s, OBSERVE_KVM_MEMSLOT, OBSERVE_SLOT_CREATE, slot->id, slot->as_id, slot->flags, at,
			    slot->pages << HW_PAGE_SHIFT, slot->hva, at);
			if (!as)
				add_gmem(s, slot);
		}
	}
}

static void add_attributes(struct snapshot *s)
{
	gfn_t at = gfn(0), end;

	do {
		u64 attributes = kvm_get_attributes(s->kvm, at, &end);

		if (attributes)
			ADD(s, OBSERVE_KVM_SET_ATTRIBUTES, at.v, end.v, attributes);
		at = end;
	} while (end.v != ~(u64)0);
}

static void add_owners(struct snapshot *s)
{
	gfn_t at = gfn(0), end;

	if (!s->kvm->ownership)
		return;
	kvm_ownership_lock(s->kvm);
	do {
		enum kvm_page_state state = kvm_ownership_state(s->kvm, at, &end);

		if (state != KVM_PAGE_NOPAGE)
			ADD(s, OBSERVE_KVM_PAGE_OWNERSHIP, at.v, end.v, KVM_PAGE_DONATE, state, 0);
		at = end;
	} while (end.v != ~(u64)0);
	kvm_ownership_unlock(s->kvm);
}

/* Joins what lies behind the last one and is like it. */
static void add_mapping(struct snapshot *s, u64 start, u64 end, unsigned int level, unsigned int perms, enum observe_backing backing)
{
	struct observe_record *last = s->count ? &s->rec[s->count - 1] : NULL;

	if (last && last->event == OBSERVE_KVM_MAPPED && last->arg[1] == start && last->arg[2] == level && last->arg[3] == perms &&
	    last->arg[4] == backing)
		last->arg[1] = end;
	else
		ADD(s, OBSERVE_KVM_MAPPED, start, end, level, perms, backing);
}

static void visit_entry(void *opaque, gfn_t f, u64 entry, unsigned int level)
{
	struct snapshot *s = opaque;
	enum stage2_format format = s->kvm->mmu.s2.format;
	const struct kvm_memslot *slot = kvm_find_slot(s->kvm, 0, f);
	hpa_t at = hpa(entry & STAGE2_ADDR_MASK & ~(hw_level_size(level) - 1));

	if (stage2_is_reserved(format, entry)) {
		if (!slot)
			ADD(s, OBSERVE_KVM_MMIO_SPTE, f.v, 7);
		return;
	}
	add_mapping(s, f.v, f.v + (hw_level_size(level) >> HW_PAGE_SHIFT), level, stage2_perms(format, entry),
		    slot && at.v == kvm_slot_hpa(slot, f).v ? OBSERVE_BACKING_CLIENT : OBSERVE_BACKING_GMEM);
}

static void visit_mirror(void *opaque, gfn_t f, hpa_t page)
{
	add_mapping(opaque, f.v, f.v + 1, HW_LEVEL_4K, STAGE2_RWX, OBSERVE_BACKING_GMEM);
}

static void add_tables(struct snapshot *s)
{
	pthread_mutex_lock(&s->kvm->mmu.lock);
	kvm_tdp_for_each(s->kvm, visit_entry, s);
	if (s->kvm->mmu.mirror)
		kvm_mirror_for_each(s->kvm, visit_mirror, s);
	pthread_mutex_unlock(&s->kvm->mmu.lock);
}

/* ---------------------------------------------------------------- the client's pages */

struct mapped_memory {
	u64 start, end;
};

/* What the process has mapped, in order: mincore() fails for the rest. NULL: no memory. */
static struct mapped_memory *read_maps(size_t *count)
{
	FILE *file = fopen("/proc/self/maps", "re");
	struct mapped_memory *maps = NULL, m;
	size_t capacity = 0;
	char line[4096];

	*count = 0;
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &m.start, &m.end) != 2)
			continue;
		if (*count == capacity) {
			struct mapped_memory *more = reallocarray(maps, capacity = capacity ? 2 * capacity : 256, sizeof(m));

			if (!more) {
				free(maps);
				maps = NULL;
				break;
			}
			maps = more;
		}
		maps[(*count)++] = m;
	}
	if (file)
		fclose(file);
	return maps;
}

/* One kind of pages so far, [start, end) by host address. */
struct residence {
	struct snapshot *s;
	u64 slot, as_id, gfn, hva; /* where the slot begins */
	u64 start, end;
	enum observe_residence kind;
};

static void tell_residence(struct residence *r)
{
	if (r->start < r->end)
		ADD(r->s, OBSERVE_KVM_CLIENT_MEMORY, r->slot, r->as_id, r->gfn + ((r->start - r->hva) >> HW_PAGE_SHIFT),
		    r->gfn + ((r->end - r->hva) >> HW_PAGE_SHIFT), r->kind);
	r->start = r->end;
}

static void extend(struct residence *r, u64 end, enum observe_residence kind)
{
	if (kind != r->kind)
		tell_residence(r);
	r->kind = kind;
	r->end = end;
}

#define PAGES_AT_ONCE 65536u

static void ask_residence(struct residence *r, u64 end, unsigned char *there)
{
	while (r->end < end) {
		u64 at = r->end, pages = (end - at) >> HW_PAGE_SHIFT;

		pages = pages < PAGES_AT_ONCE ? pages : PAGES_AT_ONCE;
		/* It may have been unmapped meanwhile. */
		if (mincore(hpa_to_ptr(hpa(at)), pages << HW_PAGE_SHIFT, there)) {
			extend(r, at + (pages << HW_PAGE_SHIFT), OBSERVE_UNMAPPED);
			continue;
		}
		for (u64 i = 0; i < pages; i++)
			extend(r, at + ((i + 1) << HW_PAGE_SHIFT), there[i] & 1 ? OBSERVE_RESIDENT : OBSERVE_ABSENT);
	}
}

static void add_residence(struct snapshot *s, const struct observe_record *slot)
{
	u64 end = slot->arg[6] + slot->arg[5];
	struct residence r = {
		.s = s,
		.slot = slot->arg[1],
		.as_id = slot->arg[2],
		.gfn = slot->arg[4] >> HW_PAGE_SHIFT,
		.hva = slot->arg[6],
		.start = slot->arg[6],
		.end = slot->arg[6],
		.kind = OBSERVE_UNMAPPED,
	};
	unsigned char *there = malloc(PAGES_AT_ONCE);
	size_t count;
	struct mapped_memory *maps = read_maps(&count);

	s->no_memory |= !there || !maps;
	for (size_t i = 0; !s->no_memory && i < count; i++) {
		u64 from = maps[i].start > r.end ? maps[i].start : r.end, to = maps[i].end < end ? maps[i].end : end;

		if (from >= to)
			continue;
		if (from > r.end)
			extend(&r, from, OBSERVE_UNMAPPED);
		ask_residence(&r, to, there);
	}
	if (r.end < end)
		extend(&r, end, OBSERVE_UNMAPPED);
	tell_residence(&r);
	free(maps);
	free(there);
}

static void add_client_memory(struct snapshot *s)
{
	size_t count = s->count;

	for (size_t i = 0; i < count && !s->no_memory; i++) {
		/* A copy: the array moves when it grows. */
		const struct observe_record rec = s->rec[i];

		if (rec.event == OBSERVE_KVM_MEMSLOT && !rec.arg[2])
			add_residence(s, &rec);
	}
}

/* ---------------------------------------------------------------- all of it */

static void take(struct snapshot *s)
{
	struct kvm *kvm = s->kvm;

	ADD(s, OBSERVE_KVM_CREATE_VM, kvm->type, !kvm_is_intel(kvm), kvm->system->config.kvm_compat);
	pthread_mutex_lock(&kvm->slots_lock);
	kvm_slots_lock(kvm);
	add_files(s);
	add_slots(s);
	add_attributes(s);
	add_owners(s);
	add_tables(s);
	kvm_slots_unlock(kvm);
	pthread_mutex_unlock(&kvm->slots_lock);
	add_client_memory(s);
}

int kvm_snapshot(struct kvm *kvm, unsigned int vm, FILE *out)
{
	struct snapshot s = { .kvm = kvm };
	char line[OBSERVE_LINE_MAX];
	struct timespec now;
	int error = 0;

	take(&s);
	clock_gettime(CLOCK_MONOTONIC, &now);
	for (size_t i = 0; !s.no_memory && !error && i < s.count; i++) {
		s.rec[i].vm = vm;
		s.rec[i].time_ns = (u64)now.tv_sec * 1000000000u + (u64)now.tv_nsec;
		observe_format_line(&s.rec[i], line);
		error = fputs(line, out) < 0 ? -errno : 0;
	}
	free(s.rec);
	return s.no_memory ? -ENOMEM : error;
}
