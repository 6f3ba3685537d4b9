// SPDX-License-Identifier: Apache-2.0
/* Kernel images as a hostile author makes them: each is loaded, or refused in words, and never more than that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/acpi.h"
#include "vmm/bytes.h"
#include "vmm/firmware.h"
#include "vmm/layout.h"
#include "vmm/loader.h"
#include "vmm/vmm.h"

#define MIB	   (1ull << 20)
#define SETUP_SIZE 1024u
#define CODE_SIZE  4096u
#define IMAGE_SIZE (SETUP_SIZE + CODE_SIZE)
#define MUTATIONS  20000u

/* A relocatable 2.15 bzImage with a 64-bit entry whose code is all 0x90. */
static void make_bzimage(uint8_t *image)
{
	memset(image, 0, SETUP_SIZE);
	memset(image + SETUP_SIZE, 0x90, CODE_SIZE);
	image[0x1f1] = SETUP_SIZE / 512 - 1;
	put32(image + 0x1f4, CODE_SIZE / 16);
	put16(image + 0x1fe, 0xaa55);
	put16(image + 0x200, 0x6aeb);
	memcpy(image + 0x202, "HdrS", 4);
	put16(image + 0x206, 0x020f);
	image[0x211] = 1;
	put32(image + 0x22c, 0x7fffffff);
	put32(image + 0x230, 0x200000);
	image[0x234] = 1;
	put16(image + 0x236, 1);
	put32(image + 0x238, 2047);
	put64(image + 0x258, 0x1000000);
	put32(image + 0x260, 0x10000);
}

static const char *load(const uint8_t *image, size_t size, const char *cmdline, size_t initrd_size, uint64_t memory,
			struct guest_memory *mem, struct boot_entry *entry)
{
	static struct boot_error error;
	uint8_t *initrd = initrd_size ? calloc(1, initrd_size) : NULL;
	struct boot_source source = {
		.kernel = image, .kernel_size = size, .initrd = initrd, .initrd_size = initrd_size, .cmdline = cmdline
	};
	int err;

	assert_int_equal(memory_create(mem, memory, NULL), 0);
	error.text[0] = '\0';
	err = loader_load(mem, &source, entry, &error);
	free(initrd);
	assert_true(!err == !error.text[0]);
	return error.text;
}

static void bzimage_is_placed(void **state)
{
	uint8_t image[IMAGE_SIZE];
	struct guest_memory mem;
	struct boot_entry entry;
	const uint8_t *zp;

	make_bzimage(image);
	assert_string_equal(load(image, sizeof(image), "console=ttyS0", 5000, 64 * MIB, &mem, &entry), "");
	assert_int_equal(entry.mode, BOOT_LINUX_64);
	assert_int_equal(entry.entry, 0x1000200);
	assert_int_equal(entry.info, LAYOUT_ZERO_PAGE);
	assert_memory_equal(memory_at(&mem, 0x1000000, CODE_SIZE), image + SETUP_SIZE, CODE_SIZE);
	zp = memory_at(&mem, LAYOUT_ZERO_PAGE, 4096);
	assert_int_equal(zp[0x1ef], 0);
	assert_int_equal(zp[0x210], 0xff);
	assert_int_equal(get32(zp + 0x218), 64 * MIB - 8192);
	assert_int_equal(get32(zp + 0x21c), 5000);
	assert_string_equal(memory_at(&mem, get32(zp + 0x228), 14), "console=ttyS0");
	assert_int_equal(get64(zp + 0x70), LAYOUT_ACPI);
	memory_destroy(&mem);
}

static bool is_placed(const struct guest_memory *mem, uint64_t gpa, uint64_t size)
{
	for (unsigned int i = 0; i < mem->nr_placed; i++)
		if (gpa >= mem->placed[i].start && gpa + size <= mem->placed[i].start + mem->placed[i].size)
			return true;
	return false;
}

/* Every page that holds anything is on the list, and no other. */
static void what_was_loaded_is_remembered(void **state)
{
	static const uint8_t empty[MEMORY_PAGE];
	uint8_t image[IMAGE_SIZE];
	struct guest_memory mem;
	struct boot_entry entry;

	make_bzimage(image);
	assert_string_equal(load(image, sizeof(image), "console=ttyS0", 5000, 64 * MIB, &mem, &entry), "");
	memset(memory_place(&mem, 64 * MIB - 8192, 5000), 1, 5000); /* the initrd, whose bytes are 0 */
	assert_int_equal(acpi_write(&mem, &(struct acpi_config){ .cpus = 4 }), 0);
	firmware_write(&mem);
	for (uint64_t gpa = 0; gpa < mem.size; gpa += MEMORY_PAGE)
		assert_int_equal(is_placed(&mem, gpa, MEMORY_PAGE),
				 !!memcmp(memory_at(&mem, gpa, MEMORY_PAGE), empty, MEMORY_PAGE));
	memory_destroy(&mem);
}

