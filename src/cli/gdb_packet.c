// SPDX-License-Identifier: Apache-2.0
#include "cli/gdb_packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int next_byte(struct gdb_link *link)
{
	if (link->used == link->fill) {
		ssize_t n;

		do
			n = read(link->fd, link->raw, sizeof(link->raw));
		while (n < 0 && errno == EINTR);
		if (n <= 0)
			return -1;
		link->fill = (size_t)n;
		link->used = 0;
	}
	return (unsigned char)link->raw[link->used++];
}

bool gdb_buffered(const struct gdb_link *link)
{
	return link->used < link->fill;
}

static int send_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int gdb_receive(struct gdb_link *link)
{
	for (;;) {
		size_t n = 0;
		unsigned char sum = 0;
		int c = next_byte(link), high, low;

		if (c < 0)
			return -1;
		if (c == 3)
			return 0;
		if (c != '$')
			continue; /* acknowledgements and noise */
		while ((c = next_byte(link)) >= 0 && c != '#') {
			if (n < GDB_PACKET_MAX)
				link->packet[n++] = (char)c;
			sum += (unsigned char)c;
		}
		high = hex_digit(next_byte(link));
		low = hex_digit(next_byte(link));
		if (high < 0 || low < 0)
			return -1;
		if (!link->no_ack) {
			bool good = (high << 4 | low) == sum;

			if (send_all(link->fd, good ? "+" : "-", 1))
				return -1;
			if (!good)
				continue;
		}
		if (n == 0)
			continue;
		link->packet[n] = '\0';
		return (int)n;
	}
}

int gdb_send(struct gdb_link *link, const char *text)
{
	static const char digits[] = "0123456789abcdef";
	char tail[3];
	unsigned char sum = 0;

	for (const char *p = text; *p; p++)
		sum += (unsigned char)*p;
	tail[0] = '#';
	tail[1] = digits[sum >> 4];
	tail[2] = digits[sum & 15];
	if (send_all(link->fd, "$", 1) || send_all(link->fd, text, strlen(text)) || send_all(link->fd, tail, 3))
		return -1;
	return 0;
}

char *gdb_put_hex(char *out, const void *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < size; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
	return out;
}

bool gdb_get_hex(const char **in, void *data, size_t size)
{
	unsigned char *p = data;

	for (size_t i = 0; i < size; i++) {
		int high = hex_digit((*in)[0]), low = high < 0 ? -1 : hex_digit((*in)[1]);

		if (low < 0)
			return false;
		p[i] = (unsigned char)(high << 4 | low);
		*in += 2;
	}
	return true;
}

uint64_t gdb_number(const char **in)
{
	uint64_t v = 0;
	int d;

	while ((d = hex_digit(**in)) >= 0) {
		v = v << 4 | (unsigned int)d;
		(*in)++;
	}
	return v;
}
