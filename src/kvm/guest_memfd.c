// SPDX-License-Identifier: Apache-2.0
/* guest_memfd: creation, bindings to slots, pages, and its end. */
#include "kvm/guest_memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/ioctl.h"
#include "kvm/kvm.h"
#include "kvm/range_map.h"

struct kvm_gmem {
	struct kvm_object object;
	struct kvm *kvm;
	int backing;
	u64 size, flags;
	pthread_mutex_t lock;
	struct kvm_gmem_binding *bindings;
	struct range_map allocated; /* by page: 1 where kvm has made sure that a page exists; spares it a system call */
};

struct kvm_gmem_binding {
	struct kvm_gmem *file; /* NULL: it was closed */
	struct kvm_gmem_binding *next;
	u64 first, pages;      /* of the file */
	gfn_t base;
	u8 *map;	       /* NULL: the range lies beyond what a file can have */
};

static struct kvm_gmem *to_gmem(struct kvm_object *file) { return (struct kvm_gmem *)file; }

u64 kvm_gmem_supported_flags(const struct kvm_compat *compat, const struct kvm *kvm)
{
	/* Memory that its host may use at once contradicts memory that is private: only VMs without the latter get it. */
	u64 refused = kvm && kvm->vendor->has_private_mem ? GUEST_MEMFD_FLAG_INIT_SHARED : 0;

	return compat->gmem_flags & ~refused;
}

bool kvm_gmem_supported(const struct kvm *kvm)
{
	return kvm->vendor->has_private_mem || (kvm->compat->gmem_for_every_type && !kvm->vendor->in_place);
}

/* ---------------------------------------------------------------- life */

/* Slots of the file lose it: as kvm_gmem_release(). */
static void detach_bindings(struct kvm_gmem *gmem)
{
	struct kvm *kvm = gmem->kvm;

	pthread_mutex_lock(&kvm->slots_lock);
	while (gmem->bindings) {
		struct kvm_gmem_binding *b = gmem->bindings;
		gfn_t end = gfn(b->base.v + b->pages);

		gmem->bindings = b->next;
		kvm_mmu_invalidate_begin(kvm, b->base, end);
		pthread_rwlock_wrlock(&kvm->slots.rwlock);
		b->file = NULL;
		pthread_rwlock_unlock(&kvm->slots.rwlock);
		kvm_tdp_zap(kvm, b->base, end, OBSERVE_RULE_ZAP_RELEASE);
		if (b->map)
			munmap(b->map, b->pages << HW_PAGE_SHIFT);
		b->map = NULL;
		kvm_mmu_invalidate_end(kvm);
	}
	pthread_mutex_unlock(&kvm->slots_lock);
}

static void gmem_destroy(struct kvm_object *object)
{
	struct kvm_gmem *gmem = to_gmem(object);

	if (gmem->backing >= 0)
		observe(gmem->kvm->obs, OBSERVE_KVM_GMEM_RELEASE, -1, gmem->backing);
	detach_bindings(gmem);
	if (gmem->backing >= 0)
		close(gmem->backing);
	range_map_destroy(&gmem->allocated);
	pthread_mutex_destroy(&gmem->lock);
	kvm_object_put(&gmem->kvm->object);
	free(gmem);
}

/* The descriptor; kvm keeps no reference of its own. */
static int gmem_install(struct kvm_gmem *gmem)
{
	int fd = kvm_fd_create_carrier("[kvm-gmem]", gmem->size);
	int error;

	if (fd < 0)
		return fd;
	/* Linux gives it out without close-on-exec. */
	fcntl(fd, F_SETFD, 0);
	error = kvm_fd_install(fd, &gmem->object);
	if (!error)
		return fd;
	close(fd);
	return error;
}

static int gmem_create(struct kvm *kvm, u64 size, u64 flags)
{
	struct kvm_gmem *gmem = calloc(1, sizeof(*gmem));
	int fd;

	if (!gmem)
		return -ENOMEM;
	kvm_object_init(&gmem->object, KVM_FD_GUEST_MEMFD, gmem_destroy);
	kvm_object_get(&kvm->object);
	gmem->kvm = kvm;
	gmem->size = size;
	gmem->flags = flags;
	pthread_mutex_init(&gmem->lock, NULL);
	gmem->backing = kvm_fd_create_carrier("softcvm-private", size);
	fd = gmem->backing < 0 ? gmem->backing : gmem_install(gmem);
	if (fd >= 0)
		observe(kvm->obs, OBSERVE_KVM_GMEM_CREATE, -1, fd, gmem->backing, size, flags);
	kvm_object_put(&gmem->object);
	return fd;
}

