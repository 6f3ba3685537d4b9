// SPDX-License-Identifier: Apache-2.0
/*
 * A TD for tests, by the KVM API: the guest of tests/hw/tdx/guest.S, which executes the instructions that stand in its shared page
 * and then writes to port 0x80 + index for more.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hw/tdx/measure.h"
#include "softcvm/kvm_abi.h"
#include "softcvm/softcvm.h"

#define PAGE	     4096ull
#define MEMORY	     0x200000ull /* slot 0, from 0 */
#define GUEST_BASE   0x10000ull
#define GUEST_PAGES  24u
#define PAGE_TABLES  0x1000ull
#define SHARED_GPA   0x100000ull /* a page for each vCPU: shared from the beginning */
#define SHARED_PAGES 4u
#define FREE_GPA     0x140000ull /* private, not added */
#define HOLE_GPA     0x300000ull /* without a slot */
#define RESET_PAGE   0xfffff000ull
#define SHARED_BIT   (1ull << 47)
#define LINEAR(gpa)  ((gpa) + 0x40000000ull) /* where the guest's tables have it shared */
#define P	     KVM_MEMORY_ATTRIBUTE_PRIVATE

/* The shared page, as guest.S has it; registers in encoding order. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
struct shared {
	uint64_t gpr[16];
	uint8_t code[256];
	uint8_t unused[0x200 - 0x180];
	uint64_t flags;
	uint64_t vector, error, rip, cr2;
	uint64_t ve_status, ve_reason, ve_qualification, ve_gla, ve_gpa, ve_length;
};
#define NO_EXCEPTION ~0ull

struct td {
	int system, vm, gmem, reset_gmem;
	uint8_t *ram;
	unsigned int vcpus;
	int vcpu[SHARED_PAGES];
	struct kvm_run *run[SHARED_PAGES];
	uint64_t attributes; /* of the TD */
	struct tdx_mr *mr;   /* what td_add() adds is measured here too; NULL: no need */
};

static inline int td_ioctl(int fd, unsigned long request, void *arg) { return softcvm_ioctl(fd, request, arg); }

static inline int td_command(int fd, uint32_t id, uint32_t flags, const void *data)
{
	struct kvm_tdx_cmd cmd = { .id = id, .flags = flags, .data = (uintptr_t)data };

	return softcvm_ioctl(fd, KVM_MEMORY_ENCRYPT_OP, &cmd);
}

static inline int td_enable(struct td *td, uint32_t cap, uint64_t value)
{
	struct kvm_enable_cap args = { .cap = cap, .args[0] = value };

	return softcvm_ioctl(td->vm, KVM_ENABLE_CAP, &args);
}

static inline int td_memfd(struct td *td, uint64_t size)
{
	struct kvm_create_guest_memfd args = { .size = size };

	return softcvm_ioctl(td->vm, KVM_CREATE_GUEST_MEMFD, &args);
}

