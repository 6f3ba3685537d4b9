// SPDX-License-Identifier: Apache-2.0
/* bind: from decoded instructions to ops: address form, operand form, handler, links. */
#include <string.h>

#include "hw/cpu/block.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct binder {
	const struct decoded_block *d;
	struct op *ops;
	unsigned int count;
	struct {
		unsigned int op, insn;
	} kept[BLOCK_MAX_INSNS]; /* ops that need their struct insn */
	unsigned int kept_count;
};

/* Modes in which a linear address is the instruction pointer, so that blocks may be linked and put into the jump cache.
 */
static bool flat_code(u32 mode)
{
	return mode & MODE_CS64 || (mode & MODE_CS32 && mode & MODE_FLAT);
}

/* ---------------------------------------------------------------- operands */

static u16 register_or_zero(u8 reg)
{
	return (u16)(reg == INSN_NO_REG ? offsetof(struct hw_cpu, zero) : GPR_OFFSET(reg));
}

/* FORM_BD or FORM_BIS, FORM_OTHER if only op_generic() can compute the address. */
static enum form bind_address(const struct insn *i, u32 mode, u16 ip, struct op *o)
{
	s64 disp = i->disp;

	if (i->mnemonic == ZYDIS_MNEMONIC_LEA) {
		/* a 32-bit result is the same whatever the address size above 16 */
		if (i->addrsize < 4 || (i->addrsize == 4 && i->op[0].size == 8))
			return FORM_OTHER;
	} else if (!(mode & MODE_CS64) || i->addrsize != 8) {
		return FORM_OTHER;
	}
	o->base = register_or_zero(i->base);
	o->index = register_or_zero(i->index);
	o->scale = i->index == INSN_NO_REG ? 1 : i->scale;
	if (i->rip_relative) {
		o->base = offsetof(struct hw_cpu, arch.rip);
		disp += ip + i->len;
	}
	if (disp != (s32)disp)
		return FORM_OTHER;
	o->disp = (s32)disp;
	if (i->mnemonic != ZYDIS_MNEMONIC_LEA && (i->sreg == HW_FS || i->sreg == HW_GS)) {
		if (i->index != INSN_NO_REG)
			return FORM_OTHER;
		o->index = (u16)(offsetof(struct hw_cpu, arch.seg[0].base) + i->sreg * sizeof(struct hw_segment));
		return FORM_BIS;
	}
	return i->index == INSN_NO_REG ? FORM_BD : FORM_BIS;
}

static u8 register_offset(const struct operand *op)
{
	return (u8)(GPR_OFFSET(op->reg) + op->high8);
}

static enum form bind_one(const struct insn *i, enum form memory, struct op *o)
{
	switch (i->op[0].kind) {
	case OPND_GPR:
		o->dst = register_offset(&i->op[0]);
		return FORM_R;
	case OPND_IMM:
		o->imm64 = i->imm;
		return FORM_I;
	case OPND_MEM:
		return memory;
	default:
		return FORM_OTHER;
	}
}

static enum form bind_two(const struct insn *i, enum form memory, struct op *o)
{
	const struct operand *a = &i->op[0], *b = &i->op[1];

	if (a->kind == OPND_GPR) {
		o->dst = register_offset(a);
		if (b->kind == OPND_GPR) {
			o->src = register_offset(b);
			return FORM_RR;
		}
		if (b->kind == OPND_IMM) {
			o->imm64 = i->imm;
			return FORM_RI;
		}
		if (b->kind == OPND_MEM && memory != FORM_OTHER)
			return memory == FORM_BD ? FORM_R_BD : FORM_R_BIS;
		return FORM_OTHER;
	}
	if (a->kind != OPND_MEM || memory == FORM_OTHER)
		return FORM_OTHER;
	if (b->kind == OPND_GPR) {
		o->src = register_offset(b);
		return memory == FORM_BD ? FORM_BD_R : FORM_BIS_R;
	}
	if (b->kind != OPND_IMM || i->imm != (s32)i->imm)
		return FORM_OTHER;
	o->imm = (s32)i->imm;
	return memory == FORM_BD ? FORM_BD_I : FORM_BIS_I;
}

static enum form bind_three(const struct insn *i, enum form memory, struct op *o)
{
	const struct operand *a = &i->op[0], *b = &i->op[1], *third = &i->op[2];

	if (a->kind != OPND_GPR)
		return FORM_OTHER;
	o->dst = register_offset(a);
	if (b->kind == OPND_GPR) {
		o->src = register_offset(b);
		if (third->kind == OPND_IMM) {
			o->imm64 = i->imm;
			return FORM_RRI;
		}
		o->src2 = register_offset(third);
		return third->kind == OPND_GPR ? FORM_RRR : FORM_OTHER;
	}
	if (b->kind != OPND_MEM || third->kind != OPND_GPR || memory == FORM_OTHER)
		return FORM_OTHER;
	o->src2 = register_offset(third);
	return memory == FORM_BD ? FORM_R_BD_R : FORM_R_BIS_R;
}

