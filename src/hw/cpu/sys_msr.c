// SPDX-License-Identifier: Apache-2.0
/* sys_msr: the MSRs that the processor serves itself (SDM 4 Table 2-2); every other one exits. */
#include "hw/cpu/sys.h"

enum {
	MSR_TSC = 0x10,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_DEBUGCTL = 0x1d9,
	MSR_PAT = 0x277,
	MSR_X2APIC_FIRST = 0x800,
	MSR_X2APIC_LAST = 0x8ff,
	MSR_XSS = 0xda0,
};
enum {
	MSR_EFER = 0xc0000080,
	MSR_STAR = 0xc0000081,
	MSR_LSTAR = 0xc0000082,
	MSR_CSTAR = 0xc0000083,
	MSR_SFMASK = 0xc0000084,
	MSR_FS_BASE = 0xc0000100,
	MSR_GS_BASE = 0xc0000101,
	MSR_KERNEL_GS_BASE = 0xc0000102,
	MSR_TSC_AUX = 0xc0000103,
};

#define DEBUGCTL_LBR (1u << 0)
#define DEBUGCTL_BTF (1u << 1)

static bool is_x2apic(u32 msr)
{
	return msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST;
}

/* SDM 3C 25.1.3: with a bitmap, MSRs outside its ranges exit too. */
static bool bitmap_exits(const struct hw_cpu *c, u32 msr, bool write)
{
	const struct hw_msr_bitmap *b = c->ctl.msr_bitmap;
	u32 bit = msr & 0x1fff;
	const u8 *bits;

	if (!b)
		return false;
	if (msr == bit)
		bits = write ? b->write_low : b->read_low;
	else if (msr == (0xc0000000 | bit))
		bits = write ? b->write_high : b->read_high;
	else
		return true;
	return bits[bit / 8] >> bit % 8 & 1;
}

/* ---------------------------------------------------------------- reads */

/* False: not served here. */
static bool read_msr(const struct hw_cpu *c, u32 msr, u64 *value)
{
	const struct hw_arch *a = &c->arch;

	switch (msr) {
	case MSR_TSC:
		*value = cpu_guest_tsc(c);
		return true;
	case MSR_SYSENTER_CS:
		*value = a->sysenter_cs;
		return true;
	case MSR_SYSENTER_ESP:
		*value = a->sysenter_esp;
		return true;
	case MSR_SYSENTER_EIP:
		*value = a->sysenter_eip;
		return true;
	case MSR_DEBUGCTL:
		*value = a->debugctl;
		return true;
	case MSR_PAT:
		*value = a->pat;
		return true;
	case MSR_XSS:
		*value = a->xss;
		return true;
	case MSR_EFER:
		*value = a->efer;
		return true;
	case MSR_STAR:
		*value = a->star;
		return true;
	case MSR_LSTAR:
		*value = a->lstar;
		return true;
	case MSR_CSTAR:
		*value = a->cstar;
		return true;
	case MSR_SFMASK:
		*value = a->sfmask;
		return true;
	case MSR_FS_BASE:
		*value = a->seg[HW_FS].base;
		return true;
	case MSR_GS_BASE:
		*value = a->seg[HW_GS].base;
		return true;
	case MSR_KERNEL_GS_BASE:
		*value = a->kernel_gs_base;
		return true;
	case MSR_TSC_AUX:
		*value = a->tsc_aux;
		return true;
	default:
		return false;
	}
}

int sys_rdmsr(struct hw_cpu *c, const struct insn *i)
{
	u32 msr = c->arch.gpr[HW_RCX];
	u64 value;

	if (bitmap_exits(c, msr, false))
		return cpu_exit_msr(c, false, i->len);
	if (is_x2apic(msr)) {
		int r = vapic_rdmsr(c, msr, &value);

		if (r)
			return r == EXEC_EXIT ? cpu_exit_msr(c, false, i->len) : r;
	} else if (!read_msr(c, msr, &value)) {
		return cpu_exit_msr(c, false, i->len);
	}
	c->arch.gpr[HW_RAX] = (u32)value;
	c->arch.gpr[HW_RDX] = value >> 32;
	return EXEC_OK;
}

/* ---------------------------------------------------------------- writes */

