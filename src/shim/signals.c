// SPDX-License-Identifier: Apache-2.0
/* The program's signal handlers, kept back while a thread is inside softcvm. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

#include "shim/shim.h"

typedef uint64_t mask_t; /* the kernel's sigset_t: bit n - 1 is signal n */
#define BIT(signo) ((mask_t)1 << ((signo) - 1))
#define SIGNALS	   64
/* Raised by what the thread does: waiting would change the meaning, and softcvm's own accesses need the first two. */
#define SYNCHRONOUS (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGFPE) | BIT(SIGTRAP) | BIT(SIGSYS))

/* What the program asked for. Read by handlers at any time: every member by itself. */
static struct {
	_Atomic uintptr_t handler; /* SIG_DFL, SIG_IGN or its function */
	_Atomic mask_t mask;
	_Atomic int flags;
} client[SIGNALS + 1];

/*
 * Signals that have a function. Those for which ours stays installed whatever the program asks for: faults, which the program
 * cannot block either; and those that only KVM_RUN lets through, which must not end a program that has no function for them.
 */
static _Atomic mask_t handled, taken, kept;
/* What some vCPU's mask does not block. */
static _Atomic mask_t let_through;
static atomic_bool signal_masks;

static __thread struct {
	volatile int depth;
	volatile bool running;	/* in KVM_RUN */
	volatile bool deferred; /* a signal waits, blocked; `mask` is what to go back to */
	volatile bool has_mask; /* `mask` is from the entry: KVM_RUN changes the thread's */
	volatile mask_t mask;
} thread __attribute__((tls_model("initial-exec")));

uint64_t shim_synchronous_signals(void) { return SYNCHRONOUS; }

static void set_mask(mask_t mask) { syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask)); }

static mask_t mask_of(const sigset_t *set)
{
	mask_t mask;

	memcpy(&mask, set, sizeof(mask));
	return mask;
}

static void mask_to(sigset_t *set, mask_t mask) { memcpy(set, &mask, sizeof(mask)); }

static void keep_signals(mask_t signals);

/* ---------------------------------------------------------------- calls */

void shim_enter(void)
{
	thread.depth++;
	atomic_signal_fence(memory_order_seq_cst);
}

void shim_enter_run(void)
{
	shim_enter();
	thread.running = true;
	if (atomic_load_explicit(&signal_masks, memory_order_relaxed)) {
		mask_t mask = 0;

		syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, sizeof(mask));
		keep_signals(mask & atomic_load(&let_through));
		if (!thread.deferred)
			thread.mask = mask;
		thread.has_mask = true;
	}
	atomic_signal_fence(memory_order_seq_cst);
}

void shim_leave(void)
{
	mask_t mask;

	atomic_signal_fence(memory_order_seq_cst);
	thread.running = false;
	thread.has_mask = false;
	if (--thread.depth)
		return;
	atomic_signal_fence(memory_order_seq_cst);
	if (!thread.deferred)
		return;
	mask = thread.mask;
	thread.deferred = false;
	atomic_signal_fence(memory_order_seq_cst);
	set_mask(mask);
}

void shim_uses_signal_mask(uint64_t mask)
{
	atomic_fetch_or(&let_through, ~mask);
	atomic_store(&signal_masks, true);
}

/* ---------------------------------------------------------------- delivery */

/* Sent again, it waits until shim_leave() unblocks it. Every signal is blocked in here. */
bool shim_defer(int signo, siginfo_t *info, ucontext_t *context)
{
	mask_t mask = mask_of(&context->uc_sigmask);
	int error = errno;

	if (!thread.depth || BIT(signo) & SYNCHRONOUS)
		return false;
	if (!thread.deferred && !thread.has_mask)
		thread.mask = mask;
	thread.deferred = true;
	if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signo, info))
		syscall(SYS_tgkill, getpid(), gettid(), signo); /* no room for siginfo */
	mask_to(&context->uc_sigmask, mask | ((atomic_load(&handled) | BIT(signo)) & ~SYNCHRONOUS));
	if (thread.running)
		softcvm_interrupt();
	errno = error;
	return true;
}

/* Signals whose default is to do nothing: signal(7). */
#define IGNORED (BIT(SIGCHLD) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGCONT))

/* A fault happens again when we return; a signal that was sent does not. */
static void default_action(int signo, const siginfo_t *info)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	if (BIT(signo) & IGNORED)
		return;
	__wrap_sigaction(signo, &action, NULL);
	if (info->si_code <= 0) {
		mask_t mask = ~BIT(signo);

		syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signo, info);
		set_mask(mask);
	}
}

/* As the kernel would have entered it: its mask, its flags. */
static void call_client(int signo, siginfo_t *info, ucontext_t *context)
{
	uintptr_t handler = atomic_load(&client[signo].handler);
	int flags = atomic_load(&client[signo].flags), error = errno;
	mask_t mask = mask_of(&context->uc_sigmask) | atomic_load(&client[signo].mask);

	if (handler == (uintptr_t)SIG_IGN && info->si_code <= 0)
		return;
	if (handler == (uintptr_t)SIG_DFL || handler == (uintptr_t)SIG_IGN) {
		default_action(signo, info);
		return;
	}
	if (!(flags & SA_NODEFER))
		mask |= BIT(signo);
	if (flags & SA_RESETHAND)
		signal(signo, SIG_DFL);
	set_mask(mask & ~atomic_load(&taken));
	errno = error;
	((void (*)(int, siginfo_t *, void *))handler)(signo, info, context);
}

static void dispatch(int signo, siginfo_t *info, void *context)
{
	if (signo == SIGILL && info->si_code > 0 && shim_cpuid_emulate(context))
		return;
	if (!shim_defer(signo, info, context))
		call_client(signo, info, context);
}

