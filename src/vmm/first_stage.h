// SPDX-License-Identifier: Apache-2.0
/*
 * The first stage (guest/boot) in its place below 4 GiB, and the description of the machine that it reads. The memory
 * is the VMM's; who makes a slot of it is the VM type.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct vm;

/* One program per VM type: the bytes up to 4 GiB, the reset vector last. */
struct first_stage_code {
	const uint8_t *bytes;
	size_t size;
};
extern const struct first_stage_code first_stage_sw_protected, first_stage_tdx;

/* Host memory of FIRST_STAGE_SIZE bytes for [FIRST_STAGE_INFO, 4 GiB), the code in it; NULL after a message. */
uint8_t *first_stage_create(struct vm *vm, const struct first_stage_code *code);
void first_stage_destroy(struct vm *vm);

/* The guest is loaded: writes the description. -EINVAL after a message: the first stage cannot start this guest. */
int first_stage_describe(struct vm *vm);
