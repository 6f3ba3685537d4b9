// SPDX-License-Identifier: Apache-2.0
/* The I/O APIC (82093AA data sheet, with the redirection entry of SDM's xAPIC generation). */
#include "kvm/x86/ioapic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/irq_state.h"
#include "kvm/kvm.h"

#define IOAPIC_LENGTH  0x100
#define IOAPIC_VERSION (0x11u | (KVM_IOAPIC_NUM_PINS - 1) << 16)
#define REG_SELECT     0x00
#define REG_WINDOW     0x10

/* redirection entry */
#define RTE_VECTOR(e)  ((u8)(e))
#define RTE_MODE(e)    ((e) >> 8 & 7)
#define RTE_LOGICAL    (1ull << 11)
#define RTE_STATUS     (1ull << 12) /* delivery status; read-only */
#define RTE_REMOTE_IRR (1ull << 14) /* read-only */
#define RTE_LEVEL      (1ull << 15)
#define RTE_MASKED     (1ull << 16)
#define RTE_DEST(e)    ((u32)((e) >> 56))
#define RTE_READ_ONLY  (RTE_STATUS | RTE_REMOTE_IRR)

struct kvm_ioapic {
	struct kvm_io_device dev;
	struct kvm *kvm;
	pthread_mutex_t lock;
	u32 select, id;
	u32 irr;	   /* level pins: asserted; edge pins: line is high */
	u32 irr_delivered; /* edge pins: the edge in irr has been delivered; not part of the state that moves */
	u64 rte[KVM_IOAPIC_NUM_PINS];
	u32 sources[KVM_IOAPIC_NUM_PINS]; /* bit: source that drives the pin */
};

static struct kvm_lapic_irq rte_to_irq(u64 rte)
{
	return (struct kvm_lapic_irq){
		.dest = RTE_DEST(rte),
		.vector = RTE_VECTOR(rte),
		.delivery_mode = RTE_MODE(rte),
		.logical = rte & RTE_LOGICAL,
		.level = true,
		.level_trigger = rte & RTE_LEVEL,
	};
}

/* ---------------------------------------------------------------- pins, with the lock held */

static int service_pin(struct kvm_ioapic *io, unsigned int pin)
{
	u64 rte = io->rte[pin];
	struct kvm_lapic_irq irq = rte_to_irq(rte);
	int delivered;

	if (rte & RTE_MASKED || (rte & RTE_LEVEL && rte & RTE_REMOTE_IRR))
		return -1;
	observe(io->kvm->obs, OBSERVE_KVM_IOAPIC_SET_IRQ, -1, pin, rte);
	if (!(rte & RTE_LEVEL))
		io->irr_delivered |= 1u << pin;
	delivered = kvm_irq_deliver(io->kvm, NULL, &irq);
	if (delivered > 0 && rte & RTE_LEVEL)
		io->rte[pin] |= RTE_REMOTE_IRR;
	return delivered;
}

static int set_pin(struct kvm_ioapic *io, unsigned int pin, bool level)
{
	u32 bit = 1u << pin;
	bool was = io->irr & bit;

	if (!level) {
		io->irr &= ~bit;
		return 1;
	}
	io->irr |= bit;
	if (!(io->rte[pin] & RTE_LEVEL)) {
		if (was)
			return 0;
		io->irr_delivered &= ~bit;
	}
	return service_pin(io, pin);
}

int kvm_ioapic_set_irq(struct kvm *kvm, unsigned int pin, unsigned int source, int level)
{
	struct kvm_ioapic *io = kvm->irqchip->ioapic;
	int result;

	pthread_mutex_lock(&io->lock);
	result = set_pin(io, pin, kvm_irq_line_state(&io->sources[pin], source, level));
	pthread_mutex_unlock(&io->lock);
	return result;
}

void kvm_ioapic_eoi(struct kvm_vcpu *vcpu, u8 vector, bool level_trigger, bool directed)
{
	struct kvm_ioapic *io = vcpu->kvm->irqchip->ioapic;

	for (unsigned int pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
		bool mine;

		pthread_mutex_lock(&io->lock);
		mine = RTE_VECTOR(io->rte[pin]) == vector;
		pthread_mutex_unlock(&io->lock);
		if (!mine)
			continue;
		/* The notifier may lower the line; only then is it known whether the pin is still asserted. */
		kvm_notify_acked_irq(vcpu->kvm, KVM_IRQCHIP_IOAPIC, pin);
		if (!level_trigger || directed)
			continue;
		pthread_mutex_lock(&io->lock);
		if (io->rte[pin] & RTE_LEVEL) {
			io->rte[pin] &= ~RTE_REMOTE_IRR;
			if (io->irr >> pin & 1)
				service_pin(io, pin);
		}
		pthread_mutex_unlock(&io->lock);
	}
}

void kvm_ioapic_for_each_eoi_pin(struct kvm *kvm, void (*fn)(const struct kvm_lapic_irq *irq, void *opaque),
				 void *opaque)
{
	struct kvm_ioapic *io = kvm->irqchip->ioapic;
	u64 rte[KVM_IOAPIC_NUM_PINS];

	pthread_mutex_lock(&io->lock);
	memcpy(rte, io->rte, sizeof(rte));
	pthread_mutex_unlock(&io->lock);
	for (unsigned int pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
		struct kvm_lapic_irq irq = rte_to_irq(rte[pin]);

		if (irq.level_trigger || kvm_irq_has_notifier(kvm, KVM_IRQCHIP_IOAPIC, pin))
			fn(&irq, opaque);
	}
}

