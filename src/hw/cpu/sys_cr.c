// SPDX-License-Identifier: Apache-2.0
/* sys_cr: control registers (SDM 3A 2.5, 4.1 to 4.4, 9.8.5; SDM 2B MOV CRn). */
#include "hw/cpu/walk.h"

/* A write of a control register on its way: the value and what an exit must tell. */
struct cr_write {
	u64 value;
	unsigned int gpr; /* or CR_EXIT_CLTS, CR_EXIT_LMSW */
	unsigned int insn_len;
};

static int exit_cr(struct hw_cpu *c, unsigned int cr, const struct cr_write *w)
{
	return cpu_exit_cr(c, cr, true, w->gpr, w->value, w->insn_len);
}

/* Reserved in CR3 and in every entry: beyond MAXPHYADDR, but not the shared bit or C-bit. */
static u64 beyond_physical(const struct hw_cpu *c)
{
	return ~0ull << cpu_maxphyaddr(c) & ~c->ctl.claim_bit;
}

/* PAE paging without long mode: PDPTEs are registers. */
static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
	return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

/* The four PDPTEs at `cr3` (SDM 3A 4.4.1). #GP(0) if reserved bits are set. */
static int load_pdptrs(struct hw_cpu *c, u64 cr3)
{
	const u64 reserved = beyond_physical(c) | 0x1e6; /* SDM 3A Table 4-8: 2:1, 8:5 */
	struct access a = {.acc = ACC_READ, .size = 32, .gpa = gpa(cr3 & 0xffffffe0), .table = true};
	u64 pdpte[4];

	access_claim(c, &a);
	SYS_TRY(access_stage2(c, &a));
	for (unsigned int n = 0; n < 4; n++) {
		if (hw_load_host(hpa(a.s2.hpa.v + 8 * n), 8, &pdpte[n]))
			return cpu_exit_host_fault(c);
		if (pdpte[n] & 1 && pdpte[n] & reserved)
			return cpu_gp(c, 0);
	}
	for (unsigned int n = 0; n < 4; n++)
		c->arch.pdptr[n] = pdpte[n];
	return EXEC_OK;
}

/* ---------------------------------------------------------------- CR0 */

/* Setting or clearing PG with EFER.LME (SDM 3A 9.8.5). *efer: the new value. */
static int paging_switch(struct hw_cpu *c, u64 cr0, u64 *efer)
{
	bool on = cr0 & CR0_PG;

	*efer = c->arch.efer;
	if (on == !!(c->arch.cr0 & CR0_PG))
		return EXEC_OK;
	if (!on) {
		if (cpu_cs64(c) || c->arch.cr4 & CR4_PCIDE)
			return cpu_gp(c, 0);
		*efer &= ~(u64)EFER_LMA;
		return EXEC_OK;
	}
	if (!(*efer & EFER_LME))
		return EXEC_OK;
	if (!(c->arch.cr4 & CR4_PAE) || c->arch.seg[HW_CS].attr & SEG_L)
		return cpu_gp(c, 0);
	if ((c->arch.seg[HW_TR].attr & 15) <= SYS_TSS16_BUSY)
		return cpu_gp(c, 0);
	*efer |= EFER_LMA;
	return EXEC_OK;
}

static int write_cr0(struct hw_cpu *c, const struct cr_write *w)
{
	const u64 defined = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
	u64 value = (w->value & defined) | CR0_ET;
	u64 changed = value ^ c->arch.cr0, efer;

	if ((w->value ^ c->arch.cr0) & c->ctl.cr0_guest_host_mask)
		return exit_cr(c, 0, w);
	if (w->value >> 32 || (value & (CR0_PG | CR0_PE)) == CR0_PG || (value & (CR0_NW | CR0_CD)) == CR0_NW)
		return cpu_gp(c, 0);
	SYS_TRY(paging_switch(c, value, &efer));
	if (pae_paging(value, c->arch.cr4, efer) && changed & (CR0_PG | CR0_CD | CR0_NW))
		SYS_TRY(load_pdptrs(c, c->arch.cr3));
	c->arch.cr0 = value;
	c->arch.efer = efer;
	if (changed & (CR0_PG | CR0_WP | CR0_PE))
		cpu_tlb_flush(c);
	cpu_update_mode(c);
	return EXEC_END;
}

