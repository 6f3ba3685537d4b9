// SPDX-License-Identifier: Apache-2.0
/* Page walks: permissions, accessed and dirty bits, reserved bits, large pages, error codes and CR2 (SDM 3A ch. 4). */
#include "lib/guest.h"

#define VA 0x10000000000ull /* pml4 slot 2: nothing else lives there */
static volatile u64 *const va = (u64 *)VA;

static void read_va(void *p) { (void)*(volatile u64 *)p; }
static void write_va(void *p) { *(volatile u64 *)p = 1; }
static void call_va(void *p) { ((void (*)(void))p)(); }

static void expect_pf(const char *what, void (*fn)(void *), u64 addr, u64 error)
{
	struct exception e = catch(fn, (void *)addr);

	report(e.vector == 14 && e.error == error && e.cr2 == addr, "%s: #PF error %lx cr2 %lx (got vector %d error %lx cr2 %lx)",
	       what, error, addr, e.vector, e.error, e.cr2);
}

static void expect_ok(const char *what, void (*fn)(void *), u64 addr)
{
	struct exception e = catch(fn, (void *)addr);

	report(e.vector == -1, "%s: no exception (got vector %d error %lx)", what, e.vector, e.error);
}

static void user_read(void) { (void)*va; user_exit(); }
static void user_write(void) { *va = 2; user_exit(); }
static void user_exec(void) { ((void (*)(void))VA)(); user_exit(); }
static void user_nop(void) { user_exit(); }

static void user(const char *what, void (*fn)(void), int vector, u64 error)
{
	struct exception e = run_user(fn);

	report(e.vector == vector && (vector != 14 || e.error == error), "user %s: vector %d error %lx (got %d %lx)", what, vector,
	       error, e.vector, e.error);
}

/* The user-mode pages: code of this image and the user stack must be user-accessible. */
static void open_image_to_user(void)
{
	pml4[0] |= PTE_U;
	pdpt[0] |= PTE_U;
	for (int i = 0; i < 16; i++)
		page_dirs[i] |= PTE_U;
	WRITE_CR(3, READ_CR(3));
}

static void permissions(void)
{
	u64 page = (u64)alloc_page(), *pte;

	*(u8 *)page = 0xc3;
	pte = map_page(VA, page, 0, 1);
	expect_pf("read, not present", read_va, VA, 0);
	expect_pf("write, not present", write_va, VA + 8, 2);
	expect_pf("fetch, not present", call_va, VA, 0x10);
	map_page(VA, page, PTE_P, 1);
	expect_ok("read of a read-only page", read_va, VA);
	expect_pf("write to a read-only page, CR0.WP", write_va, VA, 3);
	WRITE_CR(0, READ_CR(0) & ~(1ull << 16));
	expect_ok("write to a read-only page without CR0.WP", write_va, VA + 8);
	WRITE_CR(0, READ_CR(0) | 1ull << 16);
	expect_pf("the same after CR0.WP came back", write_va, VA, 3);
	map_page(VA, page, PTE_P | PTE_W | PTE_NX, 1);
	expect_pf("fetch from an NX page", call_va, VA, 0x11);
	map_page(VA, page, PTE_P | PTE_W, 1);
	*(u8 *)page = 0xc3;
	expect_ok("fetch", call_va, VA);
	*pte |= 1ull << 51;
	invlpg(VA);
	expect_pf("reserved bit in a PTE", read_va, VA, 9);
	*pte &= ~(1ull << 51);
	invlpg(VA);
}

static void accessed_dirty(void)
{
	u64 page = (u64)alloc_page(), *pte = map_page(VA, page, PTE_P | PTE_W, 1), *pde = find_pte(VA, 2);

	*pde &= ~PTE_A;
	WRITE_CR(3, READ_CR(3));
	report(!(*pte & (PTE_A | PTE_D)), "a fresh entry has neither A nor D");
	(void)*va;
	report((*pte & PTE_A) && !(*pte & PTE_D), "a read sets A and not D");
	report(*pde & PTE_A, "a read sets A in the directory");
	report(!(*pde & PTE_D), "D is never set in a directory entry that refers to a table");
	*va = 1;
	report(*pte & PTE_D, "a write after a read sets D");
	*pte &= ~PTE_D;
	invlpg(VA);
	*va = 2;
	report(*pte & PTE_D, "D is set again after it was cleared and the page invalidated");
	map_page(VA, page, PTE_P, 1);
	catch(write_va, (void *)VA);
	report(!(*pte & PTE_D), "a write that faults does not set D");
}

static void large_pages(void)
{
	u64 big = 0x800000 * 3, *pde, *table;

	big = 0x4000000; /* 64 MiB: free memory in a 512 MiB machine */
	*(volatile u64 *)(big + 0x123458) = 0xabcdef;
	pde = find_pte(VA + 0x40000000, 2);
	*pde = big | PTE_P | PTE_W | PTE_PS;
	invlpg(VA + 0x40000000);
	report(*(volatile u64 *)(VA + 0x40000000 + 0x123458) == 0xabcdef, "2 MiB page");
	*pde |= 1ull << 13; /* bits 20:13 are reserved in a 2 MiB entry */
	invlpg(VA + 0x40000000);
	expect_pf("reserved bit in a 2 MiB entry", read_va, VA + 0x40000000, 9);
	table = find_pte(VA + 0x80000000, 3);
	*table = 0 | PTE_P | PTE_W | PTE_PS;
	invlpg(VA + 0x80000000);
	report(*(volatile u64 *)(VA + 0x80000000 + big + 0x123458) == 0xabcdef, "1 GiB page");
	*table |= 1ull << 13;
	invlpg(VA + 0x80000000);
	expect_pf("reserved bit in a 1 GiB entry", read_va, VA + 0x80000000, 9);
	*table = 0;
	invlpg(VA + 0x80000000);
}

