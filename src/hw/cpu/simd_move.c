// SPDX-License-Identifier: Apache-2.0
/*
 * Moves of XMM and MMX registers.
 */
#include "hw/cpu/simd_c.h"

static inline int mov128(struct hw_cpu *c, const struct insn *i, bool aligned)
{
	__m128i v;
	int err = simd_check(c);

	if (err)
		return err;
	if (i->op[0].kind == OPND_MEM)
		return simd_store128(c, i, aligned, xmm_get(c, i->op[1].reg));
	if (i->op[1].kind == OPND_XMM) {
		xmm_set(c, i->op[0].reg, xmm_get(c, i->op[1].reg));
		return EXEC_OK;
	}
	err = simd_load128(c, i, aligned, &v);
	if (!err)
		xmm_set(c, i->op[0].reg, v);
	return err;
}

int simd_mov128_aligned(struct hw_cpu *c, const struct insn *i)
{
	return mov128(c, i, true);
}
int simd_mov128(struct hw_cpu *c, const struct insn *i)
{
	return mov128(c, i, false);
}

/* Scalars: a load clears the rest of the register, a move between registers keeps it. */
static inline int mov_scalar(struct hw_cpu *c, const struct insn *i, unsigned int size)
{
	u64 v;
	int err = simd_check(c);

	if (err)
		return err;
	if (i->op[0].kind == OPND_MEM)
		return simd_store_int(c, i, size, xmm_get_low(c, i->op[1].reg));
	if (i->op[1].kind == OPND_XMM) {
		memmove(xmm_bytes(c, i->op[0].reg), xmm_bytes(c, i->op[1].reg), size);
		return EXEC_OK;
	}
	err = simd_load_int(c, i, size, &v);
	if (!err)
		xmm_set(c, i->op[0].reg, _mm_cvtsi64_si128((long long)v));
	return err;
}

int simd_movss(struct hw_cpu *c, const struct insn *i)
{
	return mov_scalar(c, i, 4);
}
int simd_movsd(struct hw_cpu *c, const struct insn *i)
{
	return mov_scalar(c, i, 8);
}

/* MOVD and MOVQ in every combination of general register, memory, MMX and XMM; MOVNTQ. */
static inline int mov_int(struct hw_cpu *c, const struct insn *i, unsigned int size)
{
	const struct operand *dst = &i->op[0], *src = &i->op[1];
	bool mmx = dst->kind == OPND_MMX || src->kind == OPND_MMX;
	int err = mmx ? simd_check_mmx(c) : simd_check(c);
	u64 v = 0;

	if (err)
		return err;
	switch (src->kind) {
	case OPND_XMM:
		v = xmm_get_low(c, src->reg);
		break;
	case OPND_MMX:
		v = mmx_get(c, src->reg);
		break;
	case OPND_GPR:
		v = gpr_get(c, src->reg, size);
		break;
	default:
		err = simd_load_int(c, i, size, &v);
	}
	if (!err && dst->kind == OPND_MEM)
		err = simd_store_int(c, i, size, v);
	if (err)
		return err;
	if (mmx)
		fpu_enter_mmx(c);
	if (dst->kind == OPND_XMM)
		xmm_set(c, dst->reg, _mm_cvtsi64_si128((long long)v));
	else if (dst->kind == OPND_MMX)
		mmx_set(c, dst->reg, v);
	else if (dst->kind == OPND_GPR)
		gpr_set(c, dst->reg, size, v);
	return EXEC_OK;
}

int simd_movd(struct hw_cpu *c, const struct insn *i)
{
	return mov_int(c, i, 4);
}
int simd_movq(struct hw_cpu *c, const struct insn *i)
{
	return mov_int(c, i, 8);
}

