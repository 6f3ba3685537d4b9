// SPDX-License-Identifier: Apache-2.0
/*
 * Arbitrary bytes as a kernel image: they are placed in guest memory or refused in one line.
 *
 * Input: byte 0 chooses the size of guest memory, the rest is the image.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/vmm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t memory[] = { 2ull << 20, 16ull << 20, 512ull << 20, 5ull << 30 };
	char why[256];
	uint8_t *image;
	int err;

	if (size < 1)
		return 0;
	/* A copy of just this size, so that a byte read beyond it is seen. */
	image = malloc(size - 1);
	if (size > 1)
		memcpy(image, data + 1, size - 1);
	err = vmm_check_kernel(image, size - 1, memory[data[0] & 3], why, sizeof(why));
	if (!err != !why[0] || strchr(why, '\n') || strlen(why) + 1 == sizeof(why))
		abort();
	free(image);
	return 0;
}
