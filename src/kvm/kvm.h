// SPDX-License-Identifier: Apache-2.0
/*
 * kvm: the host kernel's KVM, in this process.
 *
 * struct kvm is a VM, struct kvm_vcpu one of its vCPUs. Both are reference counted through their struct kvm_object; a vCPU
 * holds its VM.
 *
 * Locks, outer to inner:
 *   vcpu->mutex      every ioctl of a vCPU; KVM_RUN holds it for as long as it runs
 *   kvm->lock        creation of vCPUs and interrupt controllers, what KVM_ENABLE_CAP sets
 *   kvm->slots_lock  changes of memslots, dirty logs, I/O bus registration
 *   slots->rwlock    readers of the memslot array (any guest memory access of ours, a fault from lookup to mapping);
 *                    written only to publish a new array
 *   gmem->lock       pages of one guest_memfd
 *   ownership->lock  who owns each page (pKVM)
 *   kvm->mmu.lock    stage-2 tables, invalidation range and sequence
 *   attributes.lock  the ranges of memory attributes
 * The interrupt controllers' locks (irqchip.h) are taken inside vcpu->mutex or none of these.
 * hw_vm_flush() may be called under slots_lock, never under mmu.lock or slots->rwlock.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "hw/hw.h"
#include "observe/observe.h"
#include "softcvm/kvm_abi.h"
#include "softcvm/softcvm.h"

#include "kvm/compat.h"
#include "kvm/dirty_ring.h"
#include "kvm/file.h"
#include "kvm/guest_memfd.h"
#include "kvm/iobus.h"
#include "kvm/memory_attributes.h"
#include "kvm/memslots.h"
#include "kvm/mmu/mmu.h"
#include "kvm/stats.h"
#include "kvm/mmu/ownership.h"
#include "kvm/vendor/vendor.h"

#define KVM_MAX_VCPUS	  1024u
#define KVM_MAX_VCPU_IDS  4096u
#define KVM_VCPU_MMAP_PAGES 3u

struct kvm_clock;
struct kvm_irq; /* irqchip.c */
struct kvm_lapic;
struct kvm_msr_filter_set;
struct kvm_timers;
struct kvm_vcpu_clock;

/* What a descriptor of softcvm_open() stands for. */
struct kvm_system {
	struct kvm_object object;
	struct softcvm_config config;
	struct hw_machine *machine; /* answers CPUID; each VM has one of its own, so that its time begins at 0 */
};

/* What KVM_ENABLE_CAP switches; written under kvm->lock, read relaxed. */
struct kvm_caps {
	u32 user_space_msr;	/* KVM_MSR_EXIT_REASON_* */
	u32 exit_hypercall;	/* bit n: hypercall n exits */
	u32 disabled_exits;	/* KVM_X86_DISABLE_EXITS_* */
	u32 disabled_quirks;	/* KVM_X86_QUIRK_* */
	u32 max_vcpu_id;
	u32 manual_dirty_log;	/* KVM_DIRTY_LOG_* */
	bool exception_payload;
	bool triple_fault_event;
	bool exit_on_emulation_failure;
	bool no_platform_info;
};

/* What must not happen but does no harm: reported once a VM, as WARN_ON_ONCE() does. */
enum kvm_warning {
	KVM_WARN_SYNTHETIC_BITS,    /* hardware sent bits of an error code that only kvm may set */
	KVM_WARN_STRAY_ENCRYPTION,  /* hardware claims encryption for a VM type without it */
	KVM_WARN_UNACCEPTED, /* a TD touched memory that it has not accepted, and cannot be told */
	KVM_WARN_PRIVATE_MMIO_ENTRY, /* a private access met a cached MMIO entry */
};

struct kvm {
	struct kvm_object object;
	struct kvm_system *system;
	struct hw_machine *machine;
	struct hw_vm *hw;
	struct observer *obs;
	unsigned int type;	/* KVM_X86_*_VM */
	const struct kvm_vendor *vendor;
	const struct kvm_compat *compat;
	unsigned int max_vcpus;
	u64 gpa_alias;		/* a bit of the guest-physical address that is no part of it; 0: none */
	bool pre_fault_allowed;	/* KVM_PRE_FAULT_MEMORY; becomes true when a measured launch is complete */
	_Atomic u32 warned;	/* bit n: enum kvm_warning was reported */
	_Atomic bool dead;	/* a fault inside kvm: every further ioctl answers EIO */

	pthread_mutex_t lock, slots_lock;
	struct kvm_vcpu *vcpu[KVM_MAX_VCPUS]; /* in order of creation, filled before vcpu_count grows */
	_Atomic unsigned int vcpu_count;

