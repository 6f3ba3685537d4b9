// SPDX-License-Identifier: Apache-2.0
/* What a guest can do to PCI functions and virtio devices: rubbish in their registers, and queues that break every rule. */
#include "hostile/hostile.h"
#include "lib/virtio.h"

#define ECAM 0xe0000000ull
#define MAX_QUEUE 256

static volatile u8 *config(unsigned int device, unsigned int offset)
{
	return (volatile u8 *)(ECAM + device * 0x8000 + offset);
}

static bool present(unsigned int device) { return *(volatile u16 *)config(device, 0) != 0xffff; }

static u64 interesting(void)
{
	static const u64 values[] = { 0, 1, 0x7f, 0xff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff, 0x100000000,
				      0xfffffffffffff000, ~0ull, 0x1ffffff8, 0x20000000, 0xbffffff0, 0xc0000000, 0xfee00000 };
	u64 v = random();

	return v & 1 ? random() : values[(v >> 8) % (sizeof(values) / sizeof(values[0]))];
}

static void poke(u64 at, unsigned int size, u64 v)
{
	switch (size & 3) {
	case 0: *(volatile u8 *)at = (u8)v; *(volatile u8 *)at; break;
	case 1: *(volatile u16 *)at = (u16)v; *(volatile u16 *)at; break;
	case 2: *(volatile u32 *)at = (u32)v; *(volatile u32 *)at; break;
	default: *(volatile u64 *)at = v; *(volatile u64 *)at; break;
	}
}

/* ---------------------------------------------------------------- configuration space and BARs */

static void config_space(void)
{
	for (unsigned int i = 0; i < 10000; i++) {
		u64 v = random();
		unsigned int device = v & 15, offset = v >> 8 & 0xfff;

		poke((u64)config(device, offset), v >> 32 & 3, interesting());
	}
	for (unsigned int i = 0; i < 10000; i++) {
		outl(0xcf8, i & 1 ? (u32)random() : 0x80000000 | (u32)(random() & 0xfffc));
		outl(0xcfc, (u32)interesting());
		inl(0xcfc);
		outb((u16)(0xcfc + i % 4), (u8)random());
		inb((u16)(0xcfc + i % 4));
		/* 0xcf9 would end the machine. */
		inb((u16)(0xcf8 + i % 4));
	}
	for (unsigned int device = 0; device < 16; device++)
		*(volatile u16 *)config(device, 4) = 6;
	for (u64 at = 0xc0000000; at < 0xc0100000; at += 0x40)
		poke(at + (random() & 0x3f), random() & 3, interesting());
}

static u64 bar_of(unsigned int device)
{
	*(volatile u16 *)config(device, 4) = 6; /* memory, bus master */
	return *(volatile u32 *)config(device, 0x10) & ~0xfull;
}

static void bar_registers(void)
{
	for (unsigned int device = 0; device < 32; device++)
		for (unsigned int i = 0; present(device) && i < 20000; i++) {
			u64 v = random(), at = bar_of(device) + (v & 0x7fff);

			if ((v & 0x7000) == 0 && (v >> 40 & 3))
				at = bar_of(device) + (v & 0x3f);
			poke(at, v >> 32 & 3, interesting());
		}
}

/* ---------------------------------------------------------------- virtqueues */

enum { F_NEXT = VIRTQ_NEXT, F_WRITE = VIRTQ_WRITE, F_INDIRECT = VIRTQ_INDIRECT };

struct device {
	struct virtio_function f;
	struct virtq_desc *desc;
	u16 *avail;
	u8 *used, *data;
};

static bool find_device(unsigned int slot, struct device *d)
{
	struct virtio_function f;

	if (!virtio_find(slot, &f))
		return false;
	*d = (struct device){ .f = f, .desc = alloc_page(), .avail = alloc_page(), .used = alloc_page(), .data = alloc_page() };
	return true;
}

static void start(struct device *d)
{
	virtio_set_status(&d->f, 0);
	virtio_set_status(&d->f, 3);
	for (u32 i = 0; i < 2; i++) {
		*(volatile u32 *)d->f.common = i;
		*(volatile u32 *)(d->f.common + VIRTIO_DRIVER_FEATURE_SELECT) = i;
		*(volatile u32 *)(d->f.common + VIRTIO_DRIVER_FEATURE) = *(volatile u32 *)(d->f.common + 4);
	}
	virtio_set_status(&d->f, 0xb);
}

