// SPDX-License-Identifier: Apache-2.0
/* A TD's life: creation, launch calls in wrong order, measurement, interrupts, several vCPUs, the end. */
#include <pthread.h>

#include "host.h"
#include "hw/tdx/measure.h"

#define FAR_GPA 0x8000000ull

static u64 init_with(struct host *h)
{
	return call(h, TDH_MNG_INIT, h->tdr, (u64)(uintptr_t)h->params);
}

static void creation_in_order(void **state)
{
	struct host *h = host_open();
	u64 tdvpr = host_page(h);

	h->tdr = host_page(h);
	assert_int_equal(call(h, TDH_MNG_KEY_CONFIG, h->tdr), TDX_PAGE_METADATA_INCORRECT | TDX_OP_RCX);
	assert_int_equal(call(h, TDH_MNG_CREATE, h->tdr, TDX_HKID_START - 1), TDX_OPERAND_INVALID | TDX_OP_RDX);
	assert_int_equal(call(h, TDH_MNG_CREATE, h->tdr, TDX_HKID_START + TDX_HKID_COUNT),
			 TDX_OPERAND_INVALID | TDX_OP_RDX);
	assert_int_equal(call(h, TDH_MNG_CREATE, h->tdr + 8, TDX_HKID_START), TDX_OPERAND_INVALID | TDX_OP_RCX);
	call_ok(h, TDH_MNG_CREATE, h->tdr, TDX_HKID_START);
	assert_int_equal(call(h, TDH_MNG_CREATE, h->tdr, TDX_HKID_START + 1), TDX_PAGE_METADATA_INCORRECT | TDX_OP_RCX);
	assert_int_equal(call(h, TDH_MNG_CREATE, host_page(h), TDX_HKID_START), TDX_HKID_NOT_FREE);
	assert_int_equal(call(h, TDH_MNG_ADDCX, host_page(h), h->tdr), TDX_TD_KEYS_NOT_CONFIGURED);
	assert_int_equal(init_with(h), TDX_TD_KEYS_NOT_CONFIGURED);
	call_ok(h, TDH_MNG_KEY_CONFIG, h->tdr);
	assert_int_equal(call(h, TDH_MNG_KEY_CONFIG, h->tdr), TDX_KEY_CONFIGURED);
	assert_int_equal(init_with(h), TDX_TDCS_NOT_ALLOCATED);
	assert_int_equal(call(h, TDH_VP_CREATE, tdvpr, h->tdr), TDX_TDCS_NOT_ALLOCATED);
	for (unsigned int n = 0; n < 4; n++)
		call_ok(h, TDH_MNG_ADDCX, host_page(h), h->tdr);
	assert_int_equal(call(h, TDH_MNG_ADDCX, host_page(h), h->tdr), TDX_TDCX_NUM_INCORRECT);
	assert_int_equal(call(h, TDH_VP_CREATE, tdvpr, h->tdr), TDX_OP_STATE_INCORRECT);
	assert_int_equal(call(h, TDH_MEM_SEPT_ADD, 3, h->tdr, host_page(h)), TDX_OP_STATE_INCORRECT);
	assert_int_equal(init_with(h), TDX_SUCCESS);
	assert_int_equal(init_with(h), TDX_OP_STATE_INCORRECT);
	assert_int_equal(call(h, TDH_MNG_ADDCX, host_page(h), h->tdr), TDX_OP_STATE_INCORRECT);
	assert_int_equal(call(h, TDH_MR_FINALIZE, h->tdr), TDX_NO_VCPUS);
	call_ok(h, TDH_VP_CREATE, tdvpr, h->tdr);
	assert_int_equal(call(h, TDH_VP_INIT, tdvpr, 0), TDX_TDCX_NUM_INCORRECT);
	assert_int_equal(call(h, TDH_VP_ENTER, tdvpr), TDX_OP_STATE_INCORRECT);
	for (unsigned int n = 0; n < 5; n++)
		call_ok(h, TDH_VP_ADDCX, host_page(h), tdvpr);
	assert_int_equal(call(h, TDH_VP_ADDCX, host_page(h), tdvpr), TDX_TDCX_NUM_INCORRECT);
	call_ok(h, TDH_VP_INIT, tdvpr, 0);
	assert_int_equal(call(h, TDH_VP_INIT, tdvpr, 0), TDX_VCPU_STATE_INCORRECT);
	call_ok(h, TDH_MR_FINALIZE, h->tdr);
	assert_int_equal(call(h, TDH_MR_FINALIZE, h->tdr), TDX_OP_STATE_INCORRECT);
	assert_int_equal(call(h, TDH_VP_CREATE, host_page(h), h->tdr), TDX_OP_STATE_INCORRECT);
	assert_int_equal(call(h, TDH_VP_ENTER, tdvpr), TDX_OPERAND_INVALID | TDX_OP_RCX); /* on no processor */
	host_close(h);
}

