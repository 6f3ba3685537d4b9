// SPDX-License-Identifier: Apache-2.0
/* KVM_CAP_DIRTY_LOG_RING: enabling it, the entries that writes leave, harvesting, the exit when the reserve is reached.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "guest.h"

#define RING_SIZE   4096u
#define ENTRIES	    (RING_SIZE / sizeof(struct kvm_dirty_gfn))
#define RESERVED    64u
#define DATA_SLOT   1
#define DATA_AT	    0x100000u
#define DATA_PAGES  1024u
#define RING_OFFSET (KVM_DIRTY_LOG_PAGE_OFFSET * 4096)

struct ring_guest {
	struct guest g;
	unsigned char *data;
	struct kvm_dirty_gfn *ring;
	uint32_t next; /* entry to be harvested */
};

static int enable(int vm, uint32_t cap, uint32_t flags, uint64_t size)
{
	struct kvm_enable_cap args = {.cap = cap, .flags = flags, .args = {size}};

	return softcvm_ioctl(vm, KVM_ENABLE_CAP, &args);
}

static void create_ring(struct ring_guest *r, const void *code, size_t size)
{
	const struct softcvm_config config = {.platform = SOFTCVM_PLATFORM_AMD};
	struct guest *g = &r->g;

	g->system = softcvm_open(&config);
	g->vm = softcvm_ioctl(g->system, KVM_CREATE_VM, NULL);
	assert_true(g->vm >= 0);
	assert_int_equal(enable(g->vm, KVM_CAP_DIRTY_LOG_RING, 0, RING_SIZE), 0);
	g->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r->data = mmap(NULL, DATA_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(g->ram + CODE_AT, code, size);
	assert_int_equal(set_region(g, 0, 0, 0, RAM_SIZE, g->ram), 0);
	assert_int_equal(set_region(g, DATA_SLOT, KVM_MEM_LOG_DIRTY_PAGES, DATA_AT, DATA_PAGES * 4096, r->data), 0);
	g->vcpu = softcvm_ioctl(g->vm, KVM_CREATE_VCPU, NULL);
	assert_true(g->vcpu >= 0);
	g->run = softcvm_mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	r->ring = softcvm_mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, RING_OFFSET);
	assert_ptr_not_equal(r->ring, MAP_FAILED);
	r->next = 0;
	start_at(g, CODE_AT);
}

static void destroy_ring(struct ring_guest *r)
{
	softcvm_munmap(r->ring, RING_SIZE);
	munmap(r->data, DATA_PAGES * 4096);
	destroy(&r->g);
}

/* mov %al, (0); hlt: DS begins at the page. */
static const unsigned char store_one[] = {0xa2, 0, 0, 0xf4};

