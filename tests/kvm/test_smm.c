// SPDX-License-Identifier: Apache-2.0
/* System management mode: in by an SMI, out by RSM, memory of its own, state as the handler leaves it (APM2 ch. 10). */
#include "guest.h"

#include <stdlib.h>

#define SMBASE	   0x30000
#define SMRAM_SIZE 0x10000
#define HANDLER	   0x8000
#define SMRAM_SLOT (1u << 16)

/* out %al, $0x10; out %al, $0x11; hlt */
static const unsigned char code[] = { 0xe6, 0x10, 0xe6, 0x11, 0xf4 };
/* mov $0x77, %al; out %al, $0x20; rsm */
static const unsigned char handler[] = { 0xb0, 0x77, 0xe6, 0x20, 0x0f, 0xaa };

struct smm_guest {
	struct guest g;
	unsigned char *smram;
};

static void use_cpuid(struct guest *g)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	cpuid->nent = 256;
	assert_int_equal(softcvm_ioctl(g->system, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_CPUID2, cpuid), 0);
	free(cpuid);
}

static void smm_create(struct smm_guest *s, enum softcvm_platform platform, bool long_mode)
{
	create(&s->g, platform, code, sizeof(code));
	if (long_mode)
		use_cpuid(&s->g);
	s->smram = mmap(NULL, SMRAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(s->smram, MAP_FAILED);
	memcpy(s->smram + HANDLER, handler, sizeof(handler));
	assert_int_equal(set_region(&s->g, SMRAM_SLOT, 0, SMBASE, SMRAM_SIZE, s->smram), 0);
}

static void smm_destroy(struct smm_guest *s)
{
	munmap(s->smram, SMRAM_SIZE);
	destroy(&s->g);
}

static struct kvm_vcpu_events events_of(struct guest *g)
{
	struct kvm_vcpu_events events;

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_VCPU_EVENTS, &events), 0);
	return events;
}

static void expect_port(struct guest *g, unsigned int port, unsigned char data, bool smm)
{
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(g->run->io.port, port);
	assert_int_equal(*((unsigned char *)g->run + g->run->io.data_offset), data);
	assert_int_equal(g->run->flags & KVM_RUN_X86_SMM, smm ? KVM_RUN_X86_SMM : 0);
	assert_int_equal(events_of(g).smi.smm, smm);
	assert_int_equal(events_of(g).nmi.masked, smm);
}

static uint64_t msr(struct guest *g, uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { { .nmsrs = 1 }, { .index = index } };

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_MSRS, &m), 1);
	return m.entry.data;
}

static void smi(enum softcvm_platform platform, bool long_mode)
{
	struct kvm_sregs before, inside, after;
	struct smm_guest s;
	struct guest *g = &s.g;
	struct kvm_regs regs;
	uint64_t rip = 0;

	smm_create(&s, platform, long_mode);
	regs = regs_of(g);
	regs.rax = 0x1234;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_REGS, &regs), 0);
	assert_int_equal(msr(g, 0x9e), SMBASE);
	expect_port(g, 0x10, 0x34, false);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_SREGS, &before), 0);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SMI, NULL), 0);
	assert_int_equal(events_of(g).smi.pending, 1);

	expect_port(g, 0x20, 0x77, true);
	assert_int_equal(events_of(g).smi.pending, 0);
	assert_int_equal(msr(g, 0x34), 1);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_SREGS, &inside), 0);
	assert_int_equal(inside.cs.base, SMBASE);
	assert_int_equal(inside.cs.selector, SMBASE >> 4);
	assert_int_equal(inside.ds.limit, ~0u);
	assert_int_equal(inside.cr4, 0);
	memcpy(&rip, s.smram + (long_mode ? 0xff78 : 0xfff0), long_mode ? 8 : 4);
	assert_int_equal(rip, CODE_AT + 2);
	/* The handler may change what it returns to; another SMI waits for its end. */
	s.smram[long_mode ? 0xfff8 : 0xffd0] = 0x56;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SMI, NULL), 0);

	expect_port(g, 0x20, 0x77, true);
	assert_int_equal(msr(g, 0x34), 2);
	expect_port(g, 0x11, 0x56, false);
	assert_int_equal(regs_of(g).rax, 0x1256);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_SREGS, &after), 0);
	assert_memory_equal(&after, &before, sizeof(before));
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
	smm_destroy(&s);
}

