// SPDX-License-Identifier: Apache-2.0
/* KVM_GET_VCPU_EVENTS: what is on its way into the guest. */
#include <errno.h>
#include <string.h>

#include "kvm/ioctl.h"
#include "kvm/irqchip.h"
#include "kvm/x86/smm.h"
#include "kvm/x86/x86.h"

#define VALID_FLAGS                                                                                              \
	(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SHADOW |         \
	 KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT)

static bool triple_fault_pending(const struct kvm_vcpu *vcpu)
{
	return atomic_load(&vcpu->requests) >> KVM_REQ_TRIPLE_FAULT & 1;
}

static u8 get_shadow(const struct kvm_vcpu *vcpu)
{
	u32 blocked = hw_cpu_arch(vcpu->cpu)->interruptibility;

	return (blocked & HW_BLOCK_STI ? KVM_X86_SHADOW_INT_STI : 0) |
	       (blocked & HW_BLOCK_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0);
}

void kvm_get_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events)
{
	const struct kvm_caps *caps = &vcpu->kvm->caps;
	const struct kvm_exception *e = &vcpu->exception;

	memset(events, 0, sizeof(*events));
	kvm_irq_get_events(vcpu, events);
	kvm_smm_get_events(vcpu, events);
	/* INT3 and INTO are re-executed instead: api.rst KVM_GET_VCPU_EVENTS. */
	if (!e->software) {
		/* Without the payload capability a pending exception is reported as injected, too. */
		events->exception.injected = e->injected || (e->pending && !caps->exception_payload);
		events->exception.pending = e->pending && caps->exception_payload;
	}
	events->exception.nr = e->vector;
	events->exception.has_error_code = e->has_error;
	events->exception.error_code = e->error;
	events->exception_has_payload = e->has_payload;
	events->exception_payload = e->payload;
	events->interrupt.shadow = get_shadow(vcpu);
	events->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	if (caps->exception_payload)
		events->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (caps->triple_fault_event) {
		events->triple_fault.pending = triple_fault_pending(vcpu);
		events->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
}

static int check_events(const struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	const struct kvm_caps *caps = &vcpu->kvm->caps;
	bool pending = events->flags & KVM_VCPUEVENT_VALID_PAYLOAD && events->exception.pending;

	if (events->flags & ~VALID_FLAGS)
		return -EINVAL;
	if (events->flags & KVM_VCPUEVENT_VALID_PAYLOAD && !caps->exception_payload)
		return -EINVAL;
	if (events->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT && !caps->triple_fault_event)
		return -EINVAL;
	if ((events->exception.injected || pending) && (events->exception.nr > 31 || events->exception.nr == 2))
		return -EINVAL;
	if (events->flags & KVM_VCPUEVENT_VALID_SMM && !kvm_has_smm(vcpu->kvm) &&
	    (events->smi.smm || events->smi.pending || events->smi.smm_inside_nmi))
		return -EINVAL;
	return 0;
}

int kvm_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	bool payload = events->flags & KVM_VCPUEVENT_VALID_PAYLOAD;
	int error = check_events(vcpu, events);

	error = error ? error : kvm_irq_set_events(vcpu, events);
	if (error)
		return error;
	vcpu->exception = (struct kvm_exception){
		.injected = events->exception.injected,
		.pending = payload && events->exception.pending,
		.vector = events->exception.nr,
		.has_error = events->exception.has_error_code,
		.error = events->exception.error_code,
		.has_payload = payload && events->exception_has_payload,
		.payload = payload ? events->exception_payload : 0,
	};
	if (events->flags & KVM_VCPUEVENT_VALID_SHADOW) {
		a->interruptibility &= ~(HW_BLOCK_STI | HW_BLOCK_MOV_SS);
		if (events->interrupt.shadow & KVM_X86_SHADOW_INT_STI)
			a->interruptibility |= HW_BLOCK_STI;
		if (events->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS)
			a->interruptibility |= HW_BLOCK_MOV_SS;
	}
	if (events->flags & KVM_VCPUEVENT_VALID_SMM)
		kvm_smm_set_events(vcpu, events);
	if (events->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		kvm_check_request(vcpu, KVM_REQ_TRIPLE_FAULT);
		if (events->triple_fault.pending)
			kvm_make_request(vcpu, KVM_REQ_TRIPLE_FAULT);
	}
	hw_cpu_arch_changed(vcpu->cpu);
	kvm_make_request(vcpu, KVM_REQ_EVENT);
	return 0;
}

long kvm_ioctl_get_vcpu_events(struct kvm_call *c)
{
	kvm_get_events(c->vcpu, c->arg);
	return 0;
}

long kvm_ioctl_set_vcpu_events(struct kvm_call *c) { return kvm_set_events(c->vcpu, c->arg); }
