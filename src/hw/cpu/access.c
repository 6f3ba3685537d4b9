// SPDX-License-Identifier: Apache-2.0
/*
 * Loads, stores and fetches: the TLB hit for any size, and the slow path behind it.
 *
 * An access that crosses a page is two pieces. Both take the steps that can fault before anything leaves the processor,
 * and everything that leaves the processor is done before the first byte of memory changes.
 *
 * A piece that stage 2 refuses exits with its first eight bytes, or fewer. Only kvm knows what is there: it maps memory
 * and the instruction simply restarts, or it performs the access and the restarted instruction finds the result
 * recorded, takes it and goes on with the next eight bytes, as Linux' emulator splits accesses.
 */
#include <string.h>

#include "hw/cpu/walk.h"
#include "hw/phys/uaccess.h"

#define MAX_CHUNK 8u

struct piece {
	struct access a;
	unsigned int offset, length; /* in the whole access */
	u8 *host;		     /* NULL: made by kvm, chunk by chunk */
};

/* ---------------------------------------------------------------- host memory */

#define LOAD_STEP(n, type)                                                                                             \
	while (size >= n) {                                                                                            \
		u64 v;                                                                                                 \
		UACCESS_LOAD(n, src, v, gone);                                                                         \
		*(type *)dst = (type)v;                                                                                \
		dst = (u8 *)dst + n, src = (const u8 *)src + n;                                                        \
		size -= n;                                                                                             \
	}
#define STORE_STEP(n, type)                                                                                            \
	while (size >= n) {                                                                                            \
		u64 v = *(const type *)src;                                                                            \
		UACCESS_STORE(n, dst, v, gone);                                                                        \
		dst = (u8 *)dst + n, src = (const u8 *)src + n;                                                        \
		size -= n;                                                                                             \
	}

typedef u16 __attribute__((aligned(1), may_alias)) loose_u16;
typedef u32 __attribute__((aligned(1), may_alias)) loose_u32;
typedef u64 __attribute__((aligned(1), may_alias)) loose_u64;

/* One load each for 1, 2, 4 and 8 bytes. False: the memory is gone. */
static bool load_host(void *dst, const void *src, unsigned int size)
{
	u64 whole;

	if (size == 8) {
		UACCESS_LOAD_8(src, whole, gone);
		*(loose_u64 *)dst = whole;
		return true;
	}
	LOAD_STEP(8, loose_u64)
	LOAD_STEP(4, loose_u32)
	LOAD_STEP(2, loose_u16)
	LOAD_STEP(1, u8)
	return true;
gone:
	return false;
}

static bool store_host(void *dst, const void *src, unsigned int size)
{
	if (size == 8) {
		UACCESS_STORE_8(dst, *(const loose_u64 *)src, gone);
		return true;
	}
	STORE_STEP(8, loose_u64)
	STORE_STEP(4, loose_u32)
	STORE_STEP(2, loose_u16)
	STORE_STEP(1, u8)
	return true;
gone:
	return false;
}

/* ---------------------------------------------------------------- accesses made by kvm */

bool cpu_done_access(struct hw_cpu *c, bool pio, bool write, u64 addr, unsigned int size, u64 *data)
{
	const struct done_access *d = &c->done[c->done_next];

	if (c->done_next >= c->done_count || d->pio != pio || d->write != write || d->addr != addr || d->size != size)
		return false;
	c->done_next++;
	if (data)
		*data = d->data;
	return true;
}

void hw_cpu_complete_access(struct hw_cpu *c, u64 data)
{
	const struct hw_access *x = &c->exit.access;

	if (!c->exit_pending_access || c->done_next >= MAX_DONE_ACCESS)
		return;
	c->exit_pending_access = false;
	/* Records that the instruction did not ask for again this time are of no use any more. */
	c->done[c->done_next] = (struct done_access){
		.addr = x->addr,
		.data = data,
		.size = x->size,
		.write = x->write,
		.pio = x->pio,
	};
	c->done_count = c->done_next + 1;
	if (x->pio)
		c->string_size = 0;
}

void hw_cpu_complete_string(struct hw_cpu *c, const void *data)
{
	unsigned int size = c->exit.access.size * c->exit.access.count;

	hw_cpu_complete_access(c, 0);
	memcpy(c->string, data, size);
	c->string_size = size;
	c->string_next = 0;
}

