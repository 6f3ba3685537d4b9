// SPDX-License-Identifier: Apache-2.0
/*
 * undefined: results that the manuals leave open or that differ between vendors. Everything else must be equal.
 */
#include <string.h>

#include "diff.h"

#define ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

static const struct {
	u16 mnemonic;
	u32 flags;
} undefined[] = {
	/* SDM 2A AND, 2B OR, 2C XOR, 2C TEST: "the state of the AF flag is undefined" */
	{ZYDIS_MNEMONIC_AND, FLAG_AF},
	{ZYDIS_MNEMONIC_OR, FLAG_AF},
	{ZYDIS_MNEMONIC_XOR, FLAG_AF},
	{ZYDIS_MNEMONIC_TEST, FLAG_AF},
	/* SDM 2B SAL/SAR/SHL/SHR: AF always; OF unless the count is 1; CF if the count is at least the operand's size
	 */
	{ZYDIS_MNEMONIC_SHL, FLAG_AF | FLAG_OF | FLAG_CF},
	{ZYDIS_MNEMONIC_SHR, FLAG_AF | FLAG_OF | FLAG_CF},
	{ZYDIS_MNEMONIC_SAR, FLAG_AF | FLAG_OF},
	/* SDM 2B RCL/RCR/ROL/ROR: OF unless the count is 1 */
	{ZYDIS_MNEMONIC_RCL, FLAG_OF},
	{ZYDIS_MNEMONIC_RCR, FLAG_OF},
	{ZYDIS_MNEMONIC_ROL, FLAG_OF},
	{ZYDIS_MNEMONIC_ROR, FLAG_OF},
	/* SDM 2B SHLD, SHRD: AF always; OF unless the count is 1 */
	{ZYDIS_MNEMONIC_SHLD, FLAG_AF | FLAG_OF},
	{ZYDIS_MNEMONIC_SHRD, FLAG_AF | FLAG_OF},
	/* SDM 2B MUL, 2A IMUL: SF, ZF, AF, PF */
	{ZYDIS_MNEMONIC_MUL, FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF},
	{ZYDIS_MNEMONIC_IMUL, FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF},
	/* SDM 2A DIV, IDIV: all */
	{ZYDIS_MNEMONIC_DIV, ARITH},
	{ZYDIS_MNEMONIC_IDIV, ARITH},
	/* SDM 2A BSF, BSR: all but ZF */
	{ZYDIS_MNEMONIC_BSF, ARITH & ~FLAG_ZF},
	{ZYDIS_MNEMONIC_BSR, ARITH & ~FLAG_ZF},
	/* SDM 2C TZCNT, 2B LZCNT: OF, SF, PF, AF */
	{ZYDIS_MNEMONIC_TZCNT, FLAG_OF | FLAG_SF | FLAG_PF | FLAG_AF},
	{ZYDIS_MNEMONIC_LZCNT, FLAG_OF | FLAG_SF | FLAG_PF | FLAG_AF},
	/* SDM 2A BT, BTC, BTR, BTS: OF, SF, AF, PF */
	{ZYDIS_MNEMONIC_BT, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF},
	{ZYDIS_MNEMONIC_BTC, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF},
	{ZYDIS_MNEMONIC_BTR, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF},
	{ZYDIS_MNEMONIC_BTS, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF},
	/* SDM 2A AAA, AAS: OF, SF, ZF, PF; AAD, AAM: OF, AF, CF; DAA, DAS: OF */
	{ZYDIS_MNEMONIC_AAA, FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF},
	{ZYDIS_MNEMONIC_AAS, FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF},
	{ZYDIS_MNEMONIC_AAD, FLAG_OF | FLAG_AF | FLAG_CF},
	{ZYDIS_MNEMONIC_AAM, FLAG_OF | FLAG_AF | FLAG_CF},
	{ZYDIS_MNEMONIC_DAA, FLAG_OF},
	{ZYDIS_MNEMONIC_DAS, FLAG_OF},
	/* SDM 2A ANDN, BLSI, BLSMSK, BLSR, BZHI: AF, PF; BEXTR: SF too */
	{ZYDIS_MNEMONIC_ANDN, FLAG_AF | FLAG_PF},
	{ZYDIS_MNEMONIC_BLSI, FLAG_AF | FLAG_PF},
	{ZYDIS_MNEMONIC_BLSMSK, FLAG_AF | FLAG_PF},
	{ZYDIS_MNEMONIC_BLSR, FLAG_AF | FLAG_PF},
	{ZYDIS_MNEMONIC_BZHI, FLAG_AF | FLAG_PF},
	{ZYDIS_MNEMONIC_BEXTR, FLAG_AF | FLAG_PF | FLAG_SF},
};

