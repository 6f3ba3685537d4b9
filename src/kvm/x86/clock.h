// SPDX-License-Identifier: Apache-2.0
/*
 * Time of a guest: its TSC (offset and rate against the machine's) and kvmclock (api.rst KVM_GET_CLOCK; the kernel's
 * Documentation/virt/kvm/x86/msr.rst for the pages in guest memory).
 *
 * Locking: clock->lock (leaf) protects the kvmclock offset and the TSC offset that new vCPUs inherit. ctl.tsc_* and the
 * addresses of a vCPU's page belong to its own thread.
 */
#pragma once

#include "hw/hw.h"
#include "softcvm/kvm_abi.h"

struct kvm;
struct kvm_vcpu;

#define MSR_IA32_TSC	    0x10u
#define MSR_IA32_TSC_ADJUST 0x3bu

/* Sets kvm->clock / vcpu->clock. 0 or -ENOMEM. The vCPU part needs vcpu->cpu. */
int kvm_clock_create_vm(struct kvm *kvm);
void kvm_clock_destroy_vm(struct kvm *kvm);
int kvm_clock_create_vcpu(struct kvm_vcpu *vcpu);
void kvm_clock_destroy_vcpu(struct kvm_vcpu *vcpu);

/* MSRs above (own thread). 0, or -EINVAL. `host`: KVM_SET_MSRS. */
bool kvm_clock_owns_msr(u32 msr);
int kvm_clock_read_msr(struct kvm_vcpu *vcpu, u32 msr, u64 *data, bool host);
int kvm_clock_write_msr(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host);

int kvm_vm_ioctl_get_clock(struct kvm *kvm, struct kvm_clock_data *data);
int kvm_vm_ioctl_set_clock(struct kvm *kvm, const struct kvm_clock_data *data);
int kvm_vm_ioctl_set_tsc_khz(struct kvm *kvm, u64 khz);		/* for vCPUs made later; -EINVAL once there is one */
int kvm_vm_ioctl_get_tsc_khz(struct kvm *kvm);			/* the rate */
int kvm_vcpu_ioctl_set_tsc_khz(struct kvm_vcpu *vcpu, u64 khz); /* 0: the machine's */
int kvm_vcpu_ioctl_get_tsc_khz(struct kvm_vcpu *vcpu);
int kvm_vcpu_ioctl_kvmclock_ctrl(struct kvm_vcpu *vcpu);
/* KVM_VCPU_TSC_CTRL / KVM_VCPU_TSC_OFFSET of the vCPU's device attributes */
u64 kvm_vcpu_get_tsc_offset(const struct kvm_vcpu *vcpu);
void kvm_vcpu_set_tsc_offset(struct kvm_vcpu *vcpu, u64 offset);

/* Before each entry: writes the vCPU's kvmclock page when something changed. Own thread. */
void kvm_clock_prepare_entry(struct kvm_vcpu *vcpu);

/* The guest's TSC at a machine time, and the machine time at which it reaches a value (saturating). Own thread. */
u64 kvm_guest_tsc_at(const struct kvm_vcpu *vcpu, u64 machine_ns);
u64 kvm_guest_tsc_to_ns(const struct kvm_vcpu *vcpu, u64 guest_tsc);
