// SPDX-License-Identifier: Apache-2.0
/*
 * The decision table (kvm/mmu/decisions.def), executed by a guest: each cell on each platform, by a read, a write and a
 * fetch where the row is open to all three.
 *
 * Moments that only a race reaches are made without one. The linker puts this test between kvm and two functions:
 * before a fault takes the slots (kvm_slots_lock) its claim is made and not yet decided, and when a zap flushes
 * (hw_vm_flush) its slot is invalid, its attribute about to change, its hole about to appear. There the test acts, in
 * the thread that came by.
 */
#include "kvm/kvm.h"
#include "kvm/mmu/decisions.h"
#include "private_guest.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/time.h>

#define APIC_PAGE 0xfee00000ull
#define RETRIES	  100 /* no access that ends makes so many exits */

enum access { READ, WRITE, FETCH, ACCESSES };
static const char *const access_text[] = {"read", "write", "fetch"};

struct scene;

enum moment { NEVER, DECISION, FLUSH };

/* Counts decisions, and says when the one about the page begins. */
struct witness {
	struct observe_sink sink;
	struct scene *scene;
};

struct scene {
	const struct decision *d;
	const struct decision_column *column;
	enum softcvm_platform platform;
	enum access access;
	struct guest g;
	unsigned char *memory;
	int fd;
	uint64_t page; /* under test */
	struct observer *observer;
	struct witness witness;
	enum moment moment; /* of the act, which happens once */
	void (*act)(struct scene *s);
	bool faulting;	      /* on the page, in this thread; not yet decided */
	unsigned int decided; /* KVM_FAULT_CLAIM events: times that the full path was taken */
	bool hardware_claim;
	enum decision_kind claim; /* of the next access, where hardware makes it */
	_Atomic bool answered;
	int result; /* of the guest's access, or the pre-fault */
};

static struct kvm *kvm_of(int fd)
{
	struct kvm_object *object = kvm_fd_get(fd);

	kvm_object_put(object);
	return (struct kvm *)object;
}

static struct kvm_vcpu *vcpu_of(int fd)
{
	struct kvm_object *object = kvm_fd_get(fd);

	kvm_object_put(object);
	return (struct kvm_vcpu *)object;
}

/* ---------------------------------------------------------------- a guest that is refused nothing but a decision */

/* Ticks end an access that is made again and again; that it was is seen by the processor's exits. */
static struct {
	struct hw_cpu *cpu; /* NULL: nothing to watch */
	u64 exits;
	unsigned int ticks;
	bool prefault; /* makes no exits: only watched where it must not end */
} watch;

static u64 exits_of(struct hw_cpu *cpu)
{
	struct hw_counters counters;

	hw_cpu_counters(cpu, &counters);
	return counters.exits;
}

static void tick(int signal)
{
	if (!watch.cpu)
		return;
	watch.ticks++;
	if (watch.prefault ? watch.ticks < 3 : exits_of(watch.cpu) < watch.exits + RETRIES)
		return;
	watch.cpu = NULL;
	softcvm_interrupt();
}

static int watched_ioctl(struct scene *s, unsigned long request, void *arg)
{
	const struct itimerval often = {.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}}, off = {0};
	struct hw_cpu *cpu = vcpu_of(s->g.vcpu)->cpu;
	int result;

	watch.exits = exits_of(cpu);
	watch.ticks = 0;
	watch.prefault = request == KVM_PRE_FAULT_MEMORY;
	watch.cpu = watch.prefault && s->d->outcome[s->column->cells] != DECISION_RETRY ? NULL : cpu;
	setitimer(ITIMER_REAL, &often, NULL);
	result = softcvm_ioctl(s->g.vcpu, request, arg);
	setitimer(ITIMER_REAL, &off, NULL);
	watch.cpu = NULL;
	return result;
}

static uint64_t address_of(const struct scene *s)
{
	return s->hardware_claim && s->claim == DECISION_P ? CLAIMED(s->page) : s->page;
}

