// SPDX-License-Identifier: Apache-2.0
/* Cases chosen by the command line: "NAME SEED"; "list" prints the names. */
#pragma once

#include "lib/guest.h"

struct hostile_case {
	const char *name;
	void (*run)(void);
};

static u64 random_state;

/* xorshift64* */
static inline u64 random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}

static inline void touch(void *p) { *(volatile u8 *)p; }

static inline const char *word(const char *text, const char *name)
{
	while (*name && *text == *name)
		text++, name++;
	return !*name && (*text == ' ' || !*text) ? text : NULL;
}

static inline int run_case(const struct hostile_case *cases, unsigned int count)
{
	/* hvm_start_info.cmdline_paddr, where softcvm puts it */
	const char *line = *(const char **)(0x6000 + 24), *seed;

	random_state = 0x9e3779b97f4a7c15ull;
	if (word(line, "list"))
		for (unsigned int i = 0; i < count; i++)
			print("%s\n", cases[i].name);
	for (unsigned int i = 0; i < count; i++) {
		seed = word(line, cases[i].name);
		if (!seed)
			continue;
		for (; *seed; seed++)
			random_state = random_state * 31 + (u8)*seed;
		cases[i].run();
	}
	return 0;
}
