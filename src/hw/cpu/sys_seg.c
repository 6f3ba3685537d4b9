// SPDX-License-Identifier: Apache-2.0
/* sys_seg: segment checks, loads of segment registers, the stack, and the processor's own reads of system tables. */
#include <string.h>

#include "hw/cpu/sys.h"
#include "hw/phys/uaccess.h"

/* ---------------------------------------------------------------- memory */

/* Multiples of 8 bytes on one page that is in the TLB. */
static bool read_hit(const struct tlb_entry *e, u64 lin, u64 *out, unsigned int size)
{
	if (size & 7 || ((lin + size - 1) & HW_PAGE_MASK) != e->tag || (lin & HW_PAGE_MASK) != e->tag)
		return false;
	for (unsigned int n = 0; n < size; n += 8)
		UACCESS_LOAD(8, lin + n + e->addend, out[n / 8], gone);
	return true;
gone:
	return false;
}

int sys_read(struct hw_cpu *c, u64 lin, void *dst, unsigned int size)
{
	if (read_hit(&c->tlb_read[TLB_SUPERVISOR][tlb_index(lin)], lin, dst, size))
		return EXEC_OK;
	return cpu_read_acc(c, lin, dst, size, ACC_READ | ACC_IMPLICIT);
}

int sys_read_stack(struct hw_cpu *c, u64 lin, void *dst, unsigned int size)
{
	if (read_hit(&c->tlb_read[c->tlb_mode][tlb_index(lin)], lin, dst, size))
		return EXEC_OK;
	return cpu_read(c, lin, dst, size);
}

int sys_write_stack(struct hw_cpu *c, u64 lin, const void *src, unsigned int size, unsigned int cpl)
{
	const struct tlb_entry *e = &c->tlb_write[TLB_SUPERVISOR][tlb_index(lin)];
	const u64 *in = src;

	if (cpl == 3)
		return cpu_write_acc(c, lin, src, size, ACC_WRITE);
	if (size & 7 || ((lin + size - 1) & HW_PAGE_MASK) != e->tag || (lin & HW_PAGE_MASK) != e->tag)
		goto slow;
	for (unsigned int n = 0; n < size; n += 8)
		UACCESS_STORE(8, lin + n + e->addend, in[n / 8], slow);
	return EXEC_OK;
slow:
	return cpu_write_acc(c, lin, src, size, ACC_WRITE | ACC_IMPLICIT);
}

/* ---------------------------------------------------------------- linear addresses */

static int segment_fault(struct hw_cpu *c, unsigned int sreg)
{
	return cpu_raise_error(c, sreg == HW_SS ? X86_SS : X86_GP, 0);
}

/* SDM 3A 5.3, 5.4: limit and type. Real and VM86 mode check limits only. */
static int linear_legacy(struct hw_cpu *c, unsigned int sreg, u64 off, unsigned int size, unsigned int acc, u64 *lin)
{
	const struct hw_segment *s = &c->arch.seg[sreg];
	u64 last = off + (size ? size - 1 : 0);

	if (cpu_protected(c)) {
		if (s->attr & SEG_UNUSABLE)
			return segment_fault(c, sreg);
		if (acc & (ACC_WRITE | ACC_RMW) && (s->attr & (SEG_CODE | SEG_RW)) != SEG_RW)
			return segment_fault(c, sreg);
		if ((s->attr & (SEG_CODE | SEG_RW)) == SEG_CODE)
			return segment_fault(c, sreg);
	}
	if ((s->attr & (SEG_CODE | SEG_DC)) == SEG_DC) {
		if (off <= s->limit || last > (s->attr & SEG_DB ? 0xffffffff : 0xffff))
			return segment_fault(c, sreg);
	} else if (last > s->limit) {
		return segment_fault(c, sreg);
	}
	*lin = (u32)(s->base + off);
	return EXEC_OK;
}

int cpu_linear(struct hw_cpu *c, unsigned int sreg, u64 off, unsigned int size, unsigned int acc, u64 *lin)
{
	if (cpu_cs64(c)) {
		if (sreg >= HW_FS)
			off += c->arch.seg[sreg].base;
		if (!cpu_canonical(c, off) || !cpu_canonical(c, off + (size ? size - 1 : 0)))
			return segment_fault(c, sreg);
		*lin = off;
		return EXEC_OK;
	}
	return linear_legacy(c, sreg, (u32)off, size, acc, lin);
}

/* ---------------------------------------------------------------- stack */