static void start_queue(struct device *d, u16 queue, u16 size, u64 desc, u64 avail, u64 used)
{
	virtio_set16(&d->f, VIRTIO_QUEUE_SELECT, queue);
	virtio_set16(&d->f, VIRTIO_QUEUE_SIZE, size);
	virtio_set16(&d->f, VIRTIO_QUEUE_MSIX, (u16)random());
	virtio_set64(&d->f, VIRTIO_QUEUE_DESC, desc);
	virtio_set64(&d->f, VIRTIO_QUEUE_DRIVER, avail);
	virtio_set64(&d->f, VIRTIO_QUEUE_DEVICE, used);
	virtio_set16(&d->f, VIRTIO_QUEUE_ENABLE, 1);
}

static void notify(struct device *d, u16 queue)
{
	virtio_set_status(&d->f, 0xf);
	for (unsigned int i = 0; i < 3; i++)
		*(volatile u16 *)(d->f.notify + 4 * (queue + i)) = (u16)(queue + i);
	for (unsigned int i = 0; i < 2000; i++)
		cpu_relax();
}

static void break_chain(struct device *d, unsigned int kind)
{
	struct virtq_desc *t = d->desc, *indirect = (struct virtq_desc *)(d->data + 1024);

	for (unsigned int i = 0; i < MAX_QUEUE; i++) {
		t[i] = (struct virtq_desc){ (u64)d->data, 512, (u16)(i % 3 ? F_NEXT | (i & 1 ? F_WRITE : 0) : 0), (u16)(i + 1) };
		d->avail[2 + i] = (u16)i;
	}
	d->avail[0] = 0;
	d->avail[1] = 1;
	memset(d->data, 0, 1024);
	switch (kind) {
	case 0: t[0].flags = F_NEXT; t[0].next = 0; break;
	case 1: t[0].flags = F_NEXT; t[0].next = 0xffff; break;
	case 2: t[0].addr = 0xfffffffffffffff0ull; break;
	case 3: t[0].addr = 0xd0000000; break;
	case 4: t[0].len = 0xffffffff; break;
	case 5: t[0].addr = 0x1ffffff0; break;	/* over the end of 512 MiB */
	case 6: d->avail[1] = 60000; break;
	case 7: d->avail[2] = 0xffff; break;
	case 8: t[0] = (struct virtq_desc){ (u64)indirect, 15, F_INDIRECT, 0 }; break;
	case 9: t[0] = (struct virtq_desc){ (u64)indirect, 16, F_INDIRECT, 0 }; *indirect = t[0]; break;
	case 10: t[0] = (struct virtq_desc){ (u64)indirect, 0xfffffff0, F_INDIRECT, 0 }; break;
	case 11: t[0] = (struct virtq_desc){ (u64)indirect, 32, F_INDIRECT | F_NEXT, 1 }; break;
	case 12: t[0] = (struct virtq_desc){ (u64)indirect, 0, F_INDIRECT, 0 }; break;
	case 13: for (unsigned int i = 0; i < MAX_QUEUE; i++) t[i] = (struct virtq_desc){ 0x100000, 0x10000000, F_NEXT | F_WRITE, (u16)(i + 1) }; break;
	case 14: t[0].len = t[1].len = 0; break;
	case 15: t[0].addr = (u64)d->desc; t[0].flags = F_WRITE; t[0].len = 4096; break;	/* the device fills its own table */
	case 16: t[0].addr = (u64)d->used; t[0].flags = F_WRITE; break;
	case 17: t[0].flags = F_WRITE | F_NEXT; t[0].next = 1; t[1].flags = 0; break;	/* in before out */
	case 18: for (unsigned int i = 0; i < 512; i++) ((u64 *)t)[i] = interesting(); break;
	case 19: for (unsigned int i = 0; i < 128; i++) ((u64 *)t)[2 * i + 1] = random() & 0x00ff0007000001ffull; d->avail[1] = 128; break;
	/* block requests: a sector beyond the end, and one that wraps */
	case 20: t[0].len = 16; t[0].flags = F_NEXT; t[1].flags = F_WRITE | F_NEXT; t[2] = (struct virtq_desc){ (u64)d->data, 1, F_WRITE, 0 };
		 ((u64 *)d->data)[1] = interesting(); break;
	default: t[0].len = 16; t[0].flags = F_NEXT; t[1] = (struct virtq_desc){ 0x100000, 0x10000000, F_NEXT, 2 };
		 t[2] = (struct virtq_desc){ (u64)d->data + 512, 1, F_WRITE, 0 }; *(u32 *)d->data = 1; ((u64 *)d->data)[1] = ~0ull; break;
	}
}

