// SPDX-License-Identifier: Apache-2.0
/* Registers of the local APIC: by MMIO (xAPIC), by MSR (x2APIC), and as KVM_GET_LAPIC shows them. */
#include "kvm/x86/lapic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/x86/lapic_state.h"

/* SDM 3A Table 11-6: reserved bits of the x2APIC's ICR. The delivery-status bit is ignored. */
#define X2APIC_ICR_RESERVED 0xfff32000u
#define ICR_BUSY	    (1u << 12)

enum register_access { REG_NONE, REG_READ, REG_WRITE, REG_READ_WRITE };

/* By offset / 16: SDM 3A Tables 11-1 and 11-6. */
static const struct {
	u8 xapic, x2apic;
} registers[64] = {
	[APIC_ID >> 4] = {REG_READ_WRITE, REG_READ},
	[APIC_LVR >> 4] = {REG_READ, REG_READ},
	[APIC_TPR >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_APR >> 4] = {REG_READ, REG_NONE},
	[APIC_PPR >> 4] = {REG_READ, REG_READ},
	[APIC_EOI >> 4] = {REG_WRITE, REG_WRITE},
	[APIC_LDR >> 4] = {REG_READ_WRITE, REG_READ},
	[APIC_DFR >> 4] = {REG_READ_WRITE, REG_NONE},
	[APIC_SVR >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_ISR >> 4 ...(APIC_ISR >> 4) + 7] = {REG_READ, REG_READ},
	[APIC_TMR >> 4 ...(APIC_TMR >> 4) + 7] = {REG_READ, REG_READ},
	[APIC_IRR >> 4 ...(APIC_IRR >> 4) + 7] = {REG_READ, REG_READ},
	[APIC_ESR >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_ICR >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_ICR2 >> 4] = {REG_READ_WRITE, REG_NONE},
	[APIC_LVTT >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_LVTTHMR >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_LVTPC >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_LVT0 >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_LVT1 >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_LVTERR >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_TMICT >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_TMCCT >> 4] = {REG_READ, REG_READ},
	[APIC_TDCR >> 4] = {REG_READ_WRITE, REG_READ_WRITE},
	[APIC_SELF_IPI >> 4] = {REG_NONE, REG_WRITE},
};

static bool accessible(const struct kvm_lapic *apic, unsigned int offset, enum register_access access)
{
	u8 allowed = lapic_x2apic(apic) ? registers[offset >> 4].x2apic : registers[offset >> 4].xapic;

	return allowed & access;
}

/* Defined bits of the LVT entries, SDM 3A Figure 11-8: vector, delivery mode, (polarity, remote IRR, trigger,) mask. */
static u32 lvt_mask(const struct kvm_lapic *apic, unsigned int offset)
{
	switch (offset) {
	case APIC_LVTT:
		return 0xffu | LVT_MASKED | LVTT_PERIODIC |
		       (kvm_guest_has_tsc_deadline(apic->vcpu) ? LVTT_TSCDEADLINE : 0);
	case APIC_LVT0:
	case APIC_LVT1:
		return 0xffu | 7u << 8 | 1u << 13 | 1u << 15 | LVT_MASKED;
	case APIC_LVTERR:
		return 0xffu | LVT_MASKED;
	}
	return 0xffu | 7u << 8 | LVT_MASKED;
}

static const u16 lvt_offsets[] = {APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0, APIC_LVT1, APIC_LVTERR};
#define LVT_COUNT (sizeof(lvt_offsets) / sizeof(lvt_offsets[0]))

/* ---------------------------------------------------------------- one register */

static u32 read_register(struct kvm_lapic *apic, unsigned int offset)
{
	switch (offset) {
	case APIC_TMCCT:
		return lapic_timer_current(apic);
	case APIC_APR:
		return 0;
	case APIC_PPR:
		lapic_update_ppr(apic);
		break;
	case APIC_IRR ... APIC_IRR + 0x70:
		/* What was posted is requested. */
		hw_cpu_has_virtual_interrupt(apic->vcpu->cpu);
		break;
	}
	return lapic_get(apic, offset);
}

