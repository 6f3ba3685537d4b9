// SPDX-License-Identifier: Apache-2.0
/*
 * XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR, XRSTORS, XGETBV (SDM 1 ch. 13); xsave_insns, with FXSAVE and FXRSTOR.
 */
#include "hw/cpu/fxsave.h"
#include "hw/cpu/simd.h"

#define X87	      ((u64)1 << 0)
#define SSE	      ((u64)1 << 1)
#define AVX	      ((u64)1 << 2)
#define COMPACTED     ((u64)1 << 63)
#define HEADER_OFFSET 512u
#define HEADER_SIZE   64u
#define EXTENDED      (HEADER_OFFSET + HEADER_SIZE)

/* State components from 2 on, where the standard form has them; arch.xsave holds them at the same place. */
struct component {
	u16 offset, size;
	bool align64; /* in the compacted form */
};
static const struct component components[] = {
	[2] = {.offset = 576, .size = 256},
};
#define COMPONENT_COUNT (sizeof(components) / sizeof(components[0]))
_Static_assert(576 + 256 <= HW_XSAVE_SIZE, "AVX state lies inside arch.xsave");

struct header {
	u64 xstate_bv, xcomp_bv;
	u64 reserved[6];
};
_Static_assert(sizeof(struct header) == HEADER_SIZE, "SDM 1 13.4.2");

static u64 edx_eax(const struct hw_cpu *c)
{
	return (u64)(u32)c->arch.gpr[HW_RDX] << 32 | (u32)c->arch.gpr[HW_RAX];
}

static bool is_zero(const u8 *p, unsigned int size)
{
	while (size && !*p)
		p++, size--;
	return !size;
}

/* XINUSE by contents: a component that looks initial is reported so. */
static u64 in_use(const struct hw_cpu *c)
{
	const u8 *b = c->arch.xsave.b;
	u64 bv = 0;

	if (fx_get16(c, FX_FCW) != FCW_INIT || !is_zero(b + FX_FSW, FX_MXCSR - FX_FSW) || c->fpu_cs || c->fpu_ds ||
	    !is_zero(b + FX_ST, FX_XMM - FX_ST))
		bv |= X87;
	if (!is_zero(b + FX_XMM, 256))
		bv |= SSE;
	for (unsigned int n = 2; n < COMPONENT_COUNT; n++)
		if (!is_zero(b + components[n].offset, components[n].size))
			bv |= (u64)1 << n;
	return bv & (c->arch.xcr0 | c->arch.xss);
}

/* Offset of component n in a compacted area of the components in xcomp_bv, SDM 1 13.4.3. */
static unsigned int compacted_offset(u64 xcomp_bv, unsigned int n)
{
	unsigned int offset = EXTENDED;

	for (unsigned int k = 2; k <= n && k < COMPONENT_COUNT; k++) {
		if (!(xcomp_bv >> k & 1))
			continue;
		if (components[k].align64)
			offset = (offset + 63) & ~63u;
		if (k == n)
			break;
		offset += components[k].size;
	}
	return offset;
}

static unsigned int component_offset(bool compacted, u64 xcomp_bv, unsigned int n)
{
	return compacted ? compacted_offset(xcomp_bv, n) : components[n].offset;
}

/* Outside 64-bit mode the registers from 8 on are neither saved nor loaded (SDM 1 13.5.3); of AVX that is the second
 * half. */
static unsigned int live_size(const struct hw_cpu *c, unsigned int n)
{
	return n == 2 && !cpu_cs64(c) ? components[n].size / 2 : components[n].size;
}

static unsigned int area_size(bool compacted, u64 mask)
{
	unsigned int size = EXTENDED;

	for (unsigned int n = 2; n < COMPONENT_COUNT; n++)
		if (mask >> n & 1)
			size = component_offset(compacted, mask, n) + components[n].size;
	return size;
}

static int check(struct hw_cpu *c)
{
	if (!(c->arch.cr4 & FPU_CR4_OSXSAVE))
		return cpu_ud(c);
	return c->arch.cr0 & FPU_CR0_TS ? cpu_raise(c, X86_NM) : EXEC_OK;
}

static int area(struct hw_cpu *c, const struct insn *i, unsigned int size, unsigned int acc, u64 *lin)
{
	int err = check(c);

	if (!err)
		err = insn_mem(c, i, size, acc, lin);
	if (!err && (*lin & 63))
		err = cpu_gp(c, 0);
	return err;
}

/* ---------------------------------------------------------------- saving */

struct save {
	bool wide;	/* REX.W */
	bool compacted; /* XSAVEC, XSAVES */
	bool init_opt;	/* components in their initial configuration are not written */
	u64 rfbm;
};

