// SPDX-License-Identifier: Apache-2.0
/* CPUID: what may be offered, what user space chose, what the guest reads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/ioctl.h"
#include "kvm/irqchip.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/x86.h"

#define MAX_ENTRIES 256u
#define DEFAULT_PHYS_BITS 36u

#define BIT(n) (1u << (n))
#define LEAF1_ECX_MONITOR BIT(3)
#define LEAF1_ECX_PCID BIT(17)
#define LEAF1_ECX_X2APIC BIT(21)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_XSAVE BIT(26)
#define LEAF1_ECX_OSXSAVE BIT(27)
#define LEAF1_ECX_HYPERVISOR BIT(31)
#define LEAF1_EDX_APIC BIT(9)
#define LEAF7_EBX_FSGSBASE BIT(0)
#define LEAF7_EBX_TSC_ADJUST BIT(1)
#define LEAF7_EBX_SMEP BIT(7)
#define LEAF7_EBX_SMAP BIT(20)
#define LEAF7_ECX_UMIP BIT(2)
#define LEAF7_ECX_PKU BIT(3)
#define LEAF7_ECX_OSPKE BIT(4)
#define LEAF7_ECX_LA57 BIT(16)
#define LEAF7_EDX_ARCH_CAPABILITIES BIT(29)
#define EXT7_EDX_INVARIANT_TSC BIT(8)

enum { CR4_UMIP = 1u << 11, CR4_LA57 = 1u << 12, CR4_FSGSBASE = 1u << 16, CR4_PCIDE = 1u << 17, CR4_OSXSAVE = 1u << 18,
       CR4_SMEP = 1u << 20, CR4_SMAP = 1u << 21, CR4_PKE = 1u << 22 };
#define CR4_ALWAYS 0x7ffu /* VME .. OSXMMEXCPT, whatever the guest's CPUID says (as Linux) */

#define PV_FEATURES                                                                                             \
	(BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) | BIT(KVM_FEATURE_CLOCKSOURCE2) |          \
	 BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI) | BIT(KVM_FEATURE_POLL_CONTROL) |             \
	 BIT(KVM_FEATURE_PV_SCHED_YIELD) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT))

/* ---------------------------------------------------------------- what the platform and kvm offer */

static const struct hw_cpuid signature = { KVM_CPUID_FEATURES, 0x4b4d564b, 0x564b4d56, 0x4d }; /* "KVMKVMKVM" */

static u32 pv_features(const struct hw_machine *machine)
{
	return PV_FEATURES | (kvm_steal_supported(machine) ? BIT(KVM_FEATURE_STEAL_TIME) : 0);
}

static void kvm_leaves(const struct hw_machine *machine, u32 function, struct hw_cpuid *out)
{
	*out = (struct hw_cpuid){ 0 };
	if (function == KVM_CPUID_SIGNATURE)
		*out = signature;
	else if (function == KVM_CPUID_FEATURES)
		out->eax = pv_features(machine);
}

void kvm_supported_cpuid(struct hw_machine *machine, u32 function, u32 index, struct hw_cpuid *out)
{
	if (function >> 16 == 0x4000) {
		kvm_leaves(machine, function, out);
		return;
	}
	hw_cpuid(machine, function, index, out);
	switch (function) {
	case 1:
		out->ecx |= LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE | LEAF1_ECX_HYPERVISOR;
		out->ecx &= ~LEAF1_ECX_OSXSAVE;
		break;
	case 7:
		if (index)
			break;
		out->ebx |= LEAF7_EBX_TSC_ADJUST;
		out->ecx &= ~LEAF7_ECX_OSPKE;
		if (hw_machine_config(machine)->platform == HW_PLATFORM_INTEL)
			out->edx |= LEAF7_EDX_ARCH_CAPABILITIES;
		break;
	case 0xb:
	case 0x1f:
		/* Topology is user space's to describe. */
		*out = (struct hw_cpuid){ .ecx = index & 0xff };
		break;
	case 0x80000007:
		out->edx |= EXT7_EDX_INVARIANT_TSC;
		break;
	}
}

u64 kvm_supported_xcr0(struct hw_machine *machine)
{
	struct hw_cpuid d;

	hw_cpuid(machine, 0xd, 0, &d);
	return d.eax | (u64)d.edx << 32;
}

