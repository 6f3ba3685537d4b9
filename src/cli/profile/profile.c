// SPDX-License-Identifier: Apache-2.0
#include "cli/profile/profile.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cli/profile/kallsyms.h"
#include "cli/profile/modules.h"
#include "vmm/vmm.h"

#define MAX_SITES     8192u /* power of two: a guest can touch MMIO from as many instructions as it likes */
#define EXIT_REASON_EPT_VIOLATION 48u /* SDM 3D appendix C */
/* The shared bit is 47 or 51, and devices are far below either. */
#define ADDRESS_WITHOUT_SHARED_BIT ((1ull << 47) - 1)
#define PAGE_OF(gpa)  ((gpa) & ~0xfffull)

struct site {
	uint64_t rip, page, count; /* count 0: free */
};

struct profile {
	struct observe_sink sink;
	pthread_mutex_t lock;
	uint64_t exit_rip[VMM_MAX_CPUS]; /* of the last VM exit */
	uint64_t others;		/* accesses from sites beyond MAX_SITES */
	unsigned int used;
	struct site site[MAX_SITES];
};

/* ---------------------------------------------------------------- counting */

static void count(struct profile *p, uint64_t rip, uint64_t gpa)
{
	uint64_t page = PAGE_OF(gpa);
	unsigned int at = (unsigned int)((rip ^ page >> 7) * 0x9e3779b97f4a7c15ull >> 48) & (MAX_SITES - 1);

	for (;; at = (at + 1) & (MAX_SITES - 1)) {
		struct site *s = &p->site[at];

		if (!s->count && p->used < MAX_SITES / 2) {
			*s = (struct site){ rip, page, 0 };
			p->used++;
		} else if (!s->count) {
			p->others++;
			return;
		}
		if (s->rip == rip && s->page == page) {
			s->count++;
			return;
		}
	}
}

static void record(struct observe_sink *sink, const struct observe_record *rec)
{
	struct profile *p = (struct profile *)sink;

	if (rec->vcpu < 0 || rec->vcpu >= VMM_MAX_CPUS)
		return;
	pthread_mutex_lock(&p->lock);
	if (rec->event == OBSERVE_KVM_EXIT)
		p->exit_rip[rec->vcpu] = rec->arg[2];
	else if (rec->event == OBSERVE_KVM_MMIO)
		count(p, p->exit_rip[rec->vcpu], rec->arg[2]);
	else if (rec->arg[1] == EXIT_REASON_EPT_VIOLATION)
		count(p, rec->arg[0], rec->arg[3] & ADDRESS_WITHOUT_SHARED_BIT);
	pthread_mutex_unlock(&p->lock);
}

static void destroy(struct observe_sink *sink)
{
	struct profile *p = (struct profile *)sink;

	pthread_mutex_destroy(&p->lock);
	free(p);
}

int profile_create(struct observer *obs, bool by_ve, struct profile **out)
{
	struct observe_mask mask = { { 0 } };
	struct profile *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	p->sink.record = record;
	p->sink.close = destroy;
	if (by_ve) {
		observe_mask_add(&mask, OBSERVE_HW_VE);
	} else {
		observe_mask_add(&mask, OBSERVE_KVM_EXIT);
		observe_mask_add(&mask, OBSERVE_KVM_MMIO);
	}
	observer_attach(obs, &p->sink, &mask);
	*out = p;
	return 0;
}

/* ---------------------------------------------------------------- names */

struct symbols {
	struct kallsyms kernel;
	struct guest_modules *modules; /* NULL: could not be read */
	uint64_t slide;
	bool usable;
};

struct row {
	char function[128];
	const char *device;
	uint64_t count;
};

struct debugged {
	struct debug_port *port;
};

static size_t read_guest(void *opaque, uint64_t gva, void *buf, size_t size)
{
	const struct debugged *d = opaque;

	return debug_read_memory(d->port, 0, gva, buf, size);
}

