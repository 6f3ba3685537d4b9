// SPDX-License-Identifier: Apache-2.0
/*
 * Memory attributes: whether a guest frame is to be private or shared (api.rst KVM_SET_MEMORY_ATTRIBUTES).
 *
 * They belong to the VM, not to a slot or a file, and only user space changes them. A fault reads them without slots_lock; it
 * is the invalidation sequence that makes what it read consistent (mmu.h).
 *
 * `lock` protects the ranges; it is the innermost lock. Changes also hold kvm->slots_lock.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "hw/addr.h"
#include "kvm/range_map.h"
#include "softcvm/kvm_abi.h"

struct kvm;

struct kvm_attributes {
	pthread_rwlock_t lock;
	struct range_map map; /* by frame: KVM_MEMORY_ATTRIBUTE_* */
};

void kvm_attributes_init(struct kvm *kvm);
void kvm_attributes_destroy(struct kvm *kvm);

/* What may be set; kvm NULL: on any VM. */
u64 kvm_supported_attributes(const struct kvm *kvm);
int kvm_set_memory_attributes(struct kvm *kvm, const struct kvm_memory_attributes *change);

/* *end (may be NULL): the frame at which they next change. */
u64 kvm_get_attributes(struct kvm *kvm, gfn_t f, gfn_t *end);
bool kvm_is_private(struct kvm *kvm, gfn_t f);
/* All frames of [start, end) have the same attributes. */
bool kvm_attributes_uniform(struct kvm *kvm, gfn_t start, gfn_t end);
