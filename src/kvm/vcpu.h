// SPDX-License-Identifier: Apache-2.0
/* What the VM and the run loop need of vcpu.c. */
#pragma once

#include "kvm/kvm.h"

/* By the VM, when nobody can reach the vCPU any more. */
void kvm_vcpu_free(struct kvm_vcpu *vcpu);
/* Own thread: sleeps until vcpu->wake is no longer `seen`, or a signal handler ran, or for no reason. */
void kvm_vcpu_sleep(struct kvm_vcpu *vcpu, u32 seen);
