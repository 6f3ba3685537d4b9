// SPDX-License-Identifier: Apache-2.0
/*
 * forms: the opcode space, searched for encodings of what our tables list and the host has.
 */
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"

static const struct insn_table *const tables[] = {
	&int_insns, &string_insns, &bit_insns, &stack_insns, &fpu_insns, &simd_insns, &xsave_insns,
};

/* The result depends on the machine or the process, or would end it. */
static const u16 excluded[] = {
	ZYDIS_MNEMONIC_XGETBV,	 ZYDIS_MNEMONIC_XSAVEOPT,  ZYDIS_MNEMONIC_XSAVEOPT64, ZYDIS_MNEMONIC_XSAVEC,
	ZYDIS_MNEMONIC_XSAVEC64, ZYDIS_MNEMONIC_XSAVE,	   ZYDIS_MNEMONIC_XSAVE64,    ZYDIS_MNEMONIC_XRSTOR,
	ZYDIS_MNEMONIC_XRSTOR64, ZYDIS_MNEMONIC_XSETBV,	   ZYDIS_MNEMONIC_XSAVES,     ZYDIS_MNEMONIC_XSAVES64,
	ZYDIS_MNEMONIC_XRSTORS,	 ZYDIS_MNEMONIC_XRSTORS64,
};

struct host_feature {
	u32 leaf, subleaf;
	u8 reg, bit;
	const char *name;
};
enum { EAX, EBX, ECX, EDX };
static const struct host_feature features[] = {
	[FEAT_ALWAYS] = {0, 0, 0, 0, "always"},
#define FEATURE(id, leaf, subleaf, reg, bit) [FEAT_##id] = {leaf, subleaf, reg, bit, #id},
#include "hw/cpu/features.def"
#undef FEATURE
};

static bool host_has(unsigned int feature)
{
	const struct host_feature *f = &features[feature];
	u32 r[4];

	if (feature == FEAT_ALWAYS)
		return true;
	return __get_cpuid_count(f->leaf, f->subleaf, &r[EAX], &r[EBX], &r[ECX], &r[EDX]) && (r[f->reg] >> f->bit & 1);
}

static void wanted_mnemonics(bool *wanted, bool compat, FILE *report)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		for (size_t k = 0; k < tables[t]->count; k++) {
			const struct insn_desc *d = &tables[t]->desc[k];

			if (d->flags & INSN_CPL0 || (d->flags & INSN_NO64 && !compat))
				continue;
			wanted[d->mnemonic] = host_has(d->feature);
			if (!wanted[d->mnemonic] && report)
				fprintf(report, "host lacks %s (%s)\n", ZydisMnemonicGetString(d->mnemonic),
					features[d->feature].name);
		}
	}
	for (size_t k = 0; k < sizeof(excluded) / sizeof(excluded[0]); k++)
		wanted[excluded[k]] = false;
	/* decode.c gives the SSE forms the names of their VEX forms */
	wanted[ZYDIS_MNEMONIC_VMOVSD] = wanted[ZYDIS_MNEMONIC_VCMPSD] = false;
}

static unsigned int encode(const struct form *f, u8 *b)
{
	unsigned int n = 0;

	if (f->vex) {
		u8 pp = f->prefix == 0x66 ? 1 : f->prefix == 0xf3 ? 2 : f->prefix == 0xf2 ? 3 : 0;

		b[n++] = 0xc4;
		b[n++] = 0xe0 | (f->map == ZYDIS_OPCODE_MAP_0F ? 1 : f->map == ZYDIS_OPCODE_MAP_0F38 ? 2 : 3);
		b[n++] = (u8)(f->rex_w << 7 | 15 << 3 | f->vex_l << 2 | pp);
	} else {
		if (f->prefix)
			b[n++] = f->prefix;
		if (f->rex_w)
			b[n++] = 0x48;
		if (f->map != ZYDIS_OPCODE_MAP_DEFAULT)
			b[n++] = 0x0f;
		if (f->map == ZYDIS_OPCODE_MAP_0F38)
			b[n++] = 0x38;
		if (f->map == ZYDIS_OPCODE_MAP_0F3A)
			b[n++] = 0x3a;
	}
	b[n++] = f->opcode;
	b[n] = f->modrm;
	return n + 1;
}

