// SPDX-License-Identifier: Apache-2.0
/* KVM_MEMORY_ENCRYPT_OP in and out of order, with good and bad arguments; what else a TD's descriptors refuse. */
#include "td.h"

static int command(int fd, struct kvm_tdx_cmd *cmd) { return softcvm_ioctl(fd, KVM_MEMORY_ENCRYPT_OP, cmd); }

/* ---------------------------------------------------------------- types */

static void offered_on_intel_only(void **state)
{
	const struct softcvm_config intel = { .platform = SOFTCVM_PLATFORM_INTEL }, amd = { .platform = SOFTCVM_PLATFORM_AMD };
	int fd = softcvm_open(&intel), vm;

	assert_true(softcvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_VM_TYPES) & 1 << KVM_X86_TDX_VM);
	/* An ordinary VM has no such commands. */
	vm = softcvm_ioctl(fd, KVM_CREATE_VM, NULL);
	assert_int_equal(td_command(vm, KVM_TDX_CAPABILITIES, 0, NULL), -ENOTTY);
	softcvm_close(vm);
	softcvm_close(fd);
	fd = softcvm_open(&amd);
	assert_false(softcvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_VM_TYPES) & 1 << KVM_X86_TDX_VM);
	assert_int_equal(softcvm_ioctl(fd, KVM_CREATE_VM, (void *)KVM_X86_TDX_VM), -EINVAL);
	softcvm_close(fd);
}

static int cap(struct td *td, uintptr_t number) { return softcvm_ioctl(td->vm, KVM_CHECK_EXTENSION, (void *)number); }

static void capabilities_of_the_vm(void **state)
{
	struct td td;

	td_open(&td);
	assert_int_equal(cap(&td, KVM_CAP_READONLY_MEM), 0);
	assert_int_equal(cap(&td, KVM_CAP_SYNC_REGS), 0);
	assert_int_equal(cap(&td, KVM_CAP_MULTI_ADDRESS_SPACE), 1);
	assert_int_equal(cap(&td, KVM_CAP_MEMORY_ATTRIBUTES), KVM_MEMORY_ATTRIBUTE_PRIVATE);
	assert_true(cap(&td, KVM_CAP_MAX_VCPUS) > 0);
	td_close(&td);
}

/* ---------------------------------------------------------------- KVM_TDX_CAPABILITIES */

struct caps {
	struct kvm_tdx_capabilities head;
	struct kvm_cpuid_entry2 entry[100];
};

static void capabilities(void **state)
{
	struct caps caps = { .head.cpuid.nent = 100 };
	struct td td;
	bool sizes = false;

	td_open(&td);
	assert_int_equal(td_command(td.vm, KVM_TDX_CAPABILITIES, 0, &caps), 0);
	assert_int_equal(caps.head.supported_attrs, 1 << 28);
	assert_int_equal(caps.head.supported_xfam & 3, 3);
	assert_int_equal(caps.head.user_tdvmcallinfo_1_r11, 2);
	assert_true(caps.head.cpuid.nent > 0 && caps.head.cpuid.nent < 100);
	for (unsigned int i = 0; i < caps.head.cpuid.nent; i++) {
		sizes |= caps.entry[i].function == 0x80000008 && (caps.entry[i].eax & 0xff0000) == 0xff0000;
		/* TSX and WAITPKG are not KVM's to give. */
		if (caps.entry[i].function == 7 && !caps.entry[i].index) {
			assert_int_equal(caps.entry[i].ebx & (1u << 4 | 1u << 11), 0);
			assert_int_equal(caps.entry[i].ecx & 1u << 5, 0);
		}
	}
	assert_true(sizes);
	caps.head.cpuid.nent--;
	assert_int_equal(td_command(td.vm, KVM_TDX_CAPABILITIES, 0, &caps), -E2BIG);
	assert_int_equal(td_command(td.vm, KVM_TDX_CAPABILITIES, 1, &caps), -EINVAL);
	assert_int_equal(td_command(td.vm, KVM_TDX_CAPABILITIES, 0, (void *)8), -EFAULT);
	td_close(&td);
}

