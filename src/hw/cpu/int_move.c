// SPDX-License-Identifier: Apache-2.0
/*
 * int_move: moves, conversions, conditions, and the instructions that touch single flags or nothing at all.
 */
#include "hw/cpu/int.h"

static int mov_to_sreg(struct hw_cpu *c, const struct insn *i)
{
	unsigned int sreg = i->op[0].reg;
	u64 selector;
	int err;

	if (sreg == HW_CS)
		return cpu_ud(c);
	err = insn_read(c, i, 1, &selector);
	if (!err)
		err = cpu_load_sreg(c, sreg, (u16)selector);
	if (err)
		return err;
	if (sreg == HW_SS)
		c->arch.interruptibility |= HW_BLOCK_MOV_SS;
	cpu_update_mode(c);
	return EXEC_END;
}

int int_mov(struct hw_cpu *c, const struct insn *i)
{
	unsigned int to = i->op[0].kind, from = i->op[1].kind;
	u64 value;
	int err;

	if (to == OPND_CR || to == OPND_DR || from == OPND_CR || from == OPND_DR)
		return sys_mov_cr_dr(c, i);
	if (to == OPND_SREG)
		return mov_to_sreg(c, i);
	if (from == OPND_SREG) {
		value = c->arch.seg[i->op[1].reg].selector;
	} else {
		err = int_source(c, i, 1, i->op[0].size, &value);
		if (err)
			return err;
	}
	return insn_write(c, i, 0, value);
}

int int_movzx(struct hw_cpu *c, const struct insn *i)
{
	u64 value;
	int err = insn_read(c, i, 1, &value);

	return err ? err : insn_write(c, i, 0, value);
}

int int_movsx(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size;
	u64 value;
	int err = insn_read(c, i, 1, &value);

	return err ? err : insn_write(c, i, 0, sign_extend(value, i->op[1].size) & size_mask(size));
}

int int_lea(struct hw_cpu *c, const struct insn *i)
{
	if (i->op[1].kind != OPND_MEM)
		return cpu_ud(c);
	return insn_write(c, i, 0, insn_offset(c, i) & size_mask(i->op[0].size));
}

static u64 swap_bytes(u64 value, unsigned int size)
{
	return __builtin_bswap64(value) >> (64 - 8 * size);
}

int int_movbe(struct hw_cpu *c, const struct insn *i)
{
	u64 value;
	int err = insn_read(c, i, 1, &value);

	return err ? err : insn_write(c, i, 0, swap_bytes(value, i->op[0].size));
}

/* Of a 16-bit register the result is undefined (SDM 2 BSWAP); AMD and Intel processors clear it. */
int int_bswap(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size;
	u64 value;
	int err = insn_read(c, i, 0, &value);

	return err ? err : insn_write(c, i, 0, size == 2 ? 0 : swap_bytes(value, size));
}

int int_setcc(struct hw_cpu *c, const struct insn *i)
{
	return insn_write(c, i, 0, flags_condition(c->flags, i->opcode & 15));
}

/* The source is read, and the upper half of a 32-bit destination cleared, whatever the condition (SDM 2 CMOVcc). */
int int_cmovcc(struct hw_cpu *c, const struct insn *i)
{
	u64 value, old;
	int err = insn_read(c, i, 1, &value);

	if (!err)
		err = insn_read(c, i, 0, &old);
	if (err)
		return err;
	return insn_write(c, i, 0, flags_condition(c->flags, i->opcode & 15) ? value : old);
}

/* CBW, CWDE, CDQE */
int int_convert_accumulator(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->mnemonic == ZYDIS_MNEMONIC_CDQE ? 8 : i->mnemonic == ZYDIS_MNEMONIC_CWDE ? 4 : 2;

	gpr_set(c, HW_RAX, size, sign_extend(c->arch.gpr[HW_RAX], size / 2));
	return EXEC_OK;
}

/* CWD, CDQ, CQO */
int int_sign_to_dx(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->mnemonic == ZYDIS_MNEMONIC_CQO ? 8 : i->mnemonic == ZYDIS_MNEMONIC_CDQ ? 4 : 2;
	s64 value = (s64)sign_extend(c->arch.gpr[HW_RAX], size);

	gpr_set(c, HW_RDX, size, value < 0 ? ~0ull : 0);
	return EXEC_OK;
}

int int_xlat(struct hw_cpu *c, const struct insn *i)
{
	u64 off = c->arch.gpr[HW_RBX] + gpr_get(c, HW_RAX, 1), lin;
	u8 value;
	int err = cpu_linear(c, insn_implied_segment(c, i), off & size_mask(i->addrsize), 1, ACC_READ, &lin);

	if (!err)
		err = cpu_read(c, lin, &value, 1);
	if (err)
		return err;
	gpr_set(c, HW_RAX, 1, value);
	return EXEC_OK;
}

int int_lahf(struct hw_cpu *c, const struct insn *i)
{
	u64 flags = (cpu_get_rflags(c) & 0xd5) | 2;

	c->arch.gpr[HW_RAX] = (c->arch.gpr[HW_RAX] & ~0xff00ull) | flags << 8;
	return EXEC_OK;
}

/* Direct stores: caches are coherent here, so they are stores. */
int int_movdiri(struct hw_cpu *c, const struct insn *i)
{
	return insn_write(c, i, 0, gpr_get(c, i->op[1].reg, i->op[0].size));
}

/* SDM 2B MOVDIR64B: the destination is ES:reg, of the address size. */
int int_movdir64b(struct hw_cpu *c, const struct insn *i)
{
	u64 to, from;
	u8 line[64];
	int r = cpu_linear(c, HW_ES, gpr_get(c, i->op[0].reg, i->addrsize), sizeof(line), ACC_WRITE, &to);

	if (!r && to & (sizeof(line) - 1))
		r = cpu_gp(c, 0);
	if (!r)
		r = insn_mem(c, i, sizeof(line), ACC_READ, &from);
	if (!r)
		r = cpu_read(c, from, line, sizeof(line));
	return r ? r : cpu_write(c, to, line, sizeof(line));
}

int int_sahf(struct hw_cpu *c, const struct insn *i)
{
	u32 ah = c->arch.gpr[HW_RAX] >> 8 & 0xd5;

	cpu_set_arith_flags(c, (flags_to_eflags(c->flags) & FLAG_OF) | ah);
	return EXEC_OK;
}

/* CLC, STC, CMC */
int int_carry(struct hw_cpu *c, const struct insn *i)
{
	unsigned int cf = i->mnemonic == ZYDIS_MNEMONIC_CMC ? !flags_cf(c->flags) : i->mnemonic == ZYDIS_MNEMONIC_STC;

	c->flags = flags_with_cf(c->flags, cf);
	return EXEC_OK;
}

/* CLD, STD */
int int_direction(struct hw_cpu *c, const struct insn *i)
{
	if (i->mnemonic == ZYDIS_MNEMONIC_STD)
		c->arch.rflags |= FLAG_DF;
	else
		c->arch.rflags &= ~(u64)FLAG_DF;
	return EXEC_OK;
}

int int_nop(struct hw_cpu *c, const struct insn *i)
{
	return EXEC_OK;
}

/* Loads and stores are the host's own, and so is their order; MFENCE orders stores before later loads. */
int int_fence(struct hw_cpu *c, const struct insn *i)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return EXEC_OK;
}

int int_undefined(struct hw_cpu *c, const struct insn *i)
{
	return cpu_ud(c);
}
