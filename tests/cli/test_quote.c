// SPDX-License-Identifier: Apache-2.0
/* Quotes: what was quoted comes back, and no change to one, no other root and no real root passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "cli/quote/quote.h"

static char folder[] = "/tmp/softcvm-quote-XXXXXX";
static struct quote_authority authority;
static struct tdx_report report;
static u8 quote[QUOTE_MAX];
static size_t size;
static char why[QUOTE_WHY];

static int set_up(void **state)
{
	struct tdx_td_info td = { .attributes = 0x10000000, .xfam = 7 };
	u8 data[TDX_REPORTDATA_SIZE] = "what the guest wants to say";

	memset(&td.mrtd, 0xab, sizeof(td.mrtd));
	memset(&td.rtmr[2], 0xcd, sizeof(td.rtmr[2]));
	if (!mkdtemp(folder) || quote_authority_open(folder, &authority, why) || tdx_report_build(&report, &td, data))
		return -1;
	return quote_make(&authority, &report, quote, &size);
}

static int take_down(void **state)
{
	static const char *const files[] = { "root.pem", "root.key", "platform.pem", "platform.key" };

	quote_authority_close(&authority);
	for (unsigned int i = 0; i < 4; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		unlink(path);
	}
	return rmdir(folder);
}

static void test_good(void **state)
{
	struct quote_body body;

	assert_int_equal(quote_verify(quote, size, authority.root, &body, why), 0);
	assert_memory_equal(&body.mrtd, &report.td.mrtd, sizeof(body.mrtd));
	assert_memory_equal(body.rtmr, report.td.rtmr, sizeof(body.rtmr));
	assert_memory_equal(body.reportdata, report.mac.reportdata, sizeof(body.reportdata));
	assert_int_equal(body.attributes, 0x10000000);
}

/* The authority is made once; the key that signs is of this process. */
static void test_opened_again(void **state)
{
	struct quote_authority again;
	struct quote_body body;
	u8 other[QUOTE_MAX];
	size_t other_size;

	assert_int_equal(quote_authority_open(folder, &again, why), 0);
	assert_int_equal(X509_cmp(again.root, authority.root), 0);
	assert_int_equal(quote_make(&again, &report, other, &other_size), 0);
	assert_int_equal(quote_verify(other, other_size, authority.root, &body, why), 0);
	quote_authority_close(&again);
}

static void test_private_files(void **state)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/root.key", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* Up to the certificates every bit counts; in their text, some are only its form. */
static void test_changed(void **state)
{
	size_t binary = (size_t)((u8 *)memmem(quote, size, "-----BEGIN", 10) - quote);
	struct quote_body body;

	for (size_t at = 0; at < binary; at++) {
		quote[at] ^= 1u << at % 8;
		if (!quote_verify(quote, size, authority.root, &body, why))
			fail_msg("byte %zu of the quote may be changed", at);
		quote[at] ^= 1u << at % 8;
	}
	for (size_t at = binary; at < size; at++) {
		quote[at] ^= 1u << at % 8;
		quote_verify(quote, size, authority.root, &body, why);
		quote[at] ^= 1u << at % 8;
	}
	assert_int_equal(quote_verify(quote, size, authority.root, &body, why), 0);
}

static void test_truncated(void **state)
{
	struct quote_body body;

	for (size_t n = 0; n < size; n++) {
		u8 *exact = malloc(n + 1);

		assert_non_null(exact);
		memcpy(exact, quote, n);
		assert_int_not_equal(quote_verify(exact, n, authority.root, &body, why), 0);
		free(exact);
	}
}

static void test_changed_report(void **state)
{
	struct tdx_report other = report;
	u8 out[QUOTE_MAX];
	size_t n;

	other.td.mrtd.b[0] ^= 1;
	assert_int_not_equal(quote_make(&authority, &other, out, &n), 0);
}

static X509 *named_root(const char *name, EVP_PKEY **key)
{
	X509 *c = X509_new();

	*key = EVP_EC_gen("prime256v1");
	assert_true(c && *key);
	X509_set_version(c, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(c), 0);
	X509_gmtime_adj(X509_getm_notAfter(c), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC, (const u8 *)name, -1, -1, 0);
	X509_set_issuer_name(c, X509_get_subject_name(c));
	X509_set_pubkey(c, *key);
	assert_true(X509_sign(c, *key, EVP_sha256()));
	return c;
}

static void test_other_root(void **state)
{
	struct quote_body body;
	EVP_PKEY *key;
	X509 *other = named_root("softcvm TEST root of somebody else", &key);

	assert_int_not_equal(quote_verify(quote, size, other, &body, why), 0);
	assert_non_null(strstr(why, "not issued by this root"));
	X509_free(other);
	EVP_PKEY_free(key);
}

/* Neither to judge by nor to sign with. */
static void test_real_root(void **state)
{
	struct quote_authority a;
	struct quote_body body;
	char path[128], moved[128];
	EVP_PKEY *key;
	X509 *real = named_root("Intel SGX Root CA", &key);
	FILE *file;

	assert_int_not_equal(quote_verify(quote, size, real, &body, why), 0);
	assert_non_null(strstr(why, "not a softcvm test root"));
	snprintf(path, sizeof(path), "%s/root.pem", folder);
	snprintf(moved, sizeof(moved), "%s/moved", folder);
	assert_int_equal(rename(path, moved), 0);
	file = fopen(path, "w");
	assert_non_null(file);
	PEM_write_X509(file, real);
	fclose(file);
	assert_int_equal(quote_authority_open(folder, &a, why), -EPERM);
	assert_int_equal(rename(moved, path), 0);
	X509_free(real);
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	   cmocka_unit_test(test_opened_again), cmocka_unit_test(test_private_files),
		cmocka_unit_test(test_changed),	   cmocka_unit_test(test_truncated),	cmocka_unit_test(test_changed_report),
		cmocka_unit_test(test_other_root), cmocka_unit_test(test_real_root),
	};

	return cmocka_run_group_tests_name("cli/quote", tests, set_up, take_down);
}
