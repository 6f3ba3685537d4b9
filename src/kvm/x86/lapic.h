// SPDX-License-Identifier: Apache-2.0
/*
 * The part of the local APIC that is not in the processor (SDM 3A ch. 11): registers by MMIO and MSR, ICR, LVT, timer.
 *
 * The registers stand in the page that the processor uses as virtual-APIC page (ctl.vapic): it changes TPR, PPR, IRR,
 * ISR there, everything else is changed by the vCPU's own thread. Other threads read ID, LDR, DFR, SVR and LVT words
 * (relaxed), set TMR bits, and post vectors through the posted-interrupt descriptor. See irqchip.h for the locks.
 */
#pragma once

#include "kvm/irqchip.h"
#include "kvm/timer.h"

#define MSR_IA32_APICBASE     0x1bu
#define APICBASE_BSP	      (1ull << 8)
#define APICBASE_X2APIC	      (1ull << 10)
#define APICBASE_ENABLE	      (1ull << 11)
#define APICBASE_DEFAULT      0xfee00000ull
#define MSR_IA32_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_BASE	      0x800u
#define MSR_X2APIC_LAST	      0x8ffu

/* ---------------------------------------------------------------- what msr.c, vcpu.c and the run loop call (own
 * thread) */

/* IA32_APIC_BASE, IA32_TSC_DEADLINE, 0x800..0x8ff. 0, or -EINVAL: #GP (or refused to the host). `host`: KVM_SET_MSRS,
 * SREGS. */
bool kvm_lapic_owns_msr(u32 msr);
int kvm_lapic_read_msr(struct kvm_vcpu *vcpu, u32 msr, u64 *data, bool host);
int kvm_lapic_write_msr(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host);
u64 kvm_lapic_get_base(const struct kvm_vcpu *vcpu);
int kvm_lapic_set_base(struct kvm_vcpu *vcpu, u64 base, bool host);

/* MMIO at the APIC base in xAPIC mode. false: not ours, go on to the MMIO bus. */
bool kvm_lapic_mmio_read(struct kvm_vcpu *vcpu, u64 gpa, unsigned int size, u64 *data);
bool kvm_lapic_mmio_write(struct kvm_vcpu *vcpu, u64 gpa, unsigned int size, u64 data);
/* A trap-like APIC-write exit (VMX_EXIT_APIC_WRITE, AVIC): the processor has stored the value in the page already. */
void kvm_lapic_write_trap(struct kvm_vcpu *vcpu, u32 offset);

/* TPR by CR8 when user space or SREGS sets it; with the local APIC in the kernel the processor serves MOV CR8 itself.
 */
void kvm_lapic_set_cr8(struct kvm_vcpu *vcpu, u64 cr8);
u64 kvm_lapic_get_cr8(const struct kvm_vcpu *vcpu);
/* kvm_vcpu_reset() calls it; init: INIT keeps the APIC ID and base. */
void kvm_lapic_reset(struct kvm_vcpu *vcpu, bool init);
/* The TSC offset or rate of the vCPU changed: a TSC-deadline timer follows. */
void kvm_lapic_tsc_changed(struct kvm_vcpu *vcpu);

/* ---------------------------------------------------------------- delivery (any thread; irqchip.c, ioapic.c) */

enum {
	APIC_DM_FIXED,
	APIC_DM_LOWEST,
	APIC_DM_SMI,
	APIC_DM_RESERVED,
	APIC_DM_NMI,
	APIC_DM_INIT,
	APIC_DM_STARTUP,
	APIC_DM_EXTINT,
};
enum { APIC_DEST_FIELD, APIC_DEST_SELF, APIC_DEST_ALL, APIC_DEST_ALL_BUT_SELF };

struct kvm_lapic_irq {
	u32 dest;
	u8 vector;
	u8 delivery_mode; /* APIC_DM_* */
	u8 shorthand;	  /* APIC_DEST_* */
	bool logical;
	bool level; /* asserted (INIT de-assert is ignored) */
	bool level_trigger;
	bool redirection_hint; /* MSI: lowest priority whatever the delivery mode */
};

/* Number of vCPUs that took it, 0 if coalesced, -1 if there was no destination. `source` may be NULL. */
int kvm_irq_deliver(struct kvm *kvm, struct kvm_vcpu *source, const struct kvm_lapic_irq *irq);
bool kvm_lapic_match_dest(struct kvm_vcpu *vcpu, struct kvm_vcpu *source, const struct kvm_lapic_irq *irq);
/* A local interrupt: the PIC's output at LINT0 of the vCPU (false: it is not in ExtINT mode or masked), the PIT's NMI
 * watchdog. */
bool kvm_lapic_accepts_pic(struct kvm_vcpu *vcpu);
void kvm_lapic_nmi_watchdog(struct kvm *kvm);
/* The set of vectors whose EOI must be seen changed: every vCPU recomputes ctl.eoi_exit_bitmap at its next entry. */
void kvm_lapic_scan_ioapic(struct kvm *kvm);
