// SPDX-License-Identifier: Apache-2.0
/* softcvm doctor: what this host offers, which VM types are available, what is not modelled. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/commands.h"
#include "hw/cpu/simd.h"
#include "hw/hw.h"
#include "softcvm/kvm_abi.h"
#include "softcvm/softcvm.h"

static const struct {
	unsigned int type;
	const char *name, *platform;
} vm_types[] = {
	{ 0, "default", "intel, amd" }, { 1, "sw-protected", "intel, amd" }, { 2, "sev", "amd" },
	{ 3, "sev-es", "amd" },		{ 4, "snp", "amd" },		     { 5, "tdx", "intel" },
};

static const char *const not_modelled[] = {
	"nested virtualisation (VMX, SVM in the guest)",
	"system management mode, performance counters, Hyper-V enlightenments",
	"hardware task switches (a guest that makes one gets KVM_EXIT_INTERNAL_ERROR, as on KVM without emulation)",
	"FMA, F16C, AVX-512 (not in the guest's CPUID)",
};

static const char usage[] = "usage: softcvm doctor [--decisions]\n"
			    "Says what this host offers, which VM types are available, what is not modelled.\n"
			    "  --decisions  print instead what an access to guest memory becomes, by VM type\n";

static void doctor_host(void)
{
	struct utsname host;
	const char *missing = NULL;

	uname(&host);
	printf("host\n");
	printf("  kernel        %s %s, %ld processors, %ld MiB\n", host.sysname, host.release, sysconf(_SC_NPROCESSORS_ONLN),
	       sysconf(_SC_PHYS_PAGES) / 256);
	printf("  SIMD          %s%s\n", simd_host_ok(&missing) ? "the processor has what guests' SSE needs" : "missing: ",
	       missing ? missing : "");
	printf("  /dev/kvm      %s\n", access("/dev/kvm", F_OK) ? "absent (not needed)" : "present (not needed)");
}

static int doctor_platform(enum softcvm_platform platform, const char *name)
{
	struct softcvm_config config = { .platform = platform };
	int fd = softcvm_open(&config), types;

	if (fd < 0) {
		printf("  %-12s cannot be opened: %s\n", name, strerror(-fd));
		return 1;
	}
	types = softcvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)KVM_CAP_VM_TYPES);
	printf("  %-13s", name);
	for (size_t i = 0; i < sizeof(vm_types) / sizeof(vm_types[0]); i++)
		if (types > 0 && types >> vm_types[i].type & 1)
			printf(" %s", vm_types[i].name);
	printf("\n");
	softcvm_close(fd);
	return 0;
}

int cmd_doctor(int argc, char **argv)
{
	int failed;

	if (argc == 2 && !strcmp(argv[1], "--decisions")) {
		print_decisions();
		return 0;
	}
	if (argc > 1) {
		bool help = !strcmp(argv[1], "--help");

		fputs(usage, help ? stdout : stderr);
		return help ? 0 : 2;
	}
	doctor_host();
	printf("VM types by platform\n");
	failed = doctor_platform(SOFTCVM_PLATFORM_INTEL, "intel");
	failed |= doctor_platform(SOFTCVM_PLATFORM_AMD, "amd");
	printf("not modelled\n");
	for (size_t i = 0; i < sizeof(not_modelled) / sizeof(not_modelled[0]); i++)
		printf("  %s\n", not_modelled[i]);
	return failed;
}
