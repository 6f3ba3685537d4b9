// SPDX-License-Identifier: Apache-2.0
/*
 * x87, MMX and SSE instructions against the host's own: random instructions from the tables, random state, every masked
 * and unmasked exception. The functions under test are called directly; memory is the test's own, mapped one to one.
 *
 * SOFTCVM_SIMD_SEED and SOFTCVM_SIMD_COUNT replay or lengthen a run.
 */
#include <cpuid.h>
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include "hw/cpu/fxsave.h"
#include "hw/cpu/simd_c.h"
#include "hw/cpu/simd_vex.h"

#define CR4_ALL	    (FPU_CR4_OSFXSR | FPU_CR4_OSXMM | FPU_CR4_OSXSAVE)
#define BUFFER_SIZE 128

/* ---------------------------------------------------------------- running on the host */

#define NATIVE_SIZE 832 /* x87, SSE, header, AVX in the standard form */

static struct native {
	u64 gpr[16]; /* HW_RSP is not loaded */
	u64 eflags;
	u64 host_rsp;
	u8 fx[HW_XSAVE_SIZE] __attribute__((aligned(64)));
	u8 host_fx[HW_XSAVE_SIZE] __attribute__((aligned(64)));
} native __attribute__((used));

static sigjmp_buf native_fault;
static volatile int native_vector;
static bool host_avx;

void native_enter(const void *code);
void native_leave(void);
asm("	.text\n"
    "native_enter:\n"
    "	push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "	lea native(%rip), %rax\n"
    "	mov %rsp, 136(%rax)\n"
    "	mov %rdi, %r15\n"
    "	mov %rax, %rcx\n"
    "	mov $7, %eax\n"
    "	xor %edx, %edx\n"
    "	xsave64 1280(%rcx)\n"
    "	xrstor64 192(%rcx)\n"
    "	mov %rcx, %rax\n"
    "	push %r15\n"
    "	push 128(%rax)\n"
    "	mov 8(%rax), %rcx\n mov 16(%rax), %rdx\n mov 24(%rax), %rbx\n mov 40(%rax), %rbp\n"
    "	mov 48(%rax), %rsi\n mov 56(%rax), %rdi\n mov 64(%rax), %r8\n mov 72(%rax), %r9\n"
    "	mov 80(%rax), %r10\n mov 88(%rax), %r11\n mov 96(%rax), %r12\n mov 104(%rax), %r13\n"
    "	mov 112(%rax), %r14\n mov 120(%rax), %r15\n mov (%rax), %rax\n"
    "	popfq\n"
    "	ret\n"
    "native_leave:\n"
    "	mov %rax, native(%rip)\n"
    "	pushfq\n"
    "	lea native(%rip), %rax\n"
    "	popq 128(%rax)\n"
    "	mov %rcx, 8(%rax)\n mov %rdx, 16(%rax)\n mov %rbx, 24(%rax)\n mov %rbp, 40(%rax)\n"
    "	mov %rsi, 48(%rax)\n mov %rdi, 56(%rax)\n mov %r8, 64(%rax)\n mov %r9, 72(%rax)\n"
    "	mov %r10, 80(%rax)\n mov %r11, 88(%rax)\n mov %r12, 96(%rax)\n mov %r13, 104(%rax)\n"
    "	mov %r14, 112(%rax)\n mov %r15, 120(%rax)\n"
    "	mov %rax, %rcx\n"
    "	mov $7, %eax\n"
    "	xor %edx, %edx\n"
    "	xsave64 192(%rcx)\n"
    "	fninit\n"
    "	xrstor64 1280(%rcx)\n"
    "	cld\n"
    "	mov 136(%rcx), %rsp\n"
    "	pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
    "	ret\n");
_Static_assert(offsetof(struct native, fx) == 192 && offsetof(struct native, host_fx) == 1280,
	       "the assembly's offsets");

static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	native_vector = (int)uc->uc_mcontext.gregs[REG_TRAPNO];
	/* the kernel's signal frame is an XSAVE area, standard form */
	memcpy(native.fx, uc->uc_mcontext.fpregs, host_avx ? NATIVE_SIZE : FX_SIZE);
	siglongjmp(native_fault, 1);
}

/* Returns the vector of the fault, -1 if none. */
static int run_native(u8 *code, const u8 *bytes, unsigned int len)
{
	u64 leave = (u64)(uintptr_t)native_leave;

	memcpy(code, bytes, len);
	memcpy(code + len, "\xff\x25\0\0\0\0", 6);
	memcpy(code + len + 6, &leave, 8);
	native_vector = -1;
	if (!sigsetjmp(native_fault, 1))
		native_enter(code);
	return native_vector;
}

/* ---------------------------------------------------------------- random instructions and state */

static u64 seed;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

static struct operand take_operand(const ZydisDecodedOperand *z)
{
	struct operand o = {.size = (u8)(z->size / 8)};
	ZydisRegister reg = z->reg.value;

