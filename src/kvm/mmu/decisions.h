// SPDX-License-Identifier: Apache-2.0
/* The decision table of guest memory as data (decisions.def): for the manual and for the test that executes it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "softcvm/softcvm.h"

enum decision_condition {
#define DECISION_CONDITION(id, text) DECISION_##id,
#include "kvm/mmu/decisions.def"
#undef DECISION_CONDITION
	DECISION_CONDITIONS
};

enum decision_kind { DECISION_S, DECISION_P };

/* INVALID: the slot is being deleted or moved. */
enum decision_slot { DECISION_NONE, DECISION_U, DECISION_G, DECISION_M, DECISION_INVALID, DECISION_SLOTS };

enum decision_outcome {
	DECISION_MMIO,	 /* given to the buses and KVM_EXIT_MMIO; a fetch is an emulation failure */
	DECISION_HVA,	 /* the client's page */
	DECISION_GMEM,	 /* the guest_memfd's page */
	DECISION_ZERO,	 /* the same, new: zeros */
	DECISION_MFX_S,	 /* EFAULT with KVM_EXIT_MEMORY_FAULT, flags 0 */
	DECISION_MFX_P,	 /* the same, flags KVM_MEMORY_EXIT_FLAG_PRIVATE */
	DECISION_EFAULT, /* EFAULT without an exit reason */
	DECISION_ENOENT,
	DECISION_EAGAIN,
	DECISION_RETRY,	   /* nothing is mapped and nobody told: the access is made again until something has changed */
	DECISION_APIC,	   /* the interrupt controller in kvm answers */
	DECISION_NEVER,	   /* this VM type cannot get there */
	DECISION_NO_SLOT,  /* a slot of this kind is refused */
	DECISION_NOT_MADE, /* not modelled */
	DECISION_OUTCOMES
};

enum decision_cells {
	DECISION_DEFAULT,
	DECISION_DEFAULT_6_12,
	DECISION_SOFTWARE,
	DECISION_SOFTWARE_6_12,
	DECISION_HARDWARE,
	DECISION_HARDWARE_6_12,
	DECISION_VARIANT,
	DECISION_CELLS
};

struct decision_column {
	const char *name;
	unsigned long type;
	struct softcvm_config config;
	enum decision_cells cells;
};

struct decision {
	enum decision_condition condition;
	enum decision_kind claim, attribute;
	enum decision_slot slot;
	enum decision_outcome outcome[DECISION_CELLS];
};

extern const struct decision_column decision_columns[];
extern const size_t decision_column_count;
extern const struct decision decisions[];
extern const size_t decision_count;

extern const char *const decision_condition_text[DECISION_CONDITIONS];
extern const char *const decision_slot_text[DECISION_SLOTS];
extern const char *const decision_outcome_text[DECISION_OUTCOMES];

/*
 * Without a claim of hardware's own the claim is what the attribute was when the fault began: the two differ only when
 * it changes before it is read again. A claim that comes from a remembered MMIO entry is always shared, so it needs no
 * such race.
 */
bool decision_by_race(const struct decision *d, const struct decision_column *c);
