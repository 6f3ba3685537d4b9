// SPDX-License-Identifier: Apache-2.0
/* tdcall: guest leaves, between the files that implement them. */
#pragma once

#include "hw/tdx/vp.h"

/* What a leaf comes to. TDCALL_DONE: RAX is the status and RIP moves on; the others: `next` of the call says what, RIP stays. */
enum tdcall_result { TDCALL_DONE, TDCALL_OTHER };

struct tdcall {
	struct vp_run *run;
	u64 *gpr; /* the guest's */
	u64 status;
	enum vp_next next;
};

typedef enum tdcall_result (*tdcall_fn)(struct tdcall *t);

static inline enum tdcall_result tdcall_done(struct tdcall *t, u64 status)
{
	t->status = status;
	return TDCALL_DONE;
}
static inline enum tdcall_result tdcall_other(struct tdcall *t, enum vp_next next)
{
	t->next = next;
	return TDCALL_OTHER;
}

enum tdcall_result tdg_mem_page_accept(struct tdcall *t);
enum tdcall_result tdg_mr_report(struct tdcall *t);
enum tdcall_result tdg_mr_rtmr_extend(struct tdcall *t);

/*
 * Memory that a leaf names by its guest-physical address (TDX ABI, guest-side memory operands). `size` bytes within one page.
 * TDCALL_DONE with t->status TDX_SUCCESS: copied.
 */
struct tdcall_operand {
	u64 gpa; /* with the shared bit */
	u32 size;
	u32 reg; /* for TDX_OPERAND_INVALID */
	bool write, private_only;
};
enum tdcall_result tdcall_copy(struct tdcall *t, const struct tdcall_operand *o, void *buf);
