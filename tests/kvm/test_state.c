// SPDX-License-Identifier: Apache-2.0
/* State as the API shows it: what VMMs read and write back when they start, save and restore a vCPU. */
#include "guest.h"

#include <stdlib.h>

static const unsigned char halt[] = { 0xf4 };

static struct kvm_cpuid2 *supported_cpuid(struct guest *g)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	/* As QEMU does: small, and twice as many on E2BIG. */
	for (uint32_t n = 1; n <= 256; n *= 2) {
		int result;

		cpuid->nent = n;
		result = softcvm_ioctl(g->system, KVM_GET_SUPPORTED_CPUID, cpuid);
		if (!result)
			break;
		assert_int_equal(result, -E2BIG);
	}
	assert_true(cpuid->nent > 10);
	return cpuid;
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	return NULL;
}

static void use_supported_cpuid(struct guest *g)
{
	struct kvm_cpuid2 *cpuid = supported_cpuid(g);

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_CPUID2, cpuid), 0);
	free(cpuid);
}

static void cpuid(enum softcvm_platform platform)
{
	static const unsigned char code[] = { 0x66, 0x0f, 0xa2, 0xf4 }; /* cpuid; hlt */
	struct kvm_cpuid2 *supported, *own = calloc(1, sizeof(*own) + 256 * sizeof(own->entries[0]));
	struct kvm_cpuid_entry2 *e;
	struct kvm_regs regs;
	struct guest g;

	create(&g, platform, code, sizeof(code));
	supported = supported_cpuid(&g);
	e = find(supported, KVM_CPUID_SIGNATURE, 0);
	assert_non_null(e);
	assert_memory_equal(&e->ebx, "KVMK", 4);
	assert_memory_equal(&e->ecx, "VMKV", 4);
	assert_true(find(supported, 1, 0)->ecx >> 31);
	assert_int_equal(find(supported, 1, 0)->ecx >> 27 & 1, 0);
	find(supported, 1, 0)->ebx = 0x12345678;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_CPUID2, supported), 0);
	own->nent = supported->nent - 1;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_CPUID2, own), -E2BIG);
	own->nent = 256;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_CPUID2, own), 0);
	assert_int_equal(own->nent, supported->nent);
	assert_int_equal(find(own, 1, 0)->ebx, 0x12345678);
	regs = regs_of(&g);
	regs.rax = 1;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_REGS, &regs), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(regs_of(&g).rbx, 0x12345678);
	/* It cannot change once the vCPU has run. */
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_CPUID2, supported), 0);
	find(supported, 1, 0)->ebx = 0;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_CPUID2, supported), -EINVAL);
	free(supported);
	free(own);
	destroy(&g);
}

static void test_cpuid(void **state)
{
	cpuid(SOFTCVM_PLATFORM_INTEL);
	cpuid(SOFTCVM_PLATFORM_AMD);
}

/* QEMU gives up on a short count: everything that is listed can be read, and what was read can be written. */
static void listed_msrs(enum softcvm_platform platform)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 256 * 4);
	struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + 256 * sizeof(msrs->entries[0]));
	struct guest g;

	create_with(&g, platform, halt, sizeof(halt), IRQCHIP_FULL);
	use_supported_cpuid(&g);
	assert_int_equal(softcvm_ioctl(g.system, KVM_GET_MSR_INDEX_LIST, list), -E2BIG);
	assert_true(list->nmsrs > 20 && list->nmsrs < 256);
	assert_int_equal(softcvm_ioctl(g.system, KVM_GET_MSR_INDEX_LIST, list), 0);
	msrs->nmsrs = list->nmsrs;
	for (uint32_t i = 0; i < list->nmsrs; i++)
		msrs->entries[i].index = list->indices[i];
	for (uint32_t i = 0; i < list->nmsrs; i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} one = { .head.nmsrs = 1, .entry.index = list->indices[i] };

		if (softcvm_ioctl(g.vcpu, KVM_GET_MSRS, &one) != 1)
			fail_msg("MSR %#x is listed but cannot be read", list->indices[i]);
		if (softcvm_ioctl(g.vcpu, KVM_SET_MSRS, &one) != 1)
			fail_msg("MSR %#x is listed but cannot be written", list->indices[i]);
	}
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_MSRS, msrs), list->nmsrs);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_MSRS, msrs), list->nmsrs);
	/* The first that fails ends the list. */
	msrs->entries[1].index = 0x12345;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_MSRS, msrs), 1);
	list->nmsrs = 256;
	assert_int_equal(softcvm_ioctl(g.system, KVM_GET_MSR_FEATURE_INDEX_LIST, list), 0);
	msrs->nmsrs = list->nmsrs;
	for (uint32_t i = 0; i < list->nmsrs; i++)
		msrs->entries[i].index = list->indices[i];
	assert_int_equal(softcvm_ioctl(g.system, KVM_GET_MSRS, msrs), list->nmsrs);
	free(list);
	free(msrs);
	destroy(&g);
}

