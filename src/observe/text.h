// SPDX-License-Identifier: Apache-2.0
/*
 * text: the conversions of events.def, each with its printer and the inverse of it. Inside of observe.
 *
 * A printer prints different values differently, so that no text stands for two of them.
 */
#pragma once

#include "observe/observe.h"

struct text_line {
	char *buf;
	size_t size;
	size_t length; /* as if the buffer were large enough */
};

void text_put(struct text_line *l, const char *text, size_t length);

/* What is left to read. */
struct text_cursor {
	const char *at, *end;
};

bool text_take(struct text_cursor *in, const char *literal);
/* Decimal digits up to 2^64 - 1. */
bool text_take_number(struct text_cursor *in, uint64_t *value);

struct text_name {
	uint64_t value;
	const char *name;
};

struct conversion {
	const char *text; /* as it stands in a format */
	void (*print)(struct text_line *l, const struct conversion *c, const struct observe_record *rec, uint64_t value);
	/* rec->event is set; false: the text is not of this kind. */
	bool (*take)(struct text_cursor *in, const struct conversion *c, const struct observe_record *rec, uint64_t *value);
	const struct text_name *names; /* of those that print a name where there is one; ends with a NULL name */
};

/* NULL: `at` does not begin with a conversion. */
const struct conversion *text_conversion(const char *at);

/* Of events.def; `format` is "" for what is no event. */
const char *observe_event_format(uint32_t event);
int observe_find_event(const char *name, size_t length); /* -1: there is none */
