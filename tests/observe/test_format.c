// SPDX-License-Identifier: Apache-2.0
/* Records become the lines that events.def promises; lists of names become masks; sinks get what they asked for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* cmocka wants the four above first */
#include <cmocka.h>

#include "observe/observe.h"
#include "softcvm/kvm_abi.h"

static const struct {
	struct observe_record rec;
	const char *text;
} lines[] = {
	{{.event = OBSERVE_KVM_EXIT, .arg = {1, 48, 0xfff0, 0x181, 0}},
	 "vcpu 1 reason EPT_VIOLATION rip 0xfff0 info1 0x181 info2 0x0"},
	{{.event = OBSERVE_KVM_EXIT, .arg = {0, 1ull << 63 | 0x400, 0x10, 0, 0}},
	 "vcpu 0 reason npf rip 0x10 info1 0x0 info2 0x0"},
	{{.event = OBSERVE_KVM_EXIT, .arg = {0, ~0ull, 0, 0, 0}},
	 "vcpu 0 reason invalid_guest_state rip 0x0 info1 0x0 info2 0x0"},
	{{.event = OBSERVE_KVM_EXIT, .arg = {0, 0x80000021, 0, 0, 0}},
	 "vcpu 0 reason INVALID_STATE FAILED_VMENTRY rip 0x0 info1 0x0 info2 0x0"},
	{{.event = OBSERVE_KVM_EXIT, .arg = {0, 5, 0, 0, 0}}, "vcpu 0 reason 5 rip 0x0 info1 0x0 info2 0x0"},
	{{.event = OBSERVE_KVM_USERSPACE_EXIT, .arg = {KVM_EXIT_IO, (uint64_t)-4}}, "reason KVM_EXIT_IO (-4)"},
	{{.event = OBSERVE_KVM_MMIO, .arg = {1, 4, 0xfee00300, 7}}, "mmio write len 4 gpa 0xfee00300 val 0x7"},
	{{.event = OBSERVE_KVM_PIO, .arg = {0, 0x3f8, 1, 1, 0x41}}, "pio_read at 0x3f8 size 1 count 1 val 0x41"},
	{{.event = OBSERVE_KVM_MSR, .arg = {0, 0x1b, 0xfee00900, 0}}, "msr_read 0x1b = 0xfee00900 (error 0)"},
	{{.event = OBSERVE_KVM_PAGE_FAULT, .arg = {0, 1, 2, 1ull << 32 | 6}},
	 "vcpu 0 rip 0x1 address 0x2 error_code 0x100000006(W|U|FINAL)"},
	{{.event = OBSERVE_KVM_INJ_EXCEPTION, .arg = {14, 2}}, "#PF (0x2)"},
	{{.event = OBSERVE_KVM_INJ_VIRQ, .arg = {8}}, "IRQ 8"},
};

static void every_conversion(void **state)
{
	char text[256];

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(observe_format(&lines[i].rec, text, sizeof(text)), strlen(lines[i].text));
		assert_string_equal(text, lines[i].text);
	}
}

static void every_format_is_understood(void **state)
{
	char text[512];

	for (unsigned int event = 0; event < OBSERVE_EVENT_COUNT; event++) {
		struct observe_record rec = {.event = event, .arg = {1, 2, 3, 4, 5, 6, 7, 8}};

		observe_format(&rec, text, sizeof(text));
		assert_null(strchr(text, '%'));
	}
}

static void short_buffers_are_terminated(void **state)
{
	char text[8] = "xxxxxxx";
	struct observe_record rec = {.event = OBSERVE_KVM_INJ_EXCEPTION, .arg = {14, 0x1234}};

	assert_int_equal(observe_format(&rec, text, 6), strlen("#PF (0x1234)"));
	assert_string_equal(text, "#PF (");
	assert_int_equal(text[6], 'x');
	assert_int_equal(observe_format(&rec, NULL, 0), strlen("#PF (0x1234)"));
}

