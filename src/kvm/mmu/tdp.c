// SPDX-License-Identifier: Apache-2.0
/* Stage-2 tables: mapping, zapping, write protection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm.h"

/* Tables that hold nothing but MMIO entries are a guest's to ask for: beyond this many, holes are not remembered. */
#define MAX_TABLES_FOR_MMIO 8192u
#define MMIO_GENERATION_SHIFT 12

static u64 load_entry(const u64 *e) { return __atomic_load_n(e, __ATOMIC_RELAXED); }
static void store_entry(u64 *e, u64 v) { __atomic_store_n(e, v, __ATOMIC_RELEASE); }

static bool is_mmio(const struct kvm_mmu *mmu, u64 e) { return stage2_is_reserved(mmu->s2.format, e); }

static bool is_table(const struct kvm_mmu *mmu, u64 e, unsigned int level)
{
	return stage2_present(mmu->s2.format, e) && !is_mmio(mmu, e) && !stage2_is_leaf(e, level);
}

static u64 *alloc_table(struct kvm_mmu *mmu)
{
	u64 *table = aligned_alloc(HW_PAGE_SIZE, HW_PAGE_SIZE);

	if (!table)
		return NULL;
	for (unsigned int i = 0; i < 512; i++)
		table[i] = mmu->empty;
	mmu->tables++;
	return table;
}

/* Only when no vCPU can walk it any more. */
static unsigned int free_table(const struct kvm_mmu *mmu, u64 *table, unsigned int level)
{
	unsigned int freed = 1;

	for (unsigned int i = 0; level > HW_LEVEL_4K && i < 512; i++)
		if (is_table(mmu, table[i], level))
			freed += free_table(mmu, stage2_entry_table(table[i]), level - 1);
	free(table);
	return freed;
}

int kvm_mmu_create(struct kvm *kvm)
{
	const struct hw_machine_config *config = hw_machine_config(kvm->machine);
	struct kvm_mmu *mmu = &kvm->mmu;
	struct hw_cpuid sizes;
	unsigned int bits;

	hw_cpuid(kvm->machine, 0x80000008, 0, &sizes);
	bits = sizes.eax & 0xff;
	pthread_mutex_init(&mmu->lock, NULL);
	mmu->s2.format = config->platform == HW_PLATFORM_INTEL ? STAGE2_EPT : STAGE2_NPT;
	mmu->s2.levels = bits > 48 ? 5 : 4;
	mmu->max_gfn = (u64)1 << (bits - HW_PAGE_SHIFT);
	mmu->empty = kvm->vendor->mmio_is_ve ? STAGE2_EPT_SUPPRESS_VE : 0;
	mmu->smm = mmu->s2;
	mmu->s2.root = alloc_table(mmu);
	mmu->smm.root = alloc_table(mmu);
	return mmu->s2.root && mmu->smm.root ? 0 : -ENOMEM;
}

void kvm_mmu_destroy(struct kvm *kvm)
{
	struct kvm_mmu *mmu = &kvm->mmu;

	if (!mmu->s2.root)
		return;
	for (unsigned int i = 0; i < mmu->dead_count; i++)
		free_table(mmu, mmu->dead[i].table, mmu->dead[i].level);
	free(mmu->dead);
	free_table(mmu, mmu->s2.root, mmu->s2.levels);
	if (mmu->smm.root)
		free_table(mmu, mmu->smm.root, mmu->smm.levels);
	mmu->s2.root = NULL;
	kvm_mirror_destroy(kvm);
	pthread_mutex_destroy(&mmu->lock);
}

/* false: no memory to remember it; the table must then stay where it is. */
static bool bury(struct kvm_mmu *mmu, u64 *table, unsigned int level)
{
	if (mmu->dead_count == mmu->dead_capacity) {
		unsigned int capacity = mmu->dead_capacity ? mmu->dead_capacity * 2 : 64;
		struct kvm_dead_table *dead = realloc(mmu->dead, capacity * sizeof(*dead));

		if (!dead)
			return false;
		mmu->dead = dead;
		mmu->dead_capacity = capacity;
	}
	mmu->dead[mmu->dead_count++] = (struct kvm_dead_table){ table, level };
	return true;
}

/* The table entry that leads to the frame at `level`; NULL: a table is missing and `create` is not set, or no memory. */
static u64 *find_entry(struct kvm_mmu *mmu, const struct stage2 *s2, gfn_t f, unsigned int level, bool create, bool *replaced)
{
	u64 *table = s2->root;

	for (unsigned int l = s2->levels; l > level; l--) {
		u64 *e = &table[stage2_index(gfn_to_gpa(f), l)];
		u64 *child;

		if (is_table(mmu, *e, l)) {
			table = stage2_entry_table(*e);
			continue;
		}
		if (!create)
			return NULL;
		child = alloc_table(mmu);
		if (!child)
			return NULL;
		if (stage2_present(mmu->s2.format, *e) && !is_mmio(mmu, *e))
			*replaced = true;
		store_entry(e, stage2_make_table(child));
		table = child;
	}
	return &table[stage2_index(gfn_to_gpa(f), level)];
}

