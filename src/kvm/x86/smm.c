// SPDX-License-Identifier: Apache-2.0
/*
 * System management mode (APM2 ch. 10; api.rst KVM_SMI, KVM_CAP_X86_SMM): memory is the second address space's, the state before
 * it lies in the last 512 bytes of the 64 KiB at SMBASE, RSM brings it back. What the guest's handler makes of that state
 * is taken as user space's would be; what cannot be is a shutdown.
 */
#include "kvm/x86/smm.h"

#include <errno.h>
#include <string.h>

#include "kvm/irqchip.h"
#include "kvm/x86/x86.h"

#define STATE_AT   0xfe00u
#define STATE_SIZE 0x200u
#define HANDLER_AT 0x8000u
#define SMBASE_RESET 0x30000u

enum { CR0_CLEARED = 1 << 0 | 1 << 2 | 1 << 3 };
#define CR0_PG (1ull << 31)
#define RFLAGS_FIXED 2ull
#define DR7_FIXED 0x400ull
#define DR6_FIXED 0xffff0ff0ull
#define DR6_VOLATILE 0x0001e00full
#define ATTR_DATA 0x8093u /* present, writable, accessed, 4 KiB granularity */
#define ATTR_KEPT 0xf0ffu
#define ATTR_PRESENT 0x80u
#define EXT1_EDX_LM (1u << 29)

/* Where things stand in the state: for processors with long mode (APM2 table 10-1), and for those without. */
struct layout {
	u8 word; /* bytes of a register */
	u16 gpr, rip, rflags, dr6, dr7, cr0, cr3, cr4, efer, shadow, smbase, revision_at;
	s16 gpr_step;
	u32 revision;
	u16 segment[HW_SREG_COUNT], selector[HW_SREG_COUNT], gdtr, idtr; /* limit at 4, base at 8 of each */
};

static const struct layout long_mode = {
	.word = 8, .gpr = 0xfff8, .gpr_step = -8, .rip = 0xff78, .rflags = 0xff70, .dr6 = 0xff68, .dr7 = 0xff60, .cr0 = 0xff58,
	.cr3 = 0xff50, .cr4 = 0xff48, .efer = 0xfed0, .shadow = 0xfecb, .smbase = 0xff00, .revision_at = 0xfefc,
	.revision = 0x20064,
	.segment = { [HW_ES] = 0xfe00, [HW_CS] = 0xfe10, [HW_SS] = 0xfe20, [HW_DS] = 0xfe30, [HW_FS] = 0xfe40,
		     [HW_GS] = 0xfe50, [HW_LDTR] = 0xfe70, [HW_TR] = 0xfe90 },
	.selector = { [HW_ES] = 0xfe00, [HW_CS] = 0xfe10, [HW_SS] = 0xfe20, [HW_DS] = 0xfe30, [HW_FS] = 0xfe40,
		      [HW_GS] = 0xfe50, [HW_LDTR] = 0xfe70, [HW_TR] = 0xfe90 },
	.gdtr = 0xfe60, .idtr = 0xfe80,
};
static const struct layout legacy = {
	.word = 4, .gpr = 0xffd0, .gpr_step = 4, .rip = 0xfff0, .rflags = 0xfff4, .dr6 = 0xffcc, .dr7 = 0xffc8, .cr0 = 0xfffc,
	.cr3 = 0xfff8, .cr4 = 0xff14, .shadow = 0xff1a, .smbase = 0xfef8, .revision_at = 0xfefc, .revision = 0x20000,
	.segment = { [HW_ES] = 0xff84, [HW_CS] = 0xff90, [HW_SS] = 0xff9c, [HW_DS] = 0xff2c, [HW_FS] = 0xff38,
		     [HW_GS] = 0xff44, [HW_LDTR] = 0xff78, [HW_TR] = 0xff5c },
	.selector = { [HW_ES] = 0xffa8, [HW_CS] = 0xffac, [HW_SS] = 0xffb0, [HW_DS] = 0xffb4, [HW_FS] = 0xffb8,
		      [HW_GS] = 0xffbc, [HW_LDTR] = 0xffc0, [HW_TR] = 0xffc4 },
	.gdtr = 0xff6c, .idtr = 0xff50,
};

