// SPDX-License-Identifier: Apache-2.0
/* Sinks: the last records in memory, and text in the form of the kernel's trace points. */
#include "observe/observe.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct ring_sink {
	struct observe_sink sink;
	pthread_mutex_t lock; /* against a print while others emit */
	size_t capacity;
	uint64_t count; /* records ever taken */
	struct observe_record rec[];
};

struct text_sink {
	struct observe_sink sink;
	FILE *file;
};

static void print_line(FILE *file, const struct observe_record *rec)
{
	char text[OBSERVE_LINE_MAX];

	observe_format_line(rec, text);
	fputs(text, file);
}

static void ring_record(struct observe_sink *sink, const struct observe_record *rec)
{
	struct ring_sink *ring = (struct ring_sink *)sink;

	pthread_mutex_lock(&ring->lock);
	ring->rec[ring->count++ % ring->capacity] = *rec;
	pthread_mutex_unlock(&ring->lock);
}

static void ring_close(struct observe_sink *sink)
{
	struct ring_sink *ring = (struct ring_sink *)sink;

	pthread_mutex_destroy(&ring->lock);
	free(ring);
}

int observe_sink_ring(size_t capacity, struct observe_sink **out)
{
	struct ring_sink *ring;

	if (!capacity || capacity > SIZE_MAX / 2 / sizeof(struct observe_record))
		return -EINVAL;
	ring = calloc(1, sizeof(*ring) + capacity * sizeof(ring->rec[0]));
	if (!ring)
		return -ENOMEM;
	pthread_mutex_init(&ring->lock, NULL);
	ring->capacity = capacity;
	ring->sink.record = ring_record;
	ring->sink.close = ring_close;
	*out = &ring->sink;
	return 0;
}

void observe_ring_print(struct observe_sink *sink, FILE *file)
{
	struct ring_sink *ring = (struct ring_sink *)sink;
	uint64_t first;

	pthread_mutex_lock(&ring->lock);
	first = ring->count > ring->capacity ? ring->count - ring->capacity : 0;
	for (uint64_t n = first; n < ring->count; n++)
		print_line(file, &ring->rec[n % ring->capacity]);
	pthread_mutex_unlock(&ring->lock);
}

static void text_record(struct observe_sink *sink, const struct observe_record *rec)
{
	print_line(((struct text_sink *)sink)->file, rec);
}

static void text_close(struct observe_sink *sink)
{
	fflush(((struct text_sink *)sink)->file);
	free(sink);
}

int observe_sink_text(FILE *file, struct observe_sink **out)
{
	struct text_sink *text = calloc(1, sizeof(*text));

	if (!text)
		return -ENOMEM;
	text->file = file;
	text->sink.record = text_record;
	text->sink.close = text_close;
	*out = &text->sink;
	return 0;
}
