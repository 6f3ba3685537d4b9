// SPDX-License-Identifier: Apache-2.0
/* KVM_SET_MEMORY_ATTRIBUTES. */
#include <stdio.h>
#include <unistd.h>

#include "machine.h"

struct change {
	uint64_t address, size, attributes, flags;
	const char *note; /* NULL: not recorded, only leads to the next state */
};

static const struct change plain[] = {
	{BASE, PAGE, 0x8, 0, "PRIVATE, no slot"},
	{BASE, PAGE, 0x8, 0, "PRIVATE again"},
	{BASE, PAGE, 0x0, 0, "shared again"},
	{BASE, PAGE, 0x1, 0, "bit 0"},
	{BASE, PAGE, 0x2, 0, "bit 1"},
	{BASE, PAGE, 0x10, 0, "bit 4"},
	{BASE, PAGE, 0x9, 0, "PRIVATE|READ"},
	{BASE, PAGE, 0x8000000000000000, 0, "bit 63"},
	{BASE, PAGE, 0xffffffffffffffff, 0, "all bits"},
	{BASE, PAGE, 0x8, 1, "flags=1"},
	{BASE, 0, 0x8, 0, "size 0"},
	{BASE, 0, 0x0, 0, "size 0, shared"},
	{BASE + 1, PAGE, 0x8, 0, "address misaligned"},
	{BASE + 0x200, PAGE, 0x0, 0, "address misaligned, shared"},
	{BASE, 0x1001, 0x8, 0, "size misaligned"},
	{BASE, 0x1, 0x8, 0, "size 1"},
	{BASE, 0xfff, 0x0, 0, "size 4095, shared"},
	{0xffffffffffffe000, PAGE, 0x8, 0, "last but one page of u64"},
	{0xffffffffffffe000, PAGE, 0x0, 0, "same, shared"},
	{0x10000000000000, PAGE, 0x8, 0, "gpa 2^52"},
	{0x10000000000000, PAGE, 0x0, 0, "same, shared"},
	{0x400000000000, PAGE, 0x8, 0, "gpa 2^46"},
	{0x400000000000, PAGE, 0x0, 0, "same, shared"},
	{0x0, 0x40000000, 0x8, 0, "1 GiB from 0"},
	{0x0, 0x40000000, 0x0, 0, "same, shared"},
};

static const struct change protected[] = {
	{BASE, PAGE, 0x8, 0, NULL},
	{BASE, PAGE, 0x0, 0, "back to shared"},
	{BASE, PAGE, 0x0, 0, "shared again"},
	{BASE, PAGE, 0x1, 0, "bit 0"},
	{BASE, PAGE, 0x2, 0, "bit 1"},
	{BASE, PAGE, 0x4, 0, "bit 2"},
	{BASE, PAGE, 0x10, 0, "bit 4"},
	{BASE, PAGE, 0xffffffffffffffff, 0, "all bits"},
	{BASE, PAGE, 0x0, 0x8000000000000000, "flags bit 63"},
	{BASE, 0, 0x0, 0, "size 0, shared"},
	{BASE + 1, PAGE, 0x8, 0, "address misaligned"},
	{BASE + 0x200, PAGE, 0x0, 0, "address misaligned, shared"},
	{BASE, 0x1001, 0x8, 0, "size misaligned"},
	{BASE, 0x1, 0x8, 0, "size 1"},
	{BASE, 0xfff, 0x0, 0, "size 4095, shared"},
	{0xfffffffffffff000, PAGE, 0x8, 0, "address + size == 2^64 (wraps to 0)"},
	{0xffffffffffffe000, PAGE, 0x8, 0, "last but one page of u64"},
	{0xffffffffffffe000, PAGE, 0x0, 0, "same, shared"},
	{0x10000000000000, PAGE, 0x8, 0, "gpa 2^52"},
	{0x10000000000000, PAGE, 0x0, 0, "same, shared"},
	{0x400000000000, PAGE, 0x8, 0, "gpa 2^46"},
	{0x400000000000, PAGE, 0x0, 0, "same, shared"},
};

