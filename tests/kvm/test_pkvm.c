// SPDX-License-Identifier: Apache-2.0
/* The pKVM model: what a guest owns is gone from the client, until it is shared in place or the VM ends. */
#include "pkvm_guest.h"

#include <pthread.h>
#include <sched.h>

static const struct softcvm_config intel = { .platform = SOFTCVM_PLATFORM_INTEL, .pkvm = true };
static const struct softcvm_config amd = { .platform = SOFTCVM_PLATFORM_AMD, .pkvm = true };

/* ---------------------------------------------------------------- the type */

static void test_type(void **state)
{
	const struct softcvm_config without = { .platform = SOFTCVM_PLATFORM_AMD };
	int system = softcvm_open(&without), vm;

	assert_int_equal(softcvm_ioctl(system, KVM_CREATE_VM, (void *)(unsigned long)SOFTCVM_PKVM_VM), -EINVAL);
	softcvm_close(system);
	system = softcvm_open(&amd);
	assert_int_equal(softcvm_ioctl(system, KVM_CREATE_VM, (void *)(SOFTCVM_PKVM_VM | 1ul)), -EINVAL);
	assert_int_equal(softcvm_ioctl(system, KVM_CHECK_EXTENSION, (void *)KVM_CAP_VM_TYPES), 3);
	vm = softcvm_ioctl(system, KVM_CREATE_VM, (void *)(unsigned long)SOFTCVM_PKVM_VM);
	assert_true(vm >= 0);
	softcvm_close(vm);
	softcvm_close(system);
}

static void test_capabilities(void **state)
{
	static const unsigned long hidden[] = { KVM_CAP_MEMORY_ATTRIBUTES, KVM_CAP_GUEST_MEMFD, KVM_CAP_GUEST_MEMFD_FLAGS,
						KVM_CAP_MEMORY_FAULT_INFO, KVM_CAP_PRE_FAULT_MEMORY, KVM_CAP_READONLY_MEM };
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXIT_HYPERCALL, .args = { 1 << KVM_HC_MAP_GPA_RANGE } };
	struct kvm_pre_fault_memory range = { .gpa = 0, .size = PAGE };
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, &amd);
	for (unsigned int i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		assert_int_equal(softcvm_ioctl(p.g.vm, KVM_CHECK_EXTENSION, (void *)hidden[i]), 0);
		assert_int_not_equal(softcvm_ioctl(p.g.system, KVM_CHECK_EXTENSION, (void *)hidden[i]), 0);
	}
	assert_int_equal(softcvm_ioctl(p.g.vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_MULTI_ADDRESS_SPACE), 1);
	assert_int_equal(softcvm_ioctl(p.g.vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_IRQCHIP), 1);
	assert_int_equal(softcvm_ioctl(p.g.vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	assert_int_equal(memfd(&p.g, PAGE, 0), -EINVAL);
	assert_int_equal(set_attributes(&p.g, 0, PAGE, P), -EINVAL);
	assert_int_equal(set_attributes(&p.g, 0, PAGE, S), -EINVAL);
	assert_int_equal(softcvm_ioctl(p.g.vcpu, KVM_PRE_FAULT_MEMORY, &range), -EINVAL);
	pkvm_destroy(&p);
}

/* ---------------------------------------------------------------- donation */

static void test_donation(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, *state);
	memset(p.memory, 0x11, SIZE);
	/* A read is a touch, and finds what the client had written. */
	assert_int_equal(pkvm_load(&p, AT(3)), 0x11);
	expect_gone(p.memory + 3 * PAGE);
	expect_gone(p.memory + 4 * PAGE - 1);
	/* So is a write; everything else is the client's as before. */
	pkvm_store(&p, AT(5) + 7, 0x55);
	expect_gone(p.memory + 5 * PAGE);
	for (unsigned int i = 0; i < PAGES; i++) {
		if (i == 3 || i == 5)
			continue;
		assert_int_equal(client_load(p.memory + i * PAGE), 0x11);
		assert_int_equal(client_store(p.memory + i * PAGE, 0x22), 0);
	}
	assert_int_equal(pkvm_load(&p, AT(5) + 7), 0x55);
	assert_int_equal(pkvm_load(&p, AT(5) + 8), 0x11);
	assert_int_equal(pkvm_load(&p, AT(4)), 0x22);
	/* So is execution. */
	expect_gone(p.g.ram + CODE_AT);
	expect_invariants(&p);
	pkvm_destroy(&p);
}

