/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting memory (TDX ABI TDG.MEM.PAGE.ACCEPT). */
#include "runtime.h"

#define PAGE_4K 4096ull
#define PAGE_2M (PAGE_4K << 9)
#define STATUS(code) ((code) >> 32)

enum { OPERAND_BUSY = 0x80000200u, PAGE_ALREADY_ACCEPTED = 0x00000b0au, PAGE_SIZE_MISMATCH = 0xc0000b0bu };

static uint32_t accept_page(uint64_t gpa, unsigned int level)
{
	uint32_t status;

	do {
		struct tdcall r = { .rcx = gpa | level };

		status = (uint32_t)STATUS(tdcall(TDG_MEM_PAGE_ACCEPT, &r));
	} while (status == OPERAND_BUSY);
	return status;
}

enum tdx_result tdx_accept(uint64_t start, uint64_t size)
{
	uint64_t end = start + size;
	bool before = false;

	if (((start | size) & (PAGE_4K - 1)) || end < start || end > tdx_shared_bit())
		return TDX_BAD_RANGE;
	while (start < end) {
		bool large = !(start & (PAGE_2M - 1)) && end - start >= PAGE_2M;
		uint32_t status = large ? accept_page(start, 1) : PAGE_SIZE_MISMATCH;
		uint64_t done = PAGE_2M;

		/* The host has mapped it in small pages, or it is one. */
		if (status == PAGE_SIZE_MISMATCH) {
			status = accept_page(start, 0);
			done = PAGE_4K;
		}
		if (status == PAGE_ALREADY_ACCEPTED)
			before = true;
		else if (status)
			return TDX_REFUSED;
		start += done;
	}
	return before ? TDX_ACCEPTED_BEFORE : TDX_OK;
}
