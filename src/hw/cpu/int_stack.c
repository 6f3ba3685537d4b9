// SPDX-License-Identifier: Apache-2.0
/*
 * int_stack: PUSH, POP and their all-registers and flags forms, ENTER, LEAVE.
 */
#include "hw/cpu/int.h"

#define CR4_VME (1u << 0)

void int_set_sp(struct hw_cpu *c, u64 sp)
{
	gpr_set(c, HW_RSP, int_stack_size(c), sp);
}

/* PUSH rSP pushes the old value; a selector is zero-extended (SDM 2 PUSH). */
static int push(struct hw_cpu *c, const struct insn *i)
{
	u64 value;
	int err;

	if (i->op[0].kind == OPND_SREG) {
		value = c->arch.seg[i->op[0].reg].selector;
	} else {
		err = int_source(c, i, 0, i->opsize, &value);
		if (err)
			return err;
	}
	return cpu_push(c, value, i->opsize);
}

static int pop_sreg(struct hw_cpu *c, const struct insn *i, u64 selector)
{
	unsigned int sreg = i->op[0].reg;
	int err = cpu_load_sreg(c, sreg, (u16)selector);

	if (err)
		return err;
	if (sreg == HW_SS)
		c->arch.interruptibility |= HW_BLOCK_MOV_SS;
	cpu_update_mode(c);
	return EXEC_END;
}

/* SDM 2 POP: a destination that uses rSP is addressed with its value after the pop; POP rSP gets the popped value. */
static int pop(struct hw_cpu *c, const struct insn *i)
{
	u64 rsp = c->arch.gpr[HW_RSP], value;
	int err = cpu_pop(c, &value, i->opsize);

	if (err)
		return err;
	err = i->op[0].kind == OPND_SREG ? pop_sreg(c, i, value) : insn_write(c, i, 0, value);
	if (err != EXEC_OK && err != EXEC_END)
		c->arch.gpr[HW_RSP] = rsp;
	return err;
}

static int stack_linear(struct hw_cpu *c, u64 sp, unsigned int size, unsigned int acc, u64 *lin)
{
	return cpu_linear(c, HW_SS, sp & size_mask(int_stack_size(c)), size, acc, lin);
}

static int pusha(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->opsize, n;
	u64 sp = c->arch.gpr[HW_RSP], lin[8];
	int err = EXEC_OK;

	for (n = 0; n < 8 && !err; n++) {
		err = stack_linear(c, sp - (n + 1) * size, size, ACC_WRITE, &lin[n]);
		if (!err)
			err = cpu_probe_write(c, lin[n], size);
	}
	for (n = 0; n < 8 && !err; n++)
		err = cpu_write(c, lin[n], &c->arch.gpr[n], size);
	if (!err)
		int_set_sp(c, sp - 8 * size);
	return err;
}

static int popa(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->opsize, n;
	u64 sp = c->arch.gpr[HW_RSP], value[8] = {0}, lin;
	int err = EXEC_OK;

	for (n = 0; n < 8 && !err; n++) {
		err = stack_linear(c, sp + n * size, size, ACC_READ, &lin);
		if (!err)
			err = cpu_read(c, lin, &value[n], size);
	}
	if (err)
		return err;
	for (n = 0; n < 8; n++) {
		if (7 - n != HW_RSP)
			gpr_set(c, 7 - n, size, value[n]);
	}
	int_set_sp(c, sp + 8 * size);
	return EXEC_OK;
}

static unsigned int iopl(const struct hw_cpu *c)
{
	return c->arch.rflags >> 12 & 3;
}

/* Virtual-8086 mode with IOPL < 3: only the 16-bit forms work, on VIF, if CR4.VME is set (SDM 3B 20.3). */
static bool vm86_restricted(const struct hw_cpu *c)
{
	return c->mode & MODE_VM86 && iopl(c) < 3;
}

static bool vme_applies(const struct hw_cpu *c, const struct insn *i)
{
	return c->arch.cr4 & CR4_VME && i->opsize == 2;
}

static int pushf(struct hw_cpu *c, const struct insn *i)
{
	u64 flags = cpu_get_rflags(c) & ~(u64)(FLAG_VM | FLAG_RF);

	if (vm86_restricted(c)) {
		if (!vme_applies(c, i))
			return cpu_gp(c, 0);
		flags = (flags & ~(u64)FLAG_IF) | FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0);
	}
	return cpu_push(c, flags, i->opsize);
}

