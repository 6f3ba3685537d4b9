// SPDX-License-Identifier: Apache-2.0
/* The public functions of the library, and the dispatch of requests. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm/guest_memfd.h"
#include "kvm/ioctl.h"
#include "kvm/vm.h"
#include "kvm/x86/x86.h"

enum argument { VALUE, IN, OUT, INOUT, RAW };

struct request {
	u32 number;
	u8 kind;
	u8 argument;
	u16 size;
	long (*handler)(struct kvm_call *c);
};

static const struct request requests[] = {
#define IOCTL(request, kind_, argument_, handler_) \
	{ (u32)(request), KVM_FD_##kind_, argument_, _IOC_SIZE(request), handler_ },
#include "kvm/ioctls.def"
#undef IOCTL
};

#define MAX_ARGUMENT 4096u

static const struct request *find_request(enum kvm_fd_kind kind, u32 number)
{
	for (unsigned int i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (requests[i].number == number && requests[i].kind == kind)
			return &requests[i];
	return NULL;
}

/* What Linux answers differs by descriptor: a VM says ENOTTY, as a file without requests does; the others EINVAL. */
static int unknown_request(enum kvm_fd_kind kind)
{
	return kind == KVM_FD_VM || kind == KVM_FD_GUEST_MEMFD || kind == KVM_FD_STATS ? -ENOTTY : -EINVAL;
}

static long call_handler(const struct request *r, struct kvm_call *c)
{
	_Alignas(16) u8 copy[MAX_ARGUMENT];
	long result;

	_Static_assert(sizeof(struct kvm_xsave) <= MAX_ARGUMENT, "the largest structure");
	if (r->argument == VALUE || r->argument == RAW)
		return r->handler(c);
	c->arg = copy;
	if (r->argument == OUT)
		memset(copy, 0, r->size);
	else if (hw_copy_from_host(copy, c->user, r->size))
		return -EFAULT;
	result = r->handler(c);
	if (result >= 0 && r->argument != IN && hw_copy_to_host(c->user, copy, r->size))
		return -EFAULT;
	return result;
}

/* The VM's type does not have it. */
static bool is_refused(const struct kvm *kvm, u32 number)
{
	const u32 *refused = kvm ? kvm->vendor->refused_requests : NULL;

	for (; refused && *refused; refused++)
		if (*refused == number)
			return true;
	return false;
}

static long call_on_object(struct kvm_object *object, u32 number, struct kvm_call *c)
{
	const struct request *r;
	long result;

	if (object->kind == KVM_FD_SYSTEM)
		c->system = (struct kvm_system *)object;
	else if (object->kind == KVM_FD_VM)
		c->kvm = (struct kvm *)object;
	else if (object->kind == KVM_FD_VCPU)
		c->vcpu = (struct kvm_vcpu *)object;
	if (c->vcpu)
		c->kvm = c->vcpu->kvm;
	if (c->kvm && atomic_load_explicit(&c->kvm->dead, memory_order_relaxed))
		return -EIO;
	r = find_request(object->kind, number);
	if (!r)
		return unknown_request(object->kind);
	if (is_refused(c->kvm, number))
		return -EINVAL;
	if (!c->vcpu)
		return call_handler(r, c);
	pthread_mutex_lock(&c->vcpu->mutex);
	kvm_vcpu_load(c->vcpu);
	result = call_handler(r, c);
	kvm_vcpu_load(NULL);
	pthread_mutex_unlock(&c->vcpu->mutex);
	return result;
}

int softcvm_ioctl(int fd, unsigned long request, void *arg)
{
	struct kvm_object *object = kvm_fd_get(fd);
	struct kvm_call call = { .value = (u64)(uintptr_t)arg, .user = ptr_to_hpa(arg) };
	long result;

	if (!object)
		return -EBADF;
	result = object->foreign ? -EIO : call_on_object(object, (u32)request, &call);
	kvm_object_put(object);
	return (int)result;
}

