// SPDX-License-Identifier: Apache-2.0
/*
 * block: decoded code of one vCPU, and how it follows memory.
 *
 * A block is keyed by the host address of its first byte and the mode bits, so it serves every virtual address at which
 * the code is mapped. Blocks live in an arena that is emptied as a whole when it is full; a dropped block stays in
 * place until then, with a first op that leaves, so that whoever still points at it does no harm.
 *
 * Coherence. A frame that carries code of any vCPU is in the vm's table (code.c) with a bit for each 64 bytes, and is
 * in no write TLB. A store to it drops the writer's own blocks at once and posts the range to the other vCPUs, which
 * drop theirs at the next block end. Since the request word is set before any later store of the writer becomes
 * visible, no vCPU can see such a store and still begin a block of the old code.
 *
 * Memory that others write (the client, its devices) is not seen: after hw_cpu_check_code() every block compares its
 * bytes with memory when it is next entered. For that the blocks entered since the last time (`active`) get op_validate
 * as their first handler: the cost is theirs alone, links and the jump cache stay as they are.
 *
 * Everything here belongs to the vCPU's thread but for the queue and the sequence numbers.
 */
#pragma once

#include <pthread.h>

#include "hw/cpu/op.h"

#define BLOCK_MAX_INSNS	 64
#define BLOCK_ARENA_SIZE ((size_t)24 << 20)
#define BLOCK_HASH_BITS	 15
#define CODE_QUEUE_SIZE	 64

struct block {
	u16 size;	 /* bytes of code */
	u16 size_first;	 /* of these in the first page */
	u32 code_offset; /* the bytes themselves, from the block */
	bool dropped;
	op_fn first_handler;
	struct block *active_next;
	struct block *page_next[2];
	struct op *incoming; /* links that lead here, through next_incoming */
	/* what a lookup reads, in the cache line of the first op */
	struct block *hash_next __attribute__((aligned(64)));
	u64 host;   /* of the first byte */
	u64 second; /* of the first byte in the next page, if the one instruction crosses; else 0 */
	u32 mode;
	u32 generation; /* in which the bytes were last compared */
	struct op ops[];
};
_Static_assert(offsetof(struct block, ops) == 96, "one cache line for a lookup");

enum code_message_kind { CODE_DROP, CODE_PROTECT };
struct code_message {
	u64 start, size; /* CODE_PROTECT: start is the page */
	enum code_message_kind kind;
};

struct block_cache {
	/* why dispatch() returned */
	int result; /* EXEC_OK, EXEC_FAULT, EXEC_EXIT */
	unsigned int insn_len;
	struct op *link; /* what block_find() finds is the target of this one */
	bool leave;	 /* the instruction in progress dropped blocks of this vCPU: do not continue the block */

	u64 passed_breakpoint; /* where the debugger let execution go on */

	u32 generation;
	struct block *active;
	u8 *arena;
	size_t used;
	struct block **hash;	 /* by host address and mode */
	struct block **by_page;	 /* by page, through page_next */
	ZydisDecoder decoder[3]; /* 16, 32, 64 bit */
	ZydisDecoder compat[2];	 /* 16 and 32 bit in long mode */

	/* other threads post */
	pthread_mutex_t queue_lock;
	struct code_message queue[CODE_QUEUE_SIZE];
	unsigned int queued;
	bool queue_overflow;
	u64 posted, processed;	      /* of the queue; atomic */
	u64 flush_wanted, flush_done; /* hw_vm_flush(); atomic */
};

/* decode.c: 0, or the enum exec_result of the fetch. */
enum decode_status { DECODE_OK, DECODE_MORE, DECODE_BAD, DECODE_TOO_LONG };
void decode_init(struct block_cache *b);
enum decode_status decode_insn(struct block_cache *b, u32 mode, const u8 *bytes, size_t size, struct insn *out);
/* Who executes it; NULL: nobody. */
const struct insn_desc *insn_lookup(u16 mnemonic);

/* bind.c: the ops of a decoded block. */
enum block_end { BLOCK_END_FALLTHROUGH, BLOCK_END_BRANCH, BLOCK_END_UD, BLOCK_END_GP };
struct decoded_block {
	struct insn insn[BLOCK_MAX_INSNS];
	u16 ip[BLOCK_MAX_INSNS];
	unsigned int count;
	u16 next_ip; /* behind the last */
	enum block_end end;
	u32 mode;
};
bool insn_ends_block(const struct insn *i);
/* The most that bind_block() can need. */
#define BLOCK_MAX_OPS (BLOCK_MAX_INSNS + 4)
/* Writes the ops and their insns behind them; returns the size of both. */
size_t bind_block(const struct decoded_block *d, struct op *ops);

/* block.c */
int block_cache_create(struct hw_cpu *c);
void block_cache_destroy(struct hw_cpu *c);
/* The first op to execute at arch.rip, with arch.rip made the page's. EXEC_OK, EXEC_FAULT, EXEC_EXIT. */
int block_find(struct hw_cpu *c, u32 mode, const struct op **out);
bool block_validate(struct hw_cpu *c, struct block *b);
void block_drop_range(struct hw_cpu *c, u64 start, u64 size);
void block_drop_all(struct hw_cpu *c);
void block_new_generation(struct hw_cpu *c);
static inline struct block *block_of(const struct op *first)
{
	return (struct block *)((char *)(uintptr_t)first - offsetof(struct block, ops));
}

/* code.c */
/* Announces code in [start, start + size) of one page; when it returns, no vCPU can write there unseen. false: a write
 * came in between, so the bytes must be read again. */
bool code_claim(struct hw_cpu *c, u64 start, u64 size);
void code_queue_process(struct hw_cpu *c);
