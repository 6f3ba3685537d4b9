// SPDX-License-Identifier: Apache-2.0
/* far_int: INT n, INT3, INTO, INT1 and the table of far transfers. */
#include "hw/cpu/sys.h"

/* SDM 3A 20.3.3, Table 20-2: with CR4.VME a clear bit in the TSS' redirection bitmap keeps INT n in the VM86 program.
 */
static int redirected(struct hw_cpu *c, u8 vector, bool *redirect)
{
	const struct hw_segment *tr = &c->arch.seg[HW_TR];
	u16 io_base;
	u32 offset;
	u8 byte;

	*redirect = false;
	if (!(c->arch.cr4 & CR4_VME))
		return EXEC_OK;
	if (tr->limit < 103)
		return cpu_gp(c, 0);
	SYS_TRY(sys_read(c, (u32)(tr->base + 102), &io_base, 2));
	offset = (u32)io_base - 32 + vector / 8;
	if (io_base < 32 || offset > tr->limit)
		return cpu_gp(c, 0);
	SYS_TRY(sys_read(c, (u32)(tr->base + offset), &byte, 1));
	*redirect = !(byte >> (vector % 8) & 1);
	return EXEC_OK;
}

/* The VM86 program's own handler, through the vector table at linear address 0. */
static int interrupt_vm86(struct hw_cpu *c, u8 vector, unsigned int len)
{
	bool virtual_if = cpu_iopl(c) < 3;
	u64 flags = cpu_get_rflags(c);
	struct stack st = {.ss = c->arch.seg[HW_SS], .sp = c->arch.gpr[HW_RSP], .cpl = 3, .vector = X86_SS};
	struct frame f = {0};
	u16 target[2];

	SYS_TRY(cpu_read(c, vector * 4, target, 4));
	if (virtual_if)
		flags = (flags & ~(u64)FLAG_IF) | FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0);
	frame_push(&f, flags);
	frame_push(&f, c->arch.seg[HW_CS].selector);
	frame_push(&f, c->arch.rip + len);
	SYS_TRY(frame_write(c, &st, &f, 2));
	c->arch.gpr[HW_RSP] = st.sp;
	c->arch.seg[HW_CS].selector = target[1];
	c->arch.seg[HW_CS].base = (u32)target[1] << 4;
	c->arch.rip = target[0];
	cpu_set_rflags(c, 0, FLAG_TF | FLAG_NT | (virtual_if ? FLAG_VIF : FLAG_IF));
	return EXEC_JUMP;
}

int far_int(struct hw_cpu *c, const struct insn *i)
{
	u8 vector = i->imm;
	bool redirect;

	if (c->mode & MODE_VM86) {
		SYS_TRY(redirected(c, vector, &redirect));
		if (redirect)
			return interrupt_vm86(c, vector, i->len);
		if (cpu_iopl(c) < 3)
			return cpu_gp(c, 0);
	}
	return cpu_deliver_software(c, HW_EVENT_SOFTINT, vector, i->len);
}

int far_int3(struct hw_cpu *c, const struct insn *i)
{
	return cpu_deliver_software(c, HW_EVENT_SOFTEXC, X86_BP, i->len);
}

int far_into(struct hw_cpu *c, const struct insn *i)
{
	if (!(flags_to_eflags(c->flags) & FLAG_OF))
		return EXEC_OK;
	return cpu_deliver_software(c, HW_EVENT_SOFTEXC, X86_OF, i->len);
}

/* No DPL check, RIP of the next instruction, nothing in DR6 (SDM 2A INT1). */
int far_int1(struct hw_cpu *c, const struct insn *i)
{
	/* VMX exits in front of it, as for every software exception; SVM behind it, as for a trap */
	c->fault = (struct cpu_fault){.vector = X86_DB, .software = cpu_is_intel(c), .trap = !cpu_is_intel(c)};
	return EXEC_FAULT;
}

#define FAR_DESC(m, f, fl, function)                                                                                   \
	{                                                                                                              \
		.mnemonic = ZYDIS_MNEMONIC_##m, .feature = FEAT_##f, .flags = fl, .fn = function                       \
	}

static const struct insn_desc descs[] = {
	FAR_DESC(IRET, ALWAYS, INSN_END, far_iret),	 FAR_DESC(IRETD, ALWAYS, INSN_END, far_iret),
	FAR_DESC(IRETQ, ALWAYS, INSN_END, far_iret),	 FAR_DESC(INT, ALWAYS, INSN_END, far_int),
	FAR_DESC(INT3, ALWAYS, INSN_END, far_int3),	 FAR_DESC(INTO, ALWAYS, INSN_END | INSN_NO64, far_into),
	FAR_DESC(INT1, ALWAYS, INSN_END, far_int1),	 FAR_DESC(SYSCALL, SYSCALL, INSN_END, far_syscall),
	FAR_DESC(SYSRET, SYSCALL, INSN_END, far_sysret), FAR_DESC(SYSENTER, SEP, INSN_END, far_sysenter),
	FAR_DESC(SYSEXIT, SEP, INSN_END, far_sysexit),
};

const struct insn_table far_insns = {.desc = descs, .count = sizeof(descs) / sizeof(descs[0])};
