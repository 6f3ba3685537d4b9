/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TD that does what the test says: it asks for work by a TDVMCALL, copies a few instructions from shared memory into its own,
 * calls them with the registers that the test gave, and puts back the registers, or the exception, that came of it.
 *
 * Runs at 0x10000 from its first byte, in the initial state of a TD. The page tables are the test's (host.h): linear addresses
 * below 1G are private, those from 1G to 2G the same shared. R8 and ESI are as TDH.VP.INIT leaves them.
 */
#define SHARED_BASE	0x40100000	/* one page for each vCPU */
#define S_GPR		0x000		/* 16 registers, in encoding order; RSP is not loaded */
#define S_CODE		0x080		/* 256 bytes */
#define S_FLAGS		0x200		/* bit 0: leave the #VE information where it is */
#define S_VECTOR	0x208		/* ~0: none */
#define S_ERROR		0x210
#define S_RIP		0x218		/* relative to the code */
#define S_CR2		0x220
#define S_VE		0x228		/* RAX, RCX, RDX, R8, R9, R10 of TDG.VP.VEINFO.GET */

#define CODE_BUF	0x18000		/* 0x200 bytes for each vCPU */
#define STACK_TOP	0x21000		/* 0x1000 for each */
#define SAVED_RSP	0x1f000		/* 8 for each */
#define IDT		0x1e000

	.code32
	.globl _start
_start:
	lgdt	gdt_pointer
	mov	$0x60, %eax		/* PAE, MCE */
	mov	%eax, %cr4
	mov	$0x1000, %eax
	mov	%eax, %cr3
	mov	$0x80000031, %eax	/* PG, NE, ET, PE */
	mov	%eax, %cr0
	ljmp	$8, $start64

	.code64
start64:
	mov	$16, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	movl	%esi, %esi
	mov	%rsi, %rax
	shl	$12, %rax
	lea	STACK_TOP(%rax), %rsp
	test	%esi, %esi
	jnz	1f
	call	make_idt
1:	lidt	idt_pointer

	/* RSI: index, throughout */
next:
	mov	$STACK_TOP, %rsp
	mov	%rsi, %rax
	shl	$12, %rax
	add	%rax, %rsp
	xor	%eax, %eax
	mov	$0xffcc, %ecx
	xor	%r10d, %r10d
#ifdef ASK_BY_PORT			/* KVM passes this one on: a byte to port 0x80 + index */
	mov	$30, %r11d
	mov	$1, %r12d
	mov	$1, %r13d
	lea	0x80(%rsi), %r14
	xor	%r15d, %r15d
#else
	mov	$1, %r11d
	mov	%rsi, %r12
#endif
	push	%rsi
	.byte	0x66, 0x0f, 0x01, 0xcc	/* TDCALL: TDG.VP.VMCALL */
	pop	%rsi

	/* copy the code */
	mov	%rsi, %rbx
	shl	$12, %rbx
	add	$SHARED_BASE, %rbx	/* RBX: this vCPU's page */
	mov	%rsi, %rdi
	shl	$9, %rdi
	add	$CODE_BUF, %rdi
	mov	%rdi, %rbp
	push	%rsi
	lea	S_CODE(%rbx), %rsi
	mov	$256 / 8, %ecx
	rep movsq
	pop	%rsi
	movq	$-1, S_VECTOR(%rbx)
	mov	%rsp, SAVED_RSP(, %rsi, 8)
	push	%rsi
	push	%rbx
	push	%rbp
	mov	8 * 0(%rbx), %rax
	mov	8 * 1(%rbx), %rcx
	mov	8 * 2(%rbx), %rdx
	mov	8 * 5(%rbx), %rbp
	mov	8 * 6(%rbx), %rsi
	mov	8 * 7(%rbx), %rdi
	mov	8 * 8(%rbx), %r8
	mov	8 * 9(%rbx), %r9
	mov	8 * 10(%rbx), %r10
	mov	8 * 11(%rbx), %r11
	mov	8 * 12(%rbx), %r12
	mov	8 * 13(%rbx), %r13
	mov	8 * 14(%rbx), %r14
	mov	8 * 15(%rbx), %r15
	mov	8 * 3(%rbx), %rbx
	call	*(%rsp)
	/* RBX: page, after RBX's value has been put on the stack */
	push	%rbx
	mov	16(%rsp), %rbx
	mov	%rax, 8 * 0(%rbx)
	mov	%rcx, 8 * 1(%rbx)
	mov	%rdx, 8 * 2(%rbx)
	mov	%rbp, 8 * 5(%rbx)
	mov	%rsi, 8 * 6(%rbx)
	mov	%rdi, 8 * 7(%rbx)
	mov	%r8, 8 * 8(%rbx)
	mov	%r9, 8 * 9(%rbx)
	mov	%r10, 8 * 10(%rbx)
	mov	%r11, 8 * 11(%rbx)
	mov	%r12, 8 * 12(%rbx)
	mov	%r13, 8 * 13(%rbx)
	mov	%r14, 8 * 14(%rbx)
	mov	%r15, 8 * 15(%rbx)
	pop	%rax
	mov	%rax, 8 * 3(%rbx)
	pop	%rbp
	pop	%rbx
	pop	%rsi
	jmp	next

	/* On the stack: vector, error code, RIP, ... The interrupted code's registers are still in place. */
