// SPDX-License-Identifier: Apache-2.0
/* One thread: each operation's answer is known before it is asked for. */
#include <errno.h>
#include <string.h>

#include "model.h"

#define CHECK_EVERY 64u

static unsigned int smaller(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

struct range {
	unsigned int first, pages;
};

/* Mostly few pages; sometimes a huge page or all. */
static struct range some_pages(struct rng *r, unsigned int limit)
{
	unsigned int first = rng_below(r, limit), pages;

	switch (rng_below(r, 8)) {
	case 0:
		first -= first % HUGE_PAGE;
		pages = HUGE_PAGE;
		break;
	case 1:
		pages = 1 + rng_below(r, limit);
		break;
	default:
		pages = 1 + rng_below(r, 8);
		break;
	}
	return (struct range){first, smaller(pages, limit - first)};
}

/* ---------------------------------------------------------------- accesses */

static bool agrees(enum answer answer, enum decision_outcome expected)
{
	switch (answer) {
	case DONE:
		return expected == DECISION_HVA || expected == DECISION_GMEM;
	case MMIO:
		return expected == DECISION_MMIO;
	case FAULT_SHARED:
		return expected == DECISION_MFX_S;
	case FAULT_PRIVATE:
		return expected == DECISION_MFX_P;
	case NO_MEMORY:
		return expected == DECISION_EFAULT;
	}
	return false;
}

static enum decision_outcome settle(const struct expectation *e, enum answer answer, unsigned int page)
{
	for (unsigned int i = 0; i < ANSWERS; i++)
		if (agrees(answer, e->outcome[i]))
			return e->outcome[i];
	fail("page %u: answer %d, expected %s", page, answer, decision_outcome_text[e->outcome[0]]);
}

/* The client sees what the guest has written to its memory, and nothing else. */
static void check_client(const struct model *model, unsigned int page)
{
	if (*client_word(model->m, page) != model->client[page])
		fail("client page %u holds %#x, not %#x", page, *client_word(model->m, page), model->client[page]);
}

static void do_load(struct model *model, struct rng *r)
{
	unsigned int page = rng_below(r, model->m->pages);
	bool claim = rng_below(r, 2);
	struct expectation e = model_expect(model, page, claim, false);
	enum decision_outcome outcome;
	const uint32_t *word;
	uint32_t value;

	OPERATION("load page %u, claim %u", page, claim);
	outcome = settle(&e, guest_load(model->m, &model->m->vcpu[rng_below(r, VCPUS)], page, claim, &value), page);
	word = model_word(model, page, outcome);
	if (word && value != *word)
		fail("page %u (%s): loaded %#x, not %#x", page, decision_outcome_text[outcome], value, *word);
	if (outcome == DECISION_MMIO && value != MMIO_VALUE)
		fail("page %u: MMIO gave %#x", page, value);
	model_accessed(model, page, outcome, false);
}

static void do_store(struct model *model, struct rng *r)
{
	unsigned int page = rng_below(r, model->m->pages);
	bool claim = rng_below(r, 2);
	uint32_t value = (uint32_t)rng_next(r) | 1;
	struct expectation e = model_expect(model, page, claim, true);
	enum decision_outcome outcome;
	uint32_t *word;

	OPERATION("store page %u, claim %u, value %#x", page, claim, value);
	outcome = settle(&e, guest_store(model->m, &model->m->vcpu[rng_below(r, VCPUS)], page, claim, value), page);
	word = model_word(model, page, outcome);
	if (word)
		*word = value;
	model_accessed(model, page, outcome, true);
	check_client(model, page);
}

/* The page at which the call stops; *stop: its outcome, HVA if there is none. */
static unsigned int prefault_end(const struct model *model, const struct range *range, enum decision_outcome *stop)
{
	unsigned int at = range->first;

	for (; at < range->first + range->pages; at++) {
		*stop = model_expect_prefault(model, at);
		if (*stop != DECISION_HVA && *stop != DECISION_GMEM)
			return at;
	}
	*stop = DECISION_HVA;
	return at;
}

static void do_prefault(struct model *model, struct rng *r)
{
	struct range range = some_pages(r, model->m->pages);
	unsigned int at = range.first, left = range.pages, end;
	enum decision_outcome stop;
	int result, expected = 0;

	OPERATION("pre-fault %u pages from %u", range.pages, range.first);
	end = prefault_end(model, &range, &stop);
	result = machine_prefault(&model->m->vcpu[rng_below(r, VCPUS)], &at, &left);
	if (end == range.first)
		expected = stop == DECISION_ENOENT ? -ENOENT : -EFAULT;
	if (result != expected || at != end || left != range.first + range.pages - end)
		fail("answer %d, at page %u, %u left; not %d at %u", result, at, left, expected, end);
	for (at = range.first; at < end; at++)
		model_accessed(model, at, model_expect_prefault(model, at), false);
	if (end < range.first + range.pages)
		model_accessed(model, end, stop, false);
}

/* ---------------------------------------------------------------- attributes */

static bool all_are(const struct model *model, const struct range *range, bool is_private)
{
	for (unsigned int i = range->first; i < range->first + range->pages; i++)
		if (model->page[i].is_private != is_private)
			return false;
	return true;
}

static void do_attributes(struct model *model, struct rng *r)
{
	struct range range = some_pages(r, model->m->pages);
	bool is_private = rng_below(r, 2);
	int result, expected = is_private && !model->m->has_private ? -EINVAL : 0;

	OPERATION("attributes of %u pages from %u: private %u", range.pages, range.first, is_private);
	result = machine_set_attributes(model->m, range.first, range.pages, is_private);
	if (result != expected)
		fail("answer %d", result);
	if (result || all_are(model, &range, is_private))
		return;
	for (unsigned int i = range.first; i < range.first + range.pages; i++) {
		model->page[i].is_private = is_private;
		if (model->page[i].slot != NO_SLOT_HERE)
			model_zapped(model, i, 1);
	}
}

/* ---------------------------------------------------------------- slots */

static bool is_free(const struct model *model, const struct range *range, unsigned int but)
{
	for (unsigned int i = range->first; i < range->first + range->pages; i++)
		if (model->page[i].slot != NO_SLOT_HERE && model->page[i].slot != but)
			return false;
	return true;
}

static void place(struct model *model, unsigned int slot, unsigned int first, unsigned int pages, bool there)
{
	for (unsigned int i = first; i < first + pages; i++)
		model->page[i].slot = there ? slot : NO_SLOT_HERE;
}

static bool is_bound(const struct model *model, unsigned int file, unsigned int first, unsigned int pages)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		const struct slot_model *s = &model->slot[i];

		if ((s->kind == DECISION_G || s->kind == DECISION_M) && s->file == file &&
		    s->file_page < first + pages && first < s->file_page + s->pages)
			return true;
	}
	return false;
}

