// SPDX-License-Identifier: Apache-2.0
/* A VM: KVM_CREATE_VM and what a VM descriptor answers. */
#include "kvm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm/ioctl.h"
#include "kvm/irqchip.h"
#include "kvm/timer.h"
#include "kvm/vcpu.h"
#include "kvm/x86/clock.h"
#include "kvm/x86/x86.h"

/* ---------------------------------------------------------------- life */

/* Whatever vm_create() had made when it failed; in reverse order. */
static void vm_destroy(struct kvm_object *object)
{
	struct kvm *kvm = (struct kvm *)object;

	observe(kvm->obs, OBSERVE_KVM_DESTROY_VM, -1, kvm->type);
	if (kvm->irqchip)
		kvm_irq_stop_vm(kvm);
	if (kvm->timers)
		kvm_timers_stop(kvm);
	for (unsigned int i = 0; i < kvm_vcpu_count(kvm); i++)
		kvm_vcpu_free(kvm->vcpu[i]);
	if (kvm->vendor->vm_pre_destroy)
		kvm->vendor->vm_pre_destroy(kvm);
	if (kvm->irqchip)
		kvm_irq_destroy_vm(kvm);
	if (kvm->clock)
		kvm_clock_destroy_vm(kvm);
	if (kvm->timers)
		kvm_timers_destroy(kvm);
	kvm_coalesced_destroy(kvm);
	kvm_msr_filter_destroy(kvm);
	kvm_mmu_destroy(kvm);
	kvm_slots_destroy(kvm);
	kvm_ownership_destroy(kvm);
	kvm_attributes_destroy(kvm);
	kvm_io_bus_destroy(&kvm->mmio_bus);
	kvm_io_bus_destroy(&kvm->pio_bus);
	if (kvm->hw)
		hw_vm_destroy(kvm->hw);
	if (kvm->machine)
		hw_machine_destroy(kvm->machine);
	pthread_mutex_destroy(&kvm->lock);
	pthread_mutex_destroy(&kvm->slots_lock);
	pthread_rwlock_destroy(&kvm->msr_filter_lock);
	if (kvm->obs)
		observer_destroy_derived(kvm->system->config.observer, kvm->obs);
	kvm_object_put(&kvm->system->object);
	free(kvm);
}

static int vm_create(struct kvm *kvm)
{
	struct softcvm_config config = kvm->system->config;
	int error = kvm_slots_init(kvm);

	if (!error && config.observer)
		error = observer_derive(config.observer, &kvm->obs);
	config.observer = kvm->obs;
	error = error ? error : kvm_create_machine(&config, &kvm->machine);
	error = error ? error : hw_vm_create(kvm->machine, &kvm->hw);
	error = error ? error : kvm_mmu_create(kvm);
	error = error ? error : kvm_timers_create(kvm);
	error = error ? error : kvm_clock_create_vm(kvm);
	error = error ? error : kvm_irq_create_vm(kvm);
	error = error ? error : kvm_coalesced_create(kvm);
	return error || !kvm->vendor->vm_create ? error : kvm->vendor->vm_create(kvm);
}

void kvm_warn_once(struct kvm *kvm, enum kvm_warning warning, u64 detail)
{
	u32 bit = 1u << warning;

	if (!(atomic_fetch_or_explicit(&kvm->warned, bit, memory_order_relaxed) & bit))
		observe(kvm->obs, OBSERVE_KVM_WARN_ONCE, -1, warning, detail);
}

void kvm_vm_bugged(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned int i;

	atomic_store(&kvm->dead, true);
	kvm_for_each_vcpu(i, vcpu, kvm)
		kvm_vcpu_kick(vcpu);
}

