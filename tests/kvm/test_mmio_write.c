// SPDX-License-Identifier: Apache-2.0
/* The registers that user space sees at the exit of a write to a device: those behind the instruction, as on Linux. */
#include "guest.h"

static const enum softcvm_platform platforms[] = {SOFTCVM_PLATFORM_INTEL, SOFTCVM_PLATFORM_AMD};

static uint64_t rip_of(struct guest *g)
{
	return regs_of(g).rip - CODE_AT;
}

static void start_with_es(struct guest *g, uint64_t base)
{
	struct kvm_sregs sregs;

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.es.base = base;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_SREGS, &sregs), 0);
}

static void expect_halt(struct guest *g, uint64_t rip)
{
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(rip_of(g), rip);
}

static void finish(struct guest *g)
{
	g->run->immediate_exit = 1;
	assert_int_equal(run(g), -EINTR);
	g->run->immediate_exit = 0;
}

/* mov %al, %es:0; hlt */
static const unsigned char store[] = {0x26, 0xa2, 0, 0, 0xf4};

static void test_store(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct guest g;

		create(&g, platforms[i], store, sizeof(store));
		start_with_es(&g, 0x100000);
		expect_mmio(&g, 0x100000, 1, 1);
		assert_int_equal(rip_of(&g), 4);
		finish(&g);
		assert_int_equal(rip_of(&g), 4);
		expect_halt(&g, 5);
		destroy(&g);
	}
}

/* The instruction is over: user space may send the guest anywhere. */
static void test_set_regs(void **state)
{
	struct kvm_regs regs;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_AMD, store, sizeof(store));
	start_with_es(&g, 0x100000);
	expect_mmio(&g, 0x100000, 1, 1);
	regs = regs_of(&g);
	regs.rip = CODE_AT;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_REGS, &regs), 0);
	expect_mmio(&g, 0x100000, 1, 1);
	expect_halt(&g, 5);
	destroy(&g);
}

/* A read stays in front of its instruction; the write of the same one stands behind it. lock-free: incb %es:0; hlt */
static void test_read_modify_write(void **state)
{
	static const unsigned char code[] = {0x26, 0xfe, 0x06, 0, 0, 0xf4};
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	start_with_es(&g, 0x100000);
	expect_mmio(&g, 0x100000, 1, 0);
	assert_int_equal(rip_of(&g), 0);
	g.run->mmio.data[0] = 0x41;
	expect_mmio(&g, 0x100000, 1, 1);
	assert_int_equal(g.run->mmio.data[0], 0x42);
	assert_int_equal(rip_of(&g), 5);
	expect_halt(&g, 6);
	destroy(&g);
}

/* One element at a time: mov $3, %cx; rep stosb; hlt */
static void test_string(void **state)
{
	static const unsigned char code[] = {0xb9, 3, 0, 0xf3, 0xaa, 0xf4};
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_AMD, code, sizeof(code));
	start_with_es(&g, 0x100000);
	for (unsigned int i = 0; i < 3; i++) {
		expect_mmio(&g, 0x100000 + i, 1, 1);
		assert_int_equal(regs_of(&g).rcx, 2 - i);
		assert_int_equal(rip_of(&g), i == 2 ? 5 : 3);
		finish(&g);
	}
	expect_halt(&g, 6);
	destroy(&g);
}

/* Two pieces of one write: the second is an exit of its own, and ends the instruction. movw %ax, %es:0xfff; hlt */
static void test_page_crossing(void **state)
{
	static const unsigned char code[] = {0x26, 0xa3, 0xff, 0x0f, 0xf4};
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	start_with_es(&g, 0x100000);
	expect_mmio(&g, 0x100fff, 1, 1);
	expect_mmio(&g, 0x101000, 1, 1);
	assert_int_equal(rip_of(&g), 4);
	expect_halt(&g, 5);
	destroy(&g);
}

/* Single-stepping sees the instruction once, behind the write. */
static void test_single_step(void **state)
{
	struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_AMD, store, sizeof(store));
	start_with_es(&g, 0x100000);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_GUEST_DEBUG, &debug), 0);
	expect_mmio(&g, 0x100000, 1, 1);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_DEBUG);
	assert_int_equal(g.run->debug.arch.pc, CODE_AT + 4);
	destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_set_regs),
		cmocka_unit_test(test_read_modify_write),
		cmocka_unit_test(test_string),
		cmocka_unit_test(test_page_crossing),
		cmocka_unit_test(test_single_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
