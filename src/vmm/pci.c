// SPDX-License-Identifier: Apache-2.0
/* PCI configuration space and BARs (PCI Local Bus 3.0 chapter 6, PCI Express Base 4.0 chapter 7). */
#include "vmm/pci.h"

#include "vmm/bytes.h"
#include "vmm/layout.h"
#include "vmm/vm.h"

#include <errno.h>
#include <stdlib.h>

enum {
	CFG_VENDOR = 0x00,
	CFG_DEVICE = 0x02,
	CFG_COMMAND = 0x04,
	CFG_STATUS = 0x06,
	CFG_REVISION = 0x08,
	CFG_BAR0 = 0x10,
	CFG_SUBSYSTEM_VENDOR = 0x2c,
	CFG_SUBSYSTEM = 0x2e,
	CFG_CAPABILITIES = 0x34,
	CFG_INTERRUPT_LINE = 0x3c,
	CFG_INTERRUPT_PIN = 0x3d,
};
#define COMMAND_MEMORY	     0x0002u
#define COMMAND_MASTER	     0x0004u
#define COMMAND_INTX_DISABLE 0x0400u
#define STATUS_CAPABILITIES  0x0010u
#define CAP_EXPRESS	     0x10u
#define EXPRESS_SIZE	     0x3cu
#define EXPRESS_VERSION	     2u
#define EXPRESS_RC_ENDPOINT  (9u << 4) /* root-complex integrated endpoint: it has no link */
#define ADDRESS_ENABLE	     (1u << 31)
#define ECAM_FUNCTION_SHIFT  12

struct pci_bus {
	struct vm *vm;
	pthread_mutex_t lock;
	struct pci_function *function[PCI_MAX_FUNCTIONS];
	struct pci_function host_bridge;
	unsigned int nr_functions;
	uint32_t next_bar;
	uint32_t address; /* port 0xcf8 */
};

static const struct pci_identity host_bridge_identity = {
	.vendor = 0x1b36, .device = 0x0008, .class_code = 0x060000
};

/* ---------------------------------------------------------------- BARs */

static void update_mapping(struct pci_function *f)
{
	uint32_t before = f->mapped, wanted = 0;

	if (f->bar_size && (get16(f->config + CFG_COMMAND) & COMMAND_MEMORY))
		wanted = get32(f->config + CFG_BAR0) & ~0xfu;
	/* Only the window of the host bridge is decoded towards the bus. */
	if (wanted < PCI_WINDOW_START || wanted > PCI_WINDOW_END - f->bar_size)
		wanted = 0;
	if (wanted == before)
		return;
	__atomic_store_n(&f->mapped, wanted, __ATOMIC_RELEASE);
	if (f->moved)
		f->moved(f, before);
}

static struct pci_function *decode(struct pci_bus *bus, uint64_t address, unsigned int size, uint32_t *offset)
{
	for (unsigned int i = 0; i < bus->nr_functions; i++) {
		struct pci_function *f = bus->function[i];
		uint32_t base = __atomic_load_n(&f->mapped, __ATOMIC_ACQUIRE);

		if (!base || address < base || address - base >= f->bar_size || size > f->bar_size - (address - base))
			continue;
		*offset = (uint32_t)(address - base);
		return f;
	}
	return NULL;
}

static uint64_t window_read(void *opaque, uint64_t at, unsigned int size)
{
	uint32_t offset;
	struct pci_function *f = decode(opaque, PCI_WINDOW_START + at, size, &offset);

	return f ? f->bar_read(f, offset, size) : bus_ones(size);
}

static void window_write(void *opaque, uint64_t at, unsigned int size, uint64_t value)
{
	uint32_t offset;
	struct pci_function *f = decode(opaque, PCI_WINDOW_START + at, size, &offset);

	if (f)
		f->bar_write(f, offset, size, value);
}

