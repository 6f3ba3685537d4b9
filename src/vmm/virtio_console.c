// SPDX-License-Identifier: Apache-2.0
/* Virtio console (Virtio 1.2, 5.3), one port, on standard input and output. */
#include "vmm/console.h"
#include "vmm/virtio.h"

#include <stdlib.h>

#define QUEUE_RECEIVE  0u
#define QUEUE_TRANSMIT 1u
#define INPUT_SIZE     256u

struct port {
	struct virtio_device *dev;
	pthread_mutex_t lock; /* the input that waits for the driver's buffers; a leaf */
	uint8_t input[INPUT_SIZE];
	size_t used;
};

static size_t room(void *opaque)
{
	struct port *port = opaque;
	size_t n;

	pthread_mutex_lock(&port->lock);
	n = INPUT_SIZE - port->used;
	pthread_mutex_unlock(&port->lock);
	return n;
}

static void input(void *opaque, const uint8_t *bytes, size_t n)
{
	struct port *port = opaque;

	pthread_mutex_lock(&port->lock);
	for (size_t i = 0; i < n && port->used < INPUT_SIZE; i++)
		port->input[port->used++] = bytes[i];
	pthread_mutex_unlock(&port->lock);
	virtio_kick(port->dev, QUEUE_RECEIVE);
}

/* Moves waiting input into one buffer of the driver's. */
static size_t take_input(struct port *port, const struct virtq_chain *chain)
{
	size_t n;

	pthread_mutex_lock(&port->lock);
	n = iov_write(virtq_in(chain), chain->nr_in, 0, port->input, port->used);
	port->used -= n;
	for (size_t i = 0; i < port->used; i++)
		port->input[i] = port->input[i + n];
	pthread_mutex_unlock(&port->lock);
	return n;
}

static void receive(struct virtio_device *dev)
{
	struct port *port = dev->opaque;
	struct virtq_chain chain;

	while (room(port) < INPUT_SIZE && virtio_pop(dev, QUEUE_RECEIVE, &chain))
		virtio_push(dev, QUEUE_RECEIVE, &chain, take_input(port, &chain));
	virtio_signal(dev, QUEUE_RECEIVE);
	console_wake(dev->vm->console);
}

static void transmit(struct virtio_device *dev)
{
	struct virtq_chain chain;

	while (virtio_pop(dev, QUEUE_TRANSMIT, &chain)) {
		for (unsigned int i = 0; i < chain.nr_out; i++)
			console_write(dev->vm->console, chain.iov[i].iov_base, chain.iov[i].iov_len);
		virtio_push(dev, QUEUE_TRANSMIT, &chain, 0);
	}
	virtio_signal(dev, QUEUE_TRANSMIT);
}

static void handle(struct virtio_device *dev, unsigned int queue)
{
	if (queue == QUEUE_RECEIVE)
		receive(dev);
	else
		transmit(dev);
}

static void destroy(struct virtio_device *dev)
{
	struct port *port = dev->opaque;

	pthread_mutex_destroy(&port->lock);
	free(port);
}

/* Input comes when the user types, on virtual time too: hence the worker. */
struct virtio_device *virtio_console_create(struct vm *vm)
{
	static const struct virtio_ops ops = {
		.name = "virtio-console",
		.type = 3,
		.class_code = 0x078000,
		.nr_queues = 2,
		.handle = handle,
		.destroy = destroy,
	};
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	pthread_mutex_init(&port->lock, NULL);
	port->dev = virtio_create(vm, &ops, 0, "", 0, port);
	if (!port->dev)
		return NULL;
	console_set_reader(vm->console, &(struct console_reader){ .room = room, .input = input, .opaque = port });
	return port->dev;
}
