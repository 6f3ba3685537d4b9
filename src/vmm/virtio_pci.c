// SPDX-License-Identifier: Apache-2.0
/* The PCI transport: registers in BAR 0, MSI-X (Virtio 1.2, 4.1; PCI Local Bus 3.0, 6.8.2). */
#include "vmm/bytes.h"
#include "vmm/layout.h"
#include "vmm/virtio.h"

#include <errno.h>
#include <unistd.h>

/* BAR 0, one page for each kind of register */
#define PAGE	     0x1000u
#define AT_COMMON    0x0000u
#define AT_ISR	     0x1000u
#define AT_DEVICE    0x2000u
#define AT_NOTIFY    0x3000u
#define AT_MSIX      0x4000u
#define AT_PBA	     0x5000u
#define BAR_SIZE     0x8000u
#define COMMON_SIZE  0x38u
#define NOTIFY_STRIDE 4u

#define CAP_VENDOR   0x09u
#define CAP_MSIX     0x11u
#define MSIX_ENABLE  0x8000u
#define MSIX_MASKALL 0x4000u
#define MSIX_ENTRY   16u
#define VECTOR_MASKED 1u
#define CFG_COMMAND  0x04u
#define INTX_DISABLE 0x0400u

/* struct virtio_pci_cap, 4.1.4 */
enum { CAP_LEN = 2, CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_EXTRA = 16 };
enum { TYPE_COMMON = 1, TYPE_NOTIFY = 2, TYPE_ISR = 3, TYPE_DEVICE = 4, TYPE_PCI_CFG = 5 };

/* struct virtio_pci_common_cfg, 4.1.4.3 */
enum {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_NUM_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY_OFF = 0x1e,
	COMMON_QUEUE_DESC = 0x20,
	COMMON_QUEUE_DRIVER = 0x28,
	COMMON_QUEUE_DEVICE = 0x30,
};

static unsigned int nr_vectors(const struct virtio_device *dev)
{
	return dev->ops->nr_queues + 1;
}

/* ---------------------------------------------------------------- interrupts; irq_lock is held */

static void update_intx(struct virtio_device *dev)
{
	bool level = dev->isr && !dev->msix_enabled && !dev->intx_disabled;

	if (level == dev->intx_level)
		return;
	dev->intx_level = level;
	irq_set_line(dev->vm, GSI_PCI_FIRST + dev->pci.device % 4, level);
}

static void fire(struct virtio_device *dev, struct virtio_vector *v)
{
	uint64_t one = 1;

	v->pending = false;
	/* EAGAIN, the counter being full, means that KVM has an interrupt to take already. */
	if (v->event < 0 || (write(v->event, &one, sizeof(one)) < 0 && errno != EAGAIN))
		irq_signal_msi(dev->vm, &v->msg);
}

static bool deliverable(const struct virtio_device *dev, const struct virtio_vector *v)
{
	return dev->msix_enabled && !dev->msix_masked && !v->masked;
}

static void update_vector(struct virtio_device *dev, struct virtio_vector *v)
{
	if (!deliverable(dev, v))
		return;
	if (v->event >= 0)
		irq_route_msi(dev->vm, (unsigned int)v->gsi, &v->msg);
	if (v->pending)
		fire(dev, v);
}

void virtio_interrupt(struct virtio_device *dev, uint16_t vector, uint8_t isr)
{
	pthread_mutex_lock(&dev->irq_lock);
	if (!dev->msix_enabled) {
		dev->isr |= isr;
		update_intx(dev);
	} else if (vector < nr_vectors(dev)) {
		struct virtio_vector *v = &dev->vector[vector];

		if (deliverable(dev, v))
			fire(dev, v);
		else
			v->pending = true;
	}
	pthread_mutex_unlock(&dev->irq_lock);
}

void virtio_pci_reset(struct virtio_device *dev)
{
	pthread_mutex_lock(&dev->irq_lock);
	dev->isr = 0;
	update_intx(dev);
	for (unsigned int i = 0; i < nr_vectors(dev); i++)
		dev->vector[i].pending = false;
	pthread_mutex_unlock(&dev->irq_lock);
}

