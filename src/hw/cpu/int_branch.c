// SPDX-License-Identifier: Apache-2.0
/*
 * int_branch: near branches, loops and BOUND. Far ones are far_*.c's.
 */
#include "hw/cpu/int.h"

#define CR4_LA57 (1ull << 12)

/* SDM 2 Jcc, JMP, CALL, RET: the target is checked before anything is committed. */
static int check_target(struct hw_cpu *c, u64 target)
{
	if (cpu_cs64(c)) {
		unsigned int unused = c->arch.cr4 & CR4_LA57 ? 7 : 16;

		return (u64)((s64)(target << unused) >> unused) == target ? EXEC_OK : cpu_gp(c, 0);
	}
	return target <= c->arch.seg[HW_CS].limit ? EXEC_OK : cpu_gp(c, 0);
}

int int_branch(struct hw_cpu *c, const struct insn *i, u64 target)
{
	int err = check_target(c, target);

	if (err)
		return err;
	c->arch.rip = target;
	return EXEC_JUMP;
}

static u64 next_rip(const struct hw_cpu *c, const struct insn *i)
{
	return c->arch.rip + i->len;
}

static u64 relative_target(const struct hw_cpu *c, const struct insn *i)
{
	return (next_rip(c, i) + (u64)i->imm) & size_mask(i->opsize);
}

int int_jcc(struct hw_cpu *c, const struct insn *i)
{
	if (!flags_condition(c->flags, i->opcode & 15))
		return EXEC_OK;
	return int_branch(c, i, relative_target(c, i));
}

/* JCXZ, JECXZ, JRCXZ and LOOPcc use rCX at the address size. */
int int_jcxz(struct hw_cpu *c, const struct insn *i)
{
	if (gpr_get(c, HW_RCX, i->addrsize))
		return EXEC_OK;
	return int_branch(c, i, relative_target(c, i));
}

int int_loop(struct hw_cpu *c, const struct insn *i)
{
	u64 count = (c->arch.gpr[HW_RCX] - 1) & size_mask(i->addrsize);
	bool zf = c->flags.res == 0, taken = count != 0;
	int result = EXEC_OK;

	if (i->mnemonic == ZYDIS_MNEMONIC_LOOPE)
		taken = taken && zf;
	else if (i->mnemonic == ZYDIS_MNEMONIC_LOOPNE)
		taken = taken && !zf;
	if (taken)
		result = int_branch(c, i, relative_target(c, i));
	if (result == EXEC_OK || result == EXEC_JUMP)
		gpr_set(c, HW_RCX, i->addrsize, count);
	return result;
}

static bool is_far(const struct insn *i)
{
	switch (i->opcode) {
	case 0x9a:
	case 0xea:
	case 0xca:
	case 0xcb:
		return true;
	case 0xff:
		return (i->modrm >> 3 & 7) == 3 || (i->modrm >> 3 & 7) == 5;
	default:
		return false;
	}
}

static int near_target(struct hw_cpu *c, const struct insn *i, u64 *target)
{
	if (i->op[0].kind == OPND_IMM) {
		*target = relative_target(c, i);
		return EXEC_OK;
	}
	return insn_read(c, i, 0, target);
}

int int_jmp(struct hw_cpu *c, const struct insn *i)
{
	u64 target;
	int err;

	if (is_far(i))
		return far_jmp(c, i);
	err = near_target(c, i, &target);
	return err ? err : int_branch(c, i, target);
}

int int_call(struct hw_cpu *c, const struct insn *i)
{
	u64 target;
	int err;

	if (is_far(i))
		return far_call(c, i);
	err = near_target(c, i, &target);
	if (!err)
		err = check_target(c, target);
	if (!err)
		err = cpu_push(c, next_rip(c, i), i->opsize);
	return err ? err : int_branch(c, i, target);
}

int int_ret(struct hw_cpu *c, const struct insn *i)
{
	u64 rsp = c->arch.gpr[HW_RSP], target;
	int err;

	if (is_far(i))
		return far_ret(c, i);
	err = cpu_pop(c, &target, i->opsize);
	if (err)
		return err;
	err = int_branch(c, i, target);
	if (err == EXEC_JUMP)
		int_set_sp(c, c->arch.gpr[HW_RSP] + (i->nops ? (u16)i->imm : 0));
	else
		c->arch.gpr[HW_RSP] = rsp;
	return err;
}

int int_bound(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size;
	u64 index, bounds, lin;
	s64 value;
	int err;

	if (i->op[1].kind != OPND_MEM)
		return cpu_ud(c);
	err = insn_read(c, i, 0, &index);
	if (!err)
		err = insn_mem(c, i, 2 * size, ACC_READ, &lin);
	bounds = 0;
	if (!err)
		err = cpu_read(c, lin, &bounds, 2 * size);
	if (err)
		return err;
	value = (s64)sign_extend(index, size);
	if (value < (s64)sign_extend(bounds, size) || value > (s64)sign_extend(bounds >> (8 * size), size))
		return cpu_raise(c, X86_BR);
	return EXEC_OK;
}
