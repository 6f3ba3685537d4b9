// SPDX-License-Identifier: Apache-2.0
#include "guest.h"

#include <stdarg.h>

/* ---------------------------------------------------------------- output */

static int passed, failed;

static void put_char(char c)
{
	while (!(inb(0x3fd) & 0x20))
		;
	outb(0x3f8, (u8)c);
}

static void put_number(u64 v, unsigned int base)
{
	char buf[24];
	int n = 0;

	do {
		buf[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n)
		put_char(buf[--n]);
}

static void vprint(const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		bool wide = false;

		if (*fmt != '%') {
			if (*fmt == '\n')
				put_char('\r');
			put_char(*fmt);
			continue;
		}
		if (*++fmt == 'l') {
			wide = true;
			fmt++;
		}
		if (*fmt == 's') {
			for (const char *s = va_arg(ap, const char *); *s; s++)
				put_char(*s);
		} else if (*fmt == 'c') {
			put_char((char)va_arg(ap, int));
		} else if (*fmt == 'd') {
			int v = va_arg(ap, int);

			if (v < 0)
				put_char('-');
			put_number(v < 0 ? -(u64)v : (u64)v, 10);
		} else {
			put_number(wide ? va_arg(ap, u64) : va_arg(ap, u32), *fmt == 'x' ? 16 : 10);
		}
	}
}

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
}

void report(bool ok, const char *fmt, ...)
{
	va_list ap;

	print(ok ? "PASS: " : "FAIL: ");
	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
	print("\n");
	if (ok)
		passed++;
	else
		failed++;
}

int report_failures(void)
{
	print("SUMMARY: %d expectations, %d unexpected\n", passed + failed, failed);
	return failed != 0;
}

void test_exit(int status)
{
	outl(0xf4, (u32)status); /* isa-debug-exit: the machine ends with (status << 1) | 1 */
	for (;;)
		asm volatile("cli; hlt");
}

/* ---------------------------------------------------------------- exceptions */

struct gate {
	u16 low, selector;
	u8 ist, type;
	u16 mid;
	u32 high, zero;
};
static struct gate idt[256] __attribute__((aligned(16)));
static struct {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3, iomap;
} __attribute__((packed)) tss;
static u8 rsp0_stack[8192] __attribute__((aligned(16))), ist1_stack[8192] __attribute__((aligned(16)));
static void (*handlers[256])(struct frame *);
static struct exception caught;
u64 tss_rsp0_seen;

extern char vector_stubs[], catch_return[];
extern u64 catch_rsp, gdt_tss[2];
int catch_(void (*fn)(void *), void *arg);
void enter_user(void (*fn)(void), void *stack);
void handle_vector(struct frame *f);

void lidt_limit(u16 limit)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) p = { limit, (u64)idt };

	asm volatile("lidt %0" : : "m"(p));
}

void idt_set_entry(u8 vector, void (*entry)(void))
{
	u64 a = (u64)entry;

	idt[vector] = (struct gate){ (u16)a, 0x18, 0, 0x8e, (u16)(a >> 16), (u32)(a >> 32), 0 };
}

void idt_set_ist(u8 vector, u8 ist) { idt[vector].ist = ist; }
void idt_set_dpl(u8 vector, u8 dpl) { idt[vector].type = (u8)(0x8e | dpl << 5); }

void idt_init(void)
{
	u64 base = (u64)&tss;

	for (int i = 0; i < 256; i++)
		idt_set_entry((u8)i, (void (*)(void))(vector_stubs + 16 * i));
	idt_set_dpl(0x81, 3);
	lidt_limit(sizeof(idt) - 1);
	tss.rsp[0] = (u64)(rsp0_stack + sizeof(rsp0_stack));
	tss.ist[0] = (u64)(ist1_stack + sizeof(ist1_stack));
	tss.iomap = sizeof(tss);
	gdt_tss[0] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	gdt_tss[1] = base >> 32;
	asm volatile("ltr %w0" : : "r"(0x40));
}

void set_handler(u8 vector, void (*handler)(struct frame *)) { handlers[vector] = handler; }

