// SPDX-License-Identifier: Apache-2.0
/*
 * Exits in the platform's own format: SDM 3C 24.9 and 27.2 (intel), APM2 15.6 to 15.13 and App. C (amd).
 */
#include <string.h>

#include "hw/cpu/cpu.h"

#define CPU_CR0_PE	 (1u << 0)
#define INFO_VALID	 (1u << 31)
#define INFO_ERROR_VALID (1u << 11)

/* Interruption type, SDM 3C Table 24-15 (the same numbers as EVENTINJ's, APM2 15.20, as far as those go). */
enum { INTR_TYPE_HARD_EXCEPTION = 3, INTR_TYPE_PRIV_SOFT_EXCEPTION = 5, INTR_TYPE_SOFT_EXCEPTION = 6 };

/* SDM 3C Table 27-7. */
#define EPT_QUAL_READ	      (1ull << 0)
#define EPT_QUAL_WRITE	      (1ull << 1)
#define EPT_QUAL_FETCH	      (1ull << 2)
#define EPT_QUAL_PERMS_SHIFT  3
#define EPT_QUAL_LINEAR_VALID (1ull << 7)
#define EPT_QUAL_TRANSLATED   (1ull << 8)

/* The event whose delivery was cut short: IDT-vectoring information, EXITINTINFO. */
static void fill_vectoring(struct hw_cpu *c)
{
	const struct hw_event *e = &c->delivering;
	u32 info;

	if (!c->in_delivery)
		return;
	info = INFO_VALID | e->vector | (u32)(e->type & 7) << 8 | (e->has_error ? INFO_ERROR_VALID : 0);
	if (cpu_is_intel(c)) {
		c->exit.vmx.idt_info = info;
		c->exit.vmx.idt_error = e->error;
		/* SDM 3C 27.2.4: the length of the software event's instruction stands in the VM-exit instruction
		 * length. */
		if (e->type == HW_EVENT_SOFTINT || e->type == HW_EVENT_SOFTEXC)
			c->exit.vmx.insn_len = e->insn_len;
		return;
	}
	/* APM2 15.7.2: #BP and #OF have the type of an exception. */
	if (e->type == HW_EVENT_SOFTEXC)
		info = (info & ~(7u << 8)) | INTR_TYPE_HARD_EXCEPTION << 8;
	c->exit.svm.int_info = info | (u64)e->error << 32;
}

static struct hw_exit *begin_exit(struct hw_cpu *c)
{
	memset(&c->exit, 0, sizeof(c->exit));
	c->exit_pending_access = false;
	return &c->exit;
}

static void fill_vmx(struct hw_cpu *c, u32 reason, u64 qualification, unsigned int insn_len)
{
	c->exit.vmx.reason = reason;
	c->exit.vmx.qualification = qualification;
	c->exit.vmx.insn_len = insn_len;
	fill_vectoring(c);
}

/* next_rip is saved for instruction intercepts only (APM2 15.7.1): insn_len 0 leaves it 0. */
static void fill_svm(struct hw_cpu *c, u64 code, u64 info1, u64 info2, unsigned int insn_len)
{
	c->exit.svm.code = code;
	c->exit.svm.info1 = info1;
	c->exit.svm.info2 = info2;
	if (insn_len) {
		c->exit.svm.next_rip = c->arch.rip + insn_len;
		if (!cpu_cs64(c))
			c->exit.svm.next_rip = (u32)c->exit.svm.next_rip;
	}
	fill_vectoring(c);
}

/* ---------------------------------------------------------------- stage-2 faults */

static u64 take_fault_bits(struct hw_cpu *c)
{
	if (!c->fault_bits_count)
		return 0;
	c->fault_bits_count--;
	return c->fault_bits;
}

void hw_cpu_inject_fault_bits(struct hw_cpu *c, u64 bits, unsigned int count)
{
	c->fault_bits = bits;
	c->fault_bits_count = count;
}

static u64 ept_qualification(const struct access *a)
{
	u64 q = EPT_QUAL_LINEAR_VALID | (u64)(a->s2.perms & STAGE2_RWX) << EPT_QUAL_PERMS_SHIFT;

	if (a->acc & ACC_WRITE)
		q |= EPT_QUAL_WRITE;
	else if (a->acc & ACC_FETCH)
		q |= EPT_QUAL_FETCH;
	else
		q |= EPT_QUAL_READ;
	return a->table ? q : q | EPT_QUAL_TRANSLATED;
}

/* APM2 15.25.6: every nested access is a user access. */
static u64 npf_error(const struct access *a)
{
	u64 e = HW_PFERR_USER | (a->table ? HW_PFERR_GUEST_PAGE : HW_PFERR_GUEST_FINAL);

	if (a->s2.result != STAGE2_NOT_PRESENT)
		e |= HW_PFERR_PRESENT;
	if (a->s2.result == STAGE2_RESERVED)
		e |= HW_PFERR_RSVD;
	if (a->acc & ACC_WRITE)
		e |= HW_PFERR_WRITE;
	if (a->acc & ACC_FETCH)
		e |= HW_PFERR_FETCH;
	if (a->claim == CLAIM_PRIVATE)
		e |= HW_PFERR_GUEST_ENC;
	return e;
}