static void places_are_in_order_and_apart(void **state)
{
	static const struct memory_range places[] = {
		{ 0x9800, 1 }, { 0x3000, 0x1000 }, { 0x5fff, 2 }, { 0x3fff, 1 }, { 0x7000, 0x1001 }, { 0x20000, 0 }, { 0x4000, 0x1000 },
	};
	struct guest_memory mem;

	assert_int_equal(memory_create(&mem, 2 * MIB, NULL), 0);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		assert_non_null(memory_place(&mem, places[i].start, places[i].size));
	assert_null(memory_place(&mem, 2 * MIB - 1, 2));
	assert_int_equal(mem.nr_placed, 1);
	assert_int_equal(mem.placed[0].start, 0x3000);
	assert_int_equal(mem.placed[0].size, 0x7000);
	for (unsigned int i = 1; i < MEMORY_MAX_PLACED; i++)
		assert_non_null(memory_place(&mem, 2 * MIB - i * 2 * MEMORY_PAGE, 1));
	assert_null(memory_place(&mem, 0x20000, 1));
	assert_int_equal(mem.nr_placed, MEMORY_MAX_PLACED);
	for (unsigned int i = 1; i < mem.nr_placed; i++)
		assert_true(mem.placed[i - 1].start + mem.placed[i - 1].size < mem.placed[i].start);
	memory_destroy(&mem);
}

static void bzimage_moves_when_memory_is_small(void **state)
{
	uint8_t image[IMAGE_SIZE];
	struct guest_memory mem;
	struct boot_entry entry;

	make_bzimage(image);
	assert_string_equal(load(image, sizeof(image), "", 0, 8 * MIB, &mem, &entry), "");
	assert_int_equal(entry.entry, 0x200200);
	memory_destroy(&mem);
}

static void bad_headers_are_refused(void **state)
{
	static const struct {
		unsigned int offset, size;
		uint64_t value;
		const char *why; /* part of the message */
	} cases[] = {
		{ 0x1f1, 1, 0xff, "truncated" },
		{ 0x1f4, 4, 0xffffffff, "truncated" },
		{ 0x1fe, 2, 0, "neither" },
		{ 0x202, 4, 0, "neither" },
		{ 0x206, 2, 0x0200, "older" },
		{ 0x211, 1, 0, "zImage" },
		{ 0x230, 4, 0, "power of two" },
		{ 0x230, 4, 0x300000, "power of two" },
		{ 0x260, 4, 0xffffffff, "not in the guest's memory" },
		{ 0x238, 4, 3, "command line" },
		{ 0x22c, 4, 0x1000, "initrd" },
		{ 0x22c, 4, 0, "initrd" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t image[IMAGE_SIZE];
		struct guest_memory mem;
		struct boot_entry entry;
		const char *why;

		make_bzimage(image);
		put_bytes(image + cases[i].offset, cases[i].size, cases[i].value);
		why = load(image, sizeof(image), "quiet", 4096, 64 * MIB, &mem, &entry);
		if (!strstr(why, cases[i].why))
			fail_msg("case %zu: '%s' does not say '%s'", i, why, cases[i].why);
		memory_destroy(&mem);
	}
}

/* pref_address where memory is not: the kernel is relocatable, so it still loads. */
static void wild_addresses_do_no_harm(void **state)
{
	static const uint64_t addresses[] = { 0, 1, 0x1000, 0xfffff, 0xffffffff, 1ull << 32, 1ull << 63, ~0ull, ~0ull - 0xffff };

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		uint8_t image[IMAGE_SIZE];
		struct guest_memory mem;
		struct boot_entry entry;

		make_bzimage(image);
		put64(image + 0x258, addresses[i]);
		assert_string_equal(load(image, sizeof(image), "", 0, 64 * MIB, &mem, &entry), "");
		assert_int_equal(entry.entry, 0x200200);
		memory_destroy(&mem);
		image[0x234] = 0;
		load(image, sizeof(image), "", 0, 64 * MIB, &mem, &entry);
		memory_destroy(&mem);
	}
}

static void every_truncation_is_survived(void **state)
{
	uint8_t image[IMAGE_SIZE];
	char why[200];

	make_bzimage(image);
	/* The header counts units of 16 bytes, so the last 15 may be rounding. */
	for (size_t size = 0; size + 15 < sizeof(image); size++) {
		uint8_t *exact = malloc(size ? size : 1); /* so that the sanitizer sees a byte too far */

		memcpy(exact, image, size);
		assert_int_not_equal(vmm_check_kernel(exact, size, 64 * MIB, why, sizeof(why)), 0);
		assert_true(why[0]);
		free(exact);
	}
}

/* ---------------------------------------------------------------- ELF */

struct elf_image {
	Elf64_Ehdr header;
	Elf64_Phdr load, note;
	struct {
		Elf64_Nhdr header;
		char name[4];
		uint32_t entry;
	} xen;
	uint8_t code[64];
};

