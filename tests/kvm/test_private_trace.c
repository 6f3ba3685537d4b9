// SPDX-License-Identifier: Apache-2.0
/* What the trace says of private memory: the steps of a decision, levels, warnings, accesses of kvm's own. */
#include "kvm/kvm.h"
#include "private_guest.h"
#include "recorder.h"

#include <stdlib.h>
#include <unistd.h>

#define AT   0x40000000ull
#define MEGA 0x100000ull

static void create_traced(struct guest *g, struct recorder *r, enum softcvm_platform platform, unsigned long type)
{
	struct softcvm_config config = { .platform = platform, .test_vm_types = true };

	recorder_start(r, &config);
	create_type(g, &config, type);
}

static void destroy_traced(struct guest *g, struct recorder *r)
{
	destroy(g);
	recorder_stop(r);
}

static void inject(struct guest *g, uint64_t bits)
{
	struct kvm_object *object = kvm_fd_get(g->vcpu);

	hw_cpu_inject_fault_bits(((struct kvm_vcpu *)object)->cpu, bits, 1);
	kvm_object_put(object);
}

/* ---------------------------------------------------------------- what hardware must not send */

static const struct {
	unsigned long type;
	uint64_t bits;
	unsigned int warnings;
} collisions[] = {
	{ KVM_X86_DEFAULT_VM, PFERR_PRIVATE_ACCESS, 1 },
	{ KVM_X86_DEFAULT_VM, PFERR_IMPLICIT_ACCESS, 1 },
	{ KVM_X86_DEFAULT_VM, PFERR_SYNTHETIC_MASK, 1 },
	{ KVM_X86_DEFAULT_VM, HW_PFERR_GUEST_ENC, 1 },
	{ KVM_X86_SW_PROTECTED_VM, PFERR_PRIVATE_ACCESS, 1 },
	{ KVM_X86_SW_PROTECTED_VM, HW_PFERR_GUEST_ENC, 1 },
	{ SOFTCVM_TEST_CLAIM_VM, PFERR_PRIVATE_ACCESS, 1 },
	{ KVM_X86_DEFAULT_VM, PFERR_PRIVATE_ACCESS | HW_PFERR_GUEST_ENC, 2 },
};

/* Reported once, cleared, and the guest goes on as if nothing had been. */
static void test_collisions(void **state)
{
	for (unsigned int i = 0; i < sizeof(collisions) / sizeof(collisions[0]); i++) {
		unsigned char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct recorder r;
		struct guest g;

		create_traced(&g, &r, SOFTCVM_PLATFORM_AMD, collisions[i].type);
		assert_int_equal(set_region(&g, 1, 0, WINDOW, 2 * PAGE, memory), 0);
		memory[0] = memory[PAGE] = 0x42;
		guest_load(&g, 0x5000);
		for (unsigned int k = 0; k < 2; k++) {
			inject(&g, collisions[i].bits);
			assert_int_equal(guest_load(&g, WINDOW + k * PAGE), 0x42);
		}
		assert_int_equal(r.count[OBSERVE_KVM_WARN_ONCE], collisions[i].warnings);
		assert_int_equal(r.count[OBSERVE_KVM_MEMORY_FAULT], 0);
		destroy_traced(&g, &r);
		munmap(memory, 2 * PAGE);
	}
}

/* An EPT violation's code is made from the qualification, so nothing can collide. */
static void test_no_collision_on_intel(void **state)
{
	struct recorder r;
	struct guest g;

	create_traced(&g, &r, SOFTCVM_PLATFORM_INTEL, KVM_X86_DEFAULT_VM);
	inject(&g, PFERR_SYNTHETIC_MASK);
	guest_load(&g, 0x5000);
	assert_int_equal(r.count[OBSERVE_KVM_WARN_ONCE], 0);
	destroy_traced(&g, &r);
}

/* ---------------------------------------------------------------- levels */

struct span {
	uint64_t start, size;
};

