// SPDX-License-Identifier: Apache-2.0
/*
 * The TDX module's own state, as the files of hw/tdx/ see it. Nobody outside includes this.
 *
 *   seamcall.c            dispatch of host leaves: operands, locks, states, the log
 *   mng.c vp.c mem.c      host leaves of TDs, vCPUs, memory
 *   pamt.c sept.c         page ownership; secure EPT entries, their states and the walk
 *   vp_enter.c            TDH.VP.ENTER: running a vCPU and what its exits mean
 *   ve.c cr.c msr.c       exits that end in the guest: #VE, #GP, or the module's own emulation
 *   tdcall*.c             guest leaves
 *   cpuid.c               the virtual CPUID, made at TDH.MNG.INIT
 *   metadata.c            fields of TDs and vCPUs by their ids
 *
 * Locks, in this order: TDR, TDVPR (both try-locks: busy is a completion code), sept_lock, the module's lock, epoch_lock, mr_lock.
 * A TD or vCPU is found by its page and locked in one step under the module's lock; whoever frees it holds it exclusively.
 */
#pragma once

#include <pthread.h>

#include "hw/cpu/cpu.h"
#include "hw/tdx/measure.h"
#include "hw/tdx/pamt.h"
#include "hw/tdx/tdx.h"

#define TDX_LEAF_MASK	  0xffffull
#define TDX_VERSION_SHIFT 16
#define TDX_RAX_RESERVED  0xffffffffff000000ull

#define TDCS_PAGES	  4u
#define TDVPS_PAGES	  6u
#define TDX_MAX_VCPUS	  576u
#define TDX_CPUID_CONFIGS 12u

/* ---------------------------------------------------------------- locks that fail */

/* -1: exclusive; n: shared by n. */
struct try_lock {
	int holders;
};
bool try_lock_shared(struct try_lock *l);
bool try_lock_exclusive(struct try_lock *l);
void try_unlock(struct try_lock *l);

/* ---------------------------------------------------------------- the module */

enum hkid_state { HKID_FREE, HKID_ASSIGNED, HKID_FLUSHED, HKID_WRITTEN_BACK };

struct tdx_module {
	struct hw_machine *machine;
	struct observer *obs;
	pthread_mutex_t lock; /* everything below */
	struct pamt pamt;
	struct tdx_td *tds;
	u8 hkid[TDX_HKID_COUNT]; /* enum hkid_state */
};

/* ---------------------------------------------------------------- a TD */

enum td_lifecycle { TD_HKID_ASSIGNED, TD_KEYS_CONFIGURED, TD_BLOCKED, TD_TEARDOWN };
enum td_op_state { TD_UNINITIALIZED, TD_INITIALIZED, TD_RUNNABLE };
#define OP_UNINIT (1u << TD_UNINITIALIZED)
#define OP_INIT	  (1u << TD_INITIALIZED)
#define OP_RUN	  (1u << TD_RUNNABLE)

/* One leaf and subleaf of the virtual CPUID; TD_CPUID_ANY: whatever the subleaf. */
#define TD_CPUID_ANY	 0xffffffffu
#define TD_CPUID_ENTRIES 72u
struct td_cpuid_entry {
	u32 leaf, subleaf;
	bool ve; /* #VE instead of a value */
	struct hw_cpuid value;
};

struct tdx_td {
	struct tdx_module *mod;
	struct tdx_td *next;
	u64 tdr;		/* page of the TDR */
	struct try_lock lock;	/* the TDR's */
	u64 pages;		/* that it owns, but for the TDR; module's lock */
	u32 hkid;
	enum td_lifecycle lifecycle;
	enum td_op_state op_state; /* atomic: read by vCPUs without the exclusive lock */
	bool fatal;		   /* atomic */
	unsigned int tdcx;

