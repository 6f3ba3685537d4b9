// SPDX-License-Identifier: Apache-2.0
#include "lib/virtio.h"

enum { CAP_VENDOR = 9, CAP_MSIX = 0x11, CFG_COMMON = 1, CFG_NOTIFY = 2 };
enum { STATUS_ACKNOWLEDGE = 1, STATUS_DRIVER = 2, STATUS_DRIVER_OK = 4, STATUS_FEATURES_OK = 8 };
#define VENDOR_VIRTIO	 0x1af4u
#define DEVICE_BLOCK	 0x1042u
#define QUEUE_SIZE	 8u
#define FEATURE_VERSION_1 (1u << 0) /* of the second word */

u32 pci_read(unsigned int slot, unsigned int offset)
{
	outl(0xcf8, 0x80000000u | slot << 11 | (offset & ~3u));
	return inl(0xcfc) >> 8 * (offset & 3);
}

void pci_write(unsigned int slot, unsigned int offset, u32 value)
{
	outl(0xcf8, 0x80000000u | slot << 11 | offset);
	outl(0xcfc, value);
}

static u64 bar(unsigned int slot, unsigned int n)
{
	u32 low = pci_read(slot, 0x10 + 4 * n);
	u64 high = (low & 6) == 4 ? pci_read(slot, 0x14 + 4 * n) : 0;

	return (low & ~0xfull) | high << 32;
}

bool virtio_find(unsigned int slot, struct virtio_function *f)
{
	u8 next;

	if ((u16)pci_read(slot, 0) != VENDOR_VIRTIO)
		return false;
	*f = (struct virtio_function){ .slot = slot };
	pci_write(slot, 4, 6);
	for (u8 at = (u8)pci_read(slot, 0x34); at; at = next) {
		u8 id = (u8)pci_read(slot, at), type = (u8)pci_read(slot, at + 3u);

		next = (u8)pci_read(slot, at + 1u);
		if (id == CAP_MSIX) {
			u32 table = pci_read(slot, at + 4u);

			f->msix = bar(slot, table & 7) + (table & ~7u);
		} else if (id == CAP_VENDOR && (type == CFG_COMMON || type == CFG_NOTIFY)) {
			u64 where = bar(slot, (u8)pci_read(slot, at + 4u)) + pci_read(slot, at + 8u);

			*(type == CFG_COMMON ? &f->common : &f->notify) = where;
			if (type == CFG_NOTIFY)
				f->notify_stride = pci_read(slot, at + 16u);
		}
	}
	return f->common && f->notify;
}

void virtio_set64(const struct virtio_function *f, unsigned int reg, u64 v)
{
	*(volatile u32 *)(f->common + reg) = (u32)v;
	*(volatile u32 *)(f->common + reg + 4) = (u32)(v >> 32);
}

static void start_disk(struct virtio_disk *disk)
{
	const struct virtio_function *f = &disk->f;

	virtio_set_status(f, 0);
	virtio_set_status(f, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	for (u32 word = 0; word < 2; word++) {
		*(volatile u32 *)(f->common + VIRTIO_DRIVER_FEATURE_SELECT) = word;
		*(volatile u32 *)(f->common + VIRTIO_DRIVER_FEATURE) = word ? FEATURE_VERSION_1 : 0;
	}
	virtio_set_status(f, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	virtio_set16(f, VIRTIO_QUEUE_SELECT, 0);
	virtio_set16(f, VIRTIO_QUEUE_SIZE, QUEUE_SIZE);
	virtio_set64(f, VIRTIO_QUEUE_DESC, (u64)disk->desc);
	virtio_set64(f, VIRTIO_QUEUE_DRIVER, (u64)disk->avail);
	virtio_set64(f, VIRTIO_QUEUE_DEVICE, (u64)disk->used);
	virtio_set16(f, VIRTIO_QUEUE_ENABLE, 1);
	virtio_set_status(f, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

bool virtio_disk_open(struct virtio_disk *disk)
{
	for (unsigned int slot = 0; slot < 32; slot++) {
		if (pci_read(slot, 0) != (DEVICE_BLOCK << 16 | VENDOR_VIRTIO) || !virtio_find(slot, &disk->f))
			continue;
		disk->desc = alloc_page();
		disk->avail = alloc_page();
		disk->used = alloc_page();
		disk->request = alloc_page();
		start_disk(disk);
		return true;
	}
	return false;
}

bool virtio_disk_transfer(struct virtio_disk *disk, bool write, u64 sector, void *data, u32 size)
{
	volatile u8 *status = disk->request + 16;
	u16 next = disk->avail[1];
	u64 start = rdtsc();

	*(u32 *)disk->request = write; /* VIRTIO_BLK_T_IN, _OUT */
	((u64 *)disk->request)[1] = sector;
	*status = 0xff;
	disk->desc[0] = (struct virtq_desc){ (u64)disk->request, 16, VIRTQ_NEXT, 1 };
	disk->desc[1] = (struct virtq_desc){ (u64)data, size, (u16)(VIRTQ_NEXT | (write ? 0 : VIRTQ_WRITE)), 2 };
	disk->desc[2] = (struct virtq_desc){ (u64)status, 1, VIRTQ_WRITE, 0 };
	disk->avail[2 + next % QUEUE_SIZE] = 0;
	__atomic_store_n(&disk->avail[1], (u16)(next + 1), __ATOMIC_SEQ_CST);
	*(volatile u16 *)disk->f.notify = 0;
	while (__atomic_load_n(&disk->used[1], __ATOMIC_ACQUIRE) != (u16)(next + 1))
		if (rdtsc() - start > 200000000000ull)
			return false;
	return *status == 0;
}
