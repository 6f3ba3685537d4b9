// SPDX-License-Identifier: Apache-2.0
/* cpuid: a TD's CPUID (TDX ABI, CPUID virtualization): made at TDH.MNG.INIT from the processor's and the host's choice.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hw/tdx/vp.h"

#define ANY TD_CPUID_ANY
#define ALL 0xffffffffu

/* ---------------------------------------------------------------- what stands behind a bit */

enum { EAX, EBX, ECX, EDX };

/*
 * Bits that a TD sees as 1 because every processor with TDX has them. PROCESSOR: instructions or behaviour, which
 * hw/cpu must have. MODULE: what the module itself serves (an MSR of msr.c), a #VE that leaves it to the host, or a
 * statement about a processor that never speculates, for which nothing has to be done.
 */
enum backing { PROCESSOR, MODULE };
static const struct cpuid_bit {
	u32 leaf, subleaf;
	u8 reg, bit, backing;
	const char *name;
} bits[] = {
	{1, 0, ECX, 0, PROCESSOR, "SSE3"},
	{1, 0, ECX, 1, PROCESSOR, "PCLMULQDQ"},
	{1, 0, ECX, 2, MODULE, "DTES64"}, /* IA32_DS_AREA; MISC_ENABLE says that neither BTS nor PEBS is there */
	{1, 0, ECX, 4, MODULE, "DS_CPL"},
	{1, 0, ECX, 9, PROCESSOR, "SSSE3"},
	{1, 0, ECX, 13, PROCESSOR, "CX16"},
	{1, 0, ECX, 15, MODULE, "PDCM"}, /* IA32_PERF_CAPABILITIES: 0 */
	{1, 0, ECX, 17, PROCESSOR, "PCID"},
	{1, 0, ECX, 19, PROCESSOR, "SSE4.1"},
	{1, 0, ECX, 20, PROCESSOR, "SSE4.2"},
	{1, 0, ECX, 21, MODULE, "x2APIC"}, /* the virtual-APIC page; #VE for the rest */
	{1, 0, ECX, 22, PROCESSOR, "MOVBE"},
	{1, 0, ECX, 23, PROCESSOR, "POPCNT"},
	{1, 0, ECX, 24, MODULE, "TSC_DEADLINE"}, /* #VE */
	{1, 0, ECX, 25, PROCESSOR, "AES"},
	{1, 0, ECX, 26, PROCESSOR, "XSAVE"},
	{1, 0, ECX, 30, PROCESSOR, "RDRAND"},
	{1, 0, EDX, 0, PROCESSOR, "FPU"},
	{1, 0, EDX, 1, PROCESSOR, "VME"},
	{1, 0, EDX, 2, PROCESSOR, "DE"},
	{1, 0, EDX, 3, PROCESSOR, "PSE"},
	{1, 0, EDX, 4, PROCESSOR, "TSC"},
	{1, 0, EDX, 5, PROCESSOR, "MSR"},
	{1, 0, EDX, 6, PROCESSOR, "PAE"},
	{1, 0, EDX, 7, PROCESSOR, "MCE"},
	{1, 0, EDX, 8, PROCESSOR, "CX8"},
	{1, 0, EDX, 9, PROCESSOR, "APIC"},
	{1, 0, EDX, 11, PROCESSOR, "SEP"},
	{1, 0, EDX, 12, PROCESSOR, "MTRR"}, /* #VE */
	{1, 0, EDX, 13, PROCESSOR, "PGE"},
	{1, 0, EDX, 14, PROCESSOR, "MCA"}, /* #VE */
	{1, 0, EDX, 15, PROCESSOR, "CMOV"},
	{1, 0, EDX, 16, PROCESSOR, "PAT"},
	{1, 0, EDX, 19, PROCESSOR, "CLFSH"},
	{1, 0, EDX, 21, MODULE, "DS"},
	{1, 0, EDX, 23, PROCESSOR, "MMX"},
	{1, 0, EDX, 24, PROCESSOR, "FXSR"},
	{1, 0, EDX, 25, PROCESSOR, "SSE"},
	{1, 0, EDX, 26, PROCESSOR, "SSE2"},
	{1, 0, EDX, 27, MODULE, "SS"},	/* caches are coherent with themselves */
	{1, 0, EDX, 28, MODULE, "HTT"}, /* leaf 1 EBX 23:16 is the host's */
	{7, 0, EBX, 0, PROCESSOR, "FSGSBASE"},
	{7, 0, EBX, 7, PROCESSOR, "SMEP"},
	{7, 0, EBX, 10, PROCESSOR, "INVPCID"},
	{7, 0, EBX, 18, PROCESSOR, "RDSEED"},
	{7, 0, EBX, 20, PROCESSOR, "SMAP"},
	{7, 0, EBX, 23, PROCESSOR, "CLFLUSHOPT"},
	{7, 0, EBX, 24, PROCESSOR, "CLWB"},
	{7, 0, EBX, 29, PROCESSOR, "SHA"},
	{7, 0, ECX, 27, PROCESSOR, "MOVDIRI"},
	{7, 0, ECX, 28, PROCESSOR, "MOVDIR64B"},
	{7, 0, EDX, 10, MODULE, "MD_CLEAR"},
	{7, 0, EDX, 26, MODULE, "IBRS, IBPB"},
	{7, 0, EDX, 27, MODULE, "STIBP"},
	{7, 0, EDX, 28, MODULE, "L1D_FLUSH"},
	{7, 0, EDX, 29, MODULE, "ARCH_CAPABILITIES"},
	{7, 0, EDX, 30, MODULE, "CORE_CAPABILITIES"}, /* #VE */
	{7, 0, EDX, 31, MODULE, "SSBD"},
	{7, 2, EDX, 0, MODULE, "PSFD"},
	{7, 2, EDX, 1, MODULE, "IPRED_CTRL"},
	{7, 2, EDX, 2, MODULE, "RRSBA_CTRL"},
	{7, 2, EDX, 4, MODULE, "BHI_CTRL"},
	{0xd, 0, EAX, 0, PROCESSOR, "x87 state"},
	{0xd, 0, EAX, 1, PROCESSOR, "SSE state"},
	{0xd, 1, EAX, 0, PROCESSOR, "XSAVEOPT"},
	{0xd, 1, EAX, 1, PROCESSOR, "XSAVEC"},
	{0xd, 1, EAX, 2, PROCESSOR, "XGETBV1"},
	{0xd, 1, EAX, 3, PROCESSOR, "XSAVES"},
	{0x80000001, 0, ECX, 0, PROCESSOR, "LAHF64"},
	{0x80000001, 0, ECX, 5, PROCESSOR, "LZCNT"},
	{0x80000001, 0, ECX, 8, PROCESSOR, "PREFETCHW"},
	{0x80000001, 0, EDX, 11, PROCESSOR, "SYSCALL"},
	{0x80000001, 0, EDX, 20, PROCESSOR, "NX"},
	{0x80000001, 0, EDX, 26, PROCESSOR, "PDPE1GB"},
	{0x80000001, 0, EDX, 27, PROCESSOR, "RDTSCP"},
	{0x80000001, 0, EDX, 29, PROCESSOR, "LM"},
	{0x80000007, 0, EDX, 8, PROCESSOR, "invariant TSC"},
	{0x80000008, 0, EBX, 9, PROCESSOR, "WBNOINVD"},
};
#define BIT_COUNT (sizeof(bits) / sizeof(bits[0]))

