// SPDX-License-Identifier: Apache-2.0
/*
 * pthread_cancel: a thread that asked for it asynchronously would vanish inside softcvm, with the vCPU locked. libc's own
 * signal therefore waits as the program's do; KVM_RUN ends, and the thread is gone when it leaves the library.
 */
#include <stdatomic.h>
#include <sys/syscall.h>

#include "shim/shim.h"

#define SIGCANCEL 32 /* libc's, and not for sigaction() */

/* As the kernel has it: libc would refuse the signal. */
struct kernel_sigaction {
	void (*handler)(int signo, siginfo_t *info, void *context);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static void (*_Atomic libc_handler)(int signo, siginfo_t *info, void *context);

static void on_cancel(int signo, siginfo_t *info, void *context)
{
	if (!shim_defer(signo, info, context))
		atomic_load(&libc_handler)(signo, info, context);
}

static void *wait_for_cancel(void *unused)
{
	for (;;)
		pause();
	return NULL;
}

/* libc installs its handler at the first cancellation, so that must not be the program's. */
static void put_in_front(void)
{
	struct kernel_sigaction action;
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_for_cancel, NULL))
		return;
	__wrap_pthread_cancel(thread);
	pthread_join(thread, NULL);
	if (syscall(SYS_rt_sigaction, SIGCANCEL, NULL, &action, sizeof(action.mask)) || action.handler == on_cancel)
		return;
	atomic_store(&libc_handler, action.handler);
	action.handler = on_cancel;
	action.mask = ~shim_synchronous_signals();
	syscall(SYS_rt_sigaction, SIGCANCEL, &action, NULL, sizeof(action.mask));
}

int pthread_cancel(pthread_t thread)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, put_in_front);
	return __wrap_pthread_cancel(thread);
}
