// SPDX-License-Identifier: Apache-2.0
/* api.rst KVM_X86_SET_MSR_FILTER: which MSRs the guest may touch without asking user space. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/ioctl.h"
#include "kvm/x86/x86.h"

struct filter_range {
	u32 flags, base, count;
	u8 *bitmap; /* bit set: allowed */
};

struct kvm_msr_filter_set {
	bool default_allow;
	unsigned int count;
	struct filter_range range[KVM_MSR_FILTER_MAX_RANGES];
};

static void free_set(struct kvm_msr_filter_set *set)
{
	for (unsigned int i = 0; set && i < set->count; i++)
		free(set->range[i].bitmap);
	free(set);
}

void kvm_msr_filter_destroy(struct kvm *kvm) { free_set(kvm->msr_filter); }

static bool allowed_by(const struct kvm_msr_filter_set *set, u32 msr, u32 type)
{
	for (unsigned int i = 0; i < set->count; i++) {
		const struct filter_range *r = &set->range[i];
		u32 n = msr - r->base;

		if (n < r->count && r->flags & type)
			return r->bitmap[n / 8] >> n % 8 & 1;
	}
	return set->default_allow;
}

bool kvm_msr_allowed(struct kvm_vcpu *vcpu, u32 msr, u32 type)
{
	struct kvm *kvm = vcpu->kvm;
	bool allowed = true;

	/* x2APIC registers are never filtered. */
	if (msr >= 0x800 && msr <= 0x8ff)
		return true;
	pthread_rwlock_rdlock(&kvm->msr_filter_lock);
	if (kvm->msr_filter)
		allowed = allowed_by(kvm->msr_filter, msr, type);
	pthread_rwlock_unlock(&kvm->msr_filter_lock);
	return allowed;
}

static int add_range(struct kvm_msr_filter_set *set, const struct kvm_msr_filter_range *user)
{
	struct filter_range *r = &set->range[set->count];
	size_t size = ((size_t)user->nmsrs + 7) / 8;

	if (user->flags & ~(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE))
		return -EINVAL;
	if (!user->nmsrs)
		return 0;
	if (!user->flags || size > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	r->bitmap = malloc(size);
	if (!r->bitmap)
		return -ENOMEM;
	set->count++;
	r->flags = user->flags;
	r->base = user->base;
	r->count = user->nmsrs;
	return hw_copy_from_host(r->bitmap, ptr_to_hpa(user->bitmap), size);
}

/* ---------------------------------------------------------------- the processor's own bitmap */

static void set_bit(u8 *bits, u32 msr, bool exits)
{
	u8 *byte = &bits[(msr & 0x1fff) / 8], bit = 1u << msr % 8;

	*byte = (*byte & ~bit) | (exits ? bit : 0);
}

/* Own thread: what the filter denies leaves the processor even if it could serve it. */
void kvm_msr_filter_apply(struct kvm_vcpu *vcpu)
{
	struct hw_msr_bitmap *b = &vcpu->msr_bitmap;
	struct kvm *kvm = vcpu->kvm;
	bool filtered;

	pthread_rwlock_rdlock(&kvm->msr_filter_lock);
	filtered = kvm->msr_filter;
	pthread_rwlock_unlock(&kvm->msr_filter_lock);
	hw_cpu_ctl(vcpu->cpu)->msr_bitmap = filtered ? b : NULL;
	for (unsigned int i = 0; filtered && i < KVM_PROCESSOR_MSRS; i++) {
		u32 msr = kvm_processor_msr(i);

		set_bit(msr >> 31 ? b->read_high : b->read_low, msr, !kvm_msr_allowed(vcpu, msr, KVM_MSR_FILTER_READ));
		set_bit(msr >> 31 ? b->write_high : b->write_low, msr, !kvm_msr_allowed(vcpu, msr, KVM_MSR_FILTER_WRITE));
	}
}

/* Every vCPU before it next enters the guest. */
static void filter_changed(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned int i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		kvm_make_request(vcpu, KVM_REQ_MSR_FILTER);
		kvm_vcpu_kick(vcpu);
	}
}

long kvm_ioctl_set_msr_filter(struct kvm_call *c)
{
	const struct kvm_msr_filter *filter = c->arg;
	struct kvm_msr_filter_set *set, *old;
	int error = 0;

	if (filter->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	set = calloc(1, sizeof(*set));
	if (!set)
		return -ENOMEM;
	set->default_allow = !(filter->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (unsigned int i = 0; i < KVM_MSR_FILTER_MAX_RANGES && !error; i++)
		error = add_range(set, &filter->ranges[i]);
	/* Denying everything by an empty filter makes no sense: api.rst. */
	if (!error && !set->count && !set->default_allow)
		error = -EINVAL;
	if (error) {
		free_set(set);
		return error;
	}
	pthread_rwlock_wrlock(&c->kvm->msr_filter_lock);
	old = c->kvm->msr_filter;
	c->kvm->msr_filter = set;
	pthread_rwlock_unlock(&c->kvm->msr_filter_lock);
	free_set(old);
	filter_changed(c->kvm);
	return 0;
}
