// SPDX-License-Identifier: Apache-2.0
/*
 * Arbitrary calls on a VM, by three threads at once: every request of the API with structures that begin plausible and
 * are then patched, calls on guest_memfds, KVM_RUN of whatever guest that leaves. Any answer is allowed but a crash, a
 * hang, a leak, or memory whose invariants do not hold.
 *
 * Input: 4 bytes choose the VM, 32 are guest code, the rest are calls.
 *
 * Pointers to memory that kvm may write, and client memory behind slots, are kept inside a mapping of the target's own:
 * what a client does to itself with others is no finding.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "softcvm/kvm_abi.h"
#include "softcvm/softcvm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGE	    4096ull
#define THREADS	    3u
#define VCPUS	    3u
#define MEMFDS	    4u
#define DEVICES	    4u
#define MAX_CALLS   256u
#define ARENA_MAX   (1ull << 40) /* address space; memory only in the first part */
#define ARENA_MIN   (1ull << 36) /* ThreadSanitizer leaves little, and not always the same */
#define MEMORY_SIZE 0x100000ull
#define ARGUMENT    16384u
#define CODE_SIZE   32u

/* ---------------------------------------------------------------- the input */

struct input {
	const uint8_t *at, *end;
};

static uint8_t take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static uint64_t take_bytes(struct input *in, unsigned int n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | take(in);
	return v;
}

static uint8_t *arena;
static uint64_t arena_size;

/* Values that checks forget, addresses, anything. */
static uint64_t take_value(struct input *in)
{
	static const uint64_t interesting[] = {
		0,	    1,		2,	    3,		4,	    7,		8,
		0x10,	    0xff,	0xfff,	    0x1000,	0x1fff,	    0x7fffffff, 0x80000000,
		0xffffffff, 1ull << 32, 1ull << 40, 1ull << 46, 1ull << 52, 1ull << 62, 1ull << 63,
		~0ull,	    ~0xfffull,	~0ull >> 1, 0xfee00000, 0x40000000,
	};
	uint8_t kind = take(in);

	switch (kind & 7) {
	case 0:
		return take(in);
	case 1:
		return take(in) * PAGE;
	case 2:
		return 0x40000000 + take(in) * PAGE;
	case 3:
		return (uintptr_t)arena + take(in) * PAGE;
	case 4:
		return take_bytes(in, 2);
	case 5:
		return take_bytes(in, 8);
	default:
		return interesting[take(in) % (sizeof(interesting) / sizeof(interesting[0]))];
	}
}

/* ---------------------------------------------------------------- the VM */

enum on { SYSTEM, VM, VCPU, DEVICE, GUEST_MEMFD };

struct world {
	int system, vm, event;
	_Atomic int vcpu[VCPUS], memfd[MEMFDS], device[DEVICES];
	struct kvm_run *run[VCPUS];
	pthread_mutex_t making; /* descriptors, so that none is lost */
	_Atomic bool running;
};

