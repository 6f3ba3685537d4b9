// SPDX-License-Identifier: Apache-2.0
/*
 * Attributes, slots, holes, pre-faults and two vCPUs at once: whatever the order, the invariants hold, and each call answers
 * what some order allows.
 *
 * A zap waits for every running vCPU, and with more threads than processors one that was preempted answers only when it is
 * scheduled again: a change of slots costs milliseconds here, so rounds are few.
 */
#include "private_guest.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGES 16u
#define SIZE  (PAGES * PAGE)

static const struct softcvm_config amd = { .platform = SOFTCVM_PLATFORM_AMD };

struct machine {
	struct guest g;
	int vcpu2;
	struct kvm_run *run2;
	unsigned char *shared;
	int fd;
	_Atomic bool stop;    /* vCPUs */
	_Atomic bool settled; /* attributes and pages */
	unsigned int rounds;
};

/* bx runs over the window in steps of a page: add byte [bx], 1; add bx, 0x1000; and bx, 0xf000; jmp back */
static const unsigned char walker[] = { 0x80, 0x07, 1, 0x81, 0xc3, 0x00, 0x10, 0x81, 0xe3, 0x00, 0xf0, 0xeb, 0xf3 };

static void allowed(int result, const int *answers, const char *what)
{
	for (; *answers != 1; answers++)
		if (result == *answers)
			return;
	fprintf(stderr, "%s: %d\n", what, result);
	abort();
}

static void *run_vcpu(void *opaque, int vcpu, struct kvm_run *run)
{
	struct machine *m = opaque;

	while (!atomic_load(&m->stop)) {
		int result = softcvm_ioctl(vcpu, KVM_RUN, NULL);

		if (result == -EFAULT && run->exit_reason == KVM_EXIT_MEMORY_FAULT)
			continue;
		if (result == 0 && run->exit_reason == KVM_EXIT_MMIO)
			continue;
		allowed(result, (const int[]){ -EINTR, 1 }, "KVM_RUN");
	}
	return NULL;
}

static void *run_first(void *m) { return run_vcpu(m, ((struct machine *)m)->g.vcpu, ((struct machine *)m)->g.run); }
static void *run_second(void *m) { return run_vcpu(m, ((struct machine *)m)->vcpu2, ((struct machine *)m)->run2); }

/* Everybody else begins when the guest has written. */
static void wait_for_guest(const struct machine *m)
{
	while (!__atomic_load_n(&m->shared[0], __ATOMIC_RELAXED))
		sched_yield();
}

static void *convert(void *opaque)
{
	struct machine *m = opaque;
	unsigned int seed = 1;

	while (!atomic_load(&m->settled)) {
		unsigned int first = rand_r(&seed) % PAGES, count = 1 + rand_r(&seed) % (PAGES - first);

		allowed(set_attributes(&m->g, WINDOW + first * PAGE, count * PAGE, rand_r(&seed) & 1 ? P : S), (const int[]){ 0, 1 },
			"KVM_SET_MEMORY_ATTRIBUTES");
	}
	return NULL;
}

static void *make_holes(void *opaque)
{
	struct machine *m = opaque;
	unsigned int seed = 2;

	while (!atomic_load(&m->settled))
		allowed(punch(m->fd, rand_r(&seed) % PAGES * PAGE, PAGE), (const int[]){ 0, 1 }, "fallocate");
	return NULL;
}

static void *replace_slots(void *opaque)
{
	struct machine *m = opaque;

	for (unsigned int i = 0; i < m->rounds; i++) {
		allowed(set_region2(&m->g, 1, 0, 0, 0, NULL, -1, 0), (const int[]){ 0, 1 }, "delete");
		allowed(set_region2(&m->g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, SIZE, m->shared, m->fd, 0), (const int[]){ 0, 1 }, "create");
	}
	return NULL;
}

static void *check(void *opaque)
{
	struct machine *m = opaque;
	char message[200];

	for (unsigned int i = 0; i < m->rounds; i++)
		if (softcvm_check(m->g.vm, message, sizeof(message))) {
			fprintf(stderr, "%s\n", message);
			abort();
		}
	return NULL;
}

