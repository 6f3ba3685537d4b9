// SPDX-License-Identifier: Apache-2.0
/* Guests that report what the processor did: guest_modes.S, guest_interrupts.S. */
#include <stdio.h>

#include "fixture.h"

#define GUEST_ADDRESS 0x8000u
#define PORT_ID	      0x10
#define PORT_FOUND    0x14
#define PORT_EXPECTED 0x18
#define PORT_POST     0x20
#define PORT_WINDOW   0x21
#define PORT_EOI      0x22
#define PORT_BYTES    0x50
#define PORT_WORDS    0x51
#define VAPIC_ISR     0x110
#define VAPIC_IRR     0x210

struct session {
	struct fixture *f;
	u8 *vapic;
	u32 id, found;
	unsigned int reports, failures, windows, words;
	char bytes[16];
	unsigned int byte_count;
};

static void load_guest(struct fixture *f, const char *path)
{
	FILE *file = fopen(path, "rb");
	struct hw_arch *a = hw_cpu_arch(f->cpu);

	assert_non_null(file);
	assert_true(fread(f->ram + GUEST_ADDRESS, 1, 1 << 20, file) > 0);
	fclose(file);
	a->seg[HW_CS].selector = 0;
	a->seg[HW_CS].base = 0;
	a->rip = GUEST_ADDRESS;
	hw_cpu_ctl(f->cpu)->hlt_exiting = true;
	hw_cpu_arch_changed(f->cpu);
}

static void report(struct session *s, u32 expected)
{
	s->reports++;
	if (s->found == expected)
		return;
	s->failures++;
	fprintf(stderr, "expectation %u: found %#x, expected %#x\n", s->id, s->found, expected);
}

static void port_access(struct session *s)
{
	struct hw_cpu *c = s->f->cpu;
	const struct hw_access *x = &hw_cpu_exit(c)->access;
	u64 in = 0;

	switch (x->addr) {
	case PORT_ID:
		s->id = x->data;
		break;
	case PORT_FOUND:
		s->found = x->data;
		break;
	case PORT_EXPECTED:
		report(s, x->data);
		break;
	case PORT_POST:
		s->vapic[VAPIC_IRR] |= 1u << 1;
		break;
	case PORT_EOI:
		s->vapic[VAPIC_ISR] = 0;
		break;
	case PORT_WINDOW:
		hw_cpu_ctl(c)->irq_window = true;
		break;
	case PORT_BYTES:
		if (s->byte_count < sizeof(s->bytes) - 1)
			s->bytes[s->byte_count++] = x->data;
		break;
	case PORT_WORDS:
		in = 0x100 + s->words++;
		break;
	default:
		fail();
	}
	hw_cpu_complete_access(c, in);
}

enum stop { STOP_IO, STOP_HLT, STOP_WINDOW, STOP_SHUTDOWN, STOP_OTHER };

static enum stop why(const struct session *s)
{
	const struct hw_exit *x = hw_cpu_exit(s->f->cpu);

	if (!cpu_is_intel(s->f->cpu)) {
		switch (x->svm.code) {
		case SVM_EXIT_IOIO:
			return STOP_IO;
		case SVM_EXIT_HLT:
			return STOP_HLT;
		case SVM_EXIT_VINTR:
			return STOP_WINDOW;
		case SVM_EXIT_SHUTDOWN:
			return STOP_SHUTDOWN;
		default:
			return STOP_OTHER;
		}
	}
	switch (x->vmx.reason) {
	case VMX_EXIT_IO:
		return STOP_IO;
	case VMX_EXIT_HLT:
		return STOP_HLT;
	case VMX_EXIT_INT_WINDOW:
		return STOP_WINDOW;
	case VMX_EXIT_TRIPLE_FAULT:
		return STOP_SHUTDOWN;
	default:
		return STOP_OTHER;
	}
}

/* Runs to a HLT with interrupts off, a shutdown, or something that nobody expects. */
static enum stop run_guest(struct session *s)
{
	struct hw_cpu *c = s->f->cpu;

	for (unsigned int n = 0; n < 100000; n++) {
		enum stop stop;

		hw_cpu_run(c);
		stop = why(s);
		if (stop == STOP_IO) {
			port_access(s);
		} else if (stop == STOP_WINDOW) {
			s->windows++;
			hw_cpu_ctl(c)->irq_window = false;
		} else if (stop == STOP_HLT && hw_cpu_arch(c)->rflags & FLAG_IF) {
			hw_cpu_skip_insn(c);
		} else {
			return stop;
		}
	}
	return STOP_OTHER;
}

static void modes(enum hw_platform platform)
{
	struct session s = { .f = fixture_open(platform) };

	load_guest(s.f, GUEST_MODES);
	assert_int_equal(run_guest(&s), STOP_SHUTDOWN);
	assert_int_equal(s.failures, 0);
	assert_int_equal(s.reports, 62);
	fixture_close(s.f);
}

static void modes_intel(void **state)
{
	modes(HW_PLATFORM_INTEL);
}

static void modes_amd(void **state)
{
	modes(HW_PLATFORM_AMD);
}

static void interrupts(enum hw_platform platform)
{
	struct session s = { .f = fixture_open(platform) };

	s.vapic = aligned_alloc(4096, 4096);
	assert_non_null(s.vapic);
	memset(s.vapic, 0, 4096);
	hw_cpu_ctl(s.f->cpu)->vapic = s.vapic;
	load_guest(s.f, GUEST_INTERRUPTS);
	assert_int_equal(run_guest(&s), STOP_HLT);
	assert_int_equal(s.failures, 0);
	assert_int_equal(s.reports, 12);
	assert_int_equal(s.windows, 1);
	assert_string_equal(s.bytes, "hello");
	fixture_close(s.f);
	free(s.vapic);
}

static void interrupts_intel(void **state)
{
	interrupts(HW_PLATFORM_INTEL);
}

static void interrupts_amd(void **state)
{
	interrupts(HW_PLATFORM_AMD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes_intel),
		cmocka_unit_test(modes_amd),
		cmocka_unit_test(interrupts_intel),
		cmocka_unit_test(interrupts_amd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
