// SPDX-License-Identifier: Apache-2.0
/*
 * random: rounds of random operations on guest memory.
 *
 * usage: test_random [--seed N] [--count N] [--forever] [--list]
 *	--count N    operations, half of them by one thread and half by several at once; what the guests access beside
 *the latter is not counted
 *	--forever    rounds without end, from a seed that the time gives
 *	--list       print every operation
 * A failure prints the seed of its round: --seed N --count 1 does that round again.
 */
#include "random.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REMEMBERED	 24u
#define ROUND_SEQUENTIAL 5000u
#define ROUND_CONCURRENT 5000u

struct rng rng_seeded(uint64_t seed)
{
	return (struct rng){(seed + 1) * 0x9e3779b97f4a7c15ull | 1};
}

uint64_t rng_next(struct rng *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state * 0x2545f4914f6cdd1dull;
}

/* ---------------------------------------------------------------- what is said of a failure */

struct remembered {
	const char *format;
	unsigned int arg[OPERATION_ARGS];
};

/* Of this thread. */
static _Thread_local struct remembered remembered[REMEMBERED];
static _Thread_local unsigned long operations_done;
static uint64_t round_seed;
static bool list;

static void print_operation(const struct remembered *o)
{
	const unsigned int *a = o->arg;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	printf("  ");
	printf(o->format, a[0], a[1], a[2], a[3], a[4], a[5]);
	printf("\n");
#pragma GCC diagnostic pop
}

void operation(const char *format, const unsigned int args[OPERATION_ARGS])
{
	struct remembered *o = &remembered[operations_done++ % REMEMBERED];

	o->format = format;
	memcpy(o->arg, args, sizeof(o->arg));
	if (list)
		print_operation(o);
}

void fail(const char *format, ...)
{
	unsigned long first = operations_done > REMEMBERED ? operations_done - REMEMBERED : 0;
	va_list args;

	for (unsigned long i = first; i < operations_done && !list; i++)
		print_operation(&remembered[i % REMEMBERED]);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\nagain: --seed %" PRIu64 " --count 1\n", round_seed);
	fflush(stdout);
	abort();
}

/* ---------------------------------------------------------------- rounds */

static struct {
	unsigned long operations, accesses;
} total;

static void run_round(uint64_t seed)
{
	struct rng r = rng_seeded(seed);
	const struct decision_column *column = &decision_columns[rng_below(&r, (unsigned int)decision_column_count)];
	enum softcvm_platform platform = rng_one_in(&r, 2) ? SOFTCVM_PLATFORM_INTEL : SOFTCVM_PLATFORM_AMD;
	struct machine m;

	round_seed = seed;
	operations_done = 0;
	if (list)
		printf("round %" PRIu64 ": %s, %s\n", seed, column->name,
		       platform == SOFTCVM_PLATFORM_INTEL ? "intel" : "amd");
	machine_create(&m, column, platform);
	run_sequential(&m, &r, ROUND_SEQUENTIAL);
	total.accesses += run_concurrent(&m, &r, ROUND_CONCURRENT);
	total.operations += ROUND_SEQUENTIAL + ROUND_CONCURRENT;
	machine_destroy(&m);
}

static void print_total(uint64_t first, uint64_t end)
{
	printf("%lu operations and %lu accesses of concurrent guests, seeds %" PRIu64 " to %" PRIu64 "\n",
	       total.operations, total.accesses, first, end - 1);
}

int main(int argc, char **argv)
{
	unsigned long count = 100000;
	uint64_t seed = 1, first;
	bool forever = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--list"))
			list = true;
		else if (!strcmp(argv[i], "--forever"))
			forever = true, seed = (uint64_t)time(NULL) << 20;
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--count") && i + 1 < argc)
			count = strtoul(argv[++i], NULL, 0);
		else
			return fprintf(stderr, "usage: %s [--seed N] [--count N] [--forever] [--list]\n", argv[0]), 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	first = seed;
	printf("from seed %" PRIu64 "\n", first);
	while (forever || total.operations < count) {
		run_round(seed++);
		if (forever && (seed - first) % 100 == 0)
			print_total(first, seed);
	}
	print_total(first, seed);
	return 0;
}
