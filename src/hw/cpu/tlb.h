// SPDX-License-Identifier: Apache-2.0
/*
 * tlb: what the TLB arrays of struct hw_cpu need besides the entries themselves (tlb.c). Handlers look only at the arrays.
 *
 * `valid` has a bit for every entry that is filled, so that a flush costs what was filled. Everything belongs to the vCPU's
 * thread: others post REQ_TLB_FLUSH.
 *
 * A stage-2 translation (guest frame to host page) is kept apart from the combined ones: it survives MOV CR3, since only
 * kvm can revoke it (SDM 3C 28.4.1, guest-physical mappings).
 */
#pragma once

#include "hw/addr.h"

#define TLB_BITS 10
#define TLB_SIZE (1u << TLB_BITS)
#define TLB_WORDS (TLB_SIZE / 64)
#define TLB_TAG_INVALID 1ull /* not page aligned: never equal to a masked address */

/*
 * Sets, so that what differs by privilege needs no flush: CPL 3; supervisor; supervisor with RFLAGS.AC set while CR4.SMAP is
 * (user pages are accessible). The last is never filled: CPL 3 with alignment checks (RFLAGS.AC and CR0.AM), so that every
 * access takes the slow path.
 */
enum { TLB_SUPERVISOR, TLB_USER, TLB_SUPERVISOR_AC, TLB_UNCACHED, TLB_MODES };
enum { TLB_READ, TLB_WRITE, TLB_KINDS };

#define TLB_FETCH_SIZE 64u
#define TLB_S2_SIZE 256u
#define TLB_LARGE_WORDS 4

struct tlb_fetch_entry {
	u64 tag;  /* linear page, or TLB_TAG_INVALID */
	u64 page; /* host */
};

struct tlb_s2_entry {
	u64 tag; /* guest-physical page, or TLB_TAG_INVALID */
	u64 page;
	u8 perms;
	u8 level;
};

struct tlb_state {
	bool ready;
	u64 valid[TLB_KINDS][TLB_MODES][TLB_WORDS];
	u64 global[TLB_KINDS][TLB_MODES][TLB_WORDS];
	/* Hashed: regions of which parts of a large guest page were filled; INVLPG must drop them all (SDM 3A 4.10.4.1). */
	u64 large_4m[TLB_LARGE_WORDS], large_1g[TLB_LARGE_WORDS];
	struct tlb_fetch_entry fetch[2][TLB_FETCH_SIZE]; /* TLB_SUPERVISOR, TLB_USER */
	struct tlb_s2_entry s2[TLB_S2_SIZE];
};
