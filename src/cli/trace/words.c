// SPDX-License-Identifier: Apache-2.0
/* Events and states in words. */
#include "cli/trace/words.h"

#include <inttypes.h>
#include <string.h>

#include "hw/hw.h"
#include "softcvm/kvm_abi.h"

#define MAP_GPA_ENCRYPTED (1u << 4) /* KVM_HC_MAP_GPA_RANGE: attributes */

/* ---------------------------------------------------------------- pieces */

const char *words_size(u64 bytes, char buf[32])
{
	static const char units[] = "KMGTPE";
	unsigned int unit = 0;

	if (!bytes || bytes % 1024) {
		snprintf(buf, 32, "%" PRIu64 " bytes", bytes);
		return buf;
	}
	for (bytes /= 1024; bytes % 1024 == 0 && unit + 1 < sizeof(units) - 1; bytes /= 1024)
		unit++;
	snprintf(buf, 32, "%" PRIu64 "%c", bytes, units[unit]);
	return buf;
}

const char *words_frames(u64 gfn, u64 end, char buf[64])
{
	snprintf(buf, 64, "0x%" PRIx64 "-0x%" PRIx64, gfn << HW_PAGE_SHIFT, end << HW_PAGE_SHIFT);
	return buf;
}

static const char *level_name(u64 level)
{
	static const char *const names[] = { "nothing", "4K", "2M", "1G", "512G", "256T" };

	return level < sizeof(names) / sizeof(names[0]) ? names[level] : "?";
}

static const char *access_name(u64 access)
{
	static const char *const names[] = { "---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx" };

	return names[access & 7];
}

const char *words_mapping(const struct replay_mapping *m, char buf[64])
{
	if (!m->level)
		snprintf(buf, 64, "-");
	else if (m->mmio)
		snprintf(buf, 64, "MMIO entry");
	else
		snprintf(buf, 64, "%s %s from %s", level_name(m->level), access_name(m->access),
			 m->from_gmem ? "guest_memfd" : "client");
	return buf;
}

static const char *kind_name(u64 is_private) { return is_private ? "private" : "shared"; }

/* The value of an event's argument as its line prints it: between `before` and the next space. */
static void argument_text(const struct observe_record *rec, const char *before, char *buf, size_t size)
{
	char text[OBSERVE_LINE_MAX];
	const char *at;

	observe_format(rec, text, sizeof(text));
	at = strstr(text, before);
	snprintf(buf, size, "%.*s", at ? (int)strcspn(at + strlen(before), " ") : 1, at ? at + strlen(before) : "?");
}

const char *words_kind(bool is_private, unsigned int owner, char buf[WORDS_MAX])
{
	const struct observe_record rec = { .event = OBSERVE_KVM_PAGE_OWNERSHIP, .arg = { 0, 0, 0, owner } };

	if (!owner)
		return kind_name(is_private);
	argument_text(&rec, " to ", buf, WORDS_MAX);
	return buf;
}

/* ---------------------------------------------------------------- the four steps */

static void tell_access(const struct observe_record *rec, char *buf)
{
	u64 access = rec->arg[2];

	snprintf(buf, WORDS_MAX, "%s %s gva 0x%" PRIx64 ", %" PRIu64 " byte%s",
		 access & HW_PFERR_USER ? "user" : "supervisor",
		 access & HW_PFERR_FETCH ? "fetch at" : access & HW_PFERR_WRITE ? "write to" : "read of",
		 rec->arg[0], rec->arg[1], rec->arg[1] == 1 ? "" : "s");
}

static void tell_guest_walk(const struct observe_record *rec, char *buf)
{
	switch (rec->arg[3]) {
	case OBSERVE_WALK_MAPPED:
		snprintf(buf, WORDS_MAX, "gva 0x%" PRIx64 " is gpa 0x%" PRIx64 ", by a %s page", rec->arg[0], rec->arg[1],
			 level_name(rec->arg[2]));
		break;
	case OBSERVE_WALK_NO_PAGING:
		snprintf(buf, WORDS_MAX, "paging is off: gpa 0x%" PRIx64, rec->arg[1]);
		break;
	default:
		snprintf(buf, WORDS_MAX, "gva 0x%" PRIx64 ": #PF, error code 0x%" PRIx64 ", by an entry of level %" PRIu64, rec->arg[0],
			 rec->arg[4], rec->arg[2]);
	}
}

