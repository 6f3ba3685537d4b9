// SPDX-License-Identifier: Apache-2.0
/*
 * int_table: the integer instructions by mnemonic.
 */
#include "hw/cpu/int.h"

#define ROW(name, feat, fl, func)                                                                                      \
	{                                                                                                              \
		.mnemonic = ZYDIS_MNEMONIC_##name, .feature = FEAT_##feat, .flags = fl, .fn = func                     \
	}
#define PLAIN(name, func)    ROW(name, ALWAYS, 0, func)
#define LOCKABLE(name, func) ROW(name, ALWAYS, INSN_LOCKABLE, func)
#define LEGACY(name, func)   ROW(name, ALWAYS, INSN_NO64, func)
#define BRANCH(name, func)   ROW(name, ALWAYS, INSN_END, func)

/* Zydis' name of each of the 16 conditions */
#define CONDITIONS(X) X(O) X(NO) X(B) X(NB) X(Z) X(NZ) X(BE) X(NBE) X(S) X(NS) X(P) X(NP) X(L) X(NL) X(LE) X(NLE)
#define ROW_J(cc)     BRANCH(J##cc, int_jcc),
#define ROW_SET(cc)   PLAIN(SET##cc, int_setcc),
#define ROW_CMOV(cc)  ROW(CMOV##cc, CMOV, 0, int_cmovcc),

static const struct insn_desc descs[] = {
	LOCKABLE(ADD, int_add),
	LOCKABLE(OR, int_or),
	LOCKABLE(ADC, int_adc),
	LOCKABLE(SBB, int_sbb),
	LOCKABLE(AND, int_and),
	LOCKABLE(SUB, int_sub),
	LOCKABLE(XOR, int_xor),
	PLAIN(CMP, int_cmp),
	PLAIN(TEST, int_test),
	LOCKABLE(INC, int_inc),
	LOCKABLE(DEC, int_dec),
	LOCKABLE(NEG, int_neg),
	LOCKABLE(NOT, int_not),
	ROW(ADCX, ADX, 0, int_adcx),
	ROW(ADOX, ADX, 0, int_adox),

	LOCKABLE(XCHG, int_xchg),
	LOCKABLE(XADD, int_xadd),
	LOCKABLE(CMPXCHG, int_cmpxchg),
	ROW(CMPXCHG8B, CX8, INSN_LOCKABLE, int_cmpxchg_double),
	ROW(CMPXCHG16B, CX16, INSN_LOCKABLE, int_cmpxchg_double),

	PLAIN(MUL, int_mul),
	PLAIN(IMUL, int_imul),
	PLAIN(DIV, int_div),
	PLAIN(IDIV, int_idiv),
	ROW(MULX, BMI2, INSN_PROT, int_mulx),

	PLAIN(SHL, int_shl),
	PLAIN(SHR, int_shr),
	PLAIN(SAR, int_sar),
	PLAIN(ROL, int_rol),
	PLAIN(ROR, int_ror),
	PLAIN(RCL, int_rcl),
	PLAIN(RCR, int_rcr),
	PLAIN(SHLD, int_shld),
	PLAIN(SHRD, int_shrd),

	PLAIN(MOV, int_mov),
	PLAIN(MOVZX, int_movzx),
	PLAIN(MOVSX, int_movsx),
	PLAIN(MOVSXD, int_movsx),
	PLAIN(LEA, int_lea),
	ROW(MOVBE, MOVBE, 0, int_movbe),
	ROW(MOVDIRI, MOVDIRI, 0, int_movdiri),
	ROW(MOVDIR64B, MOVDIR64B, 0, int_movdir64b),
	PLAIN(BSWAP, int_bswap),
	CONDITIONS(ROW_SET) CONDITIONS(ROW_CMOV) PLAIN(CBW, int_convert_accumulator),
	PLAIN(CWDE, int_convert_accumulator),
	PLAIN(CDQE, int_convert_accumulator),
	PLAIN(CWD, int_sign_to_dx),
	PLAIN(CDQ, int_sign_to_dx),
	PLAIN(CQO, int_sign_to_dx),
	PLAIN(XLAT, int_xlat),
	PLAIN(LAHF, int_lahf),
	PLAIN(SAHF, int_sahf),
	PLAIN(CLC, int_carry),
	PLAIN(STC, int_carry),
	PLAIN(CMC, int_carry),
	PLAIN(CLD, int_direction),
	PLAIN(STD, int_direction),

	LEGACY(DAA, int_daa),
	LEGACY(DAS, int_das),
	LEGACY(AAA, int_aaa),
	LEGACY(AAS, int_aas),
	LEGACY(AAM, int_aam),
	LEGACY(AAD, int_aad),
	LEGACY(SALC, int_salc),
	LEGACY(BOUND, int_bound),

	CONDITIONS(ROW_J) BRANCH(JCXZ, int_jcxz),
	BRANCH(JECXZ, int_jcxz),
	BRANCH(JRCXZ, int_jcxz),
	BRANCH(LOOP, int_loop),
	BRANCH(LOOPE, int_loop),
	BRANCH(LOOPNE, int_loop),
	BRANCH(JMP, int_jmp),
	BRANCH(CALL, int_call),
	BRANCH(RET, int_ret),

	PLAIN(NOP, int_nop),
	PLAIN(PREFETCH, int_nop),
	PLAIN(PREFETCHW, int_nop),
	PLAIN(PREFETCHWT1, int_nop),
	PLAIN(PREFETCHNTA, int_nop),
	PLAIN(PREFETCHT0, int_nop),
	PLAIN(PREFETCHT1, int_nop),
	PLAIN(PREFETCHT2, int_nop),
	/* Hint space 0F 18..1F: a processor without CET, MPX or CLDEMOTE takes them as NOP (SDM 2B NOP). */
	PLAIN(ENDBR32, int_nop),
	PLAIN(ENDBR64, int_nop),
	PLAIN(RDSSPD, int_nop),
	PLAIN(RDSSPQ, int_nop),
	PLAIN(CLDEMOTE, int_nop),
	PLAIN(BNDMK, int_nop),
	PLAIN(BNDCL, int_nop),
	PLAIN(BNDCU, int_nop),
	PLAIN(BNDCN, int_nop),
	PLAIN(BNDMOV, int_nop),
	PLAIN(BNDLDX, int_nop),
	PLAIN(BNDSTX, int_nop),
	ROW(LFENCE, SSE2, 0, int_fence),
	ROW(MFENCE, SSE2, 0, int_fence),
	ROW(SFENCE, SSE, 0, int_fence),
	BRANCH(UD0, int_undefined),
	BRANCH(UD1, int_undefined),
	BRANCH(UD2, int_undefined),
};

const struct insn_table int_insns = {descs, sizeof(descs) / sizeof(descs[0])};
