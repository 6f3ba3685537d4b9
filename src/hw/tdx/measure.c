// SPDX-License-Identifier: Apache-2.0
#include "hw/tdx/measure.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

struct tdx_mr {
	EVP_MD_CTX *sha384;
	bool failed;
};

int tdx_mr_create(struct tdx_mr **out)
{
	struct tdx_mr *mr = calloc(1, sizeof(*mr));

	if (!mr)
		return -ENOMEM;
	mr->sha384 = EVP_MD_CTX_new();
	if (!mr->sha384 || !EVP_DigestInit_ex(mr->sha384, EVP_sha384(), NULL)) {
		tdx_mr_destroy(mr);
		return -ENOMEM;
	}
	*out = mr;
	return 0;
}

void tdx_mr_destroy(struct tdx_mr *mr)
{
	if (!mr)
		return;
	EVP_MD_CTX_free(mr->sha384);
	free(mr);
}

/* Each operation enters as one block: its name, padded to 16 bytes, the address, zeros. */
struct mr_block {
	char name[16];
	u64 gpa;
	u8 zero[104];
};
static_assert(sizeof(struct mr_block) == 128, "block of the MRTD algorithm");

static void update(struct tdx_mr *mr, const void *data, size_t size)
{
	if (!EVP_DigestUpdate(mr->sha384, data, size))
		mr->failed = true;
}

void tdx_mr_page_add(struct tdx_mr *mr, gpa_t page)
{
	struct mr_block block = { .name = "MEM.PAGE.ADD", .gpa = page.v };

	update(mr, &block, sizeof(block));
}

void tdx_mr_extend(struct tdx_mr *mr, gpa_t chunk, const u8 data[TDX_EXTEND_CHUNK])
{
	struct mr_block block = { .name = "MR.EXTEND", .gpa = chunk.v };

	update(mr, &block, sizeof(block));
	update(mr, data, TDX_EXTEND_CHUNK);
}

int tdx_mr_finalize(struct tdx_mr *mr, struct tdx_digest *mrtd)
{
	struct tdx_digest digest;

	if (mr->failed || !EVP_DigestFinal_ex(mr->sha384, digest.b, NULL)) {
		mr->failed = true;
		return -ENOMEM;
	}
	*mrtd = digest;
	return 0;
}

static int sha384(const void *data, size_t size, struct tdx_digest *out)
{
	return EVP_Digest(data, size, out->b, NULL, EVP_sha384(), NULL) ? 0 : -ENOMEM;
}

int tdx_rtmr_extend(struct tdx_digest *rtmr, const struct tdx_digest *data)
{
	struct tdx_digest both[2] = { *rtmr, *data };
	struct tdx_digest result;
	int r = sha384(both, sizeof(both), &result);

	if (!r)
		*rtmr = result;
	return r;
}

const u8 tdx_report_key[TDX_REPORT_KEY_SIZE] = "softcvm TDREPORT key: NOT SECRET";

static const char module_sentence[] = "softcvm: a software model of a TDX module, for tests only";
static const char signer_sentence[] = "softcvm: signed by nobody, for tests only";

static int report_mac(const struct tdx_report *report, u8 mac[sizeof(report->mac.mac)])
{
	unsigned int size = 0;

	return HMAC(EVP_sha256(), tdx_report_key, sizeof(tdx_report_key), (const u8 *)&report->mac,
		    offsetof(struct tdx_report_mac, mac), mac, &size)
		       ? 0
		       : -ENOMEM;
}

/* VALID: which fields of TEE_TCB_INFO exist. Bits 0..8 of the fields up to ATTRIBUTES, 16 and 17 of TEE_TCB_SVN2. */
#define TCB_INFO_VALID 0x301ffull

int tdx_report_build(struct tdx_report *report, const struct tdx_td_info *td, const u8 reportdata[TDX_REPORTDATA_SIZE])
{
	*report = (struct tdx_report){
		.mac = { .type = TDX_REPORT_TYPE_TDX },
		.tcb = { .valid = TCB_INFO_VALID },
		.td = *td,
	};
	memcpy(report->mac.reportdata, reportdata, TDX_REPORTDATA_SIZE);
	if (sha384(module_sentence, strlen(module_sentence), &report->tcb.mrseam) ||
	    sha384(signer_sentence, strlen(signer_sentence), &report->tcb.mrsignerseam) ||
	    sha384(&report->tcb, sizeof(report->tcb), &report->mac.tee_tcb_info_hash) ||
	    sha384(&report->td, sizeof(report->td), &report->mac.tee_info_hash))
		return -ENOMEM;
	return report_mac(report, report->mac.mac);
}

static bool all_zero(const u8 *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (p[i])
			return false;
	return true;
}

int tdx_report_verify(const struct tdx_report *report)
{
	const struct tdx_report_mac *m = &report->mac;
	struct tdx_digest tcb, td;
	u8 mac[sizeof(m->mac)];

	if (m->type != TDX_REPORT_TYPE_TDX || m->subtype || m->reserved || !all_zero(m->reserved1, sizeof(m->reserved1)) ||
	    !all_zero(m->reserved2, sizeof(m->reserved2)))
		return TDX_REPORT_BAD_TYPE;
	if (report_mac(report, mac) || sha384(&report->tcb, sizeof(report->tcb), &tcb) ||
	    sha384(&report->td, sizeof(report->td), &td))
		return -ENOMEM;
	if (CRYPTO_memcmp(mac, m->mac, sizeof(mac)))
		return TDX_REPORT_BAD_MAC;
	if (memcmp(&tcb, &m->tee_tcb_info_hash, sizeof(tcb)))
		return TDX_REPORT_BAD_TCB_HASH;
	if (memcmp(&td, &m->tee_info_hash, sizeof(td)))
		return TDX_REPORT_BAD_TD_HASH;
	return TDX_REPORT_GOOD;
}
