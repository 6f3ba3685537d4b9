// SPDX-License-Identifier: Apache-2.0
/*
 * emit: one instruction of a form, with random prefixes, registers, addresses and immediates, behind MOVs that give the
 * registers on which its memory operands depend values that make sense.
 */
#include <string.h>

#include "diff.h"
#include "emit.h"

/* ---------------------------------------------------------------- bytes and small instructions */

void put_bytes(struct emitter *e, const void *bytes, unsigned int n)
{
	memcpy(&e->s->code[e->at], bytes, n);
	e->at += n;
}

unsigned int put_mov(struct emitter *e, unsigned int reg, u64 value)
{
	const u8 b[2] = {(u8)(0x48 | reg >> 3), (u8)(0xb8 | (reg & 7))};

	put_bytes(e, e->s->compat ? b + 1 : b, e->s->compat ? 1 : 2);
	put_bytes(e, &value, word_size(e->s));
	return e->at - word_size(e->s);
}

/* With REX.W in 64-bit code. */
static void put_wide(struct emitter *e, const void *bytes, unsigned int n)
{
	if (!e->s->compat)
		put_bytes(e, "\x48", 1);
	put_bytes(e, bytes, n);
}

/* mov [address], rAX of `size` bytes; mov rax, [address] */
void put_store(struct emitter *e, u64 address, unsigned int size)
{
	if (size == 8 && !e->s->compat)
		put_bytes(e, "\x48", 1);
	if (size == 2)
		put_bytes(e, "\x66", 1);
	put_bytes(e, "\xa3", 1);
	put_bytes(e, &address, word_size(e->s));
}

static void put_load(struct emitter *e, u64 address)
{
	put_wide(e, "\xa1", 1);
	put_bytes(e, &address, word_size(e->s));
}

/* cmp r64, r64: all flags are defined behind it */
static void put_cmp(struct emitter *e)
{
	const u8 b[2] = {0x39, (u8)(0xc0 | rng_below(e->rng, 64))};

	put_wide(e, b, 2);
}

/* lea r, [r + n]: what a branch jumps over; four bytes, no flags */
void put_skipped(struct emitter *e)
{
	static const u8 regs[] = {0, 1, 2, 3, 5, 6, 7};
	u8 r = regs[rng_below(e->rng, sizeof(regs))];
	/* DS, which LEA does not use, makes it as long without REX */
	const u8 b[4] = {e->s->compat ? 0x3e : 0x48, 0x8d, (u8)(0x40 | r << 3 | r), (u8)rng64(e->rng)};

	put_bytes(e, b, 4);
}

/* ---------------------------------------------------------------- addresses */

bool is_plain(u64 address, unsigned int size)
{
	u64 offset = address - DATA_BASE;

	return offset >= PAGE && offset + size <= 4 * PAGE;
}

u64 choose_address(struct emitter *e, unsigned int size)
{
	struct rng *r = e->rng;
	unsigned int p = rng_below(r, 100), size_or_1 = size ? size : 1;
	u64 offset;

	/* Which of several faults wins, and which bytes are looked at, differs for the large ones: within one page. */
	if (size >= 512)
		return DATA_BASE + (p < 85 ? 2 : 6) * PAGE + 64 * rng_below(r, (PAGE - size) / 64);
	if (p < 72) {
		offset = PAGE + rng_below(r, 3 * PAGE - size);
		if (size >= 16 && !rng_percent(r, 8))
			offset &= ~(u64)15;
	} else if (p < 84) {
		offset = (2 + rng_below(r, 2)) * PAGE - rng_below(r, size_or_1 + 1);
	} else if (p < 90) {
		offset = 6 * PAGE + (rng_below(r, PAGE - size) & ~15u);
	} else if (p < 92) {
		offset = 6 * PAGE - rng_below(r, size_or_1);
	} else if (p < 96) {
		offset = 5 * PAGE + (rng_below(r, PAGE - size) & ~15u);
	} else if (p < 97) {
		offset = (rng_percent(r, 50) ? 0 : 4 * PAGE) + rng_below(r, PAGE - size);
	} else if (p < 99) {
		offset = (rng_percent(r, 50) ? 4 : 1) * PAGE - rng_below(r, size_or_1);
	} else if (e->s->compat) {
		return 0x30000000 + rng_below(r, 0x4fff0000);
	} else {
		/* aligned: #SS for the address, #GP for the alignment have no order */
		return (0x800000000000ull + (rng64(r) >> 2)) & (size >= 16 ? ~63ull : ~0ull);
	}
	return DATA_BASE + offset;
}

/* ---------------------------------------------------------------- assembling */

