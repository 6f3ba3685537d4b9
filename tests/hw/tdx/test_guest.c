// SPDX-License-Identifier: Apache-2.0
/* What a TD finds: its initial state, CPUID, MSRs, control registers, and which instructions are #VE, #GP or #UD. */
#include "host.h"

#define CPUID	   0x0f, 0xa2
#define RDMSR	   0x0f, 0x32
#define WRMSR	   0x0f, 0x30
#define MOV_EAX(v) 0xb8, (v)&0xff, (v) >> 8 & 0xff, (v) >> 16 & 0xff, (u8)((u64)(v) >> 24)

static int open_td(void **state)
{
	*state = host_boot(host_open());
	return 0;
}

static int close_td(void **state)
{
	host_close(*state);
	return 0;
}

/* The guest took #VE with this reason, qualification and length, at the first of its instructions. */
static void expect_ve(const struct shared *s, u64 reason, u64 qualification, u64 length)
{
	assert_int_equal(s->vector, X86_VE);
	assert_int_equal(s->rip, 0);
	assert_int_equal(s->ve_status, TDX_SUCCESS);
	assert_int_equal(s->ve_reason, reason);
	assert_int_equal(s->ve_qualification, qualification);
	assert_int_equal(s->ve_length, length);
	if (reason != VMX_EXIT_EPT_VIOLATION) {
		assert_int_equal(s->ve_gla, 0);
		assert_int_equal(s->ve_gpa, 0);
	}
}

static void expect_exception(const struct shared *s, u64 vector)
{
	assert_int_equal(s->vector, vector);
	assert_int_equal(s->rip, 0);
	assert_int_equal(s->error, 0);
}

/* ---------------------------------------------------------------- CPUID */

static struct shared *cpuid(struct host *h, u32 leaf, u32 subleaf)
{
	struct shared *s = host_shared(h, 0);

	s->gpr[HW_RAX] = leaf | 0xdead00000000;
	s->gpr[HW_RCX] = subleaf;
	return run(h, CPUID);
}

static void cpuid_values(void **state)
{
	struct host *h = *state;
	struct shared *s = cpuid(h, 0x21, 0);

	assert_int_equal(s->vector, NO_EXCEPTION);
	assert_int_equal(s->gpr[HW_RAX], 0);
	assert_int_equal(s->gpr[HW_RBX], 0x65746e49);
	assert_int_equal(s->gpr[HW_RCX], 0x20202020);
	assert_int_equal(s->gpr[HW_RDX], 0x5844546c);
	cpuid(h, 0, 0);
	assert_int_equal(s->gpr[HW_RAX], 0x23);
	assert_memory_equal(&s->gpr[HW_RBX], "Genu", 4);
	cpuid(h, 1, 7);
	assert_int_equal(s->gpr[HW_RCX] >> 31, 1);
	assert_int_equal(s->gpr[HW_RCX] >> 21 & 1, 1); /* x2APIC */
	assert_int_equal(s->gpr[HW_RCX] >> 24 & 1, 0); /* TSC deadline: not configured */
	assert_int_equal(s->gpr[HW_RCX] >> 5 & 1, 0);  /* VMX */
	assert_int_equal(s->gpr[HW_RBX] >> 24, 0);
	cpuid(h, 5, 0);
	assert_int_equal(s->gpr[HW_RAX] | s->gpr[HW_RBX] | s->gpr[HW_RCX] | s->gpr[HW_RDX], 0);
	cpuid(h, 0x15, 0);
	assert_int_equal(s->gpr[HW_RAX], 1);
	assert_int_equal(s->gpr[HW_RBX], 40);
	assert_int_equal(s->gpr[HW_RCX], 25000000);
	cpuid(h, 0x80000000, 0);
	assert_int_equal(s->gpr[HW_RAX], 0x80000008);
	cpuid(h, 0x80000008, 0);
	assert_int_equal(s->gpr[HW_RAX] & 0xff, 52);
	cpuid(h, 0x80000001, 0);
	assert_int_equal(s->gpr[HW_RDX] >> 11 & 1, 1); /* SYSCALL: in 64-bit mode */
	cpuid(h, 0xd, 0);
	assert_int_equal(s->gpr[HW_RAX], 7);
	assert_int_equal(s->gpr[HW_RBX], 576); /* XCR0 is 1 */
	/* beyond the last leaf: as leaf 0x23, with the caller's subleaf */
	cpuid(h, 0x24, 0);
	assert_int_equal(s->vector, NO_EXCEPTION);
	cpuid(h, 0x80000009, 3);
	assert_int_equal(s->vector, NO_EXCEPTION);
}

