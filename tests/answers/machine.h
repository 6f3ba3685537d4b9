// SPDX-License-Identifier: Apache-2.0
/* What the calls are made on: VMs, memory, guest_memfd files. Failures end the program. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "softcvm/kvm_abi.h"

#include "answer.h"

#define PAGE	     4096ull
#define BASE	     0x100000000ull /* the test range, unless a line says otherwise */
#define MEMORY_PAGES 64
#define NOT_MAPPED   0x10000000ull /* an address of this process where there is nothing */

struct machine {
	int type, kvm, vm;
	uint8_t *memory; /* "U": MEMORY_PAGES pages */
};

void machine_create(struct machine *m, int type);
void machine_destroy(struct machine *m);

int machine_gmem(const struct machine *m, uint64_t size);
/* A slot of client memory, or with a guest_memfd if fd >= 0; size 0 deletes it. */
struct slot {
	uint32_t slot, flags;
	uint64_t gpa, size, hva;
	int fd;
	uint64_t offset;
};
int machine_set_slot(const struct machine *m, const struct slot *s);
void machine_set_private(const struct machine *m, uint64_t gpa, uint64_t size, int private);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The topics, in the order of the recording. */
void ask_creation(void);
void ask_gmem_creation(void);
void ask_slots(void);
void ask_attributes(void);
void ask_files(void);
void ask_prefault(void);
void ask_dirty_log(void);
void ask_guests(void);
