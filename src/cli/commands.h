// SPDX-License-Identifier: Apache-2.0
/* The subcommands of `softcvm`. Each gets its own name as argv[0] and returns the exit status. */
#pragma once

int cmd_run(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_measure(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* doctor --decisions */
void print_decisions(void);
