// SPDX-License-Identifier: Apache-2.0
/*
 * Who owns a page, for VMs that share memory in place (pKVM): nothing in an access says whether it is private, and no attribute
 * does. There is one page, and the permissions of its two users are the state.
 *
 *   guest         host              what it is
 *   NOPAGE        OWNED             the client's memory. The guest has not touched it; when it does, it is given the page.
 *   OWNED         NOPAGE            the guest's alone. The client's accesses fail (SIGSEGV, EFAULT); contents are as they were.
 *   SHARED_OWNED  SHARED_BORROWED   the guest's, and the client may use it.
 *   POISON        OWNED             taken from the guest by force, zeroed. Each access of the guest to it ends KVM_RUN with EFAULT.
 *
 * The transitions are a table in ownership.c. They are made 4 KiB by 4 KiB; the state is kept as ranges, so memory and time follow
 * the number of borders. A change of a range is made as a whole or not at all.
 *
 * Locks: ownership->lock protects the states and serialises the calls for the VM's donations (hw/phys/donation.h). It is taken
 * inside slots->rwlock, outside mmu.lock, and held across hw_vm_flush(), as gmem->lock is. A slot cannot go once the VM has run,
 * and nothing is owned before: whoever finds an owned page under the lock may use its slot without slots->rwlock.
 */
#pragma once

#include "hw/addr.h"

struct kvm;
struct kvm_memslot;
struct kvm_ownership;
struct kvm_vcpu;

enum kvm_page_state { KVM_PAGE_NOPAGE, KVM_PAGE_OWNED, KVM_PAGE_SHARED_OWNED, KVM_PAGE_POISON, KVM_PAGE_STATES };

enum kvm_page_operation {
	KVM_PAGE_DONATE,	/* host: the guest touches a page that it does not have */
	KVM_PAGE_SHARE,		/* guest: hypercall */
	KVM_PAGE_UNSHARE,	/* guest: hypercall */
	KVM_PAGE_RECLAIM,	/* host: the VM ends */
	KVM_PAGE_FORCE_RECLAIM, /* host: the kernel touches, without a fix-up for faults, what is the guest's */
	KVM_PAGE_OPERATIONS,
};

int kvm_ownership_create(struct kvm *kvm);
void kvm_ownership_destroy(struct kvm *kvm);
/* Before any access of the guest: from here on slots stay. Takes slots_lock the first time. */
void kvm_ownership_start(struct kvm *kvm);
bool kvm_ownership_started(const struct kvm *kvm); /* under slots_lock */

/* Under slots_lock: the client's memory behind a new slot may be donated; a slot that goes gives back what was. */
int kvm_ownership_add_slot(struct kvm *kvm, struct kvm_memslot *slot);
void kvm_ownership_remove_slot(struct kvm *kvm, struct kvm_memslot *slot);

/*
 * Under kvm_slots_lock(): the frame behind a guest's access, donated now if need be. -EFAULT: the client has no memory there, or
 * the page is poisoned; -EPERM: another guest has it; -ENOMEM.
 */
int kvm_ownership_get_frame(struct kvm_vcpu *vcpu, const struct kvm_memslot *slot, gfn_t f, hpa_t *out);
/* SHARE or UNSHARE of [start, end), on behalf of the guest. The table's error; -EINVAL: no memory there; -ENOMEM. */
int kvm_ownership_convert(struct kvm_vcpu *vcpu, gfn_t start, gfn_t end, enum kvm_page_operation operation);
/* Before an access by a mapping of the kernel's own, which has no fix-up. Never fails: what cannot be reclaimed faults later. */
void kvm_ownership_kernel_access(struct kvm *kvm, gfn_t f);

/* For those who ask about many frames, and hold what they find. Nothing on VMs without ownership. */
void kvm_ownership_lock(struct kvm *kvm);
void kvm_ownership_unlock(struct kvm *kvm);
/* Under it. *end (may be NULL): the frame at which it next changes. */
enum kvm_page_state kvm_ownership_state(const struct kvm *kvm, gfn_t f, gfn_t *end);
/* Takes it. */
bool kvm_ownership_guest_owns(struct kvm *kvm, gfn_t f);
/* Has the host an access to the page? */
bool kvm_ownership_host_may(enum kvm_page_state state);
