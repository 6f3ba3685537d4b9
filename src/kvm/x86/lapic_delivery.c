// SPDX-License-Identifier: Apache-2.0
/* How interrupts find local APICs (SDM 3A 11.6) and what each delivery mode does there. Any thread, no lock. */
#include "kvm/x86/lapic_state.h"

#define APIC_BROADCAST	 0xffu
#define X2APIC_BROADCAST 0xffffffffu

#define ICR_LOGICAL    (1u << 11)
#define ICR_ASSERT     (1u << 14)
#define ICR_LEVEL_TRIG (1u << 15)

/* ---------------------------------------------------------------- destinations */

static bool match_physical(const struct kvm_lapic *apic, u32 dest)
{
	u32 vcpu_id = apic->vcpu->vcpu_id;

	if (lapic_x2apic(apic))
		return dest == X2APIC_BROADCAST || dest == vcpu_id;
	/* As KVM: a vCPU whose id does not fit xAPIC can be addressed before it has switched to x2APIC. */
	return dest == APIC_BROADCAST || dest == X2APIC_BROADCAST || dest == lapic_id(apic) ||
	       (vcpu_id > 0xff && dest == vcpu_id);
}

static bool match_logical(const struct kvm_lapic *apic, u32 dest)
{
	u32 ldr = lapic_get(apic, APIC_LDR);

	if (lapic_x2apic(apic))
		return dest == X2APIC_BROADCAST || (ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff));
	if (dest == APIC_BROADCAST || dest == X2APIC_BROADCAST)
		return true;
	ldr >>= 24;
	switch (lapic_get(apic, APIC_DFR) >> 28) {
	case 0xf: /* flat */
		return ldr & dest;
	case 0: /* cluster */
		return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
	}
	return false;
}

bool kvm_lapic_match_dest(struct kvm_vcpu *vcpu, struct kvm_vcpu *source, const struct kvm_lapic_irq *irq)
{
	const struct kvm_lapic *apic = vcpu->lapic;
	u32 dest = irq->dest;

	switch (irq->shorthand) {
	case APIC_DEST_SELF:
		return vcpu == source;
	case APIC_DEST_ALL:
		return true;
	case APIC_DEST_ALL_BUT_SELF:
		return vcpu != source;
	}
	/* api.rst KVM_CAP_X2APIC_API: an 8-bit broadcast of a device reaches x2APICs, unless that quirk is off. */
	if (!source && dest == APIC_BROADCAST && lapic_x2apic(apic) && !vcpu->kvm->irqchip->x2apic_broadcast_quirk_off)
		dest = X2APIC_BROADCAST;
	return irq->logical ? match_logical(apic, dest) : match_physical(apic, dest);
}

/* ---------------------------------------------------------------- one local APIC */

/* The sender's half of SDM 3C 29.6: PIR, then ON, then the notification; whoever found ON set need not notify again. */
void lapic_accept_vector(struct kvm_lapic *apic, u8 vector, bool level_trigger)
{
	struct kvm_vcpu *vcpu = apic->vcpu;

	observe(vcpu->kvm->obs, OBSERVE_KVM_APIC_ACCEPT_IRQ, (int)vcpu->index, vcpu->vcpu_id, vector);
	if (level_trigger)
		lapic_set_vector(apic, APIC_TMR, vector);
	else
		lapic_clear_vector(apic, APIC_TMR, vector);
	__atomic_fetch_or(&apic->pi->pir[vector / 64], 1ull << vector % 64, __ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&apic->pi->on, 1, __ATOMIC_SEQ_CST))
		return;
	hw_cpu_notify_pi(vcpu->cpu);
	kvm_vcpu_wake(vcpu);
}

void kvm_inject_nmi(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->lapic;
	u32 pending = atomic_load_explicit(&apic->nmi_pending, memory_order_relaxed);

	/* One NMI can wait behind the one in service; more are merged with it (SDM 3A 6.7.1). */
	while (pending < 2 && !atomic_compare_exchange_weak(&apic->nmi_pending, &pending, pending + 1))
		;
	kvm_vcpu_kick(vcpu);
}

