// SPDX-License-Identifier: Apache-2.0
/* Exit handlers that both platforms share. */
#include <errno.h>
#include <string.h>

#include "kvm/irqchip.h"
#include "kvm/x86/x86.h"

enum { VECTOR_UD = 6 };

static int skip(struct kvm_vcpu *vcpu)
{
	hw_cpu_skip_insn(vcpu->cpu);
	return KVM_RESUME_GUEST;
}

int kvm_handle_nop(struct kvm_vcpu *vcpu) { return skip(vcpu); }

int kvm_handle_window(struct kvm_vcpu *vcpu)
{
	kvm_count(&vcpu->stats.irq_window_exits);
	kvm_make_request(vcpu, KVM_REQ_EVENT);
	return KVM_RESUME_GUEST;
}

int kvm_handle_ud(struct kvm_vcpu *vcpu)
{
	kvm_inject_ud(vcpu);
	return KVM_RESUME_GUEST;
}

int kvm_handle_gp(struct kvm_vcpu *vcpu)
{
	kvm_inject_gp(vcpu);
	return KVM_RESUME_GUEST;
}

/*
 * Nothing happens, even for a guest that was not told of MONITOR and MWAIT: api.rst KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS. Nor
 * where they are the guest's own (KVM_X86_DISABLE_EXITS_MWAIT): MWAIT may end for any reason (SDM 2B MWAIT), and ends at once.
 */
int kvm_handle_mwait(struct kvm_vcpu *vcpu)
{
	bool quirk = !(vcpu->kvm->caps.disabled_quirks & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS);
	bool own = vcpu->kvm->caps.disabled_exits & KVM_X86_DISABLE_EXITS_MWAIT;

	return own || quirk || kvm_guest_has_mwait(vcpu) ? skip(vcpu) : kvm_handle_ud(vcpu);
}

int kvm_handle_halt(struct kvm_vcpu *vcpu)
{
	kvm_count(&vcpu->stats.halt_exits);
	skip(vcpu);
	if (!kvm_lapic_in_kernel(vcpu->kvm)) {
		vcpu->run->exit_reason = KVM_EXIT_HLT;
		return KVM_EXIT_TO_USER;
	}
	__atomic_store_n(&vcpu->mp_state, KVM_MP_STATE_HALTED, __ATOMIC_RELEASE);
	return KVM_RESUME_GUEST;
}

int kvm_handle_cpuid(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u32 function = a->gpr[HW_RAX], index = a->gpr[HW_RCX];
	struct hw_cpuid out;

	kvm_guest_cpuid(vcpu, function, index, &out);
	a->gpr[HW_RAX] = out.eax;
	a->gpr[HW_RBX] = out.ebx;
	a->gpr[HW_RCX] = out.ecx;
	a->gpr[HW_RDX] = out.edx;
	observe(vcpu->kvm->obs, OBSERVE_KVM_CPUID, vcpu->index, function, index, out.eax, out.ebx, out.ecx, out.edx);
	return skip(vcpu);
}

/* ---------------------------------------------------------------- MSRs */

static int complete_rdmsr(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);

	if (vcpu->run->msr.error)
		return kvm_handle_gp(vcpu);
	a->gpr[HW_RAX] = (u32)vcpu->run->msr.data;
	a->gpr[HW_RDX] = vcpu->run->msr.data >> 32;
	return skip(vcpu);
}

static int complete_wrmsr(struct kvm_vcpu *vcpu) { return vcpu->run->msr.error ? kvm_handle_gp(vcpu) : skip(vcpu); }

/* To user space if it asked for this reason (api.rst KVM_CAP_X86_USER_SPACE_MSR), else refused. */
static int msr_failed(struct kvm_vcpu *vcpu, u32 reason, bool write, u32 index, u64 data, kvm_completion completion)
{
	struct kvm_run *run = vcpu->run;

	if (!(vcpu->kvm->caps.user_space_msr & reason))
		return -EACCES;
	run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	memset(&run->msr, 0, sizeof(run->msr));
	run->msr.reason = reason;
	run->msr.index = index;
	run->msr.data = data;
	vcpu->completion = completion;
	return KVM_EXIT_TO_USER;
}

static u32 msr_reason(int error)
{
	return error == KVM_MSR_UNKNOWN ? KVM_MSR_EXIT_REASON_UNKNOWN : KVM_MSR_EXIT_REASON_INVAL;
}

