// SPDX-License-Identifier: Apache-2.0
/* softcvm explain: the story of one address, from a trace. */
#include "cli/commands.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/trace/input.h"
#include "cli/trace/story.h"
#include "cli/trace/words.h"

#define STATUS_ERROR 1
#define STATUS_USAGE 2
#define TEXT_COLUMN  100 /* where the rules stand */

enum { OPT_GVA = 256, OPT_FROM, OPT_TO, OPT_VCPU, OPT_VM, OPT_RULES, OPT_HELP };

static const struct option long_options[] = {
	{ "gva", no_argument, NULL, OPT_GVA },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "to", required_argument, NULL, OPT_TO },
	{ "vcpu", required_argument, NULL, OPT_VCPU },
	{ "vm", required_argument, NULL, OPT_VM },
	{ "rules", optional_argument, NULL, OPT_RULES },
	{ "help", no_argument, NULL, OPT_HELP },
	{},
};

static const char help_text[] =
	"usage: softcvm explain [OPTIONS] TRACE ADDRESS\n"
	"Tells what happened to a guest-physical address: each access to its page in its four steps, and what led to the page's\n"
	"state, each with the rule that was applied. TRACE is what --trace of 'softcvm run' or 'softcvm exec' wrote; with\n"
	"'--trace-events memory,kvm,steps' it has all four steps. - is standard input.\n"
	"\n"
	"      --gva                ADDRESS is guest-virtual (needs the steps)\n"
	"      --from TIME          leave out what was before: seconds, as the trace has them\n"
	"      --to TIME            leave out what was later\n"
	"      --vcpu N             only this vCPU's accesses\n"
	"      --vm N               of the VMs in the trace, this one (default: 0, the first)\n"
	"      --rules[=man]        print the table of rules and nothing else; as the manual page has it\n"
	"      --help               this text\n";

/* ---------------------------------------------------------------- rules */

static void print_rules(bool as_manual)
{
	for (unsigned int i = 1; i < OBSERVE_RULE_COUNT; i++) {
		const struct observe_rule_text *rule = observe_rule_text(i);

		if (as_manual)
			printf(".TP\n.B %s\n%s [%s]\n", rule->name, rule->text, rule->source);
		else
			printf("%-28s%s [%s]\n", rule->name, rule->text, rule->source);
	}
}

static void print_used_rules(const bool *used)
{
	bool any = false;

	for (unsigned int i = 1; i < OBSERVE_RULE_COUNT; i++) {
		const struct observe_rule_text *rule = observe_rule_text(i);

		if (!used[i])
			continue;
		if (!any)
			puts("\nRules");
		any = true;
		printf("  %-28s%s [%s]\n", rule->name, rule->text, rule->source);
	}
}

/* ---------------------------------------------------------------- the story */

struct telling {
	const struct story *story;
	bool blank; /* the last line printed is empty */
	bool used[OBSERVE_RULE_COUNT];
};

static void print_time(u64 ns, const char *behind)
{
	printf("%5" PRIu64 ".%09" PRIu64 "%s", ns / 1000000000u, ns % 1000000000u, behind);
}

/* The text, the rule behind it in a column of its own. `indent`: what stands before the text on its line. */
static void print_text(struct telling *t, unsigned int indent, const char *text, enum observe_rule rule)
{
	int width = indent < TEXT_COLUMN ? (int)(TEXT_COLUMN - indent) : 0;

	if (rule == OBSERVE_RULE_NONE) {
		puts(text);
		return;
	}
	printf("%-*s [%s]\n", width, text, observe_rule_text(rule)->name);
	t->used[rule] = true;
}

static const char *who(const struct observe_record *rec, char buf[32])
{
	if (rec->vcpu < 0)
		return "kvm";
	snprintf(buf, 32, "vcpu %d", rec->vcpu);
	return buf;
}

static void tell_change(struct telling *t, const struct story_item *item)
{
	char text[WORDS_MAX], name[32];
	const char *label;

	words_event(&item->rec, &label, text);
	print_time(item->rec.time_ns, "  ");
	printf("%-9s", who(&item->rec, name));
	print_text(t, 26, text, observe_rule_of(&item->rec));
	t->blank = false;
}

static void tell_step(struct telling *t, const struct story_item *item)
{
	char text[WORDS_MAX];
	const char *label;

	words_event(&item->rec, &label, text);
	printf("%19s%-15s", "", label);
	print_text(t, 34, text, observe_rule_of(&item->rec));
}

