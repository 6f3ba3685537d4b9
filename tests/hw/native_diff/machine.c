// SPDX-License-Identifier: Apache-2.0
/*
 * machine: a sequence on our processor, in 64-bit user mode. Every exception exits; guest physical addresses are the
 * linear ones, so the page tables stand in the first pages.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "diff.h"

#define TABLE_PAGES 6u /* PML4, PDPT, PD, one PT each for data and code, one spare for stage 2's low PT */

struct tables {
	u64 page[TABLE_PAGES][512];
} __attribute__((aligned(4096)));

static struct {
	struct hw_machine *machine;
	struct hw_vm *vm;
	struct hw_cpu *cpu;
	struct tables *guest; /* guest physical address: the page number of each */
	struct tables *stage2;
	struct stage2 s2;
	struct image *data;
	u8 *code;
	bool intel;
} m;

static unsigned int index_at(u64 address, unsigned int level)
{
	return stage2_index(gpa(address), level);
}

/* Guest paging, SDM 3A 4.5: P 0, R/W 1, U/S 2, A 5, D 6. */
static void map_guest(void)
{
	u64(*t)[512] = m.guest->page;

	t[0][index_at(DATA_BASE, 4)] = 1 * PAGE | 0x27;
	t[1][index_at(DATA_BASE, 3)] = 2 * PAGE | 0x27;
	t[2][index_at(DATA_BASE, 2)] = 3 * PAGE | 0x27;
	t[2][index_at(CODE_BASE, 2)] = 4 * PAGE | 0x27;
	for (unsigned int n = 0; n < DATA_PAGES; n++) {
		u64 address = DATA_BASE + n * PAGE;

		if (page_kind(n) != PAGE_NONE)
			t[3][index_at(address, 1)] = address | (page_kind(n) == PAGE_RW ? 0x67 : 0x65);
	}
	for (unsigned int n = 0; n < CODE_PAGES; n++)
		t[4][index_at(CODE_BASE + n * PAGE, 1)] = (CODE_BASE + n * PAGE) | 0x67;
}

static void map_stage2_page(unsigned int table, u64 address, const void *host)
{
	m.stage2->page[table][index_at(address, 1)] =
		stage2_make_leaf(m.s2.format, ptr_to_hpa(host), HW_LEVEL_4K, STAGE2_RWX);
}

static void map_stage2(void)
{
	u64(*t)[512] = m.stage2->page;

	t[0][index_at(DATA_BASE, 4)] = stage2_make_table(t[1]);
	t[1][index_at(DATA_BASE, 3)] = stage2_make_table(t[2]);
	t[2][index_at(0, 2)] = stage2_make_table(t[5]);
	t[2][index_at(DATA_BASE, 2)] = stage2_make_table(t[3]);
	t[2][index_at(CODE_BASE, 2)] = stage2_make_table(t[4]);
	for (unsigned int n = 0; n < TABLE_PAGES; n++)
		map_stage2_page(5, n * PAGE, m.guest->page[n]);
	for (unsigned int n = 0; n < DATA_PAGES; n++)
		map_stage2_page(3, DATA_BASE + n * PAGE, m.data->byte[n]);
	for (unsigned int n = 0; n < CODE_PAGES; n++)
		map_stage2_page(4, CODE_BASE + n * PAGE, m.code + n * PAGE);
}

static void set_segments(struct hw_arch *a, bool compat)
{
	const struct hw_segment unusable = {.attr = 1u << 16};
	u64 fs;

	asm("rdfsbase %0" : "=r"(fs)); /* Linux 5.9 and later */
	for (unsigned int n = 0; n < HW_SREG_COUNT; n++)
		a->seg[n] = unusable;
	a->seg[HW_CS] = (struct hw_segment){.limit = ~0u, .attr = 0xa0fb, .selector = 0x33};
	if (compat) {
		a->seg[HW_CS] = (struct hw_segment){.limit = ~0u, .attr = 0xc0fb, .selector = 0x23};
		a->seg[HW_DS] = (struct hw_segment){.limit = ~0u, .attr = 0xc0f3, .selector = 0x2b};
		a->seg[HW_ES] = a->seg[HW_DS];
	}
	a->seg[HW_SS] = (struct hw_segment){.limit = ~0u, .attr = 0xc0f3, .selector = 0x2b};
	a->seg[HW_TR] = (struct hw_segment){.limit = 0x57, .attr = 0x8b, .selector = 0x40}; /* no I/O bitmap */
	a->seg[HW_FS].base = fs;
	a->seg[HW_GS].base = GS_BASE;
}

/* As Linux runs its processes. */
static void set_system_state(struct hw_arch *a)
{
	a->cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
	a->cr4 = 0x506b0;    /* OSXSAVE FSGSBASE OSXMMEXCPT OSFXSR PGE PAE PSE */
	a->cr3 = 0;
	a->efer = 0xd01; /* NXE LMA LME SCE */
	a->xcr0 = host_has_avx() ? 7 : 3;
	a->gdtr = (struct hw_table){0, 0};
	a->idtr = (struct hw_table){0, 0};
	a->dr7 = 0x400;
	a->dr6 = 0xffff0ff0;
}

static bool host_is_intel(void)
{
	u32 a, b, c, d;

	return __get_cpuid(0, &a, &b, &c, &d) && b == 0x756e6547;
}