static inline int td_slot(struct td *td, uint32_t slot, uint64_t gpa, uint64_t size, void *at, int fd)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot, .flags = fd < 0 ? 0 : KVM_MEM_GUEST_MEMFD, .guest_phys_addr = gpa, .memory_size = size,
		.userspace_addr = (uintptr_t)at, .guest_memfd = fd < 0 ? 0 : fd,
	};

	return softcvm_ioctl(td->vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

static inline int td_set_attributes(struct td *td, uint64_t gpa, uint64_t size, uint64_t attributes)
{
	struct kvm_memory_attributes change = { .address = gpa, .size = size, .attributes = attributes };

	return softcvm_ioctl(td->vm, KVM_SET_MEMORY_ATTRIBUTES, &change);
}

/* ---------------------------------------------------------------- construction, step by step */

static inline void *td_map(uint64_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static inline void td_open_config(struct td *td, const struct softcvm_config *config)
{
	memset(td, 0, sizeof(*td));
	td->system = softcvm_open(config);
	assert_true(td->system >= 0);
	td->vm = softcvm_ioctl(td->system, KVM_CREATE_VM, (void *)KVM_X86_TDX_VM);
	assert_true(td->vm >= 0);
	td->ram = td_map(MEMORY);
	td->gmem = td_memfd(td, MEMORY);
	td->reset_gmem = td_memfd(td, PAGE);
	assert_int_equal(td_slot(td, 0, 0, MEMORY, td->ram, td->gmem), 0);
	assert_int_equal(td_slot(td, 1, RESET_PAGE, PAGE, td_map(PAGE), td->reset_gmem), 0);
	assert_int_equal(td_set_attributes(td, 0, MEMORY, P), 0);
	assert_int_equal(td_set_attributes(td, RESET_PAGE, PAGE, P), 0);
	assert_int_equal(td_set_attributes(td, SHARED_GPA, SHARED_PAGES * PAGE, 0), 0);
	assert_int_equal(td_enable(td, KVM_CAP_SPLIT_IRQCHIP, 24), 0);
	assert_int_equal(td_enable(td, KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE), 0);
	assert_int_equal(td_enable(td, KVM_CAP_X86_APIC_BUS_CYCLES_NS, 40), 0);
}

static inline void td_open(struct td *td)
{
	td_open_config(td, &(struct softcvm_config){ .platform = SOFTCVM_PLATFORM_INTEL });
}

struct td_init {
	struct kvm_tdx_init_vm head;
	struct kvm_cpuid_entry2 entry[1];
};

/* Nothing configured but the address width. */
static inline void td_init_args(const struct td *td, struct td_init *init)
{
	*init = (struct td_init){
		.head = { .attributes = td->attributes, .xfam = 3, .cpuid.nent = 1 },
		.entry[0] = { .function = 0x80000008, .eax = 48 << 16 },
	};
}

static inline int td_init_vm(struct td *td)
{
	struct td_init init;

	td_init_args(td, &init);
	return td_command(td->vm, KVM_TDX_INIT_VM, 0, &init);
}

static inline int td_add_vcpu(struct td *td)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[3];
	} cpuid = {
		.head.nent = 3,
		.entry[0] = { .function = 1, .ecx = 1u << 21 }, /* x2APIC */
		.entry[1] = { .function = 0x80000000, .eax = 0x80000008 },
		.entry[2] = { .function = 0x80000008, .eax = 52 },
	};
	unsigned int n = td->vcpus;
	int size;

	td->vcpu[n] = softcvm_ioctl(td->vm, KVM_CREATE_VCPU, (void *)(uintptr_t)n);
	if (td->vcpu[n] < 0)
		return td->vcpu[n];
	td->vcpus++;
	size = softcvm_ioctl(td->system, KVM_GET_VCPU_MMAP_SIZE, NULL);
	td->run[n] = softcvm_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, td->vcpu[n], 0);
	assert_ptr_not_equal(td->run[n], MAP_FAILED);
	return softcvm_ioctl(td->vcpu[n], KVM_SET_CPUID2, &cpuid);
}

static inline int td_add(struct td *td, uint64_t gpa, const void *contents, uint64_t pages, uint32_t flags)
{
	struct kvm_tdx_init_mem_region region = { .source_addr = (uintptr_t)contents, .gpa = gpa, .nr_pages = pages };

	/* In the order of Linux: each page is added and measured before the next. */
	for (uint64_t at = 0; td->mr && at < pages * PAGE; at += TDX_EXTEND_CHUNK) {
		if (at % PAGE == 0)
			tdx_mr_page_add(td->mr, (gpa_t){ gpa + at });
		if (flags & KVM_TDX_MEASURE_MEMORY_REGION)
			tdx_mr_extend(td->mr, (gpa_t){ gpa + at }, (const uint8_t *)contents + at);
	}
	return td_command(td->vcpu[0], KVM_TDX_INIT_MEM_REGION, flags, &region);
}

static inline void td_page_tables(struct td *td)
{
	uint64_t(*t)[512] = td_map(4 * PAGE);

	t[0][0] = (PAGE_TABLES + PAGE) | 3;
	t[1][0] = (PAGE_TABLES + 2 * PAGE) | 3;
	t[1][1] = (PAGE_TABLES + 3 * PAGE) | 3;
	for (uint64_t n = 0; n < 512; n++) {
		t[2][n] = n << 21 | 0x83;
		t[3][n] = n << 21 | 0x83 | SHARED_BIT;
	}
	assert_int_equal(td_add(td, PAGE_TABLES, t, 4, KVM_TDX_MEASURE_MEMORY_REGION), 0);
	munmap(t, 4 * PAGE);
}

static inline void td_load(struct td *td)
{
	static const uint8_t jump[] = { 0xb8, 0, 0, 1, 0, 0xff, 0xe0 }; /* mov $0x10000, %eax; jmp *%eax */
	uint8_t *image = td_map(GUEST_PAGES * PAGE), *reset = td_map(PAGE);
	FILE *f = fopen(GUEST_TD, "rb");

	assert_non_null(f);
	assert_true(fread(image, 1, GUEST_PAGES * PAGE, f) > 0);
	fclose(f);
	memcpy(reset + 0xff0, jump, sizeof(jump));
	assert_int_equal(td_add(td, GUEST_BASE, image, GUEST_PAGES, KVM_TDX_MEASURE_MEMORY_REGION), 0);
	assert_int_equal(td_add(td, RESET_PAGE, reset, 1, KVM_TDX_MEASURE_MEMORY_REGION), 0);
	td_page_tables(td);
	munmap(image, GUEST_PAGES * PAGE);
	munmap(reset, PAGE);
}