/* What a vCPU's descriptor shows that does not lie in its own memfd. */
struct window {
	int fd;
	u64 first, size; /* bytes of the descriptor */
};

/* The part of the window that [offset, offset + length) of the descriptor shows, which lies at `at`. */
static bool map_window(const struct window *w, u8 *at, u64 offset, u64 length, int prot, int flags)
{
	u64 start = w->first > offset ? w->first : offset;
	u64 end = w->first + w->size < offset + length ? w->first + w->size : offset + length;

	if (start >= end)
		return true;
	return mmap(at + (start - offset), end - start, prot, flags | MAP_FIXED, w->fd, (off_t)(start - w->first)) != MAP_FAILED;
}

static bool in_window(const struct window *w, u64 offset) { return offset >= w->first && offset - w->first < w->size; }

static void *map_vcpu(struct kvm_vcpu *vcpu, void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	const struct window coalesced = {
		kvm_coalesced_fd(vcpu->kvm), KVM_COALESCED_MMIO_PAGE_OFFSET * HW_PAGE_SIZE, HW_PAGE_SIZE,
	};
	const struct window ring = {
		kvm_dirty_ring_fd(vcpu), KVM_DIRTY_LOG_PAGE_OFFSET * HW_PAGE_SIZE, vcpu->kvm->dirty_ring_size,
	};
	u64 size = (length + HW_PAGE_SIZE - 1) & HW_PAGE_MASK;
	u8 *at;

	/* The ring is for reading and answering only (kvm_vcpu_mmap()). */
	if ((in_window(&ring, offset) || in_window(&ring, offset + size - HW_PAGE_SIZE)) &&
	    (prot & PROT_EXEC || (flags & MAP_TYPE) == MAP_PRIVATE)) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	at = mmap(addr, length, prot, flags, fd, offset);
	if (at == MAP_FAILED)
		return at;
	if (map_window(&coalesced, at, offset, size, prot, flags) && map_window(&ring, at, offset, size, prot, flags))
		return at;
	munmap(at, length);
	errno = ENOMEM;
	return MAP_FAILED;
}

/* What do_mmap() and mmap(2) look at before the file has a say. */
static int check_mmap(size_t length, int flags, off_t offset)
{
	int type = flags & MAP_TYPE;
	u64 size = (length + HW_PAGE_SIZE - 1) & HW_PAGE_MASK, end;

	if (offset & ~HW_PAGE_MASK || !length)
		return -EINVAL;
	if (!size || size > KVM_USER_ADDRESS_END)
		return -ENOMEM;
	if (__builtin_add_overflow((u64)offset, size, &end))
		return -EOVERFLOW;
	return type == MAP_SHARED || type == MAP_SHARED_VALIDATE || type == MAP_PRIVATE ? 0 : -EINVAL;
}

void *softcvm_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct kvm_object *object = kvm_fd_get(fd);
	int error = check_mmap(length, flags, offset);
	void *at = MAP_FAILED;

	if (!object) {
		errno = EBADF;
		return MAP_FAILED;
	}
	if (error)
		errno = -error;
	else if (object->kind == KVM_FD_VCPU)
		at = map_vcpu((struct kvm_vcpu *)object, addr, length, prot, flags, fd, offset);
	else if (object->kind == KVM_FD_GUEST_MEMFD && !object->foreign)
		at = kvm_gmem_mmap(object, addr, length, prot, flags, offset);
	else
		errno = ENODEV;
	kvm_object_put(object);
	return at;
}

int softcvm_munmap(void *addr, size_t length) { return munmap(addr, length) ? -errno : 0; }

int softcvm_fallocate(int fd, int mode, off_t offset, off_t length)
{
	struct kvm_object *object = kvm_fd_get(fd);
	int result = kvm_check_fallocate(mode, offset, length);

	if (!object)
		return -EBADF;
	if (object->kind != KVM_FD_GUEST_MEMFD)
		result = result ? result : -ENODEV;
	else
		result = object->foreign ? -EIO : kvm_gmem_fallocate(object, mode, offset, length);
	kvm_object_put(object);
	return result;
}