static void test_listed_msrs(void **state)
{
	listed_msrs(SOFTCVM_PLATFORM_INTEL);
	listed_msrs(SOFTCVM_PLATFORM_AMD);
}

/* rdmsr of what nobody knows: #GP, or an exit if user space asked for it. */
static void test_unknown_msr(void **state)
{
	static const unsigned char code[] = {
		0x66, 0xb9, 0x45, 0x23, 0x01, 0x00, /* mov ecx, 0x12345 */
		0x0f, 0x32, 0xf4,		    /* rdmsr; hlt */
	};
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_UNKNOWN } };
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_AMD, code, sizeof(code));
	memcpy(g.ram + 13 * 4, "\x00\x30\x00\x00", 4);
	g.ram[0x3000] = 0xf4;
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rip, 0x3001);
	start_at(&g, CODE_AT);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_ENABLE_CAP, &cap), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_X86_RDMSR);
	assert_int_equal(g.run->msr.index, 0x12345);
	assert_int_equal(g.run->msr.reason, KVM_MSR_EXIT_REASON_UNKNOWN);
	g.run->msr.data = 0x1122334455667788ull;
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rax, 0x55667788);
	assert_int_equal(regs_of(&g).rdx, 0x11223344);
	destroy(&g);
}

static void test_msr_filter(void **state)
{
	static const unsigned char code[] = { 0x66, 0xb9, 0x8b, 0, 0, 0, 0x0f, 0x32, 0xf4 }; /* rdmsr 0x8b; hlt */
	static uint8_t none[1];
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_FILTER } };
	struct kvm_msr_filter filter = { .ranges = { { KVM_MSR_FILTER_READ, 1, 0x8b, none } } };
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	assert_int_equal(softcvm_ioctl(g.vm, KVM_ENABLE_CAP, &cap), 0);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_X86_SET_MSR_FILTER, &filter), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_X86_RDMSR);
	assert_int_equal(g.run->msr.reason, KVM_MSR_EXIT_REASON_FILTER);
	g.run->msr.error = 1;
	memcpy(g.ram + 13 * 4, "\x00\x30\x00\x00", 4);
	g.ram[0x3000] = 0xf4;
	assert_int_equal(run(&g), 0);
	assert_int_equal(regs_of(&g).rip, 0x3001);
	filter.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	memset(filter.ranges, 0, sizeof(filter.ranges));
	assert_int_equal(softcvm_ioctl(g.vm, KVM_X86_SET_MSR_FILTER, &filter), -EINVAL);
	destroy(&g);
}

/* The filter reaches what the processor serves by itself, as soon as it is set and until it is replaced. */
static void filter_of_processor_msr(enum softcvm_platform platform)
{
	static const unsigned char code[] = {
		0x66, 0xb9, 0x82, 0x00, 0x00, 0xc0, /* mov $LSTAR, %ecx */
		0x0f, 0x30, 0x0f, 0x32, 0xf4,	    /* wrmsr; rdmsr; hlt */
	};
	static uint8_t none[1];
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_FILTER } };
	struct kvm_msr_filter filter = { .ranges = { { KVM_MSR_FILTER_WRITE, 1, 0xc0000082, none } } };
	struct guest g;

	create(&g, platform, code, sizeof(code));
	assert_int_equal(softcvm_ioctl(g.vm, KVM_ENABLE_CAP, &cap), 0);
	for (unsigned int round = 0; round < 3; round++) {
		start_at(&g, CODE_AT);
		assert_int_equal(softcvm_ioctl(g.vm, KVM_X86_SET_MSR_FILTER, &filter), 0);
		assert_int_equal(run(&g), 0);
		if (round < 2) {
			assert_int_equal(g.run->exit_reason, round ? KVM_EXIT_X86_RDMSR : KVM_EXIT_X86_WRMSR);
			assert_int_equal(g.run->msr.index, 0xc0000082);
			assert_int_equal(run(&g), 0);
		}
		assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
		filter.ranges[0].flags = KVM_MSR_FILTER_READ;
		if (round)
			memset(&filter, 0, sizeof(filter));
	}
	destroy(&g);
}

