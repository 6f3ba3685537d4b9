// SPDX-License-Identifier: Apache-2.0
/* KVM_PRE_FAULT_MEMORY: arguments, outcomes, and the progress it reports. */
#include "private_guest.h"

#include <unistd.h>

#define AT 0x100000000ull
#define U(n) ((n) * PAGE)

static const struct softcvm_config amd = { .platform = SOFTCVM_PLATFORM_AMD };

struct step {
	uint64_t gpa, size, flags;
	int expected;
	uint64_t left; /* of size */
	const char *what;
};

static void expect(struct guest *g, const struct step *s)
{
	struct kvm_pre_fault_memory range = { .gpa = s->gpa, .size = s->size, .flags = s->flags };
	int result = softcvm_ioctl(g->vcpu, KVM_PRE_FAULT_MEMORY, &range);

	if (result != s->expected || range.size != s->left || range.gpa != s->gpa + s->size - s->left)
		fail_msg("%s: %d, gpa %#lx, size %#lx", s->what, result, (unsigned long)range.gpa, (unsigned long)range.size);
}

static void expect_all(struct guest *g, const struct step *s, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		expect(g, &s[i]);
}

#define EXPECT_ALL(g, steps) expect_all(g, steps, sizeof(steps) / sizeof((steps)[0]))

static const struct step plain[] = {
	{ AT, U(1), 0, 0, 0, "one page" },
	{ AT, U(1), 0, 0, 0, "again" },
	{ AT, U(4), 0, 0, 0, "the slot" },
	{ AT + 1, U(1), 0, -EINVAL, U(1), "misaligned gpa" },
	{ AT, U(1) + 1, 0, -EINVAL, U(1) + 1, "misaligned size" },
	{ AT, 0, 0, -EINVAL, 0, "nothing" },
	{ AT, U(1), 1, -EINVAL, U(1), "flag 0" },
	{ AT, U(1), 1ull << 63, -EINVAL, U(1), "flag 63" },
	{ AT - U(1), U(2), 0, -ENOENT, U(2), "first page without slot" },
	{ AT + U(4), U(1), 0, -ENOENT, U(1), "behind the slot" },
	{ AT + U(2), U(4), 0, 0, U(2), "over the end of the slot" },
	{ 0xfffffffffffff000, U(1), 0, -EINVAL, U(1), "up to 2^64" },
	{ 0xfffffffffffff000, U(2), 0, -EINVAL, U(2), "wraps" },
	{ AT + U(32), U(1), 0, -EFAULT, U(1), "nothing behind the slot" },
	{ AT + U(16), U(2), 0, 0, 0, "read-only slot" },
	{ 1ull << 52, U(1), 0, -ENOENT, U(1), "beyond the address width" },
};

static void test_shared(void **state)
{
	static const unsigned long types[] = { KVM_X86_DEFAULT_VM, KVM_X86_SW_PROTECTED_VM };

	for (unsigned int i = 0; i < 2; i++) {
		unsigned char *u = mmap(NULL, U(4), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct guest g;

		create_type(&g, &amd, types[i]);
		assert_int_equal(set_region(&g, 1, 0, AT, U(4), u), 0);
		assert_int_equal(set_region(&g, 2, KVM_MEM_READONLY, AT + U(16), U(2), u), 0);
		assert_int_equal(set_region(&g, 3, 0, AT + U(32), U(2), (void *)0x10000000), 0);
		EXPECT_ALL(&g, plain);
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_PRE_FAULT_MEMORY, NULL), -EFAULT);
		assert_int_equal(softcvm_ioctl(g.vm, KVM_PRE_FAULT_MEMORY, NULL), -ENOTTY);
		destroy(&g);
		munmap(u, U(4));
	}
}

static const struct step private_memory[] = {
	{ AT, U(1), 0, -EFAULT, U(1), "private, without slot" },
	{ AT + U(16), U(1), 0, -EFAULT, U(1), "private, slot without memfd" },
	{ AT + U(32), U(1), 0, 0, 0, "private" },
	{ AT + U(32), U(4), 0, 0, 0, "two private, two shared" },
	{ AT + U(33), U(8), 0, 0, U(5), "over the end of the slot" },
	{ AT + U(36), U(5), 0, -ENOENT, U(5), "the rest" },
	{ AT + U(48), U(1), 0, -EFAULT, U(1), "shared, nothing behind the slot" },
	{ AT + U(49), U(1), 0, 0, 0, "private, nothing behind the slot" },
};

