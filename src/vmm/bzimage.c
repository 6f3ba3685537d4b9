// SPDX-License-Identifier: Apache-2.0
/* The x86 Linux boot protocol (Documentation/arch/x86/boot.rst). */
#include "vmm/bytes.h"
#include "vmm/layout.h"
#include "vmm/loader.h"

/* Fields of the setup header by their offset in the image. */
enum {
	HDR_SETUP_SECTS = 0x1f1,
	HDR_SYSSIZE = 0x1f4,
	HDR_BOOT_FLAG = 0x1fe,
	HDR_JUMP = 0x201,
	HDR_MAGIC = 0x202,
	HDR_VERSION = 0x206,
	HDR_LOADFLAGS = 0x211,
	HDR_INITRD_ADDR_MAX = 0x22c,
	HDR_KERNEL_ALIGNMENT = 0x230,
	HDR_RELOCATABLE = 0x234,
	HDR_XLOADFLAGS = 0x236,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	HDR_END_2_15 = 0x26c,
	HDR_ROOM = 0x290, /* of boot_params for the header */
};

#define MAGIC_HDRS	0x53726448u
#define LOADED_HIGH	0x01u
#define XLF_KERNEL_64	0x0001u
#define ENTRY_64_OFFSET 0x200u
#define SECTOR		512u

struct header {
	unsigned int version;
	uint64_t setup_size, payload_size;
	uint64_t alignment, pref_address, init_size;
	bool relocatable, entry_64;
};

bool bzimage_probe(const uint8_t *image, size_t size)
{
	return size >= HDR_VERSION + 2 && get32(image + HDR_MAGIC) == MAGIC_HDRS && get16(image + HDR_BOOT_FLAG) == 0xaa55;
}

static int check_sizes(const uint8_t *image, size_t size, struct header *h, struct boot_error *error)
{
	uint64_t sectors = image[HDR_SETUP_SECTS] ? image[HDR_SETUP_SECTS] : 4; /* boot.rst setup_sects */

	h->setup_size = (sectors + 1) * SECTOR;
	if (h->setup_size >= size)
		return boot_fail(error, "kernel is truncated: %zu bytes, its setup code alone is %llu", size,
				 (unsigned long long)h->setup_size);
	h->payload_size = size - h->setup_size;
	if ((uint64_t)get32(image + HDR_SYSSIZE) * 16 > h->payload_size + 15)
		return boot_fail(error, "kernel is truncated: %llu bytes of code, its header says %llu",
				 (unsigned long long)h->payload_size, (unsigned long long)get32(image + HDR_SYSSIZE) * 16);
	return 0;
}

static int parse(const uint8_t *image, size_t size, struct header *h, struct boot_error *error)
{
	int err;

	if (size < HDR_END_2_15)
		return boot_fail(error, "kernel is truncated: %zu bytes", size);
	h->version = get16(image + HDR_VERSION);
	if (h->version < 0x0203)
		return boot_fail(error, "kernel's boot protocol %u.%02u is older than 2.03", h->version >> 8, h->version & 0xff);
	if (!(image[HDR_LOADFLAGS] & LOADED_HIGH))
		return boot_fail(error, "kernel is a zImage, which loads below 1 MiB; a bzImage is needed");
	err = check_sizes(image, size, h, error);
	if (err)
		return err;
	h->relocatable = h->version >= 0x0205 && image[HDR_RELOCATABLE];
	h->alignment = h->version >= 0x0205 ? get32(image + HDR_KERNEL_ALIGNMENT) : 0;
	h->pref_address = h->version >= 0x020a ? get64(image + HDR_PREF_ADDRESS) : LAYOUT_HIGH_MEMORY;
	h->init_size = h->version >= 0x020a ? get32(image + HDR_INIT_SIZE) : h->payload_size;
	h->entry_64 = h->version >= 0x020c && (get16(image + HDR_XLOADFLAGS) & XLF_KERNEL_64);
	if (h->init_size < h->payload_size)
		h->init_size = h->payload_size;
	if (h->relocatable && (!h->alignment || (h->alignment & (h->alignment - 1))))
		return boot_fail(error, "kernel's alignment %#llx is not a power of two", (unsigned long long)h->alignment);
	return 0;
}

/* Where the kernel wants to be; a relocatable one goes as low as it may when that is beyond memory. */
static int choose_address(const struct guest_memory *mem, const struct header *h, uint64_t *address, struct boot_error *error)
{
	uint64_t lowest;

	*address = h->relocatable || h->version >= 0x020a ? h->pref_address : LAYOUT_HIGH_MEMORY;
	if (*address >= LAYOUT_HIGH_MEMORY && memory_at(mem, *address, h->init_size) && *address < MEMORY_LOW_LIMIT)
		return 0;
	if (h->relocatable) {
		lowest = (LAYOUT_HIGH_MEMORY + h->alignment - 1) & ~(h->alignment - 1);
		if (memory_at(mem, lowest, h->init_size)) {
			*address = lowest;
			return 0;
		}
	}
	return boot_fail(error, "kernel needs %llu KiB at %#llx, which is not in the guest's memory",
			 (unsigned long long)h->init_size >> 10, (unsigned long long)*address);
}

int bzimage_place( struct guest_memory *mem, const uint8_t *image, size_t size, struct boot_image *out,
		  struct boot_error *error)
{
	struct header h = {};
	uint64_t address;
	size_t setup_end;
	int err;

	err = parse(image, size, &h, error);
	if (!err)
		err = choose_address(mem, &h, &address, error);
	if (err)
		return err;
	memcpy(memory_place(mem, address, h.payload_size), image + h.setup_size, h.payload_size);

	/* The header ends where its first instruction, a short jump, goes to. */
	setup_end = HDR_MAGIC + image[HDR_JUMP];
	if (setup_end > HDR_ROOM)
		setup_end = HDR_ROOM;
	if (setup_end > size)
		setup_end = size;
	*out = (struct boot_image){
		.entry.mode = h.entry_64 ? BOOT_LINUX_64 : BOOT_LINUX_32,
		.entry.entry = h.entry_64 ? address + ENTRY_64_OFFSET : address,
		.start = address,
		.end = address + h.init_size,
		.initrd_max = get32(image + HDR_INITRD_ADDR_MAX),
		.cmdline_max = h.version >= 0x0206 ? get32(image + HDR_CMDLINE_SIZE) : 255,
		.setup = image + HDR_SETUP_SECTS,
		.setup_size = setup_end - HDR_SETUP_SECTS,
	};
	return 0;
}
