// SPDX-License-Identifier: Apache-2.0
/*
 * Guest RAM: one anonymous mapping, split at 3 GiB (below) and 4 GiB (the rest), and the map of guest-physical addresses.
 * The mapping stays the same from memory_create() to memory_destroy(), so host pointers into it may be kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define MEMORY_PAGE	  4096ull
#define MEMORY_LOW_LIMIT  0xc0000000ull /* RAM below, the PCI window from here */
#define MEMORY_HIGH_START 0x100000000ull

#define PCI_WINDOW_START 0xc0000000ull
#define PCI_WINDOW_END	 0xe0000000ull
#define ECAM_START	 0xe0000000ull /* one bus */
#define ECAM_SIZE	 0x100000ull
#define LOCAL_APIC_START 0xfee00000ull
#define LOCAL_APIC_SIZE	 0x1000ull
#define IOAPIC_START	 0xfec00000ull
#define IOAPIC_SIZE	 0x1000ull

struct memory_region {
	uint64_t start, size;
	uint8_t *host;
};

/* An ELF kernel's 128 segments and what the loader adds. */
#define MEMORY_MAX_PLACED 144
struct memory_range {
	uint64_t start, size;
};

struct guest_memory {
	struct memory_region region[2];
	unsigned int nr_regions;
	/* The pages that the guest is to find filled when it starts, in order and apart from each other. */
	struct memory_range placed[MEMORY_MAX_PLACED];
	unsigned int nr_placed;
	uint8_t *host;
	uint64_t size;
};

/* 0 or -errno. `hint`: where the mapping should be in our own address space; NULL: anywhere. */
int memory_create(struct guest_memory *mem, uint64_t size, void *hint);
void memory_destroy(struct guest_memory *mem);

/* Host address of [gpa, gpa + size), or NULL if any byte of it is not RAM in one region. */
void *memory_at(const struct guest_memory *mem, uint64_t gpa, uint64_t size);
/* As memory_at(), before the guest runs, for what it is to find there; NULL also when there are too many places. */
void *memory_place(struct guest_memory *mem, uint64_t gpa, uint64_t size);
/* The longest prefix of [gpa, gpa + size) that is contiguous RAM; an empty iovec if there is none. */
struct iovec memory_prefix(const struct guest_memory *mem, uint64_t gpa, uint64_t size);
uint64_t memory_low_end(const struct guest_memory *mem);
/* End of the guest-physical address space that RAM and fixed devices need. */
uint64_t memory_end(const struct guest_memory *mem);

/* What a kernel is told about its memory: type 1 usable, 2 reserved, 3 ACPI tables, 4 ACPI non-volatile (ACPI 6.5 15, table "Address Range Types"). */
#define E820_RAM      1u
#define E820_RESERVED 2u
#define E820_ACPI     3u
#define E820_NVS      4u
#define E820_MAX      8
struct e820_range {
	uint64_t start, size;
	uint32_t type;
};
unsigned int memory_map(const struct guest_memory *mem, struct e820_range map[E820_MAX]);