static enum observe_backing backing_of(const struct kvm_page_fault *fault)
{
	if (fault->from_gmem)
		return OBSERVE_BACKING_GMEM;
	return fault->slot->donation ? OBSERVE_BACKING_DONATED : OBSERVE_BACKING_CLIENT;
}

int kvm_tdp_map(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault)
{
	struct kvm_mmu *mmu = &vcpu->kvm->mmu;
	unsigned int perms = fault->map_writable ? STAGE2_RWX : STAGE2_R | STAGE2_X;
	unsigned int level = fault->goal_level;
	u64 offset = (fault->gfn.v & ((hw_level_size(level) >> HW_PAGE_SHIFT) - 1)) << HW_PAGE_SHIFT;
	u64 leaf = stage2_make_leaf(mmu->s2.format, hpa(fault->hpa.v - offset), level, perms);
	u64 *e;

	if (fault->is_private && mmu->mirror)
		return kvm_mirror_map(vcpu->kvm, fault->gfn, fault->hpa);
	e = find_entry(mmu, kvm_vcpu_stage2(vcpu), fault->gfn, level, true, &fault->flush);
	if (!e)
		return -ENOMEM;
	if (*e == leaf)
		return RET_PF_SPURIOUS;
	if (is_table(mmu, *e, level)) {
		if (!bury(mmu, stage2_entry_table(*e), level - 1))
			return -ENOMEM;
		fault->flush = true;
	}
	if (fault->write)
		kvm_mark_dirty(vcpu, fault->slot, fault->gfn);
	store_entry(e, leaf);
	observe(vcpu->kvm->obs, OBSERVE_KVM_TDP_MAP, vcpu->index, fault->gfn.v, level, perms,
		backing_of(fault), fault->from);
	return RET_PF_FIXED;
}

unsigned int kvm_tdp_mapped_level(struct kvm_vcpu *vcpu, gfn_t f, bool is_private)
{
	const struct kvm_mmu *mmu = &vcpu->kvm->mmu;
	const u64 *table = kvm_vcpu_stage2(vcpu)->root;
	hpa_t page;

	if (is_private && mmu->mirror)
		return kvm_mirror_lookup(vcpu->kvm, f, &page) ? HW_LEVEL_4K : 0;

	for (unsigned int level = mmu->s2.levels; level >= HW_LEVEL_4K; level--) {
		u64 e = load_entry(&table[stage2_index(gfn_to_gpa(f), level)]);

		if (!stage2_present(mmu->s2.format, e) || is_mmio(mmu, e))
			return 0;
		if (stage2_is_leaf(e, level))
			return level;
		table = stage2_entry_table(e);
	}
	return 0;
}

bool kvm_tdp_map_mmio(struct kvm_vcpu *vcpu, struct kvm_page_fault *fault, u64 generation)
{
	struct kvm_mmu *mmu = &vcpu->kvm->mmu;
	u64 *e = find_entry(mmu, kvm_vcpu_stage2(vcpu), fault->gfn, HW_LEVEL_4K, mmu->tables < MAX_TABLES_FOR_MMIO,
			    &fault->flush);

	if (!e)
		return false;
	store_entry(e, mmu->empty ? 0 : stage2_make_mmio(mmu->s2.format) |
						(generation & KVM_MMIO_GENERATION_MASK) << MMIO_GENERATION_SHIFT);
	observe(vcpu->kvm->obs, OBSERVE_KVM_MMIO_SPTE, vcpu->index, fault->gfn.v, mmu->empty ? 0 : 7);
	return true;
}

bool kvm_tdp_lookup_mmio(struct kvm *kvm, const struct stage2 *s2, gfn_t f, u64 *generation)
{
	u64 *e = find_entry(&kvm->mmu, s2, f, HW_LEVEL_4K, false, NULL);

	if (!e || !is_mmio(&kvm->mmu, *e))
		return false;
	*generation = *e >> MMIO_GENERATION_SHIFT & KVM_MMIO_GENERATION_MASK;
	return true;
}

static void forget_mmio(struct kvm_mmu *mmu, u64 *table, unsigned int level)
{
	for (unsigned int i = 0; i < 512; i++) {
		u64 e = load_entry(&table[i]);

		if (is_table(mmu, e, level))
			forget_mmio(mmu, stage2_entry_table(e), level - 1);
		else if (is_mmio(mmu, e))
			store_entry(&table[i], 0);
	}
}

void kvm_tdp_forget_mmio(struct kvm *kvm)
{
	pthread_mutex_lock(&kvm->mmu.lock);
	forget_mmio(&kvm->mmu, kvm->mmu.s2.root, kvm->mmu.s2.levels);
	forget_mmio(&kvm->mmu, kvm->mmu.smm.root, kvm->mmu.smm.levels);
	pthread_mutex_unlock(&kvm->mmu.lock);
}

