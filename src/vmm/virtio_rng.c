// SPDX-License-Identifier: Apache-2.0
/* Virtio entropy device (Virtio 1.2, 5.4): the host's random numbers, or on virtual time a fixed sequence. */
#include "vmm/bytes.h"
#include "vmm/virtio.h"

#include <stdlib.h>
#include <sys/random.h>

struct rng {
	uint64_t state; /* of the fixed sequence */
};

/* splitmix64 */
static uint64_t next(struct rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static void fill(struct virtio_device *dev, uint8_t *bytes, size_t size)
{
	ssize_t got;

	for (size_t i = 0; vm_synchronous(dev->vm) && i < size; i += 8)
		put_bytes(bytes + i, size - i < 8 ? (unsigned int)(size - i) : 8, next(dev->opaque));
	while (!vm_synchronous(dev->vm) && size) {
		got = getrandom(bytes, size, 0);
		if (got > 0) {
			bytes += got;
			size -= (size_t)got;
		}
	}
}

static void handle(struct virtio_device *dev, unsigned int queue)
{
	struct virtq_chain chain;

	while (virtio_pop(dev, queue, &chain)) {
		/* A request of gigabytes gets less than it asked for, which the driver has to live with. */
		uint8_t bytes[4096];
		size_t size = chain.in_size < sizeof(bytes) ? chain.in_size : sizeof(bytes);

		fill(dev, bytes, size);
		iov_write(virtq_in(&chain), chain.nr_in, 0, bytes, size);
		virtio_push(dev, queue, &chain, size);
	}
	virtio_signal(dev, queue);
}

static void destroy(struct virtio_device *dev)
{
	free(dev->opaque);
}

struct virtio_device *virtio_rng_create(struct vm *vm)
{
	static const struct virtio_ops ops = {
		.name = "virtio-rng", .type = 4, .class_code = 0x00ff00, .nr_queues = 1, .handle = handle, .destroy = destroy
	};
	struct rng *rng = calloc(1, sizeof(*rng));

	return rng ? virtio_create(vm, &ops, 0, "", 0, rng) : NULL;
}
