// SPDX-License-Identifier: Apache-2.0
/* SHA extensions (SDM 2B SHA1RNDS4 to SHA256MSG2), in C whether or not the host has them. */
#include "hw/cpu/simd_c.h"

/* Lane 3 is bits 127:96. */
struct lanes {
	u32 w[4];
};

static u32 rol(u32 v, unsigned int n)
{
	return v << n | v >> (32 - n);
}

static u32 ror(u32 v, unsigned int n)
{
	return rol(v, 32 - n);
}

static u32 choose(u32 x, u32 y, u32 z)
{
	return (x & y) ^ (~x & z);
}

static u32 majority(u32 x, u32 y, u32 z)
{
	return (x & y) ^ (x & z) ^ (y & z);
}

/* ---------------------------------------------------------------- SHA-1 (FIPS 180-4 6.1) */

static u32 sha1_function(unsigned int n, u32 b, u32 c, u32 d)
{
	return n == 0 ? choose(b, c, d) : n == 2 ? majority(b, c, d) : b ^ c ^ d;
}

static struct lanes sha1_rounds(struct lanes s, struct lanes m, u8 imm)
{
	static const u32 constants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
	unsigned int n = imm & 3;
	u32 a = s.w[3], b = s.w[2], c = s.w[1], d = s.w[0], e = 0; /* E is in the first word already */

	for (unsigned int round = 0; round < 4; round++) {
		u32 next = sha1_function(n, b, c, d) + rol(a, 5) + m.w[3 - round] + e + constants[n];

		e = d;
		d = c;
		c = rol(b, 30);
		b = a;
		a = next;
	}
	return (struct lanes){{d, c, b, a}};
}

static struct lanes sha1_next_e(struct lanes s, struct lanes m)
{
	m.w[3] += rol(s.w[3], 30);
	return m;
}

static struct lanes sha1_message1(struct lanes a, struct lanes b)
{
	return (struct lanes){{a.w[0] ^ b.w[2], a.w[1] ^ b.w[3], a.w[2] ^ a.w[0], a.w[3] ^ a.w[1]}};
}

static struct lanes sha1_message2(struct lanes a, struct lanes b)
{
	u32 w16 = rol(a.w[3] ^ b.w[2], 1);

	return (struct lanes){{rol(a.w[0] ^ w16, 1), rol(a.w[1] ^ b.w[0], 1), rol(a.w[2] ^ b.w[1], 1), w16}};
}

/* ---------------------------------------------------------------- SHA-256 (FIPS 180-4 6.2) */

static u32 small_sigma0(u32 v)
{
	return ror(v, 7) ^ ror(v, 18) ^ v >> 3;
}

static u32 small_sigma1(u32 v)
{
	return ror(v, 17) ^ ror(v, 19) ^ v >> 10;
}

static struct lanes sha256_rounds(struct lanes cdgh, struct lanes abef, struct lanes wk)
{
	u32 a = abef.w[3], b = abef.w[2], e = abef.w[1], f = abef.w[0];
	u32 c = cdgh.w[3], d = cdgh.w[2], g = cdgh.w[1], h = cdgh.w[0];

	for (unsigned int round = 0; round < 2; round++) {
		u32 t1 = choose(e, f, g) + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + wk.w[round] + h;
		u32 t2 = majority(a, b, c) + (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22));

		h = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	return (struct lanes){{f, e, b, a}};
}

static struct lanes sha256_message1(struct lanes a, struct lanes b)
{
	return (struct lanes){{a.w[0] + small_sigma0(a.w[1]), a.w[1] + small_sigma0(a.w[2]),
			       a.w[2] + small_sigma0(a.w[3]), a.w[3] + small_sigma0(b.w[0])}};
}

static struct lanes sha256_message2(struct lanes a, struct lanes b)
{
	u32 w16 = a.w[0] + small_sigma1(b.w[2]), w17 = a.w[1] + small_sigma1(b.w[3]);

	return (struct lanes){{w16, w17, a.w[2] + small_sigma1(w16), a.w[3] + small_sigma1(w17)}};
}

/* ---------------------------------------------------------------- the instructions */

static struct lanes lanes_of(__m128i v)
{
	struct lanes l;

	_mm_storeu_si128((__m128i *)l.w, v);
	return l;
}

static struct lanes compute(struct hw_cpu *c, const struct insn *i, struct lanes dst, struct lanes src)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_SHA1RNDS4:
		return sha1_rounds(dst, src, (u8)i->imm);
	case ZYDIS_MNEMONIC_SHA1NEXTE:
		return sha1_next_e(dst, src);
	case ZYDIS_MNEMONIC_SHA1MSG1:
		return sha1_message1(dst, src);
	case ZYDIS_MNEMONIC_SHA1MSG2:
		return sha1_message2(dst, src);
	case ZYDIS_MNEMONIC_SHA256RNDS2:
		return sha256_rounds(dst, src, lanes_of(xmm_get(c, 0)));
	case ZYDIS_MNEMONIC_SHA256MSG1:
		return sha256_message1(dst, src);
	default:
		return sha256_message2(dst, src);
	}
}

/* SDM 1 10.4.1.1. Processors of AMD read unaligned operands of these. */
static bool must_be_aligned(const struct hw_cpu *c, const struct insn *i)
{
	return i->op[1].kind == OPND_MEM && cpu_is_intel(c);
}

int simd_sha(struct hw_cpu *c, const struct insn *i)
{
	struct lanes result;
	__m128i src;
	int err = simd_check(c);

	if (!err)
		err = simd_read_operand(c, i, 1, must_be_aligned(c, i), &src);
	if (err)
		return err;
	result = compute(c, i, lanes_of(xmm_get(c, i->op[0].reg)), lanes_of(src));
	xmm_set(c, i->op[0].reg, _mm_loadu_si128((__m128i *)result.w));
	return EXEC_OK;
}
