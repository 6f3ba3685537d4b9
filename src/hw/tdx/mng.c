// SPDX-License-Identifier: Apache-2.0
/* mng: host leaves of a TD's life (TDX ABI TDH.MNG.*, TDH.MR.FINALIZE, TDH.PHYMEM.*). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hw/tdx/sept.h"

/* ---------------------------------------------------------------- pages */

u64 tdx_page_take(struct tdx_td *td, u64 page, unsigned int level, enum tdx_page_type type, void *object,
		  unsigned int operand)
{
	const struct pamt_entry e = {.type = type, .td = td, .object = object};
	int r;

	pthread_mutex_lock(&td->mod->lock);
	r = pamt_take(&td->mod->pamt, page, level, &e);
	if (!r && type != TDX_PAGE_TDR)
		td->pages += level > 0 ? 512 : 1;
	pthread_mutex_unlock(&td->mod->lock);
	if (r == -ENOMEM)
		return TDX_OPERAND_BUSY | operand; /* of the model's own: the table needs memory of the host's */
	return r ? TDX_PAGE_METADATA_INCORRECT | operand : TDX_SUCCESS;
}

void tdx_page_give_back(struct tdx_td *td, u64 page, unsigned int level)
{
	pthread_mutex_lock(&td->mod->lock);
	pamt_release(&td->mod->pamt, page, level);
	td->pages -= level > 0 ? 512 : 1;
	pthread_mutex_unlock(&td->mod->lock);
}

/* ---------------------------------------------------------------- creation */

static struct tdx_td *new_td(struct tdx_module *mod, u64 tdr)
{
	struct tdx_td *td = calloc(1, sizeof(*td));

	if (!td)
		return NULL;
	td->mod = mod;
	td->tdr = tdr;
	td->epoch = 1;
	pthread_mutex_init(&td->sept_lock, NULL);
	pthread_mutex_init(&td->epoch_lock, NULL);
	pthread_mutex_init(&td->mr_lock, NULL);
	td->sept.root = aligned_alloc(HW_PAGE_SIZE, HW_PAGE_SIZE);
	if (!td->sept.root || sept_clear_table(ptr_to_hpa(td->sept.root).v) || tdx_mr_create(&td->mr)) {
		tdx_td_free(td);
		return NULL;
	}
	return td;
}

void tdx_td_free(struct tdx_td *td)
{
	pthread_mutex_destroy(&td->sept_lock);
	pthread_mutex_destroy(&td->epoch_lock);
	pthread_mutex_destroy(&td->mr_lock);
	tdx_mr_destroy(td->mr);
	free(td->sept.root);
	free(td);
}

static u64 take_hkid(struct tdx_module *mod, u64 hkid)
{
	u64 status = TDX_HKID_NOT_FREE;

	pthread_mutex_lock(&mod->lock);
	if (mod->hkid[hkid - TDX_HKID_START] == HKID_FREE) {
		mod->hkid[hkid - TDX_HKID_START] = HKID_ASSIGNED;
		status = TDX_SUCCESS;
	}
	pthread_mutex_unlock(&mod->lock);
	return status;
}

static void set_hkid(struct tdx_td *td, enum hkid_state state)
{
	pthread_mutex_lock(&td->mod->lock);
	td->mod->hkid[td->hkid - TDX_HKID_START] = state;
	pthread_mutex_unlock(&td->mod->lock);
}

u64 tdh_mng_create(struct seam_call *s)
{
	u64 page = s->regs->rcx, hkid = s->regs->rdx, status;
	struct tdx_td *td;

	if (!tdx_page_operand(page))
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	if (hkid < TDX_HKID_START || hkid >= TDX_HKID_START + TDX_HKID_COUNT)
		return TDX_OPERAND_INVALID | TDX_OP_RDX;
	td = new_td(s->mod, page);
	if (!td)
		return TDX_OPERAND_BUSY | TDX_OP_RCX;
	td->hkid = hkid;
	status = take_hkid(s->mod, hkid);
	if (!status) {
		status = tdx_page_take(td, page, 0, TDX_PAGE_TDR, td, TDX_OP_RCX);
		if (status)
			set_hkid(td, HKID_FREE);
	}
	if (status) {
		tdx_td_free(td);
		return status;
	}
	pthread_mutex_lock(&s->mod->lock);
	td->next = s->mod->tds;
	s->mod->tds = td;
	pthread_mutex_unlock(&s->mod->lock);
	return TDX_SUCCESS;
}

