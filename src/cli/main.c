// SPDX-License-Identifier: Apache-2.0
/* softcvm: dispatch to the subcommands. */
#include "cli/commands.h"
#include "vmm/vmm.h"

#include <stdio.h>
#include <string.h>

/* For the commands without options: true if there is one after all, answered with *status. */
static bool only_help(int argc, char **argv, const char *usage, int *status)
{
	bool help = argc > 1 && !strcmp(argv[1], "--help");

	if (argc < 2)
		return false;
	fprintf(help ? stdout : stderr, "usage: %s\n", usage);
	*status = help ? 0 : VMM_STATUS_USAGE;
	return true;
}

static int cmd_version(int argc, char **argv)
{
	int status;

	if (only_help(argc, argv, "softcvm version\nPrints the version.", &status))
		return status;
	puts("softcvm " SOFTCVM_VERSION);
	return 0;
}

static int cmd_help(int argc, char **argv);

static const struct command {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", "boot a kernel", cmd_run },
	{ "exec", "run a program that was written for /dev/kvm", cmd_exec },
	{ "measure", "predict a confidential guest's measurement", cmd_measure },
	{ "verify", "check a report or quote of a trust domain", cmd_verify },
	{ "explain", "tell the story of an address, from a trace", cmd_explain },
	{ "map", "print what a guest's memory is, live or from a trace", cmd_map },
	{ "doctor", "say what this host offers and what is not modelled", cmd_doctor },
	{ "version", "print the version", cmd_version },
	{ "help", "list the commands", cmd_help },
};

static void print_commands(FILE *to)
{
	fputs("usage: softcvm COMMAND [OPTIONS]\n\n", to);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-10s%s\n", commands[i].name, commands[i].summary);
	fputs("\n'softcvm COMMAND --help' tells a command's options.\n", to);
}

static int cmd_help(int argc, char **argv)
{
	int status;

	if (only_help(argc, argv, "softcvm help\nLists the commands.", &status))
		return status;
	print_commands(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	else if (!strcmp(name, "--version"))
		name = "version";
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(name, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (*name)
		fprintf(stderr, "softcvm: '%s' is not a command\n", name);
	print_commands(stderr);
	return VMM_STATUS_USAGE;
}
