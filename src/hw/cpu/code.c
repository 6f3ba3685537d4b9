// SPDX-License-Identifier: Apache-2.0
/*
 * code: which frames of a vm carry decoded code, and the messages by which vCPUs keep theirs current (see block.h).
 *
 * vm->code_lock protects the table's structure and the transitions of a frame; a writer posts the range to all vCPUs
 * and clears its bits in one critical section, so that a vCPU that decodes the new bytes sets its bits afterwards.
 */
#include <sched.h>
#include <stdlib.h>

#include "hw/cpu/block.h"
#include "hw/vm.h"

static u64 granules(u64 start, u64 size)
{
	unsigned int first = (start & ~HW_PAGE_MASK) / CODE_GRANULE,
		     last = ((start & ~HW_PAGE_MASK) + size - 1) / CODE_GRANULE;

	return ~0ull << first & ~0ull >> (63 - last);
}

static struct code_frame **bucket_of(struct hw_vm *vm, u64 page)
{
	return &vm->code_frames[(page >> HW_PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> (64 - CODE_FRAME_BITS)];
}

/* Frames are added in front and never removed: readers need no lock. */
static struct code_frame *find_frame(struct hw_vm *vm, u64 page)
{
	struct code_frame *f = __atomic_load_n(bucket_of(vm, page), __ATOMIC_ACQUIRE);

	while (f && f->page != page)
		f = f->next;
	return f;
}

static struct code_frame *add_frame(struct hw_vm *vm, u64 page)
{
	struct code_frame **bucket = bucket_of(vm, page), *f = calloc(1, sizeof(*f));

