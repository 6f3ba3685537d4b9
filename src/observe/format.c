// SPDX-License-Identifier: Apache-2.0
/* Names and formats of events.def: one record to one line of text, and a list of names to a mask. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "observe/observe.h"
#include "softcvm/kvm_abi.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const struct event_description {
	const char *name;
	const char *format;
} events[OBSERVE_EVENT_COUNT] = {
#define OBSERVE_EVENT(id, event_name, nargs, event_format) [OBSERVE_##id] = {event_name, event_format},
#include "observe/events.def"
#undef OBSERVE_EVENT
};

/* VMX basic exit reasons, SDM 3D App. C, named as the kernel's trace points name them. */
static const char *const vmx_exits[] = {
	[0] = "EXCEPTION_NMI",
	[1] = "EXTERNAL_INTERRUPT",
	[2] = "TRIPLE_FAULT",
	[3] = "INIT_SIGNAL",
	[4] = "SIPI_SIGNAL",
	[7] = "INTERRUPT_WINDOW",
	[8] = "NMI_WINDOW",
	[9] = "TASK_SWITCH",
	[10] = "CPUID",
	[12] = "HLT",
	[13] = "INVD",
	[14] = "INVLPG",
	[15] = "RDPMC",
	[16] = "RDTSC",
	[18] = "VMCALL",
	[19] = "VMCLEAR",
	[20] = "VMLAUNCH",
	[21] = "VMPTRLD",
	[22] = "VMPTRST",
	[23] = "VMREAD",
	[24] = "VMRESUME",
	[25] = "VMWRITE",
	[26] = "VMOFF",
	[27] = "VMON",
	[28] = "CR_ACCESS",
	[29] = "DR_ACCESS",
	[30] = "IO_INSTRUCTION",
	[31] = "MSR_READ",
	[32] = "MSR_WRITE",
	[33] = "INVALID_STATE",
	[34] = "MSR_LOAD_FAIL",
	[36] = "MWAIT_INSTRUCTION",
	[37] = "MONITOR_TRAP_FLAG",
	[39] = "MONITOR_INSTRUCTION",
	[40] = "PAUSE_INSTRUCTION",
	[41] = "MCE_DURING_VMENTRY",
	[43] = "TPR_BELOW_THRESHOLD",
	[44] = "APIC_ACCESS",
	[45] = "EOI_INDUCED",
	[46] = "GDTR_IDTR",
	[47] = "LDTR_TR",
	[48] = "EPT_VIOLATION",
	[49] = "EPT_MISCONFIG",
	[50] = "INVEPT",
	[51] = "RDTSCP",
	[52] = "PREEMPTION_TIMER",
	[53] = "INVVPID",
	[54] = "WBINVD",
	[55] = "XSETBV",
	[56] = "APIC_WRITE",
	[57] = "RDRAND",
	[58] = "INVPCID",
	[59] = "VMFUNC",
	[60] = "ENCLS",
	[61] = "RDSEED",
	[62] = "PML_FULL",
	[63] = "XSAVES",
	[64] = "XRSTORS",
	[67] = "UMWAIT",
	[68] = "TPAUSE",
	[74] = "BUS_LOCK",
	[75] = "NOTIFY",
	[76] = "SEAMCALL",
	[77] = "TDCALL",
};

/* SVM exit codes 0x60.., APM2 App. C; the ranges below 0x60 are formatted by number. */
static const char *const svm_exits[] = {
	[0x60] = "interrupt",	[0x61] = "nmi",	     [0x62] = "smi",
	[0x63] = "init",	[0x64] = "vintr",    [0x65] = "cr0_sel_write",
	[0x6e] = "rdtsc",	[0x6f] = "rdpmc",    [0x72] = "cpuid",
	[0x74] = "iret",	[0x75] = "sw_int",   [0x76] = "invd",
	[0x77] = "pause",	[0x78] = "hlt",	     [0x79] = "invlpg",
	[0x7a] = "invlpga",	[0x7b] = "io",	     [0x7c] = "msr",
	[0x7d] = "task_switch", [0x7f] = "shutdown", [0x80] = "vmrun",
	[0x81] = "hypercall",	[0x82] = "vmload",   [0x83] = "vmsave",
	[0x84] = "stgi",	[0x85] = "clgi",     [0x86] = "skinit",
	[0x87] = "rdtscp",	[0x89] = "wbinvd",   [0x8a] = "monitor",
	[0x8b] = "mwait",	[0x8d] = "xsetbv",   [0x8f] = "efer_write_trap",
};