static enum form bind_operands(const struct insn *i, u32 mode, u16 ip, struct op *o)
{
	enum form memory = FORM_OTHER;

	for (unsigned int k = 0; k < i->nops; k++) {
		if (i->op[k].kind == OPND_MEM)
			memory = bind_address(i, mode, ip, o);
	}
	switch (i->nops) {
	case 0:
		return FORM_NONE;
	case 1:
		return bind_one(i, memory, o);
	case 2:
		return bind_two(i, memory, o);
	case 3:
		return bind_three(i, memory, o);
	default:
		return FORM_OTHER;
	}
}

/* ---------------------------------------------------------------- handlers */

static bool sizes_are_regular(const struct insn *i)
{
	for (unsigned int k = 0; k < i->nops; k++) {
		unsigned int size = i->op[k].size;
		bool sized =
			i->op[k].kind == OPND_GPR || (i->op[k].kind == OPND_MEM && i->mnemonic != ZYDIS_MNEMONIC_LEA);

		if (sized && size != 1 && size != 2 && size != 4 && size != 8)
			return false;
	}
	return true;
}

static op_fn branch_handler(const struct insn *i, enum form form, u32 mode)
{
	bool direct = form == FORM_I && i->mnemonic != ZYDIS_MNEMONIC_RET;

	/* after a step hw_cpu_run() looks at what is due, which the jump cache would pass by */
	if (mode & MODE_STEP && !direct)
		return NULL;
	if (mode & MODE_CS64)
		return exec_branch_handler(i, form);
	if (!flat_code(mode) || i->opsize != 4)
		return NULL;
	if (jcc_condition(i->mnemonic) >= 0 || (i->mnemonic == ZYDIS_MNEMONIC_JMP && form == FORM_I))
		return exec_branch_handler(i, form);
	return NULL;
}

static op_fn hot_handler(const struct insn *i, enum form form, u32 mode)
{
	typedef op_fn (*chooser)(const struct insn *i, enum form form);
	static const chooser choosers[] = {
		exec_mov_handler, exec_alu_handler, exec_unary_handler, exec_shift_handler, exec_cond_handler,
		exec_mul_handler, exec_bit_handler, exec_bmi_handler,	exec_lock_handler,
	};
	op_fn h;

	if (!sizes_are_regular(i))
		return NULL;
	if (i->lock && i->mnemonic != ZYDIS_MNEMONIC_XCHG)
		return exec_lock_handler(i, form);
	for (size_t k = 0; k < COUNT(choosers); k++) {
		h = choosers[k](i, form);
		if (h)
			return h;
	}
	if (mode & MODE_CS64) {
		h = exec_stack_handler(i, form);
		if (!h)
			h = exec_flags_handler(i, mode);
		if (h)
			return h;
	}
	h = exec_string_handler(i, mode);
	return h ? h : branch_handler(i, form, mode);
}

/* What is wrong with the instruction in this mode, whatever its operands hold. */
static op_fn refusal(const struct insn *i, u32 mode)
{
	const struct insn_desc *d = insn_lookup(i->mnemonic);

	if (!d || !cpu_feature_implemented(d->feature))
		return op_unimplemented;
	if (d->flags & INSN_NO64 && mode & MODE_CS64)
		return op_ud;
	if (d->flags & INSN_PROT && !(mode & MODE_PROT))
		return op_ud;
	if (i->lock && (!(d->flags & INSN_LOCKABLE) || i->nops == 0 || i->op[0].kind != OPND_MEM))
		return op_ud;
	if (d->flags & INSN_CPL0 && mode & MODE_USER)
		return op_gp;
	return NULL;
}

static bool is_branch(const struct insn *i)
{
	return jcc_condition(i->mnemonic) >= 0 || i->mnemonic == ZYDIS_MNEMONIC_JMP ||
	       i->mnemonic == ZYDIS_MNEMONIC_CALL || i->mnemonic == ZYDIS_MNEMONIC_RET;
}

bool insn_ends_block(const struct insn *i)
{
	const struct insn_desc *d = insn_lookup(i->mnemonic);

	return is_branch(i) || !d || d->flags & INSN_END;
}

static struct op *append(struct binder *b, op_fn handler)
{
	struct op *o = &b->ops[b->count++];

	*o = (struct op){.handler = handler};
	return o;
}

/* May the handler continue in op_generic()? Those that only compute in registers do not. */
static bool needs_insn(const struct insn *i, op_fn handler)
{
	if (handler == op_generic || handler == op_unimplemented || i->nops == 0)
		return true;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_LEA:
	case ZYDIS_MNEMONIC_NOP:
		return false;
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_RET:
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
		return true;
	case ZYDIS_MNEMONIC_JMP:
		return i->op[0].kind != OPND_IMM;
	default:
		break;
	}
	for (unsigned int k = 0; k < i->nops; k++) {
		if (i->op[k].kind == OPND_MEM)
			return true;
	}
	return false;
}

