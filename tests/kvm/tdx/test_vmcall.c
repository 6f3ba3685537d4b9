// SPDX-License-Identifier: Apache-2.0
/* What a TD asks by TDG.VP.VMCALL, and what KVM makes of it: done, refused in R10, or an exit for user space. */
#include "td.h"

#define IO    30
#define RDMSR 31
#define WRMSR 32
#define HLT   12
#define MMIO  48
#define INVALID	    TDVMCALL_STATUS_INVALID_OPERAND
#define UNSUPPORTED TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED

static void start(struct td *td)
{
	td_build(td, 1);
	td_start(td, 0);
}

/* The guest goes on behind its call; R10 as it finds it. */
static uint64_t finish(struct td *td, int result)
{
	td_expect_ready(td, 0, result);
	return td_shared(td, 0)->gpr[R10];
}
static uint64_t finish_exit(struct td *td) { return finish(td, td_run(td, 0)); }
static uint64_t *gpr(struct td *td) { return td_shared(td, 0)->gpr; }

static void port_io(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(vmcall(&td, 0, IO, 2, 1, 0x3f8, 0x12345678), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_IO);
	assert_int_equal(td.run[0]->io.direction, KVM_EXIT_IO_OUT);
	assert_int_equal(td.run[0]->io.size, 2);
	assert_int_equal(td.run[0]->io.port, 0x3f8);
	assert_int_equal(*(uint16_t *)((uint8_t *)td.run[0] + td.run[0]->io.data_offset), 0x5678);
	assert_int_equal(finish_exit(&td), 0);

	assert_int_equal(vmcall(&td, 0, IO, 4, 0, 0xcfc), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_IO);
	assert_int_equal(td.run[0]->io.direction, KVM_EXIT_IO_IN);
	*(uint32_t *)((uint8_t *)td.run[0] + td.run[0]->io.data_offset) = 0x9abcdef0;
	assert_int_equal(finish_exit(&td), 0);
	assert_int_equal(gpr(&td)[R11], 0x9abcdef0);

	assert_int_equal(finish(&td, vmcall(&td, 0, IO, 3, 1, 0x3f8)), INVALID);
	assert_int_equal(finish(&td, vmcall(&td, 0, IO, 8, 1, 0x3f8)), INVALID);
	assert_int_equal(finish(&td, vmcall(&td, 0, IO, 1, 2, 0x3f8)), INVALID);
	td_close(&td);
}

