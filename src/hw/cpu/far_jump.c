// SPDX-License-Identifier: Apache-2.0
/* far_jump: far JMP and CALL, call gates, task switches (SDM 3A 5.8; SDM 2A CALL, JMP). */
#include <string.h>

#include "hw/cpu/sys.h"

int sys_task_switch(struct hw_cpu *c, u16 tss, unsigned int source, unsigned int insn_len)
{
	int r = cpu_exit_simple(c, VMX_EXIT_TASK_SWITCH, SVM_EXIT_TASK_SWITCH, insn_len);

	/* SDM 3C Table 27-2; APM2 15.14.1: EXITINFO2 bit 36 IRET, 38 far JMP, 44 error code */
	if (cpu_is_intel(c)) {
		c->exit.vmx.qualification = tss | source << 30;
	} else {
		c->exit.svm.info1 = tss;
		c->exit.svm.info2 = source == 1 ? 1ull << 36 : source == 2 ? 1ull << 38 : 0;
	}
	return r;
}

struct target {
	u16 sel;
	u64 rip;
};

/* ptr16:16/32 or m16:16/32/64. */
static int read_target(struct hw_cpu *c, const struct insn *i, struct target *t)
{
	u8 raw[10];
	u64 lin;

	*t = (struct target){0};
	if (i->op[0].kind == OPND_FAR) {
		const u8 *end = i->bytes + i->len; /* the selector comes last */

		memcpy(&t->sel, end - 2, 2);
		memcpy(&t->rip, end - 2 - i->opsize, i->opsize);
		return EXEC_OK;
	}
	SYS_TRY(insn_mem(c, i, i->opsize + 2, ACC_READ, &lin));
	SYS_TRY(cpu_read(c, lin, raw, i->opsize + 2));
	memcpy(&t->rip, raw, i->opsize);
	memcpy(&t->sel, raw + i->opsize, 2);
	return EXEC_OK;
}

static struct stack current_stack(const struct hw_cpu *c)
{
	return (struct stack){
		.ss = c->arch.seg[HW_SS],
		.sp = c->arch.gpr[HW_RSP],
		.cpl = c->cpl,
		.wide = cpu_cs64(c),
		.vector = X86_SS,
	};
}

static void commit_cs(struct hw_cpu *c, const struct hw_segment *cs, u64 rip)
{
	c->arch.seg[HW_CS] = *cs;
	c->arch.rip = rip;
	cpu_update_mode(c);
}

/* ---------------------------------------------------------------- real and VM86 mode */

static int transfer_real(struct hw_cpu *c, const struct insn *i, const struct target *t, bool call)
{
	struct stack st = current_stack(c);
	struct frame f = {0};

	if (t->rip > c->arch.seg[HW_CS].limit)
		return cpu_gp(c, 0);
	if (call) {
		frame_push(&f, c->arch.seg[HW_CS].selector);
		frame_push(&f, c->arch.rip + i->len);
		SYS_TRY(frame_write(c, &st, &f, i->opsize));
		c->arch.gpr[HW_RSP] = st.sp;
	}
	c->arch.seg[HW_CS].selector = t->sel;
	c->arch.seg[HW_CS].base = (u32)t->sel << 4;
	c->arch.rip = t->rip;
	return EXEC_JUMP;
}

/* ---------------------------------------------------------------- to a code segment */

/* SDM 3A 5.8.1.1, 5.8.1.2 */
static int check_code(struct hw_cpu *c, u16 sel, u64 desc)
{
	u32 error = sel & ~3;
	unsigned int dpl = desc_dpl(desc);

	if (desc_conforming(desc)) {
		if (dpl > c->cpl)
			return cpu_gp(c, error);
	} else if ((sel & 3u) > c->cpl || dpl != c->cpl) {
		return cpu_gp(c, error);
	}
	if (cpu_long_mode(c) && desc_long(desc) && desc_big(desc))
		return cpu_gp(c, error);
	if (!desc_present(desc))
		return cpu_raise_error(c, X86_NP, error);
	return EXEC_OK;
}

