// SPDX-License-Identifier: Apache-2.0
#include "kvm/mmu/decisions.h"

#include "kvm/kvm.h"

const struct decision_column decision_columns[] = {
#define DECISION_COLUMN(name_, type_, version, variant, cells_)                                                        \
	{                                                                                                              \
		.name = name_,                                                                                         \
		.type = type_,                                                                                         \
		.config = {.kvm_compat = version, .no_slot_is_mmio = variant, .test_vm_types = true},                  \
		.cells = DECISION_##cells_,                                                                            \
	},
#include "kvm/mmu/decisions.def"
#undef DECISION_COLUMN
};
const size_t decision_column_count = sizeof(decision_columns) / sizeof(decision_columns[0]);

const struct decision decisions[] = {
#define DECISION(condition_, claim_, attribute_, slot_, a, b, c, d, e, f, g)                                           \
	{                                                                                                              \
		.condition = DECISION_##condition_,                                                                    \
		.claim = DECISION_##claim_,                                                                            \
		.attribute = DECISION_##attribute_,                                                                    \
		.slot = DECISION_##slot_,                                                                              \
		.outcome = {DECISION_##a, DECISION_##b, DECISION_##c, DECISION_##d, DECISION_##e, DECISION_##f,        \
			    DECISION_##g},                                                                             \
	},
#include "kvm/mmu/decisions.def"
#undef DECISION
};
const size_t decision_count = sizeof(decisions) / sizeof(decisions[0]);

const char *const decision_condition_text[DECISION_CONDITIONS] = {
#define DECISION_CONDITION(id, text) text,
#include "kvm/mmu/decisions.def"
#undef DECISION_CONDITION
};

const char *const decision_slot_text[DECISION_SLOTS] = {
	[DECISION_NONE] = "none",	[DECISION_U] = "U", [DECISION_G] = "G", [DECISION_M] = "M",
	[DECISION_INVALID] = "INVALID",
};

const char *const decision_outcome_text[DECISION_OUTCOMES] = {
	[DECISION_MMIO] = "MMIO",	 [DECISION_HVA] = "HVA",	   [DECISION_GMEM] = "GMEM",
	[DECISION_ZERO] = "GMEM, zeros", [DECISION_MFX_S] = "MFX(0)",	   [DECISION_MFX_P] = "MFX(8)",
	[DECISION_EFAULT] = "EFAULT",	 [DECISION_ENOENT] = "ENOENT",	   [DECISION_EAGAIN] = "EAGAIN",
	[DECISION_RETRY] = "RETRY",	 [DECISION_APIC] = "APIC",	   [DECISION_NEVER] = "n/r",
	[DECISION_NO_SLOT] = "no slot",	 [DECISION_NOT_MADE] = "not made",
};

bool decision_by_race(const struct decision *d, const struct decision_column *c)
{
	if (d->claim == d->attribute || d->condition == DECISION_ENTRY_CURRENT || d->condition == DECISION_ENTRY_STALE)
		return false;
	return !kvm_vendor_find(&c->config, c->type)->hardware_claim;
}
