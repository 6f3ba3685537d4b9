// SPDX-License-Identifier: Apache-2.0
/*
 * int_bits: bit tests, scans and counts, BMI1 and BMI2, CRC32.
 */
#include "hw/cpu/int.h"

/* ---------------------------------------------------------------- BT, BTS, BTR, BTC */

/* CF is the bit; the other flags are undefined or unchanged (SDM 2 BT) and keep their values. `src` is the bit's
 * number. */
static u64 bit_test(struct int_rmw *r, u64 old)
{
	r->flags = flags_with_cf(r->in, old >> r->src & 1);
	return old;
}

static u64 bit_set(struct int_rmw *r, u64 old)
{
	return bit_test(r, old) | 1ull << r->src;
}

static u64 bit_reset(struct int_rmw *r, u64 old)
{
	return bit_test(r, old) & ~(1ull << r->src);
}

static u64 bit_complement(struct int_rmw *r, u64 old)
{
	return bit_test(r, old) ^ 1ull << r->src;
}

/* A bit offset in a register reaches beyond a memory operand, in both directions (SDM 2 BT). */
static int bit_string_operand(struct hw_cpu *c, const struct insn *i, s64 offset, unsigned int acc, u64 *lin)
{
	unsigned int size = i->op[0].size, unit = size == 8 ? 6 : size == 4 ? 5 : 4;
	u64 off = insn_offset(c, i) + (u64)((offset >> unit) * (s64)size);

	return cpu_linear(c, i->sreg, off & size_mask(i->addrsize), size, acc, lin);
}

static int bit_operation(struct hw_cpu *c, const struct insn *i, u64 (*fn)(struct int_rmw *r, u64 old))
{
	struct int_rmw r = {.fn = fn, .size = i->op[0].size};
	u64 number, lin, value = 0;
	int err = int_source(c, i, 1, r.size, &number);

	if (err)
		return err;
	r.src = number & (8 * r.size - 1);
	r.in = c->flags;
	if (i->op[0].kind != OPND_MEM && fn != bit_test)
		return int_rmw(c, i, &r);
	if (i->op[0].kind != OPND_MEM) {
		err = insn_read(c, i, 0, &value);
	} else {
		s64 offset = i->op[1].kind == OPND_IMM ? 0 : (s64)sign_extend(number, r.size);

		err = bit_string_operand(c, i, offset, fn == bit_test ? ACC_READ : ACC_WRITE, &lin);
		if (!err && fn != bit_test)
			return int_rmw_mem(c, lin, i->lock, &r);
		if (!err)
			err = cpu_read(c, lin, &value, r.size);
	}
	if (err)
		return err;
	fn(&r, value);
	c->flags = r.flags;
	return EXEC_OK;
}

static int int_bt(struct hw_cpu *c, const struct insn *i)
{
	return bit_operation(c, i, bit_test);
}

static int int_bts(struct hw_cpu *c, const struct insn *i)
{
	return bit_operation(c, i, bit_set);
}

static int int_btr(struct hw_cpu *c, const struct insn *i)
{
	return bit_operation(c, i, bit_reset);
}

static int int_btc(struct hw_cpu *c, const struct insn *i)
{
	return bit_operation(c, i, bit_complement);
}

/* ---------------------------------------------------------------- scans and counts */

static void set_zf_cf(struct hw_cpu *c, bool zf, bool cf)
{
	u32 flags = flags_to_eflags(c->flags) & ~(FLAG_ZF | FLAG_CF);

	cpu_set_arith_flags(c, flags | (zf ? FLAG_ZF : 0) | (cf ? FLAG_CF : 0));
}

static unsigned int lowest_bit(u64 value)
{
	return __builtin_ctzll(value);
}

static unsigned int highest_bit(u64 value)
{
	return 63 - __builtin_clzll(value);
}

/*
 * The destination of a zero source is undefined in the SDM and unchanged in APM3 BSF and on every processor, even its
 * upper half. Flags other than ZF are undefined and keep their values.
 */
static int bit_scan(struct hw_cpu *c, const struct insn *i, unsigned int (*find)(u64 value))
{
	u32 flags = flags_to_eflags(c->flags) & ~FLAG_ZF;
	u64 value;
	int err = insn_read(c, i, 1, &value);

	if (err)
		return err;
	cpu_set_arith_flags(c, flags | (value ? 0 : FLAG_ZF));
	return value ? insn_write(c, i, 0, find(value)) : EXEC_OK;
}

