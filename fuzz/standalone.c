// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a fuzz target without libFuzzer, for builds by any compiler: files named on the command line, or seeded random inputs.
 * usage: TARGET [--seed N] [--count N] [--size N] [FILE...]; --size: of the largest input
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int run_file(const char *name)
{
	static uint8_t data[1 << 20];
	FILE *file = fopen(name, "rb");
	size_t size;

	if (!file) {
		perror(name);
		return 1;
	}
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, count = 20000, largest = 256;
	static uint8_t data[1 << 16];
	int first = 1, status = 0;

	for (; first + 1 < argc && !strncmp(argv[first], "--", 2); first += 2) {
		if (!strcmp(argv[first], "--seed"))
			seed = strtoull(argv[first + 1], NULL, 0);
		else if (!strcmp(argv[first], "--count"))
			count = strtoull(argv[first + 1], NULL, 0);
		else if (!strcmp(argv[first], "--size"))
			largest = strtoull(argv[first + 1], NULL, 0);
	}
	if (largest < 3 || largest > sizeof(data))
		return 2;
	if (first < argc) {
		for (int i = first; i < argc; i++)
			status |= run_file(argv[i]);
		return status;
	}
	for (uint64_t i = 0; i < count; i++) {
		size_t size;

		state = seed * 0x9e3779b97f4a7c15u + i + 1;
		for (int warm = 0; warm < 4; warm++)
			next_random();
		size = 2 + next_random() % (largest - 2);
		for (size_t k = 0; k < size; k++)
			data[k] = (uint8_t)(next_random() >> 24);
		LLVMFuzzerTestOneInput(data, size);
	}
	printf("%" PRIu64 " inputs, seed %" PRIu64 "\n", count, seed);
	return 0;
}
