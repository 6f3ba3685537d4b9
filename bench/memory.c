// SPDX-License-Identifier: Apache-2.0
/*
 * Figures of guest memory: conversions, attributes of large ranges, pre-faults, exits, a large sparse guest.
 *
 * Built twice: with the library (BENCH_LIBRARY), and as a client of /dev/kvm, for `softcvm exec`.
 * usage: bench_memory [ROUNDS [NAME]]; prints one line for each figure and round: BENCH name value unit
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "softcvm/kvm_abi.h"
#include "softcvm/softcvm.h"

#define PAGE   4096ull
#define GIB    (1ull << 30)
#define TIB    (1ull << 40)
#define CODE   0x1000u
#define WINDOW (4 * GIB)

#ifdef BENCH_LIBRARY
#define SIDE "library"
static int open_kvm(void)
{
	const struct softcvm_config config = {0};

	return softcvm_open(&config);
}
#define call_ioctl softcvm_ioctl
#define call_mmap  softcvm_mmap
#define call_close softcvm_close
static int punch(int fd, uint64_t at, uint64_t size)
{
	return softcvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, at, size);
}
#else
#define SIDE	   "client"
static int open_kvm(void)
{
	return open("/dev/kvm", O_RDWR | O_CLOEXEC);
}
static int call_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}
#define call_mmap  mmap
#define call_close close
static int punch(int fd, uint64_t at, uint64_t size)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, at, size);
}
#endif

static void must(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "bench_memory: %s: %s\n", what, strerror(result == -1 ? errno : -result));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void figure(const char *name, double value, const char *unit)
{
	printf("BENCH %s.%s %.6g %s\n", SIDE, name, value, unit);
	fflush(stdout);
}

/* ---------------------------------------------------------------- a machine */

struct machine {
	int system, vm, vcpu, memfd;
	uint64_t size; /* of the window */
	uint8_t *code, *client;
	struct kvm_run *run;
};

static void set_slot(const struct machine *m, unsigned int slot, uint64_t gpa, uint64_t size, void *at, int memfd)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = memfd < 0 ? 0 : KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)at,
		.guest_memfd = memfd,
	};

	must(call_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION2, &region), "KVM_SET_USER_MEMORY_REGION2");
}

static void set_attributes(const struct machine *m, uint64_t gpa, uint64_t size, uint64_t attributes)
{
	struct kvm_memory_attributes change = {.address = gpa, .size = size, .attributes = attributes};

	must(call_ioctl(m->vm, KVM_SET_MEMORY_ATTRIBUTES, &change), "KVM_SET_MEMORY_ATTRIBUTES");
}

static void prefault(const struct machine *m, uint64_t gpa, uint64_t size)
{
	struct kvm_pre_fault_memory range = {.gpa = gpa, .size = size};

	while (range.size)
		must(call_ioctl(m->vcpu, KVM_PRE_FAULT_MEMORY, &range), "KVM_PRE_FAULT_MEMORY");
}

