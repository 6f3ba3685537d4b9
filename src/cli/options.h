// SPDX-License-Identifier: Apache-2.0
/* The options of a machine: of `softcvm run`, and of whoever needs the same machine. */
#pragma once

#include "vmm/vmm.h"

struct run_options {
	struct vmm_config vmm;
	const char *trace;	   /* NULL: no trace; "-": standard error */
	const char *trace_events;
	const char *monitor;	   /* NULL: none */
	bool stats;
	unsigned int gdb_port;	   /* 0: no debugger */
	bool profile_mmio;
	const char *quote_authority; /* NULL: the user's default folder */
};

enum options_result { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_ERROR };

extern const char options_help[]; /* of `softcvm run` */

/* Strings point into argv; argv[0] becomes `name` ("softcvm run"), which messages begin with. They are printed here, help is not. */
enum options_result options_parse(char *name, int argc, char **argv, struct run_options *out);
