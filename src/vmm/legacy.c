// SPDX-License-Identifier: Apache-2.0
/* Devices at fixed ports. */
#include "vmm/legacy.h"

#include "vmm/console.h"
#include "vmm/layout.h"
#include "vmm/panic_watch.h"
#include "vmm/rtc.h"
#include "vmm/uart.h"
#include "vmm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define I8042_RESET   0xfeu
#define RESET_CPU     0x04u /* of PORT_RESET: the edge that resets */
#define SLEEP_ENABLE  0x20u /* ACPI 6.5, 4.8.3.7 */
#define SLEEP_TYPE(v) ((v) >> 2 & 7)
#define PVPANIC_PANICKED 0x01u
/* 2024-01-01: where the clock starts on virtual time */
#define VIRTUAL_EPOCH 1704067200u

struct legacy {
	struct vm *vm;
	struct uart *uart;
	struct rtc *rtc;
	pthread_mutex_t watch_lock;
	struct panic_watch watch;
};

/* ---------------------------------------------------------------- COM1 */

static void com1_irq(void *opaque, bool level)
{
	struct legacy *legacy = opaque;

	irq_set_line(legacy->vm, GSI_COM1, level);
}

static void com1_output(void *opaque, uint8_t byte)
{
	struct legacy *legacy = opaque;
	enum panic_sign sign;

	console_write(legacy->vm->console, &byte, 1);
	pthread_mutex_lock(&legacy->watch_lock);
	sign = panic_watch(&legacy->watch, byte);
	pthread_mutex_unlock(&legacy->watch_lock);
	if (sign != PANIC_NONE)
		__atomic_store_n(&legacy->vm->panic_seen, true, __ATOMIC_RELAXED);
	if (sign == PANIC_END)
		vm_end(legacy->vm, VM_PANIC, 0);
}

static void com1_room(void *opaque)
{
	struct legacy *legacy = opaque;

	console_wake(legacy->vm->console);
}

static size_t com1_input_room(void *opaque)
{
	struct legacy *legacy = opaque;

	return uart_room(legacy->uart);
}

static void com1_input(void *opaque, const uint8_t *bytes, size_t n)
{
	struct legacy *legacy = opaque;

	uart_input(legacy->uart, bytes, n);
}

static uint64_t com1_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct legacy *legacy = opaque;

	return size == 1 ? uart_read(legacy->uart, (unsigned int)offset) : bus_ones(size);
}

static void com1_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct legacy *legacy = opaque;

	/* A wide write goes to consecutive registers, as the ISA bus splits it. */
	for (unsigned int i = 0; i < size; i++)
		uart_write(legacy->uart, (unsigned int)offset + i, (uint8_t)(value >> (8 * i)));
}

static const struct bus_ops com1_ops = { .name = "COM1", .read = com1_read, .write = com1_write };

/* ---------------------------------------------------------------- clock */

static uint64_t wall_clock(void *opaque)
{
	struct legacy *legacy = opaque;

	if (vm_synchronous(legacy->vm))
		return VIRTUAL_EPOCH + vm_time_ns(legacy->vm) / 1000000000u;
	return (uint64_t)time(NULL);
}

static uint64_t cmos_read(void *opaque, uint64_t offset, unsigned int size)
{
	struct legacy *legacy = opaque;

	return size == 1 ? rtc_read(legacy->rtc, (unsigned int)offset) : bus_ones(size);
}

static void cmos_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	struct legacy *legacy = opaque;

	for (unsigned int i = 0; i < size; i++)
		rtc_write(legacy->rtc, (unsigned int)offset + i, (uint8_t)(value >> (8 * i)));
}

static const struct bus_ops cmos_ops = { .name = "CMOS", .read = cmos_read, .write = cmos_write };

/* ---------------------------------------------------------------- ways to end */

static uint64_t read_zero(void *opaque, uint64_t offset, unsigned int size)
{
	return 0;
}

static void ignore_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
}

