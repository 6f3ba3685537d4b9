// SPDX-License-Identifier: Apache-2.0
/*
 * Masked loads and stores, and gathers: elements whose mask is clear are not accessed at all.
 *
 * A gather that faults has gathered nothing: the architecture allows progress element by element but does not ask for
 * it, and running it again is how every other instruction here restarts.
 */
#include "hw/cpu/simd_vex.h"

static u64 truncated(const struct insn *i, u64 off)
{
	return i->addrsize == 8 ? off : (u32)off;
}

static bool selected(const union ymm_elements *mask, unsigned int n, unsigned int size)
{
	return size == 8 ? mask->q[n] >> 63 : mask->d[n] >> 31;
}

static int element_linear(struct hw_cpu *c, const struct insn *i, u64 off, unsigned int size, unsigned int acc,
			  u64 *lin)
{
	return cpu_linear(c, i->sreg, truncated(i, off), size, acc, lin);
}

static int masked_load(struct hw_cpu *c, const struct insn *i, const union ymm_elements *mask, unsigned int size)
{
	union ymm_elements v = {.q = {0}};
	unsigned int count = i->op[0].size / size;
	u64 base = insn_offset(c, i), lin;
	int err = EXEC_OK;

	for (unsigned int n = 0; !err && n < count; n++) {
		if (!selected(mask, n, size))
			continue;
		err = element_linear(c, i, base + n * size, size, ACC_READ, &lin);
		if (!err)
			err = cpu_read(c, lin, v.b + n * size, size);
	}
	if (!err)
		ymm_set(c, i->op[0].reg, v.v);
	return err;
}

static int masked_store(struct hw_cpu *c, const struct insn *i, const union ymm_elements *mask, unsigned int size)
{
	union ymm_elements v = {.v = ymm_get(c, i->op[2].reg)};
	unsigned int count = i->op[2].size / size;
	u64 base = insn_offset(c, i), lin[8];
	int err = EXEC_OK;

	for (unsigned int n = 0; !err && n < count; n++) {
		if (!selected(mask, n, size))
			continue;
		err = element_linear(c, i, base + n * size, size, ACC_WRITE, &lin[n]);
		if (!err)
			err = cpu_probe_write(c, lin[n], size);
	}
	for (unsigned int n = 0; !err && n < count; n++)
		if (selected(mask, n, size))
			err = cpu_write(c, lin[n], v.b + n * size, size);
	return err;
}

/* VMASKMOVPS, VMASKMOVPD, VPMASKMOVD, VPMASKMOVQ: the mask is the second operand of loads and of stores. */
int vex_maskmov(struct hw_cpu *c, const struct insn *i)
{
	bool wide = i->mnemonic == ZYDIS_MNEMONIC_VMASKMOVPD || i->mnemonic == ZYDIS_MNEMONIC_VPMASKMOVQ;
	union ymm_elements mask;
	int err = vex_check(c, i);

	if (err)
		return err;
	mask.v = ymm_get(c, i->op[1].reg);
	if (i->op[0].kind == OPND_MEM)
		return masked_store(c, i, &mask, wide ? 8 : 4);
	return masked_load(c, i, &mask, wide ? 8 : 4);
}

/* The vector index stands in SIB.index, extended by the inverted VEX.X. */
static unsigned int index_register(const struct insn *i)
{
	unsigned int vex = 0;

	while (vex < i->len && i->bytes[vex] != 0xc4)
		vex++;
	if (vex + 5 >= i->len)
		return 0;
	return (i->bytes[vex + 5] >> 3 & 7) | (i->bytes[vex + 1] & 0x40 ? 0 : 8);
}

struct gather {
	unsigned int index_size, data_size;
};

static struct gather gather_kind(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_VGATHERDPS:
	case ZYDIS_MNEMONIC_VPGATHERDD:
		return (struct gather){4, 4};
	case ZYDIS_MNEMONIC_VGATHERDPD:
	case ZYDIS_MNEMONIC_VPGATHERDQ:
		return (struct gather){4, 8};
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VPGATHERQD:
		return (struct gather){8, 4};
	default:
		return (struct gather){8, 8};
	}
}

int vex_gather(struct hw_cpu *c, const struct insn *i)
{
	struct gather g = gather_kind(i->mnemonic);
	unsigned int index_reg = index_register(i), larger = g.index_size > g.data_size ? g.index_size : g.data_size;
	unsigned int count = (i->vvvv_l ? 32 : 16) / larger;
	union ymm_elements v, mask, index;
	u64 base = insn_offset(c, i), lin;
	int err = vex_check(c, i);

	if (err)
		return err;
	/* SDM 2C VGATHER: the three registers must differ */
	if (index_reg == i->op[0].reg || index_reg == i->op[2].reg || i->op[0].reg == i->op[2].reg)
		return cpu_ud(c);
	v.v = ymm_get(c, i->op[0].reg);
	mask.v = ymm_get(c, i->op[2].reg);
	index.v = ymm_get(c, index_reg);
	for (unsigned int n = 0; !err && n < count; n++) {
		s64 element = g.index_size == 8 ? (s64)index.q[n] : (s32)index.d[n];

		if (!selected(&mask, n, g.data_size))
			continue;
		err = element_linear(c, i, base + (u64)element * i->scale, g.data_size, ACC_READ, &lin);
		if (!err)
			err = cpu_read(c, lin, v.b + n * g.data_size, g.data_size);
	}
	if (err)
		return err;
	memset(v.b + count * g.data_size, 0, 32 - count * g.data_size);
	ymm_set(c, i->op[0].reg, v.v);
	ymm_set_low(c, i->op[2].reg, _mm_setzero_si128());
	return EXEC_OK;
}
