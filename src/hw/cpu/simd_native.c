// SPDX-License-Identifier: Apache-2.0
/*
 * SSE instructions by stub: fetching of operands, the call, SIMD floating-point exceptions, the commit.
 */
#include "hw/cpu/simd.h"

/* ---------------------------------------------------------------- the table of stubs */

#define SIMD_BIN(id, insn, feature, fn, flags, mmx)                                                                    \
	extern const u8 simd_stub_##id[] __attribute__((visibility("hidden")));
#define SIMD_IMM(id, insn, feature, fn, flags, mmx)   SIMD_BIN(id, insn, feature, fn, flags, mmx)
#define SIMD_STUBW(id)				      extern const u8 simd_stubw_##id[] __attribute__((visibility("hidden")));
#define SIMD_SHIFT(id, insn, feature, fn, flags, mmx) SIMD_BIN(id, insn, feature, fn, flags, mmx) SIMD_STUBW(id)
#define SIMD_WIMM(id, insn, feature, fn, flags)	      SIMD_BIN(id, insn, feature, fn, flags, NONE) SIMD_STUBW(id)
#define SIMD_TO_GPR(id, insn, feature, fn, flags)     SIMD_WIMM(id, insn, feature, fn, flags)
#define SIMD_FROM_GPR(id, insn, feature, fn, flags)   SIMD_WIMM(id, insn, feature, fn, flags)
#define SIMD_BYTES(id, insn, feature, fn, flags)      SIMD_STUBW(id)
#include "hw/cpu/simd_ops.def"
#undef SIMD_BIN
#undef SIMD_IMM
#undef SIMD_SHIFT
#undef SIMD_WIMM
#undef SIMD_TO_GPR
#undef SIMD_FROM_GPR
#undef SIMD_BYTES

