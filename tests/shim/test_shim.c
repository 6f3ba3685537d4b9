// SPDX-License-Identifier: Apache-2.0
/* A program that knows nothing of softcvm, run with the interposing library in front of libc. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* out %al, $0x10 with 'H', then 'i'; hlt */
static const uint8_t hello[] = { 0xb0, 'H', 0xe6, 0x10, 0xb0, 'i', 0xe6, 0x10, 0xf4 };
/* inc %eax; jmp to it */
static const uint8_t endless[] = { 0x66, 0x40, 0xeb, 0xfc };

static struct client client;
static sigjmp_buf back;
static volatile int taken, failure;
static volatile uint64_t seen_rip;

static void expect_output(struct client *c, char letter)
{
	assert_int_equal(ioctl(c->vcpu, KVM_RUN, 0), 0);
	assert_int_equal(c->run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(((uint8_t *)c->run)[c->run->io.data_offset], letter);
}

static void alarm_in(unsigned int ms)
{
	struct itimerval timer = { .it_value = { ms / 1000, ms % 1000 * 1000 } };

	assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void handle_by(int signo, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	assert_int_equal(sigaction(signo, &action, NULL), 0);
}

/* ---------------------------------------------------------------- descriptors */

static void test_hello(void **state)
{
	client_create(&client, hello, sizeof(hello));
	expect_output(&client, 'H');
	expect_output(&client, 'i');
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(client.run->exit_reason, KVM_EXIT_HLT);
	client_destroy(&client);
}

static void test_errors(void **state)
{
	int fd = open("/dev/kvm", O_RDWR), vm = ioctl(fd, KVM_CREATE_VM, 0);

	/* As a signed int. */
	assert_int_equal(ioctl(fd, (unsigned long)(long)(int)KVM_GET_SUPPORTED_CPUID, NULL), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(ioctl(vm, _IO(KVMIO, 0xff), 0), -1);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(ioctl(vm, KVM_SET_USER_MEMORY_REGION, (void *)8), -1);
	assert_int_equal(errno, EFAULT);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ, MAP_SHARED, vm, 0), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
	assert_int_equal(read(fd, &vm, 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_int_equal(fcntl(vm, F_GETFD), FD_CLOEXEC);
	close(vm);
	close(fd);
	assert_int_equal(ioctl(fd, KVM_GET_API_VERSION, 0), -1);
	assert_int_equal(errno, EBADF);
}

static void test_stat(void **state)
{
	int fd = open("/dev/kvm", O_RDWR), vm = ioctl(fd, KVM_CREATE_VM, 0);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_rdev, makedev(10, 232));
	assert_int_equal(fstat(vm, &st), 0);
	assert_int_equal(st.st_mode & S_IFMT, 0);
	close(vm);
	close(fd);
}

static void test_dup(void **state)
{
	int copy, other;

	client_create(&client, hello, sizeof(hello));
	copy = dup(client.vcpu);
	other = fcntl(client.vm, F_DUPFD_CLOEXEC, 100);
	assert_int_equal(other, 100);
	close(client.vm);
	close(client.vcpu);
	client.vcpu = copy;
	client.vm = other;
	expect_output(&client, 'H');
	assert_true(ioctl(other, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS) > 0);
	/* A file takes the place of a vCPU. */
	copy = open("/dev/zero", O_RDONLY);
	other = dup(client.vcpu);
	assert_int_equal(dup2(copy, other), other);
	assert_int_equal(ioctl(other, KVM_RUN, 0), -1);
	assert_int_equal(errno, ENOTTY);
	close(copy);
	close(other);
	client_destroy(&client);
}

static void test_descriptor_zero(void **state)
{
	int saved = dup(0), fd;

	close(0);
	fd = open("/dev/kvm", O_RDWR);
	assert_int_equal(fd, 0);
	assert_int_equal(ioctl(0, KVM_GET_API_VERSION, 0), 12);
	close(0);
	dup2(saved, 0);
	close(saved);
}

static void test_close_range(void **state)
{
	client_create(&client, hello, sizeof(hello));
	assert_int_equal(close_range(client.vcpu, client.vcpu, 0), 0);
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), -1);
	assert_int_equal(errno, EBADF);
	munmap(client.run, 4096);
	close(client.vm);
	close(client.kvm);
}

/* The memory behind the slot goes away: the client's bug, and the client's error. */
static void test_unmapped(void **state)
{
	client_create(&client, hello, sizeof(hello));
	munmap(client.memory, GUEST_MEMORY);
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), -1);
	assert_int_equal(errno, EFAULT);
	client_destroy(&client);
}

