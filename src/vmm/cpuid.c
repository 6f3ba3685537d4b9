// SPDX-License-Identifier: Apache-2.0
/* The vCPU's CPUID: all that KVM supports, plus what only the VMM knows: APIC ids and the number of processors. */
#include "vmm/report.h"
#include "vmm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ENTRIES   512u
#define SPARE_ENTRIES 4u

#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_HYPERVISOR   (1u << 31)
#define LEAF1_EDX_HTT	       (1u << 28)
#define MSR_K7_HWCR 0xc0010015u
#define HWCR_TSC_FREQ_SEL (1u << 24)
#define TOPOLOGY_SMT	       1u
#define TOPOLOGY_CORE	       2u

static struct kvm_cpuid2 *supported(struct vm *vm)
{
	struct kvm_cpuid2 *cpuid = NULL;
	int err = -E2BIG;

	for (uint32_t n = 64; err == -E2BIG && n <= MAX_ENTRIES; n *= 2) {
		free(cpuid);
		cpuid = calloc(1, sizeof(*cpuid) + (n + SPARE_ENTRIES) * sizeof(cpuid->entries[0]));
		if (!cpuid)
			return NULL;
		cpuid->nent = n;
		err = vm->calls->ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
	}
	if (!err)
		return cpuid;
	vmm_error("KVM_GET_SUPPORTED_CPUID: %s", strerror(-err));
	free(cpuid);
	return NULL;
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	return NULL;
}

/* One level of leaf 0xb or 0x1f (SDM 2A CPUID); the entry is made when KVM lists only the first. */
static void set_topology_level(struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t index, const struct kvm_cpuid_entry2 *value)
{
	struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, leaf, index);

	if (!entry)
		entry = &cpuid->entries[cpuid->nent++];
	*entry = *value;
	entry->function = leaf;
	entry->index = index;
	entry->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
}

static void set_topology(struct kvm_cpuid2 *cpuid, uint32_t leaf, const struct vm *vm, unsigned int index)
{
	unsigned int cpus = vm->config->cpus, bits = 0;

	if (!cpuid_find(cpuid, leaf, 0))
		return;
	while (1u << bits < cpus)
		bits++;
	set_topology_level(cpuid, leaf, 0,
			   &(struct kvm_cpuid_entry2){ .ebx = 1, .ecx = TOPOLOGY_SMT << 8, .edx = index });
	set_topology_level(cpuid, leaf, 1,
			   &(struct kvm_cpuid_entry2){
				   .eax = bits, .ebx = cpus, .ecx = TOPOLOGY_CORE << 8 | 1, .edx = index });
}

static void set_entry(struct kvm_cpuid_entry2 *e, const struct vm *vm, unsigned int index, bool tsc_deadline)
{
	unsigned int cpus = vm->config->cpus;

	switch (e->function) {
	case KVM_CPUID_FEATURES:
		e->eax = (e->eax & ~vm->config->type->kvm_features_withheld) | vm->config->type->kvm_features_added;
		break;
	case 1:
		e->ebx = (e->ebx & 0xffff) | index << 24 | cpus << 16;
		e->ecx |= LEAF1_ECX_HYPERVISOR | (tsc_deadline ? LEAF1_ECX_TSC_DEADLINE : 0);
		e->edx = cpus > 1 ? e->edx | LEAF1_EDX_HTT : e->edx & ~LEAF1_EDX_HTT;
		break;
	case 4: /* cores in the package; caches belong to one core but for the last level */
		if (e->eax & 0x1f)
			e->eax = (e->eax & 0x03ffffff) | (cpus - 1) << 26;
		break;
	case 0x80000008:
		e->ecx = (e->ecx & ~0xffu) | (cpus - 1);
		break;
	case 0x8000001e:
		e->eax = index;
		e->ebx = (e->ebx & ~0xffffu) | index;
		break;
	}
}

/* Linux wants to see that the TSC counts with P0: APM2 3.2.10, HWCR.TscFreqSel. Where there is no such MSR none is set. */
static void set_tsc_freq_sel(struct vcpu *vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { { .nmsrs = 1 }, { .index = MSR_K7_HWCR, .data = HWCR_TSC_FREQ_SEL } };

	vcpu->vm->calls->ioctl(vcpu->fd, KVM_SET_MSRS, &msr);
}

struct kvm_cpuid2 *vcpu_make_cpuid(struct vm *vm, unsigned int index)
{
	struct kvm_cpuid2 *cpuid = supported(vm);
	bool tsc_deadline;

	if (!cpuid)
		return NULL;
	tsc_deadline = kvm_call_number(vm->calls, vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	for (uint32_t i = 0; i < cpuid->nent; i++)
		set_entry(&cpuid->entries[i], vm, index, tsc_deadline);
	set_topology(cpuid, 0xb, vm, index);
	set_topology(cpuid, 0x1f, vm, index);
	return cpuid;
}

int vcpu_set_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = vcpu_make_cpuid(vcpu->vm, vcpu->index);
	int err;

	if (!cpuid)
		return -EIO;
	err = vcpu->vm->calls->ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	if (err)
		vmm_error("KVM_SET_CPUID2: %s", strerror(-err));
	else
		set_tsc_freq_sel(vcpu);
	free(cpuid);
	return err;
}
