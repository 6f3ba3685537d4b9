// SPDX-License-Identifier: Apache-2.0
/* operand: operands of instructions that have no handler of their own. */
#include "hw/cpu/flags.h"
#include "hw/cpu/insn.h"

int insn_mem(struct hw_cpu *c, const struct insn *i, unsigned int size, unsigned int acc, u64 *lin)
{
	return cpu_linear(c, i->sreg, insn_offset(c, i), size, acc, lin);
}

static u64 register_value(const struct hw_cpu *c, const struct operand *op)
{
	return op->high8 ? (u8)(c->arch.gpr[op->reg] >> 8) : gpr_get(c, op->reg, op->size);
}

static int read_operand(struct hw_cpu *c, const struct insn *i, unsigned int n, unsigned int acc, u64 *value)
{
	const struct operand *op = &i->op[n];
	u64 lin;
	int r;

	*value = 0;
	switch (op->kind) {
	case OPND_GPR:
		*value = register_value(c, op);
		return EXEC_OK;
	case OPND_IMM:
		*value = (u64)i->imm & size_mask(op->size ? op->size : 8);
		return EXEC_OK;
	case OPND_SREG:
		*value = c->arch.seg[op->reg].selector;
		return EXEC_OK;
	case OPND_MEM:
		r = insn_mem(c, i, op->size, acc & ACC_RMW ? ACC_WRITE : ACC_READ, &lin);
		return r ? r : cpu_read_acc(c, lin, value, op->size, acc);
	default:
		return cpu_ud(c);
	}
}

int insn_read(struct hw_cpu *c, const struct insn *i, unsigned int n, u64 *value)
{
	return read_operand(c, i, n, ACC_READ, value);
}

int insn_read_rmw(struct hw_cpu *c, const struct insn *i, unsigned int n, u64 *value)
{
	return read_operand(c, i, n, ACC_READ | ACC_RMW, value);
}

int insn_write(struct hw_cpu *c, const struct insn *i, unsigned int n, u64 value)
{
	const struct operand *op = &i->op[n];
	u64 lin;
	int r;

	if (op->kind == OPND_GPR) {
		if (op->high8)
			c->arch.gpr[op->reg] = (c->arch.gpr[op->reg] & ~0xff00ull) | (u64)(u8)value << 8;
		else
			gpr_set(c, op->reg, op->size, value);
		return EXEC_OK;
	}
	if (op->kind != OPND_MEM)
		return cpu_ud(c);
	r = insn_mem(c, i, op->size, ACC_WRITE, &lin);
	return r ? r : cpu_write(c, lin, &value, op->size);
}

/* The last segment override counts; in 64-bit mode those of ES, CS, SS and DS are ignored (SDM 1 3.3.7.1). */
unsigned int insn_implied_segment(const struct hw_cpu *c, const struct insn *i)
{
	unsigned int sreg = HW_DS, n;

	for (n = 0; n < i->len; n++) {
		switch (i->bytes[n]) {
		case 0x26:
			sreg = cpu_cs64(c) ? sreg : HW_ES;
			break;
		case 0x2e:
			sreg = cpu_cs64(c) ? sreg : HW_CS;
			break;
		case 0x36:
			sreg = cpu_cs64(c) ? sreg : HW_SS;
			break;
		case 0x3e:
			sreg = cpu_cs64(c) ? sreg : HW_DS;
			break;
		case 0x64:
			sreg = HW_FS;
			break;
		case 0x65:
			sreg = HW_GS;
			break;
		case 0x66:
		case 0x67:
		case 0xf0:
		case 0xf2:
		case 0xf3:
			break;
		default:
			return sreg;
		}
	}
	return sreg;
}
