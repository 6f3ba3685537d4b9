// SPDX-License-Identifier: Apache-2.0
/* Kernel, initrd, command line and what the kernel reads first (zero page, hvm_start_info) into guest memory. */
#include "vmm/loader.h"

#include "vmm/bytes.h"
#include "vmm/layout.h"
#include "vmm/vmm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* struct boot_params (Documentation/arch/x86/zero-page.rst) by offset */
enum {
	ZP_ACPI_RSDP_ADDR = 0x070,
	ZP_E820_ENTRIES = 0x1e8,
	ZP_SETUP_HEADER = 0x1f1,
	ZP_VID_MODE = 0x1fa,
	ZP_BOOT_FLAG = 0x1fe,
	ZP_MAGIC = 0x202,
	ZP_TYPE_OF_LOADER = 0x210,
	ZP_LOADFLAGS = 0x211,
	ZP_RAMDISK_IMAGE = 0x218,
	ZP_RAMDISK_SIZE = 0x21c,
	ZP_CMD_LINE_PTR = 0x228,
	ZP_SETUP_DATA = 0x250,
	ZP_E820_TABLE = 0x2d0,
};
#define E820_ENTRY_SIZE	   20u
#define LOADER_UNDEFINED   0xffu
#define LOADED_HIGH	   0x01u
#define VIDEO_MODE_NORMAL  0xffffu

int boot_fail(struct boot_error *error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int place_cmdline(struct guest_memory *mem, const char *cmdline, uint64_t max, struct boot_error *error)
{
	size_t length = strlen(cmdline);

	if (max > LAYOUT_EBDA - LAYOUT_CMDLINE - 1)
		max = LAYOUT_EBDA - LAYOUT_CMDLINE - 1;
	if (length > max)
		return boot_fail(error, "the command line has %zu characters, this kernel takes %llu", length,
				 (unsigned long long)max);
	memcpy(memory_place(mem, LAYOUT_CMDLINE, length + 1), cmdline, length + 1);
	return 0;
}

/* As high as allowed, so that it stays clear of the decompressed kernel. */
static int place_initrd(struct guest_memory *mem, const struct boot_source *source, const struct boot_image *image,
			uint64_t *address, struct boot_error *error)
{
	uint64_t end = memory_low_end(mem);
	void *to = NULL;

	*address = 0;
	if (!source->initrd)
		return 0;
	if (image->initrd_max < end)
		end = image->initrd_max + 1;
	if (source->initrd_size <= end) {
		*address = (end - source->initrd_size) & ~(MEMORY_PAGE - 1);
		if (*address >= image->end)
			to = memory_place(mem, *address, source->initrd_size);
	}
	if (!to)
		return boot_fail(error, "initrd of %zu bytes does not fit between the kernel's end at %#llx and %#llx",
				 source->initrd_size, (unsigned long long)image->end, (unsigned long long)end);
	memcpy(to, source->initrd, source->initrd_size);
	return 0;
}

static void write_zero_page(struct guest_memory *mem, const struct boot_image *image, uint64_t initrd, size_t initrd_size)
{
	uint8_t *zp = memory_place(mem, LAYOUT_ZERO_PAGE, MEMORY_PAGE);
	struct e820_range map[E820_MAX];
	unsigned int n = memory_map(mem, map);

	memset(zp, 0, MEMORY_PAGE);
	if (image->setup)
		memcpy(zp + ZP_SETUP_HEADER, image->setup, image->setup_size);
	put16(zp + ZP_BOOT_FLAG, 0xaa55);
	memcpy(zp + ZP_MAGIC, "HdrS", 4);
	put16(zp + ZP_VID_MODE, VIDEO_MODE_NORMAL);
	zp[ZP_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	zp[ZP_LOADFLAGS] = LOADED_HIGH;
	put32(zp + ZP_RAMDISK_IMAGE, (uint32_t)initrd);
	put32(zp + ZP_RAMDISK_SIZE, (uint32_t)initrd_size);
	put32(zp + ZP_CMD_LINE_PTR, LAYOUT_CMDLINE);
	put64(zp + ZP_SETUP_DATA, 0);
	put64(zp + ZP_ACPI_RSDP_ADDR, LAYOUT_ACPI);
	zp[ZP_E820_ENTRIES] = (uint8_t)n;
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *entry = zp + ZP_E820_TABLE + i * E820_ENTRY_SIZE;

		put64(entry, map[i].start);
		put64(entry + 8, map[i].size);
		put32(entry + 16, map[i].type);
	}
}

/* struct hvm_start_info, version 1, with its module list and memory map behind it */
static void write_pvh_info(struct guest_memory *mem, uint64_t initrd, size_t initrd_size)
{
	enum { MODULES = 0x40, MAP = 0x80, MAP_ENTRY_SIZE = 24 };
	uint8_t *info = memory_place(mem, LAYOUT_PVH_INFO, MEMORY_PAGE);
	struct e820_range map[E820_MAX];
	unsigned int n = memory_map(mem, map);

	memset(info, 0, MEMORY_PAGE);
	put32(info, 0x336ec578); /* magic */
	put32(info + 4, 1);	 /* version */
	put32(info + 12, initrd ? 1 : 0);
	put64(info + 16, LAYOUT_PVH_INFO + MODULES);
	put64(info + 24, LAYOUT_CMDLINE);
	put64(info + 32, LAYOUT_ACPI);
	put64(info + 40, LAYOUT_PVH_INFO + MAP);
	put32(info + 48, n);
	put64(info + MODULES, initrd);
	put64(info + MODULES + 8, initrd_size);
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *entry = info + MAP + i * MAP_ENTRY_SIZE;

		put64(entry, map[i].start);
		put64(entry + 8, map[i].size);
		put32(entry + 16, map[i].type);
	}
}

