// SPDX-License-Identifier: Apache-2.0
/*
 * int_atomic: read-modify-write of an operand, with and without LOCK, and the instructions that exist for it.
 *
 * LOCK on memory within one page is a compare-and-swap loop of the host on the same bytes; page-crossing and MMIO
 * operands go through cpu_locked_rmw().
 */
#include <string.h>

#include "hw/cpu/int.h"
#include "hw/phys/uaccess.h"

enum swap_result { SWAP_DONE, SWAP_CHANGED, SWAP_GONE };

static bool host_load(const void *host, unsigned int size, u64 *value)
{
	u64 v;

	switch (size) {
	case 1:
		UACCESS_LOAD(1, host, v, gone);
		break;
	case 2:
		UACCESS_LOAD(2, host, v, gone);
		break;
	case 4:
		UACCESS_LOAD(4, host, v, gone);
		break;
	default:
		UACCESS_LOAD(8, host, v, gone);
		break;
	}
	*value = v;
	return true;
gone:
	return false;
}

static enum swap_result host_swap(void *host, unsigned int size, u64 *old, u64 new_value)
{
	u64 o = *old;
	bool ok;

	switch (size) {
	case 1:
		UACCESS_CMPXCHG_1(host, o, new_value, ok, gone);
		break;
	case 2:
		UACCESS_CMPXCHG_2(host, o, new_value, ok, gone);
		break;
	case 4:
		UACCESS_CMPXCHG_4(host, o, new_value, ok, gone);
		break;
	default:
		UACCESS_CMPXCHG_8(host, o, new_value, ok, gone);
		break;
	}
	*old = o & size_mask(size);
	return ok ? SWAP_DONE : SWAP_CHANGED;
gone:
	return SWAP_GONE;
}

static enum swap_result host_swap_16(void *host, u64 old[2], const u64 new_value[2])
{
	bool ok;

	asm goto("1: lock cmpxchg16b %0\n" UACCESS_EX(gone)
		 : "+m"(*(volatile unsigned __int128 *)host), "+a"(old[0]), "+d"(old[1]), "=@ccz"(ok)
		 : "b"(new_value[0]), "c"(new_value[1])
		 : "memory"
		 : gone);
	return ok ? SWAP_DONE : SWAP_CHANGED;
gone:
	return SWAP_GONE;
}

/* The frame may carry decoded code: stores to it bypass the write TLB for that reason, and so must report. */
static void host_written(struct hw_cpu *c, void *host, unsigned int size)
{
	hpa_t at = ptr_to_hpa(host);

	if (code_on_frame(c->vm, hpa(at.v & HW_PAGE_MASK)))
		code_written(c, at, size);
}

static u64 rmw_compute(struct int_rmw *r, u64 old)
{
	r->old = old;
	r->flags = r->in;
	return r->fn(r, old) & size_mask(r->size);
}

static bool split_update(const void *old, void *new_value, void *opaque)
{
	struct int_rmw *r = opaque;
	u64 value = 0;

	memcpy(&value, old, r->size);
	value = rmw_compute(r, value);
	memcpy(new_value, &value, r->size);
	return true;
}

static int locked_update(struct hw_cpu *c, u64 lin, struct int_rmw *r)
{
	enum swap_result result;
	void *host;
	u64 old;
	int err = cpu_rmw_host(c, lin, r->size, &host);

	if (err)
		return err;
	if (!host)
		return cpu_locked_rmw(c, lin, r->size, split_update, r);
	if (!host_load(host, r->size, &old))
		return cpu_exit_host_fault(c);
	do {
		result = host_swap(host, r->size, &old, rmw_compute(r, old));
	} while (result == SWAP_CHANGED);
	if (result == SWAP_GONE)
		return cpu_exit_host_fault(c);
	host_written(c, host, r->size);
	return EXEC_OK;
}

static int plain_update(struct hw_cpu *c, u64 lin, struct int_rmw *r)
{
	u64 value = 0;
	int err = cpu_read_acc(c, lin, &value, r->size, ACC_RMW);

	if (err)
		return err;
	value = rmw_compute(r, value);
	return cpu_write(c, lin, &value, r->size);
}

int int_rmw_mem(struct hw_cpu *c, u64 lin, bool locked, struct int_rmw *r)
{
	int err;

	r->in = c->flags;
	err = locked ? locked_update(c, lin, r) : plain_update(c, lin, r);
	if (!err)
		c->flags = r->flags;
	return err;
}

int int_rmw(struct hw_cpu *c, const struct insn *i, struct int_rmw *r)
{
	u64 value, lin;
	int err;

	if (i->lock && i->op[0].kind == OPND_MEM) {
		err = insn_mem(c, i, r->size, ACC_WRITE, &lin);
		return err ? err : int_rmw_mem(c, lin, true, r);
	}
	err = insn_read_rmw(c, i, 0, &value);
	if (err)
		return err;
	r->in = c->flags;
	err = insn_write(c, i, 0, rmw_compute(r, value));
	if (!err)
		c->flags = r->flags;
	return err;
}

static u64 replace(struct int_rmw *r, u64 old)
{
	return r->src;
}

