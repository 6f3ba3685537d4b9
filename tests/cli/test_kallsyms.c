// SPDX-License-Identifier: Apache-2.0
/* The kernel's symbol table, found in images laid out as scripts/kallsyms.c of Linux 6.12 and 6.1 does, and in damaged ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/profile/kallsyms.h"

#define BASE	0xffffffff81000000ull
#define SYMBOLS 3000u

struct image {
	uint8_t *data;
	size_t size;
};

static void *append(struct image *image, const void *data, size_t size)
{
	image->data = realloc(image->data, image->size + size + 8);
	assert_non_null(image->data);
	memcpy(image->data + image->size, data, size);
	image->size += size;
	return image->data + image->size - size;
}

static void align(struct image *image)
{
	static const uint64_t zero;

	append(image, &zero, -image->size & 7);
}

/* Functions 16 bytes apart, named f0, f1, ...; every tenth is data. Token 0xf0 stands for "long_prefix_". */
static size_t name_of(unsigned int i, char *out)
{
	return (size_t)snprintf(out, 40, "%c%s%u", i % 10 ? 't' : 'D', i & 1 ? "f" : "\xf0", i);
}

static void put_offsets(struct image *image)
{
	const uint64_t base = BASE;

	for (unsigned int i = 0; i < SYMBOLS; i++) {
		int32_t offset = -1 - (int32_t)(16 * i); /* CONFIG_KALLSYMS_ABSOLUTE_PERCPU */

		append(image, &offset, 4);
	}
	align(image);
	append(image, &base, 8);
}

static void put_names(struct image *image, uint32_t *markers)
{
	size_t start = image->size;

	for (unsigned int i = 0; i < SYMBOLS; i++) {
		char text[40];
		uint8_t length = (uint8_t)name_of(i, text);

		if (i % 256 == 0)
			markers[i / 256] = (uint32_t)(image->size - start);
		append(image, &length, 1);
		append(image, text, length);
	}
	align(image);
}

static void put_tokens(struct image *image)
{
	uint16_t index[256];
	size_t start = image->size;

	for (unsigned int i = 0; i < 256; i++) {
		char text[2] = { (char)i, 0 };
		const char *token = i == 0xf0 ? "long_prefix_" : text;

		index[i] = (uint16_t)(image->size - start);
		append(image, token, strlen(token) + 1);
	}
	align(image);
	append(image, index, sizeof(index));
}

static struct image make_image(bool offsets_first)
{
	static const char noise[4 * SYMBOLS] = "\1\2\3 what stands before it";
	uint32_t markers[(SYMBOLS + 255) / 256], count[2] = { SYMBOLS, 0 };
	struct image image = {};

	append(&image, noise, sizeof(noise));
	if (offsets_first)
		put_offsets(&image);
	append(&image, count, 8);
	put_names(&image, markers);
	append(&image, markers, sizeof(markers));
	align(&image);
	if (offsets_first) /* the order of the names, of later 6.1 */
		append(&image, noise, SYMBOLS * 3 / 8 * 8);
	put_tokens(&image);
	if (!offsets_first)
		put_offsets(&image);
	append(&image, noise, sizeof(noise));
	return image;
}

static void check_table(bool offsets_first)
{
	struct image image = make_image(offsets_first);
	const struct kallsym *s;
	struct kallsyms table;

	assert_int_equal(kallsyms_read(image.data, image.size, &table), 0);
	free(image.data);
	assert_int_equal(table.count, SYMBOLS);
	s = kallsyms_by_name(&table, "long_prefix_1234");
	assert_non_null(s);
	assert_int_equal(s->address, BASE + 16 * 1234);
	assert_int_equal(s->type, 't');
	assert_string_equal(kallsyms_function(&table, BASE + 16 * 77 + 5)->name, "f77");
	/* Data is no function: the one before it counts. */
	assert_string_equal(kallsyms_function(&table, BASE + 16 * 80 + 1)->name, "f79");
	assert_null(kallsyms_function(&table, BASE - 1));
	assert_null(kallsyms_by_name(&table, "f1234567"));
	kallsyms_free(&table);
}

static void test_offsets_last(void **state) { check_table(false); }
static void test_offsets_first(void **state) { check_table(true); }

static void test_nothing_there(void **state)
{
	static const uint8_t zero[64];
	struct kallsyms table;

	assert_int_equal(kallsyms_read(zero, 0, &table), -2);
	assert_int_equal(kallsyms_read(zero, sizeof(zero), &table), -2);
}

/* Whatever the damage: a table or none, and nothing touched outside the image (AddressSanitizer watches). */
static void test_damaged(void **state)
{
	unsigned int seed = 1;

	for (unsigned int round = 0; round < 300; round++) {
		struct image image = make_image(round & 1);
		size_t size = round % 3 ? image.size : rand_r(&seed) % image.size;
		uint8_t *exact = malloc(size + 1);
		struct kallsyms table;

		assert_non_null(exact);
		memcpy(exact, image.data, size);
		for (unsigned int i = 0; size && i < 1u << round % 8; i++)
			exact[(unsigned int)rand_r(&seed) % size] = (uint8_t)rand_r(&seed);
		if (!kallsyms_read(exact, size, &table))
			kallsyms_free(&table);
		free(exact);
		free(image.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offsets_last),
		cmocka_unit_test(test_offsets_first),
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests_name("cli/kallsyms", tests, NULL, NULL);
}
