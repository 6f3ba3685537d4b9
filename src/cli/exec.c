// SPDX-License-Identifier: Apache-2.0
/* softcvm exec: a program that was written for /dev/kvm, with the interposing library in front of libc. */
#include "cli/commands.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_ERROR	 1
#define STATUS_CANNOT	 126 /* as the shell and env(1) */
#define STATUS_NOT_FOUND 127

enum { OPT_PLATFORM = 256, OPT_PHYS_BITS, OPT_KVM_COMPAT, OPT_NO_SLOT_IS_MMIO, OPT_PKVM, OPT_ICOUNT, OPT_TRACE, OPT_TRACE_EVENTS,
       OPT_CPUID, OPT_NO_CPUID, OPT_DEBUG, OPT_MONITOR, OPT_HELP };

static const struct option long_options[] = {
	{ "platform", required_argument, NULL, OPT_PLATFORM },
	{ "phys-bits", required_argument, NULL, OPT_PHYS_BITS },
	{ "kvm-compat", required_argument, NULL, OPT_KVM_COMPAT },
	{ "no-slot-is-mmio", no_argument, NULL, OPT_NO_SLOT_IS_MMIO },
	{ "pkvm", no_argument, NULL, OPT_PKVM },
	{ "icount", no_argument, NULL, OPT_ICOUNT },
	{ "trace", required_argument, NULL, OPT_TRACE },
	{ "trace-events", required_argument, NULL, OPT_TRACE_EVENTS },
	{ "monitor", required_argument, NULL, OPT_MONITOR },
	{ "cpuid", no_argument, NULL, OPT_CPUID },
	{ "no-cpuid", no_argument, NULL, OPT_NO_CPUID },
	{ "debug", optional_argument, NULL, OPT_DEBUG },
	{ "help", no_argument, NULL, OPT_HELP },
	{},
};

static const char help_text[] =
	"usage: softcvm exec [OPTIONS] [--] COMMAND [ARGUMENTS]\n"
	"Runs COMMAND, unmodified, with softcvm in the place of /dev/kvm.\n"
	"\n"
	"      --platform NAME      intel or amd (default: the host's)\n"
	"      --phys-bits N        guest-physical address bits, 36 to 52\n"
	"      --kvm-compat VERSION 7.2 or 6.12: the kernel whose KVM this is, where they differ (default: 7.2)\n"
	"      --no-slot-is-mmio    variant: a fault without a slot is MMIO even if hardware claims private memory\n"
	"      --pkvm               offer VM type 0x80000000: guests that own the memory which they touch (the pKVM model)\n"
	"      --icount             one processor on virtual time\n"
	"      --trace FILE         append events as text; - is standard error\n"
	"      --trace-events LIST  which: names of events, or of groups (steps, memory, kvm, detail, all), separated by\n"
	"                           commas (default: memory,kvm)\n"
	"      --monitor SOCKET     a Unix socket at which 'softcvm map' looks at the guest's memory\n"
	"      --no-cpuid           leave the program's own CPUID and RDTSC instructions to the host's processor. Otherwise\n"
	"                           they say what the platform is, in programs that mention /dev/kvm\n"
	"      --cpuid              the opposite\n"
	"      --debug[=2]          print each request that fails; 2: each request\n"
	"      --help               this text\n"
	"\n"
	"The program must be linked dynamically. What it starts itself runs in the same way.\n"
	"Status: the program's; 126 it cannot be run, 127 it is not there.\n";

static bool fail(const char *what, const char *why)
{
	fprintf(stderr, "softcvm exec: %s: %s\n", what, why);
	return false;
}

/* ---------------------------------------------------------------- options: the library reads them from the environment */

static bool say(const char *name, const char *value)
{
	return !setenv(name, value, 1) || fail(name, strerror(errno));
}

static bool say_platform(const char *value)
{
	if (strcmp(value, "intel") && strcmp(value, "amd"))
		return fail(value, "--platform is intel or amd");
	return say("SOFTCVM_PLATFORM", value);
}

static bool say_phys_bits(const char *value)
{
	char *end;
	unsigned long bits = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || bits < 36 || bits > 52)
		return fail(value, "--phys-bits is a number from 36 to 52");
	return say("SOFTCVM_PHYS_BITS", value);
}

static bool say_kvm_compat(const char *value)
{
	if (strcmp(value, "7.2") && strcmp(value, "6.12"))
		return fail(value, "--kvm-compat is 7.2 or 6.12");
	return say("SOFTCVM_KVM_COMPAT", value);
}

/* The program may change its directory. */
static bool say_path(const char *name, const char *value)
{
	char directory[PATH_MAX], *path;
	bool ok;

	if (!strcmp(value, "-") || *value == '/')
		return say(name, value);
	if (!getcwd(directory, sizeof(directory)) || asprintf(&path, "%s/%s", directory, value) < 0)
		return fail(value, strerror(errno));
	ok = say(name, path);
	free(path);
	return ok;
}

