/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest at 0x8000, started in real mode, that goes through protected, VM86, compatibility and 64-bit mode and tells what
 * it finds: port 0x10 the number of the expectation, 0x14 what was found, 0x18 what was expected. It ends in a triple fault.
 */
.macro EXPECT id, expected
	push %eax
	mov $\id, %eax
	out %eax, $0x10
	pop %eax
	out %eax, $0x14
	push %eax
	mov $\expected, %eax
	out %eax, $0x18
	pop %eax
.endm
.macro EXPECT64 id, expected
	push %rax
	mov $\id, %eax
	out %eax, $0x10
	pop %rax
	out %eax, $0x14
	push %rax
	mov $\expected, %eax
	out %eax, $0x18
	pop %rax
.endm
.code16
.globl _start
_start:
	cli
	xor %ax,%ax
	mov %ax,%ds
	mov %ax,%es
	mov %ax,%ss
	mov $0x7000,%sp
	movw $h20, 0x80
	movw $0, 0x82
	mov $0x1234,%ax
	int $0x20
	movzwl %ax,%eax
	EXPECT 1, 0x1235
	mov %sp,%ax
	EXPECT 2, 0x7000
	/* DE in real mode: handler pops, adjusts ip */
	movw $hde, 0x0
	movw $0, 0x2
	xor %cx,%cx
	mov $5,%ax
	xor %dx,%dx
de16:	div %cx
	movzwl %ax,%eax
	EXPECT 3, 0xdede
	lgdtl gdtr
	mov %cr0,%eax
	or $1,%eax
	mov %eax,%cr0
	ljmpl $0x08,$pm32
h20:	inc %ax
	iret
hde:	push %bp
	mov %sp,%bp
	mov 2(%bp),%ax
	cmp $de16,%ax
	jne 1f
	addw $2,2(%bp)
	mov $0xdede,%ax
1:	pop %bp
	iret

.code32
pm32:
	mov $0x10,%ax
	mov %ax,%ds
	mov %ax,%es
	mov %ax,%ss
	mov %ax,%fs
	mov %ax,%gs
	mov $0x70000,%esp
	lidt idtr32
	mov $0x28,%ax
	ltr %ax
	/* bad selector */
	movl $1f,resume
	mov $0x1000,%ax
	mov %ax,%es
1:	mov lastvec,%eax
	EXPECT 10, 13
	mov lasterr,%eax
	EXPECT 11, 0x1000
	/* not present segment 0x38 */
	movl $1f,resume
	mov $0x38,%ax
	mov %ax,%es
1:	mov lastvec,%eax
	EXPECT 12, 11
	mov lasterr,%eax
	EXPECT 13, 0x38
	/* ss not present */
	movl $1f,resume
	mov $0x38,%ax
	mov %ax,%ss
1:	mov lastvec,%eax
	EXPECT 14, 12
	/* limit check: fs limit 0xff, read at 0x100 */
	mov $0x40,%ax
	mov %ax,%fs
	movl $1f,resume
	mov %fs:0xfd,%eax
1:	mov lastvec,%eax
	EXPECT 15, 13
	mov lasterr,%eax
	EXPECT 16, 0
	/* int3 */
	movl $0,lastvec
	int3
	mov lastvec,%eax
	EXPECT 17, 3
	/* accessed bit set for 0x40 descriptor */
	movzbl gdt+0x45,%eax
	EXPECT 18, 0x93
	/* lar / lsl */
	mov $0x40,%ecx
	lar %ecx,%eax
	jz 1f
	xor %eax,%eax
1:	EXPECT 19, 0x409300
	lsl %ecx,%eax
	EXPECT 20, 0xff
	mov $0x2000,%ecx
	xor %eax,%eax
	lsl %ecx,%eax
	setz %al
	EXPECT 21, 0
	/* to ring 3 */
	push $0x23
	push $0x60000
	pushf
	orl $0x3000,(%esp)	/* iopl 3 for out */
	push $0x1b
	push $ring3
	iret
