// SPDX-License-Identifier: Apache-2.0
/*
 * int_bcd: decimal adjustment and SALC, which exist outside 64-bit mode only. The algorithms are those of SDM 2.
 */
#include "hw/cpu/int.h"

static u32 get_al(const struct hw_cpu *c)
{
	return gpr_get(c, HW_RAX, 1);
}

static void set_al_flags(struct hw_cpu *c, u8 al, bool cf, bool af)
{
	gpr_set(c, HW_RAX, 1, al);
	c->flags = flags_with_cf_of(flags_logic(al, 1), cf, 0);
	c->flags.aux |= af ? 8 : 0;
}

int int_daa(struct hw_cpu *c, const struct insn *i)
{
	u32 al = get_al(c), old_al = al, flags = flags_to_eflags(c->flags);
	bool cf = (flags & FLAG_CF) || old_al > 0x99;
	bool af = (flags & FLAG_AF) || (al & 15) > 9;

	if (af)
		al += 6;
	if (cf)
		al += 0x60;
	set_al_flags(c, al, cf, af);
	return EXEC_OK;
}

int int_das(struct hw_cpu *c, const struct insn *i)
{
	u32 al = get_al(c), old_al = al, flags = flags_to_eflags(c->flags);
	bool old_cf = flags & FLAG_CF, af = (flags & FLAG_AF) || (al & 15) > 9;
	bool borrow = af && al < 6, high = old_cf || old_al > 0x99;

	if (af)
		al -= 6;
	if (high)
		al -= 0x60;
	set_al_flags(c, al, high || old_cf || borrow, af);
	return EXEC_OK;
}

/* AAA and AAS: SF, ZF, PF and OF are undefined and keep their values. */
static int ascii_adjust(struct hw_cpu *c, unsigned int amount)
{
	u32 flags = flags_to_eflags(c->flags);
	u64 ax = gpr_get(c, HW_RAX, 2);

	if ((ax & 15) > 9 || flags & FLAG_AF) {
		ax += amount;
		flags |= FLAG_AF | FLAG_CF;
	} else {
		flags &= ~(FLAG_AF | FLAG_CF);
	}
	gpr_set(c, HW_RAX, 2, ax & 0xff0f);
	cpu_set_arith_flags(c, flags);
	return EXEC_OK;
}

int int_aaa(struct hw_cpu *c, const struct insn *i)
{
	return ascii_adjust(c, 0x106);
}

int int_aas(struct hw_cpu *c, const struct insn *i)
{
	return ascii_adjust(c, 0x10000 - 0x106);
}

int int_aam(struct hw_cpu *c, const struct insn *i)
{
	u32 al = get_al(c), base = (u8)i->imm;

	if (base == 0)
		return cpu_raise(c, X86_DE);
	gpr_set(c, HW_RAX, 2, al / base << 8 | al % base);
	set_al_flags(c, al % base, false, false);
	return EXEC_OK;
}

int int_aad(struct hw_cpu *c, const struct insn *i)
{
	u64 ax = gpr_get(c, HW_RAX, 2);
	u8 al = (ax >> 8) * (u8)i->imm + ax;

	gpr_set(c, HW_RAX, 2, al);
	set_al_flags(c, al, false, false);
	return EXEC_OK;
}

int int_salc(struct hw_cpu *c, const struct insn *i)
{
	gpr_set(c, HW_RAX, 1, flags_cf(c->flags) ? 0xff : 0);
	return EXEC_OK;
}
