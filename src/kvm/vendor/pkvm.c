// SPDX-License-Identifier: Apache-2.0
/*
 * The pKVM model: a VM whose memory is protected by a hypervisor below KVM, as arm64's pKVM does it, in x86 terms where there are
 * any (docs/pkvm.md). No bit of an address makes a claim, no attribute decides, nothing has two backings: a page is the client's
 * until the guest touches it, then the guest's, and shared or not as the guest asks by hypercall (mmu/ownership.h). A fault without
 * a slot is MMIO.
 */
#include <errno.h>

#include "kvm/kvm.h"
#include "kvm/x86/x86.h"

/* As kvm_pkvm_ext_allowed(): what a protected VM is not offered. */
static const u32 hidden_caps[] = {
	KVM_CAP_READONLY_MEM,	   KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_EXIT_HYPERCALL,	KVM_CAP_MEMORY_FAULT_INFO,
	KVM_CAP_GUEST_MEMFD_FLAGS, KVM_CAP_PRE_FAULT_MEMORY,	      0,
};

static const u32 refused_requests[] = {
	KVM_CLEAR_DIRTY_LOG, KVM_SET_MEMORY_ATTRIBUTES, KVM_CREATE_GUEST_MEMFD, KVM_PRE_FAULT_MEMORY, 0,
};

static u64 claim(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code) { return 0; }
/* The hypervisor donates single pages. */
static unsigned int max_level(struct kvm *kvm, gfn_t f, bool is_private) { return HW_LEVEL_4K; }

static int pre_run(struct kvm_vcpu *vcpu)
{
	kvm_ownership_start(vcpu->kvm);
	return 0;
}

/* As kvm_arch_prepare_memory_region(): slots of a VM that has run stay, and none is logged or read-only. */
static int prepare_slot(struct kvm *kvm, const struct kvm_memslot *old, struct kvm_memslot *new)
{
	bool goes = old && (!new || new->base.v != old->base.v);

	if (goes && kvm_ownership_started(kvm))
		return -EPERM;
	if (new && new->flags & (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EPERM;
	return old ? 0 : kvm_ownership_add_slot(kvm, new);
}

static int share_pages(struct kvm_vcpu *vcpu, gfn_t start, gfn_t end)
{
	return kvm_ownership_convert(vcpu, start, end, KVM_PAGE_SHARE);
}

static int unshare_pages(struct kvm_vcpu *vcpu, gfn_t start, gfn_t end)
{
	return kvm_ownership_convert(vcpu, start, end, KVM_PAGE_UNSHARE);
}

const struct kvm_vendor kvm_vendor_pkvm = {
	.name = "pkvm",
	.type = SOFTCVM_PKVM_VM,
	.offer = KVM_OFFER_PKVM,
	.platforms = KVM_ON_INTEL | KVM_ON_AMD,
	/* The flag is known; the type refuses it with an error of its own. */
	.has_readonly_mem = true,
	.in_place = true,
	.address_spaces = 1,
	.claim = claim,
	.enter = kvm_x86_enter,
	.max_level = max_level,
	.hidden_caps = hidden_caps,
	.refused_requests = refused_requests,
	.vm_create = kvm_ownership_create,
	.pre_run = pre_run,
	.prepare_slot = prepare_slot,
	.free_slot = kvm_ownership_remove_slot,
	.share = share_pages,
	.unshare = unshare_pages,
	.guest_owns = kvm_ownership_guest_owns,
	.kernel_access = kvm_ownership_kernel_access,
};
