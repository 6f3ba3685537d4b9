// SPDX-License-Identifier: Apache-2.0
/*
 * TDG.VP.VMCALL: what a TD asks of KVM (guest-hypervisor communication interface). R10 0: R11 is a sub-function, its operands
 * from R12 on, its result in R10 and R11. Any other R10 is a hypercall of KVM's own.
 *
 * The guest chose every value here; it is refused in R10, and never does worse.
 */
#include <errno.h>
#include <string.h>

#include "kvm/irqchip.h"
#include "kvm/vendor/tdx.h"
#include "kvm/x86/x86.h"

#define MAP_GPA_CHUNK (2ull << 20) /* as Linux: between two, an interrupt may end the call with RETRY */

#define MAP_GPA_RANGE_ENCRYPTED (1ull << 4)
#define MAP_GPA_RANGE_DECRYPTED 0ull

static int answer(struct kvm_vcpu *vcpu, u64 code)
{
	vcpu->tdx->regs.r10 = code;
	return KVM_RESUME_GUEST;
}

static int invalid(struct kvm_vcpu *vcpu) { return answer(vcpu, TDVMCALL_STATUS_INVALID_OPERAND); }

/* ---------------------------------------------------------------- instructions that the guest cannot execute itself */

static int call_cpuid(struct kvm_vcpu *vcpu)
{
	struct tdx_regs *r = &vcpu->tdx->regs;
	u32 function = r->r12, index = r->r13;
	struct hw_cpuid out;

	kvm_guest_cpuid(vcpu, function, index, &out);
	observe(vcpu->kvm->obs, OBSERVE_KVM_CPUID, vcpu->index, function, index, out.eax, out.ebx, out.ecx, out.edx);
	r->r12 = out.eax;
	r->r13 = out.ebx;
	r->r14 = out.ecx;
	r->r15 = out.edx;
	return answer(vcpu, TDVMCALL_STATUS_SUCCESS);
}

/* R12: the guest has interrupts blocked, so that none of them ends the halt. */
static int call_hlt(struct kvm_vcpu *vcpu)
{
	vcpu->tdx->halted = true;
	vcpu->tdx->halted_masked = vcpu->tdx->regs.r12;
	answer(vcpu, TDVMCALL_STATUS_SUCCESS);
	__atomic_store_n(&vcpu->mp_state, KVM_MP_STATE_HALTED, __ATOMIC_RELEASE);
	return KVM_RESUME_GUEST;
}

static void finish_access(struct kvm_vcpu *vcpu, u64 data)
{
	if (!vcpu->access.write)
		vcpu->tdx->regs.r11 = data;
	answer(vcpu, TDVMCALL_STATUS_SUCCESS);
}

static int call_io(struct kvm_vcpu *vcpu)
{
	const struct tdx_regs *r = &vcpu->tdx->regs;
	struct hw_access a = { .valid = true, .pio = true, .count = 1, .size = (u8)r->r12, .write = r->r13, .addr = r->r14 & 0xffff };

	if (r->r13 > 1 || (r->r12 != 1 && r->r12 != 2 && r->r12 != 4))
		return invalid(vcpu);
	if (a.write)
		memcpy(&a.data, &r->r15, a.size);
	return kvm_emulate_pio(vcpu, &a, finish_access);
}

static int call_mmio(struct kvm_vcpu *vcpu)
{
	const struct tdx_regs *r = &vcpu->tdx->regs;
	struct hw_access a = { .valid = true, .count = 1, .size = (u8)r->r12, .write = r->r13 };
	u64 last = r->r14 + r->r12 - 1;

	if (r->r13 > 1 || (r->r12 != 1 && r->r12 != 2 && r->r12 != 4 && r->r12 != 8))
		return invalid(vcpu);
	if (kvm_tdx_is_private(vcpu->kvm, r->r14) || kvm_tdx_is_private(vcpu->kvm, last))
		return invalid(vcpu);
	a.addr = r->r14 & ~vcpu->kvm->gpa_alias;
	if (a.write)
		memcpy(&a.data, &r->r15, a.size);
	return kvm_emulate_mmio(vcpu, &a, finish_access);
}

static int complete_rdmsr(struct kvm_vcpu *vcpu)
{
	if (vcpu->run->msr.error)
		return invalid(vcpu);
	vcpu->tdx->regs.r11 = vcpu->run->msr.data;
	return answer(vcpu, TDVMCALL_STATUS_SUCCESS);
}

static int complete_wrmsr(struct kvm_vcpu *vcpu)
{
	return vcpu->run->msr.error ? invalid(vcpu) : answer(vcpu, TDVMCALL_STATUS_SUCCESS);
}

static int call_rdmsr(struct kvm_vcpu *vcpu)
{
	struct tdx_regs *r = &vcpu->tdx->regs;
	u64 data = 0;
	int result = kvm_emulate_msr(vcpu, false, (u32)r->r12, &data, complete_rdmsr);

	if (result < 0)
		return invalid(vcpu);
	if (result == KVM_EXIT_TO_USER)
		return result;
	r->r11 = data;
	return answer(vcpu, TDVMCALL_STATUS_SUCCESS);
}

