// SPDX-License-Identifier: Apache-2.0
/* What user space switches in a VM before it runs: KVM_ENABLE_CAP, the boot processor, quirks and their effect. */
#include "guest.h"

#include <stdlib.h>

static const unsigned char halt[] = { 0xf4 };

static int enable_n(int fd, uint32_t cap, uint64_t value)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { value } };

	return softcvm_ioctl(fd, KVM_ENABLE_CAP, &enable);
}

struct bare_vm {
	int system, vm;
};

static struct bare_vm bare(enum softcvm_kvm_compat compat)
{
	const struct softcvm_config config = { .platform = SOFTCVM_PLATFORM_AMD, .kvm_compat = compat };
	struct bare_vm v = { .system = softcvm_open(&config) };

	assert_true(v.system >= 0);
	v.vm = softcvm_ioctl(v.system, KVM_CREATE_VM, NULL);
	assert_true(v.vm >= 0);
	return v;
}

static void bare_destroy(struct bare_vm v)
{
	softcvm_close(v.vm);
	softcvm_close(v.system);
}

static int create_vcpu(struct bare_vm v, unsigned long id)
{
	int fd = softcvm_ioctl(v.vm, KVM_CREATE_VCPU, (void *)id);

	if (fd >= 0)
		softcvm_close(fd);
	return fd < 0 ? fd : 0;
}

static void test_boot_cpu_id(void **state)
{
	struct bare_vm v = bare(SOFTCVM_KVM_6_12);

	assert_int_equal(softcvm_ioctl(v.vm, KVM_SET_BOOT_CPU_ID, (void *)4097ul), -EINVAL);
	assert_int_equal(softcvm_ioctl(v.vm, KVM_SET_BOOT_CPU_ID, (void *)(1ul << 32)), -EINVAL);
	assert_int_equal(softcvm_ioctl(v.vm, KVM_SET_BOOT_CPU_ID, (void *)3ul), 0);
	assert_int_equal(create_vcpu(v, 3), 0);
	assert_int_equal(softcvm_ioctl(v.vm, KVM_SET_BOOT_CPU_ID, (void *)3ul), -EBUSY);
	bare_destroy(v);
}

static void test_max_vcpu_id(void **state)
{
	struct bare_vm v = bare(SOFTCVM_KVM_6_12);

	assert_int_equal(enable_n(v.vm, KVM_CAP_MAX_VCPU_ID, 4097), -EINVAL);
	assert_int_equal(softcvm_ioctl(v.vm, KVM_SET_BOOT_CPU_ID, (void *)2ul), 0);
	assert_int_equal(enable_n(v.vm, KVM_CAP_MAX_VCPU_ID, 1), -EINVAL);
	assert_int_equal(enable_n(v.vm, KVM_CAP_MAX_VCPU_ID, 2), 0);
	assert_int_equal(enable_n(v.vm, KVM_CAP_MAX_VCPU_ID, 2), 0);
	assert_int_equal(enable_n(v.vm, KVM_CAP_MAX_VCPU_ID, 3), -EINVAL);
	assert_int_equal(softcvm_ioctl(v.vm, KVM_SET_BOOT_CPU_ID, (void *)3ul), -EINVAL);
	assert_int_equal(create_vcpu(v, 2), -EINVAL);
	assert_int_equal(create_vcpu(v, 1ul << 32), -EINVAL);
	assert_int_equal(create_vcpu(v, 0), 0);
	bare_destroy(v);

	/* Without a limit there is one from the first vCPU on. */
	v = bare(SOFTCVM_KVM_6_12);
	assert_int_equal(create_vcpu(v, 0), 0);
	assert_int_equal(enable_n(v.vm, KVM_CAP_MAX_VCPU_ID, 2), -EINVAL);
	assert_int_equal(enable_n(v.vm, KVM_CAP_MAX_VCPU_ID, 4096), 0);
	bare_destroy(v);
}