static void test_smi(void **state)
{
	smi(SOFTCVM_PLATFORM_INTEL, true);
	smi(SOFTCVM_PLATFORM_INTEL, false);
	smi(SOFTCVM_PLATFORM_AMD, true);
	smi(SOFTCVM_PLATFORM_AMD, false);
}

/* User space as the guest's debugger keeps SMIs back (api.rst KVM_GUESTDBG_BLOCKIRQ). */
static void test_blocked(void **state)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ };
	struct smm_guest s;
	struct guest *g = &s.g;

	smm_create(&s, SOFTCVM_PLATFORM_AMD, true);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_GUEST_DEBUG, &debug), 0);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SMI, NULL), 0);
	expect_port(g, 0x10, 0, false);
	assert_int_equal(events_of(g).smi.pending, 1);
	debug.control = 0;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_GUEST_DEBUG, &debug), 0);
	expect_port(g, 0x20, 0x77, true);
	expect_port(g, 0x11, 0, false);
	smm_destroy(&s);
}

/* Saved inside the handler, restored into another vCPU. */
static void test_saved_inside(void **state)
{
	struct smm_guest s;
	struct guest *g = &s.g;
	struct kvm_vcpu_events events;

	smm_create(&s, SOFTCVM_PLATFORM_AMD, true);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SMI, NULL), 0);
	expect_port(g, 0x20, 0x77, true);
	events = events_of(g);
	/* out and in again, by user space */
	events.smi.smm = 0;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_VCPU_EVENTS, &events), 0);
	assert_int_equal(events_of(g).smi.smm, 0);
	events.smi.smm = 1;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_VCPU_EVENTS, &events), 0);
	expect_port(g, 0x10, 0, false);
	smm_destroy(&s);
}

/* A state that no processor could have is a shutdown. */
static void test_bad_state(void **state)
{
	struct smm_guest s;
	struct guest *g = &s.g;

	smm_create(&s, SOFTCVM_PLATFORM_INTEL, true);
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SMI, NULL), 0);
	expect_port(g, 0x20, 0x77, true);
	memset(s.smram + 0xff48, 0xff, 8); /* CR4 */
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_SHUTDOWN);
	smm_destroy(&s);
}

static void test_no_smram(void **state)
{
	struct smm_guest s;

	smm_create(&s, SOFTCVM_PLATFORM_INTEL, true);
	assert_int_equal(set_region(&s.g, SMRAM_SLOT, 0, SMBASE, 0, s.smram), 0);
	assert_int_equal(softcvm_ioctl(s.g.vcpu, KVM_SMI, NULL), 0);
	assert_int_equal(run(&s.g), -EIO);
	smm_destroy(&s);
}

static void test_rsm_outside(void **state)
{
	static const unsigned char rsm[] = { 0x0f, 0xaa, 0xf4 };
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_AMD, rsm, sizeof(rsm));
	memcpy(g.ram + 6 * 4, "\x00\x20\x00\x00", 4);
	g.ram[0x2000] = 0xf4;
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rip, 0x2001);
	destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smi),	  cmocka_unit_test(test_blocked),
		cmocka_unit_test(test_saved_inside), cmocka_unit_test(test_bad_state),
		cmocka_unit_test(test_no_smram), cmocka_unit_test(test_rsm_outside),
	};

	return cmocka_run_group_tests_name("kvm/smm", tests, NULL, NULL);
}
