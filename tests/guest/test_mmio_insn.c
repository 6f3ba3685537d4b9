// SPDX-License-Identifier: Apache-2.0
/* The runtime's decoder of MMIO instructions against Zydis: what it accepts is right, and it accepts all that it should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "runtime/mmio_insn.h"

static ZydisDecoder decoder;
static unsigned int seed = 1;

static void random_bytes(uint8_t bytes[MMIO_INSN_MAX])
{
	static const uint8_t opcodes[] = { 0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3, 0xc6, 0xc7, 0x63, 0xa4, 0xa5, 0xaa, 0xad, 0x8c, 0x01 };
	static const uint8_t second[] = { 0xb6, 0xb7, 0xbe, 0xbf, 0x10 };
	static const uint8_t prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x64, 0x65 };
	unsigned int at = 0;

	for (unsigned int i = 0; i < MMIO_INSN_MAX; i++)
		bytes[i] = (uint8_t)rand_r(&seed);
	while (rand_r(&seed) % 4 == 0 && at < 4)
		bytes[at++] = prefixes[(unsigned int)rand_r(&seed) % sizeof(prefixes)];
	while (rand_r(&seed) % 3 == 0 && at < 6)
		bytes[at++] = (uint8_t)(0x40 | (rand_r(&seed) & 15));
	if (rand_r(&seed) % 8 == 0)
		return;
	if (rand_r(&seed) & 1) {
		bytes[at++] = 0x0f;
		bytes[at] = second[(unsigned int)rand_r(&seed) % sizeof(second)];
	} else {
		bytes[at] = opcodes[(unsigned int)rand_r(&seed) % sizeof(opcodes)];
	}
}

static bool is_gpr(const ZydisDecodedOperand *op)
{
	ZydisRegisterClass class = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? ZydisRegisterGetClass(op->reg.value) : ZYDIS_REGCLASS_INVALID;

	return class == ZYDIS_REGCLASS_GPR8 || class == ZYDIS_REGCLASS_GPR16 || class == ZYDIS_REGCLASS_GPR32 || class == ZYDIS_REGCLASS_GPR64;
}

static bool wanted(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op)
{
	bool mov = i->mnemonic == ZYDIS_MNEMONIC_MOV, load = is_gpr(&op[0]) && op[1].type == ZYDIS_OPERAND_TYPE_MEMORY;
	bool store = op[0].type == ZYDIS_OPERAND_TYPE_MEMORY && (is_gpr(&op[1]) || op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE);

	if (i->mnemonic == ZYDIS_MNEMONIC_MOVSXD)
		return load && op[0].size == 64;
	return (mov && (load || store)) || (load && (i->mnemonic == ZYDIS_MNEMONIC_MOVZX || i->mnemonic == ZYDIS_MNEMONIC_MOVSX));
}

static bool is_string(const ZydisDecodedInstruction *i)
{
	return i->meta.category == ZYDIS_CATEGORY_STRINGOP && i->mnemonic != ZYDIS_MNEMONIC_CMPSB && i->mnemonic != ZYDIS_MNEMONIC_SCASB;
}

static void check_register(const ZydisDecodedOperand *op, const struct mmio_insn *got, bool destination)
{
	ZydisRegister reg = op->reg.value;
	bool high = reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;

	assert_int_equal(got->high_byte, high);
	assert_int_equal(got->reg, high ? (int)(reg - ZYDIS_REGISTER_AH) :
					      ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg)));
	if (destination)
		assert_int_equal(got->reg_size, op->size / 8);
}

static void check_insn(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op, const struct mmio_insn *got)
{
	bool write = op[0].type == ZYDIS_OPERAND_TYPE_MEMORY;

	assert_int_equal(got->length, i->length);
	assert_int_equal(got->write, write);
	assert_int_equal(got->size, op[write ? 0 : 1].size / 8);
	assert_int_equal(got->immediate, op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE);
	if (got->immediate)
		assert_memory_equal(&got->value, &op[1].imm.value.u, got->size);
	else
		check_register(&op[write], got, !write);
	assert_int_equal(got->sign, i->mnemonic == ZYDIS_MNEMONIC_MOVSX || i->mnemonic == ZYDIS_MNEMONIC_MOVSXD);
}

static void test_against_zydis(void **state)
{
	unsigned int accepted = 0;

	for (unsigned int round = 0; round < 2000000; round++) {
		ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
		ZydisDecodedInstruction i;
		uint8_t bytes[MMIO_INSN_MAX];
		enum mmio_insn_result result;
		struct mmio_insn got;

		random_bytes(bytes);
		result = mmio_insn_decode(bytes, sizeof(bytes), &got);
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, sizeof(bytes), &i, op))) {
			assert_int_not_equal(result, MMIO_INSN_OK);
			continue;
		}
		if (result == MMIO_INSN_STRING)
			assert_true(is_string(&i));
		assert_int_equal(result == MMIO_INSN_OK, wanted(&i, op));
		if (result != MMIO_INSN_OK)
			continue;
		accepted++;
		check_insn(&i, op, &got);
		/* One byte fewer is not enough. */
		assert_int_equal(mmio_insn_decode(bytes, i.length - 1u, &got), MMIO_INSN_TRUNCATED);
	}
	assert_true(accepted > 100000);
}

static void test_empty(void **state)
{
	struct mmio_insn got;

	assert_int_equal(mmio_insn_decode(NULL, 0, &got), MMIO_INSN_TRUNCATED);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_zydis), cmocka_unit_test(test_empty) };

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return cmocka_run_group_tests_name("guest/mmio_insn", tests, NULL, NULL);
}
