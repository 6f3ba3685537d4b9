// SPDX-License-Identifier: Apache-2.0
/* The guest's paging as kvm itself follows it. */
#include "kvm/x86/x86.h"

/* As FNAME(walk_addr_generic): from the client's side, so that tables in private memory are not what the guest has there. */
static int read_table(void *opaque, gpa_t at, void *entry, unsigned int size)
{
	return kvm_read_guest(opaque, at, entry, size);
}

bool kvm_translate(struct kvm_vcpu *vcpu, gva_t address, struct hw_translation *out)
{
	const struct hw_table_reader reader = { read_table, vcpu->kvm };

	return hw_cpu_translate(vcpu->cpu, address, &reader, out);
}
