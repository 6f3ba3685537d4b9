// SPDX-License-Identifier: Apache-2.0
/* Exceptions during the delivery of an event (SDM 3A Tables 6-4, 6-5), and what an exit tells about it. */
#include "fixture.h"

#include "hw/cpu/event.h"

static struct hw_event exception(u8 vector)
{
	return (struct hw_event){ .valid = true, .type = HW_EVENT_EXCEPTION, .vector = vector };
}

static void combinations(void **state)
{
	static const struct { u8 first, second; enum event_outcome outcome; } cases[] = {
		{ X86_DB, X86_GP, SECOND_ALONE },	  { X86_UD, X86_PF, SECOND_ALONE },
		{ X86_MF, X86_SS, SECOND_ALONE },	  { X86_DE, X86_NP, BECOMES_DOUBLE_FAULT },
		{ X86_GP, X86_TS, BECOMES_DOUBLE_FAULT }, { X86_SS, X86_PF, SECOND_ALONE },
		{ X86_PF, X86_GP, BECOMES_DOUBLE_FAULT }, { X86_PF, X86_PF, BECOMES_DOUBLE_FAULT },
		{ X86_PF, X86_DB, SECOND_ALONE },	  { X86_DF, X86_GP, BECOMES_SHUTDOWN },
		{ X86_DF, X86_PF, BECOMES_SHUTDOWN },
	};

	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct hw_event first = exception(cases[n].first);

		assert_int_equal(event_combine(&first, cases[n].second), cases[n].outcome);
	}
}

/* Interrupts and INT n are benign whatever their vector. */
static void interrupts_are_benign(void **state)
{
	const struct hw_event external = { .valid = true, .type = HW_EVENT_EXTINT, .vector = X86_GP };
	const struct hw_event software = { .valid = true, .type = HW_EVENT_SOFTINT, .vector = X86_PF };

	assert_int_equal(event_combine(&external, X86_GP), SECOND_ALONE);
	assert_int_equal(event_combine(&software, X86_PF), SECOND_ALONE);
}

/* Real mode: the stack is not mapped, so the push ends in an EPT violation. */
static void exit_during_delivery(void **state)
{
	struct fixture *f = fixture_open(HW_PLATFORM_INTEL);
	struct hw_cpu *c = f->cpu;
	struct hw_arch *a = hw_cpu_arch(c);

	a->seg[HW_CS].base = 0;
	a->rip = 0x1000;
	a->gpr[HW_RSP] = 0x3000;
	hw_cpu_arch_changed(c);
	fixture_map(f, 0x2000, 0);
	f->cpu->ctl.inject = (struct hw_event){ .valid = true, .type = HW_EVENT_EXTINT, .vector = 0x21 };
	hw_cpu_run(c);
	assert_int_equal(hw_cpu_exit(c)->vmx.reason, VMX_EXIT_EPT_VIOLATION);
	assert_int_equal(hw_cpu_exit(c)->vmx.idt_info, 1u << 31 | 0x21);
	assert_int_equal(a->rip, 0x1000);
	assert_int_equal(a->gpr[HW_RSP], 0x3000);
	assert_false(c->ctl.inject.valid);
	assert_false(c->in_delivery);
	fixture_close(f);
}

/* An exception in the bitmap exits; DR6 stays for #DB, CR2 for #PF (SDM 3C 27.1). */
static void intercepted_exception(void **state)
{
	struct fixture *f = fixture_open(HW_PLATFORM_INTEL);
	struct hw_cpu *c = f->cpu;
	struct hw_arch *a = hw_cpu_arch(c);

	a->seg[HW_CS].base = 0;
	a->rip = 0x1000;
	f->ram[0x1000] = 0x0f; /* UD2 */
	f->ram[0x1001] = 0x0b;
	hw_cpu_arch_changed(c);
	c->ctl.exception_bitmap = 1u << X86_UD;
	hw_cpu_run(c);
	assert_int_equal(hw_cpu_exit(c)->vmx.reason, VMX_EXIT_EXCEPTION);
	assert_int_equal(hw_cpu_exit(c)->vmx.intr_info, 1u << 31 | 3 << 8 | X86_UD);
	assert_int_equal(hw_cpu_exit(c)->vmx.idt_info, 0);
	assert_int_equal(a->rip, 0x1000);
	fixture_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(combinations),
		cmocka_unit_test(interrupts_are_benign),
		cmocka_unit_test(exit_during_delivery),
		cmocka_unit_test(intercepted_exception),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
