// SPDX-License-Identifier: Apache-2.0
/* Loads and stores: TLB, page crossing, accesses that kvm completes, memory that disappears, code pages. */
#include "fixture.h"

#define P  1ull
#define W  2ull
#define U  4ull
#define PS 0x80ull
#define G  0x100ull

/* Linear = physical for the first 2M by 4K pages with `flags`, for the third 2M by one large page. */
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD   0x3000ull
#define PT   0x4000ull

static struct fixture *open_flat(enum hw_platform platform, u64 flags, unsigned int cpl)
{
	struct fixture *f = fixture_open(platform);

	ram_put(f, PML4, 8, PDPT | P | W | U);
	ram_put(f, PDPT, 8, PD | P | W | U);
	ram_put(f, PD, 8, PT | P | W | U);
	ram_put(f, PD + 16, 8, 0x400000 | flags | PS);
	for (unsigned int i = 0; i < 512; i++)
		ram_put(f, PT + 8 * i, 8, i * 0x1000 | flags);
	fixture_long_mode(f, cpl, PML4);
	return f;
}

static void restart(struct fixture *f)
{
	f->cpu->done_next = 0;
}

static bool read_hits(struct fixture *f, u64 lin)
{
	return f->cpu->tlb_read[f->cpu->tlb_mode][tlb_index(lin)].tag == (lin & HW_PAGE_MASK);
}

static bool write_hits(struct fixture *f, u64 lin)
{
	return f->cpu->tlb_write[f->cpu->tlb_mode][tlb_index(lin)].tag == (lin & HW_PAGE_MASK);
}

static void test_sizes(void **state)
{
	struct fixture *f = open_flat(HW_PLATFORM_INTEL, P | W, 0);
	u8 data[64], back[64];

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = i + 1;
	for (unsigned int size = 1; size <= 64; size++) {
		for (u64 lin = 0x10fc0; lin < 0x11002; lin += 7) {
			cpu_tlb_flush(f->cpu);
			for (unsigned int again = 0; again < 2; again++) {
				memset(f->ram + 0x10f00, 0xee, 0x200);
				memset(back, 0, sizeof(back));
				assert_int_equal(cpu_write(f->cpu, lin, data, size), EXEC_OK);
				assert_int_equal(cpu_read(f->cpu, lin, back, size), EXEC_OK);
				assert_memory_equal(data, back, size);
				assert_memory_equal(data, f->ram + lin, size);
				assert_int_equal(f->ram[lin - 1], 0xee);
				assert_int_equal(f->ram[lin + size], 0xee);
			}
		}
	}
	fixture_close(f);
}

static void test_tlb_fill(void **state)
{
	struct fixture *f = open_flat(HW_PLATFORM_INTEL, P | W, 0);
	u64 v;

	assert_int_equal(cpu_read(f->cpu, 0x20000, &v, 8), EXEC_OK);
	assert_true(read_hits(f, 0x20000));
	assert_false(write_hits(f, 0x20000)); /* not dirty yet */
	assert_int_equal(cpu_write(f->cpu, 0x20000, &v, 8), EXEC_OK);
	assert_true(write_hits(f, 0x20000));
	assert_int_equal(ram_get(f, PT + 0x20 * 8, 8) & 0x60, 0x60);
	cpu_tlb_protect_frame(f->cpu, ptr_to_hpa(f->ram + 0x20000));
	assert_false(write_hits(f, 0x20000));
	assert_true(read_hits(f, 0x20000));

	/* All of a large page goes with INVLPG of any part of it. */
	assert_int_equal(cpu_read(f->cpu, 0x400000, &v, 8), EXEC_OK);
	assert_int_equal(cpu_read(f->cpu, 0x505000, &v, 8), EXEC_OK);
	cpu_tlb_flush_page(f->cpu, 0x20008);
	assert_false(read_hits(f, 0x20000));
	assert_true(read_hits(f, 0x505000));
	cpu_tlb_flush_page(f->cpu, 0x400008);
	assert_false(read_hits(f, 0x400000));
	assert_false(read_hits(f, 0x505000));
	fixture_close(f);
}