/* KASLR moves everything alike, and the kernel has told the processor where one function is. */
static bool find_slide(struct symbols *s, struct debug_port *debug)
{
	const struct kallsym *entry = kallsyms_by_name(&s->kernel, "entry_SYSCALL_64");
	uint64_t lstar = debug_cpu_count(debug) ? debug_arch(debug, 0)->lstar : 0;

	if (!entry || !lstar)
		return false;
	s->slide = lstar - entry->address;
	return !(s->slide & 0x1fffff); /* boot.rst kernel_alignment: at least 2 MiB on x86-64 */
}

static const char *read_symbols(struct symbols *s, const char *kernel, struct debug_port *debug)
{
	struct kernel_elf image;
	struct debugged debugged = { debug };
	const struct guest_reader reader = { read_guest, &debugged };
	const struct kallsym *list;
	const char *why = NULL;

	if (kernel_elf_read(kernel, &image))
		return "its image cannot be unpacked";
	if (kallsyms_read(image.data, image.size, &s->kernel)) {
		why = "its image has no kallsyms";
	} else if (!find_slide(s, debug)) {
		why = "it ended before it set MSR_LSTAR, so where it was is not known";
	} else {
		s->usable = true;
		list = kallsyms_by_name(&s->kernel, "modules");
		if (list && guest_modules_read(&image, list->address + s->slide, &reader, &s->modules))
			s->modules = NULL;
	}
	free(image.data);
	return why;
}

static void name_of(const struct symbols *s, uint64_t rip, char *text, size_t size)
{
	const struct kallsym *f = s->usable ? kallsyms_function(&s->kernel, rip - s->slide) : NULL;
	const char *module, *function;

	if (s->modules && guest_modules_find(s->modules, rip, &module, &function))
		snprintf(text, size, "%s [%s]", function, module);
	else if (f && rip >> 47)
		snprintf(text, size, "%s", f->name);
	else
		snprintf(text, size, "%#llx", (unsigned long long)rip);
}

/* ---------------------------------------------------------------- the table */

static int by_count(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->function, y->function);
}

static unsigned int make_rows(const struct profile *p, const struct symbols *s, const struct vm *vm, struct row *rows)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < MAX_SITES; i++) {
		const struct site *site = &p->site[i];
		struct row row = { .count = site->count };
		unsigned int at = 0;

		if (!site->count)
			continue;
		row.device = vmm_describe_mmio(vm, site->page);
		name_of(s, site->rip, row.function, sizeof(row.function));
		while (at < n && (strcmp(rows[at].function, row.function) || strcmp(rows[at].device, row.device)))
			at++;
		if (at < n)
			rows[at].count += row.count;
		else
			rows[n++] = row;
	}
	qsort(rows, n, sizeof(rows[0]), by_count);
	return n;
}

static void print(const struct profile *p, const struct symbols *s, const struct vm *vm, FILE *out)
{
	struct row *rows = calloc(p->used + 1, sizeof(*rows));
	unsigned int n;

	if (!rows)
		return;
	n = make_rows(p, s, vm, rows);
	fprintf(out, "%10s  %-40s %s\n", "accesses", "guest function", "device");
	for (unsigned int i = 0; i < n; i++)
		fprintf(out, "%10llu  MMIO: %-34s %s\n", (unsigned long long)rows[i].count, rows[i].function, rows[i].device);
	if (p->others)
		fprintf(out, "%10llu  from further places\n", (unsigned long long)p->others);
	free(rows);
}

void profile_report(struct profile *p, const char *kernel, struct debug_port *debug, const struct vm *vm, FILE *out)
{
	struct symbols symbols = {};
	const char *why;

	debug_stop(debug);
	why = read_symbols(&symbols, kernel, debug);
	debug_resume(debug, -1);
	if (why)
		fprintf(stderr, "softcvm run: --profile: the kernel's functions have no names: %s\n", why);
	pthread_mutex_lock(&p->lock);
	print(p, &symbols, vm, out);
	/* A machine that starts again has its kernel elsewhere. */
	memset(p->site, 0, sizeof(p->site));
	p->used = 0;
	p->others = 0;
	pthread_mutex_unlock(&p->lock);
	guest_modules_free(symbols.modules);
	kallsyms_free(&symbols.kernel);
}
