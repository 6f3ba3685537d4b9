// SPDX-License-Identifier: Apache-2.0
/*
 * Port and memory-mapped I/O: ranges with a handler each. Ranges are added before the first vCPU runs and stay; handlers are
 * called from any vCPU's thread and lock for themselves. What nobody claims reads as all ones, as on a PC bus.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BUS_MAX_RANGES 24

struct bus_ops {
	const char *name;
	/* size 1, 2, 4 or 8; the access lies within the range. */
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned int size);
	void (*write)(void *opaque, uint64_t offset, unsigned int size, uint64_t value);
	/* May be NULL: what is at the offset, more exactly than `name`. */
	const char *(*describe)(void *opaque, uint64_t offset);
};

struct bus {
	struct {
		uint64_t start, size;
		const struct bus_ops *ops;
		void *opaque;
	} range[BUS_MAX_RANGES];
	unsigned int nr_ranges;
};

/* Setup only; more than BUS_MAX_RANGES is a mistake in the VMM and ends in abort(). */
void bus_add(struct bus *bus, uint64_t start, uint64_t size, const struct bus_ops *ops, void *opaque);
uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned int size);
void bus_write(const struct bus *bus, uint64_t addr, unsigned int size, uint64_t value);
/* NULL: nobody claims it. */
const char *bus_describe(const struct bus *bus, uint64_t addr);

static inline uint64_t bus_ones(unsigned int size)
{
	return size >= 8 ? ~0ull : (1ull << (size * 8)) - 1;
}
