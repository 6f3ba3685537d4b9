// SPDX-License-Identifier: Apache-2.0
/*
 * op: a decoded instruction as the handlers execute it, and what handlers are written with.
 *
 * A block is an array of ops, ended by a branch and one link for each successor. A handler does everything that can
 * fail first; if its access misses the TLB it continues in op_generic(), which executes the same instruction from its
 * `struct insn` with all checks. So a hot handler knows hits only.
 *
 * While handlers run, arch.rip is not the instruction's address but that of the (linear) page it lies in: `ip` of an op
 * and `delta` of a link count from there, and branches within a page leave it alone. Everything outside handlers sees
 * the architectural value: op_generic() and the leaving handlers set it.
 *
 * Instructions are counted at block ends: `n` of an op is how many of the block come before it.
 */
#pragma once

#include "hw/cpu/flags.h"
#include "hw/cpu/insn.h"
#include "hw/phys/uaccess.h"

struct op;
#ifdef SOFTCVM_DISPATCH_LOOP
typedef const struct op *(*op_fn)(const struct op *o, struct hw_cpu *c, u64 fres, u64 faux);
#else
typedef void (*op_fn)(const struct op *o, struct hw_cpu *c, u64 fres, u64 faux);
#endif

struct op {
	op_fn handler;
	union {
		s64 imm64;
		struct {
			s32 disp, imm;
		};
		const struct op *target; /* link: the successor's first op, or the link itself */
	};
	union {
		struct {
			u8 dst, src;	 /* byte offsets into struct hw_cpu, as are base and index */
			u16 base, index; /* `zero` if there is none; index may be a segment base */
			u16 src2;
		};
		struct {
			s32 delta; /* link: rip of the successor, from the page's */
			u8 salt;   /* link: mode in the jump cache's tag */
			u16 count; /* link: instructions of the block on this way out */
		};
	};
	union {
		struct {
			u8 scale, len;
			u16 ip;	  /* of the instruction, from the page's */
			u16 insn; /* its struct insn: distance from this op in units of 8 bytes; 0: none */
			u16 n;	  /* instructions of the block before this one */
		};
		struct op *next_incoming; /* link: others that lead to the same block */
	};
};
_Static_assert(sizeof(struct op) == 32, "two ops in a cache line");
_Static_assert(offsetof(struct hw_cpu, arch.gpr) + 128 <= 256, "dst and src are one byte");

#ifdef SOFTCVM_DISPATCH_LOOP
#include "hw/cpu/dispatch_loop.h"
#else
#include "hw/cpu/dispatch_tail.h"
#endif

static inline const struct insn *op_insn(const struct op *o)
{
	return (const struct insn *)((const char *)o + 8 * (size_t)o->insn);
}

/* ---------------------------------------------------------------- handlers of every block (exec_generic.c) */

HANDLER(op_generic);	 /* executes op_insn() through its table entry */
HANDLER(op_one_element); /* a repeated string instruction, once: fills the TLB for the handler, or takes what it cannot
			  */
HANDLER(op_ud);
HANDLER(op_gp);
HANDLER(op_unimplemented);
HANDLER(op_host_fault);	   /* the memory behind a TLB entry is gone */
HANDLER(op_restart);	   /* leave in front of this instruction */
HANDLER(op_fallthrough);   /* the block ends without a branch; a link follows */
HANDLER(op_stale);	   /* first op of a dropped block */
HANDLER(op_validate);	   /* first op of a block whose bytes must be compared with memory */
HANDLER(op_lookup);	   /* arch.rip is set, and not in the jump cache */
HANDLER(link_resolve);	   /* the successor has not been looked up yet */
HANDLER(link_far);	   /* the successor is found through the jump cache */
HANDLER(link_leave);	   /* the successor is found by hw_cpu_run() */
HANDLER(link_interrupted); /* a request or the end of the budget was seen on the way to the successor */

/* ---------------------------------------------------------------- what handlers are written with */

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define UTYPE_1	    u8
#define UTYPE_2	    u16
#define UTYPE_4	    u32
#define UTYPE_8	    u64
#define STYPE_1	    s8
#define STYPE_2	    s16
#define STYPE_4	    s32
#define STYPE_8	    s64
#define UTYPE(size) UTYPE_##size
#define STYPE(size) STYPE_##size

