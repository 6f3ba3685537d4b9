// SPDX-License-Identifier: Apache-2.0
/*
 * One logical processor, as the files of hw/cpu/ see it. Nobody outside hw/ includes this.
 *
 * Layout of the work (each file one topic):
 *   block.c  decode.c  exec_*.c   blocks, decoding into ops, the specialised handlers    (op.h)
 *   int_*.c                       the remaining integer instructions                     (insn.h)
 *   fpu_*.c  simd_*.c  xsave.c    x87, MMX, SSE                                          (insn.h)
 *   sys_*.c                       control registers, MSRs, segments, far transfers       (insn.h)
 *   mmu.c  tlb.c  access.c        the four steps of an access; slow path of loads and stores
 *   event.c                       exceptions, interrupts, IDT delivery
 *   vmexit.c                      exits in the platform's format
 *   run.c                         hw_cpu_run(): entry, injection, requests, leaving
 *
 * Everything here belongs to the thread in hw_cpu_run() but for `request` and what hw.h marks "any thread".
 *
 * Restart rule: an instruction does all that can fail first (fetch of operands, permission checks of stores),
 * then commits. A failing step returns a non-zero enum exec_result with nothing changed; it is re-run later.
 */
#pragma once

#include "hw/cpu/tlb.h"
#include "hw/hw.h"

/* ---------------------------------------------------------------- lazy flags */

/*
 * The six arithmetic flags are kept as (res, aux), exact at every instruction:
 *   ZF res == 0          res: result, sign-extended from the operand size to 64 bits
 *   SF (res >> 63) ^ (aux & 1)
 *   PF parity of (u8)res ^ (u8)(aux >> 8)
 *   AF aux bit 3
 *   CF aux bit 63        OF aux bit 63 ^ aux bit 62
 * Bits 0 and 15:8 are corrections for combinations no result has (POPF, SAHF, IRET).
 */
struct hw_flags {
	u64 res;
	u64 aux;
};

#define FLAG_CF (1u << 0)
#define FLAG_PF (1u << 2)
#define FLAG_AF (1u << 4)
#define FLAG_ZF (1u << 6)
#define FLAG_SF (1u << 7)
#define FLAG_TF (1u << 8)
#define FLAG_IF (1u << 9)
#define FLAG_DF (1u << 10)
#define FLAG_OF (1u << 11)
#define FLAG_IOPL (3u << 12)
#define FLAG_NT (1u << 14)
#define FLAG_RF (1u << 16)
#define FLAG_VM (1u << 17)
#define FLAG_AC (1u << 18)
#define FLAG_VIF (1u << 19)
#define FLAG_VIP (1u << 20)
#define FLAG_ID (1u << 21)
#define FLAGS_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static inline u32 flags_to_eflags(struct hw_flags f)
{
	u32 cf = f.aux >> 63, of = cf ^ (f.aux >> 62 & 1);
	u32 sf = (f.res >> 63 ^ f.aux) & 1;
	u32 pf = !__builtin_parity((u8)f.res ^ (u8)(f.aux >> 8));

	return cf | pf << 2 | (f.aux & 8) << 1 | (u32)(f.res == 0) << 6 | sf << 7 | of << 11;
}

static inline struct hw_flags flags_from_eflags(u32 e)
{
	u64 cf = e & 1, of = e >> 11 & 1, sf = e >> 7 & 1, pf = e >> 2 & 1;
	u64 res = e & FLAG_ZF ? 0 : 1; /* low byte 0: even parity; 1: odd */
	u64 natural_pf = res == 0;

	return (struct hw_flags){
		.res = res,
		.aux = cf << 63 | (cf ^ of) << 62 | (natural_pf ^ pf) << 8 | (e >> 4 & 1) << 3 | sf,
	};
}

/* ---------------------------------------------------------------- TLB */

/*
 * Hit: (lin + size - 1) & PAGE_MASK == e->tag; host address = lin + e->addend. A page that is MMIO, write-protected,
 * carries decoded code (write array), or whose accessed/dirty bit is not yet set is absent.
 */
struct tlb_entry {
	u64 tag;
	u64 addend;
};

