// SPDX-License-Identifier: Apache-2.0
/* A guest of a few bytes of real-mode code, through the public functions only. */
#pragma once

#include <errno.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "softcvm/kvm_abi.h"
#include "softcvm/softcvm.h"

#define RAM_SIZE 0x10000
#define CODE_AT	 0x1000

struct guest {
	int system, vm, vcpu;
	unsigned char *ram;
	struct kvm_run *run;
};

static inline int set_region(struct guest *g, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, void *at)
{
	struct kvm_userspace_memory_region region = { slot, flags, gpa, size, (uintptr_t)at };

	return softcvm_ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static inline void start_at(struct guest *g, uint64_t rip)
{
	struct kvm_regs regs = { .rip = rip, .rflags = 2, .rsp = 0x8000 };
	struct kvm_sregs sregs;

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_REGS, &regs), 0);
}

enum irqchip_kind { IRQCHIP_NONE, IRQCHIP_FULL, IRQCHIP_SPLIT };

static inline void create_with(struct guest *g, enum softcvm_platform platform, const void *code, size_t size,
			       enum irqchip_kind irqchip)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	const struct softcvm_config config = { .platform = platform };
	int mmap_size;

	g->system = softcvm_open(&config);
	assert_true(g->system >= 0);
	g->vm = softcvm_ioctl(g->system, KVM_CREATE_VM, NULL);
	assert_true(g->vm >= 0);
	g->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(g->ram, MAP_FAILED);
	memcpy(g->ram + CODE_AT, code, size);
	assert_int_equal(set_region(g, 0, 0, 0, RAM_SIZE, g->ram), 0);
	if (irqchip == IRQCHIP_FULL)
		assert_int_equal(softcvm_ioctl(g->vm, KVM_CREATE_IRQCHIP, NULL), 0);
	if (irqchip == IRQCHIP_SPLIT)
		assert_int_equal(softcvm_ioctl(g->vm, KVM_ENABLE_CAP, &split), 0);
	g->vcpu = softcvm_ioctl(g->vm, KVM_CREATE_VCPU, NULL);
	assert_true(g->vcpu >= 0);
	mmap_size = softcvm_ioctl(g->system, KVM_GET_VCPU_MMAP_SIZE, NULL);
	g->run = softcvm_mmap(NULL, mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	assert_ptr_not_equal(g->run, MAP_FAILED);
	start_at(g, CODE_AT);
}

static inline void create(struct guest *g, enum softcvm_platform platform, const void *code, size_t size)
{
	create_with(g, platform, code, size, IRQCHIP_NONE);
}

/* In the order that shows that a vCPU keeps its VM. */
static inline void destroy(struct guest *g)
{
	softcvm_close(g->system);
	softcvm_close(g->vm);
	softcvm_munmap(g->run, 3 * 4096);
	softcvm_close(g->vcpu);
	munmap(g->ram, RAM_SIZE);
}

static inline int run(struct guest *g) { return softcvm_ioctl(g->vcpu, KVM_RUN, NULL); }

static inline struct kvm_regs regs_of(struct guest *g)
{
	struct kvm_regs regs;

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_REGS, &regs), 0);
	return regs;
}

static inline void expect_mmio(struct guest *g, uint64_t at, unsigned int len, int write)
{
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(g->run->mmio.phys_addr, at);
	assert_int_equal(g->run->mmio.len, len);
	assert_int_equal(g->run->mmio.is_write, write);
}