	if (z->type == ZYDIS_OPERAND_TYPE_MEMORY)
		o.kind = OPND_MEM;
	else if (z->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		o.kind = OPND_IMM;
	else if (reg >= ZYDIS_REGISTER_XMM0 && reg <= ZYDIS_REGISTER_XMM15)
		o.kind = OPND_XMM;
	else if (reg >= ZYDIS_REGISTER_YMM0 && reg <= ZYDIS_REGISTER_YMM15)
		o.kind = OPND_YMM;
	else if (reg >= ZYDIS_REGISTER_MM0 && reg <= ZYDIS_REGISTER_MM7)
		o.kind = OPND_MMX;
	else if (reg >= ZYDIS_REGISTER_ST0 && reg <= ZYDIS_REGISTER_ST7)
		o.kind = OPND_ST;
	else
		o.kind = OPND_GPR;
	if (z->type == ZYDIS_OPERAND_TYPE_REGISTER)
		o.reg = (u8)ZydisRegisterGetId(reg);
	return o;
}

/* false: not an instruction for this test. */
static bool decode(const ZydisDecoder *decoder, const u8 *bytes, struct insn *i)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

	if (ZYAN_FAILED(ZydisDecoderDecodeFull(decoder, bytes, 15, &z, op)) ||
	    (z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && z.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX))
		return false;
	*i = (struct insn){.mnemonic = (u16)z.mnemonic,
			   .len = z.length,
			   .opsize = z.operand_width / 8,
			   .addrsize = 8,
			   .opcode = z.opcode,
			   .opcode_map = (u8)z.opcode_map,
			   .modrm = z.raw.modrm.offset ? bytes[z.raw.modrm.offset] : 0,
			   .base = INSN_NO_REG,
			   .index = INSN_NO_REG,
			   .sreg = HW_DS,
			   .vvvv_l = z.avx.vector_length == 256,
			   .vex = z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX};
	/* as decode.c does */
	if (z.mnemonic == ZYDIS_MNEMONIC_MOVSD)
		i->mnemonic = ZYDIS_MNEMONIC_VMOVSD;
	else if (z.mnemonic == ZYDIS_MNEMONIC_CMPSD)
		i->mnemonic = ZYDIS_MNEMONIC_VCMPSD;
	memcpy(i->bytes, bytes, 15);
	for (unsigned int n = 0; n < z.operand_count_visible && i->nops < 4; n++) {
		i->op[i->nops] = take_operand(&op[n]);
		if (i->op[i->nops].kind == OPND_GPR && i->op[i->nops].reg == HW_RSP)
			return false;
		if (i->op[i->nops].kind == OPND_MEM)
			i->base = HW_RDI, i->scale = op[n].mem.scale;
		if (i->op[i->nops].kind == OPND_IMM)
			i->imm = (s64)op[n].imm.value.u;
		i->nops++;
	}
	return true;
}

static const struct insn_desc *find(u16 mnemonic)
{
	const struct insn_table *const tables[] = {&simd_insns, &fpu_insns};

	for (unsigned int t = 0; t < 2; t++)
		for (size_t n = 0; n < tables[t]->count; n++)
			if (tables[t]->desc[n].mnemonic == mnemonic)
				return &tables[t]->desc[n];
	return NULL;
}

/*
 * FIP, FDP and FOP are the test's own on the host, and FNSTENV and FNSAVE store them. The 256-bit forms of AES and
 * PCLMULQDQ are features of their own (VAES, VPCLMULQDQ), which the host may have.
 */
static bool comparable(const struct insn *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
		return false;
	case ZYDIS_MNEMONIC_SHA1RNDS4: /* some hosts lack them, some read unaligned operands: sha_matches_host() */
	case ZYDIS_MNEMONIC_SHA1NEXTE:
	case ZYDIS_MNEMONIC_SHA1MSG1:
	case ZYDIS_MNEMONIC_SHA1MSG2:
	case ZYDIS_MNEMONIC_SHA256RNDS2:
	case ZYDIS_MNEMONIC_SHA256MSG1:
	case ZYDIS_MNEMONIC_SHA256MSG2:
		return false;
	case ZYDIS_MNEMONIC_VAESENC:
	case ZYDIS_MNEMONIC_VAESENCLAST:
	case ZYDIS_MNEMONIC_VAESDEC:
	case ZYDIS_MNEMONIC_VAESDECLAST:
	case ZYDIS_MNEMONIC_VPCLMULQDQ:
		return i->op[0].kind != OPND_YMM;
	default:
		return true;
	}
}