/* SDM 2 XCHG: a memory operand is locked whether or not the prefix is there. */
int int_xchg(struct hw_cpu *c, const struct insn *i)
{
	unsigned int mem = i->op[1].kind == OPND_MEM, reg = !mem;
	struct int_rmw r = {.fn = replace, .size = i->op[0].size};
	u64 lin, value;
	int err = insn_read(c, i, reg, &r.src);

	if (err)
		return err;
	if (i->op[mem].kind != OPND_MEM) {
		err = insn_read(c, i, mem, &value);
		if (err)
			return err;
		insn_write(c, i, mem, r.src);
		return insn_write(c, i, reg, value);
	}
	err = insn_mem(c, i, r.size, ACC_WRITE, &lin);
	if (!err)
		err = int_rmw_mem(c, lin, true, &r);
	return err ? err : insn_write(c, i, reg, r.old);
}

static u64 exchange_add(struct int_rmw *r, u64 old)
{
	u64 res = old + r->src;

	r->flags = flags_add(old, r->src, res, r->size);
	return res;
}

int int_xadd(struct hw_cpu *c, const struct insn *i)
{
	struct int_rmw r = {.fn = exchange_add, .size = i->op[0].size};
	int err = insn_read(c, i, 1, &r.src);

	if (err)
		return err;
	if (i->op[0].kind != OPND_MEM) {
		/* The sum is written last: it wins when both operands are the same register. */
		u64 old, sum;

		err = insn_read(c, i, 0, &old);
		if (err)
			return err;
		sum = exchange_add(&r, old);
		c->flags = r.flags;
		insn_write(c, i, 1, old);
		return insn_write(c, i, 0, sum);
	}
	err = int_rmw(c, i, &r);
	return err ? err : insn_write(c, i, 1, r.old);
}

static u64 compare_exchange(struct int_rmw *r, u64 old)
{
	r->flags = flags_sub(r->src2, old, r->src2 - old, r->size);
	return r->src2 == old ? r->src : old;
}

/*
 * SDM 2 CMPXCHG: a destination in memory is written in either case, a register (with its upper half) only when the
 * values are equal, and the accumulator only when they differ.
 */
int int_cmpxchg(struct hw_cpu *c, const struct insn *i)
{
	unsigned int size = i->op[0].size;
	struct int_rmw r = {.fn = compare_exchange, .size = size, .src2 = gpr_get(c, HW_RAX, size)};
	int err = insn_read(c, i, 1, &r.src);

	if (err)
		return err;
	if (i->op[0].kind != OPND_MEM) {
		err = insn_read(c, i, 0, &r.old);
		if (!err && r.old == r.src2)
			err = int_rmw(c, i, &r);
		else
			c->flags = flags_sub(r.src2, r.old, r.src2 - r.old, size);
	} else {
		err = int_rmw(c, i, &r);
	}
	if (!err && r.old != r.src2)
		gpr_set(c, HW_RAX, size, r.old);
	return err;
}

/* CMPXCHG8B and CMPXCHG16B */
struct double_swap {
	unsigned int half;
	u64 expected[2], replacement[2], old[2];
};

static bool split_double(const void *old, void *new_value, void *opaque)
{
	struct double_swap *d = opaque;
	bool equal;

	d->old[0] = d->old[1] = 0;
	memcpy(&d->old[0], old, d->half);
	memcpy(&d->old[1], (const u8 *)old + d->half, d->half);
	equal = d->old[0] == d->expected[0] && d->old[1] == d->expected[1];
	memcpy(new_value, equal ? &d->replacement[0] : &d->old[0], d->half);
	memcpy((u8 *)new_value + d->half, equal ? &d->replacement[1] : &d->old[1], d->half);
	return true;
}

static int swap_double(struct hw_cpu *c, u64 lin, struct double_swap *d)
{
	enum swap_result result;
	void *host;
	int err = cpu_rmw_host(c, lin, 2 * d->half, &host);

	if (err)
		return err;
	if (!host)
		return cpu_locked_rmw(c, lin, 2 * d->half, split_double, d);
	d->old[0] = d->expected[0];
	d->old[1] = d->expected[1];
	if (d->half == 8) {
		result = host_swap_16(host, d->old, d->replacement);
	} else {
		u64 old = d->expected[0] | d->expected[1] << 32;

		result = host_swap(host, 8, &old, d->replacement[0] | d->replacement[1] << 32);
		d->old[0] = (u32)old;
		d->old[1] = old >> 32;
	}
	if (result == SWAP_GONE)
		return cpu_exit_host_fault(c);
	if (result == SWAP_DONE)
		host_written(c, host, 2 * d->half);
	return EXEC_OK;
}

int int_cmpxchg_double(struct hw_cpu *c, const struct insn *i)
{
	unsigned int half = i->mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B ? 8 : 4;
	struct double_swap d = {
		.half = half,
		.expected = {gpr_get(c, HW_RAX, half), gpr_get(c, HW_RDX, half)},
		.replacement = {gpr_get(c, HW_RBX, half), gpr_get(c, HW_RCX, half)},
	};
	u32 flags;
	u64 lin;
	int err = insn_mem(c, i, 2 * half, ACC_WRITE, &lin);

	if (err)
		return err;
	if (half == 8 && lin & 15)
		return cpu_gp(c, 0);
	err = swap_double(c, lin, &d);
	if (err)
		return err;
	flags = flags_to_eflags(c->flags) & ~FLAG_ZF;
	if (d.old[0] == d.expected[0] && d.old[1] == d.expected[1]) {
		flags |= FLAG_ZF;
	} else {
		gpr_set(c, HW_RAX, half, d.old[0]);
		gpr_set(c, HW_RDX, half, d.old[1]);
	}
	cpu_set_arith_flags(c, flags);
	return EXEC_OK;
}
