// SPDX-License-Identifier: Apache-2.0
/*
 * What the SIMD functions call, for test_simd.c: linear addresses are the test's own memory, faults are recorded.
 */
#include <string.h>

#include "hw/cpu/insn.h"

int insn_mem(struct hw_cpu *c, const struct insn *i, unsigned int size, unsigned int acc, u64 *lin)
{
	*lin = insn_offset(c, i);
	return EXEC_OK;
}

unsigned int insn_implied_segment(const struct hw_cpu *c, const struct insn *i)
{
	return HW_DS; /* cpu_linear() below has no segments */
}

int cpu_read(struct hw_cpu *c, u64 lin, void *dst, unsigned int size)
{
	memcpy(dst, (void *)lin, size);
	return EXEC_OK;
}

int cpu_write(struct hw_cpu *c, u64 lin, const void *src, unsigned int size)
{
	memcpy((void *)lin, src, size);
	return EXEC_OK;
}

int cpu_probe_write(struct hw_cpu *c, u64 lin, unsigned int size)
{
	return EXEC_OK;
}

int cpu_linear(struct hw_cpu *c, unsigned int sreg, u64 off, unsigned int size, unsigned int acc, u64 *lin)
{
	*lin = off;
	return EXEC_OK;
}

int cpu_raise(struct hw_cpu *c, u8 vector)
{
	c->fault.vector = vector;
	return EXEC_FAULT;
}

int cpu_raise_error(struct hw_cpu *c, u8 vector, u32 error)
{
	return cpu_raise(c, vector);
}

int cpu_read_acc(struct hw_cpu *c, u64 lin, void *dst, unsigned int size, unsigned int acc)
{
	return cpu_read(c, lin, dst, size);
}

const struct hw_machine_config *hw_machine_config(const struct hw_machine *m)
{
	static const struct hw_machine_config config = {.platform = HW_PLATFORM_INTEL};

	return &config;
}
