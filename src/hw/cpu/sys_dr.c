// SPDX-License-Identifier: Apache-2.0
/* sys_dr: debug registers (SDM 3B 17.2). */
#include "hw/cpu/sys.h"

#define DR6_WRITABLE 0x0000e00full
#define DR7_WRITABLE 0xffff23ffull

static int exit_dr(struct hw_cpu *c, unsigned int dr, bool write, unsigned int gpr, unsigned int insn_len)
{
	int r = cpu_exit_simple(c, VMX_EXIT_DR_ACCESS, (write ? 0x30 : 0x20) + dr, insn_len);

	if (cpu_is_intel(c)) /* SDM 3C Table 27-4 */
		c->exit.vmx.qualification = dr | (write ? 0 : 1u << 4) | gpr << 8;
	return r;
}

static int write_dr(struct hw_cpu *c, unsigned int dr, u64 value)
{
	if (dr < 4) {
		c->arch.dr[dr] = value;
	} else {
		if (value >> 32)
			return cpu_gp(c, 0);
		if (dr == 6)
			c->arch.dr6 = (value & DR6_WRITABLE) | DR6_FIXED;
		else
			c->arch.dr7 = (value & DR7_WRITABLE) | DR7_FIXED;
	}
	/* pages with an armed data breakpoint must not be in the TLB */
	if (dr != 6 && c->arch.dr7 & 0xff)
		cpu_tlb_flush(c);
	cpu_update_mode(c);
	return EXEC_END;
}

static u64 read_dr(const struct hw_cpu *c, unsigned int dr)
{
	if (dr < 4)
		return c->arch.dr[dr];
	return dr == 6 ? c->arch.dr6 : c->arch.dr7;
}

int sys_mov_dr(struct hw_cpu *c, const struct insn *i)
{
	bool write = i->op[0].kind == OPND_DR;
	unsigned int dr = i->op[write ? 0 : 1].reg, gpr = i->op[write ? 1 : 0].reg;
	unsigned int size = cpu_cs64(c) ? 8 : 4;

	if (dr > 7 || ((dr == 4 || dr == 5) && c->arch.cr4 & CR4_DE))
		return cpu_ud(c);
	if (dr == 4 || dr == 5)
		dr += 2;
	if (c->cpl)
		return cpu_gp(c, 0);
	if (c->ctl.dr_exiting)
		return exit_dr(c, dr, write, gpr, i->len);
	if (c->arch.dr7 & DR7_GD) {
		c->fault = (struct cpu_fault){.vector = X86_DB, .dr6 = DR6_BD};
		return EXEC_FAULT;
	}
	if (write)
		return write_dr(c, dr, gpr_get(c, gpr, size));
	gpr_set(c, gpr, size, read_dr(c, dr));
	return EXEC_OK;
}

int sys_mov_cr_dr(struct hw_cpu *c, const struct insn *i)
{
	bool cr = i->op[0].kind == OPND_CR || i->op[1].kind == OPND_CR;

	return cr ? sys_mov_cr(c, i) : sys_mov_dr(c, i);
}