	if (!f)
		abort(); /* the host is out of memory: there is no state to go on from */
	f->page = page;
	f->next = *bucket;
	__atomic_store_n(bucket, f, __ATOMIC_RELEASE);
	return f;
}

bool code_on_frame(struct hw_vm *vm, hpa_t page)
{
	const struct code_frame *f = find_frame(vm, page.v & HW_PAGE_MASK);

	return f && __atomic_load_n(&f->granules, __ATOMIC_ACQUIRE);
}

/* ---------------------------------------------------------------- messages */

static u64 post(struct hw_cpu *to, enum code_message_kind kind, u64 start, u64 size)
{
	struct block_cache *b = to->blocks;
	u64 seq;

	pthread_mutex_lock(&b->queue_lock);
	if (b->queued < CODE_QUEUE_SIZE)
		b->queue[b->queued++] = (struct code_message){start, size, kind};
	else
		b->queue_overflow = true;
	seq = ++b->posted;
	pthread_mutex_unlock(&b->queue_lock);
	cpu_request(to, REQ_CODE_DROP);
	return seq;
}

void code_queue_process(struct hw_cpu *c)
{
	struct block_cache *b = c->blocks;
	struct code_message taken[CODE_QUEUE_SIZE];
	unsigned int count;
	bool overflow;
	u64 seq;

	pthread_mutex_lock(&b->queue_lock);
	count = b->queued;
	for (unsigned int k = 0; k < count; k++)
		taken[k] = b->queue[k];
	overflow = b->queue_overflow;
	seq = b->posted;
	b->queued = 0;
	b->queue_overflow = false;
	pthread_mutex_unlock(&b->queue_lock);

	for (unsigned int k = 0; k < count; k++) {
		if (taken[k].kind == CODE_PROTECT)
			cpu_tlb_protect_frame(c, hpa(taken[k].start));
		else
			block_drop_range(c, taken[k].start, taken[k].size);
	}
	if (overflow) {
		block_drop_all(c);
		cpu_tlb_flush(c);
	}
	__atomic_store_n(&b->processed, seq, __ATOMIC_RELEASE);
	c->counters.acks++;
}

/* ---------------------------------------------------------------- claiming */

static void wait_for(struct hw_cpu *c, struct hw_cpu *other, u64 seq)
{
	/* One that is outside hw_cpu_run() handles its requests when it enters; while we wait, we serve others' like
	 * it. */
	while (__atomic_load_n(&other->blocks->processed, __ATOMIC_ACQUIRE) < seq &&
	       __atomic_load_n(&other->in_run, __ATOMIC_SEQ_CST)) {
		u32 mine = __atomic_load_n(&c->request, __ATOMIC_ACQUIRE) & (REQ_CODE_DROP | REQ_TLB_FLUSH);

		if (mine)
			cpu_process_requests(c, mine);
		else
			sched_yield();
	}
}

static void protect_everywhere(struct hw_cpu *c, u64 page)
{
	struct hw_vm *vm = c->vm;
	unsigned int count = vm_cpu_count(vm);
	u64 seq[HW_MAX_CPUS];

	cpu_tlb_protect_frame(c, hpa(page));
	for (unsigned int k = 0; k < count; k++) {
		struct hw_cpu *other = vm_cpu(vm, k);

		seq[k] = other && other != c ? post(other, CODE_PROTECT, page, HW_PAGE_SIZE) : 0;
	}
	for (unsigned int k = 0; k < count; k++) {
		if (seq[k])
			wait_for(c, vm_cpu(vm, k), seq[k]);
	}
}

bool code_claim(struct hw_cpu *c, u64 start, u64 size)
{
	struct hw_vm *vm = c->vm;
	u64 page = start & HW_PAGE_MASK, mask = granules(start, size);
	struct code_frame *f;
	bool complete;

	pthread_mutex_lock(&vm->code_lock);
	f = find_frame(vm, page);
	if (!f)
		f = add_frame(vm, page);
	__atomic_store_n(&f->granules, f->granules | mask, __ATOMIC_SEQ_CST);
	complete = f->protected;
	pthread_mutex_unlock(&vm->code_lock);
	if (complete)
		return true;
	protect_everywhere(c, page);
	pthread_mutex_lock(&vm->code_lock);
	complete = (f->granules & mask) == mask;
	if (complete)
		f->protected = true;
	pthread_mutex_unlock(&vm->code_lock);
	return complete;
}

/* ---------------------------------------------------------------- writes */

/* `own`: the vCPU that writes, whose blocks are dropped at once; NULL: a device. */
static void written_in_page(struct hw_vm *vm, struct hw_cpu *own, u64 start, u64 size)
{
	struct code_frame *f = find_frame(vm, start & HW_PAGE_MASK);
	u64 mask = granules(start, size);

	if (!f || !(__atomic_load_n(&f->granules, __ATOMIC_SEQ_CST) & mask))
		return;
	/* blocks in the same granules go too: their bits do */
	start &= ~(u64)(CODE_GRANULE - 1);
	size = (u64)(64 - __builtin_clzll(mask) - __builtin_ctzll(mask)) * CODE_GRANULE;
	pthread_mutex_lock(&vm->code_lock);
	for (unsigned int k = 0; k < vm_cpu_count(vm); k++) {
		struct hw_cpu *other = vm_cpu(vm, k);

		if (other && other != own)
			post(other, CODE_DROP, start, size);
	}
	__atomic_store_n(&f->granules, f->granules & ~mask, __ATOMIC_SEQ_CST);
	if (!f->granules)
		f->protected = false;
	pthread_mutex_unlock(&vm->code_lock);
	if (own)
		block_drop_range(own, start, size);
}

static void written(struct hw_vm *vm, struct hw_cpu *own, u64 start, u64 size)
{
	while (size) {
		u64 in_page = HW_PAGE_SIZE - (start & ~HW_PAGE_MASK), n = size < in_page ? size : in_page;

		written_in_page(vm, own, start, n);
		start += n;
		size -= n;
	}
}

void code_written(struct hw_cpu *c, hpa_t start, unsigned int size)
{
	c->counters.smc_writes++;
	written(c->vm, c, start.v, size);
}

void hw_vm_memory_written(struct hw_vm *vm, hpa_t start, u64 size)
{
	written(vm, NULL, start.v, size);
}