void handle_vector(struct frame *f)
{
	if (handlers[f->vector]) {
		handlers[f->vector](f);
		return;
	}
	caught = (struct exception){ (int)f->vector, f->error, f->rip, READ_CR(2), f->rflags, f->rsp, f->cs };
	if (!catch_rsp) {
		print("FAIL: unexpected vector %lu error %lx rip %lx cr2 %lx\n", f->vector, f->error, f->rip, caught.cr2);
		test_exit(1);
	}
	tss_rsp0_seen = (u64)f;
	f->cs = 0x18;
	f->ss = 0x20;
	f->rflags &= ~0x10100ull; /* TF, RF */
	f->rip = (u64)catch_return;
	f->rsp = catch_rsp;
	f->rax = 1;
}

struct exception catch(void (*fn)(void *), void *arg)
{
	if (!catch_(fn, arg))
		caught.vector = -1;
	return caught;
}

static u8 user_stack[8192] __attribute__((aligned(16)));

static void to_user(void *fn)
{
	enter_user((void (*)(void))fn, user_stack + sizeof(user_stack) - 8);
}

struct exception run_user(void (*fn)(void))
{
	struct exception e = catch(to_user, (void *)fn);

	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0x20));
	return e;
}

/* ---------------------------------------------------------------- paging */

extern char end_of_image[];
static u64 next_page;

void *alloc_page(void)
{
	void *p;

	if (!next_page)
		next_page = ((u64)end_of_image + 0x1fffff) & ~0x1fffffull;
	p = (void *)next_page;
	next_page += 4096;
	memset(p, 0, 4096);
	return p;
}

u64 *find_pte(u64 va, int level)
{
	u64 *table = pml4;

	for (int l = 4; l > level; l--) {
		u64 *e = &table[va >> (12 + 9 * (l - 1)) & 511];

		if (!(*e & PTE_P))
			*e = (u64)alloc_page() | PTE_P | PTE_W | PTE_U;
		else if (*e & PTE_PS)
			return e;
		table = (u64 *)(*e & 0x000ffffffffff000ull);
	}
	return &table[va >> (12 + 9 * (level - 1)) & 511];
}

u64 *map_page(u64 va, u64 pa, u64 flags, int level)
{
	u64 *e = find_pte(va, level);

	*e = pa | flags | (level > 1 ? PTE_PS : 0);
	invlpg(va);
	return e;
}

/* ---------------------------------------------------------------- processors */

#define APIC ((volatile u32 *)0xfee00000)
u32 apic_read(u32 reg) { return APIC[reg / 4]; }
void apic_write(u32 reg, u32 value) { APIC[reg / 4] = value; }
void apic_eoi(void) { apic_write(0xb0, 0); }
u32 apic_id(void) { return apic_read(0x20) >> 24; }
void apic_init(void) { apic_write(0xf0, 0x1ff); }

static void icr(u32 id, u32 low)
{
	apic_write(0x310, id << 24);
	apic_write(0x300, low);
	while (apic_read(0x300) & 0x1000)
		cpu_relax();
}

void send_ipi(u32 id, u8 vector) { icr(id, 0x4000u | vector); }

extern char ap_trampoline[], ap_trampoline_end[];
static void (*volatile ap_fn)(void *);
static void *volatile ap_arg;
static volatile bool ap_up;
void ap_main(void);

void ap_main(void)
{
	void (*fn)(void *) = ap_fn;
	void *arg = ap_arg;

	lidt_limit(sizeof(idt) - 1);
	apic_init();
	ap_up = true;
	fn(arg);
}

bool start_cpu(u32 id, void (*fn)(void *), void *arg)
{
	memcpy((void *)0x8000, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	ap_fn = fn;
	ap_arg = arg;
	ap_up = false;
	icr(id, 0x4500);
	for (int i = 0; i < 1000; i++)
		inb(0x80);
	for (int tries = 0; tries < 2 && !ap_up; tries++) {
		icr(id, 0x4608);
		for (u64 start = rdtsc(); !ap_up && rdtsc() - start < 3000000000ull;)
			cpu_relax();
	}
	return ap_up;
}

/* ---------------------------------------------------------------- strings */

void *memcpy(void *dst, const void *src, size_t n)
{
	void *d = dst;

	asm volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(n) : : "memory");
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	void *d = dst;

	asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