static void test_global(void **state)
{
	struct fixture *f = open_flat(HW_PLATFORM_INTEL, P | W, 0);
	u64 v;

	ram_put(f, PT + 0x21 * 8, 8, 0x21000 | P | W | G);
	assert_int_equal(cpu_read(f->cpu, 0x20000, &v, 8), EXEC_OK);
	assert_int_equal(cpu_read(f->cpu, 0x21000, &v, 8), EXEC_OK);
	cpu_tlb_flush_nonglobal(f->cpu);
	assert_false(read_hits(f, 0x20000));
	assert_true(read_hits(f, 0x21000));
	cpu_tlb_flush(f->cpu);
	assert_false(read_hits(f, 0x21000));
	fixture_close(f);
}

/* SMAP: what was filled with AC set is out of reach when AC is clear, and alignment checks see every access. */
static void test_ac(void **state)
{
	struct fixture *f = open_flat(HW_PLATFORM_INTEL, P | W | U, 0);
	u64 v;

	f->cpu->arch.cr4 |= CR4_SMAP;
	f->cpu->arch.rflags |= FLAG_AC;
	cpu_update_mode(f->cpu);
	assert_int_equal(cpu_read(f->cpu, 0x20000, &v, 8), EXEC_OK);
	f->cpu->arch.rflags &= ~(u64)FLAG_AC;
	cpu_update_mode(f->cpu);
	assert_int_equal(cpu_read(f->cpu, 0x20000, &v, 8), EXEC_FAULT);
	assert_int_equal(f->cpu->fault.error, 1);

	fixture_long_mode(f, 3, PML4);
	assert_int_equal(cpu_read(f->cpu, 0x20001, &v, 8), EXEC_OK);
	f->cpu->arch.cr0 |= CR0_AM;
	f->cpu->arch.rflags |= FLAG_AC;
	cpu_update_mode(f->cpu);
	assert_int_equal(cpu_read(f->cpu, 0x20001, &v, 8), EXEC_FAULT);
	assert_int_equal(f->cpu->fault.vector, X86_AC);
	assert_int_equal(cpu_read(f->cpu, 0x20008, &v, 8), EXEC_OK);
	fixture_close(f);
}

/* A write that crosses into a page that faults changes nothing. */
static void test_crossing_fault(void **state)
{
	struct fixture *f = open_flat(HW_PLATFORM_INTEL, P | W, 0);
	u64 v = ~0ull;

	ram_put(f, PT + 0x21 * 8, 8, 0x21000 | P);
	assert_int_equal(cpu_write(f->cpu, 0x20ffc, &v, 8), EXEC_FAULT);
	assert_int_equal(f->cpu->fault.cr2, 0x21000);
	assert_int_equal(f->cpu->fault.error, 3);
	assert_int_equal(ram_get(f, 0x20ff8, 8), 0);
	fixture_map(f, 0x21000, 0);
	ram_put(f, PT + 0x21 * 8, 8, 0x21000 | P | W);
	assert_int_equal(cpu_write(f->cpu, 0x20ffc, &v, 8), EXEC_EXIT);
	assert_int_equal(f->cpu->exit.access.addr, 0x21000);
	assert_int_equal(f->cpu->exit.access.size, 4);
	assert_int_equal(f->cpu->exit.access.data, 0xffffffff);
	assert_int_equal(ram_get(f, 0x20ff8, 8), 0);
	/* kvm maps the page: the instruction restarts */
	fixture_map(f, 0x21000, STAGE2_RWX);
	restart(f);
	assert_int_equal(cpu_write(f->cpu, 0x20ffc, &v, 8), EXEC_OK);
	assert_int_equal(ram_get(f, 0x20ffc, 8), ~0ull);
	fixture_close(f);
}

static void expect_access(struct fixture *f, bool write, u64 address, unsigned int size)
{
	const struct hw_access *x = &f->cpu->exit.access;

	assert_true(x->valid);
	assert_int_equal(x->write, write);
	assert_int_equal(x->addr, address);
	assert_int_equal(x->size, size);
	assert_false(x->fetch || x->implicit || x->pio);
}