static void bind_insn(struct binder *b, unsigned int n)
{
	const struct insn *i = &b->d->insn[n];
	struct op *o = append(b, NULL);
	enum form form = bind_operands(i, b->d->mode, b->d->ip[n], o);

	o->ip = b->d->ip[n];
	o->len = i->len;
	o->n = (u16)n;
	o->handler = refusal(i, b->d->mode);
	if (o->handler == op_ud || o->handler == op_gp)
		return;
	/* A stepped block runs once. So both ways of executing an instruction can be tested by the same code. */
	if (!o->handler && !(b->d->mode & MODE_STEP))
		o->handler = hot_handler(i, form, b->d->mode);
	if (!o->handler)
		o->handler = op_generic;
	if (!needs_insn(i, o->handler))
		return;
	b->kept[b->kept_count].op = b->count - 1;
	b->kept[b->kept_count].insn = n;
	b->kept_count++;
}

/* ---------------------------------------------------------------- links */

static u8 mode_salt(u32 mode)
{
	/* MODE_VM86 is MODE_USER without MODE_PROT; MODE_STEP blocks are not cached */
	return (u8)((mode & 0x3f) | (mode & MODE_LONG ? 0x40 : 0));
}
_Static_assert((MODE_CS64 | MODE_CS32 | MODE_SS32 | MODE_USER | MODE_PROT | MODE_FLAT) == 0x3f, "mode_salt()");

static void append_link(struct binder *b, s64 delta)
{
	u32 mode = b->d->mode;
	struct op *l = append(b, link_leave);

	if (flat_code(mode) && !(mode & MODE_STEP)) {
		if (delta >= 0 && delta < (s64)HW_PAGE_SIZE)
			l->handler = link_resolve;
		else if (mode & MODE_CS64)
			l->handler = link_far;
	}
	l->target = l;
	l->delta = (s32)delta;
	l->salt = mode_salt(mode);
	l->count = (u16)b->d->count;
}

static bool is_hot(const struct op *o)
{
	return o->handler != op_generic && o->handler != op_ud && o->handler != op_gp && o->handler != op_unimplemented;
}

static void bind_branch(struct binder *b)
{
	unsigned int last = b->d->count - 1;
	const struct insn *i = &b->d->insn[last];
	s64 next = b->d->next_ip;

	bind_insn(b, last);
	if (!is_branch(i) || !is_hot(&b->ops[b->count - 1])) {
		append(b, op_fallthrough);
		append_link(b, next);
		return;
	}
	/* an indirect branch uses only the count and the salt of its link */
	append_link(b, i->op[0].kind == OPND_IMM && i->mnemonic != ZYDIS_MNEMONIC_RET ? next + i->imm : 0);
	if (jcc_condition(i->mnemonic) >= 0)
		append_link(b, next);
}

static bool is_hot_jcc(const struct insn *i, u32 mode)
{
	return jcc_condition(i->mnemonic) >= 0 && branch_handler(i, FORM_I, mode) && !(mode & MODE_STEP);
}

/* The comparison just bound becomes one handler with the Jcc behind it. */
static void fuse(struct binder *b, unsigned int compare)
{
	const struct insn *i = &b->d->insn[compare];
	struct op *o = &b->ops[b->count - 1];
	struct op scratch = {0};
	op_fn h;

	if (!is_hot(o) || i->lock)
		return;
	h = exec_fused_handler(i, bind_operands(i, b->d->mode, b->d->ip[compare], &scratch), &b->d->insn[compare + 1]);
	if (h)
		o->handler = h;
}

static size_t place_insns(struct binder *b)
{
	struct insn *at = (struct insn *)&b->ops[b->count];

	for (unsigned int k = 0; k < b->kept_count; k++, at++) {
		struct op *o = &b->ops[b->kept[k].op];

		*at = b->d->insn[b->kept[k].insn];
		o->insn = (u16)(((char *)at - (char *)o) / 8);
	}
	return (size_t)((char *)at - (char *)b->ops);
}
_Static_assert(sizeof(struct insn) % 8 == 0, "op.insn counts in units of 8 bytes");

size_t bind_block(const struct decoded_block *d, struct op *ops)
{
	struct binder b = {.d = d, .ops = ops};
	unsigned int last = d->count ? d->count - 1 : 0;
	struct op *o;

	if (d->end == BLOCK_END_UD || d->end == BLOCK_END_GP) {
		o = append(&b, d->end == BLOCK_END_UD ? op_ud : op_gp);
		o->ip = d->ip[0];
		return sizeof(struct op);
	}
	for (unsigned int n = 0; n < last; n++) {
		bind_insn(&b, n);
		if (n + 1 == last && is_hot_jcc(&d->insn[last], d->mode))
			fuse(&b, n);
	}
	if (d->end == BLOCK_END_BRANCH) {
		bind_branch(&b);
	} else {
		bind_insn(&b, last);
		append(&b, op_fallthrough);
		append_link(&b, d->next_ip);
	}
	return place_insns(&b);
}
