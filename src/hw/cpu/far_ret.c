// SPDX-License-Identifier: Apache-2.0
/* far_ret: far RET and IRET in every mode (SDM 2A IRET, 2B RET). */
#include "hw/cpu/sys.h"

/* Reads elements from the stack without moving RSP. */
struct unwind {
	u64 sp; /* of the next element */
	u64 mask;
	unsigned int size;
};

static struct unwind unwind_begin(const struct hw_cpu *c, unsigned int size)
{
	u64 mask = cpu_cs64(c) ? ~0ull : c->mode & MODE_SS32 ? 0xffffffff : 0xffff;

	return (struct unwind){.sp = c->arch.gpr[HW_RSP] & mask, .mask = mask, .size = size};
}

static int unwind_read(struct hw_cpu *c, struct unwind *u, u64 *out, unsigned int count)
{
	if (u->size == 8 && cpu_cs64(c)) {
		if (!cpu_canonical(c, u->sp) || !cpu_canonical(c, u->sp + 8 * count - 1))
			return cpu_raise_error(c, X86_SS, 0);
		SYS_TRY(sys_read_stack(c, u->sp, out, 8 * count));
		u->sp += 8 * count;
		return EXEC_OK;
	}
	for (unsigned int n = 0; n < count; n++) {
		u64 lin;

		SYS_TRY(cpu_linear(c, HW_SS, u->sp, u->size, ACC_READ, &lin));
		out[n] = 0;
		SYS_TRY(cpu_read(c, lin, &out[n], u->size));
		u->sp = (u->sp + u->size) & u->mask;
	}
	return EXEC_OK;
}

/* RSP on the current stack. */
static void set_sp(struct hw_cpu *c, u64 sp, u64 mask)
{
	c->arch.gpr[HW_RSP] = mask == 0xffff ? (c->arch.gpr[HW_RSP] & ~mask) | (sp & mask) : sp & mask;
}

/* Code segment of a return to privilege RPL. */
static int return_code(struct hw_cpu *c, u16 sel, u64 *desc)
{
	unsigned int rpl = sel & 3;
	u32 error = sel & ~3;

	if (sel_null(sel))
		return cpu_gp(c, 0);
	SYS_TRY(desc_read(c, sel, X86_GP, desc));
	if (!desc_is_code(*desc) || rpl < c->cpl)
		return cpu_gp(c, error);
	if (desc_conforming(*desc) ? desc_dpl(*desc) > rpl : desc_dpl(*desc) != rpl)
		return cpu_gp(c, error);
	if (cpu_long_mode(c) && desc_long(*desc) && desc_big(*desc))
		return cpu_gp(c, error);
	if (!desc_present(*desc))
		return cpu_raise_error(c, X86_NP, error);
	return desc_set_accessed(c, sel, desc);
}

/* The stack segment popped by a return to privilege `rpl`; null is allowed for a 64-bit target below privilege 3. */
static int return_stack(struct hw_cpu *c, u16 sel, unsigned int rpl, bool to64, struct hw_segment *out)
{
	if (sel_null(sel) && to64 && rpl != 3) {
		if ((sel & 3u) != rpl)
			return cpu_gp(c, 0);
		*out = null_segment(sel, rpl);
		return EXEC_OK;
	}
	return stack_segment(c, sel, rpl, X86_GP, out);
}

/* SDM 2B RET, RETURN-TO-OUTER-PRIVILEGE: data segments that the new privilege may not use become null. */
static void drop_segments(struct hw_cpu *c, unsigned int cpl)
{
	static const u8 sregs[] = {HW_ES, HW_DS, HW_FS, HW_GS};

	for (unsigned int n = 0; n < sizeof(sregs); n++) {
		struct hw_segment *s = &c->arch.seg[sregs[n]];
		bool conforming = (s->attr & (SEG_CODE | SEG_DC)) == (SEG_CODE | SEG_DC);

		if (s->attr & SEG_UNUSABLE || sel_null(s->selector))
			s->selector = 0;
		else if (!conforming && SEG_DPL(s->attr) < cpl)
			*s = (struct hw_segment){.base = s->base, .attr = SEG_UNUSABLE};
	}
}

static bool segment_is64(const struct hw_cpu *c, u64 desc)
{
	return cpu_long_mode(c) && desc_long(desc);
}

/* RSP of a stack of another privilege: its width is that of the new code and stack segments. */
static u64 outer_sp(const struct hw_cpu *c, u64 popped, const struct hw_segment *ss, bool to64)
{
	if (to64)
		return popped;
	if (ss->attr & SEG_DB)
		return (u32)popped;
	return (c->arch.gpr[HW_RSP] & ~0xffffull) | (u16)popped;
}

