// SPDX-License-Identifier: Apache-2.0
/*
 * Hosts and guests that call leaves with whatever comes to mind. Nothing worse than a completion code may come of it,
 * and what must hold between secure EPTs and page owners holds after each step. usage: test_tdx_hostile [seed [count]]
 */
#include "host.h"

static u64 seed = 1, count = 60000;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void expect_whole(struct host *h)
{
	const char *wrong = tdx_module_check(h->mod);

	if (wrong)
		print_error("%s\n", wrong);
	assert_null(wrong);
}

/* ---------------------------------------------------------------- the host */

static const u64 host_leaves[] = {
	TDH_MNG_ADDCX,	      TDH_MEM_PAGE_ADD,	    TDH_MEM_SEPT_ADD, TDH_VP_ADDCX,  TDH_MEM_PAGE_AUG,
	TDH_MEM_RANGE_BLOCK,  TDH_MNG_KEY_CONFIG,   TDH_MNG_CREATE,   TDH_VP_CREATE, TDH_MNG_RD,
	TDH_MNG_WR,	      TDH_MEM_PAGE_DEMOTE,  TDH_MR_EXTEND,    TDH_MNG_INIT,  TDH_VP_INIT,
	TDH_MEM_PAGE_PROMOTE, TDH_PHYMEM_PAGE_RDMD, TDH_MEM_SEPT_RD,  TDH_VP_RD,     TDH_PHYMEM_PAGE_RECLAIM,
	TDH_MEM_PAGE_REMOVE,  TDH_MEM_SEPT_REMOVE,  TDH_SYS_RD,	      TDH_MEM_TRACK, TDH_MEM_RANGE_UNBLOCK,
	TDH_PHYMEM_CACHE_WB,  TDH_VP_ENTER,
};

/* Pages of the pool's first part, so that they meet; 2M-aligned ones too. */
static u64 random_page(struct host *h)
{
	u64 pool = (u64)(uintptr_t)h->pool;

	switch (rnd() % 8) {
	case 0:
		return h->tdr;
	case 1:
		return h->tdvpr[0];
	case 2:
		return pool + (2ull << 20) * (1 + rnd() % 8);
	case 3:
		return rnd() % 4 == 0 ? rnd() : 0;
	case 4:
		return pool + HW_PAGE_SIZE * (rnd() % 512);
	default:
		return pool + HW_PAGE_SIZE * (512 + rnd() % 2048);
	}
}

static u64 random_gpa(struct host *h)
{
	static const u8 levels[32] = {
		[16] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	};
	u64 a = (1 + rnd() % 2) << 30 | (rnd() % 3) << 21 | (rnd() % 4) << 12 |
		(rnd() % 512 ? levels[rnd() % 32] : 2 + rnd() % 2);

	switch (rnd() % 16) {
	case 0:
		return rnd();
	case 1:
		return a | h->shared_bit;
	default:
		return a & ~((hw_level_size((a & 7) + 1) - 1) & ~7ull);
	}
}

static u64 random_field(void)
{
	static const u64 fields[] = {TDX_FIELD_XFAM,
				     TDX_FIELD_TD_CTLS,
				     TDX_FIELD_CPUID_VALUES,
				     TDX_FIELD_CPUID_CONFIG_LEAVES,
				     TDX_FIELD_CPUID_CONFIG_VALUES,
				     TDX_FIELD_RTMR,
				     TDX_FIELD_POSTED_INTR_NV};

	return rnd() % 4 ? fields[rnd() % (sizeof(fields) / sizeof(fields[0]))] + rnd() % 64 : rnd();
}

static u64 random_operand(struct host *h)
{
	switch (rnd() % 4) {
	case 0:
		return random_page(h);
	case 1:
		return random_field();
	default:
		return random_gpa(h);
	}
}

/* The module writes to pages that it is given: those outside the pool shall not be memory by chance. */
static u64 harmless(struct host *h, u64 page)
{
	u64 pool = (u64)(uintptr_t)h->pool;

	return page >= pool && page < pool + POOL_PAGES * HW_PAGE_SIZE ? page : page | 1ull << 50;
}

static void random_host_call(struct host *h)
{
	u64 leaf = host_leaves[rnd() % (sizeof(host_leaves) / sizeof(host_leaves[0]))], status;
	struct tdx_regs regs = {.rax = rnd() % 64 ? leaf : rnd()};

	/* what belongs there, as a rule */
	regs.rcx = rnd() % 8 ? random_gpa(h) : random_operand(h);
	regs.rdx = rnd() % 8 ? h->tdr : random_operand(h);
	regs.r8 = rnd() % 4 ? random_page(h) : random_operand(h);
	regs.r9 = rnd() % 4 ? random_page(h) : random_operand(h);
	if (leaf == TDH_MEM_PAGE_AUG && (regs.rcx & 7) == 1)
		regs.r8 &= ~0x1fffffull;
	if ((leaf == TDH_PHYMEM_PAGE_RDMD || leaf == TDH_MNG_ADDCX || leaf == TDH_VP_CREATE) && rnd() % 4)
		regs.rcx = random_page(h);
	if (leaf == TDH_VP_ENTER || leaf == TDH_VP_RD || leaf == TDH_MNG_RD || leaf == TDH_MEM_TRACK)
		regs.rcx = rnd() % 4 ? (leaf == TDH_VP_RD ? h->tdvpr[0] : h->tdr) : random_operand(h);
	if (leaf == TDH_VP_RD || leaf == TDH_MNG_RD)
		regs.rdx = random_field();
	regs.r8 = harmless(h, regs.r8);
	regs.r9 = harmless(h, regs.r9);
	status = tdx_seamcall(h->mod, NULL, &regs);
	assert_true(status == regs.rax);
	assert_int_equal(status & TDX_STATUS_FATAL, 0);
}

