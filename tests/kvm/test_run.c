// SPDX-License-Identifier: Apache-2.0
/* What ends KVM_RUN from outside: signals, immediate_exit; sleep in HLT; synchronised registers. */
#include "guest.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

static void interrupt(int signal) { softcvm_interrupt(); }

static void *run_once(void *opaque) { return (void *)(intptr_t)run(opaque); }

static uint64_t thread_cpu_ns(pthread_t thread)
{
	struct timespec t;
	clockid_t clock;

	assert_int_equal(pthread_getcpuclockid(thread, &clock), 0);
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static intptr_t interrupt_after(pthread_t thread, unsigned int ms)
{
	void *result;

	usleep(ms * 1000);
	assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
	pthread_join(thread, &result);
	return (intptr_t)result;
}

static void test_signal_ends_a_loop(void **state)
{
	static const unsigned char code[] = { 0xeb, 0xfe };
	pthread_t thread;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	for (unsigned int i = 0; i < 3; i++) {
		pthread_create(&thread, NULL, run_once, &g);
		assert_int_equal(interrupt_after(thread, 20), -EINTR);
		assert_int_equal(g.run->exit_reason, KVM_EXIT_INTR);
	}
	destroy(&g);
}

/* With a local APIC in the kernel HLT sleeps; a signal with SA_RESTART ends it, too. */
static void test_signal_ends_a_halt(void **state)
{
	static const unsigned char code[] = { 0xfb, 0xf4, 0xeb, 0xfd }; /* sti; hlt; jmp hlt */
	struct kvm_mp_state mp;
	pthread_t thread;
	struct guest g;
	uint64_t cpu;

	create_with(&g, SOFTCVM_PLATFORM_AMD, code, sizeof(code), IRQCHIP_FULL);
	pthread_create(&thread, NULL, run_once, &g);
	usleep(50000);
	cpu = thread_cpu_ns(thread);
	usleep(200000);
	assert_true(thread_cpu_ns(thread) - cpu < 2000000);
	assert_int_equal(interrupt_after(thread, 0), -EINTR);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_MP_STATE, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_HALTED);
	destroy(&g);
}

static void test_immediate_exit(void **state)
{
	static const unsigned char code[] = { 0x40, 0xf4 }; /* inc ax; hlt */
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	g.run->immediate_exit = 1;
	assert_int_equal(run(&g), -EINTR);
	assert_int_equal(regs_of(&g).rax, 0);
	g.run->immediate_exit = 0;
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rax, 1);
	/* One that came on the way into KVM_RUN ends it, once. */
	softcvm_interrupt();
	start_at(&g, CODE_AT);
	assert_int_equal(run(&g), -EINTR);
	assert_int_equal(run(&g), 0);
	destroy(&g);
}

/* Without controllers in the kernel, user space brings the interrupts: vector 0x20 through the real-mode table. */
static void test_user_interrupt(void **state)
{
	static const unsigned char code[] = {
		0xfa,			      /* cli */
		0xe6, 0x10,		      /* out 0x10, al */
		0xfb,			      /* sti */
		0x90, 0xeb, 0xfd,	      /* nop; jmp nop */
	};
	static const unsigned char handler[] = { 0xe6, 0x11, 0xf4 }; /* out 0x11, al; hlt */
	struct kvm_interrupt irq = { 0x20 };
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	memcpy(g.ram + 0x3000, handler, sizeof(handler));
	memcpy(g.ram + 0x20 * 4, "\x00\x30\x00\x00", 4);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(g.run->ready_for_interrupt_injection, 0);
	g.run->request_interrupt_window = 1;
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_int_equal(g.run->ready_for_interrupt_injection, 1);
	assert_int_equal(g.run->if_flag, 1);
	g.run->request_interrupt_window = 0;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_INTERRUPT, &irq), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(g.run->io.port, 0x11);
	destroy(&g);
}

/* A split irqchip: while LINT0 is masked, user space's PIC has no window, and the guest runs on. */
static void test_window_behind_masked_lint0(void **state)
{
	static const unsigned char code[] = { 0xfb, 0x90, 0x90, 0xe6, 0x10 }; /* sti; nop; nop; out 0x10, al */
	struct kvm_lapic_state apic;
	struct guest g;

	for (enum softcvm_platform p = SOFTCVM_PLATFORM_INTEL; p <= SOFTCVM_PLATFORM_AMD; p++) {
		create_with(&g, p, code, sizeof(code), IRQCHIP_SPLIT);
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_LAPIC, &apic), 0);
		memcpy(apic.regs + 0x350, "\x00\x07\x01\x00", 4); /* ExtINT, masked */
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_LAPIC, &apic), 0);
		g.run->request_interrupt_window = 1;
		assert_int_equal(run(&g), 0);
		assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
		assert_int_equal(g.run->ready_for_interrupt_injection, 0);
		destroy(&g);
	}
}

