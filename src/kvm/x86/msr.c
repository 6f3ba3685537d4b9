// SPDX-License-Identifier: Apache-2.0
/*
 * Model-specific registers: KVM_GET_MSRS, KVM_SET_MSRS, and what RDMSR and WRMSR exits find.
 *
 * Most are one line of the table `msrs`. The others belong to the processor (struct hw_arch), the local APIC, the clock,
 * the MTRRs or machine check, and are asked in turn. What nobody knows is #GP.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/ioctl.h"
#include "kvm/x86/clock.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/msr_table.h"
#include "kvm/x86/x86.h"

/* ---------------------------------------------------------------- one line each */

enum msr_write {
	MSR_MASKED,	/* bits of `writable` may be set, others are #GP */
	MSR_IGNORED,	/* the guest's writes are dropped (as Linux does) */
	MSR_READ_ONLY,	/* the guest's writes are #GP; user space sets it */
	MSR_COMMAND,	/* write only: nothing to do, reads are #GP */
};

enum { ON_INTEL = 1, ON_AMD = 2, ON_BOTH = 3 };
enum { MSR_SAVED = 1, MSR_FEATURE = 2 }; /* in KVM_GET_MSR_INDEX_LIST, in KVM_GET_MSR_FEATURE_INDEX_LIST */

struct msr_line {
	u32 msr;
	u8 platforms;
	u8 write;
	u8 lists;
	u64 value;    /* after reset */
	u64 writable; /* MSR_MASKED */
};

/*
 * This processor does not speculate, so it has none of the flaws that IA32_ARCH_CAPABILITIES can deny (SDM 4 table 2-2):
 * RDCL, SSB, MDS, PSCHANGE_MC, TAA, SBDR, FBSDP, PSDP, BHI, PBRSB, GDS, RFDS; L1D need not be flushed at VM entry.
 */
#define ARCH_CAPABILITIES \
	(1ull << 0 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 8 | 1ull << 13 | 1ull << 14 | 1ull << 15 | \
	 1ull << 20 | 1ull << 24 | 1ull << 26 | 1ull << 27)
/* TlbCacheDis, FFDis, IgnneEm: old guests set them, and they stay zero (Linux; APM2 3.2.10). */
#define HWCR_DROPPED (1ull << 3 | 1ull << 6 | 1ull << 8)
#define MISC_ENABLE_RESET (1ull << 0 | 1ull << 11 | 1ull << 12) /* fast strings; no BTS, no PEBS */

