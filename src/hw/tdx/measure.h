// SPDX-License-Identifier: Apache-2.0
/*
 * Measurement and reports of the TDX module: MRTD as a running context, RTMRs, TDREPORT_STRUCT with its MAC.
 *
 * Whoever predicts a measurement (`softcvm measure`) runs this same code without a TD.
 *
 * Concurrency: a struct tdx_mr belongs to its caller, who serialises. Everything else is pure.
 */
#pragma once

#include <assert.h>
#include <stddef.h>

#include "hw/addr.h"

#define TDX_MR_SIZE	 48u  /* a SHA-384 digest: MRTD, RTMRs, MRCONFIGID, MROWNER, MROWNERCONFIG */
#define TDX_EXTEND_CHUNK 256u /* bytes that one TDH.MR.EXTEND covers */
#define TDX_RTMR_COUNT	 4u

struct tdx_digest {
	u8 b[TDX_MR_SIZE];
};

/* ---------------------------------------------------------------- MRTD (TDX ABI TDH.MEM.PAGE.ADD, TDH.MR.EXTEND) */

struct tdx_mr;

/* As TDH.MNG.INIT leaves it: nothing hashed. 0 or -ENOMEM. */
int tdx_mr_create(struct tdx_mr **out);
void tdx_mr_destroy(struct tdx_mr *mr); /* NULL is allowed */
/* TDH.MEM.PAGE.ADD: the page's address enters, its contents do not. `page` is 4 KiB aligned. */
void tdx_mr_page_add(struct tdx_mr *mr, gpa_t page);
/* TDH.MR.EXTEND: address and contents of TDX_EXTEND_CHUNK bytes. `chunk` is aligned to that. */
void tdx_mr_extend(struct tdx_mr *mr, gpa_t chunk, const u8 data[TDX_EXTEND_CHUNK]);
/* TDH.MR.FINALIZE. Nothing may be added afterwards. 0, or -ENOMEM when libcrypto failed on the way. */
int tdx_mr_finalize(struct tdx_mr *mr, struct tdx_digest *mrtd);

/* TDG.MR.RTMR.EXTEND: SHA-384(old || data). 0 or -ENOMEM; then *rtmr is unchanged. */
int tdx_rtmr_extend(struct tdx_digest *rtmr, const struct tdx_digest *data);

/* ---------------------------------------------------------------- TDREPORT_STRUCT (TDX ABI TDG.MR.REPORT) */

#define TDX_REPORTDATA_SIZE 64u
#define TDX_REPORT_TYPE_TDX 0x81u
#define TDX_REPORT_KEY_SIZE 32u

struct tdx_report_mac {
	u8 type, subtype, version, reserved;
	u8 reserved1[12];
	u8 cpusvn[16];
	struct tdx_digest tee_tcb_info_hash; /* over the 239 bytes of struct tdx_tcb_info */
	struct tdx_digest tee_info_hash;     /* over the 512 bytes of struct tdx_td_info */
	u8 reportdata[TDX_REPORTDATA_SIZE];
	u8 reserved2[32];
	u8 mac[32]; /* HMAC-SHA-256 of all before it */
};
struct tdx_tcb_info {
	u64 valid;
	u8 tee_tcb_svn[16];
	struct tdx_digest mrseam, mrsignerseam;
	u64 attributes;
	u8 tee_tcb_svn2[16];
	u8 reserved[95];
} __attribute__((packed));
struct tdx_td_info {
	u64 attributes, xfam;
	struct tdx_digest mrtd, mrconfigid, mrowner, mrownerconfig;
	struct tdx_digest rtmr[TDX_RTMR_COUNT];
	struct tdx_digest servtd_hash;
	u8 reserved[64];
};
struct tdx_report {
	struct tdx_report_mac mac;
	struct tdx_tcb_info tcb;
	u8 padding[17];
	struct tdx_td_info td;
};
static_assert(sizeof(struct tdx_report_mac) == 256 && offsetof(struct tdx_report_mac, mac) == 224, "REPORTMACSTRUCT");
static_assert(sizeof(struct tdx_tcb_info) == 239 && offsetof(struct tdx_tcb_info, tee_tcb_svn2) == 128, "TEE_TCB_INFO");
static_assert(sizeof(struct tdx_td_info) == 512 && offsetof(struct tdx_td_info, rtmr) == 208, "TDINFO_STRUCT");
static_assert(sizeof(struct tdx_report) == 1024 && offsetof(struct tdx_report, td) == 512, "TDREPORT_STRUCT");

/*
 * The key of this model's MACs. It is public, so whoever wants to can forge a report: as everything here, it proves nothing
 * about a processor. A genuine processor's key never leaves it.
 */
extern const u8 tdx_report_key[TDX_REPORT_KEY_SIZE];

/*
 * Fills a report for a TD's state: header, TCB information of this model (MRSEAM and MRSIGNERSEAM are digests of sentences that
 * say that it is one; an Intel module's signer is zero), hashes and MAC. 0 or -ENOMEM.
 */
int tdx_report_build(struct tdx_report *report, const struct tdx_td_info *td, const u8 reportdata[TDX_REPORTDATA_SIZE]);

enum tdx_report_verdict {
	TDX_REPORT_GOOD,
	TDX_REPORT_BAD_TYPE,	 /* not a TDX report, or reserved bytes are set */
	TDX_REPORT_BAD_MAC,	 /* not made by this model, or changed since */
	TDX_REPORT_BAD_TCB_HASH, /* TEE_TCB_INFO is not what the MAC covers */
	TDX_REPORT_BAD_TD_HASH,	 /* TDINFO is not what the MAC covers */
};
/* Only on the platform that made it, as EVERIFYREPORT2 and TDG.MR.VERIFYREPORT do. A verdict, or -ENOMEM. */
int tdx_report_verify(const struct tdx_report *report);
