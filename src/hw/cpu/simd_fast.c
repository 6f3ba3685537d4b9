// SPDX-License-Identifier: Apache-2.0
/*
 * The commonest SSE2 operations, written out, and their VEX forms: every x86-64 host has them. MMX forms go the general
 * way.
 */
#include "hw/cpu/simd_fast.h"

#define SIMD_FAST(id, intrinsic)                                                                                       \
	int simd_fast_##id(struct hw_cpu *c, const struct insn *i)                                                     \
	{                                                                                                              \
		__m128i src;                                                                                           \
		int err;                                                                                               \
                                                                                                                       \
		if (i->op[0].kind == OPND_MMX)                                                                         \
			return simd_exec_mmx(c, i);                                                                    \
		err = simd_check(c);                                                                                   \
		if (err)                                                                                               \
			return err;                                                                                    \
		if (i->op[1].kind == OPND_XMM)                                                                         \
			src = xmm_get(c, i->op[1].reg);                                                                \
		else                                                                                                   \
			err = simd_load128(c, i, true, &src);                                                          \
		if (err)                                                                                               \
			return err;                                                                                    \
		xmm_set(c, i->op[0].reg, intrinsic(xmm_get(c, i->op[0].reg), src));                                    \
		return EXEC_OK;                                                                                        \
	}                                                                                                              \
	int vex_fast_##id(struct hw_cpu *c, const struct insn *i)                                                      \
	{                                                                                                              \
		bool wide = i->op[0].kind == OPND_YMM;                                                                 \
		struct ymm a, b;                                                                                       \
		int err = vex_check(c, i);                                                                             \
                                                                                                                       \
		if (!err)                                                                                              \
			err = vex_read(c, i, 2, &b);                                                                   \
		if (err)                                                                                               \
			return err;                                                                                    \
		a = ymm_get(c, i->op[1].reg);                                                                          \
		a.lane[0] = intrinsic(a.lane[0], b.lane[0]);                                                           \
		a.lane[1] = wide ? intrinsic(a.lane[1], b.lane[1]) : _mm_setzero_si128();                              \
		ymm_set(c, i->op[0].reg, a);                                                                           \
		return EXEC_OK;                                                                                        \
	}
#include "hw/cpu/simd_fast.def"
