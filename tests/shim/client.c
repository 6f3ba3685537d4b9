// SPDX-License-Identifier: Apache-2.0
/* Making the client's VM. */
#include "client.h"

#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

void client_create(struct client *c, const void *code, size_t size) { client_create_type(c, 0, code, size); }

void client_create_type(struct client *c, unsigned int type, const void *code, size_t size)
{
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_MEMORY };
	struct kvm_regs regs = { .rip = GUEST_ENTRY, .rsp = 0x8000, .rflags = 2 };
	struct kvm_sregs sregs;

	c->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	assert_true(c->kvm >= 0);
	assert_int_equal(ioctl(c->kvm, KVM_GET_API_VERSION, 0), 12);
	c->vm = ioctl(c->kvm, KVM_CREATE_VM, (unsigned long)type);
	assert_true(c->vm >= 0);
	c->memory = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(c->memory, MAP_FAILED);
	memcpy(c->memory + GUEST_ENTRY, code, size);
	region.userspace_addr = (uintptr_t)c->memory;
	assert_int_equal(ioctl(c->vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
	c->vcpu = ioctl(c->vm, KVM_CREATE_VCPU, 0);
	assert_true(c->vcpu >= 0);
	c->run = mmap(NULL, ioctl(c->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, c->vcpu, 0);
	assert_ptr_not_equal(c->run, MAP_FAILED);
	assert_int_equal(ioctl(c->vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	assert_int_equal(ioctl(c->vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(ioctl(c->vcpu, KVM_SET_REGS, &regs), 0);
}

void client_destroy(struct client *c)
{
	munmap(c->run, ioctl(c->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	assert_int_equal(close(c->vcpu), 0);
	assert_int_equal(close(c->vm), 0);
	assert_int_equal(close(c->kvm), 0);
	munmap(c->memory, GUEST_MEMORY);
}
