// SPDX-License-Identifier: Apache-2.0
/*
 * RAM whose pages are private or shared: each region of guest memory is a slot with a guest_memfd for the private side
 * and the VMM's mapping for the shared one. Which side a page has is known here and set in KVM by its memory
 * attributes.
 *
 * A conversion gives the side that is left back to the host; its contents are gone (api.rst KVM_SET_MEMORY_ATTRIBUTES
 * leaves both to user space).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct vm;
struct private_memory;

/* Slots for vm->memory, all private. 0 or -errno after a message; then too private_memory_destroy() is due. */
int private_memory_create(struct vm *vm);
void private_memory_destroy(struct vm *vm);

/* KVM passes the guest's requests to convert on to the VMM. 0 or -errno after a message. */
int private_memory_allow_requests(struct vm *vm);

/* Before the guest runs: pages that the VMM has filled are shared, with their contents. 0 or -errno after a message. */
int private_memory_share_filled(struct vm *vm, uint64_t gpa, uint64_t size);

/*
 * Whole pages become private or shared, empty if they were not. -EINVAL without a message: not whole pages of one
 * region of RAM, and nothing has changed. (What has no RAM is shared already.) Any other error comes after a message
 * and ends the VM. Any thread.
 */
int private_memory_convert(struct vm *vm, uint64_t gpa, uint64_t size, bool to_private);

/* Is all of it RAM of one region? */
bool private_memory_has(const struct vm *vm, uint64_t gpa, uint64_t size);

/* In pages. Any thread. */
struct private_memory_counts {
	uint64_t private, shared;
	uint64_t conversions, to_private, to_shared; /* requests, and pages they changed */
};
void private_memory_count(struct vm *vm, struct private_memory_counts *counts);