/* MOVLPS, MOVHPS and the PD forms: eight bytes between memory and one half. */
static inline int mov_half(struct hw_cpu *c, const struct insn *i, unsigned int half)
{
	u64 v;
	int err = simd_check(c);

	if (err)
		return err;
	if (i->op[0].kind == OPND_MEM) {
		memcpy(&v, xmm_bytes(c, i->op[1].reg) + half, 8);
		return simd_store64(c, i, v);
	}
	err = simd_load64(c, i, &v);
	if (!err)
		memcpy(xmm_bytes(c, i->op[0].reg) + half, &v, 8);
	return err;
}

int simd_mov_low(struct hw_cpu *c, const struct insn *i)
{
	return mov_half(c, i, 0);
}
int simd_mov_high(struct hw_cpu *c, const struct insn *i)
{
	return mov_half(c, i, 8);
}

static int copy_half(struct hw_cpu *c, const struct insn *i, unsigned int to, unsigned int from)
{
	u64 v;
	int err = simd_check(c);

	if (err)
		return err;
	memcpy(&v, xmm_bytes(c, i->op[1].reg) + from, 8);
	memcpy(xmm_bytes(c, i->op[0].reg) + to, &v, 8);
	return EXEC_OK;
}

int simd_movhlps(struct hw_cpu *c, const struct insn *i)
{
	return copy_half(c, i, 0, 8);
}
int simd_movlhps(struct hw_cpu *c, const struct insn *i)
{
	return copy_half(c, i, 8, 0);
}

static int check_both(struct hw_cpu *c)
{
	int err = simd_check(c);

	return err ? err : simd_check_mmx(c);
}

int simd_movq2dq(struct hw_cpu *c, const struct insn *i)
{
	int err = check_both(c);

	if (err)
		return err;
	fpu_enter_mmx(c);
	xmm_set(c, i->op[0].reg, _mm_cvtsi64_si128((long long)mmx_get(c, i->op[1].reg)));
	return EXEC_OK;
}

int simd_movdq2q(struct hw_cpu *c, const struct insn *i)
{
	int err = check_both(c);

	if (err)
		return err;
	fpu_enter_mmx(c);
	mmx_set(c, i->op[0].reg, xmm_get_low(c, i->op[1].reg));
	return EXEC_OK;
}

/* An integer store: no SSE checks apply. */
int simd_movnti(struct hw_cpu *c, const struct insn *i)
{
	return simd_store_int(c, i, i->op[0].size, gpr_get(c, i->op[1].reg, i->op[0].size));
}

/* MASKMOVQ, MASKMOVDQU: the bytes whose mask byte has its top bit set. Unselected bytes are not accessed. */
int simd_maskmov(struct hw_cpu *c, const struct insn *i)
{
	bool mmx = i->op[0].kind == OPND_MMX;
	unsigned int size = mmx ? 8 : 16, first, last, mask = 0;
	int err = mmx ? simd_check_mmx(c) : simd_check(c);
	u8 value[16], select[16];
	u64 off = gpr_get(c, HW_RDI, i->addrsize), lin;

	if (err)
		return err;
	memcpy(value, c->arch.xsave.b + (mmx ? mmx_offset(c, i->op[0].reg) : FX_XMM + 16u * i->op[0].reg), size);
	memcpy(select, c->arch.xsave.b + (mmx ? mmx_offset(c, i->op[1].reg) : FX_XMM + 16u * i->op[1].reg), size);
	for (unsigned int n = 0; n < size; n++)
		mask |= (unsigned int)(select[n] >> 7) << n;
	if (mask) {
		first = (unsigned int)__builtin_ctz(mask);
		last = 31 - (unsigned int)__builtin_clz(mask);
		err = cpu_linear(c, insn_implied_segment(c, i), off + first, last - first + 1, ACC_WRITE, &lin);
		if (!err)
			err = cpu_probe_write(c, lin, last - first + 1);
		for (unsigned int n = first; !err && n <= last; n++)
			if (mask >> n & 1)
				err = cpu_write(c, lin + n - first, &value[n], 1);
	}
	if (!err && mmx)
		fpu_enter_mmx(c);
	return err;
}