static void parameters(void **state)
{
	struct host *h = host_open();
	const struct tdx_td_params good = *h->params;
	struct tdx_td_params *p = h->params;

	h->tdr = host_page(h);
	call_ok(h, TDH_MNG_CREATE, h->tdr, TDX_HKID_START);
	call_ok(h, TDH_MNG_KEY_CONFIG, h->tdr);
	for (unsigned int n = 0; n < 4; n++)
		call_ok(h, TDH_MNG_ADDCX, host_page(h), h->tdr);
#define REFUSED(change, operand)                                                                                       \
	do {                                                                                                           \
		*p = good;                                                                                             \
		change;                                                                                                \
		assert_int_equal(init_with(h), TDX_OPERAND_INVALID | (operand));                                       \
	} while (0)
	REFUSED(p->attributes = 1ull << 63, TDX_OP_ATTRIBUTES);
	REFUSED(p->attributes = 1ull << 31, TDX_OP_ATTRIBUTES);
	REFUSED(p->xfam = 1, TDX_OP_XFAM);
	REFUSED(p->xfam = 0xe7, TDX_OP_XFAM);
	REFUSED(p->max_vcpus = 0, TDX_OP_MAX_VCPUS);
	REFUSED(p->num_l2_vms = 1, TDX_OP_NUM_L2_VMS);
	REFUSED(p->config_flags = 1ull << 3, TDX_OP_EXEC_CONTROLS);
	REFUSED(p->eptp_controls = 0, TDX_OP_EPTP_CONTROLS);
	REFUSED(p->eptp_controls = 6 | 2 << 3, TDX_OP_EPTP_CONTROLS);
	REFUSED(p->config_flags = TDX_CONFIG_GPAW_52, TDX_OP_EPTP_CONTROLS); /* with 4 levels */
	REFUSED(p->tsc_frequency = 3, TDX_OP_TSC_FREQUENCY);
	REFUSED(p->tsc_frequency = 401, TDX_OP_TSC_FREQUENCY);
	REFUSED(p->reserved0 = 1, TDX_OP_RDX);
	REFUSED(p->reserved1[5] = 1, TDX_OP_RDX);
	REFUSED(p->reserved2[5] = 1, TDX_OP_RDX);
	REFUSED(p->cpuid[12].eax = 1, TDX_OP_RDX);
	REFUSED(p->cpuid[0].ecx = 1, TDX_OP_CPUID_CONFIG);	/* SSE3 is not the host's to choose */
	REFUSED(p->cpuid[0].eax = 0x1234, TDX_OP_CPUID_CONFIG); /* another model */
	REFUSED(p->cpuid[7].eax = 1, TDX_OP_CPUID_CONFIG);
	REFUSED((p->msr_config_ctls = 1, p->arch_capabilities_config = 1), TDX_OP_ARCH_CAPABILITIES);
	/* attributes come before all else */
	REFUSED((p->attributes = 2, p->xfam = 0, p->max_vcpus = 0), TDX_OP_ATTRIBUTES);
	*p = good;
	assert_int_equal(call(h, TDH_MNG_INIT, h->tdr, (u64)(uintptr_t)p + 8), TDX_OPERAND_INVALID | TDX_OP_RDX);
	assert_int_equal(call(h, TDH_MNG_INIT, h->tdr, 0x400), TDX_OPERAND_INVALID | TDX_OP_RDX);
	assert_int_equal(init_with(h), TDX_SUCCESS);
	host_close(h);
}

