// SPDX-License-Identifier: Apache-2.0
/* block: the cache of decoded code of one vCPU. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hw/cpu/block.h"
#include "hw/debug.h"

#define HASH_SIZE (1u << BLOCK_HASH_BITS)

static unsigned int hash_of(u64 host, u32 mode)
{
	return (u32)((host ^ (u64)mode << 20) * 0x9e3779b97f4a7c15ull >> (64 - BLOCK_HASH_BITS));
}

static unsigned int page_hash(u64 host)
{
	return hash_of(host & HW_PAGE_MASK, 0);
}

int block_cache_create(struct hw_cpu *c)
{
	struct block_cache *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->hash = calloc(HASH_SIZE, sizeof(*b->hash));
	b->by_page = calloc(HASH_SIZE, sizeof(*b->by_page));
	b->arena = mmap(NULL, BLOCK_ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			0);
	if (!b->hash || !b->by_page || b->arena == MAP_FAILED) {
		if (b->arena != MAP_FAILED)
			munmap(b->arena, BLOCK_ARENA_SIZE);
		free(b->hash);
		free(b->by_page);
		free(b);
		return -ENOMEM;
	}
	b->generation = 1;
	pthread_mutex_init(&b->queue_lock, NULL);
	decode_init(b);
	c->blocks = b;
	code_translation_changed(c);
	return 0;
}

void block_cache_destroy(struct hw_cpu *c)
{
	struct block_cache *b = c->blocks;

	if (!b)
		return;
	munmap(b->arena, BLOCK_ARENA_SIZE);
	pthread_mutex_destroy(&b->queue_lock);
	free(b->hash);
	free(b->by_page);
	free(b);
	c->blocks = NULL;
}

/* ---------------------------------------------------------------- jump cache */

/* Generation 0 is nobody's, so cleared entries match nothing. */
void code_translation_changed(struct hw_cpu *c)
{
	if (!c->blocks)
		return;
	c->jump_generation++;
	if (c->jump_generation == HW_PAGE_SIZE) {
		memset(c->jump_cache, 0, sizeof(c->jump_cache));
		c->jump_generation = 1;
	}
}

static u8 salt_of(u32 mode)
{
	return (u8)((mode & 0x3f) | (mode & MODE_LONG ? 0x40 : 0));
}

static bool may_cache_jump(u32 mode)
{
	return !(mode & MODE_STEP) && (mode & MODE_CS64 || (mode & MODE_CS32 && mode & MODE_FLAT));
}

static void remember_jump(struct hw_cpu *c, u64 rip, u32 mode, const struct block *b)
{
	c->jump_cache[jump_index(rip)] = (struct jump_entry){jump_tag(c, rip, salt_of(mode)), b->ops};
}

/* ---------------------------------------------------------------- dropping */

static void remove_from(struct block **list, struct block *b, size_t link)
{
	while (*list != b)
		list = (struct block **)((char *)*list + link);
	*list = *(struct block **)((char *)b + link);
}

static bool overlaps(const struct block *b, u64 start, u64 end)
{
	if (b->host < end && start < b->host + b->size_first)
		return true;
	return b->second && b->second < end && start < b->second + b->size - b->size_first;
}

/* Its memory stays until the arena is emptied: a running block may be dropped by its own store. */
static void drop_block(struct hw_cpu *c, struct block *b)
{
	struct op *l;

	b->dropped = true;
	b->ops[0].handler = op_stale;
	remove_from(&c->blocks->hash[hash_of(b->host, b->mode)], b, offsetof(struct block, hash_next));
	for (l = b->incoming; l; l = l->next_incoming)
		l->target = l;
	b->incoming = NULL;
	c->blocks->leave = true;
	c->counters.blocks_dropped++;
}

/* A block of two pages is in the lists of both, in the second's through page_next[1]; dropped ones leave as lists are
 * walked. */
static void drop_in_page(struct hw_cpu *c, u64 page, u64 start, u64 end)
{
	unsigned int bucket = page_hash(page);
	struct block **list = &c->blocks->by_page[bucket];

	while (*list) {
		struct block *b = *list;
		struct block **next = &b->page_next[page_hash(b->host) == bucket ? 0 : 1];

		if (!b->dropped && overlaps(b, start, end))
			drop_block(c, b);
		if (b->dropped)
			*list = *next;
		else
			list = next;
	}
}

