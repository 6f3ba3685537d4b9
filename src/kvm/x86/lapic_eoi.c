// SPDX-License-Identifier: Apache-2.0
/* End of interrupt: priorities where the processor does not keep them, and the I/O APIC's share (SDM 3A 11.8.5). */
#include <string.h>

#include "kvm/x86/ioapic.h"
#include "kvm/x86/lapic_state.h"

static int highest(const struct kvm_lapic *apic, unsigned int array)
{
	for (int word = 7; word >= 0; word--) {
		u32 bits = lapic_get(apic, array + word * 16);

		if (bits)
			return word * 32 + 31 - __builtin_clz(bits);
	}
	return -1;
}

/* SDM 3A 11.8.3.1 */
void lapic_update_ppr(struct kvm_lapic *apic)
{
	int servicing = highest(apic, APIC_ISR);
	u32 tpr = lapic_get(apic, APIC_TPR) & 0xff;
	u32 class = servicing < 0 ? 0 : servicing & 0xf0;

	lapic_set(apic, APIC_PPR, (tpr & 0xf0) >= class ? tpr : class);
}

/* ---------------------------------------------------------------- whose EOI must be seen */

static bool in_bitmap(const struct kvm_vcpu *vcpu, u8 vector)
{
	return hw_cpu_ctl(vcpu->cpu)->eoi_exit_bitmap[vector / 64] >> vector % 64 & 1;
}

/*
 * A vector that is requested or in service although its pin now points elsewhere: its EOI still belongs to the pin, or
 * remote IRR would stay set for ever.
 */
static bool eoi_pending(const struct kvm_lapic *apic, u8 vector)
{
	return lapic_test_vector(apic, APIC_ISR, vector) || lapic_test_vector(apic, APIC_IRR, vector) ||
	       (__atomic_load_n(&apic->pi->pir[vector / 64], __ATOMIC_RELAXED) >> vector % 64 & 1);
}

static void add_route(const struct kvm_lapic_irq *irq, void *opaque)
{
	struct kvm_lapic *apic = opaque;

	if (kvm_lapic_match_dest(apic->vcpu, NULL, irq) || eoi_pending(apic, irq->vector))
		hw_cpu_ctl(apic->vcpu->cpu)->eoi_exit_bitmap[irq->vector / 64] |= 1ull << irq->vector % 64;
}

void lapic_scan_ioapic(struct kvm_lapic *apic)
{
	struct kvm *kvm = apic->vcpu->kvm;
	struct hw_ctl *ctl = hw_cpu_ctl(apic->vcpu->cpu);

	memset(ctl->eoi_exit_bitmap, 0, sizeof(ctl->eoi_exit_bitmap));
	if (kvm_irqchip_mode(kvm) == KVM_IRQCHIP_KERNEL)
		kvm_ioapic_for_each_eoi_pin(kvm, add_route, apic);
	else if (kvm_irqchip_mode(kvm) == KVM_IRQCHIP_SPLIT)
		kvm_for_each_split_route(kvm, add_route, apic);
}

void kvm_lapic_scan_ioapic(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned int i;

	kvm_for_each_vcpu(i, vcpu, kvm)
	{
		if (!atomic_exchange(&vcpu->lapic->scan_ioapic, true))
			kvm_vcpu_kick(vcpu);
	}
}

/* ---------------------------------------------------------------- EOI */

static void send_eoi(struct kvm_lapic *apic, u8 vector)
{
	struct kvm_vcpu *vcpu = apic->vcpu;

	if (!in_bitmap(vcpu, vector))
		return;
	if (kvm_irqchip_mode(vcpu->kvm) == KVM_IRQCHIP_SPLIT)
		apic->user_eoi = vector;
	else
		kvm_ioapic_eoi(vcpu, vector, lapic_test_vector(apic, APIC_TMR, vector),
			       lapic_get(apic, APIC_SVR) & SVR_DIRECTED_EOI);
}

void kvm_lapic_eoi_exit(struct kvm_vcpu *vcpu, u8 vector)
{
	observe(vcpu->kvm->obs, OBSERVE_KVM_EOI, (int)vcpu->index, vcpu->vcpu_id, vector);
	send_eoi(vcpu->lapic, vector);
}

void lapic_write_eoi(struct kvm_lapic *apic)
{
	int vector = highest(apic, APIC_ISR);

	observe(apic->vcpu->kvm->obs, OBSERVE_KVM_EOI, (int)apic->vcpu->index, apic->vcpu->vcpu_id, vector);
	if (vector < 0)
		return;
	lapic_clear_vector(apic, APIC_ISR, vector);
	lapic_update_ppr(apic);
	send_eoi(apic, vector);
}