static const struct msr_line msrs[] = {
	{ MSR_IA32_UCODE_REV, ON_BOTH, MSR_IGNORED, MSR_SAVED | MSR_FEATURE, 0x100000000ull, 0 },
	{ MSR_IA32_ARCH_CAPABILITIES, ON_INTEL, MSR_READ_ONLY, MSR_SAVED | MSR_FEATURE, ARCH_CAPABILITIES, 0 },
	{ MSR_PLATFORM_INFO, ON_BOTH, MSR_READ_ONLY, MSR_SAVED | MSR_FEATURE, 0, 0 },
	{ MSR_IA32_MISC_ENABLE, ON_BOTH, MSR_MASKED, MSR_SAVED, MISC_ENABLE_RESET, ~0ull },
	{ MSR_MISC_FEATURES_ENABLES, ON_BOTH, MSR_MASKED, MSR_SAVED, 0, 0 },
	{ MSR_IA32_POWER_CTL, ON_BOTH, MSR_MASKED, MSR_SAVED, 0, ~0ull },
	{ MSR_SMI_COUNT, ON_BOTH, MSR_READ_ONLY, MSR_SAVED, 0, 0 },
	{ MSR_KVM_POLL_CONTROL, ON_BOTH, MSR_MASKED, MSR_SAVED, 1, 1 },
	{ MSR_IA32_PLATFORM_ID, ON_BOTH, MSR_IGNORED, 0, 0, 0 },
	{ MSR_IA32_EBL_CR_POWERON, ON_INTEL, MSR_IGNORED, 0, 0, 0 },
	{ MSR_FSB_FREQ, ON_INTEL, MSR_READ_ONLY, 0, 3, 0 },
	{ MSR_IA32_BBL_CR_CTL3, ON_INTEL, MSR_IGNORED, 0, 0xbe702111, 0 },
	{ MSR_IA32_PERF_STATUS, ON_INTEL, MSR_IGNORED, 0, 1000 | 4ull << 40, 0 },
	{ MSR_IA32_PERF_CTL, ON_INTEL, MSR_IGNORED, 0, 0, 0 },
	{ MSR_LASTBRANCH_FROM, ON_INTEL, MSR_IGNORED, 0, 0, 0 },
	{ MSR_LASTBRANCH_TO, ON_INTEL, MSR_IGNORED, 0, 0, 0 },
	{ MSR_LASTINT_FROM, ON_INTEL, MSR_IGNORED, 0, 0, 0 },
	{ MSR_LASTINT_TO, ON_INTEL, MSR_IGNORED, 0, 0, 0 },
	{ MSR_RAPL_POWER_UNIT, ON_INTEL, MSR_READ_ONLY, 0, 0, 0 },
	{ MSR_PKG_ENERGY_STATUS, ON_INTEL, MSR_READ_ONLY, 0, 0, 0 },
	{ MSR_DRAM_ENERGY_STATUS, ON_INTEL, MSR_READ_ONLY, 0, 0, 0 },
	{ MSR_PP0_ENERGY_STATUS, ON_INTEL, MSR_READ_ONLY, 0, 0, 0 },
	{ MSR_PP1_ENERGY_STATUS, ON_INTEL, MSR_READ_ONLY, 0, 0, 0 },
	{ MSR_IA32_UCODE_WRITE, ON_INTEL, MSR_COMMAND, 0, 0, 0 },
	{ MSR_AMD64_PATCH_LOADER, ON_AMD, MSR_COMMAND, 0, 0, 0 },
	{ MSR_K7_HWCR, ON_AMD, MSR_MASKED, MSR_SAVED, 0, HWCR_DROPPED | 1ull << 18 | 1ull << 24 }, /* McStatusWrEn, TscFreqSel */
	{ MSR_AMD64_DE_CFG, ON_AMD, MSR_MASKED, MSR_SAVED | MSR_FEATURE, 1ull << 1, 1ull << 1 },
	{ MSR_AMD64_SYSCFG, ON_AMD, MSR_IGNORED, 0, 0, 0 },
	{ MSR_K8_TSEG_ADDR, ON_AMD, MSR_IGNORED, 0, 0, 0 },
	{ MSR_K8_TSEG_MASK, ON_AMD, MSR_IGNORED, 0, 0, 0 },
	{ MSR_K8_INT_PENDING, ON_AMD, MSR_IGNORED, 0, 0, 0 },
	{ MSR_AMD64_NB_CFG, ON_AMD, MSR_IGNORED, 0, 0, 0 },
	{ MSR_FAM10H_MMIO_CONF, ON_AMD, MSR_IGNORED, 0, 0, 0 },
	{ MSR_VM_CR, ON_AMD, MSR_IGNORED, 0, 1ull << 4, 0 }, /* SVM disabled and locked out */
	{ MSR_AMD64_OSVW_ID_LENGTH, ON_AMD, MSR_READ_ONLY, 0, 0, 0 },
	{ MSR_AMD64_OSVW_STATUS, ON_AMD, MSR_READ_ONLY, 0, 0, 0 },
	{ MSR_AMD64_BU_CFG2, ON_AMD, MSR_IGNORED, 0, 0, 0 },
	{ MSR_AMD64_DC_CFG, ON_AMD, MSR_IGNORED, 0, 0, 0 },
	{ MSR_AMD64_TW_CFG, ON_AMD, MSR_IGNORED, 0, 0, 0 },
	{ MSR_F15H_EX_CFG, ON_AMD, MSR_IGNORED, 0, 0, 0 },
};
#define MSR_LINES (sizeof(msrs) / sizeof(msrs[0]))