static void masks(void **state)
{
	const char *bad = NULL;
	struct observe_mask mask = {{0}};

	assert_int_equal(observe_parse_mask("kvm_exit,kvm_mmio", &mask, &bad), 0);
	for (unsigned int event = 0; event < OBSERVE_EVENT_COUNT; event++)
		assert_int_equal(observe_mask_has(&mask, event), event == OBSERVE_KVM_EXIT || event == OBSERVE_KVM_MMIO);
	assert_int_equal(observe_parse_mask("steps,vmm_device", &mask, &bad), 0);
	assert_true(observe_mask_has(&mask, OBSERVE_HW_CLAIM) && observe_mask_has(&mask, OBSERVE_VMM_DEVICE));
	assert_false(observe_mask_has(&mask, OBSERVE_KVM_EXIT) || observe_mask_has(&mask, OBSERVE_KVM_TDP_MAP));
	assert_int_equal(observe_parse_mask("all", &mask, &bad), 0);
	for (unsigned int event = 0; event < 64 * OBSERVE_MASK_WORDS; event++)
		assert_int_equal(observe_mask_has(&mask, event), event < OBSERVE_EVENT_COUNT);
	assert_int_equal(observe_parse_mask(OBSERVE_DEFAULT_EVENTS, &mask, &bad), 0);
	assert_int_equal(observe_parse_mask("kvm_exit,kvm_nothing", &mask, &bad), -EINVAL);
	assert_string_equal(bad, "kvm_nothing");
	assert_int_equal(observe_parse_mask("kvm_exit,,kvm_mmio", &mask, &bad), -EINVAL);
}

static uint64_t fixed_clock(void *opaque)
{
	return *(uint64_t *)opaque;
}

static void sinks_get_what_they_want(void **state)
{
	struct observe_mask mask = {{0}};
	struct observer *obs;
	struct observe_sink *text, *ring;
	uint64_t now = 1234567890;
	char *buf = NULL, *ring_buf = NULL;
	size_t size = 0, ring_size = 0;
	FILE *file = open_memstream(&buf, &size), *ring_file = open_memstream(&ring_buf, &ring_size);

	assert_int_equal(observer_create(&obs), 0);
	observer_set_clock(obs, fixed_clock, &now);
	assert_int_equal(observe_sink_text(file, &text), 0);
	assert_int_equal(observe_sink_ring(2, &ring), 0);
	observe_mask_add(&mask, OBSERVE_KVM_INJ_VIRQ);
	observer_attach(obs, text, &mask);
	observe_mask_add(&mask, OBSERVE_KVM_EOI);
	observer_attach(obs, ring, &mask);
	observe(obs, OBSERVE_KVM_INJ_VIRQ, 0, 32);
	observe(obs, OBSERVE_KVM_EOI, 1, 1, 32);
	observe(obs, OBSERVE_KVM_EOI, -1, 2, 33);
	observe(obs, OBSERVE_KVM_CPUID, 0, 1);
	fflush(file);
	assert_string_equal(buf, "            vcpu-0     [000]     1.234567890: kvm_inj_virq: IRQ 32\n");
	observe_ring_print(ring, ring_file);
	fflush(ring_file);
	assert_string_equal(ring_buf, "            vcpu-1     [001]     1.234567890: kvm_eoi: apicid 1 vector 32\n"
				      "             kvm-0     [000]     1.234567890: kvm_eoi: apicid 2 vector 33\n");
	observer_destroy(obs);
	fclose(file);
	fclose(ring_file);
	free(buf);
	free(ring_buf);
}

/* Each VM has a number; masks are the parent's, also of sinks that come later; silence is for all. */
static void one_observer_for_each_vm(void **state)
{
	struct observer *obs, *vm[3];
	struct observe_sink *text;
	struct observe_mask all = observe_mask_all();
	uint64_t now = 5;
	char *buf = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&buf, &size);

	assert_int_equal(observer_create(&obs), 0);
	observer_set_clock(obs, fixed_clock, &now);
	assert_int_equal(observer_derive(obs, &vm[0]), 0);
	assert_int_equal(observe_sink_text(file, &text), 0);
	observer_attach(obs, text, &all);
	assert_int_equal(observer_derive(obs, &vm[1]), 0);
	observer_destroy_derived(obs, vm[0]);
	assert_int_equal(observer_derive(obs, &vm[2]), 0);
	observe(vm[1], OBSERVE_KVM_INJ_VIRQ, 3, 32);
	observe(vm[2], OBSERVE_KVM_INJ_VIRQ, -1, 33);
	observer_silence(obs);
	observe(vm[2], OBSERVE_KVM_INJ_VIRQ, -1, 34);
	fflush(file);
	assert_string_equal(buf, "        vm1.vcpu-3     [003]     0.000000005: kvm_inj_virq: IRQ 32\n"
				 "         vm2.kvm-0     [000]     0.000000005: kvm_inj_virq: IRQ 33\n");
	observer_destroy_derived(obs, vm[1]);
	observer_destroy_derived(obs, vm[2]);
	observer_destroy(obs);
	fclose(file);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_conversion),
		cmocka_unit_test(every_format_is_understood),
		cmocka_unit_test(short_buffers_are_terminated),
		cmocka_unit_test(masks),
		cmocka_unit_test(sinks_get_what_they_want),
		cmocka_unit_test(one_observer_for_each_vm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
