// SPDX-License-Identifier: Apache-2.0
/*
 * hw: the processor and its security hardware, as kvm sees them.
 *
 * hw_machine: one platform (vendor, address width). hw_vm: what belongs together for TLB shootdown: the
 * vCPUs of one guest. hw_cpu: one logical processor; hw_cpu_run() is VMRESUME / VMRUN.
 *
 * Concurrency. hw_cpu_run() is called by one host thread at a time for each hw_cpu. `arch`, `ctl` and
 * `exit` belong to that thread, and may be touched only while the vCPU is outside hw_cpu_run().
 * Everything marked "any thread" may be called at any time. Locks inside hw are leaves: hw never calls
 * back into kvm.
 *
 * Errors: negative errno. What a guest does never makes a function here fail; it makes an exit.
 */
#pragma once

#include <stddef.h>

#include "hw/addr.h"
#include "hw/stage2.h"
#include "observe/observe.h"

struct hw_machine;
struct hw_vm;

/* ---------------------------------------------------------------- the platform */

enum hw_platform { HW_PLATFORM_INTEL, HW_PLATFORM_AMD };

struct hw_machine_config {
	enum hw_platform platform;
	unsigned int phys_bits;	  /* MAXPHYADDR of the processor: 36..52; 0: the platform's default (46 / 48) */
	bool icount;		  /* virtual time: the TSC is the instruction count */
	u64 rdrand_seed;	  /* under icount RDRAND/RDSEED are a function of this; else getrandom */
	struct observer *obs;	  /* may be NULL; outlives the machine */
};

int hw_machine_create(const struct hw_machine_config *config, struct hw_machine **out);
void hw_machine_destroy(struct hw_machine *m);
/* Guest SIMD instructions run on the host's own: false and the first extension that the host lacks and hw has no portable
 * form of. hw_machine_create() is -ENOSYS then. */
bool simd_host_ok(const char **missing);
const struct hw_machine_config *hw_machine_config(const struct hw_machine *m);

/*
 * The processor's own CPUID (SDM 2A CPUID, APM3 App. E): exactly what is implemented. kvm's
 * KVM_GET_SUPPORTED_CPUID starts from this; a guest sees what kvm then answers on the CPUID exit.
 * Leaves that depend on the running vCPU (APIC id, OSXSAVE) are given as for a reset vCPU 0.
 */
struct hw_cpuid { u32 eax, ebx, ecx, edx; };
void hw_cpuid(const struct hw_machine *m, u32 leaf, u32 subleaf, struct hw_cpuid *out);
/* Highest leaf that is defined in the range (0, 0x80000000). */
u32 hw_cpuid_max(const struct hw_machine *m, u32 range);

/* Host TSC: a fixed rate of 1 GHz, nanoseconds of CLOCK_MONOTONIC since the machine was made; under icount
 * the instruction count of the vCPU. ctl.tsc_* apply on top for the guest. Any thread. */
#define HW_TSC_KHZ 1000000u
u64 hw_machine_tsc(const struct hw_machine *m);
/* What RDTSC outside of guests, one for all machines of the process, was ahead by: CLOCK_MONOTONIC when the machine was made. icount: 0. */
u64 hw_machine_tsc_base(const struct hw_machine *m);
/* icount only: virtual time jumps forward (a halted vCPU waits for a timer). */
void hw_machine_advance_tsc(struct hw_machine *m, u64 to);

/* ---------------------------------------------------------------- architectural state */

enum hw_gpr {
	HW_RAX, HW_RCX, HW_RDX, HW_RBX, HW_RSP, HW_RBP, HW_RSI, HW_RDI,
	HW_R8, HW_R9, HW_R10, HW_R11, HW_R12, HW_R13, HW_R14, HW_R15,
};
enum hw_sreg { HW_ES, HW_CS, HW_SS, HW_DS, HW_FS, HW_GS, HW_LDTR, HW_TR, HW_SREG_COUNT };

struct hw_segment {
	u64 base;
	u32 limit; /* in bytes, after the granularity is applied */
	u32 attr;  /* VMX access rights, SDM 3C 24.4.1: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16 */
	u16 selector;
};

