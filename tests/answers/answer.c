// SPDX-License-Identifier: Apache-2.0
#include "answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print(const char *format, va_list ap, const char *text, const char *tail)
{
	vprintf(format, ap);
	printf("  -> %s%s%s\n", text, tail ? "  " : "", tail ? tail : "");
}

static void describe(struct answer a, const char *success, char *text, size_t size)
{
	const char *name = strerrorname_np(a.error);

	if (a.result >= 0)
		snprintf(text, size, "%s -", success);
	else
		snprintf(text, size, "%ld %s", a.result, name ? name : "?");
}

void answer_line(struct answer a, const char *tail, const char *format, ...)
{
	char text[64], number[24];
	va_list ap;

	snprintf(number, sizeof(number), "%ld", a.result);
	describe(a, number, text, sizeof(text));
	va_start(ap, format);
	print(format, ap, text, tail);
	va_end(ap);
}

void answer_fd(struct answer a, const char *format, ...)
{
	char text[64];
	va_list ap;

	describe(a, "fd", text, sizeof(text));
	va_start(ap, format);
	print(format, ap, text, NULL);
	va_end(ap);
}

void answer_text(const char *text, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print(format, ap, text, NULL);
	va_end(ap);
}

long must(const char *what, long result)
{
	if (result >= 0)
		return result;
	fflush(stdout);
	fprintf(stderr, "kvm_answers: %s: %s\n", what, strerror(errno));
	exit(1);
}
