// SPDX-License-Identifier: Apache-2.0
/* The local APIC's timer, SDM 3A 11.5.4: one-shot, periodic, TSC deadline. Its bus runs at apic_bus_cycle_ns (KVM: 1
 * ns). */
#include "kvm/x86/clock.h"
#include "kvm/x86/lapic_state.h"

/* As KVM's min_timer_period_us: a guest must not keep the host busy with a period that no real one has. */
#define MIN_PERIOD_NS 200000u

static u64 machine_now(const struct kvm_lapic *apic)
{
	return hw_machine_tsc(apic->vcpu->kvm->machine);
}

static u32 lvtt_mode(const struct kvm_lapic *apic)
{
	return lapic_get(apic, APIC_LVTT) & LVTT_MODE_MASK;
}

/* Nanoseconds for one count: bits 3, 1:0 of the divide register, SDM 3A Figure 11-10. */
static u64 count_ns(const struct kvm_lapic *apic)
{
	u32 divide = lapic_get(apic, APIC_TDCR);
	unsigned int shift = (((divide & 3) | (divide >> 1 & 4)) + 1) & 7;

	return (u64)apic->vcpu->kvm->irqchip->apic_bus_cycle_ns << shift;
}

static u64 count_to_ns(const struct kvm_lapic *apic, u32 count)
{
	u64 ns;

	return __builtin_mul_overflow(count, count_ns(apic), &ns) ? KVM_TIMER_NEVER - 1 : ns;
}

static void arm(struct kvm_lapic *apic, u64 target)
{
	apic->armed = true;
	apic->target = target;
	kvm_timer_start(apic->vcpu->kvm, &apic->timer, target);
}

static void disarm(struct kvm_lapic *apic)
{
	apic->armed = false;
	kvm_timer_cancel(apic->vcpu->kvm, &apic->timer);
}

/* With the lock held: what follows an expiry that was due. */
static void advance(struct kvm_lapic *apic, u64 now)
{
	if (!apic->period) {
		apic->armed = false;
		apic->tsc_deadline = 0;
		return;
	}
	apic->target += apic->period;
	/* Periods that were missed altogether are lost, as the interrupts of a processor that did not run. */
	if (apic->target <= now)
		apic->target = now + apic->period - (now - apic->target) % apic->period;
	arm(apic, apic->target);
}

static void timer_expired(struct kvm_timer *timer, u64 now)
{
	struct kvm_lapic *apic = (struct kvm_lapic *)((char *)timer - offsetof(struct kvm_lapic, timer));
	bool due;

	pthread_mutex_lock(&apic->lock);
	due = apic->armed && apic->target <= now;
	if (due)
		advance(apic, now);
	pthread_mutex_unlock(&apic->lock);
	if (due)
		lapic_local_deliver(apic, APIC_LVTT);
}

int lapic_timer_create(struct kvm_lapic *apic)
{
	return kvm_timer_init(apic->vcpu->kvm, &apic->timer, timer_expired);
}

void lapic_timer_destroy(struct kvm_lapic *apic)
{
	kvm_timer_release(apic->vcpu->kvm, &apic->timer);
}

void lapic_timer_stop(struct kvm_lapic *apic)
{
	pthread_mutex_lock(&apic->lock);
	disarm(apic);
	apic->period = 0;
	apic->tsc_deadline = 0;
	pthread_mutex_unlock(&apic->lock);
}

/* With the lock held. */
static u32 current_count(const struct kvm_lapic *apic, u64 now)
{
	u64 left;

	if (!apic->armed || lvtt_mode(apic) == LVTT_TSCDEADLINE)
		return 0;
	left = apic->target > now ? apic->target - now : 0;
	if (apic->period)
		left %= apic->period;
	left /= count_ns(apic);
	return left > ~0u ? ~0u : (u32)left;
}

u32 lapic_timer_current(struct kvm_lapic *apic)
{
	u32 count;

	pthread_mutex_lock(&apic->lock);
	count = current_count(apic, machine_now(apic));
	pthread_mutex_unlock(&apic->lock);
	return count;
}

