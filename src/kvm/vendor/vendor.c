// SPDX-License-Identifier: Apache-2.0
/* The VM types that are offered. */
#include "kvm/kvm.h"

static const struct kvm_vendor *const vendors[] = {
	&kvm_vendor_plain,
	&kvm_vendor_sw_protected,
	&kvm_vendor_test_claim,
};

const struct kvm_vendor *kvm_vendor_find(const struct softcvm_config *config, unsigned long type)
{
	for (unsigned int i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
		if (vendors[i]->type == type && (config->test_vm_types || !vendors[i]->test_only))
			return vendors[i];
	return NULL;
}

unsigned int kvm_vendor_types(void)
{
	unsigned int mask = 0;

	for (unsigned int i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
		if (!vendors[i]->test_only)
			mask |= 1u << vendors[i]->type;
	return mask;
}
