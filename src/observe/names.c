// SPDX-License-Identifier: Apache-2.0
/* The conversions: names for numbers, and numbers for names. */
#include <inttypes.h>
#include <string.h>

#include "observe/text.h"
#include "softcvm/kvm_abi.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* VMX basic exit reasons, SDM 3D App. C, named as the kernel's trace points name them. */
static const struct text_name vmx_exits[] = {
	{ 0, "EXCEPTION_NMI" },
	{ 1, "EXTERNAL_INTERRUPT" },
	{ 2, "TRIPLE_FAULT" },
	{ 3, "INIT_SIGNAL" },
	{ 4, "SIPI_SIGNAL" },
	{ 7, "INTERRUPT_WINDOW" },
	{ 8, "NMI_WINDOW" },
	{ 9, "TASK_SWITCH" },
	{ 10, "CPUID" },
	{ 12, "HLT" },
	{ 13, "INVD" },
	{ 14, "INVLPG" },
	{ 15, "RDPMC" },
	{ 16, "RDTSC" },
	{ 18, "VMCALL" },
	{ 19, "VMCLEAR" },
	{ 20, "VMLAUNCH" },
	{ 21, "VMPTRLD" },
	{ 22, "VMPTRST" },
	{ 23, "VMREAD" },
	{ 24, "VMRESUME" },
	{ 25, "VMWRITE" },
	{ 26, "VMOFF" },
	{ 27, "VMON" },
	{ 28, "CR_ACCESS" },
	{ 29, "DR_ACCESS" },
	{ 30, "IO_INSTRUCTION" },
	{ 31, "MSR_READ" },
	{ 32, "MSR_WRITE" },
	{ 33, "INVALID_STATE" },
	{ 34, "MSR_LOAD_FAIL" },
	{ 36, "MWAIT_INSTRUCTION" },
	{ 37, "MONITOR_TRAP_FLAG" },
	{ 39, "MONITOR_INSTRUCTION" },
	{ 40, "PAUSE_INSTRUCTION" },
	{ 41, "MCE_DURING_VMENTRY" },
	{ 43, "TPR_BELOW_THRESHOLD" },
	{ 44, "APIC_ACCESS" },
	{ 45, "EOI_INDUCED" },
	{ 46, "GDTR_IDTR" },
	{ 47, "LDTR_TR" },
	{ 48, "EPT_VIOLATION" },
	{ 49, "EPT_MISCONFIG" },
	{ 50, "INVEPT" },
	{ 51, "RDTSCP" },
	{ 52, "PREEMPTION_TIMER" },
	{ 53, "INVVPID" },
	{ 54, "WBINVD" },
	{ 55, "XSETBV" },
	{ 56, "APIC_WRITE" },
	{ 57, "RDRAND" },
	{ 58, "INVPCID" },
	{ 59, "VMFUNC" },
	{ 60, "ENCLS" },
	{ 61, "RDSEED" },
	{ 62, "PML_FULL" },
	{ 63, "XSAVES" },
	{ 64, "XRSTORS" },
	{ 67, "UMWAIT" },
	{ 68, "TPAUSE" },
	{ 74, "BUS_LOCK" },
	{ 75, "NOTIFY" },
	{ 76, "SEAMCALL" },
	{ 77, "TDCALL" },
	{ 0, NULL },
};