static void cpuid_configuration(void **state)
{
	struct host *h = host_open();
	struct tdx_regs out;
	u64 leaf1, second;

	/* leaf 1: topology, TSC deadline; leaf 7: BMI1 */
	h->params->cpuid[0] = (struct tdx_cpuid_value){.ebx = 0x00040000, .ecx = 1u << 24 | 1u << 28, .edx = 1u << 28};
	h->params->cpuid[5].ebx = 1u << 3;
	host_init_td(h);
	assert_int_equal(host_call(h, TDH_MNG_RD, ARGS(h->tdr, TDX_FIELD_CPUID_VALUES | 1 << 9 | 0x1fe), &out),
			 TDX_SUCCESS);
	leaf1 = out.r8;
	assert_int_equal(host_call(h, TDH_MNG_RD, ARGS(h->tdr, TDX_FIELD_CPUID_VALUES | 1 << 9 | 0x1fe | 1), &out),
			 TDX_SUCCESS);
	second = out.r8;
	assert_int_equal(leaf1 >> 48 & 0xff, 4);
	assert_int_equal(second >> 24 & 1, 1);
	assert_int_equal(second >> 60 & 1, 1);
	assert_int_equal(host_call(h, TDH_MNG_RD, ARGS(h->tdr, TDX_FIELD_CPUID_VALUES | 7 << 9), &out), TDX_SUCCESS);
	assert_int_equal(out.r8 >> 35 & 1, 1); /* BMI1, chosen */
	assert_int_equal(out.r8 >> 40 & 1, 0); /* BMI2, not */
	assert_int_equal(out.r8 >> 39 & 1, 1); /* SMEP, fixed */
	assert_int_equal(host_call(h, TDH_MNG_RD, ARGS(h->tdr, TDX_FIELD_CPUID_VALUES | 7 << 9 | 0x1fe), &out),
			 TDX_METADATA_FIELD_ID_INCORRECT);
	assert_int_equal(host_call(h, TDH_MNG_RD, ARGS(h->tdr, TDX_FIELD_CPUID_VALUES | 2 << 9 | 0x1fe), &out),
			 TDX_METADATA_FIELD_ID_INCORRECT);
	host_close(h);
}

static void too_many_vcpus(void **state)
{
	struct host *h = host_open();
	u64 tdvpr;

	h->params->max_vcpus = 1;
	host_init_td(h);
	host_add_vcpu(h, 0);
	tdvpr = host_page(h);
	call_ok(h, TDH_VP_CREATE, tdvpr, h->tdr);
	for (unsigned int n = 0; n < 5; n++)
		call_ok(h, TDH_VP_ADDCX, host_page(h), tdvpr);
	assert_int_equal(call(h, TDH_VP_INIT, tdvpr, 0), TDX_MAX_VCPUS_EXCEEDED);
	host_close(h);
}

/* ---------------------------------------------------------------- measurement */

static void expect_digest(struct host *h, u64 field, const char *hex)
{
	struct tdx_regs out;
	char text[97] = "";

	for (unsigned int n = 0; n < 6; n++) {
		assert_int_equal(host_call(h, TDH_MNG_RD, ARGS(h->tdr, field + n), &out), TDX_SUCCESS);
		for (unsigned int b = 0; b < 8; b++)
			sprintf(text + 16 * n + 2 * b, "%02x", (unsigned int)(out.r8 >> 8 * b & 0xff));
	}
	assert_string_equal(text, hex);
}

