// SPDX-License-Identifier: Apache-2.0
/*
 * Descriptors: a memfd of its own stands for each object of the API; a vCPU's holds the pages that user space maps.
 *
 * The table maps descriptor numbers to objects. A number that is not in it may still be a duplicate (dup, a descriptor that
 * was passed on): it is recognised by the memfd's inode and entered.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "softcvm/softcvm.h"

enum kvm_fd_kind { KVM_FD_SYSTEM, KVM_FD_VM, KVM_FD_VCPU, KVM_FD_DEVICE, KVM_FD_GUEST_MEMFD, KVM_FD_STATS, KVM_FD_KINDS };

/* First member of what a descriptor stands for. */
struct kvm_object {
	enum kvm_fd_kind kind;
	bool foreign; /* made before fork(), in the parent: every request answers EIO, and it is never destroyed */
	_Atomic unsigned int refs;
	void (*destroy)(struct kvm_object *object); /* the last reference went away */
};

void kvm_object_init(struct kvm_object *object, enum kvm_fd_kind kind, void (*destroy)(struct kvm_object *object));
void kvm_object_get(struct kvm_object *object);
void kvm_object_put(struct kvm_object *object);

/* A sealed memfd of `size` bytes, close-on-exec; or -errno. */
int kvm_fd_create_carrier(const char *name, unsigned long size);
/* The carrier becomes a descriptor of the object and takes a reference of its own. 0 or -ENOMEM. */
int kvm_fd_install(int fd, struct kvm_object *object);
/* The object with a reference for the caller; NULL if the descriptor is not ours. */
struct kvm_object *kvm_fd_get(int fd);
/* The first object of this kind behind *fd (-1 to begin), with a reference; *fd is its descriptor then. NULL: no more. */
struct kvm_object *kvm_fd_next(enum kvm_fd_kind kind, int *fd);
/* Closes the descriptor; -EBADF if it is not ours. */
int kvm_fd_close(int fd);
/* The number is no longer the object's; nothing is closed. */
void kvm_fd_forget(int fd);
/* Async-signal-safe. */
enum softcvm_fd_kind kvm_fd_kind(int fd);