long kvm_ioctl_create_vm(struct kvm_call *c)
{
	const struct kvm_vendor *vendor = kvm_vendor_find(&c->system->config, c->value);
	struct kvm *kvm;
	int fd, error;

	if (!vendor)
		return -EINVAL;
	kvm = calloc(1, sizeof(*kvm));
	if (!kvm)
		return -ENOMEM;
	kvm_object_init(&kvm->object, KVM_FD_VM, vm_destroy);
	kvm_object_get(&c->system->object);
	kvm->system = c->system;
	kvm->type = vendor->type;
	kvm->vendor = vendor;
	kvm->compat = kvm_compat_find(c->system->config.kvm_compat);
	kvm->max_vcpus = KVM_MAX_VCPUS;
	kvm->gpa_alias = vendor->gpa_alias;
	kvm->pre_fault_allowed = vendor->pre_fault_allowed;
	pthread_mutex_init(&kvm->lock, NULL);
	pthread_mutex_init(&kvm->slots_lock, NULL);
	pthread_rwlock_init(&kvm->msr_filter_lock, NULL);
	kvm_attributes_init(kvm);
	kvm_io_bus_init(&kvm->mmio_bus);
	kvm_io_bus_init(&kvm->pio_bus);

	error = vm_create(kvm);
	if (!error)
		observe(kvm->obs, OBSERVE_KVM_CREATE_VM, -1, kvm->type, !kvm_is_intel(kvm), kvm->system->config.kvm_compat);
	fd = error ? error : kvm_fd_create_carrier("kvm-vm", 0);
	if (fd >= 0 && (error = kvm_fd_install(fd, &kvm->object))) {
		close(fd);
		fd = error;
	}
	kvm_object_put(&kvm->object);
	return fd;
}

/* ---------------------------------------------------------------- memory */

long kvm_ioctl_set_user_memory_region(struct kvm_call *c)
{
	struct kvm_userspace_memory_region2 mem = { 0 };

	memcpy(&mem, c->arg, sizeof(struct kvm_userspace_memory_region));
	if (mem.flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	return kvm_set_memory_region(c->kvm, &mem);
}

long kvm_ioctl_set_user_memory_region2(struct kvm_call *c) { return kvm_set_memory_region(c->kvm, c->arg); }
long kvm_ioctl_get_dirty_log(struct kvm_call *c) { return kvm_get_dirty_log(c->kvm, c->arg); }
long kvm_ioctl_clear_dirty_log(struct kvm_call *c) { return kvm_clear_dirty_log(c->kvm, c->arg); }

/* VMX keeps three pages there for real mode; this processor needs none, so the address is only checked and kept. */
long kvm_ioctl_set_tss_addr(struct kvm_call *c)
{
	if (c->value > (u32)(-3 * (s64)HW_PAGE_SIZE))
		return -EINVAL;
	c->kvm->tss_addr = c->value;
	return 0;
}

long kvm_ioctl_set_identity_map_addr(struct kvm_call *c)
{
	long result = 0;

	pthread_mutex_lock(&c->kvm->lock);
	if (kvm_vcpu_count(c->kvm))
		result = -EINVAL;
	else
		c->kvm->identity_map_addr = *(const u64 *)c->arg;
	pthread_mutex_unlock(&c->kvm->lock);
	return result;
}

#define MIN_MMU_PAGES 64
long kvm_ioctl_set_nr_mmu_pages(struct kvm_call *c) { return c->value < MIN_MMU_PAGES ? -EINVAL : 0; }
long kvm_ioctl_get_nr_mmu_pages(struct kvm_call *c) { return -EINVAL; }

/* ---------------------------------------------------------------- interrupts: handlers in irqchip.c and its companions */

static long locked(struct kvm *kvm, int (*fn)(struct kvm *kvm))
{
	long result;

	pthread_mutex_lock(&kvm->lock);
	result = fn(kvm);
	pthread_mutex_unlock(&kvm->lock);
	return result;
}

long kvm_ioctl_create_irqchip(struct kvm_call *c) { return locked(c->kvm, kvm_vm_ioctl_create_irqchip); }
long kvm_ioctl_irq_line(struct kvm_call *c) { return kvm_vm_ioctl_irq_line(c->kvm, c->arg); }
long kvm_ioctl_get_irqchip(struct kvm_call *c) { return kvm_vm_ioctl_get_irqchip(c->kvm, c->arg); }
long kvm_ioctl_set_irqchip(struct kvm_call *c) { return kvm_vm_ioctl_set_irqchip(c->kvm, c->arg); }
long kvm_ioctl_get_pit(struct kvm_call *c) { return kvm_vm_ioctl_get_pit(c->kvm, c->arg); }
long kvm_ioctl_set_pit(struct kvm_call *c) { return kvm_vm_ioctl_set_pit(c->kvm, c->arg); }
long kvm_ioctl_get_pit2(struct kvm_call *c) { return kvm_vm_ioctl_get_pit2(c->kvm, c->arg); }
long kvm_ioctl_set_pit2(struct kvm_call *c) { return kvm_vm_ioctl_set_pit2(c->kvm, c->arg); }
long kvm_ioctl_signal_msi(struct kvm_call *c) { return kvm_vm_ioctl_signal_msi(c->kvm, c->arg); }
long kvm_ioctl_irqfd(struct kvm_call *c) { return kvm_vm_ioctl_irqfd(c->kvm, c->arg); }
long kvm_ioctl_ioeventfd(struct kvm_call *c) { return kvm_vm_ioctl_ioeventfd(c->kvm, c->arg); }

long kvm_ioctl_create_pit2(struct kvm_call *c)
{
	long result;

	pthread_mutex_lock(&c->kvm->lock);
	result = kvm_vm_ioctl_create_pit2(c->kvm, c->arg);
	pthread_mutex_unlock(&c->kvm->lock);
	return result;
}

long kvm_ioctl_create_pit(struct kvm_call *c)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	c->arg = &config;
	return kvm_ioctl_create_pit2(c);
}

