// SPDX-License-Identifier: Apache-2.0
/*
 * The #VE runtime at work in a trust domain: every form of instruction that it handles, what it refuses, memory that changes hands.
 * The device is the PCI configuration space of the host bridge (ECAM), which ports show, too.
 */
#include "lib/virtio.h"
#include "runtime/ve_runtime.h"

#define ECAM	   0xe0000000ull
#define SHARED_VA  0x10000000000ull

static u8 *bridge; /* configuration space of device 0, mapped as shared */
static char last_line[256];
static volatile u64 resume; /* where an instruction that must fail is to go on */
static unsigned int refused;

static u64 fixup(u64 rip)
{
	u64 to = resume;

	resume = 0;
	return to;
}

static void keep_line(const char *line)
{
	unsigned int i = 0;

	for (; line[i] && i < sizeof(last_line) - 1; i++)
		last_line[i] = line[i];
	last_line[i] = 0;
}

/* Nobody's exception table has it: the test's own code goes on. */
static bool unhandled(struct ve_frame *frame)
{
	refused++;
	if (frame->cs & 3) {
		/* As a signal would: the process goes on elsewhere, here behind its instruction (mov (%reg), %ecx). */
		frame->rip += 2;
		return true;
	}
	if (!resume) {
		print("FAIL: %s\n", last_line);
		return false;
	}
	frame->rip = resume;
	resume = 0;
	return true;
}

static u64 no_fixup(u64 rip) { return 0; }
static const struct ve_host with_table = { .fixup = fixup, .report = keep_line, .unhandled = unhandled };
static const struct ve_host without_table = { .fixup = no_fixup, .report = keep_line, .unhandled = unhandled };