void hw_cpu_drop_access(struct hw_cpu *c)
{
	c->exit_pending_access = false;
	cpu_insn_done(c);
}

bool hw_cpu_mid_insn(const struct hw_cpu *c)
{
	return c->done_count != 0;
}

/* Is the next record the first chunk of this piece? */
static bool piece_recorded(const struct hw_cpu *c, const struct piece *p, bool write)
{
	const struct done_access *d = &c->done[c->done_next];

	return c->done_next < c->done_count && !d->pio && d->write == write && d->addr == p->a.gpa.v;
}

static struct access chunk_access(const struct piece *p, unsigned int offset, unsigned int size)
{
	struct access a = p->a;

	a.lin += offset;
	a.gpa.v += offset;
	a.size = size;
	return a;
}

static unsigned int chunk_size(const struct piece *p, unsigned int offset)
{
	unsigned int left = p->length - offset;

	return left < MAX_CHUNK ? left : MAX_CHUNK;
}

/* A chunk that stage 2 allows after all: kvm changed its mind between two chunks. */
static int read_chunks(struct hw_cpu *c, const struct piece *p, u8 *dst)
{
	for (unsigned int offset = 0; offset < p->length; offset += MAX_CHUNK) {
		unsigned int size = chunk_size(p, offset);
		struct access a = chunk_access(p, offset, size);
		u64 data;
		int r;

		if (cpu_done_access(c, false, false, a.gpa.v, size, &data)) {
			memcpy(dst + offset, &data, size);
			continue;
		}
		r = access_stage2(c, &a);
		if (r)
			return r;
		if (!load_host(dst + offset, hpa_to_ptr(a.s2.hpa), size))
			return cpu_exit_host_fault(c);
	}
	return EXEC_OK;
}

static int write_chunks(struct hw_cpu *c, const struct piece *p, const u8 *src)
{
	for (unsigned int offset = 0; offset < p->length; offset += MAX_CHUNK) {
		unsigned int size = chunk_size(p, offset);
		struct access a = chunk_access(p, offset, size);
		int r;

		if (cpu_done_access(c, false, true, a.gpa.v, size, NULL))
			continue;
		r = access_stage2(c, &a);
		if (r == EXEC_EXIT && !c->exit.host_fault)
			memcpy(&c->exit.access.data, src + offset, size);
		if (r)
			return r;
		if (!store_host(hpa_to_ptr(a.s2.hpa), src + offset, size))
			return cpu_exit_host_fault(c);
	}
	return EXEC_OK;
}

/* ---------------------------------------------------------------- data breakpoints */

/* SDM 3B 17.2.5: the lengths are 1, 2, 8 and 4 bytes. */
static bool breakpoint_hit(const struct hw_cpu *c, unsigned int n, u64 lin, unsigned int size, bool write)
{
	static const u8 length[4] = {1, 2, 8, 4};
	u64 dr7 = c->arch.dr7;
	unsigned int kind = dr7 >> (16 + 4 * n) & 3;
	unsigned int len = length[dr7 >> (18 + 4 * n) & 3];
	u64 start = c->arch.dr[n] & ~(u64)(len - 1);

	if (!(dr7 >> (2 * n) & 3) || !(kind == 3 || (kind == 1 && write)))
		return false;
	return lin < start + len && start < lin + size;
}

/* A trap: raised when the instruction is complete. */
static void check_breakpoints(struct hw_cpu *c, u64 lin, unsigned int size, bool write)
{
	for (unsigned int n = 0; n < 4; n++) {
		if (!breakpoint_hit(c, n, lin, size, write))
			continue;
		c->pending_dr6 |= 1u << n;
		c->pending_db = true;
		sys_request_event(c);
	}
}

static void access_done(struct hw_cpu *c, u64 lin, unsigned int size, bool write)
{
	if (c->arch.dr7 & 0xff)
		check_breakpoints(c, lin, size, write);
}

/* ---------------------------------------------------------------- the slow path */

static unsigned int effective_acc(const struct hw_cpu *c, unsigned int acc)
{
	if (acc & ACC_IMPLICIT)
		return acc & ~ACC_USER;
	return c->cpl == 3 ? acc | ACC_USER : acc;
}

