// SPDX-License-Identifier: Apache-2.0
/* exec_shift: handlers of shifts, rotates, multiplications, divisions and bit tests in registers. */
#include "hw/cpu/op.h"

#define RAX GPR_OFFSET(HW_RAX)
#define RCX GPR_OFFSET(HW_RCX)
#define RDX GPR_OFFSET(HW_RDX)

enum shift_op { SHIFT_SHL, SHIFT_SHR, SHIFT_SAR, SHIFT_ROL, SHIFT_ROR, SHIFT_COUNT };

/* `n` is masked and not 0. OF is defined for n == 1 only (SDM 2B SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR). */
static inline __attribute__((always_inline)) u64 shift(enum shift_op op, unsigned int size, u64 a, unsigned int n,
						       u64 *fres, u64 *faux)
{
	const unsigned int bits = 8 * size;
	struct hw_flags f = {*fres, *faux};
	unsigned int cf, of;
	u64 r;

	switch (op) {
	case SHIFT_SHL:
		r = a << n;
		cf = (size == 8 ? a >> (64 - n) : r >> bits) & 1;
		of = (r >> (bits - 1) & 1) ^ cf;
		break;
	case SHIFT_SHR:
		r = a >> n;
		cf = a >> (n - 1) & 1;
		of = a >> (bits - 1) & 1;
		break;
	case SHIFT_SAR:
		a = sign_extend(a, size);
		r = (u64)((s64)a >> n);
		cf = (u64)((s64)a >> (n - 1)) & 1;
		of = 0;
		break;
	case SHIFT_ROL:
		n &= bits - 1;
		r = n ? a << n | a >> (bits - n) : a;
		cf = r & 1;
		of = (r >> (bits - 1) & 1) ^ cf;
		break;
	default:
		n &= bits - 1;
		r = n ? a >> n | a << (bits - n) : a;
		cf = r >> (bits - 1) & 1;
		of = (r >> (bits - 2) & 1) ^ cf;
		break;
	}
	if (op <= SHIFT_SAR)
		f = flags_logic(r, size);
	f = flags_with_cf_of(f, cf, of);
	*fres = f.res;
	*faux = f.aux;
	return r;
}

