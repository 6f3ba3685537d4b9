// SPDX-License-Identifier: Apache-2.0
/* The table of descriptors. The only state of kvm that belongs to the process, as descriptor numbers do. */
#include "kvm/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct fd_entry {
	struct kvm_object *object;
	dev_t dev;
	ino_t ino;
};

static struct {
	pthread_rwlock_t lock;
	struct fd_entry *entry; /* by descriptor number */
	int count;
	bool fork_handled;
} fds = { .lock = PTHREAD_RWLOCK_INITIALIZER };

/* What a number stands for, to be read without the lock. */
#define KINDS_MAX (1 << 20)
static _Atomic unsigned char kinds[KINDS_MAX];

/* With the lock held for writing. */
static void set_entry(int fd, struct fd_entry entry)
{
	fds.entry[fd] = entry;
	if (fd < KINDS_MAX)
		atomic_store(&kinds[fd], entry.object ? entry.object->kind + 1 : SOFTCVM_FD_NONE);
}

void kvm_object_init(struct kvm_object *object, enum kvm_fd_kind kind, void (*destroy)(struct kvm_object *object))
{
	object->kind = kind;
	object->destroy = destroy;
	atomic_init(&object->refs, 1);
}

void kvm_object_get(struct kvm_object *object)
{
	atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
}

void kvm_object_put(struct kvm_object *object)
{
	if (atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) == 1 && !object->foreign)
		object->destroy(object);
}

/* ---------------------------------------------------------------- fork: the child has the descriptors, but no thread of ours */

static void before_fork(void) { pthread_rwlock_wrlock(&fds.lock); }
static void after_fork_parent(void) { pthread_rwlock_unlock(&fds.lock); }

static void after_fork_child(void)
{
	for (int i = 0; i < fds.count; i++) {
		struct kvm_object *object = fds.entry[i].object;

		if (object && object->kind != KVM_FD_SYSTEM)
			object->foreign = true;
	}
	/* The holder is known by its thread id, which is another one here. */
	fds.lock = (pthread_rwlock_t)PTHREAD_RWLOCK_INITIALIZER;
}

int kvm_fd_create_carrier(const char *name, unsigned long size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	if (fd < 0)
		return -errno;
	/* The size is fixed: a client that truncates the run page would fault us. */
	if (ftruncate(fd, size) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static int grow(int fd)
{
	int count = fds.count ? fds.count : 64;
	struct fd_entry *entry;

	if (fd < fds.count)
		return 0;
	while (count <= fd)
		count *= 2;
	entry = realloc(fds.entry, count * sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	for (int i = fds.count; i < count; i++)
		entry[i] = (struct fd_entry){ 0 };
	fds.entry = entry;
	fds.count = count;
	return 0;
}

int kvm_fd_install(int fd, struct kvm_object *object)
{
	struct kvm_object *stale = NULL;
	struct stat st;
	int error;

	if (fstat(fd, &st))
		return -errno;
	pthread_rwlock_wrlock(&fds.lock);
	if (!fds.fork_handled)
		fds.fork_handled = !pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	error = fds.fork_handled ? grow(fd) : -ENOMEM;
	if (!error) {
		stale = fds.entry[fd].object;
		kvm_object_get(object);
		set_entry(fd, (struct fd_entry){ object, st.st_dev, st.st_ino });
	}
	pthread_rwlock_unlock(&fds.lock);
	/* The number was closed behind our back and given out again. */
	if (stale)
		kvm_object_put(stale);
	return error;
}

/* A descriptor that is not in the table: a duplicate of one that is? Called with the lock held. */
static struct kvm_object *find_duplicate(int fd, struct stat *st)
{
	if (fstat(fd, st) || !S_ISREG(st->st_mode))
		return NULL;
	for (int i = 0; i < fds.count; i++) {
		const struct fd_entry *e = &fds.entry[i];

		if (e->object && e->ino == st->st_ino && e->dev == st->st_dev)
			return e->object;
	}
	return NULL;
}

struct kvm_object *kvm_fd_get(int fd)
{
	struct kvm_object *object = NULL;
	bool duplicate = false;
	struct stat st;

	if (fd < 0)
		return NULL;
	pthread_rwlock_rdlock(&fds.lock);
	if (fd < fds.count)
		object = fds.entry[fd].object;
	if (!object) {
		object = find_duplicate(fd, &st);
		duplicate = object;
	}
	if (object)
		kvm_object_get(object);
	pthread_rwlock_unlock(&fds.lock);
	if (duplicate && kvm_fd_install(fd, object)) {
		kvm_object_put(object);
		return NULL;
	}
	return object;
}

struct kvm_object *kvm_fd_next(enum kvm_fd_kind kind, int *fd)
{
	struct kvm_object *object = NULL;

	pthread_rwlock_rdlock(&fds.lock);
	for (int i = *fd + 1; i < fds.count && !object; i++) {
		object = fds.entry[i].object;
		if (object && (object->kind != kind || object->foreign))
			object = NULL;
		*fd = i;
	}
	if (object)
		kvm_object_get(object);
	pthread_rwlock_unlock(&fds.lock);
	return object;
}

/* With the lock held for writing; the table's reference is the caller's then. */
static struct kvm_object *take_entry(int fd)
{
	struct kvm_object *object = fd < fds.count ? fds.entry[fd].object : NULL;

	if (object)
		set_entry(fd, (struct fd_entry){ 0 });
	return object;
}

void kvm_fd_forget(int fd)
{
	struct kvm_object *object;

	if (fd < 0)
		return;
	pthread_rwlock_wrlock(&fds.lock);
	object = take_entry(fd);
	pthread_rwlock_unlock(&fds.lock);
	if (object)
		kvm_object_put(object);
}

enum softcvm_fd_kind kvm_fd_kind(int fd)
{
	return fd >= 0 && fd < KINDS_MAX ? atomic_load_explicit(&kinds[fd], memory_order_relaxed) : SOFTCVM_FD_NONE;
}

int kvm_fd_close(int fd)
{
	struct kvm_object *object;
	struct stat st;
	bool ours;

	if (fd < 0)
		return -EBADF;
	pthread_rwlock_wrlock(&fds.lock);
	object = take_entry(fd);
	ours = object || find_duplicate(fd, &st);
	if (ours)
		close(fd);
	pthread_rwlock_unlock(&fds.lock);
	if (object)
		kvm_object_put(object);
	return ours ? 0 : -EBADF;
}
