// SPDX-License-Identifier: Apache-2.0
/* Messages to the user. */
#include "vmm/report.h"

#include <stdarg.h>
#include <stdio.h>

static const char *reporter = "softcvm run";

void vmm_report_as(const char *command) { reporter = command; }

void vmm_error(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* One call, so that lines of several threads stay whole. */
	fprintf(stderr, "%s: %s\n", reporter, line);
}