int sys_lmsw(struct hw_cpu *c, const struct insn *i)
{
	struct cr_write w = {.gpr = CR_EXIT_LMSW, .insn_len = i->len};
	u64 msw;

	SYS_TRY(insn_read(c, i, 0, &msw));
	/* PE can be set, not cleared */
	w.value = (c->arch.cr0 & ~(u64)(CR0_MP | CR0_EM | CR0_TS)) | (msw & (CR0_PE | CR0_MP | CR0_EM | CR0_TS));
	if ((w.value ^ c->arch.cr0) & c->ctl.cr0_guest_host_mask) {
		w.value = msw;
		return exit_cr(c, 0, &w);
	}
	return write_cr0(c, &w);
}

int sys_clts(struct hw_cpu *c, const struct insn *i)
{
	const struct cr_write w = {
		.value = c->arch.cr0 & ~(u64)CR0_TS,
		.gpr = CR_EXIT_CLTS,
		.insn_len = i->len,
	};

	return write_cr0(c, &w);
}

int sys_smsw(struct hw_cpu *c, const struct insn *i)
{
	if (c->arch.cr4 & CR4_UMIP && c->cpl > 0)
		return cpu_gp(c, 0);
	return insn_write(c, i, 0, c->arch.cr0);
}

/* ---------------------------------------------------------------- CR3 */

#define CR3_NOFLUSH (1ull << 63)

static int write_cr3(struct hw_cpu *c, const struct cr_write *w)
{
	bool keep = c->arch.cr4 & CR4_PCIDE && w->value & CR3_NOFLUSH;
	u64 value = keep ? w->value & ~CR3_NOFLUSH : w->value;

	if (c->ctl.cr3_exiting)
		return exit_cr(c, 3, w);
	if (cpu_long_mode(c) && value & beyond_physical(c))
		return cpu_gp(c, 0);
	if (pae_paging(c->arch.cr0, c->arch.cr4, c->arch.efer))
		SYS_TRY(load_pdptrs(c, value));
	/* the TLB has no PCIDs: entries of another address space may stay only if it is the same one */
	if (!keep || value != c->arch.cr3)
		cpu_tlb_flush_nonglobal(c);
	c->arch.cr3 = value;
	return EXEC_END;
}

/* ---------------------------------------------------------------- CR4 */

/* Bits that are not reserved, by what features.def implements. */
u64 cpu_cr4_supported(void)
{
	static const struct {
		u8 feature;
		u32 bits;
	} map[] = {
		{FEAT_VME, CR4_VME | CR4_PVI}, {FEAT_TSC, CR4_TSD},	  {FEAT_DE, CR4_DE},
		{FEAT_PSE, CR4_PSE},	       {FEAT_PAE, CR4_PAE},	  {FEAT_MCE, CR4_MCE},
		{FEAT_PGE, CR4_PGE},	       {FEAT_FXSR, CR4_OSFXSR},	  {FEAT_SSE, CR4_OSXMMEXCPT},
		{FEAT_UMIP, CR4_UMIP},	       {FEAT_LA57, CR4_LA57},	  {FEAT_FSGSBASE, CR4_FSGSBASE},
		{FEAT_PCID, CR4_PCIDE},	       {FEAT_XSAVE, CR4_OSXSAVE}, {FEAT_SMEP, CR4_SMEP},
		{FEAT_SMAP, CR4_SMAP},	       {FEAT_ALWAYS, CR4_PCE},
	};
	u64 bits = 0;

	for (size_t n = 0; n < sizeof(map) / sizeof(map[0]); n++)
		if (map[n].feature == FEAT_ALWAYS || cpu_feature_implemented(map[n].feature))
			bits |= map[n].bits;
	return bits;
}