/* With the lock held: counts down from `first`, then, if periodic, from the initial count. */
static void start_count(struct kvm_lapic *apic, u32 first)
{
	u64 now = machine_now(apic), ns, target;
	u32 initial = lapic_get(apic, APIC_TMICT);

	disarm(apic);
	apic->period = 0;
	if (lvtt_mode(apic) == LVTT_TSCDEADLINE || !initial || !first)
		return;
	ns = count_to_ns(apic, first);
	if (lvtt_mode(apic) == LVTT_PERIODIC) {
		apic->period = count_to_ns(apic, initial);
		if (apic->period < MIN_PERIOD_NS)
			apic->period = MIN_PERIOD_NS;
		if (first == initial)
			ns = apic->period;
	}
	if (__builtin_add_overflow(now, ns, &target))
		target = KVM_TIMER_NEVER - 1;
	arm(apic, target);
}

void lapic_timer_write_initial(struct kvm_lapic *apic, u32 count)
{
	/* SDM 3A 11.5.4.1: ignored in TSC-deadline mode. */
	if (lvtt_mode(apic) == LVTT_TSCDEADLINE)
		return;
	lapic_set(apic, APIC_TMICT, count);
	pthread_mutex_lock(&apic->lock);
	start_count(apic, count);
	pthread_mutex_unlock(&apic->lock);
}

void lapic_timer_restore(struct kvm_lapic *apic, u32 current)
{
	pthread_mutex_lock(&apic->lock);
	start_count(apic, current);
	pthread_mutex_unlock(&apic->lock);
}

void lapic_timer_write_divide(struct kvm_lapic *apic, u32 divide)
{
	u32 left;

	pthread_mutex_lock(&apic->lock);
	left = current_count(apic, machine_now(apic));
	lapic_set(apic, APIC_TDCR, divide & 0xb);
	if (apic->armed && lvtt_mode(apic) != LVTT_TSCDEADLINE)
		start_count(apic, left ? left : 1);
	pthread_mutex_unlock(&apic->lock);
}

void lapic_timer_write_lvtt(struct kvm_lapic *apic, u32 lvtt)
{
	u32 old = lvtt_mode(apic), mode = lvtt & LVTT_MODE_MASK;

	pthread_mutex_lock(&apic->lock);
	lapic_set(apic, APIC_LVTT, lvtt);
	/* SDM 3A 11.5.4.1: going to or from TSC-deadline mode disarms the timer. */
	if (old != mode && (old == LVTT_TSCDEADLINE || mode == LVTT_TSCDEADLINE)) {
		disarm(apic);
		apic->tsc_deadline = 0;
		apic->period = 0;
		lapic_set(apic, APIC_TMICT, 0);
	} else if (old != mode) {
		apic->period = mode == LVTT_PERIODIC ? count_to_ns(apic, lapic_get(apic, APIC_TMICT)) : 0;
		if (apic->period && apic->period < MIN_PERIOD_NS)
			apic->period = MIN_PERIOD_NS;
	}
	pthread_mutex_unlock(&apic->lock);
}

/* With the lock held; true if the deadline has passed already. */
static bool start_deadline(struct kvm_lapic *apic)
{
	u64 target;

	disarm(apic);
	apic->period = 0;
	if (!apic->tsc_deadline)
		return false;
	target = kvm_guest_tsc_to_ns(apic->vcpu, apic->tsc_deadline);
	if (target <= machine_now(apic)) {
		apic->tsc_deadline = 0;
		return true;
	}
	arm(apic, target == KVM_TIMER_NEVER ? target - 1 : target);
	return false;
}

void lapic_timer_write_deadline(struct kvm_lapic *apic, u64 tsc)
{
	bool passed;

	if (lvtt_mode(apic) != LVTT_TSCDEADLINE)
		return;
	pthread_mutex_lock(&apic->lock);
	apic->tsc_deadline = tsc;
	passed = start_deadline(apic);
	pthread_mutex_unlock(&apic->lock);
	if (passed)
		lapic_local_deliver(apic, APIC_LVTT);
}

u64 lapic_timer_read_deadline(struct kvm_lapic *apic)
{
	u64 tsc;

	pthread_mutex_lock(&apic->lock);
	tsc = lvtt_mode(apic) == LVTT_TSCDEADLINE ? apic->tsc_deadline : 0;
	pthread_mutex_unlock(&apic->lock);
	return tsc;
}

void kvm_lapic_tsc_changed(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic *apic = vcpu->lapic;
	bool passed;

	if (!apic || !kvm_lapic_in_kernel(vcpu->kvm) || lvtt_mode(apic) != LVTT_TSCDEADLINE)
		return;
	pthread_mutex_lock(&apic->lock);
	passed = start_deadline(apic);
	pthread_mutex_unlock(&apic->lock);
	if (passed)
		lapic_local_deliver(apic, APIC_LVTT);
}
