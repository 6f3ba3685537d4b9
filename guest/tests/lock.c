// SPDX-License-Identifier: Apache-2.0
/* LOCK-prefixed operations under contention: nothing is lost between processors (SDM 3A 8.1.2). */
#include "lib/guest.h"

#define ROUNDS 200000u

static volatile u64 counter, xadd_total, cas_counter, bits[2], plain8[2];
static volatile u32 ticket_next, ticket_serving, under_lock, started, finished;
static struct { volatile u64 lo, hi; } pair __attribute__((aligned(16)));
static u8 split_page[8192] __attribute__((aligned(4096)));

static void work(void *arg)
{
	u32 me = (u32)(u64)arg;
	volatile u32 *split = (u32 *)(split_page + 4094); /* crosses a page */

	__atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
	while (started < 2)
		cpu_relax();
	for (u32 i = 0; i < ROUNDS; i++) {
		u64 one = 1, old;
		u32 ticket;

		asm volatile("lock incq %0" : "+m"(counter) : : "cc");
		asm volatile("lock xaddq %0, %1" : "+r"(one), "+m"(xadd_total) : : "cc");
		old = cas_counter;
		while (!__atomic_compare_exchange_n(&cas_counter, &old, old + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
		asm volatile("lock btcq %1, %0" : "+m"(bits[0]) : "r"((u64)me) : "cc", "memory");
		asm volatile("lock addb $1, %0" : "+m"(*((volatile u8 *)&plain8[0] + me)) : : "cc");
		ticket = __atomic_fetch_add(&ticket_next, 1, __ATOMIC_SEQ_CST);
		if (i % 64 == 0) {
			u64 lo = pair.lo, hi = pair.hi;
			bool done;

			do
				asm volatile("lock cmpxchg16b %1\nsete %0"
					     : "=q"(done), "+m"(pair), "+a"(lo), "+d"(hi)
					     : "b"(lo + 1), "c"(hi + 2) : "cc", "memory");
			while (!done);
			asm volatile("lock incl %0" : "+m"(*split) : : "cc");
		}
		while (ticket_serving != ticket)
			cpu_relax();
		under_lock++;
		ticket_serving = ticket + 1;
	}
	__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
}

int main(void);
int main(void)
{
	u32 n = 2 * ROUNDS, rare = 2 * ((ROUNDS + 63) / 64);
	u32 split;

	idt_init();
	apic_init();
	if (!start_cpu(1, work, (void *)1)) {
		print("no second processor\n");
		return report_failures();
	}
	work((void *)0);
	while (finished < 2)
		cpu_relax();
	memcpy(&split, split_page + 4094, 4);
	report(counter == n, "LOCK INC (%lu)", counter);
	report(xadd_total == n, "LOCK XADD (%lu)", xadd_total);
	report(cas_counter == n, "LOCK CMPXCHG (%lu)", cas_counter);
	report(bits[0] == 0, "LOCK BTC an even number of times (%lx)", bits[0]);
	report(plain8[0] == ((u64)(ROUNDS & 0xff) | (u64)(ROUNDS & 0xff) << 8), "LOCK ADD on neighbouring bytes (%lx)", plain8[0]);
	report(under_lock == n, "plain increments under a ticket lock (%u)", under_lock);
	report(pair.lo == rare && pair.hi == 2ull * rare, "LOCK CMPXCHG16B (%lu, %lu)", pair.lo, pair.hi);
	report(split == rare, "LOCK INC across a page boundary (%u)", split);
	return report_failures();
}