static u32 *reg_of(struct hw_cpuid *v, unsigned int reg)
{
	u32 *const regs[] = {&v->eax, &v->ebx, &v->ecx, &v->edx};

	return regs[reg];
}

int tdx_cpuid_check(const struct hw_machine *m)
{
	static const char *const register_name[] = {"EAX", "EBX", "ECX", "EDX"};
	int r = 0;

	for (size_t n = 0; n < BIT_COUNT; n++) {
		const struct cpuid_bit *b = &bits[n];
		struct hw_cpuid v;

		hw_cpuid(m, b->leaf, b->subleaf, &v);
		if (b->backing != PROCESSOR || *reg_of(&v, b->reg) >> b->bit & 1)
			continue;
		fprintf(stderr,
			"softcvm: TDX: the processor does not implement %s (CPUID %#x.%u %s bit %u), which every TD "
			"sees\n",
			b->name, b->leaf, b->subleaf, register_name[b->reg], b->bit);
		r = -ENOSYS;
	}
	return r;
}

#define TDX_PHYS_BITS 52

/* The platform's own CPUID as the module finds it. */
static void native(const struct hw_machine *m, u32 leaf, u32 subleaf, struct hw_cpuid *v)
{
	u32 sub = subleaf == ANY ? 0 : subleaf;

	hw_cpuid(m, leaf, sub, v);
	for (size_t n = 0; n < BIT_COUNT; n++)
		if (bits[n].leaf == leaf && bits[n].subleaf == sub && bits[n].backing == MODULE)
			*reg_of(v, bits[n].reg) |= 1u << bits[n].bit;
	if (leaf == 7 && sub == 0)
		v->eax = 2;
	if (leaf == 0x80000008)
		v->eax = (v->eax & ~0xffu) | TDX_PHYS_BITS;
}