static inline unsigned int tlb_index(u64 lin) { return (lin >> HW_PAGE_SHIFT) & (TLB_SIZE - 1); }

/* ---------------------------------------------------------------- jump cache */

/*
 * rip and mode to the first op of a block; forgotten with the TLB by code_translation_changed(). The index determines the
 * page offset once the page is known, so the tag has room for a generation in the low 12 bits: forgetting is counting up.
 */
#define JUMP_CACHE_BITS 14
#define JUMP_CACHE_SIZE (1u << JUMP_CACHE_BITS)
struct op;
struct jump_entry {
	u64 tag;
	const struct op *op;
};

/* ---------------------------------------------------------------- results of a step */

enum exec_result {
	EXEC_OK = 0,   /* done; rip moves behind the instruction */
	EXEC_JUMP,     /* done; arch.rip was set by the instruction */
	EXEC_END,      /* done; rip moves behind it, but leave the block (mode, translation or interrupt state changed) */
	EXEC_FAULT,    /* not done: cpu->fault says what to deliver */
	EXEC_EXIT,     /* not done: cpu->exit is filled; the instruction restarts when hw_cpu_run() is called again */
	EXEC_AGAIN,    /* not done: a translation was filled or a rep iteration made progress: run it again after requests */
};

enum {
	X86_DE = 0, X86_DB = 1, X86_NMI = 2, X86_BP = 3, X86_OF = 4, X86_BR = 5, X86_UD = 6, X86_NM = 7, X86_DF = 8, X86_TS = 10,
	X86_NP = 11, X86_SS = 12, X86_GP = 13, X86_PF = 14, X86_MF = 16, X86_AC = 17, X86_XM = 19, X86_VE = 20, X86_CP = 21,
};

struct cpu_fault {
	u8 vector;
	bool has_error;
	bool software; /* INT n, INT3, INTO, ICEBP: DPL check, rip of the next instruction is pushed */
	bool trap;     /* rip of the next instruction is pushed (single step, data breakpoints) */
	u32 error;
	u64 cr2;       /* #PF */
	u64 dr6;       /* #DB: bits to set */
};

/* ---------------------------------------------------------------- the processor */

/* request bits: set by any thread with release order, tested at every block end */
#define REQ_KICK	 (1u << 0) /* leave hw_cpu_run() */
#define REQ_TLB_FLUSH	 (1u << 1)
#define REQ_CODE_CHECK	 (1u << 2) /* compare decoded code with memory before it is used again */
#define REQ_CODE_DROP	 (1u << 3) /* frames in `code_drop` were written: drop their blocks */
#define REQ_PI		 (1u << 4) /* merge the posted-interrupt descriptor */
#define REQ_EVENT	 (1u << 5) /* own thread: evaluate interrupts, windows, single step before the next block */
#define REQ_STOP	 (1u << 6) /* debugger: park in place until released (hw/debug.h) */
#define REQ_BLOCK_FLUSH (1u << 7) /* drop every block (breakpoints changed) */

/* One access that an instruction in progress has already made outside the processor. */
struct done_access {
	u64 addr;
	u64 data;
	u8 size;
	bool write, pio;
};
#define MAX_DONE_ACCESS 160 /* XSAVE to MMIO: 104 pieces of 8 bytes, and the header's reads */

struct block;
struct block_cache;
struct smc_queue;

struct hw_cpu {
	/* ---- hot: what handlers touch, in the first cache lines */
	struct hw_arch arch; /* gpr[16] first: ops address registers by byte offset from the cpu */
	u64 zero;	     /* missing base or index register */
	struct hw_flags flags; /* valid outside handlers, while in hw_cpu_run(); arch.rflags holds the others */
	u32 request;	     /* REQ_*; atomic */
	u32 cpl;
	u32 mode;	     /* MODE_*: derived by cpu_update_mode() */
	u32 tlb_mode;	     /* which set of the TLB (tlb.h): derived by cpu_update_mode() */
	u64 jump_generation; /* block.c */
	s64 budget;	     /* instructions until the next event under icount; never reached otherwise */
	s64 budget_counted;  /* value of budget up to which insn_retired has counted */
	u64 insn_retired;    /* instructions completed, up to date after cpu_count_retired() */