static const struct {
	const char *what;
	uint64_t flags, fault;
	struct span private[2];
	unsigned int level;
	enum observe_rule rule;
} levels[] = {
	{ "all shared", KVM_MEM_GUEST_MEMFD, AT, {}, HW_LEVEL_1G, OBSERVE_RULE_LEVEL_MAX },
	{ "logged", KVM_MEM_LOG_DIRTY_PAGES, AT, {}, HW_LEVEL_4K, OBSERVE_RULE_LEVEL_LOGGED },
	{ "a private page in another 2M page", KVM_MEM_GUEST_MEMFD, AT, { { AT + 4 * MEGA, PAGE } }, HW_LEVEL_2M, OBSERVE_RULE_LEVEL_MIXED },
	{ "a private page in the same 2M page", KVM_MEM_GUEST_MEMFD, AT, { { AT + MEGA, PAGE } }, HW_LEVEL_4K, OBSERVE_RULE_LEVEL_MIXED },
	{ "the neighbouring 2M page is private", KVM_MEM_GUEST_MEMFD, AT + 2 * MEGA, { { AT, 2 * MEGA } }, HW_LEVEL_2M, OBSERVE_RULE_LEVEL_MIXED },
	{ "private, all of it", KVM_MEM_GUEST_MEMFD, AT, { { AT, 1024 * MEGA } }, HW_LEVEL_4K, OBSERVE_RULE_LEVEL_GMEM },
	{ "mixed, and shared again", KVM_MEM_GUEST_MEMFD, AT, { { AT + MEGA, PAGE }, { ~0ull, 0 } }, HW_LEVEL_1G, OBSERVE_RULE_LEVEL_MAX },
};

static void test_levels(void **state)
{
	const uint64_t size = 1024 * MEGA;
	unsigned char *all = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned char *memory = all + (size - (uintptr_t)all % size) % size;

	for (unsigned int i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		struct kvm_pre_fault_memory range = { .gpa = levels[i].fault, .size = PAGE };
		struct recorder r;
		struct guest g;
		int fd;

		create_traced(&g, &r, SOFTCVM_PLATFORM_INTEL, KVM_X86_SW_PROTECTED_VM);
		fd = memfd(&g, size, 0);
		assert_int_equal(set_region2(&g, 1, levels[i].flags, AT, size, memory, fd, 0), 0);
		for (unsigned int k = 0; k < 2; k++) {
			const struct span *s = &levels[i].private[k];

			if (s->size)
				assert_int_equal(set_attributes(&g, s->start, s->size, P), 0);
			else if (s->start)
				assert_int_equal(set_attributes(&g, AT, size, S), 0);
		}
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_PRE_FAULT_MEMORY, &range), 0);
		if (r.last[OBSERVE_KVM_TDP_MAP].arg[1] != levels[i].level)
			fail_msg("%s: level %d", levels[i].what, (int)r.last[OBSERVE_KVM_TDP_MAP].arg[1]);
		if (observe_rule_of(&r.last[OBSERVE_KVM_FAULT_LEVEL]) != levels[i].rule)
			fail_msg("%s: %s", levels[i].what, observe_rule_text(observe_rule_of(&r.last[OBSERVE_KVM_FAULT_LEVEL]))->name);
		softcvm_close(fd);
		destroy_traced(&g, &r);
	}
	munmap(all, 2 * size);
}

/* ---------------------------------------------------------------- steps and changes */

