// SPDX-License-Identifier: Apache-2.0
/*
 * irqfd (api.rst KVM_IRQFD): an eventfd that raises a GSI. One thread per VM waits for all of them.
 *
 * Each irqfd holds duplicates of the client's descriptors, so that closing those changes nothing, as with the file
 * references that Linux takes. The thread finds an irqfd by key under the lock, so one that was taken away in the
 * meantime is not there; KVM_IRQFD_FLAG_DEASSIGN waits until an event that is being delivered is through.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kvm/irq_state.h"
#include "kvm/kvm.h"
#include "kvm/thread.h"
#include "kvm/x86/lapic.h"

#define STOP_KEY 0

struct irqfd {
	struct irqfd *next;
	u64 key;
	u64 identity; /* of the eventfd */
	int fd;
	int resample_fd; /* -1: edge-triggered */
	u32 gsi;
};

struct kvm_irqfds {
	struct kvm *kvm;
	pthread_mutex_t lock;	/* everything below */
	pthread_cond_t handled; /* `handling` became 0 */
	struct irqfd *list;
	u64 next_key;
	u64 handling; /* key of the event that the thread is delivering */
	_Atomic unsigned int resamplers;
	int epoll_fd, stop_fd; /* -1 until the first irqfd */
	bool has_thread;
	pthread_t thread;
};

/* ---------------------------------------------------------------- eventfds */

/* An eventfd says so in its fdinfo, and gives the number that all its duplicates share. */
int kvm_eventfd_identity(int fd, u64 *id)
{
	char path[64], line[128];
	bool found = false;
	FILE *info;

	if (fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (!info)
		return -EBADF;
	*id = (u64)fd;
	while (fgets(line, sizeof(line), info)) {
		unsigned long long number;

		if (!strncmp(line, "eventfd-count:", strlen("eventfd-count:")))
			found = true;
		if (sscanf(line, "eventfd-id: %llu", &number) == 1)
			*id = number;
	}
	fclose(info);
	return found ? 0 : -EINVAL;
}

/* A full counter is signalled already; a client's blocking eventfd must not stop a vCPU. */
void kvm_eventfd_signal(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	const u64 one = 1;

	if (poll(&ready, 1, 0) == 1 && ready.revents & POLLOUT && write(fd, &one, sizeof(one)) < 0)
		return;
}

static bool consume(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	u64 count;

	return poll(&ready, 1, 0) == 1 && ready.revents & POLLIN && read(fd, &count, sizeof(count)) == sizeof(count);
}

/* ---------------------------------------------------------------- the thread */

static struct irqfd *find_key(struct kvm_irqfds *fds, u64 key)
{
	struct irqfd *irqfd = fds->list;

	while (irqfd && irqfd->key != key)
		irqfd = irqfd->next;
	return irqfd;
}

static void raise_gsi(struct kvm *kvm, u32 gsi, bool resample)
{
	if (resample) {
		kvm_set_irq(kvm, KVM_IRQFD_RESAMPLE_SOURCE, gsi, 1);
		return;
	}
	kvm_set_irq(kvm, KVM_USERSPACE_IRQ_SOURCE, gsi, 1);
	kvm_set_irq(kvm, KVM_USERSPACE_IRQ_SOURCE, gsi, 0);
}

static void handle_event(struct kvm_irqfds *fds, u64 key)
{
	struct irqfd *irqfd;
	bool resample = false, fired = false;
	u32 gsi = 0;

	pthread_mutex_lock(&fds->lock);
	irqfd = find_key(fds, key);
	if (irqfd && consume(irqfd->fd)) {
		fired = true;
		gsi = irqfd->gsi;
		resample = irqfd->resample_fd >= 0;
		fds->handling = key;
	}
	pthread_mutex_unlock(&fds->lock);
	if (!fired)
		return;
	raise_gsi(fds->kvm, gsi, resample);
	pthread_mutex_lock(&fds->lock);
	fds->handling = 0;
	pthread_cond_broadcast(&fds->handled);
	pthread_mutex_unlock(&fds->lock);
}

static void *irqfd_thread(void *opaque)
{
	struct kvm_irqfds *fds = opaque;
	struct epoll_event events[16];

	for (;;) {
		int count = epoll_wait(fds->epoll_fd, events, sizeof(events) / sizeof(events[0]), -1);

		if (count < 0 && errno != EINTR)
			return NULL;
		for (int i = 0; i < count; i++) {
			if (events[i].data.u64 == STOP_KEY)
				return NULL;
			handle_event(fds, events[i].data.u64);
		}
	}
}

/* With the lock held. Signals are the business of the client's threads. */
static int start_thread(struct kvm_irqfds *fds)
{
	struct epoll_event stop = {.events = EPOLLIN, .data.u64 = STOP_KEY};
	int err;

	if (fds->has_thread)
		return 0;
	if (fds->epoll_fd < 0)
		fds->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (fds->epoll_fd < 0)
		return -errno;
	if (fds->stop_fd < 0) {
		fds->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fds->stop_fd < 0 || epoll_ctl(fds->epoll_fd, EPOLL_CTL_ADD, fds->stop_fd, &stop))
			return -errno;
	}
	err = kvm_start_thread(&fds->thread, irqfd_thread, fds);
	fds->has_thread = !err;
	return err;
}