/* ---------------------------------------------------------------- signals */

static void count(int signo) { taken++; }

static void run_until_signal(int flags)
{
	taken = 0;
	handle_by(SIGALRM, count, flags);
	alarm_in(20);
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), -1);
	assert_int_equal(errno, EINTR);
	assert_int_equal(taken, 1);
}

static void test_signal(void **state)
{
	client_create(&client, endless, sizeof(endless));
	run_until_signal(0);
	run_until_signal(SA_RESTART);
	run_until_signal(SA_NODEFER);
	taken = 0;
	assert_ptr_equal(signal(SIGALRM, SIG_DFL), count);
	signal(SIGALRM, count);
	alarm_in(20);
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), -1);
	assert_int_equal(taken, 1);
	client_destroy(&client);
}

static void test_halted(void **state)
{
	static const uint8_t halt[] = { 0xf4 };
	int irqchip;

	client_create(&client, halt, sizeof(halt));
	client_destroy(&client);
	client.kvm = open("/dev/kvm", O_RDWR);
	client.vm = ioctl(client.kvm, KVM_CREATE_VM, 0);
	irqchip = ioctl(client.vm, KVM_CREATE_IRQCHIP, 0);
	assert_int_equal(irqchip, 0);
	client.vcpu = ioctl(client.vm, KVM_CREATE_VCPU, 1); /* waits for INIT */
	run_until_signal(SA_RESTART);
	close(client.vcpu);
	close(client.vm);
	close(client.kvm);
}

static void jump(int signo)
{
	taken++;
	siglongjmp(back, 1);
}

/* The vCPU is free and its state is complete when the handler runs. */
static void test_longjmp(void **state)
{
	struct kvm_regs regs;
	sigset_t now;

	client_create(&client, endless, sizeof(endless));
	handle_by(SIGALRM, jump, 0);
	taken = 0;
	for (int i = 0; i < 10; i++) {
		if (!sigsetjmp(back, 1)) {
			alarm_in(5);
			ioctl(client.vcpu, KVM_RUN, 0);
			fail();
		}
		assert_int_equal(ioctl(client.vcpu, KVM_GET_REGS, &regs), 0);
		assert_in_range(regs.rip, GUEST_ENTRY, GUEST_ENTRY + 2);
	}
	assert_int_equal(taken, 10);
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	assert_false(sigismember(&now, SIGALRM));
	client_destroy(&client);
}

static void ask(int signo, siginfo_t *info, void *context)
{
	struct kvm_regs regs;

	taken++;
	failure = ioctl(client.vcpu, KVM_GET_REGS, &regs);
	seen_rip = regs.rip;
	failure |= info->si_signo != signo || info->si_code != SI_QUEUE || info->si_value.sival_int != 77;
	regs.rip = GUEST_ENTRY + 0x100; /* a HLT */
	failure |= ioctl(client.vcpu, KVM_SET_REGS, &regs);
}

static void *send_later(void *to)
{
	union sigval value = { .sival_int = 77 };

	usleep(20000);
	pthread_sigqueue(*(pthread_t *)to, SIGRTMIN + 1, value);
	return NULL;
}

