// SPDX-License-Identifier: Apache-2.0
/*
 * KVM_X86_TDX_VM, as its files see it. Nobody outside src/kvm/vendor includes this.
 *
 *   tdx.c         the vendor table, life of VM and vCPU, MSRs
 *   tdx_cmd.c     KVM_MEMORY_ENCRYPT_OP;  tdx_init.c  TDs and vCPUs from their parameters;  tdx_cpuid.c  their CPUID
 *   tdx_sept.c    private memory through the module's secure EPT
 *   tdx_run.c     entry and exits;  tdx_vmcall.c  what the guest asks for
 *
 * Locks: `state` changes under kvm->lock, and to RUNNABLE also under slots_lock; it is read with neither. `adding` is for the
 * thread that holds slots_lock.
 */
#pragma once

#include "hw/tdx/tdx.h"
#include "kvm/kvm.h"

struct kvm_call;

enum kvm_td_state { TD_UNINITIALIZED, TD_INITIALIZED, TD_RUNNABLE };

/* Pages that the module has been given for a vCPU. */
struct kvm_tdx_pages {
	struct kvm_tdx_pages *next;
	u8 *pages;
};

struct kvm_tdx {
	struct tdx_module *module;
	u8 *control;		/* TDR and TDCS, page by page; NULL: there is no TD */
	unsigned int control_pages;
	unsigned int vp_pages;	/* TDVPR and TDCX of a vCPU */
	struct kvm_tdx_pages *vps; /* of all vCPUs, until the module has gone; under kvm->lock */
	bool has_td;		/* TDH.MNG.CREATE succeeded: the key is in use */
	_Atomic enum kvm_td_state state;
	u64 tsc_offset, tsc_mult;
	const u8 *adding;	/* KVM_TDX_INIT_MEM_REGION: contents of the page that is being mapped */
};

struct kvm_tdx_vcpu {
	u8 *control;   /* TDVPR and TDCX; NULL: not initialised */
	bool initialized;
	/* The registers of a TDG.VP.VMCALL: what the guest asked, then what it is answered. */
	struct tdx_regs regs;
	u64 exit;      /* RAX of the last TDH.VP.ENTER */
	u64 map_next, map_end; /* MapGPA: what is left */
	bool halted_masked; /* in TDVMCALL HLT with interrupts blocked */
	bool halted;	    /* the last exit was TDVMCALL HLT */
};

static inline u64 kvm_tdx_tdr(const struct kvm *kvm) { return (u64)(uintptr_t)kvm->tdx->control; }
static inline u64 kvm_tdx_tdvpr(const struct kvm_vcpu *vcpu) { return (u64)(uintptr_t)vcpu->tdx->control; }
static inline enum kvm_td_state kvm_td_state(const struct kvm *kvm)
{
	return atomic_load_explicit(&kvm->tdx->state, memory_order_acquire);
}
/* Does the address, shared bit and all, name private memory? */
static inline bool kvm_tdx_is_private(const struct kvm *kvm, u64 gpa) { return !(gpa & kvm->gpa_alias); }

/* SEAMCALLs with up to four inputs. `out` may be NULL. */
u64 kvm_tdx_seamcall(const struct kvm *kvm, u64 leaf, u64 rcx, u64 rdx, u64 r8, u64 r9, struct tdx_regs *out);
/* -EAGAIN for what is busy; an unexpected code makes the VM unusable: -EIO. 0. */
int kvm_tdx_error(struct kvm *kvm, u64 leaf, u64 status);
static inline bool kvm_tdx_busy(u64 status) { return (status & TDX_STATUS_MASK) == TDX_OPERAND_BUSY; }
/* TDH.SYS.RD; 0 for a field that the module does not have. */
u64 kvm_tdx_sys_field(const struct kvm *kvm, u64 field);

/* tdx_cmd.c */
long kvm_tdx_vm_command(struct kvm_call *c);
long kvm_tdx_vcpu_command(struct kvm_call *c);

/* tdx_init.c */
long kvm_tdx_init_vm(struct kvm *kvm, struct kvm_tdx_cmd *cmd);
long kvm_tdx_init_vcpu(struct kvm_vcpu *vcpu, const struct kvm_tdx_cmd *cmd);
long kvm_tdx_finalize(struct kvm *kvm, struct kvm_tdx_cmd *cmd);
void kvm_tdx_free_vcpu(struct kvm_vcpu *vcpu);
void kvm_tdx_free_td(struct kvm *kvm);
/* After the module has gone. */
void kvm_tdx_free_pages(struct kvm *kvm);

/* tdx_cpuid.c */
long kvm_tdx_capabilities(struct kvm *kvm, const struct kvm_tdx_cmd *cmd);
long kvm_tdx_get_cpuid(struct kvm_vcpu *vcpu, const struct kvm_tdx_cmd *cmd);
/* The module's n-th configurable leaf as an entry: what may be set in it. */
void kvm_tdx_cpuid_config(const struct kvm *kvm, unsigned int n, struct kvm_cpuid_entry2 *entry);
u64 kvm_tdx_supported_attributes(const struct kvm *kvm);
u64 kvm_tdx_supported_xfam(const struct kvm *kvm);

/* tdx_sept.c */
extern const struct kvm_private_ops kvm_tdx_private_ops;
long kvm_tdx_init_mem_region(struct kvm_vcpu *vcpu, const struct kvm_tdx_cmd *cmd);

/* tdx_run.c */
int kvm_tdx_enter(struct kvm_vcpu *vcpu);
bool kvm_tdx_interrupt_allowed(struct kvm_vcpu *vcpu);
bool kvm_tdx_has_interrupt(struct kvm_vcpu *vcpu);

/* tdx_vmcall.c: an exit handler's answer. */
int kvm_tdx_handle_vmcall(struct kvm_vcpu *vcpu);
