/* SPDX-License-Identifier: Apache-2.0 */
/* The entry of vector 20. */
	.text

	/* Gate 20: struct ve_frame on the stack. #VE has no error code (SDM 3C 26.5.7). */
	.globl ve_entry
	.type ve_entry, @function
ve_entry:
	cld
	push %r15
	push %r14
	push %r13
	push %r12
	push %r11
	push %r10
	push %r9
	push %r8
	push %rdi
	push %rsi
	push %rbp
	sub $8, %rsp			/* gpr[4] */
	push %rbx
	push %rdx
	push %rcx
	push %rax
	mov 152(%rsp), %rax		/* rsp of the frame */
	mov %rax, 32(%rsp)
	mov %rsp, %rdi
	mov %rsp, %rbx
	and $~15, %rsp
	call ve_handle
	mov %rbx, %rsp
	pop %rax
	pop %rcx
	pop %rdx
	pop %rbx
	add $8, %rsp
	pop %rbp
	pop %rsi
	pop %rdi
	pop %r8
	pop %r9
	pop %r10
	pop %r11
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	iretq
	.size ve_entry, . - ve_entry
	.section .note.GNU-stack, "", @progbits