static bool is_shift(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
	case ZYDIS_MNEMONIC_RCL:
	case ZYDIS_MNEMONIC_RCR:
	case ZYDIS_MNEMONIC_ROL:
	case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
		return true;
	default:
		return false;
	}
}

/* The count of a shift as an immediate, after masking; -1 if it is in CL. */
static int shift_count(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	const ZydisDecodedOperand *count = &ops[z->operand_count_visible - 1];

	if (count->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return -1;
	return (int)(count->imm.value.u & (ops[0].size == 64 ? 63 : 31));
}

u32 undefined_flags(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	u32 flags = 0;
	int count;

	for (size_t k = 0; k < sizeof(undefined) / sizeof(undefined[0]); k++) {
		if (undefined[k].mnemonic == z->mnemonic)
			flags = undefined[k].flags;
	}
	if (!is_shift((u16)z->mnemonic))
		return flags;
	count = shift_count(z, ops);
	if (count == 0)
		return 0;
	if (count == 1)
		flags &= ~FLAG_OF;
	/* A masked count of 31 reaches the size of 8- and 16-bit operands only. */
	if (count >= 0 ? (unsigned int)count < ops[0].size : ops[0].size > 16)
		flags &= ~FLAG_CF;
	return flags;
}

u32 flags_read(const ZydisDecodedInstruction *z)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_LAHF:
		return ARITH;
	default:
		return z->cpu_flags ? z->cpu_flags->tested & ARITH : 0;
	}
}

/* A count of zero, of a shift or of a repetition, leaves all flags alone. */
u32 flags_written(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	u32 all;

	if (!z->cpu_flags || (is_shift((u16)z->mnemonic) && shift_count(z, ops) <= 0) ||
	    z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
		return 0;
	all = z->cpu_flags->modified | z->cpu_flags->set_0 | z->cpu_flags->set_1;
	return all & ARITH;
}

/* Which byte of a long operand a fault names: the first that fails, or any, on AMD the operand's last or its start. */
u64 fault_address_mask(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		return ~(u64)0xffff;
	default:
		return ~0ull;
	}
}

/*
 * Beside an unmasked overflow or underflow PE is the masked response's or the unmasked one's (SDM 1 4.9.1.4 to 4.9.1.6
 * leave it to the processor); how far a dot product goes before it stops is not said (SDM 2A DPPS).
 */
u32 mxcsr_mask(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_DPPS:
	case ZYDIS_MNEMONIC_DPPD:
	case ZYDIS_MNEMONIC_VDPPS:
	case ZYDIS_MNEMONIC_VDPPD:
		return ~0x3fu;
	default:
		return ~0x20u;
	}
}

void mask_fx(u8 fx[XSAVE_SIZE])
{
	/* FOP, FIP, FDP: saved always (Intel) or with a pending exception only (APM1 11.3, APM3 FXSAVE); CS and DS
	 * deprecated */
	memset(fx + 6, 0, 18);
	/* MXCSR_MASK: AMD has the misaligned-exception mask (APM1 4.2.2) */
	memset(fx + 28, 0, 4);
	/* reserved bytes, and XMM0..15's successors: available to software */
	fx[5] = 0;
	for (unsigned int n = 0; n < 8; n++)
		memset(fx + 32 + 16 * n + 10, 0, 6);
	memset(fx + 416, 0, 96);
	memset(fx + XSAVE_HEADER, 0, 64);
}
