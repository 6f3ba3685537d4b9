// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REMEMBERED 24u

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

void report_all(void)
{
	list = true;
}

void report_round(uint64_t seed, const char *format, ...)
{
	va_list args;

	round_seed = seed;
	operations_done = 0;
	if (!list)
		return;
	printf("round %" PRIu64 ": ", seed);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
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
