// SPDX-License-Identifier: Apache-2.0
/* KVM_CREATE_GUEST_MEMFD, and what a new file looks like from outside. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"

struct creation {
	uint64_t size, flags;
	const char *note;
};

static const struct creation plain[] = {
	{0x1000, 0, ""},
	{0x10000000000, 0, " [larger than RAM]"},
	{0x10000000000000, 0, ""},
	{0x4000000000000000, 0, ""},
	{0x7ffffffffffff000, 0, " [largest positive page multiple]"},
	{0x1, 0, ""},
	{0xfff, 0, ""},
	{0xfffffffffffff000, 0, " [negative loff_t]"},
	{0xffffffffffffffff, 0, ""},
	{0x1000, 0x1, ""},
	{0x1000, 0x2, ""},
	{0x1000, 0x80000000, ""},
	{0x1000, 0x8000000000000000, ""},
	{0x1000, 0xffffffffffffffff, ""},
	{0x0, 0x1, ""},
};

static const struct creation protected[] = {
	{0x1000, 0, ""},
	{0x200000, 0, ""},
	{0x10000000000, 0, " [larger than RAM]"},
	{0x4000000000000000, 0, ""},
	{0x7ffffffffffff000, 0, " [largest positive page multiple]"},
	{0x0, 0, ""},
	{0x1, 0, ""},
	{0xfff, 0, ""},
	{0x8000000000000000, 0, " [negative loff_t]"},
	{0xfffffffffffff000, 0, " [negative loff_t]"},
	{0xffffffffffffffff, 0, ""},
	{0x1000, 0x2, ""},
	{0x1000, 0x4, ""},
	{0x1000, 0x80000000, ""},
	{0x1000, 0x8000000000000000, ""},
	{0x1000, 0xffffffffffffffff, ""},
	{0x200000, 0x1, ""},
};

static struct answer create(int fd, void *args)
{
	struct answer a = answered(ioctl(fd, KVM_CREATE_GUEST_MEMFD, args));

	if (a.result >= 0)
		close(a.result);
	return a;
}

static void ask_cases(const struct machine *m, const struct creation *cases, size_t count)
{
	printf("## KVM_CREATE_GUEST_MEMFD, VM type %d\n", m->type);
	for (size_t i = 0; i < count; i++) {
		struct kvm_create_guest_memfd args = {.size = cases[i].size, .flags = cases[i].flags};

		answer_fd(create(m->vm, &args), "KVM_CREATE_GUEST_MEMFD  vm=%d size=0x%lx flags=0x%lx%s", m->type,
			  cases[i].size, cases[i].flags, cases[i].note);
	}
}

static void ask_reserved(const struct machine *m)
{
	struct kvm_create_guest_memfd args = {.size = PAGE};

	memset(args.reserved, 0xff, sizeof(args.reserved));
	answer_fd(create(m->vm, &args), "KVM_CREATE_GUEST_MEMFD  vm=1 size=0x1000 flags=0 reserved[]!=0");
}

static void ask_new_file(const struct machine *m)
{
	int fd = machine_gmem(m, 16 * PAGE), again;
	char path[64], name[256], text[64];
	ssize_t length;

	snprintf(text, sizeof(text), "0x%x", fcntl(fd, F_GETFD));
	answer_text(text, "fcntl(F_GETFD)  fresh guest_memfd");
	snprintf(text, sizeof(text), "%#o", fcntl(fd, F_GETFL));
	answer_text(text, "fcntl(F_GETFL)  fresh guest_memfd");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = MUST(readlink(path, name, sizeof(name) - 1));
	name[length] = '\0';
	answer_text(name, "readlink  /proc/self/fd/F");
	again = open(path, O_RDWR);
	answer_fd(answered(again), "open  /proc/self/fd/F O_RDWR");
	close(fd);
}

void ask_gmem_creation(void)
{
	struct kvm_create_guest_memfd args = {.size = PAGE};
	struct machine m;

	machine_create(&m, KVM_X86_DEFAULT_VM);
	ask_cases(&m, plain, COUNT(plain));
	answer_fd(create(m.vm, NULL), "KVM_CREATE_GUEST_MEMFD  vm=0 argp=NULL");
	answer_fd(create(m.vm, (void *)NOT_MAPPED), "KVM_CREATE_GUEST_MEMFD  vm=0 argp=unmapped");
	machine_destroy(&m);

	machine_create(&m, KVM_X86_SW_PROTECTED_VM);
	ask_cases(&m, protected, COUNT(protected));
	ask_reserved(&m);
	answer_fd(create(m.vm, NULL), "KVM_CREATE_GUEST_MEMFD  vm=1 argp=NULL");
	answer_fd(create(m.kvm, &args), "KVM_CREATE_GUEST_MEMFD  on /dev/kvm fd");
	ask_new_file(&m);
	machine_destroy(&m);
}
