// SPDX-License-Identifier: Apache-2.0
#include "hw/debug.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hw/cpu/cpu.h"

struct debug_port {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a vCPU parked or came, or the debugger let go */
	int stop_fd;		/* eventfd: something stopped by itself */
	/* all below: under `lock`, but for the breakpoints, which are read without it by running vCPUs and change only while
	 * everything is stopped */
	struct hw_cpu *cpus[DEBUG_MAX_CPUS];
	bool parked[DEBUG_MAX_CPUS];
	unsigned int count;
	bool stopping;
	u64 generation; /* of resumes: a parked vCPU leaves when it changes */
	int step;	/* the only vCPU that may run, for one instruction; -1: all run */
	int event_cpu;
	enum debug_stop_reason event;
	u64 breakpoints[DEBUG_MAX_BREAKPOINTS];
	unsigned int breakpoint_count;
};

int debug_port_create(struct debug_port **out)
{
	struct debug_port *port = calloc(1, sizeof(*port));

	if (!port)
		return -ENOMEM;
	port->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (port->stop_fd < 0) {
		free(port);
		return -errno;
	}
	port->step = -1;
	pthread_mutex_init(&port->lock, NULL);
	pthread_cond_init(&port->changed, NULL);
	*out = port;
	return 0;
}

void debug_port_destroy(struct debug_port *port)
{
	if (!port)
		return;
	close(port->stop_fd);
	pthread_cond_destroy(&port->changed);
	pthread_mutex_destroy(&port->lock);
	free(port);
}

/* ---------------------------------------------------------------- the debugger's side */

unsigned int debug_cpu_count(struct debug_port *port)
{
	unsigned int n;

	pthread_mutex_lock(&port->lock);
	n = port->count;
	pthread_mutex_unlock(&port->lock);
	return n;
}

static bool all_stopped(const struct debug_port *port)
{
	for (unsigned int i = 0; i < port->count; i++)
		if (!port->parked[i] && __atomic_load_n(&port->cpus[i]->in_run, __ATOMIC_SEQ_CST))
			return false;
	return true;
}

/* A vCPU that leaves hw_cpu_run() for kvm tells nobody: hence the short timed waits. */
static void wait_all_stopped(struct debug_port *port)
{
	while (!all_stopped(port)) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_nsec += 2000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_nsec -= 1000000000;
			t.tv_sec++;
		}
		pthread_cond_timedwait(&port->changed, &port->lock, &t);
	}
}

static void request_stop(struct debug_port *port)
{
	port->stopping = true;
	for (unsigned int i = 0; i < port->count; i++)
		cpu_request(port->cpus[i], REQ_STOP);
}

void debug_stop(struct debug_port *port)
{
	pthread_mutex_lock(&port->lock);
	request_stop(port);
	wait_all_stopped(port);
	pthread_mutex_unlock(&port->lock);
}

void debug_resume(struct debug_port *port, int step)
{
	pthread_mutex_lock(&port->lock);
	port->step = step;
	port->stopping = step >= 0; /* the others stay where they are */
	port->event = DEBUG_STOP_NONE;
	port->generation++;
	if (!port->stopping)
		for (unsigned int i = 0; i < port->count; i++)
			__atomic_fetch_and(&port->cpus[i]->request, ~REQ_STOP, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&port->changed);
	pthread_mutex_unlock(&port->lock);
}

int debug_wait(struct debug_port *port, int cancel_fd, enum debug_stop_reason *reason)
{
	struct pollfd fds[2] = { { .fd = port->stop_fd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };

	for (;;) {
		uint64_t n;
		int cpu = -1;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[0].revents & POLLIN) {
			if (read(port->stop_fd, &n, sizeof(n)) != sizeof(n))
				continue;
			pthread_mutex_lock(&port->lock);
			if (port->event != DEBUG_STOP_NONE) {
				cpu = port->event_cpu;
				*reason = port->event;
				wait_all_stopped(port);
			}
			pthread_mutex_unlock(&port->lock);
			if (cpu >= 0)
				return cpu;
		} else if (fds[1].revents) {
			return -ECANCELED;
		}
	}
}

int debug_set_breakpoint(struct debug_port *port, u64 gva, bool set)
{
	int err = set ? -ENOSPC : -ENOENT;

	pthread_mutex_lock(&port->lock);
	if (set && port->breakpoint_count < DEBUG_MAX_BREAKPOINTS) {
		port->breakpoints[port->breakpoint_count++] = gva;
		err = 0;
	}
	for (unsigned int i = 0; !set && i < port->breakpoint_count; i++) {
		if (port->breakpoints[i] != gva)
			continue;
		port->breakpoints[i] = port->breakpoints[--port->breakpoint_count];
		err = 0;
		break;
	}
	for (unsigned int i = 0; i < port->count; i++)
		cpu_request(port->cpus[i], REQ_BLOCK_FLUSH); /* blocks end before a breakpoint */
	pthread_mutex_unlock(&port->lock);
	return err;
}

struct hw_arch *debug_arch(struct debug_port *port, unsigned int cpu)
{
	return &port->cpus[cpu]->arch;
}