/* ---------------------------------------------------------------- dispositions */

/* Nothing comes in between: a mask of our own cannot be mistaken for the program's. */
static int install_dispatch(int signo, int flags)
{
	struct sigaction ours = { .sa_sigaction = dispatch };

	/* SA_ONSTACK, SA_RESTART, SA_NOCLDSTOP, SA_NOCLDWAIT are the kernel's business; the rest is done in call_client(). */
	ours.sa_flags = (flags & ~(SA_NODEFER | SA_RESETHAND)) | SA_SIGINFO;
	mask_to(&ours.sa_mask, ~SYNCHRONOUS);
	return __wrap_sigaction(signo, &ours, NULL);
}

static void remember(int signo, const struct sigaction *action)
{
	uintptr_t handler = (uintptr_t)action->sa_handler;

	atomic_store(&client[signo].mask, mask_of(&action->sa_mask));
	atomic_store(&client[signo].flags, action->sa_flags);
	atomic_store(&client[signo].handler, handler);
	if (handler == (uintptr_t)SIG_DFL || handler == (uintptr_t)SIG_IGN)
		atomic_fetch_and(&handled, ~BIT(signo));
	else
		atomic_fetch_or(&handled, BIT(signo));
}

static void recall(int signo, struct sigaction *action)
{
	memset(action, 0, sizeof(*action));
	action->sa_handler = (void (*)(int))atomic_load(&client[signo].handler);
	action->sa_flags = atomic_load(&client[signo].flags);
	mask_to(&action->sa_mask, atomic_load(&client[signo].mask));
}

static bool is_ours(int signo)
{
	return (atomic_load(&taken) | atomic_load(&kept) | atomic_load(&handled)) & BIT(signo);
}

static int change(int signo, const struct sigaction *action)
{
	int result;

	if (atomic_load(&taken) & BIT(signo)) {
		remember(signo, action);
		return 0;
	}
	if (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN) {
		if (atomic_load(&kept) & BIT(signo)) {
			remember(signo, action);
			return install_dispatch(signo, SA_RESTART);
		}
		result = __wrap_sigaction(signo, action, NULL);
		remember(signo, action);
		return result;
	}
	remember(signo, action);
	return install_dispatch(signo, action->sa_flags);
}

/* glibc keeps 32 and 33 for itself. */
static bool is_changeable(int signo)
{
	return signo >= 1 && signo <= SIGNALS && signo != SIGKILL && signo != SIGSTOP && signo != 32 && signo != 33;
}

static void stay_installed(int signo, _Atomic mask_t *set, int flags)
{
	struct sigaction now;

	if (atomic_load(set) & BIT(signo))
		return;
	if (!is_ours(signo) && !__wrap_sigaction(signo, NULL, &now))
		remember(signo, &now);
	atomic_fetch_or(set, BIT(signo));
	install_dispatch(signo, flags);
}

static void take(int signo) { stay_installed(signo, &taken, SA_ONSTACK | SA_RESTART); }

/* A function that the program has or gives them later is ours as well. */
static void keep_signals(mask_t signals)
{
	signals &= ~(atomic_load(&handled) | atomic_load(&kept) | SYNCHRONOUS);
	for (; signals; signals &= signals - 1) {
		int signo = __builtin_ctzll(signals) + 1;

		if (is_changeable(signo))
			stay_installed(signo, &kept, SA_RESTART);
	}
}

void shim_take_faults(void)
{
	take(SIGSEGV);
	take(SIGBUS);
}

void shim_take_illegal(void) { take(SIGILL); }

/* ---------------------------------------------------------------- the interposed functions */

int sigaction(int signo, const struct sigaction *action, struct sigaction *old)
{
	struct sigaction before;

	if (!is_changeable(signo))
		return __wrap_sigaction(signo, action, old);
	if (is_ours(signo))
		recall(signo, &before);
	else if (__wrap_sigaction(signo, NULL, &before))
		return -1;
	if (action && change(signo, action))
		return -1;
	if (old)
		*old = before;
	return 0;
}

static sighandler_t set_handler(int signo, sighandler_t handler, int flags, bool block)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, old;

	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	sigemptyset(&action.sa_mask);
	if (block)
		sigaddset(&action.sa_mask, signo);
	return sigaction(signo, &action, &old) ? SIG_ERR : old.sa_handler;
}

sighandler_t signal(int signo, sighandler_t handler) { return set_handler(signo, handler, SA_RESTART, true); }
sighandler_t bsd_signal(int signo, sighandler_t handler); /* no header shows it any more */
sighandler_t bsd_signal(int signo, sighandler_t handler) { return set_handler(signo, handler, SA_RESTART, true); }
sighandler_t ssignal(int signo, sighandler_t handler) { return set_handler(signo, handler, SA_RESTART, true); }

sighandler_t sysv_signal(int signo, sighandler_t handler)
{
	return set_handler(signo, handler, SA_RESETHAND | SA_NODEFER, false);
}

sighandler_t __sysv_signal(int signo, sighandler_t handler)
{
	return set_handler(signo, handler, SA_RESETHAND | SA_NODEFER, false);
}

/* A fault of softcvm's while its signal is blocked would be the end of the process. */
static const sigset_t *without_taken(int how, const sigset_t *set, sigset_t *copy)
{
	mask_t never = atomic_load(&taken);

	if (!set || how == SIG_UNBLOCK || !never)
		return set;
	*copy = *set;
	mask_to(copy, mask_of(set) & ~never);
	return copy;
}

int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;

	return __wrap_sigprocmask(how, without_taken(how, set, &copy), old);
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;

	return __wrap_pthread_sigmask(how, without_taken(how, set, &copy), old);
}