static bool accept_init(struct kvm_lapic *apic, const struct kvm_lapic_irq *irq)
{
	/* INIT level de-assert has no effect on this generation of processors (SDM 3A 11.6.1). */
	if (irq->level_trigger && !irq->level)
		return false;
	if (apic->vcpu->kvm->vendor->ignores_init)
		return true;
	/* A SIPI that came before is forgotten. */
	atomic_store(&apic->pending_events, LAPIC_EVENT_INIT);
	kvm_vcpu_kick(apic->vcpu);
	return true;
}

static bool accept_sipi(struct kvm_lapic *apic, u8 vector)
{
	if (apic->vcpu->kvm->vendor->ignores_init)
		return true;
	atomic_store(&apic->sipi_vector, vector);
	atomic_fetch_or(&apic->pending_events, LAPIC_EVENT_SIPI);
	kvm_vcpu_kick(apic->vcpu);
	return true;
}

void kvm_lapic_repeat_sipi(struct kvm_vcpu *vcpu)
{
	atomic_fetch_or(&vcpu->lapic->pending_events, LAPIC_EVENT_SIPI);
}

/* Did the APIC take it? */
static bool accept_irq(struct kvm_lapic *apic, const struct kvm_lapic_irq *irq)
{
	switch (irq->delivery_mode) {
	case APIC_DM_LOWEST:
		atomic_fetch_add_explicit(&apic->lowest_taken, 1, memory_order_relaxed);
		/* fall through */
	case APIC_DM_FIXED:
		if ((irq->level_trigger && !irq->level) || !lapic_enabled(apic))
			return false;
		if (irq->vector < 16) {
			lapic_error(apic, ESR_RECV_ILLEGAL);
			return false;
		}
		lapic_accept_vector(apic, irq->vector, irq->level_trigger);
		return true;
	case APIC_DM_NMI:
		kvm_inject_nmi(apic->vcpu);
		return true;
	case APIC_DM_INIT:
		return accept_init(apic, irq);
	case APIC_DM_STARTUP:
		return accept_sipi(apic, irq->vector);
	case APIC_DM_SMI:
		kvm_make_request(apic->vcpu, KVM_REQ_SMI);
		kvm_vcpu_kick(apic->vcpu);
		return true;
	}
	/* ExtINT comes through LINT0 only. */
	return false;
}

void lapic_local_deliver(struct kvm_lapic *apic, unsigned int lvt_offset)
{
	u32 lvt = lapic_get(apic, lvt_offset);
	struct kvm_lapic_irq irq = {
		.vector = lvt & 0xff,
		/* The timer's entry has no delivery mode, and the error's is always fixed (SDM 3A Figure 11-8). */
		.delivery_mode = lvt_offset == APIC_LVTT || lvt_offset == APIC_LVTERR ? APIC_DM_FIXED : LVT_MODE(lvt),
		.level = true,
	};

	if (lapic_hw_enabled(apic) && !(lvt & LVT_MASKED))
		accept_irq(apic, &irq);
}

void lapic_error(struct kvm_lapic *apic, u32 esr_bits)
{
	/* A bad vector in the error entry itself must not come back here. */
	bool first = !(atomic_fetch_or(&apic->error, esr_bits) & esr_bits);

	if (first && (lapic_get(apic, APIC_LVTERR) & 0xff) >= 16)
		lapic_local_deliver(apic, APIC_LVTERR);
}

bool kvm_lapic_accepts_pic(struct kvm_vcpu *vcpu)
{
	const struct kvm_lapic *apic = vcpu->lapic;
	u32 lvt0 = lapic_get(apic, APIC_LVT0);

	if (!lapic_hw_enabled(apic))
		return true;
	return !(lvt0 & LVT_MASKED) && LVT_MODE(lvt0) == APIC_DM_EXTINT;
}

