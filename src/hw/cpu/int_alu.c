// SPDX-License-Identifier: Apache-2.0
/*
 * int_alu: addition, subtraction, logic and comparison.
 */
#include "hw/cpu/int.h"

int int_source(struct hw_cpu *c, const struct insn *i, unsigned int n, unsigned int size, u64 *value)
{
	if (i->op[n].kind == OPND_IMM) {
		*value = (u64)i->imm & size_mask(size);
		return EXEC_OK;
	}
	return insn_read(c, i, n, value);
}

static u64 add(struct int_rmw *r, u64 old)
{
	u64 res = old + r->src;

	r->flags = flags_add(old, r->src, res, r->size);
	return res;
}

static u64 adc(struct int_rmw *r, u64 old)
{
	u64 res = old + r->src + flags_cf(r->in);

	r->flags = flags_add(old, r->src, res, r->size);
	return res;
}

static u64 sub(struct int_rmw *r, u64 old)
{
	u64 res = old - r->src;

	r->flags = flags_sub(old, r->src, res, r->size);
	return res;
}

static u64 sbb(struct int_rmw *r, u64 old)
{
	u64 res = old - r->src - flags_cf(r->in);

	r->flags = flags_sub(old, r->src, res, r->size);
	return res;
}

static u64 or (struct int_rmw * r, u64 old)
{
	u64 res = old | r->src;

	r->flags = flags_logic(res, r->size);
	return res;
}

static u64 and (struct int_rmw * r, u64 old)
{
	u64 res = old & r->src;

	r->flags = flags_logic(res, r->size);
	return res;
}

static u64 xor
	(struct int_rmw * r, u64 old) {
		u64 res = old ^ r->src;

		r->flags = flags_logic(res, r->size);
		return res;
	}

	/* INC and DEC leave CF alone. */
	static u64 inc(struct int_rmw *r, u64 old)
{
	u64 res = old + 1;

	r->flags = flags_with_cf(flags_add(old, 1, res, r->size), flags_cf(r->in));
	return res;
}

static u64 dec(struct int_rmw *r, u64 old)
{
	u64 res = old - 1;

	r->flags = flags_with_cf(flags_sub(old, 1, res, r->size), flags_cf(r->in));
	return res;
}

static u64 neg(struct int_rmw *r, u64 old)
{
	r->flags = flags_sub(0, old, -old, r->size);
	return -old;
}

static u64 not(struct int_rmw * r, u64 old)
{
	return ~old;
}

static int binary(struct hw_cpu *c, const struct insn *i, u64 (*fn)(struct int_rmw *r, u64 old))
{
	struct int_rmw r = {.fn = fn, .size = i->op[0].size};
	int err = int_source(c, i, 1, r.size, &r.src);

	return err ? err : int_rmw(c, i, &r);
}

static int unary(struct hw_cpu *c, const struct insn *i, u64 (*fn)(struct int_rmw *r, u64 old))
{
	struct int_rmw r = {.fn = fn, .size = i->op[0].size};

	return int_rmw(c, i, &r);
}

/* CMP and TEST: only the flags are kept. */
static int compare(struct hw_cpu *c, const struct insn *i, u64 (*fn)(struct int_rmw *r, u64 old))
{
	struct int_rmw r = {.size = i->op[0].size};
	u64 value;
	int err = int_source(c, i, 1, r.size, &r.src);

	if (!err)
		err = insn_read(c, i, 0, &value);
	if (err)
		return err;
	fn(&r, value);
	c->flags = r.flags;
	return EXEC_OK;
}

#define BINARY(name)                                                                                                   \
	int int_##name(struct hw_cpu *c, const struct insn *i)                                                         \
	{                                                                                                              \
		return binary(c, i, name);                                                                             \
	}
#define UNARY(name)                                                                                                    \
	int int_##name(struct hw_cpu *c, const struct insn *i)                                                         \
	{                                                                                                              \
		return unary(c, i, name);                                                                              \
	}

BINARY(add)
BINARY(or)
BINARY(adc)
BINARY(sbb)
BINARY(and)
BINARY(sub)
BINARY(xor)
UNARY(inc)
UNARY(dec)
UNARY(neg)
UNARY(not )

int int_cmp(struct hw_cpu *c, const struct insn *i)
{
	return compare(c, i, sub);
}

int int_test(struct hw_cpu *c, const struct insn *i)
{
	return compare(c, i, and);
}

static int add_with(struct hw_cpu *c, const struct insn *i, unsigned int carry, u64 *res, unsigned int *carry_out)
{
	unsigned int size = i->op[0].size;
	unsigned __int128 sum;
	u64 a, b;
	int err = insn_read(c, i, 1, &b);

	if (!err)
		err = insn_read(c, i, 0, &a);
	if (err)
		return err;
	sum = (unsigned __int128)a + b + carry;
	*res = (u64)sum;
	*carry_out = sum >> (8 * size) & 1;
	return EXEC_OK;
}

int int_adcx(struct hw_cpu *c, const struct insn *i)
{
	unsigned int carry;
	u64 res;
	int err = add_with(c, i, flags_cf(c->flags), &res, &carry);

	if (err)
		return err;
	c->flags = flags_with_cf(c->flags, carry);
	return insn_write(c, i, 0, res);
}

int int_adox(struct hw_cpu *c, const struct insn *i)
{
	unsigned int carry;
	u64 res;
	int err = add_with(c, i, flags_of(c->flags), &res, &carry);

	if (err)
		return err;
	c->flags = flags_with_cf_of(c->flags, flags_cf(c->flags), carry);
	return insn_write(c, i, 0, res);
}
