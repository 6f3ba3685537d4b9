// SPDX-License-Identifier: Apache-2.0
/*
 * What a confidential guest's memory holds before its first instruction, in the order in which it is put there. The VMM that
 * starts the guest and the program that predicts its measurement walk the same list.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAUNCH_PAGE 4096u

struct launch_region {
	uint64_t gpa, size;  /* multiples of LAUNCH_PAGE; size is not 0 */
	const uint8_t *data; /* its first data_size bytes, the rest is zero */
	size_t data_size;
	bool measured;	     /* contents, not only addresses */
	const char *cause;   /* what it is, for a reader */
};
