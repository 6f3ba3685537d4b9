// SPDX-License-Identifier: Apache-2.0
/* Threads of our own in the client's process. */
#pragma once

#include <pthread.h>

/*
 * As pthread_create(), but for the client's signals, which belong to its own threads: only the faults that hw/phys recovers from may
 * come here. 0 or negative errno.
 */
int kvm_start_thread(pthread_t *thread, void *(*run)(void *), void *arg);