static void hostile_host(void **state)
{
	print_message("seed %llu\n", (unsigned long long)seed);
	for (unsigned int phase = 0; phase < 2; phase++) {
		struct host *h = host_open();

		host_init_td(h);
		host_load_guest(h);
		host_add_vcpu(h, 0);
		for (u64 n = 0; n < 6; n++)
			host_tables(h, (1 + n % 2) << 30 | n / 2 << 21, n % 2);
		if (phase)
			call_ok(h, TDH_MR_FINALIZE, h->tdr);
		for (u64 n = 0; n < count; n++) {
			random_host_call(h);
			if (n % 64 == 0)
				expect_whole(h);
		}
		expect_whole(h);
		host_close(h);
	}
}

/* ---------------------------------------------------------------- the guest */

/* Addresses at which something is or may come to be, but for what the guest needs to go on: a report is written where
 * it says. */
static u64 random_guest_operand(struct host *h)
{
	static const u64 bases[] = {0x8000000, 0x8200000, SHARED_GPA + 0x4000, 0x1a000};
	u64 base = bases[rnd() % 4], a = base + (rnd() % 4 ? rnd() % (base < 0x100000 ? 3 : 8) << 12 : rnd() % 0x1000);

	switch (rnd() % 8) {
	case 0:
		return rnd();
	case 1:
		return a | h->shared_bit;
	case 2:
		return a | 1;
	case 3:
		return random_field();
	default:
		return a;
	}
}

/* Whatever stops the guest: give it what it asks for, now and then. */
static void answer(struct host *h)
{
	u64 gpa_ = h->regs[0].r8, level = 0;

	if (gpa_ & h->shared_bit) {
		*host_shared_entry(h, gpa_ & ~h->shared_bit) =
			rnd() % 2 ? 0
				  : stage2_make_leaf(STAGE2_EPT, ptr_to_hpa(h->shared_page[0] + HW_PAGE_SIZE), 1,
						     STAGE2_RWX);
		return;
	}
	if (TDX_EXT_QUAL_TYPE(h->regs[0].rdx) == TDX_EXT_QUAL_ACCEPT)
		level = TDX_EXT_QUAL_ACCEPT_LEVEL(h->regs[0].rdx);
	for (unsigned int l = h->top_level; l > level; l--)
		call(h, TDH_MEM_SEPT_ADD, (gpa_ & ~(hw_level_size(l + 1) - 1)) | l, h->tdr, host_page(h));
	if (call(h, TDH_MEM_PAGE_AUG, (gpa_ & ~(hw_level_size(level + 1) - 1)) | level, h->tdr,
		 host_pages(h, level ? 512 : 1)) == 0)
		return;
	call(h, TDH_MEM_RANGE_BLOCK, (gpa_ & ~0x1fffffull) | 1, h->tdr);
	call(h, TDH_MEM_TRACK, h->tdr);
	call(h, TDH_MEM_PAGE_DEMOTE, (gpa_ & ~0x1fffffull) | 1, h->tdr, host_page(h));
	call(h, TDH_MEM_RANGE_UNBLOCK, (gpa_ & ~0x1fffffull) | 1, h->tdr);
}

static void random_guest_call(struct host *h)
{
	struct shared *s = host_shared(h, 0);
	u64 status;

	for (unsigned int n = 0; n < 16; n++)
		s->gpr[n] = random_guest_operand(h);
	s->gpr[HW_RAX] = rnd() % 16 ? 1 + rnd() % 12 : rnd();
	if (rnd() % 2)
		s->gpr[HW_RDX] = rnd() % 5;
	if (rnd() % 2)
		s->gpr[HW_R8] = rnd() % 2;
	if (rnd() % 4 == 0)
		s->gpr[HW_RCX] = rnd() % 4;
	if (s->gpr[HW_RAX] == 7 || s->gpr[HW_RAX] == 8 || s->gpr[HW_RAX] == 11)
		s->gpr[HW_RDX] = random_field();
	status = begin(h, TDCALL);
	for (unsigned int n = 0; n < 4 && status == VMX_EXIT_EPT_VIOLATION; n++) {
		answer(h);
		status = host_enter(h, 0);
	}
	/* it insists on what it cannot have: let it go on behind the instruction */
	if (status == VMX_EXIT_EPT_VIOLATION) {
		h->cpu[0]->arch.gpr[HW_RAX] = 99;
		status = host_enter(h, 0);
	}
	assert_int_equal(status, TDX_EXIT_TDCALL);
}

static void hostile_guest(void **state)
{
	struct host *h = host_boot(host_open());

	h->shared_page[1] = (u8 *)(uintptr_t)host_page(h);
	for (u64 n = 0; n < count / 20; n++) {
		random_guest_call(h);
		if (n % 64 == 0)
			expect_whole(h);
		/* the pool is not endless */
		if (h->next_page + 8192 > POOL_PAGES) {
			host_close(h);
			h = host_boot(host_open());
			h->shared_page[1] = (u8 *)(uintptr_t)host_page(h);
		}
	}
	expect_whole(h);
	host_close(h);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_host),
		cmocka_unit_test(hostile_guest),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0) | 1;
	if (argc > 2)
		count = strtoull(argv[2], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
