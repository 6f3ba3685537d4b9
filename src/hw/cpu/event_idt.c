// SPDX-License-Identifier: Apache-2.0
/* event_idt: gates, stack switches and frames of interrupts and exceptions (SDM 3A 6.12, 6.14, 20.1.4, 20.3). */
#include "hw/cpu/event.h"

struct gate {
	u16 sel;
	u64 offset;
	unsigned int ist;
	bool keeps_if;	   /* trap gate */
	unsigned int size; /* of a frame element */
	u32 error;	   /* of faults about the gate itself: vector * 8 + IDT */
};

static bool dpl_checked(const struct hw_event *e)
{
	return e->type == HW_EVENT_SOFTINT || e->type == HW_EVENT_SOFTEXC;
}

/* The RFLAGS image for the frame. */
static u64 saved_flags(const struct hw_cpu *c, const struct event_frame *frame)
{
	return cpu_get_rflags(c) | (frame->rf ? FLAG_RF : 0);
}

static void delivered(struct hw_cpu *c, const struct event_frame *frame, bool keeps_if)
{
	c->arch.rflags &= ~(u64)(FLAG_TF | FLAG_NT | FLAG_VM | FLAG_RF | (keeps_if ? 0 : FLAG_IF));
	c->arch.interruptibility &= ~(HW_BLOCK_STI | HW_BLOCK_MOV_SS);
	c->sti_next = 0;
	if (frame->event.type == HW_EVENT_NMI)
		c->arch.interruptibility |= HW_BLOCK_NMI;
	c->arch.activity = HW_ACTIVE;
	cpu_update_mode(c);
}

/* ---------------------------------------------------------------- real mode */

static int deliver_real(struct hw_cpu *c, const struct event_frame *frame)
{
	u32 offset = frame->event.vector * 4;
	struct stack st = {.ss = c->arch.seg[HW_SS], .sp = c->arch.gpr[HW_RSP], .vector = X86_SS};
	struct frame f = {0};
	u16 target[2];

	if (offset + 3 > c->arch.idtr.limit)
		return cpu_gp(c, 0);
	SYS_TRY(sys_read(c, (u32)(c->arch.idtr.base + offset), target, 4));
	frame_push(&f, (u16)saved_flags(c, frame));
	frame_push(&f, c->arch.seg[HW_CS].selector);
	frame_push(&f, (u16)frame->rip);
	SYS_TRY(frame_write(c, &st, &f, 2));
	c->arch.gpr[HW_RSP] = st.sp;
	c->arch.seg[HW_CS].selector = target[1];
	c->arch.seg[HW_CS].base = (u32)target[1] << 4;
	c->arch.rip = target[0];
	c->arch.rflags &= ~(u64)FLAG_AC;
	delivered(c, frame, false);
	return EXEC_OK;
}

/* ---------------------------------------------------------------- gates */

static int gate_checks(struct hw_cpu *c, const struct event_frame *frame, u64 low, u32 error)
{
	if (dpl_checked(&frame->event) && desc_dpl(low) < c->cpl)
		return cpu_gp(c, error);
	if (!desc_present(low))
		return cpu_raise_error(c, X86_NP, error);
	return EXEC_OK;
}

static int read_gate64(struct hw_cpu *c, const struct event_frame *frame, struct gate *g)
{
	u32 offset = frame->event.vector * 16;
	struct descriptor d;

	g->error = frame->event.vector * 8 + 2;
	if (offset + 15 > c->arch.idtr.limit)
		return cpu_gp(c, g->error);
	SYS_TRY(sys_read(c, c->arch.idtr.base + offset, &d, 16));
	if (desc_is_segment(d.low) || (desc_type(d.low) | 1) != SYS_TRAP32)
		return cpu_gp(c, g->error);
	SYS_TRY(gate_checks(c, frame, d.low, g->error));
	g->sel = d.low >> 16;
	g->offset = (d.low & 0xffff) | (d.low >> 32 & 0xffff0000) | d.high << 32;
	g->ist = d.low >> 32 & 7;
	g->keeps_if = desc_type(d.low) & 1;
	g->size = 8;
	return EXEC_OK;
}

static int read_gate32(struct hw_cpu *c, const struct event_frame *frame, struct gate *g)
{
	u32 offset = frame->event.vector * 8;
	u64 d;

	g->error = frame->event.vector * 8 + 2;
	if (offset + 7 > c->arch.idtr.limit)
		return cpu_gp(c, g->error);
	SYS_TRY(sys_read(c, (u32)(c->arch.idtr.base + offset), &d, 8));
	if (desc_is_segment(d))
		return cpu_gp(c, g->error);
	switch (desc_type(d)) {
	case SYS_TASK_GATE:
		SYS_TRY(gate_checks(c, frame, d, g->error));
		return sys_task_switch(c, d >> 16, 3, frame->event.insn_len);
	case SYS_INT16:
	case SYS_TRAP16:
	case SYS_INT32:
	case SYS_TRAP32:
		break;
	default:
		return cpu_gp(c, g->error);
	}
	SYS_TRY(gate_checks(c, frame, d, g->error));
	g->sel = d >> 16;
	g->size = desc_type(d) & 8 ? 4 : 2;
	g->offset = (d & 0xffff) | (g->size == 4 ? d >> 32 & 0xffff0000 : 0);
	g->keeps_if = desc_type(d) & 1;
	return EXEC_OK;
}

