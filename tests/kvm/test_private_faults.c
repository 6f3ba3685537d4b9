// SPDX-License-Identifier: Apache-2.0
/*
 * The decision table: what was claimed, what the attribute says, and what slot there is (api.rst KVM_EXIT_MEMORY_FAULT,
 * KVM_MEM_GUEST_MEMFD). The VM type for tests reaches the rows in which hardware makes the claim.
 */
#include "private_guest.h"

#include <stdlib.h>

enum slot { NO_SLOT, SLOT_U, SLOT_G, SLOT_M };
enum outcome { NOT_REACHED, MMIO, HVA, GMEM, FAULT_SHARED, FAULT_PRIVATE };

static const char *const outcomes[] = { "not reached", "MMIO", "HVA", "GMEM", "fault (shared)", "fault (private)" };

struct cell {
	uint64_t claim, attribute;
	enum slot slot;
	enum outcome type0, type1, hardware, variant; /* variant: no slot is MMIO */
};

static const struct cell cells[] = {
	{ S, S, NO_SLOT, MMIO, MMIO, MMIO, MMIO },
	{ S, S, SLOT_U, HVA, HVA, HVA, HVA },
	{ S, S, SLOT_G, HVA, HVA, HVA, HVA },
	{ S, S, SLOT_M, GMEM, GMEM, GMEM, GMEM },
	{ S, P, NO_SLOT, NOT_REACHED, NOT_REACHED, FAULT_SHARED, MMIO },
	{ S, P, SLOT_U, NOT_REACHED, NOT_REACHED, FAULT_SHARED, FAULT_SHARED },
	{ S, P, SLOT_G, NOT_REACHED, NOT_REACHED, FAULT_SHARED, FAULT_SHARED },
	{ S, P, SLOT_M, NOT_REACHED, NOT_REACHED, FAULT_SHARED, FAULT_SHARED },
	{ P, S, NO_SLOT, NOT_REACHED, NOT_REACHED, FAULT_PRIVATE, MMIO },
	{ P, S, SLOT_U, NOT_REACHED, NOT_REACHED, FAULT_PRIVATE, FAULT_PRIVATE },
	{ P, S, SLOT_G, NOT_REACHED, NOT_REACHED, FAULT_PRIVATE, FAULT_PRIVATE },
	{ P, S, SLOT_M, NOT_REACHED, NOT_REACHED, FAULT_PRIVATE, FAULT_PRIVATE },
	{ P, P, NO_SLOT, NOT_REACHED, FAULT_PRIVATE, FAULT_PRIVATE, MMIO },
	{ P, P, SLOT_U, NOT_REACHED, FAULT_PRIVATE, FAULT_PRIVATE, FAULT_PRIVATE },
	{ P, P, SLOT_G, NOT_REACHED, GMEM, GMEM, GMEM },
	{ P, P, SLOT_M, NOT_REACHED, GMEM, GMEM, GMEM },
};

struct setting {
	const char *name;
	struct softcvm_config config;
	unsigned long type;
	bool hardware;
	enum outcome (*expected)(const struct cell *cell);
};

static enum outcome of_type0(const struct cell *c) { return c->type0; }
static enum outcome of_type1(const struct cell *c) { return c->type1; }
static enum outcome of_hardware(const struct cell *c) { return c->hardware; }
static enum outcome of_variant(const struct cell *c) { return c->variant; }

#define INTEL SOFTCVM_PLATFORM_INTEL
#define AMD   SOFTCVM_PLATFORM_AMD

static const struct setting settings[] = {
	{ "default, intel", { .platform = INTEL }, KVM_X86_DEFAULT_VM, false, of_type0 },
	{ "default, amd", { .platform = AMD }, KVM_X86_DEFAULT_VM, false, of_type0 },
	{ "sw-protected, intel", { .platform = INTEL }, KVM_X86_SW_PROTECTED_VM, false, of_type1 },
	{ "sw-protected, amd", { .platform = AMD }, KVM_X86_SW_PROTECTED_VM, false, of_type1 },
	{ "sw-protected, variant", { .platform = AMD, .no_slot_is_mmio = true }, KVM_X86_SW_PROTECTED_VM, false, of_type1 },
	{ "claim, intel", { .platform = INTEL, .test_vm_types = true }, SOFTCVM_TEST_CLAIM_VM, true, of_hardware },
	{ "claim, amd", { .platform = AMD, .test_vm_types = true }, SOFTCVM_TEST_CLAIM_VM, true, of_hardware },
	{ "claim, variant", { .platform = AMD, .test_vm_types = true, .no_slot_is_mmio = true }, SOFTCVM_TEST_CLAIM_VM, true,
	  of_variant },
};

