// SPDX-License-Identifier: Apache-2.0
/* The local APIC: destinations, INIT and SIPI, modes, timer, state as the API shows it; PIT and clock beside it. */
#include "irq_fixture.h"
#include "kvm/x86/clock.h"

static int make(void **state)
{
	struct fixture *f = fixture_make(false, 3);

	enable_apics(f);
	*state = f;
	return 0;
}

static int destroy(void **state)
{
	fixture_free(*state);
	return 0;
}

static u64 read_msr(struct fixture *f, unsigned int vcpu, u32 msr)
{
	u64 value = 0;

	assert_int_equal(kvm_lapic_read_msr(f->kvm->vcpu[vcpu], msr, &value, false), 0);
	return value;
}

static int write_msr(struct fixture *f, unsigned int vcpu, u32 msr, u64 value)
{
	return kvm_lapic_write_msr(f->kvm->vcpu[vcpu], msr, value, false);
}

static void enter_x2apic(struct fixture *f)
{
	for (unsigned int i = 0; i < f->vcpus; i++)
		assert_int_equal(
			write_msr(f, i, MSR_IA32_APICBASE, kvm_lapic_get_base(f->kvm->vcpu[i]) | APICBASE_X2APIC), 0);
}

static unsigned int who(struct fixture *f, u8 vector)
{
	unsigned int mask = 0;

	for (unsigned int i = 0; i < f->vcpus; i++) {
		mask |= requested(f, i, vector) << i;
		forget(f, i, vector);
	}
	return mask;
}

static void reset_state(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(apic_read(f, 1, 0x20), 1 << 24);
	assert_int_equal(apic_read(f, 0, 0x30), 0x50014);
	assert_int_equal(apic_read(f, 1, 0xe0), 0xffffffff);
	assert_int_equal(apic_read(f, 1, 0x350), 0x10000);
	assert_true(kvm_lapic_get_base(f->kvm->vcpu[0]) & APICBASE_BSP);
	assert_false(kvm_lapic_get_base(f->kvm->vcpu[1]) & APICBASE_BSP);
	assert_int_equal(f->kvm->vcpu[1]->mp_state, KVM_MP_STATE_UNINITIALIZED);
}

static void xapic_destinations(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 3; i++)
		apic_write(f, i, 0xd0, 1u << (24 + i));
	apic_write(f, 0, 0x310, 2u << 24);
	apic_write(f, 0, 0x300, 0x40);
	assert_int_equal(who(f, 0x40), 4);
	apic_write(f, 0, 0x310, 5u << 24);
	apic_write(f, 0, 0x300, 0x40 | 1 << 11);
	assert_int_equal(who(f, 0x40), 5);
	apic_write(f, 0, 0x310, 0xffu << 24);
	apic_write(f, 0, 0x300, 0x40);
	assert_int_equal(who(f, 0x40), 7);
	apic_write(f, 1, 0x300, 0x40 | 1 << 18);
	assert_int_equal(who(f, 0x40), 2);
	apic_write(f, 1, 0x300, 0x40 | 2 << 18);
	assert_int_equal(who(f, 0x40), 7);
	apic_write(f, 1, 0x300, 0x40 | 3 << 18);
	assert_int_equal(who(f, 0x40), 5);
	/* lowest priority takes turns */
	apic_write(f, 0, 0x310, 7u << 24);
	apic_write(f, 0, 0x300, 0x40 | 1 << 11 | 1 << 8);
	apic_write(f, 0, 0x300, 0x41 | 1 << 11 | 1 << 8);
	assert_int_equal(who(f, 0x40) | who(f, 0x41), 3);
	/* cluster model */
	for (unsigned int i = 0; i < 3; i++) {
		apic_write(f, i, 0xe0, 0);
		apic_write(f, i, 0xd0, (0x10u | 1u << i) << 24);
	}
	apic_write(f, 0, 0x310, 0x16u << 24);
	apic_write(f, 0, 0x300, 0x40 | 1 << 11);
	assert_int_equal(who(f, 0x40), 6);
	apic_write(f, 0, 0x310, 0x26u << 24);
	apic_write(f, 0, 0x300, 0x40 | 1 << 11);
	assert_int_equal(who(f, 0x40), 0);
}

