// SPDX-License-Identifier: Apache-2.0
/* KVM_CREATE_GUEST_MEMFD, bindings, and the calls on the file: arguments with Linux's answers, in its order. */
#include "private_guest.h"

#include <setjmp.h>
#include <unistd.h>

enum { GMEM = KVM_MEM_GUEST_MEMFD, RO = KVM_MEM_READONLY, LOG = KVM_MEM_LOG_DIRTY_PAGES };
#define AT   0x100000000ull
#define U(n) ((n) * PAGE)

static const struct softcvm_config linux_7_2 = { .platform = SOFTCVM_PLATFORM_AMD };
static const struct softcvm_config linux_6_12 = { .platform = SOFTCVM_PLATFORM_AMD, .kvm_compat = SOFTCVM_KVM_6_12 };

/* ---------------------------------------------------------------- capabilities */

static const struct {
	uint32_t cap;
	const struct softcvm_config *config;
	int system, type0, type1;
} capabilities[] = {
	{ KVM_CAP_VM_TYPES, &linux_7_2, 3, 3, 3 },
	{ KVM_CAP_MEMORY_ATTRIBUTES, &linux_7_2, 8, 0, 8 },
	{ KVM_CAP_GUEST_MEMFD, &linux_7_2, 1, 1, 1 },
	{ KVM_CAP_GUEST_MEMFD, &linux_6_12, 1, 0, 1 },
	{ KVM_CAP_GUEST_MEMFD_FLAGS, &linux_7_2, 3, 3, 1 },
	{ KVM_CAP_GUEST_MEMFD_FLAGS, &linux_6_12, 0, 0, 0 },
	{ KVM_CAP_PRE_FAULT_MEMORY, &linux_7_2, 1, 1, 1 },
	{ KVM_CAP_USER_MEMORY2, &linux_7_2, 1, 1, 1 },
	{ KVM_CAP_MEMORY_FAULT_INFO, &linux_7_2, 1, 1, 1 },
	{ KVM_CAP_READONLY_MEM, &linux_7_2, 1, 1, 1 },
	{ KVM_CAP_MULTI_ADDRESS_SPACE, &linux_7_2, 2, 2, 1 },
	{ KVM_CAP_EXIT_HYPERCALL, &linux_7_2, 0x1000, 0x1000, 0x1000 },
};

static void test_capabilities(void **state)
{
	for (unsigned int i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		void *cap = (void *)(uintptr_t)capabilities[i].cap;
		struct guest g[2];

		create_type(&g[0], capabilities[i].config, KVM_X86_DEFAULT_VM);
		create_type(&g[1], capabilities[i].config, KVM_X86_SW_PROTECTED_VM);
		assert_int_equal(softcvm_ioctl(g[0].system, KVM_CHECK_EXTENSION, cap), capabilities[i].system);
		assert_int_equal(softcvm_ioctl(g[0].vm, KVM_CHECK_EXTENSION, cap), capabilities[i].type0);
		assert_int_equal(softcvm_ioctl(g[1].vm, KVM_CHECK_EXTENSION, cap), capabilities[i].type1);
		destroy(&g[0]);
		destroy(&g[1]);
	}
}