/* ---------------------------------------------------------------- registers, with the lock held */

static u32 read_register(const struct kvm_ioapic *io)
{
	unsigned int index = io->select;

	switch (index) {
	case 0: /* ID */
	case 2: /* arbitration */
		return (io->id & 0xf) << 24;
	case 1:
		return IOAPIC_VERSION;
	}
	if (index < 0x10 || index >= 0x10 + 2 * KVM_IOAPIC_NUM_PINS)
		return index < 0x10 ? 0 : ~0u;
	return io->rte[(index - 0x10) / 2] >> (index & 1 ? 32 : 0);
}

/* Returns whether a redirection entry changed. */
static bool write_register(struct kvm_ioapic *io, u32 value)
{
	unsigned int index = io->select, pin = (index - 0x10) / 2;
	u64 old, rte;

	if (index == 0)
		io->id = value >> 24 & 0xf;
	if (index < 0x10 || pin >= KVM_IOAPIC_NUM_PINS)
		return false;
	old = rte = io->rte[pin];
	if (index & 1)
		rte = (u32)rte | (u64)value << 32;
	else
		rte = (rte & ~0xffffffffull) | (value & ~(u32)RTE_READ_ONLY) | (old & RTE_READ_ONLY);
	/* Linux clears remote IRR by making a pin edge-triggered for a moment, as real ones allow. */
	if (!(rte & RTE_LEVEL))
		rte &= ~RTE_REMOTE_IRR;
	io->rte[pin] = rte;
	if (rte & RTE_LEVEL && io->irr >> pin & 1)
		service_pin(io, pin);
	return rte != old;
}

static int ioapic_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, void *data)
{
	struct kvm_ioapic *io = (struct kvm_ioapic *)dev;
	u64 value = 0;

	if (addr & 0xf || (len & (len - 1)))
		return -EOPNOTSUPP;
	pthread_mutex_lock(&io->lock);
	if ((addr & 0xff) == REG_SELECT)
		value = io->select;
	else if ((addr & 0xff) == REG_WINDOW)
		value = read_register(io);
	pthread_mutex_unlock(&io->lock);
	memcpy(data, &value, len);
	return 0;
}

static int ioapic_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, const void *data)
{
	struct kvm_ioapic *io = (struct kvm_ioapic *)dev;
	bool changed = false;
	u32 value = 0;

	if (addr & 0xf || (len & (len - 1)))
		return -EOPNOTSUPP;
	memcpy(&value, data, len < 4 ? len : 4);
	pthread_mutex_lock(&io->lock);
	if ((addr & 0xff) == REG_SELECT)
		io->select = value & 0xff;
	else if ((addr & 0xff) == REG_WINDOW)
		changed = write_register(io, value);
	pthread_mutex_unlock(&io->lock);
	if (changed)
		kvm_lapic_scan_ioapic(io->kvm);
	return 0;
}

static const struct kvm_io_ops ioapic_ops = {.read = ioapic_read, .write = ioapic_write};

/* ---------------------------------------------------------------- life, state */

int kvm_ioapic_create(struct kvm *kvm, struct kvm_ioapic **out)
{
	struct kvm_ioapic *io = calloc(1, sizeof(*io));
	int err;

	if (!io)
		return -ENOMEM;
	io->dev.ops = &ioapic_ops;
	io->kvm = kvm;
	pthread_mutex_init(&io->lock, NULL);
	for (unsigned int pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		io->rte[pin] = RTE_MASKED;
	err = kvm_io_bus_register(&kvm->mmio_bus, IOAPIC_BASE, IOAPIC_LENGTH, &io->dev);
	if (err) {
		pthread_mutex_destroy(&io->lock);
		free(io);
		return err;
	}
	*out = io;
	return 0;
}

void kvm_ioapic_destroy(struct kvm *kvm, struct kvm_ioapic *io)
{
	if (!io)
		return;
	kvm_io_bus_unregister(&kvm->mmio_bus, &io->dev);
	pthread_mutex_destroy(&io->lock);
	free(io);
}

void kvm_ioapic_get(struct kvm_ioapic *io, struct kvm_ioapic_state *state)
{
	pthread_mutex_lock(&io->lock);
	*state = (struct kvm_ioapic_state){.base_address = IOAPIC_BASE, .ioregsel = io->select, .id = io->id};
	/* An edge that was delivered must not be delivered again where the state goes. */
	state->irr = io->irr & ~io->irr_delivered;
	for (unsigned int pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		state->redirtbl[pin].bits = io->rte[pin];
	pthread_mutex_unlock(&io->lock);
}

void kvm_ioapic_set(struct kvm_ioapic *io, const struct kvm_ioapic_state *state)
{
	pthread_mutex_lock(&io->lock);
	io->select = state->ioregsel & 0xff;
	io->id = state->id & 0xf;
	io->irr = 0;
	io->irr_delivered = 0;
	for (unsigned int pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		io->rte[pin] = state->redirtbl[pin].bits;
	for (unsigned int pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
		if (state->irr >> pin & 1)
			set_pin(io, pin, true);
	}
	pthread_mutex_unlock(&io->lock);
	kvm_lapic_scan_ioapic(io->kvm);
}
