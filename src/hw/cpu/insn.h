// SPDX-License-Identifier: Apache-2.0
/*
 * insn: one decoded instruction in compact form, and the tables that say who executes it.
 *
 * decode.c turns Zydis' answer into a `struct insn`. Hot forms become specialised handlers (op.h); every other
 * instruction is executed by the function that its table entry names, with the operands read at run time.
 */
#pragma once

#include <Zydis/Zydis.h>

#include "hw/cpu/cpu.h"

enum operand_kind {
	OPND_NONE,
	OPND_GPR,   /* reg: 0..15; high8: AH..BH (reg is then 0..3) */
	OPND_MEM,
	OPND_IMM,   /* imm, sign- or zero-extended as the instruction defines */
	OPND_SREG,  /* reg: enum hw_sreg */
	OPND_CR, OPND_DR,
	OPND_XMM, OPND_MMX, OPND_ST, OPND_YMM,
	OPND_FAR,   /* ptr16:16/32: imm = offset, reg = selector */
};

struct operand {
	u8 kind; /* enum operand_kind */
	u8 reg;
	u8 size; /* bytes; 0 where it has none (LEA, INVLPG) */
	bool high8;
};

#define INSN_NO_REG 0xff

struct insn {
	u16 mnemonic; /* ZydisMnemonic */
	u8 len;	      /* bytes */
	u8 opsize;    /* effective operand size in bytes: 2, 4, 8 (1 for byte forms) */
	u8 addrsize;  /* 2, 4, 8 */
	u8 nops;      /* explicit operands, in Intel order: destination first */
	u8 vvvv_l;    /* VEX.L */
	bool lock, rep, repne, vex;
	bool rep_any; /* F2 or F3 present in any role */
	struct operand op[4];
	/* the one memory operand */
	u8 sreg;      /* segment of the memory operand, override applied */
	u8 base, index, scale; /* base/index: GPR number or INSN_NO_REG; scale 1, 2, 4, 8 */
	bool rip_relative; /* disp is then relative to the next instruction */
	s64 disp;
	s64 imm;      /* first immediate, also relative branch displacement */
	s64 imm2;     /* ENTER, EXTRQ */
	u8 opcode_map, opcode, modrm; /* raw, where a handler needs them */
	u8 bytes[15];
};

/* CPUID feature that an instruction needs to be recognised. hw_cpuid() advertises from the same list: features.def */
enum cpu_feature {
	FEAT_ALWAYS,
#define FEATURE(id, leaf, subleaf, reg, bit) FEAT_##id,
#include "hw/cpu/features.def"
#undef FEATURE
	FEAT_COUNT
};
bool cpu_feature_implemented(enum cpu_feature f);

#define INSN_END	(1u << 0) /* always the last of its block (control flow, mode or translation change) */
#define INSN_NO64	(1u << 1) /* #UD in 64-bit mode */
#define INSN_CPL0	(1u << 2) /* #GP(0) at CPL > 0, checked before the function is called */
#define INSN_LOCKABLE	(1u << 3) /* LOCK allowed with a memory destination; #UD otherwise, checked at decode */
#define INSN_PROT	(1u << 4) /* #UD in real and VM86 mode */

typedef int (*insn_fn)(struct hw_cpu *c, const struct insn *i); /* enum exec_result */

struct insn_desc {
	u16 mnemonic;
	u8 feature; /* enum cpu_feature */
	u8 flags;   /* INSN_* */
	insn_fn fn;
};

struct insn_table { const struct insn_desc *desc; size_t count; };
/* One per file that implements instructions. */
extern const struct insn_table int_insns, string_insns, bit_insns, stack_insns, fpu_insns, simd_insns, xsave_insns, sys_insns,
	far_insns, io_insns;

/*
 * Forms that share their mnemonic with an ordinary instruction; int_*.c hands them over: MOV with a control or debug
 * register, CALL/JMP/RET whose Zydis branch type is FAR.
 */
int sys_mov_cr_dr(struct hw_cpu *c, const struct insn *i);
int far_call(struct hw_cpu *c, const struct insn *i);
int far_jmp(struct hw_cpu *c, const struct insn *i);
int far_ret(struct hw_cpu *c, const struct insn *i);

/* ---------------------------------------------------------------- operand access for generic functions (operand.c) */

/* Effective offset (segment not applied), truncated to the address size. */
static inline u64 insn_offset(const struct hw_cpu *c, const struct insn *i)
{
	u64 off = (u64)i->disp;

	if (i->base != INSN_NO_REG)
		off += c->arch.gpr[i->base];
	if (i->index != INSN_NO_REG)
		off += c->arch.gpr[i->index] * i->scale;
	if (i->rip_relative)
		off += c->arch.rip + i->len;
	if (i->addrsize == 4)
		off = (u32)off;
	else if (i->addrsize == 2)
		off = (u16)off;
	return off;
}

/* Segment of a memory operand that no ModRM byte names (string sources, XLAT, MASKMOV): DS or the override's. */
unsigned int insn_implied_segment(const struct hw_cpu *c, const struct insn *i);
/* Linear address of the memory operand. */
int insn_mem(struct hw_cpu *c, const struct insn *i, unsigned int size, unsigned int acc, u64 *lin);
/* Integer operand n, zero-extended. */
int insn_read(struct hw_cpu *c, const struct insn *i, unsigned int n, u64 *value);
/* As insn_read, but checked as a write: for operands that will be written back. */
int insn_read_rmw(struct hw_cpu *c, const struct insn *i, unsigned int n, u64 *value);
/* 32-bit GPR writes clear the upper half; 8- and 16-bit ones merge. */
int insn_write(struct hw_cpu *c, const struct insn *i, unsigned int n, u64 value);

static inline u64 gpr_get(const struct hw_cpu *c, unsigned int reg, unsigned int size)
{
	u64 v = c->arch.gpr[reg];

	return size == 8 ? v : size == 4 ? (u32)v : size == 2 ? (u16)v : (u8)v;
}
static inline void gpr_set(struct hw_cpu *c, unsigned int reg, unsigned int size, u64 v)
{
	u64 *r = &c->arch.gpr[reg];

	*r = size == 8 ? v : size == 4 ? (u32)v : size == 2 ? (*r & ~0xffffull) | (u16)v : (*r & ~0xffull) | (u8)v;
}