/* ---------------------------------------------------------------- the table */

const struct tdx_cpuid_config tdx_cpuid_configs[TDX_CPUID_CONFIGS] = {
	{1, ANY, {0x0fff3fff, 0x00ff0000, 0, 0}, {0, 0, 0x31044d88, 0xb8440000}},
	{4, 0, {0xffffc3ff, 0xfffff000, ALL, 0xfffffffb}, {0}},
	{4, 1, {0xffffc3ff, 0xfffff000, ALL, 0xfffffffb}, {0}},
	{4, 2, {0xffffc3ff, 0xfffff000, ALL, 0xfffffffb}, {0}},
	{4, 3, {0xffffc3ff, 0xfffff000, ALL, 7}, {0}},
	{7, 0, {0}, {0, 0xdc2b9b18, 0x02417f65, 0x0005411c}},
	{7, 1, {0}, {0x1d30, 0, 0, 0}},
	{0xa, ANY, {0}, {0}},
	{0x1c, ANY, {0}, {0xff, 0, 0, 0}},
	{0x80000008, ANY, {0}, {0, 0x200, 0, 0}},
	{7, 2, {0}, {0, 0, 0, 0x28}},
	{0x23, 0, {0}, {0xf, 0, 0, 0}},
};

enum row_kind {
	PLAIN,
	RAISES_VE,
	ABSENT, /* zero, for want of the XFAM or ATTRIBUTES bit that no TD of this module can have, or always */
	MONITOR,
	XFEATURES,
	XSAVE_SIZES,
	XCOMPONENT,
	TSC,
	SIGNATURE,
};

struct cpuid_row {
	u32 leaf, subleaf;
	u8 kind;	      /* enum row_kind */
	struct hw_cpuid zero; /* bits forced to 0 */
	struct hw_cpuid one;  /* bits forced to 1 */
};

