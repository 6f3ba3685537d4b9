// SPDX-License-Identifier: Apache-2.0
/*
 * Puts a kernel, its initrd and its command line into guest memory and says how the first vCPU is to start. A kernel image is
 * hostile input: the worst it can do is an error in words.
 */
#pragma once

#include "vmm/memory.h"

enum boot_mode {
	BOOT_LINUX_64,	/* x86 boot protocol, 64-bit entry: RSI = zero page */
	BOOT_LINUX_32,	/* x86 boot protocol, 32-bit entry: ESI = zero page */
	BOOT_PVH,	/* PVH: 32-bit entry, EBX = hvm_start_info */
};

struct boot_entry {
	enum boot_mode mode;
	uint64_t entry;
	uint64_t info; /* what RSI or EBX points to */
};

struct boot_source {
	const uint8_t *kernel;
	size_t kernel_size;
	const uint8_t *initrd; /* NULL: none */
	size_t initrd_size;
	const char *cmdline;
};

/* What a format's loader finds out about the kernel it has placed. */
struct boot_image {
	struct boot_entry entry;
	uint64_t start, end;	 /* memory the kernel occupies before it can read its memory map */
	uint64_t initrd_max;	 /* last address an initrd may use */
	uint64_t cmdline_max;	 /* characters, without the NUL */
	const uint8_t *setup;	 /* setup header to copy into the zero page; NULL: none */
	size_t setup_size;
};

/* Why loading failed, in one line. */
struct boot_error {
	char text[400];
};
/* Fills in the reason; always -EINVAL. */
int boot_fail(struct boot_error *error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* 0, or -EINVAL and the reason. */
int loader_load(struct guest_memory *mem, const struct boot_source *source, struct boot_entry *entry,
		struct boot_error *error);

/* One per format, in bzimage.c and elf.c. */
bool bzimage_probe(const uint8_t *image, size_t size);
int bzimage_place( struct guest_memory *mem, const uint8_t *image, size_t size, struct boot_image *out,
		  struct boot_error *error);
bool elf_probe(const uint8_t *image, size_t size);
int elf_place( struct guest_memory *mem, const uint8_t *image, size_t size, struct boot_image *out,
	      struct boot_error *error);
