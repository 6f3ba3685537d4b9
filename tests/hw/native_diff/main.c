// SPDX-License-Identifier: Apache-2.0
/*
 * main: runs sequences on both processors, reduces what differs to the instructions that matter, prints it.
 *
 *	native_diff [--seed N] [--count N] [--sequence K] [--failures N] [--verbose]
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diff.h"

struct options {
	u64 seed, count, sequence;
	bool one, verbose;
	unsigned int failures;
};

struct run {
	struct forms forms[2];
	struct sequence *s;
	struct outcome native, ours;
	u64 vectors[32];
	u64 instructions;
	u64 executed[2][ZYDIS_MNEMONIC_MAX_VALUE + 1];
	char difference[200];
};

static struct image *new_image(void)
{
	struct image *i = aligned_alloc(PAGE, sizeof(*i));

	if (i)
		memset(i, 0, sizeof(*i));
	return i;
}

static bool run_both(struct run *r)
{
	memset(&r->native.state, 0, sizeof(r->native.state));
	memset(&r->ours.state, 0, sizeof(r->ours.state));
	native_run(r->s, &r->native);
	machine_run(r->s, &r->ours);
	return outcomes_equal(r->s, &r->native, &r->ours, r->difference, sizeof(r->difference));
}

/* Units become NOPs as long as a difference remains; addresses stay what they are. */
static void shrink(struct run *r)
{
	for (unsigned int k = 0; k < r->s->units; k++) {
		struct unit *u = &r->s->unit[k];
		u8 saved[256];
		unsigned int length = u->end - u->start;

		if (length > sizeof(saved))
			continue;
		memcpy(saved, &r->s->code[u->start], length);
		memset(&r->s->code[u->start], 0x90, length);
		u->removed = true;
		if (run_both(r)) {
			memcpy(&r->s->code[u->start], saved, length);
			u->removed = false;
		}
	}
	run_both(r);
}

static void print_code(const struct sequence *s, u64 stop)
{
	ZydisDecoder decoder;
	ZydisFormatter formatter;
	unsigned int at = s->entry;

	decoder_init(&decoder, s->compat);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	while (at < s->end + 2) {
		ZydisDecodedInstruction z;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		char text[128] = "(bad)";
		unsigned int length = 1;

		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, &s->code[at], CODE_SIZE - at, &z, ops))) {
			length = z.length;
			ZydisFormatterFormatInstruction(&formatter, &z, ops, z.operand_count_visible, text,
							sizeof(text), CODE_BASE + at, NULL);
		}
		if (strcmp(text, "nop") || length != 1) {
			printf("  %s%08llx ", CODE_BASE + at == stop ? ">" : " ", (unsigned long long)(CODE_BASE + at));
			for (unsigned int n = 0; n < length; n++)
				printf("%02x", s->code[at + n]);
			printf("%*s%s\n", (int)(32 - 2 * length), " ", text);
		}
		at += length;
	}
}

static void report(struct run *r, const struct options *o, u64 number)
{
	printf("sequence %llu differs: %s\n", (unsigned long long)number, r->difference);
	shrink(r);
	printf("  reduced: %s\n", r->difference);
	printf("  native: vector %u error %#llx address %#llx rip %#llx; ours: vector %u error %#llx address %#llx rip "
	       "%#llx\n",
	       r->native.vector, (unsigned long long)r->native.error, (unsigned long long)r->native.cr2,
	       (unsigned long long)r->native.state.rip, r->ours.vector, (unsigned long long)r->ours.error,
	       (unsigned long long)r->ours.cr2, (unsigned long long)r->ours.state.rip);
	print_code(r->s, r->native.state.rip);
	printf("  again: native_diff --seed %llu --sequence %llu\n", (unsigned long long)o->seed,
	       (unsigned long long)number);
	fflush(stdout);
}