#define SHIFT_SIZE(name, op, size)                                                                                     \
	static HANDLER(name##_i_##size)                                                                                \
	{                                                                                                              \
		u64 r = shift(op, size, REG(size, o->dst), (unsigned int)o->imm64, &fres, &faux);                      \
		SET_REG(size, o->dst, r);                                                                              \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(name##_cl_##size)                                                                               \
	{                                                                                                              \
		unsigned int n = REG(1, RCX) & ((size) == 8 ? 63 : 31);                                                \
		u64 a = REG(size, o->dst);                                                                             \
		if (n)                                                                                                 \
			a = shift(op, size, a, n, &fres, &faux);                                                       \
		SET_REG(size, o->dst, a);                                                                              \
		NEXT(o + 1);                                                                                           \
	}
#define SHIFT(name, op) SHIFT_SIZE(name, op, 1) SHIFT_SIZE(name, op, 2) SHIFT_SIZE(name, op, 4) SHIFT_SIZE(name, op, 8)

SHIFT(shl, SHIFT_SHL)
SHIFT(shr, SHIFT_SHR)
SHIFT(sar, SHIFT_SAR)
SHIFT(rol, SHIFT_ROL)
SHIFT(ror, SHIFT_ROR)

#define SIZES(prefix)                                                                                                  \
	{                                                                                                              \
		prefix##_1, prefix##_2, prefix##_4, prefix##_8                                                         \
	}

op_fn exec_shift_handler(const struct insn *i, enum form form)
{
	static const op_fn immediate[SHIFT_COUNT][4] = {SIZES(shl_i), SIZES(shr_i), SIZES(sar_i), SIZES(rol_i),
							SIZES(ror_i)};
	static const op_fn by_cl[SHIFT_COUNT][4] = {SIZES(shl_cl), SIZES(shr_cl), SIZES(sar_cl), SIZES(rol_cl),
						    SIZES(ror_cl)};
	unsigned int size = i->op[0].size;
	enum shift_op op;

	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_SHL:
		op = SHIFT_SHL;
		break;
	case ZYDIS_MNEMONIC_SHR:
		op = SHIFT_SHR;
		break;
	case ZYDIS_MNEMONIC_SAR:
		op = SHIFT_SAR;
		break;
	case ZYDIS_MNEMONIC_ROL:
		op = SHIFT_ROL;
		break;
	case ZYDIS_MNEMONIC_ROR:
		op = SHIFT_ROR;
		break;
	default:
		return NULL;
	}
	if (form == FORM_RI)
		return i->imm > 0 && i->imm < (size == 8 ? 64 : 32) ? immediate[op][size_index(size)] : NULL;
	return form == FORM_RR ? by_cl[op][size_index(size)] : NULL;
}

/* ---------------------------------------------------------------- multiplication, division */

#define IMUL_FLAGS(size, r, overflow)                                                                                  \
	do {                                                                                                           \
		struct hw_flags f_ = flags_with_cf_of(flags_logic((u64)(r), size), overflow, overflow);                \
		fres = f_.res;                                                                                         \
		faux = f_.aux;                                                                                         \
	} while (0)

#define IMUL_STEP(size, a, b)                                                                                          \
	do {                                                                                                           \
		STYPE(size) r_;                                                                                        \
		bool overflow_ = __builtin_mul_overflow((STYPE(size))(a), (STYPE(size))(b), &r_);                      \
		SET_REG(size, o->dst, (UTYPE(size))r_);                                                                \
		IMUL_FLAGS(size, r_, overflow_);                                                                       \
	} while (0)

#define IMUL_MEM(size, ea)                                                                                             \
	static HANDLER(imul_r_##ea##_##size)                                                                           \
	{                                                                                                              \
		UTYPE(size) v;                                                                                         \
		LOAD(size, EA_##ea(o), v);                                                                             \
		IMUL_STEP(size, REG(size, o->dst), v);                                                                 \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
#define IMUL(size)                                                                                                     \
	static HANDLER(imul_rr_##size)                                                                                 \
	{                                                                                                              \
		IMUL_STEP(size, REG(size, o->dst), REG(size, o->src));                                                 \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(imul_rri_##size)                                                                                \
	{                                                                                                              \
		IMUL_STEP(size, REG(size, o->src), o->imm64);                                                          \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	IMUL_MEM(size, bd)                                                                                             \
	IMUL_MEM(size, bis)
IMUL(4)
IMUL(8)

#define WIDE_4	u64
#define WIDE_8	unsigned __int128
#define SWIDE_4 s64
#define SWIDE_8 __int128

/* rDX:rAX = rAX * v */
#define MUL_STEP(size, v)                                                                                              \
	do {                                                                                                           \
		WIDE_##size r_ = (WIDE_##size)REG(size, RAX) * (v);                                                    \
		UTYPE(size) high_ = r_ >> (8 * (size));                                                                \
		SET_REG(size, RAX, (UTYPE(size))r_);                                                                   \
		SET_REG(size, RDX, high_);                                                                             \
		IMUL_FLAGS(size, r_, high_ != 0);                                                                      \
	} while (0)
#define WIDE_IMUL_STEP(size, v)                                                                                        \
	do {                                                                                                           \
		SWIDE_##size r_ = (SWIDE_##size)(STYPE(size))REG(size, RAX) * (STYPE(size))(v);                        \
		SET_REG(size, RAX, (UTYPE(size))r_);                                                                   \
		SET_REG(size, RDX, (UTYPE(size))(r_ >> (8 * (size))));                                                 \
		IMUL_FLAGS(size, r_, r_ != (STYPE(size))r_);                                                           \
	} while (0)
/* Divisions of rDX:rAX; what overflows raises #DE in op_generic(). */
#define DIV_STEP(size, v)                                                                                              \
	do {                                                                                                           \
		UTYPE(size) d_ = (v), high_ = REG(size, RDX), low_ = REG(size, RAX), q_, r_;                           \
		if (unlikely(high_ >= d_))                                                                             \
			CONTINUE_IN(op_generic, o);                                                                    \
		__asm__("div %4" : "=a"(q_), "=d"(r_) : "0"(low_), "1"(high_), "r"(d_) : "cc");                        \
		SET_REG(size, RAX, q_);                                                                                \
		SET_REG(size, RDX, r_);                                                                                \
	} while (0)
/* The usual case: a dividend that is only sign-extended, and a quotient that fits. */
#define IDIV_STEP(size, v)                                                                                             \
	do {                                                                                                           \
		STYPE(size) d_ = (STYPE(size))(v), high_ = REG(size, RDX), low_ = REG(size, RAX);                      \
		if (unlikely(high_ != low_ >> (8 * (size)-1) || d_ == 0 || d_ == -1))                                  \
			CONTINUE_IN(op_generic, o);                                                                    \
		SET_REG(size, RAX, (UTYPE(size))(low_ / d_));                                                          \
		SET_REG(size, RDX, (UTYPE(size))(low_ % d_));                                                          \
	} while (0)

#define ACCUMULATOR(name, STEP, size)                                                                                  \
	static HANDLER(name##_r_##size)                                                                                \
	{                                                                                                              \
		STEP(size, REG(size, o->dst));                                                                         \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(name##_bd_##size)                                                                               \
	{                                                                                                              \
		UTYPE(size) v;                                                                                         \
		LOAD(size, EA_bd(o), v);                                                                               \
		STEP(size, v);                                                                                         \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}                                                                                                              \
	static HANDLER(name##_bis_##size)                                                                              \
	{                                                                                                              \
		UTYPE(size) v;                                                                                         \
		LOAD(size, EA_bis(o), v);                                                                              \
		STEP(size, v);                                                                                         \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
#define MULDIV(size)                                                                                                   \
	ACCUMULATOR(mul, MUL_STEP, size)                                                                               \
	ACCUMULATOR(imul, WIDE_IMUL_STEP, size)                                                                        \
	ACCUMULATOR(div, DIV_STEP, size)                                                                               \
	ACCUMULATOR(idiv, IDIV_STEP, size)
MULDIV(4)
MULDIV(8)

op_fn exec_mul_handler(const struct insn *i, enum form form)
{
#define ACCUMULATOR_FORMS(name)                                                                                        \
	[FORM_R] = {name##_r_4, name##_r_8}, [FORM_BD] = {name##_bd_4, name##_bd_8}, [FORM_BIS] = {                    \
		name##_bis_4,                                                                                          \
		name##_bis_8                                                                                           \
	}
	static const op_fn imul[FORM_COUNT][2] = {
		ACCUMULATOR_FORMS(imul),
		[FORM_RR] = {imul_rr_4, imul_rr_8},
		[FORM_RRI] = {imul_rri_4, imul_rri_8},
		[FORM_R_BD] = {imul_r_bd_4, imul_r_bd_8},
		[FORM_R_BIS] = {imul_r_bis_4, imul_r_bis_8},
	};
	static const op_fn mul[FORM_COUNT][2] = {ACCUMULATOR_FORMS(mul)};
	static const op_fn div[FORM_COUNT][2] = {ACCUMULATOR_FORMS(div)};
	static const op_fn idiv[FORM_COUNT][2] = {ACCUMULATOR_FORMS(idiv)};
	bool wide = i->op[0].size == 8;

	if (i->op[0].size < 4)
		return NULL;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_IMUL:
		return imul[form][wide];
	case ZYDIS_MNEMONIC_MUL:
		return mul[form][wide];
	case ZYDIS_MNEMONIC_DIV:
		return div[form][wide];
	case ZYDIS_MNEMONIC_IDIV:
		return idiv[form][wide];
	default:
		return NULL;
	}
}

/* ---------------------------------------------------------------- bits */

#define SET_CF(value)                                                                                                  \
	do {                                                                                                           \
		struct hw_flags f_ = flags_with_cf((struct hw_flags){fres, faux}, (value));                            \
		fres = f_.res;                                                                                         \
		faux = f_.aux;                                                                                         \
	} while (0)

#define BIT_TEST(name, size, change)                                                                                   \
	static HANDLER(name##_rr_##size)                                                                               \
	{                                                                                                              \
		UTYPE(size) v = REG(size, o->dst), bit = (UTYPE(size))1 << (REG(1, o->src) & (8 * (size)-1));          \
		SET_CF((v & bit) != 0);                                                                                \
		change(size, v, bit);                                                                                  \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(name##_ri_##size)                                                                               \
	{                                                                                                              \
		UTYPE(size) v = REG(size, o->dst), bit = (UTYPE(size))1 << (o->imm64 & (8 * (size)-1));                \
		SET_CF((v & bit) != 0);                                                                                \
		change(size, v, bit);                                                                                  \
		NEXT(o + 1);                                                                                           \
	}
#define KEEP(size, v, bit)  (void)0
#define SET(size, v, bit)   SET_REG(size, o->dst, v | bit)
#define RESET(size, v, bit) SET_REG(size, o->dst, v & ~bit)
#define FLIP(size, v, bit)  SET_REG(size, o->dst, v ^ bit)
BIT_TEST(bt, 4, KEEP)
BIT_TEST(bt, 8, KEEP)
BIT_TEST(bts, 4, SET)
BIT_TEST(bts, 8, SET)
BIT_TEST(btr, 4, RESET)
BIT_TEST(btr, 8, RESET)
BIT_TEST(btc, 4, FLIP)
BIT_TEST(btc, 8, FLIP)

/* BSF and BSR of zero leave the destination alone, as every processor does, and set ZF. */
#define BIT_SCAN(size)                                                                                                 \
	static HANDLER(bsf_rr_##size)                                                                                  \
	{                                                                                                              \
		u64 v = REG(size, o->src);                                                                             \
		if (likely(v))                                                                                         \
			SET_REG(size, o->dst, (u64)__builtin_ctzll(v));                                                \
		fres = v != 0;                                                                                         \
		faux = 0;                                                                                              \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(bsr_rr_##size)                                                                                  \
	{                                                                                                              \
		u64 v = REG(size, o->src);                                                                             \
		if (likely(v))                                                                                         \
			SET_REG(size, o->dst, (u64)(63 - __builtin_clzll(v)));                                         \
		fres = v != 0;                                                                                         \
		faux = 0;                                                                                              \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(tzcnt_rr_##size)                                                                                \
	{                                                                                                              \
		u64 v = REG(size, o->src);                                                                             \
		fres = v ? (u64)__builtin_ctzll(v) : 8 * (size);                                                       \
		faux = (u64)(v == 0) << 63 | (u64)(v == 0) << 62;                                                      \
		SET_REG(size, o->dst, fres);                                                                           \
		NEXT(o + 1);                                                                                           \
	}
BIT_SCAN(4)
BIT_SCAN(8)

op_fn exec_bit_handler(const struct insn *i, enum form form)
{
#define PAIR(name)                                                                                                     \
	{                                                                                                              \
		name##_4, name##_8                                                                                     \
	}
	static const struct {
		u16 mnemonic;
		op_fn rr[2], ri[2];
	} names[] = {
		{ZYDIS_MNEMONIC_BT, PAIR(bt_rr), PAIR(bt_ri)},	      {ZYDIS_MNEMONIC_BTS, PAIR(bts_rr), PAIR(bts_ri)},
		{ZYDIS_MNEMONIC_BTR, PAIR(btr_rr), PAIR(btr_ri)},     {ZYDIS_MNEMONIC_BTC, PAIR(btc_rr), PAIR(btc_ri)},
		{ZYDIS_MNEMONIC_BSF, PAIR(bsf_rr), {NULL, NULL}},     {ZYDIS_MNEMONIC_BSR, PAIR(bsr_rr), {NULL, NULL}},
		{ZYDIS_MNEMONIC_TZCNT, PAIR(tzcnt_rr), {NULL, NULL}},
	};
	bool wide = i->op[0].size == 8;

	if (i->op[0].size < 4 || (form != FORM_RR && form != FORM_RI))
		return NULL;
	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		if (names[k].mnemonic == i->mnemonic)
			return form == FORM_RR ? names[k].rr[wide] : names[k].ri[wide];
	}
	return NULL;
}
