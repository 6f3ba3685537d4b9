// SPDX-License-Identifier: Apache-2.0
/*
 * sept: entries of a secure EPT, their states, and what each operation makes of each state.
 *
 * States of an entry at level n (0: 4K; the root's entries are of the highest level):
 *   FREE             nothing there. The guest's access exits.
 *   MAPPED           a page with contents that the guest reads, writes and executes.
 *   PENDING          a page that the guest has not accepted: its access is #VE or an exit, TDG.MEM.PAGE.ACCEPT clears the page.
 *   BLOCKED,         as MAPPED or PENDING, but no new translation can be made: on the way to removal, after which (and after
 *   PENDING_BLOCKED  TLB tracking) nobody uses the page any more. The guest's access exits.
 *   NL_MAPPED        a table of 512 entries of level n-1.
 *   NL_BLOCKED       a table behind which nothing can be translated any more.
 * The guest changes an entry in one case only (PENDING to MAPPED); all else is the host's, by the module's leaves.
 *
 * Locking. An entry with SEPT_LOCK set belongs to whoever set it; the processor's walk ignores the bit. Host leaves hold sept_lock,
 * so that an entry is contended between one host leaf and guests only.
 *
 * Invariants: a page behind an entry is owned by the TD in the PAMT, mapped by this entry only, and stays so while any
 * translation of it may be in use.
 */
#pragma once

#include "hw/tdx/module.h"

/* TDX ABI, secure EPT entry. 51:12 is the address. */
#define SEPT_RWX	 7ull
#define SEPT_MEMTYPE_WB	 (6ull << 3)
#define SEPT_IPAT	 (1ull << 6)
#define SEPT_LEAF	 (1ull << 7) /* at level 0 every entry is one */
#define SEPT_LOCK	 (1ull << 11)
#define SEPT_BLOCKED_BIT (1ull << 55)
#define SEPT_PENDING_BIT (1ull << 56)
#define SEPT_SUPPRESS_VE STAGE2_EPT_SUPPRESS_VE
#define SEPT_FREE_ENTRY	 SEPT_SUPPRESS_VE
#define SEPT_ENTRIES	 512u

enum sept_state {
	SEPT_FREE,
	SEPT_BLOCKED,
	SEPT_PENDING,
	SEPT_PENDING_BLOCKED,
	SEPT_MAPPED,
	SEPT_NL_MAPPED,
	SEPT_NL_BLOCKED,
	SEPT_STATE_COUNT
};

enum sept_op {
	SEPT_OP_SEPT_ADD,
	SEPT_OP_PAGE_ADD,
	SEPT_OP_PAGE_AUG,
	SEPT_OP_BLOCK,
	SEPT_OP_UNBLOCK,
	SEPT_OP_PAGE_REMOVE,
	SEPT_OP_DEMOTE,
	SEPT_OP_PROMOTE,
	SEPT_OP_SEPT_REMOVE,
	SEPT_OP_MR_EXTEND,
	SEPT_OP_ACCEPT,
	SEPT_OP_COUNT
};

enum sept_verdict {
	SEPT_STATE_WRONG,	 /* EPT_ENTRY_STATE_INCORRECT */
	SEPT_DO,		 /* to `next` */
	SEPT_DO_TRACKED,	 /* to `next`, if TLB tracking is done or not required: TLB_TRACKING_NOT_DONE */
	SEPT_DO_UNLESS_TRACKING, /* to `next`, if TLB tracking is not required: GPA_RANGE_NOT_BLOCKED */
	SEPT_ALREADY_BLOCKED,	 /* GPA_RANGE_ALREADY_BLOCKED */
	SEPT_ALREADY_ACCEPTED,	 /* PAGE_ALREADY_ACCEPTED */
	SEPT_WRONG_SIZE,	 /* PAGE_SIZE_MISMATCH */
	SEPT_NOT_PRESENT,	 /* EPT_ENTRY_NOT_PRESENT */
	SEPT_TD_EXIT,		 /* the guest leaf becomes an EPT violation for the host */
};

struct sept_rule {
	u8 verdict; /* enum sept_verdict */
	u8 next;    /* enum sept_state. Where it depends on the children (PROMOTE, DEMOTE) the leaf says */
};
extern const struct sept_rule sept_rules[SEPT_OP_COUNT][SEPT_STATE_COUNT];

/* Levels that the operation takes. */
struct sept_levels {
	u8 min, max;
};
extern const struct sept_levels sept_levels[SEPT_OP_COUNT];

static inline unsigned int sept_top_level(const struct tdx_td *td)
{
	return td->sept.levels - 1;
}
enum sept_state sept_state(u64 entry, unsigned int level);
unsigned int sept_public_state(enum sept_state state);
/* A leaf (its state one of the leaf states) or a table. */
u64 sept_make(enum sept_state state, u64 page, unsigned int level);
static inline u64 sept_page(u64 entry)
{
	return entry & STAGE2_ADDR_MASK;
}

struct sept_walk {
	u64 *entry;
	u64 value; /* as read */
	unsigned int level;
	enum sept_state state;
};
/* Down to `level`; false if an entry above it is not a table that can be walked: that one is in *w. */
bool sept_walk(const struct tdx_td *td, u64 gpa, unsigned int level, struct sept_walk *w);
/* Takes the entry as the walk saw it: false if it is locked or has changed. */
bool sept_lock_entry(struct sept_walk *w);
void sept_unlock_entry(struct sept_walk *w, u64 value);
/* Every entry becomes SEPT_FREE_ENTRY. 0 or -EFAULT. */
int sept_clear_table(u64 page);

/* RDX of failed and of informative leaves. */
static inline u64 sept_details(const struct sept_walk *w)
{
	return w->level | (u64)sept_public_state(w->state) << 8;
}
