// SPDX-License-Identifier: Apache-2.0
/* Capabilities: KVM_CHECK_EXTENSION and KVM_ENABLE_CAP, one table each. */
#include <errno.h>
#include <sys/sysinfo.h>

#include "kvm/ioctl.h"
#include "kvm/irqchip.h"
#include "kvm/x86/smm.h"
#include "kvm/x86/x86.h"

#define QUIRKS                                                                                                  \
	(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE |          \
	 KVM_X86_QUIRK_OUT_7E_INC_RIP | KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN | \
	 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS | KVM_X86_QUIRK_SLOT_ZAP_ALL)

#define DISABLED_EXITS                                                                                              \
	(KVM_X86_DISABLE_EXITS_MWAIT | KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE |                     \
	 KVM_X86_DISABLE_EXITS_CSTATE)

/* ---------------------------------------------------------------- KVM_CHECK_EXTENSION */

static int nr_vcpus(const struct kvm *kvm)
{
	int cpus = get_nprocs();

	return cpus > (int)KVM_MAX_VCPUS ? (int)KVM_MAX_VCPUS : cpus;
}

static int max_vcpu_id(const struct kvm *kvm)
{
	return kvm && kvm->caps.max_vcpu_id ? (int)kvm->caps.max_vcpu_id : (int)KVM_MAX_VCPU_IDS;
}

static int readonly_mem(const struct kvm *kvm) { return !kvm || kvm->vendor->has_readonly_mem; }
static int smm(const struct kvm *kvm) { return !kvm || kvm_has_smm(kvm); }
static int address_spaces(const struct kvm *kvm)
{
	return (int)(kvm ? kvm->vendor : &kvm_vendor_plain)->address_spaces;
}
static int max_vcpus(const struct kvm *kvm) { return (int)(kvm ? kvm->max_vcpus : KVM_MAX_VCPUS); }
/* The registers of a guest with protected state are no field of kvm_run. */
static int sync_regs(const struct kvm *kvm)
{
	return kvm && kvm->vendor->has_protected_state ? 0 : KVM_SYNC_X86_VALID_FIELDS;
}

static int memory_attributes(const struct kvm *kvm) { return (int)kvm_supported_attributes(kvm); }
static int guest_memfd(const struct kvm *kvm) { return !kvm || kvm_gmem_supported(kvm); }

static int guest_memfd_flags(const struct kvm_compat *compat, const struct kvm *kvm)
{
	return (int)kvm_gmem_supported_flags(compat, kvm);
}

struct capability {
	u32 cap;
	int value;
	int (*ask)(const struct kvm *kvm); /* kvm NULL: on the system descriptor */
	int (*ask_version)(const struct kvm_compat *compat, const struct kvm *kvm);
};

