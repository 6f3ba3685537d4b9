// SPDX-License-Identifier: Apache-2.0
/*
 * The TDX module as the host sees it: SEAMCALL leaves, their completion codes and the structures that they take.
 *
 * A module serves one machine (platform intel). It keeps what belongs to a TD (TDCS), to a vCPU (TDVPS) and the owner of every
 * page (PAMT) where the host cannot reach it; the control pages that the host gives are owned and counted, no more. Only the
 * secure EPT lives in the pages given for it, since the processor walks it there.
 *
 * Physical addresses are those of hw/addr.h: addresses of pages in this process. A page that was given to the module must stay
 * mapped until it is reclaimed or removed.
 *
 * Who holds the state of a vCPU: the hw_cpu that TDH.VP.ENTER is called on becomes the vCPU's until TDH.VP.FLUSH. Meanwhile
 * hw_cpu_arch() and hw_cpu_ctl() of it give the host a blank of its own, and hw_cpu_exit() tells only `kicked` and
 * `host_fault`: a TD's registers are for the TD and the debug port. TDH.VP.FLUSH must come before hw_cpu_destroy().
 *
 * Concurrency: tdx_seamcall() may be called by any thread; what the architecture serialises by locks that fail does so here
 * (TDX_OPERAND_BUSY: the same call may succeed later). TDH.VP.ENTER runs guest code for as long as hw_cpu_run() would;
 * hw_cpu_kick(), hw_cpu_notify_pi() and hw_vm_flush() work as for any hw_cpu.
 *
 * Errors are completion codes: what is wrong with an argument never does worse than to give one. Where the architecture would
 * raise a machine check (a host page vanished under the module) it is TDX_OPERAND_INVALID of that operand.
 */
#pragma once

#include <assert.h>
#include <stddef.h>

#include "hw/hw.h"

struct tdx_module;

/*
 * Initialises the module (TDH.SYS.INIT to TDH.SYS.TDMR.INIT at once: every page of the process is convertible memory). -EINVAL on
 * another platform, -ENOMEM, or -ENOSYS after a message on stderr for each CPUID bit that a TD would see without the
 * processor implementing it.
 */
int tdx_module_create(struct hw_machine *m, struct tdx_module **out);
/* After the last TD; what is left of one is freed. */
void tdx_module_destroy(struct tdx_module *mod);

/*
 * Does what must always hold between secure EPTs and page ownership hold? NULL, or a sentence that says what does not. Guests may
 * run meanwhile, and host leaves that change neither entries nor owners of pages; none that does.
 */
const char *tdx_module_check(struct tdx_module *mod);

/* Registers of a SEAMCALL. RSP has no meaning. XMM: TDH.VP.ENTER around a TDG.VP.VMCALL whose mask names them, else unchanged. */
struct tdx_regs {
	union {
		u64 gpr[16]; /* enum hw_gpr */
		struct {
			u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
			u64 r8, r9, r10, r11, r12, r13, r14, r15;
		};
	};
	u8 xmm[16][16];
};

/*
 * SEAMCALL. regs->rax selects the leaf (15:0) and its version (23:16). Returns, and leaves in regs->rax, the completion code;
 * the leaf's outputs are in the other registers, those that it does not define are unchanged. `lp`: the logical processor that
 * executes it, needed by TDH.VP.ENTER only (elsewhere it may be NULL).
 */
u64 tdx_seamcall(struct tdx_module *mod, struct hw_cpu *lp, struct tdx_regs *regs);

/* ---------------------------------------------------------------- leaves (TDX ABI, interface function leaf numbers) */

