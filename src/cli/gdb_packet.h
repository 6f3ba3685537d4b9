// SPDX-License-Identifier: Apache-2.0
/* Framing of the GDB remote protocol: $data#checksum, acknowledgements, hexadecimal. No knowledge of commands. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_PACKET_MAX 16384

struct gdb_link {
	int fd;
	bool no_ack;
	size_t fill, used; /* bytes in `raw`, bytes of it consumed */
	char raw[4096];
	char packet[GDB_PACKET_MAX + 1]; /* the last one received, terminated */
};

/* Length of the packet, 0 for an interrupt (Ctrl-C), -1 when the client is gone. Blocks. */
int gdb_receive(struct gdb_link *link);
/* Is something to be read without blocking (buffered)? */
bool gdb_buffered(const struct gdb_link *link);
int gdb_send(struct gdb_link *link, const char *text);

/* Appends `size` bytes as hex, least significant first as they lie in memory; returns the end. */
char *gdb_put_hex(char *out, const void *data, size_t size);
/* Reads `size` bytes of hex; false if there are fewer digits. */
bool gdb_get_hex(const char **in, void *data, size_t size);
/* A number in hex as commands carry it; stops at the first other character. */
uint64_t gdb_number(const char **in);
