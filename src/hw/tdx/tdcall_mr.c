// SPDX-License-Identifier: Apache-2.0
/* tdcall_mr: TDG.MR.REPORT and TDG.MR.RTMR.EXTEND. */
#include "hw/tdx/tdcall.h"

enum tdcall_result tdg_mr_rtmr_extend(struct tdcall *t)
{
	const struct tdcall_operand o = {
		.gpa = t->gpr[HW_RCX],
		.size = TDX_MR_SIZE,
		.reg = TDX_OP_RCX,
		.private_only = true,
	};
	struct tdx_td *td = t->run->td;
	u64 index = t->gpr[HW_RDX];
	struct tdx_digest data;
	int r;

	if (o.gpa & 63)
		return tdcall_done(t, TDX_OPERAND_INVALID | TDX_OP_RCX);
	if (tdcall_copy(t, &o, &data) == TDCALL_OTHER)
		return TDCALL_OTHER;
	if (t->status)
		return TDCALL_DONE;
	if (index >= TDX_RTMR_COUNT)
		return tdcall_done(t, TDX_OPERAND_INVALID | TDX_OP_RDX);
	pthread_mutex_lock(&td->mr_lock);
	r = tdx_rtmr_extend(&td->rtmr[index], &data);
	pthread_mutex_unlock(&td->mr_lock);
	return tdcall_done(t, r ? TDX_OPERAND_BUSY | TDX_OP_RTMR : TDX_SUCCESS);
}

static int build_report(struct tdx_td *td, struct tdx_report *report, const u8 *data)
{
	struct tdx_td_info info = {
		.attributes = td->attributes,
		.xfam = td->xfam,
		.mrtd = td->mrtd,
		.mrconfigid = td->mrconfigid,
		.mrowner = td->mrowner,
		.mrownerconfig = td->mrownerconfig,
	};

	pthread_mutex_lock(&td->mr_lock);
	for (unsigned int n = 0; n < TDX_RTMR_COUNT; n++)
		info.rtmr[n] = td->rtmr[n];
	pthread_mutex_unlock(&td->mr_lock);
	return tdx_report_build(report, &info, data);
}

enum tdcall_result tdg_mr_report(struct tdcall *t)
{
	const struct tdcall_operand out = {
		.gpa = t->gpr[HW_RCX], .size = sizeof(struct tdx_report), .reg = TDX_OP_RCX, .write = true};
	const struct tdcall_operand in = {.gpa = t->gpr[HW_RDX], .size = TDX_REPORTDATA_SIZE, .reg = TDX_OP_RDX};
	u8 data[TDX_REPORTDATA_SIZE];
	struct tdx_report report;

	if (out.gpa & (sizeof(report) - 1))
		return tdcall_done(t, TDX_OPERAND_INVALID | TDX_OP_RCX);
	if (in.gpa & (TDX_REPORTDATA_SIZE - 1))
		return tdcall_done(t, TDX_OPERAND_INVALID | TDX_OP_RDX);
	if (tdcall_copy(t, &in, data) == TDCALL_OTHER)
		return TDCALL_OTHER;
	if (t->status)
		return TDCALL_DONE;
	if (t->gpr[HW_R8])
		return tdcall_done(t, TDX_OPERAND_INVALID | TDX_OP_R8);
	if (build_report(t->run->td, &report, data))
		return tdcall_done(t, TDX_OPERAND_BUSY | TDX_OP_RTMR);
	return tdcall_copy(t, &out, &report);
}