static void x2apic_destinations(void **state)
{
	struct fixture *f = *state;

	enter_x2apic(f);
	assert_int_equal(read_msr(f, 2, 0x802), 2);
	assert_int_equal(read_msr(f, 2, 0x80d), 4);
	assert_int_equal(write_msr(f, 0, 0x830, 2ull << 32 | 0x40), 0);
	assert_int_equal(who(f, 0x40), 4);
	assert_int_equal(read_msr(f, 0, 0x830), 2ull << 32 | 0x40);
	assert_int_equal(write_msr(f, 0, 0x830, 6ull << 32 | 1 << 11 | 0x40), 0);
	assert_int_equal(who(f, 0x40), 6);
	assert_int_equal(write_msr(f, 0, 0x830, 0xffffffffull << 32 | 0x40), 0);
	assert_int_equal(who(f, 0x40), 7);
	assert_int_equal(write_msr(f, 0, 0x83f, 0x41), 0);
	assert_int_equal(who(f, 0x41), 1);
	assert_int_equal(write_msr(f, 0, 0x802, 1), -EINVAL);
	assert_int_equal(write_msr(f, 0, 0x80b, 1), -EINVAL);
	assert_int_equal(write_msr(f, 0, 0x830, 1 << 20), -EINVAL);
	assert_int_equal(write_msr(f, 0, 0x80e, 0), -EINVAL);
}

static void modes(void **state)
{
	struct fixture *f = *state;
	u64 base = kvm_lapic_get_base(f->kvm->vcpu[1]);

	assert_int_equal(write_msr(f, 1, MSR_IA32_APICBASE, base & ~APICBASE_ENABLE), 0);
	assert_int_equal(write_msr(f, 1, MSR_IA32_APICBASE, base | APICBASE_X2APIC), -EINVAL);
	assert_int_equal(write_msr(f, 1, MSR_IA32_APICBASE, (base & ~APICBASE_ENABLE) | APICBASE_X2APIC), -EINVAL);
	assert_int_equal(write_msr(f, 1, MSR_IA32_APICBASE, base), 0);
	assert_int_equal(write_msr(f, 1, MSR_IA32_APICBASE, base | APICBASE_X2APIC), 0);
	assert_int_equal(write_msr(f, 1, MSR_IA32_APICBASE, base), -EINVAL);
	assert_int_equal(write_msr(f, 1, MSR_IA32_APICBASE, base | 1), -EINVAL);
	assert_int_equal(write_msr(f, 1, MSR_IA32_APICBASE, base | 1ull << 52), -EINVAL);
}

