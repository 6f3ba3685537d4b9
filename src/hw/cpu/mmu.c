// SPDX-License-Identifier: Apache-2.0
/*
 * The four steps of an access, each with its trace point.
 */
#include "hw/cpu/walk.h"

#include <errno.h>

_Static_assert(CLAIM_NONE == (int)OBSERVE_CLAIM_NONE && CLAIM_SHARED == (int)OBSERVE_CLAIM_SHARED &&
		       CLAIM_PRIVATE == (int)OBSERVE_CLAIM_PRIVATE,
	       "claims print as names");
_Static_assert(STAGE2_OK == (int)OBSERVE_STAGE2_MAPPED && STAGE2_NOT_PRESENT == (int)OBSERVE_STAGE2_NOT_PRESENT &&
		       STAGE2_PERMISSION == (int)OBSERVE_STAGE2_DENIED && STAGE2_RESERVED == (int)OBSERVE_STAGE2_MMIO,
	       "results of a stage-2 walk print as names");

/* ---------------------------------------------------------------- (1) a virtual address is accessed */

/* SDM 3A Table 6-7: by data type; 16-byte and larger operands have checks of their own (#GP). */
static unsigned int alignment_of(unsigned int size)
{
	switch (size) {
	case 2:
	case 4:
	case 8:
		return size;
	case 6:
		return 4;
	case 10:
		return 8;
	}
	return 1;
}

int access_begin(struct hw_cpu *c, struct access *a)
{
	observe(cpu_observer(c), OBSERVE_HW_ACCESS, c->index, a->lin, a->size,
		a->acc & (ACC_WRITE | ACC_USER | ACC_FETCH));
	if (!(a->acc & ACC_FETCH) && tlb_set(c, a->acc) == TLB_UNCACHED && (a->lin & (alignment_of(a->size) - 1)))
		return cpu_raise_error(c, X86_AC, 0);
	return EXEC_OK;
}

/* ---------------------------------------------------------------- (2) the guest's paging structures */

/* SDM 3A 4.6.1: access rights. */
static bool permitted(const struct hw_cpu *c, const struct walk *w, unsigned int acc)
{
	bool write = acc & (ACC_WRITE | ACC_RMW);

	if (acc & ACC_FETCH && w->nx)
		return false;
	if (acc & ACC_USER)
		return w->user && (!write || w->writable);
	if (w->user && (acc & ACC_FETCH))
		return !(c->arch.cr4 & CR4_SMEP);
	if (w->user && (c->arch.cr4 & CR4_SMAP) && ((acc & ACC_IMPLICIT) || !(c->arch.rflags & FLAG_AC)))
		return false;
	return !write || w->writable || !(c->arch.cr0 & CR0_WP);
}

/* SDM 3A 4.7. I/D is reported only where fetches can be forbidden. */
static u32 error_code(const struct hw_cpu *c, const struct walk_params *p, const struct walk *w, unsigned int acc)
{
	u32 error = acc & ACC_USER;

	if (acc & (ACC_WRITE | ACC_RMW))
		error |= ACC_WRITE;
	if ((acc & ACC_FETCH) && ((p->mode != PAGING_32BIT && p->nxe) || (c->arch.cr4 & CR4_SMEP)))
		error |= ACC_FETCH;
	if (w->status != WALK_NOT_PRESENT)
		error |= HW_PFERR_PRESENT;
	if (w->status == WALK_RESERVED)
		error |= HW_PFERR_RSVD;
	return error;
}

static int walk_denied(struct hw_cpu *c, const struct access *a, const struct walk_params *p, const struct walk *w)
{
	u32 error = error_code(c, p, w, a->acc);

	observe(cpu_observer(c), OBSERVE_HW_GUEST_WALK, c->index, a->lin, 0, w->level,
		w->status == WALK_NOT_PRESENT ? OBSERVE_WALK_NOT_PRESENT :
		w->status == WALK_RESERVED    ? OBSERVE_WALK_RESERVED :
						OBSERVE_WALK_DENIED,
		error);
	return cpu_page_fault(c, a->lin, error);
}

static void without_paging(struct hw_cpu *c, struct access *a)
{
	a->gpa = gpa(a->lin);
	a->guest_level = HW_LEVEL_4K;
	a->guest_writable = a->guest_user = a->dirty = true;
	a->guest_global = false;
	observe(cpu_observer(c), OBSERVE_HW_GUEST_WALK, c->index, a->lin, a->gpa.v, 0, OBSERVE_WALK_NO_PAGING, 0);
}

