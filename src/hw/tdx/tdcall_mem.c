// SPDX-License-Identifier: Apache-2.0
/* tdcall_mem: TDG.MEM.PAGE.ACCEPT, and memory operands of guest leaves. */
#include <sched.h>
#include <string.h>

#include "hw/tdx/sept.h"
#include "hw/tdx/tdcall.h"

#define QUAL_READ	 (1ull << 0)
#define QUAL_WRITE	 (1ull << 1)
#define QUAL_PERMS_SHIFT 3

/* ---------------------------------------------------------------- operands */

static u64 qualification(const struct tdcall_operand *o, unsigned int perms)
{
	return (o->write ? QUAL_WRITE : QUAL_READ) | (u64)perms << QUAL_PERMS_SHIFT;
}

static struct vp_ve_info operand_ve(const struct tdcall_operand *o, unsigned int perms)
{
	return (struct vp_ve_info){
		.hw =
			{
				.exit_reason = VMX_EXIT_EPT_VIOLATION,
				.qualification = qualification(o, perms),
				.guest_physical = o->gpa,
			},
	};
}

/* A shared page that is not there: #VE if its entry says so, as for the guest's own access. */
static enum vp_next shared_fault(struct tdcall *t, const struct tdcall_operand *o, const struct stage2_walk *w)
{
	const struct vp_ve_info ve = operand_ve(o, w->perms);

	if (w->result == STAGE2_RESERVED)
		return vp_shared_violation(t->run, VMX_EXIT_EPT_MISCONFIG, 0, o->gpa);
	if (!(w->entry & STAGE2_EPT_SUPPRESS_VE))
		return vp_inject_ve(t->run, &ve);
	return vp_shared_violation(t->run, VMX_EXIT_EPT_VIOLATION, ve.hw.qualification, o->gpa);
}

static bool copy(struct hw_cpu *c, hpa_t host, const struct tdcall_operand *o, void *buf)
{
	if (!o->write)
		return !hw_copy_from_host(buf, host, o->size);
	if (hw_copy_to_host(host, buf, o->size))
		return false;
	hw_vm_memory_written(c->vm, host, o->size);
	return true;
}

static enum tdcall_result copy_pinned(struct tdcall *t, const struct tdcall_operand *o, void *buf)
{
	struct hw_cpu *c = t->run->lp;
	enum hw_claim claim = cpu_claim_of(c, o->gpa);
	gpa_t where = gpa(o->gpa & ~t->run->td->shared_bit);
	struct stage2_walk w;

	stage2_walk(cpu_stage2(c, claim), where, o->write ? STAGE2_W : STAGE2_R, &w);
	if (w.result == STAGE2_OK)
		return tdcall_done(t, copy(c, w.hpa, o, buf) ? TDX_SUCCESS : TDX_OPERAND_INVALID | o->reg);
	if (claim == CLAIM_SHARED)
		return tdcall_other(t, shared_fault(t, o, &w));

	const struct vp_ve_info ve = operand_ve(o, w.perms);

	return tdcall_other(t, vp_private_violation(t->run, o->gpa, &ve));
}

enum tdcall_result tdcall_copy(struct tdcall *t, const struct tdcall_operand *o, void *buf)
{
	const struct tdx_td *td = t->run->td;
	enum tdcall_result result;

	if (!td_gpa_valid(td, o->gpa) || (o->private_only && o->gpa & td->shared_bit))
		return tdcall_done(t, TDX_OPERAND_INVALID | o->reg);
	/* The host waits for whoever may be using its tables and pages. */
	cpu_pin(t->run->lp);
	result = copy_pinned(t, o, buf);
	cpu_unpin(t->run->lp);
	return result;
}

/* ---------------------------------------------------------------- TDG.MEM.PAGE.ACCEPT */

#define ACCEPT_MAX_LEVEL 1u

/* How often to look again at an entry that a host leaf holds, which is never for long. */
#define ACCEPT_PATIENCE 10000u

