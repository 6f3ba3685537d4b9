// SPDX-License-Identifier: Apache-2.0
/* mem: host leaves of memory (TDX ABI TDH.MEM.*, TDH.MR.EXTEND): each is one row of sept_rules and what goes with it.
 */
#include <string.h>

#include "hw/tdx/sept.h"

/* A leaf that changes one entry, between begin() and end(). */
struct sept_change {
	struct sept_walk w;
	u64 gpa;
	unsigned int level;
	enum sept_op op;
	u64 value; /* to be written by end() */
};

/* ---------------------------------------------------------------- operands */

/* RCX: 2:0 level, 11:3 zero, 51:12 a private page aligned to the level. */
static u64 decode_gpa(const struct seam_call *s, struct sept_change *c)
{
	const struct sept_levels *l = &sept_levels[c->op];
	unsigned int top = sept_top_level(s->td);
	u64 rcx = s->regs->rcx;

	c->level = rcx & 7;
	c->gpa = rcx & ~7ull;
	if (c->level < l->min || c->level > (l->max < top ? l->max : top))
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	if (c->gpa & (hw_level_size(c->level + 1) - 1) || !td_gpa_valid(s->td, c->gpa) || c->gpa & s->td->shared_bit)
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	return TDX_SUCCESS;
}

/* TLB tracking matters once vCPUs may have run. */
static bool tracking_required(const struct tdx_td *td)
{
	return td->op_state == TD_RUNNABLE;
}

/* BEPOCH is kept with the page that the entry points to. */
static u64 entry_bepoch(struct tdx_td *td, const struct sept_walk *w)
{
	struct pamt_entry *e;
	u64 bepoch;

	pthread_mutex_lock(&td->mod->lock);
	e = pamt_find(&td->mod->pamt, sept_page(w->value));
	bepoch = e->bepoch;
	pthread_mutex_unlock(&td->mod->lock);
	return bepoch;
}

static u64 judge(struct tdx_td *td, const struct sept_change *c)
{
	switch ((enum sept_verdict)sept_rules[c->op][c->w.state].verdict) {
	case SEPT_DO:
		return TDX_SUCCESS;
	case SEPT_DO_TRACKED:
		if (!tracking_required(td) || td_tracked(td, entry_bepoch(td, &c->w)))
			return TDX_SUCCESS;
		return TDX_TLB_TRACKING_NOT_DONE | (c->op == SEPT_OP_UNBLOCK ? TDX_OP_SEPT_TREE : TDX_OP_RCX);
	case SEPT_DO_UNLESS_TRACKING:
		return tracking_required(td) ? TDX_GPA_RANGE_NOT_BLOCKED | TDX_OP_RCX : TDX_SUCCESS;
	case SEPT_ALREADY_BLOCKED:
		return TDX_GPA_RANGE_ALREADY_BLOCKED | TDX_OP_RCX;
	case SEPT_NOT_PRESENT:
		return TDX_EPT_ENTRY_NOT_PRESENT;
	default:
		return TDX_EPT_ENTRY_STATE_INCORRECT | TDX_OP_RCX;
	}
}

static void details(struct seam_call *s, const struct sept_walk *w)
{
	s->regs->rcx = w->value;
	s->regs->rdx = sept_details(w);
}

/* On success the entry is locked, and so is the tree, until end(). */
static u64 begin(struct seam_call *s, enum sept_op op, struct sept_change *c)
{
	u64 status;

	c->op = op;
	status = decode_gpa(s, c);
	if (status)
		return status;
	pthread_mutex_lock(&s->td->sept_lock);
	if (!sept_walk(s->td, c->gpa, c->level, &c->w)) {
		status = (op == SEPT_OP_MR_EXTEND ? TDX_EPT_ENTRY_NOT_PRESENT : TDX_EPT_WALK_FAILED) | TDX_OP_RCX;
		details(s, &c->w);
	} else if (!sept_lock_entry(&c->w)) {
		status = TDX_OPERAND_BUSY | TDX_OP_RCX;
	} else {
		c->value = sept_make(sept_rules[op][c->w.state].next, sept_page(c->w.value), c->level);
		status = judge(s->td, c);
		if (!status)
			return TDX_SUCCESS;
		sept_unlock_entry(&c->w, c->w.value);
		details(s, &c->w);
	}
	pthread_mutex_unlock(&s->td->sept_lock);
	return status;
}

