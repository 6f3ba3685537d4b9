// SPDX-License-Identifier: Apache-2.0
/*
 * The other vendor's hypercall instruction, which is #UD here (api.rst KVM_X86_QUIRK_FIX_HYPERCALL_INSN): it is overwritten
 * with the right one, and the guest goes on at the same place.
 */
#include <string.h>

#include "kvm/x86/smm.h"
#include "kvm/x86/x86.h"

#define HYPERCALL_SIZE 3
enum { PFERR_P = 1, PFERR_W = 2, PFERR_U = 4, CR0_WP = 1 << 16 };
enum { VECTOR_PF = 14 };

static const u8 rsm[] = { 0x0f, 0xaa };
static const u8 vmcall[HYPERCALL_SIZE] = { 0x0f, 0x01, 0xc1 }, vmmcall[HYPERCALL_SIZE] = { 0x0f, 0x01, 0xd9 };

static u64 insn_address(const struct kvm_vcpu *vcpu, unsigned int n)
{
	const struct hw_arch *a = hw_cpu_arch(vcpu->cpu);
	u64 at = a->seg[HW_CS].base + a->rip + n;

	return kvm_in_long_mode(vcpu) ? a->rip + n : (u32)at;
}

/* Byte by byte: an instruction may lie across a page boundary. */
static bool fetch(struct kvm_vcpu *vcpu, u8 *insn)
{
	for (unsigned int n = 0; n < HYPERCALL_SIZE; n++) {
		struct hw_translation at;

		if (!kvm_translate(vcpu, gva(insn_address(vcpu, n)), &at) || kvm_read_guest(vcpu->kvm, at.gpa, &insn[n], 1))
			return false;
	}
	return true;
}

static int inject_write_fault(struct kvm_vcpu *vcpu, u64 address, bool present)
{
	u32 error = PFERR_W | (present ? PFERR_P : 0) | (kvm_cpl(vcpu) == 3 ? PFERR_U : 0);

	kvm_queue_exception_error(vcpu, VECTOR_PF, error);
	vcpu->exception.has_payload = true;
	vcpu->exception.payload = address;
	return KVM_RESUME_GUEST;
}

/* As the guest's own write to its code would be: its paging may forbid it. */
static int patch(struct kvm_vcpu *vcpu, const u8 *insn)
{
	bool write_protect = hw_cpu_arch(vcpu->cpu)->cr0 & CR0_WP, user_mode = kvm_cpl(vcpu) == 3;
	struct hw_translation at[HYPERCALL_SIZE];

	for (unsigned int n = 0; n < HYPERCALL_SIZE; n++) {
		u64 address = insn_address(vcpu, n);

		if (!kvm_translate(vcpu, gva(address), &at[n]))
			return inject_write_fault(vcpu, address, false);
		if ((!at[n].writable && (write_protect || user_mode)) || (!at[n].user && user_mode))
			return inject_write_fault(vcpu, address, true);
	}
	for (unsigned int n = 0; n < HYPERCALL_SIZE; n++)
		if (kvm_write_guest(vcpu->kvm, at[n].gpa, &insn[n], 1))
			return kvm_handle_ud(vcpu);
	return KVM_RESUME_GUEST;
}

int kvm_handle_undefined(struct kvm_vcpu *vcpu)
{
	bool intel = kvm_is_intel(vcpu->kvm);
	u8 insn[15];

	/* RSM is for the handler of an SMI: APM3 RSM. */
	if (vcpu->smm.on && hw_cpu_insn_bytes(vcpu->cpu, insn) >= sizeof(rsm) && !memcmp(insn, rsm, sizeof(rsm)))
		return kvm_handle_rsm(vcpu);
	if (vcpu->kvm->caps.disabled_quirks & KVM_X86_QUIRK_FIX_HYPERCALL_INSN || !fetch(vcpu, insn) ||
	    memcmp(insn, intel ? vmmcall : vmcall, HYPERCALL_SIZE))
		return kvm_handle_ud(vcpu);
	return patch(vcpu, intel ? vmcall : vmmcall);
}