static bool accept_operand(const struct tdx_td *td, u64 rcx, u64 *address, unsigned int *level)
{
	*level = rcx & 7;
	*address = rcx & ~7ull;
	return *level <= ACCEPT_MAX_LEVEL && !(*address & (hw_level_size(*level + 1) - 1)) &&
	       td_gpa_valid(td, *address) && !(*address & td->shared_bit);
}

/* The host is to make the page ready at the level that was asked for; the guest then calls again. */
static enum tdcall_result accept_exit(struct tdcall *t, u64 address, unsigned int level, const struct sept_walk *w)
{
	bool leaf = w->level == 0 || w->value & SEPT_LEAF;
	u64 info = level | w->level << 3 | sept_public_state(w->state) << 6 | (u64)leaf << 14;
	u64 qual = QUAL_WRITE | (w->value & SEPT_RWX) << QUAL_PERMS_SHIFT;

	return tdcall_other(t, vp_violation_to_host(t->run, VMX_EXIT_EPT_VIOLATION, qual, address,
						    TDX_EXT_QUAL_ACCEPT | info << 32));
}

/* False: the memory behind the page is gone. */
static bool clear_pages(struct hw_cpu *c, u64 page, unsigned int level)
{
	static const u8 zero[HW_PAGE_SIZE];
	u64 size = hw_level_size(level + 1);

	for (u64 n = 0; n < size; n += HW_PAGE_SIZE)
		if (hw_copy_to_host(hpa(page + n), zero, sizeof(zero)))
			return false;
	/* What ran there in the page's earlier life. */
	hw_vm_memory_written(c->vm, hpa(page), size);
	return true;
}

/* The entry is locked. */
static enum tdcall_result accept_pending(struct tdcall *t, u64 address, unsigned int level, struct sept_walk *w)
{
	struct tdx_module *mod = t->run->td->mod;

	if (!clear_pages(t->run->lp, sept_page(w->value), level)) {
		sept_unlock_entry(w, w->value);
		return tdcall_done(t, TDX_OPERAND_INVALID | TDX_OP_RCX);
	}
	sept_unlock_entry(w, sept_make(SEPT_MAPPED, sept_page(w->value), level));
	observe(mod->obs, OBSERVE_TDX_SEPT, t->run->lp->index, address, level, TDX_SEPT_PENDING, TDX_SEPT_MAPPED);
	return tdcall_done(t, TDX_SUCCESS);
}

static enum tdcall_result accept_found(struct tdcall *t, u64 address, unsigned int level, const struct sept_walk *w)
{
	switch ((enum sept_verdict)sept_rules[SEPT_OP_ACCEPT][w->state].verdict) {
	case SEPT_ALREADY_ACCEPTED:
		return tdcall_done(t, TDX_PAGE_ALREADY_ACCEPTED | level);
	case SEPT_WRONG_SIZE:
		return tdcall_done(t, TDX_PAGE_SIZE_MISMATCH | level);
	default:
		return accept_exit(t, address, level, w);
	}
}

enum tdcall_result tdg_mem_page_accept(struct tdcall *t)
{
	const struct tdx_td *td = t->run->td;
	struct sept_walk w;
	unsigned int level;
	u64 address;

	if (!accept_operand(td, t->gpr[HW_RCX], &address, &level))
		return tdcall_done(t, TDX_OPERAND_INVALID | TDX_OP_RCX);
	for (unsigned int n = 0; n < ACCEPT_PATIENCE; n++) {
		if (!sept_walk(td, address, level, &w)) {
			if (w.state == SEPT_MAPPED)
				return tdcall_done(t, TDX_PAGE_ALREADY_ACCEPTED | w.level);
			return accept_exit(t, address, level, &w);
		}
		if (w.state != SEPT_PENDING)
			return accept_found(t, address, level, &w);
		if (sept_lock_entry(&w))
			return accept_pending(t, address, level, &w);
		sched_yield();
	}
	return tdcall_done(t, TDX_OPERAND_BUSY | TDX_OP_RCX);
}
