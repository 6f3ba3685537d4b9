// SPDX-License-Identifier: Apache-2.0
/*
 * softcvm: a software /dev/kvm. The KVM API is the API: the calls below have the meaning of the system calls of those
 * names on /dev/kvm and on the descriptors made from it, and the structures and numbers are KVM's (kvm_abi.h).
 *
 * Descriptors are real descriptors of this process (close-on-exec, dup and select work as usual). Errors are returned as
 * negative errno; results are what the system call returns.
 *
 * Concurrency: as the system calls: any thread may call anything at any time; KVM_RUN on one vCPU serialises.
 * A signal whose handler is installed by the program ends KVM_RUN with -EINTR when it is sent to the thread inside KVM_RUN
 * *and* softcvm_interrupt() is called for it (the shim wraps handlers; a VMM that links the library calls it itself, or sets
 * kvm_run.immediate_exit and calls it).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct observer;
struct debug_port;

enum softcvm_platform { SOFTCVM_PLATFORM_HOST, SOFTCVM_PLATFORM_INTEL, SOFTCVM_PLATFORM_AMD };

/* Which kernel's KVM is followed where they differ. */
enum softcvm_kvm_compat { SOFTCVM_KVM_7_2, SOFTCVM_KVM_6_12 };

/* A VM type for tests, offered when config.test_vm_types is set: private memory whose claim is the hardware's, by bit 19 of
 * the guest-physical address, which real-mode code can set. It is no type of Linux. */
#define SOFTCVM_TEST_CLAIM_VM	   0x40000000u
#define SOFTCVM_TEST_CLAIM_GPA_BIT (UINT64_C(1) << 19)

/* The pKVM model (docs/pkvm.md), offered when config.pkvm is set: what the guest touches is its own, out of the client's reach,
 * until it shares it by one of these hypercalls (arguments: guest-physical address, size in bytes). It is no type of Linux on
 * x86; the number is the bit that arm64 has for it. */
#define SOFTCVM_PKVM_VM		0x80000000u
#define SOFTCVM_PKVM_HC_SHARE	21
#define SOFTCVM_PKVM_HC_UNSHARE 22

/* What a run configures beyond the KVM API. Zero is the default everywhere. */
struct softcvm_config {
	enum softcvm_platform platform;
	unsigned int phys_bits;	   /* guest-physical address width, 36..52; 0: the platform's */
	bool icount;		   /* one vCPU on virtual time, deterministic */
	struct observer *observer; /* where events go; may be NULL; outlives every descriptor */
	enum softcvm_kvm_compat kvm_compat;
	/* Variant: for VM types whose hardware makes the claim, a fault without a slot is MMIO whatever was claimed. Proposed
	 * for KVM and rejected (linux-kernel, 26 February 2024). */
	bool no_slot_is_mmio;
	bool pkvm;		   /* offer SOFTCVM_PKVM_VM */
	bool test_vm_types;	   /* offer SOFTCVM_TEST_*_VM */
	struct debug_port *debug;  /* receives vCPUs as they are made (debugger); may be NULL */
};

/* Opens a system descriptor, as open("/dev/kvm", O_RDWR | O_CLOEXEC). The config is copied. */
int softcvm_open(const struct softcvm_config *config);
/* -EBADF for a descriptor that is not ours, -ENOTTY as KVM answers. */
int softcvm_ioctl(int fd, unsigned long request, void *arg);
/* MAP_FAILED and errno set, as mmap. For vCPU descriptors (kvm_run, PIO page, rings). */
void *softcvm_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
int softcvm_munmap(void *addr, size_t length);
int softcvm_close(int fd);
/* guest_memfd descriptors: fallocate() and fstat() with KVM's answers. Every other call on the contents of one is refused by
 * Linux (read and truncate EINVAL, lseek and pread ESPIPE); the descriptor itself holds no memory. */
int softcvm_fallocate(int fd, int mode, off_t offset, off_t length);
int softcvm_fstat(int fd, struct stat *st);
/* What readlink() of /proc/self/fd says of the descriptor, as on Linux. 0, -EBADF, -ENAMETOOLONG. */
int softcvm_fd_name(int fd, char *name, size_t size);
/* Descriptors of KVM_GET_STATS_FD: pread(). Bytes, or negative errno; -EINVAL for any other descriptor. */
long softcvm_pread(int fd, void *to, size_t size, off_t offset);
/* Async-signal-safe: ends the KVM_RUN that the calling thread is in, or its next one, with -EINTR. */
void softcvm_interrupt(void);
/* The VMM's own devices wrote guest memory at these host addresses: decoded guest code there is dropped at once.
 * (Any other write by the process is noticed when KVM_RUN is next entered or an interrupt is injected.) */
void softcvm_memory_written(int vm_fd, const void *start, size_t length);

/* Are the invariants of guest memory true? 0: yes; 1: no, and `message` says which and where. Any thread, at any time. */
int softcvm_check(int vm_fd, char *message, size_t size);

/* What the VM's memory is now, written to `out_fd` as lines of a trace that lead there (`softcvm map` reads them). 0; -EBADF for what
 * is no VM of ours, or no descriptor; -ENOMEM; what write() says. Any thread, at any time. */
int softcvm_map(int vm_fd, int out_fd);
/* A Unix socket at `path`, for its owner only: whoever connects is told softcvm_map() of each VM of this process. -EADDRINUSE if
 * somebody listens there; what socket() and bind() say. _stop() removes it. In a child after fork() there is _abandon() instead. */
struct softcvm_monitor;
int softcvm_monitor_start(const char *path, struct softcvm_monitor **out);
void softcvm_monitor_stop(struct softcvm_monitor *monitor);
void softcvm_monitor_abandon(struct softcvm_monitor *monitor);

/* ---- for those who stand between a program and libc: the descriptor table follows what the program does
 *
 * After fork() the child's copies of VM, vCPU and device descriptors answer -EIO, as in Linux: a VM belongs to the address
 * space that made it. Closing them there leaves the parent's VM alone. */
enum softcvm_fd_kind {
	SOFTCVM_FD_NONE, SOFTCVM_FD_SYSTEM, SOFTCVM_FD_VM, SOFTCVM_FD_VCPU, SOFTCVM_FD_DEVICE, SOFTCVM_FD_GUEST_MEMFD,
	SOFTCVM_FD_STATS,
};
/* NONE: not ours. Async-signal-safe, without a lock or a system call. */
enum softcvm_fd_kind softcvm_fd_kind(int fd);
/* The program duplicated one of ours: both stand for the same object from here on. 0 or negative errno. */
int softcvm_dup(int fd, int duplicate);
/* The number stands for something else now (dup2 over one of ours); nothing is closed. */
void softcvm_forget(int fd);

/* ---- virtual time (icount): the VMM's timers follow the guest's clock */
/* Nanoseconds since the machine was made: CLOCK_MONOTONIC based, or virtual. */
uint64_t softcvm_time_ns(int vm_fd);

#ifdef __cplusplus
}
#endif
