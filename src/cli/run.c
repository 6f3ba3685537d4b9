// SPDX-License-Identifier: Apache-2.0
/* softcvm run: default kernel, trace, debugger, and the VMM. */
#include "cli/commands.h"
#include "cli/gdb.h"
#include "cli/options.h"
#include "cli/profile/profile.h"
#include "cli/quote/service.h"
#include "cli/stats.h"
#include "observe/observe.h"
#include "vmm/vm_type.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING_SIZE 64u
/* What the ring keeps for a crash. Exits and port I/O are left out: a kernel that panics says so, byte by byte, on its console. */
#define RING_EVENTS                                                                                                     \
	"kvm_page_fault,kvm_mmio,kvm_msr,kvm_cr,kvm_hypercall,kvm_inj_virq,kvm_inj_exception,hw_exception,hw_unimplemented"

struct run {
	struct run_options options;
	char kernel[PATH_MAX], initrd[PATH_MAX];
	struct observer *observer;
	struct softcvm_monitor *monitor;
	struct debug_port *debug;
	struct gdb_server *gdb;
	struct profile *profile;
	struct quote_service *quotes;
	struct stats *stats; /* the observer's */
	struct vmm_stats vmm_stats;
	FILE *trace;
};

/* ---------------------------------------------------------------- the fetched kernel */

static bool in_folder(const char *folder, struct run *run)
{
	if (snprintf(run->kernel, sizeof(run->kernel), "%s/vmlinuz", folder) >= (int)sizeof(run->kernel) ||
	    snprintf(run->initrd, sizeof(run->initrd), "%s/initrd.gz", folder) >= (int)sizeof(run->initrd))
		return false;
	return !access(run->kernel, R_OK) && !access(run->initrd, R_OK);
}

/* $SOFTCVM_CACHE, the source tree's cache, ~/.cache/softcvm */
static bool default_kernel(struct run *run)
{
	const char *cache = getenv("SOFTCVM_CACHE"), *home = getenv("HOME");
	char folder[PATH_MAX];

	if (cache && *cache) {
		if (in_folder(cache, run))
			return true;
	} else if (in_folder(SOFTCVM_SOURCE_DIR "/cache", run)) {
		return true;
	} else if (home && snprintf(folder, sizeof(folder), "%s/.cache/softcvm", home) < (int)sizeof(folder) &&
		   in_folder(folder, run)) {
		return true;
	}
	fprintf(stderr,
		"softcvm run: no kernel has been fetched; run\n"
		"  " SOFTCVM_SOURCE_DIR "/scripts/fetch-kernels && " SOFTCVM_SOURCE_DIR "/scripts/make-initrd 6.12\n"
		"or name one with --kernel (and --initrd)\n");
	return false;
}

static bool choose_kernel(struct run *run)
{
	struct vmm_config *vmm = &run->options.vmm;

	if (!vmm->kernel) {
		if (!default_kernel(run))
			return false;
		vmm->kernel = run->kernel;
		vmm->initrd = run->initrd;
	}
	if (!vmm->append)
		vmm->append = vmm->virtio_console ? "console=hvc0" : "console=ttyS0";
	return true;
}

/* ---------------------------------------------------------------- trace and debugger */

static bool failed(const char *what, int err)
{
	fprintf(stderr, "softcvm run: %s: %s\n", what, strerror(-err));
	return false;
}

static bool add_ring(struct run *run)
{
	const char *bad;
	struct observe_mask mask;
	int err;

	err = observe_parse_mask(RING_EVENTS, &mask, &bad);
	if (!err)
		err = observe_sink_ring(RING_SIZE, &run->options.vmm.last_events);
	if (err)
		return failed("event ring", err);
	observer_attach(run->observer, run->options.vmm.last_events, &mask);
	return true;
}

static bool add_trace(struct run *run)
{
	const struct run_options *o = &run->options;
	struct observe_sink *sink;
	const char *bad;
	struct observe_mask mask;
	int err;

	if (observe_parse_mask(o->trace_events ? o->trace_events : OBSERVE_DEFAULT_EVENTS, &mask, &bad)) {
		fprintf(stderr, "softcvm run: --trace-events: '%.*s' is not an event\n", (int)strcspn(bad, ","), bad);
		return false;
	}
	run->trace = strcmp(o->trace, "-") ? fopen(o->trace, "we") : fdopen(dup(STDERR_FILENO), "w");
	if (!run->trace)
		return failed(o->trace, -errno);
	err = observe_sink_text(run->trace, &sink);
	if (err)
		return failed("trace", err);
	observer_attach(run->observer, sink, &mask);
	return true;
}

