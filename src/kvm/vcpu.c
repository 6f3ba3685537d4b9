// SPDX-License-Identifier: Apache-2.0
/*
 * A vCPU: KVM_CREATE_VCPU, its pages, requests and sleep, and the small requests of its descriptor.
 *
 * The VM's array keeps vCPUs for delivery of interrupts, so a vCPU lives as long as its VM: the object behind the descriptor
 * is the vCPU, its last reference only gives the VM back, and the VM frees its vCPUs.
 */
#include "kvm/vcpu.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hw/debug.h"
#include "kvm/ioctl.h"
#include "kvm/irqchip.h"
#include "kvm/x86/clock.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/smm.h"
#include "kvm/x86/x86.h"

static __thread struct kvm_vcpu *loaded;

void kvm_vcpu_load(struct kvm_vcpu *vcpu) { loaded = vcpu; }

struct kvm_vcpu *kvm_loaded_vcpu(const struct kvm *kvm) { return loaded && loaded->kvm == kvm ? loaded : NULL; }

/* ---------------------------------------------------------------- requests and sleep */

void kvm_make_request(struct kvm_vcpu *vcpu, enum kvm_request request)
{
	atomic_fetch_or_explicit(&vcpu->requests, (u64)1 << request, memory_order_release);
}

bool kvm_check_request(struct kvm_vcpu *vcpu, enum kvm_request request)
{
	u64 bit = (u64)1 << request;

	if (!(atomic_load_explicit(&vcpu->requests, memory_order_relaxed) & bit))
		return false;
	atomic_fetch_and_explicit(&vcpu->requests, ~bit, memory_order_acquire);
	return true;
}

void kvm_vcpu_wake(struct kvm_vcpu *vcpu)
{
	atomic_fetch_add(&vcpu->wake, 1);
	if (atomic_load(&vcpu->sleeping))
		syscall(SYS_futex, &vcpu->wake, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
	hw_cpu_kick(vcpu->cpu);
	kvm_vcpu_wake(vcpu);
}

void kvm_vcpu_sleep(struct kvm_vcpu *vcpu, u32 seen)
{
	/* A wait with a timeout is never restarted behind a signal handler (signal(7)), whatever its SA_RESTART says. */
	static const struct timespec an_hour = { .tv_sec = 3600 };

	atomic_store(&vcpu->sleeping, true);
	if (atomic_load(&vcpu->wake) == seen)
		syscall(SYS_futex, &vcpu->wake, FUTEX_WAIT_PRIVATE, seen, &an_hour, NULL, 0);
	atomic_store(&vcpu->sleeping, false);
}

struct kvm_vcpu *kvm_vcpu_by_id(struct kvm *kvm, unsigned int vcpu_id)
{
	struct kvm_vcpu *vcpu;
	unsigned int i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu->vcpu_id == vcpu_id)
			return vcpu;
	return NULL;
}

/* ---------------------------------------------------------------- life */

void kvm_vcpu_reset(struct kvm_vcpu *vcpu, bool init)
{
	struct hw_cpuid id;

	hw_cpu_reset(vcpu->cpu, init);
	hw_cpu_drop_access(vcpu->cpu);
	memset(&vcpu->exception, 0, sizeof(vcpu->exception));
	memset(&hw_cpu_ctl(vcpu->cpu)->inject, 0, sizeof(struct hw_event));
	vcpu->reinject.valid = false;
	kvm_smm_reset(vcpu, init);
	kvm_lapic_reset(vcpu, init);
	kvm_msr_reset(vcpu, init);
	/* EDX after RESET and INIT is the processor's signature: SDM 3A 9.1.1. */
	kvm_guest_cpuid(vcpu, 1, 0, &id);
	hw_cpu_arch(vcpu->cpu)->gpr[HW_RDX] = id.eax ? id.eax : 0x600;
	hw_cpu_arch_changed(vcpu->cpu);
}

