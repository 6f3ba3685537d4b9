// SPDX-License-Identifier: Apache-2.0
/* The pKVM model and the mappings of the process: a guest cannot use them up. */
#include "pkvm_guest.h"

#include <stdio.h>

#define BIG_AT	 0x10000000ull
#define BIG_SIZE (512ull << 20)

static const struct softcvm_config amd = { .platform = SOFTCVM_PLATFORM_AMD, .pkvm = true };

/* mov [ebx], al; add ebx, 0x2000; cmp ebx, BIG_SIZE; jb back; hlt */
static const unsigned char every_other[] = { 0x67, 0x88, 0x03, 0x66, 0x81, 0xc3, 0x00, 0x20, 0x00, 0x00, 0x66,
					     0x81, 0xfb, 0x00, 0x00, 0x00, 0x20, 0x72, 0xed, 0xf4 };

static unsigned int mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned int count = 0;

	for (int c; (c = fgetc(maps)) != EOF;)
		count += c == '\n';
	fclose(maps);
	return count;
}

static void prepare(struct pkvm_guest *p, uint64_t rip, uint64_t offset)
{
	struct kvm_sregs sregs;

	pkvm_prepare(p->g.vcpu, rip, BIG_AT + offset, 0x5a, 0, 0);
	assert_int_equal(softcvm_ioctl(p->g.vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.ds.limit = 0xffffffff;
	sregs.ds.g = 1;
	assert_int_equal(softcvm_ioctl(p->g.vcpu, KVM_SET_SREGS, &sregs), 0);
}

static void run_to_halt(struct pkvm_guest *p)
{
	assert_int_equal(run(&p->g), 0);
	assert_int_equal(p->g.run->exit_reason, KVM_EXIT_HLT);
}

static void test_every_other_page(void **state)
{
	unsigned int before = mappings();
	struct pkvm_guest p = { 0 };
	unsigned char *big;

	pkvm_create(&p, &amd);
	memcpy(p.g.ram + CODE_AT + 64, every_other, sizeof(every_other));
	big = client_memory(BIG_SIZE);
	big[PAGE] = 0x11;
	big[BIG_SIZE - PAGE] = 0x22;
	assert_int_equal(set_region(&p.g, 1, 0, BIG_AT, BIG_SIZE, big), 0);
	prepare(&p, CODE_AT + 64, 0);
	run_to_halt(&p);
	/* All of it is the guest's, and the client has mappings left. */
	assert_in_range(mappings(), before, 40000);
	expect_gone(big);
	expect_gone(big + BIG_SIZE - 2 * PAGE);
	assert_int_equal(client_load(big + PAGE), 0x11);
	prepare(&p, DO_LOAD, BIG_SIZE - PAGE);
	run_to_halt(&p);
	assert_int_equal(regs_of(&p.g).rax & 0xff, 0x22);
	prepare(&p, DO_LOAD, BIG_SIZE - 2 * PAGE);
	run_to_halt(&p);
	assert_int_equal(regs_of(&p.g).rax & 0xff, 0x5a);
	expect_invariants(&p);
	pkvm_destroy(&p);
	for (uint64_t at = 0; at < BIG_SIZE; at += PAGE)
		assert_int_equal(client_load(big + at), at == PAGE ? 0x11 : 0);
	munmap(big, BIG_SIZE);
	/* A sanitizer has some of its own. */
	assert_in_range(mappings(), 1, before + 1000);
}

/* Neighbours that were touched are one mapping, in whatever order: not two for each. The rest of the process may map something. */
static void test_neighbours_join(void **state)
{
	struct pkvm_guest p = { 0 };
	unsigned int before;

	pkvm_create_window(&p, &amd);
	pkvm_store(&p, AT(0), 1);
	before = mappings();
	for (unsigned int i = PAGES - 1; i > 0; i--)
		pkvm_store(&p, AT(i), 1);
	assert_in_range(mappings(), 1, before + PAGES / 2);
	assert_int_equal(pkvm_share(&p, AT(2), 4 * PAGE), 0);
	assert_int_equal(pkvm_unshare(&p, AT(2), 4 * PAGE), 0);
	assert_in_range(mappings(), 1, before + PAGES / 2);
	pkvm_destroy(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_other_page),
		cmocka_unit_test(test_neighbours_join),
	};

	return cmocka_run_group_tests_name("kvm/pkvm_memory", tests, NULL, NULL);
}