int loader_load(struct guest_memory *mem, const struct boot_source *source, struct boot_entry *entry,
		struct boot_error *error)
{
	struct boot_image image;
	uint64_t initrd;
	int err;

	if (memory_low_end(mem) < LAYOUT_MIN_MEMORY)
		return boot_fail(error, "%llu KiB of memory are too little to boot anything",
				 (unsigned long long)mem->size >> 10);
	if (bzimage_probe(source->kernel, source->kernel_size))
		err = bzimage_place(mem, source->kernel, source->kernel_size, &image, error);
	else if (elf_probe(source->kernel, source->kernel_size))
		err = elf_place(mem, source->kernel, source->kernel_size, &image, error);
	else
		err = boot_fail(error, "kernel is neither a bzImage nor an ELF file");
	if (!err)
		err = place_cmdline(mem, source->cmdline, image.cmdline_max, error);
	if (!err)
		err = place_initrd(mem, source, &image, &initrd, error);
	if (err)
		return err;
	*entry = image.entry;
	if (entry->mode == BOOT_PVH) {
		write_pvh_info(mem, initrd, source->initrd_size);
		entry->info = LAYOUT_PVH_INFO;
	} else {
		write_zero_page(mem, &image, initrd, source->initrd_size);
		entry->info = LAYOUT_ZERO_PAGE;
	}
	return 0;
}

int vmm_check_kernel(const void *image, size_t size, uint64_t memory_size, char *why, size_t why_size)
{
	struct boot_source source = { .kernel = image, .kernel_size = size, .cmdline = "" };
	struct boot_error error = { "out of memory" };
	struct boot_entry entry;
	struct guest_memory mem;
	int err;

	err = memory_create(&mem, memory_size, NULL);
	if (!err) {
		err = loader_load(&mem, &source, &entry, &error);
		memory_destroy(&mem);
	}
	snprintf(why, why_size, "%s", err ? error.text : "");
	return err;
}
