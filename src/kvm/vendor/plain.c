// SPDX-License-Identifier: Apache-2.0
/* The default VM type: no private memory, everything open to KVM. */
#include "kvm/kvm.h"
#include "kvm/x86/x86.h"

static u64 claim(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code) { return 0; }

const struct kvm_vendor kvm_vendor_plain = {
	.name = "default",
	.type = KVM_X86_DEFAULT_VM,
	.platforms = KVM_ON_INTEL | KVM_ON_AMD,
	.has_readonly_mem = true,
	.pre_fault_allowed = true,
	/* The second is that of SMM. */
	.address_spaces = 2,
	.claim = claim,
	.enter = kvm_x86_enter,
};
