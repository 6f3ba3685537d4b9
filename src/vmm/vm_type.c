// SPDX-License-Identifier: Apache-2.0
#include "vmm/vm_type.h"

#include "vmm/report.h"
#include "vmm/vmm.h"

#include <errno.h>
#include <string.h>

const struct vm_type *const vm_types[] = {&vm_type_default, &vm_type_sw_protected, &vm_type_pkvm, &vm_type_tdx, NULL};

const struct vm_type *vm_type_find(const char *name)
{
	const struct vm_type *const *t = vm_types;

	while (*t && strcmp(name, (*t)->name))
		t++;
	return *t;
}

int vm_type_check(const struct vmm_config *config)
{
	if (config->mailbox && !config->type->mailbox) {
		vmm_error("--vm-type %s has no --mailbox: there is no first stage in which processors could wait", config->type->name);
		return -EINVAL;
	}
	if (!config->type->dma && (config->nr_disks || config->virtio_console)) {
		vmm_error("--vm-type %s has no %s: all of the guest's memory is its own, and a kernel that does not know it would "
			  "give virtio devices buffers that they cannot see",
			  config->type->name, config->nr_disks ? "--disk" : "--console virtio");
		return -EINVAL;
	}
	if (config->type->platform && config->softcvm.platform && config->type->platform != config->softcvm.platform) {
		vmm_error("--vm-type %s needs --platform %s", config->type->name,
			  config->type->platform == SOFTCVM_PLATFORM_INTEL ? "intel" : "amd");
		return -EINVAL;
	}
	if (config->type->phys_bits && config->softcvm.phys_bits && config->type->phys_bits != config->softcvm.phys_bits) {
		vmm_error("--vm-type %s needs --phys-bits %u", config->type->name, config->type->phys_bits);
		return -EINVAL;
	}
	return 0;
}
