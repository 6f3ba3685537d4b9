// SPDX-License-Identifier: Apache-2.0
/*
 * The 8254 timer at ports 0x40..0x43 and the speaker's port 0x61, for a full in-kernel irqchip. Channel 0 drives GSI 0.
 *
 * pit->lock protects everything; interrupts are raised without it.
 */
#pragma once

#include "kvm/irqchip.h"

struct kvm_pit;

/* Registers the devices on kvm->pio_bus; the caller holds kvm->slots_lock. 0 or -errno. */
int kvm_pit_create(struct kvm *kvm, u32 flags, struct kvm_pit **out);
void kvm_pit_destroy(struct kvm *kvm, struct kvm_pit *pit);

/* The guest acknowledged GSI 0: with reinjection the next tick that was missed follows. */
void kvm_pit_acked(struct kvm_pit *pit);
bool kvm_pit_wants_ack(struct kvm_pit *pit);
void kvm_pit_set_reinject(struct kvm_pit *pit, bool reinject);

void kvm_pit_get(struct kvm_pit *pit, struct kvm_pit_state2 *state);
/* The counts start again now; the caller keeps the flags where the request has none (KVM_SET_PIT). */
void kvm_pit_set(struct kvm_pit *pit, const struct kvm_pit_state2 *state);
