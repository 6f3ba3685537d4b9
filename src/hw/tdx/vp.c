// SPDX-License-Identifier: Apache-2.0
/* vp: host leaves of a vCPU but for running it (TDX ABI TDH.VP.*), and which processor holds its state. */
#include <stdlib.h>
#include <string.h>

#include "hw/tdx/vp.h"

/* ---------------------------------------------------------------- creation */

static struct tdx_vp *new_vp(struct tdx_td *td, u64 tdvpr)
{
	struct tdx_vp *vp = calloc(1, sizeof(*vp));

	if (!vp)
		return NULL;
	vp->vapic = aligned_alloc(HW_PAGE_SIZE, HW_PAGE_SIZE);
	if (!vp->vapic) {
		free(vp);
		return NULL;
	}
	memset(vp->vapic, 0, HW_PAGE_SIZE);
	vp->td = td;
	vp->tdvpr = tdvpr;
	return vp;
}

void tdx_vp_free(struct tdx_vp *vp)
{
	if (vp->lp)
		vp_leave_processor(vp);
	free(vp->vapic);
	free(vp);
}

u64 tdh_vp_create(struct seam_call *s)
{
	u64 page = s->regs->rcx, status;
	struct tdx_vp *vp;

	if (!tdx_page_operand(page))
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	vp = new_vp(s->td, page);
	if (!vp)
		return TDX_OPERAND_BUSY | TDX_OP_RCX;
	status = tdx_page_take(s->td, page, 0, TDX_PAGE_TDVPR, vp, TDX_OP_RCX);
	if (status)
		tdx_vp_free(vp);
	return status;
}

u64 tdh_vp_addcx(struct seam_call *s)
{
	u64 page = s->regs->rcx, status;

	if (!tdx_page_operand(page))
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	if (s->vp->state != VP_UNINIT)
		return TDX_VCPU_STATE_INCORRECT;
	if (s->vp->tdcx == TDVPS_PAGES - 1)
		return TDX_TDCX_NUM_INCORRECT;
	status = tdx_page_take(s->td, page, 0, TDX_PAGE_TDCX, NULL, TDX_OP_RCX);
	if (!status)
		s->vp->tdcx++;
	return status;
}

/* ---------------------------------------------------------------- the initial state */

#define CODE_ATTR 0xc09b
#define DATA_ATTR 0xc093
#define LDTR_ATTR 0x10082
#define TR_ATTR	  0x8b

static void initial_segments(struct hw_arch *a)
{
	for (unsigned int n = 0; n < HW_SREG_COUNT; n++)
		a->seg[n] = (struct hw_segment){.limit = 0xffffffff, .attr = DATA_ATTR};
	a->seg[HW_CS].attr = CODE_ATTR;
	a->seg[HW_LDTR] = (struct hw_segment){.limit = 0xffff, .attr = LDTR_ATTR};
	a->seg[HW_TR] = (struct hw_segment){.limit = 0xffff, .attr = TR_ATTR};
	a->gdtr.limit = 0xffff;
}

/* TDX ABI TDH.VP.INIT: 32-bit protected mode without paging at the reset vector. */
static void initial_state(struct tdx_vp *vp, u64 rcx)
{
	const struct td_cpuid_entry *version = td_cpuid_find(vp->td, 1, 0);
	struct hw_arch *a = &vp->saved;
	const u16 fcw = 0x37f;
	const u32 mxcsr = 0x1f80;

	memset(a, 0, sizeof(*a));
	a->rip = 0xfffffff0;
	a->rflags = 2;
	a->cr0 = CR0_PE | CR0_ET | CR0_NE;
	a->cr4 = CR4_MCE;
	a->efer = EFER_SCE | EFER_LME | EFER_NXE;
	a->xcr0 = 1;
	a->dr6 = DR6_FIXED;
	a->dr7 = DR7_FIXED;
	a->pat = 0x0007040600070406;
	a->sfmask = 0x20200;
	a->misc_enable_fs = 1;
	initial_segments(a);
	memcpy(&a->xsave.b[0], &fcw, sizeof(fcw));
	memcpy(&a->xsave.b[24], &mxcsr, sizeof(mxcsr));
	a->gpr[HW_RBX] = td_gpaw(vp->td);
	a->gpr[HW_RCX] = a->gpr[HW_R8] = rcx;
	a->gpr[HW_RDX] = version ? version->value.eax : 0;
	a->gpr[HW_RSI] = vp->index;
}