static const char *window_describe(void *opaque, uint64_t at)
{
	uint32_t offset;
	struct pci_function *f = decode(opaque, PCI_WINDOW_START + at, 1, &offset);

	return f ? f->name : "PCI window, nothing there";
}

static const struct bus_ops window_ops = {
	.name = "PCI window", .read = window_read, .write = window_write, .describe = window_describe
};

/* ---------------------------------------------------------------- configuration space */

static struct pci_function *find_device(struct pci_bus *bus, unsigned int devfn)
{
	unsigned int device = devfn >> 3;

	return devfn & 7 || device >= bus->nr_functions ? NULL : bus->function[device];
}

static uint64_t config_read(struct pci_bus *bus, unsigned int devfn, unsigned int offset, unsigned int size)
{
	struct pci_function *f = find_device(bus, devfn);
	uint64_t value;

	if (!f || offset + size > PCI_CONFIG_SIZE)
		return bus_ones(size);
	pthread_mutex_lock(&bus->lock);
	if (f->config_read)
		f->config_read(f, offset, size);
	value = get_bytes(f->config + offset, size);
	pthread_mutex_unlock(&bus->lock);
	return value;
}

static void config_write(struct pci_bus *bus, unsigned int devfn, unsigned int offset, unsigned int size, uint64_t value)
{
	struct pci_function *f = find_device(bus, devfn);

	if (!f || offset + size > PCI_CONFIG_SIZE)
		return;
	pthread_mutex_lock(&bus->lock);
	for (unsigned int i = 0; i < size; i++) {
		uint8_t mask = f->writable[offset + i];

		f->config[offset + i] = (uint8_t)((f->config[offset + i] & ~mask) | (value >> (8 * i) & mask));
	}
	update_mapping(f);
	if (f->config_written)
		f->config_written(f, offset, size);
	pthread_mutex_unlock(&bus->lock);
}

static uint64_t ecam_read(void *opaque, uint64_t at, unsigned int size)
{
	return config_read(opaque, (unsigned int)(at >> ECAM_FUNCTION_SHIFT), at & (PCI_CONFIG_SIZE - 1), size);
}

static void ecam_write(void *opaque, uint64_t at, unsigned int size, uint64_t value)
{
	config_write(opaque, (unsigned int)(at >> ECAM_FUNCTION_SHIFT), at & (PCI_CONFIG_SIZE - 1), size, value);
}

static const struct bus_ops ecam_ops = { .name = "ECAM", .read = ecam_read, .write = ecam_write };

static uint64_t address_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct pci_bus *bus = opaque;

	return size == 4 ? __atomic_load_n(&bus->address, __ATOMIC_RELAXED) : bus_ones(size);
}

static void address_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pci_bus *bus = opaque;

	if (size == 4)
		__atomic_store_n(&bus->address, (uint32_t)value, __ATOMIC_RELAXED);
}

static const struct bus_ops address_ops = { .name = "PCI address", .read = address_read, .write = address_write };

/* What 0xcf8 selects: false when nothing on bus 0. */
static bool selected(struct pci_bus *bus, uint64_t port_offset, unsigned int *devfn, unsigned int *offset)
{
	uint32_t address = __atomic_load_n(&bus->address, __ATOMIC_RELAXED);

	*devfn = address >> 8 & 0xff;
	*offset = (address & 0xfc) + (unsigned int)port_offset;
	return (address & ADDRESS_ENABLE) && !(address >> 16 & 0xff);
}

static uint64_t data_read(void *opaque, uint64_t port_offset, unsigned int size)
{
	unsigned int devfn, offset;

	return selected(opaque, port_offset, &devfn, &offset) ? config_read(opaque, devfn, offset, size) : bus_ones(size);
}

static void data_write(void *opaque, uint64_t port_offset, unsigned int size, uint64_t value)
{
	unsigned int devfn, offset;

	if (selected(opaque, port_offset, &devfn, &offset))
		config_write(opaque, devfn, offset, size, value);
}