/* ---------------------------------------------------------------- RET far */

static int ret_real(struct hw_cpu *c, const struct insn *i, u64 release)
{
	struct unwind u = unwind_begin(c, i->opsize);
	u64 v[2];

	SYS_TRY(unwind_read(c, &u, v, 2));
	if (v[0] > c->arch.seg[HW_CS].limit)
		return cpu_gp(c, 0);
	set_sp(c, u.sp + release, u.mask);
	c->arch.seg[HW_CS].selector = v[1];
	c->arch.seg[HW_CS].base = (v[1] & 0xffff) << 4;
	c->arch.rip = v[0];
	return EXEC_JUMP;
}

int far_ret(struct hw_cpu *c, const struct insn *i)
{
	struct unwind u = unwind_begin(c, i->opsize);
	u64 release = i->nops ? (u16)i->imm : 0, v[4], desc;
	struct hw_segment cs, ss;
	unsigned int rpl;
	bool to64;

	if (!cpu_protected(c))
		return ret_real(c, i, release);
	SYS_TRY(unwind_read(c, &u, v, 2));
	SYS_TRY(return_code(c, v[1], &desc));
	rpl = v[1] & 3;
	cs = code_segment(v[1], desc, rpl);
	if (!code_offset_ok(c, &cs, v[0]))
		return cpu_gp(c, 0);
	if (rpl == c->cpl) {
		set_sp(c, u.sp + release, u.mask);
	} else {
		to64 = segment_is64(c, desc);
		u.sp = (u.sp + release) & u.mask;
		SYS_TRY(unwind_read(c, &u, v + 2, 2));
		SYS_TRY(return_stack(c, v[3], rpl, to64, &ss));
		c->arch.seg[HW_SS] = ss;
		c->arch.gpr[HW_RSP] = outer_sp(c, v[2] + release, &ss, to64);
		drop_segments(c, rpl);
	}
	c->arch.seg[HW_CS] = cs;
	c->arch.rip = v[0];
	cpu_update_mode(c);
	return EXEC_JUMP;
}

/* ---------------------------------------------------------------- IRET */

/* Bits of EFLAGS that IRET at privilege `cpl` may change (SDM 2A IRET). */
static u64 iret_flags_mask(const struct hw_cpu *c, unsigned int size)
{
	u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;

	if (size > 2)
		mask |= FLAG_RF | FLAG_AC | FLAG_ID;
	if (c->cpl <= cpu_iopl(c))
		mask |= FLAG_IF;
	if (c->cpl == 0) {
		mask |= FLAG_IOPL;
		if (size > 2)
			mask |= FLAG_VIF | FLAG_VIP;
	}
	return mask;
}

static void iret_done(struct hw_cpu *c, u64 flags, u64 mask)
{
	c->arch.interruptibility &= ~HW_BLOCK_NMI;
	sys_merge_rflags(c, flags, mask);
	cpu_update_mode(c);
	if (c->arch.rflags & FLAG_IF || c->ctl.nmi_window)
		sys_request_event(c);
}

static int iret_real(struct hw_cpu *c, const struct insn *i)
{
	struct unwind u = unwind_begin(c, i->opsize);
	u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT, v[3];

	SYS_TRY(unwind_read(c, &u, v, 3));
	if (v[0] > c->arch.seg[HW_CS].limit)
		return cpu_gp(c, 0);
	if (i->opsize == 4)
		mask |= FLAG_RF | FLAG_AC | FLAG_ID;
	set_sp(c, u.sp, u.mask);
	c->arch.seg[HW_CS].selector = v[1];
	c->arch.seg[HW_CS].base = (v[1] & 0xffff) << 4;
	c->arch.rip = v[0];
	iret_done(c, v[2], mask);
	return EXEC_JUMP;
}

/* VM86: IOPL 3 is needed, or the virtual interrupt flag of CR4.VME with a 16-bit operand (SDM 3A 20.3.1, Table 20-2).
 */
