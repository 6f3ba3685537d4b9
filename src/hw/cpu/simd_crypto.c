// SPDX-License-Identifier: Apache-2.0
/*
 * AES-NI and PCLMULQDQ for hosts that lack them, and what else a host must have.
 *
 * FIPS 197 in the byte order of SDM 1 12.13: byte r + 4c of the register is row r, column c of the state.
 * Not constant-time: the guest's secrets are its emulator's anyway.
 */
#include "hw/cpu/simd.h"

bool simd_host_has_aes(void)
{
	return __builtin_cpu_supports("aes");
}
bool simd_host_has_pclmulqdq(void)
{
	return __builtin_cpu_supports("pclmul");
}

bool simd_host_ok(const char **missing)
{
	*missing = !__builtin_cpu_supports("sse3")     ? "SSE3"
		   : !__builtin_cpu_supports("ssse3")  ? "SSSE3"
		   : !__builtin_cpu_supports("sse4.1") ? "SSE4.1"
		   : !__builtin_cpu_supports("sse4.2") ? "SSE4.2"
						       : NULL;
	return !*missing;
}

static u8 times_x(u8 a)
{
	return (u8)(a << 1 ^ (a >> 7) * 0x1b);
}

static u8 gf_mul(u8 a, u8 b)
{
	u8 r = 0;

	for (; b; b >>= 1, a = times_x(a))
		if (b & 1)
			r ^= a;
	return r;
}

/* a^254 is the inverse in GF(2^8), and 0 for 0 (FIPS 197 5.1.1). */
static u8 gf_inverse(u8 a)
{
	u8 r = 1;

	for (unsigned int n = 0; n < 254; n++)
		r = gf_mul(r, a);
	return r;
}

static u8 rotate(u8 a, unsigned int n)
{
	return (u8)(a << n | a >> (8 - n));
}

static u8 sub_byte(u8 a)
{
	u8 b = gf_inverse(a);

	return b ^ rotate(b, 1) ^ rotate(b, 2) ^ rotate(b, 3) ^ rotate(b, 4) ^ 0x63;
}

static u8 inv_sub_byte(u8 a)
{
	return gf_inverse(rotate(a, 1) ^ rotate(a, 3) ^ rotate(a, 6) ^ 0x05);
}

/* ShiftRows and SubBytes, in either direction. */
static void shift_and_substitute(u8 s[16], bool inverse)
{
	u8 in[16];

	memcpy(in, s, 16);
	for (unsigned int col = 0; col < 4; col++) {
		for (unsigned int row = 0; row < 4; row++) {
			unsigned int from = (inverse ? col - row : col + row) & 3;
			u8 byte = in[4 * from + row];

			s[4 * col + row] = inverse ? inv_sub_byte(byte) : sub_byte(byte);
		}
	}
}

static void mix_columns(u8 s[16], const u8 factor[4])
{
	for (unsigned int col = 0; col < 4; col++) {
		u8 in[4];

		memcpy(in, s + 4 * col, 4);
		for (unsigned int row = 0; row < 4; row++) {
			u8 sum = 0;

			for (unsigned int n = 0; n < 4; n++)
				sum ^= gf_mul(in[n], factor[(n - row) & 3]);
			s[4 * col + row] = sum;
		}
	}
}

static const u8 mix[4] = {2, 3, 1, 1};
static const u8 inv_mix[4] = {14, 11, 13, 9};

static __m128i key_assist(__m128i key, u8 rcon)
{
	u32 w[4];

	_mm_storeu_si128((__m128i *)w, key);
	for (unsigned int n = 1; n < 4; n += 2) {
		u32 x = w[n], s = 0;

		for (unsigned int b = 0; b < 32; b += 8)
			s |= (u32)sub_byte((u8)(x >> b)) << b;
		w[n - 1] = s;
		w[n] = (s >> 8 | s << 24) ^ rcon;
	}
	return _mm_loadu_si128((__m128i *)w);
}

static __m128i carryless_multiply(u64 a, u64 b)
{
	u64 low = 0, high = 0;

	for (unsigned int n = 0; n < 64; n++) {
		if (!(b >> n & 1))
			continue;
		low ^= a << n;
		high ^= n ? a >> (64 - n) : 0;
	}
	return _mm_set_epi64x((long long)high, (long long)low);
}

static u64 half(__m128i v, bool high)
{
	return (u64)_mm_cvtsi128_si64(high ? _mm_srli_si128(v, 8) : v);
}

__m128i simd_soft_crypto(u16 mnemonic, __m128i dst, __m128i src, u8 imm)
{
	bool inverse = mnemonic == ZYDIS_MNEMONIC_AESDEC || mnemonic == ZYDIS_MNEMONIC_AESDECLAST;
	u8 s[16];

	if (mnemonic == ZYDIS_MNEMONIC_PCLMULQDQ)
		return carryless_multiply(half(dst, imm & 1), half(src, imm & 16));
	if (mnemonic == ZYDIS_MNEMONIC_AESKEYGENASSIST)
		return key_assist(src, imm);
	if (mnemonic == ZYDIS_MNEMONIC_AESIMC) {
		_mm_storeu_si128((__m128i *)s, src);
		mix_columns(s, inv_mix);
		return _mm_loadu_si128((__m128i *)s);
	}
	_mm_storeu_si128((__m128i *)s, dst);
	shift_and_substitute(s, inverse);
	if (mnemonic == ZYDIS_MNEMONIC_AESENC || mnemonic == ZYDIS_MNEMONIC_AESDEC)
		mix_columns(s, inverse ? inv_mix : mix);
	return _mm_xor_si128(_mm_loadu_si128((__m128i *)s), src);
}