/* Number of subleaves that stand in the list; 0: the leaf has none. */
static u32 subleaves(struct hw_machine *machine, u32 function)
{
	struct hw_cpuid out;
	u32 n = 0;

	switch (function) {
	case 4:
	case 0x8000001d:
		do
			hw_cpuid(machine, function, n++, &out);
		while (out.eax & 0x1f && n < 16);
		return n;
	case 7:
		hw_cpuid(machine, 7, 0, &out);
		return out.eax + 1 > 8 ? 8 : out.eax + 1;
	case 0xb:
	case 0x1f:
		return 1;
	case 0xd:
		return 64;
	default:
		return 0;
	}
}

struct list {
	struct kvm_cpuid_entry2 *entry;
	u32 count, capacity;
};

/* false: full */
static bool add_entry(struct list *list, struct hw_machine *machine, u32 function, u32 index, u32 flags)
{
	struct hw_cpuid out;

	kvm_supported_cpuid(machine, function, index, &out);
	/* A state component that does not exist has no entry. */
	if (function == 0xd && index > 1 && !out.eax)
		return true;
	if (list->count >= list->capacity)
		return false;
	list->entry[list->count++] = (struct kvm_cpuid_entry2){
		.function = function, .index = index, .flags = flags,
		.eax = out.eax, .ebx = out.ebx, .ecx = out.ecx, .edx = out.edx,
	};
	return true;
}

static bool add_function(struct list *list, struct hw_machine *machine, u32 function)
{
	u32 n = subleaves(machine, function);

	if (!n)
		return add_entry(list, machine, function, 0, 0);
	for (u32 i = 0; i < n; i++)
		if (!add_entry(list, machine, function, i, KVM_CPUID_FLAG_SIGNIFCANT_INDEX))
			return false;
	return true;
}

static bool add_range(struct list *list, struct hw_machine *machine, u32 first, u32 last)
{
	for (u32 function = first; function <= last; function++)
		if (!add_function(list, machine, function))
			return false;
	return true;
}

long kvm_ioctl_get_supported_cpuid(struct kvm_call *c)
{
	struct hw_machine *m = c->system->machine;
	struct kvm_cpuid2 head;
	struct list list = { 0 };
	long result = -E2BIG;

	if (hw_copy_from_host(&head, c->user, sizeof(head)))
		return -EFAULT;
	if (head.nent < 1)
		return -E2BIG;
	list.capacity = head.nent > MAX_ENTRIES ? MAX_ENTRIES : head.nent;
	list.entry = calloc(list.capacity, sizeof(*list.entry));
	if (!list.entry)
		return -ENOMEM;
	if (add_range(&list, m, 0, hw_cpuid_max(m, 0)) &&
	    add_range(&list, m, 0x80000000, hw_cpuid_max(m, 0x80000000)) &&
	    add_range(&list, m, KVM_CPUID_SIGNATURE, KVM_CPUID_FEATURES)) {
		head.nent = list.count;
		result = hw_copy_to_host(hpa(c->user.v + sizeof(head)), list.entry, list.count * sizeof(*list.entry));
		result = result ? result : hw_copy_to_host(c->user, &head, sizeof(head));
	}
	free(list.entry);
	return result;
}

/* Nothing that the processor lacks is emulated. */
long kvm_ioctl_get_emulated_cpuid(struct kvm_call *c)
{
	struct kvm_cpuid2 head;

	if (hw_copy_from_host(&head, c->user, sizeof(head)))
		return -EFAULT;
	if (head.nent < 1)
		return -E2BIG;
	head.nent = 0;
	return hw_copy_to_host(c->user, &head, sizeof(head));
}

/* ---------------------------------------------------------------- what user space chose */

static struct kvm_cpuid_entry2 *find_entry(struct kvm_cpuid_entry2 *entry, u32 count, u32 function, u32 index)
{
	for (u32 i = 0; i < count; i++) {
		struct kvm_cpuid_entry2 *e = &entry[i];

		if (e->function == function && (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == index))
			return e;
	}
	return NULL;
}

const struct kvm_cpuid_entry2 *kvm_find_cpuid(const struct kvm_vcpu *vcpu, u32 function, u32 index)
{
	return find_entry(vcpu->cpuid, vcpu->cpuid_count, function, index);
}

