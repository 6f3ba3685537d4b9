// SPDX-License-Identifier: Apache-2.0
#include "kvm/mmu/mirror.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm.h"
#include "kvm/vm.h"

struct kvm_mirror {
	unsigned int levels;
	gfn_t end;
	u64 *root;
	pthread_mutex_t zap_lock; /* outside mmu.lock: who blocks pages also removes them */
};

/* An entry: 0, a table, or a page; the low bits are free since both are aligned. */
#define ENTRY_TABLE   1u
#define ENTRY_PAGE    2u
#define ENTRY_BLOCKED 4u /* on its way out */
#define ENTRY_ADDR    (~(u64)(HW_PAGE_SIZE - 1))

static u64 *table_of(u64 entry) { return hpa_to_ptr(hpa(entry & ENTRY_ADDR)); }

/* A table and, behind it, the page of the table that it mirrors. */
static u64 *alloc_table(void)
{
	u64 *table = aligned_alloc(HW_PAGE_SIZE, 2 * HW_PAGE_SIZE);

	if (table)
		memset(table, 0, 2 * HW_PAGE_SIZE);
	return table;
}

static void free_table(u64 *table, unsigned int level)
{
	for (unsigned int i = 0; level > HW_LEVEL_4K && i < 512; i++)
		if (table[i] & ENTRY_TABLE)
			free_table(table_of(table[i]), level - 1);
	free(table);
}

int kvm_mirror_create(struct kvm *kvm, unsigned int levels, gfn_t end)
{
	struct kvm_mirror *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->levels = levels;
	m->end = end;
	m->root = alloc_table();
	if (!m->root) {
		free(m);
		return -ENOMEM;
	}
	pthread_mutex_init(&m->zap_lock, NULL);
	pthread_mutex_lock(&kvm->mmu.lock);
	__atomic_store_n(&kvm->mmu.mirror, m, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&kvm->mmu.lock);
	return 0;
}

void kvm_mirror_destroy(struct kvm *kvm)
{
	struct kvm_mirror *m = kvm->mmu.mirror;

	if (!m)
		return;
	free_table(m->root, m->levels);
	pthread_mutex_destroy(&m->zap_lock);
	free(m);
	kvm->mmu.mirror = NULL;
}

static struct kvm_mirror *mirror_of(struct kvm *kvm) { return __atomic_load_n(&kvm->mmu.mirror, __ATOMIC_ACQUIRE); }

/* ---------------------------------------------------------------- mapping */

static int add_table(struct kvm *kvm, gfn_t f, unsigned int level, u64 *entry)
{
	u64 *table = alloc_table();
	int error;

	if (!table)
		return -ENOMEM;
	error = kvm->vendor->private_ops->link(kvm, f, level, ptr_to_hpa(table + HW_PAGE_SIZE / sizeof(*table)));
	if (error) {
		free(table);
		return error;
	}
	*entry = ptr_to_hpa(table).v | ENTRY_TABLE;
	return 0;
}

/* The page's entry; NULL if a table is missing and `create` is not set, or could not be had (*error). */
static u64 *find_entry(struct kvm *kvm, gfn_t f, bool create, int *error)
{
	const struct kvm_mirror *m = mirror_of(kvm);
	u64 *table = m->root;

	if (f.v >= m->end.v) {
		if (create)
			*error = -EFAULT;
		return NULL;
	}
	for (unsigned int level = m->levels; level > HW_LEVEL_4K; level--) {
		u64 *e = &table[stage2_index(gfn_to_gpa(f), level)];

		if (!*e && !create)
			return NULL;
		if (!*e && (*error = add_table(kvm, f, level, e)))
			return NULL;
		table = table_of(*e);
	}
	return &table[stage2_index(gfn_to_gpa(f), HW_LEVEL_4K)];
}

int kvm_mirror_map(struct kvm *kvm, gfn_t f, hpa_t page)
{
	int error = 0;
	u64 *e = find_entry(kvm, f, true, &error);

	if (e && *e)
		return *e & ENTRY_BLOCKED ? RET_PF_RETRY : RET_PF_SPURIOUS;
	if (e)
		error = kvm->vendor->private_ops->map(kvm, f, page);
	if (error)
		return error == -EAGAIN ? RET_PF_RETRY : error;
	*e = page.v | ENTRY_PAGE;
	return RET_PF_FIXED;
}

