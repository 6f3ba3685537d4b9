// SPDX-License-Identifier: Apache-2.0
/* sys_segops: instructions on segment registers and descriptors, and on the system table registers. */
#include <string.h>

#include "hw/cpu/sys.h"

/* ---------------------------------------------------------------- far pointers */

static unsigned int far_pointer_sreg(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_LES:
		return HW_ES;
	case ZYDIS_MNEMONIC_LDS:
		return HW_DS;
	case ZYDIS_MNEMONIC_LSS:
		return HW_SS;
	case ZYDIS_MNEMONIC_LFS:
		return HW_FS;
	default:
		return HW_GS;
	}
}

int sys_load_far_pointer(struct hw_cpu *c, const struct insn *i)
{
	u32 old_mode = c->mode;
	u64 lin, offset = 0;
	u8 raw[10];
	u16 sel;

	SYS_TRY(insn_mem(c, i, i->opsize + 2, ACC_READ, &lin));
	SYS_TRY(cpu_read(c, lin, raw, i->opsize + 2));
	memcpy(&offset, raw, i->opsize);
	memcpy(&sel, raw + i->opsize, 2);
	SYS_TRY(cpu_load_sreg(c, far_pointer_sreg(i->mnemonic), sel));
	gpr_set(c, i->op[0].reg, i->opsize, offset);
	return c->mode == old_mode ? EXEC_OK : EXEC_END;
}

/* ---------------------------------------------------------------- questions about descriptors */

static void set_zf(struct hw_cpu *c, bool zf)
{
	u32 e = flags_to_eflags(c->flags) & ~FLAG_ZF;

	cpu_set_arith_flags(c, e | (zf ? FLAG_ZF : 0));
}

static bool privileged_enough(const struct hw_cpu *c, u16 sel, u64 desc)
{
	return c->cpl <= desc_dpl(desc) && (sel & 3u) <= desc_dpl(desc);
}

/* SDM 2A LAR and LSL: system types that they accept, by type number. */
#define LAR_TYPES_LEGACY                                                                                               \
	(1u << SYS_TSS16 | 1u << SYS_LDT | 1u << SYS_TSS16_BUSY | 1u << SYS_CALL16 | 1u << SYS_TASK_GATE |             \
	 1u << SYS_TSS32 | 1u << SYS_TSS32_BUSY | 1u << SYS_CALL32)
#define LAR_TYPES_LONG (1u << SYS_LDT | 1u << SYS_TSS32 | 1u << SYS_TSS32_BUSY | 1u << SYS_CALL32)
#define LSL_TYPES_LEGACY                                                                                               \
	(1u << SYS_TSS16 | 1u << SYS_LDT | 1u << SYS_TSS16_BUSY | 1u << SYS_TSS32 | 1u << SYS_TSS32_BUSY)
#define LSL_TYPES_LONG (1u << SYS_LDT | 1u << SYS_TSS32 | 1u << SYS_TSS32_BUSY)

/* The descriptor of operand 1 if it is visible. EXEC_OK with *visible, or a memory fault. */
static int visible_descriptor(struct hw_cpu *c, const struct insn *i, u32 system_types, u64 *desc, bool *visible)
{
	struct descriptor d;
	u64 sel;
	int r;

	SYS_TRY(insn_read(c, i, 1, &sel));
	*visible = desc_peek(c, sel, &d, &r);
	if (r || !*visible)
		return r;
	*desc = d.low;
	if (!desc_is_segment(d.low) && !(system_types >> desc_type(d.low) & 1))
		*visible = false;
	if (!(desc_is_code(d.low) && desc_conforming(d.low)) && !privileged_enough(c, sel, d.low))
		*visible = false;
	return EXEC_OK;
}

int sys_lar(struct hw_cpu *c, const struct insn *i)
{
	bool visible;
	u64 desc;

	SYS_TRY(visible_descriptor(c, i, cpu_long_mode(c) ? LAR_TYPES_LONG : LAR_TYPES_LEGACY, &desc, &visible));
	if (visible)
		gpr_set(c, i->op[0].reg, i->opsize, desc >> 32 & 0xffff00);
	set_zf(c, visible);
	return EXEC_OK;
}

