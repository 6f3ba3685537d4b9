// SPDX-License-Identifier: Apache-2.0
/*
 * KVM_X86_SW_PROTECTED_VM: private memory without hardware that knows of it. An access is what the attributes say of its frame
 * (kvm_mmu_page_fault()), so the two disagree only when they change in between. The entry of an MMIO frame is shared whatever
 * the attributes say.
 */
#include "kvm/kvm.h"
#include "kvm/x86/x86.h"

static u64 claim(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code)
{
	if (error_code & HW_PFERR_RSVD)
		return 0;
	return kvm_is_private(vcpu->kvm, gpa_to_gfn(addr)) ? PFERR_PRIVATE_ACCESS : 0;
}

const struct kvm_vendor kvm_vendor_sw_protected = {
	.name = "sw-protected",
	.type = KVM_X86_SW_PROTECTED_VM,
	.platforms = KVM_ON_INTEL | KVM_ON_AMD,
	.has_private_mem = true,
	.has_readonly_mem = true,
	.pre_fault_allowed = true,
	.address_spaces = 1,
	.claim = claim,
	.enter = kvm_x86_enter,
};
