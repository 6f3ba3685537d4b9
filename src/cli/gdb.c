// SPDX-License-Identifier: Apache-2.0
/* GDB remote protocol: the commands. Threads are numbered from 1: vCPU index + 1. */
#include "cli/gdb.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/gdb_packet.h"

struct gdb_server {
	struct debug_port *debug;
	int listener, quit_fd;
	pthread_t thread;
	/* the session; used by the server's thread only */
	struct gdb_link link;
	unsigned int cpu;	/* selected by Hg */
	unsigned int stopped;	/* the one that stopped last */
	char reply[2 * GDB_PACKET_MAX];
};

/* ---------------------------------------------------------------- registers */

static const char target_xml[] =
	"<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target><architecture>i386:x86-64</architecture>"
	"<feature name=\"org.gnu.gdb.i386.core\">"
	"<reg name=\"rax\" bitsize=\"64\" type=\"int64\" regnum=\"0\"/><reg name=\"rbx\" bitsize=\"64\" type=\"int64\"/>"
	"<reg name=\"rcx\" bitsize=\"64\" type=\"int64\"/><reg name=\"rdx\" bitsize=\"64\" type=\"int64\"/>"
	"<reg name=\"rsi\" bitsize=\"64\" type=\"int64\"/><reg name=\"rdi\" bitsize=\"64\" type=\"int64\"/>"
	"<reg name=\"rbp\" bitsize=\"64\" type=\"data_ptr\"/><reg name=\"rsp\" bitsize=\"64\" type=\"data_ptr\"/>"
	"<reg name=\"r8\" bitsize=\"64\" type=\"int64\"/><reg name=\"r9\" bitsize=\"64\" type=\"int64\"/>"
	"<reg name=\"r10\" bitsize=\"64\" type=\"int64\"/><reg name=\"r11\" bitsize=\"64\" type=\"int64\"/>"
	"<reg name=\"r12\" bitsize=\"64\" type=\"int64\"/><reg name=\"r13\" bitsize=\"64\" type=\"int64\"/>"
	"<reg name=\"r14\" bitsize=\"64\" type=\"int64\"/><reg name=\"r15\" bitsize=\"64\" type=\"int64\"/>"
	"<reg name=\"rip\" bitsize=\"64\" type=\"code_ptr\"/><reg name=\"eflags\" bitsize=\"32\" type=\"int32\"/>"
	"<reg name=\"cs\" bitsize=\"32\" type=\"int32\"/><reg name=\"ss\" bitsize=\"32\" type=\"int32\"/>"
	"<reg name=\"ds\" bitsize=\"32\" type=\"int32\"/><reg name=\"es\" bitsize=\"32\" type=\"int32\"/>"
	"<reg name=\"fs\" bitsize=\"32\" type=\"int32\"/><reg name=\"gs\" bitsize=\"32\" type=\"int32\"/>"
	"<reg name=\"st0\" bitsize=\"80\" type=\"i387_ext\"/><reg name=\"st1\" bitsize=\"80\" type=\"i387_ext\"/>"
	"<reg name=\"st2\" bitsize=\"80\" type=\"i387_ext\"/><reg name=\"st3\" bitsize=\"80\" type=\"i387_ext\"/>"
	"<reg name=\"st4\" bitsize=\"80\" type=\"i387_ext\"/><reg name=\"st5\" bitsize=\"80\" type=\"i387_ext\"/>"
	"<reg name=\"st6\" bitsize=\"80\" type=\"i387_ext\"/><reg name=\"st7\" bitsize=\"80\" type=\"i387_ext\"/>"
	"<reg name=\"fctrl\" bitsize=\"32\" type=\"int\" group=\"float\"/><reg name=\"fstat\" bitsize=\"32\" type=\"int\" group=\"float\"/>"
	"<reg name=\"ftag\" bitsize=\"32\" type=\"int\" group=\"float\"/><reg name=\"fiseg\" bitsize=\"32\" type=\"int\" group=\"float\"/>"
	"<reg name=\"fioff\" bitsize=\"32\" type=\"int\" group=\"float\"/><reg name=\"foseg\" bitsize=\"32\" type=\"int\" group=\"float\"/>"
	"<reg name=\"fooff\" bitsize=\"32\" type=\"int\" group=\"float\"/><reg name=\"fop\" bitsize=\"32\" type=\"int\" group=\"float\"/>"
	"</feature></target>";