void kvm_vcpu_free(struct kvm_vcpu *vcpu)
{
	if (vcpu->kvm->vendor->vcpu_free)
		vcpu->kvm->vendor->vcpu_free(vcpu);
	if (vcpu->clock)
		kvm_clock_destroy_vcpu(vcpu);
	if (vcpu->lapic)
		kvm_irq_destroy_vcpu(vcpu);
	kvm_msr_destroy_vcpu(vcpu);
	kvm_cpuid_destroy(vcpu);
	if (vcpu->debug_attached)
		debug_detach_cpu(vcpu->kvm->system->config.debug, vcpu->cpu);
	if (vcpu->cpu)
		hw_cpu_destroy(vcpu->cpu);
	kvm_dirty_ring_destroy(vcpu);
	if (vcpu->run)
		munmap(vcpu->run, KVM_VCPU_MMAP_PAGES * HW_PAGE_SIZE);
	pthread_mutex_destroy(&vcpu->mutex);
	free(vcpu);
}

/* The descriptor is gone; the vCPU itself stays until its VM goes. */
static void vcpu_released(struct kvm_object *object)
{
	struct kvm_vcpu *vcpu = (struct kvm_vcpu *)object;

	kvm_object_put(&vcpu->kvm->object);
}

static void init_controls(struct kvm_vcpu *vcpu)
{
	struct hw_ctl *ctl = hw_cpu_ctl(vcpu->cpu);

	ctl->s2 = &vcpu->kvm->mmu.s2;
	ctl->hlt_exiting = !(vcpu->kvm->caps.disabled_exits & KVM_X86_DISABLE_EXITS_HLT);
	ctl->exception_bitmap = 1u << 6 /* #UD */;
	ctl->xcr0_supported = 1;
	if (vcpu->kvm->vendor->vcpu_init)
		vcpu->kvm->vendor->vcpu_init(vcpu);
}

static int vcpu_create(struct kvm_vcpu *vcpu, int carrier)
{
	void *run = mmap(NULL, KVM_VCPU_MMAP_PAGES * HW_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, carrier, 0);
	int error;

	if (run == MAP_FAILED)
		return -ENOMEM;
	vcpu->run = run;
	error = kvm_dirty_ring_create(vcpu);
	if (error)
		return error;
	error = hw_cpu_create(vcpu->kvm->hw, vcpu->index, &vcpu->cpu);
	if (error)
		return error;
	init_controls(vcpu);
	if (vcpu->kvm->system->config.debug) {
		error = debug_attach_cpu(vcpu->kvm->system->config.debug, vcpu->cpu);
		if (error)
			return error;
		vcpu->debug_attached = true;
	}
	error = kvm_msr_create_vcpu(vcpu);
	error = error ? error : kvm_irq_create_vcpu(vcpu);
	error = error ? error : kvm_clock_create_vcpu(vcpu);
	error = error || !vcpu->kvm->vendor->vcpu_create ? error : vcpu->kvm->vendor->vcpu_create(vcpu);
	if (error)
		return error;
	kvm_vcpu_reset(vcpu, false);
	kvm_make_request(vcpu, KVM_REQ_MSR_FILTER);
	/* Application processors of an in-kernel APIC wait for INIT: api.rst KVM_GET_MP_STATE. */
	vcpu->mp_state = kvm_lapic_in_kernel(vcpu->kvm) && !kvm_is_bsp(vcpu) ? KVM_MP_STATE_UNINITIALIZED :
									     KVM_MP_STATE_RUNNABLE;
	return 0;
}

/* Under kvm->lock. */
static int check_vcpu_id(struct kvm *kvm, u64 id)
{
	struct kvm_vcpu *vcpu;
	unsigned int i;
	int error;

	if (kvm_vcpu_count(kvm) >= kvm->max_vcpus || (kvm_icount(kvm) && kvm_vcpu_count(kvm)))
		return -EINVAL;
	/* What user space has not limited by now is unlimited: api.rst KVM_CAP_MAX_VCPU_ID, "before creating any vcpu". */
	if (!kvm->caps.max_vcpu_id)
		kvm->caps.max_vcpu_id = KVM_MAX_VCPU_IDS;
	if (id >= kvm->caps.max_vcpu_id)
		return -EINVAL;
	if (kvm->vendor->vcpu_precreate) {
		error = kvm->vendor->vcpu_precreate(kvm);
		if (error)
			return error;
	}
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (vcpu->vcpu_id == id)
			return -EEXIST;
	return 0;
}

