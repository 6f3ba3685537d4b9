// SPDX-License-Identifier: Apache-2.0
/* A sink that counts events and keeps the last of each. */
#pragma once

#include <string.h>

#include "observe/observe.h"
#include "softcvm/softcvm.h"

struct recorder {
	struct observe_sink sink;
	struct observer *observer;
	unsigned int count[OBSERVE_EVENT_COUNT];
	struct observe_record last[OBSERVE_EVENT_COUNT];
};

static inline void recorder_record(struct observe_sink *sink, const struct observe_record *rec)
{
	struct recorder *r = (struct recorder *)sink;

	r->count[rec->event]++;
	r->last[rec->event] = *rec;
}

static inline void recorder_close(struct observe_sink *sink) {}

/* VMs that are made with the config tell it everything. */
static inline void recorder_start(struct recorder *r, struct softcvm_config *config)
{
	const struct observe_mask all = observe_mask_all();

	memset(r, 0, sizeof(*r));
	r->sink.record = recorder_record;
	r->sink.close = recorder_close;
	assert_int_equal(observer_create(&r->observer), 0);
	observer_attach(r->observer, &r->sink, &all);
	config->observer = r->observer;
}

static inline void recorder_stop(struct recorder *r) { observer_destroy(r->observer); }