int sys_lsl(struct hw_cpu *c, const struct insn *i)
{
	bool visible;
	u64 desc;

	SYS_TRY(visible_descriptor(c, i, cpu_long_mode(c) ? LSL_TYPES_LONG : LSL_TYPES_LEGACY, &desc, &visible));
	if (visible)
		gpr_set(c, i->op[0].reg, i->opsize, desc_segment(0, desc).limit);
	set_zf(c, visible);
	return EXEC_OK;
}

static int verify(struct hw_cpu *c, const struct insn *i, bool write)
{
	struct descriptor d;
	unsigned int type;
	u64 sel;
	bool ok;
	int r;

	SYS_TRY(insn_read(c, i, 0, &sel));
	ok = desc_peek(c, sel, &d, &r);
	if (r)
		return r;
	if (ok) {
		type = desc_type(d.low);
		ok = desc_is_segment(d.low);
		if (write)
			ok = ok && (type & (SEG_CODE | SEG_RW)) == SEG_RW;
		else
			ok = ok && (type & (SEG_CODE | SEG_RW)) != SEG_CODE;
		ok = ok && ((type & (SEG_CODE | SEG_DC)) == (SEG_CODE | SEG_DC) || privileged_enough(c, sel, d.low));
	}
	set_zf(c, ok);
	return EXEC_OK;
}

int sys_verr(struct hw_cpu *c, const struct insn *i)
{
	return verify(c, i, false);
}

int sys_verw(struct hw_cpu *c, const struct insn *i)
{
	return verify(c, i, true);
}

int sys_arpl(struct hw_cpu *c, const struct insn *i)
{
	u64 dst, src;

	SYS_TRY(insn_read(c, i, 1, &src));
	SYS_TRY(insn_read_rmw(c, i, 0, &dst));
	if ((dst & 3) < (src & 3)) {
		SYS_TRY(insn_write(c, i, 0, (dst & ~3ull) | (src & 3)));
		set_zf(c, true);
	} else {
		set_zf(c, false);
	}
	return EXEC_OK;
}

/* ---------------------------------------------------------------- GDTR, IDTR, LDTR, TR */

/* SDM 3A 2.5, CR4.UMIP */
static int umip(struct hw_cpu *c)
{
	return c->arch.cr4 & CR4_UMIP && c->cpl > 0 ? cpu_gp(c, 0) : EXEC_OK;
}

static int store_table(struct hw_cpu *c, const struct insn *i, const struct hw_table *t)
{
	unsigned int size = cpu_cs64(c) ? 10 : 6;
	u8 raw[10];
	u64 lin;

	SYS_TRY(umip(c));
	memcpy(raw, &t->limit, 2);
	memcpy(raw + 2, &t->base, 8);
	SYS_TRY(insn_mem(c, i, size, ACC_WRITE, &lin));
	return cpu_write(c, lin, raw, size);
}

static int load_table(struct hw_cpu *c, const struct insn *i, struct hw_table *t)
{
	unsigned int size = cpu_cs64(c) ? 10 : 6;
	struct hw_table table = {0};
	u8 raw[10];
	u64 lin;

	SYS_TRY(insn_mem(c, i, size, ACC_READ, &lin));
	SYS_TRY(cpu_read(c, lin, raw, size));
	memcpy(&table.limit, raw, 2);
	memcpy(&table.base, raw + 2, size - 2);
	if (!cpu_cs64(c) && i->opsize == 2)
		table.base &= 0xffffff;
	if (!cpu_canonical(c, table.base))
		return cpu_gp(c, 0);
	*t = table;
	return EXEC_OK;
}

int sys_sgdt(struct hw_cpu *c, const struct insn *i)
{
	return store_table(c, i, &c->arch.gdtr);
}

int sys_sidt(struct hw_cpu *c, const struct insn *i)
{
	return store_table(c, i, &c->arch.idtr);
}

int sys_lgdt(struct hw_cpu *c, const struct insn *i)
{
	return load_table(c, i, &c->arch.gdtr);
}

int sys_lidt(struct hw_cpu *c, const struct insn *i)
{
	return load_table(c, i, &c->arch.idtr);
}

int sys_sldt(struct hw_cpu *c, const struct insn *i)
{
	SYS_TRY(umip(c));
	return insn_write(c, i, 0, c->arch.seg[HW_LDTR].selector);
}

int sys_str(struct hw_cpu *c, const struct insn *i)
{
	SYS_TRY(umip(c));
	return insn_write(c, i, 0, c->arch.seg[HW_TR].selector);
}

