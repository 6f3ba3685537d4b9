// SPDX-License-Identifier: Apache-2.0
/*
 * Coalesced MMIO and port I/O: writes into a zone wait in the ring page (api.rst KVM_REGISTER_COALESCED_MMIO). There is one
 * ring for the VM; every vCPU's descriptor shows it at the same offset.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/ioctl.h"
#include "kvm/vm.h"

struct zone {
	struct kvm_io_device dev;
	struct kvm_coalesced_mmio_zone zone;
	struct zone *next;
};

struct kvm_coalesced {
	pthread_mutex_t ring_lock;
	struct kvm_coalesced_mmio_ring *ring; /* one page */
	int fd;				      /* behind it */
	struct zone *zones;		      /* under slots_lock */
};

int kvm_coalesced_create(struct kvm *kvm)
{
	struct kvm_coalesced *co = calloc(1, sizeof(*co));
	void *ring;

	if (!co)
		return -ENOMEM;
	co->fd = kvm_fd_create_carrier("kvm-coalesced", HW_PAGE_SIZE);
	ring = co->fd < 0 ? MAP_FAILED : mmap(NULL, HW_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, co->fd, 0);
	if (ring == MAP_FAILED) {
		if (co->fd >= 0)
			close(co->fd);
		free(co);
		return -ENOMEM;
	}
	co->ring = ring;
	pthread_mutex_init(&co->ring_lock, NULL);
	kvm->coalesced = co;
	return 0;
}

int kvm_coalesced_fd(const struct kvm *kvm) { return kvm->coalesced->fd; }

void kvm_coalesced_destroy(struct kvm *kvm)
{
	struct zone *z, *next;

	if (!kvm->coalesced)
		return;
	for (z = kvm->coalesced->zones; z; z = next) {
		next = z->next;
		free(z);
	}
	munmap(kvm->coalesced->ring, HW_PAGE_SIZE);
	close(kvm->coalesced->fd);
	pthread_mutex_destroy(&kvm->coalesced->ring_lock);
	free(kvm->coalesced);
}

/* User space owns `first` and may write rubbish into it: both indices are taken modulo the ring. */
static int ring_put(struct kvm_coalesced_mmio_ring *ring, const struct zone *z, u64 addr, unsigned int len,
		    const void *data)
{
	u32 last = __atomic_load_n(&ring->last, __ATOMIC_RELAXED) % KVM_COALESCED_MMIO_MAX;
	u32 first = __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE) % KVM_COALESCED_MMIO_MAX;
	struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[last];

	if ((last + 1) % KVM_COALESCED_MMIO_MAX == first)
		return -EOPNOTSUPP;
	entry->phys_addr = addr;
	entry->len = len;
	entry->pio = z->zone.pio;
	memcpy(entry->data, data, len);
	__atomic_store_n(&ring->last, (last + 1) % (u32)KVM_COALESCED_MMIO_MAX, __ATOMIC_RELEASE);
	return 0;
}

static int zone_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len, const void *data)
{
	struct zone *z = (struct zone *)dev;
	struct kvm_coalesced *co;
	int result;

	if (!vcpu || len > 8)
		return -EOPNOTSUPP;
	co = vcpu->kvm->coalesced;
	pthread_mutex_lock(&co->ring_lock);
	result = ring_put(co->ring, z, addr, len, data);
	pthread_mutex_unlock(&co->ring_lock);
	return result;
}

static const struct kvm_io_ops zone_ops = { .write = zone_write };

static struct kvm_io_bus *bus_of(struct kvm *kvm, const struct kvm_coalesced_mmio_zone *zone)
{
	return zone->pio ? &kvm->pio_bus : &kvm->mmio_bus;
}

long kvm_ioctl_register_coalesced(struct kvm_call *c)
{
	const struct kvm_coalesced_mmio_zone *zone = c->arg;
	struct zone *z;
	int error;

	if (zone->pio > 1)
		return -EINVAL;
	z = calloc(1, sizeof(*z));
	if (!z)
		return -ENOMEM;
	z->dev.ops = &zone_ops;
	z->zone = *zone;
	pthread_mutex_lock(&c->kvm->slots_lock);
	error = kvm_io_bus_register(bus_of(c->kvm, zone), zone->addr, zone->size, &z->dev);
	if (!error) {
		z->next = c->kvm->coalesced->zones;
		c->kvm->coalesced->zones = z;
	}
	pthread_mutex_unlock(&c->kvm->slots_lock);
	if (error)
		free(z);
	return error;
}

/* Every zone inside the given one goes; none is fine. */
long kvm_ioctl_unregister_coalesced(struct kvm_call *c)
{
	const struct kvm_coalesced_mmio_zone *zone = c->arg;
	struct zone **link;

	if (zone->pio > 1)
		return -EINVAL;
	pthread_mutex_lock(&c->kvm->slots_lock);
	link = &c->kvm->coalesced->zones;
	while (*link) {
		struct zone *z = *link;

		if (z->zone.pio != zone->pio || zone->addr < z->zone.addr ||
		    zone->size > z->zone.size || zone->addr - z->zone.addr > z->zone.size - zone->size) {
			link = &z->next;
			continue;
		}
		kvm_io_bus_unregister(bus_of(c->kvm, &z->zone), &z->dev);
		*link = z->next;
		free(z);
	}
	pthread_mutex_unlock(&c->kvm->slots_lock);
	return 0;
}
