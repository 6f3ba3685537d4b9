// SPDX-License-Identifier: Apache-2.0
/*
 * walk: the guest's paging structures (SDM 3A ch. 4), and what mmu.c, tlb.c and access.c share.
 */
#pragma once

#include "hw/cpu/sys.h"

/* ---------------------------------------------------------------- the guest's paging structures (walk.c) */

/* What a walk depends on besides memory. */
struct walk_params {
	enum { PAGING_NONE, PAGING_32BIT, PAGING_PAE, PAGING_LONG } mode;
	unsigned int levels; /* tables to read: 2 (32-bit, PAE after its registers), 4, 5 */
	u64 root;	     /* CR3 with the bits that are not an address removed */
	unsigned int phys_bits;
	u64 claim_bit; /* shared bit or C-bit: in no entry part of the address, in none reserved */
	u64 shared_bit; /* claim_bit where tables and code may not be shared (ctl.s2_private), else 0 */
	bool nxe, pse;
};

struct walk_step {
	gpa_t gpa; /* of the entry */
	hpa_t hpa;
	u64 entry;
};

enum walk_status {
	WALK_OK,
	WALK_NOT_PRESENT,
	WALK_RESERVED,
	WALK_STOPPED, /* the tables themselves cannot be read: result is EXEC_EXIT, or nothing with a reader */
};

struct walk {
	enum walk_status status;
	int result;
	unsigned int count; /* entries that were read; the last one ended the walk */
	struct walk_step step[5];
	unsigned int entry_size;     /* 4 or 8 */
	unsigned int shift;	     /* of the region that a last table maps */
	struct tlb_table_entry last; /* that table, if the walk got there */
	unsigned int level;	     /* 1..3: size class of the page (4M counts as 2) */
	u64 address;		     /* of the byte, with the claim bit */
	bool writable, user, nx, global, dirty;
};

static inline unsigned int cpu_maxphyaddr(const struct hw_cpu *c)
{
	unsigned int width = c->ctl.maxphyaddr ? c->ctl.maxphyaddr : hw_machine_config(c->machine)->phys_bits;

	return width > 52 ? 52 : width;
}
void walk_params(const struct hw_cpu *c, struct walk_params *p);
static inline struct observer *cpu_observer(const struct hw_cpu *c)
{
	return hw_machine_config(c->machine)->obs;
}
/* Of the paging structures themselves. */
static inline enum hw_claim table_claim(const struct hw_cpu *c)
{
	return c->ctl.s2_private ? CLAIM_PRIVATE : CLAIM_NONE;
}
/* With a reader: neither exits nor events. Without one the tables are read as the processor reads them. */
void walk_tables(struct hw_cpu *c, u64 lin, const struct walk_params *p, const struct hw_table_reader *reader, struct walk *w);
/*
 * Accessed flags of the whole path, and the dirty flag of the page. EXEC_OK, EXEC_EXIT, or EXEC_AGAIN: another
 * processor changed an entry meanwhile, walk again.
 */
int walk_set_accessed(struct hw_cpu *c, u64 lin, struct walk *w, bool write);

/* ---------------------------------------------------------------- TLB (tlb.c) */

/* The set that an access looks at. */
static inline unsigned int tlb_set(const struct hw_cpu *c, unsigned int acc)
{
	if (acc & ACC_USER)
		return c->cpl == 3 ? c->tlb_mode : TLB_USER;
	/* Implicit accesses and those made for a more privileged stack while CPL is still 3. */
	if ((acc & ACC_IMPLICIT) || c->cpl == 3)
		return TLB_SUPERVISOR;
	return c->tlb_mode;
}

/* After a walk whose accessed flags are set. */
void tlb_table_fill(struct hw_cpu *c, const struct tlb_table_entry *e, unsigned int shift);
/* After a complete access: for reading, and for writing if it was a write and the frame carries no code. */
void tlb_fill(struct hw_cpu *c, const struct access *a, bool code_page);
bool tlb_fetch_lookup(struct hw_cpu *c, u64 lin, bool user, hpa_t *host);
void tlb_fetch_fill(struct hw_cpu *c, const struct access *a);
/* The same address private and shared are two pages where there are two tables. */
static inline u64 tlb_s2_tag(const struct hw_cpu *c, gpa_t a, enum hw_claim claim)
{
	return (a.v & HW_PAGE_MASK) | (claim == CLAIM_PRIVATE && c->ctl.s2_private ? TLB_TAG_PRIVATE : 0);
}
static inline bool tlb_stage2_hit(const struct hw_cpu *c, gpa_t a, enum hw_claim claim, unsigned int need, hpa_t *host)
{
	const struct tlb_s2_entry *e = &c->tlb.s2[a.v >> HW_PAGE_SHIFT & (TLB_S2_SIZE - 1)];

	if (e->tag != tlb_s2_tag(c, a, claim) || (need & ~e->perms))
		return false;
	*host = hpa(e->page | (a.v & ~HW_PAGE_MASK));
	return true;
}
/* stage2_walk() of the table that the claim selects into a->s2, remembered until the next cpu_tlb_flush(). */
void tlb_stage2(struct hw_cpu *c, struct access *a, unsigned int need);

/* ---------------------------------------------------------------- step 4 alone (mmu.c) */

/* The answer is in a->s2; access_stage2() exits if it is no. */
void access_stage2_walk(struct hw_cpu *c, struct access *a, unsigned int need);
