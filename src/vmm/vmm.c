// SPDX-License-Identifier: Apache-2.0
/* vmm_run(): loads the guest, waits until it ends, and says how it did. */
#include "vmm/vmm.h"

#include "vmm/blob.h"
#include "vmm/console.h"
#include "vmm/launch.h"
#include "vmm/report.h"
#include "vmm/vm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define KERNEL_MAX (1ull << 30)

struct session {
	struct vm vm;
	const struct vmm_config *config;
	int signals, timer;
	sigset_t old_mask;
	struct sigaction old_kick, old_pipe;
};

/* ---------------------------------------------------------------- signals and time */

static void kick(int signal)
{
	softcvm_interrupt();
}

static int open_signals(struct session *s)
{
	struct sigaction on_kick = { .sa_handler = kick }, ignore = { .sa_handler = SIG_IGN };
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	/* Blocked here for every thread made from now on; the vCPU threads unblock the kick. */
	sigaddset(&mask, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &mask, &s->old_mask);
	sigaction(SIGUSR1, &on_kick, &s->old_kick);
	sigaction(SIGPIPE, &ignore, &s->old_pipe);
	return s->signals < 0 ? -errno : 0;
}

static void close_signals(struct session *s)
{
	if (s->signals >= 0)
		close(s->signals);
	sigaction(SIGPIPE, &s->old_pipe, NULL);
	sigaction(SIGUSR1, &s->old_kick, NULL);
	pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
}

static int open_timer(struct session *s)
{
	struct itimerspec when = { .it_value.tv_sec = s->config->timeout };

	s->timer = -1;
	if (!s->config->timeout)
		return 0;
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->timer < 0 || timerfd_settime(s->timer, 0, &when, NULL))
		return -errno;
	return 0;
}

/* ---------------------------------------------------------------- running */

static void take_signal(struct session *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) == sizeof(info))
		vm_end(&s->vm, VM_SIGNAL, info.ssi_signo);
}

static void wait_for_end(struct session *s)
{
	struct pollfd fds[3 + CONSOLE_POLL_FDS];

	while (!vm_ended(&s->vm)) {
		fds[0] = (struct pollfd){ .fd = s->vm.end_event, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
		fds[2] = (struct pollfd){ .fd = s->timer, .events = POLLIN };
		console_prepare_poll(s->vm.console, fds + 3);
		if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0)
			continue;
		if (fds[1].revents)
			take_signal(s);
		if (fds[2].revents)
			vm_end(&s->vm, VM_TIMEOUT, 0);
		console_poll(s->vm.console, fds + 3);
	}
}

/*
 * Without kvmclock a kernel has nobody to ask for the rate of its TSC: there is no timer to measure it against, and only Intel's
 * processors tell it. The user's own options come later and win.
 */
static int make_cmdline(struct session *s, char **out)
{
	const char *append = s->config->append ? s->config->append : "";
	int khz;

	if (!s->config->type->tells_tsc_rate) {
		*out = strdup(append);
		return *out ? 0 : -ENOMEM;
	}
	khz = kvm_call_number(s->vm.calls, s->vm.fd, KVM_GET_TSC_KHZ, 0);
	if (khz < 0) {
		vmm_error("KVM does not tell the rate of the TSC: %s", strerror(-khz));
		return khz;
	}
	return asprintf(out, "tsc_early_khz=%d %s", khz, append) < 0 ? -ENOMEM : 0;
}

static int place(struct session *s, const struct blob *kernel, const struct blob *initrd, const char *cmdline)
{
	const struct boot_source source = {
		.kernel = kernel->data,
		.kernel_size = kernel->size,
		.initrd = s->config->initrd ? initrd->data : NULL,
		.initrd_size = initrd->size,
		.cmdline = cmdline,
	};
	struct boot_error error;
	int err = loader_load(&s->vm.memory, &source, &s->vm.boot, &error);

	if (err)
		vmm_error("%s: %s", s->config->kernel, error.text);
	return err;
}

