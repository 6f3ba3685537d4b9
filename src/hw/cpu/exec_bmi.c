// SPDX-License-Identifier: Apache-2.0
/* exec_bmi: handlers of the BMI1, BMI2, LZCNT and POPCNT instructions that compilers and decompressors use. */
#include "hw/cpu/op.h"

#define RDX GPR_OFFSET(HW_RDX)

#define SET_FLAGS(value)                                                                                               \
	do {                                                                                                           \
		struct hw_flags f_ = (value);                                                                          \
		fres = f_.res;                                                                                         \
		faux = f_.aux;                                                                                         \
	} while (0)

/* SHLX, SHRX, SARX change no flags. */
#define SHLX(size, v, n) SET_REG(size, o->dst, (UTYPE(size))((v) << ((n) & (8 * (size)-1))))
#define SHRX(size, v, n) SET_REG(size, o->dst, (UTYPE(size))((v) >> ((n) & (8 * (size)-1))))
#define SARX(size, v, n) SET_REG(size, o->dst, (UTYPE(size))((STYPE(size))(v) >> ((n) & (8 * (size)-1))))

/* The bits below the index; CF tells that it is out of range. */
#define BZHI(size, v, n)                                                                                               \
	do {                                                                                                           \
		unsigned int n_ = (u8)(n);                                                                             \
		bool all_ = n_ >= 8 * (size);                                                                          \
		UTYPE(size) r_ = all_ ? (v) : (v) & (UTYPE(size))(((u64)1 << (n_ & 63)) - 1);                          \
		SET_REG(size, o->dst, r_);                                                                             \
		SET_FLAGS(flags_with_cf_of(flags_logic(r_, size), all_, 0));                                           \
	} while (0)

#define THREE_MEM(name, STEP, size, ea)                                                                                \
	static HANDLER(name##_r_##ea##_r_##size)                                                                       \
	{                                                                                                              \
		UTYPE(size) v;                                                                                         \
		LOAD(size, EA_##ea(o), v);                                                                             \
		STEP(size, v, REG(size, o->src2));                                                                     \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
#define THREE_SIZE(name, STEP, size)                                                                                   \
	static HANDLER(name##_rrr_##size)                                                                              \
	{                                                                                                              \
		STEP(size, REG(size, o->src), REG(size, o->src2));                                                     \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	THREE_MEM(name, STEP, size, bd)                                                                                \
	THREE_MEM(name, STEP, size, bis)
#define THREE(name, STEP) THREE_SIZE(name, STEP, 4) THREE_SIZE(name, STEP, 8)
THREE(shlx, SHLX)
THREE(shrx, SHRX)
THREE(sarx, SARX)
THREE(bzhi, BZHI)

#define PLAIN(size)                                                                                                    \
	static HANDLER(rorx_##size)                                                                                    \
	{                                                                                                              \
		UTYPE(size) v = REG(size, o->src);                                                                     \
		unsigned int n = o->imm64 & (8 * (size)-1);                                                            \
		SET_REG(size, o->dst, (UTYPE(size))(v >> n | v << (-n & (8 * (size)-1))));                             \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(andn_##size)                                                                                    \
	{                                                                                                              \
		UTYPE(size) r = ~REG(size, o->src) & REG(size, o->src2);                                               \
		SET_REG(size, o->dst, r);                                                                              \
		SET_FLAGS(flags_logic(r, size));                                                                       \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(lzcnt_##size)                                                                                   \
	{                                                                                                              \
		u64 v = REG(size, o->src);                                                                             \
		u64 r = v ? (u64)__builtin_clzll(v) - (64 - 8 * (size)) : 8 * (size);                                  \
		SET_REG(size, o->dst, r);                                                                              \
		SET_FLAGS(flags_with_cf_of(flags_logic(r, size), v == 0, 0));                                          \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	/* RDX times the source: high half to the first operand, low half to the second, which loses if they are one   \
	 */                                                                                                            \
	static HANDLER(mulx_##size)                                                                                    \
	{                                                                                                              \
		unsigned __int128 r = (unsigned __int128)REG(size, RDX) * REG(size, o->src2);                          \
		SET_REG(size, o->src, (UTYPE(size))r);                                                                 \
		SET_REG(size, o->dst, (UTYPE(size))(r >> (8 * (size))));                                               \
		NEXT(o + 1);                                                                                           \
	}
PLAIN(4)
PLAIN(8)

#define PAIR(name)                                                                                                     \
	{                                                                                                              \
		name##_4, name##_8                                                                                     \
	}
#define THREE_FORMS(name)                                                                                              \
	{                                                                                                              \
		[FORM_RRR] = PAIR(name##_rrr), [FORM_R_BD_R] = PAIR(name##_r_bd_r),                                    \
		[FORM_R_BIS_R] = PAIR(name##_r_bis_r),                                                                 \
	}

op_fn exec_bmi_handler(const struct insn *i, enum form form)
{
	static const struct {
		u16 mnemonic;
		op_fn handlers[FORM_COUNT][2];
	} names[] = {
		{ZYDIS_MNEMONIC_SHLX, THREE_FORMS(shlx)},	  {ZYDIS_MNEMONIC_SHRX, THREE_FORMS(shrx)},
		{ZYDIS_MNEMONIC_SARX, THREE_FORMS(sarx)},	  {ZYDIS_MNEMONIC_BZHI, THREE_FORMS(bzhi)},
		{ZYDIS_MNEMONIC_RORX, {[FORM_RRI] = PAIR(rorx)}}, {ZYDIS_MNEMONIC_ANDN, {[FORM_RRR] = PAIR(andn)}},
		{ZYDIS_MNEMONIC_MULX, {[FORM_RRR] = PAIR(mulx)}}, {ZYDIS_MNEMONIC_LZCNT, {[FORM_RR] = PAIR(lzcnt)}},
	};

	if (i->op[0].size < 4)
		return NULL;
	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		if (names[k].mnemonic == i->mnemonic)
			return names[k].handlers[form][i->op[0].size == 8];
	}
	return NULL;
}
