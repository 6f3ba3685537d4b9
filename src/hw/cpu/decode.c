// SPDX-License-Identifier: Apache-2.0
/* decode: Zydis' answer into a struct insn. */
#include <string.h>

#include "hw/cpu/block.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---------------------------------------------------------------- who executes what */

static const struct insn_desc *descs[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static pthread_once_t descs_once = PTHREAD_ONCE_INIT;

static void merge_tables(void)
{
	const struct insn_table *const tables[] = {
		&int_insns,  &string_insns, &bit_insns, &stack_insns, &fpu_insns,
		&simd_insns, &xsave_insns,  &sys_insns, &far_insns,   &io_insns,
	};

	for (size_t t = 0; t < COUNT(tables); t++) {
		for (size_t k = 0; k < tables[t]->count; k++) {
			const struct insn_desc *d = &tables[t]->desc[k];

			if (!descs[d->mnemonic])
				descs[d->mnemonic] = d;
		}
	}
}

const struct insn_desc *insn_lookup(u16 mnemonic)
{
	return descs[mnemonic];
}

/* ---------------------------------------------------------------- decoders */

/* What a processor without these features makes of their encodings: reserved no-operations, WBINVD. */
static void set_decoder(ZydisDecoder *d, ZydisMachineMode mode, ZydisStackWidth width)
{
	ZydisDecoderInit(d, mode, width);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_LZCNT, cpu_feature_implemented(FEAT_LZCNT));
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_TZCNT, cpu_feature_implemented(FEAT_BMI1));
}