ring3:
	mov %cs,%eax
	EXPECT 22, 0x1b
	mov %ds,%eax
	EXPECT 23, 0
	mov $0x23,%ax
	mov %ax,%ds
	mov %ax,%es
	int $0x80
	mov lastvec,%eax
	EXPECT 24, 0x80
	mov lastcpl_ss,%eax
	EXPECT 25, 0x23
	mov lastesp,%eax
	EXPECT 26, 0x60000
	/* int 0x81 has dpl 0: #GP(0x81*8+2) */
	movl $1f,resume
	int $0x81
1:	mov lastvec,%eax
	EXPECT 27, 13
	mov lasterr,%eax
	EXPECT 28, 0x40a
	/* call gate 0x48|3 to ring 0 with 1 param */
	push $0xabcd
	lcall $0x4b,$0
	mov gateparam,%eax
	EXPECT 29, 0xabcd
	mov %esp,%eax
	EXPECT 30, 0x60000
	mov gatecs,%eax
	EXPECT 31, 8
	/* back to ring 0 by int 0x82 that stays there */
	int $0x82
back0:
	mov $0x10,%ax
	mov %ax,%ds
	mov %ax,%es
	mov %ax,%ss
	mov $0x70000,%esp
	/* VM86 */
	push $0	/* gs */
	push $0	/* fs */
	push $0	/* ds */
	push $0	/* es */
	push $0	/* ss */
	push $0x6000	/* esp */
	pushf
	orl $0x23000,(%esp)	/* VM + IOPL3 */
	push $0
	push $vm86
	iret
.code16
vm86:
	mov $0x1234,%ax
	mov %ax,%ds
	mov %ds,%ax
	movzwl %ax,%eax
	EXPECT 40, 0x1234
	xor %ax,%ax
	mov %ax,%ds
	int $0x83	/* to pm ring0 */
vm86b:	movzwl %ax,%eax
	EXPECT 41, 0x8686
	movzwl %sp,%eax
	EXPECT 42, 0x6000
	int $0x84
.code32
fromvm86:
	mov 8(%esp),%eax	/* eflags */
	mov $0x10,%cx
	mov %cx,%ds
	mov %cx,%es
	and $0x20000,%eax
	EXPECT 43, 0x20000
	mov $0x70000,%esp
	/* single step */
	movl $0,stepcount
	pushf
	orl $0x100,(%esp)
	popf
	nop
	nop
	nop
	pushf
	andl $~0x100,(%esp)
	popf
	mov stepcount,%eax
	EXPECT 44, 6
	/* mov ss shadow with TF: trap on mov ss suppressed */
	movl $0,stepcount
	mov $0x10,%ecx
	pushf
	orl $0x100,(%esp)
	popf
	mov %cx,%ss
	nop
	pushf
	andl $~0x100,(%esp)
	popf
	mov stepcount,%eax
	EXPECT 45, 4
	/* instruction breakpoint */
	mov $bp1,%eax
	mov %eax,%dr0
	mov $0x402,%eax
	mov %eax,%dr7
	movl $0,lastvec
	movl $0,stepcount
	nop
bp1:	nop
	mov stepcount,%eax
	EXPECT 46, 1
	mov %dr6,%eax
	EXPECT 47, 0xffff4ff1
	/* data breakpoint write 4 on watch */
	mov $watch,%eax
	mov %eax,%dr1
	mov $0x00d00408,%eax
	mov %eax,%dr7
	movl $0,stepcount
	movl $5,watch
	mov stepcount,%eax
	EXPECT 48, 1
	mov %dr6,%eax
	EXPECT 49, 0xffff4ff2
	xor %eax,%eax
	mov %eax,%dr7
	/* long mode */
	mov %cr4,%eax
	or $0x20,%eax
	mov %eax,%cr4
	mov $pml4,%eax
	mov %eax,%cr3
	mov $0xc0000080,%ecx
	rdmsr
	or $0x901,%eax
	wrmsr
	mov %cr0,%eax
	or $0x80010000,%eax
	mov %eax,%cr0
	rdmsr
	EXPECT 60, 0xd01
	ljmp $0x50,$lm64