/* Ranges of several pages, each taken back. */
static const struct change ranges[] = {
	{BASE, 0x4000, 0x8, 0, NULL},	       {BASE, 0x4000, 0x0, 0, "back"},
	{BASE - 0x4000, 0x6000, 0x8, 0, NULL}, {BASE - 0x4000, 0x6000, 0x0, 0, "back"},
	{BASE, 0x1000, 0x8, 0, NULL},	       {BASE + 0x2000, 0x1000, 0x8, 0, NULL},
	{BASE, 0x4000, 0x0, 0, "all back"},    {BASE, 0x4000, 0x8, 0, "no slot, before the slot exists"},
};

static void ask(const struct machine *m, const struct change *c)
{
	struct kvm_memory_attributes args = {c->address, c->size, c->attributes, c->flags};
	struct answer a = answered(ioctl(m->vm, KVM_SET_MEMORY_ATTRIBUTES, &args));

	if (!c->note)
		must("an unrecorded change", a.result);
	else
		answer_line(
			a, NULL,
			"KVM_SET_MEMORY_ATTRIBUTES  vm=%d address=0x%lx size=0x%lx attributes=0x%lx flags=0x%lx  [%s]",
			m->type, c->address, c->size, c->attributes, c->flags, c->note);
}

static void ask_all(const struct machine *m, const struct change *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ask(m, &cases[i]);
}

static void ask_null(const struct machine *m)
{
	answer_line(answered(ioctl(m->vm, KVM_SET_MEMORY_ATTRIBUTES, NULL)), NULL,
		    "KVM_SET_MEMORY_ATTRIBUTES  vm=%d argp=NULL", m->type);
}

/* Slots that come to where frames are private already. */
static void ask_slots_over_private(const struct machine *m)
{
	const struct slot delete = {.slot = 1, .fd = -1};
	struct slot s = {1, 0, BASE, 0x4000, (uintptr_t)m->memory, -1, 0};

	answer_line(answered(machine_set_slot(m, &s)), NULL,
		    "KVM_SET_USER_MEMORY_REGION2  vm=1 slot=0x1 flags=0 "
		    "gpa=0x100000000 size=0x4000 uaddr=U+0x0 fd=-1 off=0x0  [plain slot over private gfns]");
	answer_line(answered(machine_set_slot(m, &delete)), NULL,
		    "KVM_SET_USER_MEMORY_REGION2  vm=1 slot=0x1 flags=0 "
		    "gpa=0x0 size=0x0 uaddr=0x0 fd=-1 off=0x0  [delete]");
	s.flags = KVM_MEM_GUEST_MEMFD;
	s.fd = machine_gmem(m, 16 * PAGE);
	answer_line(answered(machine_set_slot(m, &s)), NULL,
		    "KVM_SET_USER_MEMORY_REGION2  vm=1 slot=0x1 flags=GUEST_MEMFD "
		    "gpa=0x100000000 size=0x4000 uaddr=U+0x0 fd=F off=0x0  [memfd slot over private gfns]");
	answer_line(answered(machine_set_slot(m, &delete)), NULL,
		    "KVM_SET_USER_MEMORY_REGION2  vm=1 slot=0x1 flags=0 "
		    "gpa=0x0 size=0x0 uaddr=0x0 fd=-1 off=0x0  [delete]");
	close(s.fd);
}

void ask_attributes(void)
{
	static const struct change back = {BASE, 0x4000, 0x0, 0, "back"};
	struct kvm_memory_attributes args = {.address = BASE, .size = PAGE};
	struct machine m;

	puts("## KVM_SET_MEMORY_ATTRIBUTES, VM type 0 (no slot in the range unless noted)");
	machine_create(&m, KVM_X86_DEFAULT_VM);
	ask_all(&m, plain, COUNT(plain));
	ask_null(&m);
	machine_destroy(&m);

	puts("## KVM_SET_MEMORY_ATTRIBUTES, VM type 1 (no slot in the range unless noted)");
	machine_create(&m, KVM_X86_SW_PROTECTED_VM);
	ask_all(&m, protected, COUNT(protected));
	ask_null(&m);
	ask_all(&m, ranges, COUNT(ranges));
	ask_slots_over_private(&m);
	ask(&m, &back);
	answer_line(answered(ioctl(m.kvm, KVM_SET_MEMORY_ATTRIBUTES, &args)), NULL,
		    "KVM_SET_MEMORY_ATTRIBUTES  on /dev/kvm fd");
	machine_destroy(&m);
}
