// SPDX-License-Identifier: Apache-2.0
/*
 * generate: everything about a sequence follows from (seed, number).
 */
#include <string.h>

#include "diff.h"

u64 rng_value(struct rng *r)
{
	static const u64 interesting[] = {
		0,
		1,
		2,
		3,
		7,
		8,
		15,
		16,
		31,
		32,
		33,
		63,
		64,
		0x7f,
		0x80,
		0xff,
		0x7fff,
		0x8000,
		0xffff,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x7fffffffffffffff,
		0x8000000000000000,
		~0ull,
		~1ull,
		0xffffffff80000000,
		0xffffffffffffff80,
		0xaaaaaaaaaaaaaaaa,
		0x5555555555555555,
		0x0f0f0f0f0f0f0f0f,
		0x8080808080808080,
		/* 1.0, 1.5, smallest normal, denormal, infinity, quiet and signalling NaN: as doubles and as floats */
		0x3ff0000000000000,
		0xbff8000000000000,
		0x0010000000000000,
		0x000fffffffffffff,
		0x7ff0000000000000,
		0xfff8000000000000,
		0x7ff0000000000001,
		0x3f8000003f800000,
		0xbfc0000000800000,
		0x7f800000ff800000,
		0x7fc000007f800001,
		0x00000001007fffff,
		0x4f0000005f000000,
		0x41e0000000000000,
		0x43e0000000000000,
	};

	switch (rng_below(r, 4)) {
	case 0:
		return interesting[rng_below(r, sizeof(interesting) / sizeof(interesting[0]))];
	case 1:
		return rng64(r) >> rng_below(r, 64);
	default:
		return rng64(r);
	}
}

static void fill_memory(struct rng *r, struct image *image)
{
	for (unsigned int n = 0; n < DATA_PAGES; n++) {
		u64 *word = (u64 *)image->byte[n];

		if (page_kind(n) != PAGE_RW)
			continue;
		for (unsigned int k = 0; k < PAGE / 8; k += 4) {
			word[k] = rng_value(r);
			word[k + 1] = word[k] * 0xd1342543de82ef95ull + k;
			word[k + 2] = word[k] ^ word[k + 1] >> 32;
			word[k + 3] = rng64(r);
		}
	}
}

static void fill_x87_register(struct rng *r, u8 *st)
{
	static const struct {
		u64 significand;
		u16 exponent;
	} interesting[] = {
		{0, 0},
		{0, 0x8000},
		{1ull << 63, 0x3fff},
		{1ull << 63, 0xbfff},
		{1ull << 63, 0x7fff},
		{1ull << 63, 0xffff},
		{3ull << 62, 0x7fff},
		{5ull << 61, 0x7fff},
		{1, 0},
		{1ull << 63, 0},
		{1, 0x4000},
		{0xc90fdaa22168c235, 0x4000},
		{1ull << 63, 0x403e},
		{~0ull, 0x7ffe},
	};
	u64 significand = rng64(r) | 1ull << 63;
	u16 exponent = (u16)(0x3fff + (int)rng_below(r, 80) - 40);

	if (rng_percent(r, 30)) {
		unsigned int n = rng_below(r, sizeof(interesting) / sizeof(interesting[0]));

		significand = interesting[n].significand;
		exponent = interesting[n].exponent;
	} else if (rng_percent(r, 20)) {
		exponent = (u16)rng64(r);
	} else if (rng_percent(r, 50)) {
		exponent |= 0x8000;
	}
	memcpy(st, &significand, 8);
	memcpy(st + 8, &exponent, 2);
}

