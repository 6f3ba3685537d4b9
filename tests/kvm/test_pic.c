// SPDX-License-Identifier: Apache-2.0
/* The two 8259A: priorities, cascade, edge and level, spurious requests, polling, and where their output goes. */
#include "irq_fixture.h"

static void initialise(struct fixture *f)
{
	static const struct {
		u16 port;
		u8 value;
	} sequence[] = {
		{0x20, 0x11}, {0x21, 0x20}, {0x21, 0x04}, {0x21, 0x01}, {0x21, 0x00},
		{0xa0, 0x11}, {0xa1, 0x28}, {0xa1, 0x02}, {0xa1, 0x01}, {0xa1, 0x00},
	};

	for (size_t i = 0; i < sizeof(sequence) / sizeof(sequence[0]); i++)
		out8(f, sequence[i].port, sequence[i].value);
}

static int make(void **state)
{
	struct fixture *f = fixture_make(false, 2);

	initialise(f);
	*state = f;
	return 0;
}

static int destroy(void **state)
{
	fixture_free(*state);
	return 0;
}

static int raise_pin(struct fixture *f, unsigned int pin, int level)
{
	return kvm_pic_set_irq(f->kvm, pin, KVM_USERSPACE_IRQ_SOURCE, level);
}

static u8 acknowledge(struct fixture *f)
{
	return kvm_pic_acknowledge(f->kvm->vcpu[0]);
}

static void edge_is_requested_once(void **state)
{
	struct fixture *f = *state;

	assert_false(kvm_pic_output(f->kvm));
	assert_int_equal(raise_pin(f, 1, 1), 1);
	assert_true(kvm_pic_output(f->kvm));
	assert_int_equal(acknowledge(f), 0x21);
	assert_false(kvm_pic_output(f->kvm));
	out8(f, 0x20, 0x20);
	assert_false(kvm_pic_output(f->kvm));
	raise_pin(f, 1, 0);
	assert_int_equal(raise_pin(f, 1, 1), 1);
	assert_true(kvm_pic_output(f->kvm));
}

static void masked_pins_are_ignored(void **state)
{
	struct fixture *f = *state;

	out8(f, 0x21, 0x02);
	assert_int_equal(raise_pin(f, 1, 1), -1);
	assert_false(kvm_pic_output(f->kvm));
	out8(f, 0x21, 0x00);
	assert_true(kvm_pic_output(f->kvm));
}

static void in_service_blocks_lower_priority(void **state)
{
	struct fixture *f = *state;

	raise_pin(f, 3, 1);
	assert_int_equal(acknowledge(f), 0x23);
	raise_pin(f, 4, 1);
	assert_false(kvm_pic_output(f->kvm));
	raise_pin(f, 1, 1);
	assert_true(kvm_pic_output(f->kvm));
	assert_int_equal(acknowledge(f), 0x21);
	out8(f, 0x20, 0x20);
	out8(f, 0x20, 0x63);
	assert_int_equal(acknowledge(f), 0x24);
}

static void slave_comes_through_the_cascade(void **state)
{
	struct fixture *f = *state;

	raise_pin(f, 12, 1);
	assert_int_equal(acknowledge(f), 0x2c);
	out8(f, 0x20, 0x0b);
	assert_int_equal(in8(f, 0x20), 0x04);
	out8(f, 0xa0, 0x0b);
	assert_int_equal(in8(f, 0xa0), 0x10);
	out8(f, 0xa0, 0x20);
	out8(f, 0x20, 0x20);
	assert_int_equal(in8(f, 0x20), 0);
}

static void level_comes_again_until_lowered(void **state)
{
	struct fixture *f = *state;

	out8(f, 0x4d0, 0xff);
	assert_int_equal(in8(f, 0x4d0), 0xf8);
	raise_pin(f, 5, 1);
	assert_int_equal(acknowledge(f), 0x25);
	out8(f, 0x20, 0x20);
	assert_true(kvm_pic_output(f->kvm));
	assert_int_equal(acknowledge(f), 0x25);
	raise_pin(f, 5, 0);
	out8(f, 0x20, 0x20);
	assert_false(kvm_pic_output(f->kvm));
}

static void request_that_went_is_spurious(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(acknowledge(f), 0x27);
	out8(f, 0x20, 0x0b);
	assert_int_equal(in8(f, 0x20), 0);
}

static void poll_acknowledges(void **state)
{
	struct fixture *f = *state;

	raise_pin(f, 6, 1);
	out8(f, 0x20, 0x0c);
	assert_int_equal(in8(f, 0x20), 0x86);
	assert_false(kvm_pic_output(f->kvm));
	out8(f, 0x20, 0x0c);
	assert_int_equal(in8(f, 0x20), 0);
}

static void output_reaches_lint0_in_extint_mode(void **state)
{
	struct fixture *f = *state;
	struct kvm_vcpu *bsp = f->kvm->vcpu[0];

	assert_true(kvm_lapic_accepts_pic(bsp));
	assert_false(kvm_lapic_accepts_pic(f->kvm->vcpu[1]));
	raise_pin(f, 1, 1);
	assert_true(kvm_cpu_has_interrupt(bsp));
	enable_apics(f);
	apic_write(f, 0, 0x350, 0x10700);
	assert_false(kvm_cpu_has_interrupt(bsp));
	apic_write(f, 0, 0x350, 0x700);
	assert_true(kvm_cpu_has_interrupt(bsp));
	kvm_irq_prepare_entry(bsp);
	assert_true(hw_cpu_ctl(bsp->cpu)->irq_window);
	hw_cpu_arch(bsp->cpu)->rflags |= 0x200;
	kvm_irq_prepare_entry(bsp);
	assert_true(hw_cpu_ctl(bsp->cpu)->inject.valid);
	assert_int_equal(hw_cpu_ctl(bsp->cpu)->inject.vector, 0x21);
	assert_false(hw_cpu_ctl(bsp->cpu)->irq_window);
}

static void state_can_be_hostile(void **state)
{
	struct fixture *f = *state;
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};

	memset(&chip.chip, 0xff, sizeof(chip.chip));
	assert_int_equal(softcvm_ioctl(f->vm, KVM_SET_IRQCHIP, &chip), 0);
	acknowledge(f);
	out8(f, 0x20, 0x20);
	chip.chip_id = 3;
	assert_int_equal(softcvm_ioctl(f->vm, KVM_SET_IRQCHIP, &chip), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(edge_is_requested_once, make, destroy),
		cmocka_unit_test_setup_teardown(masked_pins_are_ignored, make, destroy),
		cmocka_unit_test_setup_teardown(in_service_blocks_lower_priority, make, destroy),
		cmocka_unit_test_setup_teardown(slave_comes_through_the_cascade, make, destroy),
		cmocka_unit_test_setup_teardown(level_comes_again_until_lowered, make, destroy),
		cmocka_unit_test_setup_teardown(request_that_went_is_spurious, make, destroy),
		cmocka_unit_test_setup_teardown(poll_acknowledges, make, destroy),
		cmocka_unit_test_setup_teardown(output_reaches_lint0_in_extint_mode, make, destroy),
		cmocka_unit_test_setup_teardown(state_can_be_hostile, make, destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