/* ---------------------------------------------------------------- KVM_IRQFD */

static void irqfd_free(struct irqfd *irqfd)
{
	if (irqfd->fd >= 0)
		close(irqfd->fd);
	if (irqfd->resample_fd >= 0)
		close(irqfd->resample_fd);
	free(irqfd);
}

static int duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy < 0 ? -errno : copy;
}

/* NULL and *err. */
static struct irqfd *irqfd_make(const struct kvm_irqfd *args, int *err)
{
	struct irqfd *irqfd = calloc(1, sizeof(*irqfd));
	u64 resample_identity;

	*err = -ENOMEM;
	if (!irqfd)
		return NULL;
	irqfd->fd = irqfd->resample_fd = -1;
	irqfd->gsi = args->gsi;
	*err = kvm_eventfd_identity((int)args->fd, &irqfd->identity);
	if (*err)
		goto fail;
	*err = irqfd->fd = duplicate((int)args->fd);
	if (irqfd->fd < 0)
		goto fail;
	if (!(args->flags & KVM_IRQFD_FLAG_RESAMPLE))
		return irqfd;
	*err = kvm_eventfd_identity((int)args->resamplefd, &resample_identity);
	if (*err)
		goto fail;
	*err = irqfd->resample_fd = duplicate((int)args->resamplefd);
	if (irqfd->resample_fd >= 0)
		return irqfd;
fail:
	irqfd_free(irqfd);
	return NULL;
}

/* With the lock held. */
static int irqfd_insert(struct kvm_irqfds *fds, struct irqfd *irqfd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int err;

	for (struct irqfd *other = fds->list; other; other = other->next) {
		if (other->identity == irqfd->identity)
			return -EBUSY;
	}
	err = start_thread(fds);
	if (err)
		return err;
	irqfd->key = event.data.u64 = ++fds->next_key;
	if (epoll_ctl(fds->epoll_fd, EPOLL_CTL_ADD, irqfd->fd, &event))
		return -errno;
	irqfd->next = fds->list;
	fds->list = irqfd;
	if (irqfd->resample_fd >= 0)
		atomic_fetch_add(&fds->resamplers, 1);
	return 0;
}

static int irqfd_assign(struct kvm *kvm, const struct kvm_irqfd *args)
{
	struct kvm_irqfds *fds = kvm->irqchip->irqfds;
	struct irqfd *irqfd;
	int err;

	if (kvm_irqchip_mode(kvm) == KVM_IRQCHIP_NONE)
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE && kvm_irqchip_mode(kvm) != KVM_IRQCHIP_KERNEL)
		return -EINVAL;
	irqfd = irqfd_make(args, &err);
	if (!irqfd)
		return err;
	pthread_mutex_lock(&fds->lock);
	err = irqfd_insert(fds, irqfd);
	pthread_mutex_unlock(&fds->lock);
	if (err) {
		irqfd_free(irqfd);
		return err;
	}
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE)
		kvm_lapic_scan_ioapic(kvm);
	return 0;
}

/* With the lock held. */
static struct irqfd *irqfd_remove(struct kvm_irqfds *fds, u64 identity, u32 gsi)
{
	for (struct irqfd **at = &fds->list; *at; at = &(*at)->next) {
		struct irqfd *irqfd = *at;

		if (irqfd->identity != identity || irqfd->gsi != gsi)
			continue;
		*at = irqfd->next;
		epoll_ctl(fds->epoll_fd, EPOLL_CTL_DEL, irqfd->fd, NULL);
		while (fds->handling == irqfd->key)
			pthread_cond_wait(&fds->handled, &fds->lock);
		return irqfd;
	}
	return NULL;
}

