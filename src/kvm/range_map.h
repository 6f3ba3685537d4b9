// SPDX-License-Identifier: Apache-2.0
/*
 * A function from 64-bit positions to values, as ranges: cost follows the number of boundaries, never the length of a range.
 *
 * Value 0 takes no memory; neighbours of equal value are one range. The ranges are the nodes of a treap (a search tree by
 * start, a heap by random priority). The owner locks: readers may run beside readers, a change runs alone.
 */
#pragma once

#include <stdbool.h>

#include "hw/addr.h"

struct range_node;

struct range_map {
	struct range_node *root;
	struct range_node *spare;
	unsigned int spares;
	u64 random;
};

void range_map_destroy(struct range_map *map);

/* The value at the position; *end (may be NULL): where it next changes, ~0 for never. */
u64 range_map_get(const struct range_map *map, u64 at, u64 *end);
static inline bool range_map_is(const struct range_map *map, u64 start, u64 end, u64 value)
{
	u64 until;

	return range_map_get(map, start, &until) == value && until >= end;
}

/* Makes sure that the next change cannot fail: 0 or -ENOMEM, and nothing has changed. */
int range_map_reserve(struct range_map *map);
/* After range_map_reserve(). start < end. */
void range_map_set(struct range_map *map, u64 start, u64 end, u64 value);