static void init_and_sipi(void **state)
{
	struct fixture *f = *state;
	struct kvm_vcpu *ap = f->kvm->vcpu[1];

	apic_write(f, 0, 0x310, 1u << 24);
	apic_write(f, 0, 0x300, 0x0000c500);
	assert_true(kvm_irq_has_events(ap));
	assert_false(kvm_lapic_accept_events(ap));
	assert_int_equal(ap->mp_state, KVM_MP_STATE_INIT_RECEIVED);
	apic_write(f, 0, 0x300, 0x00008500);
	assert_false(kvm_irq_has_events(ap));
	apic_write(f, 0, 0x300, 0x00000699);
	assert_true(kvm_lapic_accept_events(ap));
	assert_int_equal(ap->mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(hw_cpu_arch(ap->cpu)->seg[HW_CS].selector, 0x9900);
	assert_int_equal(hw_cpu_arch(ap->cpu)->seg[HW_CS].base, 0x99000);
	assert_int_equal(hw_cpu_arch(ap->cpu)->rip, 0);
	/* a running one ignores it */
	apic_write(f, 0, 0x300, 0x00000655);
	assert_true(kvm_lapic_accept_events(ap));
	assert_int_equal(hw_cpu_arch(ap->cpu)->seg[HW_CS].selector, 0x9900);
}

static void errors(void **state)
{
	struct fixture *f = *state;

	apic_write(f, 0, 0x370, 0x44);
	apic_write(f, 0, 0x300, 0x05 | 1 << 18);
	assert_int_equal(who(f, 0x44), 1);
	assert_int_equal(apic_read(f, 0, 0x280), 0);
	apic_write(f, 0, 0x280, 0);
	assert_int_equal(apic_read(f, 0, 0x280), 1 << 5);
	apic_write(f, 0, 0x280, 0);
	assert_int_equal(apic_read(f, 0, 0x280), 0);
}

static void software_disable(void **state)
{
	struct fixture *f = *state;

	apic_write(f, 0, 0x360, 0x400);
	apic_write(f, 0, 0xf0, 0xff);
	assert_int_equal(apic_read(f, 0, 0x360), 0x10400);
	apic_write(f, 0, 0x360, 0x400);
	assert_int_equal(apic_read(f, 0, 0x360), 0x10400);
	apic_write(f, 1, 0x310, 0);
	apic_write(f, 1, 0x300, 0x40);
	assert_int_equal(who(f, 0x40), 0);
}

static bool eventually(struct fixture *f, unsigned int vcpu, u8 vector)
{
	for (int i = 0; i < 2000; i++) {
		if (requested(f, vcpu, vector))
			return true;
		usleep(1000);
	}
	return false;
}

static void timer(void **state)
{
	struct fixture *f = *state;
	u32 left;

	apic_write(f, 0, 0x3e0, 0xb);
	apic_write(f, 0, 0x320, 0x10045);
	apic_write(f, 0, 0x380, 1000000000);
	left = apic_read(f, 0, 0x390);
	assert_in_range(left, 1, 1000000000);
	usleep(2000);
	assert_true(left - apic_read(f, 0, 0x390) >= 2000000);
	apic_write(f, 0, 0x380, 0);
	assert_int_equal(apic_read(f, 0, 0x390), 0);

	apic_write(f, 0, 0x320, 0x45);
	apic_write(f, 0, 0x380, 3000000);
	assert_false(requested(f, 0, 0x45));
	assert_true(eventually(f, 0, 0x45));
	forget(f, 0, 0x45);
	assert_int_equal(apic_read(f, 0, 0x390), 0);

	apic_write(f, 0, 0x320, 0x20046);
	apic_write(f, 0, 0x380, 1000000);
	for (int i = 0; i < 3; i++) {
		assert_true(eventually(f, 0, 0x46));
		forget(f, 0, 0x46);
	}
}

static void tsc_deadline(void **state)
{
	struct fixture *f = *state;
	struct kvm_vcpu *vcpu = f->kvm->vcpu[0];
	u64 now = kvm_guest_tsc_at(vcpu, hw_machine_tsc(f->kvm->machine));

	assert_int_equal(write_msr(f, 0, MSR_IA32_TSC_DEADLINE, now + 1), 0);
	assert_int_equal(read_msr(f, 0, MSR_IA32_TSC_DEADLINE), 0);
	apic_write(f, 0, 0x320, 0x40047);
	assert_int_equal(write_msr(f, 0, MSR_IA32_TSC_DEADLINE, now + 1000000000000ull), 0);
	assert_int_equal(read_msr(f, 0, MSR_IA32_TSC_DEADLINE), now + 1000000000000ull);
	assert_false(requested(f, 0, 0x47));
	assert_int_equal(write_msr(f, 0, MSR_IA32_TSC_DEADLINE, 0), 0);
	assert_int_equal(write_msr(f, 0, MSR_IA32_TSC_DEADLINE, now), 0);
	assert_true(requested(f, 0, 0x47));
	forget(f, 0, 0x47);
	now = kvm_guest_tsc_at(vcpu, hw_machine_tsc(f->kvm->machine));
	assert_int_equal(write_msr(f, 0, MSR_IA32_TSC_DEADLINE, now + 3000000), 0);
	assert_true(eventually(f, 0, 0x47));
	assert_int_equal(read_msr(f, 0, MSR_IA32_TSC_DEADLINE), 0);
}

static void state_moves(void **state)
{
	struct fixture *f = *state;
	struct kvm_lapic_state saved, again;

	apic_write(f, 0, 0x80, 0x30);
	apic_write(f, 0, 0x300, 0x40 | 1 << 18);
	assert_int_equal(softcvm_ioctl(f->vcpu[0], KVM_GET_LAPIC, &saved), 0);
	assert_int_equal(softcvm_ioctl(f->vcpu[2], KVM_SET_LAPIC, &saved), 0);
	assert_int_equal(softcvm_ioctl(f->vcpu[2], KVM_GET_LAPIC, &again), 0);
	assert_memory_equal(&saved, &again, sizeof(saved));
	assert_int_equal(kvm_lapic_get_cr8(f->kvm->vcpu[2]), 3);
	assert_true(kvm_cpu_has_interrupt(f->kvm->vcpu[2]));
	memset(&saved, 0xff, sizeof(saved));
	assert_int_equal(softcvm_ioctl(f->vcpu[1], KVM_SET_LAPIC, &saved), 0);
}

static void nmi(void **state)
{
	struct fixture *f = *state;
	struct kvm_vcpu *vcpu = f->kvm->vcpu[0];

	assert_int_equal(softcvm_ioctl(f->vcpu[0], KVM_NMI, NULL), 0);
	assert_true(kvm_cpu_has_nmi(vcpu));
	kvm_irq_prepare_entry(vcpu);
	assert_true(hw_cpu_ctl(vcpu->cpu)->inject.valid);
	assert_int_equal(hw_cpu_ctl(vcpu->cpu)->inject.type, HW_EVENT_NMI);
	assert_false(kvm_cpu_has_nmi(vcpu));
}

static void pit_ticks(void **state)
{
	struct fixture *f = *state;
	struct kvm_pit_config config = {.flags = KVM_PIT_SPEAKER_DUMMY};
	u8 first;

	assert_int_equal(softcvm_ioctl(f->vm, KVM_CREATE_PIT2, &config), 0);
	assert_int_equal(softcvm_ioctl(f->vm, KVM_CREATE_PIT2, &config), -EEXIST);
	for (u16 port = 0x20; port; port = port == 0x20 ? 0xa0 : 0) {
		out8(f, port, 0x11);
		out8(f, port + 1, port == 0x20 ? 0x20 : 0x28);
		out8(f, port + 1, 4);
		out8(f, port + 1, 1);
	}
	out8(f, 0x43, 0x34);
	out8(f, 0x40, 0xa9);
	out8(f, 0x40, 0x04);
	for (int tick = 0; tick < 3; tick++) {
		for (int i = 0; i < 2000 && !kvm_pic_output(f->kvm); i++)
			usleep(1000);
		assert_int_equal(kvm_pic_acknowledge(f->kvm->vcpu[0]), 0x20);
		out8(f, 0x20, 0x20);
	}
	out8(f, 0x43, 0xb0);
	out8(f, 0x42, 0xff);
	out8(f, 0x42, 0xff);
	out8(f, 0x61, 1);
	first = in8(f, 0x42);
	in8(f, 0x42);
	usleep(3000);
	assert_true(in8(f, 0x42) != first || in8(f, 0x42));
	assert_int_equal(in8(f, 0x61) & 0x21, 1);
}

static void tsc_rate(void **state)
{
	struct fixture *f = *state;
	struct kvm_vcpu *vcpu = f->kvm->vcpu[0];
	u64 ns = hw_machine_tsc(f->kvm->machine), before = kvm_guest_tsc_at(vcpu, ns);

	assert_int_equal(kvm_vcpu_ioctl_set_tsc_khz(vcpu, 2500000), 0);
	assert_in_range(kvm_guest_tsc_at(vcpu, ns + 1000000000) - kvm_guest_tsc_at(vcpu, ns), 2499999999ull,
			2500000001ull);
	assert_true(kvm_guest_tsc_at(vcpu, ns + 1000000000) > before);
	ns = hw_machine_tsc(f->kvm->machine) + 1000000000;
	assert_in_range(kvm_guest_tsc_to_ns(vcpu, kvm_guest_tsc_at(vcpu, ns)), ns - 2, ns + 2);
	assert_int_equal(kvm_vcpu_ioctl_set_tsc_khz(vcpu, ~0ull), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reset_state, make, destroy),
		cmocka_unit_test_setup_teardown(xapic_destinations, make, destroy),
		cmocka_unit_test_setup_teardown(x2apic_destinations, make, destroy),
		cmocka_unit_test_setup_teardown(modes, make, destroy),
		cmocka_unit_test_setup_teardown(init_and_sipi, make, destroy),
		cmocka_unit_test_setup_teardown(errors, make, destroy),
		cmocka_unit_test_setup_teardown(software_disable, make, destroy),
		cmocka_unit_test_setup_teardown(timer, make, destroy),
		cmocka_unit_test_setup_teardown(tsc_deadline, make, destroy),
		cmocka_unit_test_setup_teardown(state_moves, make, destroy),
		cmocka_unit_test_setup_teardown(nmi, make, destroy),
		cmocka_unit_test_setup_teardown(pit_ticks, make, destroy),
		cmocka_unit_test_setup_teardown(tsc_rate, make, destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