/* An argument in the guest's memory is a wrong pointer. */
static void test_ioctl_argument(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, &amd);
	pkvm_store(&p, AT(0), 1);
	assert_int_equal(softcvm_ioctl(p.g.vcpu, KVM_GET_REGS, p.memory), -EFAULT);
	assert_int_equal(softcvm_ioctl(p.g.vcpu, KVM_SET_REGS, p.memory), -EFAULT);
	pkvm_destroy(&p);
}

static void test_memory_that_cannot_be_donated(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, &amd);
	assert_int_equal(mprotect(p.memory + 2 * PAGE, PAGE, PROT_READ), 0);
	assert_int_equal(munmap(p.memory + 4 * PAGE, PAGE), 0);
	assert_int_equal(pkvm_try_store(&p, AT(2), 1), -EFAULT);
	assert_int_not_equal(p.g.run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(pkvm_try_store(&p, AT(4), 1), -EFAULT);
	assert_int_equal(client_load(p.memory + 2 * PAGE), 0);
	/* It is asked again, and the page is there now. */
	assert_int_equal(mprotect(p.memory + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	pkvm_store(&p, AT(2), 1);
	expect_gone(p.memory + 2 * PAGE);
	pkvm_destroy(&p);
}

static void test_mmio(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, *state);
	pkvm_prepare(p.g.vcpu, DO_STORE, 0x80000, 0x77, 0, 0);
	expect_mmio(&p.g, 0x80000, 1, 1);
	assert_int_equal(p.g.run->mmio.data[0], 0x77);
	pkvm_destroy(&p);
}

/* ---------------------------------------------------------------- share, unshare */

static void test_share_in_place(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, *state);
	pkvm_store(&p, AT(1), 0x11);
	pkvm_store(&p, AT(2), 0x22);
	assert_int_equal(pkvm_share(&p, AT(1), PAGE), 0);
	assert_int_equal(client_load(p.memory + PAGE), 0x11);
	expect_gone(p.memory + 2 * PAGE);
	/* Both ways, without an exit in between. */
	assert_int_equal(client_store(p.memory + PAGE, 0x33), 0);
	assert_int_equal(client_system_call(p.memory + PAGE), 0);
	assert_int_equal(pkvm_load(&p, AT(1)), 0x33);
	pkvm_store(&p, AT(1), 0x44);
	assert_int_equal(client_load(p.memory + PAGE), 0x44);
	assert_int_equal(pkvm_unshare(&p, AT(1), PAGE), 0);
	expect_gone(p.memory + PAGE);
	assert_int_equal(pkvm_load(&p, AT(1)), 0x44);
	expect_invariants(&p);
	pkvm_destroy(&p);
}

/* state x operation, as the guest sees it. */
static void test_refusals(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, &amd);
	/* NOPAGE */
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), -ENOENT);
	assert_int_equal(pkvm_unshare(&p, AT(0), PAGE), -ENOENT);
	assert_int_equal(client_store(p.memory, 1), 0);
	/* OWNED */
	assert_int_equal(pkvm_load(&p, AT(0)), 1);
	assert_int_equal(pkvm_unshare(&p, AT(0), PAGE), -EPERM);
	expect_gone(p.memory);
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), 0);
	/* SHARED_OWNED */
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), -EPERM);
	assert_int_equal(client_load(p.memory), 1);
	pkvm_destroy(&p);
}