static const struct step after_close[] = {
	{ AT + U(32), U(1), 0, -EFAULT, U(1), "private, closed" },
	{ AT + U(34), U(2), 0, 0, 0, "shared, closed" },
};

static void test_private(void **state)
{
	unsigned char *u = mmap(NULL, U(4), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guest g;
	int fd;

	create_type(&g, &amd, KVM_X86_SW_PROTECTED_VM);
	fd = memfd(&g, U(8), 0);
	assert_int_equal(set_region(&g, 1, 0, AT + U(16), U(4), u), 0);
	assert_int_equal(set_region2(&g, 2, KVM_MEM_GUEST_MEMFD, AT + U(32), U(4), u, fd, 0), 0);
	assert_int_equal(set_region2(&g, 3, KVM_MEM_GUEST_MEMFD, AT + U(48), U(2), (void *)0x10000000, fd, U(4)), 0);
	assert_int_equal(set_attributes(&g, AT, U(34), P), 0);
	assert_int_equal(set_attributes(&g, AT + U(49), U(1), P), 0);
	EXPECT_ALL(&g, private_memory);
	assert_int_equal(punch(fd, 0, U(4)), 0);
	expect(&g, &(struct step){ AT + U(32), U(1), 0, 0, 0, "after a hole" });
	softcvm_close(fd);
	EXPECT_ALL(&g, after_close);
	destroy(&g);
	munmap(u, U(4));
}

/* Read-fault semantics: the client's copy-on-write page is not broken by it. */
static void test_copy_on_write(void **state)
{
	int file = memfd_create("original", 0);
	unsigned char byte = 0x11, *u;
	struct guest g;

	assert_int_equal(ftruncate(file, PAGE), 0);
	assert_int_equal(pwrite(file, &byte, 1, 0), 1);
	u = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	create_type(&g, &amd, KVM_X86_DEFAULT_VM);
	assert_int_equal(set_region(&g, 1, 0, WINDOW, PAGE, u), 0);
	expect(&g, &(struct step){ WINDOW, U(1), 0, 0, 0, "pre-fault" });
	byte = 0x22;
	assert_int_equal(pwrite(file, &byte, 1, 0), 1);
	assert_int_equal(guest_load(&g, WINDOW), 0x22);
	destroy(&g);
	munmap(u, PAGE);
	close(file);
}

/* 2 MiB and a page, as the kernel's selftest has it; then a hole in the middle of what could be one mapping. */
static void test_huge(void **state)
{
	const uint64_t size = 0x200000 + PAGE, slack = 0x200000;
	unsigned char *all = mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *u = all + (slack - (uintptr_t)all % slack) % slack;
	struct guest g;

	create_type(&g, &amd, KVM_X86_DEFAULT_VM);
	assert_int_equal(set_region(&g, 1, 0, AT, size, u), 0);
	expect(&g, &(struct step){ AT, 0x200000, 0, 0, 0, "2M" });
	expect(&g, &(struct step){ AT + 0x200000, U(2), 0, 0, U(1), "the page behind" });
	expect(&g, &(struct step){ AT + 0x201000, U(1), 0, -ENOENT, U(1), "the end" });
	assert_int_equal(set_region(&g, 1, 0, 0, 0, NULL), 0);
	munmap(u + U(16), PAGE);
	assert_int_equal(set_region(&g, 1, 0, AT, size, u), 0);
	expect(&g, &(struct step){ AT, 0x200000, 0, 0, 0x200000 - U(16), "up to the hole" });
	expect(&g, &(struct step){ AT + U(16), U(1), 0, -EFAULT, U(1), "the hole" });
	destroy(&g);
	munmap(all, size + slack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_copy_on_write),
		cmocka_unit_test(test_huge),
	};

	return cmocka_run_group_tests_name("kvm/prefault", tests, NULL, NULL);
}