static const char *const kvm_exits[] = {
	[KVM_EXIT_UNKNOWN] = "KVM_EXIT_UNKNOWN",
	[KVM_EXIT_EXCEPTION] = "KVM_EXIT_EXCEPTION",
	[KVM_EXIT_IO] = "KVM_EXIT_IO",
	[KVM_EXIT_HYPERCALL] = "KVM_EXIT_HYPERCALL",
	[KVM_EXIT_DEBUG] = "KVM_EXIT_DEBUG",
	[KVM_EXIT_HLT] = "KVM_EXIT_HLT",
	[KVM_EXIT_MMIO] = "KVM_EXIT_MMIO",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "KVM_EXIT_IRQ_WINDOW_OPEN",
	[KVM_EXIT_SHUTDOWN] = "KVM_EXIT_SHUTDOWN",
	[KVM_EXIT_FAIL_ENTRY] = "KVM_EXIT_FAIL_ENTRY",
	[KVM_EXIT_INTR] = "KVM_EXIT_INTR",
	[KVM_EXIT_SET_TPR] = "KVM_EXIT_SET_TPR",
	[KVM_EXIT_TPR_ACCESS] = "KVM_EXIT_TPR_ACCESS",
	[KVM_EXIT_NMI] = "KVM_EXIT_NMI",
	[KVM_EXIT_INTERNAL_ERROR] = "KVM_EXIT_INTERNAL_ERROR",
	[KVM_EXIT_SYSTEM_EVENT] = "KVM_EXIT_SYSTEM_EVENT",
	[KVM_EXIT_IOAPIC_EOI] = "KVM_EXIT_IOAPIC_EOI",
	[KVM_EXIT_HYPERV] = "KVM_EXIT_HYPERV",
	[KVM_EXIT_X86_RDMSR] = "KVM_EXIT_X86_RDMSR",
	[KVM_EXIT_X86_WRMSR] = "KVM_EXIT_X86_WRMSR",
	[KVM_EXIT_DIRTY_RING_FULL] = "KVM_EXIT_DIRTY_RING_FULL",
	[KVM_EXIT_AP_RESET_HOLD] = "KVM_EXIT_AP_RESET_HOLD",
	[KVM_EXIT_X86_BUS_LOCK] = "KVM_EXIT_X86_BUS_LOCK",
	[KVM_EXIT_XEN] = "KVM_EXIT_XEN",
	[KVM_EXIT_NOTIFY] = "KVM_EXIT_NOTIFY",
	[KVM_EXIT_MEMORY_FAULT] = "KVM_EXIT_MEMORY_FAULT",
	[KVM_EXIT_TDX] = "KVM_EXIT_TDX",
	[KVM_EXIT_SNP_REQ_CERTS] = "KVM_EXIT_SNP_REQ_CERTS",
};

static const char *const exceptions[] = {
	[0] = "#DE",  [1] = "#DB",  [2] = "NMI",  [3] = "#BP",	[4] = "#OF",  [5] = "#BR",  [6] = "#UD",
	[7] = "#NM",  [8] = "#DF",  [10] = "#TS", [11] = "#NP", [12] = "#SS", [13] = "#GP", [14] = "#PF",
	[16] = "#MF", [17] = "#AC", [18] = "#MC", [19] = "#XM", [20] = "#VE", [21] = "#CP", [29] = "#VC",
};

/* Page-fault error code: SDM 3A 4.7; bits from 32 up as in the NPF error code, APM2 15.25.6 and 15.36.10. */
static const struct {
	unsigned int bit;
	const char *name;
} pferr_bits[] = {
	{0, "P"},    {1, "W"},	    {2, "U"},	  {3, "RSVD"}, {4, "F"},      {5, "PK"},    {6, "SS"},
	{31, "RMP"}, {32, "FINAL"}, {33, "PAGE"}, {34, "ENC"}, {35, "SIZEM"}, {36, "VMPL"},
	{48, "IMPLICIT"}, {49, "PRIVATE"},
};

/* ---------------------------------------------------------------- one line */

struct line {
	char *buf;
	size_t size;
	size_t length; /* as if the buffer were large enough */
};

static void put(struct line *l, const char *text, size_t length)
{
	if (l->length < l->size) {
		size_t room = l->size - l->length;

		memcpy(l->buf + l->length, text, length < room ? length : room);
	}
	l->length += length;
}

static void put_string(struct line *l, const char *text)
{
	put(l, text, strlen(text));
}

static void put_number(struct line *l, const char *format, uint64_t value)
{
	char text[32];

	put(l, text, (size_t)snprintf(text, sizeof(text), format, value));
}

static void put_name(struct line *l, const char *const *names, size_t count, uint64_t value, const char *otherwise)
{
	if (value < count && names[value])
		put_string(l, names[value]);
	else
		put_number(l, otherwise, value);
}

static void put_svm_exit(struct line *l, uint64_t code)
{
	if (code == 0x400)
		put_string(l, "npf");
	else if (code == 0x401)
		put_string(l, "avic_incomplete_ipi");
	else if (code == 0x402)
		put_string(l, "avic_unaccelerated_access");
	else if (code == 0x403)
		put_string(l, "vmgexit");
	else if (code < 0x20)
		put_number(l, code < 0x10 ? "read_cr%" PRIu64 : "write_cr%" PRIu64, code & 15);
	else if (code < 0x40)
		put_number(l, code < 0x30 ? "read_dr%" PRIu64 : "write_dr%" PRIu64, code & 15);
	else if (code < 0x60)
		put_name(l, exceptions, ARRAY_SIZE(exceptions), code - 0x40, "excp %" PRIu64);
	else
		put_name(l, svm_exits, ARRAY_SIZE(svm_exits), code, "0x%" PRIx64);
}

