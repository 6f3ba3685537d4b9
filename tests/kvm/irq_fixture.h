// SPDX-License-Identifier: Apache-2.0
/* A VM with interrupt controllers, made through the API and looked at from inside. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* cmocka wants the first four above it */
#include <cmocka.h>

#include "kvm/irq_state.h"
#include "kvm/kvm.h"
#include "kvm/x86/ioapic.h"
#include "kvm/x86/lapic.h"
#include "kvm/x86/pic.h"

struct fixture {
	int system, vm;
	int vcpu[4];
	unsigned int vcpus;
	struct kvm *kvm;
};

static inline void give_cpuid(struct fixture *f, int vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	cpuid->nent = 256;
	assert_int_equal(softcvm_ioctl(f->system, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	assert_int_equal(softcvm_ioctl(vcpu, KVM_SET_CPUID2, cpuid), 0);
	free(cpuid);
}

static inline struct fixture *fixture_make(bool split, unsigned int vcpus)
{
	const struct softcvm_config config = {.platform = SOFTCVM_PLATFORM_INTEL};
	struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
	struct fixture *f = calloc(1, sizeof(*f));

	f->system = softcvm_open(&config);
	assert_true(f->system >= 0);
	f->vm = softcvm_ioctl(f->system, KVM_CREATE_VM, 0);
	assert_true(f->vm >= 0);
	f->kvm = (struct kvm *)kvm_fd_get(f->vm);
	assert_non_null(f->kvm);
	if (split)
		assert_int_equal(softcvm_ioctl(f->vm, KVM_ENABLE_CAP, &cap), 0);
	else
		assert_int_equal(softcvm_ioctl(f->vm, KVM_CREATE_IRQCHIP, NULL), 0);
	for (f->vcpus = 0; f->vcpus < vcpus; f->vcpus++) {
		f->vcpu[f->vcpus] = softcvm_ioctl(f->vm, KVM_CREATE_VCPU, (void *)(uintptr_t)f->vcpus);
		assert_true(f->vcpu[f->vcpus] >= 0);
		give_cpuid(f, f->vcpu[f->vcpus]);
	}
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	kvm_object_put(&f->kvm->object);
	for (unsigned int i = 0; i < f->vcpus; i++)
		softcvm_close(f->vcpu[i]);
	softcvm_close(f->vm);
	softcvm_close(f->system);
	free(f);
}

static inline void out8(struct fixture *f, u16 port, u8 value)
{
	assert_int_equal(kvm_io_bus_write(NULL, &f->kvm->pio_bus, port, 1, &value), 0);
}

static inline u8 in8(struct fixture *f, u16 port)
{
	u8 value = 0;

	assert_int_equal(kvm_io_bus_read(NULL, &f->kvm->pio_bus, port, 1, &value), 0);
	return value;
}

static inline void apic_write(struct fixture *f, unsigned int vcpu, u32 offset, u32 value)
{
	assert_true(kvm_lapic_mmio_write(f->kvm->vcpu[vcpu], APICBASE_DEFAULT + offset, 4, value));
}

static inline u32 apic_read(struct fixture *f, unsigned int vcpu, u32 offset)
{
	u64 value = 0;

	assert_true(kvm_lapic_mmio_read(f->kvm->vcpu[vcpu], APICBASE_DEFAULT + offset, 4, &value));
	return value;
}

/* Is the vector requested (IRR)? */
static inline bool requested(struct fixture *f, unsigned int vcpu, u8 vector)
{
	struct kvm_lapic_state state;

	assert_int_equal(kvm_vcpu_ioctl_get_lapic(f->kvm->vcpu[vcpu], &state), 0);
	return ((u32 *)state.regs)[(0x200 + vector / 32 * 16) / 4] >> vector % 32 & 1;
}

/* Puts the vector out of IRR, as if it had been delivered and finished. */
static inline void forget(struct fixture *f, unsigned int vcpu, u8 vector)
{
	__atomic_fetch_and((u32 *)(hw_cpu_ctl(f->kvm->vcpu[vcpu]->cpu)->vapic + 0x200 + vector / 32 * 16),
			   ~(1u << vector % 32), __ATOMIC_RELAXED);
}

static inline void enable_apics(struct fixture *f)
{
	for (unsigned int i = 0; i < f->vcpus; i++)
		apic_write(f, i, 0xf0, 0x1ff);
}
