// SPDX-License-Identifier: Apache-2.0
/*
 * One virtual machine: KVM descriptors, memory, buses, vCPUs, and how it ends.
 *
 * Threads: one per vCPU (device registers are handled in them), one worker per virtio device, and the thread that called
 * vmm_run(), which waits for the console, for signals and for the end. Everything below is set up before the first vCPU thread
 * starts and taken down after the last one was joined; only `end` and what has a lock of its own changes in between.
 */
#pragma once

#include "softcvm/kvm_abi.h"
#include "vmm/bus.h"
#include "vmm/calls.h"
#include "vmm/irq.h"
#include "vmm/loader.h"
#include "vmm/memory.h"
#include "vmm/vm_type.h"
#include "vmm/vmm.h"

#include <pthread.h>

struct console;
struct legacy;
struct pci_bus;
struct private_memory;
struct virtio_device;

enum vm_end {
	VM_RUNNING,
	VM_POWER_OFF,
	VM_RESET,
	VM_PANIC,
	VM_TRIPLE_FAULT,
	VM_INTERNAL_ERROR,
	VM_TIMEOUT,
	VM_QUIT,       /* the user left by the escape key */
	VM_SIGNAL,     /* detail: the signal */
	VM_DEBUG_EXIT, /* detail: the exit status */
};

struct vcpu {
	struct vm *vm;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	uint64_t exits[VMM_EXIT_REASONS]; /* by reason; written by the thread */
};

struct vm {
	const struct vmm_config *config;
	const struct kvm_calls *calls;
	int kvm_fd, fd;
	size_t run_size;
	struct guest_memory memory;
	struct private_memory *private_memory; /* NULL: the VM type has none */
	uint8_t *first_stage;		       /* NULL: the VM type has none */
	int first_stage_fd;		       /* its guest_memfd; -1: none */
	struct bus pio, mmio;
	struct irq irq;
	struct boot_entry boot;
	struct vcpu vcpu[VMM_MAX_CPUS];
	unsigned int nr_vcpus;

	struct console *console;
	struct legacy *legacy;
	struct pci_bus *pci;
	struct virtio_device *virtio[VMM_MAX_DISKS + 2];
	unsigned int nr_virtio;

	int end_event; /* eventfd, readable once the machine has ended */
	uint64_t end;  /* enum vm_end and detail << 32; atomic, set once */
	bool panic_seen; /* atomic: the kernel printed that it panics */
	uint64_t last_event_ns; /* under the observer's lock: what its clock said last */
};

/* A slot for each region of vm->memory, plain memory of the VMM's. 0 or -errno, after a message. */
int vm_add_slots(struct vm *vm);

/* 0 or -errno, after a message. */
int vm_create(struct vm *vm, const struct vmm_config *config);
int vm_start(struct vm *vm);
void vm_join(struct vm *vm); /* after vm_end() */
/* After loading: the tables that a kernel finds in memory. vm_start() does it; for who starts nothing. 0 or -errno after a message. */
int vm_write_tables(struct vm *vm);
void vm_destroy(struct vm *vm);

/* Any thread. The first reason counts. */
void vm_end(struct vm *vm, enum vm_end end, unsigned int detail);
bool vm_ended(const struct vm *vm);

/* After vm_join(). */
void vm_collect(struct vm *vm, struct vmm_stats *stats);

/* A guest that asked for a reset after it said it panics has panicked. */
void vm_request_reset(struct vm *vm);

/* Processors start together in the first stage and wait in the mailbox. */
static inline bool vm_uses_mailbox(const struct vm *vm)
{
	return vm->config->mailbox || vm->config->type->starts_together;
}

/* A device wrote guest memory. */
void vm_memory_written(const struct vm *vm, const void *start, size_t size);
/* Where in our address space memory of the guest should be, so that host addresses in traces are the same on virtual time. */
void *vm_memory_hint(const struct vm *vm, size_t below);
/* Nanoseconds that a guest may see: virtual under icount. */
uint64_t vm_time_ns(const struct vm *vm);
static inline bool vm_synchronous(const struct vm *vm)
{
	return vm->config->softcvm.icount;
}

/* vcpu.c */
int vcpu_create(struct vm *vm, unsigned int index);
/* Runs from the reset vector when it is started, rather than to wait for INIT and SIPI. 0 or -errno, after a message. */
int vcpu_start_at_reset(struct vcpu *vcpu);
int vcpu_start(struct vcpu *vcpu);
void vcpu_kick(struct vcpu *vcpu);
void vcpu_destroy(struct vcpu *vcpu);

/* cpuid.c, registers.c: what the vCPU is before it runs. 0 or -errno, after a message. */
int vcpu_set_cpuid(struct vcpu *vcpu);
/* What that sets, to be freed; NULL after a message. */
struct kvm_cpuid2 *vcpu_make_cpuid(struct vm *vm, unsigned int index);
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index);
int vcpu_set_boot_registers(struct vcpu *vcpu, const struct boot_entry *boot);

/* crash.c: registers of every vCPU and the last events, on standard error; no vCPU may run. */
void vm_print_crash(struct vm *vm);
