// SPDX-License-Identifier: Apache-2.0
/* What a vCPU takes with it into the guest: NMI, the PIC's or user space's interrupt, windows; INIT and SIPI. Own
 * thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/x86/lapic_state.h"
#include "kvm/x86/pic.h"
#include "kvm/x86/x86.h"

/* ---------------------------------------------------------------- life */

int kvm_irq_create_vcpu(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = calloc(1, sizeof(*apic));
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);
	int err;

	if (!apic)
		return -ENOMEM;
	apic->vcpu = vcpu;
	apic->page = aligned_alloc(HW_PAGE_SIZE, HW_PAGE_SIZE);
	apic->pi = aligned_alloc(sizeof(*apic->pi), sizeof(*apic->pi));
	err = apic->page && apic->pi ? lapic_timer_create(apic) : -ENOMEM;
	if (err) {
		free(apic->page);
		free(apic->pi);
		free(apic);
		return err;
	}
	memset(apic->page, 0, HW_PAGE_SIZE);
	memset(apic->pi, 0, sizeof(*apic->pi));
	pthread_mutex_init(&apic->lock, NULL);
	apic->external_vector = -1;
	apic->user_eoi = -1;
	vcpu->lapic = apic;
	if (kvm_lapic_in_kernel(vcpu->kvm)) {
		ctl->vapic = apic->page;
		ctl->pi = apic->pi;
	}
	return 0;
}

void kvm_irq_destroy_vcpu(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->lapic;
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);

	if (!apic)
		return;
	ctl->vapic = NULL;
	ctl->pi = NULL;
	lapic_timer_destroy(apic);
	pthread_mutex_destroy(&apic->lock);
	free(apic->page);
	free(apic->pi);
	free(apic);
	vcpu->lapic = NULL;
}

/* ---------------------------------------------------------------- what waits */

/* An interrupt that the processor does not find by itself: user space's PIC, or ours through LINT0. */
static bool has_external(struct kvm_vcpu *vcpu)
{
	if (vcpu->lapic->external_vector >= 0)
		return true;
	return kvm_pic_in_kernel(vcpu->kvm) && kvm_pic_output(vcpu->kvm) && kvm_lapic_accepts_pic(vcpu);
}

static u8 take_external(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->lapic;
	u8 vector;

	if (apic->external_vector < 0)
		return kvm_pic_acknowledge(vcpu);
	vector = apic->external_vector;
	apic->external_vector = -1;
	return vector;
}

bool kvm_cpu_has_interrupt(struct kvm_vcpu *vcpu)
{
	if (vcpu->kvm->vendor->has_interrupt)
		return vcpu->kvm->vendor->has_interrupt(vcpu);
	return vcpu->lapic->irq_injected || has_external(vcpu) || hw_cpu_has_virtual_interrupt(vcpu->cpu);
}

bool kvm_interrupt_allowed(struct kvm_vcpu *vcpu)
{
	return vcpu->kvm->vendor->interrupt_allowed ? vcpu->kvm->vendor->interrupt_allowed(vcpu) :
						      hw_cpu_can_interrupt(vcpu->cpu);
}

bool kvm_cpu_has_nmi(struct kvm_vcpu *vcpu)
{
	return vcpu->lapic->nmi_injected || atomic_load(&vcpu->lapic->nmi_pending);
}

bool kvm_irq_take_nmi(struct kvm_vcpu *vcpu)
{
	return atomic_load_explicit(&vcpu->lapic->nmi_pending, memory_order_relaxed) &&
	       atomic_exchange(&vcpu->lapic->nmi_pending, 0);
}

bool kvm_irq_has_events(struct kvm_vcpu *vcpu)
{
	/* In SMM an INIT waits: APM2 10.3.3 */
	return atomic_load(&vcpu->lapic->pending_events) & (vcpu->smm.on ? LAPIC_EVENT_SIPI : ~0u);
}

/* User space's PIC could deliver: there is no local APIC here, or its LINT0 takes ExtINT and none waits yet. */
static bool accepts_user_interrupt(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->lapic;

	if (!kvm_lapic_in_kernel(vcpu->kvm))
		return !apic->irq_injected;
	return kvm_lapic_accepts_pic(vcpu) && apic->external_vector < 0 && !apic->irq_injected;
}

bool kvm_irq_ready_for_user_injection(struct kvm_vcpu *vcpu)
{
	const struct hw_event *inject = &hw_cpu_ctl(vcpu->cpu)->inject;

	if (kvm_pic_in_kernel(vcpu->kvm))
		return true;
	return accepts_user_interrupt(vcpu) && !inject->valid && !vcpu->exception.pending &&
	       !vcpu->exception.injected && kvm_interrupt_allowed(vcpu);
}

bool kvm_irq_user_wants_window(struct kvm_vcpu *vcpu)
{
	/* While LINT0 is masked nobody would take the interrupt: a window would open for ever and the guest stand still. */
	return __atomic_load_n(&vcpu->run->request_interrupt_window, __ATOMIC_RELAXED) && !kvm_pic_in_kernel(vcpu->kvm) &&
	       accepts_user_interrupt(vcpu);
}