/* KVM's leaves may stand behind those of another hypervisor: they are where the signature is (cpuid.rst). */
static struct kvm_cpuid_entry2 *find_pv_features(struct kvm_cpuid_entry2 *entry, u32 count)
{
	for (u32 base = KVM_CPUID_SIGNATURE; base < KVM_CPUID_SIGNATURE + 0x10000; base += 0x100) {
		const struct kvm_cpuid_entry2 *e = find_entry(entry, count, base, 0);

		if (e && e->ebx == signature.ebx && e->ecx == signature.ecx && e->edx == signature.edx)
			return find_entry(entry, count, base + 1, 0);
	}
	return NULL;
}

bool kvm_guest_has_feature(const struct kvm_vcpu *vcpu, unsigned int feature)
{
	const struct kvm_cpuid_entry2 *e = find_pv_features(vcpu->cpuid, vcpu->cpuid_count);

	/* As in Linux, the features are there even if CPUID hides them, unless user space wants them enforced. */
	if (!vcpu->enforce_pv_features)
		return pv_features(vcpu->kvm->machine) >> feature & 1;
	return e && e->eax >> feature & 1;
}

static u32 leaf1_ecx(const struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid(vcpu, 1, 0);

	return e ? e->ecx : 0;
}

bool kvm_guest_has_x2apic(const struct kvm_vcpu *vcpu) { return leaf1_ecx(vcpu) & LEAF1_ECX_X2APIC; }
bool kvm_guest_has_tsc_deadline(const struct kvm_vcpu *vcpu) { return leaf1_ecx(vcpu) & LEAF1_ECX_TSC_DEADLINE; }
bool kvm_guest_has_mwait(const struct kvm_vcpu *vcpu) { return leaf1_ecx(vcpu) & LEAF1_ECX_MONITOR; }

unsigned int kvm_guest_phys_bits(const struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *max = kvm_find_cpuid(vcpu, 0x80000000, 0);
	const struct kvm_cpuid_entry2 *e = max && max->eax >= 0x80000008 ? kvm_find_cpuid(vcpu, 0x80000008, 0) : NULL;
	unsigned int bits = e ? e->eax & 0xff : 0;

	return bits >= 32 && bits <= 52 ? bits : DEFAULT_PHYS_BITS;
}

u64 kvm_guest_xcr0(const struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid(vcpu, 0xd, 0);

	return e ? (e->eax | (u64)e->edx << 32) & kvm_supported_xcr0(vcpu->kvm->machine) : 0;
}

u64 kvm_guest_cr4_reserved(const struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e7 = kvm_find_cpuid(vcpu, 7, 0);
	u32 ecx1 = leaf1_ecx(vcpu), ebx7 = e7 ? e7->ebx : 0, ecx7 = e7 ? e7->ecx : 0;
	u64 allowed = CR4_ALWAYS;

	/* Before user space has said what the guest's CPUID is, everything that there is is allowed, as in Linux. */
	if (!vcpu->cpuid) {
		struct hw_cpuid one, seven;

		kvm_supported_cpuid(vcpu->kvm->machine, 1, 0, &one);
		kvm_supported_cpuid(vcpu->kvm->machine, 7, 0, &seven);
		ecx1 = one.ecx;
		ebx7 = seven.ebx;
		ecx7 = seven.ecx;
	}
	allowed |= ecx1 & LEAF1_ECX_PCID ? CR4_PCIDE : 0;
	allowed |= ecx1 & LEAF1_ECX_XSAVE ? CR4_OSXSAVE : 0;
	allowed |= ebx7 & LEAF7_EBX_FSGSBASE ? CR4_FSGSBASE : 0;
	allowed |= ebx7 & LEAF7_EBX_SMEP ? CR4_SMEP : 0;
	allowed |= ebx7 & LEAF7_EBX_SMAP ? CR4_SMAP : 0;
	allowed |= ecx7 & LEAF7_ECX_UMIP ? CR4_UMIP : 0;
	allowed |= ecx7 & LEAF7_ECX_PKU ? CR4_PKE : 0;
	allowed |= ecx7 & LEAF7_ECX_LA57 ? CR4_LA57 : 0;
	return ~allowed;
}