	struct tlb_entry tlb_read[TLB_MODES][TLB_SIZE];
	struct tlb_entry tlb_write[TLB_MODES][TLB_SIZE];
	struct jump_entry jump_cache[JUMP_CACHE_SIZE];

	/* ---- the instruction in progress */
	struct cpu_fault fault;
	struct hw_exit exit;
	bool exit_pending_access; /* exit.access waits for hw_cpu_complete_access() */
	unsigned int done_count, done_next; /* recorded accesses; how many the restarted instruction consumed */
	struct done_access done[MAX_DONE_ACCESS];
	/* REP INS: elements that were read ahead (bytes), behind its record in `done`, and the next one to be stored */
	unsigned int string_size, string_next;
	u8 string[HW_STRING_SIZE];

	struct hw_ctl ctl;

	/* ---- components, each owned by its file */
	struct hw_vm *vm;
	struct hw_machine *machine;
	int index;
	struct block_cache *blocks;  /* block.c */
	u16 fpu_cs, fpu_ds;	     /* fpu_*.c: FCS and FDS, which arch.xsave has no place for */
	struct hw_event delivering;  /* event.c: for IDT-vectoring information */
	bool in_delivery;
	bool pending_db;	     /* single step or data breakpoint trap is due before the next instruction */
	u64 pending_dr6;
	bool step_armed;	     /* event.c: an instruction was begun in MODE_STEP */
	bool step_tf, step_rf;	     /* TF and RF as it began */
	u32 step_shadow;	     /* HW_BLOCK_* that end with it */
	u64 step_retired;	     /* insn_retired before it */
	u64 sti_next;		     /* sys_misc.c: behind an STI whose shadow has not been looked at yet; 0: none */
	u64 random_count;	     /* sys_misc.c: RDRAND and RDSEED so far, under icount */
	u64 fault_bits;		     /* fault injector */
	unsigned int fault_bits_count;
	u32 in_run;		     /* atomic: 1 while translations may be in use; see run.c */
	u64 deadline;		     /* icount: host TSC at which to leave */
	struct hw_counters counters;
	struct debug_port *debug;    /* hw/debug.h; NULL: none */
	struct tlb_state tlb;	     /* tlb.c */
	bool eoi_exit;		     /* vapic.c: an EOI-induced exit is due before the next instruction */
	u8 eoi_vector;
	/* Not NULL while the processor holds the state of a TD's vCPU: what kvm sees in place of arch and ctl. */
	struct hw_arch *host_arch;
	struct hw_ctl *host_ctl;
};

/* Mode bits that change decoding or checks: part of the block key. */
#define MODE_CS64   (1u << 0) /* 64-bit code */
#define MODE_CS32   (1u << 1) /* 32-bit default operand and address size; neither: 16-bit */
#define MODE_SS32   (1u << 2) /* stack size outside 64-bit mode */
#define MODE_USER   (1u << 3) /* CPL 3 */
#define MODE_PROT   (1u << 4) /* CR0.PE and not VM86 */
#define MODE_FLAT   (1u << 5) /* ES, CS, SS, DS have base 0 and limit 4G (or 64-bit mode): no segment checks needed */
#define MODE_STEP   (1u << 6) /* one-instruction blocks: TF, data breakpoints, interrupt shadow, debugger step */
#define MODE_LONG   (1u << 7) /* EFER.LMA */
#define MODE_VM86   (1u << 8)

/* Recompute cpl, mode, tlb_mode from arch. Does not flush. (sys_state.c) */
void cpu_update_mode(struct hw_cpu *c);
/* CR4 bits of the features that are implemented. (sys_cr.c) */
u64 cpu_cr4_supported(void);
/* State after RESET or INIT, SDM 3A 9.1.1. (sys_state.c) */
void cpu_reset_arch(struct hw_cpu *c, bool init);
/*
 * POPF, IRET, STAC, ...: the bits in `mask` (any of RFLAGS) take their value from `value`; derived state and REQ_EVENT
 * follow. EXEC_OK if only arithmetic flags, DF and ID changed, else EXEC_END. Privilege is the caller's affair.
 */
int cpu_set_rflags(struct hw_cpu *c, u64 value, u64 mask);

