// SPDX-License-Identifier: Apache-2.0
/* cr: control registers whose bits the module owns (TDX ABI, CR handling), and XSETBV. */
#include "hw/tdx/vp.h"

#define CR4_VMXE (1u << 13)
#define CR4_SMXE (1u << 14)

static u64 source(const struct vp_run *r, const struct hw_vmx_exit *x)
{
	return gpr_get(r->lp, x->qualification >> 8 & 15, cpu_cs64(r->lp) ? 8 : 4);
}

static enum vp_next refuse(struct vp_run *r, const struct hw_vmx_exit *x, bool gp)
{
	return gp ? vp_inject_gp(r) : vp_exit_instruction_ve(r, x);
}

/* What VMX operation itself would not allow is #GP; what only the module forbids is #VE. */
static enum vp_next write_cr0(struct vp_run *r, const struct hw_vmx_exit *x)
{
	u64 value = source(r, x);
	bool gp = value >> 32 || !(value & CR0_NE) || (value & (CR0_PG | CR0_PE)) == CR0_PG ||
		  (value & (CR0_NW | CR0_CD)) == CR0_NW;

	return refuse(r, x, gp);
}

static enum vp_next write_cr4(struct vp_run *r, const struct hw_vmx_exit *x)
{
	return refuse(r, x, source(r, x) & ~(cpu_cr4_supported() | CR4_MCE | CR4_VMXE | CR4_SMXE));
}

enum vp_next vp_exit_cr(struct vp_run *r, const struct hw_vmx_exit *x)
{
	return (x->qualification & 15) == 0 ? write_cr0(r, x) : write_cr4(r, x);
}

/* SDM 1 13.3: x87 always, AVX only with SSE; and nothing beyond XFAM. */
enum vp_next vp_exit_xsetbv(struct vp_run *r, const struct hw_vmx_exit *x)
{
	struct hw_arch *a = &r->lp->arch;
	u64 value = a->gpr[HW_RDX] << 32 | (u32)a->gpr[HW_RAX];

	if ((u32)a->gpr[HW_RCX] || !(value & 1) || (value & 6) == 4 || value & ~r->lp->ctl.xcr0_supported)
		return vp_inject_gp(r);
	a->xcr0 = value;
	return vp_skip(r);
}
