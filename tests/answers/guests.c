// SPDX-License-Identifier: Apache-2.0
/* KVM_RUN: loads, stores, instruction fetches and hypercalls, with each kind of slot and attribute under them. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <unistd.h>

#include "guest.h"

/* ---------------------------------------------------------------- lines */

static void ask(const struct guest *g, const char *note)
{
	char tail[160];
	struct answer a = guest_run(g, tail, sizeof(tail));

	answer_line(a, tail, "KVM_RUN  vm=%d [%s]", g->m.type, note);
}

static void ask_program(const struct guest *g, enum program program, const char *note)
{
	guest_load(g, program);
	ask(g, note);
}

/* One that was not recorded, but leads to what was. */
static void run(const struct guest *g, enum program program)
{
	char tail[160];

	guest_load(g, program);
	guest_run(g, tail, sizeof(tail));
}

static void ask_completion(const struct guest *g)
{
	struct answer a = guest_complete(g);
	char tail[64];

	snprintf(tail, sizeof(tail), "rip=0x%lx", guest_rip(g));
	answer_line(a, tail, "KVM_RUN  vm=%d [complete the MMIO with immediate_exit=1]", g->m.type);
}

static void ask_completion_with_data(const struct guest *g, uint8_t data)
{
	struct answer a;
	char tail[96];

	g->run->mmio.data[0] = data;
	a = guest_complete(g);
	snprintf(tail, sizeof(tail), "data byte 0x%x given; rax=0x%lx rip=0x%lx", data, guest_rax(g), guest_rip(g));
	answer_line(a, tail, "KVM_RUN  vm=%d [complete the MMIO with immediate_exit=1]", g->m.type);
}

static void ask_byte(const struct guest *g, const char *when)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%x", *(volatile uint8_t *)g->m.memory);
	answer_text(text, "(userspace byte)  vm=%d U[0] after %s", g->m.type, when);
}

/* ---------------------------------------------------------------- client memory */

static uint64_t u(const struct guest *g)
{
	return (uintptr_t)g->m.memory;
}

static void ask_unmapped(const struct guest *g)
{
	guest_set_window(g, 0, NOT_MAPPED, -1);
	ask_program(g, LOAD, "load, slot with uaddr not mapped");
	ask_program(g, STORE, "store, slot with uaddr not mapped");
	guest_delete_window(g);
}

static void ask_client_memory(const struct guest *g)
{
	ask_program(g, LOAD, "load, no slot");
	guest_complete(g);
	run(g, STORE);
	ask_completion(g);

	guest_set_window(g, 0, u(g), -1);
	run(g, LOAD);
	ask_program(g, STORE, "store, shared slot");
	ask_byte(g, "the store");
	guest_delete_window(g);

	guest_set_window(g, KVM_MEM_READONLY, u(g), -1);
	run(g, STORE);
	ask_completion(g);
	guest_delete_window(g);
	ask_unmapped(g);
}

static void ask_client_memory_of_protected(const struct guest *g)
{
	run(g, LOAD);
	ask_completion_with_data(g, 0xee);
	ask_program(g, STORE, "store, no slot");
	guest_complete(g);

	guest_set_window(g, 0, u(g), -1);
	run(g, STORE);
	ask_byte(g, "the store");
	guest_delete_window(g);

	guest_set_window(g, KVM_MEM_READONLY, u(g), -1);
	ask_program(g, LOAD, "load, read-only slot");
	ask_program(g, STORE, "store, read-only slot");
	guest_complete(g);
	guest_delete_window(g);
	ask_unmapped(g);
}

/* ---------------------------------------------------------------- private memory */

static void set_private(const struct guest *g, int private)
{
	machine_set_private(&g->m, WINDOW, PAGE, private);
}

static void ask_private_without_gmem(const struct guest *g)
{
	set_private(g, 1);
	run(g, LOAD);
	ask_program(g, STORE, "store, private attribute, no slot");
	guest_set_window(g, 0, u(g), -1);
	run(g, STORE);
	set_private(g, 0);
	ask(g, "KVM_RUN again after setting shared");
	guest_delete_window(g);
}

static void ask_private(const struct guest *g, int fd)
{
	g->m.memory[0] = 0x11;
	guest_set_window(g, KVM_MEM_GUEST_MEMFD, u(g), fd);
	ask_program(g, LOAD, "load, memfd slot, shared");
	set_private(g, 1);
	ask_program(g, LOAD, "load, memfd slot, private, untouched memfd page");
	ask_program(g, STORE, "store, memfd slot, private");
	ask_byte(g, "private store");
	ask_program(g, LOAD, "load, private, after private store");
	set_private(g, 0);
	ask_program(g, LOAD, "load, after conversion to shared");
	set_private(g, 1);
	answer_line(answered(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 0x4000)), NULL,
		    "fallocate  vm=1 mode=KEEP_SIZE|PUNCH_HOLE offset=0x0 len=0x4000  [punch]");
}

