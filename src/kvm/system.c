// SPDX-License-Identifier: Apache-2.0
/* The system descriptor: softcvm_open() and the requests that need no VM. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm/ioctl.h"
#include "kvm/vm.h"
#include "kvm/x86/x86.h"

static void system_destroy(struct kvm_object *object)
{
	struct kvm_system *system = (struct kvm_system *)object;

	if (system->machine)
		hw_machine_destroy(system->machine);
	free(system);
}

/* Clients execute CPUID themselves, so the default platform is the host's vendor. */
static enum hw_platform host_platform(void)
{
	u32 a = 0, b = 0, c = 0, d = 0;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b == 0x68747541 ? HW_PLATFORM_AMD : HW_PLATFORM_INTEL; /* "Auth" of AuthenticAMD */
}

enum hw_platform kvm_platform(const struct softcvm_config *config)
{
	if (config->platform == SOFTCVM_PLATFORM_HOST)
		return host_platform();
	return config->platform == SOFTCVM_PLATFORM_AMD ? HW_PLATFORM_AMD : HW_PLATFORM_INTEL;
}

int kvm_create_machine(const struct softcvm_config *config, struct hw_machine **out)
{
	struct hw_machine_config hw = {
		.platform = kvm_platform(config),
		.phys_bits = config->phys_bits,
		.icount = config->icount,
		.obs = config->observer,
	};

	return hw_machine_create(&hw, out);
}

int softcvm_open(const struct softcvm_config *config)
{
	static const struct softcvm_config defaults;
	struct kvm_system *system;
	int fd, error = hw_phys_init();

	if (error)
		return error;
	if (!config)
		config = &defaults;
	if (!kvm_compat_find(config->kvm_compat))
		return -EINVAL;
	if (config->phys_bits && (config->phys_bits < 36 || config->phys_bits > 52))
		return -EINVAL;
	system = calloc(1, sizeof(*system));
	if (!system)
		return -ENOMEM;
	kvm_object_init(&system->object, KVM_FD_SYSTEM, system_destroy);
	system->config = *config;
	error = kvm_create_machine(config, &system->machine);
	fd = error ? error : kvm_fd_create_carrier("kvm", 0);
	if (fd >= 0) {
		error = kvm_fd_install(fd, &system->object);
		if (error) {
			close(fd);
			fd = error;
		}
	}
	kvm_object_put(&system->object);
	return fd;
}

long kvm_ioctl_get_api_version(struct kvm_call *c) { return c->value ? -EINVAL : KVM_API_VERSION; }

long kvm_ioctl_get_vcpu_mmap_size(struct kvm_call *c)
{
	return c->value ? -EINVAL : (long)(KVM_VCPU_MMAP_PAGES * HW_PAGE_SIZE);
}

long kvm_ioctl_get_mce_cap_supported(struct kvm_call *c)
{
	*(u64 *)c->arg = KVM_MCE_CAP_SUPPORTED;
	return 0;
}

/* Group 0, attribute 0: the XSAVE features a guest may have (api.rst KVM_X86_XCOMP_GUEST_SUPP). */
static int check_system_attr(const struct kvm_device_attr *attr)
{
	if (attr->group || attr->attr != KVM_X86_XCOMP_GUEST_SUPP)
		return -ENXIO;
	return 0;
}

long kvm_ioctl_system_has_attr(struct kvm_call *c) { return check_system_attr(c->arg); }

long kvm_ioctl_system_get_attr(struct kvm_call *c)
{
	const struct kvm_device_attr *attr = c->arg;
	u64 value = kvm_supported_xcr0(c->system->machine);
	int error = check_system_attr(attr);

	return error ? error : hw_copy_to_host(hpa(attr->addr), &value, sizeof(value));
}
