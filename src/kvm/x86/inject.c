// SPDX-License-Identifier: Apache-2.0
/* Exceptions on their way into the guest, and events whose delivery an exit cut short. */
#include <string.h>

#include "kvm/irqchip.h"
#include "kvm/x86/x86.h"

enum { DF = 8, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14, DE = 0, DB = 1 };

/* SDM 3A 6.15, table 6-5: benign, contributory, page fault. */
enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT };

static enum fault_class class_of(u8 vector)
{
	switch (vector) {
	case PF:
		return PAGE_FAULT;
	case DE:
	case TS:
	case NP:
	case SS:
	case GP:
		return CONTRIBUTORY;
	default:
		return BENIGN;
	}
}

/* A second exception while one is on its way: double fault, triple fault, or the second alone. */
static void queue(struct kvm_vcpu *vcpu, const struct kvm_exception *new)
{
	struct kvm_exception *e = &vcpu->exception;
	enum fault_class first, second = class_of(new->vector);

	kvm_make_request(vcpu, KVM_REQ_EVENT);
	if (!e->pending && !e->injected) {
		*e = *new;
		return;
	}
	if (e->vector == DF) {
		memset(e, 0, sizeof(*e));
		kvm_make_request(vcpu, KVM_REQ_TRIPLE_FAULT);
		return;
	}
	first = class_of(e->vector);
	if ((first == CONTRIBUTORY && second == CONTRIBUTORY) || (first == PAGE_FAULT && second != BENIGN))
		*e = (struct kvm_exception){ .pending = true, .vector = DF, .has_error = true };
	else
		*e = *new;
}

void kvm_queue_exception(struct kvm_vcpu *vcpu, u8 vector)
{
	queue(vcpu, &(struct kvm_exception){ .pending = true, .vector = vector });
}

void kvm_queue_exception_error(struct kvm_vcpu *vcpu, u8 vector, u32 error)
{
	queue(vcpu, &(struct kvm_exception){ .pending = true, .vector = vector, .has_error = true, .error = error });
}

/* ---------------------------------------------------------------- cut short by an exit */

void kvm_requeue_event(struct kvm_vcpu *vcpu, u32 info, u32 error, unsigned int insn_len)
{
	struct hw_event event = {
		.valid = true,
		.type = info >> 8 & 7,
		.vector = info & 0xff,
		.insn_len = insn_len,
		.has_error = info >> 11 & 1,
		.error = error,
	};

	if (!(info >> 31))
		return;
	kvm_make_request(vcpu, KVM_REQ_EVENT);
	switch (event.type) {
	case HW_EVENT_EXCEPTION:
	case HW_EVENT_SOFTEXC:
		vcpu->exception = (struct kvm_exception){
			.injected = true,
			.vector = event.vector,
			.has_error = event.has_error,
			.error = error,
			.software = event.type == HW_EVENT_SOFTEXC,
			.insn_len = insn_len,
		};
		break;
	case HW_EVENT_SOFTINT:
		vcpu->reinject = event;
		break;
	default:
		kvm_irq_requeue(vcpu, &event);
	}
}

/* ---------------------------------------------------------------- entry */

/* CR2 and DR6 take effect when the exception is delivered, not when it is queued: SDM 3A 6.15. */
static void deliver_payload(struct kvm_vcpu *vcpu)
{
	struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	struct kvm_exception *e = &vcpu->exception;

	if (!e->has_payload)
		return;
	if (e->vector == DB)
		a->dr6 = (a->dr6 & ~0xfull) | e->payload;
	else if (e->vector == PF)
		a->cr2 = e->payload;
	e->has_payload = false;
}

void kvm_inject_prepare(struct kvm_vcpu *vcpu)
{
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);
	struct kvm_exception *e = &vcpu->exception;

	if (ctl->inject.valid)
		return;
	if (vcpu->reinject.valid) {
		ctl->inject = vcpu->reinject;
		vcpu->reinject.valid = false;
		return;
	}
	if (!e->pending && !e->injected)
		return;
	deliver_payload(vcpu);
	ctl->inject = (struct hw_event){
		.valid = true,
		.type = e->software ? HW_EVENT_SOFTEXC : HW_EVENT_EXCEPTION,
		.vector = e->vector,
		.insn_len = e->insn_len,
		.has_error = e->has_error && hw_cpu_arch(vcpu->cpu)->cr0 & 1,
		.error = e->error,
	};
	observe(vcpu->kvm->obs, OBSERVE_KVM_INJ_EXCEPTION, vcpu->index, e->vector, e->error);
	e->pending = false;
	e->injected = true;
}

/* After the run: what is still in ctl.inject was not delivered. What was delivered is over. */
void kvm_inject_finish(struct kvm_vcpu *vcpu)
{
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);
	struct hw_event event = ctl->inject;

	vcpu->exception.injected = false;
	ctl->inject.valid = false;
	if (!event.valid)
		return;
	kvm_requeue_event(vcpu, 1u << 31 | (u32)event.has_error << 11 | (u32)event.type << 8 | event.vector, event.error,
			  event.insn_len);
}