/* What is missing here is answered with 0. */
static const struct capability capabilities[] = {
	{ KVM_CAP_IRQCHIP, .value = 1 },
	{ KVM_CAP_HLT, .value = 1 },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, .value = 1 },
	{ KVM_CAP_USER_MEMORY, .value = 1 },
	{ KVM_CAP_SET_TSS_ADDR, .value = 1 },
	{ KVM_CAP_EXT_CPUID, .value = 1 },
	{ KVM_CAP_CLOCKSOURCE, .value = 1 },
	{ KVM_CAP_NR_VCPUS, .ask = nr_vcpus },
	{ KVM_CAP_NR_MEMSLOTS, .value = KVM_USER_MEM_SLOTS },
	{ KVM_CAP_PIT, .value = 1 },
	{ KVM_CAP_NOP_IO_DELAY, .value = 1 },
	{ KVM_CAP_MP_STATE, .value = 1 },
	{ KVM_CAP_COALESCED_MMIO, .value = KVM_COALESCED_MMIO_PAGE_OFFSET },
	{ KVM_CAP_SYNC_MMU, .value = 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, .value = 1 },
	{ KVM_CAP_USER_NMI, .value = 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, .value = 1 },
	{ KVM_CAP_REINJECT_CONTROL, .value = 1 },
	{ KVM_CAP_IRQ_ROUTING, .value = KVM_MAX_IRQ_ROUTES },
	{ KVM_CAP_IRQ_INJECT_STATUS, .value = 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, .value = 1 },
	{ KVM_CAP_MCE, .value = 32 },
	{ KVM_CAP_IRQFD, .value = 1 },
	{ KVM_CAP_PIT2, .value = 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, .value = 1 },
	{ KVM_CAP_PIT_STATE2, .value = 1 },
	{ KVM_CAP_IOEVENTFD, .value = 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, .value = 1 },
	{ KVM_CAP_ADJUST_CLOCK, .value = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC },
	{ KVM_CAP_INTERNAL_ERROR_DATA, .value = 1 },
	{ KVM_CAP_VCPU_EVENTS, .value = 1 },
	{ KVM_CAP_INTR_SHADOW, .value = 1 },
	{ KVM_CAP_PCI_SEGMENT, .value = 1 },
	{ KVM_CAP_DEBUGREGS, .value = 1 },
	{ KVM_CAP_ENABLE_CAP, .value = 1 },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, .value = 1 },
	{ KVM_CAP_XSAVE, .value = 1 },
	{ KVM_CAP_XCRS, .value = 1 },
	{ KVM_CAP_TSC_CONTROL, .value = 1 },
	{ KVM_CAP_GET_TSC_KHZ, .value = 1 },
	{ KVM_CAP_MAX_VCPUS, .ask = max_vcpus },
	{ KVM_CAP_TSC_DEADLINE_TIMER, .value = 1 },
	{ KVM_CAP_SYNC_REGS, .ask = sync_regs },
	{ KVM_CAP_KVMCLOCK_CTRL, .value = 1 },
	{ KVM_CAP_SIGNAL_MSI, .value = 1 },
	{ KVM_CAP_READONLY_MEM, .ask = readonly_mem },
	{ KVM_CAP_IRQFD_RESAMPLE, .value = 1 },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, .value = 1 },
	{ KVM_CAP_ENABLE_CAP_VM, .value = 1 },
	{ KVM_CAP_DEVICE_CTRL, .value = 1 },
	{ KVM_CAP_EXT_EMUL_CPUID, .value = 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, .value = 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, .value = 1 },
	{ KVM_CAP_DISABLE_QUIRKS, .value = 1 },
	{ KVM_CAP_MULTI_ADDRESS_SPACE, .ask = address_spaces },
	{ KVM_CAP_SPLIT_IRQCHIP, .value = 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, .value = 1 },
	{ KVM_CAP_VCPU_ATTRIBUTES, .value = 1 },
	{ KVM_CAP_X86_SMM, .ask = smm },
	{ KVM_CAP_MAX_VCPU_ID, .ask = max_vcpu_id },
	{ KVM_CAP_X2APIC_API, .value = KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK },
	{ KVM_CAP_IMMEDIATE_EXIT, .value = 1 },
	{ KVM_CAP_X86_DISABLE_EXITS, .value = DISABLED_EXITS },
	{ KVM_CAP_GET_MSR_FEATURES, .value = 1 },
	{ KVM_CAP_MSR_PLATFORM_INFO, .value = 1 },
	{ KVM_CAP_COALESCED_PIO, .value = 1 },
	{ KVM_CAP_EXCEPTION_PAYLOAD, .value = 1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .value = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	{ KVM_CAP_HALT_POLL, .value = 1 },
	{ KVM_CAP_LAST_CPU, .value = 1 },
	{ KVM_CAP_DIRTY_LOG_RING, .value = KVM_DIRTY_RING_MAX_SIZE },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, .value = KVM_DIRTY_RING_MAX_SIZE },
	{ KVM_CAP_X86_USER_SPACE_MSR, .value = 1 },
	{ KVM_CAP_X86_MSR_FILTER, .value = 1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .value = 1 },
	{ KVM_CAP_SET_GUEST_DEBUG2, .value = KVM_GUESTDBG_VALID },
	{ KVM_CAP_SREGS2, .value = 1 },
	/* Linux says so on every host, and refuses to enable them (EINVAL) where there is no SEV. */
	{ KVM_CAP_VM_COPY_ENC_CONTEXT_FROM, .value = 1 },
	{ KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM, .value = 1 },
	{ KVM_CAP_EXIT_HYPERCALL, .value = 1 << KVM_HC_MAP_GPA_RANGE },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, .value = 1 },
	{ KVM_CAP_XSAVE2, .value = sizeof(struct kvm_xsave) },
	{ KVM_CAP_SYS_ATTRIBUTES, .value = 1 },
	{ KVM_CAP_DISABLE_QUIRKS2, .value = QUIRKS },
	{ KVM_CAP_VM_TSC_CONTROL, .value = 1 },
	{ KVM_CAP_SYSTEM_EVENT_DATA, .value = 1 },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, .value = 1 },
	{ KVM_CAP_BINARY_STATS_FD, .value = 1 },
	{ KVM_CAP_USER_MEMORY2, .value = 1 },
	{ KVM_CAP_MEMORY_FAULT_INFO, .value = 1 },
	{ KVM_CAP_MEMORY_ATTRIBUTES, .ask = memory_attributes },
	{ KVM_CAP_GUEST_MEMFD, .ask = guest_memfd },
		{ KVM_CAP_PRE_FAULT_MEMORY, .value = 1 },
	{ KVM_CAP_GUEST_MEMFD_FLAGS, .ask_version = guest_memfd_flags },
	{ KVM_CAP_X86_APIC_BUS_CYCLES_NS, .value = 1 },
	{ KVM_CAP_X86_GUEST_MODE, .value = 1 },
};