/* Bits that POPF may change, SDM 2 POPF/POPFD/POPFQ. */
static u64 popf_mask(const struct hw_cpu *c, const struct insn *i)
{
	u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID;

	if (c->mode & MODE_VM86)
		mask |= FLAG_IF;
	else if (c->cpl == 0)
		mask |= FLAG_IF | FLAG_IOPL;
	else if (c->cpl <= iopl(c))
		mask |= FLAG_IF;
	return i->opsize == 2 ? mask & 0xffff : mask;
}

static int popf_vme(struct hw_cpu *c, u64 value)
{
	u64 mask = popf_mask(c, &(struct insn){.opsize = 2}) & ~(u64)FLAG_IF;

	if (value & FLAG_TF || (value & FLAG_IF && c->arch.rflags & FLAG_VIP))
		return cpu_gp(c, 0);
	value = (value & 0xffff) | (value & FLAG_IF ? FLAG_VIF : 0);
	return cpu_set_rflags(c, value, mask | FLAG_VIF);
}

static int popf(struct hw_cpu *c, const struct insn *i)
{
	u64 rsp = c->arch.gpr[HW_RSP], value;
	int result;

	if (vm86_restricted(c) && !vme_applies(c, i))
		return cpu_gp(c, 0);
	result = cpu_pop(c, &value, i->opsize);
	if (result)
		return result;
	if (vm86_restricted(c))
		result = popf_vme(c, value);
	else
		result = cpu_set_rflags(c, value & ~(u64)FLAG_RF, popf_mask(c, i));
	if (result != EXEC_OK && result != EXEC_END)
		c->arch.gpr[HW_RSP] = rsp;
	return result;
}

/* The display of a nested procedure: frame pointers of the enclosing ones, then our own (SDM 2 ENTER). */
static int push_display(struct hw_cpu *c, unsigned int level, unsigned int size, u64 frame)
{
	unsigned int n;
	int err = EXEC_OK;

	for (n = 1; n < level && !err; n++) {
		u64 lin, value = 0;

		err = stack_linear(c, c->arch.gpr[HW_RBP] - n * size, size, ACC_READ, &lin);
		if (!err)
			err = cpu_read(c, lin, &value, size);
		if (!err)
			err = cpu_push(c, value, size);
	}
	return err ? err : cpu_push(c, frame, size);
}

static int enter(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->opsize, level = i->imm2 & 31;
	u64 rsp = c->arch.gpr[HW_RSP], frame, lin, sp;
	int err = cpu_push(c, gpr_get(c, HW_RBP, size), size);

	if (err)
		return err;
	frame = c->arch.gpr[HW_RSP];
	if (level)
		err = push_display(c, level, size, frame);
	sp = c->arch.gpr[HW_RSP] - (u16)i->imm;
	/* The new top of the stack must be writable, though nothing is written there. */
	if (!err)
		err = stack_linear(c, sp, size, ACC_WRITE, &lin);
	if (!err)
		err = cpu_probe_write(c, lin, size);
	if (err) {
		c->arch.gpr[HW_RSP] = rsp;
		return err;
	}
	gpr_set(c, HW_RBP, size, frame);
	int_set_sp(c, sp);
	return EXEC_OK;
}

static int leave(struct hw_cpu *c, const struct insn *i)
{
	u64 rsp = c->arch.gpr[HW_RSP], value;
	int err;

	int_set_sp(c, c->arch.gpr[HW_RBP]);
	err = cpu_pop(c, &value, i->opsize);
	if (err)
		c->arch.gpr[HW_RSP] = rsp;
	else
		gpr_set(c, HW_RBP, i->opsize, value);
	return err;
}

#define ROW(name, fl, func)                                                                                            \
	{                                                                                                              \
		.mnemonic = ZYDIS_MNEMONIC_##name, .feature = FEAT_ALWAYS, .flags = fl, .fn = func                     \
	}

static const struct insn_desc descs[] = {
	ROW(PUSH, 0, push),	      ROW(POP, 0, pop),
	ROW(PUSHA, INSN_NO64, pusha), ROW(PUSHAD, INSN_NO64, pusha),
	ROW(POPA, INSN_NO64, popa),   ROW(POPAD, INSN_NO64, popa),
	ROW(PUSHF, 0, pushf),	      ROW(PUSHFD, 0, pushf),
	ROW(PUSHFQ, 0, pushf),	      ROW(POPF, 0, popf),
	ROW(POPFD, 0, popf),	      ROW(POPFQ, 0, popf),
	ROW(ENTER, 0, enter),	      ROW(LEAVE, 0, leave),
};

const struct insn_table stack_insns = {descs, sizeof(descs) / sizeof(descs[0])};
