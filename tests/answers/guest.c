// SPDX-License-Identifier: Apache-2.0
#include "guest.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENTRY 0x100

static const struct {
	uint8_t code[8];
	size_t size;
} programs[] = {
	[LOAD] = {{0xa0, 0x00, 0x00, 0xf4}, 4},		     /* mov 0, %al; hlt */
	[STORE] = {{0xb0, 0x5a, 0xa2, 0x00, 0x00, 0xf4}, 6}, /* mov $0x5a, %al; mov %al, 0; hlt */
	[VMMCALL] = {{0x0f, 0x01, 0xd9, 0xf4}, 4},	     /* vmmcall; hlt */
};

void guest_create(struct guest *g, int type)
{
	struct slot slot = {.size = PAGE, .fd = -1};

	machine_create(&g->m, type);
	g->code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must("mmap", g->code == MAP_FAILED ? -1 : 0);
	slot.hva = (uintptr_t)g->code;
	MUST(machine_set_slot(&g->m, &slot));
	g->vcpu = MUST(ioctl(g->m.vm, KVM_CREATE_VCPU, 0));
	g->run = mmap(NULL, MUST(ioctl(g->m.kvm, KVM_GET_VCPU_MMAP_SIZE, 0)), PROT_READ | PROT_WRITE, MAP_SHARED,
		      g->vcpu, 0);
	must("mmap of the vCPU", g->run == MAP_FAILED ? -1 : 0);
}

void guest_destroy(struct guest *g)
{
	munmap(g->run, ioctl(g->m.kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	close(g->vcpu);
	munmap(g->code, PAGE);
	machine_destroy(&g->m);
}

void guest_set_window(const struct guest *g, uint32_t flags, uint64_t hva, int fd)
{
	const struct slot slot = {1, flags, WINDOW, 4 * PAGE, hva, fd, 0};

	MUST(machine_set_slot(&g->m, &slot));
}

void guest_delete_window(const struct guest *g)
{
	const struct slot slot = {.slot = 1, .fd = -1};

	MUST(machine_set_slot(&g->m, &slot));
}

void guest_load(const struct guest *g, enum program program)
{
	const struct kvm_regs regs = {.rip = ENTRY, .rflags = 2};
	struct kvm_sregs sregs;

	memcpy(g->code + ENTRY, programs[program].code, programs[program].size);
	MUST(ioctl(g->vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	sregs.ds.base = WINDOW;
	sregs.ds.selector = WINDOW >> 4;
	MUST(ioctl(g->vcpu, KVM_SET_SREGS, &sregs));
	MUST(ioctl(g->vcpu, KVM_SET_REGS, &regs));
	memset(g->run->padding, 0, sizeof(g->run->padding));
}

void guest_set_hypercall(const struct guest *g, uint32_t gpa, uint32_t pages, uint32_t attributes)
{
	struct kvm_regs regs;

	MUST(ioctl(g->vcpu, KVM_GET_REGS, &regs));
	regs.rax = KVM_HC_MAP_GPA_RANGE;
	regs.rbx = gpa;
	regs.rcx = pages;
	regs.rdx = attributes;
	MUST(ioctl(g->vcpu, KVM_SET_REGS, &regs));
}

uint64_t guest_rip(const struct guest *g)
{
	struct kvm_regs regs;

	MUST(ioctl(g->vcpu, KVM_GET_REGS, &regs));
	return regs.rip;
}

uint64_t guest_rax(const struct guest *g)
{
	struct kvm_regs regs;

	MUST(ioctl(g->vcpu, KVM_GET_REGS, &regs));
	return regs.rax;
}

static void describe_exit(const struct guest *g, char *tail, size_t size)
{
	const struct kvm_run *run = g->run;
	uint64_t rip = guest_rip(g), rax = guest_rax(g);

	switch (run->exit_reason) {
	case KVM_EXIT_HLT:
		snprintf(tail, size, "exit=HLT rax=0x%lx rip=0x%lx", rax, rip);
		break;
	case KVM_EXIT_MMIO:
		snprintf(tail, size, "exit=MMIO phys=0x%lx len=%u is_write=%u rip=0x%lx", run->mmio.phys_addr,
			 run->mmio.len, run->mmio.is_write, rip);
		break;
	case KVM_EXIT_HYPERCALL:
		snprintf(tail, size, "exit=HYPERCALL nr=%lu args=0x%lx,0x%lx,0x%lx ret=0x%lx rip=0x%lx",
			 run->hypercall.nr, run->hypercall.args[0], run->hypercall.args[1], run->hypercall.args[2],
			 run->hypercall.ret, rip);
		break;
	case KVM_EXIT_MEMORY_FAULT:
		snprintf(tail, size, "exit=MEMORY_FAULT flags=0x%lx gpa=0x%lx size=0x%lx rip=0x%lx",
			 run->memory_fault.flags, run->memory_fault.gpa, run->memory_fault.size, rip);
		break;
	default:
		snprintf(tail, size, "exit=%u rip=0x%lx rax=0x%lx", run->exit_reason, rip, rax);
	}
}

struct answer guest_run(const struct guest *g, char *tail, size_t size)
{
	struct answer a = answered(ioctl(g->vcpu, KVM_RUN, 0));

	describe_exit(g, tail, size);
	return a;
}

struct answer guest_complete(const struct guest *g)
{
	struct answer a;

	g->run->immediate_exit = 1;
	a = answered(ioctl(g->vcpu, KVM_RUN, 0));
	g->run->immediate_exit = 0;
	return a;
}
