// SPDX-License-Identifier: Apache-2.0
/*
 * VEX instructions that are an SSE instruction in each lane: operands, the calls, the commit. And VCMPxx, whose 32
 * predicates SSE has only 8 of.
 */
#include "hw/cpu/simd_vex.h"

enum vex_class { VEX_INT = 1, VEX_FP, VEX_FLAGS, VEX_CRYPTO, VEX_FAST };

#define VEX_128	   (1u << 0)
#define VEX_COUNT  (1u << 1)
#define VEX_WIDEN  (1u << 2)
#define VEX_NARROW (1u << 3)

struct vex_op {
	u16 sse;
	u8 class;
	u8 flags;
	u8 step;
};

static const struct vex_op vex_ops[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#define SIMD_VEX(id, twin, cls, what, n)                                                                               \
	[ZYDIS_MNEMONIC_##id] = {.sse = ZYDIS_MNEMONIC_##twin, .class = VEX_##cls, .flags = what, .step = n},
#include "hw/cpu/simd_vex.def"
#undef SIMD_VEX
};

/* ---------------------------------------------------------------- operands */

unsigned int vex_operands(const struct insn *i)
{
	return i->nops && i->op[i->nops - 1].kind == OPND_IMM ? i->nops - 1u : i->nops;
}

int vex_load256(struct hw_cpu *c, const struct insn *i, bool aligned, struct ymm *v)
{
	u64 lin;
	u8 *host;
	int err = simd_operand(c, i, 32, ACC_READ, aligned, &lin);

	if (err)
		return err;
	host = simd_tlb_hit(c->tlb_read[c->tlb_mode], lin, 32);
	if (host) {
		__m128i low, high;

		UACCESS_LOAD_16(host, low, gone);
		UACCESS_LOAD_16(host + 16, high, gone);
		*v = (struct ymm){{low, high}};
		return EXEC_OK;
	}
gone:
	return cpu_read(c, lin, v, 32);
}

int vex_store256(struct hw_cpu *c, const struct insn *i, bool aligned, struct ymm v)
{
	u64 lin;
	u8 *host;
	int err = simd_operand(c, i, 32, ACC_WRITE, aligned, &lin);

	if (err)
		return err;
	host = simd_tlb_hit(c->tlb_write[c->tlb_mode], lin, 32);
	if (host) {
		UACCESS_STORE_16(host, v.lane[0], gone);
		UACCESS_STORE_16(host + 16, v.lane[1], gone);
		return EXEC_OK;
	}
gone:
	return cpu_write(c, lin, &v, 32);
}

int vex_read(struct hw_cpu *c, const struct insn *i, unsigned int n, struct ymm *v)
{
	v->lane[1] = _mm_setzero_si128();
	switch (i->op[n].kind) {
	case OPND_YMM:
		*v = ymm_get(c, i->op[n].reg);
		return EXEC_OK;
	case OPND_MEM:
		if (i->op[n].size == 32)
			return vex_load256(c, i, false, v);
		/* fall through */
	default:
		return simd_read_operand(c, i, n, false, &v->lane[0]);
	}
}

/* Source operands in the order of the SSE form: dst is what it would overwrite. */
struct sources {
	struct ymm dst, src, mask;
	u64 integer;
};

static int read_integer(struct hw_cpu *c, const struct insn *i, unsigned int n, u64 *v)
{
	if (i->op[n].kind == OPND_MEM)
		return simd_load_int(c, i, i->op[n].size, v);
	*v = c->arch.gpr[i->op[n].reg];
	return EXEC_OK;
}

static int read_sources(struct hw_cpu *c, const struct insn *i, const struct simd_op *sse, struct sources *s)
{
	unsigned int count = vex_operands(i);
	bool compare = (sse->flags & (SIMD_EFLAGS | SIMD_TO_XMM0)) != 0;
	bool shift = count == 2 && i->nops == 3 && !(sse->flags & SIMD_IMM8);
	int err = EXEC_OK;

	memset(s, 0, sizeof(*s));
	if (compare) {
		err = vex_read(c, i, 0, &s->dst);
		return err ? err : vex_read(c, i, 1, &s->src);
	}
	if (shift)
		return vex_read(c, i, 1, &s->dst);
	if (count == 2)
		return vex_read(c, i, 1, &s->src);
	err = vex_read(c, i, 1, &s->dst);
	if (!err && count == 4)
		err = vex_read(c, i, 3, &s->mask);
	if (err)
		return err;
	return sse->flags & SIMD_FROM_RCX ? read_integer(c, i, 2, &s->integer) : vex_read(c, i, 2, &s->src);
}

/* ---------------------------------------------------------------- execution */

static const u8 *vex_stub(const struct insn *i, const struct vex_op *op, const struct simd_op *sse, unsigned int lane)
{
	u8 imm = (u8)i->imm;

	if (lane && !(op->flags & VEX_WIDEN))
		imm >>= op->step;
	if (op->sse == ZYDIS_MNEMONIC_INSERTPS && i->op[2].kind == OPND_MEM)
		imm &= 0x3f;
	if (sse->flags & SIMD_IMM8)
		return (sse->stub_w && i->opsize == 8 ? sse->stub_w : sse->stub) + 8 * imm;
	if (i->op[i->nops - 1].kind == OPND_IMM)
		return sse->stub_w + 8 * imm;
	if (sse->flags & SIMD_TO_RCX)
		return i->op[0].size == 8 ? sse->stub_w : sse->stub;
	if (sse->flags & SIMD_FROM_RCX)
		return i->op[2].size == 8 ? sse->stub_w : sse->stub;
	return sse->stub;
}

static void set_lane(struct hw_cpu *c, const struct vex_op *op, const struct sources *s, unsigned int lane,
		     struct simd_regs *r)
{
	r->dst = s->dst.lane[lane];
	r->src = s->src.lane[lane];
	r->implicit = s->mask.lane[lane];
	r->rcx = s->integer;
	r->rax = c->arch.gpr[HW_RAX];
	r->rdx = c->arch.gpr[HW_RDX];
	if (op->flags & VEX_COUNT)
		r->src = s->src.lane[0];
	if (lane && (op->flags & VEX_WIDEN)) {
		union ymm_elements e = {.v = s->src};

		r->src = _mm_loadu_si128((__m128i *)(e.b + op->step));
	}
}

static int run_lanes(struct hw_cpu *c, const struct insn *i, const struct vex_op *op, const struct simd_op *sse,
		     struct simd_regs *r, unsigned int lanes)
{
	if (op->class == VEX_FP)
		return simd_run_fp(c, vex_stub(i, op, sse, 0), r, lanes, sse->flags & SIMD_EFLAGS);
	for (unsigned int n = 0; n < lanes; n++) {
		const u8 *stub = vex_stub(i, op, sse, n);

		if (op->class == VEX_FLAGS)
			simd_call_eflags(stub, &r[n]);
		else if (op->class == VEX_CRYPTO &&
			 !(op->sse == ZYDIS_MNEMONIC_PCLMULQDQ ? simd_host_has_pclmulqdq() : simd_host_has_aes()))
			r[n].dst = simd_soft_crypto(op->sse, r[n].dst, r[n].src, (u8)i->imm);
		else
			simd_call(stub, &r[n]);
	}
	return EXEC_OK;
}

/* VPTEST alone has two lanes of EFLAGS: its ZF and CF say that something holds for all bits. */
static void commit(struct hw_cpu *c, const struct insn *i, const struct vex_op *op, const struct simd_op *sse,
		   const struct simd_regs *r, unsigned int lanes)
{
	struct ymm v = {{r[0].dst, lanes == 2 ? r[1].dst : _mm_setzero_si128()}};

	if (sse->flags & SIMD_EFLAGS)
		cpu_set_arith_flags(c, (u32)(r[0].eflags & (lanes == 2 ? r[1].eflags : r[0].eflags)) & FLAGS_ARITH);
	if (op->flags & VEX_NARROW)
		v = (struct ymm){
			{lanes == 2 ? _mm_unpacklo_epi64(v.lane[0], v.lane[1]) : v.lane[0], _mm_setzero_si128()}};
	if (sse->flags & SIMD_TO_RCX)
		c->arch.gpr[sse->flags & SIMD_IMM8 ? HW_RCX : i->op[0].reg] = r[0].rcx;
	else if (sse->flags & SIMD_TO_XMM0)
		ymm_set_low(c, 0, r[0].implicit);
	else if (!(sse->flags & SIMD_EFLAGS))
		ymm_set(c, i->op[0].reg, v);
}

static bool is_256(const struct operand *o)
{
	return o->kind == OPND_YMM || (o->kind == OPND_MEM && o->size == 32);
}

int vex_exec(struct hw_cpu *c, const struct insn *i)
{
	const struct vex_op *op = &vex_ops[i->mnemonic];
	const struct simd_op *sse = &simd_ops[op->sse];
	unsigned int lanes = is_256(&i->op[0]) || is_256(&i->op[1]) ? 2 : 1;
	struct simd_regs r[2];
	struct sources s;
	int err = vex_check(c, i);

	if (!err && lanes == 2 && (op->flags & VEX_128))
		err = cpu_ud(c);
	if (!err)
		err = read_sources(c, i, sse, &s);
	if (err)
		return err;
	for (unsigned int n = 0; n < lanes; n++)
		set_lane(c, op, &s, n, &r[n]);
	err = run_lanes(c, i, op, sse, r, lanes);
	if (!err)
		commit(c, i, op, sse, r, lanes);
	return err;
}

/* ---------------------------------------------------------------- VCMPPS, VCMPPD, VCMPSS, VCMPSD */

enum { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8, QUIET = 16 };

/* SDM 2A table 3-1 (CMPPD): for which relations a predicate holds, and whether a quiet NaN passes without #IA. */
static const u8 predicates[16] = {
	EQUAL | QUIET,
	LESS,
	LESS | EQUAL,
	UNORDERED | QUIET,
	LESS | GREATER | UNORDERED | QUIET,
	EQUAL | GREATER | UNORDERED,
	GREATER | UNORDERED,
	LESS | EQUAL | GREATER | QUIET,
	EQUAL | UNORDERED | QUIET,
	LESS | UNORDERED,
	LESS | EQUAL | UNORDERED,
	QUIET,
	LESS | GREATER | QUIET,
	EQUAL | GREATER,
	GREATER,
	LESS | EQUAL | GREATER | UNORDERED | QUIET,
};

/* The stub of the SSE instruction for one of its own predicates: 0 equal, 1 less, 3 unordered. */
static __m128i relation(const u8 *stub, unsigned int predicate, __m128i a, __m128i b)
{
	struct simd_regs r = {.dst = a, .src = b};

	simd_call(stub + 8 * predicate, &r);
	return r.dst;
}

/* Under the guest's MXCSR, which makes denormals zero or not; exceptions are masked, the flags somebody else's. */
static __m128i compare(const u8 *stub, u8 wanted, __m128i a, __m128i b)
{
	__m128i result = _mm_setzero_si128();

	if (wanted & LESS)
		result = _mm_or_si128(result, relation(stub, 1, a, b));
	if (wanted & EQUAL)
		result = _mm_or_si128(result, relation(stub, 0, a, b));
	if (wanted & GREATER)
		result = _mm_or_si128(result, relation(stub, 1, b, a));
	if (wanted & UNORDERED)
		result = _mm_or_si128(result, relation(stub, 3, a, b));
	return result;
}

static u16 sse_compare(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_VCMPPS:
		return ZYDIS_MNEMONIC_CMPPS;
	case ZYDIS_MNEMONIC_VCMPPD:
		return ZYDIS_MNEMONIC_CMPPD;
	case ZYDIS_MNEMONIC_VCMPSS:
		return ZYDIS_MNEMONIC_CMPSS;
	default:
		return ZYDIS_MNEMONIC_VCMPSD; /* the name of CMPSD in simd_ops */
	}
}

