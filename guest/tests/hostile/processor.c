// SPDX-License-Identifier: Apache-2.0
/*
 * What a guest can do to its processor and to every address and port. The command line names the case and a seed; whatever it does,
 * the machine ends with a documented status.
 */
#include "hostile/hostile.h"

#define HOLE	0xd0000000ull /* in the PCI window, behind the last BAR */
#define NOTHING 0x7ffff0000000ull

static void nop_handler(struct frame *f) { }

static void jump(u64 to)
{
	asm volatile("jmp *%0" : : "r"(to));
}

static void jump_nothing(void) { jump(NOTHING); }
static void jump_hole(void) { jump(HOLE); }
static void jump_device(void) { jump(0xe0000000); }
static void jump_apic(void) { jump(0xfee00000); }
static void jump_noncanonical(void) { jump(1ull << 55); }
static void jump_zeroes(void) { jump(0x1000000); }

static void stack_overflow(void)
{
	idt_init();
	asm volatile("mov $0x3000, %rsp; 1: push %rsp; jmp 1b");
}

static void stack_in_hole(void)
{
	idt_init();
	asm volatile("mov %0, %%rsp; push $1; pop %%rax; int $3; ud2" : : "r"(HOLE + 0x800));
}

/* ---------------------------------------------------------------- tables of rubbish */

static void set_idt(u64 base, u16 limit)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) p = { limit, base };

	asm volatile("lidt %0" : : "m"(p));
}

static void raise_everything(void)
{
	asm volatile("int $3; int $0x80; int1; ud2");
}

static void idt_rubbish(void)
{
	u64 *table = alloc_page();

	for (unsigned int i = 0; i < 512; i++)
		table[i] = (random() & 0xffff0000ffffffffull) | (u64)(random() & 1 ? 0x8e00 : random() & 0xff00) << 32;
	set_idt((u64)table, 4095);
	raise_everything();
}

static void idt_in_hole(void)
{
	set_idt(HOLE, 4095);
	raise_everything();
}

static void gdt_in_hole(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) p = { 0xffff, HOLE };

	idt_init();
	asm volatile("lgdt %0; mov %1, %%ds; int $3" : : "m"(p), "r"(0x10));
}

static void page_tables_in_hole(void)
{
	WRITE_CR(3, HOLE);
	raise_everything();
}

static void page_tables_beyond(void)
{
	WRITE_CR(3, 0xffffff000ull);
	raise_everything();
}

static void page_tables_rubbish(void)
{
	idt_init();
	for (unsigned int i = 64; i < 2048; i++)
		page_dirs[i] = random();
	for (u64 va = 0x8000000; va < 0xfee00000; va += 0x1234567)
		catch(touch, (void *)va);
	test_exit(0);
}

/* ---------------------------------------------------------------- registers */

static void write_msr(void *arg)
{
	u32 n = (u32)(u64)arg;

	wrmsr(n, rdmsr(n) ^ 1ull << (random() & 63));
	wrmsr(n, random());
}

