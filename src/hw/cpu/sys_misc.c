// SPDX-License-Identifier: Apache-2.0
/* sys_misc: the time stamp, random numbers, interrupt flag, TLB and cache instructions, and those that always exit. */
#include <errno.h>
#include <sys/random.h>

#include "hw/apic/apic.h"
#include "hw/cpu/sys.h"

static int sys_ud(struct hw_cpu *c, const struct insn *i)
{
	return cpu_ud(c);
}

/* ---------------------------------------------------------------- time and random numbers */

static int read_tsc(struct hw_cpu *c, u32 vmx_reason, u64 svm_code, unsigned int insn_len)
{
	u64 tsc;

	if (c->arch.cr4 & CR4_TSD && c->cpl > 0)
		return cpu_gp(c, 0);
	if (c->ctl.rdtsc_exiting)
		return cpu_exit_simple(c, vmx_reason, svm_code, insn_len);
	tsc = cpu_guest_tsc(c);
	c->arch.gpr[HW_RAX] = (u32)tsc;
	c->arch.gpr[HW_RDX] = tsc >> 32;
	return EXEC_OK;
}

int sys_rdtsc(struct hw_cpu *c, const struct insn *i)
{
	return read_tsc(c, VMX_EXIT_RDTSC, SVM_EXIT_RDTSC, i->len);
}

int sys_rdtscp(struct hw_cpu *c, const struct insn *i)
{
	SYS_TRY(read_tsc(c, VMX_EXIT_RDTSCP, SVM_EXIT_RDTSCP, i->len));
	c->arch.gpr[HW_RCX] = (u32)c->arch.tsc_aux;
	return EXEC_OK;
}

int sys_rdpid(struct hw_cpu *c, const struct insn *i)
{
	c->arch.gpr[i->op[0].reg] = c->arch.tsc_aux;
	return EXEC_OK;
}

int sys_rdpmc(struct hw_cpu *c, const struct insn *i)
{
	if (c->cpl > 0 && c->arch.cr0 & CR0_PE && !(c->arch.cr4 & CR4_PCE))
		return cpu_gp(c, 0);
	return cpu_exit_simple(c, VMX_EXIT_RDPMC, SVM_EXIT_RDPMC, i->len);
}

