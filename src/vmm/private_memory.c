// SPDX-License-Identifier: Apache-2.0
#include "vmm/private_memory.h"

#include "vmm/report.h"
#include "vmm/vm.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_REGIONS 2

struct private_memory {
	pthread_mutex_t
		lock; /* one conversion at a time: attribute, discarded side and what is written down here agree */
	struct {
		int fd;		  /* guest_memfd; -1: none */
		uint64_t *shared; /* a bit for each page; zero pages until one is shared */
		size_t map_size;
	} side[MAX_REGIONS];
	struct private_memory_counts counts;
};

/* The number of the region that holds all of it, or -1. */
static int region_of(const struct vm *vm, uint64_t gpa, uint64_t size)
{
	for (unsigned int i = 0; i < vm->memory.nr_regions; i++) {
		const struct memory_region *r = &vm->memory.region[i];

		if (gpa >= r->start && gpa - r->start < r->size && size <= r->size - (gpa - r->start))
			return (int)i;
	}
	return -1;
}

static bool meets_ram(const struct vm *vm, uint64_t gpa, uint64_t size)
{
	for (unsigned int i = 0; i < vm->memory.nr_regions; i++) {
		const struct memory_region *r = &vm->memory.region[i];

		if (gpa < r->start + r->size && (gpa >= r->start || size > r->start - gpa))
			return true;
	}
	return false;
}

bool private_memory_has(const struct vm *vm, uint64_t gpa, uint64_t size)
{
	return region_of(vm, gpa, size) >= 0;
}

/* How many bits of [first, end) were not as they are now. */
static uint64_t mark(uint64_t *map, uint64_t first, uint64_t end, bool value)
{
	uint64_t changed = 0;

	while (first < end) {
		unsigned int bit = first % 64;
		uint64_t n = end - first < 64 - bit ? end - first : 64 - bit;
		uint64_t mask = ~0ull >> (64 - n) << bit, old = map[first / 64];

		changed += (uint64_t)__builtin_popcountll(value ? mask & ~old : mask & old);
		if (mask & (value ? ~old : old))
			map[first / 64] = value ? old | mask : old & ~mask;
		first += n;
	}
	return changed;
}

static int set_attribute(struct vm *vm, uint64_t gpa, uint64_t size, bool to_private)
{
	struct kvm_memory_attributes change = {
		.address = gpa,
		.size = size,
		.attributes = to_private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};
	int err = vm->calls->ioctl(vm->fd, KVM_SET_MEMORY_ATTRIBUTES, &change);

	if (err)
		vmm_error("KVM does not make [%#llx, %#llx) %s: %s", (unsigned long long)gpa,
			  (unsigned long long)(gpa + size), to_private ? "private" : "shared", strerror(-err));
	return err;
}

/* ---------------------------------------------------------------- making */

static int add_region(struct vm *vm, unsigned int i)
{
	struct private_memory *p = vm->private_memory;
	const struct memory_region *r = &vm->memory.region[i];
	struct kvm_create_guest_memfd file = {.size = r->size};
	struct kvm_userspace_memory_region2 slot = {
		.slot = i,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = r->start,
		.memory_size = r->size,
		.userspace_addr = (uintptr_t)r->host,
	};
	int err;

	p->side[i].map_size = r->size / MEMORY_PAGE / 8 + 8;
	p->side[i].shared = mmap(NULL, p->side[i].map_size, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->side[i].shared == MAP_FAILED) {
		p->side[i].shared = NULL;
		vmm_error("cannot get memory to tell private pages from shared ones: %s", strerror(errno));
		return -errno;
	}
	p->side[i].fd = vm->calls->ioctl(vm->fd, KVM_CREATE_GUEST_MEMFD, &file);
	if (p->side[i].fd < 0) {
		vmm_error("KVM_CREATE_GUEST_MEMFD of %llu MiB: %s", (unsigned long long)r->size >> 20,
			  strerror(-p->side[i].fd));
		return p->side[i].fd;
	}
	slot.guest_memfd = (uint32_t)p->side[i].fd;
	err = vm->calls->ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &slot);
	if (err) {
		vmm_error("KVM does not take %llu MiB of private memory: %s", (unsigned long long)r->size >> 20,
			  strerror(-err));
		return err;
	}
	p->counts.private += r->size / MEMORY_PAGE;
	return set_attribute(vm, r->start, r->size, true);
}

