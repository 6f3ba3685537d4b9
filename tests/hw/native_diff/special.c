// SPDX-License-Identifier: Apache-2.0
/*
 * special: instructions with implicit operands, with a target, or with results that are not compared.
 */
#include <string.h>

#include "emit.h"

static bool is_conditional(u16 m)
{
	return (m >= ZYDIS_MNEMONIC_JB && m <= ZYDIS_MNEMONIC_JZ && m != ZYDIS_MNEMONIC_JMP) ||
	       m == ZYDIS_MNEMONIC_LOOP || m == ZYDIS_MNEMONIC_LOOPE || m == ZYDIS_MNEMONIC_LOOPNE;
}

bool is_branch(u16 m)
{
	return is_conditional(m) || m == ZYDIS_MNEMONIC_JMP || m == ZYDIS_MNEMONIC_CALL || m == ZYDIS_MNEMONIC_RET;
}

bool stores_environment(u16 m)
{
	return m == ZYDIS_MNEMONIC_FNSTENV || m == ZYDIS_MNEMONIC_FNSAVE;
}

static bool is_string(u16 m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSQ:
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ:
	case ZYDIS_MNEMONIC_SCASB:
	case ZYDIS_MNEMONIC_SCASW:
	case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_SCASQ:
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSQ:
		return true;
	default:
		return false;
	}
}

static void set_immediate(const struct special *sp, unsigned int n, u64 value)
{
	memcpy(&sp->bytes[sp->z->raw.imm[n].offset], &value, sp->z->raw.imm[n].size / 8);
}

static u64 upper_half(struct emitter *e, const struct special *sp, u64 value)
{
	if (sp->z->address_width == 64)
		return value;
	/* half of a wild address could be anybody's: the unmapped page instead */
	return (value >> 32 ? DATA_BASE : value) | rng64(e->rng) << 32;
}

/* An address that GS may be added to. */
static u64 source_offset(const struct special *sp, u64 address)
{
	return sp->z->attributes & ZYDIS_ATTRIB_HAS_SEGMENT_GS ? address - GS_BASE : address;
}

static bool is_compare(u16 m)
{
	return m == ZYDIS_MNEMONIC_CMPSB || m == ZYDIS_MNEMONIC_CMPSW || m == ZYDIS_MNEMONIC_CMPSD ||
	       m == ZYDIS_MNEMONIC_CMPSQ;
}

static u64 plain_address(struct rng *r, unsigned int size)
{
	return DATA_BASE + PAGE + rng_below(r, 3 * PAGE - size);
}

static void string_registers(struct emitter *e, const struct special *sp)
{
	unsigned int size = sp->z->operand_width / 8, count = rng_below(e->rng, rng_percent(e->rng, 10) ? 700 : 20);
	u64 source = choose_address(e, size), destination = choose_address(e, size);
	bool down = rng_percent(e->rng, 30);

	/* which operand of CMPS is read first is not said */
	if (is_compare((u16)sp->z->mnemonic) && !is_plain(source, 700 * 8))
		destination = DATA_BASE + 2 * PAGE + rng_below(e->rng, 1024);

	if (rng_percent(e->rng, 30))
		put_bytes(e, down ? "\xfd" : "\xfc", 1); /* std, cld */
	put_mov(e, HW_RSI, upper_half(e, sp, source_offset(sp, source)));
	put_mov(e, HW_RDI, upper_half(e, sp, destination));
	if (sp->z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
		put_mov(e, HW_RCX, upper_half(e, sp, count));
	else if (sp->z->attributes & ZYDIS_ATTRIB_ACCEPTS_REP)
		put_mov(e, HW_RCX, count); /* F2 repeats them too */
}

static u64 flags_value(struct rng *r)
{
	u64 v = rng64(r) & (FLAGS_ARITH | FLAG_DF | FLAG_ID | FLAG_IOPL | FLAG_IF);

	return v | (rng_percent(r, 3) ? FLAG_TF : 0) | (rng_percent(r, 3) ? FLAG_AC : 0) |
	       (rng_percent(r, 5) ? FLAG_NT : 0);
}

static u64 mxcsr_value(struct rng *r)
{
	u64 v = 0x1f80 | (rng64(r) & 0xe07f); /* masked; rounding, FZ, DAZ, flags */

	if (rng_percent(r, 10))
		v &= ~(rng64(r) & 0x1f80);
	return v | (rng_percent(r, 3) ? 1u << 31 : 0);
}

static u64 fcw_value(struct rng *r)
{
	u64 v = 0x37f ^ (rng64(r) & 0xc00);

	if (rng_percent(r, 30))
		v ^= rng64(r) & 0x300;
	return rng_percent(r, 10) ? v & ~(rng64(r) & 0x3f) : v;
}

static u64 selector_value(struct rng *r)
{
	return rng_percent(r, 60) ? rng_below(r, 4) : 0x100 | (rng64(r) & 0xffff);
}

static bool is_gather(u16 m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_VGATHERDPD:
	case ZYDIS_MNEMONIC_VGATHERDPS:
	case ZYDIS_MNEMONIC_VGATHERQPD:
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VPGATHERDD:
	case ZYDIS_MNEMONIC_VPGATHERDQ:
	case ZYDIS_MNEMONIC_VPGATHERQD:
	case ZYDIS_MNEMONIC_VPGATHERQQ:
		return true;
	default:
		return false;
	}
}

