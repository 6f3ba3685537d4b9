// SPDX-License-Identifier: Apache-2.0
/* The VM of a round, and its guest, which does what it reads from a port. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm/kvm.h"
#include "random.h"

#define CODE_AT		0x1000u
#define CODE_SIZE	0x4000u
#define PORT		0x10
#define KVM_EXIT_IO_OUT 1

/*
 * A command is an address, its bit 0 set for a store, whose value comes next; the answer goes out. Flat 32-bit code,
 * EDX is the port.
 */
static const unsigned char code[] = {
	0xed,		  /* top: in eax, dx */
	0x89, 0xc3,	  /* mov ebx, eax */
	0x83, 0xe3, 0xfc, /* and ebx, ~3 */
	0xa8, 0x01,	  /* test al, 1 */
	0x75, 0x05,	  /* jnz store */
	0x8b, 0x03,	  /* mov eax, [ebx] */
	0xef,		  /* out dx, eax */
	0xeb, 0xf1,	  /* jmp top */
	0xed,		  /* store: in eax, dx */
	0x89, 0x03,	  /* mov [ebx], eax */
	0xef,		  /* out dx, eax */
	0xeb, 0xeb,	  /* jmp top */
};

static int ioctl_of(int fd, unsigned long request, void *arg)
{
	return softcvm_ioctl(fd, request, arg);
}

/* ---------------------------------------------------------------- the VM */

