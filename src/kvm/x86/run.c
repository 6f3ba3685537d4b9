// SPDX-License-Identifier: Apache-2.0
/* KVM_RUN. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm/ioctl.h"
#include "kvm/irqchip.h"
#include "kvm/timer.h"
#include "kvm/vcpu.h"
#include "kvm/x86/clock.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/smm.h"
#include "kvm/x86/x86.h"

/* The vCPU that this thread is running: what softcvm_interrupt() finds. */
static __thread struct kvm_vcpu *volatile running;
/* A handler may run on the way into KVM_RUN, before there is a vCPU to be found. */
static __thread volatile bool interrupt_wanted;

void softcvm_interrupt(void)
{
	struct kvm_vcpu *vcpu = running;

	interrupt_wanted = true;
	if (!vcpu)
		return;
	atomic_store(&vcpu->interrupted, true);
	hw_cpu_kick(vcpu->cpu);
	/* A handler runs in the sleeping thread itself, so changing the word is enough. */
	atomic_fetch_add(&vcpu->wake, 1);
}

void kvm_vcpu_interruptible(struct kvm_vcpu *vcpu, bool begin)
{
	if (begin)
		atomic_store(&vcpu->interrupted, false);
	running = begin ? vcpu : NULL;
	/* A signal that came meanwhile has had its effect. */
	if (!begin)
		interrupt_wanted = false;
}

bool kvm_vcpu_interrupted(struct kvm_vcpu *vcpu) { return atomic_load(&vcpu->interrupted); }

/* ---------------------------------------------------------------- sleep */

/* Sleeping until there is something to do; AP_RESET_HOLD is a HLT by another name. */
static bool is_halted(const struct kvm_vcpu *vcpu)
{
	return vcpu->mp_state == KVM_MP_STATE_HALTED || vcpu->mp_state == KVM_MP_STATE_AP_RESET_HOLD;
}

bool kvm_vcpu_runnable(struct kvm_vcpu *vcpu)
{
	if (kvm_irq_has_events(vcpu))
		return true;
	if (!is_halted(vcpu) && vcpu->mp_state != KVM_MP_STATE_RUNNABLE)
		return false;
	if (vcpu->mp_state == KVM_MP_STATE_RUNNABLE || vcpu->pv_unhalted || vcpu->exception.pending || kvm_smm_wakes(vcpu))
		return true;
	if (atomic_load_explicit(&vcpu->requests, memory_order_relaxed) & ((u64)1 << KVM_REQ_TRIPLE_FAULT | (u64)1 << KVM_REQ_UNHALT))
		return true;
	return kvm_cpu_has_nmi(vcpu) || (kvm_interrupt_allowed(vcpu) && kvm_cpu_has_interrupt(vcpu));
}

/* Virtual time does not wait: it jumps to the next timer. false: there is none. */
static bool skip_to_next_timer(struct kvm *kvm)
{
	u64 next = kvm_timer_next(kvm);

	if (next == KVM_TIMER_NEVER)
		return false;
	if (next > hw_machine_tsc(kvm->machine))
		hw_machine_advance_tsc(kvm->machine, next);
	kvm_timers_run(kvm, hw_machine_tsc(kvm->machine));
	return true;
}

static int interrupted_by_signal(struct kvm_vcpu *vcpu)
{
	kvm_count(&vcpu->stats.signal_exits);
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	return -EINTR;
}

static void end_halt(struct kvm_vcpu *vcpu)
{
	kvm_check_request(vcpu, KVM_REQ_UNHALT);
	vcpu->pv_unhalted = false;
	if (is_halted(vcpu))
		__atomic_store_n(&vcpu->mp_state, KVM_MP_STATE_RUNNABLE, __ATOMIC_RELEASE);
}

static int block(struct kvm_vcpu *vcpu)
{
	u64 start = hw_machine_tsc(vcpu->kvm->machine);

	kvm_steal_leave(vcpu);
	for (;;) {
		/* Read before looking for work: a wake-up in between changes it. */
		u32 seen = atomic_load(&vcpu->wake);

		if (atomic_load(&vcpu->interrupted))
			return interrupted_by_signal(vcpu);
		if (atomic_load(&vcpu->kvm->dead))
			return -EIO;
		if (kvm_vcpu_runnable(vcpu))
			break;
		if (!kvm_icount(vcpu->kvm) || !skip_to_next_timer(vcpu->kvm))
			kvm_vcpu_sleep(vcpu, seen);
	}
	observe(vcpu->kvm->obs, OBSERVE_KVM_VCPU_WAKEUP, vcpu->index, hw_machine_tsc(vcpu->kvm->machine) - start);
	kvm_count(&vcpu->stats.halt_wakeup);
	end_halt(vcpu);
	return KVM_RESUME_GUEST;
}

