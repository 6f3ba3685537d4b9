// SPDX-License-Identifier: Apache-2.0
/* libc behind the interposed names: for the rest of this library, and for calls that do not concern it. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "shim/shim.h"

/* Looked up at the first call: constructors of other libraries run before ours. */
#define NEXT(name, type)                                                                             \
	static type next_##name(void)                                                                \
	{                                                                                            \
		static _Atomic(void *) found;                                                        \
		void *at = atomic_load_explicit(&found, memory_order_relaxed);                       \
                                                                                                     \
		if (!at) {                                                                           \
			at = dlsym(RTLD_NEXT, #name);                                                \
			atomic_store_explicit(&found, at, memory_order_relaxed);                     \
		}                                                                                    \
		return (type)at;                                                                     \
	}

typedef int (*open_call)(const char *path, int flags, ...);
typedef int (*openat_call)(int dir, const char *path, int flags, ...);
typedef int (*ioctl_call)(int fd, unsigned long request, ...);
typedef int (*fcntl_call)(int fd, int command, ...);
typedef int (*fd_call)(int fd);
typedef int (*close_range_call)(unsigned int first, unsigned int last, int flags);
typedef int (*dup2_call)(int from, int to);
typedef int (*dup3_call)(int from, int to, int flags);
typedef void *(*mmap_call)(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
typedef ssize_t (*read_call)(int fd, void *to, size_t size);
typedef ssize_t (*pread_call)(int fd, void *to, size_t size, off_t offset);
typedef ssize_t (*write_call)(int fd, const void *from, size_t size);
typedef ssize_t (*pwrite_call)(int fd, const void *from, size_t size, off_t offset);
typedef off_t (*lseek_call)(int fd, off_t offset, int whence);
typedef int (*ftruncate_call)(int fd, off_t length);
typedef int (*fallocate_call)(int fd, int mode, off_t offset, off_t length);
typedef int (*fstat_call)(int fd, struct stat *st);
typedef ssize_t (*readlink_call)(const char *path, char *to, size_t size);
typedef ssize_t (*readlinkat_call)(int dir, const char *path, char *to, size_t size);
typedef ssize_t (*vector_call)(int fd, const struct iovec *vector, int count);
typedef ssize_t (*pvector_call)(int fd, const struct iovec *vector, int count, off_t offset);
typedef ssize_t (*pvector2_call)(int fd, const struct iovec *vector, int count, off_t offset, int flags);
typedef int (*fchmod_call)(int fd, mode_t mode);
typedef int (*fchown_call)(int fd, uid_t uid, gid_t gid);
typedef ssize_t (*sendfile_call)(int out, int in, off_t *offset, size_t size);
typedef ssize_t (*splice_call)(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned int flags);
typedef int (*fstatat_call)(int dir, const char *path, struct stat *st, int flags);
typedef int (*statx_call)(int dir, const char *path, int flags, unsigned int mask, struct statx *st);
typedef int (*sigaction_call)(int signo, const struct sigaction *action, struct sigaction *old);
typedef int (*cancel_call)(pthread_t thread);
typedef int (*sigmask_call)(int how, const sigset_t *set, sigset_t *old);

NEXT(open, open_call)
NEXT(open64, open_call)
NEXT(openat, openat_call)
NEXT(openat64, openat_call)
NEXT(ioctl, ioctl_call)
NEXT(fcntl, fcntl_call)
NEXT(fcntl64, fcntl_call)
NEXT(close, fd_call)
NEXT(close_range, close_range_call)
NEXT(dup, fd_call)
NEXT(dup2, dup2_call)
NEXT(dup3, dup3_call)
NEXT(mmap, mmap_call)
NEXT(read, read_call)
NEXT(pread, pread_call)
NEXT(write, write_call)
NEXT(pwrite, pwrite_call)
NEXT(lseek, lseek_call)
NEXT(ftruncate, ftruncate_call)
NEXT(fallocate, fallocate_call)
NEXT(fstat, fstat_call)
NEXT(readlink, readlink_call)
NEXT(readlinkat, readlinkat_call)
NEXT(readv, vector_call)
NEXT(writev, vector_call)
NEXT(preadv, pvector_call)
NEXT(pwritev, pvector_call)
NEXT(preadv2, pvector2_call)
NEXT(pwritev2, pvector2_call)
NEXT(fchmod, fchmod_call)
NEXT(fchown, fchown_call)
NEXT(fsync, fd_call)
NEXT(fdatasync, fd_call)
NEXT(sendfile, sendfile_call)
NEXT(splice, splice_call)
NEXT(copy_file_range, splice_call)
NEXT(fstatat, fstatat_call)
NEXT(statx, statx_call)
NEXT(sigaction, sigaction_call)
NEXT(sigprocmask, sigmask_call)
NEXT(pthread_sigmask, sigmask_call)
NEXT(pthread_cancel, cancel_call)

#define LAST_ARGUMENT(after, type)         \
	({                                 \
		va_list ap;                \
		type value;                \
                                           \
		va_start(ap, after);       \
		value = va_arg(ap, type);  \
		va_end(ap);                \
		value;                     \
	})

int __wrap_open(const char *path, int flags, ...) { return next_open()(path, flags, LAST_ARGUMENT(flags, mode_t)); }
int __wrap_open64(const char *path, int flags, ...) { return next_open64()(path, flags, LAST_ARGUMENT(flags, mode_t)); }

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	return next_openat()(dir, path, flags, LAST_ARGUMENT(flags, mode_t));
}

int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	return next_openat64()(dir, path, flags, LAST_ARGUMENT(flags, mode_t));
}

