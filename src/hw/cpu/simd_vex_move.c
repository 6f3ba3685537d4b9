// SPDX-License-Identifier: Apache-2.0
/*
 * VEX moves. A load or a move between registers clears what lies above it, to bit 255.
 */
#include "hw/cpu/simd_c.h"
#include "hw/cpu/simd_vex.h"

static bool is_ymm(const struct operand *o)
{
	return o->kind == OPND_YMM;
}

static int mov(struct hw_cpu *c, const struct insn *i, bool aligned)
{
	struct ymm v = {{_mm_setzero_si128(), _mm_setzero_si128()}};
	int err = vex_check(c, i);

	if (err)
		return err;
	if (i->op[0].kind == OPND_MEM) {
		v = ymm_get(c, i->op[1].reg);
		return is_ymm(&i->op[1]) ? vex_store256(c, i, aligned, v) : simd_store128(c, i, aligned, v.lane[0]);
	}
	if (i->op[1].kind != OPND_MEM)
		err = vex_read(c, i, 1, &v);
	else if (is_ymm(&i->op[0]))
		err = vex_load256(c, i, aligned, &v);
	else
		err = simd_load128(c, i, aligned, &v.lane[0]);
	if (!err)
		ymm_set(c, i->op[0].reg, v);
	return err;
}

int vex_mov_aligned(struct hw_cpu *c, const struct insn *i)
{
	return mov(c, i, true);
}
int vex_mov(struct hw_cpu *c, const struct insn *i)
{
	return mov(c, i, false);
}

static int mov_scalar(struct hw_cpu *c, const struct insn *i, unsigned int size)
{
	__m128i v;
	u64 low;
	int err = vex_check(c, i);

	if (err)
		return err;
	if (i->op[0].kind == OPND_MEM)
		return simd_store_int(c, i, size, xmm_get_low(c, i->op[1].reg));
	if (i->nops == 2) {
		err = simd_load_int(c, i, size, &low);
		v = _mm_cvtsi64_si128((long long)low);
	} else {
		v = xmm_get(c, i->op[1].reg);
		memcpy(&v, xmm_bytes(c, i->op[2].reg), size);
	}
	if (!err)
		ymm_set_low(c, i->op[0].reg, v);
	return err;
}

int vex_movss(struct hw_cpu *c, const struct insn *i)
{
	return mov_scalar(c, i, 4);
}
int vex_movsd(struct hw_cpu *c, const struct insn *i)
{
	return i->vex ? mov_scalar(c, i, 8) : simd_movsd(c, i);
}

static int mov_int(struct hw_cpu *c, const struct insn *i, unsigned int size)
{
	const struct operand *dst = &i->op[0], *src = &i->op[1];
	int err = vex_check(c, i);
	u64 v = 0;

	if (err)
		return err;
	if (src->kind == OPND_XMM)
		v = xmm_get_low(c, src->reg);
	else if (src->kind == OPND_GPR)
		v = gpr_get(c, src->reg, size);
	else
		err = simd_load_int(c, i, size, &v);
	if (!err && dst->kind == OPND_MEM)
		err = simd_store_int(c, i, size, v);
	if (err)
		return err;
	if (dst->kind == OPND_XMM)
		ymm_set_low(c, dst->reg, _mm_cvtsi64_si128((long long)v));
	else if (dst->kind == OPND_GPR)
		gpr_set(c, dst->reg, size, v);
	return EXEC_OK;
}

int vex_movd(struct hw_cpu *c, const struct insn *i)
{
	return mov_int(c, i, 4);
}
int vex_movq(struct hw_cpu *c, const struct insn *i)
{
	return mov_int(c, i, 8);
}

static int mov_half(struct hw_cpu *c, const struct insn *i, unsigned int half)
{
	u64 v, part[2];
	int err = vex_check(c, i);

	if (err)
		return err;
	if (i->op[0].kind == OPND_MEM) {
		memcpy(&v, xmm_bytes(c, i->op[1].reg) + 8 * half, 8);
		return simd_store64(c, i, v);
	}
	err = simd_load64(c, i, &v);
	if (err)
		return err;
	memcpy(part, xmm_bytes(c, i->op[1].reg), 16);
	part[half] = v;
	ymm_set_low(c, i->op[0].reg, _mm_loadu_si128((__m128i *)part));
	return EXEC_OK;
}