exception:
	push	%rax
	push	%rbx
	/* which vCPU: by the stack */
	mov	%rsp, %rax
	sub	$STACK_TOP - 0x1000, %rax
	shr	$12, %rax		/* index */
	mov	%rax, %rbx
	shl	$12, %rbx
	add	$SHARED_BASE, %rbx
	mov	%rcx, 8 * 1(%rbx)
	mov	%rdx, 8 * 2(%rbx)
	mov	%r8, 8 * 8(%rbx)
	mov	%r9, 8 * 9(%rbx)
	mov	%r10, 8 * 10(%rbx)
	mov	(%rsp), %rcx
	mov	%rcx, 8 * 3(%rbx)
	mov	8(%rsp), %rcx
	mov	%rcx, 8 * 0(%rbx)
	mov	16(%rsp), %rcx
	mov	%rcx, S_VECTOR(%rbx)
	mov	24(%rsp), %rcx
	mov	%rcx, S_ERROR(%rbx)
	mov	%rax, %rdx
	shl	$9, %rdx
	mov	32(%rsp), %rcx
	sub	%rdx, %rcx
	sub	$CODE_BUF, %rcx
	mov	%rcx, S_RIP(%rbx)
	mov	%cr2, %rcx
	mov	%rcx, S_CR2(%rbx)
	mov	%rax, %rsi
	cmpq	$20, S_VECTOR(%rbx)
	jne	1f
	testq	$1, S_FLAGS(%rbx)
	jnz	1f
	mov	$3, %eax
	.byte	0x66, 0x0f, 0x01, 0xcc	/* TDCALL: TDG.VP.VEINFO.GET */
	mov	%rax, S_VE + 0(%rbx)
	mov	%rcx, S_VE + 8(%rbx)
	mov	%rdx, S_VE + 16(%rbx)
	mov	%r8, S_VE + 24(%rbx)
	mov	%r9, S_VE + 32(%rbx)
	mov	%r10, S_VE + 40(%rbx)
1:	jmp	next

make_idt:
	lea	stubs(%rip), %rax
	mov	$IDT, %edi
	mov	$32, %ecx
1:	mov	%rax, %rdx
	mov	%dx, (%rdi)
	movw	$8, 2(%rdi)
	movw	$0x8e00, 4(%rdi)
	shr	$16, %rdx
	mov	%dx, 6(%rdi)
	movq	$0, 8(%rdi)
	add	$16, %rdi
	add	$16, %rax
	loop	1b
	ret

	.balign	16
stubs:
	.set	vector, 0
	.rept	32
	.balign	16
	.if	!((1 << vector) & 0x00227d00)	/* those with an error code: 8, 10-14, 17, 21 */
	push	$0
	.endif
	push	$vector
	jmp	exception
	.set	vector, vector + 1
	.endr

	.balign	8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff
	.quad	0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
idt_pointer:
	.word	32 * 16 - 1
	.quad	IDT
