// SPDX-License-Identifier: Apache-2.0
/*
 * native: a sequence on the host's processor, in this process. Whatever stops it arrives as a signal.
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "diff.h"

void native_enter(const struct state *initial);
void native_enter_compat(const struct state *initial);
void native_leave(void);
void native_signal(int signo, siginfo_t *info, void *context);
void native_caught(int signo, siginfo_t *info, void *context);

_Static_assert(offsetof(struct state, rip) == 128 && offsetof(struct state, rflags) == 136 &&
		       offsetof(struct state, fx) == 192,
	       "native_entry.S knows the offsets");

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

/* One thread runs sequences; the handler finds here whom it serves, and who was there before. */
static struct {
	volatile bool running;
	struct outcome *out;
	struct sigaction previous[64];
} native;

bool host_has_avx(void)
{
	static int known = -1;
	u32 a, b, c, d;

	if (known < 0)
		known = __get_cpuid_count(1, 0, &a, &b, &c, &d) && (c >> 28 & 1) &&
			__get_cpuid_count(0xd, 2, &a, &b, &c, &d) && b == XSAVE_YMM;
	return known;
}

/* The signal frame holds the standard form of XSAVE; a component in its initial state need not be there. */
static void read_vectors(const ucontext_t *u, u8 fx[XSAVE_SIZE])
{
	const u8 *frame = (const u8 *)u->uc_mcontext.fpregs;

	memset(fx, 0, XSAVE_SIZE);
	memcpy(fx, frame, XSAVE_HEADER);
	if (host_has_avx() && frame[XSAVE_HEADER] & 4)
		memcpy(fx + XSAVE_YMM, frame + XSAVE_YMM, XSAVE_SIZE - XSAVE_YMM);
}

static void read_state(const ucontext_t *u, struct outcome *out)
{
	static const int index[16] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
		REG_R8,	 REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	};
	const greg_t *g = u->uc_mcontext.gregs;

	for (unsigned int n = 0; n < 16; n++)
		out->state.gpr[n] = (u64)g[index[n]];
	out->state.rip = (u64)g[REG_RIP];
	out->state.rflags = (u64)g[REG_EFL];
	read_vectors(u, out->state.fx);
	asm volatile("mov %%ds, %0\n mov %%es, %1" : "=r"(out->state.ds), "=r"(out->state.es));
	out->vector = (u32)g[REG_TRAPNO];
	out->error = vector_has_error(out->vector) ? (u64)g[REG_ERR] : 0;
	out->cr2 = out->vector == X86_PF ? (u64)g[REG_CR2] : 0;
}

void native_caught(int signo, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	const struct sigaction *old = &native.previous[signo];

	if (!native.running) {
		if (old->sa_flags & SA_SIGINFO)
			old->sa_sigaction(signo, info, context);
		else
			signal(signo, SIG_DFL);
		return;
	}
	native.running = false;
	read_state(u, native.out);
	u->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)native_leave;
	u->uc_mcontext.gregs[REG_EFL] = 0x202;
	u->uc_mcontext.gregs[REG_CSGSFS] = (u->uc_mcontext.gregs[REG_CSGSFS] & ~0xffffll) | 0x33;
}

static int map_pages(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE;
	unsigned int n;

	if (mmap((void *)CODE_BASE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0) == MAP_FAILED)
		return -1;
	for (n = 0; n < DATA_PAGES; n++) {
		void *page = (void *)(DATA_BASE + n * PAGE);
		int prot = page_kind(n) == PAGE_NONE ? PROT_NONE : PROT_READ | PROT_WRITE;

		if (mmap(page, PAGE, prot, flags, -1, 0) == MAP_FAILED)
			return -1;
		if (page_kind(n) == PAGE_RO) {
			*(volatile u8 *)page = 1;
			mprotect(page, PAGE, PROT_READ);
		}
	}
	return 0;
}

int native_init(void)
{
	static u8 stack[65536];
	const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_sigaction = native_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	if (map_pages() || sigaltstack(&alternate, NULL) || syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE))
		return -1;
	for (size_t n = 0; n < sizeof(signals) / sizeof(signals[0]); n++) {
		if (sigaction(signals[n], &action, &native.previous[signals[n]]))
			return -1;
	}
	return 0;
}

/* The read-only page is never written: its contents are set once, by page_image() of every sequence alike. */
static void copy_data(struct image *to, const struct image *from)
{
	for (unsigned int n = 0; n < DATA_PAGES; n++) {
		if (page_kind(n) == PAGE_RW)
			memcpy(to->byte[n], from->byte[n], PAGE);
	}
}

void native_run(const struct sequence *s, struct outcome *out)
{
	memcpy((void *)CODE_BASE, s->code, CODE_SIZE);
	copy_data((struct image *)DATA_BASE, s->memory);
	out->failure = NULL;
	native.out = out;
	native.running = true;
	if (s->compat)
		native_enter_compat(&s->initial);
	else
		native_enter(&s->initial);
	copy_data(out->memory, (const struct image *)DATA_BASE);
}