/* 20 bytes, of which the last 18 are a device's: three accesses, in order, then memory. */
static void test_device(void **state)
{
	struct fixture *f = open_flat(HW_PLATFORM_INTEL, P | W, 0);
	u8 data[20];

	*fixture_entry(f, 0x21000) = stage2_make_mmio(STAGE2_EPT);
	ram_put(f, 0x20ffe, 2, 0xaabb);
	for (unsigned int done = 0; done < 3; done++) {
		restart(f);
		assert_int_equal(cpu_read(f->cpu, 0x20ffe, data, 20), EXEC_EXIT);
		assert_int_equal(f->cpu->exit.vmx.reason, VMX_EXIT_EPT_MISCONFIG);
		expect_access(f, false, 0x21000 + 8 * done, done < 2 ? 8 : 2);
		hw_cpu_complete_access(f->cpu, 0x1111111111111111 * (done + 1));
		assert_true(hw_cpu_mid_insn(f->cpu));
	}
	restart(f);
	assert_int_equal(cpu_read(f->cpu, 0x20ffe, data, 20), EXEC_OK);
	assert_memory_equal(data, "\xbb\xaa\x11\x11\x11\x11\x11\x11\x11\x11\x22\x22\x22\x22\x22\x22\x22\x22\x33\x33",
			    20);
	cpu_insn_done(f->cpu);
	assert_false(read_hits(f, 0x21000));

	memset(data, 0x55, sizeof(data));
	for (unsigned int done = 0; done < 3; done++) {
		restart(f);
		assert_int_equal(cpu_write(f->cpu, 0x20ffe, data, 20), EXEC_EXIT);
		expect_access(f, true, 0x21000 + 8 * done, done < 2 ? 8 : 2);
		assert_int_equal(f->cpu->exit.access.data, done < 2 ? 0x5555555555555555 : 0x5555);
		assert_int_equal(ram_get(f, 0x20ffe, 2), 0xaabb);
		hw_cpu_complete_access(f->cpu, 0);
	}
	restart(f);
	assert_int_equal(cpu_write(f->cpu, 0x20ffe, data, 20), EXEC_OK);
	assert_int_equal(ram_get(f, 0x20ffe, 2), 0x5555);
	fixture_close(f);
}

static bool add_one(const void *old, void *value, void *opaque)
{
	u64 v = 0;

	memcpy(&v, old, 4);
	v++;
	memcpy(value, &v, 4);
	return true;
}

static void test_rmw(void **state)
{
	struct fixture *f = open_flat(HW_PLATFORM_INTEL, P | W, 0);
	void *host;

	assert_int_equal(cpu_rmw_host(f->cpu, 0x20010, 4, &host), EXEC_OK);
	assert_ptr_equal(host, f->ram + 0x20010);
	assert_int_equal(cpu_rmw_host(f->cpu, 0x20ffe, 4, &host), EXEC_OK);
	assert_null(host);
	assert_int_equal(cpu_locked_rmw(f->cpu, 0x20ffe, 4, add_one, NULL), EXEC_OK);
	assert_int_equal(ram_get(f, 0x20ffe, 4), 1);

	/* frames that are not neighbours in the host */
	ram_put(f, PT + 0x21 * 8, 8, 0x51000 | P | W);
	cpu_tlb_flush(f->cpu);
	ram_put(f, 0x20ffe, 2, 0xffff);
	assert_int_equal(cpu_locked_rmw(f->cpu, 0x20ffe, 4, add_one, NULL), EXEC_OK);
	assert_int_equal(ram_get(f, 0x20ffe, 2), 0);
	assert_int_equal(ram_get(f, 0x51000, 2), 1);

	/* a device: a read, then a write */
	*fixture_entry(f, 0x30000) = stage2_make_mmio(STAGE2_EPT);
	assert_int_equal(cpu_rmw_host(f->cpu, 0x30000, 4, &host), EXEC_OK);
	assert_null(host);
	assert_int_equal(cpu_locked_rmw(f->cpu, 0x30000, 4, add_one, NULL), EXEC_EXIT);
	expect_access(f, false, 0x30000, 4);
	hw_cpu_complete_access(f->cpu, 41);
	restart(f);
	assert_int_equal(cpu_locked_rmw(f->cpu, 0x30000, 4, add_one, NULL), EXEC_EXIT);
	expect_access(f, true, 0x30000, 4);
	assert_int_equal(f->cpu->exit.access.data, 42);
	hw_cpu_complete_access(f->cpu, 0);
	restart(f);
	assert_int_equal(cpu_locked_rmw(f->cpu, 0x30000, 4, add_one, NULL), EXEC_OK);
	fixture_close(f);
}

