// SPDX-License-Identifier: Apache-2.0
/* vm: the vCPUs of one guest, and what is asked of all of them. */
#include "hw/vm.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "hw/cpu/block.h"

int hw_vm_create(struct hw_machine *m, struct hw_vm **out)
{
	struct hw_vm *vm;
	int r = hw_phys_init();

	if (r)
		return r;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	vm->machine = m;
	pthread_mutex_init(&vm->cpus_lock, NULL);
	pthread_mutex_init(&vm->code_lock, NULL);
	pthread_mutex_init(&vm->split_lock, NULL);
	*out = vm;
	return 0;
}

void hw_vm_destroy(struct hw_vm *vm)
{
	for (unsigned int k = 0; k < 1u << CODE_FRAME_BITS; k++) {
		struct code_frame *f = vm->code_frames[k], *next;

		for (; f; f = next) {
			next = f->next;
			free(f);
		}
	}
	pthread_mutex_destroy(&vm->cpus_lock);
	pthread_mutex_destroy(&vm->code_lock);
	pthread_mutex_destroy(&vm->split_lock);
	free(vm);
}

void vm_split_lock(struct hw_vm *vm)
{
	pthread_mutex_lock(&vm->split_lock);
}

void vm_split_unlock(struct hw_vm *vm)
{
	pthread_mutex_unlock(&vm->split_lock);
}

/* ---------------------------------------------------------------- vCPUs */

static int add_cpu(struct hw_vm *vm, struct hw_cpu *c)
{
	unsigned int k;
	int r = -ENOSPC;

	pthread_mutex_lock(&vm->cpus_lock);
	for (k = 0; k < HW_MAX_CPUS && vm->cpus[k]; k++)
		;
	if (k < HW_MAX_CPUS) {
		__atomic_store_n(&vm->cpus[k], c, __ATOMIC_RELEASE);
		if (k == vm->cpu_count)
			__atomic_store_n(&vm->cpu_count, k + 1, __ATOMIC_RELEASE);
		r = 0;
	}
	pthread_mutex_unlock(&vm->cpus_lock);
	return r;
}

int hw_cpu_create(struct hw_vm *vm, int index, struct hw_cpu **out)
{
	struct hw_cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	int r;

	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->vm = vm;
	c->machine = vm->machine;
	c->index = index;
	c->deadline = ~0ull;
	r = block_cache_create(c);
	if (!r)
		r = add_cpu(vm, c);
	if (r) {
		block_cache_destroy(c);
		free(c);
		return r;
	}
	hw_cpu_reset(c, false);
	*out = c;
	return 0;
}

void hw_cpu_destroy(struct hw_cpu *c)
{
	struct hw_vm *vm = c->vm;

	pthread_mutex_lock(&vm->cpus_lock);
	for (unsigned int k = 0; k < vm->cpu_count; k++) {
		if (vm->cpus[k] == c)
			__atomic_store_n(&vm->cpus[k], NULL, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&vm->cpus_lock);
	block_cache_destroy(c);
	free(c);
}

/* ---------------------------------------------------------------- shootdown */

/* A vCPU outside hw_cpu_run() handles what was posted when it enters (run.c), so nobody waits for it. */
void hw_vm_flush(struct hw_vm *vm)
{
	unsigned int count = vm_cpu_count(vm);
	u64 wanted[HW_MAX_CPUS];

	for (unsigned int k = 0; k < count; k++) {
		struct hw_cpu *c = vm_cpu(vm, k);

		/* A vCPU that takes the place meanwhile has never used an old translation. */
		wanted[k] = 0;
		if (!c)
			continue;
		wanted[k] = __atomic_add_fetch(&c->blocks->flush_wanted, 1, __ATOMIC_SEQ_CST);
		cpu_request(c, REQ_TLB_FLUSH | REQ_CODE_CHECK);
	}
	for (unsigned int k = 0; k < count; k++) {
		struct hw_cpu *c = vm_cpu(vm, k);

		while (c && __atomic_load_n(&c->blocks->flush_done, __ATOMIC_ACQUIRE) < wanted[k] &&
		       __atomic_load_n(&c->in_run, __ATOMIC_SEQ_CST))
			sched_yield();
	}
}
