// SPDX-License-Identifier: Apache-2.0
/* The guest's page walk (SDM 3A ch. 4): addresses, error codes, accessed and dirty flags, in all five modes. */
#include "fixture.h"

#define P  1ull
#define W  2ull
#define U  4ull
#define A  0x20ull
#define D  0x40ull
#define PS 0x80ull
#define G  0x100ull
#define NX (1ull << 63)

enum mode { LONG4, LONG5, PAE, LEGACY };

/*
 * Tables at fixed places: level n (1 is the last) at TABLE(n), reached by index 1 of each level above. The linear address
 * has index 1 everywhere, and the offset 0x123.
 */
#define TABLE(n) (0x10000ull * (n))
#define PAGE	 0x300000ull
#define OFFSET	 0x123ull

struct walk_case {
	const char *name;
	enum mode mode;
	u64 entry[5];	  /* flags of the entries, [0]: the last level; 0 where the mode has no such level */
	unsigned int leaf; /* level of the leaf */
	u64 cr4, rflags; /* added to the mode's own */
	u64 efer_clear, cr0_clear;
	unsigned int cpl, acc;
	int fault;	  /* -1: translated; else the error code */
	u64 leaf_after;	  /* flags that the leaf must have gained */
};

#define FULL (P | W | U)
#define PATH4(leaf) { leaf, FULL, FULL, FULL }
#define PATH5(leaf) { leaf, FULL, FULL, FULL, FULL }