int machine_init(void)
{
	struct hw_machine_config config = {0};

	m.intel = host_is_intel();
	config.platform = m.intel ? HW_PLATFORM_INTEL : HW_PLATFORM_AMD;
	m.s2.format = m.intel ? STAGE2_EPT : STAGE2_NPT;
	m.s2.levels = 4;
	m.guest = aligned_alloc(PAGE, sizeof(*m.guest));
	m.stage2 = aligned_alloc(PAGE, sizeof(*m.stage2));
	m.data = aligned_alloc(PAGE, sizeof(*m.data));
	m.code = aligned_alloc(PAGE, CODE_SIZE);
	if (!m.guest || !m.stage2 || !m.data || !m.code)
		return -1;
	memset(m.guest, 0, sizeof(*m.guest));
	memset(m.stage2, 0, sizeof(*m.stage2));
	memset(m.data, 0, sizeof(*m.data));
	m.data->byte[6][0] = 1; /* native.c populates its read-only page so */
	map_guest();
	map_stage2();
	m.s2.root = m.stage2->page[0];
	if (hw_machine_create(&config, &m.machine) || hw_vm_create(m.machine, &m.vm) || hw_cpu_create(m.vm, 0, &m.cpu))
		return -1;
	set_system_state(hw_cpu_arch(m.cpu));
	hw_cpu_ctl(m.cpu)->s2 = &m.s2;
	hw_cpu_ctl(m.cpu)->exception_bitmap = ~0u;
	return 0;
}

void machine_destroy(void)
{
	hw_cpu_destroy(m.cpu);
	hw_vm_destroy(m.vm);
	hw_machine_destroy(m.machine);
	free(m.guest);
	free(m.stage2);
	free(m.data);
	free(m.code);
}

static void load_state(const struct sequence *sequence)
{
	const struct state *s = &sequence->initial;
	struct hw_arch *a = hw_cpu_arch(m.cpu);

	memcpy(a->gpr, s->gpr, sizeof(a->gpr));
	a->rip = s->rip;
	a->rflags = s->rflags | 2 | FLAG_IF;
	set_segments(a, sequence->compat);
	memset(&a->xsave, 0, sizeof(a->xsave));
	memcpy(a->xsave.b, s->fx, XSAVE_SIZE);
	a->interruptibility = 0;
	a->activity = HW_ACTIVE;
	a->dr6 = 0xffff0ff0;
	/* a data breakpoint that nothing touches: each instruction is a block */
	a->dr[0] = 0x7ffffffff000;
	a->dr7 = sequence->step ? 0x10401 : 0x400;
	hw_cpu_drop_access(m.cpu);
	hw_cpu_arch_changed(m.cpu);
}

static void read_exit(struct outcome *out)
{
	const struct hw_exit *x = hw_cpu_exit(m.cpu);
	const struct hw_arch *a = hw_cpu_arch(m.cpu);
	u64 advance = 0;

	if (x->host_fault) {
		out->failure = "host fault";
	} else if (m.intel && x->vmx.reason == VMX_EXIT_EXCEPTION) {
		out->vector = x->vmx.intr_info & 0xff;
		out->error = x->vmx.intr_error;
		out->cr2 = out->vector == X86_PF ? x->vmx.qualification : 0;
		advance = x->vmx.insn_len;
	} else if (!m.intel && x->svm.code >= SVM_EXIT_EXCP_BASE && x->svm.code < SVM_EXIT_EXCP_BASE + 32) {
		out->vector = (u32)(x->svm.code - SVM_EXIT_EXCP_BASE);
		out->error = x->svm.info1;
		out->cr2 = out->vector == X86_PF ? x->svm.info2 : 0;
		advance = 1;
	} else {
		out->failure = "exit that is no exception";
		out->error = m.intel ? x->vmx.reason : x->svm.code;
		out->cr2 = m.intel ? x->vmx.guest_physical : x->svm.info2;
	}
	if (!vector_has_error(out->vector) && !out->failure)
		out->error = 0;
	memcpy(out->state.gpr, a->gpr, sizeof(out->state.gpr));
	/* An intercepted INT3 has not moved RIP yet; its handler would see the next instruction's. */
	out->state.rip = a->rip + (out->vector == X86_BP ? advance : 0);
	out->state.rflags = a->rflags;
	out->state.ds = a->seg[HW_DS].selector;
	out->state.es = a->seg[HW_ES].selector;
	memcpy(out->state.fx, a->xsave.b, XSAVE_SIZE);
}

void machine_run(const struct sequence *s, struct outcome *out)
{
	memcpy(m.code, s->code, CODE_SIZE);
	hw_vm_memory_written(m.vm, ptr_to_hpa(m.code), CODE_SIZE);
	for (unsigned int n = 0; n < DATA_PAGES; n++) {
		if (page_kind(n) == PAGE_RW)
			memcpy(m.data->byte[n], s->memory->byte[n], PAGE);
	}
	load_state(s);
	out->failure = NULL;
	out->vector = 0;
	out->error = out->cr2 = 0;
	hw_cpu_run(m.cpu);
	read_exit(out);
	for (unsigned int n = 0; n < DATA_PAGES; n++) {
		if (page_kind(n) == PAGE_RW)
			memcpy(out->memory->byte[n], m.data->byte[n], PAGE);
	}
}
