// SPDX-License-Identifier: Apache-2.0
/* Making and ending a machine. */
#include "vmm/vm.h"

#include "boot/first_stage.h"
#include "observe/observe.h"
#include "vmm/acpi.h"
#include "vmm/console.h"
#include "vmm/firmware.h"
#include "vmm/layout.h"
#include "vmm/legacy.h"
#include "vmm/pci.h"
#include "vmm/private_memory.h"
#include "vmm/report.h"
#include "vmm/virtio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Three pages that VMX needs for real mode without unrestricted guest, below the BIOS area at the end of 4 GiB. */
#define TSS_ADDRESS 0xfffbd000ul
/* Host addresses appear in traces: on virtual time guest memory is always at the same one. */
#define VIRTUAL_TIME_MEMORY 0x200000000000ul

static int open_kvm(struct vm *vm)
{
	struct softcvm_config config = vm->config->softcvm;
	int version;

	config.pkvm = vm->config->type->pkvm;
	if (vm->config->type->platform)
		config.platform = vm->config->type->platform;
	if (vm->config->type->phys_bits)
		config.phys_bits = vm->config->type->phys_bits;
	vm->calls = vm->config->accel_host ? &kvm_calls_host : &kvm_calls_softcvm;
	vm->kvm_fd = vm->calls->open(&config);
	if (vm->kvm_fd < 0) {
		vmm_error("cannot open %s: %s", vm->config->accel_host ? "/dev/kvm" : "the software KVM", strerror(-vm->kvm_fd));
		return vm->kvm_fd;
	}
	version = kvm_call_number(vm->calls, vm->kvm_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		vmm_error("KVM API version is %d, not %d", version, KVM_API_VERSION);
		return -ENOTSUP;
	}
	vm->fd = kvm_call_number(vm->calls, vm->kvm_fd, KVM_CREATE_VM, vm->config->type->kvm_type);
	if (vm->fd < 0) {
		vmm_error("KVM does not make a VM of type %s (KVM_CREATE_VM %lu: %s)", vm->config->type->name,
			  vm->config->type->kvm_type, strerror(-vm->fd));
		return vm->fd;
	}
	vm->run_size = (size_t)kvm_call_number(vm->calls, vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	return 0;
}

/* Events come before the VM has a clock, and when it has none any more: time stands still then. */
static uint64_t guest_clock(void *opaque)
{
	struct vm *vm = opaque;
	uint64_t now = vm_time_ns(vm);

	if (now > vm->last_event_ns)
		vm->last_event_ns = now;
	return vm->last_event_ns;
}

void *vm_memory_hint(const struct vm *vm, size_t below)
{
	return vm_synchronous(vm) ? (void *)(VIRTUAL_TIME_MEMORY - below) : NULL;
}

static int add_memory(struct vm *vm)
{
	int err = memory_create(&vm->memory, vm->config->memory_size, vm_memory_hint(vm, 0));

	if (err) {
		vmm_error("cannot get %llu MiB of guest memory: %s", (unsigned long long)vm->config->memory_size >> 20,
			  strerror(-err));
		return err;
	}
	return vm->config->type->add_memory(vm);
}

int vm_add_slots(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->memory.nr_regions; i++) {
		const struct memory_region *r = &vm->memory.region[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = r->start,
			.memory_size = r->size,
			.userspace_addr = (uintptr_t)r->host,
		};
		int err = vm->calls->ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot);

		if (err) {
			vmm_error("KVM does not take %llu MiB of memory: %s",
				  (unsigned long long)vm->config->memory_size >> 20, strerror(-err));
			return err;
		}
	}
	return 0;
}

static int add_virtio(struct vm *vm, struct virtio_device *device)
{
	if (!device)
		return -EIO;
	vm->virtio[vm->nr_virtio++] = device;
	return 0;
}

static int add_virtio_devices(struct vm *vm)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < vm->config->nr_disks; i++)
		err = add_virtio(vm, virtio_blk_create(vm, &vm->config->disks[i], i));
	if (!err)
		err = add_virtio(vm, virtio_rng_create(vm));
	if (!err && vm->config->virtio_console)
		err = add_virtio(vm, virtio_console_create(vm));
	return err;
}

static int add_devices(struct vm *vm)
{
	int err = console_create(vm, &vm->console);

	if (!err)
		err = legacy_create(vm, &vm->legacy);
	if (!err)
		err = pci_create(vm, &vm->pci);
	if (!err && vm->config->type->dma)
		err = add_virtio_devices(vm);
	return err;
}

static int add_vcpus(struct vm *vm)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < vm->config->cpus; i++)
		err = vcpu_create(vm, i);
	return err;
}

int vm_create(struct vm *vm, const struct vmm_config *config)
{
	int err;

	*vm = (struct vm){ .config = config, .kvm_fd = -1, .fd = -1, .end_event = -1, .first_stage_fd = -1 };
	vm->end_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->end_event < 0) {
		vmm_error("eventfd: %s", strerror(errno));
		return -errno;
	}
	if (vm_synchronous(vm) && config->softcvm.observer)
		observer_set_clock(config->softcvm.observer, guest_clock, vm);
	err = open_kvm(vm);
	if (!err)
		err = add_memory(vm);
	if (err)
		return err;
	/* Answers "not known" where there is no VMX to need it. */
	kvm_call_number(vm->calls, vm->fd, KVM_SET_TSS_ADDR, TSS_ADDRESS);
	err = irq_init(vm);
	if (!err && vm->config->type->init_vm)
		err = vm->config->type->init_vm(vm);
	return err ? err : add_devices(vm);
}