long kvm_ioctl_create_guest_memfd(struct kvm_call *c)
{
	const struct kvm_create_guest_memfd *args = c->arg;

	if (args->flags & ~kvm_gmem_supported_flags(c->kvm->compat, c->kvm))
		return -EINVAL;
	if ((s64)args->size <= 0 || args->size & ~HW_PAGE_MASK)
		return -EINVAL;
	return gmem_create(c->kvm, args->size, args->flags);
}

/* ---------------------------------------------------------------- bindings */

static bool range_is_bound(const struct kvm_gmem *gmem, u64 first, u64 pages)
{
	for (const struct kvm_gmem_binding *b = gmem->bindings; b; b = b->next)
		if (b->first < first + pages && first < b->first + b->pages)
			return true;
	return false;
}

/* Linux adds and compares signed numbers, so a range that ends at 2^63 passes: there is nothing behind it. */
static int check_range(const struct kvm_gmem *gmem, u64 offset, u64 size)
{
	if ((s64)offset < 0 || offset & ~HW_PAGE_MASK)
		return -EINVAL;
	return (s64)(offset + size) > (s64)gmem->size ? -EINVAL : 0;
}

static int map_range(const struct kvm_gmem *gmem, struct kvm_gmem_binding *b)
{
	u64 offset = b->first << HW_PAGE_SHIFT, size = b->pages << HW_PAGE_SHIFT;
	void *map;

	if (offset + size > gmem->size)
		return 0;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, gmem->backing, offset);
	if (map == MAP_FAILED)
		return -ENOMEM;
	/* What the guest touches, and nothing around it. */
	madvise(map, size, MADV_NOHUGEPAGE);
	madvise(map, size, MADV_DONTDUMP);
	b->map = map;
	return 0;
}

static int add_binding(struct kvm_gmem *gmem, struct kvm_memslot *slot, u64 offset)
{
	struct kvm_gmem_binding *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->file = gmem;
	b->first = offset >> HW_PAGE_SHIFT;
	b->pages = slot->pages;
	b->base = slot->base;
	if (map_range(gmem, b)) {
		free(b);
		return -ENOMEM;
	}
	pthread_mutex_lock(&gmem->lock);
	b->next = gmem->bindings;
	gmem->bindings = b;
	pthread_mutex_unlock(&gmem->lock);
	slot->gmem = b;
	if (gmem->flags & GUEST_MEMFD_FLAG_MMAP)
		slot->flags |= KVM_MEMSLOT_GMEM_ONLY;
	observe(gmem->kvm->obs, OBSERVE_KVM_GMEM_BIND, -1, slot->id, slot->as_id, slot->base.v, gmem->backing, b->first,
		b->pages);
	return 0;
}

int kvm_gmem_bind(struct kvm *kvm, struct kvm_memslot *slot, struct kvm_object *file, u32 fd, u64 offset)
{
	struct kvm_gmem *gmem;
	int error;

	if (!file)
		return fcntl((int)fd, F_GETFD) < 0 ? -EBADF : -EINVAL;
	if (file->kind != KVM_FD_GUEST_MEMFD)
		return -EINVAL;
	gmem = to_gmem(file);
	if (gmem->kvm != kvm)
		return -EINVAL;
	error = check_range(gmem, offset, slot->pages << HW_PAGE_SHIFT);
	if (error)
		return error;
	if (range_is_bound(gmem, offset >> HW_PAGE_SHIFT, slot->pages))
		return kvm->compat->gmem_bound_twice;
	return add_binding(gmem, slot, offset);
}

void kvm_gmem_unbind(struct kvm_gmem_binding *binding)
{
	struct kvm_gmem_binding **at;

	if (!binding)
		return;
	if (binding->file) {
		pthread_mutex_lock(&binding->file->lock);
		for (at = &binding->file->bindings; *at != binding; at = &(*at)->next)
			;
		*at = binding->next;
		observe(binding->file->kvm->obs, OBSERVE_KVM_GMEM_UNBIND, -1, binding->file->backing, binding->base.v,
			binding->pages);
		pthread_mutex_unlock(&binding->file->lock);
	}
	if (binding->map)
		munmap(binding->map, binding->pages << HW_PAGE_SHIFT);
	free(binding);
}

/* ---------------------------------------------------------------- pages */

