// SPDX-License-Identifier: Apache-2.0
/* Memory of a TD as KVM moves it: added, accepted, converted, pre-faulted, taken away; and what is MMIO. */
#include "td.h"

static void start(struct td *td)
{
	td_build(td, 1);
	td_start(td, 0);
}

/* A store and a load at a linear address; what the load found. */
static uint64_t store_and_load(struct td *td, uint64_t linear, uint64_t value)
{
	struct shared *s = td_shared(td, 0);

	s->gpr[RDI] = linear;
	s->gpr[RAX] = value;
	td_do(td, 0, STORE);
	s->gpr[RAX] = 0;
	td_do(td, 0, LOAD);
	return s->gpr[RAX];
}

static uint64_t load(struct td *td, uint64_t linear)
{
	struct shared *s = td_shared(td, 0);

	s->gpr[RDI] = linear;
	s->gpr[RAX] = ~0ull;
	td_do(td, 0, LOAD);
	return s->gpr[RAX];
}

static uint64_t accept(struct td *td, uint64_t gpa) { return td_tdcall(td, TDG_MEM_PAGE_ACCEPT, gpa, 0, 0); }

/* Not there before the guest accepts it; zeros then, and the guest's own. */
static void accepted_memory(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(accept(&td, FREE_GPA), 0);
	assert_int_equal(load(&td, FREE_GPA), 0);
	assert_int_equal(store_and_load(&td, FREE_GPA + 8, 0x1234567887654321), 0x1234567887654321);
	/* The client's memory behind the slot is the other side of the page. */
	assert_int_equal(*(uint64_t *)(td.ram + FREE_GPA + 8), 0);
	assert_int_equal(accept(&td, FREE_GPA) & ~0xffffffffull, 0x00000b0a00000000); /* PAGE_ALREADY_ACCEPTED */
	td_close(&td);
}

/* 2M cannot be accepted where KVM maps single pages. */
static void accept_level(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(accept(&td, 1), 0xc0000b0b00000001); /* PAGE_SIZE_MISMATCH */
	td_close(&td);
}

/* A TD that may be told of pages that it has not accepted is told. */
static void unaccepted_is_ve(void **state)
{
	struct td td;

	start(&td);
	load(&td, FREE_GPA);
	assert_int_equal(td_shared(&td, 0)->vector, 20);
	assert_int_equal(td_shared(&td, 0)->ve_reason, 48);
	assert_int_equal(td_shared(&td, 0)->ve_gpa, FREE_GPA);
	td_close(&td);
}

/* One that may not is dead: KVM cannot give it anything that it would accept. */
static void unaccepted_is_fatal(void **state)
{
	struct td td;

	td_open(&td);
	td.attributes = 1ull << 28; /* SEPT_VE_DISABLE */
	assert_int_equal(td_init_vm(&td), 0);
	assert_int_equal(td_add_vcpu(&td), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VCPU, 0, NULL), 0);
	td_load(&td);
	assert_int_equal(td_command(td.vm, KVM_TDX_FINALIZE_VM, 0, NULL), 0);
	td_start(&td, 0);
	td_shared(&td, 0)->gpr[RDI] = FREE_GPA;
	assert_int_equal(td_begin(&td, 0, LOAD), -EIO);
	assert_int_equal(td_run(&td, 0), -EIO);
	assert_int_equal(softcvm_ioctl(td.vm, KVM_CHECK_EXTENSION, NULL), -EIO);
	td_close(&td);
}

/* Converted to shared and back: each side's contents stay away from the other, the private ones are gone. */
static void conversion(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(accept(&td, FREE_GPA), 0);
	assert_int_equal(store_and_load(&td, FREE_GPA, 111), 111);
	assert_int_equal(td_set_attributes(&td, FREE_GPA, PAGE, 0), 0);
	assert_int_equal(store_and_load(&td, LINEAR(FREE_GPA), 222), 222);
	assert_int_equal(*(uint64_t *)(td.ram + FREE_GPA), 222);
	assert_int_equal(td_set_attributes(&td, FREE_GPA, PAGE, P), 0);
	assert_int_equal(accept(&td, FREE_GPA), 0);
	assert_int_equal(load(&td, FREE_GPA), 0);
	td_close(&td);
}

