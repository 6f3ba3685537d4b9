// SPDX-License-Identifier: Apache-2.0
/* machine: one platform and its clock. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "hw/vm.h"

#define NSEC_PER_SEC 1000000000ull

static u64 monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (u64)now.tv_sec * NSEC_PER_SEC + (u64)now.tv_nsec;
}

int hw_machine_create(const struct hw_machine_config *config, struct hw_machine **out)
{
	struct hw_machine *m;
	const char *missing;

	if (!simd_host_ok(&missing))
		return -ENOSYS;
	if (config->phys_bits && (config->phys_bits < 36 || config->phys_bits > 52))
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->config = *config;
	if (!m->config.phys_bits)
		m->config.phys_bits = config->platform == HW_PLATFORM_INTEL ? 46 : 48;
	m->start_ns = monotonic_ns();
	*out = m;
	return 0;
}

void hw_machine_destroy(struct hw_machine *m)
{
	free(m);
}

const struct hw_machine_config *hw_machine_config(const struct hw_machine *m)
{
	return &m->config;
}

u64 hw_machine_tsc(const struct hw_machine *m)
{
	if (m->config.icount)
		return __atomic_load_n(&m->retired, __ATOMIC_RELAXED) + __atomic_load_n(&m->advanced, __ATOMIC_RELAXED);
	return monotonic_ns() - m->start_ns;
}

u64 hw_machine_tsc_base(const struct hw_machine *m)
{
	return m->config.icount ? 0 : m->start_ns;
}

void hw_machine_advance_tsc(struct hw_machine *m, u64 to)
{
	u64 now = hw_machine_tsc(m);

	if (m->config.icount && to > now)
		__atomic_fetch_add(&m->advanced, to - now, __ATOMIC_RELAXED);
}

void machine_retired(struct hw_machine *m, u64 count)
{
	if (m->config.icount)
		__atomic_fetch_add(&m->retired, count, __ATOMIC_RELAXED);
}
