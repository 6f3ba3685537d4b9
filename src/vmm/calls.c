// SPDX-License-Identifier: Apache-2.0
/* The two ways to KVM: the library, and the host's own device. */
#include "vmm/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

const struct kvm_calls kvm_calls_softcvm = {
	.open = softcvm_open,
	.ioctl = softcvm_ioctl,
	.mmap = softcvm_mmap,
	.munmap = softcvm_munmap,
	.close = softcvm_close,
	.fallocate = softcvm_fallocate,
	.check = softcvm_check,
	.memory_written = softcvm_memory_written,
	.time_ns = softcvm_time_ns,
};

static int host_open(const struct softcvm_config *config)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int host_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static int host_close(int fd)
{
	return close(fd) ? -errno : 0;
}

static int host_fallocate(int fd, int mode, off_t offset, off_t length)
{
	return fallocate(fd, mode, offset, length) ? -errno : 0;
}

/* A real processor keeps its instruction cache coherent with every write. */
static void host_memory_written(int vm_fd, const void *start, size_t length)
{
}

static uint64_t host_time_ns(int vm_fd)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const struct kvm_calls kvm_calls_host = {
	.open = host_open,
	.ioctl = host_ioctl,
	.mmap = mmap,
	.munmap = munmap,
	.close = host_close,
	.fallocate = host_fallocate,
	.memory_written = host_memory_written,
	.time_ns = host_time_ns,
};