/* The attribute says otherwise: the guest's access is an exit, which the conversion ends. */
static void mismatch_is_a_memory_fault(void **state)
{
	struct td td;

	start(&td);
	td_shared(&td, 0)->gpr[RDI] = LINEAR(FREE_GPA) + 0x18;
	td_shared(&td, 0)->gpr[RAX] = 5;
	assert_int_equal(td_begin(&td, 0, STORE), -EFAULT);
	assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(td.run[0]->memory_fault.gpa, FREE_GPA);
	assert_int_equal(td.run[0]->memory_fault.size, PAGE);
	assert_int_equal(td.run[0]->memory_fault.flags, 0);
	assert_int_equal(td_set_attributes(&td, FREE_GPA, PAGE, 0), 0);
	td_expect_ready(&td, 0, td_run(&td, 0));
	assert_int_equal(*(uint64_t *)(td.ram + FREE_GPA + 0x18), 5);

	td_shared(&td, 0)->gpr[RAX] = TDG_MEM_PAGE_ACCEPT;
	td_shared(&td, 0)->gpr[RCX] = FREE_GPA;
	assert_int_equal(td_begin(&td, 0, CODE(TDCALL)), -EFAULT);
	assert_int_equal(td.run[0]->memory_fault.gpa, FREE_GPA);
	assert_int_equal(td.run[0]->memory_fault.flags, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	assert_int_equal(td_set_attributes(&td, FREE_GPA, PAGE, P), 0);
	td_expect_ready(&td, 0, td_run(&td, 0));
	assert_int_equal(td_shared(&td, 0)->gpr[RAX], 0);
	td_close(&td);
}

/* A hole in the guest_memfd takes the page with it: the guest has to accept another. */
static void punched_page(void **state)
{
	struct td td;

	start(&td);
	assert_int_equal(accept(&td, FREE_GPA), 0);
	assert_int_equal(store_and_load(&td, FREE_GPA, 7), 7);
	assert_int_equal(softcvm_fallocate(td.gmem, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FREE_GPA, PAGE), 0);
	load(&td, FREE_GPA);
	assert_int_equal(td_shared(&td, 0)->vector, 20);
	assert_int_equal(accept(&td, FREE_GPA), 0);
	assert_int_equal(load(&td, FREE_GPA), 0);
	td_close(&td);
}

/* Shared memory without a slot is the guest's #VE, which it turns into an MMIO call; a slot there is memory again. */
static void mmio_is_ve(void **state)
{
	void *more = td_map(MEMORY);
	struct td td;

	start(&td);
	load(&td, LINEAR(HOLE_GPA) + 0x44);
	assert_int_equal(td_shared(&td, 0)->vector, 20);
	assert_int_equal(td_shared(&td, 0)->ve_reason, 48);
	assert_int_equal(td_shared(&td, 0)->ve_gpa, SHARED_BIT | (HOLE_GPA + 0x44));
	assert_int_equal(td_slot(&td, 2, MEMORY, MEMORY, more, -1), 0);
	assert_int_equal(store_and_load(&td, LINEAR(HOLE_GPA) + 0x48, 9), 9);
	assert_int_equal(td_slot(&td, 2, MEMORY, 0, more, -1), 0);
	load(&td, LINEAR(HOLE_GPA) + 0x48);
	assert_int_equal(td_shared(&td, 0)->vector, 20);
	td_close(&td);
	munmap(more, MEMORY);
}

/* A private access without a slot is an exit, whatever the attribute says. */
static void private_access_without_a_slot(void **state)
{
	struct td td;

	start(&td);
	for (unsigned int attribute = 0; attribute < 2; attribute++) {
		assert_int_equal(td_set_attributes(&td, HOLE_GPA, PAGE, attribute ? P : 0), 0);
		td_shared(&td, 0)->gpr[RDI] = HOLE_GPA;
		assert_int_equal(attribute ? td_run(&td, 0) : td_begin(&td, 0, LOAD), -EFAULT);
		assert_int_equal(td.run[0]->exit_reason, KVM_EXIT_MEMORY_FAULT);
		assert_int_equal(td.run[0]->memory_fault.gpa, HOLE_GPA);
		assert_int_equal(td.run[0]->memory_fault.flags, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	}
	td_close(&td);
}

static int prefault(struct td *td, uint64_t gpa, uint64_t size)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size };

	return softcvm_ioctl(td->vcpu[0], KVM_PRE_FAULT_MEMORY, &range);
}

