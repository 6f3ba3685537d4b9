// SPDX-License-Identifier: Apache-2.0
/*
 * A call with an argument that KVM refuses, and the error that it has to give. Each is made on its own machine, for the VM types
 * default and software-protected and for both versions of KVM. The errors are those of Linux's sources and documentation.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "softcvm/kvm_abi.h"
#include "softcvm/softcvm.h"

enum on { SYSTEM, VM, VCPU, ON_KINDS };

/* What is there when the call is made. */
enum machine_kind {
	EMPTY,	 /* no vCPU, no interrupt controller */
	PLAIN,	 /* a vCPU, no interrupt controller */
	IRQCHIP, /* interrupt controllers, PIT, a vCPU */
	SPLIT,	 /* local APICs only, a vCPU */
	RING,	 /* dirty rings, a vCPU */
	KINDS,
};

/*
 * Slots of every machine: 1, and 2 with a dirty log of 100 pages, in the client's memory; 3 in a protected VM, with a guest_memfd.
 * The memory and the descriptors have fixed numbers, so that a table can name them.
 */
#define MEMORY	    0x200000000000ull
#define MEMORY_SIZE 0x100000ull
#define READ_ONLY   0x210000000000ull /* a page */
#define NOWHERE	    0x220000000000ull
#define SLOT_1	    0x100000ull
#define SLOT_2	    0x200000ull
#define SLOT_3	    0x300000ull
#define FREE_GPA    0x10000000ull
#define LOG_PAGES   100
#define GMEM_FD	    200 /* of this VM, 16 pages, the first 4 bound to slot 3 */
#define OTHER_FD    201 /* guest_memfd of another VM of the same type */
#define EVENT_FD    202
#define USED_EVENT  203 /* assigned as irqfd of GSI 5 and as ioeventfd of port 0x500 where there is a controller */
#define PLAIN_FILE  204
#define CLOSED_FD   9999

struct bad {
	const char *what;
	enum on on;
	unsigned long request;
	enum machine_kind in;
	const void *argument; /* size 0: `value` is the argument itself */
	size_t size;
	uint64_t value;
	int error;
	int error_6_12;	   /* 0: the same */
	unsigned int only; /* bit n: VM type n; 0: both */
};

#define ARGUMENT(type, ...) .argument = &(const type){ __VA_ARGS__ }, .size = sizeof(type)
#define DEFAULT_ONLY	    .only = 1u << KVM_X86_DEFAULT_VM
#define PROTECTED_ONLY	    .only = 1u << KVM_X86_SW_PROTECTED_VM

struct bad_table {
	const struct bad *row;
	size_t count;
};
#define TABLE(array) { array, sizeof(array) / sizeof((array)[0]) }

extern const struct bad_table bad_system, bad_memory, bad_interrupts, bad_vm, bad_vcpu, bad_state;

/* environment.c */
struct machine {
	int fd[ON_KINDS];
	int other_vm;
};

void environment_begin(void);
void environment_end(void);
void machine_create(struct machine *m, enum machine_kind kind, unsigned long type, enum softcvm_kvm_compat compat);
void machine_destroy(struct machine *m);