	/* fixed by TDH.MNG.INIT */
	u64 attributes, xfam, config_flags;
	u64 arch_capabilities;
	u64 shared_bit;
	u32 max_vcpus;
	u16 tsc_frequency;
	u64 tsc_offset, tsc_mult;
	struct tdx_digest mrconfigid, mrowner, mrownerconfig;
	u64 uuid[4];
	unsigned int cpuid_count;
	struct td_cpuid_entry cpuid[TD_CPUID_ENTRIES];
	struct hw_msr_bitmap msr_bitmap;

	u32 num_vcpus; /* initialised; atomic */
	u32 associated_vcpus; /* with a processor; atomic */
	u64 td_ctls, notify_enables; /* atomic */

	/* secure EPT: entries are atomics; host leaves are serialised by sept_lock */
	pthread_mutex_t sept_lock;
	struct stage2 sept;

	/* TLB tracking: vCPUs that entered in an even and an odd epoch */
	pthread_mutex_t epoch_lock;
	u64 epoch;
	u32 epoch_users[2];

	pthread_mutex_t mr_lock;
	struct tdx_mr *mr; /* until TDH.MR.FINALIZE */
	struct tdx_digest mrtd, rtmr[TDX_RTMR_COUNT];
};

static inline unsigned int td_gpaw(const struct tdx_td *td)
{
	return td->config_flags & TDX_CONFIG_GPAW_52 ? 52 : 48;
}
/* No bits that a guest-physical address of this TD cannot have. */
static inline bool td_gpa_valid(const struct tdx_td *td, u64 a)
{
	return !(a >> td_gpaw(td));
}
static inline bool td_pending_ve(const struct tdx_td *td)
{
	return !(__atomic_load_n(&td->td_ctls, __ATOMIC_RELAXED) & TDX_TD_CTLS_PENDING_VE_DISABLE);
}

/* ---------------------------------------------------------------- a vCPU */

enum vp_state { VP_UNINIT, VP_READY, VP_ACTIVE, VP_DISABLED };
enum vp_last_exit { VP_LAST_ASYNC, VP_LAST_VMCALL };

/* MSRs that the module keeps for the guest: the processor behind them has nothing to do. */
enum vp_msr {
	VP_MSR_SPEC_CTRL,
	VP_MSR_DS_AREA,
	VP_MSR_UARCH_MISC_CTL,
	VP_MSR_MISC_PACKAGE_CTLS,
	VP_MSR_DEBUG_INTERFACE,
	VP_MSR_COUNT,
};

/* The virtualization-exception information area with the module's own extension. */
struct vp_ve_info {
	struct hw_ve_info hw;
	u32 insn_len, insn_info;
};

struct tdx_vp {
	struct tdx_td *td;
	u64 tdvpr;
	struct try_lock lock;
	unsigned int tdcx;
	enum vp_state state;
	u32 index;
	enum vp_last_exit last_exit;
	u64 vmcall_mask;   /* of the TDG.VP.VMCALL that the host is answering */
	u64 last_epoch;	   /* of its last entry */
	bool cpuid_ve[2];  /* by TDG.VP.CPUIDVE.SET: at CPL 0, above */
	bool pend_nmi;
	u64 notification_vector, pin_ctls;
	struct vp_ve_info ve;
	struct hw_event reinject; /* its delivery was cut short by the last exit */
	u64 msr[VP_MSR_COUNT];
	u8 *vapic; /* 4 KiB */

	/* The processor that holds the state, or NULL: then it is in `saved`. */
	struct hw_cpu *lp;
	struct hw_arch saved, host_arch;
	struct hw_ctl ctl, host_ctl;
};

/* ---------------------------------------------------------------- host leaves (seamcall.c) */

struct seam_call {
	struct tdx_module *mod;
	struct hw_cpu *lp;
	struct tdx_regs *regs;
	struct tdx_td *td; /* locked as the leaf's table entry says */
	struct tdx_vp *vp; /* locked exclusively */
};

typedef u64 (*seam_leaf_fn)(struct seam_call *s);

