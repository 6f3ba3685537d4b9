// SPDX-License-Identifier: Apache-2.0
/* Ranges in a treap. */
#include "kvm/range_map.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

struct range_node {
	u64 start, end, value;
	u64 priority;
	struct range_node *left, *right; /* left is also the list of the spare ones */
};

/* One change cuts at both ends and adds one range. */
#define NODES_PER_CHANGE 3u

/* ---------------------------------------------------------------- nodes */

static void give_back(struct range_map *map, struct range_node *node)
{
	if (map->spares >= NODES_PER_CHANGE) {
		free(node);
		return;
	}
	node->left = map->spare;
	map->spare = node;
	map->spares++;
}

/* Priorities that a client cannot foresee keep the tree shallow. */
static u64 next_random(struct range_map *map)
{
	if (!map->random && getrandom(&map->random, sizeof(map->random), GRND_NONBLOCK) != sizeof(map->random))
		map->random = 0x9e3779b97f4a7c15ull;
	map->random ^= map->random << 13;
	map->random ^= map->random >> 7;
	map->random ^= map->random << 17;
	return map->random;
}

static struct range_node *take(struct range_map *map, u64 start, u64 end, u64 value)
{
	struct range_node *node = map->spare;

	map->spare = node->left;
	map->spares--;
	*node = (struct range_node){ .start = start, .end = end, .value = value, .priority = next_random(map) };
	return node;
}

int range_map_reserve(struct range_map *map)
{
	while (map->spares < NODES_PER_CHANGE) {
		struct range_node *node = malloc(sizeof(*node));

		if (!node)
			return -ENOMEM;
		give_back(map, node);
	}
	return 0;
}

static void give_back_tree(struct range_map *map, struct range_node *node)
{
	if (!node)
		return;
	give_back_tree(map, node->left);
	give_back_tree(map, node->right);
	give_back(map, node);
}

static void free_tree(struct range_node *node)
{
	if (!node)
		return;
	free_tree(node->left);
	free_tree(node->right);
	free(node);
}

void range_map_destroy(struct range_map *map)
{
	free_tree(map->root);
	while (map->spare) {
		struct range_node *node = map->spare;

		map->spare = node->left;
		free(node);
	}
	*map = (struct range_map){ 0 };
}

/* ---------------------------------------------------------------- the tree */

/* Ranges that start before `at`, and the others. */
static void split(struct range_node *node, u64 at, struct range_node **before, struct range_node **others)
{
	if (!node) {
		*before = *others = NULL;
	} else if (node->start < at) {
		*before = node;
		split(node->right, at, &node->right, others);
	} else {
		*others = node;
		split(node->left, at, before, &node->left);
	}
}

/* Every range of `a` lies before every range of `b`. */
static struct range_node *join(struct range_node *a, struct range_node *b)
{
	if (!a || !b)
		return a ? a : b;
	if (a->priority > b->priority) {
		a->right = join(a->right, b);
		return a;
	}
	b->left = join(a, b->left);
	return b;
}

static struct range_node *last(struct range_node *node)
{
	while (node && node->right)
		node = node->right;
	return node;
}

static struct range_node *take_first(struct range_node **root)
{
	struct range_node **at = root, *node;

	while ((*at)->left)
		at = &(*at)->left;
	node = *at;
	*at = node->right;
	node->right = NULL;
	return node;
}

static struct range_node *first(struct range_node *node)
{
	while (node && node->left)
		node = node->left;
	return node;
}

/* The last range that starts at or before the position. */
static struct range_node *find(const struct range_map *map, u64 at, u64 *next)
{
	struct range_node *node = map->root, *found = NULL;

	*next = ~0ull;
	while (node) {
		if (node->start > at) {
			*next = node->start;
			node = node->left;
		} else {
			found = node;
			node = node->right;
		}
	}
	return found;
}

u64 range_map_get(const struct range_map *map, u64 at, u64 *end)
{
	u64 next;
	const struct range_node *node = find(map, at, &next);
	bool inside = node && at < node->end;

	if (end)
		*end = inside ? node->end : next;
	return inside ? node->value : 0;
}

/* ---------------------------------------------------------------- a change */

/* No range lies across the position. */
static void cut(struct range_map *map, u64 at)
{
	struct range_node *before, *others, *rest;
	u64 next;
	struct range_node *node = find(map, at, &next);

	if (!node || node->start == at || node->end <= at)
		return;
	rest = take(map, at, node->end, node->value);
	node->end = at;
	split(map->root, at, &before, &others);
	map->root = join(join(before, rest), others);
}

/* The new range between `before` and `after`, one with its neighbours where they have the same value. */
static void add(struct range_map *map, struct range_node *before, struct range_node *after, u64 start, u64 end, u64 value)
{
	struct range_node *l = last(before), *r = first(after);

	if (r && r->start == end && r->value == value) {
		r = take_first(&after);
		end = r->end;
		give_back(map, r);
	}
	if (l && l->end == start && l->value == value)
		l->end = end;
	else
		before = join(before, take(map, start, end, value));
	map->root = join(before, after);
}

static void insert(struct range_map *map, u64 start, u64 end, u64 value)
{
	struct range_node *node = take(map, start, end, value), **at = &map->root;

	while (*at && (*at)->priority >= node->priority)
		at = start < (*at)->start ? &(*at)->left : &(*at)->right;
	split(*at, start, &node->left, &node->right);
	*at = node;
}

static void remove_node(struct range_map *map, struct range_node *node)
{
	struct range_node **at = &map->root;

	while (*at != node)
		at = node->start < (*at)->start ? &(*at)->left : &(*at)->right;
	*at = join(node->left, node->right);
	give_back(map, node);
}

/* A part of one range, or all of it, becomes 0. */
static void clear_inside(struct range_map *map, struct range_node *node, u64 start, u64 end)
{
	u64 old_end = node->end;

	if (node->start == start && old_end == end) {
		remove_node(map, node);
	} else if (node->start == start) {
		node->start = end;
	} else {
		node->end = start;
		if (end < old_end)
			insert(map, end, old_end, node->value);
	}
}

/*
 * The changes that are made most, of a few positions inside one range or between two: none needs the tree to be cut. false: it
 * does.
 */
static bool set_locally(struct range_map *map, u64 start, u64 end, u64 value)
{
	u64 next;
	struct range_node *node = find(map, start, &next);

	if (node && start < node->end) {
		if (value || end > node->end)
			return false;
		clear_inside(map, node, start, end);
		return true;
	}
	if (!value)
		return end <= next;
	/* It may become one with the range behind it. */
	if (end >= next)
		return false;
	if (node && node->end == start && node->value == value)
		node->end = end;
	else
		insert(map, start, end, value);
	return true;
}

void range_map_set(struct range_map *map, u64 start, u64 end, u64 value)
{
	struct range_node *before, *middle, *after;

	if (set_locally(map, start, end, value))
		return;
	cut(map, start);
	cut(map, end);
	split(map->root, start, &before, &middle);
	split(middle, end, &middle, &after);
	if (value)
		add(map, before, after, start, end, value);
	else
		map->root = join(before, after);
	give_back_tree(map, middle);
}