static inline struct shared *td_shared(struct td *td, unsigned int n)
{
	return (struct shared *)(void *)(td->ram + SHARED_GPA + n * PAGE);
}

static inline int td_run(struct td *td, unsigned int n) { return softcvm_ioctl(td->vcpu[n], KVM_RUN, NULL); }

static inline void td_expect_ready(struct td *td, unsigned int n, int result)
{
	assert_int_equal(result, 0);
	assert_int_equal(td->run[n]->exit_reason, KVM_EXIT_IO);
	assert_int_equal(td->run[n]->io.port, 0x80 + n);
}

/* The vCPU waits for work. */
static inline void td_start(struct td *td, unsigned int n) { td_expect_ready(td, n, td_run(td, n)); }

/* From td_open() to before its first instruction. */
static inline void td_launch(struct td *td, unsigned int vcpus)
{
	assert_int_equal(td_init_vm(td), 0);
	for (unsigned int n = 0; n < vcpus; n++) {
		assert_int_equal(td_add_vcpu(td), 0);
		assert_int_equal(td_command(td->vcpu[n], KVM_TDX_INIT_VCPU, 0, NULL), 0);
	}
	td_load(td);
	assert_int_equal(td_command(td->vm, KVM_TDX_FINALIZE_VM, 0, NULL), 0);
}

static inline void td_build(struct td *td, unsigned int vcpus)
{
	td_open(td);
	td_launch(td, vcpus);
}

static inline void td_close(struct td *td)
{
	char message[200];

	if (td->vm >= 0 && softcvm_check(td->vm, message, sizeof(message)) == 1)
		fail_msg("%s", message);
	for (unsigned int n = 0; n < td->vcpus; n++)
		softcvm_close(td->vcpu[n]);
	softcvm_close(td->gmem);
	softcvm_close(td->reset_gmem);
	softcvm_close(td->vm);
	softcvm_close(td->system);
	munmap(td->ram, MEMORY);
}

/* ---------------------------------------------------------------- work for the guest */

/* Instructions without the RET. The result of KVM_RUN. */
static inline int td_begin(struct td *td, unsigned int n, const void *code, size_t size)
{
	struct shared *s = td_shared(td, n);

	assert_true(size < sizeof(s->code));
	memset(s->code, 0, sizeof(s->code));
	memcpy(s->code, code, size);
	s->code[size] = 0xc3;
	return td_run(td, n);
}
#define CODE(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define TDCALL	  0x66, 0x0f, 0x01, 0xcc

/* The guest goes on until it wants more work; exits on the way are the caller's. */
static inline struct shared *td_do(struct td *td, unsigned int n, const void *code, size_t size)
{
	td_expect_ready(td, n, td_begin(td, n, code, size));
	return td_shared(td, n);
}

/* TDG.VP.VMCALL with R10 to R15: the registers as the guest finds them are in its shared page when it wants work again. */
static inline int td_vmcall(struct td *td, unsigned int n, const uint64_t r10_to_r15[6])
{
	struct shared *s = td_shared(td, n);

	memset(s->gpr, 0, sizeof(s->gpr));
	s->gpr[RCX] = 0xffcc;
	memcpy(&s->gpr[R10], r10_to_r15, 6 * sizeof(uint64_t));
	return td_begin(td, n, CODE(TDCALL));
}
#define vmcall(td, ...) td_vmcall(td, 0, (const uint64_t[6]){ __VA_ARGS__ })

/* Another guest leaf on vCPU 0; its status. */
static inline uint64_t td_tdcall(struct td *td, uint64_t leaf, uint64_t rcx, uint64_t rdx, uint64_t r8)
{
	struct shared *s = td_shared(td, 0);

	memset(s->gpr, 0, sizeof(s->gpr));
	s->gpr[RAX] = leaf;
	s->gpr[RCX] = rcx;
	s->gpr[RDX] = rdx;
	s->gpr[R8] = r8;
	td_do(td, 0, CODE(TDCALL));
	assert_true(s->vector == NO_EXCEPTION);
	return s->gpr[RAX];
}
#define TDG_MR_REPORT	    4
#define TDG_MEM_PAGE_ACCEPT 6

/* mov (%rdi), %rax and mov %rax, (%rdi) */
#define LOAD  CODE(0x48, 0x8b, 0x07)
#define STORE CODE(0x48, 0x89, 0x07)
