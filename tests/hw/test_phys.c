// SPDX-License-Identifier: Apache-2.0
/* Host memory that disappears: the accessors report it, other faults reach the previous handler. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/hw.h"

static sigjmp_buf back;
static volatile sig_atomic_t caught;

static void previous_handler(int signo, siginfo_t *info, void *context)
{
	caught = signo;
	siglongjmp(back, 1);
}

/* cmocka installs handlers of its own around each test, as a client may at any time. */
static void set_up(void)
{
	struct sigaction sa = {.sa_sigaction = previous_handler, .sa_flags = SA_SIGINFO};

	sigemptyset(&sa.sa_mask);
	assert_int_equal(sigaction(SIGSEGV, &sa, NULL), 0);
	assert_int_equal(hw_phys_init(), 0);
	assert_int_equal(hw_phys_init(), 0);
}

static u8 *pages(unsigned int count)
{
	u8 *p = mmap(NULL, count * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void test_words(void **state)
{
	u8 *p = pages(1);
	u64 v = 0;

	set_up();
	for (unsigned int size = 1; size <= 8; size *= 2) {
		u64 mask = size == 8 ? ~0ull : (1ull << 8 * size) - 1;

		assert_int_equal(hw_store_host(ptr_to_hpa(p + 64), size, 0x8877665544332211), 0);
		assert_int_equal(hw_load_host(ptr_to_hpa(p + 64), size, &v), 0);
		assert_int_equal(v, 0x8877665544332211 & mask);
	}
	assert_int_equal(hw_load_host(ptr_to_hpa(p), 3, &v), -EINVAL);
	v = 1;
	assert_int_equal(hw_cmpxchg_host(ptr_to_hpa(p), &v, 5), 1);
	assert_int_equal(v, 0);
	assert_int_equal(hw_cmpxchg_host(ptr_to_hpa(p), &v, 5), 0);
	assert_int_equal(p[0], 5);
	munmap(p, 4096);
	for (unsigned int size = 1; size <= 8; size *= 2) {
		assert_int_equal(hw_load_host(ptr_to_hpa(p), size, &v), -EFAULT);
		assert_int_equal(hw_store_host(ptr_to_hpa(p), size, v), -EFAULT);
	}
	assert_int_equal(hw_cmpxchg_host(ptr_to_hpa(p), &v, 5), -EFAULT);
}

static void test_copies(void **state)
{
	u8 *p = pages(3), buffer[8192];

	set_up();
	memset(p, 7, 4096);
	assert_int_equal(hw_copy_from_host(buffer, ptr_to_hpa(p), 4096), 0);
	assert_int_equal(buffer[4095], 7);
	assert_int_equal(hw_copy_to_host(ptr_to_hpa(p + 100), "abc", 3), 0);
	assert_memory_equal(p + 99, "\7abc\7", 5);
	assert_int_equal(hw_copy_from_host(buffer, ptr_to_hpa(p), 0), 0);
	mprotect(p + 4096, 4096, PROT_NONE);
	assert_int_equal(hw_copy_from_host(buffer, ptr_to_hpa(p + 4000), 200), -EFAULT);
	assert_int_equal(hw_copy_to_host(ptr_to_hpa(p + 4000), buffer, 200), -EFAULT);
	/* a non-canonical address is a fault of another kind */
	assert_int_equal(hw_copy_from_host(buffer, hpa(1ull << 63), 8), -EFAULT);
	munmap(p, 3 * 4096);
}

static void test_truncated_file(void **state)
{
	int fd = memfd_create("slot", 0);
	u64 v;

	set_up();
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 8192), 0);

	u8 *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(p != MAP_FAILED);
	assert_int_equal(hw_store_host(ptr_to_hpa(p + 4096), 8, 1), 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(hw_load_host(ptr_to_hpa(p + 4096), 8, &v), -EFAULT); /* SIGBUS */
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(hw_load_host(ptr_to_hpa(p + 4096), 8, &v), 0);
	assert_int_equal(v, 0);
	munmap(p, 8192);
	close(fd);
}

static void test_other_faults(void **state)
{
	volatile u8 *p = pages(1);

	set_up();
	munmap((void *)p, 4096);
	caught = 0;
	if (!sigsetjmp(back, 1))
		(void)*p;
	assert_int_equal(caught, SIGSEGV);
	caught = 0;
	if (!sigsetjmp(back, 1))
		raise(SIGSEGV);
	assert_int_equal(caught, SIGSEGV);
}

static struct sigaction ours;
static volatile sig_atomic_t later_entered;

static void later_handler(int signo, siginfo_t *info, void *context)
{
	later_entered++;
	ours.sa_sigaction(signo, info, context);
}

/* A handler that the client installed after ours calls ours; ours is put in front again: no loop. */
static void test_handlers_in_a_ring(void **state)
{
	struct sigaction sa = {.sa_sigaction = later_handler, .sa_flags = SA_SIGINFO};
	volatile u8 *p = pages(1);
	u64 v;

	set_up();
	sigemptyset(&sa.sa_mask);
	assert_int_equal(sigaction(SIGSEGV, &sa, &ours), 0);
	munmap((void *)p, 4096);
	assert_int_equal(hw_load_host(ptr_to_hpa((void *)p), 8, &v), -EFAULT);
	assert_int_equal(later_entered, 1);
	assert_int_equal(hw_phys_init(), 0);
	assert_int_equal(hw_load_host(ptr_to_hpa((void *)p), 8, &v), -EFAULT);
	assert_int_equal(later_entered, 1);
	for (int i = 0; i < 3; i++) {
		caught = 0;
		if (!sigsetjmp(back, 1))
			(void)*p;
		assert_int_equal(caught, SIGSEGV);
	}
	assert_int_equal(later_entered, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_truncated_file),
		cmocka_unit_test(test_other_faults),
		cmocka_unit_test(test_handlers_in_a_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