/* What the module sets in the VMCS of every vCPU. */
static void initial_controls(struct tdx_vp *vp)
{
	const struct tdx_td *td = vp->td;

	vp->ctl = (struct hw_ctl){
		.s2_private = &td->sept,
		.tsc_offset = td->tsc_offset,
		.tsc_mult = td->tsc_mult,
		.claim_bit = td->shared_bit,
		.maxphyaddr = 52,
		.gpa_width = td_gpaw(td),
		.cr0_guest_host_mask = TD_CR0_OWNED,
		.cr4_guest_host_mask = TD_CR4_OWNED,
		.xcr0_supported = td->xfam,
		.hlt_exiting = true,
		.insn_exiting = HW_EXITING_TDCALL | HW_EXITING_WBINVD | HW_EXITING_PCONFIG,
		.msr_bitmap = &td->msr_bitmap,
		.ve_info = &vp->ve.hw,
		.vapic = vp->vapic,
		.x2apic_virt = true,
	};
}

u64 tdh_vp_init(struct seam_call *s)
{
	struct tdx_vp *vp = s->vp;
	u32 index;

	if (vp->state != VP_UNINIT)
		return TDX_VCPU_STATE_INCORRECT;
	if (vp->tdcx < TDVPS_PAGES - 1)
		return TDX_TDCX_NUM_INCORRECT;
	index = __atomic_fetch_add(&s->td->num_vcpus, 1, __ATOMIC_ACQ_REL);
	if (index >= s->td->max_vcpus) {
		__atomic_fetch_sub(&s->td->num_vcpus, 1, __ATOMIC_ACQ_REL);
		return TDX_MAX_VCPUS_EXCEEDED;
	}
	vp->index = index;
	initial_state(vp, s->regs->rdx);
	initial_controls(vp);
	vp->state = VP_READY;
	return TDX_SUCCESS;
}

/* ---------------------------------------------------------------- the processor that holds the state */

bool vp_take_processor(struct tdx_vp *vp, struct hw_cpu *lp)
{
	if (vp->lp == lp)
		return true;
	if (vp->lp || lp->host_arch)
		return false;
	vp->host_arch = lp->arch;
	vp->host_ctl = lp->ctl;
	lp->arch = vp->saved;
	lp->ctl = vp->ctl;
	hw_cpu_drop_access(lp);
	lp->host_arch = &vp->host_arch;
	lp->host_ctl = &vp->host_ctl;
	vp->lp = lp;
	__atomic_fetch_add(&vp->td->associated_vcpus, 1, __ATOMIC_ACQ_REL);
	hw_cpu_arch_changed(lp);
	return true;
}

void vp_leave_processor(struct tdx_vp *vp)
{
	struct hw_cpu *lp = vp->lp;

	vp->saved = lp->arch;
	vp->ctl = lp->ctl;
	lp->arch = vp->host_arch;
	lp->ctl = vp->host_ctl;
	lp->host_arch = NULL;
	lp->host_ctl = NULL;
	vp->lp = NULL;
	__atomic_fetch_sub(&vp->td->associated_vcpus, 1, __ATOMIC_ACQ_REL);
	hw_cpu_arch_changed(lp);
}

u64 tdh_vp_flush(struct seam_call *s)
{
	if (!s->vp->lp)
		return TDX_VCPU_NOT_ASSOCIATED;
	vp_leave_processor(s->vp);
	return TDX_SUCCESS;
}

/* ---------------------------------------------------------------- fields */

struct hw_ctl *vp_ctl(struct tdx_vp *vp)
{
	return vp->lp ? &vp->lp->ctl : &vp->ctl;
}

/* Only addresses that hold what they should: the processor will follow them. */
static bool readable(u64 address, unsigned int align)
{
	u64 unused;

	return !(address & (align - 1)) && !hw_load_host(hpa(address), 8, &unused);
}