static const struct layout *layout_of(const struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid(vcpu, 0x80000001, 0);

	return e && e->edx & EXT1_EDX_LM ? &long_mode : &legacy;
}

static void put(u8 *state, unsigned int at, u64 value, unsigned int size) { memcpy(state + at - STATE_AT, &value, size); }

static u64 get(const u8 *state, unsigned int at, unsigned int size)
{
	u64 value = 0;

	memcpy(&value, state + at - STATE_AT, size);
	return value;
}

/* ---------------------------------------------------------------- in and out */

bool kvm_has_smm(const struct kvm *kvm) { return !kvm->vendor->has_protected_state; }

void kvm_smm_changed(struct kvm_vcpu *vcpu, bool on)
{
	if (vcpu->smm.on == on)
		return;
	vcpu->smm.on = on;
	hw_cpu_ctl(vcpu->cpu)->s2 = kvm_vcpu_stage2(vcpu);
	hw_cpu_arch_changed(vcpu->cpu);
	/* An INIT or SMI may have waited for the end of it. */
	kvm_make_request(vcpu, KVM_REQ_EVENT);
}

void kvm_smm_reset(struct kvm_vcpu *vcpu, bool init)
{
	kvm_smm_changed(vcpu, false);
	if (init)
		return;
	vcpu->smm = (struct kvm_smm){ .base = SMBASE_RESET };
	kvm_check_request(vcpu, KVM_REQ_SMI);
}

static void save_segment(const struct layout *l, u8 *state, unsigned int n, const struct hw_segment *s)
{
	bool unusable = s->attr >> 16 & 1;
	u32 attr = unusable ? 0 : s->attr & ATTR_KEPT;

	if (l->word == 8)
		put(state, l->segment[n] + 2, attr, 2);
	else
		put(state, l->segment[n], (u64)attr << 8, 4);
	put(state, l->segment[n] + 4, s->limit, 4);
	put(state, l->segment[n] + 8, s->base, l->word);
	put(state, l->selector[n], s->selector, 2);
}

static void save(const struct kvm_vcpu *vcpu, const struct layout *l, u8 *state)
{
	const struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u32 blocked = a->interruptibility;

	memset(state, 0, STATE_SIZE);
	for (unsigned int n = 0; n < (l->word == 8 ? 16u : 8u); n++)
		put(state, l->gpr + n * l->gpr_step, a->gpr[n], l->word);
	for (unsigned int n = 0; n < HW_SREG_COUNT; n++)
		save_segment(l, state, n, &a->seg[n]);
	put(state, l->gdtr + 4, a->gdtr.limit, 4);
	put(state, l->gdtr + 8, a->gdtr.base, l->word);
	put(state, l->idtr + 4, a->idtr.limit, 4);
	put(state, l->idtr + 8, a->idtr.base, l->word);
	put(state, l->rip, a->rip, l->word);
	put(state, l->rflags, a->rflags, l->word);
	put(state, l->dr6, a->dr6, l->word);
	put(state, l->dr7, a->dr7, l->word);
	put(state, l->cr0, a->cr0, l->word);
	put(state, l->cr3, a->cr3, l->word);
	put(state, l->cr4, a->cr4, l->word);
	if (l->efer)
		put(state, l->efer, a->efer, 8);
	put(state, l->shadow, (blocked & HW_BLOCK_STI ? KVM_X86_SHADOW_INT_STI : 0) |
				      (blocked & HW_BLOCK_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0), 1);
	put(state, l->smbase, vcpu->smm.base, 4);
	put(state, l->revision_at, l->revision, 4);
}