static bool contains(const char *text, const char *part)
{
	for (; *text; text++) {
		unsigned int i = 0;

		while (part[i] && text[i] == part[i])
			i++;
		if (!part[i])
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- MMIO */

/* `insn` reads from (%rdx) into some part of rax, which held this before. */
static u64 s64_of_byte(u64 v) { return (u64)(int64_t)(int8_t)v; }
static u64 s64_of_word(u64 v) { return (u64)(int64_t)(int16_t)v; }
static u64 s64_of_long(u64 v) { return (u64)(int64_t)(int32_t)v; }

#define READ(insn) ({ u64 v_ = 0x1122334455667788ull; asm volatile(insn : "+a"(v_) : "d"(bridge) : "memory"); v_; })

static void reads(void)
{
	u64 id = pci_read(0, 0), class = pci_read(0, 8);
	u64 filler = 0x1122334455667788ull;

	report(READ("movb (%%rdx), %%al") == ((filler & ~0xffull) | (id & 0xff)), "MOV of 1 byte leaves the rest of the register");
	report(READ("movb (%%rdx), %%ah") == ((filler & ~0xff00ull) | (id & 0xff) << 8), "into AH");
	report(READ("movw (%%rdx), %%ax") == ((filler & ~0xffffull) | (id & 0xffff)), "MOV of 2 bytes leaves the rest");
	report(READ("movl (%%rdx), %%eax") == id, "MOV of 4 bytes clears the upper half");
	report(READ("movzbl 3(%%rdx), %%eax") == id >> 24, "MOVZX of 1 byte");
	report(READ("movzwl 2(%%rdx), %%eax") == id >> 16, "MOVZX of 2 bytes");
	report(READ("movsbq 1(%%rdx), %%rax") == s64_of_byte(id >> 8), "MOVSX of 1 byte to 8");
	report(READ("movswl 2(%%rdx), %%eax") == (u32)s64_of_word(id >> 16), "MOVSX of 2 bytes to 4");
	report(READ("movslq 8(%%rdx), %%rax") == s64_of_long(class), "MOVSXD");
	report(READ("xor %%ecx, %%ecx; movl 8(%%rdx, %%rcx, 4), %%eax") == class, "with an index");
}

static void writes(void)
{
	u64 address = (u64)bridge + 4;

	asm volatile("movw %w0, (%1)" : : "r"((u16)0x0002), "r"(address) : "memory");
	report((pci_read(0, 4) & 0xffff) == 2, "MOV of a register of 2 bytes");
	asm volatile("movw $0x0004, (%0)" : : "r"(address) : "memory");
	report((pci_read(0, 4) & 0xffff) == 4, "MOV of an immediate of 2 bytes");
	asm volatile("movb $0x06, (%0)" : : "r"(address) : "memory");
	report((pci_read(0, 4) & 0xff) == 6, "MOV of an immediate of 1 byte");
	asm volatile("movl $0x0002, (%0)" : : "r"(address) : "memory");
	report((pci_read(0, 4) & 0xffff) == 2, "MOV of an immediate of 4 bytes");
	asm volatile("movb %%ah, (%1)" : : "a"(0x0400), "r"(address) : "memory");
	report((pci_read(0, 4) & 0xff) == 4, "MOV of AH");
	asm volatile("movabs %%eax, 0x10000000004" : : "a"(6) : "memory"); /* SHARED_VA + 4 */
	report((pci_read(0, 4) & 0xffff) == 6, "MOV with a 64-bit offset");
}

/* ---------------------------------------------------------------- what is refused */

#define REFUSED(host, insn, ...)                                                                                                 \
	({                                                                                                                       \
		unsigned int before_ = refused;                                                                                  \
		last_line[0] = 0;                                                                                                \
		ve_set_host(host);                                                                                               \
		asm volatile("leaq 1f(%%rip), %%rax; movq %%rax, %0; " insn "; 1:" : "=m"(resume) : __VA_ARGS__ : "rax", "rcx", "memory"); \
		ve_set_host(&with_table);                                                                                        \
		refused - before_;                                                                                               \
	})

static void refusals(void)
{
	u8 *page = alloc_page();
	unsigned int n;

	n = REFUSED(&with_table, "mov $0x12345, %%ecx; rdmsr", "d"(0));
	report(n == 0 && !resume && !last_line[0], "an MSR that is not there goes to the exception table, without a word");
	n = REFUSED(&without_table, "mov $0x12345, %%ecx; rdmsr", "d"(0));
	report(n == 1 && contains(last_line, "RDMSR at rip 0x") && contains(last_line, "bytes 0f 32"), "without a table, one line: %s", last_line);
	n = REFUSED(&without_table, "lock addl $1, (%1)", "r"(bridge));
	report(n == 1 && contains(last_line, "other than MOV"), "a locked addition to MMIO: %s", last_line);
	n = REFUSED(&without_table, "movsb", "S"(bridge), "D"(page));
	report(n == 1 && contains(last_line, "string"), "a string move from MMIO: %s", last_line);
	n = REFUSED(&without_table, "insb", "d"(0x3fd), "D"(page));
	report(n == 1 && contains(last_line, "string"), "a string input: %s", last_line);
	n = REFUSED(&without_table, "movl 0xffe(%1), %%ecx", "r"(bridge));
	report(n == 1 && contains(last_line, "across a page"), "MMIO across two pages: %s", last_line);
}

static void touch_bridge(void)
{
	asm volatile("movl (%0), %%ecx" : : "r"(SHARED_VA) : "rcx", "memory");
	user_exit();
}

static void user_mode(void)
{
	unsigned int before = refused;
	struct exception e;

	find_pte(SHARED_VA, 1)[0] |= PTE_U;
	invlpg(SHARED_VA);
	ve_set_host(&without_table);
	e = run_user(touch_bridge);
	ve_set_host(&with_table);
	report(e.vector == 0x81 && refused == before + 1 && contains(last_line, "user mode"), "MMIO by user mode: %s", last_line);
}

/* ---------------------------------------------------------------- memory */

static void conversion(void)
{
	u64 *page = alloc_page(), at = (u64)page, alias = SHARED_VA + 0x100000;

	*page = 0x1234;
	report(tdx_map_gpa(at, 4096, true) == TDX_OK, "MapGPA to shared");
	map_page(alias, at | tdx_shared_bit(), PTE_P | PTE_W, 1);
	*(volatile u64 *)alias = 77;
	report(*(volatile u64 *)alias == 77, "the shared page holds what is written");
	report(tdx_map_gpa(at, 4096, false) == TDX_OK && tdx_accept(at, 4096) == TDX_OK, "and back to private, accepted");
	report(*(volatile u64 *)at == 0, "an accepted page is zero");
	report(tdx_accept(at, 4096) == TDX_ACCEPTED_BEFORE, "accepted twice is told");
	report(tdx_map_gpa(at + 1, 4096, true) == TDX_BAD_RANGE && tdx_accept(at, 100) == TDX_BAD_RANGE, "whole pages only");
}

/* ---------------------------------------------------------------- the rest */

static void instructions(void)
{
	u32 a, b, c, d;

	cpuid(0x40000000, 0, &a, &b, &c, &d);
	report(b == 0x4b4d564b, "CPUID of the hypervisor comes from the host (%x)", b);
	cpuid(0x21, 0, &a, &b, &c, &d);
	report(b == 0x65746e49 && d == 0x5844546c, "this is a trust domain");
	report((inb(0x3fd) & 0x20) != 0, "IN of 1 byte");
	report(pci_read(0, 0) != 0xffffffff, "OUT and IN of 4 bytes");
}

int main(void);
int main(void)
{
	idt_init();
	idt_set_entry(20, ve_entry);
	ve_set_host(&with_table);
	bridge = (u8 *)SHARED_VA;
	map_page(SHARED_VA, ECAM | tdx_shared_bit(), PTE_P | PTE_W, 1);
	map_page(SHARED_VA + 0x1000, (ECAM + 0x1000) | tdx_shared_bit(), PTE_P | PTE_W, 1);
	instructions();
	reads();
	writes();
	refusals();
	user_mode();
	conversion();
	return report_failures();
}