/* ---------------------------------------------------------------- entry */

static void inject(struct kvm_vcpu *vcpu, u8 type, u8 vector)
{
	hw_cpu_ctl(vcpu->cpu)->inject = (struct hw_event){.valid = true, .type = type, .vector = vector};
	if (type == HW_EVENT_EXTINT)
		observe(vcpu->kvm->obs, OBSERVE_KVM_INJ_VIRQ, (int)vcpu->index, vector);
}

/* One event for a free ctl.inject, the one of highest priority (SDM 3A Table 6-2: NMI before interrupts). `blocked`:
 * only one whose delivery had begun. */
static void choose_event(struct kvm_vcpu *vcpu, bool blocked)
{
	struct kvm_lapic *apic = vcpu->lapic;

	if (apic->irq_injected) {
		apic->irq_injected = false;
		inject(vcpu, HW_EVENT_EXTINT, apic->irq_vector);
	} else if (apic->nmi_injected) {
		apic->nmi_injected = false;
		inject(vcpu, HW_EVENT_NMI, 2);
	} else if (blocked) {
		return;
	} else if (atomic_load(&apic->nmi_pending) && hw_cpu_can_nmi(vcpu->cpu)) {
		atomic_fetch_sub(&apic->nmi_pending, 1);
		inject(vcpu, HW_EVENT_NMI, 2);
	} else if (has_external(vcpu) && hw_cpu_can_interrupt(vcpu->cpu)) {
		inject(vcpu, HW_EVENT_EXTINT, take_external(vcpu));
	}
}

void kvm_irq_prepare_entry(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->lapic;
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);
	bool blocked = kvm_debug_blocks_interrupts(vcpu);

	ctl->x2apic_virt = kvm_lapic_in_kernel(vcpu->kvm) && lapic_x2apic(apic);
	if (atomic_load_explicit(&apic->scan_ioapic, memory_order_relaxed) &&
	    atomic_exchange(&apic->scan_ioapic, false))
		lapic_scan_ioapic(apic);
	/* An event in the middle of an instruction's accesses would be delivered at a place where none can be. */
	if (!ctl->inject.valid && !hw_cpu_mid_insn(vcpu->cpu))
		choose_event(vcpu, blocked);
	ctl->nmi_window = apic->nmi_injected || (!blocked && atomic_load(&apic->nmi_pending));
	ctl->irq_window = apic->irq_injected || (!blocked && has_external(vcpu)) || kvm_irq_user_wants_window(vcpu);
}

void kvm_irq_requeue(struct kvm_vcpu *vcpu, const struct hw_event *event)
{
	struct kvm_lapic *apic = vcpu->lapic;

	if (event->type == HW_EVENT_NMI) {
		apic->nmi_injected = true;
	} else if (event->type == HW_EVENT_EXTINT) {
		apic->irq_injected = true;
		apic->irq_vector = event->vector;
	}
}

bool kvm_irq_user_exit(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->lapic;

	if (apic->user_eoi < 0)
		return false;
	vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
	vcpu->run->eoi.vector = apic->user_eoi;
	apic->user_eoi = -1;
	return true;
}

/* ---------------------------------------------------------------- INIT, SIPI */

/* SDM 3A 9.4: execution starts at vector * 4096 in real mode. */
static void start_at(struct kvm_vcpu *vcpu, u8 vector)
{
	struct hw_arch *arch = hw_cpu_arch(vcpu->cpu);

	arch->seg[HW_CS].selector = (u16)vector << 8;
	arch->seg[HW_CS].base = (u64)vector << 12;
	arch->rip = 0;
	arch->activity = HW_ACTIVE;
	hw_cpu_arch_changed(vcpu->cpu);
}

static void set_mp_state(struct kvm_vcpu *vcpu, u32 state)
{
	__atomic_store_n(&vcpu->mp_state, state, __ATOMIC_RELEASE);
}

static bool runnable(const struct kvm_vcpu *vcpu)
{
	return vcpu->mp_state != KVM_MP_STATE_UNINITIALIZED && vcpu->mp_state != KVM_MP_STATE_INIT_RECEIVED;
}

bool kvm_lapic_init_pending(const struct kvm_vcpu *vcpu)
{
	return atomic_load(&vcpu->lapic->pending_events) & LAPIC_EVENT_INIT;
}

void kvm_lapic_set_init_pending(struct kvm_vcpu *vcpu, bool pending)
{
	if (pending)
		atomic_fetch_or(&vcpu->lapic->pending_events, LAPIC_EVENT_INIT);
	else
		atomic_fetch_and(&vcpu->lapic->pending_events, ~(u32)LAPIC_EVENT_INIT);
}