static struct slot_model some_slot(struct model *model, struct rng *r)
{
	struct range range = some_pages(r, model->m->pages);
	struct slot_model s = {
		.kind = DECISION_U, .first = range.first, .pages = range.pages, .file = rng_below(r, FILES)};
	const struct file_model *file = &model->file[s.file];

	/* Mostly such that huge pages are possible. */
	s.client_page = rng_one_in(r, 4) ? rng_below(r, model->m->pages - s.pages + 1) : s.first;
	if (rng_one_in(r, 3) || file->fd < 0) {
		s.read_only = rng_one_in(r, 5);
		s.logged = rng_one_in(r, 3);
		return s;
	}
	s.kind = file->can_be_mapped ? DECISION_M : DECISION_G;
	s.file_page = rng_one_in(r, 3) ? rng_below(r, file->pages) : s.first;
	return s;
}

static uint32_t flags_of(const struct slot_model *s)
{
	if (s->kind != DECISION_U)
		return KVM_MEM_GUEST_MEMFD;
	return (s->read_only ? KVM_MEM_READONLY : 0) | (s->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0);
}

/* In the order of the checks. */
static int expect_create(const struct model *model, const struct slot_model *s, const struct range *range)
{
	bool old = model->m->column->config.kvm_compat == SOFTCVM_KVM_6_12;

	if (s->kind != DECISION_U && old && !model->m->has_private)
		return -EINVAL;
	if (!is_free(model, range, NO_SLOT_HERE))
		return -EEXIST;
	if (s->kind == DECISION_U)
		return 0;
	if (s->file_page + s->pages > model->file[s->file].pages)
		return -EINVAL;
	return is_bound(model, s->file, s->file_page, s->pages) ? (old ? -EINVAL : -EEXIST) : 0;
}

