// SPDX-License-Identifier: Apache-2.0
/* Answers from the decision table, and what accesses leave behind. */
#include "model.h"

static const struct decision *find(enum decision_condition condition, bool claim, bool is_private,
				   enum decision_slot slot)
{
	for (size_t i = 0; i < decision_count; i++) {
		const struct decision *d = &decisions[i];

		if (d->condition == condition && d->claim == (claim ? DECISION_P : DECISION_S) &&
		    d->attribute == (is_private ? DECISION_P : DECISION_S) && d->slot == slot)
			return d;
	}
	fail("the decision table has no row for %s, claim %d, attribute %d, slot %s",
	     decision_condition_text[condition], claim, is_private, decision_slot_text[slot]);
}

static const struct slot_model *slot_of(const struct model *model, unsigned int page)
{
	unsigned int slot = model->page[page].slot;

	return slot == NO_SLOT_HERE ? NULL : &model->slot[slot];
}

static enum decision_outcome row(const struct model *model, enum decision_condition condition, unsigned int page,
				 bool claim)
{
	const struct slot_model *slot = slot_of(model, page);

	return find(condition, claim, model->page[page].is_private, slot ? slot->kind : DECISION_NONE)
		->outcome[model->m->column->cells];
}

/* Memory of a file that is closed is no memory. */
static enum decision_outcome without_file(const struct model *model, unsigned int page, enum decision_outcome outcome)
{
	const struct slot_model *slot = slot_of(model, page);

	if (outcome != DECISION_GMEM || slot->file != FILES)
		return outcome;
	return row(model, DECISION_MEMFD_CLOSED, page, model->page[page].is_private);
}

/* No entry is met: the whole path. */
static enum decision_outcome by_the_path(const struct model *model, unsigned int page, bool claim, bool store)
{
	const struct slot_model *slot = slot_of(model, page);
	enum decision_outcome outcome = row(model, DECISION_ACCESS, page, claim);

	if (outcome == DECISION_HVA && store && slot->read_only)
		return row(model, DECISION_READ_ONLY, page, claim);
	return without_file(model, page, outcome);
}

/* An entry is met. Its claim is shared unless hardware says otherwise. */
static enum decision_outcome by_the_entry(const struct model *model, unsigned int page, bool claim, bool store)
{
	bool current = model->page[page].entry_generation == model->generation;

	claim = claim && model->m->hardware_claim;
	if (current && !slot_of(model, page))
		return row(model, DECISION_ENTRY_CURRENT, page, claim);
	return claim ? DECISION_EFAULT : by_the_path(model, page, false, store);
}

struct expectation model_expect(const struct model *model, unsigned int page, bool claim, bool store)
{
	const struct page_model *p = &model->page[page];
	bool path_claim = model->m->hardware_claim ? claim : p->is_private;
	enum decision_outcome path = by_the_path(model, page, path_claim, store);
	enum decision_outcome entry = p->entry ? by_the_entry(model, page, claim, store) : path;
	/* The processor of the VM type for tests makes claims, but asks for them only where it must ask kvm. */
	enum decision_outcome hit = p->mapped ? by_the_path(model, page, p->is_private, store) : path;

	return (struct expectation){{p->entry == ENTRY_THERE ? entry : path, entry, hit}};
}

enum decision_outcome model_expect_prefault(const struct model *model, unsigned int page)
{
	return without_file(model, page, row(model, DECISION_PREFAULT, page, model->page[page].is_private));
}

uint32_t *model_word(struct model *model, unsigned int page, enum decision_outcome outcome)
{
	const struct slot_model *slot = slot_of(model, page);

	if (outcome == DECISION_HVA)
		return &model->client[slot->client_page + page - slot->first];
	if (outcome == DECISION_GMEM)
		return &model->file[slot->file].word[slot->file_page + page - slot->first];
	return NULL;
}

/* Entries in the tables that may have been replaced. */
static void doubt(struct model *model, unsigned int first, unsigned int pages)
{
	for (unsigned int i = first; i < first + pages && i < model->m->pages; i++)
		if (model->page[i].entry == ENTRY_THERE)
			model->page[i].entry = ENTRY_MAYBE;
}

static void mapped(struct model *model, unsigned int page, enum decision_outcome outcome)
{
	/* Perhaps as a part of a huge page. */
	if (outcome == DECISION_HVA)
		doubt(model, page - page % HUGE_PAGE, HUGE_PAGE);
	model->page[page].entry = ENTRY_NONE;
	model->page[page].mapped = true;
}

void model_accessed(struct model *model, unsigned int page, enum decision_outcome outcome, bool store)
{
	struct page_model *p = &model->page[page];
	struct slot_model *slot = p->slot == NO_SLOT_HERE ? NULL : &model->slot[p->slot];

	if (outcome == DECISION_HVA || outcome == DECISION_GMEM)
		mapped(model, page, outcome);
	else if ((outcome == DECISION_MMIO || outcome == DECISION_ENOENT) && !slot) {
		p->entry = ENTRY_THERE;
		p->entry_generation = model->generation;
	}
	if (outcome == DECISION_HVA && store && slot->logged)
		slot->dirty[(page - slot->first) / 64] |= UINT64_C(1) << (page - slot->first) % 64;
}

void model_zapped(struct model *model, unsigned int first, unsigned int pages)
{
	doubt(model, first, pages);
	for (unsigned int i = first; i < first + pages; i++)
		model->page[i].mapped = false;
}

void model_slots_changed(struct model *model)
{
	model->generation++;
}