static void test_steps(void **state)
{
	struct recorder r;
	struct guest g;
	int fd;

	create_traced(&g, &r, SOFTCVM_PLATFORM_AMD, KVM_X86_SW_PROTECTED_VM);
	fd = memfd(&g, 4 * PAGE, 0);
	assert_int_equal(set_region2(&g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, 4 * PAGE, NULL, fd, 0), 0);
	assert_int_equal(r.count[OBSERVE_KVM_GMEM_BIND], 1);
	assert_int_equal(set_attributes(&g, WINDOW, 2 * PAGE, P), 0);
	assert_int_equal(set_attributes(&g, WINDOW, PAGE, P), 0);
	/* The second changed nothing. */
	assert_int_equal(r.count[OBSERVE_KVM_SET_ATTRIBUTES], 1);
	assert_int_equal(r.last[OBSERVE_KVM_SET_ATTRIBUTES].arg[1], WINDOW / PAGE + 2);
	guest_store(&g, WINDOW + PAGE, 1);
	assert_true(r.last[OBSERVE_KVM_PAGE_FAULT].arg[3] & PFERR_PRIVATE_ACCESS);
	assert_int_equal(r.last[OBSERVE_KVM_FAULT_CLAIM].arg[0], WINDOW / PAGE + 1);
	assert_int_equal(observe_rule_of(&r.last[OBSERVE_KVM_FAULT_CLAIM]), OBSERVE_RULE_FAULT_CLAIM_ATTRIBUTES);
	assert_int_equal(observe_rule_of(&r.last[OBSERVE_KVM_FAULT_ATTRIBUTE]), OBSERVE_RULE_FAULT_MATCH);
	assert_int_equal(r.last[OBSERVE_KVM_FAULT_SLOT].arg[1], 1);
	assert_int_equal(observe_rule_of(&r.last[OBSERVE_KVM_FAULT_DONE]), OBSERVE_RULE_FAULT_MAPPED);
	assert_int_equal(r.count[OBSERVE_KVM_GMEM_ALLOCATE], 1);
	assert_int_equal(r.last[OBSERVE_KVM_GMEM_ALLOCATE].arg[1], 1);
	assert_int_equal(punch(fd, PAGE, PAGE), 0);
	assert_int_equal(r.count[OBSERVE_KVM_GMEM_PUNCH], 1);
	assert_int_equal(r.last[OBSERVE_KVM_TDP_ZAP].arg[0], WINDOW / PAGE + 1);
	guest_load(&g, WINDOW + PAGE);
	assert_int_equal(r.count[OBSERVE_KVM_GMEM_ALLOCATE], 2);
	softcvm_close(fd);
	assert_int_equal(guest_access(&g, WINDOW, true, 0), -EFAULT);
	assert_int_equal(r.count[OBSERVE_KVM_MEMORY_FAULT], 1);
	assert_int_equal(r.last[OBSERVE_KVM_MEMORY_FAULT].arg[0], WINDOW);
	assert_int_equal(observe_rule_of(&r.last[OBSERVE_KVM_FAULT_DONE]), OBSERVE_RULE_FAULT_NO_GMEM);
	destroy_traced(&g, &r);
}

/* ---------------------------------------------------------------- what KVM itself reads and writes */

static void set_msr(struct guest *g, uint32_t index, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_MSRS, &msrs), 1);
}

/* PAE paging: the four entries at CR3 are read. */
static void load_pdptrs(struct guest *g, uint64_t cr3)
{
	struct kvm_sregs sregs, before;

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_SREGS, &before), 0);
	sregs = before;
	sregs.cr0 |= 0x80000001;
	sregs.cr4 |= 0x20;
	sregs.cr3 = cr3;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_SREGS, &before), 0);
}

/* Of an address in the first 4M, by 32-bit paging with its directory at `gpa`. */
static bool translate(struct guest *g, uint64_t gpa)
{
	struct kvm_translation tr = { .linear_address = 0x1000 };
	struct kvm_sregs sregs, before;

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_SREGS, &before), 0);
	sregs = before;
	sregs.cr0 |= 0x80000001;
	sregs.cr4 |= 0x10;
	sregs.cr3 = gpa;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_TRANSLATE, &tr), 0);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_SREGS, &before), 0);
	return tr.valid;
}

/* KVM_HC_CLOCK_PAIRING to `gpa`; what the guest is told. */
static int pair_clocks(struct guest *g, uint64_t gpa)
{
	static const unsigned char vmmcall[] = { 0x0f, 0x01, 0xd9, 0xf4 };
	struct kvm_regs regs = { .rip = CODE_AT, .rflags = 2, .rax = KVM_HC_CLOCK_PAIRING, .rbx = gpa };

	memcpy(g->ram + CODE_AT, vmmcall, sizeof(vmmcall));
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_REGS, &regs), 0);
	assert_int_equal(run(g), 0);
	return (int)regs_of(g).rax;
}

static void expect_host(const struct recorder *r, unsigned int count, unsigned int write, uint64_t gpa, uint64_t size)
{
	const struct observe_record *last = &r->last[OBSERVE_KVM_HOST_ACCESS];

	assert_int_equal(r->count[OBSERVE_KVM_HOST_ACCESS], count);
	assert_int_equal(last->arg[0], write);
	assert_int_equal(last->arg[1], gpa);
	assert_int_equal(last->arg[2], size);
}

/*
 * Every path goes to the client's side of the slot, whatever the attribute says; where that is not what the guest sees, the trace
 * has it, reads and writes. Each address is one that only its path uses.
 */
