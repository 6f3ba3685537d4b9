// SPDX-License-Identifier: Apache-2.0
/*
 * The x86 side of kvm: what its files offer each other. Everything takes a vCPU and runs in its own thread, under
 * vcpu->mutex.
 *
 *   run.c     KVM_RUN: completions, requests, entry, exit
 *   vmx.c     svm.c       exits in the platform's format to the common handlers
 *   handle.c  the common handlers;  hypercall.c  VMCALL / VMMCALL;  emulate.c  MMIO and port I/O
 *   inject.c  exceptions; events that an exit cut short
 *   regs.c xstate.c events.c debug.c cpuid.c msr.c msr_filter.c   state as the API shows it
 */
#pragma once

#include "kvm/kvm.h"

/*
 * An exit handler's answer. 1: resume the guest; 0: vcpu->run holds an exit for user space; < 0: KVM_RUN fails with
 * that errno.
 */
#define KVM_RESUME_GUEST 1
#define KVM_EXIT_TO_USER 0

/* ---------------------------------------------------------------- run.c */

int kvm_arch_run(struct kvm_vcpu *vcpu);
/* Vendor's `enter` of guests whose state is kvm's: events to inject, the processor's run, its exit. */
int kvm_x86_enter(struct kvm_vcpu *vcpu);
/* What every entry has directly before and behind it, whoever enters: deadline, kick, trace. */
void kvm_begin_entry(struct kvm_vcpu *vcpu);
/*
 * A write is on its way to user space: the instruction ends here, as Linux's emulator writes registers back and moves RIP
 * before such an exit. Another access or fault of the same instruction waits until KVM_RUN is called again.
 */
void kvm_finish_write(struct kvm_vcpu *vcpu);
/* Long requests besides KVM_RUN: softcvm_interrupt() is for this vCPU until `begin` is false again. */
void kvm_vcpu_interruptible(struct kvm_vcpu *vcpu, bool begin);
bool kvm_vcpu_interrupted(struct kvm_vcpu *vcpu);
/* vmx.c, svm.c: trace the exit, pick up an event that it cut short, call the handler. */
int kvm_vmx_handle_exit(struct kvm_vcpu *vcpu);
int kvm_svm_handle_exit(struct kvm_vcpu *vcpu);
/* A halted or parked vCPU can go on. */
bool kvm_vcpu_runnable(struct kvm_vcpu *vcpu);

/* translate.c: false: not mapped, or kvm cannot read the tables. Outside the guest. */
bool kvm_translate(struct kvm_vcpu *vcpu, gva_t address, struct hw_translation *out);

/* ---------------------------------------------------------------- handle.c */

int kvm_handle_halt(struct kvm_vcpu *vcpu);
int kvm_handle_cpuid(struct kvm_vcpu *vcpu);
int kvm_handle_rdmsr(struct kvm_vcpu *vcpu);
int kvm_handle_wrmsr(struct kvm_vcpu *vcpu);
/*
 * An MSR for the guest, by whatever it asked. KVM_RESUME_GUEST: done, KVM_EXIT_TO_USER: user space does it and `completion` finds
 * its answer in run->msr, < 0: there is none that the guest may access so.
 */
int kvm_emulate_msr(struct kvm_vcpu *vcpu, bool write, u32 index, u64 *data, kvm_completion completion);
int kvm_handle_xsetbv(struct kvm_vcpu *vcpu);
int kvm_handle_triple_fault(struct kvm_vcpu *vcpu);
/* payload: the new DR6 bits of #DB, CR2 of #PF */
int kvm_handle_exception(struct kvm_vcpu *vcpu, u8 vector, bool has_error, u32 error, u64 payload);
int kvm_handle_nop(struct kvm_vcpu *vcpu); /* skip the instruction */
int kvm_handle_window(struct kvm_vcpu *vcpu);
int kvm_handle_mwait(struct kvm_vcpu *vcpu);
int kvm_handle_ud(struct kvm_vcpu *vcpu);
int kvm_handle_gp(struct kvm_vcpu *vcpu);
/* #UD: the guest's own, but for what Linux's instruction emulator serves (fix_hypercall.c). */
int kvm_handle_undefined(struct kvm_vcpu *vcpu);
int kvm_handle_stage2(struct kvm_vcpu *vcpu, gpa_t addr, u64 error_code);
int kvm_unexpected_exit(struct kvm_vcpu *vcpu, u64 reason);
int kvm_fail_entry(struct kvm_vcpu *vcpu, u64 reason);
/* No instruction emulator could do this access: api.rst KVM_EXIT_INTERNAL_ERROR. */
int kvm_emulation_failure(struct kvm_vcpu *vcpu);
bool kvm_emulator_knows(struct kvm_vcpu *vcpu, const u8 *insn, unsigned int size); /* emulable.c */
int kvm_delivery_failure(struct kvm_vcpu *vcpu);

/* ---------------------------------------------------------------- hypercall.c, emulate.c */

int kvm_handle_hypercall(struct kvm_vcpu *vcpu);
struct kvm_hypercall {
	u64 nr, a0, a1, a2, a3;
	bool long_mode;
	/* With the result, at once or when user space has given it. */
	int (*finish)(struct kvm_vcpu *vcpu, u64 result);
};
int kvm_emulate_hypercall(struct kvm_vcpu *vcpu, const struct kvm_hypercall *h);
int kvm_handle_io(struct kvm_vcpu *vcpu);
/* An access that is not memory, by whatever the guest asked for it: buses, then user space. `finish` gets the result (0 for a
 * write). An exit handler's answer. */
