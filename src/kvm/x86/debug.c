// SPDX-License-Identifier: Apache-2.0
/*
 * Debug registers, and user space as the guest's debugger: api.rst KVM_SET_GUEST_DEBUG.
 *
 * While user space single-steps or uses hardware breakpoints, RFLAGS.TF and the debug registers of the processor are its own
 * for the length of a KVM_RUN. A debug register that holds something else afterwards was written by the guest.
 */
#include <errno.h>
#include <string.h>

#include "kvm/ioctl.h"
#include "kvm/x86/x86.h"

#define RFLAGS_TF	(1ull << 8)
#define DR6_FIXED	0xffff0ff0ull
#define DR6_VOLATILE	0x0001e00full
#define DR7_FIXED	0x400ull
#define DR7_GD		0x2000ull
enum { VECTOR_DB = 1, VECTOR_BP = 3 };

static bool debugs(const struct kvm_vcpu *vcpu, u32 how)
{
	return vcpu->guest_debug.control & KVM_GUESTDBG_ENABLE && vcpu->guest_debug.control & how;
}

bool kvm_debug_blocks_interrupts(const struct kvm_vcpu *vcpu)
{
	return debugs(vcpu, KVM_GUESTDBG_BLOCKIRQ);
}

/* ---------------------------------------------------------------- around KVM_RUN */

void kvm_debug_enter(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	struct kvm_debug_save *save = &vcpu->debug_save;

	if (!(vcpu->guest_debug.control & KVM_GUESTDBG_ENABLE))
		return;
	save->tf = a->rflags & RFLAGS_TF;
	save->dr6 = a->dr6;
	if (debugs(vcpu, KVM_GUESTDBG_SINGLESTEP))
		a->rflags |= RFLAGS_TF;
	if (debugs(vcpu, KVM_GUESTDBG_USE_HW_BP)) {
		memcpy(save->dr, a->dr, sizeof(save->dr));
		save->dr7 = a->dr7;
		memcpy(a->dr, vcpu->guest_debug.arch.debugreg, sizeof(a->dr));
		a->dr7 = vcpu->guest_debug.arch.debugreg[7] | DR7_FIXED;
	}
	hw_cpu_arch_changed(vcpu->cpu);
}

void kvm_debug_leave(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	const struct kvm_debug_save *save = &vcpu->debug_save;

	if (!(vcpu->guest_debug.control & KVM_GUESTDBG_ENABLE))
		return;
	if (debugs(vcpu, KVM_GUESTDBG_SINGLESTEP) && !save->tf)
		a->rflags &= ~RFLAGS_TF;
	if (debugs(vcpu, KVM_GUESTDBG_USE_HW_BP)) {
		for (unsigned int i = 0; i < 4; i++)
			if (a->dr[i] == vcpu->guest_debug.arch.debugreg[i])
				a->dr[i] = save->dr[i];
		/* SVM clears GD before the exit: APM2 15.12.2 */
		if (!((a->dr7 ^ (vcpu->guest_debug.arch.debugreg[7] | DR7_FIXED)) & ~DR7_GD))
			a->dr7 = save->dr7;
	}
	hw_cpu_arch_changed(vcpu->cpu);
}

bool kvm_debug_intercept(struct kvm_vcpu *vcpu, u8 vector, u64 payload)
{
	const struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	struct kvm_debug_exit_arch *out = &vcpu->run->debug.arch;

	if (vector == VECTOR_DB ? !debugs(vcpu, KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP) :
				  vector != VECTOR_BP || !debugs(vcpu, KVM_GUESTDBG_USE_SW_BP))
		return false;
	vcpu->run->exit_reason = KVM_EXIT_DEBUG;
	memset(out, 0, sizeof(*out));
	out->exception = vector;
	out->pc = a->seg[HW_CS].base + a->rip;
	if (vector == VECTOR_DB) {
		out->dr6 = payload | DR6_FIXED;
		out->dr7 = a->dr7;
	}
	return true;
}

/* ---------------------------------------------------------------- requests */

static void update_controls(struct kvm_vcpu *vcpu)
{
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);

	ctl->exception_bitmap &= ~(1u << VECTOR_DB | 1u << VECTOR_BP);
	if (debugs(vcpu, KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
		ctl->exception_bitmap |= 1u << VECTOR_DB;
	if (debugs(vcpu, KVM_GUESTDBG_USE_SW_BP))
		ctl->exception_bitmap |= 1u << VECTOR_BP;
	ctl->hold_virtual_interrupts = kvm_debug_blocks_interrupts(vcpu);
}

long kvm_ioctl_set_guest_debug(struct kvm_call *c)
{
	const struct kvm_guest_debug *debug = c->arg;
	struct kvm_vcpu *vcpu = c->vcpu;

	if (debug->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (vcpu->exception.pending)
			return -EBUSY;
		kvm_queue_exception(vcpu, debug->control & KVM_GUESTDBG_INJECT_DB ? VECTOR_DB : VECTOR_BP);
	}
	vcpu->guest_debug = *debug;
	if (!(debug->control & KVM_GUESTDBG_ENABLE))
		vcpu->guest_debug.control = 0;
	update_controls(vcpu);
	return 0;
}

long kvm_ioctl_get_debugregs(struct kvm_call *c)
{
	const struct hw_arch *a = hw_cpu_arch(c->vcpu->cpu);
	struct kvm_debugregs *regs = c->arg;

	memcpy(regs->db, a->dr, sizeof(regs->db));
	regs->dr6 = a->dr6;
	regs->dr7 = a->dr7;
	return 0;
}

long kvm_ioctl_set_debugregs(struct kvm_call *c)
{
	struct hw_arch *a = hw_cpu_arch(c->vcpu->cpu);
	const struct kvm_debugregs *regs = c->arg;

	if (regs->flags || regs->dr6 >> 32 || regs->dr7 >> 32)
		return -EINVAL;
	memcpy(a->dr, regs->db, sizeof(regs->db));
	a->dr6 = (regs->dr6 & DR6_VOLATILE) | DR6_FIXED;
	a->dr7 = regs->dr7 | DR7_FIXED;
	hw_cpu_arch_changed(c->vcpu->cpu);
	return 0;
}