static int int_bsf(struct hw_cpu *c, const struct insn *i)
{
	return bit_scan(c, i, lowest_bit);
}

static int int_bsr(struct hw_cpu *c, const struct insn *i)
{
	return bit_scan(c, i, highest_bit);
}

static int int_tzcnt(struct hw_cpu *c, const struct insn *i)
{
	u64 value, count;
	int err = insn_read(c, i, 1, &value);

	if (err)
		return err;
	count = value ? lowest_bit(value) : 8 * i->op[0].size;
	set_zf_cf(c, count == 0, value == 0);
	return insn_write(c, i, 0, count);
}

static int int_lzcnt(struct hw_cpu *c, const struct insn *i)
{
	unsigned int bits = 8 * i->op[0].size;
	u64 value, count;
	int err = insn_read(c, i, 1, &value);

	if (err)
		return err;
	count = value ? bits - 1 - highest_bit(value) : bits;
	set_zf_cf(c, count == 0, value == 0);
	return insn_write(c, i, 0, count);
}

static int int_popcnt(struct hw_cpu *c, const struct insn *i)
{
	u64 value;
	int err = insn_read(c, i, 1, &value);

	if (err)
		return err;
	cpu_set_arith_flags(c, value ? 0 : FLAG_ZF);
	return insn_write(c, i, 0, __builtin_popcountll(value));
}

/* ---------------------------------------------------------------- BMI1 */

/* SF and ZF by the result, OF clear; AF and PF are undefined and cleared with it. */
static int bmi1_result(struct hw_cpu *c, const struct insn *i, u64 res, unsigned int cf)
{
	unsigned int size = i->op[0].size;

	res &= size_mask(size);
	c->flags = flags_with_cf_of(flags_logic(res, size), cf, 0);
	return insn_write(c, i, 0, res);
}

static int int_andn(struct hw_cpu *c, const struct insn *i)
{
	u64 a, b;
	int err = insn_read(c, i, 2, &b);

	if (!err)
		err = insn_read(c, i, 1, &a);
	return err ? err : bmi1_result(c, i, ~a & b, 0);
}

/* SDM 2 BEXTR: CF and OF are cleared, ZF by the result, the others undefined. */
static int int_bextr(struct hw_cpu *c, const struct insn *i)
{
	u64 value, control;
	unsigned int start, length;
	int err;

	if (!i->vex)
		return cpu_ud(c); /* the immediate form is TBM's */
	err = insn_read(c, i, 1, &value);
	if (!err)
		err = insn_read(c, i, 2, &control);
	if (err)
		return err;
	start = control & 0xff;
	length = control >> 8 & 0xff;
	value = start < 64 ? value >> start : 0;
	return bmi1_result(c, i, length < 64 ? value & ((1ull << length) - 1) : value, 0);
}

static int int_blsi(struct hw_cpu *c, const struct insn *i)
{
	u64 value;
	int err = insn_read(c, i, 1, &value);

	return err ? err : bmi1_result(c, i, value & -value, value != 0);
}

static int int_blsr(struct hw_cpu *c, const struct insn *i)
{
	u64 value;
	int err = insn_read(c, i, 1, &value);

	return err ? err : bmi1_result(c, i, value & (value - 1), value == 0);
}

/* ZF is cleared even where the truncated result could be zero, which it cannot: bit 0 is always set. */
static int int_blsmsk(struct hw_cpu *c, const struct insn *i)
{
	u64 value;
	int err = insn_read(c, i, 1, &value);

	return err ? err : bmi1_result(c, i, value ^ (value - 1), value == 0);
}

/* ---------------------------------------------------------------- BMI2 */

static int int_bzhi(struct hw_cpu *c, const struct insn *i)
{
	unsigned int bits = 8 * i->op[0].size;
	u64 value, n;
	int err = insn_read(c, i, 1, &value);

	if (!err)
		err = insn_read(c, i, 2, &n);
	if (err)
		return err;
	n &= 0xff;
	return bmi1_result(c, i, n < bits ? value & ((1ull << n) - 1) : value, n >= bits);
}

