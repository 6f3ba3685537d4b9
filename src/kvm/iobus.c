// SPDX-License-Identifier: Apache-2.0
/* I/O buses: a sorted array under a rwlock. */
#include "kvm/iobus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kvm_io_bus_init(struct kvm_io_bus *bus)
{
	pthread_rwlock_init(&bus->lock, NULL);
	return 0;
}

void kvm_io_bus_destroy(struct kvm_io_bus *bus)
{
	free(bus->range);
	bus->range = NULL;
	bus->count = bus->capacity = 0;
	pthread_rwlock_destroy(&bus->lock);
}

static int reserve(struct kvm_io_bus *bus)
{
	unsigned int capacity = bus->capacity ? bus->capacity * 2 : 16;
	struct kvm_io_range *range;

	if (bus->count >= KVM_IO_BUS_MAX)
		return -ENOSPC;
	if (bus->count < bus->capacity)
		return 0;
	range = realloc(bus->range, capacity * sizeof(*range));
	if (!range)
		return -ENOMEM;
	bus->range = range;
	bus->capacity = capacity;
	return 0;
}

int kvm_io_bus_register(struct kvm_io_bus *bus, u64 addr, u64 len, struct kvm_io_device *dev)
{
	unsigned int i;
	int error;

	pthread_rwlock_wrlock(&bus->lock);
	error = reserve(bus);
	if (!error) {
		for (i = bus->count; i > 0 && bus->range[i - 1].addr > addr; i--)
			bus->range[i] = bus->range[i - 1];
		bus->range[i] = (struct kvm_io_range){ addr, len, dev, bus->next_order++ };
		bus->count++;
	}
	pthread_rwlock_unlock(&bus->lock);
	return error;
}

void kvm_io_bus_unregister(struct kvm_io_bus *bus, struct kvm_io_device *dev)
{
	unsigned int kept = 0;

	pthread_rwlock_wrlock(&bus->lock);
	for (unsigned int i = 0; i < bus->count; i++)
		if (bus->range[i].dev != dev)
			bus->range[kept++] = bus->range[i];
	bus->count = kept;
	pthread_rwlock_unlock(&bus->lock);
}

static bool covers(const struct kvm_io_range *r, u64 addr, unsigned int len)
{
	if (!r->len)
		return r->addr == addr;
	return addr >= r->addr && len <= r->len && addr - r->addr <= r->len - len;
}

/* The next range in registration order that covers the access; `order` is the last one that was asked. */
static const struct kvm_io_range *next_range(const struct kvm_io_bus *bus, u64 addr, unsigned int len, u64 first_order)
{
	const struct kvm_io_range *best = NULL;

	for (unsigned int i = 0; i < bus->count && bus->range[i].addr <= addr; i++) {
		const struct kvm_io_range *r = &bus->range[i];

		if (r->order >= first_order && covers(r, addr, len) && (!best || r->order < best->order))
			best = r;
	}
	return best;
}

int kvm_io_bus_read(struct kvm_vcpu *vcpu, struct kvm_io_bus *bus, u64 addr, unsigned int len, void *data)
{
	const struct kvm_io_range *r;
	int result = -EOPNOTSUPP;
	u64 order = 0;

	pthread_rwlock_rdlock(&bus->lock);
	while (result == -EOPNOTSUPP && (r = next_range(bus, addr, len, order))) {
		order = r->order + 1;
		result = r->dev->ops->read ? r->dev->ops->read(vcpu, r->dev, addr, len, data) : -EOPNOTSUPP;
	}
	pthread_rwlock_unlock(&bus->lock);
	return result;
}

int kvm_io_bus_write(struct kvm_vcpu *vcpu, struct kvm_io_bus *bus, u64 addr, unsigned int len, const void *data)
{
	const struct kvm_io_range *r;
	int result = -EOPNOTSUPP;
	u64 order = 0;

	pthread_rwlock_rdlock(&bus->lock);
	while (result == -EOPNOTSUPP && (r = next_range(bus, addr, len, order))) {
		order = r->order + 1;
		result = r->dev->ops->write ? r->dev->ops->write(vcpu, r->dev, addr, len, data) : -EOPNOTSUPP;
	}
	pthread_rwlock_unlock(&bus->lock);
	return result;
}
