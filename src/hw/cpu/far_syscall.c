// SPDX-License-Identifier: Apache-2.0
/* far_syscall: SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM 2B; APM3). */
#include "hw/cpu/sys.h"

#define ATTR_DATA (SEG_P | SEG_S | SEG_RW | SEG_ACCESSED | SEG_DB | SEG_G)
#define ATTR_CODE (ATTR_DATA | SEG_CODE)

static struct hw_segment flat_code(u16 sel, unsigned int cpl, bool wide)
{
	u32 attr = wide ? (ATTR_CODE & ~SEG_DB) | SEG_L : ATTR_CODE;

	return (struct hw_segment){.selector = sel, .limit = 0xffffffff, .attr = attr | cpl << 5};
}

static struct hw_segment flat_data(u16 sel, unsigned int cpl)
{
	return (struct hw_segment){.selector = sel, .limit = 0xffffffff, .attr = ATTR_DATA | cpl << 5};
}

/*
 * The trap of these two depends on TF as they leave it: a kernel whose SFMASK clears TF is not trapped at its entry,
 * and SYSRET traps in place of the SYSCALL that it ends (APM2 13.1.4).
 */
static void step_by_new_tf(struct hw_cpu *c)
{
	c->step_tf = false;
	if (!(c->arch.rflags & FLAG_TF))
		return;
	c->pending_db = true;
	c->pending_dr6 |= DR6_BS;
	sys_request_event(c);
}

static bool syscall_enabled(const struct hw_cpu *c)
{
	if (!(c->arch.efer & EFER_SCE) || !cpu_protected(c))
		return false;
	/* intel: 64-bit mode only; amd: legacy and compatibility mode too */
	return cpu_cs64(c) || !cpu_is_intel(c);
}

static int syscall_legacy(struct hw_cpu *c, const struct insn *i)
{
	u16 sel = c->arch.star >> 32;

	c->arch.gpr[HW_RCX] = (u32)(c->arch.rip + i->len);
	c->arch.seg[HW_CS] = flat_code(sel & ~3, 0, false);
	c->arch.seg[HW_SS] = flat_data((sel & ~3) + 8, 0);
	c->arch.rip = (u32)c->arch.star;
	cpu_set_rflags(c, 0, FLAG_VM | FLAG_IF | FLAG_RF);
	cpu_update_mode(c);
	return EXEC_JUMP;
}

int far_syscall(struct hw_cpu *c, const struct insn *i)
{
	u64 flags = cpu_get_rflags(c);
	u16 sel = c->arch.star >> 32;

	if (!syscall_enabled(c))
		return cpu_ud(c);
	if (!cpu_long_mode(c))
		return syscall_legacy(c, i);
	c->arch.gpr[HW_RCX] = c->arch.rip + i->len;
	c->arch.gpr[HW_R11] = flags & ~(u64)FLAG_RF;
	c->arch.rip = cpu_cs64(c) ? c->arch.lstar : c->arch.cstar;
	flags &= ~(c->arch.sfmask | FLAG_RF);
	c->arch.rflags = flags | 2;
	cpu_set_arith_flags(c, flags);
	c->arch.seg[HW_CS] = flat_code(sel & ~3, 0, true);
	c->arch.seg[HW_SS] = flat_data((sel & ~3) + 8, 0);
	cpu_update_mode(c);
	step_by_new_tf(c);
	return EXEC_JUMP;
}

static int sysret_legacy(struct hw_cpu *c)
{
	u16 sel = c->arch.star >> 48;

	c->arch.rip = (u32)c->arch.gpr[HW_RCX];
	c->arch.seg[HW_CS] = flat_code(sel | 3, 3, false);
	c->arch.seg[HW_SS] = flat_data((sel + 8) | 3, 3);
	cpu_set_rflags(c, FLAG_IF, FLAG_IF);
	cpu_update_mode(c);
	return EXEC_JUMP;
}

int far_sysret(struct hw_cpu *c, const struct insn *i)
{
	const u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_VIF |
			 FLAG_VIP | FLAG_ID;
	bool wide = i->opsize == 8;
	u16 sel = c->arch.star >> 48;
	u64 rip = c->arch.gpr[HW_RCX], flags;

	if (!syscall_enabled(c))
		return cpu_ud(c);
	if (c->cpl)
		return cpu_gp(c, 0);
	if (!cpu_long_mode(c))
		return sysret_legacy(c);
	/* intel faults here, at privilege 0; amd when the instruction at the target is fetched */
	if (wide && cpu_is_intel(c) && !cpu_canonical(c, rip))
		return cpu_gp(c, 0);
	flags = c->arch.gpr[HW_R11] & mask;
	c->arch.rip = wide ? rip : (u32)rip;
	c->arch.rflags = (flags & ~(u64)FLAGS_ARITH) | 2;
	cpu_set_arith_flags(c, flags);
	c->arch.seg[HW_CS] = wide ? flat_code((sel + 16) | 3, 3, true) : flat_code(sel | 3, 3, false);
	c->arch.seg[HW_SS] = flat_data((sel + 8) | 3, 3);
	cpu_update_mode(c);
	step_by_new_tf(c);
	if (flags & (FLAG_IF | FLAG_TF))
		sys_request_event(c);
	return EXEC_JUMP;
}

/* Not in long mode on amd processors (APM3 SYSENTER). */
static bool sysenter_usable(const struct hw_cpu *c)
{
	return cpu_is_intel(c) || !cpu_long_mode(c);
}

int far_sysenter(struct hw_cpu *c, const struct insn *i)
{
	u16 sel = c->arch.sysenter_cs & 0xfffc;
	bool wide = cpu_long_mode(c);

	if (!sysenter_usable(c))
		return cpu_ud(c);
	if (!(c->arch.cr0 & CR0_PE) || !sel)
		return cpu_gp(c, 0);
	c->arch.gpr[HW_RSP] = wide ? c->arch.sysenter_esp : (u32)c->arch.sysenter_esp;
	c->arch.rip = wide ? c->arch.sysenter_eip : (u32)c->arch.sysenter_eip;
	c->arch.seg[HW_CS] = flat_code(sel, 0, wide);
	c->arch.seg[HW_SS] = flat_data(sel + 8, 0);
	cpu_set_rflags(c, 0, FLAG_VM | FLAG_IF | FLAG_RF);
	cpu_update_mode(c);
	return EXEC_JUMP;
}

int far_sysexit(struct hw_cpu *c, const struct insn *i)
{
	u16 sel = c->arch.sysenter_cs & 0xfffc;
	bool wide = i->opsize == 8;
	u64 rip = c->arch.gpr[HW_RDX], rsp = c->arch.gpr[HW_RCX];

	if (!sysenter_usable(c))
		return cpu_ud(c);
	if (!cpu_protected(c) || c->cpl || !sel)
		return cpu_gp(c, 0);
	if (wide && (!cpu_canonical(c, rip) || !cpu_canonical(c, rsp)))
		return cpu_gp(c, 0);
	c->arch.rip = wide ? rip : (u32)rip;
	c->arch.gpr[HW_RSP] = wide ? rsp : (u32)rsp;
	c->arch.seg[HW_CS] = flat_code((sel + (wide ? 32 : 16)) | 3, 3, wide);
	c->arch.seg[HW_SS] = flat_data((sel + (wide ? 40 : 24)) | 3, 3);
	cpu_update_mode(c);
	if (c->arch.rflags & FLAG_IF)
		sys_request_event(c);
	return EXEC_JUMP;
}
