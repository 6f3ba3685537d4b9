// SPDX-License-Identifier: Apache-2.0
/* Running a TD's vCPU: TDH.VP.ENTER and what its exits mean to KVM (tdx_handle_exit()). */
#include <errno.h>

#include "kvm/irqchip.h"
#include "kvm/vendor/tdx.h"
#include "kvm/vm.h"
#include "kvm/x86/x86.h"

/* ---------------------------------------------------------------- interrupts */

/* KVM cannot see whether the guest would take one; only TDVMCALL HLT tells. */
bool kvm_tdx_interrupt_allowed(struct kvm_vcpu *vcpu) { return !vcpu->tdx->halted || !vcpu->tdx->halted_masked; }

/* What is posted; and, for a guest that sleeps with interrupts enabled, what waits in the APIC that the module keeps. */
bool kvm_tdx_has_interrupt(struct kvm_vcpu *vcpu)
{
	struct tdx_regs out;

	if (__atomic_load_n(&hw_cpu_ctl(vcpu->cpu)->pi->on, __ATOMIC_SEQ_CST))
		return true;
	if (!vcpu->tdx->halted || vcpu->tdx->halted_masked)
		return false;
	return !kvm_tdx_seamcall(vcpu->kvm, TDH_VP_RD, kvm_tdx_tdvpr(vcpu), TDX_FIELD_VCPU_STATE_DETAILS, 0, 0, &out) &&
	       out.r8 & TDX_VCPU_INTR_PENDING;
}

/* An NMI is the module's to deliver when the guest can take it; a second one is merged with the first. */
static void deliver_nmi(struct kvm_vcpu *vcpu)
{
	if (kvm_irq_take_nmi(vcpu))
		kvm_tdx_seamcall(vcpu->kvm, TDH_VP_WR, kvm_tdx_tdvpr(vcpu), TDX_FIELD_PEND_NMI, 1, 1, NULL);
}

/* ---------------------------------------------------------------- exits */

static int handle_external_interrupt(struct kvm_vcpu *vcpu) { return KVM_RESUME_GUEST; }

/* An access that the guest has not accepted, though the module was told not to let it be one: the guest is broken. */
static bool is_unaccepted(const struct kvm_vcpu *vcpu)
{
	return TDX_EXT_QUAL_TYPE(vcpu->tdx->regs.rdx) == TDX_EXT_QUAL_PENDING_EPT_VIOLATION;
}

static int private_violation(struct kvm_vcpu *vcpu, gpa_t at)
{
	int result;

	if (is_unaccepted(vcpu)) {
		kvm_warn_once(vcpu->kvm, KVM_WARN_UNACCEPTED, at.v);
		kvm_vm_bugged(vcpu->kvm);
		return -EIO;
	}
	/* As KVM: private pages are always mapped for everything, so each violation is a write's. */
	result = kvm_handle_page_fault(vcpu, at, HW_PFERR_WRITE | HW_PFERR_GUEST_FINAL | HW_PFERR_GUEST_ENC);
	return result < 0 ? result : KVM_RESUME_GUEST;
}

static int handle_ept_violation(struct kvm_vcpu *vcpu)
{
	u64 qualification = vcpu->tdx->regs.rcx, code = HW_PFERR_GUEST_FINAL;
	gpa_t at = gpa(vcpu->tdx->regs.r8 & ~vcpu->kvm->gpa_alias);
	int result;

	if (kvm_tdx_is_private(vcpu->kvm, vcpu->tdx->regs.r8))
		return private_violation(vcpu, at);
	/* The processor lets no guest fetch from shared memory. */
	if (qualification & 1 << 2) {
		kvm_vm_bugged(vcpu->kvm);
		return -EIO;
	}
	if (qualification & 1 << 1)
		code |= HW_PFERR_WRITE;
	if (qualification & 7 << 3)
		code |= HW_PFERR_PRESENT;
	result = kvm_handle_page_fault(vcpu, at, code);
	/* Nothing there: the entry for the next try makes it the guest's #VE. */
	return result < 0 ? result : KVM_RESUME_GUEST;
}

/* Only malformed entries of our own could make one, and there are none: MMIO is #VE here. */
static int handle_ept_misconfig(struct kvm_vcpu *vcpu)
{
	kvm_vm_bugged(vcpu->kvm);
	return -EIO;
}

static int (*const handlers[])(struct kvm_vcpu *vcpu) = {
	[VMX_EXIT_EXTINT] = handle_external_interrupt,
	[VMX_EXIT_TRIPLE_FAULT] = kvm_handle_triple_fault,
	[VMX_EXIT_EPT_VIOLATION] = handle_ept_violation,
	[VMX_EXIT_EPT_MISCONFIG] = handle_ept_misconfig,
	[VMX_EXIT_TDCALL] = kvm_tdx_handle_vmcall,
};

static int handle_exit(struct kvm_vcpu *vcpu)
{
	u64 status = vcpu->tdx->exit;
	u32 reason = TDX_EXIT_REASON(status);

	if (hw_cpu_exit(vcpu->cpu)->host_fault)
		return -EFAULT;
	observe(vcpu->kvm->obs, OBSERVE_KVM_EXIT, vcpu->index, vcpu->index, reason, 0, vcpu->tdx->regs.rcx,
		vcpu->tdx->regs.r8);
	if (reason & 1u << 31)
		return kvm_fail_entry(vcpu, reason);
	if (status & (TDX_STATUS_ERROR | TDX_STATUS_NON_RECOVERABLE) && reason != VMX_EXIT_TRIPLE_FAULT)
		return kvm_unexpected_exit(vcpu, status);
	if (reason >= sizeof(handlers) / sizeof(handlers[0]) || !handlers[reason])
		return kvm_unexpected_exit(vcpu, status);
	return handlers[reason](vcpu);
}

int kvm_tdx_enter(struct kvm_vcpu *vcpu)
{
	struct kvm_tdx_vcpu *tdx = vcpu->tdx;

	deliver_nmi(vcpu);
	tdx->halted = false;
	kvm_begin_entry(vcpu);
	tdx->regs.rax = TDH_VP_ENTER;
	tdx->regs.rcx = kvm_tdx_tdvpr(vcpu);
	tdx->exit = tdx_seamcall(vcpu->kvm->tdx->module, vcpu->cpu, &tdx->regs);
	/* Another thread's call holds the TD for a moment; the guest's registers are still the answer to its last call. */
	if (kvm_tdx_busy(tdx->exit))
		return KVM_RESUME_GUEST;
	return handle_exit(vcpu);
}