/* Small indices, so that the elements lie around the address: vmovdqu ymm, [DATA_BASE + PAGE] */
static void gather_indices(struct emitter *e, const struct special *sp)
{
	unsigned int reg = (unsigned int)ZydisRegisterGetId(sp->op[1].mem.index);
	const u8 load[5] = {0xc5, (u8)(reg < 8 ? 0xfe : 0x7e), 0x6f, (u8)((reg & 7) << 3 | 4), 0x25};
	u32 from = DATA_BASE + PAGE;

	for (unsigned int n = 0; n < 4; n++) {
		put_mov(e, HW_RAX, rng_below(e->rng, 64));
		put_store(e, from + 8 * n, 8);
	}
	put_bytes(e, load, sizeof(load));
	put_bytes(e, &from, 4);
}

/* The memory operand gets a value that the instruction can live with. */
static void preset_memory(struct emitter *e, const struct special *sp, u64 value)
{
	put_mov(e, HW_RAX, value);
	put_store(e, sp->address, 8);
}

static void branch_target_in(struct emitter *e, struct special *sp, unsigned int reg)
{
	u64 wild = (e->s->compat ? 0x30000000 : 0x800000000000ull) + rng_below(e->rng, 1u << 20);
	unsigned int constant = put_mov(e, reg, wild);

	if (sp->tame || !rng_percent(e->rng, 4))
		sp->patch = constant;
}

static bool branch_operands(struct emitter *e, struct special *sp)
{
	u16 m = (u16)sp->z->mnemonic;
	u64 stack;

	if (m == ZYDIS_MNEMONIC_CALL || m == ZYDIS_MNEMONIC_RET) {
		/* which fault comes first, of the push or of the target, differs */
		stack = rng_percent(e->rng, 50) ? plain_address(e->rng, 8) : choose_address(e, 8);
		sp->tame = !is_plain(stack - 8, 16);
		put_mov(e, HW_RSP, stack);
		if (m == ZYDIS_MNEMONIC_RET) {
			branch_target_in(e, sp, HW_RAX);
			put_store(e, stack, 8);
			return true;
		}
	}
	if (sp->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		set_immediate(sp, 0, 4);
		if (is_conditional(m) && rng_percent(e->rng, 60))
			put_mov(e, HW_RCX, upper_half(e, sp, rng_below(e->rng, 3)));
		return true;
	}
	if (sp->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER) {
		unsigned int reg = (unsigned int)ZydisRegisterGetId(sp->op[0].reg.value);

		/* a call would write where the code is */
		if (reg == HW_RSP)
			return false;
		branch_target_in(e, sp, reg);
		return true;
	}
	branch_target_in(e, sp, HW_RAX);
	put_store(e, sp->address, 8);
	return true;
}

/* FXRSTOR finds what FXSAVE has written. */
static void clear_fxsave_pointers(struct emitter *e, u64 address)
{
	put_mov(e, HW_RAX, 0);
	put_store(e, address + 6, 2);
	for (unsigned int n = 8; n < 24; n += 4)
		put_store(e, address + n, 4);
	put_store(e, address + 28, 4);
}

static void preset_fxrstor(struct emitter *e, const struct special *sp)
{
	put_mov(e, HW_RAX, sp->address);
	put_bytes(e, "\x0f\xae\x00", 3); /* fxsave [rax] */
	clear_fxsave_pointers(e, sp->address);
}