/* An EPT exit gives the address with its claim, as the guest's paging structures have it. */
static u64 claimed_address(const struct hw_cpu *c, const struct access *a)
{
	bool set = a->claim != CLAIM_NONE && (a->claim == CLAIM_PRIVATE) == c->ctl.claim_bit_is_private;

	return a->gpa.v | (set ? c->ctl.claim_bit : 0);
}

/* SDM 3C 26.5.7.1: convertible, and nothing forbids to deliver #VE now. */
static bool converts_to_ve(const struct hw_cpu *c, const struct access *a)
{
	const struct hw_ve_info *info = c->ctl.ve_info;

	return info && a->s2.result != STAGE2_RESERVED && !(a->s2.entry & STAGE2_EPT_SUPPRESS_VE) && !info->busy &&
	       c->arch.cr0 & CPU_CR0_PE && !c->in_delivery;
}

static int ept_violation_ve(struct hw_cpu *c, const struct access *a)
{
	struct hw_ve_info *info = c->ctl.ve_info;

	*info = (struct hw_ve_info){
		.exit_reason = VMX_EXIT_EPT_VIOLATION,
		.busy = ~0u,
		.qualification = ept_qualification(a) | take_fault_bits(c),
		.guest_linear = a->lin,
		.guest_physical = claimed_address(c, a),
	};
	observe(hw_machine_config(c->machine)->obs, OBSERVE_HW_VE, c->index, c->arch.rip, info->exit_reason, info->qualification,
		info->guest_physical, info->guest_linear);
	return cpu_raise(c, X86_VE);
}

/* The caller in access.c adds the data of a write. */
int cpu_exit_stage2(struct hw_cpu *c, const struct access *a)
{
	struct hw_exit *x;

	if (converts_to_ve(c, a))
		return ept_violation_ve(c, a);
	x = begin_exit(c);
	if (!cpu_is_intel(c)) {
		fill_svm(c, SVM_EXIT_NPF, npf_error(a) | take_fault_bits(c), a->gpa.v, 0);
	} else if (a->s2.result == STAGE2_RESERVED) {
		fill_vmx(c, VMX_EXIT_EPT_MISCONFIG, 0, 0);
		x->vmx.guest_physical = claimed_address(c, a);
	} else {
		fill_vmx(c, VMX_EXIT_EPT_VIOLATION, ept_qualification(a) | take_fault_bits(c), 0);
		x->vmx.guest_physical = claimed_address(c, a);
		x->vmx.guest_linear = a->lin;
	}
	x->access = (struct hw_access){
		.valid = true,
		.write = a->acc & ACC_WRITE,
		.fetch = !a->table && (a->acc & ACC_FETCH),
		.implicit = a->table || (a->acc & ACC_IMPLICIT),
		.size = a->size > 8 ? 8 : a->size,
		.count = 1,
		.addr = a->gpa.v,
	};
	c->exit_pending_access = !a->table && !(a->acc & ACC_FETCH);
	return EXEC_EXIT;
}

int cpu_exit_host_fault(struct hw_cpu *c)
{
	begin_exit(c)->host_fault = true;
	return EXEC_EXIT;
}

/* ---------------------------------------------------------------- instructions */

int cpu_exit_simple(struct hw_cpu *c, u32 vmx_reason, u64 svm_code, unsigned int insn_len)
{
	begin_exit(c);
	if (cpu_is_intel(c))
		fill_vmx(c, vmx_reason, 0, insn_len);
	else
		fill_svm(c, svm_code, 0, 0, insn_len);
	return EXEC_EXIT;
}

int cpu_exit_msr(struct hw_cpu *c, bool write, unsigned int insn_len)
{
	begin_exit(c);
	if (cpu_is_intel(c))
		fill_vmx(c, write ? VMX_EXIT_WRMSR : VMX_EXIT_RDMSR, 0, insn_len);
	else
		fill_svm(c, SVM_EXIT_MSR, write, 0, insn_len);
	return EXEC_EXIT;
}

/* SDM 3C Table 27-5. */
static u64 vmx_io_qualification(u16 port, unsigned int size, bool write, bool string, bool rep)
{
	return (size - 1) | (u64)!write << 3 | (u64)string << 4 | (u64)rep << 5 | (u64)port << 16;
}

/* APM2 Figure 15-2. The address size is the code segment's default. */
static u64 svm_io_info(const struct hw_cpu *c, u16 port, unsigned int size, bool write, bool string, bool rep)
{
	unsigned int address = c->mode & MODE_CS64 ? 9 : c->mode & MODE_CS32 ? 8 : 7;

	return (u64)!write | (u64)string << 2 | (u64)rep << 3 | (u64)size << 4 | 1ull << address | (u64)port << 16;
}