static u64 efer_supported(const struct hw_cpu *c)
{
	u64 bits = 0;

	if (cpu_feature_implemented(FEAT_SYSCALL))
		bits |= EFER_SCE;
	if (cpu_feature_implemented(FEAT_LM))
		bits |= EFER_LME | EFER_LMA;
	if (cpu_feature_implemented(FEAT_NX))
		bits |= EFER_NXE;
	/* APM2 3.1.7: nothing to be restricted in a processor that does not speculate */
	if (!cpu_is_intel(c) && cpu_feature_implemented(FEAT_AUTOIBRS))
		bits |= EFER_AIBRSE;
	return bits;
}

static int write_efer(struct hw_cpu *c, u64 value)
{
	u64 old = c->arch.efer;

	if (value & (~efer_supported(c) | c->ctl.efer_reserved))
		return cpu_gp(c, 0);
	if ((value ^ old) & EFER_LME && c->arch.cr0 & CR0_PG)
		return cpu_gp(c, 0);
	c->arch.efer = (value & ~(u64)EFER_LMA) | (old & EFER_LMA);
	if ((value ^ old) & EFER_NXE)
		cpu_tlb_flush(c);
	return EXEC_END;
}

/* SDM 3A 11.12.2: memory types 0, 1, 4, 5, 6, 7 */
static bool pat_valid(u64 value)
{
	for (unsigned int n = 0; n < 8; n++) {
		u8 type = value >> (8 * n);

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static int write_canonical(struct hw_cpu *c, u64 *msr, u64 value)
{
	if (!cpu_canonical(c, value))
		return cpu_gp(c, 0);
	*msr = value;
	return EXEC_OK;
}

static int write_checked(struct hw_cpu *c, u64 *msr, u64 value, bool valid)
{
	if (!valid)
		return cpu_gp(c, 0);
	*msr = value;
	return EXEC_OK;
}

static int write_msr(struct hw_cpu *c, u32 msr, u64 value, unsigned int insn_len)
{
	struct hw_arch *a = &c->arch;

	switch (msr) {
	case MSR_SYSENTER_CS:
		return write_checked(c, &a->sysenter_cs, value, true);
	case MSR_SYSENTER_ESP:
		return write_canonical(c, &a->sysenter_esp, value);
	case MSR_SYSENTER_EIP:
		return write_canonical(c, &a->sysenter_eip, value);
	case MSR_DEBUGCTL:
		/* neither branch records nor single step on branches: the bits read as zero */
		return write_checked(c, &a->debugctl, 0, !(value & ~(u64)(DEBUGCTL_LBR | DEBUGCTL_BTF)));
	case MSR_PAT:
		return write_checked(c, &a->pat, value, pat_valid(value));
	case MSR_XSS:
		return write_checked(c, &a->xss, value, !value);
	case MSR_EFER:
		return write_efer(c, value);
	case MSR_STAR:
		return write_checked(c, &a->star, value, true);
	case MSR_LSTAR:
		return write_canonical(c, &a->lstar, value);
	case MSR_CSTAR:
		return write_canonical(c, &a->cstar, value);
	case MSR_SFMASK:
		return write_checked(c, &a->sfmask, (u32)value, true);
	case MSR_FS_BASE:
		return write_canonical(c, &a->seg[HW_FS].base, value);
	case MSR_GS_BASE:
		return write_canonical(c, &a->seg[HW_GS].base, value);
	case MSR_KERNEL_GS_BASE:
		return write_canonical(c, &a->kernel_gs_base, value);
	case MSR_TSC_AUX:
		return write_checked(c, &a->tsc_aux, value, !(value >> 32));
	default:
		return cpu_exit_msr(c, true, insn_len);
	}
}

int sys_wrmsr(struct hw_cpu *c, const struct insn *i)
{
	u32 msr = c->arch.gpr[HW_RCX];
	u64 value = c->arch.gpr[HW_RDX] << 32 | (u32)c->arch.gpr[HW_RAX];
	int r;

	if (bitmap_exits(c, msr, true))
		return cpu_exit_msr(c, true, i->len);
	if (!is_x2apic(msr))
		return write_msr(c, msr, value, i->len);
	r = vapic_wrmsr(c, msr, value);
	if (r)
		return r == EXEC_EXIT ? cpu_exit_msr(c, true, i->len) : r;
	return EXEC_END;
}
