// SPDX-License-Identifier: Apache-2.0
/*
 * Two vCPUs run while other threads change everything around them: memslots, dirty logs, interrupts, eventfds, descriptors.
 * What is checked is little; ASan and TSan see the rest.
 */
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VCPUS	    2
#define ROUNDS	    150
#define WINDOW	    0x20000 /* where slot 1 comes and goes; ES points to it */
#define ELSEWHERE   0x40000
#define WINDOW_SIZE 0x4000
#define PORT	    0x10
#define VECTOR	    0x40
#define MSI_GSI	    24
#define INTERRUPTS  0x7000 /* counted by the handler */
#define HANDLER_AT  0x3000

/* FS is the local APIC's page. Each vCPU writes into code that both execute. */
static const unsigned char code[] = {
	0x64, 0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0x00, 0x00, /* mov dword fs:[0xf0], 0x1ff: SVR */
	0xfb,							    /* sti */
	0xfe, 0x06, 0x00, 0x50,					    /* loop: inc byte [0x5000] */
	0xf0, 0xfe, 0x06, 0x00, 0x60,				    /* lock inc byte [0x6000] */
	0x26, 0x88, 0x1e, 0x00, 0x00,				    /* mov es:[0], bl */
	0x26, 0x8a, 0x0e, 0x00, 0x10,				    /* mov cl, es:[0x1000] */
	0x88, 0x1e, 0x23, 0x10,					    /* mov [patched], bl */
	0xb1, 0x00,						    /* mov cl, 0; its 0 is at 0x1023 */
	0xe6, PORT,						    /* out PORT, al */
	0xfe, 0xc3,						    /* inc bl */
	0x75, 0x01,						    /* jnz over the hlt */
	0xf4,							    /* hlt */
	0xeb, 0xde,						    /* jmp loop */
};
static const unsigned char handler[] = {
	0xf0, 0xff, 0x06, 0x00, 0x70,				    /* lock inc word [INTERRUPTS] */
	0x64, 0x66, 0xc7, 0x06, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, /* mov dword fs:[0xb0], 0: EOI */
	0xcf,							    /* iret */
};

struct scene;

struct runner {
	struct scene *scene;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	atomic_bool done;
	unsigned long exits;
};

struct scene {
	struct guest g; /* g.vcpu and g.run: those of runner 0 */
	struct runner runner[VCPUS];
	unsigned char *window;
	atomic_bool stop;
	atomic_int failures; /* of a thread that may not leave by an assertion's longjmp */
};

#define EXPECT(s, condition) \
	do { \
		if (!(condition)) { \
			print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			atomic_fetch_add(&(s)->failures, 1); \
		} \
	} while (0)

/* ---------------------------------------------------------------- the guest */

static void *run_vcpu(void *opaque)
{
	struct runner *r = opaque;
	struct scene *s = r->scene;

	while (!atomic_load(&s->stop)) {
		int result = softcvm_ioctl(r->fd, KVM_RUN, NULL);

		if (result == -EINTR)
			continue;
		/* closed by the test that does that, before this thread looked */
		if (result == -EBADF && atomic_load(&s->stop))
			break;
		r->exits++;
		EXPECT(s, result == 0);
		EXPECT(s, r->run->exit_reason == KVM_EXIT_MMIO || r->run->exit_reason == KVM_EXIT_IO);
		if (result)
			break;
	}
	atomic_store(&r->done, true);
	return NULL;
}

static void on_signal(int signal) { softcvm_interrupt(); }

