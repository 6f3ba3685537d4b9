// SPDX-License-Identifier: Apache-2.0
/* A few bytes of real-mode code through the public functions: port I/O, MMIO, HLT, and what KVM_RUN answers. */
#include "guest.h"

static void out_in_halt(enum softcvm_platform platform)
{
	static const unsigned char code[] = {
		0xb0, 0x41,	  /* mov al, 'A' */
		0xe6, 0x10,	  /* out 0x10, al */
		0xe4, 0x11,	  /* in al, 0x11 */
		0xa2, 0x00, 0x20, /* mov [0x2000], al */
		0xf4,		  /* hlt */
	};
	struct guest g;

	create(&g, platform, code, sizeof(code));
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(g.run->io.direction, KVM_EXIT_IO_OUT);
	assert_int_equal(g.run->io.port, 0x10);
	assert_int_equal(g.run->io.size, 1);
	assert_int_equal(((unsigned char *)g.run)[g.run->io.data_offset], 'A');
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(g.run->io.direction, KVM_EXIT_IO_IN);
	((unsigned char *)g.run)[g.run->io.data_offset] = 0x5a;
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(g.ram[0x2000], 0x5a);
	assert_int_equal(regs_of(&g).rip, CODE_AT + sizeof(code));
	destroy(&g);
}

static void test_out_in_halt(void **state)
{
	out_in_halt(SOFTCVM_PLATFORM_INTEL);
	out_in_halt(SOFTCVM_PLATFORM_AMD);
}

static const unsigned char mmio_code[] = {
	0xb8, 0x00, 0x20,	/* mov ax, 0x2000 */
	0x8e, 0xd8,		/* mov ds, ax: base 0x20000, no slot */
	0xc7, 0x06, 0x04, 0x00, 0x34, 0x12, /* mov word [4], 0x1234 */
	0xa1, 0x08, 0x00,	/* mov ax, [8] */
	0xff, 0x06, 0x0c, 0x00, /* inc word [12] */
	0xf4,
};

static void mmio(enum softcvm_platform platform)
{
	struct guest g;

	create(&g, platform, mmio_code, sizeof(mmio_code));
	expect_mmio(&g, 0x20004, 2, 1);
	assert_memory_equal(g.run->mmio.data, "\x34\x12", 2);
	expect_mmio(&g, 0x20008, 2, 0);
	memcpy(g.run->mmio.data, "\xcd\xab", 2);
	/* A read-modify-write: the read's answer comes back plus one. */
	expect_mmio(&g, 0x2000c, 2, 0);
	assert_int_equal(regs_of(&g).rax & 0xffff, 0xabcd);
	memcpy(g.run->mmio.data, "\xff\x00", 2);
	expect_mmio(&g, 0x2000c, 2, 1);
	assert_memory_equal(g.run->mmio.data, "\x00\x01", 2);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	destroy(&g);
}

static void test_mmio(void **state)
{
	mmio(SOFTCVM_PLATFORM_INTEL);
	mmio(SOFTCVM_PLATFORM_AMD);
}

/* An access that user space has answered is finished by a KVM_RUN with immediate_exit (api.rst KVM_EXIT_MMIO). */
static void test_immediate_exit_finishes_the_access(void **state)
{
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, mmio_code, sizeof(mmio_code));
	expect_mmio(&g, 0x20004, 2, 1);
	g.run->immediate_exit = 1;
	assert_int_equal(run(&g), -EINTR);
	assert_int_equal(regs_of(&g).rip, CODE_AT + 11);
	g.run->immediate_exit = 0;
	expect_mmio(&g, 0x20008, 2, 0);
	g.run->immediate_exit = 1;
	memcpy(g.run->mmio.data, "\x01\x02", 2);
	assert_int_equal(run(&g), -EINTR);
	assert_int_equal(regs_of(&g).rip, CODE_AT + 14);
	assert_int_equal(regs_of(&g).rax & 0xffff, 0x201);
	destroy(&g);
}

