// SPDX-License-Identifier: Apache-2.0
/*
 * The TLB arrays: filling, and every way of dropping entries.
 *
 * Decoded code and stores. A frame that carries decoded code never enters a write array. The builder of a block marks
 * the frame first and then posts a request to the other vCPUs; a vCPU that asked code_on_frame() before the mark was
 * set finds the request at its next block end, because nothing between the question and the block end handles requests.
 * So asking once, before filling, is enough.
 */
#include <string.h>

#include "hw/cpu/walk.h"

static struct tlb_entry *entries(struct hw_cpu *c, unsigned int kind, unsigned int mode)
{
	return kind == TLB_READ ? c->tlb_read[mode] : c->tlb_write[mode];
}

static void set_bit(u64 *words, unsigned int n)
{
	words[n / 64] |= 1ull << n % 64;
}

static void clear_bit(u64 *words, unsigned int n)
{
	words[n / 64] &= ~(1ull << n % 64);
}

static void drop(struct hw_cpu *c, unsigned int kind, unsigned int mode, unsigned int index)
{
	entries(c, kind, mode)[index].tag = TLB_TAG_INVALID;
	clear_bit(c->tlb.valid[kind][mode], index);
	if (!c->tlb.valid[kind][mode][index / 64])
		c->tlb.used[kind][mode] &= ~(1u << index / 64);
	clear_bit(c->tlb.global[kind][mode], index);
}

/* Drops the entries of a word of valid bits, except those in `keep`. */
static void drop_word(struct hw_cpu *c, unsigned int kind, unsigned int mode, unsigned int word, u64 keep)
{
	struct tlb_entry *e = entries(c, kind, mode) + word * 64;

	for (u64 bits = c->tlb.valid[kind][mode][word] & ~keep; bits; bits &= bits - 1)
		e[__builtin_ctzll(bits)].tag = TLB_TAG_INVALID;
	c->tlb.valid[kind][mode][word] &= keep;
	c->tlb.global[kind][mode][word] &= keep;
	if (!c->tlb.valid[kind][mode][word])
		c->tlb.used[kind][mode] &= ~(1u << word);
}

/* What every flush drops entirely: it is small, and INVLPG must drop all cached tables (SDM 3A 4.10.4.1). */
static void flush_small(struct hw_cpu *c)
{
	for (u64 bits = c->tlb.table_valid; bits; bits &= bits - 1)
		c->tlb.table[__builtin_ctzll(bits)].tag = TLB_TAG_INVALID;
	c->tlb.table_valid = 0;
	for (unsigned int mode = TLB_SUPERVISOR; mode <= TLB_USER; mode++) {
		for (u64 bits = c->tlb.fetch_valid[mode]; bits; bits &= bits - 1)
			c->tlb.fetch[mode][__builtin_ctzll(bits)].tag = TLB_TAG_INVALID;
		c->tlb.fetch_valid[mode] = 0;
	}
	code_translation_changed(c);
}

static void flush_stage2(struct hw_cpu *c)
{
	for (unsigned int i = 0; i < TLB_S2_SIZE; i++)
		c->tlb.s2[i].tag = TLB_TAG_INVALID;
}

/* A vCPU starts zeroed, and zero is a tag. */
static void make_ready(struct hw_cpu *c)
{
	for (unsigned int mode = 0; mode < TLB_MODES; mode++) {
		for (unsigned int i = 0; i < TLB_SIZE; i++) {
			c->tlb_read[mode][i].tag = TLB_TAG_INVALID;
			c->tlb_write[mode][i].tag = TLB_TAG_INVALID;
		}
	}
	memset(&c->tlb, 0, sizeof(c->tlb));
	for (unsigned int i = 0; i < TLB_FETCH_SIZE; i++)
		c->tlb.fetch[TLB_SUPERVISOR][i].tag = c->tlb.fetch[TLB_USER][i].tag = TLB_TAG_INVALID;
	for (unsigned int i = 0; i < TLB_TABLE_SIZE; i++)
		c->tlb.table[i].tag = TLB_TAG_INVALID;
	c->tlb.ready = true;
}

