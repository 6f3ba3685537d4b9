// SPDX-License-Identifier: Apache-2.0
#include "kvm/thread.h"

#include <signal.h>

int kvm_start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t blocked, old;
	int err;

	sigfillset(&blocked);
	sigdelset(&blocked, SIGSEGV);
	sigdelset(&blocked, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	err = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}