static bool cr4_valid(const struct hw_cpu *c, u64 value)
{
	u64 changed = value ^ c->arch.cr4;

	if (value & (~cpu_cr4_supported() | c->ctl.cr4_reserved))
		return false;
	if (cpu_long_mode(c) && (!(value & CR4_PAE) || changed & CR4_LA57))
		return false;
	if (changed & value & CR4_PCIDE && (!cpu_long_mode(c) || c->arch.cr3 & 0xfff))
		return false;
	return true;
}

static int write_cr4(struct hw_cpu *c, const struct cr_write *w)
{
	const u64 translation = CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_LA57;
	u64 changed = w->value ^ c->arch.cr4;

	if (changed & c->ctl.cr4_guest_host_mask)
		return exit_cr(c, 4, w);
	if (!cr4_valid(c, w->value))
		return cpu_gp(c, 0);
	if (pae_paging(c->arch.cr0, w->value, c->arch.efer) && changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP))
		SYS_TRY(load_pdptrs(c, c->arch.cr3));
	c->arch.cr4 = w->value;
	if (changed & translation)
		cpu_tlb_flush(c);
	cpu_update_mode(c);
	return EXEC_END;
}

/* ---------------------------------------------------------------- CR8 and dispatch */

static int write_cr8(struct hw_cpu *c, const struct cr_write *w)
{
	if (w->value >> 4)
		return cpu_gp(c, 0);
	if (c->ctl.cr8_exiting)
		return exit_cr(c, 8, w);
	vapic_set_cr8(c, w->value);
	sys_request_event(c);
	return EXEC_END;
}

static int mov_to_cr(struct hw_cpu *c, const struct insn *i)
{
	struct cr_write w = {.gpr = i->op[1].reg, .insn_len = i->len};

	w.value = gpr_get(c, w.gpr, cpu_cs64(c) ? 8 : 4);
	switch (i->op[0].reg) {
	case 0:
		return write_cr0(c, &w);
	case 2:
		c->arch.cr2 = w.value;
		return EXEC_OK;
	case 3:
		return write_cr3(c, &w);
	case 4:
		return write_cr4(c, &w);
	case 8:
		return write_cr8(c, &w);
	default:
		return cpu_ud(c);
	}
}

static int mov_from_cr(struct hw_cpu *c, const struct insn *i)
{
	unsigned int cr = i->op[1].reg, gpr = i->op[0].reg;
	u64 value;

	switch (cr) {
	case 0:
		value = c->arch.cr0;
		break;
	case 2:
		value = c->arch.cr2;
		break;
	case 3:
		if (c->ctl.cr3_exiting)
			return cpu_exit_cr(c, cr, false, gpr, 0, i->len);
		value = c->arch.cr3;
		break;
	case 4:
		value = c->arch.cr4;
		break;
	case 8:
		if (c->ctl.cr8_exiting)
			return cpu_exit_cr(c, cr, false, gpr, 0, i->len);
		value = vapic_get_cr8(c);
		break;
	default:
		return cpu_ud(c);
	}
	gpr_set(c, gpr, cpu_cs64(c) ? 8 : 4, value);
	return EXEC_OK;
}

int sys_mov_cr(struct hw_cpu *c, const struct insn *i)
{
	bool to = i->op[0].kind == OPND_CR;
	unsigned int cr = i->op[to ? 0 : 1].reg;

	if (cr != 0 && cr != 2 && cr != 3 && cr != 4 && cr != 8)
		return cpu_ud(c);
	if (c->cpl)
		return cpu_gp(c, 0);
	return to ? mov_to_cr(c, i) : mov_from_cr(c, i);
}
