// SPDX-License-Identifier: Apache-2.0
/* The first vCPU as the boot protocols want it: flat segments; for the 64-bit entry, long mode with memory mapped 1:1. */
#include "vmm/bytes.h"
#include "vmm/layout.h"
#include "vmm/report.h"
#include "vmm/vm.h"

#include <errno.h>
#include <string.h>

#define CR0_PE	 (1u << 0)
#define CR0_ET	 (1u << 4)
#define CR0_PG	 (1u << 31)
#define CR4_PAE	 (1u << 5)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define PTE_TABLE 0x03ull /* present, writable */
#define PDE_2M	  0x83ull

#define BOOT_CS 0x10 /* boot.rst, 32-bit and 64-bit boot protocol */
#define BOOT_DS 0x18
#define BOOT_TR 0x20

#define DIRECTORIES 4u /* 4 GiB */

static struct kvm_segment code_segment(bool long_mode)
{
	return (struct kvm_segment){
		.limit = ~0u, .selector = BOOT_CS, .type = 0xb, .present = 1, .db = !long_mode, .s = 1, .l = long_mode, .g = 1
	};
}

static const struct kvm_segment data_segment = {
	.limit = ~0u, .selector = BOOT_DS, .type = 0x3, .present = 1, .db = 1, .s = 1, .g = 1
};
static const struct kvm_segment task_segment = { .limit = 0x67, .selector = BOOT_TR, .type = 0xb, .present = 1 };

static void write_gdt(const struct guest_memory *mem, bool long_mode, struct kvm_dtable *gdtr)
{
	const uint64_t gdt[] = {
		0,
		0,
		long_mode ? 0x00af9b000000ffff : 0x00cf9b000000ffff,
		0x00cf93000000ffff,
		0x00008b0000000067, /* a TSS that nobody uses; VMX wants TR to be one */
		0,
	};
	uint8_t *to = memory_at(mem, LAYOUT_GDT, sizeof(gdt));

	for (unsigned int i = 0; i < sizeof(gdt) / sizeof(gdt[0]); i++)
		put64(to + 8 * i, gdt[i]);
	*gdtr = (struct kvm_dtable){ .base = LAYOUT_GDT, .limit = sizeof(gdt) - 1 };
}

static void write_page_tables(const struct guest_memory *mem)
{
	uint64_t pdpt = LAYOUT_PAGE_TABLES + 0x1000, directories = pdpt + 0x1000;
	uint8_t *table = memory_at(mem, LAYOUT_PAGE_TABLES, 0x2000 + DIRECTORIES * 0x1000);

	memset(table, 0, 0x2000);
	put64(table, pdpt | PTE_TABLE);
	for (unsigned int i = 0; i < DIRECTORIES; i++)
		put64(table + 0x1000 + 8 * i, (directories + i * 0x1000) | PTE_TABLE);
	for (uint64_t i = 0; i < DIRECTORIES * 512; i++)
		put64(table + 0x2000 + 8 * i, i << 21 | PDE_2M);
}

static int set_sregs(struct vcpu *vcpu, bool long_mode)
{
	struct vm *vm = vcpu->vm;
	struct kvm_sregs sregs;
	int err = vm->calls->ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);

	if (err)
		return err;
	write_gdt(&vm->memory, long_mode, &sregs.gdt);
	sregs.idt = (struct kvm_dtable){};
	sregs.cs = code_segment(long_mode);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data_segment;
	sregs.tr = task_segment;
	sregs.cr0 = CR0_PE | CR0_ET;
	sregs.cr4 = 0;
	if (long_mode) {
		write_page_tables(&vm->memory);
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = LAYOUT_PAGE_TABLES;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
	}
	return vm->calls->ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
}

int vcpu_set_boot_registers(struct vcpu *vcpu, const struct boot_entry *boot)
{
	struct kvm_regs regs = { .rip = boot->entry, .rflags = 2 };
	int err = set_sregs(vcpu, boot->mode == BOOT_LINUX_64);

	if (boot->mode == BOOT_PVH)
		regs.rbx = boot->info;
	else
		regs.rsi = boot->info;
	if (!err)
		err = vcpu->vm->calls->ioctl(vcpu->fd, KVM_SET_REGS, &regs);
	if (err)
		vmm_error("cannot set the boot registers: %s", strerror(-err));
	return err;
}
