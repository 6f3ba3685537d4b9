// SPDX-License-Identifier: Apache-2.0
#include "hw/tdx/pamt.h"

#include <errno.h>
#include <stdlib.h>

#define REGION_SHIFT 21
#define REGION_PAGES 512u
#define BUCKETS	     (sizeof(((struct pamt *)0)->bucket) / sizeof(struct pamt_region *))

/* 2M of address space of which something is owned: whole, or page by page. */
struct pamt_region {
	struct pamt_region *next;
	u64 number;
	unsigned int used; /* pages */
	struct pamt_entry whole;
	struct pamt_entry *page; /* NULL: owned as a whole */
};

static struct pamt_region **bucket_of(struct pamt *p, u64 number)
{
	return &p->bucket[(number ^ number >> 12) % BUCKETS];
}

static struct pamt_region *find_region(struct pamt *p, u64 page)
{
	struct pamt_region *r = *bucket_of(p, page >> REGION_SHIFT);

	while (r && r->number != page >> REGION_SHIFT)
		r = r->next;
	return r;
}

static struct pamt_region *new_region(struct pamt *p, u64 page, unsigned int level)
{
	struct pamt_region **bucket = bucket_of(p, page >> REGION_SHIFT);
	struct pamt_region *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->number = page >> REGION_SHIFT;
	if (level == 0) {
		r->page = calloc(REGION_PAGES, sizeof(*r->page));
		if (!r->page) {
			free(r);
			return NULL;
		}
	}
	r->next = *bucket;
	*bucket = r;
	return r;
}

static void drop_region(struct pamt *p, struct pamt_region *r)
{
	struct pamt_region **at = bucket_of(p, r->number);

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	free(r->page);
	free(r);
}

static struct pamt_entry *page_entry(struct pamt_region *r, u64 page)
{
	return &r->page[page >> HW_PAGE_SHIFT & (REGION_PAGES - 1)];
}

int pamt_take(struct pamt *p, u64 page, unsigned int level, const struct pamt_entry *e)
{
	struct pamt_region *r = find_region(p, page);
	struct pamt_entry *at;

	if (r && (level > 0 || !r->page || page_entry(r, page)->type != TDX_PAGE_FREE))
		return -EBUSY;
	if (!r)
		r = new_region(p, page, level);
	if (!r)
		return -ENOMEM;
	at = level > 0 ? &r->whole : page_entry(r, page);
	*at = *e;
	at->level = level;
	r->used += level > 0 ? REGION_PAGES : 1;
	return 0;
}

void pamt_release(struct pamt *p, u64 page, unsigned int level)
{
	struct pamt_region *r = find_region(p, page);

	if (level > 0)
		r->used = 0;
	else
		r->used--;
	if (r->used)
		*page_entry(r, page) = (struct pamt_entry){.type = TDX_PAGE_FREE};
	else
		drop_region(p, r);
}

struct pamt_entry *pamt_find(struct pamt *p, u64 page)
{
	struct pamt_region *r = find_region(p, page);
	struct pamt_entry *e;

	if (!r)
		return NULL;
	e = r->page ? page_entry(r, page) : &r->whole;
	return e->type == TDX_PAGE_FREE ? NULL : e;
}

int pamt_split(struct pamt *p, u64 page)
{
	struct pamt_region *r = find_region(p, page);

	r->page = calloc(REGION_PAGES, sizeof(*r->page));
	if (!r->page)
		return -ENOMEM;
	for (unsigned int n = 0; n < REGION_PAGES; n++) {
		r->page[n] = r->whole;
		r->page[n].level = 0;
	}
	return 0;
}

void pamt_merge(struct pamt *p, u64 page)
{
	struct pamt_region *r = find_region(p, page);

	r->whole = r->page[0];
	r->whole.level = 1;
	free(r->page);
	r->page = NULL;
}

static void for_each_page(struct pamt_region *r, void (*fn)(struct pamt_entry *e, void *opaque), void *opaque)
{
	for (unsigned int n = 0; n < REGION_PAGES; n++)
		if (r->page[n].type != TDX_PAGE_FREE)
			fn(&r->page[n], opaque);
}

void pamt_for_each(struct pamt *p, void (*fn)(struct pamt_entry *e, void *opaque), void *opaque)
{
	for (unsigned int n = 0; n < BUCKETS; n++) {
		for (struct pamt_region *r = p->bucket[n]; r; r = r->next) {
			if (r->page)
				for_each_page(r, fn, opaque);
			else
				fn(&r->whole, opaque);
		}
	}
}

void pamt_destroy(struct pamt *p)
{
	for (unsigned int n = 0; n < BUCKETS; n++) {
		while (p->bucket[n])
			drop_region(p, p->bucket[n]);
	}
}
