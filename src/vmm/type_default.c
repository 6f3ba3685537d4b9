// SPDX-License-Identifier: Apache-2.0
/* A VM as it always was: memory is the VMM's, the first vCPU starts at the kernel's entry. */
#include "vmm/report.h"
#include "vmm/vm.h"

#include <string.h>

static int add_memory(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->memory.nr_regions; i++) {
		const struct memory_region *r = &vm->memory.region[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = r->start,
			.memory_size = r->size,
			.userspace_addr = (uintptr_t)r->host,
		};
		int err = vm->calls->ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot);

		if (err) {
			vmm_error("KVM does not take %llu MiB of memory: %s",
				  (unsigned long long)vm->config->memory_size >> 20, strerror(-err));
			return err;
		}
	}
	return 0;
}

static int start(struct vm *vm)
{
	return vcpu_set_boot_registers(&vm->vcpu[0], &vm->boot);
}

const struct vm_type vm_type_default = {
	.name = "default",
	.kvm_type = KVM_X86_DEFAULT_VM,
	.dma = true,
	.add_memory = add_memory,
	.start = start,
};
