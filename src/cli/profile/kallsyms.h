// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's own symbol table, found in its image by its structure: the image has no other (scripts/kallsyms.c of Linux
 * writes it). The image is hostile input: what is not found or does not fit together is -ENOENT.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct kallsym {
	uint64_t address; /* as linked */
	const char *name;
	char type; /* as nm prints it */
};

struct kallsyms {
	struct kallsym *symbol; /* by address */
	size_t count;
	char *names;
};

/* 0, -ENOENT or -ENOMEM. Keeps nothing of the image. */
int kallsyms_read(const uint8_t *image, size_t size, struct kallsyms *out);
void kallsyms_free(struct kallsyms *table);

/* The function that the address lies in, or NULL. */
const struct kallsym *kallsyms_function(const struct kallsyms *table, uint64_t address);
const struct kallsym *kallsyms_by_name(const struct kallsyms *table, const char *name);