/* KVM's leaves at `base`, with all of their features; what is left of KVM_FEATURE_PV_UNHALT. */
static int unhalt_at(int vcpu, uint32_t base, uint32_t signature)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 2 * sizeof(cpuid->entries[0]));
	int left;

	cpuid->nent = 2;
	cpuid->entries[0] = (struct kvm_cpuid_entry2){
		.function = base, .eax = base + 1, .ebx = signature, .ecx = 0x564b4d56, .edx = 0x4d };
	cpuid->entries[1] = (struct kvm_cpuid_entry2){ .function = base + 1, .eax = 1u << KVM_FEATURE_PV_UNHALT | 1 };
	assert_int_equal(softcvm_ioctl(vcpu, KVM_SET_CPUID2, cpuid), 0);
	assert_int_equal(softcvm_ioctl(vcpu, KVM_GET_CPUID2, cpuid), 0);
	assert_true(cpuid->entries[1].eax & 1);
	left = cpuid->entries[1].eax >> KVM_FEATURE_PV_UNHALT & 1;
	free(cpuid);
	return left;
}

static void test_disable_exits(void **state)
{
	struct bare_vm v = bare(SOFTCVM_KVM_6_12);
	int vcpu = softcvm_ioctl(v.vm, KVM_CREATE_VCPU, NULL);

	assert_true(vcpu >= 0);
	assert_int_equal(unhalt_at(vcpu, 0x40000000, 0x4b4d564b), 1);
	assert_int_equal(enable_n(v.vm, KVM_CAP_X86_DISABLE_EXITS, 1u << 4), -EINVAL);
	assert_int_equal(enable_n(v.vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT), 0);
	assert_int_equal(unhalt_at(vcpu, 0x40000000, 0x4b4d564b), 0);
	assert_int_equal(unhalt_at(vcpu, 0x40000100, 0x4b4d564b), 0);
	assert_int_equal(unhalt_at(vcpu, 0x40000000, 0xdeadbeef), 1);
	softcvm_close(vcpu);
	bare_destroy(v);

	v = bare(SOFTCVM_KVM_7_2);
	assert_int_equal(create_vcpu(v, 0), 0);
	assert_int_equal(enable_n(v.vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT), -EINVAL);
	bare_destroy(v);
}

static void expect_after(struct guest *g, uint64_t rip)
{
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(regs_of(g).rip, rip);
}

static const unsigned char vmcall[] = { 0x0f, 0x01, 0xc1, 0xf4 }, vmmcall[] = { 0x0f, 0x01, 0xd9, 0xf4 };

/* #UD ends in the HLT at 0x2000. */
static void set_ud_handler(struct guest *g)
{
	static const unsigned char vector[] = { 0x00, 0x20, 0x00, 0x00 };

	memcpy(g->ram + 6 * 4, vector, sizeof(vector));
	g->ram[0x2000] = 0xf4;
}

static void hypercall_insn(enum softcvm_platform platform, const unsigned char *other, const unsigned char *native)
{
	struct guest g;

	create(&g, platform, other, 4);
	set_ud_handler(&g);
	expect_after(&g, CODE_AT + 4);
	assert_memory_equal(g.ram + CODE_AT, native, 4);
	assert_int_equal((int32_t)regs_of(&g).rax, -KVM_ENOSYS);
	destroy(&g);

	create(&g, platform, other, 4);
	set_ud_handler(&g);
	assert_int_equal(enable_n(g.vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_FIX_HYPERCALL_INSN), 0);
	expect_after(&g, 0x2001);
	assert_memory_equal(g.ram + CODE_AT, other, 4);
	destroy(&g);
}

static void test_hypercall_insn(void **state)
{
	hypercall_insn(SOFTCVM_PLATFORM_INTEL, vmmcall, vmcall);
	hypercall_insn(SOFTCVM_PLATFORM_AMD, vmcall, vmmcall);
}

static void mwait(enum softcvm_platform platform)
{
	static const unsigned char code[] = { 0x0f, 0x01, 0xc8, 0x0f, 0x01, 0xc9, 0xf4 };
	struct guest g;

	create(&g, platform, code, sizeof(code));
	set_ud_handler(&g);
	expect_after(&g, CODE_AT + sizeof(code));
	start_at(&g, CODE_AT);
	assert_int_equal(enable_n(g.vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS), 0);
	expect_after(&g, 0x2001);
	destroy(&g);
}

static void test_mwait(void **state)
{
	mwait(SOFTCVM_PLATFORM_INTEL);
	mwait(SOFTCVM_PLATFORM_AMD);
}