static void test_types(void **state)
{
	static const unsigned long refused[] = { 2, 3, 4, 5, 6, 31, 32, 0x80000000, 0x100000000, SOFTCVM_TEST_CLAIM_VM };
	int system = softcvm_open(&linux_7_2);

	for (unsigned int i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_equal(softcvm_ioctl(system, KVM_CREATE_VM, (void *)refused[i]), -EINVAL);
	softcvm_close(system);
}

/* ---------------------------------------------------------------- creation */

static const struct {
	const struct softcvm_config *config;
	unsigned long type;
	uint64_t size, flags;
	int expected; /* 0: a descriptor */
} creations[] = {
	{ &linux_7_2, 0, U(1), 0, 0 },
	{ &linux_7_2, 0, 0x7ffffffffffff000, 0, 0 },
	{ &linux_7_2, 0, 0, 0, -EINVAL },
	{ &linux_7_2, 0, 1, 0, -EINVAL },
	{ &linux_7_2, 0, 4095, 0, -EINVAL },
	{ &linux_7_2, 0, 0x8000000000000000, 0, -EINVAL },
	{ &linux_7_2, 0, 0xfffffffffffff000, 0, -EINVAL },
	{ &linux_7_2, 0, U(1), GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED, 0 },
	{ &linux_7_2, 0, U(1), GUEST_MEMFD_FLAG_INIT_SHARED, 0 },
	{ &linux_7_2, 0, U(1), 4, -EINVAL },
	{ &linux_7_2, 1, U(1), GUEST_MEMFD_FLAG_MMAP, 0 },
	{ &linux_7_2, 1, U(1), GUEST_MEMFD_FLAG_INIT_SHARED, -EINVAL },
	{ &linux_7_2, 1, U(1), 1ull << 63, -EINVAL },
	{ &linux_6_12, 1, U(1), 0, 0 },
	{ &linux_6_12, 1, U(1), GUEST_MEMFD_FLAG_MMAP, -EINVAL },
	{ &linux_6_12, 0, U(1), 0, 0 },
};

static void test_creation(void **state)
{
	for (unsigned int i = 0; i < sizeof(creations) / sizeof(creations[0]); i++) {
		struct guest g;
		int fd;

		create_type(&g, creations[i].config, creations[i].type);
		fd = memfd(&g, creations[i].size, creations[i].flags);
		if (creations[i].expected)
			assert_int_equal(fd, creations[i].expected);
		else
			assert_true(fd >= 0);
		if (fd >= 0) {
			assert_int_equal(fcntl(fd, F_GETFD), 0);
			assert_int_equal(softcvm_fd_kind(fd), SOFTCVM_FD_GUEST_MEMFD);
			assert_int_equal(softcvm_ioctl(fd, KVM_RUN, NULL), -ENOTTY);
			softcvm_close(fd);
		}
		destroy(&g);
	}
}

static void test_bad_pointer(void **state)
{
	struct guest g;

	create_type(&g, &linux_7_2, KVM_X86_SW_PROTECTED_VM);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_CREATE_GUEST_MEMFD, NULL), -EFAULT);
	assert_int_equal(softcvm_ioctl(g.system, KVM_CREATE_GUEST_MEMFD, NULL), -EINVAL);
	destroy(&g);
}

/* ---------------------------------------------------------------- bindings */

enum descriptor { F, F2, DUP, OTHER_VM, SYSTEM, VM, MEMFD, NONE, CLOSED };

struct binding {
	uint32_t slot, flags;
	uint64_t gpa, size;
	enum descriptor fd;
	uint64_t offset;
	int expected, expected_6_12;
	const char *what;
};

