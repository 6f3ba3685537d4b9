// SPDX-License-Identifier: Apache-2.0
/* ioeventfd (api.rst KVM_IOEVENTFD): a guest's write to an address signals an eventfd instead of leaving for user
 * space. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm/irq_state.h"
#include "kvm/kvm.h"

struct ioeventfd {
	struct kvm_io_device dev;
	struct ioeventfd *next;
	u64 addr;
	u32 length; /* 0: any */
	bool wildcard, pio;
	u64 datamatch;
	u64 identity;
	int fd;
};

/* The list is protected by kvm->slots_lock, which also serialises registration on the buses. */
struct kvm_ioeventfds {
	struct ioeventfd *list;
};

static struct kvm_io_bus *bus_of(struct kvm *kvm, bool pio)
{
	return pio ? &kvm->pio_bus : &kvm->mmio_bus;
}

static int ioeventfd_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, u64 addr, unsigned int len,
			   const void *data)
{
	struct ioeventfd *io = (struct ioeventfd *)dev;
	u64 value = 0;

	if (addr != io->addr || (io->length && io->length != len))
		return -EOPNOTSUPP;
	memcpy(&value, data, len <= sizeof(value) ? len : sizeof(value));
	if (io->length && !io->wildcard && value != io->datamatch)
		return -EOPNOTSUPP;
	kvm_eventfd_signal(io->fd);
	return 0;
}

static const struct kvm_io_ops ioeventfd_ops = {.write = ioeventfd_write};

/* Would one write signal both? */
static bool collides(const struct ioeventfd *a, const struct ioeventfd *b)
{
	return a->pio == b->pio && a->addr == b->addr &&
	       (!a->length || !b->length ||
		(a->length == b->length && (a->wildcard || b->wildcard || a->datamatch == b->datamatch)));
}

static void ioeventfd_free(struct ioeventfd *io)
{
	if (io->fd >= 0)
		close(io->fd);
	free(io);
}

static int ioeventfd_make(const struct kvm_ioeventfd *args, struct ioeventfd **out)
{
	struct ioeventfd *io = calloc(1, sizeof(*io));
	int err;

	if (!io)
		return -ENOMEM;
	*io = (struct ioeventfd){
		.dev.ops = &ioeventfd_ops,
		.addr = args->addr,
		.length = args->len,
		.wildcard = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
		.pio = args->flags & KVM_IOEVENTFD_FLAG_PIO,
		.datamatch = args->datamatch,
		.fd = -1,
	};
	/* Only what an access of that length can carry is compared. */
	if (args->len && args->len < 8)
		io->datamatch &= (1ull << args->len * 8) - 1;
	err = kvm_eventfd_identity(args->fd, &io->identity);
	if (!err) {
		io->fd = fcntl(args->fd, F_DUPFD_CLOEXEC, 0);
		err = io->fd < 0 ? -errno : 0;
	}
	if (err) {
		ioeventfd_free(io);
		return err;
	}
	*out = io;
	return 0;
}

/* Under slots_lock. */
static int ioeventfd_insert(struct kvm *kvm, struct ioeventfd *io)
{
	struct kvm_ioeventfds *all = kvm->irqchip->ioeventfds;
	int err;

	for (struct ioeventfd *other = all->list; other; other = other->next) {
		if (collides(other, io))
			return -EEXIST;
	}
	err = kvm_io_bus_register(bus_of(kvm, io->pio), io->addr, io->length, &io->dev);
	if (err)
		return err;
	io->next = all->list;
	all->list = io;
	return 0;
}

static int ioeventfd_assign(struct kvm *kvm, const struct kvm_ioeventfd *args)
{
	struct ioeventfd *io;
	int err = ioeventfd_make(args, &io);

	if (err)
		return err;
	pthread_mutex_lock(&kvm->slots_lock);
	err = ioeventfd_insert(kvm, io);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (err)
		ioeventfd_free(io);
	return err;
}

static bool same(const struct ioeventfd *a, const struct ioeventfd *b)
{
	return a->pio == b->pio && a->identity == b->identity && a->addr == b->addr && a->length == b->length &&
	       a->wildcard == b->wildcard && (a->wildcard || a->datamatch == b->datamatch);
}

static int ioeventfd_deassign(struct kvm *kvm, const struct kvm_ioeventfd *args)
{
	struct kvm_ioeventfds *all = kvm->irqchip->ioeventfds;
	struct ioeventfd *wanted, *found = NULL;
	int err = ioeventfd_make(args, &wanted);

	if (err)
		return err;
	pthread_mutex_lock(&kvm->slots_lock);
	for (struct ioeventfd **at = &all->list; *at && !found;) {
		if (same(*at, wanted)) {
			found = *at;
			*at = found->next;
			kvm_io_bus_unregister(bus_of(kvm, found->pio), &found->dev);
		} else {
			at = &(*at)->next;
		}
	}
	pthread_mutex_unlock(&kvm->slots_lock);
	ioeventfd_free(wanted);
	if (!found)
		return -ENOENT;
	ioeventfd_free(found);
	return 0;
}

int kvm_vm_ioctl_ioeventfd(struct kvm *kvm, const struct kvm_ioeventfd *args)
{
	const u32 known = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN;

	if (args->flags & ~known || args->addr + args->len < args->addr)
		return -EINVAL;
	switch (args->len) {
	case 0:
		/* Any length has no value to compare with. */
		if (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)
			return -EINVAL;
		break;
	case 1:
	case 2:
	case 4:
	case 8:
		break;
	default:
		return -EINVAL;
	}
	return args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN ? ioeventfd_deassign(kvm, args) : ioeventfd_assign(kvm, args);
}

int kvm_ioeventfds_create(struct kvm *kvm)
{
	kvm->irqchip->ioeventfds = calloc(1, sizeof(*kvm->irqchip->ioeventfds));
	return kvm->irqchip->ioeventfds ? 0 : -ENOMEM;
}

void kvm_ioeventfds_destroy(struct kvm *kvm)
{
	struct kvm_ioeventfds *all = kvm->irqchip->ioeventfds;

	if (!all)
		return;
	while (all->list) {
		struct ioeventfd *io = all->list;

		all->list = io->next;
		kvm_io_bus_unregister(bus_of(kvm, io->pio), &io->dev);
		ioeventfd_free(io);
	}
	free(all);
	kvm->irqchip->ioeventfds = NULL;
}
