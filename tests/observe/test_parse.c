// SPDX-License-Identifier: Apache-2.0
/* What the printer prints the parser reads, for every event and every kind of argument; anything else is an error. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* cmocka wants the four above first */
#include <cmocka.h>

#include "observe/observe.h"

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static struct observe_record record_with(unsigned int event, uint64_t (*value)(unsigned int round, unsigned int n), unsigned int round)
{
	struct observe_record rec = {.event = event, .vcpu = (int)(round % 9) - 1, .vm = round % 3};

	rec.time_ns = next_random() >> (round % 64);
	for (unsigned int n = 0; n < observe_event_nargs(event); n++)
		rec.arg[n] = value(round, n);
	return rec;
}

static void round_trip(const struct observe_record *rec)
{
	char line[OBSERVE_LINE_MAX];
	int length = observe_format_line(rec, line);
	struct observe_record back;
	const char *why;

	assert_true(length > 0 && length < OBSERVE_LINE_MAX);
	assert_int_equal(line[length - 1], '\n');
	if (observe_parse_line(line, (size_t)length - 1, &back, &why))
		fail_msg("%.*s: %s", length - 1, line, why);
	if (memcmp(&back, rec, sizeof(back)))
		fail_msg("%.*s: read as another record", length - 1, line);
}

static uint64_t small(unsigned int round, unsigned int n) { return round + n; }
static uint64_t one_bit(unsigned int round, unsigned int n) { return 1ull << (round + 7 * n) % 64; }
static uint64_t svm_exit(unsigned int round, unsigned int n) { return 1ull << 63 | (round + n); }
static uint64_t failed_entry(unsigned int round, unsigned int n) { return 1ull << 31 | (round + n); }
static uint64_t near_end(unsigned int round, unsigned int n) { return -(uint64_t)(round + n); }
static uint64_t any(unsigned int round, unsigned int n) { return next_random() >> next_random() % 64; }

static void every_event_there_and_back(void **state)
{
	uint64_t (*const kinds[])(unsigned int, unsigned int) = {small, one_bit, svm_exit, failed_entry, near_end, any};

	for (unsigned int event = 0; event < OBSERVE_EVENT_COUNT; event++) {
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			for (unsigned int round = 0; round < 200; round++) {
				struct observe_record rec = record_with(event, kinds[k], round);

				round_trip(&rec);
			}
		}
	}
}

/* Names that are far from the others. */
static void names_there_and_back(void **state)
{
	static const struct observe_record records[] = {
		{.event = OBSERVE_KVM_EXIT, .arg = {0, 1ull << 63 | 0x400}},
		{.event = OBSERVE_KVM_EXIT, .arg = {0, 1ull << 63 | 0x403}},
		{.event = OBSERVE_KVM_EXIT, .arg = {0, ~0ull}},
		{.event = OBSERVE_KVM_EXIT, .arg = {0, 1ull << 63 | 0xffffffff}},
		{.event = OBSERVE_KVM_CREATE_VM, .arg = {0x40000000}},
		{.event = OBSERVE_KVM_CREATE_VM, .arg = {0x80000000}},
		{.event = OBSERVE_KVM_FAULT_DONE, .arg = {~0ull, (uint64_t)-EFAULT, OBSERVE_RULE_COUNT - 1}},
		{.event = OBSERVE_KVM_FAULT_DONE, .arg = {0, 1ull << 63, OBSERVE_RULE_COUNT}},
		{.event = OBSERVE_KVM_ENTRY, .time_ns = ~0ull, .vcpu = INT32_MAX, .vm = UINT32_MAX, .arg = {~0ull, ~0ull}},
	};

	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
		round_trip(&records[i]);
}

/* What a format converts is what its event has. */
static void arguments_are_counted(void **state)
{
	for (unsigned int event = 0; event < OBSERVE_EVENT_COUNT; event++) {
		struct observe_record rec = {.event = event};
		char without[OBSERVE_LINE_MAX], with[OBSERVE_LINE_MAX];

		for (unsigned int n = 0; n < OBSERVE_MAX_ARGS; n++) {
			observe_format(&rec, without, sizeof(without));
			rec.arg[n] = 0x123456789abcdefull;
			observe_format(&rec, with, sizeof(with));
			if (!strcmp(without, with) != (n >= observe_event_nargs(event)))
				fail_msg("%s, argument %u", observe_event_name(event), n);
		}
	}
}

#define LINE "            vcpu-1     [001]     1.234567890: "

