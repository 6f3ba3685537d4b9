// SPDX-License-Identifier: Apache-2.0
/*
 * A slot whose memory is a device mapping: frames without struct page (VM_PFNMAP, VM_IO), as a page of a device that is handed
 * to the guest. Every process has one, [vvar], which is read-only.
 */
#include "private_guest.h"

#include <stdio.h>

static void *find_device_page(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start = 0, at;
	char line[256];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]") && sscanf(line, "%lx", &at) == 1)
			start = at;
	if (maps)
		fclose(maps);
	return (void *)start;
}

/* The kernel changes what lies in front; the end is padding. */
#define BYTE (PAGE - 1)

static int prefault(struct guest *g, uint64_t gpa, uint64_t size)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size };

	return softcvm_ioctl(g->vcpu, KVM_PRE_FAULT_MEMORY, &range);
}

/* Guests read it, also where a guest_memfd stands beside it; writes are the client's error, without a memory fault. */
static void check_slot(struct guest *g, uint32_t flags, unsigned char byte, int fd)
{
	void *page = find_device_page();

	assert_int_equal(set_region2(g, 1, flags, WINDOW, PAGE, page, fd, 0), 0);
	assert_int_equal(prefault(g, WINDOW, PAGE), 0);
	assert_int_equal(guest_load(g, WINDOW + BYTE), byte);
	assert_int_equal(guest_access(g, WINDOW + BYTE, true, 1), -EFAULT);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_UNKNOWN);
	assert_int_equal(guest_load(g, WINDOW + BYTE), byte);
}

static void delete_slot(struct guest *g) { assert_int_equal(set_region2(g, 1, 0, 0, 0, NULL, -1, 0), 0); }

static void test_device_page(void **state)
{
	static const struct softcvm_config config;
	unsigned char *page = find_device_page();
	struct guest g;
	int fd;

	if (!page)
		skip();
	create_type(&g, &config, KVM_X86_SW_PROTECTED_VM);
	check_slot(&g, 0, page[BYTE], -1);
	delete_slot(&g);
	fd = memfd(&g, PAGE, 0);
	check_slot(&g, KVM_MEM_GUEST_MEMFD, page[BYTE], fd);
	/* Private, it is the guest_memfd's. */
	assert_int_equal(set_attributes(&g, WINDOW, PAGE, P), 0);
	guest_store(&g, WINDOW + BYTE, 0x5a);
	assert_int_equal(set_attributes(&g, WINDOW, PAGE, S), 0);
	assert_int_equal(guest_load(&g, WINDOW + BYTE), page[BYTE]);
	delete_slot(&g);
	/* Read-only: a write is MMIO. */
	assert_int_equal(set_region2(&g, 1, KVM_MEM_READONLY, WINDOW, PAGE, page, -1, 0), 0);
	assert_int_equal(guest_access(&g, WINDOW + BYTE, true, 1), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(g.run->mmio.is_write, 1);
	delete_slot(&g);
	softcvm_close(fd);
	destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