static void print_state(const struct run *r)
{
	for (unsigned int n = 0; n < 16; n++)
		printf("  r%-2u before %016llx native %016llx ours %016llx\n", n,
		       (unsigned long long)r->s->initial.gpr[n], (unsigned long long)r->native.state.gpr[n],
		       (unsigned long long)r->ours.state.gpr[n]);
	printf("  flags before %llx native %llx ours %llx\n", (unsigned long long)r->s->initial.rflags,
	       (unsigned long long)r->native.state.rflags, (unsigned long long)r->ours.state.rflags);
}

static void count(struct run *r, const struct unit *u)
{
	if (CODE_BASE + u->insn >= r->native.state.rip)
		return;
	r->instructions++;
	r->executed[r->s->compat][u->mnemonic]++;
}

static void print_missed(const struct run *r, bool compat)
{
	const struct forms *f = &r->forms[compat];

	for (size_t k = 0; k < f->mnemonics; k++) {
		u16 m = f->form[f->by_mnemonic[k].first].mnemonic;

		if (!r->executed[compat][m])
			printf("never completed%s: %s\n", compat ? " in 32-bit code" : "",
			       ZydisMnemonicGetString((ZydisMnemonic)m));
	}
}

static unsigned int run_all(struct run *r, const struct options *o)
{
	u64 first = o->one ? o->sequence : 0, last = o->one ? o->sequence + 1 : o->count;
	unsigned int failures = 0;

	for (u64 k = first; k < last && failures < o->failures; k++) {
		generate(r->forms, o->seed, k, r->s);
		if (o->verbose)
			print_code(r->s, 0);
		if (!run_both(r)) {
			failures++;
			if (o->verbose)
				print_state(r);
			report(r, o, k);
			if (o->verbose)
				print_state(r);
		}
		r->vectors[r->native.vector & 31]++;
		for (unsigned int u = 0; u < r->s->units; u++)
			count(r, &r->s->unit[u]);
	}
	return failures;
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"seed", required_argument, NULL, 's'},	    {"count", required_argument, NULL, 'c'},
		{"sequence", required_argument, NULL, 'k'}, {"failures", required_argument, NULL, 'f'},
		{"verbose", no_argument, NULL, 'v'},	    {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			o->seed = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			o->count = strtoull(optarg, NULL, 0);
			break;
		case 'k':
			o->sequence = strtoull(optarg, NULL, 0);
			o->one = true;
			break;
		case 'f':
			o->failures = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'v':
			o->verbose = true;
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct options o = {.count = 200000, .failures = 10};
	static struct run r;
	struct timespec start, end;
	unsigned int failures;

	clock_gettime(CLOCK_REALTIME, &start);
	o.seed = (u64)start.tv_nsec ^ (u64)start.tv_sec << 20;
	parse(argc, argv, &o);
	r.s = aligned_alloc(_Alignof(struct sequence), sizeof(*r.s));
	r.native.memory = new_image();
	r.ours.memory = new_image();
	if (!r.s || !r.native.memory || !r.ours.memory || !(r.s->memory = new_image()) || machine_init() ||
	    native_init() || forms_build(&r.forms[0], false, stdout) || forms_build(&r.forms[1], true, NULL)) {
		perror("native_diff: cannot set up");
		return 1;
	}
	printf("seed %llu, %zu forms of %zu instructions\n", (unsigned long long)o.seed,
	       r.forms[0].count + r.forms[1].count, r.forms[0].mnemonics + r.forms[1].mnemonics);
	fflush(stdout);
	clock_gettime(CLOCK_MONOTONIC, &start);
	failures = run_all(&r, &o);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%llu instructions; ended by", (unsigned long long)r.instructions);
	for (unsigned int v = 0; v < 32; v++) {
		if (r.vectors[v])
			printf(" #%u: %llu", v, (unsigned long long)r.vectors[v]);
	}
	printf("\n");
	for (unsigned int compat = 0; compat < 2 && !o.one; compat++)
		print_missed(&r, compat);
	printf("%u sequences differ (%.1f s)\n", failures,
	       (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
	machine_destroy();
	forms_free(&r.forms[0]);
	forms_free(&r.forms[1]);
	return failures != 0;
}
