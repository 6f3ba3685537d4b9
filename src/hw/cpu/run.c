// SPDX-License-Identifier: Apache-2.0
/*
 * run: hw_cpu_run(), requests, and what kvm calls around them.
 *
 * in_run. A thread that revokes something sets a request and then waits until the vCPU has handled it or is not in
 * hw_cpu_run(). The vCPU sets in_run before it looks at its requests; both sides are sequentially consistent, so either
 * the vCPU sees the request before it uses an old translation, or the other thread sees in_run and waits.
 */
#include <string.h>

#include "hw/cpu/block.h"
#include "hw/debug.h"
#include "hw/vm.h"

#define ENDLESS (1ll << 62)

/* ---------------------------------------------------------------- counting */

void cpu_count_retired(struct hw_cpu *c)
{
	u64 count = (u64)(c->budget_counted - c->budget);

	c->insn_retired += count;
	c->counters.instructions = c->insn_retired;
	c->budget_counted = c->budget;
	machine_retired(c->machine, count);
}

/* `budget` below 0 means that the deadline is reached. */
static void set_budget(struct hw_cpu *c)
{
	s64 budget = ENDLESS;

	if (hw_machine_config(c->machine)->icount && c->deadline != ~0ull) {
		u64 now = hw_machine_tsc(c->machine);

		budget = c->deadline <= now ? -1 : c->deadline - now > ENDLESS ? ENDLESS : (s64)(c->deadline - now) - 1;
	}
	c->budget = c->budget_counted = budget;
}

u64 cpu_guest_tsc(const struct hw_cpu *c)
{
	u64 tsc = hw_machine_tsc(c->machine);

	if (hw_machine_config(c->machine)->icount)
		tsc += (u64)(c->budget_counted - c->budget);
	if (c->ctl.tsc_mult)
		tsc = (u64)((unsigned __int128)tsc * c->ctl.tsc_mult >> 48);
	return tsc + c->ctl.tsc_offset;
}

void hw_cpu_set_deadline(struct hw_cpu *c, u64 host_tsc)
{
	c->deadline = host_tsc;
}

void hw_cpu_counters(const struct hw_cpu *c, struct hw_counters *out)
{
	*out = c->counters;
}

/* ---------------------------------------------------------------- requests */

void cpu_request(struct hw_cpu *c, u32 bits)
{
	__atomic_fetch_or(&c->request, bits, __ATOMIC_SEQ_CST);
}

/* REQ_KICK stays until kvm clears it, REQ_STOP until the debugger does. */
#define REQ_STICKY (REQ_KICK | REQ_STOP)

void cpu_process_requests(struct hw_cpu *c, u32 requests)
{
	struct block_cache *b = c->blocks;

	__atomic_fetch_and(&c->request, ~(requests & ~REQ_STICKY), __ATOMIC_SEQ_CST);
	if (requests & REQ_TLB_FLUSH) {
		u64 wanted = __atomic_load_n(&b->flush_wanted, __ATOMIC_SEQ_CST);

		cpu_tlb_flush(c);
		__atomic_store_n(&b->flush_done, wanted, __ATOMIC_RELEASE);
	}
	if (requests & REQ_CODE_DROP)
		code_queue_process(c);
	if (requests & REQ_BLOCK_FLUSH)
		block_drop_all(c);
	if (requests & REQ_CODE_CHECK)
		block_new_generation(c);
}

void cpu_pin(struct hw_cpu *c)
{
	__atomic_store_n(&c->in_run, 1, __ATOMIC_SEQ_CST);
}

void cpu_unpin(struct hw_cpu *c)
{
	__atomic_store_n(&c->in_run, 0, __ATOMIC_SEQ_CST);
}

void hw_cpu_kick(struct hw_cpu *c)
{
	cpu_request(c, REQ_KICK);
}

void hw_cpu_clear_kick(struct hw_cpu *c)
{
	__atomic_fetch_and(&c->request, ~REQ_KICK, __ATOMIC_SEQ_CST);
}

void hw_cpu_notify_pi(struct hw_cpu *c)
{
	cpu_request(c, REQ_PI);
}

void hw_cpu_check_code(struct hw_cpu *c)
{
	cpu_request(c, REQ_CODE_CHECK);
}

/* ---------------------------------------------------------------- the debugger */

/* Whoever waits for this vCPU meanwhile must not: it is as if it had left hw_cpu_run(). */
static void park(struct hw_cpu *c, enum debug_stop_reason reason)
{
	cpu_count_retired(c);
	c->arch.rflags = cpu_get_rflags(c);
	__atomic_store_n(&c->in_run, 0, __ATOMIC_SEQ_CST);
	debug_park(c->debug, c, reason);
	__atomic_store_n(&c->in_run, 1, __ATOMIC_SEQ_CST);
	c->flags = flags_from_eflags((u32)c->arch.rflags);
	c->blocks->link = NULL;
	c->blocks->passed_breakpoint = c->arch.rip;
}

/* REQ_STOP: parked, unless this vCPU is to execute one instruction. */
static bool debugger_wants(struct hw_cpu *c)
{
	if (!c->debug || debug_stepping(c->debug, c))
		return false;
	park(c, DEBUG_STOP_REQUEST);
	return true;
}

/* Execution goes on at a breakpoint where it has just stopped. */
static bool at_breakpoint(struct hw_cpu *c)
{
	u64 passed = c->blocks->passed_breakpoint;

	c->blocks->passed_breakpoint = ~0ull;
	if (passed == c->arch.rip || !debug_breakpoint_at(c->debug, c->arch.rip))
		return false;
	park(c, DEBUG_STOP_BREAKPOINT);
	return true;
}