static const char *what_it_is(const struct story *s, unsigned int first)
{
	const struct observe_record *head = &s->items[first].rec;
	bool reads_tables = head->event == OBSERVE_HW_STAGE2_WALK;

	for (unsigned int i = s->items[first].next; i; i = s->items[i].next)
		reads_tables |= s->items[i].rec.event == OBSERVE_HW_STAGE2_WALK && s->items[i].rec.arg[4] == OBSERVE_USE_TABLE;
	if (reads_tables)
		return "the processor reads the guest's tables here";
	if (head->event == OBSERVE_KVM_FAULT_CLAIM)
		return "a pre-fault";
	return head->event == OBSERVE_KVM_PAGE_FAULT ? "an access, its first steps not in the trace" : "an access";
}

/* By the last step that decides. */
static const char *how_it_ends(const struct story *s, unsigned int first)
{
	const char *end = "";

	for (unsigned int i = first; i < s->nr_items; i = s->items[i].next) {
		const struct observe_record *rec = &s->items[i].rec;

		if (rec->event == OBSERVE_HW_GUEST_WALK && rec->arg[3] != OBSERVE_WALK_MAPPED && rec->arg[3] != OBSERVE_WALK_NO_PAGING)
			end = ": the guest gets #PF";
		else if (rec->event == OBSERVE_HW_STAGE2_WALK && rec->arg[3] == OBSERVE_STAGE2_MAPPED)
			end = *end ? ": KVM maps the page, and it is done" : ": the processor does it alone";
		else if (rec->event == OBSERVE_KVM_FAULT_DONE && rec->arg[1] == OBSERVE_PF_RETRY)
			end = ": tried again";
		else if (rec->event == OBSERVE_KVM_FAULT_DONE && rec->arg[1] == OBSERVE_PF_EMULATE)
			end = ": not memory, emulated";
		else if (rec->event == OBSERVE_KVM_FAULT_DONE && (s64)rec->arg[1] < 0)
			end = ": left to user space";
		else if (rec->event == OBSERVE_KVM_FAULT_DONE)
			end = ": KVM maps the page";
		if (!s->items[i].next)
			break;
	}
	return end;
}

/* The heading says who; the steps of the access come in the trace's order, others of the trace in between are told behind it. */
static void tell_chapter(struct telling *t, unsigned int first)
{
	const struct story_item *head = &t->story->items[first];
	char name[32];

	if (!t->blank)
		putchar('\n');
	print_time(head->rec.time_ns, "  ");
	printf("%-9s%s%s\n", who(&head->rec, name), what_it_is(t->story, first), how_it_ends(t->story, first));
	tell_step(t, head);
	for (unsigned int i = head->next; i; i = t->story->items[i].next)
		tell_step(t, &t->story->items[i]);
	if (head->more) {
		printf("%19s... %u more like it, until", "", head->more);
		print_time(head->last_ns, "\n");
	}
	putchar('\n');
	t->blank = true;
}

static bool is_change(const struct story *s, unsigned int i)
{
	switch (s->items[i].rec.event) {
	case OBSERVE_HW_ACCESS:
	case OBSERVE_HW_GUEST_WALK:
	case OBSERVE_HW_CLAIM:
	case OBSERVE_HW_STAGE2_WALK:
	case OBSERVE_KVM_PAGE_FAULT:
	case OBSERVE_KVM_FAULT_CLAIM:
		return false;
	default:
		return true;
	}
}

/* Chapters are numbered as they begin, so the first item of each has a number higher than any before it. */
static void tell_items(struct telling *t)
{
	u64 told = 0;

	for (unsigned int i = 0; i < t->story->nr_items; i++) {
		const struct story_item *item = &t->story->items[i];

		if (item->chapter <= told)
			continue;
		told = item->chapter;
		if (is_change(t->story, i))
			tell_change(t, item);
		else
			tell_chapter(t, i);
	}
}

static void tell_heading(const struct story *s)
{
	const struct replay_vm *vm = replay_vm(&s->replay, s->vm);
	char text[WORDS_MAX];

	if (vm)
		words_vm(vm, text);
	printf("%s 0x%" PRIx64 ", VM %" PRIu32 ": %s\n", s->by_gva ? "gva page" : "gpa page", s->page << HW_PAGE_SHIFT, s->vm,
	       vm ? text : "not in the trace");
	printf("%" PRIu64 " events from", s->records);
	print_time(s->first_ns, " to");
	print_time(s->last_ns, "\n");
	for (unsigned int i = 0; s->by_gva && i < s->nr_frames; i++)
		printf("It was gpa 0x%" PRIx64 ".\n", s->frames[i] << HW_PAGE_SHIFT);
	if (s->too_many_frames)
		printf("It was more than these %d pages; those of others are left out.\n", STORY_MAX_FRAMES);
	putchar('\n');
}

