// SPDX-License-Identifier: Apache-2.0
/*
 * From the PVH entry (32-bit protected mode, paging off) to main() in 64-bit mode with the first 4 GiB mapped 1:1 by 2 MiB pages;
 * the second processors' way from their start-up IPI to ap_main(). Runs on softcvm and on qemu-system-x86_64 -kernel alike.
 */
#ifndef START_64 /* else it is started at start_64, as a kernel by its 64-bit entry */
	.section .note.Xen, "a", @note
	.align 4
	.long 4, 4, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long pvh_entry
#endif

	.section .text.start, "ax"
	.code32
	.globl pvh_entry
pvh_entry:
	cli
	cld
	lgdt gdt_pointer
	ljmp $0x08, $1f
1:	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov $stack_top, %esp
	/* page tables: pml4[0] -> pdpt[0..3] -> 4 x 512 x 2 MiB */
	mov $pdpt + 7, %eax
	mov %eax, pml4
	mov $page_dirs + 7, %eax
	mov $pdpt, %edi
	mov $4, %ecx
2:	mov %eax, (%edi)
	add $0x1000, %eax
	add $8, %edi
	loop 2b
	mov $page_dirs, %edi
	mov $0x87, %eax
	mov $2048, %ecx
3:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 3b
	call enter_long
	.code64
run_main:
	lea stack_top(%rip), %rsp
	call main
	mov %eax, %edi
	call test_exit
4:	hlt
	jmp 4b

	/* In 64-bit mode already, on tables, GDT and IDT of whoever came before: takes its own and leaves CR0 and CR4 alone. */
	.globl start_64
start_64:
	cli
	cld
	lgdt gdt_pointer
	lea stack_top(%rip), %rsp
	push $0x18
	push $1f
	lretq
1:	mov $0x20, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	movq $pdpt + 7, pml4
	mov $page_dirs + 7, %eax
	mov $pdpt, %edi
	mov $4, %ecx
2:	mov %rax, (%rdi)
	add $0x1000, %eax
	add $8, %edi
	loop 2b
	mov $page_dirs, %edi
	mov $0x87, %eax
	mov $2048, %ecx
3:	mov %rax, (%rdi)
	add $0x200000, %rax
	add $8, %edi
	loop 3b
	mov $pml4, %eax
	mov %rax, %cr3
	jmp run_main

	/* Turns on long mode and returns in 64-bit code. */
	.code32
enter_long:
	pop %ebx
	mov %cr4, %eax
	or $0x6a0, %eax			/* PAE, PGE, OSFXSR, OSXMMEXCPT */
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x901, %eax			/* LME, NXE, SCE */
	wrmsr
	mov %cr0, %eax
	and $0x9fffffff, %eax		/* CD, NW off */
	or $0x80010022, %eax		/* PG, WP, NE, MP */
	and $~4, %eax			/* EM off */
	mov %eax, %cr0
	ljmp $0x18, $1f
	.code64
1:	mov %ebx, %ebx
	mov $0x20, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	jmp *%rbx

	/* Copied to 0x8000: the start-up IPI's page. */
	.code16
	.globl ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl 0x8000 + ap_gdt_pointer - ap_trampoline
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $0x08, $ap_start32
ap_gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt
ap_trampoline_end:
	.code32
ap_start32:
	mov $0x9000, %esp
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	call enter_long
	.code64
	mov $0x4000, %eax
	lock xadd %eax, ap_stack_next(%rip)
	lea ap_stacks(%rip), %rsp
	lea 0x4000(%rsp, %rax), %rsp
	call ap_main
5:	hlt
	jmp 5b

	/* int catch_(void (*fn)(void *), void *arg): 0, or the exception's record through the handler's way back. */
	.globl catch_
catch_:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov catch_rsp(%rip), %rax
	push %rax
	mov %rsp, catch_rsp(%rip)
	mov %rdi, %rax
	mov %rsi, %rdi
	call *%rax
	xor %eax, %eax
	.globl catch_return
catch_return:				/* handlers arrive here with rax set */
	mov catch_rsp(%rip), %rsp
	pop catch_rsp(%rip)
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	/* The way into C for each vector: pushes error code (0 if none) and vector. */
	.macro stub n, error
	.align 16
	.if !\error
	push $0
	.endif
	push $\n
	jmp common_handler
	.endm
	.align 16
	.globl vector_stubs
vector_stubs:
	.set n, 0
	.rept 256
	.if n == 8 || n == 10 || n == 11 || n == 12 || n == 13 || n == 14 || n == 17 || n == 21
	stub n, 1
	.else
	stub n, 0
	.endif
	.set n, n + 1
	.endr
common_handler:
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov %rsp, %rdi
	call handle_vector
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq

	/* void enter_user(void (*fn)(void), void *stack): comes back through int $0x81 to catch_return. */
	.globl enter_user
enter_user:
	push $0x33
	push %rsi
	push $2
	push $0x2b
	push %rdi
	iretq

	.data
	.align 8
	.globl gdt, gdt_end, gdt_tss
gdt:	.quad 0
	.quad 0x00cf9b000000ffff	/* 08 code32 */
	.quad 0x00cf93000000ffff	/* 10 data32 */
	.quad 0x00af9b000000ffff	/* 18 code64 */
	.quad 0x00cf93000000ffff	/* 20 data64 */
	.quad 0x00affb000000ffff	/* 28 user code64 */
	.quad 0x00cff3000000ffff	/* 30 user data */
	.quad 0x00cffb000000ffff	/* 38 user code32 */
gdt_tss: .quad 0, 0			/* 40 TSS */
	.quad 0x00009b000000ffff	/* 50 code16 */
	.quad 0x000093000000ffff	/* 58 data16 */
	.quad 0x00cf13000000ffff	/* 60 data32, not present */
	.quad 0, 0			/* 68: free for tests */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt
	.globl catch_rsp
catch_rsp: .quad 0
ap_stack_next: .long 0

	.bss
	.align 4096
	.globl pml4, pdpt, page_dirs
pml4:	.skip 4096
pdpt:	.skip 4096
page_dirs: .skip 4 * 4096
	.skip 0x8000
stack_top:
ap_stacks: .skip 16 * 0x4000
	.section .note.GNU-stack, "", @progbits
