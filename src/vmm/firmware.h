// SPDX-License-Identifier: Apache-2.0
/* What little a kernel expects of a BIOS after it has been booted directly. */
#pragma once

#include "vmm/memory.h"

void firmware_write(struct guest_memory *mem);
