// SPDX-License-Identifier: Apache-2.0
/*
 * A TD started directly: prints what its report says of it (MRTD, then RTMR2 before and after it was extended with 48 zero bytes,
 * then the first bytes of REPORTDATA) on the serial port, and powers off. In the first stage's 64-bit mode, memory 1:1.
 */
#include "td.h"

#define MRTD_AT	      528u
#define RTMR_AT(n)    (720u + 48u * (n))
#define REPORTDATA_AT 128u
#define MR_SIZE	      48u

static uint8_t report[1024] __attribute__((aligned(1024)));
static uint8_t reportdata[64] __attribute__((aligned(64)));
static uint8_t zero[64] __attribute__((aligned(64)));

static void get_report(void)
{
	if (tdcall(TDG_MR_REPORT, (uint64_t)report, (uint64_t)reportdata))
		say("no report\n");
}

void _start(void)
{
	for (unsigned int i = 0; i < sizeof(reportdata); i++)
		reportdata[i] = (uint8_t)i;
	get_report();
	say_bytes("mrtd ", report + MRTD_AT, MR_SIZE);
	say_bytes("rtmr2 ", report + RTMR_AT(2), MR_SIZE);
	if (tdcall(TDG_MR_RTMR_EXTEND, (uint64_t)zero, 2))
		say("no extension\n");
	get_report();
	say_bytes("rtmr2 ", report + RTMR_AT(2), MR_SIZE);
	say_bytes("reportdata ", report + REPORTDATA_AT, 8);
	power_off();
}
