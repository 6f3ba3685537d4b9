// SPDX-License-Identifier: Apache-2.0
/*
 * The debug port: vCPU state for a debugger or a profiler, without any ioctl (a TD's registers cannot be read through KVM).
 *
 * One port per VM. vCPUs register themselves when they are made. A vCPU "parks" inside hw_cpu_run() at a block end; one that is
 * outside (halted, in the VMM) parks as soon as it comes in, and counts as stopped meanwhile.
 *
 * Concurrency: every function may be called by any one debugger thread; the port's lock is a leaf and protects the list of vCPUs,
 * the breakpoints and the stop state. The state of a stopped vCPU (debug_arch, memory) may be read and written until
 * debug_resume(). A vCPU that is outside hw_cpu_run() is being handled by kvm: what is read of it then is what kvm last saw.
 */
#pragma once

#include "hw/hw.h"

#define DEBUG_MAX_CPUS	      64
#define DEBUG_MAX_BREAKPOINTS 64

struct debug_port;

enum debug_stop_reason { DEBUG_STOP_NONE, DEBUG_STOP_REQUEST, DEBUG_STOP_BREAKPOINT, DEBUG_STOP_STEP };

int debug_port_create(struct debug_port **out);
void debug_port_destroy(struct debug_port *port); /* after the VM */

/* ---- the debugger's side */

/* vCPUs that exist; index 0..n-1. */
unsigned int debug_cpu_count(struct debug_port *port);
/* Ask every vCPU to park, and wait until none executes guest code. The very first vCPU parks before its first instruction
 * when this is called before it runs. */
void debug_stop(struct debug_port *port);
/* Everything runs again; with step >= 0 only that vCPU, for one instruction. */
void debug_resume(struct debug_port *port, int step);
/* Waits for a stop (breakpoint, finished step) or for `cancel_fd` to become readable. The vCPU's index and the reason, or
 * -ECANCELED. Everything is parked when it returns an index. */
int debug_wait(struct debug_port *port, int cancel_fd, enum debug_stop_reason *reason);
/* 0, -ENOSPC, or -ENOENT for removing one that is not there. Takes effect at once on stopped vCPUs. */
int debug_set_breakpoint(struct debug_port *port, u64 gva, bool set);

struct hw_arch *debug_arch(struct debug_port *port, unsigned int cpu);
/* After writing through debug_arch(). */
void debug_arch_changed(struct debug_port *port, unsigned int cpu);
/* By virtual address, with the vCPU's paging and no permission check. Bytes done, which may be fewer. */
size_t debug_read_memory(struct debug_port *port, unsigned int cpu, u64 gva, void *buf, size_t size);
size_t debug_write_memory(struct debug_port *port, unsigned int cpu, u64 gva, const void *buf, size_t size);

/* ---- the processor's side (run.c) */

int debug_attach_cpu(struct debug_port *port, struct hw_cpu *cpu);
void debug_detach_cpu(struct debug_port *port, struct hw_cpu *cpu);
/* Without breakpoints blocks follow each other as if there were no debugger. Lock-free. */
bool debug_has_breakpoints(const struct debug_port *port);
/* Is there a breakpoint at this address? Lock-free; called for blocks that begin at a page offset of debug_offsets(). */
bool debug_breakpoint_at(const struct debug_port *port, u64 gva);
/* Could an instruction at this address of a page be one? Lock-free; at block build. */
bool debug_offset_has_breakpoint(const struct debug_port *port, unsigned int page_offset);
/* REQ_STOP was seen, or a breakpoint or step was reached: waits until the debugger resumes. arch is complete. */
void debug_park(struct debug_port *port, struct hw_cpu *cpu, enum debug_stop_reason reason);
/* Should this vCPU execute just one instruction? */
bool debug_stepping(const struct debug_port *port, const struct hw_cpu *cpu);
