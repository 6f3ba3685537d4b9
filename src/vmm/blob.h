// SPDX-License-Identifier: Apache-2.0
/* A file's contents. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct blob {
	uint8_t *data;
	size_t size;
};

struct boot_error; /* loader.h */

/* 0, or -errno and why, in words that call the file `what`. Longer than `max` is an error. */
int blob_read_why(const char *path, const char *what, uint64_t max, struct blob *out, struct boot_error *error);
/* The same, 0, or -errno after a message that calls the file `what`. */
int blob_read(const char *path, const char *what, uint64_t max, struct blob *out);
void blob_free(struct blob *blob);
