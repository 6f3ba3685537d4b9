// SPDX-License-Identifier: Apache-2.0
/* ve: exits that the guest sees as #VE, and EPT violations (TDX ABI, virtualization exceptions). */
#include "hw/tdx/sept.h"
#include "hw/tdx/vp.h"

/* Qualification bits that are the guest's own business. */
#define EPT_QUAL_FOR_HOST (~0x1f80ull)

enum vp_next vp_exit_instruction_ve(struct vp_run *r, const struct hw_vmx_exit *x)
{
	const struct vp_ve_info ve = {
		.hw = {.exit_reason = x->reason, .qualification = x->qualification},
		.insn_len = x->insn_len,
	};

	return vp_inject_ve(r, &ve);
}

enum vp_next vp_violation_to_host(struct vp_run *r, u32 reason, u64 qualification, u64 gpa, u64 ext)
{
	const struct vp_exit_info info = {
		.reason = reason,
		.qualification = qualification & EPT_QUAL_FOR_HOST,
		.ext_qualification = ext,
		.gpa = gpa & HW_PAGE_MASK,
	};

	return vp_async_exit(r, TDX_SUCCESS, &info);
}

enum vp_next vp_private_violation(struct vp_run *r, u64 address, const struct vp_ve_info *ve)
{
	struct sept_walk w;

	sept_walk(r->td, address, 0, &w);
	/* Another vCPU, or the host, was faster. */
	if (w.state == SEPT_MAPPED)
		return VP_RESUME;
	if (w.state == SEPT_PENDING && td_pending_ve(r->td))
		return vp_inject_ve(r, ve);
	return vp_violation_to_host(r, VMX_EXIT_EPT_VIOLATION, ve->hw.qualification, address,
				    w.state == SEPT_PENDING ? TDX_EXT_QUAL_PENDING_EPT_VIOLATION : TDX_EXT_QUAL_NONE);
}

enum vp_next vp_shared_violation(struct vp_run *r, u32 reason, u64 qualification, u64 address)
{
	return vp_violation_to_host(r, reason, reason == VMX_EXIT_EPT_VIOLATION ? qualification : 0, address,
				    TDX_EXT_QUAL_NONE);
}

enum vp_next vp_exit_ept_violation(struct vp_run *r, const struct hw_vmx_exit *x)
{
	const struct vp_ve_info ve = {
		.hw =
			{
				.exit_reason = VMX_EXIT_EPT_VIOLATION,
				.qualification = x->qualification,
				.guest_linear = x->guest_linear,
				.guest_physical = x->guest_physical,
			},
	};

	if (x->guest_physical & r->td->shared_bit)
		return vp_shared_violation(r, x->reason, x->qualification, x->guest_physical);
	return vp_private_violation(r, x->guest_physical, &ve);
}
