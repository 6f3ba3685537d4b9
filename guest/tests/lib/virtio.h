// SPDX-License-Identifier: Apache-2.0
/* Virtio PCI functions on bus 0, polled (Virtio 1.2, 4.1). Addresses are physical, which here are virtual ones. */
#pragma once

#include "lib/guest.h"

struct virtio_function {
	unsigned int slot;
	u64 common, notify, msix; /* register blocks; msix 0: none */
	u32 notify_stride;
};

struct virtq_desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};
enum { VIRTQ_NEXT = 1, VIRTQ_WRITE = 2, VIRTQ_INDIRECT = 4 };

/* Common configuration (4.1.4.3) */
enum {
	VIRTIO_DRIVER_FEATURE_SELECT = 8, VIRTIO_DRIVER_FEATURE = 0xc, VIRTIO_STATUS = 0x14, VIRTIO_QUEUE_SELECT = 0x16,
	VIRTIO_QUEUE_SIZE = 0x18, VIRTIO_QUEUE_MSIX = 0x1a, VIRTIO_QUEUE_ENABLE = 0x1c, VIRTIO_QUEUE_DESC = 0x20,
	VIRTIO_QUEUE_DRIVER = 0x28, VIRTIO_QUEUE_DEVICE = 0x30,
};

/* By configuration mechanism 1. */
u32 pci_read(unsigned int slot, unsigned int offset);
void pci_write(unsigned int slot, unsigned int offset, u32 value);

/* Enables memory and bus mastering; false: nothing of virtio's there. */
bool virtio_find(unsigned int slot, struct virtio_function *f);

static inline void virtio_set16(const struct virtio_function *f, unsigned int reg, u16 v) { *(volatile u16 *)(f->common + reg) = v; }
static inline void virtio_set_status(const struct virtio_function *f, u8 v) { *(volatile u8 *)(f->common + VIRTIO_STATUS) = v; }
void virtio_set64(const struct virtio_function *f, unsigned int reg, u64 v);

/* ---- a disk: one request at a time */
struct virtio_disk {
	struct virtio_function f;
	struct virtq_desc *desc;
	volatile u16 *avail, *used;
	u8 *request;
};

/* The first disk on the bus; false: none. */
bool virtio_disk_open(struct virtio_disk *disk);
/* Waits for the end of the request; false: the device says it failed, or does not answer. */
bool virtio_disk_transfer(struct virtio_disk *disk, bool write, u64 sector, void *data, u32 size);
