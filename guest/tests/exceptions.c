// SPDX-License-Identifier: Apache-2.0
/* Exceptions: which vector, error code, saved RIP and flags; stacks; single step and breakpoints (SDM 3A ch. 6, 3B ch. 17). */
#include "lib/guest.h"

static void expect(const char *what, void (*fn)(void *), int vector, u64 error)
{
	struct exception e = catch(fn, NULL);

	report(e.vector == vector && e.error == error, "%s: vector %d error %lx (got %d %lx)", what, vector, error, e.vector, e.error);
}

static void divide_by_zero(void *p) { asm volatile("xor %%ecx, %%ecx; div %%ecx" : : : "eax", "ecx", "edx"); }
static void divide_overflow(void *p) { asm volatile("mov $0x80000000, %%eax; cdq; mov $-1, %%ecx; idiv %%ecx" : : : "eax", "ecx", "edx"); }
static void undefined(void *p) { asm volatile("ud2"); }
static void breakpoint_insn(void *p) { asm volatile("int3"); }
static void lock_register(void *p) { asm volatile(".byte 0xf0, 0x01, 0xc0"); } /* lock add eax, eax */
static void load_bad_selector(void *p) { asm volatile("mov %0, %%ds" : : "r"(0x1f8)); }
static void load_not_present(void *p) { asm volatile("mov %0, %%ds" : : "r"(0x60)); }
static void load_null_ss(void *p) { asm volatile("mov %0, %%ss; int $0x81" : : "r"(3)); }
static void int_beyond_idt(void *p) { asm volatile("int $0x90"); }
static void wrmsr_reserved(void *p) { wrmsr(0xc0000080, ~0ull); }
static void rdmsr_unknown(void *p) { rdmsr(0x4b564dff); }
static void cr0_reserved(void *p) { WRITE_CR(0, READ_CR(0) & ~1ull); } /* PG without PE */
static void cr4_reserved(void *p) { WRITE_CR(4, READ_CR(4) | 1ull << 31); }
static void cr3_reserved(void *p) { WRITE_CR(3, 1ull << 62); }
static void push_noncanonical(void *p)
{
	asm volatile("mov %%rsp, %%rcx; mov $0x0000900000000000, %%rax; mov %%rax, %%rsp; push %%rax; mov %%rcx, %%rsp" : : : "rax", "rcx");
}
static void fpu_off(void *p) { WRITE_CR(0, READ_CR(0) | 8); asm volatile("fnop"); }
static void sse_off(void *p) { WRITE_CR(4, READ_CR(4) & ~0x200ull); asm volatile("xorps %xmm0, %xmm0"); }
static void misaligned_sse(void *p) { asm volatile("movaps (%0), %%xmm0" : : "r"(1)); }
static void fxsave_misaligned(void *p) { asm volatile("fxsave (%0)" : : "r"(0x200008)); }

static int hits;
static u64 seen_rip, seen_dr6;
static void count_db(struct frame *f)
{
	hits++;
	seen_rip = f->rip;
	seen_dr6 = READ_DR(6);
	WRITE_DR(6, 0xffff0ff0);
	if (f->rflags >> 8 & 1 && hits >= 3)
		f->rflags &= ~0x100ull;
	f->rflags |= 1ull << 16;
}

static volatile u64 watched;
static void debug_exceptions(void)
{
	extern char bp_here[];

	set_handler(1, count_db);
	hits = 0;
	asm volatile("pushf; orl $0x100, (%%rsp); popf; nop; nop; nop; nop" : : : "memory", "cc");
	report(hits == 3, "TF traps after each instruction (got %d)", hits);
	report(seen_dr6 >> 14 & 1, "DR6.BS is set (got %lx)", seen_dr6);

	hits = 0;
	WRITE_DR(0, (u64)bp_here);
	WRITE_DR(7, 0x402 | 1);
	asm volatile("nop\nbp_here: nop\n nop" : : : "memory");
	WRITE_DR(7, 0x400);
	report(hits == 1 && seen_rip == (u64)bp_here && (seen_dr6 & 15) == 1, "instruction breakpoint, once, as a fault (hits %d rip %lx)", hits,
	       seen_rip);

	hits = 0;
	WRITE_DR(1, (u64)&watched);
	WRITE_DR(7, 0x400 | 1 << 2 | 0x9ull << 20); /* L1, write, 8 bytes = len 10b */
	watched = 5;
	(void)watched;
	WRITE_DR(7, 0x400);
	report(hits == 1 && (seen_dr6 & 15) == 2, "data breakpoint on a write (hits %d dr6 %lx)", hits, seen_dr6);
	set_handler(1, NULL);
}

