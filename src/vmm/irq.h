// SPDX-License-Identifier: Apache-2.0
/*
 * Interrupts: lines into the I/O APIC (KVM's, or ours with the split irqchip) and messages. Any thread once irq_init() is done.
 * The lock is a leaf but for the I/O APIC's, which is taken outside it.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define IRQ_MAX_MSI 64

struct vm;
struct ioapic;
struct kvm_irq_routing;

struct irq {
	pthread_mutex_t lock; /* protects the routes */
	struct kvm_irq_routing *routes;
	struct ioapic *ioapic; /* split irqchip only */
	unsigned int fixed;    /* routes of I/O APIC and PIC pins, at the start of the table */
	unsigned int nr_msi;
};

int irq_init(struct vm *vm); /* 0 or -errno, after a message */
void irq_destroy(struct vm *vm);

/* An edge-triggered line is raised and lowered again. */
void irq_set_line(struct vm *vm, unsigned int gsi, bool level);
void irq_pulse_line(struct vm *vm, unsigned int gsi);
/* KVM_EXIT_IOAPIC_EOI */
void irq_eoi(struct vm *vm, uint8_t vector);

struct msi_message {
	uint64_t address;
	uint32_t data;
};
void irq_signal_msi(struct vm *vm, const struct msi_message *msg);

/* A GSI whose interrupt is a message, for an irqfd. Setup only: the GSI, or -ENOSPC. */
int irq_alloc_msi_gsi(struct vm *vm);
int irq_route_msi(struct vm *vm, unsigned int gsi, const struct msi_message *msg);
int irq_attach_eventfd(struct vm *vm, unsigned int gsi, int fd);
/* The split irqchip's pins, so that KVM knows whose EOI we want to hear of. */
int irq_route_pin(struct vm *vm, unsigned int pin, const struct msi_message *msg);