struct hw_table { u64 base; u16 limit; };

/* XSAVE area, standard form (SDM 1 13.4): legacy 512, header 64, then components at their CPUID 0xD offsets. */
#define HW_XSAVE_SIZE 1088 /* x87, SSE, header, AVX at 576..831; rest reserved for growth */
struct hw_xsave { u8 b[HW_XSAVE_SIZE]; } __attribute__((aligned(64)));

enum hw_activity { HW_ACTIVE, HW_HALTED, HW_SHUTDOWN, HW_WAIT_FOR_SIPI };

#define HW_BLOCK_STI	1u /* interruptibility, SDM 3C 24.4.2 */
#define HW_BLOCK_MOV_SS 2u
#define HW_BLOCK_NMI	8u

/* Complete and exact whenever the vCPU is outside hw_cpu_run(). */
struct hw_arch {
	u64 gpr[16];
	u64 rip;
	u64 rflags;
	struct hw_segment seg[HW_SREG_COUNT];
	struct hw_table gdtr, idtr;
	u64 cr0, cr2, cr3, cr4, cr8;
	u64 efer, xcr0, xss;
	u64 dr[4], dr6, dr7;
	u64 pdptr[4]; /* PAE: loaded at MOV CR3, SDM 3A 4.4.1 */
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_eip, sysenter_esp;
	u64 pat, tsc_aux, debugctl, misc_enable_fs; /* misc_enable_fs: fast strings, MSR 0x1a0 bit 0 */
	u32 interruptibility; /* HW_BLOCK_* */
	u32 activity;	      /* enum hw_activity, SDM 3C 24.4.2 */
	struct hw_xsave xsave;
};

/* ---------------------------------------------------------------- the processor's APIC (APIC virtualisation) */

/* Posted-interrupt descriptor (SDM 3C 29.6): others set PIR bits and `on`, the processor merges them. Any thread. */
struct hw_pi_desc {
	u64 pir[4];
	u32 on;
} __attribute__((aligned(64)));

/* ---------------------------------------------------------------- controls: what a VMCS or VMCB holds */

/* Event injection, SDM 3C 24.8.3 / APM2 15.20: one event delivered through the IDT at the next entry. */
enum hw_event_type { HW_EVENT_EXTINT = 0, HW_EVENT_NMI = 2, HW_EVENT_EXCEPTION = 3, HW_EVENT_SOFTINT = 4, HW_EVENT_SOFTEXC = 6 };
struct hw_event {
	bool valid;
	u8 type; /* enum hw_event_type */
	u8 vector;
	u8 insn_len; /* software events: added to RIP before it is pushed */
	bool has_error;
	u32 error;
};

/* MSR bitmap, SDM 3C 24.6.9: bit n of the low halves is MSR n (0..0x1fff), of the high ones MSR 0xc0000000 + n; a set bit exits. */
struct hw_msr_bitmap {
	u8 read_low[1024], read_high[1024], write_low[1024], write_high[1024];
};

/* The virtualization-exception information area, SDM 3C 26.5.7.2. The processor writes it only while `busy` is 0. */
struct hw_ve_info {
	u32 exit_reason;
	u32 busy; /* 0 or ~0 */
	u64 qualification, guest_linear, guest_physical;
	u16 eptp_index;
};

/* Instructions that exit only if they are told to (intel); otherwise WBINVD does nothing, the others are #UD. */
#define HW_EXITING_TDCALL  (1u << 0)
#define HW_EXITING_WBINVD  (1u << 1)
#define HW_EXITING_PCONFIG (1u << 2)

/* RDMSR/WRMSR that the processor serves itself without an exit are those in struct hw_arch, plus the
 * x2APIC range when `vapic` is set (reads; TPR, EOI and self-IPI writes); every other one exits. */
