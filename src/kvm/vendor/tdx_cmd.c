// SPDX-License-Identifier: Apache-2.0
/* KVM_MEMORY_ENCRYPT_OP of a trust domain (Documentation/virt/kvm/x86/intel-tdx.rst). Checks in the order of Linux. */
#include <errno.h>

#include "kvm/ioctl.h"
#include "kvm/vendor/tdx.h"

/* KVM sets it, user space must not. */
static long copy_command(struct kvm_call *c, struct kvm_tdx_cmd *cmd)
{
	if (hw_copy_from_host(cmd, c->user, sizeof(*cmd)))
		return -EFAULT;
	return cmd->hw_error ? -EINVAL : 0;
}

static long vm_command_locked(struct kvm *kvm, struct kvm_tdx_cmd *cmd, bool *copy_back)
{
	switch (cmd->id) {
	case KVM_TDX_CAPABILITIES:
		return kvm_tdx_capabilities(kvm, cmd);
	case KVM_TDX_INIT_VM:
		*copy_back = true;
		return kvm_tdx_init_vm(kvm, cmd);
	case KVM_TDX_FINALIZE_VM:
		*copy_back = true;
		return kvm_tdx_finalize(kvm, cmd);
	}
	return -EINVAL;
}

long kvm_tdx_vm_command(struct kvm_call *c)
{
	struct kvm_tdx_cmd cmd;
	bool copy_back = false;
	long result = copy_command(c, &cmd);

	if (result)
		return result;
	pthread_mutex_lock(&c->kvm->lock);
	result = vm_command_locked(c->kvm, &cmd, &copy_back);
	pthread_mutex_unlock(&c->kvm->lock);
	/* After a failure too: hw_error tells why. */
	if (copy_back && hw_copy_to_host(c->user, &cmd, sizeof(cmd)))
		return -EFAULT;
	return result;
}

static long vcpu_command_locked(struct kvm_call *c)
{
	struct kvm_tdx_cmd cmd;
	long result;

	if (!c->kvm->tdx->has_td || kvm_td_state(c->kvm) == TD_RUNNABLE)
		return -EINVAL;
	result = copy_command(c, &cmd);
	if (result)
		return result;
	switch (cmd.id) {
	case KVM_TDX_INIT_VCPU:
		return kvm_tdx_init_vcpu(c->vcpu, &cmd);
	case KVM_TDX_INIT_MEM_REGION:
		return kvm_tdx_init_mem_region(c->vcpu, &cmd);
	case KVM_TDX_GET_CPUID:
		return kvm_tdx_get_cpuid(c->vcpu, &cmd);
	}
	return -EINVAL;
}

long kvm_tdx_vcpu_command(struct kvm_call *c)
{
	long result;

	pthread_mutex_lock(&c->kvm->lock);
	result = vcpu_command_locked(c);
	pthread_mutex_unlock(&c->kvm->lock);
	return result;
}