void block_drop_range(struct hw_cpu *c, u64 start, u64 size)
{
	u64 end = start + size;

	for (u64 page = start & HW_PAGE_MASK; page < end; page += HW_PAGE_SIZE)
		drop_in_page(c, page, start, end);
}

void block_drop_all(struct hw_cpu *c)
{
	for (unsigned int k = 0; k < HASH_SIZE; k++) {
		while (c->blocks->hash[k])
			drop_block(c, c->blocks->hash[k]);
	}
}

/* Only while no block runs. */
static void empty_arena(struct hw_cpu *c)
{
	struct block_cache *b = c->blocks;

	memset(b->hash, 0, HASH_SIZE * sizeof(*b->hash));
	memset(b->by_page, 0, HASH_SIZE * sizeof(*b->by_page));
	b->active = NULL;
	b->link = NULL;
	b->used = 0;
	code_translation_changed(c);
}

/* ---------------------------------------------------------------- comparing with memory */

void block_new_generation(struct hw_cpu *c)
{
	struct block_cache *cache = c->blocks;

	for (struct block *b = cache->active; b; b = b->active_next) {
		if (!b->dropped)
			b->ops[0].handler = op_validate;
	}
	cache->active = NULL;
	cache->generation++;
}

static bool same_bytes(u64 host, const u8 *bytes, size_t size)
{
	u64 v, w;
	size_t k = 0;

	for (; k + 8 <= size; k += 8) {
		UACCESS_LOAD_8(host + k, v, gone);
		memcpy(&w, bytes + k, 8);
		if (v != w)
			return false;
	}
	for (; k < size; k++) {
		UACCESS_LOAD_1(host + k, v, gone);
		if ((u8)v != bytes[k])
			return false;
	}
	return true;
gone:
	return false;
}

static bool matches_memory(const struct block *b)
{
	const u8 *code = (const u8 *)b + b->code_offset;

	return same_bytes(b->host, code, b->size_first) &&
	       (!b->second || same_bytes(b->second, code + b->size_first, b->size - b->size_first));
}

static void activate(struct hw_cpu *c, struct block *b)
{
	b->generation = c->blocks->generation;
	b->active_next = c->blocks->active;
	c->blocks->active = b;
	b->ops[0].handler = b->first_handler;
}

bool block_validate(struct hw_cpu *c, struct block *b)
{
	if (b->dropped)
		return false;
	if (!matches_memory(b)) {
		drop_block(c, b);
		return false;
	}
	activate(c, b);
	return true;
}

/* ---------------------------------------------------------------- building */

struct source {
	u64 lin, host, second;
	u8 bytes[BLOCK_MAX_INSNS * 8];
	size_t size;
	bool crosses;
};

/* Bytes up to the page's end, or the one instruction that crosses it. */
static int read_source(struct hw_cpu *c, struct source *s)
{
	size_t in_page = HW_PAGE_SIZE - (s->lin & ~HW_PAGE_MASK);

	s->size = in_page < sizeof(s->bytes) ? in_page : sizeof(s->bytes);
	s->crosses = false;
	s->second = 0;
	if (hw_copy_from_host(s->bytes, hpa(s->host), s->size))
		return cpu_exit_host_fault(c);
	return EXEC_OK;
}

static int read_crossing(struct hw_cpu *c, struct source *s)
{
	struct fetch_result f;
	int r = cpu_fetch(c, s->lin, &f);

	if (r)
		return r;
	memcpy(s->bytes, f.bytes, f.len);
	s->size = f.len;
	s->host = f.first.v;
	s->second = f.second.v;
	s->crosses = true;
	return EXEC_OK;
}

/* The instruction needs a byte that cannot be fetched: the fault is that of the next page. */
static int fetch_fault(struct hw_cpu *c, u64 lin)
{
	struct fetch_result f;
	int r = cpu_fetch(c, (lin & HW_PAGE_MASK) + HW_PAGE_SIZE, &f);

	return r ? r : cpu_gp(c, 0);
}