static const struct cpuid_row rows[] = {
	{0, ANY, PLAIN, {0xffffffdc, 0, 0, 0}, {0x23, 0, 0, 0}},
	{1, ANY, PLAIN, {0xf000c000, 0xff0000ff, 0x08010060, 0x40120400}, {0, 0, 0x80000000, 0x200}},
	{3, ANY, ABSENT, {0}, {0}},
	{4, 0, PLAIN, {0x3c00, 0, 0, 4}, {0}},
	{4, 1, PLAIN, {0x3c00, 0, 0, 4}, {0}},
	{4, 2, PLAIN, {0x3c00, 0, 0, 4}, {0}},
	{4, 3, PLAIN, {0x3c00, 0, 0, 0xfffffff8}, {0}},
	{4, 4, ABSENT, {0}, {0}},
	{5, ANY, MONITOR, {0xffff0000, 0xffff0000, 0xfffffffc, 0}, {0}},
	{6, ANY, RAISES_VE, {0}, {0}},
	{7, 0, PLAIN, {0, 0x00404006, 0x643e8010, 0x002298c3}, {0}},
	{7, 1, PLAIN, {0xffffe2cf, ALL, ALL, ALL}, {0}},
	{7, 2, PLAIN, {ALL, ALL, ALL, 0xffffffc0}, {0}},
	{8, ANY, ABSENT, {0}, {0}},
	{0xa, ANY, ABSENT, {0}, {0}},
	{0xd, 0, XFEATURES, {0xfff9fd18, 0, 0, ALL}, {0}},
	{0xd, 1, XSAVE_SIZES, {0xffffffe0, 0, 0xffff26ff, ALL}, {0}},
	{0xe, ANY, ABSENT, {0}, {0}},
	{0x11, ANY, ABSENT, {0}, {0}},
	{0x12, ANY, ABSENT, {0}, {0}},
	{0x13, ANY, ABSENT, {0}, {0}},
	{0x14, 0, ABSENT, {0}, {0}},
	{0x14, 1, ABSENT, {0}, {0}},
	{0x15, ANY, TSC, {0}, {0}},
	{0x19, ANY, ABSENT, {0}, {0}},
	{0x1c, ANY, ABSENT, {0}, {0}},
	{0x1d, 0, ABSENT, {0}, {0}},
	{0x1d, 1, ABSENT, {0}, {0}},
	{0x1e, ANY, ABSENT, {0}, {0}},
	{0x1f, 0, RAISES_VE, {0}, {0}},
	{0x1f, 1, RAISES_VE, {0}, {0}},
	{0x1f, 2, RAISES_VE, {0}, {0}},
	{0x1f, 3, RAISES_VE, {0}, {0}},
	{0x1f, 4, RAISES_VE, {0}, {0}},
	{0x1f, 5, RAISES_VE, {0}, {0}},
	{0x20, ANY, ABSENT, {0}, {0}},
	{0x21, 0, SIGNATURE, {0}, {0}},
	{0x22, ANY, ABSENT, {0}, {0}},
	{0x23, 0, ABSENT, {0}, {0}},
	{0x23, 1, ABSENT, {0}, {0}},
	{0x23, 2, ABSENT, {0}, {0}},
	{0x23, 3, ABSENT, {0}, {0}},
	{0x80000000, ANY, PLAIN, {0, ALL, ALL, ALL}, {0x80000008, 0, 0, 0}},
	{0x80000001, ANY, PLAIN, {ALL, ALL, 0xfffffede, 0xd3efffff & ~(1u << 11)}, {0}},
	{0x80000006, ANY, RAISES_VE, {0}, {0}},
	{0x80000007, ANY, PLAIN, {ALL, ALL, ALL, ~(1u << 8)}, {0}},
	{0x80000008, ANY, PLAIN, {0xffff0000, 0xfffffdff, ALL, ALL}, {0}},
};
#define ROW_COUNT	 (sizeof(rows) / sizeof(rows[0]))
#define FIRST_XCOMPONENT 2u
#define LAST_XCOMPONENT	 0x12u
static_assert(ROW_COUNT + LAST_XCOMPONENT - FIRST_XCOMPONENT + 1 <= TD_CPUID_ENTRIES, "struct tdx_td has room");

/* ---------------------------------------------------------------- TDH.MNG.INIT */

static const struct tdx_cpuid_config *config_of(u32 leaf, u32 subleaf, unsigned int *index)
{
	for (*index = 0; *index < TDX_CPUID_CONFIGS; ++*index)
		if (tdx_cpuid_configs[*index].leaf == leaf && tdx_cpuid_configs[*index].subleaf == subleaf)
			return &tdx_cpuid_configs[*index];
	return NULL;
}