.code64
lm64:
	mov %cr0,%rax
	xor %eax,%eax
	mov %ax,%ds
	mov %ax,%es
	mov %ax,%ss
	mov %ax,%fs
	mov %ax,%gs
	mov $0x70000,%rsp
	lidt idtr64(%rip)
	mov $0x78,%ax
	ltr %ax
	mov $gdt,%eax
	/* page fault */
	movq $1f,resume
	mov $0x12345678000,%rbx
	movb $1,(%rbx)
1:	mov lastvec,%eax
	EXPECT64 61, 14
	mov lasterr,%eax
	EXPECT64 62, 2
	mov %cr2,%rax
	EXPECT64 63, 0x45678000
	/* non canonical */
	movq $1f,resume
	mov $0x8000000000000000,%rbx
	movb $1,(%rbx)
1:	mov lastvec,%eax
	EXPECT64 64, 13
	movq $1f,resume
	push %rsp
	mov %rbx,%rcx
	mov %rsp,%rbp
	mov %rbx,%rsp
	push %rax
1:	mov %rbp,%rsp
	pop %rax
	mov lastvec,%eax
	EXPECT64 65, 8
	/* wrong gate (vector 0x90 has no handler): GP then...  #NP */
	movq $1f,resume
	int $0x90
1:	mov lastvec,%eax
	EXPECT64 66, 11
	mov lasterr,%eax
	EXPECT64 67, 0x482
	/* double fault: #DE's gate is not present: DE + NP => DF on IST1 */
	movq $1f,resume
	xor %ecx,%ecx
	mov $1,%eax
	xor %edx,%edx
	div %ecx
1:	mov lastvec,%eax
	EXPECT64 68, 8
	mov dfrsp,%eax
	EXPECT64 69, 0x50000-48
	/* swapgs, fs/gs base */
	mov $0xc0000102,%ecx
	mov $0x1111,%eax
	xor %edx,%edx
	wrmsr
	swapgs
	mov $0xc0000101,%ecx
	rdmsr
	EXPECT64 70, 0x1111
	swapgs
	/* syscall setup */
	mov $0xc0000081,%ecx
	xor %eax,%eax
	mov $0x00600050,%edx
	wrmsr
	mov $0xc0000082,%ecx
	mov $sysent,%eax
	xor %edx,%edx
	wrmsr
	mov $0xc0000084,%ecx
	mov $0x40700,%eax
	wrmsr
	mov $user64,%rcx
	mov $0x3202,%r11
	mov $0x60000,%rsp
	sysretq
user64:
	mov %cs,%eax
	EXPECT64 71, 0x73
	mov %ss,%eax
	EXPECT64 72, 0x6b
	mov $7,%edi
	syscall
	EXPECT64 73, 0x57
	mov %rsp,%rax
	EXPECT64 74, 0x60000
	/* TF over syscall with TF masked: the kernel is not stepped; step after sysret */
	movl $0,stepcount
	pushf
	orl $0x100,(%rsp)
	popf
	mov $9,%edi
	syscall
	nop
	pushf
	andl $~0x100,(%rsp)
	popf
	mov stepcount,%eax
	EXPECT64 75, 6
	/* privileged in user: GP */
	movq $1f,resume
	hlt
1:	mov lastvec,%eax
	EXPECT64 76, 13
	/* user access to supervisor page: pf error 5 */
	movq $1f,resume
	mov 0x200000,%rax
1:	mov lastvec,%eax
	EXPECT64 77, 14
	mov lasterr,%eax
	EXPECT64 78, 5
	/* interrupts: sti; hlt handled in ring 0 */
	mov $8,%edi
	syscall
