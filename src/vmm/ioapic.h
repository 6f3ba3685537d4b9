// SPDX-License-Identifier: Apache-2.0
/*
 * The I/O APIC of the split irqchip (82093AA): KVM has the local APICs, the VMM has this. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct ioapic;
struct vm;

int ioapic_create(struct vm *vm, struct ioapic **out); /* 0 or -errno; registers itself on the MMIO bus */
void ioapic_destroy(struct ioapic *ioapic);
void ioapic_set_pin(struct ioapic *ioapic, unsigned int pin, bool level);
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);
