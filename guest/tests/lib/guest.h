// SPDX-License-Identifier: Apache-2.0
/*
 * What a test guest needs: a report line per expectation, exceptions that come back as values, page tables, other processors.
 * A guest is a file with main(); it ends with the number of failures as exit status. No libc, no SSE.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/* ---- output: "PASS: text" or "FAIL: text" on the serial port */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* %s %c %d %u %x %lx %lu */
void report(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int report_failures(void); /* prints the summary; the value for main() to return */
_Noreturn void test_exit(int status);

/* ---- exceptions */
struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};
struct exception {
	int vector; /* -1: none happened */
	u64 error, rip, cr2, rflags, rsp, cs;
};
void idt_init(void); /* also a TSS whose RSP0 and IST1 are valid */
/* Runs fn(arg); an exception inside ends it and is returned. */
struct exception catch(void (*fn)(void *), void *arg);
/* Instead of ending catch(), the vector calls this; it may change the frame. NULL restores the default. */
void set_handler(u8 vector, void (*handler)(struct frame *));
void idt_set_ist(u8 vector, u8 ist);
void idt_set_dpl(u8 vector, u8 dpl);
void lidt_limit(u16 limit); /* reloads the IDT with this limit */
/* The vector goes to this code itself, not to a handler. */
void idt_set_entry(u8 vector, void (*entry)(void));
/* fn at CPL 3; comes back with int $0x81 (user_exit) or an exception */
struct exception run_user(void (*fn)(void));
static inline void user_exit(void) { asm volatile("int $0x81"); }
extern u64 tss_rsp0_seen;

/* ---- paging */
#define PTE_P	1ull
#define PTE_W	2ull
#define PTE_U	4ull
#define PTE_A	(1ull << 5)
#define PTE_D	(1ull << 6)
#define PTE_PS	(1ull << 7)
#define PTE_G	(1ull << 8)
#define PTE_NX	(1ull << 63)
extern u64 pml4[512], pdpt[512], page_dirs[4 * 512], gdt[], gdt_end[];
/* Maps va at level 1..3 (tables as needed, user-accessible and writable), flushes it; returns the entry. */
u64 *map_page(u64 va, u64 pa, u64 flags, int level);
u64 *find_pte(u64 va, int level);
void *alloc_page(void); /* zeroed, 1:1 mapped; never freed */

/* ---- processors and the local APIC (xAPIC) */
void apic_init(void);
u32 apic_read(u32 reg);
void apic_write(u32 reg, u32 value);
void apic_eoi(void);
u32 apic_id(void);
/* Starts the processor with this APIC id; it runs fn(arg), then halts. False if it does not come up. */
bool start_cpu(u32 id, void (*fn)(void *), void *arg);
void send_ipi(u32 id, u8 vector);
unsigned int cpu_count_from_cpuid_or(unsigned int fallback);

/* ---- instructions */
static inline void outb(u16 port, u8 v) { asm volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outl(u16 port, u32 v) { asm volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 v; asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u32 inl(u16 port) { u32 v; asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u64 rdmsr(u32 n) { u32 a, d; asm volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(n)); return a | (u64)d << 32; }
static inline void wrmsr(u32 n, u64 v) { asm volatile("wrmsr" : : "c"(n), "a"((u32)v), "d"((u32)(v >> 32)) : "memory"); }
static inline u64 rdtsc(void) { u32 a, d; asm volatile("rdtsc" : "=a"(a), "=d"(d)); return a | (u64)d << 32; }
#define READ_CR(n) ({ u64 v_; asm volatile("mov %%cr" #n ", %0" : "=r"(v_)); v_; })
#define WRITE_CR(n, v) asm volatile("mov %0, %%cr" #n : : "r"((u64)(v)) : "memory")
#define READ_DR(n) ({ u64 v_; asm volatile("mov %%db" #n ", %0" : "=r"(v_)); v_; })
#define WRITE_DR(n, v) asm volatile("mov %0, %%db" #n : : "r"((u64)(v)) : "memory")
static inline void invlpg(u64 va) { asm volatile("invlpg (%0)" : : "r"(va) : "memory"); }
static inline void cpu_relax(void) { asm volatile("pause" : : : "memory"); }
static inline void cpuid(u32 leaf, u32 sub, u32 *a, u32 *b, u32 *c, u32 *d)
{
	asm volatile("cpuid" : "=a"(*a), "=b"(*b), "=c"(*c), "=d"(*d) : "a"(leaf), "c"(sub));
}
void *memcpy(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