static void write_svr(struct kvm_lapic *apic, u32 value)
{
	u32 allowed = 0x3ff;

	if (lapic_get(apic, APIC_LVR) & LVR_DIRECTED_EOI)
		allowed |= SVR_DIRECTED_EOI;
	lapic_set(apic, APIC_SVR, value & allowed);
	if (value & SVR_ENABLED)
		return;
	/* SDM 3A 11.4.7.2: a software-disabled APIC has its LVT masked. */
	for (unsigned int i = 0; i < LVT_COUNT; i++)
		lapic_set(apic, lvt_offsets[i], lapic_get(apic, lvt_offsets[i]) | LVT_MASKED);
}

static void write_lvt(struct kvm_lapic *apic, unsigned int offset, u32 value)
{
	value &= lvt_mask(apic, offset);
	if (!lapic_sw_enabled(apic))
		value |= LVT_MASKED;
	if (offset == APIC_LVTT)
		lapic_timer_write_lvtt(apic, value);
	else
		lapic_set(apic, offset, value);
}

/* Access and x2APIC's reserved bits have been checked. */
static void write_register(struct kvm_lapic *apic, unsigned int offset, u32 value)
{
	struct kvm *kvm = apic->vcpu->kvm;

	switch (offset) {
	case APIC_ID:
		lapic_set(apic, APIC_ID, value & 0xff000000u);
		kvm_lapic_scan_ioapic(kvm);
		break;
	case APIC_TPR:
		lapic_set(apic, APIC_TPR, value & 0xff);
		hw_cpu_arch(apic->vcpu->cpu)->cr8 = value >> 4 & 0xf;
		lapic_update_ppr(apic);
		break;
	case APIC_EOI:
		lapic_write_eoi(apic);
		break;
	case APIC_LDR:
		lapic_set(apic, APIC_LDR, value & 0xff000000u);
		kvm_lapic_scan_ioapic(kvm);
		break;
	case APIC_DFR:
		lapic_set(apic, APIC_DFR, value | 0x0fffffffu);
		kvm_lapic_scan_ioapic(kvm);
		break;
	case APIC_SVR:
		write_svr(apic, value);
		break;
	case APIC_ESR:
		/* SDM 3A 11.5.3: the write makes visible what was collected. */
		lapic_set(apic, APIC_ESR, atomic_exchange(&apic->error, 0));
		break;
	case APIC_ICR:
		lapic_set(apic, APIC_ICR, value & ~ICR_BUSY);
		lapic_send_ipi(apic, value & ~ICR_BUSY, lapic_get(apic, APIC_ICR2));
		break;
	case APIC_ICR2:
		lapic_set(apic, APIC_ICR2, value & 0xff000000u);
		break;
	case APIC_TMICT:
		lapic_timer_write_initial(apic, value);
		break;
	case APIC_TDCR:
		lapic_timer_write_divide(apic, value);
		break;
	case APIC_SELF_IPI:
		lapic_send_ipi(apic, APIC_DEST_SELF << 18 | (value & 0xff), 0);
		break;
	case APIC_LVTT ... APIC_LVTERR:
		write_lvt(apic, offset, value);
		break;
	}
}

/* ---------------------------------------------------------------- MMIO */

static bool in_mmio_range(const struct kvm_vcpu *vcpu, u64 gpa)
{
	return kvm_lapic_in_kernel(vcpu->kvm) && (gpa & HW_PAGE_MASK) == (lapic_base(vcpu->lapic) & HW_PAGE_MASK);
}

/* Without an xAPIC the page is a hole; api.rst KVM_X86_QUIRK_LAPIC_MMIO_HOLE: unless switched off, it stays ours. */
static bool is_hole(const struct kvm_vcpu *vcpu)
{
	return !lapic_hw_enabled(vcpu->lapic) || lapic_x2apic(vcpu->lapic);
}

