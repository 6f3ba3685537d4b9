// SPDX-License-Identifier: Apache-2.0
/*
 * A guest of one to three real-mode instructions at 0x100, in slot 0; DS begins at WINDOW. Before each program the
 * registers and struct kvm_run's exit data are cleared: Linux leaves there what an earlier exit put there.
 */
#pragma once

#include "machine.h"

#define WINDOW 0x20000ull

struct guest {
	struct machine m;
	int vcpu;
	struct kvm_run *run;
	uint8_t *code; /* slot 0: one page */
};

enum program { LOAD, STORE, VMMCALL };

void guest_create(struct guest *g, int type);
void guest_destroy(struct guest *g);
/* Slot 1: the window. */
void guest_set_window(const struct guest *g, uint32_t flags, uint64_t hva, int fd);
void guest_delete_window(const struct guest *g);

void guest_load(const struct guest *g, enum program program);
/* Arguments of the hypercall, behind guest_load(). */
void guest_set_hypercall(const struct guest *g, uint32_t gpa, uint32_t pages, uint32_t attributes);

/* KVM_RUN as it is; what came of it as text. */
struct answer guest_run(const struct guest *g, char *tail, size_t size);
/* KVM_RUN that only finishes the instruction of the last exit. */
struct answer guest_complete(const struct guest *g);
uint64_t guest_rip(const struct guest *g);
uint64_t guest_rax(const struct guest *g);
