// SPDX-License-Identifier: Apache-2.0
/*
 * Loads and stores of FXSAVE, XSAVE and FNSAVE images, in pieces that cpu_read() and cpu_write() take.
 */
#include "hw/cpu/fpu.h"

#define PIECE 64u

int fx_read(struct hw_cpu *c, u64 lin, void *dst, unsigned int size)
{
	int err = EXEC_OK;

	for (unsigned int done = 0; !err && done < size; done += PIECE)
		err = cpu_read(c, lin + done, (u8 *)dst + done, size - done < PIECE ? size - done : PIECE);
	return err;
}

int fx_probe_write(struct hw_cpu *c, u64 lin, unsigned int size)
{
	int err = EXEC_OK;

	for (unsigned int done = 0, n; !err && done < size; done += n) {
		u64 to_page_end = HW_PAGE_SIZE - ((lin + done) & (HW_PAGE_SIZE - 1));

		n = to_page_end < size - done ? (unsigned int)to_page_end : size - done;
		err = cpu_probe_write(c, lin + done, n);
	}
	return err;
}

int fx_write(struct hw_cpu *c, u64 lin, const void *src, unsigned int size)
{
	int err = fx_probe_write(c, lin, size);

	for (unsigned int done = 0; !err && done < size; done += PIECE)
		err = cpu_write(c, lin + done, (const u8 *)src + done, size - done < PIECE ? size - done : PIECE);
	return err;
}
