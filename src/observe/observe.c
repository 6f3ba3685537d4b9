// SPDX-License-Identifier: Apache-2.0
/* The observer: stamps records and hands them to the sinks that want them. */
#include "observe/observe.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct attached_sink {
	struct observe_sink *sink;
	struct observe_mask mask;
	struct attached_sink *next;
};

struct observe_private {
	pthread_mutex_t lock; /* everything below, and the sinks themselves */
	uint64_t (*clock)(void *opaque);
	void *clock_opaque;
	struct attached_sink *sinks;
	uint32_t vms; /* derived so far */
};

static uint64_t monotonic_clock(void *opaque)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int observer_create(struct observer **out)
{
	struct observer *obs = calloc(1, sizeof(*obs));
	struct observe_private *priv = calloc(1, sizeof(*priv));

	if (!obs || !priv) {
		free(obs);
		free(priv);
		return -ENOMEM;
	}
	pthread_mutex_init(&priv->lock, NULL);
	priv->clock = monotonic_clock;
	obs->priv = priv;
	*out = obs;
	return 0;
}

void observer_destroy(struct observer *obs)
{
	struct attached_sink *at, *next;

	if (!obs)
		return;
	observer_silence(obs);
	for (at = obs->priv->sinks; at; at = next) {
		next = at->next;
		at->sink->close(at->sink);
		free(at);
	}
	pthread_mutex_destroy(&obs->priv->lock);
	free(obs->priv);
	free(obs);
}

/* ---------------------------------------------------------------- one for each VM */

static void add_mask(struct observer *obs, const struct observe_mask *mask)
{
	for (unsigned int i = 0; i < OBSERVE_MASK_WORDS; i++)
		__atomic_fetch_or(&obs->mask.word[i], mask->word[i], __ATOMIC_RELAXED);
}

int observer_derive(struct observer *obs, struct observer **out)
{
	struct observer *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	new->priv = obs->priv;
	pthread_mutex_lock(&obs->priv->lock);
	new->vm = obs->priv->vms++;
	new->derived = obs->derived;
	obs->derived = new;
	add_mask(new, &obs->mask);
	pthread_mutex_unlock(&obs->priv->lock);
	*out = new;
	return 0;
}

void observer_destroy_derived(struct observer *obs, struct observer *derived)
{
	struct observer **at;

	pthread_mutex_lock(&obs->priv->lock);
	for (at = &obs->derived; *at != derived; at = &(*at)->derived)
		;
	*at = derived->derived;
	pthread_mutex_unlock(&obs->priv->lock);
	free(derived);
}

void observer_silence(struct observer *obs)
{
	for (; obs; obs = obs->derived)
		for (unsigned int i = 0; i < OBSERVE_MASK_WORDS; i++)
			__atomic_store_n(&obs->mask.word[i], 0, __ATOMIC_RELAXED);
}

/* ---------------------------------------------------------------- sinks */

void observer_set_clock(struct observer *obs, uint64_t (*clock)(void *opaque), void *opaque)
{
	struct observe_private *priv = obs->priv;

	pthread_mutex_lock(&priv->lock);
	priv->clock = clock ? clock : monotonic_clock;
	priv->clock_opaque = opaque;
	pthread_mutex_unlock(&priv->lock);
}

void observer_attach(struct observer *obs, struct observe_sink *sink, const struct observe_mask *mask)
{
	struct observe_private *priv = obs->priv;
	struct attached_sink *at = calloc(1, sizeof(*at));
	struct attached_sink **tail;

	if (!at) {
		sink->close(sink);
		return;
	}
	at->sink = sink;
	at->mask = *mask;
	pthread_mutex_lock(&priv->lock);
	for (tail = &priv->sinks; *tail; tail = &(*tail)->next)
		;
	*tail = at;
	for (; obs; obs = obs->derived)
		add_mask(obs, mask);
	pthread_mutex_unlock(&priv->lock);
}

/* The clock is read under the lock, so that the records of every sink are in the order of their times. */
void observe_emit_slow(struct observer *obs, enum observe_event event, int vcpu, const uint64_t *arg,
		       unsigned int nargs)
{
	struct observe_private *priv = obs->priv;
	struct observe_record rec = {.event = event, .vcpu = vcpu, .vm = obs->vm};

	memcpy(rec.arg, arg, (nargs < OBSERVE_MAX_ARGS ? nargs : OBSERVE_MAX_ARGS) * sizeof(*arg));
	pthread_mutex_lock(&priv->lock);
	rec.time_ns = priv->clock(priv->clock_opaque);
	for (struct attached_sink *at = priv->sinks; at; at = at->next) {
		if (observe_mask_has(&at->mask, event))
			at->sink->record(at->sink, &rec);
	}
	pthread_mutex_unlock(&priv->lock);
}
