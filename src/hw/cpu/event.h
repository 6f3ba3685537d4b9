// SPDX-License-Identifier: Apache-2.0
/* event: delivery of one event, between event.c (which) and event_idt.c (how). */
#pragma once

#include "hw/cpu/sys.h"

enum event_class { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT, CLASS_DOUBLE_FAULT, CLASS_COUNT };
enum event_outcome { SECOND_ALONE, BECOMES_DOUBLE_FAULT, BECOMES_SHUTDOWN };

/* What an exception during the delivery of `first` leads to. */
enum event_outcome event_combine(const struct hw_event *first, u8 second);

struct event_frame {
	struct hw_event event;
	u64 rip; /* to be pushed */
	bool rf; /* pushed with RF set */
};

/* One attempt: everything is committed (EXEC_OK), or nothing (EXEC_FAULT, EXEC_EXIT). */
int event_through_idt(struct hw_cpu *c, const struct event_frame *frame);
