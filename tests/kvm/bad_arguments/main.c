// SPDX-License-Identifier: Apache-2.0
/* Runs the tables, and sees that no request is left out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bad.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct bad_table *const tables[] = {&bad_system, &bad_memory, &bad_interrupts,
						 &bad_vm,     &bad_vcpu,   &bad_state};
static const unsigned long types[] = {KVM_X86_DEFAULT_VM, KVM_X86_SW_PROTECTED_VM};

/* ---------------------------------------------------------------- every request */

enum argument { VALUE, IN, OUT, INOUT, RAW };

static const struct request {
	const char *name;
	enum on on;
	uint32_t number;
	enum argument argument;
} requests[] = {
#define IOCTL(request, kind, argument, handler) {#request, kind, (uint32_t)(request), argument},
#include "kvm/ioctls.def"
#undef IOCTL
};

/* With a value for an argument, and none of them is bad. */
static const struct {
	enum on on;
	uint32_t number;
} harmless[] = {
	{SYSTEM, KVM_CHECK_EXTENSION}, {VM, KVM_CHECK_EXTENSION}, {VM, KVM_GET_TSC_KHZ},
	{VCPU, KVM_GET_TSC_KHZ},       {VCPU, KVM_NMI},           {VM, KVM_GET_STATS_FD},
	{VCPU, KVM_GET_STATS_FD},      {VCPU, KVM_SMI},
};

static bool is_covered(const struct request *r)
{
	if (r->argument != VALUE)
		return true; /* pointers, below */
	for (size_t i = 0; i < COUNT(harmless); i++)
		if (harmless[i].on == r->on && harmless[i].number == r->number)
			return true;
	for (size_t t = 0; t < COUNT(tables); t++)
		for (size_t i = 0; i < tables[t]->count; i++)
			if (tables[t]->row[i].on == r->on && (uint32_t)tables[t]->row[i].request == r->number)
				return true;
	return false;
}

static void test_every_request(void **state)
{
	for (size_t i = 0; i < COUNT(requests); i++)
		if (!is_covered(&requests[i]))
			fail_msg("%s has no row", requests[i].name);
}

/* ---------------------------------------------------------------- pointers */

static int on_pointer(const struct machine *m, const struct request *r, uint64_t at)
{
	return softcvm_ioctl(m->fd[r->on], r->number, (void *)at);
}

/* Of these VM types nothing is encrypted, whatever the argument is. */
static bool looks_at_pointer(const struct request *r)
{
	return r->argument != VALUE && r->number != (uint32_t)KVM_MEMORY_ENCRYPT_OP;
}

/* Nothing there; where something is written, nothing that can be. */
static void test_pointers(void **state)
{
	struct machine m;
	int wrong = 0;

	machine_create(&m, IRQCHIP, KVM_X86_DEFAULT_VM, SOFTCVM_KVM_7_2);
	for (size_t i = 0; i < COUNT(requests); i++) {
		const struct request *r = &requests[i];
		uint64_t at[] = {0, NOWHERE, r->argument == OUT ? READ_ONLY : NOWHERE};

		for (size_t n = 0; looks_at_pointer(r) && n < COUNT(at); n++) {
			bool takes_null = r->number == (uint32_t)KVM_SET_SIGNAL_MASK && !at[n];
			/* Has an error of its own before it looks: a PIC takes interrupts, user space does not give
			 * them. */
			int result = on_pointer(&m, r, at[n]);

			if (result == (takes_null ? 0 : -EFAULT))
				continue;
			print_error("%s(%#lx): %d\n", r->name, at[n], result);
			wrong++;
		}
	}
	machine_destroy(&m);
	assert_int_equal(wrong, 0);
}

/* ---------------------------------------------------------------- the tables */

static int make(const struct bad *b, unsigned long type, enum softcvm_kvm_compat compat)
{
	unsigned char *copy = (unsigned char *)MEMORY + MEMORY_SIZE - 16384;
	struct machine m;
	int result;

	machine_create(&m, b->in, type, compat);
	memset(copy, 0, 16384);
	if (b->size)
		memcpy(copy, b->argument, b->size);
	result = softcvm_ioctl(m.fd[b->on], b->request, b->size ? copy : (void *)b->value);
	machine_destroy(&m);
	return result;
}

static int check(const struct bad *b, unsigned long type, enum softcvm_kvm_compat compat)
{
	int error = compat == SOFTCVM_KVM_6_12 && b->error_6_12 ? b->error_6_12 : b->error;
	int result;

	if (b->only && !(b->only >> type & 1))
		return 0;
	result = make(b, type, compat);
	if (result == -error)
		return 0;
	print_error("%s (type %lu, %s): %d and not %d\n", b->what, type, compat == SOFTCVM_KVM_6_12 ? "6.12" : "7.2",
		    result, -error);
	return 1;
}

static void run_table(const struct bad_table *table)
{
	int wrong = 0;

	for (size_t i = 0; i < table->count; i++)
		for (size_t t = 0; t < COUNT(types); t++)
			wrong += check(&table->row[i], types[t], SOFTCVM_KVM_7_2) +
				 check(&table->row[i], types[t], SOFTCVM_KVM_6_12);
	assert_int_equal(wrong, 0);
}

static void test_system(void **state)
{
	run_table(&bad_system);
}
static void test_memory(void **state)
{
	run_table(&bad_memory);
}
static void test_interrupts(void **state)
{
	run_table(&bad_interrupts);
}
static void test_vm(void **state)
{
	run_table(&bad_vm);
}
static void test_vcpu(void **state)
{
	run_table(&bad_vcpu);
}
static void test_state(void **state)
{
	run_table(&bad_state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_request), cmocka_unit_test(test_pointers),	 cmocka_unit_test(test_system),
		cmocka_unit_test(test_memory),	      cmocka_unit_test(test_interrupts), cmocka_unit_test(test_vm),
		cmocka_unit_test(test_vcpu),	      cmocka_unit_test(test_state),
	};
	int failed;

	environment_begin();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	environment_end();
	return failed;
}