/* ---------------------------------------------------------------- kept by the processor */

static const struct {
	u32 msr;
	u16 offset;
	bool canonical;
} processor_msrs[] = {
	{ MSR_IA32_SYSENTER_CS, offsetof(struct hw_arch, sysenter_cs), false },
	{ MSR_IA32_SYSENTER_ESP, offsetof(struct hw_arch, sysenter_esp), true },
	{ MSR_IA32_SYSENTER_EIP, offsetof(struct hw_arch, sysenter_eip), true },
	{ MSR_EFER, offsetof(struct hw_arch, efer), false },
	{ MSR_STAR, offsetof(struct hw_arch, star), false },
	{ MSR_LSTAR, offsetof(struct hw_arch, lstar), true },
	{ MSR_CSTAR, offsetof(struct hw_arch, cstar), true },
	{ MSR_SYSCALL_MASK, offsetof(struct hw_arch, sfmask), false },
	{ MSR_KERNEL_GS_BASE, offsetof(struct hw_arch, kernel_gs_base), true },
	{ MSR_IA32_PAT, offsetof(struct hw_arch, pat), false },
	{ MSR_TSC_AUX, offsetof(struct hw_arch, tsc_aux), false },
	{ MSR_IA32_DEBUGCTL, offsetof(struct hw_arch, debugctl), false },
	{ MSR_FS_BASE, offsetof(struct hw_arch, seg[HW_FS].base), true },
	{ MSR_GS_BASE, offsetof(struct hw_arch, seg[HW_GS].base), true },
	{ MSR_IA32_XSS, offsetof(struct hw_arch, xss), false },
};

_Static_assert(sizeof(processor_msrs) / sizeof(processor_msrs[0]) + 1 == KVM_PROCESSOR_MSRS, "and the TSC");

u32 kvm_processor_msr(unsigned int n)
{
	return n < KVM_PROCESSOR_MSRS - 1 ? processor_msrs[n].msr : MSR_IA32_TSC;
}

static u64 *processor_msr(struct kvm_vcpu *vcpu, u32 msr, bool *canonical)
{
	for (unsigned int i = 0; i < sizeof(processor_msrs) / sizeof(processor_msrs[0]); i++) {
		if (processor_msrs[i].msr != msr)
			continue;
		*canonical = processor_msrs[i].canonical;
		return (u64 *)((u8 *)hw_cpu_arch(vcpu->cpu) + processor_msrs[i].offset);
	}
	return NULL;
}

static bool is_canonical(const struct kvm_vcpu *vcpu, u64 address)
{
	unsigned int shift = hw_cpu_arch(vcpu->cpu)->cr4 >> 12 & 1 ? 64 - 57 : 64 - 48;

	return (u64)((s64)(address << shift) >> shift) == address;
}

static int write_processor_msr(struct kvm_vcpu *vcpu, u32 msr, u64 *where, u64 data)
{
	const u64 efer_bits = 1u << 0 | 1u << 8 | 1u << 10 | 1u << 11;

	if (msr == MSR_EFER && data & ~efer_bits)
		return KVM_MSR_INVALID;
	if (msr == MSR_IA32_PAT && !kvm_pat_valid(data))
		return KVM_MSR_INVALID;
	if (msr == MSR_IA32_XSS && data)
		return KVM_MSR_INVALID;
	if (msr == MSR_TSC_AUX && data >> 32)
		return KVM_MSR_INVALID;
	/* LMA is the processor's: a host write may not change it while paging is on (Linux set_efer). */
	if (msr == MSR_EFER)
		data = (data & ~(1ull << 10)) | (*where & 1ull << 10);
	*where = data;
	hw_cpu_arch_changed(vcpu->cpu);
	return 0;
}

/* ---------------------------------------------------------------- the table */