enum tdx_seamcall_leaf {
	TDH_VP_ENTER = 0,
	TDH_MNG_ADDCX = 1,	    /* RCX page, RDX TDR */
	TDH_MEM_PAGE_ADD = 2,	    /* RCX gpa (level 0), RDX TDR, R8 page, R9 source */
	TDH_MEM_SEPT_ADD = 3,	    /* RCX gpa|level, RDX TDR, R8 page */
	TDH_VP_ADDCX = 4,	    /* RCX page, RDX TDVPR */
	TDH_MEM_PAGE_AUG = 6,	    /* RCX gpa|level, RDX TDR, R8 page */
	TDH_MEM_RANGE_BLOCK = 7,    /* RCX gpa|level, RDX TDR */
	TDH_MNG_KEY_CONFIG = 8,	    /* RCX TDR */
	TDH_MNG_CREATE = 9,	    /* RCX page for the TDR, RDX HKID */
	TDH_VP_CREATE = 10,	    /* RCX page for the TDVPR, RDX TDR */
	TDH_MNG_RD = 11,	    /* RCX TDR, RDX field; out R8 */
	TDH_MNG_WR = 13,	    /* RCX TDR, RDX field, R8 value, R9 mask; out R8 old */
	TDH_MEM_PAGE_DEMOTE = 15,   /* RCX gpa|level, RDX TDR, R8 page for the table */
	TDH_MR_EXTEND = 16,	    /* RCX gpa of 256 bytes, RDX TDR */
	TDH_MR_FINALIZE = 17,	    /* RCX TDR */
	TDH_VP_FLUSH = 18,	    /* RCX TDVPR */
	TDH_MNG_VPFLUSHDONE = 19,   /* RCX TDR */
	TDH_MNG_KEY_FREEID = 20,    /* RCX TDR */
	TDH_MNG_INIT = 21,	    /* RCX TDR, RDX struct tdx_td_params */
	TDH_VP_INIT = 22,	    /* RCX TDVPR, RDX the guest's initial RCX and R8 */
	TDH_MEM_PAGE_PROMOTE = 23,  /* RCX gpa|level, RDX TDR; out RCX page of the table */
	TDH_PHYMEM_PAGE_RDMD = 24,  /* RCX page; out RCX type, RDX owner's TDR, R8 size, R9 BEPOCH */
	TDH_MEM_SEPT_RD = 25,	    /* RCX gpa|level, RDX TDR; out RCX entry, RDX state */
	TDH_VP_RD = 26,		    /* RCX TDVPR, RDX field; out R8 */
	TDH_PHYMEM_PAGE_RECLAIM = 28, /* RCX page; out as TDH_PHYMEM_PAGE_RDMD, as it was */
	TDH_MEM_PAGE_REMOVE = 29,   /* RCX gpa|level, RDX TDR; out RCX page */
	TDH_MEM_SEPT_REMOVE = 30,   /* RCX gpa|level, RDX TDR; out RCX page */
	TDH_SYS_INIT = 33,	    /* done by tdx_module_create(); the module is ready */
	TDH_SYS_RD = 34,	    /* RDX field; out RDX next field or -1, R8 value */
	TDH_MEM_TRACK = 38,	    /* RCX TDR */
	TDH_MEM_RANGE_UNBLOCK = 39, /* RCX gpa|level, RDX TDR */
	TDH_PHYMEM_CACHE_WB = 40,   /* RCX 0: begin; caches are coherent here */
	TDH_PHYMEM_PAGE_WBINVD = 41, /* RCX page */
	TDH_VP_WR = 43,		    /* RCX TDVPR, RDX field, R8 value, R9 mask; out R8 old */
};

/* Private key ids that TDH.MNG.CREATE takes. One is a TD's from there to TDH.MNG.KEY.FREEID. */
#define TDX_HKID_START 65u
#define TDX_HKID_COUNT 63u

/* RCX of leaves that take an address and a level: 0 = 4K, 1 = 2M, 2 = 1G, and so on: hw_level - 1. */
static inline u64 tdx_gpa_level(gpa_t a, enum hw_level level)
{
	return a.v | (level - 1);
}
/* RDX of a failed walk or a wrong entry state, and of TDH.MEM.SEPT.RD. */
static inline unsigned int tdx_sept_level(u64 rdx)
{
	return rdx & 7;
}
static inline unsigned int tdx_sept_state(u64 rdx)
{
	return rdx >> 8 & 0xff;
}

