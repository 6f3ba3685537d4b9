/* SPDX-License-Identifier: Apache-2.0 */
/* What raised #VE, and who handles it. */
#include "runtime.h"

/* VMX basic exit reasons (SDM 3D appendix C). */
enum { VE_CPUID = 10, VE_HLT = 12, VE_IO = 30, VE_RDMSR = 31, VE_WRMSR = 32, VE_EPT_VIOLATION = 48 };

enum { RAX, RCX, RDX, RBX };
#define RFLAGS_IF      (1ull << 9)
#define IO_STRING      (1u << 4)
#define IO_IN	       (1u << 3)
#define HYPERVISOR_LEAVES(leaf) ((leaf) >> 28 == 4)

static const struct ve_host *ve_host;
static uint64_t shared_bit;

void ve_set_host(const struct ve_host *host)
{
	struct tdcall r = {};

	tdcall(TDG_VP_INFO, &r);
	shared_bit = 1ull << ((r.rcx & 63) - 1);
	ve_host = host;
}

uint64_t tdx_shared_bit(void) { return shared_bit; }

/* ---------------------------------------------------------------- instructions */

static ve_result cpuid(struct ve_frame *frame, const struct ve_info *ve, const struct ve_host *host)
{
	uint32_t leaf = (uint32_t)frame->gpr[RAX], out[4] = {};

	/* The module answers what it vouches for itself. Of the rest only the hypervisor's own leaves are taken from the host. */
	if (HYPERVISOR_LEAVES(leaf))
		tdx_cpuid(leaf, (uint32_t)frame->gpr[RCX], out);
	frame->gpr[RAX] = out[0];
	frame->gpr[RBX] = out[1];
	frame->gpr[RCX] = out[2];
	frame->gpr[RDX] = out[3];
	return VE_DONE;
}

static ve_result hlt(struct ve_frame *frame, const struct ve_info *ve, const struct ve_host *host)
{
	if (frame->cs & 3)
		return "HLT by user mode";
	tdx_halt(!(frame->rflags & RFLAGS_IF));
	return VE_DONE;
}

static ve_result port_io(struct ve_frame *frame, const struct ve_info *ve, const struct ve_host *host)
{
	unsigned int size = ((unsigned int)ve->qualification & 7) + 1;
	uint16_t port = (uint16_t)(ve->qualification >> 16);
	uint64_t keep = size == 4 ? 0 : ~0ull << 8 * size;
	uint32_t value;

	if (frame->cs & 3)
		return "port I/O by user mode is not emulated";
	if (ve->qualification & IO_STRING)
		return "port I/O by a string instruction";
	if (!(ve->qualification & IO_IN))
		return tdx_port_out(port, size, (uint32_t)(frame->gpr[RAX] & ~keep)) ? VE_DONE : "the host refused the port I/O";
	if (!tdx_port_in(port, size, &value))
		return "the host refused the port I/O";
	frame->gpr[RAX] = (frame->gpr[RAX] & keep) | value;
	return VE_DONE;
}

static ve_result rdmsr(struct ve_frame *frame, const struct ve_info *ve, const struct ve_host *host)
{
	uint64_t value;

	if (!tdx_rdmsr((uint32_t)frame->gpr[RCX], &value))
		return "the host has no such MSR";
	frame->gpr[RAX] = (uint32_t)value;
	frame->gpr[RDX] = value >> 32;
	return VE_DONE;
}

static ve_result wrmsr(struct ve_frame *frame, const struct ve_info *ve, const struct ve_host *host)
{
	uint64_t value = (uint32_t)frame->gpr[RAX] | frame->gpr[RDX] << 32;

	return tdx_wrmsr((uint32_t)frame->gpr[RCX], value) ? VE_DONE : "the host refuses this MSR";
}

