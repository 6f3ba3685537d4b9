// SPDX-License-Identifier: Apache-2.0
/*
 * compare: two outcomes of one sequence.
 */
#include <string.h>

#include "diff.h"

#define COMPARED_FLAGS (FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID)

static const char *const gpr_name[16] = {
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
};

bool vector_has_error(u32 vector)
{
	return vector == X86_DF || (vector >= X86_TS && vector <= X86_PF) || vector == X86_AC;
}

struct report {
	char *text;
	size_t size;
};

static bool equal(const struct report *r, const char *what, u64 native, u64 ours)
{
	if (native == ours)
		return true;
	snprintf(r->text, r->size, "%s: native %#llx, ours %#llx", what, (unsigned long long)native,
		 (unsigned long long)ours);
	return false;
}

/* IRET of the host's kernel to the signal handler may clear the RPL of a null selector (APM3 IRET). */
static bool equal_selector(const struct report *r, const char *what, u16 native, u16 ours)
{
	return equal(r, what, native & ~3 ? native : 0, ours & ~3 ? ours : 0);
}

static bool equal_fx(const struct report *r, u32 mxcsr, u8 *native, u8 *ours)
{
	*(u32 *)(native + 24) &= mxcsr;
	*(u32 *)(ours + 24) &= mxcsr;
	mask_fx(native);
	mask_fx(ours);
	for (unsigned int n = 0; n < XSAVE_SIZE; n += 2) {
		char what[32];
		u16 a, b;

		memcpy(&a, native + n, 2);
		memcpy(&b, ours + n, 2);
		if (n >= XSAVE_YMM)
			snprintf(what, sizeof(what), "ymm%u[%u]", (n - XSAVE_YMM) / 16, 16 + n % 16);
		else if (n >= 160)
			snprintf(what, sizeof(what), "xmm%u[%u]", (n - 160) / 16, n % 16);
		else if (n >= 32)
			snprintf(what, sizeof(what), "st%u[%u]", (n - 32) / 16, n % 16);
		else
			snprintf(what, sizeof(what), "fxsave[%u]", n);
		if (!equal(r, what, a, b))
			return false;
	}
	return true;
}

static bool equal_memory(const struct report *r, const struct image *native, const struct image *ours)
{
	for (unsigned int n = 0; n < DATA_PAGES; n++) {
		if (page_kind(n) != PAGE_RW || !memcmp(native->byte[n], ours->byte[n], PAGE))
			continue;
		for (unsigned int k = 0; k < PAGE; k++) {
			char what[32];

			snprintf(what, sizeof(what), "byte at %#llx", (unsigned long long)(DATA_BASE + n * PAGE + k));
			if (!equal(r, what, native->byte[n][k], ours->byte[n][k]))
				return false;
		}
	}
	return true;
}

/* Which vector accesses EFLAGS.AC applies to differs (SDM 3A 6.15 #AC, APM2 8.2.17; MXCSR.MM on AMD). */
static bool alignment_differs(const struct sequence *s, const struct outcome *native, const struct outcome *ours)
{
	const struct outcome *const stopped[] = {native, ours};

	for (unsigned int n = 0; n < 2; n++) {
		const struct unit *u = sequence_unit(s, stopped[n]->state.rip);

		if (stopped[n]->vector == X86_AC && u && u->vector_memory &&
		    (stopped[!n]->vector != X86_AC || stopped[!n]->state.rip != stopped[n]->state.rip))
			return true;
	}
	return false;
}

/* Linux tells user code that every page of its own half is present. */
static void hide_kernel(struct outcome *o)
{
	if (o->vector == X86_PF && o->cr2 >> 63)
		o->error |= 1;
}

bool outcomes_equal(const struct sequence *s, struct outcome *native, struct outcome *ours, char *text, size_t size)
{
	const struct report r = {text, size};
	const struct unit *u = sequence_unit(s, native->state.rip);
	u64 mask = COMPARED_FLAGS & ~sequence_undefined(s, native->state.rip);
	u64 address = u ? fault_address_mask(u->mnemonic) : ~0ull;

	if (ours->failure) {
		snprintf(text, size, "%s (%#llx, %#llx) at rip %#llx", ours->failure, (unsigned long long)ours->error,
			 (unsigned long long)ours->cr2, (unsigned long long)ours->state.rip);
		return false;
	}
	if (alignment_differs(s, native, ours))
		return true;
	hide_kernel(native);
	hide_kernel(ours);
	if (!equal(&r, "rip", native->state.rip, ours->state.rip) ||
	    !equal(&r, "vector", native->vector, ours->vector) ||
	    !equal(&r, "error code", native->error, ours->error) ||
	    !equal(&r, "fault address", native->cr2 & address, ours->cr2 & address))
		return false;
	for (unsigned int n = 0; n < 16; n++) {
		/* what becomes of the upper halves in compatibility mode is not said (SDM 1 3.4.1.1) */
		u64 bits = s->compat ? n < 8 ? 0xffffffff : 0 : ~0ull;

		if (!equal(&r, gpr_name[n], native->state.gpr[n] & bits, ours->state.gpr[n] & bits))
			return false;
	}
	return equal(&r, "rflags", native->state.rflags & mask, ours->state.rflags & mask) &&
	       equal_selector(&r, "ds", native->state.ds, ours->state.ds) &&
	       equal_selector(&r, "es", native->state.es, ours->state.es) &&
	       equal_fx(&r, u && native->vector == X86_XM ? mxcsr_mask(u->mnemonic) : ~0u, native->state.fx,
			ours->state.fx) &&
	       equal_memory(&r, native->memory, ours->memory);
}