/* Prefixes, escape, opcode: legacy. 0: try again. */
static unsigned int random_legacy(u64 r, bool memory, u8 *bytes)
{
	static const u8 prefix[] = {0, 0x66, 0xf2, 0xf3};
	unsigned int n = 0, map = r & 7;

	if (map != 7 && (r >> 3 & 3))
		bytes[n++] = prefix[r >> 3 & 3];
	if ((r >> 5 & 3) == 0)
		bytes[n++] = (u8)(memory ? 0x48 | (r >> 8 & 4) : 0x40 | (r >> 8 & 15));
	if (map == 7) {
		bytes[n++] = 0xd8 | (r >> 12 & 7);
		return n;
	}
	bytes[n++] = 0x0f;
	if (map == 6)
		bytes[n++] = 0x38;
	else if (map == 5)
		bytes[n++] = 0x3a;
	bytes[n] = (u8)(r >> 16);
	return map < 5 && (bytes[n] == 0x38 || bytes[n] == 0x3a) ? 0 : n + 1;
}

/* Half of the two-operand forms want vvvv unused. */
static unsigned int random_vex(u64 r, bool memory, u8 *bytes)
{
	bytes[0] = 0xc4;
	bytes[1] = (u8)((r & 0xc0) | (memory ? 0x20 : r & 0x20) | (1 + r % 3));
	bytes[2] = (u8)((r >> 8 & 0x87) | (r >> 24 & 1 ? 0x78 : r >> 8 & 0x78));
	bytes[3] = (u8)(r >> 16);
	return 4;
}

static const struct insn_desc *random_insn(const ZydisDecoder *decoder, struct insn *i)
{
	const struct insn_desc *desc = NULL;

	while (!desc) {
		u64 r = rnd();
		bool vex = host_avx && r >> 63, gather = vex && (r >> 60 & 7) == 0, memory;
		u8 bytes[16] = {0}, modrm = (u8)(r >> 32);
		unsigned int n;

		if (gather)
			modrm &= 0x3f;
		memory = modrm < 0xc0;
		if (memory)
			modrm = (modrm & 0x38) | (gather ? 4 : 7);
		n = vex ? random_vex(r, memory, bytes) : random_legacy(r, memory, bytes);
		if (!n)
			continue;
		bytes[n++] = modrm;
		if (gather)
			bytes[n++] = (u8)(r >> 40 & 0xf8) | HW_RDI;
		bytes[n] = (u8)(r >> 48);
		if (!decode(decoder, bytes, i) || !comparable(i))
			continue;
		desc = find(i->mnemonic);
		if (gather && desc && desc->fn != vex_gather)
			desc = NULL;
	}
	return desc;
}

/* Indices that stay inside the buffer. */
static void tame_gather(struct hw_cpu *c, const struct insn *i)
{
	unsigned int reg = (i->bytes[5] >> 3 & 7) | (i->bytes[1] & 0x40 ? 0 : 8);
	bool wide = (i->opcode & 1) != 0;
	union ymm_elements v;

	for (unsigned int n = 0; n < 8; n++)
		v.d[n] = wide && (n & 1) ? 0 : (u32)(rnd() & 7);
	ymm_set(c, reg, v.v);
}

static u64 interesting(void)
{
	static const u64 pool[] = {
		0,
		1,
		0x8000000000000000,
		0x7ff0000000000000,
		0xfff0000000000000,
		0x7ff8000000000000,
		0x7ff0000000000001,
		0x000fffffffffffff,
		0x3ff0000000000000,
		0xbff0000000000000,
		0x7fefffffffffffff,
		0x0010000000000000,
		0x7f8000007f800001,
		0x3f80000000000001,
		0x00000001807fffff,
		0x7f7fffff00800000,
		0xff800000bf800000,
		0x43e0000000000000,
		0xc3e0000000000000,
		0x41dfffffffc00000,
		0x4f0000004effffff,
		0x0101010180808080,
		0xffffffffffffffff,
		0x4330000000000000,
		0x3fe0000000000001,
		0x4b0000003effffff,
	};
	u64 r = rnd();

	switch (r >> 60 & 3) {
	case 0:
		return rnd();
	case 1:
		return (rnd() & 0x800fffffffffffff) | (u64)(0x3f0 + (r & 31)) << 52;
	case 2:
		return (rnd() & 0x807fffff807fffff) | (u64)(0x70 + (r & 31)) << 23 | (u64)(0x70 + (r >> 5 & 31)) << 55;
	default:
		return pool[r % (sizeof(pool) / sizeof(pool[0]))];
	}
}

static void random_x87_value(u8 *p)
{
	static const u16 exponents[] = {0,	1,	0x3fff, 0x7fff, 0x7ffe, 0x403e,
					0x401e, 0x4000, 0x3ffe, 0x3c00, 0x3f80, 0x43fe};
	u64 r = rnd(), significand = interesting();
	u16 exponent = r & 3 ? exponents[r >> 8 & 0xff % 12] : (u16)(0x3fff + (r >> 8 & 31) - 16);

	if (r & 0x1c)
		significand |= 1ull << 63;
	exponent |= (u16)(r >> 16 & 0x8000);
	memcpy(p, &significand, 8);
	memcpy(p + 8, &exponent, 2);
	memset(p + 10, 0, 6);
}

