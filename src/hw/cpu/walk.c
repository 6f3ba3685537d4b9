// SPDX-License-Identifier: Apache-2.0
/*
 * The walk of the guest's paging structures: 32-bit, PAE, 4-level and 5-level paging (SDM 3A 4.3 to 4.5). Reading the
 * tables and changing accessed and dirty flags only; who may do what is decided in mmu.c.
 */
#include "hw/cpu/walk.h"
#include "hw/phys/uaccess.h"

#define ENTRY_P	   (1ull << 0)
#define ENTRY_RW   (1ull << 1)
#define ENTRY_US   (1ull << 2)
#define ENTRY_A	   (1ull << 5)
#define ENTRY_D	   (1ull << 6)
#define ENTRY_PS   (1ull << 7)
#define ENTRY_G	   (1ull << 8)
#define ENTRY_NX   (1ull << 63)
#define ENTRY_ADDR 0x000ffffffffff000ull

/* Bits high:low. */
static u64 bits(unsigned int high, unsigned int low)
{
	return high < low ? 0 : (~0ull >> (63 - high)) & (~0ull << low);
}

void walk_params(const struct hw_cpu *c, struct walk_params *p)
{
	const struct hw_arch *a = &c->arch;

	*p = (struct walk_params){
		.mode = PAGING_NONE,
		.phys_bits = cpu_maxphyaddr(c),
		.claim_bit = c->ctl.claim_bit,
		.shared_bit = c->ctl.s2_private && !c->ctl.claim_bit_is_private ? c->ctl.claim_bit : 0,
		.nxe = a->efer & EFER_NXE,
		.pse = a->cr4 & CR4_PSE,
	};
	if (c->ctl.gpa_width && c->ctl.gpa_width < p->phys_bits)
		p->phys_bits = c->ctl.gpa_width;
	if (!(a->cr0 & CR0_PG))
		return;
	if (a->efer & EFER_LMA) {
		p->mode = PAGING_LONG;
		p->levels = a->cr4 & CR4_LA57 ? 5 : 4;
		p->root = a->cr3 & ENTRY_ADDR & ~p->claim_bit;
	} else if (a->cr4 & CR4_PAE) {
		p->mode = PAGING_PAE;
		p->levels = 2;
	} else {
		p->mode = PAGING_32BIT;
		p->levels = 2;
		p->root = a->cr3 & 0xfffff000;
	}
}

/* ---------------------------------------------------------------- entries */

/* Does the entry map a page? 4-level: also 1G pages; PS is reserved above. */
static bool is_leaf(const struct walk_params *p, u64 entry, unsigned int level)
{
	if (level == HW_LEVEL_4K)
		return true;
	if (p->mode == PAGING_32BIT)
		return p->pse && (entry & ENTRY_PS);
	return level <= HW_LEVEL_1G && (entry & ENTRY_PS);
}

/* SDM 3A 4.3: PSE-36 puts address bits 39:32 into bits 20:13. */
static u64 reserved_32bit(const struct walk_params *p, u64 entry, unsigned int level)
{
	unsigned int width = p->phys_bits < 40 ? p->phys_bits : 40;

	return is_leaf(p, entry, level) && level == HW_LEVEL_2M ? bits(21, width - 19) : 0;
}

/* SDM 3A Tables 4-8 to 4-11 (PAE), 4-14 to 4-20 (4-level, 5-level). */
static u64 reserved_64bit(const struct walk_params *p, u64 entry, unsigned int level)
{
	u64 mask = bits(p->mode == PAGING_PAE ? 62 : 51, p->phys_bits) & ~p->claim_bit;

	if (!p->nxe)
		mask |= ENTRY_NX;
	if (!is_leaf(p, entry, level))
		mask |= p->shared_bit;
	if (level > HW_LEVEL_1G)
		mask |= ENTRY_PS;
	else if (level > HW_LEVEL_4K && (entry & ENTRY_PS))
		mask |= bits(11 + 9 * (level - 1), 13) & ~p->claim_bit;
	return mask;
}

