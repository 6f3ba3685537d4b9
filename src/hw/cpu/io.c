// SPDX-License-Identifier: Apache-2.0
/*
 * io: IN, OUT, INS, OUTS (SDM 1 ch. 18). Each access leaves the processor; the restarted instruction finds its
 * result recorded. A repeated INS asks for several elements at once.
 */
#include <string.h>

#include "hw/cpu/sys.h"

static u64 tss_address(const struct hw_cpu *c, u32 offset)
{
	u64 lin = c->arch.seg[HW_TR].base + offset;

	return cpu_long_mode(c) ? lin : (u32)lin;
}

/* SDM 1 18.5.2: the I/O permission bitmap of the TSS. */
static int bitmap_allows(struct hw_cpu *c, u16 port, unsigned int size)
{
	const struct hw_segment *tr = &c->arch.seg[HW_TR];
	u16 base, bits;
	u32 offset;

	if (!(tr->attr & 8) || tr->limit < 103)
		return cpu_gp(c, 0);
	SYS_TRY(sys_read(c, tss_address(c, 102), &base, 2));
	offset = (u32)base + port / 8;
	if (offset + 1 > tr->limit)
		return cpu_gp(c, 0);
	SYS_TRY(sys_read(c, tss_address(c, offset), &bits, 2));
	if (bits >> (port % 8) & ((1u << size) - 1))
		return cpu_gp(c, 0);
	return EXEC_OK;
}

static int check_permission(struct hw_cpu *c, u16 port, unsigned int size)
{
	if (c->mode & MODE_VM86 || ((c->arch.cr0 & CR0_PE) && c->cpl > cpu_iopl(c)))
		return bitmap_allows(c, port, size);
	return EXEC_OK;
}

static u16 port_operand(const struct hw_cpu *c, const struct insn *i, unsigned int n)
{
	return i->op[n].kind == OPND_IMM ? (u8)i->imm : (u16)c->arch.gpr[HW_RDX];
}

/* SDM 3C Table 27-5, bit 6: the port is an immediate operand. */
static int exit_io(struct hw_cpu *c, const struct insn *i, unsigned int port_op, unsigned int size, u64 data)
{
	bool write = port_op == 0;
	int r = cpu_exit_io(c, port_operand(c, i, port_op), size, write, data, false, false, i->len);

	if (cpu_is_intel(c) && i->op[port_op].kind == OPND_IMM)
		c->exit.vmx.qualification |= 1u << 6;
	return r;
}

static int io_in(struct hw_cpu *c, const struct insn *i)
{
	u16 port = port_operand(c, i, 1);
	unsigned int size = i->op[0].size;
	u64 data;

	SYS_TRY(check_permission(c, port, size));
	if (!cpu_done_access(c, true, false, port, size, &data))
		return exit_io(c, i, 1, size, 0);
	gpr_set(c, HW_RAX, size, data);
	return EXEC_OK;
}

static int io_out(struct hw_cpu *c, const struct insn *i)
{
	u16 port = port_operand(c, i, 0);
	unsigned int size = i->op[1].size;

	SYS_TRY(check_permission(c, port, size));
	if (!cpu_done_access(c, true, true, port, size, NULL))
		return exit_io(c, i, 0, size, gpr_get(c, HW_RAX, size));
	return EXEC_OK;
}

/* ---------------------------------------------------------------- strings */

static unsigned int element_size(const struct insn *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_INSB:
	case ZYDIS_MNEMONIC_OUTSB:
		return 1;
	case ZYDIS_MNEMONIC_INSW:
	case ZYDIS_MNEMONIC_OUTSW:
		return 2;
	default:
		return 4;
	}
}

static bool repeated(const struct insn *i)
{
	return i->rep || i->repne;
}

static void advance(struct hw_cpu *c, const struct insn *i, unsigned int reg, unsigned int size)
{
	u64 step = c->arch.rflags & FLAG_DF ? -(u64)size : size;

	gpr_set(c, reg, i->addrsize, c->arch.gpr[reg] + step);
}

/* One element is complete: the index register has moved, now the count. */
static int element_done(struct hw_cpu *c, const struct insn *i)
{
	if (!repeated(i))
		return EXEC_OK;
	gpr_set(c, HW_RCX, i->addrsize, c->arch.gpr[HW_RCX] - 1);
	if (!gpr_get(c, HW_RCX, i->addrsize))
		return EXEC_OK;
	cpu_insn_done(c);
	return EXEC_AGAIN;
}