/* KVM_REINJECT_CONTROL says in its number that there is no argument; there is one. */
long kvm_ioctl_reinject_control(struct kvm_call *c)
{
	struct kvm_reinject_control control;

	if (hw_copy_from_host(&control, c->user, sizeof(control)))
		return -EFAULT;
	return kvm_vm_ioctl_reinject_control(c->kvm, &control);
}

long kvm_ioctl_set_boot_cpu_id(struct kvm_call *c)
{
	long result;

	pthread_mutex_lock(&c->kvm->lock);
	result = kvm_vm_set_boot_cpu_id(c->kvm, c->value);
	pthread_mutex_unlock(&c->kvm->lock);
	return result;
}

long kvm_ioctl_set_gsi_routing(struct kvm_call *c)
{
	struct kvm_irq_routing head;
	void *entries;
	long result;

	if (hw_copy_from_host(&head, c->user, sizeof(head)))
		return -EFAULT;
	if (head.nr > KVM_MAX_IRQ_ROUTES || head.flags)
		return -EINVAL;
	result = kvm_copy_array(c, sizeof(head), head.nr, sizeof(struct kvm_irq_routing_entry), &entries);
	if (result)
		return result;
	result = kvm_vm_ioctl_set_gsi_routing(c->kvm, head.nr, head.flags, entries);
	free(entries);
	return result;
}

/* ---------------------------------------------------------------- clock, devices */

long kvm_ioctl_get_clock(struct kvm_call *c) { return kvm_vm_ioctl_get_clock(c->kvm, c->arg); }
long kvm_ioctl_set_clock(struct kvm_call *c) { return kvm_vm_ioctl_set_clock(c->kvm, c->arg); }

long kvm_ioctl_vm_set_tsc_khz(struct kvm_call *c)
{
	long result;

	pthread_mutex_lock(&c->kvm->lock);
	result = kvm_vm_ioctl_set_tsc_khz(c->kvm, c->value);
	pthread_mutex_unlock(&c->kvm->lock);
	return result;
}

long kvm_ioctl_vm_get_tsc_khz(struct kvm_call *c) { return kvm_vm_ioctl_get_tsc_khz(c->kvm); }

long kvm_ioctl_memory_encrypt_op(struct kvm_call *c)
{
	return c->kvm->vendor->vm_command ? c->kvm->vendor->vm_command(c) : -ENOTTY;
}

/* VFIO and the like do not exist here. */
long kvm_ioctl_create_device(struct kvm_call *c) { return -ENODEV; }
