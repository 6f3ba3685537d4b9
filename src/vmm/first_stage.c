// SPDX-License-Identifier: Apache-2.0
#include "vmm/first_stage.h"

#include "boot/first_stage.h"
#include "vmm/layout.h"
#include "vmm/report.h"
#include "vmm/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BOUNCE_MAX 0x200000ull

_Static_assert(FIRST_STAGE_WORK == LAYOUT_FIRST_STAGE && FIRST_STAGE_WORK_END == LAYOUT_FIRST_STAGE_END,
	       "the first stage works where nothing is loaded");
_Static_assert(VMM_MAX_CPUS <= FIRST_STAGE_MAX_CPUS, "every processor has a stack");
_Static_assert(FIRST_STAGE_MAX_RANGES >= MEMORY_MAX_PLACED, "what is loaded can be described");

static const uint8_t sw_protected[] = {
#include "first_stage_sw_protected.inc"
};
const struct first_stage_code first_stage_sw_protected = {sw_protected, sizeof(sw_protected)};

static const uint8_t tdx[] = {
#include "first_stage_tdx.inc"
};
const struct first_stage_code first_stage_tdx = {tdx, sizeof(tdx)};

uint8_t *first_stage_create(struct vm *vm, const struct first_stage_code *code)
{
	void *host = mmap(vm_memory_hint(vm, FIRST_STAGE_SIZE), FIRST_STAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (host == MAP_FAILED) {
		vmm_error("cannot get memory for the first stage: %s", strerror(errno));
		return NULL;
	}
	vm->first_stage = host;
	memcpy(vm->first_stage + FIRST_STAGE_SIZE - code->size, code->bytes, code->size);
	return vm->first_stage;
}

void first_stage_destroy(struct vm *vm)
{
	if (vm->first_stage_fd >= 0)
		vm->calls->close(vm->first_stage_fd);
	vm->first_stage_fd = -1;
	if (vm->first_stage)
		munmap(vm->first_stage, FIRST_STAGE_SIZE);
	vm->first_stage = NULL;
}

static bool is_free(const struct guest_memory *mem, uint64_t start, uint64_t size)
{
	for (unsigned int i = 0; i < mem->nr_placed; i++)
		if (start < mem->placed[i].start + mem->placed[i].size && mem->placed[i].start < start + size)
			return false;
	return memory_at(mem, start, size);
}

/* The larger the better, but any page will do. */
static struct first_stage_range find_bounce(const struct guest_memory *mem)
{
	for (uint64_t size = BOUNCE_MAX; size >= MEMORY_PAGE; size /= 2)
		for (uint64_t start = BOUNCE_MAX; start < memory_low_end(mem); start += size)
			if (is_free(mem, start, size))
				return (struct first_stage_range){start, size};
	return (struct first_stage_range){};
}

int first_stage_describe(struct vm *vm)
{
	struct first_stage_info *info = (struct first_stage_info *)vm->first_stage;
	const struct guest_memory *mem = &vm->memory;

	if (vm->boot.mode != BOOT_LINUX_64) {
		vmm_error("a %s VM starts kernels at their 64-bit entry, which this one does not have",
			  vm->config->type->name);
		return -EINVAL;
	}
	*info = (struct first_stage_info){
		.magic = FIRST_STAGE_MAGIC,
		.entry = vm->boot.entry,
		.zero_page = vm->boot.info,
		.bounce = find_bounce(mem),
		.nr_placed = mem->nr_placed,
	};
	for (unsigned int i = 0; i < mem->nr_regions; i++)
		info->ram[i] = (struct first_stage_range){mem->region[i].start, mem->region[i].size};
	for (unsigned int i = 0; i < mem->nr_placed; i++) {
		info->placed[i] = (struct first_stage_range){mem->placed[i].start, mem->placed[i].size};
		if (mem->placed[i].start >= MEMORY_HIGH_START) {
			vmm_error("a %s VM starts no kernel that loads above 4 GiB", vm->config->type->name);
			return -EINVAL;
		}
	}
	return 0;
}