static void write_protect(struct kvm_mmu *mmu, const struct stage2 *s2, gfn_t f)
{
	u64 *e = find_entry(mmu, s2, f, HW_LEVEL_4K, false, NULL);

	if (e && stage2_present(s2->format, *e) && !is_mmio(mmu, *e))
		store_entry(e, *e & ~(u64)STAGE2_W);
}

void kvm_tdp_write_protect(struct kvm *kvm, gfn_t base, u64 mask)
{
	if (mask)
		observe(kvm->obs, OBSERVE_KVM_WRITE_PROTECT, -1, base.v, mask);
	for (; mask; mask &= mask - 1) {
		gfn_t f = gfn(base.v + __builtin_ctzll(mask));

		write_protect(&kvm->mmu, &kvm->mmu.s2, f);
		write_protect(&kvm->mmu, &kvm->mmu.smm, f);
	}
}

struct visitor {
	const struct kvm_mmu *mmu;
	void (*visit)(void *opaque, gfn_t f, u64 entry, unsigned int level);
	void *opaque;
};

static void visit_table(const struct visitor *v, const u64 *table, unsigned int level, u64 first)
{
	u64 span = hw_level_size(level) >> HW_PAGE_SHIFT;

	for (unsigned int i = 0; i < 512; i++) {
		u64 e = load_entry(&table[i]);

		if (is_table(v->mmu, e, level))
			visit_table(v, stage2_entry_table(e), level - 1, first + i * span);
		else if (stage2_present(v->mmu->s2.format, e))
			v->visit(v->opaque, gfn(first + i * span), e, level);
	}
}

void kvm_tdp_for_each(struct kvm *kvm, void (*visit)(void *opaque, gfn_t f, u64 entry, unsigned int level), void *opaque)
{
	const struct visitor v = { &kvm->mmu, visit, opaque };

	visit_table(&v, kvm->mmu.s2.root, kvm->mmu.s2.levels, 0);
}

/* `first` is the frame of entry 0. Tables that lie in the range as a whole are detached. */
static void zap_table(struct kvm_mmu *mmu, u64 *table, unsigned int level, u64 first, u64 start, u64 end)
{
	u64 span = hw_level_size(level) >> HW_PAGE_SHIFT;
	u64 i = start > first ? (start - first) / span : 0;

	for (; i < 512 && first + i * span < end; i++) {
		u64 e = load_entry(&table[i]), at = first + i * span;

		if (e == mmu->empty)
			continue;
		if (!is_table(mmu, e, level)) {
			store_entry(&table[i], mmu->empty);
			continue;
		}
		if (start <= at && at + span <= end && bury(mmu, stage2_entry_table(e), level - 1))
			store_entry(&table[i], mmu->empty);
		else
			zap_table(mmu, stage2_entry_table(e), level - 1, at, start, end);
	}
}

void kvm_tdp_zap_shared(struct kvm *kvm, gfn_t start, gfn_t end, enum observe_rule why)
{
	struct kvm_mmu *mmu = &kvm->mmu;

	pthread_mutex_lock(&mmu->lock);
	zap_table(mmu, mmu->s2.root, mmu->s2.levels, 0, start.v, end.v);
	zap_table(mmu, mmu->smm.root, mmu->smm.levels, 0, start.v, end.v);
	/* Inside, so that a mapping that follows is told behind it. */
	observe(kvm->obs, OBSERVE_KVM_TDP_ZAP, -1, start.v, end.v, why);
	pthread_mutex_unlock(&mmu->lock);
}

void kvm_tdp_zap_leafs(struct kvm *kvm, gfn_t start, gfn_t end, enum observe_rule why)
{
	kvm_tdp_zap_shared(kvm, start, end, why);
	kvm_mirror_zap(kvm, start, end);
}

void kvm_tdp_zap(struct kvm *kvm, gfn_t start, gfn_t end, enum observe_rule why)
{
	kvm_tdp_zap_leafs(kvm, start, end, why);
	kvm_tdp_flush(kvm);
}

void kvm_tdp_flush(struct kvm *kvm)
{
	struct kvm_mmu *mmu = &kvm->mmu;
	struct kvm_dead_table *dead;
	unsigned int count, freed = 0;

	pthread_mutex_lock(&mmu->lock);
	dead = mmu->dead;
	count = mmu->dead_count;
	mmu->dead = NULL;
	mmu->dead_count = mmu->dead_capacity = 0;
	pthread_mutex_unlock(&mmu->lock);

	hw_vm_flush(kvm->hw);

	for (unsigned int i = 0; i < count; i++)
		freed += free_table(mmu, dead[i].table, dead[i].level);
	free(dead);
	if (freed) {
		pthread_mutex_lock(&mmu->lock);
		mmu->tables -= freed;
		pthread_mutex_unlock(&mmu->lock);
	}
}
