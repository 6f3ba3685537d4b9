// SPDX-License-Identifier: Apache-2.0
/* KVM_SET_MEMORY_ATTRIBUTES: arguments, conversions and what survives them, huge ranges. */
#include "private_guest.h"

#include <pthread.h>
#include <stdlib.h>

#include "kvm/range_map.h"

#define AT 0x100000000ull

static const struct softcvm_config intel = { .platform = SOFTCVM_PLATFORM_INTEL };

/* ---------------------------------------------------------------- arguments */

static const struct {
	uint64_t address, size, attributes, flags;
	int type0, type1;
} arguments[] = {
	{ AT, PAGE, P, 0, -EINVAL, 0 },
	{ AT, PAGE, P, 0, -EINVAL, 0 },
	{ AT, PAGE, S, 0, 0, 0 },
	{ AT, PAGE, S, 0, 0, 0 },
	{ AT, PAGE, 1, 0, -EINVAL, -EINVAL },
	{ AT, PAGE, 2, 0, -EINVAL, -EINVAL },
	{ AT, PAGE, 4, 0, -EINVAL, -EINVAL },
	{ AT, PAGE, 16, 0, -EINVAL, -EINVAL },
	{ AT, PAGE, P | 1, 0, -EINVAL, -EINVAL },
	{ AT, PAGE, 1ull << 63, 0, -EINVAL, -EINVAL },
	{ AT, PAGE, ~0ull, 0, -EINVAL, -EINVAL },
	{ AT, PAGE, S, 1, -EINVAL, -EINVAL },
	{ AT, PAGE, S, 1ull << 63, -EINVAL, -EINVAL },
	{ AT, 0, P, 0, -EINVAL, -EINVAL },
	{ AT, 0, S, 0, -EINVAL, -EINVAL },
	{ AT + 1, PAGE, P, 0, -EINVAL, -EINVAL },
	{ AT + 0x200, PAGE, S, 0, -EINVAL, -EINVAL },
	{ AT, PAGE + 1, P, 0, -EINVAL, -EINVAL },
	{ AT, 1, P, 0, -EINVAL, -EINVAL },
	{ AT, 4095, S, 0, -EINVAL, -EINVAL },
	{ 0xfffffffffffff000, PAGE, P, 0, -EINVAL, -EINVAL },
	{ 0xffffffffffffe000, PAGE, P, 0, -EINVAL, 0 },
	{ 0xffffffffffffe000, PAGE, S, 0, 0, 0 },
	{ 1ull << 52, PAGE, P, 0, -EINVAL, 0 },
	{ 0, 1ull << 62, P, 0, -EINVAL, 0 },
	{ 0, 1ull << 62, S, 0, 0, 0 },
};

static void test_arguments(void **state)
{
	struct guest g[2];

	create_type(&g[0], &intel, KVM_X86_DEFAULT_VM);
	create_type(&g[1], &intel, KVM_X86_SW_PROTECTED_VM);
	for (unsigned int i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++) {
		struct kvm_memory_attributes change = {
			arguments[i].address, arguments[i].size, arguments[i].attributes, arguments[i].flags,
		};

		assert_int_equal(softcvm_ioctl(g[0].vm, KVM_SET_MEMORY_ATTRIBUTES, &change), arguments[i].type0);
		assert_int_equal(softcvm_ioctl(g[1].vm, KVM_SET_MEMORY_ATTRIBUTES, &change), arguments[i].type1);
	}
	assert_int_equal(softcvm_ioctl(g[1].vm, KVM_SET_MEMORY_ATTRIBUTES, NULL), -EFAULT);
	assert_int_equal(softcvm_ioctl(g[1].system, KVM_SET_MEMORY_ATTRIBUTES, NULL), -EINVAL);
	destroy(&g[0]);
	destroy(&g[1]);
}

/* ---------------------------------------------------------------- the ranges, against an array */

#define POSITIONS 512u

static void test_range_map(void **state)
{
	static u64 model[POSITIONS];
	struct range_map map = { 0 };

	srand(1);
	for (unsigned int i = 0; i < 20000; i++) {
		u64 start = rand() % POSITIONS, end = start + 1 + rand() % (rand() % 8 ? 8 : POSITIONS), value = rand() % 3;
		u64 until;

		if (end > POSITIONS)
			end = POSITIONS;
		assert_int_equal(range_map_reserve(&map), 0);
		range_map_set(&map, start, end, value);
		for (u64 at = start; at < end; at++)
			model[at] = value;
		for (u64 at = 0; at < POSITIONS; at = until) {
			u64 expected = at;

			assert_int_equal(range_map_get(&map, at, &until), model[at]);
			while (expected < POSITIONS && model[expected] == model[at])
				expected++;
			assert_int_equal(until < POSITIONS ? until : POSITIONS, expected);
		}
	}
	range_map_destroy(&map);
}

/* ---------------------------------------------------------------- conversions */

struct window {
	struct guest g;
	unsigned char *shared;
	int fd;
};

