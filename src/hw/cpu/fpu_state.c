// SPDX-License-Identifier: Apache-2.0
/*
 * The x87 state: control, status and tag words, initialisation, the MMX view.
 */
#include "hw/cpu/fpu.h"

int fpu_check(struct hw_cpu *c)
{
	return c->arch.cr0 & (FPU_CR0_EM | FPU_CR0_TS) ? cpu_raise(c, X86_NM) : EXEC_OK;
}

int fpu_check_waiting(struct hw_cpu *c)
{
	int err = fpu_check(c);

	if (!err && fpu_pending(c))
		err = cpu_raise(c, X86_MF);
	return err;
}

u16 fpu_summary(u16 fsw, u16 fcw)
{
	fsw &= (u16) ~(FSW_ES | FSW_B);
	return fsw & ~fcw & FSW_FLAGS ? fsw | FSW_ES | FSW_B : fsw;
}

void fpu_set_fsw(struct hw_cpu *c, u16 fsw)
{
	fx_set16(c, FX_FSW, fpu_summary(fsw, fx_get16(c, FX_FCW)));
}

/* Bit 6 reads as one, bits 15:13 and 7 as zero; the infinity control in bit 12 is kept (SDM 1 8.1.5). */
void fpu_set_fcw(struct hw_cpu *c, u16 fcw)
{
	fx_set16(c, FX_FCW, (fcw & 0x1f7f) | 0x40);
	fpu_set_fsw(c, fx_get16(c, FX_FSW));
}

void fpu_set_top(struct hw_cpu *c, unsigned int top)
{
	unsigned int old = fpu_top(c);
	u8 turned[128];

	if (top == old)
		return;
	for (unsigned int n = 0; n < 8; n++)
		memcpy(turned + 16 * n, c->arch.xsave.b + FX_ST + 16 * ((n + top - old) & 7), 16);
	memcpy(c->arch.xsave.b + FX_ST, turned, sizeof(turned));
	fx_set16(c, FX_FSW, (u16)((fx_get16(c, FX_FSW) & ~(7u << FSW_TOP_SHIFT)) | top << FSW_TOP_SHIFT));
}

/* SDM 2A FINIT: the data registers stay, tagged empty. */
void fpu_init(struct hw_cpu *c)
{
	fpu_set_top(c, 0);
	fx_set16(c, FX_FCW, FCW_INIT);
	fx_set16(c, FX_FSW, 0);
	c->arch.xsave.b[FX_FTW] = 0;
	fx_set16(c, FX_FOP, 0);
	fx_set64(c, FX_FIP, 0);
	fx_set64(c, FX_FDP, 0);
	c->fpu_cs = c->fpu_ds = 0;
}

/* 0 valid, 1 zero, 2 special, 3 empty (SDM 1 8.1.7). */
static unsigned int classify(const u8 *st)
{
	u64 significand;
	u16 exponent;

	memcpy(&significand, st, 8);
	memcpy(&exponent, st + 8, 2);
	exponent &= 0x7fff;
	if (exponent == 0)
		return significand ? 2 : 1;
	return exponent != 0x7fff && significand >> 63 ? 0 : 2;
}

u16 fpu_full_tag(const struct hw_cpu *c)
{
	unsigned int tag = 0, top = fpu_top(c);

	for (unsigned int reg = 0; reg < 8; reg++) {
		unsigned int value = 3;

		if (c->arch.xsave.b[FX_FTW] >> reg & 1)
			value = classify(c->arch.xsave.b + FX_ST + 16 * ((reg - top) & 7));
		tag |= value << (2 * reg);
	}
	return (u16)tag;
}

u8 fpu_abridge_tag(u16 tag)
{
	unsigned int abridged = 0;

	for (unsigned int reg = 0; reg < 8; reg++)
		if ((tag >> (2 * reg) & 3) != 3)
			abridged |= 1u << reg;
	return (u8)abridged;
}

void fpu_note_insn(struct hw_cpu *c, const struct insn *i)
{
	fx_set16(c, FX_FOP, (u16)((i->opcode & 7) << 8 | i->modrm));
	fx_set64(c, FX_FIP, c->arch.rip);
	c->fpu_cs = c->arch.seg[HW_CS].selector;
	if (i->modrm < 0xc0) {
		fx_set64(c, FX_FDP, insn_offset(c, i));
		c->fpu_ds = c->arch.seg[i->sreg].selector;
	}
}

void fpu_enter_mmx(struct hw_cpu *c)
{
	fpu_set_top(c, 0);
	c->arch.xsave.b[FX_FTW] = 0xff;
}
