// SPDX-License-Identifier: Apache-2.0
/* sys_desc: segment descriptors and the stacks of the TSS (SDM 3A ch. 3, 5, 7). */
#include <string.h>

#include "hw/cpu/sys.h"

/* Linear address of a descriptor; false: outside its table. `extra`: bytes needed beyond the first 8. */
static bool desc_address(const struct hw_cpu *c, u16 sel, unsigned int extra, u64 *lin)
{
	u32 end = (sel | 7) + extra;

	if (sel & 4) {
		const struct hw_segment *ldt = &c->arch.seg[HW_LDTR];

		if (ldt->attr & SEG_UNUSABLE || sel_null(ldt->selector) || end > ldt->limit)
			return false;
		*lin = ldt->base + (sel & ~7u);
	} else {
		if (end > c->arch.gdtr.limit)
			return false;
		*lin = c->arch.gdtr.base + (sel & ~7u);
	}
	if (!cpu_long_mode(c))
		*lin = (u32)*lin;
	return true;
}

int desc_read(struct hw_cpu *c, u16 sel, u8 vector, u64 *desc)
{
	u64 lin;

	if (!desc_address(c, sel, 0, &lin))
		return cpu_raise_error(c, vector, sel & ~3);
	return sys_read(c, lin, desc, 8);
}

int desc_read_wide(struct hw_cpu *c, u16 sel, u8 vector, struct descriptor *desc)
{
	u64 lin;

	if (!desc_address(c, sel, 8, &lin))
		return cpu_raise_error(c, vector, sel & ~3);
	return sys_read(c, lin, desc, 16);
}

bool desc_peek(struct hw_cpu *c, u16 sel, struct descriptor *desc, int *result)
{
	u64 lin;

	*result = EXEC_OK;
	desc->high = 0;
	if (sel_null(sel) || !desc_address(c, sel, 0, &lin))
		return false;
	*result = sys_read(c, lin, &desc->low, 8);
	if (*result || desc_is_segment(desc->low) || !cpu_long_mode(c))
		return !*result;
	if (!desc_address(c, sel, 8, &lin))
		return false;
	*result = sys_read(c, lin + 8, &desc->high, 8);
	return !*result;
}

struct hw_segment desc_segment(u16 sel, u64 d)
{
	struct hw_segment s = {
		.selector = sel,
		.base = (d >> 16 & 0xffffff) | d >> 56 << 24,
		.limit = (d & 0xffff) | (d >> 32 & 0xf0000),
		.attr = (d >> 40 & 0xff) | (d >> 40 & 0xf000),
	};