static void cpuid_ve(void **state)
{
	static const struct {
		u32 leaf, subleaf;
	} leaves[] = {
		{2, 0},	   {6, 0},	    {9, 0},	     {0xb, 0},	      {0xc, 0},	       {0xf, 0},
		{0x10, 0}, {0x16, 0},	    {0x17, 0},	     {0x18, 0},	      {0x1a, 0},       {0x1b, 0},
		{0x1f, 0}, {0x1f, 5},	    {0x21, 1},	     {0x40000000, 0}, {0x4fffffff, 0}, {0x80000002, 0},
		{4, 5},	   {7, 3},	    {0x80000005, 0}, {0x80000006, 0}, {0x24, 4},       {0x50000000, 4},
		{0xd, 19}, {0xffffffff, 9},
	};
	struct host *h = *state;

	for (size_t n = 0; n < sizeof(leaves) / sizeof(leaves[0]); n++)
		expect_ve(cpuid(h, leaves[n].leaf, leaves[n].subleaf), VMX_EXIT_CPUID, 0, 2);
}

static void cpuid_ve_on_request(void **state)
{
	struct host *h = *state;

	assert_int_equal(tdcall(h, 5, 4), TDX_OPERAND_INVALID | TDX_OP_RCX);
	assert_int_equal(tdcall(h, 5, 1), TDX_SUCCESS);
	expect_ve(cpuid(h, 0, 0), VMX_EXIT_CPUID, 0, 2);
	assert_int_equal(tdcall(h, 5, 2), TDX_SUCCESS); /* CPL > 0 only */
	assert_int_equal(cpuid(h, 0, 0)->vector, NO_EXCEPTION);
}

/* ---------------------------------------------------------------- instructions */

static void instructions_ve(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);

	expect_ve(run(h, 0xf4), VMX_EXIT_HLT, 0, 1);
	expect_ve(run(h, 0x0f, 0x08), VMX_EXIT_INVD, 0, 2);
	expect_ve(run(h, 0x0f, 0x09), VMX_EXIT_WBINVD, 0, 2);
	expect_ve(run(h, 0xf3, 0x0f, 0x09), VMX_EXIT_WBINVD, 0, 3); /* wbnoinvd */
	expect_ve(run(h, 0x0f, 0x01, 0xc1), VMX_EXIT_VMCALL, 0, 3);
	expect_ve(run(h, 0x0f, 0x01, 0xc8), VMX_EXIT_MONITOR, 0, 3);
	expect_ve(run(h, 0x0f, 0x01, 0xc9), VMX_EXIT_MWAIT, 0, 3);
	expect_ve(run(h, 0x0f, 0x01, 0xc5), VMX_EXIT_PCONFIG, 0, 3);
	expect_ve(run(h, 0xe4, 0x70), VMX_EXIT_IO, 0x70 << 16 | 1 << 6 | 1 << 3, 2); /* in $0x70, %al */
	expect_ve(run(h, 0x66, 0xe5, 0x70), VMX_EXIT_IO, 0x70 << 16 | 1 << 6 | 1 << 3 | 1, 3);
	s->gpr[HW_RDX] = 0x3f8;
	expect_ve(run(h, 0xee), VMX_EXIT_IO, 0x3f8 << 16, 1); /* out %al, (%dx) */
	s->gpr[HW_RDX] = 0x3f8;
	expect_ve(run(h, 0xef), VMX_EXIT_IO, 0x3f8 << 16 | 3, 1);
	s->gpr[HW_RDX] = 0x3f8;
	s->gpr[HW_RSI] = GUEST_BASE;
	s->gpr[HW_RCX] = 2;
	expect_ve(run(h, 0xf3, 0x6e), VMX_EXIT_IO, 0x3f8 << 16 | 1 << 4 | 1 << 5, 2); /* rep outsb */
}