/* The images are read anew at each start rather than held for one: together they are as large as all the rest of softcvm. */
static int load(struct session *s)
{
	struct blob kernel, initrd = {};
	char *cmdline = NULL;
	int err = blob_read(s->config->kernel, "kernel", KERNEL_MAX, &kernel);

	if (!err && s->config->initrd)
		err = blob_read(s->config->initrd, "initrd", s->config->memory_size, &initrd);
	if (!err)
		err = make_cmdline(s, &cmdline);
	if (!err)
		err = place(s, &kernel, &initrd, cmdline);
	free(cmdline);
	blob_free(&kernel);
	blob_free(&initrd);
	return err;
}

/* ---------------------------------------------------------------- the end */

static int describe_end(struct session *s)
{
	uint64_t end = __atomic_load_n(&s->vm.end, __ATOMIC_SEQ_CST);
	unsigned int detail = (unsigned int)(end >> 32);

	switch ((enum vm_end)(uint32_t)end) {
	case VM_PANIC:
		vmm_error("the guest's kernel panicked");
		vm_print_crash(&s->vm);
		return VMM_STATUS_PANIC;
	case VM_TRIPLE_FAULT:
		vmm_error("triple fault on vCPU %u", detail);
		vm_print_crash(&s->vm);
		return VMM_STATUS_TRIPLE_FAULT;
	case VM_INTERNAL_ERROR:
		vm_print_crash(&s->vm);
		return VMM_STATUS_INTERNAL_ERROR;
	case VM_TIMEOUT:
		vmm_error("timed out after %u s", s->config->timeout);
		return VMM_STATUS_TIMEOUT;
	case VM_SIGNAL:
		vmm_error("ended by signal %u (%s)", detail, strsignal((int)detail));
		return 128 + (int)detail;
	case VM_DEBUG_EXIT:
		return (int)detail;
	default:
		return VMM_STATUS_OK;
	}
}

static int visit(struct session *s, int (*fn)(void *opaque, const struct launch_region *regions, unsigned int count), void *opaque)
{
	struct launch_region region[VM_MAX_REGIONS];
	int count, err = vm_write_tables(&s->vm);

	if (err)
		return err;
	count = s->config->type->regions(&s->vm, region);
	return count < 0 ? count : fn(opaque, region, (unsigned int)count);
}

int vmm_visit_launch(const struct vmm_config *config, int (*fn)(void *opaque, const struct launch_region *regions, unsigned int count),
		     void *opaque)
{
	struct session *s;
	int err;

	if (!config->type->regions) {
		vmm_error("nothing of a %s VM is measured", config->type->name);
		return -ENOTSUP;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		vmm_error("out of memory");
		return -ENOMEM;
	}
	s->config = config;
	err = vm_create(&s->vm, config);
	if (!err)
		err = load(s);
	if (!err)
		err = visit(s, fn, opaque);
	vm_destroy(&s->vm);
	free(s);
	return err;
}

/* One machine from power-on to its end; *again when it asked for a reset and shall have it. */
static int run_once(struct session *s, bool *again)
{
	int status = VMM_STATUS_ERROR, err;

	*again = false;
	err = vm_create(&s->vm, s->config);
	if (!err)
		err = load(s);
	if (!err)
		err = vm_start(&s->vm);
	if (!err)
		wait_for_end(s);
	else
		vm_end(&s->vm, VM_QUIT, 0);
	vm_join(&s->vm);
	if (s->config->stats)
		vm_collect(&s->vm, s->config->stats);
	if (!err) {
		*again = (uint32_t)s->vm.end == VM_RESET && s->config->reboot;
		console_drain(s->vm.console);
		status = describe_end(s);
	}
	vm_destroy(&s->vm);
	return status;
}

static int open_session(struct session *s, const struct vmm_config *config)
{
	int err = open_signals(s);

	s->config = config;
	if (!err)
		err = open_timer(s);
	if (err)
		vmm_error("cannot set up signals and timer: %s", strerror(-err));
	return err;
}

int vmm_run(const struct vmm_config *config)
{
	struct session *s = calloc(1, sizeof(*s));
	int status = VMM_STATUS_ERROR;
	bool again = true;

	if (!s) {
		vmm_error("out of memory");
		return status;
	}
	s->timer = -1;
	if (!open_session(s, config))
		while (again)
			status = run_once(s, &again);
	if (s->timer >= 0)
		close(s->timer);
	close_signals(s);
	free(s);
	return status;
}
