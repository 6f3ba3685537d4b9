// SPDX-License-Identifier: Apache-2.0
/*
 * The interrupt controllers of a VM, as the files that make them up see them. Nobody else includes this; see irqchip.h
 * for the interface and the locks.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "kvm/irqchip.h"

struct kvm_ioapic;
struct kvm_pic;
struct kvm_pit;
struct kvm_irqfds;
struct kvm_ioeventfds;

/* Entries of one GSI are chained; 0 ends a chain, entry n has number n + 1. */
struct kvm_routing_table {
	u32 nr;
	u16 first[KVM_MAX_IRQ_ROUTES]; /* by GSI */
	struct kvm_route {
		struct kvm_irq_routing_entry entry; /* u.irqchip.pin of the slave PIC: 8..15 */
		u16 next;
	} route[];
};

struct kvm_irq {
	struct kvm *kvm;
	_Atomic int mode; /* enum kvm_irqchip_mode; set once, under kvm->lock */
	u32 bsp_id;
	u32 split_pins;
	bool x2apic_32bit_ids, x2apic_broadcast_quirk_off;
	u32 apic_bus_cycle_ns;

	pthread_rwlock_t routing_lock;
	struct kvm_routing_table *routing;

	/* Published once, with release order, when mode or PIT are made. */
	struct kvm_pic *pic;
	struct kvm_ioapic *ioapic;
	_Atomic(struct kvm_pit *) pit;

	struct kvm_irqfds *irqfds;	   /* eventfd.c */
	struct kvm_ioeventfds *ioeventfds; /* ioeventfd.c */
	_Atomic u32 arbitration;	   /* lowest priority: whose turn it is */
};

/* ---------------------------------------------------------------- irqchip.c */

/* A pin was acknowledged by the guest: PIT and resampling irqfds at its GSI are told. No lock held. */
void kvm_notify_acked_irq(struct kvm *kvm, unsigned int chip, unsigned int pin);
/* Is anybody interested in that? (then an edge-triggered vector's EOI must be seen, too) */
bool kvm_irq_has_notifier(struct kvm *kvm, unsigned int chip, unsigned int pin);
/* Several sources drive one line: the line's level after the source's level changed. */
static inline bool kvm_irq_line_state(u32 *sources, unsigned int source, int level)
{
	*sources = level ? *sources | 1u << source : *sources & ~(1u << source);
	return *sources;
}
struct kvm_lapic_irq;
void kvm_msi_to_irq(const struct kvm *kvm, u32 address_lo, u32 address_hi, u32 data, struct kvm_lapic_irq *irq);
/* Split I/O APIC: calls fn for each level-triggered route of a pin that belongs to user space's I/O APIC. */
void kvm_for_each_split_route(struct kvm *kvm, void (*fn)(const struct kvm_lapic_irq *irq, void *opaque), void *opaque);

/* ---------------------------------------------------------------- eventfd.c, ioeventfd.c */

int kvm_irqfds_create(struct kvm *kvm);
void kvm_irqfds_stop(struct kvm *kvm);
void kvm_irqfds_destroy(struct kvm *kvm);
/* The level of resampling irqfds at the GSI goes down, and their resample eventfds are signalled. */
void kvm_irqfds_acked(struct kvm *kvm, u32 gsi);
bool kvm_irqfds_resample(struct kvm *kvm, u32 gsi);

int kvm_ioeventfds_create(struct kvm *kvm);
void kvm_ioeventfds_destroy(struct kvm *kvm);

/* What a descriptor is: 0 and the kernel's number of the eventfd, -EBADF, or -EINVAL if it is something else. */
int kvm_eventfd_identity(int fd, u64 *id);
void kvm_eventfd_signal(int fd); /* never blocks */