static void instructions_refused(void **state)
{
	struct host *h = *state;

	expect_exception(run(h, 0x0f, 0x01, 0xc2), X86_UD);	  /* vmlaunch */
	expect_exception(run(h, 0x0f, 0x01, 0xd4), X86_UD);	  /* vmfunc */
	expect_exception(run(h, 0x66, 0x0f, 0x01, 0xcf), X86_UD); /* seamcall */
	expect_exception(run(h, 0x66, 0x0f, 0x01, 0xcd), X86_UD); /* seamret */
	expect_exception(run(h, 0x0f, 0x01, 0xcf), X86_UD);	  /* encls */
	expect_exception(run(h, 0x0f, 0xaa), X86_UD);		  /* rsm */
	expect_exception(run(h, 0x0f, 0x37), X86_UD);		  /* getsec */
	expect_exception(run(h, 0x66, 0x0f, 0xae, 0xf1), X86_UD); /* tpause %ecx */
	expect_exception(run(h, 0x0f, 0x33), X86_GP);		  /* rdpmc */
}

/* Leaves that are not there, bits that must be zero. */
static void tdcall_refused(void **state)
{
	static const u64 raxes[] = {
		13, 99, 0xffff, 1ull << 16 | 1, 2ull << 16 | 7, 1ull << 24 | 1, 1ull << 32 | 1, 1ull << 63 | 1};
	struct host *h = *state;

	for (size_t n = 0; n < sizeof(raxes) / sizeof(raxes[0]); n++)
		assert_int_equal(tdcall(h, raxes[n]), TDX_OPERAND_INVALID | TDX_OP_RAX);
}

static void native_instructions(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);
	u64 first;

	run(h, 0x0f, 0x31); /* rdtsc */
	assert_int_equal(s->vector, NO_EXCEPTION);
	first = s->gpr[HW_RDX] << 32 | s->gpr[HW_RAX];
	run(h, 0x0f, 0x31);
	assert_true((s->gpr[HW_RDX] << 32 | s->gpr[HW_RAX]) > first);
	/* it began at 0 when the TD was made */
	assert_true(first < 60ull * 1000 * TDX_TSC_UNIT_KHZ * 40);
	run(h, 0x0f, 0xc7, 0xf0); /* rdrand %eax */
	assert_int_equal(s->vector, NO_EXCEPTION);
}

/* What every TD's CPUID promises, and ordinary guests may not use yet. */
static void stores(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);
	const u64 from = GUEST_BASE, to = 0x1a040;

	s->gpr[HW_RSI] = from;
	s->gpr[HW_RDI] = to;
	/* movdir64b (%rsi), %rdi; mov 56(%rdi), %rax; mov 56(%rsi), %rdx */
	run(h, 0x66, 0x0f, 0x38, 0xf8, 0x3e, 0x48, 0x8b, 0x47, 56, 0x48, 0x8b, 0x56, 56);
	assert_int_equal(s->vector, NO_EXCEPTION);
	assert_int_equal(s->gpr[HW_RAX], s->gpr[HW_RDX]);
	assert_int_not_equal(s->gpr[HW_RAX], 0);
	s->gpr[HW_RDI] = to + 8;
	expect_exception(run(h, 0x66, 0x0f, 0x38, 0xf8, 0x3e), X86_GP);
	s->gpr[HW_RDI] = to;
	s->gpr[HW_RAX] = 0x1234567890;
	/* movdiri %rax, (%rdi); clwb (%rdi); mov (%rdi), %rdx */
	run(h, 0x48, 0x0f, 0x38, 0xf9, 0x07, 0x66, 0x0f, 0xae, 0x37, 0x48, 0x8b, 0x17);
	assert_int_equal(s->vector, NO_EXCEPTION);
	assert_int_equal(s->gpr[HW_RDX], 0x1234567890);
}

/* ---------------------------------------------------------------- MSRs */

static struct shared *rdmsr(struct host *h, u32 msr)
{
	struct shared *s = host_shared(h, 0);

	s->gpr[HW_RCX] = msr;
	return run(h, RDMSR);
}

static struct shared *wrmsr(struct host *h, u32 msr, u64 value)
{
	struct shared *s = host_shared(h, 0);

	s->gpr[HW_RCX] = msr;
	s->gpr[HW_RAX] = (u32)value;
	s->gpr[HW_RDX] = value >> 32;
	return run(h, WRMSR);
}

static u64 msr_value(struct host *h, u32 msr)
{
	struct shared *s = rdmsr(h, msr);

	assert_int_equal(s->vector, NO_EXCEPTION);
	return s->gpr[HW_RDX] << 32 | (u32)s->gpr[HW_RAX];
}

