// SPDX-License-Identifier: Apache-2.0
/* check: what must hold between the secure EPTs and the owners of pages, whatever the hosts and guests do (sept.h). */
#include "hw/tdx/sept.h"

struct check {
	struct tdx_module *mod;
	struct tdx_td *td;
	const char *wrong; /* the first thing */
};

static void complain(struct check *c, const char *what)
{
	if (!c->wrong)
		c->wrong = what;
}

/* Each page is behind one entry: its mark is set once. */
static void check_page(struct check *c, u64 page, unsigned int level, enum tdx_page_type type)
{
	struct pamt_entry *e = pamt_find(&c->mod->pamt, page);

	if (!e || e->td != c->td)
		complain(c, "a secure EPT entry points to a page that its TD does not own");
	else if (e->type != type || e->level != level)
		complain(c, "a secure EPT entry points to a page of another type or size");
	else if (e->seen)
		complain(c, "a page is behind two secure EPT entries");
	else
		e->seen = true;
}

/* A guest that accepts a page holds its entry meanwhile; under epoch_lock nobody enters or leaves. */
static bool held_by_a_guest(const struct check *c, const u64 *entry, unsigned int level)
{
	bool held;
	u64 e;

	pthread_mutex_lock(&c->td->epoch_lock);
	e = __atomic_load_n(entry, __ATOMIC_RELAXED);
	held = sept_state(e, level) == SEPT_PENDING && (c->td->epoch_users[0] || c->td->epoch_users[1]);
	pthread_mutex_unlock(&c->td->epoch_lock);
	return held || !(e & SEPT_LOCK);
}

static void check_table(struct check *c, const u64 *table, unsigned int level);

static void check_entry(struct check *c, const u64 *entry, unsigned int level)
{
	u64 e = __atomic_load_n(entry, __ATOMIC_RELAXED);
	enum sept_state state = sept_state(e, level);
	u64 page = sept_page(e);

	if (e & SEPT_LOCK && !held_by_a_guest(c, entry, level))
		complain(c, "a secure EPT entry is locked and nobody is at work");
	if (!(e & SEPT_SUPPRESS_VE))
		complain(c, "a secure EPT entry lets #VE through");
	if (state == SEPT_FREE)
		return;
	if (state == SEPT_NL_MAPPED || state == SEPT_NL_BLOCKED) {
		check_page(c, page, 0, TDX_PAGE_SEPT);
		if (!c->wrong)
			check_table(c, stage2_entry_table(e), level - 1);
		return;
	}
	/* a 1G leaf is made of 2M pages */
	for (u64 n = 0; n < hw_level_size(level + 1); n += hw_level_size(level > 0 ? 2 : 1))
		check_page(c, page + n, level > 0, TDX_PAGE_REGULAR);
}

static void check_table(struct check *c, const u64 *table, unsigned int level)
{
	for (unsigned int n = 0; n < SEPT_ENTRIES && !c->wrong; n++)
		check_entry(c, &table[n], level);
}

static void clear_mark(struct pamt_entry *e, void *opaque)
{
	e->seen = false;
}

/* After all entries were seen: what has no mark belongs to a TD that cannot reach it. */
static void check_mark(struct pamt_entry *e, void *opaque)
{
	struct check *c = opaque;
	bool behind_an_entry = e->type == TDX_PAGE_REGULAR || e->type == TDX_PAGE_SEPT;

	if (behind_an_entry && !e->seen && e->td->lifecycle < TD_TEARDOWN)
		complain(c, "a page belongs to a TD, and no secure EPT entry points to it");
}

const char *tdx_module_check(struct tdx_module *mod)
{
	struct check c = {.mod = mod};

	pthread_mutex_lock(&mod->lock);
	pamt_for_each(&mod->pamt, clear_mark, NULL);
	for (c.td = mod->tds; c.td && !c.wrong; c.td = c.td->next)
		if (c.td->lifecycle < TD_TEARDOWN &&
		    __atomic_load_n(&c.td->op_state, __ATOMIC_ACQUIRE) != TD_UNINITIALIZED)
			check_table(&c, c.td->sept.root, sept_top_level(c.td));
	if (!c.wrong)
		pamt_for_each(&mod->pamt, check_mark, &c);
	pthread_mutex_unlock(&mod->lock);
	return c.wrong;
}