static void random_state(struct hw_cpu *c, u8 *buffer)
{
	u64 r = rnd();
	u16 fcw = 0x40 | (r & 0xf00), fsw = (u16)(r >> 16 & 0x7f3f);
	u32 mxcsr = (u32)(r >> 32 & 0xe07f);

	fcw |= (u16)(r >> 48 & 3 ? 0x3f : rnd() & 0x3f);
	mxcsr |= r >> 50 & 3 ? MXCSR_MASKS : (u32)rnd() & MXCSR_MASKS;
	if (r >> 52 & 7)
		fsw &= fcw | 0xffc0; /* mostly nothing pending */
	memset(&c->arch.xsave, 0, sizeof(c->arch.xsave));
	c->arch.xsave.b[FX_FTW] = (u8)(r >> 56 & 1 ? 0xff : rnd());
	fx_set16(c, FX_FCW, fcw);
	fpu_set_fsw(c, fsw);
	mxcsr_set(c, mxcsr);
	for (unsigned int n = 0; n < 8; n++)
		random_x87_value(c->arch.xsave.b + FX_ST + 16 * n);
	for (unsigned int n = 0; n < 32; n++)
		fx_set64(c, FX_XMM + 8 * n, interesting());
	for (unsigned int n = 0; n < 32; n++)
		fx_set64(c, YMM_UPPER + 8 * n, interesting());
	for (unsigned int n = 0; n < 16; n++)
		c->arch.gpr[n] = rnd() & 1 ? interesting() : rnd() % 33 - 16;
	for (unsigned int n = 0; n < BUFFER_SIZE; n += 8) {
		u64 v = interesting();

		memcpy(buffer + n, &v, 8);
	}
	if (rnd() & 1)
		random_x87_value(buffer);
	c->arch.gpr[HW_RDI] = (u64)(uintptr_t)buffer + (rnd() & 15 ? 0 : rnd() & 15);
	c->flags = flags_from_eflags((u32)rnd() & FLAGS_ARITH);
	c->arch.cr0 = 0x33;
	c->arch.cr4 = CR4_ALL;
	c->arch.xcr0 = 7;
	c->mode = MODE_CS64 | MODE_PROT;
}

/* ---------------------------------------------------------------- comparison */

static void fill_native(const struct hw_cpu *c)
{
	memcpy(native.gpr, c->arch.gpr, sizeof(native.gpr));
	native.eflags = 0x202 | flags_to_eflags(c->flags);
	memcpy(native.fx, c->arch.xsave.b, HW_XSAVE_SIZE);
	native.fx[FX_SIZE] = host_avx ? 7 : 3;
}

/*
 * An unmasked overflow or underflow is inexact if the result would be with an unbounded exponent (SDM
 * 1 4.9.1.4, 4.9.1.5); the masked run that simd_run_fp() makes cannot tell: PE is not compared then. DPPS and DPPD stop
 * at the step that faults, so what the later steps raise is not compared either.
 */
static void forgive_unmasked(struct hw_cpu *c, u16 mnemonic)
{
	bool stepwise = mnemonic == ZYDIS_MNEMONIC_DPPS || mnemonic == ZYDIS_MNEMONIC_DPPD ||
			mnemonic == ZYDIS_MNEMONIC_VDPPS || mnemonic == ZYDIS_MNEMONIC_VDPPD;
	u32 mxcsr = mxcsr_get(c), host, ignored = stepwise ? MXCSR_FLAGS : 1u << 5;

	memcpy(&host, native.fx + FX_MXCSR, 4);
	if ((stepwise || (mxcsr & ~(mxcsr >> 7) & 0x18)) && !((host ^ mxcsr) & ~ignored))
		mxcsr_set(c, host);
}

static bool same_image(const struct hw_cpu *c)
{
	const u8 *mine = c->arch.xsave.b, *host = native.fx;
	bool same = !memcmp(mine, host, 5) && !memcmp(mine + FX_MXCSR, host + FX_MXCSR, 4) &&
		    !memcmp(mine + FX_XMM, host + FX_XMM, 256);

	for (unsigned int n = 0; n < 8; n++)
		same = same && !memcmp(mine + FX_ST + 16 * n, host + FX_ST + 16 * n, 10);
	return same && (!host_avx || !memcmp(mine + YMM_UPPER, host + YMM_UPPER, 256));
}

