// SPDX-License-Identifier: Apache-2.0
/* Parsing the command line of `softcvm run`. */
#include "cli/options.h"

#include "vmm/vm_type.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)

enum option_id {
	OPT_KERNEL = 256, OPT_INITRD, OPT_APPEND, OPT_MEMORY, OPT_SMP, OPT_DISK, OPT_VM_TYPE, OPT_MAILBOX, OPT_PLATFORM, OPT_PHYS_BITS, OPT_KVM_COMPAT,
	OPT_NO_SLOT_IS_MMIO, OPT_IRQCHIP,
	OPT_ICOUNT, OPT_CONSOLE, OPT_TIMEOUT, OPT_TRACE, OPT_TRACE_EVENTS, OPT_STATS, OPT_CHECK, OPT_GDB, OPT_PROFILE, OPT_QUOTE_AUTHORITY, OPT_ACCEL, OPT_REBOOT, OPT_DEBUG_EXIT, OPT_HELP,
	OPT_MONITOR,
};

static const struct option long_options[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "params", required_argument, NULL, OPT_APPEND },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "mem", required_argument, NULL, OPT_MEMORY },
	{ "smp", required_argument, NULL, OPT_SMP },
	{ "cpus", required_argument, NULL, OPT_SMP },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "vm-type", required_argument, NULL, OPT_VM_TYPE },
	{ "mailbox", no_argument, NULL, OPT_MAILBOX },
	{ "platform", required_argument, NULL, OPT_PLATFORM },
	{ "phys-bits", required_argument, NULL, OPT_PHYS_BITS },
	{ "kvm-compat", required_argument, NULL, OPT_KVM_COMPAT },
	{ "no-slot-is-mmio", no_argument, NULL, OPT_NO_SLOT_IS_MMIO },
	{ "irqchip", required_argument, NULL, OPT_IRQCHIP },
	{ "icount", no_argument, NULL, OPT_ICOUNT },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "trace", required_argument, NULL, OPT_TRACE },
	{ "trace-events", required_argument, NULL, OPT_TRACE_EVENTS },
	{ "monitor", required_argument, NULL, OPT_MONITOR },
	{ "stats", no_argument, NULL, OPT_STATS },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "gdb", required_argument, NULL, OPT_GDB },
	{ "profile", required_argument, NULL, OPT_PROFILE },
	{ "quote-authority", required_argument, NULL, OPT_QUOTE_AUTHORITY },
	{ "accel", required_argument, NULL, OPT_ACCEL },
	{ "reboot", no_argument, NULL, OPT_REBOOT },
	{ "debug-exit", no_argument, NULL, OPT_DEBUG_EXIT },
	{ "help", no_argument, NULL, OPT_HELP },
	{},
};

const char options_help[] =
	"usage: softcvm run [OPTIONS]\n"
	"Boots a kernel on this terminal. Without options: the fetched kernel and its initramfs.\n"
	"\n"
	"  -k, --kernel FILE        bzImage, or ELF with a PVH or 64-bit entry\n"
	"  -i, --initrd FILE        initial RAM disk\n"
	"  -p, --append STRING      kernel command line (default: console=ttyS0)\n"
	"  -m, --memory SIZE        guest memory: 512M, 2G, a number is MiB (default: 512M)\n"
	"  -c, --smp N              processors (default: 1)\n"
	"  -d, --disk FILE[,ro]     raw image as virtio disk; may be repeated\n"
	"      --vm-type TYPE       default; sw-protected: all RAM is private; pkvm: the guest owns what it touches;\n"
	"                           tdx: a trust domain\n"
	"      --mailbox            processors wait in the ACPI wake-up mailbox, not for INIT and SIPI\n"
	"      --platform NAME      intel or amd (default: the host's)\n"
	"      --phys-bits N        guest-physical address bits, 36 to 52\n"
	"      --kvm-compat VERSION 7.2 or 6.12: the kernel whose KVM this is, where they differ (default: 7.2)\n"
	"      --no-slot-is-mmio    variant: a fault without a slot is MMIO even if hardware claims private memory\n"
	"      --irqchip KIND       full, or split with the I/O APIC in the VMM (default: full)\n"
	"      --icount             one processor on virtual time: the same run every time\n"
	"      --console KIND       serial (ttyS0) or virtio (hvc0) on this terminal (default: serial)\n"
	"      --timeout SECONDS    end with status 124 after this time\n"
	"      --reboot             a reset starts the machine again instead of ending it\n"
	"      --trace FILE         write events as text; - is standard error\n"
	"      --trace-events LIST  which: names of events, or of groups (steps, memory, kvm, detail, all), separated by\n"
	"                           commas (default: memory,kvm)\n"
	"      --monitor SOCKET     a Unix socket at which 'softcvm map' looks at the guest's memory\n"
	"      --profile mmio       at the end, the guest functions that touched MMIO, with counts and devices\n"
	"      --stats              at the end: pages private, shared and converted, faults by kind, exits\n"
	"      --check              check the invariants of guest memory at every exit\n"
	"      --quote-authority DIR  the test certificates that quotes of a TD are signed with (default: the user's own)\n"
	"      --gdb PORT           wait for GDB on this port of the loopback interface\n"
	"      --debug-exit         port 0xf4 ends the machine with status (value << 1) | 1\n"
	"      --accel KIND         softcvm, or kvm for the host's /dev/kvm (default: softcvm)\n"
	"      --help               this text\n"
	"\n"
	"On a terminal: Ctrl-A x ends the machine, Ctrl-A p presses the power button, Ctrl-A h helps.\n"
	"Status: 0 power-off, reboot or Ctrl-A x; 1 error; 2 wrong options; 3 kernel panic; 4 triple fault;\n"
	"5 KVM cannot go on; 124 timeout; 128 + n ended by signal n.\n";