int kvm_emulate_msr(struct kvm_vcpu *vcpu, bool write, u32 index, u64 *data, kvm_completion completion)
{
	u64 sent = write ? *data : 0;
	int error;

	if (!kvm_msr_allowed(vcpu, index, write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ))
		return msr_failed(vcpu, KVM_MSR_EXIT_REASON_FILTER, write, index, sent, completion);
	error = write ? kvm_write_msr(vcpu, index, *data, false) : kvm_read_msr(vcpu, index, data, false);
	observe(vcpu->kvm->obs, OBSERVE_KVM_MSR, vcpu->index, write, index, *data, error);
	if (error)
		return msr_failed(vcpu, msr_reason(error), write, index, sent, completion);
	return KVM_RESUME_GUEST;
}

int kvm_handle_rdmsr(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u64 data = 0;
	int result = kvm_emulate_msr(vcpu, false, a->gpr[HW_RCX], &data, complete_rdmsr);

	if (result < 0)
		return kvm_handle_gp(vcpu);
	if (result == KVM_EXIT_TO_USER)
		return result;
	a->gpr[HW_RAX] = (u32)data;
	a->gpr[HW_RDX] = data >> 32;
	return skip(vcpu);
}

int kvm_handle_wrmsr(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u64 data = (u32)a->gpr[HW_RAX] | a->gpr[HW_RDX] << 32;
	int result = kvm_emulate_msr(vcpu, true, a->gpr[HW_RCX], &data, complete_wrmsr);

	if (result < 0)
		return kvm_handle_gp(vcpu);
	return result == KVM_EXIT_TO_USER ? result : skip(vcpu);
}

/* SDM 2B XSETBV: CPL 0, XCR0 only, x87 always, AVX needs SSE. */
int kvm_handle_xsetbv(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u64 value = (u32)a->gpr[HW_RAX] | a->gpr[HW_RDX] << 32;

	if (kvm_cpl(vcpu) || (u32)a->gpr[HW_RCX] || !(value & 1) || value & ~kvm_guest_xcr0(vcpu) || (value & 6) == 4)
		return kvm_handle_gp(vcpu);
	skip(vcpu);
	a->xcr0 = value;
	hw_cpu_arch_changed(vcpu->cpu);
	return KVM_RESUME_GUEST;
}

/* ---------------------------------------------------------------- faults */

int kvm_handle_stage2(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code)
{
	int result = kvm_handle_page_fault(vcpu, addr, error_code);

	if (result < 0)
		return result;
	/* The guest's page tables lie in no memory: there is no instruction to emulate. */
	if (result == RET_PF_EMULATE && error_code & HW_PFERR_GUEST_PAGE)
		return kvm_emulation_failure(vcpu);
	return result == RET_PF_EMULATE ? kvm_handle_mmio(vcpu) : KVM_RESUME_GUEST;
}

int kvm_handle_triple_fault(struct kvm_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return KVM_EXIT_TO_USER;
}

int kvm_handle_exception(struct kvm_vcpu *vcpu, u8 vector, bool has_error, u32 error, u64 payload)
{
	if (kvm_debug_intercept(vcpu, vector, payload))
		return KVM_EXIT_TO_USER;
	if (vector == VECTOR_UD)
		return kvm_handle_undefined(vcpu);
	if (has_error)
		kvm_queue_exception_error(vcpu, vector, error);
	else
		kvm_queue_exception(vcpu, vector);
	if (vector == 1 || vector == 14) {
		vcpu->exception.has_payload = true;
		vcpu->exception.payload = payload;
	}
	return KVM_RESUME_GUEST;
}

int kvm_unexpected_exit(struct kvm_vcpu *vcpu, u64 reason)
{
	vcpu->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	vcpu->run->internal.suberror = KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
	vcpu->run->internal.ndata = 2;
	vcpu->run->internal.data[0] = reason;
	vcpu->run->internal.data[1] = vcpu->index;
	return KVM_EXIT_TO_USER;
}

int kvm_fail_entry(struct kvm_vcpu *vcpu, u64 reason)
{
	vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = reason;
	vcpu->run->fail_entry.cpu = vcpu->index;
	return KVM_EXIT_TO_USER;
}