	if (s.attr & SEG_G)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

int desc_write_type(struct hw_cpu *c, u16 sel, u64 desc)
{
	u8 type = desc >> 40;
	u64 lin;

	if (!desc_address(c, sel, 0, &lin))
		return cpu_gp(c, sel & ~3);
	return cpu_write_acc(c, lin + 5, &type, 1, ACC_WRITE | ACC_IMPLICIT);
}

int desc_set_accessed(struct hw_cpu *c, u16 sel, u64 *desc)
{
	if (*desc >> 40 & 1)
		return EXEC_OK;
	*desc |= 1ull << 40;
	return desc_write_type(c, sel, *desc);
}

int tss_read_stack(struct hw_cpu *c, unsigned int cpl, struct tss_stack *out)
{
	const struct hw_segment *tr = &c->arch.seg[HW_TR];
	bool wide = tr->attr & 8; /* 32-bit TSS */
	u32 offset = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
	u32 raw[2] = {0};
	u16 raw16[2];

	if (offset + (wide ? 5 : 3) > tr->limit)
		return cpu_raise_error(c, X86_TS, tr->selector & ~3);
	if (wide) {
		SYS_TRY(sys_read(c, (u32)(tr->base + offset), raw, 6));
		*out = (struct tss_stack){.sp = raw[0], .ss = (u16)raw[1]};
		return EXEC_OK;
	}
	SYS_TRY(sys_read(c, (u32)(tr->base + offset), raw16, 4));
	*out = (struct tss_stack){.sp = raw16[0], .ss = raw16[1]};
	return EXEC_OK;
}

int tss_read_stack64(struct hw_cpu *c, unsigned int index, u64 *rsp)
{
	const struct hw_segment *tr = &c->arch.seg[HW_TR];
	u32 offset = 4 + 8 * index;

	if (offset + 7 > tr->limit)
		return cpu_raise_error(c, X86_TS, tr->selector & ~3);
	return sys_read(c, tr->base + offset, rsp, 8);
}

struct hw_segment code_segment(u16 sel, u64 desc, unsigned int cpl)
{
	return desc_segment((sel & ~3) | cpl, desc | 1ull << 40);
}

int stack_segment(struct hw_cpu *c, u16 sel, unsigned int cpl, u8 vector, struct hw_segment *out)
{
	u64 desc;

	if (sel_null(sel))
		return cpu_raise_error(c, vector, 0);
	SYS_TRY(desc_read(c, sel, vector, &desc));
	if ((sel & 3u) != cpl || desc_dpl(desc) != cpl || !desc_is_segment(desc) ||
	    (desc_type(desc) & (SEG_CODE | SEG_RW)) != SEG_RW)
		return cpu_raise_error(c, vector, sel & ~3);
	if (!desc_present(desc))
		return cpu_raise_error(c, X86_SS, sel & ~3);
	SYS_TRY(desc_set_accessed(c, sel, &desc));
	*out = desc_segment(sel, desc);
	return EXEC_OK;
}

bool code_offset_ok(const struct hw_cpu *c, const struct hw_segment *cs, u64 rip)
{
	if (cpu_long_mode(c) && cs->attr & SEG_L)
		return cpu_canonical(c, rip);
	return rip <= cs->limit;
}

/* Does [off, off + size) lie in the stack segment? SDM 3A 5.3: expand-down segments hold what is above the limit. */
static bool stack_holds(const struct hw_segment *ss, u32 off, unsigned int size)
{
	u64 last = (u64)off + size - 1;

	if (ss->attr & SEG_UNUSABLE)
		return false;
	if ((ss->attr & (SEG_CODE | SEG_DC)) == SEG_DC)
		return off > ss->limit && last <= (ss->attr & SEG_DB ? 0xffffffff : 0xffff);
	return last <= ss->limit;
}

static int frame_write_wide(struct hw_cpu *c, struct stack *st, const struct frame *f)
{
	unsigned int bytes = f->count * 8;
	u64 image[12], sp = st->sp - bytes;

	if (!cpu_canonical(c, sp) || !cpu_canonical(c, st->sp - 1))
		return cpu_raise_error(c, st->vector, st->error);
	for (unsigned int n = 0; n < f->count; n++)
		image[f->count - 1 - n] = f->slot[n];
	SYS_TRY(sys_write_stack(c, sp, image, bytes, st->cpl));
	st->sp = sp;
	return EXEC_OK;
}

int frame_write(struct hw_cpu *c, struct stack *st, const struct frame *f, unsigned int size)
{
	u64 mask = st->ss.attr & SEG_DB ? 0xffffffff : 0xffff;
	u64 sp = st->sp;

	if (st->wide && size == 8)
		return frame_write_wide(c, st, f);
	for (unsigned int n = 0; n < f->count; n++) {
		sp = st->wide ? sp - size : (st->sp & ~mask) | ((sp - size) & mask);
		if (st->wide ? !cpu_canonical(c, sp) || !cpu_canonical(c, sp + size - 1)
			     : !stack_holds(&st->ss, sp & mask, size))
			return cpu_raise_error(c, st->vector, st->error);
		SYS_TRY(sys_write_stack(c, st->wide ? sp : (u32)(st->ss.base + (sp & mask)), &f->slot[n], size,
					st->cpl));
	}
	st->sp = sp;
	return EXEC_OK;
}