static void tell_claim(const struct observe_record *rec, char *buf)
{
	static const char *const claims[] = { "none by the processor", "shared, says the address", "private, says the address" };

	snprintf(buf, WORDS_MAX, "%s", rec->arg[1] < 3 ? claims[rec->arg[1]] : "?");
}

static void tell_stage2_walk(const struct observe_record *rec, char *buf)
{
	static const char *const results[] = { "mapped", "not mapped", "mapped, but not for this access", "an MMIO entry" };
	const char *what = rec->arg[4] == OBSERVE_USE_TABLE ? "an entry of the guest's tables at " : "";

	snprintf(buf, WORDS_MAX, "%sgpa 0x%" PRIx64 " is %s%s%s", what, rec->arg[0], rec->arg[3] < 4 ? results[rec->arg[3]] : "?",
		 rec->arg[3] == OBSERVE_STAGE2_MAPPED ? ", " : "",
		 rec->arg[3] == OBSERVE_STAGE2_MAPPED ? level_name(rec->arg[2]) : "");
}

/* ---------------------------------------------------------------- KVM's fault */

static void tell_exit(const struct observe_record *rec, char *buf)
{
	char reason[64];

	argument_text(rec, "reason ", reason, sizeof(reason));
	snprintf(buf, WORDS_MAX, "%s at rip 0x%" PRIx64 ", info 0x%" PRIx64 " 0x%" PRIx64, reason, rec->arg[2], rec->arg[3], rec->arg[4]);
}

static void tell_page_fault(const struct observe_record *rec, char *buf)
{
	char code[128];

	argument_text(rec, "error_code ", code, sizeof(code));
	snprintf(buf, WORDS_MAX, "rip 0x%" PRIx64 ", gpa 0x%" PRIx64 ", error code %s", rec->arg[1], rec->arg[2], code);
}

static void tell_fault_claim(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "the access is %s", kind_name(rec->arg[1]));
}

static void tell_attribute(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "the page is %s, the access %s", kind_name(rec->arg[1]), kind_name(rec->arg[2]));
}

static void tell_slot(const struct observe_record *rec, char *buf)
{
	char frames[64];

	if (rec->arg[1] == ~(u64)0)
		snprintf(buf, WORDS_MAX, "none");
	else
		snprintf(buf, WORDS_MAX, "%" PRIu64 ": gpa %s%s%s%s%s", rec->arg[1],
			 words_frames(rec->arg[3], rec->arg[3] + rec->arg[4], frames),
			 rec->arg[2] & KVM_MEM_GUEST_MEMFD ? ", guest_memfd" : "",
			 rec->arg[2] & KVM_MEM_LOG_DIRTY_PAGES ? ", dirty log" : "",
			 rec->arg[2] & KVM_MEM_READONLY ? ", read-only" : "",
			 rec->arg[2] & OBSERVE_SLOT_FLAG_INVALID ? ", being changed" : "");
}

static void tell_level(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "%s (the slot allows %s, the attributes %s)", level_name(rec->arg[3]), level_name(rec->arg[1]),
		 level_name(rec->arg[2]));
}

static void tell_map(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "%s page %s for gpa 0x%" PRIx64 ", from %s 0x%" PRIx64, level_name(rec->arg[1]), access_name(rec->arg[2]),
		 rec->arg[0] << HW_PAGE_SHIFT, rec->arg[3] == OBSERVE_BACKING_GMEM ? "its guest_memfd at byte" : "client memory at",
		 rec->arg[4]);
}