/* Scalars keep the first source's upper elements, which all the partial results have from `a` but one: mask them back.
 */
static __m128i keep_upper(u16 mnemonic, __m128i a, __m128i result)
{
	if (mnemonic == ZYDIS_MNEMONIC_VCMPSS)
		return _mm_castps_si128(_mm_move_ss(_mm_castsi128_ps(a), _mm_castsi128_ps(result)));
	if (mnemonic == ZYDIS_MNEMONIC_VCMPSD)
		return _mm_castpd_si128(_mm_move_sd(_mm_castsi128_pd(a), _mm_castsi128_pd(result)));
	return result;
}

int vex_cmp(struct hw_cpu *c, const struct insn *i)
{
	const u8 *stub = simd_ops[sse_compare(i->mnemonic)].stub;
	/* bit 4 turns quiet into signalling and back */
	u8 wanted = predicates[i->imm & 15] ^ (i->imm & 16 ? QUIET : 0);
	unsigned int lanes = is_256(&i->op[0]) ? 2 : 1;
	struct ymm a, b, v = {{_mm_setzero_si128(), _mm_setzero_si128()}};
	struct simd_regs r[2];
	u32 host;
	int err;

	if (!i->vex)
		return simd_exec_fp(c, i);
	err = vex_check(c, i);
	if (!err)
		err = vex_read(c, i, 1, &a);
	if (!err)
		err = vex_read(c, i, 2, &b);
	if (err)
		return err;
	for (unsigned int n = 0; n < lanes; n++)
		r[n] = (struct simd_regs){.dst = a.lane[n], .src = b.lane[n]};
	err = simd_run_fp(c, stub + (wanted & QUIET ? 0 : 8), r, lanes, false);
	if (err)
		return err;
	host = _mm_getcsr();
	_mm_setcsr((mxcsr_get(c) & ~MXCSR_FLAGS) | MXCSR_MASKS);
	for (unsigned int n = 0; n < lanes; n++)
		v.lane[n] = keep_upper(i->mnemonic, a.lane[n], compare(stub, wanted, a.lane[n], b.lane[n]));
	_mm_setcsr(host);
	ymm_set(c, i->op[0].reg, v);
	return EXEC_OK;
}
