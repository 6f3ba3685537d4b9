// SPDX-License-Identifier: Apache-2.0
/*
 * KVM_X86_TDX_VM, a trust domain (Documentation/virt/kvm/x86/intel-tdx.rst). What the VMM has loaded, and the first stage with its
 * description and its working memory, is added to the TD in its place and measured; all other RAM is accepted by the first stage.
 * The kernel knows that it is in a TD: it shares what devices are to see.
 */
#include "boot/first_stage.h"
#include "vmm/bytes.h"
#include "vmm/first_stage.h"
#include "vmm/launch.h"
#include "vmm/private_memory.h"
#include "vmm/report.h"
#include "vmm/tdx_quote.h"
#include "vmm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLOT_FIRST_STAGE 2
#define MAX_CPUID	 256u

#define ATTR_SEPT_VE_DISABLE (1ull << 28) /* what is not accepted ends the TD: Linux insists on it */
#define APIC_BUS_CYCLE_NS    40u	  /* a TD's CPUID 0x15 has a crystal of 25 MHz */
#define GPA_WIDTH	     48u
#define CPUID_ADDRESS_SIZES  0x80000008u

static int tdx_command(struct vm *vm, int fd, enum kvm_tdx_cmd_id id, uint32_t flags, void *data, const char *what)
{
	struct kvm_tdx_cmd cmd = { .id = id, .flags = flags, .data = (uintptr_t)data };
	int err = vm->calls->ioctl(fd, KVM_MEMORY_ENCRYPT_OP, &cmd);

	if (err && cmd.hw_error)
		vmm_error("%s: %s (TDX module: %#llx)", what, strerror(-err), (unsigned long long)cmd.hw_error);
	else if (err)
		vmm_error("%s: %s", what, strerror(-err));
	return err;
}

static int enable(struct vm *vm, uint32_t cap, uint64_t arg, const char *what)
{
	struct kvm_enable_cap enable = { .cap = cap, .args[0] = arg };
	int err = vm->calls->ioctl(vm->fd, KVM_ENABLE_CAP, &enable);

	if (err)
		vmm_error("%s: %s", what, strerror(-err));
	return err;
}

/* ---------------------------------------------------------------- the TD */

/* Of what this VMM's vCPUs have, the bits that can be configured, in place; the rest is the module's. */
static void choose_cpuid(struct kvm_cpuid2 *wanted, struct kvm_cpuid2 *configurable)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < configurable->nent; i++) {
		struct kvm_cpuid_entry2 e = configurable->entries[i];
		const struct kvm_cpuid_entry2 *w = cpuid_find(wanted, e.function, e.index);

		if (!w)
			continue;
		e.eax &= e.function == CPUID_ADDRESS_SIZES ? (w->eax & 0xffff) | GPA_WIDTH << 16 : w->eax;
		e.ebx &= w->ebx;
		e.ecx &= w->ecx;
		e.edx &= w->edx;
		e.flags = w->flags; /* whether the subleaf counts: KVM does not say */
		configurable->entries[n++] = e;
	}
	configurable->nent = n;
}

static int init_td(struct vm *vm, struct kvm_tdx_capabilities *caps)
{
	size_t entries = caps->cpuid.nent * sizeof(caps->cpuid.entries[0]);
	struct kvm_tdx_init_vm *init = calloc(1, sizeof(*init) + entries);
	struct kvm_cpuid2 *wanted = vcpu_make_cpuid(vm, 0);
	int err = -ENOMEM;

	if (init && wanted) {
		init->attributes = caps->supported_attrs & ATTR_SEPT_VE_DISABLE;
		init->xfam = caps->supported_xfam;
		choose_cpuid(wanted, &caps->cpuid);
		memcpy(&init->cpuid, &caps->cpuid, sizeof(caps->cpuid) + entries);
		err = tdx_command(vm, vm->fd, KVM_TDX_INIT_VM, 0, init, "KVM_TDX_INIT_VM");
	}
	free(wanted);
	free(init);
	return err;
}