/* Where each register of the description above lies in struct hw_arch. */
struct gdb_reg {
	u16 offset;
	u8 size;   /* as gdb sees it */
	u8 stored; /* as hw_arch holds it; the rest reads as zero */
};
#define ARCH(member, size) { offsetof(struct hw_arch, member), size, sizeof(((struct hw_arch *)0)->member) }
#define ST(n) { offsetof(struct hw_arch, xsave) + 32 + 16 * (n), 10, 10 }
#define FX(off, n) { offsetof(struct hw_arch, xsave) + (off), 4, n }
static const struct gdb_reg registers[] = {
	ARCH(gpr[HW_RAX], 8), ARCH(gpr[HW_RBX], 8), ARCH(gpr[HW_RCX], 8), ARCH(gpr[HW_RDX], 8),
	ARCH(gpr[HW_RSI], 8), ARCH(gpr[HW_RDI], 8), ARCH(gpr[HW_RBP], 8), ARCH(gpr[HW_RSP], 8),
	ARCH(gpr[HW_R8], 8), ARCH(gpr[HW_R9], 8), ARCH(gpr[HW_R10], 8), ARCH(gpr[HW_R11], 8),
	ARCH(gpr[HW_R12], 8), ARCH(gpr[HW_R13], 8), ARCH(gpr[HW_R14], 8), ARCH(gpr[HW_R15], 8),
	ARCH(rip, 8), { offsetof(struct hw_arch, rflags), 4, 4 },
	ARCH(seg[HW_CS].selector, 4), ARCH(seg[HW_SS].selector, 4), ARCH(seg[HW_DS].selector, 4),
	ARCH(seg[HW_ES].selector, 4), ARCH(seg[HW_FS].selector, 4), ARCH(seg[HW_GS].selector, 4),
	ST(0), ST(1), ST(2), ST(3), ST(4), ST(5), ST(6), ST(7),
	FX(0, 2), FX(2, 2), FX(4, 1), FX(12, 2), FX(8, 4), FX(20, 2), FX(16, 4), FX(6, 2),
};
#define REG_COUNT (sizeof(registers) / sizeof(registers[0]))
#define REG_FIRST_SELECTOR 18
#define REG_LAST_SELECTOR  23

static char *put_register(char *out, const struct hw_arch *arch, unsigned int n)
{
	u8 value[16] = { 0 };

	memcpy(value, (const u8 *)arch + registers[n].offset, registers[n].stored);
	return gdb_put_hex(out, value, registers[n].size);
}

/* Selectors are shown, not written: a selector without its descriptor would be half a segment. */
static bool get_register(const char **in, struct hw_arch *arch, unsigned int n)
{
	u8 value[16];

	if (!gdb_get_hex(in, value, registers[n].size))
		return false;
	if (n < REG_FIRST_SELECTOR || n > REG_LAST_SELECTOR)
		memcpy((u8 *)arch + registers[n].offset, value, registers[n].stored);
	return true;
}

static void read_registers(struct gdb_server *s)
{
	const struct hw_arch *arch = debug_arch(s->debug, s->cpu);
	char *out = s->reply;

	for (unsigned int n = 0; n < REG_COUNT; n++)
		out = put_register(out, arch, n);
}

static void write_registers(struct gdb_server *s, const char *in)
{
	struct hw_arch *arch = debug_arch(s->debug, s->cpu);

	strcpy(s->reply, "OK");
	for (unsigned int n = 0; n < REG_COUNT && *in; n++)
		if (!get_register(&in, arch, n))
			strcpy(s->reply, "E16");
	debug_arch_changed(s->debug, s->cpu);
}

static void one_register(struct gdb_server *s, const char *in, bool write)
{
	unsigned int n = gdb_number(&in);

	strcpy(s->reply, "E16");
	if (n >= REG_COUNT)
		return;
	if (!write) {
		put_register(s->reply, debug_arch(s->debug, s->cpu), n);
	} else if (*in++ == '=' && get_register(&in, debug_arch(s->debug, s->cpu), n)) {
		debug_arch_changed(s->debug, s->cpu);
		strcpy(s->reply, "OK");
	}
}

/* ---------------------------------------------------------------- memory and breakpoints */

