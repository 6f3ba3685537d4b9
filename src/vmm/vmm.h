// SPDX-License-Identifier: Apache-2.0
/*
 * vmm: the virtual machine monitor behind `softcvm run`. It knows the KVM API only, reached through one table of calls, so the
 * same VMM runs on the software KVM and on a real /dev/kvm.
 *
 * vmm_run() makes the machine, runs it until it ends and takes it down again. One call at a time in a process: it owns
 * standard input and output, and SIGUSR1 (the vCPU kick) meanwhile.
 */
#pragma once

#include "softcvm/softcvm.h"

#define VMM_MAX_DISKS 8
#define VMM_MAX_CPUS  64

struct observe_sink;
struct vm_type;
struct vm;

/* What vmm_run() returns, and `softcvm run` exits with. The debug-exit device adds (value << 1) | 1. */
enum vmm_status {
	VMM_STATUS_OK = 0,	       /* power-off, reboot, quit from the console */
	VMM_STATUS_ERROR = 1,	       /* the host's side: bad kernel, no memory */
	VMM_STATUS_USAGE = 2,	       /* wrong options */
	VMM_STATUS_PANIC = 3,	       /* the guest's kernel panicked */
	VMM_STATUS_TRIPLE_FAULT = 4,
	VMM_STATUS_INTERNAL_ERROR = 5, /* KVM could not go on with the guest */
	VMM_STATUS_TIMEOUT = 124,
};

struct vmm_disk {
	const char *path;
	bool read_only;
};

/* What the VMM has seen of a machine. */
#define VMM_EXIT_REASONS 64
struct vmm_stats {
	uint64_t exits[VMM_EXIT_REASONS]; /* by KVM_EXIT_*, of all vCPUs; the memory faults among them */
	uint64_t private_pages, shared_pages; /* RAM when the machine ended */
	uint64_t conversions;		      /* requests that were granted */
	uint64_t made_private, made_shared;   /* pages that they changed */
};

struct vmm_config {
	const struct vm_type *type; /* vm_type_find() */
	const char *kernel, *initrd, *append; /* initrd and append may be NULL */
	uint64_t memory_size;
	unsigned int cpus;
	struct vmm_disk disks[VMM_MAX_DISKS];
	unsigned int nr_disks;
	bool accel_host; /* the host's /dev/kvm */
	bool split_irqchip;
	bool virtio_console; /* stdin and stdout belong to hvc0 */
	bool debug_exit;
	bool mailbox; /* processors wait in the ACPI wake-up mailbox instead of for INIT and SIPI */
	bool reboot; /* a reset starts the machine again */
	unsigned int timeout; /* seconds; 0: none */
	struct softcvm_config softcvm; /* platform, phys_bits, icount, observer, debug */
	/* Checks the invariants of guest memory (softcvm_check()) at each exit. A violation ends the machine. */
	bool check;
	struct vmm_stats *stats; /* filled in when the machine has ended, of its last start; may be NULL */
	struct observe_sink *last_events; /* a ring to print when the guest crashes; may be NULL */
	/* Signs what a guest reports of itself: a TDREPORT of 1024 bytes in, a quote out; *size is the room for it, then its length. 0
	 * or -errno. NULL: there is no such service. Any vCPU thread. */
	int (*quote)(void *opaque, const void *report, uint8_t *out, size_t *size);
	void *quote_opaque;
	/* The machine has ended, its vCPUs are about to be joined: a debugger has to let go of them. May be NULL. */
	void (*ended)(void *opaque, const struct vm *vm);
	void *ended_opaque;
};

int vmm_run(const struct vmm_config *config);

struct launch_region; /* launch.h */
/*
 * All that vmm_run() does before the guest exists, and no guest: visit() is given what its memory would hold, in order. Its result,
 * or -errno after a message (-ENOTSUP: nothing is measured of this type).
 */
int vmm_visit_launch(const struct vmm_config *config, int (*visit)(void *opaque, const struct launch_region *regions, unsigned int count),
		     void *opaque);
/* The device at a guest-physical address. Any thread, while the machine exists (vmm_config.ended). */
const char *vmm_describe_mmio(const struct vm *vm, uint64_t gpa);

/* "0" or an error in `why` (one line, no newline): is this the kernel of a bootable guest? For tests and fuzzers. */
int vmm_check_kernel(const void *image, size_t size, uint64_t memory_size, char *why, size_t why_size);
