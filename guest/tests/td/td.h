/* SPDX-License-Identifier: Apache-2.0 */
/* What small TDs need: guest leaves, TDVMCALLs, the serial port. They run in the first stage's 64-bit mode, memory 1:1. */
#pragma once

#include <stdint.h>

#define TDG_VP_VMCALL	   0
#define TDG_MR_RTMR_EXTEND 2
#define TDG_MR_REPORT	   4
#define VMCALL_IO	   30
#define VMCALL_REGISTERS   0xfc00 /* R10 to R15 */
#define PORT_COM1	   0x3f8
#define PORT_SLEEP	   0x600
#define SLEEP_OFF	   (5 << 2 | 1 << 5)

void _start(void);

static inline uint64_t tdcall(uint64_t leaf, uint64_t rcx, uint64_t rdx)
{
	register uint64_t r8 __asm__("r8") = 0;

	__asm__ volatile(".byte 0x66, 0x0f, 0x01, 0xcc" : "+a"(leaf), "+r"(r8) : "c"(rcx), "d"(rdx) : "memory");
	return leaf;
}

/* R10 as the host gives it back. */
static inline uint64_t vmcall(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	register uint64_t r10 __asm__("r10") = 0;
	register uint64_t r11 __asm__("r11") = nr;
	register uint64_t r12 __asm__("r12") = a;
	register uint64_t r13 __asm__("r13") = b;
	register uint64_t r14 __asm__("r14") = c;
	register uint64_t r15 __asm__("r15") = d;
	uint64_t leaf = TDG_VP_VMCALL;

	__asm__ volatile(".byte 0x66, 0x0f, 0x01, 0xcc"
			 : "+a"(leaf), "+r"(r10), "+r"(r11), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15)
			 : "c"((uint64_t)VMCALL_REGISTERS)
			 : "memory");
	return r10;
}

static inline void out8(uint16_t port, uint8_t value)
{
	vmcall(VMCALL_IO, 1, 1, port, value);
}

static inline void say(const char *text)
{
	while (*text)
		out8(PORT_COM1, (uint8_t)*text++);
}

static inline void say_bytes(const char *name, const uint8_t *bytes, unsigned int count)
{
	say(name);
	for (unsigned int i = 0; i < count; i++) {
		out8(PORT_COM1, (uint8_t)"0123456789abcdef"[bytes[i] >> 4]);
		out8(PORT_COM1, (uint8_t)"0123456789abcdef"[bytes[i] & 15]);
	}
	say("\n");
}

static inline void power_off(void)
{
	out8(PORT_SLEEP, SLEEP_OFF);
	for (;;)
		;
}
