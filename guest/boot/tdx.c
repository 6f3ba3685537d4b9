/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trust domain: what the VMM has loaded was added and measured in its place, the first stage's own pages among it. All other RAM
 * is pending, and is accepted here by all processors at once (TDX ABI TDG.MEM.PAGE.ACCEPT), 2 MiB at a time.
 */
#include "boot/boot.h"
#include "runtime/ve_runtime.h"

#define CHUNK		0x200000ull
#define TDG_VP_INFO	1
#define GPAW_MASK	0x3fu

static uint32_t *shared_word(uint32_t offset)
{
	return (uint32_t *)(uintptr_t)(FIRST_STAGE_MAILBOX + offset);
}

/* For the runtime. Asked each time: there is no writable memory that outlives a call. */
uint64_t tdx_shared_bit(void)
{
	struct tdcall r = { 0 };

	tdcall(TDG_VP_INFO, &r);
	return 1ull << ((r.rcx & GPAW_MASK) - 1);
}

void boot_out8(uint16_t port, uint8_t value)
{
	tdx_port_out(port, 1, value);
}

static uint32_t chunks_of(const struct first_stage_range *ram)
{
	return (uint32_t)((ram->size + CHUNK - 1) / CHUNK);
}

/* Memory that the host says was accepted before is memory that it has exchanged. */
static void accept(uint64_t start, uint64_t end)
{
	if (start < end && tdx_accept(start, end - start) != TDX_OK)
		boot_fail("memory cannot be accepted");
}

/* What the VMM has loaded was never pending. */
static void accept_chunk(const struct first_stage_info *info, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < info->nr_placed && start < end; i++) {
		const struct first_stage_range *placed = &info->placed[i];

		if (placed->start >= end)
			break;
		if (placed->start + placed->size <= start)
			continue;
		accept(start, placed->start);
		start = placed->start + placed->size;
	}
	accept(start, end);
}

static void accept_nth_chunk(const struct first_stage_info *info, uint32_t n)
{
	const struct first_stage_range *ram = info->ram;
	uint64_t start, end;

	if (n >= chunks_of(ram)) {
		n -= chunks_of(ram);
		ram++;
	}
	start = ram->start + n * CHUNK;
	end = ram->start + ram->size;
	accept_chunk(info, start, end - start > CHUNK ? start + CHUNK : end);
}

static uint32_t all_chunks(const struct first_stage_info *info)
{
	return chunks_of(&info->ram[0]) + chunks_of(&info->ram[1]);
}

static void work(const struct first_stage_info *info)
{
	uint32_t all = all_chunks(info), n;

	for (;;) {
		n = __atomic_fetch_add(shared_word(MAILBOX_NEXT), 1, __ATOMIC_RELAXED);
		if (n >= all)
			return;
		accept_nth_chunk(info, n);
		__atomic_fetch_add(shared_word(MAILBOX_DONE), 1, __ATOMIC_RELEASE);
	}
}

/* The description is measured: no need for a copy of one's own. */
void boot_help(void)
{
	work((const struct first_stage_info *)FIRST_STAGE_INFO);
}

void boot_take_memory(const struct first_stage_info *info)
{
	work(info);
	while (__atomic_load_n(shared_word(MAILBOX_DONE), __ATOMIC_ACQUIRE) < all_chunks(info))
		__asm__ volatile("pause");
}