/* Whose options they are, for messages. */
static const char *command;

static bool fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static bool fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return false;
}

static bool parse_number(const char *text, unsigned long long min, unsigned long long max, unsigned long long *out, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &stop, 0);
	*end = stop;
	return !errno && *out >= min && *out <= max;
}

static bool parse_count(const char *option, const char *text, unsigned int min, unsigned int max, unsigned int *out)
{
	unsigned long long value;
	const char *end;

	if (!parse_number(text, min, max, &value, &end) || *end)
		return fail("%s: '%s' is not a number from %u to %u", option, text, min, max);
	*out = (unsigned int)value;
	return true;
}

static bool parse_memory(const char *text, uint64_t *out)
{
	unsigned long long value, unit = MIB;
	const char *end;

	if (!parse_number(text, 1, 1ull << 40, &value, &end))
		return fail("--memory: '%s' is not a size", text);
	switch (*end) {
	case 'k': case 'K':
		unit = 1024;
		break;
	case 'm': case 'M': case '\0':
		break;
	case 'g': case 'G':
		unit = 1024 * MIB;
		break;
	case 't': case 'T':
		unit = 1024 * 1024 * MIB;
		break;
	default:
		return fail("--memory: '%s' is not a size", text);
	}
	if (*end && end[1] && strcmp(end + 1, "iB") && strcmp(end + 1, "B"))
		return fail("--memory: '%s' is not a size", text);
	if (value > (1ull << 46) / unit || value * unit < 2 * MIB)
		return fail("--memory: %s is not between 2 MiB and 64 TiB", text);
	*out = (value * unit + 4095) & ~4095ull;
	return true;
}

/* FILE, FILE,ro or FILE,rw; the comma is cut off in place. */
static bool parse_disk(char *text, struct vmm_config *vmm)
{
	struct vmm_disk *disk = &vmm->disks[vmm->nr_disks];
	char *comma = strrchr(text, ',');

	if (vmm->nr_disks == VMM_MAX_DISKS)
		return fail("--disk: more than %d disks", VMM_MAX_DISKS);
	if (comma && (!strcmp(comma, ",ro") || !strcmp(comma, ",rw"))) {
		disk->read_only = comma[2] == 'o';
		*comma = '\0';
	}
	disk->path = text;
	vmm->nr_disks++;
	return true;
}

static bool parse_choice(const char *option, const char *text, const char *first, const char *second, bool *is_second)
{
	*is_second = !strcmp(text, second);
	return *is_second || !strcmp(text, first) || fail("%s: '%s' is neither %s nor %s", option, text, first, second);
}