	u32 dirty_ring_size;	/* bytes of each vCPU's dirty ring, set once under kvm->lock before there is a vCPU; 0: bitmaps */
	struct kvm_slots slots;
	struct kvm_attributes attributes;
	struct kvm_mmu mmu;
	struct kvm_ownership *ownership; /* NULL but for VMs that share memory in place */
	struct kvm_io_bus mmio_bus, pio_bus;
	struct kvm_coalesced *coalesced;
	struct kvm_tdx *tdx;	/* vendor/tdx.h */

	struct kvm_irq *irqchip;      /* irqchip.c */
	struct kvm_timers *timers;    /* timer.c */
	struct kvm_clock *clock;      /* x86/clock.c: KVM_GET_CLOCK, wall clock */

	struct kvm_caps caps;
	struct kvm_msr_filter_set *msr_filter; /* x86/msr_filter.c; NULL: everything allowed */
	pthread_rwlock_t msr_filter_lock;
	u64 tss_addr, identity_map_addr;
};

/* A vCPU's own work, done before it next enters the guest: kvm_make_request(). */
enum kvm_request {
	KVM_REQ_EVENT,	      /* look at the interrupt controllers again */
	KVM_REQ_CLOCK_UPDATE, /* rewrite the kvmclock page (clock.c) */
	KVM_REQ_TRIPLE_FAULT,
	KVM_REQ_UNHALT,	      /* KVM_HC_KICK_CPU */
	KVM_REQ_APIC,	      /* IRQ's: local APIC state changed by another thread */
	KVM_REQ_MSR_FILTER,
	KVM_REQ_SMI,
	KVM_REQ_DIRTY_RING_SOFT_FULL,
	KVM_REQ_COUNT,
};

/* An exception waits for delivery: queued by kvm (pending), or cut short by an exit (injected). */
struct kvm_exception {
	bool pending, injected;
	bool has_error, has_payload;
	bool software; /* INT3, INTO, INT1 */
	u8 vector, insn_len;
	u32 error;
	u64 payload; /* CR2 of #PF, DR6 bits of #DB, until it is delivered */
};

/* What KVM_RUN does first when user space has answered an exit. 1: go on, 0: another exit is in `run`, <0: errno. */
typedef int (*kvm_completion)(struct kvm_vcpu *vcpu);

struct kvm_vcpu {
	struct kvm_object object;
	struct kvm *kvm;
	unsigned int vcpu_id; /* the initial APIC id */
	unsigned int index;   /* place in kvm->vcpu */
	struct hw_cpu *cpu;
	struct kvm_run *run;  /* KVM_VCPU_MMAP_PAGES pages: run, port I/O data, coalesced ring */
	struct kvm_dirty_ring *dirty_ring; /* NULL: the VM has none */
	pthread_mutex_t mutex;

	/* any thread */
	_Atomic u64 requests;	     /* bit n: enum kvm_request */
	_Atomic u32 wake;	     /* futex: changes whenever a sleeping vCPU shall look again */
	_Atomic bool sleeping;
	_Atomic bool interrupted;    /* softcvm_interrupt() in the thread inside KVM_RUN */

	/* own thread */
	u32 mp_state;		     /* KVM_MP_STATE_*; also read by others, __atomic */
	kvm_completion completion;
	u64 waiting_rip;	     /* kvm_finish_write(): where the exit was that waits */
	int (*hypercall_finish)(struct kvm_vcpu *vcpu, u64 result); /* of the hypercall that user space is answering */
	struct hw_access access;     /* that is being made outside the processor, and what is done with its result */
	void (*access_finish)(struct kvm_vcpu *vcpu, u64 data);
	struct hw_event reinject;    /* software interrupt cut short by an exit */
	bool vectoring;		     /* the last exit cut the delivery of an event short */
	bool pv_unhalted;	     /* KVM_HC_KICK_CPU ended a halt that is still to come */
	struct kvm_exception exception;
	bool tpr_access_reporting;
	bool enforce_pv_features;    /* KVM MSRs of features that the guest's CPUID lacks are refused */
	u64 vapic_addr;

	struct kvm_lapic *lapic;     /* x86/lapic.c */
	struct kvm_vcpu_clock *clock; /* x86/clock.c */
	struct kvm_vcpu_msrs *msrs;  /* x86/msr.c */
	struct kvm_tdx_vcpu *tdx;    /* vendor/tdx.h */
	struct hw_msr_bitmap msr_bitmap; /* x86/msr_filter.c: ctl.msr_bitmap while there is a filter */
	struct kvm_smm {	     /* x86/smm.c */
		bool on, pending, inside_nmi;
		u32 base;
	} smm;
	struct kvm_vcpu_stats stats;
	struct kvm_steal {	     /* x86/steal.c */
		u64 msr;
		u64 delay;	     /* what the thread had waited when it was last looked at; ns */
		u64 looked_at, switches;
		const char *thread;  /* which one */
		bool delay_known, preempted;
	} steal;

