// SPDX-License-Identifier: Apache-2.0
/*
 * A line of a trace back to its record, and a whole trace. What is read may be anything. A record that was read is printed once
 * more and compared with its line: only what the printer prints is accepted.
 */
#include <errno.h>
#include <string.h>

#include "observe/text.h"

/* ---------------------------------------------------------------- one line */

static void skip_spaces(struct text_cursor *in)
{
	while (in->at < in->end && *in->at == ' ')
		in->at++;
}

/* "vcpu-1     [001]", "vm2.kvm-0     [000]" */
static bool take_task(struct text_cursor *in, struct observe_record *rec)
{
	uint64_t vm = 0, vcpu, cpu;
	bool is_vcpu;

	skip_spaces(in);
	if (text_take(in, "vm") && (!text_take_number(in, &vm) || !text_take(in, ".")))
		return false;
	is_vcpu = text_take(in, "vcpu-");
	if (!is_vcpu && !text_take(in, "kvm-"))
		return false;
	if (!text_take_number(in, &vcpu))
		return false;
	skip_spaces(in);
	if (!text_take(in, "[") || !text_take_number(in, &cpu) || !text_take(in, "] ") || vcpu > INT32_MAX || vm > UINT32_MAX)
		return false;
	rec->vm = (uint32_t)vm;
	rec->vcpu = is_vcpu ? (int32_t)vcpu : -1;
	return true;
}

static bool take_time(struct text_cursor *in, struct observe_record *rec)
{
	uint64_t seconds, nanoseconds;

	skip_spaces(in);
	return text_take_number(in, &seconds) && text_take(in, ".") && text_take_number(in, &nanoseconds) &&
	       !__builtin_mul_overflow(seconds, 1000000000u, &rec->time_ns) &&
	       !__builtin_add_overflow(rec->time_ns, nanoseconds, &rec->time_ns) && text_take(in, ": ");
}

static bool take_event(struct text_cursor *in, struct observe_record *rec)
{
	const char *colon = memchr(in->at, ':', (size_t)(in->end - in->at));
	int event = colon ? observe_find_event(in->at, (size_t)(colon - in->at)) : -1;

	if (event < 0)
		return false;
	rec->event = (uint32_t)event;
	in->at = colon;
	return text_take(in, ": ");
}

static bool take_arguments(struct text_cursor *in, struct observe_record *rec)
{
	unsigned int next = 0;

	for (const char *at = observe_event_format(rec->event); *at;) {
		const struct conversion *c = *at == '%' ? text_conversion(at) : NULL;

		if (c && next < OBSERVE_MAX_ARGS) {
			if (!c->take(in, c, rec, &rec->arg[next++]))
				return false;
			at += strlen(c->text);
		} else if (in->at < in->end && *in->at == *at) {
			in->at++;
			at++;
		} else {
			return false;
		}
	}
	return in->at == in->end;
}

static bool prints_the_same(const struct observe_record *rec, const char *line, size_t length)
{
	char text[OBSERVE_LINE_MAX];
	int printed = observe_format_line(rec, text);

	return printed == (int)length + 1 && !memcmp(text, line, length);
}

int observe_parse_line(const char *line, size_t length, struct observe_record *out, const char **why)
{
	struct text_cursor in = {line, line + length};

	memset(out, 0, sizeof(*out));
	*why = NULL;
	if (length >= OBSERVE_LINE_MAX)
		*why = "the line is longer than any event";
	else if (!take_task(&in, out))
		*why = "the line does not begin with a vCPU or kvm, as those of a trace do";
	else if (!take_time(&in, out))
		*why = "the time is missing or out of range";
	else if (!take_event(&in, out))
		*why = "there is no event of this name";
	else if (!take_arguments(&in, out) || !prints_the_same(out, line, length))
		*why = "the arguments are not those of the event";
	return *why ? -EINVAL : 0;
}

/* ---------------------------------------------------------------- a whole trace */

/* 1: a line without its newline is in buf; 0: the end; -EINVAL: a line that is too long. *cut: the last one has no newline. */
static int read_line(FILE *file, char buf[OBSERVE_LINE_MAX], size_t *length, bool *cut)
{
	int c;

	*length = 0;
	while ((c = getc_unlocked(file)) != EOF && c != '\n') {
		if (*length == OBSERVE_LINE_MAX - 1)
			return -EINVAL;
		buf[(*length)++] = (char)c;
	}
	*cut = c == EOF && *length;
	return c != EOF;
}

int observe_read(FILE *file, int (*record)(void *opaque, const struct observe_record *rec), void *opaque,
		 struct observe_reading *out)
{
	char buf[OBSERVE_LINE_MAX];
	struct observe_record rec;
	size_t length;
	int result;

	*out = (struct observe_reading){ .line = 0 };
	while ((result = read_line(file, buf, &length, &out->cut)) != 0) {
		out->line++;
		if (result < 0)
			out->why = "the line is longer than any event";
		else
			result = observe_parse_line(buf, length, &rec, &out->why);
		result = result ? result : record(opaque, &rec);
		if (result)
			return result;
	}
	if (!ferror(file))
		return 0;
	out->why = strerror(errno);
	return -EIO;
}
