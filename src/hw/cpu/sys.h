// SPDX-License-Identifier: Apache-2.0
/*
 * sys: what the files of the system side (event*.c, sys_*.c, far_*.c, io.c, cpuid.c) share.
 *
 * Rule of all of them: memory is read, checked and written first, registers are committed last, so that a fault or an
 * exit in between leaves the processor as it was (bytes below the stack pointer are nobody's).
 */
#pragma once

#include "hw/apic/apic.h"
#include "hw/cpu/insn.h"

/* ---------------------------------------------------------------- bits */

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_PG (1u << 31)

#define CR4_VME	       (1u << 0)
#define CR4_PVI	       (1u << 1)
#define CR4_TSD	       (1u << 2)
#define CR4_DE	       (1u << 3)
#define CR4_PSE	       (1u << 4)
#define CR4_PAE	       (1u << 5)
#define CR4_MCE	       (1u << 6)
#define CR4_PGE	       (1u << 7)
#define CR4_PCE	       (1u << 8)
#define CR4_OSFXSR     (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP       (1u << 11)
#define CR4_LA57       (1u << 12)
#define CR4_FSGSBASE   (1u << 16)
#define CR4_PCIDE      (1u << 17)
#define CR4_OSXSAVE    (1u << 18)
#define CR4_SMEP       (1u << 20)
#define CR4_SMAP       (1u << 21)

#define EFER_SCE    (1u << 0)
#define EFER_LME    (1u << 8)
#define EFER_LMA    (1u << 10)
#define EFER_NXE    (1u << 11)
#define EFER_AIBRSE (1u << 21)

#define DR6_FIXED 0xffff0ff0u
#define DR6_B	  0xfu
#define DR6_BD	  (1u << 13)
#define DR6_BS	  (1u << 14)
#define DR6_BT	  (1u << 15)
#define DR7_FIXED 0x400u
#define DR7_GD	  (1u << 13)

/* Access rights of struct hw_segment. */
#define SEG_ACCESSED (1u << 0)
#define SEG_RW	     (1u << 1) /* data: writable; code: readable */
#define SEG_DC	     (1u << 2) /* data: expand down; code: conforming */
#define SEG_CODE     (1u << 3)
#define SEG_S	     (1u << 4)
#define SEG_DPL(a)   ((a) >> 5 & 3)
#define SEG_P	     (1u << 7)
#define SEG_L	     (1u << 13)
#define SEG_DB	     (1u << 14)
#define SEG_G	     (1u << 15)
#define SEG_UNUSABLE (1u << 16)

/* Types of system descriptors, SDM 3A Table 3-2. */
enum {
	SYS_TSS16 = 1,
	SYS_LDT = 2,
	SYS_TSS16_BUSY = 3,
	SYS_CALL16 = 4,
	SYS_TASK_GATE = 5,
	SYS_INT16 = 6,
	SYS_TRAP16 = 7,
	SYS_TSS32 = 9,
	SYS_TSS32_BUSY = 11,
	SYS_CALL32 = 12,
	SYS_INT32 = 14,
	SYS_TRAP32 = 15,
};

static inline bool cpu_canonical(const struct hw_cpu *c, u64 a)
{
	unsigned int shift = c->arch.cr4 & CR4_LA57 ? 7 : 16;

	return (u64)((s64)(a << shift) >> shift) == a;
}

static inline unsigned int cpu_iopl(const struct hw_cpu *c)
{
	return c->arch.rflags >> 12 & 3;
}

/* EXEC_OK as the result of a function that returns EXEC_OK or an error. */
#define SYS_TRY(expr)                                                                                                  \
	do {                                                                                                           \
		int sys_try_ = (expr);                                                                                 \
		if (sys_try_)                                                                                          \
			return sys_try_;                                                                               \
	} while (0)

/* ---------------------------------------------------------------- memory (sys_seg.c) */

/* The processor's own accesses: GDT, LDT, IDT, TSS. Supervisor whatever the CPL (SDM 3A 4.6.1). */
int sys_read(struct hw_cpu *c, u64 lin, void *dst, unsigned int size);
/* Up to five elements of 8 bytes from the current stack. */
int sys_read_stack(struct hw_cpu *c, u64 lin, void *dst, unsigned int size);
/* The frame of an event or a call on a stack of privilege `cpl`. */
int sys_write_stack(struct hw_cpu *c, u64 lin, const void *src, unsigned int size, unsigned int cpl);

/* ---------------------------------------------------------------- descriptors (sys_desc.c) */

struct descriptor {
	u64 low;
	u64 high; /* the second half, where the caller asked for it */
};

static inline unsigned int desc_type(u64 d)
{
	return d >> 40 & 15;
}
static inline unsigned int desc_dpl(u64 d)
{
	return d >> 45 & 3;
}
static inline bool desc_present(u64 d)
{
	return d >> 47 & 1;
}
static inline bool desc_is_segment(u64 d)
{
	return d >> 44 & 1;
}
static inline bool desc_is_code(u64 d)
{
	return (d >> 43 & 3) == 3;
}
static inline bool desc_conforming(u64 d)
{
	return d >> 42 & 1;
}
static inline bool desc_long(u64 d)
{
	return d >> 53 & 1;
}
static inline bool desc_big(u64 d)
{
	return d >> 54 & 1;
}
static inline bool sel_null(u16 sel)
{
	return (sel & ~3) == 0;
}