static void flush_arrays(struct hw_cpu *c, bool keep_global)
{
	for (unsigned int kind = 0; kind < TLB_KINDS; kind++) {
		for (unsigned int mode = 0; mode < TLB_MODES; mode++) {
			for (unsigned int words = c->tlb.used[kind][mode]; words; words &= words - 1) {
				unsigned int w = __builtin_ctz(words);

				drop_word(c, kind, mode, w, keep_global ? c->tlb.global[kind][mode][w] : 0);
			}
		}
	}
}

void cpu_tlb_flush(struct hw_cpu *c)
{
	c->counters.tlb_flushes++;
	if (!c->tlb.ready)
		make_ready(c);
	flush_arrays(c, false);
	memset(c->tlb.large_4m, 0, sizeof(c->tlb.large_4m));
	memset(c->tlb.large_1g, 0, sizeof(c->tlb.large_1g));
	flush_stage2(c);
	flush_small(c);
}

/* The hashes of large pages stay: global ones may be among them. */
void cpu_tlb_flush_nonglobal(struct hw_cpu *c)
{
	c->counters.tlb_flushes++;
	flush_arrays(c, true);
	flush_small(c);
}

static unsigned int region_hash(u64 region)
{
	return region * 0x9e3779b97f4a7c15ull >> 56;
}

static bool region_marked(const u64 *words, u64 region)
{
	unsigned int h = region_hash(region);

	return words[h / 64] >> h % 64 & 1;
}

static void flush_region(struct hw_cpu *c, u64 lin, unsigned int shift)
{
	for (unsigned int kind = 0; kind < TLB_KINDS; kind++) {
		for (unsigned int mode = 0; mode < TLB_MODES; mode++) {
			for (unsigned int w = 0; w < TLB_WORDS; w++) {
				for (u64 bits = c->tlb.valid[kind][mode][w]; bits; bits &= bits - 1) {
					unsigned int i = w * 64 + __builtin_ctzll(bits);

					if (entries(c, kind, mode)[i].tag >> shift == lin >> shift)
						drop(c, kind, mode, i);
				}
			}
		}
	}
}

void cpu_tlb_flush_page(struct hw_cpu *c, u64 lin)
{
	unsigned int index = tlb_index(lin);
	u64 page = lin & HW_PAGE_MASK;

	if (region_marked(c->tlb.large_1g, lin >> 30))
		flush_region(c, lin, 30);
	else if (region_marked(c->tlb.large_4m, lin >> 22))
		flush_region(c, lin, 22);
	for (unsigned int kind = 0; kind < TLB_KINDS; kind++)
		for (unsigned int mode = 0; mode < TLB_MODES; mode++)
			if (entries(c, kind, mode)[index].tag == page)
				drop(c, kind, mode, index);
	flush_small(c);
}

void cpu_tlb_protect_frame(struct hw_cpu *c, hpa_t page)
{
	for (unsigned int mode = 0; mode < TLB_MODES; mode++) {
		for (unsigned int w = 0; w < TLB_WORDS; w++) {
			for (u64 bits = c->tlb.valid[TLB_WRITE][mode][w]; bits; bits &= bits - 1) {
				unsigned int i = w * 64 + __builtin_ctzll(bits);
				const struct tlb_entry *e = &c->tlb_write[mode][i];

				if (e->tag + e->addend == (page.v & HW_PAGE_MASK))
					drop(c, TLB_WRITE, mode, i);
			}
		}
	}
}

/* ---------------------------------------------------------------- filling */

/* Is a data breakpoint armed on the page? Then every access to it takes the slow path. */
static bool page_watched(const struct hw_cpu *c, u64 page)
{
	if (!(c->arch.dr7 & 0xff))
		return false;
	for (unsigned int i = 0; i < 4; i++)
		if ((c->arch.dr7 >> (2 * i) & 3) && ((c->arch.dr[i] ^ page) & HW_PAGE_MASK) == 0)
			return true;
	return false;
}

