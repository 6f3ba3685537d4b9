// SPDX-License-Identifier: Apache-2.0
/*
 * event: which exception, interrupt or trap comes next, and what a fault during its delivery turns into. The frames
 * themselves are in event_idt.c.
 */
#include <time.h>

#include "hw/cpu/event.h"

static bool has_external_bit(u8 vector)
{
	return vector == X86_TS || vector == X86_NP || vector == X86_SS || vector == X86_GP;
}

static bool is_software(const struct hw_event *e)
{
	return e->type == HW_EVENT_SOFTINT || e->type == HW_EVENT_SOFTEXC;
}

int cpu_raise(struct hw_cpu *c, u8 vector)
{
	c->fault = (struct cpu_fault){.vector = vector};
	return EXEC_FAULT;
}

int cpu_raise_error(struct hw_cpu *c, u8 vector, u32 error)
{
	/* EXT: the exception came up while an event external to the program was being delivered (SDM 3A 6.13) */
	if (c->in_delivery && has_external_bit(vector) && !is_software(&c->delivering))
		error |= 1;
	c->fault = (struct cpu_fault){.vector = vector, .has_error = true, .error = error};
	return EXEC_FAULT;
}

int cpu_page_fault(struct hw_cpu *c, u64 lin, u32 error)
{
	c->fault = (struct cpu_fault){.vector = X86_PF, .has_error = true, .error = error, .cr2 = lin};
	return EXEC_FAULT;
}

/* ---------------------------------------------------------------- faults during delivery */

/* SDM 3A Table 6-4 */
static enum event_class exception_class(u8 vector)
{
	switch (vector) {
	case X86_DE:
	case X86_TS:
	case X86_NP:
	case X86_SS:
	case X86_GP:
	case X86_CP:
		return CLASS_CONTRIBUTORY;
	case X86_PF:
	case X86_VE:
		return CLASS_PAGE_FAULT;
	case X86_DF:
		return CLASS_DOUBLE_FAULT;
	default:
		return CLASS_BENIGN;
	}
}

/* SDM 3A Table 6-5 */
static const enum event_outcome outcomes[CLASS_COUNT][CLASS_COUNT] = {
	[CLASS_BENIGN] = {SECOND_ALONE, SECOND_ALONE, SECOND_ALONE, SECOND_ALONE},
	[CLASS_CONTRIBUTORY] = {SECOND_ALONE, BECOMES_DOUBLE_FAULT, SECOND_ALONE, SECOND_ALONE},
	[CLASS_PAGE_FAULT] = {SECOND_ALONE, BECOMES_DOUBLE_FAULT, BECOMES_DOUBLE_FAULT, SECOND_ALONE},
	[CLASS_DOUBLE_FAULT] = {SECOND_ALONE, BECOMES_SHUTDOWN, BECOMES_SHUTDOWN, BECOMES_SHUTDOWN},
};

enum event_outcome event_combine(const struct hw_event *first, u8 second)
{
	enum event_class cls = first->type == HW_EVENT_EXCEPTION ? exception_class(first->vector) : CLASS_BENIGN;

	return outcomes[cls][exception_class(second)];
}

/* ---------------------------------------------------------------- delivery */

/* SDM 3B 17.2.3; bits 3:0 tell the conditions of this exception only, the others stay until software clears them. */
static void set_dr6(struct hw_cpu *c, u64 bits)
{
	c->arch.dr6 = (c->arch.dr6 & ~(u64)DR6_B) | bits | DR6_FIXED;
	c->arch.dr7 &= ~(u64)DR7_GD;
}

static struct hw_event fault_event(const struct cpu_fault *f)
{
	return (struct hw_event){
		.valid = true,
		.type = HW_EVENT_EXCEPTION,
		.vector = f->vector,
		.has_error = f->has_error,
		.error = f->error,
	};
}

static bool intercepted(const struct hw_cpu *c, u8 vector)
{
	return c->ctl.exception_bitmap >> vector & 1;
}

static int exit_exception(struct hw_cpu *c, const struct cpu_fault *f)
{
	/* SDM 3C 27.2.1 / APM2 15.12.2: VMX leaves DR6 and DR7 alone, SVM shows what the handler would see */
	if (f->vector == X86_DB && !cpu_is_intel(c))
		set_dr6(c, f->dr6);
	return cpu_exit_exception(c, f);
}

/* Effects on registers that come with the exception itself (SDM 3A 6.15): they stay even if its delivery faults. */
static void exception_effects(struct hw_cpu *c, const struct cpu_fault *f)
{
	if (f->vector == X86_PF)
		c->arch.cr2 = f->cr2;
	else if (f->vector == X86_DB)
		set_dr6(c, f->dr6);
	c->counters.exceptions++;
	observe(hw_machine_config(c->machine)->obs, OBSERVE_HW_EXCEPTION, c->index, c->arch.rip, f->vector, f->error,
		f->cr2);
}