static void test_arguments(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, &amd);
	pkvm_store(&p, AT(0), 1);
	for (unsigned int nr = SOFTCVM_PKVM_HC_SHARE; nr <= SOFTCVM_PKVM_HC_UNSHARE; nr++) {
		assert_int_equal(pkvm_hypercall(&p, nr, AT(0) + 1, PAGE), -EINVAL);
		assert_int_equal(pkvm_hypercall(&p, nr, AT(0), PAGE - 1), -EINVAL);
		assert_int_equal(pkvm_hypercall(&p, nr, AT(0), 0), -EINVAL);
		assert_int_equal(pkvm_hypercall(&p, nr, 0x80000, PAGE), -EINVAL);
		assert_int_equal(pkvm_hypercall(&p, nr, 0xfffff000, 0xfffff000), -EINVAL);
	}
	assert_int_equal(pkvm_hypercall(&p, 20, AT(0), PAGE), -1000);
	assert_int_equal(pkvm_hypercall(&p, 23, AT(0), PAGE), -1000);
	/* It is no exit on this type. */
	assert_int_equal(pkvm_hypercall(&p, KVM_HC_MAP_GPA_RANGE, AT(0), 1), -1000);
	expect_gone(p.memory);
	pkvm_destroy(&p);
}

/* Other types have no such hypercall. */
static void test_other_type(void **state)
{
	static const unsigned char code[] = { 0x0f, 0x01, 0xd9, 0xf4 };
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_AMD, code, sizeof(code));
	for (unsigned int nr = SOFTCVM_PKVM_HC_SHARE; nr <= SOFTCVM_PKVM_HC_UNSHARE; nr++) {
		pkvm_prepare(g.vcpu, CODE_AT, 0, nr, 0, PAGE);
		assert_int_equal(run(&g), 0);
		assert_int_equal((int)regs_of(&g).rax, -1000);
	}
	destroy(&g);
}

/* A range is converted as a whole or not at all, and may span slots. */
static void test_ranges(void **state)
{
	unsigned char *more = client_memory(2 * PAGE);
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, &amd);
	assert_int_equal(set_region(&p.g, 2, 0, WINDOW + SIZE, 2 * PAGE, more), 0);
	for (unsigned int i = 0; i < PAGES + 1; i++)
		pkvm_store(&p, AT(i), (unsigned char)i);
	/* The last page was not touched. */
	assert_int_equal(pkvm_share(&p, AT(0), SIZE + 2 * PAGE), -ENOENT);
	for (unsigned int i = 0; i < PAGES; i++)
		expect_gone(p.memory + i * PAGE);
	expect_gone(more);
	assert_int_equal(pkvm_share(&p, AT(4), PAGE), 0);
	assert_int_equal(pkvm_share(&p, AT(0), SIZE), -EPERM);
	expect_gone(p.memory);
	assert_int_equal(pkvm_unshare(&p, AT(4), PAGE), 0);
	assert_int_equal(pkvm_share(&p, AT(0), SIZE + PAGE), 0);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(client_load(p.memory + i * PAGE), i);
	assert_int_equal(client_load(more), PAGES);
	assert_int_equal(pkvm_unshare(&p, AT(1), SIZE), 0);
	assert_int_equal(client_load(p.memory), 0);
	expect_gone(p.memory + PAGE);
	expect_gone(more);
	expect_invariants(&p);
	pkvm_destroy(&p);
	munmap(more, 2 * PAGE);
}

static void *run_thread(void *opaque)
{
	struct pkvm_guest *p = opaque;

	return (void *)(long)run(&p->g);
}

