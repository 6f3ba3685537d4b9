// SPDX-License-Identifier: Apache-2.0
/*
 * native_diff: random sequences of user-mode instructions, on the host's processor and on ours.
 *
 *   forms.c      every encoding whose instruction both processors have
 *   generate.c   a sequence, its memory and registers from (seed, number)
 *   emit.c       bytes of one instruction, with what it needs in front of it
 *   undefined.c  what the manuals leave undefined
 *   native.c     the sequence in this process      native_entry.S
 *   machine.c    the sequence in a struct hw_cpu
 *   compare.c    what must be equal
 *   main.c       the loop, shrinking, the report
 *
 * A quarter of the sequences is 32-bit code in compatibility mode, the rest 64-bit code. Both run the same bytes at the
 * same addresses on equal memory, so that even addresses that end up in registers agree. A sequence ends with UD2; any
 * fault on the way ends it earlier.
 */
#pragma once

#include <stdio.h>

#include <Zydis/Zydis.h>

#include "hw/cpu/insn.h"

/* ---------------------------------------------------------------- the address space of a sequence */

#define PAGE	   4096u
#define DATA_BASE  0x20000000ull
#define DATA_PAGES 9u /* see page_kind() */
#define CODE_BASE  0x21000000ull
#define CODE_PAGES 2u
#define CODE_SIZE  (CODE_PAGES * PAGE)
#define GS_BASE	   0x10000040ull

enum page_kind { PAGE_NONE, PAGE_RW, PAGE_RO };
/* Faults lie on both sides of what can be accessed, and a read-only page follows a writable one. */
static inline enum page_kind page_kind(unsigned int n)
{
	static const enum page_kind kind[DATA_PAGES] = {
		PAGE_NONE, PAGE_RW, PAGE_RW, PAGE_RW, PAGE_NONE, PAGE_RW, PAGE_RO, PAGE_NONE, PAGE_NONE,
	};

	return kind[n];
}

struct image {
	u8 byte[DATA_PAGES][PAGE];
} __attribute__((aligned(4096)));

/* ---------------------------------------------------------------- randomness */

struct rng {
	u64 state;
};

static inline u64 rng64(struct rng *r)
{
	u64 z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}
static inline unsigned int rng_below(struct rng *r, unsigned int n)
{
	return (u32)rng64(r) * (u64)n >> 32;
}
static inline bool rng_percent(struct rng *r, unsigned int percent)
{
	return rng_below(r, 100) < percent;
}
u64 rng_value(struct rng *r); /* interesting more often than not */

/* ---------------------------------------------------------------- forms (forms.c) */

struct form {
	u16 mnemonic;
	u8 map, opcode; /* ZydisOpcodeMap */
	u8 prefix;	/* 0, 66, F2, F3 */
	u8 modrm;	/* reg field as enumerated; mod 3 or 0 */
	bool has_modrm, has_mem, rex_w, vex, vex_l, fixed_rm;
};

struct forms {
	bool compat;	   /* of 32-bit code */
	struct form *form; /* by mnemonic */
	size_t count;
	struct {
		u32 first, count;
	} * by_mnemonic; /* those that have any */
	size_t mnemonics;
};

/* Also prints what the host lacks if `report` is not NULL. */
int forms_build(struct forms *f, bool compat, FILE *report);
/* How both modes are decoded here: as a processor without CET, MPX and CLDEMOTE does. */
void decoder_init(ZydisDecoder *decoder, bool compat);
void forms_free(struct forms *f);

/* ---------------------------------------------------------------- sequences (generate.c) */

#define MAX_UNITS 16u

#define XSAVE_SIZE   832u
#define XSAVE_HEADER 512u
#define XSAVE_YMM    576u /* SDM 1 13.4.2: checked against CPUID at the start */

struct state {
	u64 gpr[16];
	u64 rip, rflags;
	u16 ds, es;
	u8 fx[XSAVE_SIZE] __attribute__((aligned(64))); /* as XSAVE64 of x87, SSE, AVX; without AVX as FXSAVE64 */
};

struct unit {
	u16 start, insn, end; /* offsets in code; the setup is in front of insn */
	u16 mnemonic;
	bool vector_memory;	/* more than 8 bytes in memory */
	u32 undefines, defines; /* flags, by insn */
	bool defined_before;	/* all flags, by the setup */
	bool removed;		/* NOPs stand there */
};

struct sequence {
	u8 code[CODE_SIZE];
	unsigned int entry, end; /* `end`: the UD2 */
	struct unit unit[MAX_UNITS];
	unsigned int units;
	bool compat; /* 32-bit code in compatibility mode */
	bool step;   /* ours runs it one instruction at a time, without handlers of their own */
	struct state initial;
	struct image *memory; /* before the run */
};

/* forms: of 64-bit and of 32-bit code; a quarter of the sequences is the latter. */
void generate(const struct forms forms[2], u64 seed, u64 number, struct sequence *s);
/* Flags that may differ if execution stopped at `rip`. */
u32 sequence_undefined(const struct sequence *s, u64 rip);
/* The unit that `rip` lies in; NULL: none. */
const struct unit *sequence_unit(const struct sequence *s, u64 rip);

/* ---------------------------------------------------------------- one instruction (emit.c) */

struct emitter {
	struct rng *rng;
	struct sequence *s;
	unsigned int at;
};

/* False: nothing was emitted, try another form. */
bool emit_form(struct emitter *e, const struct form *f);
/* Instructions that the processor refuses to user code. */
void emit_privileged(struct emitter *e);

/* ---------------------------------------------------------------- undefined results (undefined.c) */

/* Flags that the instruction leaves undefined. */
u32 undefined_flags(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops);
/* Flags that it reads, and those that it surely writes. */
u32 flags_read(const ZydisDecodedInstruction *z);
u32 flags_written(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops);
/* Bits of CR2 that are compared. */
u64 fault_address_mask(u16 mnemonic);
/* MXCSR flags that are compared when the instruction raised #XM. */
u32 mxcsr_mask(u16 mnemonic);
/* Bytes of the FXSAVE image that are not compared are cleared. */
void mask_fx(u8 fx[XSAVE_SIZE]);

/* ---------------------------------------------------------------- running */

struct outcome {
	struct state state;
	u32 vector;
	u64 error, cr2;	     /* error: vectors that have one; cr2: #PF */
	const char *failure; /* did not stop by an exception: why */
	struct image *memory;
};

int native_init(void);
bool host_has_avx(void); /* and the offset of its state is XSAVE_YMM */
void native_run(const struct sequence *s, struct outcome *out);
int machine_init(void);
void machine_run(const struct sequence *s, struct outcome *out);
void machine_destroy(void);

/* ---------------------------------------------------------------- compare.c */

/* True if equal; else the first difference as text. */
bool outcomes_equal(const struct sequence *s, struct outcome *native, struct outcome *ours, char *text, size_t size);
bool vector_has_error(u32 vector);
