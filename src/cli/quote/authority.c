// SPDX-License-Identifier: Apache-2.0
#include "cli/quote/authority.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEST_MARK     "softcvm TEST "
#define ROOT_NAME     TEST_MARK "root, proves nothing"
#define PLATFORM_NAME TEST_MARK "platform, proves nothing"
#define ORGANISATION  "softcvm test certificates, no processor vendor"
#define VALID_SECONDS (10l * 365 * 24 * 3600)

/* ---------------------------------------------------------------- files */

static int make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(path, 0700) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

int quote_path(const char *folder, const char *name, char *out, size_t size)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	int n;

	if (folder)
		n = snprintf(out, size, "%s/%s", folder, name);
	else if (data && *data)
		n = snprintf(out, size, "%s/softcvm/test-authority/%s", data, name);
	else if (home && *home)
		n = snprintf(out, size, "%s/.local/share/softcvm/test-authority/%s", home, name);
	else
		return -ENOENT;
	return n < (int)size ? 0 : -ENAMETOOLONG;
}

static FILE *open_file(const char *folder, const char *name, bool create)
{
	char path[PATH_MAX];
	int fd, err = quote_path(folder, name, path, sizeof(path));

	if (!err && create)
		err = make_folders(path);
	if (err) {
		errno = -err;
		return NULL;
	}
	fd = open(path, (create ? O_WRONLY | O_CREAT | O_EXCL : O_RDONLY) | O_CLOEXEC, 0600);
	return fd < 0 ? NULL : fdopen(fd, create ? "w" : "r");
}

static EVP_PKEY *read_key(const char *folder, const char *name)
{
	FILE *file = open_file(folder, name, false);
	EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;

	if (file)
		fclose(file);
	return key;
}

X509 *quote_read_certificate(const char *path)
{
	FILE *file = fopen(path, "re");
	X509 *certificate = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;

	if (file)
		fclose(file);
	return certificate;
}

static X509 *read_certificate(const char *folder, const char *name)
{
	char path[PATH_MAX];

	return quote_path(folder, name, path, sizeof(path)) ? NULL : quote_read_certificate(path);
}

static int write_pem(const char *folder, const char *name, EVP_PKEY *key, X509 *certificate)
{
	FILE *file = open_file(folder, name, true);
	bool ok;

	if (!file)
		return -errno;
	ok = key ? PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) : PEM_write_X509(file, certificate);
	return fclose(file) || !ok ? -EIO : 0;
}

/* ---------------------------------------------------------------- certificates */

static bool set_name(X509_NAME *name, const char *common)
{
	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const u8 *)common, -1, -1, 0) &&
	       X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const u8 *)ORGANISATION, -1, -1, 0);
}

static bool add_constraints(X509 *certificate, X509 *issuer, bool authority)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;
	bool ok;

	X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
	ok = extension && X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	return ok;
}

/* issuer NULL: self-signed */
static X509 *make_certificate(const char *common, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *c = X509_new();
	uint64_t serial;
	bool ok;

	if (!c)
		return NULL;
	ok = RAND_bytes((u8 *)&serial, sizeof(serial)) == 1 && X509_set_version(c, X509_VERSION_3) &&
	     ASN1_INTEGER_set_uint64(X509_get_serialNumber(c), serial >> 1) && X509_gmtime_adj(X509_getm_notBefore(c), -3600) &&
	     X509_gmtime_adj(X509_getm_notAfter(c), VALID_SECONDS) && set_name(X509_get_subject_name(c), common) &&
	     X509_set_issuer_name(c, X509_get_subject_name(issuer ? issuer : c)) && X509_set_pubkey(c, key) &&
	     add_constraints(c, issuer ? issuer : c, !issuer) && X509_sign(c, issuer_key, EVP_sha256());
	if (ok)
		return c;
	X509_free(c);
	return NULL;
}

bool quote_is_test(const X509 *certificate)
{
	char name[128];
	int n = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));

	return n > 0 && !strncmp(name, TEST_MARK, strlen(TEST_MARK));
}

/* ---------------------------------------------------------------- the folder */

static int make_authority(const char *folder)
{
	EVP_PKEY *root_key = EVP_EC_gen("prime256v1"), *key = EVP_EC_gen("prime256v1");
	X509 *root = root_key ? make_certificate(ROOT_NAME, root_key, NULL, root_key) : NULL;
	X509 *platform = root && key ? make_certificate(PLATFORM_NAME, key, root, root_key) : NULL;
	int err = platform ? 0 : -ENOMEM;

	if (!err)
		err = write_pem(folder, "root.key", root_key, NULL);
	if (!err)
		err = write_pem(folder, "platform.key", key, NULL);
	if (!err)
		err = write_pem(folder, "platform.pem", NULL, platform);
	if (!err)
		err = write_pem(folder, "root.pem", NULL, root);
	X509_free(platform);
	X509_free(root);
	EVP_PKEY_free(key);
	EVP_PKEY_free(root_key);
	return err;
}

static int check_authority(const struct quote_authority *a, const char *path, char why[QUOTE_WHY])
{
	EVP_PKEY *root_key = X509_get0_pubkey(a->root);

	if (!quote_is_test(a->root) || !quote_is_test(a->platform)) {
		snprintf(why, QUOTE_WHY, "%s does not say that it is a softcvm test: softcvm signs nothing in the name of a real authority", path);
		return -EPERM;
	}
	if (X509_verify(a->platform, root_key) != 1 || X509_check_private_key(a->platform, a->platform_key) != 1) {
		snprintf(why, QUOTE_WHY, "the keys and certificates beside %s do not belong together", path);
		return -EINVAL;
	}
	return 0;
}

int quote_authority_open(const char *folder, struct quote_authority *out, char why[QUOTE_WHY])
{
	char path[PATH_MAX];
	int err = quote_path(folder, "root.pem", path, sizeof(path));

	*out = (struct quote_authority){};
	if (err) {
		snprintf(why, QUOTE_WHY, "no folder for the test authority: %s", strerror(-err));
		return err;
	}
	if (access(path, F_OK)) {
		err = make_authority(folder);
		if (err) {
			snprintf(why, QUOTE_WHY, "cannot make the test authority of %s: %s", path, strerror(-err));
			return err;
		}
	}
	out->root = read_certificate(folder, "root.pem");
	out->platform = read_certificate(folder, "platform.pem");
	out->platform_key = read_key(folder, "platform.key");
	out->attestation_key = EVP_EC_gen("prime256v1");
	if (!out->root || !out->platform || !out->platform_key || !out->attestation_key) {
		snprintf(why, QUOTE_WHY, "cannot read root.pem, platform.pem and platform.key beside %s", path);
		err = -EINVAL;
	} else {
		err = check_authority(out, path, why);
	}
	if (err)
		quote_authority_close(out);
	return err;
}

void quote_authority_close(struct quote_authority *a)
{
	X509_free(a->root);
	X509_free(a->platform);
	EVP_PKEY_free(a->platform_key);
	EVP_PKEY_free(a->attestation_key);
	*a = (struct quote_authority){};
}