/* A device of the VMM's writes to code in a shared page while it runs: it is the changed code that runs on. */
static void test_written_code(void **state)
{
	/* inc word [0x800]; jmp back */
	static const unsigned char counting[] = { 0xff, 0x06, 0x00, 0x08, 0xeb, 0xfa };
	static const unsigned char halt[] = { 0xf4, 0x90 };
	struct pkvm_guest p = { 0 };
	struct kvm_sregs sregs;
	pthread_t thread;
	void *result;

	pkvm_create_window(&p, &amd);
	memcpy(p.memory, counting, sizeof(counting));
	pkvm_load(&p, AT(0));
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), 0);
	pkvm_prepare(p.g.vcpu, 0, AT(0), 0, 0, 0);
	assert_int_equal(softcvm_ioctl(p.g.vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = AT(0);
	sregs.cs.selector = AT(0) >> 4;
	assert_int_equal(softcvm_ioctl(p.g.vcpu, KVM_SET_SREGS, &sregs), 0);
	pthread_create(&thread, NULL, run_thread, &p);
	while (!__atomic_load_n(&p.memory[0x800], __ATOMIC_RELAXED))
		sched_yield();
	memcpy(p.memory + 4, halt, sizeof(halt));
	softcvm_memory_written(p.g.vm, p.memory + 4, sizeof(halt));
	pthread_join(thread, &result);
	assert_int_equal((long)result, 0);
	assert_int_equal(p.g.run->exit_reason, KVM_EXIT_HLT);
	pkvm_destroy(&p);
}

/* ---------------------------------------------------------------- slots */

static void test_slots(void **state)
{
	unsigned char *more = client_memory(PAGE);
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, &amd);
	assert_int_equal(set_region(&p.g, 2, KVM_MEM_READONLY, 0x40000, PAGE, more), -EPERM);
	assert_int_equal(set_region(&p.g, 2, KVM_MEM_LOG_DIRTY_PAGES, 0x40000, PAGE, more), -EPERM);
	assert_int_equal(set_region(&p.g, 1, KVM_MEM_LOG_DIRTY_PAGES, WINDOW, SIZE, p.memory), -EPERM);
	assert_int_equal(set_region2(&p.g, 2, KVM_MEM_GUEST_MEMFD, 0x40000, PAGE, more, -1, 0), -EINVAL);
	/* Before the first run slots come and go. */
	assert_int_equal(set_region(&p.g, 2, 0, 0x40000, PAGE, more), 0);
	assert_int_equal(set_region(&p.g, 2, 0, 0x41000, PAGE, more), 0);
	assert_int_equal(set_region(&p.g, 2, 0, 0, 0, NULL), 0);
	assert_int_equal(set_region(&p.g, 2, 0, 0x40000, PAGE, more), 0);
	pkvm_store(&p, AT(0), 1);
	assert_int_equal(set_region(&p.g, 2, 0, 0, 0, NULL), -EPERM);
	assert_int_equal(set_region(&p.g, 2, 0, 0x41000, PAGE, more), -EPERM);
	assert_int_equal(set_region(&p.g, 3, 0, 0, 0, NULL), -EINVAL);
	assert_int_equal(set_region(&p.g, 2, 0, 0x40000, PAGE, more), 0);
	pkvm_store(&p, 0x40000, 2);
	expect_gone(more);
	pkvm_destroy(&p);
	munmap(more, PAGE);
}

/* ---------------------------------------------------------------- kinds of client memory, and what the client does to it */

static void test_shared_file(void **state)
{
	int fd = memfd_create("client", 0);
	struct pkvm_guest p = { 0 };
	unsigned char *again;

	assert_int_equal(ftruncate(fd, SIZE), 0);
	pkvm_create(&p, &amd);
	p.memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	again = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memset(p.memory, 0x11, SIZE);
	assert_int_equal(set_region(&p.g, 1, 0, WINDOW, SIZE, p.memory), 0);
	assert_int_equal(pkvm_load(&p, AT(0)), 0x11);
	pkvm_store(&p, AT(0), 0x22);
	expect_gone(p.memory);
	/* Neither another mapping nor the descriptor shows what the guest has written. */
	assert_int_equal(client_load(again), 0x11);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pkvm_load(&p, AT(0)), 0x22);
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), 0);
	assert_int_equal(client_load(p.memory), 0x22);
	pkvm_destroy(&p);
	munmap(again, SIZE);
	close(fd);
}

/* The guest keeps its pages; what the client puts in their place is the client's. */
static void test_client_unmaps(void **state)
{
	struct pkvm_guest p = { 0 };
	unsigned char *place;

	pkvm_create_window(&p, &amd);
	for (unsigned int i = 0; i < 4; i++)
		pkvm_store(&p, AT(i), (unsigned char)(i + 1));
	assert_int_equal(pkvm_share(&p, AT(1), PAGE), 0);
	assert_int_equal(munmap(p.memory, 4 * PAGE), 0);
	place = mmap(p.memory, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(place, p.memory);
	memset(place, 0x77, 2 * PAGE);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pkvm_load(&p, AT(i)), i + 1);
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), 0);
	assert_int_equal(pkvm_unshare(&p, AT(1), PAGE), 0);
	assert_int_equal(pkvm_share(&p, AT(2), 2 * PAGE), 0);
	assert_int_equal(client_load(place), 0x77);
	assert_int_equal(client_load(place + PAGE), 0x77);
	assert_int_equal(client_load(p.memory + 2 * PAGE), -1);
	assert_int_equal(client_fault_info.si_code, SEGV_MAPERR);
	expect_invariants(&p);
	destroy(&p.g);
	assert_int_equal(client_store(place, 0x78), 0);
	assert_int_equal(client_load(place + PAGE), 0x77);
	munmap(p.memory, SIZE);
}

