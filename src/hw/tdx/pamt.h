// SPDX-License-Identifier: Apache-2.0
/*
 * pamt: who owns a physical page (TDX ABI, physical address metadata table). A page has one owner or none; what is not in the
 * table is the host's.
 *
 * Pages are owned in units of 4K or 2M. A 2M page may be split into 512 of 4K and back without a moment at which it is free.
 * The module's lock protects all of it.
 */
#pragma once

#include "hw/tdx/tdx.h"

struct tdx_td;

struct pamt_entry {
	u8 type;  /* enum tdx_page_type */
	u8 level; /* 0: 4K, 1: 2M */
	bool seen; /* check.c's own */
	u64 bepoch; /* of the entry that maps the page: TD epoch when it was blocked */
	struct tdx_td *td;
	void *object; /* TDX_PAGE_TDR: struct tdx_td, TDX_PAGE_TDVPR: struct tdx_vp */
};

struct pamt_region;
struct pamt {
	struct pamt_region *bucket[4096];
};

void pamt_destroy(struct pamt *p);
/* Calls fn for what is owned: pages of 4K, and 2M pages as a whole. */
void pamt_for_each(struct pamt *p, void (*fn)(struct pamt_entry *e, void *opaque), void *opaque);
/* 0, -EBUSY: part of it has an owner, -ENOMEM */
int pamt_take(struct pamt *p, u64 page, unsigned int level, const struct pamt_entry *e);
/* Only what pamt_take() took, in that size, or split into it. */
void pamt_release(struct pamt *p, u64 page, unsigned int level);
/* NULL: the host's. Of a 2M page every part finds the whole. */
struct pamt_entry *pamt_find(struct pamt *p, u64 page);
/* A 2M page becomes 512 of 4K with the same owner. 0 or -ENOMEM. */
int pamt_split(struct pamt *p, u64 page);
/* 512 pages of one owner and type become one. */
void pamt_merge(struct pamt *p, u64 page);