/* Bytes with a place for the displacement; what is decoded from them says where. */
struct draft {
	u8 b[32];
	unsigned int prefixes, length;
	bool wide_address, gs;
	unsigned int base, index, scale; /* NO_REG: none */
	bool rip_relative;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

#define NO_REG 16u

static void draft_prefixes(struct emitter *e, const struct form *f, struct draft *d)
{
	static const u8 ignored[] = {0x26, 0x2e, 0x36, 0x3e};
	unsigned int n = 0;

	d->wide_address = !e->s->compat;
	if (rng_percent(e->rng, 6)) {
		d->b[n++] = 0x67;
		d->wide_address = false;
	}
	if (rng_percent(e->rng, 4)) {
		d->b[n++] = 0x65;
		d->gs = true;
	} else if (rng_percent(e->rng, 4)) {
		d->b[n++] = ignored[rng_below(e->rng, 4)];
	}
	if (!f->vex && f->has_mem && rng_percent(e->rng, 12))
		d->b[n++] = 0xf0;
	if (!f->vex && f->prefix != 0x66 && rng_percent(e->rng, 4))
		d->b[n++] = 0x66;
	if (!f->vex && f->prefix)
		d->b[n++] = f->prefix;
	d->prefixes = d->length = n;
}

static void draft_opcode(struct emitter *e, const struct form *f, struct draft *d)
{
	u8 rex = (u8)(f->rex_w << 3 | (f->fixed_rm ? 0 : rng_below(e->rng, 8)));
	u8 *b = &d->b[d->length];
	unsigned int n = 0;

	if (f->vex) {
		u8 pp = f->prefix == 0x66 ? 1 : f->prefix == 0xf3 ? 2 : f->prefix == 0xf2 ? 3 : 0;
		u8 vvvv = (u8)(rng_percent(e->rng, 50) ? 15 : rng_below(e->rng, 16) | (e->s->compat ? 8 : 0));
		u8 map = f->map == ZYDIS_OPCODE_MAP_0F ? 1 : f->map == ZYDIS_OPCODE_MAP_0F38 ? 2 : 3;

		b[n++] = 0xc4;
		b[n++] = (u8)((e->s->compat ? 7 : rng_below(e->rng, 8)) << 5 | map);
		b[n++] = (u8)(f->rex_w << 7 | vvvv << 3 | f->vex_l << 2 | pp);
	} else {
		if (!e->s->compat && (rex & 8 || rng_percent(e->rng, 60)))
			b[n++] = 0x40 | rex;
		if (f->map != ZYDIS_OPCODE_MAP_DEFAULT)
			b[n++] = 0x0f;
		if (f->map == ZYDIS_OPCODE_MAP_0F38)
			b[n++] = 0x38;
		if (f->map == ZYDIS_OPCODE_MAP_0F3A)
			b[n++] = 0x3a;
	}
	b[n++] = f->opcode;
	d->length += n;
}

static void draft_modrm(struct emitter *e, const struct form *f, struct draft *d)
{
	u8 reg = f->modrm & 0x38, mod, rm;

	if (!f->has_modrm)
		return;
	if (!f->has_mem) {
		d->b[d->length++] = f->fixed_rm ? f->modrm : (u8)(0xc0 | reg | rng_below(e->rng, 8));
		return;
	}
	mod = (u8)rng_below(e->rng, 3);
	rm = (u8)rng_below(e->rng, 8);
	d->b[d->length++] = (u8)(mod << 6 | reg | rm);
	if (rm == 4)
		d->b[d->length++] = (u8)rng64(e->rng);
}

/* Displacement and immediates: random, of any length; the displacement is set when the rest is known. */
static void draft_tail(struct emitter *e, struct draft *d)
{
	u64 tail[2] = {rng64(e->rng), rng_value(e->rng)};

	memcpy(&d->b[d->length], tail, 16);
	if (rng_percent(e->rng, 50))
		memcpy(&d->b[d->length], &tail[1], 8);
}

static bool decode(struct draft *d, bool compat)
{
	static ZydisDecoder decoder[2];
	static bool ready;

	if (!ready) {
		decoder_init(&decoder[0], false);
		decoder_init(&decoder[1], true);
		ready = true;
	}
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder[compat], d->b, 15, &d->z, d->op));
}

static unsigned int register_number(ZydisRegister r)
{
	switch (ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return (unsigned int)ZydisRegisterGetId(r);
	default:
		return NO_REG;
	}
}

