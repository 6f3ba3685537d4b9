// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <string.h>

#include "cli/quote/quote.h"

static const char qe_name[] = "softcvm TEST quoting enclave, proves nothing";
static const u8 qe_vendor[16] = "softcvm TEST QE";
static const u8 authentication_data[] = "softcvm TEST quote";

struct writer {
	u8 *at, *end;
};

static void put(struct writer *w, const void *data, size_t size)
{
	if (w->at && (size_t)(w->end - w->at) >= size)
		w->at = (u8 *)memcpy(w->at, data, size) + size;
	else
		w->at = NULL;
}

struct quote_body quote_body_of(const struct tdx_report *r)
{
	struct quote_body b = {
		.mrseam = r->tcb.mrseam, .mrsignerseam = r->tcb.mrsignerseam, .seam_attributes = r->tcb.attributes,
		.attributes = r->td.attributes, .xfam = r->td.xfam, .mrtd = r->td.mrtd, .mrconfigid = r->td.mrconfigid,
		.mrowner = r->td.mrowner, .mrownerconfig = r->td.mrownerconfig,
	};

	memcpy(b.tee_tcb_svn, r->tcb.tee_tcb_svn, sizeof(b.tee_tcb_svn));
	memcpy(b.rtmr, r->td.rtmr, sizeof(b.rtmr));
	memcpy(b.reportdata, r->mac.reportdata, sizeof(b.reportdata));
	return b;
}

static bool fill_qe(const struct quote_authority *a, const struct quote_signature *signature, struct quote_qe *qe)
{
	u8 vouched[sizeof(signature->key) + sizeof(authentication_data)];

	*qe = (struct quote_qe){};
	SHA256((const u8 *)qe_name, sizeof(qe_name) - 1, qe->report.mrenclave);
	memcpy(qe->report.mrsigner, qe->report.mrenclave, sizeof(qe->report.mrsigner));
	memcpy(vouched, signature->key, sizeof(signature->key));
	memcpy(vouched + sizeof(signature->key), authentication_data, sizeof(authentication_data));
	SHA256(vouched, sizeof(vouched), qe->report.report_data);
	return quote_sign(a->platform_key, &qe->report, sizeof(qe->report), qe->signature);
}

static BIO *chain_of(const struct quote_authority *a)
{
	BIO *chain = BIO_new(BIO_s_mem());

	if (chain && PEM_write_bio_X509(chain, a->platform) && PEM_write_bio_X509(chain, a->root))
		return chain;
	BIO_free(chain);
	return NULL;
}

static int assemble(const struct quote_authority *a, const struct quote_signed *s, BIO *chain, u8 *out, size_t *size)
{
	struct writer w = { out, out + QUOTE_MAX };
	struct quote_signature signature;
	struct quote_qe qe;
	char *pem;
	size_t pem_size = (size_t)BIO_get_mem_data(chain, &pem);
	const u16 data_size = sizeof(authentication_data);
	const struct quote_certification inner = { QUOTE_CERT_CHAIN, (u32)pem_size };
	const struct quote_certification outer = {
		QUOTE_CERT_QE_REPORT, (u32)(sizeof(qe) + 2 + data_size + sizeof(inner) + pem_size)
	};
	const u32 rest = (u32)(sizeof(signature) + sizeof(outer) + outer.size);

	if (!quote_public_key(a->attestation_key, signature.key) ||
	    !quote_sign(a->attestation_key, s, sizeof(*s), signature.signature) || !fill_qe(a, &signature, &qe))
		return -ENOMEM;
	put(&w, s, sizeof(*s));
	put(&w, &rest, sizeof(rest));
	put(&w, &signature, sizeof(signature));
	put(&w, &outer, sizeof(outer));
	put(&w, &qe, sizeof(qe));
	put(&w, &data_size, sizeof(data_size));
	put(&w, authentication_data, data_size);
	put(&w, &inner, sizeof(inner));
	put(&w, pem, pem_size);
	if (!w.at)
		return -EMSGSIZE;
	*size = (size_t)(w.at - out);
	return 0;
}

int quote_make(const struct quote_authority *a, const struct tdx_report *report, u8 *out, size_t *size)
{
	struct quote_signed s = {
		.header = { .version = QUOTE_VERSION, .key_type = QUOTE_KEY_ECDSA_P256, .tee_type = QUOTE_TEE_TDX },
		.body = quote_body_of(report),
	};
	int err = tdx_report_verify(report);
	BIO *chain;

	if (err)
		return err < 0 ? err : -EBADMSG;
	memcpy(s.header.qe_vendor_id, qe_vendor, sizeof(qe_vendor));
	chain = chain_of(a);
	if (!chain)
		return -ENOMEM;
	err = assemble(a, &s, chain, out, size);
	BIO_free(chain);
	return err;
}