struct hw_ctl {
	const struct stage2 *s2;
	/* Where accesses that claim to be private go (a TD's secure EPT); NULL: through `s2` like all others. The guest's paging
	 * structures are private then: one at an address with the shared bit is a reserved bit to the walk, and so is the
	 * shared bit in the address of an instruction (TDX: #PF). */
	const struct stage2 *s2_private;
	u64 tsc_offset;
	u64 tsc_mult;	   /* 16.48 fixed point as the VMX TSC multiplier; 0 = 1.0 */
	/* Position of the shared bit (TD) or C-bit (SEV) in a guest-physical address: not part of the address, but the
	 * hardware's claim whether it is private. 0: none. Set means private for a C-bit, shared for a shared bit. */
	u64 claim_bit;
	bool claim_bit_is_private;
	u32 maxphyaddr;	   /* of the guest's CPUID: reserved bits of its page tables; 0 = the machine's */
	u32 gpa_width;	   /* addresses beyond it are reserved bits to the walk only, not to MOV CR3; 0 = maxphyaddr */
	u64 cr0_guest_host_mask; /* bits whose change by MOV CR0/CLTS/LMSW exits (SDM 3C 24.6.6) */
	u64 cr4_guest_host_mask;
	u64 cr4_reserved;  /* bits that #GP because the guest's CPUID lacks the feature */
	u64 efer_reserved;
	u64 xcr0_supported;/* XSETBV: other bits #GP */
	u32 exception_bitmap; /* vector n exits instead of being delivered */
	bool hlt_exiting, pause_exiting, cr8_exiting, rdtsc_exiting, invlpg_exiting, cr3_exiting, dr_exiting;
	u32 insn_exiting;  /* HW_EXITING_* */
	const struct hw_msr_bitmap *msr_bitmap; /* NULL: only what the processor does not serve exits */
	struct hw_ve_info *ve_info; /* EPT violations at entries without STAGE2_EPT_SUPPRESS_VE are #VE; NULL: all exit */
	bool irq_window;   /* exit as soon as an interrupt could be delivered */
	bool nmi_window;
	struct hw_event inject; /* consumed by the entry */
	/* Virtual-interrupt delivery: NULL = no local APIC in the processor. The page is kvm's, 4 KiB, laid out
	 * as SDM 3C 29.1; hw reads and writes TPR, PPR, EOI, IRR, ISR, ICR (self-IPI) with 32-bit atomics. */
	u8 *vapic;
	struct hw_pi_desc *pi;
	bool hold_virtual_interrupts; /* none is delivered from vapic; what is requested stays in vIRR and PIR */
	bool x2apic_virt;  /* MSRs 0x800..0x8ff as above; otherwise they exit */
	u64 eoi_exit_bitmap[4]; /* vectors whose EOI exits (level-triggered), SDM 3C 24.6.8 */
};

/* ---------------------------------------------------------------- exits */

/*
 * The access itself, for exits that leave the processor (MMIO, port I/O). kvm performs it and calls
 * hw_cpu_complete_access(); the instruction restarts and uses the recorded results, access by access.
 * An access is at most 8 bytes and never crosses a page.
 */
struct hw_access {
	bool valid;
	bool write;
	bool pio;
	bool fetch;	/* instruction fetch: kvm cannot complete it (Linux: emulation failure) */
	bool implicit;	/* a page-table or descriptor-table access of the processor's own */
	u8 size;	/* 1..8; PIO: 1, 2, 4 */
	u16 count;	/* REP INS: how many elements the processor would take in a row; else 1 */
	u64 addr;	/* gpa or port */
	u64 data;	/* writes: the value, little-endian in the low bytes */
};

