// SPDX-License-Identifier: Apache-2.0
/*
 * kvmclock, and a guest's TSC. Both are linear functions of the machine's time, which every vCPU shares, so the pages
 * of all vCPUs are made from one anchor and agree; a page changes only when the guest or user space moves one of the
 * functions.
 */
#include "kvm/x86/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvm/kvm.h"
#include "kvm/x86/lapic.h"

#define NS_PER_S 1000000000ull

#define SYSTEM_TIME_ENABLED 1ull

struct kvm_clock {
	pthread_mutex_t lock;
	u64 offset; /* kvmclock = machine time + offset */
	u64 anchor; /* machine time at which the pages are anchored */
	u64 wall_clock_addr;
	u32 tsc_khz; /* of vCPUs made from now on */
	/* the last TSC that user space wrote, to recognise that it sets the same on every vCPU */
	bool tsc_written;
	u64 tsc_offset;
	u32 tsc_value_khz;
};

struct kvm_vcpu_clock {
	u64 system_time_msr;
	_Atomic bool stale;
	bool stopped; /* KVM_KVMCLOCK_CTRL: tell the guest once */
	u32 version;
	u32 tsc_khz;
	u64 tsc_adjust;
	/* how the page scales a TSC difference to nanoseconds */
	u32 mul;
	s8 shift;
};

static u64 machine_now(const struct kvm *kvm)
{
	return hw_machine_tsc(kvm->machine);
}

/* Virtual time has no real day; it begins with the year 2026 (UTC), the same in every run. */
static u64 real_now(const struct kvm *kvm)
{
	struct timespec ts;

	if (kvm_icount(kvm))
		return 1767225600ull * NS_PER_S + machine_now(kvm);
	clock_gettime(CLOCK_REALTIME, &ts);
	return (u64)ts.tv_sec * NS_PER_S + (u64)ts.tv_nsec;
}

/* ---------------------------------------------------------------- the guest's TSC */

static u64 scale(const struct hw_ctl *ctl, u64 machine_ns)
{
	return ctl->tsc_mult ? (u64)((unsigned __int128)machine_ns * ctl->tsc_mult >> 48) : machine_ns;
}

u64 kvm_guest_tsc_at(const struct kvm_vcpu *vcpu, u64 machine_ns)
{
	const struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);

	return scale(ctl, machine_ns) + ctl->tsc_offset;
}

/* The first machine time at which the guest reads at least that value. A difference above 2^63 is one in the past. */
u64 kvm_guest_tsc_to_ns(const struct kvm_vcpu *vcpu, u64 guest_tsc)
{
	const struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);
	u64 now = machine_now(vcpu->kvm), left = guest_tsc - kvm_guest_tsc_at(vcpu, now), ns;
	unsigned __int128 wide;

	if (left >> 63)
		return now;
	wide = left;
	if (ctl->tsc_mult)
		wide = (((unsigned __int128)left << 48) + ctl->tsc_mult - 1) / ctl->tsc_mult;
	if (wide >> 63 || __builtin_add_overflow(now, (u64)wide, &ns))
		return ~0ull;
	return ns;
}

static void mark_stale(struct kvm_vcpu *vcpu)
{
	atomic_store(&vcpu->clock->stale, true);
	kvm_make_request(vcpu, KVM_REQ_CLOCK_UPDATE);
}

static void tsc_changed(struct kvm_vcpu *vcpu)
{
	mark_stale(vcpu);
	kvm_lapic_tsc_changed(vcpu);
}

/*
 * User space writes the TSC of one vCPU after the other. What is within a second of where the last one written is now
 * means the same instant, and gets the same offset, so that the TSCs of a VM agree exactly; a zero always does (a new
 * vCPU).
 */
static u64 synchronised_offset(struct kvm_vcpu *vcpu, u64 value)
{
	struct kvm_clock *clock = vcpu->kvm->clock;
	u64 now = machine_now(vcpu->kvm), now_tsc = scale(hw_cpu_ctl(vcpu->cpu), now);
	u32 khz = vcpu->clock->tsc_khz;
	u64 offset = value - now_tsc;
	bool same = false;

	pthread_mutex_lock(&clock->lock);
	if (clock->tsc_written && clock->tsc_value_khz == khz) {
		u64 second = (u64)khz * 1000;
		u64 expected = now_tsc + clock->tsc_offset;
		u64 distance = value > expected ? value - expected : expected - value;

		same = !value || distance < second;
	}
	if (same) {
		offset = clock->tsc_offset;
	} else {
		clock->tsc_written = true;
		clock->tsc_offset = offset;
		clock->tsc_value_khz = khz;
	}
	pthread_mutex_unlock(&clock->lock);
	return offset;
}

