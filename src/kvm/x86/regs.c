// SPDX-License-Identifier: Apache-2.0
/* General registers, segments and control registers: api.rst KVM_GET_REGS, KVM_GET_SREGS(2). */
#include <errno.h>
#include <string.h>

#include "kvm/ioctl.h"
#include "kvm/irqchip.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/x86.h"

enum { CR0_PE = 1u << 0, CR0_NW = 1u << 29, CR0_CD = 1u << 30, CR0_PG = 1u << 31 };
enum { CR4_PAE = 1u << 5 };
enum { EFER_SCE = 1u << 0, EFER_LME = 1u << 8, EFER_LMA = 1u << 10, EFER_NXE = 1u << 11 };
#define EFER_DEFINED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define CR0_DEFINED 0xe005003full

/* ---------------------------------------------------------------- general registers */

/* In the order of struct kvm_regs. */
static const u8 gpr_order[16] = {
	HW_RAX, HW_RBX, HW_RCX, HW_RDX, HW_RSI, HW_RDI, HW_RSP, HW_RBP,
	HW_R8, HW_R9, HW_R10, HW_R11, HW_R12, HW_R13, HW_R14, HW_R15,
};

void kvm_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs)
{
	const struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u64 value[16];

	for (unsigned int i = 0; i < 16; i++)
		value[i] = a->gpr[gpr_order[i]];
	memcpy(regs, value, sizeof(value));
	regs->rip = a->rip;
	regs->rflags = a->rflags;
}

void kvm_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u64 value[16];

	memcpy(value, regs, sizeof(value));
	for (unsigned int i = 0; i < 16; i++)
		a->gpr[gpr_order[i]] = value[i];
	if (a->rip != regs->rip)
		hw_cpu_drop_access(vcpu->cpu);
	a->rip = regs->rip;
	a->rflags = regs->rflags | 2;
	/* A pending exception belonged to the old state. */
	vcpu->exception.pending = false;
	hw_cpu_arch_changed(vcpu->cpu);
	kvm_make_request(vcpu, KVM_REQ_EVENT);
}

long kvm_ioctl_get_regs(struct kvm_call *c)
{
	kvm_get_regs(c->vcpu, c->arg);
	return 0;
}

long kvm_ioctl_set_regs(struct kvm_call *c)
{
	kvm_set_regs(c->vcpu, c->arg);
	return 0;
}

/* ---------------------------------------------------------------- segments */

/* The hidden part as SDM 3C 24.4.1 lays out access rights. */
static void get_segment(const struct hw_segment *s, struct kvm_segment *out)
{
	*out = (struct kvm_segment){
		.base = s->base, .limit = s->limit, .selector = s->selector,
		.type = s->attr & 15, .s = s->attr >> 4 & 1, .dpl = s->attr >> 5 & 3, .present = s->attr >> 7 & 1,
		.avl = s->attr >> 12 & 1, .l = s->attr >> 13 & 1, .db = s->attr >> 14 & 1, .g = s->attr >> 15 & 1,
		.unusable = s->attr >> 16 & 1,
	};
}

static void set_segment(struct hw_segment *s, const struct kvm_segment *in)
{
	s->base = in->base;
	s->limit = in->limit;
	s->selector = in->selector;
	s->attr = (in->type & 15) | (in->s & 1) << 4 | (in->dpl & 3) << 5 | (in->present & 1) << 7 | (in->avl & 1) << 12 |
		  (in->l & 1) << 13 | (in->db & 1) << 14 | (in->g & 1) << 15;
	if (in->unusable || !in->present)
		s->attr |= 1u << 16;
}

/* struct kvm_sregs and kvm_sregs2 begin alike, up to apic_base. */
#define COMMON_SREGS_SIZE offsetof(struct kvm_sregs, interrupt_bitmap)
_Static_assert(COMMON_SREGS_SIZE == offsetof(struct kvm_sregs2, flags), "kvm_sregs2 extends kvm_sregs");

static void get_common(struct kvm_vcpu *vcpu, struct kvm_sregs2 *s)
{
	const struct hw_arch *a = hw_cpu_arch(vcpu->cpu);

	get_segment(&a->seg[HW_CS], &s->cs);
	get_segment(&a->seg[HW_DS], &s->ds);
	get_segment(&a->seg[HW_ES], &s->es);
	get_segment(&a->seg[HW_FS], &s->fs);
	get_segment(&a->seg[HW_GS], &s->gs);
	get_segment(&a->seg[HW_SS], &s->ss);
	get_segment(&a->seg[HW_TR], &s->tr);
	get_segment(&a->seg[HW_LDTR], &s->ldt);
	s->gdt = (struct kvm_dtable){ .base = a->gdtr.base, .limit = a->gdtr.limit };
	s->idt = (struct kvm_dtable){ .base = a->idtr.base, .limit = a->idtr.limit };
	s->cr0 = a->cr0;
	s->cr2 = a->cr2;
	s->cr3 = a->cr3;
	s->cr4 = a->cr4;
	s->cr8 = kvm_lapic_get_cr8(vcpu);
	s->efer = a->efer;
	s->apic_base = kvm_lapic_get_base(vcpu);
}