static struct save save_kind(const struct hw_cpu *c, const struct insn *i)
{
	struct save s = {.rfbm = c->arch.xcr0 & edx_eax(c)};

	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_XSAVE64:
		s.wide = true;
		break;
	case ZYDIS_MNEMONIC_XSAVEOPT64:
		s.wide = true; /* fall through */
	case ZYDIS_MNEMONIC_XSAVEOPT:
		s.init_opt = true;
		break;
	case ZYDIS_MNEMONIC_XSAVEC64:
		s.wide = true; /* fall through */
	case ZYDIS_MNEMONIC_XSAVEC:
		s.init_opt = s.compacted = true;
		break;
	case ZYDIS_MNEMONIC_XSAVES64:
		s.wide = true; /* fall through */
	case ZYDIS_MNEMONIC_XSAVES:
		s.init_opt = s.compacted = true;
		s.rfbm = (c->arch.xcr0 | c->arch.xss) & edx_eax(c);
		break;
	default:
		break;
	}
	return s;
}

/* `written` is what goes to memory, of the legacy area. MXCSR belongs to SSE in the compacted form, to SSE and AVX in
 * the other. */
static int save_legacy(struct hw_cpu *c, const struct save *s, u64 written, u64 lin)
{
	u8 image[FX_DEFINED];
	bool mxcsr = s->compacted ? written & SSE : s->rfbm & (SSE | AVX);
	int err = EXEC_OK;

	fx_pack(c, image, s->wide);
	if (written & X87)
		err = fx_write(c, lin, image, FX_MXCSR);
	if (!err && mxcsr)
		err = fx_write(c, lin + FX_MXCSR, image + FX_MXCSR, 8);
	if (!err && (written & X87))
		err = fx_write(c, lin + FX_ST, image + FX_ST, FX_XMM - FX_ST);
	if (!err && (written & SSE))
		err = fx_write(c, lin + FX_XMM, image + FX_XMM, 16 * fx_xmm_count(c));
	return err;
}

static int xsave(struct hw_cpu *c, const struct insn *i)
{
	struct save s = save_kind(c, i);
	u64 lin, used = in_use(c), header[2] = {0}, written;
	unsigned int size = area_size(s.compacted, s.rfbm);
	int err = area(c, i, size, ACC_WRITE, &lin);

	if (!err && !s.compacted)
		err = cpu_read_acc(c, lin + HEADER_OFFSET, header, 8, ACC_RMW);
	if (!err)
		err = fx_probe_write(c, lin, size);
	if (err)
		return err;
	if (s.compacted && mxcsr_get(c) != MXCSR_INIT)
		used |= SSE;
	header[0] = (header[0] & ~s.rfbm) | (s.rfbm & used);
	header[1] = s.rfbm | COMPACTED;
	written = s.init_opt ? s.rfbm & used : s.rfbm;
	err = save_legacy(c, &s, written, lin);
	for (unsigned int n = 2; !err && n < COMPONENT_COUNT; n++)
		if (written >> n & 1)
			err = fx_write(c, lin + component_offset(s.compacted, s.rfbm, n),
				       c->arch.xsave.b + components[n].offset, live_size(c, n));
	/* last, so that an area whose saving an exit interrupts still has its old header */
	return err ? err : fx_write(c, lin + HEADER_OFFSET, header, s.compacted ? 16 : 8);
}

/* ---------------------------------------------------------------- restoring */

static bool header_ok(const struct hw_cpu *c, const struct insn *i, const struct header *h)
{
	bool supervisor = i->mnemonic == ZYDIS_MNEMONIC_XRSTORS || i->mnemonic == ZYDIS_MNEMONIC_XRSTORS64;
	u64 allowed = c->arch.xcr0 | (supervisor ? c->arch.xss : 0);

	if (!(h->xcomp_bv & COMPACTED))
		return !supervisor && !h->xcomp_bv && !h->reserved[0] && !(h->xstate_bv & ~allowed);
	return !(h->xcomp_bv & ~COMPACTED & ~allowed) && !(h->xstate_bv & ~h->xcomp_bv) &&
	       !(h->xstate_bv & COMPACTED) && is_zero((const u8 *)h->reserved, sizeof(h->reserved));
}

struct restore {
	bool wide, compacted;
	u64 rfbm, load; /* requested; those of them that come from memory, the others are initialised */
	struct header header;
	u8 image[FX_SIZE];
	u8 extended[HW_XSAVE_SIZE]; /* at the offsets of the standard form */
};

/* The standard form loads MXCSR whenever SSE or AVX is asked for, the compacted one only with SSE state (SDM
 * 1 13.8.1, 13.8.2). */
static bool loads_mxcsr(const struct restore *r)
{
	return r->compacted ? r->load & SSE : r->rfbm & (SSE | AVX);
}

