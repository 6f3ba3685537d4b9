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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUND_SEQUENTIAL 5000u
#define ROUND_CONCURRENT 5000u

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

	report_round(seed, "%s, %s", column->name, platform == SOFTCVM_PLATFORM_INTEL ? "intel" : "amd");
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
			report_all();
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