static void print_image(const char *who, const u8 *fx, const u64 *gpr, u64 eflags, const u8 *buffer)
{
	u64 v[64];

	memcpy(v, fx, sizeof(v));
	printf("%s fcw/fsw/ftw %016llx mxcsr %08x flags %03llx rax %llx rcx %llx\n", who, (unsigned long long)v[0],
	       (u32)v[3], (unsigned long long)eflags & FLAGS_ARITH, (unsigned long long)gpr[0],
	       (unsigned long long)gpr[1]);
	for (unsigned int n = 0; n < 8; n++)
		printf("  st%u %04x:%016llx  xmm%u %016llx:%016llx\n", n, (u16)v[5 + 2 * n],
		       (unsigned long long)v[4 + 2 * n], n, (unsigned long long)v[21 + 2 * n],
		       (unsigned long long)v[20 + 2 * n]);
	memcpy(v, buffer, 16);
	printf("  memory %016llx:%016llx\n", (unsigned long long)v[1], (unsigned long long)v[0]);
}

struct setup {
	ZydisDecoder decoder;
	struct hw_cpu *cpu;
	u8 *code;
	u8 *buffer;
};

/* One instruction on both; false and a report if they differ. */
static bool compare_one(struct setup *s)
{
	struct hw_cpu *c = s->cpu;
	struct insn i;
	const struct insn_desc *desc = random_insn(&s->decoder, &i);
	u8 before[BUFFER_SIZE], host_buffer[BUFFER_SIZE];
	struct native start;
	int host, mine, result;
	bool same;

	random_state(c, s->buffer);
	if (desc->fn == vex_gather)
		tame_gather(c, &i);
	memcpy(before, s->buffer, BUFFER_SIZE);
	fill_native(c);
	start = native;
	host = run_native(s->code, i.bytes, i.len);
	memcpy(host_buffer, s->buffer, BUFFER_SIZE);
	memcpy(s->buffer, before, BUFFER_SIZE);
	if (host >= 0)
		memcpy(native.gpr, start.gpr, sizeof(start.gpr)), native.eflags = start.eflags;
	result = desc->fn(c, &i);
	mine = result == EXEC_FAULT ? c->fault.vector : -1;
	native.gpr[HW_RSP] = c->arch.gpr[HW_RSP];
	if (mine == X86_XM)
		forgive_unmasked(c, i.mnemonic);
	same = host == mine && same_image(c) && !memcmp(native.gpr, c->arch.gpr, sizeof(native.gpr)) &&
	       !memcmp(host_buffer, s->buffer, BUFFER_SIZE) &&
	       !((native.eflags ^ flags_to_eflags(c->flags)) & FLAGS_ARITH);
	if (!same) {
		printf("%s", ZydisMnemonicGetString(i.mnemonic));
		for (unsigned int n = 0; n < i.len; n++)
			printf(" %02x", i.bytes[n]);
		printf(": vector host %d, softcvm %d\n", host, mine);
		print_image("start", start.fx, start.gpr, start.eflags, before);
		print_image("host", native.fx, native.gpr, native.eflags, host_buffer);
		print_image("softcvm", c->arch.xsave.b, c->arch.gpr, flags_to_eflags(c->flags), s->buffer);
	}
	return same;
}

static void native_equal(void **state)
{
	const char *seed_text = getenv("SOFTCVM_SIMD_SEED"), *count_text = getenv("SOFTCVM_SIMD_COUNT");
	u64 count = count_text ? strtoull(count_text, NULL, 0) : 300000, different = 0;
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
	struct setup s;
	const char *missing;

	if (!simd_host_ok(&missing) || !__builtin_cpu_supports("xsave"))
		skip();
	host_avx = __builtin_cpu_supports("avx2");
	seed = seed_text ? strtoull(seed_text, NULL, 0) : 0x5eed;
	printf("SOFTCVM_SIMD_SEED=%#llx SOFTCVM_SIMD_COUNT=%llu\n", (unsigned long long)seed,
	       (unsigned long long)count);
	s.cpu = aligned_alloc(64, (sizeof(*s.cpu) + 63) & ~63ul);
	s.buffer = aligned_alloc(64, BUFFER_SIZE);
	s.code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_non_null(s.cpu);
	assert_non_null(s.buffer);
	assert_ptr_not_equal(s.code, MAP_FAILED);
	memset(s.cpu, 0, sizeof(*s.cpu));
	for (unsigned int n = 0; n < TLB_SIZE; n++)
		s.cpu->tlb_read[0][n].tag = s.cpu->tlb_write[0][n].tag = TLB_TAG_INVALID;
	ZydisDecoderInit(&s.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	for (u64 n = 0; n < count && different < 10; n++)
		different += !compare_one(&s);
	munmap(s.code, 4096);
	free(s.buffer);
	free(s.cpu);
	assert_int_equal(different, 0);
}

/* ---------------------------------------------------------------- XSAVE */

#define AREA_SIZE 1024

struct area {
	u8 b[AREA_SIZE];
} __attribute__((aligned(64)));

static const struct insn_desc *xsave_desc(u16 mnemonic)
{
	for (size_t n = 0; n < xsave_insns.count; n++)
		if (xsave_insns.desc[n].mnemonic == mnemonic)
			return &xsave_insns.desc[n];
	fail();
	return NULL;
}

static int run_on_area(struct hw_cpu *c, u16 mnemonic, void *area)
{
	const struct insn i = {.mnemonic = mnemonic, .base = HW_RDI, .index = INSN_NO_REG, .modrm = 0x27};

	c->arch.gpr[HW_RDI] = (u64)(uintptr_t)area;
	return xsave_desc(mnemonic)->fn(c, &i);
}

static void request(struct hw_cpu *c, u32 rfbm)
{
	c->arch.gpr[HW_RAX] = rfbm;
	c->arch.gpr[HW_RDX] = 0;
}

static struct hw_cpu *xsave_cpu(void)
{
	struct hw_cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~63ul);

	assert_non_null(c);
	memset(c, 0, sizeof(*c));
	c->arch.cr4 = CR4_ALL;
	c->arch.xcr0 = 3;
	c->mode = MODE_CS64 | MODE_PROT;
	return c;
}

