// SPDX-License-Identifier: Apache-2.0
/* seamcall: which leaf, on which TD or vCPU, in which state; the log of it (TDX ABI, host-side interface functions). */
#include "hw/tdx/module.h"

/* ---------------------------------------------------------------- locks that fail */

bool try_lock_shared(struct try_lock *l)
{
	int n = __atomic_load_n(&l->holders, __ATOMIC_RELAXED);

	while (n >= 0)
		if (__atomic_compare_exchange_n(&l->holders, &n, n + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

bool try_lock_exclusive(struct try_lock *l)
{
	int n = 0;

	return __atomic_compare_exchange_n(&l->holders, &n, -1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void try_unlock(struct try_lock *l)
{
	if (__atomic_load_n(&l->holders, __ATOMIC_RELAXED) < 0)
		__atomic_store_n(&l->holders, 0, __ATOMIC_RELEASE);
	else
		__atomic_fetch_sub(&l->holders, 1, __ATOMIC_RELEASE);
}

/* ---------------------------------------------------------------- the leaves */

#define TD_SHARED    (1u << 0) /* a TD: its TDR is locked shared */
#define TD_EXCLUSIVE (1u << 1)
#define VP_EXCLUSIVE (1u << 2) /* a vCPU: its TDVPR exclusively, its TD's TDR shared */
#define NEEDS_KEYS   (1u << 3) /* TDH.MNG.KEY.CONFIG was done and the key is still there */
#define NEEDS_TDCS   (1u << 4) /* and every TDCX page was added */
#define VP_FLAGS     (1u << 5) /* the vCPU's operand has flags above its address */

#define TD_READY (NEEDS_KEYS | NEEDS_TDCS)
#define OP_ANY	 (OP_UNINIT | OP_INIT | OP_RUN)

struct seam_leaf {
	seam_leaf_fn fn;
	u8 object; /* register that holds the TDR or TDVPR */
	u8 max_version;
	u8 flags;
	u8 op_states;	 /* OP_*: the states of the TD in which it is allowed */
	u8 busy_operand; /* of TDX_OPERAND_BUSY for the TDR, if not the register's */
};

static const struct seam_leaf leaves[] = {
	[TDH_VP_ENTER] = {tdh_vp_enter, HW_RCX, 0, VP_EXCLUSIVE | TD_READY | VP_FLAGS, OP_RUN},
	[TDH_MNG_ADDCX] = {tdh_mng_addcx, HW_RDX, 0, TD_EXCLUSIVE | NEEDS_KEYS, OP_UNINIT},
	[TDH_MEM_PAGE_ADD] = {tdh_mem_page_add, HW_RDX, 0, TD_SHARED | TD_READY, OP_INIT},
	[TDH_MEM_SEPT_ADD] = {tdh_mem_sept_add, HW_RDX, 1, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_VP_ADDCX] = {tdh_vp_addcx, HW_RDX, 0, VP_EXCLUSIVE | TD_READY, OP_INIT},
	[TDH_MEM_PAGE_AUG] = {tdh_mem_page_aug, HW_RDX, 0, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_MEM_RANGE_BLOCK] = {tdh_mem_range_block, HW_RDX, 0, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_MNG_KEY_CONFIG] = {tdh_mng_key_config, HW_RCX, 0, TD_EXCLUSIVE, OP_ANY},
	[TDH_MNG_CREATE] = {tdh_mng_create},
	[TDH_VP_CREATE] = {tdh_vp_create, HW_RDX, 0, TD_SHARED | TD_READY, OP_INIT},
	[TDH_MNG_RD] = {tdh_mng_rd, HW_RCX, 1, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_MNG_WR] = {tdh_mng_wr, HW_RCX, 0, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_MEM_PAGE_DEMOTE] = {tdh_mem_page_demote, HW_RDX, 0, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_MR_EXTEND] = {tdh_mr_extend, HW_RDX, 0, TD_SHARED | TD_READY, OP_INIT},
	[TDH_MR_FINALIZE] = {tdh_mr_finalize, HW_RCX, 0, TD_EXCLUSIVE | TD_READY, OP_INIT, TDX_OP_TDR},
	[TDH_VP_FLUSH] = {tdh_vp_flush, HW_RCX, 0, VP_EXCLUSIVE | TD_READY, OP_ANY},
	[TDH_MNG_VPFLUSHDONE] = {tdh_mng_vpflushdone, HW_RCX, 0, TD_EXCLUSIVE, OP_ANY},
	[TDH_MNG_KEY_FREEID] = {tdh_mng_key_freeid, HW_RCX, 0, TD_EXCLUSIVE, OP_ANY},
	[TDH_MNG_INIT] = {tdh_mng_init, HW_RCX, 0, TD_EXCLUSIVE | NEEDS_KEYS, OP_UNINIT},
	[TDH_VP_INIT] = {tdh_vp_init, HW_RCX, 0, VP_EXCLUSIVE | TD_READY, OP_INIT},
	[TDH_MEM_PAGE_PROMOTE] = {tdh_mem_page_promote, HW_RDX, 1, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_PHYMEM_PAGE_RDMD] = {tdh_phymem_page_rdmd},
	[TDH_MEM_SEPT_RD] = {tdh_mem_sept_rd, HW_RDX, 0, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_VP_RD] = {tdh_vp_rd, HW_RCX, 1, VP_EXCLUSIVE | TD_READY, OP_INIT | OP_RUN},
	[TDH_PHYMEM_PAGE_RECLAIM] = {tdh_phymem_page_reclaim},
	[TDH_MEM_PAGE_REMOVE] = {tdh_mem_page_remove, HW_RDX, 0, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_MEM_SEPT_REMOVE] = {tdh_mem_sept_remove, HW_RDX, 1, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_SYS_INIT] = {tdh_sys_init},
	[TDH_SYS_RD] = {tdh_sys_rd},
	[TDH_MEM_TRACK] = {tdh_mem_track, HW_RCX, 0, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_MEM_RANGE_UNBLOCK] = {tdh_mem_range_unblock, HW_RDX, 0, TD_SHARED | TD_READY, OP_INIT | OP_RUN},
	[TDH_PHYMEM_CACHE_WB] = {tdh_phymem_cache_wb},
	[TDH_PHYMEM_PAGE_WBINVD] = {tdh_phymem_page_wbinvd},
	[TDH_VP_WR] = {tdh_vp_wr, HW_RCX, 0, VP_EXCLUSIVE | TD_READY, OP_INIT | OP_RUN},
};

static const struct seam_leaf *find_leaf(u64 rax)
{
	u64 leaf = rax & TDX_LEAF_MASK;

	if (rax & TDX_RAX_RESERVED || leaf >= sizeof(leaves) / sizeof(leaves[0]) || !leaves[leaf].fn)
		return NULL;
	return (rax >> TDX_VERSION_SHIFT & 0xff) > leaves[leaf].max_version ? NULL : &leaves[leaf];
}

/* ---------------------------------------------------------------- operands: a TD, a vCPU */

static u64 lock_td(struct seam_call *s, const struct seam_leaf *l, const struct pamt_entry *e)
{
	struct tdx_td *td = e->object;
	bool ok;

	if (e->type != TDX_PAGE_TDR)
		return TDX_PAGE_METADATA_INCORRECT | l->object;
	ok = l->flags & TD_EXCLUSIVE ? try_lock_exclusive(&td->lock) : try_lock_shared(&td->lock);
	if (!ok)
		return TDX_OPERAND_BUSY | (l->busy_operand ? l->busy_operand : l->object);
	s->td = td;
	return TDX_SUCCESS;
}

static u64 lock_vp(struct seam_call *s, const struct seam_leaf *l, const struct pamt_entry *e)
{
	struct tdx_vp *vp = e->object;

	if (e->type != TDX_PAGE_TDVPR)
		return TDX_PAGE_METADATA_INCORRECT | l->object;
	if (!try_lock_exclusive(&vp->lock))
		return TDX_OPERAND_BUSY | l->object;
	if (!try_lock_shared(&vp->td->lock)) {
		try_unlock(&vp->lock);
		return TDX_OPERAND_BUSY | TDX_OP_TDR;
	}
	s->vp = vp;
	s->td = vp->td;
	return TDX_SUCCESS;
}

static u64 lock_object(struct seam_call *s, const struct seam_leaf *l)
{
	u64 page = s->regs->gpr[l->object];
	const struct pamt_entry *e;
	u64 status;

	if (l->flags & VP_FLAGS)
		page &= ~TDX_ENTER_RECOVERY_HINT;
	if (!tdx_page_operand(page))
		return TDX_OPERAND_INVALID | l->object;
	pthread_mutex_lock(&s->mod->lock);
	e = pamt_find(&s->mod->pamt, page);
	if (!e)
		status = TDX_PAGE_METADATA_INCORRECT | l->object;
	else
		status = l->flags & VP_EXCLUSIVE ? lock_vp(s, l, e) : lock_td(s, l, e);
	pthread_mutex_unlock(&s->mod->lock);
	return status;
}

static u64 check_td(const struct tdx_td *td, const struct seam_leaf *l)
{
	if (__atomic_load_n(&td->fatal, __ATOMIC_RELAXED))
		return TDX_TD_FATAL;
	if (l->flags & NEEDS_KEYS && td->lifecycle != TD_KEYS_CONFIGURED)
		return TDX_TD_KEYS_NOT_CONFIGURED;
	if (l->flags & NEEDS_TDCS && td->tdcx < TDCS_PAGES)
		return TDX_TDCS_NOT_ALLOCATED;
	if (!(l->op_states & 1u << td->op_state))
		return TDX_OP_STATE_INCORRECT;
	return TDX_SUCCESS;
}

static u64 call_leaf(struct seam_call *s, const struct seam_leaf *l)
{
	u64 status = TDX_SUCCESS;

	if (l->flags & (TD_SHARED | TD_EXCLUSIVE | VP_EXCLUSIVE))
		status = lock_object(s, l);
	if (!status && s->td)
		status = check_td(s->td, l);
	if (!status)
		status = l->fn(s);
	if (s->vp)
		try_unlock(&s->vp->lock);
	if (s->td)
		try_unlock(&s->td->lock);
	return status;
}

/* What a refused TDH.VP.ENTER leaves behind. */
static void refused_entry(struct tdx_regs *regs)
{
	regs->rcx = 0;
}

u64 tdx_seamcall(struct tdx_module *mod, struct hw_cpu *lp, struct tdx_regs *regs)
{
	struct seam_call s = {.mod = mod, .lp = lp, .regs = regs};
	const struct seam_leaf *l = find_leaf(regs->rax);
	u64 rax = regs->rax, rcx = regs->rcx, rdx = regs->rdx, r8 = regs->r8, status;

	status = l ? call_leaf(&s, l) : TDX_OPERAND_INVALID | TDX_OP_RAX;
	if ((rax & TDX_LEAF_MASK) == TDH_VP_ENTER && status & TDX_STATUS_ERROR)
		refused_entry(regs);
	regs->rax = status;
	observe(mod->obs, OBSERVE_TDX_SEAMCALL, lp ? lp->index : -1, rax & TDX_LEAF_MASK, rcx, rdx, r8,
		status & TDX_STATUS_MASK, (u32)status);
	return status;
}