static u64 stack_mask(const struct hw_cpu *c)
{
	return c->mode & MODE_CS64 ? ~0ull : c->mode & MODE_SS32 ? 0xffffffff : 0xffff;
}

static void stack_set(struct hw_cpu *c, u64 sp, u64 mask)
{
	u64 *rsp = &c->arch.gpr[HW_RSP];

	*rsp = mask == 0xffff ? (*rsp & ~mask) | (sp & mask) : sp & mask;
}

int cpu_push(struct hw_cpu *c, u64 value, unsigned int size)
{
	u64 mask = stack_mask(c), sp = (c->arch.gpr[HW_RSP] - size) & mask, lin;

	SYS_TRY(cpu_linear(c, HW_SS, sp, size, ACC_WRITE, &lin));
	SYS_TRY(cpu_write(c, lin, &value, size));
	stack_set(c, sp, mask);
	return EXEC_OK;
}

int cpu_pop(struct hw_cpu *c, u64 *value, unsigned int size)
{
	u64 mask = stack_mask(c), sp = c->arch.gpr[HW_RSP] & mask, lin, v = 0;

	SYS_TRY(cpu_linear(c, HW_SS, sp, size, ACC_READ, &lin));
	SYS_TRY(cpu_read(c, lin, &v, size));
	*value = v;
	stack_set(c, sp + size, mask);
	return EXEC_OK;
}

/* ---------------------------------------------------------------- loading */

/* Real and VM86 mode: the base is the selector; real mode keeps limit and rights (SDM 3A 3.4.3, 20.1). */
static void load_sreg_real(struct hw_cpu *c, unsigned int sreg, u16 sel)
{
	struct hw_segment *s = &c->arch.seg[sreg];

	s->selector = sel;
	s->base = (u32)sel << 4;
	if (c->mode & MODE_VM86) {
		s->limit = 0xffff;
		s->attr = SEG_P | SEG_S | 3 << 5 | SEG_RW | SEG_ACCESSED;
	} else {
		s->attr &= ~(u32)SEG_UNUSABLE;
	}
}

static int load_null(struct hw_cpu *c, unsigned int sreg, u16 sel)
{
	if (sreg != HW_SS) {
		c->arch.seg[sreg] = null_segment(sel, 0);
		return EXEC_OK;
	}
	/* SDM 2B MOV: null SS only in 64-bit mode at CPL < 3 with RPL = CPL */
	if (!cpu_cs64(c) || c->cpl == 3 || (sel & 3u) != c->cpl)
		return cpu_gp(c, 0);
	c->arch.seg[HW_SS] = null_segment(sel, c->cpl);
	return EXEC_OK;
}

/* SDM 2B MOV, protected mode checks. */
static int load_check(struct hw_cpu *c, unsigned int sreg, u16 sel, u64 desc)
{
	unsigned int type = desc_type(desc), dpl = desc_dpl(desc), rpl = sel & 3;
	u32 error = sel & ~3;

	if (!desc_is_segment(desc))
		return cpu_gp(c, error);
	if (sreg == HW_SS) {
		if (rpl != c->cpl || dpl != c->cpl || (type & (SEG_CODE | SEG_RW)) != SEG_RW)
			return cpu_gp(c, error);
		if (!desc_present(desc))
			return cpu_raise_error(c, X86_SS, error);
		return EXEC_OK;
	}
	if ((type & (SEG_CODE | SEG_RW)) == SEG_CODE)
		return cpu_gp(c, error);
	if ((type & (SEG_CODE | SEG_DC)) != (SEG_CODE | SEG_DC) && (rpl > dpl || c->cpl > dpl))
		return cpu_gp(c, error);
	if (!desc_present(desc))
		return cpu_raise_error(c, X86_NP, error);
	return EXEC_OK;
}

int cpu_load_sreg(struct hw_cpu *c, unsigned int sreg, u16 sel)
{
	u32 old_mode = c->mode;
	u64 desc;

	if (!cpu_protected(c)) {
		load_sreg_real(c, sreg, sel);
	} else if (sel_null(sel)) {
		SYS_TRY(load_null(c, sreg, sel));
	} else {
		SYS_TRY(desc_read(c, sel, X86_GP, &desc));
		SYS_TRY(load_check(c, sreg, sel, desc));
		SYS_TRY(desc_set_accessed(c, sel, &desc));
		c->arch.seg[sreg] = desc_segment(sel, desc);
	}
	if (!(old_mode & MODE_CS64))
		cpu_update_mode(c);
	return EXEC_OK;
}
