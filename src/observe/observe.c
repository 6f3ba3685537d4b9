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
	uint64_t mask;
	struct attached_sink *next;
};

struct observe_private {
	pthread_mutex_t lock; /* everything below, and the sinks themselves */
	uint64_t (*clock)(void *opaque);
	void *clock_opaque;
	struct attached_sink *sinks;
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
	__atomic_store_n(&obs->mask, 0, __ATOMIC_RELAXED);
	for (at = obs->priv->sinks; at; at = next) {
		next = at->next;
		at->sink->close(at->sink);
		free(at);
	}
	pthread_mutex_destroy(&obs->priv->lock);
	free(obs->priv);
	free(obs);
}

void observer_set_clock(struct observer *obs, uint64_t (*clock)(void *opaque), void *opaque)
{
	struct observe_private *priv = obs->priv;

	pthread_mutex_lock(&priv->lock);
	priv->clock = clock ? clock : monotonic_clock;
	priv->clock_opaque = opaque;
	pthread_mutex_unlock(&priv->lock);
}

void observer_attach(struct observer *obs, struct observe_sink *sink, uint64_t mask)
{
	struct observe_private *priv = obs->priv;
	struct attached_sink *at = calloc(1, sizeof(*at));
	struct attached_sink **tail;

	if (!at) {
		sink->close(sink);
		return;
	}
	at->sink = sink;
	at->mask = mask;
	pthread_mutex_lock(&priv->lock);
	for (tail = &priv->sinks; *tail; tail = &(*tail)->next)
		;
	*tail = at;
	pthread_mutex_unlock(&priv->lock);
	__atomic_fetch_or(&obs->mask, mask, __ATOMIC_RELAXED);
}

/* The clock is read under the lock, so that the records of every sink are in the order of their times. */
void observe_emit_slow(struct observer *obs, enum observe_event event, int vcpu, const uint64_t *arg,
		       unsigned int nargs)
{
	struct observe_private *priv = obs->priv;
	struct observe_record rec = {.event = event, .vcpu = vcpu};
	const unsigned int max = sizeof(rec.arg) / sizeof(rec.arg[0]);

	memcpy(rec.arg, arg, (nargs < max ? nargs : max) * sizeof(*arg));
	pthread_mutex_lock(&priv->lock);
	rec.time_ns = priv->clock(priv->clock_opaque);
	for (struct attached_sink *at = priv->sinks; at; at = at->next) {
		if (at->mask >> event & 1)
			at->sink->record(at->sink, &rec);
	}
	pthread_mutex_unlock(&priv->lock);
}
