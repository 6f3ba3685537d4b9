// SPDX-License-Identifier: Apache-2.0
/* MSR numbers (SDM 4, APM2 App. A), and the two groups of MSRs with rules of their own. */
#pragma once

#include <stdbool.h>

#include "hw/addr.h"

enum {
	MSR_IA32_PLATFORM_ID = 0x17, MSR_IA32_EBL_CR_POWERON = 0x2a, MSR_SMI_COUNT = 0x34, MSR_IA32_FEATURE_CONTROL = 0x3a, MSR_IA32_UCODE_WRITE = 0x79,
	MSR_IA32_UCODE_REV = 0x8b, MSR_IA32_SMBASE = 0x9e, MSR_FSB_FREQ = 0xcd, MSR_PLATFORM_INFO = 0xce, MSR_MTRRCAP = 0xfe,
	MSR_IA32_ARCH_CAPABILITIES = 0x10a, MSR_IA32_BBL_CR_CTL3 = 0x11e, MSR_MISC_FEATURES_ENABLES = 0x140,
	MSR_IA32_SYSENTER_CS = 0x174, MSR_IA32_SYSENTER_ESP = 0x175, MSR_IA32_SYSENTER_EIP = 0x176,
	MSR_IA32_MCG_CAP = 0x179, MSR_IA32_MCG_STATUS = 0x17a, MSR_IA32_MCG_CTL = 0x17b,
	MSR_IA32_PERF_STATUS = 0x198, MSR_IA32_PERF_CTL = 0x199, MSR_IA32_MISC_ENABLE = 0x1a0,
	MSR_IA32_DEBUGCTL = 0x1d9, MSR_LASTBRANCH_FROM = 0x1db, MSR_LASTBRANCH_TO = 0x1dc, MSR_LASTINT_FROM = 0x1dd,
	MSR_LASTINT_TO = 0x1de, MSR_IA32_POWER_CTL = 0x1fc, MSR_MTRR_PHYSBASE0 = 0x200, MSR_MTRR_FIX64K = 0x250,
	MSR_MTRR_FIX16K = 0x258, MSR_MTRR_FIX4K = 0x268, MSR_IA32_PAT = 0x277, MSR_IA32_MC0_CTL2 = 0x280,
	MSR_MTRR_DEF_TYPE = 0x2ff, MSR_IA32_MC0_CTL = 0x400, MSR_RAPL_POWER_UNIT = 0x606, MSR_PKG_ENERGY_STATUS = 0x611,
	MSR_DRAM_ENERGY_STATUS = 0x619, MSR_PP0_ENERGY_STATUS = 0x639, MSR_PP1_ENERGY_STATUS = 0x641, MSR_IA32_XSS = 0xda0,
};

#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_SYSCALL_MASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX 0xc0000103u
#define MSR_AMD64_SYSCFG 0xc0010010u
#define MSR_K7_HWCR 0xc0010015u
#define MSR_AMD64_PATCH_LOADER 0xc0010020u
#define MSR_AMD64_NB_CFG 0xc001001fu
#define MSR_K8_INT_PENDING 0xc0010055u
#define MSR_FAM10H_MMIO_CONF 0xc0010058u
#define MSR_K8_TSEG_ADDR 0xc0010112u
#define MSR_K8_TSEG_MASK 0xc0010113u
#define MSR_VM_CR 0xc0010114u
#define MSR_AMD64_OSVW_ID_LENGTH 0xc0010140u
#define MSR_AMD64_OSVW_STATUS 0xc0010141u
#define MSR_AMD64_DC_CFG 0xc0011022u
#define MSR_AMD64_TW_CFG 0xc0011023u
#define MSR_AMD64_DE_CFG 0xc0011029u
#define MSR_AMD64_BU_CFG2 0xc001102au
#define MSR_F15H_EX_CFG 0xc001102cu

/* ---------------------------------------------------------------- msr_groups.c */

/* Memory types: kept for the guest, without effect on an interpreter. SDM 3A 11.11. */
#define KVM_MTRR_VAR 8
struct kvm_mtrrs {
	u64 var[KVM_MTRR_VAR * 2];
	u64 fixed[11];
	u64 def_type;
};
bool kvm_mtrr_owns(u32 msr);
bool kvm_mtrr_read(const struct kvm_mtrrs *m, u32 msr, u64 *data);
int kvm_mtrr_write(struct kvm_mtrrs *m, u32 msr, u64 data);
bool kvm_pat_valid(u64 pat);

/* Machine check, SDM 3B 15.3. */
#define KVM_MCE_BANKS 32u
struct kvm_mce {
	u64 cap, status, ctl;
	u64 bank[KVM_MCE_BANKS][4]; /* CTL, STATUS, ADDR, MISC */
	u64 ctl2[KVM_MCE_BANKS];
};
int kvm_mce_setup(struct kvm_mce *m, u64 cap);
bool kvm_mce_owns(const struct kvm_mce *m, u32 msr);
bool kvm_mce_read(const struct kvm_mce *m, u32 msr, u64 *data);
int kvm_mce_write(struct kvm_mce *m, u32 msr, u64 data, bool host);