/* ---------------------------------------------------------------- KVM_TDX_INIT_VM */

static void init_vm_refuses(void **state)
{
	static const struct {
		size_t offset; /* in struct td_init, 8 bytes */
		uint64_t value;
		int error;
	} cases[] = {
		{ offsetof(struct td_init, head.attributes), 1, -EINVAL },
		{ offsetof(struct td_init, head.attributes), 1ull << 63, -EINVAL },
		{ offsetof(struct td_init, head.xfam), 1ull << 62, -EINVAL },
		{ offsetof(struct td_init, head.reserved[11]), 1, -EINVAL },
		{ offsetof(struct td_init, head.cpuid), 1 | 1ull << 32, -EINVAL }, /* padding */
		{ offsetof(struct td_init, head.cpuid), 0, -EINVAL },
		{ offsetof(struct td_init, head.cpuid), 257, -E2BIG },
		{ offsetof(struct td_init, entry[0].eax), 0, -EINVAL },
		{ offsetof(struct td_init, entry[0].eax), 47 << 16, -EINVAL },
		{ offsetof(struct td_init, entry[0].eax), 52 << 16, -EINVAL }, /* needs five levels of EPT */
		{ offsetof(struct td_init, entry[0].function), 0x12345, -EINVAL }, /* no leaf that can be configured */
	};
	struct td_init init;
	struct td td;

	td_open(&td);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		td_init_args(&td, &init);
		memcpy((uint8_t *)&init + cases[i].offset, &cases[i].value, sizeof(cases[i].value));
		assert_int_equal(td_command(td.vm, KVM_TDX_INIT_VM, 0, &init), cases[i].error);
	}
	td_init_args(&td, &init);
	assert_int_equal(td_command(td.vm, KVM_TDX_INIT_VM, 1, &init), -EINVAL);
	assert_int_equal(td_command(td.vm, KVM_TDX_INIT_VM, 0, (void *)8), -EFAULT);
	/* None of that has left anything behind. */
	assert_int_equal(td_command(td.vm, KVM_TDX_INIT_VM, 0, &init), 0);
	assert_int_equal(td_command(td.vm, KVM_TDX_INIT_VM, 0, &init), -EINVAL);
	td_close(&td);
}

/* What the module itself refuses is told by its completion code, and may be tried again. */
static void init_vm_hw_error(void **state)
{
	struct td_init init;
	struct kvm_tdx_cmd cmd = { .id = KVM_TDX_INIT_VM, .data = (uintptr_t)&init };
	struct td td;

	td_open(&td);
	td_init_args(&td, &init);
	init.head.xfam = 7;
	init.entry[0].ebx = 1u << 31; /* no such bit to configure */
	assert_int_equal(command(td.vm, &cmd), -EINVAL);
	assert_int_equal(cmd.hw_error, 0xc000010000000045); /* OPERAND_INVALID, CPUID_CONFIG */
	assert_int_equal(command(td.vm, &cmd), -EINVAL); /* hw_error is KVM's to set */
	cmd.hw_error = 0;
	init.entry[0].ebx = 0;
	assert_int_equal(command(td.vm, &cmd), 0);
	td_close(&td);
}

/* Where the processor has five levels of EPT the shared bit may be bit 51. */
static void wide_addresses(void **state)
{
	const struct softcvm_config config = { .platform = SOFTCVM_PLATFORM_INTEL, .phys_bits = 52 };
	struct kvm_tdx_init_mem_region region = { .nr_pages = 1 };
	struct td_init init;
	struct td td;

	td_open_config(&td, &config);
	td_init_args(&td, &init);
	init.entry[0].eax = 52 << 16;
	assert_int_equal(td_command(td.vm, KVM_TDX_INIT_VM, 0, &init), 0);
	assert_int_equal(td_add_vcpu(&td), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VCPU, 0, NULL), 0);
	region.source_addr = (uintptr_t)td.ram;
	region.gpa = 1ull << 51 | FREE_GPA;
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_MEM_REGION, 0, &region), -EINVAL);
	/* Private, beyond what four levels reach. */
	assert_int_equal(td_slot(&td, 2, 1ull << 49, PAGE, td_map(PAGE), td_memfd(&td, PAGE)), 0);
	assert_int_equal(td_set_attributes(&td, 1ull << 49, PAGE, P), 0);
	region.gpa = 1ull << 49;
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_MEM_REGION, 1, &region), 0);
	td_close(&td);
}