static const struct walk_case cases[] = {
	{ "4-level read", LONG4, PATH4(FULL), 1, .fault = -1, .leaf_after = A },
	{ "4-level write sets D", LONG4, PATH4(FULL), 1, .acc = ACC_WRITE, .fault = -1, .leaf_after = A | D },
	{ "a load that will be stored sets D", LONG4, PATH4(FULL), 1, .acc = ACC_RMW, .fault = -1, .leaf_after = A | D },
	{ "4-level 2M", LONG4, { 0, FULL | PS, FULL, FULL }, 2, .fault = -1, .leaf_after = A },
	{ "4-level 1G", LONG4, { 0, 0, FULL | PS, FULL }, 3, .fault = -1, .leaf_after = A },
	{ "5-level", LONG5, PATH5(FULL), 1, .cr4 = CR4_LA57, .fault = -1, .leaf_after = A },
	{ "PAE", PAE, { FULL, FULL }, 1, .fault = -1, .leaf_after = A },
	{ "PAE 2M", PAE, { 0, FULL | PS }, 2, .acc = ACC_WRITE, .fault = -1, .leaf_after = A | D },
	{ "32-bit", LEGACY, { FULL, FULL }, 1, .acc = ACC_WRITE, .fault = -1, .leaf_after = A | D },
	{ "32-bit 4M", LEGACY, { 0, FULL | PS }, 2, .cr4 = CR4_PSE, .acc = ACC_WRITE, .fault = -1, .leaf_after = A | D },

	{ "not present", LONG4, PATH4(0), 1, .fault = 0 },
	{ "not present, user write", LONG4, PATH4(W), 1, .cpl = 3, .acc = ACC_WRITE, .fault = 6 },
	{ "not present in the middle", LONG4, { FULL, FULL, 0, FULL }, 1, .cpl = 3, .fault = 4 },
	{ "not present, fetch", LONG4, PATH4(0), 1, .acc = ACC_FETCH, .fault = 0x10 },
	{ "fetch without NXE and SMEP has no I/D", LONG4, PATH4(0), 1, .efer_clear = EFER_NXE, .acc = ACC_FETCH, .fault = 0 },
	{ "fetch with SMEP only has I/D", LEGACY, { 0, FULL }, 1, .cr4 = CR4_SMEP, .acc = ACC_FETCH, .fault = 0x10 },
	{ "PAE register not present", PAE, { FULL, FULL }, 3, .acc = ACC_WRITE, .fault = 2 },

	{ "user reads supervisor page", LONG4, PATH4(P | W), 1, .cpl = 3, .fault = 5 },
	{ "user through supervisor table", LONG4, { FULL, P | W, FULL, FULL }, 1, .cpl = 3, .fault = 5 },
	{ "user writes read-only page", LONG4, PATH4(P | U), 1, .cpl = 3, .acc = ACC_WRITE, .fault = 7 },
	{ "user writes through read-only table", LONG4, { FULL, FULL, P | U, FULL }, 1, .cpl = 3, .acc = ACC_WRITE, .fault = 7 },
	{ "supervisor write, WP", LONG4, PATH4(P), 1, .acc = ACC_WRITE, .fault = 3 },
	{ "supervisor write, no WP", LONG4, PATH4(P), 1, .cr0_clear = CR0_WP, .acc = ACC_WRITE, .fault = -1, .leaf_after = A | D },
	{ "implicit access at CPL 3", LONG4, PATH4(P | W), 1, .cpl = 3, .acc = ACC_IMPLICIT, .fault = -1, .leaf_after = A },

	{ "NX", LONG4, PATH4(FULL | NX), 1, .acc = ACC_FETCH, .fault = 0x11 },
	{ "NX of a table", LONG4, { FULL, FULL, FULL | NX, FULL }, 1, .cpl = 3, .acc = ACC_FETCH, .fault = 0x15 },
	{ "NX does not forbid reading", LONG4, PATH4(FULL | NX), 1, .fault = -1, .leaf_after = A },
	{ "NX without NXE is reserved", LONG4, PATH4(FULL | NX), 1, .efer_clear = EFER_NXE, .fault = 9 },
	{ "SMEP", LONG4, PATH4(FULL), 1, .cr4 = CR4_SMEP, .acc = ACC_FETCH, .fault = 0x11 },
	{ "SMEP and supervisor page", LONG4, PATH4(P), 1, .cr4 = CR4_SMEP, .acc = ACC_FETCH, .fault = -1, .leaf_after = A },
	{ "SMAP", LONG4, PATH4(FULL), 1, .cr4 = CR4_SMAP, .fault = 1 },
	{ "SMAP, write", LONG4, PATH4(FULL), 1, .cr4 = CR4_SMAP, .acc = ACC_WRITE, .fault = 3 },
	{ "SMAP with AC", LONG4, PATH4(FULL), 1, .cr4 = CR4_SMAP, .rflags = FLAG_AC, .fault = -1, .leaf_after = A },
	{ "SMAP, implicit access with AC", LONG4, PATH4(FULL), 1, .cr4 = CR4_SMAP, .rflags = FLAG_AC, .acc = ACC_IMPLICIT,
	  .fault = 1 },
	{ "SMAP does not concern fetches", LONG4, PATH4(FULL), 1, .cr4 = CR4_SMAP, .acc = ACC_FETCH, .fault = -1, .leaf_after = A },

	{ "address bit 46 is reserved", LONG4, PATH4(FULL | 1ull << 46), 1, .fault = 9 },
	{ "address bit 51 of a table is reserved", LONG4, { FULL, FULL, FULL, FULL | 1ull << 51 }, 1, .cpl = 3, .fault = 0xd },
	{ "bits 62:52 are ignored", LONG4, PATH4(FULL | 0x7ffull << 52), 1, .fault = -1, .leaf_after = A },
	{ "PS in a PML4 entry is reserved", LONG4, { FULL, FULL, FULL, FULL | PS }, 1, .fault = 9 },
	{ "PS in a PML5 entry is reserved", LONG5, { FULL, FULL, FULL, FULL, FULL | PS }, 1, .cr4 = CR4_LA57, .fault = 9 },
	{ "2M: bit 13 is reserved", LONG4, { 0, FULL | PS | 1u << 13, FULL, FULL }, 2, .fault = 9 },
	{ "2M: bit 12 is PAT", LONG4, { 0, FULL | PS | 1u << 12, FULL, FULL }, 2, .fault = -1, .leaf_after = A },
	{ "1G: bit 29 is reserved", LONG4, { 0, 0, FULL | PS | 1u << 29, FULL }, 3, .acc = ACC_WRITE, .fault = 0xb },
	{ "PAE: bit 62 is reserved", PAE, { FULL | 1ull << 62, FULL }, 1, .fault = 9 },
	{ "PAE 2M: bit 20 is reserved", PAE, { 0, FULL | PS | 1u << 20 }, 2, .fault = 9 },
	{ "4M: bit 21 is reserved", LEGACY, { 0, FULL | PS | 1u << 21 }, 2, .cr4 = CR4_PSE, .fault = 9 },
	{ "PS without PSE is ignored", LEGACY, { FULL, FULL | PS }, 1, .fault = -1, .leaf_after = A },
	{ "reserved comes before permission", LONG4, PATH4(P | 1ull << 50), 1, .cpl = 3, .acc = ACC_WRITE, .fault = 0xf },
};

static unsigned int mode_levels(enum mode mode)
{
	return mode == LONG4 ? 4 : mode == LONG5 ? 5 : 2;
}

static u64 page_size(const struct walk_case *t)
{
	if (t->mode == LEGACY && t->leaf == 2)
		return 4 << 20;
	return t->leaf == 3 && t->mode != PAE ? 1 << 30 : t->leaf == 2 ? 2 << 20 : 4096;
}

static u64 linear(const struct walk_case *t)
{
	u64 lin = OFFSET;

	for (unsigned int level = 1; level <= (t->mode == PAE ? 3 : mode_levels(t->mode)); level++)
		lin |= 1ull << (12 + (t->mode == LEGACY ? 10 : 9) * (level - 1));
	return lin;
}