.p2align 4
sysent:
	cmp $8,%edi
	je k8
	lea 0x50(%rdi),%eax
	sysretq
k8:	mov $0x70000,%rsp
	mov %cs,%eax
	EXPECT64 80, 0x50
	mov %ss,%eax
	EXPECT64 81, 0x58
	/* iretq same privilege restores rsp, ss */
	mov %rsp,%rax
	push $0x58
	push %rax
	pushf
	push $0x50
	push $1f
	iretq
1:	mov %rsp,%rax
	EXPECT64 82, 0x70000
	/* compat mode: far return to 32-bit code */
	push $0x08
	push $compat
	lretq
.code32
compat:
	mov $0x10,%ax
	mov %ax,%ss
	mov %ax,%ds
	mov $0x70000,%esp
	movl $1f,resume
	movl $0,resume+4
	mov $0x1000,%ax
	mov %ax,%es
1:	mov lastvec,%eax
	EXPECT 83, 13
	pushl $0x50
	pushl $lm2
	lret
.code64
lm2:	mov %rsp,%rax
	EXPECT64 84, 0x70000
	/* NT with iretq: GP */
	movq $1f,resume
	pushf
	orl $0x4000,(%rsp)
	popf
	iretq
1:	mov lastvec,%eax
	EXPECT64 85, 13
	pushf
	andl $~0x4000,(%rsp)
	popf
	/* pushed RF at fault */
	mov lastflags,%eax
	and $0x10000,%eax
	EXPECT64 86, 0x10000
	mov $0xffffffff,%eax
	mov $0xffffffff,%edx
	movq $1f,resume
	mov $0xc0000082,%ecx
	mov $0x80000000,%edx
	wrmsr
1:	mov lastvec,%eax
	EXPECT64 87, 13
	/* triple fault */
	lidt zero(%rip)
	int3
	hlt

.p2align 3
zero: .quad 0,0
resume: .quad 0
lastvec: .quad 0
lasterr: .quad 0
lastcpl_ss: .quad 0
lastesp: .quad 0
lastflags: .quad 0
stepcount: .quad 0
gateparam: .quad 0
gatecs: .quad 0
dfrsp: .quad 0
watch: .quad 0

.code32
	/* 32-bit handlers: error code pushed for 10-14, 8 */
.macro H32 n, err
h32_\n:
	.if \err == 0
	push $0
	.endif
	push $\n
	jmp common32
.endm
H32 0,0
H32 13,1
H32 11,1
H32 12,1
H32 6,0
H32 10,1
common32:
	push %eax
	push %ds
	mov $0x10,%ax
	mov %ax,%ds
	mov 8(%esp),%eax
	mov %eax,lastvec
	mov 12(%esp),%eax
	mov %eax,lasterr
	mov resume,%eax
	mov %eax,16(%esp)
	pop %ds
	pop %eax
	add $8,%esp
	iret
h32_3:
	movl $3,lastvec
	iret
h32_1:
	push %ds
	push %eax
	mov $0x10,%ax
	mov %ax,%ds
	incl stepcount
	/* set RF if this is a fault (breakpoint) */
	mov %dr6,%eax
	test $1,%eax
	jz 1f
	orl $0x10000,16(%esp)
1:
	pop %eax
	pop %ds
	iret
h32_80:
	push %eax
	movl $0x80,lastvec
	mov 20(%esp),%eax
	mov %eax,lastcpl_ss
	mov 16(%esp),%eax
	mov %eax,lastesp
	pop %eax
	iret
h32_82:
	jmp back0
h32_83:
	mov $0x8686,%eax
	iret
h32_84:
	jmp fromvm86
gate:
	mov %cs,%eax
	mov %eax,gatecs
	mov 8(%esp),%eax
	mov %eax,gateparam
	lret $4

.code64
.macro H64 n, err
h64_\n:
	.if \err == 0
	push $0
	.endif
	push $\n
	jmp common64