static void test_memory_gone(void **state)
{
	struct fixture *f = open_flat(HW_PLATFORM_AMD, P | W, 0);
	struct fetch_result fetch;
	u64 v = 1;

	assert_int_equal(cpu_write(f->cpu, 0x20000, &v, 8), EXEC_OK);
	assert_int_equal(munmap(f->ram + 0x20000, 4096), 0);
	for (unsigned int again = 0; again < 2; again++) {
		assert_int_equal(cpu_read(f->cpu, 0x20000, &v, 8), EXEC_EXIT);
		assert_true(f->cpu->exit.host_fault);
		assert_int_equal(cpu_write(f->cpu, 0x20000, &v, 8), EXEC_EXIT);
		assert_true(f->cpu->exit.host_fault);
		assert_int_equal(cpu_locked_rmw(f->cpu, 0x20004, 4, add_one, NULL), EXEC_EXIT);
		assert_true(f->cpu->exit.host_fault);
		assert_int_equal(cpu_fetch(f->cpu, 0x20000, &fetch), EXEC_EXIT);
		assert_true(f->cpu->exit.host_fault);
		cpu_tlb_flush(f->cpu);
	}
	fixture_close(f);
}

static void test_fetch(void **state)
{
	struct fixture *f = open_flat(HW_PLATFORM_INTEL, P | W, 0);
	struct fetch_result fetch;

	memset(f->ram + 0x20ff0, 0x90, 0x20);
	assert_int_equal(cpu_fetch(f->cpu, 0x20000, &fetch), EXEC_OK);
	assert_int_equal(fetch.len, 15);
	assert_int_equal(fetch.second.v, 0);
	assert_int_equal(cpu_fetch(f->cpu, 0x20ffa, &fetch), EXEC_OK);
	assert_int_equal(fetch.len, 15);
	assert_int_equal(fetch.first.v, ptr_to_hpa(f->ram + 0x20ffa).v);
	assert_int_equal(fetch.second.v, ptr_to_hpa(f->ram + 0x21000).v);
	fixture_map(f, 0x21000, STAGE2_R | STAGE2_W);
	assert_int_equal(cpu_fetch(f->cpu, 0x20ffa, &fetch), EXEC_OK);
	assert_int_equal(fetch.len, 6);
	assert_int_equal(fetch.second.v, 0);
	assert_int_equal(cpu_fetch(f->cpu, 0x21000, &fetch), EXEC_EXIT);
	assert_int_equal(f->cpu->exit.vmx.qualification, 0x184 | (STAGE2_R | STAGE2_W) << 3);
	assert_true(f->cpu->exit.access.fetch);
	fixture_close(f);
}

static void test_breakpoint(void **state)
{
	struct fixture *f = open_flat(HW_PLATFORM_INTEL, P | W, 0);
	u64 v = 0;

	f->cpu->arch.dr[1] = 0x20010;
	f->cpu->arch.dr7 = 1u << 2 | 1u << 20 | 3u << 22; /* 4 bytes, writes */
	cpu_tlb_flush(f->cpu);
	assert_int_equal(cpu_read(f->cpu, 0x20010, &v, 8), EXEC_OK);
	assert_int_equal(cpu_write(f->cpu, 0x20014, &v, 8), EXEC_OK);
	assert_false(f->cpu->pending_db);
	assert_int_equal(cpu_write(f->cpu, 0x2000c, &v, 8), EXEC_OK);
	assert_true(f->cpu->pending_db);
	assert_int_equal(f->cpu->pending_dr6, 2);
	fixture_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	   cmocka_unit_test(test_tlb_fill),	  cmocka_unit_test(test_global),
		cmocka_unit_test(test_ac),	   cmocka_unit_test(test_crossing_fault), cmocka_unit_test(test_device),
		cmocka_unit_test(test_rmw),	   cmocka_unit_test(test_memory_gone),	  cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_breakpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