static void tsc_rate(void **state)
{
	struct td td;

	td_open(&td);
	assert_int_equal(softcvm_ioctl(td.vm, KVM_SET_TSC_KHZ, (void *)2000000), 0);
	assert_int_equal(td_init_vm(&td), 0);
	assert_int_equal(td_add_vcpu(&td), 0);
	assert_int_equal(softcvm_ioctl(td.vcpu[0], KVM_SET_TSC_KHZ, (void *)1000000), -EINVAL);
	assert_int_equal(softcvm_ioctl(td.vcpu[0], KVM_GET_TSC_KHZ, NULL), 2000000);
	td_close(&td);
	/* Beyond what the module takes: 100 MHz to 10 GHz. */
	td_open(&td);
	assert_int_equal(softcvm_ioctl(td.vm, KVM_SET_TSC_KHZ, (void *)50000), 0);
	assert_int_equal(td_init_vm(&td), -EINVAL);
	assert_int_equal(softcvm_ioctl(td.vm, KVM_SET_TSC_KHZ, (void *)0x7fffffff), 0);
	assert_int_equal(td_init_vm(&td), -EINVAL);
	assert_int_equal(softcvm_ioctl(td.vm, KVM_SET_TSC_KHZ, (void *)1000000), 0);
	assert_int_equal(td_init_vm(&td), 0);
	td_close(&td);
}

/* ---------------------------------------------------------------- the order */

static void wrong_order(void **state)
{
	struct kvm_tdx_init_mem_region region = { .gpa = FREE_GPA, .nr_pages = 1 };
	struct td td;

	td_open(&td);
	region.source_addr = (uintptr_t)td.ram;
	assert_int_equal(td_add_vcpu(&td), -EIO);
	assert_int_equal(td_command(td.vm, KVM_TDX_FINALIZE_VM, 0, NULL), -EINVAL);
	assert_int_equal(td_init_vm(&td), 0);
	assert_int_equal(td_add_vcpu(&td), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_MEM_REGION, 0, &region), -EINVAL);
	assert_int_equal(td_run(&td, 0), -EINVAL);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VCPU, 1, NULL), -EINVAL);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VCPU, 0, NULL), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VCPU, 0, NULL), -EINVAL);
	assert_int_equal(td_run(&td, 0), -EINVAL);
	td_load(&td);
	assert_int_equal(td_command(td.vm, KVM_TDX_FINALIZE_VM, 0, NULL), 0);
	assert_int_equal(td_command(td.vm, KVM_TDX_FINALIZE_VM, 0, NULL), -EINVAL);
	/* The launch is over. */
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_MEM_REGION, 0, &region), -EINVAL);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VCPU, 0, NULL), -EINVAL);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_GET_CPUID, 0, NULL), -EINVAL);
	assert_int_equal(td_add_vcpu(&td), -EIO);
	td_start(&td, 0);
	td_close(&td);
}

static void vcpu_needs_split_irqchip(void **state)
{
	const struct softcvm_config config = { .platform = SOFTCVM_PLATFORM_INTEL };
	struct td td = { .gmem = -1 };

	td.system = softcvm_open(&config);
	td.vm = softcvm_ioctl(td.system, KVM_CREATE_VM, (void *)KVM_X86_TDX_VM);
	assert_int_equal(softcvm_ioctl(td.vm, KVM_CREATE_IRQCHIP, NULL), -ENOTTY);
	assert_int_equal(td_init_vm(&td), 0);
	assert_int_equal(td_add_vcpu(&td), -EINVAL);
	softcvm_close(td.vm);
	softcvm_close(td.system);
}

