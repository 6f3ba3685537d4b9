// SPDX-License-Identifier: Apache-2.0
/* KVM_PRE_FAULT_MEMORY. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "stat.h"

/*
 * Slots: 1 shared at BASE, 2 read-only at BASE + 0x10000, 3 without memory behind it at BASE + 0x20000; later 4 and 5
 * with a guest_memfd at BASE + 0x40000 and, without client memory, at BASE + 0x60000.
 */
struct prefault_test {
	struct machine m;
	int vcpu;
};

struct range {
	uint64_t gpa, size, flags;
	const char *note;
};

static const struct range plain[] = {
	{BASE, 0x1000, 0, "shared slot, 1 page"},
	{BASE, 0x4000, 0, "whole slot"},
	{BASE + 1, 0x1000, 0, "gpa misaligned"},
	{BASE, 0x1000, 1, "flags 1"},
	{BASE, 0x1000, 0x8000000000000000, "flags bit 63"},
	{BASE - 0x1000, 0x2000, 0, "first page without slot"},
	{BASE + 0x4000, 0x1000, 0, "page after slot"},
	{0xfffffffffffff000, 0x1000, 0, "gpa + size wraps to 0"},
	{0xfffffffffffff000, 0x2000, 0, "gpa + size wraps"},
	{BASE + 0x20000, 0x1000, 0, "slot, uaddr not mapped"},
};

static const struct range protected[] = {
	{BASE, 0x1000, 0, "shared slot, 1 page"},
	{BASE, 0x1000, 0, "already mapped"},
	{BASE, 0x4000, 0, "whole slot"},
	{BASE, 0x1001, 0, "size misaligned"},
	{BASE - 0x1000, 0x1000, 0, "no slot"},
	{BASE - 0x1000, 0x2000, 0, "first page without slot"},
	{0xfffffffffffff000, 0x1000, 0, "gpa + size wraps to 0"},
	{BASE + 0x10000, 0x2000, 0, "read-only slot"},
	{BASE + 0x20000, 0x1000, 0, "slot, uaddr not mapped"},
};

static const struct range beyond = {0x10000000000000, 0x1000, 0, "gpa 2^52, no slot"};

static void ask(const struct prefault_test *t, const struct range *c)
{
	struct kvm_pre_fault_memory args = {.gpa = c->gpa, .size = c->size, .flags = c->flags};
	struct answer a = answered(ioctl(t->vcpu, KVM_PRE_FAULT_MEMORY, &args));
	char after[64];

	snprintf(after, sizeof(after), "after: gpa=0x%lx size=0x%lx", args.gpa, args.size);
	answer_line(a, after, "KVM_PRE_FAULT_MEMORY  vm=%d gpa=0x%lx size=0x%lx flags=0x%lx  [%s]", t->m.type, c->gpa,
		    c->size, c->flags, c->note);
}

static void ask_range(const struct prefault_test *t, uint64_t gpa, uint64_t size, const char *note)
{
	const struct range c = {gpa, size, 0, note};

	ask(t, &c);
}

static void ask_null(const struct prefault_test *t)
{
	answer_line(answered(ioctl(t->vcpu, KVM_PRE_FAULT_MEMORY, NULL)), NULL, "KVM_PRE_FAULT_MEMORY  vm=%d argp=NULL",
		    t->m.type);
}

static void ask_padding(const struct prefault_test *t)
{
	struct kvm_pre_fault_memory args = {.gpa = BASE, .size = PAGE};

	memset(args.padding, 0xff, sizeof(args.padding));
	answer_line(answered(ioctl(t->vcpu, KVM_PRE_FAULT_MEMORY, &args)), NULL,
		    "KVM_PRE_FAULT_MEMORY  vm=%d padding != 0", t->m.type);
}

static void ask_vm(const struct prefault_test *t)
{
	struct kvm_pre_fault_memory args = {.gpa = BASE, .size = PAGE};

	answer_line(answered(ioctl(t->m.vm, KVM_PRE_FAULT_MEMORY, &args)), NULL,
		    "KVM_PRE_FAULT_MEMORY  vm=%d on the VM fd", t->m.type);
}

static void begin(struct prefault_test *t, int type)
{
	machine_create(&t->m, type);
	t->vcpu = MUST(ioctl(t->m.vm, KVM_CREATE_VCPU, 0));

	const struct slot slots[] = {
		{1, 0, BASE, 0x4000, (uintptr_t)t->m.memory, -1, 0},
		{2, KVM_MEM_READONLY, BASE + 0x10000, 0x2000, (uintptr_t)t->m.memory + 0x4000, -1, 0},
		{3, 0, BASE + 0x20000, 0x1000, NOT_MAPPED, -1, 0},
	};
	for (unsigned int i = 0; i < COUNT(slots); i++)
		MUST(machine_set_slot(&t->m, &slots[i]));
}