#define SIMD_ROW(id, first, second, what, how)                                                                         \
	[ZYDIS_MNEMONIC_##id] = {.stub = first, .stub_w = second, .flags = what, .mmx = SIMD_MMX_##how},
#define SIMD_BIN(id, insn, feature, fn, flags, mmx)   SIMD_ROW(id, simd_stub_##id, NULL, flags, mmx)
#define SIMD_IMM(id, insn, feature, fn, flags, mmx)   SIMD_ROW(id, simd_stub_##id, NULL, (flags) | SIMD_IMM8, mmx)
#define SIMD_WIMM(id, insn, feature, fn, flags)	      SIMD_ROW(id, simd_stub_##id, simd_stubw_##id, (flags) | SIMD_IMM8, NONE)
#define SIMD_SHIFT(id, insn, feature, fn, flags, mmx) SIMD_ROW(id, simd_stub_##id, simd_stubw_##id, flags, mmx)
#define SIMD_BYTES(id, insn, feature, fn, flags)      SIMD_ROW(id, NULL, simd_stubw_##id, flags, NONE)
#define SIMD_TO_GPR(id, insn, feature, fn, flags)     SIMD_ROW(id, simd_stub_##id, simd_stubw_##id, flags, NONE)
#define SIMD_FROM_GPR(id, insn, feature, fn, flags)   SIMD_ROW(id, simd_stub_##id, simd_stubw_##id, flags, NONE)
const struct simd_op simd_ops[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#include "hw/cpu/simd_ops.def"
};

const u8 *simd_stub(const struct simd_op *op, const struct insn *i)
{
	if (op->flags & SIMD_IMM8) {
		u8 imm = (u8)i->imm;

		/* COUNT_S selects a lane of a register; a memory operand is the one dword. */
		if (i->mnemonic == ZYDIS_MNEMONIC_INSERTPS && i->op[1].kind == OPND_MEM)
			imm &= 0x3f;
		return (op->stub_w && i->opsize == 8 ? op->stub_w : op->stub) + 8 * imm;
	}
	if (i->op[1].kind == OPND_IMM)
		return op->stub_w + 8 * (u8)i->imm;
	if (op->flags & SIMD_TO_RCX)
		return i->op[0].size == 8 ? op->stub_w : op->stub;
	if (op->flags & SIMD_FROM_RCX)
		return i->op[1].size == 8 ? op->stub_w : op->stub;
	return op->stub;
}

/* ---------------------------------------------------------------- calls */

/*
 * RSP moves over the red zone of the function this is inlined in. Nothing but the asm stands between the first and the
 * last use of a register variable: an instrumented access (ThreadSanitizer) is a call, which would change the registers.
 */
static inline void call_stub(const u8 *stub, struct simd_regs *r)
{
	__m128i xmm0 = r->implicit, xmm1 = r->dst, xmm2 = r->src;
	u64 rax = r->rax, rcx = r->rcx, rdx = r->rdx;
	register __m128i implicit asm("xmm0") = xmm0;
	register __m128i dst asm("xmm1") = xmm1;
	register __m128i src asm("xmm2") = xmm2;

	asm volatile("lea -128(%%rsp), %%rsp\n\tcall *%[stub]\n\tlea 128(%%rsp), %%rsp"
		     : "+x"(implicit), "+x"(dst), "+c"(rcx)
		     : "x"(src), "a"(rax), "d"(rdx), [stub] "r"(stub)
		     : "cc");
	xmm0 = implicit;
	xmm1 = dst;
	r->implicit = xmm0;
	r->dst = xmm1;
	r->rcx = rcx;
}

static inline void call_stub_eflags(const u8 *stub, struct simd_regs *r)
{
	__m128i xmm0 = r->implicit, xmm1 = r->dst, xmm2 = r->src;
	u64 rax = r->rax, rcx = r->rcx, rdx = r->rdx, eflags;
	register __m128i implicit asm("xmm0") = xmm0;
	register __m128i dst asm("xmm1") = xmm1;
	register __m128i src asm("xmm2") = xmm2;

	asm volatile("lea -128(%%rsp), %%rsp\n\tcall *%[stub]\n\tpushfq\n\tpopq %[eflags]\n\tlea 128(%%rsp), %%rsp"
		     : "+x"(implicit), "+x"(dst), "+c"(rcx), [eflags] "=&r"(eflags)
		     : "x"(src), "a"(rax), "d"(rdx), [stub] "r"(stub)
		     : "cc");
	xmm0 = implicit;
	xmm1 = dst;
	r->implicit = xmm0;
	r->dst = xmm1;
	r->rcx = rcx;
	r->eflags = eflags;
}

void simd_call(const u8 *stub, struct simd_regs *r)
{
	call_stub(stub, r);
}
void simd_call_eflags(const u8 *stub, struct simd_regs *r)
{
	call_stub_eflags(stub, r);
}

/* Runs under the given MXCSR and returns the exception flags raised. */
static u32 call_with_mxcsr(const u8 *stub, struct simd_regs *r, u32 mxcsr, bool eflags)
{
	u32 host = _mm_getcsr(), raised;

	_mm_setcsr(mxcsr);
	if (eflags)
		call_stub_eflags(stub, r);
	else
		call_stub(stub, r);
	raised = _mm_getcsr() & MXCSR_FLAGS;
	_mm_setcsr(host);
	return raised;
}

/* ---------------------------------------------------------------- floating point */

enum { EXC_I = 1, EXC_D = 2, EXC_Z = 4, EXC_O = 8, EXC_U = 16, EXC_P = 32 };

/*
 * SDM 1 11.5.2: an unmasked exception leaves the destination alone. Those found before computation (invalid, denormal,
 * divide by zero) suppress the flags of the ones found after it.
 */
static int fp_exception(struct hw_cpu *c, u32 guest, u32 raised, u32 unmasked)
{
	if (raised & unmasked & (EXC_I | EXC_D | EXC_Z))
		raised &= EXC_I | EXC_D | EXC_Z;
	mxcsr_set(c, guest | raised);
	return cpu_raise(c, c->arch.cr4 & FPU_CR4_OSXMM ? X86_XM : X86_UD);
}

/*
 * All exceptions are masked while the stub runs. Unmasked underflow is signalled for every tiny result, masked
 * underflow only for an inexact one (SDM 1 4.9.1.5), and flush-to-zero counts only when masked: so the tiny ones are
 * found by a second run with flush-to-zero, which signals them all. What stays inexact in the word's sense: PE beside
 * an unmasked overflow or underflow is that of the masked response.
 */
int simd_run_fp(struct hw_cpu *c, const u8 *stub, struct simd_regs *r, unsigned int lanes, bool eflags)
{
	u32 guest = mxcsr_get(c), unmasked = ~(guest >> 7) & MXCSR_FLAGS, raised = 0;
	u32 control = (guest & ~MXCSR_FLAGS) | MXCSR_MASKS;

	if (unlikely(unmasked & EXC_U))
		control &= ~MXCSR_FTZ;
	for (unsigned int n = 0; n < lanes; n++) {
		if (unlikely(unmasked & EXC_U)) {
			struct simd_regs probe = r[n];

			raised |= call_with_mxcsr(stub, &probe, control | MXCSR_FTZ, eflags) & EXC_U;
		}
		raised |= call_with_mxcsr(stub, &r[n], control, eflags);
	}
	if (unlikely(raised & unmasked))
		return fp_exception(c, guest, raised, unmasked);
	mxcsr_set(c, guest | raised);
	return EXEC_OK;
}

/* ---------------------------------------------------------------- execution */

/* Checks and operands. Nothing is changed. */
static inline int fetch(struct hw_cpu *c, const struct insn *i, const struct simd_op *op, struct simd_regs *r)
{
	int err = simd_check(c);

	if (err)
		return err;
	r->rcx = 0;
	r->implicit = xmm_get(c, 0);
	r->dst = i->op[0].kind == OPND_XMM ? xmm_get(c, i->op[0].reg) : _mm_setzero_si128();
	r->src = _mm_setzero_si128();
	r->rax = c->arch.gpr[HW_RAX];
	r->rdx = c->arch.gpr[HW_RDX];
	if (i->op[1].kind == OPND_IMM)
		return EXEC_OK;
	if (!(op->flags & SIMD_FROM_RCX))
		return simd_read_operand(c, i, 1, !(op->flags & SIMD_UNALIGNED), &r->src);
	if (i->op[1].kind == OPND_MEM)
		return simd_load_int(c, i, i->op[1].size, &r->rcx);
	r->rcx = c->arch.gpr[i->op[1].reg];
	return EXEC_OK;
}

static inline void commit(struct hw_cpu *c, const struct insn *i, const struct simd_op *op, const struct simd_regs *r)
{
	if (op->flags & SIMD_EFLAGS)
		cpu_set_arith_flags(c, (u32)r->eflags & FLAGS_ARITH);
	if (op->flags & SIMD_TO_RCX)
		/* 32-bit results come zero-extended; PCMPxSTRI has no register operand but ECX */
		c->arch.gpr[op->flags & SIMD_IMM8 ? HW_RCX : i->op[0].reg] = r->rcx;
	else if (op->flags & SIMD_TO_XMM0)
		xmm_set(c, 0, r->implicit);
	else if (!(op->flags & SIMD_EFLAGS))
		xmm_set(c, i->op[0].reg, r->dst);
}

int simd_exec_int(struct hw_cpu *c, const struct insn *i)
{
	const struct simd_op *op = &simd_ops[i->mnemonic];
	struct simd_regs r;
	int err;

	if (i->op[0].kind == OPND_MMX)
		return simd_exec_mmx(c, i);
	err = fetch(c, i, op, &r);
	if (err)
		return err;
	call_stub(simd_stub(op, i), &r);
	commit(c, i, op, &r);
	return EXEC_OK;
}

int simd_exec_fp(struct hw_cpu *c, const struct insn *i)
{
	const struct simd_op *op = &simd_ops[i->mnemonic];
	struct simd_regs r;
	int err = fetch(c, i, op, &r);

	if (err)
		return err;
	err = simd_run_fp(c, simd_stub(op, i), &r, 1, op->flags & SIMD_EFLAGS);
	if (err)
		return err;
	commit(c, i, op, &r);
	return EXEC_OK;
}

int simd_exec_flags(struct hw_cpu *c, const struct insn *i)
{
	const struct simd_op *op = &simd_ops[i->mnemonic];
	struct simd_regs r;
	int err = fetch(c, i, op, &r);

	if (err)
		return err;
	call_stub_eflags(simd_stub(op, i), &r);
	commit(c, i, op, &r);
	return EXEC_OK;
}

int simd_exec_crypto(struct hw_cpu *c, const struct insn *i)
{
	const struct simd_op *op = &simd_ops[i->mnemonic];
	bool native = i->mnemonic == ZYDIS_MNEMONIC_PCLMULQDQ ? simd_host_has_pclmulqdq() : simd_host_has_aes();
	struct simd_regs r;
	int err = fetch(c, i, op, &r);

	if (err)
		return err;
	if (native)
		call_stub(simd_stub(op, i), &r);
	else
		r.dst = simd_soft_crypto(i->mnemonic, r.dst, r.src, (u8)i->imm);
	commit(c, i, op, &r);
	return EXEC_OK;
}

/* ---------------------------------------------------------------- MMX by the same stubs */

static u64 align_right(u64 high, u64 low, unsigned int bytes)
{
	if (bytes >= 16)
		return 0;
	if (bytes >= 8)
		return high >> (8 * (bytes - 8));
	return bytes ? low >> (8 * bytes) | high << (64 - 8 * bytes) : low;
}

static u64 run_mmx(const struct simd_op *op, const struct insn *i, u64 dst, u64 src)
{
	struct simd_regs r = {.dst = _mm_cvtsi64_si128((long long)dst), .src = _mm_cvtsi64_si128((long long)src)};

	if (op->mmx == SIMD_MMX_ALIGNR)
		return align_right(dst, src, (u8)i->imm);
	if (op->mmx == SIMD_MMX_HIGH) {
		r.dst = _mm_slli_si128(r.dst, 8);
		r.src = _mm_slli_si128(r.src, 8);
	} else if (op->mmx == SIMD_MMX_PAIR) {
		r.dst = r.src = _mm_unpacklo_epi64(r.dst, r.src);
	} else if (op->mmx == SIMD_MMX_SHUFB) {
		r.src = _mm_cvtsi64_si128((long long)(src & 0x8787878787878787));
	}
	call_stub(simd_stub(op, i), &r);
	if (op->mmx == SIMD_MMX_HIGH)
		r.dst = _mm_srli_si128(r.dst, 8);
	return (u64)_mm_cvtsi128_si64(r.dst);
}

int simd_exec_mmx(struct hw_cpu *c, const struct insn *i)
{
	const struct simd_op *op = &simd_ops[i->mnemonic];
	u64 src = 0, dst;
	int err = simd_check_mmx(c);

	if (err)
		return err;
	if (i->op[1].kind == OPND_MEM)
		err = simd_load_int(c, i, i->op[1].size, &src);
	else if (i->op[1].kind == OPND_MMX)
		src = mmx_get(c, i->op[1].reg);
	if (err)
		return err;
	dst = run_mmx(op, i, mmx_get(c, i->op[0].reg), src);
	fpu_enter_mmx(c);
	mmx_set(c, i->op[0].reg, dst);
	return EXEC_OK;
}
