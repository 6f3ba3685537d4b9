// SPDX-License-Identifier: Apache-2.0
/* A trace is made here, by a guest with private memory, and `softcvm explain` and `softcvm map` are asked about it. */
#include "../kvm/private_guest.h"
#include "observe/observe.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *softcvm;

/* ---------------------------------------------------------------- a trace in a file, its clock counting events */

struct trace {
	char name[32];
	FILE *file;
	struct observer *observer;
	uint64_t time;
};

static uint64_t count_events(void *opaque) { return ++*(uint64_t *)opaque * 1000000000u; }

static void begin(struct trace *t, struct guest *g, enum softcvm_platform platform, unsigned long type, const char *events)
{
	struct softcvm_config config = { .platform = platform, .test_vm_types = true };
	struct observe_mask mask;
	struct observe_sink *sink;
	const char *bad;
	int fd;

	*t = (struct trace){ .name = "/tmp/softcvm-traceXXXXXX" };
	fd = mkstemp(t->name);
	assert_true(fd >= 0);
	t->file = fdopen(fd, "w");
	assert_int_equal(observer_create(&t->observer), 0);
	observer_set_clock(t->observer, count_events, &t->time);
	assert_int_equal(observe_sink_text(t->file, &sink), 0);
	assert_int_equal(observe_parse_mask(events, &mask, &bad), 0);
	observer_attach(t->observer, sink, &mask);
	config.observer = t->observer;
	create_type(g, &config, type);
}

static void end(struct trace *t, struct guest *g)
{
	destroy(g);
	observer_destroy(t->observer);
	fclose(t->file);
}

/* ---------------------------------------------------------------- the commands */

static int ask(char **out, const char *fmt, const char *name)
{
	char command[512];
	size_t size = 0, n = 0;
	FILE *pipe;

	n = (size_t)snprintf(command, sizeof(command), "%s ", softcvm);
	n += (size_t)snprintf(command + n, sizeof(command) - n, fmt, name);
	snprintf(command + n, sizeof(command) - n, " 2>&1");
	pipe = popen(command, "r");
	assert_non_null(pipe);
	*out = NULL;
	n = 0;
	do {
		*out = realloc(*out, size += 65536);
		n += fread(*out + n, 1, size - n - 1, pipe);
	} while (n == size - 1);
	(*out)[n] = '\0';
	return WEXITSTATUS(pclose(pipe));
}

/* Each of the texts, one behind the other. */
static void expect_in_order(const char *out, const char *const *texts)
{
	const char *at = out;

	for (; *texts; texts++) {
		const char *found = strstr(at, *texts);

		if (!found)
			fail_msg("'%s' is not there, or not in its place, in\n%s", *texts, out);
		at = found + 1;
	}
}

/* ---------------------------------------------------------------- the story of a page */