bool kvm_mirror_lookup(struct kvm *kvm, gfn_t f, hpa_t *page)
{
	const u64 *e = mirror_of(kvm) ? find_entry(kvm, f, false, NULL) : NULL;

	if (!e || !(*e & ENTRY_PAGE) || *e & ENTRY_BLOCKED)
		return false;
	*page = hpa(*e & ENTRY_ADDR);
	return true;
}

/* ---------------------------------------------------------------- all pages of a range */

struct walk {
	struct kvm *kvm;
	u64 start, end;
	bool (*page)(struct walk *w, gfn_t f, u64 *entry); /* false: stop */
	unsigned int count;
	void (*visit)(void *opaque, gfn_t f, hpa_t page);
	void *opaque;
};

static bool walk_table(struct walk *w, u64 *table, unsigned int level, u64 first)
{
	u64 span = hw_level_size(level) >> HW_PAGE_SHIFT;
	u64 i = w->start > first ? (w->start - first) / span : 0;

	for (; i < 512 && first + i * span < w->end; i++) {
		u64 at = first + i * span;

		if (table[i] & ENTRY_TABLE) {
			if (!walk_table(w, table_of(table[i]), level - 1, at))
				return false;
		} else if (table[i] && !w->page(w, gfn(at), &table[i])) {
			return false;
		}
	}
	return true;
}

/* Under mmu.lock. */
static bool walk_range(struct walk *w)
{
	const struct kvm_mirror *m = mirror_of(w->kvm);

	return walk_table(w, m->root, m->levels, 0);
}

/* Until neither the guest nor another call holds the entry. */
static bool insist(struct walk *w, int (*op)(struct kvm *kvm, gfn_t f, hpa_t page), gfn_t f, hpa_t page)
{
	int error;

	while ((error = op(w->kvm, f, page)) == -EAGAIN)
		sched_yield();
	if (error)
		kvm_vm_bugged(w->kvm);
	return !error;
}

static int block(struct kvm *kvm, gfn_t f, hpa_t page) { return kvm->vendor->private_ops->block(kvm, f); }

static bool block_page(struct walk *w, gfn_t f, u64 *entry)
{
	if (!insist(w, block, f, hpa(0)))
		return false;
	*entry |= ENTRY_BLOCKED;
	w->count++;
	return true;
}

static bool remove_page(struct walk *w, gfn_t f, u64 *entry)
{
	if (!insist(w, w->kvm->vendor->private_ops->remove, f, hpa(*entry & ENTRY_ADDR)))
		return false;
	*entry = 0;
	return true;
}

/* After a failure the VM is dead; what is left mapped stays so until it ends. */
void kvm_mirror_zap(struct kvm *kvm, gfn_t start, gfn_t end)
{
	struct walk w = { .kvm = kvm, .start = start.v, .end = end.v, .page = block_page };
	struct kvm_mirror *m = mirror_of(kvm);
	bool blocked;

	if (!m)
		return;
	pthread_mutex_lock(&m->zap_lock);
	pthread_mutex_lock(&kvm->mmu.lock);
	blocked = walk_range(&w);
	pthread_mutex_unlock(&kvm->mmu.lock);
	if (blocked && w.count) {
		if (kvm->vendor->private_ops->track(kvm))
			kvm_vm_bugged(kvm);
		w.page = remove_page;
		pthread_mutex_lock(&kvm->mmu.lock);
		walk_range(&w);
		pthread_mutex_unlock(&kvm->mmu.lock);
	}
	pthread_mutex_unlock(&m->zap_lock);
}

static bool visit_page(struct walk *w, gfn_t f, u64 *entry)
{
	if (!(*entry & ENTRY_BLOCKED))
		w->visit(w->opaque, f, hpa(*entry & ENTRY_ADDR));
	return true;
}

void kvm_mirror_for_each(struct kvm *kvm, void (*visit)(void *opaque, gfn_t f, hpa_t page), void *opaque)
{
	struct walk w = { .kvm = kvm, .end = ~0ull, .page = visit_page, .visit = visit, .opaque = opaque };

	if (mirror_of(kvm))
		walk_range(&w);
}
