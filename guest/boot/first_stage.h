/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first stage: what a confidential guest runs from reset until its kernel's 64-bit entry. One program per VM type,
 * of the same files but for the type's own (sw_protected.c, tdx.c). It lies in the last 32 KiB below 4 GiB, so the reset
 * vector is its end; the first page there describes the machine and is written by the VMM.
 *
 * What it uses of RAM is FIRST_STAGE_WORK below 1 MiB, which a kernel's memory map calls ACPI non-volatile: processors that wait
 * to be woken stay on these page tables and read the mailbox there.
 */
#pragma once

#define FIRST_STAGE_INFO 0xffff8000
#define FIRST_STAGE_CODE 0xffff9000
#define FIRST_STAGE_SIZE 0x8000 /* with the page of the description */

#define FIRST_STAGE_WORK	0xe8000
#define FIRST_STAGE_WORK_END	0xff000
#define FIRST_STAGE_PAGE_TABLES FIRST_STAGE_WORK /* PML4, PDPT, four page directories: 4 GiB 1:1 */
#define FIRST_STAGE_GDT		0xee000
#define FIRST_STAGE_MAILBOX	0xef000 /* ACPI 6.5 5.2.12.19; all zero until a kernel writes it */
#define FIRST_STAGE_AP_STACKS	0xf0000 /* by APIC id from 1 to FIRST_STAGE_MAX_CPUS - 1, each below its multiple from here */
#define FIRST_STAGE_AP_STACK_SHIFT 9
#define FIRST_STAGE_MAX_CPUS	64
#define FIRST_STAGE_STACK_END	FIRST_STAGE_WORK_END

/* The mailbox by offset */
#define MAILBOX_COMMAND	      0	/* u16 */
#define MAILBOX_APIC_ID	      4	/* u32 */
#define MAILBOX_WAKEUP_VECTOR 8	/* u64 */
#define MAILBOX_FIRMWARE      2048
#define MAILBOX_WAKEUP	      1 /* the command */
/* In the firmware's part, u32 each: the page tables are there; work that all processors share, for the VM type's own use. */
#define MAILBOX_TABLES_READY  MAILBOX_FIRMWARE
#define MAILBOX_NEXT	      (MAILBOX_FIRMWARE + 4)
#define MAILBOX_DONE	      (MAILBOX_FIRMWARE + 8)

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
	struct first_stage_range bounce; /* free memory of the guest's own, to copy through */
	struct first_stage_range ram[2]; /* all of it; size 0: none */
	uint32_t nr_placed;
	uint32_t reserved;
	struct first_stage_range placed[FIRST_STAGE_MAX_RANGES]; /* what the VMM has loaded, in order, below 4 GiB */
};
_Static_assert(sizeof(struct first_stage_info) <= 4096, "the description is one page");
#endif
