// SPDX-License-Identifier: Apache-2.0
/* What of a TD can be configured (KVM_TDX_CAPABILITIES), and its CPUID as the module made it (KVM_TDX_GET_CPUID). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/vendor/tdx.h"
#include "kvm/x86/x86.h"

#define NO_SUBLEAF	  0xffffffffu
#define MAX_CPUID_ENTRIES 256u
#define MAX_SUBLEAF	  0x7fu

/* ---------------------------------------------------------------- what can be configured */

u64 kvm_tdx_supported_attributes(const struct kvm *kvm)
{
	u64 supported = TDX_ATTR_SEPT_VE_DISABLE, fixed1 = kvm_tdx_sys_field(kvm, TDX_FIELD_ATTRIBUTES_FIXED1);

	if ((supported & fixed1) != fixed1)
		return 0;
	return supported & kvm_tdx_sys_field(kvm, TDX_FIELD_ATTRIBUTES_FIXED0);
}

u64 kvm_tdx_supported_xfam(const struct kvm *kvm)
{
	u64 supported = kvm_supported_xcr0(kvm->machine), fixed1 = kvm_tdx_sys_field(kvm, TDX_FIELD_XFAM_FIXED1);

	if ((supported & fixed1) != fixed1)
		return 0;
	return supported & kvm_tdx_sys_field(kvm, TDX_FIELD_XFAM_FIXED0);
}

/* TSX and WAITPKG would need MSRs switched that KVM does not switch: not offered, though the module would. */
static void withhold(struct kvm_cpuid_entry2 *e)
{
	if (e->function != 7 || e->index)
		return;
	e->ebx &= ~(1u << 4 | 1u << 11);
	e->ecx &= ~(1u << 5);
}

void kvm_tdx_cpuid_config(const struct kvm *kvm, unsigned int n, struct kvm_cpuid_entry2 *entry)
{
	u64 leaf = kvm_tdx_sys_field(kvm, TDX_FIELD_CPUID_CONFIG_LEAVES + n);
	u64 ax_bx = kvm_tdx_sys_field(kvm, TDX_FIELD_CPUID_CONFIG_VALUES + 2 * n);
	u64 cx_dx = kvm_tdx_sys_field(kvm, TDX_FIELD_CPUID_CONFIG_VALUES + 2 * n + 1);
	u32 index = leaf >> 32;

	*entry = (struct kvm_cpuid_entry2){
		.function = (u32)leaf, .index = index == NO_SUBLEAF ? 0 : index,
		.eax = (u32)ax_bx, .ebx = ax_bx >> 32, .ecx = (u32)cx_dx, .edx = cx_dx >> 32,
	};
	/* The address width is configured here, though not in the module. */
	if (entry->function == 0x80000008)
		entry->eax |= 0xff0000;
	withhold(entry);
}

/* TDVMCALLs that user space may serve: what KVM_EXIT_TDX brings. */
#define USER_TDVMCALLS (1u << 1) /* SetupEventNotifyInterrupt */

long kvm_tdx_capabilities(struct kvm *kvm, const struct kvm_tdx_cmd *cmd)
{
	u64 configs = kvm_tdx_sys_field(kvm, TDX_FIELD_NUM_CPUID_CONFIG);
	struct kvm_tdx_capabilities caps;
	hpa_t at = hpa(cmd->data + sizeof(caps));

	if (cmd->flags)
		return -EINVAL;
	if (hw_copy_from_host(&caps, hpa(cmd->data), sizeof(caps)))
		return -EFAULT;
	if (caps.cpuid.nent < configs)
		return -E2BIG;
	memset(&caps, 0, offsetof(struct kvm_tdx_capabilities, cpuid));
	caps.supported_attrs = kvm_tdx_supported_attributes(kvm);
	caps.supported_xfam = kvm_tdx_supported_xfam(kvm);
	if (!caps.supported_attrs || !caps.supported_xfam)
		return -EIO;
	caps.user_tdvmcallinfo_1_r11 = USER_TDVMCALLS;
	caps.cpuid.nent = (u32)configs;
	if (hw_copy_to_host(hpa(cmd->data), &caps, sizeof(caps)))
		return -EFAULT;
	for (unsigned int n = 0; n < configs; n++, at.v += sizeof(struct kvm_cpuid_entry2)) {
		struct kvm_cpuid_entry2 entry;

		kvm_tdx_cpuid_config(kvm, n, &entry);
		if (hw_copy_to_host(at, &entry, sizeof(entry)))
			return -EFAULT;
	}
	return 0;
}