/* The processor's controls that follow from the guest's CPUID. */
static void update_controls(struct kvm_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *ext = kvm_find_cpuid(vcpu, 0x80000001, 0);
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);
	u32 edx = ext ? ext->edx : 0;

	ctl->maxphyaddr = kvm_guest_phys_bits(vcpu);
	ctl->cr4_reserved = kvm_guest_cr4_reserved(vcpu);
	ctl->xcr0_supported = kvm_guest_xcr0(vcpu) | 1;
	ctl->efer_reserved = 0;
	if (!(edx & BIT(29)))
		ctl->efer_reserved |= BIT(8) | BIT(10);
	if (!(edx & BIT(20)))
		ctl->efer_reserved |= BIT(11);
	hw_cpu_arch_changed(vcpu->cpu);
}

static int check_entries(const struct kvm_cpuid_entry2 *entry, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		unsigned int bits = entry[i].eax >> 8 & 0xff;

		if (entry[i].function == 0x80000008 && bits != 48 && bits != 57 && bits != 0)
			return -EINVAL;
	}
	return 0;
}

/* A vCPU that halts without an exit cannot be kicked out of it: Linux takes the feature back. */
static void adjust_entries(const struct kvm *kvm, struct kvm_cpuid_entry2 *entry, u32 count)
{
	struct kvm_cpuid_entry2 *features = find_pv_features(entry, count);

	if (features && kvm->caps.disabled_exits & KVM_X86_DISABLE_EXITS_HLT)
		features->eax &= ~BIT(KVM_FEATURE_PV_UNHALT);
}

/* Takes the entries over. */
static long set_entries(struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *entry, u32 count)
{
	long error = check_entries(entry, count);

	adjust_entries(vcpu->kvm, entry, count);
	/* It cannot change once the guest has run; the same again is fine (api.rst KVM_SET_CPUID). */
	if (!error && vcpu->has_run &&
	    (count != vcpu->cpuid_count || (count && memcmp(entry, vcpu->cpuid, count * sizeof(*entry)))))
		error = -EINVAL;
	if (error) {
		free(entry);
		return error;
	}
	free(vcpu->cpuid);
	vcpu->cpuid = entry;
	vcpu->cpuid_count = count;
	update_controls(vcpu);
	return 0;
}

void kvm_cpuid_destroy(struct kvm_vcpu *vcpu) { free(vcpu->cpuid); }

long kvm_ioctl_set_cpuid2(struct kvm_call *c)
{
	struct kvm_cpuid2 head;
	void *entries;
	long error;

	if (hw_copy_from_host(&head, c->user, sizeof(head)))
		return -EFAULT;
	if (head.nent > MAX_ENTRIES)
		return -E2BIG;
	error = kvm_copy_array(c, sizeof(head), head.nent, sizeof(struct kvm_cpuid_entry2), &entries);
	return error ? error : set_entries(c->vcpu, entries, head.nent);
}

long kvm_ioctl_set_cpuid(struct kvm_call *c)
{
	struct kvm_cpuid_entry2 *entry;
	struct kvm_cpuid_entry *old;
	struct kvm_cpuid head;
	void *entries;
	long error;

	if (hw_copy_from_host(&head, c->user, sizeof(head)))
		return -EFAULT;
	if (head.nent > MAX_ENTRIES)
		return -E2BIG;
	error = kvm_copy_array(c, sizeof(head), head.nent, sizeof(*old), &entries);
	if (error)
		return error;
	old = entries;
	entry = calloc(head.nent ? head.nent : 1, sizeof(*entry));
	for (u32 i = 0; entry && i < head.nent; i++)
		entry[i] = (struct kvm_cpuid_entry2){
			.function = old[i].function, .eax = old[i].eax, .ebx = old[i].ebx, .ecx = old[i].ecx, .edx = old[i].edx,
		};
	free(old);
	return entry ? set_entries(c->vcpu, entry, head.nent) : -ENOMEM;
}

/* ---------------------------------------------------------------- what the guest reads */

/* Size of an XSAVE area for a set of components: the end of the last one, or their sum if compacted. */
static u32 xsave_size(struct hw_machine *m, u64 components, bool compacted)
{
	u32 size = 576;

	for (unsigned int i = 2; i < 63; i++) {
		struct hw_cpuid d;

		if (!(components >> i & 1))
			continue;
		hw_cpuid(m, 0xd, i, &d);
		if (compacted)
			size = (d.ecx & 2 ? (size + 63) & ~63u : size) + d.eax;
		else if (d.ebx + d.eax > size)
			size = d.ebx + d.eax;
	}
	return size;
}

