// SPDX-License-Identifier: Apache-2.0
/* The module parameters that KVM's clients read, as the platform has them. */
#include <errno.h>
#include <string.h>

#include "kvm/vm.h"
#include "shim/shim.h"

#define ANY -1

static const struct {
	int platform; /* enum hw_platform, or ANY */
	const char *path, *text;
} parameters[] = {
	{ ANY, "/sys/module/kvm/parameters/eager_page_split", "N\n" },
	{ ANY, "/sys/module/kvm/parameters/enable_pmu", "N\n" },
	{ ANY, "/sys/module/kvm/parameters/force_emulation_prefix", "0\n" },
	{ ANY, "/sys/module/kvm/parameters/halt_poll_ns", "0\n" },
	{ ANY, "/sys/module/kvm/parameters/ignore_msrs", "N\n" },
	{ ANY, "/sys/module/kvm/parameters/nx_huge_pages", "N\n" },
	{ ANY, "/sys/module/kvm/parameters/report_ignored_msrs", "Y\n" },
	{ ANY, "/sys/module/kvm/parameters/tdp_mmu", "Y\n" },
	{ HW_PLATFORM_INTEL, "/sys/module/kvm_intel/parameters/ept", "Y\n" },
	{ HW_PLATFORM_INTEL, "/sys/module/kvm_intel/parameters/eptad", "Y\n" },
	{ HW_PLATFORM_INTEL, "/sys/module/kvm_intel/parameters/flexpriority", "Y\n" },
	{ HW_PLATFORM_INTEL, "/sys/module/kvm_intel/parameters/nested", "N\n" },
	{ HW_PLATFORM_INTEL, "/sys/module/kvm_intel/parameters/unrestricted_guest", "Y\n" },
	{ HW_PLATFORM_INTEL, "/sys/module/kvm_intel/parameters/vpid", "Y\n" },
	{ HW_PLATFORM_AMD, "/sys/module/kvm_amd/parameters/avic", "N\n" },
	{ HW_PLATFORM_AMD, "/sys/module/kvm_amd/parameters/nested", "0\n" },
	{ HW_PLATFORM_AMD, "/sys/module/kvm_amd/parameters/npt", "Y\n" },
	{ HW_PLATFORM_AMD, "/sys/module/kvm_amd/parameters/sev", "N\n" },
	{ HW_PLATFORM_AMD, "/sys/module/kvm_amd/parameters/sev_es", "N\n" },
	{ HW_PLATFORM_AMD, "/sys/module/kvm_amd/parameters/sev_snp", "N\n" },
	{ HW_PLATFORM_AMD, "/sys/module/kvm_amd/parameters/vgif", "Y\n" },
};

static const char *find_text(const char *path, enum hw_platform platform)
{
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		if (!strcmp(parameters[i].path, path) &&
		    (parameters[i].platform == ANY || parameters[i].platform == (int)platform))
			return parameters[i].text;
	return NULL;
}

static int open_text(const char *text, int flags)
{
	int fd = memfd_create("kvm-parameter", flags & O_CLOEXEC ? MFD_CLOEXEC : 0), error;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !lseek(fd, 0, SEEK_SET))
		return fd;
	error = -errno;
	__wrap_close(fd);
	return error;
}

/* The host's own KVM is out of sight. */
int shim_open_sysfs(const char *path, int flags)
{
	struct softcvm_config config;
	const char *text;
	int fd;

	if (strncmp(path, "/sys/module/kvm", strlen("/sys/module/kvm")))
		return -ENODATA;
	if (!shim_config_read(&config))
		return -EINVAL;
	text = find_text(path, kvm_platform(&config));
	if (!text)
		return -ENOENT;
	if ((flags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	shim_enter();
	fd = open_text(text, flags);
	shim_leave();
	return fd;
}