static int irqfd_deassign(struct kvm *kvm, const struct kvm_irqfd *args)
{
	struct kvm_irqfds *fds = kvm->irqchip->irqfds;
	struct irqfd *irqfd;
	u64 identity;
	bool last;
	int err = kvm_eventfd_identity((int)args->fd, &identity);

	if (err)
		return err;
	pthread_mutex_lock(&fds->lock);
	irqfd = irqfd_remove(fds, identity, args->gsi);
	pthread_mutex_unlock(&fds->lock);
	/* As Linux: an eventfd that was not assigned is no error. */
	if (!irqfd)
		return 0;
	if (irqfd->resample_fd >= 0) {
		atomic_fetch_sub(&fds->resamplers, 1);
		last = !kvm_irqfds_resample(kvm, irqfd->gsi);
		if (last)
			kvm_set_irq(kvm, KVM_IRQFD_RESAMPLE_SOURCE, irqfd->gsi, 0);
		kvm_lapic_scan_ioapic(kvm);
	}
	irqfd_free(irqfd);
	return 0;
}

int kvm_vm_ioctl_irqfd(struct kvm *kvm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	return args->flags & KVM_IRQFD_FLAG_DEASSIGN ? irqfd_deassign(kvm, args) : irqfd_assign(kvm, args);
}

/* ---------------------------------------------------------------- resampling */

bool kvm_irqfds_resample(struct kvm *kvm, u32 gsi)
{
	struct kvm_irqfds *fds = kvm->irqchip->irqfds;
	bool found = false;

	if (!atomic_load_explicit(&fds->resamplers, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&fds->lock);
	for (struct irqfd *irqfd = fds->list; irqfd && !found; irqfd = irqfd->next)
		found = irqfd->gsi == gsi && irqfd->resample_fd >= 0;
	pthread_mutex_unlock(&fds->lock);
	return found;
}

/* api.rst KVM_IRQFD: the line goes down first, so that a device that is still asserting can raise it again. */
void kvm_irqfds_acked(struct kvm *kvm, u32 gsi)
{
	struct kvm_irqfds *fds = kvm->irqchip->irqfds;

	if (!kvm_irqfds_resample(kvm, gsi))
		return;
	kvm_set_irq(kvm, KVM_IRQFD_RESAMPLE_SOURCE, gsi, 0);
	pthread_mutex_lock(&fds->lock);
	for (struct irqfd *irqfd = fds->list; irqfd; irqfd = irqfd->next) {
		if (irqfd->gsi == gsi && irqfd->resample_fd >= 0)
			kvm_eventfd_signal(irqfd->resample_fd);
	}
	pthread_mutex_unlock(&fds->lock);
}

/* ---------------------------------------------------------------- life */

int kvm_irqfds_create(struct kvm *kvm)
{
	struct kvm_irqfds *fds = calloc(1, sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	fds->kvm = kvm;
	fds->epoll_fd = fds->stop_fd = -1;
	pthread_mutex_init(&fds->lock, NULL);
	pthread_cond_init(&fds->handled, NULL);
	kvm->irqchip->irqfds = fds;
	return 0;
}

void kvm_irqfds_stop(struct kvm *kvm)
{
	struct kvm_irqfds *fds = kvm->irqchip->irqfds;

	if (!fds || !fds->has_thread)
		return;
	kvm_eventfd_signal(fds->stop_fd);
	pthread_join(fds->thread, NULL);
	fds->has_thread = false;
}

void kvm_irqfds_destroy(struct kvm *kvm)
{
	struct kvm_irqfds *fds = kvm->irqchip->irqfds;
	struct irqfd *next;

	if (!fds)
		return;
	for (struct irqfd *irqfd = fds->list; irqfd; irqfd = next) {
		next = irqfd->next;
		irqfd_free(irqfd);
	}
	if (fds->epoll_fd >= 0)
		close(fds->epoll_fd);
	if (fds->stop_fd >= 0)
		close(fds->stop_fd);
	pthread_cond_destroy(&fds->handled);
	pthread_mutex_destroy(&fds->lock);
	free(fds);
	kvm->irqchip->irqfds = NULL;
}