static void *reserve(uint64_t size)
{
	const uint64_t align = GIB;
	uint8_t *at =
		mmap(NULL, size + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(at == MAP_FAILED ? -1 : 0, "mmap");
	return (void *)(((uintptr_t)at + align - 1) & ~(align - 1));
}

/* Flat 32-bit code: in eax, dx; mov cl, [eax]; out dx, al; jmp to the first; and, behind it, out dx, al; jmp to the
 * out. */
static const uint8_t code[] = {0xed, 0x8a, 0x08, 0xee, 0xeb, 0xfa, 0xee, 0xeb, 0xfd};
#define ONLY_OUT (CODE + 6)

static void create(struct machine *m, unsigned long type, uint64_t size, uint64_t memfd_flags)
{
	struct kvm_create_guest_memfd args = {.size = size, .flags = memfd_flags};

	m->size = size;
	m->system = open_kvm();
	must(m->system, "/dev/kvm");
	m->vm = call_ioctl(m->system, KVM_CREATE_VM, (void *)type);
	must(m->vm, "KVM_CREATE_VM");
	m->code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(m->code + CODE, code, sizeof(code));
	set_slot(m, 0, 0, 2 * PAGE, m->code, -1);
	m->memfd = call_ioctl(m->vm, KVM_CREATE_GUEST_MEMFD, &args);
	must(m->memfd, "KVM_CREATE_GUEST_MEMFD");
	m->client = reserve(size);
	set_slot(m, 1, WINDOW, size, m->client, m->memfd);
	m->vcpu = call_ioctl(m->vm, KVM_CREATE_VCPU, NULL);
	must(m->vcpu, "KVM_CREATE_VCPU");
	m->run = call_mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
}

static void destroy(struct machine *m)
{
	munmap(m->run, 3 * PAGE);
	call_close(m->vcpu);
	call_close(m->memfd);
	call_close(m->vm);
	call_close(m->system);
	munmap(m->code, 2 * PAGE);
	munmap(m->client, m->size);
}

static struct kvm_segment flat(unsigned int type, uint64_t base)
{
	return (struct kvm_segment){
		.base = base, .limit = ~0u, .selector = 8, .type = type, .present = 1, .db = 1, .s = 1, .g = 1};
}

static void start(struct machine *m, uint64_t rip)
{
	struct kvm_regs regs = {.rip = rip, .rflags = 2, .rdx = 0x10};
	struct kvm_sregs sregs;

	must(call_ioctl(m->vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cr0 |= 1;
	sregs.cs = flat(11, 0);
	sregs.ds = sregs.es = sregs.ss = flat(3, 0);
	must(call_ioctl(m->vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	must(call_ioctl(m->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	must(call_ioctl(m->vcpu, KVM_RUN, NULL), "KVM_RUN");
}

/* The guest stands at its IN: it reads a byte at the address and says so. */
static void touch(struct machine *m, uint32_t address)
{
	memcpy((uint8_t *)m->run + m->run->io.data_offset, &address, 4);
	must(call_ioctl(m->vcpu, KVM_RUN, NULL), "KVM_RUN");
	must(call_ioctl(m->vcpu, KVM_RUN, NULL), "KVM_RUN");
	if (m->run->exit_reason != KVM_EXIT_IO) {
		fprintf(stderr, "bench_memory: exit reason %u\n", m->run->exit_reason);
		exit(1);
	}
}

/* ---------------------------------------------------------------- figures */

#define CONVERTED 65536u /* pages */

/* Each page in its turn, or with a stride that scatters them. */
static void flip(struct machine *m, uint64_t attributes, unsigned int stride, const char *name)
{
	double begin;

	prefault(m, WINDOW, CONVERTED * PAGE);
	begin = now();
	for (unsigned int i = 0; i < CONVERTED; i++)
		set_attributes(m, WINDOW + (uint64_t)i * stride % CONVERTED * PAGE, PAGE, attributes);
	figure(name, CONVERTED / (now() - begin), "1/s");
}

static void bench_flip(void)
{
	struct machine m;

	create(&m, KVM_X86_SW_PROTECTED_VM, CONVERTED * PAGE, 0);
	madvise(m.client, CONVERTED * PAGE, MADV_NOHUGEPAGE);
	set_attributes(&m, WINDOW, CONVERTED * PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE);
	flip(&m, 0, 1, "flip_to_shared");
	/* Shared frames are mapped by single pages where each huge page has a private one left. */
	for (unsigned int i = 0; i < CONVERTED; i += 512)
		set_attributes(&m, WINDOW + i * PAGE, PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE);
	flip(&m, KVM_MEMORY_ATTRIBUTE_PRIVATE, 1, "flip_to_private");
	flip(&m, 0, 40503, "flip_scattered");
	destroy(&m);
}

static void bench_conversion(void)
{
	const unsigned int pages = 16384;
	struct machine m;
	double begin;

	create(&m, KVM_X86_SW_PROTECTED_VM, pages * PAGE, 0);
	set_slot(&m, 1, 0, 0, NULL, -1);
	set_slot(&m, 1, 0x400000, pages * PAGE, m.client, m.memfd);
	set_attributes(&m, 0x400000, pages * PAGE, KVM_MEMORY_ATTRIBUTE_PRIVATE);
	start(&m, CODE);
	for (unsigned int i = 0; i < pages; i++)
		touch(&m, 0x400000 + i * (uint32_t)PAGE);
	begin = now();
	for (unsigned int i = 0; i < pages; i++) {
		set_attributes(&m, 0x400000 + i * PAGE, PAGE, 0);
		must(punch(m.memfd, i * PAGE, PAGE), "fallocate");
		touch(&m, 0x400000 + i * (uint32_t)PAGE);
	}
	figure("convert_punch_touch", pages / (now() - begin), "1/s");
	destroy(&m);
}

static void bench_attributes(void)
{
	struct machine m;
	struct mallinfo2 before, after;
	double begin;

	create(&m, KVM_X86_SW_PROTECTED_VM, TIB, 0);
	before = mallinfo2();
	begin = now();
	set_attributes(&m, WINDOW, TIB, KVM_MEMORY_ATTRIBUTE_PRIVATE);
	figure("attributes_1tib", (now() - begin) * 1e6, "us");
	after = mallinfo2();
	figure("attributes_1tib_memory",
	       (double)(after.uordblks + after.hblkhd) - (double)(before.uordblks + before.hblkhd), "bytes");
	destroy(&m);
}

#define PREFAULTED (GIB / 2)

static void bench_prefault(void)
{
	struct machine m;
	double begin, ours, peer;
	void *at;

	create(&m, KVM_X86_DEFAULT_VM, PREFAULTED, GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED);
	at = call_mmap(NULL, PREFAULTED, PROT_READ | PROT_WRITE, MAP_SHARED, m.memfd, 0);
	must(at == MAP_FAILED ? -1 : 0, "mmap of a guest_memfd");
	madvise(at, PREFAULTED, MADV_NOHUGEPAGE);
	begin = now();
	must(madvise(at, PREFAULTED, 23 /* MADV_POPULATE_WRITE */), "MADV_POPULATE_WRITE");
	peer = PREFAULTED / (now() - begin) / GIB;
	munmap(at, PREFAULTED);
	must(punch(m.memfd, 0, PREFAULTED), "fallocate");
	begin = now();
	prefault(&m, WINDOW, PREFAULTED);
	ours = PREFAULTED / (now() - begin) / GIB;
	figure("prefault", ours, "GiB/s");
	figure("populate_write", peer, "GiB/s");
	figure("prefault_ratio", ours / peer, "x");
	destroy(&m);
}

static void bench_private_prefault(void)
{
	struct machine m;
	double begin;

	create(&m, KVM_X86_SW_PROTECTED_VM, PREFAULTED, 0);
	set_attributes(&m, WINDOW, PREFAULTED, KVM_MEMORY_ATTRIBUTE_PRIVATE);
	begin = now();
	prefault(&m, WINDOW, PREFAULTED);
	figure("prefault_private", PREFAULTED / (now() - begin) / GIB, "GiB/s");
	destroy(&m);
}

static void bench_run(void)
{
	const unsigned int exits = 100000;
	struct machine m;
	double begin;

	create(&m, KVM_X86_DEFAULT_VM, PAGE, 0);
	start(&m, ONLY_OUT);
	begin = now();
	for (unsigned int i = 0; i < exits; i++)
		must(call_ioctl(m.vcpu, KVM_RUN, NULL), "KVM_RUN");
	figure("run_exit", (now() - begin) / exits * 1e6, "us");
	destroy(&m);
}

static uint64_t resident(void)
{
	unsigned long size, pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%lu %lu", &size, &pages) != 2)
		must(-EIO, "/proc/self/statm");
	fclose(file);
	return pages * PAGE;
}

static void bench_sparse(void)
{
	struct machine m;
	uint64_t before = resident();
	double begin = now();

	create(&m, KVM_X86_SW_PROTECTED_VM, TIB, 0);
	set_attributes(&m, WINDOW, TIB, KVM_MEMORY_ATTRIBUTE_PRIVATE);
	figure("sparse_1tib", (now() - begin) * 1e3, "ms");
	figure("sparse_1tib_memory", ((double)resident() - (double)before) / (1 << 20), "MiB");
	destroy(&m);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} benches[] = {
		{"sparse", bench_sparse},
		{"attributes", bench_attributes},
		{"run", bench_run},
		{"flip", bench_flip},
		{"conversion", bench_conversion},
		{"prefault", bench_prefault},
		{"private-prefault", bench_private_prefault},
	};
	int rounds = argc > 1 ? atoi(argv[1]) : 1;

	for (int round = 0; round < rounds; round++)
		for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++)
			if (argc < 3 || !strcmp(argv[2], benches[i].name))
				benches[i].run();
	return 0;
}
