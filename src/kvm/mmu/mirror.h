// SPDX-License-Identifier: Apache-2.0
/*
 * The mirror: which private frames are mapped, for VM types whose private tables belong to somebody else (a secure EPT). It has
 * the shape of those tables, and each change of it is the vendor's call to their owner (struct kvm_private_ops) first.
 *
 * Single pages only. Tables stay until the VM ends, as in Linux.
 */
#pragma once

#include "hw/addr.h"

struct kvm;
struct kvm_mirror;

/* Once, before anything private is mapped; `levels` as of a stage 2, frames below `end` can be private. 0 or -ENOMEM. */
int kvm_mirror_create(struct kvm *kvm, unsigned int levels, gfn_t end);
/* The owner of the tables has let go of every page. */
void kvm_mirror_destroy(struct kvm *kvm);

/* Under mmu.lock. RET_PF_FIXED, SPURIOUS, RETRY, or -errno (-EFAULT: the frame cannot be private). */
int kvm_mirror_map(struct kvm *kvm, gfn_t f, hpa_t page);
/* Under mmu.lock: is the frame mapped, and from where? */
bool kvm_mirror_lookup(struct kvm *kvm, gfn_t f, hpa_t *page);
/* Unmaps [start, end), complete when it returns; what the pages held is gone. Within kvm_mmu_invalidate_begin() and _end(),
 * which keep faults from mapping the range meanwhile. Takes mmu.lock. */
void kvm_mirror_zap(struct kvm *kvm, gfn_t start, gfn_t end);
/* Under mmu.lock. */
void kvm_mirror_for_each(struct kvm *kvm, void (*visit)(void *opaque, gfn_t f, hpa_t page), void *opaque);
