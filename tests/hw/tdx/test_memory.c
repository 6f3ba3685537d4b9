// SPDX-License-Identifier: Apache-2.0
/* Private and shared memory as a TD and its host see it: pending pages, accept, removal, #VE, forbidden uses of shared
 * memory. */
#include "host.h"

#define FAR_GPA	   0x8000000ull /* private, nothing there yet */
#define FAR_GPA_2M 0x8200000ull
#define MOV_LOAD   0x48, 0x8b, 0x07 /* mov (%rdi), %rax */
#define MOV_STORE  0x48, 0x89, 0x07 /* mov %rax, (%rdi) */
#define ACCEPT	   6
#define VM_RD	   7
#define VM_WR	   8

static int open_td(void **state)
{
	*state = host_boot(host_open());
	return 0;
}

/* Pending pages exit instead of raising #VE. */
static int open_td_no_ve(void **state)
{
	struct host *h = host_open();

	h->params->attributes = TDX_ATTR_SEPT_VE_DISABLE;
	*state = host_boot(h);
	return 0;
}

static int close_td(void **state)
{
	host_close(*state);
	return 0;
}

static u64 load(struct host *h, u64 lin)
{
	host_shared(h, 0)->gpr[HW_RDI] = lin;
	return host_begin(h, CODE(MOV_LOAD));
}

static u64 store(struct host *h, u64 lin, u64 value)
{
	host_shared(h, 0)->gpr[HW_RDI] = lin;
	host_shared(h, 0)->gpr[HW_RAX] = value;
	return host_begin(h, CODE(MOV_STORE));
}

static void loaded(struct host *h, u64 lin, u64 value)
{
	assert_int_equal(load(h, lin), TDX_EXIT_TDCALL);
	assert_int_equal(host_shared(h, 0)->vector, NO_EXCEPTION);
	assert_int_equal(host_shared(h, 0)->gpr[HW_RAX], value);
}

static void stored(struct host *h, u64 lin, u64 value)
{
	assert_int_equal(store(h, lin, value), TDX_EXIT_TDCALL);
	assert_int_equal(host_shared(h, 0)->vector, NO_EXCEPTION);
}

static unsigned int state_of(struct host *h, u64 gpa_, unsigned int level)
{
	struct tdx_regs out;

	host_call(h, TDH_MEM_SEPT_RD, ARGS(gpa_ | level, h->tdr), &out);
	return tdx_sept_state(out.rdx);
}

/* ---------------------------------------------------------------- private pages */