/* ---------------------------------------------------------------- one entry */

/* Requests and what else must be settled before the entry. 1: enter; otherwise the answer of the run loop. */
static int prepare_entry(struct kvm_vcpu *vcpu)
{
	hw_cpu_clear_kick(vcpu->cpu);
	if (atomic_load(&vcpu->kvm->dead))
		return -EIO;
	if (kvm_icount(vcpu->kvm))
		kvm_timers_run(vcpu->kvm, hw_machine_tsc(vcpu->kvm->machine));
	if (kvm_dirty_ring_exit(vcpu))
		return KVM_EXIT_TO_USER;
	if (kvm_check_request(vcpu, KVM_REQ_TRIPLE_FAULT))
		return kvm_handle_triple_fault(vcpu);
	if (kvm_check_request(vcpu, KVM_REQ_MSR_FILTER))
		kvm_msr_filter_apply(vcpu);
	kvm_check_request(vcpu, KVM_REQ_EVENT);
	if (kvm_smm_prepare_entry(vcpu))
		return -EIO;
	if (kvm_irq_user_exit(vcpu))
		return KVM_EXIT_TO_USER;
	kvm_clock_prepare_entry(vcpu);
	kvm_steal_enter(vcpu);
	return KVM_RESUME_GUEST;
}

static void inject_events(struct kvm_vcpu *vcpu)
{
	/* An access of this instruction was already made outside: it must finish before anything else happens. */
	if (!hw_cpu_mid_insn(vcpu->cpu))
		kvm_inject_prepare(vcpu);
	kvm_irq_prepare_entry(vcpu);
}

static int handle_exit(struct kvm_vcpu *vcpu)
{
	const struct hw_exit *exit = hw_cpu_exit(vcpu->cpu);

	vcpu->vectoring = false;
	kvm_count(&vcpu->stats.exits);
	if (exit->host_fault)
		return -EFAULT;
	return kvm_is_intel(vcpu->kvm) ? kvm_vmx_handle_exit(vcpu) : kvm_svm_handle_exit(vcpu);
}

void kvm_begin_entry(struct kvm_vcpu *vcpu)
{
	if (kvm_icount(vcpu->kvm))
		hw_cpu_set_deadline(vcpu->cpu, kvm_timer_next(vcpu->kvm));
	/* A signal from here on kicks the processor. */
	if (atomic_load(&vcpu->interrupted))
		hw_cpu_kick(vcpu->cpu);
	observe(vcpu->kvm->obs, OBSERVE_KVM_ENTRY, vcpu->index, vcpu->index, hw_cpu_arch(vcpu->cpu)->rip);
}

int kvm_x86_enter(struct kvm_vcpu *vcpu)
{
	inject_events(vcpu);
	kvm_begin_entry(vcpu);
	hw_cpu_run(vcpu->cpu);
	kvm_inject_finish(vcpu);
	return handle_exit(vcpu);
}

/*
 * The processor to the end of the instruction whose access was answered, if nothing else comes in between. An NMI window ends
 * the run behind it: the processor looks at windows only between instructions. NMI blocking would hold the window shut, so it
 * is lifted meanwhile; nothing is injected.
 */
static void run_to_insn_end(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);
	u32 blocked = a->interruptibility & HW_BLOCK_NMI;

	a->interruptibility &= ~HW_BLOCK_NMI;
	ctl->nmi_window = true;
	do {
		hw_cpu_clear_kick(vcpu->cpu);
		hw_cpu_run(vcpu->cpu);
	} while (hw_cpu_exit(vcpu->cpu)->kicked && hw_cpu_mid_insn(vcpu->cpu));
	ctl->nmi_window = false;
	a->interruptibility |= blocked;
}

