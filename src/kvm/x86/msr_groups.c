// SPDX-License-Identifier: Apache-2.0
/* MTRRs (SDM 3A 11.11) and machine-check banks (SDM 3B 15.3). */
#include <errno.h>
#include <string.h>

#include "kvm/x86/msr_table.h"
#include "kvm/x86/x86.h"

/* ---------------------------------------------------------------- MTRRs */

#define MTRRCAP (1u << 10 | 1u << 8 | KVM_MTRR_VAR) /* WC, fixed ranges */
#define DEF_TYPE_VALID 0xcffull

/* Where the register stands; NULL: not an MTRR, or MTRRCAP. */
static u64 *mtrr(struct kvm_mtrrs *m, u32 msr)
{
	if (msr - MSR_MTRR_PHYSBASE0 < KVM_MTRR_VAR * 2u)
		return &m->var[msr - MSR_MTRR_PHYSBASE0];
	if (msr == MSR_MTRR_FIX64K)
		return &m->fixed[0];
	if (msr - MSR_MTRR_FIX16K < 2)
		return &m->fixed[1 + msr - MSR_MTRR_FIX16K];
	if (msr - MSR_MTRR_FIX4K < 8)
		return &m->fixed[3 + msr - MSR_MTRR_FIX4K];
	return msr == MSR_MTRR_DEF_TYPE ? &m->def_type : NULL;
}

bool kvm_mtrr_owns(u32 msr)
{
	struct kvm_mtrrs none;

	return msr == MSR_MTRRCAP || mtrr(&none, msr);
}

bool kvm_mtrr_read(const struct kvm_mtrrs *m, u32 msr, u64 *data)
{
	const u64 *where = mtrr((struct kvm_mtrrs *)m, msr);

	if (!where && msr != MSR_MTRRCAP)
		return false;
	*data = where ? *where : MTRRCAP;
	return true;
}

static bool memory_type_valid(u8 type) { return type < 8 && (1u << type & 0x73); }

static bool fixed_valid(u64 data)
{
	for (unsigned int i = 0; i < 8; i++)
		if (!memory_type_valid(data >> (8 * i)))
			return false;
	return true;
}

bool kvm_pat_valid(u64 pat)
{
	for (unsigned int i = 0; i < 8; i++) {
		u8 type = pat >> (8 * i);

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

int kvm_mtrr_write(struct kvm_mtrrs *m, u32 msr, u64 data)
{
	u64 *where = mtrr(m, msr);

	if (!where)
		return -EINVAL;
	if (where == &m->def_type) {
		if (data & ~DEF_TYPE_VALID || !memory_type_valid(data))
			return -EINVAL;
	} else if (where >= m->fixed && where < m->fixed + 11) {
		if (!fixed_valid(data))
			return -EINVAL;
	} else if (!((msr - MSR_MTRR_PHYSBASE0) & 1)) {
		if (!memory_type_valid(data) || data & 0xf00)
			return -EINVAL;
	} else if (data & 0x7ff) {
		return -EINVAL;
	}
	*where = data;
	return 0;
}

/* ---------------------------------------------------------------- machine check */

#define MCG_CTL_P (1ull << 8)
#define MCG_BANKS(cap) ((cap) & 0xff)
enum { BANK_CTL, BANK_STATUS };

int kvm_mce_setup(struct kvm_mce *m, u64 cap)
{
	if (!MCG_BANKS(cap) || MCG_BANKS(cap) > KVM_MCE_BANKS || cap & ~(KVM_MCE_CAP_SUPPORTED | 0xff | 0xff0000))
		return -EINVAL;
	memset(m, 0, sizeof(*m));
	m->cap = cap;
	if (cap & MCG_CTL_P)
		m->ctl = ~0ull;
	for (unsigned int i = 0; i < MCG_BANKS(cap); i++)
		m->bank[i][BANK_CTL] = ~0ull;
	return 0;
}

static u64 *mce(struct kvm_mce *m, u32 msr)
{
	u32 banks = MCG_BANKS(m->cap);

	if (msr == MSR_IA32_MCG_CAP)
		return &m->cap;
	if (msr == MSR_IA32_MCG_STATUS)
		return &m->status;
	if (msr == MSR_IA32_MCG_CTL)
		return m->cap & MCG_CTL_P ? &m->ctl : NULL;
	if (msr - MSR_IA32_MC0_CTL < banks * 4)
		return &m->bank[(msr - MSR_IA32_MC0_CTL) / 4][msr % 4];
	return msr - MSR_IA32_MC0_CTL2 < banks ? &m->ctl2[msr - MSR_IA32_MC0_CTL2] : NULL;
}

bool kvm_mce_owns(const struct kvm_mce *m, u32 msr) { return mce((struct kvm_mce *)m, msr); }

bool kvm_mce_read(const struct kvm_mce *m, u32 msr, u64 *data)
{
	const u64 *where = mce((struct kvm_mce *)m, msr);

	if (where)
		*data = *where;
	return where;
}

/* A guest may only clear a status, and set a control to all zeros or ones (some set all but bit 0 or bit 10, SDM 3B 15.3.2). */
static bool bank_write_valid(u32 msr, u64 data, bool host)
{
	if (msr % 4 == BANK_CTL)
		return !data || (data | 1u << 10 | 1) == ~0ull;
	return msr % 4 != BANK_STATUS || host || !data;
}

int kvm_mce_write(struct kvm_mce *m, u32 msr, u64 data, bool host)
{
	u64 *where = mce(m, msr);

	if (!where || where == &m->cap)
		return -EINVAL;
	if (where == &m->ctl && data && data != ~0ull)
		return -EINVAL;
	if (msr >= MSR_IA32_MC0_CTL && !bank_write_valid(msr, data, host))
		return -EINVAL;
	/* No bank signals corrected errors (CMCI_P is not offered). */
	if (msr >= MSR_IA32_MC0_CTL2 && msr < MSR_IA32_MC0_CTL && data)
		return -EINVAL;
	*where = data;
	return 0;
}
