// SPDX-License-Identifier: Apache-2.0
/* What Linux answers when the descriptors are used as files: neither /dev/kvm nor what it makes has contents to be moved. */
#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/sysmacros.h>

#include "shim/shim.h"

#define KVM_MAJOR 10 /* the misc device that /dev/kvm is */
#define KVM_MINOR 232

_Static_assert(sizeof(struct stat) == sizeof(struct stat64) && sizeof(off_t) == sizeof(off64_t), "x86-64");

static bool is_kind(int fd, enum softcvm_fd_kind kind) { return shim_is_ours(fd) && softcvm_fd_kind(fd) == kind; }
static bool is_gmem(int fd) { return is_kind(fd, SOFTCVM_FD_GUEST_MEMFD); }
static bool is_open(int fd) { return __wrap_fcntl(fd, F_GETFD) >= 0; }

/* ---------------------------------------------------------------- read, write */

static bool is_stats(int fd) { return is_kind(fd, SOFTCVM_FD_STATS); }

/* Figures of a VM or vCPU are the one thing that can be read. */
static ssize_t read_stats(int fd, void *to, size_t size, off_t offset)
{
	ssize_t n;

	shim_enter();
	n = softcvm_pread(fd, to, size, offset);
	shim_leave();
	return n < 0 ? shim_failed(-n) : n;
}

/* The position is that of the carrier, which duplicates share. */
static ssize_t read_stats_on(int fd, void *to, size_t size)
{
	off_t at = __wrap_lseek(fd, 0, SEEK_CUR);
	ssize_t n = read_stats(fd, to, size, at);

	if (n > 0)
		__wrap_lseek(fd, at + n, SEEK_SET);
	return n;
}

ssize_t read(int fd, void *to, size_t size)
{
	if (is_stats(fd))
		return read_stats_on(fd, to, size);
	return shim_is_ours(fd) ? shim_failed(EINVAL) : __wrap_read(fd, to, size);
}

ssize_t write(int fd, const void *from, size_t size)
{
	return shim_is_ours(fd) ? shim_failed(EINVAL) : __wrap_write(fd, from, size);
}

ssize_t readv(int fd, const struct iovec *vector, int count)
{
	return shim_is_ours(fd) ? shim_failed(EINVAL) : __wrap_readv(fd, vector, count);
}

ssize_t writev(int fd, const struct iovec *vector, int count)
{
	return shim_is_ours(fd) ? shim_failed(EINVAL) : __wrap_writev(fd, vector, count);
}

/* An anonymous inode has no position; a device has, whatever it means. */
static int no_position(int fd) { return shim_failed(is_kind(fd, SOFTCVM_FD_SYSTEM) ? EINVAL : ESPIPE); }

ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
	if (!shim_is_ours(fd))
		return __wrap_pread(fd, to, size, offset);
	if (is_stats(fd) && offset >= 0)
		return read_stats(fd, to, size, offset);
	return offset < 0 ? shim_failed(EINVAL) : no_position(fd);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset)
{
	if (!shim_is_ours(fd))
		return __wrap_pwrite(fd, from, size, offset);
	return offset < 0 ? shim_failed(EINVAL) : no_position(fd);
}

ssize_t preadv(int fd, const struct iovec *vector, int count, off_t offset)
{
	if (!shim_is_ours(fd))
		return __wrap_preadv(fd, vector, count, offset);
	return offset < 0 ? shim_failed(EINVAL) : no_position(fd);
}

ssize_t pwritev(int fd, const struct iovec *vector, int count, off_t offset)
{
	if (!shim_is_ours(fd))
		return __wrap_pwritev(fd, vector, count, offset);
	return offset < 0 ? shim_failed(EINVAL) : no_position(fd);
}

/* -1: readv() and writev() with flags. */
ssize_t preadv2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
	if (!shim_is_ours(fd))
		return __wrap_preadv2(fd, vector, count, offset, flags);
	return offset < 0 ? shim_failed(EINVAL) : no_position(fd);
}

ssize_t pwritev2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
	if (!shim_is_ours(fd))
		return __wrap_pwritev2(fd, vector, count, offset, flags);
	return offset < 0 ? shim_failed(EINVAL) : no_position(fd);
}

/* The system, VMs and vCPUs accept every move and stay at 0, figures stay where they were read up to. */
off_t lseek(int fd, off_t offset, int whence)
{
	if (!shim_is_ours(fd))
		return __wrap_lseek(fd, offset, whence);
	if (is_gmem(fd) || is_kind(fd, SOFTCVM_FD_DEVICE))
		return shim_failed(ESPIPE);
	if (is_stats(fd))
		return __wrap_lseek(fd, 0, SEEK_CUR);
	return whence < SEEK_SET || whence > SEEK_HOLE ? shim_failed(EINVAL) : 0;
}

ssize_t pread64(int fd, void *to, size_t size, off64_t offset) { return pread(fd, to, size, offset); }
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t offset) { return pwrite(fd, from, size, offset); }
ssize_t preadv64(int fd, const struct iovec *vector, int count, off64_t offset) { return preadv(fd, vector, count, offset); }
ssize_t pwritev64(int fd, const struct iovec *vector, int count, off64_t offset) { return pwritev(fd, vector, count, offset); }
off64_t lseek64(int fd, off64_t offset, int whence) { return lseek(fd, offset, whence); }