static void memory(struct gdb_server *s, const char *in, bool write)
{
	static const size_t max = GDB_PACKET_MAX / 2 - 16;
	u8 buf[GDB_PACKET_MAX / 2];
	u64 address = gdb_number(&in), length;

	strcpy(s->reply, "E16");
	if (*in++ != ',')
		return;
	length = gdb_number(&in);
	if (length > max)
		return;
	if (!write) {
		length = debug_read_memory(s->debug, s->cpu, address, buf, length);
		if (length > 0)
			gdb_put_hex(s->reply, buf, length);
	} else if (*in++ == ':' && gdb_get_hex(&in, buf, length) &&
		   debug_write_memory(s->debug, s->cpu, address, buf, length) == length) {
		strcpy(s->reply, "OK");
	}
}

static void breakpoint(struct gdb_server *s, const char *in, bool set)
{
	unsigned int kind = gdb_number(&in);

	if (kind > 1 || *in++ != ',') { /* software and hardware breakpoints are the same here; no watchpoints */
		s->reply[0] = '\0';
		return;
	}
	strcpy(s->reply, debug_set_breakpoint(s->debug, gdb_number(&in), set) ? "E28" : "OK");
}

/* ---------------------------------------------------------------- running */

static void stop_reply(struct gdb_server *s)
{
	sprintf(s->reply, "T05thread:%x;", s->stopped + 1);
}

/* Runs until a vCPU stops or the client speaks. Returns false when the client is gone. */
static bool run(struct gdb_server *s, int step)
{
	for (;;) {
		enum debug_stop_reason reason;
		int cpu;

		debug_resume(s->debug, step);
		cpu = gdb_buffered(&s->link) ? -ECANCELED : debug_wait(s->debug, s->link.fd, &reason);
		if (cpu >= 0) {
			s->cpu = s->stopped = (unsigned int)cpu;
			break;
		}
		debug_stop(s->debug);
		cpu = gdb_receive(&s->link);
		if (cpu < 0)
			return false;
		if (cpu == 0)
			break; /* Ctrl-C */
		/* Nothing else is legal while running in all-stop mode: ignore it and go on. */
	}
	stop_reply(s);
	return true;
}

static int step_of_vcont(struct gdb_server *s, const char *in)
{
	int step = -1;

	for (; *in == ';'; ) {
		char action = *++in;

		in++;
		if (*in == ':') {
			in++;
			if (action == 's')
				step = (int)gdb_number(&in) - 1;
			else
				gdb_number(&in);
		} else if (action == 's') {
			step = (int)s->cpu;
		}
		while (*in && *in != ';')
			in++;
	}
	if (step >= 0 && (unsigned int)step >= debug_cpu_count(s->debug))
		step = (int)s->cpu;
	return step;
}

/* ---------------------------------------------------------------- queries */

static void transfer_features(struct gdb_server *s, const char *in)
{
	u64 offset = gdb_number(&in), length;
	size_t size = sizeof(target_xml) - 1;

	length = *in == ',' ? (in++, gdb_number(&in)) : 0;
	if (offset > size)
		offset = size;
	if (length > size - offset)
		length = size - offset;
	s->reply[0] = offset + length < size ? 'm' : 'l';
	memcpy(s->reply + 1, target_xml + offset, length);
	s->reply[1 + length] = '\0';
}

static void query(struct gdb_server *s, const char *p)
{
	static const char features[] = "qXfer:features:read:target.xml:";

	if (!strncmp(p, "qSupported", 10)) {
		sprintf(s->reply, "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+", GDB_PACKET_MAX);
	} else if (!strncmp(p, features, sizeof(features) - 1)) {
		transfer_features(s, p + sizeof(features) - 1);
	} else if (!strcmp(p, "qfThreadInfo")) {
		char *out = s->reply;

		*out++ = 'm';
		for (unsigned int i = 0; i < debug_cpu_count(s->debug); i++)
			out += sprintf(out, "%s%x", i ? "," : "", i + 1);
	} else if (!strcmp(p, "qsThreadInfo")) {
		strcpy(s->reply, "l");
	} else if (!strcmp(p, "qC")) {
		sprintf(s->reply, "QC%x", s->cpu + 1);
	} else if (!strncmp(p, "qAttached", 9)) {
		strcpy(s->reply, "1");
	} else if (!strncmp(p, "qThreadExtraInfo,", 17)) {
		char text[32];
		int n = snprintf(text, sizeof(text), "vCPU %u", (unsigned int)strtoul(p + 17, NULL, 16) - 1);

		gdb_put_hex(s->reply, text, (size_t)n);
	}
}

