// SPDX-License-Identifier: Apache-2.0
/*
 * Host memory that its owner may take away at any time: the fault handler behind uaccess.h, and copies for those who
 * are not hot handlers.
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

/* The handlers that were there before ours, newest first. Never freed: a handler may be looking at one. */
struct previous {
	struct sigaction segv, bus;
	const struct previous *older;
};

/* The table is written once, before the handler is installed. */
static struct {
	pthread_mutex_t lock;
	struct ex_pair *pair;
	size_t count;
	struct previous *previous;
} handler = {.lock = PTHREAD_MUTEX_INITIALIZER};

/*
 * A client may install its own handler after ours, which calls ours, and we may have put ours in front of it again.
 * Then ours is entered a second time for the same fault, deeper in the same stack, and must go on to the handler
 * before.
 */
static _Thread_local struct {
	const void *context;
	const char *frame;
	const struct previous *previous;
} chained __attribute__((tls_model("initial-exec")));

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

static void default_action(int signo, const siginfo_t *info)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	sigaction(signo, &dfl, NULL);
	/* A fault happens again when we return; a signal that was sent does not. */
	if (info->si_code <= 0)
		raise(signo);
}

/* As if the kernel had entered it: its mask, its form. */
static void call_previous(const struct sigaction *old, int signo, siginfo_t *info, void *context)
{
	sigset_t mask = old->sa_mask;

	/* A fault that is ignored kills all the same. */
	if (!(old->sa_flags & SA_SIGINFO) && old->sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	if (!(old->sa_flags & SA_SIGINFO) && (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN)) {
		default_action(signo, info);
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

static void chain(int signo, siginfo_t *info, void *context)
{
	const char *frame = __builtin_frame_address(0);
	const struct previous *p = __atomic_load_n(&handler.previous, __ATOMIC_ACQUIRE);

	if (chained.context == context && frame < chained.frame)
		p = chained.previous->older;
	if (!p) {
		default_action(signo, info);
		return;
	}
	chained.context = context;
	chained.frame = frame;
	chained.previous = p;
	call_previous(signo == SIGSEGV ? &p->segv : &p->bus, signo, info, context);
	chained.context = NULL;
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
	chain(signo, info, context);
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

static bool is_ours(const struct sigaction *sa)
{
	return (sa->sa_flags & SA_SIGINFO) && sa->sa_sigaction == on_fault;
}

static int install(void)
{
	/*
	 * SA_ONSTACK: the threads are the client's, and so are their stacks. SA_NODEFER: the handler touches nothing
	 * that can fault, and a previous handler that asked for SA_NODEFER gets what it asked for.
	 */
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
	struct previous *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGSEGV, NULL, &p->segv);
	sigaction(SIGBUS, NULL, &p->bus);
	if (is_ours(&p->segv) && is_ours(&p->bus)) {
		free(p);
		return 0;
	}
	/* One of the two is still ours: then what was before it stands for it. */
	if (is_ours(&p->segv))
		p->segv = handler.previous->segv;
	if (is_ours(&p->bus))
		p->bus = handler.previous->bus;
	p->older = handler.previous;
	/* Known before ours is in place: another thread may fault in between. */
	__atomic_store_n(&handler.previous, p, __ATOMIC_RELEASE);
	return sigaction(SIGSEGV, &sa, NULL) || sigaction(SIGBUS, &sa, NULL) ? -errno : 0;
}

int hw_phys_init(void)
{
	int r = 0;

	pthread_mutex_lock(&handler.lock);
	if (!handler.pair)
		r = build_table();
	if (!r)
		r = install();
	pthread_mutex_unlock(&handler.lock);
	return r;
}

/* The number of bytes that were not copied. */
static size_t copy_bytes(void *dst, const void *src, size_t size)
{
	asm volatile goto("1: rep movsb\n" UACCESS_EX(gone) : "+D"(dst), "+S"(src), "+c"(size) : : "memory" : gone);
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
