// SPDX-License-Identifier: Apache-2.0
/*
 * One address, one slot; and inside a slot, parts that are private, shared, punched: an access to one of them is answered by what it is
 * and not by what lies beside it. The VM type for tests lets the guest claim either.
 */
#include "private_guest.h"

#define PAGES  6ull
#define AT(n)  (WINDOW + (n) * PAGE)

/* Page by page: private and written; private and punched; private, never touched; shared; shared, with a page left in the file; shared,
 * its page in the file punched. */
enum { WRITTEN, PUNCHED, UNTOUCHED, SHARED, LEFT_OVER, LEFT_OVER_PUNCHED };

struct fixture {
	struct guest g;
	unsigned char *memory;
	int fd;
};

static void set_up(struct fixture *f, enum softcvm_platform platform)
{
	struct softcvm_config config = { .platform = platform, .test_vm_types = true };

	create_type(&f->g, &config, SOFTCVM_TEST_CLAIM_VM);
	f->memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->memory, MAP_FAILED);
	for (unsigned int n = 0; n < PAGES; n++)
		f->memory[n * PAGE] = (unsigned char)(0x10 + n);
	f->fd = memfd(&f->g, PAGES * PAGE, 0);
	assert_int_equal(set_region2(&f->g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, PAGES * PAGE, f->memory, f->fd, 0), 0);
	assert_int_equal(set_attributes(&f->g, WINDOW, PAGES * PAGE, P), 0);
	for (unsigned int n = 0; n < PAGES; n++)
		if (n != UNTOUCHED)
			guest_store(&f->g, CLAIMED(AT(n)), (unsigned char)(0x80 + n));
	assert_int_equal(set_attributes(&f->g, AT(SHARED), 3 * PAGE, S), 0);
	assert_int_equal(punch(f->fd, PUNCHED * PAGE, PAGE), 0);
	assert_int_equal(punch(f->fd, SHARED * PAGE, PAGE), 0);
	assert_int_equal(punch(f->fd, LEFT_OVER_PUNCHED * PAGE, PAGE), 0);
}

static void tear_down(struct fixture *f)
{
	softcvm_close(f->fd);
	destroy(&f->g);
	munmap(f->memory, PAGES * PAGE);
}

static const enum softcvm_platform platforms[] = { SOFTCVM_PLATFORM_INTEL, SOFTCVM_PLATFORM_AMD };

/* A claim that is not what the page is: asked of user space, wherever the page's memory is. Nothing is mapped yet. */
static void test_other_claim(void **state)
{
	for (unsigned int p = 0; p < 2; p++) {
		struct fixture f;

		set_up(&f, platforms[p]);
		for (unsigned int n = PUNCHED; n <= UNTOUCHED; n++)
			expect_memory_fault(&f.g, guest_access(&f.g, AT(n), false, 0), AT(n), 0);
		for (unsigned int n = SHARED; n <= LEFT_OVER_PUNCHED; n++)
			expect_memory_fault(&f.g, guest_access(&f.g, CLAIMED(AT(n)), false, 0), AT(n), KVM_MEMORY_EXIT_FLAG_PRIVATE);
		tear_down(&f);
	}
}

static void test_same_claim(void **state)
{
	for (unsigned int p = 0; p < 2; p++) {
		struct fixture f;

		set_up(&f, platforms[p]);
		/* A shared access beside the hole, and the private ones around it. */
		assert_int_equal(guest_load(&f.g, AT(SHARED)), 0x10 + SHARED);
		assert_int_equal(guest_load(&f.g, CLAIMED(AT(PUNCHED))), 0);
		assert_int_equal(guest_load(&f.g, CLAIMED(AT(WRITTEN))), 0x80 + WRITTEN);
		assert_int_equal(guest_load(&f.g, CLAIMED(AT(UNTOUCHED))), 0);
		assert_int_equal(guest_load(&f.g, AT(LEFT_OVER)), 0x10 + LEFT_OVER);
		assert_int_equal(guest_load(&f.g, AT(LEFT_OVER_PUNCHED)), 0x10 + LEFT_OVER_PUNCHED);
		/* Neither side has written to the other. */
		for (unsigned int n = 0; n < PAGES; n++)
			assert_int_equal(f.memory[n * PAGE], 0x10 + n);
		tear_down(&f);
	}
}

