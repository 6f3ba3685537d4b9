// SPDX-License-Identifier: Apache-2.0
/*
 * The dirty ring of a vCPU: api.rst KVM_CAP_DIRTY_LOG_RING. Where the VM has rings, slots with KVM_MEM_LOG_DIRTY_PAGES have no
 * bitmap: the first write to a frame since it was last reset puts an entry into the ring of the vCPU that made it.
 *
 * The ring is a memfd, which the client maps at KVM_DIRTY_LOG_PAGE_OFFSET of the vCPU's descriptor. An entry goes round:
 *   free (flags 0) -> DIRTY, by its vCPU -> RESET, by the client, which has read it -> free, by KVM_RESET_DIRTY_RINGS
 * The client may write anything at any time: nothing that is read from an entry is believed.
 *
 * The vCPU's own thread pushes, under mmu.lock or not; resets hold slots_lock. The two share only the indices.
 */
#pragma once

#include "hw/addr.h"

struct kvm;
struct kvm_call;
struct kvm_dirty_ring;
struct kvm_enable_cap;
struct kvm_memslot;
struct kvm_vcpu;

#define KVM_DIRTY_RING_MAX_SIZE (65536u * 16u) /* bytes */

/* KVM_ENABLE_CAP, under kvm->lock: -EINVAL, -E2BIG. */
int kvm_dirty_ring_enable(struct kvm *kvm, const struct kvm_enable_cap *cap);

/* Nothing if the VM has no rings. */
int kvm_dirty_ring_create(struct kvm_vcpu *vcpu);
void kvm_dirty_ring_destroy(struct kvm_vcpu *vcpu);
/* What the client maps: kvm->dirty_ring_size bytes; -1 if that is 0. */
int kvm_dirty_ring_fd(const struct kvm_vcpu *vcpu);

/* Own thread. */
void kvm_dirty_ring_push(struct kvm_vcpu *vcpu, const struct kvm_memslot *slot, gfn_t f);
/* Before each entry: true if the client has to harvest first, and run->exit_reason says so. */
bool kvm_dirty_ring_exit(struct kvm_vcpu *vcpu);