int __wrap_ioctl(int fd, unsigned long request, ...) { return next_ioctl()(fd, request, LAST_ARGUMENT(request, void *)); }
int __wrap_fcntl(int fd, int command, ...) { return next_fcntl()(fd, command, LAST_ARGUMENT(command, void *)); }
int __wrap_fcntl64(int fd, int command, ...) { return next_fcntl64()(fd, command, LAST_ARGUMENT(command, void *)); }
int __wrap_close(int fd) { return next_close()(fd); }

int __wrap_close_range(unsigned int first, unsigned int last, int flags)
{
	return next_close_range()(first, last, flags);
}

int __wrap_dup(int fd) { return next_dup()(fd); }
int __wrap_dup2(int from, int to) { return next_dup2()(from, to); }
int __wrap_dup3(int from, int to, int flags) { return next_dup3()(from, to, flags); }

void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return next_mmap()(addr, length, prot, flags, fd, offset);
}

ssize_t __wrap_read(int fd, void *to, size_t size) { return next_read()(fd, to, size); }
ssize_t __wrap_pread(int fd, void *to, size_t size, off_t offset) { return next_pread()(fd, to, size, offset); }
ssize_t __wrap_write(int fd, const void *from, size_t size) { return next_write()(fd, from, size); }
ssize_t __wrap_pwrite(int fd, const void *from, size_t size, off_t offset) { return next_pwrite()(fd, from, size, offset); }
off_t __wrap_lseek(int fd, off_t offset, int whence) { return next_lseek()(fd, offset, whence); }
int __wrap_ftruncate(int fd, off_t length) { return next_ftruncate()(fd, length); }
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length) { return next_fallocate()(fd, mode, offset, length); }
int __wrap_fstat(int fd, struct stat *st) { return next_fstat()(fd, st); }

ssize_t __wrap_readlink(const char *path, char *to, size_t size) { return next_readlink()(path, to, size); }

ssize_t __wrap_readlinkat(int dir, const char *path, char *to, size_t size)
{
	return next_readlinkat()(dir, path, to, size);
}

ssize_t __wrap_readv(int fd, const struct iovec *vector, int count) { return next_readv()(fd, vector, count); }
ssize_t __wrap_writev(int fd, const struct iovec *vector, int count) { return next_writev()(fd, vector, count); }

ssize_t __wrap_preadv(int fd, const struct iovec *vector, int count, off_t offset)
{
	return next_preadv()(fd, vector, count, offset);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *vector, int count, off_t offset)
{
	return next_pwritev()(fd, vector, count, offset);
}

ssize_t __wrap_preadv2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
	return next_preadv2()(fd, vector, count, offset, flags);
}

ssize_t __wrap_pwritev2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
	return next_pwritev2()(fd, vector, count, offset, flags);
}

int __wrap_fchmod(int fd, mode_t mode) { return next_fchmod()(fd, mode); }
int __wrap_fchown(int fd, uid_t uid, gid_t gid) { return next_fchown()(fd, uid, gid); }
int __wrap_fsync(int fd) { return next_fsync()(fd); }
int __wrap_fdatasync(int fd) { return next_fdatasync()(fd); }

ssize_t __wrap_sendfile(int out, int in, off_t *offset, size_t size) { return next_sendfile()(out, in, offset, size); }

ssize_t __wrap_splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned int flags)
{
	return next_splice()(in, in_at, out, out_at, size, flags);
}

ssize_t __wrap_copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned int flags)
{
	return next_copy_file_range()(in, in_at, out, out_at, size, flags);
}

int __wrap_fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return next_fstatat()(dir, path, st, flags);
}

int __wrap_statx(int dir, const char *path, int flags, unsigned int mask, struct statx *st)
{
	return next_statx()(dir, path, flags, mask, st);
}

int __wrap_sigaction(int signo, const struct sigaction *action, struct sigaction *old)
{
	return next_sigaction()(signo, action, old);
}

int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *old) { return next_sigprocmask()(how, set, old); }
int __wrap_pthread_cancel(pthread_t thread) { return next_pthread_cancel()(thread); }
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old) { return next_pthread_sigmask()(how, set, old); }

/* The same functions on x86-64, as the rest of softcvm calls them. */
void *__wrap_mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset) __attribute__((alias("__wrap_mmap")));
ssize_t __wrap_pread64(int fd, void *to, size_t size, off_t offset) __attribute__((alias("__wrap_pread")));
ssize_t __wrap_pwrite64(int fd, const void *from, size_t size, off_t offset) __attribute__((alias("__wrap_pwrite")));
off_t __wrap_lseek64(int fd, off_t offset, int whence) __attribute__((alias("__wrap_lseek")));
int __wrap_ftruncate64(int fd, off_t length) __attribute__((alias("__wrap_ftruncate")));
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length) __attribute__((alias("__wrap_fallocate")));
int __wrap_fstat64(int fd, struct stat *st) __attribute__((alias("__wrap_fstat")));
