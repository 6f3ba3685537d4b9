// SPDX-License-Identifier: Apache-2.0
/*
 * exec_string: REP MOVS and REP STOS in 64-bit code, a page at a time.
 *
 * Each piece is one host string instruction, which has the guest's own semantics for overlapping operands; if the
 * memory goes away in its middle, its registers say how far it came. RCX, RSI and RDI are a valid restart point between
 * pieces, where requests are looked at. Everything else (DF, MMIO, an element across pages) is op_one_element()'s.
 */
#include "hw/cpu/op.h"

#define RAX GPR_OFFSET(HW_RAX)
#define RCX GPR_OFFSET(HW_RCX)
#define RSI GPR_OFFSET(HW_RSI)
#define RDI GPR_OFFSET(HW_RDI)

#define SUFFIX_1 "b"
#define SUFFIX_2 "w"
#define SUFFIX_4 "l"
#define SUFFIX_8 "q"

static inline u64 elements_in_page(u64 lin, u64 count, unsigned int size)
{
	u64 fit = (HW_PAGE_SIZE - (lin & ~HW_PAGE_MASK)) / size;

	return count < fit ? count : fit;
}

/* After a piece: on to the next one, or behind the instruction. */
#define PIECE_DONE(done)                                                                                               \
	do {                                                                                                           \
		REG(8, RCX) -= (done);                                                                                 \
		if (REG(8, RCX) == 0)                                                                                  \
			NEXT(o + 1);                                                                                   \
		if (unlikely(__atomic_load_n(&c->request, __ATOMIC_RELAXED)))                                          \
			CONTINUE_IN(op_restart, o);                                                                    \
		NEXT(o);                                                                                               \
	} while (0)

#define REP_STOS(size)                                                                                                 \
	static HANDLER(rep_stos_##size)                                                                                \
	{                                                                                                              \
		u64 lin = REG(8, RDI), n = elements_in_page(lin, REG(8, RCX), size), left = n, host;                   \
		if (unlikely(c->arch.rflags & FLAG_DF) || unlikely(n == 0))                                            \
			goto slow;                                                                                     \
		TLB_HOST(tlb_write, lin, size, host, slow);                                                            \
		asm goto("1: rep stos" SUFFIX_##size "\n" UACCESS_EX(gone)                                             \
			 : "+c"(left), "+D"(host)                                                                      \
			 : "a"(REG(8, RAX))                                                                            \
			 : "memory"                                                                                    \
			 : gone);                                                                                      \
		REG(8, RDI) = lin + n * (size);                                                                        \
		PIECE_DONE(n);                                                                                         \
	slow:                                                                                                          \
		CONTINUE_IN(op_one_element, o);                                                                        \
	gone:                                                                                                          \
		REG(8, RDI) = lin + (n - left) * (size);                                                               \
		REG(8, RCX) -= n - left;                                                                               \
		CONTINUE_IN(op_generic, o);                                                                            \
	}
REP_STOS(1)
REP_STOS(2)
REP_STOS(4)
REP_STOS(8)

#define REP_MOVS(size)                                                                                                 \
	static HANDLER(rep_movs_##size)                                                                                \
	{                                                                                                              \
		u64 from = REG(8, RSI), to = REG(8, RDI), n, left, host_from, host_to;                                 \
		n = elements_in_page(from, elements_in_page(to, REG(8, RCX), size), size);                             \
		if (unlikely(c->arch.rflags & FLAG_DF) || unlikely(n == 0))                                            \
			goto slow;                                                                                     \
		TLB_HOST(tlb_read, from, size, host_from, slow);                                                       \
		TLB_HOST(tlb_write, to, size, host_to, slow);                                                          \
		left = n;                                                                                              \
		asm goto("1: rep movs" SUFFIX_##size "\n" UACCESS_EX(gone)                                             \
			 : "+c"(left), "+D"(host_to), "+S"(host_from)                                                  \
			 :                                                                                             \
			 : "memory"                                                                                    \
			 : gone);                                                                                      \
		REG(8, RSI) = from + n * (size);                                                                       \
		REG(8, RDI) = to + n * (size);                                                                         \
		PIECE_DONE(n);                                                                                         \
	slow:                                                                                                          \
		CONTINUE_IN(op_one_element, o);                                                                        \
	gone:                                                                                                          \
		REG(8, RSI) = from + (n - left) * (size);                                                              \
		REG(8, RDI) = to + (n - left) * (size);                                                                \
		REG(8, RCX) -= n - left;                                                                               \
		CONTINUE_IN(op_generic, o);                                                                            \
	}
REP_MOVS(1)
REP_MOVS(2)
REP_MOVS(4)
REP_MOVS(8)

op_fn exec_string_handler(const struct insn *i, u32 mode)
{
	if (!(mode & MODE_CS64) || mode & MODE_STEP || i->addrsize != 8 || !i->rep || i->sreg == HW_FS ||
	    i->sreg == HW_GS)
		return NULL;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_STOSB:
		return rep_stos_1;
	case ZYDIS_MNEMONIC_STOSW:
		return rep_stos_2;
	case ZYDIS_MNEMONIC_STOSD:
		return rep_stos_4;
	case ZYDIS_MNEMONIC_STOSQ:
		return rep_stos_8;
	case ZYDIS_MNEMONIC_MOVSB:
		return rep_movs_1;
	case ZYDIS_MNEMONIC_MOVSW:
		return rep_movs_2;
	case ZYDIS_MNEMONIC_MOVSD:
		return i->nops == 0 ? rep_movs_4 : NULL; /* not the SSE instruction of that name */
	case ZYDIS_MNEMONIC_MOVSQ:
		return rep_movs_8;
	default:
		return NULL;
	}
}
