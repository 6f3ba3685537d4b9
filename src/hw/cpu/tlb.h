// SPDX-License-Identifier: Apache-2.0
/*
 * tlb: what the TLB arrays of struct hw_cpu need besides the entries themselves (tlb.c). Handlers look only at the
 * arrays.
 *
 * `valid` has a bit for every entry that is filled, so that a flush costs what was filled. Everything belongs to the
 * vCPU's thread: others post REQ_TLB_FLUSH.
 *
 * A stage-2 translation (guest frame to host page) is kept apart from the combined ones: it survives MOV CR3, since
 * only kvm can revoke it (SDM 3C 28.4.1, guest-physical mappings).
 */
#pragma once

#include "hw/addr.h"

#define TLB_BITS  10
#define TLB_SIZE  (1u << TLB_BITS)
#define TLB_WORDS (TLB_SIZE / 64)
_Static_assert(TLB_WORDS <= 16, "one bit for each in tlb_state.used");
#define TLB_TAG_INVALID 1ull /* not page aligned: never equal to a masked address */
#define TLB_TAG_PRIVATE 2ull /* struct tlb_s2_entry: through ctl.s2_private */

/*
 * Sets, so that what differs by privilege needs no flush: CPL 3; supervisor; supervisor with RFLAGS.AC set while
 * CR4.SMAP is (user pages are accessible). The last is never filled: CPL 3 with alignment checks (RFLAGS.AC and
 * CR0.AM), so that every access takes the slow path.
 */
enum { TLB_SUPERVISOR, TLB_USER, TLB_SUPERVISOR_AC, TLB_UNCACHED, TLB_MODES };
enum { TLB_READ, TLB_WRITE, TLB_KINDS };

#define TLB_FETCH_SIZE	64u /* one word of valid bits */
#define TLB_TABLE_SIZE	64u /* likewise */
#define TLB_S2_SIZE	1024u
#define TLB_LARGE_WORDS 4

struct tlb_fetch_entry {
	u64 tag;  /* linear page, or TLB_TAG_INVALID */
	u64 page; /* host */
};

/* Where the last table of a walk is, and what the path to it allows (SDM 3A 4.10.3, paging-structure caches). */
struct tlb_table_entry {
	u64 tag;   /* linear address of the region that the table maps, or TLB_TAG_INVALID */
	u64 table; /* guest-physical */
	bool writable, user, nx;
};

struct tlb_s2_entry {
	u64 tag; /* guest-physical page, perhaps TLB_TAG_PRIVATE, or TLB_TAG_INVALID */
	u64 page;
	u8 perms;
	u8 level;
};

struct tlb_state {
	bool ready;
	u16 used[TLB_KINDS][TLB_MODES]; /* bit n: word n of `valid` is not 0 */
	u64 valid[TLB_KINDS][TLB_MODES][TLB_WORDS];
	u64 global[TLB_KINDS][TLB_MODES][TLB_WORDS];
	/* Hashed: regions of which parts of a large guest page were filled; INVLPG must drop them all (SDM
	 * 3A 4.10.4.1). */
	u64 large_4m[TLB_LARGE_WORDS], large_1g[TLB_LARGE_WORDS];
	u64 fetch_valid[2];
	struct tlb_fetch_entry fetch[2][TLB_FETCH_SIZE]; /* TLB_SUPERVISOR, TLB_USER */
	u64 table_valid;
	struct tlb_table_entry table[TLB_TABLE_SIZE];
	struct tlb_s2_entry s2[TLB_S2_SIZE];
};
