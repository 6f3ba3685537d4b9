// SPDX-License-Identifier: Apache-2.0
/* The modules that a guest's kernel has loaded, with their functions, read from its memory. Hostile input, like the kernel image. */
#pragma once

#include <stdbool.h>

#include "cli/profile/image.h"

struct guest_reader {
	/* Guest memory by virtual address; bytes read, which may be fewer. */
	size_t (*read)(void *opaque, uint64_t gva, void *buf, size_t size);
	void *opaque;
};

struct guest_modules;

/*
 * `list` is the address of the kernel's `modules` in this run. Layouts come from the BTF of the image. 0; -ENOENT: no BTF, or
 * not the structures that are known; -ENOMEM. A damaged list ends where it is damaged.
 */
int guest_modules_read(const struct kernel_elf *image, uint64_t list, const struct guest_reader *reader, struct guest_modules **out);
void guest_modules_free(struct guest_modules *modules);

/* The module that the address lies in and its function there ("?" if it has no name); false: in none. */
bool guest_modules_find(const struct guest_modules *modules, uint64_t address, const char **module, const char **function);
