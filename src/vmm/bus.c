// SPDX-License-Identifier: Apache-2.0
/* Port and memory-mapped I/O dispatch. */
#include "vmm/bus.h"

#include <stdlib.h>

void bus_add(struct bus *bus, uint64_t start, uint64_t size, const struct bus_ops *ops, void *opaque)
{
	if (bus->nr_ranges == BUS_MAX_RANGES)
		abort();
	bus->range[bus->nr_ranges].start = start;
	bus->range[bus->nr_ranges].size = size;
	bus->range[bus->nr_ranges].ops = ops;
	bus->range[bus->nr_ranges++].opaque = opaque;
}

/* The range that holds the whole access, or -1. The first one added wins, so a port inside another's range can be its own. */
static int find(const struct bus *bus, uint64_t addr, unsigned int size)
{
	for (unsigned int i = 0; i < bus->nr_ranges; i++) {
		uint64_t offset = addr - bus->range[i].start;

		if (addr >= bus->range[i].start && offset < bus->range[i].size && size <= bus->range[i].size - offset)
			return (int)i;
	}
	return -1;
}

uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned int size)
{
	int i = find(bus, addr, size);

	if (i < 0)
		return bus_ones(size);
	return bus->range[i].ops->read(bus->range[i].opaque, addr - bus->range[i].start, size) & bus_ones(size);
}

void bus_write(const struct bus *bus, uint64_t addr, unsigned int size, uint64_t value)
{
	int i = find(bus, addr, size);

	if (i >= 0)
		bus->range[i].ops->write(bus->range[i].opaque, addr - bus->range[i].start, size, value & bus_ones(size));
}

const char *bus_describe(const struct bus *bus, uint64_t addr)
{
	int i = find(bus, addr, 1);

	if (i < 0)
		return NULL;
	return bus->range[i].ops->describe ? bus->range[i].ops->describe(bus->range[i].opaque, addr - bus->range[i].start) :
					     bus->range[i].ops->name;
}
