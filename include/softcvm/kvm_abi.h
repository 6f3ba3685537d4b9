// SPDX-License-Identifier: Apache-2.0
/*
 * The KVM API of x86 as programs see it: request numbers, structures, capabilities, exit reasons.
 *
 * This is our own statement of the ABI, so that neither the library nor its users depend on how old the system's
 * <linux/kvm.h> is. Names are the kernel's; a file includes this header or the kernel's, never both. Every structure that
 * crosses the API has its size, and where it matters its offsets, asserted.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define KVM_API_VERSION 12

#define KVM_ABI_SIZE(type, size) _Static_assert(sizeof(type) == (size), "KVM ABI: size of " #type)
#define KVM_ABI_OFFSET(type, member, at) _Static_assert(offsetof(type, member) == (at), "KVM ABI: " #type "." #member)

/* ---------------------------------------------------------------- memory */

#define KVM_MEM_LOG_DIRTY_PAGES (1u << 0)
#define KVM_MEM_READONLY	(1u << 1)
#define KVM_MEM_GUEST_MEMFD	(1u << 2)

/* slot: id in 15:0, address space in 31:16 */
struct kvm_userspace_memory_region {
	uint32_t slot, flags;
	uint64_t guest_phys_addr, memory_size, userspace_addr;
};
KVM_ABI_SIZE(struct kvm_userspace_memory_region, 32);

struct kvm_userspace_memory_region2 {
	uint32_t slot, flags;
	uint64_t guest_phys_addr, memory_size, userspace_addr;
	uint64_t guest_memfd_offset;
	uint32_t guest_memfd, pad1;
	uint64_t pad2[14];
};
KVM_ABI_SIZE(struct kvm_userspace_memory_region2, 160);
KVM_ABI_OFFSET(struct kvm_userspace_memory_region2, guest_memfd, 40);

#define KVM_MEMORY_ATTRIBUTE_PRIVATE (1ull << 3)
struct kvm_memory_attributes {
	uint64_t address, size, attributes, flags;
};
KVM_ABI_SIZE(struct kvm_memory_attributes, 32);

#define GUEST_MEMFD_FLAG_MMAP	     (1ull << 0)
#define GUEST_MEMFD_FLAG_INIT_SHARED (1ull << 1)
struct kvm_create_guest_memfd {
	uint64_t size, flags, reserved[6];
};
KVM_ABI_SIZE(struct kvm_create_guest_memfd, 64);

struct kvm_pre_fault_memory {
	uint64_t gpa, size, flags, padding[5];
};
KVM_ABI_SIZE(struct kvm_pre_fault_memory, 64);

struct kvm_dirty_log {
	uint32_t slot, padding1;
	union {
		void *dirty_bitmap;
		uint64_t padding2;
	};
};
KVM_ABI_SIZE(struct kvm_dirty_log, 16);

#define KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE (1u << 0)
#define KVM_DIRTY_LOG_INITIALLY_SET	    (1u << 1)
struct kvm_clear_dirty_log {
	uint32_t slot, num_pages;
	uint64_t first_page;
	union {
		void *dirty_bitmap;
		uint64_t padding2;
	};
};
KVM_ABI_SIZE(struct kvm_clear_dirty_log, 24);

#define KVM_DIRTY_LOG_PAGE_OFFSET 64
#define KVM_DIRTY_GFN_F_DIRTY (1u << 0)
#define KVM_DIRTY_GFN_F_RESET (1u << 1)
struct kvm_dirty_gfn {
	uint32_t flags, slot;
	uint64_t offset;
};
KVM_ABI_SIZE(struct kvm_dirty_gfn, 16);

struct kvm_enc_region {
	uint64_t addr, size;
};

struct kvm_translation {
	uint64_t linear_address; /* in */
	uint64_t physical_address;
	uint8_t valid, writeable, usermode, pad[5];
};
KVM_ABI_SIZE(struct kvm_translation, 24);

struct kvm_coalesced_mmio_zone {
	uint64_t addr;
	uint32_t size;
	union {
		uint32_t pad;
		uint32_t pio;
	};
};
KVM_ABI_SIZE(struct kvm_coalesced_mmio_zone, 16);

struct kvm_coalesced_mmio {
	uint64_t phys_addr;
	uint32_t len;
	union {
		uint32_t pad;
		uint32_t pio;
	};
	uint8_t data[8];
};
KVM_ABI_SIZE(struct kvm_coalesced_mmio, 24);

