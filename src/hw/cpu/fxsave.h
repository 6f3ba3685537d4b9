// SPDX-License-Identifier: Apache-2.0
/*
 * fxsave: between arch.xsave and the legacy 512 bytes of FXSAVE and XSAVE in guest memory.
 */
#pragma once

#include "hw/cpu/fpu.h"

#define FX_DEFINED 416u /* the bytes that FXSAVE writes in 64-bit mode; the rest is reserved or software's */

/* wide: REX.W, 64-bit FIP and FDP instead of 32-bit offsets with selectors (SDM 1 10.5.1). */
void fx_pack(const struct hw_cpu *c, u8 *image, bool wide);
void fx_unpack_x87(struct hw_cpu *c, const u8 *image, bool wide);
/* XMM8..15 are out of reach outside 64-bit mode. */
unsigned int fx_xmm_count(const struct hw_cpu *c);
void fx_unpack_xmm(struct hw_cpu *c, const u8 *image);
void fx_init_x87(struct hw_cpu *c);
void fx_init_xmm(struct hw_cpu *c);

int fxsave(struct hw_cpu *c, const struct insn *i);
int fxrstor(struct hw_cpu *c, const struct insn *i);