/* MWAIT that does not exit is the guest's own, whatever the quirk says. */
static void test_own_mwait(void **state)
{
	static const unsigned char code[] = { 0x0f, 0x01, 0xc8, 0x0f, 0x01, 0xc9, 0xf4 };
	struct guest g;
	int vcpu;

	create(&g, SOFTCVM_PLATFORM_AMD, code, sizeof(code));
	set_ud_handler(&g);
	softcvm_close(g.vm);
	g.vm = softcvm_ioctl(g.system, KVM_CREATE_VM, NULL);
	assert_int_equal(set_region(&g, 0, 0, 0, RAM_SIZE, g.ram), 0);
	assert_int_equal(enable_n(g.vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS), 0);
	assert_int_equal(enable_n(g.vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_MWAIT), 0);
	vcpu = softcvm_ioctl(g.vm, KVM_CREATE_VCPU, NULL);
	assert_true(vcpu >= 0);
	softcvm_munmap(g.run, 3 * 4096);
	softcvm_close(g.vcpu);
	g.vcpu = vcpu;
	g.run = softcvm_mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	assert_ptr_not_equal(g.run, MAP_FAILED);
	start_at(&g, CODE_AT);
	expect_after(&g, CODE_AT + sizeof(code));
	destroy(&g);
}

/* flds from where no memory is: Linux's emulator does not know it. The kernel's own failure is an exit and #UD, or an exit alone. */
static void emulation_failure(enum softcvm_platform platform, int exit_instead)
{
	static const unsigned char code[] = {
		0xb8, 0x00, 0xf0, 0x8e, 0xd8, /* mov $0xf000, %ax; mov %ax, %ds */
		0xa1, 0x00, 0x00,	      /* mov 0, %ax */
		0xd9, 0x06, 0x00, 0x00, 0xf4, /* flds 0; hlt */
	};
	struct kvm_regs regs;
	struct guest g;

	create(&g, platform, code, sizeof(code));
	set_ud_handler(&g);
	assert_int_equal(enable_n(g.vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, exit_instead), 0);
	expect_mmio(&g, 0xf0000, 2, 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(g.run->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
	assert_int_equal(g.run->emulation_failure.flags, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	assert_int_equal(g.run->emulation_failure.ndata, 8);
	assert_int_equal(g.run->emulation_failure.insn_size, 15);
	assert_memory_equal(g.run->emulation_failure.insn_bytes, code + 8, 5);
	assert_int_equal(g.run->internal.data[3], platform == SOFTCVM_PLATFORM_AMD ? 0x400 : 49 /* EPT misconfiguration */);
	regs = regs_of(&g);
	assert_int_equal(regs.rip, CODE_AT + 8);
	if (exit_instead) {
		regs.rip += 4;
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_REGS, &regs), 0);
	}
	expect_after(&g, exit_instead ? CODE_AT + sizeof(code) : 0x2001);
	destroy(&g);
}

static void test_emulation_failure(void **state)
{
	emulation_failure(SOFTCVM_PLATFORM_INTEL, 0);
	emulation_failure(SOFTCVM_PLATFORM_AMD, 0);
	emulation_failure(SOFTCVM_PLATFORM_INTEL, 1);
	emulation_failure(SOFTCVM_PLATFORM_AMD, 1);
}

/* Old guests set bits 3, 6 and 8, which stay zero. */
static void test_hwcr(void **state)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { { .nmsrs = 1 }, { .index = 0xc0010015 } };
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_AMD, halt, sizeof(halt));
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_MSRS, &msr), 1);
	assert_int_equal(msr.entry.data, 0);
	msr.entry.data = 1u << 3 | 1u << 6 | 1u << 8 | 1u << 24;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_MSRS, &msr), 1);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_MSRS, &msr), 1);
	assert_int_equal(msr.entry.data, 1u << 24);
	msr.entry.data = 1;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_MSRS, &msr), 0);
	destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boot_cpu_id),
		cmocka_unit_test(test_max_vcpu_id),
		cmocka_unit_test(test_disable_exits),
		cmocka_unit_test(test_hypercall_insn),
		cmocka_unit_test(test_mwait),
		cmocka_unit_test(test_own_mwait),
		cmocka_unit_test(test_emulation_failure),
		cmocka_unit_test(test_hwcr),
	};

	return cmocka_run_group_tests_name("kvm/enable_cap", tests, NULL, NULL);
}
