// SPDX-License-Identifier: Apache-2.0
/* Descriptors by their names: what /proc/self/fd says of them, and opening them there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/shim.h"

/* What is behind the directory with a process's own descriptors; NULL: the path does not lead there. */
static const char *skip_directory(const char *path)
{
	static const char *const directories[] = { "/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/" };
	char own[32];
	int length = snprintf(own, sizeof(own), "/proc/%d/fd/", getpid());

	if (!strncmp(path, own, length))
		return path + length;
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
		if (!strncmp(path, directories[i], strlen(directories[i])))
			return path + strlen(directories[i]);
	return NULL;
}

int shim_fd_of_path(const char *path)
{
	const char *number = path && path[0] == '/' ? skip_directory(path) : NULL;
	char *end;
	long fd;

	if (!number || *number < '0' || *number > '9')
		return -1;
	fd = strtol(number, &end, 10);
	return !*end && fd <= 0x7fffffff && shim_is_ours((int)fd) ? (int)fd : -1;
}

/* A device is opened again; an anonymous inode cannot be. */
int shim_reopen(int fd, int flags) { return softcvm_fd_kind(fd) == SOFTCVM_FD_SYSTEM ? shim_open_kvm(flags) : -ENXIO; }

static ssize_t read_name(int fd, char *to, size_t size)
{
	char name[64];
	size_t length;
	int error;

	shim_enter();
	error = softcvm_fd_name(fd, name, sizeof(name));
	shim_leave();
	if (error)
		return shim_failed(-error);
	length = strlen(name);
	length = length < size ? length : size;
	memcpy(to, name, length);
	return (ssize_t)length;
}

ssize_t readlink(const char *path, char *to, size_t size)
{
	int fd = shim_fd_of_path(path);

	return fd < 0 || !size ? __wrap_readlink(path, to, size) : read_name(fd, to, size);
}

ssize_t readlinkat(int dir, const char *path, char *to, size_t size)
{
	int fd = shim_fd_of_path(path);

	return fd < 0 || !size ? __wrap_readlinkat(dir, path, to, size) : read_name(fd, to, size);
}
