// SPDX-License-Identifier: Apache-2.0
/* msr: what a TD finds behind each MSR (TDX ABI, MSR virtualization). What is not in the table is #VE. */
#include <string.h>

#include "hw/tdx/vp.h"

enum msr_action {
	VE,
	GP,
	NATIVE,	 /* the processor's, without an exit */
	KEPT,	 /* by the module for the vCPU; writes beyond `valid` are #GP */
	DISCARD, /* a command: writes beyond `valid` are #GP */
	ZERO,
	ONE,
	DEADLINE, /* #VE if the TD has a TSC deadline timer, else #GP */
	ARCH_CAPABILITIES,
	MISC_ENABLE,
	EFER,
	DEBUGCTL,
};

struct msr_row {
	u32 first, last;
	u8 read, write; /* enum msr_action */
	u8 kept;	/* enum vp_msr */
	u64 valid;
};

#define ROW(first, last, read, write)                                                                                  \
	{                                                                                                              \
		first, last, read, write, 0, 0                                                                         \
	}
#define ONE_MSR(n, read, write)                                                                                        \
	{                                                                                                              \
		n, n, read, write, 0, 0                                                                                \
	}
#define KEPT_MSR(n, write, slot, valid)                                                                                \
	{                                                                                                              \
		n, n, KEPT, write, VP_MSR_##slot, valid                                                                \
	}

/* In rising order. */
static const struct msr_row rows[] = {
	ONE_MSR(0x10, NATIVE, VE), /* IA32_TIME_STAMP_COUNTER */
	/* IBRS, STIBP, SSBD, IPRED_DIS, RRSBA_DIS, PSFD, BHI_DIS_S: this processor does not speculate */
	KEPT_MSR(0x48, KEPT, SPEC_CTRL, 0x4ff),
	{0x49, 0x49, GP, DISCARD, 0, 1}, /* PRED_CMD */
	ONE_MSR(0x87, GP, GP),
	ROW(0x8c, 0x8f, GP, GP),
	ROW(0x98, 0x9b, GP, GP),
	ONE_MSR(0x9e, GP, GP),
	KEPT_MSR(0xbc, VE, MISC_PACKAGE_CTLS, 0),
	ONE_MSR(0xbd, ONE, GP), /* IA32_XAPIC_DISABLE_STATUS: legacy xAPIC mode is locked out */
	ROW(0xc1, 0xc8, GP, GP),
	ONE_MSR(0xe1, GP, GP),
	ONE_MSR(0x10a, ARCH_CAPABILITIES, GP),
	{0x10b, 0x10b, GP, DISCARD, 0, 1}, /* FLUSH_CMD */
	ONE_MSR(0x122, GP, GP),
	ROW(0x174, 0x176, NATIVE, NATIVE),
	ROW(0x186, 0x18d, GP, GP),
	ONE_MSR(0x195, GP, GP),
	ONE_MSR(0x1a0, MISC_ENABLE, VE),
	ROW(0x1a6, 0x1a7, GP, GP),
	ROW(0x1c4, 0x1c5, GP, GP),
	ONE_MSR(0x1d9, DEBUGCTL, DEBUGCTL),
	ROW(0x1f8, 0x1fa, GP, GP),
	ONE_MSR(0x276, GP, GP),
	ONE_MSR(0x277, NATIVE, NATIVE), /* IA32_PAT */
	ROW(0x309, 0x310, GP, GP),
	ONE_MSR(0x329, GP, GP),
	ONE_MSR(0x345, ZERO, GP), /* IA32_PERF_CAPABILITIES */
	ROW(0x38d, 0x392, GP, GP),
	ROW(0x3f1, 0x3f2, GP, GP),
	ROW(0x3f6, 0x3f7, GP, GP),
	ONE_MSR(0x480, ZERO, GP),
	ROW(0x481, 0x484, VE, GP),
	ROW(0x485, 0x489, ZERO, GP),
	ONE_MSR(0x48a, VE, GP),
	ROW(0x48b, 0x492, ZERO, GP),
	ROW(0x4c1, 0x4c8, GP, GP),
	ONE_MSR(0x500, GP, GP),
	ROW(0x560, 0x561, GP, GP),
	ROW(0x570, 0x572, GP, GP),
	ROW(0x580, 0x587, GP, GP),
	KEPT_MSR(0x600, KEPT, DS_AREA, ~0ull),
	ONE_MSR(0x6a0, GP, GP),
	ONE_MSR(0x6a2, GP, GP),
	ROW(0x6a4, 0x6a8, GP, GP),
	ONE_MSR(0x6e0, DEADLINE, DEADLINE),
	ONE_MSR(0x6e1, GP, GP),
	ROW(0x800, 0x801, GP, GP),
	ROW(0x804, 0x807, GP, GP),
	ONE_MSR(0x808, NATIVE, NATIVE), /* TPR */
	ONE_MSR(0x809, ZERO, GP),
	ONE_MSR(0x80a, NATIVE, GP),	/* PPR */
	ONE_MSR(0x80b, NATIVE, NATIVE), /* EOI */
	ONE_MSR(0x80c, ZERO, GP),
	ONE_MSR(0x80e, ZERO, GP),
	ROW(0x810, 0x827, NATIVE, GP), /* ISR, TMR, IRR */
	ROW(0x829, 0x82e, GP, GP),
	ONE_MSR(0x831, GP, GP),
	ONE_MSR(0x83f, GP, NATIVE), /* self-IPI */
	ROW(0x840, 0x8ff, GP, GP),
	ROW(0x981, 0x98a, GP, GP),
	KEPT_MSR(0xc80, VE, DEBUG_INTERFACE, 0),
	ONE_MSR(0xd90, GP, GP),
	ONE_MSR(0xd93, GP, GP),
	ONE_MSR(0xda0, NATIVE, NATIVE), /* IA32_XSS */
	ROW(0x1200, 0x12ff, GP, GP),
	ROW(0x14ce, 0x14cf, GP, GP),
	ROW(0x1500, 0x16ff, GP, GP),
	KEPT_MSR(0x1b01, KEPT, UARCH_MISC_CTL, 1),
	ONE_MSR(0xc0000080, NATIVE, EFER),
	ROW(0xc0000081, 0xc0000082, NATIVE, NATIVE), /* STAR, LSTAR */
	ONE_MSR(0xc0000084, NATIVE, NATIVE),	     /* FMASK */
	ROW(0xc0000100, 0xc0000103, NATIVE, NATIVE), /* FS, GS, KERNEL_GS base, TSC_AUX */
};