/* Addresses wrap at 4 GiB outside 64-bit mode (SDM 3A 3.3.7). */
static u64 next_page(const struct hw_cpu *c, u64 lin, unsigned int acc)
{
	u64 next = (lin & HW_PAGE_MASK) + HW_PAGE_SIZE;

	return cpu_cs64(c) || (cpu_long_mode(c) && (acc & ACC_IMPLICIT)) ? next : (u32)next;
}

static void piece_init(struct piece *p, u64 lin, unsigned int offset, unsigned int length, unsigned int acc)
{
	p->offset = offset;
	p->length = length;
	p->host = NULL;
	memset(&p->a, 0, sizeof(p->a));
	p->a.lin = lin;
	p->a.acc = acc;
	p->a.size = length;
}

/* Steps 1 to 3 of the whole access. */
static int translate(struct hw_cpu *c, u64 lin, unsigned int size, unsigned int acc, struct piece p[2],
		     unsigned int *count)
{
	unsigned int first = HW_PAGE_SIZE - (lin & ~HW_PAGE_MASK);
	struct access whole = {.lin = lin, .size = size, .acc = acc};
	int r = access_begin(c, &whole);

	*count = 1;
	piece_init(&p[0], lin, 0, first < size ? first : size, acc);
	if (first < size) {
		*count = 2;
		piece_init(&p[1], next_page(c, lin, acc), first, size - first, acc);
	}
	for (unsigned int i = 0; !r && i < *count; i++) {
		r = access_guest_walk(c, &p[i].a);
		if (!r)
			access_claim(c, &p[i].a);
	}
	return r;
}

/* Step 4. Leaves host NULL for what kvm has begun to perform. */
static int open_piece(struct hw_cpu *c, struct piece *p, bool write)
{
	int r;

	if (piece_recorded(c, p, write))
		return EXEC_OK;
	r = access_stage2(c, &p->a);
	if (!r)
		p->host = hpa_to_ptr(p->a.s2.hpa);
	return r;
}

static int read_slow(struct hw_cpu *c, u64 lin, u8 *dst, unsigned int size, unsigned int acc)
{
	struct piece p[2];
	unsigned int count;
	int r = translate(c, lin, size, acc, p, &count);

	c->counters.slow_accesses++;
	c->counters.tlb_misses_read++;
	for (unsigned int i = 0; !r && i < count; i++) {
		r = open_piece(c, &p[i], false);
		if (!r && !p[i].host)
			r = read_chunks(c, &p[i], dst + p[i].offset);
		if (!r && p[i].host && !load_host(dst + p[i].offset, p[i].host, p[i].length))
			return cpu_exit_host_fault(c);
		if (!r && p[i].host)
			tlb_fill(c, &p[i].a,
				 (acc & ACC_RMW) && code_on_frame(c->vm, hpa(p[i].a.s2.hpa.v & HW_PAGE_MASK)));
	}
	if (!r)
		access_done(c, lin, size, acc & ACC_RMW);
	return r;
}

/* After a store: see tlb.c for the order of store, question and filling. */
static void stored(struct hw_cpu *c, const struct piece *p)
{
	hpa_t page = hpa(p->a.s2.hpa.v & HW_PAGE_MASK);
	bool code;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	code = code_on_frame(c->vm, page);
	if (code)
		code_written(c, p->a.s2.hpa, p->length);
	tlb_fill(c, &p->a, code);
}

/* What leaves the processor first, memory last. */
static int write_pieces(struct hw_cpu *c, struct piece *p, unsigned int count, const u8 *src)
{
	for (unsigned int i = 0; i < count; i++) {
		int r = open_piece(c, &p[i], true);

		if (r == EXEC_EXIT && !c->exit.host_fault)
			memcpy(&c->exit.access.data, src + p[i].offset, c->exit.access.size);
		if (!r && !p[i].host)
			r = write_chunks(c, &p[i], src + p[i].offset);
		if (r)
			return r;
	}
	for (unsigned int i = 0; i < count; i++) {
		if (!p[i].host)
			continue;
		if (!store_host(p[i].host, src + p[i].offset, p[i].length))
			return cpu_exit_host_fault(c);
		stored(c, &p[i]);
	}
	return EXEC_OK;
}

