/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MMIO: the kernel's own MOV to or from shared memory, done by TDVMCALL. Only code that the host cannot change is believed: the
 * instruction must lie in private memory. A guest's user mode has no business with devices, and is never emulated.
 */
#include "runtime.h"

#define PAGE_SIZE    4096u
#define PTE_PRESENT  1ull
#define PTE_LARGE    (1ull << 7)
#define PTE_ADDRESS  0x000ffffffffff000ull
#define CR4_LA57     (1ull << 12)

static uint64_t read_cr3(void) { uint64_t v; asm volatile("mov %%cr3, %0" : "=r"(v)); return v; }
static uint64_t read_cr4(void) { uint64_t v; asm volatile("mov %%cr4, %0" : "=r"(v)); return v; }

bool ve_is_private(uint64_t va, const struct ve_host *host)
{
	uint64_t table = read_cr3() & PTE_ADDRESS, shared = tdx_shared_bit();

	for (unsigned int shift = read_cr4() & CR4_LA57 ? 48 : 39;; shift -= 9) {
		uint64_t entry;

		if (table & shared)
			return false;
		entry = *(volatile uint64_t *)(table + host->phys_offset + 8 * (va >> shift & 511));
		if (!(entry & PTE_PRESENT) || (entry & shared))
			return false;
		if (shift == 12 || ((entry & PTE_LARGE) && shift <= 30))
			return true;
		table = entry & PTE_ADDRESS;
	}
}

/* The bytes at rip, up to the end of what is private; 0: none. */
static size_t fetch(uint64_t rip, uint8_t bytes[MMIO_INSN_MAX], const struct ve_host *host)
{
	size_t count = MMIO_INSN_MAX, in_page = PAGE_SIZE - (rip & (PAGE_SIZE - 1));

	if (!ve_is_private(rip, host))
		return 0;
	if (in_page < count && !ve_is_private(rip + in_page, host))
		count = in_page;
	for (size_t i = 0; i < count; i++)
		bytes[i] = *(volatile uint8_t *)(rip + i);
	return count;
}

static uint64_t register_value(const struct ve_frame *frame, const struct mmio_insn *insn)
{
	return frame->gpr[insn->reg] >> (insn->high_byte ? 8 : 0);
}

/* SDM 1 3.4.1.1: a result of 4 bytes clears the upper half, a smaller one leaves the rest of the register alone. */
static void set_register(struct ve_frame *frame, const struct mmio_insn *insn, uint64_t value)
{
	uint64_t *reg = &frame->gpr[insn->reg];
	unsigned int from = 64 - 8 * insn->size, shift = insn->high_byte ? 8 : 0;
	uint64_t mask;

	if (insn->sign)
		value = (uint64_t)((int64_t)(value << from) >> from);
	if (insn->reg_size == 8) {
		*reg = value;
	} else if (insn->reg_size == 4) {
		*reg = (uint32_t)value;
	} else {
		mask = ((1ull << 8 * insn->reg_size) - 1) << shift;
		*reg = (*reg & ~mask) | (value << shift & mask);
	}
}

ve_result ve_mmio(struct ve_frame *frame, const struct ve_info *ve, const struct ve_host *host)
{
	uint8_t bytes[MMIO_INSN_MAX];
	struct mmio_insn insn;
	size_t count;
	uint64_t value;

	if (frame->cs & 3)
		return "MMIO by user mode is not emulated";
	count = fetch(frame->rip, bytes, host);
	if (!count)
		return "the instruction is not in private memory";
	switch (mmio_insn_decode(bytes, count, &insn)) {
	case MMIO_INSN_OK:
		break;
	case MMIO_INSN_STRING:
		return "MMIO by a string instruction";
	case MMIO_INSN_TRUNCATED:
		return "the instruction goes on in memory that is not private";
	default:
		return "MMIO by something other than MOV";
	}
	if ((ve->gla & (PAGE_SIZE - 1)) + insn.size > PAGE_SIZE)
		return "MMIO across a page boundary";
	if (insn.write) {
		value = insn.immediate ? insn.value : register_value(frame, &insn);
		if (!tdx_mmio_write(ve->gpa, insn.size, insn.size == 8 ? value : value & ((1ull << 8 * insn.size) - 1)))
			return "the host refused the MMIO";
	} else {
		if (!tdx_mmio_read(ve->gpa, insn.size, &value))
			return "the host refused the MMIO";
		set_register(frame, &insn, value);
	}
	frame->rip += insn.length;
	return VE_DONE;
}
