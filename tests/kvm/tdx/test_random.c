// SPDX-License-Identifier: Apache-2.0
/*
 * A TD whose memory changes while it runs: attributes, holes, slots and pre-faults by several threads, conversions that
 * the guests ask for, and the invariants, KVM's and the TDX module's, checked all the while. usage: --seed N, --count N
 * (rounds, each a TD of its own), --list.
 *
 * Every page of the window has one vCPU that accepts it and stores into it, on either side. So its thread knows exactly
 * what each side holds: private memory that can be read is memory that was accepted, with what was stored since; the
 * shared side is the client's memory, which nothing but the guest changes. The other vCPU only looks: what it finds is
 * marked as this page's.
 */
#include "td.h"

#undef fail /* cmocka's: not for threads */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "../random/report.h"

#define GUESTS	    2u
#define SPARE	    2u /* the vCPU that never runs, for KVM_PRE_FAULT_MEMORY */
#define WINDOW	    0x400000ull
#define PAGES	    24u
#define WINDOW_SLOT 2u
#define WORD	    0x100u /* of a page */
#define LEAST	    600u   /* operations of a guest */
#define CHANGES	    400u   /* of a thread that changes something */

#define PAGE_ALREADY_ACCEPTED 0x00000b0aull
#define OPERAND_BUSY	      0x80000200ull
#define VE		      20

enum side { SHARED, PRIVATE };

struct scene {
	struct td td;
	int gmem;
	uint8_t *client;
	uint64_t word[PAGES][2]; /* by enum side; the owner's thread */
	_Atomic unsigned int changing;
};

struct guest {
	struct scene *s;
	unsigned int n;
	struct rng r;
	unsigned long accepted, done, refused, mapped;
};

static uint64_t gpa_of(unsigned int page)
{
	return WINDOW + page * PAGE;
}

/* What only this page's side holds. */
static uint64_t mark(unsigned int page, enum side side)
{
	return 1ull << 63 | (uint64_t)side << 56 | (uint64_t)page << 40;
}
static bool is_marked(uint64_t value, unsigned int page, enum side side)
{
	return value >> 40 == mark(page, side) >> 40;
}

static void expect_success(int result, const char *what)
{
	if (result)
		fail("%s: %d", what, result);
}

static void convert(struct scene *s, uint64_t gpa, uint64_t size, bool is_private)
{
	expect_success(td_set_attributes(&s->td, gpa, size, is_private ? P : 0), "KVM_SET_MEMORY_ATTRIBUTES");
}

static void punch(struct scene *s, uint64_t gpa, uint64_t size)
{
	expect_success(softcvm_fallocate(s->gmem, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(gpa - WINDOW),
					 (off_t)size),
		       "punch hole");
}

/* ---------------------------------------------------------------- exits, as a VMM answers them */

/* The guest's view decides. Where there is no slot at this moment there will be one. */
static void answer_fault(struct guest *g)
{
	const struct kvm_run *run = g->s->td.run[g->n];
	bool is_private = run->memory_fault.flags & KVM_MEMORY_EXIT_FLAG_PRIVATE;
	uint64_t at = run->memory_fault.gpa;

	if (run->exit_reason != KVM_EXIT_MEMORY_FAULT || at < WINDOW || at >= gpa_of(PAGES) ||
	    run->memory_fault.size != PAGE)
		fail("guest %u: EFAULT, exit reason %u, gpa %#" PRIx64, g->n, run->exit_reason, at);
	convert(g->s, at, PAGE, is_private);
	sched_yield();
}

