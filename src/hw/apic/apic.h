// SPDX-License-Identifier: Apache-2.0
/*
 * The processor's virtual APIC: the virtual-APIC page and the posted-interrupt descriptor of hw_ctl (SDM 3C ch. 29; on
 * the amd platform the same mechanism stands for AVIC). TPR, PPR, EOI, IRR, ISR and self-IPI are the processor's
 * business; kvm emulates the rest of the local APIC on the same page.
 *
 * All functions are called by the thread in hw_cpu_run() (or by the vCPU's own thread outside it). kvm writes IRR
 * through the posted-interrupt descriptor, or the page itself while the vCPU is outside hw_cpu_run().
 *
 * Everything here works with ctl.vapic == NULL: then nothing is ever pending, and CR8 is only arch.cr8.
 */
#pragma once

#include "hw/cpu/cpu.h"

/* Merges posted interrupts into vIRR and evaluates (SDM 3C 29.2.1): is there a vector above PPR? */
bool vapic_pending(struct hw_cpu *c, u8 *vector);

/* Virtual-interrupt delivery (SDM 3C 29.2.2): the vector moves from vIRR to vISR. Call when it is certain to be
 * delivered. */
void vapic_accept(struct hw_cpu *c, u8 vector);

/*
 * RDMSR and WRMSR of 0x800..0x8ff. EXEC_OK: done. EXEC_FAULT: #GP(0) is recorded. EXEC_EXIT: not the processor's
 * business (no x2apic_virt, or another register): nothing is done and cpu->exit is *not* filled; call cpu_exit_msr().
 * After EXEC_OK of a write, return EXEC_END: an interrupt may have become deliverable (REQ_EVENT is set).
 */
int vapic_rdmsr(struct hw_cpu *c, u32 msr, u64 *value);
int vapic_wrmsr(struct hw_cpu *c, u32 msr, u64 value);

/*
 * MOV CR8: the value is the priority class 0..15, reserved bits checked by the caller. With a virtual APIC, TPR 7:4.
 * After a write return EXEC_END, as for WRMSR.
 */
u64 vapic_get_cr8(const struct hw_cpu *c);
void vapic_set_cr8(struct hw_cpu *c, u64 value);

/*
 * An EOI of a vector in ctl.eoi_exit_bitmap exits after the instruction is complete (trap-like, SDM 3C 29.1.4). The
 * write sets REQ_EVENT; cpu_check_events() calls this first of all: EXEC_OK, or EXEC_EXIT with the exit filled.
 */
int vapic_check_exit(struct hw_cpu *c);
