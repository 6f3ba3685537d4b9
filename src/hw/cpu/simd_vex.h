// SPDX-License-Identifier: Apache-2.0
/*
 * AVX and AVX2. Nothing here asks the host for AVX: a 256-bit instruction is the SSE one in both 128-bit lanes where
 * such an instruction exists, and C where none does. The upper lanes are component 2 of arch.xsave, at its standard
 * place.
 */
#pragma once

#include "hw/cpu/simd.h"

#define YMM_UPPER 576u

struct ymm {
	__m128i lane[2];
};

/* Lanes as elements, for what crosses them. */
union ymm_elements {
	struct ymm v;
	u8 b[32];
	u16 w[16];
	u32 d[8];
	u64 q[4];
};

static inline __m128i *ymm_upper(struct hw_cpu *c, unsigned int n)
{
	return (__m128i *)(c->arch.xsave.b + YMM_UPPER + 16 * n);
}

static inline struct ymm ymm_get(struct hw_cpu *c, unsigned int n)
{
	return (struct ymm){{xmm_get(c, n), _mm_loadu_si128(ymm_upper(c, n))}};
}

static inline void ymm_set(struct hw_cpu *c, unsigned int n, struct ymm v)
{
	xmm_set(c, n, v.lane[0]);
	_mm_storeu_si128(ymm_upper(c, n), v.lane[1]);
}

/* A 128-bit VEX result clears the upper lane. */
static inline void ymm_set_low(struct hw_cpu *c, unsigned int n, __m128i v)
{
	ymm_set(c, n, (struct ymm){{v, _mm_setzero_si128()}});
}

/* SDM 2 table 2-23: the checks of every VEX instruction. */
static inline int vex_check(struct hw_cpu *c, const struct insn *i)
{
	if (!i->vex || !(c->arch.cr4 & FPU_CR4_OSXSAVE) || (c->arch.xcr0 & 6) != 6 || !cpu_protected(c))
		return cpu_ud(c);
	return c->arch.cr0 & FPU_CR0_TS ? cpu_raise(c, X86_NM) : EXEC_OK;
}

/* Operand n, a register or memory of its own size, zero-extended. Memory need not be aligned. */
int vex_read(struct hw_cpu *c, const struct insn *i, unsigned int n, struct ymm *v);
int vex_load256(struct hw_cpu *c, const struct insn *i, bool aligned, struct ymm *v);
int vex_store256(struct hw_cpu *c, const struct insn *i, bool aligned, struct ymm v);
/* The operand that is an immediate stands last and is not counted. */
unsigned int vex_operands(const struct insn *i);

int vex_exec(struct hw_cpu *c, const struct insn *i); /* the rows of simd_vex.def */
int vex_cmp(struct hw_cpu *c, const struct insn *i);

/* simd_vex_move.c */
int vex_mov_aligned(struct hw_cpu *c, const struct insn *i);
int vex_mov(struct hw_cpu *c, const struct insn *i);
int vex_movss(struct hw_cpu *c, const struct insn *i);
int vex_movsd(struct hw_cpu *c, const struct insn *i); /* legacy MOVSD too: decode.c gives it this name */
int vex_movd(struct hw_cpu *c, const struct insn *i);
int vex_movq(struct hw_cpu *c, const struct insn *i);
int vex_mov_low(struct hw_cpu *c, const struct insn *i);
int vex_mov_high(struct hw_cpu *c, const struct insn *i);
int vex_movhlps(struct hw_cpu *c, const struct insn *i);
int vex_movlhps(struct hw_cpu *c, const struct insn *i);
int vex_zeroupper(struct hw_cpu *c, const struct insn *i);
int vex_zeroall(struct hw_cpu *c, const struct insn *i);
int vex_legacy(struct hw_cpu *c, const struct insn *i); /* as the SSE form, no vector destination */
int vex_pinsr(struct hw_cpu *c, const struct insn *i);
int vex_movmskps(struct hw_cpu *c, const struct insn *i);
int vex_movmskpd(struct hw_cpu *c, const struct insn *i);
int vex_pmovmskb(struct hw_cpu *c, const struct insn *i);

/* simd_vex_mask.c */
int vex_maskmov(struct hw_cpu *c, const struct insn *i);
int vex_gather(struct hw_cpu *c, const struct insn *i);

/* simd_vex_perm.c */
int vex_broadcast(struct hw_cpu *c, const struct insn *i);
int vex_insert128(struct hw_cpu *c, const struct insn *i);
int vex_extract128(struct hw_cpu *c, const struct insn *i);
int vex_perm2x128(struct hw_cpu *c, const struct insn *i);
int vex_permq(struct hw_cpu *c, const struct insn *i);
int vex_permd(struct hw_cpu *c, const struct insn *i);
int vex_permilps(struct hw_cpu *c, const struct insn *i);
int vex_permilpd(struct hw_cpu *c, const struct insn *i);
int vex_blendd(struct hw_cpu *c, const struct insn *i);
int vex_shift_variable(struct hw_cpu *c, const struct insn *i);
int vex_test(struct hw_cpu *c, const struct insn *i);
