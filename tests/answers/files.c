// SPDX-License-Identifier: Apache-2.0
/* A guest_memfd as a file: fallocate, and the calls that files answer and this one refuses. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "machine.h"
#include "stat.h"

#define KEEP		     FALLOC_FL_KEEP_SIZE
#define PUNCH		     FALLOC_FL_PUNCH_HOLE
#define FALLOC_NO_HIDE_STALE 0x04

/* ---------------------------------------------------------------- fallocate */

struct allocation {
	int mode;
	off_t offset, length;
	const char *note;
	const char *stat_note; /* looked at afterwards; NULL: not */
};

static const struct allocation allocations[] = {
	{KEEP, 0, 0x10000, "whole file", "after whole allocate"},
	{KEEP, 0, 0x10000, "whole file again", NULL},
	{0, 0, 0x10000, "mode 0", NULL},
	{PUNCH, 0, 0x1000, "punch without keep_size", NULL},
	{KEEP | PUNCH, 0, 0x1000, "punch first page", "after punching 1 page"},
	{KEEP | PUNCH, 0, 0x1000, "punch it again", NULL},
	{KEEP | PUNCH, 0, 0x10000, "punch all", NULL},
	{KEEP | PUNCH, 0xf000, 0x2000, "punch across EOF", NULL},
	{KEEP | PUNCH, 0x20000, 0x1000, "punch beyond EOF", NULL},
	{KEEP, 0xf000, 0x1000, "last page", NULL},
	{KEEP, 0x10000, 0x1000, "alloc at EOF", NULL},
	{KEEP, 0, 0x11000, "alloc one page more than the file", NULL},
	{KEEP, 0x1, 0x1000, "alloc offset 1", NULL},
	{KEEP, 0, 0x1, "alloc len 1", NULL},
	{KEEP, 0, 0x1001, "alloc len misaligned", NULL},
	{KEEP | PUNCH, 0x1, 0x1000, "punch offset 1", NULL},
	{KEEP | PUNCH, 0, 0x1, "punch len 1", NULL},
	{KEEP | PUNCH, 0, 0xfff, "punch len 4095", NULL},
	{KEEP | PUNCH, 0x1000, 0x1001, "punch len misaligned", NULL},
	{KEEP, 0, 0, "len 0", NULL},
	{KEEP | PUNCH, 0, 0, "punch len 0", NULL},
	{KEEP, -0x1000, 0x1000, "negative offset", NULL},
	{KEEP, 0, -0x1000, "negative len", NULL},
	{KEEP | PUNCH, 0, 0x7ffffffffffff000, "punch 0..max", NULL},
	{KEEP, 0x7ffffffffffff000, 0x1000, "alloc offset + len overflows", NULL},
	{FALLOC_FL_COLLAPSE_RANGE, 0, 0x1000, "collapse", NULL},
	{FALLOC_FL_ZERO_RANGE, 0, 0x1000, "zero range", NULL},
	{KEEP | FALLOC_FL_ZERO_RANGE, 0, 0x1000, "zero range | keep", NULL},
	{FALLOC_FL_INSERT_RANGE, 0, 0x1000, "insert", NULL},
	{FALLOC_FL_UNSHARE_RANGE, 0, 0x1000, "unshare", NULL},
	{KEEP | FALLOC_NO_HIDE_STALE, 0, 0x1000, "no_hide_stale | keep", NULL},
	{KEEP | PUNCH | FALLOC_NO_HIDE_STALE, 0, 0x1000, "keep|punch|no_hide_stale", "end"},
};

static void print_mode(char *text, size_t size, int mode)
{
	static const struct {
		int flag;
		const char *name;
	} names[] = {
		{KEEP, "KEEP_SIZE"},
		{PUNCH, "PUNCH_HOLE"},
		{FALLOC_FL_COLLAPSE_RANGE, "COLLAPSE_RANGE"},
		{FALLOC_FL_ZERO_RANGE, "ZERO_RANGE"},
		{FALLOC_FL_INSERT_RANGE, "INSERT_RANGE"},
		{FALLOC_FL_UNSHARE_RANGE, "UNSHARE_RANGE"},
		{FALLOC_NO_HIDE_STALE, "NO_HIDE_STALE"},
	};
	int length = 0;

	snprintf(text, size, "0");
	for (unsigned int i = 0; i < COUNT(names); i++)
		if (mode & names[i].flag)
			length += snprintf(text + length, size - length, "%s%s", length ? "|" : "", names[i].name);
}