static int write_slow(struct hw_cpu *c, u64 lin, const u8 *src, unsigned int size, unsigned int acc)
{
	struct piece p[2];
	unsigned int count;
	int r = translate(c, lin, size, acc, p, &count);

	c->counters.slow_accesses++;
	c->counters.tlb_misses_write++;
	if (!r)
		r = write_pieces(c, p, count, src);
	if (!r)
		access_done(c, lin, size, true);
	return r;
}

/* ---------------------------------------------------------------- loads and stores */

/* NULL: no hit. */
static void *tlb_hit(const struct tlb_entry *set, u64 lin, unsigned int size)
{
	const struct tlb_entry *e = &set[tlb_index(lin)];

	return ((lin + size - 1) & HW_PAGE_MASK) == e->tag ? (void *)(uintptr_t)(lin + e->addend) : NULL;
}

int cpu_read_acc(struct hw_cpu *c, u64 lin, void *dst, unsigned int size, unsigned int acc)
{
	unsigned int set = tlb_set(c, acc = effective_acc(c, acc));
	void *host = tlb_hit(acc & ACC_RMW ? c->tlb_write[set] : c->tlb_read[set], lin, size);

	if (!host)
		return read_slow(c, lin, dst, size, acc);
	return load_host(dst, host, size) ? EXEC_OK : cpu_exit_host_fault(c);
}

int cpu_write_acc(struct hw_cpu *c, u64 lin, const void *src, unsigned int size, unsigned int acc)
{
	unsigned int set = tlb_set(c, acc = effective_acc(c, acc | ACC_WRITE));
	void *host = tlb_hit(c->tlb_write[set], lin, size);

	if (!host)
		return write_slow(c, lin, src, size, acc);
	return store_host(host, src, size) ? EXEC_OK : cpu_exit_host_fault(c);
}

int cpu_read(struct hw_cpu *c, u64 lin, void *dst, unsigned int size)
{
	void *host = tlb_hit(c->tlb_read[c->tlb_mode], lin, size);

	if (host && load_host(dst, host, size))
		return EXEC_OK;
	return cpu_read_acc(c, lin, dst, size, ACC_READ);
}

int cpu_write(struct hw_cpu *c, u64 lin, const void *src, unsigned int size)
{
	void *host = tlb_hit(c->tlb_write[c->tlb_mode], lin, size);

	if (host && store_host(host, src, size))
		return EXEC_OK;
	return cpu_write_acc(c, lin, src, size, ACC_WRITE);
}

int cpu_probe_write(struct hw_cpu *c, u64 lin, unsigned int size)
{
	unsigned int acc = effective_acc(c, ACC_WRITE), count;
	struct piece p[2];

	if (tlb_hit(c->tlb_write[tlb_set(c, acc)], lin, size))
		return EXEC_OK;
	return translate(c, lin, size, acc, p, &count);
}

/* ---------------------------------------------------------------- read-modify-write */

int cpu_rmw_host(struct hw_cpu *c, u64 lin, unsigned int size, void **host)
{
	unsigned int acc = effective_acc(c, ACC_WRITE), count;
	struct piece p[2];
	bool code;
	int r;

	*host = tlb_hit(c->tlb_write[tlb_set(c, acc)], lin, size);
	if (*host)
		return EXEC_OK;
	c->counters.slow_accesses++;
	c->counters.tlb_misses_write++;
	r = translate(c, lin, size, acc, p, &count);
	if (r || count > 1 || c->done_count)
		return r;
	/* Refused by stage 2: cpu_locked_rmw() finds out whether it is MMIO, reading first as the instruction does. */
	access_stage2_walk(c, &p[0].a, STAGE2_W);
	if (p[0].a.s2.result != STAGE2_OK)
		return EXEC_OK;
	/* A store to decoded code must be followed by code_written(): also cpu_locked_rmw()'s. */
	code = code_on_frame(c->vm, hpa(p[0].a.s2.hpa.v & HW_PAGE_MASK));
	tlb_fill(c, &p[0].a, code);
	if (!code)
		*host = hpa_to_ptr(p[0].a.s2.hpa);
	access_done(c, lin, size, true);
	return EXEC_OK;
}

