// SPDX-License-Identifier: Apache-2.0
/* softcvm doctor --decisions: the decision table of guest memory, as it stands in docs/decisions.md. */
#include "kvm/mmu/decisions.h"

#include <stdio.h>

#include "cli/commands.h"

static const char introduction[] =
	"# What an access to guest memory becomes\n"
	"\n"
	"Printed by `softcvm doctor --decisions` from `src/kvm/mmu/decisions.def`; `tests/kvm/test_decisions.c` has a "
	"guest execute\n"
	"every cell on both platforms, by a read, a write and a fetch where the row is open to all three.\n"
	"\n"
	"The claim is what the access says of itself, the attribute what user space has set "
	"(KVM_SET_MEMORY_ATTRIBUTES), each P\n"
	"(private) or S (shared). Slots: U has the client's memory only, G also a guest_memfd, M a guest_memfd that "
	"can be mapped\n"
	"(GUEST_MEMFD_FLAG_MMAP); INVALID is one that is being deleted or moved.\n"
	"\n"
	"| cell | meaning |\n"
	"|---|---|\n"
	"| MMIO | no memory: the buses in kvm, then KVM_EXIT_MMIO; a fetch from there is KVM_EXIT_INTERNAL_ERROR |\n"
	"| HVA | the client's page is mapped |\n"
	"| GMEM | the guest_memfd's page is mapped (\"zeros\": a new one) |\n"
	"| MFX(f) | KVM_RUN fails with EFAULT, exit reason KVM_EXIT_MEMORY_FAULT, flags f (8: the access was private) "
	"|\n"
	"| EFAULT | KVM_RUN fails with EFAULT, exit reason 0 |\n"
	"| ENOENT, EAGAIN | KVM_PRE_FAULT_MEMORY fails so |\n"
	"| RETRY | nothing is mapped, nobody is told: the access is made again, until what is changing has changed |\n"
	"| APIC | the local APIC in kvm answers |\n"
	"| * | only by a race: the attribute changes between the claim, which is made from it, and the decision |\n"
	"| n/r | this VM type cannot get there: it has no private attribute, or its hardware makes no such claim |\n"
	"| no slot | a slot of this kind is refused (EINVAL) |\n"
	"| not made | softcvm has no such event: memory errors, pages that wait for I/O without the client's knowing, "
	"a full host |\n"
	"\n"
	"test-claim is a VM type for tests. Its hardware makes the claim, as SNP's and TDX's does; it shows their "
	"rows. The variant is\n"
	"`--no-slot-is-mmio`; VM types without a claim of hardware's decide under it as they do without.\n"
	"\n";

static void print_heading(void)
{
	printf("| # | when | claim | attribute | slot |");
	for (size_t i = 0; i < decision_column_count; i++)
		printf(" %s |", decision_columns[i].name);
	printf("\n|---|---|---|---|---|");
	for (size_t i = 0; i < decision_column_count; i++)
		printf("---|");
	printf("\n");
}

static void print_cell(const struct decision *d, const struct decision_column *c)
{
	enum decision_outcome outcome = d->outcome[c->cells];
	bool reached = outcome != DECISION_NEVER && outcome != DECISION_NO_SLOT && outcome != DECISION_NOT_MADE;

	printf(" %s%s |", decision_outcome_text[outcome], reached && decision_by_race(d, c) ? "*" : "");
}

void print_decisions(void)
{
	fputs(introduction, stdout);
	print_heading();
	for (size_t i = 0; i < decision_count; i++) {
		const struct decision *d = &decisions[i];

		printf("| %zu | %s | %s | %s | %s |", i + 1, decision_condition_text[d->condition],
		       d->claim ? "P" : "S", d->attribute ? "P" : "S", decision_slot_text[d->slot]);
		for (size_t k = 0; k < decision_column_count; k++)
			print_cell(d, &decision_columns[k]);
		printf("\n");
	}
}