/* ---------------------------------------------------------------- running */

/* Whether to go on. An event that was delivered may be followed by another. */
static bool handled(struct hw_cpu *c, int result, u64 next_rip, bool *check)
{
	if (result == EXEC_FAULT) {
		cpu_insn_done(c);
		result = cpu_deliver_fault(c, next_rip);
	}
	*check = true;
	return result != EXEC_EXIT;
}

/* Blocks until something needs attention. Requests and events were looked at; false: exit. */
static bool run_blocks(struct hw_cpu *c, bool *check)
{
	struct block_cache *b = c->blocks;
	/* An instruction whose accesses were completed outside ends before anything else happens. */
	bool mid_insn = c->done_count != 0;
	bool stepping = unlikely(c->debug) && debug_stepping(c->debug, c);
	u32 mode = c->mode | (mid_insn || stepping ? MODE_STEP : 0);
	const struct op *first;
	int r;

	if (unlikely(c->debug) && !mid_insn && !stepping && at_breakpoint(c))
		return true;
	r = block_find(c, mode, &first);
	if (r == EXEC_AGAIN)
		return true;
	if (r != EXEC_OK)
		return handled(c, r, c->arch.rip, check);
	b->result = EXEC_OK;
	b->leave = false;
	dispatch(first, c);
	r = b->result;
	if (r != EXEC_OK) {
		if (!handled(c, r, c->arch.rip + b->insn_len, check))
			return false;
		if (stepping)
			park(c, DEBUG_STOP_STEP);
		return true;
	}
	if (mid_insn)
		cpu_insn_done(c);
	if (stepping)
		park(c, DEBUG_STOP_STEP);
	if (mode & MODE_STEP)
		*check = true;
	return true;
}

static void run(struct hw_cpu *c)
{
	bool check = true;

	for (;;) {
		u32 requests = __atomic_load_n(&c->request, __ATOMIC_ACQUIRE);

		if (unlikely(requests)) {
			if (requests & ~REQ_STICKY)
				cpu_process_requests(c, requests);
			if (requests & REQ_STOP && debugger_wants(c))
				continue;
			check |= (requests & (REQ_EVENT | REQ_PI)) != 0;
		}
		if (unlikely(requests & REQ_KICK) || unlikely(c->budget < 0)) {
			cpu_exit_kicked(c);
			return;
		}
		if ((check || c->mode & MODE_STEP) && !c->done_count) {
			int r;

			cpu_count_retired(c);
			check = false;
			r = cpu_check_events(c);
			if (r != EXEC_OK) {
				if (!handled(c, r, c->arch.rip, &check))
					return;
				continue;
			}
		}
		if (!run_blocks(c, &check))
			return;
	}
}

/* Event injection, SDM 3C 26.6 / APM2 15.20. */
static bool inject(struct hw_cpu *c)
{
	struct hw_event event = c->ctl.inject;

	if (!event.valid)
		return true;
	c->ctl.inject.valid = false;
	return cpu_deliver_event(c, &event) != EXEC_EXIT;
}

void hw_cpu_run(struct hw_cpu *c)
{
	__atomic_store_n(&c->in_run, 1, __ATOMIC_SEQ_CST);
	c->flags = flags_from_eflags((u32)c->arch.rflags);
	c->blocks->link = NULL;
	memset(&c->exit, 0, sizeof(c->exit));
	c->exit_pending_access = false;
	set_budget(c);
	cpu_process_requests(c, __atomic_load_n(&c->request, __ATOMIC_SEQ_CST) &
					(REQ_TLB_FLUSH | REQ_CODE_DROP | REQ_CODE_CHECK | REQ_BLOCK_FLUSH));
	if (inject(c))
		run(c);
	cpu_count_retired(c);
	c->arch.rflags = cpu_get_rflags(c);
	c->counters.exits++;
	__atomic_store_n(&c->in_run, 0, __ATOMIC_SEQ_CST);
}

/* ---------------------------------------------------------------- state from outside */

struct hw_arch *hw_cpu_arch(struct hw_cpu *c)
{
	return c->host_arch ? c->host_arch : &c->arch;
}

struct hw_ctl *hw_cpu_ctl(struct hw_cpu *c)
{
	return c->host_ctl ? c->host_ctl : &c->ctl;
}

const struct hw_exit *hw_cpu_exit(const struct hw_cpu *c)
{
	return &c->exit;
}

void hw_cpu_arch_changed(struct hw_cpu *c)
{
	c->flags = flags_from_eflags((u32)c->arch.rflags);
	cpu_update_mode(c);
	cpu_tlb_flush(c);
}

void hw_cpu_reset(struct hw_cpu *c, bool init)
{
	if (c->host_arch)
		return;
	hw_cpu_drop_access(c);
	cpu_reset_arch(c, init);
	hw_cpu_arch_changed(c);
}

void hw_cpu_skip_insn(struct hw_cpu *c)
{
	u64 tf = c->arch.rflags & FLAG_TF;

	if (cpu_is_intel(c))
		c->arch.rip += c->exit.vmx.insn_len;
	else
		c->arch.rip = c->exit.svm.next_rip;
	if (!cpu_cs64(c))
		c->arch.rip = (u32)c->arch.rip;
	c->arch.interruptibility &= ~(HW_BLOCK_STI | HW_BLOCK_MOV_SS);
	if (tf) {
		c->pending_db = true;
		c->pending_dr6 |= 1u << 14; /* DR6.BS */
	}
	cpu_update_mode(c);
}
