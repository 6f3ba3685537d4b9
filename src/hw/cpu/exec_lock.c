// SPDX-License-Identifier: Apache-2.0
/*
 * exec_lock: handlers of read-modify-writes that are atomic between vCPUs. XADD and CMPXCHG use them without LOCK too:
 * more atomic than asked for.
 */
#include "hw/cpu/op.h"

#define RAX GPR_OFFSET(HW_RAX)

#define RMW_HOST(size, ea)                                                                                             \
	u64 lin = EA_##ea(o), host;                                                                                    \
	TLB_HOST(tlb_write, lin, size, host, slow)

#define SET_FLAGS(value)                                                                                               \
	do {                                                                                                           \
		struct hw_flags f_ = (value);                                                                          \
		fres = f_.res;                                                                                         \
		faux = f_.aux;                                                                                         \
	} while (0)

#define LOCK_XADD(size, ea)                                                                                            \
	static HANDLER(xadd_##ea##_##size)                                                                             \
	{                                                                                                              \
		u64 v = REG(size, o->src), b = v;                                                                      \
		RMW_HOST(size, ea);                                                                                    \
		UACCESS_XADD_##size(host, v, gone);                                                                    \
		v = (UTYPE(size))v;                                                                                    \
		SET_REG(size, o->src, v);                                                                              \
		SET_FLAGS(flags_add(v, b, v + b, size));                                                               \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}                                                                                                              \
	static HANDLER(cmpxchg_##ea##_##size)                                                                          \
	{                                                                                                              \
		u64 acc = REG(size, RAX), old = acc, new_value = REG(size, o->src);                                    \
		bool swapped;                                                                                          \
		RMW_HOST(size, ea);                                                                                    \
		UACCESS_CMPXCHG_##size(host, old, new_value, swapped, gone);                                           \
		old = (UTYPE(size))old;                                                                                \
		if (!swapped)                                                                                          \
			SET_REG(size, RAX, old);                                                                       \
		SET_FLAGS(flags_sub(acc, old, acc - old, size));                                                       \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}

#define LOCK_ADD(size, ea, suffix, operand)                                                                            \
	static HANDLER(add_##ea##_##suffix##_##size)                                                                   \
	{                                                                                                              \
		u64 b = (operand), v = b;                                                                              \
		RMW_HOST(size, ea);                                                                                    \
		UACCESS_XADD_##size(host, v, gone);                                                                    \
		v = (UTYPE(size))v;                                                                                    \
		SET_FLAGS(flags_add(v, b, v + b, size));                                                               \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}                                                                                                              \
	static HANDLER(sub_##ea##_##suffix##_##size)                                                                   \
	{                                                                                                              \
		u64 b = (operand), v = -b;                                                                             \
		RMW_HOST(size, ea);                                                                                    \
		UACCESS_XADD_##size(host, v, gone);                                                                    \
		v = (UTYPE(size))v;                                                                                    \
		SET_FLAGS(flags_sub(v, b, v - b, size));                                                               \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
#define LOCK_LOGIC(name, operator, size, ea, suffix, operand)                                                          \
	static HANDLER(name##_##ea##_##suffix##_##size)                                                                \
	{                                                                                                              \
		u64 b = (operand), old, r;                                                                             \
		bool swapped;                                                                                          \
		RMW_HOST(size, ea);                                                                                    \
		UACCESS_LOAD(size, host, old, gone);                                                                   \
		do {                                                                                                   \
			r = old operator b;                                                                            \
			UACCESS_CMPXCHG_##size(host, old, r, swapped, gone);                                           \
		} while (unlikely(!swapped));                                                                          \
		SET_FLAGS(flags_logic(r, size));                                                                       \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
/* INC and DEC keep CF. */
#define LOCK_STEP(name, one, flags_fn, size, ea)                                                                       \
	static HANDLER(name##_##ea##_##size)                                                                           \
	{                                                                                                              \
		u64 v = (u64)(one);                                                                                    \
		RMW_HOST(size, ea);                                                                                    \
		UACCESS_XADD_##size(host, v, gone);                                                                    \
		v = (UTYPE(size))v;                                                                                    \
		SET_FLAGS(flags_with_cf(flags_fn(v, 1, v + (u64)(one), size), faux >> 63));                            \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}

#define LOCK_OPERAND(size, ea, suffix, operand)                                                                        \
	LOCK_ADD(size, ea, suffix, operand)                                                                            \
	LOCK_LOGIC(and, &, size, ea, suffix, operand)                                                                  \
	LOCK_LOGIC(or, |, size, ea, suffix, operand)                                                                   \
	LOCK_LOGIC(xor, ^, size, ea, suffix, operand)
#define LOCK_EA(size, ea)                                                                                              \
	LOCK_XADD(size, ea)                                                                                            \
	LOCK_STEP(inc, 1, flags_add, size, ea)                                                                         \
	LOCK_STEP(dec, -1, flags_sub, size, ea)                                                                        \
	LOCK_OPERAND(size, ea, r, REG(size, o->src))                                                                   \
	LOCK_OPERAND(size, ea, i, (UTYPE(size))(s64)o->imm)
#define LOCK_SIZE(size) LOCK_EA(size, bd) LOCK_EA(size, bis)
LOCK_SIZE(1)
LOCK_SIZE(2)
LOCK_SIZE(4)
LOCK_SIZE(8)

#define SIZES(prefix)                                                                                                  \
	{                                                                                                              \
		prefix##_1, prefix##_2, prefix##_4, prefix##_8                                                         \
	}
#define BOTH(name)                                                                                                     \
	{                                                                                                              \
		[FORM_BD_R] = SIZES(name##_bd_r), [FORM_BIS_R] = SIZES(name##_bis_r),                                  \
		[FORM_BD_I] = SIZES(name##_bd_i), [FORM_BIS_I] = SIZES(name##_bis_i),                                  \
	}
#define REGISTER(name)                                                                                                 \
	{                                                                                                              \
		[FORM_BD_R] = SIZES(name##_bd), [FORM_BIS_R] = SIZES(name##_bis)                                       \
	}
#define ALONE(name)                                                                                                    \
	{                                                                                                              \
		[FORM_BD] = SIZES(name##_bd), [FORM_BIS] = SIZES(name##_bis)                                           \
	}

op_fn exec_lock_handler(const struct insn *i, enum form form)
{
	static const struct {
		u16 mnemonic;
		bool needs_lock;
		op_fn handlers[FORM_COUNT][4];
	} names[] = {
		{ZYDIS_MNEMONIC_XADD, false, REGISTER(xadd)}, {ZYDIS_MNEMONIC_CMPXCHG, false, REGISTER(cmpxchg)},
		{ZYDIS_MNEMONIC_ADD, true, BOTH(add)},	      {ZYDIS_MNEMONIC_SUB, true, BOTH(sub)},
		{ZYDIS_MNEMONIC_AND, true, BOTH(and)},	      {ZYDIS_MNEMONIC_OR, true, BOTH(or)},
		{ZYDIS_MNEMONIC_XOR, true, BOTH(xor)},	      {ZYDIS_MNEMONIC_INC, true, ALONE(inc)},
		{ZYDIS_MNEMONIC_DEC, true, ALONE(dec)},
	};

	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		if (names[k].mnemonic == i->mnemonic && (i->lock || !names[k].needs_lock))
			return names[k].handlers[form][size_index(i->op[0].size)];
	}
	return NULL;
}
