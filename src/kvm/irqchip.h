// SPDX-License-Identifier: Apache-2.0
/*
 * Interrupts of a VM: what the rest of kvm calls.
 *
 * Each VM has one struct kvm_irq (kvm->irqchip: mode, routing, PIC, I/O APIC, PIT, irqfds), each vCPU one struct
 * kvm_lapic (vcpu->lapic: what waits for delivery, and the local APIC if it is in the kernel). Both exist whatever the
 * mode.
 *
 * Locks, in the order in which they nest:
 *   irqfds->lock  list of irqfds; never held while a GSI is set
 *   routing_lock  (reader/writer) the routing table; entries are copied out, nothing is delivered under it
 *   pit->lock     counters and reinjection state of the PIT
 *   ioapic->lock, pic->lock   pins and registers of the chip; the I/O APIC delivers to local APICs under its lock
 *   lapic->lock   timer of one local APIC
 * Delivery to a local APIC takes no lock: TMR bit, PIR bit, `on`, then notify or wake the vCPU. Acknowledge notifiers
 * are called with none of these locks held; eventfds are signalled without waiting. Everything said to be "own thread"
 * runs in the thread that holds the vCPU (KVM_RUN or another vCPU ioctl) while it is outside hw_cpu_run(); the rest may
 * be called from any thread.
 */
#pragma once

#include <stdbool.h>

#include "hw/hw.h"
#include "softcvm/kvm_abi.h"

struct kvm;
struct kvm_vcpu;
struct kvm_irq;
struct kvm_lapic;

enum kvm_irqchip_mode {
	KVM_IRQCHIP_NONE,   /* all interrupt controllers are in user space: KVM_INTERRUPT, KVM_NMI */
	KVM_IRQCHIP_KERNEL, /* PIC, I/O APIC and local APICs are here (KVM_CREATE_IRQCHIP) */
	KVM_IRQCHIP_SPLIT,  /* local APICs are here, PIC and I/O APIC in user space (KVM_CAP_SPLIT_IRQCHIP) */
};

/* ---------------------------------------------------------------- life */

/* At KVM_CREATE_VM, after kvm->machine, the buses and the timers (timer.h) exist. 0 or -ENOMEM. */
int kvm_irq_create_vm(struct kvm *kvm);
/* Two steps at the end of a VM: stop what runs by itself (irqfd poller; kvm_timers_stop() comes next), then free. */
void kvm_irq_stop_vm(struct kvm *kvm);
void kvm_irq_destroy_vm(struct kvm *kvm);

/* At KVM_CREATE_VCPU, after vcpu->kvm, vcpu_id, cpu (hw) and run exist; sets ctl.vapic and ctl.pi. 0 or -ENOMEM. */
int kvm_irq_create_vcpu(struct kvm_vcpu *vcpu);
void kvm_irq_destroy_vcpu(struct kvm_vcpu *vcpu);

enum kvm_irqchip_mode kvm_irqchip_mode(const struct kvm *kvm);
static inline bool kvm_lapic_in_kernel(const struct kvm *kvm)
{
	return kvm_irqchip_mode(kvm) != KVM_IRQCHIP_NONE;
}
static inline bool kvm_pic_in_kernel(const struct kvm *kvm)
{
	return kvm_irqchip_mode(kvm) == KVM_IRQCHIP_KERNEL;
}

/*
 * ---------------------------------------------------------------- ioctls of the VM: argument already copied in
 * Making a controller and the KVM_ENABLE_CAP functions: the caller holds kvm->lock (slots_lock is taken inside).
 */

int kvm_vm_ioctl_create_irqchip(struct kvm *kvm);
int kvm_vm_enable_split_irqchip(struct kvm *kvm, u64 pins); /* KVM_CAP_SPLIT_IRQCHIP args[0] */
int kvm_vm_enable_x2apic_api(struct kvm *kvm, u64 flags);   /* KVM_CAP_X2APIC_API args[0] */
int kvm_vm_enable_apic_bus_cycles(struct kvm *kvm, u64 ns); /* KVM_CAP_X86_APIC_BUS_CYCLES_NS args[0] */
int kvm_vm_set_boot_cpu_id(struct kvm *kvm, u64 id);	    /* KVM_SET_BOOT_CPU_ID, under kvm->lock */
u32 kvm_vm_boot_cpu_id(const struct kvm *kvm);
bool kvm_is_bsp(const struct kvm_vcpu *vcpu);
/* KVM_IRQ_LINE and KVM_IRQ_LINE_STATUS: `status` is written for both. */
int kvm_vm_ioctl_irq_line(struct kvm *kvm, struct kvm_irq_level *level);
int kvm_vm_ioctl_get_irqchip(struct kvm *kvm, struct kvm_irqchip *chip);
int kvm_vm_ioctl_set_irqchip(struct kvm *kvm, const struct kvm_irqchip *chip);
int kvm_vm_ioctl_create_pit2(struct kvm *kvm, const struct kvm_pit_config *config);
int kvm_vm_ioctl_get_pit(struct kvm *kvm, struct kvm_pit_state *state);
int kvm_vm_ioctl_set_pit(struct kvm *kvm, const struct kvm_pit_state *state);
int kvm_vm_ioctl_get_pit2(struct kvm *kvm, struct kvm_pit_state2 *state);
int kvm_vm_ioctl_set_pit2(struct kvm *kvm, const struct kvm_pit_state2 *state);
int kvm_vm_ioctl_reinject_control(struct kvm *kvm, const struct kvm_reinject_control *control);
/* > 0: delivered, 0: the guest blocked it, or -errno */
int kvm_vm_ioctl_signal_msi(struct kvm *kvm, const struct kvm_msi *msi);
int kvm_vm_ioctl_set_gsi_routing(struct kvm *kvm, u32 nr, u32 flags, const struct kvm_irq_routing_entry *entries);
int kvm_vm_ioctl_irqfd(struct kvm *kvm, const struct kvm_irqfd *args);
int kvm_vm_ioctl_ioeventfd(struct kvm *kvm, const struct kvm_ioeventfd *args);

