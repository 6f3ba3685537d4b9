// SPDX-License-Identifier: Apache-2.0
/*
 * simd_insns: who executes which MMX or SSE instruction.
 */
#include "hw/cpu/simd_c.h"
#include "hw/cpu/simd_fast.h"
#include "hw/cpu/simd_vex.h"

#define FN_int(id)    simd_exec_int
#define FN_fp(id)     simd_exec_fp
#define FN_flags(id)  simd_exec_flags
#define FN_crypto(id) simd_exec_crypto
#define FN_fast(id)   simd_fast_##id
#define FN_cmpsd(id)  vex_cmp /* so named by decode.c */

#define ROW(id, need, function)                                                                                        \
	{                                                                                                              \
		.mnemonic = ZYDIS_MNEMONIC_##id, .feature = FEAT_##need, .fn = function                                \
	}
#define SIMD_BIN(id, insn, feature, fn, flags, mmx)   ROW(id, feature, FN_##fn(id)),
#define SIMD_IMM(id, insn, feature, fn, flags, mmx)   ROW(id, feature, FN_##fn(id)),
#define SIMD_SHIFT(id, insn, feature, fn, flags, mmx) ROW(id, feature, FN_##fn(id)),
#define SIMD_WIMM(id, insn, feature, fn, flags)	      ROW(id, feature, FN_##fn(id)),
#define SIMD_TO_GPR(id, insn, feature, fn, flags)     ROW(id, feature, FN_##fn(id)),
#define SIMD_FROM_GPR(id, insn, feature, fn, flags)   ROW(id, feature, FN_##fn(id)),
#define SIMD_BYTES(id, insn, feature, fn, flags)      ROW(id, feature, FN_##fn(id)),

static const struct insn_desc desc[] = {
#include "hw/cpu/simd_ops.def"
	ROW(MOVAPS, SSE, simd_mov128_aligned),
	ROW(MOVAPD, SSE2, simd_mov128_aligned),
	ROW(MOVDQA, SSE2, simd_mov128_aligned),
	ROW(MOVNTPS, SSE, simd_mov128_aligned),
	ROW(MOVNTPD, SSE2, simd_mov128_aligned),
	ROW(MOVNTDQ, SSE2, simd_mov128_aligned),
	ROW(MOVNTDQA, SSE41, simd_mov128_aligned),
	ROW(MOVUPS, SSE, simd_mov128),
	ROW(MOVUPD, SSE2, simd_mov128),
	ROW(MOVDQU, SSE2, simd_mov128),
	ROW(LDDQU, SSE3, simd_mov128),
	ROW(MOVSS, SSE, simd_movss),
	ROW(VMOVSD, SSE2, vex_movsd), /* so named by decode.c */
	ROW(MOVD, MMX, simd_movd),
	ROW(MOVQ, MMX, simd_movq),
	ROW(MOVNTQ, SSE, simd_movq),
	ROW(MOVLPS, SSE, simd_mov_low),
	ROW(MOVLPD, SSE2, simd_mov_low),
	ROW(MOVHPS, SSE, simd_mov_high),
	ROW(MOVHPD, SSE2, simd_mov_high),
	ROW(MOVHLPS, SSE, simd_movhlps),
	ROW(MOVLHPS, SSE, simd_movlhps),
	ROW(MOVQ2DQ, SSE2, simd_movq2dq),
	ROW(MOVDQ2Q, SSE2, simd_movdq2q),
	ROW(MOVNTI, SSE2, simd_movnti),
	ROW(MASKMOVQ, SSE, simd_maskmov),
	ROW(MASKMOVDQU, SSE2, simd_maskmov),
	ROW(MOVMSKPS, SSE, simd_movmskps),
	ROW(MOVMSKPD, SSE2, simd_movmskpd),
	ROW(PMOVMSKB, SSE, simd_pmovmskb),
	ROW(PEXTRB, SSE41, simd_pextr),
	ROW(PEXTRW, SSE, simd_pextr),
	ROW(PEXTRD, SSE41, simd_pextr),
	ROW(PEXTRQ, SSE41, simd_pextr),
	ROW(EXTRACTPS, SSE41, simd_pextr),
	ROW(PINSRB, SSE41, simd_pinsr),
	ROW(PINSRW, SSE, simd_pinsr),
	ROW(PINSRD, SSE41, simd_pinsr),
	ROW(PINSRQ, SSE41, simd_pinsr),
	ROW(CVTPI2PS, SSE, simd_cvt_from_mmx),
	ROW(CVTPI2PD, SSE2, simd_cvt_from_mmx),
	ROW(CVTPS2PI, SSE, simd_cvt_to_mmx),
	ROW(CVTTPS2PI, SSE, simd_cvt_to_mmx),
	ROW(CVTPD2PI, SSE2, simd_cvt_to_mmx),
	ROW(CVTTPD2PI, SSE2, simd_cvt_to_mmx),
	ROW(LDMXCSR, SSE, simd_ldmxcsr),
	ROW(STMXCSR, SSE, simd_stmxcsr),
	ROW(EMMS, MMX, simd_emms),
};

const struct insn_table simd_insns = {desc, sizeof(desc) / sizeof(desc[0])};