static bool has_reserved(const struct walk_params *p, u64 entry, unsigned int level)
{
	return entry & (p->mode == PAGING_32BIT ? reserved_32bit(p, entry, level) : reserved_64bit(p, entry, level));
}

static unsigned int table_index(const struct walk_params *p, u64 lin, unsigned int level)
{
	unsigned int width = p->mode == PAGING_32BIT ? 10 : 9;

	return lin >> (HW_PAGE_SHIFT + width * (level - 1)) & ((1u << width) - 1);
}

static u64 page_address(const struct walk_params *p, u64 lin, u64 entry, unsigned int level)
{
	u64 size = hw_level_size(level);

	if (p->mode == PAGING_32BIT) {
		if (level == HW_LEVEL_4K)
			return (entry & 0xfffff000) | (lin & 0xfff);
		return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32 | (lin & 0x3fffff);
	}
	return (entry & ENTRY_ADDR & ~(size - 1)) | (entry & p->claim_bit) | (lin & (size - 1));
}

/* ---------------------------------------------------------------- memory */

/* An access to the tables goes through stage 2 like any other (SDM 3C 28.3.2). */
static int table_access(struct hw_cpu *c, u64 lin, gpa_t where, unsigned int size, bool write, hpa_t *host)
{
	const unsigned int need = write ? STAGE2_W : STAGE2_R;
	struct access a;

	if (tlb_stage2_hit(c, where, table_claim(c), need, host))
		return EXEC_OK;
	a = (struct access){.lin = lin, .acc = write ? ACC_WRITE : ACC_READ, .size = size, .gpa = where, .table = true};
	a.claim = table_claim(c);
	access_stage2_walk(c, &a, need);
	if (a.s2.result == STAGE2_OK) {
		*host = a.s2.hpa;
		return EXEC_OK;
	}
	return cpu_exit_stage2(c, &a);
}

static int read_entry(struct hw_cpu *c, u64 lin, struct walk *w, struct walk_step *s)
{
	int r = table_access(c, lin, s->gpa, w->entry_size, false, &s->hpa);

	if (r)
		return r;
	if (w->entry_size == 8)
		UACCESS_LOAD_8(hpa_to_ptr(s->hpa), s->entry, gone);
	else
		UACCESS_LOAD_4(hpa_to_ptr(s->hpa), s->entry, gone);
	return EXEC_OK;
gone:
	return cpu_exit_host_fault(c);
}

/* ---------------------------------------------------------------- the walk */

/* MOV CR3 takes any address below MAXPHYADDR. */
static bool root_reserved(const struct hw_cpu *c, const struct walk_params *p)
{
	return p->mode == PAGING_LONG && c->arch.cr3 & ((bits(51, p->phys_bits) & ~p->claim_bit) | p->shared_bit);
}

/* PAE: the first level is in registers, without permissions (SDM 3A 4.4.1). False: not present. */
static bool start(const struct hw_cpu *c, const struct walk_params *p, u64 lin, u64 *table)
{
	u64 pdpte;

	*table = p->root;
	if (p->mode != PAGING_PAE)
		return true;
	pdpte = c->arch.pdptr[lin >> 30 & 3];
	*table = pdpte & ENTRY_ADDR & ~p->claim_bit;
	return pdpte & ENTRY_P;
}

/* Another walk of the region has found its last table since the last flush. */
static bool start_at_last(const struct hw_cpu *c, u64 lin, struct walk *w)
{
	const struct tlb_table_entry *e = &c->tlb.table[lin >> w->shift & (TLB_TABLE_SIZE - 1)];

	if (e->tag != lin >> w->shift << w->shift)
		return false;
	w->writable = e->writable;
	w->user = e->user;
	w->nx = e->nx;
	w->last = *e;
	return true;
}

static int read_entry_from_outside(const struct hw_table_reader *reader, struct walk *w, struct walk_step *s)
{
	s->entry = 0;
	return reader->read(reader->opaque, s->gpa, &s->entry, w->entry_size) ? EXEC_EXIT : EXEC_OK;
}

