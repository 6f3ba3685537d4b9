// SPDX-License-Identifier: Apache-2.0
/*
 * 16550A UART (PC16550D data sheet) without a clock: a byte is sent at once. Any thread; `output` is called without the lock held,
 * so that it may wait, `set_irq` with it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uart_host {
	void (*set_irq)(void *opaque, bool level);
	void (*output)(void *opaque, uint8_t byte);
	void (*room)(void *opaque); /* the receiver was full and is not any more */
	void *opaque;
};

struct uart;

struct uart *uart_create(const struct uart_host *host);
void uart_destroy(struct uart *uart);
uint8_t uart_read(struct uart *uart, unsigned int reg);
void uart_write(struct uart *uart, unsigned int reg, uint8_t value);
/* How many bytes uart_input() takes now; more would be lost. */
size_t uart_room(struct uart *uart);
void uart_input(struct uart *uart, const uint8_t *bytes, size_t n);