static void set_state(struct runner *r, unsigned int index)
{
	struct kvm_regs regs = { .rip = CODE_AT, .rflags = 2, .rsp = 0x8000 + 0x1000 * index };
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs sregs;

	assert_int_equal(softcvm_ioctl(r->fd, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.es.base = WINDOW;
	sregs.fs.base = 0xfee00000;
	assert_int_equal(softcvm_ioctl(r->fd, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(r->fd, KVM_SET_REGS, &regs), 0);
	assert_int_equal(softcvm_ioctl(r->fd, KVM_SET_MP_STATE, &runnable), 0);
}

static void *map_pages(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static void scene_start(struct scene *s, enum softcvm_platform platform)
{
	const struct sigaction action = { .sa_handler = on_signal };

	memset(s, 0, sizeof(*s));
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	s->window = map_pages(WINDOW_SIZE);
	create_with(&s->g, platform, code, sizeof(code), IRQCHIP_FULL);
	memcpy(s->g.ram + HANDLER_AT, handler, sizeof(handler));
	memcpy(s->g.ram + VECTOR * 4, "\x00\x30\x00\x00", 4);
	s->runner[0].fd = s->g.vcpu;
	s->runner[0].run = s->g.run;
	s->runner[1].fd = softcvm_ioctl(s->g.vm, KVM_CREATE_VCPU, (void *)1);
	assert_true(s->runner[1].fd >= 0);
	s->runner[1].run = softcvm_mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, s->runner[1].fd, 0);
	assert_ptr_not_equal(s->runner[1].run, MAP_FAILED);
	for (unsigned int i = 0; i < VCPUS; i++) {
		s->runner[i].scene = s;
		set_state(&s->runner[i], i);
		pthread_create(&s->runner[i].thread, NULL, run_vcpu, &s->runner[i]);
	}
}

/* A signal that comes before KVM_RUN is not remembered, so it is sent until it has worked. */
static void scene_stop(struct scene *s)
{
	atomic_store(&s->stop, true);
	for (unsigned int i = 0; i < VCPUS; i++) {
		while (!atomic_load(&s->runner[i].done)) {
			pthread_kill(s->runner[i].thread, SIGUSR1);
			usleep(1000);
		}
		pthread_join(s->runner[i].thread, NULL);
	}
}

static void scene_end(struct scene *s)
{
	assert_int_equal(atomic_load(&s->failures), 0);
	for (unsigned int i = 0; i < VCPUS; i++)
		assert_true(s->runner[i].exits > 0);
	softcvm_munmap(s->runner[1].run, 3 * 4096);
	softcvm_close(s->runner[1].fd);
	destroy(&s->g);
	munmap(s->window, WINDOW_SIZE);
}

/* ---------------------------------------------------------------- memory */

static void read_log(struct scene *s, uint32_t slot)
{
	uint64_t bitmap = 0;
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = &bitmap };

	EXPECT(s, softcvm_ioctl(s->g.vm, KVM_GET_DIRTY_LOG, &log) == 0);
}

static void *change_memory(void *opaque)
{
	struct scene *s = opaque;
	struct guest *g = &s->g;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint32_t log = i & 1 ? KVM_MEM_LOG_DIRTY_PAGES : 0;

		EXPECT(s, set_region(g, 1, log, WINDOW, WINDOW_SIZE, s->window) == 0);
		EXPECT(s, set_region(g, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_SIZE, g->ram) == 0);
		EXPECT(s, set_region(g, 1, log, ELSEWHERE, WINDOW_SIZE, s->window) == 0);
		read_log(s, 0);
		EXPECT(s, set_region(g, 1, log, WINDOW, WINDOW_SIZE, s->window) == 0);
		read_log(s, 0);
		EXPECT(s, set_region(g, 1, log ^ KVM_MEM_LOG_DIRTY_PAGES, WINDOW, WINDOW_SIZE, s->window) == 0);
		if (!log)
			read_log(s, 1);
		EXPECT(s, set_region(g, 0, 0, 0, RAM_SIZE, g->ram) == 0);
		EXPECT(s, set_region(g, 1, 0, 0, 0, NULL) == 0);
	}
	return NULL;
}

/* ---------------------------------------------------------------- interrupts and eventfds */

static void set_routes(struct scene *s, uint32_t destination)
{
	union {
		struct kvm_irq_routing head;
		char room[sizeof(struct kvm_irq_routing) + 2 * sizeof(struct kvm_irq_routing_entry)];
	} table = { .head.nr = 2 };
	const struct kvm_irq_routing_entry entries[2] = {
		{ .gsi = 4, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { KVM_IRQCHIP_IOAPIC, 4 } },
		{ .gsi = MSI_GSI, .type = KVM_IRQ_ROUTING_MSI,
		  .u.msi = { .address_lo = 0xfee00000 | destination << 12, .data = VECTOR } },
	};

	memcpy(table.room + sizeof(table.head), entries, sizeof(entries));
	EXPECT(s, softcvm_ioctl(s->g.vm, KVM_SET_GSI_ROUTING, &table) == 0);
}

static void send_msi(struct scene *s, uint32_t destination)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 | destination << 12, .data = VECTOR };
	int result = softcvm_ioctl(s->g.vm, KVM_SIGNAL_MSI, &msi);

	/* 0: before the guest has switched its APIC on */
	EXPECT(s, result == 0 || result == 1);
}