/* intel: SDM 3C 24.9 and 27.2. amd: APM2 15.6, App. C. The machine's platform says which member is valid. */
struct hw_vmx_exit {
	u32 reason;	   /* basic exit reason, bit 31 for entry failure */
	u32 insn_len;
	u64 qualification;
	u64 guest_physical;
	u64 guest_linear;
	u32 intr_info, intr_error;	/* exit interruption information */
	u32 idt_info, idt_error;	/* IDT-vectoring information: the event whose delivery was cut short */
};
struct hw_svm_exit {
	u64 code;	  /* EXITCODE; -1 = invalid */
	u64 info1, info2; /* EXITINFO1, EXITINFO2 */
	u64 next_rip;
	u64 int_info;	  /* EXITINTINFO */
};
struct hw_exit {
	union {
		struct hw_vmx_exit vmx;
		struct hw_svm_exit svm;
	};
	struct hw_access access;
	/* The host memory behind a mapped page is gone (the client unmapped or truncated it): no architectural
	 * reason stands here, KVM_RUN answers -EFAULT. RIP is at the instruction; running again retries. */
	bool host_fault;
	/* Left because of hw_cpu_kick(); formatted as an external-interrupt exit (reason 1 / VMEXIT_INTR). */
	bool kicked;
};

/* VMX basic exit reasons, SDM 3D App. C */
enum {
	VMX_EXIT_EXCEPTION = 0, VMX_EXIT_EXTINT = 1, VMX_EXIT_TRIPLE_FAULT = 2, VMX_EXIT_INIT = 3, VMX_EXIT_SIPI = 4,
	VMX_EXIT_INT_WINDOW = 7, VMX_EXIT_NMI_WINDOW = 8, VMX_EXIT_TASK_SWITCH = 9, VMX_EXIT_CPUID = 10,
	VMX_EXIT_HLT = 12, VMX_EXIT_INVD = 13, VMX_EXIT_INVLPG = 14, VMX_EXIT_RDPMC = 15, VMX_EXIT_RDTSC = 16,
	VMX_EXIT_VMCALL = 18, VMX_EXIT_CR_ACCESS = 28, VMX_EXIT_DR_ACCESS = 29, VMX_EXIT_IO = 30, VMX_EXIT_RDMSR = 31,
	VMX_EXIT_WRMSR = 32, VMX_EXIT_INVALID_STATE = 33, VMX_EXIT_MWAIT = 36, VMX_EXIT_MONITOR = 39,
	VMX_EXIT_PAUSE = 40, VMX_EXIT_TPR_THRESHOLD = 43, VMX_EXIT_APIC_ACCESS = 44, VMX_EXIT_VIRT_EOI = 45,
	VMX_EXIT_GDTR_IDTR = 46, VMX_EXIT_LDTR_TR = 47, VMX_EXIT_EPT_VIOLATION = 48, VMX_EXIT_EPT_MISCONFIG = 49,
	VMX_EXIT_RDTSCP = 51, VMX_EXIT_WBINVD = 54, VMX_EXIT_XSETBV = 55, VMX_EXIT_APIC_WRITE = 56, VMX_EXIT_PCONFIG = 65,
	VMX_EXIT_TDCALL = 77,
};
/* SVM exit codes, APM2 App. C */
enum {
	SVM_EXIT_CR0_WRITE = 0x10, SVM_EXIT_CR4_WRITE = 0x14, SVM_EXIT_CR8_WRITE = 0x18, SVM_EXIT_EXCP_BASE = 0x40,
	SVM_EXIT_INTR = 0x60, SVM_EXIT_NMI = 0x61, SVM_EXIT_INIT = 0x63, SVM_EXIT_VINTR = 0x64, SVM_EXIT_CR0_SEL_WRITE = 0x65,
	SVM_EXIT_RDTSC = 0x6e, SVM_EXIT_RDPMC = 0x6f, SVM_EXIT_CPUID = 0x72, SVM_EXIT_IRET = 0x74, SVM_EXIT_INVD = 0x76,
	SVM_EXIT_PAUSE = 0x77, SVM_EXIT_HLT = 0x78, SVM_EXIT_INVLPG = 0x79, SVM_EXIT_IOIO = 0x7b, SVM_EXIT_MSR = 0x7c,
	SVM_EXIT_TASK_SWITCH = 0x7d, SVM_EXIT_SHUTDOWN = 0x7f, SVM_EXIT_VMMCALL = 0x81, SVM_EXIT_RDTSCP = 0x87,
	SVM_EXIT_WBINVD = 0x89, SVM_EXIT_MONITOR = 0x8a, SVM_EXIT_MWAIT = 0x8b, SVM_EXIT_XSETBV = 0x8d,
	SVM_EXIT_NPF = 0x400, SVM_EXIT_AVIC_INCOMPLETE_IPI = 0x401, SVM_EXIT_AVIC_NOACCEL = 0x402,
};