static void mark_large(struct hw_cpu *c, const struct access *a)
{
	unsigned int h;

	if (a->guest_level <= HW_LEVEL_4K)
		return;
	h = a->guest_level == HW_LEVEL_2M ? region_hash(a->lin >> 22) : region_hash(a->lin >> 30);
	set_bit(a->guest_level == HW_LEVEL_2M ? c->tlb.large_4m : c->tlb.large_1g, h);
}

static void fill(struct hw_cpu *c, const struct access *a, unsigned int kind, unsigned int mode)
{
	u64 page = a->lin & HW_PAGE_MASK;
	unsigned int index = tlb_index(a->lin);
	struct tlb_entry *e = &entries(c, kind, mode)[index];

	clear_bit(c->tlb.global[kind][mode], index);
	e->tag = page;
	e->addend = (a->s2.hpa.v & HW_PAGE_MASK) - page;
	set_bit(c->tlb.valid[kind][mode], index);
	c->tlb.used[kind][mode] |= 1u << index / 64;
	if (a->guest_global)
		set_bit(c->tlb.global[kind][mode], index);
}

void tlb_fill(struct hw_cpu *c, const struct access *a, bool code_page)
{
	unsigned int mode = tlb_set(c, a->acc);

	if (mode == TLB_UNCACHED || page_watched(c, a->lin))
		return;
	mark_large(c, a);
	if (a->s2.perms & STAGE2_R)
		fill(c, a, TLB_READ, mode);
	if ((a->acc & (ACC_WRITE | ACC_RMW)) && a->dirty && (a->s2.perms & STAGE2_W) && !code_page)
		fill(c, a, TLB_WRITE, mode);
}

static struct tlb_fetch_entry *fetch_entry(struct hw_cpu *c, u64 lin, bool user)
{
	return &c->tlb.fetch[user ? TLB_USER : TLB_SUPERVISOR][lin >> HW_PAGE_SHIFT & (TLB_FETCH_SIZE - 1)];
}

bool tlb_fetch_lookup(struct hw_cpu *c, u64 lin, bool user, hpa_t *host)
{
	const struct tlb_fetch_entry *e = fetch_entry(c, lin, user);

	if (e->tag != (lin & HW_PAGE_MASK))
		return false;
	*host = hpa(e->page | (lin & ~HW_PAGE_MASK));
	return true;
}

void tlb_fetch_fill(struct hw_cpu *c, const struct access *a)
{
	unsigned int mode = a->acc & ACC_USER ? TLB_USER : TLB_SUPERVISOR;
	struct tlb_fetch_entry *e = fetch_entry(c, a->lin, mode == TLB_USER);

	e->tag = a->lin & HW_PAGE_MASK;
	e->page = a->s2.hpa.v & HW_PAGE_MASK;
	set_bit(&c->tlb.fetch_valid[mode], e - c->tlb.fetch[mode]);
}

/* ---------------------------------------------------------------- tables of the walk */

void tlb_table_fill(struct hw_cpu *c, const struct tlb_table_entry *e, unsigned int shift)
{
	unsigned int index = e->tag >> shift & (TLB_TABLE_SIZE - 1);

	c->tlb.table[index] = *e;
	c->tlb.table_valid |= 1ull << index;
}

/* ---------------------------------------------------------------- stage 2 */

void tlb_stage2(struct hw_cpu *c, struct access *a, unsigned int need)
{
	struct tlb_s2_entry *e = &c->tlb.s2[a->gpa.v >> HW_PAGE_SHIFT & (TLB_S2_SIZE - 1)];
	struct stage2_walk *out = &a->s2;

	if (tlb_stage2_hit(c, a->gpa, a->claim, need, &out->hpa)) {
		*out = (struct stage2_walk){
			.result = STAGE2_OK,
			.level = e->level,
			.perms = e->perms,
			.hpa = out->hpa,
		};
		return;
	}
	stage2_walk(cpu_stage2(c, a->claim), a->gpa, need, out);
	if (out->result == STAGE2_OK)
		*e = (struct tlb_s2_entry){
			.tag = tlb_s2_tag(c, a->gpa, a->claim),
			.page = out->hpa.v & HW_PAGE_MASK,
			.perms = out->perms,
			.level = out->level,
		};
}