static void test_filter_of_processor_msr(void **state)
{
	filter_of_processor_msr(SOFTCVM_PLATFORM_INTEL);
	filter_of_processor_msr(SOFTCVM_PLATFORM_AMD);
}

static void test_xsave(void **state)
{
	struct kvm_xsave xsave, again;
	struct kvm_fpu fpu;
	struct kvm_xcrs xcrs;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, halt, sizeof(halt));
	use_supported_cpuid(&g);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_XSAVE, &xsave), 0);
	assert_int_equal(xsave.region[0] & 0xffff, 0x37f);
	assert_int_equal(xsave.region[6], 0x1f80);
	assert_int_equal(xsave.region[128], 3);
	xsave.region[160 / 4] = 0xdeadbeef; /* xmm0 */
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_XSAVE, &xsave), 0);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_XSAVE, &again), 0);
	assert_memory_equal(&xsave, &again, sizeof(xsave));
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_FPU, &fpu), 0);
	assert_int_equal(fpu.fcw, 0x37f);
	assert_memory_equal(fpu.xmm[0], "\xef\xbe\xad\xde", 4);
	/* A clear XSTATE_BV bit means the component's initial state. */
	xsave.region[128] = 1;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_XSAVE, &xsave), 0);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_XSAVE, &again), 0);
	assert_int_equal(again.region[160 / 4], 0);
	xsave.region[128] = 1u << 30;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_XSAVE, &xsave), -EINVAL);
	xsave.region[128] = 3;
	xsave.region[6] = 0x12345678;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_XSAVE, &xsave), -EINVAL);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_XCRS, &xcrs), 0);
	assert_int_equal(xcrs.nr_xcrs, 1);
	assert_int_equal(xcrs.xcrs[0].value, 1);
	xcrs.xcrs[0].value = 3;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_XCRS, &xcrs), 0);
	xcrs.xcrs[0].value = 2;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_XCRS, &xcrs), -EINVAL);
	destroy(&g);
}

static void test_sregs(void **state)
{
	struct kvm_sregs sregs, again;
	struct kvm_sregs2 sregs2;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, halt, sizeof(halt));
	use_supported_cpuid(&g);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_SREGS, &again), 0);
	assert_memory_equal(&sregs, &again, sizeof(sregs));
	assert_int_equal(sregs.apic_base & 0x900, 0x900);
	again.cr0 = 1u << 31; /* paging without protection */
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_SREGS, &again), -EINVAL);
	again = sregs;
	again.cr4 = 1u << 13; /* VMXE */
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_SREGS, &again), -EINVAL);
	again = sregs;
	again.efer = 1u << 10;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_SREGS, &again), -EINVAL);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_SREGS2, &sregs2), 0);
	assert_int_equal(sregs2.flags, 0);
	sregs2.flags = 1;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_SREGS2, &sregs2), -EINVAL);
	sregs2.flags = 0;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_SREGS2, &sregs2), 0);
	destroy(&g);
}

static void test_events(void **state)
{
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, halt, sizeof(halt));
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_VCPU_EVENTS, &events), 0);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_VCPU_EVENTS, &events), 0);
	events.flags |= 1u << 20;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_VCPU_EVENTS, &events), -EINVAL);
	events.flags = 0;
	events.exception.injected = 1;
	events.exception.nr = 32;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_VCPU_EVENTS, &events), -EINVAL);
	/* An injected exception is delivered before anything else runs. */
	memcpy(g.ram + 6 * 4, "\x00\x30\x00\x00", 4);
	g.ram[0x3000] = 0xf4;
	events.exception.nr = 6;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_VCPU_EVENTS, &events), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rip, 0x3001);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_DEBUGREGS, &debug), 0);
	assert_int_equal(debug.dr6, 0xffff0ff0);
	assert_int_equal(debug.dr7, 0x400);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_DEBUGREGS, &debug), 0);
	debug.dr7 = 1ull << 32;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_DEBUGREGS, &debug), -EINVAL);
	destroy(&g);
}