static int iret_vm86(struct hw_cpu *c, const struct insn *i)
{
	struct unwind u = unwind_begin(c, i->opsize);
	u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT, v[3];
	bool vme = cpu_iopl(c) < 3;

	if (vme && (!(c->arch.cr4 & CR4_VME) || i->opsize != 2))
		return cpu_gp(c, 0);
	SYS_TRY(unwind_read(c, &u, v, 3));
	if (v[0] > c->arch.seg[HW_CS].limit)
		return cpu_gp(c, 0);
	if (vme) {
		if (v[2] & FLAG_TF || (v[2] & FLAG_IF && c->arch.rflags & FLAG_VIP))
			return cpu_gp(c, 0);
		v[2] = (v[2] & ~(u64)FLAG_VIF) | (v[2] & FLAG_IF ? FLAG_VIF : 0);
		mask |= FLAG_VIF;
	} else {
		mask |= FLAG_IF | (i->opsize == 4 ? FLAG_RF | FLAG_AC | FLAG_ID : 0);
	}
	set_sp(c, u.sp, u.mask);
	c->arch.seg[HW_CS].selector = v[1];
	c->arch.seg[HW_CS].base = (v[1] & 0xffff) << 4;
	c->arch.rip = v[0];
	iret_done(c, v[2], mask);
	return EXEC_JUMP;
}

static void load_vm86_segment(struct hw_cpu *c, unsigned int sreg, u16 sel)
{
	c->arch.seg[sreg] = (struct hw_segment){
		.selector = sel,
		.base = (u32)sel << 4,
		.limit = 0xffff,
		.attr = SEG_P | SEG_S | 3 << 5 | SEG_RW | SEG_ACCESSED,
	};
}

/* EFLAGS.VM in the image, at CPL 0, outside IA-32e mode. v: EIP, CS, EFLAGS. */
static int iret_to_vm86(struct hw_cpu *c, struct unwind *u, const u64 *v)
{
	static const u8 sregs[] = {HW_ES, HW_DS, HW_FS, HW_GS};
	u64 w[6]; /* ESP, SS, ES, DS, FS, GS */

	SYS_TRY(unwind_read(c, u, w, 6));
	if ((u32)v[0] > 0xffff)
		return cpu_gp(c, 0);
	for (unsigned int n = 0; n < sizeof(sregs); n++)
		load_vm86_segment(c, sregs[n], w[2 + n]);
	load_vm86_segment(c, HW_SS, w[1]);
	load_vm86_segment(c, HW_CS, v[1]);
	c->arch.gpr[HW_RSP] = (u32)w[0];
	c->arch.rip = (u16)v[0];
	iret_done(c, v[2],
		  FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC |
			  FLAG_VIF | FLAG_VIP | FLAG_ID);
	return EXEC_JUMP;
}

static int iret_protected(struct hw_cpu *c, const struct insn *i)
{
	struct unwind u = unwind_begin(c, i->opsize);
	bool outer, to64, pops_stack;
	struct hw_segment cs, ss;
	u64 v[5], desc, mask;
	unsigned int rpl;

	/* 64-bit mode always pops SS:RSP (SDM 3A 6.14.3) */
	pops_stack = cpu_cs64(c);
	SYS_TRY(unwind_read(c, &u, v, pops_stack ? 5 : 3));
	if (v[2] & FLAG_VM && c->cpl == 0 && !cpu_long_mode(c) && i->opsize == 4)
		return iret_to_vm86(c, &u, v);
	SYS_TRY(return_code(c, v[1], &desc));
	rpl = v[1] & 3;
	outer = rpl != c->cpl;
	to64 = segment_is64(c, desc);
	if (outer && !pops_stack) {
		SYS_TRY(unwind_read(c, &u, v + 3, 2));
		pops_stack = true;
	}
	if (pops_stack)
		SYS_TRY(return_stack(c, v[4], rpl, to64, &ss));
	cs = code_segment(v[1], desc, rpl);
	if (!code_offset_ok(c, &cs, v[0]))
		return cpu_gp(c, 0);
	mask = iret_flags_mask(c, i->opsize);
	if (pops_stack) {
		c->arch.gpr[HW_RSP] = outer_sp(c, v[3], &ss, to64);
		c->arch.seg[HW_SS] = ss;
	} else {
		set_sp(c, u.sp, u.mask);
	}
	if (outer)
		drop_segments(c, rpl);
	c->arch.seg[HW_CS] = cs;
	c->arch.rip = v[0];
	iret_done(c, v[2], mask);
	return EXEC_JUMP;
}

int far_iret(struct hw_cpu *c, const struct insn *i)
{
	u16 link;

	if (c->mode & MODE_VM86)
		return iret_vm86(c, i);
	if (!(c->arch.cr0 & CR0_PE))
		return iret_real(c, i);
	if (c->arch.rflags & FLAG_NT) {
		if (cpu_long_mode(c))
			return cpu_gp(c, 0);
		SYS_TRY(sys_read(c, (u32)c->arch.seg[HW_TR].base, &link, 2));
		return sys_task_switch(c, link, 1, i->len);
	}
	return iret_protected(c, i);
}
