// SPDX-License-Identifier: Apache-2.0
/*
 * Who signs quotes: a test certification authority that belongs to one user. It stands in a folder of theirs:
 *
 *   root.pem, root.key          made on first use
 *   platform.pem, platform.key  certified by the root, in the place of a processor's PCK certificate
 *
 * All names say that this is a test. A folder whose root says anything else is refused: what softcvm signs proves nothing about a
 * processor, and must never look as if it did.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

#include "hw/addr.h"

struct quote_authority {
	EVP_PKEY *platform_key, *attestation_key; /* the latter is made for the process */
	X509 *root, *platform;
};

#define QUOTE_WHY 4608 /* room for a path */

/* folder NULL: the user's default. Makes what is missing. 0, or -errno and a line in `why`. */
int quote_authority_open(const char *folder, struct quote_authority *out, char why[QUOTE_WHY]);
void quote_authority_close(struct quote_authority *a);

/* The certificate says of itself that it is a test's. */
bool quote_is_test(const X509 *certificate);
/* A file of the folder, or of the default one; -ENAMETOOLONG, -ENOENT without a home. */
int quote_path(const char *folder, const char *name, char *out, size_t size);
X509 *quote_read_certificate(const char *path);

/* SHA-256 and P-256 in the raw form of quotes; false: libcrypto failed, or the signature is wrong. */
bool quote_sign(EVP_PKEY *key, const void *data, size_t size, u8 signature[64]);
bool quote_check(EVP_PKEY *key, const void *data, size_t size, const u8 signature[64]);
bool quote_public_key(EVP_PKEY *key, u8 out[64]);
EVP_PKEY *quote_key_from_public(const u8 raw[64]);