static void fill_fx(struct rng *r, u8 fx[XSAVE_SIZE])
{
	u16 fcw = (u16)(0x37f ^ (rng64(r) & 0xc00)), fsw = (u16)(rng64(r) & 0x7f00 & ~0x80);
	u32 mxcsr = 0x1f80 | (rng_percent(r, 50) ? (u32)rng64(r) & 0xe07f : 0);

	memset(fx, 0, XSAVE_SIZE);
	fx[XSAVE_HEADER] = host_has_avx() ? 7 : 3;
	if (rng_percent(r, 5))
		fcw &= (u16) ~(rng64(r) & 0x3f);
	if (rng_percent(r, 5))
		mxcsr &= ~((u32)rng64(r) & 0x1f80);
	fsw |= rng64(r) & 0x7f & fcw; /* masked exceptions only: none is pending */
	if (rng_percent(r, 70))
		fsw &= ~0x40;
	memcpy(fx, &fcw, 2);
	memcpy(fx + 2, &fsw, 2);
	fx[4] = (u8)(rng_percent(r, 50) ? rng64(r) : rng64(r) | rng64(r));
	memcpy(fx + 24, &mxcsr, 4);
	for (unsigned int n = 0; n < 8; n++)
		fill_x87_register(r, fx + 32 + 16 * n);
	for (unsigned int n = 0; n < 32; n++) {
		u64 v = rng_value(r);

		memcpy(fx + 160 + 8 * n, &v, 8);
		v = rng_value(r);
		if (host_has_avx())
			memcpy(fx + XSAVE_YMM + 8 * n, &v, 8);
	}
}

static void fill_state(struct rng *r, struct sequence *s)
{
	struct state *st = &s->initial;

	memset(st, 0, sizeof(*st));
	for (unsigned int n = 0; n < 16; n++)
		st->gpr[n] = rng_value(r) & (s->compat && n < 8 ? 0xffffffff : ~0ull);
	st->rip = CODE_BASE + s->entry;
	st->rflags = (rng64(r) & (FLAGS_ARITH | FLAG_ID)) | (rng_percent(r, 5) ? FLAG_DF : 0) | 0x202;
	fill_fx(r, st->fx);
}

static const struct form *choose_form(struct rng *r, const struct forms *forms)
{
	unsigned int k = rng_below(r, (unsigned int)forms->mnemonics);

	return &forms->form[forms->by_mnemonic[k].first + rng_below(r, forms->by_mnemonic[k].count)];
}

void generate(const struct forms forms[2], u64 seed, u64 number, struct sequence *s)
{
	struct rng r = {.state = seed ^ number * 0xa0761d6478bd642full};
	struct emitter e = {.rng = &r, .s = s};
	unsigned int wanted;

	rng64(&r);
	memset(s->code, 0xcc, sizeof(s->code));
	s->units = 0;
	/* a quarter cross into the second page */
	s->entry = rng_percent(&r, 25) ? PAGE - 1 - rng_below(&r, 300) : rng_below(&r, 2048);
	s->step = number % 4 == 3;
	s->compat = number % 8 >= 6;
	fill_memory(&r, s->memory);
	fill_state(&r, s);
	e.at = s->entry;
	wanted = 1 + rng_below(&r, MAX_UNITS - 2);
	for (unsigned int tries = 0; s->units < wanted && tries < 100; tries++) {
		if (rng_below(&r, 400) == 0 && !s->compat)
			emit_privileged(&e);
		else
			emit_form(&e, choose_form(&r, &forms[s->compat]));
	}
	s->end = e.at;
	memcpy(&s->code[s->end], "\x0f\x0b", 2); /* ud2 */
}

u32 sequence_undefined(const struct sequence *s, u64 rip)
{
	u64 at = rip - CODE_BASE;
	u32 flags = 0;

	/* a branch to nowhere: which one is not known */
	if (rip < CODE_BASE || at >= CODE_SIZE)
		return FLAGS_ARITH;

	for (unsigned int k = 0; k < s->units; k++) {
		const struct unit *u = &s->unit[k];

		if (at < u->insn || u->removed)
			continue;
		if (u->defined_before)
			flags = 0;
		if (at > u->insn)
			flags = (flags & ~u->defines) | u->undefines;
	}
	return flags;
}

const struct unit *sequence_unit(const struct sequence *s, u64 rip)
{
	u64 at = rip - CODE_BASE;

	for (unsigned int k = 0; k < s->units; k++) {
		if (at >= s->unit[k].start && at < s->unit[k].end)
			return &s->unit[k];
	}
	return NULL;
}
