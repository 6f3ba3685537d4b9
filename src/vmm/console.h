// SPDX-License-Identifier: Apache-2.0
/*
 * Standard input and output for the guest's consoles. Devices put bytes out from any thread; the thread that runs
 * console_poll() moves them, so that a terminal that does not read holds up the device that writes and nothing else. Input goes
 * to one device, at the pace at which it takes it.
 *
 * On a terminal Ctrl-A is the escape key: Ctrl-A x ends the machine, Ctrl-A p presses the power button, Ctrl-A h helps,
 * Ctrl-A Ctrl-A sends Ctrl-A.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct console;

struct vm;

/* Who gets the input: how much it takes now, and the bytes. Called from console_poll()'s thread; must not wait. */
struct console_reader {
	size_t (*room)(void *opaque);
	void (*input)(void *opaque, const uint8_t *bytes, size_t n);
	void *opaque;
};

int console_create(struct vm *vm, struct console **out); /* 0 or -errno, after a message */
void console_destroy(struct console *console); /* writes what is left and restores the terminal */
void console_set_reader(struct console *console, const struct console_reader *reader);

/* Any thread. Waits while the buffer is full; once the machine has ended, bytes that do not fit are lost. */
void console_write(struct console *console, const uint8_t *bytes, size_t n);
/* Any thread: the reader has room again. */
void console_wake(struct console *console);

/* For the main loop's poll(): descriptors to wait for, and what to do when it comes back. */
#define CONSOLE_POLL_FDS 3
void console_prepare_poll(struct console *console, struct pollfd fds[CONSOLE_POLL_FDS]);
void console_poll(struct console *console, const struct pollfd fds[CONSOLE_POLL_FDS]);
/* Writes what is left; nobody writes any more. */
void console_drain(struct console *console);
/* The machine has ended: nobody waits any longer. */
void console_release(struct console *console);
