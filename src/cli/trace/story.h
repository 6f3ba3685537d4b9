// SPDX-License-Identifier: Apache-2.0
/*
 * story: of all that a trace has, what is about one address: accesses, each with its steps, and changes.
 *
 * The address is guest-physical (one frame), or guest-virtual: then the frames that it was translated to are told to the story
 * first (story_learn), and accesses are those by that address.
 */
#pragma once

#include "cli/trace/replay.h"

#define STORY_MAX_FRAMES 64

struct story_item {
	struct observe_record rec;
	u64 chapter;	/* items of one access have one number; others each their own */
	unsigned int next; /* of the chapter; 0: the last one */
	unsigned int more; /* accesses like this one that followed it and are not kept */
	u64 last_ns;	/* time of the last of those */
};

/* What a vCPU is doing. */
struct story_vcpu {
	int vcpu;
	struct observe_record access, walk;
	bool has_access, has_walk;
	bool table;		/* the chapter is of an entry of the guest's tables */
	bool retry;		/* KVM's last answer: try again */
	u64 chapter;		/* 0: nothing that concerns us */
	unsigned int items;	/* of the chapter */
	unsigned int last;	/* item of it */
	enum { STORY_STEPS, STORY_FAULT, STORY_AGAIN, STORY_LEAVING } stage;
};

struct story {
	/* what is asked for */
	u32 vm;
	bool by_gva;
	u64 page; /* number of the page: gfn or gva >> 12 */
	u64 from_ns, to_ns;
	int only_vcpu; /* -1: all */
	/* what there is */
	struct replay replay;
	u64 frames[STORY_MAX_FRAMES];
	unsigned int nr_frames;
	bool too_many_frames;
	struct story_item *items;
	unsigned int nr_items, capacity;
	u64 chapters;
	struct story_vcpu *vcpus;
	unsigned int nr_vcpus;
	u64 records, first_ns, last_ns;
};

void story_destroy(struct story *s);
/* A first reading for guest-virtual addresses. */
int story_learn(void *opaque, const struct observe_record *rec);
/* 0, -ENOMEM or -EINVAL (replay_apply()). */
int story_hear(void *opaque, const struct observe_record *rec);