/* A TD's APIC is an x2APIC; a CPUID without it was not meant for one. */
static void vcpu_needs_x2apic(void **state)
{
	struct kvm_cpuid2 nothing = { 0 };
	struct td td;

	td_open(&td);
	assert_int_equal(td_init_vm(&td), 0);
	assert_int_equal(td_add_vcpu(&td), 0);
	assert_int_equal(softcvm_ioctl(td.vcpu[0], KVM_SET_CPUID2, &nothing), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VCPU, 0, NULL), -EINVAL);
	td_close(&td);
}

static void unknown_commands(void **state)
{
	struct kvm_tdx_cmd bad = { .id = KVM_TDX_CAPABILITIES, .hw_error = 1 };
	struct td td;

	td_open(&td);
	assert_int_equal(td_command(td.vm, 6, 0, NULL), -EINVAL);
	assert_int_equal(td_command(td.vm, ~0u, 0, NULL), -EINVAL);
	assert_int_equal(td_command(td.vm, KVM_TDX_INIT_VCPU, 0, NULL), -EINVAL);
	assert_int_equal(command(td.vm, &bad), -EINVAL);
	assert_int_equal(softcvm_ioctl(td.vm, KVM_MEMORY_ENCRYPT_OP, (void *)8), -EFAULT);
	assert_int_equal(td_init_vm(&td), 0);
	assert_int_equal(td_add_vcpu(&td), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VM, 0, NULL), -EINVAL);
	assert_int_equal(td_command(td.vcpu[0], 77, 0, NULL), -EINVAL);
	td_close(&td);
}

/* ---------------------------------------------------------------- KVM_TDX_INIT_MEM_REGION */

static void mem_region_refuses(void **state)
{
	struct td td;
	uint8_t *page = td_map(PAGE);
	const struct {
		uint64_t source, gpa, pages;
		uint32_t flags;
		int error;
	} cases[] = {
		{ (uintptr_t)page, FREE_GPA, 1, 2, -EINVAL },
		{ (uintptr_t)page + 1, FREE_GPA, 1, 0, -EINVAL },
		{ (uintptr_t)page, FREE_GPA + 8, 1, 0, -EINVAL },
		{ (uintptr_t)page, FREE_GPA, 0, 0, -EINVAL },
		{ (uintptr_t)page, FREE_GPA, 1ull << 52, 0, -EINVAL },
		{ (uintptr_t)page, SHARED_BIT | FREE_GPA, 1, 0, -EINVAL },
		{ (uintptr_t)page, SHARED_BIT - PAGE, 2, 0, -EINVAL },
		{ (uintptr_t)page, 1ull << 50, 1, 0, -EINVAL },
		{ (uintptr_t)page, HOLE_GPA, 1, 0, -EINVAL },	/* no slot */
		{ (uintptr_t)page, SHARED_GPA, 1, 0, -EINVAL }, /* its attribute says shared */
		{ 0, FREE_GPA, 1, 0, -EOPNOTSUPP },
		{ PAGE, FREE_GPA, 1, 0, -EFAULT },
	};

	td_open(&td);
	assert_int_equal(td_init_vm(&td), 0);
	assert_int_equal(td_add_vcpu(&td), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VCPU, 0, NULL), 0);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kvm_tdx_init_mem_region region = { cases[i].source, cases[i].gpa, cases[i].pages };

		assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_MEM_REGION, cases[i].flags, &region), cases[i].error);
		assert_int_equal(region.nr_pages, cases[i].pages);
	}
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_MEM_REGION, 0, (void *)8), -EFAULT);
	td_close(&td);
	munmap(page, PAGE);
}