static uint64_t read_isr(struct virtio_device *dev)
{
	uint8_t isr;

	pthread_mutex_lock(&dev->irq_lock);
	isr = dev->isr;
	dev->isr = 0;
	update_intx(dev);
	pthread_mutex_unlock(&dev->irq_lock);
	return isr;
}

/* ---------------------------------------------------------------- MSI-X table */

static uint32_t read_msix(struct virtio_device *dev, uint32_t offset)
{
	const struct virtio_vector *v;

	if (offset / MSIX_ENTRY >= nr_vectors(dev))
		return 0;
	v = &dev->vector[offset / MSIX_ENTRY];
	switch (offset % MSIX_ENTRY / 4) {
	case 0:
		return (uint32_t)v->msg.address;
	case 1:
		return (uint32_t)(v->msg.address >> 32);
	case 2:
		return v->msg.data;
	default:
		return v->masked ? VECTOR_MASKED : 0;
	}
}

static void write_msix(struct virtio_device *dev, uint32_t offset, uint32_t value)
{
	struct virtio_vector *v;

	if (offset / MSIX_ENTRY >= nr_vectors(dev))
		return;
	v = &dev->vector[offset / MSIX_ENTRY];
	switch (offset % MSIX_ENTRY / 4) {
	case 0:
		v->msg.address = (v->msg.address & ~0xffffffffull) | (value & ~3u);
		break;
	case 1:
		v->msg.address = (v->msg.address & 0xffffffffull) | (uint64_t)value << 32;
		break;
	case 2:
		v->msg.data = value;
		break;
	default:
		v->masked = value & VECTOR_MASKED;
	}
	update_vector(dev, v);
}

static uint64_t read_table(struct virtio_device *dev, uint32_t offset, unsigned int size)
{
	uint64_t value;

	if (offset % 4 || size < 4)
		return 0; /* 6.8.2: aligned accesses of 4 or 8 bytes */
	pthread_mutex_lock(&dev->irq_lock);
	value = read_msix(dev, offset);
	if (size == 8)
		value |= (uint64_t)read_msix(dev, offset + 4) << 32;
	pthread_mutex_unlock(&dev->irq_lock);
	return value;
}

static void write_table(struct virtio_device *dev, uint32_t offset, unsigned int size, uint64_t value)
{
	if (offset % 4 || size < 4)
		return;
	pthread_mutex_lock(&dev->irq_lock);
	write_msix(dev, offset, (uint32_t)value);
	if (size == 8)
		write_msix(dev, offset + 4, (uint32_t)(value >> 32));
	pthread_mutex_unlock(&dev->irq_lock);
}

static uint64_t read_pending(struct virtio_device *dev, uint32_t offset, unsigned int size)
{
	uint64_t bits = 0;

	pthread_mutex_lock(&dev->irq_lock);
	for (unsigned int i = 0; i < nr_vectors(dev); i++)
		bits |= (uint64_t)dev->vector[i].pending << i;
	pthread_mutex_unlock(&dev->irq_lock);
	return offset < 8 ? bits >> (8 * offset) : 0;
}

/* ---------------------------------------------------------------- common configuration; lock is held */