/* F has 16 pages. In this order: a line can depend on those before it. */
static const struct binding bindings[] = {
	{ 1, 0, AT, U(4), NONE, 0x123, 0, 0, "without the flag, offset and descriptor do not matter" },
	{ 1, GMEM, AT, U(4), F, 0, -EINVAL, -EINVAL, "give a slot a guest_memfd" },
	{ 1, 0, 0, 0, NONE, 0, 0, 0, "delete" },
	{ 0x10001, GMEM, AT, U(4), F, 0, -EINVAL, -EINVAL, "address space 1" },
	{ 1, GMEM | RO, AT, U(4), F, 0, -EINVAL, -EINVAL, "read-only" },
	{ 1, GMEM | LOG, AT, U(4), F, 0, -EINVAL, -EINVAL, "logged" },
	{ 1, GMEM, AT, U(4), NONE, 0, -EBADF, -EBADF, "no descriptor" },
	{ 1, GMEM, AT, U(4), CLOSED, 0, -EBADF, -EBADF, "a closed descriptor" },
	{ 1, GMEM, AT, U(4), SYSTEM, 0, -EINVAL, -EINVAL, "/dev/kvm" },
	{ 1, GMEM, AT, U(4), VM, 0, -EINVAL, -EINVAL, "the VM" },
	{ 1, GMEM, AT, U(4), MEMFD, 0, -EINVAL, -EINVAL, "an ordinary memfd" },
	{ 1, GMEM, AT, U(4), OTHER_VM, 0, -EINVAL, -EINVAL, "another VM's" },
	{ 1, GMEM, AT, U(4), F, 1, -EINVAL, -EINVAL, "misaligned offset" },
	{ 1, GMEM, AT, U(4), NONE, 1, -EINVAL, -EINVAL, "misaligned offset before a bad descriptor" },
	{ 1, GMEM, AT, U(17), F, 0, -EINVAL, -EINVAL, "longer than the file" },
	{ 1, GMEM, AT, U(1), F, U(16), -EINVAL, -EINVAL, "behind the file" },
	{ 1, GMEM, AT, U(1), F, 1ull << 63, -EINVAL, -EINVAL, "negative offset" },
	{ 1, GMEM, AT, U(4), F, 0xfffffffffffff000, -EINVAL, -EINVAL, "wrapping offset" },
	{ 1, GMEM, AT, U(4), F, 0x7fffffffffff8000, -EINVAL, -EINVAL, "end below 2^63" },
	{ 1, GMEM, AT, U(4), F, 0x7fffffffffffc000, 0, 0, "end at 2^63" },
	{ 1, 0, 0, 0, NONE, 0, 0, 0, "delete" },
	{ 1, GMEM, AT, U(4), F, 0, 0, 0, "bind pages 0 to 3" },
	{ 1, GMEM, AT, U(4), F, 0, -EINVAL, -EINVAL, "the same again" },
	{ 1, 0, AT, U(4), NONE, 0, -EINVAL, -EINVAL, "take the flag away" },
	{ 1, GMEM, AT + U(64), U(4), F, 0, -EINVAL, -EINVAL, "move" },
	{ 2, GMEM, AT + U(64), U(4), F, 0, -EEXIST, -EINVAL, "the same pages again" },
	{ 2, GMEM, AT + U(64), U(4), DUP, U(3), -EEXIST, -EINVAL, "their last page" },
	{ 2, GMEM, AT + U(2), U(4), F, U(4), -EEXIST, -EEXIST, "overlapping addresses" },
	{ 2, GMEM, AT + U(2), U(4), NONE, 0, -EEXIST, -EEXIST, "overlapping addresses before a bad descriptor" },
	{ 2, GMEM, AT + U(64), U(4), DUP, U(4), 0, 0, "the next pages" },
	{ 3, GMEM, AT + U(80), U(8), F, U(8), 0, 0, "the rest" },
	{ 1, GMEM, 0, 0, NONE, 0, 0, 0, "delete, the descriptor does not matter" },
	{ 4, GMEM, AT + U(128), U(4), F, 0, 0, 0, "the freed pages" },
	{ 4, GMEM | RO, 0, 0, NONE, 0, -EINVAL, -EINVAL, "delete with bad flags" },
	{ 5, GMEM, 1ull << 51, U(1), F2, 0, -EINVAL, -EINVAL, "beyond the address width" },
	{ 5, GMEM, AT + U(256), U(16), F2, 0, 0, 0, "whose pages are free after that" },
};

