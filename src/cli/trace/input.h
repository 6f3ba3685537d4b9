// SPDX-License-Identifier: Apache-2.0
/* input: what explain and map read, and how they say what is wrong with it. */
#pragma once

#include <sys/types.h>

#include "hw/addr.h"
#include "observe/observe.h"

/* Hands each record to `hear`. false after a message; what `hear` refuses is an error of that line. */
bool input_read(const char *command, const char *name, FILE *file, int (*hear)(void *opaque, const struct observe_record *rec), void *opaque);
/* A trace, or - for standard input. NULL after a message. */
FILE *input_open(const char *command, const char *name);
/* "12.5" or "12": seconds as traces print them. */
bool input_parse_time(const char *text, u64 *ns);
bool input_parse_number(const char *text, u64 *value);