/*
 * What neither our tables nor undefined.c can tell. Segment loads other than of DS, ES and SS change what the C library
 * lives on.
 */
static bool harmless(const struct form *f, bool compat)
{
	if (f->mnemonic == ZYDIS_MNEMONIC_MOV && f->map == ZYDIS_OPCODE_MAP_DEFAULT && f->opcode == 0x8e)
		return (f->modrm >> 3 & 7) < 4;
	if (f->mnemonic == ZYDIS_MNEMONIC_POP && f->map == ZYDIS_OPCODE_MAP_0F)
		return false;
	/* 256-bit AES and PCLMULQDQ are features of their own, VAES and VPCLMULQDQ */
	if (f->vex_l && ((f->map == ZYDIS_OPCODE_MAP_0F38 && f->opcode >= 0xdc && f->opcode <= 0xdf) ||
			 (f->map == ZYDIS_OPCODE_MAP_0F3A && f->opcode == 0x44)))
		return false;
	/* F2 and F3 are reserved there (SDM 2A 2.1.1); with LOOPcc AMD takes the condition from them */
	if (f->map == ZYDIS_OPCODE_MAP_DEFAULT && (f->opcode == 0xe0 || f->opcode == 0xe1) && f->prefix >= 0xf2)
		return false;
	/* PREFETCHW of a register: #UD on AMD (APM3 PREFETCHW), a reserved no-operation on Intel */
	if (f->map == ZYDIS_OPCODE_MAP_0F && f->opcode == 0x0d && f->modrm >> 6 == 3)
		return false;
	/* VEX.W1 of VPINSRD, VPEXTRD, VMOVD outside 64-bit mode: ignored by Intel (SDM 2B MOVD), #UD on AMD */
	if (compat && f->vex && f->rex_w &&
	    ((f->map == ZYDIS_OPCODE_MAP_0F3A && (f->opcode == 0x16 || f->opcode == 0x22)) ||
	     (f->map == ZYDIS_OPCODE_MAP_0F && (f->opcode == 0x6e || f->opcode == 0x7e))))
		return false;
	/* far branches */
	if (f->map == ZYDIS_OPCODE_MAP_DEFAULT &&
	    (f->opcode == 0xca || f->opcode == 0xcb || f->opcode == 0x9a || f->opcode == 0xea))
		return false;
	if (f->map == ZYDIS_OPCODE_MAP_DEFAULT && f->opcode == 0xff)
		return (f->modrm >> 3 & 7) != 3 && (f->modrm >> 3 & 7) != 5;
	return true;
}

struct search {
	bool compat;
	ZydisDecoder decoder;
	const bool *wanted;
	struct form *form;
	size_t count, capacity;
};

static int try_form(struct search *s, struct form f, bool *has_modrm)
{
	u8 b[24] = {0};
	ZydisDecodedInstruction z;

	encode(&f, b);
	*has_modrm = true;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&s->decoder, NULL, b, 15, &z)))
		return 0;
	if (z.encoding != (f.vex ? ZYDIS_INSTRUCTION_ENCODING_VEX : ZYDIS_INSTRUCTION_ENCODING_LEGACY) ||
	    z.opcode_map != (ZydisOpcodeMap)f.map || z.opcode != f.opcode)
		return 0;
	*has_modrm = z.attributes & ZYDIS_ATTRIB_HAS_MODRM;
	f.mnemonic = (u16)z.mnemonic;
	f.has_modrm = *has_modrm;
	f.has_mem = f.has_modrm && f.modrm >> 6 != 3;
	if (!s->wanted[f.mnemonic] || !harmless(&f, s->compat))
		return 0;
	if (s->count == s->capacity) {
		size_t capacity = s->capacity ? 2 * s->capacity : 4096;
		struct form *bigger = realloc(s->form, capacity * sizeof(*bigger));

		if (!bigger)
			return -1;
		s->form = bigger;
		s->capacity = capacity;
	}
	s->form[s->count++] = f;
	return 0;
}

/* ModRM that names an instruction by its rm field: x87, and 0F 01 and 0F AE. */
static bool rm_selects(const struct form *f)
{
	return (f->map == ZYDIS_OPCODE_MAP_DEFAULT && f->opcode >= 0xd8 && f->opcode <= 0xdf) ||
	       (f->map == ZYDIS_OPCODE_MAP_0F && (f->opcode == 0x01 || f->opcode == 0xae));
}

