// SPDX-License-Identifier: Apache-2.0
/* Random numbers that follow from a seed, and what is said of a round that fails. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

struct rng rng_seeded(uint64_t seed);
uint64_t rng_next(struct rng *r);
/* 0..n-1; n > 0 */
static inline unsigned int rng_below(struct rng *r, unsigned int n)
{
	return (unsigned int)(rng_next(r) >> 33) % n;
}
static inline bool rng_one_in(struct rng *r, unsigned int n)
{
	return rng_below(r, n) == 0;
}

/* Print every operation from now on. */
void report_all(void);
/* A round begins; what it is, for report_all(). */
void report_round(uint64_t seed, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An operation is about to be done; `format` takes the arguments. The last ones are printed with a failure, all after
 * report_all(). */
#define OPERATION_ARGS 6
void operation(const char *format, const unsigned int args[OPERATION_ARGS]);
#define OPERATION(format, ...) operation(format, (const unsigned int[OPERATION_ARGS]){__VA_ARGS__})
/* The last operations, the seed of the round, and the end. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