bool kvm_lapic_accept_events(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->lapic;

	if (!kvm_lapic_in_kernel(vcpu->kvm) || !atomic_load(&apic->pending_events))
		return runnable(vcpu);
	if (vcpu->smm.on) {
		atomic_fetch_and(&apic->pending_events, ~(u32)LAPIC_EVENT_SIPI);
		return runnable(vcpu);
	}
	if (atomic_fetch_and(&apic->pending_events, ~(u32)LAPIC_EVENT_INIT) & LAPIC_EVENT_INIT) {
		kvm_vcpu_reset(vcpu, true);
		set_mp_state(vcpu, kvm_is_bsp(vcpu) ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED);
	}
	/* A SIPI is for a vCPU that waits for it and ignored by every other (SDM 3A 9.4.4). */
	if (atomic_fetch_and(&apic->pending_events, ~(u32)LAPIC_EVENT_SIPI) & LAPIC_EVENT_SIPI &&
	    vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		start_at(vcpu, atomic_load(&apic->sipi_vector));
		set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE);
	}
	return runnable(vcpu);
}

/* ---------------------------------------------------------------- ioctls */

int kvm_vcpu_ioctl_interrupt(struct kvm_vcpu *vcpu, const struct kvm_interrupt *irq)
{
	struct kvm_lapic *apic = vcpu->lapic;

	if (irq->irq >= KVM_NR_INTERRUPTS)
		return -EINVAL;
	if (!kvm_lapic_in_kernel(vcpu->kvm)) {
		apic->irq_injected = true;
		apic->irq_vector = irq->irq;
		kvm_make_request(vcpu, KVM_REQ_EVENT);
		return 0;
	}
	if (kvm_pic_in_kernel(vcpu->kvm))
		return -ENXIO;
	if (apic->external_vector >= 0)
		return -EEXIST;
	apic->external_vector = (int)irq->irq;
	kvm_make_request(vcpu, KVM_REQ_EVENT);
	return 0;
}

int kvm_vcpu_ioctl_nmi(struct kvm_vcpu *vcpu)
{
	kvm_inject_nmi(vcpu);
	return 0;
}

/* An event that was chosen for an entry which did not deliver it counts as injected. */
static bool undelivered(const struct kvm_vcpu *vcpu, u8 type)
{
	const struct hw_event *e = &hw_cpu_ctl(vcpu->cpu)->inject;

	return e->valid && e->type == type;
}

void kvm_irq_get_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events)
{
	const struct hw_arch *arch = hw_cpu_arch(vcpu->cpu);
	struct kvm_lapic *apic = vcpu->lapic;
	bool waits = undelivered(vcpu, HW_EVENT_EXTINT);

	events->interrupt.injected = waits || apic->irq_injected;
	events->interrupt.nr = waits ? hw_cpu_ctl(vcpu->cpu)->inject.vector : apic->irq_injected ? apic->irq_vector : 0;
	events->interrupt.soft = 0;
	events->interrupt.shadow = (arch->interruptibility & HW_BLOCK_STI ? KVM_X86_SHADOW_INT_STI : 0) |
				   (arch->interruptibility & HW_BLOCK_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0);
	events->nmi.injected = undelivered(vcpu, HW_EVENT_NMI) || apic->nmi_injected;
	events->nmi.pending = atomic_load(&apic->nmi_pending);
	events->nmi.masked = !!(arch->interruptibility & HW_BLOCK_NMI);
	events->nmi.pad = 0;
	events->sipi_vector = 0; /* as KVM: never valid when reading */
	events->flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
}

int kvm_irq_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	struct hw_arch *arch = hw_cpu_arch(vcpu->cpu);
	struct kvm_lapic *apic = vcpu->lapic;
	struct hw_event *e = &hw_cpu_ctl(vcpu->cpu)->inject;

	if (e->valid && (e->type == HW_EVENT_EXTINT || e->type == HW_EVENT_NMI))
		e->valid = false;
	apic->irq_injected = events->interrupt.injected;
	apic->irq_vector = events->interrupt.nr;
	apic->nmi_injected = events->nmi.injected;
	if (events->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		atomic_store(&apic->nmi_pending, events->nmi.pending < 2 ? events->nmi.pending : 2);
	arch->interruptibility &= ~HW_BLOCK_NMI;
	if (events->nmi.masked)
		arch->interruptibility |= HW_BLOCK_NMI;
	if (events->flags & KVM_VCPUEVENT_VALID_SHADOW) {
		arch->interruptibility &= ~(HW_BLOCK_STI | HW_BLOCK_MOV_SS);
		if (events->interrupt.shadow & KVM_X86_SHADOW_INT_STI)
			arch->interruptibility |= HW_BLOCK_STI;
		if (events->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS)
			arch->interruptibility |= HW_BLOCK_MOV_SS;
	}
	if (events->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR && kvm_lapic_in_kernel(vcpu->kvm))
		atomic_store(&apic->sipi_vector, events->sipi_vector);
	return 0;
}
