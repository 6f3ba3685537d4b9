// SPDX-License-Identifier: Apache-2.0
/* VMCALL and VMMCALL: the kernel's Documentation/virt/kvm/x86/hypercalls.rst. */
#include <sched.h>
#include <time.h>

#include "kvm/irqchip.h"
#include "kvm/x86/clock.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/x86.h"

static u64 poll_irq(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h) { return 0; }

/* A vCPU that waits for a spin lock in HLT goes on. */
static u64 kick_cpu(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h)
{
	struct kvm_vcpu *target = kvm_vcpu_by_id(vcpu->kvm, h->a1);

	if (!kvm_guest_has_feature(vcpu, KVM_FEATURE_PV_UNHALT))
		return -KVM_ENOSYS;
	if (target) {
		kvm_make_request(target, KVM_REQ_UNHALT);
		kvm_vcpu_wake(target);
	}
	return 0;
}

/* Two bitmaps of APIC ids from a2 on; how many vCPUs got the interrupt. */
static u64 send_ipi(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h)
{
	const u64 map[2] = { h->a0, h->a1 };
	unsigned int width = h->long_mode ? 64 : 32;
	u32 icr = h->a3;
	u64 count = 0;

	if (!kvm_guest_has_feature(vcpu, KVM_FEATURE_PV_SEND_IPI))
		return -KVM_ENOSYS;
	/* Physical mode, no shorthand; the delivery mode is checked by the APIC. */
	if (icr & 3u << 18 || icr & 1u << 11)
		return -KVM_EINVAL;
	for (unsigned int w = 0; w < 2; w++) {
		for (u64 bits = map[w]; bits; bits &= bits - 1) {
			u64 id = h->a2 + w * width + (unsigned int)__builtin_ctzll(bits);
			const struct kvm_lapic_irq irq = {
				.dest = id, .vector = icr, .delivery_mode = icr >> 8 & 7, .level = true,
			};

			if (id < KVM_MAX_VCPU_IDS && kvm_vcpu_by_id(vcpu->kvm, id) && kvm_irq_deliver(vcpu->kvm, vcpu, &irq) > 0)
				count++;
		}
	}
	return count;
}

/* The caller waits for the vCPU with APIC id a0, which may not be running: let it, or whoever is ready, go first. */
static u64 sched_yield_to(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h)
{
	if (!kvm_guest_has_feature(vcpu, KVM_FEATURE_PV_SCHED_YIELD))
		return -KVM_ENOSYS;
	sched_yield();
	return 0;
}

/* Wall clock and TSC at one moment. Not under virtual time, whose guests must not see the host's clock. */
static u64 clock_pairing(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h)
{
	struct kvm_clock_pairing pairing = { 0 };
	struct timespec now;

	if (h->a1 || kvm_icount(vcpu->kvm))
		return -KVM_EOPNOTSUPP;
	clock_gettime(CLOCK_REALTIME, &now);
	pairing.tsc = kvm_guest_tsc_at(vcpu, hw_machine_tsc(vcpu->kvm->machine));
	pairing.sec = now.tv_sec;
	pairing.nsec = now.tv_nsec;
	return kvm_write_guest(vcpu->kvm, gpa(h->a0), &pairing, sizeof(pairing)) ? -KVM_EFAULT : 0;
}

/* Of pages, in place: docs/pkvm.md. a0: where, a1: bytes. */
static u64 convert_pages(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h,
			 int (*convert)(struct kvm_vcpu *vcpu, gfn_t start, gfn_t end))
{
	if (!convert)
		return -KVM_ENOSYS;
	if ((h->a0 | h->a1) & ~HW_PAGE_MASK || !h->a1 || h->a0 + h->a1 < h->a0)
		return -KVM_EINVAL;
	return convert(vcpu, gpa_to_gfn(gpa(h->a0)), gpa_to_gfn(gpa(h->a0 + h->a1)));
}

static u64 share_pages(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h)
{
	return convert_pages(vcpu, h, vcpu->kvm->vendor->share);
}