static void prefault(struct machine *m, int vcpu)
{
	struct kvm_pre_fault_memory range = { .gpa = WINDOW, .size = SIZE };

	allowed(softcvm_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range), (const int[]){ 0, -EAGAIN, -ENOENT, -EFAULT, -EINTR, 1 },
		"KVM_PRE_FAULT_MEMORY");
}

static void start_walker(int vcpu)
{
	struct kvm_regs regs = { .rip = CODE_AT, .rflags = 2, .rsp = 0x8000 };
	struct kvm_sregs sregs;

	assert_int_equal(softcvm_ioctl(vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.ds.base = WINDOW;
	sregs.ds.selector = WINDOW >> 4;
	assert_int_equal(softcvm_ioctl(vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(vcpu, KVM_SET_REGS, &regs), 0);
}

static void create_machine(struct machine *m)
{
	create_type(&m->g, &amd, KVM_X86_SW_PROTECTED_VM);
	m->vcpu2 = softcvm_ioctl(m->g.vm, KVM_CREATE_VCPU, (void *)1);
	assert_true(m->vcpu2 >= 0);
	m->run2 = softcvm_mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu2, 0);
	m->shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	m->fd = memfd(&m->g, SIZE, 0);
	assert_int_equal(set_region2(&m->g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, SIZE, m->shared, m->fd, 0), 0);
	memcpy(m->g.ram + CODE_AT, walker, sizeof(walker));
	start_walker(m->g.vcpu);
	start_walker(m->vcpu2);
}

static void destroy_machine(struct machine *m)
{
	softcvm_munmap(m->run2, 3 * PAGE);
	softcvm_close(m->vcpu2);
	softcvm_close(m->fd);
	destroy(&m->g);
	munmap(m->shared, SIZE);
}

static void stop(pthread_t thread, struct kvm_run *run)
{
	run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
}

static void test_races(void **state)
{
	void *(*const others[])(void *) = { replace_slots, check, convert, make_holes };
	struct machine m = { .rounds = 500 };
	pthread_t vcpu[2], thread[4];
	char message[200];

	create_machine(&m);
	pthread_create(&vcpu[0], NULL, run_first, &m);
	pthread_create(&vcpu[1], NULL, run_second, &m);
	wait_for_guest(&m);
	for (unsigned int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, others[i], &m);
	for (unsigned int i = 0; i < 4; i++) {
		/* Slots and checks have an end of their own. */
		atomic_store(&m.settled, i >= 2);
		pthread_join(thread[i], NULL);
	}
	atomic_store(&m.stop, true);
	stop(vcpu[0], m.g.run);
	stop(vcpu[1], m.run2);
	assert_int_equal(softcvm_check(m.g.vm, message, sizeof(message)), 0);
	destroy_machine(&m);
}

/* Pre-faults against everything else, the second vCPU running meanwhile; then the file is closed under the running guest. */
static void test_prefault_races(void **state)
{
	void *(*const others[])(void *) = { replace_slots, convert, make_holes };
	struct machine m = { .rounds = 300 };
	pthread_t vcpu, thread[3];
	char message[200];

	create_machine(&m);
	pthread_create(&vcpu, NULL, run_second, &m);
	wait_for_guest(&m);
	for (unsigned int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, others[i], &m);
	for (unsigned int i = 0; i < 500; i++)
		prefault(&m, m.g.vcpu);
	atomic_store(&m.settled, true);
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	softcvm_close(m.fd);
	assert_int_equal(softcvm_check(m.g.vm, message, sizeof(message)), 0);
	atomic_store(&m.stop, true);
	stop(vcpu, m.run2);
	m.fd = memfd(&m.g, PAGE, 0);
	destroy_machine(&m);
}

static void interrupt(int signal) { softcvm_interrupt(); }

int main(void)
{
	const struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_races),
		cmocka_unit_test(test_prefault_races),
	};

	sigaction(SIGUSR1, &action, NULL);
	return cmocka_run_group_tests_name("kvm/private_races", tests, NULL, NULL);
}