static int create_locked(struct kvm *kvm, u64 id, int carrier)
{
	struct kvm_vcpu *vcpu;
	int error = check_vcpu_id(kvm, id);

	if (error)
		return error;
	vcpu = aligned_alloc(64, (sizeof(*vcpu) + 63) & ~(size_t)63);
	if (!vcpu)
		return -ENOMEM;
	memset(vcpu, 0, sizeof(*vcpu));
	kvm_object_init(&vcpu->object, KVM_FD_VCPU, vcpu_released);
	vcpu->kvm = kvm;
	vcpu->vcpu_id = id;
	vcpu->index = kvm_vcpu_count(kvm);
	pthread_mutex_init(&vcpu->mutex, NULL);
	error = vcpu_create(vcpu, carrier);
	error = error ? error : kvm_fd_install(carrier, &vcpu->object);
	if (error) {
		kvm_vcpu_free(vcpu);
		return error;
	}
	kvm_object_get(&kvm->object);
	kvm_object_put(&vcpu->object); /* the descriptor's reference remains */
	kvm->vcpu[vcpu->index] = vcpu;
	atomic_store_explicit(&kvm->vcpu_count, vcpu->index + 1, memory_order_release);
	return 0;
}

long kvm_ioctl_create_vcpu(struct kvm_call *c)
{
	int carrier, error;

	/* The number is checked before the descriptor is made, as in Linux. */
	if (c->value >= KVM_MAX_VCPU_IDS)
		return -EINVAL;
	carrier = kvm_fd_create_carrier("kvm-vcpu", KVM_VCPU_MMAP_PAGES * HW_PAGE_SIZE);
	if (carrier < 0)
		return carrier;
	pthread_mutex_lock(&c->kvm->lock);
	error = create_locked(c->kvm, c->value, carrier);
	pthread_mutex_unlock(&c->kvm->lock);
	if (!error)
		return carrier;
	close(carrier);
	return error;
}

/* ---------------------------------------------------------------- small requests */

long kvm_ioctl_interrupt(struct kvm_call *c) { return kvm_vcpu_ioctl_interrupt(c->vcpu, c->arg); }
long kvm_ioctl_nmi(struct kvm_call *c) { return kvm_vcpu_ioctl_nmi(c->vcpu); }
long kvm_ioctl_smi(struct kvm_call *c)
{
	kvm_make_request(c->vcpu, KVM_REQ_SMI);
	return 0;
}

long kvm_ioctl_get_lapic(struct kvm_call *c) { return kvm_vcpu_ioctl_get_lapic(c->vcpu, c->arg); }
long kvm_ioctl_set_lapic(struct kvm_call *c) { return kvm_vcpu_ioctl_set_lapic(c->vcpu, c->arg); }
long kvm_ioctl_set_tsc_khz(struct kvm_call *c)
{
	return c->kvm->vendor->tsc_protected ? -EINVAL : kvm_vcpu_ioctl_set_tsc_khz(c->vcpu, c->value);
}
long kvm_ioctl_get_tsc_khz(struct kvm_call *c) { return kvm_vcpu_ioctl_get_tsc_khz(c->vcpu); }
long kvm_ioctl_kvmclock_ctrl(struct kvm_call *c) { return kvm_vcpu_ioctl_kvmclock_ctrl(c->vcpu); }
long kvm_ioctl_setup_mce(struct kvm_call *c) { return kvm_msr_setup_mce(c->vcpu, *(const u64 *)c->arg); }

long kvm_ioctl_vcpu_memory_encrypt_op(struct kvm_call *c)
{
	if (c->kvm->vendor->vcpu_command)
		return c->kvm->vendor->vcpu_command(c);
	return kvm_is_intel(c->kvm) ? -EINVAL : c->kvm->compat->amd_vcpu_command;
}

