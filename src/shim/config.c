// SPDX-License-Identifier: Apache-2.0
/* What `softcvm exec` or the user says by the environment; opening the device. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "observe/observe.h"
#include "shim/shim.h"

/* The trace of this process: made when /dev/kvm is opened for the first time. */
static struct {
	pthread_mutex_t lock;
	struct observer *observer;
	FILE *file;
	bool fork_handled;
} trace = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool complain(const char *name, const char *value, const char *why)
{
	fprintf(stderr, "softcvm: %s=%s: %s\n", name, value, why);
	return false;
}

static const char *setting(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static bool is_on(const char *name)
{
	const char *value = setting(name);

	return value && strcmp(value, "0");
}

enum shim_debug shim_debug(void)
{
	static _Atomic int level = -1;

	if (level < 0)
		level = is_on("SOFTCVM_DEBUG") ? strcmp(setting("SOFTCVM_DEBUG"), "2") ? SHIM_DEBUG_FAILURES :
											SHIM_DEBUG_CALLS :
						SHIM_QUIET;
	return level;
}

bool shim_cpuid_wanted(void) { return !setting("SOFTCVM_CPUID") || is_on("SOFTCVM_CPUID"); }

bool shim_config_read(struct softcvm_config *config)
{
	const char *platform = setting("SOFTCVM_PLATFORM"), *bits = setting("SOFTCVM_PHYS_BITS");
	const char *version = setting("SOFTCVM_KVM_COMPAT");
	char *end;

	*config = (struct softcvm_config){ .icount = is_on("SOFTCVM_ICOUNT") };
	if (platform && !strcmp(platform, "amd"))
		config->platform = SOFTCVM_PLATFORM_AMD;
	else if (platform && !strcmp(platform, "intel"))
		config->platform = SOFTCVM_PLATFORM_INTEL;
	else if (platform && strcmp(platform, "host"))
		return complain("SOFTCVM_PLATFORM", platform, "neither intel nor amd");
	if (bits) {
		config->phys_bits = strtoul(bits, &end, 10);
		if (*end || config->phys_bits < 36 || config->phys_bits > 52)
			return complain("SOFTCVM_PHYS_BITS", bits, "not a number from 36 to 52");
	}
	if (version && !strcmp(version, "6.12"))
		config->kvm_compat = SOFTCVM_KVM_6_12;
	else if (version && strcmp(version, "7.2"))
		return complain("SOFTCVM_KVM_COMPAT", version, "neither 7.2 nor 6.12");
	config->no_slot_is_mmio = is_on("SOFTCVM_NO_SLOT_IS_MMIO");
	config->pkvm = is_on("SOFTCVM_PKVM");
	return true;
}

/* ---------------------------------------------------------------- trace */

static void before_fork(void)
{
	pthread_mutex_lock(&trace.lock);
	if (trace.file)
		fflush(trace.file);
}

static void after_fork_parent(void) { pthread_mutex_unlock(&trace.lock); }

/* The parent's trace is the parent's. A VM that the child makes gets a new one, appended to the same file. */
static void after_fork_child(void)
{
	if (trace.observer)
		observer_silence(trace.observer);
	trace.observer = NULL;
	trace.file = NULL;
	pthread_mutex_unlock(&trace.lock);
}

static bool start_trace(const char *path)
{
	const char *events = setting("SOFTCVM_TRACE_EVENTS"), *bad;
	struct observer *observer;
	struct observe_sink *sink;
	struct observe_mask mask;
	FILE *file;

	if (observe_parse_mask(events ? events : OBSERVE_DEFAULT_EVENTS, &mask, &bad))
		return complain("SOFTCVM_TRACE_EVENTS", bad, "not an event");
	file = strcmp(path, "-") ? fopen(path, "ae") : fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), "w");
	if (!file)
		return complain("SOFTCVM_TRACE", path, strerror(errno));
	if (observer_create(&observer))
		goto no_observer;
	if (observe_sink_text(file, &sink))
		goto no_sink;
	observer_attach(observer, sink, &mask);
	trace.file = file;
	trace.observer = observer;
	return true;
no_sink:
	observer_destroy(observer);
no_observer:
	fclose(file);
	return complain("SOFTCVM_TRACE", path, strerror(ENOMEM));
}

static bool attach_trace(struct softcvm_config *config)
{
	const char *path = setting("SOFTCVM_TRACE");
	bool ok = true;

	if (!path)
		return true;
	pthread_mutex_lock(&trace.lock);
	if (!trace.fork_handled)
		trace.fork_handled = !pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	if (!trace.observer)
		ok = start_trace(path);
	config->observer = trace.observer;
	pthread_mutex_unlock(&trace.lock);
	return ok;
}

/* ---------------------------------------------------------------- monitor */

static struct {
	pthread_mutex_t lock;
	struct softcvm_monitor *monitor;
	bool tried, fork_handled;
} watch = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void watch_before_fork(void) { pthread_mutex_lock(&watch.lock); }
static void watch_after_fork_parent(void) { pthread_mutex_unlock(&watch.lock); }

static void watch_after_fork_child(void)
{
	softcvm_monitor_abandon(watch.monitor);
	watch.monitor = NULL;
	pthread_mutex_unlock(&watch.lock);
}

static void end_monitor(void)
{
	softcvm_monitor_stop(watch.monitor);
	watch.monitor = NULL;
}

/* Of the first process that opens the device: there is one socket. */
static void start_monitor(void)
{
	const char *path = setting("SOFTCVM_MONITOR");
	int error;

	if (!path)
		return;
	pthread_mutex_lock(&watch.lock);
	if (!watch.fork_handled)
		watch.fork_handled = !pthread_atfork(watch_before_fork, watch_after_fork_parent, watch_after_fork_child) &&
				     !atexit(end_monitor);
	if (!watch.tried) {
		watch.tried = true;
		error = softcvm_monitor_start(path, &watch.monitor);
		if (error)
			complain("SOFTCVM_MONITOR", path, strerror(-error));
	}
	pthread_mutex_unlock(&watch.lock);
}

/* ---------------------------------------------------------------- the device */

int shim_open_kvm(int flags)
{
	struct softcvm_config config;
	int fd = -EINVAL;

	shim_enter();
	if (shim_config_read(&config) && attach_trace(&config)) {
		shim_take_faults();
		start_monitor();
		fd = softcvm_open(&config);
		if (fd >= 0 && !(flags & O_CLOEXEC))
			__wrap_fcntl(fd, F_SETFD, 0);
	}
	shim_leave();
	if (fd < 0)
		fprintf(stderr, "softcvm: /dev/kvm: %s\n", strerror(-fd));
	return fd;
}