static const struct {
	const char *line;
	const char *why;
} bad[] = {
	{"", "begin"},
	{"hello", "begin"},
	{"            init-1     [001]     1.234567890: kvm_eoi: apicid 1 vector 32", "begin"},
	{"            vcpu-1     [002]     1.234567890: kvm_eoi: apicid 1 vector 32", "arguments"},
	{"            vcpu-01    [001]     1.234567890: kvm_eoi: apicid 1 vector 32", "arguments"},
	{"             kvm-1     [001]     1.234567890: kvm_eoi: apicid 1 vector 32", "arguments"},
	{"        vm0.vcpu-1     [001]     1.234567890: kvm_eoi: apicid 1 vector 32", "arguments"},
	{"            vcpu-99999999999999999999 [001] 1.2: kvm_eoi: apicid 1 vector 32", "begin"},
	{"            vcpu-1     [001]     1: kvm_eoi: apicid 1 vector 32", "time"},
	{"            vcpu-1     [001]     1.23456789: kvm_eoi: apicid 1 vector 32", "arguments"},
	{"            vcpu-1     [001] 18446744073.709551616: kvm_eoi: apicid 1 vector 32", "time"},
	{"            vcpu-1     [001] 18446744073709551616.000000000: kvm_eoi: apicid 1 vector 32", "time"},
	{LINE "kvm_nothing: apicid 1 vector 32", "no event"},
	{LINE "kvm_eoi", "no event"},
	{LINE "kvm_eoi:", "no event"},
	{LINE "kvm_eoi: ", "arguments"},
	{LINE "kvm_eoi: apicid 1 vector", "arguments"},
	{LINE "kvm_eoi: apicid 1 vector 32 ", "arguments"},
	{LINE "kvm_eoi: apicid 1 vector 032", "arguments"},
	{LINE "kvm_eoi: apicid 1 vector 18446744073709551616", "arguments"},
	{LINE "kvm_eoi: apicid -1 vector 32", "arguments"},
	{LINE "kvm_entry: vcpu 1, rip 0xFFF0", "arguments"},
	{LINE "kvm_entry: vcpu 1, rip 0x", "arguments"},
	{LINE "kvm_entry: vcpu 1, rip 0x00", "arguments"},
	{LINE "kvm_entry: vcpu 1, rip 0x11111111111111111", "arguments"},
	{LINE "kvm_page_fault: vcpu 0 rip 0x1 address 0x2 error_code 0x6(W)", "arguments"},
	{LINE "kvm_page_fault: vcpu 0 rip 0x1 address 0x2 error_code 0x6(W|U", "arguments"},
	{LINE "kvm_page_fault_done: gfn 0x1 result FIX rule fault.mapped", "arguments"},
	{LINE "kvm_page_fault_done: gfn 0x1 result FIXED rule fault.mapped.", "arguments"},
	{LINE "kvm_msr: msr_read 0x1b = 0x0 (error -9223372036854775809)", "arguments"},
};

static void what_is_not_printed_is_not_read(void **state)
{
	struct observe_record rec;
	const char *why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (observe_parse_line(bad[i].line, strlen(bad[i].line), &rec, &why) != -EINVAL)
			fail_msg("'%s' is read", bad[i].line);
		if (!strstr(why, bad[i].why))
			fail_msg("'%s': %s", bad[i].line, why);
	}
}

/* A changed line is an error, or the record that prints it. */
static void damaged_lines(void **state)
{
	for (unsigned int round = 0; round < 200000; round++) {
		struct observe_record rec = record_with(round % OBSERVE_EVENT_COUNT, any, round), back;
		char line[OBSERVE_LINE_MAX], again[OBSERVE_LINE_MAX];
		size_t length = (size_t)observe_format_line(&rec, line) - 1, at = next_random() % length;
		const char *why;

		line[at] = (char)next_random();
		if (next_random() & 1)
			length = at + next_random() % (length - at);
		if (observe_parse_line(line, length, &back, &why))
			continue;
		assert_int_equal(observe_format_line(&back, again), length + 1);
		assert_memory_equal(line, again, length);
	}
}

/* ---------------------------------------------------------------- whole traces */

static int count(void *opaque, const struct observe_record *rec)
{
	unsigned int *left = opaque;

	return rec->event == OBSERVE_KVM_EOI && --*left == 0 ? 42 : 0;
}

static int read_text(const char *text, size_t size, unsigned int stop_after, struct observe_reading *out)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, size, "r");
	int result = observe_read(file, count, &stop_after, out);

	fclose(file);
	return result;
}

#define EOI LINE "kvm_eoi: apicid 1 vector 32\n"

static void traces(void **state)
{
	struct observe_reading r;
	char long_line[2000];

	assert_int_equal(read_text(EOI EOI, strlen(EOI EOI), 9, &r), 0);
	assert_int_equal(r.line, 2);
	assert_false(r.cut);
	assert_int_equal(read_text(EOI EOI EOI, strlen(EOI EOI EOI), 2, &r), 42);
	assert_int_equal(r.line, 2);
	assert_int_equal(read_text(EOI LINE, strlen(EOI LINE), 9, &r), 0);
	assert_true(r.cut);
	assert_int_equal(read_text(EOI "x\n" EOI, strlen(EOI "x\n" EOI), 9, &r), -EINVAL);
	assert_int_equal(r.line, 2);
	assert_non_null(r.why);
	assert_int_equal(read_text(EOI "\n", strlen(EOI "\n"), 9, &r), -EINVAL);
	memset(long_line, 'x', sizeof(long_line));
	assert_int_equal(read_text(long_line, sizeof(long_line), 9, &r), -EINVAL);
	assert_int_equal(read_text("\0\n", 2, 9, &r), -EINVAL);
}

static void rules_have_names_of_their_own(void **state)
{
	for (unsigned int a = 0; a < OBSERVE_RULE_COUNT; a++) {
		const struct observe_rule_text *text = observe_rule_text(a);

		assert_true(*text->name && *text->text && *text->source);
		for (unsigned int b = 0; b < a; b++)
			assert_string_not_equal(text->name, observe_rule_text(b)->name);
	}
	assert_string_equal(observe_rule_text(OBSERVE_RULE_COUNT)->name, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_there_and_back),
		cmocka_unit_test(names_there_and_back),
		cmocka_unit_test(arguments_are_counted),
		cmocka_unit_test(what_is_not_printed_is_not_read),
		cmocka_unit_test(damaged_lines),
		cmocka_unit_test(traces),
		cmocka_unit_test(rules_have_names_of_their_own),
	};

	return cmocka_run_group_tests_name("observe/parse", tests, NULL, NULL);
}