static int init_vm(struct vm *vm)
{
	struct kvm_tdx_capabilities *caps = calloc(1, sizeof(*caps) + MAX_CPUID * sizeof(caps->cpuid.entries[0]));
	int err;

	if (!caps) {
		vmm_error("out of memory");
		return -ENOMEM;
	}
	caps->cpuid.nent = MAX_CPUID;
	err = enable(vm, KVM_CAP_X86_APIC_BUS_CYCLES_NS, APIC_BUS_CYCLE_NS, "KVM does not set the APIC timer's rate");
	if (!err)
		err = tdx_command(vm, vm->fd, KVM_TDX_CAPABILITIES, 0, caps, "KVM_TDX_CAPABILITIES");
	if (!err)
		err = init_td(vm, caps);
	free(caps);
	return err;
}

static int init_vcpu(struct vcpu *vcpu)
{
	return tdx_command(vcpu->vm, vcpu->fd, KVM_TDX_INIT_VCPU, 0, NULL, "KVM_TDX_INIT_VCPU");
}

/* ---------------------------------------------------------------- memory */

static int add_first_stage(struct vm *vm)
{
	struct kvm_create_guest_memfd file = { .size = FIRST_STAGE_SIZE };
	struct kvm_memory_attributes private = {
		.address = FIRST_STAGE_INFO,
		.size = FIRST_STAGE_SIZE,
		.attributes = KVM_MEMORY_ATTRIBUTE_PRIVATE,
	};
	struct kvm_userspace_memory_region2 slot = {
		.slot = SLOT_FIRST_STAGE,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = FIRST_STAGE_INFO,
		.memory_size = FIRST_STAGE_SIZE,
		.userspace_addr = (uintptr_t)first_stage_create(vm, &first_stage_tdx),
	};
	int err;

	if (!slot.userspace_addr)
		return -ENOMEM;
	vm->first_stage_fd = vm->calls->ioctl(vm->fd, KVM_CREATE_GUEST_MEMFD, &file);
	slot.guest_memfd = (uint32_t)vm->first_stage_fd;
	err = vm->first_stage_fd < 0 ? vm->first_stage_fd : vm->calls->ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &slot);
	if (!err)
		err = vm->calls->ioctl(vm->fd, KVM_SET_MEMORY_ATTRIBUTES, &private);
	if (err)
		vmm_error("KVM does not take the first stage's memory: %s", strerror(-err));
	return err;
}

static int add_memory(struct vm *vm)
{
	int err = private_memory_create(vm);

	if (!err)
		err = add_first_stage(vm);
	return err ? err : private_memory_allow_requests(vm);
}

static void remove_memory(struct vm *vm)
{
	private_memory_destroy(vm);
	first_stage_destroy(vm);
}

/* ---------------------------------------------------------------- launch */

/* What was loaded, the working memory of the first stage (which cannot accept it before it is in 64-bit mode) among it; then the
 * first stage with its description. */
static int regions(struct vm *vm, struct launch_region *out)
{
	struct guest_memory *mem = &vm->memory;
	int n = 0, err = 0;

	_Static_assert(VM_MAX_REGIONS >= MEMORY_MAX_PLACED + 1, "all that can be loaded");
	if (!memory_place(mem, FIRST_STAGE_WORK, FIRST_STAGE_WORK_END - FIRST_STAGE_WORK)) {
		vmm_error("there is no memory for the first stage");
		return -EINVAL;
	}
	err = first_stage_describe(vm);
	if (err)
		return err;
	for (unsigned int i = 0; i < mem->nr_placed; i++) {
		const struct memory_range *p = &mem->placed[i];

		out[n++] = (struct launch_region){ p->start, p->size, memory_at(mem, p->start, p->size), p->size, true,
						   "kernel, initrd, command line, tables, working memory" };
	}
	out[n++] = (struct launch_region){ FIRST_STAGE_INFO, FIRST_STAGE_SIZE, vm->first_stage, FIRST_STAGE_SIZE, true,
					   "first stage and its description of the machine" };
	return n;
}

