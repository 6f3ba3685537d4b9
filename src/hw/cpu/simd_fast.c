// SPDX-License-Identifier: Apache-2.0
/*
 * The commonest SSE2 operations, written out: every x86-64 host has them. MMX forms go the general way.
 */
#include "hw/cpu/simd_fast.h"

#define FAST_OP(id, expression)                                                                                        \
	int simd_fast_##id(struct hw_cpu *c, const struct insn *i)                                                     \
	{                                                                                                              \
		__m128i dst, src;                                                                                      \
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
		dst = xmm_get(c, i->op[0].reg);                                                                        \
		xmm_set(c, i->op[0].reg, (expression));                                                                \
		return EXEC_OK;                                                                                        \
	}

FAST_OP(PAND, _mm_and_si128(dst, src))
FAST_OP(PANDN, _mm_andnot_si128(dst, src))
FAST_OP(POR, _mm_or_si128(dst, src))
FAST_OP(PXOR, _mm_xor_si128(dst, src))
FAST_OP(ANDPS, _mm_and_si128(dst, src))
FAST_OP(ANDPD, _mm_and_si128(dst, src))
FAST_OP(ANDNPS, _mm_andnot_si128(dst, src))
FAST_OP(ANDNPD, _mm_andnot_si128(dst, src))
FAST_OP(ORPS, _mm_or_si128(dst, src))
FAST_OP(ORPD, _mm_or_si128(dst, src))
FAST_OP(XORPS, _mm_xor_si128(dst, src))
FAST_OP(XORPD, _mm_xor_si128(dst, src))
FAST_OP(PUNPCKLBW, _mm_unpacklo_epi8(dst, src))
FAST_OP(PUNPCKLWD, _mm_unpacklo_epi16(dst, src))
FAST_OP(PUNPCKLDQ, _mm_unpacklo_epi32(dst, src))
FAST_OP(PUNPCKLQDQ, _mm_unpacklo_epi64(dst, src))
FAST_OP(PUNPCKHBW, _mm_unpackhi_epi8(dst, src))
FAST_OP(PUNPCKHWD, _mm_unpackhi_epi16(dst, src))
FAST_OP(PUNPCKHDQ, _mm_unpackhi_epi32(dst, src))
FAST_OP(PUNPCKHQDQ, _mm_unpackhi_epi64(dst, src))
FAST_OP(UNPCKLPS, _mm_unpacklo_epi32(dst, src))
FAST_OP(UNPCKLPD, _mm_unpacklo_epi64(dst, src))
FAST_OP(PADDB, _mm_add_epi8(dst, src))
FAST_OP(PADDW, _mm_add_epi16(dst, src))
FAST_OP(PADDD, _mm_add_epi32(dst, src))
FAST_OP(PADDQ, _mm_add_epi64(dst, src))
FAST_OP(PSUBB, _mm_sub_epi8(dst, src))
FAST_OP(PSUBW, _mm_sub_epi16(dst, src))
FAST_OP(PSUBD, _mm_sub_epi32(dst, src))
FAST_OP(PSUBQ, _mm_sub_epi64(dst, src))
FAST_OP(PCMPEQB, _mm_cmpeq_epi8(dst, src))
FAST_OP(PCMPEQW, _mm_cmpeq_epi16(dst, src))
FAST_OP(PCMPEQD, _mm_cmpeq_epi32(dst, src))
FAST_OP(PCMPGTB, _mm_cmpgt_epi8(dst, src))
FAST_OP(PCMPGTW, _mm_cmpgt_epi16(dst, src))
FAST_OP(PCMPGTD, _mm_cmpgt_epi32(dst, src))
FAST_OP(PMINUB, _mm_min_epu8(dst, src))
FAST_OP(PMAXUB, _mm_max_epu8(dst, src))