static bool hole_is_ours(const struct kvm_vcpu *vcpu)
{
	return !(vcpu->kvm->caps.disabled_quirks & KVM_X86_QUIRK_LAPIC_MMIO_HOLE);
}

bool kvm_lapic_mmio_read(struct kvm_vcpu *vcpu, u64 gpa, unsigned int size, u64 *data)
{
	struct kvm_lapic *apic = vcpu->lapic;
	unsigned int offset = gpa & 0xff0, byte = gpa & 0xf;

	if (!in_mmio_range(vcpu, gpa))
		return false;
	*data = ~0ull;
	if (is_hole(vcpu))
		return hole_is_ours(vcpu);
	*data = 0;
	/* SDM 3A 11.4.1: 32 bits, aligned to 16 bytes; a part of them is tolerated, the rest reads as zero. */
	if (gpa & 0xc00 || byte + size > 4 || !accessible(apic, offset, REG_READ))
		return true;
	*data = (u64)read_register(apic, offset) >> byte * 8;
	if (size < 4)
		*data &= (1ull << size * 8) - 1;
	observe(vcpu->kvm->obs, OBSERVE_KVM_APIC, (int)vcpu->index, 0, offset, *data);
	return true;
}

bool kvm_lapic_mmio_write(struct kvm_vcpu *vcpu, u64 gpa, unsigned int size, u64 data)
{
	struct kvm_lapic *apic = vcpu->lapic;
	unsigned int offset = gpa & 0xff0;

	if (!in_mmio_range(vcpu, gpa))
		return false;
	if (is_hole(vcpu))
		return hole_is_ours(vcpu);
	if (gpa & 0xc0f || size != 4 || !accessible(apic, offset, REG_WRITE))
		return true;
	observe(vcpu->kvm->obs, OBSERVE_KVM_APIC, (int)vcpu->index, 1, offset, data);
	write_register(apic, offset, data);
	return true;
}

void kvm_lapic_write_trap(struct kvm_vcpu *vcpu, u32 offset)
{
	struct kvm_lapic *apic = vcpu->lapic;
	u32 value;

	offset &= 0x3f0;
	value = lapic_get(apic, offset);
	if (lapic_x2apic(apic) && offset == APIC_ICR)
		lapic_send_ipi(apic, value & ~ICR_BUSY, lapic_get(apic, APIC_ICR + 4));
	else if (accessible(apic, offset, REG_WRITE))
		write_register(apic, offset, value);
}

/* ---------------------------------------------------------------- MSRs */

bool kvm_lapic_owns_msr(u32 msr)
{
	return msr == MSR_IA32_APICBASE || msr == MSR_IA32_TSC_DEADLINE ||
	       (msr >= MSR_X2APIC_BASE && msr <= MSR_X2APIC_LAST);
}

static int read_x2apic(struct kvm_lapic *apic, u32 msr, u64 *data)
{
	unsigned int offset = (msr - MSR_X2APIC_BASE) << 4;

	if (!kvm_lapic_in_kernel(apic->vcpu->kvm) || !lapic_x2apic(apic) || offset >= KVM_APIC_REG_SIZE ||
	    !accessible(apic, offset, REG_READ))
		return -EINVAL;
	*data = read_register(apic, offset);
	if (offset == APIC_ICR)
		*data |= (u64)lapic_get(apic, APIC_ICR + 4) << 32;
	observe(apic->vcpu->kvm->obs, OBSERVE_KVM_APIC, (int)apic->vcpu->index, 0, offset, *data);
	return 0;
}

static int write_x2apic_icr(struct kvm_lapic *apic, u64 data)
{
	u32 low = (u32)data & ~ICR_BUSY;

	if (low & X2APIC_ICR_RESERVED)
		return -EINVAL;
	lapic_set(apic, APIC_ICR, low);
	lapic_set(apic, APIC_ICR + 4, data >> 32);
	lapic_send_ipi(apic, low, data >> 32);
	return 0;
}