/* Before KVM_RUN returns, so that user space may save the state (api.rst KVM_EXIT_MMIO). */
static int finish_insn(struct kvm_vcpu *vcpu)
{
	int result = KVM_RESUME_GUEST;

	while (result == KVM_RESUME_GUEST && hw_cpu_mid_insn(vcpu->cpu)) {
		run_to_insn_end(vcpu);
		result = handle_exit(vcpu);
	}
	return result;
}

static int enter_guest(struct kvm_vcpu *vcpu)
{
	/* An SMI is taken between instructions. */
	int result = kvm_smm_wakes(vcpu) ? finish_insn(vcpu) : KVM_RESUME_GUEST;

	result = result == KVM_RESUME_GUEST ? prepare_entry(vcpu) : result;
	return result == KVM_RESUME_GUEST ? vcpu->kvm->vendor->enter(vcpu) : result;
}

static int handle_waiting_exit(struct kvm_vcpu *vcpu)
{
	/* User space sent the guest elsewhere. */
	if (hw_cpu_arch(vcpu->cpu)->rip != vcpu->waiting_rip)
		return KVM_RESUME_GUEST;
	return handle_exit(vcpu);
}

static bool is_ept_exit(const struct hw_vmx_exit *x)
{
	return x->reason == VMX_EXIT_EPT_VIOLATION || x->reason == VMX_EXIT_EPT_MISCONFIG;
}

/* The exit behind an instruction: the window, or what will come again when the guest goes on. */
static bool exit_comes_again(const struct kvm_vcpu *vcpu)
{
	const struct hw_exit *exit = hw_cpu_exit(vcpu->cpu);

	if (exit->kicked || exit->host_fault)
		return true;
	if (kvm_is_intel(vcpu->kvm))
		return exit->vmx.reason == VMX_EXIT_NMI_WINDOW || (is_ept_exit(&exit->vmx) && !exit->vmx.idt_info);
	return exit->svm.code == SVM_EXIT_IRET || (exit->svm.code == SVM_EXIT_NPF && !exit->svm.int_info);
}

void kvm_finish_write(struct kvm_vcpu *vcpu)
{
	run_to_insn_end(vcpu);
	if (!hw_cpu_mid_insn(vcpu->cpu) && exit_comes_again(vcpu)) {
		hw_cpu_drop_access(vcpu->cpu);
		return;
	}
	vcpu->waiting_rip = hw_cpu_arch(vcpu->cpu)->rip;
	vcpu->completion = handle_waiting_exit;
}

/* ---------------------------------------------------------------- the loop */

static int accept_apic_events(struct kvm_vcpu *vcpu)
{
	if (kvm_irq_has_events(vcpu))
		kvm_lapic_accept_events(vcpu);
	return vcpu->mp_state == KVM_MP_STATE_RUNNABLE;
}

static int run_loop(struct kvm_vcpu *vcpu)
{
	int result = KVM_RESUME_GUEST;

	/* Only here: what KVM_RUN with immediate_exit finishes leaves the reason of the exit that it finished. */
	vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
	while (result == KVM_RESUME_GUEST) {
		result = accept_apic_events(vcpu) ? enter_guest(vcpu) : block(vcpu);
		if (result != KVM_RESUME_GUEST)
			break;
		if (kvm_irq_user_wants_window(vcpu) && kvm_irq_ready_for_user_injection(vcpu)) {
			kvm_count(&vcpu->stats.request_irq_exits);
			vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
			return KVM_EXIT_TO_USER;
		}
		if (atomic_load(&vcpu->interrupted)) {
			result = finish_insn(vcpu);
			return result == KVM_RESUME_GUEST ? interrupted_by_signal(vcpu) : result;
		}
	}
	return result;
}

/* What user space's answer to the last exit was for. */
static int complete_exit(struct kvm_vcpu *vcpu)
{
	kvm_completion completion = vcpu->completion;

	vcpu->completion = NULL;
	return completion ? completion(vcpu) : KVM_RESUME_GUEST;
}

static int wait_for_init(struct kvm_vcpu *vcpu)
{
	int result;

	if (vcpu->run->immediate_exit)
		return -EINTR;
	result = block(vcpu);
	if (result < 0)
		return result;
	kvm_lapic_accept_events(vcpu);
	return -EAGAIN;
}