/* Bit 63 is the platform (events.def); SVM's code for an invalid guest state is all ones below it. */
static void put_exit(struct line *l, const struct observe_record *rec, uint64_t value)
{
	uint64_t code = value & ~(1ull << 63);

	if (!(value >> 63)) {
		put_name(l, vmx_exits, ARRAY_SIZE(vmx_exits), code & 0xffff, "%" PRIu64);
		if (code >> 31 & 1)
			put_string(l, " FAILED_VMENTRY");
	} else if (code == ~0ull >> 1 || code == 0xffffffffu) {
		put_string(l, "invalid_guest_state");
	} else {
		put_svm_exit(l, code);
	}
}

static void put_kvm_exit(struct line *l, const struct observe_record *rec, uint64_t value)
{
	put_name(l, kvm_exits, ARRAY_SIZE(kvm_exits), value, "%" PRIu64);
}

static void put_rw(struct line *l, const struct observe_record *rec, uint64_t value)
{
	put_string(l, value ? "write" : "read");
}

static void put_msr(struct line *l, const struct observe_record *rec, uint64_t value)
{
	put_string(l, value ? "msr_write" : "msr_read");
}

static void put_pferr(struct line *l, const struct observe_record *rec, uint64_t value)
{
	const char *separator = "(";

	put_number(l, "0x%" PRIx64, value);
	for (size_t i = 0; i < ARRAY_SIZE(pferr_bits); i++) {
		if (!(value >> pferr_bits[i].bit & 1))
			continue;
		put_string(l, separator);
		put_string(l, pferr_bits[i].name);
		separator = "|";
	}
	if (*separator == '|')
		put_string(l, ")");
}

/* The same number is an exception in some events and an interrupt in others. */
static void put_vector(struct line *l, const struct observe_record *rec, uint64_t value)
{
	if (rec->event == OBSERVE_HW_EXCEPTION || rec->event == OBSERVE_KVM_INJ_EXCEPTION)
		put_name(l, exceptions, ARRAY_SIZE(exceptions), value, "%" PRIu64);
	else
		put_number(l, "%" PRIu64, value);
}

static void put_hex(struct line *l, const struct observe_record *rec, uint64_t value)
{
	put_number(l, "0x%" PRIx64, value);
}

static void put_unsigned(struct line *l, const struct observe_record *rec, uint64_t value)
{
	put_number(l, "%" PRIu64, value);
}

static void put_signed(struct line *l, const struct observe_record *rec, uint64_t value)
{
	put_number(l, "%" PRId64, value);
}

static const struct conversion {
	const char *text;
	void (*print)(struct line *l, const struct observe_record *rec, uint64_t value);
} conversions[] = {
	{"%x", put_hex},       {"%u", put_unsigned},	     {"%d", put_signed},
	{"%{exit}", put_exit}, {"%{kvmexit}", put_kvm_exit}, {"%{rw}", put_rw},
	{"%{msr}", put_msr},   {"%{pferr}", put_pferr},	     {"%{vector}", put_vector},
};

static const struct conversion *find_conversion(const char *at)
{
	for (size_t i = 0; i < ARRAY_SIZE(conversions); i++) {
		if (!strncmp(at, conversions[i].text, strlen(conversions[i].text)))
			return &conversions[i];
	}
	return NULL;
}

int observe_format(const struct observe_record *rec, char *buf, size_t size)
{
	struct line l = {.buf = buf, .size = size};
	unsigned int next = 0;

	if (rec->event < OBSERVE_EVENT_COUNT) {
		for (const char *at = events[rec->event].format; *at;) {
			const struct conversion *c = *at == '%' ? find_conversion(at) : NULL;

			if (c && next < ARRAY_SIZE(rec->arg)) {
				c->print(&l, rec, rec->arg[next++]);
				at += strlen(c->text);
			} else {
				put(&l, at++, 1);
			}
		}
	}
	if (size)
		buf[l.length < size ? l.length : size - 1] = '\0';
	return (int)l.length;
}

const char *observe_event_name(enum observe_event event)
{
	return (unsigned int)event < OBSERVE_EVENT_COUNT ? events[event].name : "unknown";
}

/* ---------------------------------------------------------------- masks */

static int find_event(const char *name, size_t length)
{
	for (int i = 0; i < OBSERVE_EVENT_COUNT; i++) {
		if (strlen(events[i].name) == length && !memcmp(events[i].name, name, length))
			return i;
	}
	return -1;
}

int observe_parse_mask(const char *list, uint64_t *mask, const char **bad)
{
	uint64_t wanted = 0;

	for (const char *at = list; *at;) {
		size_t length = strcspn(at, ",");
		int event = find_event(at, length);

		if (length == 3 && !memcmp(at, "all", 3)) {
			wanted |= ~0ull >> (64 - OBSERVE_EVENT_COUNT);
		} else if (event >= 0) {
			wanted |= 1ull << event;
		} else {
			*bad = at;
			return -EINVAL;
		}
		at += length + (at[length] == ',');
	}
	*mask = wanted;
	return 0;
}
