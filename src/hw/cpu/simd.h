// SPDX-License-Identifier: Apache-2.0
/*
 * simd: MMX and SSE on the guest's register image, arch.xsave.
 *
 * An instruction is executed by the host's own instruction with fixed registers (simd_stubs.S): operands are copied in,
 * the stub is called, the result is copied out once nothing can fail any more. Moves and the commonest operations are
 * C. MMX forms use the SSE stub on zero-extended operands, so that the host's x87 unit is not touched by them.
 */
#pragma once

#include <emmintrin.h>
#include <string.h>

#include "hw/cpu/fpu.h"
#include "hw/cpu/insn.h"
#include "hw/phys/uaccess.h"

#define unlikely(x) __builtin_expect(!!(x), 0)

#define MXCSR_FLAGS 0x3fu
#define MXCSR_DAZ   (1u << 6)
#define MXCSR_MASKS (0x3fu << 7)
#define MXCSR_FTZ   (1u << 15)
#define MXCSR_INIT  0x1f80u
#define MXCSR_VALID 0xffffu /* MXCSR_MASK: no misaligned-SSE mode */

/* Operands of a stub, in the registers it uses. */
struct simd_regs {
	__m128i implicit; /* xmm0: mask of the BLENDV group, result of PCMPxSTRM */
	__m128i dst;	  /* xmm1 */
	__m128i src;	  /* xmm2 */
	u64 rax, rcx, rdx;
	u64 eflags;
};

#define SIMD_EFLAGS    (1u << 0) /* the result is EFLAGS; no XMM destination */
#define SIMD_TO_RCX    (1u << 1) /* the result is in rcx */
#define SIMD_FROM_RCX  (1u << 2) /* the source is an integer, in rcx */
#define SIMD_TO_XMM0   (1u << 3) /* the result is in xmm0 */
#define SIMD_UNALIGNED (1u << 4) /* a 16-byte memory operand need not be aligned */
#define SIMD_IMM8      (1u << 5) /* 256 stubs, 8 bytes each, by the immediate */

enum simd_mmx {
	SIMD_MMX_NONE,
	SIMD_MMX_LANE,	 /* low half of the SSE result */
	SIMD_MMX_HIGH,	 /* operands in the high half, result from it */
	SIMD_MMX_PAIR,	 /* destination and source side by side stand for both operands */
	SIMD_MMX_SHUFB,	 /* indices of three bits */
	SIMD_MMX_ALIGNR, /* in C */
};

struct simd_op {
	const u8 *stub;
	const u8 *stub_w; /* REX.W form; for shifts the form with an immediate, 8 bytes each */
	u8 flags;
	u8 mmx;
};
extern const struct simd_op simd_ops[];

/* The instruction's stub for its width and immediate. */
const u8 *simd_stub(const struct simd_op *op, const struct insn *i);
/* Runs a stub that reads MXCSR, once for each lane. EXEC_OK: MXCSR is updated, r holds the results; EXEC_FAULT: #XM or
 * #UD. */
int simd_run_fp(struct hw_cpu *c, const u8 *stub, struct simd_regs *r, unsigned int lanes, bool eflags);
/* Runs any other stub; the second also takes EFLAGS. */
void simd_call(const u8 *stub, struct simd_regs *r);
void simd_call_eflags(const u8 *stub, struct simd_regs *r);

int simd_exec_int(struct hw_cpu *c, const struct insn *i);
int simd_exec_fp(struct hw_cpu *c, const struct insn *i);
int simd_exec_flags(struct hw_cpu *c, const struct insn *i);
int simd_exec_crypto(struct hw_cpu *c, const struct insn *i);
int simd_exec_mmx(struct hw_cpu *c, const struct insn *i);

bool simd_host_has_aes(void);
bool simd_host_has_pclmulqdq(void);
/* The portable forms; id is the mnemonic. */
__m128i simd_soft_crypto(u16 mnemonic, __m128i dst, __m128i src, u8 imm);

/* ---------------------------------------------------------------- register image */

static inline u8 *xmm_bytes(struct hw_cpu *c, unsigned int n)
{
	return c->arch.xsave.b + FX_XMM + 16 * n;
}
static inline __m128i xmm_get(struct hw_cpu *c, unsigned int n)
{
	return _mm_loadu_si128((__m128i *)xmm_bytes(c, n));
}
static inline void xmm_set(struct hw_cpu *c, unsigned int n, __m128i v)
{
	_mm_storeu_si128((__m128i *)xmm_bytes(c, n), v);
}

static inline u64 xmm_get_low(struct hw_cpu *c, unsigned int n)
{
	u64 v;

	memcpy(&v, xmm_bytes(c, n), 8);
	return v;
}

static inline u32 mxcsr_get(const struct hw_cpu *c)
{
	u32 v;

	memcpy(&v, c->arch.xsave.b + FX_MXCSR, 4);
	return v;
}
static inline void mxcsr_set(struct hw_cpu *c, u32 v)
{
	memcpy(c->arch.xsave.b + FX_MXCSR, &v, 4);
}

/* ---------------------------------------------------------------- checks, SDM 2 tables 2-21, 23-4 */

static inline int simd_check(struct hw_cpu *c)
{
	if ((c->arch.cr0 & FPU_CR0_EM) || !(c->arch.cr4 & FPU_CR4_OSFXSR))
		return cpu_ud(c);
	if (c->arch.cr0 & FPU_CR0_TS)
		return cpu_raise(c, X86_NM);
	return EXEC_OK;
}