static int call_wrmsr(struct kvm_vcpu *vcpu)
{
	const struct tdx_regs *r = &vcpu->tdx->regs;
	u64 data = r->r13;
	int result = kvm_emulate_msr(vcpu, true, (u32)r->r12, &data, complete_wrmsr);

	if (result < 0)
		return invalid(vcpu);
	return result == KVM_EXIT_TO_USER ? result : answer(vcpu, TDVMCALL_STATUS_SUCCESS);
}

/* ---------------------------------------------------------------- MapGPA: KVM_HC_MAP_GPA_RANGE, piece by piece */

static int map_gpa_failed(struct kvm_vcpu *vcpu, u64 code, u64 at)
{
	vcpu->tdx->regs.r11 = at;
	return answer(vcpu, code);
}

static int map_next_chunk(struct kvm_vcpu *vcpu);

/* Something to deliver, before which the guest would wait for the rest of a long conversion. */
static bool has_events(struct kvm_vcpu *vcpu)
{
	return kvm_cpu_has_nmi(vcpu) || (kvm_interrupt_allowed(vcpu) && kvm_cpu_has_interrupt(vcpu));
}

static int complete_map_gpa(struct kvm_vcpu *vcpu)
{
	struct kvm_tdx_vcpu *tdx = vcpu->tdx;
	u64 ret = __atomic_load_n(&vcpu->run->hypercall.ret, __ATOMIC_RELAXED);

	if (ret == EAGAIN)
		return map_gpa_failed(vcpu, TDVMCALL_STATUS_RETRY, tdx->map_next);
	if (ret == EINVAL)
		return map_gpa_failed(vcpu, TDVMCALL_STATUS_INVALID_OPERAND, tdx->map_next);
	if (ret)
		return -EINVAL;
	tdx->map_next += MAP_GPA_CHUNK;
	if (tdx->map_next >= tdx->map_end)
		return answer(vcpu, TDVMCALL_STATUS_SUCCESS);
	if (has_events(vcpu))
		return map_gpa_failed(vcpu, TDVMCALL_STATUS_RETRY, tdx->map_next);
	return map_next_chunk(vcpu);
}

static int map_next_chunk(struct kvm_vcpu *vcpu)
{
	const struct kvm_tdx_vcpu *tdx = vcpu->tdx;
	u64 left = tdx->map_end - tdx->map_next;
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_HYPERCALL;
	run->hypercall.nr = KVM_HC_MAP_GPA_RANGE;
	run->hypercall.ret = 0;
	run->hypercall.args[0] = tdx->map_next & ~vcpu->kvm->gpa_alias;
	run->hypercall.args[1] = (left < MAP_GPA_CHUNK ? left : MAP_GPA_CHUNK) >> HW_PAGE_SHIFT;
	run->hypercall.args[2] =
		kvm_tdx_is_private(vcpu->kvm, tdx->map_next) ? MAP_GPA_RANGE_ENCRYPTED : MAP_GPA_RANGE_DECRYPTED;
	run->hypercall.flags = KVM_EXIT_HYPERCALL_LONG_MODE;
	vcpu->completion = complete_map_gpa;
	return KVM_EXIT_TO_USER;
}

static bool is_legal_gpa(const struct kvm_vcpu *vcpu, u64 gpa) { return !(gpa >> kvm_guest_phys_bits(vcpu)); }

static int call_map_gpa(struct kvm_vcpu *vcpu)
{
	struct kvm_tdx_vcpu *tdx = vcpu->tdx;
	u64 start = tdx->regs.r12, size = tdx->regs.r13, last = start + size - 1;

	/* KVM itself converts nothing: without user space there is no such call. */
	if (!(vcpu->kvm->caps.exit_hypercall >> KVM_HC_MAP_GPA_RANGE & 1))
		return map_gpa_failed(vcpu, TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED, start);
	if (start + size <= start || !is_legal_gpa(vcpu, start) || !is_legal_gpa(vcpu, last) ||
	    kvm_tdx_is_private(vcpu->kvm, start) != kvm_tdx_is_private(vcpu->kvm, last))
		return map_gpa_failed(vcpu, TDVMCALL_STATUS_INVALID_OPERAND, start);
	if (start & ~HW_PAGE_MASK || size & ~HW_PAGE_MASK)
		return map_gpa_failed(vcpu, TDVMCALL_STATUS_ALIGN_ERROR, start);
	tdx->map_next = start;
	tdx->map_end = start + size;
	return map_next_chunk(vcpu);
}

/* ---------------------------------------------------------------- services: KVM_EXIT_TDX */

static int complete_service(struct kvm_vcpu *vcpu) { return answer(vcpu, vcpu->run->tdx.unknown.ret); }

