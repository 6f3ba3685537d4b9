// SPDX-License-Identifier: Apache-2.0
/* A host for tests: it builds a TD by SEAMCALLs around guest.S, and gives each vCPU instructions to execute. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hw/cpu/sys.h"
#include "hw/tdx/tdx.h"

#define POOL_PAGES   16384u
#define HOST_VCPUS   4u
#define GUEST_BASE   0x10000ull
#define GUEST_PAGES  24u /* code, buffers, stacks */
#define PAGE_TABLES  0x1000ull
#define SHARED_GPA   0x100000ull /* a page for each vCPU */
#define SHARED_LINEAR 0x40000000ull /* linear address of shared GPA 0 */
#define RESET_PAGE   0xfffff000ull

/* The shared page, as guest.S has it. */
struct shared {
	u64 gpr[16];
	u8 code[256];
	u8 unused[0x200 - 0x180];
	u64 flags;
	u64 vector, error, rip, cr2;
	u64 ve_status, ve_reason, ve_qualification, ve_gla, ve_gpa, ve_length;
};
_Static_assert(offsetof(struct shared, flags) == 0x200 && offsetof(struct shared, ve_status) == 0x228, "guest.S");
#define NO_EXCEPTION ~0ull

struct host {
	struct hw_machine *machine;
	struct hw_vm *vm;
	struct tdx_module *mod;
	u8 *pool;
	unsigned int next_page;
	struct hw_cpu *cpu[HOST_VCPUS];
	u64 tdvpr[HOST_VCPUS];
	struct tdx_regs regs[HOST_VCPUS]; /* of the last entry */
	unsigned int vcpus;
	u64 tdr;
	struct tdx_td_params *params; /* as it will be, or was, given to TDH.MNG.INIT */
	u64 shared_bit;
	unsigned int top_level;
	struct stage2 s2; /* the shared EPT */
	struct hw_pi_desc *pi;
	u8 *shared_page[HOST_VCPUS];
};

/* ---------------------------------------------------------------- pages */

/* `count` pages, aligned to their number. */
static inline u64 host_pages(struct host *h, unsigned int count)
{
	u64 at;

	h->next_page = (h->next_page + count - 1) / count * count;
	assert_true(h->next_page + count <= POOL_PAGES);
	at = (u64)(uintptr_t)h->pool + h->next_page * HW_PAGE_SIZE;
	h->next_page += count;
	memset((void *)(uintptr_t)at, 0, count * HW_PAGE_SIZE);
	return at;
}
static inline u64 host_page(struct host *h)
{
	return host_pages(h, 1);
}

/* ---------------------------------------------------------------- SEAMCALLs */

/* RCX, RDX, R8, R9 */
#define ARGS(...) ((const u64[4]){__VA_ARGS__})

static inline u64 host_call(struct host *h, u64 leaf, const u64 in[4], struct tdx_regs *out)
{
	struct tdx_regs regs = {.rax = leaf, .rcx = in[0], .rdx = in[1], .r8 = in[2], .r9 = in[3]};
	u64 status = tdx_seamcall(h->mod, NULL, &regs);

	assert_true(status == regs.rax);
	if (out)
		*out = regs;
	return status;
}
#define call(h, leaf, ...) host_call(h, leaf, ARGS(__VA_ARGS__), NULL)
#define call_ok(h, leaf, ...) assert_int_equal(call(h, leaf, __VA_ARGS__), TDX_SUCCESS)

/* Tables down to `level` for the address, as far as they are missing. */
static inline void host_tables(struct host *h, u64 gpa_, unsigned int level)
{
	for (unsigned int l = h->top_level; l > level; l--) {
		u64 base = gpa_ & ~(hw_level_size(l + 1) - 1);
		u64 status = call(h, TDH_MEM_SEPT_ADD, base | l, h->tdr, host_page(h));

		assert_true(!status || (status & TDX_STATUS_MASK) == TDX_EPT_ENTRY_STATE_INCORRECT);
	}
}

/* A measured private page. Returns it. */
static inline u64 host_add(struct host *h, u64 gpa_, const void *contents, size_t size)
{
	u64 page = host_page(h), source = host_page(h);

	memcpy((void *)(uintptr_t)source, contents, size);
	host_tables(h, gpa_, 0);
	call_ok(h, TDH_MEM_PAGE_ADD, gpa_, h->tdr, page, source);
	return page;
}

static inline u64 host_aug(struct host *h, u64 gpa_, unsigned int level)
{
	u64 page = host_pages(h, level ? 512 : 1);

	host_tables(h, gpa_, level);
	call_ok(h, TDH_MEM_PAGE_AUG, gpa_ | level, h->tdr, page);
	return page;
}

/* ---------------------------------------------------------------- the shared EPT */

