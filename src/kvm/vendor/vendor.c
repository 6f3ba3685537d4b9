// SPDX-License-Identifier: Apache-2.0
/* The VM types that are offered. */
#include "kvm/kvm.h"

static const struct kvm_vendor *const vendors[] = {
	&kvm_vendor_plain,
};

const struct kvm_vendor *kvm_vendor_find(unsigned long type)
{
	for (unsigned int i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
		if (vendors[i]->type == type)
			return vendors[i];
	return NULL;
}

unsigned int kvm_vendor_types(void)
{
	unsigned int mask = 0;

	for (unsigned int i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
		mask |= 1u << vendors[i]->type;
	return mask;
}