static int transfer_code(struct hw_cpu *c, const struct insn *i, const struct target *t, u64 desc, bool call)
{
	struct stack st = current_stack(c);
	struct frame f = {0};
	struct hw_segment cs;

	SYS_TRY(check_code(c, t->sel, desc));
	cs = code_segment(t->sel, desc, c->cpl);
	if (!code_offset_ok(c, &cs, t->rip))
		return cpu_gp(c, 0);
	SYS_TRY(desc_set_accessed(c, t->sel, &desc));
	if (call) {
		frame_push(&f, c->arch.seg[HW_CS].selector);
		frame_push(&f, c->arch.rip + i->len);
		SYS_TRY(frame_write(c, &st, &f, i->opsize));
		c->arch.gpr[HW_RSP] = st.sp;
	}
	commit_cs(c, &cs, t->rip);
	return EXEC_JUMP;
}

/* ---------------------------------------------------------------- through a call gate */

struct call_gate {
	u16 sel;
	u64 offset;
	unsigned int params, size;
	u64 desc; /* of the code segment */
};

/* Upper half of a 16-byte gate: the type field there must be zero (SDM 3A 5.8.3.1). */
static int read_gate(struct hw_cpu *c, u16 sel, u64 low, struct call_gate *g)
{
	struct descriptor d = {.low = low};
	u32 error = sel & ~3;

	if (desc_dpl(low) < c->cpl || desc_dpl(low) < (sel & 3u))
		return cpu_gp(c, error);
	if (cpu_long_mode(c)) {
		SYS_TRY(desc_read_wide(c, sel, X86_GP, &d));
		if (d.high >> 40 & 0x1f)
			return cpu_gp(c, error);
	}
	if (!desc_present(low))
		return cpu_raise_error(c, X86_NP, error);
	g->sel = low >> 16;
	g->size = cpu_long_mode(c) ? 8 : desc_type(low) == SYS_CALL32 ? 4 : 2;
	g->offset = low & 0xffff;
	if (g->size > 2)
		g->offset |= low >> 32 & 0xffff0000;
	if (g->size == 8)
		g->offset |= d.high << 32;
	g->params = g->size == 8 ? 0 : low >> 32 & 31;
	return EXEC_OK;
}

static int gate_code(struct hw_cpu *c, struct call_gate *g, bool call)
{
	u32 error = g->sel & ~3;
	unsigned int dpl;

	if (sel_null(g->sel))
		return cpu_gp(c, 0);
	SYS_TRY(desc_read(c, g->sel, X86_GP, &g->desc));
	dpl = desc_dpl(g->desc);
	if (!desc_is_code(g->desc) || dpl > c->cpl)
		return cpu_gp(c, error);
	if (!call && !desc_conforming(g->desc) && dpl != c->cpl)
		return cpu_gp(c, error);
	if (cpu_long_mode(c) && (!desc_long(g->desc) || desc_big(g->desc)))
		return cpu_gp(c, error);
	if (!desc_present(g->desc))
		return cpu_raise_error(c, X86_NP, error);
	return EXEC_OK;
}

/* Parameters are copied from the caller's stack, whose first one is at the highest address. */
static int copy_params(struct hw_cpu *c, const struct call_gate *g, struct stack *st)
{
	u64 mask = c->mode & MODE_SS32 ? 0xffffffff : 0xffff;

	for (unsigned int n = g->params; n-- > 0;) {
		struct frame f = {0};
		u64 lin, value = 0;

		SYS_TRY(cpu_linear(c, HW_SS, (c->arch.gpr[HW_RSP] + n * g->size) & mask, g->size, ACC_READ, &lin));
		SYS_TRY(cpu_read(c, lin, &value, g->size));
		frame_push(&f, value);
		SYS_TRY(frame_write(c, st, &f, g->size));
	}
	return EXEC_OK;
}

static int gate_stack(struct hw_cpu *c, struct stack *st)
{
	struct tss_stack ts;

	if (cpu_long_mode(c)) {
		SYS_TRY(tss_read_stack64(c, st->cpl, &st->sp));
		st->wide = true;
		st->ss = null_segment(st->cpl, st->cpl);
		if (!cpu_canonical(c, st->sp))
			return cpu_raise_error(c, X86_SS, 0);
		return EXEC_OK;
	}
	SYS_TRY(tss_read_stack(c, st->cpl, &ts));
	SYS_TRY(stack_segment(c, ts.ss, st->cpl, X86_TS, &st->ss));
	st->sp = ts.sp;
	st->error = ts.ss & ~3;
	return EXEC_OK;
}