/* Values computed apart from this program (TDX ABI, MRTD). */
static void mrtd(void **state)
{
	struct host *h = host_open();

	host_init_td(h);
	host_add_vcpu(h, 0);
	call_ok(h, TDH_MR_FINALIZE, h->tdr);
	expect_digest(
		h, TDX_FIELD_MRTD,
		"38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b");
	host_close(h);
	h = host_open();
	host_init_td(h);
	host_add_vcpu(h, 0);
	host_add(h, 0, "", 1);
	for (u64 chunk = 0; chunk < HW_PAGE_SIZE; chunk += 256)
		call_ok(h, TDH_MR_EXTEND, chunk, h->tdr);
	/* what is not measured: tables, pages that are only promised, vCPUs */
	host_aug(h, FAR_GPA, 0);
	call_ok(h, TDH_MR_FINALIZE, h->tdr);
	expect_digest(
		h, TDX_FIELD_MRTD,
		"236f0efa607ff8843f1855d7ef80dc3dda8fb455787a186b8787212951eab0096e3193bb26f817c2b63c21f5e10f9938");
	host_close(h);
}

#define RTMR_EXTEND 2
#define MR_REPORT   4
#define DATA_GPA    0x1a000ull /* within the guest's buffers */

static void rtmr(void **state)
{
	struct host *h = host_boot(host_open());

	assert_int_equal(tdcall(h, RTMR_EXTEND, DATA_GPA + 8, 0), TDX_OPERAND_INVALID | TDX_OP_RCX);
	assert_int_equal(tdcall(h, RTMR_EXTEND, SHARED_GPA | h->shared_bit, 0), TDX_OPERAND_INVALID | TDX_OP_RCX);
	assert_int_equal(tdcall(h, RTMR_EXTEND, DATA_GPA | 1ull << 48, 0), TDX_OPERAND_INVALID | TDX_OP_RCX);
	assert_int_equal(tdcall(h, RTMR_EXTEND, DATA_GPA, 4), TDX_OPERAND_INVALID | TDX_OP_RDX);
	assert_int_equal(tdcall(h, RTMR_EXTEND, DATA_GPA, 2), TDX_SUCCESS);
	expect_digest(
		h, TDX_FIELD_RTMR + 12,
		"f57bb7ed82c6ae4a29e6c9879338c592c7d42a39135583e8ccbe3940f2344b0eb6eb8503db0ffd6a39ddd00cd07d8317");
	/* a pending page: #VE, and the call comes again */
	host_aug(h, FAR_GPA, 0);
	host_shared(h, 0)->gpr[HW_RAX] = RTMR_EXTEND;
	host_shared(h, 0)->gpr[HW_RCX] = FAR_GPA;
	host_shared(h, 0)->gpr[HW_RDX] = 0;
	run(h, TDCALL);
	assert_int_equal(host_shared(h, 0)->vector, X86_VE);
	assert_int_equal(host_shared(h, 0)->rip, 0);
	assert_int_equal(host_shared(h, 0)->ve_gpa, FAR_GPA);
	assert_int_equal(host_shared(h, 0)->ve_gla, 0);
	assert_int_equal(host_shared(h, 0)->ve_qualification, 1);
	/* no page at all: an exit */
	host_shared(h, 0)->gpr[HW_RAX] = RTMR_EXTEND;
	host_shared(h, 0)->gpr[HW_RCX] = FAR_GPA + HW_PAGE_SIZE;
	assert_int_equal(begin(h, TDCALL), VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(h->regs[0].r8, FAR_GPA + HW_PAGE_SIZE);
	host_close(h);
}

static void report(void **state)
{
	struct host *h = host_open();
	struct tdx_report *r;
	u64 page;

	memset(h->params->mrowner, 0x5a, sizeof(h->params->mrowner));
	host_boot(h);
	page = host_page(h);
	*host_shared_entry(h, FAR_GPA) = stage2_make_leaf(STAGE2_EPT, hpa(page), 1, STAGE2_RWX);
	r = (void *)(uintptr_t)page;
	memset((u8 *)r + 2048, 0x42, TDX_REPORTDATA_SIZE);
	assert_int_equal(tdcall(h, MR_REPORT, (FAR_GPA + 64) | h->shared_bit, DATA_GPA),
			 TDX_OPERAND_INVALID | TDX_OP_RCX);
	assert_int_equal(tdcall(h, MR_REPORT, FAR_GPA | h->shared_bit, DATA_GPA + 8), TDX_OPERAND_INVALID | TDX_OP_RDX);
	assert_int_equal(tdcall(h, MR_REPORT, FAR_GPA | h->shared_bit, DATA_GPA, 1), TDX_OPERAND_INVALID | TDX_OP_R8);
	assert_int_equal(tdcall(h, MR_REPORT, FAR_GPA | h->shared_bit, DATA_GPA, 1ull << 40),
			 TDX_OPERAND_INVALID | TDX_OP_R8);
	tdcall(h, RTMR_EXTEND, DATA_GPA, 3);
	assert_int_equal(tdcall(h, MR_REPORT, FAR_GPA | h->shared_bit, (FAR_GPA + 2048) | h->shared_bit, 0),
			 TDX_SUCCESS);
	assert_int_equal(tdx_report_verify(r), TDX_REPORT_GOOD);
	assert_int_equal(r->mac.reportdata[7], 0x42);
	assert_int_equal(r->td.xfam, 7);
	assert_int_equal(r->td.mrowner.b[47], 0x5a);
	assert_int_not_equal(r->td.rtmr[3].b[0], 0);
	assert_int_not_equal(r->td.mrtd.b[0] | r->td.mrtd.b[1], 0);
	r->td.mrtd.b[0] ^= 1;
	assert_int_equal(tdx_report_verify(r), TDX_REPORT_BAD_TD_HASH);
	host_close(h);
}

/* ---------------------------------------------------------------- interrupts */

static struct host *boot_with_pi(void)
{
	struct host *h = host_boot(host_open());

	h->pi = (void *)(uintptr_t)host_page(h);
	assert_int_equal(call(h, TDH_VP_WR, h->tdvpr[0], TDX_FIELD_POSTED_INTR_DESC, (u64)(uintptr_t)h->pi + 8, ~0ull),
			 TDX_METADATA_FIELD_VALUE_NOT_VALID);
	call_ok(h, TDH_VP_WR, h->tdvpr[0], TDX_FIELD_POSTED_INTR_DESC, (u64)(uintptr_t)h->pi, ~0ull);
	return h;
}

/* Only through the descriptor; the host learns that one waits. The guest's IDT ends at vector 31. */
static void posted_interrupt(void **state)
{
	struct host *h = boot_with_pi();
	struct shared *s = host_shared(h, 0);
	struct tdx_regs out;

	assert_int_equal(host_call(h, TDH_VP_RD, ARGS(h->tdvpr[0], TDX_FIELD_VCPU_STATE_DETAILS), &out), TDX_SUCCESS);
	assert_int_equal(out.r8, 0);
	h->pi->pir[0] = 1ull << 31;
	h->pi->on = 1;
	assert_int_equal(host_call(h, TDH_VP_RD, ARGS(h->tdvpr[0], TDX_FIELD_VCPU_STATE_DETAILS), &out), TDX_SUCCESS);
	assert_int_equal(out.r8, TDX_VCPU_INTR_PENDING);
	run(h, 0x90);
	assert_int_equal(s->vector, NO_EXCEPTION);
	run(h, 0xfb, 0x90, 0x90); /* sti */
	assert_int_equal(s->vector, 31);
	assert_int_equal(s->rip, 2);
	/* in service, until the guest says otherwise: no exit for EOI */
	s->gpr[HW_RCX] = 0x810;
	assert_int_equal(run(h, 0x0f, 0x32)->gpr[HW_RAX], 1u << 31);
	s->gpr[HW_RCX] = 0x80b;
	s->gpr[HW_RAX] = s->gpr[HW_RDX] = 0;
	run(h, 0x0f, 0x30);
	assert_int_equal(s->vector, NO_EXCEPTION);
	s->gpr[HW_RCX] = 0x810;
	assert_int_equal(run(h, 0x0f, 0x32)->gpr[HW_RAX], 0);
	host_close(h);
}

static void kicked(void **state)
{
	struct host *h = host_boot(host_open());

	hw_cpu_kick(h->cpu[0]);
	assert_int_equal(begin(h, 0xeb, 0xfe), VMX_EXIT_EXTINT); /* a loop */
	assert_true(hw_cpu_exit(h->cpu[0])->kicked);
	assert_int_equal(h->regs[0].rcx | h->regs[0].rdx | h->regs[0].r8 | h->regs[0].r9, 0);
	host_close(h);
}

static void nmi(void **state)
{
	struct host *h = host_boot(host_open());
	struct shared *s = host_shared(h, 0);

	call_ok(h, TDH_VP_WR, h->tdvpr[0], TDX_FIELD_PEND_NMI, 1, 1);
	run(h, 0x90);
	assert_int_equal(s->vector, X86_NMI);
	host_close(h);
}

/* Not before the guest has fetched the #VE information. */
static void nmi_waits_for_ve_info(void **state)
{
	struct host *h = host_boot(host_open());
	struct shared *s = host_shared(h, 0);

	s->flags = 1;
	run(h, 0xf4);
	assert_int_equal(s->vector, X86_VE);
	call_ok(h, TDH_VP_WR, h->tdvpr[0], TDX_FIELD_PEND_NMI, 1, 1);
	run(h, 0x90);
	assert_int_equal(s->vector, NO_EXCEPTION);
	s->gpr[HW_RAX] = 3;
	run(h, TDCALL);
	assert_int_equal(s->vector, X86_NMI);
	assert_int_equal(s->rip, 4); /* behind the TDCALL */
	host_close(h);
}

/* No IDT: what goes wrong first is the end of the vCPU. */
static void triple_fault(void **state)
{
	static const u8 hlt[16] = {0xf4};
	struct host *h = host_open();
	u8 reset[HW_PAGE_SIZE] = {0};

	memcpy(&reset[0xff0], hlt, sizeof(hlt));
	host_init_td(h);
	host_add(h, RESET_PAGE, reset, sizeof(reset));
	host_add_vcpu(h, 0);
	call_ok(h, TDH_MR_FINALIZE, h->tdr);
	assert_int_equal(host_enter(h, 0), TDX_NON_RECOVERABLE_VCPU | VMX_EXIT_TRIPLE_FAULT);
	assert_int_equal(host_enter(h, 0), TDX_VCPU_STATE_INCORRECT);
	assert_int_equal(h->regs[0].rcx, 0);
	host_close(h);
}

/* ---------------------------------------------------------------- two vCPUs */

static void *enter_thread(void *arg)
{
	struct host *h = arg;

	/* the other thread asks for the lock now and then */
	while (host_enter(h, 1) == (TDX_OPERAND_BUSY | TDX_OP_RCX))
		;
	return NULL;
}

/* A vCPU that has been in the guest since the epoch of the blocking may still have the translation. */
static void tracking_needs_everybody_out(void **state)
{
	struct host *h = host_open();
	static const u8 loop[] = {0xeb, 0xfe};
	pthread_t thread;
	struct shared *s;

	host_init_td(h);
	host_load_guest(h);
	host_add_vcpu(h, 0);
	host_add_vcpu(h, 0);
	call_ok(h, TDH_MR_FINALIZE, h->tdr);
	host_start(h, 0);
	host_start(h, 1);
	host_aug(h, FAR_GPA, 0);
	s = host_shared(h, 1);
	memcpy(s->code, loop, sizeof(loop));
	assert_int_equal(pthread_create(&thread, NULL, enter_thread, h), 0);
	while (call(h, TDH_VP_RD, h->tdvpr[1], TDX_FIELD_PEND_NMI) != (TDX_OPERAND_BUSY | TDX_OP_RCX))
		;
	/* the entry is counted before guest code runs; the lock is taken before that */
	while (!__atomic_load_n(&h->cpu[1]->in_run, __ATOMIC_SEQ_CST))
		;
	call_ok(h, TDH_MEM_RANGE_BLOCK, FAR_GPA, h->tdr);
	assert_int_equal(call(h, TDH_MEM_PAGE_REMOVE, FAR_GPA, h->tdr), TDX_TLB_TRACKING_NOT_DONE | TDX_OP_RCX);
	call_ok(h, TDH_MEM_TRACK, h->tdr);
	assert_int_equal(call(h, TDH_MEM_PAGE_REMOVE, FAR_GPA, h->tdr), TDX_TLB_TRACKING_NOT_DONE | TDX_OP_RCX);
	assert_int_equal(call(h, TDH_MEM_TRACK, h->tdr), TDX_PREVIOUS_TLB_EPOCH_BUSY);
	assert_int_equal(call(h, TDH_MNG_VPFLUSHDONE, h->tdr), TDX_OPERAND_BUSY | TDX_OP_RCX);
	assert_int_equal(host_enter(h, 1), TDX_OPERAND_BUSY | TDX_OP_RCX);
	hw_cpu_kick(h->cpu[1]);
	pthread_join(thread, NULL);
	call_ok(h, TDH_MEM_PAGE_REMOVE, FAR_GPA, h->tdr);
	call_ok(h, TDH_MEM_TRACK, h->tdr);
	host_close(h);
}

static void one_processor_each(void **state)
{
	struct host *h = host_open();
	struct tdx_regs regs = {0};

	host_init_td(h);
	host_load_guest(h);
	host_add_vcpu(h, 0);
	host_add_vcpu(h, 0);
	call_ok(h, TDH_MR_FINALIZE, h->tdr);
	host_start(h, 0);
	regs.rax = TDH_VP_ENTER;
	regs.rcx = h->tdvpr[0];
	assert_int_equal(tdx_seamcall(h->mod, h->cpu[1], &regs), TDX_VCPU_ASSOCIATED);
	call_ok(h, TDH_VP_FLUSH, h->tdvpr[0]);
	assert_int_equal(call(h, TDH_VP_FLUSH, h->tdvpr[0]), TDX_VCPU_NOT_ASSOCIATED);
	/* the state has moved with it: the guest goes on on the other processor */
	host_shared(h, 0)->code[0] = 0xc3;
	h->regs[0].rax = TDH_VP_ENTER;
	h->regs[0].rcx = h->tdvpr[0];
	assert_int_equal(tdx_seamcall(h->mod, h->cpu[1], &h->regs[0]), TDX_EXIT_TDCALL);
	assert_int_equal(h->regs[0].r11, 1);
	assert_int_equal(hw_cpu_arch(h->cpu[0])->cr3, 0);
	host_close(h);
}

/* ---------------------------------------------------------------- the end */

static void teardown(void **state)
{
	struct host *h = host_boot(host_open());
	u64 page = host_aug(h, FAR_GPA, 0), reclaimed = 0;
	struct tdx_regs out;

	assert_int_equal(call(h, TDH_PHYMEM_PAGE_RECLAIM, page), TDX_LIFECYCLE_STATE_INCORRECT);
	assert_int_equal(call(h, TDH_MNG_KEY_FREEID, h->tdr), TDX_LIFECYCLE_STATE_INCORRECT);
	assert_int_equal(call(h, TDH_MNG_VPFLUSHDONE, h->tdr), TDX_FLUSHVP_NOT_DONE);
	assert_int_equal(call(h, TDH_PHYMEM_CACHE_WB, 0), TDX_NO_HKID_READY_TO_WBCACHE);
	call_ok(h, TDH_VP_FLUSH, h->tdvpr[0]);
	call_ok(h, TDH_MNG_VPFLUSHDONE, h->tdr);
	assert_int_equal(host_enter(h, 0), TDX_TD_KEYS_NOT_CONFIGURED);
	assert_int_equal(call(h, TDH_MNG_KEY_FREEID, h->tdr), TDX_WBCACHE_NOT_COMPLETE);
	call_ok(h, TDH_PHYMEM_CACHE_WB, 0);
	call_ok(h, TDH_MNG_KEY_FREEID, h->tdr);
	assert_int_equal(call(h, TDH_PHYMEM_PAGE_RECLAIM, h->tdr), TDX_TD_ASSOCIATED_PAGES_EXIST);
	for (unsigned int n = 0; n < h->next_page; n++) {
		u64 at = (u64)(uintptr_t)h->pool + n * HW_PAGE_SIZE;

		call_ok(h, TDH_PHYMEM_PAGE_RDMD, at);
		if (at == h->tdr)
			continue;
		if (!host_call(h, TDH_PHYMEM_PAGE_RECLAIM, ARGS(at), &out)) {
			assert_int_equal(out.rdx, h->tdr);
			reclaimed++;
		}
	}
	assert_true(reclaimed > 40);
	assert_int_equal(call(h, TDH_PHYMEM_PAGE_RECLAIM, page), TDX_PAGE_METADATA_INCORRECT | TDX_OP_RCX);
	call_ok(h, TDH_PHYMEM_PAGE_RECLAIM, h->tdr);
	assert_int_equal(call(h, TDH_MNG_RD, h->tdr, TDX_FIELD_XFAM), TDX_PAGE_METADATA_INCORRECT | TDX_OP_RCX);
	/* the key id is free again, and so is every page */
	h->vcpus = 0;
	hw_cpu_destroy(h->cpu[0]);
	host_boot(h);
	host_close(h);
}

static void unknown_leaves(void **state)
{
	static const u64 raxes[] = {
		5, 12, 27, 32, 64, 999, 1ull << 16 | TDH_MEM_PAGE_AUG, 1ull << 24, 1ull << 40, 2ull << 16 | TDH_MNG_RD};
	struct host *h = host_open();

	for (size_t n = 0; n < sizeof(raxes) / sizeof(raxes[0]); n++)
		assert_int_equal(call(h, raxes[n]), TDX_OPERAND_INVALID | TDX_OP_RAX);
	host_close(h);
}

static void vp_fields(void **state)
{
	struct host *h = host_boot(host_open());
	struct tdx_regs out;

	/* guest state is no field of the host's: RIP, RAX, CR3 */
	static const u64 hidden[] = {0x681e, 0x1000000300000000, 0x6802, 0x2000000000000063};

	for (size_t n = 0; n < sizeof(hidden) / sizeof(hidden[0]); n++) {
		assert_int_equal(host_call(h, TDH_VP_RD, ARGS(h->tdvpr[0], hidden[n]), &out),
				 TDX_METADATA_FIELD_ID_INCORRECT);
		assert_int_equal(out.r8, 0);
		assert_int_equal(call(h, TDH_VP_WR, h->tdvpr[0], hidden[n], 0, ~0ull), TDX_METADATA_FIELD_ID_INCORRECT);
	}
	assert_int_equal(call(h, TDH_VP_WR, h->tdvpr[0], TDX_FIELD_VCPU_STATE_DETAILS, 1, 1),
			 TDX_METADATA_FIELD_NOT_WRITABLE);
	assert_int_equal(call(h, TDH_VP_WR, h->tdvpr[0], TDX_FIELD_SHARED_EPT, 0x1000, ~0ull),
			 TDX_METADATA_FIELD_VALUE_NOT_VALID);
	assert_int_equal(call(h, TDH_VP_WR, h->tdvpr[0], TDX_FIELD_POSTED_INTR_NV, 0xf2, 0xff), TDX_SUCCESS);
	assert_int_equal(host_call(h, TDH_VP_RD, ARGS(h->tdvpr[0], 2), &out), TDX_SUCCESS);
	assert_int_equal(out.r8, 0xf2);
	host_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creation_in_order),
		cmocka_unit_test(parameters),
		cmocka_unit_test(cpuid_configuration),
		cmocka_unit_test(too_many_vcpus),
		cmocka_unit_test(mrtd),
		cmocka_unit_test(rtmr),
		cmocka_unit_test(report),
		cmocka_unit_test(posted_interrupt),
		cmocka_unit_test(kicked),
		cmocka_unit_test(nmi),
		cmocka_unit_test(nmi_waits_for_ve_info),
		cmocka_unit_test(triple_fault),
		cmocka_unit_test(tracking_needs_everybody_out),
		cmocka_unit_test(one_processor_each),
		cmocka_unit_test(teardown),
		cmocka_unit_test(unknown_leaves),
		cmocka_unit_test(vp_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