static inline bool cpu_cs64(const struct hw_cpu *c) { return c->mode & MODE_CS64; }
static inline bool cpu_long_mode(const struct hw_cpu *c) { return c->arch.efer >> 10 & 1; }
static inline bool cpu_protected(const struct hw_cpu *c) { return c->mode & MODE_PROT; }

/* Whole RFLAGS: the arithmetic bits from the lazy pair, the others from arch.rflags. */
static inline u64 cpu_get_rflags(const struct hw_cpu *c)
{
	return (c->arch.rflags & ~(u64)FLAGS_ARITH) | flags_to_eflags(c->flags) | 2;
}
static inline void cpu_set_arith_flags(struct hw_cpu *c, u32 eflags) { c->flags = flags_from_eflags(eflags); }

/* ---------------------------------------------------------------- faults (event.c) */

/* Each records the fault and returns EXEC_FAULT, so that "return cpu_gp(c, 0);" reads well. */
int cpu_raise(struct hw_cpu *c, u8 vector);
int cpu_raise_error(struct hw_cpu *c, u8 vector, u32 error);
int cpu_page_fault(struct hw_cpu *c, u64 lin, u32 error);
static inline int cpu_ud(struct hw_cpu *c) { return cpu_raise(c, X86_UD); }
static inline int cpu_gp(struct hw_cpu *c, u32 error) { return cpu_raise_error(c, X86_GP, error); }

/*
 * Deliver cpu->fault (or an injected event) through the IDT: pushes, loads CS:RIP, double and triple faults.
 * arch.rip is the faulting instruction's, next_rip the one behind it. EXEC_JUMP, or EXEC_EXIT (intercepted,
 * triple fault, a stage-2 violation during delivery).
 */
int cpu_deliver_fault(struct hw_cpu *c, u64 next_rip);
int cpu_deliver_event(struct hw_cpu *c, const struct hw_event *event);
/*
 * Before the next block: pending #DB, NMI and interrupt windows, virtual interrupts. EXEC_OK: nothing to do.
 * run.c calls it when REQ_EVENT was set, at every entry, and before *every* block in MODE_STEP (with insn_retired up to
 * date): it also ends interrupt shadows and raises single-step traps. Calling it twice in a row is harmless.
 */
int cpu_check_events(struct hw_cpu *c);
/* INT n (HW_EVENT_SOFTINT), INT3 and INTO (HW_EVENT_SOFTEXC) at arch.rip, `len` bytes long. EXEC_JUMP, EXEC_EXIT. */
int cpu_deliver_software(struct hw_cpu *c, enum hw_event_type type, u8 vector, unsigned int len);

/* ---------------------------------------------------------------- memory (access.c, mmu.c) */

/* Access kinds: page-fault error-code bits, SDM 3A 4.7. */
#define ACC_READ  0u
#define ACC_WRITE (1u << 1)
#define ACC_USER  (1u << 2)
#define ACC_FETCH (1u << 4)
#define ACC_IMPLICIT (1u << 8) /* the processor's own supervisor access whatever the CPL (descriptor tables, TSS, IDT) */
#define ACC_RMW   (1u << 9)    /* load that will be followed by a store: checked as a write */

/*
 * The slow path of every load and store: any size up to 64, any alignment, page crossing, MMIO piece by piece, A/D bits,
 * data breakpoints, code pages. `lin` is linear (segment applied, truncated to 32 bits outside 64-bit mode). Non-canonical
 * addresses: the caller has raised #GP/#SS by cpu_linear(). EXEC_OK, EXEC_FAULT, EXEC_EXIT. They fill the TLB.
 * cpu_write() checks everything before the first byte changes.
 */
int cpu_read(struct hw_cpu *c, u64 lin, void *dst, unsigned int size);
int cpu_write(struct hw_cpu *c, u64 lin, const void *src, unsigned int size);
int cpu_read_acc(struct hw_cpu *c, u64 lin, void *dst, unsigned int size, unsigned int acc);
int cpu_write_acc(struct hw_cpu *c, u64 lin, const void *src, unsigned int size, unsigned int acc);
/* Would a store succeed (permission, presence)? Sets A/D. MMIO counts as success. */
int cpu_probe_write(struct hw_cpu *c, u64 lin, unsigned int size);
/*
 * Host address of [lin, lin+size) within one page for an atomic read-modify-write; *host NULL if it crosses a page or is
 * MMIO: then use cpu_locked_rmw().
 */
