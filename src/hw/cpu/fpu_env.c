// SPDX-License-Identifier: Apache-2.0
/*
 * FNSTENV, FLDENV, FNSAVE, FRSTOR: the x87 environment in its four memory forms (SDM 1 figures 8-9 to 8-12).
 */
#include "hw/cpu/fpu.h"

#define ENV16	  14u
#define ENV32	  28u
#define REGISTERS 80u
#define MAX_IMAGE (ENV32 + REGISTERS)

/* Protected mode stores selector and offset, real and VM86 mode the linear address. */
struct env {
	u16 fcw, fsw, ftw, fop, fcs, fds;
	u32 fip, fdp;
};

static unsigned int env_size(const struct insn *i)
{
	return i->opsize == 2 ? ENV16 : ENV32;
}

static void put16(u8 *p, unsigned int n, u16 v)
{
	memcpy(p + 2 * n, &v, 2);
}
static void put32(u8 *p, unsigned int n, u32 v)
{
	memcpy(p + 4 * n, &v, 4);
}

static u16 take16(const u8 *p, unsigned int n)
{
	u16 v;

	memcpy(&v, p + 2 * n, 2);
	return v;
}

static u32 take32(const u8 *p, unsigned int n)
{
	u32 v;

	memcpy(&v, p + 4 * n, 4);
	return v;
}

static void pack16(bool protected_mode, const struct env *e, u8 *p)
{
	u32 ip = (u32)e->fcs * 16 + e->fip, dp = (u32)e->fds * 16 + e->fdp;

	put16(p, 0, e->fcw);
	put16(p, 1, e->fsw);
	put16(p, 2, e->ftw);
	put16(p, 3, (u16)(protected_mode ? e->fip : ip));
	put16(p, 4, protected_mode ? e->fcs : (u16)((ip >> 16 & 15) << 12 | e->fop));
	put16(p, 5, (u16)(protected_mode ? e->fdp : dp));
	put16(p, 6, protected_mode ? e->fds : (u16)((dp >> 16 & 15) << 12));
}

/* The upper halves of 16-bit fields are stored as ones. */
static void pack32(bool protected_mode, const struct env *e, u8 *p)
{
	u32 ip = (u32)e->fcs * 16 + e->fip, dp = (u32)e->fds * 16 + e->fdp;

	put32(p, 0, 0xffff0000u | e->fcw);
	put32(p, 1, 0xffff0000u | e->fsw);
	put32(p, 2, 0xffff0000u | e->ftw);
	if (protected_mode) {
		put32(p, 3, e->fip);
		put32(p, 4, (u32)e->fop << 16 | e->fcs);
		put32(p, 5, e->fdp);
		put32(p, 6, 0xffff0000u | e->fds);
	} else {
		put32(p, 3, 0xffff0000u | (ip & 0xffff));
		put32(p, 4, (ip >> 16) << 12 | e->fop);
		put32(p, 5, 0xffff0000u | (dp & 0xffff));
		put32(p, 6, (dp >> 16) << 12);
	}
}

static void unpack16(bool protected_mode, const u8 *p, struct env *e)
{
	u16 ip_high = take16(p, 4), dp_high = take16(p, 6);

	*e = (struct env){.fcw = take16(p, 0),
			  .fsw = take16(p, 1),
			  .ftw = take16(p, 2),
			  .fip = take16(p, 3),
			  .fdp = take16(p, 5)};
	if (protected_mode) {
		e->fcs = ip_high;
		e->fds = dp_high;
	} else {
		e->fip |= (u32)(ip_high >> 12) << 16;
		e->fdp |= (u32)(dp_high >> 12) << 16;
		e->fop = ip_high & 0x7ff;
	}
}

static void unpack32(bool protected_mode, const u8 *p, struct env *e)
{
	u32 ip_high = take32(p, 4);

	*e = (struct env){.fcw = (u16)take32(p, 0), .fsw = (u16)take32(p, 1), .ftw = (u16)take32(p, 2)};
	if (protected_mode) {
		e->fip = take32(p, 3);
		e->fcs = (u16)ip_high;
		e->fop = ip_high >> 16 & 0x7ff;
		e->fdp = take32(p, 5);
		e->fds = (u16)take32(p, 6);
	} else {
		e->fip = (take32(p, 3) & 0xffff) | (ip_high >> 12 & 0xffff) << 16;
		e->fop = ip_high & 0x7ff;
		e->fdp = (take32(p, 5) & 0xffff) | (take32(p, 6) >> 12 & 0xffff) << 16;
	}
}