static void tell_mmio_entry(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "an MMIO entry for gpa 0x%" PRIx64, rec->arg[0] << HW_PAGE_SHIFT);
}

static void tell_retry(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "sequence was %" PRIu64 " and is %" PRIu64 ", %" PRIu64 " change%s in progress", rec->arg[1], rec->arg[2],
		 rec->arg[3], rec->arg[3] == 1 ? "" : "s");
}

static void tell_memory_fault(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "KVM_EXIT_MEMORY_FAULT: gpa 0x%" PRIx64 ", %s, errno %" PRId64, rec->arg[0],
		 kind_name(rec->arg[1] & KVM_MEMORY_EXIT_FLAG_PRIVATE), -(s64)rec->arg[2]);
}

static void tell_done(const struct observe_record *rec, char *buf)
{
	char result[32];

	argument_text(rec, "result ", result, sizeof(result));
	snprintf(buf, WORDS_MAX, "%s", result);
}

static void tell_mmio(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "%s %" PRIu64 " byte%s, gpa 0x%" PRIx64 ", value 0x%" PRIx64, rec->arg[0] ? "write" : "read", rec->arg[1],
		 rec->arg[1] == 1 ? "" : "s", rec->arg[2], rec->arg[3]);
}

static void tell_user_exit(const struct observe_record *rec, char *buf)
{
	char reason[64];

	argument_text(rec, "reason ", reason, sizeof(reason));
	if ((s64)rec->arg[1] < 0)
		snprintf(buf, WORDS_MAX, "KVM_RUN fails with errno %" PRId64 ", %s", -(s64)rec->arg[1], reason);
	else
		snprintf(buf, WORDS_MAX, "KVM_RUN returns, %s", reason);
}

/* ---------------------------------------------------------------- changes */

static void tell_vm(const struct observe_record *rec, char *buf)
{
	char type[32], platform[16], compat[16];

	argument_text(rec, "type ", type, sizeof(type));
	if (rec->event == OBSERVE_KVM_DESTROY_VM) {
		snprintf(buf, WORDS_MAX, "the VM is destroyed");
		return;
	}
	argument_text(rec, "platform ", platform, sizeof(platform));
	argument_text(rec, "compat ", compat, sizeof(compat));
	snprintf(buf, WORDS_MAX, "a VM of type %s is created, on %s, KVM %s", type, platform, compat);
}

static void tell_memslot(const struct observe_record *rec, char *buf)
{
	static const char *const what[] = { "created", "marked invalid", "deleted", "moved", "given other flags" };
	u64 flags = rec->arg[3];
	char from[64] = "";

	if (rec->arg[0] == OBSERVE_SLOT_MOVE)
		snprintf(from, sizeof(from), " from gpa 0x%" PRIx64, rec->arg[7]);
	snprintf(buf, WORDS_MAX, "slot %" PRIu64 " is %s%s: gpa 0x%" PRIx64 "-0x%" PRIx64 ", client memory 0x%" PRIx64 "%s%s%s", rec->arg[1],
		 rec->arg[0] < 5 ? what[rec->arg[0]] : "?", from, rec->arg[4], rec->arg[4] + rec->arg[5], rec->arg[6],
		 flags & KVM_MEM_GUEST_MEMFD ? ", guest_memfd" : "", flags & KVM_MEM_LOG_DIRTY_PAGES ? ", dirty log" : "",
		 flags & KVM_MEM_READONLY ? ", read-only" : "");
}

static void tell_attributes(const struct observe_record *rec, char *buf)
{
	char frames[64], size[32];

	snprintf(buf, WORDS_MAX, "user space makes gpa %s (%s) %s", words_frames(rec->arg[0], rec->arg[1], frames),
		 words_size((rec->arg[1] - rec->arg[0]) << HW_PAGE_SHIFT, size), kind_name(rec->arg[2] & KVM_MEMORY_ATTRIBUTE_PRIVATE));
}

static void tell_gmem_create(const struct observe_record *rec, char *buf)
{
	char size[32];

	snprintf(buf, WORDS_MAX, "guest_memfd file %" PRIu64 " of %s is created", rec->arg[1], words_size(rec->arg[2], size));
}