/* ---------------------------------------------------------------- completion codes */

/* 63 error, 62 not recoverable, 61 fatal, 60 host recoverability hint, 47:40 class, 39:32 code, 31:0 operand or level. */
#define TDX_STATUS_MASK		0xffffffff00000000ull
#define TDX_STATUS_ERROR	(1ull << 63)
#define TDX_STATUS_NON_RECOVERABLE (1ull << 62)
#define TDX_STATUS_FATAL	(1ull << 61)

/* TDX_SUCCESS, TDX_OPERAND_INVALID and so on: 64-bit constants, which an enum of C17 cannot portably hold. */
#define TDX_STATUS(name, value) static const u64 TDX_##name __attribute__((unused)) = value##ull;
#include "observe/tdx.def"
#undef TDX_STATUS

/* Operand ids, bits 31:0 of TDX_OPERAND_INVALID, TDX_OPERAND_BUSY and the like; 0..15 are the GPRs. */
enum tdx_operand {
	TDX_OP_RAX = 0, TDX_OP_RCX = 1, TDX_OP_RDX = 2, TDX_OP_R8 = 8, TDX_OP_R9 = 9,
	TDX_OP_ATTRIBUTES = 64, TDX_OP_XFAM = 65, TDX_OP_EXEC_CONTROLS = 66, TDX_OP_EPTP_CONTROLS = 67, TDX_OP_MAX_VCPUS = 68,
	TDX_OP_CPUID_CONFIG = 69, TDX_OP_TSC_FREQUENCY = 70, TDX_OP_NUM_L2_VMS = 71, TDX_OP_ARCH_CAPABILITIES = 72,
	TDX_OP_TDR = 128, TDX_OP_TDCX = 129, TDX_OP_TDVPR = 130, TDX_OP_TDCS = 144, TDX_OP_TDVPS = 145,
	TDX_OP_SEPT_TREE = 146, TDX_OP_SEPT_ENTRY = 147, TDX_OP_RTMR = 168, TDX_OP_TD_EPOCH = 169, TDX_OP_OP_STATE = 172,
	TDX_OP_METADATA_FIELD = 176,
};

/* ---------------------------------------------------------------- TDH.MNG.INIT (TDX ABI TD_PARAMS) */

#define TDX_ATTR_DEBUG		 (1ull << 0)
#define TDX_ATTR_SEPT_VE_DISABLE (1ull << 28)

#define TDX_CONFIG_GPAW_52	       (1ull << 0)
#define TDX_CONFIG_FLEXIBLE_PENDING_VE (1ull << 1)
#define TDX_CONFIG_NO_RBP_MOD	       (1ull << 2)

#define TDX_TSC_UNIT_KHZ 25000u /* of tsc_frequency; the crystal of CPUID leaf 0x15 */

struct tdx_cpuid_value {
	u32 eax, ebx, ecx, edx;
};
struct tdx_td_params {
	u64 attributes, xfam;
	u16 max_vcpus;
	u8 num_l2_vms;
	u8 msr_config_ctls;
	u32 reserved0;
	u64 eptp_controls; /* 2:0 memory type 6, 5:3 levels of the secure EPT - 1 */
	u64 config_flags;
	u16 tsc_frequency; /* in units of 25 MHz: 4..400 */
	u8 reserved1[38];
	u8 mrconfigid[48], mrowner[48], mrownerconfig[48];
	u64 arch_capabilities_config;
	u8 reserved2[24];
	/* One for each of TDX_FIELD_NUM_CPUID_CONFIG, in the order of TDX_FIELD_CPUID_CONFIG_LEAVES. */
	struct tdx_cpuid_value cpuid[48];
};
static_assert(sizeof(struct tdx_td_params) == 1024 && offsetof(struct tdx_td_params, tsc_frequency) == 40 &&
		      offsetof(struct tdx_td_params, mrconfigid) == 80 &&
		      offsetof(struct tdx_td_params, arch_capabilities_config) == 224 &&
		      offsetof(struct tdx_td_params, cpuid) == 256,
	      "TD_PARAMS");