static int to_user(struct kvm_vcpu *vcpu, u64 nr, u64 ret, kvm_completion completion)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_TDX;
	memset(&run->tdx, 0, sizeof(run->tdx));
	run->tdx.nr = nr;
	/* What the guest is told by a user space that does not know the exit. */
	run->tdx.unknown.ret = ret;
	vcpu->completion = completion;
	return KVM_EXIT_TO_USER;
}

static int complete_info(struct kvm_vcpu *vcpu)
{
	struct tdx_regs *r = &vcpu->tdx->regs;

	r->r11 = vcpu->run->tdx.get_tdvmcall_info.r11;
	r->r12 = vcpu->run->tdx.get_tdvmcall_info.r12;
	r->r13 = vcpu->run->tdx.get_tdvmcall_info.r13;
	r->r14 = vcpu->run->tdx.get_tdvmcall_info.r14;
	return answer(vcpu, vcpu->run->tdx.get_tdvmcall_info.ret);
}

/* Leaf 0: the base sub-functions are there, all of them. Leaf 1: which others; KVM has none of its own. */
static int call_get_info(struct kvm_vcpu *vcpu)
{
	struct tdx_regs *r = &vcpu->tdx->regs;

	if (r->r12 > 1)
		return invalid(vcpu);
	if (r->r12) {
		to_user(vcpu, TDVMCALL_GET_TD_VM_CALL_INFO, TDVMCALL_STATUS_SUCCESS, complete_info);
		vcpu->run->tdx.get_tdvmcall_info.leaf = r->r12;
		return KVM_EXIT_TO_USER;
	}
	r->r11 = r->r12 = r->r13 = r->r14 = 0;
	return answer(vcpu, TDVMCALL_STATUS_SUCCESS);
}

static int call_get_quote(struct kvm_vcpu *vcpu)
{
	const struct tdx_regs *r = &vcpu->tdx->regs;

	if (kvm_tdx_is_private(vcpu->kvm, r->r12))
		return invalid(vcpu);
	to_user(vcpu, TDVMCALL_GET_QUOTE, TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED, complete_service);
	vcpu->run->tdx.get_quote.gpa = r->r12 & ~vcpu->kvm->gpa_alias;
	vcpu->run->tdx.get_quote.size = r->r13;
	return KVM_EXIT_TO_USER;
}

static int call_event_notify(struct kvm_vcpu *vcpu)
{
	u64 vector = vcpu->tdx->regs.r12;

	if (vector < 32 || vector > 255)
		return invalid(vcpu);
	to_user(vcpu, TDVMCALL_SETUP_EVENT_NOTIFY_INTERRUPT, TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED, complete_service);
	vcpu->run->tdx.setup_event_notify.vector = vector;
	return KVM_EXIT_TO_USER;
}

/* The guest cannot go on; its registers, by their numbers, say why. */
static int call_fatal_error(struct kvm_vcpu *vcpu)
{
	const struct tdx_regs *r = &vcpu->tdx->regs;
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
	run->system_event.type = KVM_SYSTEM_EVENT_TDX_FATAL;
	run->system_event.ndata = 16;
	for (unsigned int n = 0; n < 16; n++)
		run->system_event.data[n] = n == HW_RSP || n == HW_RBP ? 0 : r->gpr[n];
	return KVM_EXIT_TO_USER;
}

/* ---------------------------------------------------------------- dispatch */

static const struct {
	u64 nr;
	int (*call)(struct kvm_vcpu *vcpu);
} calls[] = {
	{ VMX_EXIT_CPUID, call_cpuid },
	{ VMX_EXIT_HLT, call_hlt },
	{ VMX_EXIT_IO, call_io },
	{ VMX_EXIT_RDMSR, call_rdmsr },
	{ VMX_EXIT_WRMSR, call_wrmsr },
	{ VMX_EXIT_EPT_VIOLATION, call_mmio },
	{ TDVMCALL_GET_TD_VM_CALL_INFO, call_get_info },
	{ TDVMCALL_MAP_GPA, call_map_gpa },
	{ TDVMCALL_GET_QUOTE, call_get_quote },
	{ TDVMCALL_REPORT_FATAL_ERROR, call_fatal_error },
	{ TDVMCALL_SETUP_EVENT_NOTIFY_INTERRUPT, call_event_notify },
};

static int hypercall(struct kvm_vcpu *vcpu)
{
	const struct tdx_regs *r = &vcpu->tdx->regs;
	const struct kvm_hypercall h = {
		.nr = r->r10, .a0 = r->r11, .a1 = r->r12, .a2 = r->r13, .a3 = r->r14, .long_mode = true, .finish = answer,
	};

	return kvm_emulate_hypercall(vcpu, &h);
}

int kvm_tdx_handle_vmcall(struct kvm_vcpu *vcpu)
{
	const struct tdx_regs *r = &vcpu->tdx->regs;

	observe(vcpu->kvm->obs, OBSERVE_KVM_TDVMCALL, vcpu->index, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15);
	if (r->r10)
		return hypercall(vcpu);
	for (unsigned int i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].nr == r->r11)
			return calls[i].call(vcpu);
	return answer(vcpu, TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
}
