// SPDX-License-Identifier: Apache-2.0
/*
 * The I/O APIC of a full in-kernel irqchip: 24 pins at 0xfec00000, version 0x11 (no EOI register), polarity ignored, as
 * KVM's.
 *
 * ioapic->lock protects everything; interrupts are delivered to local APICs under it, notifiers are called without it.
 */
#pragma once

#include "kvm/irqchip.h"
#include "kvm/x86/lapic.h"

struct kvm_ioapic;

#define IOAPIC_BASE 0xfec00000ull

/* Registers the device on kvm->mmio_bus; the caller holds kvm->slots_lock. 0 or -errno. */
int kvm_ioapic_create(struct kvm *kvm, struct kvm_ioapic **out);
void kvm_ioapic_destroy(struct kvm *kvm, struct kvm_ioapic *ioapic);

/* As kvm_set_irq(). */
int kvm_ioapic_set_irq(struct kvm *kvm, unsigned int pin, unsigned int source, int level);
/* EOI of a vector (the vCPU's thread): level-triggered pins are serviced again if they are still asserted. */
void kvm_ioapic_eoi(struct kvm_vcpu *vcpu, u8 vector, bool level_trigger, bool directed);
/* Pins whose EOI must be seen: level-triggered ones and those with an acknowledge notifier. */
void kvm_ioapic_for_each_eoi_pin(struct kvm *kvm, void (*fn)(const struct kvm_lapic_irq *irq, void *opaque),
				 void *opaque);

void kvm_ioapic_get(struct kvm_ioapic *ioapic, struct kvm_ioapic_state *state);
void kvm_ioapic_set(struct kvm_ioapic *ioapic, const struct kvm_ioapic_state *state);