static const ZydisDecodedOperand *memory_operand(const struct draft *d)
{
	for (unsigned int k = 0; k < d->z.operand_count_visible; k++) {
		if (d->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &d->op[k];
	}
	return NULL;
}

/* Registers and displacement such that the operand lies at `address`. */
static bool place_memory(struct emitter *e, struct draft *d, const ZydisDecodedOperand *mem, u64 address)
{
	u64 offset = d->gs ? address - GS_BASE : address, index_value = 0;
	s64 disp = mem->mem.disp.has_displacement ? mem->mem.disp.value : 0;

	/* 16-bit addresses lie where no process has memory */
	if (d->z.address_width == 16)
		return true;
	d->base = register_number(mem->mem.base);
	d->index = register_number(mem->mem.index);
	d->scale = mem->mem.scale;
	d->rip_relative = mem->mem.base == ZYDIS_REGISTER_RIP || mem->mem.base == ZYDIS_REGISTER_EIP;
	if (d->index != NO_REG && d->index == d->base)
		return false;
	/* half of a wild address could be anybody's */
	if (!d->wide_address && address >> 32)
		return false;
	if (d->base == NO_REG && d->z.raw.disp.size < 64 && offset >> 31)
		return false;
	if (d->index != NO_REG) {
		index_value = d->base == NO_REG ? rng_below(e->rng, 64) : rng_value(e->rng);
		put_mov(e, d->index, index_value);
	}
	if (d->base != NO_REG) {
		u64 value = offset - (u64)disp - index_value * d->scale;

		if (!d->wide_address)
			value = (u32)value | rng64(e->rng) << 32;
		put_mov(e, d->base, value);
		return true;
	}
	disp = (s64)(offset - index_value * d->scale);
	if (d->rip_relative)
		disp = (s64)(offset - (CODE_BASE + e->at + d->z.length));
	memcpy(&d->b[d->z.raw.disp.offset], &disp, d->z.raw.disp.size / 8);
	return true;
}

/* ---------------------------------------------------------------- one form */

static bool draft_form(struct emitter *e, const struct form *f, struct draft *d)
{
	memset(d, 0, sizeof(*d));
	draft_prefixes(e, f, d);
	draft_opcode(e, f, d);
	draft_modrm(e, f, d);
	draft_tail(e, d);
	/* 16-bit near branches exist on AMD only (APM1 2.5.1): Intel ignores the prefix */
	if (is_branch(f->mnemonic) && memchr(d->b, 0x66, d->prefixes))
		return false;
	return decode(d, e->s->compat) && d->z.mnemonic == f->mnemonic;
}

/* Compare-and-exchange finds what it expects half of the time. */
static void expect_memory(struct emitter *e, const struct draft *d, u64 address)
{
	unsigned int half = d->z.mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B	? 8
			    : d->z.mnemonic == ZYDIS_MNEMONIC_CMPXCHG8B ? 4
									: 0;

	if ((!half && d->z.mnemonic != ZYDIS_MNEMONIC_CMPXCHG) || !is_plain(address, 16) || rng_percent(e->rng, 50))
		return;
	if (half) {
		put_load(e, address + half);
		put_wide(e, "\x89\xc2", 2); /* mov rdx, rax */
	}
	put_load(e, address);
}

bool emit_form(struct emitter *e, const struct form *f)
{
	struct unit *u = &e->s->unit[e->s->units];
	unsigned int start = e->at, size = 0;
	const ZydisDecodedOperand *mem;
	struct special sp = {0};
	struct draft d;

	if (!draft_form(e, f, &d))
		return false;
	sp.z = &d.z;
	sp.op = d.op;
	sp.bytes = d.b;
	mem = memory_operand(&d);
	if (mem) {
		size = mem->size / 8;
		sp.address = choose_address(e, size);
		if (size >= 512 && rng_percent(e->rng, 3))
			sp.address += 8;
		if (stores_environment(f->mnemonic))
			sp.address &= ~(u64)3; /* so that the stores behind it are aligned even under AC */
		sp.has_memory = true;
	}
	*u = (struct unit){.start = (u16)start, .mnemonic = f->mnemonic, .vector_memory = size > 8};
	if (flags_read(&d.z) & sequence_undefined(e->s, CODE_BASE + start)) {
		put_cmp(e);
		u->defined_before = true;
	}
	/* immediates may have changed */
	if (!special_before(e, &sp) || !decode(&d, e->s->compat))
		goto drop;
	if (sp.has_memory) {
		expect_memory(e, &d, sp.address);
		if (!place_memory(e, &d, mem, sp.address))
			goto drop;
	}
	u->insn = (u16)e->at;
	put_bytes(e, d.b, d.z.length);
	u->defines = flags_written(&d.z, d.op);
	u->undefines = undefined_flags(&d.z, d.op);
	special_after(e, &sp);
	u->end = (u16)e->at;
	e->s->units++;
	return true;
drop:
	e->at = start;
	return false;
}