#define TDX_TD_PARAMS_ALIGN 1024

/* ---------------------------------------------------------------- metadata fields */

/*
 * Field ids: 23:0 code, 33:32 log2 of the element's bytes, 37:34 and 46:38 sequence length - 1, 54:52 context, 61:56 class, 63 not
 * architectural. Bits 33:32, 50, 51 and 54:52 are ignored.
 */

/* TDH.SYS.RD */
#define TDX_FIELD_TDX_FEATURES0	      0x0a00000300000008ull
#define TDX_FIELD_TDR_BASE_SIZE	      0x9800000100000000ull /* bytes */
#define TDX_FIELD_TDCS_BASE_SIZE      0x9800000100000100ull /* bytes: TDH.MNG.ADDCX once a page */
#define TDX_FIELD_TDVPS_BASE_SIZE     0x9800000100000200ull /* bytes: TDVPR, then TDH.VP.ADDCX once for each other page */
#define TDX_FIELD_ATTRIBUTES_FIXED0   0x1900000300000000ull /* bits that may be 1 */
#define TDX_FIELD_ATTRIBUTES_FIXED1   0x1900000300000001ull /* bits that must be 1 */
#define TDX_FIELD_XFAM_FIXED0	      0x1900000300000002ull
#define TDX_FIELD_XFAM_FIXED1	      0x1900000300000003ull
#define TDX_FIELD_NUM_CPUID_CONFIG    0x9900000100000004ull
#define TDX_FIELD_MAX_VCPUS_PER_TD    0x9900000100000008ull
#define TDX_FIELD_CPUID_CONFIG_LEAVES 0x9900000300000400ull /* + n: 31:0 leaf, 63:32 subleaf or -1 */
#define TDX_FIELD_CPUID_CONFIG_VALUES 0x9900000300000500ull /* + 2 n: EAX, EBX << 32; + 2 n + 1: ECX, EDX << 32 */

/* TDH.MNG.RD, TDH.MNG.WR, TDG.VM.RD, TDG.VM.WR */
#define TDX_FIELD_NUM_VCPUS	 0x9010000200000001ull
#define TDX_FIELD_NUM_L2_VMS	 0x9010000100000005ull
#define TDX_FIELD_TD_UUID	 0x8010000300000020ull /* 4 elements */
#define TDX_FIELD_ATTRIBUTES	 0x1110000300000000ull
#define TDX_FIELD_XFAM		 0x1110000300000001ull
#define TDX_FIELD_MAX_VCPUS	 0x1110000200000002ull
#define TDX_FIELD_GPAW		 0x1110000000000003ull
#define TDX_FIELD_TSC_OFFSET	 0x111000030000000aull
#define TDX_FIELD_TSC_MULTIPLIER 0x111000030000000bull
#define TDX_FIELD_TSC_FREQUENCY	 0x111000010000000cull
#define TDX_FIELD_NOTIFY_ENABLES 0x9110000300000010ull
#define TDX_FIELD_CONFIG_FLAGS	 0x1110000300000016ull
#define TDX_FIELD_TD_CTLS	 0x1110000300000017ull
#define TDX_FIELD_MRTD		 0x1310000300000000ull /* 6 elements each */
#define TDX_FIELD_MRCONFIGID	 0x1310000300000010ull
#define TDX_FIELD_MROWNER	 0x1310000300000018ull
#define TDX_FIELD_MROWNERCONFIG	 0x1310000300000020ull
#define TDX_FIELD_RTMR		 0x1310000300000040ull /* 4 x 6 elements */
#define TDX_FIELD_SERVTD_HASH	 0x9910000300000000ull
#define TDX_FIELD_SERVTD_NUM	 0x9910000100000006ull
/* Code: 16 leaf bit 31, 15:9 leaf 6:0, 8 no subleaf, 7:1 subleaf (all ones with bit 8), 0: EAX|EBX<<32 or ECX|EDX<<32. */
#define TDX_FIELD_CPUID_VALUES	 0x9410000300000000ull

