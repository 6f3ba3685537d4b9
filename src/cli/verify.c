// SPDX-License-Identifier: Apache-2.0
/* softcvm verify: is this TDX report or quote good, and what does it say? */
#include "cli/commands.h"
#include "cli/quote/quote.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_GOOD  0
#define STATUS_BAD   1
#define STATUS_USAGE 2

static const char help_text[] =
	"usage: softcvm verify [OPTIONS] FILE\n"
	"Checks a TDREPORT (1024 bytes) or a TDX quote that a guest of softcvm made, and prints what it says. - is standard input.\n"
	"\n"
	"      --root FILE          certificate that a quote must lead to (default: the test root of this user)\n"
	"      --mrtd HEX           must be this\n"
	"      --reportdata HEX     must begin with this\n"
	"      --help               this text\n"
	"\n"
	"Status: 0 good; 1 not good; 2 wrong options. Quotes of real processors are not judged: their root is refused.\n";

struct request {
	const char *file, *root, *mrtd, *reportdata;
};

/* ---------------------------------------------------------------- printing */

static void print_hex(const char *name, const void *data, size_t size)
{
	const u8 *p = data;

	printf("  %-14s ", name);
	for (size_t i = 0; i < size; i++)
		printf("%02x", p[i]);
	putchar('\n');
}

static void print_measurements(const struct quote_body *b)
{
	char name[16];

	printf("  %-14s %#llx\n  %-14s %#llx\n", "attributes", (unsigned long long)b->attributes, "xfam", (unsigned long long)b->xfam);
	print_hex("mrtd", &b->mrtd, sizeof(b->mrtd));
	for (unsigned int i = 0; i < TDX_RTMR_COUNT; i++) {
		snprintf(name, sizeof(name), "rtmr%u", i);
		print_hex(name, &b->rtmr[i], sizeof(b->rtmr[i]));
	}
	print_hex("mrconfigid", &b->mrconfigid, sizeof(b->mrconfigid));
	print_hex("mrowner", &b->mrowner, sizeof(b->mrowner));
	print_hex("mrownerconfig", &b->mrownerconfig, sizeof(b->mrownerconfig));
	print_hex("mrseam", &b->mrseam, sizeof(b->mrseam));
	print_hex("reportdata", b->reportdata, sizeof(b->reportdata));
}

/* ---------------------------------------------------------------- expectations */

static bool matches(const char *hex, const u8 *data, size_t size)
{
	size_t digits = strlen(hex);

	for (size_t i = 0; i < digits; i++) {
		char want[3];

		if (i / 2 >= size)
			return false;
		snprintf(want, sizeof(want), "%02x", data[i / 2]);
		if (want[i & 1] != (hex[i] >= 'A' && hex[i] <= 'F' ? hex[i] - 'A' + 'a' : hex[i]))
			return false;
	}
	return true;
}

static int expectations(const struct request *r, const struct quote_body *b)
{
	int status = STATUS_GOOD;

	if (r->mrtd && (strlen(r->mrtd) != 2 * TDX_MR_SIZE || !matches(r->mrtd, b->mrtd.b, sizeof(b->mrtd)))) {
		fprintf(stderr, "softcvm verify: MRTD is not %s\n", r->mrtd);
		status = STATUS_BAD;
	}
	if (r->reportdata && !matches(r->reportdata, b->reportdata, sizeof(b->reportdata))) {
		fprintf(stderr, "softcvm verify: REPORTDATA does not begin with %s\n", r->reportdata);
		status = STATUS_BAD;
	}
	return status;
}

/* ---------------------------------------------------------------- reports and quotes */

static int bad(const char *what, const char *why)
{
	fprintf(stderr, "softcvm verify: the %s is not good: %s\n", what, why);
	return STATUS_BAD;
}

static int verify_report(const struct request *r, const u8 *data)
{
	static const char *const verdicts[] = {
		[TDX_REPORT_BAD_TYPE] = "not a TDX report, or reserved bytes are set",
		[TDX_REPORT_BAD_MAC] = "its MAC is wrong",
		[TDX_REPORT_BAD_TCB_HASH] = "TEE_TCB_INFO is not what the MAC covers",
		[TDX_REPORT_BAD_TD_HASH] = "TDINFO is not what the MAC covers",
	};
	struct tdx_report report;
	struct quote_body b;
	int verdict;

	memcpy(&report, data, sizeof(report));
	verdict = tdx_report_verify(&report);
	if (verdict)
		return bad("report", verdict < 0 ? strerror(-verdict) : verdicts[verdict]);
	b = quote_body_of(&report);
	printf("TDREPORT of softcvm's TDX model, MAC good\n");
	print_measurements(&b);
	return expectations(r, &b);
}

static int verify_quote(const struct request *r, const u8 *data, size_t size)
{
	char path[PATH_MAX], why[QUOTE_WHY];
	struct quote_body b;
	X509 *root;
	int err = r->root ? 0 : quote_path(NULL, "root.pem", path, sizeof(path));

	root = err ? NULL : quote_read_certificate(r->root ? r->root : path);
	if (!root) {
		fprintf(stderr, "softcvm verify: no root certificate in %s; it is made when a guest first asks for a quote\n", r->root ? r->root : path);
		return STATUS_BAD;
	}
	err = quote_verify(data, size, root, &b, why);
	X509_free(root);
	if (err)
		return bad("quote", why);
	printf("TDX quote of a softcvm TEST authority, good\n");
	print_measurements(&b);
	return expectations(r, &b);
}

static int verify_file(const struct request *r)
{
	static u8 data[8 * QUOTE_MAX];
	FILE *file = strcmp(r->file, "-") ? fopen(r->file, "re") : stdin;
	size_t size;

	if (!file) {
		fprintf(stderr, "softcvm verify: %s: %s\n", r->file, strerror(errno));
		return STATUS_BAD;
	}
	size = fread(data, 1, sizeof(data), file);
	if (file != stdin)
		fclose(file);
	return size == sizeof(struct tdx_report) && data[0] == TDX_REPORT_TYPE_TDX ? verify_report(r, data) : verify_quote(r, data, size);
}

int cmd_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{ "root", required_argument, NULL, 'r' },
		{ "mrtd", required_argument, NULL, 'm' },
		{ "reportdata", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	static char name[] = "softcvm verify";
	struct request r = {};
	int id;

	argv[0] = name;
	while ((id = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (id) {
		case 'r':
			r.root = optarg;
			break;
		case 'm':
			r.mrtd = optarg;
			break;
		case 'd':
			r.reportdata = optarg;
			break;
		case 'h':
			fputs(help_text, stdout);
			return STATUS_GOOD;
		default:
			return STATUS_USAGE;
		}
	}
	if (optind != argc - 1) {
		fputs("softcvm verify: one file is needed; --help says more\n", stderr);
		return STATUS_USAGE;
	}
	r.file = argv[optind];
	return verify_file(&r);
}