static void tell_gmem_bind(const struct observe_record *rec, char *buf)
{
	char frames[64];

	snprintf(buf, WORDS_MAX, "guest_memfd file %" PRIu64 " from byte 0x%" PRIx64 " is bound to slot %" PRIu64 ", gpa %s", rec->arg[3],
		 rec->arg[4] << HW_PAGE_SHIFT, rec->arg[0], words_frames(rec->arg[2], rec->arg[2] + rec->arg[5], frames));
}

static void tell_gmem_unbind(const struct observe_record *rec, char *buf)
{
	char frames[64];

	snprintf(buf, WORDS_MAX, "guest_memfd file %" PRIu64 " is no longer bound to gpa %s", rec->arg[0],
		 words_frames(rec->arg[1], rec->arg[1] + rec->arg[2], frames));
}

static void tell_gmem_pages(const struct observe_record *rec, char *buf)
{
	char frames[64], size[32];

	snprintf(buf, WORDS_MAX, "guest_memfd file %" PRIu64 ", bytes %s (%s): %s", rec->arg[0],
		 words_frames(rec->arg[1], rec->arg[1] + rec->arg[2], frames), words_size(rec->arg[2] << HW_PAGE_SHIFT, size),
		 rec->event == OBSERVE_KVM_GMEM_PUNCH ? "a hole is punched" : "allocated, zeros");
}

static void tell_gmem_release(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "guest_memfd file %" PRIu64 " is closed", rec->arg[0]);
}

static void tell_invalidate(const struct observe_record *rec, char *buf)
{
	char frames[64];

	if (rec->event == OBSERVE_KVM_INVALIDATE_BEGIN)
		snprintf(buf, WORDS_MAX, "a change of gpa %s begins (%" PRIu64 " in progress)", words_frames(rec->arg[0], rec->arg[1], frames),
			 rec->arg[2]);
	else
		snprintf(buf, WORDS_MAX, "a change ends: sequence %" PRIu64 " (%" PRIu64 " in progress)", rec->arg[0], rec->arg[1]);
}

static void tell_zap(const struct observe_record *rec, char *buf)
{
	char frames[64];

	snprintf(buf, WORDS_MAX, "gpa %s is unmapped", words_frames(rec->arg[0], rec->arg[1], frames));
}

static void tell_write_protect(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "the mapping loses its write permission: the dirty log was read");
}

static const char *page_operation(u64 operation)
{
	static const char *const names[] = {
		[OBSERVE_PAGE_DONATE] = "the host gives the guest",
		[OBSERVE_PAGE_SHARE] = "the guest shares",
		[OBSERVE_PAGE_UNSHARE] = "the guest takes back for itself",
		[OBSERVE_PAGE_RECLAIM] = "the host takes back",
		[OBSERVE_PAGE_FORCE_RECLAIM] = "the host takes by force",
	};

	return operation < sizeof(names) / sizeof(names[0]) ? names[operation] : "?";
}

static void tell_ownership(const struct observe_record *rec, char *buf)
{
	char frames[64];

	if (rec->arg[4])
		snprintf(buf, WORDS_MAX, "%s gpa %s is refused: errno %" PRId64, page_operation(rec->arg[2]),
			 words_frames(rec->arg[0], rec->arg[1], frames), -(s64)rec->arg[4]);
	else
		snprintf(buf, WORDS_MAX, "%s gpa %s", page_operation(rec->arg[2]), words_frames(rec->arg[0], rec->arg[1], frames));
}

