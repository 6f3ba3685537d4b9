// SPDX-License-Identifier: Apache-2.0
/* Descriptors: opening, duplicating, closing, mapping. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "shim/shim.h"

/* Prototypes that headers only show to fortified programs. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

int shim_failed(int error)
{
	errno = error;
	return -1;
}

/* ---------------------------------------------------------------- open */

/* true: answered. */
static bool open_ours(const char *path, int flags, int *fd)
{
	if (!path || path[0] != '/')
		return false;
	if (!strcmp(path, "/dev/kvm"))
		*fd = shim_open_kvm(flags);
	else if (shim_fd_of_path(path) >= 0)
		*fd = shim_reopen(shim_fd_of_path(path), flags);
	else
		*fd = shim_open_sysfs(path, flags);
	if (*fd == -ENODATA)
		return false;
	if (*fd < 0)
		*fd = shim_failed(-*fd);
	return true;
}

static mode_t mode_argument(int flags, va_list ap)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                    \
	int name(const char *path, int flags, ...)                           \
	{                                                                    \
		mode_t mode;                                                 \
		va_list ap;                                                  \
		int fd;                                                      \
                                                                             \
		va_start(ap, flags);                                         \
		mode = mode_argument(flags, ap);                             \
		va_end(ap);                                                  \
		return open_ours(path, flags, &fd) ? fd : __wrap_##name(path, flags, mode); \
	}                                                                    \
	int __##name##_2(const char *path, int flags)                        \
	{                                                                    \
		int fd;                                                      \
                                                                             \
		return open_ours(path, flags, &fd) ? fd : __wrap_##name(path, flags, 0); \
	}

#define DEFINE_OPENAT(name)                                                  \
	int name(int dir, const char *path, int flags, ...)                  \
	{                                                                    \
		mode_t mode;                                                 \
		va_list ap;                                                  \
		int fd;                                                      \
                                                                             \
		va_start(ap, flags);                                         \
		mode = mode_argument(flags, ap);                             \
		va_end(ap);                                                  \
		return open_ours(path, flags, &fd) ? fd : __wrap_##name(dir, path, flags, mode); \
	}                                                                    \
	int __##name##_2(int dir, const char *path, int flags)               \
	{                                                                    \
		int fd;                                                      \
                                                                             \
		return open_ours(path, flags, &fd) ? fd : __wrap_##name(dir, path, flags, 0); \
	}

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

/* ---------------------------------------------------------------- whose it is */

static pid_t owner;

static void set_owner(void) { owner = getpid(); }

__attribute__((constructor)) static void watch_forks(void)
{
	set_owner();
	pthread_atfork(NULL, NULL, set_owner);
}

bool shim_is_ours(int fd) { return softcvm_fd_kind(fd) != SOFTCVM_FD_NONE && owner == getpid(); }

static void forget(int fd)
{
	shim_enter();
	softcvm_forget(fd);
	shim_leave();
}

/* The new number is a duplicate, and stood for something else before. Returns it. */
static int duplicated(int from, int to)
{
	int error;

	if (!shim_is_ours(from)) {
		if (shim_is_ours(to))
			forget(to);
		return to;
	}
	shim_enter();
	error = softcvm_dup(from, to);
	if (error)
		__wrap_close(to);
	shim_leave();
	return error ? shim_failed(-error) : to;
}

/* ---------------------------------------------------------------- close */

int close(int fd)
{
	int result;

	if (!shim_is_ours(fd))
		return __wrap_close(fd);
	shim_enter();
	result = softcvm_close(fd);
	shim_leave();
	return result ? shim_failed(-result) : 0;
}

int close_range(unsigned int first, unsigned int last, int flags)
{
	long limit = sysconf(_SC_OPEN_MAX);

	if (!(flags & CLOSE_RANGE_CLOEXEC) && first <= last)
		for (long fd = first; fd < limit && fd <= (long)last; fd++)
			if (softcvm_fd_kind(fd) != SOFTCVM_FD_NONE && shim_is_ours(fd))
				close(fd);
	return __wrap_close_range(first, last, flags);
}

void closefrom(int first) { close_range(first < 0 ? 0 : first, ~0u, 0); }

/* ---------------------------------------------------------------- dup */

int dup(int fd)
{
	int to = __wrap_dup(fd);

	return to < 0 ? to : duplicated(fd, to);
}

int dup2(int from, int to)
{
	int result = __wrap_dup2(from, to);

	return result < 0 || from == to ? result : duplicated(from, result);
}

int dup3(int from, int to, int flags)
{
	int result = __wrap_dup3(from, to, flags);

	return result < 0 ? result : duplicated(from, result);
}

/* Only tmpfs has seals, not what a client believes to have. */
static bool is_seal_command(int command) { return command == F_ADD_SEALS || command == F_GET_SEALS; }

static int duplicate_by_fcntl(int command, int fd, int to)
{
	if (to < 0 || (command != F_DUPFD && command != F_DUPFD_CLOEXEC))
		return to;
	return duplicated(fd, to);
}

#define DEFINE_FCNTL(name)                                                                     \
	int name(int fd, int command, ...)                                                     \
	{                                                                                      \
		void *argument;                                                                \
		va_list ap;                                                                    \
                                                                                               \
		va_start(ap, command);                                                         \
		argument = va_arg(ap, void *);                                                 \
		va_end(ap);                                                                    \
		if (is_seal_command(command) && shim_is_ours(fd))                              \
			return shim_failed(EINVAL);                                            \
		return duplicate_by_fcntl(command, fd, __wrap_##name(fd, command, argument));  \
	}

DEFINE_FCNTL(fcntl)
DEFINE_FCNTL(fcntl64)

/* ---------------------------------------------------------------- mmap */

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *at;

	if (flags & MAP_ANONYMOUS || !shim_is_ours(fd))
		return __wrap_mmap(addr, length, prot, flags, fd, offset);
	shim_enter();
	at = softcvm_mmap(addr, length, prot, flags, fd, offset);
	shim_leave();
	return at;
}

void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
{
	return mmap(addr, length, prot, flags, fd, offset);
}