int cpu_rmw_host(struct hw_cpu *c, u64 lin, unsigned int size, void **host);
/* The global slow path of locked accesses that cross a page or hit MMIO: calls fn(old, new, opaque) under the vm's split
 * lock; fn returns whether to store. size <= 16. */
int cpu_locked_rmw(struct hw_cpu *c, u64 lin, unsigned int size, bool (*fn)(const void *old, void *new_value, void *opaque),
		   void *opaque);

/* Code bytes at rip for the decoder: up to 15, as many as are accessible; *frame/offset of the first byte.
 * EXEC_FAULT/EXEC_EXIT only if the first byte is not accessible. `second` is valid if the bytes cross a page. */
struct fetch_result {
	u8 bytes[15];
	unsigned int len;
	hpa_t first;  /* host address of the first byte */
	hpa_t second; /* host address of the first byte of the next page; 0: not reached */
};
int cpu_fetch(struct hw_cpu *c, u64 lin, struct fetch_result *out);
/* Translate for execution; fills a small fetch TLB. *host: host address of the byte. */
int cpu_fetch_translate(struct hw_cpu *c, u64 lin, hpa_t *host);

void cpu_tlb_flush(struct hw_cpu *c);			 /* everything, and the jump cache */
void cpu_tlb_flush_nonglobal(struct hw_cpu *c);
void cpu_tlb_flush_page(struct hw_cpu *c, u64 lin);	 /* INVLPG */
/* The write-array entries whose host page is `page` go away (it carries code now). */
void cpu_tlb_protect_frame(struct hw_cpu *c, hpa_t page);

enum hw_claim { CLAIM_NONE, CLAIM_SHARED, CLAIM_PRIVATE };

/* The four steps of an access (mmu.c), in order; each has its trace point. */
struct access {
	u64 lin;	  /* (1) what is accessed */
	unsigned int acc; /* ACC_* */
	unsigned int size;
	/* (2) guest paging */
	gpa_t gpa;
	unsigned int guest_level; /* page size of the guest's mapping, 1..3 */
	bool guest_writable, guest_user, guest_global, dirty;
	bool table; /* gpa is that of an entry of the guest's paging structures, not the translation of lin */
	/* (3) hardware claim */
	enum hw_claim claim;
	/* (4) host structures */
	struct stage2_walk s2;
};
int access_begin(struct hw_cpu *c, struct access *a);	     /* canonical, breakpoints, alignment (AC) */
int access_guest_walk(struct hw_cpu *c, struct access *a);   /* SDM 3A ch. 4; #PF with exact error code */
void access_claim(struct hw_cpu *c, struct access *a);	     /* shared bit, C-bit: none for ordinary VMs */
int access_stage2(struct hw_cpu *c, struct access *a);	     /* EXEC_EXIT on violation, or EXEC_FAULT: #VE */

static inline enum hw_claim cpu_claim_of(const struct hw_cpu *c, u64 address)
{
	if (!c->ctl.claim_bit)
		return CLAIM_NONE;
	return !!(address & c->ctl.claim_bit) == c->ctl.claim_bit_is_private ? CLAIM_PRIVATE : CLAIM_SHARED;
}
/* The table behind an access of that claim. */
static inline const struct stage2 *cpu_stage2(const struct hw_cpu *c, enum hw_claim claim)
{
	return claim == CLAIM_PRIVATE && c->ctl.s2_private ? c->ctl.s2_private : c->ctl.s2;
}
/* For the debugger: virtual to host; no fault is raised, nothing is remembered. False: not mapped. */
bool cpu_debug_translate(struct hw_cpu *c, u64 lin, hpa_t *host);

/* ---------------------------------------------------------------- segments (sys_seg.c) */

/* Linear address of seg:off for an access of `size` bytes: canonical check, limit and type checks; #GP/#SS.
 * Fast when MODE_FLAT. acc: ACC_READ or ACC_WRITE. */
