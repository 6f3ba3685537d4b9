// SPDX-License-Identifier: Apache-2.0
/* One vCPU's local APIC and what waits for its delivery, as lapic*.c and irq_entry.c see it. Nobody else includes this.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "kvm/irq_state.h"
#include "kvm/kvm.h"
#include "kvm/x86/lapic.h"

/* Offsets of registers in the page, SDM 3A Table 11-1. */
enum {
	APIC_ID = 0x20,
	APIC_LVR = 0x30,
	APIC_TPR = 0x80,
	APIC_APR = 0x90,
	APIC_PPR = 0xa0,
	APIC_EOI = 0xb0,
	APIC_RRR = 0xc0,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ISR = 0x100,
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_LVTCMCI = 0x2f0,
	APIC_ICR = 0x300,
	APIC_ICR2 = 0x310,
	APIC_LVTT = 0x320,
	APIC_LVTTHMR = 0x330,
	APIC_LVTPC = 0x340,
	APIC_LVT0 = 0x350,
	APIC_LVT1 = 0x360,
	APIC_LVTERR = 0x370,
	APIC_TMICT = 0x380,
	APIC_TMCCT = 0x390,
	APIC_TDCR = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};

#define LVT_MASKED	 (1u << 16)
#define LVT_MODE(lvt)	 ((lvt) >> 8 & 7)
#define LVTT_MODE_MASK	 (3u << 17)
#define LVTT_ONESHOT	 (0u << 17)
#define LVTT_PERIODIC	 (1u << 17)
#define LVTT_TSCDEADLINE (2u << 17)
#define SVR_ENABLED	 (1u << 8)
#define SVR_DIRECTED_EOI (1u << 12)
#define LVR_DIRECTED_EOI (1u << 24)
#define ESR_SEND_ILLEGAL (1u << 5)
#define ESR_RECV_ILLEGAL (1u << 6)

struct kvm_lapic {
	struct kvm_vcpu *vcpu;
	u8 *page;	       /* ctl.vapic; also there, unused, without a local APIC in the kernel */
	struct hw_pi_desc *pi; /* ctl.pi */

	/* any thread */
	_Atomic u64 base;	    /* IA32_APIC_BASE; written by the own thread */
	_Atomic u32 nmi_pending;    /* at most 2: one in service, one behind it */
	_Atomic u32 pending_events; /* LAPIC_EVENT_* */
	_Atomic u8 sipi_vector;
	_Atomic bool scan_ioapic; /* ctl.eoi_exit_bitmap is stale */
	_Atomic u32 error;	  /* ESR bits collected since the last write of ESR */
	_Atomic u32 lowest_taken; /* lowest-priority interrupts taken, for arbitration */

	/* own thread */
	bool irq_injected; /* KVM_INTERRUPT without a local APIC, or a delivery that was cut short */
	u8 irq_vector;
	bool nmi_injected;   /* delivery was cut short */
	int external_vector; /* KVM_INTERRUPT with the local APIC in the kernel; -1: none */
	int user_eoi;	     /* vector whose EOI user space's I/O APIC must see; -1: none */

	/* lock */
	pthread_mutex_t lock;
	struct kvm_timer timer;
	bool armed;
	u64 target;	  /* machine time of the next expiry */
	u64 period;	  /* of a periodic timer, else 0 */
	u64 tsc_deadline; /* guest TSC; 0: disarmed */
};

enum { LAPIC_EVENT_INIT = 1, LAPIC_EVENT_SIPI = 2 };

static inline u32 *lapic_word(const struct kvm_lapic *apic, unsigned int offset)
{
	return (u32 *)(apic->page + offset);
}
static inline u32 lapic_get(const struct kvm_lapic *apic, unsigned int offset)
{
	return __atomic_load_n(lapic_word(apic, offset), __ATOMIC_RELAXED);
}
static inline void lapic_set(struct kvm_lapic *apic, unsigned int offset, u32 value)
{
	__atomic_store_n(lapic_word(apic, offset), value, __ATOMIC_RELAXED);
}

