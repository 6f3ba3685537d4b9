/* SPDX-License-Identifier: Apache-2.0 */
/* TDG.VP.VMCALL sub-functions (GHCI for TDX), and what this TD is. */
#include "runtime.h"

enum {
	VMCALL_CPUID = 10, VMCALL_HLT = 12, VMCALL_IO = 30, VMCALL_RDMSR = 31, VMCALL_WRMSR = 32, VMCALL_MMIO = 48,
	VMCALL_MAP_GPA = 0x10001,
};
#define VMCALL_MASK  0xfc00u /* R10 to R15 are the host's to see and to change */
#define VMCALL_RETRY 1u
#define MAP_GPA_RETRIES 3u /* without progress */

_Noreturn void tdx_fatal_call(uint64_t code, const uint64_t message[8]);

uint64_t tdvmcall(uint64_t function, struct tdcall *regs)
{
	regs->rcx = VMCALL_MASK;
	regs->r10 = 0;
	regs->r11 = function;
	if (tdcall(TDG_VP_VMCALL, regs))
		for (;;)
			asm volatile("cli; hlt");
	return regs->r10;
}

bool tdx_mmio_read(uint64_t gpa, unsigned int size, uint64_t *value)
{
	struct tdcall r = { .r12 = size, .r13 = 0, .r14 = gpa | tdx_shared_bit() };

	if (tdvmcall(VMCALL_MMIO, &r))
		return false;
	*value = size == 8 ? r.r11 : r.r11 & ((1ull << 8 * size) - 1);
	return true;
}

bool tdx_mmio_write(uint64_t gpa, unsigned int size, uint64_t value)
{
	struct tdcall r = { .r12 = size, .r13 = 1, .r14 = gpa | tdx_shared_bit(), .r15 = value };

	return !tdvmcall(VMCALL_MMIO, &r);
}

bool tdx_port_in(uint16_t port, unsigned int size, uint32_t *value)
{
	struct tdcall r = { .r12 = size, .r13 = 0, .r14 = port };

	if (tdvmcall(VMCALL_IO, &r))
		return false;
	*value = (uint32_t)r.r11 & (uint32_t)((1ull << 8 * size) - 1);
	return true;
}

bool tdx_port_out(uint16_t port, unsigned int size, uint32_t value)
{
	struct tdcall r = { .r12 = size, .r13 = 1, .r14 = port, .r15 = value };

	return !tdvmcall(VMCALL_IO, &r);
}

bool tdx_rdmsr(uint32_t msr, uint64_t *value)
{
	struct tdcall r = { .r12 = msr };

	if (tdvmcall(VMCALL_RDMSR, &r))
		return false;
	*value = r.r11;
	return true;
}

bool tdx_wrmsr(uint32_t msr, uint64_t value)
{
	struct tdcall r = { .r12 = msr, .r13 = value };

	return !tdvmcall(VMCALL_WRMSR, &r);
}

void tdx_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	struct tdcall r = { .r12 = leaf, .r13 = subleaf };

	if (tdvmcall(VMCALL_CPUID, &r))
		r = (struct tdcall){};
	out[0] = (uint32_t)r.r12;
	out[1] = (uint32_t)r.r13;
	out[2] = (uint32_t)r.r14;
	out[3] = (uint32_t)r.r15;
}

void tdx_halt(bool interrupts_blocked)
{
	struct tdcall r = { .r12 = interrupts_blocked };

	tdvmcall(VMCALL_HLT, &r);
}

void tdx_fatal_error(uint64_t code, const char *message)
{
	uint64_t text[8] = {};

	for (unsigned int i = 0; i < sizeof(text) && message[i]; i++)
		text[i / 8] |= (uint64_t)(uint8_t)message[i] << 8 * (i % 8);
	tdx_fatal_call(code, text);
}

/* The host may stop half-way, and say where; the same place again and again is no progress. */
enum tdx_result tdx_map_gpa(uint64_t start, uint64_t size, bool shared)
{
	uint64_t bit = tdx_shared_bit(), mark = shared ? bit : 0, end = start + size;
	unsigned int retries = 0;

	if (!size || ((start | size) & 4095) || end < start || end > bit)
		return TDX_BAD_RANGE;
	for (;;) {
		struct tdcall r = { .r12 = start | mark, .r13 = end - start };
		uint64_t result = tdvmcall(VMCALL_MAP_GPA, &r), next;

		if (!result)
			return TDX_OK;
		next = r.r11 - mark;
		if (result != VMCALL_RETRY || next < start || next >= end)
			return TDX_REFUSED;
		retries = next == start ? retries + 1 : 0;
		if (retries > MAP_GPA_RETRIES)
			return TDX_REFUSED;
		start = next;
	}
}