/* SDM 3A 11.12.1.2: writing reserved bits is #GP; EOI and ESR take zero only. */
static int write_x2apic(struct kvm_lapic *apic, u32 msr, u64 data)
{
	unsigned int offset = (msr - MSR_X2APIC_BASE) << 4;

	if (!kvm_lapic_in_kernel(apic->vcpu->kvm) || !lapic_x2apic(apic) || offset >= KVM_APIC_REG_SIZE ||
	    !accessible(apic, offset, REG_WRITE))
		return -EINVAL;
	observe(apic->vcpu->kvm->obs, OBSERVE_KVM_APIC, (int)apic->vcpu->index, 1, offset, data);
	if (offset == APIC_ICR)
		return write_x2apic_icr(apic, data);
	if (data >> 32 || ((offset == APIC_EOI || offset == APIC_ESR) && data) ||
	    ((offset == APIC_TPR || offset == APIC_SELF_IPI) && data >> 8))
		return -EINVAL;
	write_register(apic, offset, data);
	return 0;
}

int kvm_lapic_read_msr(struct kvm_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	if (msr == MSR_IA32_APICBASE) {
		*data = kvm_lapic_get_base(vcpu);
		return 0;
	}
	if (msr == MSR_IA32_TSC_DEADLINE) {
		if (!host && !kvm_guest_has_tsc_deadline(vcpu))
			return -EINVAL;
		*data = kvm_lapic_in_kernel(vcpu->kvm) ? lapic_timer_read_deadline(vcpu->lapic) : 0;
		return 0;
	}
	return read_x2apic(vcpu->lapic, msr, data);
}

int kvm_lapic_write_msr(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if (msr == MSR_IA32_APICBASE)
		return kvm_lapic_set_base(vcpu, data, host);
	if (msr == MSR_IA32_TSC_DEADLINE) {
		if (!host && !kvm_guest_has_tsc_deadline(vcpu))
			return -EINVAL;
		if (kvm_lapic_in_kernel(vcpu->kvm))
			lapic_timer_write_deadline(vcpu->lapic, data);
		return 0;
	}
	return write_x2apic(vcpu->lapic, msr, data);
}

/* ---------------------------------------------------------------- IA32_APIC_BASE */

u64 kvm_lapic_get_base(const struct kvm_vcpu *vcpu)
{
	return lapic_base(vcpu->lapic);
}

/* SDM 3A 11.12.2: the logical x2APIC ID follows from the ID. */
static u32 x2apic_ldr(u32 id)
{
	return (id & ~0xfu) << 12 | 1u << (id & 0xf);
}

static void set_mode(struct kvm_lapic *apic, u64 old, u64 base)
{
	u32 id = apic->vcpu->vcpu_id;

	atomic_store_explicit(&apic->base, base, memory_order_relaxed);
	if (!((old ^ base) & (APICBASE_ENABLE | APICBASE_X2APIC)))
		return;
	if (lapic_x2apic(apic)) {
		lapic_set(apic, APIC_ID, id);
		lapic_set(apic, APIC_LDR, x2apic_ldr(id));
	} else if (base & APICBASE_ENABLE) {
		lapic_set(apic, APIC_ID, id << 24);
		lapic_set(apic, APIC_DFR, ~0u);
	} else {
		lapic_timer_stop(apic);
	}
	kvm_lapic_scan_ioapic(apic->vcpu->kvm);
	kvm_make_request(apic->vcpu, KVM_REQ_APIC);
}