static enum outcome observe_outcome(struct guest *g, int result, const unsigned char *memory)
{
	if (result == -EFAULT && g->run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
		expect_memory_fault(g, result, WINDOW, g->run->memory_fault.flags & P);
		return g->run->memory_fault.flags ? FAULT_PRIVATE : FAULT_SHARED;
	}
	assert_int_equal(result, 0);
	if (g->run->exit_reason == KVM_EXIT_MMIO) {
		assert_int_equal(g->run->mmio.phys_addr, WINDOW);
		return MMIO;
	}
	assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
	return memory[0] == 0x77 ? HVA : GMEM;
}

static void drive(const struct setting *s, const struct cell *cell, bool write)
{
	const uint32_t flags = cell->slot == SLOT_U ? 0 : KVM_MEM_GUEST_MEMFD;
	unsigned char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	enum outcome found;
	struct guest g;
	int fd;

	create_type(&g, &s->config, s->type);
	fd = memfd(&g, PAGE, cell->slot == SLOT_M ? GUEST_MEMFD_FLAG_MMAP : 0);
	if (cell->slot != NO_SLOT)
		assert_int_equal(set_region2(&g, 1, flags, WINDOW, PAGE, memory, fd, 0), 0);
	if (cell->attribute)
		assert_int_equal(set_attributes(&g, WINDOW, PAGE, P), 0);
	memory[0] = write ? 0 : 0x77;
	found = observe_outcome(&g, guest_access(&g, cell->claim && s->hardware ? CLAIMED(WINDOW) : WINDOW, write, 0x77), memory);
	/* A read that came from the client's page has its value. */
	if (!write && (found == HVA || found == GMEM))
		found = (unsigned char)regs_of(&g).rax == 0x77 ? HVA : GMEM;
	if (found != s->expected(cell))
		fail_msg("%s, claim %d, attribute %d, slot %d: %s", s->name, (int)cell->claim, (int)cell->attribute, cell->slot,
			 outcomes[found]);
	softcvm_close(fd);
	destroy(&g);
	munmap(memory, PAGE);
}

static void test_decision_table(void **state)
{
	for (unsigned int i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		for (unsigned int k = 0; k < sizeof(cells) / sizeof(cells[0]); k++)
			for (int write = 0; write < 2; write++)
				if (settings[i].expected(&cells[k]) != NOT_REACHED)
					drive(&settings[i], &cells[k], write);
}

/* ---------------------------------------------------------------- around the table */

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

/* What is remembered as MMIO stays MMIO until the slots change; then the claim, which was never private, disagrees. */
static void test_stale_mmio_entry(void **state)
{
	struct guest g;

	create_type(&g, &amd, KVM_X86_SW_PROTECTED_VM);
	for (int i = 0; i < 2; i++) {
		prepare_access(&g, WINDOW, false, 0);
		expect_mmio(&g, WINDOW, 1, 0);
		assert_int_equal(run(&g), 0);
		assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
		assert_int_equal(set_attributes(&g, WINDOW, PAGE, P), 0);
	}
	assert_int_equal(set_region(&g, 1, 0, 0x40000, RAM_SIZE, g.ram), 0);
	expect_memory_fault(&g, guest_access(&g, WINDOW, false, 0), WINDOW, 0);
	destroy(&g);
}

static void test_readonly(void **state)
{
	struct guest g;

	create_type(&g, &amd, KVM_X86_SW_PROTECTED_VM);
	assert_int_equal(set_region(&g, 1, KVM_MEM_READONLY, WINDOW, PAGE, g.ram), 0);
	prepare_access(&g, WINDOW, true, 0x5a);
	expect_mmio(&g, WINDOW, 1, 1);
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
		cmocka_unit_test(test_decision_table),
		cmocka_unit_test(test_closed_memfd),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_stale_mmio_entry),
		cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_hypercall),
		cmocka_unit_test(test_host_access),
	};

	return cmocka_run_group_tests_name("kvm/private_faults", tests, NULL, NULL);
}