/* APM2 table 10-3: the state in which the handler begins. */
static void begin_handler(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	const struct hw_segment data = { .limit = ~0u, .attr = ATTR_DATA };

	a->rflags = RFLAGS_FIXED;
	a->rip = HANDLER_AT;
	a->interruptibility &= ~(HW_BLOCK_STI | HW_BLOCK_MOV_SS);
	a->cr0 &= ~(CR0_CLEARED | CR0_PG);
	a->cr4 = 0;
	a->efer = 0;
	a->idtr = (struct hw_table){ 0 };
	a->dr7 = DR7_FIXED;
	for (unsigned int n = HW_ES; n <= HW_GS; n++)
		a->seg[n] = data;
	a->seg[HW_CS].selector = vcpu->smm.base >> 4;
	a->seg[HW_CS].base = vcpu->smm.base;
	hw_cpu_arch_changed(vcpu->cpu);
}

static int enter(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u8 state[STATE_SIZE];

	kvm_msr_count_smi(vcpu);
	save(vcpu, layout_of(vcpu), state);
	kvm_smm_changed(vcpu, true);
	if (kvm_write_guest_as(vcpu->kvm, kvm_vcpu_as(vcpu), gpa(vcpu->smm.base + STATE_AT), state, sizeof(state))) {
		/* Nothing to come back to: Linux gives the VM up, too. */
		atomic_store(&vcpu->kvm->dead, true);
		return -EIO;
	}
	vcpu->smm.inside_nmi = a->interruptibility & HW_BLOCK_NMI;
	a->interruptibility |= HW_BLOCK_NMI;
	begin_handler(vcpu);
	return 0;
}

/* What is on its way into the guest comes first; the caller has finished the instruction. */
static bool must_wait(const struct kvm_vcpu *vcpu)
{
	return vcpu->exception.pending || vcpu->exception.injected || vcpu->reinject.valid ||
	       hw_cpu_ctl(vcpu->cpu)->inject.valid;
}

int kvm_smm_prepare_entry(struct kvm_vcpu *vcpu)
{
	if (kvm_check_request(vcpu, KVM_REQ_SMI))
		vcpu->smm.pending = true;
	if (!vcpu->smm.pending || vcpu->smm.on || !kvm_has_smm(vcpu->kvm) || kvm_debug_blocks_interrupts(vcpu))
		return 0;
	if (must_wait(vcpu)) {
		hw_cpu_kick(vcpu->cpu);
		return 0;
	}
	vcpu->smm.pending = false;
	return enter(vcpu);
}

bool kvm_smm_wakes(const struct kvm_vcpu *vcpu)
{
	bool requested = atomic_load_explicit(&vcpu->requests, memory_order_relaxed) >> KVM_REQ_SMI & 1;

	return (requested || vcpu->smm.pending) && !vcpu->smm.on && kvm_has_smm(vcpu->kvm);
}

/* ---------------------------------------------------------------- RSM */

static void load_segment(const struct layout *l, const u8 *state, unsigned int n, struct kvm_segment *s)
{
	u32 attr = l->word == 8 ? get(state, l->segment[n] + 2, 2) : get(state, l->segment[n], 4) >> 8;

	*s = (struct kvm_segment){
		.base = get(state, l->segment[n] + 8, l->word),
		.limit = get(state, l->segment[n] + 4, 4),
		.selector = get(state, l->selector[n], 2),
		.type = attr & 15,
		.s = attr >> 4 & 1,
		.dpl = attr >> 5 & 3,
		.present = !!(attr & ATTR_PRESENT),
		.unusable = !(attr & ATTR_PRESENT),
		.avl = attr >> 12 & 1,
		.l = attr >> 13 & 1,
		.db = attr >> 14 & 1,
		.g = attr >> 15 & 1,
	};
}

