// SPDX-License-Identifier: Apache-2.0
/* What `softcvm run --stats` prints: the VMM's own counts, and KVM's events counted. */
#pragma once

#include <stdio.h>

struct observer;
struct stats;
struct vmm_stats;

/* 0 or -ENOMEM. Counts until the observer closes its sinks, which frees it. */
int stats_create(struct observer *observer, struct stats **out);

/* The machine has ended. stats NULL: KVM's events are not known, as of the host's /dev/kvm. */
void stats_print(const struct stats *stats, const struct vmm_stats *vmm, FILE *file);