/* The page of an instruction goes away between its access and its end: it ends with #UD, and not never. */
static void test_code_gone_behind_an_access(void **state)
{
	static const unsigned char handler[] = { 0xf4 }, reader[] = { 0x8a, 0x07, 0xf4 }; /* mov al, [bx]; hlt */
	unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_regs regs = { .rflags = 2, .rsp = 0x8000 };
	struct kvm_sregs sregs;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, handler, sizeof(handler));
	memcpy(g.ram + 6 * 4, (const unsigned char[]){ CODE_AT & 0xff, CODE_AT >> 8, 0, 0 }, 4);
	memcpy(page, reader, sizeof(reader));
	assert_int_equal(set_region(&g, 1, 0, 0x20000, 4096, page), 0);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = 0x20000;
	sregs.cs.selector = 0x2000;
	sregs.ds.base = 0x30000;
	sregs.ds.selector = 0x3000;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_REGS, &regs), 0);
	expect_mmio(&g, 0x30000, 1, 0);
	assert_int_equal(set_region(&g, 1, 0, 0x20000, 0, page), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rip, CODE_AT + 1);
	destroy(&g);
	munmap(page, 4096);
}

static void test_sync_regs(void **state)
{
	static const unsigned char code[] = { 0x40, 0xe6, 0x10, 0xf4 }; /* inc ax; out 0x10, al; hlt */
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	g.run->kvm_valid_regs = 1 << 9;
	assert_int_equal(run(&g), -EINVAL);
	g.run->kvm_valid_regs = KVM_SYNC_X86_VALID_FIELDS;
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->s.regs.regs.rax, 1);
	g.run->s.regs.regs.rax = 0x77;
	g.run->s.regs.regs.rip = CODE_AT;
	g.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(g.run->s.regs.regs.rax, 0x78);
	assert_int_equal(g.run->kvm_dirty_regs, 0);
	destroy(&g);
}

/* A breakpoint of user space's, by instruction and by address. */
static void test_guest_debug(void **state)
{
	static const unsigned char code[] = { 0x90, 0x40, 0xcc, 0xf4 }; /* nop; inc ax; int3; hlt */
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP };
	struct kvm_debugregs own;
	struct guest g;

	create(&g, SOFTCVM_PLATFORM_INTEL, code, sizeof(code));
	debug.arch.debugreg[0] = CODE_AT + 1;
	debug.arch.debugreg[7] = 2;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_GUEST_DEBUG, &debug), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_DEBUG);
	assert_int_equal(g.run->debug.arch.exception, 1);
	assert_int_equal(g.run->debug.arch.pc, CODE_AT + 1);
	assert_int_equal(g.run->debug.arch.dr6 & 0xf, 1);
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_DEBUGREGS, &own), 0);
	assert_int_equal(own.db[0], 0);
	debug.arch.debugreg[7] = 0;
	assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_GUEST_DEBUG, &debug), 0);
	assert_int_equal(run(&g), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_DEBUG);
	assert_int_equal(g.run->debug.arch.exception, 3);
	assert_int_equal(g.run->debug.arch.pc, CODE_AT + 2);
	destroy(&g);
}

static void debug_control(struct guest *g, uint32_t control)
{
	const struct kvm_guest_debug debug = { .control = control };

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_GUEST_DEBUG, (void *)&debug), 0);
}

static void expect_debug_exit(struct guest *g, uint64_t pc, uint64_t dr6)
{
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_DEBUG);
	assert_int_equal(g->run->debug.arch.exception, 1);
	assert_int_equal(g->run->debug.arch.pc, pc);
	assert_int_equal(g->run->debug.arch.dr6, dr6);
}

