// SPDX-License-Identifier: Apache-2.0
/* sys_state: state derived from the architectural one, RFLAGS as a whole, and the state after RESET and INIT. */
#include <string.h>

#include "hw/cpu/sys.h"

void sys_request_event(struct hw_cpu *c)
{
	__atomic_fetch_or(&c->request, REQ_EVENT, __ATOMIC_RELAXED);
}

static bool flat(const struct hw_segment *s, u32 type_mask, u32 type)
{
	return !s->base && s->limit == 0xffffffff && (s->attr & (type_mask | SEG_UNUSABLE)) == type;
}

/* No access through ES, CS (reads), SS, DS can fail a segment check: base 0, 4 GiB, readable, data writable. */
static bool segments_flat(const struct hw_cpu *c)
{
	const struct hw_segment *s = c->arch.seg;
	const u32 mask = SEG_CODE | SEG_DC | SEG_RW;

	return flat(&s[HW_ES], mask, SEG_RW) && flat(&s[HW_DS], mask, SEG_RW) && flat(&s[HW_SS], mask, SEG_RW) &&
	       flat(&s[HW_CS], SEG_CODE | SEG_RW, SEG_CODE | SEG_RW);
}

static u32 mode_legacy(const struct hw_cpu *c)
{
	const struct hw_segment *s = c->arch.seg;
	u32 mode = 0;

	if (s[HW_CS].attr & SEG_DB)
		mode |= MODE_CS32;
	if (s[HW_SS].attr & SEG_DB)
		mode |= MODE_SS32;
	if (c->arch.rflags & FLAG_VM)
		mode |= MODE_VM86;
	else if (c->arch.cr0 & CR0_PE)
		mode |= MODE_PROT;
	if ((mode & MODE_PROT) && segments_flat(c))
		mode |= MODE_FLAT;
	return mode;
}

static bool must_step(const struct hw_cpu *c)
{
	return c->arch.rflags & FLAG_TF || c->arch.interruptibility & (HW_BLOCK_STI | HW_BLOCK_MOV_SS) ||
	       c->arch.dr7 & 0xff || c->pending_db;
}

static void update_tlb_mode(struct hw_cpu *c)
{
	if (c->cpl == 3)
		c->tlb_mode = c->arch.rflags & FLAG_AC && c->arch.cr0 & CR0_AM ? TLB_UNCACHED : TLB_USER;
	else if (c->arch.rflags & FLAG_AC && c->arch.cr4 & CR4_SMAP)
		c->tlb_mode = TLB_SUPERVISOR_AC;
	else
		c->tlb_mode = TLB_SUPERVISOR;
}

void cpu_update_mode(struct hw_cpu *c)
{
	bool lma = c->arch.efer & EFER_LMA;
	u32 mode;

	if (lma && c->arch.seg[HW_CS].attr & SEG_L)
		mode = MODE_CS64 | MODE_PROT | MODE_FLAT;
	else
		mode = mode_legacy(c);
	if (lma)
		mode |= MODE_LONG;
	/* SS.DPL is the CPL (SDM 3C 24.4.1); real mode runs at 0, VM86 at 3 */
	c->cpl = !(c->arch.cr0 & CR0_PE) ? 0 : mode & MODE_VM86 ? 3 : SEG_DPL(c->arch.seg[HW_SS].attr);
	if (c->cpl == 3)
		mode |= MODE_USER;
	if (must_step(c))
		mode |= MODE_STEP;
	c->mode = mode;
	update_tlb_mode(c);
}

u64 sys_merge_rflags(struct hw_cpu *c, u64 value, u64 mask)
{
	u64 old = c->arch.rflags;
	u64 rest = mask & ~(u64)FLAGS_ARITH;

	if ((mask & FLAGS_ARITH) == FLAGS_ARITH)
		cpu_set_arith_flags(c, value);
	else if (mask & FLAGS_ARITH)
		cpu_set_arith_flags(c, (value & mask) | (flags_to_eflags(c->flags) & ~mask));
	/* RF lasts for one instruction, and only an instruction breakpoint can see it (SDM 3B 17.3.1.1) */
	if (value & rest & FLAG_RF && !dr7_has_code_breakpoint(c))
		value &= ~(u64)FLAG_RF;
	c->arch.rflags = (old & ~rest) | (value & rest) | 2;
	return (old ^ value) & rest;
}