/* IRR, ISR and TMR: eight words, 16 bytes apart. */
static inline u32 *lapic_vector_word(const struct kvm_lapic *apic, unsigned int array, u8 vector)
{
	return lapic_word(apic, array + vector / 32 * 16);
}
static inline bool lapic_test_vector(const struct kvm_lapic *apic, unsigned int array, u8 vector)
{
	return __atomic_load_n(lapic_vector_word(apic, array, vector), __ATOMIC_RELAXED) >> vector % 32 & 1;
}
static inline void lapic_set_vector(struct kvm_lapic *apic, unsigned int array, u8 vector)
{
	__atomic_fetch_or(lapic_vector_word(apic, array, vector), 1u << vector % 32, __ATOMIC_RELAXED);
}
static inline void lapic_clear_vector(struct kvm_lapic *apic, unsigned int array, u8 vector)
{
	__atomic_fetch_and(lapic_vector_word(apic, array, vector), ~(1u << vector % 32), __ATOMIC_RELAXED);
}

static inline u64 lapic_base(const struct kvm_lapic *apic)
{
	return atomic_load_explicit(&apic->base, memory_order_relaxed);
}
static inline bool lapic_hw_enabled(const struct kvm_lapic *apic)
{
	return lapic_base(apic) & APICBASE_ENABLE;
}
static inline bool lapic_x2apic(const struct kvm_lapic *apic)
{
	return (lapic_base(apic) & (APICBASE_ENABLE | APICBASE_X2APIC)) == (APICBASE_ENABLE | APICBASE_X2APIC);
}
static inline bool lapic_sw_enabled(const struct kvm_lapic *apic)
{
	return lapic_get(apic, APIC_SVR) & SVR_ENABLED;
}
static inline bool lapic_enabled(const struct kvm_lapic *apic)
{
	return lapic_hw_enabled(apic) && lapic_sw_enabled(apic);
}
/* The APIC ID as the mode has it. */
static inline u32 lapic_id(const struct kvm_lapic *apic)
{
	return lapic_x2apic(apic) ? lapic_get(apic, APIC_ID) : lapic_get(apic, APIC_ID) >> 24;
}

/* ---------------------------------------------------------------- lapic_delivery.c */

/* A vector reaches the vCPU (any thread). */
void lapic_accept_vector(struct kvm_lapic *apic, u8 vector, bool level_trigger);
/* A local interrupt source fires: the LVT entry says what happens. */
void lapic_local_deliver(struct kvm_lapic *apic, unsigned int lvt_offset);
void lapic_error(struct kvm_lapic *apic, u32 esr_bits);
void lapic_send_ipi(struct kvm_lapic *apic, u32 icr_low, u32 icr_high);

/* ---------------------------------------------------------------- lapic_eoi.c (own thread) */

/* EOI written where the processor does not see it (MMIO). */
void lapic_write_eoi(struct kvm_lapic *apic);
void lapic_update_ppr(struct kvm_lapic *apic);
/* ctl.eoi_exit_bitmap from the I/O APIC or the routing. */
void lapic_scan_ioapic(struct kvm_lapic *apic);

/* ---------------------------------------------------------------- lapic_timer.c (own thread) */

int lapic_timer_create(struct kvm_lapic *apic);
void lapic_timer_destroy(struct kvm_lapic *apic);
void lapic_timer_stop(struct kvm_lapic *apic);
void lapic_timer_write_lvtt(struct kvm_lapic *apic, u32 lvtt);
void lapic_timer_write_initial(struct kvm_lapic *apic, u32 count);
void lapic_timer_write_divide(struct kvm_lapic *apic, u32 divide);
u32 lapic_timer_current(struct kvm_lapic *apic);
/* KVM_SET_LAPIC: go on from a current count. */
void lapic_timer_restore(struct kvm_lapic *apic, u32 current);
void lapic_timer_write_deadline(struct kvm_lapic *apic, u64 tsc);
u64 lapic_timer_read_deadline(struct kvm_lapic *apic);