#define REG(size, offset) (*(UTYPE(size) *)((char *)c + (offset)))
/* SDM 1 3.4.1.1: 32-bit results clear the upper half, smaller ones leave the rest alone */
#define SET_REG_1(offset, v)	 (REG(1, offset) = (u8)(v))
#define SET_REG_2(offset, v)	 (REG(2, offset) = (u16)(v))
#define SET_REG_4(offset, v)	 (REG(8, offset) = (u32)(v))
#define SET_REG_8(offset, v)	 (REG(8, offset) = (v))
#define SET_REG(size, offset, v) SET_REG_##size(offset, v)

#define GPR_OFFSET(n) (offsetof(struct hw_cpu, arch.gpr) + 8 * (n))

/* Address forms */
#define EA_bd(o)  (REG(8, (o)->base) + (s64)(o)->disp)
#define EA_bis(o) (REG(8, (o)->base) + REG(8, (o)->index) * (o)->scale + (s64)(o)->disp)

#define TLB_HOST(array, lin, size, host, miss)                                                                         \
	do {                                                                                                           \
		const struct tlb_entry *entry_ =                                                                       \
			(const struct tlb_entry *)((const char *)c->array[c->tlb_mode] +                               \
						   tlb_index(lin) * sizeof(struct tlb_entry));                         \
		if (unlikely(entry_->tag != (((lin) + (size)-1) & HW_PAGE_MASK)))                                      \
			goto miss;                                                                                     \
		(host) = (lin) + entry_->addend;                                                                       \
	} while (0)

/* Loads and stores of a handler: jump to `slow` on a TLB miss and to `gone` if the host memory is not there. */
#define LOAD(size, lin, v)                                                                                             \
	do {                                                                                                           \
		u64 lin_ = (lin), host_, value_;                                                                       \
		TLB_HOST(tlb_read, lin_, size, host_, slow);                                                           \
		UACCESS_LOAD(size, host_, value_, gone);                                                               \
		(v) = (UTYPE(size))value_;                                                                             \
	} while (0)
#define STORE(size, lin, v)                                                                                            \
	do {                                                                                                           \
		u64 lin_ = (lin), host_;                                                                               \
		TLB_HOST(tlb_write, lin_, size, host_, slow);                                                          \
		UACCESS_STORE(size, host_, v, gone);                                                                   \
	} while (0)
#define COLD_ENDS                                                                                                      \
	slow:                                                                                                          \
	CONTINUE_IN(op_generic, o);                                                                                    \
	gone:                                                                                                          \
	CONTINUE_IN(op_host_fault, o)

/* Counts the block's instructions and looks whether hw_cpu_run() is wanted: every way out of a block passes here. */
#define BLOCK_END(link, interrupted)                                                                                   \
	do {                                                                                                           \
		c->budget -= (link)->count;                                                                            \
		if (unlikely(c->budget < 0) || unlikely(__atomic_load_n(&c->request, __ATOMIC_RELAXED)))               \
			interrupted;                                                                                   \
	} while (0)

#define BRANCH(to)                                                                                                     \
	do {                                                                                                           \
		const struct op *link_ = (to);                                                                         \
		BLOCK_END(link_, CONTINUE_IN(link_interrupted, link_));                                                \
		NEXT(link_->target);                                                                                   \
	} while (0)

/* To an address known at run time only; 64-bit code. */
#define JUMP_CACHED(rip_, salt_)                                                                                       \
	do {                                                                                                           \
		const struct jump_entry *jump_ = &c->jump_cache[jump_index(rip_)];                                     \
		if (likely(jump_->tag == jump_tag(c, rip_, salt_))) {                                                  \
			c->arch.rip = (rip_)&HW_PAGE_MASK;                                                             \
			NEXT(jump_->op);                                                                               \
		}                                                                                                      \
		c->arch.rip = (rip_);                                                                                  \
		CONTINUE_IN(op_lookup, o);                                                                             \
	} while (0)
#define JUMP(link, rip_)                                                                                               \
	do {                                                                                                           \
		BLOCK_END(link, {                                                                                      \
			c->arch.rip = (rip_);                                                                          \
			LEAVE();                                                                                       \
		});                                                                                                    \
		JUMP_CACHED(rip_, (link)->salt);                                                                       \
	} while (0)

/* 7: functions are aligned to 16 bytes, and their starts shall use all entries. */
static inline unsigned int jump_index(u64 rip)
{
	return (rip ^ rip >> 7) & (JUMP_CACHE_SIZE - 1);
}

