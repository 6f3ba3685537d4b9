// SPDX-License-Identifier: Apache-2.0
/*
 * Virtio devices on PCI (Virtio 1.2, 4.1: modern only). A device is a table of what differs; registers, queues, interrupts and
 * threads are here.
 *
 * A kick arrives by ioeventfd at the device's worker thread, an interrupt leaves by irqfd; on virtual time (vm_synchronous) the
 * kick is handled in the vCPU's own MMIO exit and the interrupt is a message sent there and then, so nothing depends on the host.
 * `lock` protects registers and queues and is held in handle() and reset(); `irq_lock` is a leaf.
 */
#pragma once

#include "vmm/irq.h"
#include "vmm/pci.h"
#include "vmm/virtqueue.h"
#include "vmm/vm.h"

#define VIRTIO_MAX_QUEUES 2u
#define VIRTIO_MAX_CONFIG 64u

struct virtio_ops {
	const char *name;
	uint16_t type;
	uint32_t class_code;
	unsigned int nr_queues;
	/* Requests are (or may be) waiting in the queue. */
	void (*handle)(struct virtio_device *dev, unsigned int queue);
	void (*reset)(struct virtio_device *dev);
	void (*destroy)(struct virtio_device *dev); /* frees dev->opaque */
	bool worker; /* needs its thread on virtual time too */
};

struct virtio_vector {
	struct msi_message msg;
	bool masked, pending;
	int event; /* irqfd; -1 on virtual time */
	int gsi;
};

struct virtio_device {
	const struct virtio_ops *ops;
	struct vm *vm;
	void *opaque;
	struct pci_function pci;
	uint64_t features;			 /* offered */
	uint8_t config[VIRTIO_MAX_CONFIG]; /* device configuration; fixed after creation */

	pthread_mutex_t lock;
	uint64_t driver_features;
	uint32_t feature_select, driver_feature_select;
	uint16_t queue_select, config_vector;
	uint8_t status;
	bool reported; /* that the driver broke the rules */
	struct virtq queue[VIRTIO_MAX_QUEUES];
	uint16_t queue_vector[VIRTIO_MAX_QUEUES];

	pthread_mutex_t irq_lock;
	struct virtio_vector vector[VIRTIO_MAX_QUEUES + 1];
	uint8_t isr;
	bool msix_enabled, msix_masked, intx_disabled, intx_level;
	unsigned int msix_cap, pci_cfg_cap; /* offsets in configuration space */

	int kick[VIRTIO_MAX_QUEUES]; /* eventfds */
	int stop;
	pthread_t worker;
	bool worker_started;
};

/* NULL after a message. */
struct virtio_device *virtio_blk_create(struct vm *vm, const struct vmm_disk *disk, unsigned int index);
struct virtio_device *virtio_rng_create(struct vm *vm);
struct virtio_device *virtio_console_create(struct vm *vm);

int virtio_start(struct virtio_device *dev); /* before the vCPUs; 0 or -errno, after a message */
void virtio_stop(struct virtio_device *dev); /* after the vCPUs */
void virtio_destroy(struct virtio_device *dev);

/* ---- for the devices */

/* Owns `opaque` from here on, also when it returns NULL. */
struct virtio_device *virtio_create(struct vm *vm, const struct virtio_ops *ops, uint64_t features, const void *config,
				    size_t config_size, void *opaque);
/* The next request, or false. A driver that breaks the rules gets DEVICE_NEEDS_RESET. */
bool virtio_pop(struct virtio_device *dev, unsigned int queue, struct virtq_chain *chain);
/* Gives a request back; the first `written` bytes of its in part were filled. */
void virtio_push(struct virtio_device *dev, unsigned int queue, const struct virtq_chain *chain, size_t written);
/* Interrupts the driver if it wants that for what was pushed. */
void virtio_signal(struct virtio_device *dev, unsigned int queue);
void virtio_break(struct virtio_device *dev, const char *why);
bool virtio_queue_ready(const struct virtio_device *dev, unsigned int queue);
/* Any thread, without the lock: have the worker look at the queue. */
void virtio_kick(struct virtio_device *dev, unsigned int queue);

/* ---- virtio_pci.c */
int virtio_pci_create(struct virtio_device *dev);
void virtio_pci_reset(struct virtio_device *dev);
#define VIRTIO_ISR_QUEUE  1u
#define VIRTIO_ISR_CONFIG 2u
void virtio_interrupt(struct virtio_device *dev, uint16_t vector, uint8_t isr);
/* virtio.c, for the transport; the lock is held */
void virtio_reset(struct virtio_device *dev);
void virtio_set_status(struct virtio_device *dev, uint8_t status);
/* The driver's kick; called without the lock. */
void virtio_notify(struct virtio_device *dev, unsigned int queue);
void virtio_enable_queue(struct virtio_device *dev, unsigned int queue);

#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX     29
#define VIRTIO_F_VERSION_1     32
#define VIRTIO_F_ACCESS_PLATFORM 33
#define VIRTIO_NO_VECTOR       0xffffu
