// SPDX-License-Identifier: Apache-2.0
/*
 * Conversions between MMX and XMM registers, MXCSR, EMMS.
 */
#include "hw/cpu/simd_c.h"

/* CVTPI2PS keeps the upper half of its destination. Both leave the x87 state alone with a memory operand (SDM 2A
 * CVTPI2PD). */
int simd_cvt_from_mmx(struct hw_cpu *c, const struct insn *i)
{
	bool single = i->mnemonic == ZYDIS_MNEMONIC_CVTPI2PS;
	bool transition = i->op[1].kind == OPND_MMX;
	struct simd_regs r = {.rcx = 0};
	u64 src;
	int err = simd_check(c);

	if (!err && transition)
		err = simd_check_mmx(c);
	if (err)
		return err;
	if (i->op[1].kind == OPND_MMX)
		src = mmx_get(c, i->op[1].reg);
	else
		err = simd_load64(c, i, &src);
	if (err)
		return err;
	r.src = _mm_cvtsi64_si128((long long)src);
	if (transition)
		fpu_enter_mmx(c);
	err = simd_run_fp(c, simd_ops[single ? ZYDIS_MNEMONIC_CVTDQ2PS : ZYDIS_MNEMONIC_CVTDQ2PD].stub, &r, 1, false);
	if (err)
		return err;
	if (single)
		memcpy(xmm_bytes(c, i->op[0].reg), &r.dst, 8);
	else
		xmm_set(c, i->op[0].reg, r.dst);
	return EXEC_OK;
}

static const u8 *stub_to_mmx(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_CVTPS2PI:
		return simd_ops[ZYDIS_MNEMONIC_CVTPS2DQ].stub;
	case ZYDIS_MNEMONIC_CVTTPS2PI:
		return simd_ops[ZYDIS_MNEMONIC_CVTTPS2DQ].stub;
	case ZYDIS_MNEMONIC_CVTPD2PI:
		return simd_ops[ZYDIS_MNEMONIC_CVTPD2DQ].stub;
	default:
		return simd_ops[ZYDIS_MNEMONIC_CVTTPD2DQ].stub;
	}
}

/* CVT(T)PS2PI reads two singles, CVT(T)PD2PI two doubles. */
int simd_cvt_to_mmx(struct hw_cpu *c, const struct insn *i)
{
	struct simd_regs r = {.rcx = 0};
	int err = simd_check(c);

	if (!err)
		err = simd_check_mmx(c);
	if (!err)
		err = simd_read_operand(c, i, 1, true, &r.src);
	if (err)
		return err;
	if (i->mnemonic == ZYDIS_MNEMONIC_CVTPS2PI || i->mnemonic == ZYDIS_MNEMONIC_CVTTPS2PI)
		r.src = _mm_move_epi64(r.src);
	/* the transition is not undone by #XM */
	fpu_enter_mmx(c);
	err = simd_run_fp(c, stub_to_mmx(i->mnemonic), &r, 1, false);
	if (err)
		return err;
	mmx_set(c, i->op[0].reg, (u64)_mm_cvtsi128_si64(r.dst));
	return EXEC_OK;
}

int simd_ldmxcsr(struct hw_cpu *c, const struct insn *i)
{
	u64 v;
	int err = simd_check(c);

	if (!err)
		err = simd_load_int(c, i, 4, &v);
	if (err)
		return err;
	if (v & ~(u64)MXCSR_VALID)
		return cpu_gp(c, 0);
	mxcsr_set(c, (u32)v);
	return EXEC_OK;
}

int simd_stmxcsr(struct hw_cpu *c, const struct insn *i)
{
	int err = simd_check(c);

	return err ? err : simd_store_int(c, i, 4, mxcsr_get(c));
}

int simd_emms(struct hw_cpu *c, const struct insn *i)
{
	int err = simd_check_mmx(c);

	if (err)
		return err;
	fpu_set_top(c, 0);
	c->arch.xsave.b[FX_FTW] = 0;
	return EXEC_OK;
}