static const struct virtq *selected(const struct virtio_device *dev)
{
	return dev->queue_select < dev->ops->nr_queues ? &dev->queue[dev->queue_select] : NULL;
}

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static uint64_t read_common(struct virtio_device *dev, uint32_t offset, unsigned int size)
{
	const struct virtq *q = selected(dev);
	uint8_t image[COMMON_SIZE] = {};

	if (offset + size > COMMON_SIZE)
		return 0;
	put32(image + COMMON_DEVICE_FEATURE_SELECT, dev->feature_select);
	put32(image + COMMON_DEVICE_FEATURE, feature_word(dev->features, dev->feature_select));
	put32(image + COMMON_DRIVER_FEATURE_SELECT, dev->driver_feature_select);
	put32(image + COMMON_DRIVER_FEATURE, feature_word(dev->driver_features, dev->driver_feature_select));
	put16(image + COMMON_CONFIG_VECTOR, dev->config_vector);
	put16(image + COMMON_NUM_QUEUES, (uint16_t)dev->ops->nr_queues);
	image[COMMON_STATUS] = dev->status;
	put16(image + COMMON_QUEUE_SELECT, dev->queue_select);
	if (q) {
		put16(image + COMMON_QUEUE_SIZE, q->size);
		put16(image + COMMON_QUEUE_VECTOR, dev->queue_vector[dev->queue_select]);
		put16(image + COMMON_QUEUE_ENABLE, q->enabled);
		put16(image + COMMON_QUEUE_NOTIFY_OFF, dev->queue_select);
		put64(image + COMMON_QUEUE_DESC, q->desc_addr);
		put64(image + COMMON_QUEUE_DRIVER, q->driver_addr);
		put64(image + COMMON_QUEUE_DEVICE, q->device_addr);
	}
	return get_bytes(image + offset, size);
}

