// SPDX-License-Identifier: Apache-2.0
/*
 * guest_memfd: memory of a guest that its VMM need not be able to reach (api.rst KVM_CREATE_GUEST_MEMFD).
 *
 * The client's descriptor stands for the file and holds nothing. The memory is a memfd of our own, which has pages only where
 * the guest or fallocate() asked for them. A binding connects a range of the file with a slot and is where that range is
 * mapped into this process; it belongs to the slot and goes with it.
 *
 * The file holds the VM. Closing its last descriptor empties its bindings: the slots stay, and private faults on them end in a
 * memory-fault exit.
 *
 * Locks: a binding is made and freed under kvm->slots_lock; its file is taken away under kvm->slots_lock and slots->rwlock
 * (written), so a fault, which holds the rwlock, may use it. gmem->lock orders allocation against holes; it is taken inside
 * slots->rwlock, outside mmu.lock, and held across hw_vm_flush().
 */
#pragma once

#include <sys/stat.h>

#include "hw/addr.h"
#include "kvm/file.h"

struct kvm;
struct kvm_compat;
struct kvm_memslot;
struct kvm_gmem_binding;

/* GUEST_MEMFD_FLAG_*; kvm NULL: on any VM. */
u64 kvm_gmem_supported_flags(const struct kvm_compat *compat, const struct kvm *kvm);
/* KVM_MEM_GUEST_MEMFD may be asked for. */
bool kvm_gmem_supported(const struct kvm *kvm);

/*
 * Under slots_lock. `file` is what the descriptor stands for, NULL if it is none of ours; gives the slot its binding.
 * -EBADF, -EINVAL, -EEXIST (6.12: -EINVAL), -ENOMEM.
 */
int kvm_gmem_bind(struct kvm *kvm, struct kvm_memslot *slot, struct kvm_object *file, u32 fd, u64 offset);
/* Under slots_lock, when no reader of the slot is left. NULL is fine. */
void kvm_gmem_unbind(struct kvm_gmem_binding *binding);

/*
 * The frame behind a gfn of a slot with a guest_memfd, allocated if need be; under kvm_slots_lock(). -EFAULT: the file is
 * gone; -ENOMEM. `vcpu`: whose access asks for it, for the trace.
 */
int kvm_gmem_get_frame(const struct kvm_memslot *slot, gfn_t f, int vcpu, hpa_t *out);
/* Where in the file it is, in bytes. Of a slot with a guest_memfd. */
u64 kvm_gmem_offset(const struct kvm_memslot *slot, gfn_t f);
/* The same without allocating: false if there is no such frame. */
bool kvm_gmem_frame_of(const struct kvm_memslot *slot, gfn_t f, hpa_t *out);
/* Allocates the frames of [f, f + pages) at once; what cannot be had is found out when it is asked for. */
void kvm_gmem_populate(const struct kvm_memslot *slot, gfn_t f, u64 pages, int vcpu);

/* What a slot's binding is: false if it has none, or the file is gone. Under kvm_slots_lock(). */
struct kvm_gmem_binding_info {
	u64 file; /* its number in traces */
	u64 size, flags;
	u64 page, pages; /* of the file */
};
bool kvm_gmem_describe(const struct kvm_memslot *slot, struct kvm_gmem_binding_info *out);
/* The pages of the binding that exist, as ranges of the file. Under kvm_slots_lock(); takes gmem->lock. */
void kvm_gmem_for_each_present(const struct kvm_memslot *slot, void (*visit)(void *opaque, u64 file, u64 page, u64 pages), void *opaque);

/* The file as a file. Negative errno, or MAP_FAILED with errno. */
/* What vfs_fallocate() looks at before it asks what kind of file it is. */
int kvm_check_fallocate(int mode, off_t offset, off_t length);
int kvm_gmem_fallocate(struct kvm_object *file, int mode, off_t offset, off_t length);
/* As /proc/self/fd has it. */
const char *kvm_gmem_name(const struct kvm_object *file);
int kvm_gmem_fstat(struct kvm_object *file, struct stat *st);
void *kvm_gmem_mmap(struct kvm_object *file, void *addr, size_t length, int prot, int flags, off_t offset);
