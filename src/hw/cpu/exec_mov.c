// SPDX-License-Identifier: Apache-2.0
/* exec_mov: handlers of MOV, MOVZX, MOVSX, MOVSXD, LEA, XCHG, the sign extensions of the accumulator, and
 * no-operations. */
#include "hw/cpu/op.h"

#define MOV_MEM(size, ea)                                                                                              \
	static HANDLER(mov_r_##ea##_##size)                                                                            \
	{                                                                                                              \
		u64 v;                                                                                                 \
		LOAD(size, EA_##ea(o), v);                                                                             \
		SET_REG(size, o->dst, v);                                                                              \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}                                                                                                              \
	static HANDLER(mov_##ea##_r_##size)                                                                            \
	{                                                                                                              \
		STORE(size, EA_##ea(o), REG(size, o->src));                                                            \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}                                                                                                              \
	static HANDLER(mov_##ea##_i_##size)                                                                            \
	{                                                                                                              \
		STORE(size, EA_##ea(o), (s64)o->imm);                                                                  \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}                                                                                                              \
	static HANDLER(xchg_##ea##_r_##size)                                                                           \
	{                                                                                                              \
		u64 lin = EA_##ea(o), host, v = REG(size, o->src);                                                     \
		TLB_HOST(tlb_write, lin, size, host, slow);                                                            \
		UACCESS_XCHG_##size(host, v, gone);                                                                    \
		SET_REG(size, o->src, v);                                                                              \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
#define MOV(size)                                                                                                      \
	static HANDLER(mov_rr_##size)                                                                                  \
	{                                                                                                              \
		SET_REG(size, o->dst, REG(size, o->src));                                                              \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(mov_ri_##size)                                                                                  \
	{                                                                                                              \
		SET_REG(size, o->dst, (u64)o->imm64);                                                                  \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	static HANDLER(xchg_rr_##size)                                                                                 \
	{                                                                                                              \
		UTYPE(size) a = REG(size, o->dst), b = REG(size, o->src);                                              \
		SET_REG(size, o->dst, b);                                                                              \
		SET_REG(size, o->src, a);                                                                              \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	MOV_MEM(size, bd)                                                                                              \
	MOV_MEM(size, bis)
MOV(1)
MOV(2)
MOV(4)
MOV(8)

#define SIZES(prefix)                                                                                                  \
	{                                                                                                              \
		prefix##_1, prefix##_2, prefix##_4, prefix##_8                                                         \
	}
static const op_fn mov_handlers[FORM_COUNT][4] = {
	[FORM_RR] = SIZES(mov_rr),	 [FORM_RI] = SIZES(mov_ri),	  [FORM_R_BD] = SIZES(mov_r_bd),
	[FORM_R_BIS] = SIZES(mov_r_bis), [FORM_BD_R] = SIZES(mov_bd_r),	  [FORM_BIS_R] = SIZES(mov_bis_r),
	[FORM_BD_I] = SIZES(mov_bd_i),	 [FORM_BIS_I] = SIZES(mov_bis_i),
};
static const op_fn xchg_handlers[FORM_COUNT][4] = {
	[FORM_RR] = SIZES(xchg_rr),
	[FORM_BD_R] = SIZES(xchg_bd_r),
	[FORM_BIS_R] = SIZES(xchg_bis_r),
};

/* ---------------------------------------------------------------- extensions */

#define EXTEND_MEM(name, from, to, type, ea)                                                                           \
	static HANDLER(name##_##from##_##to##_r_##ea)                                                                  \
	{                                                                                                              \
		UTYPE(from) v;                                                                                         \
		LOAD(from, EA_##ea(o), v);                                                                             \
		SET_REG(to, o->dst, (u64)(s64)(type)v);                                                                \
		NEXT(o + 1);                                                                                           \
		COLD_ENDS;                                                                                             \
	}
#define EXTEND(name, from, to, type)                                                                                   \
	static HANDLER(name##_##from##_##to##_rr)                                                                      \
	{                                                                                                              \
		SET_REG(to, o->dst, (u64)(s64)(type)REG(from, o->src));                                                \
		NEXT(o + 1);                                                                                           \
	}                                                                                                              \
	EXTEND_MEM(name, from, to, type, bd)                                                                           \
	EXTEND_MEM(name, from, to, type, bis)
EXTEND(movzx, 1, 2, u8)
EXTEND(movzx, 1, 4, u8)
EXTEND(movzx, 2, 4, u16)
EXTEND(movsx, 1, 2, s8)
EXTEND(movsx, 1, 4, s8)
EXTEND(movsx, 1, 8, s8)
EXTEND(movsx, 2, 4, s16)
EXTEND(movsx, 2, 8, s16)
EXTEND(movsx, 4, 8, s32)

static op_fn extension_handler(const struct insn *i, enum form form)
{
#define ROW(name, from, to)                                                                                            \
	{                                                                                                              \
		[FORM_RR] = name##_##from##_##to##_rr, [FORM_R_BD] = name##_##from##_##to##_r_bd,                      \
		[FORM_R_BIS] = name##_##from##_##to##_r_bis                                                            \
	}
	/* [source size][destination size]; zero extension to 32 bits is one to 64 */
	static const op_fn zero[4][4][FORM_COUNT] = {
		[0] = {[1] = ROW(movzx, 1, 2), [2] = ROW(movzx, 1, 4), [3] = ROW(movzx, 1, 4)},
		[1] = {[2] = ROW(movzx, 2, 4), [3] = ROW(movzx, 2, 4)},
	};
	static const op_fn sign[4][4][FORM_COUNT] = {
		[0] = {[1] = ROW(movsx, 1, 2), [2] = ROW(movsx, 1, 4), [3] = ROW(movsx, 1, 8)},
		[1] = {[2] = ROW(movsx, 2, 4), [3] = ROW(movsx, 2, 8)},
		[2] = {[3] = ROW(movsx, 4, 8)},
	};
	unsigned int from = size_index(i->op[1].size), to = size_index(i->op[0].size);

	return i->mnemonic == ZYDIS_MNEMONIC_MOVZX ? zero[from][to][form] : sign[from][to][form];
}

/* ---------------------------------------------------------------- addresses, accumulator, nothing */

#define LEA(size, ea)                                                                                                  \
	static HANDLER(lea_##ea##_##size)                                                                              \
	{                                                                                                              \
		SET_REG(size, o->dst, EA_##ea(o));                                                                     \
		NEXT(o + 1);                                                                                           \
	}
LEA(2, bd)
LEA(4, bd)
LEA(8, bd)
LEA(2, bis)
LEA(4, bis)
LEA(8, bis)

static op_fn lea_handler(const struct insn *i, enum form form)
{
	static const op_fn bd[4] = {NULL, lea_bd_2, lea_bd_4, lea_bd_8};
	static const op_fn bis[4] = {NULL, lea_bis_2, lea_bis_4, lea_bis_8};

	if (form == FORM_R_BD)
		return bd[size_index(i->op[0].size)];
	return form == FORM_R_BIS ? bis[size_index(i->op[0].size)] : NULL;
}

#define RAX GPR_OFFSET(HW_RAX)
#define RDX GPR_OFFSET(HW_RDX)

static HANDLER(cwde)
{
	SET_REG(4, RAX, (u64)(s64)(s16)REG(2, RAX));
	NEXT(o + 1);
}

static HANDLER(cdqe)
{
	SET_REG(8, RAX, (u64)(s64)(s32)REG(4, RAX));
	NEXT(o + 1);
}

static HANDLER(cdq)
{
	SET_REG(4, RDX, (u64)((s64)(s32)REG(4, RAX) >> 63));
	NEXT(o + 1);
}

static HANDLER(cqo)
{
	SET_REG(8, RDX, (u64)((s64)REG(8, RAX) >> 63));
	NEXT(o + 1);
}

static HANDLER(bswap_4)
{
	SET_REG(4, o->dst, __builtin_bswap32(REG(4, o->dst)));
	NEXT(o + 1);
}

static HANDLER(bswap_8)
{
	SET_REG(8, o->dst, __builtin_bswap64(REG(8, o->dst)));
	NEXT(o + 1);
}

static HANDLER(nop)
{
	NEXT(o + 1);
}

op_fn exec_mov_handler(const struct insn *i, enum form form)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return mov_handlers[form][size_index(i->op[0].size)];
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		return extension_handler(i, form);
	case ZYDIS_MNEMONIC_LEA:
		return lea_handler(i, form);
	case ZYDIS_MNEMONIC_XCHG:
		return xchg_handlers[form][size_index(i->op[0].size)];
	case ZYDIS_MNEMONIC_CWDE:
		return cwde;
	case ZYDIS_MNEMONIC_CDQE:
		return cdqe;
	case ZYDIS_MNEMONIC_CDQ:
		return cdq;
	case ZYDIS_MNEMONIC_CQO:
		return cqo;
	case ZYDIS_MNEMONIC_BSWAP:
		if (form != FORM_R || i->op[0].size < 4)
			return NULL;
		return i->op[0].size == 8 ? bswap_8 : bswap_4;
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHW:
		return nop;
	default:
		return NULL;
	}
}
