// SPDX-License-Identifier: Apache-2.0
/*
 * The two 8259A of a full in-kernel irqchip, with the edge/level registers at ports 0x4d0 and 0x4d1.
 *
 * pic->lock protects everything; notifiers are called and vCPUs kicked without it.
 */
#pragma once

#include "kvm/irqchip.h"

struct kvm_pic;

/* Registers the devices on kvm->pio_bus; the caller holds kvm->slots_lock. 0 or -errno. */
int kvm_pic_create(struct kvm *kvm, struct kvm_pic **out);
void kvm_pic_destroy(struct kvm *kvm, struct kvm_pic *pic);

/* As kvm_set_irq(); pins 8..15 are the slave's. */
int kvm_pic_set_irq(struct kvm *kvm, unsigned int pin, unsigned int source, int level);

/* INTR is asserted. Any thread. */
bool kvm_pic_output(struct kvm *kvm);
/* The acknowledge cycle: the vector, which is spurious if the request has gone. */
u8 kvm_pic_acknowledge(struct kvm_vcpu *vcpu);

void kvm_pic_get(struct kvm_pic *pic, unsigned int chip, struct kvm_pic_state *state);
void kvm_pic_set(struct kvm_pic *pic, unsigned int chip, const struct kvm_pic_state *state);