static void msrs_kept(void **state)
{
	static const struct {
		u32 msr;
		u64 value;
	} msrs[] = {
		{0x48, 5},
		{0x174, 0x10},
		{0x175, 0xffffffff80000000},
		{0x176, 1},
		{0x277, 0x0606060606060606},
		{0x600, 0x1000},
		{0x1b01, 1},
		{0xc0000081, 0x123},
		{0xc0000082, 0x456},
		{0xc0000084, 0x700},
		{0xc0000100, 0x1000},
		{0xc0000101, 0x2000},
		{0xc0000102, 0x3000},
		{0xc0000103, 9},
		{0x808, 0x20},
		{0xda0, 0},
	};
	struct host *h = *state;

	for (size_t n = 0; n < sizeof(msrs) / sizeof(msrs[0]); n++) {
		assert_int_equal(wrmsr(h, msrs[n].msr, msrs[n].value)->vector, NO_EXCEPTION);
		assert_int_equal(msr_value(h, msrs[n].msr), msrs[n].value);
	}
	assert_int_equal(wrmsr(h, 0x49, 1)->vector, NO_EXCEPTION);
	assert_int_equal(wrmsr(h, 0x10b, 1)->vector, NO_EXCEPTION);
	assert_int_equal(msr_value(h, 0xbd), 1);
	assert_int_equal(msr_value(h, 0x345), 0);
	assert_int_equal(msr_value(h, 0x1a0) & (1 << 7 | 1 << 12), 1 << 12);
	assert_int_equal(msr_value(h, 0x10a) >> 21 & 1, 0);
	assert_int_equal(msr_value(h, 0x10a) & 0xb, 0xb);
	assert_int_equal(msr_value(h, 0x80a), 0x20);
}

static void msrs_ve(void **state)
{
	static const u32 reads[] = {0x1b,  0x3a,  0x8b,	      0xce,	  0xfe,	  0x140,      0x200, 0x2ff, 0x400,
				    0x802, 0x803, 0x80d,      0x80f,	  0x828,  0x830,      0x832, 0x838, 0x839,
				    0x83e, 0x481, 0xc0000083, 0x4b564d00, 0x2000, 0xc0002000, ~0u};
	static const u32 writes[] = {0x10,  0x1b,  0x1a0, 0xbc,	      0xc80,	  0x79,
				     0x80f, 0x830, 0x838, 0xc0000083, 0x4b564d01, 0x40000000};
	struct host *h = *state;

	for (size_t n = 0; n < sizeof(reads) / sizeof(reads[0]); n++)
		expect_ve(rdmsr(h, reads[n]), VMX_EXIT_RDMSR, 0, 2);
	for (size_t n = 0; n < sizeof(writes) / sizeof(writes[0]); n++)
		expect_ve(wrmsr(h, writes[n], 0), VMX_EXIT_WRMSR, 0, 2);
}

static void msrs_gp(void **state)
{
	static const u32 both[] = {0xc1,  0x186, 0x38f, 0xe1,  0x122,  0x1c4,  0x570,  0x6a0, 0x6e0,
				   0x6e1, 0x800, 0x804, 0x82e, 0x831,  0x840,  0x8ff,  0x8c,  0x98,
				   0x9e,  0x195, 0x500, 0x985, 0x1200, 0x14ce, 0x1500, 0x981, 0x1f8};
	static const u32 writes[] = {0x480, 0x481, 0x345, 0x10a, 0x810, 0x820, 0x80a};
	struct host *h = *state;

	for (size_t n = 0; n < sizeof(both) / sizeof(both[0]); n++) {
		expect_exception(rdmsr(h, both[n]), X86_GP);
		expect_exception(wrmsr(h, both[n], 0), X86_GP);
	}
	for (size_t n = 0; n < sizeof(writes) / sizeof(writes[0]); n++)
		expect_exception(wrmsr(h, writes[n], 1), X86_GP);
	expect_exception(rdmsr(h, 0x49), X86_GP);
	expect_exception(wrmsr(h, 0x49, 2), X86_GP);
	expect_exception(wrmsr(h, 0x48, 1ull << 40), X86_GP);
	expect_exception(wrmsr(h, 0xda0, 1), X86_GP);
	expect_exception(wrmsr(h, 0x277, 2), X86_GP);
	expect_exception(wrmsr(h, 0x808, 0x100), X86_GP);
	expect_exception(wrmsr(h, 0x1d9, 1 << 3), X86_GP);
}

