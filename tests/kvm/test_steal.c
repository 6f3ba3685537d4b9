// SPDX-License-Identifier: Apache-2.0
/* Steal time: the page in guest memory, from inside and from outside (msr.rst MSR_KVM_STEAL_TIME). */
#include "guest.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE_AT 0x7000

static int set_msr(struct guest *g, uint64_t data)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { { .nmsrs = 1 }, { .index = MSR_KVM_STEAL_TIME, .data = data } };

	return softcvm_ioctl(g->vcpu, KVM_SET_MSRS, &msr);
}

/* What the host's scheduler says this thread has waited. */
static uint64_t run_delay(void)
{
	unsigned long long on_cpu, waited = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llu %llu", &on_cpu, &waited), 2);
	fclose(f);
	return waited;
}

/* out of the "preempted" byte, for ever */
static const unsigned char code[] = {
	0xa0, 0x10, 0x70, /* mov 0x7010, %al */
	0xe6, 0x10,	  /* out %al, $0x10 */
	0xeb, 0xf9,	  /* jmp */
};

static unsigned int preempted_inside(struct guest *g)
{
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_IO);
	return *((unsigned char *)g->run + g->run->io.data_offset);
}

static void test_steal_time(void **state)
{
	struct kvm_steal_time *page;
	uint64_t first, waited;
	struct guest g;

	if (access("/proc/thread-self/schedstat", R_OK))
		skip();
	create(&g, SOFTCVM_PLATFORM_AMD, code, sizeof(code));
	page = (struct kvm_steal_time *)(g.ram + PAGE_AT);
	page->version = 1;
	assert_int_equal(set_msr(&g, PAGE_AT | 1 | 0x3e), 0);
	assert_int_equal(set_msr(&g, PAGE_AT), 1);
	assert_int_equal(preempted_inside(&g), 0);
	assert_int_equal(page->version, 1);

	assert_int_equal(set_msr(&g, PAGE_AT | 1), 1);
	first = run_delay();
	assert_int_equal(preempted_inside(&g), 0);
	assert_true(page->version >= 4 && !(page->version & 1));
	assert_int_equal(page->preempted, KVM_VCPU_PREEMPTED);
	/* Whoever waits meanwhile or not: no more is counted than the scheduler does. */
	for (unsigned int i = 0; i < 100; i++) {
		sched_yield();
		assert_int_equal(preempted_inside(&g), 0);
		waited = run_delay();
		assert_true(page->steal <= waited - first);
		assert_int_equal(page->version & 1, 0);
		assert_int_equal(page->preempted, KVM_VCPU_PREEMPTED);
	}
	destroy(&g);
}

/* The host's time does not reach a guest on virtual time. */
static void test_virtual_time(void **state)
{
	const struct softcvm_config config = { .platform = SOFTCVM_PLATFORM_AMD, .icount = true };
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	int system = softcvm_open(&config);

	cpuid->nent = 256;
	assert_int_equal(softcvm_ioctl(system, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == KVM_CPUID_FEATURES)
			assert_int_equal(cpuid->entries[i].eax >> KVM_FEATURE_STEAL_TIME & 1, 0);
	free(cpuid);
	softcvm_close(system);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steal_time),
		cmocka_unit_test(test_virtual_time),
	};

	return cmocka_run_group_tests_name("kvm/steal", tests, NULL, NULL);
}
