// SPDX-License-Identifier: Apache-2.0
/*
 * Names are strings of one-byte tokens. In the image stand, one after the other and aligned to 8 bytes:
 *
 *   number of symbols    u32
 *   names                of each symbol: length (1 or 2 bytes), tokens; the first character is the type
 *   markers              u32 for every 256th symbol: its place in names
 *   order of the names   3 bytes for each symbol (Linux 6.2 to 6.3, and later 6.1)
 *   token table          256 strings
 *   token index          u16 for every token: its place in the token table
 *   offsets, base        s32 for each symbol, u64; before the number of symbols until Linux 6.4
 *
 * The token table is what can be recognised: digits occur in names, so the tokens '0' to '9' stand for themselves.
 */
#include "cli/profile/kallsyms.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS	     256u
#define MARKER_EVERY 256u
#define MIN_SYMBOLS  1024u
#define MAX_SYMBOLS  (1u << 20)
#define MAX_NAME     1024u
#define KERNEL_START 0xffffffff80000000ull

struct layout {
	const uint8_t *image;
	size_t size;
	size_t tokens, index;	      /* places in the image */
	size_t names;
	size_t offsets;
	uint32_t count;
	uint64_t base;
};

static uint16_t get16(const struct layout *l, size_t at) { uint16_t v; memcpy(&v, l->image + at, 2); return v; }
static uint32_t get32(const struct layout *l, size_t at) { uint32_t v; memcpy(&v, l->image + at, 4); return v; }
static uint64_t get64(const struct layout *l, size_t at) { uint64_t v; memcpy(&v, l->image + at, 8); return v; }
static size_t align8(size_t at) { return (at + 7) & ~(size_t)7; }

/* ---------------------------------------------------------------- tokens */

/* `at` is the string that may be token '0'. */
static bool find_token_table(struct layout *l, size_t at)
{
	size_t place[TOKENS];

	for (unsigned int i = 0; i < '0'; i++) {
		if (at < 2)
			return false;
		at--; /* the NUL before it */
		while (at && l->image[at - 1])
			at--;
	}
	l->tokens = at;
	for (unsigned int i = 0; i < TOKENS; i++) {
		const uint8_t *end = memchr(l->image + at, 0, l->size - at);

		if (!end)
			return false;
		place[i] = at - l->tokens;
		at = (size_t)(end - l->image) + 1;
	}
	l->index = align8(at);
	if (l->tokens & 7 || l->tokens < 16 || l->index + 2 * TOKENS > l->size)
		return false;
	for (unsigned int i = 0; i < TOKENS; i++)
		if (get16(l, l->index + 2 * i) != place[i])
			return false;
	return true;
}

static bool find_tokens(struct layout *l)
{
	static const char digits[] = "\0000\0001\0002\0003\0004\0005\0006\0007\0008\0009";
	const uint8_t *at = l->image, *end = l->image + l->size;

	while ((at = memmem(at, (size_t)(end - at), digits, sizeof(digits)))) {
		if (find_token_table(l, (size_t)(at - l->image) + 1))
			return true;
		at++;
	}
	return false;
}

/* ---------------------------------------------------------------- names and markers */

/* The place behind the name at `at`, and where its tokens are; 0: beyond `end`. */
static size_t next_name(size_t at, size_t end, const uint8_t *image, size_t *tokens, unsigned int *length)
{
	if (end - at < 2)
		return 0;
	*length = image[at++];
	if (*length & 0x80)
		*length = (*length & 0x7f) | (unsigned int)image[at++] << 7;
	*tokens = at;
	return *length && *length <= end - at ? at + *length : 0;
}

/* Behind as many names stand markers that agree with them. */
static bool are_names(struct layout *l, size_t names, uint32_t count)
{
	uint32_t markers = (count + MARKER_EVERY - 1) / MARKER_EVERY;
	size_t place[MAX_SYMBOLS / MARKER_EVERY], at = names, tokens;
	unsigned int length;

	for (uint32_t i = 0; i < count && at; i++) {
		if (i % MARKER_EVERY == 0)
			place[i / MARKER_EVERY] = at - names;
		at = next_name(at, l->tokens, l->image, &tokens, &length);
	}
	if (!at || align8(at) + 4 * (size_t)markers > l->tokens)
		return false;
	for (uint32_t i = 0; i < markers; i++)
		if (get32(l, align8(at) + 4 * (size_t)i) != place[i])
			return false;
	return true;
}

