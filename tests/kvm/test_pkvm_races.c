// SPDX-License-Identifier: Apache-2.0
/*
 * Two vCPUs touch, share and unshare the same pages while the client uses them, KVM takes pages by force, and the invariants are
 * checked: each call answers what some order allows, and what the client reads is what some guest has written.
 */
#include "pkvm_guest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define ROUNDS 1500u
#define PAGES_FOR_CLOCKS 6u /* the last ones */

static const struct softcvm_config amd = { .platform = SOFTCVM_PLATFORM_AMD, .pkvm = true };

struct machine {
	struct pkvm_guest p;
	int vcpu[3];
	struct kvm_run *run[3];
	_Atomic unsigned int running;
};

struct worker {
	struct machine *m;
	unsigned int n;
	pthread_t thread;
};

static void allowed(int result, const int *answers, const char *what)
{
	for (; *answers != 1; answers++)
		if (result == *answers)
			return;
	fprintf(stderr, "%s: %d\n", what, result);
	abort();
}

static int rax_of(int vcpu)
{
	struct kvm_regs regs;

	softcvm_ioctl(vcpu, KVM_GET_REGS, &regs);
	return (int)regs.rax;
}

static void *use_pages(void *opaque)
{
	const struct worker *w = opaque;
	int vcpu = w->m->vcpu[w->n];
	unsigned int seed = w->n + 1;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int page = rand_r(&seed) % PAGES, what = rand_r(&seed) % 4;
		unsigned int count = 1 + rand_r(&seed) % 2;
		int result;

		count = page + count > PAGES ? 1 : count;
		if (what < 2)
			pkvm_prepare(vcpu, what ? DO_STORE : DO_LOAD, AT(page), 0x40 + w->n, 0, 0);
		else
			pkvm_prepare(vcpu, DO_HYPERCALL, 0, what == 2 ? SOFTCVM_PKVM_HC_SHARE : SOFTCVM_PKVM_HC_UNSHARE, AT(page),
				     count * PAGE);
		result = softcvm_ioctl(vcpu, KVM_RUN, NULL);
		allowed(result, (const int[]){ 0, -EFAULT, 1 }, "KVM_RUN");
		if (what >= 2)
			allowed(rax_of(vcpu), (const int[]){ 0, -EPERM, -ENOENT, -EHWPOISON, 1 }, "hypercall");
		else if (result == 0 && what == 0)
			allowed(rax_of(vcpu) & 0xff, (const int[]){ 0, 0x40, 0x41, 0x50, 1 }, "load");
	}
	atomic_fetch_sub(&w->m->running, 1);
	return NULL;
}

/* The client's system calls read and write the pages, or fail. */
static void *use_memory(void *opaque)
{
	struct machine *m = ((struct worker *)opaque)->m;
	unsigned char value = 0x50;
	unsigned int seed = 9;
	int pipes[2];

	if (pipe(pipes))
		abort();
	while (atomic_load(&m->running)) {
		unsigned char *at = m->p.memory + rand_r(&seed) % (PAGES - PAGES_FOR_CLOCKS) * PAGE, got = 0;
		ssize_t written = write(pipes[1], at, 1);

		if (written == 1) {
			if (read(pipes[0], &got, 1) != 1)
				abort();
			allowed(got, (const int[]){ 0, 0x40, 0x41, 0x50, 1 }, "client's read");
		} else if (errno != EFAULT) {
			abort();
		}
		if (write(pipes[1], &value, 1) != 1)
			abort();
		if (read(pipes[0], at, 1) != 1 && read(pipes[0], &got, 1) != 1)
			abort();
	}
	close(pipes[0]);
	close(pipes[1]);
	return NULL;
}

/* A page a time becomes a clock's, and is the guest's no more. The clock is far behind the first byte. */
static void *use_clock(void *opaque)
{
	const struct worker *w = opaque;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = 0x4b564d01 } };

	for (unsigned int i = 0; i < PAGES_FOR_CLOCKS; i++) {
		msrs.entry.data = (AT(PAGES - 1 - i) + 0x800) | 1;
		if (softcvm_ioctl(w->m->vcpu[w->n], KVM_SET_MSRS, &msrs) != 1)
			abort();
		for (unsigned int k = 0; k < ROUNDS / 10; k++) {
			pkvm_prepare(w->m->vcpu[w->n], DO_LOAD, AT(0), 0, 0, 0);
			allowed(softcvm_ioctl(w->m->vcpu[w->n], KVM_RUN, NULL), (const int[]){ 0, 1 }, "KVM_RUN");
		}
	}
	return NULL;
}

static void *check(void *opaque)
{
	struct machine *m = ((struct worker *)opaque)->m;
	char message[200];

	while (atomic_load(&m->running))
		if (softcvm_check(m->p.g.vm, message, sizeof(message))) {
			fprintf(stderr, "%s\n", message);
			abort();
		}
	return NULL;
}

static void create_machine(struct machine *m)
{
	pkvm_create_window(&m->p, &amd);
	m->vcpu[0] = m->p.g.vcpu;
	for (unsigned long i = 1; i < 3; i++) {
		m->vcpu[i] = softcvm_ioctl(m->p.g.vm, KVM_CREATE_VCPU, (void *)i);
		assert_true(m->vcpu[i] >= 0);
		m->run[i] = softcvm_mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu[i], 0);
	}
}

static void destroy_machine(struct machine *m)
{
	for (unsigned int i = 1; i < 3; i++) {
		softcvm_munmap(m->run[i], 3 * PAGE);
		softcvm_close(m->vcpu[i]);
	}
	destroy(&m->p.g);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(client_store(m->p.memory + i * PAGE, 1), 0);
	munmap(m->p.memory, SIZE);
}

static void test_races(void **state)
{
	void *(*const work[])(void *) = { use_pages, use_pages, use_clock, use_memory, check };
	struct machine m = { .running = 2 };
	struct worker w[5];

	create_machine(&m);
	for (unsigned int i = 0; i < 5; i++) {
		w[i].m = &m;
		w[i].n = i;
		pthread_create(&w[i].thread, NULL, work[i], &w[i]);
	}
	for (unsigned int i = 0; i < 5; i++)
		pthread_join(w[i].thread, NULL);
	expect_invariants(&m.p);
	destroy_machine(&m);
}

/* Slots that come and go when the first vCPU starts: either is first. */
static void *first_run(void *opaque)
{
	struct machine *m = opaque;

	pkvm_prepare(m->p.g.vcpu, DO_STORE, 0x40000, 1, 0, 0);
	allowed(softcvm_ioctl(m->p.g.vcpu, KVM_RUN, NULL), (const int[]){ 0, 1 }, "KVM_RUN");
	return NULL;
}

static void test_first_run(void **state)
{
	for (unsigned int i = 0; i < 100; i++) {
		unsigned char *more = client_memory(PAGE);
		struct machine m = { 0 };
		pthread_t thread;
		int result;

		create_machine(&m);
		assert_int_equal(set_region(&m.p.g, 2, 0, 0x40000, PAGE, more), 0);
		pthread_create(&thread, NULL, first_run, &m);
		result = set_region(&m.p.g, 2, 0, 0, 0, NULL);
		pthread_join(thread, NULL);
		if (result == -EPERM)
			expect_gone(more);
		else
			assert_int_equal(result, 0);
		expect_invariants(&m.p);
		destroy_machine(&m);
		assert_int_equal(client_load(more), 0);
		munmap(more, PAGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_races),
		cmocka_unit_test(test_first_run),
	};

	return cmocka_run_group_tests_name("kvm/pkvm_races", tests, NULL, NULL);
}