/* A vector that does not exist reads back as none (4.1.5.1.2.1). */
static uint16_t checked_vector(const struct virtio_device *dev, uint64_t value)
{
	return value < nr_vectors(dev) ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

/* The driver may write a 64-bit address whole or by halves. */
static void write_address(uint64_t *address, uint32_t offset, unsigned int size, uint64_t value)
{
	if (size == 8 && !offset)
		*address = value;
	else if (size == 4 && !offset)
		*address = (*address & ~0xffffffffull) | value;
	else if (size == 4 && offset == 4)
		*address = (*address & 0xffffffffull) | value << 32;
}

static void write_queue(struct virtio_device *dev, uint32_t offset, unsigned int size, uint64_t value)
{
	struct virtq *q = dev->queue_select < dev->ops->nr_queues ? &dev->queue[dev->queue_select] : NULL;

	/* What describes a queue is fixed once the queue is enabled (4.1.4.3.2). */
	if (!q || (q->enabled && offset != COMMON_QUEUE_VECTOR))
		return;
	switch (offset) {
	case COMMON_QUEUE_SIZE:
		q->size = (uint16_t)value;
		break;
	case COMMON_QUEUE_VECTOR:
		dev->queue_vector[dev->queue_select] = checked_vector(dev, value);
		break;
	case COMMON_QUEUE_ENABLE:
		if (value == 1)
			virtio_enable_queue(dev, dev->queue_select);
		break;
	case COMMON_QUEUE_DESC ... COMMON_QUEUE_DESC + 7:
		write_address(&q->desc_addr, offset - COMMON_QUEUE_DESC, size, value);
		break;
	case COMMON_QUEUE_DRIVER ... COMMON_QUEUE_DRIVER + 7:
		write_address(&q->driver_addr, offset - COMMON_QUEUE_DRIVER, size, value);
		break;
	case COMMON_QUEUE_DEVICE ... COMMON_QUEUE_DEVICE + 7:
		write_address(&q->device_addr, offset - COMMON_QUEUE_DEVICE, size, value);
		break;
	}
}

static void write_driver_features(struct virtio_device *dev, uint32_t value)
{
	unsigned int shift = 32 * dev->driver_feature_select;

	if (dev->driver_feature_select < 2)
		dev->driver_features = (dev->driver_features & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

static void write_common(struct virtio_device *dev, uint32_t offset, unsigned int size, uint64_t value)
{
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		dev->feature_select = (uint32_t)value;
		break;
	case COMMON_DRIVER_FEATURE_SELECT:
		dev->driver_feature_select = (uint32_t)value;
		break;
	case COMMON_DRIVER_FEATURE:
		write_driver_features(dev, (uint32_t)value);
		break;
	case COMMON_CONFIG_VECTOR:
		dev->config_vector = checked_vector(dev, value);
		break;
	case COMMON_STATUS:
		virtio_set_status(dev, (uint8_t)value);
		break;
	case COMMON_QUEUE_SELECT:
		dev->queue_select = (uint16_t)value;
		break;
	default:
		write_queue(dev, offset, size, value);
	}
}

/* ---------------------------------------------------------------- BAR 0 */

static uint64_t locked_read(struct virtio_device *dev, uint32_t offset, unsigned int size)
{
	uint64_t value = 0;

	if (offset >= AT_DEVICE)
		return offset - AT_DEVICE + size <= VIRTIO_MAX_CONFIG ? get_bytes(dev->config + (offset - AT_DEVICE), size) : 0;
	pthread_mutex_lock(&dev->lock);
	value = read_common(dev, offset, size);
	pthread_mutex_unlock(&dev->lock);
	return value;
}

static uint64_t bar_read(struct pci_function *f, uint32_t offset, unsigned int size)
{
	struct virtio_device *dev = f->opaque;

	switch (offset & ~(PAGE - 1)) {
	case AT_COMMON:
	case AT_DEVICE:
		return locked_read(dev, offset, size);
	case AT_ISR:
		return offset == AT_ISR ? read_isr(dev) : 0;
	case AT_MSIX:
		return read_table(dev, offset - AT_MSIX, size);
	case AT_PBA:
		return read_pending(dev, offset - AT_PBA, size);
	default:
		return 0;
	}
}

static void bar_write(struct pci_function *f, uint32_t offset, unsigned int size, uint64_t value)
{
	struct virtio_device *dev = f->opaque;

	switch (offset & ~(PAGE - 1)) {
	case AT_COMMON:
		pthread_mutex_lock(&dev->lock);
		write_common(dev, offset, size, value);
		pthread_mutex_unlock(&dev->lock);
		break;
	case AT_NOTIFY:
		if ((offset - AT_NOTIFY) / NOTIFY_STRIDE < dev->ops->nr_queues)
			virtio_notify(dev, (offset - AT_NOTIFY) / NOTIFY_STRIDE);
		break;
	case AT_MSIX:
		write_table(dev, offset - AT_MSIX, size, value);
		break;
	}
}

/* A kick that finds no ioeventfd arrives as an MMIO exit, so a failure here only costs time. */
static void set_ioeventfds(struct virtio_device *dev, uint32_t base, uint32_t flags)
{
	for (unsigned int i = 0; base && i < dev->ops->nr_queues; i++) {
		struct kvm_ioeventfd io = {
			.addr = base + AT_NOTIFY + i * NOTIFY_STRIDE,
			.len = 2,
			.fd = dev->kick[i],
			.flags = flags,
		};

		dev->vm->calls->ioctl(dev->vm->fd, KVM_IOEVENTFD, &io);
	}
}

static void moved(struct pci_function *f, uint32_t before)
{
	struct virtio_device *dev = f->opaque;

	if (vm_synchronous(dev->vm))
		return;
	set_ioeventfds(dev, before, KVM_IOEVENTFD_FLAG_DEASSIGN);
	set_ioeventfds(dev, f->mapped, 0);
}

/* ---------------------------------------------------------------- configuration space */

/* VIRTIO_PCI_CAP_PCI_CFG (4.1.4.9): BAR 0 through configuration space, where the driver's registers say. */
static bool window(struct virtio_device *dev, unsigned int offset, unsigned int size, uint32_t *at, uint32_t *length)
{
	const uint8_t *cap = dev->pci.config + dev->pci_cfg_cap;

	*at = get32(cap + CAP_OFFSET);
	*length = get32(cap + CAP_LENGTH);
	return offset == dev->pci_cfg_cap + CAP_EXTRA && size >= *length && (*length == 1 || *length == 2 || *length == 4) &&
	       !cap[CAP_BAR] && !(*at % *length) && *at <= BAR_SIZE - *length;
}

static void config_read(struct pci_function *f, unsigned int offset, unsigned int size)
{
	struct virtio_device *dev = f->opaque;
	uint32_t at, length;

	if (window(dev, offset, size, &at, &length))
		put32(f->config + offset, (uint32_t)bar_read(f, at, length));
}

static void update_interrupt_mode(struct virtio_device *dev)
{
	uint16_t control = get16(dev->pci.config + dev->msix_cap + 2);

	pthread_mutex_lock(&dev->irq_lock);
	dev->msix_enabled = control & MSIX_ENABLE;
	dev->msix_masked = control & MSIX_MASKALL;
	dev->intx_disabled = get16(dev->pci.config + CFG_COMMAND) & INTX_DISABLE;
	for (unsigned int i = 0; i < nr_vectors(dev); i++)
		update_vector(dev, &dev->vector[i]);
	update_intx(dev);
	pthread_mutex_unlock(&dev->irq_lock);
}

static void config_written(struct pci_function *f, unsigned int offset, unsigned int size)
{
	struct virtio_device *dev = f->opaque;
	uint32_t at, length;

	if (window(dev, offset, size, &at, &length))
		bar_write(f, at, length, get_bytes(f->config + offset, length));
	else if ((offset < dev->msix_cap + 4 && offset + size > dev->msix_cap + 2) || offset <= CFG_COMMAND + 1)
		update_interrupt_mode(dev);
}

static unsigned int add_register_capability(struct virtio_device *dev, uint8_t type, uint32_t offset, uint32_t length,
					    unsigned int size)
{
	unsigned int at = pci_add_capability(&dev->pci, CAP_VENDOR, size);
	uint8_t *cap = dev->pci.config + at;

	cap[CAP_LEN] = (uint8_t)size;
	cap[CAP_TYPE] = type;
	put32(cap + CAP_OFFSET, offset);
	put32(cap + CAP_LENGTH, length);
	return at;
}

static void add_capabilities(struct virtio_device *dev)
{
	struct pci_function *f = &dev->pci;
	unsigned int notify;

	pci_add_express_capability(f);
	dev->msix_cap = pci_add_capability(f, CAP_MSIX, 12);
	put16(f->config + dev->msix_cap + 2, (uint16_t)(nr_vectors(dev) - 1));
	put16(f->writable + dev->msix_cap + 2, MSIX_ENABLE | MSIX_MASKALL);
	put32(f->config + dev->msix_cap + 4, AT_MSIX);
	put32(f->config + dev->msix_cap + 8, AT_PBA);
	add_register_capability(dev, TYPE_COMMON, AT_COMMON, COMMON_SIZE, CAP_EXTRA);
	add_register_capability(dev, TYPE_ISR, AT_ISR, 1, CAP_EXTRA);
	add_register_capability(dev, TYPE_DEVICE, AT_DEVICE, VIRTIO_MAX_CONFIG, CAP_EXTRA);
	notify = add_register_capability(dev, TYPE_NOTIFY, AT_NOTIFY, dev->ops->nr_queues * NOTIFY_STRIDE, CAP_EXTRA + 4);
	put32(f->config + notify + CAP_EXTRA, NOTIFY_STRIDE);
	dev->pci_cfg_cap = add_register_capability(dev, TYPE_PCI_CFG, 0, 0, CAP_EXTRA + 4);
	memset(f->writable + dev->pci_cfg_cap + CAP_OFFSET, 0xff, 8);
	put32(f->writable + dev->pci_cfg_cap + CAP_EXTRA, 0xffffffff);
	f->writable[dev->pci_cfg_cap + CAP_BAR] = 0xff;
}

int virtio_pci_create(struct virtio_device *dev)
{
	const struct pci_identity identity = {
		.vendor = 0x1af4,
		.device = (uint16_t)(0x1040 + dev->ops->type),
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = dev->ops->class_code,
		.revision = 1,
		.interrupt_pin = true,
	};

	for (unsigned int i = 0; i < nr_vectors(dev); i++)
		dev->vector[i].masked = true;
	dev->pci.bar_size = BAR_SIZE;
	dev->pci.name = dev->ops->name;
	dev->pci.opaque = dev;
	dev->pci.config_read = config_read;
	dev->pci.config_written = config_written;
	dev->pci.moved = moved;
	dev->pci.bar_read = bar_read;
	dev->pci.bar_write = bar_write;
	add_capabilities(dev);
	return pci_add(dev->vm->pci, &dev->pci, &identity);
}