/* Copied into the TD and measured; the copy that the VMM had is given back. */
static int add_pages(struct vm *vm, const struct launch_region *r)
{
	struct kvm_tdx_init_mem_region region = {
		.source_addr = (uintptr_t)r->data,
		.gpa = r->gpa,
		.nr_pages = r->size / MEMORY_PAGE,
	};
	int err = tdx_command(vm, vm->vcpu[0].fd, KVM_TDX_INIT_MEM_REGION, KVM_TDX_MEASURE_MEMORY_REGION, &region,
			      "KVM_TDX_INIT_MEM_REGION");

	if (!err)
		madvise((void *)(uintptr_t)r->data, r->size, MADV_DONTNEED);
	return err;
}

static int start(struct vm *vm)
{
	struct launch_region region[VM_MAX_REGIONS];
	int count = regions(vm, region);
	int err = count < 0 ? count : 0;

	for (int i = 0; !err && i < count; i++)
		err = add_pages(vm, &region[i]);
	return err ? err : tdx_command(vm, vm->fd, KVM_TDX_FINALIZE_VM, 0, NULL, "KVM_TDX_FINALIZE_VM");
}

/* ---------------------------------------------------------------- exits */

/* ReportFatalError (GHCI 3.4): up to 64 characters of a message in R14, R15, RBX, RDI, RSI, R8, R9, RDX. */
static void fatal_error(struct vcpu *vcpu)
{
	enum { RDX = 2, RBX = 3, RSI = 6, RDI = 7, R8 = 8, R9 = 9, R12 = 12, R14 = 14, R15 = 15 };
	static const uint8_t order[] = { R14, R15, RBX, RDI, RSI, R8, R9, RDX };
	const uint64_t *registers = vcpu->run->system_event.data;
	char text[sizeof(order) * 8 + 1] = "";

	for (unsigned int i = 0; i < sizeof(order); i++)
		put64(text + 8 * i, registers[order[i]]);
	for (char *c = text; *c; c++)
		*c = *c >= ' ' && *c < 0x7f ? *c : '?';
	vmm_error("vCPU %u: the TD reports a fatal error, code %#llx: %s", vcpu->index, (unsigned long long)registers[R12], text);
	vm_end(vcpu->vm, VM_PANIC, 0);
}

static bool handle_exit(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	if (run->exit_reason == KVM_EXIT_SYSTEM_EVENT && run->system_event.type == KVM_SYSTEM_EVENT_TDX_FATAL) {
		fatal_error(vcpu);
		return true;
	}
	if (run->exit_reason != KVM_EXIT_TDX)
		return false;
	/* Of the others KVM has put into ret that there is no such service. */
	if (run->tdx.nr == TDVMCALL_GET_QUOTE)
		tdx_get_quote(vcpu);
	return true;
}

const struct vm_type vm_type_tdx = {
	.name = "tdx",
	.kvm_type = KVM_X86_TDX_VM,
	.platform = SOFTCVM_PLATFORM_INTEL,
	.phys_bits = 52, /* the module takes no other */
	.kvm_features_withheld = FEATURES_IN_MEMORY,
	.dma = true,
	.access_platform = true,
	.split_irqchip = true,
	.starts_together = true,
	.mmio_by_ve = true,
	.mailbox = true,
	.conversion_refused = EINVAL,
	.add_memory = add_memory,
	.init_vm = init_vm,
	.init_vcpu = init_vcpu,
	.regions = regions,
	.start = start,
	.convert = private_memory_convert,
	.memory_fault = private_memory_convert,
	.exit = handle_exit,
	.remove_memory = remove_memory,
};
