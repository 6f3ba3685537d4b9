/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts and port I/O in real mode; ports as in guest_modes.S, and: 0x20 the host posts vector 0x21, 0x21 it asks for an
 * interrupt window, 0x22 end of interrupt, 0x50 takes bytes, 0x51 gives 0x100, 0x101, ... It ends in HLT with interrupts off.
 */
.macro EXPECT id, expected
	push %ax
	mov $\id, %eax
	out %eax, $0x10
	pop %ax
	movzwl %ax, %eax
	out %eax, $0x14
	mov $\expected, %eax
	out %eax, $0x18
.endm
.code16
.globl _start
_start:
	xor %ax,%ax
	mov %ax,%ds
	mov %ax,%es
	mov %ax,%ss
	mov $0x7000,%sp
	movw $isr, 0x84
	movw $0, 0x86
	/* STI holds interrupts back for one instruction */
	out %al,$0x20	/* host posts vector 0x21 */
	sti
	nop
acli:	cli
	mov retip,%ax
	sub $acli,%ax
	EXPECT 1, 0
	/* STI; CLI lets none in */
	movw $0,count
	out %al,$0x20
	sti
	cli
	mov count,%ax
	EXPECT 2, 0
	/* and now it comes */
	sti
	nop
	nop
	cli
	mov count,%ax
	EXPECT 3, 1
	/* POPF opens at once */
	movw $0,count
	out %al,$0x20
	pushf
	pop %ax
	or $0x200,%ax
	push %ax
	popf
dpop:	nop
	cli
	mov retip,%ax
	sub $dpop,%ax
	EXPECT 4, 0
	mov count,%ax
	EXPECT 5, 1
	/* open all the time */
	sti
	nop
	movw $0,count
	out %al,$0x20	/* delivered right behind? out is INSN_END */
	nop
	mov count,%ax
	EXPECT 6, 1
	cli
	/* STI is the last instruction of a block: the page ends */
	movw $0,count
	out %al,$0x20
	jmp pend
.org 0x0ffe
pend:	nop
	sti
fnext:	nop
fn2:	cli
	mov retip,%ax
	sub $fn2,%ax
	EXPECT 7, 0
	mov count,%ax
	EXPECT 8, 1
	/* string I/O */
	mov $str,%si
	mov $5,%cx
	mov $0x50,%dx
	cld
	rep outsb
	mov %cx,%ax
	EXPECT 9, 0
	mov $buf,%di
	mov $3,%cx
	mov $0x51,%dx
	rep insw
	mov buf+4,%ax
	EXPECT 10, 0x102
	mov %di,%ax
	sub $buf,%ax
	EXPECT 11, 6
	/* an interrupt wakes from STI; HLT */
	out %al,$0x20
	movw $0,count
	sti
	hlt
	cli
	mov count,%ax
	EXPECT 12, 1
	/* interrupt window */
	out %al,$0x21	/* host asks for irq window */
	nop
	sti
	nop
iwin:	nop
	cli
	hlt
isr:	push %bp
	mov %sp,%bp
	push %ax
	mov 2(%bp),%ax
	mov %ax,retip
	incw count
	out %al,$0x22	/* host: EOI */
	pop %ax
	pop %bp
	iret
retip: .word 0
count: .word 0
str: .ascii "hello"
buf: .word 0,0,0,0