static bool apply(u32 *value, u32 native_bits, u32 input, u32 direct, u32 allowed)
{
	*value = (*value & ~(direct | allowed)) | (input & direct) | (input & native_bits & allowed);
	return !(input & ~(direct | allowed));
}

/* Leaf 1 EAX: 0 means the processor's own, and nothing else is possible without migration. */
static bool version_valid(u32 *eax, u32 native_eax)
{
	u32 chosen = *eax & 0x0fff3fff;

	*eax = native_eax & 0x0fff3fff;
	return !chosen || chosen == *eax;
}

static bool configure(const struct tdx_td *td, const struct cpuid_row *row, const struct tdx_cpuid_value *inputs,
		      struct hw_cpuid *v)
{
	struct hw_cpuid n;
	unsigned int index;
	const struct tdx_cpuid_config *c = config_of(row->leaf, row->subleaf, &index);
	const struct tdx_cpuid_value *in;
	bool ok;

	if (!c)
		return true;
	native(td->mod->machine, row->leaf, row->subleaf, &n);
	in = &inputs[index];
	ok = apply(&v->eax, n.eax, in->eax, c->direct.eax, c->allowed.eax);
	ok &= apply(&v->ebx, n.ebx, in->ebx, c->direct.ebx, c->allowed.ebx);
	ok &= apply(&v->ecx, n.ecx, in->ecx, c->direct.ecx, c->allowed.ecx);
	ok &= apply(&v->edx, n.edx, in->edx, c->direct.edx, c->allowed.edx);
	if (row->leaf == 1)
		ok &= version_valid(&v->eax, n.eax);
	if (row->kind == ABSENT)
		*v = (struct hw_cpuid){0};
	return ok;
}

static void xcomponent(const struct tdx_td *td, u32 subleaf, struct hw_cpuid *v)
{
	if (td->xfam >> subleaf & 1)
		v->edx = 0;
	else
		*v = (struct hw_cpuid){0};
}

/* Features of a component that XFAM leaves out. */
static void without_avx(struct hw_cpuid *v, u32 leaf)
{
	if (leaf == 1) {
		v->ecx &= ~0x30001000u;
	} else {
		v->ebx &= ~0x20u;
		v->ecx &= ~0x600u;
	}
}

static void special(const struct tdx_td *td, const struct cpuid_row *row, struct hw_cpuid *v)
{
	switch ((enum row_kind)row->kind) {
	case ABSENT:
	case RAISES_VE:
	case MONITOR: /* leaf 1 ECX bit 3 is never there */
		*v = (struct hw_cpuid){0};
		break;
	case XFEATURES:
		v->eax &= td->xfam;
		break;
	case XSAVE_SIZES:
		v->ecx &= td->xfam;
		break;
	case TSC:
		*v = (struct hw_cpuid){.eax = 1, .ebx = td->tsc_frequency, .ecx = TDX_TSC_UNIT_KHZ * 1000u};
		break;
	case SIGNATURE:
		*v = (struct hw_cpuid){0};
		memcpy(&v->ebx, "Inte", 4);
		memcpy(&v->edx, "lTDX", 4);
		memcpy(&v->ecx, "    ", 4);
		break;
	default:
		break;
	}
	if (!(td->xfam & 4) && (row->leaf == 1 || (row->leaf == 7 && row->subleaf == 0)))
		without_avx(v, row->leaf);
}

static void add(struct tdx_td *td, u32 leaf, u32 subleaf, bool ve, const struct hw_cpuid *v)
{
	td->cpuid[td->cpuid_count++] = (struct td_cpuid_entry){.leaf = leaf, .subleaf = subleaf, .ve = ve, .value = *v};
}