/* SVM exit codes from 0x60, APM2 App. C; those below are numbered. */
static const struct text_name svm_exits[] = {
	{ 0x60, "interrupt" },
	{ 0x61, "nmi" },
	{ 0x62, "smi" },
	{ 0x63, "init" },
	{ 0x64, "vintr" },
	{ 0x65, "cr0_sel_write" },
	{ 0x6e, "rdtsc" },
	{ 0x6f, "rdpmc" },
	{ 0x72, "cpuid" },
	{ 0x74, "iret" },
	{ 0x75, "sw_int" },
	{ 0x76, "invd" },
	{ 0x77, "pause" },
	{ 0x78, "hlt" },
	{ 0x79, "invlpg" },
	{ 0x7a, "invlpga" },
	{ 0x7b, "io" },
	{ 0x7c, "msr" },
	{ 0x7d, "task_switch" },
	{ 0x7f, "shutdown" },
	{ 0x80, "vmrun" },
	{ 0x81, "hypercall" },
	{ 0x82, "vmload" },
	{ 0x83, "vmsave" },
	{ 0x84, "stgi" },
	{ 0x85, "clgi" },
	{ 0x86, "skinit" },
	{ 0x87, "rdtscp" },
	{ 0x89, "wbinvd" },
	{ 0x8a, "monitor" },
	{ 0x8b, "mwait" },
	{ 0x8d, "xsetbv" },
	{ 0x8f, "efer_write_trap" },
	{ 0x400, "npf" },
	{ 0x401, "avic_incomplete_ipi" },
	{ 0x402, "avic_unaccelerated_access" },
	{ 0x403, "vmgexit" },
	{ ~0ull >> 1, "invalid_guest_state" },
	{ 0, NULL },
};

/* Of 16 each; the last are exceptions, which have names where there is one. */
static const struct text_name svm_numbered[] = {
	{ 0x00, "read_cr" }, { 0x10, "write_cr" }, { 0x20, "read_dr" }, { 0x30, "write_dr" }, { 0x40, "excp" }, { 0, NULL },
};

static const struct text_name kvm_exits[] = {
	{ KVM_EXIT_UNKNOWN, "KVM_EXIT_UNKNOWN" },
	{ KVM_EXIT_EXCEPTION, "KVM_EXIT_EXCEPTION" },
	{ KVM_EXIT_IO, "KVM_EXIT_IO" },
	{ KVM_EXIT_HYPERCALL, "KVM_EXIT_HYPERCALL" },
	{ KVM_EXIT_DEBUG, "KVM_EXIT_DEBUG" },
	{ KVM_EXIT_HLT, "KVM_EXIT_HLT" },
	{ KVM_EXIT_MMIO, "KVM_EXIT_MMIO" },
	{ KVM_EXIT_IRQ_WINDOW_OPEN, "KVM_EXIT_IRQ_WINDOW_OPEN" },
	{ KVM_EXIT_SHUTDOWN, "KVM_EXIT_SHUTDOWN" },
	{ KVM_EXIT_FAIL_ENTRY, "KVM_EXIT_FAIL_ENTRY" },
	{ KVM_EXIT_INTR, "KVM_EXIT_INTR" },
	{ KVM_EXIT_SET_TPR, "KVM_EXIT_SET_TPR" },
	{ KVM_EXIT_TPR_ACCESS, "KVM_EXIT_TPR_ACCESS" },
	{ KVM_EXIT_NMI, "KVM_EXIT_NMI" },
	{ KVM_EXIT_INTERNAL_ERROR, "KVM_EXIT_INTERNAL_ERROR" },
	{ KVM_EXIT_SYSTEM_EVENT, "KVM_EXIT_SYSTEM_EVENT" },
	{ KVM_EXIT_IOAPIC_EOI, "KVM_EXIT_IOAPIC_EOI" },
	{ KVM_EXIT_HYPERV, "KVM_EXIT_HYPERV" },
	{ KVM_EXIT_X86_RDMSR, "KVM_EXIT_X86_RDMSR" },
	{ KVM_EXIT_X86_WRMSR, "KVM_EXIT_X86_WRMSR" },
	{ KVM_EXIT_DIRTY_RING_FULL, "KVM_EXIT_DIRTY_RING_FULL" },
	{ KVM_EXIT_AP_RESET_HOLD, "KVM_EXIT_AP_RESET_HOLD" },
	{ KVM_EXIT_X86_BUS_LOCK, "KVM_EXIT_X86_BUS_LOCK" },
	{ KVM_EXIT_XEN, "KVM_EXIT_XEN" },
	{ KVM_EXIT_NOTIFY, "KVM_EXIT_NOTIFY" },
	{ KVM_EXIT_MEMORY_FAULT, "KVM_EXIT_MEMORY_FAULT" },
	{ KVM_EXIT_TDX, "KVM_EXIT_TDX" },
	{ KVM_EXIT_SNP_REQ_CERTS, "KVM_EXIT_SNP_REQ_CERTS" },
	{ 0, NULL },
};

