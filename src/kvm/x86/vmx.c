// SPDX-License-Identifier: Apache-2.0
/* Exits of the intel platform: basic exit reason to handler (SDM 3D App. C). */
#include "kvm/irqchip.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/x86.h"

#define ENTRY_FAILURE (1u << 31)
#define INTR_INFO_VALID (1u << 31)

static const struct hw_vmx_exit *vmx(const struct kvm_vcpu *vcpu) { return &hw_cpu_exit(vcpu->cpu)->vmx; }

static int handle_exception(struct kvm_vcpu *vcpu)
{
	const struct hw_vmx_exit *x = vmx(vcpu);

	return kvm_handle_exception(vcpu, x->intr_info & 0xff, x->intr_info >> 11 & 1, x->intr_error, x->qualification);
}

static int handle_external_interrupt(struct kvm_vcpu *vcpu) { return KVM_RESUME_GUEST; }

/* SDM 3C table 27-7 to the error code of the fault path. */
static u64 error_code_of(u64 qualification)
{
	u64 code = 0;

	if (qualification & 1 << 1)
		code |= HW_PFERR_WRITE;
	if (qualification & 1 << 2)
		code |= HW_PFERR_FETCH;
	if (qualification & 7 << 3)
		code |= HW_PFERR_PRESENT;
	if (qualification & 1 << 7)
		code |= qualification & 1 << 8 ? HW_PFERR_GUEST_FINAL : HW_PFERR_GUEST_PAGE;
	return code;
}

static int handle_ept_violation(struct kvm_vcpu *vcpu)
{
	const struct hw_vmx_exit *x = vmx(vcpu);

	return kvm_handle_stage2(vcpu, gpa(x->guest_physical), error_code_of(x->qualification));
}

static int handle_ept_misconfig(struct kvm_vcpu *vcpu)
{
	return kvm_handle_stage2(vcpu, gpa(vmx(vcpu)->guest_physical), HW_PFERR_RSVD);
}

static int handle_virtual_eoi(struct kvm_vcpu *vcpu)
{
	kvm_lapic_eoi_exit(vcpu, vmx(vcpu)->qualification & 0xff);
	return KVM_RESUME_GUEST;
}

static int handle_apic_write(struct kvm_vcpu *vcpu)
{
	kvm_lapic_write_trap(vcpu, vmx(vcpu)->qualification & 0xff0);
	return KVM_RESUME_GUEST;
}

enum { VMX_FIRST_VMX_INSN = 19, VMX_LAST_VMX_INSN = 27, VMX_EXIT_INVEPT = 50, VMX_EXIT_INVVPID = 53 };

/* VMX instructions: no nested virtualisation is offered. */
static int (*const handlers[])(struct kvm_vcpu *vcpu) = {
	[VMX_EXIT_EXCEPTION] = handle_exception,
	[VMX_EXIT_EXTINT] = handle_external_interrupt,
	[VMX_EXIT_TRIPLE_FAULT] = kvm_handle_triple_fault,
	[VMX_EXIT_INT_WINDOW] = kvm_handle_window,
	[VMX_EXIT_NMI_WINDOW] = kvm_handle_window,
	[VMX_EXIT_CPUID] = kvm_handle_cpuid,
	[VMX_EXIT_HLT] = kvm_handle_halt,
	[VMX_EXIT_INVD] = kvm_handle_nop,
	[VMX_EXIT_INVLPG] = kvm_handle_nop,
	[VMX_EXIT_RDPMC] = kvm_handle_gp,
	[VMX_EXIT_VMCALL] = kvm_handle_hypercall,
	[VMX_FIRST_VMX_INSN ... VMX_LAST_VMX_INSN] = kvm_handle_ud,
	[VMX_EXIT_IO] = kvm_handle_io,
	[VMX_EXIT_RDMSR] = kvm_handle_rdmsr,
	[VMX_EXIT_WRMSR] = kvm_handle_wrmsr,
	[VMX_EXIT_MWAIT] = kvm_handle_mwait,
	[VMX_EXIT_MONITOR] = kvm_handle_mwait,
	[VMX_EXIT_PAUSE] = kvm_handle_nop,
	[VMX_EXIT_VIRT_EOI] = handle_virtual_eoi,
	[VMX_EXIT_EPT_VIOLATION] = handle_ept_violation,
	[VMX_EXIT_EPT_MISCONFIG] = handle_ept_misconfig,
	[VMX_EXIT_INVEPT] = kvm_handle_ud,
	[VMX_EXIT_INVVPID] = kvm_handle_ud,
	[VMX_EXIT_WBINVD] = kvm_handle_nop,
	[VMX_EXIT_XSETBV] = kvm_handle_xsetbv,
	[VMX_EXIT_APIC_WRITE] = handle_apic_write,
};

int kvm_vmx_handle_exit(struct kvm_vcpu *vcpu)
{
	const struct hw_vmx_exit *x = vmx(vcpu);
	u32 reason = x->reason & 0xffff;

	observe(vcpu->kvm->obs, OBSERVE_KVM_EXIT, vcpu->index, vcpu->index, reason, hw_cpu_arch(vcpu->cpu)->rip,
		x->qualification, x->guest_physical);
	if (x->reason & ENTRY_FAILURE)
		return kvm_fail_entry(vcpu, x->reason);
	if (x->idt_info & INTR_INFO_VALID) {
		vcpu->vectoring = true;
		kvm_requeue_event(vcpu, x->idt_info, x->idt_error, x->insn_len);
	}
	if (reason >= sizeof(handlers) / sizeof(handlers[0]) || !handlers[reason])
		return kvm_unexpected_exit(vcpu, x->reason);
	return handlers[reason](vcpu);
}