int cpu_linear(struct hw_cpu *c, unsigned int sreg, u64 off, unsigned int size, unsigned int acc, u64 *lin);
/* MOV/POP to a segment register, LDS..LGS: checks, hidden part, SS inhibition left to the caller. */
int cpu_load_sreg(struct hw_cpu *c, unsigned int sreg, u16 selector);
/* Push and pop with the current stack size: used by exceptions, far calls, int_stack.c. RSP moves on success only. */
int cpu_push(struct hw_cpu *c, u64 value, unsigned int size);
int cpu_pop(struct hw_cpu *c, u64 *value, unsigned int size);

/* ---------------------------------------------------------------- exits (vmexit.c) */

/* Each fills cpu->exit in the platform's format and returns EXEC_EXIT. Leave arch as at the start of the instruction. */
int cpu_exit_stage2(struct hw_cpu *c, const struct access *a); /* or EXEC_FAULT, #VE in place of the exit */
int cpu_exit_simple(struct hw_cpu *c, u32 vmx_reason, u64 svm_code, unsigned int insn_len);
int cpu_exit_msr(struct hw_cpu *c, bool write, unsigned int insn_len);
int cpu_exit_io(struct hw_cpu *c, u16 port, unsigned int size, bool write, u64 data, bool string, bool rep, unsigned int insn_len);
#define CR_EXIT_CLTS 16u /* in place of gpr */
#define CR_EXIT_LMSW 17u /* value: the source operand */
int cpu_exit_cr(struct hw_cpu *c, unsigned int cr, bool write, unsigned int gpr, u64 value, unsigned int insn_len);
int cpu_exit_triple_fault(struct hw_cpu *c);
int cpu_exit_exception(struct hw_cpu *c, const struct cpu_fault *f);
int cpu_exit_host_fault(struct hw_cpu *c);
int cpu_exit_kicked(struct hw_cpu *c);
int cpu_exit_window(struct hw_cpu *c, bool nmi);
int cpu_exit_eoi(struct hw_cpu *c, u8 vector);

/* Results of accesses already made by the instruction in progress: true and *data if the next one matches. */
bool cpu_done_access(struct hw_cpu *c, bool pio, bool write, u64 addr, unsigned int size, u64 *data);
/* The instruction (or one iteration of a string instruction) is complete: its recorded accesses are forgotten. The run loop
 * sets done_next to 0 when it restarts one. hw_cpu_complete_access(), _drop_access() and _mid_insn() are in access.c. */
static inline void cpu_insn_done(struct hw_cpu *c) { c->done_count = c->done_next = 0; }

/* ---------------------------------------------------------------- code coherence (block.c) */

/* A guest store hit the page of `page` which carries decoded code: drop what overlaps, on every vCPU. Never waits.
 * The store itself must be done *before* the call returns control to guest code. */
void code_written(struct hw_cpu *c, hpa_t start, unsigned int size);
/* Does the frame carry decoded code of any vCPU of the vm? (then it may not enter a write TLB) */
bool code_on_frame(struct hw_vm *vm, hpa_t page);
/* Called by every flush of the TLB: linear addresses may mean other code now (jump cache). */
void code_translation_changed(struct hw_cpu *c);

/* ---------------------------------------------------------------- the machine */

/* Process requests (flush, code drop, acks); called at block ends and while waiting for another vCPU. */
void cpu_process_requests(struct hw_cpu *c, u32 requests);
void cpu_request(struct hw_cpu *c, u32 bits); /* any thread */

/* vm.c: serialises locked accesses that no single host instruction can make. */
void vm_split_lock(struct hw_vm *vm);
void vm_split_unlock(struct hw_vm *vm);

/* Outside hw_cpu_run(), by the vCPU's thread: between the two, stage-2 tables and pages found in them stay, as within it. */
void cpu_pin(struct hw_cpu *c);
void cpu_unpin(struct hw_cpu *c);

void cpu_count_retired(struct hw_cpu *c); /* brings insn_retired up to date */
u64 cpu_guest_tsc(const struct hw_cpu *c);

static inline bool cpu_is_intel(const struct hw_cpu *c) { return hw_machine_config(c->machine)->platform == HW_PLATFORM_INTEL; }
