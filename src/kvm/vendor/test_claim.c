// SPDX-License-Identifier: Apache-2.0
/*
 * For tests: a VM type whose hardware claims by one bit of the guest-physical address, set for private, as TDX and SNP do in
 * their ways. The claim arrives as theirs does: in the address (intel) or in the error code (amd).
 */
#include "kvm/kvm.h"
#include "kvm/x86/x86.h"

static u64 claim(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code)
{
	return addr.v & SOFTCVM_TEST_CLAIM_GPA_BIT || error_code & HW_PFERR_GUEST_ENC ? PFERR_PRIVATE_ACCESS : 0;
}

static void vcpu_init(struct kvm_vcpu *vcpu)
{
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);

	ctl->claim_bit = SOFTCVM_TEST_CLAIM_GPA_BIT;
	ctl->claim_bit_is_private = true;
}

const struct kvm_vendor kvm_vendor_test_claim = {
	.name = "test-claim",
	.type = SOFTCVM_TEST_CLAIM_VM,
	.offer = KVM_OFFER_TESTS,
	.platforms = KVM_ON_INTEL | KVM_ON_AMD,
	.has_private_mem = true,
	.has_readonly_mem = true,
	.pre_fault_allowed = true,
	.address_spaces = 1,
	.hardware_claim = true,
	.claim = claim,
	.enter = kvm_x86_enter,
	.gpa_alias = SOFTCVM_TEST_CLAIM_GPA_BIT,
	.vcpu_init = vcpu_init,
};
