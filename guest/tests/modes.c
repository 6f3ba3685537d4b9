// SPDX-License-Identifier: Apache-2.0
/* Modes: compatibility (32 and 16 bit), SYSCALL/SYSRET, a trip through protected and real mode and back (SDM 3A ch. 9). */
#include "lib/guest.h"

/* ---------------------------------------------------------------- compatibility mode */

asm(".text\n.code32\n"
    "compat32:\n"
    "	mov $0xffffffff, %eax\n"
    "	.byte 0x40\n"			/* inc %eax here, a REX prefix in 64-bit mode */
    "	mov %eax, compat_results\n"
    "	mov %esp, %ecx\n push %eax\n sub %esp, %ecx\n mov %ecx, compat_results + 4\n pop %eax\n"
    "	mov $compat_results, %ebx\n movl $0x1234, 8(%ebx)\n"
    "	pushf\n pop %edx\n mov %edx, compat_results + 12\n"
    "	lret\n"
    ".code16\n"
    "compat16:\n"
    "	mov $0xffff, %ax\n inc %ax\n"
    "	movw %ax, 0x6000\n"
    "	mov %esp, %ecx\n push %ax\n mov %esp, %edx\n sub %edx, %ecx\n movl %ecx, 0x6004\n pop %ax\n"
    "	lretl\n"
    ".code64\n"
    ".data\n.balign 8\ncompat_results: .skip 16\n"
    "far32: .long compat32\n .word 0x08\n .balign 8\n"
    "far16: .long 0x7800\n .word 0x50\n .text\n");
extern u32 compat_results[4];
extern char compat16[];