/* Memory behind a slot that is gone: EFAULT with exit reason 0, and nothing has happened. */
static void test_unmapped_memory(void **state)
{
	static const unsigned char code[] = { 0xc6, 0x06, 0x00, 0x50, 0x5a, 0xf4 }; /* mov byte [0x5000], 0x5a; hlt */
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	assert_int_equal(munmap(g.ram + 0x5000, 4096), 0);
	assert_int_equal(run(&g), -EFAULT);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_UNKNOWN);
	assert_int_equal(regs_of(&g).rip, CODE_AT);
	assert_ptr_equal(mmap(g.ram + 0x5000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 g.ram + 0x5000);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(g.ram[0x5000], 0x5a);
	destroy(&g);
}

/* A store to ROM is an MMIO exit, a load is not; a slot that is deleted leaves MMIO behind. */
static void test_read_only_slot(void **state)
{
	static const unsigned char code[] = {
		0xb8, 0x00, 0x20, 0x8e, 0xd8,	/* ds: base 0x20000 */
		0xa0, 0x00, 0x00,		/* mov al, [0] */
		0xa2, 0x01, 0x00,		/* mov [1], al */
		0xa0, 0x02, 0x00,		/* mov al, [2] */
		0xf4,
	};
	unsigned char *rom = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	rom[0] = 0x77;
	assert_int_equal(set_region(&g, 1, KVM_MEM_READONLY, 0x20000, 4096, rom), 0);
	expect_mmio(&g, 0x20001, 1, 1);
	assert_int_equal(g.run->mmio.data[0], 0x77);
	assert_int_equal(rom[1], 0);
	assert_int_equal(set_region(&g, 1, 0, 0, 0, NULL), 0);
	expect_mmio(&g, 0x20002, 1, 0);
	destroy(&g);
	munmap(rom, 4096);
}

static void test_dirty_log(void **state)
{
	static const unsigned char code[] = {
		0xc6, 0x06, 0x00, 0x50, 0x01,	/* mov byte [0x5000], 1 */
		0xe6, 0x10,			/* out 0x10, al */
		0xc6, 0x06, 0x00, 0x60, 0x01,	/* mov byte [0x6000], 1 */
		0xf4,
	};
	uint64_t bitmap = 0;
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = &bitmap };
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	assert_int_equal(softcvm_ioctl(g.vm, KVM_GET_DIRTY_LOG, &log), -ENOENT);
	assert_int_equal(set_region(&g, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_SIZE, g.ram), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_GET_DIRTY_LOG, &log), 0);
	assert_int_equal(bitmap, 1 << 5);
	assert_int_equal(run(&g), 0);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_GET_DIRTY_LOG, &log), 0);
	assert_int_equal(bitmap, 1 << 6);
	destroy(&g);
}

static void expect_ins(struct guest *g, unsigned int size, unsigned int count, const char *data)
{
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(g->run->io.direction, KVM_EXIT_IO_IN);
	assert_int_equal(g->run->io.size, size);
	assert_int_equal(g->run->io.count, count);
	memcpy((char *)g->run + g->run->io.data_offset, data, (size_t)size * count);
}

/* A repeated INS asks for what fits into the page; what user space makes of the count meanwhile does no harm. */
static void test_string_input(void **state)
{
	static const unsigned char code[] = {
		0xbf, 0xfd, 0x4f, 0xb9, 0x06, 0x00, /* mov $0x4ffd, %di; mov $6, %cx */
		0xf3, 0x6d, 0xf4,		    /* rep insw; hlt */
	};
	struct kvm_regs regs;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_AMD, code, sizeof(code));
	expect_ins(&g, 2, 1, "ab");
	expect_ins(&g, 2, 1, "cd");
	expect_ins(&g, 2, 4, "efghijkl");
	regs = regs_of(&g);
	assert_int_equal(regs.rcx, 4);
	assert_int_equal(regs.rdi, 0x5001);
	regs.rcx = 3;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_REGS, &regs), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_memory_equal(g.ram + 0x4ffd, "abcdefghij\0\0", 12);
	assert_int_equal(regs_of(&g).rcx, 0);
	assert_int_equal(regs_of(&g).rdi, 0x5007);
	destroy(&g);
}