/* A block begins where a breakpoint may be, and is entered only by way of hw_cpu_run(), which looks. */
static bool breakpoint_offset(const struct hw_cpu *c, size_t ip)
{
	return unlikely(c->debug) && debug_offset_has_breakpoint(c->debug, ip & ~HW_PAGE_MASK);
}

static void decode_source(struct hw_cpu *c, const struct source *s, struct decoded_block *d, size_t *used,
			  enum decode_status *status)
{
	unsigned int max = d->mode & MODE_STEP || s->crosses ? 1 : BLOCK_MAX_INSNS;
	u16 ip = s->lin & ~HW_PAGE_MASK;
	size_t at = 0;

	d->count = 0;
	d->end = BLOCK_END_FALLTHROUGH;
	*status = DECODE_OK;
	while (d->count < max) {
		struct insn *i = &d->insn[d->count];
		size_t left = s->size - at;

		*status = decode_insn(c->blocks, d->mode, s->bytes + at, left < 15 ? left : 15, i);
		if (*status != DECODE_OK)
			break;
		d->ip[d->count++] = (u16)(ip + at);
		at += i->len;
		if (insn_ends_block(i)) {
			d->end = BLOCK_END_BRANCH;
			break;
		}
		if (at == s->size || breakpoint_offset(c, ip + at))
			break;
	}
	d->next_ip = (u16)(ip + at);
	*used = at;
}

/* What could not be decoded is code as well: up to 15 bytes that must stay as they are. */
static void decode_failed(const struct source *s, struct decoded_block *d, enum decode_status status, size_t *used)
{
	d->end = status == DECODE_TOO_LONG ? BLOCK_END_GP : BLOCK_END_UD;
	d->count = 0;
	d->ip[0] = s->lin & ~HW_PAGE_MASK;
	*used = s->size < 15 ? s->size : 15;
}

static int decode_at(struct hw_cpu *c, struct source *s, struct decoded_block *d, size_t *used)
{
	enum decode_status status;
	int r = read_source(c, s);

	if (r)
		return r;
	decode_source(c, s, d, used, &status);
	if (d->count)
		return EXEC_OK;
	if (status == DECODE_MORE) {
		r = read_crossing(c, s);
		if (r)
			return r;
		decode_source(c, s, d, used, &status);
		if (d->count)
			return EXEC_OK;
		if (status == DECODE_MORE)
			return fetch_fault(c, s->lin);
	}
	decode_failed(s, d, status, used);
	return EXEC_OK;
}

static struct block *allocate(struct hw_cpu *c, size_t code)
{
	size_t most = offsetof(struct block, ops) + BLOCK_MAX_OPS * sizeof(struct op) +
		      BLOCK_MAX_INSNS * sizeof(struct insn) + code;
	struct block_cache *b = c->blocks;

	if (b->used + most > BLOCK_ARENA_SIZE)
		empty_arena(c);
	return (struct block *)(b->arena + b->used);
}

static void insert(struct hw_cpu *c, struct block *b)
{
	struct block_cache *cache = c->blocks;
	struct block **list = &cache->hash[hash_of(b->host, b->mode)];

	b->hash_next = *list;
	*list = b;
	list = &cache->by_page[page_hash(b->host)];
	b->page_next[0] = *list;
	*list = b;
	/* once in a list is enough if both pages share it */
	if (b->second && page_hash(b->second) != page_hash(b->host)) {
		list = &cache->by_page[page_hash(b->second)];
		b->page_next[1] = *list;
		*list = b;
	}
}

static struct block *make_block(struct hw_cpu *c, const struct source *s, const struct decoded_block *d, size_t used)
{
	size_t in_page = HW_PAGE_SIZE - (s->lin & ~HW_PAGE_MASK);
	struct block *b = allocate(c, used);
	size_t size;

	*b = (struct block){
		.host = s->host,
		.mode = d->mode,
		.size = (u16)used,
		.size_first = (u16)(used < in_page ? used : in_page),
	};
	b->second = used > in_page ? s->second : 0;
	size = bind_block(d, b->ops);
	b->code_offset = (u32)(offsetof(struct block, ops) + size);
	memcpy((u8 *)b + b->code_offset, s->bytes, used);
	b->first_handler = b->ops[0].handler;
	c->blocks->used += (b->code_offset + used + 63) & ~(size_t)63;
	return b;
}