static void tell_pre_fault(const struct observe_record *rec, char *buf)
{
	if (rec->event == OBSERVE_KVM_PRE_FAULT)
		snprintf(buf, WORDS_MAX, "%" PRIu64 " pages done, left from gpa 0x%" PRIx64 ": 0x%" PRIx64 " bytes, errno %" PRId64, rec->arg[2],
			 rec->arg[0], rec->arg[1], -(s64)rec->arg[3]);
	else
		snprintf(buf, WORDS_MAX, "%" PRIu64 " page%s from gpa 0x%" PRIx64 " at level %s, errno %" PRId64, rec->arg[1],
			 rec->arg[1] == 1 ? "" : "s", rec->arg[0] << HW_PAGE_SHIFT, level_name(rec->arg[2]), -(s64)rec->arg[3]);
}

static void tell_hypercall(const struct observe_record *rec, char *buf)
{
	char size[32];

	snprintf(buf, WORDS_MAX, "the guest asks for gpa 0x%" PRIx64 ", %s, to be %s (attributes 0x%" PRIx64 ")", rec->arg[1],
		 words_size(rec->arg[2] << HW_PAGE_SHIFT, size), kind_name(rec->arg[3] & MAP_GPA_ENCRYPTED), rec->arg[3]);
}

static void tell_host_access(const struct observe_record *rec, char *buf)
{
	snprintf(buf, WORDS_MAX, "KVM itself %s %" PRIu64 " bytes at gpa 0x%" PRIx64 ", which is private: in the client's memory",
		 rec->arg[0] ? "writes" : "reads", rec->arg[2], rec->arg[1]);
}

static void tell_warning(const struct observe_record *rec, char *buf)
{
	static const char *const what[] = { "hardware sent bits of an error code that only KVM sets",
					    "hardware claims encryption for a VM type without it",
					    "a private access met a cached MMIO entry" };

	snprintf(buf, WORDS_MAX, "warning: %s (0x%" PRIx64 ")", rec->arg[0] < 3 ? what[rec->arg[0]] : "?", rec->arg[1]);
}

/* ---------------------------------------------------------------- all of them */

static const struct {
	const char *label;
	void (*tell)(const struct observe_record *rec, char *buf);
} words[OBSERVE_EVENT_COUNT] = {
	[OBSERVE_HW_ACCESS] = { "1 access", tell_access },
	[OBSERVE_HW_GUEST_WALK] = { "2 guest walk", tell_guest_walk },
	[OBSERVE_HW_CLAIM] = { "3 claim", tell_claim },
	[OBSERVE_HW_STAGE2_WALK] = { "4 stage 2", tell_stage2_walk },
	[OBSERVE_KVM_EXIT] = { "  exit", tell_exit },
	[OBSERVE_KVM_PAGE_FAULT] = { "  fault", tell_page_fault },
	[OBSERVE_KVM_FAULT_CLAIM] = { "  claim", tell_fault_claim },
	[OBSERVE_KVM_FAULT_ATTRIBUTE] = { "  attribute", tell_attribute },
	[OBSERVE_KVM_FAULT_SLOT] = { "  slot", tell_slot },
	[OBSERVE_KVM_FAULT_LEVEL] = { "  level", tell_level },
	[OBSERVE_KVM_TDP_MAP] = { "  mapping", tell_map },
	[OBSERVE_KVM_MMIO_SPTE] = { "  mapping", tell_mmio_entry },
	[OBSERVE_KVM_RETRY] = { "  retry", tell_retry },
	[OBSERVE_KVM_MEMORY_FAULT] = { "  exit", tell_memory_fault },
	[OBSERVE_KVM_FAULT_DONE] = { "  result", tell_done },
	[OBSERVE_KVM_MMIO] = { "  MMIO", tell_mmio },
	[OBSERVE_KVM_USERSPACE_EXIT] = { "  KVM_RUN", tell_user_exit },
	[OBSERVE_KVM_CREATE_VM] = { "  VM", tell_vm },
	[OBSERVE_KVM_DESTROY_VM] = { "  VM", tell_vm },
	[OBSERVE_KVM_MEMSLOT] = { "  slot", tell_memslot },
	[OBSERVE_KVM_SET_ATTRIBUTES] = { "  attributes", tell_attributes },
	[OBSERVE_KVM_GMEM_CREATE] = { "  file", tell_gmem_create },
	[OBSERVE_KVM_GMEM_BIND] = { "  file", tell_gmem_bind },
	[OBSERVE_KVM_GMEM_UNBIND] = { "  file", tell_gmem_unbind },
	[OBSERVE_KVM_GMEM_ALLOCATE] = { "  page", tell_gmem_pages },
	[OBSERVE_KVM_GMEM_PUNCH] = { "  page", tell_gmem_pages },
	[OBSERVE_KVM_GMEM_RELEASE] = { "  file", tell_gmem_release },
	[OBSERVE_KVM_INVALIDATE_BEGIN] = { "  sequence", tell_invalidate },
	[OBSERVE_KVM_INVALIDATE_END] = { "  sequence", tell_invalidate },
	[OBSERVE_KVM_TDP_ZAP] = { "  mapping", tell_zap },
	[OBSERVE_KVM_WRITE_PROTECT] = { "  mapping", tell_write_protect },
	[OBSERVE_KVM_PAGE_OWNERSHIP] = { "  ownership", tell_ownership },
	[OBSERVE_KVM_PRE_FAULT_STEP] = { "  pre-fault", tell_pre_fault },
	[OBSERVE_KVM_PRE_FAULT] = { "  pre-fault", tell_pre_fault },
	[OBSERVE_KVM_HYPERCALL] = { "  hypercall", tell_hypercall },
	[OBSERVE_KVM_HOST_ACCESS] = { "  host", tell_host_access },
	[OBSERVE_KVM_WARN_ONCE] = { "  warning", tell_warning },
};

