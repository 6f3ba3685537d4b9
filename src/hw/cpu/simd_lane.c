// SPDX-License-Identifier: Apache-2.0
/*
 * Sign masks, and single lanes out of and into registers.
 */
#include "hw/cpu/simd_c.h"

int simd_movmskps(struct hw_cpu *c, const struct insn *i)
{
	int err = simd_check(c);

	if (!err)
		c->arch.gpr[i->op[0].reg] = (u32)_mm_movemask_ps(_mm_castsi128_ps(xmm_get(c, i->op[1].reg)));
	return err;
}

int simd_movmskpd(struct hw_cpu *c, const struct insn *i)
{
	int err = simd_check(c);

	if (!err)
		c->arch.gpr[i->op[0].reg] = (u32)_mm_movemask_pd(_mm_castsi128_pd(xmm_get(c, i->op[1].reg)));
	return err;
}

int simd_pmovmskb(struct hw_cpu *c, const struct insn *i)
{
	bool mmx = i->op[1].kind == OPND_MMX;
	int err = mmx ? simd_check_mmx(c) : simd_check(c);
	__m128i v;

	if (err)
		return err;
	v = mmx ? _mm_cvtsi64_si128((long long)mmx_get(c, i->op[1].reg)) : xmm_get(c, i->op[1].reg);
	if (mmx)
		fpu_enter_mmx(c);
	c->arch.gpr[i->op[0].reg] = (u32)_mm_movemask_epi8(v);
	return EXEC_OK;
}

unsigned int simd_lane_size(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_PEXTRB:
	case ZYDIS_MNEMONIC_VPEXTRB:
	case ZYDIS_MNEMONIC_PINSRB:
	case ZYDIS_MNEMONIC_VPINSRB:
		return 1;
	case ZYDIS_MNEMONIC_PEXTRW:
	case ZYDIS_MNEMONIC_VPEXTRW:
	case ZYDIS_MNEMONIC_PINSRW:
	case ZYDIS_MNEMONIC_VPINSRW:
		return 2;
	case ZYDIS_MNEMONIC_PEXTRQ:
	case ZYDIS_MNEMONIC_VPEXTRQ:
	case ZYDIS_MNEMONIC_PINSRQ:
	case ZYDIS_MNEMONIC_VPINSRQ:
		return 8;
	default:
		return 4;
	}
}

/* PEXTRx, EXTRACTPS. A register destination gets the lane zero-extended to its whole width. */
int simd_pextr(struct hw_cpu *c, const struct insn *i)
{
	bool mmx = i->op[1].kind == OPND_MMX;
	unsigned int size = simd_lane_size(i->mnemonic), lanes = (mmx ? 8 : 16) / size;
	int err = mmx ? simd_check_mmx(c) : simd_check(c);
	u64 v = 0;

	if (err)
		return err;
	memcpy(&v,
	       c->arch.xsave.b + (mmx ? mmx_offset(c, i->op[1].reg) : FX_XMM + 16u * i->op[1].reg) +
		       ((u8)i->imm & (lanes - 1)) * size,
	       size);
	if (i->op[0].kind == OPND_MEM)
		return simd_store_int(c, i, size, v);
	if (mmx)
		fpu_enter_mmx(c);
	c->arch.gpr[i->op[0].reg] = v;
	return EXEC_OK;
}

int simd_pinsr(struct hw_cpu *c, const struct insn *i)
{
	bool mmx = i->op[0].kind == OPND_MMX;
	unsigned int size = simd_lane_size(i->mnemonic), lanes = (mmx ? 8 : 16) / size;
	int err = mmx ? simd_check_mmx(c) : simd_check(c);
	u64 v;

	if (err)
		return err;
	if (i->op[1].kind == OPND_MEM) {
		err = simd_load_int(c, i, size, &v);
		if (err)
			return err;
	} else {
		v = c->arch.gpr[i->op[1].reg];
	}
	if (mmx)
		fpu_enter_mmx(c);
	memcpy(c->arch.xsave.b + (mmx ? FX_ST + 16u * i->op[0].reg : FX_XMM + 16u * i->op[0].reg) +
		       ((u8)i->imm & (lanes - 1)) * size,
	       &v, size);
	if (mmx)
		mmx_set(c, i->op[0].reg, mmx_get(c, i->op[0].reg));
	return EXEC_OK;
}
