// SPDX-License-Identifier: Apache-2.0
#include "mmio_insn.h"

/* SDM 2A chapter 2. */
enum operand { OP_NONE, OP_REG, OP_IMM, OP_MOFFS };

struct form {
	uint16_t opcode; /* 0x0f00 added for the two-byte map */
	uint8_t size;	 /* of the access; 0: the operand size */
	bool write;
	uint8_t operand;
	bool extends, sign;
};

static const struct form forms[] = {
	{ 0x88, 1, true, OP_REG, false, false },
	{ 0x89, 0, true, OP_REG, false, false },
	{ 0x8a, 1, false, OP_REG, false, false },
	{ 0x8b, 0, false, OP_REG, false, false },
	{ 0xa0, 1, false, OP_MOFFS, false, false },
	{ 0xa1, 0, false, OP_MOFFS, false, false },
	{ 0xa2, 1, true, OP_MOFFS, false, false },
	{ 0xa3, 0, true, OP_MOFFS, false, false },
	{ 0xc6, 1, true, OP_IMM, false, false },
	{ 0xc7, 0, true, OP_IMM, false, false },
	{ 0x0fb6, 1, false, OP_REG, true, false },
	{ 0x0fb7, 2, false, OP_REG, true, false },
	{ 0x0fbe, 1, false, OP_REG, true, true },
	{ 0x0fbf, 2, false, OP_REG, true, true },
	{ 0x63, 4, false, OP_REG, true, true },
};

struct reader {
	const uint8_t *bytes;
	size_t count, at;
	bool short_of_bytes;
	uint8_t rex;
	bool size_prefix, address_prefix, lock;
};

static uint64_t take(struct reader *r, unsigned int n)
{
	uint64_t v = 0;

	if (r->count - r->at < n) {
		r->short_of_bytes = true;
		r->at = r->count;
		return 0;
	}
	for (unsigned int i = 0; i < n; i++)
		v |= (uint64_t)r->bytes[r->at++] << (8 * i);
	return v;
}

static uint64_t sign_extend(uint64_t v, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (uint64_t)((int64_t)(v << shift) >> shift);
}

/* A REX prefix counts only when the opcode follows it. */
static uint8_t take_prefixes(struct reader *r)
{
	for (;;) {
		uint8_t b = (uint8_t)take(r, 1);

		if ((b & 0xf0) == 0x40) {
			r->rex = b;
			continue;
		}
		switch (b) {
		case 0x66:
			r->size_prefix = true;
			break;
		case 0x67:
			r->address_prefix = true;
			break;
		case 0xf0:
			r->lock = true;
			break;
		case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0xf2: case 0xf3:
			break;
		default:
			return b;
		}
		r->rex = 0;
	}
}

/* Steps over SIB and displacement; false: a register operand. */
static bool skip_memory_operand(struct reader *r, uint8_t modrm)
{
	unsigned int mod = modrm >> 6, rm = modrm & 7;

	if (mod == 3)
		return false;
	if (rm == 4) {
		uint8_t sib = (uint8_t)take(r, 1);

		if (mod == 0 && (sib & 7) == 5)
			mod = 2;
	} else if (mod == 0 && rm == 5) {
		mod = 2; /* RIP-relative */
	}
	take(r, mod == 1 ? 1 : mod == 2 ? 4 : 0);
	return true;
}

static const struct form *find_form(uint16_t opcode)
{
	for (unsigned int i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (forms[i].opcode == opcode)
			return &forms[i];
	return NULL;
}

static bool is_string(uint16_t opcode)
{
	return opcode == 0xa4 || opcode == 0xa5 || (opcode >= 0xaa && opcode <= 0xad);
}

static void set_register(struct mmio_insn *out, unsigned int reg, unsigned int size, bool rex)
{
	out->high_byte = size == 1 && !rex && reg >= 4;
	out->reg = (uint8_t)(out->high_byte ? reg - 4 : reg);
}

static enum mmio_insn_result take_operands(struct reader *r, const struct form *f, struct mmio_insn *out)
{
	unsigned int operand_size = r->rex & 8 ? 8 : r->size_prefix ? 2 : 4;
	uint8_t modrm;

	out->write = f->write;
	out->size = f->size ? f->size : (uint8_t)operand_size;
	out->reg_size = f->extends ? (uint8_t)operand_size : out->size;
	out->sign = f->sign;
	if (f->opcode == 0x63 && operand_size != 8)
		return MMIO_INSN_OTHER; /* the SDM discourages MOVSXD without REX.W: nobody reads a register by it */
	if (f->operand == OP_MOFFS) {
		take(r, r->address_prefix ? 4 : 8);
		return MMIO_INSN_OK;
	}
	modrm = (uint8_t)take(r, 1);
	if (!skip_memory_operand(r, modrm))
		return MMIO_INSN_OTHER;
	if (f->operand == OP_REG) {
		set_register(out, (modrm >> 3 & 7) | (r->rex & 4) << 1, f->extends ? out->reg_size : out->size, r->rex);
		return MMIO_INSN_OK;
	}
	if (modrm >> 3 & 7)
		return MMIO_INSN_OTHER; /* c6 and c7 are groups; /0 is MOV */
	out->immediate = true;
	out->value = take(r, out->size == 8 ? 4 : out->size);
	if (out->size == 8)
		out->value = sign_extend(out->value, 4);
	return MMIO_INSN_OK;
}

enum mmio_insn_result mmio_insn_decode(const uint8_t *bytes, size_t count, struct mmio_insn *out)
{
	struct reader r = { .bytes = bytes, .count = count < MMIO_INSN_MAX ? count : MMIO_INSN_MAX };
	uint16_t opcode = take_prefixes(&r);
	const struct form *f;
	enum mmio_insn_result result = MMIO_INSN_OTHER;

	*out = (struct mmio_insn){};
	if (opcode == 0x0f)
		opcode = (uint16_t)(0x0f00 | take(&r, 1));
	f = find_form(opcode);
	if (is_string(opcode))
		result = MMIO_INSN_STRING;
	else if (f && !r.lock)
		result = take_operands(&r, f, out);
	if (r.short_of_bytes)
		return count < MMIO_INSN_MAX ? MMIO_INSN_TRUNCATED : MMIO_INSN_OTHER;
	out->length = (uint8_t)r.at;
	return result;
}