struct kvm_vcpu_msrs {
	u64 value[MSR_LINES];
	struct kvm_mtrrs mtrrs;
	struct kvm_mce mce;
};

static int find_line(const struct kvm *kvm, u32 msr)
{
	unsigned int platform = kvm_is_intel(kvm) ? ON_INTEL : ON_AMD;

	for (unsigned int i = 0; i < MSR_LINES; i++)
		if (msrs[i].msr == msr && msrs[i].platforms & platform)
			return i;
	return -1;
}

/* KVM_CAP_ENFORCE_PV_FEATURE_CPUID */
static bool is_hidden(const struct kvm_vcpu *vcpu, unsigned int line, bool host)
{
	return !host && msrs[line].msr == MSR_KVM_POLL_CONTROL && !kvm_guest_has_feature(vcpu, KVM_FEATURE_POLL_CONTROL);
}

static int read_line(const struct kvm_vcpu *vcpu, unsigned int line, u64 *data, bool host)
{
	if ((msrs[line].write == MSR_COMMAND && !host) || is_hidden(vcpu, line, host))
		return KVM_MSR_INVALID;
	if (msrs[line].msr == MSR_PLATFORM_INFO && vcpu->kvm->caps.no_platform_info && !host)
		return KVM_MSR_INVALID;
	*data = vcpu->msrs->value[line];
	return 0;
}

static int write_line(struct kvm_vcpu *vcpu, unsigned int line, u64 data, bool host)
{
	u64 *value = &vcpu->msrs->value[line];

	if (is_hidden(vcpu, line, host))
		return KVM_MSR_INVALID;
	switch (msrs[line].write) {
	case MSR_MASKED:
		if (data & ~msrs[line].writable)
			return KVM_MSR_INVALID;
		*value = msrs[line].msr == MSR_K7_HWCR ? data & ~HWCR_DROPPED : data;
		return 0;
	case MSR_IGNORED:
		if (host)
			*value = data;
		return 0;
	case MSR_READ_ONLY:
		if (!host)
			return KVM_MSR_INVALID;
		*value = data;
		return 0;
	default:
		return 0;
	}
}

void kvm_msr_count_smi(struct kvm_vcpu *vcpu)
{
	int line = find_line(vcpu->kvm, MSR_SMI_COUNT);

	if (line >= 0)
		vcpu->msrs->value[line]++;
}

/* ---------------------------------------------------------------- in turn */

int kvm_read_msr(struct kvm_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	bool canonical;
	const u64 *where = processor_msr(vcpu, msr, &canonical);
	int line, special = vcpu->kvm->vendor->msr ? vcpu->kvm->vendor->msr(vcpu, msr, false, data) : KVM_MSR_COMMON;

	if (special != KVM_MSR_COMMON)
		return special;
	if (where) {
		*data = *where;
		return 0;
	}
	if (msr == MSR_IA32_SMBASE) { /* the guest's handler finds it in its state */
		*data = vcpu->smm.base;
		return host ? 0 : KVM_MSR_INVALID;
	}
	if (msr == MSR_KVM_STEAL_TIME && (host || kvm_guest_has_feature(vcpu, KVM_FEATURE_STEAL_TIME))) {
		*data = vcpu->steal.msr;
		return 0;
	}
	if (kvm_lapic_owns_msr(msr))
		return kvm_lapic_read_msr(vcpu, msr, data, host) ? KVM_MSR_INVALID : 0;
	if (kvm_clock_owns_msr(msr))
		return kvm_clock_read_msr(vcpu, msr, data, host) ? KVM_MSR_INVALID : 0;
	line = find_line(vcpu->kvm, msr);
	if (line >= 0)
		return read_line(vcpu, line, data, host);
	if (kvm_mtrr_read(&vcpu->msrs->mtrrs, msr, data) || kvm_mce_read(&vcpu->msrs->mce, msr, data))
		return 0;
	return KVM_MSR_UNKNOWN;
}