static void write_tsc(struct kvm_vcpu *vcpu, u64 value, bool host)
{
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);

	if (host) {
		ctl->tsc_offset = synchronised_offset(vcpu, value);
	} else {
		/* SDM 3B 17.17.3: IA32_TSC_ADJUST moves by as much as the TSC. */
		u64 delta = value - kvm_guest_tsc_at(vcpu, machine_now(vcpu->kvm));

		ctl->tsc_offset += delta;
		vcpu->clock->tsc_adjust += delta;
	}
	tsc_changed(vcpu);
}

static void write_tsc_adjust(struct kvm_vcpu *vcpu, u64 value, bool host)
{
	/* Restoring the MSR must not move the TSC, which is restored by itself. */
	if (!host) {
		hw_cpu_ctl(vcpu->cpu)->tsc_offset += value - vcpu->clock->tsc_adjust;
		tsc_changed(vcpu);
	}
	vcpu->clock->tsc_adjust = value;
}

/* User space means the host's TSC, which is the same for every VM; the processor the machine's time, which begins with the VM. */
static u64 machine_ahead(const struct kvm_vcpu *vcpu)
{
	return scale(hw_cpu_ctl(vcpu->cpu), hw_machine_tsc_base(vcpu->kvm->machine));
}

u64 kvm_vcpu_get_tsc_offset(const struct kvm_vcpu *vcpu)
{
	return hw_cpu_ctl(vcpu->cpu)->tsc_offset - machine_ahead(vcpu);
}

void kvm_vcpu_set_tsc_offset(struct kvm_vcpu *vcpu, u64 offset)
{
	struct kvm_clock *clock = vcpu->kvm->clock;

	offset += machine_ahead(vcpu);
	pthread_mutex_lock(&clock->lock);
	clock->tsc_written = true;
	clock->tsc_offset = offset;
	clock->tsc_value_khz = vcpu->clock->tsc_khz;
	pthread_mutex_unlock(&clock->lock);
	hw_cpu_ctl(vcpu->cpu)->tsc_offset = offset;
	tsc_changed(vcpu);
}

/* Shift and multiplier such that ns = ((tsc << shift) * mul) >> 32, with as many bits of mul as there are. */
static void set_page_scale(struct kvm_vcpu_clock *vc)
{
	u64 hz = (u64)vc->tsc_khz * 1000, ns = NS_PER_S;

	vc->shift = 0;
	/* mul = ns / hz * 2^32 must lie in [2^31, 2^32). */
	for (; ns >= hz; vc->shift++)
		hz *= 2;
	for (; ns * 2 < hz; vc->shift--)
		ns *= 2;
	vc->mul = (u32)(((unsigned __int128)ns << 32) / hz);
}

/* The TSC goes on from its value at another rate. */
static void set_rate(struct kvm_vcpu *vcpu, u32 khz)
{
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);
	u64 now = machine_now(vcpu->kvm), value = kvm_guest_tsc_at(vcpu, now);

	vcpu->clock->tsc_khz = khz;
	ctl->tsc_mult = khz == HW_TSC_KHZ ? 0 : (u64)(((unsigned __int128)khz << 48) / HW_TSC_KHZ);
	ctl->tsc_offset = value - scale(ctl, now);
	set_page_scale(vcpu->clock);
}

/* The multiplier is 16.48 bits wide; a rate of a few kHz would make the page's shift overflow. */
static bool valid_rate(u64 khz)
{
	return khz >= 1 && khz <= INT32_MAX;
}

int kvm_vcpu_ioctl_set_tsc_khz(struct kvm_vcpu *vcpu, u64 khz)
{
	if (!khz)
		khz = HW_TSC_KHZ;
	if (!valid_rate(khz))
		return -EINVAL;
	set_rate(vcpu, (u32)khz);
	tsc_changed(vcpu);
	return 0;
}

int kvm_vcpu_ioctl_get_tsc_khz(struct kvm_vcpu *vcpu)
{
	return (int)vcpu->clock->tsc_khz;
}

int kvm_vm_ioctl_set_tsc_khz(struct kvm *kvm, u64 khz)
{
	if (!khz)
		khz = HW_TSC_KHZ;
	if (!valid_rate(khz) || kvm_vcpu_count(kvm))
		return -EINVAL;
	pthread_mutex_lock(&kvm->clock->lock);
	kvm->clock->tsc_khz = (u32)khz;
	pthread_mutex_unlock(&kvm->clock->lock);
	return 0;
}

