// SPDX-License-Identifier: Apache-2.0
/*
 * int: what the files of the generic integer instructions share.
 */
#pragma once

#include "hw/cpu/flags.h"
#include "hw/cpu/insn.h"

/*
 * A read-modify-write of the first operand. `fn` computes the new value and `flags` from `old`, `src` and `in`; under
 * LOCK it may be called several times before its last result is stored.
 */
struct int_rmw {
	u64 (*fn)(struct int_rmw *r, u64 old);
	unsigned int size;
	u64 src, src2;
	u64 old;	       /* what the operand held */
	struct hw_flags in;    /* flags before the instruction */
	struct hw_flags flags; /* flags after it */
};

/* Performs it on operand 0, atomically if it is in memory and LOCK is present, and commits the flags. */
int int_rmw(struct hw_cpu *c, const struct insn *i, struct int_rmw *r);
/* The same on memory at `lin` that has passed cpu_linear(). */
int int_rmw_mem(struct hw_cpu *c, u64 lin, bool locked, struct int_rmw *r);

/* Source operand n at the size of the operation: immediates are sign-extended to it. */
int int_source(struct hw_cpu *c, const struct insn *i, unsigned int n, unsigned int size, u64 *value);

/* Near branch: #GP(0) if `target` is not canonical or beyond the CS limit, else EXEC_JUMP. */
int int_branch(struct hw_cpu *c, const struct insn *i, u64 target);

/* Moves the stack pointer at the stack's address size. */
void int_set_sp(struct hw_cpu *c, u64 sp);
static inline unsigned int int_stack_size(const struct hw_cpu *c)
{
	return cpu_cs64(c) ? 8 : c->mode & MODE_SS32 ? 4 : 2;
}

/* Operation of each mnemonic that int_table.c lists, by file. */
#define INT_FUNCTION(name) int int_##name(struct hw_cpu *c, const struct insn *i)
/* int_alu.c */
INT_FUNCTION(add);
INT_FUNCTION(or);
INT_FUNCTION(adc);
INT_FUNCTION(sbb);
INT_FUNCTION(and);
INT_FUNCTION(sub);
INT_FUNCTION(xor);
INT_FUNCTION(cmp);
INT_FUNCTION(test);
INT_FUNCTION(inc);
INT_FUNCTION(dec);
INT_FUNCTION(neg);
INT_FUNCTION(not );
INT_FUNCTION(adcx);
INT_FUNCTION(adox);
/* int_atomic.c */
INT_FUNCTION(xchg);
INT_FUNCTION(xadd);
INT_FUNCTION(cmpxchg);
INT_FUNCTION(cmpxchg_double);
/* int_muldiv.c */
INT_FUNCTION(mul);
INT_FUNCTION(imul);
INT_FUNCTION(div);
INT_FUNCTION(idiv);
INT_FUNCTION(mulx);
/* int_shift.c */
INT_FUNCTION(shl);
INT_FUNCTION(shr);
INT_FUNCTION(sar);
INT_FUNCTION(rol);
INT_FUNCTION(ror);
INT_FUNCTION(rcl);
INT_FUNCTION(rcr);
INT_FUNCTION(shld);
INT_FUNCTION(shrd);
/* int_move.c */
INT_FUNCTION(mov);
INT_FUNCTION(movzx);
INT_FUNCTION(movsx);
INT_FUNCTION(lea);
INT_FUNCTION(movbe);
INT_FUNCTION(bswap);
INT_FUNCTION(setcc);
INT_FUNCTION(cmovcc);
INT_FUNCTION(convert_accumulator);
INT_FUNCTION(sign_to_dx);
INT_FUNCTION(xlat);
INT_FUNCTION(lahf);
INT_FUNCTION(sahf);
INT_FUNCTION(movdiri);
INT_FUNCTION(movdir64b);
INT_FUNCTION(carry);
INT_FUNCTION(direction);
INT_FUNCTION(nop);
INT_FUNCTION(fence);
INT_FUNCTION(undefined);
/* int_bcd.c */
INT_FUNCTION(daa);
INT_FUNCTION(das);
INT_FUNCTION(aaa);
INT_FUNCTION(aas);
INT_FUNCTION(aam);
INT_FUNCTION(aad);
INT_FUNCTION(salc);
/* int_branch.c */
INT_FUNCTION(jcc);
INT_FUNCTION(jcxz);
INT_FUNCTION(loop);
INT_FUNCTION(jmp);
INT_FUNCTION(call);
INT_FUNCTION(ret);
INT_FUNCTION(bound);
#undef INT_FUNCTION
