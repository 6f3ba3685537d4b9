// SPDX-License-Identifier: Apache-2.0
/*
 * vm: what the vCPUs of one guest share. Locks are leaves, taken in the order code_lock, then a vCPU's queue_lock.
 */
#pragma once

#include <pthread.h>

#include "hw/hw.h"

#define HW_MAX_CPUS	1024
#define CODE_GRANULE	64u
#define CODE_FRAME_BITS 12

/* A frame that carries, or has carried, decoded code of some vCPU. */
struct code_frame {
	struct code_frame *next;
	u64 page;
	u64 granules;	/* one bit for each CODE_GRANULE bytes; read without the lock */
	bool protected; /* no vCPU has it in its write TLB */
};

struct hw_vm {
	struct hw_machine *machine;
	pthread_mutex_t cpus_lock;
	unsigned int cpu_count; /* atomic; slots are only added, an empty one is NULL */
	struct hw_cpu *cpus[HW_MAX_CPUS];
	pthread_mutex_t code_lock;
	struct code_frame *code_frames[1u << CODE_FRAME_BITS];
	pthread_mutex_t split_lock;
};

static inline unsigned int vm_cpu_count(struct hw_vm *vm)
{
	return __atomic_load_n(&vm->cpu_count, __ATOMIC_ACQUIRE);
}

static inline struct hw_cpu *vm_cpu(struct hw_vm *vm, unsigned int n)
{
	return __atomic_load_n(&vm->cpus[n], __ATOMIC_ACQUIRE);
}

struct hw_machine {
	struct hw_machine_config config;
	u64 start_ns; /* CLOCK_MONOTONIC at creation */
	/* icount; atomic */
	u64 retired;
	u64 advanced;
};

/* Under icount: `count` more instructions were executed. */
void machine_retired(struct hw_machine *m, u64 count);