static const struct bus_ops data_ops = { .name = "PCI data", .read = data_read, .write = data_write };

/* ---------------------------------------------------------------- setup */

unsigned int pci_add_capability(struct pci_function *f, uint8_t id, unsigned int size)
{
	unsigned int link = CFG_CAPABILITIES, at = PCI_FIRST_CAPABILITY;

	while (f->config[link]) {
		at = f->config[link];
		link = at + 1;
		/* Capabilities are laid out one after the other: the next free place follows the last one's size. */
		at = (at + f->writable[at] + 3) & ~3u;
	}
	f->config[link] = (uint8_t)at;
	f->config[at] = id;
	f->config[at + 1] = 0;
	f->writable[at] = (uint8_t)size;
	put16(f->config + CFG_STATUS, STATUS_CAPABILITIES);
	return at;
}

void pci_add_express_capability(struct pci_function *f)
{
	unsigned int at = pci_add_capability(f, CAP_EXPRESS, EXPRESS_SIZE);

	put16(f->config + at + 2, EXPRESS_VERSION | EXPRESS_RC_ENDPOINT);
}

static void place_bar(struct pci_bus *bus, struct pci_function *f)
{
	if (!f->bar_size)
		return;
	bus->next_bar = (bus->next_bar + f->bar_size - 1) & ~(f->bar_size - 1);
	put32(f->config + CFG_BAR0, bus->next_bar);
	put32(f->writable + CFG_BAR0, ~(f->bar_size - 1));
	bus->next_bar += f->bar_size;
}

/* While the list is built, writable[] at a capability's id holds its size. */
static void seal_capabilities(struct pci_function *f)
{
	for (unsigned int at = f->config[CFG_CAPABILITIES]; at; at = f->config[at + 1])
		f->writable[at] = 0;
}

int pci_add(struct pci_bus *bus, struct pci_function *f, const struct pci_identity *identity)
{
	if (bus->nr_functions == PCI_MAX_FUNCTIONS)
		return -ENOSPC;
	f->device = bus->nr_functions;
	put16(f->config + CFG_VENDOR, identity->vendor);
	put16(f->config + CFG_DEVICE, identity->device);
	put32(f->config + CFG_REVISION, identity->class_code << 8 | identity->revision);
	put16(f->config + CFG_SUBSYSTEM_VENDOR, identity->subsystem_vendor);
	put16(f->config + CFG_SUBSYSTEM, identity->subsystem);
	put16(f->writable + CFG_COMMAND, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_INTX_DISABLE);
	if (identity->interrupt_pin) {
		f->config[CFG_INTERRUPT_PIN] = 1;
		f->config[CFG_INTERRUPT_LINE] = (uint8_t)(GSI_PCI_FIRST + f->device % 4);
		f->writable[CFG_INTERRUPT_LINE] = 0xff;
	}
	seal_capabilities(f);
	place_bar(bus, f);
	bus->function[bus->nr_functions++] = f;
	return 0;
}

int pci_create(struct vm *vm, struct pci_bus **out)
{
	struct pci_bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return -ENOMEM;
	*out = bus;
	bus->vm = vm;
	bus->next_bar = PCI_WINDOW_START;
	pthread_mutex_init(&bus->lock, NULL);
	bus_add(&vm->mmio, PCI_WINDOW_START, PCI_WINDOW_END - PCI_WINDOW_START, &window_ops, bus);
	bus_add(&vm->mmio, ECAM_START, ECAM_SIZE, &ecam_ops, bus);
	bus_add(&vm->pio, PORT_PCI_ADDRESS, 4, &address_ops, bus);
	bus_add(&vm->pio, PORT_PCI_DATA, 4, &data_ops, bus);
	return pci_add(bus, &bus->host_bridge, &host_bridge_identity);
}

void pci_destroy(struct pci_bus *bus)
{
	if (!bus)
		return;
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}