void decode_init(struct block_cache *b)
{
	pthread_once(&descs_once, merge_tables);
	set_decoder(&b->decoder[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	set_decoder(&b->decoder[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	set_decoder(&b->decoder[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	set_decoder(&b->compat[0], ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16);
	set_decoder(&b->compat[1], ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
}

static const ZydisDecoder *decoder_for(const struct block_cache *b, u32 mode)
{
	unsigned int width = mode & MODE_CS64 ? 2 : mode & MODE_CS32 ? 1 : 0;

	return mode & MODE_LONG && width < 2 ? &b->compat[width] : &b->decoder[width];
}

/* ---------------------------------------------------------------- operands */

static void set_register(struct operand *op, ZydisRegister reg)
{
	unsigned int n = (unsigned int)ZydisRegisterGetId(reg);

	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
		/* AL..BL, AH..BH, SPL..DIL, R8B.. */
		n = (unsigned int)(reg - ZYDIS_REGISTER_AL);
		op->kind = OPND_GPR;
		op->high8 = n >= 4 && n < 8;
		op->reg = (u8)(n >= 4 ? n - 4 : n);
		return;
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		op->kind = OPND_GPR;
		break;
	case ZYDIS_REGCLASS_SEGMENT:
		op->kind = OPND_SREG;
		break;
	case ZYDIS_REGCLASS_CONTROL:
		op->kind = OPND_CR;
		break;
	case ZYDIS_REGCLASS_DEBUG:
		op->kind = OPND_DR;
		break;
	case ZYDIS_REGCLASS_XMM:
		op->kind = OPND_XMM;
		break;
	case ZYDIS_REGCLASS_YMM:
		op->kind = OPND_YMM;
		break;
	case ZYDIS_REGCLASS_MMX:
		op->kind = OPND_MMX;
		break;
	case ZYDIS_REGCLASS_X87:
		op->kind = OPND_ST;
		break;
	default:
		op->kind = OPND_NONE;
		break;
	}
	op->reg = (u8)n;
}

static u8 address_register(ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);

	if (class != ZYDIS_REGCLASS_GPR16 && class != ZYDIS_REGCLASS_GPR32 && class != ZYDIS_REGCLASS_GPR64)
		return INSN_NO_REG;
	return (u8)ZydisRegisterGetId(reg);
}

/* SDM 2A table 2-3: SIB without a base under mod 0 whatever REX.B; Zydis 4.0 finds R13D there. */
static bool sib_without_base(const ZydisDecodedInstruction *z)
{
	return z->address_width != 16 && z->raw.modrm.mod == 0 && z->raw.modrm.rm == 4 && z->raw.sib.base == 5;
}

static void set_memory(struct insn *i, const ZydisDecodedInstruction *z, const ZydisDecodedOperandMem *m)
{
	i->sreg = (u8)ZydisRegisterGetId(m->segment);
	i->base = address_register(m->base);
	i->index = address_register(m->index);
	i->scale = m->scale;
	i->disp = m->disp.has_displacement ? m->disp.value : 0;
	i->rip_relative = ZydisRegisterGetClass(m->base) == ZYDIS_REGCLASS_IP;
	if (z->attributes & ZYDIS_ATTRIB_HAS_SIB && sib_without_base(z)) {
		i->base = INSN_NO_REG;
		i->disp = z->raw.disp.value;
	}
}

static void set_operand(struct insn *i, struct operand *op, const ZydisDecodedInstruction *insn,
			const ZydisDecodedOperand *z, unsigned int *immediates)
{
	op->size = (u8)(z->size / 8);
	switch (z->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		set_register(op, z->reg.value);
		break;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		op->kind = OPND_MEM;
		set_memory(i, insn, &z->mem);
		break;
	case ZYDIS_OPERAND_TYPE_POINTER:
		op->kind = OPND_FAR;
		i->imm = z->ptr.offset;
		i->imm2 = z->ptr.segment;
		break;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		op->kind = OPND_IMM;
		if ((*immediates)++ == 0)
			i->imm = z->imm.value.s;
		else
			i->imm2 = z->imm.value.s;
		break;
	default:
		break;
	}
}

static void set_prefixes(struct insn *i, const ZydisDecodedInstruction *z)
{
	u8 last = 0;

	for (unsigned int k = 0; k < z->raw.prefix_count; k++) {
		if (z->raw.prefixes[k].value == 0xf2 || z->raw.prefixes[k].value == 0xf3)
			last = z->raw.prefixes[k].value;
	}
	i->lock = z->attributes & ZYDIS_ATTRIB_HAS_LOCK;
	i->rep_any = last != 0;
	i->rep = last == 0xf3 && z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE);
	i->repne = z->attributes & ZYDIS_ATTRIB_HAS_REPNE;
	/* F2 in front of a string instruction that compares nothing repeats it all the same. */
	if (last == 0xf2 && z->attributes & ZYDIS_ATTRIB_ACCEPTS_REP)
		i->rep = true;
}

/* Implicit operands that Intel's syntax shows (AL, CL, 1) count as operands; hidden ones do not, except that they tell
 * the segment of a string instruction's source. */
static void set_operands(struct insn *i, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	unsigned int immediates = 0;

	for (unsigned int k = 0; k < z->operand_count; k++) {
		if (k < z->operand_count_visible && i->nops < COUNT(i->op)) {
			set_operand(i, &i->op[i->nops], z, &ops[k], &immediates);
			i->nops++;
		} else if (ops[k].type == ZYDIS_OPERAND_TYPE_MEMORY && i->sreg == INSN_NO_REG &&
			   ops[k].mem.segment != ZYDIS_REGISTER_ES && address_register(ops[k].mem.base) != HW_RSP) {
			i->sreg = (u8)ZydisRegisterGetId(ops[k].mem.segment);
		}
	}
	if (i->sreg == INSN_NO_REG)
		i->sreg = HW_DS;
}

enum decode_status decode_insn(struct block_cache *b, u32 mode, const u8 *bytes, size_t size, struct insn *out)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZyanStatus status = ZydisDecoderDecodeFull(decoder_for(b, mode), bytes, size, &z, ops);

	if (status == ZYDIS_STATUS_NO_MORE_DATA)
		return size < 15 ? DECODE_MORE : DECODE_TOO_LONG;
	if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
		return DECODE_TOO_LONG;
	if (!ZYAN_SUCCESS(status))
		return DECODE_BAD;
	/* EVEX forms share their names with VEX ones; XOP, MVEX and 3DNow! are nobody's. */
	if (z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && z.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return DECODE_BAD;
	/* Zydis knows the VEX forms of the bit counts too, which only a coprocessor has. */
	if (z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX &&
	    (z.mnemonic == ZYDIS_MNEMONIC_TZCNT || z.mnemonic == ZYDIS_MNEMONIC_LZCNT ||
	     z.mnemonic == ZYDIS_MNEMONIC_POPCNT))
		return DECODE_BAD;
	*out = (struct insn){
		.mnemonic = (u16)z.mnemonic,
		.len = z.length,
		.opsize = (u8)(z.operand_width / 8),
		.addrsize = (u8)(z.address_width / 8),
		.vvvv_l = z.avx.vector_length == 256,
		.vex = z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX,
		.sreg = INSN_NO_REG,
		.base = INSN_NO_REG,
		.index = INSN_NO_REG,
		.opcode_map = (u8)z.opcode_map,
		.opcode = z.opcode,
		.modrm = (u8)(z.raw.modrm.mod << 6 | z.raw.modrm.reg << 3 | z.raw.modrm.rm),
	};
	/* Zydis has one name for a string and an SSE instruction, twice: the SSE one goes by the name of its VEX form.
	 */
	if (z.opcode_map == ZYDIS_OPCODE_MAP_0F && z.mnemonic == ZYDIS_MNEMONIC_MOVSD)
		out->mnemonic = ZYDIS_MNEMONIC_VMOVSD;
	else if (z.opcode_map == ZYDIS_OPCODE_MAP_0F && z.mnemonic == ZYDIS_MNEMONIC_CMPSD)
		out->mnemonic = ZYDIS_MNEMONIC_VCMPSD;
	memcpy(out->bytes, bytes, z.length);
	set_prefixes(out, &z);
	set_operands(out, &z, ops);
	return DECODE_OK;
}
