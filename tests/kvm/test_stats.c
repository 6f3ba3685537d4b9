// SPDX-License-Identifier: Apache-2.0
/* KVM_GET_STATS_FD: its layout, and that the figures are those of the VM or vCPU as it is. */
#include "guest.h"

#include <stdlib.h>

static const unsigned char code[] = { 0xe6, 0x10, 0xf4 }; /* out %al, $0x10; hlt */

/* The figure with that name; -1: there is none. */
static int64_t figure(int fd, const char *name)
{
	struct kvm_stats_header header;
	int64_t value = -1;

	assert_int_equal(softcvm_pread(fd, &header, sizeof(header), 0), sizeof(header));
	assert_int_equal(header.flags, 0);
	assert_true(header.num_desc > 0 && header.name_size <= 64);
	for (uint32_t n = 0; n < header.num_desc; n++) {
		size_t size = sizeof(struct kvm_stats_desc) + header.name_size;
		struct kvm_stats_desc *desc = malloc(size);

		assert_int_equal(softcvm_pread(fd, desc, size, header.desc_offset + n * size), size);
		assert_int_equal(desc->size, 1);
		if (!strcmp(desc->name, name))
			assert_int_equal(softcvm_pread(fd, &value, 8, header.data_offset + desc->offset), 8);
		free(desc);
	}
	return value;
}

static void test_figures(void **state)
{
	int vm_stats, vcpu_stats;
	struct guest g;
	char byte;

	create(&g, SOFTCVM_PLATFORM_AMD, code, sizeof(code));
	vm_stats = softcvm_ioctl(g.vm, KVM_GET_STATS_FD, NULL);
	vcpu_stats = softcvm_ioctl(g.vcpu, KVM_GET_STATS_FD, NULL);
	assert_true(vm_stats >= 0 && vcpu_stats >= 0);
	assert_int_equal(softcvm_fd_kind(vm_stats), SOFTCVM_FD_STATS);
	assert_int_equal(softcvm_ioctl(vm_stats, KVM_RUN, NULL), -ENOTTY);
	assert_int_equal(figure(vcpu_stats, "io_exits"), 0);
	assert_int_equal(figure(vcpu_stats, "pf_taken"), 0);
	assert_int_equal(figure(vm_stats, "pages_4k"), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(figure(vcpu_stats, "io_exits"), 1);
	assert_int_equal(figure(vcpu_stats, "halt_exits"), 0);
	assert_true(figure(vm_stats, "pages_4k") > 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(figure(vcpu_stats, "halt_exits"), 1);
	assert_true(figure(vcpu_stats, "exits") >= 2);
	assert_int_equal(figure(vcpu_stats, "no such figure"), -1);

	/* The end, and no address. */
	assert_int_equal(softcvm_pread(vm_stats, &byte, 1, 1 << 20), 0);
	assert_int_equal(softcvm_pread(vm_stats, &byte, 1, -1), -EINVAL);
	assert_int_equal(softcvm_pread(vm_stats, NULL, 1, 0), -EFAULT);
	assert_int_equal(softcvm_pread(g.vm, &byte, 1, 0), -EINVAL);
	/* They outlive the descriptors of what they are about. */
	destroy(&g);
	assert_int_equal(figure(vcpu_stats, "halt_exits"), 1);
	assert_int_equal(softcvm_close(vcpu_stats), 0);
	assert_int_equal(softcvm_close(vm_stats), 0);
	assert_int_equal(softcvm_pread(vm_stats, &byte, 1, 0), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_figures),
	};

	return cmocka_run_group_tests_name("kvm/stats", tests, NULL, NULL);
}
