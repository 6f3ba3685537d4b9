// SPDX-License-Identifier: Apache-2.0
/* Interrupts of a VM: which controllers there are, and where a GSI goes (api.rst KVM_SET_GSI_ROUTING). */
#include "kvm/irqchip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/irq_state.h"
#include "kvm/kvm.h"
#include "kvm/x86/ioapic.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/pic.h"
#include "kvm/x86/pit.h"

#define MAX_ROUTES_PER_GSI 3 /* one for each chip */
#define PIC_PINS	   16

enum kvm_irqchip_mode kvm_irqchip_mode(const struct kvm *kvm)
{
	return (enum kvm_irqchip_mode)atomic_load_explicit(&kvm->irqchip->mode, memory_order_acquire);
}

bool kvm_is_bsp(const struct kvm_vcpu *vcpu)
{
	return vcpu->vcpu_id == vcpu->kvm->irqchip->bsp_id;
}

/* ---------------------------------------------------------------- the routing table */

static struct kvm_routing_table *table_create(u32 nr)
{
	struct kvm_routing_table *table = calloc(1, sizeof(*table) + nr * sizeof(table->route[0]));

	if (table)
		table->nr = nr;
	return table;
}

/* Linux: a GSI has at most one pin of each chip, or one route of another type alone. */
static bool route_conflicts(const struct kvm_routing_table *table, const struct kvm_irq_routing_entry *new)
{
	for (u16 n = table->first[new->gsi]; n; n = table->route[n - 1].next) {
		const struct kvm_irq_routing_entry *old = &table->route[n - 1].entry;

		if (new->type != KVM_IRQ_ROUTING_IRQCHIP || old->type != KVM_IRQ_ROUTING_IRQCHIP ||
		    new->u.irqchip.irqchip == old->u.irqchip.irqchip)
			return true;
	}
	return false;
}

static int check_pin(const struct kvm *kvm, struct kvm_irq_routing_irqchip *to)
{
	if (kvm_irqchip_mode(kvm) != KVM_IRQCHIP_KERNEL)
		return -EINVAL;
	switch (to->irqchip) {
	case KVM_IRQCHIP_PIC_MASTER:
		return to->pin < PIC_PINS / 2 ? 0 : -EINVAL;
	case KVM_IRQCHIP_PIC_SLAVE:
		if (to->pin >= PIC_PINS / 2)
			return -EINVAL;
		to->pin += PIC_PINS / 2;
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		return to->pin < KVM_IOAPIC_NUM_PINS ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static int check_route(const struct kvm *kvm, struct kvm_irq_routing_entry *entry)
{
	if (entry->gsi >= KVM_MAX_IRQ_ROUTES)
		return -EINVAL;
	switch (entry->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		return entry->flags ? -EINVAL : check_pin(kvm, &entry->u.irqchip);
	case KVM_IRQ_ROUTING_MSI:
		if (entry->flags & ~KVM_MSI_VALID_DEVID)
			return -EINVAL;
		/* api.rst KVM_CAP_X2APIC_API: bits 31:8 of the high word extend the destination, the rest is reserved.
		 */
		return kvm->irqchip->x2apic_32bit_ids && entry->u.msi.address_hi & 0xff ? -EINVAL : 0;
	}
	return -EINVAL;
}

static int table_fill(const struct kvm *kvm, struct kvm_routing_table *table,
		      const struct kvm_irq_routing_entry *entries)
{
	for (u32 n = 0; n < table->nr; n++) {
		struct kvm_route *route = &table->route[n];
		int err;

		route->entry = entries[n];
		err = check_route(kvm, &route->entry);
		if (err)
			return err;
		if (route_conflicts(table, &route->entry))
			return -EINVAL;
		route->next = table->first[route->entry.gsi];
		table->first[route->entry.gsi] = (u16)(n + 1);
	}
	return 0;
}

static void table_publish(struct kvm *kvm, struct kvm_routing_table *table)
{
	struct kvm_irq *irq = kvm->irqchip;
	struct kvm_routing_table *old;

	pthread_rwlock_wrlock(&irq->routing_lock);
	old = irq->routing;
	irq->routing = table;
	pthread_rwlock_unlock(&irq->routing_lock);
	free(old);
	kvm_lapic_scan_ioapic(kvm);
}

static int set_routing(struct kvm *kvm, u32 nr, const struct kvm_irq_routing_entry *entries)
{
	struct kvm_routing_table *table = table_create(nr);
	int err = table ? table_fill(kvm, table, entries) : -ENOMEM;

	if (err)
		free(table);
	else
		table_publish(kvm, table);
	return err;
}

int kvm_vm_ioctl_set_gsi_routing(struct kvm *kvm, u32 nr, u32 flags, const struct kvm_irq_routing_entry *entries)
{
	if (kvm_irqchip_mode(kvm) == KVM_IRQCHIP_NONE || nr > KVM_MAX_IRQ_ROUTES || flags)
		return -EINVAL;
	return set_routing(kvm, nr, entries);
}

/* KVM's default: GSI n is pin n of the I/O APIC and, below 16, of the PICs. */
static int set_default_routing(struct kvm *kvm)
{
	struct kvm_irq_routing_entry entries[KVM_IOAPIC_NUM_PINS + PIC_PINS] = {0};
	u32 nr = 0;

	for (u32 gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; gsi++) {
		entries[nr++] = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = {KVM_IRQCHIP_IOAPIC, gsi},
		};
		if (gsi >= PIC_PINS)
			continue;
		entries[nr++] = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = {gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi & 7},
		};
	}
	return set_routing(kvm, nr, entries);
}