static void tell_end(const struct story *s)
{
	const struct replay_vm *vm = replay_vm(&s->replay, s->vm);
	char text[WORDS_MAX];

	for (unsigned int i = 0; vm && vm->alive && i < s->nr_frames; i++) {
		words_state(vm, s->frames[i], text);
		printf("\nAt the end of the trace gpa 0x%" PRIx64 " is %s.\n", s->frames[i] << HW_PAGE_SHIFT, text);
	}
	if (s->replay.nr_vms > 1)
		printf("\nThe trace has %u VMs; this is VM %" PRIu32 ".\n", s->replay.nr_vms, s->vm);
}

static int tell(const struct story *s)
{
	struct telling t = { .story = s, .blank = true };

	tell_heading(s);
	if (!s->nr_items)
		puts("Nothing happened to it.");
	tell_items(&t);
	tell_end(s);
	print_used_rules(t.used);
	return ferror(stdout) || fflush(stdout) ? STATUS_ERROR : 0;
}

/* ---------------------------------------------------------------- the command */

static int usage(const char *what, const char *why)
{
	fprintf(stderr, "softcvm explain: %s: %s\n", what, why);
	return STATUS_USAGE;
}

static int explain(struct story *s, const char *name)
{
	FILE *file = input_open("explain", name);
	bool ok = file;

	if (ok && s->by_gva) {
		ok = input_read("explain", name, file, story_learn, s);
		if (ok && fseek(file, 0, SEEK_SET)) {
			fprintf(stderr, "softcvm explain: %s: --gva reads the trace twice, and this cannot be: %s\n", name, strerror(errno));
			ok = false;
		}
		if (ok && !s->nr_frames) {
			fprintf(stderr,
				"softcvm explain: %s: the address was not translated in this trace (are the steps in it? "
				"--trace-events memory,kvm,steps)\n",
				name);
			ok = false;
		}
		free(s->vcpus);
		s->vcpus = NULL;
		s->nr_vcpus = 0;
	}
	ok = ok && input_read("explain", name, file, story_hear, s);
	if (file && file != stdin)
		fclose(file);
	return ok ? tell(s) : STATUS_ERROR;
}

static bool set_option(int id, const char *value, struct story *s)
{
	u64 number;

	switch (id) {
	case OPT_GVA:
		return s->by_gva = true;
	case OPT_FROM:
		return input_parse_time(value, &s->from_ns) || !usage(value, "--from is a time in seconds");
	case OPT_TO:
		return input_parse_time(value, &s->to_ns) || !usage(value, "--to is a time in seconds");
	case OPT_VCPU:
		if (!input_parse_number(value, &number) || number > INT32_MAX)
			return !usage(value, "--vcpu is a number");
		s->only_vcpu = (int)number;
		return true;
	case OPT_VM:
		if (!input_parse_number(value, &number) || number > UINT32_MAX)
			return !usage(value, "--vm is a number");
		s->vm = (u32)number;
		return true;
	default: /* getopt has said what is wrong */
		return false;
	}
}

int cmd_explain(int argc, char **argv)
{
	static char name[] = "softcvm explain";
	struct story s = { .to_ns = ~(u64)0, .only_vcpu = -1 };
	u64 address;
	int id, status;

	argv[0] = name; /* what getopt begins its messages with */
	while ((id = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (id == 'h' || id == OPT_HELP) {
			fputs(help_text, stdout);
			return 0;
		}
		if (id == OPT_RULES) {
			print_rules(optarg && !strcmp(optarg, "man"));
			return 0;
		}
		if (!set_option(id, optarg, &s))
			return STATUS_USAGE;
	}
	if (argc - optind != 2)
		return usage("TRACE ADDRESS", "both are needed, and nothing else; 'softcvm explain --help' tells how");
	if (!input_parse_number(argv[optind + 1], &address))
		return usage(argv[optind + 1], "is not an address");
	s.page = address >> HW_PAGE_SHIFT;
	if (!s.by_gva)
		s.frames[s.nr_frames++] = s.page;
	status = explain(&s, argv[optind]);
	story_destroy(&s);
	return status;
}
