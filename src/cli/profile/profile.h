// SPDX-License-Identifier: Apache-2.0
/*
 * softcvm run --profile mmio: which functions of the guest's kernel touched MMIO, how often, and what was there. In an ordinary
 * VM the accesses that reached KVM are counted, in a TD those that raised #VE.
 *
 * Created before the first vCPU; reported once, when the machine has ended and its vCPUs still exist.
 */
#pragma once

#include <stdio.h>

#include "hw/debug.h"
#include "observe/observe.h"

struct vm;
struct profile;

/* by_ve: the guest is a TD. 0 or -ENOMEM. The observer owns it. */
int profile_create(struct observer *obs, bool by_ve, struct profile **out);
/* Stops the vCPUs by the debug port while it reads the guest's symbols. */
void profile_report(struct profile *profile, const char *kernel, struct debug_port *debug, const struct vm *vm, FILE *out);
