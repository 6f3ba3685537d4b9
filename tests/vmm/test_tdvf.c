// SPDX-License-Identifier: Apache-2.0
/* TDVF metadata as a hostile author makes them: each image is read, or refused in words, and never more than that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/bytes.h"
#include "vmm/tdvf.h"

#define IMAGE_SIZE  0x4000u
#define DESCRIPTOR  0x3000u
#define SECTION(n)  (DESCRIPTOR + 16 + 32 * (n))
#define SECTIONS    3u
#define GUID_END    (IMAGE_SIZE - 0x20)
#define MUTATIONS   50000u

static const uint8_t footer[16] = {
	0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d,
};
static const uint8_t entry[16] = {
	0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47, 0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2,
};

static void put_section(uint8_t *image, unsigned int n, uint32_t offset, uint32_t raw, uint64_t gpa, uint64_t size, uint32_t type,
			uint32_t attributes)
{
	uint8_t *s = image + SECTION(n);

	put32(s, offset);
	put32(s + 4, raw);
	put64(s + 8, gpa);
	put64(s + 16, size);
	put32(s + 24, type);
	put32(s + 28, attributes);
}

/* Code that is measured, variables that are not, temporary memory; the table has a foreign entry above the one of TDX. */
static void make_image(uint8_t image[IMAGE_SIZE])
{
	memset(image, 0, IMAGE_SIZE);
	put32(image + DESCRIPTOR, 0x46564454);
	put32(image + DESCRIPTOR + 4, 16 + 32 * SECTIONS);
	put32(image + DESCRIPTOR + 8, 1);
	put32(image + DESCRIPTOR + 12, SECTIONS);
	put_section(image, 0, 0x1000, 0x2800, 0xffffd000, 0x3000, TDVF_BFV, TDVF_MR_EXTEND);
	put_section(image, 1, 0, 0x1000, 0xffff0000, 0x1000, TDVF_CFV, 0);
	put_section(image, 2, 0, 0, 0x800000, 0x6000, TDVF_TEMP_MEM, 0);
	memcpy(image + GUID_END - 16, footer, 16);
	put16(image + GUID_END - 18, 18 + 20 + 22);
	put16(image + GUID_END - 18 - 18, 20);
	memcpy(image + GUID_END - 18 - 20 - 16, entry, 16);
	put16(image + GUID_END - 18 - 20 - 18, 22);
	put32(image + GUID_END - 18 - 20 - 22, IMAGE_SIZE - DESCRIPTOR);
}

static struct tdvf tdvf;

/* "" or the reason; in a copy of just this size, so that a sanitizer sees a byte read beyond it. */
static const char *parse(const uint8_t *image, size_t size)
{
	static struct boot_error error;
	uint8_t *copy = malloc(size ? size : 1);
	int err;

	memcpy(copy, image, size);
	error.text[0] = '\0';
	err = tdvf_parse(copy, size, &tdvf, &error);
	free(copy);
	assert_true(!err == !error.text[0]);
	return error.text;
}

static void sections_become_regions(void **state)
{
	uint8_t image[IMAGE_SIZE];
	struct launch_region region[TDVF_MAX_SECTIONS];

	make_image(image);
	assert_string_equal(parse(image, IMAGE_SIZE), "");
	assert_int_equal(tdvf_regions(&tdvf, image, region), 3);
	assert_int_equal(region[0].gpa, 0xffffd000);
	assert_int_equal(region[0].size, 0x3000);
	assert_ptr_equal(region[0].data, image + 0x1000);
	assert_int_equal(region[0].data_size, 0x2800);
	assert_true(region[0].measured);
	assert_false(region[1].measured);
	assert_null(region[2].data);
	assert_int_equal(region[2].size, 0x6000);
}

static void accepted_memory_is_no_region(void **state)
{
	uint8_t image[IMAGE_SIZE];
	struct launch_region region[TDVF_MAX_SECTIONS];

	make_image(image);
	put_section(image, 2, 0, 0, 0x800000, 0x6000, TDVF_PERM_MEM, TDVF_PAGE_AUG);
	assert_string_equal(parse(image, IMAGE_SIZE), "");
	assert_int_equal(tdvf_regions(&tdvf, image, region), 2);
	/* Inside the BFV: described, not loaded once more. */
	put_section(image, 2, 0x1000, 0x100, 0, 0, TDVF_TD_INFO, 0);
	assert_string_equal(parse(image, IMAGE_SIZE), "");
	assert_int_equal(tdvf_regions(&tdvf, image, region), 2);
}