void walk_tables(struct hw_cpu *c, u64 lin, const struct walk_params *p, const struct hw_table_reader *reader, struct walk *w)
{
	unsigned int level = p->levels;
	u64 table, e;

	w->status = WALK_NOT_PRESENT;
	w->result = EXEC_OK;
	w->count = 0;
	w->entry_size = p->mode == PAGING_32BIT ? 4 : 8;
	w->shift = p->mode == PAGING_32BIT ? 22 : 21;
	w->writable = w->user = true;
	w->nx = false;
	if (!reader && start_at_last(c, lin, w)) {
		level = HW_LEVEL_4K;
		table = w->last.table;
	} else if (root_reserved(c, p)) {
		w->status = WALK_RESERVED;
		w->level = level;
		return;
	} else if (!start(c, p, lin, &table)) {
		w->level = HW_LEVEL_1G;
		return;
	}
	for (;; level--) {
		struct walk_step *s = &w->step[w->count++];

		w->level = level;
		if (level == HW_LEVEL_4K)
			w->last = (struct tlb_table_entry){lin >> w->shift << w->shift, table, w->writable, w->user,
							   w->nx};
		s->gpa = gpa(table + (u64)table_index(p, lin, level) * w->entry_size);
		w->result = reader ? read_entry_from_outside(reader, w, s) : read_entry(c, lin, w, s);
		if (w->result) {
			w->status = WALK_STOPPED;
			return;
		}
		e = s->entry;
		if (!(e & ENTRY_P))
			return;
		if (has_reserved(p, e, level)) {
			w->status = WALK_RESERVED;
			return;
		}
		w->writable &= !!(e & ENTRY_RW);
		w->user &= !!(e & ENTRY_US);
		w->nx |= w->entry_size == 8 && (e & ENTRY_NX);
		if (is_leaf(p, e, level))
			break;
		table = (p->mode == PAGING_32BIT ? e & 0xfffff000 : e & ENTRY_ADDR) & ~p->claim_bit;
	}
	w->status = WALK_OK;
	w->address = page_address(p, lin, e, level);
	w->global = (e & ENTRY_G) && (c->arch.cr4 & CR4_PGE);
	w->dirty = e & ENTRY_D;
}

/* ---------------------------------------------------------------- accessed and dirty flags */

static int exchange_entry(struct hw_cpu *c, unsigned int size, hpa_t where, u64 old, u64 value)
{
	void *p = hpa_to_ptr(where);
	bool swapped;

	if (size == 8)
		UACCESS_CMPXCHG_8(p, old, value, swapped, gone);
	else
		UACCESS_CMPXCHG_4(p, old, value, swapped, gone);
	return swapped ? EXEC_OK : EXEC_AGAIN;
gone:
	return cpu_exit_host_fault(c);
}

static int update_entry(struct hw_cpu *c, u64 lin, struct walk *w, struct walk_step *s, u64 value)
{
	int r = table_access(c, lin, s->gpa, w->entry_size, true, &s->hpa);

	if (r)
		return r;
	r = exchange_entry(c, w->entry_size, s->hpa, s->entry, value);
	if (r)
		return r;
	s->entry = value;
	/* The locked exchange orders this after the store, see tlb.c. */
	if (code_on_frame(c->vm, hpa(s->hpa.v & HW_PAGE_MASK)))
		code_written(c, s->hpa, w->entry_size);
	return EXEC_OK;
}

int walk_set_accessed(struct hw_cpu *c, u64 lin, struct walk *w, bool write)
{
	for (unsigned int i = 0; i < w->count; i++) {
		struct walk_step *s = &w->step[i];
		u64 value = s->entry | ENTRY_A | (write && i == w->count - 1 ? ENTRY_D : 0);
		int r;

		if (value == s->entry)
			continue;
		r = update_entry(c, lin, w, s, value);
		if (r)
			return r;
	}
	w->dirty = w->step[w->count - 1].entry & ENTRY_D;
	return EXEC_OK;
}