static void host_restore(const struct area *a, u8 *fx)
{
	struct area host;

	asm volatile("fxsave64 %[host]\n\txrstor64 %[area]\n\tfxsave64 %[fx]\n\tfninit\n\tfxrstor64 %[host]"
		     : [host] "=m"(host), [fx] "=m"(*(struct area *)fx)
		     : [area] "m"(*a), "a"(3), "d"(0)
		     : "memory");
}

/* What the host restores from an area written here is the state; bit for bit but for FOP, FIP and FDP. */
static void xsave_restored_by_host(void **state)
{
	static const u16 forms[] = {ZYDIS_MNEMONIC_XSAVE64, ZYDIS_MNEMONIC_XSAVEOPT64, ZYDIS_MNEMONIC_XSAVEC64};
	struct hw_cpu *c = xsave_cpu();
	u8 buffer[BUFFER_SIZE];

	seed = 0x5eed;
	for (unsigned int n = 0; n < 3000; n++) {
		struct area a = {0}, fx;

		random_state(c, buffer);
		if (n % 5 == 0)
			fx_init_x87(c);
		if (n % 7 == 0)
			fx_init_xmm(c);
		request(c, 3);
		assert_int_equal(run_on_area(c, forms[n % 3], &a), EXEC_OK);
		host_restore(&a, fx.b);
		assert_memory_equal(fx.b, c->arch.xsave.b, 5);
		assert_memory_equal(fx.b + FX_MXCSR, c->arch.xsave.b + FX_MXCSR, 4);
		assert_memory_equal(fx.b + FX_XMM, c->arch.xsave.b + FX_XMM, 256);
		for (unsigned int k = 0; k < 8; k++)
			assert_memory_equal(fx.b + FX_ST + 16 * k, c->arch.xsave.b + FX_ST + 16 * k, 10);
	}
	free(c);
}

static void xsave_round_trip(void **state)
{
	static const u16 forms[][2] = {
		{ZYDIS_MNEMONIC_FXSAVE64, ZYDIS_MNEMONIC_FXRSTOR64},
		{ZYDIS_MNEMONIC_XSAVE64, ZYDIS_MNEMONIC_XRSTOR64},
		{ZYDIS_MNEMONIC_XSAVEOPT64, ZYDIS_MNEMONIC_XRSTOR64},
		{ZYDIS_MNEMONIC_XSAVEC64, ZYDIS_MNEMONIC_XRSTOR64},
		{ZYDIS_MNEMONIC_XSAVES64, ZYDIS_MNEMONIC_XRSTORS64},
	};
	struct hw_cpu *c = xsave_cpu();
	u8 buffer[BUFFER_SIZE];

	seed = 0x5eed;
	for (unsigned int n = 0; n < 5000; n++) {
		struct area a = {0};
		struct hw_xsave want;

		random_state(c, buffer);
		fx_set64(c, FX_FIP, rnd());
		fx_set64(c, FX_FDP, rnd());
		if (n % 7 == 0)
			memset(c->arch.xsave.b + YMM_UPPER, 0, 256);
		want = c->arch.xsave;
		request(c, 7);
		assert_int_equal(run_on_area(c, forms[n % 5][0], &a), EXEC_OK);
		random_state(c, buffer);
		request(c, 7);
		assert_int_equal(run_on_area(c, forms[n % 5][1], &a), EXEC_OK);
		assert_memory_equal(c->arch.xsave.b, want.b, FX_MASK);
		assert_memory_equal(c->arch.xsave.b + FX_ST, want.b + FX_ST, FX_SIZE - FX_ST);
		if (n % 5)
			assert_memory_equal(c->arch.xsave.b + YMM_UPPER, want.b + YMM_UPPER, 256);
	}
	free(c);
}