/* Copies what is at the GSI, so that nothing is delivered under the lock. */
static unsigned int routes_of(struct kvm *kvm, u32 gsi, struct kvm_irq_routing_entry out[MAX_ROUTES_PER_GSI])
{
	struct kvm_irq *irq = kvm->irqchip;
	unsigned int count = 0;

	if (gsi >= KVM_MAX_IRQ_ROUTES)
		return 0;
	pthread_rwlock_rdlock(&irq->routing_lock);
	if (irq->routing) {
		for (u16 n = irq->routing->first[gsi]; n && count < MAX_ROUTES_PER_GSI;
		     n = irq->routing->route[n - 1].next)
			out[count++] = irq->routing->route[n - 1].entry;
	}
	pthread_rwlock_unlock(&irq->routing_lock);
	return count;
}

/* The GSI that leads to a pin; -1: none. A pin that several lead to belongs to the first, as in Linux' reverse table.
 */
static int gsi_of_pin(struct kvm *kvm, unsigned int chip, unsigned int pin)
{
	struct kvm_irq *irq = kvm->irqchip;
	int gsi = -1;

	if (chip == KVM_IRQCHIP_PIC_SLAVE)
		pin += PIC_PINS / 2;
	pthread_rwlock_rdlock(&irq->routing_lock);
	for (u32 n = 0; irq->routing && n < irq->routing->nr; n++) {
		const struct kvm_irq_routing_entry *entry = &irq->routing->route[n].entry;

		if (entry->type == KVM_IRQ_ROUTING_IRQCHIP && entry->u.irqchip.irqchip == chip &&
		    entry->u.irqchip.pin == pin) {
			gsi = (int)entry->gsi;
			break;
		}
	}
	pthread_rwlock_unlock(&irq->routing_lock);
	return gsi;
}

/* ---------------------------------------------------------------- delivery */

/* SDM 3A 11.11: address bits 19:12 destination, 3 redirection hint, 2 logical; data 7:0 vector, 10:8 mode, 15 level. */
void kvm_msi_to_irq(const struct kvm *kvm, u32 address_lo, u32 address_hi, u32 data, struct kvm_lapic_irq *irq)
{
	*irq = (struct kvm_lapic_irq){
		.dest = address_lo >> 12 & 0xff,
		.vector = data & 0xff,
		.delivery_mode = data >> 8 & 7,
		.logical = address_lo >> 2 & 1,
		.level = true,
		.level_trigger = data >> 15 & 1,
		.redirection_hint = address_lo >> 3 & 1,
	};
	if (kvm->irqchip->x2apic_32bit_ids)
		irq->dest |= address_hi & 0xffffff00u;
}

int kvm_set_msi(struct kvm *kvm, u32 address_lo, u32 address_hi, u32 data)
{
	struct kvm_lapic_irq irq;

	if (kvm->irqchip->x2apic_32bit_ids && address_hi & 0xff)
		return -1;
	observe(kvm->obs, OBSERVE_KVM_MSI_SET_IRQ, -1, (u64)address_hi << 32 | address_lo, data);
	kvm_msi_to_irq(kvm, address_lo, address_hi, data, &irq);
	return kvm_irq_deliver(kvm, NULL, &irq);
}

