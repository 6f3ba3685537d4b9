// SPDX-License-Identifier: Apache-2.0
/*
 * What AVX and AVX2 have and SSE has not: broadcasts, lanes, permutations, shifts by element, VTESTPS.
 */
#include "hw/cpu/simd_vex.h"

static unsigned int result_size(const struct insn *i)
{
	return i->op[0].kind == OPND_YMM ? 32 : 16;
}

/* Checks, then sources one and (if there is one) two. Results of 16 bytes have the rest cleared by set_result(). */
static int two_sources(struct hw_cpu *c, const struct insn *i, union ymm_elements *a, union ymm_elements *b)
{
	int err = vex_check(c, i);

	if (!err)
		err = vex_read(c, i, 1, &a->v);
	if (!err && vex_operands(i) > 2)
		err = vex_read(c, i, 2, &b->v);
	return err;
}

static int set_result(struct hw_cpu *c, const struct insn *i, union ymm_elements *v)
{
	memset(v->b + result_size(i), 0, 32 - result_size(i));
	ymm_set(c, i->op[0].reg, v->v);
	return EXEC_OK;
}

static unsigned int broadcast_size(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_VPBROADCASTB:
		return 1;
	case ZYDIS_MNEMONIC_VPBROADCASTW:
		return 2;
	case ZYDIS_MNEMONIC_VBROADCASTSS:
	case ZYDIS_MNEMONIC_VPBROADCASTD:
		return 4;
	case ZYDIS_MNEMONIC_VBROADCASTSD:
	case ZYDIS_MNEMONIC_VPBROADCASTQ:
		return 8;
	default:
		return 16; /* VBROADCASTF128, VBROADCASTI128 */
	}
}

int vex_broadcast(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = broadcast_size(i->mnemonic);
	union ymm_elements a, v;
	int err = two_sources(c, i, &a, &a);

	if (err)
		return err;
	for (unsigned int n = 0; n < 32; n += size)
		memcpy(v.b + n, a.b, size);
	return set_result(c, i, &v);
}

int vex_insert128(struct hw_cpu *c, const struct insn *i)
{
	union ymm_elements a, b;
	int err = two_sources(c, i, &a, &b);

	if (err)
		return err;
	a.v.lane[i->imm & 1] = b.v.lane[0];
	return set_result(c, i, &a);
}

int vex_extract128(struct hw_cpu *c, const struct insn *i)
{
	struct ymm v = ymm_get(c, i->op[1].reg);
	int err = vex_check(c, i);

	if (err)
		return err;
	if (i->op[0].kind == OPND_MEM)
		return simd_store128(c, i, false, v.lane[i->imm & 1]);
	ymm_set_low(c, i->op[0].reg, v.lane[i->imm & 1]);
	return EXEC_OK;
}

int vex_perm2x128(struct hw_cpu *c, const struct insn *i)
{
	union ymm_elements a, b, v;
	int err = two_sources(c, i, &a, &b);

	if (err)
		return err;
	for (unsigned int n = 0; n < 2; n++) {
		unsigned int select = (unsigned int)i->imm >> (4 * n);

		v.v.lane[n] = select & 8   ? _mm_setzero_si128()
			      : select & 2 ? b.v.lane[select & 1]
					   : a.v.lane[select & 1];
	}
	return set_result(c, i, &v);
}

/* VPERMQ, VPERMPD */
int vex_permq(struct hw_cpu *c, const struct insn *i)
{
	union ymm_elements a, v;
	int err = two_sources(c, i, &a, &a);

	if (err)
		return err;
	for (unsigned int n = 0; n < 4; n++)
		v.q[n] = a.q[(unsigned int)i->imm >> (2 * n) & 3];
	return set_result(c, i, &v);
}