static bool is_hidden(const struct kvm *kvm, u64 cap)
{
	const u32 *hidden = kvm ? kvm->vendor->hidden_caps : NULL;

	for (; hidden && *hidden; hidden++)
		if (*hidden == cap)
			return true;
	return false;
}

static int check_extension(const struct kvm_compat *compat, const struct kvm *kvm, u64 cap)
{
	if (is_hidden(kvm, cap))
		return 0;
	for (unsigned int i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		const struct capability *c = &capabilities[i];

		if (c->cap != cap)
			continue;
		if (c->ask_version)
			return c->ask_version(compat, kvm);
		return c->ask ? c->ask(kvm) : c->value;
	}
	return 0;
}

long kvm_ioctl_check_extension(struct kvm_call *c)
{
	const struct kvm_compat *compat = c->kvm ? c->kvm->compat : kvm_compat_find(c->system->config.kvm_compat);

	if (c->value == KVM_CAP_VM_TYPES)
		return (int)kvm_vendor_types(c->kvm ? &c->kvm->system->config : &c->system->config);
	return check_extension(compat, c->kvm, c->value);
}

/* ---------------------------------------------------------------- KVM_ENABLE_CAP on a VM, under kvm->lock */

static int enable_split_irqchip(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	return kvm_vm_enable_split_irqchip(kvm, cap->args[0]);
}

static int enable_x2apic_api(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	return kvm_vm_enable_x2apic_api(kvm, cap->args[0]);
}

static int enable_apic_bus_cycles(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	return kvm_vm_enable_apic_bus_cycles(kvm, cap->args[0]);
}

static int enable_quirks(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	if (cap->cap == KVM_CAP_DISABLE_QUIRKS2 && cap->args[0] & ~(u64)QUIRKS)
		return -EINVAL;
	kvm->caps.disabled_quirks |= cap->args[0] & QUIRKS;
	return 0;
}

static int enable_disabled_exits(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(u64)DISABLED_EXITS)
		return -EINVAL;
	if (kvm_vcpu_count(kvm) && !kvm->compat->disables_exits_any_time)
		return -EINVAL;
	kvm->caps.disabled_exits |= cap->args[0];
	return 0;
}

static int enable_user_space_msr(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(u64)KVM_MSR_EXIT_REASON_VALID_MASK)
		return -EINVAL;
	kvm->caps.user_space_msr = cap->args[0];
	return 0;
}

static int enable_exit_hypercall(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~((u64)1 << KVM_HC_MAP_GPA_RANGE))
		return -EINVAL;
	kvm->caps.exit_hypercall = cap->args[0];
	return 0;
}

