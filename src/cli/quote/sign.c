// SPDX-License-Identifier: Apache-2.0
/* Signatures and public keys in the raw form of quotes: two numbers of 32 bytes, most significant first. */
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>

#include "cli/quote/authority.h"

#define HALF 32

static bool to_raw(const u8 *der, size_t size, u8 out[64])
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)size);
	bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, HALF) == HALF &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + HALF, HALF) == HALF;

	ECDSA_SIG_free(sig);
	return ok;
}

bool quote_sign(EVP_PKEY *key, const void *data, size_t size, u8 signature[64])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	u8 der[128];
	size_t length = sizeof(der);
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		  EVP_DigestSign(ctx, der, &length, data, size) == 1 && to_raw(der, length, signature);

	EVP_MD_CTX_free(ctx);
	return ok;
}

bool quote_check(EVP_PKEY *key, const void *data, size_t size, const u8 signature[64])
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature, HALF, NULL), *s = BN_bin2bn(signature + HALF, HALF, NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	u8 *der = NULL;
	bool ok = false;
	int length;

	if (!sig || !r || !s || !ctx || !ECDSA_SIG_set0(sig, r, s))
		goto out;
	r = s = NULL;
	length = i2d_ECDSA_SIG(sig, &der);
	ok = length > 0 && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	     EVP_DigestVerify(ctx, der, (size_t)length, data, size) == 1;
out:
	OPENSSL_free(der);
	EVP_MD_CTX_free(ctx);
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return ok;
}

bool quote_public_key(EVP_PKEY *key, u8 out[64])
{
	BIGNUM *x = NULL, *y = NULL;
	bool ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) &&
		  BN_bn2binpad(x, out, HALF) == HALF && BN_bn2binpad(y, out + HALF, HALF) == HALF;

	BN_free(x);
	BN_free(y);
	return ok;
}

EVP_PKEY *quote_key_from_public(const u8 raw[64])
{
	u8 point[65] = { 4 }; /* uncompressed */
	char group[] = "prime256v1";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;

	for (unsigned int i = 0; i < 64; i++)
		point[1 + i] = raw[i];
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}
