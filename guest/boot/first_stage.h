/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first stage: what a confidential guest runs from reset until its kernel's 64-bit entry. One program per VM type,
 * of the same files but for the type's own (sw_protected.c). It lies in the last 32 KiB below 4 GiB, so the reset
 * vector is its end; the first page there describes the machine and is written by the VMM.
 *
 * What it uses of RAM until the kernel has its own: FIRST_STAGE_WORK, page tables and stack. The loader leaves it free.
 */
#pragma once

#define FIRST_STAGE_INFO 0xffff8000
#define FIRST_STAGE_CODE 0xffff9000
#define FIRST_STAGE_SIZE 0x8000 /* with the page of the description */

#define FIRST_STAGE_PAGE_TABLES 0x9000 /* PML4, PDPT, four page directories: 4 GiB 1:1 */
#define FIRST_STAGE_GDT		0xf000
#define FIRST_STAGE_STACK_END	0x20000
#define FIRST_STAGE_WORK	FIRST_STAGE_PAGE_TABLES
#define FIRST_STAGE_WORK_END	FIRST_STAGE_STACK_END

#ifndef __ASSEMBLER__
#include <stdint.h>

#define FIRST_STAGE_MAGIC      0x31474154534d5643ull /* "CVMSTAG1" */
#define FIRST_STAGE_MAX_RANGES 240u

struct first_stage_range {
	uint64_t start, size; /* whole pages */
};

struct first_stage_info {
	uint64_t magic;
	uint64_t entry;	    /* the kernel's 64-bit entry */
	uint64_t zero_page; /* its boot_params */
	/* Free memory that needs no conversion, for what is converted by copying. Size 0: none is needed. */
	struct first_stage_range bounce;
	uint32_t nr_placed;
	uint32_t reserved;
	struct first_stage_range placed[FIRST_STAGE_MAX_RANGES]; /* what the VMM has loaded, in order, below 4 GiB */
};
_Static_assert(sizeof(struct first_stage_info) <= 4096, "the description is one page");
#endif
