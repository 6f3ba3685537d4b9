// SPDX-License-Identifier: Apache-2.0
/* The other requests of a VM: vCPUs, capabilities, clock, MSR filter, devices. */
#include <errno.h>

#include "bad.h"

#define AS(n, kind) .on = VM, .request = n, .in = kind
#define CAP(...)    .on = VM, .request = KVM_ENABLE_CAP, .in = EMPTY, ARGUMENT(struct kvm_enable_cap, __VA_ARGS__)
#define FILTER(...) .on = VM, .request = KVM_X86_SET_MSR_FILTER, .in = EMPTY, ARGUMENT(struct kvm_msr_filter, __VA_ARGS__)

static uint8_t bitmap[0x600];

static const struct bad rows[] = {
	{ "a request of nobody", AS(_IO(KVMIO, 0xff), PLAIN), .error = ENOTTY },
	{ "KVM_RUN", AS(KVM_RUN, PLAIN), .error = ENOTTY },
	{ "KVM_CREATE_VM", AS(KVM_CREATE_VM, PLAIN), .error = ENOTTY },
	{ "encryption", AS(KVM_MEMORY_ENCRYPT_OP, PLAIN), .error = ENOTTY },

	{ "vCPU 4096", AS(KVM_CREATE_VCPU, EMPTY), .value = 4096, .error = EINVAL },
	{ "vCPU 2^32", AS(KVM_CREATE_VCPU, EMPTY), .value = 1ull << 32, .error = EINVAL },
	{ "the same vCPU", AS(KVM_CREATE_VCPU, PLAIN), .value = 0, .error = EEXIST },
	{ "boot CPU behind vCPUs", AS(KVM_SET_BOOT_CPU_ID, PLAIN), .value = 1, .error = EBUSY },
	{ "device of no type", AS(KVM_CREATE_DEVICE, EMPTY), ARGUMENT(struct kvm_create_device, .type = 77), .error = ENODEV },
	{ "device test of no type", AS(KVM_CREATE_DEVICE, EMPTY), ARGUMENT(struct kvm_create_device, .type = 77, .flags = 1),
	  .error = ENODEV },

	{ "capability of nobody", CAP(.cap = 9999), .error = EINVAL },
	{ "capability to be read only", CAP(.cap = KVM_CAP_USER_MEMORY), .error = EINVAL },
	{ "flags", CAP(.cap = KVM_CAP_DISABLE_QUIRKS, .flags = 1), .error = EINVAL },
	{ "quirk 63", CAP(.cap = KVM_CAP_DISABLE_QUIRKS2, .args = { 1ull << 63 }), .error = EINVAL },
	{ "hypercall 0", CAP(.cap = KVM_CAP_EXIT_HYPERCALL, .args = { 1 }), .error = EINVAL },
	{ "hypercall exit: flags", CAP(.cap = KVM_CAP_EXIT_HYPERCALL, .flags = 1, .args = { 1u << 12 }), .error = EINVAL },
	{ "MSR exit reasons", CAP(.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { 1u << 4 }), .error = EINVAL },
	{ "manual log: bit 2", CAP(.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 1u << 2 }), .error = EINVAL },
	{ "manual log: set at first, alone", CAP(.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 1u << 1 }), .error = EINVAL },
	{ "manual log: flags", CAP(.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .flags = 1), .error = EINVAL },
	{ "emulation failure: 2", CAP(.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = { 2 }), .error = EINVAL },
	{ "split: too many routes", CAP(.cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 4097 }), .error = EINVAL },
	{ "split behind vCPUs", AS(KVM_ENABLE_CAP, PLAIN), ARGUMENT(struct kvm_enable_cap, .cap = KVM_CAP_SPLIT_IRQCHIP),
	  .error = EEXIST },
	{ "split behind the others", AS(KVM_ENABLE_CAP, IRQCHIP), ARGUMENT(struct kvm_enable_cap, .cap = KVM_CAP_SPLIT_IRQCHIP),
	  .error = EEXIST },
	{ "x2APIC: flag 63", CAP(.cap = KVM_CAP_X2APIC_API, .args = { 1ull << 63 }), .error = EINVAL },
	{ "exits: bit 63", CAP(.cap = KVM_CAP_X86_DISABLE_EXITS, .args = { 1ull << 63 }), .error = EINVAL },
	{ "most vCPUs: 4097", CAP(.cap = KVM_CAP_MAX_VCPU_ID, .args = { 4097 }), .error = EINVAL },
	{ "halt polling of 2^32 ns", CAP(.cap = KVM_CAP_HALT_POLL, .args = { 1ull << 32 }), .error = EINVAL },
	{ "ring: no size", CAP(.cap = KVM_CAP_DIRTY_LOG_RING, .args = { 0 }), .error = EINVAL },
	{ "ring: no power of two", CAP(.cap = KVM_CAP_DIRTY_LOG_RING, .args = { 12288 }), .error = EINVAL },
	{ "ring: less than a page", CAP(.cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL, .args = { 2048 }), .error = EINVAL },
	{ "ring: 2 MiB", CAP(.cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL, .args = { 0x200000 }), .error = E2BIG },
	{ "ring behind vCPUs", AS(KVM_ENABLE_CAP, PLAIN),
	  ARGUMENT(struct kvm_enable_cap, .cap = KVM_CAP_DIRTY_LOG_RING, .args = { 4096 }), .error = EINVAL },
	{ "ring with bitmap", CAP(.cap = KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), .error = EINVAL },
	{ "copy a context where there is no SEV", CAP(.cap = KVM_CAP_VM_COPY_ENC_CONTEXT_FROM), .error = EINVAL },
	{ "attributes", CAP(.cap = KVM_CAP_MEMORY_ATTRIBUTES), .error = EINVAL },
	{ "guest_memfd", CAP(.cap = KVM_CAP_GUEST_MEMFD), .error = EINVAL },
	{ "pre-fault", CAP(.cap = KVM_CAP_PRE_FAULT_MEMORY), .error = EINVAL },

	{ "clock: flags", AS(KVM_SET_CLOCK, PLAIN), ARGUMENT(struct kvm_clock_data, .flags = 1), .error = EINVAL },
	{ "TSC: too fast", AS(KVM_SET_TSC_KHZ, EMPTY), .value = 0xffffffff, .error = EINVAL },

	{ "filter: flags", FILTER(.flags = 1u << 1), .error = EINVAL },
	{ "filter: no access", FILTER(.ranges[0] = { .nmsrs = 8, .bitmap = bitmap }), .error = EINVAL },
	{ "filter: access bit 2", FILTER(.ranges[0] = { .flags = 1u << 2, .nmsrs = 8, .bitmap = bitmap }), .error = EINVAL },
	{ "filter: too long", FILTER(.ranges[0] = { .flags = KVM_MSR_FILTER_READ, .nmsrs = 0x600 * 8 + 1, .bitmap = bitmap }),
	  .error = EINVAL },
	{ "filter: bitmap nowhere",
	  FILTER(.ranges[0] = { .flags = KVM_MSR_FILTER_READ, .nmsrs = 8, .bitmap = (uint8_t *)NOWHERE }), .error = EFAULT },
	{ "filter: nothing denies by default", FILTER(.flags = KVM_MSR_FILTER_DEFAULT_DENY), .error = EINVAL },
};

const struct bad_table bad_vm = TABLE(rows);
