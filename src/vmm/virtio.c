// SPDX-License-Identifier: Apache-2.0
/* What every virtio device does: status, features, queues (Virtio 1.2, chapters 2 and 3), and its worker thread. */
#include "vmm/virtio.h"

#include "vmm/report.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STATUS_DRIVER_OK   0x04u
#define STATUS_FEATURES_OK 0x08u
#define STATUS_NEEDS_RESET 0x40u

void virtio_break(struct virtio_device *dev, const char *why)
{
	if (dev->status & STATUS_NEEDS_RESET)
		return;
	/* Once: a driver could fill the host's log. */
	if (!dev->reported)
		vmm_error("%s: the guest's driver broke the rules (%s); the device waits for a reset", dev->ops->name, why);
	dev->reported = true;
	dev->status |= STATUS_NEEDS_RESET;
	virtio_interrupt(dev, dev->config_vector, VIRTIO_ISR_CONFIG);
}

void virtio_reset(struct virtio_device *dev)
{
	dev->driver_features = 0;
	dev->feature_select = dev->driver_feature_select = 0;
	dev->queue_select = 0;
	dev->status = 0;
	dev->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned int i = 0; i < dev->ops->nr_queues; i++) {
		virtq_reset(&dev->queue[i], VIRTQ_MAX_SIZE);
		dev->queue_vector[i] = VIRTIO_NO_VECTOR;
	}
	virtio_pci_reset(dev);
	if (dev->ops->reset)
		dev->ops->reset(dev);
}

void virtio_set_status(struct virtio_device *dev, uint8_t status)
{
	if (!status) {
		virtio_reset(dev);
		return;
	}
	/* 2.2.2: FEATURES_OK stays clear when the features cannot be had; a legacy driver is one without VERSION_1. */
	if (!(dev->status & STATUS_FEATURES_OK) && (status & STATUS_FEATURES_OK) &&
	    ((dev->driver_features & ~dev->features) || !(dev->driver_features >> VIRTIO_F_VERSION_1 & 1)))
		status &= (uint8_t)~STATUS_FEATURES_OK;
	dev->status = (uint8_t)(status & ~STATUS_NEEDS_RESET) | (dev->status & STATUS_NEEDS_RESET);
}

void virtio_enable_queue(struct virtio_device *dev, unsigned int queue)
{
	const char *why;

	if (dev->queue[queue].enabled)
		return;
	dev->queue[queue].event_index = dev->driver_features >> VIRTIO_F_EVENT_IDX & 1;
	why = virtq_enable(&dev->queue[queue], &dev->vm->memory);
	if (why)
		virtio_break(dev, why);
}

bool virtio_queue_ready(const struct virtio_device *dev, unsigned int queue)
{
	return dev->queue[queue].enabled && (dev->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) == STATUS_DRIVER_OK;
}

bool virtio_pop(struct virtio_device *dev, unsigned int queue, struct virtq_chain *chain)
{
	const char *why;
	int got;

	if (!virtio_queue_ready(dev, queue) || vm_ended(dev->vm))
		return false;
	do
		got = virtq_pop(&dev->queue[queue], &dev->vm->memory, chain, &why);
	while (!got && virtq_want_kick(&dev->queue[queue]));
	if (got < 0)
		virtio_break(dev, why);
	return got > 0;
}

void virtio_push(struct virtio_device *dev, unsigned int queue, const struct virtq_chain *chain, size_t written)
{
	struct virtq *q = &dev->queue[queue];
	const struct iovec *in = virtq_in(chain);
	size_t left = written;

	for (unsigned int i = 0; i < chain->nr_in && left; i++) {
		size_t part = in[i].iov_len < left ? in[i].iov_len : left;

		vm_memory_written(dev->vm, in[i].iov_base, part);
		left -= part;
	}
	virtq_push(q, chain->head, written > UINT32_MAX ? UINT32_MAX : (uint32_t)written);
}

void virtio_signal(struct virtio_device *dev, unsigned int queue)
{
	if (virtio_queue_ready(dev, queue) && virtq_should_interrupt(&dev->queue[queue]))
		virtio_interrupt(dev, dev->queue_vector[queue], VIRTIO_ISR_QUEUE);
}