static int build(struct hw_cpu *c, u64 lin, u64 host, u32 mode, struct block **out)
{
	struct decoded_block d = {.mode = mode};
	struct source s = {.lin = lin, .host = host};
	struct block *b;
	size_t used;
	int r;

	for (;;) {
		size_t mark;

		r = decode_at(c, &s, &d, &used);
		if (r)
			return r;
		b = make_block(c, &s, &d, used);
		mark = (size_t)((u8 *)b - c->blocks->arena);
		if (code_claim(c, b->host, b->size_first) &&
		    (!b->second || code_claim(c, b->second, b->size - b->size_first)) && matches_memory(b))
			break;
		c->blocks->used = mark;
		/* a claim processes requests: the translation may be another one now */
		if (__atomic_load_n(&c->request, __ATOMIC_RELAXED))
			return EXEC_AGAIN;
	}
	insert(c, b);
	activate(c, b);
	c->counters.blocks_built++;
	*out = b;
	return EXEC_OK;
}

/* ---------------------------------------------------------------- finding */

static int linear_rip(struct hw_cpu *c, u32 mode, u64 *lin)
{
	const struct hw_segment *cs = &c->arch.seg[HW_CS];
	unsigned int shift = c->arch.cr4 >> 12 & 1 ? 7 : 16; /* CR4.LA57 */

	if (mode & MODE_CS64) {
		*lin = c->arch.rip;
		return (u64)((s64)(*lin << shift) >> shift) == *lin ? EXEC_OK : cpu_gp(c, 0);
	}
	c->arch.rip = (u32)c->arch.rip;
	*lin = (u32)(cs->base + c->arch.rip);
	return mode & MODE_FLAT || c->arch.rip <= cs->limit ? EXEC_OK : cpu_gp(c, 0);
}

static struct block *search(struct hw_cpu *c, u64 host, u32 mode)
{
	struct block *b = c->blocks->hash[hash_of(host, mode)];

	while (b && (b->host != host || b->mode != mode))
		b = b->hash_next;
	return b;
}

/* Is what was found still the code at this place? */
static int recheck(struct hw_cpu *c, u64 lin, struct block *b, bool *good)
{
	*good = b->generation == c->blocks->generation || block_validate(c, b);
	if (*good && b->second) {
		hpa_t second;
		int r = cpu_fetch_translate(c, (lin & HW_PAGE_MASK) + HW_PAGE_SIZE, &second);

		if (r)
			return r;
		if (second.v != b->second) {
			drop_block(c, b);
			*good = false;
		}
	}
	return EXEC_OK;
}

/* The link's page is where execution is, for only branches within a page ask to be resolved. A block that depends on a
 * second page must be looked up after every change of translations: it is not linked to. */
static void resolve_link(struct block_cache *cache, struct block *b)
{
	struct op *l = cache->link;

	if (!l || b->second)
		return;
	l->target = b->ops;
	l->next_incoming = b->incoming;
	b->incoming = l;
}

static int find(struct hw_cpu *c, u32 mode, const struct op **out)
{
	struct block_cache *cache = c->blocks;
	struct block *b;
	bool good = false;
	hpa_t host;
	u64 lin, rip;
	int r = linear_rip(c, mode, &lin);

	if (r)
		return r;
	rip = c->arch.rip;
	c->counters.block_lookups++;
	r = cpu_fetch_translate(c, lin, &host);
	if (r)
		return r;
	b = search(c, host.v, mode);
	if (b) {
		r = recheck(c, lin, b, &good);
		if (r)
			return r;
	}
	if (!good) {
		c->counters.block_lookup_misses++;
		r = build(c, lin, host.v, mode, &b);
		if (r)
			return r;
	}
	if (!breakpoint_offset(c, lin)) {
		resolve_link(cache, b);
		if (may_cache_jump(mode))
			remember_jump(c, rip, mode, b);
	}
	c->arch.rip = rip - (lin & ~HW_PAGE_MASK);
	*out = b->ops;
	return EXEC_OK;
}

int block_find(struct hw_cpu *c, u32 mode, const struct op **out)
{
	int r = find(c, mode, out);

	c->blocks->link = NULL;
	return r;
}
