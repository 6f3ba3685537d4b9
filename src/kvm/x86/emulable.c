// SPDX-License-Identifier: Apache-2.0
/*
 * Which instructions Linux's emulator knows with a memory operand. Our processor executes the instruction itself, access by
 * access, whatever it is; where Linux would have to emulate (MMIO, writes to read-only memory), what its emulator does not know is
 * a failure here, too. A map says for each opcode: all forms, none, or those whose ModRM.reg is in a set; prefixes choose in SIMD.
 */
#include "kvm/x86/x86.h"

enum { P_NONE = 1, P_66 = 2, P_F3 = 4, P_F2 = 8, P_ANY = 15 };

/* Opcodes first to last: ModRM.reg (bit n: /n) and mandatory prefixes with which they are known. */
struct known {
	u8 first, last;
	u8 reg;
	u8 prefix;
};

#define ALL(first, last) { first, last, 0xff, P_ANY }
#define REG(opcode, regs) { opcode, opcode, regs, P_ANY }
#define SIMD(first, last, prefixes) { first, last, 0xff, prefixes }

static const struct known one_byte[] = {
	ALL(0x00, 0x61), ALL(0x63, 0x63), ALL(0x68, 0x8e), REG(0x8f, 1 << 0), ALL(0x90, 0xc5), REG(0xc6, 1 << 0), REG(0xc7, 1 << 0),
	ALL(0xc8, 0xd7), REG(0xd9, 1 << 7 /* FNSTCW */), REG(0xdd, 1 << 7 /* FNSTSW */), ALL(0xe0, 0xff),
};
static const struct known map_0f[] = {
	REG(0x00, 0x0f), REG(0x01, 0xdf), ALL(0x05, 0x0d), SIMD(0x10, 0x11, P_NONE | P_66), ALL(0x18, 0x22),
	SIMD(0x28, 0x29, P_NONE | P_66), SIMD(0x2b, 0x2b, P_NONE | P_66), ALL(0x30, 0x36), ALL(0x40, 0x4f),
	SIMD(0x6f, 0x6f, P_NONE | P_66 | P_F3), SIMD(0x7f, 0x7f, P_NONE | P_66 | P_F3), ALL(0x80, 0xa5), ALL(0xa8, 0xad),
	REG(0xae, 1 << 0 | 1 << 1 | 1 << 7), ALL(0xaf, 0xb7), REG(0xba, 0xf0), ALL(0xbb, 0xc1), ALL(0xc3, 0xc3), REG(0xc7, 1 << 1),
	ALL(0xc8, 0xcf), SIMD(0xe7, 0xe7, P_66),
};
static const struct known map_0f38[] = { SIMD(0xf0, 0xf1, P_NONE | P_66 /* MOVBE */) };
/* since 7.0: 66 0f 38 2a MOVNTDQA; the moves with a VEX prefix */
static const struct known map_0f38_new[] = { SIMD(0x2a, 0x2a, P_66) };
static const struct known vex_0f[] = {
	SIMD(0x10, 0x11, P_NONE | P_66), SIMD(0x28, 0x29, P_NONE | P_66), SIMD(0x2b, 0x2b, P_NONE | P_66),
	SIMD(0x6f, 0x6f, P_66 | P_F3), SIMD(0x7f, 0x7f, P_66 | P_F3), SIMD(0xe7, 0xe7, P_66),
};

struct form {
	u8 map;	   /* 0: one byte, 1: 0f, 2: 0f 38, 3: 0f 3a */
	u8 opcode, reg, prefix;
	bool vex, wide;
};

static bool listed(const struct known *known, unsigned int count, const struct form *f)
{
	for (unsigned int i = 0; i < count; i++)
		if (f->opcode >= known[i].first && f->opcode <= known[i].last)
			return known[i].reg >> f->reg & 1 && known[i].prefix & f->prefix;
	return false;
}
#define LISTED(table, f) listed(table, sizeof(table) / sizeof((table)[0]), f)

static bool is_known(const struct kvm_compat *compat, const struct form *f)
{
	if (f->vex)
		return compat->emulates_avx_moves && (f->map == 1 ? LISTED(vex_0f, f) : f->map == 2 && LISTED(map_0f38_new, f));
	if (f->map == 2 && compat->emulates_avx_moves && LISTED(map_0f38_new, f))
		return true;
	/* CMPXCHG16B shares its opcode with CMPXCHG8B. */
	if (f->map == 1 && f->opcode == 0xc7 && f->wide)
		return false;
	return f->map == 0 ? LISTED(one_byte, f) : f->map == 1 ? LISTED(map_0f, f) : f->map == 2 && LISTED(map_0f38, f);
}

/* ---------------------------------------------------------------- from bytes to a form */

struct bytes {
	const u8 *at;
	unsigned int left;
};

static u8 next(struct bytes *b)
{
	if (!b->left)
		return 0;
	b->left--;
	return *b->at++;
}

static u8 peek(const struct bytes *b) { return b->left ? *b->at : 0; }

/* SDM 2A 2.1.1 and 2.2.1. Of F2 and F3 the last one counts, and before 66. */
static void skip_prefixes(struct bytes *b, bool long_mode, struct form *f)
{
	bool osize = false;
	u8 rep = 0, rex = 0;

	for (; b->left; next(b)) {
		u8 byte = peek(b);

		if (byte == 0x66)
			osize = true;
		else if (byte == 0xf2 || byte == 0xf3)
			rep = byte;
		else if (long_mode && (byte & 0xf0) == 0x40)
			rex = byte;
		else if (byte != 0x67 && byte != 0xf0 && byte != 0x26 && byte != 0x2e && byte != 0x36 && byte != 0x3e &&
			 byte != 0x64 && byte != 0x65)
			break;
		/* a REX prefix counts only immediately before the opcode */
		rex = byte == rex ? rex : 0;
	}
	f->wide = rex & 8;
	f->prefix = rep == 0xf3 ? P_F3 : rep == 0xf2 ? P_F2 : osize ? P_66 : P_NONE;
}

/* SDM 2A 2.3.5: c5 has one byte of its own, c4 two; `pp` stands for the mandatory prefix. */
static void read_vex(struct bytes *b, struct form *f)
{
	static const u8 prefix[] = { P_NONE, P_66, P_F3, P_F2 };
	bool three = next(b) == 0xc4;

	f->vex = true;
	f->map = three ? next(b) & 0x1f : 1;
	f->prefix = prefix[next(b) & 3];
	f->opcode = next(b);
}

static void read_opcode(struct bytes *b, struct form *f)
{
	f->opcode = next(b);
	if (f->opcode != 0x0f)
		return;
	f->map = 1;
	f->opcode = next(b);
	if (f->opcode != 0x38 && f->opcode != 0x3a)
		return;
	f->map = f->opcode == 0x38 ? 2 : 3;
	f->opcode = next(b);
}

bool kvm_emulator_knows(struct kvm_vcpu *vcpu, const u8 *insn, unsigned int size)
{
	bool long_mode = kvm_in_long_mode(vcpu);
	struct bytes b = { insn, size };
	struct form f = { 0 };

	skip_prefixes(&b, long_mode, &f);
	/* c4, c5 and 62 are LES, LDS and BOUND outside 64-bit mode when they have a memory operand. */
	if ((peek(&b) == 0xc4 || peek(&b) == 0xc5) && (long_mode || (b.left > 1 && b.at[1] >= 0xc0)))
		read_vex(&b, &f);
	else
		read_opcode(&b, &f);
	f.reg = peek(&b) >> 3 & 7;
	return is_known(vcpu->kvm->compat, &f);
}