static const struct msr_row *find_row(u32 msr)
{
	size_t low = 0, high = sizeof(rows) / sizeof(rows[0]);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (msr < rows[middle].first)
			high = middle;
		else if (msr > rows[middle].last)
			low = middle + 1;
		else
			return &rows[middle];
	}
	return NULL;
}

/* ---------------------------------------------------------------- at TDH.MNG.INIT */

static void no_exit(u8 *low, u8 *high, u32 msr)
{
	u8 *bits = msr >> 31 ? high : low;

	bits[(msr & 0x1fff) / 8] &= ~(1u << (msr & 7));
}

void td_msr_build(struct tdx_td *td)
{
	struct hw_msr_bitmap *b = &td->msr_bitmap;

	memset(b, 0xff, sizeof(*b));
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		for (u32 msr = rows[n].first; msr <= rows[n].last; msr++) {
			if (rows[n].read == NATIVE)
				no_exit(b->read_low, b->read_high, msr);
			if (rows[n].write == NATIVE)
				no_exit(b->write_low, b->write_high, msr);
		}
	}
}

/* IA32_ARCH_CAPABILITIES: RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, DOITM,
 * SBDR_SSDP_NO, FBSDP_NO, PSDP_NO; if the host wants so, SSB_NO, RRSBA, BHI_NO, PBRSB_NO. */
#define ARCH_CAPABILITIES_FIXED	       0xf16bull
#define ARCH_CAPABILITIES_CONFIGURABLE (1ull << 4 | 1ull << 19 | 1ull << 20 | 1ull << 24)

u64 td_arch_capabilities(struct tdx_td *td, bool configured, u64 config)
{
	if (configured && config & ~ARCH_CAPABILITIES_CONFIGURABLE)
		return TDX_OPERAND_INVALID | TDX_OP_ARCH_CAPABILITIES;
	td->arch_capabilities = ARCH_CAPABILITIES_FIXED | (configured ? config : 0);
	return TDX_SUCCESS;
}

/* ---------------------------------------------------------------- exits */

static enum vp_next msr_ve(struct vp_run *r, const struct hw_vmx_exit *x)
{
	struct hw_vmx_exit plain = *x;

	plain.qualification = 0;
	return vp_exit_instruction_ve(r, &plain);
}

