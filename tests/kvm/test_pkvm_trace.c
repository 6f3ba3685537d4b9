// SPDX-License-Identifier: Apache-2.0
/* What the trace says of ownership: each operation with what came of it, refusals, KVM's own accesses. */
#include "pkvm_guest.h"
#include "recorder.h"

#define GFN(n) (AT(n) / PAGE)

/* kvm_page_ownership was said so often, and last of [first, end). */
static void expect_last(const struct recorder *r, unsigned int count, uint64_t first, uint64_t end, enum observe_page_op operation,
			enum observe_page_state state, int error)
{
	const struct observe_record *last = &r->last[OBSERVE_KVM_PAGE_OWNERSHIP];

	assert_int_equal(r->count[OBSERVE_KVM_PAGE_OWNERSHIP], count);
	assert_int_equal(last->arg[0], first);
	assert_int_equal(last->arg[1], end);
	assert_int_equal(last->arg[2], operation);
	assert_int_equal(last->arg[3], state);
	assert_int_equal((int)last->arg[4], error);
}

static void set_msr(struct pkvm_guest *p, uint32_t index, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };

	assert_int_equal(softcvm_ioctl(p->g.vcpu, KVM_SET_MSRS, &msrs), 1);
}

static void test_operations(void **state)
{
	struct softcvm_config config = { .platform = SOFTCVM_PLATFORM_AMD, .pkvm = true };
	struct pkvm_guest p = { 0 };
	struct recorder r;

	recorder_start(&r, &config);
	pkvm_create_window(&p, &config);
	/* The page of the code, then the one that is touched: mapped from where it was donated, as one page. */
	pkvm_store(&p, AT(0), 1);
	expect_last(&r, 2, GFN(0), GFN(1), OBSERVE_PAGE_DONATE, OBSERVE_PAGE_OWNED, 0);
	assert_int_equal(r.last[OBSERVE_KVM_TDP_MAP].arg[0], GFN(0));
	assert_int_equal(r.last[OBSERVE_KVM_TDP_MAP].arg[1], 1);
	assert_int_equal(r.last[OBSERVE_KVM_TDP_MAP].arg[3], OBSERVE_BACKING_DONATED);
	assert_int_equal(r.last[OBSERVE_KVM_TDP_MAP].arg[4], (uintptr_t)p.memory);
	assert_int_equal(observe_rule_of(&r.last[OBSERVE_KVM_TDP_MAP]), OBSERVE_RULE_FAULT_OWNED);
	pkvm_store(&p, AT(0), 2);
	assert_int_equal(r.count[OBSERVE_KVM_PAGE_OWNERSHIP], 2);
	pkvm_store(&p, AT(1), 2);
	assert_int_equal(pkvm_share(&p, AT(0), 2 * PAGE), 0);
	expect_last(&r, 4, GFN(0), GFN(2), OBSERVE_PAGE_SHARE, OBSERVE_PAGE_SHARED_OWNED, 0);
	assert_int_equal(pkvm_unshare(&p, AT(1), PAGE), 0);
	expect_last(&r, 5, GFN(1), GFN(2), OBSERVE_PAGE_UNSHARE, OBSERVE_PAGE_OWNED, 0);
	assert_int_equal(pkvm_unshare(&p, AT(2), PAGE), -ENOENT);
	expect_last(&r, 6, GFN(2), GFN(3), OBSERVE_PAGE_UNSHARE, OBSERVE_PAGE_NOPAGE, -ENOENT);
	assert_int_equal(observe_rule_of(&r.last[OBSERVE_KVM_PAGE_OWNERSHIP]), OBSERVE_RULE_PAGE_REFUSED);
	/* In place: nothing was unmapped. */
	assert_int_equal(r.count[OBSERVE_KVM_TDP_ZAP], 0);
	destroy(&p.g);
	/* The window is the last slot. */
	expect_last(&r, 9, GFN(1), GFN(2), OBSERVE_PAGE_RECLAIM, OBSERVE_PAGE_NOPAGE, 0);
	recorder_stop(&r);
	munmap(p.memory, SIZE);
}

/* A copy fails, a mapping of the kernel's own takes the page; on shared pages there is nothing to tell. */
static void test_host_accesses(void **state)
{
	struct softcvm_config config = { .platform = SOFTCVM_PLATFORM_AMD, .pkvm = true };
	struct pkvm_guest p = { 0 };
	struct recorder r;

	recorder_start(&r, &config);
	pkvm_create_window(&p, &config);
	for (unsigned int i = 0; i < 2; i++)
		pkvm_store(&p, AT(i), 1);
	set_msr(&p, 0x4b564d00, AT(0));
	assert_int_equal(r.count[OBSERVE_KVM_HOST_ACCESS], 1);
	assert_int_equal(r.last[OBSERVE_KVM_HOST_ACCESS].arg[0], 0);
	assert_int_equal(r.last[OBSERVE_KVM_HOST_ACCESS].arg[1], AT(0));
	set_msr(&p, 0x4b564d01, AT(1) | 1);
	assert_int_equal(pkvm_load(&p, AT(0)), 1);
	expect_last(&r, 4, GFN(1), GFN(2), OBSERVE_PAGE_FORCE_RECLAIM, OBSERVE_PAGE_POISON, 0);
	assert_int_equal(r.last[OBSERVE_KVM_TDP_ZAP].arg[0], GFN(1));
	assert_int_equal(r.last[OBSERVE_KVM_TDP_ZAP].arg[2], OBSERVE_RULE_ZAP_RECLAIM);
	assert_int_equal(pkvm_try_store(&p, AT(1), 1), -EFAULT);
	assert_int_equal(r.last[OBSERVE_KVM_FAULT_DONE].arg[2], OBSERVE_RULE_FAULT_NOT_OWNED);
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), 0);
	set_msr(&p, 0x4b564d00, AT(0));
	assert_int_equal(r.count[OBSERVE_KVM_HOST_ACCESS], 1);
	pkvm_destroy(&p);
	recorder_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_host_accesses),
	};

	return cmocka_run_group_tests_name("kvm/pkvm_trace", tests, NULL, NULL);
}