long softcvm_pread(int fd, void *to, size_t size, off_t offset)
{
	struct kvm_object *object = kvm_fd_get(fd);
	long result = -EINVAL;

	if (!object)
		return -EBADF;
	if (object->kind == KVM_FD_STATS)
		result = object->foreign ? -EIO : kvm_stats_read(object, to, size, offset);
	kvm_object_put(object);
	return result;
}

int softcvm_fstat(int fd, struct stat *st)
{
	struct kvm_object *object = kvm_fd_get(fd);
	int result = -EINVAL;

	if (!object)
		return -EBADF;
	if (object->kind == KVM_FD_GUEST_MEMFD)
		result = kvm_gmem_fstat(object, st);
	kvm_object_put(object);
	return result;
}

int softcvm_fd_name(int fd, char *name, size_t size)
{
	struct kvm_object *object = kvm_fd_get(fd);
	int length = 0;

	if (!object)
		return -EBADF;
	switch (object->kind) {
	case KVM_FD_SYSTEM:
		length = snprintf(name, size, "/dev/kvm");
		break;
	case KVM_FD_VM:
		length = snprintf(name, size, "anon_inode:kvm-vm");
		break;
	case KVM_FD_VCPU:
		length = snprintf(name, size, "anon_inode:kvm-vcpu:%u", ((struct kvm_vcpu *)object)->vcpu_id);
		break;
	case KVM_FD_GUEST_MEMFD:
		length = snprintf(name, size, "%s", kvm_gmem_name(object));
		break;
	default:
		length = snprintf(name, size, "anon_inode:kvm-device");
	}
	kvm_object_put(object);
	return (size_t)length < size ? 0 : -ENAMETOOLONG;
}

int softcvm_close(int fd) { return kvm_fd_close(fd); }

enum softcvm_fd_kind softcvm_fd_kind(int fd) { return kvm_fd_kind(fd); }

int softcvm_dup(int fd, int duplicate)
{
	struct kvm_object *object = kvm_fd_get(fd);
	int error;

	if (!object)
		return -EBADF;
	error = kvm_fd_install(duplicate, object);
	kvm_object_put(object);
	return error;
}

void softcvm_forget(int fd) { kvm_fd_forget(fd); }

static struct kvm *vm_of(int fd, struct kvm_object **object)
{
	*object = kvm_fd_get(fd);
	return *object && (*object)->kind == KVM_FD_VM ? (struct kvm *)*object : NULL;
}

void softcvm_memory_written(int vm_fd, const void *start, size_t length)
{
	struct kvm_object *object;
	struct kvm *kvm = vm_of(vm_fd, &object);

	if (kvm)
		kvm_memory_written(kvm, (u64)(uintptr_t)start, length);
	if (object)
		kvm_object_put(object);
}

int softcvm_check(int vm_fd, char *message, size_t size)
{
	struct kvm_object *object;
	struct kvm *kvm = vm_of(vm_fd, &object);
	int result = kvm ? kvm_check_invariants(kvm, message, size) : -EBADF;

	if (object)
		kvm_object_put(object);
	return result;
}

uint64_t softcvm_time_ns(int vm_fd)
{
	struct kvm_object *object;
	struct kvm *kvm = vm_of(vm_fd, &object);
	u64 now = kvm ? hw_machine_tsc(kvm->machine) : 0;

	if (object)
		kvm_object_put(object);
	return now;
}

long kvm_copy_array(struct kvm_call *c, size_t head, u32 count, size_t entry, void **out)
{
	size_t size = (size_t)count * entry;

	*out = malloc(size ? size : 1);
	if (!*out)
		return -ENOMEM;
	if (!hw_copy_from_host(*out, hpa(c->user.v + head), size))
		return 0;
	free(*out);
	*out = NULL;
	return -EFAULT;
}