static enum vp_next deadline(struct vp_run *r, const struct hw_vmx_exit *x)
{
	const struct td_cpuid_entry *e = td_cpuid_find(r->td, 1, 0);

	return e && e->value.ecx >> 24 & 1 ? msr_ve(r, x) : vp_inject_gp(r);
}

#define MISC_ENABLE_FAST_STRING	 (1u << 0)
#define MISC_ENABLE_BTS_UNAVAIL	 (1u << 11)
#define MISC_ENABLE_PEBS_UNAVAIL (1u << 12)

static enum vp_next value_read(struct vp_run *r, u64 value)
{
	r->lp->arch.gpr[HW_RAX] = (u32)value;
	r->lp->arch.gpr[HW_RDX] = value >> 32;
	return vp_skip(r);
}

enum vp_next vp_exit_rdmsr(struct vp_run *r, const struct hw_vmx_exit *x)
{
	const struct msr_row *row = find_row(r->lp->arch.gpr[HW_RCX]);

	switch (row ? (enum msr_action)row->read : VE) {
	case KEPT:
		return value_read(r, r->vp->msr[row->kept]);
	case ZERO:
		return value_read(r, 0);
	case ONE:
		return value_read(r, 1);
	case ARCH_CAPABILITIES:
		return value_read(r, r->td->arch_capabilities);
	case MISC_ENABLE:
		return value_read(r, MISC_ENABLE_FAST_STRING | MISC_ENABLE_BTS_UNAVAIL | MISC_ENABLE_PEBS_UNAVAIL);
	case DEBUGCTL:
		return value_read(r, r->lp->arch.debugctl);
	case DEADLINE:
		return deadline(r, x);
	case VE:
		return msr_ve(r, x);
	default:
		return vp_inject_gp(r);
	}
}

/* LMA is ignored; of the others only SCE may change. */
static enum vp_next write_efer(struct vp_run *r, const struct hw_vmx_exit *x, u64 value)
{
	u64 *efer = &r->lp->arch.efer;

	if ((value ^ *efer) & ~(u64)(EFER_LMA | EFER_SCE))
		return msr_ve(r, x);
	*efer = (*efer & ~(u64)EFER_SCE) | (value & EFER_SCE);
	return vp_skip(r);
}

#define DEBUGCTL_DEFINED 0xffc7ull
#define DEBUGCTL_TR	 (1u << 6)
#define DEBUGCTL_BTS	 (1u << 7)

/* Branch records and traces: there are none, and the bits read as zero. */
static enum vp_next write_debugctl(struct vp_run *r, const struct hw_vmx_exit *x, u64 value)
{
	if (value & ~DEBUGCTL_DEFINED)
		return vp_inject_gp(r);
	if ((value & (DEBUGCTL_TR | DEBUGCTL_BTS)) == DEBUGCTL_TR)
		return msr_ve(r, x);
	r->lp->arch.debugctl = 0;
	return vp_skip(r);
}

#define MSR_SELF_IPI	0x83f
#define SELF_IPI_OFFSET 0x3f0

/* Vectors below 16: the write is complete, but is for the emulator of the page (SDM 3C 29.5). */
static enum vp_next self_ipi(struct vp_run *r)
{
	const struct vp_ve_info ve = {
		.hw = {.exit_reason = VMX_EXIT_APIC_WRITE, .qualification = SELF_IPI_OFFSET},
	};

	vp_skip(r);
	return vp_inject_ve(r, &ve);
}

enum vp_next vp_exit_wrmsr(struct vp_run *r, const struct hw_vmx_exit *x)
{
	u32 msr = r->lp->arch.gpr[HW_RCX];
	u64 value = r->lp->arch.gpr[HW_RDX] << 32 | (u32)r->lp->arch.gpr[HW_RAX];
	const struct msr_row *row = find_row(msr);

	switch (row ? (enum msr_action)row->write : VE) {
	case KEPT:
	case DISCARD:
		if (value & ~row->valid)
			return vp_inject_gp(r);
		if (row->write == KEPT)
			r->vp->msr[row->kept] = value;
		return vp_skip(r);
	case EFER:
		return write_efer(r, x, value);
	case DEBUGCTL:
		return write_debugctl(r, x, value);
	case DEADLINE:
		return deadline(r, x);
	case NATIVE:
		return msr == MSR_SELF_IPI ? self_ipi(r) : vp_inject_gp(r);
	case VE:
		return msr_ve(r, x);
	default:
		return vp_inject_gp(r);
	}
}