static int deliver_route(struct kvm *kvm, const struct kvm_irq_routing_entry *entry, unsigned int source, int level)
{
	if (entry->type == KVM_IRQ_ROUTING_MSI)
		return level ? kvm_set_msi(kvm, entry->u.msi.address_lo, entry->u.msi.address_hi, entry->u.msi.data)
			     : -1;
	if (entry->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC)
		return kvm_ioapic_set_irq(kvm, entry->u.irqchip.pin, source, level);
	return kvm_pic_set_irq(kvm, entry->u.irqchip.pin, source, level);
}

/* An interrupt from outside may announce data, and with it code, that some device wrote. */
static void check_code(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned int i;

	kvm_for_each_vcpu(i, vcpu, kvm) hw_cpu_check_code(vcpu->cpu);
}

int kvm_set_irq(struct kvm *kvm, unsigned int source, u32 gsi, int level)
{
	struct kvm_irq_routing_entry routes[MAX_ROUTES_PER_GSI];
	unsigned int count = routes_of(kvm, gsi, routes);
	int result = -1;

	observe(kvm->obs, OBSERVE_KVM_SET_IRQ, -1, gsi, level, source);
	if (level && source != KVM_PIT_IRQ_SOURCE)
		check_code(kvm);
	while (count--) {
		int one = deliver_route(kvm, &routes[count], source, level);

		if (one >= 0)
			result = one + (result < 0 ? 0 : result);
	}
	return result;
}

int kvm_vm_ioctl_irq_line(struct kvm *kvm, struct kvm_irq_level *level)
{
	if (kvm_irqchip_mode(kvm) == KVM_IRQCHIP_NONE)
		return -ENXIO;
	level->status = kvm_set_irq(kvm, KVM_USERSPACE_IRQ_SOURCE, level->irq, level->level != 0);
	return 0;
}

int kvm_vm_ioctl_signal_msi(struct kvm *kvm, const struct kvm_msi *msi)
{
	if (kvm_irqchip_mode(kvm) == KVM_IRQCHIP_NONE || msi->flags & ~KVM_MSI_VALID_DEVID)
		return -EINVAL;
	if (kvm->irqchip->x2apic_32bit_ids && msi->address_hi & 0xff)
		return -EINVAL;
	check_code(kvm);
	/* As Linux: no destination is reported as -1, which user space sees as -EPERM. */
	return kvm_set_msi(kvm, msi->address_lo, msi->address_hi, msi->data);
}

/* ---------------------------------------------------------------- acknowledgement */

void kvm_notify_acked_irq(struct kvm *kvm, unsigned int chip, unsigned int pin)
{
	struct kvm_pit *pit = atomic_load_explicit(&kvm->irqchip->pit, memory_order_acquire);
	int gsi;

	observe(kvm->obs, OBSERVE_KVM_ACK_IRQ, -1, chip, pin);
	gsi = gsi_of_pin(kvm, chip, pin);
	if (gsi < 0)
		return;
	if (pit && !gsi)
		kvm_pit_acked(pit);
	kvm_irqfds_acked(kvm, gsi);
}

bool kvm_irq_has_notifier(struct kvm *kvm, unsigned int chip, unsigned int pin)
{
	struct kvm_pit *pit = atomic_load_explicit(&kvm->irqchip->pit, memory_order_acquire);
	int gsi = gsi_of_pin(kvm, chip, pin);

	if (gsi < 0)
		return false;
	return (pit && !gsi && kvm_pit_wants_ack(pit)) || kvm_irqfds_resample(kvm, gsi);
}

/* api.rst KVM_CAP_SPLIT_IRQCHIP: the first routes, as many as user space's I/O APIC has pins, are its redirection
 * entries. */
void kvm_for_each_split_route(struct kvm *kvm, void (*fn)(const struct kvm_lapic_irq *irq, void *opaque), void *opaque)
{
	struct kvm_irq *irq = kvm->irqchip;
	struct kvm_lapic_irq one;

	pthread_rwlock_rdlock(&irq->routing_lock);
	for (u32 gsi = 0; irq->routing && gsi < irq->split_pins && gsi < KVM_MAX_IRQ_ROUTES; gsi++) {
		for (u16 n = irq->routing->first[gsi]; n; n = irq->routing->route[n - 1].next) {
			const struct kvm_irq_routing_entry *entry = &irq->routing->route[n - 1].entry;

			if (entry->type != KVM_IRQ_ROUTING_MSI)
				continue;
			kvm_msi_to_irq(kvm, entry->u.msi.address_lo, entry->u.msi.address_hi, entry->u.msi.data, &one);
			if (one.level_trigger)
				fn(&one, opaque);
		}
	}
	pthread_rwlock_unlock(&irq->routing_lock);
}

