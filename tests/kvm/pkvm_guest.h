// SPDX-License-Identifier: Apache-2.0
/*
 * A real-mode guest of the pKVM type. Its code is in place before it first runs, since the page is its own from then on; what it
 * does is chosen by RIP and registers. Slot 0 holds code, slot 1 the pages under test.
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include "private_guest.h"

#define PAGES  16u
#define SIZE   (PAGES * PAGE)
#define AT(n)  (WINDOW + (n) * PAGE)

#define DO_LOAD	     CODE_AT	    /* al = [ds:0] */
#define DO_STORE     (CODE_AT + 16) /* [ds:0] = al */
#define DO_HYPERCALL (CODE_AT + 32)

/* ---------------------------------------------------------------- the client's own accesses */

static sigjmp_buf client_fault;
static volatile siginfo_t client_fault_info;
static volatile sig_atomic_t client_expects_fault;

static inline void on_client_fault(int signo, siginfo_t *info, void *context)
{
	if (!client_expects_fault)
		abort();
	client_fault_info = *info;
	siglongjmp(client_fault, 1);
}

/* Before a VM is made: softcvm's handler stands in front of the client's. */
static inline void watch_client_faults(void)
{
	const struct sigaction action = { .sa_sigaction = on_client_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &action, NULL);
}

/* The byte, or -1 with the fault in client_fault_info. */
static inline int client_load(const volatile unsigned char *at)
{
	int value = -1;

	client_expects_fault = 1;
	if (!sigsetjmp(client_fault, 1))
		value = *at;
	client_expects_fault = 0;
	return value;
}

static inline int client_store(volatile unsigned char *at, unsigned char value)
{
	int done = -1;

	client_expects_fault = 1;
	if (!sigsetjmp(client_fault, 1)) {
		*at = value;
		done = 0;
	}
	client_expects_fault = 0;
	return done;
}

/* The answer of a system call that reads from there: 0 or -EFAULT. */
static inline int client_system_call(const void *at)
{
	int pipes[2], result;

	assert_int_equal(pipe(pipes), 0);
	result = write(pipes[1], at, 1) == 1 ? 0 : -errno;
	close(pipes[0]);
	close(pipes[1]);
	return result;
}

static inline void expect_gone(unsigned char *at)
{
	assert_int_equal(client_load(at), -1);
	assert_int_equal(client_fault_info.si_signo, SIGSEGV);
	assert_int_equal(client_fault_info.si_code, SEGV_ACCERR);
	assert_ptr_equal(client_fault_info.si_addr, at);
	assert_int_equal(client_store(at, 0xee), -1);
	assert_int_equal(client_system_call(at), -EFAULT);
}

/* ---------------------------------------------------------------- the guest */

struct pkvm_guest {
	struct guest g;
	unsigned char *memory; /* the client's pages of slot 1 */
};

static inline void *client_memory(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

/* Slot 1 is the caller's business. */
static inline void pkvm_create(struct pkvm_guest *p, const struct softcvm_config *config)
{
	static const unsigned char load[] = { 0xa0, 0, 0, 0xf4 }, store[] = { 0xa2, 0, 0, 0xf4 };
	static const unsigned char vmcall[] = { 0x0f, 0x01, 0xc1, 0xf4 }, vmmcall[] = { 0x0f, 0x01, 0xd9, 0xf4 };

	watch_client_faults();
	create_type(&p->g, config, SOFTCVM_PKVM_VM);
	memcpy(p->g.ram + DO_LOAD, load, sizeof(load));
	memcpy(p->g.ram + DO_STORE, store, sizeof(store));
	memcpy(p->g.ram + DO_HYPERCALL, config->platform == SOFTCVM_PLATFORM_INTEL ? vmcall : vmmcall, sizeof(vmcall));
}

static inline void pkvm_create_window(struct pkvm_guest *p, const struct softcvm_config *config)
{
	pkvm_create(p, config);
	p->memory = client_memory(SIZE);
	assert_int_equal(set_region(&p->g, 1, 0, WINDOW, SIZE, p->memory), 0);
}

static inline void pkvm_destroy(struct pkvm_guest *p)
{
	destroy(&p->g);
	if (p->memory)
		munmap(p->memory, SIZE);
}

static inline void pkvm_prepare(int vcpu, uint64_t rip, uint64_t ds, uint64_t rax, uint64_t rbx, uint64_t rcx)
{
	struct kvm_regs regs = { .rip = rip, .rflags = 2, .rsp = 0x8000, .rax = rax, .rbx = rbx, .rcx = rcx };
	struct kvm_sregs sregs;

	assert_int_equal(softcvm_ioctl(vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.ds.base = ds;
	sregs.ds.selector = ds >> 4;
	assert_int_equal(softcvm_ioctl(vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(softcvm_ioctl(vcpu, KVM_SET_REGS, &regs), 0);
}

static inline unsigned char pkvm_load(struct pkvm_guest *p, uint64_t at)
{
	pkvm_prepare(p->g.vcpu, DO_LOAD, at, 0, 0, 0);
	assert_int_equal(run(&p->g), 0);
	assert_int_equal(p->g.run->exit_reason, KVM_EXIT_HLT);
	return (unsigned char)regs_of(&p->g).rax;
}

static inline int pkvm_try_store(struct pkvm_guest *p, uint64_t at, unsigned char value)
{
	pkvm_prepare(p->g.vcpu, DO_STORE, at, value, 0, 0);
	return run(&p->g);
}

static inline void pkvm_store(struct pkvm_guest *p, uint64_t at, unsigned char value)
{
	assert_int_equal(pkvm_try_store(p, at, value), 0);
	assert_int_equal(p->g.run->exit_reason, KVM_EXIT_HLT);
}

/* What the guest is answered: 0 or a negative number. */
static inline int pkvm_hypercall(struct pkvm_guest *p, uint64_t nr, uint64_t gpa, uint64_t size)
{
	pkvm_prepare(p->g.vcpu, DO_HYPERCALL, 0, nr, gpa, size);
	assert_int_equal(run(&p->g), 0);
	assert_int_equal(p->g.run->exit_reason, KVM_EXIT_HLT);
	return (int)regs_of(&p->g).rax;
}

static inline int pkvm_share(struct pkvm_guest *p, uint64_t gpa, uint64_t size)
{
	return pkvm_hypercall(p, SOFTCVM_PKVM_HC_SHARE, gpa, size);
}

static inline int pkvm_unshare(struct pkvm_guest *p, uint64_t gpa, uint64_t size)
{
	return pkvm_hypercall(p, SOFTCVM_PKVM_HC_UNSHARE, gpa, size);
}

static inline void expect_invariants(const struct pkvm_guest *p)
{
	char message[200] = "";

	if (softcvm_check(p->g.vm, message, sizeof(message)))
		fail_msg("%s", message);
}