/* Writes the new entry, or on failure the old one. */
static u64 end(struct seam_call *s, struct sept_change *c, u64 status)
{
	enum sept_state now = sept_state(c->value, c->level);

	sept_unlock_entry(&c->w, status ? c->w.value : c->value);
	pthread_mutex_unlock(&s->td->sept_lock);
	if (!status && now != c->w.state)
		observe(s->mod->obs, OBSERVE_TDX_SEPT, -1, c->gpa, c->level, sept_public_state(c->w.state),
			sept_public_state(now));
	return status;
}

/* The host page in R8, of the entry's size. */
static u64 page_operand(const struct seam_call *s, unsigned int level)
{
	u64 page = s->regs->r8;

	if (!tdx_page_operand(page) || page & (hw_level_size(level + 1) - 1))
		return TDX_OPERAND_INVALID | TDX_OP_R8;
	return TDX_SUCCESS;
}

/* Nothing of a page's contents outlives its removal: on hardware what is left is ciphertext. */
static void wipe(u64 page, unsigned int level)
{
	static const u8 zero[4096];

	for (u64 n = 0; n < hw_level_size(level + 1); n += sizeof(zero))
		hw_copy_to_host(hpa(page + n), zero, sizeof(zero));
}

/* A 1G leaf is made of 2M pages. */
static void release_pages(struct tdx_td *td, u64 page, unsigned int level)
{
	u64 size = hw_level_size(level + 1), unit = level > 1 ? hw_level_size(2) : size;

	wipe(page, level);
	for (u64 n = 0; n < size; n += unit)
		tdx_page_give_back(td, page + n, level > 0);
}

/* ---------------------------------------------------------------- tables */

u64 tdh_mem_sept_add(struct seam_call *s)
{
	struct sept_change c;
	u64 status = page_operand(s, 0);

	if (!status)
		status = begin(s, SEPT_OP_SEPT_ADD, &c);
	if (status)
		return status;
	status = tdx_page_take(s->td, s->regs->r8, 0, TDX_PAGE_SEPT, NULL, TDX_OP_R8);
	if (!status && sept_clear_table(s->regs->r8)) {
		tdx_page_give_back(s->td, s->regs->r8, 0);
		status = TDX_OPERAND_INVALID | TDX_OP_R8;
	}
	c.value = sept_make(SEPT_NL_MAPPED, s->regs->r8, c.level);
	return end(s, &c, status);
}

static bool all_children_free(const u64 *table)
{
	for (unsigned int n = 0; n < SEPT_ENTRIES; n++)
		if (__atomic_load_n(&table[n], __ATOMIC_RELAXED) != SEPT_FREE_ENTRY)
			return false;
	return true;
}

u64 tdh_mem_sept_remove(struct seam_call *s)
{
	struct sept_change c;
	u64 status = begin(s, SEPT_OP_SEPT_REMOVE, &c), page;

	if (status)
		return status;
	page = sept_page(c.w.value);
	if (!all_children_free(stage2_entry_table(c.w.value)))
		status = TDX_EPT_PAGE_NOT_FREE | TDX_OP_RCX;
	if (!status)
		tdx_page_give_back(s->td, page, 0);
	status = end(s, &c, status);
	if (!status)
		s->regs->rcx = page;
	return status;
}

u64 tdh_mem_sept_rd(struct seam_call *s)
{
	struct sept_change c = {.op = SEPT_OP_BLOCK}; /* any level */
	u64 status = decode_gpa(s, &c);

	if (status)
		return status;
	pthread_mutex_lock(&s->td->sept_lock);
	if (!sept_walk(s->td, c.gpa, c.level, &c.w))
		status = TDX_EPT_WALK_FAILED | TDX_OP_RCX;
	pthread_mutex_unlock(&s->td->sept_lock);
	c.w.value &= ~SEPT_LOCK;
	details(s, &c.w);
	return status;
}

/* ---------------------------------------------------------------- pages */

static bool owned_by_a_td(struct tdx_module *mod, u64 page)
{
	bool owned;

	pthread_mutex_lock(&mod->lock);
	owned = pamt_find(&mod->pamt, page) != NULL;
	pthread_mutex_unlock(&mod->lock);
	return owned;
}