/* What was in the file survives a conversion there and back; what was punched does not. */
static void test_back_to_private(void **state)
{
	struct fixture f;

	set_up(&f, SOFTCVM_PLATFORM_INTEL);
	guest_store(&f.g, AT(LEFT_OVER), 0x77);
	assert_int_equal(set_attributes(&f.g, AT(SHARED), 3 * PAGE, P), 0);
	assert_int_equal(guest_load(&f.g, CLAIMED(AT(LEFT_OVER))), 0x80 + LEFT_OVER);
	assert_int_equal(guest_load(&f.g, CLAIMED(AT(LEFT_OVER_PUNCHED))), 0);
	assert_int_equal(f.memory[LEFT_OVER * PAGE], 0x77);
	tear_down(&f);
}

/* A hole of the size of the slot's private part leaves the shared mapping beside it in use, and the other way round. */
static void test_hole_beside_a_mapping(void **state)
{
	struct fixture f;

	set_up(&f, SOFTCVM_PLATFORM_AMD);
	assert_int_equal(guest_load(&f.g, AT(SHARED)), 0x10 + SHARED);
	assert_int_equal(punch(f.fd, 0, 3 * PAGE), 0);
	guest_store(&f.g, AT(SHARED), 0x55);
	assert_int_equal(f.memory[SHARED * PAGE], 0x55);
	assert_int_equal(guest_load(&f.g, CLAIMED(AT(WRITTEN))), 0);
	/* Punched under a shared page: its memory is the client's, and stays. */
	assert_int_equal(punch(f.fd, 3 * PAGE, 3 * PAGE), 0);
	assert_int_equal(guest_load(&f.g, AT(SHARED)), 0x55);
	tear_down(&f);
}

/* ---------------------------------------------------------------- a second slot there */

static const struct {
	uint64_t start, pages;
	const char *what;
} overlaps[] = {
	{ AT(0), PAGES, "the same range" },	      { AT(0), 1, "the first page" },
	{ AT(5), 1, "the last page" },		      { AT(1), 1, "the punched page" },
	{ AT(3), 1, "a shared page" },		      { AT(1), 2, "the inside" },
	{ AT(0) - PAGE, 2, "the beginning" },	      { AT(5), 2, "the end" },
	{ AT(0) - PAGE, PAGES + 2, "it and around" },
};

static void test_overlap(void **state)
{
	struct fixture f;
	int other;

	set_up(&f, SOFTCVM_PLATFORM_INTEL);
	other = memfd(&f.g, 16 * PAGE, 0);
	for (unsigned int i = 0; i < sizeof(overlaps) / sizeof(overlaps[0]); i++) {
		uint64_t start = overlaps[i].start, size = overlaps[i].pages * PAGE;

		if (set_region(&f.g, 2, 0, start, size, f.memory) != -EEXIST ||
		    set_region2(&f.g, 2, 0, start, size, f.memory, -1, 0) != -EEXIST ||
		    set_region2(&f.g, 2, KVM_MEM_GUEST_MEMFD, start, size, NULL, other, 0) != -EEXIST)
			fail_msg("%s: not EEXIST", overlaps[i].what);
		assert_int_equal(set_attributes(&f.g, start, size, i & 1 ? P : S), 0);
		if (set_region2(&f.g, 2, KVM_MEM_GUEST_MEMFD, start, size, NULL, other, 0) != -EEXIST)
			fail_msg("%s: not EEXIST once its pages were converted", overlaps[i].what);
	}
	/* Neighbours touch. */
	assert_int_equal(set_region2(&f.g, 2, KVM_MEM_GUEST_MEMFD, AT(PAGES), PAGE, f.memory, other, 0), 0);
	softcvm_close(other);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_claim),	      cmocka_unit_test(test_same_claim), cmocka_unit_test(test_back_to_private),
		cmocka_unit_test(test_hole_beside_a_mapping), cmocka_unit_test(test_overlap),
	};

	return cmocka_run_group_tests_name("kvm/active_ranges", tests, NULL, NULL);
}
