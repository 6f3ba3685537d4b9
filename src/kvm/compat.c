// SPDX-License-Identifier: Apache-2.0
/* The table of differences between versions of KVM. */
#include "kvm/compat.h"

#include <errno.h>

#include "softcvm/kvm_abi.h"

static const struct kvm_compat versions[] = {
	[SOFTCVM_KVM_7_2] = {
		.name = "7.2",
		.gmem_flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED,
		.gmem_for_every_type = true,
		.amd_vcpu_command = -ENOTTY,
		.gmem_name = "/[kvm-gmem] (deleted)",
		.gmem_bound_twice = -EEXIST,
		.prefault_invalid_slot = -EAGAIN,
		.presets_hypercall_ret = true,
		.emulates_avx_moves = true,
	},
	[SOFTCVM_KVM_6_12] = {
		.name = "6.12",
		.amd_vcpu_command = -EINVAL,
		.gmem_name = "anon_inode:[kvm-gmem]",
		.gmem_bound_twice = -EINVAL,
		.slots_may_alias = true,
		.disables_exits_any_time = true,
	},
};

const struct kvm_compat *kvm_compat_find(enum softcvm_kvm_compat version)
{
	return (unsigned int)version < sizeof(versions) / sizeof(versions[0]) ? &versions[version] : NULL;
}
