// SPDX-License-Identifier: Apache-2.0
/* Faults on private memory beside the decision table (test_decisions.c), and the hypercall that asks for a conversion. */
#include "private_guest.h"

#include <stdlib.h>

#define AMD   SOFTCVM_PLATFORM_AMD

static const struct softcvm_config amd = { .platform = AMD };
static const struct softcvm_config amd_test = { .platform = AMD, .test_vm_types = true };

static void test_closed_memfd(void **state)
{
	unsigned char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guest g;
	int fd;

	create_type(&g, &amd, KVM_X86_SW_PROTECTED_VM);
	fd = memfd(&g, PAGE, 0);
	memory[0] = 0x11;
	assert_int_equal(set_region2(&g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, PAGE, memory, fd, 0), 0);
	assert_int_equal(set_attributes(&g, WINDOW, PAGE, P), 0);
	guest_store(&g, WINDOW, 0x5a);
	softcvm_close(fd);
	expect_memory_fault(&g, guest_access(&g, WINDOW, false, 0), WINDOW, P);
	assert_int_equal(set_attributes(&g, WINDOW, PAGE, S), 0);
	assert_int_equal(guest_load(&g, WINDOW), 0x11);
	destroy(&g);
	munmap(memory, PAGE);
}

/* The code page becomes private without a memfd: the fetch exits, and goes on when it is shared again. */
static void test_fetch(void **state)
{
	struct guest g;

	create_type(&g, &amd, KVM_X86_SW_PROTECTED_VM);
	prepare_access(&g, 0x5000, false, 0);
	assert_int_equal(set_attributes(&g, CODE_AT, PAGE, P), 0);
	expect_memory_fault(&g, run(&g), CODE_AT, P);
	assert_int_equal(regs_of(&g).rip, CODE_AT);
	assert_int_equal(set_attributes(&g, CODE_AT, PAGE, S), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	destroy(&g);
}

/* A slot may not reach into addresses that carry the claim; 6.12 does not look. */
static void test_alias(void **state)
{
	struct softcvm_config old = amd_test;
	struct guest g;

	create_type(&g, &amd_test, SOFTCVM_TEST_CLAIM_VM);
	assert_int_equal(set_region(&g, 1, 0, CLAIMED(WINDOW), PAGE, g.ram), -EINVAL);
	destroy(&g);
	old.kvm_compat = SOFTCVM_KVM_6_12;
	create_type(&g, &old, SOFTCVM_TEST_CLAIM_VM);
	assert_int_equal(set_region(&g, 1, 0, CLAIMED(WINDOW), PAGE, g.ram), 0);
	destroy(&g);
}

/* ---------------------------------------------------------------- KVM_HC_MAP_GPA_RANGE */

static void prepare_hypercall(struct guest *g, uint64_t gpa, uint64_t pages, uint64_t attributes)
{
	static const unsigned char code[] = { 0x0f, 0x01, 0xd9, 0xf4 }; /* vmmcall; hlt */
	struct kvm_regs regs = {
		.rip = CODE_AT, .rflags = 2, .rsp = 0x8000, .rax = KVM_HC_MAP_GPA_RANGE, .rbx = gpa, .rcx = pages, .rdx = attributes,
	};

	prepare_access(g, 0, false, 0);
	memcpy(g->ram + CODE_AT, code, sizeof(code));
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_REGS, &regs), 0);
}

static void expect_answer(struct guest *g, uint32_t rax)
{
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(regs_of(g).rax, rax);
}

static void test_hypercall(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXIT_HYPERCALL, .args = { 1 << KVM_HC_MAP_GPA_RANGE } };
	struct guest g;

	create_type(&g, &amd, KVM_X86_SW_PROTECTED_VM);
	prepare_hypercall(&g, WINDOW, 1, 0x10);
	expect_answer(&g, (uint32_t)-1000);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_ENABLE_CAP, &cap), 0);
	prepare_hypercall(&g, WINDOW + 1, 1, 0);
	expect_answer(&g, (uint32_t)-22);
	prepare_hypercall(&g, WINDOW, 0, 0);
	expect_answer(&g, (uint32_t)-22);
	prepare_hypercall(&g, WINDOW, 2, 0xabcd0010);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HYPERCALL);
	assert_int_equal(g.run->hypercall.nr, KVM_HC_MAP_GPA_RANGE);
	assert_int_equal(g.run->hypercall.args[0], WINDOW);
	assert_int_equal(g.run->hypercall.args[1], 2);
	assert_int_equal(g.run->hypercall.args[2], 0xabcd0010);
	assert_int_equal(g.run->hypercall.ret, 0);
	assert_int_equal(g.run->hypercall.flags, 0);
	g.run->hypercall.ret = (uint64_t)-22;
	expect_answer(&g, (uint32_t)-22);
	destroy(&g);
}

/* ---------------------------------------------------------------- kvm itself */

static void test_host_access(void **state)
{
	unsigned char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + sizeof(struct kvm_msr_entry));
	struct guest g;
	int fd;

	create_type(&g, &amd, KVM_X86_SW_PROTECTED_VM);
	fd = memfd(&g, PAGE, 0);
	assert_int_equal(set_region2(&g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, PAGE, memory, fd, 0), 0);
	assert_int_equal(set_attributes(&g, WINDOW, PAGE, P), 0);
	/* The wall clock is written by kvm: into the client's page, which the guest does not see. */
	msrs->nmsrs = 1;
	msrs->entries[0].index = 0x4b564d00;
	msrs->entries[0].data = WINDOW;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_MSRS, msrs), 1);
	assert_int_not_equal(*(uint32_t *)memory, 0);
	assert_int_equal(guest_load(&g, WINDOW), 0);
	free(msrs);
	softcvm_close(fd);
	destroy(&g);
	munmap(memory, PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closed_memfd),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_hypercall),
		cmocka_unit_test(test_host_access),
	};

	return cmocka_run_group_tests_name("kvm/private_faults", tests, NULL, NULL);
}
