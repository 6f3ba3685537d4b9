// SPDX-License-Identifier: Apache-2.0
/*
 * Several threads at once. Attributes, slots, pre-faults and dirty logs change under two running guests; the invariants
 * are checked all the while.
 *
 * Each guest has pages that only it writes, and into which only its thread punches holes. So the thread knows what the
 * two pages behind each of them hold, the client's and the guest_memfd's, whatever the others do to the way there; it
 * learns by looking at the client's page which of the two a store has reached.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "random.h"

#define GUESTS 2u
/* The window: a slot with a guest_memfd, a logged one of the client's, and room in which a third one moves. */
enum { SLOT_FILE = 1, SLOT_LOGGED, SLOT_MOVING };

struct words {
	uint32_t client, file;
};

struct scene {
	struct machine *m;
	struct rng seed;
	int fd; /* -1: no guest_memfd on this VM type */
	bool can_be_mapped;
	unsigned int file_pages, logged_pages; /* the rest is for the slot that moves */
	struct words words[PAGES];
	_Atomic uint64_t written[PAGES / 64], logged[PAGES / 64];
	_Atomic bool closed;
	_Atomic unsigned int changing; /* threads */
	_Atomic unsigned long accesses;
};

struct guest_thread {
	struct scene *s;
	unsigned int n;
	struct rng r;
};

static bool is_file_page(const struct scene *s, unsigned int page)
{
	return page < s->file_pages;
}
static bool is_logged_page(const struct scene *s, unsigned int page)
{
	return page >= s->file_pages && page < s->file_pages + s->logged_pages;
}

static struct rng rng_of(struct scene *s)
{
	return rng_seeded(rng_next(&s->seed));
}

/* ---------------------------------------------------------------- guests */

static void check_answer(const struct scene *s, enum answer answer, unsigned int page)
{
	bool fault = answer == FAULT_SHARED || answer == FAULT_PRIVATE;

	if (fault && !s->m->has_private && !s->can_be_mapped)
		fail("page %u: a memory fault without private memory", page);
	if (answer == NO_MEMORY && !s->m->hardware_claim)
		fail("page %u: EFAULT", page);
	if (answer == MMIO && is_logged_page(s, page))
		fail("page %u: MMIO where there is always a slot", page);
}

static void load(struct guest_thread *t, unsigned int page, bool claim)
{
	struct scene *s = t->s;
	const struct words *w = &s->words[page];
	uint32_t value;
	enum answer answer = guest_load(s->m, &s->m->vcpu[t->n], page, claim, &value);

	check_answer(s, answer, page);
	if (answer != DONE || page % GUESTS != t->n || page >= s->file_pages + s->logged_pages)
		return;
	if (value != w->client && (value != w->file || !is_file_page(s, page)))
		fail("page %u: loaded %#x, neither %#x (client) nor %#x (file)", page, value, w->client, w->file);
}

static void store(struct guest_thread *t, unsigned int page, bool claim)
{
	struct scene *s = t->s;
	struct words *w = &s->words[page];
	uint32_t value = (uint32_t)rng_next(&t->r) | 1, seen;
	enum answer answer = guest_store(s->m, &s->m->vcpu[t->n], page, claim, value);

	check_answer(s, answer, page);
	seen = __atomic_load_n(client_word(s->m, page), __ATOMIC_RELAXED);
	if (answer == DONE && seen == value) {
		w->client = value;
		if (is_logged_page(s, page))
			atomic_fetch_or(&s->written[page / 64], UINT64_C(1) << page % 64);
	} else if (answer == DONE && is_file_page(s, page)) {
		w->file = value;
	} else if (answer == DONE) {
		fail("page %u: a store is nowhere", page);
	}
	if (seen != w->client)
		fail("page %u: the client's page holds %#x, not %#x", page, seen, w->client);
}

static void punch(struct guest_thread *t, unsigned int page)
{
	int result;

	if (!is_file_page(t->s, page) || t->s->fd < 0 || atomic_load(&t->s->closed))
		return;
	result = machine_punch(t->s->fd, page, 1);
	if (!result)
		t->s->words[page].file = 0;
	else if (result != -EBADF || !atomic_load(&t->s->closed))
		fail("hole at page %u: %d", page, result);
}

