// SPDX-License-Identifier: Apache-2.0
/*
 * Steal time (msr.rst MSR_KVM_STEAL_TIME): how long the vCPU's thread was ready to run but did not, as the host's
 * scheduler counts it; and a flag for the others that it is not running now. Host time, so there is none of it under
 * virtual time.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "kvm/x86/x86.h"

#define STEAL_ENABLED  1ull
#define STEAL_RESERVED 0x3eull
#define SCHEDSTAT      "/proc/thread-self/schedstat"

/* Time on a processor, time waiting for one, number of turns: proc.rst. */
static bool read_run_delay(u64 *delay)
{
	int fd = open(SCHEDSTAT, O_RDONLY | O_CLOEXEC);
	char text[96], *end;
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	strtoull(text, &end, 10);
	*delay = strtoull(end, NULL, 10);
	return true;
}

bool kvm_steal_supported(const struct hw_machine *machine)
{
	return !hw_machine_config(machine)->icount && !access(SCHEDSTAT, R_OK);
}

static gpa_t field(const struct kvm_vcpu *vcpu, size_t offset)
{
	return gpa((vcpu->steal.msr & ~(STEAL_ENABLED | STEAL_RESERVED)) + offset);
}

/* The version is odd while the rest changes (msr.rst); the host keeps the order of stores (SDM 3A 8.2.2). */
static void write_version(struct kvm_vcpu *vcpu, u32 version)
{
	atomic_signal_fence(memory_order_seq_cst);
	kvm_write_guest(vcpu->kvm, field(vcpu, offsetof(struct kvm_steal_time, version)), &version, sizeof(version));
	atomic_signal_fence(memory_order_seq_cst);
}

static void write_preempted(struct kvm_vcpu *vcpu, u8 preempted)
{
	kvm_write_guest(vcpu->kvm, field(vcpu, offsetof(struct kvm_steal_time, preempted)), &preempted,
			sizeof(preempted));
	vcpu->steal.preempted = preempted;
}

static void record(struct kvm_vcpu *vcpu, u64 delay)
{
	struct kvm_steal_time now;

	if (kvm_read_guest(vcpu->kvm, field(vcpu, 0), &now, sizeof(now)))
		return;
	/* An odd version is what the guest's memory happened to hold. */
	now.version += now.version & 1;
	now.steal += delay - vcpu->steal.delay;
	write_version(vcpu, now.version + 1);
	kvm_write_guest(vcpu->kvm, field(vcpu, offsetof(struct kvm_steal_time, steal)), &now.steal, sizeof(now.steal));
	write_version(vcpu, now.version + 2);
}

static u64 this_tick(void)
{
	struct timespec tick;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &tick);
	return (u64)tick.tv_sec * 1000000000 + (u64)tick.tv_nsec;
}

/* A thread waits when it is switched away: without a switch there is no new figure to be read. */
static u64 count_switches(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : (u64)usage.ru_nvcsw + (u64)usage.ru_nivcsw;
}

/* Looks at what changes anything: when KVM_RUN begins and after a sleep, otherwise once a tick. */
static bool is_due(struct kvm_steal *s, bool fresh)
{
	static __thread char thread;
	u64 now = this_tick(), switches;

	if (!fresh && s->looked_at == now)
		return false;
	s->looked_at = now;
	switches = count_switches();
	if (s->thread == &thread && s->switches == switches)
		return false;
	if (s->thread != &thread)
		s->delay_known = false;
	s->thread = &thread;
	s->switches = switches;
	return true;
}

void kvm_steal_enter(struct kvm_vcpu *vcpu)
{
	struct kvm_steal *s = &vcpu->steal;
	bool fresh = s->preempted;
	u64 delay;

	if (!(s->msr & STEAL_ENABLED))
		return;
	if (fresh)
		write_preempted(vcpu, 0);
	if (!is_due(s, fresh) || !read_run_delay(&delay))
		return;
	if (!s->delay_known)
		s->delay = delay;
	record(vcpu, delay);
	s->delay = delay;
	s->delay_known = true;
}

void kvm_steal_leave(struct kvm_vcpu *vcpu)
{
	if (vcpu->steal.msr & STEAL_ENABLED && !vcpu->steal.preempted)
		write_preempted(vcpu, KVM_VCPU_PREEMPTED);
}

int kvm_steal_write_msr(struct kvm_vcpu *vcpu, u64 data)
{
	if (data & STEAL_RESERVED || (data & STEAL_ENABLED && !kvm_steal_supported(vcpu->kvm->machine)))
		return KVM_MSR_INVALID;
	/* A page that is new to us shows the vCPU as it is, and the time from now on. */
	vcpu->steal = (struct kvm_steal){.msr = data, .preempted = true};
	return 0;
}
