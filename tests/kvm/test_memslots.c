// SPDX-License-Identifier: Apache-2.0
/* KVM_SET_USER_MEMORY_REGION: bad arguments with Linux's errno, and what a change does to a running guest. */
#include "guest.h"

#include <pthread.h>

#define PAGE 4096ull
#define AT   0x100000000ull
#define U(pages) ((pages) * PAGE) /* offset in the mapping */

enum { RO = KVM_MEM_READONLY, LOG = KVM_MEM_LOG_DIRTY_PAGES };

struct step {
	uint32_t slot, flags;
	uint64_t gpa, size, uaddr; /* uaddr: offset in the mapping; above 2^46: absolute */
	int expected;
	const char *what;
};

/* In this order: a line can depend on those before it. */
static const struct step steps[] = {
	{ 1, 0, AT, 0, 0, -EINVAL, "delete what is not there" },
	{ 1, 0, AT, U(4), 0, 0, "create" },
	{ 1, 0, AT, U(4), 0, 0, "the same again" },
	{ 1, 0, AT, U(8), 0, -EINVAL, "grow" },
	{ 1, 0, AT, U(4), U(1), -EINVAL, "other memory" },
	{ 1, RO, AT, U(4), 0, -EINVAL, "make read-only" },
	{ 1, LOG, AT, U(4), 0, 0, "log on" },
	{ 1, 0, AT, U(4), 0, 0, "log off" },
	{ 2, 0, AT + U(3), U(4), U(8), -EEXIST, "overlap at the end" },
	{ 2, 0, AT - U(1), U(2), U(8), -EEXIST, "overlap at the start" },
	{ 2, 0, AT + U(4), U(4), 0, 0, "neighbour, same memory" },
	{ 1, 0, AT + U(4), U(4), 0, -EEXIST, "move onto the neighbour" },
	{ 1, 0, AT + U(2), U(4), 0, -EEXIST, "move into the neighbour" },
	{ 1, 0, AT - U(2), U(4), 0, 0, "move, overlapping itself" },
	{ 1, 0, 1, 0, 0, -EINVAL, "delete with a misaligned address" },
	{ 1, 8, 0, 0, 0, -EINVAL, "delete with an unknown flag" },
	{ 1, 0, 0, 0, 0, 0, "delete" },
	{ 2, 0, 0, 0, 0, 0, "delete" },
	{ 1, RO | LOG, AT, U(4), 0, 0, "read-only and logged" },
	{ 1, 0, 0, 0, 0, 0, "delete" },
	{ 1, 0, AT + 1, U(4), 0, -EINVAL, "misaligned gpa" },
	{ 1, 0, AT, U(4) + 1, 0, -EINVAL, "misaligned size" },
	{ 1, 0, AT, U(4), 1, -EINVAL, "misaligned memory" },
	{ 1, 0, AT, U(4), 0xffff800000000000ull, -EINVAL, "memory in the kernel's half" },
	{ 1, 0, AT, U(2), 0x7fffffffe000ull, -EINVAL, "memory up to the last page and one more" },
	{ 1, 0, 0xfffffffffffff000ull, U(2), 0, -EINVAL, "gpa wraps" },
	{ 1, 0, 1ull << 46, U(1), 0, -EINVAL, "gpa beyond the processor's width" },
	{ 1, 0, (1ull << 46) - U(1), U(1), 0, 0, "the last page" },
	{ 1, 0, 0, 0, 0, 0, "delete" },
	{ 1, 0, AT, 1ull << 43, 0, -EINVAL, "2^31 pages" },
	{ 1, 1u << 2, AT, U(4), 0, -EINVAL, "guest_memfd by the first form" },
	{ 1, 1u << 31, AT, U(4), 0, -EINVAL, "unknown flag" },
	{ 32763, 0, AT, U(1), 0, 0, "the last slot number" },
	{ 32764, 0, AT + U(1), U(1), 0, -EINVAL, "one more" },
	{ 0x20001, 0, AT + U(1), U(1), 0, -EINVAL, "address space 2" },
};

static void test_arguments(void **state)
{
	static const unsigned char code[] = { 0xf4 };
	struct guest g;
	unsigned char *u = mmap(NULL, U(64), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	for (unsigned int i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const struct step *s = &steps[i];
		void *at = s->uaddr >> 46 ? (void *)s->uaddr : u + s->uaddr;
		int result = set_region(&g, s->slot, s->flags, s->gpa, s->size, at);

		if (result != s->expected)
			fail_msg("%s: %d, expected %d", s->what, result, s->expected);
	}
	destroy(&g);
	munmap(u, U(64));
}

/* mov byte [0x5000], al; inc al; jmp back: never leaves by itself */
static const unsigned char writer[] = { 0xa2, 0x00, 0x50, 0xfe, 0xc0, 0xeb, 0xf9 };

static void *run_thread(void *opaque)
{
	struct guest *g = opaque;
	int result;

	do
		result = run(g);
	while (result == 0 && g->run->exit_reason == KVM_EXIT_MMIO);
	return (void *)(intptr_t)result;
}

/* The page under a running writer comes and goes; the writer sees memory or MMIO, and nothing else. */
static void test_changes_while_running(void **state)
{
	unsigned char *pages = mmap(NULL, U(2), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guest g;
	pthread_t thread;
	void *result;

	create(&g, SOFTCVM_PLATFORM_AMD, writer, sizeof(writer));
	assert_int_equal(set_region(&g, 0, 0, 0, 0, NULL), 0);
	assert_int_equal(set_region(&g, 0, 0, 0, 0x5000, g.ram), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_thread, &g), 0);
	for (unsigned int i = 0; i < 300; i++) {
		assert_int_equal(set_region(&g, 1, i & 2 ? LOG : 0, 0x5000, PAGE, pages + (i & 1) * PAGE), 0);
		assert_int_equal(set_region(&g, 1, i & 2 ? 0 : LOG, 0x5000, PAGE, pages + (i & 1) * PAGE), 0);
		assert_int_equal(set_region(&g, 1, 0, 0, 0, NULL), 0);
	}
	g.run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, -EINTR);
	destroy(&g);
	munmap(pages, U(2));
}

