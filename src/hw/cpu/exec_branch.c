// SPDX-License-Identifier: Apache-2.0
/*
 * exec_branch: handlers of near branches in 64-bit code, and of PUSH, POP, LEAVE.
 *
 * A conditional branch is followed by two links: taken, then not taken. Each has its own dispatch, so that the host
 * predicts the direction by the handler's own branch.
 */
#include "hw/cpu/op.h"

#define RSP GPR_OFFSET(HW_RSP)
#define RBP GPR_OFFSET(HW_RBP)

#define JCC(cc, ...)                                                                                                   \
	static HANDLER(jcc_##cc)                                                                                       \
	{                                                                                                              \
		if (lazy_condition(cc, fres, faux))                                                                    \
			BRANCH(o + 1);                                                                                 \
		BRANCH(o + 2);                                                                                         \
	}
CONDITIONS(JCC)

static HANDLER(jmp_rel)
{
	BRANCH(o + 1);
}

static HANDLER(call_rel)
{
	u64 rsp = REG(8, RSP) - 8;

	STORE(8, rsp, c->arch.rip + o->ip + o->len);
	REG(8, RSP) = rsp;
	BRANCH(o + 1);
	COLD_ENDS;
}

/* A target that is not canonical never hits the jump cache; hw_cpu_run() raises the #GP. For CALL the push must not
 * have happened then (SDM 2A CALL), so op_generic() executes it. */
static inline bool canonical(u64 rip)
{
	return (u64)((s64)(rip << 16) >> 16) == rip;
}

static HANDLER(call_r)
{
	u64 rsp = REG(8, RSP) - 8, target = REG(8, o->dst);

	if (unlikely(!canonical(target)))
		goto slow;
	STORE(8, rsp, c->arch.rip + o->ip + o->len);
	REG(8, RSP) = rsp;
	JUMP(o + 1, target);
	COLD_ENDS;
}

static HANDLER(jmp_r)
{
	u64 target = REG(8, o->dst);

	if (unlikely(!canonical(target)))
		CONTINUE_IN(op_generic, o);
	JUMP(o + 1, target);
}

#define BRANCH_MEM(ea)                                                                                                 \
	static HANDLER(call_##ea)                                                                                      \
	{                                                                                                              \
		u64 rsp = REG(8, RSP) - 8, target;                                                                     \
		LOAD(8, EA_##ea(o), target);                                                                           \
		if (unlikely(!canonical(target)))                                                                      \
			goto slow;                                                                                     \
		STORE(8, rsp, c->arch.rip + o->ip + o->len);                                                           \
		REG(8, RSP) = rsp;                                                                                     \
		JUMP(o + 1, target);                                                                                   \
		COLD_ENDS;                                                                                             \
	}                                                                                                              \
	static HANDLER(jmp_##ea)                                                                                       \
	{                                                                                                              \
		u64 target;                                                                                            \
		LOAD(8, EA_##ea(o), target);                                                                           \
		if (unlikely(!canonical(target)))                                                                      \
			goto slow;                                                                                     \
		JUMP(o + 1, target);                                                                                   \
		COLD_ENDS;                                                                                             \
	}                                                                                                              \
	static HANDLER(push_##ea)                                                                                      \
	{                                                                                                              \
		u64 rsp = REG(8, RSP) - 8, v;                                                                          \
		LOAD(8, EA_##ea(o), v);                                                                                \
		STORE(8, rsp, v);                                                                                      \
		REG(8, RSP) = rsp;                                                                                     \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
BRANCH_MEM(bd)
BRANCH_MEM(bis)

static HANDLER(ret)
{
	u64 rsp = REG(8, RSP), target;

	LOAD(8, rsp, target);
	if (unlikely(!canonical(target)))
		goto slow;
	REG(8, RSP) = rsp + 8;
	JUMP(o + 1, target);
	COLD_ENDS;
}

static HANDLER(ret_i)
{
	u64 rsp = REG(8, RSP), target;

	LOAD(8, rsp, target);
	if (unlikely(!canonical(target)))
		goto slow;
	REG(8, RSP) = rsp + 8 + (u16)o->imm64;
	JUMP(o + 1, target);
	COLD_ENDS;
}

static HANDLER(push_r)
{
	u64 rsp = REG(8, RSP) - 8;

	STORE(8, rsp, REG(8, o->dst));
	REG(8, RSP) = rsp;
	NEXT(o + 1);
	COLD_ENDS;
}

static HANDLER(push_i)
{
	u64 rsp = REG(8, RSP) - 8;

	STORE(8, rsp, o->imm64);
	REG(8, RSP) = rsp;
	NEXT(o + 1);
	COLD_ENDS;
}

static HANDLER(pop_r)
{
	u64 rsp = REG(8, RSP), v;

	LOAD(8, rsp, v);
	/* the increment comes before the write: POP RSP loads what was popped (SDM 2B POP) */
	REG(8, RSP) = rsp + 8;
	REG(8, o->dst) = v;
	NEXT(o + 1);
	COLD_ENDS;
}

static HANDLER(leave)
{
	u64 rbp = REG(8, RBP), v;

	LOAD(8, rbp, v);
	REG(8, RSP) = rbp + 8;
	REG(8, RBP) = v;
	NEXT(o + 1);
	COLD_ENDS;
}

op_fn exec_stack_handler(const struct insn *i, enum form form)
{
	if (i->opsize != 8)
		return NULL;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
		if (form == FORM_BD)
			return push_bd;
		if (form == FORM_BIS)
			return push_bis;
		return form == FORM_R ? push_r : form == FORM_I ? push_i : NULL;
	case ZYDIS_MNEMONIC_POP:
		return form == FORM_R ? pop_r : NULL;
	case ZYDIS_MNEMONIC_LEAVE:
		return leave;
	default:
		return NULL;
	}
}

int jcc_condition(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_JO:
		return 0;
	case ZYDIS_MNEMONIC_JNO:
		return 1;
	case ZYDIS_MNEMONIC_JB:
		return 2;
	case ZYDIS_MNEMONIC_JNB:
		return 3;
	case ZYDIS_MNEMONIC_JZ:
		return 4;
	case ZYDIS_MNEMONIC_JNZ:
		return 5;
	case ZYDIS_MNEMONIC_JBE:
		return 6;
	case ZYDIS_MNEMONIC_JNBE:
		return 7;
	case ZYDIS_MNEMONIC_JS:
		return 8;
	case ZYDIS_MNEMONIC_JNS:
		return 9;
	case ZYDIS_MNEMONIC_JP:
		return 10;
	case ZYDIS_MNEMONIC_JNP:
		return 11;
	case ZYDIS_MNEMONIC_JL:
		return 12;
	case ZYDIS_MNEMONIC_JNL:
		return 13;
	case ZYDIS_MNEMONIC_JLE:
		return 14;
	case ZYDIS_MNEMONIC_JNLE:
		return 15;
	default:
		return -1;
	}
}

op_fn exec_branch_handler(const struct insn *i, enum form form)
{
#define ROW(cc, ...) [cc] = jcc_##cc,
	static const op_fn jcc[16] = {CONDITIONS(ROW)};
	int cc = jcc_condition(i->mnemonic);

	if (cc >= 0)
		return jcc[cc];
	if (i->mnemonic != ZYDIS_MNEMONIC_JMP && i->opsize != 8)
		return NULL;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_JMP:
		if (form == FORM_I)
			return jmp_rel;
		if (i->opsize != 8 || i->opcode != 0xff || (i->modrm >> 3 & 7) != 4)
			return NULL;
		return form == FORM_R ? jmp_r : form == FORM_BD ? jmp_bd : form == FORM_BIS ? jmp_bis : NULL;
	case ZYDIS_MNEMONIC_CALL:
		if (form == FORM_I)
			return call_rel;
		if (i->opcode != 0xff || (i->modrm >> 3 & 7) != 2) /* FF /3 is the far one */
			return NULL;
		return form == FORM_R ? call_r : form == FORM_BD ? call_bd : form == FORM_BIS ? call_bis : NULL;
	case ZYDIS_MNEMONIC_RET:
		if (i->opcode != 0xc3 && i->opcode != 0xc2)
			return NULL;
		return form == FORM_NONE ? ret : form == FORM_I ? ret_i : NULL;
	default:
		return NULL;
	}
}
