// SPDX-License-Identifier: Apache-2.0
/* tdcall: dispatch of guest leaves, and those that need no memory (TDX ABI, guest-side interface functions). */
#include <string.h>

#include "hw/tdx/tdcall.h"

/* ---------------------------------------------------------------- leaves */

/* RCX: GPRs 15:0, XMM registers 31:16. RAX, RCX and RSP cannot be passed. */
#define VMCALL_NEVER (1ull << HW_RAX | 1ull << HW_RCX | 1ull << HW_RSP)

static enum tdcall_result tdg_vp_vmcall(struct tdcall *t)
{
	struct vp_run *r = t->run;
	struct tdx_regs *regs = r->regs;
	bool keep_rbp = r->td->config_flags & TDX_CONFIG_NO_RBP_MOD;
	u64 mask = t->gpr[HW_RCX], rbp = regs->rbp;

	if (mask >> 32 || mask & VMCALL_NEVER || (keep_rbp && mask & 1u << HW_RBP))
		return tdcall_done(t, TDX_OPERAND_INVALID | TDX_OP_RCX);
	memset(regs->gpr, 0, sizeof(regs->gpr));
	for (unsigned int n = 0; n < 16; n++) {
		if (mask >> n & 1)
			regs->gpr[n] = t->gpr[n];
		if (mask >> (16 + n) & 1)
			memcpy(regs->xmm[n], &r->lp->arch.xsave.b[FX_XMM + 16 * n], 16);
	}
	if (keep_rbp)
		regs->rbp = rbp;
	regs->rcx = mask;
	r->vp->vmcall_mask = mask;
	r->vp->last_exit = VP_LAST_VMCALL;
	r->status = TDX_EXIT_TDCALL;
	/* The guest is behind the instruction before the host sees the call. */
	vp_skip(r);
	return tdcall_other(t, VP_EXIT);
}

static enum tdcall_result tdg_vp_info(struct tdcall *t)
{
	const struct tdx_td *td = t->run->td;

	t->gpr[HW_RCX] = td_gpaw(td);
	t->gpr[HW_RDX] = td->attributes;
	t->gpr[HW_R8] = __atomic_load_n(&td->num_vcpus, __ATOMIC_RELAXED) | (u64)td->max_vcpus << 32;
	t->gpr[HW_R9] = t->run->vp->index;
	t->gpr[HW_R10] = 1; /* TDG.SYS.RD and version 1 of TDG.VM.RD */
	t->gpr[HW_R11] = 0;
	return tdcall_done(t, TDX_SUCCESS);
}

static enum tdcall_result tdg_vp_veinfo_get(struct tdcall *t)
{
	struct vp_ve_info *ve = &t->run->vp->ve;
	const struct vp_ve_info info = ve->hw.busy ? *ve : (struct vp_ve_info){0};

	t->gpr[HW_RCX] = info.hw.exit_reason;
	t->gpr[HW_RDX] = info.hw.qualification;
	t->gpr[HW_R8] = info.hw.guest_linear;
	t->gpr[HW_R9] = info.hw.guest_physical;
	t->gpr[HW_R10] = info.insn_len | (u64)info.insn_info << 32;
	*ve = (struct vp_ve_info){0};
	return tdcall_done(t, info.hw.busy ? TDX_SUCCESS : TDX_NO_VALID_VE_INFO);
}

static enum tdcall_result tdg_vp_cpuidve_set(struct tdcall *t)
{
	if (t->gpr[HW_RCX] & ~3ull)
		return tdcall_done(t, TDX_OPERAND_INVALID | TDX_OP_RCX);
	t->run->vp->cpuid_ve[0] = t->gpr[HW_RCX] & 1;
	t->run->vp->cpuid_ve[1] = t->gpr[HW_RCX] & 2;
	return tdcall_done(t, TDX_SUCCESS);
}

/* Version 1 also gives the next field: as for TDH.SYS.RD, each is the last. */
static enum tdcall_result tdg_vm_rd(struct tdcall *t)
{
	bool v1 = t->gpr[HW_RAX] >> TDX_VERSION_SHIFT & 1;
	u64 value = 0, status;

	if (t->gpr[HW_RCX]) {
		status = TDX_OPERAND_INVALID | TDX_OP_RCX;
	} else {
		status = td_field_read(t->run->td, t->gpr[HW_RDX], true, &value);
		if (v1)
			t->gpr[HW_RDX] = ~0ull;
	}
	t->gpr[HW_R8] = value;
	return tdcall_done(t, status);
}

static enum tdcall_result tdg_vm_wr(struct tdcall *t)
{
	u64 old = 0, status = TDX_OPERAND_INVALID | TDX_OP_RCX;

	if (!t->gpr[HW_RCX])
		status = td_field_write(t->run->td, t->gpr[HW_RDX], true, t->gpr[HW_R8], t->gpr[HW_R9], &old);
	t->gpr[HW_R8] = old;
	return tdcall_done(t, status);
}

static enum tdcall_result tdg_sys_rd(struct tdcall *t)
{
	u64 value = 0, status = tdx_sys_field_read(t->run->td->mod, t->gpr[HW_RDX], &value);

	t->gpr[HW_RDX] = ~0ull;
	t->gpr[HW_R8] = value;
	return tdcall_done(t, status);
}

/* ---------------------------------------------------------------- dispatch */

static const struct {
	tdcall_fn fn;
	u8 max_version;
} leaves[] = {
	[0] = {tdg_vp_vmcall, 0},	[1] = {tdg_vp_info, 0},	  [2] = {tdg_mr_rtmr_extend, 0},
	[3] = {tdg_vp_veinfo_get, 0},	[4] = {tdg_mr_report, 0}, [5] = {tdg_vp_cpuidve_set, 0},
	[6] = {tdg_mem_page_accept, 0}, [7] = {tdg_vm_rd, 1},	  [8] = {tdg_vm_wr, 0},
	[11] = {tdg_sys_rd, 0},
};

static tdcall_fn find_leaf(u64 rax)
{
	u64 leaf = rax & TDX_LEAF_MASK;

	if (rax & TDX_RAX_RESERVED || leaf >= sizeof(leaves) / sizeof(leaves[0]) || !leaves[leaf].fn)
		return NULL;
	return (rax >> TDX_VERSION_SHIFT & 0xff) > leaves[leaf].max_version ? NULL : leaves[leaf].fn;
}

enum vp_next vp_exit_tdcall(struct vp_run *r, const struct hw_vmx_exit *x)
{
	struct tdcall t = {.run = r, .gpr = r->lp->arch.gpr};
	u64 rax = t.gpr[HW_RAX], rcx = t.gpr[HW_RCX], rdx = t.gpr[HW_RDX], r8 = t.gpr[HW_R8], rip = r->lp->arch.rip;
	tdcall_fn fn = find_leaf(rax);
	enum tdcall_result result;

	if (!cpu_cs64(r->lp))
		return vp_inject_gp(r);
	result = fn ? fn(&t) : tdcall_done(&t, TDX_OPERAND_INVALID | TDX_OP_RAX);
	/* A leaf that became #VE or an exit comes again; TDG.VP.VMCALL is done when it exits. */
	if (result == TDCALL_DONE || r->vp->last_exit == VP_LAST_VMCALL)
		observe(r->td->mod->obs, OBSERVE_TDX_TDCALL, r->lp->index, rip, rax & TDX_LEAF_MASK, rcx, rdx, r8,
			t.status & TDX_STATUS_MASK, (u32)t.status);
	if (result == TDCALL_OTHER)
		return t.next;
	t.gpr[HW_RAX] = t.status;
	return vp_skip(r);
}