/* What was done before the page that could not be added is told. */
static void mem_region_progress(void **state)
{
	struct kvm_tdx_init_mem_region region = { .gpa = SHARED_GPA - 2 * PAGE, .nr_pages = 4 };
	struct td td;

	td_open(&td);
	region.source_addr = (uintptr_t)td.ram;
	assert_int_equal(td_init_vm(&td), 0);
	assert_int_equal(td_add_vcpu(&td), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VCPU, 0, NULL), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_MEM_REGION, 1, &region), -EINVAL);
	assert_int_equal(region.gpa, SHARED_GPA);
	assert_int_equal(region.source_addr, (uintptr_t)td.ram + 2 * PAGE);
	assert_int_equal(region.nr_pages, 2);
	/* A page is added once. */
	region = (struct kvm_tdx_init_mem_region){ (uintptr_t)td.ram, SHARED_GPA - PAGE, 1 };
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_MEM_REGION, 1, &region), -EIO);
	td_close(&td);
}

/* ---------------------------------------------------------------- KVM_TDX_GET_CPUID */

static void cpuid_of_the_td(void **state)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[256];
	} cpuid = { .head.nent = 256 };
	bool signature = false, sizes = false;
	struct td td;

	td_open(&td);
	assert_int_equal(td_init_vm(&td), 0);
	assert_int_equal(td_add_vcpu(&td), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_GET_CPUID, 0, &cpuid), 0);
	assert_int_equal(cpuid.entry[0].function, 0);
	assert_int_equal(cpuid.entry[0].eax, 0x23);
	for (unsigned int i = 0; i < cpuid.head.nent; i++) {
		signature |= cpuid.entry[i].function == 0x21 && cpuid.entry[i].ebx == 0x65746e49;
		sizes |= cpuid.entry[i].function == 0x80000008 && (cpuid.entry[i].eax >> 16 & 0xff) == 48;
	}
	assert_true(signature);
	assert_true(sizes);
	cpuid.head.nent = 3;
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_GET_CPUID, 0, &cpuid), -E2BIG);
	assert_true(cpuid.head.nent > 3);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_GET_CPUID, 0, (void *)8), -EFAULT);
	td_close(&td);
}

/* ---------------------------------------------------------------- state that is not user space's */

static void protected_state(void **state)
{
	static const unsigned long refused[] = {
		KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_GET_SREGS2, KVM_SET_SREGS2, KVM_GET_FPU,
		KVM_SET_FPU, KVM_GET_XSAVE, KVM_GET_XSAVE2, KVM_SET_XSAVE, KVM_GET_XCRS, KVM_SET_XCRS, KVM_GET_DEBUGREGS,
		KVM_SET_DEBUGREGS, KVM_SET_GUEST_DEBUG, KVM_GET_LAPIC, KVM_SET_LAPIC,
	};
	uint8_t *buffer = calloc(1, 8192);
	struct kvm_mp_state mp = { 0 };
	struct td td;

	td_build(&td, 1);
	td_start(&td, 0);
	for (unsigned int i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_equal(softcvm_ioctl(td.vcpu[0], refused[i], buffer), -EINVAL);
	assert_int_equal(softcvm_ioctl(td.vcpu[0], KVM_GET_MP_STATE, &mp), 0);
	td.run[0]->kvm_valid_regs = KVM_SYNC_X86_REGS;
	assert_int_equal(td_run(&td, 0), -EINVAL);
	td.run[0]->kvm_valid_regs = 0;
	td_start(&td, 0);
	td_close(&td);
	free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offered_on_intel_only), cmocka_unit_test(capabilities_of_the_vm), cmocka_unit_test(capabilities),
		cmocka_unit_test(init_vm_refuses), cmocka_unit_test(init_vm_hw_error), cmocka_unit_test(wide_addresses), cmocka_unit_test(tsc_rate),
		cmocka_unit_test(wrong_order), cmocka_unit_test(vcpu_needs_split_irqchip), cmocka_unit_test(vcpu_needs_x2apic),
		cmocka_unit_test(unknown_commands), cmocka_unit_test(mem_region_refuses), cmocka_unit_test(mem_region_progress),
		cmocka_unit_test(cpuid_of_the_td), cmocka_unit_test(protected_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
