// SPDX-License-Identifier: Apache-2.0
/* 82093AA I/O APIC: 24 redirection entries that become messages to the local APICs. */
#include "vmm/ioapic.h"

#include "vmm/layout.h"
#include "vmm/vm.h"

#include <errno.h>
#include <stdlib.h>

#define PINS	   24u
#define REG_SELECT 0x00u
#define REG_WINDOW 0x10u
#define REG_EOI	   0x40u /* version 0x20 */
#define INDEX_ID   0x00u
#define INDEX_VERSION 0x01u
#define INDEX_ARBITRATION 0x02u
#define INDEX_REDIRECTION 0x10u
#define VERSION	   0x20u

/* redirection entry */
#define ENTRY_VECTOR	 0xffull
#define ENTRY_DELIVERY	 (7ull << 8)
#define ENTRY_LOGICAL	 (1ull << 11)
#define ENTRY_STATUS	 (1ull << 12) /* read-only */
#define ENTRY_REMOTE_IRR (1ull << 14) /* read-only */
#define ENTRY_LEVEL	 (1ull << 15)
#define ENTRY_MASKED	 (1ull << 16)
#define ENTRY_WRITABLE	 (0xffull << 56 | 0xffull << 48 | 0x1afffull)

struct ioapic {
	struct vm *vm;
	pthread_mutex_t lock;
	uint8_t select, id;
	uint32_t lines; /* level of each pin */
	uint64_t entry[PINS];
};

/* SDM 3A 10.11; bits 18:12 of the address carry the destination, and (KVM's extension) entry bits 55:49 its high part. */
static struct msi_message message(uint64_t entry)
{
	return (struct msi_message){
		.address = 0xfee00000u | (entry >> 56 & 0xff) << 12 | (entry >> 49 & 0x7f) << 5 |
			   (entry & ENTRY_LOGICAL ? 1u << 2 : 0),
		.data = (uint32_t)((entry & ENTRY_VECTOR) | (entry & ENTRY_DELIVERY) |
				   (entry & ENTRY_LEVEL ? 1u << 15 | 1u << 14 : 0)),
	};
}

/* Sends what the pin has to send; the lock is held. */
static void deliver(struct ioapic *ioapic, unsigned int pin)
{
	uint64_t entry = ioapic->entry[pin];
	struct msi_message msg = message(entry);

	if (entry & ENTRY_MASKED)
		return;
	if (entry & ENTRY_LEVEL) {
		if (entry & ENTRY_REMOTE_IRR)
			return;
		ioapic->entry[pin] |= ENTRY_REMOTE_IRR;
	}
	irq_signal_msi(ioapic->vm, &msg);
}

void ioapic_set_pin(struct ioapic *ioapic, unsigned int pin, bool level)
{
	bool before;

	if (pin >= PINS)
		return;
	pthread_mutex_lock(&ioapic->lock);
	before = ioapic->lines >> pin & 1;
	ioapic->lines = (ioapic->lines & ~(1u << pin)) | (uint32_t)level << pin;
	if (level && (!before || (ioapic->entry[pin] & ENTRY_LEVEL)))
		deliver(ioapic, pin);
	pthread_mutex_unlock(&ioapic->lock);
}

static void eoi_locked(struct ioapic *ioapic, uint8_t vector)
{
	for (unsigned int pin = 0; pin < PINS; pin++) {
		uint64_t *entry = &ioapic->entry[pin];

		if ((*entry & ENTRY_VECTOR) != vector || !(*entry & ENTRY_LEVEL) || !(*entry & ENTRY_REMOTE_IRR))
			continue;
		*entry &= ~ENTRY_REMOTE_IRR;
		if (ioapic->lines >> pin & 1)
			deliver(ioapic, pin);
	}
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	pthread_mutex_lock(&ioapic->lock);
	eoi_locked(ioapic, vector);
	pthread_mutex_unlock(&ioapic->lock);
}

static uint32_t read_window(const struct ioapic *ioapic)
{
	unsigned int n = ioapic->select - INDEX_REDIRECTION;

	if (ioapic->select == INDEX_ID || ioapic->select == INDEX_ARBITRATION)
		return (uint32_t)ioapic->id << 24;
	if (ioapic->select == INDEX_VERSION)
		return (PINS - 1) << 16 | VERSION;
	if (ioapic->select >= INDEX_REDIRECTION && n < 2 * PINS)
		return (uint32_t)(ioapic->entry[n / 2] >> (n % 2 ? 32 : 0));
	return 0;
}

static void write_entry(struct ioapic *ioapic, unsigned int pin, unsigned int shift, uint32_t value)
{
	uint64_t old = ioapic->entry[pin];
	uint64_t wanted = (old & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
	uint64_t entry = (wanted & ENTRY_WRITABLE) | (old & (ENTRY_STATUS | ENTRY_REMOTE_IRR));
	struct msi_message msg;

	/* An edge-triggered entry has no remote IRR: Linux ends a lost EOI by switching the trigger mode. */
	if (!(entry & ENTRY_LEVEL))
		entry &= ~ENTRY_REMOTE_IRR;
	ioapic->entry[pin] = entry;
	msg = message(entry);
	irq_route_pin(ioapic->vm, pin, entry & ENTRY_MASKED ? &(struct msi_message){} : &msg);
	if ((entry & ENTRY_LEVEL) && (ioapic->lines >> pin & 1))
		deliver(ioapic, pin);
}

static void write_window(struct ioapic *ioapic, uint32_t value)
{
	unsigned int n = ioapic->select - INDEX_REDIRECTION;

	if (ioapic->select == INDEX_ID)
		ioapic->id = value >> 24 & 0xf;
	else if (ioapic->select >= INDEX_REDIRECTION && n < 2 * PINS)
		write_entry(ioapic, n / 2, n % 2 ? 32 : 0, value);
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct ioapic *ioapic = opaque;
	uint64_t value = 0;

	pthread_mutex_lock(&ioapic->lock);
	if (offset == REG_SELECT)
		value = ioapic->select;
	else if (offset == REG_WINDOW)
		value = read_window(ioapic);
	pthread_mutex_unlock(&ioapic->lock);
	return value;
}

static void mmio_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct ioapic *ioapic = opaque;

	pthread_mutex_lock(&ioapic->lock);
	if (offset == REG_SELECT)
		ioapic->select = (uint8_t)value;
	else if (offset == REG_WINDOW)
		write_window(ioapic, (uint32_t)value);
	else if (offset == REG_EOI)
		eoi_locked(ioapic, (uint8_t)value);
	pthread_mutex_unlock(&ioapic->lock);
}

static const struct bus_ops ioapic_ops = { .name = "I/O APIC", .read = mmio_read, .write = mmio_write };

int ioapic_create(struct vm *vm, struct ioapic **out)
{
	struct ioapic *ioapic = calloc(1, sizeof(*ioapic));

	if (!ioapic)
		return -ENOMEM;
	ioapic->vm = vm;
	ioapic->id = (uint8_t)(vm->config->cpus & 0xf);
	pthread_mutex_init(&ioapic->lock, NULL);
	for (unsigned int pin = 0; pin < PINS; pin++)
		ioapic->entry[pin] = ENTRY_MASKED;
	bus_add(&vm->mmio, IOAPIC_START, IOAPIC_SIZE, &ioapic_ops, ioapic);
	*out = ioapic;
	return 0;
}

void ioapic_destroy(struct ioapic *ioapic)
{
	if (!ioapic)
		return;
	pthread_mutex_destroy(&ioapic->lock);
	free(ioapic);
}
