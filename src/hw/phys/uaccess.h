// SPDX-License-Identifier: Apache-2.0
/*
 * Loads and stores of memory that a client owns and may unmap or truncate at any time.
 *
 * Each instruction that may fault has an entry in the section softcvm_ex_table: (address of the instruction, address to
 * continue at), both relative. The SIGSEGV/SIGBUS handler (phys.c) looks the faulting address up and moves RIP, so the hot
 * path is one plain MOV, which is also a relaxed atomic of its size. The accesses are invisible to ASan and TSan: what a
 * guest does to its memory is the guest's business.
 *
 *	u64 v;
 *	UACCESS_LOAD(4, host, v, gone);		// v: zero-extended
 *	UACCESS_STORE(4, host, v, gone);
 *	...
 * gone:					// the memory is not there: nothing was read or written
 */
#pragma once

#include "hw/addr.h"

#define UACCESS_EX(label) \
	".pushsection softcvm_ex_table,\"a\"\n.balign 4\n.long 1b - .\n.long %l[" #label "] - .\n.popsection\n"

#define UACCESS_LOAD_1(p, v, label) \
	asm volatile goto("1: movzbl %1, %k0\n" UACCESS_EX(label) : "=r"(v) : "m"(*(const volatile u8 *)(p)) : "memory" : label)
#define UACCESS_LOAD_2(p, v, label) \
	asm volatile goto("1: movzwl %1, %k0\n" UACCESS_EX(label) : "=r"(v) : "m"(*(const volatile u16 *)(p)) : "memory" : label)
#define UACCESS_LOAD_4(p, v, label) \
	asm volatile goto("1: movl %1, %k0\n" UACCESS_EX(label) : "=r"(v) : "m"(*(const volatile u32 *)(p)) : "memory" : label)
#define UACCESS_LOAD_8(p, v, label) \
	asm volatile goto("1: movq %1, %0\n" UACCESS_EX(label) : "=r"(v) : "m"(*(const volatile u64 *)(p)) : "memory" : label)
#define UACCESS_STORE_1(p, v, label) \
	asm volatile goto("1: movb %b1, %0\n" UACCESS_EX(label) : : "m"(*(volatile u8 *)(p)), "q"((u64)(v)) : "memory" : label)
#define UACCESS_STORE_2(p, v, label) \
	asm volatile goto("1: movw %w1, %0\n" UACCESS_EX(label) : : "m"(*(volatile u16 *)(p)), "r"((u64)(v)) : "memory" : label)
#define UACCESS_STORE_4(p, v, label) \
	asm volatile goto("1: movl %k1, %0\n" UACCESS_EX(label) : : "m"(*(volatile u32 *)(p)), "r"((u64)(v)) : "memory" : label)
#define UACCESS_STORE_8(p, v, label) \
	asm volatile goto("1: movq %1, %0\n" UACCESS_EX(label) : : "m"(*(volatile u64 *)(p)), "r"((u64)(v)) : "memory" : label)

#define UACCESS_LOAD(size, p, v, label)	 UACCESS_LOAD_##size(p, v, label)
#define UACCESS_STORE(size, p, v, label) UACCESS_STORE_##size(p, v, label)

/*
 * Atomic read-modify-writes (LOCK semantics, whatever the alignment). v is a u64 in and out.
 * XADD: *p += v, v = old. XCHG: swap. CMPXCHG: if *p == old then *p = new; old = what was there; ok = swapped.
 */
#define UACCESS_RMW_(insn, p, v, label) \
	asm volatile goto("1: " insn "\n" UACCESS_EX(label) : "+m"(*(p)), "+r"(v) : : "memory", "cc" : label)
#define UACCESS_XADD_1(p, v, label) UACCESS_RMW_("lock xaddb %b1, %0", (volatile u8 *)(p), v, label)
#define UACCESS_XADD_2(p, v, label) UACCESS_RMW_("lock xaddw %w1, %0", (volatile u16 *)(p), v, label)
#define UACCESS_XADD_4(p, v, label) UACCESS_RMW_("lock xaddl %k1, %0", (volatile u32 *)(p), v, label)
#define UACCESS_XADD_8(p, v, label) UACCESS_RMW_("lock xaddq %1, %0", (volatile u64 *)(p), v, label)
#define UACCESS_XCHG_1(p, v, label) UACCESS_RMW_("xchgb %b1, %0", (volatile u8 *)(p), v, label)
#define UACCESS_XCHG_2(p, v, label) UACCESS_RMW_("xchgw %w1, %0", (volatile u16 *)(p), v, label)
#define UACCESS_XCHG_4(p, v, label) UACCESS_RMW_("xchgl %k1, %0", (volatile u32 *)(p), v, label)
#define UACCESS_XCHG_8(p, v, label) UACCESS_RMW_("xchgq %1, %0", (volatile u64 *)(p), v, label)

#define UACCESS_CMPXCHG_(insn, p, old, new, ok, label)                                                       \
	asm volatile goto("1: " insn "\n" UACCESS_EX(label)                                                           \
		 : "+m"(*(p)), "+a"(old), "=@ccz"(ok) : "r"((u64)(new)) : "memory" : label)
#define UACCESS_CMPXCHG_1(p, o, n, ok, label) UACCESS_CMPXCHG_("lock cmpxchgb %b3, %0", (volatile u8 *)(p), o, n, ok, label)
#define UACCESS_CMPXCHG_2(p, o, n, ok, label) UACCESS_CMPXCHG_("lock cmpxchgw %w3, %0", (volatile u16 *)(p), o, n, ok, label)
#define UACCESS_CMPXCHG_4(p, o, n, ok, label) UACCESS_CMPXCHG_("lock cmpxchgl %k3, %0", (volatile u32 *)(p), o, n, ok, label)
#define UACCESS_CMPXCHG_8(p, o, n, ok, label) UACCESS_CMPXCHG_("lock cmpxchgq %3, %0", (volatile u64 *)(p), o, n, ok, label)