/* Each page that is written between two reads of the log is in the second. */
static void test_dirty_log_while_running(void **state)
{
	uint64_t bitmap = 0;
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = &bitmap };
	struct guest g;
	pthread_t thread;
	void *result;
	unsigned int seen = 0;

	create(&g, SOFTCVM_PLATFORM_INTEL, writer, sizeof(writer));
	assert_int_equal(set_region(&g, 0, LOG, 0, RAM_SIZE, g.ram), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_thread, &g), 0);
	while (seen < 100) {
		assert_int_equal(softcvm_ioctl(g.vm, KVM_GET_DIRTY_LOG, &log), 0);
		assert_int_equal(bitmap & ~(1ull << 5), 0);
		seen += bitmap >> 5 & 1;
	}
	g.run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, -EINTR);
	destroy(&g);
}

static void test_clear_dirty_log(void **state)
{
	static const unsigned char code[] = { 0xc6, 0x06, 0x00, 0x50, 0x01, 0xe6, 0x10, 0xeb, 0xf7 }; /* store; out; again */
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 1 } };
	uint64_t bitmap = 0;
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = &bitmap };
	struct kvm_clear_dirty_log clear = { .slot = 0, .num_pages = 16, .dirty_bitmap = &bitmap };
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	cap.args[0] = 2;
	assert_int_equal(softcvm_ioctl(g.vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	cap.args[0] = 1;
	assert_int_equal(softcvm_ioctl(g.vm, KVM_ENABLE_CAP, &cap), 0);
	assert_int_equal(set_region(&g, 0, LOG, 0, RAM_SIZE, g.ram), 0);
	assert_int_equal(run(&g), 0);
	/* Reading does not clear now. */
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(softcvm_ioctl(g.vm, KVM_GET_DIRTY_LOG, &log), 0);
		assert_int_equal(bitmap, 1 << 5);
	}
	assert_int_equal(softcvm_ioctl(g.vm, KVM_CLEAR_DIRTY_LOG, &clear), 0);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_GET_DIRTY_LOG, &log), 0);
	assert_int_equal(bitmap, 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_GET_DIRTY_LOG, &log), 0);
	assert_int_equal(bitmap, 1 << 5);
	clear.first_page = 1;
	assert_int_equal(softcvm_ioctl(g.vm, KVM_CLEAR_DIRTY_LOG, &clear), -EINVAL);
	clear.first_page = 0;
	clear.num_pages = 15;
	assert_int_equal(softcvm_ioctl(g.vm, KVM_CLEAR_DIRTY_LOG, &clear), -EINVAL);
	clear.slot = 3;
	assert_int_equal(softcvm_ioctl(g.vm, KVM_CLEAR_DIRTY_LOG, &clear), -ENOENT);
	destroy(&g);
}

static void interrupt(int signal) { softcvm_interrupt(); }

/*
 * An entry for "no slot" remembers 18 bits of the generation of the slots: after 2^18 changes they are the same again, and it
 * must not be believed.
 */
static void test_generation_comes_round(void **state)
{
	static const unsigned char code[] = { 0x8a, 0x07, 0xf4 }; /* mov al, [bx]; hlt */
	struct kvm_regs regs = { .rip = CODE_AT, .rflags = 2, .rbx = 0 };
	struct kvm_sregs sregs;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	g.ram[0x8000] = 0x5a;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.ds.base = 0x20000;
	sregs.ds.selector = 0x2000;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_REGS, &regs), 0);
	expect_mmio(&g, 0x20000, 1, 0);
	assert_int_equal(run(&g), 0);
	/* Elsewhere until the last change: what is moved away takes the entries there with it. */
	for (unsigned int i = 1; i < 1u << 18; i++)
		assert_int_equal(set_region(&g, 1, 0, i & 1 ? 0x40000 : 0x30000, PAGE, g.ram + 0x8000), 0);
	assert_int_equal(set_region(&g, 1, 0, 0x20000, PAGE, g.ram + 0x8000), 0);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_REGS, &regs), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rax, 0x5a);
	destroy(&g);
}

int main(void)
{
	const struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_changes_while_running),
		cmocka_unit_test(test_dirty_log_while_running),
		cmocka_unit_test(test_clear_dirty_log),
		cmocka_unit_test(test_generation_comes_round),
	};

	sigaction(SIGUSR1, &action, NULL);
	return cmocka_run_group_tests_name("kvm/memslots", tests, NULL, NULL);
}
