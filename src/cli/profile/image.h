// SPDX-License-Identifier: Apache-2.0
/* The ELF image inside a kernel file: the file itself, or what a bzImage carries compressed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct kernel_elf {
	uint8_t *data; /* malloc()ed */
	size_t size;
};

/* 0, or -errno: -ENOEXEC for what is neither, -ENOTSUP for a compression that is not known, -EBADMSG for a damaged one. */
int kernel_elf_read(const char *path, struct kernel_elf *out);
