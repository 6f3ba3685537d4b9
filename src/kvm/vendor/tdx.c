// SPDX-License-Identifier: Apache-2.0
/*
 * KVM_X86_TDX_VM: a trust domain of the TDX module. The module owns the guest's registers, private memory, CPUID and TSC; KVM has
 * what the guest asks it for, shared memory, and the devices.
 */
#include "kvm/vendor/tdx.h"

#include <errno.h>
#include <stdlib.h>

#include "kvm/irqchip.h"
#include "kvm/vm.h"
#include "kvm/x86/clock.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/msr_table.h"
#include "kvm/x86/x86.h"

/* ---------------------------------------------------------------- SEAMCALLs */

u64 kvm_tdx_seamcall(const struct kvm *kvm, u64 leaf, u64 rcx, u64 rdx, u64 r8, u64 r9, struct tdx_regs *out)
{
	struct tdx_regs regs = { .rax = leaf, .rcx = rcx, .rdx = rdx, .r8 = r8, .r9 = r9 };
	u64 status = tdx_seamcall(kvm->tdx->module, NULL, &regs);

	if (out)
		*out = regs;
	return status;
}

int kvm_tdx_error(struct kvm *kvm, u64 leaf, u64 status)
{
	if (!(status & TDX_STATUS_ERROR))
		return 0;
	if (kvm_tdx_busy(status))
		return -EAGAIN;
	observe(kvm->obs, OBSERVE_KVM_SEAMCALL_FAILED, -1, leaf, status);
	kvm_vm_bugged(kvm);
	return -EIO;
}

u64 kvm_tdx_sys_field(const struct kvm *kvm, u64 field)
{
	struct tdx_regs out;

	return kvm_tdx_seamcall(kvm, TDH_SYS_RD, 0, field, 0, 0, &out) & TDX_STATUS_ERROR ? 0 : out.r8;
}

/* ---------------------------------------------------------------- life */

static int vm_create(struct kvm *kvm)
{
	u64 most;
	int error;

	kvm->tdx = calloc(1, sizeof(*kvm->tdx));
	if (!kvm->tdx)
		return -ENOMEM;
	error = tdx_module_create(kvm->machine, &kvm->tdx->module);
	if (error)
		return error;
	most = kvm_tdx_sys_field(kvm, TDX_FIELD_MAX_VCPUS_PER_TD);
	if (most && most < kvm->max_vcpus)
		kvm->max_vcpus = most;
	return 0;
}

/* The module gives back what it has; tables and guest_memfds are freed by their owners. */
static void vm_pre_destroy(struct kvm *kvm)
{
	if (!kvm->tdx)
		return;
	if (kvm->tdx->module)
		tdx_module_destroy(kvm->tdx->module);
	kvm_tdx_free_pages(kvm);
	free(kvm->tdx);
	kvm->tdx = NULL;
}

/* In this order: a TD must exist, its APICs are the processor's and the kernel's. */
static int vcpu_precreate(struct kvm *kvm)
{
	if (kvm_td_state(kvm) != TD_INITIALIZED)
		return -EIO;
	return kvm_irqchip_mode(kvm) == KVM_IRQCHIP_SPLIT ? 0 : -EINVAL;
}

static int vcpu_create(struct kvm_vcpu *vcpu)
{
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);

	vcpu->tdx = calloc(1, sizeof(*vcpu->tdx));
	if (!vcpu->tdx)
		return -ENOMEM;
	/* What KVM's timers reckon with is the TD's TSC. */
	ctl->tsc_offset = vcpu->kvm->tdx->tsc_offset;
	ctl->tsc_mult = vcpu->kvm->tdx->tsc_mult;
	return 0;
}

static void vcpu_free(struct kvm_vcpu *vcpu)
{
	kvm_tdx_free_vcpu(vcpu);
	free(vcpu->tdx);
	vcpu->tdx = NULL;
}

static int pre_run(struct kvm_vcpu *vcpu)
{
	return vcpu->tdx->initialized && kvm_td_state(vcpu->kvm) == TD_RUNNABLE ? 0 : -EINVAL;
}

/* ---------------------------------------------------------------- faults */

/* The exit handler has put the shared bit's word, which the claim is, into the error code. */
static u64 claim(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code)
{
	return error_code & HW_PFERR_GUEST_ENC ? PFERR_PRIVATE_ACCESS : 0;
}

static unsigned int max_level(struct kvm *kvm, gfn_t f, bool is_private) { return is_private ? HW_LEVEL_4K : 0; }

/* ---------------------------------------------------------------- MSRs */

#define MTRR_LAST_FIXED 0x26fu
#define MCE_BANKS	32u
#define FEATURE_CONTROL_LOCKED 1u