static u64 leaf_address(const struct walk_case *t)
{
	return page_size(t) > 4096 ? 0 : PAGE;
}

static void set_up(struct fixture *f, const struct walk_case *t)
{
	unsigned int size = t->mode == LEGACY ? 4 : 8;
	struct hw_arch *a = &f->cpu->arch;

	memset(f->ram, 0, 0x100000);
	for (unsigned int level = 1; level <= mode_levels(t->mode); level++) {
		u64 below = level == t->leaf ? leaf_address(t) : TABLE(level - 1);

		ram_put(f, TABLE(level) + size, size, t->entry[level - 1] | below);
	}
	fixture_long_mode(f, t->cpl, TABLE(mode_levels(t->mode)));
	if (t->mode >= PAE) {
		a->efer = t->mode == PAE ? EFER_NXE : 0;
		a->cr4 = t->mode == PAE ? CR4_PAE : 0;
		a->seg[HW_CS].attr = (a->seg[HW_CS].attr & ~SEG_L) | SEG_DB;
	}
	memset(a->pdptr, 0, sizeof(a->pdptr));
	if (t->mode == PAE && t->leaf != 3)
		a->pdptr[1] = TABLE(2) | P;
	a->cr0 &= ~t->cr0_clear;
	a->cr4 |= t->cr4;
	a->efer &= ~t->efer_clear;
	a->rflags |= t->rflags;
	cpu_update_mode(f->cpu);
	cpu_tlb_flush(f->cpu);
}

static void run_case(struct fixture *f, const struct walk_case *t)
{
	unsigned int size = t->mode == LEGACY ? 4 : 8;
	struct access a = { .lin = linear(t), .size = 1, .acc = t->acc };
	u64 before, after;
	int r;

	set_up(f, t);
	if (t->cpl == 3 && !(t->acc & ACC_IMPLICIT))
		a.acc |= ACC_USER;
	before = ram_get(f, TABLE(t->leaf) + size, size);
	r = access_guest_walk(f->cpu, &a);
	after = ram_get(f, TABLE(t->leaf) + size, size);
	if (t->fault >= 0) {
		assert_int_equal(r, EXEC_FAULT);
		assert_int_equal(f->cpu->fault.vector, X86_PF);
		assert_int_equal(f->cpu->fault.error, t->fault);
		assert_int_equal(f->cpu->fault.cr2, a.lin);
		assert_int_equal(before, after);
		return;
	}
	assert_int_equal(r, EXEC_OK);
	assert_int_equal(a.gpa.v, leaf_address(t) | (a.lin & (page_size(t) - 1)));
	assert_int_equal(after & ~before, t->leaf_after);
	assert_int_equal(ram_get(f, TABLE(mode_levels(t->mode)) + size, size) & A, A);
}

static void test_cases(void **state)
{
	struct fixture *f = fixture_open(HW_PLATFORM_INTEL);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("  %s\n", cases[i].name);
		run_case(f, &cases[i]);
	}
	fixture_close(f);
}

/* PSE-36: bits 20:13 of the entry are address bits 39:32. */
static void test_pse36(void **state)
{
	static const struct walk_case t = { "", LEGACY, { 0, FULL | PS | 5u << 13 }, .leaf = 2, .cr4 = CR4_PSE };
	struct fixture *f = fixture_open(HW_PLATFORM_INTEL);
	struct access a = { .lin = linear(&t), .size = 1 };

	set_up(f, &t);
	assert_int_equal(access_guest_walk(f->cpu, &a), EXEC_OK);
	assert_int_equal(a.gpa.v, 5ull << 32 | (a.lin & 0x3fffff));
	fixture_close(f);
}

static void test_claim_bit(void **state)
{
	static const struct walk_case t = { "", LONG4, { FULL | 1ull << 51, FULL | 1ull << 51, FULL, FULL }, .leaf = 1 };
	struct fixture *f = fixture_open(HW_PLATFORM_INTEL);
	struct access a = { .lin = linear(&t), .size = 1 };

	set_up(f, &t);
	f->cpu->ctl.claim_bit = 1ull << 51;
	assert_int_equal(access_guest_walk(f->cpu, &a), EXEC_OK);
	access_claim(f->cpu, &a);
	assert_int_equal(a.gpa.v, PAGE | OFFSET);
	assert_int_equal(a.claim, CLAIM_SHARED);
	f->cpu->ctl.claim_bit_is_private = true;
	assert_int_equal(access_guest_walk(f->cpu, &a), EXEC_OK);
	access_claim(f->cpu, &a);
	assert_int_equal(a.claim, CLAIM_PRIVATE);
	fixture_close(f);
}