u64 tdh_mng_key_config(struct seam_call *s)
{
	if (s->td->lifecycle == TD_KEYS_CONFIGURED)
		return TDX_KEY_CONFIGURED;
	if (s->td->lifecycle != TD_HKID_ASSIGNED)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	s->td->lifecycle = TD_KEYS_CONFIGURED;
	return TDX_SUCCESS;
}

u64 tdh_mng_addcx(struct seam_call *s)
{
	u64 page = s->regs->rcx, status;

	if (!tdx_page_operand(page))
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	if (s->td->tdcx == TDCS_PAGES)
		return TDX_TDCX_NUM_INCORRECT;
	status = tdx_page_take(s->td, page, 0, TDX_PAGE_TDCX, NULL, TDX_OP_RCX);
	if (!status)
		s->td->tdcx++;
	return status;
}

/* ---------------------------------------------------------------- TDH.MNG.INIT */

#define EPTP_MEMTYPE_WB 6u

static bool is_zero(const void *p, size_t size)
{
	const u8 *b = p;

	while (size && !*b)
		b++, size--;
	return !size;
}

/* The secure EPT has 4 or 5 levels; 52 bits of address need 5. */
static bool eptp_valid(const struct tdx_td_params *p)
{
	u64 levels = (p->eptp_controls >> 3 & 7) + 1;

	if ((p->eptp_controls & 7) != EPTP_MEMTYPE_WB || p->eptp_controls >> 6)
		return false;
	return levels == 5 || (levels == 4 && !(p->config_flags & TDX_CONFIG_GPAW_52));
}

static bool xfam_valid(u64 xfam)
{
	return !(xfam & ~TD_XFAM_ALLOWED) && (xfam & TD_XFAM_REQUIRED) == TD_XFAM_REQUIRED;
}

/* In the order of TDX ABI TDH.MNG.INIT. */
static u64 check_params(struct seam_call *s, const struct tdx_td_params *p)
{
	if (p->attributes & ~TD_ATTRIBUTES_ALLOWED)
		return TDX_OPERAND_INVALID | TDX_OP_ATTRIBUTES;
	if (!xfam_valid(p->xfam))
		return TDX_OPERAND_INVALID | TDX_OP_XFAM;
	if (!p->max_vcpus || p->max_vcpus > TDX_MAX_VCPUS)
		return TDX_OPERAND_INVALID | TDX_OP_MAX_VCPUS;
	if (p->num_l2_vms)
		return TDX_OPERAND_INVALID | TDX_OP_NUM_L2_VMS;
	if (s->td->tdcx < TDCS_PAGES)
		return TDX_TDCS_NOT_ALLOCATED;
	if (p->msr_config_ctls & ~1u || p->reserved0)
		return TDX_OPERAND_INVALID | TDX_OP_RDX;
	if (p->config_flags & ~(TDX_CONFIG_GPAW_52 | TDX_CONFIG_FLEXIBLE_PENDING_VE | TDX_CONFIG_NO_RBP_MOD))
		return TDX_OPERAND_INVALID | TDX_OP_EXEC_CONTROLS;
	if (!eptp_valid(p))
		return TDX_OPERAND_INVALID | TDX_OP_EPTP_CONTROLS;
	if (p->tsc_frequency < 4 || p->tsc_frequency > 400)
		return TDX_OPERAND_INVALID | TDX_OP_TSC_FREQUENCY;
	if (!is_zero(p->reserved1, sizeof(p->reserved1)) || !is_zero(p->reserved2, sizeof(p->reserved2)))
		return TDX_OPERAND_INVALID | TDX_OP_RDX;
	return TDX_SUCCESS;
}

static u64 configure_cpuid(struct seam_call *s, const struct tdx_td_params *p)
{
	const size_t used = TDX_CPUID_CONFIGS * sizeof(p->cpuid[0]);
	u64 status, where = 0;

	if (!is_zero(&p->cpuid[TDX_CPUID_CONFIGS], sizeof(p->cpuid) - used))
		return TDX_OPERAND_INVALID | TDX_OP_RDX;
	status = td_cpuid_build(s->td, p->cpuid, &where);
	if (status)
		s->regs->rcx = where;
	return status;
}

/* The virtual TSC starts at 0 and counts at its own rate, whatever the processor's. */
static void configure_tsc(struct tdx_td *td)
{
	u64 khz = (u64)td->tsc_frequency * TDX_TSC_UNIT_KHZ;

	td->tsc_mult = ((unsigned __int128)khz << 48) / HW_TSC_KHZ;
	td->tsc_offset = -(u64)((unsigned __int128)hw_machine_tsc(td->mod->machine) * td->tsc_mult >> 48);
}

