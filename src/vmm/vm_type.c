// SPDX-License-Identifier: Apache-2.0
#include "vmm/vm_type.h"

#include <string.h>

const struct vm_type *const vm_types[] = {&vm_type_default, &vm_type_sw_protected, NULL};

const struct vm_type *vm_type_find(const char *name)
{
	const struct vm_type *const *t = vm_types;

	while (*t && strcmp(name, (*t)->name))
		t++;
	return *t;
}
