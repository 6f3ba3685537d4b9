// SPDX-License-Identifier: Apache-2.0
/* Registers of a vCPU that no processor can have. */
#include <errno.h>

#include "bad.h"

#define SREGS(...)  .on = VCPU, .request = KVM_SET_SREGS, .in = PLAIN, ARGUMENT(struct kvm_sregs, __VA_ARGS__)
#define SREGS2(...) .on = VCPU, .request = KVM_SET_SREGS2, .in = PLAIN, ARGUMENT(struct kvm_sregs2, __VA_ARGS__)
#define DEBUG(...)  .on = VCPU, .request = KVM_SET_DEBUGREGS, .in = PLAIN, ARGUMENT(struct kvm_debugregs, __VA_ARGS__)
#define XCRS(...)   .on = VCPU, .request = KVM_SET_XCRS, .in = PLAIN, ARGUMENT(struct kvm_xcrs, __VA_ARGS__)
#define XSAVE(...)  .on = VCPU, .request = KVM_SET_XSAVE, .in = PLAIN, ARGUMENT(struct kvm_xsave, __VA_ARGS__)

#define PE   (1ull << 0)
#define PG   (1ull << 31)
#define PAE  (1ull << 5)
#define LME  (1ull << 8)
#define LMA  (1ull << 10)
#define BASE .apic_base = 0xfee00900

static const struct bad rows[] = {
	{ "long mode without PAE", SREGS(BASE, .cr0 = PE | PG, .efer = LME | LMA), .error = EINVAL },
	{ "long mode without LMA", SREGS(BASE, .cr0 = PE | PG, .cr4 = PAE, .efer = LME), .error = EINVAL },
	{ "LMA without paging", SREGS(BASE, .cr0 = PE, .efer = LMA), .error = EINVAL },
	{ "64-bit code without long mode", SREGS(BASE, .cr0 = PE, .cs.l = 1), .error = EINVAL },
	{ "CR3 beyond the address width", SREGS(BASE, .cr0 = PE | PG, .cr4 = PAE, .efer = LME | LMA, .cr3 = 1ull << 52),
	  .error = EINVAL },
	{ "CR4 bit 63", SREGS(BASE, .cr4 = 1ull << 63), .error = EINVAL },
	{ "CR0 bit 63", SREGS(BASE, .cr0 = 1ull << 63), .error = EINVAL },
	{ "paging without protection", SREGS(BASE, .cr0 = PG), .error = EINVAL },
	{ "APIC base beyond the address width", SREGS(.apic_base = 1ull << 52), .error = EINVAL },
	{ "flags", SREGS2(BASE, .flags = 1u << 1), .error = EINVAL },
	{ "PDPTEs without PAE paging", SREGS2(BASE, .flags = 1), .error = EINVAL },
	{ "long mode without PAE", SREGS2(BASE, .cr0 = PE | PG, .efer = LME | LMA), .error = EINVAL },

	{ "debug registers: flags", DEBUG(.flags = 1), .error = EINVAL },
	{ "DR6 of 64 bits", DEBUG(.dr6 = 1ull << 32), .error = EINVAL },
	{ "DR7 of 64 bits", DEBUG(.dr7 = 1ull << 32), .error = EINVAL },

	{ "17 XCRs", XCRS(.nr_xcrs = 17), .error = EINVAL },
	{ "XCRs: flags", XCRS(.nr_xcrs = 1, .flags = 1, .xcrs[0] = { 0, 0, 1 }), .error = EINVAL },
	{ "XCR0 without x87", XCRS(.nr_xcrs = 1, .xcrs[0] = { 0, 0, 2 }), .error = EINVAL },
	{ "XCR0 with bit 63", XCRS(.nr_xcrs = 1, .xcrs[0] = { 0, 0, 1ull << 63 | 1 }), .error = EINVAL },
	{ "XSAVE: features that the guest has not", XSAVE(.region[128] = 0, .region[129] = 1u << 31), .error = EINVAL },
	{ "XSAVE: MXCSR bit 31", XSAVE(.region[6] = 1u << 31, .region[128] = 2), .error = EINVAL },
};

const struct bad_table bad_state = TABLE(rows);
