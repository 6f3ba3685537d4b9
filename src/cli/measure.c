// SPDX-License-Identifier: Apache-2.0
/* softcvm measure: what the security hardware will say of a guest, without running it. */
#include "cli/commands.h"
#include "cli/measure_tdx.h"
#include "vmm/blob.h"
#include "vmm/tdvf.h"
#include "vmm/vmm.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FIRMWARE (64ull << 20)

enum { OPT_VM_TYPE = 256, OPT_FIRMWARE, OPT_ORDER, OPT_EXPLAIN, OPT_HELP };

static const struct option long_options[] = {
	{ "vm-type", required_argument, NULL, OPT_VM_TYPE },
	{ "firmware", required_argument, NULL, OPT_FIRMWARE },
	{ "order", required_argument, NULL, OPT_ORDER },
	{ "explain", no_argument, NULL, OPT_EXPLAIN },
	{ "help", no_argument, NULL, OPT_HELP },
	{},
};

static const char help_text[] =
	"usage: softcvm measure --vm-type tdx --firmware FILE [OPTIONS]\n"
	"Prints the measurement that a guest will have (TDX: MRTD), without running it.\n"
	"\n"
	"      --vm-type TYPE       tdx\n"
	"      --firmware FILE      TDVF image: OVMF, td-shim\n"
	"      --order ORDER        interleaved: each page added and extended before the next, as KVM does (default);\n"
	"                           two-pass: all pages of a section added, then all extended\n"
	"      --explain            each step with its address, size and cause, before the result\n"
	"      --help               this text\n";

struct options {
	const char *firmware;
	bool tdx, explain, help;
	enum mrtd_order order;
};

static bool fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static bool fail(const char *fmt, ...)
{
	va_list ap;

	fputs("softcvm measure: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return false;
}

static bool set_option(int id, const char *value, struct options *o)
{
	switch (id) {
	case OPT_VM_TYPE:
		o->tdx = !strcmp(value, "tdx");
		return o->tdx || fail("--vm-type: '%s' has no measurement here; tdx has", value);
	case OPT_FIRMWARE:
		o->firmware = value;
		return true;
	case OPT_ORDER:
		o->order = strcmp(value, "two-pass") ? MRTD_INTERLEAVED : MRTD_TWO_PASS;
		return o->order == MRTD_TWO_PASS || !strcmp(value, "interleaved") ||
		       fail("--order: '%s' is neither interleaved nor two-pass", value);
	case OPT_EXPLAIN:
		return o->explain = true;
	case OPT_HELP:
		return o->help = true;
	default: /* getopt has said what is wrong */
		return false;
	}
}

static bool parse(int argc, char **argv, struct options *o)
{
	static char name[] = "softcvm measure";
	int id;

	argv[0] = name; /* what getopt begins its messages with */
	while (!o->help && (id = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (!set_option(id, optarg, o))
			return false;
	if (o->help)
		return true;
	if (optind < argc)
		return fail("'%s' is not an option", argv[optind]);
	if (!o->tdx)
		return fail("--vm-type is missing");
	return o->firmware || fail("--firmware is missing");
}

static void print_digest(const struct tdx_digest *d)
{
	for (unsigned int i = 0; i < TDX_MR_SIZE; i++)
		printf("%02x", d->b[i]);
	putchar('\n');
}

static int measure_firmware(const struct options *o)
{
	struct launch_region regions[TDVF_MAX_SECTIONS];
	struct boot_error error;
	struct tdx_digest mrtd;
	struct tdvf *tdvf = malloc(sizeof(*tdvf));
	struct blob image = { 0 };
	int status = VMM_STATUS_ERROR;

	if (!tdvf)
		fail("no memory");
	else if (blob_read_why(o->firmware, "firmware", MAX_FIRMWARE, &image, &error))
		fail("%s", error.text);
	else if (tdvf_parse(image.data, image.size, tdvf, &error))
		fail("'%s': %s", o->firmware, error.text);
	else if (measure_tdx(regions, tdvf_regions(tdvf, image.data, regions), o->order, o->explain ? stdout : NULL, &mrtd))
		fail("no memory");
	else
		status = VMM_STATUS_OK;
	if (!status)
		print_digest(&mrtd);
	blob_free(&image);
	free(tdvf);
	return status;
}

int cmd_measure(int argc, char **argv)
{
	struct options o = { 0 };

	if (!parse(argc, argv, &o))
		return VMM_STATUS_USAGE;
	if (o.help) {
		fputs(help_text, stdout);
		return 0;
	}
	return measure_firmware(&o);
}