int vex_mov_low(struct hw_cpu *c, const struct insn *i)
{
	return mov_half(c, i, 0);
}
int vex_mov_high(struct hw_cpu *c, const struct insn *i)
{
	return mov_half(c, i, 1);
}

int vex_movhlps(struct hw_cpu *c, const struct insn *i)
{
	int err = vex_check(c, i);

	if (!err)
		ymm_set_low(c, i->op[0].reg, _mm_unpackhi_epi64(xmm_get(c, i->op[2].reg), xmm_get(c, i->op[1].reg)));
	return err;
}

int vex_movlhps(struct hw_cpu *c, const struct insn *i)
{
	int err = vex_check(c, i);

	if (!err)
		ymm_set_low(c, i->op[0].reg, _mm_unpacklo_epi64(xmm_get(c, i->op[1].reg), xmm_get(c, i->op[2].reg)));
	return err;
}

static unsigned int registers(const struct hw_cpu *c)
{
	return cpu_cs64(c) ? 16 : 8;
}

int vex_zeroupper(struct hw_cpu *c, const struct insn *i)
{
	int err = vex_check(c, i);

	if (!err)
		memset(ymm_upper(c, 0), 0, 16 * registers(c));
	return err;
}

int vex_zeroall(struct hw_cpu *c, const struct insn *i)
{
	int err = vex_check(c, i);

	for (unsigned int n = 0; !err && n < registers(c); n++)
		ymm_set_low(c, n, _mm_setzero_si128());
	return err;
}

int vex_legacy(struct hw_cpu *c, const struct insn *i)
{
	int err = vex_check(c, i);

	if (err)
		return err;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_VLDMXCSR:
		return simd_ldmxcsr(c, i);
	case ZYDIS_MNEMONIC_VSTMXCSR:
		return simd_stmxcsr(c, i);
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		return simd_maskmov(c, i);
	default:
		return simd_pextr(c, i);
	}
}

int vex_pinsr(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = simd_lane_size(i->mnemonic);
	int err = vex_check(c, i);
	u8 lanes[16];
	u64 v;

	if (err)
		return err;
	if (i->op[2].kind == OPND_MEM)
		err = simd_load_int(c, i, size, &v);
	else
		v = c->arch.gpr[i->op[2].reg];
	if (err)
		return err;
	memcpy(lanes, xmm_bytes(c, i->op[1].reg), 16);
	memcpy(lanes + ((u8)i->imm & (16 / size - 1)) * size, &v, size);
	ymm_set_low(c, i->op[0].reg, _mm_loadu_si128((__m128i *)lanes));
	return EXEC_OK;
}

/* The sign bits of `elements` in each lane. */
static int move_mask(struct hw_cpu *c, const struct insn *i, unsigned int elements)
{
	u32 mask = 0;
	struct ymm v;
	int err = vex_check(c, i);

	if (!err)
		err = vex_read(c, i, 1, &v);
	if (err)
		return err;
	for (unsigned int n = 0; n < (is_ymm(&i->op[1]) ? 2u : 1u); n++) {
		u32 lane = (u32)(elements == 2	 ? _mm_movemask_pd(_mm_castsi128_pd(v.lane[n]))
				 : elements == 4 ? _mm_movemask_ps(_mm_castsi128_ps(v.lane[n]))
						 : _mm_movemask_epi8(v.lane[n]));

		mask |= lane << (n * elements);
	}
	c->arch.gpr[i->op[0].reg] = mask;
	return EXEC_OK;
}

int vex_movmskps(struct hw_cpu *c, const struct insn *i)
{
	return move_mask(c, i, 4);
}
int vex_movmskpd(struct hw_cpu *c, const struct insn *i)
{
	return move_mask(c, i, 2);
}
int vex_pmovmskb(struct hw_cpu *c, const struct insn *i)
{
	return move_mask(c, i, 16);
}
