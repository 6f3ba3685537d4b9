// SPDX-License-Identifier: Apache-2.0
/* Routing of GSIs, the I/O APIC's pins, EOI, and the same for a split irqchip. */
#include <poll.h>
#include <sys/eventfd.h>

#include "irq_fixture.h"

#define LEVEL  (1u << 15)
#define MASKED (1u << 16)
#define REMOTE (1u << 14)

static u32 ioapic_read(struct fixture *f, u32 reg)
{
	u32 value = 0;

	assert_int_equal(kvm_io_bus_write(NULL, &f->kvm->mmio_bus, IOAPIC_BASE, 4, &reg), 0);
	assert_int_equal(kvm_io_bus_read(NULL, &f->kvm->mmio_bus, IOAPIC_BASE + 0x10, 4, &value), 0);
	return value;
}

static void ioapic_write(struct fixture *f, u32 reg, u32 value)
{
	assert_int_equal(kvm_io_bus_write(NULL, &f->kvm->mmio_bus, IOAPIC_BASE, 4, &reg), 0);
	assert_int_equal(kvm_io_bus_write(NULL, &f->kvm->mmio_bus, IOAPIC_BASE + 0x10, 4, &value), 0);
}

static void set_pin(struct fixture *f, unsigned int pin, u32 low, u8 dest)
{
	ioapic_write(f, 0x11 + 2 * pin, (u32)dest << 24);
	ioapic_write(f, 0x10 + 2 * pin, low);
}

static int line(struct fixture *f, u32 gsi, u32 level)
{
	struct kvm_irq_level arg = {.irq = gsi, .level = level};

	assert_int_equal(softcvm_ioctl(f->vm, KVM_IRQ_LINE_STATUS, &arg), 0);
	return arg.status;
}

static int make(void **state)
{
	struct fixture *f = fixture_make(false, 2);

	enable_apics(f);
	*state = f;
	return 0;
}

static int make_split(void **state)
{
	struct fixture *f = fixture_make(true, 2);

	enable_apics(f);
	*state = f;
	return 0;
}

static int destroy(void **state)
{
	fixture_free(*state);
	return 0;
}

static void registers(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ioapic_read(f, 1), 0x170011);
	ioapic_write(f, 0, 0x0f000000);
	assert_int_equal(ioapic_read(f, 0), 0x0f000000);
	assert_int_equal(ioapic_read(f, 0x10), MASKED);
	set_pin(f, 3, 0x31 | REMOTE, 0);
	assert_int_equal(ioapic_read(f, 0x16), 0x31);
}

static void edge_pin(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(line(f, 20, 1), -1);
	line(f, 20, 0);
	set_pin(f, 20, 0x31, 1);
	assert_int_equal(line(f, 20, 1), 1);
	assert_true(requested(f, 1, 0x31));
	assert_false(requested(f, 0, 0x31));
	assert_int_equal(line(f, 20, 1), 0);
	line(f, 20, 0);
	forget(f, 1, 0x31);
	assert_int_equal(line(f, 20, 1), 1);
	assert_true(requested(f, 1, 0x31));
}

static void level_pin_waits_for_eoi(void **state)
{
	struct fixture *f = *state;
	struct kvm_vcpu *vcpu = f->kvm->vcpu[0];

	set_pin(f, 21, 0x41 | LEVEL, 0);
	kvm_irq_prepare_entry(vcpu);
	assert_true(hw_cpu_ctl(vcpu->cpu)->eoi_exit_bitmap[1] & 2);
	assert_int_equal(line(f, 21, 1), 1);
	assert_true(requested(f, 0, 0x41));
	assert_true(ioapic_read(f, 0x10 + 2 * 21) & REMOTE);
	forget(f, 0, 0x41);
	assert_int_equal(line(f, 21, 1), -1);
	assert_false(requested(f, 0, 0x41));
	/* still asserted: comes again */
	kvm_lapic_eoi_exit(vcpu, 0x41);
	assert_true(requested(f, 0, 0x41));
	forget(f, 0, 0x41);
	line(f, 21, 0);
	kvm_lapic_eoi_exit(vcpu, 0x41);
	assert_false(requested(f, 0, 0x41));
	assert_false(ioapic_read(f, 0x10 + 2 * 21) & REMOTE);
}