static void create(struct model *model, struct rng *r, unsigned int slot)
{
	struct slot_model s = some_slot(model, r);
	const struct range range = {s.first, s.pages};
	int fd = s.kind == DECISION_U ? -1 : model->file[s.file].fd, result,
	    expected = expect_create(model, &s, &range);

	OPERATION("create slot %u (kind %u), %u pages from %u, client page %u, file page %u", slot, s.kind, s.pages,
		  s.first, s.client_page, s.file_page);
	result = machine_set_slot(model->m, slot + 1, flags_of(&s), s.first, s.pages, s.client_page, fd, s.file_page);
	if (result != expected)
		fail("answer %d, not %d", result, expected);
	if (result)
		return;
	model->slot[slot] = s;
	place(model, slot, s.first, s.pages, true);
	model_slots_changed(model);
}

static void delete_slot(struct model *model, unsigned int slot)
{
	struct slot_model *s = &model->slot[slot];

	OPERATION("delete slot %u", slot);
	if (machine_set_slot(model->m, slot + 1, 0, 0, 0, 0, -1, 0))
		fail("not deleted");
	place(model, slot, s->first, s->pages, false);
	model_zapped(model, s->first, s->pages);
	model_slots_changed(model);
	s->kind = DECISION_NONE;
}

static void move(struct model *model, struct rng *r, unsigned int slot)
{
	struct slot_model *s = &model->slot[slot];
	const struct range to = {rng_below(r, model->m->pages - s->pages + 1), s->pages};
	int result, expected = s->kind == DECISION_U ? 0 : -EINVAL;
	int fd = s->kind == DECISION_U || s->file == FILES ? -1 : model->file[s->file].fd;

	OPERATION("move slot %u to %u", slot, to.first);
	if (!expected && to.first != s->first && !is_free(model, &to, slot))
		expected = -EEXIST;
	result =
		machine_set_slot(model->m, slot + 1, flags_of(s), to.first, s->pages, s->client_page, fd, s->file_page);
	if (result != expected)
		fail("answer %d, not %d", result, expected);
	if (result || to.first == s->first)
		return;
	place(model, slot, s->first, s->pages, false);
	model_zapped(model, s->first, s->pages);
	s->first = to.first;
	place(model, slot, s->first, s->pages, true);
	model_slots_changed(model);
}

/* Logging on or off; another attempt to make it read-only. */
static void change_flags(struct model *model, struct rng *r, unsigned int slot)
{
	struct slot_model *s = &model->slot[slot], new = *s;
	bool turn_read_only = rng_one_in(r, 4);
	int result, expected = turn_read_only || s->kind != DECISION_U ? -EINVAL : 0;

	OPERATION("flags of slot %u, read-only %u", slot, turn_read_only);
	new.kind = DECISION_U;
	new.logged = !s->logged;
	new.read_only ^= turn_read_only;
	result = machine_set_slot(model->m, slot + 1, flags_of(&new), s->first, s->pages, s->client_page, -1, 0);
	if (result != expected)
		fail("answer %d, not %d", result, expected);
	if (result)
		return;
	s->logged = new.logged;
	memset(s->dirty, 0, sizeof(s->dirty));
	model_zapped(model, s->first, s->pages);
	model_slots_changed(model);
}

static void read_dirty_log(struct model *model, unsigned int slot)
{
	struct slot_model *s = &model->slot[slot];
	uint64_t bits[PAGES / 64] = {0};
	int result;

	OPERATION("dirty log of slot %u", slot);
	result = machine_dirty_log(model->m, slot + 1, bits);
	if (result != (s->logged ? 0 : -ENOENT))
		fail("answer %d", result);
	if (!result && memcmp(bits, s->dirty, (s->pages + 63) / 64 * 8))
		fail("another dirty log than what was written");
	memset(s->dirty, 0, sizeof(s->dirty));
}

static void do_slot(struct model *model, struct rng *r)
{
	unsigned int slot = rng_below(r, SLOTS);

	if (model->slot[slot].kind == DECISION_NONE) {
		create(model, r, slot);
		return;
	}
	switch (rng_below(r, 5)) {
	case 0:
		delete_slot(model, slot);
		break;
	case 1:
		move(model, r, slot);
		break;
	case 2:
		change_flags(model, r, slot);
		break;
	default:
		read_dirty_log(model, slot);
		break;
	}
}

/* ---------------------------------------------------------------- files */

static void open_file(struct model *model, struct rng *r, unsigned int n)
{
	struct file_model *f = &model->file[n];
	bool old = model->m->column->config.kvm_compat == SOFTCVM_KVM_6_12;

	f->can_be_mapped = !old && rng_one_in(r, 3);
	f->pages = rng_one_in(r, 2) ? model->m->pages : 1 + rng_below(r, model->m->pages);
	OPERATION("open file %u of %u pages, can be mapped %u", n, f->pages, f->can_be_mapped);
	f->fd = machine_memfd(model->m, f->pages, f->can_be_mapped);
	if (f->fd < 0)
		fail("answer %d", f->fd);
	memset(f->word, 0, sizeof(f->word));
}

