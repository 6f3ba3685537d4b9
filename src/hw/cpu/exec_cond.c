// SPDX-License-Identifier: Apache-2.0
/* exec_cond: handlers of SETcc and CMOVcc. */
#include "hw/cpu/op.h"

#define SETCC(cc, ...)                                                                                                 \
	static HANDLER(setcc_##cc)                                                                                     \
	{                                                                                                              \
		SET_REG(1, o->dst, lazy_condition(cc, fres, faux));                                                    \
		NEXT(o + 1);                                                                                           \
	}
CONDITIONS(SETCC)

/* A 32-bit CMOV clears the upper half even if nothing is moved; the load happens in any case (SDM 2A CMOVcc). */
#define CMOV(cc, size)                                                                                                 \
	static HANDLER(cmov_rr_##size##_##cc)                                                                          \
	{                                                                                                              \
		UTYPE(size) v = lazy_condition(cc, fres, faux) ? REG(size, o->src) : REG(size, o->dst);                \
		SET_REG(size, o->dst, v);                                                                              \
		NEXT(o + 1);                                                                                           \
	}
#define CMOV_MEM(cc, size, ea)                                                                                         \
	static HANDLER(cmov_r_##ea##_##size##_##cc)                                                                    \
	{                                                                                                              \
		UTYPE(size) v;                                                                                         \
		LOAD(size, EA_##ea(o), v);                                                                             \
		SET_REG(size, o->dst, lazy_condition(cc, fres, faux) ? v : REG(size, o->dst));                         \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
#define CMOV_ALL(cc, ...)                                                                                              \
	CMOV(cc, 4)                                                                                                    \
	CMOV(cc, 8)                                                                                                    \
	CMOV_MEM(cc, 4, bd)                                                                                            \
	CMOV_MEM(cc, 8, bd)                                                                                            \
	CMOV_MEM(cc, 4, bis)                                                                                           \
	CMOV_MEM(cc, 8, bis)
CONDITIONS(CMOV_ALL)

int setcc_condition(u16 mnemonic)
{
	static const u16 names[16] = {
		ZYDIS_MNEMONIC_SETO, ZYDIS_MNEMONIC_SETNO, ZYDIS_MNEMONIC_SETB,	 ZYDIS_MNEMONIC_SETNB,
		ZYDIS_MNEMONIC_SETZ, ZYDIS_MNEMONIC_SETNZ, ZYDIS_MNEMONIC_SETBE, ZYDIS_MNEMONIC_SETNBE,
		ZYDIS_MNEMONIC_SETS, ZYDIS_MNEMONIC_SETNS, ZYDIS_MNEMONIC_SETP,	 ZYDIS_MNEMONIC_SETNP,
		ZYDIS_MNEMONIC_SETL, ZYDIS_MNEMONIC_SETNL, ZYDIS_MNEMONIC_SETLE, ZYDIS_MNEMONIC_SETNLE,
	};

	for (int cc = 0; cc < 16; cc++) {
		if (names[cc] == mnemonic)
			return cc;
	}
	return -1;
}

int cmovcc_condition(u16 mnemonic)
{
	static const u16 names[16] = {
		ZYDIS_MNEMONIC_CMOVO, ZYDIS_MNEMONIC_CMOVNO, ZYDIS_MNEMONIC_CMOVB,  ZYDIS_MNEMONIC_CMOVNB,
		ZYDIS_MNEMONIC_CMOVZ, ZYDIS_MNEMONIC_CMOVNZ, ZYDIS_MNEMONIC_CMOVBE, ZYDIS_MNEMONIC_CMOVNBE,
		ZYDIS_MNEMONIC_CMOVS, ZYDIS_MNEMONIC_CMOVNS, ZYDIS_MNEMONIC_CMOVP,  ZYDIS_MNEMONIC_CMOVNP,
		ZYDIS_MNEMONIC_CMOVL, ZYDIS_MNEMONIC_CMOVNL, ZYDIS_MNEMONIC_CMOVLE, ZYDIS_MNEMONIC_CMOVNLE,
	};

	for (int cc = 0; cc < 16; cc++) {
		if (names[cc] == mnemonic)
			return cc;
	}
	return -1;
}

op_fn exec_cond_handler(const struct insn *i, enum form form)
{
#define SETCC_ROW(cc, ...) [cc] = setcc_##cc,
#define CMOV_ROW(cc, name) [cc] = name##_##cc,
	static const op_fn setcc[16] = {CONDITIONS(SETCC_ROW)};
	static const op_fn cmov[FORM_COUNT][2][16] = {
		[FORM_RR] = {{CONDITIONS(CMOV_ROW, cmov_rr_4)}, {CONDITIONS(CMOV_ROW, cmov_rr_8)}},
		[FORM_R_BD] = {{CONDITIONS(CMOV_ROW, cmov_r_bd_4)}, {CONDITIONS(CMOV_ROW, cmov_r_bd_8)}},
		[FORM_R_BIS] = {{CONDITIONS(CMOV_ROW, cmov_r_bis_4)}, {CONDITIONS(CMOV_ROW, cmov_r_bis_8)}},
	};
	int cc = setcc_condition(i->mnemonic);

	if (cc >= 0)
		return form == FORM_R ? setcc[cc] : NULL;
	cc = cmovcc_condition(i->mnemonic);
	if (cc < 0 || i->op[0].size < 4)
		return NULL;
	return cmov[form][i->op[0].size == 8][cc];
}