int kvm_emulate_mmio(struct kvm_vcpu *vcpu, const struct hw_access *a, void (*finish)(struct kvm_vcpu *vcpu, u64 data));
int kvm_emulate_pio(struct kvm_vcpu *vcpu, const struct hw_access *a, void (*finish)(struct kvm_vcpu *vcpu, u64 data));
/* The access in hw_exit.access. */
int kvm_handle_mmio(struct kvm_vcpu *vcpu);

/* ---------------------------------------------------------------- inject.c */

/* An event whose delivery the exit cut short, in the SDM's format (type 10:8, error 11, valid 31). */
void kvm_requeue_event(struct kvm_vcpu *vcpu, u32 info, u32 error, unsigned int insn_len);
/* Fills ctl.inject with what has priority over interrupts. */
void kvm_inject_prepare(struct kvm_vcpu *vcpu);
/* After the run: an event that is still in ctl.inject was not delivered and is kept; the others are over. */
void kvm_inject_finish(struct kvm_vcpu *vcpu);

/* ---------------------------------------------------------------- regs.c, xstate.c, events.c, debug.c */

void kvm_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs);
void kvm_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs);
void kvm_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs);
int kvm_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs);
void kvm_get_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events);
int kvm_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events);

#define KVM_GUESTDBG_VALID                                                                                      \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_USE_SW_BP |       \
	 KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_BLOCKIRQ)

/* #DB or #BP while user space debugs the guest: true if it is an exit for user space. */
bool kvm_debug_intercept(struct kvm_vcpu *vcpu, u8 vector, u64 payload);
/* User space keeps interrupts, NMIs and SMIs from the guest; what was already on its way into it is not kept back. */
bool kvm_debug_blocks_interrupts(const struct kvm_vcpu *vcpu);
/* Before each entry and after it: RFLAGS.TF and the debug registers as user space wants them. */
void kvm_debug_enter(struct kvm_vcpu *vcpu);
void kvm_debug_leave(struct kvm_vcpu *vcpu);

/* ---------------------------------------------------------------- msr.c, msr_filter.c */

/* 0; or KVM_MSR_INVALID (#GP), KVM_MSR_UNKNOWN (#GP, no such MSR). */
#define KVM_MSR_INVALID (-22)
#define KVM_MSR_UNKNOWN (-2)
#define KVM_MSR_COMMON	1 /* of the vendor: not special */
int kvm_read_msr(struct kvm_vcpu *vcpu, u32 msr, u64 *data, bool host);
int kvm_write_msr(struct kvm_vcpu *vcpu, u32 msr, u64 data, bool host);
int kvm_msr_create_vcpu(struct kvm_vcpu *vcpu);
void kvm_msr_destroy_vcpu(struct kvm_vcpu *vcpu);
void kvm_msr_reset(struct kvm_vcpu *vcpu, bool init);
void kvm_msr_count_smi(struct kvm_vcpu *vcpu); /* MSR_SMI_COUNT */
int kvm_msr_setup_mce(struct kvm_vcpu *vcpu, u64 mcg_cap);
#define KVM_MCE_CAP_SUPPORTED ((1ull << 8) | (1ull << 24)) /* MCG_CTL_P, MCG_SER_P */

bool kvm_msr_allowed(struct kvm_vcpu *vcpu, u32 msr, u32 type);
void kvm_msr_filter_destroy(struct kvm *kvm);
void kvm_msr_filter_apply(struct kvm_vcpu *vcpu); /* KVM_REQ_MSR_FILTER */
/* Those that the processor may serve without an exit (hw.h), by number: below KVM_PROCESSOR_MSRS. */
#define KVM_PROCESSOR_MSRS 16u
u32 kvm_processor_msr(unsigned int n);

/* ---------------------------------------------------------------- steal.c */

/* The host's scheduler says how long a thread waited. */
bool kvm_steal_supported(const struct hw_machine *machine);
int kvm_steal_write_msr(struct kvm_vcpu *vcpu, u64 data); /* 0 or KVM_MSR_INVALID */
/* Around what is time on a processor for the guest: each entry; a sleep, and KVM_RUN's return. */
void kvm_steal_enter(struct kvm_vcpu *vcpu);
void kvm_steal_leave(struct kvm_vcpu *vcpu);

/* ---------------------------------------------------------------- cpuid.c */

/* What KVM_GET_SUPPORTED_CPUID lists for the platform. */
void kvm_supported_cpuid(struct hw_machine *machine, u32 function, u32 index, struct hw_cpuid *out);
/* The CPUID exit's answer. */
void kvm_guest_cpuid(struct kvm_vcpu *vcpu, u32 function, u32 index, struct hw_cpuid *out);
void kvm_cpuid_destroy(struct kvm_vcpu *vcpu);
u64 kvm_supported_xcr0(struct hw_machine *machine);
u64 kvm_guest_xcr0(const struct kvm_vcpu *vcpu); /* of the guest's leaf 0xD */
u64 kvm_guest_cr4_reserved(const struct kvm_vcpu *vcpu);

/* ---------------------------------------------------------------- mode */

static inline bool kvm_in_long_mode(const struct kvm_vcpu *vcpu)
{
	const struct hw_arch *a = hw_cpu_arch(vcpu->cpu);

	return a->efer >> 10 & 1 && a->seg[HW_CS].attr >> 13 & 1;
}
static inline unsigned int kvm_cpl(const struct kvm_vcpu *vcpu)
{
	return hw_cpu_arch(vcpu->cpu)->seg[HW_SS].attr >> 5 & 3;
}
