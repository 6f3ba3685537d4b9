// SPDX-License-Identifier: Apache-2.0
/*
 * The walk of a stage-2 table: SDM 3C 28.3.2 and 28.3.3 (EPT), APM2 15.25.5 (NPT).
 */
#include <stddef.h>

#include "hw/stage2.h"

static u64 beyond_width(const struct stage2 *s2, gpa_t a)
{
	return a.v >> (HW_PAGE_SHIFT + 9 * s2->levels);
}

/* PS is reserved above 1G pages in both formats. */
static bool malformed(enum stage2_format f, u64 e, unsigned int level)
{
	return stage2_is_reserved(f, e) || (level > HW_LEVEL_1G && (e >> 7 & 1));
}

void stage2_walk(const struct stage2 *s2, gpa_t a, unsigned int access, struct stage2_walk *out)
{
	const u64 *table = s2 ? s2->root : NULL;
	unsigned int level = s2 ? s2->levels : HW_LEVEL_4K;

	*out = (struct stage2_walk){.result = STAGE2_NOT_PRESENT, .level = level, .entry = STAGE2_EPT_SUPPRESS_VE};
	if (!table || beyond_width(s2, a))
		return;
	for (out->perms = STAGE2_RWX;; level--) {
		u64 e = __atomic_load_n(&table[stage2_index(a, level)], __ATOMIC_ACQUIRE);

		out->entry = e;
		out->level = level;
		if (!stage2_present(s2->format, e)) {
			out->perms = 0;
			return;
		}
		if (malformed(s2->format, e, level)) {
			out->result = STAGE2_RESERVED;
			return;
		}
		out->perms &= stage2_perms(s2->format, e);
		if (stage2_is_leaf(e, level))
			break;
		table = stage2_entry_table(e);
	}
	if (access & ~out->perms) {
		out->result = STAGE2_PERMISSION;
		return;
	}
	u64 offset = a.v & (hw_level_size(level) - 1);

	out->hpa = hpa((out->entry & STAGE2_ADDR_MASK & ~(hw_level_size(level) - 1)) | offset);
	out->result = STAGE2_OK;
}
