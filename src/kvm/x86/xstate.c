// SPDX-License-Identifier: Apache-2.0
/* x87, SSE and AVX state: KVM_GET_FPU, KVM_GET_XSAVE(2), KVM_GET_XCRS and their counterparts. */
#include <errno.h>
#include <string.h>

#include "kvm/ioctl.h"
#include "kvm/x86/x86.h"

enum { XSTATE_X87 = 1, XSTATE_SSE = 2, XSTATE_AVX = 4 };
enum { HEADER = 512, HEADER_SIZE = 64, AVX_OFFSET = 576, AVX_SIZE = 256 };
enum { FX_FCW = 0, FX_FTW = 4, FX_IP = 8, FX_MXCSR = 24, FX_MXCSR_MASK = 28, FX_ST = 32, FX_XMM = 160, FX_END = 416 };
#define MXCSR_VALID 0xffffu

static u8 *area(struct kvm_vcpu *vcpu) { return hw_cpu_arch(vcpu->cpu)->xsave.b; }

static u32 load32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static u64 load64(const u8 *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* SDM 1 13.6: what XRSTOR does for a component whose XSTATE_BV bit is clear. */
static void init_components(u8 *dst, u64 which)
{
	static const u16 fcw = 0x37f;

	if (which & XSTATE_X87) {
		memset(dst, 0, FX_MXCSR);
		memcpy(dst + FX_FCW, &fcw, sizeof(fcw));
		memset(dst + FX_ST, 0, FX_XMM - FX_ST);
	}
	if (which & XSTATE_SSE)
		memset(dst + FX_XMM, 0, FX_END - FX_XMM);
	if (which & XSTATE_AVX)
		memset(dst + AVX_OFFSET, 0, AVX_SIZE);
}

static bool is_zero(const u8 *p, size_t size)
{
	while (size--)
		if (*p++)
			return false;
	return true;
}

long kvm_ioctl_get_xsave(struct kvm_call *c)
{
	const u8 *src = area(c->vcpu);
	u64 supported = kvm_supported_xcr0(c->kvm->machine);
	u64 in_use = XSTATE_X87 | XSTATE_SSE;
	const u32 mask = MXCSR_VALID;
	u8 *dst = c->arg;

	if (supported & XSTATE_AVX && !is_zero(src + AVX_OFFSET, AVX_SIZE))
		in_use |= XSTATE_AVX;
	memset(dst, 0, sizeof(struct kvm_xsave));
	memcpy(dst, src, FX_END);
	memcpy(dst + FX_MXCSR_MASK, &mask, sizeof(mask));
	memcpy(dst + HEADER, &in_use, sizeof(in_use));
	if (in_use & XSTATE_AVX)
		memcpy(dst + AVX_OFFSET, src + AVX_OFFSET, AVX_SIZE);
	return 0;
}

long kvm_ioctl_set_xsave(struct kvm_call *c)
{
	const u8 *src = c->arg;
	u64 supported = kvm_supported_xcr0(c->kvm->machine);
	u64 present = load64(src + HEADER);
	u8 *dst = area(c->vcpu);

	/* The compacted form is not accepted: xcomp_bv and the reserved words of the header are zero. */
	if (present & ~supported || !is_zero(src + HEADER + 8, HEADER_SIZE - 8))
		return -EINVAL;
	if (load32(src + FX_MXCSR) & ~MXCSR_VALID)
		return -EINVAL;
	memcpy(dst + FX_MXCSR, src + FX_MXCSR, 4);
	if (present & XSTATE_X87) {
		memcpy(dst, src, FX_MXCSR);
		memcpy(dst + FX_ST, src + FX_ST, FX_XMM - FX_ST);
	}
	if (present & XSTATE_SSE)
		memcpy(dst + FX_XMM, src + FX_XMM, FX_END - FX_XMM);
	if (present & XSTATE_AVX)
		memcpy(dst + AVX_OFFSET, src + AVX_OFFSET, AVX_SIZE);
	init_components(dst, supported & ~present);
	hw_cpu_arch_changed(c->vcpu->cpu);
	return 0;
}

long kvm_ioctl_get_fpu(struct kvm_call *c)
{
	const u8 *src = area(c->vcpu);
	struct kvm_fpu *fpu = c->arg;

	memcpy(fpu->fpr, src + FX_ST, sizeof(fpu->fpr));
	memcpy(&fpu->fcw, src + FX_FCW, 2);
	memcpy(&fpu->fsw, src + 2, 2);
	fpu->ftwx = src[FX_FTW];
	memcpy(&fpu->last_opcode, src + 6, 2);
	memcpy(&fpu->last_ip, src + FX_IP, 8);
	memcpy(&fpu->last_dp, src + FX_IP + 8, 8);
	memcpy(fpu->xmm, src + FX_XMM, sizeof(fpu->xmm));
	return 0;
}

/* MXCSR is neither read nor written here, as in Linux. */
long kvm_ioctl_set_fpu(struct kvm_call *c)
{
	const struct kvm_fpu *fpu = c->arg;
	u8 *dst = area(c->vcpu);

	memcpy(dst + FX_ST, fpu->fpr, sizeof(fpu->fpr));
	memcpy(dst + FX_FCW, &fpu->fcw, 2);
	memcpy(dst + 2, &fpu->fsw, 2);
	dst[FX_FTW] = fpu->ftwx;
	memcpy(dst + 6, &fpu->last_opcode, 2);
	memcpy(dst + FX_IP, &fpu->last_ip, 8);
	memcpy(dst + FX_IP + 8, &fpu->last_dp, 8);
	memcpy(dst + FX_XMM, fpu->xmm, sizeof(fpu->xmm));
	hw_cpu_arch_changed(c->vcpu->cpu);
	return 0;
}

long kvm_ioctl_get_xcrs(struct kvm_call *c)
{
	struct kvm_xcrs *xcrs = c->arg;

	xcrs->nr_xcrs = 1;
	xcrs->xcrs[0].value = hw_cpu_arch(c->vcpu->cpu)->xcr0;
	return 0;
}

long kvm_ioctl_set_xcrs(struct kvm_call *c)
{
	const struct kvm_xcrs *xcrs = c->arg;

	if (xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (u32 i = 0; i < xcrs->nr_xcrs; i++) {
		u64 value = xcrs->xcrs[i].value;

		if (xcrs->xcrs[i].xcr)
			continue;
		if (!(value & XSTATE_X87) || (value & (XSTATE_SSE | XSTATE_AVX)) == XSTATE_AVX ||
		    value & ~(kvm_guest_xcr0(c->vcpu) | XSTATE_X87))
			return -EINVAL;
		hw_cpu_arch(c->vcpu->cpu)->xcr0 = value;
		hw_cpu_arch_changed(c->vcpu->cpu);
		break;
	}
	return 0;
}