/* Under gmem->lock: the pages exist from here on. Those that did already keep what they hold. */
static int allocate(struct kvm_gmem *gmem, u64 page, u64 pages, int vcpu)
{
	if (range_map_is(&gmem->allocated, page, page + pages, 1))
		return 0;
	if (range_map_reserve(&gmem->allocated))
		return -ENOMEM;
	if (fallocate(gmem->backing, FALLOC_FL_KEEP_SIZE, page << HW_PAGE_SHIFT, pages << HW_PAGE_SHIFT))
		return errno == EINTR ? -EINTR : -ENOMEM;
	range_map_set(&gmem->allocated, page, page + pages, 1);
	observe(gmem->kvm->obs, OBSERVE_KVM_GMEM_ALLOCATE, vcpu, gmem->backing, page, pages);
	return 0;
}

bool kvm_gmem_frame_of(const struct kvm_memslot *slot, gfn_t f, hpa_t *out)
{
	const struct kvm_gmem_binding *b = slot->gmem;

	if (!b || !b->file || !b->map)
		return false;
	*out = ptr_to_hpa(b->map + ((f.v - slot->base.v) << HW_PAGE_SHIFT));
	return true;
}

u64 kvm_gmem_offset(const struct kvm_memslot *slot, gfn_t f)
{
	return (slot->gmem->first + f.v - slot->base.v) << HW_PAGE_SHIFT;
}

int kvm_gmem_get_frame(const struct kvm_memslot *slot, gfn_t f, int vcpu, hpa_t *out)
{
	const struct kvm_gmem_binding *b = slot->gmem;
	int error;

	if (!kvm_gmem_frame_of(slot, f, out))
		return -EFAULT;
	pthread_mutex_lock(&b->file->lock);
	error = allocate(b->file, b->first + f.v - slot->base.v, 1, vcpu);
	pthread_mutex_unlock(&b->file->lock);
	return error;
}

void kvm_gmem_populate(const struct kvm_memslot *slot, gfn_t f, u64 pages, int vcpu)
{
	const struct kvm_gmem_binding *b = slot->gmem;

	if (!b->file || !b->map)
		return;
	pthread_mutex_lock(&b->file->lock);
	allocate(b->file, b->first + f.v - slot->base.v, pages, vcpu);
	pthread_mutex_unlock(&b->file->lock);
}

/* ---------------------------------------------------------------- questions */

bool kvm_gmem_describe(const struct kvm_memslot *slot, struct kvm_gmem_binding_info *out)
{
	const struct kvm_gmem_binding *b = slot->gmem;

	if (!b || !b->file)
		return false;
	*out = (struct kvm_gmem_binding_info){
		.file = b->file->backing,
		.size = b->file->size,
		.flags = b->file->flags,
		.page = b->first,
		.pages = b->pages,
	};
	return true;
}

void kvm_gmem_for_each_present(const struct kvm_memslot *slot, void (*visit)(void *opaque, u64 file, u64 page, u64 pages), void *opaque)
{
	const struct kvm_gmem_binding *b = slot->gmem;
	u64 at, end, until;

	if (!b || !b->file)
		return;
	end = b->first + b->pages;
	pthread_mutex_lock(&b->file->lock);
	for (at = b->first; at < end; at = until) {
		bool present = range_map_get(&b->file->allocated, at, &until);

		until = until < end ? until : end;
		if (present)
			visit(opaque, b->file->backing, at, until - at);
	}
	pthread_mutex_unlock(&b->file->lock);
}

/* ---------------------------------------------------------------- fallocate */

/* What each binding has of [first, end) of the file is unmapped, and not mapped again before the end. */
static void invalidate_begin(struct kvm_gmem *gmem, u64 first, u64 end)
{
	for (const struct kvm_gmem_binding *b = gmem->bindings; b; b = b->next) {
		u64 from = first > b->first ? first : b->first, to = end < b->first + b->pages ? end : b->first + b->pages;

		if (from >= to)
			continue;
		from += b->base.v - b->first;
		to += b->base.v - b->first;
		kvm_mmu_invalidate_begin(gmem->kvm, gfn(from), gfn(to));
		kvm_tdp_zap_leafs(gmem->kvm, gfn(from), gfn(to), OBSERVE_RULE_ZAP_PUNCH);
	}
	kvm_tdp_flush(gmem->kvm);
}

static void invalidate_end(struct kvm_gmem *gmem, u64 first, u64 end)
{
	for (const struct kvm_gmem_binding *b = gmem->bindings; b; b = b->next)
		if (first < b->first + b->pages && b->first < end)
			kvm_mmu_invalidate_end(gmem->kvm);
}

