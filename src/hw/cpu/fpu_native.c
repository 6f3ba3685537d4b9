// SPDX-License-Identifier: Apache-2.0
/*
 * x87 arithmetic, loads, stores and comparisons: the host's instruction on the guest's image, under the guest's control
 * word.
 *
 * The image is loaded with its exception flags clear, so what is set afterwards was raised here. Nothing that waits
 * runs before the host's unit is initialised again: an unmasked exception stays in the image.
 */
#include "hw/cpu/fpu.h"
#include "hw/cpu/simd.h"

extern const u8 fpu_stub_reg[8][64][4] __attribute__((visibility("hidden")));
extern const u8 fpu_stub_mem[8][8][4] __attribute__((visibility("hidden")));
u64 fpu_call(void *image, const u8 *stub, void *memory, u64 eflags);

static bool is_store(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_FST:
	case ZYDIS_MNEMONIC_FSTP:
	case ZYDIS_MNEMONIC_FIST:
	case ZYDIS_MNEMONIC_FISTP:
	case ZYDIS_MNEMONIC_FISTTP:
	case ZYDIS_MNEMONIC_FBSTP:
		return true;
	default:
		return false;
	}
}

static bool writes_eflags(u16 mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_FCOMI:
	case ZYDIS_MNEMONIC_FCOMIP:
	case ZYDIS_MNEMONIC_FUCOMI:
	case ZYDIS_MNEMONIC_FUCOMIP:
		return true;
	default:
		return false;
	}
}

static unsigned int memory_size(const struct insn *i)
{
	for (unsigned int n = 0; n < sizeof(i->op) / sizeof(i->op[0]); n++)
		if (i->op[n].kind == OPND_MEM)
			return i->op[n].size;
	return 0;
}

/* The legacy area with the exception flags clear; the host's MXCSR passes through. */
static void load_image(const struct hw_cpu *c, u8 *image)
{
	u16 fsw = fx_get16(c, FX_FSW) & (u16) ~(FSW_FLAGS | FSW_SF | FSW_ES | FSW_B);
	u32 mxcsr = _mm_getcsr();

	memset(image, 0, FX_SIZE);
	memcpy(image, c->arch.xsave.b, FX_XMM);
	memcpy(image + FX_FSW, &fsw, 2);
	memset(image + FX_FOP, 0, FX_MXCSR - FX_FOP);
	memcpy(image + FX_MXCSR, &mxcsr, 4);
}

static void commit_image(struct hw_cpu *c, const u8 *image, u16 fsw)
{
	u16 sticky = fx_get16(c, FX_FSW) & (FSW_FLAGS | FSW_SF);

	memcpy(c->arch.xsave.b + FX_ST, image + FX_ST, FX_XMM - FX_ST);
	c->arch.xsave.b[FX_FTW] = image[FX_FTW];
	fpu_set_fsw(c, fsw | sticky);
}

int fpu_native(struct hw_cpu *c, const struct insn *i)
{
	u8 image[FX_SIZE] __attribute__((aligned(64)));
	u8 memory[16] __attribute__((aligned(16))) = {0};
	bool store = i->modrm < 0xc0 && is_store(i->mnemonic);
	unsigned int size = i->modrm < 0xc0 ? memory_size(i) : 0, escape = i->opcode & 7;
	u64 lin = 0, eflags;
	u16 fsw, fcw = fx_get16(c, FX_FCW);
	int err = fpu_check_waiting(c);

	if (size > sizeof(memory))
		return cpu_ud(c);
	if (!err && size)
		err = insn_mem(c, i, size, store ? ACC_WRITE : ACC_READ, &lin);
	if (!err && size && !store)
		err = cpu_read(c, lin, memory, size);
	if (err)
		return err;
	load_image(c, image);
	eflags = fpu_call(
		image, i->modrm < 0xc0 ? fpu_stub_mem[escape][i->modrm >> 3 & 7] : fpu_stub_reg[escape][i->modrm & 63],
		memory, flags_to_eflags(c->flags));
	memcpy(&fsw, image + FX_FSW, 2);
	/* SDM 1 8.5: a store whose exception is unmasked does not happen, but for an inexact result. It still may fault. */
	if (store && fsw & ~fcw & FSW_FLAGS & ~32u)
		err = fx_probe_write(c, lin, size);
	else if (store)
		err = cpu_write(c, lin, memory, size);
	if (err)
		return err;
	commit_image(c, image, fsw);
	fpu_note_insn(c, i);
	if (writes_eflags(i->mnemonic))
		cpu_set_arith_flags(c, (u32)eflags & FLAGS_ARITH);
	return EXEC_OK;
}