static void compat(void)
{
	volatile u32 *low = (u32 *)0x6000;

	asm volatile("lcall *far32" : : : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	report(compat_results[0] == 0, "opcode 40 is INC in compatibility mode (%x)", compat_results[0]);
	report(compat_results[1] == 4, "PUSH moves ESP by 4 (%u)", compat_results[1]);
	report(compat_results[2] == 0x1234, "32-bit addressing");
	memcpy((void *)0x7800, compat16, 64);
	low[0] = low[1] = 0x55555555;
	asm volatile("lcall *far16" : : : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	report((u16)low[0] == 0 && low[0] >> 16 == 0x5555, "16-bit code writes 16 bits (%x)", low[0]);
	report(low[1] == 2, "a 16-bit PUSH moves the stack by 2 (%u)", low[1]);
}

/* ---------------------------------------------------------------- SYSCALL */

asm(".text\n"
    "syscall_entry:\n"
    "	mov %rcx, syscall_seen\n mov %r11, syscall_seen + 8\n"
    "	mov %cs, %eax\n mov %eax, syscall_seen + 16\n mov %ss, %eax\n mov %eax, syscall_seen + 24\n"
    "	pushf\n pop syscall_seen + 32\n"
    "	sysretq\n"
    ".globl user_syscall\n"
    "user_syscall:\n"
    "	mov %rsp, %rbx\n or $1, %rax\n stc\n"
    "	syscall\n"
    "syscall_back:\n"
    "	mov %cs, %eax\n mov %eax, syscall_seen + 40\n mov %ss, %eax\n mov %eax, syscall_seen + 48\n"
    "	int $0x81\n"
    ".data\n.balign 8\nsyscall_seen: .skip 64\n.text\n");
extern u64 syscall_seen[8];
extern char syscall_entry[], syscall_back[];
void user_syscall(void);

static void syscalls(void)
{
	struct exception e;

	pml4[0] |= PTE_U;
	pdpt[0] |= PTE_U;
	for (int i = 0; i < 16; i++)
		page_dirs[i] |= PTE_U;
	WRITE_CR(3, READ_CR(3));
	/* SYSCALL: CS 0x18, SS 0x20. SYSRETQ: CS 0x1b + 16 = 0x2b, SS 0x1b + 8 = 0x23 (flat user data by fiat). */
	wrmsr(0xc0000081, 0x001b001800000000ull);
	wrmsr(0xc0000082, (u64)syscall_entry);
	wrmsr(0xc0000084, 0x200);
	e = run_user(user_syscall);
	report(e.vector == 0x81, "SYSCALL and SYSRET come back to user mode (got %d error %lx rip %lx)", e.vector, e.error, e.rip);
	report(syscall_seen[0] == (u64)syscall_back, "RCX holds the return address");
	report((syscall_seen[1] & 0x201) == 1, "R11 holds the flags (%lx)", syscall_seen[1]);
	report((u16)syscall_seen[2] == 0x18 && (u16)syscall_seen[3] == 0x20, "kernel selectors from STAR");
	report(!(syscall_seen[4] & 0x200), "SFMASK clears IF");
	report((u16)syscall_seen[5] == 0x2b && (u16)syscall_seen[6] == 0x23, "user selectors from STAR (%x %x)", (u16)syscall_seen[5],
	       (u16)syscall_seen[6]);
}

/* ---------------------------------------------------------------- down to real mode and back */

asm(".text\n"
    ".globl trip, trip_low, trip_low_end\n"
    "trip:\n"
    "	push %rbx\n push %rbp\n"
    "	mov %rsp, trip_rsp\n"
    "	ljmp *trip_far32\n"
    ".data\n.balign 8\ntrip_rsp: .quad 0\ntrip_far32: .long trip32\n .word 0x08\n"
    ".balign 8\ntrip_idt: .word 0x3ff\n .long 0\n.text\n"
    ".code32\n"
    "trip32:\n"
    "	mov $0x10, %eax\n mov %eax, %ds\n mov %eax, %es\n mov %eax, %ss\n"
    "	mov %cr0, %eax\n and $0x7fffffff, %eax\n mov %eax, %cr0\n"	/* paging off: long mode inactive */
    "	mov $0xc0000080, %ecx\n rdmsr\n mov %eax, 0x6010\n and $~0x100, %eax\n wrmsr\n"
    "	sidt 0x6040\n lidt trip_idt\n"
    "	movl $0x77777777, 0x6014\n"
    "	ljmp $0x50, $0x7000\n"
    ".code16\n"
    "trip_low:\n"
    "	mov $0x58, %ax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %ss\n"
    "	mov %cr0, %eax\n and $0xfe, %al\n mov %eax, %cr0\n"
    "	ljmp $0, $0x7000 + 1f - trip_low\n"
    "1:	xor %ax, %ax\n mov %ax, %ss\n mov $0x6f00, %sp\n"
    "	mov $0x1234, %ax\n mov %ax, %ds\n movw $0xbeef, 0x10\n"		/* 0x12340 + 0x10 */
    "	xor %ax, %ax\n mov %ax, %ds\n"
    "	movw $0x7000 + 2f - trip_low, 0x40 * 4\n movw $0, 0x40 * 4 + 2\n"
    "	stc\n int $0x40\n"
    "	pushf\n pop %ax\n mov %ax, 0x601c\n"
    "	mov $0xffff, %bx\n mov %bx, %ds\n mov 0x10, %al\n xor %bx, %bx\n mov %bx, %ds\n mov %al, 0x6020\n" /* ffff:0010 = 0x100000 */
    "	mov %cr0, %eax\n or $1, %al\n mov %eax, %cr0\n"
    "	ljmpl $0x08, $trip_back\n"
    "2:	movw $0x4040, 0x6018\n clc\n iret\n"
    "trip_low_end:\n"
    ".code32\n"
    "trip_back:\n"
    "	mov $0x10, %eax\n mov %eax, %ds\n mov %eax, %es\n mov %eax, %ss\n"
    "	lidt 0x6040\n"
    "	mov $0xc0000080, %ecx\n rdmsr\n or $0x100, %eax\n wrmsr\n"
    "	mov %cr0, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n"
    "	ljmp $0x18, $trip_end\n"
    ".code64\n"
    "trip_end:\n"
    "	mov $0x20, %eax\n mov %eax, %ds\n mov %eax, %es\n mov %eax, %ss\n"
    "	mov trip_rsp, %rsp\n pop %rbp\n pop %rbx\n ret\n");
void trip(void);
extern char trip_low[], trip_low_end[];

static void real_mode(void)
{
	volatile u32 *low = (u32 *)0x6000;
	u8 efer_lma;

	memcpy((void *)0x7000, trip_low, (size_t)(trip_low_end - trip_low));
	memset((void *)0x6000, 0, 64);
	*(volatile u16 *)0x12350 = 0;
	trip();
	lidt_limit(0xfff);
	efer_lma = low[4] >> 10 & 1;
	report(!efer_lma, "EFER.LMA is clear once paging is off (%x)", low[4]);
	report(low[5] == 0x77777777, "32-bit protected mode without paging");
	report(*(volatile u16 *)0x12350 == 0xbeef, "real mode: segment * 16 + offset");
	report((u16)low[6] == 0x4040, "INT through the real-mode vector table");
	report(low[7] & 1, "IRET restores the flags pushed by INT (%x)", low[7]);
	report((u8)low[8] == *(u8 *)0x100000, "an address above 1 MiB in real mode, A20 on");
	report(rdmsr(0xc0000080) >> 10 & 1, "long mode again");
}

/* ---------------------------------------------------------------- IRET to 32-bit user code */

asm(".text\n.globl to_user32\n"
    "to_user32:\n"
    "	push $0x33\n push $0x6e00\n push $2\n push $0x3b\n push $user32\n iretq\n"
    ".code32\n"
    "user32:\n"
    "	mov $0x33, %eax\n mov %eax, %ds\n mov $0x7fffffff, %eax\n .byte 0x40\n mov %eax, 0x6030\n"
    "	mov %cs, %eax\n mov %eax, 0x6034\n"
    "	int $0x81\n"
    ".code64\n");
void to_user32(void *arg);

static void user32(void)
{
	volatile u32 *low = (u32 *)0x6000;
	struct exception e = catch(to_user32, NULL);

	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0x20));
	report(e.vector == 0x81 && low[12] == 0x80000000, "IRET to 32-bit user code (vector %d, %x)", e.vector, low[12]);
	report((u16)low[13] == 0x3b && (u16)e.cs == 0x3b, "its CS");
}

int main(void);
int main(void)
{
	idt_init();
	compat();
	real_mode();
	syscalls();
	user32();
	return report_failures();
}