static int punch_hole(struct kvm_gmem *gmem, u64 first, u64 end)
{
	u64 last = gmem->size >> HW_PAGE_SHIFT;
	int error = 0;

	if (end > last)
		end = last;
	if (first >= end)
		return 0;
	pthread_mutex_lock(&gmem->lock);
	if (range_map_reserve(&gmem->allocated)) {
		pthread_mutex_unlock(&gmem->lock);
		return -ENOMEM;
	}
	invalidate_begin(gmem, first, end);
	if (fallocate(gmem->backing, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, first << HW_PAGE_SHIFT,
		      (end - first) << HW_PAGE_SHIFT))
		error = -errno;
	else
		range_map_set(&gmem->allocated, first, end, 0);
	if (!error)
		observe(gmem->kvm->obs, OBSERVE_KVM_GMEM_PUNCH, -1, gmem->backing, first, end - first);
	invalidate_end(gmem, first, end);
	pthread_mutex_unlock(&gmem->lock);
	return error;
}

static int allocate_range(struct kvm_gmem *gmem, u64 first, u64 end)
{
	int error;

	if (end > gmem->size >> HW_PAGE_SHIFT)
		return -EINVAL;
	pthread_mutex_lock(&gmem->lock);
	error = allocate(gmem, first, end - first, -1);
	pthread_mutex_unlock(&gmem->lock);
	return error;
}

int kvm_check_fallocate(int mode, off_t offset, off_t length)
{
	int range = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE |
		    FALLOC_FL_UNSHARE_RANGE;

	if (offset < 0 || length <= 0)
		return -EINVAL;
	if (mode & ~(range | FALLOC_FL_KEEP_SIZE) || ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE)))
		return -EOPNOTSUPP;
	return 0;
}

/* The checks of vfs_fallocate(), then those of kvm_gmem_fallocate(). */
static int check_fallocate(int mode, off_t offset, off_t length)
{
	int error = kvm_check_fallocate(mode, offset, length);
	off_t end;

	if (error)
		return error;
	if (__builtin_add_overflow(offset, length, &end))
		return -EFBIG;
	if (!(mode & FALLOC_FL_KEEP_SIZE) || mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	return (offset | length) & ~HW_PAGE_MASK ? -EINVAL : 0;
}

int kvm_gmem_fallocate(struct kvm_object *file, int mode, off_t offset, off_t length)
{
	struct kvm_gmem *gmem = to_gmem(file);
	u64 first = (u64)offset >> HW_PAGE_SHIFT, end = ((u64)offset + (u64)length) >> HW_PAGE_SHIFT;
	int error = check_fallocate(mode, offset, length);

	if (error)
		return error;
	return mode & FALLOC_FL_PUNCH_HOLE ? punch_hole(gmem, first, end) : allocate_range(gmem, first, end);
}

/* ---------------------------------------------------------------- other calls on the file */

const char *kvm_gmem_name(const struct kvm_object *file) { return ((const struct kvm_gmem *)file)->kvm->compat->gmem_name; }

/* Of the memory and not of the descriptor, which another thread may close meanwhile. */
int kvm_gmem_fstat(struct kvm_object *file, struct stat *st)
{
	if (fstat(to_gmem(file)->backing, st))
		return -errno;
	st->st_mode = S_IFREG | 0600;
	st->st_nlink = 1;
	st->st_size = to_gmem(file)->size;
	st->st_blksize = HW_PAGE_SIZE;
	st->st_blocks = 0;
	return 0;
}

/* Without INIT_SHARED a client may map the file, but not touch it: SIGBUS, as behind the end of an empty file. */
static void *map_untouchable(void *addr, size_t length, int prot, int flags)
{
	int empty = kvm_fd_create_carrier("softcvm-empty", 0);
	void *at;

	if (empty < 0) {
		errno = -empty;
		return MAP_FAILED;
	}
	at = mmap(addr, length, prot, flags, empty, 0);
	close(empty);
	return at;
}

void *kvm_gmem_mmap(struct kvm_object *file, void *addr, size_t length, int prot, int flags, off_t offset)
{
	const struct kvm_gmem *gmem = to_gmem(file);
	int type = flags & MAP_TYPE;

	if (!(gmem->flags & GUEST_MEMFD_FLAG_MMAP)) {
		errno = ENODEV;
		return MAP_FAILED;
	}
	if (type != MAP_SHARED && type != MAP_SHARED_VALIDATE) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	if (gmem->flags & GUEST_MEMFD_FLAG_INIT_SHARED)
		return mmap(addr, length, prot, flags, gmem->backing, offset);
	return map_untouchable(addr, length, prot, flags);
}