/* SDM 3A Figure 11-27: which changes of mode exist; the host may make any between valid modes. */
int kvm_lapic_set_base(struct kvm_vcpu *vcpu, u64 base, bool host)
{
	struct kvm_lapic *apic = vcpu->lapic;
	const u64 mode = APICBASE_ENABLE | APICBASE_X2APIC;
	u64 old = lapic_base(apic), reserved = ~0ull << kvm_guest_phys_bits(vcpu) | 0x2ff;

	if (!kvm_guest_has_x2apic(vcpu))
		reserved |= APICBASE_X2APIC;
	if (base & reserved || (base & mode) == APICBASE_X2APIC)
		return -EINVAL;
	if (!host && (old & mode) == mode && (base & mode) == APICBASE_ENABLE)
		return -EINVAL;
	if (!host && !(old & mode) && (base & mode) == mode)
		return -EINVAL;
	if (kvm_lapic_in_kernel(vcpu->kvm))
		set_mode(apic, old, base);
	else
		atomic_store_explicit(&apic->base, base, memory_order_relaxed);
	return 0;
}

/* ---------------------------------------------------------------- CR8, reset */

void kvm_lapic_set_cr8(struct kvm_vcpu *vcpu, u64 cr8)
{
	hw_cpu_arch(vcpu->cpu)->cr8 = cr8 & 0xf;
	if (!kvm_lapic_in_kernel(vcpu->kvm))
		return;
	lapic_set(vcpu->lapic, APIC_TPR, (cr8 & 0xf) << 4);
	lapic_update_ppr(vcpu->lapic);
}

u64 kvm_lapic_get_cr8(const struct kvm_vcpu *vcpu)
{
	return kvm_lapic_in_kernel(vcpu->kvm) ? lapic_get(vcpu->lapic, APIC_TPR) >> 4 & 0xf
					      : hw_cpu_arch(vcpu->cpu)->cr8;
}

static void clear_posted(struct kvm_lapic *apic)
{
	for (unsigned int i = 0; i < 4; i++)
		__atomic_store_n(&apic->pi->pir[i], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&apic->pi->on, 0, __ATOMIC_SEQ_CST);
}

static u32 version(const struct kvm *kvm)
{
	/* Without an EOI register (ours has none) directed EOI could not be used: api.rst KVM_CAP_SPLIT_IRQCHIP. */
	return 0x14 | (LVT_COUNT - 1) << 16 | (kvm_irqchip_mode(kvm) == KVM_IRQCHIP_SPLIT ? LVR_DIRECTED_EOI : 0);
}

static void reset_registers(struct kvm_lapic *apic)
{
	struct kvm *kvm = apic->vcpu->kvm;
	u32 id = lapic_get(apic, APIC_ID), ldr = lapic_get(apic, APIC_LDR);

	for (unsigned int offset = 0; offset < KVM_APIC_REG_SIZE; offset += sizeof(u32))
		lapic_set(apic, offset, 0);
	lapic_set(apic, APIC_ID, id);
	lapic_set(apic, APIC_LDR, lapic_x2apic(apic) ? ldr : 0);
	lapic_set(apic, APIC_LVR, version(kvm));
	lapic_set(apic, APIC_DFR, ~0u);
	lapic_set(apic, APIC_SVR, 0xff);
	for (unsigned int i = 0; i < LVT_COUNT; i++)
		lapic_set(apic, lvt_offsets[i], LVT_MASKED);
	/* api.rst KVM_X86_QUIRK_LINT0_REENABLED: the BSP starts in virtual-wire mode. */
	if (kvm_is_bsp(apic->vcpu) && !(kvm->caps.disabled_quirks & KVM_X86_QUIRK_LINT0_REENABLED))
		lapic_set(apic, APIC_LVT0, APIC_DM_EXTINT << 8);
}