static inline int simd_check_mmx(struct hw_cpu *c)
{
	if (c->arch.cr0 & FPU_CR0_EM)
		return cpu_ud(c);
	if (c->arch.cr0 & FPU_CR0_TS)
		return cpu_raise(c, X86_NM);
	return fpu_pending(c) ? cpu_raise(c, X86_MF) : EXEC_OK;
}

/* ---------------------------------------------------------------- memory */

#define UACCESS_LOAD_16(p, v, label)                                                                                   \
	asm goto("1: movups %1, %0\n" UACCESS_EX(label)                                                                \
		 : "=x"(v)                                                                                             \
		 : "m"(*(const volatile __m128i_u *)(p))                                                               \
		 : "memory"                                                                                            \
		 : label)
#define UACCESS_STORE_16(p, v, label)                                                                                  \
	asm goto("1: movups %1, %0\n" UACCESS_EX(label) : : "m"(*(volatile __m128i_u *)(p)), "x"(v) : "memory" : label)

static inline void *simd_tlb_hit(const struct tlb_entry *set, u64 lin, unsigned int size)
{
	const struct tlb_entry *e = &set[tlb_index(lin)];

	return ((lin + size - 1) & HW_PAGE_MASK) == e->tag ? (void *)(lin + e->addend) : NULL;
}

/* 16-byte operands of legacy SSE are aligned or fault, SDM 1 10.4.1.1. */
static inline int simd_operand(struct hw_cpu *c, const struct insn *i, unsigned int size, unsigned int acc,
			       bool aligned, u64 *lin)
{
	int err = insn_mem(c, i, size, acc, lin);

	if (!err && aligned && (*lin & (size - 1)))
		err = cpu_gp(c, 0);
	return err;
}

static inline int simd_load128(struct hw_cpu *c, const struct insn *i, bool aligned, __m128i *v)
{
	void *host;
	u64 lin;
	int err = simd_operand(c, i, 16, ACC_READ, aligned, &lin);

	if (err)
		return err;
	host = simd_tlb_hit(c->tlb_read[c->tlb_mode], lin, 16);
	if (host) {
		__m128i value;

		UACCESS_LOAD_16(host, value, gone);
		*v = value;
		return EXEC_OK;
	}
gone:
	return cpu_read(c, lin, v, 16);
}

static inline int simd_store128(struct hw_cpu *c, const struct insn *i, bool aligned, __m128i v)
{
	void *host;
	u64 lin;
	int err = simd_operand(c, i, 16, ACC_WRITE, aligned, &lin);

	if (err)
		return err;
	host = simd_tlb_hit(c->tlb_write[c->tlb_mode], lin, 16);
	if (host) {
		UACCESS_STORE_16(host, v, gone);
		return EXEC_OK;
	}
gone:
	return cpu_write(c, lin, &v, 16);
}

static inline int simd_load64(struct hw_cpu *c, const struct insn *i, u64 *v)
{
	void *host;
	u64 lin;
	int err = simd_operand(c, i, 8, ACC_READ, false, &lin);

	if (err)
		return err;
	host = simd_tlb_hit(c->tlb_read[c->tlb_mode], lin, 8);
	if (host) {
		u64 value;

		UACCESS_LOAD_8(host, value, gone);
		*v = value;
		return EXEC_OK;
	}
gone:
	return cpu_read(c, lin, v, 8);
}

static inline int simd_store64(struct hw_cpu *c, const struct insn *i, u64 v)
{
	void *host;
	u64 lin;
	int err = simd_operand(c, i, 8, ACC_WRITE, false, &lin);

	if (err)
		return err;
	host = simd_tlb_hit(c->tlb_write[c->tlb_mode], lin, 8);
	if (host) {
		UACCESS_STORE_8(host, v, gone);
		return EXEC_OK;
	}
gone:
	return cpu_write(c, lin, &v, 8);
}

/* size: 1, 2, 4 or 8; zero-extended. */
static inline int simd_load_int(struct hw_cpu *c, const struct insn *i, unsigned int size, u64 *v)
{
	u64 lin;
	int err;

	if (size == 8)
		return simd_load64(c, i, v);
	*v = 0;
	err = simd_operand(c, i, size, ACC_READ, false, &lin);
	return err ? err : cpu_read(c, lin, v, size);
}

static inline int simd_store_int(struct hw_cpu *c, const struct insn *i, unsigned int size, u64 v)
{
	u64 lin;
	int err;

	if (size == 8)
		return simd_store64(c, i, v);
	err = simd_operand(c, i, size, ACC_WRITE, false, &lin);
	return err ? err : cpu_write(c, lin, &v, size);
}

/* Operand n, an XMM register or memory of the operand's size, zero-extended to 16 bytes. */
static inline int simd_read_operand(struct hw_cpu *c, const struct insn *i, unsigned int n, bool aligned, __m128i *v)
{
	u64 low;
	int err;

	if (i->op[n].kind == OPND_XMM) {
		*v = xmm_get(c, i->op[n].reg);
		return EXEC_OK;
	}
	if (i->op[n].size == 16)
		return simd_load128(c, i, aligned, v);
	err = simd_load_int(c, i, i->op[n].size, &low);
	*v = _mm_cvtsi64_si128((long long)low);
	return err;
}