u64 tdh_mng_create(struct seam_call *s);
u64 tdh_mng_key_config(struct seam_call *s);
u64 tdh_mng_addcx(struct seam_call *s);
u64 tdh_mng_init(struct seam_call *s);
u64 tdh_mng_rd(struct seam_call *s);
u64 tdh_mng_wr(struct seam_call *s);
u64 tdh_mng_vpflushdone(struct seam_call *s);
u64 tdh_mng_key_freeid(struct seam_call *s);
u64 tdh_mr_extend(struct seam_call *s);
u64 tdh_mr_finalize(struct seam_call *s);
u64 tdh_vp_create(struct seam_call *s);
u64 tdh_vp_addcx(struct seam_call *s);
u64 tdh_vp_init(struct seam_call *s);
u64 tdh_vp_flush(struct seam_call *s);
u64 tdh_vp_rd(struct seam_call *s);
u64 tdh_vp_wr(struct seam_call *s);
u64 tdh_vp_enter(struct seam_call *s);
u64 tdh_mem_sept_add(struct seam_call *s);
u64 tdh_mem_sept_remove(struct seam_call *s);
u64 tdh_mem_sept_rd(struct seam_call *s);
u64 tdh_mem_page_add(struct seam_call *s);
u64 tdh_mem_page_aug(struct seam_call *s);
u64 tdh_mem_page_remove(struct seam_call *s);
u64 tdh_mem_page_promote(struct seam_call *s);
u64 tdh_mem_page_demote(struct seam_call *s);
u64 tdh_mem_range_block(struct seam_call *s);
u64 tdh_mem_range_unblock(struct seam_call *s);
u64 tdh_mem_track(struct seam_call *s);
u64 tdh_phymem_page_rdmd(struct seam_call *s);
u64 tdh_phymem_page_reclaim(struct seam_call *s);
u64 tdh_phymem_page_wbinvd(struct seam_call *s);
u64 tdh_phymem_cache_wb(struct seam_call *s);
u64 tdh_sys_init(struct seam_call *s);
u64 tdh_sys_rd(struct seam_call *s);

/* Freed with what they own but for the pages of others (module.c). */
void tdx_td_free(struct tdx_td *td);
void tdx_vp_free(struct tdx_vp *vp);

/* Is `a` a page-aligned physical address? */
static inline bool tdx_page_operand(u64 a)
{
	return a && !(a & ~STAGE2_ADDR_MASK);
}
/* Gives `page` to the TD as `type`. TDX_SUCCESS or a completion code for `operand`. */
u64 tdx_page_take(struct tdx_td *td, u64 page, unsigned int level, enum tdx_page_type type, void *object,
		  unsigned int operand);
void tdx_page_give_back(struct tdx_td *td, u64 page, unsigned int level);

/* ---------------------------------------------------------------- TLB tracking (vp_enter.c) */

/* Is what was blocked in epoch `bepoch` out of every TLB? */
bool td_tracked(struct tdx_td *td, u64 bepoch);

/* ---------------------------------------------------------------- exits (vp_enter.c) */

enum vp_next { VP_RESUME, VP_EXIT };

/* What TDH.VP.ENTER is doing. */
struct vp_run {
	struct tdx_td *td;
	struct tdx_vp *vp;
	struct hw_cpu *lp;
	struct tdx_regs *regs; /* filled before VP_EXIT is returned */
	u64 status;
};

struct vp_exit_info {
	u32 reason;
	u64 qualification, ext_qualification, gpa;
	u32 intr_info;
};
/* Each returns VP_EXIT or VP_RESUME, so that "return vp_inject_gp(r);" reads well. */
enum vp_next vp_async_exit(struct vp_run *r, u64 status, const struct vp_exit_info *info);
enum vp_next vp_inject(struct vp_run *r, u8 vector, bool has_error, u32 error);
enum vp_next vp_inject_ve(struct vp_run *r, const struct vp_ve_info *info);
enum vp_next vp_skip(struct vp_run *r); /* the instruction is complete */
static inline enum vp_next vp_inject_gp(struct vp_run *r)
{
	return vp_inject(r, X86_GP, true, 0);
}