/* A well mixed function of its argument (the finaliser of SplitMix64). */
static u64 mix(u64 z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static bool random_number(struct hw_cpu *c, u64 *value)
{
	const struct hw_machine_config *config = hw_machine_config(c->machine);

	if (!config->icount)
		return getrandom(value, sizeof(*value), 0) == sizeof(*value);
	c->random_count++;
	*value = mix(config->rdrand_seed + mix((u64)c->index << 48 | c->random_count) * 0x9e3779b97f4a7c15);
	return true;
}

int sys_rdrand(struct hw_cpu *c, const struct insn *i)
{
	u64 value = 0;
	bool ok = random_number(c, &value);

	/* SDM 2B RDRAND: CF tells success, the other arithmetic flags are cleared, a failure gives zero */
	gpr_set(c, i->op[0].reg, i->opsize, ok ? value : 0);
	cpu_set_arith_flags(c, ok ? FLAG_CF : 0);
	return EXEC_OK;
}

/* ---------------------------------------------------------------- the interrupt flag */

/* CLI and STI: may IF be changed, or VIF instead (SDM 2A CLI, Table 3-7)? */
enum if_access { IF_DENIED, IF_REAL, IF_VIRTUAL };

static enum if_access if_access(const struct hw_cpu *c)
{
	if (!(c->arch.cr0 & CR0_PE) || cpu_iopl(c) >= c->cpl)
		return IF_REAL;
	if (c->mode & MODE_VM86)
		return cpu_iopl(c) == 3 ? IF_REAL : c->arch.cr4 & CR4_VME ? IF_VIRTUAL : IF_DENIED;
	return c->cpl == 3 && c->arch.cr4 & CR4_PVI ? IF_VIRTUAL : IF_DENIED;
}

int sys_cli(struct hw_cpu *c, const struct insn *i)
{
	switch (if_access(c)) {
	case IF_REAL:
		/* an interrupt may be due that STI let in earlier in this block */
		if (c->sti_next && c->sti_next != c->arch.rip) {
			sys_request_event(c);
			return EXEC_AGAIN;
		}
		c->arch.rflags &= ~(u64)FLAG_IF;
		return EXEC_OK;
	case IF_VIRTUAL:
		c->arch.rflags &= ~(u64)FLAG_VIF;
		return EXEC_OK;
	default:
		return cpu_gp(c, 0);
	}
}

/*
 * With nothing pending, the instruction behind STI is normally in the same block, which no interrupt comes into: cpu_check_events() at its
 * end finds the shadow over. Only if the block ended here must that instruction be executed alone.
 */
int sys_sti(struct hw_cpu *c, const struct insn *i)
{
	u8 vector;

	switch (if_access(c)) {
	case IF_REAL:
		if (c->arch.rflags & FLAG_IF)
			return EXEC_OK;
		c->arch.rflags |= FLAG_IF;
		c->arch.interruptibility |= HW_BLOCK_STI;
		c->sti_next = c->arch.rip + i->len;
		sys_request_event(c);
		/* what is pending already comes in right behind the next instruction */
		return c->ctl.irq_window || vapic_pending(c, &vector) ? EXEC_END : EXEC_OK;
	case IF_VIRTUAL:
		if (c->arch.rflags & FLAG_VIP)
			return cpu_gp(c, 0);
		c->arch.rflags |= FLAG_VIF;
		return EXEC_OK;
	default:
		return cpu_gp(c, 0);
	}
}

static int write_ac(struct hw_cpu *c, u64 ac)
{
	if (c->cpl > 0)
		return cpu_ud(c);
	cpu_set_rflags(c, ac, FLAG_AC);
	return EXEC_OK;
}

int sys_clac(struct hw_cpu *c, const struct insn *i)
{
	return write_ac(c, 0);
}

int sys_stac(struct hw_cpu *c, const struct insn *i)
{
	return write_ac(c, FLAG_AC);
}

/* ---------------------------------------------------------------- waiting */

static int sys_hlt(struct hw_cpu *c, const struct insn *i)
{
	/* without exits the processor waits by itself, which virtual time cannot */
	if (c->ctl.hlt_exiting || hw_machine_config(c->machine)->icount)
		return cpu_exit_simple(c, VMX_EXIT_HLT, SVM_EXIT_HLT, i->len);
	c->arch.activity = HW_HALTED;
	sys_request_event(c);
	return EXEC_END;
}

static int sys_pause(struct hw_cpu *c, const struct insn *i)
{
	if (c->ctl.pause_exiting)
		return cpu_exit_simple(c, VMX_EXIT_PAUSE, SVM_EXIT_PAUSE, i->len);
	return EXEC_OK;
}

static int sys_monitor(struct hw_cpu *c, const struct insn *i)
{
	if (c->cpl)
		return cpu_ud(c);
	return cpu_exit_simple(c, VMX_EXIT_MONITOR, SVM_EXIT_MONITOR, i->len);
}

static int sys_mwait(struct hw_cpu *c, const struct insn *i)
{
	if (c->cpl)
		return cpu_ud(c);
	return cpu_exit_simple(c, VMX_EXIT_MWAIT, SVM_EXIT_MWAIT, i->len);
}

/* ---------------------------------------------------------------- TLB and caches */

static int sys_invlpg(struct hw_cpu *c, const struct insn *i)
{
	u64 lin = insn_offset(c, i);

	if (!cpu_cs64(c) || i->sreg >= HW_FS)
		lin += c->arch.seg[i->sreg].base;
	if (!cpu_cs64(c))
		lin = (u32)lin;
	if (c->ctl.invlpg_exiting) {
		int r = cpu_exit_simple(c, VMX_EXIT_INVLPG, SVM_EXIT_INVLPG, i->len);

		if (cpu_is_intel(c))
			c->exit.vmx.qualification = lin;
		else
			c->exit.svm.info1 = lin;
		return r;
	}
	cpu_tlb_flush_page(c, lin);
	return EXEC_END;
}

enum { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL_GLOBAL, INVPCID_ALL };

/* The TLB holds entries of the current PCID only: for another one there is nothing to drop. */
static void invpcid(struct hw_cpu *c, u64 type, u64 pcid, u64 lin)
{
	bool current = pcid == (c->arch.cr4 & CR4_PCIDE ? c->arch.cr3 & 0xfff : 0);

	if (type == INVPCID_ALL_GLOBAL)
		cpu_tlb_flush(c);
	else if (type == INVPCID_ALL || (type == INVPCID_CONTEXT && current))
		cpu_tlb_flush_nonglobal(c);
	else if (current)
		cpu_tlb_flush_page(c, lin);
}

static int sys_invpcid(struct hw_cpu *c, const struct insn *i)
{
	u64 type = gpr_get(c, i->op[0].reg, cpu_cs64(c) ? 8 : 4), desc[2], lin;

	SYS_TRY(insn_mem(c, i, 16, ACC_READ, &lin));
	SYS_TRY(cpu_read(c, lin, desc, 16));
	if (type > INVPCID_ALL || desc[0] >> 12)
		return cpu_gp(c, 0);
	if (type <= INVPCID_CONTEXT && desc[0] && !(c->arch.cr4 & CR4_PCIDE))
		return cpu_gp(c, 0);
	if (type == INVPCID_ADDRESS && !cpu_canonical(c, desc[1]))
		return cpu_gp(c, 0);
	invpcid(c, type, desc[0], desc[1]);
	return EXEC_END;
}

static int sys_wbinvd(struct hw_cpu *c, const struct insn *i)
{
	if (c->ctl.insn_exiting & HW_EXITING_WBINVD)
		return cpu_exit_simple(c, VMX_EXIT_WBINVD, SVM_EXIT_WBINVD, i->len);
	return EXEC_OK; /* caches are always coherent here */
}

/* Cache line flushes: checked like a load of one byte (SDM 2A CLFLUSH). */
static int sys_clflush(struct hw_cpu *c, const struct insn *i)
{
	u64 lin;
	u8 byte;

	SYS_TRY(insn_mem(c, i, 1, ACC_READ, &lin));
	return cpu_read(c, lin, &byte, 1);
}

/* ---------------------------------------------------------------- always an exit */

static int sys_cpuid(struct hw_cpu *c, const struct insn *i)
{
	return cpu_exit_simple(c, VMX_EXIT_CPUID, SVM_EXIT_CPUID, i->len);
}

static int sys_invd(struct hw_cpu *c, const struct insn *i)
{
	return cpu_exit_simple(c, VMX_EXIT_INVD, SVM_EXIT_INVD, i->len);
}

static int sys_vmcall(struct hw_cpu *c, const struct insn *i)
{
	return cpu_is_intel(c) ? cpu_exit_simple(c, VMX_EXIT_VMCALL, 0, i->len) : cpu_ud(c);
}

static int sys_vmmcall(struct hw_cpu *c, const struct insn *i)
{
	return cpu_is_intel(c) ? cpu_ud(c) : cpu_exit_simple(c, 0, SVM_EXIT_VMMCALL, i->len);
}

/* Known to the processor of a TD only. The checks of mode and privilege come before the exit. */
static int sys_tdcall(struct hw_cpu *c, const struct insn *i)
{
	if (!(c->ctl.insn_exiting & HW_EXITING_TDCALL))
		return cpu_ud(c);
	if (c->cpl)
		return cpu_gp(c, 0);
	return cpu_exit_simple(c, VMX_EXIT_TDCALL, 0, i->len);
}

static int sys_pconfig(struct hw_cpu *c, const struct insn *i)
{
	if (!(c->ctl.insn_exiting & HW_EXITING_PCONFIG) || c->cpl)
		return cpu_ud(c);
	return cpu_exit_simple(c, VMX_EXIT_PCONFIG, 0, i->len);
}

static int sys_xsetbv(struct hw_cpu *c, const struct insn *i)
{
	if (!(c->arch.cr4 & CR4_OSXSAVE))
		return cpu_ud(c);
	if (c->cpl)
		return cpu_gp(c, 0);
	return cpu_exit_simple(c, VMX_EXIT_XSETBV, SVM_EXIT_XSETBV, i->len);
}

/* ---------------------------------------------------------------- the table */

#define SYS_DESC(m, f, fl, function)                                                                                   \
	{                                                                                                              \
		.mnemonic = ZYDIS_MNEMONIC_##m, .feature = FEAT_##f, .flags = fl, .fn = function                       \
	}

static const struct insn_desc descs[] = {
	SYS_DESC(LDS, ALWAYS, INSN_NO64, sys_load_far_pointer),
	SYS_DESC(LES, ALWAYS, INSN_NO64, sys_load_far_pointer),
	SYS_DESC(LSS, ALWAYS, INSN_END, sys_load_far_pointer),
	SYS_DESC(LFS, ALWAYS, 0, sys_load_far_pointer),
	SYS_DESC(LGS, ALWAYS, 0, sys_load_far_pointer),
	SYS_DESC(LAR, ALWAYS, INSN_PROT, sys_lar),
	SYS_DESC(LSL, ALWAYS, INSN_PROT, sys_lsl),
	SYS_DESC(VERR, ALWAYS, INSN_PROT, sys_verr),
	SYS_DESC(VERW, ALWAYS, INSN_PROT, sys_verw),
	SYS_DESC(ARPL, ALWAYS, INSN_PROT | INSN_NO64, sys_arpl),
	SYS_DESC(SGDT, ALWAYS, 0, sys_sgdt),
	SYS_DESC(SIDT, ALWAYS, 0, sys_sidt),
	SYS_DESC(LGDT, ALWAYS, INSN_CPL0 | INSN_END, sys_lgdt),
	SYS_DESC(LIDT, ALWAYS, INSN_CPL0 | INSN_END, sys_lidt),
	SYS_DESC(SLDT, ALWAYS, INSN_PROT, sys_sldt),
	SYS_DESC(STR, ALWAYS, INSN_PROT, sys_str),
	SYS_DESC(LLDT, ALWAYS, INSN_PROT | INSN_CPL0, sys_lldt),
	SYS_DESC(LTR, ALWAYS, INSN_PROT | INSN_CPL0, sys_ltr),
	SYS_DESC(SMSW, ALWAYS, 0, sys_smsw),
	SYS_DESC(LMSW, ALWAYS, INSN_CPL0 | INSN_END, sys_lmsw),
	SYS_DESC(CLTS, ALWAYS, INSN_CPL0 | INSN_END, sys_clts),
	SYS_DESC(SWAPGS, LM, 0, sys_swapgs),
	SYS_DESC(RDFSBASE, FSGSBASE, 0, sys_rdfsbase),
	SYS_DESC(RDGSBASE, FSGSBASE, 0, sys_rdgsbase),
	SYS_DESC(WRFSBASE, FSGSBASE, 0, sys_wrfsbase),
	SYS_DESC(WRGSBASE, FSGSBASE, 0, sys_wrgsbase),
	SYS_DESC(CLI, ALWAYS, 0, sys_cli),
	SYS_DESC(STI, ALWAYS, 0, sys_sti),
	SYS_DESC(CLAC, SMAP, 0, sys_clac),
	SYS_DESC(STAC, SMAP, 0, sys_stac),
	SYS_DESC(RDMSR, MSR, INSN_CPL0, sys_rdmsr),
	SYS_DESC(WRMSR, MSR, INSN_CPL0 | INSN_END, sys_wrmsr),
	SYS_DESC(RDTSC, TSC, 0, sys_rdtsc),
	SYS_DESC(RDTSCP, RDTSCP, 0, sys_rdtscp),
	SYS_DESC(RDPID, RDPID, 0, sys_rdpid),
	SYS_DESC(RDPMC, ALWAYS, INSN_END, sys_rdpmc),
	SYS_DESC(RDRAND, RDRAND, 0, sys_rdrand),
	SYS_DESC(RDSEED, RDSEED, 0, sys_rdrand),
	SYS_DESC(HLT, ALWAYS, INSN_CPL0 | INSN_END, sys_hlt),
	SYS_DESC(PAUSE, ALWAYS, 0, sys_pause),
	SYS_DESC(MONITOR, ALWAYS, INSN_END, sys_monitor),
	SYS_DESC(MWAIT, ALWAYS, INSN_END, sys_mwait),
	SYS_DESC(INVLPG, ALWAYS, INSN_CPL0 | INSN_END, sys_invlpg),
	SYS_DESC(INVPCID, INVPCID, INSN_CPL0 | INSN_END, sys_invpcid),
	SYS_DESC(INVD, ALWAYS, INSN_CPL0 | INSN_END, sys_invd),
	SYS_DESC(WBINVD, ALWAYS, INSN_CPL0 | INSN_END, sys_wbinvd),
	SYS_DESC(CLFLUSH, CLFSH, 0, sys_clflush),
	SYS_DESC(CLFLUSHOPT, CLFLUSHOPT, 0, sys_clflush),
	SYS_DESC(CLWB, CLWB, 0, sys_clflush),
	SYS_DESC(CPUID, ALWAYS, INSN_END, sys_cpuid),
	SYS_DESC(VMCALL, ALWAYS, INSN_END, sys_vmcall),
	SYS_DESC(VMMCALL, ALWAYS, INSN_END, sys_vmmcall),
	SYS_DESC(TDCALL, ALWAYS, INSN_END, sys_tdcall),
	SYS_DESC(PCONFIG, ALWAYS, INSN_END, sys_pconfig),
	SYS_DESC(XSETBV, XSAVE, INSN_END, sys_xsetbv),
	SYS_DESC(RSM, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMLAUNCH, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMRESUME, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMXON, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMXOFF, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMPTRLD, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMPTRST, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMCLEAR, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMREAD, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMWRITE, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMFUNC, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(INVEPT, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(INVVPID, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMRUN, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMLOAD, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(VMSAVE, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(STGI, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(CLGI, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(SKINIT, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(INVLPGA, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(GETSEC, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(UD0, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(UD1, ALWAYS, INSN_END, sys_ud),
	SYS_DESC(UD2, ALWAYS, INSN_END, sys_ud),
};

const struct insn_table sys_insns = {.desc = descs, .count = sizeof(descs) / sizeof(descs[0])};