static void close_file(struct model *model, unsigned int n)
{
	OPERATION("close file %u", n);
	softcvm_close(model->file[n].fd);
	model->file[n].fd = -1;
	for (unsigned int i = 0; i < SLOTS; i++) {
		struct slot_model *s = &model->slot[i];

		if ((s->kind != DECISION_G && s->kind != DECISION_M) || s->file != n)
			continue;
		s->file = FILES;
		model_zapped(model, s->first, s->pages);
	}
}

static void do_file(struct model *model, struct rng *r)
{
	unsigned int n = rng_below(r, FILES);

	if (model->file[n].fd < 0)
		open_file(model, r, n);
	else
		close_file(model, n);
}

/* The part of the window behind which the pages of the file stand is unmapped. */
static void zap_file(struct model *model, unsigned int file, const struct range *hole)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		const struct slot_model *s = &model->slot[i];

		unsigned int from = s->file_page > hole->first ? s->file_page : hole->first;
		unsigned int to = smaller(s->file_page + s->pages, hole->first + hole->pages);

		if ((s->kind == DECISION_G || s->kind == DECISION_M) && s->file == file && from < to)
			model_zapped(model, s->first + from - s->file_page, to - from);
	}
}

static void do_punch(struct model *model, struct rng *r)
{
	unsigned int file = rng_below(r, FILES);
	struct file_model *f = &model->file[file];
	struct range hole = some_pages(r, model->m->pages);
	int result, expected = f->fd < 0 ? -EBADF : 0;

	OPERATION("hole in file %u, %u pages from %u", file, hole.pages, hole.first);
	result = machine_punch(f->fd, hole.first, hole.pages);
	if (result != expected)
		fail("answer %d", result);
	if (result)
		return;
	for (unsigned int i = hole.first; i < smaller(hole.first + hole.pages, f->pages); i++)
		f->word[i] = 0;
	zap_file(model, file, &hole);
}

static void do_allocate(struct model *model, struct rng *r)
{
	unsigned int file = rng_below(r, FILES);
	const struct file_model *f = &model->file[file];
	const struct range range = some_pages(r, model->m->pages);
	int result, expected = f->fd < 0 ? -EBADF : range.first + range.pages > f->pages ? -EINVAL : 0;

	OPERATION("allocate in file %u, %u pages from %u", file, range.pages, range.first);
	result = machine_allocate(f->fd, range.first, range.pages);
	if (result != expected)
		fail("answer %d, not %d", result, expected);
}

/* ---------------------------------------------------------------- all of them */

static const struct {
	void (*operate)(struct model *model, struct rng *r);
	unsigned int weight;
} operations[] = {
	{do_load, 26}, {do_store, 26},	 {do_attributes, 24}, {do_punch, 8},
	{do_slot, 8},  {do_prefault, 3}, {do_allocate, 2},    {do_file, 1},
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static void operate(struct model *model, struct rng *r)
{
	unsigned int pick = rng_below(r, 98);

	for (unsigned int i = 0; i < OPERATIONS; i++) {
		if (pick < operations[i].weight) {
			operations[i].operate(model, r);
			return;
		}
		pick -= operations[i].weight;
	}
}

static void end(struct model *model)
{
	for (unsigned int i = 0; i < SLOTS; i++)
		if (model->slot[i].kind != DECISION_NONE)
			delete_slot(model, i);
	for (unsigned int i = 0; i < FILES; i++)
		if (model->file[i].fd >= 0)
			close_file(model, i);
	if (machine_set_attributes(model->m, 0, model->m->pages, false))
		fail("not shared again");
}

void run_sequential(struct machine *m, struct rng *r, unsigned long count)
{
	static struct model model;

	memset(&model, 0, sizeof(model));
	model.m = m;
	for (unsigned int i = 0; i < PAGES; i++)
		model.page[i].slot = NO_SLOT_HERE;
	for (unsigned int i = 0; i < FILES; i++)
		model.file[i].fd = -1;
	for (unsigned int i = 0; i < FILES; i++)
		open_file(&model, r, i);
	for (unsigned long i = 0; i < count; i++) {
		operate(&model, r);
		if (i % CHECK_EVERY == 0)
			machine_check(m);
	}
	for (unsigned int i = 0; i < m->pages; i++)
		check_client(&model, i);
	end(&model);
	machine_check(m);
}