static void legacy_pointer(void **state)
{
	uint8_t image[IMAGE_SIZE];

	make_image(image);
	memset(image + GUID_END - 16, 0, 16);
	assert_string_not_equal(parse(image, IMAGE_SIZE), "");
	put32(image + IMAGE_SIZE - 0x20, DESCRIPTOR);
	assert_string_equal(parse(image, IMAGE_SIZE), "");
}

static void bad_metadata(void **state)
{
	static const struct {
		uint32_t at, value;
		const char *reason;
	} cases[] = {
		{ DESCRIPTOR, 0, "no TDX metadata" },
		{ DESCRIPTOR + 4, 16 + 32 * SECTIONS + 1, "cannot be" },
		{ DESCRIPTOR + 8, 2, "version" },
		{ DESCRIPTOR + 12, 0, "sections" },
		{ DESCRIPTOR + 12, 65, "sections" },
		{ SECTION(0), 0x1801, "beyond the image" },
		{ SECTION(0), 0xfffff000, "beyond the image" },
		{ SECTION(0) + 4, 0, "has no data" },
		{ SECTION(0) + 4, 0x3001, "beyond the image" },
		{ SECTION(0) + 8, 0xffffd001, "whole pages" },
		{ SECTION(0) + 12, 0x8000, "no private address" },
		{ SECTION(0) + 16, 0x3001, "whole pages" },
		{ SECTION(0) + 16, 0, "whole pages" },
		{ SECTION(0) + 16, 0x2000, "bytes of data" },
		{ SECTION(0) + 20, 1, "too many" },
		{ SECTION(0) + 24, TDVF_TYPES, "unknown type" },
		{ SECTION(0) + 24, TDVF_CFV, "no firmware code" },
		{ SECTION(0) + 28, 4, "unknown attributes" },
		{ SECTION(0) + 28, 3, "not added" },
		{ SECTION(1) + 8, 0xfffff000, "overlap" },
		{ SECTION(2) + 4, 1, "must not have data" },
		{ SECTION(2) + 16, 0x3fffe000, "too large" },
	};
	uint8_t image[IMAGE_SIZE];

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_image(image);
		put32(image + cases[i].at, cases[i].value);
		assert_non_null(strstr(parse(image, IMAGE_SIZE), cases[i].reason));
	}
}

static void truncated_image(void **state)
{
	uint8_t image[IMAGE_SIZE];

	make_image(image);
	for (size_t size = 0; size < IMAGE_SIZE; size += 1 + size / 64) {
		parse(image, size);
		parse(image + IMAGE_SIZE - size, size);
	}
}

/* Whatever is changed: a result, whose sections lie in the image, or a reason. */
static void mutated_image(void **state)
{
	static const size_t places[] = { DESCRIPTOR, GUID_END - 96 };
	struct launch_region region[TDVF_MAX_SECTIONS];
	uint8_t image[IMAGE_SIZE];

	srand(1);
	for (unsigned int i = 0; i < MUTATIONS; i++) {
		make_image(image);
		for (unsigned int changes = 1 + rand() % 4; changes; changes--)
			image[places[rand() % 2] + rand() % 112] ^= 1u << rand() % 8;
		if (*parse(image, IMAGE_SIZE))
			continue;
		for (unsigned int n = tdvf_regions(&tdvf, image, region); n; n--) {
			const struct launch_region *r = &region[n - 1];

			assert_true(r->size && r->size % LAUNCH_PAGE == 0 && r->data_size <= r->size);
			assert_true(!r->data || (r->data >= image && r->data + r->data_size <= image + IMAGE_SIZE));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_become_regions),
		cmocka_unit_test(accepted_memory_is_no_region),
		cmocka_unit_test(legacy_pointer),
		cmocka_unit_test(bad_metadata),
		cmocka_unit_test(truncated_image),
		cmocka_unit_test(mutated_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
