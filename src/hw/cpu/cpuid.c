// SPDX-License-Identifier: Apache-2.0
/*
 * cpuid: the processor's own CPUID (SDM 2A CPUID, APM3 App. E). Feature bits come from features.def and from nowhere
 * else.
 *
 * The models are chosen so that a kernel finds nothing to work around: this processor does not speculate. Intel: family
 * 6 model 0x1c, an in-order core that Linux lists as such (cpu_vuln_whitelist, NO_SPECULATION), so neither page-table
 * isolation nor retpolines are put in. AMD: family 0x19 model 0x11 with AutoIBRS and the _NO bits of leaf 0x80000021.
 */
#include <string.h>

#include "hw/cpu/insn.h"

#define SIGNATURE_INTEL 0x000106cau
#define SIGNATURE_AMD	0x00a10f11u

#define PHYS_BITS_INTEL 46
#define PHYS_BITS_AMD	48

#define BASIC_MAX_INTEL	   0x16
#define BASIC_MAX_AMD	   0x0d
#define EXTENDED_MAX_INTEL 0x80000008
#define EXTENDED_MAX_AMD   0x80000021

#define XSAVE_LEGACY_SIZE 576
#define XSAVE_AVX_SIZE	  256

enum cpuid_register { EAX, EBX, ECX, EDX };

struct feature_bit {
	u32 leaf, subleaf;
	u8 reg, bit;
};
static const struct feature_bit features[] = {
#define FEATURE(id, leaf, subleaf, reg, bit) {leaf, subleaf, reg, bit},
#include "hw/cpu/features.def"
#undef FEATURE
};
#define FEATURE_COUNT (sizeof(features) / sizeof(features[0]))
_Static_assert(FEATURE_COUNT + 1 == FEAT_COUNT, "one entry for each enum cpu_feature but FEAT_ALWAYS");

/* A feature stands in features.def because it is implemented. */
bool cpu_feature_implemented(enum cpu_feature f)
{
	return f < FEAT_COUNT;
}

static void add_features(u32 leaf, u32 subleaf, struct hw_cpuid *out)
{
	u32 *reg[] = {&out->eax, &out->ebx, &out->ecx, &out->edx};

	for (size_t n = 0; n < FEATURE_COUNT; n++)
		if (features[n].leaf == leaf && features[n].subleaf == subleaf)
			*reg[features[n].reg] |= 1u << features[n].bit;
}

static bool has_feature(u32 leaf, u32 subleaf, unsigned int reg, unsigned int bit)
{
	for (size_t n = 0; n < FEATURE_COUNT; n++)
		if (features[n].leaf == leaf && features[n].subleaf == subleaf && features[n].reg == reg &&
		    features[n].bit == bit)
			return true;
	return false;
}

static bool intel(const struct hw_machine *m)
{
	return hw_machine_config(m)->platform == HW_PLATFORM_INTEL;
}

u32 hw_cpuid_max(const struct hw_machine *m, u32 range)
{
	if (range == 0)
		return intel(m) ? BASIC_MAX_INTEL : BASIC_MAX_AMD;
	if (range == 0x80000000)
		return intel(m) ? EXTENDED_MAX_INTEL : EXTENDED_MAX_AMD;
	return 0;
}

static void vendor(const struct hw_machine *m, struct hw_cpuid *out)
{
	const char *name = intel(m) ? "GenuineIntel" : "AuthenticAMD";

	memcpy(&out->ebx, name, 4);
	memcpy(&out->edx, name + 4, 4);
	memcpy(&out->ecx, name + 8, 4);
}

static void brand(u32 leaf, struct hw_cpuid *out)
{
	static const char name[48] = "softcvm virtual processor";
	const char *part = name + 16 * (leaf - 0x80000002);

	memcpy(&out->eax, part, 4);
	memcpy(&out->ebx, part + 4, 4);
	memcpy(&out->ecx, part + 8, 4);
	memcpy(&out->edx, part + 12, 4);
}

/* ---------------------------------------------------------------- caches: what a mid-size core has */

static void intel_cache(u32 subleaf, struct hw_cpuid *out)
{
	static const struct {
		u8 type, level;
		u16 ways;
		u32 sets;
	} caches[] = {
		{1, 1, 8, 64},	   /* data, 32 KiB */
		{2, 1, 8, 64},	   /* instructions, 32 KiB */
		{3, 2, 16, 1024},  /* 1 MiB */
		{3, 3, 16, 16384}, /* 16 MiB */
	};

	if (subleaf >= sizeof(caches) / sizeof(caches[0]))
		return;
	out->eax = caches[subleaf].type | caches[subleaf].level << 5 | 1u << 8;
	out->ebx = 63 | (caches[subleaf].ways - 1u) << 22;
	out->ecx = caches[subleaf].sets - 1;
}

static void amd_l1(struct hw_cpuid *out)
{
	out->eax = 0xff40ff40;
	out->ebx = 0xff40ff40;
	out->ecx = 32u << 24 | 8 << 16 | 1 << 8 | 64;
	out->edx = 32u << 24 | 8 << 16 | 1 << 8 | 64;
}