static int int_pdep(struct hw_cpu *c, const struct insn *i)
{
	u64 value, mask, res = 0;
	int err = insn_read(c, i, 2, &mask);

	if (!err)
		err = insn_read(c, i, 1, &value);
	if (err)
		return err;
	for (; mask; mask &= mask - 1, value >>= 1)
		res |= value & 1 ? mask & -mask : 0;
	return insn_write(c, i, 0, res);
}

static int int_pext(struct hw_cpu *c, const struct insn *i)
{
	u64 value, mask, res = 0;
	unsigned int n;
	int err = insn_read(c, i, 2, &mask);

	if (!err)
		err = insn_read(c, i, 1, &value);
	if (err)
		return err;
	for (n = 0; mask; mask &= mask - 1, n++)
		res |= (value & mask & -mask ? 1ull : 0) << n;
	return insn_write(c, i, 0, res);
}

/* RORX, SARX, SHLX, SHRX: as their namesakes, without flags. */
static int shift_without_flags(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size, bits = 8 * size;
	u64 value, n;
	int err = insn_read(c, i, 1, &value);

	if (!err)
		err = int_source(c, i, 2, 1, &n);
	if (err)
		return err;
	n &= bits - 1;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_RORX:
		value = n ? value >> n | value << (bits - n) : value;
		break;
	case ZYDIS_MNEMONIC_SARX:
		value = (u64)((s64)sign_extend(value, size) >> n);
		break;
	case ZYDIS_MNEMONIC_SHLX:
		value <<= n;
		break;
	default:
		value >>= n;
		break;
	}
	return insn_write(c, i, 0, value & size_mask(size));
}

/* ---------------------------------------------------------------- CRC32 */

/* CRC-32C, reflected polynomial 0x82f63b78 (SDM 2 CRC32). */
static int int_crc32(struct hw_cpu *c, const struct insn *i)
{
	unsigned int bits = 8 * i->op[1].size, n;
	u64 value, dest;
	u32 crc;
	int err = insn_read(c, i, 1, &value);

	if (!err)
		err = insn_read(c, i, 0, &dest);
	if (err)
		return err;
	crc = (u32)dest;
	for (n = 0; n < bits; n++) {
		u32 bit = (crc ^ (u32)(value >> n)) & 1;

		crc = crc >> 1 ^ (bit ? 0x82f63b78u : 0);
	}
	return insn_write(c, i, 0, crc);
}

#define ROW(name, feat, fl, func)                                                                                      \
	{                                                                                                              \
		.mnemonic = ZYDIS_MNEMONIC_##name, .feature = FEAT_##feat, .flags = fl, .fn = func                     \
	}

static const struct insn_desc descs[] = {
	ROW(BT, ALWAYS, 0, int_bt),
	ROW(BTS, ALWAYS, INSN_LOCKABLE, int_bts),
	ROW(BTR, ALWAYS, INSN_LOCKABLE, int_btr),
	ROW(BTC, ALWAYS, INSN_LOCKABLE, int_btc),
	ROW(BSF, ALWAYS, 0, int_bsf),
	ROW(BSR, ALWAYS, 0, int_bsr),
	ROW(TZCNT, BMI1, 0, int_tzcnt),
	ROW(LZCNT, LZCNT, 0, int_lzcnt),
	ROW(POPCNT, POPCNT, 0, int_popcnt),
	ROW(ANDN, BMI1, INSN_PROT, int_andn),
	ROW(BEXTR, BMI1, INSN_PROT, int_bextr),
	ROW(BLSI, BMI1, INSN_PROT, int_blsi),
	ROW(BLSR, BMI1, INSN_PROT, int_blsr),
	ROW(BLSMSK, BMI1, INSN_PROT, int_blsmsk),
	ROW(BZHI, BMI2, INSN_PROT, int_bzhi),
	ROW(PDEP, BMI2, INSN_PROT, int_pdep),
	ROW(PEXT, BMI2, INSN_PROT, int_pext),
	ROW(RORX, BMI2, INSN_PROT, shift_without_flags),
	ROW(SARX, BMI2, INSN_PROT, shift_without_flags),
	ROW(SHLX, BMI2, INSN_PROT, shift_without_flags),
	ROW(SHRX, BMI2, INSN_PROT, shift_without_flags),
	ROW(CRC32, SSE42, 0, int_crc32),
};

const struct insn_table bit_insns = {descs, sizeof(descs) / sizeof(descs[0])};
