/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the reset vector to C. A processor starts there in real mode (SDM 3A 10.1.4), or, in a TD, in flat 32-bit mode without
 * a usable GDT; from start32 on there is no difference.
 */
#include "boot/first_stage.h"

#define CR0_PE	 (1 << 0)
#define CR0_PG	 (1 << 31)
#define CR4_PAE	 (1 << 5)
#define MSR_EFER 0xc0000080
#define EFER_LME_BIT 8

#define PDPT		(FIRST_STAGE_PAGE_TABLES + 0x1000)
#define DIRECTORIES	(FIRST_STAGE_PAGE_TABLES + 0x2000)
#define ENTRY_TABLE	0x03 /* present, writable */
#define ENTRY_2M	0x83

#define CODE32 0x08
#define CODE64 0x10
#define DATA   0x18

	.section .text.start, "ax"
	.code16
start16:
	cli
	lgdtl	%cs:(gdt_pointer - 0xffff0000)
	mov	%cr0, %eax
	or	$CR0_PE, %al
	mov	%eax, %cr0
	ljmpl	$CODE32, $start32

	.code32
start32:
	cli
	cld
	lgdtl	%cs:gdt_pointer
	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%eax, %fs
	mov	%eax, %gs

	/* EBP: the APIC id, which is the processor's number. In a TD this CPUID leaf does not trap. */
	mov	$1, %eax
	cpuid
	shr	$24, %ebx
	mov	%ebx, %ebp
	test	%ebp, %ebp
	jnz	wait_for_tables

	xor	%eax, %eax
	mov	$FIRST_STAGE_PAGE_TABLES, %edi
	mov	$(6 * 4096 / 4), %ecx
	rep stosl
	movl	$(PDPT + ENTRY_TABLE), FIRST_STAGE_PAGE_TABLES
	movl	$(DIRECTORIES + ENTRY_TABLE), PDPT
	movl	$(DIRECTORIES + 0x1000 + ENTRY_TABLE), PDPT + 8
	movl	$(DIRECTORIES + 0x2000 + ENTRY_TABLE), PDPT + 16
	movl	$(DIRECTORIES + 0x3000 + ENTRY_TABLE), PDPT + 24
	mov	$DIRECTORIES, %edi
	mov	$ENTRY_2M, %eax
	mov	$(4 * 512), %ecx
1:	mov	%eax, (%edi)
	add	$0x200000, %eax
	add	$8, %edi
	loop	1b

	movl	$1, FIRST_STAGE_MAILBOX + MAILBOX_TABLES_READY
	jmp	enter_long_mode

	/* Every other processor that starts here (INIT and SIPI start it elsewhere). */
wait_for_tables:
	pause
	cmpl	$0, FIRST_STAGE_MAILBOX + MAILBOX_TABLES_READY
	je	wait_for_tables

enter_long_mode:
	mov	$FIRST_STAGE_PAGE_TABLES, %eax
	mov	%eax, %cr3
	mov	%cr4, %eax
	or	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$MSR_EFER, %ecx
	rdmsr
	bts	$EFER_LME_BIT, %eax
	jc	2f
	wrmsr
2:	mov	%cr0, %eax
	or	$CR0_PG, %eax
	mov	%eax, %cr0
	ljmpl	$CODE64, $start64

	.code64
start64:
	test	%ebp, %ebp
	jnz	park
	mov	$FIRST_STAGE_STACK_END, %esp
	call	boot_main
	ud2

park:
	mov	%ebp, %esp
	shl	$FIRST_STAGE_AP_STACK_SHIFT, %esp
	add	$FIRST_STAGE_AP_STACKS, %esp
	call	boot_help
	/* A kernel wakes one processor at a time, and waits until the command is taken. */
	mov	$FIRST_STAGE_MAILBOX, %edi
1:	pause
	cmpw	$MAILBOX_WAKEUP, MAILBOX_COMMAND(%rdi)
	jne	1b
	cmp	%ebp, MAILBOX_APIC_ID(%rdi)
	jne	1b
	mov	MAILBOX_WAKEUP_VECTOR(%rdi), %rax
	movw	$0, MAILBOX_COMMAND(%rdi)
	jmp	*%rax

	.section .rodata
	.balign 8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff	/* CODE32 */
	.quad	0x00af9b000000ffff	/* CODE64 */
	.quad	0x00cf93000000ffff	/* DATA */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	/* The last 16 bytes below 4 GiB: these instructions mean the same in either mode. */
	.section .reset, "ax"
	.code16
	mov	%cr0, %eax
	test	$CR0_PE, %al
	jz	1f
	.byte	0xe9			/* jmp rel32 */
	.long	start32 - (. + 4)
1:	.byte	0xe9			/* jmp rel16 */
	.word	start16 - (. + 2)