/* What KVM emulates for a TD (tdx_has_emulated_msr()): all else is the module's, or nobody's. */
static const struct {
	u32 first, last;
	bool read_only;
} msrs[] = {
	{ MSR_IA32_APICBASE, MSR_IA32_APICBASE, true },
	{ MSR_IA32_FEATURE_CONTROL, MSR_IA32_FEATURE_CONTROL, true },
	{ MSR_IA32_UCODE_REV, MSR_IA32_UCODE_REV, false },
	{ MSR_PLATFORM_INFO, MSR_PLATFORM_INFO, false },
	{ MSR_MTRRCAP, MSR_MTRRCAP, false },
	{ MSR_IA32_ARCH_CAPABILITIES, MSR_IA32_ARCH_CAPABILITIES, false },
	{ MSR_MISC_FEATURES_ENABLES, MSR_MISC_FEATURES_ENABLES, false },
	{ MSR_IA32_MCG_CAP, MSR_IA32_MCG_CTL, false },
	{ MSR_IA32_MISC_ENABLE, MSR_IA32_MISC_ENABLE, false },
	{ MSR_IA32_POWER_CTL, MSR_IA32_POWER_CTL, false },
	{ MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSBASE0 + 15, false },
	{ MSR_MTRR_FIX64K, MTRR_LAST_FIXED, false },
	{ MSR_IA32_PAT, MSR_IA32_PAT, false },
	{ MSR_IA32_MC0_CTL2, MSR_IA32_MC0_CTL2 + MCE_BANKS - 1, false },
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, false },
	{ MSR_IA32_MC0_CTL, MSR_IA32_MC0_CTL + 4 * MCE_BANKS - 1, false },
	{ MSR_IA32_TSC_DEADLINE, MSR_IA32_TSC_DEADLINE, false },
	{ MSR_EFER, MSR_EFER, true },
	{ MSR_KVM_POLL_CONTROL, MSR_KVM_POLL_CONTROL, false },
};

/* Of the x2APIC: those registers that the processor does not serve by itself (SDM 3A table 11-6). */
static bool is_apic_msr(u32 msr)
{
	switch (msr - MSR_X2APIC_BASE) {
	case 0x02: case 0x03: /* id, version */
	case 0x0d: case 0x0f: /* LDR, SVR */
	case 0x28: case 0x2f: case 0x30: /* ESR, CMCI, ICR */
	case 0x32: case 0x33: case 0x34: case 0x35: case 0x36: case 0x37: /* LVT */
	case 0x38: case 0x39: case 0x3e: /* timer */
		return true;
	}
	return false;
}

static int access_msr(struct kvm_vcpu *vcpu, u32 msr, bool write, u64 *data)
{
	if (is_apic_msr(msr))
		return KVM_MSR_COMMON;
	for (unsigned int i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		if (msr < msrs[i].first || msr > msrs[i].last)
			continue;
		if (write && msrs[i].read_only)
			return KVM_MSR_INVALID;
		if (msr != MSR_IA32_FEATURE_CONTROL)
			return KVM_MSR_COMMON;
		*data = FEATURE_CONTROL_LOCKED;
		return 0;
	}
	return KVM_MSR_INVALID;
}

/* ---------------------------------------------------------------- the table */

/* State that is the module's. (Linux would give it for a TD with the DEBUG attribute, which it does not offer.) */
static const u32 refused_requests[] = {
	KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_GET_SREGS2, KVM_SET_SREGS2, KVM_GET_FPU, KVM_SET_FPU,
	KVM_GET_XSAVE, KVM_GET_XSAVE2, KVM_SET_XSAVE, KVM_GET_XCRS, KVM_SET_XCRS, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS,
	KVM_SET_GUEST_DEBUG, KVM_GET_LAPIC, KVM_SET_LAPIC, 0,
};

const struct kvm_vendor kvm_vendor_tdx = {
	.name = "tdx",
	.type = KVM_X86_TDX_VM,
	.platforms = KVM_ON_INTEL,
	.has_private_mem = true,
	.has_protected_state = true,
	.address_spaces = 1,
	.hardware_claim = true,
	.claim = claim,
	.max_level = max_level,
	.private_ops = &kvm_tdx_private_ops,
	.mmio_is_ve = true,
	.only_split_irqchip = true,
	.ignores_init = true,
	.tsc_protected = true,
	.refused_requests = refused_requests,
	.vm_create = vm_create,
	.vm_pre_destroy = vm_pre_destroy,
	.vcpu_precreate = vcpu_precreate,
	.vcpu_create = vcpu_create,
	.vcpu_free = vcpu_free,
	.vm_command = kvm_tdx_vm_command,
	.vcpu_command = kvm_tdx_vcpu_command,
	.pre_run = pre_run,
	.enter = kvm_tdx_enter,
	.interrupt_allowed = kvm_tdx_interrupt_allowed,
	.has_interrupt = kvm_tdx_has_interrupt,
	.msr = access_msr,
};
