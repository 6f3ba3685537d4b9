// SPDX-License-Identifier: Apache-2.0
/*
 * flags: the arithmetic flags of the common operations, in the lazy form of cpu.h.
 *
 * `size` is the operand size in bytes; with a constant size everything but the vector itself folds away. Results need
 * not be truncated by the caller.
 */
#pragma once

#include "hw/cpu/cpu.h"

static inline u64 size_mask(unsigned int size)
{
	return ~0ull >> (64 - 8 * size);
}

static inline u64 sign_extend(u64 v, unsigned int size)
{
	unsigned int shift = 64 - 8 * size;

	return (u64)((s64)(v << shift) >> shift);
}

/* From a vector of carries (or borrows) out of each bit: CF and OF from the top two bits, AF from bit 3. */
static inline struct hw_flags flags_from_carries(u64 res, u64 carries, unsigned int size)
{
	return (struct hw_flags){
		.res = sign_extend(res, size),
		.aux = (carries << (64 - 8 * size) & 3ull << 62) | (carries & 8),
	};
}

/* res = a + b + carry in */
static inline struct hw_flags flags_add(u64 a, u64 b, u64 res, unsigned int size)
{
	return flags_from_carries(res, (a & b) | ((a | b) & ~res), size);
}

/* res = a - b - borrow in */
static inline struct hw_flags flags_sub(u64 a, u64 b, u64 res, unsigned int size)
{
	return flags_from_carries(res, (~a & b) | ((~a | b) & res), size);
}

/* AND, OR, XOR, TEST: CF and OF are cleared; AF, undefined in the SDM, is cleared by AMD and Intel processors. */
static inline struct hw_flags flags_logic(u64 res, unsigned int size)
{
	return (struct hw_flags){.res = sign_extend(res, size), .aux = 0};
}

static inline unsigned int flags_cf(struct hw_flags f)
{
	return f.aux >> 63;
}

static inline unsigned int flags_of(struct hw_flags f)
{
	return (f.aux >> 63 ^ f.aux >> 62) & 1;
}

/* The same flags but for CF and OF. */
static inline struct hw_flags flags_with_cf_of(struct hw_flags f, unsigned int cf, unsigned int of)
{
	f.aux = (f.aux & ~(3ull << 62)) | (u64)cf << 63 | (u64)(cf ^ of) << 62;
	return f;
}

/* The same flags but for CF. */
static inline struct hw_flags flags_with_cf(struct hw_flags f, unsigned int cf)
{
	return flags_with_cf_of(f, cf, flags_of(f));
}

/* Condition codes 0..15 as in Jcc, SETcc, CMOVcc (SDM 1 App. B). */
static inline bool flags_condition(struct hw_flags f, unsigned int cc)
{
	u32 e = flags_to_eflags(f);
	bool less = !!(e & FLAG_SF) != !!(e & FLAG_OF);
	bool r;

	switch (cc >> 1) {
	case 0:
		r = e & FLAG_OF;
		break;
	case 1:
		r = e & FLAG_CF;
		break;
	case 2:
		r = e & FLAG_ZF;
		break;
	case 3:
		r = e & (FLAG_CF | FLAG_ZF);
		break;
	case 4:
		r = e & FLAG_SF;
		break;
	case 5:
		r = e & FLAG_PF;
		break;
	case 6:
		r = less;
		break;
	default:
		r = less || (e & FLAG_ZF);
		break;
	}
	return r ^ (cc & 1);
}