/* A page of its own, where something may be known. */
static unsigned int own_page(struct guest_thread *t)
{
	return rng_below(&t->r, (t->s->file_pages + t->s->logged_pages) / GUESTS) * GUESTS + t->n;
}

static void *run_guest(void *opaque)
{
	struct guest_thread *t = opaque;
	unsigned long done = 0;

	for (; atomic_load(&t->s->changing); done++) {
		unsigned int kind = rng_below(&t->r, 16),
			     page = kind == 0 ? rng_below(&t->r, t->s->m->pages) : own_page(t);
		bool claim = rng_below(&t->r, 2);

		OPERATION("guest %u: operation %u on page %u, claim %u", t->n, kind, page, claim);
		if (kind == 15)
			punch(t, page);
		else if (kind >= 8)
			store(t, page, claim);
		else
			load(t, page, claim);
	}
	atomic_fetch_add(&t->s->accesses, done);
	return NULL;
}

/* ---------------------------------------------------------------- those who change something */

static void expect(int result, const int *allowed, const char *what)
{
	for (unsigned int i = 0; i < 6; i++)
		if (result == allowed[i])
			return;
	fail("%s: %d", what, result);
}
#define EXPECT(result, what, ...) expect((result), (const int[6]){__VA_ARGS__}, (what))

static void change_attributes(struct scene *s, struct rng *r)
{
	unsigned int first = rng_below(r, s->m->pages), pages = 1 + rng_below(r, rng_one_in(r, 8) ? s->m->pages : 8);
	bool is_private = rng_below(r, 2);
	int result;

	if (pages > s->m->pages - first)
		pages = s->m->pages - first;
	OPERATION("attributes of %u pages from %u: private %u", pages, first, is_private);
	result = machine_set_attributes(s->m, first, pages, is_private);
	EXPECT(result, "KVM_SET_MEMORY_ATTRIBUTES", is_private && !s->m->has_private ? -EINVAL : 0,
	       is_private && !s->m->has_private ? -EINVAL : 0);
}

static int create_file_slot(const struct scene *s)
{
	return machine_set_slot(s->m, SLOT_FILE, s->fd < 0 ? 0 : KVM_MEM_GUEST_MEMFD, 0, s->file_pages, 0, s->fd, 0);
}

static void change_slots(struct scene *s, struct rng *r)
{
	unsigned int room = s->file_pages + s->logged_pages, left = s->m->pages - room, pages = left / 4;
	unsigned int at = room + rng_below(r, left - pages + 1), kind = rng_below(r, 4);

	OPERATION("slots: operation %u, to page %u", kind, at);
	switch (kind) {
	case 0:
		EXPECT(machine_set_slot(s->m, SLOT_FILE, 0, 0, 0, 0, -1, 0), "delete", 0);
		EXPECT(create_file_slot(s), "create", 0);
		break;
	case 1:
		EXPECT(machine_set_slot(s->m, SLOT_MOVING, 0, 0, 0, 0, -1, 0), "delete", 0, -EINVAL);
		break;
	default:
		EXPECT(machine_set_slot(s->m, SLOT_MOVING, kind == 2 ? KVM_MEM_LOG_DIRTY_PAGES : 0, at, pages, room, -1,
					0),
		       "move", 0);
		break;
	}
}

static void read_log(struct scene *s)
{
	uint64_t bits[PAGES / 64] = {0};

	EXPECT(machine_dirty_log(s->m, SLOT_LOGGED, bits), "KVM_GET_DIRTY_LOG", 0);
	for (unsigned int i = 0; i < s->logged_pages; i++) {
		unsigned int page = s->file_pages + i;

		if (bits[i / 64] >> i % 64 & 1)
			atomic_fetch_or(&s->logged[page / 64], UINT64_C(1) << page % 64);
	}
}

static void look(struct scene *s, struct rng *r)
{
	unsigned int first = rng_below(r, s->m->pages), pages = 1 + rng_below(r, s->m->pages - first),
		     kind = rng_below(r, 4);

	OPERATION("look: operation %u on %u pages from %u", kind, pages, first);
	if (kind == 0)
		read_log(s);
	else if (kind == 1 && s->fd >= 0)
		EXPECT(machine_allocate(s->fd, first % s->file_pages, 1), "fallocate", 0,
		       atomic_load(&s->closed) ? -EBADF : 0);
	else
		EXPECT(machine_prefault(&s->m->vcpu[GUESTS], &first, &pages), "KVM_PRE_FAULT_MEMORY", 0, -ENOENT,
		       -EFAULT, -EAGAIN);
}