/* More than the operand's size is undefined for 16-bit double shifts (SDM 2B SHLD). */
static bool limit_double_shift(struct emitter *e, const struct special *sp)
{
	if (sp->op[0].size != 16)
		return true;
	if (sp->op[2].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		set_immediate(sp, 0, rng_below(e->rng, 17));
	else
		put_mov(e, HW_RCX, rng_below(e->rng, 17));
	/* not if the count is the address too */
	return !sp->has_memory ||
	       (ZydisRegisterGetId(sp->op[0].mem.base) != HW_RCX && ZydisRegisterGetId(sp->op[0].mem.index) != HW_RCX);
}

static bool stack_operands(struct emitter *e, const struct special *sp)
{
	u64 stack = choose_address(e, 8);

	switch (sp->z->mnemonic) {
	case ZYDIS_MNEMONIC_POP:
		if (sp->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(sp->op[0].reg.value) == ZYDIS_REGCLASS_SEGMENT) {
			put_mov(e, HW_RAX, selector_value(e->rng));
			put_store(e, stack, 8);
		}
		break;
	/* how much is written before a fault in the middle is not said */
	case ZYDIS_MNEMONIC_PUSHA:
	case ZYDIS_MNEMONIC_PUSHAD:
	case ZYDIS_MNEMONIC_POPA:
	case ZYDIS_MNEMONIC_POPAD:
		stack = DATA_BASE + (rng_percent(e->rng, 90) ? 1 : 6) * PAGE + 64 + rng_below(e->rng, PAGE - 128);
		break;
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
		put_mov(e, HW_RAX, flags_value(e->rng));
		put_store(e, stack, 8);
		break;
	case ZYDIS_MNEMONIC_ENTER:
		set_immediate(sp, 0, rng_below(e->rng, 256));
		set_immediate(sp, 1, rng_below(e->rng, rng_percent(e->rng, 50) ? 2 : 40));
		put_mov(e, HW_RBP, choose_address(e, 8));
		break;
	case ZYDIS_MNEMONIC_LEAVE:
		put_mov(e, HW_RBP, stack);
		break;
	default:
		break;
	}
	put_mov(e, HW_RSP, stack);
	return true;
}

static void division_operands(struct emitter *e, const struct special *sp)
{
	if (rng_percent(e->rng, 20))
		return;
	if (sp->op[0].size == 8)
		put_mov(e, HW_RAX, rng_below(e->rng, 512));
	put_mov(e, HW_RDX, rng_percent(e->rng, 50) ? 0 : rng_percent(e->rng, 50) ? ~0ull : rng_below(e->rng, 256));
}

static bool bit_offset(struct emitter *e, const struct special *sp)
{
	if (sp->has_memory && sp->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
		put_mov(e, (unsigned int)ZydisRegisterGetId(sp->op[1].reg.value),
			(u64)(s64)((int)rng_below(e->rng, 8192) - 4096));
	return true;
}

static bool segment_load(struct emitter *e, struct special *sp)
{
	if (sp->op[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    ZydisRegisterGetClass(sp->op[0].reg.value) != ZYDIS_REGCLASS_SEGMENT)
		return true;
	if (sp->has_memory)
		preset_memory(e, sp, selector_value(e->rng));
	else
		put_mov(e, (unsigned int)ZydisRegisterGetId(sp->op[1].reg.value), selector_value(e->rng));
	return true;
}

bool special_before(struct emitter *e, struct special *sp)
{
	u16 m = (u16)sp->z->mnemonic;

	if (is_branch(m))
		return branch_operands(e, sp);
	if (is_string(m) || ((m == ZYDIS_MNEMONIC_MOVSD || m == ZYDIS_MNEMONIC_CMPSD) &&
			     sp->z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)) {
		string_registers(e, sp);
		/* both operands fault */
		return !is_compare(m) || (sp->z->address_width != 16 &&
					  !(e->s->compat && sp->z->attributes & ZYDIS_ATTRIB_HAS_SEGMENT_GS));
	}
	if (is_gather(m)) {
		gather_indices(e, sp);
		return true;
	}
	switch (m) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_PUSHA:
	case ZYDIS_MNEMONIC_PUSHAD:
	case ZYDIS_MNEMONIC_POPA:
	case ZYDIS_MNEMONIC_POPAD:
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_ENTER:
	case ZYDIS_MNEMONIC_LEAVE:
		return stack_operands(e, sp);
	case ZYDIS_MNEMONIC_MOV:
		return segment_load(e, sp);
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
		division_operands(e, sp);
		return true;
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return bit_offset(e, sp);
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
		return limit_double_shift(e, sp);
	case ZYDIS_MNEMONIC_BSWAP:
		return sp->op[0].size != 16; /* undefined, SDM 2A BSWAP */
	case ZYDIS_MNEMONIC_XLAT:
		put_mov(e, HW_RBX, upper_half(e, sp, source_offset(sp, choose_address(e, 1) - 128)));
		return true;
	/* whether each element wraps at 64K, or the operand as a whole cannot, is not said */
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return sp->z->address_width != 16;
	/* whether a mask of zeros suppresses faults, and what they leave behind, differs (SDM 2B MASKMOVQ) */
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		if (sp->z->address_width == 16 || (e->s->compat && m == ZYDIS_MNEMONIC_MASKMOVQ) ||
		    (e->s->compat && sp->z->attributes & ZYDIS_ATTRIB_HAS_SEGMENT))
			return false;
		e->s->unit[e->s->units].vector_memory = true;
		put_mov(e, HW_RDI, upper_half(e, sp, source_offset(sp, plain_address(e->rng, 16))));
		return true;
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
		preset_memory(e, sp, mxcsr_value(e->rng));
		return true;
	case ZYDIS_MNEMONIC_FLDCW:
		preset_memory(e, sp, fcw_value(e->rng));
		return true;
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		preset_fxrstor(e, sp);
		return true;
	default:
		return true;
	}
}

/* Instruction and data pointers of the x87: FXSAVE's are dealt with in mask_fx(), these stand in memory. */
static void clear_environment_pointers(struct emitter *e, const struct special *sp)
{
	bool narrow = sp->z->operand_width == 16;
	unsigned int from = narrow ? 6 : 12, size = narrow ? 2 : 4;

	put_mov(e, HW_RAX, 0);
	for (unsigned int n = 0; n < 4; n++)
		put_store(e, sp->address + from + n * size, size);
}

void special_after(struct emitter *e, struct special *sp)
{
	u64 target;

	switch (sp->z->mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
		clear_fxsave_pointers(e, sp->address);
		return;
	default:
		break;
	}
	if (stores_environment((u16)sp->z->mnemonic))
		clear_environment_pointers(e, sp);
	if (!is_branch((u16)sp->z->mnemonic))
		return;
	put_skipped(e);
	target = CODE_BASE + e->at;
	if (sp->patch)
		memcpy(&e->s->code[sp->patch], &target, word_size(e->s));
}

/* ---------------------------------------------------------------- not for user code */

void emit_privileged(struct emitter *e)
{
	static const struct {
		u8 length, b[4];
	} list[] = {
		{1, {0xf4}},
		{1, {0xfa}},
		{1, {0xfb}},
		{2, {0x0f, 0x06}},
		{2, {0x0f, 0x08}},
		{2, {0x0f, 0x09}},
		{3, {0x0f, 0x01, 0xf8}},
		{3, {0x0f, 0x22, 0xc0}},
		{3, {0x0f, 0x20, 0xd8}},
		{3, {0x0f, 0x23, 0xc7}},
		{2, {0x0f, 0x30}},
		{2, {0x0f, 0x32}},
		{2, {0x0f, 0x07}},
		{1, {0xec}},
		{1, {0xee}},
		{1, {0x6c}},
		{1, {0x6e}},
		{2, {0xe4, 0x10}},
		{2, {0xe6, 0x10}},
		{2, {0xf3, 0x6c}},
		{3, {0x0f, 0x01, 0x38}},
		{3, {0x0f, 0x01, 0x10}},
		{3, {0x0f, 0x00, 0xd0}},
		{3, {0x0f, 0x00, 0xd8}},
		{3, {0x0f, 0x01, 0xf0}},
		{2, {0xcd, 0x20}},
		{2, {0xcd, 0x0d}},
		{2, {0xcd, 0xff}},
		{1, {0xcc}},
		{2, {0x0f, 0x0b}},
		/* no instructions in 64-bit mode */
		{1, {0x06}},
		{1, {0x0e}},
		{1, {0x27}},
		{1, {0x37}},
		{1, {0x60}},
		{1, {0x61}},
		{1, {0x9a}},
		{1, {0xea}},
		{1, {0xd4}},
		{1, {0xd6}},
		{1, {0x82}},
		{1, {0xce}},
		/* LOCK where it may not be */
		{3, {0xf0, 0x01, 0xc8}},
		{3, {0xf0, 0x39, 0x00}},
		{3, {0xf0, 0x89, 0x00}},
		{2, {0xf0, 0x90}},
		{4, {0xf0, 0x0f, 0xaf, 0x00}},
	};
	struct unit *u = &e->s->unit[e->s->units];
	unsigned int n = rng_below(e->rng, sizeof(list) / sizeof(list[0]));

	*u = (struct unit){.start = (u16)e->at, .insn = (u16)e->at};
	put_bytes(e, list[n].b, list[n].length);
	u->end = (u16)e->at;
	e->s->units++;
}
