// SPDX-License-Identifier: Apache-2.0
/* Client memory that is taken, hidden, shown and wiped, without any guest; a process that can have no more mappings. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hw/hw.h"
#include "hw/phys/donation.h"

#define PAGES 8u
#define SIZE  (PAGES * HW_PAGE_SIZE)

struct memory {
	struct hw_donation *d;
	u8 *client;
};

static void set_up(struct memory *m)
{
	assert_int_equal(hw_phys_init(), 0);
	m->client = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(m->client, MAP_FAILED);
	for (unsigned int i = 0; i < PAGES; i++)
		memset(m->client + i * HW_PAGE_SIZE, (int)i + 1, HW_PAGE_SIZE);
	assert_int_equal(hw_donation_create(ptr_to_hpa(m->client).v, PAGES, &m->d), 0);
}

static void tear_down(struct memory *m)
{
	hw_donation_destroy(m->d);
	munmap(m->client, SIZE);
}

/* The first byte of the page as the client sees it; -1: it does not. */
static int seen(const struct memory *m, unsigned int page)
{
	u64 value;

	return hw_load_host(ptr_to_hpa(m->client + page * HW_PAGE_SIZE), 1, &value) ? -1 : (int)value;
}

static int frame(const struct memory *m, unsigned int page)
{
	return *(volatile u8 *)hpa_to_ptr(hw_donation_frame(m->d, page));
}

static void add(void *opaque, u64 page, u64 count) { *(u64 *)opaque += count << 8 | 1; }

/* Pages that are visible << 8, in how many mappings. */
static u64 visible(const struct memory *m)
{
	u64 sum = 0;

	hw_donation_for_each_visible(m->d, add, &sum);
	return sum;
}

static void test_take(void **state)
{
	struct memory m;

	set_up(&m);
	assert_int_equal(visible(&m), 0);
	assert_int_equal(hw_donation_take(m.d, 2, 3), 0);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(seen(&m, i), i >= 2 && i < 5 ? -1 : (int)i + 1);
	for (unsigned int i = 2; i < 5; i++)
		assert_int_equal(frame(&m, i), i + 1);
	assert_int_equal(visible(&m), 0);
	assert_int_equal(hw_donation_show(m.d, 3, 1), 0);
	assert_int_equal(seen(&m, 3), 4);
	assert_int_equal(visible(&m), 1 << 8 | 1);
	*(volatile u8 *)hpa_to_ptr(hw_donation_frame(m.d, 3)) = 0x33;
	assert_int_equal(seen(&m, 3), 0x33);
	assert_int_equal(hw_donation_hide(m.d, 3, 1), 0);
	assert_int_equal(seen(&m, 3), -1);
	hw_donation_wipe(m.d, 4, 1);
	assert_int_equal(frame(&m, 4), 0);
	assert_int_equal(seen(&m, 4), -1);
	assert_int_equal(hw_donation_show(m.d, 4, 1), 0);
	assert_int_equal(seen(&m, 4), 0);
	hw_donation_destroy(m.d);
	assert_int_equal(seen(&m, 2), 3);
	assert_int_equal(seen(&m, 3), 0x33);
	munmap(m.client, SIZE);
}

static void test_locked_memory(void **state)
{
	struct memory m;

	set_up(&m);
	if (mlockall(MCL_CURRENT | MCL_ONFAULT)) {
		tear_down(&m);
		skip();
	}
	assert_int_equal(hw_donation_take(m.d, 0, 2), 0);
	hw_donation_wipe(m.d, 0, 1);
	assert_int_equal(frame(&m, 0), 0);
	assert_int_equal(frame(&m, 1), 2);
	munlockall();
	tear_down(&m);
}

/* Page by page of two kinds, so that none joins another; how many the process could have. */
static unsigned int use_up_mappings(u8 **at, size_t *size)
{
	unsigned int count = 0;

	*size = 200000 * HW_PAGE_SIZE;
	*at = mmap(NULL, *size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(*at, MAP_FAILED);
	while (count < 99999 && !mprotect(*at + 2 * count * HW_PAGE_SIZE, HW_PAGE_SIZE, PROT_READ))
		count++;
	return count;
}

/* Each failure leaves the page as it was; with enough room it succeeds. */
static void test_no_more_mappings(void **state)
{
	unsigned int count, failures = 0;
	struct memory m;
	size_t size;
	u8 *other;

	set_up(&m);
	count = use_up_mappings(&other, &size);
	if (count == 99999) {
		munmap(other, size);
		tear_down(&m);
		skip();
	}
	while (hw_donation_take(m.d, 4, 1)) {
		assert_int_equal(hw_donation_take(m.d, 4, 1), -ENOMEM);
		for (unsigned int i = 0; i < PAGES; i++)
			assert_int_equal(seen(&m, i), i + 1);
		assert_int_equal(hw_store_host(ptr_to_hpa(m.client + 4 * HW_PAGE_SIZE), 1, 5), 0);
		failures++;
		mprotect(other + 2 * --count * HW_PAGE_SIZE, HW_PAGE_SIZE, PROT_NONE);
	}
	assert_in_range(failures, 1, 10);
	assert_int_equal(seen(&m, 4), -1);
	assert_int_equal(frame(&m, 4), 5);
	/* To show one of several hidden ones makes two borders. */
	for (unsigned int page = 3; page <= 5; page += 2)
		while (hw_donation_take(m.d, page, 1))
			mprotect(other + 2 * --count * HW_PAGE_SIZE, HW_PAGE_SIZE, PROT_NONE);
	while (!mprotect(other + 2 * count * HW_PAGE_SIZE, HW_PAGE_SIZE, PROT_READ))
		count++;
	assert_int_equal(hw_donation_show(m.d, 4, 1), -ENOMEM);
	assert_int_equal(seen(&m, 4), -1);
	munmap(other, size);
	assert_int_equal(hw_donation_show(m.d, 4, 1), 0);
	assert_int_equal(seen(&m, 4), 5);
	tear_down(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_locked_memory),
		cmocka_unit_test(test_no_more_mappings),
	};

	return cmocka_run_group_tests_name("hw/donation", tests, NULL, NULL);
}
