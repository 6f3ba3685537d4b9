/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the first stage. C code runs in 64-bit mode with 4 GiB mapped 1:1, without interrupts and without writable data
 * other than the stack. An exception is a triple fault.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "boot/first_stage.h"

/* The VM type's part: when it returns, all RAM is the guest's own and holds what the VMM has loaded. */
void boot_take_memory(const struct first_stage_info *info);

/* The VM type's part on every other processor that starts in the first stage, beside boot_take_memory(); then it waits in the
 * mailbox. Its stack has 512 bytes. */
void boot_help(void);

/* The VM type's way to a port. */
void boot_out8(uint16_t port, uint8_t value);

void *memcpy(void *to, const void *from, size_t n);

/* Says why on the serial port, reports a panic and stops. */
void boot_fail(const char *why) __attribute__((noreturn));
