// SPDX-License-Identifier: Apache-2.0
/* Virtio block device (Virtio 1.2, 5.2) on a raw image or a block device. */
#include "vmm/bytes.h"
#include "vmm/report.h"
#include "vmm/virtio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR_SHIFT 9
#define SECTOR	     (1u << SECTOR_SHIFT)
#define HEADER_SIZE  16u /* type, reserved, sector */
#define SEG_MAX	     (VIRTQ_MAX_SIZE - 2) /* header and status take a descriptor each */

enum { F_SEG_MAX = 2, F_RO = 5, F_BLK_SIZE = 6, F_FLUSH = 9 };
enum { CONFIG_CAPACITY = 0x00, CONFIG_SEG_MAX = 0x0c, CONFIG_BLK_SIZE = 0x14, CONFIG_SIZE = 0x18 };
enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4, TYPE_GET_ID = 8 };
enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPPORTED = 2 };

struct blk {
	int fd;
	uint64_t sectors;
	bool read_only;
	char id[20];
	char name[16];
	struct virtio_ops ops; /* with this disk's name */
};

/* All of the vector at this offset of the image; a short count is an error: the image was truncated, or its disk is full. */
static bool transfer(int fd, bool write, struct iovec *iov, unsigned int n, uint64_t offset)
{
	while (n) {
		ssize_t done = write ? pwritev(fd, iov, (int)n, (off_t)offset) : preadv(fd, iov, (int)n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		offset += (uint64_t)done;
		for (; n && (size_t)done >= iov->iov_len; n--, iov++)
			done -= (ssize_t)iov->iov_len;
		if (n) {
			iov->iov_base = (uint8_t *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return true;
}

static bool in_range(const struct blk *blk, uint64_t sector, size_t size)
{
	return !(size % SECTOR) && sector <= blk->sectors && size >> SECTOR_SHIFT <= blk->sectors - sector;
}

static uint8_t read_sectors(const struct blk *blk, const struct virtq_chain *chain, uint64_t sector)
{
	size_t size = chain->in_size - 1;
	struct iovec part[VIRTQ_MAX_SIZE];
	unsigned int n = iov_slice(virtq_in(chain), chain->nr_in, 0, size, part);

	if (!in_range(blk, sector, size) || !transfer(blk->fd, false, part, n, sector << SECTOR_SHIFT))
		return STATUS_IOERR;
	return STATUS_OK;
}

static uint8_t write_sectors(const struct blk *blk, const struct virtq_chain *chain, uint64_t sector)
{
	size_t size = chain->out_size - HEADER_SIZE;
	struct iovec part[VIRTQ_MAX_SIZE];
	unsigned int n = iov_slice(chain->iov, chain->nr_out, HEADER_SIZE, size, part);

	if (blk->read_only || !in_range(blk, sector, size) || !transfer(blk->fd, true, part, n, sector << SECTOR_SHIFT))
		return STATUS_IOERR;
	return STATUS_OK;
}

static uint8_t perform(const struct blk *blk, const struct virtq_chain *chain)
{
	uint8_t header[HEADER_SIZE];

	iov_read(chain->iov, chain->nr_out, 0, header, sizeof(header));
	switch (get32(header)) {
	case TYPE_IN:
		return read_sectors(blk, chain, get64(header + 8));
	case TYPE_OUT:
		return write_sectors(blk, chain, get64(header + 8));
	case TYPE_FLUSH:
		return fdatasync(blk->fd) ? STATUS_IOERR : STATUS_OK;
	case TYPE_GET_ID:
		iov_write(virtq_in(chain), chain->nr_in, 0, blk->id,
			  chain->in_size - 1 < sizeof(blk->id) ? chain->in_size - 1 : sizeof(blk->id));
		return STATUS_OK;
	default:
		return STATUS_UNSUPPORTED;
	}
}

static void handle(struct virtio_device *dev, unsigned int queue)
{
	struct virtq_chain chain;

	while (virtio_pop(dev, queue, &chain)) {
		uint8_t status;

		if (chain.out_size < HEADER_SIZE || !chain.in_size) {
			virtio_break(dev, "block request without header or status");
			return;
		}
		status = perform(dev->opaque, &chain);
		/* The status is the last byte, whatever was filled before it. */
		iov_write(virtq_in(&chain), chain.nr_in, chain.in_size - 1, &status, 1);
		virtio_push(dev, queue, &chain, chain.in_size);
	}
	virtio_signal(dev, queue);
}

static void destroy(struct virtio_device *dev)
{
	struct blk *blk = dev->opaque;

	close(blk->fd);
	free(blk);
}

/* Two machines on one writable image would ruin it. */
static int open_image(const struct vmm_disk *disk, uint64_t *size)
{
	/* O_NONBLOCK: a FIFO is refused, not waited for. */
	int fd = open(disk->path, (disk->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	off_t end;

	if (fd < 0) {
		vmm_error("cannot open disk '%s': %s", disk->path, strerror(errno));
		return -1;
	}
	end = fstat(fd, &st) || S_ISDIR(st.st_mode) ? -1 : lseek(fd, 0, SEEK_END);
	if (end < (off_t)SECTOR)
		vmm_error("disk '%s' has no sectors", disk->path);
	else if (flock(fd, (disk->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB))
		vmm_error("disk '%s' is in use by another process", disk->path);
	else {
		*size = (uint64_t)end;
		return fd;
	}
	close(fd);
	return -1;
}

struct virtio_device *virtio_blk_create(struct vm *vm, const struct vmm_disk *disk, unsigned int index)
{
	static const struct virtio_ops ops = {
		.type = 2, .class_code = 0x018000, .nr_queues = 1, .handle = handle, .destroy = destroy
	};
	struct blk *blk = calloc(1, sizeof(*blk));
	uint8_t config[CONFIG_SIZE] = {};
	uint64_t size;

	if (!blk)
		return NULL;
	blk->fd = open_image(disk, &size);
	if (blk->fd < 0) {
		free(blk);
		return NULL;
	}
	blk->sectors = size >> SECTOR_SHIFT;
	blk->read_only = disk->read_only;
	snprintf(blk->id, sizeof(blk->id), "softcvm-disk%u", index);
	snprintf(blk->name, sizeof(blk->name), "virtio-blk %u", index);
	blk->ops = ops;
	blk->ops.name = blk->name;
	put64(config + CONFIG_CAPACITY, blk->sectors);
	put32(config + CONFIG_SEG_MAX, SEG_MAX);
	put32(config + CONFIG_BLK_SIZE, SECTOR);
	return virtio_create(vm, &blk->ops,
			     1ull << F_SEG_MAX | 1ull << F_BLK_SIZE | 1ull << F_FLUSH | (uint64_t)blk->read_only << F_RO, config,
			     sizeof(config), blk);
}