static const struct text_name exceptions[] = {
	{ 0, "#DE" },
	{ 1, "#DB" },
	{ 2, "NMI" },
	{ 3, "#BP" },
	{ 4, "#OF" },
	{ 5, "#BR" },
	{ 6, "#UD" },
	{ 7, "#NM" },
	{ 8, "#DF" },
	{ 10, "#TS" },
	{ 11, "#NP" },
	{ 12, "#SS" },
	{ 13, "#GP" },
	{ 14, "#PF" },
	{ 16, "#MF" },
	{ 17, "#AC" },
	{ 18, "#MC" },
	{ 19, "#XM" },
	{ 20, "#VE" },
	{ 21, "#CP" },
	{ 29, "#VC" },
	{ 0, NULL },
};

static const struct text_name read_write[] = { { 0, "read" }, { 1, "write" }, { 0, NULL } };
static const struct text_name msr_access[] = { { 0, "msr_read" }, { 1, "msr_write" }, { 0, NULL } };
static const struct text_name kinds[] = { { 0, "shared" }, { 1, "private" }, { 0, NULL } };
static const struct text_name claims[] = { { OBSERVE_CLAIM_NONE, "none" }, { OBSERVE_CLAIM_SHARED, "shared" },
					   { OBSERVE_CLAIM_PRIVATE, "private" }, { 0, NULL } };
static const struct text_name walks[] = {
	{ OBSERVE_WALK_MAPPED, "mapped" },     { OBSERVE_WALK_NOT_PRESENT, "not-present" },
	{ OBSERVE_WALK_RESERVED, "reserved" }, { OBSERVE_WALK_DENIED, "denied" },
	{ OBSERVE_WALK_NO_PAGING, "no-paging" }, { 0, NULL },
};
static const struct text_name stage2_results[] = {
	{ OBSERVE_STAGE2_MAPPED, "mapped" }, { OBSERVE_STAGE2_NOT_PRESENT, "not-present" },
	{ OBSERVE_STAGE2_DENIED, "denied" }, { OBSERVE_STAGE2_MMIO, "mmio" }, { 0, NULL },
};
static const struct text_name stage2_uses[] = { { OBSERVE_USE_ACCESS, "access" }, { OBSERVE_USE_TABLE, "table" }, { 0, NULL } };
static const struct text_name backings[] = { { OBSERVE_BACKING_CLIENT, "client" }, { OBSERVE_BACKING_GMEM, "guest_memfd" },
					     { OBSERVE_BACKING_DONATED, "donated" }, { 0, NULL } };
static const struct text_name page_operations[] = {
	{ OBSERVE_PAGE_DONATE, "donate" },   { OBSERVE_PAGE_SHARE, "share" },		      { OBSERVE_PAGE_UNSHARE, "unshare" },
	{ OBSERVE_PAGE_RECLAIM, "reclaim" }, { OBSERVE_PAGE_FORCE_RECLAIM, "force-reclaim" }, { 0, NULL },
};
static const struct text_name page_states[] = {
	{ OBSERVE_PAGE_NOPAGE, "NOPAGE" }, { OBSERVE_PAGE_OWNED, "OWNED" }, { OBSERVE_PAGE_SHARED_OWNED, "SHARED_OWNED" },
	{ OBSERVE_PAGE_POISON, "POISON" }, { 0, NULL },
};
static const struct text_name fault_results[] = {
	{ OBSERVE_PF_CONTINUE, "CONTINUE" }, { OBSERVE_PF_RETRY, "RETRY" },
	{ OBSERVE_PF_EMULATE, "EMULATE" },   { OBSERVE_PF_WRITE_PROTECTED, "WRITE_PROTECTED" },
	{ OBSERVE_PF_INVALID, "INVALID" },   { OBSERVE_PF_FIXED, "FIXED" },
	{ OBSERVE_PF_SPURIOUS, "SPURIOUS" }, { 0, NULL },
};
static const struct text_name slot_operations[] = {
	{ OBSERVE_SLOT_CREATE, "create" }, { OBSERVE_SLOT_INVALIDATE, "invalidate" }, { OBSERVE_SLOT_DELETE, "delete" },
	{ OBSERVE_SLOT_MOVE, "move" },	   { OBSERVE_SLOT_FLAGS, "flags" },	      { 0, NULL },
};
static const struct text_name vm_types[] = { { 0, "default" }, { 1, "sw-protected" }, { 2, "sev" }, { 3, "sev-es" },
					     { 4, "snp" },     { 5, "tdx" },	      { 0x40000000, "test-claim" },
					     { 0x80000000, "pkvm" }, { 0, NULL } };
