// SPDX-License-Identifier: Apache-2.0
/* softcvm measure: what the security hardware will say of a guest, without running it. */
#include "cli/commands.h"
#include "cli/measure_tdx.h"
#include "cli/options.h"
#include "vmm/blob.h"
#include "vmm/report.h"
#include "vmm/tdvf.h"
#include "vmm/vm_type.h"
#include "vmm/vmm.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FIRMWARE (64ull << 20)

static const char help_text[] =
	"usage: softcvm measure --vm-type tdx --firmware FILE [OPTIONS]\n"
	"       softcvm measure --vm-type tdx --kernel FILE [OPTIONS of softcvm run] [OPTIONS]\n"
	"Prints the measurement that a guest will have (TDX: MRTD), without running it.\n"
	"\n"
	"      --vm-type TYPE       tdx\n"
	"      --firmware FILE      TDVF image: OVMF, td-shim\n"
	"  -k, --kernel FILE        started directly; what else it depends on is told as to softcvm run: --initrd, --append,\n"
	"                           --memory, --smp\n"
	"      --order ORDER        interleaved: each page added and extended before the next, as KVM does (default);\n"
	"                           two-pass: all pages of a section added, then all extended\n"
	"      --explain            each step with its address, size and cause, before the result\n"
	"      --help               this text\n";

struct options {
	struct run_options run;
	const char *firmware;
	bool explain;
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

static bool set_order(struct options *o, const char *value)
{
	o->order = strcmp(value, "two-pass") ? MRTD_INTERLEAVED : MRTD_TWO_PASS;
	return o->order == MRTD_TWO_PASS || !strcmp(value, "interleaved") ||
	       fail("--order: '%s' is neither interleaved nor two-pass", value);
}

/* The value behind `--name` or `--name=`; NULL: it is another option. *missing: there is none. */
static const char *value_of(char **argv, int argc, int *i, const char *name, bool *missing)
{
	size_t length = strlen(name);

	if (strncmp(argv[*i], name, length))
		return NULL;
	if (argv[*i][length] == '=')
		return argv[*i] + length + 1;
	if (argv[*i][length])
		return NULL;
	*missing = *i + 1 == argc;
	return *missing ? "" : argv[++*i];
}

/* Our own options are taken out of argv; what is left is a machine's. The number of arguments left, or -1. */
static int take_own(int argc, char **argv, struct options *o)
{
	int left = 1;

	for (int i = 1; i < argc; i++) {
		bool missing = false;
		const char *firmware = value_of(argv, argc, &i, "--firmware", &missing);
		const char *order = firmware ? NULL : value_of(argv, argc, &i, "--order", &missing);

		if (missing) {
			fail("%s needs a value", argv[i]);
			return -1;
		}
		if (firmware)
			o->firmware = firmware;
		else if (order && !set_order(o, order))
			return -1;
		else if (!order && !strcmp(argv[i], "--explain"))
			o->explain = true;
		else if (!order)
			argv[left++] = argv[i];
	}
	argv[left] = NULL;
	return left;
}

static enum options_result parse(int argc, char **argv, struct options *o)
{
	static char name[] = "softcvm measure";
	enum options_result result;
	int left = take_own(argc, argv, o);

	if (left < 0)
		return OPTIONS_ERROR;
	result = options_parse(name, left, argv, &o->run);
	if (result != OPTIONS_RUN)
		return result;
	if (strcmp(o->run.vmm.type->name, "tdx")) {
		fail("--vm-type %s has no measurement here; tdx has", o->run.vmm.type->name);
		return OPTIONS_ERROR;
	}
	if (!o->firmware == !o->run.vmm.kernel) {
		fail("one of --firmware and --kernel is needed");
		return OPTIONS_ERROR;
	}
	return OPTIONS_RUN;
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

struct launch {
	const struct options *options;
	struct tdx_digest mrtd;
};

static int measure_regions(void *opaque, const struct launch_region *regions, unsigned int count)
{
	struct launch *l = opaque;
	int err = measure_tdx(regions, count, l->options->order, l->options->explain ? stdout : NULL, &l->mrtd);

	if (err)
		fail("no memory");
	return err;
}

static int measure_direct(const struct options *o)
{
	struct launch launch = { .options = o };

	if (vmm_visit_launch(&o->run.vmm, measure_regions, &launch))
		return VMM_STATUS_ERROR;
	print_digest(&launch.mrtd);
	return VMM_STATUS_OK;
}

int cmd_measure(int argc, char **argv)
{
	struct options o = { .firmware = NULL };

	vmm_report_as("softcvm measure");
	switch (parse(argc, argv, &o)) {
	case OPTIONS_HELP:
		fputs(help_text, stdout);
		return VMM_STATUS_OK;
	case OPTIONS_ERROR:
		return VMM_STATUS_USAGE;
	case OPTIONS_RUN:
		break;
	}
	/* What softcvm run gives a kernel by default. */
	if (!o.run.vmm.append)
		o.run.vmm.append = "console=ttyS0";
	return o.firmware ? measure_firmware(&o) : measure_direct(&o);
}
