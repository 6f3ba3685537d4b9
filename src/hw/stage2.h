// SPDX-License-Identifier: Apache-2.0
/*
 * stage2: radix page tables as EPT (SDM 3C 28.3.2) and NPT (APM2 15.25) have them.
 *
 * kvm writes the entries (or, for a secure EPT, only the TDX module); hw walks them. Entries are read
 * and written with single 64-bit atomics. A table is one zeroed, 4 KiB aligned page of the writer's;
 * it may be freed only after hw_vm_flush() has returned, since a vCPU may be walking it until then.
 */
#pragma once

#include "hw/addr.h"

enum stage2_format { STAGE2_EPT, STAGE2_NPT };

#define STAGE2_R (1u << 0)
#define STAGE2_W (1u << 1)
#define STAGE2_X (1u << 2)
#define STAGE2_RWX (STAGE2_R | STAGE2_W | STAGE2_X)

struct stage2 {
	enum stage2_format format;
	unsigned int levels; /* 4 or 5 */
	u64 *root;	     /* NULL: every access is a violation */
};

enum stage2_result {
	STAGE2_OK,
	STAGE2_NOT_PRESENT, /* EPT violation / NPF with P=0 */
	STAGE2_PERMISSION,  /* EPT violation / NPF with P=1 */
	STAGE2_RESERVED,    /* EPT misconfiguration / NPF with RSVD=1: kvm's MMIO entries */
};

struct stage2_walk {
	enum stage2_result result;
	unsigned int level; /* of the entry at which the walk ended */
	unsigned int perms; /* STAGE2_*, of the whole path */
	u64 entry;
	hpa_t hpa; /* of the byte; only for STAGE2_OK */
};

#define STAGE2_ADDR_MASK 0x000ffffffffff000ull
/* EPT: a violation at this entry exits. Clear, and #VEs enabled for the vCPU: the guest gets #VE (SDM 3C 26.5.7.1). */
#define STAGE2_EPT_SUPPRESS_VE (1ull << 63)

/* EPT: R W X in 2:0, memory type 5:3 (6 = WB), PS 7. NPT: P 0, W 1, US 2, PS 7, NX 63. */
static inline u64 stage2_make_leaf(enum stage2_format f, hpa_t hpa, unsigned int level, unsigned int perms)
{
	u64 e = hpa.v & STAGE2_ADDR_MASK;

	if (level > HW_LEVEL_4K)
		e |= 1u << 7;
	if (f == STAGE2_EPT)
		return e | perms | 6u << 3;
	return e | 1 | 1u << 2 | (perms & STAGE2_W) | (perms & STAGE2_X ? 0 : 1ull << 63);
}

static inline u64 stage2_make_table(const u64 *table)
{
	return ((u64)(uintptr_t)table & STAGE2_ADDR_MASK) | 7; /* EPT RWX, NPT P W US */
}

/*
 * kvm's MMIO marker: an entry that is present but malformed, so that hw reports STAGE2_RESERVED.
 * EPT: write+execute without read (misconfiguration, SDM 3C 28.3.3.1). NPT: present with reserved bit 51.
 */
static inline u64 stage2_make_mmio(enum stage2_format f)
{
	return f == STAGE2_EPT ? 6 : 1ull << 51 | 7;
}

static inline bool stage2_present(enum stage2_format f, u64 e)
{
	return f == STAGE2_EPT ? (e & 7) != 0 : (e & 1) != 0;
}

static inline bool stage2_is_reserved(enum stage2_format f, u64 e)
{
	return f == STAGE2_EPT ? (e & 7) == 2 || (e & 7) == 6 : (e & 1) && (e >> 51 & 1);
}

static inline bool stage2_is_leaf(u64 e, unsigned int level) { return level == HW_LEVEL_4K || (e >> 7 & 1); }
static inline u64 *stage2_entry_table(u64 e) { return (u64 *)(uintptr_t)(e & STAGE2_ADDR_MASK); }

static inline unsigned int stage2_perms(enum stage2_format f, u64 e)
{
	if (f == STAGE2_EPT)
		return e & 7;
	return (e & 1 ? STAGE2_R : 0) | (e & 2) | (e >> 63 ? 0 : STAGE2_X);
}

static inline unsigned int stage2_index(gpa_t a, unsigned int level)
{
	return a.v >> (HW_PAGE_SHIFT + 9 * (level - 1)) & 511;
}

/* `access`: STAGE2_* that the access needs. Never fails otherwise than by out->result. */
void stage2_walk(const struct stage2 *s2, gpa_t a, unsigned int access, struct stage2_walk *out);
