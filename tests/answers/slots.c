// SPDX-License-Identifier: Apache-2.0
/* KVM_SET_USER_MEMORY_REGION2 and its predecessor. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"

/* What `guest_memfd` of a case stands for. */
enum file { NONE, ZERO, NOT_OPEN, KVM, VM, F, F_DUP, F2, FILES };
static const char *const file_names[FILES] = {"-1", "0", "9999", "/dev/kvm", "the-VM-fd", "F", "dup(F)", "F2"};

/* Addresses up to the size of U are offsets in it. */
#define ABSOLUTE(address) .absolute = 1, .uaddr = (address)

struct slot_case {
	uint32_t slot, flags;
	uint64_t gpa, size, uaddr;
	int absolute;
	enum file file;
	uint64_t offset;
	const char *note; /* NULL: a call that was not recorded and only leads to the next state */
};

struct slot_test {
	struct machine m;
	int file[FILES];
};

#define G	   KVM_MEM_GUEST_MEMFD
#define LOG	   KVM_MEM_LOG_DIRTY_PAGES
#define RO	   KVM_MEM_READONLY
#define UNRECORDED NULL
#define DELETE_AT(id, file_, note_)                                                                                    \
	{                                                                                                              \
		id, 0, BASE, .file = file_, .note = note_                                                              \
	}
#define DELETE(id, note_)                                                                                              \
	{                                                                                                              \
		id, 0, 0, ABSOLUTE(0), .note = note_                                                                   \
	}

static const struct slot_case plain[] = {
	{1, 0, BASE, 0x4000, .note = UNRECORDED},
	DELETE_AT(1, NONE, "delete it"),
	{1, 0, BASE, 0x4000, .file = ZERO, .note = "plain slot, guest_memfd=0, flag clear"},
	DELETE_AT(1, ZERO, "delete it"),
	{1, 0, BASE, 0x4000, .file = F, .offset = 0x123,
	 .note = "plain slot, misaligned guest_memfd_offset, flag clear"},
	DELETE_AT(1, ZERO, "delete it"),
	{1, LOG, BASE, 0x4000, .note = "dirty log"},
	DELETE_AT(1, NONE, "delete it"),
	{1, RO, BASE, 0x4000, .note = "read-only"},
	DELETE_AT(1, NONE, "delete it"),
	{1, G, BASE, 0x4000, .file = F, .note = "guest_memfd on type 0"},
	{0x20001, 0, BASE, 0x4000, .note = "address space 2"},
};

/* Arguments: the checks that come before there is a slot, and those of one without a guest_memfd. */
static const struct slot_case arguments[] = {
	{1, 0, BASE, 0x4000, .note = "plain slot"},
	{1, LOG, BASE, 0x4000, .note = "plain slot: turn dirty log on"},
	{1, 0, BASE + 0x10000, 0x4000, .note = UNRECORDED},
	{1, 0, BASE + 0x10000, 0x8000, .note = "plain slot: grow"},
	{1, 0, BASE + 0x10000, 0x4000, .uaddr = 0x1000, .note = "plain slot: change uaddr"},
	DELETE(1, UNRECORDED),
	{1, RO, BASE, 0x4000, .note = "read-only, no memfd"},
	DELETE(1, UNRECORDED),
	{0x10001, G, BASE, 0x4000, .file = F, .note = "address space 1, memfd"},
	{1, RO | G, BASE, 0x4000, .file = F, .note = "GUEST_MEMFD + READONLY"},
	{1, LOG | G, BASE, 0x4000, .file = F, .note = "GUEST_MEMFD + LOG_DIRTY"},
	{1, 0x8, BASE, 0x4000, .note = "unknown flag bit 3, no memfd"},
	{1, 0x80000000, BASE, 0x4000, .note = "unknown flag bit 31"},
	{1, G, BASE, 0x4000, .note = "memfd -1"},
	{1, G, BASE, 0x4000, .file = NOT_OPEN, .note = "fd 9999 not open"},
	{1, G, BASE, 0x4000, .file = KVM, .note = "fd is /dev/kvm"},
	{1, G, BASE, 0x4000, .file = VM, .note = "fd is the VM fd"},
	{1, G, BASE, 0x4000, .file = F, .offset = 0x1, .note = "offset not page aligned"},
	{1, G, BASE, 0x11000, .file = F, .note = "size one page larger than memfd"},
	{1, G, BASE, 0x1000, .file = F, .offset = 0x10000, .note = "offset at memfd end"},
	{1, G, BASE, 0x1000, .file = F, .offset = 0x8000000000000000, .note = "offset negative as loff_t"},
	{1, G, BASE, 0x4000, .file = F, .offset = 0xfffffffffffff000, .note = "offset + size wraps u64"},
	{1, G, BASE, 0x1000, .file = F, .offset = 0x7ffffffffffff000, .note = "offset + size overflows loff_t (2^63)"},
	DELETE(1, "delete the slot the previous call made"),
	{1, G, BASE, 0x4000, .file = F, .offset = 0x7fffffffffffc000, .note = "offset + size == 2^63, 4 pages"},
	DELETE(1, UNRECORDED),
	{1, G, BASE, 0x4000, .file = F, .offset = 0x7fffffffffff8000, .note = "offset + size just below 2^63"},
	{1, G, BASE + 1, 0x4000, .file = F, .note = "gpa misaligned"},
	{1, G, BASE, 0x4001, .file = F, .note = "size misaligned"},
	{1, G, BASE, 0x4000, .uaddr = 0x1, .file = F, .note = "uaddr misaligned"},
	{1, G, BASE, 0x4000, ABSOLUTE(0xffff800000000000), .file = F, .note = "uaddr in kernel half"},
	{1, G, 0xfffffffffffff000, 0x2000, .file = F, .note = "gpa + size wraps"},
	{0x7ffb, G, BASE, 0x1000, .file = F, .note = "slot id 32763"},
	{0x7ffc, G, BASE, 0x1000, .file = F, .note = "slot id 32764 (== KVM_CAP_NR_MEMSLOTS)"},
	DELETE(0x7ffb, UNRECORDED),
};

