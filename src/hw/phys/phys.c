// SPDX-License-Identifier: Apache-2.0
/*
 * Host memory that its owner may take away at any time: the fault handler behind uaccess.h, and copies for those who are not
 * hot handlers.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>

#include "hw/hw.h"
#include "hw/phys/uaccess.h"

struct ex_entry {
	s32 insn, fixup; /* relative to their own address */
};
/* Made by the linker from every UACCESS in this object (program or shared library). */
extern const struct ex_entry __start_softcvm_ex_table[] __attribute__((visibility("hidden")));
extern const struct ex_entry __stop_softcvm_ex_table[] __attribute__((visibility("hidden")));

struct ex_pair {
	uintptr_t insn, fixup;
};

/* Written once, before the handler is installed. */
static struct {
	struct ex_pair *pair;
	size_t count;
	struct sigaction old_segv, old_bus;
	int error;
} handler;

static int compare_pairs(const void *a, const void *b)
{
	const struct ex_pair *x = a, *y = b;

	return x->insn < y->insn ? -1 : x->insn > y->insn;
}

static uintptr_t find_fixup(uintptr_t insn)
{
	size_t low = 0, high = handler.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (handler.pair[middle].insn == insn)
			return handler.pair[middle].fixup;
		if (handler.pair[middle].insn < insn)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

/* As if the previous handler had been entered by the kernel: its mask, its form, its one-shot flag. */
static void chain(const struct sigaction *old, int signo, siginfo_t *info, void *context)
{
	sigset_t mask = old->sa_mask;

	if (!(old->sa_flags & SA_SIGINFO) && (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN)) {
		struct sigaction dfl = { .sa_handler = SIG_DFL };

		/* A synchronous fault that is ignored kills all the same: the instruction faults again. */
		if (info->si_code <= 0 && old->sa_handler == SIG_IGN)
			return;
		sigaction(signo, &dfl, NULL);
		if (info->si_code <= 0)
			raise(signo);
		return;
	}
	if (!(old->sa_flags & SA_NODEFER))
		sigaddset(&mask, signo);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(signo, info, context);
	else
		old->sa_handler(signo);
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	int saved_errno = errno;

	/* Sent by kill(): not ours, wherever RIP happens to be. */
	if (info->si_code > 0) {
		uintptr_t fixup = find_fixup(uc->uc_mcontext.gregs[REG_RIP]);

		if (fixup) {
			uc->uc_mcontext.gregs[REG_RIP] = fixup;
			return;
		}
	}
	chain(signo == SIGSEGV ? &handler.old_segv : &handler.old_bus, signo, info, context);
	errno = saved_errno;
}

static int build_table(void)
{
	size_t count = __stop_softcvm_ex_table - __start_softcvm_ex_table;

	handler.pair = calloc(count, sizeof(*handler.pair));
	if (!handler.pair)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct ex_entry *e = &__start_softcvm_ex_table[i];

		handler.pair[i] = (struct ex_pair){
			.insn = (uintptr_t)&e->insn + (intptr_t)e->insn,
			.fixup = (uintptr_t)&e->fixup + (intptr_t)e->fixup,
		};
	}
	qsort(handler.pair, count, sizeof(*handler.pair), compare_pairs);
	handler.count = count;
	return 0;
}

static void install(void)
{
	/*
	 * SA_ONSTACK: the threads are the client's, and so are their stacks. SA_NODEFER: the handler touches nothing that can
	 * fault, and a previous handler that asked for SA_NODEFER gets what it asked for.
	 */
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART };

	handler.error = build_table();
	if (handler.error)
		return;
	sigemptyset(&sa.sa_mask);
	/* Known before ours is in place: another thread may fault in between. */
	if (sigaction(SIGSEGV, NULL, &handler.old_segv) || sigaction(SIGBUS, NULL, &handler.old_bus) ||
	    sigaction(SIGSEGV, &sa, NULL) || sigaction(SIGBUS, &sa, NULL))
		handler.error = -errno;
}

int hw_phys_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	return handler.error;
}

/* The number of bytes that were not copied. */
static size_t copy_bytes(void *dst, const void *src, size_t size)
{
	asm goto("1: rep movsb\n" UACCESS_EX(gone) : "+D"(dst), "+S"(src), "+c"(size) : : "memory" : gone);
	return 0;
gone:
	return size ? size : 1;
}

int hw_copy_from_host(void *dst, hpa_t src, size_t size)
{
	return copy_bytes(dst, hpa_to_ptr(src), size) ? -EFAULT : 0;
}

int hw_copy_to_host(hpa_t dst, const void *src, size_t size)
{
	return copy_bytes(hpa_to_ptr(dst), src, size) ? -EFAULT : 0;
}

int hw_load_host(hpa_t src, unsigned int size, u64 *out)
{
	const void *p = hpa_to_ptr(src);
	u64 v = 0;

	switch (size) {
	case 1:
		UACCESS_LOAD(1, p, v, gone);
		break;
	case 2:
		UACCESS_LOAD(2, p, v, gone);
		break;
	case 4:
		UACCESS_LOAD(4, p, v, gone);
		break;
	case 8:
		UACCESS_LOAD(8, p, v, gone);
		break;
	default:
		return -EINVAL;
	}
	*out = v;
	return 0;
gone:
	return -EFAULT;
}

int hw_store_host(hpa_t dst, unsigned int size, u64 value)
{
	void *p = hpa_to_ptr(dst);

	switch (size) {
	case 1:
		UACCESS_STORE(1, p, value, gone);
		return 0;
	case 2:
		UACCESS_STORE(2, p, value, gone);
		return 0;
	case 4:
		UACCESS_STORE(4, p, value, gone);
		return 0;
	case 8:
		UACCESS_STORE(8, p, value, gone);
		return 0;
	default:
		return -EINVAL;
	}
gone:
	return -EFAULT;
}

int hw_cmpxchg_host(hpa_t dst, u64 *old, u64 value)
{
	u64 expected = *old;
	bool swapped;

	UACCESS_CMPXCHG_8(hpa_to_ptr(dst), expected, value, swapped, gone);
	*old = expected;
	return !swapped;
gone:
	return -EFAULT;
}
