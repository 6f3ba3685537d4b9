// SPDX-License-Identifier: Apache-2.0
/* softcvm map: what a guest's memory is, range by range: of a running machine, or at a point of a trace. */
#include "cli/commands.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/trace/input.h"
#include "cli/trace/words.h"
#include "softcvm/kvm_abi.h"

#define STATUS_ERROR 1
#define STATUS_USAGE 2

enum { OPT_AT = 256, OPT_VM, OPT_HELP };

static const struct option long_options[] = {
	{ "at", required_argument, NULL, OPT_AT },
	{ "vm", required_argument, NULL, OPT_VM },
	{ "help", no_argument, NULL, OPT_HELP },
	{},
};

static const char help_text[] =
	"usage: softcvm map [OPTIONS] SOCKET|TRACE\n"
	"Prints each slot's ranges: private or shared, what is present of the client's memory and of the guest_memfd, and what\n"
	"stage 2 maps. SOCKET is that of --monitor of 'softcvm run' or 'softcvm exec', TRACE what --trace wrote; - is standard\n"
	"input.\n"
	"\n"
	"      --at TIME            the trace up to here: seconds, as it has them (default: its end, when its VMs\n"
	"                           may be gone)\n"
	"      --vm N               only this VM\n"
	"      --help               this text\n";

struct map {
	struct replay replay;
	u64 until_ns;
	bool one_vm;
	u32 vm;
};

/* ---------------------------------------------------------------- one range */

/* What is the same for each of its frames. */
struct range {
	u64 start, end;
	bool is_private, has_gmem;
	struct replay_mapping mapping;
	enum replay_page page;
	unsigned int residence, owner;
};

static u64 least(u64 a, u64 b) { return a < b ? a : b; }

/* From `at` on, not beyond `end`. */
static struct range range_at(const struct replay_vm *vm, u64 at, u64 end)
{
	const struct replay_binding *b = replay_find_binding(vm, at);
	struct range r = { .start = at, .has_gmem = b };
	u64 until;

	r.is_private = replay_is_private(vm, at, &until);
	end = least(end, until);
	r.mapping = replay_mapping(vm, at, &until);
	end = least(end, until);
	r.owner = replay_owner(vm, at, &until);
	end = least(end, until);
	r.residence = replay_residence(vm, at, &until);
	end = least(end, until);
	if (b) {
		r.page = replay_gmem_page(vm, b, at, &until);
		end = least(end, until);
	}
	r.end = end > at ? end : at + 1;
	return r;
}

static bool same(const struct range *a, const struct range *b)
{
	return a->is_private == b->is_private && a->has_gmem == b->has_gmem && a->page == b->page && a->residence == b->residence && a->owner == b->owner &&
	       a->mapping.level == b->mapping.level && a->mapping.access == b->mapping.access && a->mapping.mmio == b->mapping.mmio &&
	       a->mapping.from_gmem == b->mapping.from_gmem;
}

static void print_range(const struct range *r)
{
	static const char *const residences[] = { "?", "absent", "resident", "unmapped" };
	static const char *const pages[] = { "absent", "present", "punched" };
	char frames[64], size[32], mapping[64], kind[WORDS_MAX];

	printf("  %-29s %8s  %-12s %-10s %-12s %s\n", words_frames(r->start, r->end, frames),
	       words_size((r->end - r->start) << HW_PAGE_SHIFT, size), words_kind(r->is_private, r->owner, kind),
	       residences[r->residence & 3], r->has_gmem ? pages[r->page] : "-", words_mapping(&r->mapping, mapping));
}

static void print_ranges(const struct replay_vm *vm, u64 start, u64 end)
{
	struct range last = range_at(vm, start, end);

	for (u64 at = last.end; at < end;) {
		const struct range r = range_at(vm, at, end);

		at = r.end;
		if (same(&last, &r)) {
			last.end = r.end;
			continue;
		}
		print_range(&last);
		last = r;
	}
	print_range(&last);
}

/* ---------------------------------------------------------------- slots, and what lies between them */

static void print_slot(const struct replay_vm *vm, const struct replay_slot *slot)
{
	const struct replay_binding *b = slot->as_id ? NULL : replay_find_binding(vm, slot->base);
	char size[32];

	printf("\nslot %" PRIu32, slot->id);
	if (slot->as_id)
		printf(" of address space %" PRIu32, slot->as_id);
	printf(": gpa 0x%" PRIx64 ", %s, client memory at 0x%" PRIx64, slot->base << HW_PAGE_SHIFT,
	       words_size(slot->pages << HW_PAGE_SHIFT, size), slot->hva);
	if (b)
		printf(", guest_memfd file %" PRIu64 " from byte 0x%" PRIx64, b->file, (b->page + (slot->base - b->gfn)) << HW_PAGE_SHIFT);
	else if (slot->flags & KVM_MEM_GUEST_MEMFD)
		printf(", a guest_memfd that was closed");
	printf("%s%s%s\n", slot->flags & KVM_MEM_LOG_DIRTY_PAGES ? ", dirty log" : "",
	       slot->flags & KVM_MEM_READONLY ? ", read-only" : "", slot->flags & OBSERVE_SLOT_FLAG_INVALID ? ", being changed" : "");
	/* The vCPUs see the first address space only. */
	if (slot->as_id || !slot->pages)
		return;
	printf("  %-29s %8s  %-12s %-10s %-12s %s\n", "gpa", "size", "is", "client", "guest_memfd", "stage 2");
	print_ranges(vm, slot->base, slot->base + slot->pages);
}