static void two_sources_share_a_line(void **state)
{
	struct fixture *f = *state;

	set_pin(f, 22, 0x42 | LEVEL, 0);
	kvm_set_irq(f->kvm, KVM_USERSPACE_IRQ_SOURCE, 22, 1);
	kvm_set_irq(f->kvm, KVM_IRQFD_RESAMPLE_SOURCE, 22, 1);
	kvm_set_irq(f->kvm, KVM_USERSPACE_IRQ_SOURCE, 22, 0);
	kvm_irq_prepare_entry(f->kvm->vcpu[0]);
	forget(f, 0, 0x42);
	kvm_lapic_eoi_exit(f->kvm->vcpu[0], 0x42);
	assert_true(requested(f, 0, 0x42));
}

static int set_routes(struct fixture *f, const struct kvm_irq_routing_entry *entries, u32 nr)
{
	struct kvm_irq_routing *routing = calloc(1, sizeof(*routing) + nr * sizeof(*entries));
	int result;

	routing->nr = nr;
	memcpy(routing->entries, entries, nr * sizeof(*entries));
	result = softcvm_ioctl(f->vm, KVM_SET_GSI_ROUTING, routing);
	free(routing);
	return result;
}

static struct kvm_irq_routing_entry msi_route(u32 gsi, u8 dest, u32 data)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = {.address_lo = 0xfee00000u | dest << 12, .data = data},
	};
}

static void routing(void **state)
{
	struct fixture *f = *state;
	struct kvm_irq_routing_entry entries[] = {
		{.gsi = 0, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {KVM_IRQCHIP_IOAPIC, 2}},
		{.gsi = 0, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {KVM_IRQCHIP_PIC_MASTER, 0}},
		msi_route(30, 1, 0x51),
	};
	struct kvm_irq_routing_entry bad;

	assert_int_equal(set_routes(f, entries, 3), 0);
	set_pin(f, 2, 0x32, 0);
	assert_true(line(f, 0, 1) >= 1);
	assert_true(requested(f, 0, 0x32));
	assert_int_equal(line(f, 30, 1), 1);
	assert_true(requested(f, 1, 0x51));
	assert_int_equal(line(f, 31, 1), -1);
	assert_int_equal(line(f, ~0u, 1), -1);

	bad = (struct kvm_irq_routing_entry){.gsi = 4096, .type = KVM_IRQ_ROUTING_MSI};
	assert_int_equal(set_routes(f, &bad, 1), -EINVAL);
	bad = (struct kvm_irq_routing_entry){.type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {KVM_IRQCHIP_IOAPIC, 24}};
	assert_int_equal(set_routes(f, &bad, 1), -EINVAL);
	entries[1] = entries[0];
	assert_int_equal(set_routes(f, entries, 2), -EINVAL);
	assert_int_equal(line(f, 30, 1), 1);
}

static void split_reports_eoi(void **state)
{
	struct fixture *f = *state;
	struct kvm_irq_routing_entry routes[] = {msi_route(5, 0, 0x61 | LEVEL), msi_route(40, 0, 0x62 | LEVEL)};
	struct kvm_vcpu *vcpu = f->kvm->vcpu[0];

	assert_int_equal(set_routes(f, routes, 2), 0);
	kvm_irq_prepare_entry(vcpu);
	assert_true(hw_cpu_ctl(vcpu->cpu)->eoi_exit_bitmap[1] >> 33 & 1);
	assert_false(hw_cpu_ctl(vcpu->cpu)->eoi_exit_bitmap[1] >> 34 & 1);
	assert_int_equal(line(f, 5, 1), 1);
	assert_false(kvm_irq_user_exit(vcpu));
	kvm_lapic_eoi_exit(vcpu, 0x61);
	assert_true(kvm_irq_user_exit(vcpu));
	assert_int_equal(vcpu->run->exit_reason, KVM_EXIT_IOAPIC_EOI);
	assert_int_equal(vcpu->run->eoi.vector, 0x61);
	assert_false(kvm_irq_user_exit(vcpu));
}

static bool signalled(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	u64 count;

	return poll(&p, 1, 0) == 1 && read(fd, &count, sizeof(count)) == sizeof(count);
}

