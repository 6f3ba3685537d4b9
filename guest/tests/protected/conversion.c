// SPDX-License-Identifier: Apache-2.0
/*
 * A software-protected VM from inside: what the guest was given, and KVM_HC_MAP_GPA_RANGE (Documentation/virt/kvm/x86/hypercalls.rst)
 * as it is granted, refused, and made while another processor uses the memory.
 */
#include "lib/guest.h"

#define MIB	       (1ull << 20)
#define MEMORY	       (512 * MIB) /* as the test is run */
#define AREA	       (256 * MIB)
#define PAGE	       4096ull
#define HC_MAP_GPA_RANGE 12
#define SHARED	       0ull
#define PRIVATE	       (1ull << 4)
#define EINVAL	       22
#define ENOSYS	       1000
#define ROUNDS	       300u

/* KVM_FEATURE_*: those by which KVM writes into the guest's memory, and the one that the VMM adds. */
#define WRITES_MEMORY  (1u << 0 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 9 | 1u << 24)
#define MAP_GPA_RANGE  (1u << 16)

static bool amd;

static long hypercall(u64 nr, u64 b, u64 c, u64 d)
{
	long result;

	if (amd)
		asm volatile("vmmcall" : "=a"(result) : "a"(nr), "b"(b), "c"(c), "d"(d) : "memory");
	else
		asm volatile("vmcall" : "=a"(result) : "a"(nr), "b"(b), "c"(c), "d"(d) : "memory");
	return result;
}

static long convert(u64 gpa, u64 pages, u64 to)
{
	return hypercall(HC_MAP_GPA_RANGE, gpa, pages, to);
}

static volatile u64 *at(u64 gpa) { return (volatile u64 *)gpa; }

static void what_is_offered(void)
{
	u32 a, b, c, d;

	cpuid(0, 0, &a, &b, &c, &d);
	amd = b == 0x68747541;
	cpuid(0x40000001, 0, &a, &b, &c, &d);
	report(!(a & WRITES_MEMORY), "CPUID offers nothing by which KVM writes into memory: %x", a);
	report(a & MAP_GPA_RANGE, "CPUID offers KVM_HC_MAP_GPA_RANGE");
	report(*at(AREA) == 0 && *at(MEMORY - 8) == 0, "memory that was not loaded reads as zeros");
}

static void conversion(void)
{
	*at(AREA) = 0x1111;
	*at(AREA + PAGE) = 0x2222;
	report(convert(AREA, 1, SHARED) == 0, "a page becomes shared");
	report(*at(AREA) == 0, "the shared side is another page: %lx", *at(AREA));
	report(*at(AREA + PAGE) == 0x2222, "its neighbour is untouched");
	*at(AREA) = 0x3333;
	report(convert(AREA, 1, SHARED) == 0 && *at(AREA) == 0x3333, "what is shared already keeps its contents");
	report(convert(AREA, 2, PRIVATE) == 0, "a page of each kind becomes private");
	report(*at(AREA) == 0, "the private side was given back: %lx", *at(AREA));
	report(*at(AREA + PAGE) == 0x2222, "what is private already keeps its contents");
	report(convert(AREA, 1, SHARED) == 0 && *at(AREA) == 0, "the shared side was given back: %lx", *at(AREA));
	report(convert(AREA, 1, PRIVATE | 1) == 0, "a preferred page size is only advice");
	report(convert(AREA, 2 * MIB / PAGE, SHARED) == 0 && *at(AREA + PAGE) == 0, "2 MiB become shared");
	report(convert(AREA, 2 * MIB / PAGE, PRIVATE) == 0 && *at(AREA + PAGE) == 0, "and private");
}

static void refusals(void)
{
	static const struct {
		u64 gpa, pages, to;
		long result;
		const char *what;
	} cases[] = {
		{ AREA + 1, 1, SHARED, -EINVAL, "no page boundary" },
		{ AREA, 0, SHARED, -EINVAL, "no pages" },
		{ AREA, ~0ull, SHARED, -EINVAL, "wraps" },
		{ AREA, 1ull << 52, PRIVATE, -EINVAL, "more than there are addresses" },
		{ MEMORY - PAGE, 2, SHARED, -EINVAL, "ends beyond memory" },
		{ MEMORY - PAGE, 2, PRIVATE, -EINVAL, "ends beyond memory, private" },
		{ MEMORY, 1, PRIVATE, -EINVAL, "nothing becomes private" },
		{ 0xc0000000, 1, PRIVATE, -EINVAL, "devices become private" },
		{ 0xc0000000, 1, SHARED, 0, "devices are shared" },
		{ 0xffff8000, 1, PRIVATE, -EINVAL, "the first stage becomes private" },
		{ 0xffff8000, 1, SHARED, 0, "the first stage is shared" },
		{ 0, 0x100000, SHARED, -EINVAL, "4 GiB with holes" },
		{ 0x8000000000000000, 1, PRIVATE, -EINVAL, "far away" },
	};

	*at(AREA) = 0x4444;
	*at(MEMORY - PAGE) = 0x5555;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		long result = convert(cases[i].gpa, cases[i].pages, cases[i].to);

		report(result == cases[i].result, "%s: %lx", cases[i].what, (u64)result);
	}
	report(hypercall(99, 0, 0, 0) == -ENOSYS, "a hypercall that is none");
	report(*at(AREA) == 0x4444 && *at(MEMORY - PAGE) == 0x5555, "nothing that was refused has changed anything");
}

/* ---------------------------------------------------------------- another processor meanwhile */

#define CONTESTED 16u

static volatile u32 stop, wrong;
static volatile u64 touched;

static u64 mark(u64 page) { return 0xabcd000000000000 | page; }

/* Each page holds its mark, or zero after it was converted; never another page's. */
static void touch(void *arg)
{
	while (!stop) {
		for (u64 i = 0; i < CONTESTED; i++) {
			volatile u64 *p = at(AREA + i * PAGE);
			u64 seen = *p;

			if (seen && seen != mark(i))
				wrong++;
			*p = mark(i);
			touched++;
		}
	}
}

static void contest(void)
{
	u64 before;
	u32 refused = 0;

	convert(AREA, CONTESTED, SHARED);
	apic_init();
	if (!start_cpu(1, touch, NULL)) {
		report(false, "the second processor starts by INIT and SIPI");
		return;
	}
	while (!touched)
		cpu_relax();
	for (u32 round = 0; round < ROUNDS; round++) {
		u64 first = round % CONTESTED, pages = 1 + round % (CONTESTED - first);

		before = touched;
		refused += convert(AREA + first * PAGE, pages, round & 1 ? SHARED : PRIVATE) != 0;
		while (touched == before)
			cpu_relax();
	}
	stop = 1;
	report(!refused, "conversions under use: %u of %u refused", refused, ROUNDS);
	report(!wrong, "every page held its own data: %u did not", wrong);
	report(touched > ROUNDS, "the second processor went on");
}

int main(void);
int main(void)
{
	idt_init();
	what_is_offered();
	conversion();
	refusals();
	contest();
	return report_failures();
}