/* What was read ahead survives the exits that storing it makes. */
static void test_string_input_to_mmio(void **state)
{
	static const unsigned char code[] = {
		0xb8, 0x00, 0xf0, 0x8e, 0xc0,		  /* mov $0xf000, %ax; mov %ax, %es */
		0x31, 0xff, 0xb9, 0x03, 0x00, 0xf3, 0x6c, /* xor %di, %di; mov $3, %cx; rep insb */
		0xf4,
	};
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	expect_ins(&g, 1, 3, "xyz");
	for (unsigned int n = 0; n < 3; n++) {
		expect_mmio(&g, 0xf0000 + n, 1, 1);
		assert_int_equal(g.run->mmio.data[0], 'x' + n);
	}
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	destroy(&g);
}

static void test_shutdown(void **state)
{
	static const unsigned char code[] = { 0x0f, 0x01, 0x1e, 0x00, 0x30, 0x0f, 0x0b }; /* lidt [0x3000]: limit 0; ud2 */
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_AMD, code, sizeof(code));
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_SHUTDOWN);
	destroy(&g);
}

static void test_single_step(void **state)
{
	static const unsigned char code[] = { 0x90, 0x0f, 0xa2, 0x90, 0xf4 }; /* nop; cpuid; nop; hlt */
	static const unsigned int stops[] = { 1, 3, 4 };
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_GUEST_DEBUG, &debug), 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(run(&g), 0);
		assert_int_equal(g.run->exit_reason, KVM_EXIT_DEBUG);
		assert_int_equal(g.run->debug.arch.pc, CODE_AT + stops[i]);
		assert_int_equal(regs_of(&g).rflags & 0x100, 0);
	}
	destroy(&g);
}

static void test_errors(void **state)
{
	struct guest g;
	static const unsigned char code[] = { 0xf4 };

	create(&g, SOFTCVM_PLATFORM_HOST, code, sizeof(code));
	assert_int_equal(softcvm_ioctl(g.system, KVM_GET_API_VERSION, NULL), KVM_API_VERSION);
	assert_int_equal(softcvm_ioctl(g.system, KVM_CREATE_VM, (void *)6), -EINVAL);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_RUN, NULL), -ENOTTY);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_CREATE_VCPU, NULL), -EINVAL);
	assert_int_equal(softcvm_ioctl(g.vm, KVM_CREATE_VCPU, NULL), -EEXIST);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_REGS, NULL), -EFAULT);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_REGS, (void *)1), -EFAULT);
	assert_int_equal(softcvm_ioctl(0, KVM_RUN, NULL), -EBADF);
	assert_int_equal(softcvm_ioctl(-1, KVM_RUN, NULL), -EBADF);
	assert_int_equal(set_region(&g, 1, 0, 0x1000, 4096, g.ram), -EEXIST);
	assert_int_equal(set_region(&g, 0, 0, 0, 4096, g.ram), -EINVAL);
	assert_int_equal(set_region(&g, 5, 0, 0, 0, NULL), -EINVAL);
	assert_int_equal(set_region(&g, 32764, 0, 0x100000, 4096, g.ram), -EINVAL);
	assert_int_equal(set_region(&g, 1, 8, 0x100000, 4096, g.ram), -EINVAL);
	destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_out_in_halt),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_immediate_exit_finishes_the_access),
		cmocka_unit_test(test_unmapped_memory),
		cmocka_unit_test(test_read_only_slot),
		cmocka_unit_test(test_dirty_log),
		cmocka_unit_test(test_string_input),
		cmocka_unit_test(test_string_input_to_mmio),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_single_step),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests_name("kvm/realmode", tests, NULL, NULL);
}
