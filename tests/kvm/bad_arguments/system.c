// SPDX-License-Identifier: Apache-2.0
/* Requests of /dev/kvm. */
#include <errno.h>

#include "bad.h"

#define REQUEST(n) .on = SYSTEM, .request = n, .in = EMPTY

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[1];
};

static const struct bad rows[] = {
	{ "API version with an argument", REQUEST(KVM_GET_API_VERSION), .value = 1, .error = EINVAL },
	{ "size of the vCPU's pages with an argument", REQUEST(KVM_GET_VCPU_MMAP_SIZE), .value = 1, .error = EINVAL },
	{ "VM type 6", REQUEST(KVM_CREATE_VM), .value = 6, .error = EINVAL },
	{ "VM type 31", REQUEST(KVM_CREATE_VM), .value = 31, .error = EINVAL },
	{ "VM type 2^32", REQUEST(KVM_CREATE_VM), .value = 1ull << 32, .error = EINVAL },
	{ "a request of nobody", REQUEST(_IO(KVMIO, 0xff)), .value = 0, .error = EINVAL },
	{ "a VM's request", REQUEST(KVM_CREATE_VCPU), .value = 0, .error = EINVAL },
	{ "guest_memfd on the system", REQUEST(KVM_CREATE_GUEST_MEMFD), ARGUMENT(struct kvm_create_guest_memfd, .size = 4096),
	  .error = EINVAL },

	{ "supported CPUID into no entries", REQUEST(KVM_GET_SUPPORTED_CPUID), ARGUMENT(struct kvm_cpuid2, .nent = 0),
	  .error = E2BIG },
	{ "supported CPUID into one entry", REQUEST(KVM_GET_SUPPORTED_CPUID), ARGUMENT(struct kvm_cpuid2, .nent = 1),
	  .error = E2BIG },
	{ "emulated CPUID into no entries", REQUEST(KVM_GET_EMULATED_CPUID), ARGUMENT(struct kvm_cpuid2, .nent = 0),
	  .error = E2BIG },
	{ "MSR list into no entries", REQUEST(KVM_GET_MSR_INDEX_LIST), ARGUMENT(struct kvm_msr_list, .nmsrs = 0),
	  .error = E2BIG },
	{ "MSR list into one entry", REQUEST(KVM_GET_MSR_INDEX_LIST), ARGUMENT(struct kvm_msr_list, .nmsrs = 1),
	  .error = E2BIG },
	{ "feature MSR list into no entries", REQUEST(KVM_GET_MSR_FEATURE_INDEX_LIST),
	  ARGUMENT(struct kvm_msr_list, .nmsrs = 0), .error = E2BIG },
	{ "256 feature MSRs", REQUEST(KVM_GET_MSRS), ARGUMENT(struct one_msr, .head.nmsrs = 256), .error = E2BIG },

	{ "attribute of another group", REQUEST(KVM_HAS_DEVICE_ATTR), ARGUMENT(struct kvm_device_attr, .group = 7),
	  .error = ENXIO },
	{ "attribute 1", REQUEST(KVM_HAS_DEVICE_ATTR), ARGUMENT(struct kvm_device_attr, .attr = 1), .error = ENXIO },
	{ "get attribute of another group", REQUEST(KVM_GET_DEVICE_ATTR), ARGUMENT(struct kvm_device_attr, .group = 7),
	  .error = ENXIO },
	{ "get attribute to nowhere", REQUEST(KVM_GET_DEVICE_ATTR), ARGUMENT(struct kvm_device_attr, .addr = NOWHERE),
	  .error = EFAULT },
};

const struct bad_table bad_system = TABLE(rows);
