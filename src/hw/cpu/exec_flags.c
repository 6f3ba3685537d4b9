// SPDX-License-Identifier: Apache-2.0
/* exec_flags: handlers of what reads or writes single flags, in 64-bit code. */
#include "hw/cpu/op.h"

#define RSP GPR_OFFSET(HW_RSP)

static HANDLER(pushfq)
{
	u64 rsp = REG(8, RSP) - 8;
	u64 others = c->arch.rflags & ~(u64)(FLAGS_ARITH | FLAG_VM | FLAG_RF);

	STORE(8, rsp, others | flags_to_eflags((struct hw_flags){fres, faux}) | 2);
	REG(8, RSP) = rsp;
	NEXT(o + 1);
	COLD_ENDS;
}

/* Only if nothing but arithmetic flags changes. */
static HANDLER(popfq)
{
	u64 rsp = REG(8, RSP), v;
	struct hw_flags f;

	LOAD(8, rsp, v);
	if ((v ^ c->arch.rflags) & (FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID))
		goto slow;
	REG(8, RSP) = rsp + 8;
	f = flags_from_eflags((u32)v);
	fres = f.res;
	faux = f.aux;
	NEXT(o + 1);
	COLD_ENDS;
}

/* At CPL 0. An STI earlier in the block is for sys_cli() to look at. */
static HANDLER(cli)
{
	if (unlikely(c->sti_next))
		CONTINUE_IN(op_generic, o);
	c->arch.rflags &= ~(u64)FLAG_IF;
	NEXT(o + 1);
}

static HANDLER(cld)
{
	c->arch.rflags &= ~(u64)FLAG_DF;
	NEXT(o + 1);
}

static HANDLER(clc)
{
	struct hw_flags f = flags_with_cf((struct hw_flags){fres, faux}, 0);

	fres = f.res;
	faux = f.aux;
	NEXT(o + 1);
}

static HANDLER(stc)
{
	struct hw_flags f = flags_with_cf((struct hw_flags){fres, faux}, 1);

	fres = f.res;
	faux = f.aux;
	NEXT(o + 1);
}

op_fn exec_flags_handler(const struct insn *i, u32 mode)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_PUSHFQ:
		return pushfq;
	case ZYDIS_MNEMONIC_POPFQ:
		return popfq;
	case ZYDIS_MNEMONIC_CLI:
		return mode & MODE_USER ? NULL : cli;
	case ZYDIS_MNEMONIC_CLD:
		return cld;
	case ZYDIS_MNEMONIC_CLC:
		return clc;
	case ZYDIS_MNEMONIC_STC:
		return stc;
	default:
		return NULL;
	}
}