static void check(struct scene *s, struct rng *r)
{
	OPERATION("check");
	machine_check(s->m);
}

struct changer {
	struct scene *s;
	void (*change)(struct scene *s, struct rng *r);
	unsigned long count;
	struct rng r;
	pthread_t thread;
};

static void *run_changer(void *opaque)
{
	struct changer *c = opaque;

	for (unsigned long i = 0; i < c->count; i++)
		c->change(c->s, &c->r);
	atomic_fetch_sub(&c->s->changing, 1);
	return NULL;
}

/* ---------------------------------------------------------------- the round */

static void open_scene(struct scene *s)
{
	bool file = s->m->column->cells != DECISION_DEFAULT_6_12;
	bool old = s->m->column->config.kvm_compat == SOFTCVM_KVM_6_12;

	s->file_pages = s->m->pages / 2;
	s->logged_pages = s->m->pages / 4;
	s->can_be_mapped = file && !old && rng_one_in(&s->seed, 3);
	s->fd = file ? machine_memfd(s->m, s->file_pages, s->can_be_mapped) : -1;
	for (unsigned int page = 0; page < s->m->pages; page++)
		s->words[page].client = *client_word(s->m, page);
	EXPECT(create_file_slot(s), "create", 0);
	EXPECT(machine_set_slot(s->m, SLOT_LOGGED, KVM_MEM_LOG_DIRTY_PAGES, s->file_pages, s->logged_pages,
				s->file_pages, -1, 0),
	       "create", 0);
	EXPECT(machine_set_slot(s->m, SLOT_MOVING, 0, s->file_pages + s->logged_pages, s->m->pages / 16,
				s->file_pages + s->logged_pages, -1, 0),
	       "create", 0);
}

static void check_log(struct scene *s)
{
	read_log(s);
	for (unsigned int i = 0; i < PAGES / 64; i++)
		if (s->written[i] & ~s->logged[i])
			fail("pages from %u: written %#llx, logged %#llx", i * 64, (unsigned long long)s->written[i],
			     (unsigned long long)s->logged[i]);
}

static void close_scene(struct scene *s)
{
	check_log(s);
	machine_check(s->m);
	for (unsigned int slot = SLOT_FILE; slot <= SLOT_MOVING; slot++)
		EXPECT(machine_set_slot(s->m, slot, 0, 0, 0, 0, -1, 0), "delete", 0, slot == SLOT_MOVING ? -EINVAL : 0);
	if (s->fd >= 0 && !atomic_load(&s->closed))
		softcvm_close(s->fd);
	machine_check(s->m);
}

unsigned long run_concurrent(struct machine *m, struct rng *r, unsigned long count)
{
	static struct scene scene;
	struct scene *s = &scene;
	struct changer changers[] = {
		{.change = change_attributes, .count = count * 5 / 10},
		{.change = change_slots, .count = count / 10},
		{.change = look, .count = count * 2 / 10},
		{.change = check, .count = count / 10},
	};
	const unsigned int changer_count = sizeof(changers) / sizeof(changers[0]);
	struct guest_thread guests[GUESTS];
	pthread_t guest[GUESTS];

	memset(s, 0, sizeof(*s));
	s->m = m;
	s->seed = rng_seeded(rng_next(r));
	s->changing = changer_count;
	open_scene(s);
	for (unsigned int i = 0; i < GUESTS; i++) {
		guests[i] = (struct guest_thread){s, i, rng_of(s)};
		pthread_create(&guest[i], NULL, run_guest, &guests[i]);
	}
	for (unsigned int i = 0; i < changer_count; i++) {
		changers[i].s = s;
		changers[i].r = rng_of(s);
		pthread_create(&changers[i].thread, NULL, run_changer, &changers[i]);
	}
	for (unsigned int i = 0; i < changer_count; i++)
		pthread_join(changers[i].thread, NULL);
	for (unsigned int i = 0; i < GUESTS; i++)
		pthread_join(guest[i], NULL);
	close_scene(s);
	return s->accesses;
}