static ve_result ept_violation(struct ve_frame *frame, const struct ve_info *ve, const struct ve_host *host)
{
	/* The host took a page away, or it was never accepted: going on would mean to trust its contents. */
	if (!(ve->gpa & shared_bit))
		return "private memory that was not accepted, or that the host took away";
	return ve_mmio(frame, ve, host);
}

/* ---------------------------------------------------------------- dispatch */

static const struct {
	uint64_t reason;
	const char *name;
	ve_result (*handle)(struct ve_frame *frame, const struct ve_info *ve, const struct ve_host *host);
	bool skips; /* the instruction's length comes with #VE */
} causes[] = {
	{ VE_CPUID, "CPUID", cpuid, true },
	{ VE_HLT, "HLT", hlt, true },
	{ VE_IO, "port I/O", port_io, true },
	{ VE_RDMSR, "RDMSR", rdmsr, true },
	{ VE_WRMSR, "WRMSR", wrmsr, true },
	{ VE_EPT_VIOLATION, "EPT violation", ept_violation, false },
};

static ve_result dispatch(struct ve_frame *frame, const struct ve_info *ve, const char **name)
{
	for (unsigned int i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
		ve_result result;

		if (causes[i].reason != ve->exit_reason)
			continue;
		*name = causes[i].name;
		result = causes[i].handle(frame, ve, ve_host);
		if (result == VE_DONE && causes[i].skips)
			frame->rip += ve->insn_length;
		return result;
	}
	*name = "unknown cause";
	return "an instruction that a TD may not execute";
}

/* ---------------------------------------------------------------- what cannot be handled */

struct line {
	char text[200];
	size_t length;
};

static void add(struct line *line, const char *s)
{
	while (*s && line->length < sizeof(line->text) - 1)
		line->text[line->length++] = *s++;
	line->text[line->length] = 0;
}

static void add_hex(struct line *line, uint64_t v, unsigned int digits)
{
	char text[17] = {};

	for (unsigned int i = digits; i--; v >>= 4)
		text[i] = "0123456789abcdef"[v & 15];
	add(line, text);
}

static void report(const struct ve_frame *frame, const struct ve_info *ve, const char *name, const char *why)
{
	struct line line = {};

	add(&line, "#VE: ");
	add(&line, name);
	add(&line, " at rip 0x");
	add_hex(&line, frame->rip, 16);
	if (!(frame->cs & 3) && ve_is_private(frame->rip, ve_host)) {
		add(&line, ", bytes");
		for (unsigned int i = 0; i < 8 && (frame->rip + i) >> 12 == frame->rip >> 12; i++) {
			add(&line, " ");
			add_hex(&line, *(volatile uint8_t *)(frame->rip + i), 2);
		}
	}
	if (ve->exit_reason == VE_EPT_VIOLATION) {
		add(&line, ", gpa 0x");
		add_hex(&line, ve->gpa, 13);
	}
	add(&line, ": ");
	add(&line, why);
	if (ve_host->report)
		ve_host->report(line.text);
}

static void give_up(struct ve_frame *frame, const struct ve_info *ve, const char *name, const char *why)
{
	uint64_t next = ve_host->fixup && !(frame->cs & 3) ? ve_host->fixup(frame->rip) : 0;

	if (next) {
		frame->rip = next;
		return;
	}
	report(frame, ve, name, why);
	if (!ve_host->unhandled || !ve_host->unhandled(frame))
		tdx_fatal_error(0, why);
}

void ve_handle(struct ve_frame *frame)
{
	struct tdcall r = {};
	struct ve_info ve;
	const char *name, *why;

	/* Until the information is taken, another #VE is a double fault. */
	if (tdcall(TDG_VP_VEINFO_GET, &r))
		tdx_fatal_error(0, "#VE without information");
	ve = (struct ve_info){ r.rcx, r.rdx, r.r8, r.r9, (uint32_t)r.r10 };
	why = dispatch(frame, &ve, &name);
	if (why)
		give_up(frame, &ve, name, why);
}