typedef enum vp_next (*vp_exit_fn)(struct vp_run *r, const struct hw_vmx_exit *x);
enum vp_next vp_exit_instruction_ve(struct vp_run *r, const struct hw_vmx_exit *x); /* ve.c */
enum vp_next vp_exit_ept_violation(struct vp_run *r, const struct hw_vmx_exit *x);
enum vp_next vp_exit_cpuid(struct vp_run *r, const struct hw_vmx_exit *x); /* cpuid.c */
enum vp_next vp_exit_rdmsr(struct vp_run *r, const struct hw_vmx_exit *x); /* msr.c */
enum vp_next vp_exit_wrmsr(struct vp_run *r, const struct hw_vmx_exit *x);
enum vp_next vp_exit_cr(struct vp_run *r, const struct hw_vmx_exit *x); /* cr.c */
enum vp_next vp_exit_xsetbv(struct vp_run *r, const struct hw_vmx_exit *x);
enum vp_next vp_exit_tdcall(struct vp_run *r, const struct hw_vmx_exit *x); /* tdcall.c */

/* A private access that the secure EPT refused: #VE for a pending page if the TD wants it so, else an exit. `ve`: as the guest is
 * to see it. */
enum vp_next vp_private_violation(struct vp_run *r, u64 gpa, const struct vp_ve_info *ve);
/* A shared one: always an exit. `reason`: EPT violation or misconfiguration. */
enum vp_next vp_shared_violation(struct vp_run *r, u32 reason, u64 qualification, u64 gpa);
/* The exit, with its extended qualification, of an access to `gpa` (with its shared bit). */
enum vp_next vp_violation_to_host(struct vp_run *r, u32 reason, u64 qualification, u64 gpa, u64 ext);

/* ---------------------------------------------------------------- state of a new vCPU (vp.c) and what a TD may have */

#define TD_CR0_OWNED (1ull << 0 | 1ull << 5 | 1ull << 29 | 1ull << 30) /* PE, NE, NW, CD */
#define TD_CR4_OWNED (1ull << 6 | 1ull << 13 | 1ull << 14)	       /* MCE, VMXE, SMXE */

#define TD_ATTRIBUTES_ALLOWED (TDX_ATTR_DEBUG | TDX_ATTR_SEPT_VE_DISABLE)
#define TD_XFAM_ALLOWED	      7ull /* x87, SSE, AVX: what the processor implements */
#define TD_XFAM_REQUIRED      3ull

/* ---------------------------------------------------------------- CPUID and MSRs */

/* Missing processor features are named on stderr: -ENOSYS. */
int tdx_cpuid_check(const struct hw_machine *m);
/* TDX_SUCCESS, or TDX_OPERAND_INVALID|TDX_OP_CPUID_CONFIG with *where the leaf | subleaf << 32. */
u64 td_cpuid_build(struct tdx_td *td, const struct tdx_cpuid_value *config, u64 *where);
const struct td_cpuid_entry *td_cpuid_find(const struct tdx_td *td, u32 leaf, u32 subleaf);
struct tdx_cpuid_config {
	u32 leaf, subleaf;
	struct hw_cpuid direct, allowed;
};
extern const struct tdx_cpuid_config tdx_cpuid_configs[TDX_CPUID_CONFIGS];

void td_msr_build(struct tdx_td *td);
/* TDX_SUCCESS or TDX_OPERAND_INVALID|TDX_OP_ARCH_CAPABILITIES. */
u64 td_arch_capabilities(struct tdx_td *td, bool configured, u64 config);

/* ---------------------------------------------------------------- metadata (metadata.c) */

u64 td_field_read(struct tdx_td *td, u64 id, bool guest, u64 *value);
u64 td_field_write(struct tdx_td *td, u64 id, bool guest, u64 value, u64 mask, u64 *old);
u64 tdx_sys_field_read(const struct tdx_module *mod, u64 id, u64 *value);
/* The bits of a field id that select it. */
u64 tdx_field_canonical(u64 id);
bool tdx_field_well_formed(u64 id);
