// SPDX-License-Identifier: Apache-2.0
/* exec_generic: the handler of everything that has no other, the links between blocks, and the ways out. */
#include "hw/cpu/block.h"
#include "hw/debug.h"

/* In front of the instruction. */
static void leave_before(const struct op *o, struct hw_cpu *c, int result, unsigned int len)
{
	c->budget -= o->n;
	c->blocks->result = result;
	c->blocks->insn_len = len;
}

static void leave_behind(const struct op *o, struct hw_cpu *c)
{
	c->budget -= o->n + 1;
	c->blocks->result = EXEC_OK;
}

/* `page` is arch.rip as handlers have it. Whether to go on in the block. */
static bool generic_end(const struct op *o, struct hw_cpu *c, int r, u64 page, unsigned int len)
{
	if (r == EXEC_FAULT || r == EXEC_EXIT) {
		leave_before(o, c, r, len);
		return false;
	}
	if (r == EXEC_AGAIN) {
		leave_before(o, c, EXEC_OK, len);
		return false;
	}
	if (unlikely(c->done_count))
		cpu_insn_done(c);
	if (r == EXEC_OK && !c->blocks->leave) {
		c->arch.rip = page;
		return true;
	}
	if (r != EXEC_JUMP)
		c->arch.rip += len;
	leave_behind(o, c);
	return false;
}

HANDLER(op_generic)
{
	const struct insn *i = op_insn(o);
	u64 page = c->arch.rip;
	int r;

	c->flags = (struct hw_flags){fres, faux};
	c->arch.rip = page + o->ip;
	c->done_next = 0;
	c->counters.generic_insns++;
	r = insn_lookup(i->mnemonic)->fn(c, i);
	fres = c->flags.res;
	faux = c->flags.aux;
	if (r == EXEC_AGAIN && !__atomic_load_n(&c->request, __ATOMIC_RELAXED) && !c->blocks->leave && !c->done_count &&
	    !(c->mode & MODE_STEP)) {
		c->arch.rip = page;
		NEXT(o);
	}
	if (likely(generic_end(o, c, r, page, i->len)))
		NEXT(o + 1);
	LEAVE();
}

HANDLER(op_one_element)
{
	const struct insn *i = op_insn(o);
	u64 page = c->arch.rip, count = c->arch.gpr[HW_RCX];
	int r;

	if (count == 0 || c->arch.rflags & FLAG_DF)
		CONTINUE_IN(op_generic, o);
	c->flags = (struct hw_flags){fres, faux};
	c->arch.rip = page + o->ip;
	c->done_next = 0;
	c->counters.generic_insns++;
	c->arch.gpr[HW_RCX] = 1;
	r = insn_lookup(i->mnemonic)->fn(c, i);
	c->arch.gpr[HW_RCX] += count - 1;
	if (r == EXEC_OK && c->arch.gpr[HW_RCX] != 0)
		r = EXEC_AGAIN;
	if (r == EXEC_AGAIN && !__atomic_load_n(&c->request, __ATOMIC_RELAXED) && !c->blocks->leave && !c->done_count) {
		c->arch.rip = page;
		NEXT(o);
	}
	if (generic_end(o, c, r, page, i->len))
		NEXT(o + 1);
	LEAVE();
}

#define RAISE(name, call)                                                                                              \
	HANDLER(name)                                                                                                  \
	{                                                                                                              \
		int r;                                                                                                 \
		c->arch.rip += o->ip;                                                                                  \
		c->flags = (struct hw_flags){fres, faux};                                                              \
		r = (call);                                                                                            \
		leave_before(o, c, r, o->len);                                                                         \
		LEAVE();                                                                                               \
	}
RAISE(op_ud, cpu_ud(c))
RAISE(op_gp, cpu_gp(c, 0))
RAISE(op_host_fault, cpu_exit_host_fault(c))

HANDLER(op_unimplemented)
{
	const struct insn *i = op_insn(o);

	observe(hw_machine_config(c->machine)->obs, OBSERVE_HW_UNIMPLEMENTED, c->index, c->arch.rip + o->ip,
		(u64)i->bytes[0] | (u64)i->bytes[1] << 8 | (u64)i->bytes[2] << 16 | (u64)i->bytes[3] << 24);
	CONTINUE_IN(op_ud, o);
}

HANDLER(op_restart)
{
	c->arch.rip += o->ip;
	leave_before(o, c, EXEC_OK, 0);
	LEAVE();
}

HANDLER(op_stale)
{
	c->arch.rip += o->ip;
	c->blocks->result = EXEC_OK;
	LEAVE();
}

HANDLER(op_validate)
{
	struct block *b = block_of(o);

	if (block_validate(c, b))
		NEXT(o);
	CONTINUE_IN(op_stale, o);
}

/* In place of a way through hw_cpu_run(), which has nothing else to do. */
HANDLER(op_lookup)
{
	const struct op *first;
	int r;

	c->flags = (struct hw_flags){fres, faux};
	c->blocks->result = EXEC_OK;
	if ((unlikely(c->debug) && debug_has_breakpoints(c->debug)) || unlikely(c->blocks->leave)) {
		c->blocks->link = NULL;
		LEAVE();
	}
	r = block_find(c, c->mode, &first);
	fres = c->flags.res;
	faux = c->flags.aux;
	if (likely(r == EXEC_OK))
		NEXT(first);
	c->blocks->result = r == EXEC_AGAIN ? EXEC_OK : r;
	c->blocks->insn_len = 0;
	LEAVE();
}

HANDLER(op_fallthrough)
{
	BRANCH(o + 1);
}

/* ---------------------------------------------------------------- links */

/* At once: if anything came in between, the link would lead there. */
HANDLER(link_resolve)
{
	c->blocks->link = (struct op *)(uintptr_t)o;
	c->arch.rip += (s64)o->delta;
	CONTINUE_IN(op_lookup, o);
}

HANDLER(link_far)
{
	u64 rip = c->arch.rip + (s64)o->delta;

	c->blocks->result = EXEC_OK;
	JUMP_CACHED(rip, o->salt);
}

HANDLER(link_leave)
{
	c->arch.rip += (s64)o->delta;
	c->blocks->result = EXEC_OK;
	LEAVE();
}

HANDLER(link_interrupted)
{
	CONTINUE_IN(link_leave, o);
}