/* a->gpa still carries the shared bit or C-bit: access_claim() takes it off. */
int access_guest_walk(struct hw_cpu *c, struct access *a)
{
	struct walk_params p;
	struct walk w;
	int r;

	walk_params(c, &p);
	if (p.mode == PAGING_NONE) {
		without_paging(c, a);
		return EXEC_OK;
	}
	do {
		walk_tables(c, a->lin, &p, NULL, &w);
		if (w.status == WALK_STOPPED)
			return w.result;
		if (w.status == WALK_OK && a->acc & ACC_FETCH && w.address & p.shared_bit)
			w.status = WALK_RESERVED;
		if (w.status != WALK_OK || !permitted(c, &w, a->acc))
			return walk_denied(c, a, &p, &w);
		r = walk_set_accessed(c, a->lin, &w, a->acc & (ACC_WRITE | ACC_RMW));
	} while (r == EXEC_AGAIN);
	if (r)
		return r;
	if (w.level == HW_LEVEL_4K)
		tlb_table_fill(c, &w.last, w.shift);
	a->gpa = gpa(w.address);
	a->guest_level = w.level;
	a->guest_writable = w.writable;
	a->guest_user = w.user;
	a->guest_global = w.global;
	a->dirty = w.dirty;
	observe(cpu_observer(c), OBSERVE_HW_GUEST_WALK, c->index, a->lin, a->gpa.v, w.level, OBSERVE_WALK_MAPPED, 0);
	return EXEC_OK;
}

/* ---------------------------------------------------------------- (3) private or shared */

void access_claim(struct hw_cpu *c, struct access *a)
{
	a->claim = cpu_claim_of(c, a->gpa.v);
	a->gpa.v &= ~c->ctl.claim_bit;
	observe(cpu_observer(c), OBSERVE_HW_CLAIM, c->index, a->gpa.v, a->claim);
}

/* ---------------------------------------------------------------- (4) the host's structures */

void access_stage2_walk(struct hw_cpu *c, struct access *a, unsigned int need)
{
	tlb_stage2(c, a, need);
	observe(cpu_observer(c), OBSERVE_HW_STAGE2_WALK, c->index, a->gpa.v, a->s2.hpa.v, a->s2.level, a->s2.result,
		a->table ? OBSERVE_USE_TABLE : OBSERVE_USE_ACCESS);
}

int access_stage2(struct hw_cpu *c, struct access *a)
{
	unsigned int need = a->acc & ACC_FETCH ? STAGE2_X : a->acc & ACC_WRITE ? STAGE2_W : STAGE2_R;

	access_stage2_walk(c, a, need);
	return a->s2.result == STAGE2_OK ? EXEC_OK : cpu_exit_stage2(c, a);
}

/* ---------------------------------------------------------------- from outside */

/* The claim bit is still in w->address. */
static bool translate(struct hw_cpu *c, u64 lin, const struct hw_table_reader *reader, struct walk *w)
{
	struct walk_params p;

	walk_params(c, &p);
	if (p.mode == PAGING_NONE) {
		*w = (struct walk){.address = lin, .writable = true, .user = true};
		return true;
	}
	if (p.mode == PAGING_LONG && !cpu_canonical(c, lin))
		return false;
	walk_tables(c, lin, &p, reader, w);
	return w->status == WALK_OK;
}

bool hw_cpu_translate(struct hw_cpu *c, gva_t va, const struct hw_table_reader *reader, struct hw_translation *out)
{
	struct walk w;

	if (!translate(c, va.v, reader, &w))
		return false;
	*out = (struct hw_translation){gpa(w.address & ~c->ctl.claim_bit), w.writable, w.user};
	return true;
}

/* What the guest sees. Outside hw_cpu_run() nobody waits for this vCPU to forget a translation: none may be remembered. */
static int read_by_stage2(void *opaque, gpa_t at, void *entry, unsigned int size)
{
	struct hw_cpu *c = opaque;
	struct stage2_walk s2;

	stage2_walk(cpu_stage2(c, table_claim(c)), at, STAGE2_R, &s2);
	return s2.result == STAGE2_OK ? hw_copy_from_host(entry, s2.hpa, size) : -EFAULT;
}

bool cpu_debug_translate(struct hw_cpu *c, u64 lin, hpa_t *host)
{
	const struct hw_table_reader reader = {read_by_stage2, c};
	struct stage2_walk s2;
	struct walk w;

	if (!translate(c, lin, &reader, &w))
		return false;
	stage2_walk(cpu_stage2(c, cpu_claim_of(c, w.address)), gpa(w.address & ~c->ctl.claim_bit), STAGE2_R, &s2);
	*host = s2.hpa;
	return s2.result == STAGE2_OK;
}
