// SPDX-License-Identifier: Apache-2.0
/*
 * native_enter(const struct state *) loads all registers and jumps to state->rip. The signal handler continues at
 * native_leave, which returns to native_enter's caller.
 */
	.text
	.globl native_enter, native_leave, native_signal
	.type native_enter, @function
native_enter:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, saved_rsp(%rip)
	cmpb	$3, 192+512(%rdi)
	jbe	1f
	movl	$7, %eax
	xorl	%edx, %edx
	xrstor64 192(%rdi)
	jmp	2f
1:	fxrstor64 192(%rdi)
2:
	movq	128(%rdi), %rax
	movq	%rax, entry(%rip)
	pushq	136(%rdi)
	popfq
	movq	0(%rdi), %rax
	movq	8(%rdi), %rcx
	movq	16(%rdi), %rdx
	movq	24(%rdi), %rbx
	movq	32(%rdi), %rsp
	movq	40(%rdi), %rbp
	movq	48(%rdi), %rsi
	movq	64(%rdi), %r8
	movq	72(%rdi), %r9
	movq	80(%rdi), %r10
	movq	88(%rdi), %r11
	movq	96(%rdi), %r12
	movq	104(%rdi), %r13
	movq	112(%rdi), %r14
	movq	120(%rdi), %r15
	movq	56(%rdi), %rdi
	jmp	*entry(%rip)
	.size native_enter, . - native_enter

/* The same into 32-bit code: Linux' __USER32_CS and __USER_DS. */
	.globl native_enter_compat
	.type native_enter_compat, @function
native_enter_compat:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, saved_rsp(%rip)
	movl	$0x2b, %eax
	movl	%eax, %ds
	movl	%eax, %es
	cmpb	$3, 192+512(%rdi)
	jbe	1f
	movl	$7, %eax
	xorl	%edx, %edx
	xrstor64 192(%rdi)
	jmp	2f
1:	fxrstor64 192(%rdi)
2:
	movl	128(%rdi), %eax
	movl	%eax, entry(%rip)
	movl	$0x23, entry+4(%rip)
	pushq	136(%rdi)
	popfq
	movl	0(%rdi), %eax
	movl	8(%rdi), %ecx
	movl	16(%rdi), %edx
	movl	24(%rdi), %ebx
	movl	32(%rdi), %esp
	movl	40(%rdi), %ebp
	movl	48(%rdi), %esi
	movl	56(%rdi), %edi
	ljmpl	*entry(%rip)
	.size native_enter_compat, . - native_enter_compat

	.type native_leave, @function
native_leave:
	movq	saved_rsp(%rip), %rsp
	fninit
	ldmxcsr	default_mxcsr(%rip)
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret
	.size native_leave, . - native_leave

/* The kernel enters handlers with the AC of the interrupted code. */
	.type native_signal, @function
native_signal:
	pushfq
	andl	$~0x40000, (%rsp)
	popfq
	jmp	native_caught
	.size native_signal, . - native_signal

	.section .rodata
	.balign 4
default_mxcsr:
	.long 0x1f80

	.bss
	.balign 8
saved_rsp:
	.quad 0
entry:
	.quad 0

	.section .note.GNU-stack,"",@progbits
