// SPDX-License-Identifier: Apache-2.0
/*
 * Functions of the instructions that are written out in C, for simd_table.c.
 */
#pragma once

#include "hw/cpu/simd_vex.h"

#define SIMD_FAST(id, intrinsic)                                                                                       \
	int simd_fast_##id(struct hw_cpu *c, const struct insn *i);                                                    \
	int vex_fast_##id(struct hw_cpu *c, const struct insn *i);
#include "hw/cpu/simd_fast.def"
#undef SIMD_FAST
