// SPDX-License-Identifier: Apache-2.0
/* Reading traces for the commands. */
#include "cli/trace/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

FILE *input_open(const char *command, const char *name)
{
	FILE *file = strcmp(name, "-") ? fopen(name, "re") : stdin;

	if (!file)
		fprintf(stderr, "softcvm %s: %s: %s\n", command, name, strerror(errno));
	return file;
}

bool input_read(const char *command, const char *name, FILE *file, int (*hear)(void *opaque, const struct observe_record *rec), void *opaque)
{
	struct observe_reading reading;
	int error = observe_read(file, hear, opaque, &reading);

	if (error == -EINVAL && reading.why)
		fprintf(stderr, "softcvm %s: %s, line %lu: %s\n", command, name, reading.line, reading.why);
	else if (error == -EINVAL)
		fprintf(stderr, "softcvm %s: %s, line %lu: no VM does this\n", command, name, reading.line);
	else if (error)
		fprintf(stderr, "softcvm %s: %s: %s\n", command, name, strerror(-error));
	if (!error && reading.cut)
		fprintf(stderr, "softcvm %s: %s: the last line is cut short and left out\n", command, name);
	return !error;
}

bool input_parse_number(const char *text, u64 *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 0);
	return !errno && !*end;
}

bool input_parse_time(const char *text, u64 *ns)
{
	u64 seconds = 0, fraction = 0, unit = 1000000000u;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(seconds, 10, &seconds) || __builtin_add_overflow(seconds, (u64)(*at - '0'), &seconds))
			return false;
	if (at == text)
		return false;
	if (*at == '.')
		for (at++; *at >= '0' && *at <= '9' && unit > 1; at++) {
			unit /= 10;
			fraction += (u64)(*at - '0') * unit;
		}
	return !*at && !__builtin_mul_overflow(seconds, 1000000000u, ns) && !__builtin_add_overflow(*ns, fraction, ns);
}
