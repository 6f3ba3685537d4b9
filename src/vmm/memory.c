// SPDX-License-Identifier: Apache-2.0
/* Guest RAM and the map of it. */
#include "vmm/memory.h"

#include "vmm/layout.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int memory_create(struct guest_memory *mem, uint64_t size, void *hint)
{
	uint64_t low = size < MEMORY_LOW_LIMIT ? size : MEMORY_LOW_LIMIT;
	void *host;

	if (!size || size > SIZE_MAX / 2)
		return -EINVAL;
	/* Without MAP_NORESERVE a guest larger than free memory could not even be tried. */
	host = mmap(hint, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (host == MAP_FAILED)
		return -errno;
	*mem = (struct guest_memory){ .host = host, .size = size, .nr_regions = 1 };
	mem->region[0] = (struct memory_region){ .start = 0, .size = low, .host = host };
	if (size > low)
		mem->region[mem->nr_regions++] = (struct memory_region){
			.start = MEMORY_HIGH_START, .size = size - low, .host = (uint8_t *)host + low };
	return 0;
}

void memory_destroy(struct guest_memory *mem)
{
	if (mem->host)
		munmap(mem->host, mem->size);
	*mem = (struct guest_memory){};
}

struct iovec memory_prefix(const struct guest_memory *mem, uint64_t gpa, uint64_t size)
{
	for (unsigned int i = 0; i < mem->nr_regions; i++) {
		const struct memory_region *r = &mem->region[i];
		uint64_t offset = gpa - r->start;

		if (gpa < r->start || offset >= r->size)
			continue;
		return (struct iovec){ r->host + offset, size < r->size - offset ? size : r->size - offset };
	}
	return (struct iovec){};
}

void *memory_at(const struct guest_memory *mem, uint64_t gpa, uint64_t size)
{
	struct iovec prefix = memory_prefix(mem, gpa, size);

	return prefix.iov_base && prefix.iov_len == size ? prefix.iov_base : NULL;
}

/* The ranges that the new one meets become one with it. */
static bool remember(struct guest_memory *mem, uint64_t start, uint64_t end)
{
	unsigned int first = 0, last;

	while (first < mem->nr_placed && mem->placed[first].start + mem->placed[first].size < start)
		first++;
	for (last = first; last < mem->nr_placed && mem->placed[last].start <= end; last++) {
		const struct memory_range *met = &mem->placed[last];

		start = met->start < start ? met->start : start;
		end = met->start + met->size > end ? met->start + met->size : end;
	}
	if (last == first && mem->nr_placed == MEMORY_MAX_PLACED)
		return false;
	memmove(&mem->placed[first + 1], &mem->placed[last], (mem->nr_placed - last) * sizeof(mem->placed[0]));
	mem->placed[first] = (struct memory_range){ start, end - start };
	mem->nr_placed += 1 - (last - first);
	return true;
}

void *memory_place(struct guest_memory *mem, uint64_t gpa, uint64_t size)
{
	void *host = memory_at(mem, gpa, size);

	if (!host || !size)
		return host;
	return remember(mem, gpa & ~(MEMORY_PAGE - 1), (gpa + size + MEMORY_PAGE - 1) & ~(MEMORY_PAGE - 1)) ? host : NULL;
}

uint64_t memory_low_end(const struct guest_memory *mem)
{
	return mem->region[0].size;
}

uint64_t memory_end(const struct guest_memory *mem)
{
	const struct memory_region *last = &mem->region[mem->nr_regions - 1];

	return mem->nr_regions > 1 ? last->start + last->size : MEMORY_HIGH_START;
}

static void add_range(struct e820_range *map, unsigned int *n, uint64_t start, uint64_t end, uint32_t type)
{
	if (start < end)
		map[(*n)++] = (struct e820_range){ start, end - start, type };
}

unsigned int memory_map(const struct guest_memory *mem, struct e820_range map[E820_MAX])
{
	uint64_t low_end = memory_low_end(mem);
	unsigned int n = 0;

	add_range(map, &n, 0, low_end < LAYOUT_EBDA ? low_end : LAYOUT_EBDA, E820_RAM);
	add_range(map, &n, LAYOUT_EBDA, LAYOUT_VGA, E820_RESERVED);
	/* Not reserved: a kernel in a TD maps what has no other type as shared. */
	add_range(map, &n, LAYOUT_ACPI, LAYOUT_FIRST_STAGE, E820_ACPI);
	add_range(map, &n, LAYOUT_FIRST_STAGE, LAYOUT_HIGH_MEMORY, E820_NVS);
	add_range(map, &n, LAYOUT_HIGH_MEMORY, low_end, E820_RAM);
	/* A kernel uses ECAM only where the map reserves it. */
	add_range(map, &n, ECAM_START, ECAM_START + ECAM_SIZE, E820_RESERVED);
	if (mem->nr_regions > 1)
		add_range(map, &n, mem->region[1].start, mem->region[1].start + mem->region[1].size, E820_RAM);
	return n;
}