/* ---------------------------------------------------------------- making controllers, under kvm->lock */

static int make_chips(struct kvm *kvm)
{
	struct kvm_irq *irq = kvm->irqchip;
	int err;

	pthread_mutex_lock(&kvm->slots_lock);
	err = kvm_pic_create(kvm, &irq->pic);
	if (!err) {
		err = kvm_ioapic_create(kvm, &irq->ioapic);
		if (err) {
			kvm_pic_destroy(kvm, irq->pic);
			irq->pic = NULL;
		}
	}
	pthread_mutex_unlock(&kvm->slots_lock);
	return err;
}

int kvm_vm_ioctl_create_irqchip(struct kvm *kvm)
{
	struct kvm_irq *irq = kvm->irqchip;
	int err;

	if (kvm->vendor->only_split_irqchip)
		return -ENOTTY;
	if (kvm_irqchip_mode(kvm) != KVM_IRQCHIP_NONE)
		return -EEXIST;
	if (kvm_vcpu_count(kvm))
		return -EINVAL;
	err = make_chips(kvm);
	if (err)
		return err;
	atomic_store_explicit(&irq->mode, KVM_IRQCHIP_KERNEL, memory_order_release);
	err = set_default_routing(kvm);
	if (!err)
		return 0;
	atomic_store_explicit(&irq->mode, KVM_IRQCHIP_NONE, memory_order_release);
	kvm_ioapic_destroy(kvm, irq->ioapic);
	kvm_pic_destroy(kvm, irq->pic);
	irq->ioapic = NULL;
	irq->pic = NULL;
	return err;
}

int kvm_vm_enable_split_irqchip(struct kvm *kvm, u64 pins)
{
	if (pins > KVM_MAX_IRQ_ROUTES)
		return -EINVAL;
	if (kvm_irqchip_mode(kvm) != KVM_IRQCHIP_NONE || kvm_vcpu_count(kvm))
		return -EEXIST;
	kvm->irqchip->split_pins = (u32)pins;
	atomic_store_explicit(&kvm->irqchip->mode, KVM_IRQCHIP_SPLIT, memory_order_release);
	return 0;
}

