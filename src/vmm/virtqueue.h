// SPDX-License-Identifier: Apache-2.0
/*
 * The device's side of a split virtqueue (Virtio 1.2, 2.7) with indirect descriptors and event index. The rings are in memory that
 * a hostile guest changes at will: every value is read once and checked, and a chain that breaks the rules is an error, never a
 * wait. The caller's lock protects the structure.
 */
#pragma once

#include "vmm/memory.h"

#define VIRTQ_MAX_SIZE 256u

struct virtq {
	/* as the driver set them, checked by virtq_enable() */
	uint16_t size;
	uint64_t desc_addr, driver_addr, device_addr;
	bool enabled;
	bool event_index;
	/* host addresses, valid while enabled */
	const uint8_t *desc;
	uint8_t *driver, *device;
	uint16_t next_avail, next_used;
	uint16_t signalled; /* used index at the last interrupt */
};

/* One request: what the device reads, then what it writes. */
struct virtq_chain {
	uint16_t head;
	unsigned int nr_out, nr_in;
	size_t out_size, in_size;
	struct iovec iov[VIRTQ_MAX_SIZE]; /* nr_out, then nr_in */
};
static inline const struct iovec *virtq_in(const struct virtq_chain *chain)
{
	return chain->iov + chain->nr_out;
}

/* NULL, or what is wrong with the ring addresses or the size. */
const char *virtq_enable(struct virtq *q, const struct guest_memory *mem);
void virtq_reset(struct virtq *q, uint16_t size);

/* 1: a request; 0: none; -EINVAL: the driver broke the rules, as *why says. */
int virtq_pop(struct virtq *q, const struct guest_memory *mem, struct virtq_chain *chain, const char **why);
/* Gives the request back, `written` bytes of its in part filled. The used ring entry and its size, for memory_written. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);
/* Asks for a kick at the next request; true if one is there already. */
bool virtq_want_kick(struct virtq *q);
/* Does the driver want an interrupt for what was pushed since the last time? */
bool virtq_should_interrupt(struct virtq *q);

/* Bytes copied, which are fewer than `size` when the vector ends. */
size_t iov_read(const struct iovec *iov, unsigned int n, size_t offset, void *to, size_t size);
size_t iov_write(const struct iovec *iov, unsigned int n, size_t offset, const void *from, size_t size);
/* The part [offset, offset + size) as a vector of at most `n` elements; returns how many. */
unsigned int iov_slice(const struct iovec *iov, unsigned int n, size_t offset, size_t size, struct iovec *out);