static void msrs(void)
{
	static const u32 first[] = { 0, 0x170, 0x1d0, 0x200, 0x400, 0x480, 0x600, 0x800, 0x40000000, 0x4b564d00, 0xc0000080,
				     0xc0010000, 0xc0010100 };

	idt_init();
	for (unsigned int i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		for (u32 n = first[i]; n < first[i] + 0x120; n++)
			if (n != 0xc0000100 && n != 0xc0000101)
				catch(write_msr, (void *)(u64)n);
	test_exit(0);
}

static void write_control(void *arg)
{
	switch ((u64)arg & 7) {
	case 0: WRITE_CR(4, READ_CR(4) ^ 1ull << (random() & 63)); break;
	case 1: WRITE_CR(4, random()); break;
	case 2: WRITE_CR(8, random()); break;
	case 3: WRITE_DR(7, random()); break;
	case 4: WRITE_DR(0, random()); break;
	case 5: WRITE_CR(0, random()); break;
	case 6: WRITE_CR(0, READ_CR(0) ^ 1ull << (random() & 31)); break;
	default: WRITE_DR(6, random()); break;
	}
}

static void control_registers(void)
{
	idt_init();
	set_handler(1, nop_handler);
	for (unsigned int i = 0; i < 2000; i++)
		catch(write_control, (void *)(random() & 7));
	test_exit(0);
}

static void random_code(void)
{
	u64 *p = alloc_page();

	for (unsigned int i = 0; i < 512; i++)
		p[i] = random();
	idt_init();
	for (unsigned int i = 0; i < 500; i++)
		catch((void (*)(void *))((u8 *)p + random() % 4000), p);
	test_exit(0);
}

/* ---------------------------------------------------------------- every port, every hole */

static bool ends_the_machine(u32 port)
{
	return (port & ~3u) == 0x64 || (port & ~3u) == 0xf4 || (port & ~7u) == 0x500 || (port & ~7u) == 0x600 ||
	       (port & ~7u) == 0xcf8 || (port >= 0x60 && port < 0x65);
}

static void ports(void)
{
	for (u32 port = 0; port < 0x10000; port++) {
		u64 v = random();

		if (ends_the_machine(port))
			continue;
		switch (v >> 32 & 3) {
		case 0: outb((u16)port, (u8)v); inb((u16)port); break;
		case 1: outl((u16)port, (u32)v); inl((u16)port); break;
		default: asm volatile("outw %w0, %w1; inw %w1, %w0" : : "a"((u16)v), "d"((u16)port)); break;
		}
	}
	asm volatile("rep outsb" : : "S"(HOLE), "c"(100), "d"(0x80));
	asm volatile("rep insl" : : "D"(HOLE), "c"(100), "d"(0x80) : "memory");
	asm volatile("rep insb" : : "D"(alloc_page()), "c"(100000), "d"(0x80) : "memory");
	for (u32 port = 0; port < 0x10000; port++)
		if (port >> 2 != 0xf4 >> 2)
			outb((u16)port, (u8)random());
	test_exit(0);
}

static void access_hole(void *arg)
{
	u64 at = (u64)arg, v = random();

	switch (v >> 60) {
	case 0: *(volatile u8 *)at = (u8)v; break;
	case 1: *(volatile u16 *)at = (u16)v; break;
	case 2: *(volatile u32 *)at = (u32)v; break;
	case 3: *(volatile u64 *)at = v; break;
	case 4: *(volatile u64 *)(at + 0xffc) = v; break;
	case 5: *(volatile u32 *)(at + 0xffd); break;
	case 6: asm volatile("lock cmpxchgq %0, (%1)" : : "r"(v), "r"(at) : "rax", "memory"); break;
	case 7: asm volatile("rep movsb" : : "S"(at), "D"(at + 0x1000), "c"(33) : "memory"); break;
	case 8: asm volatile("lock incl (%0); xchg %%rax, (%0)" : : "r"(at) : "rax", "memory"); break;
	case 9: asm volatile("push (%0); pop (%0)" : : "r"(at) : "memory"); break;
	case 10: asm volatile("lgdt (%0)" : : "r"(at) : "memory"); break;
	case 11: asm volatile("fxrstor (%0)" : : "r"(at) : "memory"); break;
	case 12: asm volatile("fxsave (%0)" : : "r"(at) : "memory"); break;
	case 13: asm volatile("movups (%0), %%xmm0; movups %%xmm0, 4(%0)" : : "r"(at) : "memory"); break;
	case 14: asm volatile("rep stosq" : : "D"(at), "a"(v), "c"(5) : "memory"); break;
	default: *(volatile u64 *)at; break;
	}
}

static void holes(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) gdtr;

	idt_init();
	asm volatile("sgdt %0" : "=m"(gdtr));
	for (u64 at = 0xc0000000; at < 0xffffe000; at += 0x10000) {
		if (at >> 20 == 0xfee)
			continue;
		catch(access_hole, (void *)(at + (random() & 0x7fff)));
		asm volatile("lgdt %0" : : "m"(gdtr));
	}
	test_exit(0);
}

static void interrupt_controllers(void)
{
	idt_init();
	for (unsigned int v = 32; v < 256; v++)
		set_handler((u8)v, nop_handler);
	asm volatile("sti");
	for (unsigned int i = 0; i < 20000; i++) {
		u64 v = random();

		if (v >> 62)
			*(volatile u32 *)(0xfee00000 + (v >> 32 & 0xff0)) = (u32)random() & 0xfffff8ff;
		else
			*(volatile u32 *)(0xfec00000 + (v >> 32 & 0x10)) = (u32)random();
	}
	test_exit(0);
}

static void start_up_storm(void)
{
	for (unsigned int i = 0; i < 2000; i++) {
		*(volatile u32 *)0xfee00310 = 1u << 24;
		*(volatile u32 *)0xfee00300 = (random() & 1 ? 0x4500 : 0x4600) | (u32)(random() & 0xff);
	}
	test_exit(0);
}

static const struct hostile_case cases[] = {
	{ "jump-nothing", jump_nothing }, { "jump-hole", jump_hole }, { "jump-device", jump_device }, { "jump-apic", jump_apic },
	{ "jump-noncanonical", jump_noncanonical }, { "jump-zeroes", jump_zeroes }, { "stack-overflow", stack_overflow },
	{ "stack-in-hole", stack_in_hole }, { "idt-rubbish", idt_rubbish }, { "idt-in-hole", idt_in_hole },
	{ "gdt-in-hole", gdt_in_hole }, { "page-tables-in-hole", page_tables_in_hole },
	{ "page-tables-beyond", page_tables_beyond }, { "page-tables-rubbish", page_tables_rubbish }, { "msrs", msrs },
	{ "control-registers", control_registers }, { "random-code", random_code }, { "ports", ports }, { "holes", holes },
	{ "interrupt-controllers", interrupt_controllers }, { "start-up-storm", start_up_storm },
};

int main(void)
{
	return run_case(cases, sizeof(cases) / sizeof(cases[0]));
}