int kvm_vm_ioctl_get_tsc_khz(struct kvm *kvm)
{
	int khz;

	pthread_mutex_lock(&kvm->clock->lock);
	khz = (int)kvm->clock->tsc_khz;
	pthread_mutex_unlock(&kvm->clock->lock);
	return khz;
}

/* ---------------------------------------------------------------- the vCPU's page */

/*
 * A guest that reads while the page changes sees an odd or a changed version (msr.rst), so the order of the three
 * counts. The host keeps the order of stores (SDM 3A 8.2.2); only the compiler must be told.
 */
static void write_page(struct kvm_vcpu *vcpu, const struct pvclock_vcpu_time_info *page)
{
	gpa_t at = gpa(vcpu->clock->system_time_msr & ~SYSTEM_TIME_ENABLED);
	u32 writing = page->version - 1;

	if (kvm_write_guest_mapped(vcpu->kvm, at, &writing, sizeof(writing)))
		return;
	atomic_signal_fence(memory_order_seq_cst);
	kvm_write_guest_mapped(vcpu->kvm, gpa(at.v + sizeof(page->version)), &page->pad0,
			       sizeof(*page) - sizeof(page->version));
	atomic_signal_fence(memory_order_seq_cst);
	kvm_write_guest_mapped(vcpu->kvm, at, &page->version, sizeof(page->version));
}

static void update_page(struct kvm_vcpu *vcpu)
{
	struct kvm_clock *clock = vcpu->kvm->clock;
	struct kvm_vcpu_clock *vc = vcpu->clock;
	struct pvclock_vcpu_time_info page = {.flags = PVCLOCK_TSC_STABLE_BIT};
	u64 anchor, offset;

	pthread_mutex_lock(&clock->lock);
	anchor = clock->anchor;
	offset = clock->offset;
	pthread_mutex_unlock(&clock->lock);
	if (vc->stopped)
		page.flags |= PVCLOCK_GUEST_STOPPED;
	vc->stopped = false;
	vc->version += 2;
	page.version = vc->version;
	page.tsc_timestamp = kvm_guest_tsc_at(vcpu, anchor);
	page.system_time = anchor + offset;
	page.tsc_to_system_mul = vc->mul;
	page.tsc_shift = vc->shift;
	write_page(vcpu, &page);
}

void kvm_clock_prepare_entry(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_clock *vc = vcpu->clock;

	if (!atomic_load_explicit(&vc->stale, memory_order_relaxed))
		return;
	atomic_store(&vc->stale, false);
	kvm_check_request(vcpu, KVM_REQ_CLOCK_UPDATE);
	if (vc->system_time_msr & SYSTEM_TIME_ENABLED)
		update_page(vcpu);
}

static void write_system_time(struct kvm_vcpu *vcpu, u64 value)
{
	vcpu->clock->system_time_msr = value;
	mark_stale(vcpu);
}

int kvm_vcpu_ioctl_kvmclock_ctrl(struct kvm_vcpu *vcpu)
{
	if (!(vcpu->clock->system_time_msr & SYSTEM_TIME_ENABLED))
		return -EINVAL;
	vcpu->clock->stopped = true;
	mark_stale(vcpu);
	return 0;
}

/* ---------------------------------------------------------------- the VM's clock */

/* The time of day at which kvmclock was zero. */
static void write_wall_clock(struct kvm *kvm, u64 addr)
{
	struct pvclock_wall_clock page = {0};
	u64 zero, offset;

	pthread_mutex_lock(&kvm->clock->lock);
	kvm->clock->wall_clock_addr = addr;
	offset = kvm->clock->offset;
	pthread_mutex_unlock(&kvm->clock->lock);
	if (!addr || kvm_read_guest(kvm, gpa(addr), &page.version, sizeof(page.version)))
		return;
	page.version |= 1;
	if (kvm_write_guest(kvm, gpa(addr), &page.version, sizeof(page.version)))
		return;
	zero = real_now(kvm) - (machine_now(kvm) + offset);
	page.sec = (u32)(zero / NS_PER_S);
	page.nsec = (u32)(zero % NS_PER_S);
	kvm_write_guest(kvm, gpa(addr), &page, sizeof(page));
	atomic_signal_fence(memory_order_seq_cst);
	page.version++;
	kvm_write_guest(kvm, gpa(addr), &page.version, sizeof(page.version));
}

int kvm_vm_ioctl_get_clock(struct kvm *kvm, struct kvm_clock_data *data)
{
	u64 now = machine_now(kvm);

	memset(data, 0, sizeof(*data));
	pthread_mutex_lock(&kvm->clock->lock);
	data->clock = now + kvm->clock->offset;
	pthread_mutex_unlock(&kvm->clock->lock);
	data->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	data->realtime = real_now(kvm);
	data->host_tsc = now + hw_machine_tsc_base(kvm->machine);
	return 0;
}