static const struct text_name platforms[] = { { 0, "intel" }, { 1, "amd" }, { 0, NULL } };
static const struct text_name versions[] = { { 0, "7.2" }, { 1, "6.12" }, { 0, NULL } };
static const struct text_name residences[] = { { OBSERVE_ABSENT, "absent" }, { OBSERVE_RESIDENT, "resident" },
					       { OBSERVE_UNMAPPED, "unmapped" }, { 0, NULL } };
static const struct text_name seamcalls[] = {
#define TDX_SEAMCALL(number, name) { number, name },
#include "observe/tdx.def"
#undef TDX_SEAMCALL
	{ 0, NULL },
};
static const struct text_name tdcalls[] = {
#define TDX_TDCALL(number, name) { number, name },
#include "observe/tdx.def"
#undef TDX_TDCALL
	{ 0, NULL },
};
static const struct text_name sept_states[] = {
#define TDX_SEPT_STATE(number, name) { number, name },
#include "observe/tdx.def"
#undef TDX_SEPT_STATE
	{ 0, NULL },
};
static const struct text_name tdx_statuses[] = {
#define TDX_STATUS(name, value) { value##ull, #name },
#include "observe/tdx.def"
#undef TDX_STATUS
	{ 0, NULL },
};
static const struct text_name rules[] = {
#define OBSERVE_RULE(id, name, text, source) { OBSERVE_RULE_##id, name },
#include "observe/rules.def"
#undef OBSERVE_RULE
	{ 0, NULL },
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

/* ---------------------------------------------------------------- pieces of text */

void text_put(struct text_line *l, const char *text, size_t length)
{
	if (l->length < l->size) {
		size_t room = l->size - l->length;

		memcpy(l->buf + l->length, text, length < room ? length : room);
	}
	l->length += length;
}

static void put_string(struct text_line *l, const char *text)
{
	text_put(l, text, strlen(text));
}

static void put_number(struct text_line *l, const char *format, uint64_t value)
{
	char text[32];

	text_put(l, text, (size_t)snprintf(text, sizeof(text), format, value));
}

bool text_take(struct text_cursor *in, const char *literal)
{
	size_t length = strlen(literal);

	if ((size_t)(in->end - in->at) < length || memcmp(in->at, literal, length))
		return false;
	in->at += length;
	return true;
}

bool text_take_number(struct text_cursor *in, uint64_t *value)
{
	const char *start = in->at;

	for (*value = 0; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++)
		if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, (uint64_t)(*in->at - '0'), value))
			return false;
	return in->at > start;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_#-.", c));
}

static size_t word_length(const struct text_cursor *in)
{
	const char *at = in->at;

	while (at < in->end && is_word(*at))
		at++;
	return (size_t)(at - in->at);
}

static const char *find_name(const struct text_name *names, uint64_t value)
{
	for (; names->name; names++)
		if (names->value == value)
			return names->name;
	return NULL;
}

