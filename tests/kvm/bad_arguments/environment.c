// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "bad.h"

static void map(uint64_t at, size_t size, int prot)
{
	void *where = mmap((void *)at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	assert_ptr_equal(where, (void *)at);
}

void environment_begin(void)
{
	map(MEMORY, MEMORY_SIZE, PROT_READ | PROT_WRITE);
	map(READ_ONLY, 4096, PROT_READ);
	assert_int_equal(dup2(eventfd(0, 0), EVENT_FD), EVENT_FD);
	assert_int_equal(dup2(eventfd(0, 0), USED_EVENT), USED_EVENT);
	assert_int_equal(dup2(open("/dev/null", O_RDWR), PLAIN_FILE), PLAIN_FILE);
}

void environment_end(void)
{
	munmap((void *)MEMORY, MEMORY_SIZE);
	munmap((void *)READ_ONLY, 4096);
	close(EVENT_FD);
	close(USED_EVENT);
	close(PLAIN_FILE);
}

static int call(int fd, unsigned long request, void *argument)
{
	int result = softcvm_ioctl(fd, request, argument);

	if (result < 0)
		fail_msg("request %#lx: %d", request, result);
	return result;
}

static void enable(int vm, uint32_t cap, uint64_t argument)
{
	struct kvm_enable_cap args = {.cap = cap, .args = {argument}};

	call(vm, KVM_ENABLE_CAP, &args);
}

static void set_slot(int vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t pages, uint64_t offset, int fd)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = pages * 4096,
		.userspace_addr = MEMORY + offset,
		.guest_memfd = (uint32_t)fd,
	};

	call(vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

static void create_gmem(int vm, int at)
{
	struct kvm_create_guest_memfd args = {.size = 16 * 4096};
	int fd = call(vm, KVM_CREATE_GUEST_MEMFD, &args);

	assert_int_equal(dup2(fd, at), at);
	assert_int_equal(softcvm_dup(fd, at), 0);
	softcvm_close(fd);
}

static void create_slots(const struct machine *m, unsigned long type)
{
	create_gmem(m->fd[VM], GMEM_FD);
	create_gmem(m->other_vm, OTHER_FD);
	set_slot(m->fd[VM], 1, 0, SLOT_1, 16, 0, -1);
	set_slot(m->fd[VM], 2, KVM_MEM_LOG_DIRTY_PAGES, SLOT_2, LOG_PAGES, 0x10000, -1);
	if (type == KVM_X86_SW_PROTECTED_VM)
		set_slot(m->fd[VM], 3, KVM_MEM_GUEST_MEMFD, SLOT_3, 4, 0x80000, GMEM_FD);
}

static void create_controllers(int vm)
{
	struct kvm_irqfd irqfd = {.fd = USED_EVENT, .gsi = 5};
	struct kvm_ioeventfd ioeventfd = {.addr = 0x500, .len = 2, .fd = USED_EVENT, .flags = KVM_IOEVENTFD_FLAG_PIO};
	struct kvm_pit_config pit = {0};

	call(vm, KVM_CREATE_IRQCHIP, NULL);
	call(vm, KVM_CREATE_PIT2, &pit);
	call(vm, KVM_IRQFD, &irqfd);
	call(vm, KVM_IOEVENTFD, &ioeventfd);
}

void machine_create(struct machine *m, enum machine_kind kind, unsigned long type, enum softcvm_kvm_compat compat)
{
	const struct softcvm_config config = {.platform = SOFTCVM_PLATFORM_AMD, .phys_bits = 40, .kvm_compat = compat};

	m->fd[SYSTEM] = softcvm_open(&config);
	assert_true(m->fd[SYSTEM] >= 0);
	m->fd[VM] = call(m->fd[SYSTEM], KVM_CREATE_VM, (void *)type);
	m->other_vm = call(m->fd[SYSTEM], KVM_CREATE_VM, (void *)type);
	if (kind == IRQCHIP)
		create_controllers(m->fd[VM]);
	if (kind == SPLIT)
		enable(m->fd[VM], KVM_CAP_SPLIT_IRQCHIP, 24);
	if (kind == RING)
		enable(m->fd[VM], KVM_CAP_DIRTY_LOG_RING, 4096);
	m->fd[VCPU] = kind == EMPTY ? -1 : call(m->fd[VM], KVM_CREATE_VCPU, NULL);
	create_slots(m, type);
}

void machine_destroy(struct machine *m)
{
	softcvm_close(GMEM_FD);
	softcvm_close(OTHER_FD);
	if (m->fd[VCPU] >= 0)
		softcvm_close(m->fd[VCPU]);
	softcvm_close(m->fd[VM]);
	softcvm_close(m->other_vm);
	softcvm_close(m->fd[SYSTEM]);
}