static void open_window(struct window *w, uint64_t size)
{
	create_type(&w->g, &intel, KVM_X86_SW_PROTECTED_VM);
	w->shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	w->fd = memfd(&w->g, size, 0);
	assert_int_equal(set_region2(&w->g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, size, w->shared, w->fd, 0), 0);
}

static void close_window(struct window *w, uint64_t size)
{
	destroy(&w->g);
	softcvm_close(w->fd);
	munmap(w->shared, size);
}

static void test_conversion(void **state)
{
	struct window w;

	open_window(&w, PAGE);
	guest_store(&w.g, WINDOW, 0xaa);
	assert_int_equal(w.shared[0], 0xaa);
	assert_int_equal(set_attributes(&w.g, WINDOW, PAGE, P), 0);
	assert_int_equal(guest_load(&w.g, WINDOW), 0);
	guest_store(&w.g, WINDOW, 0xbb);
	assert_int_equal(w.shared[0], 0xaa);
	/* Not punched: each side keeps what it had. */
	assert_int_equal(set_attributes(&w.g, WINDOW, PAGE, S), 0);
	assert_int_equal(guest_load(&w.g, WINDOW), 0xaa);
	assert_int_equal(set_attributes(&w.g, WINDOW, PAGE, P), 0);
	assert_int_equal(guest_load(&w.g, WINDOW), 0xbb);
	/* A hole under private memory: a new page. */
	assert_int_equal(punch(w.fd, 0, PAGE), 0);
	assert_int_equal(guest_load(&w.g, WINDOW), 0);
	/* Without the slot it stays private, so it is no MMIO. */
	assert_int_equal(set_region2(&w.g, 1, 0, 0, 0, NULL, -1, 0), 0);
	expect_memory_fault(&w.g, guest_access(&w.g, WINDOW, false, 0), WINDOW, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	close_window(&w, PAGE);
}

/* One private page in a large shared mapping, and back: its neighbours do not notice. */
static void test_neighbours(void **state)
{
	const uint64_t size = 16 * PAGE;
	struct window w;

	open_window(&w, size);
	for (unsigned int i = 0; i < 16; i++)
		guest_store(&w.g, WINDOW + i * PAGE, 0x10 + i);
	for (unsigned int i = 1; i < 16; i += 2)
		assert_int_equal(set_attributes(&w.g, WINDOW + i * PAGE, PAGE, P), 0);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(guest_load(&w.g, WINDOW + i * PAGE), i & 1 ? 0 : 0x10 + i);
	assert_int_equal(set_attributes(&w.g, WINDOW, size, S), 0);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(guest_load(&w.g, WINDOW + i * PAGE), 0x10 + i);
	close_window(&w, size);
}

/* The attributes are older than the slot. */
static void test_before_the_slot(void **state)
{
	struct guest g;
	int fd;

	create_type(&g, &intel, KVM_X86_SW_PROTECTED_VM);
	assert_int_equal(set_attributes(&g, WINDOW, 2 * PAGE, P), 0);
	fd = memfd(&g, 4 * PAGE, 0);
	assert_int_equal(set_region2(&g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, 4 * PAGE, NULL, fd, 0), 0);
	guest_store(&g, WINDOW + PAGE, 1);
	assert_int_equal(guest_access(&g, WINDOW + 2 * PAGE, false, 0), -EFAULT);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_UNKNOWN);
	softcvm_close(fd);
	destroy(&g);
}

/* ---------------------------------------------------------------- conversions under a running guest */

/* mov al,[0]; test al,al; jz over; cmp al,0x55; jz over; hlt; over: jmp back. Shared memory holds 0x55, private memory 0. */
static const unsigned char watcher[] = { 0xa0, 0, 0, 0x84, 0xc0, 0x74, 5, 0x3c, 0x55, 0x74, 1, 0xf4, 0xeb, 0xf2 };

static void *watch(void *opaque)
{
	struct guest *g = opaque;
	int result;

	do
		result = run(g);
	while (result == -EFAULT && g->run->exit_reason == KVM_EXIT_MEMORY_FAULT);
	return (void *)(intptr_t)result;
}

static void interrupt(int signal) { softcvm_interrupt(); }

static void test_while_running(void **state)
{
	struct window w;
	pthread_t thread;
	void *result;

	open_window(&w, PAGE);
	memset(w.shared, 0x55, PAGE);
	prepare_access(&w.g, WINDOW, false, 0);
	memcpy(w.g.ram + CODE_AT, watcher, sizeof(watcher));
	assert_int_equal(pthread_create(&thread, NULL, watch, &w.g), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		assert_int_equal(set_attributes(&w.g, WINDOW, PAGE, i & 1 ? S : P), 0);
		if (i % 5 == 0)
			assert_int_equal(punch(w.fd, 0, PAGE), 0);
	}
	w.g.run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, -EINTR);
	close_window(&w, PAGE);
}

int main(void)
{
	const struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_range_map),
		cmocka_unit_test(test_conversion),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_before_the_slot),
		cmocka_unit_test(test_while_running),
	};

	sigaction(SIGUSR1, &action, NULL);
	return cmocka_run_group_tests_name("kvm/attributes", tests, NULL, NULL);
}