static void i8042_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	if (value == I8042_RESET)
		vm_request_reset(opaque);
}

/* No keyboard; the status "buffers empty" is what a kernel waits for before it asks for a reset. */
static const struct bus_ops i8042_ops = { .name = "i8042", .read = read_zero, .write = i8042_write };

/*
 * No PIT. A Linux without kvmclock tries all the same to measure its TSC with it, and gives up at once if the counter does not move;
 * while it reads as all ones, as a port does that nobody claims, it takes that for the counter's first values, 50,000 times.
 */
static const struct bus_ops no_timer_ops = { .name = "no timer", .read = read_zero, .write = ignore_write };

static void reset_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	if (value & RESET_CPU)
		vm_request_reset(opaque);
}

static const struct bus_ops reset_ops = { .name = "reset", .read = read_zero, .write = reset_write };

static void sleep_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	if (!offset && (value & SLEEP_ENABLE) && SLEEP_TYPE(value) == SLEEP_TYPE_OFF)
		vm_end(opaque, VM_POWER_OFF, 0);
}

static const struct bus_ops sleep_ops = { .name = "ACPI sleep", .read = read_zero, .write = sleep_write };

static uint64_t pvpanic_read(void *opaque, uint64_t offset, unsigned int size)
{
	return PVPANIC_PANICKED; /* the events that are understood */
}

static void pvpanic_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	if (value & PVPANIC_PANICKED)
		vm_end(opaque, VM_PANIC, 0);
}

static const struct bus_ops pvpanic_ops = { .name = "pvpanic", .read = pvpanic_read, .write = pvpanic_write };

static void debug_exit_write(void *opaque, uint64_t offset, unsigned int size, uint64_t value)
{
	vm_end(opaque, VM_DEBUG_EXIT, ((unsigned int)value << 1 | 1) & 0xff);
}

static const struct bus_ops debug_exit_ops = { .name = "debug exit", .read = read_zero, .write = debug_exit_write };

/* ---------------------------------------------------------------- setup */

static void add_ports(struct legacy *legacy)
{
	struct bus *pio = &legacy->vm->pio;

	bus_add(pio, PORT_COM1, 8, &com1_ops, legacy);
	bus_add(pio, PORT_TIMER, 4, &no_timer_ops, NULL);
	bus_add(pio, PORT_CMOS, 2, &cmos_ops, legacy);
	bus_add(pio, PORT_I8042_COMMAND, 1, &i8042_ops, legacy->vm);
	bus_add(pio, PORT_RESET, 1, &reset_ops, legacy->vm);
	bus_add(pio, PORT_SLEEP_CONTROL, 2, &sleep_ops, legacy->vm);
	bus_add(pio, PORT_PVPANIC, 1, &pvpanic_ops, legacy->vm);
	if (legacy->vm->config->debug_exit)
		bus_add(pio, PORT_DEBUG_EXIT, 4, &debug_exit_ops, legacy->vm);
}

int legacy_create(struct vm *vm, struct legacy **out)
{
	struct legacy *legacy = calloc(1, sizeof(*legacy));

	if (!legacy)
		return -ENOMEM;
	*out = legacy;
	legacy->vm = vm;
	pthread_mutex_init(&legacy->watch_lock, NULL);
	legacy->uart = uart_create(&(struct uart_host){
		.set_irq = com1_irq, .output = com1_output, .room = com1_room, .opaque = legacy });
	legacy->rtc = rtc_create(wall_clock, legacy);
	if (!legacy->uart || !legacy->rtc)
		return -ENOMEM;
	console_set_reader(vm->console, &(struct console_reader){
						.room = com1_input_room, .input = com1_input, .opaque = legacy });
	add_ports(legacy);
	return 0;
}

void legacy_destroy(struct legacy *legacy)
{
	if (!legacy)
		return;
	uart_destroy(legacy->uart);
	rtc_destroy(legacy->rtc);
	pthread_mutex_destroy(&legacy->watch_lock);
	free(legacy);
}