static const struct {
	enum on on;
	unsigned long request;
} requests[] = {
#define IOCTL(request, kind, argument, handler) {kind, request},
#include "kvm/ioctls.def"
#undef IOCTL
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

static int fd_of(struct world *w, enum on on, unsigned int n)
{
	switch (on) {
	case SYSTEM:
		return w->system;
	case VM:
		return w->vm;
	case VCPU:
		return w->vcpu[n % VCPUS];
	case DEVICE:
		return w->device[n % DEVICES];
	case GUEST_MEMFD:
		return w->memfd[n % MEMFDS];
	}
	return -1;
}

static int set_slot(struct world *w, unsigned int slot, uint64_t gpa, uint64_t size, uint64_t offset)
{
	struct kvm_userspace_memory_region region = {slot, 0, gpa, size, (uintptr_t)arena + offset};

	return softcvm_ioctl(w->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static void add_vcpu(struct world *w, unsigned long id)
{
	for (unsigned int n = 0; n < VCPUS; n++) {
		if (w->vcpu[n] >= 0)
			continue;
		int fd = softcvm_ioctl(w->vm, KVM_CREATE_VCPU, (void *)id);

		if (fd < 0)
			return;
		w->run[n] = softcvm_mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		w->vcpu[n] = fd;
		return;
	}
}

static bool open_world(struct world *w, struct input *in)
{
	static const unsigned long types[] = {KVM_X86_DEFAULT_VM, KVM_X86_SW_PROTECTED_VM, SOFTCVM_TEST_CLAIM_VM};
	uint8_t setup = take(in), vcpus = take(in);
	const struct softcvm_config config = {
		.platform = setup & 1 ? SOFTCVM_PLATFORM_AMD : SOFTCVM_PLATFORM_INTEL,
		.kvm_compat = setup & 2 ? SOFTCVM_KVM_6_12 : SOFTCVM_KVM_7_2,
		.no_slot_is_mmio = setup & 4,
		.test_vm_types = true,
	};

	memset(w, 0, sizeof(*w));
	for (unsigned int n = 0; n < VCPUS; n++)
		w->vcpu[n] = -1;
	for (unsigned int n = 0; n < MEMFDS; n++)
		w->memfd[n] = w->device[n] = -1;
	pthread_mutex_init(&w->making, NULL);
	w->system = softcvm_open(&config);
	w->vm = softcvm_ioctl(w->system, KVM_CREATE_VM, (void *)types[(setup >> 3) % 3]);
	if (w->vm < 0) {
		softcvm_close(w->system);
		return false;
	}
	w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	set_slot(w, 0, 0, 0x10000, 0);
	if (setup & 0x40)
		softcvm_ioctl(w->vm, KVM_CREATE_IRQCHIP, NULL);
	for (unsigned int n = 0; n < 1 + vcpus % VCPUS; n++)
		add_vcpu(w, n);
	return true;
}

static void close_world(struct world *w)
{
	char message[200];

	if (softcvm_check(w->vm, message, sizeof(message)) == 1) {
		fprintf(stderr, "%s\n", message);
		abort();
	}
	for (unsigned int n = 0; n < VCPUS; n++) {
		if (w->vcpu[n] < 0)
			continue;
		softcvm_munmap(w->run[n], 3 * PAGE);
		softcvm_close(w->vcpu[n]);
	}
	for (unsigned int n = 0; n < MEMFDS; n++) {
		if (w->memfd[n] >= 0)
			softcvm_close(w->memfd[n]);
		if (w->device[n] >= 0)
			softcvm_close(w->device[n]);
	}
	softcvm_close(w->vm);
	softcvm_close(w->system);
	close(w->event);
	pthread_mutex_destroy(&w->making);
}

/* ---------------------------------------------------------------- one call */

enum { CALL_FALLOCATE = REQUESTS, CALL_FSTAT, CALL_MMAP, CALL_CLOSE_MEMFD, CALL_CHECK, CALL_UNKNOWN, CALLS };

struct call {
	unsigned int what, n;
	uint8_t mode;
	uint8_t seed[6]; /* of the plausible structure */
	struct {
		uint16_t offset;
		uint8_t size;
		uint64_t value;
	} patch[4];
	unsigned int patches;
};

struct script {
	struct world *w;
	struct call call[MAX_CALLS];
	unsigned int count;
	uint8_t *argument; /* what the last call left in it stays */
};

/* What memory is made of, and the guest that uses it, comes more often. */
static unsigned int take_what(struct input *in)
{
	static const unsigned long frequent[] = {
		KVM_RUN,
		KVM_SET_REGS,
		KVM_SET_SREGS,
		KVM_SET_USER_MEMORY_REGION2,
		KVM_SET_MEMORY_ATTRIBUTES,
		KVM_CREATE_GUEST_MEMFD,
		KVM_PRE_FAULT_MEMORY,
		KVM_GET_DIRTY_LOG,
	};
	const unsigned int count = sizeof(frequent) / sizeof(frequent[0]);
	uint8_t pick = take(in);

	if (pick >= 12 * (count + 2))
		return (pick ^ take(in)) % CALLS;
	if (pick / 12 >= count)
		return CALL_FALLOCATE + pick % (CALLS - CALL_FALLOCATE);
	for (unsigned int i = 0; i < REQUESTS; i++)
		if (requests[i].request == frequent[pick / 12])
			return i;
	return CALL_UNKNOWN;
}

static void take_call(struct call *c, struct input *in)
{
	c->what = take_what(in);
	c->mode = take(in);
	c->n = c->mode >> 6;
	for (unsigned int i = 0; i < sizeof(c->seed); i++)
		c->seed[i] = take(in);
	c->patches = (c->mode & 3) == 3 ? (take(in) & 3) + 1 : 0;
	for (unsigned int i = 0; i < c->patches; i++) {
		unsigned int offset = take(in);

		/* Mostly the first words, where the fields are that matter. */
		c->patch[i].offset = (uint16_t)(offset & 0x80 ? (offset & 0x7f) * 64 : offset * 4);
		c->patch[i].size = offset & 1 ? 4 : 8;
		c->patch[i].value = take_value(in);
	}
}

static void plausible_slot(const struct call *c, const struct world *w, struct kvm_userspace_memory_region2 *r)
{
	static const uint32_t flags[8] = {
		0,
		0,
		KVM_MEM_LOG_DIRTY_PAGES,
		KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY,
		KVM_MEM_GUEST_MEMFD,
		KVM_MEM_GUEST_MEMFD,
		KVM_MEM_GUEST_MEMFD,
		KVM_MEM_READONLY,
	};
	const uint8_t *s = c->seed;

	*r = (struct kvm_userspace_memory_region2){
		.slot = 1 + s[0] % 4,
		.flags = flags[s[1] & 7],
		.guest_phys_addr = 0x20000 + (s[2] & 63) * PAGE,
		.memory_size = s[3] & 0x80 ? 0 : (s[3] & 31) * PAGE,
		.userspace_addr = (uintptr_t)arena + 0x20000 + (s[4] & 63) * PAGE,
		.guest_memfd = (uint32_t)w->memfd[s[5] % MEMFDS],
		.guest_memfd_offset = (s[5] & 0x40 ? s[5] >> 2 & 15 : 0) * PAGE,
	};
	if (s[2] & 0x40)
		r->guest_phys_addr += 0x40000000;
}

static void plausible(const struct call *c, const struct world *w, unsigned long request, void *arg)
{
	const uint8_t *s = c->seed;

	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
	case KVM_SET_USER_MEMORY_REGION2:
		plausible_slot(c, w, arg);
		break;
	case KVM_SET_MEMORY_ATTRIBUTES:
		*(struct kvm_memory_attributes *)arg = (struct kvm_memory_attributes){
			.address = (s[0] & 0x80 ? 0x40000000 : 0x20000) + (s[0] & 63) * PAGE,
			.size = s[1] * PAGE,
			.attributes = s[2] & KVM_MEMORY_ATTRIBUTE_PRIVATE,
		};
		break;
	case KVM_CREATE_GUEST_MEMFD:
		*(struct kvm_create_guest_memfd *)arg =
			(struct kvm_create_guest_memfd){.size = s[0] * PAGE, .flags = s[1] & 3};
		break;
	case KVM_PRE_FAULT_MEMORY:
		*(struct kvm_pre_fault_memory *)arg = (struct kvm_pre_fault_memory){
			.gpa = (s[0] & 0x80 ? 0x40000000 : 0x20000) + (s[0] & 63) * PAGE, .size = s[1] * PAGE};
		break;
	case KVM_GET_DIRTY_LOG:
	case KVM_CLEAR_DIRTY_LOG:
		*(struct kvm_clear_dirty_log *)arg = (struct kvm_clear_dirty_log){
			.slot = s[0] % 5, .num_pages = s[1] & 0xc0, .first_page = s[2] & 0x40};
		break;
	case KVM_ENABLE_CAP:
		memset(arg, 0, sizeof(struct kvm_enable_cap));
		((struct kvm_enable_cap *)arg)->cap = s[0];
		((struct kvm_enable_cap *)arg)->args[0] = s[1] & 0x80 ? 1ull << (s[1] & 31) : s[1];
		break;
	case KVM_SET_REGS:
		memset(arg, 0, sizeof(struct kvm_regs));
		*(struct kvm_regs *)arg =
			(struct kvm_regs){.rip = 0x1000, .rflags = 2, .rsp = 0x8000, .rbx = s[0] << 4, .rdx = s[1]};
		break;
	case KVM_SET_SREGS: {
		struct kvm_sregs *sregs = arg;

		softcvm_ioctl(fd_of((struct world *)w, VCPU, c->n), KVM_GET_SREGS, sregs);
		sregs->ds.base = (s[0] & 0x80 ? 0x40000000 : 0x20000) + (s[0] & 63) * PAGE;
		sregs->cs.base = 0;
		break;
	}
	default:
		break;
	}
}

/* Memory that is written stays the target's own, and a machine's memory is not asked for. */
static void keep_inside(const struct world *w, unsigned long request, void *arg)
{
	struct kvm_userspace_memory_region *region = arg;
	struct kvm_create_guest_memfd *memfd = arg;
	struct kvm_pre_fault_memory *prefault = arg;
	struct kvm_clear_dirty_log *log = arg;
	struct kvm_signal_mask *mask = arg;
	struct kvm_irqfd *irqfd = arg;
	struct kvm_ioeventfd *ioeventfd = arg;
	struct kvm_msr_filter *filter = arg;
	struct kvm_device_attr *attr = arg;
	struct kvm_create_device *device = arg;

	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
	case KVM_SET_USER_MEMORY_REGION2:
		if (region->memory_size < 1ull << 43)
			region->memory_size &= (arena_size >> 1) - 1;
		if (region->userspace_addr - (uintptr_t)arena > arena_size / 2)
			region->userspace_addr = (uintptr_t)arena + (region->userspace_addr & 0xfffff);
		break;
	case KVM_CREATE_GUEST_MEMFD:
		if ((int64_t)memfd->size > 0)
			memfd->size &= 0xffffff;
		break;
	case KVM_PRE_FAULT_MEMORY:
		if (prefault->gpa + prefault->size > prefault->gpa)
			prefault->size &= 0xffffff;
		break;
	case KVM_GET_DIRTY_LOG:
		log->dirty_bitmap = log->num_pages & 1 ? NULL : arena + MEMORY_SIZE - 2 * PAGE;
		((struct kvm_dirty_log *)arg)->dirty_bitmap = arena + MEMORY_SIZE - 2 * PAGE;
		break;
	case KVM_CLEAR_DIRTY_LOG:
		log->dirty_bitmap = arena + MEMORY_SIZE - 2 * PAGE;
		break;
	case KVM_SET_SIGNAL_MASK:
		/* Who blocks the signal that is to end KVM_RUN waits for ever. */
		((uint8_t *)mask)[4 + (SIGUSR1 - 1) / 8] &= (uint8_t) ~(1u << (SIGUSR1 - 1) % 8);
		break;
	case KVM_IRQFD:
		irqfd->fd = (uint32_t)(irqfd->fd & 1 ? w->event : -1);
		irqfd->resamplefd = (uint32_t)(irqfd->resamplefd & 1 ? w->event : -1);
		break;
	case KVM_IOEVENTFD:
		ioeventfd->fd = ioeventfd->fd & 1 ? w->event : -1;
		break;
	case KVM_X86_SET_MSR_FILTER:
		for (unsigned int i = 0; i < 16; i++)
			filter->ranges[i].bitmap = arena + MEMORY_SIZE - PAGE;
		break;
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		attr->addr = (uintptr_t)arena + MEMORY_SIZE - PAGE;
		break;
	case KVM_CREATE_DEVICE:
		device->flags |= KVM_CREATE_DEVICE_TEST;
		break;
	}
}

static void create_memfd(struct world *w, void *arg)
{
	pthread_mutex_lock(&w->making);
	for (unsigned int n = 0; n < MEMFDS; n++) {
		if (w->memfd[n] < 0) {
			w->memfd[n] = softcvm_ioctl(w->vm, KVM_CREATE_GUEST_MEMFD, arg);
			break;
		}
	}
	pthread_mutex_unlock(&w->making);
}

static void close_memfd(struct world *w, unsigned int n)
{
	pthread_mutex_lock(&w->making);
	if (w->memfd[n] >= 0)
		softcvm_close(w->memfd[n]);
	w->memfd[n] = -1;
	pthread_mutex_unlock(&w->making);
}

static void create_vcpu(struct world *w, unsigned long id)
{
	pthread_mutex_lock(&w->making);
	add_vcpu(w, id);
	pthread_mutex_unlock(&w->making);
}

static void run_vcpu(struct world *w, const struct call *c)
{
	int fd = fd_of(w, VCPU, c->n);
	struct kvm_run *run = w->run[c->n % VCPUS];

	if (fd < 0)
		return;
	for (unsigned int i = 0; i < c->patches; i++)
		memcpy((uint8_t *)run + c->patch[i].offset, &c->patch[i].value, c->patch[i].size);
	softcvm_ioctl(fd, KVM_RUN, NULL);
}

static void read_statistics(int fd)
{
	int statistics = softcvm_ioctl(fd, KVM_GET_STATS_FD, NULL);

	if (statistics >= 0 && softcvm_close(statistics))
		close(statistics);
}

static void request(struct script *s, const struct call *c)
{
	unsigned long number = requests[c->what].request;
	int fd = fd_of(s->w, requests[c->what].on, c->n);
	void *arg = s->argument;

	if (c->mode & 3)
		plausible(c, s->w, number, arg);
	for (unsigned int i = 0; i < c->patches; i++)
		memcpy(s->argument + c->patch[i].offset, &c->patch[i].value, c->patch[i].size);
	keep_inside(s->w, number, arg);
	if ((c->mode & 0x3c) == 0x3c) /* sometimes nowhere, or across the end of what is mapped */
		arg = c->mode & 2 ? NULL : arena + MEMORY_SIZE - 8;
	if (number == KVM_RUN)
		run_vcpu(s->w, c);
	else if (number == KVM_CREATE_GUEST_MEMFD)
		create_memfd(s->w, arg);
	else if (number == KVM_CREATE_VCPU)
		create_vcpu(s->w, c->seed[0]);
	else if (number == KVM_GET_STATS_FD)
		read_statistics(fd);
	else if (number != KVM_CREATE_VM)
		softcvm_ioctl(fd, number,
			      requests[c->what].on == VM && c->mode & 0x20 ? (void *)(uintptr_t)c->seed[0] : arg);
}

static void map_and_touch(int fd, const struct call *c)
{
	void *at = softcvm_mmap(NULL, (c->seed[0] + 1) * PAGE, PROT_READ | PROT_WRITE,
				c->seed[1] & 1 ? MAP_SHARED : MAP_PRIVATE, fd, (c->seed[2] & 15) * PAGE);

	if (at != MAP_FAILED)
		softcvm_munmap(at, (c->seed[0] + 1) * PAGE);
}

static void check(struct world *w)
{
	char message[200];

	if (softcvm_check(w->vm, message, sizeof(message)) != 1)
		return;
	fprintf(stderr, "%s\n", message);
	abort();
}

static void one_call(struct script *s, const struct call *c)
{
	int memfd = fd_of(s->w, GUEST_MEMFD, c->n);
	struct stat st;

	switch (c->what) {
	case CALL_FALLOCATE:
		softcvm_fallocate(memfd, c->seed[0] & 0x80 ? c->seed[0] : 1 | (c->seed[0] & 2), c->seed[1] * PAGE,
				  c->seed[2] * PAGE);
		break;
	case CALL_FSTAT:
		softcvm_fstat(memfd, &st);
		break;
	case CALL_MMAP:
		map_and_touch(memfd, c);
		break;
	case CALL_CLOSE_MEMFD:
		close_memfd(s->w, c->n % MEMFDS);
		break;
	case CALL_CHECK:
		check(s->w);
		break;
	case CALL_UNKNOWN:
		softcvm_ioctl(fd_of(s->w, c->seed[0] % 5, c->n),
			      c->seed[1] | (unsigned long)c->seed[2] << 8 | (unsigned long)c->seed[3] << 16,
			      s->argument);
		break;
	default:
		request(s, c);
		break;
	}
}

/* ---------------------------------------------------------------- threads */

static void *run_script(void *opaque)
{
	struct script *s = opaque;

	for (unsigned int i = 0; i < s->count; i++)
		one_call(s, &s->call[i]);
	return NULL;
}

/* A guest that goes on for ever is interrupted. */
struct timekeeper {
	pthread_t thread[THREADS];
	_Atomic bool done;
};

static void *keep_time(void *opaque)
{
	struct timekeeper *t = opaque;
	const struct timespec pause = {.tv_nsec = 300000};

	while (!atomic_load(&t->done)) {
		nanosleep(&pause, NULL);
		for (unsigned int i = 0; i < THREADS; i++)
			pthread_kill(t->thread[i], SIGUSR1);
	}
	return NULL;
}

static void interrupt(int signal)
{
	softcvm_interrupt();
}

static void run_scripts(struct script *script)
{
	struct timekeeper t = {.done = false};
	pthread_t keeper;

	for (unsigned int i = 0; i < THREADS; i++)
		pthread_create(&t.thread[i], NULL, run_script, &script[i]);
	pthread_create(&keeper, NULL, keep_time, &t);
	/* Their identities must stay good for the timekeeper: it ends before they are let go. */
	for (unsigned int i = 0; i < THREADS; i++)
		while (pthread_tryjoin_np(t.thread[i], NULL) == EBUSY) {
			const struct timespec pause = {.tv_nsec = 50000};

			nanosleep(&pause, NULL);
		}
	atomic_store(&t.done, true);
	pthread_join(keeper, NULL);
}

static void prepare(void)
{
	const struct sigaction action = {.sa_handler = interrupt};

	if (arena)
		return;
	for (arena_size = ARENA_MAX; arena_size >= ARENA_MIN; arena_size /= 2) {
		arena = mmap(NULL, arena_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (arena != MAP_FAILED)
			break;
	}
	if (arena == MAP_FAILED || mprotect(arena, MEMORY_SIZE, PROT_READ | PROT_WRITE))
		abort();
	sigaction(SIGUSR1, &action, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct script script[THREADS];
	static uint8_t argument[THREADS][ARGUMENT + 64];
	struct input in = {data, data + size};
	struct world w;

	if (size < 4 + CODE_SIZE)
		return 0;
	prepare();
	memset(arena, 0, MEMORY_SIZE);
	memset(argument, 0, sizeof(argument));
	if (!open_world(&w, &in))
		return 0;
	take_bytes(&in, 2);
	for (unsigned int i = 0; i < CODE_SIZE; i++)
		arena[0x1000 + i] = take(&in);
	for (unsigned int i = 0; i < THREADS; i++) {
		script[i].w = &w;
		script[i].count = 0;
		script[i].argument = argument[i];
	}
	while (in.at < in.end) {
		struct script *s = &script[take(&in) % THREADS];

		if (s->count == MAX_CALLS)
			break;
		take_call(&s->call[s->count++], &in);
	}
	run_scripts(script);
	close_world(&w);
	return 0;
}