void debug_arch_changed(struct debug_port *port, unsigned int cpu)
{
	hw_cpu_arch_changed(port->cpus[cpu]);
}

/* One page at a time; `copy` moves bytes and returns 0 or -EFAULT. */
static size_t by_pages(struct debug_port *port, unsigned int cpu, u64 gva_, size_t size, int (*copy)(hpa_t host, u8 *buf, size_t n), u8 *buf)
{
	struct hw_cpu *c = port->cpus[cpu];
	size_t done = 0;

	while (done < size) {
		u64 at = gva_ + done;
		size_t n = HW_PAGE_SIZE - (at & ~HW_PAGE_MASK);
		hpa_t host;

		if (n > size - done)
			n = size - done;
		if (!cpu_debug_translate(c, at, &host) || copy(host, buf + done, n))
			break;
		done += n;
	}
	return done;
}

static int copy_out(hpa_t host, u8 *buf, size_t n)
{
	return hw_copy_from_host(buf, host, n);
}

static int copy_in(hpa_t host, u8 *buf, size_t n)
{
	return hw_copy_to_host(host, buf, n);
}

size_t debug_read_memory(struct debug_port *port, unsigned int cpu, u64 gva_, void *buf, size_t size)
{
	return by_pages(port, cpu, gva_, size, copy_out, buf);
}

size_t debug_write_memory(struct debug_port *port, unsigned int cpu, u64 gva_, const void *buf, size_t size)
{
	size_t done = by_pages(port, cpu, gva_, size, copy_in, (u8 *)buf);

	pthread_mutex_lock(&port->lock);
	for (unsigned int i = 0; i < port->count; i++)
		cpu_request(port->cpus[i], REQ_BLOCK_FLUSH);
	pthread_mutex_unlock(&port->lock);
	return done;
}

/* ---------------------------------------------------------------- the processor's side */

int debug_attach_cpu(struct debug_port *port, struct hw_cpu *cpu)
{
	int err = 0;

	pthread_mutex_lock(&port->lock);
	if (port->count == DEBUG_MAX_CPUS) {
		err = -ENOSPC;
	} else {
		port->parked[port->count] = false;
		port->cpus[port->count++] = cpu;
		cpu->debug = port;
		if (port->stopping)
			cpu_request(cpu, REQ_STOP);
	}
	pthread_mutex_unlock(&port->lock);
	return err;
}

void debug_detach_cpu(struct debug_port *port, struct hw_cpu *cpu)
{
	pthread_mutex_lock(&port->lock);
	for (unsigned int i = 0; i < port->count; i++) {
		if (port->cpus[i] != cpu)
			continue;
		port->count--;
		for (unsigned int k = i; k < port->count; k++) {
			port->cpus[k] = port->cpus[k + 1];
			port->parked[k] = port->parked[k + 1];
		}
	}
	cpu->debug = NULL;
	pthread_cond_broadcast(&port->changed);
	pthread_mutex_unlock(&port->lock);
}

bool debug_has_breakpoints(const struct debug_port *port)
{
	return __atomic_load_n(&port->breakpoint_count, __ATOMIC_RELAXED);
}

bool debug_breakpoint_at(const struct debug_port *port, u64 gva)
{
	for (unsigned int i = 0; i < port->breakpoint_count; i++)
		if (port->breakpoints[i] == gva)
			return true;
	return false;
}

bool debug_offset_has_breakpoint(const struct debug_port *port, unsigned int page_offset)
{
	for (unsigned int i = 0; i < port->breakpoint_count; i++)
		if ((port->breakpoints[i] & ~HW_PAGE_MASK) == page_offset)
			return true;
	return false;
}

static unsigned int index_of(const struct debug_port *port, const struct hw_cpu *cpu)
{
	unsigned int i = 0;

	while (port->cpus[i] != cpu)
		i++;
	return i;
}

void debug_park(struct debug_port *port, struct hw_cpu *cpu, enum debug_stop_reason reason)
{
	uint64_t one = 1;
	unsigned int self;
	u64 generation;

	pthread_mutex_lock(&port->lock);
	self = index_of(port, cpu);
	if (reason != DEBUG_STOP_REQUEST && port->event == DEBUG_STOP_NONE) {
		port->event = reason;
		port->event_cpu = (int)self;
		request_stop(port);
		if (write(port->stop_fd, &one, sizeof(one)) < 0)
			port->event = DEBUG_STOP_NONE;
	}
	port->parked[self] = true;
	generation = port->generation;
	pthread_cond_broadcast(&port->changed);
	while (port->stopping && !(port->step == (int)self && port->generation != generation)) {
		pthread_cond_wait(&port->changed, &port->lock);
		self = index_of(port, cpu); /* others may have been detached */
	}
	port->parked[self] = false;
	pthread_mutex_unlock(&port->lock);
}

bool debug_stepping(const struct debug_port *port, const struct hw_cpu *cpu)
{
	int step = __atomic_load_n(&port->step, __ATOMIC_RELAXED);

	return step >= 0 && (unsigned int)step < port->count && port->cpus[step] == cpu;
}
