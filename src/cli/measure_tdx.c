// SPDX-License-Identifier: Apache-2.0
#include "cli/measure_tdx.h"

#include <inttypes.h>
#include <string.h>

struct run {
	struct tdx_mr *mr;
	FILE *explain;
};

static void add(struct run *run, const struct launch_region *region, uint64_t offset)
{
	tdx_mr_page_add(run->mr, gpa(region->gpa + offset));
	if (run->explain)
		fprintf(run->explain, "TDH.MEM.PAGE.ADD  gpa 0x%012" PRIx64 "  size %u          %s +0x%" PRIx64 "\n", region->gpa + offset,
			LAUNCH_PAGE, region->cause, offset);
}

static void extend(struct run *run, const struct launch_region *region, uint64_t offset)
{
	u8 page[LAUNCH_PAGE] = { 0 };
	uint64_t rest = offset < region->data_size ? region->data_size - offset : 0;

	if (rest)
		memcpy(page, region->data + offset, rest < LAUNCH_PAGE ? rest : LAUNCH_PAGE);
	for (unsigned int at = 0; at < LAUNCH_PAGE; at += TDX_EXTEND_CHUNK)
		tdx_mr_extend(run->mr, gpa(region->gpa + offset + at), page + at);
	if (run->explain)
		fprintf(run->explain, "TDH.MR.EXTEND     gpa 0x%012" PRIx64 "  size %u x %u      %s +0x%" PRIx64 "\n", region->gpa + offset,
			LAUNCH_PAGE / TDX_EXTEND_CHUNK, TDX_EXTEND_CHUNK, region->cause, offset);
}

static void measure_region(struct run *run, const struct launch_region *region, enum mrtd_order order)
{
	for (uint64_t offset = 0; offset < region->size; offset += LAUNCH_PAGE) {
		add(run, region, offset);
		if (region->measured && order == MRTD_INTERLEAVED)
			extend(run, region, offset);
	}
	if (region->measured && order == MRTD_TWO_PASS)
		for (uint64_t offset = 0; offset < region->size; offset += LAUNCH_PAGE)
			extend(run, region, offset);
}

int measure_tdx(const struct launch_region *regions, unsigned int count, enum mrtd_order order, FILE *explain,
		struct tdx_digest *mrtd)
{
	struct run run = { .explain = explain };
	int err = tdx_mr_create(&run.mr);

	if (err)
		return err;
	for (unsigned int i = 0; i < count; i++)
		measure_region(&run, &regions[i], order);
	err = tdx_mr_finalize(run.mr, mrtd);
	if (!err && explain)
		fprintf(explain, "TDH.MR.FINALIZE\n");
	tdx_mr_destroy(run.mr);
	return err;
}