static void answer_map_gpa(struct guest *g)
{
	struct kvm_run *run = g->s->td.run[g->n];
	uint64_t at = run->hypercall.args[0], size = run->hypercall.args[1] * PAGE;
	bool is_private = run->hypercall.args[2] & 1 << 4;

	if (run->hypercall.nr != KVM_HC_MAP_GPA_RANGE || at < WINDOW || at + size > gpa_of(PAGES))
		fail("guest %u: hypercall of %#" PRIx64 ", %#" PRIx64, g->n, at, size);
	run->hypercall.ret = rng_one_in(&g->r, 8) ? EAGAIN : 0;
	if (run->hypercall.ret)
		return;
	convert(g->s, at, size, is_private);
	if (!is_private)
		punch(g->s, at, size);
	g->mapped++;
}

static void finish(struct guest *g, int result)
{
	struct td *td = &g->s->td;
	const struct kvm_run *run = td->run[g->n];

	for (;; result = td_run(td, g->n)) {
		if (!result && run->exit_reason == KVM_EXIT_IO && run->io.port == 0x80 + g->n)
			return;
		if (result == -EFAULT)
			answer_fault(g);
		else if (!result && run->exit_reason == KVM_EXIT_HYPERCALL)
			answer_map_gpa(g);
		else
			fail("guest %u: KVM_RUN: %d, exit reason %u", g->n, result, run->exit_reason);
	}
}

/* ---------------------------------------------------------------- guests */

/* False: #VE, by memory that is not accepted or has no slot. */
static bool was_done(struct guest *g, unsigned int page, enum side side)
{
	const struct shared *s = td_shared(&g->s->td, g->n);
	uint64_t where = gpa_of(page) | (side == SHARED ? SHARED_BIT : 0);

	if (s->vector == NO_EXCEPTION) {
		g->done++;
		return true;
	}
	if (s->vector != VE || s->ve_gpa / PAGE != where / PAGE)
		fail("guest %u, page %u: vector %" PRIu64 ", gpa %#" PRIx64, g->n, page, s->vector, s->ve_gpa);
	g->refused++;
	return false;
}

static bool access(struct guest *g, unsigned int page, enum side side, const void *code, size_t size, uint64_t *value)
{
	struct shared *s = td_shared(&g->s->td, g->n);

	s->gpr[RDI] = (side == SHARED ? LINEAR(gpa_of(page)) : gpa_of(page)) + WORD;
	s->gpr[RAX] = *value;
	finish(g, td_begin(&g->s->td, g->n, code, size));
	*value = s->gpr[RAX];
	return was_done(g, page, side);
}

static void load(struct guest *g, unsigned int page, enum side side)
{
	uint64_t value = ~0ull, expected = g->s->word[page][side];

	if (access(g, page, side, LOAD, &value) && value != expected)
		fail("guest %u, page %u, side %u: %#" PRIx64 ", not %#" PRIx64, g->n, page, side, value, expected);
}

static void look(struct guest *g, unsigned int page, enum side side)
{
	uint64_t value = ~0ull;

	if (access(g, page, side, LOAD, &value) && !is_marked(value, page, side) && (side == SHARED || value))
		fail("guest %u, page %u of the other, side %u: %#" PRIx64, g->n, page, side, value);
}

static void store(struct guest *g, unsigned int page, enum side side)
{
	uint64_t value = mark(page, side) | (rng_next(&g->r) >> 32), stored = value;

	if (access(g, page, side, STORE, &value))
		g->s->word[page][side] = stored;
	if (side == SHARED && *(uint64_t *)(void *)(g->s->client + page * PAGE + WORD) != g->s->word[page][SHARED])
		fail("guest %u, page %u: the client's memory is not what was stored", g->n, page);
}

static void accept_page(struct guest *g, unsigned int page)
{
	struct shared *s = td_shared(&g->s->td, g->n);

	memset(s->gpr, 0, sizeof(s->gpr));
	s->gpr[RAX] = TDG_MEM_PAGE_ACCEPT;
	s->gpr[RCX] = gpa_of(page);
	finish(g, td_begin(&g->s->td, g->n, CODE(TDCALL)));
	if (s->vector != NO_EXCEPTION)
		fail("guest %u, page %u: accept: vector %" PRIu64, g->n, page, s->vector);
	if (!s->gpr[RAX]) {
		g->s->word[page][PRIVATE] = 0;
		g->accepted++;
	} else if (s->gpr[RAX] >> 32 != PAGE_ALREADY_ACCEPTED && s->gpr[RAX] >> 32 != OPERAND_BUSY) {
		fail("guest %u, page %u: accept: %#" PRIx64, g->n, page, s->gpr[RAX]);
	}
}