static void test_ioctl_in_handler(void **state)
{
	struct sigaction action = { .sa_sigaction = ask, .sa_flags = SA_SIGINFO | SA_RESTART };
	pthread_t self = pthread_self(), sender;

	client_create(&client, endless, sizeof(endless));
	client.memory[GUEST_ENTRY + 0x100] = 0xf4;
	sigaction(SIGRTMIN + 1, &action, NULL);
	taken = failure = 0;
	pthread_create(&sender, NULL, send_later, &self);
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), -1);
	assert_int_equal(errno, EINTR);
	pthread_join(sender, NULL);
	assert_int_equal(taken, 1);
	assert_int_equal(failure, 0);
	assert_in_range(seen_rip, GUEST_ENTRY, GUEST_ENTRY + 2);
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(client.run->exit_reason, KVM_EXIT_HLT);
	client_destroy(&client);
}

/* Many signals, and none is lost or leaves the thread inside KVM_RUN. */
static volatile bool stop;

static void *storm(void *to)
{
	while (!stop) {
		pthread_kill(*(pthread_t *)to, SIGUSR1);
		usleep(100);
	}
	return NULL;
}

static void test_storm(void **state)
{
	pthread_t self = pthread_self(), sender;
	struct kvm_regs regs;

	client_create(&client, endless, sizeof(endless));
	handle_by(SIGUSR1, count, SA_RESTART);
	taken = stop = 0;
	pthread_create(&sender, NULL, storm, &self);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), -1);
		assert_int_equal(errno, EINTR);
		assert_int_equal(ioctl(client.vcpu, KVM_GET_REGS, &regs), 0);
	}
	stop = true;
	pthread_join(sender, NULL);
	assert_true(taken >= 500);
	client_destroy(&client);
}

static void *run_forever(void *unused)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		ioctl(client.vcpu, KVM_RUN, 0);
	return NULL;
}

/* The vCPU is not left locked. */
static void test_cancel(void **state)
{
	struct kvm_regs regs;
	pthread_t runner;

	client_create(&client, endless, sizeof(endless));
	for (int i = 0; i < 5; i++) {
		pthread_create(&runner, NULL, run_forever, NULL);
		usleep(10000);
		assert_int_equal(pthread_cancel(runner), 0);
		pthread_join(runner, NULL);
		assert_int_equal(ioctl(client.vcpu, KVM_GET_REGS, &regs), 0);
	}
	client_destroy(&client);
}

/* Blocked outside, open in KVM_RUN: it ends the run and stays pending. */
static void test_signal_mask(void **state)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t mask;
	} __attribute__((packed)) open_mask = { { 8 }, 0 };
	struct timespec now = { 0 };
	sigset_t only;

	client_create(&client, endless, sizeof(endless));
	handle_by(SIGALRM, count, 0);
	sigemptyset(&only);
	sigaddset(&only, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &only, NULL);
	assert_int_equal(ioctl(client.vcpu, KVM_SET_SIGNAL_MASK, &open_mask), 0);
	taken = 0;
	alarm_in(20);
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), -1);
	assert_int_equal(errno, EINTR);
	assert_int_equal(taken, 0);
	assert_int_equal(sigtimedwait(&only, NULL, &now), SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &only, NULL);
	assert_int_equal(taken, 0);
	client_destroy(&client);
}