static void handle_locked(struct virtio_device *dev, unsigned int queue)
{
	pthread_mutex_lock(&dev->lock);
	if (virtio_queue_ready(dev, queue))
		dev->ops->handle(dev, queue);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_kick(struct virtio_device *dev, unsigned int queue)
{
	uint64_t one = 1;

	/* A full counter: the worker has a kick to see anyway. */
	if (write(dev->kick[queue], &one, sizeof(one)) < 0)
		return;
}

void virtio_notify(struct virtio_device *dev, unsigned int queue)
{
	if (vm_synchronous(dev->vm))
		handle_locked(dev, queue);
	else
		virtio_kick(dev, queue);
}

static void *worker(void *opaque)
{
	struct virtio_device *dev = opaque;
	struct pollfd fds[VIRTIO_MAX_QUEUES + 1] = { { .fd = dev->stop, .events = POLLIN } };
	unsigned int n = dev->ops->nr_queues;
	uint64_t count;

	pthread_setname_np(pthread_self(), dev->ops->name);
	for (unsigned int i = 0; i < n; i++)
		fds[i + 1] = (struct pollfd){ .fd = dev->kick[i], .events = POLLIN };
	for (;;) {
		if (poll(fds, n + 1, -1) < 0)
			continue;
		if (fds[0].revents)
			return NULL;
		for (unsigned int i = 0; i < n; i++)
			if (fds[i + 1].revents && read(dev->kick[i], &count, sizeof(count)) > 0)
				handle_locked(dev, i);
	}
}

int virtio_start(struct virtio_device *dev)
{
	int err;

	if (vm_synchronous(dev->vm) && !dev->ops->worker)
		return 0;
	err = pthread_create(&dev->worker, NULL, worker, dev);
	if (err) {
		vmm_error("%s: cannot start its thread: %s", dev->ops->name, strerror(err));
		return -err;
	}
	dev->worker_started = true;
	return 0;
}

void virtio_stop(struct virtio_device *dev)
{
	uint64_t one = 1;

	if (!dev->worker_started)
		return;
	if (write(dev->stop, &one, sizeof(one)) != sizeof(one))
		abort();
	pthread_join(dev->worker, NULL);
	dev->worker_started = false;
}

static int open_events(struct virtio_device *dev)
{
	bool synchronous = vm_synchronous(dev->vm);
	int err = 0;

	dev->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (dev->stop < 0)
		return -errno;
	for (unsigned int i = 0; i < dev->ops->nr_queues; i++) {
		dev->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (dev->kick[i] < 0)
			return -errno;
	}
	for (unsigned int i = 0; !synchronous && !err && i <= dev->ops->nr_queues; i++) {
		struct virtio_vector *v = &dev->vector[i];

		v->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (v->event < 0)
			return -errno;
		v->gsi = irq_alloc_msi_gsi(dev->vm);
		err = v->gsi < 0 ? v->gsi : irq_attach_eventfd(dev->vm, (unsigned int)v->gsi, v->event);
	}
	return err;
}

struct virtio_device *virtio_create(struct vm *vm, const struct virtio_ops *ops, uint64_t features, const void *config,
				    size_t config_size, void *opaque)
{
	struct virtio_device *dev = calloc(1, sizeof(*dev));
	int err;

	if (!dev) {
		free(opaque);
		return NULL;
	}
	dev->ops = ops;
	dev->vm = vm;
	dev->opaque = opaque;
	dev->features = features | 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_INDIRECT_DESC | 1ull << VIRTIO_F_EVENT_IDX;
	if (vm->config->type->access_platform)
		dev->features |= 1ull << VIRTIO_F_ACCESS_PLATFORM;
	memcpy(dev->config, config, config_size);
	pthread_mutex_init(&dev->lock, NULL);
	pthread_mutex_init(&dev->irq_lock, NULL);
	dev->stop = dev->kick[0] = dev->kick[1] = -1;
	for (unsigned int i = 0; i <= VIRTIO_MAX_QUEUES; i++)
		dev->vector[i].event = -1;
	err = open_events(dev);
	if (!err)
		err = virtio_pci_create(dev);
	if (err) {
		vmm_error("cannot make %s: %s", ops->name, strerror(-err));
		virtio_destroy(dev);
		return NULL;
	}
	virtio_reset(dev);
	return dev;
}

static void close_event(int fd)
{
	if (fd >= 0)
		close(fd);
}

void virtio_destroy(struct virtio_device *dev)
{
	if (dev->ops->destroy)
		dev->ops->destroy(dev);
	close_event(dev->stop);
	for (unsigned int i = 0; i < VIRTIO_MAX_QUEUES; i++)
		close_event(dev->kick[i]);
	for (unsigned int i = 0; i <= VIRTIO_MAX_QUEUES; i++)
		close_event(dev->vector[i].event);
	pthread_mutex_destroy(&dev->irq_lock);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}