/* Bits that follow the vCPU's state: SDM 2A CPUID. */
static void apply_state(struct kvm_vcpu *vcpu, u32 function, u32 index, struct hw_cpuid *out)
{
	const struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	struct hw_machine *m = vcpu->kvm->machine;

	if (function == 1) {
		out->ecx = (out->ecx & ~LEAF1_ECX_OSXSAVE) | (a->cr4 & CR4_OSXSAVE ? LEAF1_ECX_OSXSAVE : 0);
		if (!(kvm_lapic_get_base(vcpu) & APICBASE_ENABLE))
			out->edx &= ~LEAF1_EDX_APIC;
	} else if (function == 7 && !index) {
		out->ecx = (out->ecx & ~LEAF7_ECX_OSPKE) | (a->cr4 & CR4_PKE ? LEAF7_ECX_OSPKE : 0);
	} else if (function == 0xd && !index && out->eax) {
		out->ebx = xsave_size(m, a->xcr0, false);
	} else if (function == 0xd && index == 1 && out->eax & (BIT(1) | BIT(3))) {
		out->ebx = xsave_size(m, a->xcr0 | a->xss, true);
	}
}

/* Intel answers a leaf beyond the last with the last basic leaf, AMD with zeros: SDM 2A CPUID, APM3. */
static const struct kvm_cpuid_entry2 *out_of_range(const struct kvm_vcpu *vcpu, u32 *function, u32 index)
{
	const struct kvm_cpuid_entry2 *basic = kvm_find_cpuid(vcpu, 0, 0);
	const struct kvm_cpuid_entry2 *range = kvm_find_cpuid(vcpu, *function & 0xc0000000, 0);

	if (!basic || !kvm_is_intel(vcpu->kvm))
		return NULL;
	if ((*function & 0xffff0000) == 0x40000000)
		range = kvm_find_cpuid(vcpu, *function & 0xffffff00, 0);
	if (range && *function <= range->eax)
		return NULL;
	*function = basic->eax;
	return kvm_find_cpuid(vcpu, *function, index);
}

void kvm_guest_cpuid(struct kvm_vcpu *vcpu, u32 function, u32 index, struct hw_cpuid *out)
{
	const struct kvm_cpuid_entry2 *e = kvm_find_cpuid(vcpu, function, index);

	*out = (struct hw_cpuid){ 0 };
	if (!e)
		e = out_of_range(vcpu, &function, index);
	if (e) {
		*out = (struct hw_cpuid){ e->eax, e->ebx, e->ecx, e->edx };
		apply_state(vcpu, function, index, out);
		return;
	}
	/* A topology level that is not listed still names the level and the x2APIC id. */
	if (function == 0xb || function == 0x1f) {
		const struct kvm_cpuid_entry2 *level = kvm_find_cpuid(vcpu, function, 1);

		out->ecx = index & 0xff;
		out->edx = level ? level->edx : 0;
	}
}

long kvm_ioctl_get_cpuid2(struct kvm_call *c)
{
	struct kvm_vcpu *vcpu = c->vcpu;
	struct kvm_cpuid2 head;
	long result;

	if (hw_copy_from_host(&head, c->user, sizeof(head)))
		return -EFAULT;
	if (head.nent < vcpu->cpuid_count)
		return -E2BIG;
	head.nent = vcpu->cpuid_count;
	for (unsigned int i = 0; i < vcpu->cpuid_count; i++) {
		struct kvm_cpuid_entry2 e = vcpu->cpuid[i];
		struct hw_cpuid out = { e.eax, e.ebx, e.ecx, e.edx };

		apply_state(vcpu, e.function, e.index, &out);
		e.eax = out.eax;
		e.ebx = out.ebx;
		e.ecx = out.ecx;
		e.edx = out.edx;
		result = hw_copy_to_host(hpa(c->user.v + sizeof(head) + i * sizeof(e)), &e, sizeof(e));
		if (result)
			return result;
	}
	return hw_copy_to_host(c->user, &head, sizeof(head));
}