static void efer_and_debugctl(void **state)
{
	struct host *h = *state;

	assert_int_equal(msr_value(h, 0xc0000080), EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
	assert_int_equal(wrmsr(h, 0xc0000080, EFER_LME | EFER_NXE)->vector, NO_EXCEPTION); /* LMA is ignored */
	assert_int_equal(msr_value(h, 0xc0000080), EFER_LME | EFER_LMA | EFER_NXE);
	assert_int_equal(wrmsr(h, 0xc0000080, 0xd01)->vector, NO_EXCEPTION);
	expect_ve(wrmsr(h, 0xc0000080, EFER_NXE | EFER_SCE), VMX_EXIT_WRMSR, 0, 2);
	expect_ve(wrmsr(h, 0xc0000080, EFER_LME | EFER_SCE), VMX_EXIT_WRMSR, 0, 2);
	assert_int_equal(wrmsr(h, 0x1d9, 0)->vector, NO_EXCEPTION);
	expect_ve(wrmsr(h, 0x1d9, 1 << 6), VMX_EXIT_WRMSR, 0, 2);
}

/* A self-IPI of an illegal vector is complete when the guest is told of it. */
static void self_ipi(void **state)
{
	struct host *h = *state;
	struct shared *s = wrmsr(h, 0x83f, 5);

	assert_int_equal(s->vector, X86_VE);
	assert_int_equal(s->rip, 2);
	assert_int_equal(s->ve_reason, VMX_EXIT_APIC_WRITE);
	assert_int_equal(s->ve_qualification, 0x3f0);
	assert_int_equal(wrmsr(h, 0x83f, 0x40)->vector, NO_EXCEPTION); /* IF is clear */
	assert_int_equal(msr_value(h, 0x822), 1);
}

/* ---------------------------------------------------------------- control registers */

static struct shared *mov_cr(struct host *h, unsigned int cr, u64 value)
{
	struct shared *s = host_shared(h, 0);

	s->gpr[HW_RAX] = value;
	return run(h, cr & 8 ? 0x44 : 0x40, 0x0f, 0x22, 0xc0 | (cr & 7) << 3);
}

static u64 get_cr(struct host *h, unsigned int cr)
{
	return run(h, cr & 8 ? 0x44 : 0x40, 0x0f, 0x20, 0xc0 | (cr & 7) << 3)->gpr[HW_RAX];
}

static void control_registers(void **state)
{
	struct host *h = *state;
	u64 cr0 = get_cr(h, 0), cr4 = get_cr(h, 4);

	assert_int_equal(cr0, CR0_PG | CR0_NE | CR0_ET | CR0_PE);
	assert_int_equal(cr4, CR4_PAE | CR4_MCE);
	expect_exception(mov_cr(h, 0, cr0 & ~CR0_NE), X86_GP);
	expect_exception(mov_cr(h, 0, cr0 | 1ull << 32), X86_GP);
	expect_exception(mov_cr(h, 0, cr0 & ~CR0_PE), X86_GP); /* PG without PE */
	expect_exception(mov_cr(h, 0, cr0 | CR0_NW), X86_GP);
	expect_ve(mov_cr(h, 0, cr0 | CR0_CD), VMX_EXIT_CR_ACCESS, 0, 4);
	expect_ve(mov_cr(h, 0, cr0 | CR0_CD | CR0_NW), VMX_EXIT_CR_ACCESS, 0, 4);
	assert_int_equal(mov_cr(h, 0, cr0 | CR0_WP | CR0_TS)->vector, NO_EXCEPTION);
	assert_int_equal(get_cr(h, 0), cr0 | CR0_WP | CR0_TS);
	expect_ve(mov_cr(h, 4, cr4 & ~CR4_MCE), VMX_EXIT_CR_ACCESS, 4, 4);
	expect_ve(mov_cr(h, 4, cr4 | 1 << 13), VMX_EXIT_CR_ACCESS, 4, 4);
	expect_ve(mov_cr(h, 4, cr4 | 1 << 14), VMX_EXIT_CR_ACCESS, 4, 4);
	expect_exception(mov_cr(h, 4, cr4 | 1 << 22), X86_GP); /* PKE */
	expect_exception(mov_cr(h, 4, cr4 | 1 << 23), X86_GP); /* CET */
	expect_exception(mov_cr(h, 4, cr4 | 1 << 15), X86_GP);
	assert_int_equal(mov_cr(h, 4, cr4 | CR4_OSXSAVE | CR4_PGE)->vector, NO_EXCEPTION);
	assert_int_equal(mov_cr(h, 8, 3)->vector, NO_EXCEPTION);
	assert_int_equal(get_cr(h, 8), 3);
}

static void xsetbv(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);
	static const u64 bad[] = {0, 2, 5, 0xf, 0x207, 1ull << 63 | 7};

	mov_cr(h, 4, CR4_PAE | CR4_MCE | CR4_OSXSAVE);
	for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
		s->gpr[HW_RCX] = 0;
		s->gpr[HW_RAX] = (u32)bad[n];
		s->gpr[HW_RDX] = bad[n] >> 32;
		expect_exception(run(h, 0x0f, 0x01, 0xd1), X86_GP);
	}
	s->gpr[HW_RAX] = 7;
	s->gpr[HW_RDX] = 0;
	s->gpr[HW_RCX] = 0;
	assert_int_equal(run(h, 0x0f, 0x01, 0xd1)->vector, NO_EXCEPTION);
	s->gpr[HW_RCX] = 0;
	assert_int_equal(run(h, 0x0f, 0x01, 0xd0)->gpr[HW_RAX], 7); /* xgetbv */
	cpuid(h, 0xd, 0);
	assert_int_equal(s->gpr[HW_RBX], 832);
	cpuid(h, 1, 0);
	assert_int_equal(s->gpr[HW_RCX] >> 27 & 1, 1); /* OSXSAVE */
}