static int store(struct ring_guest *r, uint64_t page)
{
	struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2};
	struct kvm_sregs sregs;

	assert_int_equal(softcvm_ioctl(r->g.vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.ds.base = DATA_AT + page * 4096;
	sregs.ds.selector = (uint16_t)(sregs.ds.base >> 4);
	assert_int_equal(softcvm_ioctl(r->g.vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(r->g.vcpu, KVM_SET_REGS, &regs), 0);
	return run(&r->g);
}

static void expect_halt(struct ring_guest *r, uint64_t page)
{
	assert_int_equal(store(r, page), 0);
	assert_int_equal(r->g.run->exit_reason, KVM_EXIT_HLT);
}

static void harvest(struct ring_guest *r, uint64_t page)
{
	struct kvm_dirty_gfn *e = &r->ring[r->next++ % ENTRIES];

	assert_int_equal(__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE), KVM_DIRTY_GFN_F_DIRTY);
	assert_int_equal(e->slot, DATA_SLOT);
	assert_int_equal(e->offset, page);
	__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
}

static void expect_nothing(const struct ring_guest *r)
{
	assert_int_equal(r->ring[r->next % ENTRIES].flags, 0);
}

static int reset(const struct ring_guest *r)
{
	return softcvm_ioctl(r->g.vm, KVM_RESET_DIRTY_RINGS, NULL);
}

static const struct {
	uint64_t size;
	int error;
} sizes[] = {
	{0, -EINVAL}, {3 * 4096, -EINVAL}, {2048, -EINVAL}, {0x200000, -E2BIG}, {1ull << 32, -EINVAL}, {0x100000, 0},
};

static void test_enable(void **state)
{
	int system = softcvm_open(NULL), vm = softcvm_ioctl(system, KVM_CREATE_VM, NULL), vcpu;

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(enable(vm, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 1, sizes[i].size), sizes[i].error);
	/* Once. */
	assert_int_equal(enable(vm, KVM_CAP_DIRTY_LOG_RING, 0, 4096), -EINVAL);
	assert_int_equal(enable(vm, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0, 0), -EINVAL);
	softcvm_close(vm);

	vm = softcvm_ioctl(system, KVM_CREATE_VM, NULL);
	vcpu = softcvm_ioctl(vm, KVM_CREATE_VCPU, NULL);
	assert_int_equal(enable(vm, KVM_CAP_DIRTY_LOG_RING, 0, 4096), -EINVAL);
	assert_int_equal(softcvm_ioctl(vm, KVM_RESET_DIRTY_RINGS, NULL), -EINVAL);
	assert_int_equal(softcvm_ioctl(system, KVM_CHECK_EXTENSION, (void *)KVM_CAP_DIRTY_LOG_RING), 0x100000);
	assert_int_equal(softcvm_ioctl(system, KVM_CHECK_EXTENSION, (void *)KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), 0);
	softcvm_close(vcpu);
	softcvm_close(vm);
	softcvm_close(system);
}

/* One entry for the first write; the next one behind a reset. No bitmap. */
static void test_entries(void **state)
{
	struct kvm_clear_dirty_log clear = {.slot = DATA_SLOT, .num_pages = 64};
	struct kvm_dirty_log log = {.slot = DATA_SLOT};
	struct ring_guest r;

	create_ring(&r, store_one, sizeof(store_one));
	expect_nothing(&r);
	expect_halt(&r, 3);
	expect_halt(&r, 3);
	expect_halt(&r, 8);
	harvest(&r, 3);
	harvest(&r, 8);
	expect_nothing(&r);
	/* Harvested, not reset: still writable. */
	expect_halt(&r, 3);
	expect_nothing(&r);
	assert_int_equal(reset(&r), 2);
	assert_int_equal(reset(&r), 0);
	expect_halt(&r, 8);
	harvest(&r, 8);
	assert_int_equal(reset(&r), 1);
	assert_int_equal(softcvm_ioctl(r.g.vm, KVM_GET_DIRTY_LOG, &log), -ENXIO);
	clear.first_page = 1;
	assert_int_equal(softcvm_ioctl(r.g.vm, KVM_CLEAR_DIRTY_LOG, &clear), -ENXIO);
	destroy_ring(&r);
}

static void test_full(void **state)
{
	struct ring_guest r;

	create_ring(&r, store_one, sizeof(store_one));
	for (unsigned int i = 0; i < ENTRIES - RESERVED - 1; i++)
		expect_halt(&r, i);
	/* The write that reaches the reserve ends behind its fault, before the guest goes on. */
	assert_int_equal(store(&r, 900), 0);
	assert_int_equal(r.g.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
	assert_int_equal(run(&r.g), 0);
	assert_int_equal(r.g.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
	for (unsigned int i = 0; i < 10; i++)
		harvest(&r, i);
	assert_int_equal(run(&r.g), 0);
	assert_int_equal(r.g.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
	assert_int_equal(reset(&r), 10);
	assert_int_equal(run(&r.g), 0);
	assert_int_equal(r.g.run->exit_reason, KVM_EXIT_HLT);
	/* Round the end of the ring. */
	for (unsigned int i = 10; i < ENTRIES - RESERVED - 1; i++)
		harvest(&r, i);
	harvest(&r, 900);
	assert_int_equal(reset(&r), ENTRIES - RESERVED - 10);
	for (unsigned int i = 0; i < 100; i++) {
		expect_halt(&r, 500 + i);
		harvest(&r, 500 + i);
		assert_int_equal(reset(&r), 1);
	}
	destroy_ring(&r);
}

/* What the client writes into its entries is only a question of what is protected. */
static void test_hostile_entries(void **state)
{
	static const struct {
		uint32_t slot;
		uint64_t offset;
	} lies[] = {
		{DATA_SLOT, DATA_PAGES},
		{DATA_SLOT, ~0ull},
		{77, 0},
		{0xffffffff, 0},
		{1u << 16 | DATA_SLOT, 0},
		{0, 0},
		{DATA_SLOT, DATA_PAGES - 1},
		{DATA_SLOT, DATA_PAGES},
	};
	struct ring_guest r;

	create_ring(&r, store_one, sizeof(store_one));
	for (unsigned int i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		r.ring[i].slot = lies[i].slot;
		r.ring[i].offset = lies[i].offset;
		r.ring[i].flags = ~0u;
	}
	assert_int_equal(reset(&r), 8);
	/* Never dirtied, and yet reset: the ring counts as full, as Linux counts. */
	for (unsigned int i = 0; i < ENTRIES; i++)
		r.ring[i].flags = KVM_DIRTY_GFN_F_RESET;
	assert_int_equal(reset(&r), ENTRIES);
	assert_int_equal(store(&r, 1), 0);
	assert_int_equal(r.g.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
	destroy_ring(&r);
}

static void test_mappings(void **state)
{
	struct ring_guest r;
	void *at;

	create_ring(&r, store_one, sizeof(store_one));
	at = softcvm_mmap(NULL, RING_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, r.g.vcpu, RING_OFFSET);
	assert_ptr_equal(at, MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	at = softcvm_mmap(NULL, RING_SIZE, PROT_READ, MAP_PRIVATE, r.g.vcpu, RING_OFFSET);
	assert_ptr_equal(at, MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	/* All that the descriptor has, in one piece. */
	at = softcvm_mmap(NULL, RING_OFFSET + RING_SIZE, PROT_READ, MAP_SHARED, r.g.vcpu, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	expect_halt(&r, 5);
	assert_int_equal(((struct kvm_run *)at)->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(((struct kvm_dirty_gfn *)((char *)at + RING_OFFSET))->offset, 5);
	softcvm_munmap(at, RING_OFFSET + RING_SIZE);
	destroy_ring(&r);
}

/* The client harvests while the guest writes: in the end every page was seen, and the ring was never full in between.
 */
static void *harvester(void *opaque)
{
	struct ring_guest *r = opaque;
	unsigned char *seen = calloc(1, DATA_PAGES);
	unsigned int left = DATA_PAGES;

	while (left) {
		struct kvm_dirty_gfn *e = &r->ring[r->next % ENTRIES];

		if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY) {
			sched_yield();
			continue;
		}
		left -= !seen[e->offset];
		seen[e->offset] = 1;
		__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		r->next++;
		reset(r);
	}
	return seen;
}

static void test_concurrent_harvest(void **state)
{
	struct ring_guest r;
	pthread_t thread;
	void *seen;

	create_ring(&r, store_one, sizeof(store_one));
	pthread_create(&thread, NULL, harvester, &r);
	for (unsigned int i = 0; i < DATA_PAGES; i++) {
		assert_int_equal(store(&r, i), 0);
		while (r.g.run->exit_reason == KVM_EXIT_DIRTY_RING_FULL) {
			sched_yield();
			assert_int_equal(run(&r.g), 0);
		}
		assert_int_equal(r.g.run->exit_reason, KVM_EXIT_HLT);
	}
	pthread_join(thread, &seen);
	free(seen);
	destroy_ring(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enable),	 cmocka_unit_test(test_entries),
		cmocka_unit_test(test_full),	 cmocka_unit_test(test_hostile_entries),
		cmocka_unit_test(test_mappings), cmocka_unit_test(test_concurrent_harvest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
