// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

void machine_create(struct machine *m, int type)
{
	m->type = type;
	m->kvm = MUST(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	m->vm = MUST(ioctl(m->kvm, KVM_CREATE_VM, (unsigned long)type));
	m->memory = mmap(NULL, MEMORY_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must("mmap", m->memory == MAP_FAILED ? -1 : 0);
}

void machine_destroy(struct machine *m)
{
	close(m->vm);
	close(m->kvm);
	munmap(m->memory, MEMORY_PAGES * PAGE);
}

int machine_gmem(const struct machine *m, uint64_t size)
{
	struct kvm_create_guest_memfd args = {.size = size};

	return MUST(ioctl(m->vm, KVM_CREATE_GUEST_MEMFD, &args));
}

int machine_set_slot(const struct machine *m, const struct slot *s)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = s->slot,
		.flags = s->flags,
		.guest_phys_addr = s->gpa,
		.memory_size = s->size,
		.userspace_addr = s->hva,
		.guest_memfd_offset = s->offset,
		.guest_memfd = (uint32_t)s->fd,
	};

	return ioctl(m->vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

void machine_set_private(const struct machine *m, uint64_t gpa, uint64_t size, int private)
{
	struct kvm_memory_attributes attributes = {
		.address = gpa,
		.size = size,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	MUST(ioctl(m->vm, KVM_SET_MEMORY_ATTRIBUTES, &attributes));
}