static inline u64 *host_shared_entry(struct host *h, u64 gpa_)
{
	u64 *t = h->s2.root;

	for (unsigned int level = h->s2.levels; level > 1; level--) {
		u64 *e = &t[stage2_index(gpa(gpa_), level)];

		if (!stage2_present(STAGE2_EPT, *e)) {
			u64 *page = (u64 *)(uintptr_t)host_page(h);

			for (unsigned int n = 0; n < 512; n++)
				page[n] = STAGE2_EPT_SUPPRESS_VE;
			*e = stage2_make_table(page);
		}
		t = stage2_entry_table(*e);
	}
	return &t[stage2_index(gpa(gpa_), 1)];
}

/* ---------------------------------------------------------------- creation */

static inline struct host *host_open(void)
{
	const struct hw_machine_config config = {.platform = HW_PLATFORM_INTEL};
	struct host *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	assert_int_equal(hw_machine_create(&config, &h->machine), 0);
	assert_int_equal(hw_vm_create(h->machine, &h->vm), 0);
	assert_int_equal(tdx_module_create(h->machine, &h->mod), 0);
	h->pool = aligned_alloc(2 << 20, POOL_PAGES * HW_PAGE_SIZE);
	assert_non_null(h->pool);
	h->params = (void *)(uintptr_t)host_page(h);
	*h->params = (struct tdx_td_params){
		.xfam = 7,
		.max_vcpus = HOST_VCPUS,
		.eptp_controls = 6 | 3 << 3,
		.tsc_frequency = 40,
	};
	h->s2 = (struct stage2){.format = STAGE2_EPT, .levels = 4, .root = (u64 *)(uintptr_t)host_page(h)};
	for (unsigned int n = 0; n < 512; n++)
		h->s2.root[n] = STAGE2_EPT_SUPPRESS_VE;
	return h;
}

/* To OP_STATE INITIALIZED, with h->params. */
static inline void host_init_td(struct host *h)
{
	struct tdx_regs out;

	h->tdr = host_page(h);
	call_ok(h, TDH_MNG_CREATE, h->tdr, TDX_HKID_START);
	call_ok(h, TDH_MNG_KEY_CONFIG, h->tdr);
	assert_int_equal(host_call(h, TDH_SYS_RD, ARGS(0, TDX_FIELD_TDCS_BASE_SIZE), &out), 0);
	for (u64 n = 0; n < out.r8 / HW_PAGE_SIZE; n++)
		call_ok(h, TDH_MNG_ADDCX, host_page(h), h->tdr);
	call_ok(h, TDH_MNG_INIT, h->tdr, (u64)(uintptr_t)h->params);
	h->shared_bit = h->params->config_flags & TDX_CONFIG_GPAW_52 ? 1ull << 51 : 1ull << 47;
	h->top_level = h->params->eptp_controls >> 3 & 7;
}

static inline unsigned int host_add_vcpu(struct host *h, u64 rcx)
{
	unsigned int n = h->vcpus++;
	struct tdx_regs out;

	assert_true(n < HOST_VCPUS);
	assert_int_equal(hw_cpu_create(h->vm, n, &h->cpu[n]), 0);
	h->tdvpr[n] = host_page(h);
	call_ok(h, TDH_VP_CREATE, h->tdvpr[n], h->tdr);
	assert_int_equal(host_call(h, TDH_SYS_RD, ARGS(0, TDX_FIELD_TDVPS_BASE_SIZE), &out), 0);
	for (u64 k = 1; k < out.r8 / HW_PAGE_SIZE; k++)
		call_ok(h, TDH_VP_ADDCX, host_page(h), h->tdvpr[n]);
	call_ok(h, TDH_VP_INIT, h->tdvpr[n], rcx);
	call_ok(h, TDH_VP_WR, h->tdvpr[n], TDX_FIELD_SHARED_EPT, (u64)(uintptr_t)&h->s2, ~0ull);
	return n;
}

static inline void host_page_tables(struct host *h)
{
	u64 pml4[512] = {[0] = (PAGE_TABLES + 0x1000) | 3};
	u64 pdpt[512] = {[0] = (PAGE_TABLES + 0x2000) | 3, [1] = (PAGE_TABLES + 0x3000) | 3};
	u64 private_pd[512], shared_pd[512];

	for (u64 n = 0; n < 512; n++) {
		private_pd[n] = n << 21 | 0x83;
		shared_pd[n] = n << 21 | 0x83 | h->shared_bit;
	}
	host_add(h, PAGE_TABLES, pml4, sizeof(pml4));
	host_add(h, PAGE_TABLES + 0x1000, pdpt, sizeof(pdpt));
	host_add(h, PAGE_TABLES + 0x2000, private_pd, sizeof(private_pd));
	host_add(h, PAGE_TABLES + 0x3000, shared_pd, sizeof(shared_pd));
}

