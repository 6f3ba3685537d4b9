// SPDX-License-Identifier: Apache-2.0
/*
 * int_string: MOVS, STOS, LODS, SCAS and CMPS, element by element.
 *
 * Registers are updated after each element, so that a fault or an exit in the middle leaves a state from which the
 * instruction continues (SDM 1 7.3.9.2). A page fault in the middle of a repeated CMPS or SCAS shows EFLAGS as they
 * were before it (SDM 2 REP) on Intel processors; on AMD's they are those of the last comparison.
 */
#include "hw/cpu/int.h"

#define REP_SLICE	4096 /* elements between two looks at the requests */
#define DR6_SINGLE_STEP (1u << 14)

struct string_op {
	struct hw_cpu *c;
	unsigned int size, addrsize;
	unsigned int source_segment;
	s64 step;
	struct hw_flags flags; /* of the last comparison */
};

static u64 index_get(const struct string_op *s, unsigned int reg)
{
	return gpr_get(s->c, reg, s->addrsize);
}

static void index_step(const struct string_op *s, unsigned int reg)
{
	gpr_set(s->c, reg, s->addrsize, index_get(s, reg) + (u64)s->step);
}

static int load(struct string_op *s, unsigned int sreg, unsigned int reg, u64 *value)
{
	u64 lin;
	int err = cpu_linear(s->c, sreg, index_get(s, reg), s->size, ACC_READ, &lin);

	*value = 0;
	return err ? err : cpu_read(s->c, lin, value, s->size);
}

static int store(struct string_op *s, u64 value)
{
	u64 lin;
	int err = cpu_linear(s->c, HW_ES, index_get(s, HW_RDI), s->size, ACC_WRITE, &lin);

	return err ? err : cpu_write(s->c, lin, &value, s->size);
}

static int movs(struct string_op *s)
{
	u64 value;
	int err = load(s, s->source_segment, HW_RSI, &value);

	if (!err)
		err = store(s, value);
	if (err)
		return err;
	index_step(s, HW_RSI);
	index_step(s, HW_RDI);
	return EXEC_OK;
}

static int stos(struct string_op *s)
{
	int err = store(s, s->c->arch.gpr[HW_RAX]);

	if (!err)
		index_step(s, HW_RDI);
	return err;
}

static int lods(struct string_op *s)
{
	u64 value;
	int err = load(s, s->source_segment, HW_RSI, &value);

	if (err)
		return err;
	gpr_set(s->c, HW_RAX, s->size, value);
	index_step(s, HW_RSI);
	return EXEC_OK;
}

static int scas(struct string_op *s)
{
	u64 a = gpr_get(s->c, HW_RAX, s->size), b;
	int err = load(s, HW_ES, HW_RDI, &b);

	if (err)
		return err;
	s->flags = flags_sub(a, b, a - b, s->size);
	index_step(s, HW_RDI);
	return EXEC_OK;
}

static int cmps(struct string_op *s)
{
	u64 a, b;
	int err = load(s, s->source_segment, HW_RSI, &a);

	if (!err)
		err = load(s, HW_ES, HW_RDI, &b);
	if (err)
		return err;
	s->flags = flags_sub(a, b, a - b, s->size);
	index_step(s, HW_RSI);
	index_step(s, HW_RDI);
	return EXEC_OK;
}

static struct string_op string_op(struct hw_cpu *c, const struct insn *i, unsigned int size)
{
	return (struct string_op){
		.c = c,
		.size = size,
		.addrsize = i->addrsize,
		.source_segment = insn_implied_segment(c, i),
		.step = c->arch.rflags & FLAG_DF ? -(s64)size : (s64)size,
		.flags = c->flags,
	};
}

/* A single-step trap comes after every element but the last, whose trap is the instruction's own (SDM 3B 17.3.1.4). */
static int step_between_elements(struct hw_cpu *c)
{
	c->pending_db = true;
	c->pending_dr6 |= DR6_SINGLE_STEP;
	__atomic_or_fetch(&c->request, REQ_EVENT, __ATOMIC_RELEASE);
	return EXEC_AGAIN;
}

enum stop { STOP_COUNT, STOP_UNLESS_EQUAL, STOP_IF_EQUAL };

static int repeat(struct string_op *s, int (*element)(struct string_op *s), enum stop stop)
{
	struct hw_cpu *c = s->c;
	unsigned int slice;

	for (slice = 0; slice < REP_SLICE; slice++) {
		u64 count = index_get(s, HW_RCX);
		int err;

		if (count == 0)
			return EXEC_OK;
		err = element(s);
		if (err) {
			if (!cpu_is_intel(c))
				c->flags = s->flags;
			return err;
		}
		gpr_set(c, HW_RCX, s->addrsize, count - 1);
		cpu_insn_done(c);
		if (count == 1 || (stop != STOP_COUNT && (s->flags.res == 0) == (stop == STOP_IF_EQUAL))) {
			c->flags = s->flags;
			return EXEC_OK;
		}
		if (c->arch.rflags & FLAG_TF)
			return step_between_elements(c);
	}
	return EXEC_AGAIN;
}

/* Either prefix repeats MOVS, STOS and LODS until the count is zero. */
static int run_string(struct hw_cpu *c, const struct insn *i, unsigned int size, int (*element)(struct string_op *s))
{
	struct string_op s = string_op(c, i, size);
	bool compares = element == scas || element == cmps;
	int err;

	if (i->rep || i->repne)
		return repeat(&s, element, !compares ? STOP_COUNT : i->repne ? STOP_IF_EQUAL : STOP_UNLESS_EQUAL);
	err = element(&s);
	if (!err)
		c->flags = s.flags;
	return err;
}

#define STRING(name, suffix, size)                                                                                     \
	static int name##suffix(struct hw_cpu *c, const struct insn *i)                                                \
	{                                                                                                              \
		return run_string(c, i, size, name);                                                                   \
	}
#define STRINGS(name)                                                                                                  \
	STRING(name, b, 1)                                                                                             \
	STRING(name, w, 2)                                                                                             \
	STRING(name, d, 4)                                                                                             \
	STRING(name, q, 8)

STRINGS(movs)
STRINGS(stos)
STRINGS(lods)
STRINGS(scas)
STRINGS(cmps)

#define ROW(name, func)                                                                                                \
	{                                                                                                              \
		.mnemonic = ZYDIS_MNEMONIC_##name, .feature = FEAT_ALWAYS, .fn = func                                  \
	}
#define ROWS(NAME, name) ROW(NAME##B, name##b), ROW(NAME##W, name##w), ROW(NAME##D, name##d), ROW(NAME##Q, name##q)

static const struct insn_desc descs[] = {
	ROWS(MOVS, movs), ROWS(STOS, stos), ROWS(LODS, lods), ROWS(SCAS, scas), ROWS(CMPS, cmps),
};

const struct insn_table string_insns = {descs, sizeof(descs) / sizeof(descs[0])};