static bool set_option(int id, const char *value)
{
	switch (id) {
	case OPT_PLATFORM:
		return say_platform(value);
	case OPT_PHYS_BITS:
		return say_phys_bits(value);
	case OPT_KVM_COMPAT:
		return say_kvm_compat(value);
	case OPT_NO_SLOT_IS_MMIO:
		return say("SOFTCVM_NO_SLOT_IS_MMIO", "1");
	case OPT_PKVM:
		return say("SOFTCVM_PKVM", "1");
	case OPT_ICOUNT:
		return say("SOFTCVM_ICOUNT", "1");
	case OPT_TRACE:
		return say_path("SOFTCVM_TRACE", value);
	case OPT_MONITOR:
		return say_path("SOFTCVM_MONITOR", value);
	case OPT_TRACE_EVENTS:
		return say("SOFTCVM_TRACE_EVENTS", value);
	case OPT_CPUID:
		return say("SOFTCVM_CPUID", "1");
	case OPT_NO_CPUID:
		return say("SOFTCVM_CPUID", "0");
	case OPT_DEBUG:
		return say("SOFTCVM_DEBUG", value ? value : "1");
	default: /* getopt has said what is wrong */
		return false;
	}
}

/* ---------------------------------------------------------------- the library */

/* Beside the command in a build tree, in its place when installed. */
static bool find_library(char *path)
{
	char self[PATH_MAX], try[PATH_MAX + 64];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *const places[] = { "/../shim/libsoftcvm-kvm.so", "/../lib/softcvm/libsoftcvm-kvm.so",
				       "/../lib/x86_64-linux-gnu/softcvm/libsoftcvm-kvm.so" };

	if (length > 0) {
		self[length] = '\0';
		*strrchr(self, '/') = '\0';
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			snprintf(try, sizeof(try), "%s%s", self, places[i]);
			if (realpath(try, path))
				return true;
		}
	}
	return realpath(SOFTCVM_SHIM, path) || fail(SOFTCVM_SHIM, strerror(errno));
}

static bool preload(void)
{
	const char *others = getenv("LD_PRELOAD");
	char library[PATH_MAX], *list;
	bool ok;

	if (!find_library(library))
		return false;
	/* The separators of the list. */
	if (strpbrk(library, " :"))
		return fail(library, "a path with spaces or colons cannot be preloaded");
	if (asprintf(&list, "%s%s%s", library, others && *others ? ":" : "", others ? others : "") < 0)
		return fail("LD_PRELOAD", strerror(errno));
	ok = say("LD_PRELOAD", list);
	free(list);
	return ok;
}

/* ---------------------------------------------------------------- the command */

/* As execvp() will find it. */
static bool find_command(const char *name, char *path)
{
	const char *search = getenv("PATH"), *end;

	if (strchr(name, '/'))
		return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
	for (search = search ? search : "/bin:/usr/bin"; *search; search = *end ? end + 1 : end) {
		end = strchrnul(search, ':');
		if (snprintf(path, PATH_MAX, "%.*s/%s", (int)(end - search), search, name) < PATH_MAX && !access(path, X_OK))
			return true;
	}
	return false;
}

/* Without a dynamic loader nothing is preloaded, and the program would go to the host's own /dev/kvm. */
static bool is_static(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool elf = false, interpreter = false;
	Elf64_Phdr ph;
	Elf64_Ehdr eh;

	if (fd < 0)
		return false;
	if (read(fd, &eh, sizeof(eh)) == sizeof(eh) && !memcmp(eh.e_ident, ELFMAG, SELFMAG)) {
		elf = true;
		for (int i = 0; i < eh.e_phnum; i++)
			if (pread(fd, &ph, sizeof(ph), eh.e_phoff + (off_t)i * sizeof(ph)) == sizeof(ph))
				interpreter |= ph.p_type == PT_INTERP;
	}
	close(fd);
	return elf && !interpreter;
}

static int start(char **argv)
{
	char path[PATH_MAX];
	int error;

	if (find_command(argv[0], path) && is_static(path)) {
		fail(path, "is linked statically: no library can be put in front of its system calls");
		return STATUS_CANNOT;
	}
	if (!preload())
		return STATUS_ERROR;
	execvp(argv[0], argv);
	error = errno;
	fail(argv[0], strerror(error));
	return error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT;
}

int cmd_exec(int argc, char **argv)
{
	static char name[] = "softcvm exec";
	int id;

	argv[0] = name; /* what getopt begins its messages with */
	while ((id = getopt_long(argc, argv, "+h", long_options, NULL)) != -1) {
		if (id == 'h' || id == OPT_HELP) {
			fputs(help_text, stdout);
			return 0;
		}
		if (!set_option(id, optarg))
			return STATUS_ERROR;
	}
	if (optind == argc) {
		fail("COMMAND", "is missing; 'softcvm exec --help' tells how");
		return STATUS_ERROR;
	}
	return start(argv + optind);
}