/* A system segment of one of `types` from the GDT, with its 64-bit base in IA-32e mode. */
static int system_segment(struct hw_cpu *c, u16 sel, u32 types, struct descriptor *d, struct hw_segment *seg)
{
	u32 error = sel & ~3;

	if (sel & 4)
		return cpu_gp(c, error);
	d->high = 0;
	if (cpu_long_mode(c))
		SYS_TRY(desc_read_wide(c, sel, X86_GP, d));
	else
		SYS_TRY(desc_read(c, sel, X86_GP, &d->low));
	if (desc_is_segment(d->low) || !(types >> desc_type(d->low) & 1))
		return cpu_gp(c, error);
	/* SDM 3A 3.5.2: the type field of the upper half is zero */
	if (d->high >> 40 & 0x1f)
		return cpu_gp(c, error);
	if (!desc_present(d->low))
		return cpu_raise_error(c, X86_NP, error);
	*seg = desc_segment(sel, d->low);
	if (cpu_long_mode(c)) {
		seg->base |= d->high << 32;
		if (!cpu_canonical(c, seg->base))
			return cpu_gp(c, error);
	}
	return EXEC_OK;
}

int sys_lldt(struct hw_cpu *c, const struct insn *i)
{
	struct hw_segment seg;
	struct descriptor d;
	u64 sel;

	SYS_TRY(insn_read(c, i, 0, &sel));
	if (sel_null(sel)) {
		c->arch.seg[HW_LDTR] = (struct hw_segment){.selector = sel, .attr = SEG_UNUSABLE};
		return EXEC_OK;
	}
	SYS_TRY(system_segment(c, sel, 1u << SYS_LDT, &d, &seg));
	c->arch.seg[HW_LDTR] = seg;
	return EXEC_OK;
}

int sys_ltr(struct hw_cpu *c, const struct insn *i)
{
	u32 types = cpu_long_mode(c) ? 1u << SYS_TSS32 : 1u << SYS_TSS32 | 1u << SYS_TSS16;
	struct hw_segment seg;
	struct descriptor d;
	u64 sel;

	SYS_TRY(insn_read(c, i, 0, &sel));
	if (sel_null(sel))
		return cpu_gp(c, 0);
	SYS_TRY(system_segment(c, sel, types, &d, &seg));
	seg.attr |= SEG_RW; /* busy */
	SYS_TRY(desc_write_type(c, sel, d.low | 2ull << 40));
	c->arch.seg[HW_TR] = seg;
	return EXEC_OK;
}

/* ---------------------------------------------------------------- FS and GS bases */

int sys_swapgs(struct hw_cpu *c, const struct insn *i)
{
	u64 base = c->arch.seg[HW_GS].base;

	if (!cpu_cs64(c))
		return cpu_ud(c);
	if (c->cpl)
		return cpu_gp(c, 0);
	c->arch.seg[HW_GS].base = c->arch.kernel_gs_base;
	c->arch.kernel_gs_base = base;
	return EXEC_OK;
}

static bool fsgsbase_enabled(const struct hw_cpu *c)
{
	return cpu_cs64(c) && c->arch.cr4 & CR4_FSGSBASE;
}

static int read_base(struct hw_cpu *c, const struct insn *i, unsigned int sreg)
{
	if (!fsgsbase_enabled(c))
		return cpu_ud(c);
	gpr_set(c, i->op[0].reg, i->opsize, c->arch.seg[sreg].base);
	return EXEC_OK;
}

static int write_base(struct hw_cpu *c, const struct insn *i, unsigned int sreg)
{
	u64 base = gpr_get(c, i->op[0].reg, i->opsize);

	if (!fsgsbase_enabled(c))
		return cpu_ud(c);
	if (!cpu_canonical(c, base))
		return cpu_gp(c, 0);
	c->arch.seg[sreg].base = base;
	return EXEC_OK;
}

int sys_rdfsbase(struct hw_cpu *c, const struct insn *i)
{
	return read_base(c, i, HW_FS);
}

int sys_rdgsbase(struct hw_cpu *c, const struct insn *i)
{
	return read_base(c, i, HW_GS);
}

int sys_wrfsbase(struct hw_cpu *c, const struct insn *i)
{
	return write_base(c, i, HW_FS);
}

int sys_wrgsbase(struct hw_cpu *c, const struct insn *i)
{
	return write_base(c, i, HW_GS);
}
