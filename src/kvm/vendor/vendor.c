// SPDX-License-Identifier: Apache-2.0
/* The VM types that are offered. */
#include "kvm/kvm.h"
#include "kvm/vm.h"

static const struct kvm_vendor *const vendors[] = {
	&kvm_vendor_plain,
	&kvm_vendor_sw_protected,
	&kvm_vendor_test_claim,
};

static bool on_platform(const struct kvm_vendor *vendor, const struct softcvm_config *config)
{
	return vendor->platforms & (kvm_platform(config) == HW_PLATFORM_INTEL ? KVM_ON_INTEL : KVM_ON_AMD);
}

const struct kvm_vendor *kvm_vendor_find(const struct softcvm_config *config, unsigned long type)
{
	for (unsigned int i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
		if (vendors[i]->type == type && on_platform(vendors[i], config) &&
		    (config->test_vm_types || !vendors[i]->test_only))
			return vendors[i];
	return NULL;
}

unsigned int kvm_vendor_types(const struct softcvm_config *config)
{
	unsigned int mask = 0;

	for (unsigned int i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
		if (!vendors[i]->test_only && on_platform(vendors[i], config))
			mask |= 1u << vendors[i]->type;
	return mask;
}