/* ---------------------------------------------------------------- the TD's CPUID */

struct list {
	struct kvm_vcpu *vcpu;
	struct kvm_cpuid_entry2 entry[MAX_CPUID_ENTRIES];
	unsigned int count;
};

/* TDX ABI CPUID_VALUES: 16 leaf bit 31, 15:9 leaf 6:0, 8 no subleaf, 7:1 subleaf, 0 which half. */
static u64 field_of(u32 leaf, u32 subleaf)
{
	u64 field = TDX_FIELD_CPUID_VALUES | (u64)(leaf >> 31) << 16 | (leaf & 0x7f) << 9;

	return field | (subleaf == NO_SUBLEAF ? 0x1fe : subleaf << 1);
}

static bool read_field(struct kvm_vcpu *vcpu, u64 field, u64 *value)
{
	struct tdx_regs out;

	if (kvm_tdx_seamcall(vcpu->kvm, TDH_MNG_RD, kvm_tdx_tdr(vcpu->kvm), field, 0, 0, &out))
		return false;
	*value = out.r8;
	return true;
}

/* -EINVAL: no field can have this leaf, or there is no room; -EIO: the module has none. */
static int read_entry(struct list *l, u32 leaf, u32 subleaf)
{
	struct kvm_cpuid_entry2 *e = &l->entry[l->count];
	u64 ax_bx, cx_dx;

	if ((leaf & 0x7fffff80u) || (subleaf != NO_SUBLEAF && subleaf > MAX_SUBLEAF) || l->count == MAX_CPUID_ENTRIES)
		return -EINVAL;
	if (!read_field(l->vcpu, field_of(leaf, subleaf), &ax_bx) ||
	    !read_field(l->vcpu, field_of(leaf, subleaf) + 1, &cx_dx))
		return -EIO;
	*e = (struct kvm_cpuid_entry2){
		.function = leaf, .index = subleaf == NO_SUBLEAF ? 0 : subleaf,
		.flags = subleaf == NO_SUBLEAF ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = (u32)ax_bx, .ebx = ax_bx >> 32, .ecx = (u32)cx_dx, .edx = cx_dx >> 32,
	};
	/* Where user space set the address width is where it finds it. */
	if (leaf == 0x80000008)
		e->eax = (e->eax & ~0xff0000u) | (u32)(__builtin_ctzll(l->vcpu->kvm->gpa_alias) + 1) << 16;
	l->count++;
	return 0;
}

/* One entry, or its subleaves up to the first that is missing. */
static int read_leaf(struct list *l, u32 leaf)
{
	int error = read_entry(l, leaf, NO_SUBLEAF);
	u32 subleaf = 0;

	if (error != -EIO)
		return error;
	while (!read_entry(l, leaf, subleaf))
		subleaf++;
	return subleaf ? 0 : -EIO;
}

static int read_range(struct list *l, u32 first)
{
	u32 last;

	if (read_leaf(l, first))
		return -EIO;
	last = l->entry[l->count - 1].eax;
	/* Leaves beyond what a field can name are not there. */
	if (last > first + MAX_SUBLEAF)
		last = first + MAX_SUBLEAF;
	for (u32 leaf = first + 1; leaf <= last; leaf++)
		read_leaf(l, leaf);
	return 0;
}

static long copy_list(struct list *l, u64 user)
{
	struct kvm_cpuid2 head;
	bool fits;

	if (hw_copy_from_host(&head, hpa(user), sizeof(head)))
		return -EFAULT;
	if (read_range(l, 0) || read_range(l, 0x80000000))
		return -EIO;
	fits = head.nent >= l->count;
	head.nent = l->count;
	if (hw_copy_to_host(hpa(user), &head, sizeof(head)))
		return -EFAULT;
	if (!fits)
		return -E2BIG;
	return hw_copy_to_host(hpa(user + sizeof(head)), l->entry, l->count * sizeof(l->entry[0])) ? -EFAULT : 0;
}

long kvm_tdx_get_cpuid(struct kvm_vcpu *vcpu, const struct kvm_tdx_cmd *cmd)
{
	struct list *l = calloc(1, sizeof(*l));
	long result;

	if (!l)
		return -ENOMEM;
	l->vcpu = vcpu;
	result = copy_list(l, cmd->data);
	free(l);
	return result;
}
