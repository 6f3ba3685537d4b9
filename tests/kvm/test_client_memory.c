// SPDX-License-Identifier: Apache-2.0
/*
 * Guest memory is the client's: it may go away, lose permissions or change under a running guest. KVM_RUN says -EFAULT where the
 * kernel's would, and the guest goes on when the memory is back.
 */
#include "guest.h"

#include <pthread.h>
#include <unistd.h>

#define COUNTER 0x5000u
#define ROUNDS	25

/* Counts in memory for ever, so that another thread finds it running. */
static const unsigned char counting[] = {
	0x66, 0xff, 0x06, 0x00, 0x50, /* inc dword [0x5000] */
	0xeb, 0xf9,		      /* jmp to it */
};

static uint32_t counter(const struct guest *g)
{
	return __atomic_load_n((volatile uint32_t *)(g->ram + COUNTER), __ATOMIC_RELAXED);
}

struct runner {
	struct guest *g;
	pthread_t thread;
	int result;
};

static void *run_thread(void *opaque)
{
	struct runner *r = opaque;

	r->result = run(r->g);
	return NULL;
}

static void start_running(struct runner *r, struct guest *g)
{
	*r = (struct runner){ .g = g };
	assert_int_equal(pthread_create(&r->thread, NULL, run_thread, r), 0);
}

static int join(struct runner *r)
{
	pthread_join(r->thread, NULL);
	return r->result;
}

/* Until the guest has counted on from `from`; its memory has to be there. */
static void wait_for_progress(const struct guest *g, uint32_t from)
{
	for (unsigned int i = 0; i < 20000 && counter(g) == from; i++)
		usleep(500);
	assert_int_not_equal(counter(g), from);
}

/* The page of the counter is taken away by `take` while the guest runs; then `give` brings it back. */
static void take_and_give(struct guest *g, void (*take)(struct guest *), void (*give)(struct guest *))
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct runner r;

		start_running(&r, g);
		wait_for_progress(g, counter(g));
		take(g);
		assert_int_equal(join(&r), -EFAULT);
		assert_int_equal(g->run->exit_reason, KVM_EXIT_UNKNOWN);
		assert_int_equal(run(g), -EFAULT);
		assert_int_equal(regs_of(g).rip, CODE_AT);
		give(g);
	}
}

static void use_memory(struct guest *g, void *memory)
{
	assert_int_equal(set_region(g, 0, 0, 0, 0, NULL), 0);
	munmap(g->ram, RAM_SIZE);
	g->ram = memory;
	memcpy(g->ram + CODE_AT, counting, sizeof(counting));
	assert_int_equal(set_region(g, 0, 0, 0, RAM_SIZE, g->ram), 0);
}

static void unmap(struct guest *g) { assert_int_equal(munmap(g->ram + COUNTER, 4096), 0); }
static void map_again(struct guest *g)
{
	assert_ptr_equal(mmap(g->ram + COUNTER, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 g->ram + COUNTER);
}

static void forbid(struct guest *g) { assert_int_equal(mprotect(g->ram + COUNTER, 4096, PROT_NONE), 0); }
static void forbid_writes(struct guest *g) { assert_int_equal(mprotect(g->ram + COUNTER, 4096, PROT_READ), 0); }
static void allow(struct guest *g) { assert_int_equal(mprotect(g->ram + COUNTER, 4096, PROT_READ | PROT_WRITE), 0); }

static void test_unmapped(void **state)
{
	for (int platform = SOFTCVM_PLATFORM_INTEL; platform <= SOFTCVM_PLATFORM_AMD; platform++) {
		struct guest g;

		create(&g, (enum softcvm_platform)platform, counting, sizeof(counting));
		take_and_give(&g, unmap, map_again);
		destroy(&g);
	}
}

static void test_protected(void **state)
{
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, counting, sizeof(counting));
	take_and_give(&g, forbid, allow);
	take_and_give(&g, forbid_writes, allow);
	destroy(&g);
}

static int memfd;
static void truncate_file(struct guest *g) { assert_int_equal(ftruncate(memfd, 0x2000), 0); }
static void extend_file(struct guest *g) { assert_int_equal(ftruncate(memfd, RAM_SIZE), 0); }