long kvm_ioctl_get_mp_state(struct kvm_call *c)
{
	struct kvm_mp_state *state = c->arg;

	/* INIT and SIPI that have arrived count. */
	kvm_lapic_accept_events(c->vcpu);
	state->mp_state = c->vcpu->mp_state;
	return 0;
}

long kvm_ioctl_set_mp_state(struct kvm_call *c)
{
	u32 next = ((const struct kvm_mp_state *)c->arg)->mp_state;

	switch (next) {
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_SIPI_RECEIVED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_AP_RESET_HOLD:
		if (!kvm_lapic_in_kernel(c->kvm))
			return -EINVAL;
		break;
	case KVM_MP_STATE_RUNNABLE:
		break;
	default:
		return -EINVAL;
	}
	if (next == KVM_MP_STATE_SIPI_RECEIVED) {
		kvm_lapic_repeat_sipi(c->vcpu);
		next = KVM_MP_STATE_INIT_RECEIVED;
	}
	__atomic_store_n(&c->vcpu->mp_state, next, __ATOMIC_RELEASE);
	hw_cpu_arch(c->vcpu->cpu)->activity = HW_ACTIVE;
	return 0;
}

long kvm_ioctl_translate(struct kvm_call *c)
{
	struct kvm_translation *tr = c->arg;
	struct hw_translation found;

	tr->valid = kvm_translate(c->vcpu, gva(tr->linear_address), &found);
	tr->physical_address = tr->valid ? found.gpa.v : ~0ull;
	tr->writeable = 1; /* Linux does not look */
	tr->usermode = 0;
	return 0;
}

#define KERNEL_SIGSET_SIZE 8
long kvm_ioctl_set_signal_mask(struct kvm_call *c)
{
	struct kvm_signal_mask head;
	u64 mask;

	if (!c->user.v) {
		c->vcpu->has_signal_mask = false;
		return 0;
	}
	if (hw_copy_from_host(&head, c->user, sizeof(head)))
		return -EFAULT;
	if (head.len != KERNEL_SIGSET_SIZE)
		return -EINVAL;
	if (hw_copy_from_host(&mask, hpa(c->user.v + sizeof(head)), sizeof(mask)))
		return -EFAULT;
	c->vcpu->signal_mask = mask;
	c->vcpu->has_signal_mask = true;
	return 0;
}

/* TPR accesses never leave this processor, so there is nothing to report; the setting is kept and given back. */
long kvm_ioctl_tpr_access_reporting(struct kvm_call *c)
{
	const struct kvm_tpr_access_ctl *ctl = c->arg;

	if (ctl->flags)
		return -EINVAL;
	c->vcpu->tpr_access_reporting = ctl->enabled;
	return 0;
}

long kvm_ioctl_set_vapic_addr(struct kvm_call *c)
{
	const struct kvm_vapic_addr *va = c->arg;

	if (!kvm_lapic_in_kernel(c->kvm))
		return -EINVAL;
	c->vcpu->vapic_addr = va->vapic_addr;
	return 0;
}

static int check_vcpu_attr(const struct kvm_device_attr *attr)
{
	return attr->group == KVM_VCPU_TSC_CTRL && attr->attr == KVM_VCPU_TSC_OFFSET ? 0 : -ENXIO;
}

long kvm_ioctl_vcpu_has_attr(struct kvm_call *c) { return check_vcpu_attr(c->arg); }

long kvm_ioctl_vcpu_get_attr(struct kvm_call *c)
{
	const struct kvm_device_attr *attr = c->arg;
	u64 offset = kvm_vcpu_get_tsc_offset(c->vcpu);
	int error = check_vcpu_attr(attr);

	return error ? error : hw_copy_to_host(hpa(attr->addr), &offset, sizeof(offset));
}

long kvm_ioctl_vcpu_set_attr(struct kvm_call *c)
{
	const struct kvm_device_attr *attr = c->arg;
	u64 offset;
	int error = check_vcpu_attr(attr);

	error = error ? error : hw_copy_from_host(&offset, hpa(attr->addr), sizeof(offset));
	if (!error && !c->kvm->vendor->tsc_protected)
		kvm_vcpu_set_tsc_offset(c->vcpu, offset);
	return error;
}