/* Backwards from the token table. Names take from 2 to some 60 bytes each with what stands behind them. */
static bool find_names(struct layout *l)
{
	for (size_t names = l->tokens - 8; names >= 8 && l->tokens - names <= 60 * (size_t)MAX_SYMBOLS; names -= 8) {
		uint32_t count = get32(l, names - 8);
		size_t room = l->tokens - names;

		if (count < MIN_SYMBOLS || count > MAX_SYMBOLS || get32(l, names - 4) || room < 2 * (size_t)count ||
		    room > 60 * (size_t)count || !are_names(l, names, count))
			continue;
		l->names = names;
		l->count = count;
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- addresses */

static bool is_base(const struct layout *l, size_t at) { return at + 8 <= l->size && get64(l, at) >= KERNEL_START; }

static bool find_offsets(struct layout *l)
{
	size_t bytes = (size_t)l->count * 4, after = align8(l->index + 2 * TOKENS), base = after + align8(bytes);

	if (is_base(l, base)) {
		l->offsets = after;
	} else {
		base = l->names - 16;
		if (l->names < 16 + align8(bytes) || !is_base(l, base))
			return false;
		l->offsets = base - align8(bytes);
	}
	l->base = get64(l, base);
	return true;
}

/* CONFIG_KALLSYMS_ABSOLUTE_PERCPU: what is not per-CPU counts down from -1, the rest is absolute. */
static bool counts_down(const struct layout *l)
{
	size_t negative = 0;

	for (uint32_t i = 0; i < l->count; i++)
		negative += get32(l, l->offsets + 4 * (size_t)i) >> 31;
	return negative > l->count / 2;
}

static uint64_t address_of(const struct layout *l, bool down, uint32_t i)
{
	int32_t offset = (int32_t)get32(l, l->offsets + 4 * (size_t)i);

	if (!down)
		return l->base + (uint32_t)offset;
	return offset < 0 ? l->base - 1 - (uint64_t)(int64_t)offset : (uint64_t)offset;
}

/* ---------------------------------------------------------------- the table */

/* Type and name, terminated; 0: too long. */
static size_t expand(const struct layout *l, size_t tokens, unsigned int length, char *out)
{
	size_t n = 0;

	for (unsigned int i = 0; i < length; i++) {
		const char *token = (const char *)l->image + l->tokens + get16(l, l->index + 2 * l->image[tokens + i]);
		size_t size = strlen(token); /* terminated: find_token_table() */

		if (n + size >= MAX_NAME)
			return 0;
		memcpy(out + n, token, size);
		n += size;
	}
	out[n] = 0;
	return n;
}

static int by_address(const void *a, const void *b)
{
	const struct kallsym *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

static int fill(const struct layout *l, struct kallsyms *out)
{
	bool down = counts_down(l);
	size_t at = l->names, used = 0, room = 0, tokens;
	unsigned int length;

	for (uint32_t i = 0; i < l->count; i++) {
		char text[MAX_NAME];
		size_t n;

		at = next_name(at, l->tokens, l->image, &tokens, &length);
		if (!at)
			return -ENOENT;
		n = expand(l, tokens, length, text);
		if (!n)
			return -ENOENT;
		if (used + n > room) {
			char *more = realloc(out->names, room = 2 * room + (1u << 20));

			if (!more)
				return -ENOMEM;
			out->names = more;
		}
		memcpy(out->names + used, text + 1, n);
		/* Names may still move: their place for now. */
		out->symbol[i] = (struct kallsym){ address_of(l, down, i), (const char *)used, text[0] };
		used += n;
	}
	for (uint32_t i = 0; i < l->count; i++)
		out->symbol[i].name = out->names + (uintptr_t)out->symbol[i].name;
	out->count = l->count;
	qsort(out->symbol, out->count, sizeof(out->symbol[0]), by_address);
	return 0;
}

int kallsyms_read(const uint8_t *image, size_t size, struct kallsyms *out)
{
	struct layout l = { .image = image, .size = size };
	int err;

	*out = (struct kallsyms){};
	if (!find_tokens(&l) || !find_names(&l) || !find_offsets(&l))
		return -ENOENT;
	out->symbol = calloc(l.count, sizeof(out->symbol[0]));
	err = out->symbol ? fill(&l, out) : -ENOMEM;
	if (err)
		kallsyms_free(out);
	return err;
}

void kallsyms_free(struct kallsyms *table)
{
	free(table->symbol);
	free(table->names);
	*table = (struct kallsyms){};
}

static bool is_function(const struct kallsym *s) { return strchr("tTwW", s->type) && s->type; }

const struct kallsym *kallsyms_function(const struct kallsyms *table, uint64_t address)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (table->symbol[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	/* Of several names for one address, the first; prefixes of functions (__pfx_) are no functions. */
	for (; low; low--) {
		const struct kallsym *s = &table->symbol[low - 1];

		if (is_function(s) && (low < 2 || s[-1].address != s->address || !is_function(&s[-1])))
			return s;
	}
	return NULL;
}

const struct kallsym *kallsyms_by_name(const struct kallsyms *table, const char *name)
{
	for (size_t i = 0; i < table->count; i++)
		if (!strcmp(table->symbol[i].name, name))
			return &table->symbol[i];
	return NULL;
}
