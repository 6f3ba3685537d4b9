// SPDX-License-Identifier: Apache-2.0
/* Modified code: by itself, in the same block, across pages, through an alias, and by another processor (SDM 3A 8.1.3). */
#include "lib/guest.h"

static u8 *code;
static int call_code(void) { return ((int (*)(void))code)(); }

static void emit_return(u8 *p, u32 value)
{
	p[0] = 0xb8; /* mov $value, %eax */
	memcpy(p + 1, &value, 4);
	p[5] = 0xc3;
}

static void by_itself(void)
{
	int ok = 1;

	for (u32 i = 0; i < 1000; i++) {
		emit_return(code, i);
		ok &= call_code() == (int)i;
	}
	report(ok, "code rewritten and called 1000 times");
	emit_return(code, 1);
	ok = call_code() == 1;
	code[1] = 7;
	ok &= call_code() == 7;
	report(ok, "one immediate byte changed");
}

/* The store changes an instruction later in its own straight line. */
static void same_block(void)
{
	u32 result;
	static u8 text[64] __attribute__((aligned(64)));
	u8 *p = text;

	*p++ = 0xc6; *p++ = 0x07; *p++ = 0x05;		/* movb $5, (%rdi) */
	*p++ = 0x90;
	*p++ = 0xb8;					/* mov $1, %eax */
	memcpy(p, &(u32){ 1 }, 4);
	p += 4;
	*p++ = 0xc3;
	asm volatile("call *%2" : "=a"(result) : "D"(text + 5), "r"(text) : "memory", "cc");
	report(result == 5, "a store to the next instruction but one takes effect at once (got %u)", result);
}

static void across_pages(void)
{
	u8 *pages = alloc_page(), *p;

	alloc_page();
	p = pages + 4096 - 3;
	emit_return(p, 0x11223344);
	report(((u32 (*)(void))p)() == 0x11223344, "an instruction across two pages");
	p[4] = 0x55; /* in the second page */
	report(((u32 (*)(void))p)() == 0x55223344, "its bytes in the second page changed");
	p[1] = 0x66; /* in the first page */
	report(((u32 (*)(void))p)() == 0x55223366, "its bytes in the first page changed");
}

static void through_alias(void)
{
	u64 page = (u64)alloc_page();
	volatile u8 *alias = (u8 *)0x20000000000ull;

	map_page((u64)alias, page, PTE_P | PTE_W, 1);
	emit_return((u8 *)page, 1);
	report(((int (*)(void))page)() == 1, "before");
	alias[1] = 2;
	report(((int (*)(void))page)() == 2, "changed through another mapping of the same page");
	map_page((u64)alias, page, PTE_P | PTE_W, 1);
	alias[1] = 3;
	report(((int (*)(void))(u64)alias)() == 3, "executed through the other mapping");
}

static void remapped(void)
{
	u64 one = (u64)alloc_page(), two = (u64)alloc_page(), at = 0x20000400000ull;

	emit_return((u8 *)one, 1);
	emit_return((u8 *)two, 2);
	map_page(at, one, PTE_P, 1);
	report(((int (*)(void))at)() == 1, "first page at this address");
	map_page(at, two, PTE_P, 1);
	report(((int (*)(void))at)() == 2, "another page at the same address");
}

static void string_store(void)
{
	u8 source[6];
	int ok = 1;

	for (u32 i = 0; i < 100; i++) {
		emit_return(source, i * 3);
		memcpy(code, source, sizeof(source));
		ok &= call_code() == (int)(i * 3);
	}
	report(ok, "code written by REP MOVSB");
}

/* The other processor runs the code in a loop until it sees each new value. */
static volatile u32 wanted, seen, stop;
static void runner(void *arg)
{
	while (!stop) {
		u32 a = 0, b, c = 0, d;

		asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d)); /* serialise: SDM 3A 8.1.3 */
		seen = (u32)call_code();
	}
	seen = ~0u;
}

static void by_another_cpu(void)
{
	int ok = 1;

	emit_return(code, 0);
	if (!start_cpu(1, runner, NULL)) {
		print("no second processor\n");
		return;
	}
	for (u32 i = 1; i <= 2000; i++) {
		u64 start = rdtsc();

		*(volatile u32 *)(code + 1) = i;
		while (seen != i && rdtsc() - start < 20000000000ull)
			cpu_relax();
		ok &= seen == i;
		if (!ok)
			break;
	}
	report(ok, "2000 changes by one processor seen by the other (last seen %u)", seen);
	stop = 1;
	while (seen != ~0u)
		cpu_relax();
}

int main(void);
int main(void)
{
	idt_init();
	apic_init();
	code = alloc_page();
	by_itself();
	same_block();
	across_pages();
	through_alias();
	remapped();
	string_store();
	by_another_cpu();
	return report_failures();
}