static void user_pages(void)
{
	u64 page = (u64)alloc_page();

	open_image_to_user();
	user("system call gate", user_nop, 0x81, 0);
	map_page(VA, page, PTE_P | PTE_W, 1);
	user("read of a supervisor page", user_read, 14, 5);
	user("write to a supervisor page", user_write, 14, 7);
	map_page(VA, page, PTE_P | PTE_U, 1);
	user("read of a user page", user_read, 0x81, 0);
	user("write to a read-only user page", user_write, 14, 7);
	map_page(VA, page, PTE_P | PTE_U | PTE_NX, 1);
	user("fetch from an NX user page", user_exec, 14, 0x15);
}

static void set_ac(bool on)
{
	if (on)
		asm volatile("stac" : : : "memory");
	else
		asm volatile("clac" : : : "memory");
}

static void read_with_ac(void *p) { set_ac(true); (void)*(volatile u64 *)p; set_ac(false); }

static void smep_smap(void)
{
	u32 a, b, c, d;
	u64 page = (u64)alloc_page();

	cpuid(7, 0, &a, &b, &c, &d);
	*(u8 *)page = 0xc3;
	map_page(VA, page, PTE_P | PTE_W | PTE_U, 1);
	if (b >> 20 & 1) {
		/* The image itself is user-accessible now; put it back so that SMAP does not stop this very code's data. */
		for (int i = 0; i < 16; i++)
			page_dirs[i] &= ~PTE_U;
		WRITE_CR(4, READ_CR(4) | 1ull << 21);
		expect_pf("SMAP: supervisor read of a user page", read_va, VA, 1);
		expect_pf("SMAP: supervisor write to a user page", write_va, VA, 3);
		expect_ok("SMAP: with EFLAGS.AC", read_with_ac, VA);
		WRITE_CR(4, READ_CR(4) & ~(1ull << 21));
		expect_ok("without SMAP again", read_va, VA);
	}
	if (b >> 7 & 1) {
		expect_ok("supervisor fetch from a user page", call_va, VA);
		WRITE_CR(4, READ_CR(4) | 1ull << 20);
		expect_pf("SMEP: supervisor fetch from a user page", call_va, VA, 0x11);
		WRITE_CR(4, READ_CR(4) & ~(1ull << 20));
	}
}

static void global_pages(void)
{
	u64 one = (u64)alloc_page(), two = (u64)alloc_page(), *pte;

	*(u64 *)one = 1;
	*(u64 *)two = 2;
	pte = map_page(VA, one, PTE_P | PTE_W, 1);
	report(*va == 1, "first mapping");
	*pte = two | PTE_P | PTE_W;
	invlpg(VA);
	report(*va == 2, "INVLPG makes the new mapping visible");
	*pte = one | PTE_P | PTE_W;
	WRITE_CR(3, READ_CR(3));
	report(*va == 1, "a CR3 write makes the new mapping visible");
	*pte = two | PTE_P | PTE_W;
	WRITE_CR(4, READ_CR(4) ^ 0x80);
	WRITE_CR(4, READ_CR(4) ^ 0x80);
	report(*va == 2, "toggling CR4.PGE makes the new mapping visible");
}

static void crossing(void)
{
	u64 one = (u64)alloc_page(), two = (u64)alloc_page();
	volatile u64 *p = (u64 *)(VA + 4092);

	map_page(VA, one, PTE_P | PTE_W, 1);
	map_page(VA + 4096, two, PTE_P | PTE_W, 1);
	*p = 0x1122334455667788;
	report(*(u32 *)(one + 4092) == 0x55667788 && *(u32 *)two == 0x11223344, "a store across two pages");
	map_page(VA + 4096, two, PTE_P, 1);
	{
		struct exception e = catch(write_va, (void *)p);

		report(e.vector == 14 && e.cr2 == VA + 4096 && e.error == 3, "a store into a read-only second page faults there");
		report(*(u32 *)(one + 4092) == 0x55667788, "and changes nothing in the first");
	}
}

static void non_canonical(void)
{
	struct exception e = catch(read_va, (void *)0x800000000000ull);

	report(e.vector == 13 && e.error == 0, "non-canonical read: #GP(0) (got %d)", e.vector);
	e = catch(call_va, (void *)0x800000000000ull);
	report(e.vector == 13, "non-canonical call: #GP (got %d)", e.vector);
}

int main(void);
int main(void)
{
	idt_init();
	permissions();
	accessed_dirty();
	large_pages();
	global_pages();
	crossing();
	non_canonical();
	user_pages();
	smep_smap();
	return report_failures();
}