static void test_host_accesses(void **state)
{
	unsigned char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct recorder r;
	struct guest g;
	int fd;

	create_traced(&g, &r, SOFTCVM_PLATFORM_AMD, KVM_X86_SW_PROTECTED_VM);
	fd = memfd(&g, 4 * PAGE, 0);
	assert_int_equal(set_region2(&g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, 4 * PAGE, memory, fd, 0), 0);
	/* While all is shared there is nothing to say. */
	set_msr(&g, 0x4b564d00, WINDOW);
	set_msr(&g, 0x4b564d01, (WINDOW + PAGE) | 1);
	guest_load(&g, 0x5000);
	load_pdptrs(&g, WINDOW + 2 * PAGE);
	assert_int_equal(pair_clocks(&g, WINDOW + 3 * PAGE), 0);
	assert_int_equal(r.count[OBSERVE_KVM_HOST_ACCESS], 0);
	set_msr(&g, 0x4b564d01, 0);
	assert_int_equal(set_attributes(&g, WINDOW, 4 * PAGE, P), 0);
	memset(memory, 0, 4 * PAGE);
	/* Wall clock: the version is read, then written, the whole, and the version again. */
	set_msr(&g, 0x4b564d00, WINDOW);
	expect_host(&r, 4, 1, WINDOW, 4);
	assert_int_equal(memory[0], 2);
	/* kvmclock: version, the rest, version. */
	set_msr(&g, 0x4b564d01, (WINDOW + PAGE) | 1);
	assert_int_equal(guest_load(&g, WINDOW + PAGE), 0);
	expect_host(&r, 7, 1, WINDOW + PAGE, 4);
	assert_int_not_equal(memory[PAGE], 0);
	set_msr(&g, 0x4b564d01, 0);
	load_pdptrs(&g, WINDOW + 2 * PAGE);
	expect_host(&r, 8, 0, WINDOW + 2 * PAGE, 32);
	assert_int_equal(pair_clocks(&g, WINDOW + 3 * PAGE), 0);
	expect_host(&r, 9, 1, WINDOW + 3 * PAGE, sizeof(struct kvm_clock_pairing));
	assert_int_not_equal(memory[3 * PAGE], 0);
	/* A page directory of the client's, which is not the guest's. */
	memcpy(memory + 2 * PAGE, &(uint32_t){ 0x83 }, 4);
	assert_true(translate(&g, WINDOW + 2 * PAGE));
	expect_host(&r, 10, 0, WINDOW + 2 * PAGE, 4);
	/* The guest sees none of it. */
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(guest_load(&g, WINDOW + i * PAGE), 0);
	assert_int_equal(r.count[OBSERVE_KVM_HOST_ACCESS], 10);
	softcvm_close(fd);
	destroy_traced(&g, &r);
	munmap(memory, 4 * PAGE);
}

/* Steal time is read and written before each entry, and when KVM_RUN returns; how often does not matter. */
static void test_steal_time(void **state)
{
	unsigned char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct observe_record *last;
	struct kvm_steal_time *steal = (void *)memory;
	struct recorder r;
	struct guest g;
	int fd;

	if (access("/proc/thread-self/schedstat", R_OK))
		skip();
	create_traced(&g, &r, SOFTCVM_PLATFORM_AMD, KVM_X86_SW_PROTECTED_VM);
	fd = memfd(&g, PAGE, 0);
	assert_int_equal(set_region2(&g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, PAGE, memory, fd, 0), 0);
	assert_int_equal(set_attributes(&g, WINDOW, PAGE, P), 0);
	set_msr(&g, 0x4b564d03, WINDOW | 1);
	for (unsigned int at = 0; at < sizeof(*steal); at++)
		assert_int_equal(guest_load(&g, WINDOW + at), 0);
	assert_int_not_equal(steal->version, 0);
	assert_int_equal(steal->version & 1, 0);
	last = &r.last[OBSERVE_KVM_HOST_ACCESS];
	assert_true(r.count[OBSERVE_KVM_HOST_ACCESS] >= 3);
	assert_in_range(last->arg[1], WINDOW, WINDOW + sizeof(*steal) - 1);
	softcvm_close(fd);
	destroy_traced(&g, &r);
	munmap(memory, PAGE);
}