static int call_inner(struct hw_cpu *c, const struct insn *i, struct call_gate *g, const struct hw_segment *cs)
{
	struct stack st = {.cpl = desc_dpl(g->desc), .vector = X86_SS};
	struct frame f = {0};

	SYS_TRY(gate_stack(c, &st));
	frame_push(&f, c->arch.seg[HW_SS].selector);
	frame_push(&f, c->arch.gpr[HW_RSP]);
	SYS_TRY(frame_write(c, &st, &f, g->size));
	SYS_TRY(copy_params(c, g, &st));
	f.count = 0;
	frame_push(&f, c->arch.seg[HW_CS].selector);
	frame_push(&f, c->arch.rip + i->len);
	SYS_TRY(frame_write(c, &st, &f, g->size));
	c->arch.seg[HW_SS] = st.ss;
	c->arch.gpr[HW_RSP] = st.sp;
	commit_cs(c, cs, g->offset);
	return EXEC_JUMP;
}

static int transfer_gate(struct hw_cpu *c, const struct insn *i, u16 sel, u64 low, bool call)
{
	struct stack st = current_stack(c);
	struct call_gate g = {0};
	struct frame f = {0};
	struct hw_segment cs;
	bool inner;

	SYS_TRY(read_gate(c, sel, low, &g));
	SYS_TRY(gate_code(c, &g, call));
	inner = call && !desc_conforming(g.desc) && desc_dpl(g.desc) < c->cpl;
	cs = code_segment(g.sel, g.desc, inner ? desc_dpl(g.desc) : c->cpl);
	if (!code_offset_ok(c, &cs, g.offset))
		return cpu_gp(c, 0);
	SYS_TRY(desc_set_accessed(c, g.sel, &g.desc));
	if (inner)
		return call_inner(c, i, &g, &cs);
	if (call) {
		frame_push(&f, c->arch.seg[HW_CS].selector);
		frame_push(&f, c->arch.rip + i->len);
		st.wide = cpu_long_mode(c);
		SYS_TRY(frame_write(c, &st, &f, g.size));
		c->arch.gpr[HW_RSP] = st.sp;
	}
	commit_cs(c, &cs, g.offset);
	return EXEC_JUMP;
}

/* ---------------------------------------------------------------- to a task */

static int transfer_task(struct hw_cpu *c, const struct insn *i, u16 sel, u64 desc, bool call)
{
	u32 error = sel & ~3;

	if (desc_dpl(desc) < c->cpl || desc_dpl(desc) < (sel & 3u))
		return cpu_gp(c, error);
	if (!desc_present(desc))
		return cpu_raise_error(c, X86_NP, error);
	if (desc_type(desc) == SYS_TASK_GATE)
		sel = desc >> 16;
	return sys_task_switch(c, sel, call ? 0 : 2, i->len);
}

static int transfer(struct hw_cpu *c, const struct insn *i, bool call)
{
	struct target t;
	u64 desc;

	SYS_TRY(read_target(c, i, &t));
	if (!cpu_protected(c))
		return transfer_real(c, i, &t, call);
	if (sel_null(t.sel))
		return cpu_gp(c, 0);
	SYS_TRY(desc_read(c, t.sel, X86_GP, &desc));
	if (desc_is_code(desc))
		return transfer_code(c, i, &t, desc, call);
	if (desc_is_segment(desc))
		return cpu_gp(c, t.sel & ~3);
	switch (desc_type(desc)) {
	case SYS_CALL32:
		return transfer_gate(c, i, t.sel, desc, call);
	case SYS_CALL16:
		if (!cpu_long_mode(c))
			return transfer_gate(c, i, t.sel, desc, call);
		break;
	case SYS_TSS16:
	case SYS_TSS32:
	case SYS_TASK_GATE:
		if (!cpu_long_mode(c))
			return transfer_task(c, i, t.sel, desc, call);
		break;
	default:
		break;
	}
	return cpu_gp(c, t.sel & ~3);
}

int far_jmp(struct hw_cpu *c, const struct insn *i)
{
	return transfer(c, i, false);
}

int far_call(struct hw_cpu *c, const struct insn *i)
{
	return transfer(c, i, true);
}