static void ask_allocations(const struct machine *m)
{
	int fd = machine_gmem(m, 16 * PAGE);

	puts("## fallocate on a guest_memfd of 16 pages (vm=1, not bound)");
	answer_stat(fd, "[fresh]");
	for (unsigned int i = 0; i < COUNT(allocations); i++) {
		const struct allocation *c = &allocations[i];
		struct answer a = answered(fallocate(fd, c->mode, c->offset, c->length));
		char mode[64], note[64];

		print_mode(mode, sizeof(mode), c->mode);
		answer_line(a, NULL, "fallocate  mode=%s offset=0x%lx len=0x%lx  [%s]", mode, c->offset, c->length,
			    c->note);
		if (!c->stat_note)
			continue;
		snprintf(note, sizeof(note), "[%s]", c->stat_note);
		answer_stat(fd, note);
	}
	close(fd);
}

/* ---------------------------------------------------------------- mmap */

static const struct {
	int prot, flags;
	const char *text;
} mappings[] = {
	{PROT_READ, MAP_SHARED, "R SHARED"},
	{PROT_NONE, MAP_SHARED, "NONE SHARED"},
	{PROT_READ | PROT_WRITE, MAP_PRIVATE, "RW PRIVATE"},
	{PROT_READ | PROT_EXEC, MAP_SHARED, "RX SHARED"},
	{PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE, "RW SHARED_VALIDATE"},
};

static void ask_mappings(int fd)
{
	for (unsigned int i = 0; i < COUNT(mappings); i++) {
		void *at = mmap(NULL, PAGE, mappings[i].prot, mappings[i].flags, fd, 0);

		answer_line(answered(at == MAP_FAILED ? -1 : 0), NULL, "mmap  len=0x1000 %s off=0", mappings[i].text);
	}
}

/* ---------------------------------------------------------------- the rest */

static void ask_contents(int fd)
{
	char bytes[64] = {0};
	struct iovec vector = {bytes, sizeof(bytes)};

	answer_line(answered(read(fd, bytes, 0)), NULL, "read  len=0");
	answer_line(answered(write(fd, bytes, 64)), NULL, "write  len=64");
	answer_line(answered(pwrite(fd, bytes, 64, 0)), NULL, "pwrite  len=64 off=0");
	answer_line(answered(pwrite(fd, bytes, 64, 16 * PAGE)), NULL, "pwrite  len=64 off=EOF");
	answer_line(answered(readv(fd, &vector, 1)), NULL, "readv  1x64");
	answer_line(answered(writev(fd, &vector, 1)), NULL, "writev  1x64");
	answer_line(answered(lseek(fd, 0, SEEK_DATA)), NULL, "lseek  SEEK_DATA 0");
}

static void ask_attributes_of_inode(int fd)
{
	answer_line(answered(ftruncate(fd, 0)), NULL, "ftruncate  len=0");
	answer_line(answered(ftruncate(fd, 8 * PAGE)), NULL, "ftruncate  len=0x8000 (shrink)");
	answer_line(answered(ftruncate(fd, 32 * PAGE)), NULL, "ftruncate  len=0x20000 (grow)");
	answer_line(answered(fchmod(fd, 0600)), NULL, "fchmod  0600");
	answer_line(answered(fchown(fd, 0, 0)), NULL, "fchown  0:0");
	answer_line(answered(fsync(fd)), NULL, "fsync  ");
	answer_line(answered(fdatasync(fd)), NULL, "fdatasync  ");
}

static void ask_transfers(int fd)
{
	int file = MUST(memfd_create("answers", MFD_CLOEXEC)), ends[2];

	MUST(ftruncate(file, PAGE));
	MUST(pipe(ends));
	answer_line(answered(sendfile(file, fd, NULL, 64)), NULL, "sendfile  memfd <- guest_memfd 64");
	answer_line(answered(sendfile(fd, file, NULL, 64)), NULL, "sendfile  guest_memfd <- memfd 64");
	answer_line(answered(splice(fd, NULL, ends[1], NULL, 64, 0)), NULL, "splice  guest_memfd -> pipe 64");
	close(ends[0]);
	close(ends[1]);
	close(file);
}

void ask_files(void)
{
	struct machine m;
	int fd, copy;

	machine_create(&m, KVM_X86_SW_PROTECTED_VM);
	ask_allocations(&m);
	puts("## other calls on a guest_memfd of 16 pages");
	fd = machine_gmem(&m, 16 * PAGE);
	ask_mappings(fd);
	ask_contents(fd);
	ask_attributes_of_inode(fd);
	ask_transfers(fd);
	copy = dup(fd);
	answer_fd(answered(copy), "dup  ");
	close(copy);
	close(fd);
	machine_destroy(&m);
}