struct mrtd {
	uint8_t b[48];
};

/* Of the TD's own report: 528 bytes into it (TDX ABI TDREPORT_STRUCT). */
static struct mrtd mrtd_of(struct td *td)
{
	struct mrtd mrtd;

	assert_int_equal(td_tdcall(td, TDG_MR_REPORT, SHARED_BIT | (SHARED_GPA + 2 * PAGE), SHARED_BIT | (SHARED_GPA + PAGE), 0), 0);
	memcpy(&mrtd, td->ram + SHARED_GPA + 2 * PAGE + 528, sizeof(mrtd));
	return mrtd;
}

/* A mapping alone: it measures nothing, and what it maps is still the guest's to accept. */
static void prefault_only_maps(void **state)
{
	struct td with, without;
	struct mrtd a, b;

	td_open(&with);
	assert_int_equal(td_init_vm(&with), 0);
	assert_int_equal(td_add_vcpu(&with), 0);
	assert_int_equal(td_command(with.vcpu[0], KVM_TDX_INIT_VCPU, 0, NULL), 0);
	assert_int_equal(prefault(&with, FREE_GPA, PAGE), -EOPNOTSUPP);
	td_load(&with);
	assert_int_equal(td_command(with.vm, KVM_TDX_FINALIZE_VM, 0, NULL), 0);
	assert_int_equal(prefault(&with, FREE_GPA, 16 * PAGE), 0);
	assert_int_equal(prefault(&with, SHARED_BIT | FREE_GPA, PAGE), -EINVAL);
	td_start(&with, 0);
	start(&without);
	a = mrtd_of(&with);
	b = mrtd_of(&without);
	assert_memory_equal(&a, &b, sizeof(a));
	load(&with, FREE_GPA);
	assert_int_equal(td_shared(&with, 0)->vector, 20);
	assert_int_equal(accept(&with, FREE_GPA), 0);
	assert_int_equal(prefault(&with, FREE_GPA, PAGE), 0);
	td_close(&with);
	td_close(&without);
}

/* MRTD is what the ABI says of the pages in the order in which they were added, with the contents of those that are measured. */
static void measurement(void **state)
{
	uint8_t *unmeasured = td_map(PAGE);
	struct tdx_digest expected;
	struct mrtd found;
	struct td td;

	memcpy(unmeasured, "\1\2\3", 3);
	td_open(&td);
	assert_int_equal(tdx_mr_create(&td.mr), 0);
	assert_int_equal(td_init_vm(&td), 0);
	assert_int_equal(td_add_vcpu(&td), 0);
	assert_int_equal(td_command(td.vcpu[0], KVM_TDX_INIT_VCPU, 0, NULL), 0);
	td_load(&td);
	assert_int_equal(td_add(&td, FREE_GPA, unmeasured, 1, 0), 0);
	assert_int_equal(td_command(td.vm, KVM_TDX_FINALIZE_VM, 0, NULL), 0);
	assert_int_equal(tdx_mr_finalize(td.mr, &expected), 0);
	tdx_mr_destroy(td.mr);
	td_start(&td, 0);
	assert_int_equal(load(&td, FREE_GPA), 0x030201);
	found = mrtd_of(&td);
	assert_memory_equal(&found, &expected, sizeof(found));
	td_close(&td);
	munmap(unmeasured, PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted_memory), cmocka_unit_test(accept_level), cmocka_unit_test(unaccepted_is_ve),
		cmocka_unit_test(unaccepted_is_fatal), cmocka_unit_test(conversion), cmocka_unit_test(mismatch_is_a_memory_fault),
		cmocka_unit_test(punched_page), cmocka_unit_test(mmio_is_ve), cmocka_unit_test(private_access_without_a_slot),
		cmocka_unit_test(prefault_only_maps), cmocka_unit_test(measurement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