/* Each exit tells its own cause only, and the guest's DR6 and DR7 do not show that it is debugged. */
static void test_debug_causes(void **state)
{
	static const unsigned char code[] = { 0x90, 0x0f, 0x21, 0xc0, 0xf4 }; /* nop; mov eax, dr0; hlt */
	struct kvm_guest_debug debug;
	struct kvm_debugregs before, after;
	struct guest g;

	for (enum softcvm_platform p = SOFTCVM_PLATFORM_INTEL; p <= SOFTCVM_PLATFORM_AMD; p++) {
		create(&g, p, code, sizeof(code));
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_DEBUGREGS, &before), 0);
		debug_control(&g, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
		expect_debug_exit(&g, CODE_AT + 1, 0xffff4ff0);
		debug = (struct kvm_guest_debug){ .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP };
		debug.arch.debugreg[7] = 0x2400; /* GD */
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_GUEST_DEBUG, &debug), 0);
		expect_debug_exit(&g, CODE_AT + 1, 0xffff2ff0);
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_DEBUGREGS, &after), 0);
		assert_int_equal(after.dr6, before.dr6);
		assert_int_equal(after.dr7, before.dr7);
		destroy(&g);
	}
}

static void expect_port(struct guest *g, unsigned int port)
{
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(g->run->io.port, port);
}

/* The local APIC is on and has a request for the vector. */
static void request_interrupt(struct guest *g, unsigned int vector)
{
	struct kvm_lapic_state apic;

	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_GET_LAPIC, &apic), 0);
	memcpy(apic.regs + 0xf0, "\xff\x01\x00\x00", 4);
	apic.regs[0x200 + vector / 32 * 16 + vector % 32 / 8] |= 1 << vector % 8;
	assert_int_equal(softcvm_ioctl(g->vcpu, KVM_SET_LAPIC, &apic), 0);
}

/* KVM_GUESTDBG_BLOCKIRQ: what waits is delivered afterwards; what was already on its way is not kept back. */
static void test_blocked_interrupts(void **state)
{
	static const unsigned char code[] = {
		0xfb,		/* sti */
		0x90, 0x90,	/* nop; nop */
		0xe6, 0x10,	/* out 0x10, al */
		0x90,		/* nop */
		0xe6, 0x11,	/* out 0x11, al */
	};
	/* out PORT, al; iret */
	static const unsigned char nmi[] = { 0xe6, 0x12, 0xcf }, irq[] = { 0xe6, 0x13, 0xcf }, begun[] = { 0xe6, 0x14, 0xcf };
	struct kvm_vcpu_events events;
	struct guest g;

	for (enum softcvm_platform p = SOFTCVM_PLATFORM_INTEL; p <= SOFTCVM_PLATFORM_AMD; p++) {
		create_with(&g, p, code, sizeof(code), IRQCHIP_FULL);
		memcpy(g.ram + 0x3000, nmi, sizeof(nmi));
		memcpy(g.ram + 2 * 4, "\x00\x30\x00\x00", 4);
		memcpy(g.ram + 0x3100, irq, sizeof(irq));
		memcpy(g.ram + 0x40 * 4, "\x00\x31\x00\x00", 4);
		memcpy(g.ram + 0x3200, begun, sizeof(begun));
		memcpy(g.ram + 0x41 * 4, "\x00\x32\x00\x00", 4);
		debug_control(&g, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ);
		request_interrupt(&g, 0x40);
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_NMI, NULL), 0);
		expect_port(&g, 0x10);
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_GET_VCPU_EVENTS, &events), 0);
		assert_int_equal(events.nmi.pending, 1);
		events.interrupt.injected = 1;
		events.interrupt.nr = 0x41;
		assert_int_equal(softcvm_ioctl(g.vcpu, KVM_SET_VCPU_EVENTS, &events), 0);
		expect_port(&g, 0x14);
		debug_control(&g, 0);
		expect_port(&g, 0x12);
		expect_port(&g, 0x13);
		expect_port(&g, 0x11);
		destroy(&g);
	}
}

int main(void)
{
	const struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signal_ends_a_loop),
		cmocka_unit_test(test_signal_ends_a_halt),
		cmocka_unit_test(test_immediate_exit),
		cmocka_unit_test(test_user_interrupt),
		cmocka_unit_test(test_window_behind_masked_lint0),
		cmocka_unit_test(test_code_gone_behind_an_access),
		cmocka_unit_test(test_sync_regs),
		cmocka_unit_test(test_guest_debug),
		cmocka_unit_test(test_debug_causes),
		cmocka_unit_test(test_blocked_interrupts),
	};

	sigaction(SIGUSR1, &action, NULL);
	return cmocka_run_group_tests_name("kvm/run", tests, NULL, NULL);
}
