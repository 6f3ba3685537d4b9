/* SPDX-License-Identifier: Apache-2.0 */
/* The instructions by which memory-mapped registers are accessed: MOV in all forms, MOVZX, MOVSX, MOVSXD. A pure function of bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MMIO_INSN_MAX 15u

struct mmio_insn {
	uint8_t length;
	uint8_t size;	    /* of the access */
	bool write;
	bool immediate;	    /* write: `value` and not a register */
	uint64_t value;
	uint8_t reg;	    /* 0..15 */
	bool high_byte;	    /* AH, CH, DH, BH: bits 15:8 of `reg`, which is 0..3 */
	uint8_t reg_size;   /* read: of the register that is written */
	bool sign;	    /* read: sign-extended to reg_size, else zero-extended; 4 bytes always clear the upper half */
};

enum mmio_insn_result {
	MMIO_INSN_OK,
	MMIO_INSN_TRUNCATED, /* needs more bytes than there are */
	MMIO_INSN_STRING,    /* MOVS, STOS, LODS: one instruction for many accesses */
	MMIO_INSN_OTHER,     /* anything else, also without a memory operand */
};

/* 64-bit mode. */
enum mmio_insn_result mmio_insn_decode(const uint8_t *bytes, size_t count, struct mmio_insn *out);