static bool set_shared_ept(struct tdx_vp *vp, u64 value)
{
	if (value && !readable(value, _Alignof(struct stage2)))
		return false;
	vp_ctl(vp)->s2 = hpa_to_ptr(hpa(value));
	if (vp->lp)
		cpu_tlb_flush(vp->lp);
	return true;
}

static u64 get_shared_ept(struct tdx_vp *vp)
{
	return (u64)(uintptr_t)vp_ctl(vp)->s2;
}

static bool set_pi_desc(struct tdx_vp *vp, u64 value)
{
	if (value && !readable(value, 64))
		return false;
	vp_ctl(vp)->pi = hpa_to_ptr(hpa(value));
	return true;
}

static u64 get_pi_desc(struct tdx_vp *vp)
{
	return (u64)(uintptr_t)vp_ctl(vp)->pi;
}

static bool set_notification_vector(struct tdx_vp *vp, u64 value)
{
	vp->notification_vector = value;
	return true;
}

static u64 get_notification_vector(struct tdx_vp *vp)
{
	return vp->notification_vector;
}

static bool set_pin_ctls(struct tdx_vp *vp, u64 value)
{
	vp->pin_ctls = value;
	return true;
}

static u64 get_pin_ctls(struct tdx_vp *vp)
{
	return vp->pin_ctls;
}

static bool set_pend_nmi(struct tdx_vp *vp, u64 value)
{
	vp->pend_nmi = value & 1;
	return true;
}

static u64 get_pend_nmi(struct tdx_vp *vp)
{
	return vp->pend_nmi;
}

static u64 get_state_details(struct tdx_vp *vp)
{
	return vp->lp && hw_cpu_has_virtual_interrupt(vp->lp) ? TDX_VCPU_INTR_PENDING : 0;
}

static const struct vp_field {
	u64 id;
	u64 writable; /* bits */
	u64 (*get)(struct tdx_vp *vp);
	bool (*set)(struct tdx_vp *vp, u64 value);
} fields[] = {
	{TDX_FIELD_POSTED_INTR_NV, 0xff, get_notification_vector, set_notification_vector},
	{TDX_FIELD_POSTED_INTR_DESC, ~0ull, get_pi_desc, set_pi_desc},
	{TDX_FIELD_SHARED_EPT, ~0ull, get_shared_ept, set_shared_ept},
	{TDX_FIELD_PIN_CTLS, 1u << 7, get_pin_ctls, set_pin_ctls},
	{TDX_FIELD_VCPU_STATE_DETAILS, 0, get_state_details, NULL},
	{TDX_FIELD_PEND_NMI, 1, get_pend_nmi, set_pend_nmi},
};

static const struct vp_field *find_field(u64 id)
{
	for (size_t n = 0; n < sizeof(fields) / sizeof(fields[0]); n++)
		if (tdx_field_canonical(fields[n].id) == tdx_field_canonical(id))
			return &fields[n];
	return NULL;
}

u64 tdh_vp_rd(struct seam_call *s)
{
	const struct vp_field *f = find_field(s->regs->rdx);

	s->regs->r8 = 0;
	if (!tdx_field_well_formed(s->regs->rdx) || !f)
		return TDX_METADATA_FIELD_ID_INCORRECT;
	s->regs->r8 = f->get(s->vp);
	return TDX_SUCCESS;
}

u64 tdh_vp_wr(struct seam_call *s)
{
	const struct vp_field *f = find_field(s->regs->rdx);
	u64 mask = s->regs->r9, value = s->regs->r8, old;

	s->regs->r8 = 0;
	if (!tdx_field_well_formed(s->regs->rdx) || !f)
		return TDX_METADATA_FIELD_ID_INCORRECT;
	if (!(mask & f->writable))
		return TDX_METADATA_FIELD_NOT_WRITABLE;
	old = f->get(s->vp);
	if ((value ^ old) & mask & ~f->writable)
		return TDX_METADATA_FIELD_VALUE_NOT_VALID;
	if (!f->set(s->vp, (old & ~mask) | (value & mask)))
		return TDX_METADATA_FIELD_VALUE_NOT_VALID;
	s->regs->r8 = old;
	return TDX_SUCCESS;
}
