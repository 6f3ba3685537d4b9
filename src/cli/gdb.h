// SPDX-License-Identifier: Apache-2.0
/*
 * GDB remote protocol server over the debug port: registers, memory by virtual address, breakpoints, single step, threads = vCPUs.
 * One client at a time, on the loopback interface. Runs in its own thread from gdb_start() to gdb_stop().
 */
#pragma once

#include "hw/debug.h"

struct gdb_server;

/* Listens on 127.0.0.1:port and stops every vCPU before its first instruction until a client continues it. 0 or -errno. */
int gdb_start(struct debug_port *debug, unsigned int port, struct gdb_server **out);
void gdb_stop(struct gdb_server *server);
