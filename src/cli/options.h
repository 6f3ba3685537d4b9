// SPDX-License-Identifier: Apache-2.0
/* The options of `softcvm run`. */
#pragma once

#include "vmm/vmm.h"

struct run_options {
	struct vmm_config vmm;
	const char *trace;	   /* NULL: no trace; "-": standard error */
	const char *trace_events;
	bool stats;
	unsigned int gdb_port;	   /* 0: no debugger */
	bool profile_mmio;
};

enum options_result { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_ERROR };

/* Strings point into argv. Help and messages are printed here. */
enum options_result options_parse(int argc, char **argv, struct run_options *out);