static void select_thread(struct gdb_server *s, const char *in)
{
	u64 n;

	strcpy(s->reply, "OK");
	if (*in == '-') /* all */
		return;
	n = gdb_number(&in);
	if (n > debug_cpu_count(s->debug))
		strcpy(s->reply, "E16");
	else if (n > 0)
		s->cpu = (unsigned int)n - 1;
}

/* False when the session ends. */
static bool command(struct gdb_server *s)
{
	const char *p = s->link.packet;
	bool alive = true;

	s->reply[0] = '\0';
	switch (p[0]) {
	case '?': stop_reply(s); break;
	case 'g': read_registers(s); break;
	case 'G': write_registers(s, p + 1); break;
	case 'p': one_register(s, p + 1, false); break;
	case 'P': one_register(s, p + 1, true); break;
	case 'm': memory(s, p + 1, false); break;
	case 'M': memory(s, p + 1, true); break;
	case 'Z': breakpoint(s, p + 1, true); break;
	case 'z': breakpoint(s, p + 1, false); break;
	case 'c': alive = run(s, -1); break;
	case 's': alive = run(s, (int)s->cpu); break;
	case 'H': select_thread(s, p + 2); break;
	case 'T': {
		const char *in = p + 1;

		strcpy(s->reply, gdb_number(&in) - 1 < debug_cpu_count(s->debug) ? "OK" : "E16");
		break;
	}
	case 'q': query(s, p); break;
	case 'Q':
		if (!strcmp(p, "QStartNoAckMode")) {
			gdb_send(&s->link, "OK");
			s->link.no_ack = true;
			return true;
		}
		break;
	case 'v':
		if (!strcmp(p, "vCont?"))
			strcpy(s->reply, "vCont;c;C;s;S");
		else if (!strncmp(p, "vCont;", 6))
			alive = run(s, step_of_vcont(s, p + 5));
		break;
	case 'D':
		gdb_send(&s->link, "OK");
		return false;
	case 'k':
		return false;
	default:
		break;
	}
	return alive && gdb_send(&s->link, s->reply) == 0;
}

static void serve(struct gdb_server *s)
{
	struct pollfd fds[2] = { { .fd = s->listener, .events = POLLIN }, { .fd = s->quit_fd, .events = POLLIN } };

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (fds[1].revents)
			return;
		if (!(fds[0].revents & POLLIN))
			continue;
		s->link = (struct gdb_link){ .fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC) };
		if (s->link.fd < 0)
			continue;
		debug_stop(s->debug);
		while (gdb_receive(&s->link) >= 0 && command(s))
			;
		close(s->link.fd);
		debug_resume(s->debug, -1);
	}
}

static void *gdb_thread(void *opaque)
{
	struct gdb_server *s = opaque;

	serve(s);
	debug_resume(s->debug, -1); /* nobody is left to do it */
	return NULL;
}

int gdb_start(struct debug_port *debug, unsigned int port, struct gdb_server **out)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct gdb_server *s = calloc(1, sizeof(*s));
	int one = 1, err;

	if (!s)
		return -ENOMEM;
	s->debug = debug;
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	s->quit_fd = eventfd(0, EFD_CLOEXEC);
	if (s->listener < 0 || s->quit_fd < 0)
		goto fail;
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s->listener, (struct sockaddr *)&address, sizeof(address)) || listen(s->listener, 1))
		goto fail;
	debug_stop(debug);
	err = pthread_create(&s->thread, NULL, gdb_thread, s);
	if (err) {
		errno = err;
		goto fail;
	}
	*out = s;
	return 0;
fail:
	err = -errno;
	if (s->listener >= 0)
		close(s->listener);
	if (s->quit_fd >= 0)
		close(s->quit_fd);
	free(s);
	return err;
}

void gdb_stop(struct gdb_server *s)
{
	uint64_t one = 1;

	if (write(s->quit_fd, &one, sizeof(one)) < 0)
		return;
	if (s->link.fd > 0)
		shutdown(s->link.fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	close(s->quit_fd);
	free(s);
}