	struct kvm_cpuid_entry2 *cpuid; /* x86/cpuid.c */
	unsigned int cpuid_count;
	bool has_run;
	bool debug_attached;	     /* to config.debug */

	struct kvm_guest_debug guest_debug;
	struct kvm_debug_save {	     /* the guest's own, while user space debugs it */
		bool tf;
		u64 dr[4], dr6, dr7;
	} debug_save;
	bool has_signal_mask;
	u64 signal_mask;
	u64 mmio_gpa, mmio_generation; /* last gpa without a slot */
};

/* vm.c: reports it the first time. */
void kvm_warn_once(struct kvm *kvm, enum kvm_warning warning, u64 detail);

/* ---------------------------------------------------------------- vCPUs (vcpu.c) */

static inline unsigned int kvm_vcpu_count(const struct kvm *kvm)
{
	return atomic_load_explicit(&kvm->vcpu_count, memory_order_acquire);
}

#define kvm_for_each_vcpu(i, v, kvm) \
	for ((i) = 0; (i) < kvm_vcpu_count(kvm) && ((v) = (kvm)->vcpu[i], true); (i)++)

/* The vCPU whose request the thread is serving, if it is one of this VM: what it writes is logged in its dirty ring. */
struct kvm_vcpu *kvm_loaded_vcpu(const struct kvm *kvm);
/* NULL: none any more. */
void kvm_vcpu_load(struct kvm_vcpu *vcpu);

struct kvm_vcpu *kvm_vcpu_by_id(struct kvm *kvm, unsigned int vcpu_id);

/* Any thread: sets the request; the vCPU sees it before it next enters the guest. Does not kick. */
void kvm_make_request(struct kvm_vcpu *vcpu, enum kvm_request request);
/* Own thread: test and clear. */
bool kvm_check_request(struct kvm_vcpu *vcpu, enum kvm_request request);
/* Any thread: the vCPU leaves the guest or its sleep soon and looks for work. */
void kvm_vcpu_kick(struct kvm_vcpu *vcpu);
/* Any thread: ends its sleep only (the processor sees posted interrupts by itself while it runs). */
void kvm_vcpu_wake(struct kvm_vcpu *vcpu);

/* RESET, or INIT when `init`: processor, MSRs and mp_state stay the caller's business. Own thread. */
void kvm_vcpu_reset(struct kvm_vcpu *vcpu, bool init);

/* ---------------------------------------------------------------- exceptions (x86/inject.c), own thread */

void kvm_queue_exception(struct kvm_vcpu *vcpu, u8 vector);
void kvm_queue_exception_error(struct kvm_vcpu *vcpu, u8 vector, u32 error);
static inline void kvm_inject_gp(struct kvm_vcpu *vcpu) { kvm_queue_exception_error(vcpu, 13, 0); }
static inline void kvm_inject_ud(struct kvm_vcpu *vcpu) { kvm_queue_exception(vcpu, 6); }

/* ---------------------------------------------------------------- the guest's CPUID (x86/cpuid.c) */

/* NULL: not there. */
const struct kvm_cpuid_entry2 *kvm_find_cpuid(const struct kvm_vcpu *vcpu, u32 function, u32 index);
/* One of KVM_FEATURE_*, as the guest was told. */
bool kvm_guest_has_feature(const struct kvm_vcpu *vcpu, unsigned int feature);
/* x2APIC, TSC deadline: CPUID.1:ECX bits of the guest. */
bool kvm_guest_has_x2apic(const struct kvm_vcpu *vcpu);
bool kvm_guest_has_tsc_deadline(const struct kvm_vcpu *vcpu);
bool kvm_guest_has_mwait(const struct kvm_vcpu *vcpu);
unsigned int kvm_guest_phys_bits(const struct kvm_vcpu *vcpu);

/* Where the vCPU's memory is: SMM has an address space of its own. */
static inline unsigned int kvm_vcpu_as(const struct kvm_vcpu *vcpu) { return vcpu->smm.on ? 1 : 0; }
static inline struct stage2 *kvm_vcpu_stage2(struct kvm_vcpu *vcpu)
{
	return vcpu->smm.on ? &vcpu->kvm->mmu.smm : &vcpu->kvm->mmu.s2;
}

static inline bool kvm_is_intel(const struct kvm *kvm)
{
	return hw_machine_config(kvm->machine)->platform == HW_PLATFORM_INTEL;
}
static inline bool kvm_icount(const struct kvm *kvm) { return hw_machine_config(kvm->machine)->icount; }