struct rmw {
	bool (*fn)(const void *old, void *new_value, void *opaque);
	void *opaque;
};

#define ATOMIC_RMW(n)                                                                                                  \
	static int atomic_rmw_##n(struct hw_cpu *c, void *host, const struct rmw *rmw)                                 \
	{                                                                                                              \
		u64 old, value;                                                                                        \
		bool swapped;                                                                                          \
		UACCESS_LOAD(n, host, old, gone);                                                                      \
		do {                                                                                                   \
			value = old;                                                                                   \
			if (!rmw->fn(&old, &value, rmw->opaque))                                                       \
				return EXEC_OK;                                                                        \
			UACCESS_CMPXCHG(n, host, old, value, swapped, gone);                                           \
		} while (!swapped);                                                                                    \
		return EXEC_OK;                                                                                        \
	gone:                                                                                                          \
		return cpu_exit_host_fault(c);                                                                         \
	}
#define UACCESS_CMPXCHG(n, p, o, v, ok, label) UACCESS_CMPXCHG_##n(p, o, v, ok, label)
ATOMIC_RMW(1)
ATOMIC_RMW(2)
ATOMIC_RMW(4)
ATOMIC_RMW(8)

/* CMPXCHG16B: the caller has refused misaligned operands (#GP). */
static int atomic_rmw_16(struct hw_cpu *c, void *host, const struct rmw *rmw)
{
	u64 old[2], value[2];
	bool swapped;

	if (!load_host(old, host, sizeof(old)))
		return cpu_exit_host_fault(c);
	do {
		value[0] = old[0];
		value[1] = old[1];
		if (!rmw->fn(old, value, rmw->opaque))
			return EXEC_OK;
		asm volatile goto("1: lock cmpxchg16b %0\n" UACCESS_EX(gone)
				  : "+m"(*(volatile unsigned __int128 *)host), "+a"(old[0]), "+d"(old[1]),
				    "=@ccz"(swapped)
				  : "b"(value[0]), "c"(value[1])
				  : "memory"
				  : gone);
	} while (!swapped);
	return EXEC_OK;
gone:
	return cpu_exit_host_fault(c);
}

/* EXEC_AGAIN: no host instruction does it. */
static int atomic_rmw(struct hw_cpu *c, void *host, unsigned int size, const struct rmw *rmw)
{
	switch (size) {
	case 1:
		return atomic_rmw_1(c, host, rmw);
	case 2:
		return atomic_rmw_2(c, host, rmw);
	case 4:
		return atomic_rmw_4(c, host, rmw);
	case 8:
		return atomic_rmw_8(c, host, rmw);
	case 16:
		return (uintptr_t)host & 15 ? EXEC_AGAIN : atomic_rmw_16(c, host, rmw);
	}
	return EXEC_AGAIN;
}

/* All of it memory that may be written, and in one run of host addresses: its start, else NULL. */
static void *contiguous(struct hw_cpu *c, struct piece *p, unsigned int count)
{
	if (c->done_count)
		return NULL;
	for (unsigned int i = 0; i < count; i++) {
		access_stage2_walk(c, &p[i].a, STAGE2_W);
		if (p[i].a.s2.result != STAGE2_OK)
			return NULL;
	}
	if (count == 2 && p[0].a.s2.hpa.v + p[0].length != p[1].a.s2.hpa.v)
		return NULL;
	return hpa_to_ptr(p[0].a.s2.hpa);
}

/* Outside memory, or across frames that no host instruction spans: under a lock, against others of its kind. */
static int split_rmw(struct hw_cpu *c, struct piece *p, unsigned int count, unsigned int size, const struct rmw *rmw)
{
	u8 old[16] = {0}, value[16];
	int r = EXEC_OK;

	vm_split_lock(c->vm);
	for (unsigned int i = 0; !r && i < count; i++) {
		p[i].host = NULL;
		p[i].a.acc = (p[i].a.acc & ~ACC_WRITE) | ACC_RMW;
		r = read_chunks(c, &p[i], old + p[i].offset);
		p[i].a.acc |= ACC_WRITE;
	}
	memcpy(value, old, sizeof(value));
	if (!r && rmw->fn(old, value, rmw->opaque))
		r = write_pieces(c, p, count, value);
	vm_split_unlock(c->vm);
	return r;
}

