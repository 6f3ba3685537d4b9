/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A #VE runtime for code that is the kernel of an Intel trust domain: unikernels, firmware, tests. Freestanding C and assembly,
 * 64-bit mode, no memory but the stack, no floating point; take the folder and build its files into your own.
 *
 *   1. Give it a struct ve_host: where page tables can be read, your exception table, where a line of text goes.
 *   2. Put ve_entry into gate 20 of the IDT (an interrupt gate; no IST, or one that nothing else uses).
 *   3. Accept memory with tdx_accept() before its first use; make memory shared or private with tdx_map_gpa().
 *
 * From then on IN, OUT, HLT, RDMSR, WRMSR, CPUID and MMIO by MOV work as on hardware. What cannot be handled goes to your exception
 * table, and if that does not know it either, to ve_host.unhandled() after one line that says which instruction at which address.
 *
 * Concurrency: every function may run on any number of vCPUs at once; ve_set_host() comes before the first of them needs it.
 */
#pragma once

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What ve_entry finds and restores. gpr is in the order of the instruction encoding: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
struct ve_frame {
	uint64_t gpr[16]; /* [4] is a copy of rsp, and not restored */
	uint64_t rip, cs, rflags, rsp, ss;
};

struct ve_host {
	/* Page tables are readable at their physical address plus this. */
	uint64_t phys_offset;
	/* Where to go on instead of an instruction that failed: your exception table. 0: it is not in there. May be NULL. */
	uint64_t (*fixup)(uint64_t rip);
	/* One line without a newline. May be NULL. */
	void (*report)(const char *line);
	/* After that line: true if the frame now says where to go on, as for a signal to the process. Else, and if NULL, the TD ends
	 * by TDG.VP.VMCALL<ReportFatalError>. */
	bool (*unhandled)(struct ve_frame *frame);
};

/* Keeps the pointer. Reads GPAW by TDG.VP.INFO: this is a TD, or the first TDCALL is #UD. */
void ve_set_host(const struct ve_host *host);

/* For the IDT; and its C half, for those who have an entry of their own: with interrupts off, before anything that could raise #VE. */
void ve_entry(void);
void ve_handle(struct ve_frame *frame);

/* ---- memory. Addresses are physical, whole pages, without the shared bit. */

enum tdx_result {
	TDX_OK,
	TDX_BAD_RANGE, /* not whole pages, or beyond the shared bit */
	TDX_ACCEPTED_BEFORE, /* some page was: if that is not your own doing, the host has played with memory */
	TDX_REFUSED,   /* by the module or the host; some pages may be done */
};

/* TDG.MEM.PAGE.ACCEPT of all pages of a range, 2 MiB at once where that is possible. */
enum tdx_result tdx_accept(uint64_t start, uint64_t size);
/* TDG.VP.VMCALL<MapGPA>, gone on with where the host said RETRY. What becomes private must be accepted next. */
enum tdx_result tdx_map_gpa(uint64_t start, uint64_t size, bool shared);
/* The bit of a guest-physical address, and so of a page-table entry, that makes it shared. */
uint64_t tdx_shared_bit(void);

/* ---- TDCALL */

/* In: rcx, rdx, r8..r15 of the leaf. Out: what the leaf returns in them. Returns RAX, the completion status. */
struct tdcall {
	uint64_t rcx, rdx, r8, r9, r10, r11, r12, r13, r14, r15;
};
uint64_t tdcall(uint64_t leaf, struct tdcall *regs);
/* TDG.VP.VMCALL with R10 = 0 and R11..R15 given and taken: the host's R10. Halts if the module refuses the call. */
uint64_t tdvmcall(uint64_t function, struct tdcall *regs);

/* Accesses by TDVMCALL for drivers that know they are in a TD. False: the host refused. gpa has no shared bit. */
bool tdx_mmio_read(uint64_t gpa, unsigned int size, uint64_t *value);
bool tdx_mmio_write(uint64_t gpa, unsigned int size, uint64_t value);
bool tdx_port_in(uint16_t port, unsigned int size, uint32_t *value);
bool tdx_port_out(uint16_t port, unsigned int size, uint32_t value);
bool tdx_rdmsr(uint32_t msr, uint64_t *value);
bool tdx_wrmsr(uint32_t msr, uint64_t value);
void tdx_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
void tdx_halt(bool interrupts_blocked);
/* Up to 64 characters. */
__attribute__((noreturn)) void tdx_fatal_error(uint64_t code, const char *message);
#endif