static void saved_rip(void)
{
	extern char ud_here[], int3_after[];
	struct exception e;

	void ud(void *p) { asm volatile("ud_here: ud2"); }
	void i3(void *p) { asm volatile("int3\nint3_after: nop"); }
	e = catch(ud, NULL);
	report(e.rip == (u64)ud_here, "a fault saves the instruction's own address");
	e = catch(i3, NULL);
	report(e.rip == (u64)int3_after, "a trap saves the next instruction's address");
}

static void ist_stack(void)
{
	u64 before = 0;
	struct exception e;

	asm volatile("mov %%rsp, %0" : "=r"(before));
	idt_set_ist(6, 1);
	e = catch(undefined, NULL);
	report(e.vector == 6 && tss_rsp0_seen - before + 0x4000 > 0x8000, "IST switches the stack without a change of privilege");
	idt_set_ist(6, 0);
}

static void double_fault(void)
{
	struct exception e;

	idt_set_ist(8, 1);
	e = catch(push_noncanonical, NULL);
	report(e.vector == 8 && e.error == 0, "#SS whose delivery hits the bad stack again becomes #DF (got %d)", e.vector);
	idt_set_ist(8, 0);
}

static void popf_flags(void)
{
	u64 v;

	asm volatile("pushf; pop %0" : "=r"(v));
	report(v & 2, "RFLAGS bit 1 reads as one");
	asm volatile("push $0x8d5; popf; pushf; pop %0" : "=r"(v) : : "cc");
	report((v & 0x8d5) == 0x8d5, "POPF loads all six arithmetic flags");
	asm volatile("push $0x40; popf; lahf; movzbl %%ah, %%eax; mov %%rax, %0" : "=r"(v) : : "rax", "cc");
	report((v & 0xd5) == 0x40, "ZF alone");
	asm volatile("push $0x84; popf; pushf; pop %0" : "=r"(v) : : "cc");
	report((v & 0x8d5) == 0x84, "SF and PF without ZF");
	asm volatile("push $0xc4; popf; pushf; pop %0" : "=r"(v) : : "cc");
	report((v & 0x8d5) == 0xc4, "SF together with ZF, which no result has");
}

/* Checks that QEMU's TCG does not make; everything else is compared with it. */
static bool on_tcg(void)
{
	u32 a, b, c, d;

	cpuid(0x40000000, 0, &a, &b, &c, &d);
	return b == 0x54474354;
}

int main(void);
int main(void)
{
	u64 cr0, cr4;

	idt_init();
	cr0 = READ_CR(0);
	cr4 = READ_CR(4);
	expect("DIV by zero", divide_by_zero, 0, 0);
	expect("IDIV overflow", divide_overflow, 0, 0);
	expect("UD2", undefined, 6, 0);
	expect("INT3", breakpoint_insn, 3, 0);
	expect("LOCK on a register", lock_register, 6, 0);
	expect("selector beyond the GDT", load_bad_selector, 13, 0x1f8);
	expect("segment not present", load_not_present, 11, 0x60);
	if (!on_tcg()) {
		expect("null SS with RPL 3 at CPL 0", load_null_ss, 13, 0);
		lidt_limit(0x8f * 16 + 15);
		expect("INT beyond the IDT's limit", int_beyond_idt, 13, 0x90 << 3 | 2);
		lidt_limit(0xfff);
		expect("WRMSR of reserved EFER bits", wrmsr_reserved, 13, 0);
		expect("RDMSR of an unknown MSR", rdmsr_unknown, 13, 0);
		expect("CR0.PG without PE", cr0_reserved, 13, 0);
		expect("reserved CR4 bit", cr4_reserved, 13, 0);
		expect("reserved CR3 bit", cr3_reserved, 13, 0);
	}
	expect("x87 with CR0.TS", fpu_off, 7, 0);
	WRITE_CR(0, cr0);
	expect("SSE without CR4.OSFXSR", sse_off, 6, 0);
	WRITE_CR(4, cr4);
	expect("MOVAPS misaligned", misaligned_sse, 13, 0);
	expect("FXSAVE misaligned", fxsave_misaligned, 13, 0);
	saved_rip();
	ist_stack();
	double_fault();
	popf_flags();
	debug_exceptions();
	return report_failures();
}
