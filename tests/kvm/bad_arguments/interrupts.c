// SPDX-License-Identifier: Apache-2.0
/* Interrupt controllers, timers, routes, eventfds. */
#include <errno.h>

#include "bad.h"

#define AS(n, kind) .on = VM, .request = n, .in = kind
#define FD(...)	    ARGUMENT(struct kvm_irqfd, __VA_ARGS__)
#define IO(...)	    ARGUMENT(struct kvm_ioeventfd, __VA_ARGS__)
#define PIO	    KVM_IOEVENTFD_FLAG_PIO

struct one_route {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry entry[1];
};
#define ROUTE(...) ARGUMENT(struct one_route, .head.nr = 1, .entry[0] = { __VA_ARGS__ })

static const struct bad rows[] = {
	{ "second controller", AS(KVM_CREATE_IRQCHIP, IRQCHIP), .error = EEXIST },
	{ "controller behind a split one", AS(KVM_CREATE_IRQCHIP, SPLIT), .error = EEXIST },
	{ "controller behind vCPUs", AS(KVM_CREATE_IRQCHIP, PLAIN), .error = EINVAL },
	{ "get: no controller", AS(KVM_GET_IRQCHIP, PLAIN), ARGUMENT(struct kvm_irqchip, .chip_id = 0), .error = ENXIO },
	{ "get: split", AS(KVM_GET_IRQCHIP, SPLIT), ARGUMENT(struct kvm_irqchip, .chip_id = 0), .error = ENXIO },
	{ "get: chip 3", AS(KVM_GET_IRQCHIP, IRQCHIP), ARGUMENT(struct kvm_irqchip, .chip_id = 3), .error = EINVAL },
	{ "set: no controller", AS(KVM_SET_IRQCHIP, PLAIN), ARGUMENT(struct kvm_irqchip, .chip_id = 3), .error = ENXIO },
	{ "set: chip 3", AS(KVM_SET_IRQCHIP, IRQCHIP), ARGUMENT(struct kvm_irqchip, .chip_id = 3), .error = EINVAL },
	{ "line: no controller", AS(KVM_IRQ_LINE, PLAIN), ARGUMENT(struct kvm_irq_level, .irq = 1), .error = ENXIO },
	{ "line with status: no controller", AS(KVM_IRQ_LINE_STATUS, PLAIN), ARGUMENT(struct kvm_irq_level, .irq = 1),
	  .error = ENXIO },
	{ "MSI: no controller", AS(KVM_SIGNAL_MSI, PLAIN), ARGUMENT(struct kvm_msi, .address_lo = 0xfee00000), .error = EINVAL },
	{ "MSI: flags", AS(KVM_SIGNAL_MSI, IRQCHIP), ARGUMENT(struct kvm_msi, .address_lo = 0xfee00000, .flags = 1u << 1),
	  .error = EINVAL },

	{ "second PIT", AS(KVM_CREATE_PIT2, IRQCHIP), ARGUMENT(struct kvm_pit_config, .flags = 0), .error = EEXIST },
	{ "second PIT, old request", AS(KVM_CREATE_PIT, IRQCHIP), .error = EEXIST },
	{ "PIT without a PIC", AS(KVM_CREATE_PIT2, PLAIN), ARGUMENT(struct kvm_pit_config, .flags = 0), .error = ENOENT },
	{ "PIT with local APICs only", AS(KVM_CREATE_PIT2, SPLIT), ARGUMENT(struct kvm_pit_config, .flags = 0), .error = ENOENT },
	{ "PIT without a PIC, old request", AS(KVM_CREATE_PIT, PLAIN), .error = ENOENT },
	{ "get: no PIT", AS(KVM_GET_PIT, PLAIN), ARGUMENT(struct kvm_pit_state, { { 0 } }), .error = ENXIO },
	{ "set: no PIT", AS(KVM_SET_PIT, PLAIN), ARGUMENT(struct kvm_pit_state, { { 0 } }), .error = ENXIO },
	{ "get: no PIT", AS(KVM_GET_PIT2, PLAIN), ARGUMENT(struct kvm_pit_state2, .flags = 0), .error = ENXIO },
	{ "set: no PIT", AS(KVM_SET_PIT2, PLAIN), ARGUMENT(struct kvm_pit_state2, .flags = 0), .error = ENXIO },
	{ "reinject: no PIT", AS(KVM_REINJECT_CONTROL, PLAIN), ARGUMENT(struct kvm_reinject_control, .pit_reinject = 0),
	  .error = ENXIO },

	{ "routes: no controller", AS(KVM_SET_GSI_ROUTING, PLAIN), ARGUMENT(struct one_route, .head.nr = 0), .error = EINVAL },
	{ "routes: too many", AS(KVM_SET_GSI_ROUTING, IRQCHIP), ARGUMENT(struct one_route, .head.nr = 4097), .error = EINVAL },
	{ "routes: flags", AS(KVM_SET_GSI_ROUTING, IRQCHIP), ARGUMENT(struct one_route, .head.flags = 1), .error = EINVAL },
	{ "route: GSI", AS(KVM_SET_GSI_ROUTING, IRQCHIP), ROUTE(.gsi = 4096, .type = KVM_IRQ_ROUTING_MSI), .error = EINVAL },
	{ "route: type 0", AS(KVM_SET_GSI_ROUTING, IRQCHIP), ROUTE(.gsi = 1, .type = 0), .error = EINVAL },
	{ "route: type 77", AS(KVM_SET_GSI_ROUTING, IRQCHIP), ROUTE(.gsi = 1, .type = 77), .error = EINVAL },
	{ "route: MSI flags", AS(KVM_SET_GSI_ROUTING, IRQCHIP), ROUTE(.gsi = 1, .type = KVM_IRQ_ROUTING_MSI, .flags = 1u << 1),
	  .error = EINVAL },
	{ "route: chip flags", AS(KVM_SET_GSI_ROUTING, IRQCHIP), ROUTE(.gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP, .flags = 1),
	  .error = EINVAL },
	{ "route: chip 3", AS(KVM_SET_GSI_ROUTING, IRQCHIP),
	  ROUTE(.gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip.irqchip = 3), .error = EINVAL },
	{ "route: pin 8 of a PIC", AS(KVM_SET_GSI_ROUTING, IRQCHIP),
	  ROUTE(.gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { 0, 8 }), .error = EINVAL },
	{ "route: pin 24 of the I/O APIC", AS(KVM_SET_GSI_ROUTING, IRQCHIP),
	  ROUTE(.gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { 2, 24 }), .error = EINVAL },
	{ "route: a chip where there are local APICs only", AS(KVM_SET_GSI_ROUTING, SPLIT),
	  ROUTE(.gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP), .error = EINVAL },

	{ "irqfd: flags", AS(KVM_IRQFD, IRQCHIP), FD(.fd = EVENT_FD, .flags = 1u << 2), .error = EINVAL },
	{ "irqfd: no controller", AS(KVM_IRQFD, PLAIN), FD(.fd = EVENT_FD), .error = EINVAL },
	{ "irqfd: resample with local APICs only", AS(KVM_IRQFD, SPLIT),
	  FD(.fd = EVENT_FD, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = EVENT_FD), .error = EINVAL },
	{ "irqfd: closed", AS(KVM_IRQFD, IRQCHIP), FD(.fd = CLOSED_FD), .error = EBADF },
	{ "irqfd: no eventfd", AS(KVM_IRQFD, IRQCHIP), FD(.fd = PLAIN_FILE), .error = EINVAL },
	{ "irqfd: in use", AS(KVM_IRQFD, IRQCHIP), FD(.fd = USED_EVENT, .gsi = 5), .error = EBUSY },
	{ "irqfd: resample closed", AS(KVM_IRQFD, IRQCHIP),
	  FD(.fd = EVENT_FD, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = CLOSED_FD), .error = EBADF },
	{ "irqfd: deassign closed", AS(KVM_IRQFD, IRQCHIP), FD(.fd = CLOSED_FD, .flags = KVM_IRQFD_FLAG_DEASSIGN), .error = EBADF },

	{ "ioeventfd: length 3", AS(KVM_IOEVENTFD, PLAIN), IO(.addr = 0x600, .len = 3, .fd = EVENT_FD), .error = EINVAL },
	{ "ioeventfd: length 16", AS(KVM_IOEVENTFD, PLAIN), IO(.addr = 0x600, .len = 16, .fd = EVENT_FD), .error = EINVAL },
	{ "ioeventfd: end wraps", AS(KVM_IOEVENTFD, PLAIN), IO(.addr = ~0ull, .len = 8, .fd = EVENT_FD), .error = EINVAL },
	{ "ioeventfd: flags", AS(KVM_IOEVENTFD, PLAIN), IO(.addr = 0x600, .len = 4, .fd = EVENT_FD, .flags = 1u << 4),
	  .error = EINVAL },
	{ "ioeventfd: data of no length", AS(KVM_IOEVENTFD, PLAIN),
	  IO(.addr = 0x600, .fd = EVENT_FD, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH), .error = EINVAL },
	{ "ioeventfd: closed", AS(KVM_IOEVENTFD, PLAIN), IO(.addr = 0x600, .len = 4, .fd = CLOSED_FD), .error = EBADF },
	{ "ioeventfd: no eventfd", AS(KVM_IOEVENTFD, PLAIN), IO(.addr = 0x600, .len = 4, .fd = PLAIN_FILE), .error = EINVAL },
	{ "ioeventfd: there already", AS(KVM_IOEVENTFD, IRQCHIP), IO(.addr = 0x500, .len = 2, .fd = EVENT_FD, .flags = PIO),
	  .error = EEXIST },
	{ "ioeventfd: deassign what is not there", AS(KVM_IOEVENTFD, PLAIN),
	  IO(.addr = 0x600, .len = 4, .fd = EVENT_FD, .flags = KVM_IOEVENTFD_FLAG_DEASSIGN), .error = ENOENT },
	{ "ioeventfd: deassign with another length", AS(KVM_IOEVENTFD, IRQCHIP),
	  IO(.addr = 0x500, .len = 4, .fd = USED_EVENT, .flags = PIO | KVM_IOEVENTFD_FLAG_DEASSIGN), .error = ENOENT },
	{ "ioeventfd: deassign closed", AS(KVM_IOEVENTFD, PLAIN),
	  IO(.addr = 0x600, .len = 4, .fd = CLOSED_FD, .flags = KVM_IOEVENTFD_FLAG_DEASSIGN), .error = EBADF },

	{ "zone: pio 2", AS(KVM_REGISTER_COALESCED_MMIO, PLAIN), ARGUMENT(struct kvm_coalesced_mmio_zone, 0x600, 4, { 2 }),
	  .error = EINVAL },
	{ "zone gone: pio 2", AS(KVM_UNREGISTER_COALESCED_MMIO, PLAIN), ARGUMENT(struct kvm_coalesced_mmio_zone, 0x600, 4, { 2 }),
	  .error = EINVAL },
};

const struct bad_table bad_interrupts = TABLE(rows);