/* NPF error code, APM2 15.25.6 (also what kvm derives from an EPT qualification) */
#define HW_PFERR_PRESENT (1ull << 0)
#define HW_PFERR_WRITE	 (1ull << 1)
#define HW_PFERR_USER	 (1ull << 2)
#define HW_PFERR_RSVD	 (1ull << 3)
#define HW_PFERR_FETCH	 (1ull << 4)
#define HW_PFERR_GUEST_FINAL (1ull << 32)
#define HW_PFERR_GUEST_PAGE  (1ull << 33)
#define HW_PFERR_GUEST_ENC   (1ull << 34) /* the access claims to be private (SNP: by the C-bit) */

/* ---------------------------------------------------------------- vCPUs */

struct hw_cpu; /* laid out in hw/cpu/cpu.h; kvm uses the accessors below */

int hw_vm_create(struct hw_machine *m, struct hw_vm **out);
void hw_vm_destroy(struct hw_vm *vm); /* after its vCPUs */

/* State as after RESET (SDM 3A 9.1.1), activity HW_ACTIVE. */
int hw_cpu_create(struct hw_vm *vm, int index, struct hw_cpu **out);
void hw_cpu_destroy(struct hw_cpu *cpu);
/* init: INIT keeps what INIT keeps (SDM 3A 9.1.1). Does nothing to a processor that holds a TD's state (hw/tdx/tdx.h). */
void hw_cpu_reset(struct hw_cpu *cpu, bool init);

struct hw_arch *hw_cpu_arch(struct hw_cpu *cpu);
struct hw_ctl *hw_cpu_ctl(struct hw_cpu *cpu);
const struct hw_exit *hw_cpu_exit(const struct hw_cpu *cpu);
/* Call after changing arch from outside (SET_SREGS, SET_REGS, ...): drops derived state and the TLB. */
void hw_cpu_arch_changed(struct hw_cpu *cpu);
/* Forget accesses recorded for an instruction that will not be finished (SET_REGS moved RIP, reset). */
void hw_cpu_drop_access(struct hw_cpu *cpu);

/* Runs until something needs kvm. ctl.inject is delivered first. The reason is in hw_cpu_exit(). */
void hw_cpu_run(struct hw_cpu *cpu);

/* Performs the pending access's result: reads give `data`. The next hw_cpu_run() restarts the instruction. */
void hw_cpu_complete_access(struct hw_cpu *cpu, u64 data);
/* REP INS: all access.count elements at once. */
#define HW_STRING_SIZE 1024u
void hw_cpu_complete_string(struct hw_cpu *cpu, const void *data);
/* As the processor's own RIP advance after an emulated instruction (CPUID, RDMSR, VMCALL, ...): clears the
 * interrupt shadow and raises a pending single-step trap, as VMX emulation does. */
void hw_cpu_skip_insn(struct hw_cpu *cpu);

/* The bytes at RIP as the processor fetched them: how many of 15 it has (0: the fetch itself failed). Between an exit and the next
 * hw_cpu_run(), before arch is changed. */
unsigned int hw_cpu_insn_bytes(struct hw_cpu *cpu, u8 *bytes);

/* Is an access by an instruction on its way (complete_access called, instruction not yet finished)? */
bool hw_cpu_mid_insn(const struct hw_cpu *cpu);

/* Any thread: make the vCPU leave hw_cpu_run() soon (at once if it is not in it: the next run returns
 * immediately unless kvm clears it). Release order: what was written before is seen by the vCPU's thread. */
void hw_cpu_kick(struct hw_cpu *cpu);
void hw_cpu_clear_kick(struct hw_cpu *cpu); /* by the vCPU's own thread, before it looks for work */
/* Any thread: a bit in cpu->pi was set; look at it at the next block end, without an exit. */
void hw_cpu_notify_pi(struct hw_cpu *cpu);

