// SPDX-License-Identifier: Apache-2.0
/*
 * int_muldiv: multiplication and division.
 *
 * SF, ZF, AF, PF after a multiplication and all six flags after a division are undefined (SDM 2); they keep their
 * values.
 */
#include "hw/cpu/int.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

/* The double-width accumulator: AX for bytes, rDX:rAX otherwise. */
static void set_accumulator(struct hw_cpu *c, unsigned int size, u128 value)
{
	if (size == 1) {
		gpr_set(c, HW_RAX, 2, (u64)value);
		return;
	}
	gpr_set(c, HW_RAX, size, (u64)value);
	gpr_set(c, HW_RDX, size, (u64)(value >> (8 * size)));
}

static u128 get_accumulator(const struct hw_cpu *c, unsigned int size)
{
	if (size == 1)
		return gpr_get(c, HW_RAX, 2);
	return (u128)gpr_get(c, HW_RDX, size) << (8 * size) | gpr_get(c, HW_RAX, size);
}

int int_mul(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size, overflow;
	u128 product;
	u64 b;
	int err = insn_read(c, i, 0, &b);

	if (err)
		return err;
	product = (u128)gpr_get(c, HW_RAX, size) * b;
	set_accumulator(c, size, product);
	overflow = product >> (8 * size) != 0;
	c->flags = flags_with_cf_of(c->flags, overflow, overflow);
	return EXEC_OK;
}

static s128 signed_product(u64 a, u64 b, unsigned int size, unsigned int *overflow)
{
	s128 product = (s128)(s64)sign_extend(a, size) * (s64)sign_extend(b, size);

	*overflow = product != (s64)sign_extend((u64)product, size);
	return product;
}

int int_imul(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size, overflow;
	s128 product;
	u64 a, b;
	int err;

	if (i->nops == 1) {
		err = insn_read(c, i, 0, &b);
		if (err)
			return err;
		product = signed_product(gpr_get(c, HW_RAX, size), b, size, &overflow);
		set_accumulator(c, size, (u128)product);
	} else {
		err = insn_read(c, i, i->nops == 3 ? 1 : 0, &a);
		if (!err)
			err = int_source(c, i, i->nops == 3 ? 2 : 1, size, &b);
		if (err)
			return err;
		product = signed_product(a, b, size, &overflow);
		insn_write(c, i, 0, (u64)product & size_mask(size));
	}
	c->flags = flags_with_cf_of(c->flags, overflow, overflow);
	return EXEC_OK;
}

static void set_quotient(struct hw_cpu *c, unsigned int size, u64 quotient, u64 remainder)
{
	if (size == 1) {
		gpr_set(c, HW_RAX, 2, (quotient & 0xff) | (remainder & 0xff) << 8);
		return;
	}
	gpr_set(c, HW_RAX, size, quotient);
	gpr_set(c, HW_RDX, size, remainder);
}

int int_div(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size;
	u128 dividend;
	u64 divisor;
	int err = insn_read(c, i, 0, &divisor);

	if (err)
		return err;
	dividend = get_accumulator(c, size);
	if (divisor == 0 || dividend >> (8 * size) >= divisor)
		return cpu_raise(c, X86_DE);
	set_quotient(c, size, (u64)(dividend / divisor), (u64)(dividend % divisor));
	return EXEC_OK;
}

int int_idiv(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size, bits = 8 * size;
	u128 magnitude, quotient, limit;
	u64 divisor, remainder;
	bool negative, negative_dividend;
	int err = insn_read(c, i, 0, &divisor);

	if (err)
		return err;
	magnitude = get_accumulator(c, size);
	negative_dividend = magnitude >> (2 * bits - 1) & 1;
	if (negative_dividend)
		magnitude = bits == 64 ? -magnitude : -magnitude & (((u128)1 << (2 * bits)) - 1);
	negative = negative_dividend ^ (divisor >> (bits - 1) & 1);
	if (divisor >> (bits - 1) & 1)
		divisor = -divisor & size_mask(size);
	if (divisor == 0)
		return cpu_raise(c, X86_DE);
	quotient = magnitude / divisor;
	remainder = (u64)(magnitude % divisor);
	limit = ((u128)1 << (bits - 1)) - !negative;
	if (quotient > limit)
		return cpu_raise(c, X86_DE);
	set_quotient(c, size, negative ? -(u64)quotient : (u64)quotient, negative_dividend ? -remainder : remainder);
	return EXEC_OK;
}

/* No flags; the high half wins when both destinations are the same register (SDM 2 MULX). */
int int_mulx(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size;
	u128 product;
	u64 b;
	int err = insn_read(c, i, 2, &b);

	if (err)
		return err;
	product = (u128)gpr_get(c, HW_RDX, size) * b;
	insn_write(c, i, 1, (u64)product & size_mask(size));
	return insn_write(c, i, 0, (u64)(product >> (8 * size)) & size_mask(size));
}