static void convert_by_fault(struct guest *g)
{
	expect_memory_fault(g, guest_access(g, CLAIMED(WINDOW), true, 1), WINDOW, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	assert_int_equal(set_attributes(g, WINDOW, PAGE, P), 0);
	assert_int_equal(run(g), 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
}

static void test_story(void **state)
{
	static const char *const story[] = {
		"gpa page 0x20000, VM 0: test-claim on intel, KVM 7.2",
		"a VM of type test-claim is created", "[vm.created]",
		"slot 1 is created: gpa 0x20000-0x24000", "[slot.create]",
		/* claimed as private, while it is shared */
		"vcpu 0   an access: left to user space",
		"1 access       supervisor write to gva 0xa0000, 1 byte", "[access]",
		"2 guest walk   paging is off: gpa 0xa0000", "[guest.no-paging]",
		"3 claim        private, says the address", "[claim.private]",
		"4 stage 2      gpa 0x20000 is not mapped", "[stage2.not-present]",
		"exit         EPT_VIOLATION",
		"claim        the access is private", "[fault.claim-hardware]",
		"attribute    the page is shared, the access private", "[fault.mismatch]",
		"exit         KVM_EXIT_MEMORY_FAULT: gpa 0x20000, private, errno 14", "[exit.memory-fault]",
		"result       -14", "[fault.mismatch]",
		"KVM_RUN      KVM_RUN fails with errno 14, KVM_EXIT_MEMORY_FAULT",
		"kvm      user space makes gpa 0x20000-0x21000 (4K) private", "[attributes.private]",
		/* the same access once more */
		"vcpu 0   an access: KVM maps the page, and it is done",
		"3 claim        private, says the address", "[claim.private]",
		"attribute    the page is private, the access private", "[fault.match]",
		"slot         1: gpa 0x20000-0x24000, guest_memfd", "[fault.slot]",
		"page         guest_memfd file", "allocated, zeros", "[gmem.allocate]",
		"level        4K", "[level.slot]",
		"mapping      4K page rwx for gpa 0x20000, from its guest_memfd at byte 0x0", "[fault.guest-memfd]",
		"result       FIXED", "[fault.mapped]",
		"4 stage 2      gpa 0x20000 is mapped, 4K", "[stage2.mapped]",
		"kvm      gpa 0x20000-0x21000 is unmapped", "[zap.punch]",
		"a hole is punched", "[gmem.punch]",
		"is closed", "[gmem.release]",
		"slot 1 is marked invalid", "[slot.invalidate]",
		"slot 1 is deleted", "[slot.delete]",
		"At the end of the trace gpa 0x20000 is private, no slot, stage 2: not mapped.",
		"Rules", "stage2.not-present", "SDM 3C 28.3.3.2", "zap.punch", NULL,
	};
	unsigned char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct trace t;
	struct guest g;
	char *out;
	int fd;

	begin(&t, &g, SOFTCVM_PLATFORM_INTEL, SOFTCVM_TEST_CLAIM_VM, "memory,kvm,steps");
	fd = memfd(&g, 4 * PAGE, 0);
	assert_int_equal(set_region2(&g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, 4 * PAGE, memory, fd, 0), 0);
	guest_load(&g, WINDOW + PAGE);
	convert_by_fault(&g);
	assert_int_equal(punch(fd, 0, PAGE), 0);
	softcvm_close(fd);
	assert_int_equal(set_region2(&g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, 0, memory, fd, 0), 0);
	fflush(t.file);
	assert_int_equal(ask(&out, "explain %s 0x20123", t.name), 0);
	expect_in_order(out, story);
	free(out);
	end(&t, &g);
	unlink(t.name);
	munmap(memory, 4 * PAGE);
}

/* ---------------------------------------------------------------- the map */

/* Private and there; private and punched; shared, mapped; shared. */
static void make_ranges(struct guest *g, unsigned char *memory, int fd)
{
	assert_int_equal(set_region2(g, 1, KVM_MEM_GUEST_MEMFD, WINDOW, 4 * PAGE, memory, fd, 0), 0);
	assert_int_equal(set_attributes(g, WINDOW, 2 * PAGE, P), 0);
	assert_int_equal(set_attributes(g, 0x30000, PAGE, P), 0);
	guest_store(g, CLAIMED(WINDOW), 1);
	guest_store(g, CLAIMED(WINDOW + PAGE), 1);
	assert_int_equal(punch(fd, PAGE, PAGE), 0);
	guest_load(g, WINDOW + 2 * PAGE);
}

/* The tables are written with one space where the command has several. */
static void squeeze(char *text)
{
	char *to = text;

	for (char *from = text; *from; from++)
		if (*from != ' ' || to == text || to[-1] != ' ')
			*to++ = *from;
	*to = '\0';
}

static void test_map_of_a_trace(void **state)
{
	static const char *const map[] = {
		"VM 0: test-claim on amd, KVM 7.2",
		"slot 0: gpa 0x0, 64K, client memory at 0x",
		"slot 1: gpa 0x20000, 16K, client memory at 0x", ", guest_memfd file", "from byte 0x0",
		"gpa size is client guest_memfd stage 2",
		"0x20000-0x21000 4K private ? present 4K rwx from guest_memfd\n",
		"0x21000-0x22000 4K private ? punched -\n",
		"0x22000-0x23000 4K shared ? absent 4K rwx from client\n",
		"0x23000-0x24000 4K shared ? absent -\n",
		"no slot", "0x30000-0x31000 4K private ? - -\n", NULL,
	};
	static const char *const before[] = { "0x20000-0x24000 16K shared ? absent -\n", NULL };
	static const char *const after[] = { "There is no VM at this point.", NULL };
	unsigned char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct trace t;
	struct guest g;
	char *out;
	int fd;

	begin(&t, &g, SOFTCVM_PLATFORM_AMD, SOFTCVM_TEST_CLAIM_VM, "memory");
	fd = memfd(&g, 4 * PAGE, 0);
	make_ranges(&g, memory, fd);
	fflush(t.file);
	assert_int_equal(ask(&out, "map %s", t.name), 0);
	squeeze(out);
	expect_in_order(out, map);
	free(out);
	/* VM, slot 0, file, binding, slot 1: the clock counts them. */
	assert_int_equal(ask(&out, "map --at 5 %s", t.name), 0);
	squeeze(out);
	expect_in_order(out, before);
	free(out);
	softcvm_close(fd);
	end(&t, &g);
	assert_int_equal(ask(&out, "map %s", t.name), 0);
	expect_in_order(out, after);
	free(out);
	unlink(t.name);
	munmap(memory, 4 * PAGE);
}

/* The monitor's word for the same ranges; it knows the client's memory. */
static void test_live_map(void **state)
{
	static const char *const map[] = {
		"VM 0: test-claim on amd, KVM 7.2",
		"0x20000-0x21000 4K private absent present 4K rwx from guest_memfd\n",
		"0x21000-0x22000 4K private absent absent -\n",
		"0x22000-0x23000 4K shared resident absent 4K rwx from client\n",
		"0x23000-0x24000 4K shared absent absent -\n",
		"slot 2", "0x24000-0x25000 4K shared unmapped - -\n",
		"no slot", "0x30000-0x31000 4K private ? - -\n", NULL,
	};
	const struct softcvm_config config = { .platform = SOFTCVM_PLATFORM_AMD, .test_vm_types = true };
	unsigned char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct softcvm_monitor *monitor, *second;
	char directory[] = "/tmp/softcvm-mapXXXXXX", path[64];
	struct guest g;
	char *out;
	int fd, status;
	pid_t child;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/monitor", directory);
	create_type(&g, &config, SOFTCVM_TEST_CLAIM_VM);
	fd = memfd(&g, 4 * PAGE, 0);
	memory[2 * PAGE] = 1;
	/* Nothing is ever mapped that low. */
	assert_int_equal(set_region(&g, 2, 0, WINDOW + 4 * PAGE, PAGE, (void *)0x20000), 0);
	make_ranges(&g, memory, fd);
	assert_int_equal(softcvm_monitor_start(path, &monitor), 0);
	assert_int_equal(softcvm_monitor_start(path, &second), -EADDRINUSE);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(ask(&out, "map %s", path), 0);
		squeeze(out);
		expect_in_order(out, map);
		free(out);
	}
	softcvm_monitor_stop(monitor);
	assert_int_equal(access(path, F_OK), -1);
	/* A child lets go of it, and its parent still answers. */
	assert_int_equal(softcvm_monitor_start(path, &monitor), 0);
	child = fork();
	if (!child) {
		softcvm_monitor_abandon(monitor);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(ask(&out, "map %s", path), 0);
	free(out);
	softcvm_monitor_stop(monitor);
	assert_int_equal(softcvm_map(fd, STDOUT_FILENO), -EBADF);
	assert_int_equal(softcvm_map(g.vm, -1), -EBADF);
	rmdir(directory);
	softcvm_close(fd);
	destroy(&g);
	munmap(memory, 4 * PAGE);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_story),
		cmocka_unit_test(test_map_of_a_trace),
		cmocka_unit_test(test_live_map),
	};

	softcvm = argc > 1 ? argv[1] : "softcvm";
	return cmocka_run_group_tests_name("cli/explain", tests, NULL, NULL);
}