/* SDM 1 13.8, 13.12: what a header may say. */
static void xrstor_bad_headers(void **state)
{
	static const struct {
		u16 mnemonic;
		unsigned int misalign;
		u64 xstate_bv, xcomp_bv, reserved;
		u32 mxcsr;
		bool ok;
	} cases[] = {
		{ZYDIS_MNEMONIC_XRSTOR64, 0, 3, 0, 0, MXCSR_INIT, true},
		{ZYDIS_MNEMONIC_XRSTOR64, 0, 0, 0, 0, MXCSR_INIT, true},
		{ZYDIS_MNEMONIC_XRSTOR64, 16, 3, 0, 0, MXCSR_INIT, false},
		{ZYDIS_MNEMONIC_XRSTOR64, 0, 4, 0, 0, MXCSR_INIT, false},
		{ZYDIS_MNEMONIC_XRSTOR64, 0, 3, 3, 0, MXCSR_INIT, false},
		{ZYDIS_MNEMONIC_XRSTOR64, 0, 3, 0, 1, MXCSR_INIT, false},
		{ZYDIS_MNEMONIC_XRSTOR64, 0, 0, 0, 0, 0x10000, false},
		{ZYDIS_MNEMONIC_XRSTOR64, 0, 3, (u64)1 << 63 | 3, 0, MXCSR_INIT, true},
		{ZYDIS_MNEMONIC_XRSTOR64, 0, 3, (u64)1 << 63 | 1, 0, MXCSR_INIT, false},
		{ZYDIS_MNEMONIC_XRSTOR64, 0, 3, (u64)1 << 63 | 7, 0, MXCSR_INIT, false},
		{ZYDIS_MNEMONIC_XRSTOR64, 0, 1, (u64)1 << 63 | 3, 0, 0x10000, true},
		{ZYDIS_MNEMONIC_XRSTORS64, 0, 3, 0, 0, MXCSR_INIT, false},
		{ZYDIS_MNEMONIC_XRSTORS64, 0, 3, (u64)1 << 63 | 3, 0, MXCSR_INIT, true},
		{ZYDIS_MNEMONIC_XRSTORS64, 0, 3, (u64)1 << 63 | 3, 1, MXCSR_INIT, false},
	};
	struct hw_cpu *c = xsave_cpu();

	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct area a = {0};
		int result;

		memcpy(a.b + FX_MXCSR, &cases[n].mxcsr, 4);
		memcpy(a.b + FX_SIZE, &cases[n].xstate_bv, 8);
		memcpy(a.b + FX_SIZE + 8, &cases[n].xcomp_bv, 8);
		memcpy(a.b + FX_SIZE + 16, &cases[n].reserved, 8);
		request(c, 3);
		result = run_on_area(c, cases[n].mnemonic, a.b + cases[n].misalign);
		if (result != (cases[n].ok ? EXEC_OK : EXEC_FAULT))
			printf("case %zu\n", n);
		assert_int_equal(result, cases[n].ok ? EXEC_OK : EXEC_FAULT);
	}
	free(c);
}

/* ---------------------------------------------------------------- the portable forms */

static __m128i from_bytes(const char *hex)
{
	u8 b[16];

	for (unsigned int n = 0; n < 16; n++) {
		unsigned int v;

		assert_int_equal(sscanf(hex + 2 * n, "%2x", &v), 1);
		b[n] = (u8)v;
	}
	return _mm_loadu_si128((__m128i *)b);
}

static void assert_vector(__m128i v, const char *hex)
{
	const __m128i want = from_bytes(hex);

	assert_memory_equal(&v, &want, 16);
}

/* FIPS 197 appendix B: the first round, the last round, the first step of the key schedule. */
static void portable_aes(void **state)
{
	__m128i v = from_bytes("193de3bea0f4e22b9ac68d2ae9f84808");
	__m128i key = from_bytes("a0fafe1788542cb123a339392a6c7605");

	assert_vector(simd_soft_crypto(ZYDIS_MNEMONIC_AESENC, v, key, 0), "a49c7ff2689f352b6b5bea43026a5049");
	v = from_bytes("eb40f21e592e38848ba113e71bc342d2");
	key = from_bytes("d014f9a8c9ee2589e13f0cc8b6630ca6");
	assert_vector(simd_soft_crypto(ZYDIS_MNEMONIC_AESENCLAST, v, key, 0), "3925841d02dc09fbdc118597196a0b32");
	v = simd_soft_crypto(ZYDIS_MNEMONIC_AESDECLAST,
			     _mm_xor_si128(from_bytes("3925841d02dc09fbdc118597196a0b32"), key), _mm_setzero_si128(),
			     0);
	assert_vector(v, "eb40f21e592e38848ba113e71bc342d2");
}