.endm
H64 13,1
H64 11,1
H64 12,1
H64 14,1
H64 6,0
H64 10,1
H64 8,1
common64:
	push %rax
	mov 8(%rsp),%rax
	mov %rax,lastvec
	cmp $8,%rax
	jne 1f
	lea 16(%rsp),%rax
	mov %rax,dfrsp
1:	mov 16(%rsp),%rax
	mov %rax,lasterr
	mov 40(%rsp),%rax
	mov %rax,lastflags
	mov resume,%rax
	mov %rax,24(%rsp)
	pop %rax
	add $16,%rsp
	iretq
h64_1:
	incl stepcount
	iretq
h64_3:	iretq

.p2align 4
gdt:	.quad 0
	.quad 0x00cf9b000000ffff	/* 08 code32 */
	.quad 0x00cf93000000ffff	/* 10 data */
	.quad 0x00cffb000000ffff	/* 18 user code */
	.quad 0x00cff3000000ffff	/* 20 user data */
	.word 0x67, tss32, 0x8900, 0x0000	/* 28 tss32 */
	.quad 0	/* 30 */
	.quad 0x00cf13000000ffff	/* 38 not present data */
	.quad 0x00409200000000ff	/* 40 small data, not accessed */
	.word gate, 0x08, 0xec01, 0	/* 48 call gate dpl3, 1 param */
	.quad 0x00af9b000000ffff	/* 50 code64 */
	.quad 0x00cf93000000ffff	/* 58 data */
	.quad 0x00cffb000000ffff	/* 60 user code32 */
	.quad 0x00cff3000000ffff	/* 68 user data */
	.quad 0x00affb000000ffff	/* 70 user code64 */
	.word 0x67, tss64, 0x8900, 0x0000	/* 78 tss64 */
	.quad 0
gdtend:
gdtr:	.word gdtend-gdt-1
	.long gdt
.p2align 3
tss32:	.long 0, 0x78000, 0x10
	.fill 0x68-12,1,0
tss64:	.long 0
	.quad 0x78000, 0, 0, 0
	.quad 0x50000
	.fill 0x68-44,1,0
idtr32: .word 0x87*8-1
	.long idt32
.p2align 3
idtr64: .word 256*16-1
	.quad idt64
.macro G32 h, a
	.word \h, 8, \a, 0
.endm
.p2align 3
idt32:
	G32 h32_0, 0x8e00
	G32 h32_1, 0x8e00
	.quad 0
	G32 h32_3, 0xee00
	.quad 0,0
	G32 h32_6, 0x8e00
	.quad 0,0,0
	G32 h32_10,0x8e00
	G32 h32_11,0x8e00
	G32 h32_12,0x8e00
	G32 h32_13,0x8e00
	.fill (0x80-14)*8,1,0
	G32 h32_80,0xee00
	G32 h32_80,0x8e00
	G32 h32_82,0xee00
	G32 h32_83,0xee00
	G32 h32_84,0xee00
	.fill 0x10*8,1,0
.macro G64 h, a
	.word \h, 0x50, \a, 0
	.quad 0
.endm
idt64:
	G64 0, 0x0e00
	G64 h64_1, 0x8e00
	.quad 0,0
	G64 h64_3, 0xee00
	.quad 0,0,0,0
	G64 h64_6, 0x8e00
	.quad 0,0
	.word h64_8, 0x50, 0x8e01, 0
	.quad 0
	.quad 0,0
	G64 h64_10,0x8e00
	G64 h64_11,0x8e00
	G64 h64_12,0x8e00
	G64 h64_13,0x8e00
	G64 h64_14,0x8e00
	.fill (0x90-15)*16,1,0
	G64 0,0x0e00
	.fill (255-0x90)*16,1,0
.p2align 12
pml4:	.long pdpt+7, 0
	.fill 4088,1,0
pdpt:	.long pd+7, 0
	.fill 4088,1,0
pd:	.long 0x87, 0
	.long 0x200083,0
	.fill 4080,1,0
