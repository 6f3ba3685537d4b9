// SPDX-License-Identifier: Apache-2.0
#include "vmm/vm_type.h"

#include "vmm/report.h"
#include "vmm/vmm.h"

#include <errno.h>
#include <string.h>

const struct vm_type *const vm_types[] = {&vm_type_default, &vm_type_sw_protected, NULL};

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
	return config->type->check ? config->type->check(config) : 0;
}
