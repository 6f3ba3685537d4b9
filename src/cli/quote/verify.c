// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

#include "cli/quote/quote.h"

/* The parts of a quote, pointing into it. */
struct parts {
	struct quote_signed s;
	struct quote_signature signature;
	struct quote_qe qe;
	const u8 *data;
	u16 data_size;
	const u8 *pem;
	u32 pem_size;
};

struct reader {
	const u8 *at;
	size_t left;
};

/* NULL: there is less. */
static const u8 *take(struct reader *r, size_t size)
{
	const u8 *at = r->at;

	if (r->left < size)
		return NULL;
	r->at += size;
	r->left -= size;
	return at;
}

static bool get(struct reader *r, void *out, size_t size)
{
	const u8 *at = take(r, size);

	if (at)
		memcpy(out, at, size);
	return at;
}

static const char *split(const u8 *quote, size_t size, struct parts *p)
{
	struct reader r = { quote, size };
	struct quote_certification outer, inner;
	u32 rest;

	if (!get(&r, &p->s, sizeof(p->s)) || p->s.header.version != QUOTE_VERSION)
		return "not a quote of version 4";
	if (p->s.header.tee_type != QUOTE_TEE_TDX || p->s.header.key_type != QUOTE_KEY_ECDSA_P256)
		return "not a TDX quote signed by ECDSA P-256";
	/* What stands behind the signature data is padding of the buffer it came in. */
	if (!get(&r, &rest, sizeof(rest)) || rest > r.left)
		return "truncated";
	r.left = rest;
	if (!get(&r, &p->signature, sizeof(p->signature)) || !get(&r, &outer, sizeof(outer)) || outer.type != QUOTE_CERT_QE_REPORT ||
	    outer.size != r.left || !get(&r, &p->qe, sizeof(p->qe)) || !get(&r, &p->data_size, sizeof(p->data_size)))
		return "its signature data is damaged";
	p->data = take(&r, p->data_size);
	if (!p->data || !get(&r, &inner, sizeof(inner)) || inner.type != QUOTE_CERT_CHAIN || inner.size != r.left)
		return "its certification data is damaged";
	p->pem = r.at;
	p->pem_size = inner.size;
	return NULL;
}

static const char *check_chain(const struct parts *p, X509 *root, X509 **leaf)
{
	BIO *pem = BIO_new_mem_buf(p->pem, (int)p->pem_size);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	const char *why = "out of memory";

	*leaf = pem ? PEM_read_bio_X509(pem, NULL, NULL, NULL) : NULL;
	if (!store || !ctx)
		;
	else if (!*leaf)
		why = "it carries no certificate";
	else if (!quote_is_test(*leaf))
		why = "its certificate does not say that it is a softcvm test's";
	else if (!X509_STORE_add_cert(store, root) || !X509_STORE_CTX_init(ctx, store, *leaf, NULL))
		why = "out of memory";
	else
		why = X509_verify_cert(ctx) == 1 ? NULL : "its certificate was not issued by this root";
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	BIO_free(pem);
	return why;
}

static const char *check_enclave(const struct parts *p, X509 *leaf)
{
	u8 digest[SHA256_DIGEST_LENGTH];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && EVP_DigestUpdate(ctx, p->signature.key, sizeof(p->signature.key)) &&
		  EVP_DigestUpdate(ctx, p->data, p->data_size) && EVP_DigestFinal_ex(ctx, digest, NULL);

	EVP_MD_CTX_free(ctx);
	if (!ok)
		return "out of memory";
	if (!quote_check(X509_get0_pubkey(leaf), &p->qe.report, sizeof(p->qe.report), p->qe.signature))
		return "the quoting enclave's report is not signed by the platform";
	if (memcmp(digest, p->qe.report.report_data, sizeof(digest)))
		return "the quoting enclave does not vouch for the key that signed it";
	return NULL;
}

static const char *check_signature(const struct parts *p)
{
	EVP_PKEY *key = quote_key_from_public(p->signature.key);
	bool ok = key && quote_check(key, &p->s, sizeof(p->s), p->signature.signature);

	EVP_PKEY_free(key);
	return ok ? NULL : "its signature is wrong";
}

int quote_verify(const u8 *quote, size_t size, X509 *root, struct quote_body *out, char why[QUOTE_WHY])
{
	struct parts p;
	X509 *leaf = NULL;
	const char *wrong = quote_is_test(root) ? split(quote, size, &p) : "the root is not a softcvm test root, and softcvm judges no others";

	if (!wrong)
		wrong = check_chain(&p, root, &leaf);
	if (!wrong)
		wrong = check_enclave(&p, leaf);
	if (!wrong)
		wrong = check_signature(&p);
	X509_free(leaf);
	if (wrong) {
		snprintf(why, QUOTE_WHY, "%s", wrong);
		return -EBADMSG;
	}
	*out = p.s.body;
	return 0;
}
