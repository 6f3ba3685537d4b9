// SPDX-License-Identifier: Apache-2.0
/* Which kernel's KVM this is: everything that differs between the versions that can be asked for (softcvm_config). */
#pragma once

#include "hw/addr.h"
#include "softcvm/softcvm.h"

struct kvm_compat {
	const char *name;
	/* KVM_CREATE_GUEST_MEMFD flags that exist, and whether KVM_CAP_GUEST_MEMFD_FLAGS does */
	u64 gmem_flags;
	/* KVM_MEM_GUEST_MEMFD and KVM_CAP_GUEST_MEMFD also for VMs without private memory */
	bool gmem_for_every_type;
	/* what /proc shows of a guest_memfd: an anonymous inode, or a file of a filesystem of its own */
	const char *gmem_name;
	/* KVM_MEMORY_ENCRYPT_OP of an AMD vCPU, which has no commands: the request does not exist in 6.12 */
	int amd_vcpu_command;
	/* a page of a guest_memfd is bound a second time */
	int gmem_bound_twice;
	/* KVM_PRE_FAULT_MEMORY meets a slot that is being deleted: 0 tries again until it is gone */
	int prefault_invalid_slot;
	/* a slot may reach into addresses that carry the shared bit of its VM type */
	bool slots_may_alias;
	/* KVM_CAP_X86_DISABLE_EXITS can be enabled when there are vCPUs (which keep their exits) */
	bool disables_exits_any_time;
	/* the instruction emulator knows MOVNTDQA and the moves of AVX */
	bool emulates_avx_moves;
	/* hypercall.ret is 0 when KVM_EXIT_HYPERCALL is taken; else it is what was there */
	bool presets_hypercall_ret;
};

/* NULL: no such version. */
const struct kvm_compat *kvm_compat_find(enum softcvm_kvm_compat version);