static void *map_aligned(size_t size)
{
	const size_t align = HUGE_PAGE * PAGE;
	unsigned char *at =
		mmap(NULL, size + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned char *aligned;

	if (at == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	aligned = (unsigned char *)(((uintptr_t)at + align - 1) & ~(align - 1));
	if (aligned > at)
		munmap(at, aligned - at);
	munmap(aligned + size, at + align - aligned);
	return aligned;
}

static void create_vcpu(struct machine *m, unsigned int n)
{
	struct vcpu *v = &m->vcpu[n];

	v->fd = ioctl_of(m->vm, KVM_CREATE_VCPU, (void *)(uintptr_t)n);
	if (v->fd < 0)
		fail("KVM_CREATE_VCPU: %d", v->fd);
	v->run = softcvm_mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	v->started = false;
}

void machine_create(struct machine *m, const struct decision_column *column, enum softcvm_platform platform)
{
	struct softcvm_config config = column->config;

	config.platform = platform;
	*m = (struct machine){.column = column};
	m->hardware_claim = kvm_vendor_find(&config, column->type)->hardware_claim;
	m->has_private = kvm_vendor_find(&config, column->type)->has_private_mem;
	m->pages = m->hardware_claim ? FEW_PAGES : PAGES;
	m->system = softcvm_open(&config);
	m->vm = ioctl_of(m->system, KVM_CREATE_VM, (void *)column->type);
	if (m->vm < 0)
		fail("KVM_CREATE_VM: %d", m->vm);
	m->code = map_aligned(CODE_SIZE);
	m->client = map_aligned(m->pages * PAGE);
	memcpy(m->code + CODE_AT, code, sizeof(code));
	struct kvm_userspace_memory_region region = {CODE_SLOT, 0, 0, CODE_SIZE, (uintptr_t)m->code};

	if (ioctl_of(m->vm, KVM_SET_USER_MEMORY_REGION, &region))
		fail("no slot for the code");
	for (unsigned int n = 0; n < VCPUS; n++)
		create_vcpu(m, n);
}

void machine_destroy(struct machine *m)
{
	for (unsigned int n = 0; n < VCPUS; n++) {
		softcvm_munmap(m->vcpu[n].run, 3 * PAGE);
		softcvm_close(m->vcpu[n].fd);
	}
	softcvm_close(m->vm);
	softcvm_close(m->system);
	munmap(m->code, CODE_SIZE);
	munmap(m->client, m->pages * PAGE);
}

int machine_memfd(struct machine *m, unsigned int pages, bool can_be_mapped)
{
	struct kvm_create_guest_memfd args = {.size = pages * PAGE, .flags = can_be_mapped ? GUEST_MEMFD_FLAG_MMAP : 0};

	return ioctl_of(m->vm, KVM_CREATE_GUEST_MEMFD, &args);
}

int machine_set_slot(struct machine *m, unsigned int slot, uint32_t flags, unsigned int first, unsigned int pages,
		     unsigned int client_page, int fd, unsigned int file_page)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = WINDOW + first * PAGE,
		.memory_size = pages * PAGE,
		.userspace_addr = (uintptr_t)m->client + client_page * PAGE,
		.guest_memfd = fd,
		.guest_memfd_offset = file_page * PAGE,
	};

	return ioctl_of(m->vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

int machine_set_attributes(struct machine *m, unsigned int first, unsigned int pages, bool is_private)
{
	struct kvm_memory_attributes change = {
		.address = WINDOW + first * PAGE,
		.size = pages * PAGE,
		.attributes = is_private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	return ioctl_of(m->vm, KVM_SET_MEMORY_ATTRIBUTES, &change);
}

int machine_punch(int fd, unsigned int first, unsigned int pages)
{
	return softcvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, first * PAGE, pages * PAGE);
}

int machine_allocate(int fd, unsigned int first, unsigned int pages)
{
	return softcvm_fallocate(fd, FALLOC_FL_KEEP_SIZE, first * PAGE, pages * PAGE);
}

int machine_prefault(struct vcpu *v, unsigned int *first, unsigned int *pages)
{
	struct kvm_pre_fault_memory range = {.gpa = WINDOW + *first * PAGE, .size = *pages * PAGE};
	int result = ioctl_of(v->fd, KVM_PRE_FAULT_MEMORY, &range);

	*first = (range.gpa - WINDOW) / PAGE;
	*pages = range.size / PAGE;
	return result;
}

int machine_dirty_log(struct machine *m, unsigned int slot, uint64_t *bits)
{
	struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bits};

	return ioctl_of(m->vm, KVM_GET_DIRTY_LOG, &log);
}

void machine_check(struct machine *m)
{
	char message[200];

	if (softcvm_check(m->vm, message, sizeof(message)))
		fail("an invariant does not hold: %s", message);
}

uint32_t *client_word(const struct machine *m, unsigned int page)
{
	return (uint32_t *)(m->client + page * PAGE);
}

/* ---------------------------------------------------------------- the guest */

static struct kvm_segment flat(unsigned int type)
{
	return (struct kvm_segment){
		.limit = ~0u,
		.selector = 8,
		.type = (uint8_t)type,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
}

static void set_registers(struct vcpu *v)
{
	struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2, .rdx = PORT};

	if (ioctl_of(v->fd, KVM_SET_REGS, &regs))
		fail("KVM_SET_REGS");
}

static void start(struct vcpu *v)
{
	struct kvm_sregs sregs;

	if (ioctl_of(v->fd, KVM_GET_SREGS, &sregs))
		fail("KVM_GET_SREGS");
	sregs.cr0 |= 1;
	sregs.cs = flat(11);
	sregs.ds = sregs.es = sregs.ss = flat(3);
	if (ioctl_of(v->fd, KVM_SET_SREGS, &sregs))
		fail("KVM_SET_SREGS");
	set_registers(v);
	v->started = true;
}

static enum answer answer_of_error(const struct vcpu *v, int error, uint64_t page)
{
	const struct kvm_run *run = v->run;

	if (error != -EFAULT)
		fail("KVM_RUN: %d, exit reason %u", error, run->exit_reason);
	if (run->exit_reason == KVM_EXIT_UNKNOWN)
		return NO_MEMORY;
	if (run->exit_reason != KVM_EXIT_MEMORY_FAULT || run->memory_fault.gpa != page ||
	    run->memory_fault.size != PAGE)
		fail("memory fault: exit reason %u, gpa %#llx, size %#llx", run->exit_reason,
		     (unsigned long long)run->memory_fault.gpa, (unsigned long long)run->memory_fault.size);
	return run->memory_fault.flags ? FAULT_PRIVATE : FAULT_SHARED;
}

struct command {
	uint64_t page; /* address without the claim */
	uint32_t word[2];
	unsigned int taken;
	bool mmio;
	uint32_t out;
};

/* true: the command is done. */
static bool handle_io(struct vcpu *v, struct command *c)
{
	struct kvm_run *run = v->run;
	uint32_t *data = (uint32_t *)((unsigned char *)run + run->io.data_offset);

	if (run->io.direction == KVM_EXIT_IO_OUT) {
		c->out = *data;
		return true;
	}
	*data = c->word[c->taken++ & 1];
	return false;
}

static void handle_mmio(struct vcpu *v, struct command *c)
{
	struct kvm_run *run = v->run;
	const uint32_t value = MMIO_VALUE;

	if (run->mmio.phys_addr != c->page || run->mmio.len != 4 || run->mmio.is_write != (c->word[0] & 1))
		fail("MMIO at %#llx", (unsigned long long)run->mmio.phys_addr);
	c->mmio = true;
	if (run->mmio.is_write && memcmp(run->mmio.data, &c->word[1], 4))
		fail("MMIO writes another value");
	if (!run->mmio.is_write)
		memcpy(run->mmio.data, &value, 4);
}

static enum answer command(struct vcpu *v, struct command *c)
{
	if (!v->started)
		start(v);
	for (;;) {
		int error = ioctl_of(v->fd, KVM_RUN, NULL);

		if (error) {
			/* The instruction would be executed again: the command is given up. */
			set_registers(v);
			return answer_of_error(v, error, c->page);
		}
		if (v->run->exit_reason == KVM_EXIT_MMIO)
			handle_mmio(v, c);
		else if (v->run->exit_reason != KVM_EXIT_IO)
			fail("exit reason %u", v->run->exit_reason);
		else if (handle_io(v, c))
			return c->mmio ? MMIO : DONE;
	}
}

static uint32_t address(const struct machine *m, unsigned int page, bool claim)
{
	return (uint32_t)(WINDOW + page * PAGE + (m->hardware_claim && claim ? SOFTCVM_TEST_CLAIM_GPA_BIT : 0));
}

enum answer guest_load(struct machine *m, struct vcpu *v, unsigned int page, bool claim, uint32_t *value)
{
	struct command c = {.page = WINDOW + page * PAGE, .word = {address(m, page, claim)}};
	enum answer answer = command(v, &c);

	*value = c.out;
	return answer;
}

enum answer guest_store(struct machine *m, struct vcpu *v, unsigned int page, bool claim, uint32_t value)
{
	struct command c = {.page = WINDOW + page * PAGE, .word = {address(m, page, claim) | 1, value}};

	return command(v, &c);
}
