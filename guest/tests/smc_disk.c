// SPDX-License-Identifier: Apache-2.0
/* Code that a device writes: read from a disk over code that has just run, by a processor that polls and by one that runs it. */
#include "lib/virtio.h"

#define SECTORS 8u /* a page */

static struct virtio_disk disk;
static u8 *code;
static u32 call_code(void) { return ((u32 (*)(void))code)(); }

/* mov $value, %eax; ret, in every copy that the page has room for */
static void fill(u8 *page, u32 value)
{
	for (u8 *p = page; p < page + 4096; p += 8) {
		p[0] = 0xb8;
		memcpy(p + 1, &value, 4);
		p[5] = 0xc3;
	}
}

static bool save_versions(void)
{
	u8 *page = alloc_page();
	bool ok = true;

	for (u32 i = 0; i < 8; i++) {
		fill(page, 100 + i);
		ok &= virtio_disk_transfer(&disk, true, i * SECTORS, page, 4096);
	}
	return ok;
}

static void polled(void)
{
	bool ok = true;
	u32 got = 0;

	fill(code, 1);
	ok &= call_code() == 1;
	for (u32 i = 0; i < 400 && ok; i++) {
		ok &= virtio_disk_transfer(&disk, false, i % 8 * SECTORS, code, 4096);
		got = call_code();
		ok &= got == 100 + i % 8;
	}
	report(ok, "400 pages of code read from a disk over the code that ran before (last: %u)", got);
}

static void one_sector(void)
{
	u32 first, second;

	fill(code, 1);
	first = call_code();
	second = ((u32 (*)(void))(code + 512))();
	report(first == 1 && second == 1, "before");
	report(virtio_disk_transfer(&disk, false, 0, code + 512, 512), "one sector read");
	first = call_code();
	second = ((u32 (*)(void))(code + 512))();
	report(first == 1 && second == 100, "the sector that was read is new code, the one before it is not (%u, %u)", first, second);
}

/* The other processor runs the page all the time. */
static volatile u32 seen, stop;

static void runner(void *arg)
{
	while (!stop) {
		u32 a = 0, b, c, d;

		cpuid(a, 0, &a, &b, &c, &d); /* serialises: SDM 3A 8.1.3 */
		seen = call_code();
	}
	seen = ~0u;
}

static void while_it_runs(void)
{
	bool ok = true;

	fill(code, 1);
	if (!start_cpu(1, runner, NULL)) {
		print("no second processor\n");
		return;
	}
	for (u32 i = 0; i < 200 && ok; i++) {
		u64 start;

		ok &= virtio_disk_transfer(&disk, false, i % 8 * SECTORS, code, 4096);
		start = rdtsc();
		while (seen != 100 + i % 8 && rdtsc() - start < 20000000000ull)
			cpu_relax();
		ok &= seen == 100 + i % 8;
	}
	report(ok, "200 pages of code read from a disk while another processor runs them (last seen: %u)", seen);
	stop = 1;
	while (seen != ~0u)
		cpu_relax();
}

int main(void);
int main(void)
{
	idt_init();
	apic_init();
	code = alloc_page();
	report(virtio_disk_open(&disk), "there is a virtio disk");
	if (disk.request && save_versions()) {
		polled();
		one_sector();
		while_it_runs();
	} else {
		report(false, "the disk can be written");
	}
	return report_failures();
}