u64 tdh_mng_init(struct seam_call *s)
{
	struct tdx_td *td = s->td;
	struct tdx_td_params p;
	u64 status;

	if (s->regs->rdx & (TDX_TD_PARAMS_ALIGN - 1) || hw_copy_from_host(&p, hpa(s->regs->rdx), sizeof(p)))
		return TDX_OPERAND_INVALID | TDX_OP_RDX;
	status = check_params(s, &p);
	if (status)
		return status;
	td->attributes = p.attributes;
	td->xfam = p.xfam;
	td->max_vcpus = p.max_vcpus;
	td->config_flags = p.config_flags;
	td->shared_bit = 1ull << (td_gpaw(td) - 1);
	td->tsc_frequency = p.tsc_frequency;
	td->sept.format = STAGE2_EPT;
	td->sept.levels = (p.eptp_controls >> 3 & 7) + 1;
	td->td_ctls = p.attributes & TDX_ATTR_SEPT_VE_DISABLE ? TDX_TD_CTLS_PENDING_VE_DISABLE : 0;
	status = configure_cpuid(s, &p);
	if (!status)
		status = td_arch_capabilities(td, p.msr_config_ctls & 1, p.arch_capabilities_config);
	if (status)
		return status;
	memcpy(td->mrconfigid.b, p.mrconfigid, sizeof(p.mrconfigid));
	memcpy(td->mrowner.b, p.mrowner, sizeof(p.mrowner));
	memcpy(td->mrownerconfig.b, p.mrownerconfig, sizeof(p.mrownerconfig));
	if (getrandom(td->uuid, sizeof(td->uuid), 0) != sizeof(td->uuid))
		return TDX_OPERAND_BUSY;
	configure_tsc(td);
	td_msr_build(td);
	__atomic_store_n(&td->op_state, TD_INITIALIZED, __ATOMIC_RELEASE);
	return TDX_SUCCESS;
}

u64 tdh_mng_rd(struct seam_call *s)
{
	u64 value = 0, status = td_field_read(s->td, s->regs->rdx, false, &value);

	s->regs->r8 = value;
	return status;
}

u64 tdh_mng_wr(struct seam_call *s)
{
	u64 old = 0, status = td_field_write(s->td, s->regs->rdx, false, s->regs->r8, s->regs->r9, &old);

	s->regs->r8 = old;
	return status;
}

u64 tdh_mr_finalize(struct seam_call *s)
{
	struct tdx_td *td = s->td;
	int r;

	if (!td->num_vcpus)
		return TDX_NO_VCPUS;
	pthread_mutex_lock(&td->mr_lock);
	r = tdx_mr_finalize(td->mr, &td->mrtd);
	pthread_mutex_unlock(&td->mr_lock);
	if (r)
		return TDX_OPERAND_BUSY | TDX_OP_TDR;
	__atomic_store_n(&td->op_state, TD_RUNNABLE, __ATOMIC_RELEASE);
	return TDX_SUCCESS;
}

/* ---------------------------------------------------------------- the end */

static bool any_vcpu_associated(const struct tdx_td *td)
{
	return __atomic_load_n(&td->associated_vcpus, __ATOMIC_ACQUIRE) != 0;
}

u64 tdh_mng_vpflushdone(struct seam_call *s)
{
	if (s->td->lifecycle != TD_KEYS_CONFIGURED && s->td->lifecycle != TD_HKID_ASSIGNED)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	if (any_vcpu_associated(s->td))
		return TDX_FLUSHVP_NOT_DONE;
	s->td->lifecycle = TD_BLOCKED;
	set_hkid(s->td, HKID_FLUSHED);
	return TDX_SUCCESS;
}

/* Caches are coherent here: only the order is kept. */
u64 tdh_phymem_cache_wb(struct seam_call *s)
{
	u64 status = TDX_NO_HKID_READY_TO_WBCACHE;

	if (s->regs->rcx > 1)
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	pthread_mutex_lock(&s->mod->lock);
	for (unsigned int n = 0; n < TDX_HKID_COUNT; n++) {
		if (s->mod->hkid[n] != HKID_FLUSHED)
			continue;
		s->mod->hkid[n] = HKID_WRITTEN_BACK;
		status = TDX_SUCCESS;
	}
	pthread_mutex_unlock(&s->mod->lock);
	return status;
}

