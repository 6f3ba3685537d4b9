// SPDX-License-Identifier: Apache-2.0
/*
 * An access of a TD to an address that has no slot, by the rule as merged and by the variant that was proposed and rejected
 * (linux-kernel, 26 February 2024): run both ways and the traces set side by side (docs/no-slot.md).
 *
 * With an argument, prints the events of each case.
 */
#include "td.h"

#include "observe/observe.h"

#define MEMORY_FAULT_EVENTS \
	"hw_ve,kvm_exit,kvm_page_fault,kvm_fault_claim,kvm_fault_attribute,kvm_fault_slot,kvm_page_fault_done,kvm_memory_fault,"       \
	"kvm_set_memory_attributes,kvm_mmio,kvm_userspace_exit,mark_mmio_spte"
#define BOUND 1000u /* faults without progress */

struct log {
	struct observe_sink sink;
	struct observer *observer;
	bool on;
	unsigned int faults, bound; /* at the bound, KVM_RUN is interrupted */
	enum observe_event event[32];
	unsigned int count;
};

static bool printing;

static void record(struct observe_sink *sink, const struct observe_record *rec)
{
	struct log *log = (struct log *)sink;
	char text[512];

	if (!log->on)
		return;
	if (rec->event == OBSERVE_KVM_PAGE_FAULT && ++log->faults == log->bound)
		softcvm_interrupt();
	if (log->count < sizeof(log->event) / sizeof(log->event[0])) {
		log->event[log->count++] = rec->event;
		if (printing) {
			observe_format(rec, text, sizeof(text));
			printf("    %s: %s\n", observe_event_name(rec->event), text);
		}
	}
}

static void keep(struct observe_sink *sink) {}

static bool happened(const struct log *log, enum observe_event event)
{
	for (unsigned int i = 0; i < log->count; i++)
		if (log->event[i] == event)
			return true;
	return false;
}

static void begin(struct td *td, struct log *log, bool variant, const char *what)
{
	struct softcvm_config config = { .platform = SOFTCVM_PLATFORM_INTEL, .no_slot_is_mmio = variant };
	struct observe_mask mask;
	const char *bad;

	*log = (struct log){ .sink = { .record = record, .close = keep } };
	assert_int_equal(observer_create(&log->observer), 0);
	assert_int_equal(observe_parse_mask(MEMORY_FAULT_EVENTS, &mask, &bad), 0);
	observer_attach(log->observer, &log->sink, &mask);
	config.observer = log->observer;
	td_open_config(td, &config);
	td_launch(td, 1);
	td_start(td, 0);
	/* The VMM has said that there is private memory, and has given none. */
	assert_int_equal(td_set_attributes(td, HOLE_GPA, PAGE, P), 0);
	if (printing)
		printf("%s, %s:\n", what, variant ? "--no-slot-is-mmio" : "as merged");
	/* The guest's page of work is shared memory too; its fault is no part of the story. */
	assert_int_equal(td_do(td, 0, CODE(0x90))->vector, NO_EXCEPTION);
	log->on = true;
}

static void end(struct td *td, struct log *log)
{
	log->on = false;
	td_close(td);
	observer_destroy(log->observer);
}

static void expect_memory_fault(struct td *td, int result, uint64_t flags)
{
	assert_int_equal(result, -EFAULT);
	assert_int_equal(td->run[0]->exit_reason, KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(td->run[0]->memory_fault.gpa, HOLE_GPA);
	assert_int_equal(td->run[0]->memory_fault.flags, flags);
}

static int load(struct td *td, uint64_t linear)
{
	td_shared(td, 0)->gpr[RDI] = linear;
	return td_begin(td, 0, LOAD);
}

/* The guest has #VE for its access to shared memory, and asks for the MMIO. */
static void expect_ve_and_mmio(struct td *td, int result)
{
	td_expect_ready(td, 0, result);
	assert_int_equal(td_shared(td, 0)->vector, 20);
	assert_int_equal(td_shared(td, 0)->ve_reason, 48);
	assert_int_equal(td_shared(td, 0)->ve_gpa & ~(PAGE - 1), HOLE_GPA | SHARED_BIT);
	assert_int_equal(vmcall(td, 0, 48, 8, 0, HOLE_GPA | SHARED_BIT, 0), 0);
	assert_int_equal(td->run[0]->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(td->run[0]->mmio.phys_addr, HOLE_GPA);
}

static void test_shared_as_merged(void **state)
{
	struct log log;
	struct td td;

	begin(&td, &log, false, "A shared read of an address without a slot, whose attribute says private");
	expect_memory_fault(&td, load(&td, LINEAR(HOLE_GPA)), 0);
	assert_int_equal(td_set_attributes(&td, HOLE_GPA, PAGE, 0), 0);
	expect_ve_and_mmio(&td, td_run(&td, 0));
	end(&td, &log);
}

static void test_shared_variant(void **state)
{
	struct log log;
	struct td td;

	begin(&td, &log, true, "A shared read of an address without a slot, whose attribute says private");
	expect_ve_and_mmio(&td, load(&td, LINEAR(HOLE_GPA)));
	assert_false(happened(&log, OBSERVE_KVM_MEMORY_FAULT));
	end(&td, &log);
}

static void test_private_as_merged(void **state)
{
	struct log log;
	struct td td;

	begin(&td, &log, false, "A private read of an address without a slot");
	expect_memory_fault(&td, load(&td, HOLE_GPA), KVM_MEMORY_EXIT_FLAG_PRIVATE);
	end(&td, &log);
}

/* Nobody is told, and nothing is mapped: the access is made again and again. */
static void test_private_variant(void **state)
{
	struct log log;
	struct td td;

	begin(&td, &log, true, "A private read of an address without a slot");
	log.bound = BOUND;
	assert_int_equal(load(&td, HOLE_GPA), -EINTR);
	assert_true(log.faults >= BOUND);
	assert_false(happened(&log, OBSERVE_KVM_MEMORY_FAULT));
	if (printing)
		printf("    ... and so on: interrupted after %u faults at the same instruction\n", log.faults);
	end(&td, &log);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_as_merged),
		cmocka_unit_test(test_shared_variant),
		cmocka_unit_test(test_private_as_merged),
		cmocka_unit_test(test_private_variant),
	};

	printing = argc > 1;
	return cmocka_run_group_tests_name("kvm/tdx/no_slot", tests, NULL, NULL);
}