static int enable_manual_dirty_log(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	u64 allowed = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (cap->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		allowed |= KVM_DIRTY_LOG_INITIALLY_SET;
	if (cap->args[0] & ~allowed)
		return -EINVAL;
	kvm->caps.manual_dirty_log = cap->args[0];
	return 0;
}

static int enable_exception_payload(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	kvm->caps.exception_payload = cap->args[0];
	return 0;
}

static int enable_triple_fault_event(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	kvm->caps.triple_fault_event = cap->args[0];
	return 0;
}

static int enable_emulation_failure_exit(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~1ull)
		return -EINVAL;
	kvm->caps.exit_on_emulation_failure = cap->args[0];
	return 0;
}

static int enable_platform_info(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	kvm->caps.no_platform_info = !cap->args[0];
	return 0;
}

/* How long a halted vCPU may poll before it sleeps: here it always sleeps at once. */
static int enable_halt_poll(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	return cap->args[0] >> 32 ? -EINVAL : 0;
}

static int enable_max_vcpu_id(struct kvm *kvm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] > KVM_MAX_VCPU_IDS || kvm_vm_boot_cpu_id(kvm) > cap->args[0])
		return -EINVAL;
	if (kvm->caps.max_vcpu_id == cap->args[0])
		return 0;
	if (kvm->caps.max_vcpu_id)
		return -EINVAL;
	kvm->caps.max_vcpu_id = cap->args[0];
	return 0;
}

static const struct {
	u32 cap;
	int (*enable)(struct kvm *kvm, const struct kvm_enable_cap *cap);
} enable_table[] = {
	{ KVM_CAP_SPLIT_IRQCHIP, enable_split_irqchip },
	{ KVM_CAP_X2APIC_API, enable_x2apic_api },
	{ KVM_CAP_X86_APIC_BUS_CYCLES_NS, enable_apic_bus_cycles },
	{ KVM_CAP_DISABLE_QUIRKS, enable_quirks },
	{ KVM_CAP_DISABLE_QUIRKS2, enable_quirks },
	{ KVM_CAP_X86_DISABLE_EXITS, enable_disabled_exits },
	{ KVM_CAP_X86_USER_SPACE_MSR, enable_user_space_msr },
	{ KVM_CAP_EXIT_HYPERCALL, enable_exit_hypercall },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, enable_manual_dirty_log },
	{ KVM_CAP_EXCEPTION_PAYLOAD, enable_exception_payload },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, enable_triple_fault_event },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, enable_emulation_failure_exit },
	{ KVM_CAP_MSR_PLATFORM_INFO, enable_platform_info },
	{ KVM_CAP_MAX_VCPU_ID, enable_max_vcpu_id },
	{ KVM_CAP_HALT_POLL, enable_halt_poll },
	{ KVM_CAP_DIRTY_LOG_RING, kvm_dirty_ring_enable },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, kvm_dirty_ring_enable },
};

/* Linux looks at the flags of all others. */
static bool takes_any_flags(u32 cap) { return cap == KVM_CAP_DIRTY_LOG_RING || cap == KVM_CAP_DIRTY_LOG_RING_ACQ_REL; }

long kvm_ioctl_vm_enable_cap(struct kvm_call *c)
{
	const struct kvm_enable_cap *cap = c->arg;
	int result = -EINVAL;

	if (cap->flags && !takes_any_flags(cap->cap))
		return -EINVAL;
	pthread_mutex_lock(&c->kvm->lock);
	for (unsigned int i = 0; i < sizeof(enable_table) / sizeof(enable_table[0]); i++)
		if (enable_table[i].cap == cap->cap && !is_hidden(c->kvm, cap->cap))
			result = enable_table[i].enable(c->kvm, cap);
	pthread_mutex_unlock(&c->kvm->lock);
	return result;
}

/* ---------------------------------------------------------------- KVM_ENABLE_CAP on a vCPU */

long kvm_ioctl_vcpu_enable_cap(struct kvm_call *c)
{
	const struct kvm_enable_cap *cap = c->arg;

	if (cap->flags || cap->cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
		return -EINVAL;
	c->vcpu->enforce_pv_features = cap->args[0];
	return 0;
}