int kvm_vm_ioctl_set_clock(struct kvm *kvm, const struct kvm_clock_data *data)
{
	u64 clock = data->clock, real = real_now(kvm), now = machine_now(kvm);
	struct kvm_vcpu *vcpu;
	unsigned int i;

	if (data->flags & ~(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	/* api.rst KVM_SET_CLOCK: time went on since the value was taken. */
	if (data->flags & KVM_CLOCK_REALTIME && real > data->realtime)
		clock += real - data->realtime;
	pthread_mutex_lock(&kvm->clock->lock);
	kvm->clock->offset = clock - now;
	kvm->clock->anchor = now;
	pthread_mutex_unlock(&kvm->clock->lock);
	kvm_for_each_vcpu(i, vcpu, kvm)
	{
		mark_stale(vcpu);
		kvm_vcpu_kick(vcpu);
	}
	return 0;
}

/* ---------------------------------------------------------------- MSRs */

bool kvm_clock_owns_msr(u32 msr)
{
	switch (msr) {
	case MSR_IA32_TSC:
	case MSR_IA32_TSC_ADJUST:
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_SYSTEM_TIME_NEW:
		return true;
	}
	return false;
}

/* User space may make them part of the guest's CPUID (KVM_CAP_ENFORCE_PV_FEATURE_CPUID); it may use them itself all the same. */
static bool is_hidden(const struct kvm_vcpu *vcpu, u32 msr, bool host)
{
	if (host)
		return false;
	if (msr == MSR_KVM_WALL_CLOCK || msr == MSR_KVM_SYSTEM_TIME)
		return !kvm_guest_has_feature(vcpu, KVM_FEATURE_CLOCKSOURCE);
	if (msr == MSR_KVM_WALL_CLOCK_NEW || msr == MSR_KVM_SYSTEM_TIME_NEW)
		return !kvm_guest_has_feature(vcpu, KVM_FEATURE_CLOCKSOURCE2);
	return false;
}

int kvm_clock_read_msr(struct kvm_vcpu *vcpu, u32 msr, u64 *data, bool host)
{
	if (is_hidden(vcpu, msr, host))
		return -EINVAL;
	switch (msr) {
	case MSR_IA32_TSC:
		*data = kvm_guest_tsc_at(vcpu, machine_now(vcpu->kvm));
		return 0;
	case MSR_IA32_TSC_ADJUST:
		*data = vcpu->clock->tsc_adjust;
		return 0;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		pthread_mutex_lock(&vcpu->kvm->clock->lock);
		*data = vcpu->kvm->clock->wall_clock_addr;
		pthread_mutex_unlock(&vcpu->kvm->clock->lock);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*data = vcpu->clock->system_time_msr;
		return 0;
	}
	return -EINVAL;
}

int kvm_clock_write_msr(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host)
{
	if (is_hidden(vcpu, msr, host))
		return -EINVAL;
	switch (msr) {
	case MSR_IA32_TSC:
		write_tsc(vcpu, data, host);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		write_tsc_adjust(vcpu, data, host);
		return 0;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		write_wall_clock(vcpu->kvm, data);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		write_system_time(vcpu, data);
		return 0;
	}
	return -EINVAL;
}

/* ---------------------------------------------------------------- life */

int kvm_clock_create_vm(struct kvm *kvm)
{
	struct kvm_clock *clock = calloc(1, sizeof(*clock));

	if (!clock)
		return -ENOMEM;
	pthread_mutex_init(&clock->lock, NULL);
	clock->tsc_khz = HW_TSC_KHZ;
	clock->anchor = machine_now(kvm);
	clock->offset = -clock->anchor;
	kvm->clock = clock;
	return 0;
}

void kvm_clock_destroy_vm(struct kvm *kvm)
{
	if (!kvm->clock)
		return;
	pthread_mutex_destroy(&kvm->clock->lock);
	free(kvm->clock);
	kvm->clock = NULL;
}

/* The TSC of the first vCPU begins at zero, that of the others where the first one's is. */
int kvm_clock_create_vcpu(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_clock *vc = calloc(1, sizeof(*vc));

	if (!vc)
		return -ENOMEM;
	vcpu->clock = vc;
	set_rate(vcpu, (u32)kvm_vm_ioctl_get_tsc_khz(vcpu->kvm));
	hw_cpu_ctl(vcpu->cpu)->tsc_offset = synchronised_offset(vcpu, 0);
	return 0;
}

void kvm_clock_destroy_vcpu(struct kvm_vcpu *vcpu)
{
	free(vcpu->clock);
	vcpu->clock = NULL;
}