int cpu_exit_io(struct hw_cpu *c, u16 port, unsigned int size, bool write, u64 data, bool string, bool rep,
		unsigned int insn_len)
{
	struct hw_exit *x = begin_exit(c);

	if (cpu_is_intel(c)) {
		fill_vmx(c, VMX_EXIT_IO, vmx_io_qualification(port, size, write, string, rep), insn_len);
	} else {
		fill_svm(c, SVM_EXIT_IOIO, svm_io_info(c, port, size, write, string, rep), 0, insn_len);
		/* APM2 15.10.2: EXITINFO2 holds the RIP of the following instruction. */
		x->svm.info2 = x->svm.next_rip;
	}
	x->access = (struct hw_access){
		.valid = true,
		.pio = true,
		.write = write,
		.size = size,
		.count = 1,
		.addr = port,
		.data = data,
	};
	c->exit_pending_access = true;
	return EXEC_EXIT;
}

/* SDM 3C Table 27-3. */
static u64 vmx_cr_qualification(unsigned int cr, bool write, unsigned int gpr, u64 value)
{
	if (gpr == CR_EXIT_CLTS)
		return cr | 2u << 4;
	if (gpr == CR_EXIT_LMSW)
		return cr | 3u << 4 | (u64)(u16)value << 16;
	return cr | (write ? 0u : 1u << 4) | (u64)gpr << 8;
}

/* Codes 0x00..0x0f are reads of CR0..CR15, 0x10..0x1f writes; info1 with decode assists, APM2 15.33.1. */
int cpu_exit_cr(struct hw_cpu *c, unsigned int cr, bool write, unsigned int gpr, u64 value, unsigned int insn_len)
{
	begin_exit(c);
	if (cpu_is_intel(c))
		fill_vmx(c, VMX_EXIT_CR_ACCESS, vmx_cr_qualification(cr, write, gpr, value), insn_len);
	else
		fill_svm(c, cr | (write ? 0x10 : 0), gpr < 16 ? 1ull << 63 | gpr : 0, 0, insn_len);
	return EXEC_EXIT;
}

/* ---------------------------------------------------------------- events */

int cpu_exit_triple_fault(struct hw_cpu *c)
{
	/* SDM 3C 27.2.4: no IDT-vectoring information for a triple fault. */
	c->in_delivery = false;
	return cpu_exit_simple(c, VMX_EXIT_TRIPLE_FAULT, SVM_EXIT_SHUTDOWN, 0);
}

static u32 exception_type(const struct cpu_fault *f)
{
	if (!f->software)
		return f->vector == X86_NMI ? HW_EVENT_NMI : INTR_TYPE_HARD_EXCEPTION;
	return f->vector == X86_DB ? INTR_TYPE_PRIV_SOFT_EXCEPTION : INTR_TYPE_SOFT_EXCEPTION;
}

int cpu_exit_exception(struct hw_cpu *c, const struct cpu_fault *f)
{
	struct hw_exit *x = begin_exit(c);
	/* SDM 3C 27.2.1: debug exceptions and page faults have a qualification; APM2 15.12.15 for info2. */
	u64 qualification = f->vector == X86_PF ? f->cr2 : f->vector == X86_DB ? f->dr6 & 0x600f : 0;

	if (!cpu_is_intel(c)) {
		fill_svm(c, SVM_EXIT_EXCP_BASE + f->vector, f->has_error ? f->error : 0,
			 f->vector == X86_PF ? f->cr2 : 0, 0);
		return EXEC_EXIT;
	}
	/* INT3, INTO and INT1 are one byte (SDM 3C 27.2.5: the length is valid for software exceptions). */
	fill_vmx(c, VMX_EXIT_EXCEPTION, qualification, f->software ? 1 : 0);
	x->vmx.intr_info = INFO_VALID | f->vector | exception_type(f) << 8 | (f->has_error ? INFO_ERROR_VALID : 0);
	x->vmx.intr_error = f->has_error ? f->error : 0;
	return EXEC_EXIT;
}

int cpu_exit_kicked(struct hw_cpu *c)
{
	cpu_exit_simple(c, VMX_EXIT_EXTINT, SVM_EXIT_INTR, 0);
	c->exit.kicked = true;
	return EXEC_EXIT;
}

/* SVM has no NMI window: the end of NMI blocking is seen by intercepting IRET (APM2 15.9). */
int cpu_exit_window(struct hw_cpu *c, bool nmi)
{
	return cpu_exit_simple(c, nmi ? VMX_EXIT_NMI_WINDOW : VMX_EXIT_INT_WINDOW, nmi ? SVM_EXIT_IRET : SVM_EXIT_VINTR,
			       0);
}

/* SDM 3C 29.1.4; APM2 15.29.9.2: a write of the EOI register at offset 0xb0, the vector in EXITINFO2. */
int cpu_exit_eoi(struct hw_cpu *c, u8 vector)
{
	begin_exit(c);
	if (cpu_is_intel(c))
		fill_vmx(c, VMX_EXIT_VIRT_EOI, vector, 0);
	else
		fill_svm(c, SVM_EXIT_AVIC_NOACCEL, 1ull << 32 | 0xb0, vector, 0);
	return EXEC_EXIT;
}