static void l2_l3(const struct hw_machine *m, struct hw_cpuid *out)
{
	out->ecx = 1024u << 16 | 8 << 12 | 1 << 8 | 64;
	if (!intel(m))
		out->edx = 32u << 18 | 8 << 12 | 1 << 8 | 64;
}

/* ---------------------------------------------------------------- XSAVE */

static void xsave(u32 subleaf, struct hw_cpuid *out)
{
	bool avx = has_feature(1, 0, ECX, 28);

	if (!has_feature(1, 0, ECX, 26))
		return;
	switch (subleaf) {
	case 0:
		out->eax = avx ? 7 : 3;
		out->ebx = XSAVE_LEGACY_SIZE; /* XCR0 = 1 after reset */
		out->ecx = XSAVE_LEGACY_SIZE + (avx ? XSAVE_AVX_SIZE : 0);
		break;
	case 1:
		add_features(0xd, 1, out);
		out->ebx = XSAVE_LEGACY_SIZE;
		break;
	case 2:
		if (avx) {
			out->eax = XSAVE_AVX_SIZE;
			out->ebx = XSAVE_LEGACY_SIZE;
		}
		break;
	default:
		break;
	}
}
_Static_assert(HW_XSAVE_SIZE >= XSAVE_LEGACY_SIZE + XSAVE_AVX_SIZE, "struct hw_xsave holds every component");

/* ---------------------------------------------------------------- leaves */

static void version(const struct hw_machine *m, struct hw_cpuid *out)
{
	out->eax = intel(m) ? SIGNATURE_INTEL : SIGNATURE_AMD;
	out->ebx = 1u << 16 | 8 << 8; /* one logical processor; CLFLUSH line in units of 8 bytes */
	add_features(1, 0, out);
}

static void topology(u32 subleaf, struct hw_cpuid *out)
{
	if (subleaf > 1) {
		out->ecx = subleaf;
		return;
	}
	out->ebx = 1;
	out->ecx = subleaf | (subleaf + 1) << 8;
}

/* TSC = crystal * EBX / EAX. Linux takes the crystal for the local APIC timer's clock, which runs at 1 GHz too. */
static void tsc_frequency(u32 leaf, struct hw_cpuid *out)
{
	if (leaf == 0x15) {
		out->eax = out->ebx = 1;
		out->ecx = HW_TSC_KHZ * 1000u;
	} else {
		out->eax = out->ebx = out->ecx = HW_TSC_KHZ / 1000;
	}
}

static void basic_leaf(const struct hw_machine *m, u32 leaf, u32 subleaf, struct hw_cpuid *out)
{
	switch (leaf) {
	case 0:
		out->eax = hw_cpuid_max(m, 0);
		vendor(m, out);
		break;
	case 1:
		version(m, out);
		break;
	case 2:
		if (intel(m))
			out->eax = 0xff01; /* see leaf 4 */
		break;
	case 4:
		if (intel(m))
			intel_cache(subleaf, out);
		break;
	case 6:
		out->eax = 1u << 2; /* the APIC timer never stops */
		break;
	case 7:
		add_features(7, subleaf, out);
		break;
	case 0xb:
		topology(subleaf, out);
		break;
	case 0xd:
		xsave(subleaf, out);
		break;
	case 0x15:
	case 0x16:
		tsc_frequency(leaf, out);
		break;
	default:
		break;
	}
}

static void extended_features(const struct hw_machine *m, struct hw_cpuid *out)
{
	struct hw_cpuid one = {0};

	add_features(0x80000001, 0, out);
	if (intel(m))
		return;
	/* APM3 App. E: these bits of leaf 1 are repeated */
	add_features(1, 0, &one);
	out->eax = SIGNATURE_AMD;
	out->edx |= one.edx & 0x0183f3ff;
}

static void address_sizes(const struct hw_machine *m, struct hw_cpuid *out)
{
	unsigned int phys = hw_machine_config(m)->phys_bits;

	if (!phys)
		phys = intel(m) ? PHYS_BITS_INTEL : PHYS_BITS_AMD;
	add_features(0x80000008, 0, out);
	out->eax = phys | (has_feature(7, 0, ECX, 16) ? 57u : 48u) << 8;
}

static void extended_leaf(const struct hw_machine *m, u32 leaf, struct hw_cpuid *out)
{
	switch (leaf) {
	case 0x80000000:
		out->eax = hw_cpuid_max(m, leaf);
		if (!intel(m))
			vendor(m, out);
		break;
	case 0x80000001:
		extended_features(m, out);
		break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004:
		brand(leaf, out);
		break;
	case 0x80000005:
		if (!intel(m))
			amd_l1(out);
		break;
	case 0x80000006:
		l2_l3(m, out);
		break;
	case 0x80000007:
		out->edx = 1u << 8; /* invariant TSC */
		break;
	case 0x80000008:
		address_sizes(m, out);
		break;
	case 0x80000021:
		add_features(leaf, 0, out);
		break;
	default:
		break;
	}
}

void hw_cpuid(const struct hw_machine *m, u32 leaf, u32 subleaf, struct hw_cpuid *out)
{
	u32 range = leaf & 0x80000000;

	*out = (struct hw_cpuid){0};
	if (leaf > hw_cpuid_max(m, range))
		return;
	if (range)
		extended_leaf(m, leaf, out);
	else
		basic_leaf(m, leaf, subleaf, out);
}