u64 tdh_mng_key_freeid(struct seam_call *s)
{
	u64 status = TDX_WBCACHE_NOT_COMPLETE;

	if (s->td->lifecycle != TD_BLOCKED)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	pthread_mutex_lock(&s->mod->lock);
	if (s->mod->hkid[s->td->hkid - TDX_HKID_START] == HKID_WRITTEN_BACK) {
		s->mod->hkid[s->td->hkid - TDX_HKID_START] = HKID_FREE;
		s->td->lifecycle = TD_TEARDOWN;
		status = TDX_SUCCESS;
	}
	pthread_mutex_unlock(&s->mod->lock);
	return status;
}

static void page_metadata(struct tdx_regs *regs, const struct pamt_entry *e)
{
	regs->rcx = e ? e->type : TDX_PAGE_FREE;
	regs->rdx = e && e->type != TDX_PAGE_TDR ? e->td->tdr : 0;
	regs->r8 = e ? e->level : 0;
	regs->r9 = e ? e->bepoch : 0;
}

u64 tdh_phymem_page_rdmd(struct seam_call *s)
{
	if (!tdx_page_operand(s->regs->rcx))
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	pthread_mutex_lock(&s->mod->lock);
	page_metadata(s->regs, pamt_find(&s->mod->pamt, s->regs->rcx));
	pthread_mutex_unlock(&s->mod->lock);
	return TDX_SUCCESS;
}

static void unlink_td(struct tdx_module *mod, struct tdx_td *td)
{
	struct tdx_td **at = &mod->tds;

	while (*at != td)
		at = &(*at)->next;
	*at = td->next;
}

/* The TDR, last of all: with it goes the TD. */
static u64 reclaim_tdr(struct tdx_module *mod, struct tdx_td *td)
{
	if (td->pages)
		return TDX_TD_ASSOCIATED_PAGES_EXIST;
	if (!try_lock_exclusive(&td->lock))
		return TDX_OPERAND_BUSY | TDX_OP_RCX;
	unlink_td(mod, td);
	pamt_release(&mod->pamt, td->tdr, 0);
	tdx_td_free(td);
	return TDX_SUCCESS;
}

static u64 reclaim(struct tdx_module *mod, u64 page, const struct pamt_entry *e)
{
	struct tdx_td *td = e->td;
	unsigned int level = e->level;

	if (page & (hw_level_size(level + 1) - 1))
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	if (td->lifecycle != TD_TEARDOWN)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	if (e->type == TDX_PAGE_TDR)
		return reclaim_tdr(mod, td);
	/* Nobody can hold a vCPU's lock for long any more: its TD has no key. */
	if (e->type == TDX_PAGE_TDVPR) {
		struct tdx_vp *vp = e->object;

		if (!try_lock_exclusive(&vp->lock))
			return TDX_OPERAND_BUSY | TDX_OP_RCX;
		tdx_vp_free(vp);
	}
	pamt_release(&mod->pamt, page, level);
	td->pages -= level > 0 ? 512 : 1;
	return TDX_SUCCESS;
}

u64 tdh_phymem_page_reclaim(struct seam_call *s)
{
	static const u8 zero[HW_PAGE_SIZE];
	u64 page = s->regs->rcx, status = TDX_PAGE_METADATA_INCORRECT | TDX_OP_RCX;
	struct pamt_entry *e, was = {0};

	if (!tdx_page_operand(page))
		return TDX_OPERAND_INVALID | TDX_OP_RCX;
	pthread_mutex_lock(&s->mod->lock);
	e = pamt_find(&s->mod->pamt, page);
	if (e) {
		was = *e;
		page_metadata(s->regs, e);
		status = reclaim(s->mod, page, e);
	}
	pthread_mutex_unlock(&s->mod->lock);
	if (!status && was.type == TDX_PAGE_REGULAR)
		for (u64 n = 0; n < hw_level_size(was.level + 1); n += HW_PAGE_SIZE)
			hw_copy_to_host(hpa(page + n), zero, HW_PAGE_SIZE);
	return status;
}

u64 tdh_phymem_page_wbinvd(struct seam_call *s)
{
	/* 51:12; the key id stands in the upper bits of what a host gives */
	return s->regs->rcx & (HW_PAGE_SIZE - 1) ? TDX_OPERAND_INVALID | TDX_OP_RCX : TDX_SUCCESS;
}
