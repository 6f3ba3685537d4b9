/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the runtime. */
#pragma once

#include "mmio_insn.h"
#include "ve_runtime.h"

/* TDX ABI: guest-side interface function leaf numbers */
enum { TDG_VP_VMCALL = 0, TDG_VP_INFO = 1, TDG_VP_VEINFO_GET = 3, TDG_MEM_PAGE_ACCEPT = 6 };

/* TDG.VP.VEINFO.GET */
struct ve_info {
	uint64_t exit_reason, qualification, gla, gpa;
	uint32_t insn_length;
};

/* What became of one #VE. Why it could not be handled is a string. */
typedef const char *ve_result;
#define VE_DONE ((ve_result)0)

/* mmio.c: walks the tables (SDM 3A 4.5): is the page there, and private on every step? */
bool ve_is_private(uint64_t va, const struct ve_host *host);
/* An EPT violation in shared memory. */
ve_result ve_mmio(struct ve_frame *frame, const struct ve_info *ve, const struct ve_host *host);