/* VPERMD, VPERMPS: the first source is the indices. */
int vex_permd(struct hw_cpu *c, const struct insn *i)
{
	union ymm_elements a, b, v;
	int err = two_sources(c, i, &a, &b);

	if (err)
		return err;
	for (unsigned int n = 0; n < 8; n++)
		v.d[n] = b.d[a.d[n] & 7];
	return set_result(c, i, &v);
}

int vex_permilps(struct hw_cpu *c, const struct insn *i)
{
	union ymm_elements a, b, v;
	bool immediate = i->op[2].kind == OPND_IMM;
	int err = two_sources(c, i, &a, &b);

	if (err)
		return err;
	for (unsigned int n = 0; n < 8; n++)
		v.d[n] = a.d[(n & 4) + ((immediate ? (u32)i->imm >> (2 * (n & 3)) : b.d[n]) & 3)];
	return set_result(c, i, &v);
}

/* The selector is bit 1 of the control element. */
int vex_permilpd(struct hw_cpu *c, const struct insn *i)
{
	union ymm_elements a, b, v;
	bool immediate = i->op[2].kind == OPND_IMM;
	int err = two_sources(c, i, &a, &b);

	if (err)
		return err;
	for (unsigned int n = 0; n < 4; n++)
		v.q[n] = a.q[(n & 2) + ((immediate ? (u64)i->imm >> n : b.q[n] >> 1) & 1)];
	return set_result(c, i, &v);
}

int vex_blendd(struct hw_cpu *c, const struct insn *i)
{
	union ymm_elements a, b;
	int err = two_sources(c, i, &a, &b);

	if (err)
		return err;
	for (unsigned int n = 0; n < 8; n++)
		if (i->imm >> n & 1)
			a.d[n] = b.d[n];
	return set_result(c, i, &a);
}

static u32 shift32(u16 mnemonic, u32 v, u32 count)
{
	if (mnemonic == ZYDIS_MNEMONIC_VPSRAVD)
		return (u32)((s32)v >> (count > 31 ? 31 : count));
	if (count > 31)
		return 0;
	return mnemonic == ZYDIS_MNEMONIC_VPSLLVD ? v << count : v >> count;
}

static u64 shift64(u16 mnemonic, u64 v, u64 count)
{
	if (count > 63)
		return 0;
	return mnemonic == ZYDIS_MNEMONIC_VPSLLVQ ? v << count : v >> count;
}

int vex_shift_variable(struct hw_cpu *c, const struct insn *i)
{
	bool wide = i->mnemonic == ZYDIS_MNEMONIC_VPSLLVQ || i->mnemonic == ZYDIS_MNEMONIC_VPSRLVQ;
	union ymm_elements a, b;
	int err = two_sources(c, i, &a, &b);

	if (err)
		return err;
	for (unsigned int n = 0; wide && n < 4; n++)
		a.q[n] = shift64(i->mnemonic, a.q[n], b.q[n]);
	for (unsigned int n = 0; !wide && n < 8; n++)
		a.d[n] = shift32(i->mnemonic, a.d[n], b.d[n]);
	return set_result(c, i, &a);
}

/* VTESTPS, VTESTPD: as VPTEST, of the sign bits alone. */
int vex_test(struct hw_cpu *c, const struct insn *i)
{
	const u64 sign = i->mnemonic == ZYDIS_MNEMONIC_VTESTPS ? 0x8000000080000000 : 0x8000000000000000;
	unsigned int words = result_size(i) / 8;
	union ymm_elements a, b;
	u64 both = 0, second_only = 0;
	int err = vex_check(c, i);

	if (!err)
		err = vex_read(c, i, 0, &a.v);
	if (!err)
		err = vex_read(c, i, 1, &b.v);
	if (err)
		return err;
	for (unsigned int n = 0; n < words; n++) {
		both |= a.q[n] & b.q[n] & sign;
		second_only |= ~a.q[n] & b.q[n] & sign;
	}
	cpu_set_arith_flags(c, (both ? 0 : FLAG_ZF) | (second_only ? 0 : FLAG_CF));
	return EXEC_OK;
}