/* What has no words of its own is told by its line. */
void words_event(const struct observe_record *rec, const char **label, char buf[WORDS_MAX])
{
	if (words[rec->event].tell) {
		*label = words[rec->event].label;
		words[rec->event].tell(rec, buf);
		return;
	}
	*label = observe_event_name(rec->event);
	observe_format(rec, buf, WORDS_MAX);
}

void words_vm(const struct replay_vm *vm, char buf[WORDS_MAX])
{
	const struct observe_record rec = { .event = OBSERVE_KVM_CREATE_VM, .arg = { vm->type, vm->platform, vm->compat } };
	char type[32], platform[16], compat[16];

	argument_text(&rec, "type ", type, sizeof(type));
	argument_text(&rec, "platform ", platform, sizeof(platform));
	argument_text(&rec, "compat ", compat, sizeof(compat));
	if (vm->seen)
		snprintf(buf, WORDS_MAX, "%s on %s, KVM %s", type, platform, compat);
	else
		snprintf(buf, WORDS_MAX, "the trace begins after its creation");
}

static const char *page_name(enum replay_page page)
{
	return page == REPLAY_PRESENT ? "present" : page == REPLAY_PUNCHED ? "punched" : "absent";
}

void words_state(const struct replay_vm *vm, u64 gfn, char buf[WORDS_MAX])
{
	const struct replay_slot *slot = replay_find_slot(vm, 0, gfn);
	const struct replay_binding *b = replay_find_binding(vm, gfn);
	const struct replay_mapping m = replay_mapping(vm, gfn, NULL);
	char slot_text[32] = "no slot", gmem[96] = "", mapping[64], kind[WORDS_MAX];

	if (slot)
		snprintf(slot_text, sizeof(slot_text), "slot %u", slot->id);
	if (b)
		snprintf(gmem, sizeof(gmem), ", guest_memfd file %" PRIu64 " at byte 0x%" PRIx64 " %s", b->file,
			 (b->page + (gfn - b->gfn)) << HW_PAGE_SHIFT, page_name(replay_gmem_page(vm, b, gfn, NULL)));
	snprintf(buf, WORDS_MAX, "%.20s, %s%s, stage 2: %s",
		 words_kind(replay_is_private(vm, gfn, NULL), replay_owner(vm, gfn, NULL), kind), slot_text, gmem,
		 m.level ? words_mapping(&m, mapping) : "not mapped");
}