/* icount: leave hw_cpu_run() (as kicked) when the vCPU's TSC reaches this; ~0 = never. */
void hw_cpu_set_deadline(struct hw_cpu *cpu, u64 host_tsc);

/* Could an external interrupt / NMI be delivered right now (IF, shadow)? */
bool hw_cpu_can_interrupt(const struct hw_cpu *cpu);
bool hw_cpu_can_nmi(const struct hw_cpu *cpu);
/* Virtual-interrupt delivery: merge PIR into vIRR and tell whether a vector above PPR is pending (wakes a halted vCPU). */
bool hw_cpu_has_virtual_interrupt(struct hw_cpu *cpu);

/* Any thread. Returns only when no vCPU of the vm can use a translation made before the call (request, kick,
 * acknowledge). The stage-2 entries must have been changed before. Not from inside hw_cpu_run(). */
void hw_vm_flush(struct hw_vm *vm);
/* Others may have written guest memory without hw_vm_memory_written(): the client ran between two KVM_RUNs, or its device
 * raises an interrupt. Decoded code is compared with memory before it is used again. Any thread. */
void hw_cpu_check_code(struct hw_cpu *cpu);
/* Our own devices wrote guest memory at these host addresses (virtio): decoded code there is dropped. Any thread. */
void hw_vm_memory_written(struct hw_vm *vm, hpa_t start, u64 size);

/* Guest virtual to physical by the vCPU's current paging; no fault is raised, no A/D bit set. false: not mapped, or its
 * tables cannot be read. The caller reads them, since they are not for everyone what they are for the guest. Only while
 * the vCPU is outside hw_cpu_run(). */
struct hw_table_reader {
	int (*read)(void *opaque, gpa_t at, void *entry, unsigned int size); /* 0 or an error */
	void *opaque;
};
struct hw_translation {
	gpa_t gpa;
	bool writable, user;
};
bool hw_cpu_translate(struct hw_cpu *cpu, gva_t va, const struct hw_table_reader *reader, struct hw_translation *out);

/* ---------------------------------------------------------------- host memory */

/*
 * Copies that survive the other side of a slot being unmapped or truncated: 0 or -EFAULT, partial copies
 * possible. For every access to memory that a client owns. Any thread. See hw/phys.
 */
int hw_copy_from_host(void *dst, hpa_t src, size_t size);
int hw_copy_to_host(hpa_t dst, const void *src, size_t size);
/* Single relaxed atomics of 1, 2, 4 or 8 bytes. */
int hw_load_host(hpa_t src, unsigned int size, u64 *out);
int hw_store_host(hpa_t dst, unsigned int size, u64 value);
/* 64-bit compare and swap; *old is updated when it fails. 0: swapped, 1: not, -EFAULT. */
int hw_cmpxchg_host(hpa_t dst, u64 *old, u64 value);
/* Installs the SIGSEGV/SIGBUS handler that makes them survive; other faults go to the previous handler.
 * Once per process, idempotent; 0 or -errno. */
int hw_phys_init(void);

/* ---------------------------------------------------------------- tests, statistics */

/* Fault injector: bits OR-ed into the next `count` stage-2 fault error codes / qualifications of this vCPU. */
void hw_cpu_inject_fault_bits(struct hw_cpu *cpu, u64 bits, unsigned int count);

#define HW_COUNTERS(X)                                                                                       \
	X(instructions) X(blocks_built) X(blocks_dropped) X(block_lookups) X(block_lookup_misses)            \
	X(tlb_misses_read) X(tlb_misses_write) X(tlb_misses_fetch) X(tlb_flushes) X(slow_accesses) X(exits)  \
	X(exceptions) X(interrupts) X(generic_insns) X(smc_writes) X(acks)
struct hw_counters {
#define X(name) u64 name;
	HW_COUNTERS(X)
#undef X
};
void hw_cpu_counters(const struct hw_cpu *cpu, struct hw_counters *out);
