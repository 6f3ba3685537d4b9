// SPDX-License-Identifier: Apache-2.0
/* A VM as it always was: memory is the VMM's, the first vCPU starts at the kernel's entry. */
#include "vmm/vm.h"

static int start(struct vm *vm)
{
	return vcpu_set_boot_registers(&vm->vcpu[0], &vm->boot);
}

const struct vm_type vm_type_default = {
	.name = "default",
	.kvm_type = KVM_X86_DEFAULT_VM,
	.dma = true,
	.add_memory = vm_add_slots,
	.start = start,
};
