// SPDX-License-Identifier: Apache-2.0
/*
 * Arbitrary bytes as guest code, in every mode, on both platforms: whatever they do, the processor answers with an exit. The guest's
 * memory is smaller than what its stage-2 tables could reach, so that most wild accesses leave the processor and are answered with zero.
 *
 * Input: byte 0 chooses platform, mode and whether an IDT exists; the rest is code at 0x1000.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hw/hw.h"

#define RAM_PAGES 64
#define CODE	  0x1000
#define PML4	  0x20000
#define MAX_EXITS 60

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t table_l4[512] __attribute__((aligned(4096))), table_l3[512] __attribute__((aligned(4096))),
	table_l2[512] __attribute__((aligned(4096))), table_l1[512] __attribute__((aligned(4096)));

static void map_ram(struct stage2 *s2, enum stage2_format format, uint8_t *ram)
{
	*s2 = (struct stage2){ .format = format, .levels = 4, .root = table_l4 };
	table_l4[0] = stage2_make_table(table_l3);
	table_l3[0] = stage2_make_table(table_l2);
	table_l2[0] = stage2_make_table(table_l1);
	for (unsigned int i = 0; i < RAM_PAGES; i++)
		table_l1[i] = stage2_make_leaf(format, ptr_to_hpa(ram + i * HW_PAGE_SIZE), HW_LEVEL_4K, STAGE2_RWX);
}

static void flat(struct hw_segment *s, uint16_t selector, uint32_t attr)
{
	*s = (struct hw_segment){ .selector = selector, .base = 0, .limit = ~0u, .attr = attr };
}

static void set_mode(struct hw_arch *a, unsigned int mode, uint8_t *ram)
{
	uint64_t *pml4 = (uint64_t *)(ram + PML4);
	unsigned int dpl = mode & 4 ? 3 : 0;

	a->rip = CODE;
	a->gpr[HW_RSP] = 0x8000;
	for (unsigned int i = 0; i < 16; i++)
		if (i != HW_RSP)
			a->gpr[i] = 0x3000 + 0x101 * i;
	if ((mode & 3) == 0) { /* real mode */
		a->seg[HW_CS].base = a->seg[HW_CS].selector = 0;
		return;
	}
	a->cr0 = 0x80050033;
	a->cr4 = 0x6f8 & ~0x40ull;
	flat(&a->seg[HW_CS], 0x8 | dpl, (mode & 3) == 3 ? 0xa09b | dpl << 5 : (mode & 3) == 2 ? 0xc09b | dpl << 5 : 0x809b | dpl << 5);
	for (unsigned int s = HW_ES; s <= HW_GS; s++)
		if (s != HW_CS)
			flat(&a->seg[s], 0x10 | dpl, 0xc093 | dpl << 5);
	a->idtr = (struct hw_table){ .base = 0x5000, .limit = 0xfff };
	a->gdtr = (struct hw_table){ .base = 0x6000, .limit = 0xff };
	if ((mode & 3) == 3) {
		a->cr4 |= 0x20;
		a->efer = 0xd01;
		memset(pml4, 0, 3 * 4096);
		pml4[0] = (PML4 + 0x1000) | 7;
		pml4[512] = (PML4 + 0x2000) | 7;
		pml4[1024] = 0x87;
		a->cr3 = PML4;
	} else {
		a->cr0 &= ~(1ull << 31);
	}
}

/* One machine a platform for the whole run: making one costs more than an input. */
struct target {
	struct hw_machine *machine;
	struct hw_vm *vm;
	struct hw_cpu *cpu;
	struct stage2 s2;
	uint8_t *ram;
};

static struct target *target_of(enum hw_platform platform)
{
	static struct target targets[2];
	struct target *t = &targets[platform];
	struct hw_machine_config config = { .platform = platform, .icount = true, .rdrand_seed = 1 };

	if (t->cpu)
		return t;
	t->ram = mmap(NULL, RAM_PAGES * HW_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->ram == MAP_FAILED || hw_phys_init() || hw_machine_create(&config, &t->machine) || hw_vm_create(t->machine, &t->vm) ||
	    hw_cpu_create(t->vm, 0, &t->cpu))
		abort();
	return t;
}

static void run(struct target *t)
{
	const struct hw_exit *exit = hw_cpu_exit(t->cpu);
	bool intel = hw_machine_config(t->machine)->platform == HW_PLATFORM_INTEL;

	hw_cpu_set_deadline(t->cpu, hw_machine_tsc(t->machine) + 3000);
	for (unsigned int i = 0; i < MAX_EXITS; i++) {
		hw_cpu_run(t->cpu);
		if (exit->kicked || exit->host_fault || (exit->access.valid && exit->access.fetch))
			break;
		if (exit->access.valid)
			hw_cpu_complete_access(t->cpu, 0);
		else if (intel ? exit->vmx.reason == VMX_EXIT_TRIPLE_FAULT : exit->svm.code == SVM_EXIT_SHUTDOWN)
			break;
		else
			hw_cpu_skip_insn(t->cpu);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target *t;

	if (size < 2 || size > 4096)
		return 0;
	t = target_of(data[0] & 0x80 ? HW_PLATFORM_AMD : HW_PLATFORM_INTEL);
	memset(t->ram, 0xf4, RAM_PAGES * HW_PAGE_SIZE); /* HLT: falling off the input ends soon */
	memcpy(t->ram + CODE, data + 1, size - 1);
	map_ram(&t->s2, data[0] & 0x80 ? STAGE2_NPT : STAGE2_EPT, t->ram);
	hw_cpu_drop_access(t->cpu);
	hw_cpu_reset(t->cpu, false);
	memset(hw_cpu_ctl(t->cpu), 0, sizeof(struct hw_ctl));
	set_mode(hw_cpu_arch(t->cpu), data[0] & 7, t->ram);
	if (data[0] & 8)
		memset(t->ram + 0x5000, data[size - 1], 4096); /* an IDT of rubbish */
	hw_cpu_ctl(t->cpu)->s2 = &t->s2;
	hw_cpu_ctl(t->cpu)->hlt_exiting = true;
	hw_cpu_arch_changed(t->cpu);
	hw_vm_memory_written(t->vm, ptr_to_hpa(t->ram), RAM_PAGES * HW_PAGE_SIZE);
	run(t);
	return 0;
}
