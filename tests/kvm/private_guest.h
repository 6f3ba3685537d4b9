// SPDX-License-Identifier: Apache-2.0
/*
 * A real-mode guest with private memory. Slot 0 holds code and stack, from 0; the page under test is WINDOW. Of the VM type
 * for tests, CLAIMED(x) is x claimed as private.
 */
#pragma once

#include <fcntl.h>

#include "guest.h"

#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE 1
#endif
#ifndef FALLOC_FL_PUNCH_HOLE
#define FALLOC_FL_PUNCH_HOLE 2
#endif

#define PAGE	   4096ull
#define WINDOW	   0x20000ull
#define CLAIMED(x) ((x) | SOFTCVM_TEST_CLAIM_GPA_BIT)
#define P	   KVM_MEMORY_ATTRIBUTE_PRIVATE
#define S	   0

static inline void create_vm_of_type(struct guest *g, const struct softcvm_config *config, unsigned long type)
{
	g->system = softcvm_open(config);
	assert_true(g->system >= 0);
	g->vm = softcvm_ioctl(g->system, KVM_CREATE_VM, (void *)type);
	assert_true(g->vm >= 0);
	g->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(g->ram, MAP_FAILED);
	assert_int_equal(set_region(g, 0, 0, 0, RAM_SIZE, g->ram), 0);
}

static inline void create_vcpu(struct guest *g)
{
	int size;

	g->vcpu = softcvm_ioctl(g->vm, KVM_CREATE_VCPU, NULL);
	assert_true(g->vcpu >= 0);
	size = softcvm_ioctl(g->system, KVM_GET_VCPU_MMAP_SIZE, NULL);
	g->run = softcvm_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	assert_ptr_not_equal(g->run, MAP_FAILED);
}

static inline void create_type(struct guest *g, const struct softcvm_config *config, unsigned long type)
{
	create_vm_of_type(g, config, type);
	create_vcpu(g);
}

static inline int memfd(struct guest *g, uint64_t size, uint64_t flags)
{
	struct kvm_create_guest_memfd args = { .size = size, .flags = flags };

	return softcvm_ioctl(g->vm, KVM_CREATE_GUEST_MEMFD, &args);
}

static inline int set_region2(struct guest *g, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, void *at, int fd,
			      uint64_t offset)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot, .flags = flags, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uintptr_t)at,
		.guest_memfd = fd, .guest_memfd_offset = offset,
	};

	return softcvm_ioctl(g->vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

static inline int set_attributes(struct guest *g, uint64_t gpa, uint64_t size, uint64_t attributes)
{
	struct kvm_memory_attributes change = { .address = gpa, .size = size, .attributes = attributes };

	return softcvm_ioctl(g->vm, KVM_SET_MEMORY_ATTRIBUTES, &change);
}

static inline int punch(int fd, uint64_t offset, uint64_t size)
{
	return softcvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)offset, (off_t)size);
}

/* DS is loaded so that the 16-bit offset 0 is the address; then mov al,[0] or mov [0],al; hlt. */
static inline void prepare_access(struct guest *g, uint64_t address, bool write, unsigned char value)
{
	const unsigned char code[] = { write ? 0xa2 : 0xa0, 0, 0, 0xf4 };
	struct kvm_regs regs = { .rip = CODE_AT, .rflags = 2, .rsp = 0x8000, .rax = value };
	struct kvm_sregs sregs;

	memcpy(g->ram + CODE_AT, code, sizeof(code));
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.ds.base = address;
	sregs.ds.selector = address >> 4;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_REGS, &regs), 0);
}

static inline int guest_access(struct guest *g, uint64_t address, bool write, unsigned char value)
{
	prepare_access(g, address, write, value);
	return run(g);
}

static inline void guest_store(struct guest *g, uint64_t address, unsigned char value)
{
	assert_int_equal(guest_access(g, address, true, value), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
}

static inline unsigned char guest_load(struct guest *g, uint64_t address)
{
	assert_int_equal(guest_access(g, address, false, 0), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
	return (unsigned char)regs_of(g).rax;
}

static inline void expect_memory_fault(struct guest *g, int result, uint64_t gpa, uint64_t flags)
{
	assert_int_equal(result, -EFAULT);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(g->run->memory_fault.gpa, gpa);
	assert_int_equal(g->run->memory_fault.flags, flags);
	assert_int_equal(g->run->memory_fault.size, PAGE);
}
