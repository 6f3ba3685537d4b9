// SPDX-License-Identifier: Apache-2.0
/* Exits of the amd platform: exit code to handler (APM2 App. C). */
#include "kvm/irqchip.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/x86.h"

#define SVM_INVALID (~0ull)
#define EVENT_VALID (1u << 31)

static const struct hw_svm_exit *svm(const struct kvm_vcpu *vcpu) { return &hw_cpu_exit(vcpu->cpu)->svm; }

static int handle_physical_interrupt(struct kvm_vcpu *vcpu) { return KVM_RESUME_GUEST; }

static int handle_npf(struct kvm_vcpu *vcpu)
{
	const struct hw_svm_exit *x = svm(vcpu);

	return kvm_handle_stage2(vcpu, gpa(x->info2), x->info1);
}

/* APM2 15.9: EXITINFO1 is 1 for WRMSR. */
static int handle_msr(struct kvm_vcpu *vcpu)
{
	return svm(vcpu)->info1 ? kvm_handle_wrmsr(vcpu) : kvm_handle_rdmsr(vcpu);
}

/* APM2 15.29.9.2: bit 32 of EXITINFO1 says write, 11:4 the register; an EOI names its vector in EXITINFO2. */
static int handle_avic(struct kvm_vcpu *vcpu)
{
	const struct hw_svm_exit *x = svm(vcpu);
	u32 offset = x->info1 & 0xff0;

	if (!(x->info1 >> 32 & 1))
		return kvm_unexpected_exit(vcpu, x->code);
	if (offset == 0xb0)
		kvm_lapic_eoi_exit(vcpu, x->info2 & 0xff);
	else
		kvm_lapic_write_trap(vcpu, offset);
	return KVM_RESUME_GUEST;
}

/* #DB left its bits in DR6 before it was intercepted (APM2 15.12.2); #PF has its address in EXITINFO2. */
#define DR6_CONDITIONS	0xe00full /* BT, BS, BD, B3..B0 */
#define DR6_BREAKPOINTS 0xfull

/*
 * #DB is intercepted only for user space's breakpoints: what it left in DR6 stands for a VMX exit qualification. The guest's own
 * DR6 is not to show it, nor are later exits.
 */
static u64 take_debug_conditions(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u64 conditions = a->dr6 & DR6_CONDITIONS, changed = conditions | DR6_BREAKPOINTS;

	a->dr6 = (a->dr6 & ~changed) | (vcpu->debug_save.dr6 & changed);
	return conditions;
}

static int handle_exception(struct kvm_vcpu *vcpu)
{
	const struct hw_svm_exit *x = svm(vcpu);
	u8 vector = x->code - SVM_EXIT_EXCP_BASE;
	bool has_error = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;

	u64 payload = 0;

	if (vector == 14)
		payload = x->info2;
	else if (vector == 1)
		payload = take_debug_conditions(vcpu);
	return kvm_handle_exception(vcpu, vector, has_error, x->info1, payload);
}

static const struct {
	u64 code;
	int (*handle)(struct kvm_vcpu *vcpu);
} handlers[] = {
	{ SVM_EXIT_NPF, handle_npf },
	{ SVM_EXIT_IOIO, kvm_handle_io },
	{ SVM_EXIT_MSR, handle_msr },
	{ SVM_EXIT_INTR, handle_physical_interrupt },
	{ SVM_EXIT_HLT, kvm_handle_halt },
	{ SVM_EXIT_CPUID, kvm_handle_cpuid },
	{ SVM_EXIT_VINTR, kvm_handle_window },
	{ SVM_EXIT_IRET, kvm_handle_window },
	{ SVM_EXIT_AVIC_NOACCEL, handle_avic },
	{ SVM_EXIT_AVIC_INCOMPLETE_IPI, handle_avic },
	{ SVM_EXIT_VMMCALL, kvm_handle_hypercall },
	{ SVM_EXIT_XSETBV, kvm_handle_xsetbv },
	{ SVM_EXIT_SHUTDOWN, kvm_handle_triple_fault },
	{ SVM_EXIT_INVD, kvm_handle_nop },
	{ SVM_EXIT_WBINVD, kvm_handle_nop },
	{ SVM_EXIT_INVLPG, kvm_handle_nop },
	{ SVM_EXIT_PAUSE, kvm_handle_nop },
	{ SVM_EXIT_RDPMC, kvm_handle_gp },
	{ SVM_EXIT_MONITOR, kvm_handle_mwait },
	{ SVM_EXIT_MWAIT, kvm_handle_mwait },
};

int kvm_svm_handle_exit(struct kvm_vcpu *vcpu)
{
	const struct hw_svm_exit *x = svm(vcpu);

	observe(vcpu->kvm->obs, OBSERVE_KVM_EXIT, vcpu->index, vcpu->index, x->code | 1ull << 63, hw_cpu_arch(vcpu->cpu)->rip,
		x->info1, x->info2);
	if (x->code == SVM_INVALID)
		return kvm_fail_entry(vcpu, x->code);
	if (x->int_info & EVENT_VALID) {
		vcpu->vectoring = true;
		kvm_requeue_event(vcpu, x->int_info, x->int_info >> 32, 0);
	}
	if (x->code >= SVM_EXIT_EXCP_BASE && x->code < SVM_EXIT_EXCP_BASE + 32)
		return handle_exception(vcpu);
	for (unsigned int i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (handlers[i].code == x->code)
			return handlers[i].handle(vcpu);
	return kvm_unexpected_exit(vcpu, x->code);
}