static const struct slot_case bindings[] = {
	{1, G, BASE, 0x4000, .file = F, .note = "bind pages 0-3"},
	{1, G, BASE, 0x4000, .file = F, .note = "same call again"},
	{1, 0, BASE, 0x4000, .note = "drop GUEST_MEMFD flag"},
	{1, LOG, BASE, 0x4000, .note = "flags -> LOG_DIRTY without GUEST_MEMFD"},
	{1, LOG | G, BASE, 0x4000, .file = F, .note = "turn dirty log on"},
	{1, RO | G, BASE, 0x4000, .file = F, .note = "turn read-only on"},
	{1, G, BASE + 0x40000, 0x4000, .file = F, .note = "move gpa"},
	{1, G, BASE, 0x8000, .file = F, .note = "grow"},
	{1, G, BASE, 0x4000, .file = F, .offset = 0x4000, .note = "change memfd offset"},
	{2, G, BASE + 0x40000, 0x4000, .file = F, .note = "second slot, same memfd range"},
	{2, G, BASE + 0x40000, 0x4000, .file = F, .offset = 0x3000, .note = "second slot, overlaps last bound page"},
	{2, G, BASE + 0x2000, 0x4000, .file = F, .offset = 0x4000,
	 .note = "second slot, free memfd range, overlapping GPA"},
	{2, G, BASE + 0x2000, 0x4000, .file = F, .note = "second slot, bound memfd range AND overlapping GPA"},
	{2, G, BASE + 0x40000, 0x4000, .file = F, .offset = 0x4000,
	 .note = "second slot, free range, next to the first"},
	{3, G, BASE + 0x50000, 0x8000, .file = F, .offset = 0x8000,
	 .note = "third slot, to the end of the memfd, same uaddr"},
	{1, G, 0, ABSOLUTE(0), .note = "delete slot 1 with GUEST_MEMFD flag, fd -1"},
	{4, G, BASE + 0x80000, 0x4000, .file = F, .note = "rebind the freed range to slot 4"},
	{4, RO | G, 0, ABSOLUTE(0), .note = "delete slot 4 with bad flags"},
	{4, 0, 1, ABSOLUTE(0), .note = "delete slot 4 with misaligned gpa"},
	DELETE(4, "delete slot 4"),
	DELETE(2, "delete slot 2"),
	DELETE(3, UNRECORDED),
	{1, G, BASE, 0x4000, ABSOLUTE(0), .file = F, .note = "uaddr 0"},
	DELETE(1, "delete"),
	{1, G, BASE, 0x4000, ABSOLUTE(NOT_MAPPED), .file = F, .note = "uaddr not mapped"},
	DELETE(1, "delete"),
	{1, G, 0x10000000000000, 0x4000, .file = F, .note = "gpa 2^52 (host MAXPHYADDR is 40)"},
	{1, G, 0x10000000000, 0x1000, .file = F, .note = "gpa 2^40"},
	{1, G, 0xfffffff000, 0x1000, .file = F, .note = "last page below 2^40"},
	DELETE(1, "delete"),
};

static const struct slot_case duplicates[] = {
	{1, G, BASE, 0x4000, .file = F, .note = "bind pages 0-3"},
	{2, G, BASE + 0x40000, 0x4000, .file = F_DUP, .note = "second slot, same range, dup of the fd"},
	{2, G, BASE + 0x40000, 0x4000, .file = F_DUP, .offset = 0x4000,
	 .note = "second slot, next range, dup of the fd"},
	DELETE(1, "delete slot 1"),
	DELETE(2, "delete slot 2"),
	{1, G, BASE, 0x4000, .file = F2, .note = "second memfd of the same VM, same uaddr"},
	{2, G, BASE + 0x40000, 0x4000, .file = F, .note = UNRECORDED},
	DELETE(1, "delete slot 1"),
	DELETE(2, "delete slot 2"),
	{1, G, BASE, 0x4000, .file = F, .note = "bind, then close the memfd"},
};