int private_memory_create(struct vm *vm)
{
	struct private_memory *p = calloc(1, sizeof(*p));
	int err = 0;

	if (!p) {
		vmm_error("out of memory");
		return -ENOMEM;
	}
	pthread_mutex_init(&p->lock, NULL);
	for (unsigned int i = 0; i < MAX_REGIONS; i++)
		p->side[i].fd = -1;
	vm->private_memory = p;
	for (unsigned int i = 0; !err && i < vm->memory.nr_regions; i++)
		err = add_region(vm, i);
	return err;
}

int private_memory_allow_requests(struct vm *vm)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_EXIT_HYPERCALL, .args[0] = 1ull << KVM_HC_MAP_GPA_RANGE};
	int err = vm->calls->ioctl(vm->fd, KVM_ENABLE_CAP, &cap);

	if (err)
		vmm_error("KVM does not pass KVM_HC_MAP_GPA_RANGE on: %s", strerror(-err));
	return err;
}

void private_memory_destroy(struct vm *vm)
{
	struct private_memory *p = vm->private_memory;

	if (!p)
		return;
	for (unsigned int i = 0; i < MAX_REGIONS; i++) {
		if (p->side[i].fd >= 0)
			vm->calls->close(p->side[i].fd);
		if (p->side[i].shared)
			munmap(p->side[i].shared, p->side[i].map_size);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
	vm->private_memory = NULL;
}

/* ---------------------------------------------------------------- changing */

/* Attribute and map. The number of pages that changed, or -errno after a message. */
static int64_t change(struct vm *vm, int region, uint64_t gpa, uint64_t size, bool to_private)
{
	struct private_memory *p = vm->private_memory;
	uint64_t first = (gpa - vm->memory.region[region].start) / MEMORY_PAGE;
	int err = set_attribute(vm, gpa, size, to_private);
	uint64_t changed;

	if (err)
		return err;
	changed = mark(p->side[region].shared, first, first + size / MEMORY_PAGE, !to_private);
	p->counts.private += to_private ? changed : -changed;
	p->counts.shared += to_private ? -changed : changed;
	return (int64_t)changed;
}

int private_memory_share_filled(struct vm *vm, uint64_t gpa, uint64_t size)
{
	int64_t changed = change(vm, region_of(vm, gpa, size), gpa, size, false);

	return changed < 0 ? (int)changed : 0;
}

/* The attribute has changed already: in the other order the guest could fill the page that is being given back. */
static int discard(struct vm *vm, int region, uint64_t gpa, uint64_t size, bool to_private)
{
	const struct memory_region *r = &vm->memory.region[region];
	uint64_t offset = gpa - r->start;
	int err;

	if (to_private)
		err = madvise(r->host + offset, size, MADV_DONTNEED) ? -errno : 0;
	else
		err = vm->calls->fallocate(vm->private_memory->side[region].fd,
					   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
	if (err)
		vmm_error("cannot give back the %s side of [%#llx, %#llx): %s", to_private ? "shared" : "private",
			  (unsigned long long)gpa, (unsigned long long)(gpa + size), strerror(-err));
	return err;
}

static int convert_locked(struct vm *vm, int region, uint64_t gpa, uint64_t size, bool to_private)
{
	struct private_memory_counts *counts = &vm->private_memory->counts;
	int64_t changed = change(vm, region, gpa, size, to_private);

	if (changed < 0)
		return -EIO;
	counts->conversions++;
	counts->to_private += to_private ? (uint64_t)changed : 0;
	counts->to_shared += to_private ? 0 : (uint64_t)changed;
	return discard(vm, region, gpa, size, to_private) ? -EIO : 0;
}

int private_memory_convert(struct vm *vm, uint64_t gpa, uint64_t size, bool to_private)
{
	int region = region_of(vm, gpa, size), err;

	if (gpa % MEMORY_PAGE || size % MEMORY_PAGE || !size || gpa + size < gpa)
		return -EINVAL;
	if (region < 0)
		return to_private || meets_ram(vm, gpa, size) ? -EINVAL : 0;
	pthread_mutex_lock(&vm->private_memory->lock);
	err = convert_locked(vm, region, gpa, size, to_private);
	pthread_mutex_unlock(&vm->private_memory->lock);
	return err;
}

void private_memory_count(struct vm *vm, struct private_memory_counts *counts)
{
	pthread_mutex_lock(&vm->private_memory->lock);
	*counts = vm->private_memory->counts;
	pthread_mutex_unlock(&vm->private_memory->lock);
}
