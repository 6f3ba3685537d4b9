// SPDX-License-Identifier: Apache-2.0
/*
 * I/O buses of a VM: which device in the kernel answers at a guest physical address or port.
 *
 * Devices are kept sorted by address. Several may claim a range (ioeventfds with different data): they are asked in order of
 * registration until one takes the access. Lookups hold the bus' rwlock for reading while the device works, so a device
 * must not register or unregister from its own read or write.
 */
#pragma once

#include <pthread.h>

#include "hw/addr.h"

struct kvm_vcpu;

struct kvm_io_device {
	const struct kvm_io_ops *ops;
};

struct kvm_io_ops {
	/* 0: done; -EOPNOTSUPP: not mine (this size, this value), ask the next. `data` little-endian, len 1..8. vcpu may be NULL. */
	int (*read)(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, void *data);
	int (*write)(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, const void *data);
};

struct kvm_io_range {
	u64 addr;
	u64 len; /* 0: an access of any length that begins at addr (ioeventfd without length) */
	struct kvm_io_device *dev;
	u64 order;
};

struct kvm_io_bus {
	pthread_rwlock_t lock;
	struct kvm_io_range *range;
	unsigned int count, capacity;
	u64 next_order;
};

#define KVM_IO_BUS_MAX 1000u /* as NR_IOBUS_DEVS */

int kvm_io_bus_init(struct kvm_io_bus *bus);
void kvm_io_bus_destroy(struct kvm_io_bus *bus);

/* -ENOSPC when the bus is full, -ENOMEM. */
int kvm_io_bus_register(struct kvm_io_bus *bus, u64 addr, u64 len, struct kvm_io_device *dev);
/* Every range of the device goes; returns when no access is inside it any more. */
void kvm_io_bus_unregister(struct kvm_io_bus *bus, struct kvm_io_device *dev);

/* -EOPNOTSUPP: nobody answers. */
int kvm_io_bus_read(struct kvm_vcpu *vcpu, struct kvm_io_bus *bus, u64 addr, unsigned int len, void *data);
int kvm_io_bus_write(struct kvm_vcpu *vcpu, struct kvm_io_bus *bus, u64 addr, unsigned int len, const void *data);