int cpu_locked_rmw(struct hw_cpu *c, u64 lin, unsigned int size,
		   bool (*fn)(const void *old, void *new_value, void *opaque), void *opaque)
{
	const struct rmw rmw = {.fn = fn, .opaque = opaque};
	struct piece p[2];
	unsigned int count;
	void *host;
	int r;

	if (size > 16)
		return cpu_gp(c, 0);
	r = translate(c, lin, size, effective_acc(c, ACC_WRITE), p, &count);
	if (r)
		return r;
	host = contiguous(c, p, count);
	r = host ? atomic_rmw(c, host, size, &rmw) : EXEC_AGAIN;
	if (r == EXEC_AGAIN)
		r = split_rmw(c, p, count, size, &rmw);
	else if (!r)
		for (unsigned int i = 0; i < count; i++)
			stored(c, &p[i]);
	if (!r)
		access_done(c, lin, size, true);
	return r;
}

/* ---------------------------------------------------------------- fetches */

static int fetch_slow(struct hw_cpu *c, u64 lin, unsigned int acc, hpa_t *host)
{
	struct access a = {.lin = lin, .acc = acc, .size = 1};
	int r = access_begin(c, &a);

	c->counters.tlb_misses_fetch++;
	if (!r)
		r = access_guest_walk(c, &a);
	if (r)
		return r;
	access_claim(c, &a);
	r = access_stage2(c, &a);
	if (r)
		return r;
	*host = a.s2.hpa;
	tlb_fetch_fill(c, &a);
	return EXEC_OK;
}

int cpu_fetch_translate(struct hw_cpu *c, u64 lin, hpa_t *host)
{
	unsigned int acc = effective_acc(c, ACC_FETCH);

	if (tlb_fetch_lookup(c, lin, acc & ACC_USER, host))
		return EXEC_OK;
	return fetch_slow(c, lin, acc, host);
}

/* Reading ahead: whether the second page faults matters only if the instruction gets there. */
static void fetch_second(struct hw_cpu *c, u64 lin, struct fetch_result *out)
{
	unsigned int injected = c->fault_bits_count;
	unsigned int size = sizeof(out->bytes) - out->len;
	hpa_t host;

	if (cpu_fetch_translate(c, next_page(c, lin, ACC_FETCH), &host)) {
		c->fault_bits_count = injected;
		return;
	}
	if (!load_host(out->bytes + out->len, hpa_to_ptr(host), size))
		return;
	out->second = host;
	out->len += size;
}

int cpu_fetch(struct hw_cpu *c, u64 lin, struct fetch_result *out)
{
	unsigned int left = HW_PAGE_SIZE - (lin & ~HW_PAGE_MASK);
	int r = cpu_fetch_translate(c, lin, &out->first);

	if (r)
		return r;
	out->second = hpa(0);
	out->len = left < sizeof(out->bytes) ? left : sizeof(out->bytes);
	if (!load_host(out->bytes, hpa_to_ptr(out->first), out->len))
		return cpu_exit_host_fault(c);
	if (out->len < sizeof(out->bytes))
		fetch_second(c, lin, out);
	return EXEC_OK;
}

/* Without faults and exits: what the processor executed it has in its TLB. */
unsigned int hw_cpu_insn_bytes(struct hw_cpu *c, u8 *bytes)
{
	u64 lin = cpu_cs64(c) ? c->arch.rip : (u32)(c->arch.seg[HW_CS].base + c->arch.rip);
	unsigned int in_page = HW_PAGE_SIZE - (lin & ~HW_PAGE_MASK), size = in_page < 15 ? in_page : 15;
	unsigned int acc = effective_acc(c, ACC_FETCH);
	hpa_t host;

	if (!tlb_fetch_lookup(c, lin, acc & ACC_USER, &host) || !load_host(bytes, hpa_to_ptr(host), size))
		return 0;
	if (size == 15 || !tlb_fetch_lookup(c, next_page(c, lin, ACC_FETCH), acc & ACC_USER, &host) ||
	    !load_host(bytes + size, hpa_to_ptr(host), 15 - size))
		return size;
	return 15;
}