int kvm_write_msr(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	bool canonical;
	u64 *where = processor_msr(vcpu, msr, &canonical);
	int line, special = vcpu->kvm->vendor->msr ? vcpu->kvm->vendor->msr(vcpu, msr, true, &data) : KVM_MSR_COMMON;

	if (special != KVM_MSR_COMMON)
		return special;
	if (where)
		return canonical && !is_canonical(vcpu, data) ? KVM_MSR_INVALID : write_processor_msr(vcpu, msr, where, data);
	if (msr == MSR_IA32_SMBASE) {
		if (host)
			vcpu->smm.base = (u32)data;
		return host ? 0 : KVM_MSR_INVALID;
	}
	if (msr == MSR_KVM_STEAL_TIME && (host || kvm_guest_has_feature(vcpu, KVM_FEATURE_STEAL_TIME)))
		return kvm_steal_write_msr(vcpu, data);
	if (kvm_lapic_owns_msr(msr))
		return kvm_lapic_write_msr(vcpu, msr, data, host) ? KVM_MSR_INVALID : 0;
	if (kvm_clock_owns_msr(msr))
		return kvm_clock_write_msr(vcpu, msr, data, host) ? KVM_MSR_INVALID : 0;
	line = find_line(vcpu->kvm, msr);
	if (line >= 0)
		return write_line(vcpu, line, data, host);
	if (kvm_mtrr_owns(msr))
		return kvm_mtrr_write(&vcpu->msrs->mtrrs, msr, data) ? KVM_MSR_INVALID : 0;
	if (kvm_mce_owns(&vcpu->msrs->mce, msr))
		return kvm_mce_write(&vcpu->msrs->mce, msr, data, host) ? KVM_MSR_INVALID : 0;
	return KVM_MSR_UNKNOWN;
}

/* ---------------------------------------------------------------- life */

int kvm_msr_create_vcpu(struct kvm_vcpu *vcpu)
{
	vcpu->msrs = calloc(1, sizeof(*vcpu->msrs));
	if (!vcpu->msrs)
		return -ENOMEM;
	kvm_mce_setup(&vcpu->msrs->mce, KVM_MCE_BANKS | KVM_MCE_CAP_SUPPORTED);
	return 0;
}

void kvm_msr_destroy_vcpu(struct kvm_vcpu *vcpu) { free(vcpu->msrs); }

/* INIT keeps the MSRs: SDM 3A table 9-1. */
void kvm_msr_reset(struct kvm_vcpu *vcpu, bool init)
{
	if (init)
		return;
	for (unsigned int i = 0; i < MSR_LINES; i++)
		vcpu->msrs->value[i] = msrs[i].value;
	memset(&vcpu->msrs->mtrrs, 0, sizeof(vcpu->msrs->mtrrs));
}

int kvm_msr_setup_mce(struct kvm_vcpu *vcpu, u64 mcg_cap) { return kvm_mce_setup(&vcpu->msrs->mce, mcg_cap); }

/* ---------------------------------------------------------------- lists */

/* Beside the table and what the processor keeps. */
static const u32 other_saved_msrs[] = {
	MSR_IA32_TSC, MSR_IA32_TSC_ADJUST, MSR_IA32_TSC_DEADLINE, MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME,
	MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_STEAL_TIME, MSR_IA32_SMBASE, MSR_IA32_MCG_STATUS, MSR_IA32_MCG_CTL,
};

struct msr_index_list {
	u32 count;
	u32 index[sizeof(processor_msrs) / sizeof(processor_msrs[0]) + MSR_LINES +
		  sizeof(other_saved_msrs) / sizeof(other_saved_msrs[0])];
};

/* FS and GS base travel in the segments; an XSS without supervisor states is nothing to save. */
static bool is_listed(u32 msr) { return msr != MSR_FS_BASE && msr != MSR_GS_BASE && msr != MSR_EFER; }