static void run_bindings(const struct softcvm_config *config, bool old)
{
	struct guest g, other;
	unsigned char *u = mmap(NULL, U(64), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd[9];

	create_type(&g, config, KVM_X86_SW_PROTECTED_VM);
	create_type(&other, config, KVM_X86_SW_PROTECTED_VM);
	fd[F] = memfd(&g, U(16), 0);
	fd[F2] = memfd(&g, U(16), 0);
	fd[DUP] = dup(fd[F]);
	fd[OTHER_VM] = memfd(&other, U(16), 0);
	fd[SYSTEM] = g.system;
	fd[VM] = g.vm;
	fd[MEMFD] = memfd_create("other", 0);
	fd[NONE] = -1;
	fd[CLOSED] = 9999;
	for (unsigned int i = 0; i < sizeof(bindings) / sizeof(bindings[0]); i++) {
		const struct binding *b = &bindings[i];
		int result = set_region2(&g, b->slot, b->flags, b->gpa, b->size, b->size ? u : NULL, fd[b->fd], b->offset);

		if (result != (old ? b->expected_6_12 : b->expected))
			fail_msg("%s: %d", b->what, result);
	}
	softcvm_close(fd[F]);
	softcvm_close(fd[DUP]);
	assert_int_equal(set_region2(&g, 2, 0, 0, 0, NULL, -1, 0), 0);
	softcvm_close(fd[F2]);
	softcvm_close(fd[OTHER_VM]);
	close(fd[MEMFD]);
	destroy(&g);
	destroy(&other);
	munmap(u, U(64));
}

static void test_bindings(void **state) { run_bindings(&linux_7_2, false); }
static void test_bindings_6_12(void **state) { run_bindings(&linux_6_12, true); }

static void test_types_without_private_memory(void **state)
{
	struct guest g;
	int fd;

	create_type(&g, &linux_7_2, KVM_X86_DEFAULT_VM);
	fd = memfd(&g, U(4), 0);
	assert_int_equal(set_region2(&g, 1, GMEM, AT, U(4), NULL, fd, 0), 0);
	softcvm_close(fd);
	destroy(&g);
	create_type(&g, &linux_6_12, KVM_X86_DEFAULT_VM);
	fd = memfd(&g, U(4), 0);
	assert_int_equal(set_region2(&g, 1, GMEM, AT, U(4), NULL, fd, 0), -EINVAL);
	softcvm_close(fd);
	destroy(&g);
}

/* ---------------------------------------------------------------- the file */

enum { KEEP = FALLOC_FL_KEEP_SIZE, PUNCH = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE };

static const struct {
	int mode;
	uint64_t offset, length;
	int expected;
} fallocates[] = {
	{ KEEP, 0, U(16), 0 },
	{ KEEP, 0, U(16), 0 },
	{ 0, 0, U(16), -EOPNOTSUPP },
	{ FALLOC_FL_PUNCH_HOLE, 0, U(1), -EOPNOTSUPP },
	{ PUNCH, 0, U(1), 0 },
	{ PUNCH, 0, U(1), 0 },
	{ PUNCH, 0, U(16), 0 },
	{ PUNCH, U(15), U(2), 0 },
	{ PUNCH, U(32), U(1), 0 },
	{ KEEP, U(15), U(1), 0 },
	{ KEEP, U(16), U(1), -EINVAL },
	{ KEEP, 0, U(17), -EINVAL },
	{ KEEP, 1, U(1), -EINVAL },
	{ KEEP, 0, 1, -EINVAL },
	{ PUNCH, 1, U(1), -EINVAL },
	{ PUNCH, 0, 1, -EINVAL },
	{ PUNCH, U(1), U(1) + 1, -EINVAL },
	{ KEEP, 0, 0, -EINVAL },
	{ PUNCH, 0, 0, -EINVAL },
	{ KEEP, 0xfffffffffffff000, U(1), -EINVAL },
	{ KEEP, 0, 0xfffffffffffff000, -EINVAL },
	{ PUNCH, 0, 0x7ffffffffffff000, 0 },
	{ KEEP, 0x7ffffffffffff000, U(1), -EFBIG },
	{ 0x08, 0, U(1), -EOPNOTSUPP },
	{ 0x10, 0, U(1), -EOPNOTSUPP },
	{ KEEP | 0x10, 0, U(1), -EOPNOTSUPP },
	{ 0x20, 0, U(1), -EOPNOTSUPP },
	{ 0x40, 0, U(1), -EOPNOTSUPP },
	{ KEEP | 4, 0, U(1), -EOPNOTSUPP },
	{ PUNCH | 4, 0, U(1), -EOPNOTSUPP },
};

static void test_fallocate(void **state)
{
	struct guest g;
	struct stat st, st2;
	int fd, fd2;

	create_type(&g, &linux_7_2, KVM_X86_SW_PROTECTED_VM);
	fd = memfd(&g, U(16), 0);
	fd2 = memfd(&g, U(8), 0);
	for (unsigned int i = 0; i < sizeof(fallocates) / sizeof(fallocates[0]); i++) {
		int result = softcvm_fallocate(fd, fallocates[i].mode, (off_t)fallocates[i].offset, (off_t)fallocates[i].length);

		if (result != fallocates[i].expected)
			fail_msg("line %u: %d", i, result);
	}
	assert_int_equal(softcvm_fstat(fd, &st), 0);
	assert_int_equal(softcvm_fstat(fd2, &st2), 0);
	assert_int_equal(st.st_mode, 0100600);
	assert_int_equal(st.st_size, U(16));
	assert_int_equal(st2.st_size, U(8));
	assert_int_equal(st.st_blksize, 4096);
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_not_equal(st.st_ino, st2.st_ino);
	assert_int_equal(softcvm_fallocate(g.vm, KEEP, 0, U(1)), -ENODEV);
	softcvm_close(fd);
	softcvm_close(fd2);
	destroy(&g);
}

static void *map_file(int fd, int flags, size_t size) { return softcvm_mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0); }

