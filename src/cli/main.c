// SPDX-License-Identifier: Apache-2.0
/* softcvm: dispatch to the subcommands. */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

static int cmd_version(int argc, char **argv)
{
	puts("softcvm " SOFTCVM_VERSION);
	return 0;
}

static int cmd_help(int argc, char **argv);

static const struct command {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", "boot a kernel", cmd_run },
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
	return 1;
}
