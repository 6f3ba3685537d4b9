// SPDX-License-Identifier: Apache-2.0
#include "hw/tdx/sept.h"

#define DO(state)                                                                                                      \
	{                                                                                                              \
		SEPT_DO, SEPT_##state                                                                                  \
	}
#define TRACKED(state)                                                                                                 \
	{                                                                                                              \
		SEPT_DO_TRACKED, SEPT_##state                                                                          \
	}
#define UNTRACKED(state)                                                                                               \
	{                                                                                                              \
		SEPT_DO_UNLESS_TRACKING, SEPT_##state                                                                  \
	}
#define SAYS(verdict)                                                                                                  \
	{                                                                                                              \
		SEPT_##verdict, 0                                                                                      \
	}
#define WRONG SAYS(STATE_WRONG)

/* TDX ABI, secure EPT state machine. Columns in the order of enum sept_state:
 * FREE, BLOCKED, PENDING, PENDING_BLOCKED, MAPPED, NL_MAPPED, NL_BLOCKED */
const struct sept_rule sept_rules[][SEPT_STATE_COUNT] = {
	[SEPT_OP_SEPT_ADD] = {DO(NL_MAPPED), WRONG, WRONG, WRONG, WRONG, WRONG, WRONG},
	[SEPT_OP_PAGE_ADD] = {DO(MAPPED), WRONG, WRONG, WRONG, WRONG, WRONG, WRONG},
	[SEPT_OP_PAGE_AUG] = {DO(PENDING), WRONG, WRONG, WRONG, WRONG, WRONG, WRONG},
	[SEPT_OP_BLOCK] = {WRONG, SAYS(ALREADY_BLOCKED), DO(PENDING_BLOCKED), SAYS(ALREADY_BLOCKED), DO(BLOCKED),
			   DO(NL_BLOCKED), SAYS(ALREADY_BLOCKED)},
	[SEPT_OP_UNBLOCK] = {WRONG, TRACKED(MAPPED), WRONG, TRACKED(PENDING), WRONG, WRONG, TRACKED(NL_MAPPED)},
	[SEPT_OP_PAGE_REMOVE] = {WRONG, TRACKED(FREE), UNTRACKED(FREE), TRACKED(FREE), UNTRACKED(FREE), WRONG, WRONG},
	[SEPT_OP_DEMOTE] = {WRONG, TRACKED(NL_MAPPED), UNTRACKED(NL_MAPPED), TRACKED(NL_MAPPED), UNTRACKED(NL_MAPPED),
			    WRONG, WRONG},
	[SEPT_OP_PROMOTE] = {WRONG, WRONG, WRONG, WRONG, WRONG, UNTRACKED(MAPPED), TRACKED(MAPPED)},
	[SEPT_OP_SEPT_REMOVE] = {WRONG, WRONG, WRONG, WRONG, WRONG, UNTRACKED(FREE), TRACKED(FREE)},
	[SEPT_OP_MR_EXTEND] = {SAYS(NOT_PRESENT), SAYS(NOT_PRESENT), SAYS(NOT_PRESENT), SAYS(NOT_PRESENT), DO(MAPPED),
			       SAYS(NOT_PRESENT), SAYS(NOT_PRESENT)},
	[SEPT_OP_ACCEPT] = {SAYS(TD_EXIT), SAYS(TD_EXIT), DO(MAPPED), SAYS(TD_EXIT), SAYS(ALREADY_ACCEPTED),
			    SAYS(WRONG_SIZE), SAYS(WRONG_SIZE)},
};
static_assert(sizeof(sept_rules) / sizeof(sept_rules[0]) == SEPT_OP_COUNT, "every operation has its row");
static_assert(SEPT_STATE_COUNT == 7, "every row has a cell for each state");

#define TOP 0xff /* the highest level of the TD */

const struct sept_levels sept_levels[] = {
	[SEPT_OP_SEPT_ADD] = {1, TOP}, [SEPT_OP_PAGE_ADD] = {0, 0},  [SEPT_OP_PAGE_AUG] = {0, 1},
	[SEPT_OP_BLOCK] = {0, TOP},    [SEPT_OP_UNBLOCK] = {0, TOP}, [SEPT_OP_PAGE_REMOVE] = {0, 2},
	[SEPT_OP_DEMOTE] = {1, 2},     [SEPT_OP_PROMOTE] = {1, 2},   [SEPT_OP_SEPT_REMOVE] = {1, TOP},
	[SEPT_OP_MR_EXTEND] = {0, 0},  [SEPT_OP_ACCEPT] = {0, 1},
};
static_assert(sizeof(sept_levels) / sizeof(sept_levels[0]) == SEPT_OP_COUNT, "every operation has its levels");

