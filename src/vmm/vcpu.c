// SPDX-License-Identifier: Apache-2.0
/* One vCPU: its thread and what KVM_RUN comes back with. */
#include "vmm/report.h"
#include "vmm/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define KICK_SIGNAL SIGUSR1

int vcpu_create(struct vm *vm, unsigned int index)
{
	struct vcpu *vcpu = &vm->vcpu[index];
	void *run;
	int err;

	*vcpu = (struct vcpu){ .vm = vm, .index = index };
	vcpu->fd = kvm_call_number(vm->calls, vm->fd, KVM_CREATE_VCPU, index);
	if (vcpu->fd < 0) {
		vmm_error("KVM_CREATE_VCPU %u: %s", index, strerror(-vcpu->fd));
		return vcpu->fd;
	}
	vm->nr_vcpus = index + 1;
	run = vm->calls->mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED) {
		vmm_error("mmap of vCPU %u: %s", index, strerror(errno));
		return -errno;
	}
	vcpu->run = run;
	err = vcpu_set_cpuid(vcpu);
	if (!err && vm->config->type->init_vcpu)
		err = vm->config->type->init_vcpu(vcpu);
	return err;
}

int vcpu_start_at_reset(struct vcpu *vcpu)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };
	int err = vcpu->vm->calls->ioctl(vcpu->fd, KVM_SET_MP_STATE, &state);

	if (err)
		vmm_error("KVM_SET_MP_STATE of vCPU %u: %s", vcpu->index, strerror(-err));
	return err;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run)
		vcpu->vm->calls->munmap(vcpu->run, vcpu->vm->run_size);
	if (vcpu->fd >= 0)
		vcpu->vm->calls->close(vcpu->fd);
}

/* ---------------------------------------------------------------- exits */

static void handle_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int size = run->io.size;

	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		uint64_t value = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, size);
			bus_write(&vcpu->vm->pio, run->io.port, size, value);
		} else {
			value = bus_read(&vcpu->vm->pio, run->io.port, size);
			memcpy(data, &value, size);
		}
	}
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t value = 0;

	if (run->mmio.is_write) {
		memcpy(&value, run->mmio.data, run->mmio.len);
		bus_write(&vcpu->vm->mmio, run->mmio.phys_addr, run->mmio.len, value);
	} else {
		value = bus_read(&vcpu->vm->mmio, run->mmio.phys_addr, run->mmio.len);
		memcpy(run->mmio.data, &value, run->mmio.len);
	}
}

static void handle_system_event(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_end(vm, VM_POWER_OFF, 0);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_request_reset(vm);
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		vm_end(vm, VM_PANIC, 0);
		break;
	default:
		vmm_error("vCPU %u: system event %u, which ends the machine", vcpu->index, vcpu->run->system_event.type);
		vm_end(vm, VM_INTERNAL_ERROR, vcpu->index);
	}
}

static void internal_error(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	char bytes[3 * sizeof(run->emulation_failure.insn_bytes) + 1] = "";

	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata >= 1 &&
	    (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		for (unsigned int i = 0; i < run->emulation_failure.insn_size && i < sizeof(run->emulation_failure.insn_bytes); i++)
			snprintf(bytes + 3 * i, 4, " %02x", run->emulation_failure.insn_bytes[i]);
		vmm_error("vCPU %u: KVM internal error: cannot emulate%s", vcpu->index, bytes);
	} else {
		vmm_error("vCPU %u: KVM internal error, suberror %u", vcpu->index, run->internal.suberror);
	}
	vm_end(vcpu->vm, VM_INTERNAL_ERROR, vcpu->index);
}

#define MAP_GPA_RANGE_ENCRYPTED (1u << 4) /* Documentation/virt/kvm/x86/hypercalls.rst */
#define HYPERCALL_UNKNOWN	((uint64_t)-1000)

/* Whether the operation is done, or refused as the guest is told; otherwise it has failed and said so. */
static bool is_answer(int err)
{
	return !err || err == -EINVAL;
}

static void handle_hypercall(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const struct vm_type *type = vcpu->vm->config->type;
	uint64_t pages = run->hypercall.args[1];
	int err = -EINVAL;

	if (run->hypercall.nr != KVM_HC_MAP_GPA_RANGE || !type->convert) {
		run->hypercall.ret = HYPERCALL_UNKNOWN;
		return;
	}
	if (pages <= UINT64_MAX / MEMORY_PAGE)
		err = type->convert(vcpu->vm, run->hypercall.args[0], pages * MEMORY_PAGE,
				    run->hypercall.args[2] & MAP_GPA_RANGE_ENCRYPTED);
	run->hypercall.ret = err ? type->conversion_refused : 0;
	if (!is_answer(err))
		vm_end(vcpu->vm, VM_INTERNAL_ERROR, vcpu->index);
}

