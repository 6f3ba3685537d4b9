// SPDX-License-Identifier: Apache-2.0
/* Interrupt lines, messages and their routes in KVM. */
#include "vmm/irq.h"

#include "vmm/ioapic.h"
#include "vmm/layout.h"
#include "vmm/report.h"
#include "vmm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IOAPIC_PINS 24u
#define PIC_PINS    8u

static struct kvm_irq_routing_entry msi_entry(unsigned int gsi, const struct msi_message *msg)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi.address_lo = (uint32_t)msg->address,
		.u.msi.address_hi = (uint32_t)(msg->address >> 32),
		.u.msi.data = msg->data,
	};
}

static int commit(struct vm *vm)
{
	return vm->calls->ioctl(vm->fd, KVM_SET_GSI_ROUTING, vm->irq.routes);
}

/* KVM's default routes, which KVM_SET_GSI_ROUTING replaces as a whole: GSI n to pin n of the I/O APIC, 0 to 15 to the PIC too. */
static void default_routes(struct irq *irq)
{
	for (unsigned int gsi = 0; gsi < IOAPIC_PINS; gsi++) {
		irq->routes->entries[irq->fixed++] = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { KVM_IRQCHIP_IOAPIC, gsi },
		};
		if (gsi >= 2 * PIC_PINS)
			continue;
		irq->routes->entries[irq->fixed++] = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { gsi < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % PIC_PINS },
		};
	}
	irq->routes->nr = irq->fixed;
}

static int create_split(struct vm *vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = IOAPIC_PINS };
	int err = vm->calls->ioctl(vm->fd, KVM_ENABLE_CAP, &cap);

	if (err) {
		vmm_error("KVM offers no split irqchip: %s", strerror(-err));
		return err;
	}
	/* One message per pin; masked pins keep an all-zero one, which reaches no APIC's EOI bitmap. */
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		vm->irq.routes->entries[vm->irq.fixed++] = msi_entry(pin, &(struct msi_message){});
	vm->irq.routes->nr = vm->irq.fixed;
	return ioapic_create(vm, &vm->irq.ioapic);
}

int irq_init(struct vm *vm)
{
	struct irq *irq = &vm->irq;
	int err;

	irq->routes = calloc(1, sizeof(*irq->routes) +
				(IOAPIC_PINS + 2 * PIC_PINS + IRQ_MAX_MSI) * sizeof(irq->routes->entries[0]));
	if (!irq->routes)
		return -ENOMEM;
	pthread_mutex_init(&irq->lock, NULL);
	if (vm->config->split_irqchip || vm->config->type->split_irqchip)
		return create_split(vm);
	err = kvm_call_number(vm->calls, vm->fd, KVM_CREATE_IRQCHIP, 0);
	if (err) {
		vmm_error("KVM_CREATE_IRQCHIP: %s", strerror(-err));
		return err;
	}
	default_routes(irq);
	return 0;
}

void irq_destroy(struct vm *vm)
{
	if (!vm->irq.routes)
		return;
	ioapic_destroy(vm->irq.ioapic);
	pthread_mutex_destroy(&vm->irq.lock);
	free(vm->irq.routes);
}

void irq_set_line(struct vm *vm, unsigned int gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	if (vm->irq.ioapic)
		ioapic_set_pin(vm->irq.ioapic, gsi, level);
	else
		vm->calls->ioctl(vm->fd, KVM_IRQ_LINE, &line);
}

void irq_pulse_line(struct vm *vm, unsigned int gsi)
{
	irq_set_line(vm, gsi, true);
	irq_set_line(vm, gsi, false);
}

void irq_eoi(struct vm *vm, uint8_t vector)
{
	if (vm->irq.ioapic)
		ioapic_eoi(vm->irq.ioapic, vector);
}

/* A message to an APIC that is not there gets lost, as on a machine: the result is of no interest. */
void irq_signal_msi(struct vm *vm, const struct msi_message *msg)
{
	struct kvm_msi msi = {
		.address_lo = (uint32_t)msg->address,
		.address_hi = (uint32_t)(msg->address >> 32),
		.data = msg->data,
	};

	vm->calls->ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

int irq_alloc_msi_gsi(struct vm *vm)
{
	struct irq *irq = &vm->irq;
	unsigned int gsi = GSI_MSI_FIRST + irq->nr_msi;

	if (irq->nr_msi == IRQ_MAX_MSI)
		return -ENOSPC;
	irq->routes->entries[irq->fixed + irq->nr_msi++] = msi_entry(gsi, &(struct msi_message){});
	irq->routes->nr = irq->fixed + irq->nr_msi;
	return (int)gsi;
}

static int route(struct vm *vm, unsigned int index, unsigned int gsi, const struct msi_message *msg)
{
	struct kvm_irq_routing_entry *entry = &vm->irq.routes->entries[index];
	struct kvm_irq_routing_entry wanted = msi_entry(gsi, msg);
	int err = 0;

	pthread_mutex_lock(&vm->irq.lock);
	if (memcmp(entry, &wanted, sizeof(wanted))) {
		*entry = wanted;
		err = commit(vm);
	}
	pthread_mutex_unlock(&vm->irq.lock);
	return err;
}

int irq_route_msi(struct vm *vm, unsigned int gsi, const struct msi_message *msg)
{
	return route(vm, vm->irq.fixed + gsi - GSI_MSI_FIRST, gsi, msg);
}

int irq_route_pin(struct vm *vm, unsigned int pin, const struct msi_message *msg)
{
	return route(vm, pin, pin, msg);
}

int irq_attach_eventfd(struct vm *vm, unsigned int gsi, int fd)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)fd, .gsi = gsi };

	return vm->calls->ioctl(vm->fd, KVM_IRQFD, &irqfd);
}