void kvm_lapic_nmi_watchdog(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned int i;

	kvm_for_each_vcpu(i, vcpu, kvm)
	{
		u32 lvt0 = lapic_get(vcpu->lapic, APIC_LVT0);

		if (lapic_hw_enabled(vcpu->lapic) && !(lvt0 & LVT_MASKED) && LVT_MODE(lvt0) == APIC_DM_NMI)
			kvm_inject_nmi(vcpu);
	}
}

/* ---------------------------------------------------------------- all local APICs */

static bool lowest_priority(const struct kvm_lapic_irq *irq)
{
	return irq->delivery_mode == APIC_DM_LOWEST || irq->redirection_hint;
}

/* Of those that match, the one that took the fewest so far. */
static int deliver_lowest(struct kvm *kvm, struct kvm_vcpu *source, const struct kvm_lapic_irq *irq)
{
	struct kvm_lapic_irq fixed = *irq;
	struct kvm_vcpu *vcpu, *best = NULL;
	u32 fewest = 0;
	unsigned int i;

	kvm_for_each_vcpu(i, vcpu, kvm)
	{
		u32 taken = atomic_load_explicit(&vcpu->lapic->lowest_taken, memory_order_relaxed);

		if (!lapic_enabled(vcpu->lapic) || !kvm_lapic_match_dest(vcpu, source, irq))
			continue;
		if (!best || (s32)(taken - fewest) < 0) {
			best = vcpu;
			fewest = taken;
		}
	}
	if (!best)
		return -1;
	if (fixed.delivery_mode == APIC_DM_FIXED)
		fixed.delivery_mode = APIC_DM_LOWEST;
	return accept_irq(best->lapic, &fixed);
}

/* The usual case: one physical destination, which is the index of its vCPU. */
static struct kvm_vcpu *single_destination(struct kvm *kvm, const struct kvm_lapic_irq *irq)
{
	if (irq->logical || irq->shorthand != APIC_DEST_FIELD || irq->dest >= APIC_BROADCAST ||
	    irq->dest >= kvm_vcpu_count(kvm))
		return NULL;
	return kvm->vcpu[irq->dest]->vcpu_id == irq->dest && lapic_id(kvm->vcpu[irq->dest]->lapic) == irq->dest
		       ? kvm->vcpu[irq->dest]
		       : NULL;
}

int kvm_irq_deliver(struct kvm *kvm, struct kvm_vcpu *source, const struct kvm_lapic_irq *irq)
{
	struct kvm_vcpu *vcpu = single_destination(kvm, irq);
	int delivered = -1;
	unsigned int i;

	if (vcpu)
		return lapic_hw_enabled(vcpu->lapic) ? accept_irq(vcpu->lapic, irq) : -1;
	if (lowest_priority(irq))
		return deliver_lowest(kvm, source, irq);
	kvm_for_each_vcpu(i, vcpu, kvm)
	{
		if (!lapic_hw_enabled(vcpu->lapic) || !kvm_lapic_match_dest(vcpu, source, irq))
			continue;
		if (delivered < 0)
			delivered = 0;
		delivered += accept_irq(vcpu->lapic, irq);
	}
	return delivered;
}

void lapic_send_ipi(struct kvm_lapic *apic, u32 icr_low, u32 icr_high)
{
	struct kvm_lapic_irq irq = {
		.dest = lapic_x2apic(apic) ? icr_high : icr_high >> 24,
		.vector = icr_low & 0xff,
		.delivery_mode = icr_low >> 8 & 7,
		.shorthand = icr_low >> 18 & 3,
		.logical = icr_low & ICR_LOGICAL,
		.level = icr_low & ICR_ASSERT,
		.level_trigger = icr_low & ICR_LEVEL_TRIG,
	};
	bool fixed = irq.delivery_mode == APIC_DM_FIXED || irq.delivery_mode == APIC_DM_LOWEST;

	observe(apic->vcpu->kvm->obs, OBSERVE_KVM_APIC_IPI, (int)apic->vcpu->index, irq.dest, icr_low);
	if (fixed && irq.vector < 16) {
		lapic_error(apic, ESR_SEND_ILLEGAL);
		return;
	}
	kvm_irq_deliver(apic->vcpu->kvm, apic->vcpu, &irq);
}
