// SPDX-License-Identifier: Apache-2.0
/* What is said of a guest that crashed. */
#include "observe/observe.h"
#include "vmm/vm.h"

#include <stdio.h>

static void print_segment(const char *name, const struct kvm_segment *s)
{
	fprintf(stderr, "%-4s%04x base %016llx limit %08x type %x s %u dpl %u p %u l %u db %u g %u%s\n", name, s->selector,
		(unsigned long long)s->base, s->limit, s->type, s->s, s->dpl, s->present, s->l, s->db, s->g,
		s->unusable ? " unusable" : "");
}

static void print_regs(const struct kvm_regs *r)
{
	const struct {
		const char *name;
		uint64_t value;
	} regs[] = {
		{ "rip", r->rip }, { "rfl", r->rflags }, { "rax", r->rax }, { "rbx", r->rbx }, { "rcx", r->rcx }, { "rdx", r->rdx },
		{ "rsi", r->rsi }, { "rdi", r->rdi },	 { "rbp", r->rbp }, { "rsp", r->rsp }, { "r8 ", r->r8 },  { "r9 ", r->r9 },
		{ "r10", r->r10 }, { "r11", r->r11 },	 { "r12", r->r12 }, { "r13", r->r13 }, { "r14", r->r14 }, { "r15", r->r15 },
	};

	for (unsigned int i = 0; i < sizeof(regs) / sizeof(regs[0]); i++)
		fprintf(stderr, "%s %016llx%s", regs[i].name, (unsigned long long)regs[i].value, i % 4 == 3 ? "\n" : "  ");
	fputc('\n', stderr);
}

static void print_sregs(const struct kvm_sregs *s)
{
	print_segment("cs", &s->cs);
	print_segment("ss", &s->ss);
	print_segment("ds", &s->ds);
	print_segment("es", &s->es);
	print_segment("fs", &s->fs);
	print_segment("gs", &s->gs);
	print_segment("tr", &s->tr);
	print_segment("ldt", &s->ldt);
	fprintf(stderr, "gdt     base %016llx limit %04x\nidt     base %016llx limit %04x\n", (unsigned long long)s->gdt.base,
		s->gdt.limit, (unsigned long long)s->idt.base, s->idt.limit);
	fprintf(stderr, "cr0 %016llx  cr2 %016llx  cr3 %016llx  cr4 %016llx\n", (unsigned long long)s->cr0,
		(unsigned long long)s->cr2, (unsigned long long)s->cr3, (unsigned long long)s->cr4);
	fprintf(stderr, "cr8 %016llx  efer %016llx  apic base %016llx\n", (unsigned long long)s->cr8,
		(unsigned long long)s->efer, (unsigned long long)s->apic_base);
}

void vm_print_crash(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->nr_vcpus; i++) {
		struct kvm_sregs sregs;
		struct kvm_regs regs;

		if (vm->calls->ioctl(vm->vcpu[i].fd, KVM_GET_REGS, &regs) || vm->calls->ioctl(vm->vcpu[i].fd, KVM_GET_SREGS, &sregs)) {
			fprintf(stderr, "vCPU %u: its registers cannot be read\n", i);
			continue;
		}
		fprintf(stderr, "vCPU %u:\n", i);
		print_regs(&regs);
		print_sregs(&sregs);
	}
	if (vm->config->last_events) {
		fputs("last events:\n", stderr);
		observe_ring_print(vm->config->last_events, stderr);
	}
}
