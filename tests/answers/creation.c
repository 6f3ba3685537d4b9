// SPDX-License-Identifier: Apache-2.0
/* VM types, capabilities of each kind of descriptor, KVM_ENABLE_CAP. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "machine.h"

static const struct {
	unsigned long type;
	const char *name;
} types[] = {
	{0, " DEFAULT_VM"}, {1, " SW_PROTECTED_VM"}, {2, " SEV_VM"}, {3, " SEV_ES_VM"},
	{4, " SNP_VM"},	    {5, " TDX_VM"},	     {6, ""},	     {0x1f, ""},
	{0x100000000, ""},
};

static void ask_types(void)
{
	int kvm = MUST(open("/dev/kvm", O_RDWR | O_CLOEXEC));

	puts("## KVM_CREATE_VM");
	for (unsigned int i = 0; i < COUNT(types); i++) {
		struct answer a = answered(ioctl(kvm, KVM_CREATE_VM, types[i].type));

		answer_fd(a, "KVM_CREATE_VM  type=0x%lx%s", types[i].type, types[i].name);
		if (a.result >= 0)
			close(a.result);
	}
	close(kvm);
}

#define CAP(name)                                                                                                      \
	{                                                                                                              \
		KVM_CAP_##name, #name                                                                                  \
	}
static const struct {
	unsigned long number;
	const char *name;
} capabilities[] = {
	CAP(VM_TYPES),
	CAP(MEMORY_ATTRIBUTES),
	CAP(GUEST_MEMFD),
	CAP(PRE_FAULT_MEMORY),
	CAP(MEMORY_FAULT_INFO),
	CAP(EXIT_HYPERCALL),
	CAP(USER_MEMORY),
	CAP(USER_MEMORY2),
	CAP(SYNC_MMU),
	CAP(READONLY_MEM),
	CAP(MULTI_ADDRESS_SPACE),
	CAP(NR_VCPUS),
	CAP(MAX_VCPUS),
	CAP(MAX_VCPU_ID),
	CAP(DIRTY_LOG_RING),
	CAP(DIRTY_LOG_RING_ACQ_REL),
	CAP(DESTROY_MEMORY_REGION_WORKS),
	CAP(IMMEDIATE_EXIT),
	CAP(SYNC_REGS),
	CAP(X86_SMM),
	CAP(VM_COPY_ENC_CONTEXT_FROM),
	CAP(VM_MOVE_ENC_CONTEXT_FROM),
	CAP(X86_USER_SPACE_MSR),
	CAP(NESTED_STATE),
	CAP(TSC_CONTROL),
	CAP(X86_DISABLE_EXITS),
};

static void ask_capabilities(void)
{
	struct machine plain, protected;

	machine_create(&plain, KVM_X86_DEFAULT_VM);
	machine_create(&protected, KVM_X86_SW_PROTECTED_VM);
	puts("## KVM_CHECK_EXTENSION (columns: /dev/kvm fd, VM type 0 fd, VM type 1 fd)");
	for (unsigned int i = 0; i < COUNT(capabilities); i++) {
		const int fds[] = {plain.kvm, plain.vm, protected.vm};
		char text[64];
		int length = 0;

		for (unsigned int f = 0; f < COUNT(fds); f++)
			length += snprintf(text + length, sizeof(text) - length, "%s0x%x", f ? " " : "",
					   ioctl(fds[f], KVM_CHECK_EXTENSION, capabilities[i].number));
		answer_text(text, "KVM_CHECK_EXTENSION  KVM_CAP_%s(%lu)", capabilities[i].name, capabilities[i].number);
	}
	machine_destroy(&plain);
	machine_destroy(&protected);
}

struct enable {
	unsigned int cap, flags;
	unsigned long argument;
	const char *text;
};

static const struct enable plain_enables[] = {
	{KVM_CAP_EXIT_HYPERCALL, 0, 0x1000, "EXIT_HYPERCALL args[0]=0x1000"},
	{KVM_CAP_EXIT_HYPERCALL, 0, 0, "EXIT_HYPERCALL args[0]=0x0"},
	{KVM_CAP_EXIT_HYPERCALL, 0, 1, "EXIT_HYPERCALL args[0]=0x1"},
	{KVM_CAP_EXIT_HYPERCALL, 0, 0x2000, "EXIT_HYPERCALL args[0]=0x2000"},
	{KVM_CAP_EXIT_HYPERCALL, 1, 0x1000, "EXIT_HYPERCALL flags=1"},
	{KVM_CAP_MEMORY_ATTRIBUTES, 0, 0, "MEMORY_ATTRIBUTES"},
	{KVM_CAP_GUEST_MEMFD, 0, 0, "GUEST_MEMFD"},
	{KVM_CAP_PRE_FAULT_MEMORY, 0, 0, "PRE_FAULT_MEMORY"},
	{KVM_CAP_MEMORY_FAULT_INFO, 0, 0, "MEMORY_FAULT_INFO"},
};

static const struct enable protected_enables[] = {
	{KVM_CAP_EXIT_HYPERCALL, 0, 0x1000, "EXIT_HYPERCALL args[0]=0x1000"},
	{KVM_CAP_EXIT_HYPERCALL, 0, 1, "EXIT_HYPERCALL args[0]=0x1"},
	{KVM_CAP_EXIT_HYPERCALL, 0, 0x2000, "EXIT_HYPERCALL args[0]=0x2000"},
	{KVM_CAP_EXIT_HYPERCALL, 0, 0x1001, "EXIT_HYPERCALL args[0]=0x1001"},
	{KVM_CAP_MEMORY_ATTRIBUTES, 0, 0, "MEMORY_ATTRIBUTES"},
	{KVM_CAP_GUEST_MEMFD, 0, 0, "GUEST_MEMFD"},
};

static void ask_enables(int type, const struct enable *cases, size_t count)
{
	struct machine m;

	machine_create(&m, type);
	printf("## KVM_ENABLE_CAP(KVM_CAP_EXIT_HYPERCALL), VM type %d\n", type);
	for (size_t i = 0; i < count; i++) {
		struct kvm_enable_cap cap = {
			.cap = cases[i].cap,
			.flags = cases[i].flags,
			.args = {cases[i].argument},
		};

		answer_line(answered(ioctl(m.vm, KVM_ENABLE_CAP, &cap)), NULL, "KVM_ENABLE_CAP  vm=%d %s", type,
			    cases[i].text);
	}
	machine_destroy(&m);
}

void ask_creation(void)
{
	puts("## API");
	ask_types();
	ask_capabilities();
	ask_enables(KVM_X86_DEFAULT_VM, plain_enables, COUNT(plain_enables));
	ask_enables(KVM_X86_SW_PROTECTED_VM, protected_enables, COUNT(protected_enables));
}