#define KVM_COALESCED_MMIO_PAGE_OFFSET 2
struct kvm_coalesced_mmio_ring {
	uint32_t first, last;
	struct kvm_coalesced_mmio coalesced_mmio[];
};
#define KVM_COALESCED_MMIO_MAX \
	((4096 - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

/* ---------------------------------------------------------------- registers */

struct kvm_regs {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
};
KVM_ABI_SIZE(struct kvm_regs, 144);

struct kvm_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	uint8_t type, present, dpl, db, s, l, g, avl, unusable, padding;
};
KVM_ABI_SIZE(struct kvm_segment, 24);

struct kvm_dtable {
	uint64_t base;
	uint16_t limit, padding[3];
};
KVM_ABI_SIZE(struct kvm_dtable, 16);

#define KVM_NR_INTERRUPTS 256

struct kvm_sregs {
	struct kvm_segment cs, ds, es, fs, gs, ss, tr, ldt;
	struct kvm_dtable gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
	uint64_t interrupt_bitmap[(KVM_NR_INTERRUPTS + 63) / 64];
};
KVM_ABI_SIZE(struct kvm_sregs, 312);

#define KVM_SREGS2_FLAGS_PDPTRS_VALID 1
struct kvm_sregs2 {
	struct kvm_segment cs, ds, es, fs, gs, ss, tr, ldt;
	struct kvm_dtable gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base, flags;
	uint64_t pdptrs[4];
};
KVM_ABI_SIZE(struct kvm_sregs2, 320);

struct kvm_fpu {
	uint8_t fpr[8][16];
	uint16_t fcw, fsw;
	uint8_t ftwx, pad1;
	uint16_t last_opcode;
	uint64_t last_ip, last_dp;
	uint8_t xmm[16][16];
	uint32_t mxcsr, pad2;
};
KVM_ABI_SIZE(struct kvm_fpu, 416);

struct kvm_xsave {
	uint32_t region[1024];
	uint32_t extra[];
};
KVM_ABI_SIZE(struct kvm_xsave, 4096);

#define KVM_MAX_XCRS 16
struct kvm_xcr {
	uint32_t xcr, reserved;
	uint64_t value;
};
struct kvm_xcrs {
	uint32_t nr_xcrs, flags;
	struct kvm_xcr xcrs[KVM_MAX_XCRS];
	uint64_t padding[16];
};
KVM_ABI_SIZE(struct kvm_xcrs, 392);

struct kvm_debugregs {
	uint64_t db[4], dr6, dr7, flags, reserved[9];
};
KVM_ABI_SIZE(struct kvm_debugregs, 128);

struct kvm_msr_entry {
	uint32_t index, reserved;
	uint64_t data;
};
KVM_ABI_SIZE(struct kvm_msr_entry, 16);

struct kvm_msrs {
	uint32_t nmsrs, pad;
	struct kvm_msr_entry entries[];
};
KVM_ABI_SIZE(struct kvm_msrs, 8);

struct kvm_msr_list {
	uint32_t nmsrs;
	uint32_t indices[];
};
KVM_ABI_SIZE(struct kvm_msr_list, 4);

#define KVM_MSR_FILTER_MAX_BITMAP_SIZE 0x600
#define KVM_MSR_FILTER_MAX_RANGES      16
#define KVM_MSR_FILTER_READ	       (1u << 0)
#define KVM_MSR_FILTER_WRITE	       (1u << 1)
#define KVM_MSR_FILTER_DEFAULT_ALLOW   (0u << 0)
#define KVM_MSR_FILTER_DEFAULT_DENY    (1u << 0)
struct kvm_msr_filter_range {
	uint32_t flags, nmsrs, base;
	uint8_t *bitmap;
};
KVM_ABI_SIZE(struct kvm_msr_filter_range, 24);
struct kvm_msr_filter {
	uint32_t flags;
	struct kvm_msr_filter_range ranges[KVM_MSR_FILTER_MAX_RANGES];
};
KVM_ABI_SIZE(struct kvm_msr_filter, 392);

#define KVM_CPUID_FLAG_SIGNIFCANT_INDEX (1u << 0)
#define KVM_CPUID_FLAG_STATEFUL_FUNC	(1u << 1)
#define KVM_CPUID_FLAG_STATE_READ_NEXT	(1u << 2)
struct kvm_cpuid_entry {
	uint32_t function, eax, ebx, ecx, edx, padding;
};
KVM_ABI_SIZE(struct kvm_cpuid_entry, 24);
struct kvm_cpuid {
	uint32_t nent, padding;
	struct kvm_cpuid_entry entries[];
};
KVM_ABI_SIZE(struct kvm_cpuid, 8);
struct kvm_cpuid_entry2 {
	uint32_t function, index, flags, eax, ebx, ecx, edx, padding[3];
};
KVM_ABI_SIZE(struct kvm_cpuid_entry2, 40);
struct kvm_cpuid2 {
	uint32_t nent, padding;
	struct kvm_cpuid_entry2 entries[];
};
KVM_ABI_SIZE(struct kvm_cpuid2, 8);

struct kvm_mp_state {
	uint32_t mp_state;
};
#define KVM_MP_STATE_RUNNABLE	    0
#define KVM_MP_STATE_UNINITIALIZED  1
#define KVM_MP_STATE_INIT_RECEIVED  2
#define KVM_MP_STATE_HALTED	    3
#define KVM_MP_STATE_SIPI_RECEIVED  4
#define KVM_MP_STATE_STOPPED	    5
#define KVM_MP_STATE_CHECK_STOP	    6
#define KVM_MP_STATE_OPERATING	    7
#define KVM_MP_STATE_LOAD	    8
#define KVM_MP_STATE_AP_RESET_HOLD  9
#define KVM_MP_STATE_SUSPENDED	    10

#define KVM_VCPUEVENT_VALID_NMI_PENDING	 0x01u
#define KVM_VCPUEVENT_VALID_SIPI_VECTOR	 0x02u
#define KVM_VCPUEVENT_VALID_SHADOW	 0x04u
#define KVM_VCPUEVENT_VALID_SMM		 0x08u
#define KVM_VCPUEVENT_VALID_PAYLOAD	 0x10u
#define KVM_VCPUEVENT_VALID_TRIPLE_FAULT 0x20u
#define KVM_X86_SHADOW_INT_MOV_SS 0x01
#define KVM_X86_SHADOW_INT_STI	  0x02
struct kvm_vcpu_events {
	struct {
		uint8_t injected, nr, has_error_code, pending;
		uint32_t error_code;
	} exception;
	struct {
		uint8_t injected, nr, soft, shadow;
	} interrupt;
	struct {
		uint8_t injected, pending, masked, pad;
	} nmi;
	uint32_t sipi_vector, flags;
	struct {
		uint8_t smm, pending, smm_inside_nmi, latched_init;
	} smi;
	struct {
		uint8_t pending;
	} triple_fault;
	uint8_t reserved[26];
	uint8_t exception_has_payload;
	uint64_t exception_payload;
};
KVM_ABI_SIZE(struct kvm_vcpu_events, 64);
KVM_ABI_OFFSET(struct kvm_vcpu_events, exception_has_payload, 55);

struct kvm_interrupt {
	uint32_t irq;
};

struct kvm_signal_mask {
	uint32_t len;
	uint8_t sigset[];
};
KVM_ABI_SIZE(struct kvm_signal_mask, 4);

struct kvm_tpr_access_ctl {
	uint32_t enabled, flags, reserved[8];
};
KVM_ABI_SIZE(struct kvm_tpr_access_ctl, 40);

struct kvm_vapic_addr {
	uint64_t vapic_addr;
};

struct kvm_x86_mce {
	uint64_t status, addr, misc, mcg_status;
	uint8_t bank, pad1[7];
	uint64_t pad2[3];
};
KVM_ABI_SIZE(struct kvm_x86_mce, 64);

#define KVM_GUESTDBG_ENABLE	  0x00000001u
#define KVM_GUESTDBG_SINGLESTEP	  0x00000002u
#define KVM_GUESTDBG_USE_SW_BP	  0x00010000u
#define KVM_GUESTDBG_USE_HW_BP	  0x00020000u
#define KVM_GUESTDBG_INJECT_DB	  0x00040000u
#define KVM_GUESTDBG_INJECT_BP	  0x00080000u
#define KVM_GUESTDBG_BLOCKIRQ	  0x00100000u
struct kvm_guest_debug {
	uint32_t control, pad;
	struct {
		uint64_t debugreg[8];
	} arch;
};
KVM_ABI_SIZE(struct kvm_guest_debug, 72);

struct kvm_debug_exit_arch {
	uint32_t exception, pad;
	uint64_t pc, dr6, dr7;
};
KVM_ABI_SIZE(struct kvm_debug_exit_arch, 32);

#define KVM_STATE_NESTED_FORMAT_VMX 0
#define KVM_STATE_NESTED_FORMAT_SVM 1
struct kvm_nested_state {
	uint16_t flags, format;
	uint32_t size;
	uint8_t hdr[120];
	uint8_t data[];
};
KVM_ABI_SIZE(struct kvm_nested_state, 128);

struct kvm_one_reg {
	uint64_t id, addr;
};
struct kvm_reg_list {
	uint64_t n;
	uint64_t reg[];
};

/* ---------------------------------------------------------------- struct kvm_run */

#define KVM_EXIT_UNKNOWN	  0
#define KVM_EXIT_EXCEPTION	  1
#define KVM_EXIT_IO		  2
#define KVM_EXIT_HYPERCALL	  3
#define KVM_EXIT_DEBUG		  4
#define KVM_EXIT_HLT		  5
#define KVM_EXIT_MMIO		  6
#define KVM_EXIT_IRQ_WINDOW_OPEN  7
#define KVM_EXIT_SHUTDOWN	  8
#define KVM_EXIT_FAIL_ENTRY	  9
#define KVM_EXIT_INTR		  10
#define KVM_EXIT_SET_TPR	  11
#define KVM_EXIT_TPR_ACCESS	  12
#define KVM_EXIT_NMI		  16
#define KVM_EXIT_INTERNAL_ERROR	  17
#define KVM_EXIT_SYSTEM_EVENT	  24
#define KVM_EXIT_IOAPIC_EOI	  26
#define KVM_EXIT_HYPERV		  27
#define KVM_EXIT_X86_RDMSR	  29
#define KVM_EXIT_X86_WRMSR	  30
#define KVM_EXIT_DIRTY_RING_FULL  31
#define KVM_EXIT_AP_RESET_HOLD	  32
#define KVM_EXIT_X86_BUS_LOCK	  33
#define KVM_EXIT_XEN		  34
#define KVM_EXIT_NOTIFY		  37
#define KVM_EXIT_MEMORY_FAULT	  39
#define KVM_EXIT_TDX		  40
#define KVM_EXIT_SNP_REQ_CERTS	  43

#define KVM_INTERNAL_ERROR_EMULATION		  1
#define KVM_INTERNAL_ERROR_SIMUL_EX		  2
#define KVM_INTERNAL_ERROR_DELIVERY_EV		  3
#define KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON 4
#define KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES (1ull << 0)

#define KVM_EXIT_IO_IN	0
#define KVM_EXIT_IO_OUT 1

#define KVM_SYSTEM_EVENT_SHUTDOWN  1
#define KVM_SYSTEM_EVENT_RESET	   2
#define KVM_SYSTEM_EVENT_CRASH	   3
#define KVM_SYSTEM_EVENT_WAKEUP	   4
#define KVM_SYSTEM_EVENT_SUSPEND   5
#define KVM_SYSTEM_EVENT_SEV_TERM  6
#define KVM_SYSTEM_EVENT_TDX_FATAL 7

#define KVM_MSR_EXIT_REASON_INVAL   (1u << 0)
#define KVM_MSR_EXIT_REASON_UNKNOWN (1u << 1)
#define KVM_MSR_EXIT_REASON_FILTER  (1u << 2)
#define KVM_MSR_EXIT_REASON_VALID_MASK 7u

#define KVM_MEMORY_EXIT_FLAG_PRIVATE (1ull << 3)

#define KVM_RUN_X86_SMM	       (1u << 0)
#define KVM_RUN_X86_BUS_LOCK   (1u << 1)
#define KVM_RUN_X86_GUEST_MODE (1u << 2)

#define KVM_SYNC_X86_REGS   (1u << 0)
#define KVM_SYNC_X86_SREGS  (1u << 1)
#define KVM_SYNC_X86_EVENTS (1u << 2)
#define KVM_SYNC_X86_VALID_FIELDS (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)
struct kvm_sync_regs {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
};
KVM_ABI_SIZE(struct kvm_sync_regs, 520);

#define SYNC_REGS_SIZE_BYTES 2048

#define KVM_HYPERCALL_EXIT_SMC	    (1ull << 0)
#define KVM_HYPERCALL_EXIT_16BIT    (1ull << 1)
#define KVM_EXIT_HYPERCALL_LONG_MODE (1ull << 0)

struct kvm_run {
	/* in */
	uint8_t request_interrupt_window;
	uint8_t immediate_exit;
	uint8_t padding1[6];
	/* out */
	uint32_t exit_reason;
	uint8_t ready_for_interrupt_injection;
	uint8_t if_flag;
	uint16_t flags;
	/* in (before the run), out (after it) */
	uint64_t cr8, apic_base;
	union {
		struct {
			uint64_t hardware_exit_reason;
		} hw;
		struct {
			uint64_t hardware_entry_failure_reason;
			uint32_t cpu;
		} fail_entry;
		struct {
			uint32_t exception, error_code;
		} ex;
		struct {
			uint8_t direction, size;
			uint16_t port;
			uint32_t count;
			uint64_t data_offset; /* from the start of kvm_run */
		} io;
		struct {
			struct kvm_debug_exit_arch arch;
		} debug;
		struct {
			uint64_t phys_addr;
			uint8_t data[8];
			uint32_t len;
			uint8_t is_write;
		} mmio;
		struct {
			uint64_t nr, args[6], ret;
			union {
				uint32_t longmode;
				uint64_t flags;
			};
		} hypercall;
		struct {
			uint64_t rip;
			uint32_t is_write, pad;
		} tpr_access;
		struct {
			uint32_t suberror, ndata;
			uint64_t data[16];
		} internal;
		struct {
			uint32_t suberror, ndata;
			uint64_t flags;
			uint8_t insn_size, insn_bytes[15];
		} emulation_failure;
		struct {
			uint32_t type, ndata;
			union {
				uint64_t flags;
				uint64_t data[16];
			};
		} system_event;
		struct {
			uint8_t vector;
		} eoi;
		struct {
			uint8_t error, pad[7];
			uint32_t reason, index;
			uint64_t data;
		} msr;
		struct {
			uint32_t flags;
		} notify;
		struct {
			uint64_t flags, gpa, size;
		} memory_fault;
		struct {
			uint64_t flags, nr;
			union {
				struct {
					uint64_t ret, data[5];
				} unknown;
				struct {
					uint64_t ret, gpa, size;
				} get_quote;
				struct {
					uint64_t ret, leaf, r11, r12, r13, r14;
				} get_tdvmcall_info;
				struct {
					uint64_t ret, vector;
				} setup_event_notify;
			};
		} tdx;
		struct {
			uint64_t gpa, npages, ret;
		} snp_req_certs;
		uint8_t padding[256];
	};
	uint64_t kvm_valid_regs; /* which parts of s KVM writes on exit */
	uint64_t kvm_dirty_regs; /* which parts of s KVM reads on entry */
	union {
		struct kvm_sync_regs regs;
		uint8_t padding[SYNC_REGS_SIZE_BYTES];
	} s;
};
KVM_ABI_SIZE(struct kvm_run, 2352);
KVM_ABI_OFFSET(struct kvm_run, exit_reason, 8);
KVM_ABI_OFFSET(struct kvm_run, flags, 14);
KVM_ABI_OFFSET(struct kvm_run, cr8, 16);
KVM_ABI_OFFSET(struct kvm_run, io.data_offset, 40);
KVM_ABI_OFFSET(struct kvm_run, mmio.len, 48);
KVM_ABI_OFFSET(struct kvm_run, mmio.is_write, 52);
KVM_ABI_OFFSET(struct kvm_run, hypercall.ret, 88);
KVM_ABI_OFFSET(struct kvm_run, hypercall.flags, 96);
KVM_ABI_OFFSET(struct kvm_run, msr.data, 48);
KVM_ABI_OFFSET(struct kvm_run, memory_fault.gpa, 40);
KVM_ABI_OFFSET(struct kvm_run, kvm_valid_regs, 288);
KVM_ABI_OFFSET(struct kvm_run, s, 304);

/* vCPU mmap: page 0 kvm_run, 1 port I/O data, 2 coalesced ring */
#define KVM_PIO_PAGE_OFFSET 1

/* ---------------------------------------------------------------- interrupts */

#define KVM_NR_IRQCHIPS	       3
#define KVM_IRQCHIP_PIC_MASTER 0
#define KVM_IRQCHIP_PIC_SLAVE  1
#define KVM_IRQCHIP_IOAPIC     2
#define KVM_IOAPIC_NUM_PINS    24

struct kvm_pic_state {
	uint8_t last_irr, irr, imr, isr, priority_add, irq_base, read_reg_select, poll, special_mask, init_state, auto_eoi,
		rotate_on_auto_eoi, special_fully_nested_mode, init4, elcr, elcr_mask;
};
KVM_ABI_SIZE(struct kvm_pic_state, 16);

struct kvm_ioapic_state {
	uint64_t base_address;
	uint32_t ioregsel, id, irr, pad;
	union {
		uint64_t bits;
		struct {
			uint8_t vector;
			uint8_t delivery_mode : 3, dest_mode : 1, delivery_status : 1, polarity : 1, remote_irr : 1,
				trig_mode : 1;
			uint8_t mask : 1, reserve : 7;
			uint8_t reserved[4], dest_id;
		} fields;
	} redirtbl[KVM_IOAPIC_NUM_PINS];
};
KVM_ABI_SIZE(struct kvm_ioapic_state, 216);

struct kvm_irqchip {
	uint32_t chip_id, pad;
	union {
		char dummy[512];
		struct kvm_pic_state pic;
		struct kvm_ioapic_state ioapic;
	} chip;
};
KVM_ABI_SIZE(struct kvm_irqchip, 520);

#define KVM_APIC_REG_SIZE 0x400
struct kvm_lapic_state {
	char regs[KVM_APIC_REG_SIZE];
};

struct kvm_irq_level {
	union {
		uint32_t irq;
		int32_t status;
	};
	uint32_t level;
};
KVM_ABI_SIZE(struct kvm_irq_level, 8);

#define KVM_PIT_SPEAKER_DUMMY	    1
#define KVM_PIT_FLAGS_HPET_LEGACY   1
#define KVM_PIT_FLAGS_SPEAKER_DATA_ON 2
struct kvm_pit_config {
	uint32_t flags, pad[15];
};
KVM_ABI_SIZE(struct kvm_pit_config, 64);
struct kvm_pit_channel_state {
	uint32_t count;
	uint16_t latched_count;
	uint8_t count_latched, status_latched, status, read_state, write_state, write_latch, rw_mode, mode, bcd, gate;
	int64_t count_load_time;
};
KVM_ABI_SIZE(struct kvm_pit_channel_state, 24);
struct kvm_pit_state {
	struct kvm_pit_channel_state channels[3];
};
struct kvm_pit_state2 {
	struct kvm_pit_channel_state channels[3];
	uint32_t flags, reserved[9];
};
KVM_ABI_SIZE(struct kvm_pit_state2, 112);
struct kvm_reinject_control {
	uint8_t pit_reinject, reserved[31];
};
KVM_ABI_SIZE(struct kvm_reinject_control, 32);

#define KVM_IRQ_ROUTING_IRQCHIP	  1
#define KVM_IRQ_ROUTING_MSI	  2
#define KVM_IRQ_ROUTING_S390_ADAPTER 3
#define KVM_IRQ_ROUTING_HV_SINT	  4
#define KVM_IRQ_ROUTING_XEN_EVTCHN 5
#define KVM_MAX_IRQ_ROUTES 4096
struct kvm_irq_routing_irqchip {
	uint32_t irqchip, pin;
};
struct kvm_irq_routing_msi {
	uint32_t address_lo, address_hi, data;
	union {
		uint32_t pad;
		uint32_t devid;
	};
};
struct kvm_irq_routing_hv_sint {
	uint32_t vcpu, sint;
};
struct kvm_irq_routing_entry {
	uint32_t gsi, type, flags, pad;
	union {
		struct kvm_irq_routing_irqchip irqchip;
		struct kvm_irq_routing_msi msi;
		struct kvm_irq_routing_hv_sint hv_sint;
		uint32_t pad[8];
	} u;
};
KVM_ABI_SIZE(struct kvm_irq_routing_entry, 48);
struct kvm_irq_routing {
	uint32_t nr, flags;
	struct kvm_irq_routing_entry entries[];
};
KVM_ABI_SIZE(struct kvm_irq_routing, 8);

#define KVM_MSI_VALID_DEVID (1u << 0)
struct kvm_msi {
	uint32_t address_lo, address_hi, data, flags, devid;
	uint8_t pad[12];
};
KVM_ABI_SIZE(struct kvm_msi, 32);

#define KVM_IRQFD_FLAG_DEASSIGN (1u << 0)
#define KVM_IRQFD_FLAG_RESAMPLE (1u << 1)
struct kvm_irqfd {
	uint32_t fd, gsi, flags, resamplefd;
	uint8_t pad[16];
};
KVM_ABI_SIZE(struct kvm_irqfd, 32);

#define KVM_IOEVENTFD_FLAG_DATAMATCH	   (1u << 0)
#define KVM_IOEVENTFD_FLAG_PIO		   (1u << 1)
#define KVM_IOEVENTFD_FLAG_DEASSIGN	   (1u << 2)
#define KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY (1u << 3)
#define KVM_IOEVENTFD_VALID_FLAG_MASK	   0xfu
struct kvm_ioeventfd {
	uint64_t datamatch, addr;
	uint32_t len;
	int32_t fd;
	uint32_t flags;
	uint8_t pad[36];
};
KVM_ABI_SIZE(struct kvm_ioeventfd, 64);

/* ---------------------------------------------------------------- clock, capabilities, devices */

#define KVM_CLOCK_TSC_STABLE 2u
#define KVM_CLOCK_REALTIME   (1u << 2)
#define KVM_CLOCK_HOST_TSC   (1u << 3)
struct kvm_clock_data {
	uint64_t clock;
	uint32_t flags, pad0;
	uint64_t realtime, host_tsc;
	uint32_t pad[4];
};
KVM_ABI_SIZE(struct kvm_clock_data, 48);

struct kvm_enable_cap {
	uint32_t cap, flags;
	uint64_t args[4];
	uint8_t pad[64];
};
KVM_ABI_SIZE(struct kvm_enable_cap, 104);

#define KVM_CREATE_DEVICE_TEST 1
struct kvm_create_device {
	uint32_t type, fd, flags;
};
struct kvm_device_attr {
	uint32_t flags, group;
	uint64_t attr, addr;
};
KVM_ABI_SIZE(struct kvm_device_attr, 24);
#define KVM_X86_XCOMP_GUEST_SUPP 0
#define KVM_X86_GRP_SEV		 1
#define KVM_X86_SEV_VMSA_FEATURES 0
#define KVM_X86_GRP_TDX		 2
#define KVM_VCPU_TSC_CTRL	 0
#define KVM_VCPU_TSC_OFFSET	 0

#define KVM_PMU_EVENT_ALLOW 0
#define KVM_PMU_EVENT_DENY  1
struct kvm_pmu_event_filter {
	uint32_t action, nevents, fixed_counter_bitmap, flags, pad[4];
	uint64_t events[];
};

struct kvm_xen_hvm_config {
	uint32_t flags, msr;
	uint64_t blob_addr_32, blob_addr_64;
	uint8_t blob_size_32, blob_size_64, pad2[30];
};
KVM_ABI_SIZE(struct kvm_xen_hvm_config, 56);

#define KVM_STATS_TYPE_MASK	  0xfu
#define KVM_STATS_TYPE_CUMULATIVE 0x0u
#define KVM_STATS_TYPE_INSTANT	  0x1u
#define KVM_STATS_UNIT_NONE	  0x00u
#define KVM_STATS_BASE_POW10	  0x000u
struct kvm_stats_header {
	uint32_t flags, name_size, num_desc, id_offset, desc_offset, data_offset;
};
struct kvm_stats_desc {
	uint32_t flags;
	int16_t exponent;
	uint16_t size;
	uint32_t offset, bucket_size;
	char name[];
};

#define KVM_X86_DEFAULT_VM	0
#define KVM_X86_SW_PROTECTED_VM 1
#define KVM_X86_SEV_VM		2
#define KVM_X86_SEV_ES_VM	3
#define KVM_X86_SNP_VM		4
#define KVM_X86_TDX_VM		5

/* KVM_MEMORY_ENCRYPT_OP of a trust domain (Documentation/virt/kvm/x86/intel-tdx.rst): on the VM, those of a vCPU on it. */
enum kvm_tdx_cmd_id {
	KVM_TDX_CAPABILITIES = 0,
	KVM_TDX_INIT_VM = 1,
	KVM_TDX_INIT_VCPU = 2,	     /* vCPU; data: the guest's initial RCX */
	KVM_TDX_INIT_MEM_REGION = 3, /* vCPU */
	KVM_TDX_FINALIZE_VM = 4,
	KVM_TDX_GET_CPUID = 5,	     /* vCPU; data: struct kvm_cpuid2 */
};
struct kvm_tdx_cmd {
	uint32_t id, flags;
	uint64_t data;
	uint64_t hw_error; /* 0; INIT_VM and FINALIZE_VM: the completion code of a SEAMCALL that failed */
};
KVM_ABI_SIZE(struct kvm_tdx_cmd, 24);
struct kvm_tdx_capabilities {
	uint64_t supported_attrs, supported_xfam;
	/* TDVMCALLs that KVM serves, and that it passes on to user space: what GetTdVmCallInfo tells in R11 and R12. */
	uint64_t kernel_tdvmcallinfo_1_r11, user_tdvmcallinfo_1_r11;
	uint64_t kernel_tdvmcallinfo_1_r12, user_tdvmcallinfo_1_r12;
	uint64_t reserved[250];
	struct kvm_cpuid2 cpuid; /* what may be configured */
};
KVM_ABI_SIZE(struct kvm_tdx_capabilities, 2056);
struct kvm_tdx_init_vm {
	uint64_t attributes, xfam;
	uint64_t mrconfigid[6], mrowner[6], mrownerconfig[6];
	uint64_t reserved[12];
	struct kvm_cpuid2 cpuid;
};
KVM_ABI_SIZE(struct kvm_tdx_init_vm, 264);
#define KVM_TDX_MEASURE_MEMORY_REGION (1u << 0)
struct kvm_tdx_init_mem_region {
	uint64_t source_addr, gpa, nr_pages;
};
KVM_ABI_SIZE(struct kvm_tdx_init_mem_region, 24);

/* Sub-functions and results of TDG.VP.VMCALL that meet user space (guest-hypervisor communication interface). */
#define TDVMCALL_GET_TD_VM_CALL_INFO	       0x10000u
#define TDVMCALL_MAP_GPA		       0x10001u
#define TDVMCALL_GET_QUOTE		       0x10002u
#define TDVMCALL_REPORT_FATAL_ERROR	       0x10003u
#define TDVMCALL_SETUP_EVENT_NOTIFY_INTERRUPT  0x10004u
#define TDVMCALL_STATUS_SUCCESS		       0x0000000000000000ull
#define TDVMCALL_STATUS_RETRY		       0x0000000000000001ull
#define TDVMCALL_STATUS_INVALID_OPERAND	       0x8000000000000000ull
#define TDVMCALL_STATUS_GPA_INUSE	       0x8000000000000001ull
#define TDVMCALL_STATUS_ALIGN_ERROR	       0x8000000000000002ull
#define TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED    0x8000000000000003ull

#define KVM_X2APIC_API_USE_32BIT_IDS		(1ull << 0)
#define KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK	(1ull << 1)
#define KVM_X86_DISABLE_EXITS_MWAIT  (1u << 0)
#define KVM_X86_DISABLE_EXITS_HLT    (1u << 1)
#define KVM_X86_DISABLE_EXITS_PAUSE  (1u << 2)
#define KVM_X86_DISABLE_EXITS_CSTATE (1u << 3)

#define KVM_X86_QUIRK_LINT0_REENABLED	     (1u << 0)
#define KVM_X86_QUIRK_CD_NW_CLEARED	     (1u << 1)
#define KVM_X86_QUIRK_LAPIC_MMIO_HOLE	     (1u << 2)
#define KVM_X86_QUIRK_OUT_7E_INC_RIP	     (1u << 3)
#define KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT   (1u << 4)
#define KVM_X86_QUIRK_FIX_HYPERCALL_INSN     (1u << 5)
#define KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS  (1u << 6)
#define KVM_X86_QUIRK_SLOT_ZAP_ALL	     (1u << 7)
#define KVM_X86_QUIRK_STUFF_FEATURE_MSRS     (1u << 8)
#define KVM_X86_QUIRK_IGNORE_GUEST_PAT	     (1u << 9)

/* Capabilities: the number is what KVM_CHECK_EXTENSION takes. */
#define KVM_CAP_IRQCHIP			    0
#define KVM_CAP_HLT			    1
#define KVM_CAP_MMU_SHADOW_CACHE_CONTROL    2
#define KVM_CAP_USER_MEMORY		    3
#define KVM_CAP_SET_TSS_ADDR		    4
#define KVM_CAP_VAPIC			    6
#define KVM_CAP_EXT_CPUID		    7
#define KVM_CAP_CLOCKSOURCE		    8
#define KVM_CAP_NR_VCPUS		    9
#define KVM_CAP_NR_MEMSLOTS		    10
#define KVM_CAP_PIT			    11
#define KVM_CAP_NOP_IO_DELAY		    12
#define KVM_CAP_PV_MMU			    13
#define KVM_CAP_MP_STATE		    14
#define KVM_CAP_COALESCED_MMIO		    15
#define KVM_CAP_SYNC_MMU		    16
#define KVM_CAP_IOMMU			    18
#define KVM_CAP_DESTROY_MEMORY_REGION_WORKS 21
#define KVM_CAP_USER_NMI		    22
#define KVM_CAP_SET_GUEST_DEBUG		    23
#define KVM_CAP_REINJECT_CONTROL	    24
#define KVM_CAP_IRQ_ROUTING		    25
#define KVM_CAP_IRQ_INJECT_STATUS	    26
#define KVM_CAP_ASSIGN_DEV_IRQ		    29
#define KVM_CAP_JOIN_MEMORY_REGIONS_WORKS   30
#define KVM_CAP_MCE			    31
#define KVM_CAP_IRQFD			    32
#define KVM_CAP_PIT2			    33
#define KVM_CAP_SET_BOOT_CPU_ID		    34
#define KVM_CAP_PIT_STATE2		    35
#define KVM_CAP_IOEVENTFD		    36
#define KVM_CAP_SET_IDENTITY_MAP_ADDR	    37
#define KVM_CAP_XEN_HVM			    38
#define KVM_CAP_ADJUST_CLOCK		    39
#define KVM_CAP_INTERNAL_ERROR_DATA	    40
#define KVM_CAP_VCPU_EVENTS		    41
#define KVM_CAP_PCI_SEGMENT		    47
#define KVM_CAP_HYPERV			    44
#define KVM_CAP_HYPERV_VAPIC		    45
#define KVM_CAP_HYPERV_SPIN		    46
#define KVM_CAP_INTR_SHADOW		    49
#define KVM_CAP_DEBUGREGS		    50
#define KVM_CAP_X86_ROBUST_SINGLESTEP	    51
#define KVM_CAP_ENABLE_CAP		    54
#define KVM_CAP_XSAVE			    55
#define KVM_CAP_XCRS			    56
#define KVM_CAP_ASYNC_PF		    59
#define KVM_CAP_TSC_CONTROL		    60
#define KVM_CAP_GET_TSC_KHZ		    61
#define KVM_CAP_MAX_VCPUS		    66
#define KVM_CAP_ONE_REG			    70
#define KVM_CAP_TSC_DEADLINE_TIMER	    72
#define KVM_CAP_SYNC_REGS		    74
#define KVM_CAP_PCI_2_3			    75
#define KVM_CAP_KVMCLOCK_CTRL		    76
#define KVM_CAP_SIGNAL_MSI		    77
#define KVM_CAP_READONLY_MEM		    81
#define KVM_CAP_IRQFD_RESAMPLE		    82
#define KVM_CAP_DEVICE_CTRL		    89
#define KVM_CAP_EXT_EMUL_CPUID		    95
#define KVM_CAP_HYPERV_TIME		    96
#define KVM_CAP_IOAPIC_POLARITY_IGNORED	    97
#define KVM_CAP_ENABLE_CAP_VM		    98
#define KVM_CAP_IOEVENTFD_NO_LENGTH	    100
#define KVM_CAP_VM_ATTRIBUTES		    101
#define KVM_CAP_CHECK_EXTENSION_VM	    105
#define KVM_CAP_DISABLE_QUIRKS		    116
#define KVM_CAP_X86_SMM			    117
#define KVM_CAP_MULTI_ADDRESS_SPACE	    118
#define KVM_CAP_SPLIT_IRQCHIP		    121
#define KVM_CAP_IOEVENTFD_ANY_LENGTH	    122
#define KVM_CAP_HYPERV_SYNIC		    123
#define KVM_CAP_VCPU_ATTRIBUTES		    127
#define KVM_CAP_MAX_VCPU_ID		    128
#define KVM_CAP_X2APIC_API		    129
#define KVM_CAP_MSI_DEVID		    131
#define KVM_CAP_IMMEDIATE_EXIT		    136
#define KVM_CAP_X86_DISABLE_EXITS	    143
#define KVM_CAP_HYPERV_SYNIC2		    148
#define KVM_CAP_HYPERV_VP_INDEX		    149
#define KVM_CAP_GET_MSR_FEATURES	    153
#define KVM_CAP_HYPERV_EVENTFD		    154
#define KVM_CAP_HYPERV_TLBFLUSH		    155
#define KVM_CAP_NESTED_STATE		    157
#define KVM_CAP_MSR_PLATFORM_INFO	    159
#define KVM_CAP_HYPERV_SEND_IPI		    161
#define KVM_CAP_COALESCED_PIO		    162
#define KVM_CAP_HYPERV_ENLIGHTENED_VMCS	    163
#define KVM_CAP_EXCEPTION_PAYLOAD	    164
#define KVM_CAP_HYPERV_CPUID		    167
#define KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2   168
#define KVM_CAP_PMU_EVENT_FILTER	    173
#define KVM_CAP_HYPERV_DIRECT_TLBFLUSH	    175
#define KVM_CAP_HALT_POLL		    182
#define KVM_CAP_ASYNC_PF_INT		    183
#define KVM_CAP_LAST_CPU		    184
#define KVM_CAP_STEAL_TIME		    187
#define KVM_CAP_X86_USER_SPACE_MSR	    188
#define KVM_CAP_X86_MSR_FILTER		    189
#define KVM_CAP_ENFORCE_PV_FEATURE_CPUID    190
#define KVM_CAP_SYS_HYPERV_CPUID	    191
#define KVM_CAP_DIRTY_LOG_RING		    192
#define KVM_CAP_X86_BUS_LOCK_EXIT	    193
#define KVM_CAP_SET_GUEST_DEBUG2	    195
#define KVM_CAP_SGX_ATTRIBUTE		    196
#define KVM_CAP_VM_COPY_ENC_CONTEXT_FROM    197
#define KVM_CAP_HYPERV_ENFORCE_CPUID	    199
#define KVM_CAP_SREGS2			    200
#define KVM_CAP_EXIT_HYPERCALL		    201
#define KVM_CAP_BINARY_STATS_FD		    203
#define KVM_CAP_EXIT_ON_EMULATION_FAILURE   204
#define KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM    206
#define KVM_CAP_VM_GPA_BITS		    207
#define KVM_CAP_XSAVE2			    208
#define KVM_CAP_SYS_ATTRIBUTES		    209
#define KVM_CAP_PMU_CAPABILITY		    212
#define KVM_CAP_DISABLE_QUIRKS2		    213
#define KVM_CAP_VM_TSC_CONTROL		    214
#define KVM_CAP_SYSTEM_EVENT_DATA	    215
#define KVM_CAP_X86_TRIPLE_FAULT_EVENT	    218
#define KVM_CAP_X86_NOTIFY_VMEXIT	    219
#define KVM_CAP_VM_DISABLE_NX_HUGE_PAGES    220
#define KVM_CAP_DIRTY_LOG_RING_ACQ_REL	    223
#define KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP  225
#define KVM_CAP_PMU_EVENT_MASKED_EVENTS	    226
#define KVM_CAP_USER_MEMORY2		    231
#define KVM_CAP_MEMORY_FAULT_INFO	    232
#define KVM_CAP_MEMORY_ATTRIBUTES	    233
#define KVM_CAP_GUEST_MEMFD		    234
#define KVM_CAP_VM_TYPES		    235
#define KVM_CAP_PRE_FAULT_MEMORY	    236
#define KVM_CAP_X86_APIC_BUS_CYCLES_NS	    237
#define KVM_CAP_X86_GUEST_MODE		    238
#define KVM_CAP_GUEST_MEMFD_FLAGS	    244

/* ---------------------------------------------------------------- requests */

#define KVMIO 0xAE

/* on /dev/kvm */
#define KVM_GET_API_VERSION	    _IO(KVMIO, 0x00)
#define KVM_CREATE_VM		    _IO(KVMIO, 0x01)
#define KVM_GET_MSR_INDEX_LIST	    _IOWR(KVMIO, 0x02, struct kvm_msr_list)
#define KVM_CHECK_EXTENSION	    _IO(KVMIO, 0x03)
#define KVM_GET_VCPU_MMAP_SIZE	    _IO(KVMIO, 0x04)
#define KVM_GET_SUPPORTED_CPUID	    _IOWR(KVMIO, 0x05, struct kvm_cpuid2)
#define KVM_GET_EMULATED_CPUID	    _IOWR(KVMIO, 0x09, struct kvm_cpuid2)
#define KVM_GET_MSR_FEATURE_INDEX_LIST _IOWR(KVMIO, 0x0a, struct kvm_msr_list)
#define KVM_X86_GET_MCE_CAP_SUPPORTED _IOR(KVMIO, 0x9d, uint64_t)

/* on a VM */
#define KVM_CREATE_VCPU		    _IO(KVMIO, 0x41)
#define KVM_GET_DIRTY_LOG	    _IOW(KVMIO, 0x42, struct kvm_dirty_log)
#define KVM_SET_NR_MMU_PAGES	    _IO(KVMIO, 0x44)
#define KVM_GET_NR_MMU_PAGES	    _IO(KVMIO, 0x45)
#define KVM_SET_USER_MEMORY_REGION  _IOW(KVMIO, 0x46, struct kvm_userspace_memory_region)
#define KVM_SET_TSS_ADDR	    _IO(KVMIO, 0x47)
#define KVM_SET_IDENTITY_MAP_ADDR   _IOW(KVMIO, 0x48, uint64_t)
#define KVM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)
#define KVM_CREATE_IRQCHIP	    _IO(KVMIO, 0x60)
#define KVM_IRQ_LINE		    _IOW(KVMIO, 0x61, struct kvm_irq_level)
#define KVM_GET_IRQCHIP		    _IOWR(KVMIO, 0x62, struct kvm_irqchip)
#define KVM_SET_IRQCHIP		    _IOR(KVMIO, 0x63, struct kvm_irqchip)
#define KVM_CREATE_PIT		    _IO(KVMIO, 0x64)
#define KVM_GET_PIT		    _IOWR(KVMIO, 0x65, struct kvm_pit_state)
#define KVM_SET_PIT		    _IOR(KVMIO, 0x66, struct kvm_pit_state)
#define KVM_IRQ_LINE_STATUS	    _IOWR(KVMIO, 0x67, struct kvm_irq_level)
#define KVM_REGISTER_COALESCED_MMIO _IOW(KVMIO, 0x67, struct kvm_coalesced_mmio_zone)
#define KVM_UNREGISTER_COALESCED_MMIO _IOW(KVMIO, 0x68, struct kvm_coalesced_mmio_zone)
#define KVM_SET_GSI_ROUTING	    _IOW(KVMIO, 0x6a, struct kvm_irq_routing)
#define KVM_REINJECT_CONTROL	    _IO(KVMIO, 0x71)
#define KVM_IRQFD		    _IOW(KVMIO, 0x76, struct kvm_irqfd)
#define KVM_CREATE_PIT2		    _IOW(KVMIO, 0x77, struct kvm_pit_config)
#define KVM_SET_BOOT_CPU_ID	    _IO(KVMIO, 0x78)
#define KVM_IOEVENTFD		    _IOW(KVMIO, 0x79, struct kvm_ioeventfd)
#define KVM_XEN_HVM_CONFIG	    _IOW(KVMIO, 0x7a, struct kvm_xen_hvm_config)
#define KVM_SET_CLOCK		    _IOW(KVMIO, 0x7b, struct kvm_clock_data)
#define KVM_GET_CLOCK		    _IOR(KVMIO, 0x7c, struct kvm_clock_data)
#define KVM_GET_PIT2		    _IOR(KVMIO, 0x9f, struct kvm_pit_state2)
#define KVM_SET_PIT2		    _IOW(KVMIO, 0xa0, struct kvm_pit_state2)
#define KVM_SIGNAL_MSI		    _IOW(KVMIO, 0xa5, struct kvm_msi)
#define KVM_SET_PMU_EVENT_FILTER    _IOW(KVMIO, 0xb2, struct kvm_pmu_event_filter)
#define KVM_MEMORY_ENCRYPT_OP	    _IOWR(KVMIO, 0xba, unsigned long)
#define KVM_MEMORY_ENCRYPT_REG_REGION _IOR(KVMIO, 0xbb, struct kvm_enc_region)
#define KVM_MEMORY_ENCRYPT_UNREG_REGION _IOR(KVMIO, 0xbc, struct kvm_enc_region)
#define KVM_CLEAR_DIRTY_LOG	    _IOWR(KVMIO, 0xc0, struct kvm_clear_dirty_log)
#define KVM_X86_SET_MSR_FILTER	    _IOW(KVMIO, 0xc6, struct kvm_msr_filter)
#define KVM_RESET_DIRTY_RINGS	    _IO(KVMIO, 0xc7)
#define KVM_SET_MEMORY_ATTRIBUTES   _IOW(KVMIO, 0xd2, struct kvm_memory_attributes)
#define KVM_CREATE_GUEST_MEMFD	    _IOWR(KVMIO, 0xd4, struct kvm_create_guest_memfd)
#define KVM_CREATE_DEVICE	    _IOWR(KVMIO, 0xe0, struct kvm_create_device)
#define KVM_SET_DEVICE_ATTR	    _IOW(KVMIO, 0xe1, struct kvm_device_attr)
#define KVM_GET_DEVICE_ATTR	    _IOW(KVMIO, 0xe2, struct kvm_device_attr)
#define KVM_HAS_DEVICE_ATTR	    _IOW(KVMIO, 0xe3, struct kvm_device_attr)

/* on a vCPU */
#define KVM_RUN			    _IO(KVMIO, 0x80)
#define KVM_GET_REGS		    _IOR(KVMIO, 0x81, struct kvm_regs)
#define KVM_SET_REGS		    _IOW(KVMIO, 0x82, struct kvm_regs)
#define KVM_GET_SREGS		    _IOR(KVMIO, 0x83, struct kvm_sregs)
#define KVM_SET_SREGS		    _IOW(KVMIO, 0x84, struct kvm_sregs)
#define KVM_TRANSLATE		    _IOWR(KVMIO, 0x85, struct kvm_translation)
#define KVM_INTERRUPT		    _IOW(KVMIO, 0x86, struct kvm_interrupt)
#define KVM_GET_MSRS		    _IOWR(KVMIO, 0x88, struct kvm_msrs)
#define KVM_SET_MSRS		    _IOW(KVMIO, 0x89, struct kvm_msrs)
#define KVM_SET_CPUID		    _IOW(KVMIO, 0x8a, struct kvm_cpuid)
#define KVM_SET_SIGNAL_MASK	    _IOW(KVMIO, 0x8b, struct kvm_signal_mask)
#define KVM_GET_FPU		    _IOR(KVMIO, 0x8c, struct kvm_fpu)
#define KVM_SET_FPU		    _IOW(KVMIO, 0x8d, struct kvm_fpu)
#define KVM_GET_LAPIC		    _IOR(KVMIO, 0x8e, struct kvm_lapic_state)
#define KVM_SET_LAPIC		    _IOW(KVMIO, 0x8f, struct kvm_lapic_state)
#define KVM_SET_CPUID2		    _IOW(KVMIO, 0x90, struct kvm_cpuid2)
#define KVM_GET_CPUID2		    _IOWR(KVMIO, 0x91, struct kvm_cpuid2)
#define KVM_TPR_ACCESS_REPORTING    _IOWR(KVMIO, 0x92, struct kvm_tpr_access_ctl)
#define KVM_SET_VAPIC_ADDR	    _IOW(KVMIO, 0x93, struct kvm_vapic_addr)
#define KVM_GET_MP_STATE	    _IOR(KVMIO, 0x98, struct kvm_mp_state)
#define KVM_SET_MP_STATE	    _IOW(KVMIO, 0x99, struct kvm_mp_state)
#define KVM_NMI			    _IO(KVMIO, 0x9a)
#define KVM_SET_GUEST_DEBUG	    _IOW(KVMIO, 0x9b, struct kvm_guest_debug)
#define KVM_X86_SETUP_MCE	    _IOW(KVMIO, 0x9c, uint64_t)
#define KVM_X86_SET_MCE		    _IOW(KVMIO, 0x9e, struct kvm_x86_mce)
#define KVM_GET_VCPU_EVENTS	    _IOR(KVMIO, 0x9f, struct kvm_vcpu_events)
#define KVM_SET_VCPU_EVENTS	    _IOW(KVMIO, 0xa0, struct kvm_vcpu_events)
#define KVM_GET_DEBUGREGS	    _IOR(KVMIO, 0xa1, struct kvm_debugregs)
#define KVM_SET_DEBUGREGS	    _IOW(KVMIO, 0xa2, struct kvm_debugregs)
#define KVM_SET_TSC_KHZ		    _IO(KVMIO, 0xa2)
#define KVM_GET_TSC_KHZ		    _IO(KVMIO, 0xa3)
#define KVM_ENABLE_CAP		    _IOW(KVMIO, 0xa3, struct kvm_enable_cap)
#define KVM_GET_XSAVE		    _IOR(KVMIO, 0xa4, struct kvm_xsave)
#define KVM_SET_XSAVE		    _IOW(KVMIO, 0xa5, struct kvm_xsave)
#define KVM_GET_XCRS		    _IOR(KVMIO, 0xa6, struct kvm_xcrs)
#define KVM_SET_XCRS		    _IOW(KVMIO, 0xa7, struct kvm_xcrs)
#define KVM_GET_ONE_REG		    _IOW(KVMIO, 0xab, struct kvm_one_reg)
#define KVM_SET_ONE_REG		    _IOW(KVMIO, 0xac, struct kvm_one_reg)
#define KVM_KVMCLOCK_CTRL	    _IO(KVMIO, 0xad)
#define KVM_GET_REG_LIST	    _IOWR(KVMIO, 0xb0, struct kvm_reg_list)
#define KVM_SMI			    _IO(KVMIO, 0xb7)
#define KVM_GET_NESTED_STATE	    _IOWR(KVMIO, 0xbe, struct kvm_nested_state)
#define KVM_SET_NESTED_STATE	    _IOW(KVMIO, 0xbf, struct kvm_nested_state)
#define KVM_GET_SUPPORTED_HV_CPUID  _IOWR(KVMIO, 0xc1, struct kvm_cpuid2)
#define KVM_GET_SREGS2		    _IOR(KVMIO, 0xcc, struct kvm_sregs2)
#define KVM_SET_SREGS2		    _IOW(KVMIO, 0xcd, struct kvm_sregs2)
#define KVM_GET_STATS_FD	    _IO(KVMIO, 0xce)
#define KVM_GET_XSAVE2		    _IOR(KVMIO, 0xcf, struct kvm_xsave)
#define KVM_PRE_FAULT_MEMORY	    _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)

/* ---------------------------------------------------------------- what the guest sees (cpuid.rst, msr.rst, hypercalls.rst) */

#define KVM_CPUID_SIGNATURE 0x40000000u
#define KVM_CPUID_FEATURES  0x40000001u
#define KVM_FEATURE_CLOCKSOURCE	       0
#define KVM_FEATURE_NOP_IO_DELAY       1
#define KVM_FEATURE_MMU_OP	       2
#define KVM_FEATURE_CLOCKSOURCE2       3
#define KVM_FEATURE_ASYNC_PF	       4
#define KVM_FEATURE_STEAL_TIME	       5
#define KVM_FEATURE_PV_EOI	       6
#define KVM_FEATURE_PV_UNHALT	       7
#define KVM_FEATURE_PV_TLB_FLUSH       9
#define KVM_FEATURE_ASYNC_PF_VMEXIT    10
#define KVM_FEATURE_PV_SEND_IPI	       11
#define KVM_FEATURE_POLL_CONTROL       12
#define KVM_FEATURE_PV_SCHED_YIELD     13
#define KVM_FEATURE_ASYNC_PF_INT       14
#define KVM_FEATURE_MSI_EXT_DEST_ID    15
#define KVM_FEATURE_HC_MAP_GPA_RANGE   16
#define KVM_FEATURE_MIGRATION_CONTROL  17
#define KVM_FEATURE_CLOCKSOURCE_STABLE_BIT 24
#define KVM_HINTS_REALTIME 0

#define MSR_KVM_WALL_CLOCK	  0x11u
#define MSR_KVM_SYSTEM_TIME	  0x12u
#define MSR_KVM_WALL_CLOCK_NEW	  0x4b564d00u
#define MSR_KVM_SYSTEM_TIME_NEW	  0x4b564d01u
#define MSR_KVM_ASYNC_PF_EN	  0x4b564d02u
#define MSR_KVM_STEAL_TIME	  0x4b564d03u
#define MSR_KVM_PV_EOI_EN	  0x4b564d04u
#define MSR_KVM_POLL_CONTROL	  0x4b564d05u
#define MSR_KVM_ASYNC_PF_INT	  0x4b564d06u
#define MSR_KVM_ASYNC_PF_ACK	  0x4b564d07u
#define MSR_KVM_MIGRATION_CONTROL 0x4b564d08u

#define KVM_HC_VAPIC_POLL_IRQ 1
#define KVM_HC_KICK_CPU	      5
#define KVM_HC_CLOCK_PAIRING  9
#define KVM_HC_SEND_IPI	      10
#define KVM_HC_SCHED_YIELD    11
#define KVM_HC_MAP_GPA_RANGE  12
#define KVM_ENOSYS	1000
#define KVM_EFAULT	14
#define KVM_EINVAL	22
#define KVM_E2BIG	7
#define KVM_EPERM	1
#define KVM_EOPNOTSUPP	95

struct kvm_clock_pairing {
	int64_t sec, nsec;
	uint64_t tsc;
	uint32_t flags, pad[9];
};
KVM_ABI_SIZE(struct kvm_clock_pairing, 64);

struct kvm_steal_time {
	uint64_t steal; /* ns */
	uint32_t version, flags;
	uint8_t preempted, pad0[3];
	uint32_t pad[11];
};
KVM_ABI_SIZE(struct kvm_steal_time, 64);
#define KVM_VCPU_PREEMPTED 1u

struct pvclock_vcpu_time_info {
	uint32_t version, pad0;
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, pad[2];
};
KVM_ABI_SIZE(struct pvclock_vcpu_time_info, 32);
#define PVCLOCK_TSC_STABLE_BIT	1u
#define PVCLOCK_GUEST_STOPPED	2u

struct pvclock_wall_clock {
	uint32_t version, sec, nsec;
};
KVM_ABI_SIZE(struct pvclock_wall_clock, 12);
