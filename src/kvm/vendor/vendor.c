// SPDX-License-Identifier: Apache-2.0
/* The VM types that are offered. */
#include "kvm/kvm.h"
#include "kvm/vm.h"

static const struct kvm_vendor *const vendors[] = {
	&kvm_vendor_plain,
	&kvm_vendor_sw_protected,
	&kvm_vendor_tdx,
	&kvm_vendor_test_claim,
	&kvm_vendor_pkvm,
};

static bool on_platform(const struct kvm_vendor *vendor, const struct softcvm_config *config)
{
	return vendor->platforms & (kvm_platform(config) == HW_PLATFORM_INTEL ? KVM_ON_INTEL : KVM_ON_AMD);
}

static bool offered(const struct softcvm_config *config, enum kvm_vendor_offer offer)
{
	switch (offer) {
	case KVM_OFFER_ALWAYS:
		return true;
	case KVM_OFFER_TESTS:
		return config->test_vm_types;
	case KVM_OFFER_PKVM:
		return config->pkvm;
	}
	return false;
}

const struct kvm_vendor *kvm_vendor_find(const struct softcvm_config *config, unsigned long type)
{
	for (unsigned int i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
		if (vendors[i]->type == type && on_platform(vendors[i], config) && offered(config, vendors[i]->offer))
			return vendors[i];
	return NULL;
}

unsigned int kvm_vendor_types(const struct softcvm_config *config)
{
	unsigned int mask = 0;

	for (unsigned int i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
		if (vendors[i]->offer == KVM_OFFER_ALWAYS && on_platform(vendors[i], config))
			mask |= 1u << vendors[i]->type;
	return mask;
}