static void map_gpa(struct guest *g, unsigned int page)
{
	const struct shared *s = td_shared(&g->s->td, g->n);
	unsigned int pages = 1 + rng_below(&g->r, PAGES - page < 4 ? PAGES - page : 4);
	uint64_t at = gpa_of(page) | (rng_below(&g->r, 2) ? SHARED_BIT : 0);

	finish(g, td_vmcall(&g->s->td, g->n, (const uint64_t[6]){0, TDVMCALL_MAP_GPA, at, pages * PAGE}));
	if (s->vector != NO_EXCEPTION || (s->gpr[R10] && s->gpr[R10] != TDVMCALL_STATUS_RETRY))
		fail("guest %u, page %u: MapGPA: %#" PRIx64, g->n, page, s->gpr[R10]);
}

static void *run_guest(void *opaque)
{
	struct guest *g = opaque;

	for (unsigned int i = 0; i < LEAST || atomic_load(&g->s->changing); i++) {
		unsigned int kind = rng_below(&g->r, 32), page = rng_below(&g->r, PAGES / GUESTS) * GUESTS + g->n;
		enum side side = kind % 8 ? PRIVATE : SHARED;

		OPERATION("guest %u: operation %u on page %u", g->n, kind, page);
		if (kind == 31)
			map_gpa(g, page);
		else if (kind >= 29)
			look(g, page ^ 1, side);
		else if (kind >= 20)
			accept_page(g, page);
		else if (kind >= 10)
			store(g, page, side);
		else
			load(g, page, side);
	}
	return NULL;
}

/* ---------------------------------------------------------------- those who change something */

static void change_attributes(struct scene *s, struct rng *r)
{
	unsigned int first = rng_below(r, PAGES), pages = 1 + rng_below(r, PAGES - first);
	bool is_private = rng_below(r, 4);

	OPERATION("attributes of %u pages from %u: private %u", pages, first, is_private);
	convert(s, gpa_of(first), pages * PAGE, is_private);
}

/* ENOENT without a slot, EAGAIN while something changes, EFAULT when the attribute does at that moment. */
static void prefault(struct scene *s, uint64_t gpa, uint64_t size)
{
	struct kvm_pre_fault_memory range = {.gpa = gpa, .size = size};
	int result = td_ioctl(s->td.vcpu[SPARE], KVM_PRE_FAULT_MEMORY, &range);

	if (result && result != -ENOENT && result != -EAGAIN && result != -EFAULT)
		fail("KVM_PRE_FAULT_MEMORY: %d", result);
}

static void change_file(struct scene *s, struct rng *r)
{
	unsigned int first = rng_below(r, PAGES), pages = 1 + rng_below(r, PAGES - first < 4 ? PAGES - first : 4),
		     kind = rng_below(r, 4);

	OPERATION("file: operation %u on %u pages from %u", kind, pages, first);
	if (kind == 0)
		punch(s, gpa_of(first), pages * PAGE);
	else if (kind == 1)
		expect_success(softcvm_fallocate(s->gmem, FALLOC_FL_KEEP_SIZE, first * PAGE, pages * PAGE),
			       "fallocate");
	else
		prefault(s, gpa_of(first), pages * PAGE);
}

static void create_slot(struct scene *s)
{
	expect_success(td_slot(&s->td, WINDOW_SLOT, WINDOW, PAGES * PAGE, s->client, s->gmem), "create the slot");
}