int vm_write_tables(struct vm *vm)
{
	int err = acpi_write(&vm->memory, &(struct acpi_config){
		.cpus = vm->config->cpus,
		.mailbox = vm_uses_mailbox(vm) ? FIRST_STAGE_MAILBOX : 0,
	});

	if (err) {
		vmm_error("the ACPI tables do not fit");
		return err;
	}
	firmware_write(&vm->memory);
	return 0;
}

int vm_start(struct vm *vm)
{
	int err = vm_write_tables(vm);

	if (!err)
		err = add_vcpus(vm);
	if (!err)
		err = vm->config->type->start(vm);
	for (unsigned int i = 0; !err && i < vm->nr_virtio; i++)
		err = virtio_start(vm->virtio[i]);
	for (unsigned int i = 0; !err && i < vm->nr_vcpus; i++)
		err = vcpu_start(&vm->vcpu[i]);
	return err;
}

void vm_join(struct vm *vm)
{
	if (vm->console)
		console_release(vm->console);
	if (vm->config->ended)
		vm->config->ended(vm->config->ended_opaque, vm);
	for (unsigned int i = 0; i < vm->nr_vcpus; i++) {
		struct vcpu *vcpu = &vm->vcpu[i];

		if (!vcpu->started)
			continue;
		vcpu_kick(vcpu);
		pthread_join(vcpu->thread, NULL);
		vcpu->started = false;
	}
	for (unsigned int i = 0; i < vm->nr_virtio; i++)
		virtio_stop(vm->virtio[i]);
}

void vm_collect(struct vm *vm, struct vmm_stats *stats)
{
	struct private_memory_counts counts = { .shared = vm->memory.size / MEMORY_PAGE };

	if (vm->private_memory)
		private_memory_count(vm, &counts);
	*stats = (struct vmm_stats){
		.private_pages = counts.private,
		.shared_pages = counts.shared,
		.conversions = counts.conversions,
		.made_private = counts.to_private,
		.made_shared = counts.to_shared,
	};
	for (unsigned int i = 0; i < vm->nr_vcpus; i++)
		for (unsigned int reason = 0; reason < VMM_EXIT_REASONS; reason++)
			stats->exits[reason] += vm->vcpu[i].exits[reason];
}

void vm_destroy(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->nr_virtio; i++)
		virtio_destroy(vm->virtio[i]);
	pci_destroy(vm->pci);
	legacy_destroy(vm->legacy);
	console_destroy(vm->console);
	irq_destroy(vm);
	for (unsigned int i = 0; i < vm->nr_vcpus; i++)
		vcpu_destroy(&vm->vcpu[i]);
	if (vm->fd >= 0)
		vm->calls->close(vm->fd);
	if (vm->kvm_fd >= 0)
		vm->calls->close(vm->kvm_fd);
	if (vm->config->type->remove_memory)
		vm->config->type->remove_memory(vm);
	if (vm->config->softcvm.observer)
		observer_set_clock(vm->config->softcvm.observer, NULL, NULL);
	memory_destroy(&vm->memory);
	if (vm->end_event >= 0)
		close(vm->end_event);
}

void vm_end(struct vm *vm, enum vm_end end, unsigned int detail)
{
	uint64_t expected = VM_RUNNING, one = 1;

	if (!__atomic_compare_exchange_n(&vm->end, &expected, (uint64_t)end | (uint64_t)detail << 32, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return;
	/* The counter of an eventfd that nobody else writes cannot be full. */
	if (write(vm->end_event, &one, sizeof(one)) != sizeof(one))
		abort();
}

bool vm_ended(const struct vm *vm)
{
	return __atomic_load_n(&vm->end, __ATOMIC_SEQ_CST) != VM_RUNNING;
}

void vm_request_reset(struct vm *vm)
{
	vm_end(vm, __atomic_load_n(&vm->panic_seen, __ATOMIC_RELAXED) ? VM_PANIC : VM_RESET, 0);
}

void vm_memory_written(const struct vm *vm, const void *start, size_t size)
{
	vm->calls->memory_written(vm->fd, start, size);
}

const char *vmm_describe_mmio(const struct vm *vm, uint64_t gpa)
{
	const char *name = bus_describe(&vm->mmio, gpa);

	/* What KVM serves itself is on no bus of ours. */
	if (!name && gpa - IOAPIC_START < IOAPIC_SIZE)
		return "I/O APIC";
	if (!name && gpa - LOCAL_APIC_START < LOCAL_APIC_SIZE)
		return "local APIC";
	return name ? name : "nothing";
}

uint64_t vm_time_ns(const struct vm *vm)
{
	return vm->calls->time_ns(vm->fd);
}
