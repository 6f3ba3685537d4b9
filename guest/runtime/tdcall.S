/* SPDX-License-Identifier: Apache-2.0 */
/* TDCALL (TDX ABI, 66 0f 01 cc). */
	.text

	/* uint64_t tdcall(uint64_t leaf, struct tdcall *regs) */
	.globl tdcall
	.type tdcall, @function
tdcall:
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rdi, %rax
	mov %rsi, %rbx
	mov 0(%rbx), %rcx
	mov 8(%rbx), %rdx
	mov 16(%rbx), %r8
	mov 24(%rbx), %r9
	mov 32(%rbx), %r10
	mov 40(%rbx), %r11
	mov 48(%rbx), %r12
	mov 56(%rbx), %r13
	mov 64(%rbx), %r14
	mov 72(%rbx), %r15
	.byte 0x66, 0x0f, 0x01, 0xcc
	mov %rcx, 0(%rbx)
	mov %rdx, 8(%rbx)
	mov %r8, 16(%rbx)
	mov %r9, 24(%rbx)
	mov %r10, 32(%rbx)
	mov %r11, 40(%rbx)
	mov %r12, 48(%rbx)
	mov %r13, 56(%rbx)
	mov %r14, 64(%rbx)
	mov %r15, 72(%rbx)
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	ret
	.size tdcall, . - tdcall

	/* _Noreturn void tdx_fatal_call(uint64_t code, const uint64_t message[8]): TDG.VP.VMCALL<ReportFatalError>, for ever.
	 * The message goes in R14, R15, RBX, RDI, RSI, R8, R9, RDX (GHCI 3.4). */
	.globl tdx_fatal_call
	.type tdx_fatal_call, @function
tdx_fatal_call:
	mov %rdi, %r12
	mov %rsi, %rbp
1:	xor %eax, %eax
	mov $0xffcc, %ecx
	xor %r10d, %r10d
	mov $0x10003, %r11d
	xor %r13d, %r13d
	mov 0(%rbp), %r14
	mov 8(%rbp), %r15
	mov 16(%rbp), %rbx
	mov 24(%rbp), %rdi
	mov 32(%rbp), %rsi
	mov 40(%rbp), %r8
	mov 48(%rbp), %r9
	mov 56(%rbp), %rdx
	.byte 0x66, 0x0f, 0x01, 0xcc
	jmp 1b
	.size tdx_fatal_call, . - tdx_fatal_call

	.section .note.GNU-stack, "", @progbits