/* Moved by the client, a page is as far out of reach as before, and comes back with the VM's end. */
static void test_client_moves(void **state)
{
	struct pkvm_guest p = { 0 };
	unsigned char *moved;

	pkvm_create_window(&p, &amd);
	pkvm_store(&p, AT(0), 1);
	moved = mremap(p.memory, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, client_memory(PAGE));
	assert_ptr_not_equal(moved, MAP_FAILED);
	expect_gone(moved);
	expect_invariants(&p);
	pkvm_destroy(&p);
	assert_int_equal(client_load(moved), 0);
	munmap(moved, PAGE);
}

/* One page has one owner in the process. */
static void test_two_vms(void **state)
{
	struct pkvm_guest p = { 0 }, q = { 0 };

	pkvm_create_window(&p, &amd);
	pkvm_create(&q, &amd);
	assert_int_equal(set_region(&q.g, 1, 0, WINDOW, SIZE, p.memory), 0);
	pkvm_store(&p, AT(0), 1);
	pkvm_store(&q, AT(1), 2);
	assert_int_equal(pkvm_try_store(&q, AT(0), 3), -EPERM);
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), 0);
	assert_int_equal(pkvm_try_store(&q, AT(0), 3), -EPERM);
	assert_int_equal(pkvm_try_store(&p, AT(1), 3), -EPERM);
	/* What is given back may be given away again. */
	destroy(&q.g);
	pkvm_store(&p, AT(1), 4);
	assert_int_equal(pkvm_load(&p, AT(0)), 1);
	pkvm_destroy(&p);
}

/* ---------------------------------------------------------------- the end */

static void test_teardown(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, *state);
	memset(p.memory, 0x11, SIZE);
	pkvm_store(&p, AT(0), 0x21);
	pkvm_store(&p, AT(1), 0x22);
	pkvm_store(&p, AT(2), 0x23);
	assert_int_equal(pkvm_share(&p, AT(1), PAGE), 0);
	destroy(&p.g);
	/* Private data is wiped, shared data is not. */
	for (unsigned int i = 0; i < PAGE; i++) {
		assert_int_equal(client_load(p.memory + i), 0);
		assert_int_equal(client_load(p.memory + 2 * PAGE + i), 0);
	}
	assert_int_equal(client_load(p.memory + PAGE), 0x22);
	assert_int_equal(client_load(p.memory + PAGE + 1), 0x11);
	assert_int_equal(client_load(p.memory + 3 * PAGE), 0x11);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(client_store(p.memory + i * PAGE, 1), 0);
	/* Good for another VM. */
	pkvm_create(&p, *state);
	assert_int_equal(set_region(&p.g, 1, 0, WINDOW, SIZE, p.memory), 0);
	assert_int_equal(pkvm_load(&p, AT(1)), 1);
	expect_gone(p.memory + PAGE);
	pkvm_destroy(&p);
}

/* ---------------------------------------------------------------- KVM's own accesses */

static void set_msr(struct pkvm_guest *p, uint32_t index, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };

	assert_int_equal(softcvm_ioctl(p->g.vcpu, KVM_SET_MSRS, &msrs), 1);
}

/* kvmclock is written by a mapping of the kernel's own: the page is taken from the guest, which may not use it any more. */
static void test_kvmclock_poisons(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, *state);
	pkvm_store(&p, AT(0), 0x11);
	pkvm_store(&p, AT(0) + 100, 0x12);
	set_msr(&p, 0x4b564d01, AT(0) | 1);
	pkvm_store(&p, AT(1), 1);
	/* Wiped, then written by KVM: a version. */
	assert_int_equal(client_load(p.memory + 100), 0);
	assert_int_not_equal(client_load(p.memory), 0);
	assert_int_equal(client_load(p.memory) & 1, 0);
	set_msr(&p, 0x4b564d01, 0);
	assert_int_equal(pkvm_try_store(&p, AT(0), 1), -EFAULT);
	assert_int_not_equal(p.g.run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), -EHWPOISON);
	assert_int_equal(pkvm_unshare(&p, AT(0), PAGE), -EHWPOISON);
	assert_int_equal(client_store(p.memory, 0x33), 0);
	expect_invariants(&p);
	destroy(&p.g);
	assert_int_equal(client_load(p.memory), 0x33);
	munmap(p.memory, SIZE);
}

