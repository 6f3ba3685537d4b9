// SPDX-License-Identifier: Apache-2.0
/*
 * exec_fused: CMP or TEST together with the Jcc behind it. The flags are kept as always; the branch compares the
 * operands themselves. The Jcc has its own op (o + 1), where execution continues if the comparison took the slow path;
 * the links follow that.
 */
#include "hw/cpu/op.h"

#define S(size, v) ((STYPE(size))(v))

static inline __attribute__((always_inline)) bool cmp_condition(unsigned int cc, u64 a, u64 b, s64 sa, s64 sb, u64 fres,
								u64 faux)
{
	switch (cc) {
	case 2:
		return a < b;
	case 3:
		return a >= b;
	case 4:
		return a == b;
	case 5:
		return a != b;
	case 6:
		return a <= b;
	case 7:
		return a > b;
	case 12:
		return sa < sb;
	case 13:
		return sa >= sb;
	case 14:
		return sa <= sb;
	case 15:
		return sa > sb;
	default:
		return lazy_condition(cc, fres, faux);
	}
}

/* CF and OF are clear after TEST. */
static inline __attribute__((always_inline)) bool test_condition(unsigned int cc, s64 r)
{
	switch (cc) {
	case 0:
	case 2:
		return false;
	case 1:
	case 3:
		return true;
	case 4:
	case 6:
		return r == 0;
	case 5:
	case 7:
		return r != 0;
	case 8:
	case 12:
		return r < 0;
	case 9:
	case 13:
		return r >= 0;
	case 10:
		return !__builtin_parity((u8)r);
	case 11:
		return __builtin_parity((u8)r);
	case 14:
		return r <= 0;
	default:
		return r > 0;
	}
}

#define CMP_TAIL(cc, size)                                                                                             \
	do {                                                                                                           \
		struct hw_flags f = flags_sub(a, b, a - b, size);                                                      \
		fres = f.res;                                                                                          \
		faux = f.aux;                                                                                          \
		if (cmp_condition(cc, a, b, S(size, a), S(size, b), fres, faux))                                       \
			BRANCH(o + 2);                                                                                 \
		BRANCH(o + 3);                                                                                         \
	} while (0)
#define TEST_TAIL(cc, size)                                                                                            \
	do {                                                                                                           \
		fres = (u64)(s64)S(size, a & b);                                                                       \
		faux = 0;                                                                                              \
		if (test_condition(cc, (s64)fres))                                                                     \
			BRANCH(o + 2);                                                                                 \
		BRANCH(o + 3);                                                                                         \
	} while (0)

#define FUSED_REG(cc, name, TAIL, size)                                                                                \
	static HANDLER(name##_rr_##size##_##cc)                                                                        \
	{                                                                                                              \
		u64 a = REG(size, o->dst), b = REG(size, o->src);                                                      \
		TAIL(cc, size);                                                                                        \
	}                                                                                                              \
	static HANDLER(name##_ri_##size##_##cc)                                                                        \
	{                                                                                                              \
		u64 a = REG(size, o->dst), b = (UTYPE(size))o->imm64;                                                  \
		TAIL(cc, size);                                                                                        \
	}
#define FUSED_MEM(cc, name, TAIL, size, ea, suffix, operand)                                                           \
	static HANDLER(name##_##ea##_##suffix##_##size##_##cc)                                                         \
	{                                                                                                              \
		u64 a, b = operand;                                                                                    \
		LOAD(size, EA_##ea(o), a);                                                                             \
		TAIL(cc, size);                                                                                        \
		COLD_ENDS;                                                                                             \
	}
#define FUSED_LOAD(cc, name, TAIL, size, ea)                                                                           \
	static HANDLER(name##_r_##ea##_##size##_##cc)                                                                  \
	{                                                                                                              \
		u64 a = REG(size, o->dst), b;                                                                          \
		LOAD(size, EA_##ea(o), b);                                                                             \
		TAIL(cc, size);                                                                                        \
		COLD_ENDS;                                                                                             \
	}
#define FUSED_IMMEDIATE(cc, name, TAIL, size, ea) FUSED_MEM(cc, name, TAIL, size, ea, i, (UTYPE(size))(s64)o->imm)
#define FUSED_REGISTER(cc, name, TAIL, size, ea)  FUSED_MEM(cc, name, TAIL, size, ea, r, REG(size, o->src))

#define CMP_FUSED(cc, size)                                                                                            \
	FUSED_REG(cc, cmp, CMP_TAIL, size)                                                                             \
	FUSED_IMMEDIATE(cc, cmp, CMP_TAIL, size, bd)                                                                   \
	FUSED_IMMEDIATE(cc, cmp, CMP_TAIL, size, bis)                                                                  \
	FUSED_REGISTER(cc, cmp, CMP_TAIL, size, bd)                                                                    \
	FUSED_LOAD(cc, cmp, CMP_TAIL, size, bd)
#define TEST_FUSED(cc, size)                                                                                           \
	FUSED_REG(cc, test, TEST_TAIL, size)                                                                           \
	FUSED_IMMEDIATE(cc, test, TEST_TAIL, size, bd)

#define FUSED(cc, ...)                                                                                                 \
	CMP_FUSED(cc, 1)                                                                                               \
	CMP_FUSED(cc, 2)                                                                                               \
	CMP_FUSED(cc, 4)                                                                                               \
	CMP_FUSED(cc, 8)                                                                                               \
	TEST_FUSED(cc, 1)                                                                                              \
	TEST_FUSED(cc, 4)                                                                                              \
	TEST_FUSED(cc, 8)
CONDITIONS(FUSED)

#define ROW(cc, name) [cc] = name##_##cc,
#define CMP_SIZES(name)                                                                                                \
	{                                                                                                              \
		{CONDITIONS(ROW, name##_1)}, {CONDITIONS(ROW, name##_2)}, {CONDITIONS(ROW, name##_4)},                 \
		{                                                                                                      \
			CONDITIONS(ROW, name##_8)                                                                      \
		}                                                                                                      \
	}
#define TEST_SIZES(name)                                                                                               \
	{                                                                                                              \
		{CONDITIONS(ROW, name##_1)}, {NULL}, {CONDITIONS(ROW, name##_4)},                                      \
		{                                                                                                      \
			CONDITIONS(ROW, name##_8)                                                                      \
		}                                                                                                      \
	}

static const op_fn fused_cmp[FORM_COUNT][4][16] = {
	[FORM_RR] = CMP_SIZES(cmp_rr),	     [FORM_RI] = CMP_SIZES(cmp_ri),	[FORM_BD_I] = CMP_SIZES(cmp_bd_i),
	[FORM_BIS_I] = CMP_SIZES(cmp_bis_i), [FORM_BD_R] = CMP_SIZES(cmp_bd_r), [FORM_R_BD] = CMP_SIZES(cmp_r_bd),
};
static const op_fn fused_test[FORM_COUNT][4][16] = {
	[FORM_RR] = TEST_SIZES(test_rr),
	[FORM_RI] = TEST_SIZES(test_ri),
	[FORM_BD_I] = TEST_SIZES(test_bd_i),
};

op_fn exec_fused_handler(const struct insn *compare, enum form form, const struct insn *jcc)
{
	int cc = jcc_condition(jcc->mnemonic);

	if (cc < 0)
		return NULL;
	if (compare->mnemonic == ZYDIS_MNEMONIC_CMP)
		return fused_cmp[form][size_index(compare->op[0].size)][cc];
	if (compare->mnemonic == ZYDIS_MNEMONIC_TEST)
		return fused_test[form][size_index(compare->op[0].size)][cc];
	return NULL;
}
