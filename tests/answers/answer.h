// SPDX-License-Identifier: Apache-2.0
/*
 * One line for one call: what was called, with which arguments and in which state, and what came back.
 *
 *	KVM_CREATE_GUEST_MEMFD  vm=1 size=0x1 flags=0x0  -> -1 EINVAL
 *
 * The form is that of the recorded files beside this one.
 */
#pragma once

#include <errno.h>
#include <stdint.h>

/* What a call returned, with errno as it left it. */
struct answer {
	long result;
	int error;
};

static inline struct answer answered(long result)
{
	return (struct answer){result, errno};
}

/* "0 -" or "-1 EINVAL", and behind it `tail` unless it is NULL. */
void answer_line(struct answer a, const char *tail, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* "fd -" for a descriptor, whatever its number is. */
void answer_fd(struct answer a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Any other text behind the arrow. */
void answer_text(const char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A call that only prepares others: ends the program if it fails. */
long must(const char *what, long result);
#define MUST(call) must(#call, (call))
