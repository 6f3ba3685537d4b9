// SPDX-License-Identifier: Apache-2.0
/* words: how events, sizes and states of a page are told. */
#pragma once

#include "cli/trace/replay.h"

#define WORDS_MAX 240

/* "4K", "2M", "513K"; bytes where nothing fits. */
const char *words_size(u64 bytes, char buf[32]);
/* "gpa 0x0-0x1000" of frames. */
const char *words_frames(u64 gfn, u64 end, char buf[64]);
/* "private" or "shared"; for pages that have an owner (pKVM) the state of theirs. */
const char *words_kind(bool is_private, unsigned int owner, char buf[WORDS_MAX]);
/* "4K rwx from guest_memfd" or "-". */
const char *words_mapping(const struct replay_mapping *m, char buf[64]);

/* The event in words; at most WORDS_MAX bytes with the terminating zero. `label`: what of, in a line of an access. */
void words_event(const struct observe_record *rec, const char **label, char buf[WORDS_MAX]);
/* What a frame is, at this point of the trace. */
void words_state(const struct replay_vm *vm, u64 gfn, char buf[WORDS_MAX]);
/* "sw-protected on amd, KVM 6.12" */
void words_vm(const struct replay_vm *vm, char buf[WORDS_MAX]);
