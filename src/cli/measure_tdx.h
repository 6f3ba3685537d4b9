// SPDX-License-Identifier: Apache-2.0
/* MRTD of a list of launch regions. */
#pragma once

#include <stdio.h>

#include "hw/tdx/measure.h"
#include "vmm/launch.h"

/* Both are in the field, and give different measurements of the same image. */
enum mrtd_order {
	MRTD_INTERLEAVED, /* each page is added and extended before the next (KVM) */
	MRTD_TWO_PASS,	  /* all pages of a region are added, then all are extended */
};

/* 0 or -ENOMEM. `explain`: each step as a line of text; NULL: none. */
int measure_tdx(const struct launch_region *regions, unsigned int count, enum mrtd_order order, FILE *explain,
		struct tdx_digest *mrtd);