static sigjmp_buf touched;
static void bus_error(int signal) { siglongjmp(touched, 1); }

static bool can_touch(volatile unsigned char *at)
{
	const struct sigaction action = { .sa_handler = bus_error, .sa_flags = SA_NODEFER };
	struct sigaction before;
	volatile bool result = false;

	sigaction(SIGBUS, &action, &before);
	if (!sigsetjmp(touched, 1)) {
		*at = 1;
		result = true;
	}
	sigaction(SIGBUS, &before, NULL);
	return result;
}

static void test_mmap(void **state)
{
	const uint64_t both = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
	unsigned char *at;
	struct guest g;
	int fd;

	create_type(&g, &linux_7_2, KVM_X86_DEFAULT_VM);
	fd = memfd(&g, U(4), 0);
	assert_ptr_equal(map_file(fd, MAP_SHARED, U(4)), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
	assert_ptr_equal(map_file(fd, MAP_PRIVATE, U(4)), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
	softcvm_close(fd);

	fd = memfd(&g, U(4), GUEST_MEMFD_FLAG_MMAP);
	assert_ptr_equal(map_file(fd, MAP_PRIVATE, U(4)), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	at = map_file(fd, MAP_SHARED, U(4));
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_false(can_touch(at));
	munmap(at, U(4));
	softcvm_close(fd);

	fd = memfd(&g, U(4), both);
	at = map_file(fd, MAP_SHARED, U(16));
	assert_ptr_not_equal(at, MAP_FAILED);
	memset(at, 0xaa, U(4));
	assert_false(can_touch(at + U(4)));
	assert_int_equal(punch(fd, 0, U(1)), 0);
	assert_int_equal(at[0], 0);
	assert_int_equal(at[PAGE], 0xaa);
	munmap(at, U(16));
	softcvm_close(fd);
	destroy(&g);
}

/* A file holds its VM; a slot does not hold its file. */
static void test_order_of_closing(void **state)
{
	struct guest g;
	int fd;

	create_type(&g, &linux_7_2, KVM_X86_SW_PROTECTED_VM);
	fd = memfd(&g, U(4), 0);
	assert_int_equal(set_region2(&g, 1, GMEM, AT, U(4), NULL, fd, 0), 0);
	destroy(&g);
	assert_int_equal(softcvm_fallocate(fd, KEEP, 0, U(4)), 0);
	assert_int_equal(punch(fd, 0, U(4)), 0);
	assert_int_equal(softcvm_close(fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_creation),
		cmocka_unit_test(test_bad_pointer),
		cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_bindings_6_12),
		cmocka_unit_test(test_types_without_private_memory),
		cmocka_unit_test(test_fallocate),
		cmocka_unit_test(test_mmap),
		cmocka_unit_test(test_order_of_closing),
	};

	return cmocka_run_group_tests_name("kvm/guest_memfd", tests, NULL, NULL);
}
