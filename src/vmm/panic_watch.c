// SPDX-License-Identifier: Apache-2.0
/* Recognising a kernel panic on the console. */
#include "vmm/panic_watch.h"

#include <string.h>

/* "[   12.345678] " and "[    T1] ", which depend on the kernel's configuration */
static const char *skip_stamps(const char *line)
{
	while (*line == '[') {
		const char *end = strpbrk(line + 1, "]");

		if (!end || strspn(line + 1, " .0123456789TC") != (size_t)(end - line - 1))
			break;
		line = end + 1;
		if (*line == ' ')
			line++;
	}
	return line;
}

static enum panic_sign classify(const char *line)
{
	static const char begin[] = "Kernel panic - not syncing", end[] = "---[ end Kernel panic - not syncing";

	line = skip_stamps(line);
	if (!strncmp(line, begin, sizeof(begin) - 1))
		return PANIC_BEGIN;
	return strncmp(line, end, sizeof(end) - 1) ? PANIC_NONE : PANIC_END;
}

enum panic_sign panic_watch(struct panic_watch *watch, uint8_t byte)
{
	enum panic_sign sign;

	if (byte != '\n') {
		/* The end of a long line is not looked at. */
		if (byte != '\r' && watch->length < sizeof(watch->line) - 1)
			watch->line[watch->length++] = (char)byte;
		return PANIC_NONE;
	}
	watch->line[watch->length] = '\0';
	sign = classify(watch->line);
	watch->length = 0;
	return sign;
}