#define TDX_TD_CTLS_PENDING_VE_DISABLE (1ull << 0)

/* TDH.VP.RD, TDH.VP.WR: class 0 holds VMCS fields by their encoding (SDM 3D App. B). */
#define TDX_FIELD_POSTED_INTR_NV	0x0000000100000002ull /* the notification vector; kept, without effect */
#define TDX_FIELD_POSTED_INTR_DESC	0x0000000300002016ull /* address of a struct hw_pi_desc, 64-byte aligned; 0: none */
/* Address of a struct stage2 of the host's: the shared EPT. (An EPTP holds less than the software machine needs to know.) Its
 * entries that are not present and have STAGE2_EPT_SUPPRESS_VE clear give #VE in the guest, the others exit. 0: none. */
#define TDX_FIELD_SHARED_EPT		0x000000030000203cull
#define TDX_FIELD_PIN_CTLS		0x0000000200004000ull /* bit 7: process posted interrupts; kept, without effect */
#define TDX_FIELD_VCPU_STATE_DETAILS	0x9100000300000100ull /* bit 0: a virtual interrupt is pending; read only */
#define TDX_FIELD_PEND_NMI		0x200000000000000bull /* bit 0 */

#define TDX_VCPU_INTR_PENDING (1ull << 0)

/* ---------------------------------------------------------------- page metadata: RCX of TDH.PHYMEM.PAGE.RDMD and RECLAIM */

enum tdx_page_type {
	TDX_PAGE_FREE = 0,
	TDX_PAGE_RESERVED = 1,
	TDX_PAGE_REGULAR = 3,
	TDX_PAGE_TDR = 4,
	TDX_PAGE_TDCX = 5,
	TDX_PAGE_TDVPR = 6,
	TDX_PAGE_SEPT = 8,
};

/* ---------------------------------------------------------------- secure EPT entries, as the host may know them */

enum tdx_sept_public_state {
	TDX_SEPT_FREE = 0,
	TDX_SEPT_BLOCKED = 1,
	TDX_SEPT_PENDING = 2,
	TDX_SEPT_PENDING_BLOCKED = 3,
	TDX_SEPT_MAPPED = 4,
		TDX_SEPT_NL_MAPPED = 0x84,
	TDX_SEPT_NL_BLOCKED = 0x81,
};

/* ---------------------------------------------------------------- TDH.VP.ENTER */

/*
 * RCX in: 51:12 TDVPR, 52 host recoverability hint; the other registers only after a TDG.VP.VMCALL: what the guest's mask names
 * goes to the guest. Out:
 *   refused: RAX the status, RCX 0.
 *   asynchronous exit: RAX status | VMX exit reason, RCX qualification (31:0), RDX extended qualification, R8 guest-physical address
 *     (with the shared bit for a shared one, page-aligned), R9 interruption information.
 *   TDG.VP.VMCALL: RAX 77, RCX the mask, each register it names as the guest has it, the others 0.
 */
#define TDX_EXIT_REASON(rax)	((u32)(rax))
#define TDX_EXIT_TDCALL		77u
#define TDX_ENTER_TDVPR		0x000ffffffffff000ull
#define TDX_ENTER_RECOVERY_HINT (1ull << 52)

enum tdx_ext_qual_type { /* bits 3:0 of RDX */
	TDX_EXT_QUAL_NONE = 0,
	TDX_EXT_QUAL_ACCEPT = 1, /* 34:32 level asked for, 37:35 level where the walk stopped, 45:38 state, 46 leaf */
	TDX_EXT_QUAL_GPA_DETAILS = 2,
	TDX_EXT_QUAL_PENDING_EPT_VIOLATION = 6,
};
#define TDX_EXT_QUAL_TYPE(rdx)		((rdx) & 0xf)
#define TDX_EXT_QUAL_ACCEPT_LEVEL(rdx)	((rdx) >> 32 & 7)
