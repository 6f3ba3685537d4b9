// SPDX-License-Identifier: Apache-2.0
/*
 * One static program that measures the same things natively, in softcvm and under qemu's TCG: nanoseconds for each item, best of
 * several rounds. Run as the first process of a guest (bench as /init) it powers the machine off at the end.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static volatile uint64_t sink;

static void alu(void)
{
	uint64_t a = 1, b = 2, c = 3;

	for (int i = 0; i < 3000000; i++) {
		a += b ^ (c << 3);
		b = (b >> 7) | (a << 57);
		c -= a & 0xffff;
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c));
	}
	sink = a + b + c;
}

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_block(uint32_t h[8], const uint8_t *p, const uint32_t k[64])
{
	uint32_t w[64], v[8];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(v, h, sizeof(v));
	for (int i = 0; i < 64; i++) {
		uint32_t t1 = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
		uint32_t t2 = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 28);
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		h[i] += v[i];
}

static void sha256(void)
{
	static uint8_t data[64 * 4096];
	uint32_t h[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, k[64];

	for (int i = 0; i < 64; i++)
		k[i] = 0x9e3779b9u * (uint32_t)(i + 1);
	for (unsigned int i = 0; i < sizeof(data); i += 64)
		sha256_block(h, data + i, k);
	sink = h[0];
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void sort(void)
{
	static uint32_t v[50000];
	uint32_t s = 12345;

	for (unsigned int i = 0; i < 50000; i++)
		v[i] = s = s * 1664525u + 1013904223u;
	qsort(v, 50000, sizeof(v[0]), compare);
	sink = v[100];
}

static uint8_t *big;

static void fill(void)
{
	for (int i = 0; i < 4; i++) {
		memset(big, i, 8 << 20);
		__asm__ volatile("" : : "r"(big) : "memory");
	}
}

static void system_calls(void)
{
	for (int i = 0; i < 20000; i++)
		syscall(SYS_getppid);
}

static void first_touch(void)
{
	uint8_t *p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(p, 4 << 20, MADV_NOHUGEPAGE);
	for (int i = 0; i < 4 << 20; i += 4096)
		p[i] = 1;
	munmap(p, 4 << 20);
}

static int have_ports;
static void port_exits(void)
{
	if (have_ports)
		for (int i = 0; i < 20000; i++)
			outb(0, 0xed);
}

static const struct {
	const char *name;
	void (*fn)(void);
	unsigned int per; /* operations a round */
} items[] = {
	{ "alu-loop", alu, 1 },		  { "sha256-256KiB", sha256, 1 },      { "qsort-50000", sort, 1 }, { "memset-32MiB", fill, 1 },
	{ "system-call", system_calls, 20000 }, { "first-touch-4KiB", first_touch, 1024 }, { "port-exit", port_exits, 20000 },
};

int main(void)
{
	int guest = getpid() == 1;

	big = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(big, 1, 8 << 20);
	have_ports = guest && ioperm(0xed, 1, 1) == 0;
	for (unsigned int i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		uint64_t best = ~0ull;

		if (items[i].fn == port_exits && !have_ports)
			continue;
		for (int round = 0; round < 5; round++) {
			uint64_t start = now(), t;

			items[i].fn();
			t = now() - start;
			if (t < best)
				best = t;
		}
		printf("BENCH %s %.1f\n", items[i].name, (double)best / items[i].per);
		fflush(stdout);
	}
	if (guest)
		reboot(RB_POWER_OFF);
	return 0;
}