static int read_ram(void *opaque, gpa_t at, void *entry, unsigned int size)
{
	u64 value = ram_get(opaque, at.v, size);

	memcpy(entry, &value, size);
	return 0;
}

static int read_nothing(void *opaque, gpa_t at, void *entry, unsigned int size) { return -1; }

static void test_translate(void **state)
{
	static const struct walk_case t = { "", LONG4, PATH4(P | U), .leaf = 1 };
	struct fixture *f = fixture_open(HW_PLATFORM_INTEL);
	const struct hw_table_reader reader = { read_ram, f }, broken = { read_nothing, f };
	struct hw_translation out;

	set_up(f, &t);
	assert_true(hw_cpu_translate(f->cpu, gva(linear(&t)), &reader, &out));
	assert_int_equal(out.gpa.v, PAGE | OFFSET);
	assert_false(out.writable);
	assert_true(out.user);
	assert_int_equal(ram_get(f, TABLE(1) + 8, 8) & A, 0);
	assert_false(hw_cpu_translate(f->cpu, gva(0), &reader, &out));
	assert_false(hw_cpu_translate(f->cpu, gva(1ull << 63), &reader, &out));
	assert_false(hw_cpu_translate(f->cpu, gva(linear(&t)), &broken, &out));
	fixture_close(f);
}

/* SDM 3C Table 27-7: bit 8 tells a table from the translation; bits 5:3 what the entry allows. */
static void test_violation_of_table(void **state)
{
	static const struct walk_case t = { "", LONG4, PATH4(FULL), .leaf = 1 };
	struct fixture *f = fixture_open(HW_PLATFORM_INTEL);
	struct access a = { .lin = linear(&t), .size = 1 };
	const struct hw_exit *x = hw_cpu_exit(f->cpu);

	set_up(f, &t);
	fixture_map(f, TABLE(2), 0);
	assert_int_equal(access_guest_walk(f->cpu, &a), EXEC_EXIT);
	assert_int_equal(x->vmx.reason, VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(x->vmx.qualification, 0x81);
	assert_int_equal(x->vmx.guest_physical, TABLE(2) + 8);
	assert_int_equal(x->vmx.guest_linear, a.lin);
	assert_true(x->access.implicit);

	/* The accessed flag has to be set, and may not. */
	fixture_map(f, TABLE(2), STAGE2_R);
	assert_int_equal(access_guest_walk(f->cpu, &a), EXEC_EXIT);
	assert_int_equal(x->vmx.qualification, 0x82 | STAGE2_R << 3);
	fixture_map(f, TABLE(2), STAGE2_RWX);

	assert_int_equal(access_guest_walk(f->cpu, &a), EXEC_OK);
	fixture_map(f, PAGE, 0);
	assert_int_equal(access_stage2(f->cpu, &a), EXEC_EXIT);
	assert_int_equal(x->vmx.qualification, 0x181);
	fixture_close(f);
}

/* APM2 15.25.6 */
static void test_npf(void **state)
{
	static const struct walk_case t = { "", LONG4, PATH4(FULL), .leaf = 1 };
	struct fixture *f = fixture_open(HW_PLATFORM_AMD);
	struct access a = { .lin = linear(&t), .size = 1, .acc = ACC_WRITE };
	const struct hw_exit *x = hw_cpu_exit(f->cpu);

	set_up(f, &t);
	fixture_map(f, TABLE(3), 0);
	assert_int_equal(access_guest_walk(f->cpu, &a), EXEC_EXIT);
	assert_int_equal(x->svm.code, SVM_EXIT_NPF);
	assert_int_equal(x->svm.info1, HW_PFERR_USER | HW_PFERR_GUEST_PAGE);
	assert_int_equal(x->svm.info2, TABLE(3) + 8);
	fixture_map(f, TABLE(3), STAGE2_RWX);
	assert_int_equal(access_guest_walk(f->cpu, &a), EXEC_OK);
	fixture_map(f, PAGE, STAGE2_R);
	hw_cpu_inject_fault_bits(f->cpu, 1ull << 34, 1);
	assert_int_equal(access_stage2(f->cpu, &a), EXEC_EXIT);
	assert_int_equal(x->svm.info1, 7 | HW_PFERR_GUEST_FINAL | 1ull << 34);
	assert_int_equal(access_stage2(f->cpu, &a), EXEC_EXIT);
	assert_int_equal(x->svm.info1, 7 | HW_PFERR_GUEST_FINAL);
	fixture_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),		   cmocka_unit_test(test_pse36),
		cmocka_unit_test(test_claim_bit),	   cmocka_unit_test(test_translate),
		cmocka_unit_test(test_violation_of_table), cmocka_unit_test(test_npf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