void kvm_lapic_reset(struct kvm_vcpu *vcpu, bool init)
{
	struct kvm_lapic *apic = vcpu->lapic;

	apic->irq_injected = false;
	apic->nmi_injected = false;
	apic->external_vector = -1;
	apic->user_eoi = -1;
	atomic_store(&apic->nmi_pending, 0);
	if (!init) {
		atomic_store(&apic->pending_events, 0);
		atomic_store(&apic->base, APICBASE_DEFAULT | APICBASE_ENABLE | (kvm_is_bsp(vcpu) ? APICBASE_BSP : 0));
		lapic_set(apic, APIC_ID, vcpu->vcpu_id << 24);
	}
	if (!kvm_lapic_in_kernel(vcpu->kvm))
		return;
	lapic_timer_stop(apic);
	clear_posted(apic);
	reset_registers(apic);
	atomic_store(&apic->error, 0);
	hw_cpu_arch(vcpu->cpu)->cr8 = 0;
	atomic_store(&apic->scan_ioapic, true);
}

/* ---------------------------------------------------------------- KVM_GET_LAPIC, KVM_SET_LAPIC */

/*
 * api.rst KVM_GET_LAPIC: with KVM_X2APIC_API_USE_32BIT_IDS an x2APIC ID stands as it is, else in bits 31:24. The
 * x2APIC's ICR is split as the xAPIC's.
 */
int kvm_vcpu_ioctl_get_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *state)
{
	struct kvm_lapic *apic = vcpu->lapic;
	u32 count, *regs = (u32 *)state->regs;

	if (!kvm_lapic_in_kernel(vcpu->kvm))
		return -EINVAL;
	hw_cpu_has_virtual_interrupt(vcpu->cpu);
	count = lapic_timer_current(apic);
	for (unsigned int offset = 0; offset < KVM_APIC_REG_SIZE; offset += sizeof(u32))
		regs[offset / 4] = lapic_get(apic, offset);
	regs[APIC_TMCCT / 4] = count;
	if (!lapic_x2apic(apic))
		return 0;
	regs[APIC_ICR2 / 4] = regs[APIC_ICR / 4 + 1];
	regs[APIC_ICR / 4 + 1] = 0;
	if (!vcpu->kvm->irqchip->x2apic_32bit_ids)
		regs[APIC_ID / 4] <<= 24;
	return 0;
}

static int x2apic_id_from_state(const struct kvm_lapic *apic, u32 *id)
{
	u32 vcpu_id = apic->vcpu->vcpu_id;

	if (!apic->vcpu->kvm->irqchip->x2apic_32bit_ids) {
		/* Only eight bits were kept of it. */
		*id = vcpu_id;
		return 0;
	}
	return *id == vcpu_id ? 0 : -EINVAL;
}

int kvm_vcpu_ioctl_set_lapic(struct kvm_vcpu *vcpu, const struct kvm_lapic_state *state)
{
	struct kvm_lapic *apic = vcpu->lapic;
	const u32 *regs = (const u32 *)state->regs;
	u32 id = regs[APIC_ID / 4];
	int err;

	if (!kvm_lapic_in_kernel(vcpu->kvm))
		return -EINVAL;
	if (lapic_x2apic(apic) && (err = x2apic_id_from_state(apic, &id)))
		return err;
	lapic_timer_stop(apic);
	clear_posted(apic);
	for (unsigned int offset = 0; offset < KVM_APIC_REG_SIZE; offset += 16)
		lapic_set(apic, offset, regs[offset / 4]);
	lapic_set(apic, APIC_ID, id);
	lapic_set(apic, APIC_LVR, version(vcpu->kvm));
	if (lapic_x2apic(apic)) {
		lapic_set(apic, APIC_LDR, x2apic_ldr(id));
		lapic_set(apic, APIC_ICR + 4, regs[APIC_ICR2 / 4]);
	}
	lapic_set(apic, APIC_TPR, regs[APIC_TPR / 4] & 0xff);
	hw_cpu_arch(vcpu->cpu)->cr8 = regs[APIC_TPR / 4] >> 4 & 0xf;
	lapic_update_ppr(apic);
	lapic_timer_restore(apic, regs[APIC_TMCCT / 4]);
	atomic_store(&apic->scan_ioapic, true);
	return 0;
}