static void portable_matches_native(void **state)
{
	static const u16 forms[] = {ZYDIS_MNEMONIC_AESENC,   ZYDIS_MNEMONIC_AESENCLAST,
				    ZYDIS_MNEMONIC_AESDEC,   ZYDIS_MNEMONIC_AESDECLAST,
				    ZYDIS_MNEMONIC_AESIMC,   ZYDIS_MNEMONIC_AESKEYGENASSIST,
				    ZYDIS_MNEMONIC_PCLMULQDQ};
	struct hw_cpu *c;

	if (!simd_host_has_aes() || !simd_host_has_pclmulqdq())
		skip();
	c = aligned_alloc(64, (sizeof(*c) + 63) & ~63ul);
	assert_non_null(c);
	memset(c, 0, sizeof(*c));
	c->arch.cr4 = CR4_ALL;
	seed = 0x5eed;
	for (unsigned int n = 0; n < 7000; n++) {
		struct insn i = {.mnemonic = forms[n % 7],
				 .imm = (u8)rnd(),
				 .op = {{.kind = OPND_XMM, .reg = 1}, {.kind = OPND_XMM, .reg = 2}}};
		__m128i dst, src, soft, hard;

		for (unsigned int k = 0; k < 32; k++)
			fx_set64(c, FX_XMM + 8 * k, rnd());
		dst = xmm_get(c, 1);
		src = xmm_get(c, 2);
		soft = simd_soft_crypto(i.mnemonic, dst, src, (u8)i.imm);
		assert_int_equal(simd_exec_crypto(c, &i), EXEC_OK);
		hard = xmm_get(c, 1);
		assert_memory_equal(&soft, &hard, 16);
	}
	free(c);
}

/* ---------------------------------------------------------------- SHA, against the host's */

static bool host_has_sha(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1;
}

__attribute__((target("sha"))) static __m128i host_sha(u16 mnemonic, __m128i dst, __m128i src, __m128i xmm0, unsigned int imm)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_SHA1RNDS4:
		return imm == 0	  ? _mm_sha1rnds4_epu32(dst, src, 0)
		       : imm == 1 ? _mm_sha1rnds4_epu32(dst, src, 1)
		       : imm == 2 ? _mm_sha1rnds4_epu32(dst, src, 2)
				  : _mm_sha1rnds4_epu32(dst, src, 3);
	case ZYDIS_MNEMONIC_SHA1NEXTE:
		return _mm_sha1nexte_epu32(dst, src);
	case ZYDIS_MNEMONIC_SHA1MSG1:
		return _mm_sha1msg1_epu32(dst, src);
	case ZYDIS_MNEMONIC_SHA1MSG2:
		return _mm_sha1msg2_epu32(dst, src);
	case ZYDIS_MNEMONIC_SHA256RNDS2:
		return _mm_sha256rnds2_epu32(dst, src, xmm0);
	case ZYDIS_MNEMONIC_SHA256MSG1:
		return _mm_sha256msg1_epu32(dst, src);
	default:
		return _mm_sha256msg2_epu32(dst, src);
	}
}

static void sha_matches_host(void **state)
{
	static const u16 forms[] = {ZYDIS_MNEMONIC_SHA1RNDS4, ZYDIS_MNEMONIC_SHA1NEXTE,	  ZYDIS_MNEMONIC_SHA1MSG1,
				    ZYDIS_MNEMONIC_SHA1MSG2,  ZYDIS_MNEMONIC_SHA256RNDS2, ZYDIS_MNEMONIC_SHA256MSG1,
				    ZYDIS_MNEMONIC_SHA256MSG2};
	struct hw_cpu *c;

	if (!host_has_sha())
		skip();
	c = aligned_alloc(64, (sizeof(*c) + 63) & ~63ul);
	assert_non_null(c);
	memset(c, 0, sizeof(*c));
	c->arch.cr4 = CR4_ALL;
	seed = 0x5ba;
	for (unsigned int n = 0; n < 7000; n++) {
		struct insn i = {.mnemonic = forms[n % 7],
				 .imm = (u8)rnd(),
				 .op = {{.kind = OPND_XMM, .reg = 1}, {.kind = OPND_XMM, .reg = 2}}};
		__m128i want, got;

		for (unsigned int k = 0; k < 32; k++)
			fx_set64(c, FX_XMM + 8 * k, rnd());
		want = host_sha(i.mnemonic, xmm_get(c, 1), xmm_get(c, 2), xmm_get(c, 0), i.imm & 3);
		assert_int_equal(simd_sha(c, &i), EXEC_OK);
		got = xmm_get(c, 1);
		assert_memory_equal(&want, &got, 16);
	}
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(native_equal),	    cmocka_unit_test(xsave_restored_by_host),
		cmocka_unit_test(xsave_round_trip), cmocka_unit_test(xrstor_bad_headers),
		cmocka_unit_test(portable_aes),	    cmocka_unit_test(portable_matches_native),
		cmocka_unit_test(sha_matches_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