static void missing_page(void **state)
{
	struct host *h = *state;

	assert_int_equal(store(h, FAR_GPA + 0x123, 1), VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(h->regs[0].rcx, 2); /* a write; nothing of the guest's own */
	assert_int_equal(h->regs[0].rdx, TDX_EXT_QUAL_NONE);
	assert_int_equal(h->regs[0].r8, FAR_GPA);
	assert_int_equal(h->regs[0].rbx | h->regs[0].rsi | h->regs[0].r10 | h->regs[0].r12, 0);
	/* added while the guest waits: not accepted */
	host_aug(h, FAR_GPA, 0);
	assert_int_equal(host_enter(h, 0), TDX_EXIT_TDCALL);
	assert_int_equal(host_shared(h, 0)->vector, X86_VE);
}

static void pending_page_ve(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);

	host_aug(h, FAR_GPA, 0);
	assert_int_equal(store(h, FAR_GPA + 8, 1), TDX_EXIT_TDCALL);
	assert_int_equal(s->vector, X86_VE);
	assert_int_equal(s->rip, 0);
	assert_int_equal(s->ve_reason, VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(s->ve_gpa, FAR_GPA + 8);
	assert_int_equal(s->ve_gla, FAR_GPA + 8);
	assert_int_equal(s->ve_qualification & 0x1bf, 1 << 1 | 1 << 7 | 1 << 8);
	assert_int_equal(tdcall(h, ACCEPT, FAR_GPA), TDX_SUCCESS);
	stored(h, FAR_GPA + 8, 0x1234);
	loaded(h, FAR_GPA + 8, 0x1234);
}

static void pending_page_exit(void **state)
{
	struct host *h = *state;

	host_aug(h, FAR_GPA, 0);
	assert_int_equal(load(h, FAR_GPA + 8), VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(TDX_EXT_QUAL_TYPE(h->regs[0].rdx), TDX_EXT_QUAL_PENDING_EPT_VIOLATION);
	assert_int_equal(h->regs[0].r8, FAR_GPA);
	/* again, and again */
	assert_int_equal(host_enter(h, 0), VMX_EXIT_EPT_VIOLATION);
}

static void flexible_pending_ve(void **state)
{
	struct host *h = host_open();

	h->params->config_flags = TDX_CONFIG_FLEXIBLE_PENDING_VE;
	host_boot(h);
	host_aug(h, FAR_GPA, 0);
	assert_int_equal(tdcall(h, VM_WR, 0, TDX_FIELD_TD_CTLS, 1, 1), TDX_SUCCESS);
	assert_int_equal(host_shared(h, 0)->gpr[HW_R8], 0);
	assert_int_equal(load(h, FAR_GPA), VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(TDX_EXT_QUAL_TYPE(h->regs[0].rdx), TDX_EXT_QUAL_PENDING_EPT_VIOLATION);
	host_close(h);
}

/* ---------------------------------------------------------------- TDG.MEM.PAGE.ACCEPT */

static void accept_operands(void **state)
{
	struct host *h = *state;
	const u64 bad[] = {FAR_GPA | 2,
			   FAR_GPA | 7,
			   FAR_GPA | 8,
			   FAR_GPA | 0x800,
			   (FAR_GPA + 0x1000) | 1,
			   FAR_GPA | h->shared_bit,
			   FAR_GPA | 1ull << 48,
			   FAR_GPA | 1ull << 52,
			   1ull << 63};

	for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++)
		assert_int_equal(tdcall(h, ACCEPT, bad[n]), TDX_OPERAND_INVALID | TDX_OP_RCX);
}

static void accept_clears(void **state)
{
	struct host *h = *state;
	u64 page = host_aug(h, FAR_GPA, 0);

	memset((void *)(uintptr_t)page, 0xaa, HW_PAGE_SIZE);
	assert_int_equal(tdcall(h, ACCEPT, FAR_GPA), TDX_SUCCESS);
	loaded(h, FAR_GPA, 0);
	loaded(h, FAR_GPA + 0xff8, 0);
	assert_int_equal(tdcall(h, ACCEPT, FAR_GPA), TDX_PAGE_ALREADY_ACCEPTED);
	assert_int_equal(state_of(h, FAR_GPA, 0), TDX_SEPT_MAPPED);
}

static void accept_large(void **state)
{
	struct host *h = *state;
	u64 page = host_aug(h, FAR_GPA, 1);

	memset((void *)(uintptr_t)page, 0xaa, 2 << 20);
	/* 4K of a pending 2M page: the host is to split it */
	host_shared(h, 0)->gpr[HW_RAX] = ACCEPT;
	host_shared(h, 0)->gpr[HW_RCX] = FAR_GPA + 0x3000;
	assert_int_equal(begin(h, TDCALL), VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(TDX_EXT_QUAL_TYPE(h->regs[0].rdx), TDX_EXT_QUAL_ACCEPT);
	assert_int_equal(h->regs[0].rdx >> 32, 0 | 1 << 3 | TDX_SEPT_PENDING << 6 | 1 << 14);
	assert_int_equal(h->regs[0].rcx, 2);
	assert_int_equal(h->regs[0].r8, FAR_GPA + 0x3000);
	call_ok(h, TDH_MEM_RANGE_BLOCK, FAR_GPA | 1, h->tdr);
	call_ok(h, TDH_MEM_TRACK, h->tdr);
	call_ok(h, TDH_MEM_PAGE_DEMOTE, FAR_GPA | 1, h->tdr, host_page(h));
	assert_int_equal(host_enter(h, 0), TDX_EXIT_TDCALL);
	assert_int_equal(host_shared(h, 0)->gpr[HW_RAX], TDX_SUCCESS);
	loaded(h, FAR_GPA + 0x3000, 0);
	assert_int_equal(tdcall(h, ACCEPT, FAR_GPA | 1), TDX_PAGE_SIZE_MISMATCH | 1);
	/* a whole one */
	page = host_aug(h, FAR_GPA_2M, 1);
	memset((void *)(uintptr_t)page, 0xaa, 2 << 20);
	assert_int_equal(tdcall(h, ACCEPT, FAR_GPA_2M | 1), TDX_SUCCESS);
	loaded(h, FAR_GPA_2M + 0x1ffff8, 0);
	assert_int_equal(tdcall(h, ACCEPT, FAR_GPA_2M | 1), TDX_PAGE_ALREADY_ACCEPTED | 1);
	assert_int_equal(tdcall(h, ACCEPT, FAR_GPA_2M + 0x1000), TDX_PAGE_ALREADY_ACCEPTED | 1);
}

static void accept_missing(void **state)
{
	struct host *h = *state;

	host_shared(h, 0)->gpr[HW_RAX] = ACCEPT;
	host_shared(h, 0)->gpr[HW_RCX] = FAR_GPA | 1;
	assert_int_equal(begin(h, TDCALL), VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(TDX_EXT_QUAL_TYPE(h->regs[0].rdx), TDX_EXT_QUAL_ACCEPT);
	assert_int_equal(TDX_EXT_QUAL_ACCEPT_LEVEL(h->regs[0].rdx), 1);
	host_aug(h, FAR_GPA, 1);
	/* the guest calls again by itself */
	assert_int_equal(host_enter(h, 0), TDX_EXIT_TDCALL);
	assert_int_equal(host_shared(h, 0)->gpr[HW_RAX], TDX_SUCCESS);
	stored(h, FAR_GPA, 1);
}

/* ---------------------------------------------------------------- a host that takes pages away */

static void remove_page(struct host *h, u64 gpa_)
{
	struct tdx_regs out;

	call_ok(h, TDH_MEM_RANGE_BLOCK, gpa_, h->tdr);
	call_ok(h, TDH_MEM_TRACK, h->tdr);
	assert_int_equal(host_call(h, TDH_MEM_PAGE_REMOVE, ARGS(gpa_, h->tdr), &out), TDX_SUCCESS);
	call_ok(h, TDH_PHYMEM_PAGE_WBINVD, out.rcx);
}

static void removed_and_added_again(void **state)
{
	struct host *h = *state;
	u64 page = host_aug(h, FAR_GPA, 0);

	tdcall(h, ACCEPT, FAR_GPA);
	stored(h, FAR_GPA, 0x5ec2e7);
	remove_page(h, FAR_GPA);
	assert_int_not_equal(*(u64 *)(uintptr_t)page, 0x5ec2e7);
	assert_int_equal(load(h, FAR_GPA), VMX_EXIT_EPT_VIOLATION);
	/* the same page, with what the host likes in it */
	*(u64 *)(uintptr_t)page = 0x5ec2e7;
	call_ok(h, TDH_MEM_PAGE_AUG, FAR_GPA, h->tdr, page);
	assert_int_equal(host_enter(h, 0), TDX_EXIT_TDCALL);
	assert_int_equal(host_shared(h, 0)->vector, X86_VE);
	assert_int_equal(tdcall(h, ACCEPT, FAR_GPA), TDX_SUCCESS);
	loaded(h, FAR_GPA, 0);
}

/* Translations that the vCPU remembers are gone with the epoch. */
static void blocked_page(void **state)
{
	struct host *h = *state;

	host_aug(h, FAR_GPA, 0);
	tdcall(h, ACCEPT, FAR_GPA);
	stored(h, FAR_GPA, 7);
	call_ok(h, TDH_MEM_RANGE_BLOCK, FAR_GPA, h->tdr);
	call_ok(h, TDH_MEM_TRACK, h->tdr);
	assert_int_equal(load(h, FAR_GPA), VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(h->regs[0].rdx, TDX_EXT_QUAL_NONE);
	call_ok(h, TDH_MEM_RANGE_UNBLOCK, FAR_GPA, h->tdr);
	assert_int_equal(host_enter(h, 0), TDX_EXIT_TDCALL);
	assert_int_equal(host_shared(h, 0)->gpr[HW_RAX], 7);
}

static void mapped_twice(void **state)
{
	struct host *h = *state;
	u64 page = host_aug(h, FAR_GPA, 0), large = host_aug(h, FAR_GPA_2M, 1);

	assert_int_equal(call(h, TDH_MEM_PAGE_AUG, FAR_GPA + 0x1000, h->tdr, page),
			 TDX_PAGE_METADATA_INCORRECT | TDX_OP_R8);
	assert_int_equal(call(h, TDH_MEM_PAGE_AUG, FAR_GPA + 0x1000, h->tdr, large + 0x5000),
			 TDX_PAGE_METADATA_INCORRECT | TDX_OP_R8);
	assert_int_equal(call(h, TDH_MEM_PAGE_AUG, FAR_GPA, h->tdr, host_page(h)),
			 TDX_EPT_ENTRY_STATE_INCORRECT | TDX_OP_RCX);
}

/* ---------------------------------------------------------------- shared memory */

static void shared_missing(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);

	/* the entry keeps #VE back: an exit with the shared bit */
	*host_shared_entry(h, FAR_GPA) = STAGE2_EPT_SUPPRESS_VE;
	assert_int_equal(load(h, SHARED_LINEAR + FAR_GPA + 4), VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(h->regs[0].rcx, 1);
	assert_int_equal(h->regs[0].r8, FAR_GPA | h->shared_bit);
	/* the host maps it, and the instruction completes */
	*host_shared_entry(h, FAR_GPA) = stage2_make_leaf(STAGE2_EPT, hpa(host_page(h)), 1, STAGE2_RWX);
	assert_int_equal(host_enter(h, 0), TDX_EXIT_TDCALL);
	assert_int_equal(s->vector, NO_EXCEPTION);
	/* MMIO: the entry lets #VE through, without the host */
	*host_shared_entry(h, FAR_GPA + 0x1000) = 0;
	assert_int_equal(store(h, SHARED_LINEAR + FAR_GPA + 0x1008, 1), TDX_EXIT_TDCALL);
	assert_int_equal(s->vector, X86_VE);
	assert_int_equal(s->ve_reason, VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(s->ve_gpa, (FAR_GPA + 0x1008) | h->shared_bit);
	assert_int_equal(s->ve_gla, SHARED_LINEAR + FAR_GPA + 0x1008);
	assert_int_equal(s->ve_qualification & 0x1bf, 1 << 1 | 1 << 7 | 1 << 8);
	assert_int_equal(s->ve_length, 0);
}

static void shared_misconfigured(void **state)
{
	struct host *h = *state;

	*host_shared_entry(h, FAR_GPA) = stage2_make_mmio(STAGE2_EPT);
	assert_int_equal(load(h, SHARED_LINEAR + FAR_GPA), VMX_EXIT_EPT_MISCONFIG);
	assert_int_equal(h->regs[0].r8, FAR_GPA | h->shared_bit);
}

/* While the area is occupied the processor does not raise #VE: the host gets an exit. */
static void shared_ve_while_busy(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);

	s->flags = 1;
	run(h, 0xf4);
	assert_int_equal(s->vector, X86_VE);
	*host_shared_entry(h, FAR_GPA) = 0;
	assert_int_equal(load(h, SHARED_LINEAR + FAR_GPA), VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(h->regs[0].r8, FAR_GPA | h->shared_bit);
}

static void same_address_twice(void **state)
{
	struct host *h = *state;
	u64 page = host_page(h);

	host_aug(h, FAR_GPA, 0);
	tdcall(h, ACCEPT, FAR_GPA);
	*host_shared_entry(h, FAR_GPA) = stage2_make_leaf(STAGE2_EPT, hpa(page), 1, STAGE2_RWX);
	stored(h, FAR_GPA, 1);
	stored(h, SHARED_LINEAR + FAR_GPA, 2);
	loaded(h, FAR_GPA, 1);
	loaded(h, SHARED_LINEAR + FAR_GPA, 2);
	assert_int_equal(*(u64 *)(uintptr_t)page, 2);
}

static void expect_pf(const struct shared *s, u64 lin, u64 error)
{
	assert_int_equal(s->vector, X86_PF);
	assert_int_equal(s->cr2, lin);
	assert_int_equal(s->error, error);
}

static void code_in_shared_memory(void **state)
{
	struct host *h = *state;
	u64 page = host_page(h);

	*(u8 *)(uintptr_t)page = 0xc3;
	*host_shared_entry(h, FAR_GPA) = stage2_make_leaf(STAGE2_EPT, hpa(page), 1, STAGE2_RWX);
	host_shared(h, 0)->gpr[HW_RDI] = SHARED_LINEAR + FAR_GPA;
	run(h, 0xff, 0xd7); /* call *%rdi */
	expect_pf(host_shared(h, 0), SHARED_LINEAR + FAR_GPA, 1 | 1 << 3 | 1 << 4);
}

/* A directory entry of the guest's own with the shared bit, and one with address bits above the guest's width. */
static void tables_in_shared_memory(void **state)
{
	struct host *h = *state;
	u64 entry = PAGE_TABLES + 0x1000 + 2 * 8, lin = 2ull << 30;

	stored(h, entry, (SHARED_GPA + h->shared_bit) | 3);
	assert_int_equal(load(h, lin), TDX_EXIT_TDCALL);
	expect_pf(host_shared(h, 0), lin, 1 | 1 << 3);
	stored(h, entry, (PAGE_TABLES + 0x2000) | 1ull << 50 | 3);
	assert_int_equal(store(h, lin, 1), TDX_EXIT_TDCALL);
	expect_pf(host_shared(h, 0), lin, 1 | 1 << 1 | 1 << 3);
	stored(h, entry, 1ull << 49 | 0x83); /* a page of 1G */
	assert_int_equal(load(h, lin), TDX_EXIT_TDCALL);
	expect_pf(host_shared(h, 0), lin, 1 | 1 << 3);
}

/* ---------------------------------------------------------------- TDG.VP.VMCALL */

static void vmcall_registers(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);

	for (unsigned int n = 0; n < 16; n++)
		s->gpr[n] = 0x1000 + n;
	s->gpr[HW_RAX] = 0;
	s->gpr[HW_RCX] = 1 << HW_R10 | 1 << HW_RSI | 1 << HW_R15;
	assert_int_equal(begin(h, TDCALL), TDX_EXIT_TDCALL);
	assert_int_equal(h->regs[0].rcx, 1 << HW_R10 | 1 << HW_RSI | 1 << HW_R15);
	assert_int_equal(h->regs[0].r10, 0x1000 + HW_R10);
	assert_int_equal(h->regs[0].rsi, 0x1000 + HW_RSI);
	assert_int_equal(h->regs[0].r15, 0x1000 + HW_R15);
	assert_int_equal(
		h->regs[0].r11 | h->regs[0].rdx | h->regs[0].rbx | h->regs[0].rbp | h->regs[0].rdi | h->regs[0].r8, 0);
	for (unsigned int n = 0; n < 16; n++)
		h->regs[0].gpr[n] = 0x2000 + n;
	assert_int_equal(host_enter(h, 0), TDX_EXIT_TDCALL);
	assert_int_equal(s->gpr[HW_RAX], 0);
	assert_int_equal(s->gpr[HW_RCX], 1 << HW_R10 | 1 << HW_RSI | 1 << HW_R15);
	assert_int_equal(s->gpr[HW_R10], 0x2000 + HW_R10);
	assert_int_equal(s->gpr[HW_RSI], 0x2000 + HW_RSI);
	assert_int_equal(s->gpr[HW_R15], 0x2000 + HW_R15);
	assert_int_equal(s->gpr[HW_RDX], 0x1000 + HW_RDX);
	assert_int_equal(s->gpr[HW_R11], 0x1000 + HW_R11);
}

static void vmcall_masks(void **state)
{
	static const u64 bad[] = {1, 2, 1 << HW_RSP, 0x10000ffcdull, 1ull << 32, 1ull << 63};
	struct host *h = *state;

	for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++)
		assert_int_equal(tdcall(h, 0, bad[n]), TDX_OPERAND_INVALID | TDX_OP_RCX);
}

static void vmcall_without_rbp(void **state)
{
	struct host *h = host_open();

	h->params->config_flags = TDX_CONFIG_NO_RBP_MOD;
	host_boot(h);
	assert_int_equal(tdcall(h, 0, 1 << HW_RBP), TDX_OPERAND_INVALID | TDX_OP_RCX);
	h->regs[0].rbp = 0x77;
	run(h, 0x90);
	assert_int_equal(h->regs[0].rbp, 0x77);
	host_close(h);
}

static void vmcall_xmm(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);

	s->gpr[HW_RAX] = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_PAE | CR4_MCE;
	run(h, 0x0f, 0x22, 0xe0);
	s->gpr[HW_RAX] = 0;
	s->gpr[HW_RDX] = 0xabcdef;
	s->gpr[HW_RCX] = 1 << HW_R10 | 1 << (16 + 3);
	assert_int_equal(begin(h, 0x66, 0x48, 0x0f, 0x6e, 0xda, TDCALL, 0x66, 0x48, 0x0f, 0x7e, 0xda), TDX_EXIT_TDCALL);
	assert_int_equal(*(u64 *)(void *)h->regs[0].xmm[3], 0xabcdef);
	*(u64 *)(void *)h->regs[0].xmm[3] = 0x123456;
	assert_int_equal(host_enter(h, 0), TDX_EXIT_TDCALL);
	assert_int_equal(s->gpr[HW_RDX], 0x123456);
}

/* ---------------------------------------------------------------- other leaves */

static void vp_info(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);

	assert_int_equal(tdcall(h, 1), TDX_SUCCESS);
	assert_int_equal(s->gpr[HW_RCX], 48);
	assert_int_equal(s->gpr[HW_RDX], 0);
	assert_int_equal(s->gpr[HW_R8], 1 | (u64)HOST_VCPUS << 32);
	assert_int_equal(s->gpr[HW_R9], 0);
	assert_int_equal(s->gpr[HW_R10], 1);
	assert_int_equal(s->gpr[HW_R11], 0);
}

static void fields(void **state)
{
	struct host *h = *state;
	struct shared *s = host_shared(h, 0);

	assert_int_equal(tdcall(h, VM_RD, 1, TDX_FIELD_XFAM), TDX_OPERAND_INVALID | TDX_OP_RCX);
	assert_int_equal(tdcall(h, VM_RD, 0, TDX_FIELD_XFAM), TDX_SUCCESS);
	assert_int_equal(s->gpr[HW_R8], 7);
	assert_int_equal(tdcall(h, VM_RD, 0, 0x9100000000000019),
			 TDX_METADATA_FIELD_ID_INCORRECT); /* a newer module's */
	assert_int_equal(s->gpr[HW_R8], 0);
	assert_int_equal(tdcall(h, VM_RD, 0, TDX_FIELD_XFAM | 1ull << 24), TDX_METADATA_FIELD_ID_INCORRECT);
	assert_int_equal(tdcall(h, VM_RD, 0, TDX_FIELD_CPUID_VALUES), TDX_METADATA_FIELD_NOT_READABLE);
	assert_int_equal(tdcall(h, VM_RD, 0, TDX_FIELD_MRTD + 5), TDX_SUCCESS);
	assert_int_not_equal(s->gpr[HW_R8], 0);
	/* as Linux passes it */
	assert_int_equal(tdcall(h, VM_WR, 0, 0x9100000000000010, 0, ~0ull), TDX_SUCCESS);
	assert_int_equal(tdcall(h, VM_WR, 0, TDX_FIELD_NOTIFY_ENABLES, 2, ~0ull), TDX_METADATA_FIELD_VALUE_NOT_VALID);
	assert_int_equal(tdcall(h, VM_WR, 0, TDX_FIELD_TD_CTLS, 1, 1), TDX_METADATA_FIELD_VALUE_NOT_VALID);
	assert_int_equal(tdcall(h, VM_WR, 0, TDX_FIELD_TD_CTLS, 0, 1), TDX_SUCCESS); /* no change */
	assert_int_equal(tdcall(h, VM_WR, 0, TDX_FIELD_TD_CTLS, 0, 2), TDX_METADATA_FIELD_NOT_WRITABLE);
	assert_int_equal(tdcall(h, VM_WR, 0, TDX_FIELD_XFAM, 7, ~0ull), TDX_METADATA_FIELD_NOT_WRITABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_TD(f) cmocka_unit_test_setup_teardown(f, open_td, close_td)
		IN_TD(missing_page),
		IN_TD(pending_page_ve),
		cmocka_unit_test_setup_teardown(pending_page_exit, open_td_no_ve, close_td),
		cmocka_unit_test(flexible_pending_ve),
		IN_TD(accept_operands),
		IN_TD(accept_clears),
		IN_TD(accept_large),
		IN_TD(accept_missing),
		IN_TD(removed_and_added_again),
		IN_TD(blocked_page),
		IN_TD(mapped_twice),
		IN_TD(shared_missing),
		IN_TD(shared_misconfigured),
		IN_TD(shared_ve_while_busy),
		IN_TD(same_address_twice),
		IN_TD(code_in_shared_memory),
		IN_TD(tables_in_shared_memory),
		IN_TD(vmcall_registers),
		IN_TD(vmcall_masks),
		cmocka_unit_test(vmcall_without_rbp),
		IN_TD(vmcall_xmm),
		IN_TD(vp_info),
		IN_TD(fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
