// SPDX-License-Identifier: Apache-2.0
/*
 * Functions of the rows of simd_ops.def that are written out in C, for simd_table.c.
 */
#pragma once

#include "hw/cpu/simd.h"

#define SIMD_DECLARE_int(id)
#define SIMD_DECLARE_fp(id)
#define SIMD_DECLARE_flags(id)
#define SIMD_DECLARE_crypto(id)
#define SIMD_DECLARE_cmpsd(id)
#define SIMD_DECLARE_fast(id) int simd_fast_##id(struct hw_cpu *c, const struct insn *i);

#define SIMD_BIN(id, insn, feature, fn, flags, mmx) SIMD_DECLARE_##fn(id)
#define SIMD_IMM(id, insn, feature, fn, flags, mmx)
#define SIMD_SHIFT(id, insn, feature, fn, flags, mmx)
#define SIMD_WIMM(id, insn, feature, fn, flags)
#define SIMD_TO_GPR(id, insn, feature, fn, flags)
#define SIMD_FROM_GPR(id, insn, feature, fn, flags)
#define SIMD_BYTES(id, insn, feature, fn, flags)
#include "hw/cpu/simd_ops.def"
#undef SIMD_BIN
#undef SIMD_IMM
#undef SIMD_SHIFT
#undef SIMD_WIMM
#undef SIMD_TO_GPR
#undef SIMD_FROM_GPR
#undef SIMD_BYTES
