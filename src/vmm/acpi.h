// SPDX-License-Identifier: Apache-2.0
/*
 * ACPI tables of the machine: hardware-reduced (no PIC, no PIT, no PM timer, no SMI), so a kernel takes its time from kvmclock and
 * the local APIC. RSDP at LAYOUT_ACPI, the other tables behind it.
 */
#pragma once

#include "vmm/memory.h"

struct acpi_config {
	unsigned int cpus; /* APIC ids 0..cpus-1 */
	uint64_t mailbox;  /* of the multiprocessor wake-up structure; 0: processors wait for INIT and SIPI */
};

/* 0, or -ENOSPC when the tables do not fit into their place below 1 MiB. */
int acpi_write( struct guest_memory *mem, const struct acpi_config *config);
