// SPDX-License-Identifier: Apache-2.0
/*
 * MRTD, RTMR and TDREPORT against digests that Python's hashlib gave for the byte strings of the TDX ABI, and a report with each
 * of its parts changed in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "hw/tdx/measure.h"

static void expect_digest(const struct tdx_digest *d, const char *hex)
{
	char text[2 * TDX_MR_SIZE + 1];

	for (unsigned int i = 0; i < TDX_MR_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", d->b[i]);
	assert_string_equal(text, hex);
}

static struct tdx_mr *new_mr(void)
{
	struct tdx_mr *mr;

	assert_int_equal(tdx_mr_create(&mr), 0);
	return mr;
}

static void finish(struct tdx_mr *mr, const char *hex)
{
	struct tdx_digest d;

	assert_int_equal(tdx_mr_finalize(mr, &d), 0);
	expect_digest(&d, hex);
	tdx_mr_destroy(mr);
}

static void mrtd_of_nothing(void **state)
{
	finish(new_mr(), "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b");
}

static void mrtd_of_an_added_page(void **state)
{
	struct tdx_mr *mr = new_mr();

	tdx_mr_page_add(mr, gpa(0));
	finish(mr, "8f3e9a8aca6784eab874f7aa4dda5d49104a88047f1f86695ef2a88f5691a90e34aac48ce45ffa1f5a23c7d62980d570");
}

static void mrtd_of_an_extended_page(void **state)
{
	static const u8 zero[TDX_EXTEND_CHUNK];
	struct tdx_mr *mr = new_mr();

	tdx_mr_page_add(mr, gpa(0));
	for (u64 at = 0; at < HW_PAGE_SIZE; at += TDX_EXTEND_CHUNK)
		tdx_mr_extend(mr, gpa(at), zero);
	finish(mr, "236f0efa607ff8843f1855d7ef80dc3dda8fb455787a186b8787212951eab0096e3193bb26f817c2b63c21f5e10f9938");
}

static void rtmr_extend(void **state)
{
	struct tdx_digest rtmr = { 0 }, zero = { 0 };

	assert_int_equal(tdx_rtmr_extend(&rtmr, &zero), 0);
	expect_digest(&rtmr, "f57bb7ed82c6ae4a29e6c9879338c592c7d42a39135583e8ccbe3940f2344b0eb6eb8503db0ffd6a39ddd00cd07d8317");
}

static struct tdx_report make_report(void)
{
	struct tdx_td_info td = { .attributes = 1ull << 28, .xfam = 7, .mrtd.b = { 1 }, .rtmr[3].b = { 2 } };
	u8 reportdata[TDX_REPORTDATA_SIZE] = "reportdata";
	struct tdx_report report;

	memset(&report, 0xff, sizeof(report));
	assert_int_equal(tdx_report_build(&report, &td, reportdata), 0);
	return report;
}

static void report_layout(void **state)
{
	struct tdx_report report = make_report();
	const u8 *bytes = (const u8 *)&report;

	assert_int_equal(bytes[0], 0x81);
	assert_string_equal(bytes + 128, "reportdata");
	assert_int_equal(bytes[515], 0x10); /* ATTRIBUTES */
	assert_int_equal(bytes[520], 7);    /* XFAM */
	assert_int_equal(bytes[528], 1);    /* MRTD */
	assert_int_equal(bytes[864], 2);    /* RTMR3 */
	for (unsigned int i = 495; i < 512; i++)
		assert_int_equal(bytes[i], 0);
}

static void report_verifies(void **state)
{
	struct tdx_report report = make_report();

	assert_int_equal(tdx_report_verify(&report), TDX_REPORT_GOOD);
}

/* Every bit of a report is covered, except for the padding between the two hashed parts. */
static void changed_report_fails(void **state)
{
	struct tdx_report report = make_report();
	u8 *bytes = (u8 *)&report;

	for (unsigned int i = 0; i < sizeof(report); i++) {
		bool hashed = i < 495 || i >= 512;
		int expected = i < 16 && i != 2	      ? TDX_REPORT_BAD_TYPE
			       : i >= 192 && i < 224 ? TDX_REPORT_BAD_TYPE
			       : i < 256	      ? TDX_REPORT_BAD_MAC
			       : i < 512	      ? TDX_REPORT_BAD_TCB_HASH
						      : TDX_REPORT_BAD_TD_HASH;

		bytes[i] ^= 0x40;
		assert_int_equal(tdx_report_verify(&report), hashed ? expected : TDX_REPORT_GOOD);
		bytes[i] ^= 0x40;
	}
}

/* The signer of a report of ours is not Intel, and a verifier sees it. */
static void report_is_no_intel_module(void **state)
{
	static const struct tdx_digest zero;
	struct tdx_report report = make_report();

	assert_memory_not_equal(&report.tcb.mrsignerseam, &zero, sizeof(zero));
	assert_memory_not_equal(&report.tcb.mrseam, &zero, sizeof(zero));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mrtd_of_nothing),
		cmocka_unit_test(mrtd_of_an_added_page),
		cmocka_unit_test(mrtd_of_an_extended_page),
		cmocka_unit_test(rtmr_extend),
		cmocka_unit_test(report_layout),
		cmocka_unit_test(report_verifies),
		cmocka_unit_test(changed_report_fails),
		cmocka_unit_test(report_is_no_intel_module),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
