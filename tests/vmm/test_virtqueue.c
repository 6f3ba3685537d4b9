// SPDX-License-Identifier: Apache-2.0
/* Split virtqueues against a driver that follows the rules, and one that does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "vmm/bytes.h"
#include "vmm/virtqueue.h"

#define MEMORY	 0x200000u
#define SIZE	 8u
#define DESC	 0x1000u
#define AVAIL	 0x2000u
#define USED	 0x3000u
#define INDIRECT 0x4000u
#define DATA	 0x8000u

#define NEXT 1u
#define WRITE 2u
#define TABLE 4u

struct fixture {
	struct guest_memory mem;
	struct virtq q;
	struct virtq_chain chain;
	const char *why;
};

static uint8_t *at(struct fixture *f, uint64_t gpa)
{
	return memory_at(&f->mem, gpa, 1);
}

static void set_desc(struct fixture *f, uint64_t table, unsigned int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t *d = at(f, table + 16 * i);

	put64(d, addr);
	put32(d + 8, len);
	put16(d + 12, flags);
	put16(d + 14, next);
}

static void offer(struct fixture *f, uint16_t head)
{
	uint16_t idx = get16(at(f, AVAIL + 2));

	put16(at(f, AVAIL + 4 + 2 * (idx % SIZE)), head);
	put16(at(f, AVAIL + 2), (uint16_t)(idx + 1));
}

static int pop(struct fixture *f)
{
	return virtq_pop(&f->q, &f->mem, &f->chain, &f->why);
}

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){};
	if (memory_create(&f.mem, MEMORY, NULL))
		return -1;
	virtq_reset(&f.q, SIZE);
	f.q.desc_addr = DESC;
	f.q.driver_addr = AVAIL;
	f.q.device_addr = USED;
	*state = &f;
	return virtq_enable(&f.q, &f.mem) ? -1 : 0;
}

static int tear_down(void **state)
{
	memory_destroy(&((struct fixture *)*state)->mem);
	return 0;
}

static void a_chain_is_taken_and_returned(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pop(f), 0);
	set_desc(f, DESC, 3, DATA, 16, NEXT, 5);
	set_desc(f, DESC, 5, DATA + 0x100, 512, NEXT | WRITE, 1);
	set_desc(f, DESC, 1, DATA + 0x400, 1, WRITE, 0);
	offer(f, 3);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.nr_out, 1);
	assert_int_equal(f->chain.nr_in, 2);
	assert_int_equal(f->chain.out_size, 16);
	assert_int_equal(f->chain.in_size, 513);
	assert_ptr_equal(virtq_in(&f->chain)[1].iov_base, at(f, DATA + 0x400));
	virtq_push(&f->q, f->chain.head, 513);
	assert_int_equal(get16(at(f, USED + 2)), 1);
	assert_int_equal(get32(at(f, USED + 4)), 3);
	assert_int_equal(get32(at(f, USED + 8)), 513);
	assert_true(virtq_should_interrupt(&f->q));
	assert_false(virtq_should_interrupt(&f->q));
}

static void indirect_tables(void **state)
{
	struct fixture *f = *state;

	set_desc(f, DESC, 0, INDIRECT, 2 * 16, TABLE, 0);
	set_desc(f, INDIRECT, 0, DATA, 10, NEXT, 1);
	set_desc(f, INDIRECT, 1, DATA + 64, 20, WRITE, 0);
	offer(f, 0);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.out_size, 10);
	assert_int_equal(f->chain.in_size, 20);
}

static void expect_broken(struct fixture *f, const char *why)
{
	offer(f, 0);
	assert_int_equal(pop(f), -22);
	if (!strstr(f->why, why))
		fail_msg("'%s' does not say '%s'", f->why, why);
}

static void a_loop_ends(void **state)
{
	struct fixture *f = *state;

	set_desc(f, DESC, 0, DATA, 4, NEXT, 1);
	set_desc(f, DESC, 1, DATA, 4, NEXT, 0);
	expect_broken(f, "longer than the queue");
}

static void an_indirect_loop_ends(void **state)
{
	struct fixture *f = *state;

	set_desc(f, DESC, 0, INDIRECT, 16, TABLE, 0);
	set_desc(f, INDIRECT, 0, DATA, 4, NEXT, 0);
	expect_broken(f, "longer than the queue");
}

static void tables_in_tables(void **state)
{
	struct fixture *f = *state;

	set_desc(f, DESC, 0, INDIRECT, 16, TABLE, 0);
	set_desc(f, INDIRECT, 0, INDIRECT, 16, TABLE, 0);
	expect_broken(f, "indirect descriptor");
}

static void bad_descriptors(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
		const char *why;
	} cases[] = {
		{ MEMORY - 4, 8, 0, 0, "not in memory" },
		{ ~0ull - 1, 8, 0, 0, "not in memory" },
		{ 0xfee00000, 4, WRITE, 0, "not in memory" },
		{ DATA, 0xffffffff, 0, 0, "not in memory" },
		{ DATA, 4, NEXT, SIZE, "descriptor index" },
		{ DATA, 4, NEXT, 0xffff, "descriptor index" },
		{ INDIRECT, 8, TABLE, 0, "indirect descriptor" },
		{ INDIRECT, 0, TABLE, 0, "indirect descriptor" },
		{ INDIRECT, 16, TABLE | NEXT, 1, "indirect descriptor" },
		{ MEMORY, 16, TABLE, 0, "indirect table" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = *state;

		set_desc(f, DESC, 0, cases[i].addr, cases[i].len, cases[i].flags, cases[i].next);
		put16(at(f, AVAIL + 2), 0);
		expect_broken(f, cases[i].why);
	}
}

static void readable_after_writable(void **state)
{
	struct fixture *f = *state;

	set_desc(f, DESC, 0, DATA, 4, NEXT | WRITE, 1);
	set_desc(f, DESC, 1, DATA, 4, 0, 0);
	expect_broken(f, "readable");
}

static void head_and_index_out_of_range(void **state)
{
	struct fixture *f = *state;

	offer(f, SIZE);
	assert_int_equal(pop(f), -22);
	put16(at(f, AVAIL + 2), SIZE + 1);
	assert_int_equal(pop(f), -22);
	assert_string_equal(f->why, "available index");
}

static void bad_rings(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint16_t size;
		uint64_t desc, driver, device;
	} cases[] = {
		{ 0, DESC, AVAIL, USED },	    { 3, DESC, AVAIL, USED },	  { 512, DESC, AVAIL, USED },
		{ SIZE, DESC + 8, AVAIL, USED },    { SIZE, DESC, AVAIL + 1, USED }, { SIZE, DESC, AVAIL, USED + 2 },
		{ SIZE, MEMORY - 16, AVAIL, USED }, { SIZE, DESC, ~1ull, USED },	  { SIZE, DESC, AVAIL, MEMORY },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct virtq q = { .size = cases[i].size, .desc_addr = cases[i].desc, .driver_addr = cases[i].driver,
				   .device_addr = cases[i].device };

		assert_non_null(virtq_enable(&q, &f->mem));
		assert_false(q.enabled);
	}
}

/* 2.7.10: with the event index an interrupt comes when the used index passes the driver's event. */
static void event_index(void **state)
{
	struct fixture *f = *state;

	f->q.event_index = true;
	put16(at(f, AVAIL + 4 + 2 * SIZE), 1);
	virtq_push(&f->q, 0, 0);
	assert_false(virtq_should_interrupt(&f->q));
	virtq_push(&f->q, 0, 0);
	assert_true(virtq_should_interrupt(&f->q));
	virtq_push(&f->q, 0, 0);
	assert_false(virtq_should_interrupt(&f->q));
	assert_false(virtq_want_kick(&f->q));
	assert_int_equal(get16(at(f, USED + 4 + 8 * SIZE)), 0);
	set_desc(f, DESC, 0, DATA, 4, 0, 0);
	offer(f, 0);
	assert_true(virtq_want_kick(&f->q));
}

static void vectors(void **state)
{
	char a[4] = "abc", b[4] = "def", to[8] = "";
	struct iovec iov[2] = { { a, 3 }, { b, 3 } }, part[2];

	assert_int_equal(iov_read(iov, 2, 2, to, 3), 3);
	assert_string_equal(to, "cde");
	assert_int_equal(iov_read(iov, 2, 5, to, 8), 1);
	assert_int_equal(iov_write(iov, 2, 2, "XY", 2), 2);
	assert_int_equal(a[2], 'X');
	assert_int_equal(b[0], 'Y');
	assert_int_equal(iov_slice(iov, 2, 1, 3, part), 2);
	assert_int_equal(part[0].iov_len, 2);
	assert_int_equal(part[1].iov_len, 1);
	assert_int_equal(iov_slice(iov, 2, 6, 1, part), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_chain_is_taken_and_returned),
		TEST(indirect_tables),
		TEST(a_loop_ends),
		TEST(an_indirect_loop_ends),
		TEST(tables_in_tables),
		TEST(bad_descriptors),
		TEST(readable_after_writable),
		TEST(head_and_index_out_of_range),
		TEST(bad_rings),
		TEST(event_index),
		cmocka_unit_test(vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