u64 tdh_mem_page_add(struct seam_call *s)
{
	struct sept_change c;
	u64 status = page_operand(s, 0), source = s->regs->r9, page = s->regs->r8;

	if (!status && (!tdx_page_operand(source) || owned_by_a_td(s->mod, source)))
		status = TDX_OPERAND_INVALID | TDX_OP_R9;
	if (!status)
		status = begin(s, SEPT_OP_PAGE_ADD, &c);
	if (status)
		return status;
	status = tdx_page_take(s->td, page, 0, TDX_PAGE_REGULAR, NULL, TDX_OP_R8);
	/* The source may be the page itself (TDX ABI: add in place). */
	if (!status && source != page && hw_copy_to_host(hpa(page), hpa_to_ptr(hpa(source)), HW_PAGE_SIZE)) {
		tdx_page_give_back(s->td, page, 0);
		status = TDX_OPERAND_INVALID | TDX_OP_R9;
	}
	c.value = sept_make(SEPT_MAPPED, page, 0);
	if (!status) {
		pthread_mutex_lock(&s->td->mr_lock);
		tdx_mr_page_add(s->td->mr, gpa(c.gpa));
		pthread_mutex_unlock(&s->td->mr_lock);
	}
	return end(s, &c, status);
}

u64 tdh_mem_page_aug(struct seam_call *s)
{
	struct sept_change c;
	u64 status = page_operand(s, s->regs->rcx & 7);

	if (!status)
		status = begin(s, SEPT_OP_PAGE_AUG, &c);
	if (status)
		return status;
	status = tdx_page_take(s->td, s->regs->r8, c.level, TDX_PAGE_REGULAR, NULL, TDX_OP_R8);
	c.value = sept_make(SEPT_PENDING, s->regs->r8, c.level);
	return end(s, &c, status);
}

u64 tdh_mem_page_remove(struct seam_call *s)
{
	struct sept_change c;
	u64 status = begin(s, SEPT_OP_PAGE_REMOVE, &c), page;

	if (status)
		return status;
	page = sept_page(c.w.value);
	release_pages(s->td, page, c.level);
	status = end(s, &c, status);
	s->regs->rcx = page;
	return status;
}

/* ---------------------------------------------------------------- size changes */

static enum sept_state unblocked(enum sept_state state)
{
	return state == SEPT_BLOCKED ? SEPT_MAPPED : state == SEPT_PENDING_BLOCKED ? SEPT_PENDING : state;
}

static int fill_table(u64 page, const struct sept_change *c)
{
	u64 table[SEPT_ENTRIES];
	u64 step = hw_level_size(c->level);

	for (unsigned int n = 0; n < SEPT_ENTRIES; n++)
		table[n] = sept_make(unblocked(c->w.state), sept_page(c->w.value) + n * step, c->level - 1);
	return hw_copy_to_host(hpa(page), table, sizeof(table));
}

static u64 split_owner(struct tdx_td *td, const struct sept_change *c)
{
	int r = 0;

	pthread_mutex_lock(&td->mod->lock);
	if (c->level == 1)
		r = pamt_split(&td->mod->pamt, sept_page(c->w.value));
	pthread_mutex_unlock(&td->mod->lock);
	return r ? TDX_OPERAND_BUSY | TDX_OP_R8 : TDX_SUCCESS;
}

u64 tdh_mem_page_demote(struct seam_call *s)
{
	struct sept_change c;
	u64 status = page_operand(s, 0), table = s->regs->r8;

	if (!status)
		status = begin(s, SEPT_OP_DEMOTE, &c);
	if (status)
		return status;
	status = tdx_page_take(s->td, table, 0, TDX_PAGE_SEPT, NULL, TDX_OP_R8);
	if (!status) {
		status = fill_table(table, &c) ? TDX_OPERAND_INVALID | TDX_OP_R8 : split_owner(s->td, &c);
		if (status)
			tdx_page_give_back(s->td, table, 0);
	}
	c.value = sept_make(SEPT_NL_MAPPED, table, c.level);
	return end(s, &c, status);
}

