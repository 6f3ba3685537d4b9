// SPDX-License-Identifier: Apache-2.0
/* Requests of a vCPU but for its registers. */
#include <errno.h>

#include "bad.h"

#define AS(n, kind) .on = VCPU, .request = n, .in = kind
#define EVENTS(...) .on = VCPU, .request = KVM_SET_VCPU_EVENTS, .in = PLAIN, ARGUMENT(struct kvm_vcpu_events, __VA_ARGS__)
#define STATE(s, kind) .on = VCPU, .request = KVM_SET_MP_STATE, .in = kind, ARGUMENT(struct kvm_mp_state, s)

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[1];
};

struct mask {
	uint32_t len;
	uint8_t bits[16];
};

static const struct bad rows[] = {
	{ "a request of nobody", AS(_IO(KVMIO, 0xff), PLAIN), .error = EINVAL },
	{ "encryption", AS(KVM_MEMORY_ENCRYPT_OP, PLAIN), .error = ENOTTY, .error_6_12 = EINVAL },
	{ "a VM's request", AS(KVM_CREATE_IRQCHIP, PLAIN), .error = EINVAL },
	{ "KVM_RUN with an argument", AS(KVM_RUN, PLAIN), .value = 1, .error = EINVAL },

	{ "interrupt 256", AS(KVM_INTERRUPT, PLAIN), ARGUMENT(struct kvm_interrupt, 256), .error = EINVAL },
	{ "interrupt -1", AS(KVM_INTERRUPT, PLAIN), ARGUMENT(struct kvm_interrupt, 0xffffffff), .error = EINVAL },
	{ "interrupt where there is a PIC", AS(KVM_INTERRUPT, IRQCHIP), ARGUMENT(struct kvm_interrupt, 32), .error = ENXIO },
	{ "interrupt 256 where there is a PIC", AS(KVM_INTERRUPT, IRQCHIP), ARGUMENT(struct kvm_interrupt, 256), .error = EINVAL },
	{ "get: no local APIC", AS(KVM_GET_LAPIC, PLAIN), ARGUMENT(struct kvm_lapic_state, { 0 }), .error = EINVAL },
	{ "set: no local APIC", AS(KVM_SET_LAPIC, PLAIN), ARGUMENT(struct kvm_lapic_state, { 0 }), .error = EINVAL },
	{ "VAPIC page: no local APIC", AS(KVM_SET_VAPIC_ADDR, PLAIN), ARGUMENT(struct kvm_vapic_addr, SLOT_1), .error = EINVAL },
	{ "TPR reports: flags", AS(KVM_TPR_ACCESS_REPORTING, IRQCHIP), ARGUMENT(struct kvm_tpr_access_ctl, .flags = 1),
	  .error = EINVAL },

	{ "state 10", STATE(10, IRQCHIP), .error = EINVAL },
	{ "stopped", STATE(KVM_MP_STATE_STOPPED, IRQCHIP), .error = EINVAL },
	{ "halted without a local APIC", STATE(KVM_MP_STATE_HALTED, PLAIN), .error = EINVAL },
	{ "waits for INIT without a local APIC", STATE(KVM_MP_STATE_UNINITIALIZED, PLAIN), .error = EINVAL },
	{ "has SIPI without a local APIC", STATE(KVM_MP_STATE_SIPI_RECEIVED, PLAIN), .error = EINVAL },

	{ "events: flags", EVENTS(.flags = 1u << 6), .error = EINVAL },
	{ "events: exception 32", EVENTS(.exception = { .injected = 1, .nr = 32 }), .error = EINVAL },
	{ "events: NMI as an exception", EVENTS(.exception = { .injected = 1, .nr = 2 }), .error = EINVAL },
	{ "events: payload not enabled", EVENTS(.flags = KVM_VCPUEVENT_VALID_PAYLOAD), .error = EINVAL },
	{ "events: triple fault not enabled", EVENTS(.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT), .error = EINVAL },

	{ "signal mask of 4 bytes", AS(KVM_SET_SIGNAL_MASK, PLAIN), ARGUMENT(struct mask, .len = 4), .error = EINVAL },
	{ "signal mask of 16 bytes", AS(KVM_SET_SIGNAL_MASK, PLAIN), ARGUMENT(struct mask, .len = 16), .error = EINVAL },

	{ "257 CPUID entries, version 1", AS(KVM_SET_CPUID, PLAIN), ARGUMENT(struct kvm_cpuid, .nent = 257), .error = E2BIG },
	{ "257 CPUID entries", AS(KVM_SET_CPUID2, PLAIN), ARGUMENT(struct kvm_cpuid2, .nent = 257), .error = E2BIG },
	{ "256 MSRs to read", AS(KVM_GET_MSRS, PLAIN), ARGUMENT(struct one_msr, .head.nmsrs = 256), .error = E2BIG },
	{ "256 MSRs to write", AS(KVM_SET_MSRS, PLAIN), ARGUMENT(struct one_msr, .head.nmsrs = 256), .error = E2BIG },
	{ "no banks", AS(KVM_X86_SETUP_MCE, PLAIN), ARGUMENT(uint64_t, 0), .error = EINVAL },
	{ "33 banks", AS(KVM_X86_SETUP_MCE, PLAIN), ARGUMENT(uint64_t, 33), .error = EINVAL },
	{ "machine checks with more than there is", AS(KVM_X86_SETUP_MCE, PLAIN), ARGUMENT(uint64_t, 1ull << 63 | 1), .error = EINVAL },

	{ "kvmclock that no guest uses", AS(KVM_KVMCLOCK_CTRL, PLAIN), .error = EINVAL },
	{ "TSC: too fast", AS(KVM_SET_TSC_KHZ, PLAIN), .value = 0xffffffff, .error = EINVAL },
	{ "capability of nobody", AS(KVM_ENABLE_CAP, PLAIN), ARGUMENT(struct kvm_enable_cap, .cap = 9999), .error = EINVAL },
	{ "a VM's capability", AS(KVM_ENABLE_CAP, PLAIN), ARGUMENT(struct kvm_enable_cap, .cap = KVM_CAP_EXIT_HYPERCALL),
	  .error = EINVAL },
	{ "capability: flags", AS(KVM_ENABLE_CAP, PLAIN),
	  ARGUMENT(struct kvm_enable_cap, .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .flags = 1), .error = EINVAL },

	{ "attribute of another group", AS(KVM_HAS_DEVICE_ATTR, PLAIN), ARGUMENT(struct kvm_device_attr, .group = 7), .error = ENXIO },
	{ "attribute 7", AS(KVM_HAS_DEVICE_ATTR, PLAIN), ARGUMENT(struct kvm_device_attr, .attr = 7), .error = ENXIO },
	{ "get attribute 7", AS(KVM_GET_DEVICE_ATTR, PLAIN), ARGUMENT(struct kvm_device_attr, .attr = 7), .error = ENXIO },
	{ "get attribute to nowhere", AS(KVM_GET_DEVICE_ATTR, PLAIN), ARGUMENT(struct kvm_device_attr, .addr = NOWHERE),
	  .error = EFAULT },
	{ "set attribute 7", AS(KVM_SET_DEVICE_ATTR, PLAIN), ARGUMENT(struct kvm_device_attr, .attr = 7), .error = ENXIO },
	{ "set attribute from nowhere", AS(KVM_SET_DEVICE_ATTR, PLAIN), ARGUMENT(struct kvm_device_attr, .addr = NOWHERE),
	  .error = EFAULT },
};

const struct bad_table bad_vcpu = TABLE(rows);