/* mov al,[bx] or mov [bx],al; out PORT,al. The segment's base is the page, wherever it is. */
#define PORT_DATA   0x10
#define PORT_CLIENT 0x20 /* a fetch from the client's page */
#define PORT_GMEM   0x30

static void prepare(struct scene *s, enum access access, unsigned int offset, unsigned char value)
{
	const unsigned char code[] = {access == WRITE ? 0x88 : 0x8a, 0x07, 0xe6, PORT_DATA};
	bool fetch = access == FETCH;
	struct kvm_regs regs = {.rip = fetch ? offset : CODE_AT, .rflags = 2, .rax = value, .rbx = offset};
	struct kvm_sregs sregs;

	memcpy(s->g.ram + CODE_AT, code, sizeof(code));
	assert_int_equal(softcvm_ioctl(s->g.vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = fetch ? address_of(s) : 0;
	sregs.cs.selector = fetch ? address_of(s) >> 4 : 0;
	sregs.ds.base = address_of(s);
	sregs.ds.selector = address_of(s) >> 4;
	assert_int_equal(softcvm_ioctl(s->g.vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(s->g.vcpu, KVM_SET_REGS, &regs), 0);
}

static void run_guest(struct scene *s)
{
	s->result = watched_ioctl(s, KVM_RUN, NULL);
}

/* The guest itself writes what the page is to hold: whatever the page is. */
static void store(struct scene *s, unsigned int offset, unsigned char value)
{
	prepare(s, WRITE, offset, value);
	run_guest(s);
	assert_int_equal(s->result, 0);
	assert_int_equal(s->g.run->exit_reason, KVM_EXIT_IO);
}

/* ---------------------------------------------------------------- what came of it */

static enum decision_outcome outcome_of_io(const struct scene *s)
{
	const struct kvm_run *run = s->g.run;
	unsigned char value = ((const unsigned char *)run)[run->io.data_offset];

	if (run->io.port == PORT_CLIENT || run->io.port == PORT_GMEM)
		return run->io.port == PORT_CLIENT ? DECISION_HVA : DECISION_GMEM;
	assert_int_equal(run->io.port, PORT_DATA);
	if (s->d->condition == DECISION_LOCAL_APIC)
		return DECISION_APIC;
	if (s->access == WRITE)
		return s->memory[0] == 0x5a ? DECISION_HVA : DECISION_GMEM;
	if (value == 0x77)
		return DECISION_HVA;
	return value == 0x66 ? DECISION_GMEM : DECISION_ZERO;
}

static enum decision_outcome outcome_of_fault(const struct scene *s)
{
	const struct kvm_run *run = s->g.run;

	if (run->exit_reason == KVM_EXIT_UNKNOWN)
		return DECISION_EFAULT;
	assert_int_equal(run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(run->memory_fault.gpa, s->page);
	assert_int_equal(run->memory_fault.size, PAGE);
	assert_int_equal(run->memory_fault.flags & ~P, 0);
	return run->memory_fault.flags ? DECISION_MFX_P : DECISION_MFX_S;
}

static enum decision_outcome outcome(const struct scene *s)
{
	const struct kvm_run *run = s->g.run;

	switch (s->result) {
	case -EFAULT:
		return outcome_of_fault(s);
	case -ENOENT:
		return DECISION_ENOENT;
	case -EAGAIN:
		return DECISION_EAGAIN;
	case -EINTR:
		return DECISION_RETRY;
	}
	assert_int_equal(s->result, 0);
	if (run->exit_reason == KVM_EXIT_IO)
		return outcome_of_io(s);
	if (run->exit_reason == KVM_EXIT_MMIO) {
		assert_int_equal(run->mmio.phys_addr, s->page);
		assert_int_equal(run->mmio.is_write, s->access == WRITE);
		return DECISION_MMIO;
	}
	/* The emulator has no instruction to emulate where the instruction itself is MMIO. */
	assert_int_equal(run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(s->access, FETCH);
	return s->d->condition == DECISION_LOCAL_APIC ? DECISION_APIC : DECISION_MMIO;
}

/* ---------------------------------------------------------------- the stage */

static void record(struct observe_sink *sink, const struct observe_record *rec)
{
	struct scene *s = ((struct witness *)sink)->scene;

	if (rec->event == OBSERVE_KVM_PAGE_FAULT)
		s->faulting = (rec->arg[2] & ~(PAGE - 1)) == s->page;
	else if (rec->arg[0] == s->page / PAGE)
		s->decided++;
}

static void close_sink(struct observe_sink *sink)
{
}

static struct scene *stage; /* of the accesses that are being made */

static void act_at(struct scene *s, enum moment moment, void (*act)(struct scene *s))
{
	s->moment = moment;
	s->act = act;
}

static void come_by(enum moment moment)
{
	struct scene *s = stage;

	if (!s || s->moment != moment || (moment == DECISION && !s->faulting))
		return;
	s->moment = NEVER;
	s->act(s);
}

void __real_kvm_slots_lock(struct kvm *kvm);
void __wrap_kvm_slots_lock(struct kvm *kvm);
void __wrap_kvm_slots_lock(struct kvm *kvm)
{
	come_by(DECISION);
	__real_kvm_slots_lock(kvm);
}

void __real_hw_vm_flush(struct hw_vm *vm);
void __wrap_hw_vm_flush(struct hw_vm *vm);
void __wrap_hw_vm_flush(struct hw_vm *vm)
{
	come_by(FLUSH);
	__real_hw_vm_flush(vm);
}

static void open_scene(struct scene *s)
{
	struct softcvm_config config = s->column->config;
	struct observe_mask events = {0};

	stage = s;
	s->page = s->d->condition == DECISION_LOCAL_APIC ? APIC_PAGE : WINDOW;
	s->hardware_claim = kvm_vendor_find(&config, s->column->type)->hardware_claim;
	s->witness = (struct witness){.sink = {.record = record, .close = close_sink}, .scene = s};
	observe_mask_add(&events, OBSERVE_KVM_PAGE_FAULT);
	observe_mask_add(&events, OBSERVE_KVM_FAULT_CLAIM);
	assert_int_equal(observer_create(&s->observer), 0);
	observer_attach(s->observer, &s->witness.sink, &events);
	config.observer = s->observer;
	config.platform = s->platform;
	s->memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(s->memory, (const unsigned char[]){0x77, 0xe6, PORT_CLIENT}, 3);
	s->fd = -1;
	create_vm_of_type(&s->g, &config, s->column->type);
	if (s->d->condition == DECISION_LOCAL_APIC)
		assert_int_equal(softcvm_ioctl(s->g.vm, KVM_CREATE_IRQCHIP, NULL), 0);
	create_vcpu(&s->g);
}

static void close_scene(struct scene *s)
{
	stage = NULL;
	if (s->fd >= 0)
		softcvm_close(s->fd);
	destroy(&s->g);
	munmap(s->memory, PAGE);
	observer_destroy(s->observer);
}

/* Being invalid is a state of any slot: of one with a guest_memfd where there can be one. */
static enum decision_slot slot_kind(const struct scene *s)
{
	if (s->d->slot != DECISION_INVALID)
		return s->d->slot;
	return s->column->cells == DECISION_DEFAULT_6_12 ? DECISION_U : DECISION_G;
}

/* false: refused. */
static bool create_slot(struct scene *s)
{
	enum decision_slot kind = slot_kind(s);
	uint32_t flags = kind == DECISION_U ? 0 : KVM_MEM_GUEST_MEMFD;
	int error;

	if (kind == DECISION_NONE)
		return true;
	if (s->d->condition == DECISION_READ_ONLY)
		flags |= KVM_MEM_READONLY;
	if (kind != DECISION_U && s->fd < 0)
		s->fd = memfd(&s->g, PAGE, kind == DECISION_M ? GUEST_MEMFD_FLAG_MMAP : 0);
	if (kind == DECISION_M && s->fd == -EINVAL)
		return false;
	error = set_region2(&s->g, 1, flags, s->page, PAGE, s->memory, s->fd, 0);
	if (error)
		assert_int_equal(error, -EINVAL);
	return !error;
}

static int delete_slot(struct scene *s)
{
	return set_region2(&s->g, 1, 0, 0, 0, NULL, -1, 0);
}

static int set_kind(struct scene *s, enum decision_kind kind)
{
	return set_attributes(&s->g, s->page, PAGE, kind == DECISION_P ? P : S);
}

static enum decision_kind opposite(enum decision_kind kind)
{
	return kind == DECISION_P ? DECISION_S : DECISION_P;
}

/* ---------------------------------------------------------------- acts */

static void access_page(struct scene *s)
{
	s->g.run->exit_reason = KVM_EXIT_UNKNOWN;
	if (s->d->condition == DECISION_PREFAULT) {
		struct kvm_pre_fault_memory range = {.gpa = s->page, .size = PAGE};

		s->result = watched_ioctl(s, KVM_PRE_FAULT_MEMORY, &range);
		return;
	}
	/* Instructions stand behind the byte that is data. */
	prepare(s, s->access, s->access == FETCH, 0x5a);
	run_guest(s);
}

static void turn_attribute(struct scene *s)
{
	assert_int_equal(set_kind(s, s->d->attribute), 0);
}

static bool slot_is_invalid(const struct scene *s)
{
	struct kvm *kvm = kvm_of(s->g.vm);
	const struct kvm_memslot *slot;
	bool invalid;

	kvm_slots_lock(kvm);
	slot = kvm_find_slot(kvm, 0, gfn(s->page / PAGE));
	invalid = slot && slot->flags & KVM_MEMSLOT_INVALID;
	kvm_slots_unlock(kvm);
	return invalid;
}

static void wait_for_answer(struct scene *s)
{
	while (!atomic_load(&s->answered))
		sched_yield();
}

static void *delete_slowly(void *opaque)
{
	assert_int_equal(delete_slot(opaque), 0);
	return NULL;
}

static pthread_t deleter;

/* Another thread deletes the slot, and does not get past the zap until the guest has its answer. */
static void turn_attribute_and_delete(struct scene *s)
{
	sigset_t alarms, before;

	turn_attribute(s);
	act_at(s, FLUSH, wait_for_answer);
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, &before);
	pthread_create(&deleter, NULL, delete_slowly, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	while (!slot_is_invalid(s))
		sched_yield();
}

/* ---------------------------------------------------------------- conditions: each leaves the answer in s->result */

/* The attribute is what it shall be when the access begins; by a race, when it is decided. */
static void begin_attribute(struct scene *s)
{
	bool race = decision_by_race(s->d, s->column);

	assert_int_equal(set_kind(s, race ? s->d->claim : s->d->attribute), 0);
	if (race)
		act_at(s, DECISION, s->d->slot == DECISION_INVALID ? turn_attribute_and_delete : turn_attribute);
}

/* The guest's own page holds a value and instructions, and is mapped nowhere. */
static void fill_gmem(struct scene *s)
{
	store(s, 0, 0x66);
	store(s, 1, 0xe6);
	store(s, 2, PORT_GMEM);
	assert_int_equal(delete_slot(s), 0);
	assert_true(create_slot(s));
}

static bool is_gmem(const struct scene *s)
{
	bool gmem = s->d->slot == DECISION_M || (s->d->slot == DECISION_G && s->d->attribute == DECISION_P);

	return gmem && s->d->claim == s->d->attribute;
}

static void drive_access(struct scene *s)
{
	begin_attribute(s);
	if (is_gmem(s))
		fill_gmem(s);
	if (s->d->slot != DECISION_INVALID) {
		access_page(s);
		return;
	}
	if (decision_by_race(s->d, s->column)) {
		access_page(s);
		atomic_store(&s->answered, true);
		pthread_join(deleter, NULL);
		return;
	}
	act_at(s, FLUSH, access_page);
	assert_int_equal(delete_slot(s), 0);
}

/* Shared accesses find nothing, and that is remembered. */
static void remember_mmio(struct scene *s)
{
	s->claim = DECISION_S;
	prepare(s, READ, 0, 0);
	run_guest(s);
	assert_int_equal(s->result, 0);
	assert_int_equal(s->g.run->exit_reason, KVM_EXIT_MMIO);
	run_guest(s);
	assert_int_equal(s->g.run->exit_reason, KVM_EXIT_IO);
	s->claim = s->d->claim;
	assert_int_equal(set_kind(s, s->d->attribute), 0);
}

static void drive_current_entry(struct scene *s)
{
	unsigned int decided;

	remember_mmio(s);
	decided = s->decided;
	access_page(s);
	assert_int_equal(s->decided, decided);
}

static void drive_stale_entry(struct scene *s)
{
	unsigned int decided;

	/* The slot of the row comes after the entry. */
	if (s->d->slot != DECISION_NONE)
		assert_int_equal(delete_slot(s), 0);
	remember_mmio(s);
	if (s->d->slot != DECISION_NONE)
		assert_true(create_slot(s));
	else
		assert_int_equal(set_region(&s->g, 2, 0, 0x40000, PAGE, s->g.ram), 0);
	decided = s->decided;
	access_page(s);
	assert_true(s->decided > decided);
}

static void drive_unmapped_client(struct scene *s)
{
	begin_attribute(s);
	if (is_gmem(s))
		fill_gmem(s);
	mprotect(s->memory, PAGE, PROT_NONE);
	access_page(s);
	mprotect(s->memory, PAGE, PROT_READ | PROT_WRITE);
}

static void drive_closed_memfd(struct scene *s)
{
	begin_attribute(s);
	if (is_gmem(s))
		fill_gmem(s);
	softcvm_close(s->fd);
	s->fd = -1;
	access_page(s);
}

static void drive_hole(struct scene *s)
{
	begin_attribute(s);
	fill_gmem(s);
	assert_int_equal(punch(s->fd, 0, PAGE), 0);
	access_page(s);
}

/* A slot beside the page, so that there is something to zap even if the page has none. */
static void drive_changing_attribute(struct scene *s)
{
	const uint64_t other = opposite(s->d->attribute) == DECISION_P ? P : S;

	assert_int_equal(set_region(&s->g, 2, 0, s->page + PAGE, PAGE, s->g.ram), 0);
	assert_int_equal(set_attributes(&s->g, s->page, 2 * PAGE, other ^ P), 0);
	act_at(s, FLUSH, access_page);
	assert_int_equal(set_attributes(&s->g, s->page, 2 * PAGE, other), 0);
}

static void drive_appearing_hole(struct scene *s)
{
	begin_attribute(s);
	fill_gmem(s);
	act_at(s, FLUSH, access_page);
	assert_int_equal(punch(s->fd, 0, PAGE), 0);
}

/* What is mapped needs no decision when the guest comes. */
static void drive_prefault(struct scene *s)
{
	unsigned int decided;

	drive_access(s);
	if (s->result)
		return;
	decided = s->decided;
	prepare(s, READ, 0, 0);
	run_guest(s);
	assert_int_equal(s->decided, decided);
}

#define ALL (1u << READ | 1u << WRITE | 1u << FETCH)

static const struct {
	void (*drive)(struct scene *s);
	unsigned int accesses;
} conditions[DECISION_CONDITIONS] = {
	[DECISION_ACCESS] = {drive_access, ALL},
	[DECISION_ENTRY_CURRENT] = {drive_current_entry, ALL},
	[DECISION_ENTRY_STALE] = {drive_stale_entry, ALL},
	[DECISION_READ_ONLY] = {drive_access, 1u << WRITE},
	[DECISION_CLIENT_UNMAPPED] = {drive_unmapped_client, ALL},
	[DECISION_MEMFD_CLOSED] = {drive_closed_memfd, ALL},
	[DECISION_MEMFD_PUNCHED] = {drive_hole, 1u << READ},
	[DECISION_ATTRIBUTE_CHANGES] = {drive_changing_attribute, ALL},
	[DECISION_HOLE_APPEARS] = {drive_appearing_hole, ALL},
	[DECISION_LOCAL_APIC] = {drive_access, ALL},
	[DECISION_PREFAULT] = {drive_prefault, 1u << READ},
};

/* ---------------------------------------------------------------- the table */

static struct scene scene_of(const struct decision *d, const struct decision_column *column,
			     enum softcvm_platform platform)
{
	return (struct scene){.d = d, .column = column, .platform = platform, .claim = d->claim};
}

static void fail_cell(const struct scene *s, const char *what)
{
	fail_msg("%s, %s, %s: claim %s, attribute %s, slot %s, %s: %s, not %s", s->column->name,
		 s->platform == SOFTCVM_PLATFORM_INTEL ? "intel" : "amd", decision_condition_text[s->d->condition],
		 s->d->claim ? "P" : "S", s->d->attribute ? "P" : "S", decision_slot_text[s->d->slot],
		 access_text[s->access], what, decision_outcome_text[s->d->outcome[s->column->cells]]);
}

static void check_access(struct scene s, enum access access)
{
	enum decision_outcome found;

	s.access = access;
	open_scene(&s);
	if (!create_slot(&s))
		fail_cell(&s, "no slot");
	conditions[s.d->condition].drive(&s);
	found = outcome(&s);
	if (found != s.d->outcome[s.column->cells])
		fail_cell(&s, decision_outcome_text[found]);
	close_scene(&s);
}

/* A VM type without private memory cannot have the attribute; one whose hardware claims nothing cannot claim. */
static void check_never(struct scene s)
{
	open_scene(&s);
	if (s.d->attribute == DECISION_P && set_kind(&s, DECISION_P) != -EINVAL && s.hardware_claim)
		fail_cell(&s, "it can");
	if (s.d->attribute != DECISION_P && s.hardware_claim)
		fail_cell(&s, "it can");
	close_scene(&s);
}

static void check_refused(struct scene s)
{
	open_scene(&s);
	if (create_slot(&s))
		fail_cell(&s, "a slot");
	close_scene(&s);
}

static unsigned int check_cell(const struct scene *s)
{
	unsigned int accesses = conditions[s->d->condition].accesses;

	switch (s->d->outcome[s->column->cells]) {
	case DECISION_NEVER:
		check_never(*s);
		return 0;
	case DECISION_NO_SLOT:
		check_refused(*s);
		return 0;
	case DECISION_NOT_MADE:
		return 0;
	default:
		break;
	}
	for (enum access access = READ; access < ACCESSES; access++)
		if (accesses >> access & 1)
			check_access(*s, access);
	return __builtin_popcount(accesses);
}

static void check_column(const struct decision_column *column, enum softcvm_platform platform)
{
	unsigned int made = 0;

	for (size_t i = 0; i < decision_count; i++) {
		const struct scene s = scene_of(&decisions[i], column, platform);

		made += check_cell(&s);
	}
	print_message("%s, %s: %u accesses\n", column->name, platform == SOFTCVM_PLATFORM_INTEL ? "intel" : "amd",
		      made);
}

static void test_table(void **state)
{
	for (size_t i = 0; i < decision_column_count; i++) {
		check_column(&decision_columns[i], SOFTCVM_PLATFORM_INTEL);
		check_column(&decision_columns[i], SOFTCVM_PLATFORM_AMD);
	}
}

/* The variant is for hardware that claims: software-protected VMs stay as they are. */
static void test_variant_elsewhere(void **state)
{
	for (size_t i = 0; i < decision_column_count; i++) {
		struct decision_column column = decision_columns[i];

		column.config.no_slot_is_mmio = true;
		if (!kvm_vendor_find(&column.config, column.type)->hardware_claim)
			check_column(&column, SOFTCVM_PLATFORM_AMD);
	}
}

int main(void)
{
	const struct sigaction action = {.sa_handler = tick};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_variant_elsewhere),
	};

	sigaction(SIGALRM, &action, NULL);
	return cmocka_run_group_tests_name("kvm/decisions", tests, NULL, NULL);
}
