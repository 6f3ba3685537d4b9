// SPDX-License-Identifier: Apache-2.0
/*
 * The SIMD instructions that are C from the start: moves, lanes in and out, conversions between MMX and XMM, MXCSR.
 */
#pragma once

#include "hw/cpu/simd.h"

/* simd_move.c */
int simd_mov128_aligned(struct hw_cpu *c, const struct insn *i);
int simd_mov128(struct hw_cpu *c, const struct insn *i);
int simd_movss(struct hw_cpu *c, const struct insn *i);
int simd_movsd(struct hw_cpu *c, const struct insn *i);
int simd_movd(struct hw_cpu *c, const struct insn *i);
int simd_movq(struct hw_cpu *c, const struct insn *i);
int simd_mov_low(struct hw_cpu *c, const struct insn *i);
int simd_mov_high(struct hw_cpu *c, const struct insn *i);
int simd_movhlps(struct hw_cpu *c, const struct insn *i);
int simd_movlhps(struct hw_cpu *c, const struct insn *i);
int simd_movq2dq(struct hw_cpu *c, const struct insn *i);
int simd_movdq2q(struct hw_cpu *c, const struct insn *i);
int simd_movnti(struct hw_cpu *c, const struct insn *i);
int simd_maskmov(struct hw_cpu *c, const struct insn *i);

/* simd_lane.c */
int simd_movmskps(struct hw_cpu *c, const struct insn *i);
int simd_movmskpd(struct hw_cpu *c, const struct insn *i);
int simd_pmovmskb(struct hw_cpu *c, const struct insn *i);
int simd_pextr(struct hw_cpu *c, const struct insn *i);
unsigned int simd_lane_size(u16 mnemonic); /* of PEXTRx, PINSRx, EXTRACTPS and their VEX forms */
int simd_pinsr(struct hw_cpu *c, const struct insn *i);

/* simd_sha.c */
int simd_sha(struct hw_cpu *c, const struct insn *i);

/* simd_convert.c */
int simd_cvt_from_mmx(struct hw_cpu *c, const struct insn *i);
int simd_cvt_to_mmx(struct hw_cpu *c, const struct insn *i);
int simd_ldmxcsr(struct hw_cpu *c, const struct insn *i);
int simd_stmxcsr(struct hw_cpu *c, const struct insn *i);
int simd_emms(struct hw_cpu *c, const struct insn *i);
