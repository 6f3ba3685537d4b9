/* SPDX-License-Identifier: Apache-2.0 */
/* The first stage in 64-bit mode: memory, then the kernel (Documentation/arch/x86/boot.rst, 64-bit boot protocol). */
#include "boot/boot.h"
#include "vmm/layout.h"

#define BOOT_CS 0x10
#define BOOT_DS 0x18

void boot_main(void);

void *memcpy(void *to, const void *from, size_t n)
{
	void *d = to;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
	return to;
}

static void say(const char *text)
{
	while (*text)
		boot_out8(PORT_COM1, (uint8_t)*text++);
}

void boot_fail(const char *why)
{
	say("\r\nfirst stage: ");
	say(why);
	say("\r\n");
	boot_out8(PORT_PVPANIC, 1);
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* The GDT the kernel starts on is in the guest's own memory: the one until here may be the host's to change. */
static void enter_kernel(uint64_t entry, uint64_t zero_page) __attribute__((noreturn));
static void enter_kernel(uint64_t entry, uint64_t zero_page)
{
	volatile uint64_t *gdt = (volatile uint64_t *)FIRST_STAGE_GDT;
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {4 * 8 - 1, FIRST_STAGE_GDT};

	gdt[0] = gdt[1] = 0;
	gdt[BOOT_CS / 8] = 0x00af9b000000ffff;
	gdt[BOOT_DS / 8] = 0x00cf93000000ffff;
	__asm__ volatile("lgdt %0\n\t"
			 "mov %1, %%ds\n\t"
			 "mov %1, %%es\n\t"
			 "mov %1, %%fs\n\t"
			 "mov %1, %%gs\n\t"
			 "mov %1, %%ss\n\t"
			 "push %2\n\t"
			 "push %3\n\t"
			 "lretq"
			 :
			 : "m"(pointer), "r"(BOOT_DS), "r"((uint64_t)BOOT_CS), "r"(entry), "S"(zero_page)
			 : "memory");
	__builtin_unreachable();
}

void boot_main(void)
{
	struct first_stage_info info;

	/* Once: the page may be the host's to change. */
	memcpy(&info, (const void *)FIRST_STAGE_INFO, sizeof(info));
	if (info.magic != FIRST_STAGE_MAGIC || info.nr_placed > FIRST_STAGE_MAX_RANGES)
		boot_fail("the VMM has described no machine");
	boot_take_memory(&info);
	enter_kernel(info.entry, info.zero_page);
}
