// SPDX-License-Identifier: Apache-2.0
/*
 * fpu: the x87 state inside arch.xsave, in the layout of FXSAVE64 (SDM 1 table 10-2).
 *
 * FCS and FDS have no place in that layout; they are c->fpu_cs and c->fpu_ds. ST(i) stands relative to TOP in the
 * image, an MMX register MMn is physical register n: the two agree while TOP is 0, which every MMX instruction makes
 * true.
 */
#pragma once

#include <string.h>

#include "hw/cpu/insn.h"

/* offsets in the legacy area */
#define FX_FCW	 0
#define FX_FSW	 2
#define FX_FTW	 4 /* abridged: bit n set, physical register n is not empty */
#define FX_FOP	 6
#define FX_FIP	 8
#define FX_FDP	 16
#define FX_MXCSR 24
#define FX_MASK	 28
#define FX_ST	 32
#define FX_XMM	 160
#define FX_SIZE	 512

#define FPU_CR0_MP	(1u << 1)
#define FPU_CR0_EM	(1u << 2)
#define FPU_CR0_TS	(1u << 3)
#define FPU_CR4_OSFXSR	(1u << 9)
#define FPU_CR4_OSXMM	(1u << 10)
#define FPU_CR4_OSXSAVE (1u << 18)

#define FSW_FLAGS     0x3fu
#define FSW_SF	      (1u << 6)
#define FSW_ES	      (1u << 7)
#define FSW_C1	      (1u << 9)
#define FSW_TOP_SHIFT 11
#define FSW_B	      (1u << 15)
#define FCW_INIT      0x37fu

static inline u16 fx_get16(const struct hw_cpu *c, unsigned int off)
{
	u16 v;

	memcpy(&v, c->arch.xsave.b + off, 2);
	return v;
}
static inline void fx_set16(struct hw_cpu *c, unsigned int off, u16 v)
{
	memcpy(c->arch.xsave.b + off, &v, 2);
}

static inline u64 fx_get64(const struct hw_cpu *c, unsigned int off)
{
	u64 v;

	memcpy(&v, c->arch.xsave.b + off, 8);
	return v;
}
static inline void fx_set64(struct hw_cpu *c, unsigned int off, u64 v)
{
	memcpy(c->arch.xsave.b + off, &v, 8);
}

static inline unsigned int fpu_top(const struct hw_cpu *c)
{
	return fx_get16(c, FX_FSW) >> FSW_TOP_SHIFT & 7;
}

/* An exception that the control word does not mask waits for the next waiting instruction, SDM 1 8.7. */
static inline bool fpu_pending(const struct hw_cpu *c)
{
	return fx_get16(c, FX_FSW) & ~fx_get16(c, FX_FCW) & FSW_FLAGS;
}

/* CR0.EM and CR0.TS for x87 instructions; the waiting ones report a pending exception too. With CR0.NE clear the
 * external FERR# route would be taken; here it is #MF as well. */
int fpu_check(struct hw_cpu *c);
int fpu_check_waiting(struct hw_cpu *c);

/* ES and B follow from flags and masks (SDM 1 8.1.3.3). */
u16 fpu_summary(u16 fsw, u16 fcw);
void fpu_set_fcw(struct hw_cpu *c, u16 fcw);
void fpu_set_fsw(struct hw_cpu *c, u16 fsw);
/* The physical registers stay where they are, so the image turns. */
void fpu_set_top(struct hw_cpu *c, unsigned int top);
/* FNINIT. */
void fpu_init(struct hw_cpu *c);

/* The full tag word from the abridged one and the contents. */
u16 fpu_full_tag(const struct hw_cpu *c);
u8 fpu_abridge_tag(u16 tag);
/* Remember the instruction, and its memory operand if it has one (SDM 1 8.1.8). */
void fpu_note_insn(struct hw_cpu *c, const struct insn *i);

/* TOP becomes 0 and every register valid: what any MMX instruction but EMMS does. */
void fpu_enter_mmx(struct hw_cpu *c);
static inline unsigned int mmx_offset(const struct hw_cpu *c, unsigned int n)
{
	return FX_ST + 16 * ((n - fpu_top(c)) & 7);
}
static inline u64 mmx_get(const struct hw_cpu *c, unsigned int n)
{
	return fx_get64(c, mmx_offset(c, n));
}
/* After fpu_enter_mmx(). */
static inline void mmx_set(struct hw_cpu *c, unsigned int n, u64 v)
{
	fx_set64(c, FX_ST + 16 * n, v);
	fx_set16(c, FX_ST + 16 * n + 8, 0xffff);
}

/* ---------------------------------------------------------------- memory images of more than 64 bytes (fpu_mem.c) */

/* Every page is checked before the first byte changes. */
int fx_read(struct hw_cpu *c, u64 lin, void *dst, unsigned int size);
int fx_write(struct hw_cpu *c, u64 lin, const void *src, unsigned int size);
int fx_probe_write(struct hw_cpu *c, u64 lin, unsigned int size);

/* ---------------------------------------------------------------- instructions */

int fpu_native(struct hw_cpu *c, const struct insn *i); /* fpu_native.c: the host's own instruction */
int fpu_fninit(struct hw_cpu *c, const struct insn *i);
int fpu_fnclex(struct hw_cpu *c, const struct insn *i);
int fpu_fldcw(struct hw_cpu *c, const struct insn *i);
int fpu_fnstcw(struct hw_cpu *c, const struct insn *i);
int fpu_fnstsw(struct hw_cpu *c, const struct insn *i);
int fpu_fwait(struct hw_cpu *c, const struct insn *i);
int fpu_nop(struct hw_cpu *c, const struct insn *i);
int fpu_fnstenv(struct hw_cpu *c, const struct insn *i);
int fpu_fldenv(struct hw_cpu *c, const struct insn *i);
int fpu_fnsave(struct hw_cpu *c, const struct insn *i);
int fpu_frstor(struct hw_cpu *c, const struct insn *i);
