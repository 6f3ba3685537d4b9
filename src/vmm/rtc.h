// SPDX-License-Identifier: Apache-2.0
/* MC146818 real-time clock, date and time only: no alarm, no interrupt (ACPI gives it no line). Any thread. */
#pragma once

#include <stdint.h>

struct rtc;

/* Seconds since 1970, as the guest may see it. */
struct rtc *rtc_create(uint64_t (*now)(void *opaque), void *opaque);
void rtc_destroy(struct rtc *rtc);
uint8_t rtc_read(struct rtc *rtc, unsigned int port); /* 0: index, 1: data */
void rtc_write(struct rtc *rtc, unsigned int port, uint8_t value);