/* ---------------------------------------------------------------- entries */

enum sept_state sept_state(u64 e, unsigned int level)
{
	bool blocked = e & SEPT_BLOCKED_BIT;

	if (!(e & (SEPT_RWX | SEPT_BLOCKED_BIT | SEPT_PENDING_BIT)))
		return SEPT_FREE;
	if (level > 0 && !(e & SEPT_LEAF))
		return blocked ? SEPT_NL_BLOCKED : SEPT_NL_MAPPED;
	if (e & SEPT_PENDING_BIT)
		return blocked ? SEPT_PENDING_BLOCKED : SEPT_PENDING;
	return blocked ? SEPT_BLOCKED : SEPT_MAPPED;
}

unsigned int sept_public_state(enum sept_state state)
{
	static const u8 public[] = {
		[SEPT_FREE] = TDX_SEPT_FREE,
		[SEPT_BLOCKED] = TDX_SEPT_BLOCKED,
		[SEPT_PENDING] = TDX_SEPT_PENDING,
		[SEPT_PENDING_BLOCKED] = TDX_SEPT_PENDING_BLOCKED,
		[SEPT_MAPPED] = TDX_SEPT_MAPPED,
		[SEPT_NL_MAPPED] = TDX_SEPT_NL_MAPPED,
		[SEPT_NL_BLOCKED] = TDX_SEPT_NL_BLOCKED,
	};
	static_assert(sizeof(public) == SEPT_STATE_COUNT, "every state has its public number");

	return public[state];
}

u64 sept_make(enum sept_state state, u64 page, unsigned int level)
{
	static const u64 bits[] = {
		[SEPT_FREE] = 0,
		[SEPT_BLOCKED] = SEPT_BLOCKED_BIT,
		[SEPT_PENDING] = SEPT_PENDING_BIT,
		[SEPT_PENDING_BLOCKED] = SEPT_PENDING_BIT | SEPT_BLOCKED_BIT,
		[SEPT_MAPPED] = SEPT_RWX,
		[SEPT_NL_MAPPED] = SEPT_RWX,
		[SEPT_NL_BLOCKED] = SEPT_BLOCKED_BIT,
	};
	static_assert(sizeof(bits) / sizeof(bits[0]) == SEPT_STATE_COUNT, "every state has its bits");
	u64 e = bits[state] | SEPT_SUPPRESS_VE;

	if (state == SEPT_FREE)
		return e;
	e |= page & STAGE2_ADDR_MASK;
	if (state != SEPT_NL_MAPPED && state != SEPT_NL_BLOCKED)
		e |= SEPT_MEMTYPE_WB | SEPT_IPAT | (level > 0 ? SEPT_LEAF : 0);
	return e;
}

/* ---------------------------------------------------------------- the walk */

bool sept_walk(const struct tdx_td *td, u64 address, unsigned int level, struct sept_walk *w)
{
	u64 *table = td->sept.root;

	for (w->level = sept_top_level(td);; w->level--) {
		w->entry = &table[stage2_index(gpa(address), w->level + 1)];
		w->value = __atomic_load_n(w->entry, __ATOMIC_ACQUIRE);
		w->state = sept_state(w->value, w->level);
		if (w->level == level)
			return true;
		if (w->state != SEPT_NL_MAPPED)
			return false;
		table = stage2_entry_table(w->value);
	}
}

bool sept_lock_entry(struct sept_walk *w)
{
	u64 expected = w->value & ~SEPT_LOCK;

	w->value = expected;
	return __atomic_compare_exchange_n(w->entry, &expected, expected | SEPT_LOCK, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

void sept_unlock_entry(struct sept_walk *w, u64 value)
{
	__atomic_store_n(w->entry, value, __ATOMIC_RELEASE);
}

int sept_clear_table(u64 page)
{
	u64 table[SEPT_ENTRIES];

	for (unsigned int n = 0; n < SEPT_ENTRIES; n++)
		table[n] = SEPT_FREE_ENTRY;
	return hw_copy_to_host(hpa(page), table, sizeof(table));
}