static void handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct vm *vm = vcpu->vm;

	if (vm->config->type->exit && vm->config->type->exit(vcpu))
		return;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_IOAPIC_EOI:
		irq_eoi(vm, run->eoi.vector);
		break;
	case KVM_EXIT_SHUTDOWN:
		vm_end(vm, VM_TRIPLE_FAULT, vcpu->index);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		handle_system_event(vcpu);
		break;
	case KVM_EXIT_HYPERCALL:
		handle_hypercall(vcpu);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		internal_error(vcpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		vmm_error("vCPU %u: KVM could not enter the guest, hardware reason %#llx", vcpu->index,
			  (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		vm_end(vm, VM_INTERNAL_ERROR, vcpu->index);
		break;
	default:
		vmm_error("vCPU %u: KVM exit %u, which this machine does not know", vcpu->index, run->exit_reason);
		vm_end(vm, VM_INTERNAL_ERROR, vcpu->index);
	}
}

static void memory_fault(struct vcpu *vcpu, bool poisoned)
{
	const struct kvm_run *run = vcpu->run;
	bool is_private = run->memory_fault.flags & KVM_MEMORY_EXIT_FLAG_PRIVATE;
	int err = -EINVAL;

	if (vcpu->vm->config->type->memory_fault && !poisoned && !(run->memory_fault.flags & ~KVM_MEMORY_EXIT_FLAG_PRIVATE))
		err = vcpu->vm->config->type->memory_fault(vcpu->vm, run->memory_fault.gpa, run->memory_fault.size, is_private);
	if (!err)
		return;
	if (is_answer(err))
		vmm_error("vCPU %u: the guest used %s memory at %#llx (%llu bytes), which %s", vcpu->index,
			  is_private ? "private" : "shared", (unsigned long long)run->memory_fault.gpa,
			  (unsigned long long)run->memory_fault.size, poisoned ? "is broken" : "it does not have");
	vm_end(vcpu->vm, VM_INTERNAL_ERROR, vcpu->index);
}

/* KVM_RUN failed: with a memory fault the exit tells where (api.rst KVM_EXIT_MEMORY_FAULT). */
static void run_failed(struct vcpu *vcpu, int err)
{
	if ((err == -EFAULT || err == -EHWPOISON) && vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
		memory_fault(vcpu, err == -EHWPOISON);
		return;
	}
	vmm_error("vCPU %u: KVM_RUN: %s", vcpu->index, strerror(-err));
	vm_end(vcpu->vm, VM_INTERNAL_ERROR, vcpu->index);
}

static void check_invariants(struct vcpu *vcpu)
{
	char why[200];

	if (!vcpu->vm->calls->check(vcpu->vm->fd, why, sizeof(why)))
		return;
	vmm_error("vCPU %u: an invariant of guest memory is violated: %s", vcpu->index, why);
	vm_end(vcpu->vm, VM_INTERNAL_ERROR, vcpu->index);
}

/* KVM_RUN has returned because of the guest. */
static void exited(struct vcpu *vcpu, int err)
{
	uint32_t reason = vcpu->run->exit_reason;

	if (reason < VMM_EXIT_REASONS)
		vcpu->exits[reason]++;
	if (err)
		run_failed(vcpu, err);
	else
		handle_exit(vcpu);
	if (vcpu->vm->config->check)
		check_invariants(vcpu);
}

static void *vcpu_thread(void *opaque)
{
	struct vcpu *vcpu = opaque;
	sigset_t kick;
	char name[16];
	int err;

	snprintf(name, sizeof(name), "vcpu %u", vcpu->index);
	pthread_setname_np(pthread_self(), name);
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	while (!vm_ended(vcpu->vm)) {
		err = vcpu->vm->calls->ioctl(vcpu->fd, KVM_RUN, NULL);
		/* EAGAIN: a processor that waited for its start-up IPI has got it. */
		if (err == -EINTR || err == -EAGAIN)
			continue;
		exited(vcpu, err);
	}
	return NULL;
}

int vcpu_start(struct vcpu *vcpu)
{
	int err = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);

	if (err) {
		vmm_error("cannot start the thread of vCPU %u: %s", vcpu->index, strerror(err));
		return -err;
	}
	vcpu->started = true;
	return 0;
}

/* immediate_exit catches a KVM_RUN that has not begun yet, the signal one that has, or a wait in a device. */
void vcpu_kick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu->thread, KICK_SIGNAL);
}