static void mmio(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(vmcall(&td, 0, MMIO, 8, 1, SHARED_BIT | 0xfed00010, 0x1122334455667788), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(td.run[0]->mmio.phys_addr, 0xfed00010);
	assert_int_equal(td.run[0]->mmio.len, 8);
	assert_true(td.run[0]->mmio.is_write);
	assert_int_equal(*(uint64_t *)td.run[0]->mmio.data, 0x1122334455667788);
	assert_int_equal(finish_exit(&td), 0);

	assert_int_equal(vmcall(&td, 0, MMIO, 4, 0, SHARED_BIT | 0xfed00020), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_MMIO);
	assert_false(td.run[0]->mmio.is_write);
	memset(td.run[0]->mmio.data, 0xee, 8);
	assert_int_equal(finish_exit(&td), 0);
	assert_int_equal(gpr(&td)[R11], 0xeeeeeeee);

	assert_int_equal(finish(&td, vmcall(&td, 0, MMIO, 4, 0, 0xfed00020)), INVALID);
	assert_int_equal(finish(&td, vmcall(&td, 0, MMIO, 8, 0, SHARED_BIT - 4)), INVALID);
	assert_int_equal(finish(&td, vmcall(&td, 0, MMIO, 3, 0, SHARED_BIT | 0xfed00020)), INVALID);
	assert_int_equal(finish(&td, vmcall(&td, 0, MMIO, 4, 2, SHARED_BIT | 0xfed00020)), INVALID);
	td_close(&td);
}

static void cpuid(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(finish(&td, vmcall(&td, 0, 10, 1, 0)), 0);
	assert_true(gpr(&td)[R14] & 1u << 21);
	assert_int_equal(finish(&td, vmcall(&td, 0, 10, 0x80000008, 0)), 0);
	assert_int_equal(gpr(&td)[R12], 52);
	td_close(&td);
}

static void msrs(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(finish(&td, vmcall(&td, 0, RDMSR, 0x1b)), 0);
	assert_int_equal(gpr(&td)[R11], 0xfee00d00); /* enabled, x2APIC, BSP */
	assert_int_equal(finish(&td, vmcall(&td, 0, WRMSR, 0x1b, 0xfee00900)), INVALID);
	assert_int_equal(finish(&td, vmcall(&td, 0, RDMSR, 0x802)), 0);
	assert_int_equal(gpr(&td)[R11], 0);
	assert_int_equal(finish(&td, vmcall(&td, 0, WRMSR, 0x80f, 0x1ff)), 0);
	assert_int_equal(finish(&td, vmcall(&td, 0, RDMSR, 0x80f)), 0);
	assert_int_equal(gpr(&td)[R11], 0x1ff);
	assert_int_equal(finish(&td, vmcall(&td, 0, RDMSR, 0x3a)), 0);
	assert_int_equal(gpr(&td)[R11], 1);
	/* KVM's paravirtual clock would be written where the guest does not look. */
	assert_int_equal(finish(&td, vmcall(&td, 0, WRMSR, 0x4b564d01, 0x100001)), INVALID);
	assert_int_equal(finish(&td, vmcall(&td, 0, RDMSR, 0x12345)), INVALID);
	td_close(&td);
}

/* User space may want to see what KVM refuses. */
static void msr_for_user_space(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(td_enable(&td, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN), 0);
	assert_int_equal(vmcall(&td, 0, RDMSR, 0x12345), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_X86_RDMSR);
	assert_int_equal(td.run[0]->msr.index, 0x12345);
	td.run[0]->msr.error = 0;
	td.run[0]->msr.data = 77;
	assert_int_equal(finish_exit(&td), 0);
	assert_int_equal(gpr(&td)[R11], 77);
	assert_int_equal(vmcall(&td, 0, WRMSR, 0x12345, 78), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_X86_WRMSR);
	assert_int_equal(td.run[0]->msr.data, 78);
	td.run[0]->msr.error = 1;
	assert_int_equal(finish_exit(&td), INVALID);
	td_close(&td);
}

static void unknown_calls(void **state)
{
	static const uint64_t calls[] = { 0, 1, 13, 36, 39, 54, 65, 0x10005, 0x10006, 0x20000, ~0ull };
	struct td td;

	start(&td);
	for (unsigned int i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		assert_int_equal(finish(&td, vmcall(&td, 0, calls[i])), UNSUPPORTED);
	td_close(&td);
}

/* ---------------------------------------------------------------- MapGPA */

#define MAP TDVMCALL_MAP_GPA

static void expect_map(struct td *td, int result, uint64_t gpa, uint64_t pages, uint64_t attributes)
{
	assert_int_equal(result, 0);
	assert_int_equal(td->run[0]->exit_reason, KVM_EXIT_HYPERCALL);
	assert_int_equal(td->run[0]->hypercall.nr, KVM_HC_MAP_GPA_RANGE);
	assert_int_equal(td->run[0]->hypercall.args[0], gpa);
	assert_int_equal(td->run[0]->hypercall.args[1], pages);
	assert_int_equal(td->run[0]->hypercall.args[2], attributes);
	assert_int_equal(td->run[0]->hypercall.flags, KVM_EXIT_HYPERCALL_LONG_MODE);
}

/* In pieces of 2 MiB from the first address. */
static void map_gpa_by_pieces(void **state)
{
	struct td td;

	start(&td);
	expect_map(&td, vmcall(&td, 0, MAP, SHARED_BIT | 0x3000, 0x400000), 0x3000, 512, 0);
	expect_map(&td, td_run(&td, 0), 0x203000, 512, 0);
	assert_int_equal(finish_exit(&td), 0);
	expect_map(&td, vmcall(&td, 0, MAP, 0x3000, 0x1000), 0x3000, 1, 1 << 4);
	assert_int_equal(finish_exit(&td), 0);
	td_close(&td);
}

/* User space's answer in the middle: the guest learns how far it came. */
static void map_gpa_retry(void **state)
{
	struct td td;

	start(&td);
	expect_map(&td, vmcall(&td, 0, MAP, SHARED_BIT, 0x600000), 0, 512, 0);
	expect_map(&td, td_run(&td, 0), 0x200000, 512, 0);
	td.run[0]->hypercall.ret = EAGAIN;
	assert_int_equal(finish_exit(&td), TDVMCALL_STATUS_RETRY);
	assert_int_equal(gpr(&td)[R11], SHARED_BIT | 0x200000);
	expect_map(&td, vmcall(&td, 0, MAP, SHARED_BIT, 0x1000), 0, 1, 0);
	td.run[0]->hypercall.ret = EINVAL;
	assert_int_equal(finish_exit(&td), INVALID);
	assert_int_equal(gpr(&td)[R11], SHARED_BIT);
	expect_map(&td, vmcall(&td, 0, MAP, SHARED_BIT, 0x1000), 0, 1, 0);
	td.run[0]->hypercall.ret = 12345;
	assert_int_equal(td_run(&td, 0), -EINVAL);
	td_close(&td);
}

/* An interrupt does not wait for the rest. */
static void map_gpa_interrupted(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x31 };
	struct td td;

	start(&td);
	assert_int_equal(finish(&td, vmcall(&td, 0, WRMSR, 0x80f, 0x1ff)), 0);
	expect_map(&td, vmcall(&td, 0, MAP, SHARED_BIT, 0x600000), 0, 512, 0);
	assert_int_equal(softcvm_ioctl(td.vm, KVM_SIGNAL_MSI, &msi), 1);
	assert_int_equal(finish_exit(&td), TDVMCALL_STATUS_RETRY);
	assert_int_equal(gpr(&td)[R11], SHARED_BIT | 0x200000);
	td_close(&td);
}

static void map_gpa_refused(void **state)
{
	static const struct {
		uint64_t start, size, code;
	} cases[] = {
		{ 0x1000, 0, INVALID },
		{ 0x1000, ~0ull, INVALID },
		{ SHARED_BIT - 0x1000, 0x2000, INVALID },
		{ 1ull << 52, 0x1000, INVALID },
		{ 0x1001, 0x1000, TDVMCALL_STATUS_ALIGN_ERROR },
		{ 0x1000, 0x1001, TDVMCALL_STATUS_ALIGN_ERROR },
	};
	struct td td;

	start(&td);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(finish(&td, vmcall(&td, 0, MAP, cases[i].start, cases[i].size)), cases[i].code);
		assert_int_equal(gpr(&td)[R11], cases[i].start);
	}
	assert_int_equal(td_enable(&td, KVM_CAP_EXIT_HYPERCALL, 0), 0);
	assert_int_equal(finish(&td, vmcall(&td, 0, MAP, 0x1000, 0x1000)), UNSUPPORTED);
	td_close(&td);
}