/* Descriptor of `sel` from the GDT or LDT; outside the table: exception `vector` with error code `sel`. */
int desc_read(struct hw_cpu *c, u16 sel, u8 vector, u64 *desc);
/* As desc_read() with both halves of a 16-byte system descriptor (64-bit mode). */
int desc_read_wide(struct hw_cpu *c, u16 sel, u8 vector, struct descriptor *desc);
/* False if outside the table, a memory fault is still reported through *result. For LAR, LSL, VERR, VERW. */
bool desc_peek(struct hw_cpu *c, u16 sel, struct descriptor *desc, int *result);
struct hw_segment desc_segment(u16 sel, u64 desc);
/* Sets the accessed bit in memory if it is clear. */
int desc_set_accessed(struct hw_cpu *c, u16 sel, u64 *desc);
/* The type byte of a TSS descriptor becomes busy. */
int desc_write_type(struct hw_cpu *c, u16 sel, u64 desc);

/* A stack in the TSS for a switch to `cpl` (SDM 3A 5.8.5, 6.12.1, 6.14.2). */
struct tss_stack {
	u64 sp;
	u16 ss;
};
int tss_read_stack(struct hw_cpu *c, unsigned int cpl, struct tss_stack *out);
int tss_read_stack64(struct hw_cpu *c, unsigned int index, u64 *rsp); /* 0..2: RSPn; 4..10: IST1..7 at index - 3 */

/* CS for a transfer to `cpl`: descriptor and selector RPL := cpl. */
struct hw_segment code_segment(u16 sel, u64 desc, unsigned int cpl);
/* SS of privilege `cpl` from a stack switch or an outer return; errors by `vector` as SDM 2A says of each. */
int stack_segment(struct hw_cpu *c, u16 sel, unsigned int cpl, u8 vector, struct hw_segment *out);
/* Limit and canonical check of an instruction pointer in a new CS. */
bool code_offset_ok(const struct hw_cpu *c, const struct hw_segment *cs, u64 rip);

/* SS of a stack segment as 64-bit mode loads it with a null selector. */
static inline struct hw_segment null_segment(u16 sel, unsigned int dpl)
{
	return (struct hw_segment){.selector = sel, .attr = SEG_UNUSABLE | dpl << 5};
}

/* ---------------------------------------------------------------- a frame on a stack */

/* Elements are pushed in order; nothing becomes visible in registers. */
struct frame {
	u64 slot[12]; /* in the order of the pushes */
	unsigned int count;
};
static inline void frame_push(struct frame *f, u64 v)
{
	f->slot[f->count++] = v;
}

struct stack {
	struct hw_segment ss;
	u64 sp;
	unsigned int cpl;
	bool wide; /* 64-bit stack: no segment */
	u8 vector; /* raised when the frame does not fit: #SS with `error` */
	u32 error;
};
/* Writes the frame of `size`-byte elements below st->sp and moves st->sp. */
int frame_write(struct hw_cpu *c, struct stack *st, const struct frame *f, unsigned int size);

/* ---------------------------------------------------------------- transfers and state */

/* Conditions of a hardware task switch are met: the exit (SDM 3C 25.2). Source: 0 CALL, 1 IRET, 2 JMP, 3 task gate in
 * the IDT. */
int sys_task_switch(struct hw_cpu *c, u16 tss, unsigned int source, unsigned int insn_len);
void sys_request_event(struct hw_cpu *c);
/* The bits in `mask` of RFLAGS from `value`; the others that changed. Derived state is the caller's affair. */
u64 sys_merge_rflags(struct hw_cpu *c, u64 value, u64 mask);
/* Does DR7 enable a breakpoint on instructions / anything? */
bool dr7_has_code_breakpoint(const struct hw_cpu *c);

/* Instruction functions named by the tables. */
#define SYS_INSN(name) int name(struct hw_cpu *c, const struct insn *i)
SYS_INSN(sys_mov_cr);
SYS_INSN(sys_mov_dr);
SYS_INSN(sys_load_far_pointer);
SYS_INSN(sys_lar);
SYS_INSN(sys_lsl);
SYS_INSN(sys_verr);
SYS_INSN(sys_verw);
SYS_INSN(sys_arpl);
SYS_INSN(sys_sgdt);
SYS_INSN(sys_sidt);
SYS_INSN(sys_lgdt);
SYS_INSN(sys_lidt);
SYS_INSN(sys_sldt);
SYS_INSN(sys_str);
SYS_INSN(sys_lldt);
SYS_INSN(sys_ltr);
SYS_INSN(sys_smsw);
SYS_INSN(sys_lmsw);
SYS_INSN(sys_clts);
SYS_INSN(sys_swapgs);
SYS_INSN(sys_rdfsbase);
SYS_INSN(sys_rdgsbase);
SYS_INSN(sys_wrfsbase);
SYS_INSN(sys_wrgsbase);
SYS_INSN(sys_cli);
SYS_INSN(sys_sti);
SYS_INSN(sys_clac);
SYS_INSN(sys_stac);
SYS_INSN(sys_rdmsr);
SYS_INSN(sys_wrmsr);
SYS_INSN(sys_rdtsc);
SYS_INSN(sys_rdtscp);
SYS_INSN(sys_rdpid);
SYS_INSN(sys_rdpmc);
SYS_INSN(sys_rdrand);
SYS_INSN(far_iret);
SYS_INSN(far_int);
SYS_INSN(far_int3);
SYS_INSN(far_into);
SYS_INSN(far_int1);
SYS_INSN(far_syscall);
SYS_INSN(far_sysret);
SYS_INSN(far_sysenter);
SYS_INSN(far_sysexit);
