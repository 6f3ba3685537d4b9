// SPDX-License-Identifier: Apache-2.0
/*
 * A TDX quote of version 4 (Intel SGX/TDX DCAP quote generation: Quote Format, ECDSA-256-with-P-256 with certification data of type 6):
 *
 *   struct quote_header, struct quote_body     what is signed
 *   u32 size of what follows
 *   struct quote_signature                     by the attestation key
 *   struct quote_certification, type 6         the quoting enclave vouches for that key:
 *     struct quote_qe                          its report, signed by the platform's key
 *     u16 size, authentication data
 *     struct quote_certification, type 5       the certificates of the platform's key, PEM, leaf first
 */
#pragma once

#include <assert.h>

#include "hw/tdx/measure.h"

#define QUOTE_VERSION	     4u
#define QUOTE_KEY_ECDSA_P256 2u
#define QUOTE_TEE_TDX	     0x81u
#define QUOTE_CERT_QE_REPORT 6u
#define QUOTE_CERT_CHAIN     5u
#define QUOTE_P256_SIZE	     64u /* r and s, or x and y */
#define QUOTE_MAX	     16384u

struct quote_header {
	u16 version, key_type;
	u32 tee_type;
	u16 reserved[2];
	u8 qe_vendor_id[16];
	u8 user_data[20];
};
struct quote_body {
	u8 tee_tcb_svn[16];
	struct tdx_digest mrseam, mrsignerseam;
	u64 seam_attributes, attributes, xfam;
	struct tdx_digest mrtd, mrconfigid, mrowner, mrownerconfig;
	struct tdx_digest rtmr[TDX_RTMR_COUNT];
	u8 reportdata[TDX_REPORTDATA_SIZE];
};
struct quote_signed {
	struct quote_header header;
	struct quote_body body;
};
struct quote_signature {
	u8 signature[QUOTE_P256_SIZE];
	u8 key[QUOTE_P256_SIZE];
};
struct quote_certification {
	u16 type;
	u32 size;
} __attribute__((packed));
/* An SGX report body. report_data begins with SHA-256 of the attestation key and the authentication data. */
struct quote_qe_report {
	u8 cpusvn[16];
	u32 miscselect;
	u8 reserved1[28];
	u8 attributes[16];
	u8 mrenclave[32];
	u8 reserved2[32];
	u8 mrsigner[32];
	u8 reserved3[96];
	u16 isv_prod_id, isv_svn;
	u8 reserved4[60];
	u8 report_data[64];
};
struct quote_qe {
	struct quote_qe_report report;
	u8 signature[QUOTE_P256_SIZE];
};
static_assert(sizeof(struct quote_header) == 48 && sizeof(struct quote_body) == 584, "TD quote body 1.0");
static_assert(sizeof(struct quote_qe_report) == 384 && sizeof(struct quote_certification) == 6, "SGX report body");