/* SDM 3B 17.3.1.1: fault-class exceptions push RF set, but for the #DB of an instruction breakpoint. */
static bool pushes_rf(const struct cpu_fault *f)
{
	return !f->trap && !f->software && f->vector != X86_DB && f->vector != X86_BP && f->vector != X86_OF;
}

/* Delivers `first`; what goes wrong on the way is delivered instead, as SDM 3A 6.15 (#DF) says. */
static int deliver_chain(struct hw_cpu *c, struct event_frame frame)
{
	for (;;) {
		enum event_outcome outcome;
		int r;

		c->delivering = frame.event;
		c->in_delivery = true;
		c->done_next = 0;
		r = event_through_idt(c, &frame);
		if (r == EXEC_OK) {
			/* an instruction that was cut short begins anew when the handler returns to it */
			cpu_insn_done(c);
			r = EXEC_JUMP;
		}
		if (r != EXEC_FAULT) {
			c->in_delivery = false;
			return r;
		}
		outcome = event_combine(&frame.event, c->fault.vector);
		if (outcome == BECOMES_SHUTDOWN) {
			c->in_delivery = false;
			return cpu_exit_triple_fault(c);
		}
		if (outcome == BECOMES_DOUBLE_FAULT) {
			if (c->fault.vector == X86_PF)
				c->arch.cr2 = c->fault.cr2;
			c->fault = (struct cpu_fault){.vector = X86_DF, .has_error = true};
		}
		if (intercepted(c, c->fault.vector)) {
			r = exit_exception(c, &c->fault);
			c->in_delivery = false;
			return r;
		}
		exception_effects(c, &c->fault);
		frame = (struct event_frame){
			.event = fault_event(&c->fault), .rip = c->arch.rip, .rf = pushes_rf(&c->fault)};
	}
}

int cpu_deliver_fault(struct hw_cpu *c, u64 next_rip)
{
	struct cpu_fault f = c->fault;
	struct event_frame frame = {.event = fault_event(&f), .rf = pushes_rf(&f)};

	frame.rip = f.trap || f.software ? next_rip : c->arch.rip;
	if (f.software && f.vector != X86_DB) {
		frame.event.type = f.vector == X86_BP || f.vector == X86_OF ? HW_EVENT_SOFTEXC : HW_EVENT_SOFTINT;
		frame.event.insn_len = next_rip - c->arch.rip;
	}
	c->step_armed = false;
	if (f.trap && f.vector == X86_DB) {
		c->pending_db = false;
		c->pending_dr6 = 0;
	}
	if (frame.event.type != HW_EVENT_SOFTINT && intercepted(c, f.vector)) {
		if (f.trap)
			c->arch.rip = next_rip;
		return exit_exception(c, &f);
	}
	exception_effects(c, &f);
	return deliver_chain(c, frame);
}

int cpu_deliver_event(struct hw_cpu *c, const struct hw_event *event)
{
	struct event_frame frame = {.event = *event, .rip = c->arch.rip};

	if (is_software(event))
		frame.rip += event->insn_len;
	if (!(c->mode & MODE_CS64))
		frame.rip = (u32)frame.rip;
	/* the pushed RF is that of RFLAGS: whoever injects has set it (SDM 3C 26.6.1.1) */
	c->step_armed = false;
	if (event->type == HW_EVENT_EXTINT || event->type == HW_EVENT_NMI) {
		c->counters.interrupts++;
		observe(hw_machine_config(c->machine)->obs, OBSERVE_HW_INTERRUPT, c->index, c->arch.rip, event->vector);
	}
	return deliver_chain(c, frame);
}

int cpu_deliver_software(struct hw_cpu *c, enum hw_event_type type, u8 vector, unsigned int len)
{
	const struct cpu_fault f = {.vector = vector, .software = true};
	struct hw_event event = {.valid = true, .type = type, .vector = vector, .insn_len = len};

	if (type == HW_EVENT_SOFTINT || !intercepted(c, vector))
		return cpu_deliver_event(c, &event);
	cpu_exit_exception(c, &f);
	if (cpu_is_intel(c))
		c->exit.vmx.insn_len = len;
	else
		c->exit.svm.next_rip = c->arch.rip + len;
	return EXEC_EXIT;
}

/* ---------------------------------------------------------------- before the next instruction */

/* The shadow of an STI is noticed to be over only at the next cpu_check_events() (sys_sti()). */
static u32 blocked(const struct hw_cpu *c)
{
	u32 blocks = c->arch.interruptibility;

	if (c->sti_next && c->sti_next != c->arch.rip)
		blocks &= ~HW_BLOCK_STI;
	return blocks;
}

bool hw_cpu_can_interrupt(const struct hw_cpu *c)
{
	return c->arch.rflags & FLAG_IF && !(blocked(c) & (HW_BLOCK_STI | HW_BLOCK_MOV_SS));
}

bool hw_cpu_can_nmi(const struct hw_cpu *c)
{
	return !(blocked(c) & (HW_BLOCK_NMI | HW_BLOCK_STI | HW_BLOCK_MOV_SS));
}