static void pack_env(const struct hw_cpu *c, const struct insn *i, u8 *p)
{
	const struct env e = {
		.fcw = fx_get16(c, FX_FCW),
		.fsw = fx_get16(c, FX_FSW),
		.ftw = fpu_full_tag(c),
		.fop = fx_get16(c, FX_FOP) & 0x7ff,
		.fcs = c->fpu_cs,
		.fds = c->fpu_ds,
		.fip = (u32)fx_get64(c, FX_FIP),
		.fdp = (u32)fx_get64(c, FX_FDP),
	};

	if (env_size(i) == ENV16)
		pack16(cpu_protected(c), &e, p);
	else
		pack32(cpu_protected(c), &e, p);
}

static void unpack_env(struct hw_cpu *c, const struct insn *i, const u8 *p)
{
	struct env e;

	if (env_size(i) == ENV16)
		unpack16(cpu_protected(c), p, &e);
	else
		unpack32(cpu_protected(c), p, &e);
	fpu_set_top(c, e.fsw >> FSW_TOP_SHIFT & 7);
	fx_set16(c, FX_FSW, e.fsw);
	fpu_set_fcw(c, e.fcw);
	c->arch.xsave.b[FX_FTW] = fpu_abridge_tag(e.ftw);
	fx_set16(c, FX_FOP, e.fop);
	fx_set64(c, FX_FIP, e.fip);
	fx_set64(c, FX_FDP, e.fdp);
	c->fpu_cs = e.fcs;
	c->fpu_ds = e.fds;
}

static int load(struct hw_cpu *c, const struct insn *i, u8 *image, unsigned int size)
{
	u64 lin;
	int err = fpu_check_waiting(c);

	if (!err)
		err = insn_mem(c, i, size, ACC_READ, &lin);
	return err ? err : fx_read(c, lin, image, size);
}

static int store(struct hw_cpu *c, const struct insn *i, const u8 *image, unsigned int size)
{
	u64 lin;
	int err = insn_mem(c, i, size, ACC_WRITE, &lin);

	return err ? err : fx_write(c, lin, image, size);
}

int fpu_fnstenv(struct hw_cpu *c, const struct insn *i)
{
	u8 image[MAX_IMAGE];
	int err = fpu_check(c);

	if (err)
		return err;
	pack_env(c, i, image);
	err = store(c, i, image, env_size(i));
	if (!err)
		fpu_set_fcw(c, fx_get16(c, FX_FCW) | FSW_FLAGS);
	return err;
}

int fpu_fldenv(struct hw_cpu *c, const struct insn *i)
{
	u8 image[MAX_IMAGE];
	int err = load(c, i, image, env_size(i));

	if (!err)
		unpack_env(c, i, image);
	return err;
}

int fpu_fnsave(struct hw_cpu *c, const struct insn *i)
{
	u8 image[MAX_IMAGE];
	unsigned int env = env_size(i);
	int err = fpu_check(c);

	if (err)
		return err;
	pack_env(c, i, image);
	for (unsigned int n = 0; n < 8; n++)
		memcpy(image + env + 10 * n, c->arch.xsave.b + FX_ST + 16 * n, 10);
	err = store(c, i, image, env + REGISTERS);
	if (!err)
		fpu_init(c);
	return err;
}

int fpu_frstor(struct hw_cpu *c, const struct insn *i)
{
	u8 image[MAX_IMAGE];
	unsigned int env = env_size(i);
	int err = load(c, i, image, env + REGISTERS);

	if (err)
		return err;
	unpack_env(c, i, image);
	for (unsigned int n = 0; n < 8; n++)
		memcpy(c->arch.xsave.b + FX_ST + 16 * n, image + env + 10 * n, 10);
	return EXEC_OK;
}