static void *send_interrupts(void *opaque)
{
	struct scene *s = opaque;
	int event = eventfd(0, EFD_CLOEXEC), port = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	for (unsigned int i = 0; i < 2 * ROUNDS; i++) {
		struct kvm_irqfd irqfd = { .fd = event, .gsi = MSI_GSI };
		struct kvm_ioeventfd io = { .addr = PORT, .len = 1, .fd = port, .flags = KVM_IOEVENTFD_FLAG_PIO };
		struct kvm_irq_level line = { .irq = 4, .level = i & 1 };
		uint64_t one = 1;

		set_routes(s, i & 1);
		EXPECT(s, softcvm_ioctl(s->g.vm, KVM_IRQFD, &irqfd) == 0);
		EXPECT(s, softcvm_ioctl(s->g.vm, KVM_IOEVENTFD, &io) == 0);
		EXPECT(s, write(event, &one, sizeof(one)) == sizeof(one));
		send_msi(s, 0);
		send_msi(s, 1);
		EXPECT(s, softcvm_ioctl(s->g.vm, KVM_IRQ_LINE, &line) == 0);
		usleep(200);
		io.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
		EXPECT(s, softcvm_ioctl(s->g.vm, KVM_IOEVENTFD, &io) == 0);
		irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
		EXPECT(s, softcvm_ioctl(s->g.vm, KVM_IRQFD, &irqfd) == 0);
	}
	close(event);
	close(port);
	return NULL;
}

/* ---------------------------------------------------------------- descriptors */

/* Other VMs come and go; duplicates of the busy ones are used and closed. */
static void *churn_descriptors(void *opaque)
{
	struct scene *s = opaque;

	for (unsigned int i = 0; i < ROUNDS / 3; i++) {
		int vm = softcvm_ioctl(s->g.system, KVM_CREATE_VM, NULL), vcpu, copy;

		EXPECT(s, vm >= 0);
		EXPECT(s, softcvm_ioctl(vm, KVM_CREATE_IRQCHIP, NULL) == 0);
		vcpu = softcvm_ioctl(vm, KVM_CREATE_VCPU, NULL);
		EXPECT(s, vcpu >= 0);
		EXPECT(s, softcvm_close(vm) == 0);
		copy = fcntl(s->g.vm, F_DUPFD_CLOEXEC, 0);
		EXPECT(s, softcvm_ioctl(copy, KVM_CHECK_EXTENSION, (void *)KVM_CAP_IRQCHIP) == 1);
		EXPECT(s, softcvm_close(copy) == 0);
		EXPECT(s, softcvm_close(vcpu) == 0);
	}
	return NULL;
}

/* ---------------------------------------------------------------- tests */

static void together(enum softcvm_platform platform, void *(*const threads[])(void *), unsigned int count)
{
	pthread_t thread[3];
	struct scene s;

	scene_start(&s, platform);
	for (unsigned int i = 0; i < count; i++)
		pthread_create(&thread[i], NULL, threads[i], &s);
	for (unsigned int i = 0; i < count; i++)
		pthread_join(thread[i], NULL);
	scene_stop(&s);
	if (count > 1)
		assert_true(s.g.ram[INTERRUPTS] || s.g.ram[INTERRUPTS + 1]);
	scene_end(&s);
}

static void test_memory(void **state)
{
	/* HLT is left by interrupts only. */
	static void *(*const threads[])(void *) = { change_memory, send_interrupts };

	together(SOFTCVM_PLATFORM_INTEL, threads, 2);
	together(SOFTCVM_PLATFORM_AMD, threads, 2);
}

static void test_descriptors(void **state)
{
	static void *(*const threads[])(void *) = { send_interrupts, change_memory, churn_descriptors };

	together(SOFTCVM_PLATFORM_INTEL, threads, 3);
}

/* Descriptors that are closed while KVM_RUN is inside leave the VM to it. */
static void test_close_while_running(void **state)
{
	for (unsigned int round = 0; round < 10; round++) {
		struct scene s;

		scene_start(&s, round & 1 ? SOFTCVM_PLATFORM_AMD : SOFTCVM_PLATFORM_INTEL);
		send_msi(&s, 0);
		assert_int_equal(softcvm_close(s.g.system), 0);
		assert_int_equal(softcvm_close(s.g.vm), 0);
		usleep(3000);
		atomic_store(&s.stop, true);
		for (unsigned int i = 0; i < VCPUS; i++)
			assert_int_equal(softcvm_close(s.runner[i].fd), 0);
		scene_stop(&s);
		softcvm_munmap(s.g.run, 3 * 4096);
		softcvm_munmap(s.runner[1].run, 3 * 4096);
		munmap(s.g.ram, RAM_SIZE);
		munmap(s.window, WINDOW_SIZE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_close_while_running),
	};

	return cmocka_run_group_tests_name("kvm/concurrency", tests, NULL, NULL);
}
