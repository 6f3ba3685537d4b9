// SPDX-License-Identifier: Apache-2.0
/* The virtual-APIC page: priorities, posted interrupts, EOI, self-IPI, x2APIC registers. */
#include "fixture.h"

#include "hw/apic/apic.h"

static u8 page[4096] __attribute__((aligned(4096)));
static struct hw_pi_desc pi;

static struct fixture *open_apic(void)
{
	struct fixture *f = fixture_open(HW_PLATFORM_INTEL);

	memset(page, 0, sizeof(page));
	memset(&pi, 0, sizeof(pi));
	f->cpu->ctl.vapic = page;
	f->cpu->ctl.pi = &pi;
	f->cpu->ctl.x2apic_virt = true;
	return f;
}

static void post(unsigned int vector)
{
	__atomic_fetch_or(&pi.pir[vector / 64], 1ull << vector % 64, __ATOMIC_SEQ_CST);
	__atomic_store_n(&pi.on, 1, __ATOMIC_SEQ_CST);
}

static u32 get(unsigned int offset)
{
	u32 v;

	memcpy(&v, page + offset, 4);
	return v;
}

static void test_priorities(void **state)
{
	struct fixture *f = open_apic();
	struct hw_cpu *c = f->cpu;
	u8 vector;

	assert_false(vapic_pending(c, &vector));
	post(0x41);
	post(0x63);
	assert_true(hw_cpu_has_virtual_interrupt(c));
	assert_int_equal(pi.on, 0);
	assert_int_equal(pi.pir[1], 0);
	assert_true(vapic_pending(c, &vector));
	assert_int_equal(vector, 0x63);
	vapic_accept(c, vector);
	assert_int_equal(get(0x100 + 0x30), 1u << 3); /* ISR */
	assert_int_equal(get(0xa0), 0x60);	      /* PPR */
	assert_false(vapic_pending(c, &vector));      /* 0x41 is of a lower class */
	post(0x6f);
	assert_false(vapic_pending(c, &vector)); /* same class */
	post(0x70);
	assert_true(vapic_pending(c, &vector));
	assert_int_equal(vector, 0x70);
	assert_int_equal(vapic_wrmsr(c, 0x80b, 0), EXEC_OK); /* EOI of 0x63 */
	vapic_accept(c, 0x70);
	assert_int_equal(vapic_wrmsr(c, 0x80b, 0), EXEC_OK);
	assert_true(vapic_pending(c, &vector));
	assert_int_equal(vector, 0x6f);
	vapic_set_cr8(c, 6);
	assert_int_equal(get(0x80), 0x60);
	assert_int_equal(vapic_get_cr8(c), 6);
	assert_int_equal(c->arch.cr8, 6);
	assert_false(vapic_pending(c, &vector));
	vapic_set_cr8(c, 5);
	assert_true(vapic_pending(c, &vector));
	fixture_close(f);
}

static void test_eoi_exit(void **state)
{
	struct fixture *f = open_apic();
	struct hw_cpu *c = f->cpu;

	c->ctl.eoi_exit_bitmap[1] = 1ull << 5; /* 0x45 */
	vapic_accept(c, 0x45);
	vapic_accept(c, 0x55);
	assert_int_equal(vapic_wrmsr(c, 0x80b, 0), EXEC_OK);
	assert_int_equal(vapic_check_exit(c), EXEC_OK);
	assert_int_equal(vapic_wrmsr(c, 0x80b, 0), EXEC_OK);
	assert_int_equal(vapic_check_exit(c), EXEC_EXIT);
	assert_int_equal(c->exit.vmx.reason, VMX_EXIT_VIRT_EOI);
	assert_int_equal(c->exit.vmx.qualification, 0x45);
	assert_int_equal(vapic_check_exit(c), EXEC_OK);
	assert_int_equal(vapic_wrmsr(c, 0x80b, 0), EXEC_OK); /* nothing in service */
	assert_int_equal(vapic_check_exit(c), EXEC_OK);
	fixture_close(f);
}

static void test_msrs(void **state)
{
	struct fixture *f = open_apic();
	struct hw_cpu *c = f->cpu;
	u64 value;
	u8 vector;

	memcpy(page + 0x300, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
	assert_int_equal(vapic_rdmsr(c, 0x830, &value), EXEC_OK);
	assert_int_equal(value, 0x0807060504030201);
	assert_int_equal(vapic_rdmsr(c, 0x839, &value), EXEC_EXIT); /* current count */
	assert_int_equal(vapic_rdmsr(c, 0x80b, &value), EXEC_EXIT); /* write-only */
	assert_int_equal(vapic_rdmsr(c, 0x831, &value), EXEC_EXIT); /* hole */
	assert_int_equal(vapic_rdmsr(c, 0x7ff, &value), EXEC_EXIT);
	assert_int_equal(vapic_rdmsr(c, 0x900, &value), EXEC_EXIT);
	assert_int_equal(vapic_wrmsr(c, 0x830, 0), EXEC_EXIT);
	assert_int_equal(vapic_wrmsr(c, 0x80b, 1), EXEC_FAULT);
	assert_int_equal(vapic_wrmsr(c, 0x808, 0x100), EXEC_FAULT);
	assert_int_equal(vapic_wrmsr(c, 0x83f, 0x100), EXEC_FAULT);
	assert_int_equal(vapic_wrmsr(c, 0x83f, 15), EXEC_EXIT);
	assert_int_equal(vapic_wrmsr(c, 0x83f, 0x31), EXEC_OK);
	assert_true(vapic_pending(c, &vector));
	assert_int_equal(vector, 0x31);
	assert_int_equal(vapic_wrmsr(c, 0x808, 0x30), EXEC_OK);
	assert_false(vapic_pending(c, &vector));
	assert_int_equal(vapic_rdmsr(c, 0x80a, &value), EXEC_OK);
	assert_int_equal(value, 0x30);
	c->ctl.x2apic_virt = false;
	assert_int_equal(vapic_rdmsr(c, 0x808, &value), EXEC_EXIT);
	assert_int_equal(vapic_wrmsr(c, 0x808, 0), EXEC_EXIT);
	c->ctl.vapic = NULL;
	assert_false(vapic_pending(c, &vector));
	vapic_set_cr8(c, 9);
	assert_int_equal(vapic_get_cr8(c), 9);
	fixture_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_eoi_exit),
		cmocka_unit_test(test_msrs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
