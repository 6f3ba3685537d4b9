// SPDX-License-Identifier: Apache-2.0
/* A KVM client as others write them: plain system calls on /dev/kvm. Part of the interposition test. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "softcvm/kvm_abi.h"

#define GUEST_MEMORY 0x10000u
#define GUEST_ENTRY  0x1000u

struct client {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	uint8_t *memory;
};

/* As softcvm.h has it, which this program does not know. */
#define PKVM_VM 0x80000000u

/* A VM with one vCPU in real mode at GUEST_ENTRY, where `code` lies. */
void client_create(struct client *c, const void *code, size_t size);
void client_create_type(struct client *c, unsigned int type, const void *code, size_t size);
void client_destroy(struct client *c);
