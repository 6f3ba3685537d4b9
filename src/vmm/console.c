// SPDX-License-Identifier: Apache-2.0
/* The guest's consoles on standard input and output. */
#include "vmm/console.h"

#include "vmm/layout.h"
#include "vmm/report.h"
#include "vmm/terminal.h"
#include "vmm/vm.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUFFER_SIZE 65536u
/* poll() says "writable" of a pipe when this much fits, so the write does not wait. */
#define WRITE_SIZE  4096u
#define READ_SIZE   64u
#define FLUSH_WAIT_MS 2000

struct console {
	struct vm *vm;
	struct console_reader reader;
	struct terminal terminal;
	int wake;
	bool input_ended, output_broken;

	pthread_mutex_t lock; /* the output buffer */
	pthread_cond_t drained;
	bool released;
	uint8_t buffer[BUFFER_SIZE];
	size_t head, used;
};

void console_wake(struct console *console)
{
	uint64_t one = 1;

	/* A full counter wakes as well. */
	if (write(console->wake, &one, sizeof(one)) < 0)
		return;
}

void console_write(struct console *console, const uint8_t *bytes, size_t n)
{
	bool was_empty;

	pthread_mutex_lock(&console->lock);
	was_empty = !console->used;
	for (size_t i = 0; i < n; i++) {
		while (console->used == BUFFER_SIZE && !console->released)
			pthread_cond_wait(&console->drained, &console->lock);
		if (console->used == BUFFER_SIZE)
			break;
		console->buffer[(console->head + console->used++) % BUFFER_SIZE] = bytes[i];
	}
	pthread_mutex_unlock(&console->lock);
	if (was_empty && n)
		console_wake(console);
}

void console_release(struct console *console)
{
	pthread_mutex_lock(&console->lock);
	console->released = true;
	pthread_cond_broadcast(&console->drained);
	pthread_mutex_unlock(&console->lock);
}

void console_set_reader(struct console *console, const struct console_reader *reader)
{
	console->reader = *reader;
}

/* The contiguous part of what waits for output. */
static size_t pending(struct console *console, const uint8_t **bytes)
{
	size_t n;

	pthread_mutex_lock(&console->lock);
	*bytes = console->buffer + console->head;
	n = BUFFER_SIZE - console->head < console->used ? BUFFER_SIZE - console->head : console->used;
	pthread_mutex_unlock(&console->lock);
	return n < WRITE_SIZE ? n : WRITE_SIZE;
}

static void consume(struct console *console, size_t n)
{
	pthread_mutex_lock(&console->lock);
	console->head = (console->head + n) % BUFFER_SIZE;
	console->used -= n;
	pthread_cond_broadcast(&console->drained);
	pthread_mutex_unlock(&console->lock);
}

/* False: nothing could be written. Writers add behind what is pending, so it is stable without the lock. */
static bool write_some(struct console *console)
{
	const uint8_t *bytes;
	size_t n = pending(console, &bytes);
	ssize_t done;

	if (!n)
		return false;
	done = console->output_broken ? (ssize_t)n : write(STDOUT_FILENO, bytes, n);
	if (done < 0 && errno != EINTR && errno != EAGAIN) {
		console->output_broken = true; /* nobody listens: the guest goes on */
		done = (ssize_t)n;
	}
	if (done <= 0)
		return false;
	consume(console, (size_t)done);
	return true;
}

static void act(struct console *console, enum terminal_action action)
{
	static const char help[] = "\nCtrl-A x     end the machine\nCtrl-A p     press the power button\n"
				   "Ctrl-A h     this help\nCtrl-A Ctrl-A  send Ctrl-A\n";

	if (action == TERMINAL_QUIT)
		vm_end(console->vm, VM_QUIT, 0);
	else if (action == TERMINAL_POWER_BUTTON)
		irq_pulse_line(console->vm, GSI_POWER_BUTTON);
	else if (action == TERMINAL_HELP && write(STDERR_FILENO, help, sizeof(help) - 1) < 0)
		return;
}

static void read_some(struct console *console)
{
	size_t room = console->reader.room ? console->reader.room(console->reader.opaque) : 0;
	uint8_t bytes[READ_SIZE], kept[READ_SIZE];
	size_t n_kept = 0;
	ssize_t n;

	if (!room)
		return;
	n = read(STDIN_FILENO, bytes, room < READ_SIZE ? room : READ_SIZE);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		console->input_ended = true;
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		enum terminal_action action = terminal_filter(&console->terminal, bytes[i]);

		if (action == TERMINAL_PASS)
			kept[n_kept++] = bytes[i];
		else
			act(console, action);
	}
	if (n_kept)
		console->reader.input(console->reader.opaque, kept, n_kept);
}

static bool wants_input(struct console *console)
{
	return !console->input_ended && console->reader.room && console->reader.room(console->reader.opaque);
}

void console_prepare_poll(struct console *console, struct pollfd fds[CONSOLE_POLL_FDS])
{
	const uint8_t *bytes;

	/* A negative descriptor is not waited for. */
	fds[0] = (struct pollfd){ .fd = console->wake, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = wants_input(console) ? STDIN_FILENO : -1, .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = pending(console, &bytes) ? STDOUT_FILENO : -1, .events = POLLOUT };
}

void console_poll(struct console *console, const struct pollfd fds[CONSOLE_POLL_FDS])
{
	uint64_t count;

	if (fds[0].revents && read(console->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
	if (fds[1].revents & (POLLERR | POLLNVAL))
		console->input_ended = true;
	else if (fds[1].revents)
		read_some(console);
	if (fds[2].revents & POLLNVAL)
		console->output_broken = true;
	if (fds[2].revents)
		write_some(console);
}

int console_create(struct vm *vm, struct console **out)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console)
		return -ENOMEM;
	console->vm = vm;
	console->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (console->wake < 0) {
		vmm_error("eventfd: %s", strerror(errno));
		free(console);
		return -EMFILE;
	}
	pthread_mutex_init(&console->lock, NULL);
	pthread_cond_init(&console->drained, NULL);
	terminal_open(&console->terminal);
	*out = console;
	return 0;
}

/* What the guest said last is what one wants to read; a reader that is stuck is not waited for for ever. */
void console_drain(struct console *console)
{
	struct pollfd fd = { .fd = STDOUT_FILENO, .events = POLLOUT };

	while (console->used) {
		if (poll(&fd, 1, FLUSH_WAIT_MS) <= 0 || fd.revents & POLLNVAL)
			return;
		write_some(console);
	}
}

void console_destroy(struct console *console)
{
	if (!console)
		return;
	console_drain(console);
	terminal_close(&console->terminal);
	pthread_cond_destroy(&console->drained);
	pthread_mutex_destroy(&console->lock);
	close(console->wake);
	free(console);
}