static int read_area(struct hw_cpu *c, const struct insn *i, struct restore *r)
{
	u64 lin, mask;
	u32 mxcsr;
	int err = area(c, i, EXTENDED, ACC_READ, &lin);

	if (!err)
		err = fx_read(c, lin, r->image, FX_SIZE);
	if (!err)
		err = fx_read(c, lin + HEADER_OFFSET, &r->header, HEADER_SIZE);
	if (err)
		return err;
	if (!header_ok(c, i, &r->header))
		return cpu_gp(c, 0);
	r->compacted = r->header.xcomp_bv & COMPACTED;
	r->load = r->rfbm & r->header.xstate_bv;
	memcpy(&mxcsr, r->image + FX_MXCSR, 4);
	if (loads_mxcsr(r) && (mxcsr & ~MXCSR_VALID))
		return cpu_gp(c, 0);
	mask = r->compacted ? r->header.xcomp_bv : r->load;
	err = insn_mem(c, i, area_size(r->compacted, mask), ACC_READ, &lin);
	for (unsigned int n = 2; !err && n < COMPONENT_COUNT; n++)
		if (r->load >> n & 1)
			err = fx_read(c, lin + component_offset(r->compacted, mask, n),
				      r->extended + components[n].offset, live_size(c, n));
	return err;
}

static void restore_sse(struct hw_cpu *c, const struct restore *r)
{
	u32 mxcsr = MXCSR_INIT;

	if (loads_mxcsr(r))
		memcpy(&mxcsr, r->image + FX_MXCSR, 4);
	if (loads_mxcsr(r) || (r->rfbm & SSE))
		mxcsr_set(c, mxcsr);
	if (r->load & SSE)
		fx_unpack_xmm(c, r->image);
	else if (r->rfbm & SSE)
		fx_init_xmm(c);
}

static int xrstor(struct hw_cpu *c, const struct insn *i)
{
	struct restore r;
	u16 m = i->mnemonic;
	int err;

	r.wide = m == ZYDIS_MNEMONIC_XRSTOR64 || m == ZYDIS_MNEMONIC_XRSTORS64;
	r.rfbm = edx_eax(c) & c->arch.xcr0;
	if (m == ZYDIS_MNEMONIC_XRSTORS || m == ZYDIS_MNEMONIC_XRSTORS64)
		r.rfbm = edx_eax(c) & (c->arch.xcr0 | c->arch.xss);
	err = read_area(c, i, &r);
	if (err)
		return err;
	if (r.load & X87)
		fx_unpack_x87(c, r.image, r.wide);
	else if (r.rfbm & X87)
		fx_init_x87(c);
	restore_sse(c, &r);
	for (unsigned int n = 2; n < COMPONENT_COUNT; n++) {
		u8 *state = c->arch.xsave.b + components[n].offset;

		if (r.load >> n & 1)
			memcpy(state, r.extended + components[n].offset, live_size(c, n));
		else if (r.rfbm >> n & 1)
			memset(state, 0, live_size(c, n));
	}
	return EXEC_OK;
}

/* ECX 1 gives the components of XCR0 that are in use, SDM 1 13.2. */
static int xgetbv(struct hw_cpu *c, const struct insn *i)
{
	u32 index = (u32)c->arch.gpr[HW_RCX];
	u64 v = c->arch.xcr0;

	if (!(c->arch.cr4 & FPU_CR4_OSXSAVE))
		return cpu_ud(c);
	if (index > 1)
		return cpu_gp(c, 0);
	if (index == 1)
		v &= in_use(c) | (mxcsr_get(c) != MXCSR_INIT ? SSE : 0);
	c->arch.gpr[HW_RAX] = (u32)v;
	c->arch.gpr[HW_RDX] = v >> 32;
	return EXEC_OK;
}

#define ROW(id, need, function)                                                                                        \
	{                                                                                                              \
		.mnemonic = ZYDIS_MNEMONIC_##id, .feature = FEAT_##need, .fn = function                                \
	}
#define SUPERVISOR(id, need, function)                                                                                 \
	{                                                                                                              \
		.mnemonic = ZYDIS_MNEMONIC_##id, .feature = FEAT_##need, .flags = INSN_CPL0, .fn = function            \
	}

static const struct insn_desc desc[] = {
	ROW(FXSAVE, FXSR, fxsave),
	ROW(FXSAVE64, FXSR, fxsave),
	ROW(FXRSTOR, FXSR, fxrstor),
	ROW(FXRSTOR64, FXSR, fxrstor),
	ROW(XSAVE, XSAVE, xsave),
	ROW(XSAVE64, XSAVE, xsave),
	ROW(XSAVEOPT, XSAVEOPT, xsave),
	ROW(XSAVEOPT64, XSAVEOPT, xsave),
	ROW(XSAVEC, XSAVEC, xsave),
	ROW(XSAVEC64, XSAVEC, xsave),
	SUPERVISOR(XSAVES, XSAVES, xsave),
	SUPERVISOR(XSAVES64, XSAVES, xsave),
	ROW(XRSTOR, XSAVE, xrstor),
	ROW(XRSTOR64, XSAVE, xrstor),
	SUPERVISOR(XRSTORS, XSAVES, xrstor),
	SUPERVISOR(XRSTORS64, XSAVES, xrstor),
	ROW(XGETBV, XSAVE, xgetbv),
};

const struct insn_table xsave_insns = {desc, sizeof(desc) / sizeof(desc[0])};
