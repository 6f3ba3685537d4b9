// SPDX-License-Identifier: Apache-2.0
/* A terminal on standard input: raw while the machine runs, with an escape key. Anything else passes every byte. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

struct terminal {
	bool raw; /* `saved` is to be restored */
	bool escaped;
	struct termios saved;
};

enum terminal_action { TERMINAL_PASS, TERMINAL_NOTHING, TERMINAL_QUIT, TERMINAL_POWER_BUTTON, TERMINAL_HELP };

void terminal_open(struct terminal *terminal);
void terminal_close(struct terminal *terminal);
enum terminal_action terminal_filter(struct terminal *terminal, uint8_t byte);
