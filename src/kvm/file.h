// SPDX-License-Identifier: Apache-2.0
/*
 * Descriptors: a real descriptor (an eventfd that carries nothing) stands for each object of the API.
 *
 * The table maps descriptor numbers to objects. A number may be reused behind our back (close() without us, dup2()), so each
 * entry also remembers the identity of the carrier file; a number whose file is another one is not ours.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

enum kvm_fd_kind { KVM_FD_SYSTEM, KVM_FD_VM, KVM_FD_VCPU, KVM_FD_DEVICE, KVM_FD_KINDS };

/* First member of what a descriptor stands for. */
struct kvm_object {
	enum kvm_fd_kind kind;
	_Atomic unsigned int refs;
	void (*destroy)(struct kvm_object *object); /* the last reference went away */
	void (*released)(struct kvm_object *object); /* the last descriptor was closed; may be NULL */
};

void kvm_object_init(struct kvm_object *object, enum kvm_fd_kind kind, void (*destroy)(struct kvm_object *object));
void kvm_object_get(struct kvm_object *object);
void kvm_object_put(struct kvm_object *object);

/* A new close-on-exec descriptor that holds a reference of its own; or -errno. */
int kvm_fd_install(struct kvm_object *object);
/* The object with a reference for the caller; NULL if the descriptor is not ours. */
struct kvm_object *kvm_fd_get(int fd);
/* Closes the descriptor; -EBADF if it is not ours. */
int kvm_fd_close(int fd);
