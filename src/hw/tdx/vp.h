// SPDX-License-Identifier: Apache-2.0
/* vp: a vCPU's state and the processor that holds it. All by whoever has the TDVPR locked. */
#pragma once

#include "hw/cpu/fpu.h"
#include "hw/cpu/sys.h"
#include "hw/tdx/module.h"

/* The processor becomes the vCPU's. False: it, or the vCPU, is another's. */
bool vp_take_processor(struct tdx_vp *vp, struct hw_cpu *lp);
void vp_leave_processor(struct tdx_vp *vp);
struct hw_ctl *vp_ctl(struct tdx_vp *vp);