/* ---------------------------------------------------------------- ioctls of a vCPU (own thread) */

int kvm_vcpu_ioctl_get_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *state);
int kvm_vcpu_ioctl_set_lapic(struct kvm_vcpu *vcpu, const struct kvm_lapic_state *state);
int kvm_vcpu_ioctl_interrupt(struct kvm_vcpu *vcpu, const struct kvm_interrupt *irq);
int kvm_vcpu_ioctl_nmi(struct kvm_vcpu *vcpu);
/* The interrupt, nmi and sipi_vector parts of struct kvm_vcpu_events, with flags; the exception and smi parts are the
 * caller's. */
void kvm_irq_get_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events);
int kvm_irq_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events);

/* ---------------------------------------------------------------- the run loop (own thread) */

/*
 * Before each entry, after exceptions and requeued events were put into ctl.inject: fills a free ctl.inject with a
 * pending NMI, KVM_INTERRUPT vector or the PIC's vector, or asks for a window; sets ctl.eoi_exit_bitmap and
 * ctl.x2apic_virt.
 */
void kvm_irq_prepare_entry(struct kvm_vcpu *vcpu);
/* The delivery of an event was cut short by an exit (IDT-vectoring information, EXITINTINFO): deliver it again first.
 * Exceptions are the caller's; this is for HW_EVENT_EXTINT and HW_EVENT_NMI. */
void kvm_irq_requeue(struct kvm_vcpu *vcpu, const struct hw_event *event);
/* An exit for user space is due (EOI of a split I/O APIC): fills vcpu->run and returns true. Ask before each entry. */
bool kvm_irq_user_exit(struct kvm_vcpu *vcpu);
/* Virtual EOI exit (VMX_EXIT_VIRT_EOI qualification, or the AVIC's EOI): the processor has already cleared the ISR bit.
 */
void kvm_lapic_eoi_exit(struct kvm_vcpu *vcpu, u8 vector);
/*
 * INIT and SIPI: returns false if the vCPU is not runnable afterwards. Calls kvm_vcpu_reset(vcpu, true) and changes
 * vcpu->mp_state.
 */
bool kvm_lapic_accept_events(struct kvm_vcpu *vcpu);
/* KVM_MP_STATE_SIPI_RECEIVED: the vector of the last SIPI starts the vCPU again. */
void kvm_lapic_repeat_sipi(struct kvm_vcpu *vcpu);
/* An INIT waits (for the end of SMM). */
bool kvm_lapic_init_pending(const struct kvm_vcpu *vcpu);
void kvm_lapic_set_init_pending(struct kvm_vcpu *vcpu, bool pending);

/* Something that ends a halt (NMI, interrupt that can be delivered, INIT, SIPI). Own thread. */
bool kvm_cpu_has_interrupt(struct kvm_vcpu *vcpu); /* whatever RFLAGS.IF says */
bool kvm_interrupt_allowed(struct kvm_vcpu *vcpu);
bool kvm_cpu_has_nmi(struct kvm_vcpu *vcpu);
/* Own thread: no NMI is pending any more; was there one? */
bool kvm_irq_take_nmi(struct kvm_vcpu *vcpu);
bool kvm_irq_has_events(struct kvm_vcpu *vcpu); /* INIT or SIPI */
/* User space may use KVM_INTERRUPT now (run->ready_for_interrupt_injection; KVM_EXIT_IRQ_WINDOW_OPEN). */
bool kvm_irq_ready_for_user_injection(struct kvm_vcpu *vcpu);
/* run->request_interrupt_window is set, user space provides the PIC, and the vCPU would take its interrupt. */
bool kvm_irq_user_wants_window(struct kvm_vcpu *vcpu);

/* Any thread: queue an NMI, and wake or kick the vCPU. */
void kvm_inject_nmi(struct kvm_vcpu *vcpu);

/* ---------------------------------------------------------------- interrupts to the VM (any thread) */

/*
 * Level of a source at a GSI. Sources: KVM_USERSPACE_IRQ_SOURCE, KVM_IRQFD_RESAMPLE_SOURCE, PIT. Returns how many vCPUs
 * got it, 0 if it was coalesced, -1 if it was ignored (masked, no route).
 */
enum { KVM_USERSPACE_IRQ_SOURCE, KVM_IRQFD_RESAMPLE_SOURCE, KVM_PIT_IRQ_SOURCE };
int kvm_set_irq(struct kvm *kvm, unsigned int source, u32 gsi, int level);
/* Address and data as a device writes them; devid is ignored on x86. Same result. */
int kvm_set_msi(struct kvm *kvm, u32 address_lo, u32 address_hi, u32 data);