static void change_slot(struct scene *s, struct rng *r)
{
	unsigned int patience = rng_below(r, 8);

	OPERATION("the slot goes and comes");
	expect_success(td_slot(&s->td, WINDOW_SLOT, WINDOW, 0, s->client, -1), "delete the slot");
	for (unsigned int i = 0; i < patience; i++)
		sched_yield();
	create_slot(s);
}

static void check(struct scene *s, struct rng *r)
{
	char message[200];

	OPERATION("check");
	if (softcvm_check(s->td.vm, message, sizeof(message)))
		fail("%s", message);
	sched_yield();
}

struct changer {
	struct scene *s;
	void (*change)(struct scene *s, struct rng *r);
	unsigned int count;
	struct rng r;
	pthread_t thread;
};

static void *run_changer(void *opaque)
{
	struct changer *c = opaque;

	for (unsigned int i = 0; i < c->count; i++)
		c->change(c->s, &c->r);
	atomic_fetch_sub(&c->s->changing, 1);
	return NULL;
}

/* ---------------------------------------------------------------- rounds */

static void open_scene(struct scene *s)
{
	td_build(&s->td, GUESTS + 1);
	s->gmem = td_memfd(&s->td, PAGES * PAGE);
	s->client = td_map(PAGES * PAGE);
	for (unsigned int page = 0; page < PAGES; page++) {
		s->word[page][SHARED] = mark(page, SHARED);
		memcpy(s->client + page * PAGE + WORD, &s->word[page][SHARED], sizeof(uint64_t));
	}
	create_slot(s);
	for (unsigned int n = 0; n < GUESTS; n++)
		td_start(&s->td, n);
}

static void close_scene(struct scene *s)
{
	td_close(&s->td);
	softcvm_close(s->gmem);
	munmap(s->client, PAGES * PAGE);
}

static void run_round(uint64_t round_seed, struct guest *total)
{
	struct rng r = rng_seeded(round_seed);
	struct scene s = {0};
	struct changer changers[] = {
		{.change = change_attributes, .count = CHANGES},
		{.change = change_file, .count = CHANGES},
		{.change = change_slot, .count = CHANGES / 4},
		{.change = check, .count = CHANGES / 4},
	};
	const unsigned int threads = sizeof(changers) / sizeof(changers[0]);
	struct guest guests[GUESTS];
	pthread_t thread[GUESTS];

	report_round(round_seed, "a TD");
	open_scene(&s);
	s.changing = threads;
	for (unsigned int n = 0; n < GUESTS; n++) {
		guests[n] = (struct guest){.s = &s, .n = n, .r = rng_seeded(rng_next(&r))};
		assert_int_equal(pthread_create(&thread[n], NULL, run_guest, &guests[n]), 0);
	}
	for (unsigned int i = 0; i < threads; i++) {
		changers[i].s = &s;
		changers[i].r = rng_seeded(rng_next(&r));
		assert_int_equal(pthread_create(&changers[i].thread, NULL, run_changer, &changers[i]), 0);
	}
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(changers[i].thread, NULL);
	for (unsigned int n = 0; n < GUESTS; n++) {
		pthread_join(thread[n], NULL);
		total->accepted += guests[n].accepted;
		total->done += guests[n].done;
		total->refused += guests[n].refused;
		total->mapped += guests[n].mapped;
	}
	close_scene(&s);
}

static uint64_t seed = 1, count = 12;

static void rounds(void **state)
{
	struct guest total = {0};

	for (uint64_t i = 0; i < count; i++)
		run_round(seed + i, &total);
	printf("%" PRIu64 " TDs: %lu pages accepted, %lu accesses done and %lu refused, %lu MapGPA\n", count,
	       total.accepted, total.done, total.refused, total.mapped);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rounds)};

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--list"))
			report_all();
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--count") && i + 1 < argc)
			count = strtoull(argv[++i], NULL, 0);
		else
			return fprintf(stderr, "usage: %s [--seed N] [--count N] [--list]\n", argv[0]), 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("from seed %" PRIu64 "\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
