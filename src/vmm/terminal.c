// SPDX-License-Identifier: Apache-2.0
/* Raw mode and the escape key. */
#include "vmm/terminal.h"

#include <unistd.h>

#define ESCAPE 0x01 /* Ctrl-A */

void terminal_open(struct terminal *terminal)
{
	struct termios raw;

	*terminal = (struct terminal){};
	/* In the background, changing the terminal would stop us. */
	if (tcgetattr(STDIN_FILENO, &terminal->saved) || tcgetpgrp(STDIN_FILENO) != getpgrp())
		return;
	raw = terminal->saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* our own messages end in \n */
	terminal->raw = !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void terminal_close(struct terminal *terminal)
{
	if (terminal->raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal->saved);
	terminal->raw = false;
}

enum terminal_action terminal_filter(struct terminal *terminal, uint8_t byte)
{
	if (!terminal->raw)
		return TERMINAL_PASS;
	if (!terminal->escaped) {
		terminal->escaped = byte == ESCAPE;
		return terminal->escaped ? TERMINAL_NOTHING : TERMINAL_PASS;
	}
	terminal->escaped = false;
	switch (byte) {
	case ESCAPE:
		return TERMINAL_PASS;
	case 'x':
		return TERMINAL_QUIT;
	case 'p':
		return TERMINAL_POWER_BUTTON;
	case 'h':
	case '?':
		return TERMINAL_HELP;
	default:
		return TERMINAL_NOTHING;
	}
}
