// SPDX-License-Identifier: Apache-2.0
/*
 * One PCI Express bus: configuration space by ECAM and by ports 0xcf8/0xcfc, one 32-bit memory BAR per function, which the VMM
 * places as firmware would. Any thread; the lock protects configuration space and where BARs are, and is not held while a device
 * serves its BAR.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE	   4096u
#define PCI_MAX_FUNCTIONS  16u
#define PCI_FIRST_CAPABILITY 0x40u

struct vm;
struct pci_bus;

struct pci_function {
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE]; /* bits that the guest may change */
	const char *name;
	unsigned int device;		   /* number on the bus */
	uint32_t bar_size;		   /* BAR 0; 0: none, else a power of two */
	uint32_t mapped;		   /* where BAR 0 is decoded; 0: nowhere */
	void *opaque;
	/* The guest wrote config[offset]; the bus lock is held. */
	void (*config_written)(struct pci_function *f, unsigned int offset, unsigned int size);
	/* A read of config[offset] is about to be served; the bus lock is held. */
	void (*config_read)(struct pci_function *f, unsigned int offset, unsigned int size);
	/* BAR 0 is decoded from f->mapped on (0: nowhere), having been at `before`; the bus lock is held. */
	void (*moved)(struct pci_function *f, uint32_t before);
	uint64_t (*bar_read)(struct pci_function *f, uint32_t offset, unsigned int size);
	void (*bar_write)(struct pci_function *f, uint32_t offset, unsigned int size, uint64_t value);
};

int pci_create(struct vm *vm, struct pci_bus **out); /* 0 or -errno */
void pci_destroy(struct pci_bus *bus);

struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* base class, sub-class, interface */
	uint8_t revision;
	bool interrupt_pin;
};
/* Setup only. Fills in the header, gives the function a device number and its BAR an address. 0 or -ENOSPC. */
int pci_add(struct pci_bus *bus, struct pci_function *f, const struct pci_identity *identity);

/* Setup only: room for a capability, linked into the list; returns its offset. */
unsigned int pci_add_capability(struct pci_function *f, uint8_t id, unsigned int size);
void pci_add_express_capability(struct pci_function *f);