/* ---------------------------------------------------------------- services */

static void services(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(vmcall(&td, 0, TDVMCALL_GET_QUOTE, SHARED_BIT | 0x5000, 0x2000), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_TDX);
	assert_int_equal(td.run[0]->tdx.nr, TDVMCALL_GET_QUOTE);
	assert_int_equal(td.run[0]->tdx.get_quote.gpa, 0x5000);
	assert_int_equal(td.run[0]->tdx.get_quote.size, 0x2000);
	assert_int_equal(td.run[0]->tdx.get_quote.ret, UNSUPPORTED);
	td.run[0]->tdx.get_quote.ret = 0;
	assert_int_equal(finish_exit(&td), 0);
	assert_int_equal(finish(&td, vmcall(&td, 0, TDVMCALL_GET_QUOTE, 0x5000, 0x2000)), INVALID);

	assert_int_equal(vmcall(&td, 0, TDVMCALL_SETUP_EVENT_NOTIFY_INTERRUPT, 0x55), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_TDX);
	assert_int_equal(td.run[0]->tdx.setup_event_notify.vector, 0x55);
	assert_int_equal(finish_exit(&td), UNSUPPORTED);
	assert_int_equal(finish(&td, vmcall(&td, 0, TDVMCALL_SETUP_EVENT_NOTIFY_INTERRUPT, 31)), INVALID);
	assert_int_equal(finish(&td, vmcall(&td, 0, TDVMCALL_SETUP_EVENT_NOTIFY_INTERRUPT, 256)), INVALID);

	assert_int_equal(finish(&td, vmcall(&td, 0, TDVMCALL_GET_TD_VM_CALL_INFO, 0)), 0);
	assert_int_equal(gpr(&td)[R11], 0);
	assert_int_equal(vmcall(&td, 0, TDVMCALL_GET_TD_VM_CALL_INFO, 1), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_TDX);
	assert_int_equal(td.run[0]->tdx.get_tdvmcall_info.leaf, 1);
	td.run[0]->tdx.get_tdvmcall_info.r11 = 2;
	assert_int_equal(finish_exit(&td), 0);
	assert_int_equal(gpr(&td)[R11], 2);
	assert_int_equal(finish(&td, vmcall(&td, 0, TDVMCALL_GET_TD_VM_CALL_INFO, 2)), INVALID);
	td_close(&td);
}

