// SPDX-License-Identifier: Apache-2.0
/*
 * KVM_X86_SW_PROTECTED_VM: all RAM is private. What the VMM loads stands in the shared side of its pages until the
 * first stage has copied it and asks for them to be private. The stock kernel knows nothing of this, so that nothing of
 * it is ever shared and no device can read its memory.
 */
#include "boot/first_stage.h"
#include "vmm/first_stage.h"
#include "vmm/private_memory.h"
#include "vmm/report.h"
#include "vmm/vm.h"

#include <errno.h>
#include <string.h>

#define SLOT_FIRST_STAGE 2

static int add_first_stage(struct vm *vm)
{
	struct kvm_userspace_memory_region2 slot = {
		.slot = SLOT_FIRST_STAGE,
		.guest_phys_addr = FIRST_STAGE_INFO,
		.memory_size = FIRST_STAGE_SIZE,
		.userspace_addr = (uintptr_t)first_stage_create(vm, &first_stage_sw_protected),
	};
	int err;

	if (!slot.userspace_addr)
		return -ENOMEM;
	err = vm->calls->ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &slot);
	if (err)
		vmm_error("KVM does not take the first stage's memory: %s", strerror(-err));
	return err;
}

static int add_memory(struct vm *vm)
{
	int err = private_memory_create(vm);

	if (!err)
		err = add_first_stage(vm);
	return err ? err : private_memory_allow_requests(vm);
}

static void remove_memory(struct vm *vm)
{
	private_memory_destroy(vm);
	first_stage_destroy(vm);
}

/* vCPUs are as KVM makes them: at the reset vector, which is the first stage's. */
static int start(struct vm *vm)
{
	int err = first_stage_describe(vm);

	for (unsigned int i = 0; !err && i < vm->memory.nr_placed; i++)
		err = private_memory_share_filled(vm, vm->memory.placed[i].start, vm->memory.placed[i].size);
	for (unsigned int i = 1; !err && vm_uses_mailbox(vm) && i < vm->nr_vcpus; i++)
		err = vcpu_start_at_reset(&vm->vcpu[i]);
	return err;
}

/* An access is what the attribute says, so the two differed because it was being changed: the guest tries again. */
static int memory_fault(struct vm *vm, uint64_t gpa, uint64_t size, bool is_private)
{
	return private_memory_has(vm, gpa, size) ? 0 : -EINVAL;
}

const struct vm_type vm_type_sw_protected = {
	.name = "sw-protected",
	.kvm_type = KVM_X86_SW_PROTECTED_VM,
	/* KVM would write to the shared side of private pages, which the guest never sees. */
	.kvm_features_withheld = FEATURES_IN_MEMORY,
	.tells_tsc_rate = true,
	.kvm_features_added = FEATURE_BIT(KVM_FEATURE_HC_MAP_GPA_RANGE),
	.mailbox = true,
	.conversion_refused = (uint64_t)-EINVAL,
	.add_memory = add_memory,
	.start = start,
	.convert = private_memory_convert,
	.memory_fault = memory_fault,
	.remove_memory = remove_memory,
};
