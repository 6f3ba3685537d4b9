// SPDX-License-Identifier: Apache-2.0
/*
 * Accesses that leave the processor: MMIO and port I/O. The exit carries the access itself; when it is done,
 * hw_cpu_complete_access() gives the result and the instruction restarts (hw.h).
 */
#include <errno.h>
#include <string.h>

#include "kvm/irqchip.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/x86.h"

/* ---------------------------------------------------------------- failures */

#define EXIT_INFO_WORDS 5

/* The exit as the emulation failure tells of it. */
static void exit_info(const struct kvm_vcpu *vcpu, u64 *info)
{
	const struct hw_exit *exit = hw_cpu_exit(vcpu->cpu);

	if (kvm_is_intel(vcpu->kvm)) {
		info[0] = exit->vmx.reason;
		info[1] = exit->vmx.qualification;
		info[2] = exit->vmx.idt_info;
		info[3] = exit->vmx.intr_info;
		info[4] = exit->vmx.intr_error;
	} else {
		info[0] = (u32)exit->svm.code;
		info[1] = exit->svm.info1;
		info[2] = exit->svm.info2;
		info[3] = (u32)exit->svm.int_info;
		info[4] = exit->svm.int_info >> 32;
	}
}

/* Flags, instruction bytes if there are any, and the exit: api.rst KVM_EXIT_INTERNAL_ERROR. */
static void fill_emulation_failure(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	unsigned int words = 1;
	u8 insn[15], size;

	size = hw_cpu_insn_bytes(vcpu->cpu, insn);
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	memset(&run->internal, 0, sizeof(run->internal));
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	if (size) {
		run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = size;
		memset(run->emulation_failure.insn_bytes, 0x90, sizeof(run->emulation_failure.insn_bytes));
		memcpy(run->emulation_failure.insn_bytes, insn, size);
		words = 3;
	}
	exit_info(vcpu, &run->internal.data[words]);
	run->emulation_failure.ndata = words + EXIT_INFO_WORDS;
}

/* The guest gets #UD; user space hears of it if the guest's kernel did it, or instead of the #UD if it asked for that. */
int kvm_emulation_failure(struct kvm_vcpu *vcpu)
{
	bool instead = vcpu->kvm->caps.exit_on_emulation_failure;

	kvm_count(&vcpu->stats.insn_emulation_fail);
	/* #UD is how the instruction ends, whatever of it was already done. */
	if (!instead) {
		hw_cpu_drop_access(vcpu->cpu);
		kvm_inject_ud(vcpu);
	}
	if (!instead && kvm_cpl(vcpu))
		return KVM_RESUME_GUEST;
	fill_emulation_failure(vcpu);
	return KVM_EXIT_TO_USER;
}

int kvm_delivery_failure(struct kvm_vcpu *vcpu)
{
	const struct hw_exit *exit = hw_cpu_exit(vcpu->cpu);
	struct kvm_run *run = vcpu->run;
	bool intel = kvm_is_intel(vcpu->kvm);

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
	run->internal.ndata = 4;
	run->internal.data[0] = intel ? exit->vmx.idt_info : exit->svm.int_info;
	run->internal.data[1] = intel ? exit->vmx.reason : exit->svm.code;
	run->internal.data[2] = intel ? exit->vmx.qualification : exit->svm.info1;
	run->internal.data[3] = exit->access.addr;
	return KVM_EXIT_TO_USER;
}

/* ---------------------------------------------------------------- MMIO */

/* As the kernel's trace points: a write when it is about to happen, a read when its answer is known. */
static void trace_access(struct kvm_vcpu *vcpu, const struct hw_access *a, u64 data)
{
	if (a->pio)
		observe(vcpu->kvm->obs, OBSERVE_KVM_PIO, vcpu->index, a->write, a->addr, a->size, a->count, data);
	else
		observe(vcpu->kvm->obs, OBSERVE_KVM_MMIO, vcpu->index, a->write, a->size, a->addr, data);
}

static int finish_access(struct kvm_vcpu *vcpu, u64 data)
{
	if (!vcpu->access.write)
		trace_access(vcpu, &vcpu->access, data);
	vcpu->access_finish(vcpu, data);
	return KVM_RESUME_GUEST;
}

static void begin_access(struct kvm_vcpu *vcpu, const struct hw_access *a, void (*finish)(struct kvm_vcpu *vcpu, u64 data))
{
	vcpu->access = *a;
	vcpu->access_finish = finish;
	if (a->write)
		trace_access(vcpu, a, a->data);
}

/* The instruction restarts with the result. */
static void complete_insn(struct kvm_vcpu *vcpu, u64 data) { hw_cpu_complete_access(vcpu->cpu, data); }

static int complete_mmio_read(struct kvm_vcpu *vcpu)
{
	u64 data = 0;

	memcpy(&data, vcpu->run->mmio.data, vcpu->access.size);
	return finish_access(vcpu, data);
}

