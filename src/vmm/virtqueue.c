// SPDX-License-Identifier: Apache-2.0
/* Split virtqueues, Virtio 1.2 section 2.7. */
#include "vmm/virtqueue.h"

#include "vmm/bytes.h"

#include <errno.h>

#define DESC_SIZE     16u
#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u
#define AVAIL_NO_INTERRUPT 1u
#define RING	      4u /* ring[] in both the driver's and the device's area */
#define USED_SIZE     8u

/* The rings are shared with vCPUs: each field is one access of its size. Addresses are aligned (virtq_enable). */
static uint16_t load16(const void *p, int order)
{
	const uint16_t *field = p;

	return order == __ATOMIC_ACQUIRE ? __atomic_load_n(field, __ATOMIC_ACQUIRE) : __atomic_load_n(field, __ATOMIC_RELAXED);
}

static void store16(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE);
}

void virtq_reset(struct virtq *q, uint16_t size)
{
	*q = (struct virtq){ .size = size };
}

const char *virtq_enable(struct virtq *q, const struct guest_memory *mem)
{
	if (!q->size || q->size > VIRTQ_MAX_SIZE || (q->size & (q->size - 1)))
		return "queue size";
	if (q->desc_addr % 16 || q->driver_addr % 2 || q->device_addr % 4)
		return "queue address is not aligned";
	q->desc = memory_at(mem, q->desc_addr, (uint64_t)q->size * DESC_SIZE);
	q->driver = memory_at(mem, q->driver_addr, RING + 2ull * q->size + 2);
	q->device = memory_at(mem, q->device_addr, RING + (uint64_t)USED_SIZE * q->size + 2);
	if (!q->desc || !q->driver || !q->device)
		return "queue is not in memory";
	q->next_avail = q->next_used = q->signalled = 0;
	q->enabled = true;
	return NULL;
}

struct descriptor {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static struct descriptor read_descriptor(const uint8_t *table, uint32_t index)
{
	const uint8_t *d = table + (size_t)index * DESC_SIZE;

	return (struct descriptor){ get64(d), get32(d + 8), get16(d + 12), get16(d + 14) };
}

static const char *add_buffer(const struct guest_memory *mem, const struct descriptor *d, struct virtq_chain *chain)
{
	bool in = d->flags & DESC_WRITE;
	void *host;

	if (!d->len)
		return NULL;
	host = memory_at(mem, d->addr, d->len);
	if (!host)
		return "buffer is not in memory";
	if (!in && chain->nr_in)
		return "readable buffer after a writable one";
	chain->iov[chain->nr_out + chain->nr_in] = (struct iovec){ host, d->len };
	if (in) {
		chain->nr_in++;
		chain->in_size += d->len;
	} else {
		chain->nr_out++;
		chain->out_size += d->len;
	}
	return NULL;
}

/* One table: the queue's own, or an indirect one. A chain is never longer than the queue (2.7.5.3.1), so loops end. */
static const char *walk(const struct virtq *q, const struct guest_memory *mem, const uint8_t *table, uint32_t entries,
			uint32_t index, bool indirect, struct virtq_chain *chain)
{
	const char *why;

	for (unsigned int n = 0; n < q->size; n++) {
		struct descriptor d;

		if (index >= entries)
			return "descriptor index";
		d = read_descriptor(table, index);
		if (d.flags & DESC_INDIRECT) {
			if (indirect || n || (d.flags & DESC_NEXT) || !d.len || d.len % DESC_SIZE)
				return "indirect descriptor";
			table = memory_at(mem, d.addr, d.len);
			return table ? walk(q, mem, table, d.len / DESC_SIZE, 0, true, chain) : "indirect table is not in memory";
		}
		why = add_buffer(mem, &d, chain);
		if (why || !(d.flags & DESC_NEXT))
			return why;
		index = d.next;
	}
	return "descriptor chain is longer than the queue";
}

int virtq_pop(struct virtq *q, const struct guest_memory *mem, struct virtq_chain *chain, const char **why)
{
	uint16_t waiting = (uint16_t)(load16(q->driver + 2, __ATOMIC_ACQUIRE) - q->next_avail);
	const uint8_t *slot = q->driver + RING + 2u * (q->next_avail & (q->size - 1u));

	if (!waiting)
		return 0;
	*why = "available index";
	if (waiting > q->size)
		return -EINVAL;
	chain->head = load16(slot, __ATOMIC_RELAXED);
	chain->nr_out = chain->nr_in = 0;
	chain->out_size = chain->in_size = 0;
	*why = walk(q, mem, q->desc, q->size, chain->head, false, chain);
	if (*why)
		return -EINVAL;
	q->next_avail++;
	return 1;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
	uint8_t *slot = q->device + RING + USED_SIZE * (q->next_used & (q->size - 1u));

	__atomic_store_n((uint32_t *)(void *)slot, head, __ATOMIC_RELAXED);
	__atomic_store_n((uint32_t *)(void *)(slot + 4), written, __ATOMIC_RELAXED);
	store16(q->device + 2, ++q->next_used);
}

bool virtq_want_kick(struct virtq *q)
{
	/* Without the event index the device's flags stay 0: always kick. */
	if (q->event_index)
		store16(q->device + RING + (size_t)USED_SIZE * q->size, q->next_avail);
	/* The driver stores its index, then looks at ours; we the other way round: one of both sees the other's (2.7.10). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load16(q->driver + 2, __ATOMIC_RELAXED) != q->next_avail;
}

bool virtq_should_interrupt(struct virtq *q)
{
	uint16_t before = q->signalled, event;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (q->next_used == before)
		return false;
	q->signalled = q->next_used;
	if (!q->event_index)
		return !(load16(q->driver, __ATOMIC_RELAXED) & AVAIL_NO_INTERRUPT);
	event = load16(q->driver + RING + 2u * q->size, __ATOMIC_RELAXED);
	/* 2.7.10: did the used index move past the event? */
	return (uint16_t)(q->next_used - event - 1) < (uint16_t)(q->next_used - before);
}

unsigned int iov_slice(const struct iovec *iov, unsigned int n, size_t offset, size_t size, struct iovec *out)
{
	unsigned int used = 0;

	for (unsigned int i = 0; i < n && size; i++) {
		size_t part;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		part = iov[i].iov_len - offset < size ? iov[i].iov_len - offset : size;
		out[used++] = (struct iovec){ (uint8_t *)iov[i].iov_base + offset, part };
		size -= part;
		offset = 0;
	}
	return used;
}

size_t iov_read(const struct iovec *iov, unsigned int n, size_t offset, void *to, size_t size)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < size; i++) {
		size_t part;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		part = iov[i].iov_len - offset < size - done ? iov[i].iov_len - offset : size - done;
		memcpy((uint8_t *)to + done, (const uint8_t *)iov[i].iov_base + offset, part);
		done += part;
		offset = 0;
	}
	return done;
}

size_t iov_write(const struct iovec *iov, unsigned int n, size_t offset, const void *from, size_t size)
{
	size_t done = 0;

	for (unsigned int i = 0; i < n && done < size; i++) {
		size_t part;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		part = iov[i].iov_len - offset < size - done ? iov[i].iov_len - offset : size - done;
		memcpy((uint8_t *)iov[i].iov_base + offset, (const uint8_t *)from + done, part);
		done += part;
		offset = 0;
	}
	return done;
}