static void ask_private_code(const struct guest *g)
{
	machine_set_private(&g->m, 0, PAGE, 1);
	ask_program(g, LOAD, "instruction fetch page (slot 0, no memfd) private");
	machine_set_private(&g->m, 0, PAGE, 0);
	ask(g, "again, code page shared");
}

static void ask_closed(const struct guest *g, int fd)
{
	close(fd);
	ask_program(g, LOAD, "load, private, memfd closed");
	set_private(g, 0);
	ask(g, "again, shared, memfd closed");
	guest_delete_window(g);
}

/* ---------------------------------------------------------------- KVM_HC_MAP_GPA_RANGE */

struct hypercall {
	uint32_t gpa, pages, attributes;
	const char *what; /* NULL: only what kvm_run holds was recorded */
};

static void enable_hypercall_exit(const struct guest *g)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_EXIT_HYPERCALL, .args = {1u << KVM_HC_MAP_GPA_RANGE}};

	MUST(ioctl(g->m.vm, KVM_ENABLE_CAP, &cap));
}

static void ask_hypercall(const struct guest *g, const struct hypercall *h)
{
	char tail[160], text[64];
	struct answer a;

	guest_load(g, VMMCALL);
	guest_set_hypercall(g, h->gpa, h->pages, h->attributes);
	a = guest_run(g, tail, sizeof(tail));
	if (h->what)
		answer_line(a, tail, "KVM_RUN  vm=%d [vmmcall MAP_GPA_RANGE gpa=0x%x n=%u attr=0x%x, enabled, %s]",
			    g->m.type, h->gpa, h->pages, h->attributes, h->what);
	if (g->run->exit_reason != KVM_EXIT_HYPERCALL)
		return;
	snprintf(text, sizeof(text), "0x%lx 0x%lx", g->run->hypercall.flags, g->run->hypercall.ret);
	answer_text(text, "(kvm_run.hypercall)  vm=%d flags/longmode, ret as presented", g->m.type);
}

static void ask_hypercalls(const struct guest *g, const struct hypercall *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		ask_hypercall(g, &cases[i]);
		if (g->m.type == KVM_X86_DEFAULT_VM && cases[i].pages == 1 && !cases[i].attributes &&
		    !(cases[i].gpa % PAGE)) {
			g->run->hypercall.ret = (uint64_t)-22;
			ask(g, "continue with hypercall.ret=-22");
		} else if (g->run->exit_reason == KVM_EXIT_HYPERCALL) {
			g->run->hypercall.ret = 0;
			guest_complete(g);
		}
	}
}

#define LAST_PAGE 0xfffff000
static const struct hypercall plain_hypercalls[] = {
	{WINDOW, 1, 0x10, "attrs=ENCRYPTED(0x10)"},
	{WINDOW, 1, 0x0, "attrs=DECRYPTED(0)"},
	{WINDOW + 1, 1, 0x0, "gpa misaligned"},
	{WINDOW, 0, 0x0, "npages 0"},
	{WINDOW, 1, 0x20, NULL},
	{LAST_PAGE, 0xffffffff, 0x0, "n=2^32-1"},
};

static const struct hypercall protected_hypercalls[] = {
	{WINDOW, 1, 0x10, "attrs=ENCRYPTED(0x10)"},
	{WINDOW, 1, 0x0, "attrs=DECRYPTED(0)"},
	{WINDOW, 0, 0x0, "npages 0"},
	{WINDOW, 1, 0x20, "attrs=0x20"},
	{LAST_PAGE, 0xffffffff, 0x0, "n=2^32-1"},
};

/* ---------------------------------------------------------------- */

void ask_guests(void)
{
	struct guest g;
	int fd;

	puts("## KVM_RUN: real-mode guest, one byte load/store at GPA 0x20000 (window, slot 1 unless noted)");
	guest_create(&g, KVM_X86_DEFAULT_VM);
	ask_client_memory(&g);
	enable_hypercall_exit(&g);
	ask_hypercalls(&g, plain_hypercalls, COUNT(plain_hypercalls));
	guest_destroy(&g);

	guest_create(&g, KVM_X86_SW_PROTECTED_VM);
	ask_client_memory_of_protected(&g);
	ask_private_without_gmem(&g);
	fd = machine_gmem(&g.m, 16 * PAGE);
	ask_private(&g, fd);
	ask_private_code(&g);
	ask_closed(&g, fd);
	enable_hypercall_exit(&g);
	ask_hypercalls(&g, protected_hypercalls, COUNT(protected_hypercalls));
	guest_destroy(&g);
}
