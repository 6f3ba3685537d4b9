// SPDX-License-Identifier: Apache-2.0
/* exec_alu: handlers of ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST and of INC, DEC, NEG, NOT. */
#include "hw/cpu/op.h"

enum alu_op { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST, ALU_COUNT };

static inline __attribute__((always_inline)) u64 alu(enum alu_op op, unsigned int size, u64 a, u64 b, u64 *fres,
						     u64 *faux)
{
	struct hw_flags f;
	u64 r;

	switch (op) {
	case ALU_ADD:
		r = a + b;
		f = flags_add(a, b, r, size);
		break;
	case ALU_ADC:
		r = a + b + (*faux >> 63);
		f = flags_add(a, b, r, size);
		break;
	case ALU_SBB:
		r = a - b - (*faux >> 63);
		f = flags_sub(a, b, r, size);
		break;
	case ALU_SUB:
	case ALU_CMP:
		r = a - b;
		f = flags_sub(a, b, r, size);
		break;
	case ALU_OR:
		r = a | b;
		f = flags_logic(r, size);
		break;
	case ALU_XOR:
		r = a ^ b;
		f = flags_logic(r, size);
		break;
	default:
		r = a & b;
		f = flags_logic(r, size);
		break;
	}
	*fres = f.res;
	*faux = f.aux;
	return r;
}

#define WRITES(op) ((op) != ALU_CMP && (op) != ALU_TEST)