/* ---------------------------------------------------------------- nested #VE */

static void nested_ve(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);

	s->flags = 1; /* leave the information where it is */
	run(h, 0xf4);
	assert_int_equal(s->vector, X86_VE);
	run(h, 0xf4);
	assert_int_equal(s->vector, X86_DF);
	s->flags = 0;
	assert_int_equal(tdcall(h, 3), TDX_SUCCESS); /* the first one's */
	assert_int_equal(s->gpr[HW_RCX], VMX_EXIT_HLT);
	assert_int_equal(tdcall(h, 3), TDX_NO_VALID_VE_INFO);
	assert_int_equal(s->gpr[HW_RCX] | s->gpr[HW_RDX] | s->gpr[HW_R8] | s->gpr[HW_R9] | s->gpr[HW_R10], 0);
	expect_ve(run(h, 0xf4), VMX_EXIT_HLT, 0, 1);
}

/* ---------------------------------------------------------------- the state that VP.INIT makes */

static void initial_state(void **state)
{
	struct host *h = host_open();
	const struct hw_arch *a;
	unsigned int n;

	h->params->config_flags = TDX_CONFIG_GPAW_52;
	h->params->eptp_controls = 6 | 4 << 3;
	host_init_td(h);
	host_add_vcpu(h, 0x809000);
	n = host_add_vcpu(h, 0x1234);
	call_ok(h, TDH_MR_FINALIZE, h->tdr);
	/* nothing is mapped: the first fetch exits */
	assert_int_equal(host_enter(h, n), VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(h->regs[n].r8, 0xfffff000);
	assert_int_equal(h->regs[n].rdx, TDX_EXT_QUAL_NONE);
	a = &h->cpu[n]->arch;
	assert_int_equal(a->rip, 0xfffffff0);
	assert_int_equal(a->gpr[HW_RBX], 52);
	assert_int_equal(a->gpr[HW_RCX], 0x1234);
	assert_int_equal(a->gpr[HW_R8], 0x1234);
	assert_int_equal(a->gpr[HW_RSI], 1);
	assert_int_equal(a->gpr[HW_RDX], 0x106ca);
	assert_int_equal(a->efer, 0x901);
	assert_int_equal(a->seg[HW_CS].attr, 0xc09b);
	assert_int_equal(a->seg[HW_DS].limit, 0xffffffff);
	/* the host finds a blank */
	assert_ptr_not_equal(hw_cpu_arch(h->cpu[n]), a);
	assert_int_equal(hw_cpu_arch(h->cpu[n])->gpr[HW_RCX], 0);
	assert_int_equal(hw_cpu_exit(h->cpu[n])->vmx.guest_physical, 0);
	host_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_TD(f) cmocka_unit_test_setup_teardown(f, open_td, close_td)
		IN_TD(cpuid_values),
		IN_TD(cpuid_ve),
		IN_TD(cpuid_ve_on_request),
		IN_TD(instructions_ve),
		IN_TD(instructions_refused),
		IN_TD(tdcall_refused),
		IN_TD(native_instructions),
		IN_TD(stores),
		IN_TD(msrs_kept),
		IN_TD(msrs_ve),
		IN_TD(msrs_gp),
		IN_TD(efer_and_debugctl),
		IN_TD(self_ipi),
		IN_TD(control_registers),
		IN_TD(xsetbv),
		IN_TD(nested_ve),
		cmocka_unit_test(initial_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