/* What KVM_SET_SREGS refuses: combinations that no processor can be in. */
static bool valid_sregs(const struct kvm_vcpu *vcpu, const struct kvm_sregs2 *s)
{
	bool long_active = s->efer & EFER_LME && s->cr0 & CR0_PG;

	if (long_active) {
		if (!(s->cr4 & CR4_PAE) || !(s->efer & EFER_LMA))
			return false;
		if (s->cr3 >> kvm_guest_phys_bits(vcpu))
			return false;
	} else if (s->efer & EFER_LMA || s->cs.l) {
		return false;
	}
	if (s->cr0 >> 32 || (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD)) || (s->cr0 & CR0_PG && !(s->cr0 & CR0_PE)))
		return false;
	return !(s->cr4 & kvm_guest_cr4_reserved(vcpu));
}

static bool uses_pdptrs(const struct hw_arch *a)
{
	return a->cr0 & CR0_PG && a->cr4 & CR4_PAE && !(a->efer & EFER_LMA);
}

static int set_common(struct kvm_vcpu *vcpu, const struct kvm_sregs2 *s)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	int error;

	if (!valid_sregs(vcpu, s))
		return -EINVAL;
	error = kvm_lapic_set_base(vcpu, s->apic_base, true);
	if (error)
		return -EINVAL;
	a->gdtr = (struct hw_table){ s->gdt.base, s->gdt.limit };
	a->idtr = (struct hw_table){ s->idt.base, s->idt.limit };
	a->cr2 = s->cr2;
	a->cr3 = s->cr3;
	a->efer = s->efer & EFER_DEFINED;
	a->cr0 = (s->cr0 & CR0_DEFINED) | 1u << 4;
	a->cr4 = s->cr4;
	kvm_lapic_set_cr8(vcpu, s->cr8);
	set_segment(&a->seg[HW_CS], &s->cs);
	set_segment(&a->seg[HW_DS], &s->ds);
	set_segment(&a->seg[HW_ES], &s->es);
	set_segment(&a->seg[HW_FS], &s->fs);
	set_segment(&a->seg[HW_GS], &s->gs);
	set_segment(&a->seg[HW_SS], &s->ss);
	set_segment(&a->seg[HW_TR], &s->tr);
	set_segment(&a->seg[HW_LDTR], &s->ldt);
	/* Older user space starts the boot processor by SREGS alone (api.rst KVM_SET_SREGS). */
	if (kvm_is_bsp(vcpu) && a->rip == 0xfff0 && s->cs.selector == 0xf000 && s->cs.base == 0xffff0000 && !(a->cr0 & CR0_PE))
		__atomic_store_n(&vcpu->mp_state, KVM_MP_STATE_RUNNABLE, __ATOMIC_RELEASE);
	return 0;
}

static void finish_set(struct kvm_vcpu *vcpu)
{
	hw_cpu_arch_changed(vcpu->cpu);
	kvm_make_request(vcpu, KVM_REQ_EVENT);
}

/* The four PDPTEs stand in registers: SDM 3A 4.4.1. */
static void load_pdptrs(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);

	if (uses_pdptrs(a) && kvm_read_guest(vcpu->kvm, gpa(a->cr3 & 0xffffffe0), a->pdptr, sizeof(a->pdptr)))
		memset(a->pdptr, 0, sizeof(a->pdptr));
}

void kvm_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs)
{
	struct kvm_sregs2 s = { 0 };
	struct kvm_vcpu_events pending = { 0 };

	get_common(vcpu, &s);
	memcpy(sregs, &s, COMMON_SREGS_SIZE);
	memset(sregs->interrupt_bitmap, 0, sizeof(sregs->interrupt_bitmap));
	kvm_irq_get_events(vcpu, &pending);
	if (pending.interrupt.injected && !pending.interrupt.soft)
		sregs->interrupt_bitmap[pending.interrupt.nr / 64] |= 1ull << pending.interrupt.nr % 64;
}

int kvm_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	struct kvm_sregs2 s = { 0 };
	int error;

	memcpy(&s, sregs, COMMON_SREGS_SIZE);
	error = set_common(vcpu, &s);
	if (error)
		return error;
	load_pdptrs(vcpu);
	for (unsigned int nr = 0; nr < KVM_NR_INTERRUPTS; nr++) {
		if (sregs->interrupt_bitmap[nr / 64] >> nr % 64 & 1) {
			const struct hw_event event = { .valid = true, .type = HW_EVENT_EXTINT, .vector = nr };

			kvm_irq_requeue(vcpu, &event);
			break;
		}
	}
	finish_set(vcpu);
	return 0;
}

long kvm_ioctl_get_sregs(struct kvm_call *c)
{
	kvm_get_sregs(c->vcpu, c->arg);
	return 0;
}

long kvm_ioctl_set_sregs(struct kvm_call *c) { return kvm_set_sregs(c->vcpu, c->arg); }

long kvm_ioctl_get_sregs2(struct kvm_call *c)
{
	const struct hw_arch *a = hw_cpu_arch(c->vcpu->cpu);
	struct kvm_sregs2 *s = c->arg;

	get_common(c->vcpu, s);
	if (uses_pdptrs(a)) {
		memcpy(s->pdptrs, a->pdptr, sizeof(s->pdptrs));
		s->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	}
	return 0;
}

long kvm_ioctl_set_sregs2(struct kvm_call *c)
{
	struct hw_arch *a = hw_cpu_arch(c->vcpu->cpu);
	const struct kvm_sregs2 *s = c->arg;
	bool pae = s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !(s->efer & EFER_LMA);
	int error;

	if (s->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID || (s->flags && !pae))
		return -EINVAL;
	error = set_common(c->vcpu, s);
	if (error)
		return error;
	if (s->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)
		memcpy(a->pdptr, s->pdptrs, sizeof(a->pdptr));
	else
		load_pdptrs(c->vcpu);
	finish_set(c->vcpu);
	return 0;
}