/* The same without a function for the signal: it must not end the program. */
static void test_signal_mask_without_handler(void **state)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t mask;
	} __attribute__((packed)) open_mask = { { 8 }, 0 };
	struct sigaction now;
	struct timespec at_once = { 0 };
	sigset_t only;

	client_create(&client, endless, sizeof(endless));
	assert_true(signal(SIGUSR2, SIG_DFL) != SIG_ERR);
	sigemptyset(&only);
	sigaddset(&only, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &only, NULL);
	assert_int_equal(ioctl(client.vcpu, KVM_SET_SIGNAL_MASK, &open_mask), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_kill(pthread_self(), SIGUSR2), 0);
		assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), -1);
		assert_int_equal(errno, EINTR);
		assert_int_equal(sigtimedwait(&only, NULL, &at_once), SIGUSR2);
	}
	assert_int_equal(sigaction(SIGUSR2, NULL, &now), 0);
	assert_ptr_equal(now.sa_handler, SIG_DFL);
	/* One that gets a function later. */
	handle_by(SIGUSR2, count, 0);
	taken = 0;
	assert_int_equal(pthread_kill(pthread_self(), SIGUSR2), 0);
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), -1);
	assert_int_equal(taken, 0);
	pthread_sigmask(SIG_UNBLOCK, &only, NULL);
	assert_int_equal(taken, 1);
	signal(SIGUSR2, SIG_DFL);
	client_destroy(&client);
}

/* ---------------------------------------------------------------- faults of the client */

static void on_segv(int signo, siginfo_t *info, void *context)
{
	taken++;
	siglongjmp(back, 1);
}

static void test_own_faults(void **state)
{
	struct sigaction action = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO }, old;
	struct sigaction before;
	volatile uint8_t *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigset_t all, none;

	client_create(&client, hello, sizeof(hello));
	taken = 0;
	sigaction(SIGSEGV, &action, &before);
	sigaction(SIGSEGV, NULL, &old);
	assert_ptr_equal(old.sa_sigaction, on_segv);
	if (!sigsetjmp(back, 1))
		*nowhere = 0;
	assert_int_equal(taken, 1);
	/* Our handler is still behind softcvm's, which must not lose its faults by a mask either. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &none);
	munmap(client.memory, GUEST_MEMORY);
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), -1);
	assert_int_equal(errno, EFAULT);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	assert_int_equal(taken, 1);
	sigaction(SIGSEGV, &before, NULL);
	client_destroy(&client);
}

static volatile siginfo_t fault;

static void on_fault(int signo, siginfo_t *info, void *context)
{
	fault = *info;
	siglongjmp(back, 1);
}

/* What the guest owns: a fault of the program's own, for its own handler, or EFAULT from a system call. */
static void test_guest_owned_memory(void **state)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, before;
	int pipes[2];
	volatile int reached = 0;

	setenv("SOFTCVM_PKVM", "1", 1);
	client_create_type(&client, PKVM_VM, hello, sizeof(hello));
	unsetenv("SOFTCVM_PKVM");
	sigaction(SIGSEGV, &action, &before);
	expect_output(&client, 'H');
	if (!sigsetjmp(back, 1))
		reached = 1 + ((volatile uint8_t *)client.memory)[GUEST_ENTRY];
	assert_int_equal(reached, 0);
	assert_int_equal(fault.si_code, SEGV_ACCERR);
	assert_ptr_equal(fault.si_addr, client.memory + GUEST_ENTRY);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], client.memory + GUEST_ENTRY, 1), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(ioctl(client.vcpu, KVM_GET_REGS, client.memory + GUEST_ENTRY), -1);
	assert_int_equal(errno, EFAULT);
	expect_output(&client, 'i');
	client.memory[0] = 1; /* what it has not touched */
	sigaction(SIGSEGV, &before, NULL);
	close(pipes[0]);
	close(pipes[1]);
	client_destroy(&client);
}

/* ---------------------------------------------------------------- fork */

static int in_child(void)
{
	struct client own;

	if (ioctl(client.vcpu, KVM_RUN, 0) != -1 || errno != EIO || ioctl(client.vm, KVM_CHECK_EXTENSION, 0) != -1)
		return 1;
	if (close(client.vcpu) || close(client.vm))
		return 2;
	client_create(&own, hello, sizeof(hello));
	expect_output(&own, 'H');
	client_destroy(&own);
	return 0;
}