static void list_msrs(struct hw_machine *machine, unsigned int which, struct msr_index_list *list)
{
	unsigned int platform = hw_machine_config(machine)->platform == HW_PLATFORM_INTEL ? ON_INTEL : ON_AMD;

	list->count = 0;
	for (unsigned int i = 0; which == MSR_SAVED && i < sizeof(processor_msrs) / sizeof(processor_msrs[0]); i++)
		if (is_listed(processor_msrs[i].msr))
			list->index[list->count++] = processor_msrs[i].msr;
	for (unsigned int i = 0; which == MSR_SAVED && i < sizeof(other_saved_msrs) / sizeof(other_saved_msrs[0]); i++)
		list->index[list->count++] = other_saved_msrs[i];
	for (unsigned int i = 0; i < MSR_LINES; i++)
		if (msrs[i].lists & which && msrs[i].platforms & platform)
			list->index[list->count++] = msrs[i].msr;
}

static long copy_list(struct kvm_call *c, unsigned int which)
{
	struct msr_index_list list;
	struct kvm_msr_list head;
	u32 room;

	list_msrs(c->system->machine, which, &list);
	if (hw_copy_from_host(&head, c->user, sizeof(head)))
		return -EFAULT;
	room = head.nmsrs;
	head.nmsrs = list.count;
	if (hw_copy_to_host(c->user, &head, sizeof(head)))
		return -EFAULT;
	if (room < list.count)
		return -E2BIG;
	return hw_copy_to_host(hpa(c->user.v + sizeof(head)), list.index, list.count * sizeof(u32));
}

long kvm_ioctl_get_msr_index_list(struct kvm_call *c) { return copy_list(c, MSR_SAVED); }
long kvm_ioctl_get_msr_feature_index_list(struct kvm_call *c) { return copy_list(c, MSR_FEATURE); }

/* ---------------------------------------------------------------- KVM_GET_MSRS, KVM_SET_MSRS */

#define MAX_IO_MSRS 256u

/* Entries up to the first that fails; their number. */
static long each_msr(struct kvm_call *c, int (*fn)(struct kvm_call *c, struct kvm_msr_entry *e), bool write_back)
{
	struct kvm_msr_entry *entry;
	struct kvm_msrs head;
	void *entries;
	long result;
	u32 done;

	if (hw_copy_from_host(&head, c->user, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MAX_IO_MSRS)
		return -E2BIG;
	result = kvm_copy_array(c, sizeof(head), head.nmsrs, sizeof(*entry), &entries);
	if (result)
		return result;
	entry = entries;
	for (done = 0; done < head.nmsrs; done++)
		if (fn(c, &entry[done]))
			break;
	result = done;
	if (write_back && hw_copy_to_host(hpa(c->user.v + sizeof(head)), entry, head.nmsrs * sizeof(*entry)))
		result = -EFAULT;
	free(entries);
	return result;
}

static int get_one(struct kvm_call *c, struct kvm_msr_entry *e)
{
	u64 data = 0;
	int error = kvm_read_msr(c->vcpu, e->index, &data, true);

	e->data = data;
	return error;
}

static int set_one(struct kvm_call *c, struct kvm_msr_entry *e)
{
	return kvm_write_msr(c->vcpu, e->index, e->data, true);
}

static int get_feature(struct kvm_call *c, struct kvm_msr_entry *e)
{
	unsigned int platform = hw_machine_config(c->system->machine)->platform == HW_PLATFORM_INTEL ? ON_INTEL : ON_AMD;

	for (unsigned int i = 0; i < MSR_LINES; i++) {
		if (msrs[i].msr != e->index || !(msrs[i].lists & MSR_FEATURE) || !(msrs[i].platforms & platform))
			continue;
		e->data = msrs[i].value;
		return 0;
	}
	return KVM_MSR_UNKNOWN;
}

long kvm_ioctl_get_msrs(struct kvm_call *c) { return each_msr(c, get_one, true); }
long kvm_ioctl_set_msrs(struct kvm_call *c) { return each_msr(c, set_one, false); }
long kvm_ioctl_get_feature_msrs(struct kvm_call *c) { return each_msr(c, get_feature, true); }