static int mmio_to_user(struct kvm_vcpu *vcpu)
{
	const struct hw_access *a = &vcpu->access;
	struct kvm_run *run = vcpu->run;

	kvm_count(&vcpu->stats.mmio_exits);
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = a->addr;
	run->mmio.len = a->size;
	run->mmio.is_write = a->write;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (!a->write) {
		vcpu->completion = complete_mmio_read;
		return KVM_EXIT_TO_USER;
	}
	memcpy(run->mmio.data, &a->data, a->size);
	vcpu->access_finish(vcpu, 0);
	if (hw_cpu_mid_insn(vcpu->cpu))
		kvm_finish_write(vcpu);
	return KVM_EXIT_TO_USER;
}

static bool mmio_in_kernel(struct kvm_vcpu *vcpu, const struct hw_access *a, u64 *data)
{
	struct kvm_io_bus *bus = &vcpu->kvm->mmio_bus;

	if (a->write)
		return kvm_lapic_mmio_write(vcpu, a->addr, a->size, a->data) ||
		       !kvm_io_bus_write(vcpu, bus, a->addr, a->size, &a->data);
	return kvm_lapic_mmio_read(vcpu, a->addr, a->size, data) || !kvm_io_bus_read(vcpu, bus, a->addr, a->size, data);
}

/* Once an instruction, before its first access. */
static bool is_refused(struct kvm_vcpu *vcpu, const struct hw_access *a)
{
	u8 insn[15];
	unsigned int size;

	if (a->implicit || hw_cpu_mid_insn(vcpu->cpu))
		return false;
	size = hw_cpu_insn_bytes(vcpu->cpu, insn);
	return size && !kvm_emulator_knows(vcpu, insn, size);
}

int kvm_emulate_mmio(struct kvm_vcpu *vcpu, const struct hw_access *a, void (*finish)(struct kvm_vcpu *vcpu, u64 data))
{
	u64 data = 0;

	begin_access(vcpu, a, finish);
	return mmio_in_kernel(vcpu, &vcpu->access, &data) ? finish_access(vcpu, data) : mmio_to_user(vcpu);
}

int kvm_handle_mmio(struct kvm_vcpu *vcpu)
{
	const struct hw_access *a = &hw_cpu_exit(vcpu->cpu)->access;

	if (vcpu->vectoring)
		return kvm_delivery_failure(vcpu);
	if (!a->valid || a->fetch || is_refused(vcpu, a))
		return kvm_emulation_failure(vcpu);
	return kvm_emulate_mmio(vcpu, a, complete_insn);
}

/* ---------------------------------------------------------------- port I/O */

static u8 *pio_data(struct kvm_vcpu *vcpu) { return (u8 *)vcpu->run + KVM_PIO_PAGE_OFFSET * HW_PAGE_SIZE; }

/* Elements of a string that was read at once; otherwise there is one. */
static int finish_input(struct kvm_vcpu *vcpu, const u8 *elements)
{
	const struct hw_access *a = &vcpu->access;
	u64 first = 0;

	memcpy(&first, elements, a->size);
	if (a->count == 1)
		return finish_access(vcpu, first);
	trace_access(vcpu, a, first);
	hw_cpu_complete_string(vcpu->cpu, elements);
	return KVM_RESUME_GUEST;
}

static int complete_pio(struct kvm_vcpu *vcpu)
{
	return vcpu->access.write ? finish_access(vcpu, 0) : finish_input(vcpu, pio_data(vcpu));
}

static int pio_to_user(struct kvm_vcpu *vcpu)
{
	const struct hw_access *a = &vcpu->access;
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = a->write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = a->size;
	run->io.port = a->addr;
	run->io.count = a->count;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * HW_PAGE_SIZE;
	if (a->write)
		memcpy(pio_data(vcpu), &a->data, a->size);
	else
		memset(pio_data(vcpu), 0, (size_t)a->size * a->count);
	vcpu->completion = complete_pio;
	return KVM_EXIT_TO_USER;
}

/* false: nobody in kvm owns the port. If its owner goes away in between, the rest is zeros, as in Linux. */
static bool read_port(struct kvm_vcpu *vcpu, const struct hw_access *a, u8 *elements)
{
	for (unsigned int n = 0; n < a->count; n++) {
		u64 data = 0;

		if (kvm_io_bus_read(vcpu, &vcpu->kvm->pio_bus, a->addr, a->size, &data) && !n)
			return false;
		memcpy(elements + (size_t)n * a->size, &data, a->size);
	}
	return true;
}

int kvm_emulate_pio(struct kvm_vcpu *vcpu, const struct hw_access *access, void (*finish)(struct kvm_vcpu *vcpu, u64 data))
{
	const struct hw_access *a = &vcpu->access;
	u8 elements[HW_STRING_SIZE];

	kvm_count(&vcpu->stats.io_exits);
	begin_access(vcpu, access, finish);
	if (!a->write)
		return read_port(vcpu, a, elements) ? finish_input(vcpu, elements) : pio_to_user(vcpu);
	return kvm_io_bus_write(vcpu, &vcpu->kvm->pio_bus, a->addr, a->size, &a->data) ? pio_to_user(vcpu) :
											  finish_access(vcpu, 0);
}

int kvm_handle_io(struct kvm_vcpu *vcpu)
{
	const struct hw_access *a = &hw_cpu_exit(vcpu->cpu)->access;

	return a->valid ? kvm_emulate_pio(vcpu, a, complete_insn) : kvm_emulation_failure(vcpu);
}