/* On a page that is shared, or not the guest's yet, it is a clock. */
static void test_kvmclock_shared(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, &amd);
	pkvm_store(&p, AT(0), 0xff);
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), 0);
	set_msr(&p, 0x4b564d01, AT(0) | 1);
	pkvm_store(&p, AT(1), 1);
	assert_int_equal(pkvm_load(&p, AT(0)) & 1, 0);
	assert_int_equal(pkvm_load(&p, AT(0)), client_load(p.memory));
	set_msr(&p, 0x4b564d01, AT(2) | 1);
	pkvm_store(&p, AT(1), 1);
	assert_int_not_equal(client_load(p.memory + 2 * PAGE), 0);
	pkvm_destroy(&p);
}

/* The wall clock is copied as to user memory: that fails, and the page stays as it is. */
static void test_wall_clock_fails(void **state)
{
	struct pkvm_guest p = { 0 };

	pkvm_create_window(&p, &amd);
	pkvm_store(&p, AT(0), 0);
	set_msr(&p, 0x4b564d00, AT(0));
	for (unsigned int i = 0; i < 12; i++)
		assert_int_equal(pkvm_load(&p, AT(0) + i), 0);
	expect_gone(p.memory);
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), 0);
	set_msr(&p, 0x4b564d00, AT(0));
	assert_int_equal(pkvm_load(&p, AT(0)), 2);
	pkvm_destroy(&p);
}

/* So is steal time. */
static void test_steal_time_fails(void **state)
{
	struct pkvm_guest p = { 0 };

	/* Where the host says how long threads wait. */
	if (access("/proc/thread-self/schedstat", R_OK))
		skip();
	pkvm_create_window(&p, &amd);
	pkvm_store(&p, AT(0), 0);
	set_msr(&p, 0x4b564d03, AT(0) | 1);
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(pkvm_load(&p, AT(0) + i), 0);
	expect_gone(p.memory);
	assert_int_equal(pkvm_share(&p, AT(0), PAGE), 0);
	set_msr(&p, 0x4b564d03, AT(0) | 1);
	pkvm_load(&p, AT(0));
	assert_int_not_equal(client_load(p.memory + offsetof(struct kvm_steal_time, version)), 0);
	pkvm_destroy(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_type),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test_prestate(test_donation, (void *)&intel),
		cmocka_unit_test_prestate(test_donation, (void *)&amd),
		cmocka_unit_test(test_ioctl_argument),
		cmocka_unit_test(test_memory_that_cannot_be_donated),
		cmocka_unit_test_prestate(test_mmio, (void *)&intel),
		cmocka_unit_test_prestate(test_mmio, (void *)&amd),
		cmocka_unit_test_prestate(test_share_in_place, (void *)&intel),
		cmocka_unit_test_prestate(test_share_in_place, (void *)&amd),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_other_type),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_written_code),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_shared_file),
		cmocka_unit_test(test_client_unmaps),
		cmocka_unit_test(test_client_moves),
		cmocka_unit_test(test_two_vms),
		cmocka_unit_test_prestate(test_teardown, (void *)&intel),
		cmocka_unit_test_prestate(test_teardown, (void *)&amd),
		cmocka_unit_test_prestate(test_kvmclock_poisons, (void *)&intel),
		cmocka_unit_test_prestate(test_kvmclock_poisons, (void *)&amd),
		cmocka_unit_test(test_kvmclock_shared),
		cmocka_unit_test(test_wall_clock_fails),
		cmocka_unit_test(test_steal_time_fails),
	};

	return cmocka_run_group_tests_name("kvm/pkvm", tests, NULL, NULL);
}
