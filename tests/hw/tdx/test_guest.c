// SPDX-License-Identifier: Apache-2.0
/* What a TD finds: its initial state, CPUID, MSRs, control registers, #VE. */
#include "host.h"

static void boots(void **state)
{
	struct host *h = host_boot(host_open());
	struct shared *s = host_shared(h, 0);

	s->gpr[HW_RAX] = 5;
	run(h, 0x48, 0xff, 0xc0); /* inc %rax */
	assert_true(s->vector == NO_EXCEPTION);
	assert_int_equal(s->gpr[HW_RAX], 6);
	host_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
