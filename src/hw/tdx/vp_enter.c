// SPDX-License-Identifier: Apache-2.0
/*
 * vp_enter: TDH.VP.ENTER (TDX ABI; SDM 3C for what the module sets up). The module runs a vCPU as any hypervisor would,
 * and answers most exits itself; the rest go to the host with what it may know.
 */
#include <string.h>

#include "hw/tdx/vp.h"

/* ---------------------------------------------------------------- TLB tracking */

bool td_tracked(struct tdx_td *td, u64 bepoch)
{
	bool tracked;

	pthread_mutex_lock(&td->epoch_lock);
	tracked = bepoch + 1 < td->epoch || (bepoch + 1 == td->epoch && !td->epoch_users[bepoch & 1]);
	pthread_mutex_unlock(&td->epoch_lock);
	return tracked;
}

/* Translations of an older epoch are forgotten before the first instruction of this one. */
static u64 enter_epoch(struct tdx_td *td, struct tdx_vp *vp)
{
	u64 epoch;

	pthread_mutex_lock(&td->epoch_lock);
	epoch = td->epoch;
	td->epoch_users[epoch & 1]++;
	pthread_mutex_unlock(&td->epoch_lock);
	if (vp->last_epoch != epoch)
		cpu_tlb_flush(vp->lp);
	vp->last_epoch = epoch;
	return epoch;
}

static void leave_epoch(struct tdx_td *td, u64 epoch)
{
	pthread_mutex_lock(&td->epoch_lock);
	td->epoch_users[epoch & 1]--;
	pthread_mutex_unlock(&td->epoch_lock);
}

/* ---------------------------------------------------------------- what goes to the guest */

enum vp_next vp_inject(struct vp_run *r, u8 vector, bool has_error, u32 error)
{
	/* Faults of the instruction at RIP: whatever its delivery interrupted is replaced. */
	r->vp->reinject.valid = false;
	r->lp->arch.rflags |= FLAG_RF;
	r->lp->ctl.inject = (struct hw_event){
		.valid = true,
		.type = HW_EVENT_EXCEPTION,
		.vector = vector,
		.has_error = has_error,
		.error = error,
	};
	return VP_RESUME;
}

enum vp_next vp_inject_ve(struct vp_run *r, const struct vp_ve_info *info)
{
	struct tdx_vp *vp = r->vp;

	if (vp->ve.hw.busy)
		return vp_inject(r, X86_DF, true, 0);
	vp->ve = *info;
	vp->ve.hw.busy = ~0u;
	observe(r->td->mod->obs, OBSERVE_HW_VE, r->lp->index, r->lp->arch.rip, info->hw.exit_reason,
		info->hw.qualification, info->hw.guest_physical, info->hw.guest_linear);
	return vp_inject(r, X86_VE, false, 0);
}

enum vp_next vp_skip(struct vp_run *r)
{
	hw_cpu_skip_insn(r->lp);
	return VP_RESUME;
}

static void inject_pending(struct vp_run *r)
{
	struct tdx_vp *vp = r->vp;
	struct hw_ctl *ctl = &r->lp->ctl;

	ctl->nmi_window = false;
	if (vp->reinject.valid) {
		ctl->inject = vp->reinject;
		vp->reinject.valid = false;
	}
	/* An NMI handler must be able to take a #VE: not before TDG.VP.VEINFO.GET. */
	if (!vp->pend_nmi || vp->ve.hw.busy)
		return;
	if (ctl->inject.valid || !hw_cpu_can_nmi(r->lp)) {
		ctl->nmi_window = true;
		return;
	}
	ctl->inject = (struct hw_event){.valid = true, .type = HW_EVENT_NMI, .vector = X86_NMI};
	vp->pend_nmi = false;
}

/* IDT-vectoring information, SDM 3C 24.9.3. */
static void remember_vectoring(struct tdx_vp *vp, const struct hw_vmx_exit *x)
{
	vp->reinject = (struct hw_event){
		.valid = x->idt_info >> 31,
		.type = x->idt_info >> 8 & 7,
		.vector = x->idt_info & 0xff,
		.insn_len = x->insn_len,
		.has_error = x->idt_info >> 11 & 1,
		.error = x->idt_error,
	};
}

/* ---------------------------------------------------------------- what goes to the host */

enum vp_next vp_async_exit(struct vp_run *r, u64 status, const struct vp_exit_info *info)
{
	struct tdx_regs *regs = r->regs;
	u64 rbp = regs->rbp;

	memset(regs->gpr, 0, sizeof(regs->gpr));
	if (r->td->config_flags & TDX_CONFIG_NO_RBP_MOD)
		regs->rbp = rbp;
	regs->rcx = (u32)info->qualification;
	regs->rdx = info->ext_qualification;
	regs->r8 = info->gpa;
	regs->r9 = info->intr_info;
	r->status = status | info->reason;
	r->vp->last_exit = VP_LAST_ASYNC;
	return VP_EXIT;
}

static enum vp_next exit_plain(struct vp_run *r, const struct hw_vmx_exit *x)
{
	const struct vp_exit_info info = {.reason = x->reason, .intr_info = x->intr_info};

	return vp_async_exit(r, TDX_SUCCESS, &info);
}

static enum vp_next exit_triple_fault(struct vp_run *r, const struct hw_vmx_exit *x)
{
	const struct vp_exit_info info = {.reason = x->reason};

