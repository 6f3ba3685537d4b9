// SPDX-License-Identifier: Apache-2.0
/* Making machines, VMs and vCPUs; coalesced MMIO. */
#pragma once

#include "kvm/kvm.h"

enum hw_platform kvm_platform(const struct softcvm_config *config);
int kvm_create_machine(const struct softcvm_config *config, struct hw_machine **out);

/* Something that cannot be happened inside kvm: as KVM_BUG_ON(), KVM_RUN and every further ioctl answer EIO. Any thread. */
void kvm_vm_bugged(struct kvm *kvm);

/* coalesced.c: writes into registered zones wait in the VM's ring page. */
struct kvm_coalesced;
/* The memfd with the ring page. */
int kvm_coalesced_fd(const struct kvm *kvm);
int kvm_coalesced_create(struct kvm *kvm);
void kvm_coalesced_destroy(struct kvm *kvm);