int cpu_set_rflags(struct hw_cpu *c, u64 value, u64 mask)
{
	u64 changed = sys_merge_rflags(c, value, mask);

	if (!(changed & ~(u64)(FLAG_DF | FLAG_ID | FLAG_NT | FLAG_RF)))
		return EXEC_OK;
	if (changed & (FLAG_TF | FLAG_VM))
		cpu_update_mode(c);
	else if (changed & FLAG_AC)
		update_tlb_mode(c);
	if (changed & c->arch.rflags & (FLAG_IF | FLAG_TF))
		sys_request_event(c);
	return EXEC_END;
}

static void reset_segments(struct hw_arch *a)
{
	for (unsigned int i = 0; i < HW_SREG_COUNT; i++)
		a->seg[i] = (struct hw_segment){.limit = 0xffff, .attr = SEG_P | SEG_S | SEG_RW | SEG_ACCESSED};
	a->seg[HW_CS] = (struct hw_segment){
		.selector = 0xf000,
		.base = 0xffff0000,
		.limit = 0xffff,
		.attr = SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_ACCESSED,
	};
	a->seg[HW_LDTR].attr = SEG_P | SYS_LDT;
	a->seg[HW_TR].attr = SEG_P | SYS_TSS32_BUSY;
	a->gdtr = a->idtr = (struct hw_table){.limit = 0xffff};
}

static void reset_xsave(struct hw_xsave *x)
{
	const u16 fcw = 0x37f;
	const u32 mxcsr = 0x1f80;

	memset(x, 0, sizeof(*x));
	memcpy(&x->b[0], &fcw, sizeof(fcw));
	memcpy(&x->b[24], &mxcsr, sizeof(mxcsr));
}

/* What INIT leaves alone: x87 and SSE state, CR0.CD and NW, most MSRs (SDM 3A Table 9-1). */
static void reset_kept_by_init(struct hw_arch *a)
{
	reset_xsave(&a->xsave);
	a->xcr0 = 1;
	a->xss = 0;
	a->star = a->lstar = a->cstar = a->sfmask = a->kernel_gs_base = 0;
	a->sysenter_cs = a->sysenter_eip = a->sysenter_esp = 0;
	a->pat = 0x0007040600070406;
	a->tsc_aux = 0;
	a->misc_enable_fs = 1;
	a->cr0 = CR0_CD | CR0_NW | CR0_ET;
}

void cpu_reset_arch(struct hw_cpu *c, bool init)
{
	struct hw_arch *a = &c->arch;
	struct hw_cpuid id;

	hw_cpuid(c->machine, 1, 0, &id);
	memset(a->gpr, 0, sizeof(a->gpr));
	a->gpr[HW_RDX] = id.eax;
	a->rip = 0xfff0;
	a->rflags = 2;
	c->flags = flags_from_eflags(0);
	if (!init)
		reset_kept_by_init(a);
	a->cr0 = (a->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
	a->cr2 = a->cr3 = a->cr4 = a->cr8 = 0;
	a->efer = 0;
	memset(a->pdptr, 0, sizeof(a->pdptr));
	memset(a->dr, 0, sizeof(a->dr));
	a->dr6 = DR6_FIXED;
	a->dr7 = DR7_FIXED;
	a->debugctl = 0;
	reset_segments(a);
	a->interruptibility = 0;
	a->activity = HW_ACTIVE;
	c->pending_db = c->in_delivery = c->step_armed = false;
	c->pending_dr6 = c->sti_next = 0;
	c->done_count = c->done_next = 0;
	c->exit_pending_access = false;
	cpu_update_mode(c);
}
