/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM_X86_SW_PROTECTED_VM: what the VMM has loaded lies in the shared side of its pages, all other RAM is private and
 * empty. A page's two sides have one address, so each range goes through private memory: copied there, made private,
 * copied back.
 */
#include "boot/boot.h"

#define HC_MAP_GPA_RANGE 12u /* Documentation/virt/kvm/x86/hypercalls.rst */
#define MAP_ENCRYPTED	 (1u << 4)
#define PAGE_SHIFT	 12

void boot_out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "d"(port));
}

static int is_amd(void)
{
	uint32_t eax = 0, ebx, ecx = 0, edx;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return ebx == 0x68747541 /* Auth */ || ebx == 0x6f677948 /* Hygo */;
}

static uint64_t map_gpa_range(uint64_t gpa, uint64_t size, uint64_t attributes, int amd)
{
	uint64_t result;

	if (amd)
		__asm__ volatile("vmmcall"
				 : "=a"(result)
				 : "a"(HC_MAP_GPA_RANGE), "b"(gpa), "c"(size >> PAGE_SHIFT), "d"(attributes)
				 : "memory");
	else
		__asm__ volatile("vmcall"
				 : "=a"(result)
				 : "a"(HC_MAP_GPA_RANGE), "b"(gpa), "c"(size >> PAGE_SHIFT), "d"(attributes)
				 : "memory");
	return result;
}

static void take_range(struct first_stage_range range, struct first_stage_range bounce, int amd)
{
	while (range.size) {
		uint64_t size = range.size < bounce.size ? range.size : bounce.size;

		memcpy((void *)bounce.start, (const void *)range.start, size);
		if (map_gpa_range(range.start, size, MAP_ENCRYPTED, amd))
			boot_fail("the VMM does not make memory private");
		memcpy((void *)range.start, (const void *)bounce.start, size);
		range.start += size;
		range.size -= size;
	}
}

void boot_take_memory(const struct first_stage_info *info)
{
	int amd = is_amd();

	if (!info->bounce.size)
		boot_fail("the VMM has left no memory to copy through");
	for (uint32_t i = 0; i < info->nr_placed; i++)
		take_range(info->placed[i], info->bounce, amd);
}

/* One processor is enough: what takes its time is the VMM's part. */
void boot_help(void)
{
}
