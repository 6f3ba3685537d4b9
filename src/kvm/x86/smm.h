// SPDX-License-Identifier: Apache-2.0
/* System management mode. Everything runs in the vCPU's own thread; others ask for an SMI by KVM_REQ_SMI. */
#pragma once

#include <stdbool.h>

struct kvm;
struct kvm_vcpu;
struct kvm_vcpu_events;

/* VM types whose state kvm cannot see have none. */
bool kvm_has_smm(const struct kvm *kvm);
void kvm_smm_reset(struct kvm_vcpu *vcpu, bool init);
/* Before each entry: takes a pending SMI. 0, or -EIO: its state cannot be saved, and the VM is dead. */
int kvm_smm_prepare_entry(struct kvm_vcpu *vcpu);
/* An SMI ends a halt. */
bool kvm_smm_wakes(const struct kvm_vcpu *vcpu);
/* In the mode, or out of it: the other address space. */
void kvm_smm_changed(struct kvm_vcpu *vcpu, bool on);
int kvm_handle_rsm(struct kvm_vcpu *vcpu);
void kvm_smm_get_events(const struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events);
void kvm_smm_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events);