static inline void host_load_guest(struct host *h)
{
	static const u8 jump[] = {0xb8, 0, 0, 1, 0, 0xff, 0xe0}; /* mov $0x10000, %eax; jmp *%eax */
	u8 image[GUEST_PAGES * HW_PAGE_SIZE] = {0}, reset[HW_PAGE_SIZE] = {0};
	FILE *f = fopen(GUEST_TD, "rb");

	assert_non_null(f);
	assert_true(fread(image, 1, sizeof(image), f) > 0);
	fclose(f);
	for (unsigned int n = 0; n < GUEST_PAGES; n++)
		host_add(h, GUEST_BASE + n * HW_PAGE_SIZE, image + n * HW_PAGE_SIZE, HW_PAGE_SIZE);
	memcpy(&reset[0xff0], jump, sizeof(jump));
	host_add(h, RESET_PAGE, reset, sizeof(reset));
	host_page_tables(h);
}

#define MASK_ALL 0xffccu

static inline u64 host_enter(struct host *h, unsigned int vcpu)
{
	struct tdx_regs *r = &h->regs[vcpu];

	r->rax = TDH_VP_ENTER;
	r->rcx = h->tdvpr[vcpu];
	return tdx_seamcall(h->mod, h->cpu[vcpu], r);
}

/* To the guest's request for work. */
static inline void host_start(struct host *h, unsigned int vcpu)
{
	h->shared_page[vcpu] = (u8 *)(uintptr_t)host_page(h);
	*host_shared_entry(h, SHARED_GPA + vcpu * HW_PAGE_SIZE) =
		stage2_make_leaf(STAGE2_EPT, ptr_to_hpa(h->shared_page[vcpu]), 1, STAGE2_RWX);
	assert_int_equal(host_enter(h, vcpu), TDX_EXIT_TDCALL);
	assert_int_equal(h->regs[vcpu].r11, 1);
}

/* A TD with one vCPU that waits for work. */
static inline struct host *host_boot(struct host *h)
{
	host_init_td(h);
	host_load_guest(h);
	host_add_vcpu(h, 0);
	call_ok(h, TDH_MR_FINALIZE, h->tdr);
	host_start(h, 0);
	return h;
}

static inline void host_close(struct host *h)
{
	for (unsigned int n = 0; n < h->vcpus; n++) {
		call(h, TDH_VP_FLUSH, h->tdvpr[n]);
		hw_cpu_destroy(h->cpu[n]);
	}
	tdx_module_destroy(h->mod);
	hw_vm_destroy(h->vm);
	hw_machine_destroy(h->machine);
	free(h->pool);
	free(h);
}

/* ---------------------------------------------------------------- work for the guest */

static inline struct shared *host_shared(struct host *h, unsigned int vcpu)
{
	return (struct shared *)(void *)h->shared_page[vcpu];
}

/* Bytes of instructions without the RET. Registers in and out in the shared page. The status of TDH.VP.ENTER: TDX_EXIT_TDCALL when
 * they are done, or whatever came first. */
static inline u64 host_begin(struct host *h, const void *code, size_t size)
{
	struct shared *s = host_shared(h, 0);

	assert_true(size < sizeof(s->code));
	memset(s->code, 0, sizeof(s->code));
	memcpy(s->code, code, size);
	s->code[size] = 0xc3;
	return host_enter(h, 0);
}
#define CODE(...) (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__})
#define begin(h, ...) host_begin(h, CODE(__VA_ARGS__))
/* The instructions complete, or end in an exception of the guest's. */
static inline struct shared *host_run(struct host *h, const void *code, size_t size)
{
	assert_int_equal(host_begin(h, code, size), TDX_EXIT_TDCALL);
	assert_int_equal(h->regs[0].r11, 1);
	return host_shared(h, 0);
}
#define run(h, ...) host_run(h, CODE(__VA_ARGS__))

#define TDCALL 0x66, 0x0f, 0x01, 0xcc

/* A guest leaf with RCX, RDX, R8, R9; its status. */
static inline u64 host_tdcall(struct host *h, u64 leaf, const u64 in[4])
{
	struct shared *s = host_shared(h, 0);

	s->gpr[HW_RAX] = leaf;
	s->gpr[HW_RCX] = in[0];
	s->gpr[HW_RDX] = in[1];
	s->gpr[HW_R8] = in[2];
	s->gpr[HW_R9] = in[3];
	run(h, TDCALL);
	assert_true(s->vector == NO_EXCEPTION);
	return s->gpr[HW_RAX];
}
#define tdcall(h, leaf, ...) host_tdcall(h, leaf, ARGS(__VA_ARGS__))