static int search_modrm(struct search *s, struct form f)
{
	bool has_modrm = true;

	for (unsigned int reg = 0; reg < 8; reg++) {
		f.fixed_rm = false;
		f.modrm = (u8)(reg << 3 | 3);
		if (try_form(s, f, &has_modrm))
			return -1;
		if (!has_modrm)
			return 0;
		f.fixed_rm = rm_selects(&f);
		for (unsigned int rm = f.fixed_rm ? 0 : 7; rm < 8; rm++) {
			f.modrm = (u8)(0xc0 | reg << 3 | (f.fixed_rm ? rm : 1));
			if (try_form(s, f, &has_modrm))
				return -1;
		}
	}
	return 0;
}

static int compare_forms(const void *a, const void *b)
{
	const struct form *x = a, *y = b;

	return x->mnemonic < y->mnemonic ? -1 : x->mnemonic > y->mnemonic;
}

static bool is_prefix_or_vex(u8 opcode, bool compat)
{
	switch (opcode) {
	case 0x0f:
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xc4:
	case 0xc5:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return ((opcode >= 0x40 && opcode < 0x50) || opcode == 0x62) && !compat;
	}
}

static int search_all(struct search *s)
{
	static const u8 prefixes[] = {0, 0x66, 0xf2, 0xf3};
	static const u8 maps[] = {
		ZYDIS_OPCODE_MAP_DEFAULT,
		ZYDIS_OPCODE_MAP_0F,
		ZYDIS_OPCODE_MAP_0F38,
		ZYDIS_OPCODE_MAP_0F3A,
	};

	for (unsigned int m = 0; m < 4; m++) {
		for (unsigned int variant = 0; variant < 32 * 256; variant++) {
			struct form f = {
				.map = maps[m],
				.opcode = (u8)variant,
				.prefix = prefixes[variant >> 8 & 3],
				.rex_w = variant >> 10 & 1,
				.vex = variant >> 11 & 1,
				.vex_l = variant >> 12 & 1,
			};

			if ((f.vex_l && !f.vex) || (s->compat && f.rex_w && !f.vex) ||
			    (f.map == ZYDIS_OPCODE_MAP_DEFAULT && (f.vex || is_prefix_or_vex(f.opcode, s->compat))) ||
			    (f.map == ZYDIS_OPCODE_MAP_0F &&
			     (f.opcode == 0x38 || f.opcode == 0x3a || f.opcode == 0x0f)))
				continue;
			if (search_modrm(s, f))
				return -1;
		}
	}
	return 0;
}

void decoder_init(ZydisDecoder *decoder, bool compat)
{
	ZydisDecoderInit(decoder, compat ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_64,
			 compat ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_64);
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
}

int forms_build(struct forms *f, bool compat, FILE *report)
{
	static bool wanted[ZYDIS_MNEMONIC_MAX_VALUE + 1];
	struct search s = {.wanted = wanted, .compat = compat};

	memset(wanted, 0, sizeof(wanted));
	wanted_mnemonics(wanted, compat, report);
	decoder_init(&s.decoder, compat);
	memset(f, 0, sizeof(*f));
	f->compat = compat;
	if (search_all(&s))
		return -1;
	qsort(s.form, s.count, sizeof(*s.form), compare_forms);
	f->form = s.form;
	f->count = s.count;
	f->by_mnemonic = calloc(s.count, sizeof(*f->by_mnemonic));
	if (!f->by_mnemonic)
		return -1;
	for (size_t k = 0; k < s.count; k++) {
		if (k == 0 || s.form[k].mnemonic != s.form[k - 1].mnemonic)
			f->by_mnemonic[f->mnemonics++].first = (u32)k;
		f->by_mnemonic[f->mnemonics - 1].count++;
	}
	if (report) {
		for (unsigned int m = 1; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
			bool found = !wanted[m];

			for (size_t k = 0; k < f->mnemonics && !found; k++)
				found = f->form[f->by_mnemonic[k].first].mnemonic == m;
			if (!found)
				fprintf(report, "no form found for %s\n", ZydisMnemonicGetString((ZydisMnemonic)m));
		}
	}
	return 0;
}

void forms_free(struct forms *f)
{
	free(f->form);
	free(f->by_mnemonic);
}