ssize_t preadv64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags)
{
	return preadv2(fd, vector, count, offset, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags)
{
	return pwritev2(fd, vector, count, offset, flags);
}

/* ---------------------------------------------------------------- transfers */

ssize_t sendfile(int out, int in, off_t *offset, size_t size)
{
	if (!shim_is_ours(in) && !shim_is_ours(out))
		return __wrap_sendfile(out, in, offset, size);
	if (!is_open(in) || !is_open(out))
		return shim_failed(EBADF);
	return shim_is_ours(in) && offset ? no_position(in) : shim_failed(EINVAL);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t size) { return sendfile(out, in, offset, size); }

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned int flags)
{
	if (!shim_is_ours(in) && !shim_is_ours(out))
		return __wrap_splice(in, in_at, out, out_at, size, flags);
	if (!size)
		return 0;
	return shim_failed(is_open(in) && is_open(out) ? EINVAL : EBADF);
}

/* Only a guest_memfd is a regular file, of a filesystem of its own. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned int flags)
{
	struct stat st;

	if (!shim_is_ours(in) && !shim_is_ours(out))
		return __wrap_copy_file_range(in, in_at, out, out_at, size, flags);
	if (!is_open(in) || !is_open(out))
		return shim_failed(EBADF);
	if (flags || is_gmem(in) == is_gmem(out))
		return shim_failed(EINVAL);
	if (shim_is_ours(in) && shim_is_ours(out))
		return shim_failed(EINVAL);
	if (!__wrap_fstat(is_gmem(in) ? out : in, &st) && S_ISREG(st.st_mode))
		return shim_failed(EXDEV);
	return shim_failed(EINVAL);
}

/* ---------------------------------------------------------------- size, attributes */

int ftruncate(int fd, off_t length) { return shim_is_ours(fd) ? shim_failed(EINVAL) : __wrap_ftruncate(fd, length); }
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }
int fchmod(int fd, mode_t mode) { return is_gmem(fd) ? shim_failed(EINVAL) : __wrap_fchmod(fd, mode); }
int fchown(int fd, uid_t uid, gid_t gid) { return is_gmem(fd) ? shim_failed(EINVAL) : __wrap_fchown(fd, uid, gid); }
int fsync(int fd) { return shim_is_ours(fd) ? shim_failed(EINVAL) : __wrap_fsync(fd); }
int fdatasync(int fd) { return shim_is_ours(fd) ? shim_failed(EINVAL) : __wrap_fdatasync(fd); }

int fallocate(int fd, int mode, off_t offset, off_t length)
{
	int result;

	if (!shim_is_ours(fd))
		return __wrap_fallocate(fd, mode, offset, length);
	shim_enter();
	result = softcvm_fallocate(fd, mode, offset, length);
	shim_leave();
	return result ? shim_failed(-result) : 0;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return fallocate(fd, mode, offset, length); }

/* ---------------------------------------------------------------- stat */

/* What fstat() of the carrier said, into what it says of the file. 0 or -errno. */
static int describe(int fd, struct stat *st)
{
	if (is_gmem(fd))
		return softcvm_fstat(fd, st);
	st->st_size = 0;
	st->st_blocks = 0;
	if (is_kind(fd, SOFTCVM_FD_SYSTEM)) {
		st->st_mode = S_IFCHR | 0666;
		st->st_rdev = makedev(KVM_MAJOR, KVM_MINOR);
	} else {
		st->st_mode = 0600; /* an anonymous inode has no type */
	}
	return 0;
}

int fstat(int fd, struct stat *st)
{
	int result = __wrap_fstat(fd, st);

	if (result || !shim_is_ours(fd))
		return result;
	result = describe(fd, st);
	return result ? shim_failed(-result) : 0;
}

int fstat64(int fd, struct stat64 *st) { return fstat(fd, (struct stat *)st); }

/* The descriptor itself, as fstat() is called by some. */
static bool names_itself(int fd, const char *path, int flags)
{
	return flags & AT_EMPTY_PATH && (!path || !*path) && shim_is_ours(fd);
}

int fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return names_itself(dir, path, flags) ? fstat(dir, st) : __wrap_fstatat(dir, path, st, flags);
}

int fstatat64(int dir, const char *path, struct stat64 *st, int flags)
{
	return fstatat(dir, path, (struct stat *)st, flags);
}

int statx(int dir, const char *path, int flags, unsigned int mask, struct statx *out)
{
	int result = __wrap_statx(dir, path, flags, mask, out);
	struct stat st;

	if (result || !names_itself(dir, path, flags))
		return result;
	result = fstat(dir, &st);
	if (result)
		return result;
	out->stx_mode = st.st_mode;
	out->stx_size = st.st_size;
	out->stx_blocks = st.st_blocks;
	out->stx_blksize = st.st_blksize;
	out->stx_nlink = st.st_nlink;
	out->stx_rdev_major = major(st.st_rdev);
	out->stx_rdev_minor = minor(st.st_rdev);
	return 0;
}