static void test_translate(void **state)
{
	struct kvm_translation tr = { .linear_address = 0x1234 };
	struct kvm_sregs sregs;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, halt, sizeof(halt));
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_TRANSLATE, &tr), 0);
	assert_int_equal(tr.valid, 1);
	assert_int_equal(tr.physical_address, 0x1234);
	/* With paging, before the guest has run: KVM reads the tables where the client has them. */
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cr0 |= 0x80000001;
	sregs.cr3 = 0x2000;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_SREGS, &sregs), 0);
	((uint32_t *)(g.ram + 0x2000))[1] = 0x3000 | 1;
	((uint32_t *)(g.ram + 0x3000))[2] = 0x5000 | 1;
	tr = (struct kvm_translation){ .linear_address = 0x00402345 };
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_TRANSLATE, &tr), 0);
	assert_int_equal(tr.valid, 1);
	assert_int_equal(tr.physical_address, 0x5345);
	tr = (struct kvm_translation){ .linear_address = 0x00403345 };
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_TRANSLATE, &tr), 0);
	assert_int_equal(tr.valid, 0);
	destroy(&g);
}

/* Writes into a zone wait in the ring, which every vCPU's mapping shows. */
static void test_coalesced(void **state)
{
	static const unsigned char code[] = {
		0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xb0, 0x11, /* ds: base 0x20000; mov al, 0x11 */
		0xa2, 0x00, 0x00, 0xa2, 0x10, 0x00, 0xf4, /* mov [0], al; mov [0x10], al; hlt */
	};
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x20000, .size = 8 };
	struct kvm_coalesced_mmio_ring *ring;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	assert_int_equal(softcvm_ioctl(g.vm, KVM_REGISTER_COALESCED_MMIO, &zone), 0);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_COALESCED_MMIO), 2);
	ring = (void *)((char *)g.run + 2 * 4096);
	expect_mmio(&g, 0x20010, 1, 1);
	assert_int_equal(ring->last, 1);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, 0x20000);
	assert_int_equal(ring->coalesced_mmio[0].data[0], 0x11);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_UNREGISTER_COALESCED_MMIO, &zone), 0);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_UNREGISTER_COALESCED_MMIO, &zone), 0);
	start_at(&g, CODE_AT);
	expect_mmio(&g, 0x20000, 1, 1);
	destroy(&g);
}

static void hypercall(enum softcvm_platform platform, const unsigned char insn[3])
{
	unsigned char code[] = { 0, 0, 0, 0xf4 };
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXIT_HYPERCALL, .args = { 1 << KVM_HC_MAP_GPA_RANGE } };
	struct kvm_regs regs;
	struct guest g;

	memcpy(code, insn, 3);
	create(&g, platform, code, sizeof(code));
	regs = regs_of(&g);
	regs.rax = KVM_HC_MAP_GPA_RANGE;
	regs.rbx = 0x20000;
	regs.rcx = 1;
	regs.rdx = 0x10;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_REGS, &regs), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rax, (uint32_t)-KVM_ENOSYS);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_ENABLE_CAP, &cap), 0);
	regs.rip = CODE_AT;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_REGS, &regs), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HYPERCALL);
	assert_int_equal(g.run->hypercall.args[0], 0x20000);
	assert_int_equal(g.run->hypercall.args[2], 0x10);
	assert_int_equal(regs_of(&g).rip, CODE_AT);
	g.run->hypercall.ret = -22;
	assert_int_equal(run(&g), 0);
	assert_int_equal(regs_of(&g).rax, 0xffffffea);
	destroy(&g);
}

static void test_hypercall(void **state)
{
	hypercall(SOFTCVM_PLATFORM_INTEL, (const unsigned char[]){ 0x0f, 0x01, 0xc1 });
	hypercall(SOFTCVM_PLATFORM_AMD, (const unsigned char[]){ 0x0f, 0x01, 0xd9 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpuid),
		cmocka_unit_test(test_listed_msrs),
		cmocka_unit_test(test_unknown_msr),
		cmocka_unit_test(test_msr_filter),
		cmocka_unit_test(test_filter_of_processor_msr),
		cmocka_unit_test(test_xsave),
		cmocka_unit_test(test_sregs),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_translate),
		cmocka_unit_test(test_coalesced),
		cmocka_unit_test(test_hypercall),
	};

	return cmocka_run_group_tests_name("kvm/state", tests, NULL, NULL);
}