static bool parse_vm_type(const char *text, struct vmm_config *vmm)
{
	char names[100] = "";

	vmm->type = vm_type_find(text);
	if (vmm->type)
		return true;
	for (const struct vm_type *const *t = vm_types; *t; t++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", t == vm_types ? "" : ", ", (*t)->name);
	return fail("--vm-type: '%s' is none of %s", text, names);
}

static bool parse_platform(const char *text, struct softcvm_config *config)
{
	bool amd;

	if (!parse_choice("--platform", text, "intel", "amd", &amd))
		return false;
	config->platform = amd ? SOFTCVM_PLATFORM_AMD : SOFTCVM_PLATFORM_INTEL;
	return true;
}

static bool parse_kvm_compat(const char *text, struct softcvm_config *config)
{
	bool old;

	if (!parse_choice("--kvm-compat", text, "7.2", "6.12", &old))
		return false;
	config->kvm_compat = old ? SOFTCVM_KVM_6_12 : SOFTCVM_KVM_7_2;
	return true;
}

static bool set_option(int id, char *value, struct run_options *o)
{
	struct vmm_config *vmm = &o->vmm;

	switch (id) {
	case 'k': case OPT_KERNEL:
		vmm->kernel = value;
		return true;
	case 'i': case OPT_INITRD:
		vmm->initrd = value;
		return true;
	case 'p': case OPT_APPEND:
		vmm->append = value;
		return true;
	case 'm': case OPT_MEMORY:
		return parse_memory(value, &vmm->memory_size);
	case 'c': case OPT_SMP:
		return parse_count("--smp", value, 1, VMM_MAX_CPUS, &vmm->cpus);
	case 'd': case OPT_DISK:
		return parse_disk(value, vmm);
	case OPT_VM_TYPE:
		return parse_vm_type(value, vmm);
	case OPT_MAILBOX:
		return vmm->mailbox = true;
	case OPT_PLATFORM:
		return parse_platform(value, &vmm->softcvm);
	case OPT_PHYS_BITS:
		return parse_count("--phys-bits", value, 36, 52, &vmm->softcvm.phys_bits);
	case OPT_KVM_COMPAT:
		return parse_kvm_compat(value, &vmm->softcvm);
	case OPT_NO_SLOT_IS_MMIO:
		return vmm->softcvm.no_slot_is_mmio = true;
	case OPT_IRQCHIP:
		return parse_choice("--irqchip", value, "full", "split", &vmm->split_irqchip);
	case OPT_ICOUNT:
		return vmm->softcvm.icount = true;
	case OPT_CONSOLE:
		return parse_choice("--console", value, "serial", "virtio", &vmm->virtio_console);
	case OPT_TIMEOUT:
		return parse_count("--timeout", value, 1, 1u << 30, &vmm->timeout);
	case OPT_TRACE:
		o->trace = value;
		return true;
	case OPT_TRACE_EVENTS:
		o->trace_events = value;
		return true;
	case OPT_QUOTE_AUTHORITY:
		o->quote_authority = value;
		return true;
	case OPT_MONITOR:
		o->monitor = value;
		return true;
	case OPT_PROFILE:
		o->profile_mmio = !strcmp(value, "mmio");
		return o->profile_mmio || fail("--profile: '%s' is not a profile; there is mmio", value);
	case OPT_STATS:
		return o->stats = true;
	case OPT_CHECK:
		return vmm->check = true;
	case OPT_GDB:
		return parse_count("--gdb", value, 1, 65535, &o->gdb_port);
	case OPT_ACCEL:
		return parse_choice("--accel", value, "softcvm", "kvm", &vmm->accel_host);
	case OPT_REBOOT:
		return vmm->reboot = true;
	case OPT_DEBUG_EXIT:
		return vmm->debug_exit = true;
	default: /* getopt has said what is wrong */
		return false;
	}
}

/* What does not go together. */
static bool check(const struct run_options *o)
{
	const struct vmm_config *vmm = &o->vmm;
	unsigned int bits = vmm->softcvm.phys_bits;

	if (vmm->softcvm.icount && vmm->cpus > 1)
		return fail("--icount runs one processor, not %u", vmm->cpus);
	if (vmm->accel_host && (vmm->softcvm.icount || vmm->softcvm.platform || bits || o->gdb_port))
		return fail("--accel kvm has no --icount, --platform, --phys-bits or --gdb");
	if (vmm->accel_host && o->monitor)
		return fail("--accel kvm has no --monitor");
	if (vmm->accel_host && vmm->check)
		return fail("--check: the host's KVM does not tell whether its invariants hold");
	/* 1 GiB between 3 and 4 GiB belongs to devices. */
	if (bits && vmm->memory_size + (1ull << 30) > 1ull << bits)
		return fail("--memory: %llu MiB do not fit into %u address bits", (unsigned long long)(vmm->memory_size / MIB), bits);
	if (vmm->accel_host && o->profile_mmio)
		return fail("--accel kvm has no --profile");
	if (o->trace_events && !o->trace)
		return fail("--trace-events needs --trace");
	if (vmm->initrd && !vmm->kernel)
		return fail("--initrd needs --kernel");
	return !vm_type_check(vmm);
}

enum options_result options_parse(char *name, int argc, char **argv, struct run_options *out)
{
	int id;

	command = name;
	*out = (struct run_options){ .vmm.type = &vm_type_default, .vmm.memory_size = 512 * MIB, .vmm.cpus = 1 };
	argv[0] = name; /* what getopt begins its messages with */
	while ((id = getopt_long(argc, argv, "k:i:p:m:c:d:h", long_options, NULL)) != -1) {
		if (id == 'h' || id == OPT_HELP)
			return OPTIONS_HELP;
		if (!set_option(id, optarg, out))
			return OPTIONS_ERROR;
	}
	if (optind < argc) {
		fail("'%s' is not an option", argv[optind]);
		return OPTIONS_ERROR;
	}
	return check(out) ? OPTIONS_RUN : OPTIONS_ERROR;
}
