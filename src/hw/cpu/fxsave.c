// SPDX-License-Identifier: Apache-2.0
/*
 * FXSAVE, FXRSTOR and the legacy area (SDM 1 10.5).
 */
#include "hw/cpu/fxsave.h"
#include "hw/cpu/simd.h"

static void put32(u8 *p, u32 v)
{
	memcpy(p, &v, 4);
}

static void pack_pointer(u8 *p, u64 offset, u16 selector, bool wide)
{
	if (wide) {
		memcpy(p, &offset, 8);
		return;
	}
	put32(p, (u32)offset);
	put32(p + 4, selector);
}

static u64 unpack_pointer(const u8 *p, u16 *selector, bool wide)
{
	u64 v;

	memcpy(&v, p, 8);
	*selector = wide ? 0 : (u16)(v >> 32);
	return wide ? v : (u32)v;
}

void fx_pack(const struct hw_cpu *c, u8 *image, bool wide)
{
	memcpy(image, c->arch.xsave.b, FX_DEFINED);
	image[FX_FTW + 1] = 0;
	pack_pointer(image + FX_FIP, fx_get64(c, FX_FIP), c->fpu_cs, wide);
	pack_pointer(image + FX_FDP, fx_get64(c, FX_FDP), c->fpu_ds, wide);
	put32(image + FX_MASK, MXCSR_VALID);
	for (unsigned int n = 0; n < 8; n++)
		memset(image + FX_ST + 16 * n + 10, 0, 6);
}

void fx_unpack_x87(struct hw_cpu *c, const u8 *image, bool wide)
{
	u16 fcw, fsw, fop;

	memcpy(&fcw, image + FX_FCW, 2);
	memcpy(&fsw, image + FX_FSW, 2);
	memcpy(&fop, image + FX_FOP, 2);
	fx_set16(c, FX_FSW, fsw);
	fpu_set_fcw(c, fcw);
	c->arch.xsave.b[FX_FTW] = image[FX_FTW];
	fx_set16(c, FX_FOP, fop & 0x7ff);
	fx_set64(c, FX_FIP, unpack_pointer(image + FX_FIP, &c->fpu_cs, wide));
	fx_set64(c, FX_FDP, unpack_pointer(image + FX_FDP, &c->fpu_ds, wide));
	for (unsigned int n = 0; n < 8; n++)
		memcpy(c->arch.xsave.b + FX_ST + 16 * n, image + FX_ST + 16 * n, 10);
}

unsigned int fx_xmm_count(const struct hw_cpu *c)
{
	return cpu_cs64(c) ? 16 : 8;
}

void fx_unpack_xmm(struct hw_cpu *c, const u8 *image)
{
	memcpy(c->arch.xsave.b + FX_XMM, image + FX_XMM, 16 * fx_xmm_count(c));
}

void fx_init_x87(struct hw_cpu *c)
{
	fpu_init(c);
	memset(c->arch.xsave.b + FX_ST, 0, FX_XMM - FX_ST);
}

void fx_init_xmm(struct hw_cpu *c)
{
	memset(c->arch.xsave.b + FX_XMM, 0, 16 * fx_xmm_count(c));
}

/* With CR4.OSFXSR clear the SSE part does not take part. */
static bool with_sse(const struct hw_cpu *c)
{
	return c->arch.cr4 & FPU_CR4_OSFXSR;
}

static int area(struct hw_cpu *c, const struct insn *i, unsigned int acc, u64 *lin)
{
	int err = fpu_check(c);

	if (!err)
		err = insn_mem(c, i, FX_SIZE, acc, lin);
	if (!err && (*lin & 15))
		err = cpu_gp(c, 0);
	return err;
}

int fxsave(struct hw_cpu *c, const struct insn *i)
{
	u8 image[FX_DEFINED];
	u64 lin;
	int err = area(c, i, ACC_WRITE, &lin);

	if (err)
		return err;
	fx_pack(c, image, i->mnemonic == ZYDIS_MNEMONIC_FXSAVE64);
	return fx_write(c, lin, image, with_sse(c) ? FX_XMM + 16 * fx_xmm_count(c) : FX_XMM);
}

int fxrstor(struct hw_cpu *c, const struct insn *i)
{
	u8 image[FX_SIZE];
	u32 mxcsr;
	u64 lin;
	int err = area(c, i, ACC_READ, &lin);

	if (!err)
		err = fx_read(c, lin, image, FX_SIZE);
	if (err)
		return err;
	memcpy(&mxcsr, image + FX_MXCSR, 4);
	if (with_sse(c)) {
		if (mxcsr & ~MXCSR_VALID)
			return cpu_gp(c, 0);
		mxcsr_set(c, mxcsr);
		fx_unpack_xmm(c, image);
	}
	fx_unpack_x87(c, image, i->mnemonic == ZYDIS_MNEMONIC_FXRSTOR64);
	return EXEC_OK;
}