/*
 * How many elements of a repeated INS one exit may ask for: as many as end in this page, so that what they hit is known
 * to be writable. A trap comes after each.
 */
static unsigned int elements_ahead(const struct hw_cpu *c, const struct insn *i, u64 lin, unsigned int size)
{
	u64 left = (HW_PAGE_SIZE - (lin & ~HW_PAGE_MASK)) / size, count = gpr_get(c, HW_RCX, i->addrsize);

	if (!repeated(i) || c->arch.rflags & (FLAG_DF | FLAG_TF) || !left)
		return 1;
	left = left < HW_STRING_SIZE / size ? left : HW_STRING_SIZE / size;
	return count < left ? count : left;
}

static int exit_for_string(struct hw_cpu *c, const struct insn *i, u16 port, unsigned int size, unsigned int count)
{
	int r = cpu_exit_io(c, port, size, false, 0, true, repeated(i), i->len);

	c->exit.access.count = count;
	return r;
}

/* One element from the port to memory. */
static int ins_element(struct hw_cpu *c, const struct insn *i, u16 port, unsigned int size)
{
	u64 data = 0, lin;

	SYS_TRY(cpu_linear(c, HW_ES, gpr_get(c, HW_RDI, i->addrsize), size, ACC_WRITE, &lin));
	/* a port may have side effects: nothing may fail after it was read */
	SYS_TRY(cpu_probe_write(c, lin, size));
	if (!c->done_next && !cpu_done_access(c, true, false, port, size, &data))
		return exit_for_string(c, i, port, size, elements_ahead(c, i, lin, size));
	if (c->string_size)
		memcpy(&data, c->string + c->string_next, size);
	SYS_TRY(cpu_write(c, lin, &data, size));
	advance(c, i, HW_RDI, size);
	return EXEC_OK;
}

/* More elements were read than this one: only the record of the port's answer stays. */
static bool next_element(struct hw_cpu *c, unsigned int size)
{
	c->string_next += size;
	if (c->string_next >= c->string_size)
		return false;
	c->done_count = c->done_next = 1;
	return true;
}

static int io_ins(struct hw_cpu *c, const struct insn *i)
{
	u16 port = c->arch.gpr[HW_RDX];
	unsigned int size = element_size(i);
	int r;

	SYS_TRY(check_permission(c, port, size));
	if (repeated(i) && !gpr_get(c, HW_RCX, i->addrsize))
		return EXEC_OK;
	do {
		SYS_TRY(ins_element(c, i, port, size));
		if (!repeated(i))
			return EXEC_OK;
		gpr_set(c, HW_RCX, i->addrsize, c->arch.gpr[HW_RCX] - 1);
	} while (gpr_get(c, HW_RCX, i->addrsize) && next_element(c, size));
	r = gpr_get(c, HW_RCX, i->addrsize) ? EXEC_AGAIN : EXEC_OK;
	if (r == EXEC_AGAIN)
		cpu_insn_done(c);
	return r;
}

static int io_outs(struct hw_cpu *c, const struct insn *i)
{
	u16 port = c->arch.gpr[HW_RDX];
	unsigned int size = element_size(i);
	u64 data = 0, lin;

	SYS_TRY(check_permission(c, port, size));
	if (repeated(i) && !gpr_get(c, HW_RCX, i->addrsize))
		return EXEC_OK;
	SYS_TRY(cpu_linear(c, i->sreg, gpr_get(c, HW_RSI, i->addrsize), size, ACC_READ, &lin));
	SYS_TRY(cpu_read(c, lin, &data, size));
	if (!cpu_done_access(c, true, true, port, size, NULL))
		return cpu_exit_io(c, port, size, true, data, true, repeated(i), i->len);
	advance(c, i, HW_RSI, size);
	return element_done(c, i);
}

#define IO_DESC(m, function)                                                                                           \
	{                                                                                                              \
		.mnemonic = ZYDIS_MNEMONIC_##m, .feature = FEAT_ALWAYS, .flags = INSN_END, .fn = function              \
	}

static const struct insn_desc descs[] = {
	IO_DESC(IN, io_in),    IO_DESC(OUT, io_out),	IO_DESC(INSB, io_ins),	 IO_DESC(INSW, io_ins),
	IO_DESC(INSD, io_ins), IO_DESC(OUTSB, io_outs), IO_DESC(OUTSW, io_outs), IO_DESC(OUTSD, io_outs),
};

const struct insn_table io_insns = {.desc = descs, .count = sizeof(descs) / sizeof(descs[0])};
