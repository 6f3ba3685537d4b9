// SPDX-License-Identifier: Apache-2.0
/*
 * The pKVM model (docs/pkvm.md): what the guest touches is its own from then on, contents and all. So a kernel that the VMM has
 * loaded starts where it stands, and no first stage has to bring it into memory that is private. A stock kernel shares nothing:
 * its devices are those that need no memory of it.
 */
#include "vmm/vm.h"

static int start(struct vm *vm)
{
	return vcpu_set_boot_registers(&vm->vcpu[0], &vm->boot);
}

const struct vm_type vm_type_pkvm = {
	.name = "pkvm",
	.kvm_type = SOFTCVM_PKVM_VM,
	.pkvm = true,
	/* KVM would take the page of the guest's clock away from it, and cannot write to the others. */
	.kvm_features_withheld = FEATURES_IN_MEMORY,
	.tells_tsc_rate = true,
	.add_memory = vm_add_slots,
	.start = start,
};