static void stop_debugger(struct run *run)
{
	if (run->gdb)
		gdb_stop(run->gdb);
	run->gdb = NULL;
}

/* The machine has ended, and its vCPUs are still there. */
static void ended(void *opaque, const struct vm *vm)
{
	struct run *run = opaque;

	stop_debugger(run);
	if (run->profile && debug_cpu_count(run->debug))
		profile_report(run->profile, run->options.vmm.kernel, run->debug, vm, stderr);
}

static bool add_debug_port(struct run *run)
{
	int err = debug_port_create(&run->debug);

	if (err)
		return failed("debug port", err);
	run->options.vmm.softcvm.debug = run->debug;
	run->options.vmm.ended = ended;
	run->options.vmm.ended_opaque = run;
	return true;
}

static bool add_profile(struct run *run)
{
	int err = profile_create(run->observer, run->options.vmm.type->mmio_by_ve, &run->profile);

	return !err || failed("--profile", err);
}

static bool add_quotes(struct run *run)
{
	int err = quote_service_create(run->options.quote_authority, &run->quotes);

	run->options.vmm.quote = quote_service_quote;
	run->options.vmm.quote_opaque = run->quotes;
	return !err || failed("quotes", err);
}

static bool add_stats(struct run *run)
{
	int err = stats_create(run->observer, &run->stats);

	return !err || failed("--stats", err);
}

static bool start_monitor(struct run *run)
{
	int err = softcvm_monitor_start(run->options.monitor, &run->monitor);

	return !err || failed("--monitor", err);
}

static bool start_debugger(struct run *run)
{
	int err = gdb_start(run->debug, run->options.gdb_port, &run->gdb);
	if (err)
		return failed("--gdb", err);
	fprintf(stderr, "softcvm run: waiting for GDB: target remote :%u\n", run->options.gdb_port);
	return true;
}

static bool set_up(struct run *run)
{
	int err;

	if (!choose_kernel(run))
		return false;
	if (run->options.stats)
		run->options.vmm.stats = &run->vmm_stats;
	if (!add_quotes(run))
		return false;
	if (run->options.vmm.accel_host)
		return !run->options.trace || failed("--trace with --accel kvm", -ENOTSUP);
	err = observer_create(&run->observer);
	if (err)
		return failed("observer", err);
	run->options.vmm.softcvm.observer = run->observer;
	return add_ring(run) && (!run->options.trace || add_trace(run)) &&
	       (!(run->options.gdb_port || run->options.profile_mmio) || add_debug_port(run)) &&
	       (!run->options.profile_mmio || add_profile(run)) && (!run->options.stats || add_stats(run)) &&
	       (!run->options.monitor || start_monitor(run)) &&
	       (!run->options.gdb_port || start_debugger(run));
}

int cmd_run(int argc, char **argv)
{
	static char name[] = "softcvm run";
	struct run *run = calloc(1, sizeof(*run));
	enum options_result parsed;
	int status = VMM_STATUS_ERROR;

	if (!run)
		return status;
	parsed = options_parse(name, argc, argv, &run->options);
	if (parsed == OPTIONS_HELP)
		status = fputs(options_help, stdout) < 0 ? VMM_STATUS_ERROR : VMM_STATUS_OK;
	else if (parsed == OPTIONS_ERROR)
		status = VMM_STATUS_USAGE;
	else if (parsed == OPTIONS_RUN && set_up(run)) {
		status = vmm_run(&run->options.vmm);
		if (run->options.stats)
			stats_print(run->stats, &run->vmm_stats, stderr);
	}
	softcvm_monitor_stop(run->monitor);
	stop_debugger(run);
	quote_service_destroy(run->quotes);
	if (run->debug)
		debug_port_destroy(run->debug);
	if (run->observer)
		observer_destroy(run->observer);
	if (run->trace && fclose(run->trace)) {
		failed("trace", -errno);
		status = VMM_STATUS_ERROR;
	}
	free(run);
	return status;
}
