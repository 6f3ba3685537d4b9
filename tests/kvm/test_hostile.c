// SPDX-License-Identifier: Apache-2.0
/*
 * Arguments that nobody means well by: every request with random structures and bad pointers, and KVM_RUN from whatever
 * state that leaves. Whoever asks may get an error; nothing may crash, hang or leak (run it under ASan and UBSan).
 *
 *	test_hostile [SEED [ROUNDS]]
 */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static uint64_t state;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

enum on { SYSTEM, VM, VCPU };

static const struct {
	enum on on;
	unsigned long request;
} requests[] = {
#define IOCTL(request, kind, argument, handler) { kind, request },
#include "kvm/ioctls.def"
#undef IOCTL
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

static unsigned char *scratch;	 /* 64 KiB that any pointer may name */
static unsigned char *unmapped;

/* Values that checks forget. */
static uint64_t word(void)
{
	static const uint64_t interesting[] = { 0, 1, 2, 3, 8, 0xff, 0x1000, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff,
						1ull << 32, 1ull << 46, 1ull << 52, 1ull << 63, ~0ull, ~0xfffull };

	switch (rnd() % 4) {
	case 0:
		return rnd();
	case 1:
		return rnd() % 64;
	case 2:
		return (uintptr_t)scratch + (rnd() & 0xf000);
	default:
		return interesting[rnd() % (sizeof(interesting) / sizeof(interesting[0]))];
	}
}

/* Mostly small numbers in 32-bit pieces, sometimes 64-bit ones, sometimes what a GET has just answered. */
static void fill(unsigned char *p, size_t size)
{
	if (rnd() % 4 == 0)
		return;
	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t v = rnd() % 2 ? word() : (uint32_t)word() | (uint64_t)(uint32_t)word() << 32;

		if (rnd() % 3)
			memcpy(p + i, &v, 8);
	}
}

/* Guest memory must stay the test's own: a slot may lie over any of its memory, or over none. */
static void tame(unsigned long request, void *arg)
{
	struct kvm_userspace_memory_region *region = arg;
	struct kvm_irqfd *irqfd = arg;
	struct kvm_ioeventfd *ioeventfd = arg;

	if (request == KVM_SET_USER_MEMORY_REGION || request == KVM_SET_USER_MEMORY_REGION2) {
		region->userspace_addr = (uintptr_t)(rnd() % 2 ? scratch : unmapped);
		region->slot &= rnd() % 4 ? 7 : ~0u;
		region->memory_size &= rnd() % 8 ? 0xf000 : 0xffff;
		region->guest_phys_addr &= rnd() % 4 ? 0xff000 : ~0ull;
	} else if (request == KVM_IRQFD) {
		irqfd->fd = irqfd->resamplefd = -1;
	} else if (request == KVM_IOEVENTFD) {
		ioeventfd->fd = -1;
	} else if (request == KVM_SET_SIGNAL_MASK) {
		/* A client that blocks the signal it waits for waits for ever, on Linux too. */
		((unsigned char *)arg)[4 + (SIGALRM - 1) / 8] &= (unsigned char)~(1u << (SIGALRM - 1) % 8);
		((unsigned char *)arg)[4 + (SIGTERM - 1) / 8] &= (unsigned char)~(1u << (SIGTERM - 1) % 8);
	}
}

static int fd_of(const struct guest *g, enum on on) { return on == SYSTEM ? g->system : on == VM ? g->vm : g->vcpu; }

static void one_request(struct guest *g)
{
	unsigned int i = rnd() % REQUESTS;
	unsigned long request = requests[i].request;
	unsigned char *arg = scratch + (rnd() % 8) * 4096;

	/* What makes descriptors or threads is left to the other tests. */
	if (request == KVM_CREATE_VM || request == KVM_CREATE_VCPU || request == KVM_RUN)
		return;
	switch (rnd() % 12) {
	case 0:
		arg = NULL;
		break;
	case 1:
		arg = unmapped;
		break;
	case 2:
		softcvm_ioctl(fd_of(g, rnd() % 3), rnd(), arg);
		return;
	default:
		fill(arg, 4096);
		tame(request, arg);
		break;
	}
	softcvm_ioctl(fd_of(g, requests[i].on), request, arg);
}

static void one_run(struct guest *g)
{
	/* Periodic: the first tick may come before KVM_RUN has begun. */
	const struct itimerval soon = { .it_interval = { .tv_usec = 2000 }, .it_value = { .tv_usec = 2000 } }, off = { 0 };

	fill((unsigned char *)g->run, 2 * 4096);
	if (rnd() % 2) {
		g->run->kvm_dirty_regs = 0;
		g->run->kvm_valid_regs = 0;
	}
	g->run->immediate_exit = rnd() % 4 == 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	softcvm_ioctl(g->vcpu, KVM_RUN, NULL);
	setitimer(ITIMER_REAL, &off, NULL);
}

static void one_guest(void)
{
	unsigned char code[64];
	struct guest g;

	fill(scratch, 0x8000);
	for (size_t i = 0; i < sizeof(code); i++)
		code[i] = rnd();
	create_with(&g, rnd() % 2 ? SOFTCVM_PLATFORM_AMD : SOFTCVM_PLATFORM_INTEL, code, sizeof(code), rnd() % 2);
	for (unsigned int i = 0; i < 60; i++) {
		one_request(&g);
		if (rnd() % 6 == 0)
			one_run(&g);
	}
	destroy(&g);
}

static void interrupt(int signal) { softcvm_interrupt(); }

int main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = interrupt };
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 0) : 200;

	scratch = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unmapped = mmap(NULL, 0x10000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (scratch == MAP_FAILED || unmapped == MAP_FAILED)
		return 1;
	sigaction(SIGALRM, &action, NULL);
	printf("%lu guests from seed %llu\n", rounds, (unsigned long long)seed);
	fflush(stdout);
	for (unsigned long i = 0; i < rounds; i++) {
		state = (seed + i) * 0x9e3779b97f4a7c15ull | 1;
		one_guest();
	}
	return 0;
}