static u64 unshare_pages(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h)
{
	return convert_pages(vcpu, h, vcpu->kvm->vendor->unshare);
}

static const struct {
	u64 nr;
	u64 (*call)(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h);
} hypercalls[] = {
	{ KVM_HC_VAPIC_POLL_IRQ, poll_irq },
	{ KVM_HC_KICK_CPU, kick_cpu },
	{ KVM_HC_CLOCK_PAIRING, clock_pairing },
	{ KVM_HC_SEND_IPI, send_ipi },
	{ KVM_HC_SCHED_YIELD, sched_yield_to },
	{ SOFTCVM_PKVM_HC_SHARE, share_pages },
	{ SOFTCVM_PKVM_HC_UNSHARE, unshare_pages },
};

static int finish(struct kvm_vcpu *vcpu, u64 result)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);

	a->gpr[HW_RAX] = kvm_in_long_mode(vcpu) ? result : (u32)result;
	hw_cpu_skip_insn(vcpu->cpu);
	return KVM_RESUME_GUEST;
}

/* ---------------------------------------------------------------- KVM_HC_MAP_GPA_RANGE: user space answers */

static int complete_hypercall(struct kvm_vcpu *vcpu)
{
	return vcpu->hypercall_finish(vcpu, vcpu->run->hypercall.ret);
}

static int map_gpa_range(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h)
{
	struct kvm_run *run = vcpu->run;
	u64 frame = h->a0 >> HW_PAGE_SHIFT;

	if (!(vcpu->kvm->caps.exit_hypercall >> KVM_HC_MAP_GPA_RANGE & 1))
		return h->finish(vcpu, -KVM_ENOSYS);
	if (h->a0 & ~HW_PAGE_MASK || !h->a1 || frame + h->a1 <= frame)
		return h->finish(vcpu, -KVM_EINVAL);
	run->exit_reason = KVM_EXIT_HYPERCALL;
	run->hypercall.nr = KVM_HC_MAP_GPA_RANGE;
	run->hypercall.args[0] = h->a0;
	run->hypercall.args[1] = h->a1;
	run->hypercall.args[2] = h->a2;
	if (vcpu->kvm->compat->presets_hypercall_ret)
		run->hypercall.ret = 0;
	run->hypercall.flags = h->long_mode ? KVM_EXIT_HYPERCALL_LONG_MODE : 0;
	vcpu->hypercall_finish = h->finish;
	vcpu->completion = complete_hypercall;
	return KVM_EXIT_TO_USER;
}

int kvm_emulate_hypercall(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h)
{
	kvm_count(&vcpu->stats.hypercalls);
	observe(vcpu->kvm->obs, OBSERVE_KVM_HYPERCALL, vcpu->index, h->nr, h->a0, h->a1, h->a2, h->a3);
	if (kvm_cpl(vcpu))
		return h->finish(vcpu, -KVM_EPERM);
	if (h->nr == KVM_HC_MAP_GPA_RANGE)
		return map_gpa_range(vcpu, h);
	for (unsigned int i = 0; i < sizeof(hypercalls) / sizeof(hypercalls[0]); i++)
		if (hypercalls[i].nr == h->nr)
			return h->finish(vcpu, hypercalls[i].call(vcpu, h));
	return h->finish(vcpu, -KVM_ENOSYS);
}

int kvm_handle_hypercall(struct kvm_vcpu *vcpu)
{
	const struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	bool long_mode = kvm_in_long_mode(vcpu);
	u64 mask = long_mode ? ~0ull : 0xffffffffull;
	const struct kvm_hypercall h = {
		a->gpr[HW_RAX] & mask, a->gpr[HW_RBX] & mask, a->gpr[HW_RCX] & mask,
		a->gpr[HW_RDX] & mask, a->gpr[HW_RSI] & mask, long_mode, finish,
	};

	return kvm_emulate_hypercall(vcpu, &h);
}
