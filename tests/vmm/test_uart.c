// SPDX-License-Identifier: Apache-2.0
/* The 16550 as a driver sees it: identification, interrupts and their order, loopback, FIFO and its limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "vmm/uart.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

struct host {
	bool irq;
	unsigned int edges, rooms;
	char out[64];
	size_t n_out;
	struct uart *uart;
};

static void set_irq(void *opaque, bool level)
{
	struct host *h = opaque;

	h->edges += level && !h->irq;
	h->irq = level;
}

static void output(void *opaque, uint8_t byte)
{
	struct host *h = opaque;

	if (h->n_out < sizeof(h->out))
		h->out[h->n_out++] = (char)byte;
}

static void room(void *opaque)
{
	((struct host *)opaque)->rooms++;
}

static int set_up(void **state)
{
	static struct host host;

	host = (struct host){};
	host.uart = uart_create(&(struct uart_host){ .set_irq = set_irq, .output = output, .room = room, .opaque = &host });
	*state = &host;
	return !host.uart;
}

static int tear_down(void **state)
{
	uart_destroy(((struct host *)*state)->uart);
	return 0;
}

/* FIFO on with trigger level 1, OUT2 on */
static void open_port(struct host *h, uint8_t ier)
{
	uart_write(h->uart, IIR, 0x07);
	uart_write(h->uart, MCR, 0x0b);
	uart_write(h->uart, IER, ier);
}

static void looks_like_a_16550a(void **state)
{
	struct host *h = *state;

	uart_write(h->uart, IIR, 0x01);
	assert_int_equal(uart_read(h->uart, IIR), 0xc1);
	uart_write(h->uart, SCR, 0x5a);
	assert_int_equal(uart_read(h->uart, SCR), 0x5a);
	assert_int_equal(uart_read(h->uart, LSR), 0x60);
	uart_write(h->uart, LCR, 0x83);
	uart_write(h->uart, DATA, 0x0c);
	assert_int_equal(uart_read(h->uart, DATA), 0x0c);
	uart_write(h->uart, LCR, 0x03);
	assert_int_equal(h->n_out, 0);
}

static void transmitter_interrupts(void **state)
{
	struct host *h = *state;

	open_port(h, 0x02);
	assert_true(h->irq); /* empty when enabled */
	assert_int_equal(uart_read(h->uart, IIR) & 0x0f, 0x02);
	assert_false(h->irq); /* reading IIR takes it back */
	assert_int_equal(uart_read(h->uart, IIR) & 0x0f, 0x01);
	for (const char *p = "hi"; *p; p++)
		uart_write(h->uart, DATA, (uint8_t)*p);
	assert_true(h->irq);
	assert_int_equal(h->edges, 2);
	assert_memory_equal(h->out, "hi", 2);
}

static void receiver_interrupts(void **state)
{
	struct host *h = *state;

	open_port(h, 0x01);
	uart_input(h->uart, (const uint8_t *)"ab", 2);
	assert_true(h->irq);
	assert_int_equal(uart_read(h->uart, IIR) & 0x0f, 0x04);
	assert_int_equal(uart_read(h->uart, DATA), 'a');
	assert_true(h->irq);
	assert_int_equal(uart_read(h->uart, DATA), 'b');
	assert_false(h->irq);
	assert_int_equal(uart_read(h->uart, LSR) & 1, 0);
}

static void below_the_trigger_level_is_a_timeout(void **state)
{
	struct host *h = *state;

	open_port(h, 0x01);
	uart_write(h->uart, IIR, 0xc1); /* 14 bytes */
	uart_input(h->uart, (const uint8_t *)"x", 1);
	assert_true(h->irq);
	assert_int_equal(uart_read(h->uart, IIR) & 0x0f, 0x0c);
}

static void without_out2_no_interrupt(void **state)
{
	struct host *h = *state;

	open_port(h, 0x03);
	uart_write(h->uart, MCR, 0x03);
	assert_false(h->irq);
}

static void loopback(void **state)
{
	struct host *h = *state;

	uart_write(h->uart, IIR, 0x01);
	uart_write(h->uart, MCR, 0x1a); /* loop, OUT2, RTS */
	assert_int_equal(uart_read(h->uart, MSR) & 0xf0, 0x90);
	uart_write(h->uart, DATA, 'q');
	assert_int_equal(h->n_out, 0);
	assert_int_equal(uart_read(h->uart, LSR) & 1, 1);
	assert_int_equal(uart_read(h->uart, DATA), 'q');
}

static void input_waits_for_a_listener(void **state)
{
	struct host *h = *state;

	assert_int_equal(uart_room(h->uart), 0);
	open_port(h, 0x01);
	assert_int_equal(h->rooms, 1);
	assert_int_equal(uart_room(h->uart), 16);
	uart_input(h->uart, (const uint8_t *)"0123456789abcdef", 16);
	assert_int_equal(uart_room(h->uart), 0);
	uart_read(h->uart, DATA);
	assert_int_equal(h->rooms, 2);
	assert_int_equal(uart_room(h->uart), 1);
}

static void polling_is_listening(void **state)
{
	struct host *h = *state;

	assert_int_equal(uart_room(h->uart), 0);
	for (unsigned int i = 0; i < 16; i++)
		uart_read(h->uart, LSR);
	assert_int_equal(h->rooms, 1);
	assert_int_equal(uart_room(h->uart), 1); /* no FIFO yet */
}

static void too_much_input_overruns(void **state)
{
	struct host *h = *state;
	uint8_t bytes[40];

	memset(bytes, 'z', sizeof(bytes));
	open_port(h, 0x05);
	uart_input(h->uart, bytes, sizeof(bytes));
	assert_int_equal(uart_read(h->uart, IIR) & 0x0f, 0x06);
	assert_int_equal(uart_read(h->uart, LSR) & 3, 3);
	assert_int_equal(uart_read(h->uart, LSR) & 3, 1);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(uart_read(h->uart, DATA), 'z');
	assert_int_equal(uart_read(h->uart, LSR) & 1, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(looks_like_a_16550a),
		TEST(transmitter_interrupts),
		TEST(receiver_interrupts),
		TEST(below_the_trigger_level_is_a_timeout),
		TEST(without_out2_no_interrupt),
		TEST(loopback),
		TEST(input_waits_for_a_listener),
		TEST(polling_is_listening),
		TEST(too_much_input_overruns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