	r->vp->state = VP_DISABLED;
	return vp_async_exit(r, TDX_NON_RECOVERABLE_VCPU, &info);
}

static enum vp_next exit_task_switch(struct vp_run *r, const struct hw_vmx_exit *x)
{
	const struct vp_exit_info info = {.reason = x->reason, .qualification = x->qualification};

	return vp_async_exit(r, TDX_SUCCESS, &info);
}

static enum vp_next exit_gp(struct vp_run *r, const struct hw_vmx_exit *x)
{
	return vp_inject_gp(r);
}

/* inject_pending() looks at the NMI again. */
static enum vp_next exit_nmi_window(struct vp_run *r, const struct hw_vmx_exit *x)
{
	return VP_RESUME;
}

static const vp_exit_fn exits[] = {
	[VMX_EXIT_EXCEPTION] = exit_plain,
	[VMX_EXIT_EXTINT] = exit_plain,
	[VMX_EXIT_TRIPLE_FAULT] = exit_triple_fault,
	[VMX_EXIT_NMI_WINDOW] = exit_nmi_window,
	[VMX_EXIT_TASK_SWITCH] = exit_task_switch,
	[VMX_EXIT_CPUID] = vp_exit_cpuid,
	[VMX_EXIT_HLT] = vp_exit_instruction_ve,
	[VMX_EXIT_INVD] = vp_exit_instruction_ve,
	[VMX_EXIT_RDPMC] = exit_gp, /* no PERFMON */
	[VMX_EXIT_VMCALL] = vp_exit_instruction_ve,
	[VMX_EXIT_CR_ACCESS] = vp_exit_cr,
	[VMX_EXIT_IO] = vp_exit_instruction_ve,
	[VMX_EXIT_RDMSR] = vp_exit_rdmsr,
	[VMX_EXIT_WRMSR] = vp_exit_wrmsr,
	[VMX_EXIT_MWAIT] = vp_exit_instruction_ve,
	[VMX_EXIT_MONITOR] = vp_exit_instruction_ve,
	[VMX_EXIT_EPT_VIOLATION] = vp_exit_ept_violation,
	[VMX_EXIT_EPT_MISCONFIG] = vp_exit_ept_violation,
	[VMX_EXIT_WBINVD] = vp_exit_instruction_ve,
	[VMX_EXIT_XSETBV] = vp_exit_xsetbv,
	[VMX_EXIT_PCONFIG] = vp_exit_instruction_ve,
	[VMX_EXIT_TDCALL] = vp_exit_tdcall,
};

/* ---------------------------------------------------------------- running */

static enum vp_next handle_exit(struct vp_run *r)
{
	const struct hw_vmx_exit x = r->lp->exit.vmx;

	/* The host's memory is gone: no exit of the architecture's. The host sees `host_fault` beside this one. */
	if (r->lp->exit.host_fault)
		return exit_plain(r, &(struct hw_vmx_exit){.reason = VMX_EXIT_EXTINT});
	remember_vectoring(r->vp, &x);
	/* Accesses are not completed from outside: the instruction runs again or the guest is told. */
	hw_cpu_drop_access(r->lp);
	if (x.reason >= sizeof(exits) / sizeof(exits[0]) || !exits[x.reason])
		return exit_plain(r, &x);
	return exits[x.reason](r, &x);
}

/* Selected registers of the host's answer (TDX ABI TDG.VP.VMCALL). */
static void take_answer(struct vp_run *r)
{
	struct hw_arch *a = &r->lp->arch;
	u64 mask = r->vp->vmcall_mask;

	for (unsigned int n = 0; n < 16; n++) {
		if (mask >> n & 1 && n != HW_RCX)
			a->gpr[n] = r->regs->gpr[n];
		if (mask >> (16 + n) & 1)
			memcpy(&a->xsave.b[FX_XMM + 16 * n], r->regs->xmm[n], 16);
	}
	a->gpr[HW_RAX] = 0;
}

/* The host may know that it asked for the exit, and that memory of its own vanished. */
static void forget_exit(struct hw_cpu *lp)
{
	const struct hw_exit was = lp->exit;

	memset(&lp->exit, 0, sizeof(lp->exit));
	lp->exit.kicked = was.kicked;
	lp->exit.host_fault = was.host_fault;
}

static u64 enter(struct vp_run *r)
{
	u64 epoch = enter_epoch(r->td, r->vp);
	enum vp_next next;

	if (r->vp->last_exit == VP_LAST_VMCALL)
		take_answer(r);
	r->vp->last_exit = VP_LAST_ASYNC;
	r->vp->state = VP_ACTIVE;
	do {
		inject_pending(r);
		hw_cpu_run(r->lp);
		next = handle_exit(r);
	} while (next == VP_RESUME);
	forget_exit(r->lp);
	if (r->vp->state == VP_ACTIVE)
		r->vp->state = VP_READY;
	leave_epoch(r->td, epoch);
	return r->status;
}

u64 tdh_vp_enter(struct seam_call *s)
{
	struct vp_run r = {.td = s->td, .vp = s->vp, .lp = s->lp, .regs = s->regs};

	/* The hint is for a host that was told of a trap-like exit, which this module never makes. */
	if (s->regs->rcx & TDX_ENTER_RECOVERY_HINT || !s->lp)
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	if (s->vp->state != VP_READY)
		return TDX_VCPU_STATE_INCORRECT;
	if (!vp_take_processor(s->vp, s->lp))
		return TDX_VCPU_ASSOCIATED;
	return enter(&r);
}
