// SPDX-License-Identifier: Apache-2.0
/*
 * The KVM API as the VMM reaches it: our library, or the system calls on the host's /dev/kvm. Results are those of the system
 * calls; errors are negative errno (mmap: MAP_FAILED and errno).
 */
#pragma once

#include "softcvm/softcvm.h"

struct kvm_calls {
	int (*open)(const struct softcvm_config *config);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	void *(*mmap)(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
	int (*munmap)(void *addr, size_t length);
	int (*close)(int fd);
	int (*fallocate)(int fd, int mode, off_t offset, off_t length);
	int (*check)(int vm_fd, char *message, size_t size); /* NULL: KVM cannot say */
	void (*memory_written)(int vm_fd, const void *start, size_t length);
	uint64_t (*time_ns)(int vm_fd);
};

extern const struct kvm_calls kvm_calls_softcvm, kvm_calls_host;

/* Requests whose argument is a number. */
static inline int kvm_call_number(const struct kvm_calls *calls, int fd, unsigned long request, unsigned long arg)
{
	return calls->ioctl(fd, request, (void *)arg);
}