/* Beyond the end of a file, memory is mapped and still not there (SIGBUS in the client's own accesses). */
static void test_truncated(void **state)
{
	struct guest g;

	memfd = memfd_create("guest memory", MFD_CLOEXEC);
	assert_true(memfd >= 0);
	extend_file(NULL);
	create(&g, SOFTCVM_PLATFORM_AMD, counting, sizeof(counting));
	use_memory(&g, mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0));
	take_and_give(&g, truncate_file, extend_file);
	destroy(&g);
	close(memfd);
}

/* The page that the guest executes from. */
static void test_code_unmapped(void **state)
{
	struct runner r;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, counting, sizeof(counting));
	start_running(&r, &g);
	wait_for_progress(&g, 0);
	assert_int_equal(munmap(g.ram + CODE_AT, 4096), 0);
	/* Decoded code may go on until KVM_RUN is entered again, which an access to missing memory makes necessary. */
	unmap(&g);
	assert_int_equal(join(&r), -EFAULT);
	map_again(&g);
	assert_int_equal(run(&g), -EFAULT);
	assert_ptr_equal(mmap(g.ram + CODE_AT, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 g.ram + CODE_AT);
	memset(g.ram + CODE_AT, 0xf4, 16); /* hlt */
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	destroy(&g);
}

/* All of it goes and comes back in a row, while the guest runs: every KVM_RUN ends in one of two ways and the guest counts on. */
static void *flap(void *opaque)
{
	struct guest *g = opaque;

	for (unsigned int i = 0; i < 2000; i++) {
		mprotect(g->ram, RAM_SIZE, i & 1 ? PROT_READ | PROT_WRITE : PROT_NONE);
		if (i % 50 == 0)
			usleep(200);
	}
	unmap(g);
	return NULL;
}

static void test_flapping(void **state)
{
	unsigned int faults = 0;
	pthread_t thread;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, counting, sizeof(counting));
	assert_int_equal(pthread_create(&thread, NULL, flap, &g), 0);
	for (;;) {
		int result = run(&g);

		assert_int_equal(result, -EFAULT);
		if (++faults > 100 && pthread_tryjoin_np(thread, NULL) == 0)
			break;
	}
	map_again(&g);
	g.ram[CODE_AT + 5] = 0xf4;
	assert_int_equal(run(&g), 0);
	assert_int_equal(counter(&g), 1);
	destroy(&g);
}

/* ---------------------------------------------------------------- code */

struct reader {
	int fd;
	void *to;
	off_t at;
};

static void *read_thread(void *opaque)
{
	struct reader *r = opaque;

	assert_int_equal(pread(r->fd, r->to, 1, r->at), 1);
	return NULL;
}

/* A thread of the client reads new code into guest memory: the next KVM_RUN executes it. */
static void test_code_read_from_file(void **state)
{
	static const unsigned char code[] = { 0xb0, 0x00, 0xe6, 0x10, 0xeb, 0xfa }; /* mov al, 0; out 0x10, al; jmp to it */
	struct reader r = { .fd = memfd_create("code", MFD_CLOEXEC) };
	struct guest g;

	for (int i = 0; i < 256; i++)
		assert_int_equal(pwrite(r.fd, &(unsigned char){ (unsigned char)i }, 1, i), 1);
	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	r.to = g.ram + CODE_AT + 1;
	for (int i = 0; i < 256; i++) {
		pthread_t thread;

		r.at = i;
		assert_int_equal(pthread_create(&thread, NULL, read_thread, &r), 0);
		pthread_join(thread, NULL);
		assert_int_equal(run(&g), 0);
		assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
		assert_int_equal(((unsigned char *)g.run)[g.run->io.data_offset], i);
	}
	destroy(&g);
	close(r.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unmapped),
		cmocka_unit_test(test_protected),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_code_unmapped),
		cmocka_unit_test(test_flapping),
		cmocka_unit_test(test_code_read_from_file),
	};

	return cmocka_run_group_tests_name("kvm/client_memory", tests, NULL, NULL);
}