/* Bits 63:57 of a canonical address repeat bit 56, so the mode can stand there. */
static inline u64 jump_tag(const struct hw_cpu *c, u64 rip, u8 salt)
{
	return ((rip & HW_PAGE_MASK) ^ (u64)salt << 57) | c->jump_generation;
}
_Static_assert(JUMP_CACHE_BITS >= HW_PAGE_SHIFT, "the index must tell the page offset");

/* SDM 1 App. B; from the lazy pair, cc is a constant in handlers. */
static inline __attribute__((always_inline)) bool lazy_condition(unsigned int cc, u64 fres, u64 faux)
{
	bool r = false;

	switch (cc >> 1) {
	case 0:
		r = (s64)(faux ^ faux << 1) < 0;
		break;
	case 1:
		r = (s64)faux < 0;
		break;
	case 2:
		r = fres == 0;
		break;
	case 3:
		r = (s64)faux < 0 || fres == 0;
		break;
	case 4:
		r = (s64)(fres ^ faux << 63) < 0;
		break;
	case 5:
		r = !__builtin_parity((u8)(fres ^ faux >> 8));
		break;
	case 6:
		r = (s64)(fres ^ faux << 63 ^ faux ^ faux << 1) < 0;
		break;
	case 7:
		r = (s64)(fres ^ faux << 63 ^ faux ^ faux << 1) < 0 || fres == 0;
		break;
	}
	return r ^ (cc & 1);
}

#define CONDITIONS(X, ...)                                                                                             \
	X(0, __VA_ARGS__)                                                                                              \
	X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__) X(5, __VA_ARGS__) X(6, __VA_ARGS__)    \
		X(7, __VA_ARGS__) X(8, __VA_ARGS__) X(9, __VA_ARGS__) X(10, __VA_ARGS__) X(11, __VA_ARGS__)            \
			X(12, __VA_ARGS__) X(13, __VA_ARGS__) X(14, __VA_ARGS__) X(15, __VA_ARGS__)

/* ---------------------------------------------------------------- choosing a handler */

enum form {
	FORM_OTHER, /* no hot handler */
	FORM_NONE,
	FORM_R, /* dst */
	FORM_I,
	FORM_BD,  /* one memory operand: base + displacement */
	FORM_BIS, /* base + index * scale + displacement */
	FORM_RR,  /* dst, src */
	FORM_RI,
	FORM_R_BD, /* dst, memory */
	FORM_R_BIS,
	FORM_BD_R, /* memory, src */
	FORM_BIS_R,
	FORM_BD_I,
	FORM_BIS_I,
	FORM_RRI,    /* dst, src, immediate */
	FORM_RRR,    /* dst, src, src2 */
	FORM_R_BD_R, /* dst, memory, src2 */
	FORM_R_BIS_R,
	FORM_COUNT,
};

/* 0..3 for 1, 2, 4, 8 bytes: index into handler tables */
static inline unsigned int size_index(unsigned int size)
{
	return (unsigned int)__builtin_ctz(size);
}

/* Each returns NULL if it has no handler for the instruction. */
op_fn exec_alu_handler(const struct insn *i, enum form form);
op_fn exec_unary_handler(const struct insn *i, enum form form);
op_fn exec_mov_handler(const struct insn *i, enum form form);
op_fn exec_cond_handler(const struct insn *i, enum form form);
op_fn exec_stack_handler(const struct insn *i, enum form form);
op_fn exec_shift_handler(const struct insn *i, enum form form);
op_fn exec_mul_handler(const struct insn *i, enum form form);
op_fn exec_bit_handler(const struct insn *i, enum form form);
op_fn exec_bmi_handler(const struct insn *i, enum form form);
op_fn exec_lock_handler(const struct insn *i, enum form form);
op_fn exec_branch_handler(const struct insn *i, enum form form);
op_fn exec_flags_handler(const struct insn *i, u32 mode);
op_fn exec_string_handler(const struct insn *i, u32 mode);
/* CMP or TEST followed by Jcc as one handler; the Jcc keeps its own op. */
op_fn exec_fused_handler(const struct insn *compare, enum form form, const struct insn *jcc);

/* The condition code of a Jcc, SETcc or CMOVcc, or -1. */
int jcc_condition(u16 mnemonic);
int setcc_condition(u16 mnemonic);
int cmovcc_condition(u16 mnemonic);
