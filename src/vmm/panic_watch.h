// SPDX-License-Identifier: Apache-2.0
/*
 * Tells from what a Linux kernel prints on its serial console that it panics: pvpanic's driver is a module in stock kernels, and
 * most panics worth seeing come before it is loaded. Only a line as printk makes it counts. One caller at a time.
 */
#pragma once

#include <stdint.h>

enum panic_sign {
	PANIC_NONE,
	PANIC_BEGIN, /* "Kernel panic - not syncing": a reset that follows is the panic's */
	PANIC_END,   /* "---[ end Kernel panic": the kernel stands still */
};

struct panic_watch {
	char line[128];
	unsigned int length;
};

enum panic_sign panic_watch(struct panic_watch *watch, uint8_t byte);