static void test_fork(void **state)
{
	int status;
	pid_t child;

	client_create(&client, hello, sizeof(hello));
	assert_int_equal(ioctl(client.vm, KVM_CREATE_IRQCHIP, 0), -1); /* too late, there is a vCPU */
	expect_output(&client, 'H');
	child = fork();
	if (!child)
		_exit(in_child());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	child = vfork();
	if (!child) {
		close(client.vcpu);
		_exit(0);
	}
	waitpid(child, &status, 0);
	expect_output(&client, 'i');
	client_destroy(&client);
}

static void test_parameters(void **state)
{
	char text[8] = { 0 };
	int fd = open("/sys/module/kvm/parameters/ignore_msrs", O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 2);
	assert_string_equal(text, "N\n");
	close(fd);
	assert_int_equal(open("/sys/module/kvm_none/parameters/x", O_RDONLY), -1);
	assert_int_equal(errno, ENOENT);
}

static uint64_t own_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | (uint64_t)high << 32;
}

/* A guest's TSC is as far from the host's, which this program's RDTSC reads, as KVM_VCPU_TSC_OFFSET says. */
static void test_tsc(void **state)
{
	static const uint8_t code[] = { 0x0f, 0x31, 0xf4 }; /* rdtsc; hlt */
	uint64_t offset = (uint64_t)1 << 50, before, guest;
	const struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset };
	struct kvm_clock_data clock;
	struct kvm_regs regs;

	client_create(&client, code, sizeof(code));
	before = own_tsc();
	assert_int_equal(ioctl(client.vm, KVM_GET_CLOCK, &clock), 0);
	assert_true(before <= clock.host_tsc && clock.host_tsc <= own_tsc());
	assert_int_equal(ioctl(client.vcpu, KVM_SET_DEVICE_ATTR, &attr), 0);
	before = own_tsc();
	assert_int_equal(ioctl(client.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(ioctl(client.vcpu, KVM_GET_REGS, &regs), 0);
	guest = regs.rax | regs.rdx << 32;
	assert_true(before + offset <= guest && guest <= own_tsc() + offset);
	offset = 0;
	assert_int_equal(ioctl(client.vcpu, KVM_GET_DEVICE_ATTR, &attr), 0);
	assert_int_equal(offset, (uint64_t)1 << 50);
	client_destroy(&client);
}

/* Figures have a position, which duplicates share, and contents. */
static void test_stats(void **state)
{
	struct kvm_stats_header header, again;
	char id[64] = "";
	int fd, other;

	client_create(&client, hello, sizeof(hello));
	fd = ioctl(client.vcpu, KVM_GET_STATS_FD, 0);
	assert_true(fd >= 0);
	other = dup(fd);
	assert_int_equal(read(fd, &header, sizeof(header)), sizeof(header));
	assert_true(header.name_size <= sizeof(id));
	assert_int_equal(read(other, id, header.name_size), header.name_size);
	assert_memory_equal(id, "kvm-", 4);
	assert_int_equal(pread(other, &again, sizeof(again), 0), sizeof(again));
	assert_memory_equal(&again, &header, sizeof(header));
	assert_int_equal(write(fd, id, 1), -1);
	close(other);
	close(fd);
	client_destroy(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),	   cmocka_unit_test(test_errors),
		cmocka_unit_test(test_stat),	   cmocka_unit_test(test_dup),
		cmocka_unit_test(test_descriptor_zero), cmocka_unit_test(test_close_range),
		cmocka_unit_test(test_unmapped),   cmocka_unit_test(test_signal),
		cmocka_unit_test(test_halted),	   cmocka_unit_test(test_longjmp),
		cmocka_unit_test(test_ioctl_in_handler), cmocka_unit_test(test_storm),
		cmocka_unit_test(test_cancel),	   cmocka_unit_test(test_signal_mask), cmocka_unit_test(test_own_faults),
		cmocka_unit_test(test_guest_owned_memory),
		cmocka_unit_test(test_signal_mask_without_handler),
		cmocka_unit_test(test_fork),	   cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_tsc),	   cmocka_unit_test(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
