// SPDX-License-Identifier: Apache-2.0
/* One vCPU with 16 MiB of memory at guest-physical 0, mapped by 4K stage-2 entries, for tests of single steps. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hw/cpu/walk.h"

#define RAM_SIZE (16ull << 20)

struct fixture {
	struct hw_machine *machine;
	struct hw_vm *vm;
	struct hw_cpu *cpu;
	struct stage2 s2;
	u8 *ram;
	u64 *table[32]; /* stage-2 pages: root, 3, 2, then level 1 on demand */
	unsigned int tables;
};

static inline u64 *fixture_table(struct fixture *f)
{
	u64 *t = aligned_alloc(4096, 4096);

	assert_non_null(t);
	assert_true(f->tables < 32);
	memset(t, 0, 4096);
	return f->table[f->tables++] = t;
}

/* The stage-2 entry of level 1 for a guest-physical address. */
static inline u64 *fixture_entry(struct fixture *f, u64 address)
{
	u64 *t = f->s2.root;

	for (unsigned int level = 4; level > 1; level--) {
		u64 *e = &t[stage2_index(gpa(address), level)];

		if (!*e)
			*e = stage2_make_table(fixture_table(f));
		t = stage2_entry_table(*e);
	}
	return &t[stage2_index(gpa(address), 1)];
}

static inline void fixture_map(struct fixture *f, u64 address, unsigned int perms)
{
	*fixture_entry(f, address) = perms ? stage2_make_leaf(f->s2.format, ptr_to_hpa(f->ram + address), 1, perms) : 0;
	cpu_tlb_flush(f->cpu);
}

static inline struct fixture *fixture_open(enum hw_platform platform)
{
	struct hw_machine_config config = {.platform = platform};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(hw_phys_init(), 0);
	assert_int_equal(hw_machine_create(&config, &f->machine), 0);
	assert_int_equal(hw_vm_create(f->machine, &f->vm), 0);
	assert_int_equal(hw_cpu_create(f->vm, 0, &f->cpu), 0);
	f->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->ram != MAP_FAILED);
	f->s2 = (struct stage2){.format = platform == HW_PLATFORM_INTEL ? STAGE2_EPT : STAGE2_NPT, .levels = 4};
	f->s2.root = fixture_table(f);
	for (u64 a = 0; a < RAM_SIZE; a += HW_PAGE_SIZE)
		*fixture_entry(f, a) = stage2_make_leaf(f->s2.format, ptr_to_hpa(f->ram + a), 1, STAGE2_RWX);
	f->cpu->ctl.s2 = &f->s2;
	f->cpu->ctl.maxphyaddr = 46;
	cpu_tlb_flush(f->cpu);
	return f;
}

static inline void fixture_close(struct fixture *f)
{
	hw_cpu_destroy(f->cpu);
	hw_vm_destroy(f->vm);
	hw_machine_destroy(f->machine);
	munmap(f->ram, RAM_SIZE);
	for (unsigned int i = 0; i < f->tables; i++)
		free(f->table[i]);
	free(f);
}

static inline void ram_put(struct fixture *f, u64 address, unsigned int size, u64 value)
{
	memcpy(f->ram + address, &value, size);
}

static inline u64 ram_get(struct fixture *f, u64 address, unsigned int size)
{
	u64 value = 0;

	memcpy(&value, f->ram + address, size);
	return value;
}

/* 64-bit code at the CPL of `cpl`. */
static inline void fixture_long_mode(struct fixture *f, unsigned int cpl, u64 cr3)
{
	struct hw_arch *a = &f->cpu->arch;

	a->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_ET;
	a->cr4 = CR4_PAE | CR4_PGE;
	a->efer = EFER_LME | EFER_LMA | EFER_NXE;
	a->cr3 = cr3;
	a->rflags = 2;
	a->seg[HW_CS] = (struct hw_segment){
		.selector = 8 | cpl,
		.limit = ~0u,
		.attr = SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_ACCESSED | SEG_L | SEG_G | cpl << 5,
	};
	a->seg[HW_SS] = (struct hw_segment){
		.selector = 16 | cpl,
		.limit = ~0u,
		.attr = SEG_P | SEG_S | SEG_RW | SEG_ACCESSED | SEG_DB | SEG_G | cpl << 5,
	};
	cpu_update_mode(f->cpu);
	cpu_tlb_flush(f->cpu);
}