static unsigned int dr7_condition(u64 dr7, unsigned int n)
{
	return dr7 >> (16 + 4 * n) & 3;
}

static bool dr7_enabled(u64 dr7, unsigned int n)
{
	return dr7 >> (2 * n) & 3;
}

bool dr7_has_code_breakpoint(const struct hw_cpu *c)
{
	u64 dr7 = c->arch.dr7;

	if (!(dr7 & 0xff))
		return false;
	for (unsigned int n = 0; n < 4; n++)
		if (dr7_enabled(dr7, n) && dr7_condition(dr7, n) == 0)
			return true;
	return false;
}

/* DR6 bits of the enabled instruction breakpoints at RIP. */
static u64 code_breakpoints(const struct hw_cpu *c)
{
	u64 dr7 = c->arch.dr7, bits = 0, lin;

	if (!(dr7 & 0xff) || c->arch.rflags & FLAG_RF)
		return 0;
	lin = cpu_cs64(c) ? c->arch.rip : (u32)(c->arch.seg[HW_CS].base + c->arch.rip);
	for (unsigned int n = 0; n < 4; n++)
		if (dr7_enabled(dr7, n) && dr7_condition(dr7, n) == 0 && c->arch.dr[n] == lin)
			bits |= 1u << n;
	return bits;
}

/* The instruction that was begun in MODE_STEP is complete: its shadow, its RF and its trap. */
static void step_finish(struct hw_cpu *c)
{
	if (!c->step_armed || c->insn_retired == c->step_retired)
		return;
	c->step_armed = false;
	if (c->step_shadow) {
		c->arch.interruptibility &= ~c->step_shadow;
		c->step_shadow = 0;
	}
	/* a POP SS or MOV SS holds back the trap on itself for good (SDM 3A 6.8.3) */
	if (c->step_tf && !(c->arch.interruptibility & HW_BLOCK_MOV_SS)) {
		c->pending_db = true;
		c->pending_dr6 |= DR6_BS;
	}
	if (c->step_rf)
		c->arch.rflags &= ~(u64)FLAG_RF;
	cpu_update_mode(c);
}

static void sti_finish(struct hw_cpu *c)
{
	if (!c->sti_next)
		return;
	c->arch.interruptibility = blocked(c);
	c->sti_next = 0;
	if (c->arch.interruptibility & HW_BLOCK_STI || c->mode & MODE_STEP)
		cpu_update_mode(c);
}

static void step_begin(struct hw_cpu *c)
{
	if (!(c->mode & MODE_STEP)) {
		c->step_armed = false;
		return;
	}
	c->step_armed = true;
	c->step_tf = c->arch.rflags & FLAG_TF;
	c->step_rf = c->arch.rflags & FLAG_RF;
	c->step_shadow = c->arch.interruptibility & (HW_BLOCK_STI | HW_BLOCK_MOV_SS);
	c->step_retired = c->insn_retired;
}

static int deliver_debug(struct hw_cpu *c, u64 dr6, bool trap)
{
	c->fault = (struct cpu_fault){.vector = X86_DB, .dr6 = dr6, .trap = trap};
	return cpu_deliver_fault(c, c->arch.rip);
}

static int check_interrupts(struct hw_cpu *c)
{
	struct hw_event event = {.valid = true, .type = HW_EVENT_EXTINT};

	if (c->ctl.nmi_window && hw_cpu_can_nmi(c))
		return cpu_exit_window(c, true);
	if (!hw_cpu_can_interrupt(c))
		return EXEC_OK;
	if (c->ctl.irq_window)
		return cpu_exit_window(c, false);
	if (c->ctl.hold_virtual_interrupts || !vapic_pending(c, &event.vector))
		return EXEC_OK;
	vapic_accept(c, event.vector);
	return cpu_deliver_event(c, &event);
}

/* HLT that does not exit: nothing wakes the processor but an interrupt or a kick, and neither is worth less than this.
 */
static int stay_halted(void)
{
	const struct timespec nap = {.tv_nsec = 50000};

	nanosleep(&nap, NULL);
	return EXEC_AGAIN;
}

/* In the order of SDM 3A Table 6-2. */
int cpu_check_events(struct hw_cpu *c)
{
	u64 breakpoints;
	int r;

	SYS_TRY(vapic_check_exit(c));
	step_finish(c);
	sti_finish(c);
	if (c->pending_db && !(c->arch.interruptibility & HW_BLOCK_MOV_SS))
		return deliver_debug(c, c->pending_dr6, true);
	r = check_interrupts(c);
	if (r)
		return r;
	if (c->arch.activity == HW_HALTED)
		return stay_halted();
	breakpoints = code_breakpoints(c);
	if (breakpoints && !(c->arch.interruptibility & HW_BLOCK_MOV_SS))
		return deliver_debug(c, breakpoints, false);
	step_begin(c);
	return EXEC_OK;
}