/* The name must be the whole word, or with `prefix` its beginning. */
static bool take_name(struct text_cursor *in, const struct text_name *names, bool prefix, uint64_t *value)
{
	size_t word = word_length(in);

	for (; names->name; names++) {
		size_t length = strlen(names->name);

		if (length > word || (!prefix && length != word) || memcmp(in->at, names->name, length))
			continue;
		*value = names->value;
		in->at += length;
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- numbers */

static void put_hex(struct text_line *l, const struct conversion *c, const struct observe_record *rec, uint64_t value)
{
	put_number(l, "0x%" PRIx64, value);
}

static bool take_hex(struct text_cursor *in, const struct conversion *c, const struct observe_record *rec, uint64_t *value)
{
	static const char digits[] = "0123456789abcdef";
	unsigned int count = 0;
	const char *digit;

	if (!text_take(in, "0x"))
		return false;
	for (*value = 0; in->at < in->end && *in->at && (digit = strchr(digits, *in->at)); in->at++) {
		*value = *value << 4 | (uint64_t)(digit - digits);
		if (++count > 16)
			return false;
	}
	return count;
}

static void put_unsigned(struct text_line *l, const struct conversion *c, const struct observe_record *rec, uint64_t value)
{
	put_number(l, "%" PRIu64, value);
}

static bool take_unsigned(struct text_cursor *in, const struct conversion *c, const struct observe_record *rec, uint64_t *value)
{
	return text_take_number(in, value);
}

static void put_signed(struct text_line *l, const struct conversion *c, const struct observe_record *rec, uint64_t value)
{
	put_number(l, "%" PRId64, value);
}

static bool take_signed(struct text_cursor *in, const struct conversion *c, const struct observe_record *rec, uint64_t *value)
{
	bool negative = text_take(in, "-");

	if (!text_take_number(in, value) || *value > (uint64_t)INT64_MAX + negative)
		return false;
	*value = negative ? -*value : *value;
	return true;
}

/* ---------------------------------------------------------------- names */

/* A number where there is no name; results of the fault path are signed then. */
static void put_name(struct text_line *l, const struct conversion *c, const struct observe_record *rec, uint64_t value)
{
	const char *name = find_name(c->names, value);

	if (name)
		put_string(l, name);
	else
		put_signed(l, c, rec, value);
}

static bool take_named(struct text_cursor *in, const struct conversion *c, const struct observe_record *rec, uint64_t *value)
{
	return take_name(in, c->names, false, value) || take_signed(in, c, rec, value);
}

/* The same number is an exception in some events and an interrupt in others. */
static bool is_exception(const struct observe_record *rec)
{
	return rec->event == OBSERVE_HW_EXCEPTION || rec->event == OBSERVE_KVM_INJ_EXCEPTION;
}

static void put_vector(struct text_line *l, const struct conversion *c, const struct observe_record *rec, uint64_t value)
{
	const char *name = is_exception(rec) ? find_name(exceptions, value) : NULL;

	if (name)
		put_string(l, name);
	else
		put_unsigned(l, c, rec, value);
}

static bool take_vector(struct text_cursor *in, const struct conversion *c, const struct observe_record *rec, uint64_t *value)
{
	return (is_exception(rec) && take_name(in, exceptions, false, value)) || text_take_number(in, value);
}

static void put_pferr(struct text_line *l, const struct conversion *c, const struct observe_record *rec, uint64_t value)
{
	const char *separator = "(";

	put_hex(l, c, rec, value);
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

/* The names repeat the number; observe_parse_line() compares what the record prints with the line. */
static bool take_pferr(struct text_cursor *in, const struct conversion *c, const struct observe_record *rec, uint64_t *value)
{
	if (!take_hex(in, c, rec, value))
		return false;
	if (in->at == in->end || *in->at != '(')
		return true;
	while (in->at < in->end && *in->at != ')')
		in->at++;
	return text_take(in, ")");
}

/* ---------------------------------------------------------------- exit reasons: bit 63 is the platform (events.def) */

#define EXIT_IS_SVM   (1ull << 63)
#define ENTRY_FAILURE (1ull << 31)

static void put_svm_exit(struct text_line *l, uint64_t code)
{
	const char *name = code >= 0x40 && code < 0x60 ? find_name(exceptions, code - 0x40) : find_name(svm_exits, code);

	if (name) {
		put_string(l, name);
	} else if (code < 0x60) {
		uint64_t first = code < 0x40 ? code & ~15ull : 0x40;

		put_string(l, find_name(svm_numbered, first));
		put_number(l, "%" PRIu64, code - first);
	} else {
		put_number(l, "0x%" PRIx64, code);
	}
}

/* VMX: a word that is none of a basic reason and its failure bit is one decimal number. */
static void put_vmx_exit(struct text_line *l, uint64_t reason)
{
	bool whole = reason & ~(0xffff | ENTRY_FAILURE);
	const char *name = whole ? NULL : find_name(vmx_exits, reason & 0xffff);

	if (name)
		put_string(l, name);
	else
		put_number(l, "%" PRIu64, whole ? reason : reason & 0xffff);
	if (!whole && reason & ENTRY_FAILURE)
		put_string(l, " FAILED_VMENTRY");
}

static void put_exit(struct text_line *l, const struct conversion *c, const struct observe_record *rec, uint64_t value)
{
	if (value & EXIT_IS_SVM)
		put_svm_exit(l, value & ~EXIT_IS_SVM);
	else
		put_vmx_exit(l, value);
}

static bool take_svm_exit(struct text_cursor *in, const struct conversion *c, const struct observe_record *rec, uint64_t *value)
{
	uint64_t n = 0;

	if (take_name(in, svm_exits, false, value) || take_hex(in, c, rec, value))
		return true;
	if (take_name(in, exceptions, false, value)) {
		*value += 0x40;
		return true;
	}
	if (!take_name(in, svm_numbered, true, value) || !text_take_number(in, &n) || n >= 0x20)
		return false;
	*value += n;
	return true;
}

static bool take_exit(struct text_cursor *in, const struct conversion *c, const struct observe_record *rec, uint64_t *value)
{
	if (take_svm_exit(in, c, rec, value)) {
		*value |= EXIT_IS_SVM;
		return true;
	}
	if (!take_name(in, vmx_exits, false, value) && !text_take_number(in, value))
		return false;
	if (text_take(in, " FAILED_VMENTRY"))
		*value |= ENTRY_FAILURE;
	return true;
}

/* ---------------------------------------------------------------- all of them */

static const struct conversion conversions[] = {
	{ "%x", put_hex, take_hex, NULL },
	{ "%u", put_unsigned, take_unsigned, NULL },
	{ "%d", put_signed, take_signed, NULL },
	{ "%{exit}", put_exit, take_exit, NULL },
	{ "%{pferr}", put_pferr, take_pferr, NULL },
	{ "%{vector}", put_vector, take_vector, NULL },
	{ "%{kvmexit}", put_name, take_named, kvm_exits },
	{ "%{rw}", put_name, take_named, read_write },
	{ "%{msr}", put_name, take_named, msr_access },
	{ "%{kind}", put_name, take_named, kinds },
	{ "%{claim}", put_name, take_named, claims },
	{ "%{walk}", put_name, take_named, walks },
	{ "%{stage2}", put_name, take_named, stage2_results },
	{ "%{use}", put_name, take_named, stage2_uses },
	{ "%{backing}", put_name, take_named, backings },
	{ "%{pageop}", put_name, take_named, page_operations },
	{ "%{pagestate}", put_name, take_named, page_states },
	{ "%{retpf}", put_name, take_named, fault_results },
	{ "%{slotop}", put_name, take_named, slot_operations },
	{ "%{vmtype}", put_name, take_named, vm_types },
	{ "%{platform}", put_name, take_named, platforms },
	{ "%{compat}", put_name, take_named, versions },
	{ "%{resident}", put_name, take_named, residences },
	{ "%{rule}", put_name, take_named, rules },
	{ "%{seamcall}", put_name, take_named, seamcalls },
	{ "%{tdcall}", put_name, take_named, tdcalls },
	{ "%{sept}", put_name, take_named, sept_states },
	{ "%{tdxstatus}", put_name, take_named, tdx_statuses },
};

const char *observe_kvm_exit_name(uint64_t reason)
{
	const struct text_name *n = kvm_exits;

	while (n->name && n->value != reason)
		n++;
	return n->name;
}

const struct conversion *text_conversion(const char *at)
{
	for (size_t i = 0; i < ARRAY_SIZE(conversions); i++)
		if (!strncmp(at, conversions[i].text, strlen(conversions[i].text)))
			return &conversions[i];
	return NULL;
}
