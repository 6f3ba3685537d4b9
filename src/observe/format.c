// SPDX-License-Identifier: Apache-2.0
/* One record to one line of text. */
#include <inttypes.h>
#include <string.h>

#include "observe/text.h"

static const struct event_description {
	const char *name;
	const char *format;
	unsigned int nargs;
} events[OBSERVE_EVENT_COUNT] = {
#define OBSERVE_EVENT(id, event_name, group, event_nargs, event_format) \
	[OBSERVE_##id] = {event_name, event_format, event_nargs},
#include "observe/events.def"
#undef OBSERVE_EVENT
};

#define OBSERVE_EVENT(id, name, group, nargs, format) \
	_Static_assert(nargs <= OBSERVE_MAX_ARGS, "a record holds the arguments of " name);
#include "observe/events.def"
#undef OBSERVE_EVENT

const char *observe_event_name(enum observe_event event)
{
	return (unsigned int)event < OBSERVE_EVENT_COUNT ? events[event].name : "unknown";
}

const char *observe_event_format(uint32_t event)
{
	return event < OBSERVE_EVENT_COUNT ? events[event].format : "";
}

unsigned int observe_event_nargs(enum observe_event event)
{
	return (unsigned int)event < OBSERVE_EVENT_COUNT ? events[event].nargs : 0;
}

int observe_find_event(const char *name, size_t length)
{
	for (int i = 0; i < OBSERVE_EVENT_COUNT; i++) {
		if (strlen(events[i].name) == length && !memcmp(events[i].name, name, length))
			return i;
	}
	return -1;
}

int observe_format(const struct observe_record *rec, char *buf, size_t size)
{
	struct text_line l = {.buf = buf, .size = size};
	unsigned int next = 0;

	for (const char *at = observe_event_format(rec->event); *at;) {
		const struct conversion *c = *at == '%' ? text_conversion(at) : NULL;

		if (c && next < OBSERVE_MAX_ARGS) {
			c->print(&l, c, rec, rec->arg[next++]);
			at += strlen(c->text);
		} else {
			text_put(&l, at++, 1);
		}
	}
	if (size)
		buf[l.length < size ? l.length : size - 1] = '\0';
	return (int)l.length;
}

/* The first VM of a process is the usual one, and looks as in the kernel: a task, and the processor that it runs on. */
int observe_format_line(const struct observe_record *rec, char buf[OBSERVE_LINE_MAX])
{
	const char *who = rec->vcpu < 0 ? "kvm" : "vcpu";
	unsigned int vcpu = rec->vcpu < 0 ? 0 : (unsigned int)rec->vcpu;
	char task[32], text[OBSERVE_LINE_MAX - 128];

	if (rec->vm)
		snprintf(task, sizeof(task), "vm%" PRIu32 ".%s", rec->vm, who);
	else
		snprintf(task, sizeof(task), "%s", who);
	observe_format(rec, text, sizeof(text));
	return snprintf(buf, OBSERVE_LINE_MAX, "%16s-%-5u [%03u] %5" PRIu64 ".%09" PRIu64 ": %s: %s\n", task, vcpu, vcpu,
			rec->time_ns / 1000000000u, rec->time_ns % 1000000000u, observe_event_name(rec->event), text);
}