/* Only where something is: frames that are private, or known to be MMIO. */
static void print_gap(const struct replay_vm *vm, u64 start, u64 end, bool *headed)
{
	while (start < end) {
		const struct range r = range_at(vm, start, end);

		if (r.is_private || r.owner || r.mapping.level) {
			if (!*headed)
				puts("\nno slot");
			*headed = true;
			print_range(&r);
		}
		start = r.end;
	}
}

static void print_gaps(const struct replay_vm *vm)
{
	u64 at = 0;
	bool headed = false;

	for (unsigned int i = 0; i < vm->nr_slots && !vm->slots[i].as_id; i++) {
		print_gap(vm, at, vm->slots[i].base, &headed);
		at = vm->slots[i].base + vm->slots[i].pages;
	}
	print_gap(vm, at, ~(u64)0 >> HW_PAGE_SHIFT, &headed);
}

static int print_map(const struct map *m)
{
	unsigned int printed = 0;

	for (unsigned int i = 0; i < m->replay.nr_vms; i++) {
		const struct replay_vm *vm = &m->replay.vms[i];
		char text[WORDS_MAX];

		if ((m->one_vm && vm->number != m->vm) || (vm->seen && !vm->alive))
			continue;
		words_vm(vm, text);
		printf("%sVM %" PRIu32 ": %s\n", printed++ ? "\n" : "", vm->number, text);
		for (unsigned int n = 0; n < vm->nr_slots; n++)
			print_slot(vm, &vm->slots[n]);
		print_gaps(vm);
	}
	if (!printed)
		puts("There is no VM at this point.");
	return ferror(stdout) || fflush(stdout) ? STATUS_ERROR : 0;
}

/* ---------------------------------------------------------------- the command */

static int usage(const char *what, const char *why)
{
	fprintf(stderr, "softcvm map: %s: %s\n", what, why);
	return STATUS_USAGE;
}

static FILE *failed(const char *name)
{
	fprintf(stderr, "softcvm map: %s: %s\n", name, strerror(errno));
	return NULL;
}

/* The monitor sends a trace of what would lead to the state that is. */
static FILE *connect_to(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *file;

	if (strlen(name) >= sizeof(address.sun_path))
		errno = ENAMETOOLONG;
	else
		memcpy(address.sun_path, name, strlen(name));
	if (fd < 0 || !address.sun_path[0])
		return failed(name);
	file = connect(fd, (struct sockaddr *)&address, sizeof(address)) ? NULL : fdopen(fd, "r");
	if (file)
		return file;
	failed(name);
	close(fd);
	return NULL;
}

static bool is_socket(const char *name)
{
	struct stat st;

	return !stat(name, &st) && S_ISSOCK(st.st_mode);
}

static int hear(void *opaque, const struct observe_record *rec)
{
	struct map *m = opaque;

	return rec->time_ns <= m->until_ns ? replay_apply(&m->replay, rec) : 0;
}

static int map_file(struct map *m, const char *name)
{
	FILE *file = is_socket(name) ? connect_to(name) : input_open("map", name);
	bool ok = file && input_read("map", name, file, hear, m);

	if (file && file != stdin)
		fclose(file);
	return ok ? print_map(m) : STATUS_ERROR;
}

int cmd_map(int argc, char **argv)
{
	static char name[] = "softcvm map";
	struct map m = { .until_ns = ~(u64)0 };
	int id, status;
	u64 number;

	argv[0] = name; /* what getopt begins its messages with */
	while ((id = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (id) {
		case 'h':
		case OPT_HELP:
			fputs(help_text, stdout);
			return 0;
		case OPT_AT:
			if (!input_parse_time(optarg, &m.until_ns))
				return usage(optarg, "--at is a time in seconds");
			break;
		case OPT_VM:
			if (!input_parse_number(optarg, &number) || number > UINT32_MAX)
				return usage(optarg, "--vm is a number");
			m.one_vm = true;
			m.vm = (u32)number;
			break;
		default:
			return STATUS_USAGE;
		}
	}
	if (argc - optind != 1)
		return usage("SOCKET or TRACE", "is needed, and nothing else; 'softcvm map --help' tells how");
	status = map_file(&m, argv[optind]);
	replay_destroy(&m.replay);
	return status;
}