u64 td_cpuid_build(struct tdx_td *td, const struct tdx_cpuid_value *config, u64 *where)
{
	struct hw_cpuid v;

	td->cpuid_count = 0;
	for (size_t n = 0; n < ROW_COUNT; n++) {
		const struct cpuid_row *row = &rows[n];

		native(td->mod->machine, row->leaf, row->subleaf, &v);
		v.eax = (v.eax & ~row->zero.eax) | row->one.eax;
		v.ebx = (v.ebx & ~row->zero.ebx) | row->one.ebx;
		v.ecx = (v.ecx & ~row->zero.ecx) | row->one.ecx;
		v.edx = (v.edx & ~row->zero.edx) | row->one.edx;
		if (!configure(td, row, config, &v)) {
			*where = row->leaf | (u64)row->subleaf << 32;
			return TDX_OPERAND_INVALID | TDX_OP_CPUID_CONFIG;
		}
		special(td, row, &v);
		add(td, row->leaf, row->subleaf, row->kind == RAISES_VE, &v);
	}
	for (u32 sub = FIRST_XCOMPONENT; sub <= LAST_XCOMPONENT; sub++) {
		native(td->mod->machine, 0xd, sub, &v);
		xcomponent(td, sub, &v);
		add(td, 0xd, sub, false, &v);
	}
	return TDX_SUCCESS;
}

const struct td_cpuid_entry *td_cpuid_find(const struct tdx_td *td, u32 leaf, u32 subleaf)
{
	for (unsigned int n = 0; n < td->cpuid_count; n++)
		if (td->cpuid[n].leaf == leaf && (td->cpuid[n].subleaf == ANY || td->cpuid[n].subleaf == subleaf))
			return &td->cpuid[n];
	return NULL;
}

/* ---------------------------------------------------------------- CPUID in the guest */

#define BASIC_MAX    0x23u
#define EXTENDED_MAX 0x80000008u

/* Beyond the last leaf the processor answers as for the last basic one (SDM 2A CPUID). */
static u32 effective_leaf(u32 leaf)
{
	if (leaf >= 0x40000000 && leaf <= 0x4fffffff)
		return leaf;
	return leaf > EXTENDED_MAX || (leaf > BASIC_MAX && leaf < 0x80000000) ? BASIC_MAX : leaf;
}

#define XSAVE_LEGACY_SIZE 576u
#define XSAVE_AVX_SIZE	  256u

static void put_bit(u32 *reg, unsigned int bit, bool set)
{
	*reg = (*reg & ~(1u << bit)) | (u32)set << bit;
}

/* Fields that follow the vCPU. */
static void dynamic(const struct vp_run *r, u32 leaf, u32 subleaf, struct hw_cpuid *v)
{
	const struct hw_arch *a = &r->lp->arch;

	switch (leaf) {
	case 1:
		v->ebx = (v->ebx & 0xffffff) | r->vp->index << 24;
		put_bit(&v->ecx, 27, a->cr4 & CR4_OSXSAVE);
		break;
	case 0xd:
		if (subleaf <= 1)
			v->ebx = XSAVE_LEGACY_SIZE + (a->xcr0 & 4 ? XSAVE_AVX_SIZE : 0);
		break;
	case 0x80000001:
		put_bit(&v->edx, 11, cpu_cs64(r->lp));
		break;
	default:
		break;
	}
}

enum vp_next vp_exit_cpuid(struct vp_run *r, const struct hw_vmx_exit *x)
{
	struct hw_arch *a = &r->lp->arch;
	u32 leaf = effective_leaf(a->gpr[HW_RAX]), subleaf = a->gpr[HW_RCX];
	const struct td_cpuid_entry *e = td_cpuid_find(r->td, leaf, subleaf);
	struct hw_cpuid v;

	if (!e || e->ve || r->vp->cpuid_ve[r->lp->cpl > 0])
		return vp_exit_instruction_ve(r, x);
	v = e->value;
	dynamic(r, leaf, subleaf, &v);
	a->gpr[HW_RAX] = v.eax;
	a->gpr[HW_RBX] = v.ebx;
	a->gpr[HW_RCX] = v.ecx;
	a->gpr[HW_RDX] = v.edx;
	return vp_skip(r);
}
