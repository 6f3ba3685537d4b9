// SPDX-License-Identifier: Apache-2.0
/*
 * replay: what a trace says of each VM's memory, at the point up to which it was read.
 *
 * A trace may be anything: events that contradict each other or name what was never made leave a state that says less, and an
 * event that cannot be is -EINVAL. Memory goes with what the trace has.
 */
#pragma once

#include "kvm/range_map.h"
#include "observe/observe.h"

struct replay_slot {
	u32 id, as_id, flags;
	u64 base, pages; /* frames */
	u64 hva;
};

/* A guest_memfd. Files are never forgotten while their VM is there: bindings name them. */
struct replay_file {
	u64 number, size;
	bool released;
	struct range_map pages; /* enum replay_page */
};
enum replay_page { REPLAY_NEVER, REPLAY_PRESENT, REPLAY_PUNCHED };

struct replay_binding {
	u64 file, gfn, page, pages;
};

/* What stage 2 has for a frame. */
struct replay_mapping {
	unsigned int level; /* 0: nothing; else as hw_level, also of an MMIO entry */
	unsigned int access;
	bool mmio, from_gmem;
};

struct replay_vm {
	u32 number;
	bool seen, alive;
	u64 type, platform, compat; /* as kvm_create_vm has them */
	struct range_map attributes, mappings, residence, owners;
	struct replay_slot *slots; /* by address space and place */
	struct replay_file *files;
	struct replay_binding *bindings;
	unsigned int nr_slots, nr_files, nr_bindings;
};

struct replay {
	struct replay_vm *vms;
	unsigned int nr_vms;
};

void replay_destroy(struct replay *r);
/* 0, -ENOMEM, or -EINVAL. */
int replay_apply(struct replay *r, const struct observe_record *rec);

/* NULL: the trace has not named it. */
const struct replay_vm *replay_vm(const struct replay *r, u32 number);
const struct replay_slot *replay_find_slot(const struct replay_vm *vm, u32 as_id, u64 gfn);
const struct replay_binding *replay_find_binding(const struct replay_vm *vm, u64 gfn);
/* The frame that page `page` of the file backs; false: none. */
bool replay_frame_of(const struct replay_vm *vm, u64 file, u64 page, u64 *gfn);
/* NULL: it was never made, or its number stands for another one now. */
const struct replay_file *replay_find_file(const struct replay_vm *vm, u64 number);

/* Of a frame; *end (may be NULL): the frame at which the answer next changes. */
bool replay_is_private(const struct replay_vm *vm, u64 gfn, u64 *end);
struct replay_mapping replay_mapping(const struct replay_vm *vm, u64 gfn, u64 *end);
enum replay_page replay_gmem_page(const struct replay_vm *vm, const struct replay_binding *b, u64 gfn, u64 *end);
/* A page state of pKVM (%{pagestate}). */
unsigned int replay_owner(const struct replay_vm *vm, u64 gfn, u64 *end);
/* enum observe_residence + 1; 0: the trace does not say. */
unsigned int replay_residence(const struct replay_vm *vm, u64 gfn, u64 *end);