/* 512 children of one state, contiguous from an aligned page. The state is theirs; SEPT_FREE: they are not. */
static enum sept_state promotable(const struct sept_change *c, u64 *page)
{
	const u64 *table = stage2_entry_table(c->w.value);
	enum sept_state state = sept_state(table[0], c->level - 1);
	u64 step = hw_level_size(c->level);

	*page = sept_page(table[0]);
	if ((state != SEPT_MAPPED && state != SEPT_PENDING) || *page & (hw_level_size(c->level + 1) - 1))
		return SEPT_FREE;
	for (unsigned int n = 0; n < SEPT_ENTRIES; n++)
		if (__atomic_load_n(&table[n], __ATOMIC_RELAXED) != sept_make(state, *page + n * step, c->level - 1))
			return SEPT_FREE;
	return state;
}

u64 tdh_mem_page_promote(struct seam_call *s)
{
	struct sept_change c;
	u64 status = begin(s, SEPT_OP_PROMOTE, &c), table, page;
	enum sept_state state;

	if (status)
		return status;
	table = sept_page(c.w.value);
	state = promotable(&c, &page);
	if (state == SEPT_FREE)
		return end(s, &c, TDX_EPT_INVALID_PROMOTE_CONDITIONS | TDX_OP_RCX);
	if (c.level == 1) {
		pthread_mutex_lock(&s->mod->lock);
		pamt_merge(&s->mod->pamt, page);
		pthread_mutex_unlock(&s->mod->lock);
	}
	tdx_page_give_back(s->td, table, 0);
	c.value = sept_make(state, page, c.level);
	status = end(s, &c, TDX_SUCCESS);
	s->regs->rcx = table;
	return status;
}

/* ---------------------------------------------------------------- blocking and tracking */

u64 tdh_mem_range_block(struct seam_call *s)
{
	struct sept_change c;
	u64 status = begin(s, SEPT_OP_BLOCK, &c), epoch;

	if (status)
		return status;
	pthread_mutex_lock(&s->td->epoch_lock);
	epoch = s->td->epoch;
	pthread_mutex_unlock(&s->td->epoch_lock);
	pthread_mutex_lock(&s->mod->lock);
	pamt_find(&s->mod->pamt, sept_page(c.w.value))->bepoch = epoch;
	pthread_mutex_unlock(&s->mod->lock);
	return end(s, &c, status);
}

u64 tdh_mem_range_unblock(struct seam_call *s)
{
	struct sept_change c;
	u64 status = begin(s, SEPT_OP_UNBLOCK, &c);

	return status ? status : end(s, &c, status);
}

/* TDX ABI TDH.MEM.TRACK: the next epoch begins when nobody is left from the one before. */
u64 tdh_mem_track(struct seam_call *s)
{
	struct tdx_td *td = s->td;
	u64 status = TDX_SUCCESS;

	pthread_mutex_lock(&td->epoch_lock);
	if (td->epoch_users[(td->epoch - 1) & 1])
		status = TDX_PREVIOUS_TLB_EPOCH_BUSY;
	else
		td->epoch++;
	pthread_mutex_unlock(&td->epoch_lock);
	return status;
}

/* ---------------------------------------------------------------- measurement */

u64 tdh_mr_extend(struct seam_call *s)
{
	u64 chunk = s->regs->rcx, status;
	u8 data[TDX_EXTEND_CHUNK];
	struct sept_change c;

	if (chunk & (TDX_EXTEND_CHUNK - 1))
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	s->regs->rcx = chunk & HW_PAGE_MASK;
	status = begin(s, SEPT_OP_MR_EXTEND, &c);
	if (status == (TDX_OPERAND_INVALID | TDX_OP_RCX))
		s->regs->rcx = chunk;
	if (status)
		return status;
	c.value = c.w.value;
	if (hw_copy_from_host(data, hpa(sept_page(c.w.value) + (chunk & ~HW_PAGE_MASK)), sizeof(data)))
		return end(s, &c, TDX_OPERAND_INVALID | TDX_OP_RCX);
	pthread_mutex_lock(&s->td->mr_lock);
	tdx_mr_extend(s->td->mr, gpa(chunk), data);
	pthread_mutex_unlock(&s->td->mr_lock);
	s->regs->rcx = chunk;
	return end(s, &c, TDX_SUCCESS);
}