static bool eventually_requested(struct fixture *f, unsigned int vcpu, u8 vector)
{
	for (int i = 0; i < 2000; i++) {
		if (requested(f, vcpu, vector))
			return true;
		usleep(1000);
	}
	return false;
}

static void irqfd_raises_and_resamples(void **state)
{
	struct fixture *f = *state;
	int fd = eventfd(0, EFD_CLOEXEC), resample = eventfd(0, EFD_CLOEXEC);
	struct kvm_irqfd args = {.fd = fd, .gsi = 23, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = resample};
	const u64 one = 1;

	set_pin(f, 23, 0x43 | LEVEL, 0);
	assert_int_equal(softcvm_ioctl(f->vm, KVM_IRQFD, &args), 0);
	assert_int_equal(softcvm_ioctl(f->vm, KVM_IRQFD, &args), -EBUSY);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_true(eventually_requested(f, 0, 0x43));
	assert_false(signalled(fd));
	kvm_irq_prepare_entry(f->kvm->vcpu[0]);
	forget(f, 0, 0x43);
	assert_false(signalled(resample));
	kvm_lapic_eoi_exit(f->kvm->vcpu[0], 0x43);
	assert_true(signalled(resample));
	assert_false(requested(f, 0, 0x43));
	args.flags |= KVM_IRQFD_FLAG_DEASSIGN;
	assert_int_equal(softcvm_ioctl(f->vm, KVM_IRQFD, &args), 0);
	args = (struct kvm_irqfd){.fd = f->vm, .gsi = 1};
	assert_int_equal(softcvm_ioctl(f->vm, KVM_IRQFD, &args), -EINVAL);
	close(fd);
	close(resample);
}

static void ioeventfd_matches(void **state)
{
	struct fixture *f = *state;
	int fd = eventfd(0, EFD_CLOEXEC);
	struct kvm_ioeventfd args = {
		.datamatch = 7, .addr = 0xd0000000, .len = 4, .fd = fd, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};
	struct kvm_io_bus *bus = &f->kvm->mmio_bus;
	u32 value = 7;

	assert_int_equal(softcvm_ioctl(f->vm, KVM_IOEVENTFD, &args), 0);
	assert_int_equal(softcvm_ioctl(f->vm, KVM_IOEVENTFD, &args), -EEXIST);
	assert_int_equal(kvm_io_bus_write(NULL, bus, 0xd0000000, 4, &value), 0);
	assert_true(signalled(fd));
	assert_int_equal(kvm_io_bus_write(NULL, bus, 0xd0000000, 2, &value), -EOPNOTSUPP);
	value = 8;
	assert_int_equal(kvm_io_bus_write(NULL, bus, 0xd0000000, 4, &value), -EOPNOTSUPP);
	assert_false(signalled(fd));
	args.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	assert_int_equal(softcvm_ioctl(f->vm, KVM_IOEVENTFD, &args), 0);
	assert_int_equal(softcvm_ioctl(f->vm, KVM_IOEVENTFD, &args), -ENOENT);
	args = (struct kvm_ioeventfd){.addr = 0x510, .fd = fd, .flags = KVM_IOEVENTFD_FLAG_PIO};
	assert_int_equal(softcvm_ioctl(f->vm, KVM_IOEVENTFD, &args), 0);
	assert_int_equal(kvm_io_bus_write(NULL, &f->kvm->pio_bus, 0x510, 2, &value), 0);
	assert_true(signalled(fd));
	args.len = 3;
	assert_int_equal(softcvm_ioctl(f->vm, KVM_IOEVENTFD, &args), -EINVAL);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(registers, make, destroy),
		cmocka_unit_test_setup_teardown(edge_pin, make, destroy),
		cmocka_unit_test_setup_teardown(level_pin_waits_for_eoi, make, destroy),
		cmocka_unit_test_setup_teardown(two_sources_share_a_line, make, destroy),
		cmocka_unit_test_setup_teardown(routing, make, destroy),
		cmocka_unit_test_setup_teardown(split_reports_eoi, make_split, destroy),
		cmocka_unit_test_setup_teardown(irqfd_raises_and_resamples, make, destroy),
		cmocka_unit_test_setup_teardown(ioeventfd_matches, make, destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