static void load_sregs(const struct layout *l, const u8 *state, struct kvm_sregs *s)
{
	struct kvm_segment *const segment[HW_SREG_COUNT] = {
		[HW_ES] = &s->es, [HW_CS] = &s->cs, [HW_SS] = &s->ss,	 [HW_DS] = &s->ds,
		[HW_FS] = &s->fs, [HW_GS] = &s->gs, [HW_LDTR] = &s->ldt, [HW_TR] = &s->tr,
	};

	for (unsigned int n = 0; n < HW_SREG_COUNT; n++)
		load_segment(l, state, n, segment[n]);
	s->gdt.limit = get(state, l->gdtr + 4, 4);
	s->gdt.base = get(state, l->gdtr + 8, l->word);
	s->idt.limit = get(state, l->idtr + 4, 4);
	s->idt.base = get(state, l->idtr + 8, l->word);
	s->cr0 = get(state, l->cr0, l->word);
	s->cr3 = get(state, l->cr3, l->word);
	s->cr4 = get(state, l->cr4, l->word);
	s->efer = l->efer ? get(state, l->efer, 8) : 0;
}

static void load_regs(struct kvm_vcpu *vcpu, const struct layout *l, const u8 *state)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u8 shadow = get(state, l->shadow, 1);

	for (unsigned int n = 0; n < (l->word == 8 ? 16u : 8u); n++)
		a->gpr[n] = get(state, l->gpr + n * l->gpr_step, l->word);
	a->rip = get(state, l->rip, l->word);
	a->rflags = get(state, l->rflags, l->word) | RFLAGS_FIXED;
	a->dr6 = (get(state, l->dr6, l->word) & DR6_VOLATILE) | DR6_FIXED;
	a->dr7 = DR7_FIXED | (u32)get(state, l->dr7, l->word);
	a->interruptibility &= ~(HW_BLOCK_STI | HW_BLOCK_MOV_SS);
	if (shadow & KVM_X86_SHADOW_INT_STI)
		a->interruptibility |= HW_BLOCK_STI;
	if (shadow & KVM_X86_SHADOW_INT_MOV_SS)
		a->interruptibility |= HW_BLOCK_MOV_SS;
	hw_cpu_arch_changed(vcpu->cpu);
}

static int shut_down(struct kvm_vcpu *vcpu)
{
	kvm_make_request(vcpu, KVM_REQ_TRIPLE_FAULT);
	return KVM_RESUME_GUEST;
}

int kvm_handle_rsm(struct kvm_vcpu *vcpu)
{
	const struct layout *l = layout_of(vcpu);
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	struct kvm_sregs sregs;
	u8 state[STATE_SIZE];

	if (kvm_read_guest_as(vcpu->kvm, kvm_vcpu_as(vcpu), gpa(vcpu->smm.base + STATE_AT), state, sizeof(state)))
		return shut_down(vcpu);
	if (!vcpu->smm.inside_nmi)
		a->interruptibility &= ~HW_BLOCK_NMI;
	vcpu->smm.inside_nmi = false;
	kvm_smm_changed(vcpu, false);
	kvm_get_sregs(vcpu, &sregs);
	memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
	load_sregs(l, state, &sregs);
	if (kvm_set_sregs(vcpu, &sregs))
		return shut_down(vcpu);
	load_regs(vcpu, l, state);
	vcpu->smm.base = get(state, l->smbase, 4);
	return KVM_RESUME_GUEST;
}

/* ---------------------------------------------------------------- user space */

void kvm_smm_get_events(const struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events)
{
	bool requested = atomic_load(&vcpu->requests) >> KVM_REQ_SMI & 1;

	events->smi.smm = vcpu->smm.on;
	events->smi.pending = vcpu->smm.pending || requested;
	events->smi.smm_inside_nmi = vcpu->smm.inside_nmi;
	events->smi.latched_init = kvm_lapic_in_kernel(vcpu->kvm) && kvm_lapic_init_pending(vcpu);
}

void kvm_smm_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	kvm_smm_changed(vcpu, events->smi.smm);
	kvm_check_request(vcpu, KVM_REQ_SMI);
	vcpu->smm.pending = events->smi.pending;
	vcpu->smm.inside_nmi = events->smi.smm && events->smi.smm_inside_nmi;
	if (kvm_lapic_in_kernel(vcpu->kvm))
		kvm_lapic_set_init_pending(vcpu, events->smi.latched_init);
}