static void queue_chains(void)
{
	struct device d;

	for (unsigned int slot = 0; slot < 32; slot++)
		for (unsigned int kind = 0; find_device(slot, &d) && kind < 22; kind++)
			for (u16 queue = 0; queue < 2; queue++) {
				start(&d);
				break_chain(&d, kind);
				start_queue(&d, queue, MAX_QUEUE, (u64)d.desc, (u64)d.avail, (u64)d.used);
				notify(&d, queue);
			}
}

static void queue_addresses(void)
{
	struct device d;

	for (unsigned int slot = 0; slot < 32; slot++)
		for (unsigned int i = 0; find_device(slot, &d) && i < 300; i++) {
			u16 queue = random() & 3 ? (u16)(random() & 1) : (u16)random();

			start(&d);
			break_chain(&d, 21);
			start_queue(&d, queue, random() & 1 ? MAX_QUEUE : (u16)interesting(), random() & 1 ? interesting() : (u64)d.desc,
				    random() & 1 ? interesting() : (u64)d.avail, random() & 1 ? interesting() : (u64)d.used);
			notify(&d, queue);
			virtio_set_status(&d.f, (u8)random());
		}
}

/* The rings change while the device reads them, from another processor. */
static void scribble(void *arg)
{
	struct device *d = arg;

	random_state = 7;
	for (unsigned int i = 0; i < 300000; i++) {
		((u64 *)d->desc)[random() & 511] = interesting();
		d->avail[random() & 255] = (u16)random();
	}
}

static void queue_race(void)
{
	static struct device d;
	unsigned int slot = 0;

	while (slot < 32 && !find_device(slot, &d))
		slot++;
	apic_init();
	start_cpu(1, scribble, &d);
	for (unsigned int i = 0; i < 500; i++) {
		start(&d);
		start_queue(&d, 0, MAX_QUEUE, (u64)d.desc, (u64)d.avail, (u64)d.used);
		notify(&d, 0);
	}
}

static void msix_table(void)
{
	struct device d;

	for (unsigned int slot = 0; slot < 32; slot++)
		for (unsigned int i = 0; find_device(slot, &d) && i < 300; i++) {
			unsigned int at = *config(slot, 0x34);

			for (unsigned int k = 0; d.f.msix && k < 16; k++)
				*(volatile u32 *)(d.f.msix + (random() & 0x7c)) = random() & 1 ? 0xfee00000 | (u32)random() : (u32)interesting();
			while (at && *config(slot, at) != 0x11)
				at = *config(slot, at + 1);
			*(volatile u16 *)config(slot, at + 2) = (u16)(0x8000 | random());
			start(&d);
			virtio_set16(&d.f, 0x10, (u16)(random() % 5));
			break_chain(&d, 20);
			start_queue(&d, 0, MAX_QUEUE, (u64)d.desc, (u64)d.avail, (u64)d.used);
			virtio_set16(&d.f, VIRTIO_QUEUE_MSIX, (u16)(random() % 5));
			notify(&d, 0);
		}
}

static const struct hostile_case cases[] = {
	{ "config-space", config_space }, { "bar-registers", bar_registers }, { "queue-chains", queue_chains },
	{ "queue-addresses", queue_addresses }, { "queue-race", queue_race }, { "msix-table", msix_table },
};

int main(void)
{
	idt_init();
	return run_case(cases, sizeof(cases) / sizeof(cases[0]));
}
