// SPDX-License-Identifier: Apache-2.0
/*
 * x87 control instructions: no arithmetic, and FIP, FDP and FOP stay.
 */
#include "hw/cpu/fpu.h"

int fpu_fninit(struct hw_cpu *c, const struct insn *i)
{
	int err = fpu_check(c);

	if (!err)
		fpu_init(c);
	return err;
}

int fpu_fnclex(struct hw_cpu *c, const struct insn *i)
{
	int err = fpu_check(c);

	if (!err)
		fpu_set_fsw(c, fx_get16(c, FX_FSW) & (u16) ~(FSW_FLAGS | FSW_SF));
	return err;
}

int fpu_fldcw(struct hw_cpu *c, const struct insn *i)
{
	u64 lin;
	u16 fcw;
	int err = fpu_check_waiting(c);

	if (!err)
		err = insn_mem(c, i, 2, ACC_READ, &lin);
	if (!err)
		err = cpu_read(c, lin, &fcw, 2);
	if (!err)
		fpu_set_fcw(c, fcw);
	return err;
}

static int store_word(struct hw_cpu *c, const struct insn *i, u16 v)
{
	u64 lin;
	int err;

	if (i->modrm >= 0xc0) {
		gpr_set(c, HW_RAX, 2, v);
		return EXEC_OK;
	}
	err = insn_mem(c, i, 2, ACC_WRITE, &lin);
	return err ? err : cpu_write(c, lin, &v, 2);
}

int fpu_fnstcw(struct hw_cpu *c, const struct insn *i)
{
	int err = fpu_check(c);

	return err ? err : store_word(c, i, fx_get16(c, FX_FCW));
}

int fpu_fnstsw(struct hw_cpu *c, const struct insn *i)
{
	int err = fpu_check(c);

	return err ? err : store_word(c, i, fx_get16(c, FX_FSW));
}

/* FWAIT alone obeys CR0.MP: with MP clear, TS does not stop it (SDM 3A 2.5). EM does not concern it. */
int fpu_fwait(struct hw_cpu *c, const struct insn *i)
{
	if ((c->arch.cr0 & (FPU_CR0_MP | FPU_CR0_TS)) == (FPU_CR0_MP | FPU_CR0_TS))
		return cpu_raise(c, X86_NM);
	return fpu_pending(c) ? cpu_raise(c, X86_MF) : EXEC_OK;
}

/* FENI, FDISI, FSETPM of the 8087 and 80287 do nothing since the 80387. */
int fpu_nop(struct hw_cpu *c, const struct insn *i)
{
	return fpu_check(c);
}