static void make_elf(struct elf_image *e, bool pvh)
{
	*e = (struct elf_image){
		.header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			    .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_entry = 0x100010,
			    .e_phoff = offsetof(struct elf_image, load), .e_ehsize = sizeof(Elf64_Ehdr),
			    .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = pvh ? 2 : 1 },
		.load = { .p_type = PT_LOAD, .p_offset = offsetof(struct elf_image, code), .p_vaddr = 0x100000,
			  .p_paddr = 0x100000, .p_filesz = sizeof(e->code), .p_memsz = 8192 },
		.note = { .p_type = PT_NOTE, .p_offset = offsetof(struct elf_image, xen), .p_filesz = sizeof(e->xen), .p_align = 4 },
		.xen = { .header = { 4, 4, 18 }, .name = "Xen", .entry = 0x100020 },
	};
	memset(e->code, 0x90, sizeof(e->code));
}

static void elf_with_and_without_pvh(void **state)
{
	struct guest_memory mem;
	struct boot_entry entry;
	struct elf_image e;

	make_elf(&e, true);
	assert_string_equal(load((uint8_t *)&e, sizeof(e), "x", 100, 16 * MIB, &mem, &entry), "");
	assert_int_equal(entry.mode, BOOT_PVH);
	assert_int_equal(entry.entry, 0x100020);
	assert_int_equal(get32(memory_at(&mem, entry.info, 4)), 0x336ec578);
	memory_destroy(&mem);
	make_elf(&e, false);
	assert_string_equal(load((uint8_t *)&e, sizeof(e), "", 0, 16 * MIB, &mem, &entry), "");
	assert_int_equal(entry.mode, BOOT_LINUX_64);
	assert_int_equal(entry.entry, 0x100010);
	memory_destroy(&mem);
}

static void bad_elf_is_refused(void **state)
{
	struct guest_memory mem;
	struct boot_entry entry;
	struct elf_image good, e;

	make_elf(&good, true);
#define REFUSED(field, value, text)                                                                     \
	do {                                                                                            \
		const char *why_;                                                                       \
		e = good;                                                                               \
		e.field = (value);                                                                      \
		why_ = load((uint8_t *)&e, sizeof(e), "", 0, 16 * MIB, &mem, &entry);                   \
		memory_destroy(&mem);                                                                   \
		if (!strstr(why_, text))                                                                \
			fail_msg(#field " = " #value ": '%s' does not say '%s'", why_, text);           \
	} while (0)
	REFUSED(header.e_machine, EM_AARCH64, "not x86");
	REFUSED(header.e_phnum, 0, "program headers");
	REFUSED(header.e_phoff, ~0ull, "program headers");
	REFUSED(load.p_offset, ~0ull, "truncated");
	REFUSED(load.p_filesz, ~0ull, "truncated");
	REFUSED(load.p_memsz, 1, "larger in the file");
	REFUSED(load.p_memsz, ~0ull, "not in the guest's memory");
	REFUSED(load.p_memsz, 1ull << 40, "not in the guest's memory");
	REFUSED(load.p_paddr, 0, "not in the guest's memory");
	REFUSED(load.p_paddr, ~0ull - 100, "not in the guest's memory");
	REFUSED(load.p_paddr, 0xfee00000, "not in the guest's memory");
	REFUSED(xen.entry, 0x50, "entry point");
	REFUSED(load.p_type, PT_NULL, "entry point");
#undef REFUSED
}

/* ---------------------------------------------------------------- random */

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void mutate(const void *good, size_t size, uint64_t seed)
{
	static const uint64_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, ~0ull, 1ull << 63 };
	uint8_t *image = malloc(size);
	char why[200];

	for (unsigned int i = 0; i < MUTATIONS; i++) {
		size_t length = next_random(&seed) % 4 ? size : next_random(&seed) % size + 1;

		memcpy(image, good, size);
		for (unsigned int n = (unsigned int)(next_random(&seed) % 4); n; n--) {
			size_t at = next_random(&seed) % (size < 0x280 ? size : 0x280);
			uint64_t value = next_random(&seed) % 2 ? edges[next_random(&seed) % 11] : next_random(&seed);
			size_t width = 1u << next_random(&seed) % 4;

			if (at + width <= size)
				memcpy(image + at, &value, width);
		}
		vmm_check_kernel(image, length, 16 * MIB, why, sizeof(why));
	}
	free(image);
}

static void mutations_are_survived(void **state)
{
	const char *given = getenv("SOFTCVM_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : 0x5eed;
	uint8_t image[IMAGE_SIZE];
	struct elf_image e;

	print_message("seed %#llx (SOFTCVM_TEST_SEED)\n", (unsigned long long)seed);
	make_bzimage(image);
	mutate(image, sizeof(image), seed);
	make_elf(&e, true);
	mutate(&e, sizeof(e), seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bzimage_is_placed),
		cmocka_unit_test(what_was_loaded_is_remembered),
		cmocka_unit_test(places_are_in_order_and_apart),
		cmocka_unit_test(bzimage_moves_when_memory_is_small),
		cmocka_unit_test(bad_headers_are_refused),
		cmocka_unit_test(wild_addresses_do_no_harm),
		cmocka_unit_test(every_truncation_is_survived),
		cmocka_unit_test(elf_with_and_without_pvh),
		cmocka_unit_test(bad_elf_is_refused),
		cmocka_unit_test(mutations_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
