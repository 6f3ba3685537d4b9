/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native side of SIMD and x87 instructions: each stub is the instruction with fixed registers, then RET.
 * They are written here rather than generated at run time: no page is ever writable and executable, there is nothing to
 * cache or to lock, and a guest can only choose among these.
 */
	.text

.macro imm_forms insn:req, registers:vararg
	.set imm, 0
	.rept 256
	.balign 8
	\insn $imm, \registers
	ret
	.set imm, imm + 1
	.endr
.endm

.macro imm_forms_w insn:req, registers:vararg
	.set imm, 0
	.rept 256
	.balign 8
	rex.w \insn $imm, \registers
	ret
	.set imm, imm + 1
	.endr
.endm

#define STUB(name) .balign 8; .globl name; .hidden name; name
#define SIMD_BIN(id, insn, feature, fn, flags, mmx) STUB(simd_stub_##id): insn %xmm2, %xmm1; ret
#define SIMD_IMM(id, insn, feature, fn, flags, mmx) STUB(simd_stub_##id): imm_forms insn, %xmm2, %xmm1
#define SIMD_WIMM(id, insn, feature, fn, flags) \
	SIMD_IMM(id, insn, feature, fn, flags, NONE); STUB(simd_stubw_##id): imm_forms_w insn, %xmm2, %xmm1
#define SIMD_SHIFT(id, insn, feature, fn, flags, mmx) \
	STUB(simd_stub_##id): insn %xmm2, %xmm1; ret; STUB(simd_stubw_##id): imm_forms insn, %xmm1
#define SIMD_BYTES(id, insn, feature, fn, flags) STUB(simd_stubw_##id): imm_forms insn, %xmm1
#define SIMD_TO_GPR(id, insn, feature, fn, flags) \
	STUB(simd_stub_##id): insn %xmm2, %ecx; ret; STUB(simd_stubw_##id): insn %xmm2, %rcx; ret
#define SIMD_FROM_GPR(id, insn, feature, fn, flags) \
	STUB(simd_stub_##id): insn %ecx, %xmm1; ret; STUB(simd_stubw_##id): insn %rcx, %xmm1; ret

#include "simd_ops.def"

/*
 * x87: escape opcode D8+n. Register forms by ModRM byte C0..FF, memory forms by ModRM.reg with the operand at (%rdi).
 * 4 bytes a stub: fpu_stub_reg[n][ModRM & 63], fpu_stub_mem[n][reg].
 */
	.balign 16
	.globl fpu_stub_reg
	.hidden fpu_stub_reg
fpu_stub_reg:
	.set escape, 0xd8
	.rept 8
	.set modrm, 0xc0
	.rept 64
	.byte escape, modrm, 0xc3, 0xcc
	.set modrm, modrm + 1
	.endr
	.set escape, escape + 1
	.endr

	.globl fpu_stub_mem
	.hidden fpu_stub_mem
fpu_stub_mem:
	.set escape, 0xd8
	.rept 8
	.set modrm, 0x07
	.rept 8
	.byte escape, modrm, 0xc3, 0xcc
	.set modrm, modrm + 8
	.endr
	.set escape, escape + 1
	.endr

/*
 * u64 fpu_call(void *image %rdi, const u8 *stub %rsi, void *memory %rdx, u64 eflags %rcx)
 *
 * Loads the FXSAVE image, runs the stub, saves the image, and leaves the x87 unit as the ABI wants it, with the caller's
 * control word. Only non-waiting instructions follow the stub, so that an exception which the guest has unmasked stays
 * in the image and never reaches the host. Returns EFLAGS behind the stub.
 */
	.globl fpu_call
	.hidden fpu_call
	.type fpu_call, @function
fpu_call:
	.cfi_startproc
	pushq %rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	subq $16, %rsp
	.cfi_adjust_cfa_offset 16
	movq %rdi, %rbx
	movq %rdx, %rdi
	fnstcw (%rsp)
	fxrstor64 (%rbx)
	pushq %rcx
	.cfi_adjust_cfa_offset 8
	popfq
	.cfi_adjust_cfa_offset -8
	call *%rsi
	pushfq
	.cfi_adjust_cfa_offset 8
	popq %rax
	.cfi_adjust_cfa_offset -8
	fxsave64 (%rbx)
	fninit
	fldcw (%rsp)
	cld
	addq $16, %rsp
	.cfi_adjust_cfa_offset -16
	popq %rbx
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size fpu_call, . - fpu_call

	.section .note.GNU-stack, "", @progbits