static void fatal_error(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(vmcall(&td, 0, TDVMCALL_REPORT_FATAL_ERROR, 0x1234, 0, 0x6c6c6568), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_SYSTEM_EVENT);
	assert_int_equal(td.run[0]->system_event.type, KVM_SYSTEM_EVENT_TDX_FATAL);
	assert_int_equal(td.run[0]->system_event.ndata, 16);
	assert_int_equal(td.run[0]->system_event.data[R11], TDVMCALL_REPORT_FATAL_ERROR);
	assert_int_equal(td.run[0]->system_event.data[R12], 0x1234);
	assert_int_equal(td.run[0]->system_event.data[R14], 0x6c6c6568);
	td_close(&td);
}

/* R10 is the number of a hypercall of KVM's own. */
static void hypercalls(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(finish(&td, vmcall(&td, KVM_HC_VAPIC_POLL_IRQ)), 0);
	assert_int_equal(finish(&td, vmcall(&td, 9999)), (uint64_t)-KVM_ENOSYS);
	assert_int_equal(vmcall(&td, KVM_HC_MAP_GPA_RANGE, 0x4000, 2, 1 << 4), 0);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_HYPERCALL);
	assert_int_equal(td.run[0]->hypercall.args[0], 0x4000);
	td.run[0]->hypercall.ret = 7;
	assert_int_equal(finish_exit(&td), 7);
	td_close(&td);
}

/* HLT sleeps until there is an interrupt that the guest lets in; it says itself whether it does. */
static void halt(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x31 };
	struct td td;

	start(&td);
	assert_int_equal(finish(&td, vmcall(&td, 0, WRMSR, 0x80f, 0x1ff)), 0);
	assert_int_equal(softcvm_ioctl(td.vm, KVM_SIGNAL_MSI, &msi), 1);
	assert_int_equal(finish(&td, vmcall(&td, 0, HLT, 0)), 0);
	/* The guest blocks interrupts, so what waits in its APIC ends no halt; an NMI does. */
	assert_int_equal(softcvm_ioctl(td.vcpu[0], KVM_NMI, NULL), 0);
	td_expect_ready(&td, 0, vmcall(&td, 0, HLT, 1));
	td_close(&td);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_io), cmocka_unit_test(mmio), cmocka_unit_test(cpuid), cmocka_unit_test(msrs),
		cmocka_unit_test(msr_for_user_space), cmocka_unit_test(unknown_calls), cmocka_unit_test(map_gpa_by_pieces),
		cmocka_unit_test(map_gpa_retry), cmocka_unit_test(map_gpa_interrupted), cmocka_unit_test(map_gpa_refused),
		cmocka_unit_test(services), cmocka_unit_test(fatal_error), cmocka_unit_test(hypercalls), cmocka_unit_test(halt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
