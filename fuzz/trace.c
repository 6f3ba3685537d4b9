// SPDX-License-Identifier: Apache-2.0
/*
 * Arbitrary bytes as a trace, and arbitrary events of traces: they are read, replayed and told, or refused.
 *
 * Input: an even first byte says that the rest is text. After an odd one the rest is events, each of them two bytes (event, vCPU and
 * VM), then one for each argument: its upper half says what is added to, or shifts, the lower. They are printed and read back.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/trace/story.h"
#include "cli/trace/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t value_of(uint8_t byte)
{
	uint64_t low = byte & 15;

	switch (byte >> 4) {
	case 0:
		return low;
	case 1:
		return -low;
	case 2:
		return low << 12;
	case 3:
		return (uint64_t)1 << (low << 2);
	default:
		return low + ((uint64_t)1 << ((byte >> 4) * 4));
	}
}

static int tell(void *opaque, const struct observe_record *rec)
{
	struct story *s = opaque;
	char text[WORDS_MAX];
	const char *label;

	words_event(rec, &label, text);
	if (strlen(text) >= sizeof(text) || strchr(text, '\n') || !*observe_rule_text(observe_rule_of(rec))->name)
		abort();
	return story_hear(s, rec);
}

static void read_text(const char *text, size_t size)
{
	struct story s = { .page = 1, .frames = { 1, 0 }, .nr_frames = 2, .to_ns = ~(uint64_t)0, .only_vcpu = -1 };
	struct observe_reading reading;
	const struct replay_vm *vm;
	char words[WORDS_MAX];
	FILE *file = fmemopen((void *)(uintptr_t)text, size, "r");

	if (!file)
		return;
	observe_read(file, tell, &s, &reading);
	vm = replay_vm(&s.replay, 0);
	for (uint64_t gfn = 0; vm && gfn < 32; gfn++)
		words_state(vm, gfn, words);
	for (unsigned int i = 0; i < s.nr_items; i++)
		if (s.items[i].next && (s.items[i].next <= i || s.items[i].next >= s.nr_items))
			abort();
	story_destroy(&s);
	fclose(file);
}

static void read_events(const uint8_t *data, size_t size)
{
	char *text = malloc((size / 2 + 1) * OBSERVE_LINE_MAX);
	size_t length = 0;

	for (size_t at = 0; at + 2 <= size;) {
		struct observe_record rec = { .event = data[at] % OBSERVE_EVENT_COUNT, .vcpu = (data[at + 1] & 3) - 1 }, back;
		unsigned int nargs = observe_event_nargs(rec.event);
		const char *why;
		int n;

		rec.vm = data[at + 1] >> 7;
		at += 2;
		for (unsigned int i = 0; i < nargs && at < size; i++)
			rec.arg[i] = value_of(data[at++]);
		n = observe_format_line(&rec, text + length);
		if (observe_parse_line(text + length, (size_t)n - 1, &back, &why) || memcmp(&rec, &back, sizeof(rec)))
			abort();
		length += (size_t)n;
	}
	read_text(text, length);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	if (data[0] & 1) {
		read_events(data + 1, size - 1);
		return 0;
	}
	/* A copy of just this size, so that a byte read beyond it is seen. */
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	read_text(text, size - 1);
	free(text);
	return 0;
}
