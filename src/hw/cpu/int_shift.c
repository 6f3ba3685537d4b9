// SPDX-License-Identifier: Apache-2.0
/*
 * int_shift: shifts and rotates.
 *
 * The count is masked to 5 bits, or 6 for a 64-bit operand; a masked count of zero changes no flag (SDM 2
 * SAL/SAR/SHL/SHR). OF is defined for a count of 1 only: for others it is what the last step of one bit gives, as AMD
 * and Intel processors do. AF is undefined and cleared.
 */
#include "hw/cpu/int.h"

typedef unsigned __int128 u128;

static unsigned int bits_of(const struct int_rmw *r)
{
	return 8 * r->size;
}

static unsigned int masked_count(unsigned int size, u64 count)
{
	return count & (size == 8 ? 63 : 31);
}

static u64 msb(u64 value, unsigned int bits)
{
	return value >> (bits - 1) & 1;
}

static struct hw_flags shift_flags(const struct int_rmw *r, u64 res, unsigned int cf, unsigned int of)
{
	return flags_with_cf_of(flags_logic(res, r->size), cf, of);
}

static u64 shl(struct int_rmw *r, u64 old)
{
	unsigned int bits = bits_of(r), cf;
	u128 wide = (u128)old << r->src;
	u64 res = (u64)wide;

	if (r->src == 0)
		return old;
	cf = wide >> bits & 1;
	r->flags = shift_flags(r, res, cf, cf ^ msb(res, bits));
	return res;
}

static u64 shr(struct int_rmw *r, u64 old)
{
	u64 before, res;

	if (r->src == 0)
		return old;
	before = old >> (r->src - 1);
	res = before >> 1;
	r->flags = shift_flags(r, res, before & 1, msb(before, bits_of(r)));
	return res;
}

static u64 sar(struct int_rmw *r, u64 old)
{
	s64 before, res;

	if (r->src == 0)
		return old;
	before = (s64)sign_extend(old, r->size) >> (r->src - 1);
	res = before >> 1;
	r->flags = shift_flags(r, (u64)res, before & 1, 0);
	return (u64)res;
}

static u64 rol(struct int_rmw *r, u64 old)
{
	unsigned int bits = bits_of(r), n = r->src % bits;
	u64 res = n ? old << n | old >> (bits - n) : old;

	if (r->src)
		r->flags = flags_with_cf_of(r->in, res & 1, (res ^ msb(res, bits)) & 1);
	return res;
}

static u64 ror(struct int_rmw *r, u64 old)
{
	unsigned int bits = bits_of(r), n = r->src % bits;
	u64 res = n ? old >> n | old << (bits - n) : old;
	unsigned int cf = msb(res, bits);

	if (r->src)
		r->flags = flags_with_cf_of(r->in, cf, cf ^ msb(res, bits - 1));
	return res;
}

/* RCL and RCR rotate the operand with CF on top: 9, 17, 33 or 65 bits. */
static u64 rotate_through_carry(struct int_rmw *r, u64 old, unsigned int left, unsigned int *cf)
{
	unsigned int bits = bits_of(r);
	u128 mask = ((u128)1 << (bits + 1)) - 1;
	u128 wide = (u128)flags_cf(r->in) << bits | old;

	if (left)
		wide = (wide << left | wide >> (bits + 1 - left)) & mask;
	*cf = wide >> bits & 1;
	return (u64)wide;
}

static u64 rcl(struct int_rmw *r, u64 old)
{
	unsigned int bits = bits_of(r), cf;
	u64 res = rotate_through_carry(r, old, r->src % (bits + 1), &cf);

	if (r->src)
		r->flags = flags_with_cf_of(r->in, cf, cf ^ msb(res, bits));
	return res;
}

static u64 rcr(struct int_rmw *r, u64 old)
{
	unsigned int bits = bits_of(r), cf;
	unsigned int n = r->src % (bits + 1);
	u64 res = rotate_through_carry(r, old, n ? bits + 1 - n : 0, &cf);

	if (r->src)
		r->flags = flags_with_cf_of(r->in, cf, msb(res, bits) ^ msb(res, bits - 1));
	return res;
}

/* Of a 16-bit operand by more than 16 the result is undefined; the operand then repeats behind the source. */
static u64 shld(struct int_rmw *r, u64 old)
{
	unsigned int bits = bits_of(r), n = r->src;
	u64 res, cf;

	if (n == 0)
		return old;
	if (bits == 16) {
		u64 wide = old << 32 | (r->src2 & 0xffff) << 16 | old;

		res = wide >> (32 - n);
		cf = wide >> (48 - n) & 1;
	} else {
		res = old << n | r->src2 >> (bits - n);
		cf = old >> (bits - n) & 1;
	}
	r->flags = shift_flags(r, res, cf, msb(res, bits) ^ msb(old, bits));
	return res;
}

static u64 shrd(struct int_rmw *r, u64 old)
{
	unsigned int bits = bits_of(r), n = r->src;
	u64 res, cf;

	if (n == 0)
		return old;
	if (bits == 16) {
		u64 wide = old << 32 | (r->src2 & 0xffff) << 16 | old;

		res = wide >> n;
		cf = wide >> (n - 1) & 1;
	} else {
		res = old >> n | r->src2 << (bits - n);
		cf = old >> (n - 1) & 1;
	}
	r->flags = shift_flags(r, res, cf, msb(res, bits) ^ msb(old, bits));
	return res;
}

static int shift(struct hw_cpu *c, const struct insn *i, u64 (*fn)(struct int_rmw *r, u64 old))
{
	struct int_rmw r = {.fn = fn, .size = i->op[0].size, .src = 1};
	int err = i->nops > 1 ? int_source(c, i, 1, 1, &r.src) : EXEC_OK;

	if (err)
		return err;
	r.src = masked_count(r.size, r.src);
	return int_rmw(c, i, &r);
}

static int double_shift(struct hw_cpu *c, const struct insn *i, u64 (*fn)(struct int_rmw *r, u64 old))
{
	struct int_rmw r = {.fn = fn, .size = i->op[0].size, .src = gpr_get(c, HW_RCX, 1)};
	int err = insn_read(c, i, 1, &r.src2);

	if (!err && i->nops > 2)
		err = int_source(c, i, 2, 1, &r.src);
	if (err)
		return err;
	r.src = masked_count(r.size, r.src);
	return int_rmw(c, i, &r);
}

#define SHIFT(name, how)                                                                                               \
	int int_##name(struct hw_cpu *c, const struct insn *i)                                                         \
	{                                                                                                              \
		return how(c, i, name);                                                                                \
	}

SHIFT(shl, shift)
SHIFT(shr, shift)
SHIFT(sar, shift)
SHIFT(rol, shift)
SHIFT(ror, shift)
SHIFT(rcl, shift)
SHIFT(rcr, shift)
SHIFT(shld, double_shift)
SHIFT(shrd, double_shift)
