// SPDX-License-Identifier: Apache-2.0
/* MC146818 real-time clock. */
#include "vmm/rtc.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum {
	REG_SECONDS = 0,
	REG_MINUTES = 2,
	REG_HOURS = 4,
	REG_WEEKDAY = 6,
	REG_DAY = 7,
	REG_MONTH = 8,
	REG_YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13,
	REG_CENTURY = 50,
	RAM_SIZE = 128,
};
#define A_32KHZ_1024HZ 0x26u
#define A_UPDATING     0x80u
#define B_24_HOURS     0x02u
#define B_BINARY       0x04u
#define B_SET	       0x80u
#define B_INTERRUPTS   0x70u
#define D_VALID	       0x80u
#define HOURS_PM       0x80u

struct rtc {
	pthread_mutex_t lock;
	uint64_t (*now)(void *opaque);
	void *opaque;
	int64_t offset; /* seconds that the guest set the clock ahead of ours */
	bool setting;	/* B_SET: ram[] holds the time being set */
	uint8_t index;
	uint8_t ram[RAM_SIZE];
};

static uint8_t encode(const struct rtc *rtc, int value)
{
	return (uint8_t)(rtc->ram[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	return rtc->ram[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hours(const struct rtc *rtc, int hours)
{
	if (rtc->ram[REG_B] & B_24_HOURS)
		return encode(rtc, hours);
	return encode(rtc, hours % 12 ? hours % 12 : 12) | (hours >= 12 ? HOURS_PM : 0);
}

static int decode_hours(const struct rtc *rtc, uint8_t value)
{
	if (rtc->ram[REG_B] & B_24_HOURS)
		return decode(rtc, value);
	return decode(rtc, value & (uint8_t)~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

/* The time registers as they are now. */
static void latch(struct rtc *rtc)
{
	time_t now = (time_t)((int64_t)rtc->now(rtc->opaque) + rtc->offset);
	struct tm tm;

	if (rtc->setting || !gmtime_r(&now, &tm))
		return;
	rtc->ram[REG_SECONDS] = encode(rtc, tm.tm_sec);
	rtc->ram[REG_MINUTES] = encode(rtc, tm.tm_min);
	rtc->ram[REG_HOURS] = encode_hours(rtc, tm.tm_hour);
	rtc->ram[REG_WEEKDAY] = encode(rtc, tm.tm_wday + 1);
	rtc->ram[REG_DAY] = encode(rtc, tm.tm_mday);
	rtc->ram[REG_MONTH] = encode(rtc, tm.tm_mon + 1);
	rtc->ram[REG_YEAR] = encode(rtc, tm.tm_year % 100);
	rtc->ram[REG_CENTURY] = encode(rtc, (tm.tm_year + 1900) / 100 % 100);
}

/* The guest has set the time registers. */
static void adopt(struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->ram[REG_SECONDS]),
		.tm_min = decode(rtc, rtc->ram[REG_MINUTES]),
		.tm_hour = decode_hours(rtc, rtc->ram[REG_HOURS]),
		.tm_mday = decode(rtc, rtc->ram[REG_DAY]),
		.tm_mon = decode(rtc, rtc->ram[REG_MONTH]) - 1,
		.tm_year = decode(rtc, rtc->ram[REG_YEAR]) + decode(rtc, rtc->ram[REG_CENTURY]) * 100 - 1900,
	};

	rtc->offset = (int64_t)timegm(&tm) - (int64_t)rtc->now(rtc->opaque);
}

static bool is_time(unsigned int index)
{
	return index == REG_SECONDS || index == REG_MINUTES || index == REG_HOURS ||
	       (index >= REG_WEEKDAY && index <= REG_YEAR) || index == REG_CENTURY;
}

uint8_t rtc_read(struct rtc *rtc, unsigned int port)
{
	uint8_t value;

	if (!port)
		return 0xff;
	pthread_mutex_lock(&rtc->lock);
	if (is_time(rtc->index))
		latch(rtc);
	value = rtc->ram[rtc->index];
	pthread_mutex_unlock(&rtc->lock);
	return value;
}

static void write_b(struct rtc *rtc, uint8_t value)
{
	bool was_setting = rtc->setting;

	latch(rtc);
	rtc->setting = value & B_SET;
	if (was_setting && !rtc->setting)
		adopt(rtc);
	rtc->ram[REG_B] = value & (uint8_t)~B_INTERRUPTS;
}

static void write_data(struct rtc *rtc, uint8_t value)
{
	switch (rtc->index) {
	case REG_A:
		rtc->ram[REG_A] = value & (uint8_t)~A_UPDATING;
		break;
	case REG_B:
		write_b(rtc, value);
		break;
	case REG_C:
	case REG_D:
		break;
	default:
		if (is_time(rtc->index))
			latch(rtc);
		rtc->ram[rtc->index] = value;
		if (is_time(rtc->index) && !rtc->setting)
			adopt(rtc);
	}
}

void rtc_write(struct rtc *rtc, unsigned int port, uint8_t value)
{
	pthread_mutex_lock(&rtc->lock);
	if (port)
		write_data(rtc, value);
	else
		rtc->index = value & (RAM_SIZE - 1); /* bit 7 masks NMI */
	pthread_mutex_unlock(&rtc->lock);
}

struct rtc *rtc_create(uint64_t (*now)(void *opaque), void *opaque)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));

	if (!rtc)
		return NULL;
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->now = now;
	rtc->opaque = opaque;
	rtc->ram[REG_A] = A_32KHZ_1024HZ;
	rtc->ram[REG_B] = B_24_HOURS;
	rtc->ram[REG_D] = D_VALID;
	return rtc;
}

void rtc_destroy(struct rtc *rtc)
{
	if (!rtc)
		return;
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}