/* Operations in registers */
#define ALU_REG(name, op, size)                                                                                        \
	static HANDLER(name##_rr_##size)                                                                               \
	{                                                                                                              \
		u64 r = alu(op, size, REG(size, o->dst), REG(size, o->src), &fres, &faux);                             \
		if (WRITES(op))                                                                                        \
			SET_REG(size, o->dst, r);                                                                      \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(name##_ri_##size)                                                                               \
	{                                                                                                              \
		u64 r = alu(op, size, REG(size, o->dst), (UTYPE(size))o->imm64, &fres, &faux);                         \
		if (WRITES(op))                                                                                        \
			SET_REG(size, o->dst, r);                                                                      \
		NEXT(o + 1);                                                                                           \
	}
#define ALU_LOAD(name, op, size, ea)                                                                                   \
	static HANDLER(name##_r_##ea##_##size)                                                                         \
	{                                                                                                              \
		u64 b, r;                                                                                              \
		LOAD(size, EA_##ea(o), b);                                                                             \
		r = alu(op, size, REG(size, o->dst), b, &fres, &faux);                                                 \
		if (WRITES(op))                                                                                        \
			SET_REG(size, o->dst, r);                                                                      \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
/* Memory destination: the store's check comes first and covers the load. */
#define ALU_RMW(name, op, size, ea, suffix, operand)                                                                   \
	static HANDLER(name##_##ea##_##suffix##_##size)                                                                \
	{                                                                                                              \
		u64 lin = EA_##ea(o), host, a, new_res = fres, new_aux = faux, r;                                      \
		if (WRITES(op))                                                                                        \
			TLB_HOST(tlb_write, lin, size, host, slow);                                                    \
		else                                                                                                   \
			TLB_HOST(tlb_read, lin, size, host, slow);                                                     \
		UACCESS_LOAD(size, host, a, gone);                                                                     \
		r = alu(op, size, (UTYPE(size))a, operand, &new_res, &new_aux);                                        \
		if (WRITES(op))                                                                                        \
			UACCESS_STORE(size, host, r, gone);                                                            \
		fres = new_res;                                                                                        \
		faux = new_aux;                                                                                        \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
#define ALU_SIZE(name, op, size)                                                                                       \
	ALU_REG(name, op, size)                                                                                        \
	ALU_LOAD(name, op, size, bd)                                                                                   \
	ALU_LOAD(name, op, size, bis)                                                                                  \
	ALU_RMW(name, op, size, bd, r, REG(size, o->src))                                                              \
	ALU_RMW(name, op, size, bis, r, REG(size, o->src))                                                             \
	ALU_RMW(name, op, size, bd, i, (UTYPE(size))(s64)o->imm)                                                       \
	ALU_RMW(name, op, size, bis, i, (UTYPE(size))(s64)o->imm)
#define ALU(name, op) ALU_SIZE(name, op, 1) ALU_SIZE(name, op, 2) ALU_SIZE(name, op, 4) ALU_SIZE(name, op, 8)

ALU(add, ALU_ADD)
ALU(or, ALU_OR)
ALU(adc, ALU_ADC)
ALU(sbb, ALU_SBB)
ALU(and, ALU_AND)
ALU(sub, ALU_SUB)
ALU(xor, ALU_XOR)
ALU(cmp, ALU_CMP)
ALU(test, ALU_TEST)

#define SIZES(prefix)                                                                                                  \
	{                                                                                                              \
		prefix##_1, prefix##_2, prefix##_4, prefix##_8                                                         \
	}
#define ALU_ROW(name)                                                                                                  \
	{                                                                                                              \
		[FORM_RR] = SIZES(name##_rr), [FORM_RI] = SIZES(name##_ri), [FORM_R_BD] = SIZES(name##_r_bd),          \
		[FORM_R_BIS] = SIZES(name##_r_bis), [FORM_BD_R] = SIZES(name##_bd_r),                                  \
		[FORM_BIS_R] = SIZES(name##_bis_r), [FORM_BD_I] = SIZES(name##_bd_i),                                  \
		[FORM_BIS_I] = SIZES(name##_bis_i),                                                                    \
	}

static const op_fn alu_handlers[ALU_COUNT][FORM_COUNT][4] = {
	[ALU_ADD] = ALU_ROW(add), [ALU_OR] = ALU_ROW(or),   [ALU_ADC] = ALU_ROW(adc),
	[ALU_SBB] = ALU_ROW(sbb), [ALU_AND] = ALU_ROW(and), [ALU_SUB] = ALU_ROW(sub),
	[ALU_XOR] = ALU_ROW(xor), [ALU_CMP] = ALU_ROW(cmp), [ALU_TEST] = ALU_ROW(test),
};

/* XOR r, r and SUB r, r: the usual way to write zero. */
#define ZERO_REG(size)                                                                                                 \
	static HANDLER(zero_##size)                                                                                    \
	{                                                                                                              \
		SET_REG(size, o->dst, 0);                                                                              \
		fres = 0;                                                                                              \
		faux = 0;                                                                                              \
		NEXT(o + 1);                                                                                           \
	}
ZERO_REG(4)
ZERO_REG(8)

op_fn exec_alu_handler(const struct insn *i, enum form form)
{
	static const struct {
		u16 mnemonic;
		u8 op;
	} names[] = {
		{ZYDIS_MNEMONIC_ADD, ALU_ADD}, {ZYDIS_MNEMONIC_OR, ALU_OR},   {ZYDIS_MNEMONIC_ADC, ALU_ADC},
		{ZYDIS_MNEMONIC_SBB, ALU_SBB}, {ZYDIS_MNEMONIC_AND, ALU_AND}, {ZYDIS_MNEMONIC_SUB, ALU_SUB},
		{ZYDIS_MNEMONIC_XOR, ALU_XOR}, {ZYDIS_MNEMONIC_CMP, ALU_CMP}, {ZYDIS_MNEMONIC_TEST, ALU_TEST},
	};
	unsigned int size = i->op[0].size;

	if (form == FORM_RR && (i->mnemonic == ZYDIS_MNEMONIC_XOR || i->mnemonic == ZYDIS_MNEMONIC_SUB) && size >= 4 &&
	    i->op[0].reg == i->op[1].reg)
		return size == 4 ? zero_4 : zero_8;
	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		if (names[k].mnemonic == i->mnemonic)
			return alu_handlers[names[k].op][form][size_index(size)];
	}
	return NULL;
}

/* ---------------------------------------------------------------- one operand */

enum unary_op { UNARY_INC, UNARY_DEC, UNARY_NEG, UNARY_NOT, UNARY_COUNT };

/* INC and DEC leave CF alone; NOT changes no flag. */
static inline __attribute__((always_inline)) u64 unary(enum unary_op op, unsigned int size, u64 a, u64 *fres, u64 *faux)
{
	struct hw_flags f = {*fres, *faux};
	u64 r;

	switch (op) {
	case UNARY_INC:
		r = a + 1;
		f = flags_with_cf(flags_add(a, 1, r, size), flags_cf(f));
		break;
	case UNARY_DEC:
		r = a - 1;
		f = flags_with_cf(flags_sub(a, 1, r, size), flags_cf(f));
		break;
	case UNARY_NEG:
		r = -a;
		f = flags_sub(0, a, r, size);
		break;
	default:
		r = ~a;
		break;
	}
	*fres = f.res;
	*faux = f.aux;
	return r;
}

#define UNARY_MEM(name, op, size, ea)                                                                                  \
	static HANDLER(name##_##ea##_##size)                                                                           \
	{                                                                                                              \
		u64 lin = EA_##ea(o), host, a, new_res = fres, new_aux = faux, r;                                      \
		TLB_HOST(tlb_write, lin, size, host, slow);                                                            \
		UACCESS_LOAD(size, host, a, gone);                                                                     \
		r = unary(op, size, (UTYPE(size))a, &new_res, &new_aux);                                               \
		UACCESS_STORE(size, host, r, gone);                                                                    \
		fres = new_res;                                                                                        \
		faux = new_aux;                                                                                        \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
#define UNARY_SIZE(name, op, size)                                                                                     \
	static HANDLER(name##_r_##size)                                                                                \
	{                                                                                                              \
		u64 r = unary(op, size, REG(size, o->dst), &fres, &faux);                                              \
		SET_REG(size, o->dst, r);                                                                              \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	UNARY_MEM(name, op, size, bd)                                                                                  \
	UNARY_MEM(name, op, size, bis)
#define UNARY(name, op) UNARY_SIZE(name, op, 1) UNARY_SIZE(name, op, 2) UNARY_SIZE(name, op, 4) UNARY_SIZE(name, op, 8)

UNARY(inc, UNARY_INC)
UNARY(dec, UNARY_DEC)
UNARY(neg, UNARY_NEG)
UNARY(not, UNARY_NOT)

#define UNARY_ROW(name)                                                                                                \
	{                                                                                                              \
		[FORM_R] = SIZES(name##_r), [FORM_BD] = SIZES(name##_bd), [FORM_BIS] = SIZES(name##_bis)               \
	}

static const op_fn unary_handlers[UNARY_COUNT][FORM_COUNT][4] = {
	[UNARY_INC] = UNARY_ROW(inc),
	[UNARY_DEC] = UNARY_ROW(dec),
	[UNARY_NEG] = UNARY_ROW(neg),
	[UNARY_NOT] = UNARY_ROW(not ),
};

op_fn exec_unary_handler(const struct insn *i, enum form form)
{
	enum unary_op op;

	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_INC:
		op = UNARY_INC;
		break;
	case ZYDIS_MNEMONIC_DEC:
		op = UNARY_DEC;
		break;
	case ZYDIS_MNEMONIC_NEG:
		op = UNARY_NEG;
		break;
	case ZYDIS_MNEMONIC_NOT:
		op = UNARY_NOT;
		break;
	default:
		return NULL;
	}
	return unary_handlers[op][form][size_index(i->op[0].size)];
}