/* Where the client has nothing mapped they fail, each as the guest can tell or not. */
static void test_host_accesses_without_memory(void **state)
{
	struct recorder r;
	struct guest g;
	int fd;

	create_traced(&g, &r, SOFTCVM_PLATFORM_AMD, KVM_X86_SW_PROTECTED_VM);
	fd = memfd(&g, 4 * PAGE, 0);
	assert_int_equal(set_region2(&g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, 4 * PAGE, NULL, fd, 0), 0);
	assert_int_equal(set_attributes(&g, WINDOW, 4 * PAGE, P), 0);
	set_msr(&g, 0x4b564d00, WINDOW);
	set_msr(&g, 0x4b564d01, (WINDOW + PAGE) | 1);
	assert_int_equal(guest_load(&g, WINDOW + PAGE), 0);
	load_pdptrs(&g, WINDOW + 2 * PAGE);
	assert_int_equal(pair_clocks(&g, WINDOW + 3 * PAGE), -EFAULT);
	assert_false(translate(&g, WINDOW + 2 * PAGE));
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(guest_load(&g, WINDOW + i * PAGE), 0);
	softcvm_close(fd);
	destroy_traced(&g, &r);
}

/* ---------------------------------------------------------------- the variant that was rejected, beside the rule */

#define NOWHERE 0x30000

/* The last fault of a guest that touches an address without a slot, as the trace has it. */
static void access_nothing(struct recorder *r, bool variant, uint64_t address, uint64_t attributes, int result, uint32_t reason)
{
	struct softcvm_config config = { .platform = SOFTCVM_PLATFORM_AMD, .test_vm_types = true, .no_slot_is_mmio = variant };
	struct guest g;

	recorder_start(r, &config);
	create_type(&g, &config, SOFTCVM_TEST_CLAIM_VM);
	assert_int_equal(set_attributes(&g, NOWHERE, PAGE, attributes), 0);
	assert_int_equal(guest_access(&g, address, false, 0), result);
	assert_int_equal(g.run->exit_reason, reason);
	destroy_traced(&g, r);
}

static const struct {
	bool private_claim;
	uint64_t attributes;
	enum observe_rule merged; /* of its exit: MMIO if it is shared without a slot, else a memory fault */
} variants[] = {
	{ true, S, OBSERVE_RULE_FAULT_MISMATCH },
	{ true, P, OBSERVE_RULE_FAULT_NO_SLOT_PRIVATE },
	{ false, P, OBSERVE_RULE_FAULT_MISMATCH },
	{ false, S, OBSERVE_RULE_FAULT_NO_SLOT_SHARED },
};

/* The two traces agree as far as the claim, and part where the rule is applied. */
static void test_variant(void **state)
{
	for (unsigned int i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		uint64_t address = variants[i].private_claim ? CLAIMED(NOWHERE) : NOWHERE;
		bool mmio = variants[i].merged == OBSERVE_RULE_FAULT_NO_SLOT_SHARED;
		static const enum observe_event alike[] = { OBSERVE_HW_CLAIM, OBSERVE_KVM_PAGE_FAULT, OBSERVE_KVM_FAULT_CLAIM };
		struct recorder merged, variant;

		access_nothing(&merged, false, address, variants[i].attributes, mmio ? 0 : -EFAULT, mmio ? KVM_EXIT_MMIO : KVM_EXIT_MEMORY_FAULT);
		access_nothing(&variant, true, address, variants[i].attributes, 0, KVM_EXIT_MMIO);
		for (unsigned int e = 0; e < sizeof(alike) / sizeof(alike[0]); e++)
			assert_memory_equal(merged.last[alike[e]].arg, variant.last[alike[e]].arg, sizeof(merged.last[0].arg));
		assert_int_equal(merged.last[OBSERVE_KVM_FAULT_DONE].arg[2], variants[i].merged);
		assert_int_equal(variant.last[OBSERVE_KVM_FAULT_DONE].arg[2], OBSERVE_RULE_FAULT_NO_SLOT_IS_MMIO);
		assert_int_equal(variant.last[OBSERVE_KVM_FAULT_DONE].arg[1], OBSERVE_PF_EMULATE);
		assert_int_equal(merged.count[OBSERVE_KVM_MEMORY_FAULT], !mmio);
		assert_int_equal(variant.count[OBSERVE_KVM_MEMORY_FAULT], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_collisions),
		cmocka_unit_test(test_no_collision_on_intel),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_variant),
		cmocka_unit_test(test_host_accesses),
		cmocka_unit_test(test_steal_time),
		cmocka_unit_test(test_host_accesses_without_memory),
	};

	return cmocka_run_group_tests_name("kvm/private_trace", tests, NULL, NULL);
}