int kvm_vm_enable_x2apic_api(struct kvm *kvm, u64 flags)
{
	if (flags & ~(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK))
		return -EINVAL;
	if (flags & KVM_X2APIC_API_USE_32BIT_IDS)
		kvm->irqchip->x2apic_32bit_ids = true;
	if (flags & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		kvm->irqchip->x2apic_broadcast_quirk_off = true;
	return 0;
}

/* api.rst KVM_CAP_X86_APIC_BUS_CYCLES_NS: before any vCPU, and only with local APICs in the kernel. */
int kvm_vm_enable_apic_bus_cycles(struct kvm *kvm, u64 ns)
{
	/* The longest count, 2^32 times the largest divisor, must fit the machine's time. */
	if (!ns || ns > INT64_MAX >> 39)
		return -EINVAL;
	if (kvm_irqchip_mode(kvm) == KVM_IRQCHIP_NONE)
		return -ENXIO;
	if (kvm_vcpu_count(kvm))
		return -EINVAL;
	kvm->irqchip->apic_bus_cycle_ns = (u32)ns;
	return 0;
}

u32 kvm_vm_boot_cpu_id(const struct kvm *kvm) { return kvm->irqchip->bsp_id; }

int kvm_vm_set_boot_cpu_id(struct kvm *kvm, u64 id)
{
	if (kvm_vcpu_count(kvm))
		return -EBUSY;
	if (id > KVM_MAX_VCPU_IDS || (kvm->caps.max_vcpu_id && id > kvm->caps.max_vcpu_id))
		return -EINVAL;
	kvm->irqchip->bsp_id = (u32)id;
	return 0;
}

/* ---------------------------------------------------------------- state of the chips */

int kvm_vm_ioctl_get_irqchip(struct kvm *kvm, struct kvm_irqchip *chip)
{
	if (kvm_irqchip_mode(kvm) != KVM_IRQCHIP_KERNEL)
		return -ENXIO;
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		kvm_pic_get(kvm->irqchip->pic, chip->chip_id, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		kvm_ioapic_get(kvm->irqchip->ioapic, &chip->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}

int kvm_vm_ioctl_set_irqchip(struct kvm *kvm, const struct kvm_irqchip *chip)
{
	if (kvm_irqchip_mode(kvm) != KVM_IRQCHIP_KERNEL)
		return -ENXIO;
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		kvm_pic_set(kvm->irqchip->pic, chip->chip_id, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		kvm_ioapic_set(kvm->irqchip->ioapic, &chip->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}

static struct kvm_pit *get_pit(const struct kvm *kvm)
{
	return atomic_load_explicit(&kvm->irqchip->pit, memory_order_acquire);
}

int kvm_vm_ioctl_create_pit2(struct kvm *kvm, const struct kvm_pit_config *config)
{
	struct kvm_pit *pit;
	int err;

	if (get_pit(kvm))
		return -EEXIST;
	if (kvm_irqchip_mode(kvm) != KVM_IRQCHIP_KERNEL)
		return -ENOENT;
	pthread_mutex_lock(&kvm->slots_lock);
	err = kvm_pit_create(kvm, config->flags, &pit);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (err)
		return err;
	atomic_store_explicit(&kvm->irqchip->pit, pit, memory_order_release);
	kvm_lapic_scan_ioapic(kvm);
	return 0;
}

int kvm_vm_ioctl_get_pit2(struct kvm *kvm, struct kvm_pit_state2 *state)
{
	if (!get_pit(kvm))
		return -ENXIO;
	kvm_pit_get(get_pit(kvm), state);
	return 0;
}

int kvm_vm_ioctl_set_pit2(struct kvm *kvm, const struct kvm_pit_state2 *state)
{
	if (!get_pit(kvm))
		return -ENXIO;
	kvm_pit_set(get_pit(kvm), state);
	return 0;
}

int kvm_vm_ioctl_get_pit(struct kvm *kvm, struct kvm_pit_state *state)
{
	struct kvm_pit_state2 all;
	int err = kvm_vm_ioctl_get_pit2(kvm, &all);

	if (!err)
		memcpy(state->channels, all.channels, sizeof(state->channels));
	return err;
}

int kvm_vm_ioctl_set_pit(struct kvm *kvm, const struct kvm_pit_state *state)
{
	struct kvm_pit_state2 all;
	int err = kvm_vm_ioctl_get_pit2(kvm, &all);

	if (err)
		return err;
	memcpy(all.channels, state->channels, sizeof(all.channels));
	return kvm_vm_ioctl_set_pit2(kvm, &all);
}

int kvm_vm_ioctl_reinject_control(struct kvm *kvm, const struct kvm_reinject_control *control)
{
	if (!get_pit(kvm))
		return -ENXIO;
	kvm_pit_set_reinject(get_pit(kvm), control->pit_reinject);
	return 0;
}

/* ---------------------------------------------------------------- life */

int kvm_irq_create_vm(struct kvm *kvm)
{
	struct kvm_irq *irq = calloc(1, sizeof(*irq));
	int err;

	if (!irq)
		return -ENOMEM;
	irq->kvm = kvm;
	irq->apic_bus_cycle_ns = 1;
	pthread_rwlock_init(&irq->routing_lock, NULL);
	kvm->irqchip = irq;
	err = kvm_irqfds_create(kvm);
	err = err ? err : kvm_ioeventfds_create(kvm);
	if (err)
		kvm_irq_destroy_vm(kvm);
	return err;
}

void kvm_irq_stop_vm(struct kvm *kvm)
{
	kvm_irqfds_stop(kvm);
}

void kvm_irq_destroy_vm(struct kvm *kvm)
{
	struct kvm_irq *irq = kvm->irqchip;

	if (!irq)
		return;
	kvm_irqfds_stop(kvm);
	kvm_irqfds_destroy(kvm);
	kvm_ioeventfds_destroy(kvm);
	kvm_pit_destroy(kvm, get_pit(kvm));
	kvm_ioapic_destroy(kvm, irq->ioapic);
	kvm_pic_destroy(kvm, irq->pic);
	free(irq->routing);
	pthread_rwlock_destroy(&irq->routing_lock);
	free(irq);
	kvm->irqchip = NULL;
}
