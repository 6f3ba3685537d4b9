// SPDX-License-Identifier: Apache-2.0
/*
 * emit: what emit.c and special.c share. special.c knows the instructions whose operands the encoding does not show.
 */
#pragma once

#include "diff.h"

struct special {
	const ZydisDecodedInstruction *z;
	const ZydisDecodedOperand *op;
	u8 *bytes;	 /* of the instruction: immediates may be changed */
	bool has_memory; /* it has a ModRM or moffs operand, which will lie at `address` */
	u64 address;
	bool tame;	    /* no wild target */
	unsigned int patch; /* offset of a 64-bit constant that becomes the branch's target; 0: none */
};

void put_bytes(struct emitter *e, const void *bytes, unsigned int n);
unsigned int put_mov(struct emitter *e, unsigned int reg, u64 value); /* offset of the constant */
void put_store(struct emitter *e, u64 address, unsigned int size);
void put_skipped(struct emitter *e);
/* Within writable memory that is followed and preceded by faults only at its ends. */
bool is_plain(u64 address, unsigned int size);
u64 choose_address(struct emitter *e, unsigned int size);
static inline unsigned int word_size(const struct sequence *s)
{
	return s->compat ? 4 : 8;
}

bool is_branch(u16 mnemonic);
bool stores_environment(u16 mnemonic);
/* Registers and memory that the instruction needs; false: not this one. */
bool special_before(struct emitter *e, struct special *sp);
/* What must stand behind it: the target of a branch, the removal of what is not compared. */
void special_after(struct emitter *e, struct special *sp);