/* The handler's code segment and the privilege it runs at. */
static int handler_segment(struct hw_cpu *c, const struct gate *g, u64 *desc, unsigned int *cpl)
{
	u16 sel = g->sel;

	if (sel_null(sel))
		return cpu_gp(c, 0);
	SYS_TRY(desc_read(c, sel, X86_GP, desc));
	if (!desc_is_code(*desc) || desc_dpl(*desc) > c->cpl)
		return cpu_gp(c, sel & ~3);
	if (!desc_present(*desc))
		return cpu_raise_error(c, X86_NP, sel & ~3);
	if (g->size == 8 && (!desc_long(*desc) || desc_big(*desc)))
		return cpu_gp(c, sel & ~3);
	*cpl = desc_conforming(*desc) ? c->cpl : desc_dpl(*desc);
	/* SDM 2A INT: from VM86 only a nonconforming handler at privilege 0 */
	if (c->mode & MODE_VM86 && *cpl != 0)
		return cpu_gp(c, sel & ~3);
	return desc_set_accessed(c, sel, desc);
}

/* ---------------------------------------------------------------- 64-bit */

static int deliver64(struct hw_cpu *c, const struct event_frame *frame)
{
	struct stack st = {.wide = true, .sp = c->arch.gpr[HW_RSP], .vector = X86_SS};
	struct frame f = {0};
	struct gate g = {0};
	u64 desc;

	SYS_TRY(read_gate64(c, frame, &g));
	SYS_TRY(handler_segment(c, &g, &desc, &st.cpl));
	if (g.ist || st.cpl < c->cpl) {
		SYS_TRY(tss_read_stack64(c, g.ist ? g.ist + 3 : st.cpl, &st.sp));
		if (!cpu_canonical(c, st.sp))
			return cpu_raise_error(c, X86_SS, 0);
	}
	st.sp &= ~15ull;
	frame_push(&f, c->arch.seg[HW_SS].selector);
	frame_push(&f, c->arch.gpr[HW_RSP]);
	frame_push(&f, saved_flags(c, frame));
	frame_push(&f, c->arch.seg[HW_CS].selector);
	frame_push(&f, frame->rip);
	if (frame->event.has_error)
		frame_push(&f, frame->event.error);
	SYS_TRY(frame_write(c, &st, &f, 8));
	/* SDM 3A 6.14.1: a non-canonical handler is #GP(0) */
	if (!cpu_canonical(c, g.offset))
		return cpu_gp(c, 0);
	if (st.cpl < c->cpl)
		c->arch.seg[HW_SS] = null_segment(st.cpl, st.cpl);
	c->arch.seg[HW_CS] = code_segment(g.sel, desc, st.cpl);
	c->arch.gpr[HW_RSP] = st.sp;
	c->arch.rip = g.offset;
	delivered(c, frame, g.keeps_if);
	return EXEC_OK;
}

/* ---------------------------------------------------------------- 16 and 32 bits */

static void push_vm86_segments(const struct hw_cpu *c, struct frame *f)
{
	frame_push(f, c->arch.seg[HW_GS].selector);
	frame_push(f, c->arch.seg[HW_FS].selector);
	frame_push(f, c->arch.seg[HW_DS].selector);
	frame_push(f, c->arch.seg[HW_ES].selector);
}

static int inner_stack(struct hw_cpu *c, struct stack *st)
{
	struct tss_stack ts;

	SYS_TRY(tss_read_stack(c, st->cpl, &ts));
	SYS_TRY(stack_segment(c, ts.ss, st->cpl, X86_TS, &st->ss));
	st->sp = ts.sp;
	st->error = ts.ss & ~3;
	return EXEC_OK;
}

static void leave_vm86(struct hw_cpu *c)
{
	c->arch.seg[HW_ES] = c->arch.seg[HW_DS] = c->arch.seg[HW_FS] = c->arch.seg[HW_GS] = null_segment(0, 0);
}

static int deliver32(struct hw_cpu *c, const struct event_frame *frame)
{
	struct stack st = {.ss = c->arch.seg[HW_SS], .sp = c->arch.gpr[HW_RSP], .vector = X86_SS};
	bool vm86 = c->mode & MODE_VM86, inner;
	struct frame f = {0};
	struct gate g = {0};
	struct hw_segment cs;
	u64 desc;

	SYS_TRY(read_gate32(c, frame, &g));
	SYS_TRY(handler_segment(c, &g, &desc, &st.cpl));
	inner = st.cpl < c->cpl;
	if (inner)
		SYS_TRY(inner_stack(c, &st));
	if (vm86)
		push_vm86_segments(c, &f);
	if (inner) {
		frame_push(&f, c->arch.seg[HW_SS].selector);
		frame_push(&f, c->arch.gpr[HW_RSP]);
	}
	frame_push(&f, saved_flags(c, frame));
	frame_push(&f, c->arch.seg[HW_CS].selector);
	frame_push(&f, frame->rip);
	if (frame->event.has_error)
		frame_push(&f, frame->event.error);
	SYS_TRY(frame_write(c, &st, &f, g.size));
	cs = code_segment(g.sel, desc, st.cpl);
	if (!code_offset_ok(c, &cs, g.offset))
		return cpu_gp(c, 0);
	if (vm86)
		leave_vm86(c);
	if (inner)
		c->arch.seg[HW_SS] = st.ss;
	c->arch.seg[HW_CS] = cs;
	c->arch.gpr[HW_RSP] = st.sp;
	c->arch.rip = g.offset;
	delivered(c, frame, g.keeps_if);
	return EXEC_OK;
}

int event_through_idt(struct hw_cpu *c, const struct event_frame *frame)
{
	if (!(c->arch.cr0 & CR0_PE))
		return deliver_real(c, frame);
	if (cpu_long_mode(c))
		return deliver64(c, frame);
	return deliver32(c, frame);
}
