// SPDX-License-Identifier: Apache-2.0
/*
 * shim: a program that was written for /dev/kvm runs on softcvm, unmodified. Preloaded, it stands in front of libc's
 * functions for descriptors and signals; what concerns one of softcvm's descriptors goes to the library, everything else to
 * libc.
 *
 * Inside and outside. Code of softcvm must not come back here, so all of it is linked with --wrap: what it calls by libc's
 * names is __wrap_*() (libc.c), which is libc. The names themselves are the program's.
 *
 * Signals. While a thread is inside a call to softcvm (between shim_enter and shim_leave) the program's handlers wait: they may
 * longjmp, or call ioctl, and locks are held. The signal is sent to the thread once more and is blocked until the call is
 * over, as a signal is delivered on the way back from a system call. One that comes in KVM_RUN ends it.
 */
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "softcvm/softcvm.h"

/* ---------------------------------------------------------------- libc (libc.c) */

int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_close(int fd);
int __wrap_close_range(unsigned int first, unsigned int last, int flags);
int __wrap_dup(int fd);
int __wrap_dup2(int from, int to);
int __wrap_dup3(int from, int to, int flags);
void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
ssize_t __wrap_read(int fd, void *to, size_t size);
ssize_t __wrap_pread(int fd, void *to, size_t size, off_t offset);
ssize_t __wrap_write(int fd, const void *from, size_t size);
ssize_t __wrap_pwrite(int fd, const void *from, size_t size, off_t offset);
off_t __wrap_lseek(int fd, off_t offset, int whence);
int __wrap_ftruncate(int fd, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fstat(int fd, struct stat *st);
ssize_t __wrap_readlink(const char *path, char *to, size_t size);
ssize_t __wrap_readlinkat(int dir, const char *path, char *to, size_t size);
ssize_t __wrap_readv(int fd, const struct iovec *vector, int count);
ssize_t __wrap_writev(int fd, const struct iovec *vector, int count);
ssize_t __wrap_preadv(int fd, const struct iovec *vector, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *vector, int count, off_t offset);
ssize_t __wrap_preadv2(int fd, const struct iovec *vector, int count, off_t offset, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *vector, int count, off_t offset, int flags);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchown(int fd, uid_t uid, gid_t gid);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
ssize_t __wrap_sendfile(int out, int in, off_t *offset, size_t size);
ssize_t __wrap_splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned int flags);
ssize_t __wrap_copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned int flags);
int __wrap_fstatat(int dir, const char *path, struct stat *st, int flags);
int __wrap_statx(int dir, const char *path, int flags, unsigned int mask, struct statx *st);
int __wrap_sigaction(int signo, const struct sigaction *action, struct sigaction *old);
int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_pthread_cancel(pthread_t thread);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);

/* ---------------------------------------------------------------- what is read from the environment (config.c) */

enum shim_debug { SHIM_QUIET, SHIM_DEBUG_FAILURES, SHIM_DEBUG_CALLS };

enum shim_debug shim_debug(void);
/* false: the environment says nonsense; what is wrong has been printed. */
bool shim_config_read(struct softcvm_config *config);
bool shim_cpuid_wanted(void);
/* open("/dev/kvm"): a descriptor or -errno. */
int shim_open_kvm(int flags);

/* ---------------------------------------------------------------- calls (signals.c) */

void shim_enter(void);
/* KVM_RUN: a signal ends it. */
void shim_enter_run(void);
/* Handlers that waited run here, and may not return. */
void shim_leave(void);
/* By a handler that blocks every other one: true when the thread is inside, and the signal will come again. */
bool shim_defer(int signo, siginfo_t *info, ucontext_t *context);
/* Faults: they are never kept back or blocked. A mask as the kernel has it. */
uint64_t shim_synchronous_signals(void);
/* The program gives its vCPUs signal masks, which only concern KVM_RUN. */
void shim_uses_signal_mask(uint64_t mask);

/* From here on softcvm answers faults first, and the program's handlers of SIGSEGV and SIGBUS stand behind it. */
void shim_take_faults(void);
/* Same for SIGILL. */
void shim_take_illegal(void);

/* ---------------------------------------------------------------- descriptors (files.c, proc.c) */

/* One of softcvm's, in the process that made it: the child of vfork() has descriptors of its own, but shares our table. */
bool shim_is_ours(int fd);
/* -1 with errno. */
int shim_failed(int error);
/* The descriptor of ours that a path below /proc/self/fd, /proc/thread-self/fd, /proc/PID/fd or /dev/fd names; -1: none. */
int shim_fd_of_path(const char *path);
/* open() of such a path: a descriptor or -errno. */
int shim_reopen(int fd, int flags);

/* ---------------------------------------------------------------- the rest */

/* A file below /sys/module/kvm*: a descriptor, -errno, or -ENODATA for a path that is not of that kind (sysfs.c). */
int shim_open_sysfs(const char *path, int flags);
/* Was it one of the program's CPUID instructions? Then it has been executed (cpuid.c). */
bool shim_cpuid_emulate(ucontext_t *context);
const char *shim_request_name(enum softcvm_fd_kind kind, uint32_t request);
