// SPDX-License-Identifier: Apache-2.0
/* A program outside this tree: a VM of five bytes at the reset vector, through the installed library. */
#include <softcvm/kvm_abi.h>
#include <softcvm/softcvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int main(void)
{
	static const unsigned char code[] = { 0xb0, 0x2a, 0xe6, 0x10, 0xf4 }; /* mov al, 42; out 0x10, al; hlt */
	unsigned char *ram = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = 0xfffff000, .memory_size = 4096, .userspace_addr = (uintptr_t)ram };
	int system = softcvm_open(&(struct softcvm_config){ .platform = SOFTCVM_PLATFORM_INTEL }), vm, vcpu;
	struct kvm_run *run;

	vm = softcvm_ioctl(system, KVM_CREATE_VM, NULL);
	memcpy(ram + 0xff0, code, sizeof(code));
	if (softcvm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
		return 1;
	vcpu = softcvm_ioctl(vm, KVM_CREATE_VCPU, NULL);
	run = softcvm_mmap(NULL, (size_t)softcvm_ioctl(system, KVM_GET_VCPU_MMAP_SIZE, NULL), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED || softcvm_ioctl(vcpu, KVM_RUN, NULL) || run->exit_reason != KVM_EXIT_IO)
		return 2;
	printf("port %#x value %d\n", run->io.port, ((unsigned char *)run)[run->io.data_offset]);
	return 0;
}
