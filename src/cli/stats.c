// SPDX-License-Identifier: Apache-2.0
#include "cli/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/mmu/mmu.h"
#include "observe/observe.h"
#include "vmm/vmm.h"

#define PAGES_PER_MIB 256.0

enum side { SHARED, PRIVATE, SIDES };

struct stats {
	struct observe_sink sink;
	enum side claim[VMM_MAX_CPUS]; /* of the vCPU's last fault */
	uint64_t faults[SIDES][OBSERVE_RULE_COUNT];
	uint64_t exits; /* of the processor */
	uint64_t allocated;
	struct ownership { /* pKVM, in pages */
		uint64_t donated, owned, shared, unshared, taken;
		uint64_t requests; /* to share or to unshare */
	} pages;
};

/* ---------------------------------------------------------------- counting, under the observer's lock */

static void clear(struct stats *s)
{
	memset(s->claim, 0, sizeof(s->claim));
	memset(s->faults, 0, sizeof(s->faults));
	s->exits = s->allocated = 0;
	s->pages = (struct ownership){ 0 };
}

/* As they stand while the guest runs: what is reclaimed when it has ended was its own to the end. */
static void record_ownership(struct ownership *o, const struct observe_record *rec)
{
	uint64_t pages = rec->arg[1] - rec->arg[0];

	if (rec->arg[4])
		return;
	switch (rec->arg[2]) {
	case OBSERVE_PAGE_DONATE:
		o->donated += pages;
		o->owned += pages;
		break;
	case OBSERVE_PAGE_SHARE:
		o->requests++;
		o->shared += pages;
		o->owned -= pages;
		break;
	case OBSERVE_PAGE_UNSHARE:
		o->requests++;
		o->unshared += pages;
		o->owned += pages;
		break;
	case OBSERVE_PAGE_FORCE_RECLAIM:
		o->taken += pages;
		o->owned -= pages;
		break;
	}
}

static void record(struct observe_sink *sink, const struct observe_record *rec)
{
	struct stats *s = (struct stats *)sink;
	enum side *claim = &s->claim[rec->vcpu >= 0 && rec->vcpu < VMM_MAX_CPUS ? rec->vcpu : 0];

	switch (rec->event) {
	case OBSERVE_KVM_CREATE_VM: /* with --reboot, the last machine is the one that is told of */
		clear(s);
		break;
	case OBSERVE_KVM_EXIT:
		s->exits++;
		break;
	case OBSERVE_KVM_PAGE_FAULT:
		*claim = rec->arg[3] & PFERR_PRIVATE_ACCESS ? PRIVATE : SHARED;
		break;
	case OBSERVE_KVM_FAULT_DONE:
		if (rec->arg[2] < OBSERVE_RULE_COUNT)
			s->faults[*claim][rec->arg[2]]++;
		break;
	case OBSERVE_KVM_PAGE_OWNERSHIP:
		record_ownership(&s->pages, rec);
		break;
	case OBSERVE_KVM_GMEM_ALLOCATE:
		s->allocated += rec->arg[2];
		break;
	}
}

static void destroy(struct observe_sink *sink)
{
	free(sink);
}

int stats_create(struct observer *observer, struct stats **out)
{
	static const enum observe_event events[] = {
		OBSERVE_KVM_CREATE_VM,	OBSERVE_KVM_EXIT,	   OBSERVE_KVM_PAGE_FAULT,
		OBSERVE_KVM_FAULT_DONE, OBSERVE_KVM_GMEM_ALLOCATE, OBSERVE_KVM_PAGE_OWNERSHIP,
	};
	struct observe_mask mask = { { 0 } };
	struct stats *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->sink.record = record;
	s->sink.close = destroy;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		observe_mask_add(&mask, events[i]);
	observer_attach(observer, &s->sink, &mask);
	*out = s;
	return 0;
}

/* ---------------------------------------------------------------- printing */

static void print_pages(FILE *file, const char *what, uint64_t pages)
{
	fprintf(file, "  %-44s %10" PRIu64 " %10.1f\n", what, pages, (double)pages / PAGES_PER_MIB);
}

static void print_memory(FILE *file, const struct stats *s, const struct vmm_stats *vmm)
{
	/* What the guest of a pKVM VM owns the VMM does not know. */
	const struct ownership o = s ? s->pages : (struct ownership){ 0 };

	fprintf(file, "\n%-46s %10s %10s\n", "guest memory", "pages", "MiB");
	print_pages(file, "private", vmm->private_pages + o.owned);
	print_pages(file, "shared", vmm->shared_pages - o.owned);
	print_pages(file, "converted to private", vmm->made_private + o.unshared);
	print_pages(file, "converted to shared", vmm->made_shared + o.shared);
	if (o.donated)
		print_pages(file, "private, given to the guest when first used", o.donated);
	else if (s)
		print_pages(file, "private, allocated when first used", s->allocated);
	if (o.taken)
		print_pages(file, "taken from the guest by force", o.taken);
	fprintf(file, "  %-44s %10" PRIu64 "\n", "requests to convert", vmm->conversions + o.requests);
}

/* A fault is of the kind of its access and ends by a rule. */
static void print_faults(FILE *file, const struct stats *s)
{
	static const char *const sides[SIDES] = { [SHARED] = "shared", [PRIVATE] = "private" };
	static const char prefix[] = "fault.";
	char what[64];

	fprintf(file, "faults, by kind of access and the rule that ended them\n");
	for (enum side side = 0; side < SIDES; side++) {
		for (unsigned int rule = 0; rule < OBSERVE_RULE_COUNT; rule++) {
			const char *name = observe_rule_text(rule)->name;

			if (!s->faults[side][rule])
				continue;
			if (!strncmp(name, prefix, strlen(prefix)))
				name += strlen(prefix);
			snprintf(what, sizeof(what), "%s: %s", sides[side], name);
			fprintf(file, "  %-44s %10" PRIu64 "\n", what, s->faults[side][rule]);
		}
	}
}

static void print_exits(FILE *file, const struct stats *s, const struct vmm_stats *vmm)
{
	uint64_t total = 0;

	for (unsigned int reason = 0; reason < VMM_EXIT_REASONS; reason++)
		total += vmm->exits[reason];
	fprintf(file, "exits\n");
	if (s)
		fprintf(file, "  %-44s %10" PRIu64 "\n", "from the processor to KVM", s->exits);
	fprintf(file, "  %-44s %10" PRIu64 "\n", "from KVM to the VMM", total);
	for (unsigned int reason = 0; reason < VMM_EXIT_REASONS; reason++) {
		const char *name = observe_kvm_exit_name(reason);

		if (vmm->exits[reason])
			fprintf(file, "    %-42s %10" PRIu64 "\n", name ? name : "of a reason without a name", vmm->exits[reason]);
	}
}

void stats_print(const struct stats *stats, const struct vmm_stats *vmm, FILE *file)
{
	print_memory(file, stats, vmm);
	if (stats)
		print_faults(file, stats);
	print_exits(file, stats, vmm);
}