static int sync_regs_in(struct kvm_vcpu *vcpu)
{
	u64 valid = vcpu->kvm->vendor->has_protected_state ? 0 : KVM_SYNC_X86_VALID_FIELDS;
	struct kvm_run *run = vcpu->run;
	int error = 0;

	if (run->kvm_valid_regs & ~valid || run->kvm_dirty_regs & ~valid)
		return -EINVAL;
	if (run->kvm_dirty_regs & KVM_SYNC_X86_REGS)
		kvm_set_regs(vcpu, &run->s.regs.regs);
	if (run->kvm_dirty_regs & KVM_SYNC_X86_SREGS) {
		struct kvm_sregs sregs = run->s.regs.sregs;

		error = kvm_set_sregs(vcpu, &sregs);
	}
	if (!error && run->kvm_dirty_regs & KVM_SYNC_X86_EVENTS) {
		struct kvm_vcpu_events events = run->s.regs.events;

		error = kvm_set_events(vcpu, &events);
	}
	if (error)
		return -EINVAL;
	run->kvm_dirty_regs = 0;
	return 0;
}

static void publish_state(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (vcpu->smm.on)
		run->flags |= KVM_RUN_X86_SMM;
	run->if_flag = hw_cpu_arch(vcpu->cpu)->rflags >> 9 & 1;
	run->cr8 = kvm_lapic_get_cr8(vcpu);
	run->apic_base = kvm_lapic_get_base(vcpu);
	run->ready_for_interrupt_injection = kvm_irq_ready_for_user_injection(vcpu);
	if (run->kvm_valid_regs & KVM_SYNC_X86_REGS)
		kvm_get_regs(vcpu, &run->s.regs.regs);
	if (run->kvm_valid_regs & KVM_SYNC_X86_SREGS)
		kvm_get_sregs(vcpu, &run->s.regs.sregs);
	if (run->kvm_valid_regs & KVM_SYNC_X86_EVENTS)
		kvm_get_events(vcpu, &run->s.regs.events);
}

static int run_vcpu(struct kvm_vcpu *vcpu)
{
	int result = sync_regs_in(vcpu);

	if (result)
		return result;
	if (!kvm_lapic_in_kernel(vcpu->kvm)) {
		if (vcpu->run->cr8 > 15)
			return -EINVAL;
		kvm_lapic_set_cr8(vcpu, vcpu->run->cr8);
	}
	kvm_debug_enter(vcpu);
	result = complete_exit(vcpu);
	if (result == KVM_RESUME_GUEST && vcpu->kvm->vendor->pre_run) {
		int error = vcpu->kvm->vendor->pre_run(vcpu);

		result = error ? error : KVM_RESUME_GUEST;
	}
	if (result == KVM_RESUME_GUEST && vcpu->run->immediate_exit) {
		result = finish_insn(vcpu);
		result = result == KVM_RESUME_GUEST ? -EINTR : result;
	} else if (result == KVM_RESUME_GUEST) {
		result = run_loop(vcpu);
	}
	kvm_debug_leave(vcpu);
	return result;
}

int kvm_arch_run(struct kvm_vcpu *vcpu)
{
	u64 saved = 0;
	int result;

	atomic_store(&vcpu->interrupted, false);
	running = vcpu;
	if (interrupt_wanted)
		atomic_store(&vcpu->interrupted, true);
	vcpu->run->flags = 0;
	vcpu->has_run = true;
	/* The client may have written code since it was last decoded. */
	hw_cpu_check_code(vcpu->cpu);
	if (vcpu->has_signal_mask)
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &vcpu->signal_mask, &saved, sizeof(saved));
	result = vcpu->mp_state == KVM_MP_STATE_UNINITIALIZED ? wait_for_init(vcpu) : run_vcpu(vcpu);
	if (vcpu->has_signal_mask)
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved, NULL, sizeof(saved));
	running = NULL;
	interrupt_wanted = false;
	kvm_steal_leave(vcpu);
	publish_state(vcpu);
	observe(vcpu->kvm->obs, OBSERVE_KVM_USERSPACE_EXIT, vcpu->index, vcpu->run->exit_reason, result);
	return result;
}

long kvm_ioctl_run(struct kvm_call *c) { return c->value ? -EINVAL : kvm_arch_run(c->vcpu); }