static const struct slot_case closed[] = {
	DELETE(1, "delete slot whose memfd was closed"),
};

static void print_flags(char *text, size_t size, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {{LOG, "LOG_DIRTY"}, {RO, "READONLY"}, {G, "GUEST_MEMFD"}};
	int length = 0;

	if (!flags || flags & ~(LOG | RO | G)) {
		snprintf(text, size, flags ? "0x%x" : "%x", flags);
		return;
	}
	for (unsigned int i = 0; i < COUNT(names); i++)
		if (flags & names[i].flag)
			length += snprintf(text + length, size - length, "%s%s", length ? "|" : "", names[i].name);
}

static void ask(const struct slot_test *t, const struct slot_case *c)
{
	const struct slot s = {
		c->slot,
		c->flags,
		c->gpa,
		c->size,
		c->absolute ? c->uaddr : (uintptr_t)t->m.memory + c->uaddr,
		t->file[c->file],
		c->offset,
	};
	struct answer a = answered(machine_set_slot(&t->m, &s));
	char flags[64];

	if (!c->note) {
		must("an unrecorded slot", a.result);
		return;
	}
	print_flags(flags, sizeof(flags), c->flags);
	answer_line(a, NULL,
		    "KVM_SET_USER_MEMORY_REGION2  vm=%d slot=0x%x flags=%s gpa=0x%lx size=0x%lx uaddr=%s0x%lx "
		    "fd=%s off=0x%lx  [%s]",
		    t->m.type, c->slot, flags, c->gpa, c->size, c->absolute ? "" : "U+", c->uaddr, file_names[c->file],
		    c->offset, c->note);
}

static void ask_all(const struct slot_test *t, const struct slot_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ask(t, &cases[i]);
}

static void begin(struct slot_test *t, int type)
{
	machine_create(&t->m, type);
	t->file[NONE] = -1;
	t->file[ZERO] = 0;
	t->file[NOT_OPEN] = 9999;
	t->file[KVM] = t->m.kvm;
	t->file[VM] = t->m.vm;
	t->file[F] = machine_gmem(&t->m, 16 * PAGE);
	t->file[F_DUP] = MUST(dup(t->file[F]));
	t->file[F2] = machine_gmem(&t->m, 16 * PAGE);
}

static void end(struct slot_test *t)
{
	close(t->file[F2]);
	machine_destroy(&t->m);
}

static void close_file(struct slot_test *t)
{
	close(t->file[F]);
	close(t->file[F_DUP]);
}

static void ask_version_1(const struct slot_test *t)
{
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.flags = G,
		.guest_phys_addr = BASE,
		.memory_size = 0x4000,
		.userspace_addr = (uintptr_t)t->m.memory,
	};

	answer_line(answered(ioctl(t->m.vm, KVM_SET_USER_MEMORY_REGION, &region)), NULL,
		    "KVM_SET_USER_MEMORY_REGION  vm=1 flags=GUEST_MEMFD");
	region.flags = 0;
	answer_line(answered(ioctl(t->m.vm, KVM_SET_USER_MEMORY_REGION, &region)), NULL,
		    "KVM_SET_USER_MEMORY_REGION  vm=1 flags=0");
	region.memory_size = 0;
	answer_line(answered(ioctl(t->m.vm, KVM_SET_USER_MEMORY_REGION, &region)), NULL,
		    "KVM_SET_USER_MEMORY_REGION  vm=1 flags=0 size=0");
}

static void ask_padding(const struct slot_test *t)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = 1,
		.guest_phys_addr = BASE,
		.memory_size = 0x4000,
		.userspace_addr = (uintptr_t)t->m.memory,
		.pad1 = 0xffffffff,
	};

	memset(region.pad2, 0xff, sizeof(region.pad2));
	answer_line(answered(ioctl(t->m.vm, KVM_SET_USER_MEMORY_REGION2, &region)), NULL,
		    "KVM_SET_USER_MEMORY_REGION2  vm=1 pads != 0");
	answer_line(answered(ioctl(t->m.vm, KVM_SET_USER_MEMORY_REGION2, NULL)), NULL,
		    "KVM_SET_USER_MEMORY_REGION2  vm=1 argp=NULL");
}

void ask_slots(void)
{
	struct slot_test t;

	puts("## KVM_SET_USER_MEMORY_REGION2, VM type 0 (U = page-aligned 64-page mapping; F = guest_memfd of 16 pages "
	     "of "
	     "the same VM unless noted)");
	begin(&t, KVM_X86_DEFAULT_VM);
	ask_all(&t, plain, COUNT(plain));
	close_file(&t);
	end(&t);

	puts("## KVM_SET_USER_MEMORY_REGION2, VM type 1");
	begin(&t, KVM_X86_SW_PROTECTED_VM);
	ask_all(&t, arguments, COUNT(arguments));
	ask_all(&t, bindings, COUNT(bindings));
	ask_all(&t, duplicates, COUNT(duplicates));
	close_file(&t);
	ask_all(&t, closed, COUNT(closed));
	ask_version_1(&t);
	ask_padding(&t);
	end(&t);
}