static void end(struct prefault_test *t)
{
	close(t->vcpu);
	machine_destroy(&t->m);
}

/* ---------------------------------------------------------------- private memory */

static void ask_without_gmem(const struct prefault_test *t)
{
	ask_range(t, BASE + 0x40000, 0x1000, "no slot, shared");
	machine_set_private(&t->m, BASE + 0x40000, 0x1000, 1);
	ask_range(t, BASE + 0x40000, 0x1000, "no slot, private attribute");
	machine_set_private(&t->m, BASE, 0x1000, 1);
	ask_range(t, BASE, 0x1000, "slot without memfd, private attribute");
	machine_set_private(&t->m, BASE, 0x1000, 0);
	ask_range(t, BASE, 0x1000, "same, back to shared");
}

static void ask_punch(int fd)
{
	answer_line(answered(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 0x4000)), NULL,
		    "fallocate  vm=1 mode=KEEP_SIZE|PUNCH_HOLE offset=0x0 len=0x4000  [punch bound, mapped pages]");
}

static void ask_private(const struct prefault_test *t, int fd)
{
	const struct slot slot = {4, KVM_MEM_GUEST_MEMFD, BASE + 0x40000, 0x4000, (uintptr_t)t->m.memory + 0x8000, fd,
				  0};

	MUST(machine_set_slot(&t->m, &slot));
	machine_set_private(&t->m, BASE + 0x40000, 0x4000, 1);
	answer_stat(fd, "vm=1 [guest_memfd before pre-fault]");
	ask_range(t, BASE + 0x40000, 0x1000, "memfd slot, private");
	answer_stat(fd, "vm=1 [guest_memfd after pre-fault of 1 page]");
	ask_range(t, BASE + 0x43000, 0x2000, "private, last page without slot");
	machine_set_private(&t->m, BASE + 0x42000, 0x2000, 0);
	ask_range(t, BASE + 0x40000, 0x4000, "2 private then 2 shared pages");
	ask_punch(fd);
	answer_stat(fd, "vm=1 [guest_memfd after punch]");
	ask_range(t, BASE + 0x40000, 0x1000, "private after punch hole");
	answer_stat(fd, "vm=1 [guest_memfd after pre-fault following punch]");
}

static void ask_private_without_client_memory(const struct prefault_test *t, int fd)
{
	const struct slot slot = {5, KVM_MEM_GUEST_MEMFD, BASE + 0x60000, 0x1000, NOT_MAPPED, fd, 0x4000};
	const struct slot nowhere = {
		6, KVM_MEM_GUEST_MEMFD, BASE + 0x70000, 0x1000, (uintptr_t)t->m.memory, fd, 0x7ffffffffffff000,
	};

	MUST(machine_set_slot(&t->m, &slot));
	ask_range(t, BASE + 0x60000, 0x1000, "memfd slot, uaddr not mapped, shared");
	machine_set_private(&t->m, BASE + 0x60000, 0x1000, 1);
	ask_range(t, BASE + 0x60000, 0x1000, "memfd slot, uaddr not mapped, private");
	answer_line(answered(machine_set_slot(&t->m, &nowhere)), NULL,
		    "KVM_SET_USER_MEMORY_REGION2  vm=1 slot=0x6 "
		    "flags=GUEST_MEMFD gpa=0x100070000 size=0x1000 uaddr=U+0x0 fd=F off=0x7ffffffffffff000  "
		    "[offset + size == 2^63 (accepted, see above)]");
	close(fd);
	ask_range(t, BASE + 0x41000, 0x1000, "private, memfd closed");
}

void ask_prefault(void)
{
	struct prefault_test t;
	int fd;

	puts("## KVM_PRE_FAULT_MEMORY");
	begin(&t, KVM_X86_DEFAULT_VM);
	for (unsigned int i = 0; i < COUNT(plain); i++)
		ask(&t, &plain[i]);
	ask_null(&t);
	ask_vm(&t);
	ask(&t, &beyond);
	end(&t);

	begin(&t, KVM_X86_SW_PROTECTED_VM);
	for (unsigned int i = 0; i < COUNT(protected); i++)
		ask(&t, &protected[i]);
	ask_null(&t);
	ask_padding(&t);
	ask_vm(&t);
	ask_without_gmem(&t);
	fd = machine_gmem(&t.m, 8 * PAGE);
	ask_private(&t, fd);
	ask_private_without_client_memory(&t, fd);
	ask(&t, &beyond);
	end(&t);
}
